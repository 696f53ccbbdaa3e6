// SPDX-License-Identifier: MIT
// The works of works_gpu.def: which op, on which case, in a GPU's memory.
#include "base/fail.h"
#include "bench/gpu.h"
#include "kernels/check/harness.h"
#include "kernels/check/timed.h"
#include "kernels/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const wn__work lines[] = {
#define WN_GPU_WORK(suite_, work_, product_, role_, dtypes_, op_, problem_)                        \
    {.suite = suite_,                                                                              \
     .work = work_,                                                                                \
     .product = product_,                                                                          \
     .role = role_,                                                                                \
     .dtypes = dtypes_,                                                                            \
     .op = WN__OP_##op_,                                                                           \
     .problem = problem_},
#include "bench/works_gpu.def"
#undef WN_GPU_WORK
};

const wn__works wn__works_gpu = {lines, sizeof lines / sizeof *lines};

enum { LINES = sizeof lines / sizeof *lines, COPIES = 128, STEPS = 4 };

// No cache of a GPU holds so much.
#define BEYOND_CACHES 3e8

int wn__gpu_copies(double bytes, bool cold) {
    if (!cold) return 1;
    const double copies = BEYOND_CACHES / (bytes > 1 ? bytes : 1) + 1;
    return copies < 2 ? 2 : copies > COPIES ? COPIES : (int)copies;
}

// One op on the device, with one or more copies of its weight.
typedef struct job {
    wn__case *c;
    const wn__kernel *kernel;
    wn__exec x;
    wn__arena memory;
    wn_tensor *weight; // of the arguments
    char *first;       // its first copy
    size_t step;
    int copies, next;
} job;

static void release(void *ctx) {
    job *j = ctx;
    wn__arena_free(&j->memory);
    wn__case_free(j->c);
    free(j);
}

static wn_status run(void *ctx) {
    job *j = ctx;
    if (j->copies > 1) {
        j->weight->data = j->first + (size_t)j->next * j->step;
        j->next = (j->next + 1) % j->copies;
    }
    return wn__run_kernel(&j->x, j->kernel, j->c->args);
}

static wn_tensor *tensor_of(const job *j, int part) {
    return (wn_tensor *)(void *)((char *)j->c->args + j->c->part[part].offset);
}

static size_t span_bytes(const wn_tensor *t) {
    int64_t last = 0;
    for (int d = 0; d < t->ndim; d++)
        last += (t->shape[d] - 1) * t->stride[d];
    return wn__tensor_count(t) == 0 ? 0 : (size_t)(last + 1) * wn_dtype_size(t->dtype);
}

// The largest input that is not there in place of another.
static int find_weight(const job *j) {
    int best = -1;
    for (int i = 0; i < j->c->parts; i++)
        if (j->c->part[i].role == WN__READ && !j->c->part[i].instead &&
            (best < 0 || span_bytes(tensor_of(j, i)) > span_bytes(tensor_of(j, best))))
            best = i;
    return best;
}

static wn_status place(job *j, wn__gpu_bench *g, bool cold) {
    const int weight = find_weight(j);
    const size_t bytes = weight >= 0 ? span_bytes(tensor_of(j, weight)) : 0;
    size_t total = j->x.need + 2 * WN_CUDA_ALIGN;
    void *p;
    j->copies = weight >= 0 ? wn__gpu_copies((double)bytes, cold) : 1;
    j->step = (bytes / WN_CUDA_ALIGN + 2) * WN_CUDA_ALIGN;
    for (int i = 0; i < j->c->parts; i++)
        total += span_bytes(tensor_of(j, i)) + WN_CUDA_ALIGN;
    total += (size_t)j->copies * j->step;
    WN_TRY(wn__cuda_arena(g->d, "a case", total, &j->memory));
    for (int i = 0; i < j->c->parts; i++) {
        wn_tensor *t = tensor_of(j, i);
        const int same = j->c->part[i].same;
        t->device.kind = WN_DEVICE_CUDA;
        if (same >= 0) {
            t->data = tensor_of(j, same)->data;
            continue;
        }
        WN_TRY(wn__arena_alloc(&j->memory,
                               i == weight ? (size_t)j->copies * j->step : span_bytes(t), &p));
        t->data = p;
        if (i == weight) j->first = p;
    }
    j->weight = weight >= 0 ? tensor_of(j, weight) : NULL;
    WN_TRY(wn__arena_alloc(&j->memory, j->x.need, &p));
    j->x.scratch = p;
    j->x.scratch_size = j->x.need;
    return WN_OK;
}

static wn_status fill(wn__suite *s, job *j) {
    for (int i = j->copies - 1; i >= 0; i--) {
        if (j->weight != NULL) j->weight->data = j->first + (size_t)i * j->step;
        WN_TRY(wn__gpu_fill_case(s, j->c, 1 + 16 * (uint64_t)i));
    }
    return WN_OK;
}

// Rows one behind the other: a case has gaps between them.
static void close_gaps(job *j) {
    for (int i = 0; i < j->c->parts; i++) {
        wn_tensor *t = tensor_of(j, i);
        if (t->ndim == 2 && t->stride[1] == 1) t->stride[0] = t->shape[1];
    }
}

static wn_status open_job(wn__cell *c, wn__op op, const char *text, const char *force, bool gaps,
                          bool cold, job *j) {
    wn__suite *s = c->suite;
    const wn__case_type *type = wn__case_type_of(op);
    wn__problem p;
    WN_TRY(wn__problem_parse(type, text, &p));
    WN_TRY(wn__case_create(type, &p, 0, false, &j->c));
    if (!gaps) close_gaps(j);
    j->x = (wn__exec){.gpu = s->gpu->gpu,
                      .device = {.kind = WN_DEVICE_CUDA},
                      .force = force != NULL ? force : s->force,
                      .tuned = &s->gpu->tuned,
                      .planning = true};
    WN_TRY(wn__plan(&j->x, op, j->c->args, &j->kernel));
    j->x.way = wn__plan_way(&j->x, j->kernel, j->c->args);
    WN_TRY(wn__run_kernel(&j->x, j->kernel, j->c->args));
    WN_TRY(place(j, s->gpu, cold));
    j->x.planning = false;
    return fill(s, j);
}

static wn_status add_line(wn__cell *c, const wn__work *l, bool cold) {
    char problem[WN__PROBLEM_TEXT];
    job *j = calloc(1, sizeof *j);
    if (j == NULL) return wn__fail(WN_NOMEM, "no memory for a case");
    wn__put_sizes(c, l->problem, problem, sizeof problem);
    wn_status status = open_job(c, l->op, problem, NULL, true, cold, j);
    if (status != WN_OK) {
        release(j);
        if (status != WN_INVALID && status != WN_UNSUPPORTED) return status;
        return wn__suite_note(c->suite, "%s: %s", c->work, wn_last_error());
    }
    wn__entry *e;
    const double bytes = wn__timed_bytes(j->c);
    const int copies = j->copies;
    WN_TRY(wn__cell_add(c, j->kernel->name, l->role, run, j, release, &e));
    e->bytes = bytes;
    e->copies = copies;
    if (l->product != WN__NO_PRODUCT) // zeros of a 2:4 weight too: what a dense one would do
        e->flops = 2 * (double)c->rows * (double)c->shape.out * (double)c->shape.in;
    return WN_OK;
}

wn_status wn__gpu_work_add(wn__cell *c, bool cold) {
    for (int i = 0; i < LINES; i++)
        if (wn__work_is(lines + i, c->suite->o->suite, c->work, c->suite->dtype))
            WN_TRY(add_line(c, lines + i, cold));
    return WN_OK;
}

// Ops one after the other, each on data of its own.
typedef struct chain {
    job *step[STEPS];
    int count;
} chain;

static void release_chain(void *ctx) {
    chain *ch = ctx;
    for (int i = 0; i < ch->count; i++)
        release(ch->step[i]);
    free(ch);
}

static wn_status run_chain(void *ctx) {
    chain *ch = ctx;
    for (int i = 0; i < ch->count; i++)
        WN_TRY(run(ch->step[i]));
    return WN_OK;
}

static wn_status add_step(wn__cell *c, chain *ch, const char *name, size_t length,
                          const char *problem, const char *force) {
    wn__op op;
    WN_TRY(wn__op_find(name, length, &op));
    job *j = calloc(1, sizeof *j);
    if (j == NULL) return wn__fail(WN_NOMEM, "no memory for a case");
    ch->step[ch->count++] = j;
    return open_job(c, op, problem, force, false, false, j);
}

static wn_status open_chain(wn__cell *c, const char *ops, const char *problems, const char *force,
                            chain *ch) {
    char problem[WN__PROBLEM_TEXT];
    while (*ops) {
        const size_t name = strcspn(ops, "+"), text = strcspn(problems, ";");
        if (ch->count == STEPS) return wn__fail(WN_BUG, "more than %d ops in a row", STEPS);
        (void)snprintf(problem, sizeof problem, "%.*s", (int)text, problems);
        WN_TRY(add_step(c, ch, ops, name, problem, force));
        ops += name + (ops[name] == '+');
        problems += text + (problems[text] == ';');
    }
    return WN_OK;
}

wn_status wn__gpu_ops_add(wn__cell *c, wn_bench_role role, const char *ops, const char *problems,
                          const char *force, wn__entry **out) {
    char name[96] = "";
    size_t used = 0;
    double flops = 0;
    chain *ch = calloc(1, sizeof *ch);
    *out = NULL;
    if (ch == NULL) return wn__fail(WN_NOMEM, "no memory for a case");
    wn_status status = open_chain(c, ops, problems, force, ch);
    if (status != WN_OK) {
        release_chain(ch);
        if (status != WN_INVALID && status != WN_UNSUPPORTED) return status;
        return wn__suite_note(c->suite, "%s: %s", c->work, wn_last_error());
    }
    for (int i = 0; i < ch->count && used < sizeof name; i++) {
        used += (size_t)snprintf(name + used, sizeof name - used, "%s%s", i > 0 ? " + " : "",
                                 ch->step[i]->kernel->name);
        flops += wn__timed_flops(ch->step[i]->c);
    }
    WN_TRY(wn__cell_add(c, name, role, run_chain, ch, release_chain, out));
    (*out)->flops = flops;
    return WN_OK;
}
