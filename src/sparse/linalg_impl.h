// SPDX-License-Identifier: MIT
/* What the files of linalg share: the two families behind one table, and the steps of the
 * reference. Arguments arrive checked: sizes above 0, finite numbers, not planning. */
#ifndef WN_SPARSE_LINALG_IMPL_H
#define WN_SPARSE_LINALG_IMPL_H

#include "base/arena.h"
#include "sparse/linalg.h"

struct wn__linalg {
    const char *name;
    wn_status (*qr_alloc)(wn__arena *arena, int64_t m, int64_t n); /* counts scratch */
    wn_status (*qr)(wn__exec *x, int64_t m, int64_t n, const double *a, double *q, double *r,
                    void *scratch);
    wn_status (*svd_alloc)(wn__arena *arena, int64_t m, int64_t n);
    wn_status (*svd)(wn__exec *x, int64_t m, int64_t n, const double *a, double *u, double *s,
                     double *vt, void *scratch);
    wn_status (*product)(wn__exec *x, const wn_tensor *a, const wn_tensor *b, const wn_tensor *c);
};

/* The lapacke family; only in builds with one. */
const wn__linalg *wn__linalg_lapacke(void);

/* a*b doubles from an arena; NOMEM where there cannot be so many. */
wn_status wn__doubles(wn__arena *arena, int64_t a, int64_t b, double **out);
/* The caller's scratch as an arena that hands it out. */
wn__arena wn__arena_over(void *scratch);

/* dst[n,m] = src[m,n] transposed. */
void wn__transpose(wn__exec *x, int64_t m, int64_t n, const double *src, double *dst);
/* sum a_i b_i in eight partial sums, the same on every machine. */
double wn__dot(int64_t n, const double *a, const double *b);
/* The power of two that brings the largest |a_i| into [1/2,1); 1 for zeros. */
double wn__unit_scale(int64_t n, const double *a);
/* a_i *= factor */
void wn__scale(int64_t n, double *a, double factor);

/* Householder QR of n columns of length m that each lie contiguous in w (so w is A^T, row-major).
 * On return column j holds R[0..min(j,k-1)][j], below it the reflector's vector without its leading
 * 1; tau[k], k = min(m,n). Needs max|w| about 1 (wn__unit_scale). */
void wn__reflect(wn__exec *x, int64_t m, int64_t n, double *w, double *tau);
/* The same with columns exchanged so that |R[j][j]| descends; pivot[j] is the old place of column
 * j. norms[2 n] is scratch. */
void wn__reflect_pivoted(wn__exec *x, int64_t m, int64_t n, double *w, double *tau, int64_t *pivot,
                         double *norms);
/* Applies Q = H_0 H_1 .. H_{k-1} to `columns` contiguous columns c of length m. unit: column j
 * starts as the j-th unit vector, which spares it the reflectors above j. */
void wn__apply_reflections(wn__exec *x, int64_t m, int64_t k, const double *w, const double *tau,
                           int64_t columns, double *c, bool unit);

wn_status wn__qr_reference_alloc(wn__arena *arena, int64_t m, int64_t n);
wn_status wn__qr_reference(wn__exec *x, int64_t m, int64_t n, const double *a, double *q, double *r,
                           void *scratch);
wn_status wn__svd_reference_alloc(wn__arena *arena, int64_t m, int64_t n);
wn_status wn__svd_reference(wn__exec *x, int64_t m, int64_t n, const double *a, double *u,
                            double *s, double *vt, void *scratch);
wn_status wn__product_reference(wn__exec *x, const wn_tensor *a, const wn_tensor *b,
                                const wn_tensor *c);

#endif
