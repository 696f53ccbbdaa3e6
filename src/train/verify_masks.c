// SPDX-License-Identifier: MIT
// Checks of masks, thresholds and packing: half is kept, the pattern holds, and neither the dtype
// nor the packed form changes anything.
#include "base/fail.h"
#include "base/philox.h"
#include "kernels/element.h"
#include "kernels/elementwise.h"
#include "kernels/mask24.h"
#include "kernels/pack24.h"
#include "kernels/soft24.h"
#include "sparse/pattern24.h"
#include "train/verify.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define ROWS INT64_C(256)
#define COLS INT64_C(768)

static const struct {
    wn__mask24_method method;
    const char *name;
    unsigned rules;
} methods[] = {
    {WN_MASK24_ROW, "rows", WN_PATTERN24_EXACT},
    {WN_MASK24_TILE, "tiles", WN_PATTERN24_EXACT | WN_PATTERN24_TRANSPOSABLE},
};
#define METHODS (sizeof methods / sizeof methods[0])

static wn_status matrix(wn__verify *v, wn_dtype dtype, int64_t r, int64_t c, wn_tensor *out) {
    return wn__tensor_alloc2(&v->arena, dtype, r, c, out);
}

static wn_status normals(wn__verify *v, wn_tensor *out) {
    WN_TRY(matrix(v, WN_DTYPE_F32, ROWS, COLS, out));
    const wn__normal draw = {.x = *out, .seed = 24, .stream = WN_STREAM_TEST, .std = 0.02};
    return wn__verify_op(v, WN__OP_normal, &draw);
}

static int64_t kept(const wn_tensor *mask) {
    const uint8_t *byte = mask->data;
    int64_t count = 0;
    for (int64_t i = 0; i < wn__tensor_count(mask); i++)
        for (unsigned bits = byte[i]; bits != 0; bits &= bits - 1)
            count++;
    return count;
}

// Exactly half, the pattern, and zeros where nothing is kept.
static void judge_mask(wn__verify *v, const char *name, const wn_tensor *mask, unsigned rules) {
    char line[96];
    double share = (double)kept(mask) / (double)(ROWS * COLS);
    (void)snprintf(line, sizeof line, "%s: sparsity", name);
    wn__verify_say(v, line, kept(mask) * 2 == ROWS * COLS,
                   "%.4f %% of %" PRId64 " x %" PRId64 " kept, 50 %% expected", 100 * share, ROWS,
                   COLS);
    (void)snprintf(line, sizeof line, "%s: pattern", name);
    bool right = wn__pattern24_check_mask(mask, COLS, rules) == WN_OK;
    wn__verify_say(v, line, right, "%s",
                   !right ? wn_last_error()
                   : rules & WN_PATTERN24_TRANSPOSABLE
                       ? "two of every four, along rows and along columns"
                       : "two of every four along the rows");
}

static int64_t differences(const wn_tensor *w, const wn_tensor *mask, const wn_tensor *out) {
    const uint8_t *byte = mask->data;
    int64_t wrong = 0;
    for (int64_t i = 0; i < ROWS; i++)
        for (int64_t j = 0; j < COLS; j++) {
            bool keep = byte[i * (COLS / 4) + j / 4] >> (j % 4) & 1;
            wrong += wn__get(out, wn__at(out, i, j)) != (keep ? wn__get(w, wn__at(w, i, j)) : 0);
        }
    return wrong;
}

static wn_status check_packing(wn__verify *v, const char *name, const wn_tensor *w,
                               const wn_tensor *mask) {
    wn_tensor values, index, out;
    char line[96];
    WN_TRY(matrix(v, WN_DTYPE_F32, ROWS, COLS / 2, &values));
    WN_TRY(matrix(v, WN_DTYPE_U8, ROWS, COLS / 8, &index));
    WN_TRY(matrix(v, WN_DTYPE_F32, ROWS, COLS, &out));
    const wn__pack24 pack = {.w = *w, .mask = *mask, .values = values, .index = index};
    const wn__unpack24 unpack = {.values = values, .index = index, .w = out};
    wn_status status = wn__verify_op(v, WN__OP_pack24, &pack);
    if (status == WN_OK) status = wn__verify_op(v, WN__OP_unpack24, &unpack);
    (void)snprintf(line, sizeof line, "%s: packing", name);
    if (status != WN_OK) {
        wn__verify_say(v, line, false, "%s", wn_last_error());
        return WN_OK;
    }
    int64_t wrong = differences(w, mask, &out);
    wn__verify_say(v, line, wrong == 0,
                   "%" PRId64 " of %" PRId64 " entries differ after packing and unpacking", wrong,
                   ROWS * COLS);
    return WN_OK;
}

// |W - beta S| <= |W - b S| for neighbours b of the scale, and values only where the mask keeps.
static wn_status check_threshold(wn__verify *v, const wn_tensor *w) {
    wn_tensor out, mask, dots;
    WN_TRY(matrix(v, WN_DTYPE_F32, ROWS, COLS, &out));
    WN_TRY(matrix(v, WN_DTYPE_U8, ROWS, COLS / 4, &mask));
    WN_TRY(wn__tensor_alloc1(&v->arena, WN_DTYPE_F64, 3, &dots));
    const wn__soft24 soft = {.w = *w, .out = out, .mask = mask};
    const wn__soft24_dots sums = {.w = *w, .out = dots};
    WN_TRY(wn__verify_op(v, WN__OP_soft24, &soft));
    WN_TRY(wn__verify_op(v, WN__OP_soft24_dots, &sums));
    judge_mask(v, "soft threshold", &mask, WN_PATTERN24_EXACT);
    const uint8_t *byte = mask.data;
    const float *s = out.data;
    int64_t stray = 0;
    for (int64_t i = 0; i < ROWS * COLS; i++)
        stray += s[i] != 0 && !(byte[i / 4] >> (i % 4) & 1);
    wn__verify_say(v, "soft threshold: values", stray == 0, "%" PRId64 " values outside the mask",
                   stray);
    const double *d = dots.data;
    double beta = d[0] / d[1];
    // Gaussian weights: 1.4830; standard error over these groups about 0.002
    wn__verify_say(v, "soft threshold: scale", fabs(beta - 1.4830) < 0.015,
                   "%.4f, 1.483 expected of Gaussian weights", beta);
    return WN_OK;
}

wn_status wn__verify_masks(wn__verify *v) {
    wn_tensor w;
    WN_TRY(normals(v, &w));
    for (size_t i = 0; i < METHODS; i++) {
        wn_tensor mask;
        WN_TRY(matrix(v, WN_DTYPE_U8, ROWS, COLS / 4, &mask));
        const wn__mask24 choose = {.w = w, .mask = mask, .method = methods[i].method};
        WN_TRY(wn__verify_op(v, WN__OP_mask24, &choose));
        judge_mask(v, methods[i].name, &mask, methods[i].rules);
        WN_TRY(check_packing(v, methods[i].name, &w, &mask));
    }
    return check_threshold(v, &w);
}

/* Dtypes. */

// Integers of 8 bits times 2^-6 .. 2^5, with many ties: exact in all three formats.
static void fill_exact(const wn_tensor *t) {
    for (int64_t i = 0; i < wn__tensor_count(t); i++) {
        uint32_t word[4];
        wn__philox_draw(7, WN_STREAM_TEST, (uint64_t)i, word);
        int range = word[2] % 4 == 0 ? 3 : 255;
        double magnitude = ldexp((double)(word[0] % (uint32_t)range), (int)(word[1] % 12) - 6);
        wn__set(t, i, word[3] % 2 ? -magnitude : magnitude);
    }
}

static const wn_dtype formats[] = {WN_DTYPE_F32, WN_DTYPE_BF16, WN_DTYPE_F16};

// Masks of one rule in the three formats; reference of the first.
static wn_status compare_masks(wn__verify *v, const wn_tensor w[3], size_t method) {
    wn_tensor mask[3];
    char line[96];
    size_t bytes = (size_t)(ROWS * COLS / 4);
    for (int f = 0; f < 3; f++) {
        WN_TRY(matrix(v, WN_DTYPE_U8, ROWS, COLS / 4, &mask[f]));
        const wn__mask24 choose = {.w = w[f], .mask = mask[f], .method = methods[method].method};
        WN_TRY(wn__verify_op(v, WN__OP_mask24, &choose));
    }
    bool same = memcmp(mask[0].data, mask[1].data, bytes) == 0 &&
                memcmp(mask[0].data, mask[2].data, bytes) == 0;
    (void)snprintf(line, sizeof line, "formats: masks of %s", methods[method].name);
    wn__verify_say(v, line, same, "fp32, bf16 and fp16 %s",
                   same ? "choose the same masks" : "choose different masks");
    return WN_OK;
}

static wn_status compare_thresholds(wn__verify *v, const wn_tensor w[3]) {
    wn_tensor mask[3], out[3];
    int64_t masks = 0, positions = 0;
    for (int f = 0; f < 3; f++) {
        WN_TRY(matrix(v, WN_DTYPE_U8, ROWS, COLS / 4, &mask[f]));
        WN_TRY(matrix(v, formats[f], ROWS, COLS, &out[f]));
        const wn__soft24 soft = {.w = w[f], .out = out[f], .mask = mask[f]};
        WN_TRY(wn__verify_op(v, WN__OP_soft24, &soft));
    }
    for (int f = 1; f < 3; f++) {
        for (int64_t i = 0; i < ROWS * COLS / 4; i++)
            masks += ((const uint8_t *)mask[0].data)[i] != ((const uint8_t *)mask[f].data)[i];
        for (int64_t i = 0; i < ROWS * COLS; i++)
            positions += (wn__get(&out[0], i) != 0) != (wn__get(&out[f], i) != 0);
    }
    wn__verify_say(v, "formats: masks of the soft threshold", masks == 0,
                   "%" PRId64 " groups differ between fp32, bf16 and fp16", masks);
    wn__verify_say(v, "formats: positions of the non-zeros", positions == 0,
                   "%" PRId64 " positions differ", positions);
    return WN_OK;
}

wn_status wn__verify_formats(wn__verify *v) {
    wn_tensor w[3];
    for (int f = 0; f < 3; f++) {
        WN_TRY(matrix(v, formats[f], ROWS, COLS, &w[f]));
        fill_exact(&w[f]);
    }
    for (size_t i = 0; i < METHODS; i++)
        WN_TRY(compare_masks(v, w, i));
    return compare_thresholds(v, w);
}
