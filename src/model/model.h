// SPDX-License-Identifier: MIT
/* A Llama-family decoder: embedding, blocks of (RMSNorm, RoPE attention, RMSNorm, MLP), final
 * RMSNorm, head.
 *
 * Every linear layer goes through nn/linear.h. All memory is sized and reserved at creation. Losses
 * are in nats. */
#ifndef WN_MODEL_MODEL_H
#define WN_MODEL_MODEL_H

#include "formats/hf_config.h"
#include "kernels/runtime.h"
#include "nn/linear.h"
#include "nn/rope.h"
#include "optim/optimizer.h"

typedef struct wn__model wn__model;

typedef struct wn__model_spec {
    wn__model_config config;
    wn_dtype dtype;           /* F32; F64 in tests */
    bool training;            /* gradients, moments and saved activations */
    int64_t batch, seq;       /* largest B and T of wn__model_feed */
    wn__optimizer *optimizer; /* borrowed for the model's life; training needs one: its states are
                                 sized with the rest */
    bool round16;      /* --dtype bfloat16: weights and activations rounded at tensor borders, fp32
                          masters */
    bool recompute;    /* activation checkpointing: a block's activations are computed again in the
                          backward pass */
    bool count_zeros;  /* training passes count the zeros after every activation without a gate */
    wn__stored stored; /* not in training: weights of dense and 2:4 layers as streams */
    wn__structure_rules *rules; /* borrowed during creation; NULL: all dense. A rule that matches
                                   nothing is INVALID */
} wn__model_spec;

/* Builds twice (measure, then reserve), plans one step (training or evaluation) on the runtime and
 * grows its workspace. The runtime is borrowed for the model's life. */
WN_NODISCARD wn_status wn__model_create(const wn__model_spec *spec, wn__runtime *rt,
                                        wn__model **out);
/* The same without reserving any memory: layers, their bytes and FLOPs and the kernels in use can
 * be read, but it holds no data and nothing of it may run (--dry-run). */
WN_NODISCARD wn_status wn__model_draft(const wn__model_spec *spec, wn__runtime *rt,
                                       wn__model **out);
void wn__model_free(wn__model *m);

/* Bytes of each arena for a spec without reserving anything (--dry-run). */
typedef struct wn__model_memory {
    size_t weights, gradients, moments, activations, workspace;
} wn__model_memory;
WN_NODISCARD wn_status wn__model_measure(const wn__model_spec *spec, wn__runtime *rt,
                                         wn__model_memory *out);
void wn__model_memory_of(const wn__model *m, wn__model_memory *out);

/* Random initial weights: normal(0, init_std) for matrices (projections back into the residual
 * stream, o_proj and down_proj: init_std/sqrt(2 layers)), ones for norms, zeros for biases; tensor
 * i of the parameter list uses stream WN_STREAM_INIT + i. */
WN_NODISCARD wn_status wn__model_init(wn__model *m, uint64_t seed);
/* Loads every parameter from a checkpoint, converting BF16/F16; a factored layer takes its dense
 * "<name>.weight" over (wn__linear_adopt). FORMAT/INVALID name a missing tensor, a wrong shape
 * (both shapes), or a tensor that belongs to nothing; "*.rotary_emb.inv_freq" and a tied
 * lm_head.weight are ignored. */
WN_NODISCARD wn_status wn__model_load(wn__model *m, const wn__hf_weights *weights);

/* Where training stands (random draws and warm-ups depend on it). wn__model_init sets the seed,
 * wn__model_prepare the update, and every wn__model_loss_backward counts itself; a trainer that
 * resumes sets seed and counter. */
wn__pass *wn__model_pass(wn__model *m);
/* Standard deviation of the effective weights after wn__model_init, over all low-rank layers:
 * smallest and largest, and how many there are (0: none). */
typedef struct wn__init_report {
    size_t layers;
    double least, most;
} wn__init_report;
const wn__init_report *wn__model_init_report(const wn__model *m);
/* One update of every parameter (gradients times grad_scale), then scales that depend on a basis an
 * exact step replaced. u: 0-based. Call wn__model_prepare afterwards. */
WN_NODISCARD wn_status wn__model_update(wn__model *m, double lr, double grad_scale, int64_t u,
                                        wn__optimizer_report *report);
/* Masks and packs up to date with the masters. step: optimizer steps done so far. Call before the
 * first forward and after every update. */
WN_NODISCARD wn_status wn__model_prepare(wn__model *m, int64_t step);
/* Copies B*T tokens and targets (target < 0: ignored; NULL targets: none) to the model's inputs. B
 * <= batch, T <= seq. INVALID names a token outside the vocabulary and its position. */
WN_NODISCARD wn_status wn__model_feed(wn__model *m, const int32_t *tokens, const int32_t *targets,
                                      int64_t B, int64_t T);
/* Forward pass and summed loss over labels that are not ignored. The head and the loss run in
 * chunks of rows, so no [B*T, V] logits are kept. */
WN_NODISCARD wn_status wn__model_loss(wn__model *m, double *loss_sum, int64_t *labels);
/* The same, then backward: adds grad_scale * d(loss_sum)/d(param) to every gradient. */
WN_NODISCARD wn_status wn__model_loss_backward(wn__model *m, double grad_scale, double *loss_sum,
                                               int64_t *labels);
/* From here on wn__model_loss_backward learns from a teacher too: its loss is that of
 * kernels/cross_entropy.h with the logits that the teacher, of any shape but of m's vocabulary and
 * dtype, has for the fed tokens; wn__model_loss stays that of the labels. The teacher does not
 * train, has room for m's batches, runs on m's runtime and is borrowed; its logits are made chunk
 * by chunk as m's are and never kept. NULL: no more. INVALID: another vocabulary, less room. */
WN_NODISCARD wn_status wn__model_distil(wn__model *m, wn__model *teacher, double share,
                                        double temperature);
/* Every gradient counts as zeros: those that a product makes first are only marked fresh and hold
 * what they held until the next backward pass overwrites them (tensor/param.h). */
WN_NODISCARD wn_status wn__model_zero_gradients(wn__model *m);
/* Adds masked decay and the like, times factor. It is not to be clipped: where clipping is a factor
 * the optimizer puts on the gradients, give its inverse. */
WN_NODISCARD wn_status wn__model_regularize(wn__model *m, double factor);
/* Logits [B*T, V] of the fed tokens into packed out (the model's dtype); for tests and evaluation
 * by choice. */
WN_NODISCARD wn_status wn__model_logits(wn__model *m, const wn_tensor *out);

/* Key/value cache of one sequence: [layers][capacity, kv_heads, head_dim] for k and v, in one
 * arena. length may be set back to forget the end. */
typedef struct wn__kv_cache {
    wn__arena arena;
    wn_tensor k, v; /* [layers, capacity, kv_heads, head_dim] */
    int64_t capacity, length;
    wn__rope_tables rope; /* of its positions */
    int64_t planned;      /* tokens of the pass last planned */
} wn__kv_cache;
WN_NODISCARD wn_status wn__kv_cache_create(const wn__model *m, int64_t capacity, wn__kv_cache *out);
void wn__kv_cache_free(wn__kv_cache *c);
/* Runs n tokens (1 <= n <= spec.seq) at positions length .. length+n-1, appends to the cache, and
 * writes the logits of the last one to logits[V] (host floats). INVALID when the cache would
 * overflow. */
WN_NODISCARD wn_status wn__model_decode(wn__model *m, wn__kv_cache *cache, const int32_t *tokens,
                                        int64_t n, float *logits);

/* Reading. */
const wn__model_config *wn__model_config_of(const wn__model *m);
wn__params *wn__model_params(wn__model *m);
size_t wn__model_linear_count(const wn__model *m);
wn__linear *wn__model_linear(wn__model *m, size_t i);
wn__runtime *wn__model_runtime(wn__model *m);
/* Activations that can be 2:4, one a block (MLPs without a gate); NULL where the block's is dense
 * by rule and its zeros are not counted. */
struct wn__act24;
size_t wn__model_act24_count(const wn__model *m);
struct wn__act24 *wn__model_act24(wn__model *m, size_t i);
/* What a model directory says of 2:4: the activations and inputs that an evaluation prunes (nothing
 * while the model is still dense), and the weights that wn__model_export gives 2:4. Free with
 * wn__hf_sparsity_free. */
struct wn__hf_sparsity;
WN_NODISCARD wn_status wn__model_sparsity(const wn__model *m, struct wn__hf_sparsity *out);
/* The scales of a directory for the layers whose structure prunes by a soft method, after
 * wn__model_prepare: INVALID names a layer for which there is none by its method. */
WN_NODISCARD wn_status wn__model_take_scales(wn__model *m, const struct wn__hf_sparsity *s);
/* The residual stream on its way through a model that does not train, block by block: its begin
 * embeds the fed tokens into stream [B*T, hidden_size], packed; each block then takes it from there
 * and puts it back, on the last fed shape. */
WN_NODISCARD wn_status wn__model_stream_begin(wn__model *m, const wn_tensor *stream);
WN_NODISCARD wn_status wn__model_stream_block(wn__model *m, int64_t block, const wn_tensor *stream);
/* FLOPs one token costs: forward and backward products, executed (2:4 products count half) and as
 * if dense. T: context length. */
void wn__model_flops(const wn__model *m, int64_t T, bool training, double *executed, double *dense);

/* Tensors as the forward pass multiplies by them, for model.safetensors, by their Hugging Face
 * names: items point into the model; structured weights are merged when they are written
 * (wn__st_item.make, into the shared scratch), so nothing may run on the model between this and the
 * end of the writing. items is malloc'ed. */
struct wn__st_item;
WN_NODISCARD wn_status wn__model_export(wn__model *m, struct wn__st_item **items, size_t *count);
/* Everything resume needs: masters, the optimizer's states ("<name>.m" ...), the layers' (masks,
 * scales, orders). Views into the model, both ways: save reads them, load copies into them (then
 * wn__model_states_loaded). items is malloc'ed; names live as long as the model. */
WN_NODISCARD wn_status wn__model_states(wn__model *m, struct wn__st_item **items, size_t *count);
/* Rebuilds packs from the loaded masters and masks without choosing new masks. */
WN_NODISCARD wn_status wn__model_states_loaded(wn__model *m);

#endif
