// SPDX-License-Identifier: MIT
// Dense products by cuBLASLt at its best: each of its choices is tried, the fastest is kept.
#include "base/fail.h"
#include "bench/gpu.h"
#include "kernels/cuda/blaslt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 5, RUNS = 16, FEW_RUNS = 2, WORKSPACE = WN__GPU_BEST_WORKSPACE };

// A product of that many operations takes a fifth of a millisecond and more.
#define LONG 2e11

typedef struct dense {
    wn__matmul p;
    wn__blaslt *lt;
    const wn__lt_plan *plan;
    int choice;
    wn__arena memory;
    void *workspace;
    char *first; // copies of the weight
    size_t step;
    int copies, next;
} dense;

static void release(void *ctx) {
    dense *j = ctx;
    wn__arena_free(&j->memory);
    free(j);
}

static wn_status run(void *ctx) {
    dense *j = ctx;
    j->p.b.data = j->first + (size_t)j->next * j->step;
    j->next = (j->next + 1) % j->copies;
    return wn__blaslt_run(j->lt, j->plan, j->choice, &j->p, j->workspace);
}

static wn_dtype dtype_of(const wn__cell *c) {
    const char *name = c->suite->dtype; // numbers of 8 bits lie in the places of bfloat16
    return strcmp(name, "f32") == 0   ? WN_DTYPE_F32
           : strcmp(name, "f16") == 0 ? WN_DTYPE_F16
                                      : WN_DTYPE_BF16;
}

static bool in_8_bits(const wn__cell *c) {
    return strcmp(c->suite->dtype, "e4m3") == 0;
}

// Random operands; of 8 bits in the places of 16-bit ones, which the library reads as it is told.
static wn_status draw(const wn__cell *c, dense *j, wn_dtype dtype, int64_t T, int64_t n,
                      int64_t k) {
    wn__gpu_bench *g = c->suite->gpu;
    if (in_8_bits(c)) {
        WN_TRY(wn__gpu_random8(c->suite, j->p.a.data, T, k, 3));
        for (int i = 0; i < j->copies; i++)
            WN_TRY(
                wn__gpu_random8(c->suite, j->first + (size_t)i * j->step, n, k, 5 + (uint64_t)i));
        return WN_OK;
    }
    WN_TRY(wn__gpu_random(g, j->p.a.data, dtype, T * k, 3));
    return wn__gpu_random(g, j->first, dtype,
                          (int64_t)((size_t)j->copies * j->step / wn_dtype_size(dtype)), 5);
}

// c[m,n] = a b. The second operand is the weight; of its gradient, the inputs.
static wn_status place(const wn__cell *c, dense *j, wn__product what, wn_dtype dtype, bool cold) {
    const int64_t out = c->shape.out, in = c->shape.in;
    const int64_t m = what == WN__WEIGHT ? out : c->rows, n = what == WN__FORWARD ? out : in;
    const int64_t k = what == WN__WEIGHT ? c->rows : what == WN__FORWARD ? in : out;
    const size_t size = wn_dtype_size(dtype), weight = (size_t)(n * k) * size;
    void *p;
    j->copies = wn__gpu_copies((double)weight, cold);
    j->step = (weight / WN_CUDA_ALIGN + 1) * WN_CUDA_ALIGN;
    WN_TRY(wn__cuda_arena(c->suite->gpu->d, "a dense product",
                          WORKSPACE + (size_t)(m * n + m * k) * size + (size_t)j->copies * j->step +
                              8 * WN_CUDA_ALIGN,
                          &j->memory));
    WN_TRY(wn__tensor_alloc2(&j->memory, dtype, m, k, &j->p.a));
    WN_TRY(wn__tensor_alloc2(&j->memory, dtype, m, n, &j->p.c));
    WN_TRY(wn__arena_alloc(&j->memory, WORKSPACE, &j->workspace));
    WN_TRY(wn__arena_alloc(&j->memory, (size_t)j->copies * j->step, &p));
    j->first = p;
    j->p.b = wn__tensor2(p, dtype, k, n);
    if (what == WN__FORWARD) { // W^T of W [out, in]
        j->p.b.stride[0] = 1;
        j->p.b.stride[1] = k;
    }
    if (what == WN__WEIGHT) { // dy^T of dy [T, out]
        j->p.a.stride[0] = 1;
        j->p.a.stride[1] = m;
    }
    return draw(c, j, dtype, m, n, k);
}

// Runs of one choice as a graph, so that the host does not count.
static wn_status capture(wn__gpu_bench *g, dense *j, wn__cuda_graph **out) {
    WN_TRY(run(j)); // what it loads is not to be loaded in a graph
    WN_TRY(wn__cuda_wait(g->d));
    WN_TRY(wn__cuda_capture_begin(g->d));
    wn_status status = WN_OK;
    const double flops = 2 * (double)wn__tensor_count(&j->p.c) * (double)j->p.a.shape[1];
    const int runs = flops > LONG ? FEW_RUNS : RUNS;
    for (int n = 0; n < runs && status == WN_OK; n++)
        status = run(j);
    wn_status ended = wn__cuda_capture_end(g->d, out);
    return status != WN_OK ? status : ended;
}

// The least of some times of a choice.
static wn_status try_choice(wn__gpu_bench *g, dense *j, double *least) {
    wn__cuda_graph *graph = NULL;
    wn_status status = capture(g, j, &graph);
    for (int i = -1; i < TRIES && status == WN_OK; i++) {
        double seconds = 0;
        status = wn__cuda_time_start(g->d);
        if (status == WN_OK) status = wn__cuda_graph_run(g->d, graph);
        if (status == WN_OK) status = wn__cuda_time_stop(g->d, &seconds);
        if (i <= 0 || seconds < *least) *least = seconds;
    }
    wn__cuda_graph_free(g->d, graph);
    return status;
}

static wn_status choose(wn__gpu_bench *g, dense *j) {
    double best = 0;
    int at = 0;
    for (int i = 0; i < j->plan->found; i++) {
        double least = 0;
        j->choice = i;
        WN_TRY(try_choice(g, j, &least));
        if (i > 0 && least >= best) continue;
        best = least;
        at = i;
    }
    j->choice = at;
    j->next = 0;
    return WN_OK;
}

// bits8: the operands' places hold numbers of 8 bits.
static wn_status find(wn__gpu_bench *g, const wn__matmul *p, void *workspace, bool bits8,
                      wn__gpu_best *out) {
    dense j = {.p = *p, .workspace = workspace, .first = p->b.data, .copies = 1};
    wn__lt_shape s;
    char why[160];
    WN_TRY(wn__gpu_blaslt(g->gpu, &j.lt));
    if (!wn__blaslt_shape(p, &s, why, sizeof why)) return wn__fail(WN_UNSUPPORTED, "%s", why);
    if (bits8) s.in = WN_LT_E4M3;
    s.workspace = WORKSPACE;
    s.reductions = WN_LT_REDUCE_IN_PLACE | WN_LT_REDUCE_SUMS | WN_LT_REDUCE_RESULTS; // all it likes
    WN_TRY(wn__blaslt_plan(j.lt, &s, WN_LT_CHOICES, &j.plan));
    WN_TRY(choose(g, &j));
    *out = (wn__gpu_best){j.lt, j.plan, j.choice};
    return WN_OK;
}

wn_status wn__gpu_best_find(wn__gpu_bench *g, const wn__matmul *p, void *workspace,
                            wn__gpu_best *out) {
    return find(g, p, workspace, false, out);
}

wn_status wn__gpu_best_run(const wn__gpu_best *b, const wn__matmul *p, void *workspace) {
    return wn__blaslt_run(b->lt, b->plan, b->choice, p, workspace);
}

static wn_status open_dense(const wn__cell *c, dense *j, wn__product what, bool cold) {
    wn__gpu_bench *g = c->suite->gpu;
    wn__gpu_best best;
    WN_TRY(place(c, j, what, dtype_of(c), cold));
    WN_TRY(find(g, &j->p, j->workspace, in_8_bits(c), &best));
    j->lt = best.lt;
    j->plan = best.plan;
    j->choice = best.choice;
    return WN_OK;
}

wn_status wn__gpu_dense_add(wn__cell *c, wn__product what, bool cold) {
    if (!c->suite->gpu->have_cublaslt || what == WN__NO_PRODUCT) return WN_OK;
    dense *j = calloc(1, sizeof *j);
    if (j == NULL) return wn__fail(WN_NOMEM, "no memory for a product");
    wn_status status = open_dense(c, j, what, cold);
    if (status != WN_OK) {
        release(j);
        if (status != WN_UNSUPPORTED && status != WN_DEVICE) return status;
        return wn__suite_note(c->suite, "cuBLASLt: %s", wn_last_error());
    }
    char name[96];
    wn__entry *e;
    const int copies = j->copies;
    const bool f32 = dtype_of(c) == WN_DTYPE_F32;
    (void)snprintf(name, sizeof name, "cuBLASLt %.40s%s, best of %d", c->suite->gpu->cublaslt,
                   f32 ? ", COMPUTE_32F" : "", j->plan->found);
    WN_TRY(wn__cell_add(c, name, WN_BENCH_DENSE, run, j, release, &e));
    e->copies = copies;
    e->flops = 2 * (double)c->rows * (double)c->shape.out * (double)c->shape.in;
    const double element = in_8_bits(c) ? 1 : f32 ? 4 : 2, result = f32 ? 4 : 2; // bytes
    e->bytes = element * (double)c->shape.in * (double)(c->rows + c->shape.out) +
               result * (double)c->rows * (double)c->shape.out;
    return WN_OK;
}
