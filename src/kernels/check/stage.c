// SPDX-License-Identifier: MIT
// A case in memory: every part in an allocation of its own, so that a sanitizer sees reads past its
// end; guards and gaps are compared after the run, so that stray writes are seen without one.
#include "base/block.h"
#include "base/fail.h"
#include "kernels/check/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Bytes before each part, and after those that are written: whole lines of any cache, so that what
// is timed begins at one, as what an arena gives does.
#define GUARD 256

wn_tensor *wn__stage_tensor(const wn__stage *s, int part) {
    return (wn_tensor *)(void *)((char *)s->args + s->c->part[part].offset);
}

// Offset in elements of the i-th element in row-major order.
static int64_t offset_of(const wn_tensor *t, int64_t i) {
    int64_t at = 0;
    for (int d = t->ndim - 1; d >= 0; d--) {
        at += i % t->shape[d] * t->stride[d];
        i /= t->shape[d];
    }
    return at;
}

// Calls of memcpy between packed memory and a view, for each run of elements that is contiguous in
// both.
static void transfer(const wn_tensor *t, char *packed, bool into_view) {
    size_t size = wn_dtype_size(t->dtype);
    int64_t count = wn__tensor_count(t), run = 1;
    if (t->ndim > 0 && t->stride[t->ndim - 1] == 1) run = t->shape[t->ndim - 1];
    if (wn__tensor_packed(t)) run = count;
    for (int64_t i = 0; i < count; i += run) {
        char *view = (char *)t->data + offset_of(t, i) * (int64_t)size;
        char *flat = packed + i * (int64_t)size;
        memcpy(into_view ? view : flat, into_view ? flat : view, (size_t)run * size);
    }
}

static int64_t span(const wn_tensor *t) {
    int64_t last = 0;
    if (wn__tensor_count(t) == 0) return 0;
    for (int d = 0; d < t->ndim; d++)
        last += (t->shape[d] - 1) * t->stride[d];
    return last + 1;
}

// A part is written where it is an output or another output lies on it.
static bool written(const wn__case *c, int part) {
    if (c->part[part].role != WN__READ) return true;
    for (int i = 0; i < c->parts; i++)
        if (c->part[i].same == part) return true;
    return false;
}

static wn_status place(wn__stage *s, int part, int shift) {
    const wn__part *p = s->c->part + part;
    wn_tensor *t = wn__stage_tensor(s, part);
    bool out = written(s->c, part);
    size_t element = wn_dtype_size(p->view.dtype);
    size_t step = element > (size_t)s->c->type->align ? element : (size_t)s->c->type->align;
    size_t first = GUARD + (size_t)shift * step;
    size_t size = first + (size_t)span(&p->view) * element + (out ? GUARD : 0);
    void *block = wn__block_alloc(size);
    s->memory[part].block = block;
    s->memory[part].before = malloc(size);
    s->memory[part].size = size;
    if (!block || !s->memory[part].before)
        return wn__fail(WN_NOMEM, "no memory for %s of a case", p->name);
    memset(block, out ? 0xA5 : 0xFF, size);
    t->data = (char *)block + first;
    transfer(t, p->image, true);
    memcpy(s->memory[part].before, block, size);
    return WN_OK;
}

wn_status wn__stage_create(const wn__case *c, int shift, wn__stage *out) {
    *out = (wn__stage){.c = c, .args = malloc(c->type->args_size)};
    if (!out->args) return wn__fail(WN_NOMEM, "no memory for a case");
    memcpy(out->args, c->args, c->type->args_size);
    wn_status status = WN_OK;
    for (int i = 0; i < c->parts && status == WN_OK; i++)
        if (c->part[i].same < 0) status = place(out, i, shift ? shift + i : 0);
    for (int i = 0; i < c->parts && status == WN_OK; i++)
        if (c->part[i].same >= 0)
            wn__stage_tensor(out, i)->data = wn__stage_tensor(out, c->part[i].same)->data;
    if (status != WN_OK) wn__stage_free(out);
    return status;
}

void wn__stage_free(wn__stage *s) {
    wn__arena_free(&s->on_gpu);
    for (int i = 0; i < WN__MAX_PARTS; i++) {
        free(s->memory[i].block);
        free(s->memory[i].before);
    }
    free(s->args);
    free(s->scratch);
    *s = (wn__stage){0};
}

// The workspace is as large as was planned and not a byte larger.
static wn_status make_scratch(wn__stage *s, size_t size) {
    void *block = NULL;
    free(s->scratch);
    s->scratch = NULL;
    if (size == 0) return WN_OK;
    if (posix_memalign(&block, 64, size) != 0)
        return wn__fail(WN_NOMEM, "no memory for a workspace of %zu bytes", size);
    memset(block, 0xFF, size);
    s->scratch = block;
    return WN_OK;
}

static wn_status run_on_cpu(wn__stage *s, const wn__kernel *k, wn__pool *pool) {
    wn__exec x = {.pool = pool, .planning = true};
    WN_TRY(wn__run_kernel(&x, k, s->args));
    WN_TRY(make_scratch(s, x.need));
    x.planning = false;
    x.scratch = s->scratch;
    x.scratch_size = x.need;
    return wn__run_kernel(&x, k, s->args);
}

// Every tensor of the arguments moves by the same bytes as its allocation.
static void move(wn__stage *s, bool to_gpu) {
    for (int i = 0; i < s->c->parts; i++) {
        wn_tensor *t = wn__stage_tensor(s, i);
        const int of = s->c->part[i].same >= 0 ? s->c->part[i].same : i;
        char *host = (char *)s->memory[of].block, *there = s->memory[of].on_gpu;
        t->data = to_gpu ? there + ((char *)t->data - host) : host + ((char *)t->data - there);
        t->device.kind = to_gpu ? WN_DEVICE_CUDA : WN_DEVICE_CPU;
    }
}

static wn_status copy_blocks(wn__stage *s, bool in) {
    wn__cuda *d = wn__gpu_device(s->gpu);
    for (int i = 0; i < s->c->parts; i++) {
        unsigned char *block = s->memory[i].block;
        if (block == NULL) continue;
        WN_TRY(in ? wn__cuda_copy_in(d, s->memory[i].on_gpu, block, s->memory[i].size)
                  : wn__cuda_copy_out(d, block, s->memory[i].on_gpu, s->memory[i].size));
    }
    return wn__cuda_wait(d);
}

static wn_status take_memory(wn__stage *s, size_t scratch) {
    size_t bytes = scratch + WN_CUDA_ALIGN;
    void *p;
    for (int i = 0; i < s->c->parts; i++)
        bytes += s->memory[i].size + WN_CUDA_ALIGN;
    WN_TRY(wn__cuda_arena(wn__gpu_device(s->gpu), "case", bytes, &s->on_gpu));
    for (int i = 0; i < s->c->parts; i++) {
        if (s->memory[i].block == NULL) continue;
        WN_TRY(wn__arena_alloc(&s->on_gpu, s->memory[i].size, &p));
        s->memory[i].on_gpu = p;
    }
    WN_TRY(wn__arena_alloc(&s->on_gpu, scratch, &p));
    s->gpu_exec.scratch = p;
    s->gpu_exec.scratch_size = scratch;
    return wn__cuda_set(wn__gpu_device(s->gpu), p, 0xFF, scratch);
}

// Guards and gaps travel too, so what is written there is seen afterwards.
wn_status wn__stage_to_gpu(wn__stage *s, const wn__kernel *k) {
    s->gpu_exec = (wn__exec){.gpu = s->gpu,
                             .device = {.kind = WN_DEVICE_CUDA},
                             .planning = true,
                             .way = s->way,
                             .ways = s->ways};
    WN_TRY(wn__run_kernel(&s->gpu_exec, k, s->args));
    wn_status status = take_memory(s, s->gpu_exec.need);
    if (status == WN_OK) status = copy_blocks(s, true);
    if (status == WN_OK) {
        move(s, true);
        s->gpu_exec.planning = false;
    } else {
        wn__arena_free(&s->on_gpu);
    }
    return status;
}

wn_status wn__stage_from_gpu(wn__stage *s) {
    wn_status status = copy_blocks(s, false);
    move(s, false);
    wn__arena_free(&s->on_gpu);
    return status;
}

static wn_status run_on_gpu(wn__stage *s, const wn__kernel *k) {
    WN_TRY(wn__stage_to_gpu(s, k));
    wn_status status = wn__run_kernel(&s->gpu_exec, k, s->args);
    // the message of what went wrong first is the one to keep
    if (status == WN_OK) status = wn__gpu_finish(s->gpu);
    if (status == WN_OK) return wn__stage_from_gpu(s);
    move(s, false);
    wn__arena_free(&s->on_gpu);
    return status;
}

wn_status wn__stage_run(wn__stage *s, const wn__kernel *k, wn__pool *pool) {
    return wn__kernel_on_gpu(k) ? run_on_gpu(s, k) : run_on_cpu(s, k, pool);
}

static bool first_difference(const unsigned char *a, const unsigned char *b, size_t n, size_t *at) {
    if (memcmp(a, b, n) == 0) return false;
    for (*at = 0; a[*at] == b[*at];)
        ++*at;
    return true;
}

bool wn__stage_intact(wn__stage *s, char *why, size_t n) {
    for (int i = 0; i < s->c->parts; i++) {
        const wn__part *p = s->c->part + i;
        if (p->same >= 0) continue;
        wn_tensor *t = wn__stage_tensor(s, i);
        size_t size = s->memory[i].size, at;
        unsigned char *now = s->memory[i].block;
        if (written(s->c, i)) transfer(t, p->image, true); // its elements may change, nothing else
        if (!first_difference(s->memory[i].before, now, size, &at)) continue;
        (void)snprintf(why, n, "wrote %s %s, at byte %lld from its first element",
                       written(s->c, i) ? "outside" : "to the input", p->name,
                       (long long)((char *)now + at - (char *)t->data));
        return false;
    }
    return true;
}

void wn__stage_gather(const wn__stage *s, int part, void *out) {
    transfer(wn__stage_tensor(s, part), out, false);
}
