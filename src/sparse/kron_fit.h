// SPDX-License-Identifier: MIT
/* Chains of Kronecker-sparse factors nearest to a dense matrix, in closed form.
 *
 * Two chainable factors: the blocks of their product are disjoint, each is any matrix of rank r, so
 * truncating the SVD of every block is the global optimum in the Frobenius norm. More: the leftmost
 * factor is split off by that rule, then the next of what remains (Le, Zheng, Riccietti &
 * Gribonval, 2025). Each finished factor maps the rest isometrically, so the squared errors of the
 * stages e_t add up to that of the whole, which is at most sqrt(L-1) times the best there is; two
 * factors are optimal. A chain of the original program (wn__kron_chain_legacy) with a bottleneck of
 * rank r reaches every matrix of that rank: it gets the truncated SVD, its butterflies the
 * identity. */
#ifndef WN_SPARSE_KRON_FIT_H
#define WN_SPARSE_KRON_FIT_H

#include "sparse/kron.h"
#include "sparse/linalg.h"

typedef struct wn__kron_fit {
    double norm;                /* ||W||_F */
    double error;               /* ||W - K_{L-1} ... K_0||_F */
    double outside;             /* of W where no chain of these patterns has an entry */
    double stage[WN__KRON_MAX]; /* e_t, from the left; L - 1 of them */
    double least;               /* no chain of these patterns is nearer than this; with `bound` */
} wn__kron_fit;

/* w[rows, columns] packed; factor[t] receives the numbers of factor t in canonical order. The
 * factors come out balanced: of one Frobenius norm, unless the product is 0. bound: also the lower
 * bound, the largest error of any cut in two, which costs as much again for each factor. family
 * NULL: the best. Same bits for any number of threads. INVALID: chains that are neither chainable
 * nor the original's, with the pair; NaN and infinity. NOMEM. */
WN_NODISCARD wn_status wn__kron_fit_dense(const wn__linalg *family, wn__exec *x,
                                          const wn__kron_chain *c, const double *w,
                                          double *const *factor, bool bound, wn__kron_fit *report);

#endif
