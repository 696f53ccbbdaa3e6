// SPDX-License-Identifier: MIT
/* What the model tests share: making small models, reading tensors as doubles, taking updates. */
#ifndef WN_TESTS_MODEL_TEST_H
#define WN_TESTS_MODEL_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fail.h"
#include "base/philox.h"
#include "formats/safetensors.h"
#include "model/model.h"
#include "optim/optim.h"
#include "unit/base/status.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Element i of a packed tensor; data may be unaligned. */
static inline double value_at(const wn_tensor *t, int64_t i) {
    double d;
    float f;
    const char *p = (const char *)t->data + i * (int64_t)wn_dtype_size(t->dtype);
    if (t->dtype == WN_DTYPE_F64) {
        memcpy(&d, p, sizeof d);
        return d;
    }
    memcpy(&f, p, sizeof f);
    return (double)f;
}

/* ||a - b|| / ||b||, or ||a|| where b is zero. */
static inline double relative_error(const wn_tensor *a, const wn_tensor *b) {
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < wn__tensor_count(b); i++) {
        double e = value_at(a, i) - value_at(b, i), v = value_at(b, i);
        difference += e * e;
        norm += v * v;
    }
    return sqrt(difference) / (norm > 0 ? sqrt(norm) : 1);
}

/* Every default, but no dense updates before activations are sparse. */
static inline wn__structure default_structure(void) {
    wn__structure s = wn__structure_defaults();
    s.act_warmup = 0;
    return s;
}

static inline wn__structure_rules make_rules(const char *text, const wn__structure *base) {
    wn__structure_rules rules = {0};
    if (text != NULL) OK(wn__structure_rules_parse(&text, 1, base, &rules));
    return rules;
}

/* A configuration with every field set; tests change what they are about. */
static inline wn__model_config small_config(wn__mlp_kind mlp) {
    return (wn__model_config){.vocab_size = 48,
                              .hidden_size = 32,
                              .intermediate_size = 48,
                              .layers = 2,
                              .heads = 4,
                              .kv_heads = 2,
                              .head_dim = 8,
                              .max_positions = 128,
                              .rms_eps = 1e-5,
                              .rope_theta = 10000,
                              .rope = WN_ROPE_DEFAULT,
                              .rope_factor = 1,
                              .rope_low_freq = 1,
                              .rope_high_freq = 4,
                              .rope_original_positions = 128,
                              .mlp = mlp,
                              .init_std = 0.08,
                              .bos = -1};
}

static inline wn__optimizer_options adamw_options(double weight_decay) {
    return (wn__optimizer_options){.kind = WN_OPTIMIZER_ADAMW,
                                   .beta1 = 0.9,
                                   .beta2 = 0.95,
                                   .eps = 1e-8,
                                   .weight_decay = weight_decay};
}

static inline wn__optimizer *make_optimizer(const wn__optimizer_options *o) {
    wn__optimizer *out;
    OK(wn__optimizer_create(o, &out));
    return out;
}

/* A model on a runtime of its own, with an optimizer where it trains; the rule may be NULL. */
typedef struct rig {
    wn__runtime *rt;
    wn__structure_rules rules;
    wn__optimizer *optimizer;
    wn__model *m;
} rig;

static inline void rig_open_with(rig *r, const wn__model_spec *spec, const char *rule,
                                 const wn__structure *base, int threads,
                                 const wn__optimizer_options *o) {
    *r = (rig){.rules = make_rules(rule, base), .optimizer = make_optimizer(o)};
    wn__model_spec s = *spec;
    s.rules = rule != NULL ? &r->rules : NULL;
    s.optimizer = s.training ? r->optimizer : NULL;
    OK(wn__runtime_create(threads, NULL, false, &r->rt));
    OK(wn__model_create(&s, r->rt, &r->m));
}

/* With AdamW. */
static inline void rig_open(rig *r, const wn__model_spec *spec, const char *rule,
                            const wn__structure *base, int threads) {
    const wn__optimizer_options o = adamw_options(0.1);
    rig_open_with(r, spec, rule, base, threads, &o);
}

static inline void rig_close(rig *r) {
    wn__model_free(r->m);
    wn__optimizer_free(r->optimizer);
    wn__runtime_free(r->rt);
    wn__structure_rules_free(&r->rules);
}

static inline void random_tokens(int32_t *out, int64_t n, int64_t vocabulary, uint64_t seed) {
    for (int64_t i = 0; i < n; i++)
        out[i] = (int32_t)wn__philox_below(seed, WN_STREAM_TEST, (uint64_t)i, (uint64_t)vocabulary);
}

typedef struct step_options {
    double lr, max_norm;
} step_options;

/* One update on the fed tokens, as a trainer makes it: mean loss and gradient norm before it. step
 * counts from 0. */
static inline void train_step(wn__model *m, const step_options *o, int64_t step, double *loss,
                              double *norm) {
    wn__exec *x = &wn__model_runtime(m)->exec;
    wn__params *p = wn__model_params(m);
    double *slots = calloc(p->count, sizeof *slots);
    const wn_tensor sums = wn__tensor1(slots, WN_DTYPE_F64, (int64_t)p->count);
    int64_t labels, counted = 0;
    OK(wn__model_zero_gradients(m));
    OK(wn__model_loss(m, loss, &counted));
    OK(wn__model_loss_backward(m, 1.0 / (double)counted, loss, &labels));
    assert_int_equal(labels, counted);
    *loss /= (double)labels;
    OK(wn__gradient_norm(p, x, &sums, norm));
    double scale = wn__clip_scale(*norm, o->max_norm);
    OK(wn__model_regularize(m, 1 / scale));
    OK(wn__model_update(m, o->lr, scale, step, NULL));
    OK(wn__model_prepare(m, step + 1));
    free(slots);
}

#endif
