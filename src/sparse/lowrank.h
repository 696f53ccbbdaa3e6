// SPDX-License-Identifier: MIT
/* Low-rank weights W = M N^T, M [out,r], N [in,r]: the exact Riemannian step of LORO (Mo, Huang &
 * Pan, "LORO: parameter and memory efficient pretraining via low-rank Riemannian optimization",
 * 2025), factors of a dense matrix, and the projectors of GaLore (Zhao et al. 2024).
 *
 * Tensors are F32 or F64 on the CPU, of any strides, and are read and written once; all arithmetic
 * is double, by the families of sparse/linalg.h, so the same bits come out for any number of
 * threads. In planning mode nothing is touched and data may be NULL. Scratch is the caller's,
 * 64-byte aligned, of the bytes a size function gives (SIZE_MAX: no such sizes). NaN or infinity in
 * an input is INVALID, with its tensor and place. */
#ifndef WN_SPARSE_LOWRANK_H
#define WN_SPARSE_LOWRANK_H

#include "sparse/linalg.h"

#define WN__EXACT_LEAST_RATIO 1e-6

typedef struct wn__exact_options {
    bool symmetric;     /* K0 = (Z_A V + U^T Z_B)/2 instead of the paper's Z_A V */
    bool gauge;         /* rotate the result so that the factors move as little as possible */
    double least_ratio; /* sigma_min/sigma_max of R_M or R_N below this: fall back. 0: the default,
                           WN__EXACT_LEAST_RATIO */
    const wn__linalg *family; /* borrowed; NULL: the best of this build */
} wn__exact_options;

typedef struct wn__exact_report {
    bool fell_back;              /* M and N are untouched, to the bit */
    char why[96];                /* of a fall-back; else "" */
    double sigma_max, sigma_min; /* kept */
    double dropped;              /* largest dropped; 0 where none was */
    double moved;                /* ||W_new - W||_F, before M and N are rounded to their dtype */
    double condition_m, condition_n; /* sigma_max/sigma_min of the factors; infinite for a singular
                                        one; 0 where it was not come to */
} wn__exact_report;

size_t wn__lowrank_exact_scratch(int64_t out, int64_t in, int64_t r); /* bytes, any family */

/* One exact step along dM [out,r], dN [in,r]: M N^T becomes the best approximation of rank r of
 * W - lr T, where, with the QR factorisations M = U R_M and N = V R_N,
 *     Z_B = dM R_N^-1,  Z_A = R_M^-T dN^T,  T = (I - U U^T) Z_B V^T + U Z_A (I - V V^T) + U K0 V^T
 * and K0 = Z_A V. With dM = G N and dN = G^T M of a gradient G this is G projected onto the tangent
 * space at W, U U^T G + G V V^T - U U^T G V V^T. Directions of Adam come from no G: then U^T Z_B is
 * not Z_A V, and `symmetric` takes the mean of both for K0.
 *
 * The factors come out balanced, M^T M = N^T N = Sigma, the diagonal of the kept singular values,
 * descending; the signs, which an SVD leaves open, are such that no pair of columns points away
 * from the old one: m_new . m + n_new . n >= 0. With `gauge` both are then multiplied by the
 * orthogonal polar factor of M_new^T M + N_new^T N, which makes ||M_new - M||^2 + ||N_new - N||^2
 * the least any orthogonal matrix can; the product stays, M^T M = N^T N stays, Sigma is no longer
 * diagonal.
 *
 * The bases are those of QR([M dM]) and QR([N dN]), 2r columns each or as many as there are rows,
 * orthonormal to rounding whatever the ranks: what projecting twice would be for. No product
 * [out,in] is formed: O((out + in) r^2 + r^3).
 *
 * Where r > out or r > in, W can have full rank, T is G itself and nothing is cut: W_new = W - lr
 * G, with G^T = dN M^+ where r > out, G = dM N^+ where r > in, and where both dN's, or when
 * symmetric their mean. The factors come out balanced with r - min(out,in) zero columns, which
 * `gauge` mixes with the others.
 *
 * Falls back, which is WN_OK with report->fell_back: a zero column of M or N (r <= out, in); a
 * factor with sigma_min/sigma_max not above least_ratio, since R is divided by; an SVD that does
 * not converge; a result beyond the range of the dtype. Errors: INVALID shapes, dtypes, lr, NaN. */
WN_NODISCARD wn_status wn__lowrank_exact_step(wn__exec *x, const wn_tensor *m, const wn_tensor *n,
                                              const wn_tensor *dm, const wn_tensor *dn, double lr,
                                              const wn__exact_options *o, void *scratch,
                                              wn__exact_report *report);

size_t wn__lowrank_from_dense_scratch(int64_t out, int64_t in, int64_t r);
/* M = U_r S_r^(1/2), N = V_r S_r^(1/2) of the SVD of W [out,in], r the columns of M [out,r] and
 * N [in,r]: M N^T is the best approximation of rank r (Eckart & Young 1936), balanced. Columns
 * beyond min(out,in) become zero. *kept, may be NULL: the share of ||W||_F^2 in M N^T, 1 for W = 0.
 * family NULL: the best. INVALID also where the factors leave the range of their dtype. */
WN_NODISCARD wn_status wn__lowrank_from_dense(const wn__linalg *family, wn__exec *x,
                                              const wn_tensor *w, const wn_tensor *m,
                                              const wn_tensor *n, void *scratch, double *kept);

typedef enum wn__side { WN__SIDE_LEFT, WN__SIDE_RIGHT } wn__side;
/* The side GaLore's "std" projects a gradient [m,n] on, the smaller one: RIGHT where m >= n. Its
 * "reverse_std" is the other one, "full" is both. */
wn__side wn__lowrank_side(int64_t m, int64_t n);
size_t wn__lowrank_projector_scratch(int64_t m, int64_t n);
/* The leading r singular vectors of G [m,n], orthonormal whatever the rank of G: for LEFT
 * P [m,r] (U_r; the small gradient is P^T G [r,n]), for RIGHT P [r,n] (V_r^T; it is G P^T [m,r]).
 * r <= min(m,n). A vector's sign is that which makes its largest entry positive (the first of the
 * largest), so families agree where singular values are apart. *kept as above. */
WN_NODISCARD wn_status wn__lowrank_projector(const wn__linalg *family, wn__exec *x,
                                             const wn_tensor *g, wn__side side, const wn_tensor *p,
                                             void *scratch, double *kept);

#endif
