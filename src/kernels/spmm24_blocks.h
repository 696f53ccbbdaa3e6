// SPDX-License-Identifier: MIT
/* spmm24_blocks: y[t,o] = act(sum_i x[t,i] W[o,i] (+ bias[o])) (+ residual[t,o]), W[n,k] 2:4 in the
 * packed blocks of block24.h; act is nothing or relu(.)^2. With `gate` the residual is a result a
 * of relu^2, and y is the gradient in front of it, y[t,o] = (sum (+ bias[o])) 2 sqrt(a[t,o]): what
 * relu2_grad makes of relu^2's own argument. There is no act then.
 *
 * The input gradient dx = dy W is the same op on blocks_t: x = dy, n = inputs, k = outputs. x is
 * [T,k], y and residual [T,n], each with unit stride along its columns and any row stride; y may be
 * residual, and overlaps nothing else. T, n, k may be 0; none has to be a multiple of anything:
 * blocks are padded inside. Both slots of every group are multiplied, zeros of short groups too, so
 * an infinity of x there gives NaN; slots beyond k are not. Where a row of x has an infinity or a
 * NaN, a variant may give NaN for that token: one that multiplies dense rows does. Sums are kept in
 * float32 and rounded once, when y is stored. Their error is at most that of adding the k/2 kept
 * products and the bias in any order with each sum cut (not rounded) to 24 bits, as the tensor
 * cores of GPUs add; relu^2 and the residual add a rounding each, a gate four. A NaN stays one
 * under relu^2. Deterministic: the same bits for any thread count and from run to run, on one
 * variant. x, bias, residual, dense and y have one dtype, which is `values` but in ref; all data
 * begin at multiples of 16 bytes. Places in blocks are trusted: they came from block24.
 *
 * `dense` is W written out, of unit stride along k and any row stride, for a caller who has it: a
 * variant may read it in place of the blocks, which are there either way. That it holds the same
 * numbers, zeros where W keeps nothing, is trusted. */
#ifndef WN_KERNELS_SPMM24_BLOCKS_H
#define WN_KERNELS_SPMM24_BLOCKS_H

#include "tensor/tensor.h"

typedef struct wn__spmm24_blocks {
    wn_tensor x;        /* [T, k] */
    wn_tensor blocks;   /* U8 [ceil(n/64), ceil(k/64), 4608], packed */
    wn_tensor bias;     /* [n] or absent */
    wn_tensor residual; /* [T, n] or absent */
    wn_tensor dense;    /* [n, k] or absent */
    wn_tensor y;        /* [T, n] */
    wn_dtype values;    /* of the numbers in blocks: BF16 or F16 */
    bool relu2;
    bool gate; /* the residual is a factor 2 sqrt(.) */
} wn__spmm24_blocks;

#endif
