// SPDX-License-Identifier: MIT
// A low-rank head beside the chain of a fit: found first, in turn with a chain in closed form, and
// kept. What follows fits the chain to what the head leaves of the weight. A fit that goes on has
// the head of its checkpoint, which says of which weight and calibration it is.
#include "base/fail.h"
#include "base/file.h"
#include "formats/pth.h"
#include "prune/ks.h"
#include "sparse/kron_head.h"

#include <inttypes.h>
#include <stdlib.h>

enum { ROUNDS = 4 }; // of least squares of the chain in each turn, where inputs are known

static wn_status reserve(wn__ks *k, double **w, double **h, double **factor, double **head) {
    const int64_t sizes[2] = {k->head_rank * k->in, k->out * k->head_rank};
    *w = malloc((size_t)(k->out * k->in) * sizeof **w);
    bool ok = *w != NULL;
    if (k->root != NULL) {
        *h = malloc((size_t)(k->in * k->in) * sizeof **h);
        ok = ok && *h != NULL;
    }
    for (int t = 0; t < k->chain.count; t++) {
        factor[t] = malloc((size_t)wn__kron_params(&k->chain.factor[t]) * sizeof(double));
        ok = ok && factor[t] != NULL;
    }
    for (int i = 0; i < 2; i++) {
        head[i] = malloc((size_t)sizes[i] * sizeof(double));
        k->head[i] = malloc((size_t)sizes[i] * sizeof(float));
        ok = ok && head[i] != NULL && k->head[i] != NULL;
    }
    return ok ? WN_OK : wn__fail(WN_NOMEM, "out of memory for a head");
}

// W becomes what the head, as it is saved, leaves of it.
static void subtract(wn__ks *k) {
    int64_t rank = k->head_rank;
    for (int64_t r = 0; r < k->out; r++)
        for (int64_t c = 0; c < k->in; c++) {
            double sum = 0;
            for (int64_t q = 0; q < rank; q++)
                sum += (double)k->head[1][r * rank + q] * (double)k->head[0][q * k->in + c];
            k->w[r * k->in + c] = (float)((double)k->w[r * k->in + c] - sum);
        }
}

static wn_status fit(wn__ks *k, const double *w, const double *h, double *const *factor,
                     double *const *head) {
    wn__kron_inputs report;
    int64_t rank = k->head_rank;
    WN_TRY(wn__kron_fit_head(NULL, &k->x, &k->chain, rank, w, h, WN__KRON_HEAD_TURNS, ROUNDS,
                             factor, head, &report));
    for (int64_t i = 0; i < rank * k->in; i++)
        k->head[0][i] = (float)head[0][i];
    for (int64_t i = 0; i < k->out * rank; i++)
        k->head[1][i] = (float)head[1][i];
    return WN_OK;
}

// ---- of a checkpoint

static bool says(const wn__pickle_value *own, const char *key, uint32_t want) {
    const wn__pickle_value *v = wn__pickle_get(own, key);
    return v != NULL && v->type == WN__PICKLE_INT && v->integer == (int64_t)want;
}

uint32_t wn__ks_head_crc(const wn__ks *k) {
    const size_t rank = (size_t)k->head_rank * sizeof(float);
    return wn__crc32(wn__crc32(0, k->head[0], rank * (size_t)k->in), k->head[1],
                     rank * (size_t)k->out);
}

// Whether a head is of this weight and of this calibration.
static wn_status same_source(const wn__ks *k, const wn__pth *p) {
    static const char *const keys[] = {"weight_crc", "calib_crc", "head_crc"};
    const wn__pickle_value *own = wn__pickle_get(p->root, "winnow");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (wn__pickle_get(own, keys[i]) == NULL)
            return wn__fail(WN_INVALID, "%s: does not say what its head is of (winnow.%s)", p->path,
                            keys[i]);
    if (!says(own, "weight_crc", k->made_of[0]))
        return wn__fail(WN_INVALID, "%s: its head is of another weight than %s", p->path, k->path);
    if (!says(own, "calib_crc", k->made_of[1]))
        return wn__fail(WN_INVALID, "%s: its head is of another calibration than %s", p->path,
                        k->o->calib != NULL ? k->o->calib : "none");
    return WN_OK;
}

static wn_status take_from(wn__ks *k, const wn__pth *p) {
    const wn__pth_entry *e = wn__pth_find(p, "head.in");
    const int64_t rank = e != NULL && e->view.ndim == 2 ? e->view.shape[0] : 0;
    if (rank != k->head_rank)
        return wn__fail(WN_INVALID, "%s: its head has rank %" PRId64 ", here %" PRId64, p->path,
                        rank, k->head_rank);
    WN_TRY(same_source(k, p));
    const wn_tensor v = wn__tensor2(k->head[0], WN_DTYPE_F32, rank, k->in);
    const wn_tensor u = wn__tensor2(k->head[1], WN_DTYPE_F32, k->out, rank);
    WN_TRY(wn__ks_take(p, "head.in", &v));
    WN_TRY(wn__ks_take(p, "head.out", &u));
    if (says(wn__pickle_get(p->root, "winnow"), "head_crc", wn__ks_head_crc(k))) return WN_OK;
    return wn__fail(WN_INVALID, "%s: its head is not the one that was saved (winnow.head_crc)",
                    p->path);
}

static wn_status take_saved(wn__ks *k) {
    wn__pth p;
    WN_TRY(wn__pth_open(k->o->resume, &p));
    wn_status status = take_from(k, &p);
    wn__pth_close(&p);
    return status;
}

// ----

wn_status wn__ks_make_head(wn__ks *k) {
    double *w = NULL, *h = NULL, *factor[WN__KRON_MAX] = {NULL}, *head[2] = {NULL};
    wn__exec x = {.pool = k->pool};
    k->norm = 0;
    for (int64_t i = 0; i < k->out * k->in; i++)
        k->norm += (double)k->w[i] * (double)k->w[i];
    k->made_of[0] = wn__crc32(0, k->w, (size_t)(k->out * k->in) * sizeof *k->w);
    if (k->head_rank == 0) return WN_OK;
    wn_status status = reserve(k, &w, &h, factor, head);
    for (int64_t i = 0; i < k->out * k->in && status == WN_OK; i++)
        w[i] = (double)k->w[i];
    if (status == WN_OK && h != NULL) {
        status = wn__ks_square(k, &x, h);
        if (status == WN_OK) status = wn__kron_inputs_square(&x, k->out, k->in, w, h, &k->outputs);
    }
    if (status == WN_OK) status = k->o->resume != NULL ? take_saved(k) : fit(k, w, h, factor, head);
    if (status == WN_OK) subtract(k);
    free(w);
    free(h);
    for (int t = 0; t < k->chain.count; t++)
        free(factor[t]);
    free(head[0]);
    free(head[1]);
    return status;
}
