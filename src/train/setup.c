// SPDX-License-Identifier: MIT
// From options and data to a model that is ready for its next update.
#include "base/fail.h"
#include "formats/hf_sparsity.h"
#include "kernels/reduce.h"
#include "train/checkpoint.h"
#include "train/trainer.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool given(const wn__trainer *t, const char *rule) {
    for (size_t i = 0; i < t->o.sparsity_count; i++)
        if (strcmp(t->o.sparsity[i], rule) == 0) return true;
    return false;
}

// A model of chains goes on as one: their rules come before those given, and into run.json.
static wn_status take_chains(wn__trainer *t, const wn__hf_sparsity *said) {
    t->chains = calloc(said->krons + 1, sizeof *t->chains);
    t->all_sparsity = calloc(said->krons + t->o.sparsity_count + 1, sizeof *t->all_sparsity);
    if (t->chains == NULL || t->all_sparsity == NULL)
        return wn__fail(WN_NOMEM, "no memory for sparsity rules");
    size_t n = 0;
    for (size_t i = 0; i < said->krons; i++) {
        WN_TRY(wn__hf_kron_rule(&said->kron[i], &t->chains[t->chain_count]));
        const char *rule = t->chains[t->chain_count++];
        if (!given(t, rule)) t->all_sparsity[n++] = rule;
    }
    for (size_t i = 0; i < t->o.sparsity_count; i++)
        t->all_sparsity[n++] = t->o.sparsity[i];
    t->o.sparsity = t->all_sparsity;
    t->o.sparsity_count = n;
    return WN_OK;
}

static wn_status find_chains(wn__trainer *t) {
    wn__hf_sparsity said;
    if (t->init_dir[0] == '\0') return WN_OK;
    WN_TRY(wn__hf_sparsity_read(t->init_dir, &t->config, &said));
    wn_status status = said.krons > 0 ? take_chains(t, &said) : WN_OK;
    wn__hf_sparsity_free(&said);
    return status;
}

void wn__setup_free(wn__trainer *t) {
    for (size_t i = 0; i < t->chain_count; i++)
        free(t->chains[i]);
    free(t->chains);
    free((void *)t->all_sparsity);
}

wn_status wn__setup_methods(wn__trainer *t) {
    WN_TRY(find_chains(t));
    WN_TRY(wn__options_words(&t->o, &t->words));
    t->words.optimizer.width = (double)t->config.hidden_size;
    WN_TRY(wn__structure_rules_parse(t->o.sparsity, t->o.sparsity_count, &t->words.structure,
                                     &t->rules));
    return wn__optimizer_create(&t->words.optimizer, &t->optimizer);
}

void wn__setup_spec(wn__trainer *t, wn__model_spec *spec) {
    *spec = (wn__model_spec){.config = t->config,
                             .dtype = WN_DTYPE_F32,
                             .training = true,
                             .batch = t->o.batch_size,
                             .seq = t->o.seq_len,
                             .optimizer = t->optimizer,
                             .round16 = strcmp(t->o.dtype, "bfloat16") == 0,
                             .recompute = t->o.recompute,
                             .count_zeros = t->o.log_act_zeros,
                             .rules = &t->rules};
}

// The search for NaN in weights is the one thing a trainer runs that the model has not planned.
static wn_status plan_checks(wn__trainer *t) {
    const wn__params *p = wn__model_params(t->model);
    wn_status status = WN_OK;
    wn__runtime_plan_begin(t->runtime);
    for (size_t i = 0; i < p->count && status == WN_OK; i++) {
        const wn__reduce find = {.x = *wn__param_master(p->item + i),
                                 .out = wn__tensor1(t->index, WN_DTYPE_I64, 1)};
        status = wn__run(&t->runtime->exec, WN__OP_nonfinite, &find);
    }
    wn_status ended = wn__runtime_plan_end(t->runtime);
    return status != WN_OK ? status : ended;
}

wn_status wn__setup_model(wn__trainer *t) {
    wn__model_spec spec;
    wn__setup_spec(t, &spec);
    if (t->o.dry_run) return wn__model_draft(&spec, t->runtime, &t->model);
    WN_TRY(wn__model_create(&spec, t->runtime, &t->model));
    wn__model_pass(t->model)->seed = t->o.seed;
    size_t tokens = (size_t)(t->o.batch_size * t->o.seq_len) * (size_t)t->o.grad_accum;
    t->tokens = calloc(tokens, sizeof *t->tokens);
    t->targets = calloc(tokens, sizeof *t->targets);
    t->sums = calloc(wn__model_params(t->model)->count + 1, sizeof *t->sums);
    t->index = calloc(1, sizeof *t->index);
    if (t->tokens == NULL || t->targets == NULL || t->sums == NULL || t->index == NULL)
        return wn__fail(WN_NOMEM, "no memory for the %zu tokens of an update", tokens);
    return plan_checks(t);
}

static wn_status load_model(wn__trainer *t, const char *dir) {
    wn__hf_weights *weights;
    WN_TRY(wn__hf_weights_open(dir, &weights));
    wn_status status = wn__model_load(t->model, weights);
    wn__hf_weights_close(weights);
    return status;
}

wn_status wn__setup_weights(wn__trainer *t, const wn__checkpoint *c) {
    if (c->dir[0] != '\0') return wn__checkpoint_load(t, c);
    if (t->init_dir[0] != '\0') {
        WN_TRY(load_model(t, t->init_dir));
    } else {
        WN_TRY(wn__model_init(t->model, t->o.seed));
    }
    WN_TRY(wn__check_finite(t));
    return wn__model_prepare(t->model, 0);
}

wn_status wn__check_finite(wn__trainer *t) {
    const wn__params *p = wn__model_params(t->model);
    for (size_t i = 0; i < p->count; i++) {
        const wn__reduce find = {.x = *wn__param_master(p->item + i),
                                 .out = wn__tensor1(t->index, WN_DTYPE_I64, 1)};
        WN_TRY(wn__run(&t->runtime->exec, WN__OP_nonfinite, &find));
        if (*t->index >= 0)
            return wn__fail(WN_INVALID,
                            "%s: element %" PRId64 " is NaN or infinite after step %" PRId64,
                            p->item[i].name, *t->index, t->step);
    }
    return WN_OK;
}
