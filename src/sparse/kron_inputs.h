// SPDX-License-Identifier: MIT
/* Chains nearest to a dense matrix by what it does to inputs that are known: the smallest
 * tr((W - P) H (W - P)^T), H the second moments of the inputs.
 *
 * Two closed forms to begin with: the one that knows no inputs (sparse/kron_fit.h), and that of the
 * weight times what the rightmost factor can take back of a root of H, all of it where that factor
 * is dense (Wang et al., "SVD-LLM", 2024), else a root of each block of H that one of its groups
 * reads. From the better one on the leftmost factor is replaced by its least-squares optimum, and
 * the rightmost one improved by conjugate gradients, in turn: no step makes it worse, so the
 * result is never above the plain closed form. */
#ifndef WN_SPARSE_KRON_INPUTS_H
#define WN_SPARSE_KRON_INPUTS_H

#include "sparse/kron_fit.h"

/* All relative: of the weight ||W - P||_F / ||W||_F, of the outputs the same under H. */
typedef struct wn__kron_inputs {
    double plain_weight, plain_outputs; /* the closed form that knows no inputs */
    double closed_outputs;              /* the one that does */
    double weight, outputs;             /* what came out */
    int rounds;
} wn__kron_inputs;

/* w[rows, columns] and h[columns, columns], symmetric and positive definite, packed; factor[t]
 * receives the numbers of factor t in canonical order, all of one norm. Ends after `rounds`, or
 * where a round improves the outputs' error by less than a five-hundredth. Same bits for any number
 * of threads. A zero w has zero factors and no error. INVALID: as wn__kron_fit_dense, and an h that
 * is not positive definite. NOMEM. */
WN_NODISCARD wn_status wn__kron_fit_inputs(const wn__linalg *family, wn__exec *x,
                                           const wn__kron_chain *c, const double *w,
                                           const double *h, int rounds, double *const *factor,
                                           wn__kron_inputs *report);

/* tr(D H D^T) of d[rows, columns] packed; h NULL: the sum of its squares. NOMEM. */
WN_NODISCARD wn_status wn__kron_inputs_square(wn__exec *x, int64_t rows, int64_t columns,
                                              const double *d, const double *h, double *square);

/* ||(W - W_k) S||_F / ||W S||_F, S S^T = H, of the best W_k of that rank. */
WN_NODISCARD wn_status wn__kron_lowrank_inputs(const wn__linalg *family, wn__exec *x, int64_t rows,
                                               int64_t columns, const double *w, const double *h,
                                               int64_t rank, double *outputs);

#endif
