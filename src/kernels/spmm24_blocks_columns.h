// SPDX-License-Identifier: MIT
/* spmm24_blocks_columns: y[t,i] = sum_o x[t,o] W[o,i], W[n,k] 2:4 along its rows in the packed
 * blocks of block24.h: the input gradient dx = dy W of masks that are 2:4 along rows only, whose
 * transpose has no blocks of its own. spmm24_columns for a GPU.
 *
 * The hardware's sparse products want the kept pairs along what is summed, which is n here, so a
 * variant may write W out and multiply dense. x is [T,n], y [T,k], each with unit stride along its
 * columns and any row stride; they do not overlap. T, n, k may be 0. x and y have one dtype, which
 * is `values` but in ref. Zeros that W does not keep are multiplied or left out as a variant likes:
 * where a row of x has an infinity or a NaN, it may give NaN for that token. Sums are kept in
 * float32 and rounded once; accuracy as matmul with n terms. All data begin at multiples of 16
 * bytes. Deterministic for any thread count. Places in blocks are trusted. */
#ifndef WN_KERNELS_SPMM24_BLOCKS_COLUMNS_H
#define WN_KERNELS_SPMM24_BLOCKS_COLUMNS_H

#include "tensor/tensor.h"

typedef struct wn__spmm24_blocks_columns {
    wn_tensor x;      /* [T, n] */
    wn_tensor blocks; /* U8 [ceil(n/64), ceil(k/64), 4608], packed */
    wn_tensor y;      /* [T, k] */
    wn_dtype values;  /* of the numbers in blocks: BF16 or F16 */
} wn__spmm24_blocks_columns;

#endif
