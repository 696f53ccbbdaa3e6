// SPDX-License-Identifier: MIT
/* config.json of Hugging Face directories: LlamaForCausalLM (SwiGLU), ArceeForCausalLM
 * (without a gate: squared ReLU, or ReLU), and the families that share the Llama block with q/k/v
 * biases as a stated difference (MistralForCausalLM, Qwen2ForCausalLM). */
#ifndef WN_FORMATS_HF_CONFIG_H
#define WN_FORMATS_HF_CONFIG_H

#include "winnow/tensor.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum wn__mlp_kind { WN_MLP_SWIGLU, WN_MLP_RELU2, WN_MLP_RELU } wn__mlp_kind;
typedef enum wn__rope_kind { WN_ROPE_DEFAULT, WN_ROPE_LINEAR, WN_ROPE_LLAMA3 } wn__rope_kind;

#define WN_MAX_EOS  8
#define WN_PATH_MAX 4096

typedef struct wn__model_config {
    int64_t vocab_size, hidden_size, intermediate_size;
    int64_t layers, heads, kv_heads, head_dim;
    int64_t max_positions; /* max_position_embeddings */
    double rms_eps;        /* 1e-6 */
    double rope_theta;     /* 10000 */
    wn__rope_kind rope;
    double rope_factor, rope_low_freq, rope_high_freq; /* llama3 scaling */
    int64_t rope_original_positions;
    wn__mlp_kind mlp;
    bool qkv_bias, o_bias; /* attention_bias sets both; Qwen2 sets the first only */
    bool mlp_bias;
    bool tied;       /* tie_word_embeddings */
    double init_std; /* initializer_range, 0.02 */
    int32_t bos;     /* -1: none; a missing key means none, never the class's default */
    int32_t eos[WN_MAX_EOS];
    int32_t eos_count;
} wn__model_config;

/* The model directory meant by `path`: itself, or `latest` in a run directory. IO names both when
 * neither holds a config.json. */
WN_NODISCARD wn_status wn__model_dir(const char *path, char out[WN_PATH_MAX]);

/* Reads config.json (and generation_config.json beside it, whose eos list wins). FORMAT names the
 * file, the key and the value found; UNSUPPORTED names an architecture, activation or rope type
 * that is not implemented and lists those that are. Both the flat `rope_theta`/`rope_scaling` and
 * the nested `rope_parameters` spelling are read. The result satisfies wn__model_config_check. */
WN_NODISCARD wn_status wn__hf_config_read(const char *dir, wn__model_config *out);
/* config.json alone from memory; for tests and fuzzing. */
WN_NODISCARD wn_status wn__hf_config_parse(const char *bytes, size_t size, const char *name,
                                           wn__model_config *out);
/* Writes config.json and generation_config.json into dir: LlamaForCausalLM for SwiGLU,
 * ArceeForCausalLM without a gate, Qwen2ForCausalLM when only q/k/v have biases. torch_dtype
 * float32 (wn__hf_config_write_as: or bfloat16). Both rope spellings are written where they agree.
 */
WN_NODISCARD wn_status wn__hf_config_write(const char *dir, const wn__model_config *config);
/* Ranges and divisibility: heads % kv_heads == 0, even head_dim, positive sizes below 2^31, finite
 * eps and theta, ... INVALID names the field, the value and the nearest legal one. */
WN_NODISCARD wn_status wn__model_config_check(const wn__model_config *config);
/* Parameters by the formula (tied head counted once); INT64_MAX when that is too much, which the
 * check refuses. */
int64_t wn__model_config_params(const wn__model_config *config);

/* Tensors of a checkpoint directory, from model.safetensors (which wins) or from the shards of
 * model.safetensors.index.json. Shard names must be plain file names in the same directory, and not
 * symbolic links that lead out of it, save into the blobs/ folder of a Hugging Face cache
 * (.../blobs beside .../snapshots/REVISION). The shards' tensors and the index's must be the same,
 * each in exactly the shard the index says. */
typedef struct wn__hf_weights wn__hf_weights;
WN_NODISCARD wn_status wn__hf_weights_open(const char *dir, wn__hf_weights **out);
void wn__hf_weights_close(wn__hf_weights *w);
/* The index of dir, if there is one, against the weights that were opened from there: the same
 * tensors in the same files, also beside a model.safetensors that wins over it, and their bytes as
 * its total_size has them, which opening leaves alone. FORMAT names the first difference. */
WN_NODISCARD wn_status wn__hf_weights_check_index(const char *dir, const wn__hf_weights *w);
/* The files, in the order of their names. */
struct wn__safetensors;
size_t wn__hf_weights_files(const wn__hf_weights *w);
const struct wn__safetensors *wn__hf_weights_file(const wn__hf_weights *w, size_t i);
/* FORMAT when path is a symbolic link that leads out of dir, save into such a cache. */
WN_NODISCARD wn_status wn__hf_check_link(const char *dir, const char *path);
size_t wn__hf_weights_count(const wn__hf_weights *w);
/* i-th tensor in name order; the view's data may be unaligned. */
void wn__hf_weights_at(const wn__hf_weights *w, size_t i, const char **name, wn_tensor *view,
                       const char **file);
/* false if absent. */
bool wn__hf_weights_find(const wn__hf_weights *w, const char *name, wn_tensor *view);
/* The same with the file's path. */
bool wn__hf_weights_locate(const wn__hf_weights *w, const char *name, wn_tensor *view,
                           const char **file);
/* What the metadata of the first file that has the key says; NULL: of none. */
const char *wn__hf_weights_meta(const wn__hf_weights *w, const char *key);
/* Writes tensors as model.safetensors, or as shards of at most shard_bytes with an index (0: one
 * file). Shards are filled in the order of the items; a larger tensor gets one of its own, and what
 * fits in one shard becomes model.safetensors. A model.safetensors or index that was there and
 * would contradict the new one is removed; shards of another count stay, unused. Each file is
 * atomic, the set is not: publish a directory. */
struct wn__st_item;
WN_NODISCARD wn_status wn__hf_weights_write(const char *dir, const struct wn__st_item *items,
                                            size_t count, uint64_t shard_bytes);

#endif
