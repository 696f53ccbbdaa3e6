// SPDX-License-Identifier: MIT
// Creation, measuring, feeding and reading of a model.
#include "model/model.h"

#include "base/fail.h"
#include "model/internal.h"
#include <stdlib.h>
#include <string.h>

static wn_status check_spec(const wn__model_spec *s) {
    WN_TRY(wn__model_config_check(&s->config));
    if (s->dtype != WN_DTYPE_F32 && s->dtype != WN_DTYPE_F64)
        return wn__fail(WN_UNSUPPORTED, "a model in %s; F32 (or F64) is supported",
                        wn_dtype_name(s->dtype));
    if (s->batch < 1 || s->seq < 1)
        return wn__fail(WN_INVALID, "batch %lld and sequence length %lld: at least 1 each",
                        (long long)s->batch, (long long)s->seq);
    if (s->batch > INT32_MAX / s->seq)
        return wn__fail(WN_INVALID,
                        "batch %lld of %lld tokens each: at most %lld of that length fit 2^31 rows",
                        (long long)s->batch, (long long)s->seq, (long long)(INT32_MAX / s->seq));
    if (s->training && s->optimizer == NULL)
        return wn__fail(WN_INVALID, "a model that trains needs an optimizer");
    if (s->stored != WN_STORED_MASTER && (s->training || s->dtype != WN_DTYPE_F32))
        return wn__fail(WN_INVALID, "weights are stored as streams in models of F32 that do not "
                                    "train");
    return WN_OK;
}

static wn_status check_rules(const wn__model *m) {
    if (m->spec.rules == NULL) return WN_OK;
    size_t blocks = (size_t)m->spec.config.layers, count = m->linear_count;
    const char **names = calloc(count + blocks, sizeof *names);
    if (names == NULL) return wn__fail(WN_NOMEM, "no memory for %zu names", count + blocks);
    for (size_t i = 0; i < m->linear_count; i++)
        names[i] = m->linear[i]->name;
    for (size_t i = 0; i < blocks; i++)
        if (m->spec.config.mlp != WN_MLP_SWIGLU) names[count++] = m->block[i].mlp.act.name;
    wn_status status = wn__structure_rules_unmatched(m->spec.rules, names, count);
    free(names);
    return status;
}

static void measure_arenas(wn__model_arenas *a) {
    wn__arena_measure("weights", &a->weights);
    wn__arena_measure("gradients", &a->gradients);
    wn__arena_measure("moments", &a->moments);
    wn__arena_measure("activations", &a->activations);
}

static wn_status reserve_arenas(wn__model_arenas *a) {
    const wn__model_arenas measured = *a;
    *a = (wn__model_arenas){0};
    WN_TRY(wn__arena_create("weights", measured.weights.used, &a->weights));
    WN_TRY(wn__arena_create("gradients", measured.gradients.used, &a->gradients));
    WN_TRY(wn__arena_create("moments", measured.moments.used, &a->moments));
    return wn__arena_create("activations", measured.activations.used, &a->activations);
}

static void free_arenas(wn__model_arenas *a) {
    wn__arena_free(&a->weights);
    wn__arena_free(&a->gradients);
    wn__arena_free(&a->moments);
    wn__arena_free(&a->activations);
}

// Checks the spec and builds with arenas that only count.
static wn_status build_measured(const wn__model_spec *spec, wn__runtime *rt, wn__model *m) {
    *m = (wn__model){.spec = *spec, .rt = rt, .x = &rt->exec};
    WN_TRY(check_spec(spec));
    measure_arenas(&m->arenas);
    WN_TRY(wn__model_build(m));
    return check_rules(m);
}

static wn_status plan(wn__model *m) {
    wn__runtime_plan_begin(m->rt);
    wn_status status = wn__model_plan_all(m);
    wn_status ended = wn__runtime_plan_end(m->rt);
    m->planned = (wn__span){.B = m->spec.batch, .T = m->spec.seq};
    return status != WN_OK ? status : ended;
}

wn_status wn__model_create(const wn__model_spec *spec, wn__runtime *rt, wn__model **out) {
    *out = NULL;
    wn_status status = WN_OK;
    wn__model *m = calloc(1, sizeof *m);
    if (m == NULL) return wn__fail(WN_NOMEM, "no memory for a model");
    WN_TRY_OUT(build_measured(spec, rt, m));
    wn__model_unbuild(m);
    WN_TRY_OUT(reserve_arenas(&m->arenas));
    WN_TRY_OUT(wn__model_build(m));
    WN_TRY_OUT(plan(m));
    WN_TRY_OUT(wn__rope_tables_fill(&spec->config, m->x, &m->rope));
    *out = m;
    m = NULL;
out:
    wn__model_free(m);
    return status;
}

wn_status wn__model_draft(const wn__model_spec *spec, wn__runtime *rt, wn__model **out) {
    *out = NULL;
    wn__model *m = calloc(1, sizeof *m);
    if (m == NULL) return wn__fail(WN_NOMEM, "no memory for a model");
    size_t need = rt->exec.need;
    wn_status status = build_measured(spec, rt, m);
    wn__runtime_plan_begin(rt);
    if (status == WN_OK) status = wn__model_plan_all(m);
    rt->exec.planning = false; // no workspace is reserved either
    rt->exec.need = need;
    if (status == WN_OK) {
        *out = m;
    } else {
        wn__model_free(m);
    }
    return status;
}

void wn__model_free(wn__model *m) {
    if (m == NULL) return;
    wn__model_unbuild(m);
    free_arenas(&m->arenas);
    free(m);
}

wn_status wn__model_measure(const wn__model_spec *spec, wn__runtime *rt, wn__model_memory *out) {
    memset(out, 0, sizeof *out);
    wn__exec planner = rt->exec;
    planner.planning = true;
    planner.need = 0;
    planner.used = NULL;
    wn__model m;
    wn_status status = build_measured(spec, rt, &m);
    m.x = &planner;
    if (status == WN_OK) status = wn__model_plan_all(&m);
    if (status == WN_OK) {
        wn__model_memory_of(&m, out);
        out->workspace = planner.need;
    }
    wn__model_unbuild(&m);
    return status;
}

void wn__model_memory_of(const wn__model *m, wn__model_memory *out) {
    *out = (wn__model_memory){.weights = m->arenas.weights.used,
                              .gradients = m->arenas.gradients.used,
                              .moments = m->arenas.moments.used,
                              .activations = m->arenas.activations.used,
                              .workspace = m->rt->exec.scratch_size};
}

// An exact step chose new bases for the factors of its pairs.
static wn_status rebase(wn__model *m) {
    for (size_t i = 0; i < m->linear_count; i++) {
        wn__linear *l = m->linear[i];
        if (m->x->planning || wn__optimizer_replaced(m->spec.optimizer, l->factor_out))
            WN_TRY(wn__linear_rebased(l, m->x));
    }
    return WN_OK;
}

wn_status wn__model_update(wn__model *m, double lr, double grad_scale, int64_t u,
                           wn__optimizer_report *report) {
    WN_TRY(wn__optimizer_update(m->spec.optimizer, &m->params, m->x, lr, grad_scale, u, report));
    return rebase(m);
}

wn_status wn__model_prepare(wn__model *m, int64_t step) {
    m->pass.update = step;
    for (size_t i = 0; i < m->linear_count; i++)
        WN_TRY(wn__linear_prepare(m->linear[i], m->x, step));
    return WN_OK;
}

wn_status wn__model_check_tokens(const wn__model *m, const char *what, const int32_t *id, int64_t n,
                                 bool negative) {
    int64_t V = m->spec.config.vocab_size;
    for (int64_t i = 0; i < n; i++)
        if (id[i] >= V || (id[i] < 0 && !negative))
            return wn__fail(WN_INVALID, "%s %d at position %lld is outside the vocabulary of %lld",
                            what, id[i], (long long)i, (long long)V);
    return WN_OK;
}

wn_status wn__model_feed(wn__model *m, const int32_t *tokens, const int32_t *targets, int64_t B,
                         int64_t T) {
    m->fed = (wn__span){0};
    if (B < 1 || T < 1 || B > m->spec.batch || T > m->spec.seq)
        return wn__fail(
            WN_INVALID, "%lld x %lld tokens, the model has room for 1 to %lld x 1 to %lld",
            (long long)B, (long long)T, (long long)m->spec.batch, (long long)m->spec.seq);
    WN_TRY(wn__model_check_tokens(m, "token", tokens, B * T, false));
    if (targets != NULL) WN_TRY(wn__model_check_tokens(m, "target", targets, B * T, true));
    memcpy(m->buffers.tokens.data, tokens, (size_t)(B * T) * sizeof *tokens);
    m->labels = 0;
    m->has_targets = targets != NULL;
    if (targets != NULL)
        memcpy(m->buffers.targets.data, targets, (size_t)(B * T) * sizeof *targets);
    for (int64_t i = 0; targets != NULL && i < B * T; i++)
        m->labels += targets[i] >= 0;
    m->fed = (wn__span){.B = B, .T = T};
    return WN_OK;
}

const wn__model_config *wn__model_config_of(const wn__model *m) {
    return &m->spec.config;
}

wn__params *wn__model_params(wn__model *m) {
    return &m->params;
}

size_t wn__model_linear_count(const wn__model *m) {
    return m->linear_count;
}

wn__linear *wn__model_linear(wn__model *m, size_t i) {
    return m->linear[i];
}

size_t wn__model_act24_count(const wn__model *m) {
    return m->spec.config.mlp == WN_MLP_SWIGLU ? 0 : (size_t)m->spec.config.layers;
}

wn__act24 *wn__model_act24(wn__model *m, size_t i) {
    wn__act24 *a = &m->block[i].mlp.act;
    return wn__act24_given(a) || wn__given(&a->zeros) ? a : NULL;
}

wn__runtime *wn__model_runtime(wn__model *m) {
    return m->rt;
}

wn__pass *wn__model_pass(wn__model *m) {
    return &m->pass;
}

const wn__init_report *wn__model_init_report(const wn__model *m) {
    return &m->init_report;
}

// Scores and weighted values of the (T+1)/2 keys a query sees on average: two products forward,
// five backward (the scores once more).
static double attention_flops(const wn__model_config *c, int64_t T, bool training) {
    double product = (double)(c->heads * c->head_dim) * (double)(T + 1);
    return product * (training ? 7 : 2);
}

static void add_linear_flops(const wn__linear *l, bool training, double *executed, double *dense) {
    wn__linear_flops f;
    l->type->flops(l, &f);
    double product = 2.0 * (double)l->in * (double)l->out;
    *executed += f.forward + (training ? f.input_gradient + f.weight_gradient : 0);
    *dense += product * (training ? 3 : 1);
}

void wn__model_flops(const wn__model *m, int64_t T, bool training, double *executed,
                     double *dense) {
    const wn__model_config *c = &m->spec.config;
    *executed = *dense = (double)c->layers * attention_flops(c, T, training);
    for (size_t i = 0; i < m->linear_count; i++)
        add_linear_flops(m->linear[i], training, executed, dense);
    if (c->tied) add_linear_flops(&m->head, training, executed, dense);
}
