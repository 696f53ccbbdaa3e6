// SPDX-License-Identifier: MIT
/* kron_mul: y = (accumulate ? y : 0) + x (K_{L-1} ... K_1 K_0)^T, K_t Kronecker-sparse.
 *
 * w[t] is factor t as a view [a,b,c,d] of any strides: K_t[(i b + j) d + l, (i c + k) d + l] =
 * w[t][i,j,k,l], zeros elsewhere. w[0] is the RIGHTMOST factor and meets x first. Swapping the
 * middle dimensions of every view and turning their order around gives the transposed chain, so the
 * gradient of the input is this op too: dx = dy K_{L-1} ... K_0.
 *
 * x [n, a c d of w[0]], y [n, a b d of w[L-1]], each with unit stride along its second dimension
 * (batch first) or its first (batch last). One float dtype: F32, BF16, F16, and of ref F64 too. n
 * may be 0; every size of a factor is at least 1, features at most 2^31 - 1. y overlaps nothing.
 *
 * Accuracy: |y - exact| <= u|y| + 2 (c_0 + ... + c_{L-1} + L) u' S, S the same product of absolute
 * values, u' the unit round-off of the sums, which also holds for what lies between factors; ref
 * keeps that in double. With 16-bit numbers a variant may round what lies between, or products of
 * factors, to the dtype: (L - 1) u S more, what is beyond its range is infinite, and what is below
 * its normal numbers has their spacing. Deterministic for any thread count. NaN and infinity
 * propagate.
 *
 * packed: the factors of a chain of two and more as kron_pack.h has them for that many lanes, or
 * absent. It holds the same numbers as w, and a variant reads either: results do not depend on it,
 * not by a bit. */
#ifndef WN_KERNELS_KRON_MUL_H
#define WN_KERNELS_KRON_MUL_H

#include "tensor/tensor.h"

enum { WN__KRON_FACTORS = 64 };

typedef struct wn__kron_mul {
    wn_tensor x, y;
    wn_tensor w[WN__KRON_FACTORS];
    int count;
    bool accumulate;
    wn_tensor packed; /* U8, or absent */
    int64_t lanes;    /* that it was packed for */
} wn__kron_mul;

/* A factor's sizes; rows a b d, columns a c d. */
typedef struct wn__kron_size {
    int64_t a, b, c, d;
} wn__kron_size;
static inline wn__kron_size wn__kron_size_of(const wn_tensor *w) {
    return (wn__kron_size){w->shape[0], w->shape[1], w->shape[2], w->shape[3]};
}
/* Where number (i,j,k,l) of a factor is, in elements. */
static inline int64_t wn__kron_at(const wn_tensor *w, int64_t i, int64_t j, int64_t k, int64_t l) {
    return i * w->stride[0] + j * w->stride[1] + k * w->stride[2] + l * w->stride[3];
}
/* Whether the factors fit each other; the message names op. */
WN_NODISCARD wn_status wn__check_kron_chain(const char *op, const wn_tensor *w, int count);
/* The most numbers there are between, before or behind the factors. */
int64_t wn__kron_mul_width(const wn__kron_mul *p);

#endif
