// SPDX-License-Identifier: MIT
// Reading config.json and generation_config.json. What a missing key means is what it means to the
// model's class in transformers; a key that would change the result in a way not implemented here
// is refused, never skipped.
#include "formats/hf_config.h"

#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_LIMIT ((size_t)16 << 20)
#define PATH_SIZE    4096

// What the classes of transformers fix or assume.
typedef struct family {
    const char *architecture, *model_type;
    bool gated; // the MLP: silu(gate) up; else ReLU or its square
    double rms_eps;
    int64_t kv_heads;       // what a missing num_key_value_heads means; 0: as many as heads
    int64_t sliding_window; // what a missing one means; 0: the family has none
    bool bias_keys;         // attention_bias and mlp_bias count; else they are ignored
    bool qkv_bias;          // always there
} family;

static const family families[] = {
    {.architecture = "LlamaForCausalLM",
     .model_type = "llama",
     .gated = true,
     .rms_eps = 1e-6,
     .bias_keys = true},
    {.architecture = "ArceeForCausalLM", .model_type = "arcee", .rms_eps = 1e-5, .bias_keys = true},
    {.architecture = "MistralForCausalLM",
     .model_type = "mistral",
     .gated = true,
     .rms_eps = 1e-6,
     .kv_heads = 8,
     .sliding_window = 4096},
    {.architecture = "Qwen2ForCausalLM",
     .model_type = "qwen2",
     .gated = true,
     .rms_eps = 1e-6,
     .kv_heads = 32,
     .qkv_bias = true},
};
#define FAMILIES      (sizeof families / sizeof families[0])
#define ARCHITECTURES "LlamaForCausalLM, ArceeForCausalLM, MistralForCausalLM, Qwen2ForCausalLM"

// The object being read and the file's name for messages.
typedef struct source {
    const wn__json *root;
    const char *name;
} source;

// A string without NUL in it; else NULL.
static const char *text_of(const wn__json *j) {
    size_t size = 0;
    const char *text = wn__json_string(j, &size);
    return text != NULL && strlen(text) == size ? text : NULL;
}

// ---- the family ----

static const family *family_of(const char *architecture, const char *model_type) {
    for (size_t i = 0; i < FAMILIES; i++) {
        if (architecture != NULL && strcmp(families[i].architecture, architecture) == 0)
            return &families[i];
        if (architecture == NULL && strcmp(families[i].model_type, model_type) == 0)
            return &families[i];
    }
    return NULL;
}

// The only element of "architectures"; NULL when there is no such key.
static wn_status read_architecture(const source *s, const char **out) {
    const wn__json *list = wn__json_get(s->root, "architectures");
    *out = NULL;
    if (wn__json_typeof(list) <= WN_JSON_NULL) return WN_OK;
    if (wn__json_typeof(list) == WN_JSON_ARRAY && wn__json_count(list) == 1)
        *out = text_of(wn__json_at(list, 0));
    if (*out != NULL) return WN_OK;
    return wn__fail(WN_FORMAT, "%s: 'architectures': expected an array of one string", s->name);
}

static wn_status read_family(const source *s, const family **out) {
    static const char *const absent = NULL;
    const char *architecture, *model_type;
    WN_TRY(read_architecture(s, &architecture));
    WN_TRY(wn__json_get_string(s->root, s->name, "model_type", &absent, &model_type));
    if (architecture == NULL && model_type == NULL)
        return wn__fail(WN_FORMAT, "%s: neither 'architectures' nor 'model_type' is there",
                        s->name);
    const family *f = family_of(architecture, model_type);
    if (f == NULL)
        return wn__fail(WN_UNSUPPORTED, "%s: %s '%.64s' is not supported; supported are %s",
                        s->name, architecture != NULL ? "architecture" : "model type",
                        architecture != NULL ? architecture : model_type, ARCHITECTURES);
    if (model_type != NULL && strcmp(model_type, f->model_type) != 0)
        return wn__fail(WN_FORMAT, "%s: 'model_type' is '%.64s', but %s has '%s'", s->name,
                        model_type, f->architecture, f->model_type);
    *out = f;
    return WN_OK;
}

// ---- sizes and switches ----

static wn_status read_sizes(const source *s, const family *f, wn__model_config *c) {
    const wn__json *o = s->root;
    WN_TRY(wn__json_get_int(o, s->name, "vocab_size", NULL, &c->vocab_size));
    WN_TRY(wn__json_get_int(o, s->name, "hidden_size", NULL, &c->hidden_size));
    WN_TRY(wn__json_get_int(o, s->name, "intermediate_size", NULL, &c->intermediate_size));
    WN_TRY(wn__json_get_int(o, s->name, "num_hidden_layers", NULL, &c->layers));
    WN_TRY(wn__json_get_int(o, s->name, "num_attention_heads", NULL, &c->heads));
    WN_TRY(wn__json_get_int(o, s->name, "max_position_embeddings", NULL, &c->max_positions));
    if (c->heads <= 0)
        return wn__fail(WN_FORMAT, "%s: 'num_attention_heads': %lld, at least 1", s->name,
                        (long long)c->heads);
    // A null always means as many as there are heads; only a missing key means the family's number.
    bool missing = wn__json_get(o, "num_key_value_heads") == NULL;
    int64_t kv_heads = missing && f->kv_heads > 0 ? f->kv_heads : c->heads;
    int64_t head_dim = c->hidden_size / c->heads;
    WN_TRY(wn__json_get_int(o, s->name, "num_key_value_heads", &kv_heads, &c->kv_heads));
    return wn__json_get_int(o, s->name, "head_dim", &head_dim, &c->head_dim);
}

static wn_status read_numbers(const source *s, const family *f, wn__model_config *c) {
    static const double init_std = 0.02;
    static const bool no = false;
    const wn__json *o = s->root;
    WN_TRY(wn__json_get_real(o, s->name, "rms_norm_eps", &f->rms_eps, &c->rms_eps));
    WN_TRY(wn__json_get_real(o, s->name, "initializer_range", &init_std, &c->init_std));
    WN_TRY(wn__json_get_bool(o, s->name, "tie_word_embeddings", &no, &c->tied));
    c->qkv_bias = f->qkv_bias;
    if (!f->bias_keys) return WN_OK;
    WN_TRY(wn__json_get_bool(o, s->name, "attention_bias", &no, &c->qkv_bias));
    c->o_bias = c->qkv_bias;
    return wn__json_get_bool(o, s->name, "mlp_bias", &no, &c->mlp_bias);
}

static const struct {
    const char *name;
    bool gated;
    wn__mlp_kind mlp;
} activations[] = {
    {"silu", true, WN_MLP_SWIGLU}, {"relu2", false, WN_MLP_RELU2}, {"relu", false, WN_MLP_RELU}};
#define ACTIVATIONS (sizeof activations / sizeof activations[0])

static wn_status read_activation(const source *s, const family *f, wn__mlp_kind *mlp) {
    const char *found, *missing = f->gated ? "silu" : "relu2";
    WN_TRY(wn__json_get_string(s->root, s->name, "hidden_act", &missing, &found));
    for (size_t i = 0; i < ACTIVATIONS; i++) {
        if (activations[i].gated != f->gated || strcmp(found, activations[i].name) != 0) continue;
        *mlp = activations[i].mlp;
        return WN_OK;
    }
    return wn__fail(WN_UNSUPPORTED, "%s: 'hidden_act' '%.64s' is not supported; %s supports %s",
                    s->name, found, f->architecture, f->gated ? "'silu'" : "'relu2' and 'relu'");
}

static wn_status refuse_quantized(const source *s) {
    static const char *const unnamed = "?";
    const wn__json *q = wn__json_get(s->root, "quantization_config");
    if (wn__json_typeof(q) <= WN_JSON_NULL) return WN_OK;
    const char *method;
    WN_TRY(wn__json_get_string(q, s->name, "quant_method", &unnamed, &method));
    return wn__fail(WN_UNSUPPORTED,
                    "%s: 'quantization_config' with method '%.64s' is not supported; only "
                    "unquantized weights are",
                    s->name, method);
}

// Every layer attends to all earlier positions: a window may not be smaller than the longest
// sequence.
static wn_status check_window(const source *s, const family *f, const wn__model_config *c) {
    if (f->sliding_window == 0) return WN_OK;
    const wn__json *found = wn__json_get(s->root, "sliding_window");
    if (wn__json_typeof(found) == WN_JSON_NULL) return WN_OK;
    int64_t window;
    WN_TRY(wn__json_get_int(s->root, s->name, "sliding_window", &f->sliding_window, &window));
    if (window >= c->max_positions) return WN_OK;
    return wn__fail(WN_UNSUPPORTED,
                    "%s: 'sliding_window' %s%lld is not supported; supported are null and "
                    "'max_position_embeddings' (%lld) or more",
                    s->name, found == NULL ? "is missing, which means " : "", (long long)window,
                    (long long)c->max_positions);
}

static wn_status check_layer_types(const source *s) {
    static const bool no = false;
    bool windows;
    WN_TRY(wn__json_get_bool(s->root, s->name, "use_sliding_window", &no, &windows));
    if (windows)
        return wn__fail(WN_UNSUPPORTED,
                        "%s: 'use_sliding_window' true is not supported; only false is", s->name);
    const wn__json *list = wn__json_get(s->root, "layer_types");
    for (size_t i = 0; i < wn__json_count(list); i++) {
        const char *type = text_of(wn__json_at(list, i));
        if (type == NULL || strcmp(type, "full_attention") != 0)
            return wn__fail(WN_UNSUPPORTED,
                            "%s: 'layer_types' [%zu] '%.64s' is not supported; only "
                            "'full_attention' is",
                            s->name, i, type != NULL ? type : "?");
    }
    return WN_OK;
}

// ---- rotary positions ----

// One spelling of them. theta is NaN where it is not given.
typedef struct rope {
    wn__rope_kind kind;
    double theta, factor, low_freq, high_freq;
    int64_t original_positions;
} rope;

static const char *const rope_name[] = {
    [WN_ROPE_DEFAULT] = "default", [WN_ROPE_LINEAR] = "linear", [WN_ROPE_LLAMA3] = "llama3"};

// The older key "type" counts only where "rope_type" is missing.
static wn_status read_rope_kind(const char *where, const wn__json *o, wn__rope_kind *out) {
    static const char *const absent = NULL;
    const char *type;
    WN_TRY(wn__json_get_string(o, where, "rope_type", &absent, &type));
    if (type == NULL) WN_TRY(wn__json_get_string(o, where, "type", &absent, &type));
    if (type == NULL && wn__json_get(o, "factor") != NULL)
        return wn__fail(WN_FORMAT, "%s: 'rope_type': missing", where);
    if (type == NULL) type = rope_name[WN_ROPE_DEFAULT];
    for (int i = WN_ROPE_DEFAULT; i <= WN_ROPE_LLAMA3; i++) {
        if (strcmp(type, rope_name[i]) != 0) continue;
        *out = (wn__rope_kind)i;
        return WN_OK;
    }
    return wn__fail(WN_UNSUPPORTED,
                    "%s: 'rope_type' '%.64s' is not supported; supported are default, linear, "
                    "llama3",
                    where, type);
}

static wn_status refuse_partial_rope(const char *where, const wn__json *o) {
    static const double whole = 1.0;
    double part;
    WN_TRY(wn__json_get_real(o, where, "partial_rotary_factor", &whole, &part));
    if (part == whole) return WN_OK;
    return wn__fail(WN_UNSUPPORTED, "%s: 'partial_rotary_factor' %g is not supported; only 1 is",
                    where, part);
}

static wn_status refuse_layered_rope(const char *where, const wn__json *o) {
    void *iter = NULL;
    const char *key;
    wn__json *value;
    while (wn__json_next(o, &iter, &key, NULL, &value))
        if (wn__json_typeof(value) == WN_JSON_OBJECT)
            return wn__fail(WN_UNSUPPORTED,
                            "%s: parameters for each layer type ('%.64s') are not supported; one "
                            "set for all layers is",
                            where, key);
    return WN_OK;
}

static wn_status read_rope_object(const source *s, const char *key, const wn__json *o,
                                  const wn__model_config *c, rope *out) {
    static const double none = NAN;
    char where[PATH_SIZE + 64];
    (void)snprintf(where, sizeof where, "%s: '%s'", s->name, key);
    if (wn__json_typeof(o) != WN_JSON_OBJECT)
        return wn__fail(WN_FORMAT, "%s: expected an object or null, found %s", where,
                        wn__json_typename(o));
    *out = (rope){0};
    WN_TRY(refuse_layered_rope(where, o));
    WN_TRY(refuse_partial_rope(where, o));
    WN_TRY(read_rope_kind(where, o, &out->kind));
    WN_TRY(wn__json_get_real(o, where, "rope_theta", &none, &out->theta));
    if (out->kind == WN_ROPE_DEFAULT) return WN_OK;
    WN_TRY(wn__json_get_real(o, where, "factor", NULL, &out->factor));
    if (out->kind == WN_ROPE_LINEAR) return WN_OK;
    WN_TRY(wn__json_get_real(o, where, "low_freq_factor", NULL, &out->low_freq));
    WN_TRY(wn__json_get_real(o, where, "high_freq_factor", NULL, &out->high_freq));
    return wn__json_get_int(o, where, "original_max_position_embeddings", &c->max_positions,
                            &out->original_positions);
}

static bool same_rope(const rope *a, const rope *b) {
    return a->kind == b->kind && a->factor == b->factor && a->low_freq == b->low_freq &&
           a->high_freq == b->high_freq && a->original_positions == b->original_positions;
}

// Two places that give theta must give the same.
static wn_status merge_theta(const source *s, double found, const char *where, double *theta) {
    if (isnan(found) || found == *theta) return WN_OK;
    if (!isnan(*theta))
        return wn__fail(WN_FORMAT, "%s: 'rope_theta' is %.17g in %s and %.17g elsewhere", s->name,
                        found, where, *theta);
    *theta = found;
    return WN_OK;
}

// Flat ("rope_theta", "rope_scaling") and nested ("rope_parameters") spelling, or both if they
// agree.
static wn_status read_rope(const source *s, wn__model_config *c) {
    static const double none = NAN;
    const wn__json *scaling = wn__json_get(s->root, "rope_scaling");
    const wn__json *parameters = wn__json_get(s->root, "rope_parameters");
    bool flat = wn__json_typeof(scaling) > WN_JSON_NULL;
    bool nested = wn__json_typeof(parameters) > WN_JSON_NULL;
    rope a = {.theta = NAN}, b = {.theta = NAN};
    double theta;
    WN_TRY(refuse_partial_rope(s->name, s->root));
    WN_TRY(wn__json_get_real(s->root, s->name, "rope_theta", &none, &theta));
    if (flat) WN_TRY(read_rope_object(s, "rope_scaling", scaling, c, &a));
    if (nested) WN_TRY(read_rope_object(s, "rope_parameters", parameters, c, &b));
    if (flat && nested && !same_rope(&a, &b))
        return wn__fail(WN_FORMAT, "%s: 'rope_scaling' (%s) and 'rope_parameters' (%s) differ",
                        s->name, rope_name[a.kind], rope_name[b.kind]);
    WN_TRY(merge_theta(s, a.theta, "'rope_scaling'", &theta));
    WN_TRY(merge_theta(s, b.theta, "'rope_parameters'", &theta));
    const rope *r = flat ? &a : &b;
    c->rope = r->kind;
    c->rope_theta = isnan(theta) ? 10000.0 : theta;
    c->rope_factor = r->factor;
    c->rope_low_freq = r->low_freq;
    c->rope_high_freq = r->high_freq;
    c->rope_original_positions = r->original_positions;
    return WN_OK;
}

// ---- special tokens ----

static wn_status read_id(const source *s, const char *key, const wn__json *j, int32_t *out) {
    if (wn__json_typeof(j) != WN_JSON_INT)
        return wn__fail(WN_FORMAT, "%s: '%s': expected a token id, found %s", s->name, key,
                        wn__json_typename(j));
    int64_t id = wn__json_int(j);
    if (id < 0 || id > INT32_MAX)
        return wn__fail(WN_FORMAT, "%s: '%s': %lld, expected a token id of 0 to %d", s->name, key,
                        (long long)id, INT32_MAX);
    *out = (int32_t)id;
    return WN_OK;
}

// One id or a list of them; a missing key or null leaves *c as it is.
static wn_status read_eos(const source *s, wn__model_config *c) {
    static const char key[] = "eos_token_id";
    const wn__json *j = wn__json_get(s->root, key);
    if (wn__json_typeof(j) <= WN_JSON_NULL) return WN_OK;
    bool list = wn__json_typeof(j) == WN_JSON_ARRAY;
    size_t count = list ? wn__json_count(j) : 1;
    if (count > WN_MAX_EOS)
        return wn__fail(WN_UNSUPPORTED, "%s: '%s': %zu ids are not supported; at most %d are",
                        s->name, key, count, WN_MAX_EOS);
    for (size_t i = 0; i < count; i++)
        WN_TRY(read_id(s, key, list ? wn__json_at(j, i) : j, &c->eos[i]));
    for (size_t i = count; i < WN_MAX_EOS; i++)
        c->eos[i] = 0;
    c->eos_count = (int32_t)count;
    return WN_OK;
}

static wn_status read_bos(const source *s, wn__model_config *c) {
    const wn__json *j = wn__json_get(s->root, "bos_token_id");
    c->bos = -1;
    return wn__json_typeof(j) <= WN_JSON_NULL ? WN_OK : read_id(s, "bos_token_id", j, &c->bos);
}

// ---- whole files ----

static wn_status read_config(const source *s, wn__model_config *c) {
    const family *f = NULL;
    if (wn__json_typeof(s->root) != WN_JSON_OBJECT)
        return wn__fail(WN_FORMAT, "%s: expected an object, found %s", s->name,
                        wn__json_typename(s->root));
    WN_TRY(read_family(s, &f));
    WN_TRY(read_activation(s, f, &c->mlp));
    WN_TRY(refuse_quantized(s));
    WN_TRY(read_sizes(s, f, c));
    WN_TRY(read_numbers(s, f, c));
    WN_TRY(check_window(s, f, c));
    WN_TRY(check_layer_types(s));
    WN_TRY(read_rope(s, c));
    WN_TRY(read_bos(s, c));
    return read_eos(s, c);
}

// A file whose values are out of range is malformed, not an invalid argument.
static wn_status check_file(const char *name, const wn__model_config *c) {
    if (wn__model_config_check(c) == WN_OK) return WN_OK;
    return wn__fail_in(WN_FORMAT, "%s", name);
}

wn_status wn__hf_config_parse(const char *bytes, size_t size, const char *name,
                              wn__model_config *out) {
    *out = (wn__model_config){0};
    wn__json *root;
    wn__model_config c = {0};
    WN_TRY(wn__json_parse(bytes, size, name, &root));
    const source s = {.root = root, .name = name};
    wn_status status = read_config(&s, &c);
    wn__json_free(root);
    if (status == WN_OK) status = check_file(name, &c);
    if (status == WN_OK) *out = c;
    return status;
}

// The eos ids of generation_config.json, which need not be there, win.
static wn_status read_generation(const char *dir, wn__model_config *c) {
    char path[PATH_SIZE];
    WN_TRY(wn__path_join(path, sizeof path, dir, "generation_config.json"));
    if (!wn__file_exists(path)) return WN_OK;
    wn__json *root;
    WN_TRY(wn__json_read(path, CONFIG_LIMIT, &root));
    const source s = {.root = root, .name = path};
    wn_status status = wn__json_typeof(root) == WN_JSON_OBJECT
                           ? read_eos(&s, c)
                           : wn__fail(WN_FORMAT, "%s: expected an object, found %s", path,
                                      wn__json_typename(root));
    wn__json_free(root);
    return status == WN_OK ? check_file(path, c) : status;
}

wn_status wn__model_dir(const char *path, char out[WN_PATH_MAX]) {
    static const char *const below[] = {".", "latest"};
    char config[WN_PATH_MAX];
    for (int i = 0; i < 2; i++) {
        WN_TRY(wn__path_join(out, WN_PATH_MAX, path, below[i]));
        WN_TRY(wn__path_join(config, sizeof config, out, "config.json"));
        if (!wn__file_exists(config)) continue;
        if (i == 0) memcpy(out, path, strlen(path) + 1);
        return WN_OK;
    }
    return wn__fail(WN_IO,
                    "%s: not a model directory: no config.json, and no latest/config.json of a run",
                    path);
}

wn_status wn__hf_config_read(const char *dir, wn__model_config *out) {
    *out = (wn__model_config){0};
    char path[PATH_SIZE], *bytes;
    size_t size;
    wn__model_config c;
    WN_TRY(wn__path_join(path, sizeof path, dir, "config.json"));
    WN_TRY(wn__file_read(path, CONFIG_LIMIT, &bytes, &size));
    wn_status status = wn__hf_config_parse(bytes, size, path, &c);
    free(bytes);
    if (status == WN_OK) status = read_generation(dir, &c);
    if (status == WN_OK) *out = c;
    return status;
}
