// SPDX-License-Identifier: MIT
// Patterns of masks and matrices. Both are looked at through one function that says which columns
// of a group are kept, so that they obey the same rules.
#include "sparse/pattern24.h"
#include "base/fail.h"
#include "kernels/element.h"

#include <math.h>

// A mask, or a matrix whose non-zero entries count as kept.
typedef struct source {
    const wn_tensor *t;
    int64_t r, c;
    bool mask;
} source;

static int64_t columns_of(int64_t n, int64_t group) {
    return n - 4 * group < 4 ? n - 4 * group : 4;
}

static unsigned group_bits(const source *s, int64_t row, int64_t group) {
    if (s->mask) return ((const uint8_t *)s->t->data)[row * s->t->shape[1] + group];
    unsigned bits = 0;
    for (int j = 0; j < columns_of(s->c, group); j++)
        bits |= (unsigned)(wn__get(s->t, wn__at(s->t, row, 4 * group + j)) != 0) << j;
    return bits;
}

static int count_bits(unsigned bits) {
    int count = 0;
    for (; bits != 0; bits &= bits - 1)
        count++;
    return count;
}

static bool fits(int kept, int64_t columns, unsigned rules) {
    int64_t full = columns < 2 ? columns : 2;
    return kept <= 2 && (!(rules & WN_PATTERN24_EXACT) || kept == full);
}

static const char *demand(unsigned rules) {
    return rules & WN_PATTERN24_EXACT ? "exactly 2" : "at most 2";
}

static wn_status check_group(const source *s, int64_t row, int64_t group, unsigned rules) {
    int64_t columns = columns_of(s->c, group);
    unsigned bits = group_bits(s, row, group);
    if (bits >> columns)
        return wn__fail(WN_INVALID,
                        "row %lld, group %lld: mask 0x%02X has bits beyond its %lld columns",
                        (long long)row, (long long)group, bits, (long long)columns);
    if (fits(count_bits(bits), columns, rules)) return WN_OK;
    return wn__fail(WN_INVALID, "row %lld, group %lld (columns %lld to %lld) has %d %s, not %s",
                    (long long)row, (long long)group, (long long)(4 * group),
                    (long long)(4 * group + columns - 1), count_bits(bits),
                    s->mask ? "kept" : "non-zero", demand(rules));
}

// The four columns of one group within rows 4 block .. 4 block + 3.
static wn_status check_block(const source *s, int64_t block, int64_t group, unsigned rules) {
    int64_t rows = columns_of(s->r, block);
    int kept[4] = {0};
    for (int64_t i = 0; i < rows; i++) {
        unsigned bits = group_bits(s, 4 * block + i, group);
        for (int j = 0; j < 4; j++)
            kept[j] += (int)(bits >> j & 1);
    }
    for (int j = 0; j < columns_of(s->c, group); j++)
        if (!fits(kept[j], rows, rules))
            return wn__fail(WN_INVALID,
                            "column %lld, rows %lld to %lld: %d %s, not %s; not transposable",
                            (long long)(4 * group + j), (long long)(4 * block),
                            (long long)(4 * block + rows - 1), kept[j],
                            s->mask ? "kept" : "non-zero", demand(rules));
    return WN_OK;
}

static wn_status check(const source *s, unsigned rules) {
    int64_t groups = wn__groups24(s->c);
    for (int64_t i = 0; i < s->r; i++)
        for (int64_t g = 0; g < groups; g++)
            WN_TRY(check_group(s, i, g, rules));
    if (!(rules & WN_PATTERN24_TRANSPOSABLE)) return WN_OK;
    for (int64_t block = 0; block < wn__groups24(s->r); block++)
        for (int64_t g = 0; g < groups; g++)
            WN_TRY(check_block(s, block, g, rules));
    return WN_OK;
}

wn_status wn__pattern24_check_mask(const wn_tensor *mask, int64_t c, unsigned rules) {
    const int64_t shape[2] = {mask->shape[0], wn__groups24(c)};
    char found[96];
    if (!wn__tensor_is(mask, WN_DTYPE_U8, 2, shape))
        return wn__fail(WN_INVALID, "the mask of %lld columns is U8 [r, %lld], not %s",
                        (long long)c, (long long)shape[1],
                        wn__tensor_describe(mask, found, sizeof found));
    const source s = {mask, mask->shape[0], c, true};
    return check(&s, rules);
}

wn_status wn__pattern24_check_matrix(const wn_tensor *w, unsigned rules) {
    char found[96];
    if (w->ndim != 2)
        return wn__fail(WN_INVALID, "a 2:4 pattern is one of a matrix, not of %s",
                        wn__tensor_describe(w, found, sizeof found));
    const source s = {w, w->shape[0], w->shape[1], false};
    return check(&s, rules);
}

static double fraction(double part, double whole) {
    return whole > 0 ? part / whole : 1;
}

void wn__pattern24_measure(const wn_tensor *w, const wn_tensor *mask, wn__stats24 *out) {
    const source s = {mask, w->shape[0], w->shape[1], true};
    double kept[2] = {0}, all[2] = {0}; // sums of |w| and of w^2
    *out = (wn__stats24){.positions = s.r * s.c};
    for (int64_t i = 0; i < s.r; i++)
        for (int64_t j = 0; j < s.c; j++) {
            unsigned bits = group_bits(&s, i, j / 4);
            double magnitude = fabs(wn__get(w, wn__at(w, i, j)));
            bool keep = bits >> (j % 4) & 1;
            out->kept += keep;
            if (j % 4 == 0)
                out->short_groups +=
                    !fits(count_bits(bits), columns_of(s.c, j / 4), WN_PATTERN24_EXACT);
            all[0] += magnitude;
            all[1] += magnitude * magnitude;
            kept[0] += keep ? magnitude : 0;
            kept[1] += keep ? magnitude * magnitude : 0;
        }
    out->magnitude = fraction(kept[0], all[0]);
    out->energy = fraction(kept[1], all[1]);
}

wn_status wn__pattern24_bytes(wn_dtype dtype, int64_t r, int64_t c, wn__bytes24 *out) {
    *out = (wn__bytes24){0};
    int64_t g = wn__groups24(c);
    wn__bytes24 bytes;
    if (!wn__shape_bytes(dtype, 2, (const int64_t[]){r, c}, &bytes.dense) ||
        !wn__shape_bytes(dtype, 2, (const int64_t[]){r, 2 * g}, &bytes.values) ||
        !wn__shape_bytes(WN_DTYPE_U8, 2, (const int64_t[]){r, (g + 1) / 2}, &bytes.index) ||
        !wn__shape_bytes(WN_DTYPE_U8, 2, (const int64_t[]){r, g}, &bytes.mask))
        return wn__fail(WN_INVALID, "no matrix has %lld rows and %lld columns", (long long)r,
                        (long long)c);
    *out = bytes;
    return WN_OK;
}

void wn__pattern24_expand(const wn_tensor *mask, const wn_tensor *bytes) {
    int64_t c = bytes->shape[1], groups = mask->shape[1];
    for (int64_t i = 0; i < bytes->shape[0]; i++)
        for (int64_t j = 0; j < c; j++)
            ((uint8_t *)bytes->data)[i * c + j] =
                ((const uint8_t *)mask->data)[i * groups + j / 4] >> (j % 4) & 1;
}

void wn__pattern24_collapse(const wn_tensor *bytes, const wn_tensor *mask) {
    int64_t c = bytes->shape[1], groups = mask->shape[1];
    for (int64_t i = 0; i < bytes->shape[0]; i++)
        for (int64_t g = 0; g < groups; g++) {
            unsigned bits = 0;
            for (int64_t j = 0; j < columns_of(c, g); j++)
                bits |= (unsigned)(((const uint8_t *)bytes->data)[i * c + 4 * g + j] != 0) << j;
            ((uint8_t *)mask->data)[i * groups + g] = (uint8_t)bits;
        }
}
