// SPDX-License-Identifier: MIT
// Launching variants on a GPU, and naming what their data were refused for.
#include "kernels/cuda/gpu.h"

#include "base/fail.h"
#include "kernels/cuda/blaslt.h"
#include "kernels/cuda/images.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARGS = 1024, COUNTERS = 1024 };
#define NONE 0xFFFFFFFFU

typedef struct record {
    const wn__gpu_refusal *refusal;
    char args[ARGS];
} record;

struct wn__gpu {
    wn__cuda *device;
    wn__arena words, host; // the word of faults, and a pinned copy
    unsigned *word, *copy, *counters;
    record *record;
    size_t count, capacity;
    size_t captured;    // records below this belong to graphs
    wn__blaslt *blaslt; // NULL until it is asked for
};

uint32_t wn__gpu_flags_of(int compute) {
    if (!wn__device_code_built() || compute < 80) return 0;
    return compute == 90 ? WN_GPU_ANY : WN_GPU_SM80;
}

static uint32_t first_flags;
static pthread_once_t once = PTHREAD_ONCE_INIT;

// A question, not a failure: the caller's message stays what it was.
static void ask(void) {
    char message[1024];
    int compute = 0;
    (void)snprintf(message, sizeof message, "%s", wn_last_error());
    if (wn__cuda_compute(0, &compute) == WN_OK) first_flags = wn__gpu_flags_of(compute);
    (void)wn__fail(WN_OK, "%s", message);
}

uint32_t wn__gpu_flags(void) {
    (void)pthread_once(&once, ask);
    return first_flags;
}

static wn_status take_word(wn__gpu *g) {
    void *p;
    const size_t counters = COUNTERS * sizeof *g->counters;
    WN_TRY(wn__cuda_arena(g->device, "faults", WN_CUDA_ALIGN + counters, &g->words));
    WN_TRY(wn__cuda_pinned(g->device, "faults", sizeof *g->copy, &g->host));
    WN_TRY(wn__arena_alloc(&g->words, sizeof *g->word, &p));
    g->word = p;
    WN_TRY(wn__arena_alloc(&g->words, counters, &p));
    g->counters = p; // an arena begins as zeros
    WN_TRY(wn__arena_alloc(&g->host, sizeof *g->copy, &p));
    g->copy = p;
    return wn__cuda_set(g->device, g->word, 0xFF, sizeof *g->word);
}

wn_status wn__gpu_create(int index, wn__gpu **out) {
    *out = NULL;
    wn__gpu *g = calloc(1, sizeof *g);
    if (g == NULL) return wn__fail(WN_NOMEM, "no memory for a GPU");
    wn_status status = wn__cuda_open(index, &g->device);
    if (status == WN_OK) status = take_word(g);
    if (status != WN_OK) {
        wn__gpu_free(g);
        return status;
    }
    *out = g;
    return WN_OK;
}

void wn__gpu_free(wn__gpu *g) {
    if (g == NULL) return;
    wn__blaslt_close(g->blaslt);
    wn__arena_free(&g->words);
    wn__arena_free(&g->host);
    wn__cuda_close(g->device);
    free(g->record);
    free(g);
}

wn__cuda *wn__gpu_device(const wn__gpu *g) {
    return g->device;
}

wn_status wn__gpu_blaslt(wn__gpu *g, wn__blaslt **out) {
    *out = NULL;
    if (g->blaslt == NULL) WN_TRY(wn__blaslt_open(g->device, &g->blaslt));
    *out = g->blaslt;
    return WN_OK;
}

wn_status wn__gpu_guard(wn__gpu *g, const wn__gpu_refusal *r, const void *args,
                        wn__gpu_fault *out) {
    if (r->args_size > ARGS || g->count >= NONE - 1)
        return wn__fail(WN_BUG, "%zu bytes of arguments, %zu calls", r->args_size, g->count);
    if (g->count == g->capacity) {
        size_t capacity = g->capacity == 0 ? 64 : 2 * g->capacity;
        record *more = realloc(g->record, capacity * sizeof *more);
        if (more == NULL) return wn__fail(WN_NOMEM, "no memory for %zu calls", capacity);
        g->record = more;
        g->capacity = capacity;
    }
    g->record[g->count].refusal = r;
    memcpy(g->record[g->count].args, args, r->args_size);
    *out = (wn__gpu_fault){.word = g->word, .number = (unsigned)g->count++};
    if (wn__cuda_capturing(g->device)) g->captured = g->count;
    return WN_OK;
}

// Bytes from the first element to the end of the last.
static size_t span(const wn_tensor *t) {
    int64_t last = 0;
    if (wn__tensor_count(t) == 0) return 0;
    for (int d = 0; d < t->ndim; d++)
        last += (t->shape[d] - 1) * t->stride[d];
    return (size_t)(last + 1) * wn_dtype_size(t->dtype);
}

// A tensor of the remembered arguments becomes a copy on the host; absent ones stay so.
static wn_status bring_back(wn__gpu *g, wn_tensor *t, void **copy) {
    const size_t bytes = span(t);
    *copy = malloc(bytes + 1);
    if (*copy == NULL) return wn__fail(WN_NOMEM, "no memory for %zu bytes of a tensor", bytes);
    WN_TRY(wn__cuda_copy_out(g->device, *copy, t->data, bytes));
    t->data = *copy;
    return wn__cuda_wait(g->device);
}

static wn_status name_fault(wn__gpu *g, const record *left) {
    void *copy[2] = {NULL, NULL};
    wn_status status = WN_OK;
    record r; // a copy: a graph's is needed again
    memcpy(&r, left, sizeof r);
    for (int i = 0; i < r.refusal->tensors && status == WN_OK; i++) {
        wn_tensor *t = (wn_tensor *)(void *)(r.args + r.refusal->tensor[i]);
        if (wn__given(t)) status = bring_back(g, t, &copy[i]);
    }
    if (status == WN_OK) status = r.refusal->refuse(r.args);
    if (status == WN_OK)
        status = wn__fail(WN_INVALID, "data were refused on the GPU and have changed since");
    free(copy[0]);
    free(copy[1]);
    return status;
}

wn_status wn__gpu_finish(wn__gpu *g) {
    WN_TRY(wn__cuda_copy_out(g->device, g->copy, g->word, sizeof *g->copy));
    WN_TRY(wn__cuda_wait(g->device));
    const unsigned fault = *g->copy;
    wn_status status = WN_OK;
    if (fault < g->count)
        status = name_fault(g, &g->record[fault]);
    else if (fault != NONE)
        status = wn__fail(WN_BUG, "fault %u of %zu calls", fault, g->count);
    g->count = g->captured;
    if (fault != NONE) {
        wn_status cleared = wn__cuda_set(g->device, g->word, 0xFF, sizeof *g->word);
        if (status == WN_OK) status = cleared;
    }
    return status;
}

wn_status wn__gpu_counters(wn__gpu *g, int64_t count, unsigned **out) {
    *out = g->counters;
    if (count <= COUNTERS) return WN_OK;
    return wn__fail(WN_UNSUPPORTED, "%lld counters of the GPU, there are %d", (long long)count,
                    (int)COUNTERS);
}

wn_status wn__gpu_launch(wn__gpu *g, const wn__cuda_image *image, const char *symbol,
                         const wn__cuda_launch *l, void *argument) {
    wn__cu_function f;
    if (l->grid[0] == 0 || l->grid[1] == 0 || l->grid[2] == 0) return WN_OK;
    WN_TRY(wn__cuda_function(g->device, image, symbol, &f));
    return wn__cuda_run(g->device, f, l, (void *[]){argument});
}

bool wn__gpu_lets_next_begin(const wn__gpu *g) {
    return wn__cuda_overlapped(g->device);
}
