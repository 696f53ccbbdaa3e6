// SPDX-License-Identifier: MIT
/* spmm24_blocks_rows: c[i,j] = (accumulate ? c : 0) + sum_l S[i,l] b[l,j], S[n,k] 2:4 along its
 * rows in the packed blocks of block24.h: spmm24_rows for what GPUs multiply.
 *
 * Activations that are 2:4 along their features times a dense weight V[m,k]: S is x, b the
 * transpose of V. The weight gradient dW = S^T x of an output gradient that is 2:4 along its rows
 * (tokens): blocks of S^T as mvue24_blocks makes them, b = x. b is [k,m] with unit stride along
 * either, c is [n,m]. n, m, k may be 0. c overlaps no input.
 *
 * b has the dtype of `values` (in ref any), c that of b, or F32 where b is BF16. Sums are kept in
 * float32 and rounded once, when c is stored; accuracy as spmm24_blocks.h with the old c as one
 * more term. Both slots of every group are multiplied, zeros of short groups too, so an infinity of
 * b there gives NaN; slots beyond k are not. Where a column of b has an infinity or a NaN, a
 * variant may give NaN in that column. Deterministic: the same bits for any thread count and from
 * run to run, on one variant. All data begin at multiples of 16 bytes. Places in blocks are
 * trusted. */
#ifndef WN_KERNELS_SPMM24_BLOCKS_ROWS_H
#define WN_KERNELS_SPMM24_BLOCKS_ROWS_H

#include "tensor/tensor.h"

typedef struct wn__spmm24_blocks_rows {
    wn_tensor b;      /* [k, m] */
    wn_tensor blocks; /* U8 [ceil(n/64), ceil(k/64), 4608], packed */
    wn_tensor c;      /* [n, m], unit stride along m */
    wn_dtype values;  /* of the numbers in blocks: BF16 or F16 */
    bool accumulate;
} wn__spmm24_blocks_rows;

#endif
