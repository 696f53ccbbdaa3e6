// SPDX-License-Identifier: MIT
/* spmm24_rows: c[i,j] = (accumulate ? c : 0) + sum_l W[i,l] b[order[l],j], W[n,k] in the packed
 * form of pack24.h.
 *
 * The weight gradient dW = S^T x of an output gradient S[k,n] that is 2:4 along its rows (tokens):
 * W is the pack of S^T (pack24_tokens.h). The products of activations that are 2:4 along their
 * features: y = x V^T of x[n,k], with b the transpose of V, and dx = dy V, with b = V. b is [k,m]
 * and c [n,m], each with unit stride along either, so that transposes can be read and made. order:
 * I32 [k], or absent: l; b then has unit stride along m. INVALID names the first place outside 0 ..
 * k-1, and c is untouched then.
 *
 * A column of S that is not sparse takes two packed rows. extra: I32 [e], ascending, each in 0 ..
 * n-1: packed row n + i is added to row extra[i] of c; values and index have n + e rows. INVALID
 * names what is outside or does not ascend.
 *
 * c overlaps no input. n, m, k may be 0. Accuracy as matmul with k/2 terms (k where a row has an
 * extra one). Slots that a short group fills with zeros read b as in spmm24.h. Deterministic for
 * any thread count. F32, F64, BF16 (ref also F16); where b is BF16, values and c may each
 * be F32. Index is trusted. */
#ifndef WN_KERNELS_SPMM24_ROWS_H
#define WN_KERNELS_SPMM24_ROWS_H

#include "tensor/tensor.h"

typedef struct wn__spmm24_rows {
    wn_tensor b;             /* [k, m] */
    wn_tensor values, index; /* [n + e, 2 ceil(k/4)], U8 [n + e, ceil(ceil(k/4)/2)], packed */
    wn_tensor order;         /* I32 [k] packed, or absent */
    wn_tensor extra;         /* I32 [e] packed, or absent: e = 0 */
    wn_tensor c;             /* [n, m] */
    bool accumulate;
} wn__spmm24_rows;

/* What every variant asks first: INVALID as above. */
WN_NODISCARD wn_status wn__spmm24_rows_refuse(const wn__spmm24_rows *p);
/* INVALID names the first place of an order of k rows that is outside; absent: OK. */
WN_NODISCARD wn_status wn__order24_refuse(const wn_tensor *order, int64_t k);

#endif
