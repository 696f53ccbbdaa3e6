// SPDX-License-Identifier: MIT
// The configuration of the model: of a checkpoint, of a directory to begin from, of a named or
// written configuration, or by the options.
#include "base/fail.h"
#include "train/trainer.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_MOST ((size_t)16 << 20)

static int64_t round_up(int64_t n, int64_t step) {
    return (n + step - 1) / step * step;
}

const char *wn__mlp_word(wn__mlp_kind kind) {
    return kind == WN_MLP_SWIGLU ? "swiglu" : kind == WN_MLP_RELU2 ? "relu2" : "relu";
}

static bool says_mlp(const wn_train_options *o) {
    return o->mlp != NULL && o->mlp[0] != '\0';
}

static wn__mlp_kind mlp_of(const wn_train_options *o, wn__mlp_kind otherwise) {
    if (!says_mlp(o)) return otherwise;
    return strcmp(o->mlp, "swiglu") == 0 ? WN_MLP_SWIGLU
           : strcmp(o->mlp, "relu") == 0 ? WN_MLP_RELU
                                         : WN_MLP_RELU2;
}

static int64_t default_intermediate(const wn_train_options *o, wn__mlp_kind mlp) {
    if (mlp != WN_MLP_SWIGLU) return 4 * o->hidden_size;
    return round_up((8 * o->hidden_size + 2) / 3, 32);
}

bool wn__begins_from(const wn_train_options *o) {
    return o->init_from != NULL && o->init_from[0] != '\0';
}

bool wn__has_config(const wn_train_options *o) {
    return !wn__begins_from(o) && o->model_config != NULL && o->model_config[0] != '\0';
}

// Ids the data needs room for; `otherwise` where nothing says so.
static int64_t vocabulary(const wn__trainer *t, int64_t otherwise) {
    bool shards = !t->train.documents && t->train.file != NULL;
    int64_t n = t->tokenizer != NULL ? wn_tokenizer_vocab_size(t->tokenizer)
                : shards             ? 1
                                     : otherwise;
    int64_t a = shards ? (int64_t)t->train.shard.info.vocab_size : 0;
    bool held = !t->held.documents && t->held.file != NULL;
    int64_t b = held ? (int64_t)t->held.shard.info.vocab_size : 0;
    n = n > a ? n : a;
    return n > b ? n : b;
}

// The ids that end and begin a text, by the tokenizer where there is one.
static void set_special_ids(const wn__trainer *t, wn__model_config *c) {
    if (t->tokenizer == NULL) return;
    int32_t eos = wn_tokenizer_eos(t->tokenizer);
    c->bos = wn_tokenizer_bos(t->tokenizer);
    c->eos_count = 0;
    if (eos >= 0) c->eos[c->eos_count++] = eos;
}

static wn_status sized_config(wn__trainer *t) {
    const wn_train_options *o = &t->o;
    wn__mlp_kind mlp = mlp_of(o, WN_MLP_RELU2);
    if (o->heads < 1 || o->hidden_size < 1 || o->hidden_size % o->heads != 0)
        return wn__fail(WN_INVALID,
                        "hidden_size is %" PRId64 " and heads is %" PRId64
                        ", expected a positive multiple of it",
                        o->hidden_size, o->heads);
    t->config = (wn__model_config){
        .vocab_size = vocabulary(t, o->vocab_size),
        .hidden_size = o->hidden_size,
        .intermediate_size =
            o->intermediate_size > 0 ? o->intermediate_size : default_intermediate(o, mlp),
        .layers = o->layers,
        .heads = o->heads,
        .kv_heads = o->kv_heads > 0 ? o->kv_heads : o->heads,
        .head_dim = o->hidden_size / o->heads,
        .max_positions = o->seq_len,
        .rms_eps = 1e-6,
        .rope_theta = o->rope_theta,
        .mlp = mlp,
        .tied = o->tie_embeddings,
        .init_std = o->init_std,
        .bos = -1,
    };
    set_special_ids(t, &t->config);
    return WN_OK;
}

/* Named and written configurations. */

static void from_table(const wn_llama_config *n, wn__model_config *c) {
    *c = (wn__model_config){.vocab_size = n->vocab_size,
                            .hidden_size = n->hidden_size,
                            .intermediate_size = n->intermediate_size,
                            .layers = n->layers,
                            .heads = n->heads,
                            .kv_heads = n->heads,
                            .head_dim = n->hidden_size / n->heads,
                            .max_positions = n->max_positions,
                            .rms_eps = 1e-6,
                            .rope_theta = 10000,
                            .mlp = WN_MLP_SWIGLU,
                            .init_std = 0.02,
                            .bos = 0,
                            .eos = {1},
                            .eos_count = 1};
}

static wn_status add_missing(wn__json *root, const char *key, wn__json *value) {
    if (value != NULL && wn__json_get(root, key) == NULL) return wn__json_set(root, key, value);
    wn__json_free(value);
    return WN_OK;
}

// The files of these papers spell the architecture with "LLaMA" and the positions
// "max_sequence_length"; older ones of transformers have no "architectures" at all.
static wn_status spell_as_now(wn__json *root) {
    const wn__json *list = wn__json_get(root, "architectures");
    const char *name = wn__json_string(wn__json_at(list, 0), NULL);
    if (name != NULL && strcmp(name, "LLaMAForCausalLM") == 0) {
        wn__json *names = wn__json_new_array();
        wn_status status = wn__json_append(names, wn__json_new_string("LlamaForCausalLM"));
        if (status == WN_OK) return wn__json_set(root, "architectures", names);
        wn__json_free(names);
        return status;
    }
    return WN_OK;
}

static wn_status read_config(const char *path, wn__model_config *c) {
    wn__json *root = NULL;
    char *text = NULL;
    wn_status status;
    WN_TRY(wn__json_read(path, CONFIG_MOST, &root));
    WN_TRY_OUT(spell_as_now(root));
    wn__json *length = wn__json_get(root, "max_sequence_length");
    WN_TRY_OUT(add_missing(root, "max_position_embeddings",
                           length != NULL ? wn__json_ref(length) : wn__json_new_int(2048)));
    WN_TRY_OUT(wn__json_dump(root, 0, &text));
    status = wn__hf_config_parse(text, strlen(text), path, c);
out:
    free(text);
    wn__json_free(root);
    return status;
}

// A file of that name wins over the table.
wn_status wn__named_config(const char *name, wn__model_config *c) {
    if (wn__file_exists(name)) return read_config(name, c);
    const wn_llama_config *n = wn_llama_config_find(name);
    if (n != NULL) {
        from_table(n, c);
        return WN_OK;
    }
    size_t count, used = 0;
    char list[400] = "";
    n = wn_llama_configs(&count);
    for (size_t i = 0; i < count; i++) {
        size_t k = strlen(n[i].name + 6);
        if (used + k + 2 >= sizeof list) break;
        if (i > 0) list[used++] = ' ';
        memcpy(list + used, n[i].name + 6, k + 1);
        used += k;
    }
    return wn__fail(WN_INVALID, "model_config: no file '%s', and none of llama_{%s}", name, list);
}

// Without a gate, two matrices take the place of three: 1.5 times the width has as many weights.
static void fit_mlp(wn__trainer *t, wn__model_config *c) {
    wn__mlp_kind mlp = mlp_of(&t->o, c->mlp);
    if (c->mlp == WN_MLP_SWIGLU && mlp != WN_MLP_SWIGLU) {
        t->gated_width = c->intermediate_size;
        c->intermediate_size = round_up(c->intermediate_size * 3 / 2, t->o.round_intermediate);
    }
    c->mlp = mlp;
}

// Options given on purpose win where they are no sizes.
static wn_status named_config(wn__trainer *t) {
    const wn_train_options *o = &t->o;
    wn__model_config *c = &t->config;
    bool again = t->recorded != NULL; // what the run was begun with
    WN_TRY(wn__named_config(o->model_config, c));
    fit_mlp(t, c);
    if (again || wn__options_given(o, "tie_embeddings")) c->tied = o->tie_embeddings;
    if (again || wn__options_given(o, "rope_theta")) c->rope_theta = o->rope_theta;
    if (again || wn__options_given(o, "init_std")) c->init_std = o->init_std;
    if (c->max_positions < o->seq_len) c->max_positions = o->seq_len;
    set_special_ids(t, c);
    t->o.tie_embeddings = c->tied;
    t->o.rope_theta = c->rope_theta;
    t->o.init_std = c->init_std;
    return WN_OK;
}

/* Fit. */

// Whether nothing uses the ids of the tokenizer from `room` on: they are special, so that texts are
// not made of them, and none of them begins, ends or fills one.
static bool unused_from(const wn_tokenizer *t, int64_t room) {
    int32_t n = wn_tokenizer_vocab_size(t);
    if (wn_tokenizer_bos(t) >= room || wn_tokenizer_eos(t) >= room || wn__source_padding(t) >= room)
        return false;
    for (int32_t id = (int32_t)room; id < n; id++) {
        char *text = NULL;
        size_t size = 0;
        bool shown = wn_tokenizer_decode(t, &id, 1, true, &text, &size) == WN_OK && size > 0;
        free(text);
        if (shown) return false;
    }
    return true;
}

// T5's vocabulary has a hundred special ids behind those that texts are made of, for which the
// published configurations have no room.
static wn_status check_vocabulary(wn__trainer *t, const char *what) {
    int64_t room = t->config.vocab_size, need = vocabulary(t, room);
    if (need <= room) return WN_OK;
    bool mine = t->tokenizer != NULL && need == wn_tokenizer_vocab_size(t->tokenizer);
    if (!mine || !unused_from(t->tokenizer, room))
        return wn__fail(WN_INVALID,
                        "%s: its vocabulary has %" PRId64
                        " ids, the tokenizer or the data %" PRId64,
                        what, room, need);
    t->special_beyond = need - room;
    return WN_OK;
}

static wn_status check_positions(const wn__trainer *t, const char *what) {
    if (t->o.seq_len <= t->config.max_positions) return WN_OK;
    return wn__fail(WN_INVALID, "%s: it has %" PRId64 " positions, seq_len is %" PRId64, what,
                    t->config.max_positions, t->o.seq_len);
}

wn_status wn__setup_length(wn__trainer *t) {
    wn__model_config c;
    if (wn__options_given(&t->o, "seq_len")) return WN_OK;
    WN_TRY(wn__hf_config_read(t->init_dir, &c));
    if (t->o.seq_len <= c.max_positions) return WN_OK;
    t->o.seq_len = c.max_positions;
    wn__say(t, "note: sequences of %" PRId64 " tokens: %s has no more positions", t->o.seq_len,
            t->init_dir);
    return WN_OK;
}

wn_status wn__setup_config(wn__trainer *t, const char *checkpoint) {
    const char *what = checkpoint[0] != '\0'    ? checkpoint
                       : t->init_dir[0] != '\0' ? t->init_dir
                                                : NULL;
    if (what != NULL) {
        WN_TRY(wn__hf_config_read(what, &t->config));
    } else if (wn__has_config(&t->o)) {
        what = t->o.model_config;
        WN_TRY(named_config(t));
    } else {
        WN_TRY(sized_config(t));
    }
    if (what != NULL) {
        WN_TRY(check_vocabulary(t, what));
        WN_TRY(check_positions(t, what));
    }
    if (says_mlp(&t->o) && mlp_of(&t->o, t->config.mlp) != t->config.mlp && !t->o.resume)
        wn__say(t, "note: mlp %s has no effect: the model of %s has %s", t->o.mlp, what,
                wn__mlp_word(t->config.mlp));
    t->o.mlp = wn__mlp_word(t->config.mlp);
    return wn__model_config_check(&t->config);
}
