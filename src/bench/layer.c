// SPDX-License-Identifier: MIT
// One linear layer, forward and backward, dense and with each structure.
#include "base/fail.h"
#include "base/philox.h"
#include "bench/suite.h"
#include "kernels/runtime.h"
#include "nn/linear.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A layer in memory with what it reads and writes.
typedef struct rig {
    wn__exec exec;
    wn__arena weights, gradients, activations, work;
    wn__params params;
    wn__pass pass;
    wn__scratch scratch;
    wn__linear l;
    wn_tensor x, y, dy, dx;
    int64_t step;
    bool whole; // masks and packs are part of a run
} rig;

static void release(void *ctx) {
    rig *r = ctx;
    wn__linear_free(&r->l);
    wn__params_free(&r->params);
    wn__arena_free(&r->weights);
    wn__arena_free(&r->gradients);
    wn__arena_free(&r->activations);
    wn__arena_free(&r->work);
    free(r);
}

static wn_status build(rig *r, const wn__cell *c, const wn__structure *structure) {
    wn__build b = {.weights = &r->weights,
                   .gradients = &r->gradients,
                   .activations = &r->activations,
                   .params = &r->params,
                   .dtype = WN_DTYPE_F32,
                   .training = true,
                   .rows = c->rows,
                   .seq = c->rows,
                   .pass = &r->pass,
                   .scratch = &r->scratch};
    r->scratch.elements = 0;
    WN_TRY(wn__linear_build(&r->l, "layer", c->shape.in, c->shape.out, false, structure, &b));
    WN_TRY(wn__tensor_alloc2(&r->activations, b.dtype, c->rows, c->shape.in, &r->x));
    WN_TRY(wn__tensor_alloc2(&r->activations, b.dtype, c->rows, c->shape.in, &r->dx));
    WN_TRY(wn__tensor_alloc2(&r->activations, b.dtype, c->rows, c->shape.out, &r->y));
    WN_TRY(wn__tensor_alloc2(&r->activations, b.dtype, c->rows, c->shape.out, &r->dy));
    return wn__tensor_alloc1(&r->activations, b.dtype, r->scratch.elements, &r->scratch.block);
}

// Measures first, as a model does.
static wn_status make(rig *r, const wn__cell *c, const wn__structure *structure) {
    wn__arena_measure("weights", &r->weights);
    wn__arena_measure("gradients", &r->gradients);
    wn__arena_measure("activations", &r->activations);
    WN_TRY(build(r, c, structure));
    wn__linear_free(&r->l);
    wn__params_free(&r->params);
    size_t weights = r->weights.used, gradients = r->gradients.used;
    size_t activations = r->activations.used;
    WN_TRY(wn__arena_create("weights", weights, &r->weights));
    WN_TRY(wn__arena_create("gradients", gradients, &r->gradients));
    WN_TRY(wn__arena_create("activations", activations, &r->activations));
    return build(r, c, structure);
}

static void randomize(const wn_tensor *t, uint64_t number) {
    float *at = t->data, four[4] = {0};
    for (int64_t i = 0; i < wn__tensor_count(t); i++) {
        if (i % 4 == 0) wn__philox_normal(1, WN_STREAM_BENCH + number, (uint64_t)i, four);
        at[i] = four[i % 4];
    }
}

static wn_status once(rig *r) {
    if (r->whole) WN_TRY(wn__linear_prepare(&r->l, &r->exec, r->step));
    WN_TRY(wn__linear_forward(&r->l, &r->exec, &r->x, &r->y, false));
    return wn__linear_backward(&r->l, &r->exec, &r->x, &r->dy, &r->dx, false);
}

// Gradients add up over runs; with values near 1 and millions of runs that stays finite.
static wn_status run(void *ctx) {
    rig *r = ctx;
    r->step++;
    r->pass.update = r->step;
    r->pass.counter++;
    return once(r);
}

// The workspace of everything that runs, by a run that only plans.
static wn_status ready(rig *r) {
    bool whole = r->whole;
    r->exec.planning = r->whole = true;
    WN_TRY(once(r));
    r->exec.planning = false;
    r->whole = whole;
    void *block;
    WN_TRY(wn__arena_create("workspace", r->exec.need + 64, &r->work));
    WN_TRY(wn__arena_alloc(&r->work, r->exec.need + 64, &block));
    r->exec.scratch = block;
    r->exec.scratch_size = r->exec.need;
    return wn__linear_prepare(&r->l, &r->exec, 0);
}

static wn_status open_rig(rig *r, const wn__cell *c, const wn__structure *structure) {
    const wn__suite *s = c->suite;
    r->exec = (wn__exec){.pool = s->pool, .force = s->force};
    r->pass = (wn__pass){.seed = 1, .update = 1, .learning = true};
    r->whole = strcmp(c->work, "step") == 0;
    WN_TRY(make(r, c, structure));
    for (size_t i = 0; i < r->params.count; i++)
        randomize(&r->params.item[i].w, 3 + i);
    randomize(&r->x, 1);
    randomize(&r->dy, 2);
    return ready(r);
}

static wn_status add(wn__cell *c, const char *text) {
    wn__structure base = wn__structure_defaults(), structure;
    char name[WN_STRUCTURE_NAME];
    WN_TRY(wn__structure_parse(text, &base, &structure));
    if (structure.kept) structure.freeze_after = 1; // the first mask stays
    rig *r = calloc(1, sizeof *r);
    if (!r) return wn__fail(WN_NOMEM, "no memory for a layer");
    wn_status status = open_rig(r, c, &structure);
    if (status != WN_OK) {
        release(r);
        return wn__fail_in(status, "%s", text);
    }
    wn__entry *e;
    wn__linear_flops flops;
    r->l.type->flops(&r->l, &flops);
    bool dense = structure.kind == WN_STRUCTURE_DENSE;
    WN_TRY(wn__cell_add(c, wn__structure_name(&structure, name, sizeof name),
                        dense ? WN_BENCH_DENSE : WN_BENCH_STRUCTURE, run, r, release, &e));
    e->flops = (double)c->rows * (flops.forward + flops.input_gradient + flops.weight_gradient);
    return WN_OK;
}

// PATTERN=STRUCTURE as in training, or a structure alone.
static const char *structure_of(const char *text) {
    const char *equals = strchr(text, '=');
    return equals ? equals + 1 : text;
}

static wn_status cell(wn__suite *s, wn__shape shape, int64_t rows, const char *work) {
    static const char *const usual[] = {"2:4:tile", "2:4:row", "2:4:sste", "2:4:tile+mvue"};
    static const wn__product all[] = {WN__FORWARD, WN__INPUT, WN__WEIGHT};
    wn__cell c = {.suite = s, .work = work, .shape = shape, .rows = rows};
    const char *const *text = s->o->sparsity_count > 0 ? s->o->sparsity : usual;
    size_t count = s->o->sparsity_count > 0 ? s->o->sparsity_count : 4;
    wn_status status = add(&c, "dense");
    for (size_t i = 0; status == WN_OK && i < count; i++)
        status = add(&c, structure_of(text[i]));
    if (status == WN_OK) status = wn__product_add(&c, all, 3, false);
    if (status == WN_OK) return wn__cell_measure(&c);
    wn__cell_free(&c);
    return status;
}

wn_status wn__suite_layer(wn__suite *s) {
    // a step also chooses masks and packs, as every update does with --mask-every 1
    static const char *const works[] = {"forward and backward", "step"};
    if (strcmp(s->dtype, "f32") != 0)
        return wn__fail(WN_INVALID, "layer: dtype f32, not %s", s->dtype);
    if (!wn__suite_wants(s, works[0]) && !wn__suite_wants(s, works[1]))
        return wn__fail(WN_INVALID,
                        "work: nothing of layer begins with '%.60s'; there are '%s', '%s'",
                        s->o->work, works[0], works[1]);
    for (int w = 0; w < 2; w++)
        for (int i = 0; wn__suite_wants(s, works[w]) && i < s->shapes; i++)
            for (int j = 0; j < s->row_counts; j++)
                WN_TRY(cell(s, s->shape[i], s->rows[j], works[w]));
    return WN_OK;
}
