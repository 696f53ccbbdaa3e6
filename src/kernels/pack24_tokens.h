// SPDX-License-Identifier: MIT
/* pack24_tokens: the packed form (pack24.h) of x^T for x[r,c] that is 2:4 along its rows (tokens):
 * what mvue24 along axis 0 and tokens24 make, for the weight gradient of spmm24_rows.h.
 *
 * Group i of column j is made of rows order[4i] .. order[4i+3] (order absent: 4i .. 4i+3); kept is
 * what is not zero (NaN is not). Row j of values and index is column j of x. Of more than two
 * entries the first two are kept: mvue24 leaves more only where all of them are NaN.
 *
 * Columns with dense[j] != 0 keep everything, in two packed rows: places 0 and 1 of every group in
 * row j, places 2 and 3 in row c + i of the i-th such column; extra[i] = j. values, index have c +
 * e rows, extra e elements; INVALID when another number of columns is marked. dense and extra: both
 * or neither.
 *
 * INVALID names the first place of order outside 0 .. r-1. When refused nothing is written. r, c
 * may be 0. Bit-exact on every variant. Outputs overlap no input. F32, F64 (ref and GPUs also F16,
 * BF16). */
#ifndef WN_KERNELS_PACK24_TOKENS_H
#define WN_KERNELS_PACK24_TOKENS_H

#include "tensor/tensor.h"

typedef struct wn__pack24_tokens {
    wn_tensor x;      /* [r, c], unit stride along c */
    wn_tensor order;  /* I32 [r] packed, or absent */
    wn_tensor dense;  /* U8 [c] packed, or absent */
    wn_tensor values; /* [c + e, 2 ceil(r/4)] packed */
    wn_tensor index;  /* U8 [c + e, ceil(ceil(r/4)/2)] packed */
    wn_tensor extra;  /* I32 [e] packed, or absent: e = 0 */
} wn__pack24_tokens;

/* INVALID as above. */
WN_NODISCARD wn_status wn__pack24_tokens_refuse(const wn__pack24_tokens *p);
/* What every variant on the host does first: refuses, else fills extra. */
WN_NODISCARD wn_status wn__pack24_tokens_begin(const wn__pack24_tokens *p);

#endif
