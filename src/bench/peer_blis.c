// SPDX-License-Identifier: MIT
// BLIS, through its own interface: its CBLAS calls Fortran names, which another BLAS in the process
// would answer.
#include "base/fail.h"
#include "bench/peer.h"

#include <stdio.h>
#include <stdlib.h>

enum { SGEMM, VERSION, INTEGER, THREADS, REQUIRED };
enum { NO_TRANSPOSE = 0 }; // of blis.h

typedef void sgemm_fn(int ta, int tb, int64_t m, int64_t n, int64_t k, const float *alpha,
                      const float *a, int64_t a_row, int64_t a_column, const float *b,
                      int64_t b_row, int64_t b_column, const float *beta, float *c, int64_t c_row,
                      int64_t c_column);
typedef const char *text_fn(void);
typedef int64_t number_fn(void);
typedef void threads_fn(int64_t threads);

static wn_status open_library(wn__peer *p) {
    static const char *const names[REQUIRED] = {"bli_sgemm", "bli_info_get_version_str",
                                                "bli_info_get_int_type_size",
                                                "bli_thread_set_num_threads"};
    WN_TRY(wn__peer_lookup(p, SGEMM, names, REQUIRED));
    int32_t bits = (int32_t)((number_fn *)p->call[INTEGER])();
    if (bits != 64)
        return wn__fail(WN_UNSUPPORTED, "%s has integers of %d bits, not 64", p->path, (int)bits);
    (void)snprintf(p->version, sizeof p->version, "%.60s", ((text_fn *)p->call[VERSION])());
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
    if (g->dtype != WN_DTYPE_F32) return wn__fail(WN_UNSUPPORTED, "BLIS multiplies float32 only");
    job *j = malloc(sizeof *j);
    if (!j) return wn__fail(WN_NOMEM, "no memory for a product");
    *j = (job){p, g};
    *out = j;
    return WN_OK;
}

static wn_status run(void *ctx) {
    static const float one = 1, zero = 0;
    const job *j = ctx;
    const wn__gemm *g = j->g;
    ((sgemm_fn *)j->p->call[SGEMM])(NO_TRANSPOSE, NO_TRANSPOSE, g->m, g->n, g->k, &one, g->a,
                                    g->a_row, g->a_column, g->b, g->b_row, g->b_column, &zero, g->c,
                                    g->n, 1);
    return WN_OK;
}

static const char *const files[] = {"libblis.so.4", "libblis.so.5", "libblis.so", NULL};

extern const wn__peer_type wn__peer_blis;
const wn__peer_type wn__peer_blis = {.name = "blis",
                                     .file = files,
                                     .open = open_library,
                                     .threads = use_threads,
                                     .prepare = prepare,
                                     .run = run,
                                     .release = free};
