// SPDX-License-Identifier: MIT
/* relu24_blocks: the packed blocks of a = relu(x W^T)^2, 2:4 along its features: W[n,k] 2:4 in the
 * packed blocks of block24.h, each four features of a token keep the two largest. What
 * spmm24_blocks with relu2 and block24 without a mask make one after the other, without a in
 * between: the sparse operand of the next layer's spmm24_blocks_rows.
 *
 * a is rounded to the dtype of `values` before two are chosen; of equals the first stays, and a NaN
 * is larger than all. Tokens and features that a block has beyond a keep nothing. Sums are kept in
 * float32; where they are exact, so is everything. Otherwise a result is what some sums within the
 * bound of spmm24_blocks.h give, so numbers nearly as large as each other may change places. x is
 * [T,k] with unit stride along k and has the dtype of `values` (in ref any). T, n, k may be 0.
 * Places in W's blocks are trusted, all data begin at multiples of 16 bytes. Deterministic as
 * spmm24_blocks. */
#ifndef WN_KERNELS_RELU24_BLOCKS_H
#define WN_KERNELS_RELU24_BLOCKS_H

#include "tensor/tensor.h"

typedef struct wn__relu24_blocks {
    wn_tensor x;      /* [T, k] */
    wn_tensor blocks; /* of W: U8 [ceil(n/64), ceil(k/64), 4608], packed */
    wn_tensor out;    /* U8 [ceil(T/64), ceil(n/64), 4608], packed */
    int64_t n;
    wn_dtype values; /* of the numbers in both: BF16 or F16 */
} wn__relu24_blocks;

#endif
