// SPDX-License-Identifier: MIT
/* relu, relu_grad, column_zeros, densest, tokens24: activations that are sparse (Haziza et al.
 * 2025).
 *
 * relu: y = x > 0 ? x : +0; relu_grad: dx = x > 0 ? dy : +0. NaN in x propagates in both. Packed,
 * in place allowed. column_zeros: zeros[j] = number of exact zeros (either sign) in column j of
 * x[n,c], n < 2^31; total[0] = their sum. densest: dense[j] = 1 for the `count` columns with the
 * fewest zeros, else 0; ties go to the lower column. tokens24: 2:4 along the rows (tokens) of
 * x[n,c]: the rows order[4i] .. order[4i+3] (order absent: 4i .. 4i+3) form a group of each column,
 * of which the two largest magnitudes stay (earlier place in the group first on a tie) and the
 * others become +0; columns with dense[j] != 0 are copied. No data moves: the permutation only says
 * who shares a group, so nothing has to be undone. A short last group keeps at most two as well.
 * order must be a permutation: INVALID names the first place that is outside or repeated, and y is
 * untouched. NaN counts as the largest magnitude (it stays and is found later). y may be x.
 * Bit-exact on every variant (NaN payloads aside). F32, F64 (ref also F16, BF16). */
#ifndef WN_KERNELS_ACT24_H
#define WN_KERNELS_ACT24_H

#include "tensor/tensor.h"

typedef struct wn__relu {
    wn_tensor x, y;
} wn__relu;
typedef struct wn__relu_grad {
    wn_tensor x, dy, dx;
} wn__relu_grad;

typedef struct wn__column_zeros {
    wn_tensor x;     /* [n, c], unit stride along c */
    wn_tensor zeros; /* I32 [c] packed */
    wn_tensor total; /* I64 [1] */
} wn__column_zeros;

typedef struct wn__densest {
    wn_tensor zeros; /* I32 [c] packed */
    wn_tensor dense; /* U8 [c] packed */
    int64_t count;   /* 0 .. c */
} wn__densest;

typedef struct wn__tokens24 {
    wn_tensor x, y;  /* [n, c], unit stride along c */
    wn_tensor order; /* I32 [n] packed, or absent */
    wn_tensor dense; /* U8 [c] packed, or absent: none */
} wn__tokens24;

/* INVALID unless order is absent or a permutation of the rows; seen: a byte for each row. What
 * every variant asks first. */
WN_NODISCARD wn_status wn__tokens24_check_order(const wn__tokens24 *p, uint8_t *seen);

#endif
