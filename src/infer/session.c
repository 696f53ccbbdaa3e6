// SPDX-License-Identifier: MIT
// Opening a model directory for inference: configuration, weights, tokenizer, and which layers run
// packed.
#include "infer/session.h"

#include "base/fail.h"
#include "base/file.h"
#include "formats/hf_sparsity.h"
#include "kernels/stream.h"
#include "nn/act24.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_CONTEXT 4096
#define DEFAULT_BATCH   8

const char *wn__architecture(const wn__model_config *c) {
    if (c->mlp != WN_MLP_SWIGLU) return "ArceeForCausalLM";
    return c->qkv_bias && !c->o_bias ? "Qwen2ForCausalLM" : "LlamaForCausalLM";
}

wn_status wn__session_need_tokenizer(const wn_session *s) {
    if (s->tokenizer != NULL) return WN_OK;
    return wn__fail(WN_UNSUPPORTED, "%s: no tokenizer.json, so text cannot be read or written",
                    s->dir);
}

// Strings that a list of rules borrows.
typedef struct rule_list {
    char **text;
    size_t count, capacity;
} rule_list;

static void rule_list_free(rule_list *l) {
    for (size_t i = 0; i < l->count; i++)
        free(l->text[i]);
    free(l->text);
}

// "LAYER=STRUCTURE:METHOD", of the first n bytes of layer.
static wn_status rule_list_add(rule_list *l, const char *layer, size_t n, const char *structure,
                               const char *method) {
    if (l->count == l->capacity) {
        size_t capacity = l->capacity > 0 ? 2 * l->capacity : 32;
        char **grown = realloc(l->text, capacity * sizeof *grown);
        if (grown == NULL) return wn__fail(WN_NOMEM, "no memory for sparsity rules");
        l->text = grown;
        l->capacity = capacity;
    }
    if (asprintf(&l->text[l->count], "%.*s=%s:%s", (int)n, layer, structure, method) < 0)
        return wn__fail(WN_NOMEM, "no memory for sparsity rules");
    l->count++;
    return WN_OK;
}

static bool ends_with(const char *s, size_t n, const char *tail) {
    size_t m = strlen(tail);
    return n >= m && memcmp(s + n - m, tail, m) == 0;
}

// The linear layers of a block are those named *_proj under a numbered layer; the head is one
// unless it is the embedding.
static bool is_linear(const char *tensor, bool tied, size_t *layer_length) {
    size_t n = strlen(tensor), tail = strlen(".weight");
    bool head = !tied && strcmp(tensor, "lm_head.weight") == 0;
    bool projection =
        ends_with(tensor, n, "_proj.weight") && strncmp(tensor, "model.layers.", 13) == 0;
    if (!head && !projection) return false;
    *layer_length = n - tail;
    return true;
}

// A rule for each linear layer whose stored weight is 2:4 already: packing then drops nothing but
// zeros.
static wn_status find_sparse(const wn__hf_weights *weights, bool tied, rule_list *rules) {
    for (size_t i = 0; i < wn__hf_weights_count(weights); i++) {
        const char *name, *file;
        wn_tensor view;
        size_t n;
        wn__hf_weights_at(weights, i, &name, &view, &file);
        if (is_linear(name, tied, &n) && wn__weight_is24(&view, false))
            WN_TRY(rule_list_add(rules, name, n, "2:4", "row"));
    }
    return WN_OK;
}

// A rule for each activation and each layer's input that training pruned.
static wn_status find_pruned(const wn__hf_sparsity *sparsity, rule_list *rules) {
    for (size_t i = 0; i < sparsity->count; i++) {
        const wn__hf_sparse *s = &sparsity->item[i];
        WN_TRY(rule_list_add(rules, s->layer, strlen(s->layer), s->input ? "in2:4" : "act2:4",
                             s->method));
    }
    return WN_OK;
}

// A rule for each layer whose factors the files have.
static wn_status find_chains(const wn__hf_sparsity *sparsity, rule_list *rules) {
    for (size_t i = 0; i < sparsity->krons; i++) {
        const wn__hf_kron *k = &sparsity->kron[i];
        WN_TRY(rule_list_add(rules, k->layer, strlen(k->layer), "kron", k->chain));
    }
    return WN_OK;
}

// Rules found in the weights, those of the configuration, then those given: the last match wins.
static wn_status make_rules(const wn_session_options *o, const wn__hf_weights *weights, bool tied,
                            const wn__hf_sparsity *sparsity, wn__structure_rules *out) {
    wn__structure base = wn__structure_defaults();
    rule_list found = {0};
    const char **text = NULL;
    wn_status status = WN_OK;
    base.act_warmup = 0;
    base.fp8 = o->fp8;
    WN_TRY_OUT(find_chains(sparsity, &found)); // without, there is nothing to load
    if (o->auto_sparsity) WN_TRY_OUT(find_sparse(weights, tied, &found));
    if (o->auto_sparsity) WN_TRY_OUT(find_pruned(sparsity, &found));
    size_t count = found.count + o->sparsity_count;
    text = calloc(count + 1, sizeof *text);
    if (text == NULL) {
        status = wn__fail(WN_NOMEM, "no memory for sparsity rules");
        goto out;
    }
    for (size_t i = 0; i < found.count; i++)
        text[i] = found.text[i];
    for (size_t i = 0; i < o->sparsity_count; i++)
        text[found.count + i] = o->sparsity[i];
    status = wn__structure_rules_parse(text, count, &base, out);
out:
    rule_list_free(&found);
    free((void *)text);
    return status;
}

static wn_status choose_sizes(wn_session *s, const wn_session_options *o,
                              const wn__model_config *c) {
    if (o->context < 0 || o->context > c->max_positions)
        return wn__fail(WN_INVALID,
                        "%s: context of %" PRId64 " asked for, the model has %" PRId64 " positions",
                        s->dir, o->context, c->max_positions);
    if (o->batch < 0)
        return wn__fail(WN_INVALID, "batch is %" PRId64 ", expected at least 0", o->batch);
    s->batch = o->batch > 0 ? o->batch : DEFAULT_BATCH;
    s->context = o->context;
    if (s->context == 0)
        s->context = c->max_positions < DEFAULT_CONTEXT ? c->max_positions : DEFAULT_CONTEXT;
    return WN_OK;
}

// Whether weights and activations are rounded, as the trainer's option of the same name says.
static wn_status choose_rounding(const wn_session_options *o, bool *round16) {
    *round16 = o->dtype != NULL && strcmp(o->dtype, "bfloat16") == 0;
    if (o->dtype == NULL || *round16 || strcmp(o->dtype, "float32") == 0) return WN_OK;
    return wn__fail(WN_INVALID, "dtype is '%s', expected one of 'float32', 'bfloat16'", o->dtype);
}

// Whether every matrix of the files has bfloat16 elements: then their streams can be as small.
static bool all_bf16(const wn__hf_weights *weights) {
    for (size_t i = 0; i < wn__hf_weights_count(weights); i++) {
        const char *name, *file;
        wn_tensor view;
        wn__hf_weights_at(weights, i, &name, &view, &file);
        if (view.ndim == 2 && view.dtype != WN_DTYPE_BF16) return false;
    }
    return true;
}

static wn_status choose_stored(wn_session *s, const wn_session_options *o,
                               const wn__hf_weights *weights) {
    bool simulated = o->fp8 || (o->dtype != NULL && strcmp(o->dtype, "float32") != 0);
    if (simulated && o->weights != NULL)
        return wn__fail(WN_INVALID,
                        "weights are to be stored as '%s' and rounded by %s at once: give one",
                        o->weights, o->fp8 ? "fp8" : "dtype");
    if (simulated) return WN_OK; // as the trainer has them: WN_STORED_MASTER
    if (o->weights == NULL) {
        s->stored = all_bf16(weights) ? WN_STORED_BF16 : WN_STORED_F32;
        return WN_OK;
    }
    for (int i = 0; wn__stream_words[i] != NULL; i++) {
        if (strcmp(o->weights, wn__stream_words[i]) != 0) continue;
        s->stored = (wn__stored)(WN_STORED_F32 + i);
        return WN_OK;
    }
    return wn__fail(WN_INVALID,
                    "weights are to be stored as '%s', expected f32, bf16, int8 or int4",
                    o->weights);
}

static void count_pruned(wn_session *s, const wn__hf_sparsity *sparsity) {
    for (size_t i = 0; i < sparsity->count; i++)
        sparsity->item[i].input ? s->trained_inputs++ : s->trained_activations++;
}

static wn_status load_model(wn_session *s, const wn_session_options *o) {
    wn__model_config config;
    wn__hf_weights *weights = NULL;
    wn__hf_sparsity sparsity = {0};
    wn__structure_rules rules = {0};
    bool round16;
    wn_status status;
    WN_TRY(choose_rounding(o, &round16));
    WN_TRY(wn__hf_config_read(s->dir, &config));
    WN_TRY(wn__hf_sparsity_read(s->dir, &config, &sparsity));
    count_pruned(s, &sparsity);
    WN_TRY_OUT(choose_sizes(s, o, &config));
    WN_TRY_OUT(wn__hf_weights_open(s->dir, &weights));
    WN_TRY_OUT(choose_stored(s, o, weights));
    WN_TRY_OUT(make_rules(o, weights, config.tied, &sparsity, &rules));
    wn__model_spec spec = {.config = config,
                           .dtype = WN_DTYPE_F32,
                           .batch = s->batch,
                           .seq = s->context,
                           .round16 = round16,
                           .stored = s->stored,
                           .rules = &rules};
    WN_TRY_OUT(wn__model_create(&spec, s->runtime, &s->model));
    WN_TRY_OUT(wn__model_load(s->model, weights));
    WN_TRY_OUT(wn__model_prepare(s->model, 0));
    status = wn__model_take_scales(s->model, &sparsity);
out:
    wn__structure_rules_free(&rules);
    wn__hf_sparsity_free(&sparsity);
    wn__hf_weights_close(weights);
    return status;
}

static wn_status load_tokenizer(wn_session *s) {
    char path[WN_PATH_MAX];
    WN_TRY(wn__path_join(path, sizeof path, s->dir, "tokenizer.json"));
    if (!wn__file_exists(path)) return WN_OK;
    WN_TRY(wn_tokenizer_open(path, &s->tokenizer));
    int64_t have = wn_tokenizer_vocab_size(s->tokenizer),
            room = wn__model_config_of(s->model)->vocab_size;
    if (have <= room) return WN_OK;
    return wn__fail(WN_INVALID, "%s: %" PRId64 " ids, the model's vocabulary has %" PRId64, path,
                    have, room);
}

static bool is_owned(const wn_session *s, size_t param) {
    for (size_t i = 0; i < wn__model_linear_count(s->model); i++)
        if (wn__linear_owns(wn__model_linear(s->model, i), param)) return true;
    return false;
}

// Parameters of their own, and the weights of linear layers as their products read them.
static void count_weights(wn_session *s) {
    wn_model_info *info = &s->info;
    wn__model_memory memory;
    const wn__params *p = wn__model_params(s->model);
    for (size_t i = 0; i < p->count; i++) {
        info->parameters += wn__tensor_count(&p->item[i].w);
        if (is_owned(s, i)) continue;
        info->weight_bytes += wn__tensor_bytes(&p->item[i].w);
        info->dense_bytes += wn__tensor_bytes(&p->item[i].w);
    }
    for (size_t i = 0; i < info->linear_layers; i++) {
        const wn__linear *l = wn__model_linear(s->model, i);
        wn__structure_kind kind = l->structure.kind;
        wn__linear_bytes bytes = {0};
        l->type->bytes(l, &bytes);
        if (wn__linear_streams(l)) info->parameters += l->in * l->out;
        if (kind == WN_STRUCTURE_SPARSE24) info->sparse_layers++;
        if (wn__linear_streams(l)) info->stored_layers++;
        info->weight_bytes += bytes.forward;
        info->dense_bytes += bytes.dense;
    }
    wn__model_memory_of(s->model, &memory);
    info->resident_bytes = memory.weights;
}

// The kernel of the first stream; matmul where no layer's weight is one.
static wn_status name_kernel(wn_session *s) {
    const wn__kernel *kernel;
    bool streams = s->stored != WN_STORED_MASTER;
    s->info.weights = wn__stream_words[streams ? s->stored - WN_STORED_F32 : 0];
    s->info.kernel = "matmul";
    for (size_t i = 0; i < s->info.linear_layers; i++) {
        const wn__linear *l = wn__model_linear(s->model, i);
        if (!wn__linear_streams(l)) continue;
        WN_TRY(wn__linear_stream_kernel(l, &s->runtime->exec, 1, &kernel));
        s->info.kernel = kernel->name;
        return WN_OK;
    }
    return WN_OK;
}

static void describe(wn_session *s) {
    const wn__model_config *c = wn__model_config_of(s->model);
    wn_model_info *info = &s->info;
    *info = (wn_model_info){.vocab_size = c->vocab_size,
                            .hidden_size = c->hidden_size,
                            .intermediate_size = c->intermediate_size,
                            .layers = c->layers,
                            .heads = c->heads,
                            .kv_heads = c->kv_heads,
                            .head_dim = c->head_dim,
                            .context = s->context,
                            .architecture = wn__architecture(c),
                            .linear_layers = wn__model_linear_count(s->model),
                            .trained_activations = s->trained_activations,
                            .trained_inputs = s->trained_inputs};
    count_weights(s);
    for (size_t i = 0; i < info->linear_layers; i++)
        if (wn__linear_prunes_input(wn__model_linear(s->model, i))) info->sparse_inputs++;
    for (size_t i = 0; i < wn__model_act24_count(s->model); i++) {
        const wn__act24 *a = wn__model_act24(s->model, i);
        if (a != NULL && wn__act24_evaluates(a)) info->sparse_activations++;
    }
}

wn_status wn_session_open(const char *dir, const wn_session_options *o, wn_session **out) {
    *out = NULL;
    wn_session *s = calloc(1, sizeof *s);
    if (s == NULL) return wn__fail(WN_NOMEM, "no memory for a session");
    wn_status status;
    WN_TRY_OUT(wn__model_dir(dir, s->dir));
    WN_TRY_OUT(wn__runtime_create(o->threads, o->kernels, o->strict_kernels, &s->runtime));
    WN_TRY_OUT(load_model(s, o));
    WN_TRY_OUT(load_tokenizer(s));
    describe(s);
    WN_TRY_OUT(name_kernel(s));
    if (o->weights != NULL && s->info.stored_layers == 0) {
        status =
            wn__fail(WN_INVALID,
                     "weights are to be stored as '%s', but no layer of this model is dense or "
                     "2:4; others keep theirs in f32",
                     o->weights);
        goto out;
    }
    *out = s;
    s = NULL;
out:
    wn_session_free(s);
    return status;
}

void wn_session_free(wn_session *s) {
    if (s == NULL) return;
    wn_tokenizer_free(s->tokenizer);
    wn__model_free(s->model);
    wn__runtime_free(s->runtime);
    free(s);
}

const wn_tokenizer *wn_session_tokenizer(const wn_session *s) {
    return s->tokenizer;
}

void wn_session_info(const wn_session *s, wn_model_info *out) {
    *out = s->info;
}
