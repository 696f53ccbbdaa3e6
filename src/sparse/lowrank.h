// SPDX-License-Identifier: MIT
/* Low-rank weights W = M N^T, M [out,r], N [in,r]: the exact Riemannian step of LORO (Mo et al.
 * 2025), factors of a dense matrix, and GaLore's projector. */
#ifndef WN_SPARSE_LOWRANK_H
#define WN_SPARSE_LOWRANK_H

#include "kernels/op.h"

typedef struct wn__exact_options {
    bool symmetric;     /* K0 = (Z_A V + U^T Z_B)/2 instead of the paper's Z_A V */
    bool gauge;         /* rotate the result so that the factors move as little as possible */
    double least_ratio; /* sigma_min/sigma_max of R_M or R_N below this: fall back (1e-6) */
} wn__exact_options;

typedef struct wn__exact_report {
    bool fell_back; /* M and N are untouched */
    char why[96];
    double sigma_max, sigma_min; /* kept */
    double dropped;              /* largest dropped */
    double moved;                /* ||W_new - W||_F */
    double condition_m, condition_n;
} wn__exact_report;

size_t wn__lowrank_exact_scratch(int64_t out, int64_t in, int64_t r); /* bytes */
/* One exact step along dM [out,r], dN [in,r]. Any strides, so that N may be the transpose of a
 * stored [r,in]. */
WN_NODISCARD wn_status wn__lowrank_exact_step(wn__exec *x, const wn_tensor *m, const wn_tensor *n,
                                              const wn_tensor *dm, const wn_tensor *dn, double lr,
                                              const wn__exact_options *o, void *scratch,
                                              wn__exact_report *report);

#endif
