// SPDX-License-Identifier: MIT
// 8-bit operands of 2:4 products, the specification: codes of rows and of blocks, and the product.
#include "kernels/block8.h"
#include "base/fail.h"
#include "kernels/cuda/block24.h"
#include "kernels/declare.h"
#include "kernels/e4m3.h"
#include "kernels/element.h"
#include "kernels/pack24.h"
#include "kernels/ref/block24.h"

#include <math.h>
#include <string.h>

// A scale's number of a row: every row's own, or the only one.
static float *scale_at(const wn_tensor *scale, bool own, int64_t row) {
    return (float *)scale->data + (own ? row : 0);
}

// The larger magnitude; once one of them is no number, an infinity, which no scale survives.
static float larger(float most, double x) {
    if (!isfinite(x)) return INFINITY;
    return fabsf((float)x) > most ? fabsf((float)x) : most;
}

static void code_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__rows8 *p = ctx;
    for (int64_t t = begin; t < end; t++) {
        float *scale = scale_at(&p->scale, !p->given || p->scale.shape[0] > 1, t), most = 0;
        uint8_t *y = (uint8_t *)p->y.data + t * p->y.stride[0];
        for (int64_t i = 0; i < p->x.shape[1]; i++)
            most = larger(most, wn__get(&p->x, wn__at(&p->x, t, i)));
        if (!p->given) *scale = wn__scale8(most);
        const float inverse = 1 / *scale;
        for (int64_t i = 0; i < p->x.shape[1]; i++)
            y[i] = wn__e4m3_code((float)wn__get(&p->x, wn__at(&p->x, t, i)) * inverse);
    }
}

wn_status wn__rows8_ref(const void *args, wn__exec *x) {
    const wn__rows8 *p = args;
    wn__parallel_for(x->pool, p->x.shape[0], 1, code_rows, (void *)args);
    return WN_OK;
}

// What group g of a row keeps: nothing beyond the matrix.
static unsigned mask_of(const wn__block8 *p, int64_t row, int64_t g) {
    const int64_t left = p->w.shape[1] - 4 * g;
    const int n = left < 4 ? (int)left : 4;
    if (row >= p->w.shape[0] || n <= 0) return 0;
    if (wn__given(&p->mask)) return ((const uint8_t *)p->mask.data)[row * p->mask.shape[1] + g];
    double size[4] = {0};
    for (int i = 0; i < n; i++)
        size[i] = fabs(wn__get(&p->w, wn__at(&p->w, row, 4 * g + i)));
    return wn__largest_two(size, n);
}

static float largest_kept(const wn__block8 *p, int64_t row) {
    float most = 0;
    for (int64_t g = 0; g < wn__ceil_div(p->w.shape[1], 4); g++) {
        const unsigned mask = mask_of(p, row, g);
        for (int i = 0; i < 4; i++)
            if (mask >> i & 1) most = larger(most, wn__get(&p->w, wn__at(&p->w, row, 4 * g + i)));
    }
    return most;
}

// A row of a panel of blocks, zeros before it is called.
static void pack_row(const wn__block8 *p, int64_t row) {
    const int64_t across = p->blocks.shape[1], groups = WN_BLOCK8_COLUMNS / 4;
    uint8_t *panel = (uint8_t *)p->blocks.data + row / 64 * across * WN_BLOCK8_BYTES;
    const int r = (int)(row % 64);
    float inverse = 1;
    if (row < p->w.shape[0]) {
        float *scale = scale_at(&p->scale, !p->given || p->scale.shape[0] > 1, row);
        if (!p->given) *scale = wn__scale8(largest_kept(p, row));
        inverse = 1 / *scale;
    }
    for (int64_t g = 0; g < across * groups; g++) {
        uint8_t *block = panel + g / groups * WN_BLOCK8_BYTES;
        const int in = (int)(g % groups);
        const unsigned mask = mask_of(p, row, g), nibble = wn__nibble_of_mask24[mask];
        uint8_t *at = block + WN_BLOCK24_VALUES + 4 * WN_BLOCK8_WORD(r, in / 8);
        uint32_t word;
        memcpy(&word, at, sizeof word);
        word |= nibble << (4 * (in % 8));
        memcpy(at, &word, sizeof word);
        for (int slot = 0; slot < 2; slot++) {
            const unsigned column = nibble >> (2 * slot) & 3;
            if (!(mask >> column & 1)) continue;
            block[WN_BLOCK8_VALUE(r, (2 * in + slot))] =
                wn__e4m3_code((float)wn__get(&p->w, wn__at(&p->w, row, 4 * g + column)) * inverse);
        }
    }
}

static void pack_panels(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__block8 *p = ctx;
    const size_t bytes = (size_t)p->blocks.shape[1] * WN_BLOCK8_BYTES;
    for (int64_t panel = begin; panel < end; panel++) {
        memset((uint8_t *)p->blocks.data + (size_t)panel * bytes, 0, bytes);
        for (int64_t row = 64 * panel; row < 64 * panel + 64; row++)
            pack_row(p, row);
    }
}

wn_status wn__block8_ref(const void *args, wn__exec *x) {
    const wn__block8 *p = args;
    WN_TRY(wn__block8_refuse(p));
    wn__parallel_for(x->pool, p->blocks.shape[0], 1, pack_panels, (void *)args);
    return WN_OK;
}

// sum_i x[t,i] W[o,i]; slots that name a column beyond k are left out.
static double product(const wn__spmm24_blocks8 *p, int64_t t, int64_t o) {
    const int64_t k = p->x.shape[1], across = p->blocks.shape[1];
    const uint8_t *panel = p->blocks.data, *x = p->x.data;
    panel += o / 64 * across * WN_BLOCK8_BYTES;
    x += t * p->x.stride[0];
    double sum = 0;
    for (int64_t g = 0; 4 * g < k; g++) {
        int column[2];
        uint8_t value[2];
        wn__block8_group(panel + g / 32 * WN_BLOCK8_BYTES, (int)(o % 64), (int)(g % 32), column,
                         value);
        for (int slot = 0; slot < 2; slot++)
            if (4 * g + column[slot] < k)
                sum += wn__e4m3_value(x[4 * g + column[slot]]) * wn__e4m3_value(value[slot]);
    }
    return sum;
}

static void tokens(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__spmm24_blocks8 *p = ctx;
    for (int64_t t = begin; t < end; t++)
        for (int64_t o = 0; o < p->y.shape[1]; o++) {
            const double s = wn__get(&p->x_scale, p->x_scale.shape[0] > 1 ? t : 0) *
                             wn__get(&p->w_scale, p->w_scale.shape[0] > 1 ? o : 0);
            double y = s * product(p, t, o) + (wn__given(&p->bias) ? wn__get(&p->bias, o) : 0);
            if (p->relu2) y = y <= 0 ? 0 : y * y;
            if (wn__given(&p->residual)) y += wn__get(&p->residual, wn__at(&p->residual, t, o));
            wn__set(&p->y, wn__at(&p->y, t, o), y);
        }
}

wn_status wn__spmm24_blocks8_ref(const void *args, wn__exec *x) {
    const wn__spmm24_blocks8 *p = args;
    wn__parallel_for(x->pool, p->y.shape[0], 1, tokens, (void *)args);
    return WN_OK;
}
