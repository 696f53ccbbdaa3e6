// SPDX-License-Identifier: MIT
/* What the files of lowrank share: tensors in and out of double, and the end of an exact step. */
#ifndef WN_SPARSE_LOWRANK_IMPL_H
#define WN_SPARSE_LOWRANK_IMPL_H

#include "sparse/linalg_impl.h"
#include "sparse/lowrank.h"

/* F32 or F64, two dimensions, on the CPU; data unless planning. INVALID or UNSUPPORTED with `name`.
 */
WN_NODISCARD wn_status wn__lowrank_check(const wn__exec *x, const char *name, const wn_tensor *t);
/* INVALID unless t is [a,b]. */
WN_NODISCARD wn_status wn__lowrank_check_shape(const char *name, const wn_tensor *t, int64_t a,
                                               int64_t b);
/* dst (F64) = t, same shape. INVALID names the entry that is not finite. Nothing when planning. */
WN_NODISCARD wn_status wn__lowrank_load(const wn__exec *x, const char *name, const wn_tensor *t,
                                        const wn_tensor *dst);
/* Whether every entry of src (F64) stays finite in the dtype of t. */
bool wn__lowrank_storable(const wn_tensor *src, const wn_tensor *t);
/* t = src (F64), rounded once. */
void wn__lowrank_store(const wn_tensor *src, const wn_tensor *t);
/* left [a,r] = u S^(1/2) and right [b,r] = vt^T S^(1/2) of the first `rank` singular vectors of
 * u [a,k], vt [k,b]; columns beyond `rank` become zero. */
void wn__lowrank_balance(const wn_tensor *u, const double *s, const wn_tensor *vt, int64_t rank,
                         const wn_tensor *left, const wn_tensor *right);

/* Writes both factors, or falls back where they leave the range of the dtype. */
void wn__exact_store(const wn_tensor *left, const wn_tensor *right, const wn_tensor *m,
                     const wn_tensor *n, wn__exact_report *report);
/* Marks a fall-back. */
void wn__exact_fall_back(wn__exact_report *report, const char *fmt, ...) WN_PRINTF(2, 3);
/* The SVD of a factor's R or of a wide factor is there (svd: its status), n values s: the condition
 * to *condition, and a fall-back where it failed or the last value is not above least_ratio times
 * the first. */
void wn__exact_judge(const char *name, wn_status svd, int64_t n, const double *s,
                     double least_ratio, double *condition, wn__exact_report *report);

/* Room for the turn of a gauge of factors [a,r] and [b,r]. */
typedef struct wn__gauge {
    wn_tensor overlap, turn; /* [r,r] */
    wn_tensor left, right;   /* the factors turned */
    void *work;
} wn__gauge;
WN_NODISCARD wn_status wn__gauge_alloc(wn__arena *arena, const wn__linalg *family, int64_t a,
                                       int64_t b, int64_t r, wn__gauge *g);
/* g->left, g->right = left Q, right Q with the orthogonal Q that brings them nearest to the old
 * factors; all four in the same coordinates. Falls back where there is no Q. */
WN_NODISCARD wn_status wn__gauge_turn(const wn__gauge *g, const wn__linalg *family, wn__exec *x,
                                      const wn_tensor *old_left, const wn_tensor *old_right,
                                      const wn_tensor *left, const wn_tensor *right,
                                      wn__exact_report *report);

/* Without a turn: each column of left and right is negated where it points away from the old one,
 * since an SVD fixes pairs of columns but for a sign. Nothing when planning. */
void wn__gauge_signs(const wn__exec *x, const wn_tensor *old_left, const wn_tensor *old_right,
                     const wn_tensor *left, const wn_tensor *right);

/* The step where M and N cannot both have rank r (r > out or r > in), and its scratch. */
WN_NODISCARD wn_status wn__exact_full_alloc(wn__arena *arena, const wn__linalg *family, int64_t out,
                                            int64_t in, int64_t r);
WN_NODISCARD wn_status wn__exact_full(wn__exec *x, const wn_tensor *m, const wn_tensor *n,
                                      const wn_tensor *dm, const wn_tensor *dn, double lr,
                                      const wn__exact_options *o, void *scratch,
                                      wn__exact_report *report);

#endif
