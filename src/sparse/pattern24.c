// SPDX-License-Identifier: MIT
// Patterns of masks and matrices. Both are looked at through one function that says which columns
// of a group are kept, so that they obey the same rules.
#include "sparse/pattern24.h"
#include "base/fail.h"
#include "kernels/element.h"

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
