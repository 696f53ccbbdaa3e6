// SPDX-License-Identifier: MIT
// cuSPARSELt at its best: the weight pruned and compressed once, the plan kept, every algorithm
// searched. Its pruning and compression are timed beside ours too.
#include "base/fail.h"
#include "bench/cusparselt_abi.h"
#include "bench/gpu.h"
#include "kernels/cuda/libraries.h"
#include "tensor/cuda_driver.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKSPACE = 256 << 20, OLDEST = 6 };

static wn__sl_api api; // filled by wn__gpu_sparse_open

void wn__gpu_sparse_open(wn__gpu_bench *g) {
    void *handle;
    int major = 0, minor = 0, patch = 0;
    if (!wn__cuda_library_open("cuSPARSELt", &handle, g->cusparselt, sizeof g->cusparselt)) return;
    const char *lacks = NULL;
#define TAKE(name, symbol, arguments)                                                              \
    {                                                                                              \
        void *found = dlsym(handle, #symbol);                                                      \
        memcpy(&api.name, &found, sizeof api.name);                                                \
        if (found == NULL) lacks = #symbol;                                                        \
    }
    WN_SL_MAP(TAKE)
#undef TAKE
    if (lacks != NULL)
        (void)snprintf(g->cusparselt, sizeof g->cusparselt, "has no %s", lacks);
    else if (api.property(0, &major) != 0 || api.property(1, &minor) != 0 ||
             api.property(2, &patch) != 0 || (major == 0 && minor < OLDEST))
        (void)snprintf(g->cusparselt, sizeof g->cusparselt, "%d.%d.%d is older than 0.%d", major,
                       minor, patch, OLDEST);
    else {
        (void)snprintf(g->cusparselt, sizeof g->cusparselt, "%d.%d.%d", major, minor, patch);
        g->have_cusparselt = true;
    }
}

typedef struct sparse {
    wn__sl_object handle, a, b, c, product, selection, plan;
    bool opened, planned, prune;
    int made; // of a, b, c
    wn__arena memory, packed;
    void *weight, *pruned, *x, *y, *workspace, *buffer;
    char *first; // copies of the compressed weight
    size_t step;
    int copies, next, config;
    wn__cu_stream stream;
} sparse;

static void release(void *ctx) {
    sparse *j = ctx;
    wn__sl_object *const matrix[] = {&j->a, &j->b, &j->c};
    if (j->planned) (void)api.plan_destroy(&j->plan);
    for (int i = 0; i < j->made; i++)
        (void)api.matrix_destroy(matrix[i]);
    if (j->opened) (void)api.destroy(&j->handle);
    wn__arena_free(&j->memory);
    wn__arena_free(&j->packed);
    free(j);
}

static wn_status check(const char *symbol, int status) {
    if (status == 0) return WN_OK;
    return wn__fail(WN_UNSUPPORTED, "%s: status %d", symbol, status);
}

static const float one = 1, zero = 0;

static wn_status run(void *ctx) {
    sparse *j = ctx;
    void *weight = j->first + (size_t)j->next * j->step;
    j->next = (j->next + 1) % j->copies;
    return check("cusparseLtMatmul", api.matmul(&j->handle, &j->plan, &one, weight, j->x, &zero,
                                                j->y, j->y, j->workspace, &j->stream, 1));
}

static wn_status run_compress(void *ctx) {
    sparse *j = ctx;
    if (j->prune)
        WN_TRY(check("cusparseLtSpMMAPrune", api.prune(&j->handle, &j->product, j->weight,
                                                       j->pruned, WN_SL_STRIP, j->stream)));
    return check("cusparseLtSpMMACompress",
                 api.compress(&j->handle, &j->plan, j->pruned, j->first, j->buffer, j->stream));
}

// W [n, k] row by row times x^T, so that y [T, n] is its result column by column.
static wn_status describe(sparse *j, int64_t T, int64_t n, int64_t k, int type, int result) {
    WN_TRY(check("cusparseLtInit", api.init(&j->handle)));
    j->opened = true;
    WN_TRY(check(
        "cusparseLtStructuredDescriptorInit",
        api.structured(&j->handle, &j->a, n, k, k, 16, type, WN_SL_ROW_MAJOR, WN_SL_HALF_SPARSE)));
    j->made = 1;
    WN_TRY(check("cusparseLtDenseDescriptorInit",
                 api.dense(&j->handle, &j->b, T, k, k, 16, type, WN_SL_ROW_MAJOR)));
    j->made = 2;
    WN_TRY(check("cusparseLtDenseDescriptorInit",
                 api.dense(&j->handle, &j->c, n, T, n, 16, result, WN_SL_COLUMN_MAJOR)));
    j->made = 3;
    WN_TRY(check("cusparseLtMatmulDescriptorInit",
                 api.product(&j->handle, &j->product, WN_SL_PLAIN, WN_SL_TRANSPOSED, &j->a, &j->b,
                             &j->c, &j->c, WN_SL_COMPUTE_F32)));
    WN_TRY(check("cusparseLtMatmulAlgSelectionInit",
                 api.selection(&j->handle, &j->selection, &j->product, WN_SL_DEFAULT)));
    WN_TRY(check("cusparseLtMatmulPlanInit",
                 api.plan(&j->handle, &j->plan, &j->product, &j->selection)));
    j->planned = true;
    return WN_OK;
}

static wn_status place(wn__gpu_bench *g, sparse *j, int64_t T, int64_t n, int64_t k, bool cold) {
    const size_t w = (size_t)(n * k) * 2, x = (size_t)(T * k) * 2, y = (size_t)(T * n) * 2;
    size_t packed = 0, buffer = 0;
    WN_TRY(check("cusparseLtSpMMACompressedSize",
                 api.compressed(&j->handle, &j->plan, &packed, &buffer)));
    j->copies = wn__gpu_copies((double)packed, cold);
    j->step = (packed / WN_CUDA_ALIGN + 1) * WN_CUDA_ALIGN;
    WN_TRY(wn__cuda_arena(g->d, "a sparse product",
                          2 * w + x + y + buffer + WORKSPACE + 16 * WN_CUDA_ALIGN, &j->memory));
    WN_TRY(wn__cuda_arena(g->d, "compressed weights", (size_t)j->copies * j->step, &j->packed));
    WN_TRY(wn__arena_alloc(&j->memory, w, &j->weight));
    WN_TRY(wn__arena_alloc(&j->memory, w, &j->pruned));
    WN_TRY(wn__arena_alloc(&j->memory, x, &j->x));
    WN_TRY(wn__arena_alloc(&j->memory, y, &j->y));
    WN_TRY(wn__arena_alloc(&j->memory, buffer + 16, &j->buffer));
    WN_TRY(wn__arena_alloc(&j->memory, WORKSPACE, &j->workspace));
    void *p;
    WN_TRY(wn__arena_alloc(&j->packed, (size_t)j->copies * j->step, &p));
    j->first = p;
    return WN_OK;
}

static wn_status open_sparse(const wn__cell *c, sparse *j, wn__product what, bool cold) {
    wn__gpu_bench *g = c->suite->gpu;
    const bool half = strcmp(c->suite->dtype, "f16") == 0;
    const bool bits8 = strcmp(c->suite->dtype, "e4m3") == 0;
    const int result = half ? WN_SL_F16 : WN_SL_BF16;
    const wn_dtype dtype = half ? WN_DTYPE_F16 : WN_DTYPE_BF16;
    const bool input = what == WN__INPUT;
    // it takes whole eights of tokens
    const int64_t T = c->rows > 0 ? (c->rows + 7) / 8 * 8 : 16,
                  n = input ? c->shape.in : c->shape.out, k = input ? c->shape.out : c->shape.in;
    j->stream = g->d->stream;
    WN_TRY(describe(j, T, n, k, bits8 ? WN_SL_E4M3 : result, result));
    WN_TRY(place(g, j, T, n, k, cold));
    if (bits8) {
        WN_TRY(wn__gpu_random8(c->suite, j->weight, n, k, 7));
        WN_TRY(wn__gpu_random8(c->suite, j->x, T, k, 9));
    } else {
        WN_TRY(wn__gpu_random(g, j->weight, dtype, n * k, 7));
        WN_TRY(wn__gpu_random(g, j->x, dtype, T * k, 9));
    }
    WN_TRY(check("cusparseLtSpMMAPrune",
                 api.prune(&j->handle, &j->product, j->weight, j->pruned, WN_SL_STRIP, j->stream)));
    for (int i = 0; i < j->copies; i++)
        WN_TRY(check("cusparseLtSpMMACompress",
                     api.compress(&j->handle, &j->plan, j->pruned, j->first + (size_t)i * j->step,
                                  j->buffer, j->stream)));
    return wn__gpu_finish(g->gpu);
}

static wn_status search(wn__gpu_bench *g, sparse *j) {
    size_t wanted = 0;
    WN_TRY(check("cusparseLtMatmulSearch",
                 api.search(&j->handle, &j->plan, &one, j->first, j->x, &zero, j->y, j->y,
                            j->workspace, &j->stream, 1)));
    WN_TRY(check("cusparseLtMatmulGetWorkspace", api.workspace(&j->handle, &j->plan, &wanted)));
    if (wanted > WORKSPACE)
        return wn__fail(WN_UNSUPPORTED, "its search chose a workspace of %zu bytes", wanted);
    (void)api.selected(&j->handle, &j->selection, WN_SL_CONFIG, &j->config, sizeof j->config);
    return wn__gpu_finish(g->gpu);
}

// An entry of a job that was opened with this status; the job is released where it was not.
static wn_status add(wn__cell *c, sparse *j, wn_status status, const char *what,
                     wn_status (*function)(void *), wn__entry **out) {
    char name[96];
    *out = NULL;
    if (status != WN_OK) {
        release(j);
        if (status != WN_UNSUPPORTED) return status;
        return wn__suite_note(c->suite, "cuSPARSELt: %s", wn_last_error());
    }
    (void)snprintf(name, sizeof name, "cuSPARSELt %.20s, %s", c->suite->gpu->cusparselt, what);
    return wn__cell_add(c, name, WN_BENCH_PEER, function, j, release, out);
}

static bool wanted(const wn__cell *c) {
    return c->suite->gpu->have_cusparselt && strcmp(c->suite->dtype, "f32") != 0;
}

wn_status wn__gpu_sparse_add(wn__cell *c, wn__product what, bool cold) {
    if (!wanted(c) || what == WN__NO_PRODUCT || what == WN__WEIGHT) return WN_OK;
    sparse *j = calloc(1, sizeof *j);
    if (j == NULL) return wn__fail(WN_NOMEM, "no memory for a product");
    wn_status status = open_sparse(c, j, what, cold);
    if (status == WN_OK) status = search(c->suite->gpu, j);
    char text[60] = "";
    (void)snprintf(text, sizeof text, "searched (algorithm %d)", j->config);
    const double packed = (double)j->step;
    const int copies = j->copies;
    wn__entry *e;
    WN_TRY(add(c, j, status, text, run, &e));
    if (e == NULL) return WN_OK;
    e->copies = copies;
    e->flops = 2 * (double)c->rows * (double)c->shape.out * (double)c->shape.in;
    const double element = strcmp(c->suite->dtype, "e4m3") == 0 ? 1 : 2; // of x
    e->bytes =
        packed + (double)c->rows * (2 * (double)c->shape.out + element * (double)c->shape.in);
    return WN_OK;
}

wn_status wn__gpu_compress_add(wn__cell *c, bool prune) {
    if (!wanted(c)) return WN_OK;
    sparse *j = calloc(1, sizeof *j);
    if (j == NULL) return wn__fail(WN_NOMEM, "no memory for a weight");
    wn_status status = open_sparse(c, j, WN__FORWARD, false);
    j->prune = prune;
    const double packed = (double)j->step, dense = 2 * (double)(c->shape.out * c->shape.in);
    wn__entry *e;
    WN_TRY(add(c, j, status, prune ? "prune and compress" : "compress", run_compress, &e));
    if (e != NULL) e->bytes = packed + dense * (prune ? 3 : 1);
    return WN_OK;
}
