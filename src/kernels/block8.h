// SPDX-License-Identifier: MIT
/* 8-bit operands of 2:4 products: numbers are codes of E4M3 (e4m3.h) times a float32 scale.
 *
 * rows8: y[t,i] = code(x[t,i] / scale) of a 16-bit matrix.
 *
 * block8: the same of a 2:4 matrix W[r,c], in the packed blocks that GPUs multiply (the second
 * picture of kernels/cuda/block24.h): blocks U8 [ceil(r/64), ceil(c/128), 5120]. What is kept, and
 * what is refused, is as in block24.h; numbers that are not kept never matter, and rows and columns
 * beyond the matrix keep nothing.
 *
 * Scales. `given`: scale is read, one for each row or a single one ([1]) for all. Else it is
 * written, one for each row: s = a/448 with the largest magnitude a of the row (of what it keeps),
 * at least 2^-120, 1 where a is 0, NaN where the row has a NaN or an infinity. x / scale is x times
 * the float 1/s, each rounded once; code() rounds to nearest, ties to even, and saturates.
 * Bit-exact on every variant.
 *
 * spmm24_blocks8: y[t,o] = act(x_scale[t] w_scale[o] sum_i x[t,i] W[o,i] (+ bias[o])) (+
 * residual[t,o]) of both, act nothing or relu(.)^2; a scale of one number is everybody's (scales
 * may be F64 in ref). What spmm24_blocks.h says of sizes, strides, y and residual holds. x is U8
 * [T,k] of unit stride; bias, residual and y have one dtype, BF16 or F16 but in ref. Both slots of
 * every group are multiplied but those beyond k. Products are exact; they are added as the tensor
 * cores of GPUs add those of 8 bits: 32 at a time (of 64 columns), with the sum so far, each cut at
 * 2^-13 of the largest of them. That is the bound of their error; the scales, the bias, relu^2 and
 * the residual add a float32 rounding each. Deterministic as there. `dense` is W's codes written
 * out, as there, zeros where nothing is kept, k being whatever it is; a variant that reads it may
 * refuse a k, or rows of it, that are no multiples of 16 bytes, and adds 32 columns at a time, 16
 * that may be something and the sum so far, so it cuts 17 numbers twice where others cut 33. */
#ifndef WN_KERNELS_BLOCK8_H
#define WN_KERNELS_BLOCK8_H

#include "kernels/contract.h"

typedef struct wn__rows8 {
    wn_tensor x;     /* [T, k] BF16 or F16, unit stride along k */
    wn_tensor scale; /* F32 [T], or [1] if given */
    wn_tensor y;     /* U8 [T, k], unit stride along k */
    bool given;
} wn__rows8;

typedef struct wn__block8 {
    wn_tensor w;      /* [r, c] BF16 or F16, unit stride along c */
    wn_tensor mask;   /* U8 [r, ceil(c/4)] packed, or absent */
    wn_tensor scale;  /* F32 [r], or [1] if given */
    wn_tensor blocks; /* packed */
    bool given;
} wn__block8;

typedef struct wn__spmm24_blocks8 {
    wn_tensor x;        /* U8 [T, k] */
    wn_tensor x_scale;  /* F32 [T] or [1] */
    wn_tensor blocks;   /* U8 [ceil(n/64), ceil(k/128), 5120], packed */
    wn_tensor w_scale;  /* F32 [n] or [1] */
    wn_tensor bias;     /* [n] or absent */
    wn_tensor residual; /* [T, n] or absent */
    wn_tensor dense;    /* U8 [n, k] or absent */
    wn_tensor y;        /* [T, n] */
    bool relu2;
} wn__spmm24_blocks8;

/* The packed blocks of rows x columns numbers, data NULL. */
wn_tensor wn__block8_tensor(int64_t rows, int64_t columns);
/* The two kept columns of group `group` (of 32) in row `row` (of 64) of a block, 0 to 3, and the
 * codes of their values. */
void wn__block8_group(const uint8_t *block, int row, int group, int column[2], uint8_t value[2]);
/* The scale of a row whose largest magnitude that is. */
float wn__scale8(float largest);
/* The refusal of data, for every variant of block8. */
WN_NODISCARD wn_status wn__block8_refuse(const wn__block8 *p);

#endif
