// SPDX-License-Identifier: MIT
/* Dense linear algebra in double on the CPU: thin QR, SVD, polar factor, a triangular solve and
 * products. Matrices are row-major and packed unless a leading dimension is named.
 *
 * Two families compute the same: `reference`, plain C of ours that gives the same bits on any
 * number of threads, and `lapacke`, where one was found at configure, called on one thread, which
 * also gives the same bits on any number of threads but not on any machine. wn__linalg_name says
 * which one NULL means.
 *
 * Every function takes an executor: with x->planning it returns at once (products plan their op).
 * Scratch is the caller's, 64-byte aligned, of the bytes its size function gives (SIZE_MAX: no such
 * sizes). NaN and infinity in an input are INVALID, with the position found. u: 2^-53. */
#ifndef WN_SPARSE_LINALG_H
#define WN_SPARSE_LINALG_H

#include "kernels/op.h"

typedef struct wn__linalg wn__linalg;
const wn__linalg *wn__linalg_reference(void);
const wn__linalg *wn__linalg_best(void); /* what NULL means: lapacke, or reference without one */
const char *wn__linalg_name(void);       /* of the best: "lapacke" or "reference" */

/* A[m,n] = Q[m,k] R[k,n], k = min(m,n), by Householder reflections (Golub & Van Loan, 5.2). Q has
 * orthonormal columns whatever the rank of A; R is upper triangular (trapezoidal for m < n) with
 * zeros written out, its diagonal of any sign. ||A - QR||_F and ||Q^T Q - I||_F stay below a small
 * multiple of m k u times ||A||_F and 1. q may be a when m >= n. */
size_t wn__linalg_qr_scratch(const wn__linalg *family, int64_t m, int64_t n);
WN_NODISCARD wn_status wn__linalg_qr(const wn__linalg *family, wn__exec *x, int64_t m, int64_t n,
                                     const double *a, double *q, double *r, void *scratch);

/* A[m,n] = U[m,k] diag(s[k]) VT[k,n], k = min(m,n), s descending and >= 0; U and V have orthonormal
 * columns whatever the rank. u and vt NULL: the values alone. a is not changed. The reference is
 * one-sided Jacobi after a QR factorisation with column pivoting (Drmac & Veselic 2008; Demmel &
 * Veselic 1992) in a fixed order; lapacke is dgesdd. BUG if it does not converge. */
size_t wn__linalg_svd_scratch(const wn__linalg *family, int64_t m, int64_t n);
WN_NODISCARD wn_status wn__linalg_svd(const wn__linalg *family, wn__exec *x, int64_t m, int64_t n,
                                      const double *a, double *u, double *s, double *vt,
                                      void *scratch);

/* The orthogonal factor of the polar decomposition of B[n,n]: U V^T where B = U S V^T, the
 * orthogonal Q that makes trace(Q^T B) largest. Not unique where B is singular; orthogonal even
 * then. q may be b. */
size_t wn__linalg_polar_scratch(const wn__linalg *family, int64_t n);
WN_NODISCARD wn_status wn__linalg_polar(const wn__linalg *family, wn__exec *x, int64_t n,
                                        const double *b, double *q, void *scratch);

/* Solves X R = B in place of B[rows,n]; R[n,n] upper triangular in rows of `leading` elements, what
 * lies below its diagonal is not read. (R^T X = B is this on transposed B.) INVALID names a zero on
 * the diagonal. Backward stable row by row: |X R - B| <= n u |X| |R|, and a little more. */
WN_NODISCARD wn_status wn__linalg_solve(wn__exec *x, int64_t rows, int64_t n, const double *r,
                                        int64_t leading, double *b);

/* c[m,n] = a[m,k] b[k,n], F64 views with any strides for `reference`, those of the op matmul for
 * `lapacke`, which runs it (a forced variant that takes no F64 does not count here). Error
 * <= 2 k u sum|a||b|. c overlaps neither. */
WN_NODISCARD wn_status wn__linalg_product(const wn__linalg *family, wn__exec *x, const wn_tensor *a,
                                          const wn_tensor *b, const wn_tensor *c);

#endif
