// SPDX-License-Identifier: MIT
// Writing config.json and generation_config.json so that transformers, any version, builds the same
// model: every key that has a default there is written out.
#include "formats/hf_sparsity.h"

#include "base/fail.h"
#include "base/file.h"
#include "formats/hf_json.h"
#include <stdlib.h>

#define PATH_SIZE 4096

typedef struct family {
    const char *architecture, *model_type, *activation;
} family;

// The class of transformers that has these biases and this MLP.
static wn_status choose_family(const wn__model_config *c, family *out) {
    static const family llama = {"LlamaForCausalLM", "llama", "silu"};
    static const family relu2 = {"ArceeForCausalLM", "arcee", "relu2"};
    static const family relu = {"ArceeForCausalLM", "arcee", "relu"};
    static const family qwen2 = {"Qwen2ForCausalLM", "qwen2", "silu"};
    if (c->qkv_bias == c->o_bias) {
        *out = c->mlp == WN_MLP_SWIGLU ? llama : c->mlp == WN_MLP_RELU2 ? relu2 : relu;
        return WN_OK;
    }
    if (c->qkv_bias && !c->mlp_bias && c->mlp == WN_MLP_SWIGLU) {
        *out = qwen2;
        return WN_OK;
    }
    return wn__fail(WN_UNSUPPORTED,
                    "config.json: no supported architecture has biases on %s only%s; legal are "
                    "both q/k/v and o, neither, or q/k/v alone with SwiGLU and no other bias",
                    c->qkv_bias ? "q/k/v" : "o", c->mlp == WN_MLP_SWIGLU ? "" : " without a gate");
}

static wn_status put_int(wn__json *o, const char *key, int64_t value) {
    return wn__json_set(o, key, wn__json_new_int(value));
}
static wn_status put_real(wn__json *o, const char *key, double value) {
    return wn__json_set(o, key, wn__json_new_real(value));
}
static wn_status put_bool(wn__json *o, const char *key, bool value) {
    return wn__json_set(o, key, wn__json_new_bool(value));
}
static wn_status put_string(wn__json *o, const char *key, const char *value) {
    return wn__json_set(o, key, wn__json_new_string(value));
}

static wn_status put_architecture(wn__json *o, const family *f) {
    wn__json *list = wn__json_new_array();
    WN_TRY(wn__json_set(o, "architectures", list));
    WN_TRY(wn__json_append(list, wn__json_new_string(f->architecture)));
    WN_TRY(put_string(o, "model_type", f->model_type));
    return put_string(o, "hidden_act", f->activation);
}

static wn_status put_sizes(wn__json *o, const wn__model_config *c) {
    WN_TRY(put_int(o, "vocab_size", c->vocab_size));
    WN_TRY(put_int(o, "hidden_size", c->hidden_size));
    WN_TRY(put_int(o, "intermediate_size", c->intermediate_size));
    WN_TRY(put_int(o, "num_hidden_layers", c->layers));
    WN_TRY(put_int(o, "num_attention_heads", c->heads));
    WN_TRY(put_int(o, "num_key_value_heads", c->kv_heads));
    WN_TRY(put_int(o, "head_dim", c->head_dim));
    WN_TRY(put_int(o, "max_position_embeddings", c->max_positions));
    WN_TRY(put_real(o, "rms_norm_eps", c->rms_eps));
    WN_TRY(put_bool(o, "attention_bias", c->qkv_bias));
    WN_TRY(put_bool(o, "mlp_bias", c->mlp_bias));
    WN_TRY(put_bool(o, "tie_word_embeddings", c->tied));
    return put_real(o, "initializer_range", c->init_std);
}

static wn_status put_rope_scaling(wn__json *o, const wn__model_config *c) {
    static const char *const name[] = {
        [WN_ROPE_DEFAULT] = "default", [WN_ROPE_LINEAR] = "linear", [WN_ROPE_LLAMA3] = "llama3"};
    WN_TRY(put_string(o, "rope_type", name[c->rope]));
    if (c->rope == WN_ROPE_DEFAULT) return WN_OK;
    WN_TRY(put_real(o, "factor", c->rope_factor));
    if (c->rope == WN_ROPE_LINEAR) return WN_OK;
    WN_TRY(put_real(o, "low_freq_factor", c->rope_low_freq));
    WN_TRY(put_real(o, "high_freq_factor", c->rope_high_freq));
    return put_int(o, "original_max_position_embeddings", c->rope_original_positions);
}

// The flat spelling for transformers 4, the nested one for 5; each ignores or accepts the other.
static wn_status put_rope(wn__json *o, const wn__model_config *c) {
    WN_TRY(put_real(o, "rope_theta", c->rope_theta));
    bool scaled = c->rope != WN_ROPE_DEFAULT;
    wn__json *scaling = scaled ? wn__json_new_object() : wn__json_new_null();
    WN_TRY(wn__json_set(o, "rope_scaling", scaling));
    if (scaled) WN_TRY(put_rope_scaling(scaling, c));
    wn__json *parameters = wn__json_new_object();
    WN_TRY(wn__json_set(o, "rope_parameters", parameters));
    WN_TRY(put_rope_scaling(parameters, c));
    return put_real(parameters, "rope_theta", c->rope_theta);
}

static wn_status put_eos(wn__json *o, const wn__model_config *c) {
    if (c->eos_count == 0) return wn__json_set(o, "eos_token_id", wn__json_new_null());
    if (c->eos_count == 1) return put_int(o, "eos_token_id", c->eos[0]);
    wn__json *list = wn__json_new_array();
    WN_TRY(wn__json_set(o, "eos_token_id", list));
    for (int32_t i = 0; i < c->eos_count; i++)
        WN_TRY(wn__json_append(list, wn__json_new_int(c->eos[i])));
    return WN_OK;
}

static wn_status put_tokens(wn__json *o, const wn__model_config *c) {
    WN_TRY(wn__json_set(o, "bos_token_id",
                        c->bos >= 0 ? wn__json_new_int(c->bos) : wn__json_new_null()));
    return put_eos(o, c);
}

static wn_status put_config(wn__json *o, const wn__model_config *c, const family *f,
                            wn_dtype dtype) {
    WN_TRY(put_architecture(o, f));
    WN_TRY(put_sizes(o, c));
    WN_TRY(put_rope(o, c));
    WN_TRY(put_tokens(o, c));
    WN_TRY(put_bool(o, "use_cache", true));
    return put_string(o, "torch_dtype", dtype == WN_DTYPE_BF16 ? "bfloat16" : "float32");
}

wn_status wn__hf_json_write(const char *dir, const char *name, const wn__json *o) {
    char path[PATH_SIZE], *text = NULL;
    wn__writer *w = NULL;
    wn_status status;
    WN_TRY(wn__path_join(path, sizeof path, dir, name));
    WN_TRY_OUT(wn__json_dump(o, 2, &text));
    WN_TRY_OUT(wn__writer_open(path, &w));
    WN_TRY_OUT(wn__writer_printf(w, "%s\n", text));
    status = wn__writer_commit(w);
    w = NULL;
out:
    wn__writer_abort(w);
    free(text);
    return status;
}

wn_status wn__hf_config_write(const char *dir, const wn__model_config *config) {
    return wn__hf_config_write_as(dir, config, NULL, WN_DTYPE_F32);
}

wn_status wn__hf_config_write_sparse(const char *dir, const wn__model_config *config,
                                     const wn__hf_sparsity *sparsity) {
    return wn__hf_config_write_as(dir, config, sparsity, WN_DTYPE_F32);
}

wn_status wn__hf_config_write_as(const char *dir, const wn__model_config *config,
                                 const wn__hf_sparsity *sparsity, wn_dtype dtype) {
    family f = {0};
    wn_status status;
    WN_TRY(wn__model_config_check(config));
    WN_TRY(choose_family(config, &f));
    wn__json *o = wn__json_new_object(), *generation = wn__json_new_object();
    WN_TRY_OUT(put_config(o, config, &f, dtype));
    WN_TRY_OUT(wn__hf_json_put_sparsity(o, config, sparsity));
    WN_TRY_OUT(put_tokens(generation, config));
    WN_TRY_OUT(wn__hf_json_write(dir, "config.json", o));
    WN_TRY_OUT(wn__hf_json_write(dir, "generation_config.json", generation));
out:
    wn__json_free(o);
    wn__json_free(generation);
    return status;
}
