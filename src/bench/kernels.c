// SPDX-License-Identifier: MIT
// The suites that time kernels: every work on every shape and number of rows.
#include "base/block.h"
#include "base/fail.h"
#include "bench/suite.h"
#include "tensor/tensor.h"

#include <stdlib.h>
#include <string.h>

static wn_status product_cell(wn__suite *s, wn__shape shape, int64_t rows, const char *work,
                              bool cold) {
    wn__cell c = {.suite = s, .work = work, .shape = shape, .rows = rows};
    const wn__product what = wn__work_product(&wn__works_cpu, s->o->suite, work);
    wn_status status = wn__work_add(&c, s->o->suite, cold);
    if (status == WN_OK && what != WN__NO_PRODUCT) status = wn__product_add(&c, &what, 1, cold);
    if (status == WN_OK) return wn__cell_measure(&c);
    wn__cell_free(&c);
    return status;
}

static wn_status products(wn__suite *s, bool cold) {
    const char *work;
    for (int i = 0; (work = wn__work_name(&wn__works_cpu, s->o->suite, i)) != NULL; i++)
        for (int shape = 0; shape < s->shapes && wn__suite_wants(s, work); shape++)
            for (int rows = 0; rows < s->row_counts; rows++)
                WN_TRY(product_cell(s, s->shape[shape], s->rows[rows], work, cold));
    return WN_OK;
}

wn_status wn__suite_gemm(wn__suite *s) {
    return products(s, false);
}

wn_status wn__suite_decode(wn__suite *s) {
    return products(s, true);
}

// A copy of a weight, by all threads.
typedef struct copy {
    wn__pool *pool;
    char *from, *to;
    size_t bytes;
} copy;

enum { PIECE = 1 << 20 };

static void copy_piece(void *ctx, int64_t begin, int64_t end, int worker) {
    copy *c = ctx;
    (void)worker;
    memcpy(c->to + begin, c->from + begin, (size_t)(end - begin));
}

static wn_status run_copy(void *ctx) {
    copy *c = ctx;
    wn__parallel_for(c->pool, (int64_t)c->bytes, PIECE, copy_piece, c);
    return WN_OK;
}

static void release_copy(void *ctx) {
    copy *c = ctx;
    free(c->from);
    free(c->to);
    free(c);
}

static wn_status add_copy(wn__cell *c, size_t element) {
    copy *k = calloc(1, sizeof *k);
    if (!k) return wn__fail(WN_NOMEM, "no memory for a copy");
    size_t bytes = (size_t)c->shape.out * (size_t)c->shape.in * element;
    *k = (copy){c->suite->pool, wn__block_alloc(bytes), wn__block_alloc(bytes), bytes};
    if (!k->from || !k->to) {
        release_copy(k);
        return wn__fail(WN_NOMEM, "no memory to copy %zu bytes", bytes);
    }
    memset(k->from, 1, bytes);
    memset(k->to, 2, bytes);
    wn__entry *e;
    WN_TRY(wn__cell_add(c, "memcpy", WN_BENCH_DENSE, run_copy, k, release_copy, &e));
    e->bytes = 2 * (double)bytes;
    return WN_OK;
}

static wn_status prune_cell(wn__suite *s, wn__shape shape, const char *work) {
    wn__cell c = {.suite = s, .work = work, .shape = shape};
    wn_status status = add_copy(&c, strcmp(s->dtype, "f32") == 0 ? 4 : 2);
    if (status == WN_OK) status = wn__work_add(&c, "prune", false);
    if (status == WN_OK && c.count > 1) return wn__cell_measure(&c); // memcpy alone says nothing
    wn__cell_free(&c);
    return status;
}

wn_status wn__suite_prune(wn__suite *s) {
    const char *work;
    for (int i = 0; (work = wn__work_name(&wn__works_cpu, "prune", i)) != NULL; i++)
        for (int shape = 0; shape < s->shapes && wn__suite_wants(s, work); shape++)
            WN_TRY(prune_cell(s, s->shape[shape], work));
    return WN_OK;
}
