// SPDX-License-Identifier: MIT
/* What the tests of linear layers share: one layer of any structure with everything a model would
 * give it, and noise to run it on. */
#ifndef WN_TESTS_LAYER_TEST_H
#define WN_TESTS_LAYER_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fail.h"
#include "base/philox.h"
#include "kernels/element.h"
#include "kernels/runtime.h"
#include "nn/linear.h"
#include "unit/base/status.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 10 /* of x at most; the last group of four tokens is short */
#define MOST 64 /* features at most */
#define ROOM (ROWS * MOST)

typedef struct rig {
    wn__runtime *rt;
    wn__arena weights, gradients, activations;
    wn__params params;
    wn__pass pass;
    wn__scratch scratch;
    wn__build build;
    wn__linear l;
} rig;

/* What is asked of a layer; zeros: F64, not training. */
typedef struct layer_spec {
    const char *structure; /* as written */
    wn__structure base;    /* mask_every 0: wn__structure_defaults() */
    int64_t in, out;
    bool bias, training, recompute, round16, single; /* single: F32 */
    int64_t number;                                  /* layers before it */
    int64_t packs24;                                 /* as in wn__build */
} layer_spec;

static inline double noise(uint64_t stream, int64_t i) {
    float four[4];
    wn__philox_normal(9, WN_STREAM_TEST + stream, (uint64_t)i / 4, four);
    return (double)four[i % 4];
}

static inline void randomize(const wn_tensor *t, uint64_t stream) {
    for (int64_t i = 0; i < wn__tensor_count(t); i++)
        wn__set(t, i, noise(stream, i));
}

static inline double at2(const wn_tensor *t, int64_t i, int64_t j) {
    return wn__get(t, i * t->shape[1] + j);
}

static inline void near_at(double got, double want, double tolerance, int line) {
    if (!(fabs(got - want) <= tolerance * (1 + fabs(want))))
        fail_msg("line %d: %.17g is not %.17g", line, got, want);
}
#define NEAR(got, want)               near_at((got), (want), 1e-12, __LINE__)
#define NEAR_BY(got, want, tolerance) near_at((got), (want), (tolerance), __LINE__)

static inline wn__build rig_build(rig *r, const layer_spec *s) {
    return (wn__build){.weights = &r->weights,
                       .gradients = s->training ? &r->gradients : NULL,
                       .activations = &r->activations,
                       .params = &r->params,
                       .dtype = s->single ? WN_DTYPE_F32 : WN_DTYPE_F64,
                       .training = s->training,
                       .round16 = s->round16,
                       .recompute = s->recompute,
                       .rows = ROWS,
                       .dy_rows = ROWS,
                       .seq = ROWS,
                       .layers = s->number,
                       .packs24 = s->packs24,
                       .pass = &r->pass,
                       .scratch = &r->scratch};
}

static inline wn_status build_layer(rig *r, const layer_spec *s) {
    wn__structure base = s->base.mask_every > 0 ? s->base : wn__structure_defaults(), structure;
    r->scratch.elements = 0;
    r->build = rig_build(r, s);
    WN_TRY(wn__structure_parse(s->structure, &base, &structure));
    return wn__linear_build(&r->l, "block.part", s->in, s->out, s->bias, &structure, &r->build);
}

/* Measures first, as a model does, so that the shared block is exactly as large as was wished. */
static inline void open_layer(rig *r, const layer_spec *s) {
    memset(r, 0, sizeof *r);
    r->pass.seed = 77;
    OK(wn__runtime_create(2, NULL, false, &r->rt));
    wn__runtime_plan_begin(r->rt); /* workspace for anything these small layers run */
    r->rt->exec.need = 1 << 20;
    OK(wn__runtime_plan_end(r->rt));
    wn__arena_measure("weights", &r->weights);
    wn__arena_measure("gradients", &r->gradients);
    wn__arena_measure("activations", &r->activations);
    OK(build_layer(r, s));
    wn__linear_free(&r->l);
    wn__params_free(&r->params);
    size_t weights = r->weights.used, gradients = r->gradients.used;
    size_t activations = r->activations.used + 64 + 8 * (size_t)r->scratch.elements;
    OK(wn__arena_create("weights", weights, &r->weights));
    OK(wn__arena_create("gradients", gradients, &r->gradients));
    OK(wn__arena_create("activations", activations, &r->activations));
    OK(build_layer(r, s));
    OK(wn__tensor_alloc1(&r->activations, r->build.dtype, r->scratch.elements, &r->scratch.block));
    for (size_t i = 0; i < r->params.count; i++)
        randomize(&r->params.item[i].w, 1 + i);
}

static inline void close_layer(rig *r) {
    wn__linear_free(&r->l);
    wn__params_free(&r->params);
    wn__arena_free(&r->weights);
    wn__arena_free(&r->gradients);
    wn__arena_free(&r->activations);
    wn__runtime_free(r->rt);
}

/* What a layer reads and writes. */
typedef struct flow {
    wn_tensor x, y, dy, dx;
    double room[4][ROOM];
} flow;

static inline void open_flow(flow *f, const rig *r, int64_t rows) {
    wn_dtype d = r->build.dtype;
    memset(f, 0, sizeof *f);
    f->x = wn__tensor2(f->room[0], d, rows, r->l.in);
    f->y = wn__tensor2(f->room[1], d, rows, r->l.out);
    f->dy = wn__tensor2(f->room[2], d, rows, r->l.out);
    f->dx = wn__tensor2(f->room[3], d, rows, r->l.in);
    randomize(&f->x, 40);
    randomize(&f->y, 41);
    randomize(&f->dy, 42);
    randomize(&f->dx, 43);
}

#endif
