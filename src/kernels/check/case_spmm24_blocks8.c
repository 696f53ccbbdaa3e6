// SPDX-License-Identifier: MIT
// Cases of spmm24_blocks8: codes are drawn, blocks are filled group by group; x may be rows of one
// 1 each, which shows where every number goes. Small whole numbers have to be exact; of others each
// group of 64 columns may lose 2^-13 of the largest of its 33 terms for each of them (or of 17,
// twice).
#include "kernels/block8.h"
#include "kernels/check/masks24.h"
#include "kernels/cuda/block24.h"
#include "kernels/e4m3.h"
#include "kernels/pack24.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { T, N, K, DTYPE, DATA, BIAS, RESIDUAL, RELU2, XPAD, YPAD, ONEHOT, SCALES, DENSE, FIELDS };

static const char *const dtype_words[] = {"bf16", "f16", NULL};
static const char *const code_words[] = {"normal", "integers", "any", NULL};
static const char *const residual_words[] = {"none", "other", "y", NULL};
static const char *const scale_words[] = {"ones", "one", "rows", NULL};
enum { NONE, OTHER, SAME };
enum { NORMAL, INTEGERS, ANY };
enum { ALL_ONE, ONE, OF_ROWS };

static const wn__field fields[FIELDS] = {
    WN__FIELD_SIZE("T", 0, 512, 129, 400),
    WN__FIELD_SIZE("n", 0, 512, 129, 400),
    WN__FIELD_SIZE("k", 0, 512, 260, 4096),
    WN__FIELD_WORDS("dtype", 1, 0, dtype_words),
    WN__FIELD_WORDS("data", ANY, NORMAL, code_words),
    WN__FIELD_FLAG("bias", 0),
    WN__FIELD_WORDS("residual", SAME, NONE, residual_words),
    WN__FIELD_FLAG("relu2", 0),
    WN__FIELD_CHOICE("xpad", 0, 3, 0), // sixteens of bytes, beyond the next multiple of sixteen
    WN__FIELD_CHOICE("ypad", 0, 3, 0), // eights of elements
    WN__FIELD_FLAG("onehot", 0),       // x[t,i] is 1 where i = t mod k
    WN__FIELD_WORDS("scales", OF_ROWS, ALL_ONE, scale_words),
    WN__FIELD_WORDS("dense", WN__DENSE_GAPS, WN__DENSE_NONE, wn__dense_words),
};

static void settle(wn__problem *p) {
    p->value[N] = wn__ceil_div(p->value[N], 8) * 8;
    // what multiplies W as it is written out may take rows of whole 16 bytes only: some stay as
    // they are, so that others, and its refusal, meet them
    if (p->value[DENSE] != WN__DENSE_NONE && p->value[K] % 4 != 3)
        p->value[K] = wn__ceil_div(p->value[K], 16) * 16;
}

static int64_t pad_of(int64_t columns, int64_t unit, int64_t more) {
    return unit * (wn__ceil_div(columns, unit) + more) - columns;
}

static void declare(wn__case *c) {
    wn__spmm24_blocks8 *p = c->args;
    const int64_t *v = c->problem.value;
    const wn_dtype dtype = v[DTYPE] == 0 ? WN_DTYPE_BF16 : WN_DTYPE_F16;
    const wn_tensor y = wn__view2(dtype, v[T], v[N], pad_of(v[N], 8, v[YPAD]));
    const bool rows = v[SCALES] == OF_ROWS;
    p->relu2 = v[RELU2];
    wn__case_part(c, "x", &p->x, WN__READ,
                  wn__view2(WN_DTYPE_U8, v[T], v[K], pad_of(v[K], 16, v[XPAD])));
    wn__case_part(c, "x_scale", &p->x_scale, WN__READ,
                  wn__tensor1(NULL, WN_DTYPE_F32, rows ? v[T] : 1));
    wn__case_part(c, "blocks", &p->blocks, WN__READ, wn__block8_tensor(v[N], v[K]));
    wn__case_part(c, "w_scale", &p->w_scale, WN__READ,
                  wn__tensor1(NULL, WN_DTYPE_F32, rows ? v[N] : 1));
    if (v[BIAS]) wn__case_part(c, "bias", &p->bias, WN__READ, wn__tensor1(NULL, dtype, v[N]));
    if (v[DENSE] != WN__DENSE_NONE)
        wn__case_part(c, "dense", &p->dense, WN__READ,
                      wn__view2(WN_DTYPE_U8, v[N], v[K],
                                pad_of(v[K], 16, v[DENSE] == WN__DENSE_GAPS ? 3 : 0)))
            ->instead = true;
    wn__part *residual = NULL;
    if (v[RESIDUAL] == OTHER)
        wn__case_part(c, "residual", &p->residual, WN__READ,
                      wn__view2(dtype, v[T], v[N], pad_of(v[N], 8, 0)));
    if (v[RESIDUAL] == SAME) residual = wn__case_part(c, "residual", &p->residual, WN__READ, y);
    wn__part *out = wn__case_part(c, "y", &p->y, WN__WRITE, y);
    if (residual != NULL) wn__part_share(c, out, residual);
}

// ANY: every code but NaN.
static uint8_t draw_code(wn__case *c) {
    const int64_t kind = c->problem.value[DATA];
    if (kind == INTEGERS) return wn__e4m3_code((float)wn__case_draw(c, -4, 4));
    if (kind == NORMAL)
        return wn__e4m3_code((float)wn__case_value(c, WN__DATA_NORMAL, WN_DTYPE_F32));
    const int64_t code = wn__case_draw(c, 0, 0xFD);
    return (uint8_t)(code < 0x7F ? code : code + 1);
}

// One group of a row: its kept columns, its values, zeros in free slots.
static void fill_group(wn__case *c, uint8_t *block, int r, int g, int64_t columns) {
    const unsigned mask = columns > 0 ? wn__mask_draw(c, columns, false) : 0;
    const uint32_t nibble = wn__nibble_of_mask24[mask];
    uint8_t *at = block + WN_BLOCK24_VALUES + 4 * WN_BLOCK8_WORD(r, g / 8);
    uint32_t word;
    memcpy(&word, at, sizeof word);
    word |= nibble << (4 * (g % 8));
    memcpy(at, &word, sizeof word);
    for (int slot = 0; slot < 2; slot++)
        if (mask >> (nibble >> (2 * slot) & 3) & 1)
            block[WN_BLOCK8_VALUE(r, (2 * g + slot))] = draw_code(c);
}

// What the blocks hold.
static void write_dense(wn__case *c, wn__part *dense) {
    const int64_t *v = c->problem.value;
    const wn__part *blocks = wn__case_find(c, "blocks");
    const int64_t across = blocks->view.shape[1];
    uint8_t *codes = dense->image;
    memset(codes, 0, (size_t)dense->count);
    for (int64_t o = 0; o < v[N]; o++)
        for (int64_t g = 0; 4 * g < v[K]; g++) {
            int column[2];
            uint8_t value[2];
            wn__block8_group((const uint8_t *)blocks->image +
                                 (o / 64 * across + g / 32) * WN_BLOCK8_BYTES,
                             (int)(o % 64), (int)(g % 32), column, value);
            for (int slot = 0; slot < 2; slot++)
                if (value[slot] != 0) codes[o * v[K] + 4 * g + column[slot]] = value[slot];
        }
}

static void fill(wn__case *c) {
    const int64_t *v = c->problem.value;
    wn__part *x = wn__case_find(c, "x"), *blocks = wn__case_find(c, "blocks");
    const int64_t across = blocks->view.shape[1];
    uint8_t *codes = x->image;
    wn__case_fill(c, v[DATA] == INTEGERS ? WN__DATA_INTEGERS : WN__DATA_NORMAL);
    for (int64_t i = 0; i < x->count; i++)
        codes[i] = v[ONEHOT] ? wn__e4m3_code(i % v[K] == i / v[K] % v[K] ? 1 : 0) : draw_code(c);
    memset(blocks->image, 0, (size_t)blocks->count);
    for (int64_t row = 0; row < 64 * blocks->view.shape[0]; row++)
        for (int64_t g = 0; g < 32 * across; g++)
            fill_group(c, (uint8_t *)blocks->image + (row / 64 * across + g / 32) * WN_BLOCK8_BYTES,
                       (int)(row % 64), (int)(g % 32), row < v[N] ? v[K] - 4 * g : 0);
    if (v[DENSE] != WN__DENSE_NONE) write_dense(c, wn__case_find(c, "dense"));
    for (int i = 0; i < 2; i++) {
        wn__part *scale = wn__case_find(c, i == 0 ? "x_scale" : "w_scale");
        for (int64_t j = 0; j < scale->count; j++)
            wn__part_set(scale, j,
                         v[SCALES] == ALL_ONE ? 1
                                              : ldexp((double)wn__case_draw(c, 0x80, 0xFF), -10));
    }
}

// A sum, that of its magnitudes, and what adding it 64 columns at a time may lose.
typedef struct sums {
    double z, size, error;
} sums;

static sums sums_of(const wn__case *c, const uint8_t *x, const uint8_t *panel, int row) {
    const int64_t k = c->problem.value[K];
    const int cut = c->problem.value[DENSE] == WN__DENSE_NONE ? 33 : 34; // or 17 twice
    sums s = {0};
    for (int64_t g = 0, step = -1; 4 * g < k; g++) {
        int column[2];
        uint8_t value[2];
        wn__block8_group(panel + g / 32 * WN_BLOCK8_BYTES, row, (int)(g % 32), column, value);
        for (int slot = 0; slot < 2; slot++) {
            if (4 * g + column[slot] >= k) continue;
            const double term =
                wn__e4m3_value(x[4 * g + column[slot]]) * wn__e4m3_value(value[slot]);
            s.z += term;
            s.size += fabs(term);
        }
        if (g / 16 != step) step = g / 16;
        // a term or sum of this step is at most the sum of all magnitudes up to its end
        if (g % 16 == 15 || 4 * (g + 1) >= k) s.error += cut * 0x1p-13 * s.size;
    }
    return s;
}

// What the scales and the epilogue make of a sum and its error.
static double bound_of(const wn__case *c, const wn__round *r, sums s, double scale, double bias,
                       double residual, double want) {
    const int64_t *v = c->problem.value;
    const bool exact = v[DATA] == INTEGERS && s.size <= 0x1p12; // all in the 13 bits that are kept
    const double scaled = fabs(scale * s.z);
    if (exact && v[SCALES] == ALL_ONE && fabs(want) * r->out <= 1 && !v[BIAS] && !v[RELU2] &&
        v[RESIDUAL] == NONE)
        return 0;
    double error = (exact ? 0 : fabs(scale) * s.error) * (1 + 4 * r->acc) + 2 * r->acc * scaled +
                   r->acc * (scaled + fabs(bias)) + 2 * r->eta;
    double a = scale * s.z + bias;
    if (v[RELU2]) {
        const double positive = a > 0 ? a : 0;
        a = positive * positive;
        error = (2 * positive + error) * error + r->acc * a + r->eta;
    }
    if (v[RESIDUAL] != NONE) error += r->acc * (fabs(a) + fabs(residual)) + r->eta;
    return wn__stored(r, want) + (1 + r->out) * 1.01 * error;
}

static void bound(wn__case *c, const wn__round *r) {
    const int64_t *v = c->problem.value;
    const wn__part *x = wn__case_find(c, "x"), *blocks = wn__case_find(c, "blocks");
    const wn__part *bias = wn__case_find(c, "bias"), *residual = wn__case_find(c, "residual");
    const wn__part *xs = wn__case_find(c, "x_scale"), *ws = wn__case_find(c, "w_scale");
    wn__part *y = wn__case_find(c, "y");
    const int64_t across = blocks->view.shape[1];
    for (int64_t t = 0; t < v[T]; t++)
        for (int64_t o = 0; o < v[N]; o++) {
            const int64_t i = t * v[N] + o;
            const sums s = sums_of(
                c, (const uint8_t *)x->image + t * v[K],
                (const uint8_t *)blocks->image + o / 64 * across * WN_BLOCK8_BYTES, (int)(o % 64));
            const double scale =
                xs->before[xs->count > 1 ? t : 0] * ws->before[ws->count > 1 ? o : 0];
            y->bound[i] = bound_of(c, r, s, scale, bias != NULL ? bias->before[o] : 0,
                                   residual != NULL ? residual->before[i] : 0, y->want[i]);
        }
}

static double flops(const wn__problem *p) {
    return 4.0 * (double)p->value[T] * (double)p->value[N] * (double)wn__ceil_div(p->value[K], 4);
}

const wn__case_type wn__cases_spmm24_blocks8 = {.op = WN__OP_spmm24_blocks8,
                                                .args_size = sizeof(wn__spmm24_blocks8),
                                                .fields = fields,
                                                .field_count = FIELDS,
                                                .align = 16,
                                                .settle = settle,
                                                .declare = declare,
                                                .fill = fill,
                                                .bound = bound,
                                                .flops = flops,
                                                .alone = "T"};
