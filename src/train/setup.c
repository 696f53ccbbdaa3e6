// SPDX-License-Identifier: MIT
// From options and data to a model that is ready for its next update.
#include "base/fail.h"
#include "kernels/reduce.h"
#include "train/checkpoint.h"
#include "train/trainer.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int64_t round_up(int64_t n, int64_t step) {
    return (n + step - 1) / step * step;
}

static int64_t default_intermediate(const wn_train_options *o) {
    if (strcmp(o->mlp, "relu2") == 0) return 4 * o->hidden_size;
    return round_up((8 * o->hidden_size + 2) / 3, 32);
}

// Ids the data needs room for.
static int64_t vocabulary(const wn__trainer *t) {
    int64_t n = 1;
    if (t->tokenizer != NULL) {
        n = wn_tokenizer_vocab_size(t->tokenizer);
    } else if (t->train.file == NULL) {
        n = t->o.vocab_size; // a dry run over text that was not read
    }
    int64_t a = t->train.file != NULL ? (int64_t)t->train.shard.info.vocab_size : 0;
    int64_t b = t->held.file != NULL ? (int64_t)t->held.shard.info.vocab_size : 0;
    n = n > a ? n : a;
    return n > b ? n : b;
}

static wn_status new_config(wn__trainer *t) {
    const wn_train_options *o = &t->o;
    if (o->heads < 1 || o->hidden_size < 1 || o->hidden_size % o->heads != 0)
        return wn__fail(WN_INVALID,
                        "hidden_size is %" PRId64 " and heads is %" PRId64
                        ", expected a positive multiple of it",
                        o->hidden_size, o->heads);
    t->config = (wn__model_config){
        .vocab_size = vocabulary(t),
        .hidden_size = o->hidden_size,
        .intermediate_size =
            o->intermediate_size > 0 ? o->intermediate_size : default_intermediate(o),
        .layers = o->layers,
        .heads = o->heads,
        .kv_heads = o->kv_heads > 0 ? o->kv_heads : o->heads,
        .head_dim = o->hidden_size / o->heads,
        .max_positions = o->seq_len,
        .rms_eps = 1e-6,
        .rope_theta = o->rope_theta,
        .mlp = strcmp(o->mlp, "relu2") == 0 ? WN_MLP_RELU2 : WN_MLP_SWIGLU,
        .tied = o->tie_embeddings,
        .init_std = o->init_std,
        .bos = t->tokenizer != NULL ? wn_tokenizer_bos(t->tokenizer) : -1,
    };
    int32_t eos = t->tokenizer != NULL ? wn_tokenizer_eos(t->tokenizer) : -1;
    if (eos >= 0) t->config.eos[t->config.eos_count++] = eos;
    return WN_OK;
}

static wn_status check_fit(const wn__trainer *t, const char *dir) {
    int64_t need = vocabulary(t), room = t->config.vocab_size;
    if (need > room)
        return wn__fail(WN_INVALID,
                        "%s: its vocabulary has %" PRId64
                        " ids, the tokenizer or the data %" PRId64,
                        dir, room, need);
    if (t->o.seq_len <= t->config.max_positions) return WN_OK;
    return wn__fail(WN_INVALID, "%s: it has %" PRId64 " positions, seq_len is %" PRId64, dir,
                    t->config.max_positions, t->o.seq_len);
}

wn_status wn__setup_config(wn__trainer *t, const char *checkpoint) {
    const char *dir = checkpoint[0] != '\0'    ? checkpoint
                      : t->init_dir[0] != '\0' ? t->init_dir
                                               : NULL;
    if (dir == NULL) {
        WN_TRY(new_config(t));
    } else {
        WN_TRY(wn__hf_config_read(dir, &t->config));
        WN_TRY(check_fit(t, dir));
    }
    const wn__structure base = {.kind = WN_STRUCTURE_DENSE,
                                .method = WN_MASK24_TILE,
                                .mask_every = t->o.mask_every,
                                .freeze_after = t->o.mask_freeze_after,
                                .decay = t->o.mask_decay};
    WN_TRY(wn__structure_rules_parse(t->o.sparsity, t->o.sparsity_count, &base, &t->rules));
    return wn__model_config_check(&t->config);
}

void wn__setup_spec(wn__trainer *t, wn__model_spec *spec) {
    *spec = (wn__model_spec){.config = t->config,
                             .dtype = WN_DTYPE_F32,
                             .training = true,
                             .batch = t->o.batch_size,
                             .seq = t->o.seq_len,
                             .rules = t->rules.count > 0 ? &t->rules : NULL};
}

// The search for NaN in weights is the one thing a trainer runs that the model has not planned.
static wn_status plan_checks(wn__trainer *t) {
    const wn__params *p = wn__model_params(t->model);
    wn_status status = WN_OK;
    wn__runtime_plan_begin(t->runtime);
    for (size_t i = 0; i < p->count && status == WN_OK; i++) {
        const wn__reduce find = {.x = p->item[i].w, .out = wn__tensor1(t->index, WN_DTYPE_I64, 1)};
        status = wn__run(&t->runtime->exec, WN__OP_nonfinite, &find);
    }
    wn_status ended = wn__runtime_plan_end(t->runtime);
    return status != WN_OK ? status : ended;
}

wn_status wn__setup_model(wn__trainer *t) {
    wn__model_spec spec;
    wn__setup_spec(t, &spec);
    WN_TRY(wn__model_create(&spec, t->runtime, &t->model));
    size_t tokens = (size_t)(t->o.batch_size * t->o.seq_len);
    t->tokens = calloc(tokens, sizeof *t->tokens);
    t->targets = calloc(tokens, sizeof *t->targets);
    t->sums = calloc(wn__model_params(t->model)->count + 1, sizeof *t->sums);
    t->index = calloc(1, sizeof *t->index);
    if (t->tokens == NULL || t->targets == NULL || t->sums == NULL || t->index == NULL)
        return wn__fail(WN_NOMEM, "no memory for a batch of %zu tokens", tokens);
    return plan_checks(t);
}

wn_status wn__setup_optimizer(wn__trainer *t) {
    const wn_train_options *o = &t->o;
    t->adamw = (wn__adamw_options){
        .beta1 = o->beta1, .beta2 = o->beta2, .eps = o->eps, .weight_decay = o->weight_decay};
    t->schedule = (wn__schedule){.lr = o->lr,
                                 .min_ratio = o->min_lr_ratio,
                                 .warmup = o->warmup,
                                 .steps = o->steps,
                                 .decay = o->wsd_decay > 0 ? o->wsd_decay : o->steps / 5};
    WN_TRY(wn__schedule_parse(o->schedule, &t->schedule.kind));
    return wn__loader_create(&t->train.ids, o->seq_len, o->shuffle, o->seed, &t->loader);
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
        const wn__reduce find = {.x = p->item[i].w, .out = wn__tensor1(t->index, WN_DTYPE_I64, 1)};
        WN_TRY(wn__run(&t->runtime->exec, WN__OP_nonfinite, &find));
        if (*t->index >= 0)
            return wn__fail(WN_INVALID,
                            "%s: element %" PRId64 " is NaN or infinite after step %" PRId64,
                            p->item[i].name, *t->index, t->step);
    }
    return WN_OK;
}
