// SPDX-License-Identifier: MIT
// The suites on a GPU.
#include "bench/gpu.h"

#include "base/fail.h"
#include "kernels/cuda/blaslt.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// FLOPs of 16-bit sparse products that a multiprocessor finishes in a cycle, zeros counted.
static double sparse_flops(int compute) {
    return compute == 90 ? 8192 : compute == 80 ? 4096 : 0;
}

static bool wanted(const char *list, const char *name) {
    if (list == NULL) return true;
    const size_t n = strlen(name);
    for (const char *at = list; *at; at += *at == ',') {
        const size_t length = strcspn(at, ",");
        if (length == n && strncmp(at, name, n) == 0) return true;
        at += length;
    }
    return false;
}

static wn_status check_peers(const char *list) {
    for (const char *at = list; at != NULL && *at; at += *at == ',') {
        const size_t n = strcspn(at, ",");
        const bool known = (n == 8 && strncmp(at, "cublaslt", n) == 0) ||
                           (n == 10 && strncmp(at, "cusparselt", n) == 0) ||
                           (n == 4 && strncmp(at, "none", n) == 0);
        if (!known)
            return wn__fail(WN_INVALID,
                            "no peer on a GPU is called '%.*s'; there are cublaslt, cusparselt, "
                            "and none",
                            (int)(n > 40 ? 40 : n), at);
        at += n;
    }
    return WN_OK;
}

static void name_file(const char *name, char *out, size_t n) {
    wn__cuda_library l;
    for (size_t i = 0; wn__cuda_library_find(i, &l); i++)
        if (strcmp(l.name, name) == 0) (void)snprintf(out, n, "%s", l.text);
}

static void open_libraries(wn__suite *s, wn__gpu_bench *g) {
    const wn__lt_api *lt;
    (void)snprintf(g->cublaslt, sizeof g->cublaslt, "not asked for");
    (void)snprintf(g->cusparselt, sizeof g->cusparselt, "not asked for");
    if (wanted(s->o->peers, "cublaslt")) {
        g->have_cublaslt = wn__blaslt_find(&lt) == WN_OK;
        const size_t v = g->have_cublaslt ? lt->version() : 0;
        if (g->have_cublaslt)
            (void)snprintf(g->cublaslt, sizeof g->cublaslt, "%zu.%zu.%zu", v / 10000, v / 100 % 100,
                           v % 100);
        else
            (void)snprintf(g->cublaslt, sizeof g->cublaslt, "%.150s", wn_last_error());
    }
    if (wanted(s->o->peers, "cusparselt")) wn__gpu_sparse_open(g);
    if (g->have_cublaslt) name_file("cuBLASLt", g->cublaslt_file, sizeof g->cublaslt_file);
    if (g->have_cusparselt) name_file("cuSPARSELt", g->cusparselt_file, sizeof g->cusparselt_file);
}

wn_status wn__gpu_bench_open(wn__suite *s) {
    WN_TRY(check_peers(s->o->peers));
    wn__gpu_bench *g = calloc(1, sizeof *g);
    if (g == NULL) return wn__fail(WN_NOMEM, "no memory for a GPU");
    s->gpu = g;
    g->sustained = s->o->protocol != NULL && strcmp(s->o->protocol, "sustained") == 0;
    WN_TRY(wn__gpu_create(0, &g->gpu));
    if (!wn__device_code_built())
        return wn__fail(WN_UNSUPPORTED, "device code was %s", wn__device_code());
    g->d = wn__gpu_device(g->gpu);
    if (s->o->tuned != NULL) WN_TRY(wn__tuned_read(&g->tuned, s->o->tuned));
    WN_TRY(wn__cuda_copy_rate(g->d, &s->rate));
    wn__nvml_open(0, &g->nvml);
    open_libraries(s, g);
    const wn__cuda_about *a = wn__cuda_info(g->d);
    // twice as many products of half the bits; chains have no zeros to leave out; one product of
    // float32 numbers is three of TF32, of which there are half as many
    const double times = strcmp(s->dtype, "e4m3") == 0    ? 2
                         : strcmp(s->dtype, "f32") == 0   ? 0.5 / 6
                         : strcmp(s->o->suite, "ks") == 0 ? 0.5
                                                          : 1;
    s->peak = times * sparse_flops(a->compute) * a->multiprocessors * (double)a->clock * 1e3;
    const int used = snprintf(g->machine, sizeof g->machine, "%.120s, driver for CUDA %d.%d",
                              a->name, a->driver / 1000, a->driver % 1000 / 10);
    if (wn__nvml_limit(&g->nvml) > 0)
        (void)snprintf(g->machine + used, sizeof g->machine - (size_t)used, ", %.0f W",
                       wn__nvml_limit(&g->nvml));
    return WN_OK;
}

void wn__gpu_bench_close(wn__suite *s) {
    if (s->gpu == NULL) return;
    wn__tuned_free(&s->gpu->tuned);
    wn__gpu_free(s->gpu->gpu);
    free(s->gpu);
    s->gpu = NULL;
}

// The weight, from one place of the device's memory to another.
typedef struct copy {
    wn__gpu_bench *g;
    wn__arena memory;
    void *from, *to;
    uint64_t count; // of 16 bytes
} copy;

static void release(void *ctx) {
    copy *k = ctx;
    wn__arena_free(&k->memory);
    free(k);
}

static wn_status run(void *ctx) {
#ifdef WN_HAVE_DEVICE_CODE
    copy *k = ctx;
    wn__cu_function f;
    const wn__cuda_launch l = {
        .grid = {8 * (unsigned)wn__cuda_info(k->g->d)->multiprocessors, 1, 1},
        .block = {256, 1, 1}};
    WN_TRY(wn__cuda_function(k->g->d, &wn__image_copy_sm80, "wn_copy", &f));
    return wn__cuda_run(k->g->d, f, &l, (void *[]){&k->to, &k->from, &k->count});
#else
    (void)ctx;
    return wn__fail(WN_UNSUPPORTED, "device code was %s", wn__device_code());
#endif
}

static wn_status add_copy(wn__cell *c) {
    copy *k = calloc(1, sizeof *k);
    if (k == NULL) return wn__fail(WN_NOMEM, "no memory for a copy");
    const size_t element = strcmp(c->suite->dtype, "f32") == 0 ? 4 : 2;
    const size_t bytes = ((size_t)c->shape.out * (size_t)c->shape.in * element + 15) / 16 * 16;
    k->g = c->suite->gpu;
    k->count = bytes / 16;
    wn_status status = wn__cuda_arena(k->g->d, "a copy", 2 * bytes + 2 * WN_CUDA_ALIGN, &k->memory);
    if (status == WN_OK) status = wn__arena_alloc(&k->memory, bytes, &k->from);
    if (status == WN_OK) status = wn__arena_alloc(&k->memory, bytes, &k->to);
    if (status != WN_OK) {
        release(k);
        return status;
    }
    wn__entry *e;
    WN_TRY(wn__cell_add(c, "copy", WN_BENCH_DENSE, run, k, release, &e));
    e->bytes = 2 * (double)bytes;
    return WN_OK;
}

static wn_status fill_cell(wn__cell *c, bool prune, bool cold) {
    const wn__product what = wn__work_product(&wn__works_gpu, c->suite->o->suite, c->work);
    if (prune) WN_TRY(add_copy(c));
    WN_TRY(wn__gpu_work_add(c, cold));
    WN_TRY(wn__gpu_dense_add(c, what, cold));
    WN_TRY(wn__gpu_sparse_add(c, what, cold));
    if (strcmp(c->work, "pack") == 0) WN_TRY(wn__gpu_compress_add(c, false));
    if (strcmp(c->work, "choose rows and pack") == 0) WN_TRY(wn__gpu_compress_add(c, true));
    return WN_OK;
}

static wn_status cell(wn__suite *s, wn__shape shape, int64_t rows, const char *work, bool prune) {
    wn__cell c = {.suite = s, .work = work, .shape = shape, .rows = rows};
    wn_status status = fill_cell(&c, prune, strcmp(s->o->suite, "decode") == 0);
    if (status == WN_OK && c.count > (prune ? 1 : 0)) return wn__cell_measure(&c);
    wn__cell_free(&c);
    return status;
}

wn_status wn__gpu_bench_run(wn__suite *s) {
    const bool prune = strcmp(s->o->suite, "prune") == 0;
    const char *work;
    for (int i = 0; (work = wn__work_name(&wn__works_gpu, s->o->suite, i)) != NULL; i++)
        for (int shape = 0; shape < s->shapes && wn__suite_wants(s, work); shape++)
            for (int rows = 0; rows < (prune ? 1 : s->row_counts); rows++)
                WN_TRY(cell(s, s->shape[shape], prune ? 0 : s->rows[rows], work, prune));
    return WN_OK;
}
