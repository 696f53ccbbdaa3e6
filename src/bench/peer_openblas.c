// SPDX-License-Identifier: MIT
// OpenBLAS, through its CBLAS. It may be the one that the build links: then its threads are given
// back after every sample (our own variant calls it on one).
#include "base/fail.h"
#include "bench/peer.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SGEMM, SGEMV, CONFIG, CORE, THREADS, REQUIRED, SBGEMM = REQUIRED };
enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 }; // of cblas.h

typedef void sgemm_fn(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                      int lda, const float *b, int ldb, float beta, float *c, int ldc);
typedef void sbgemm_fn(int order, int ta, int tb, int m, int n, int k, float alpha, const void *a,
                       int lda, const void *b, int ldb, float beta, float *c, int ldc);
typedef void sgemv_fn(int order, int ta, int m, int n, float alpha, const float *a, int lda,
                      const float *x, int incx, float beta, float *y, int incy);
typedef char *text_fn(void);
typedef void threads_fn(int threads);

static wn_status open_library(wn__peer *p) {
    static const char *const names[REQUIRED] = {"cblas_sgemm", "cblas_sgemv", "openblas_get_config",
                                                "openblas_get_corename",
                                                "openblas_set_num_threads"};
    WN_TRY(wn__peer_lookup(p, SGEMM, names, REQUIRED));
    p->call[SBGEMM] = wn__peer_find(p, "cblas_sbgemm");  // not in every build
    const char *config = ((text_fn *)p->call[CONFIG])(); // "OpenBLAS 0.3.21 NO_LAPACKE ..."
    if (strncmp(config, "OpenBLAS ", 9) == 0) config += 9;
    (void)snprintf(p->version, sizeof p->version, "%.*s %.30s", (int)strcspn(config, " "), config,
                   ((text_fn *)p->call[CORE])());
    return WN_OK;
}

static void use_threads(const wn__peer *p, int threads) {
    ((threads_fn *)p->call[THREADS])(threads);
}

typedef struct job {
    const wn__peer *p;
    const wn__gemm *g;
} job;

static wn_status prepare(const wn__peer *p, const wn__gemm *g, void **out) {
    if (g->dtype == WN_DTYPE_BF16 && !p->call[SBGEMM])
        return wn__fail(WN_UNSUPPORTED, "this build has no cblas_sbgemm");
    if (g->m > INT_MAX || g->n > INT_MAX || g->k > INT_MAX)
        return wn__fail(WN_UNSUPPORTED, "a size is above %d", INT_MAX);
    job *j = malloc(sizeof *j);
    if (!j) return wn__fail(WN_NOMEM, "no memory for a product");
    *j = (job){p, g};
    *out = j;
    return WN_OK;
}

static wn_status run(void *ctx) {
    const job *j = ctx;
    const wn__gemm *g = j->g;
    bool at = g->a_column != 1, bt = g->b_column != 1;
    int m = (int)g->m, n = (int)g->n, k = (int)g->k, ta = at ? TRANSPOSED : PLAIN;
    int tb = bt ? TRANSPOSED : PLAIN, lda = (int)(at ? g->a_column : g->a_row);
    int ldb = (int)(bt ? g->b_column : g->b_row);
    if (g->dtype == WN_DTYPE_BF16)
        ((sbgemm_fn *)j->p->call[SBGEMM])(ROW_MAJOR, ta, tb, m, n, k, 1, g->a, lda, g->b, ldb, 0,
                                          g->c, n);
    else if (m == 1 && bt) // y = W x
        ((sgemv_fn *)j->p->call[SGEMV])(ROW_MAJOR, PLAIN, n, k, 1, g->b, ldb, g->a, 1, 0, g->c, 1);
    else
        ((sgemm_fn *)j->p->call[SGEMM])(ROW_MAJOR, ta, tb, m, n, k, 1, g->a, lda, g->b, ldb, 0,
                                        g->c, n);
    return WN_OK;
}

static const char *const files[] = {"libopenblas.so.0", "libopenblas.so", NULL};

extern const wn__peer_type wn__peer_openblas;
const wn__peer_type wn__peer_openblas = {.name = "openblas",
                                         .file = files,
                                         .open = open_library,
                                         .threads = use_threads,
                                         .prepare = prepare,
                                         .run = run,
                                         .release = free};
