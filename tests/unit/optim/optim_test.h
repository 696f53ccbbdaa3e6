// SPDX-License-Identifier: MIT
/* What the optimizer tests share: a small list of parameters of every role, with an optimizer over
 * it, and reading its tensors. */
#ifndef WN_TESTS_OPTIM_TEST_H
#define WN_TESTS_OPTIM_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fail.h"
#include "base/half.h"
#include "base/philox.h"
#include "kernels/runtime.h"
#include "optim/optim.h"
#include "optim/optimizer.h"
#include "unit/base/status.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A matrix outside the blocks, one inside, the factors of a layer, a vector, a frozen matrix, and
 * one that is large enough for 8-bit moments. */
enum { EMBED, MATRIX, IN, OUT, NORM, FROZEN, LARGE, PARAMS };
#define RANK 3

static const struct {
    const char *name;
    int64_t a, b; /* b = 0: a vector */
    wn__param_role role;
} shapes[PARAMS] = {
    [EMBED] = {"model.embed_tokens.weight", 12, 8, WN_PARAM_REGULAR},
    [MATRIX] = {"model.layers.0.self_attn.q_proj.weight", 10, 6, WN_PARAM_REGULAR},
    [IN] = {"model.layers.0.mlp.up_proj.weight_in", RANK, 9, WN_PARAM_LOWRANK_IN},
    [OUT] = {"model.layers.0.mlp.up_proj.weight_out", 7, RANK, WN_PARAM_LOWRANK_OUT},
    [NORM] = {"model.norm.weight", 6, 0, WN_PARAM_REGULAR},
    [FROZEN] = {"model.layers.0.mlp.down_proj.weight", 4, 5, WN_PARAM_FROZEN},
    [LARGE] = {"model.layers.0.mlp.gate_proj.weight", 65, 67, WN_PARAM_REGULAR},
};

typedef struct rig {
    wn__runtime *rt;
    wn__params params;
    wn__optimizer *o;
    wn__arena weights, states;
} rig;

static inline wn_status rig_param(rig *r, int i, wn_dtype dtype, bool round) {
    size_t index;
    WN_TRY(wn__params_append(&r->params, &index));
    wn__param *p = &r->params.item[index];
    const int64_t shape[] = {shapes[i].a, shapes[i].b};
    int ndim = shapes[i].b > 0 ? 2 : 1;
    (void)snprintf(p->name, sizeof p->name, "%s", shapes[i].name);
    p->role = shapes[i].role;
    p->decay = ndim == 2;
    p->partner = i == IN ? OUT : i == OUT ? IN : 0;
    WN_TRY(wn__tensor_alloc(&r->weights, dtype, ndim, shape, &p->w));
    if (p->role == WN_PARAM_FROZEN) return WN_OK;
    if (round) WN_TRY(wn__tensor_alloc(&r->weights, dtype, ndim, shape, &p->master));
    return wn__tensor_alloc(&r->weights, dtype, ndim, shape, &p->g);
}

static inline double get(const wn_tensor *t, int64_t i) {
    return t->dtype == WN_DTYPE_F64   ? ((const double *)t->data)[i]
           : t->dtype == WN_DTYPE_F32 ? (double)((const float *)t->data)[i]
                                      : (double)((const uint8_t *)t->data)[i];
}

static inline void put(const wn_tensor *t, int64_t i, double value) {
    if (t->dtype == WN_DTYPE_F64)
        ((double *)t->data)[i] = value;
    else
        ((float *)t->data)[i] = (float)value;
}

/* Normal values, a function of seed and place. */
static inline void draw(const wn_tensor *t, uint64_t seed, double scale) {
    float four[4] = {0};
    for (int64_t i = 0; i < wn__tensor_count(t); i++) {
        if (i % 4 == 0) wn__philox_normal(seed, WN_STREAM_TEST, (uint64_t)i / 4, four);
        put(t, i, scale * (double)four[i % 4]);
    }
}

static inline void draw_gradients(rig *r, uint64_t seed) {
    for (size_t i = 0; i < r->params.count; i++)
        if (r->params.item[i].role != WN_PARAM_FROZEN)
            draw(&r->params.item[i].g, 1000 * seed + i, 0.1);
}

/* Builds the optimizer's states, measured first, and plans an update and a norm. */
static inline void rig_build(rig *r, const wn__optimizer_options *o) {
    wn__arena measured;
    double norm;
    const wn_tensor sums = wn__tensor1(NULL, WN_DTYPE_F64, (int64_t)r->params.count);
    OK(wn__optimizer_create(o, &r->o));
    wn__arena_measure("states", &measured);
    OK(wn__optimizer_build(r->o, &r->params, &measured));
    OK(wn__arena_create("states", measured.used, &r->states));
    OK(wn__optimizer_build(r->o, &r->params, &r->states));
    assert_int_equal(r->states.used, measured.used);
    wn__runtime_plan_begin(r->rt);
    OK(wn__gradient_norm(&r->params, &r->rt->exec, &sums, &norm));
    OK(wn__optimizer_update(r->o, &r->params, &r->rt->exec, 0.1, 1, 0, NULL));
    OK(wn__runtime_plan_end(r->rt));
}

/* round: weights are rounded, with masters behind them. */
static inline void rig_open(rig *r, const wn__optimizer_options *o, wn_dtype dtype, bool round,
                            int threads) {
    *r = (rig){0};
    OK(wn__runtime_create(threads, NULL, false, &r->rt));
    OK(wn__arena_create("weights", 1 << 19, &r->weights));
    for (int i = 0; i < PARAMS; i++)
        OK(rig_param(r, i, dtype, round));
    for (int i = 0; i < PARAMS; i++) {
        wn__param *p = &r->params.item[i];
        draw(wn__param_master(p), 77 + (uint64_t)i, 0.5);
        for (int64_t k = 0; wn__given(&p->master) && k < wn__tensor_count(&p->w); k++)
            put(&p->w, k, (double)wn__bf16_to_f32(wn__bf16_from_f64(get(&p->master, k))));
    }
    rig_build(r, o);
}

static inline void rig_close(rig *r) {
    wn__optimizer_free(r->o);
    wn__params_free(&r->params);
    wn__runtime_free(r->rt);
    wn__arena_free(&r->weights);
    wn__arena_free(&r->states);
}

static inline const wn_tensor *master(const rig *r, int i) {
    return wn__param_master(&r->params.item[i]);
}

/* One update on drawn gradients. */
static inline wn__optimizer_report step_drawn(rig *r, double lr, double scale, int64_t u) {
    wn__optimizer_report report;
    draw_gradients(r, (uint64_t)u + 1);
    OK(wn__optimizer_update(r->o, &r->params, &r->rt->exec, lr, scale, u, &report));
    return report;
}

static inline wn__optimizer_options options_of(wn__optimizer_kind kind) {
    return (wn__optimizer_options){.kind = kind,
                                   .beta1 = 0.9,
                                   .beta2 = 0.99,
                                   .eps = 1e-6,
                                   .weight_decay = 0.1,
                                   .momentum = 0.8,
                                   .exact_every = 3,
                                   .lr_scaler = -1,
                                   .width = 12,
                                   .galore_rank = 4,
                                   .galore_gap = 3,
                                   .galore_scale = 0.25,
                                   .galore_type = "std"};
}

static const wn__optimizer_kind all_kinds[] = {WN_OPTIMIZER_ADAMW,     WN_OPTIMIZER_ADAM,
                                               WN_OPTIMIZER_SGD,       WN_OPTIMIZER_ADAFACTOR,
                                               WN_OPTIMIZER_ADAM8BIT,  WN_OPTIMIZER_GALORE_ADAMW,
                                               WN_OPTIMIZER_LORO_ADAMW};
#define KINDS 7

#endif
