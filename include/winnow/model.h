// SPDX-License-Identifier: MIT
/* Trained models: looking inside, evaluating, generating. A model is a Hugging Face directory (or a
 * run directory: its `latest`). */
#ifndef WINNOW_MODEL_H
#define WINNOW_MODEL_H

#include "winnow/tensor.h"
#include "winnow/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A model opened for inference. Used by one thread at a time. */
typedef struct wn_session wn_session;

typedef struct wn_session_options {
    int threads; /* 0: all */
    /* 'PATTERN=STRUCTURE', run as such; NULL with auto_sparsity false: dense */
    const char *const *sparsity;
    size_t sparsity_count;
    bool auto_sparsity; /* layers whose weight is 2:4 (at most two non-zeros in every group of four)
                           run packed; activations and inputs that training pruned, as config.json
                           says, are pruned */
    int64_t context;    /* positions to make room for; 0: the smaller of the model's and 4096 */
    int64_t batch;      /* rows of an evaluation batch; 0: 8 */
    const char *dtype;  /* "float32" (and NULL), or "bfloat16": weights and activations rounded at
                           the  borders of tensors, as training with it does */
    bool fp8; /* products of the blocks' linear layers in simulated FP8, as training has them */
    const char *kernels; /* "op:variant,..." or NULL */
    bool strict_kernels;
    const char *weights; /* how dense and 2:4 linear layers store theirs: "f32", "bf16", "int8" or
                            "int4"; NULL: "bf16" where the files hold that, else "f32", so that
                            nothing is rounded. A head tied to the embedding reads its table */
} wn_session_options;

/* Reads dir (or the newest step of a run) and reserves all memory. IO, FORMAT and UNSUPPORTED name
 * the file and what is wrong with it; INVALID names the option, or the layers when a pattern
 * matches none. Free with wn_session_free. */
WN_API WN_NODISCARD wn_status wn_session_open(const char *dir, const wn_session_options *o,
                                              wn_session **out);
WN_API void wn_session_free(wn_session *s); /* NULL is fine */
/* Borrowed; UNSUPPORTED is reported by calls that need one when the directory has no tokenizer.json
 * (then NULL). */
WN_API const wn_tokenizer *wn_session_tokenizer(const wn_session *s);

typedef struct wn_model_info {
    int64_t vocab_size, hidden_size, intermediate_size, layers, heads, kv_heads, head_dim, context;
    int64_t parameters;
    const char *architecture; /* "LlamaForCausalLM" */
    size_t sparse_layers, linear_layers;
    size_t stored_layers; /* of them: dense and 2:4 ones, whose weights are stored as `weights` */
    size_t sparse_activations, sparse_inputs; /* MLPs and linear layers that prune what they read */
    size_t trained_activations, trained_inputs; /* those that did at the end of training */
    uint64_t weight_bytes;                      /* what a forward pass reads */
    uint64_t dense_bytes;                       /* the same if every weight were dense in float32 */
    uint64_t resident_bytes; /* reserved for all weights: no other copy of them is kept */
    const char *weights;     /* "bf16": how linear layers store theirs */
    const char *kernel;      /* "stream_avx2": what multiplies one token by them; static storage */
} wn_model_info;
WN_API void wn_session_info(const wn_session *s, wn_model_info *out);

/* Sampling: temperature 0 is greedy. Order: top-k, then softmax with temperature, then top-p. */
typedef struct wn_sampling {
    double temperature;
    int64_t top_k; /* 0: off */
    double top_p;  /* 1: off */
    uint64_t seed;
} wn_sampling;

/* New text is handed over in whole UTF-8 characters as it appears (invalid bytes at once); false
 * from the callback ends the generation. */
typedef bool wn_text_fn(void *ctx, const char *bytes, size_t n);
typedef struct wn_generate_options {
    wn_sampling sampling;
    int64_t max_tokens;
    bool ignore_eos;
    bool no_cache; /* recompute the whole text for each token: slow, for checking */
} wn_generate_options;
typedef struct wn_generate_stats {
    int64_t prompt_tokens, new_tokens;
    double prompt_seconds, new_seconds;
    bool ended; /* by an end-of-text token */
} wn_generate_stats;
/* Continues a prompt (encoded with specials, beginning-of-text first where the tokenizer's file
 * puts one; an empty prompt without one starts from the end-of-text token or token 0). fn, ids
 * and stats may be NULL; ids receives the new tokens, to be freed with wn_tokens_free. INVALID when
 * prompt and max_tokens exceed the context, naming all three.
 */
WN_API WN_NODISCARD wn_status wn_generate(wn_session *s, const char *prompt, size_t size,
                                          const wn_generate_options *o, wn_text_fn *fn, void *ctx,
                                          wn_tokens *ids, wn_generate_stats *stats);

/* Loss over a text, a .tokens file or documents (wn_documents_named) in windows of seq_len tokens
 * that do not overlap; of documents, joined, full windows only. INVALID: fewer than two tokens (of
 * documents, than one window), a seq_len above the context, a shard of another tokenizer.
 * UNSUPPORTED: a text or documents, and no tokenizer. */
typedef struct wn_eval_options {
    int64_t seq_len;    /* 0: the smaller of the context and 1024 */
    int64_t max_tokens; /* 0: all */
    bool pack;   /* documents: joined into full windows; false: one a window, cut or padded */
    bool compat; /* also the figure of published tables: sum of batch means / (batches + 1); of
                    documents, max_tokens by the rule those were made with */
} wn_eval_options;
typedef struct wn_eval_result {
    double loss, perplexity, bits_per_byte; /* nats a token; bits_per_byte of the predicted tokens'
                                               own bytes, 0 without a tokenizer */
    double compat_loss;                     /* when asked for */
    int64_t tokens, bytes;
    double seconds;
} wn_eval_result;
WN_API WN_NODISCARD wn_status wn_eval(wn_session *s, const char *data, const wn_eval_options *o,
                                      wn_eval_result *out);
/* Loss of given tokens in one window (for comparisons), in nats: mean over count-1 predictions.
 * INVALID: fewer than 2 tokens, or more than the context and one. */
WN_API WN_NODISCARD wn_status wn_eval_tokens(wn_session *s, const int32_t *ids, size_t count,
                                             double *loss);

/* One tensor of a model directory, as wn_inspect reports it. */
typedef struct wn_tensor_report {
    const char *name, *file;
    const char *dtype;
    int ndim;
    int64_t shape[WN_MAX_DIMS];
    uint64_t bytes;
    double zeros; /* share of exact zeros */
    double min, max, mean, std;
    int64_t nonfinite; /* NaN and infinities */
    bool is24; /* 2-D, at most two non-zeros in every group of 4 along the last dimension, and a
                  share of zeros above 0.45 */
    bool is24_transposed; /* the same along the first dimension */
} wn_tensor_report;
typedef void wn_inspect_fn(void *ctx, const wn_tensor_report *t);
/* statistics false: names, shapes and bytes only (fast). path: a directory or one .safetensors or
 * .pth file. config_text (may be NULL) receives a malloc'ed summary of the configuration, and of
 * the chains of Kronecker-sparse factors that a directory or a checkpoint of wn_ks_fit has, or
 * NULL. Calls fn in the order of names; what t points to is valid during the call. FORMAT,
 * UNSUPPORTED: a file that is damaged or asks for more than tensors, and a chain that its factors
 * do not fit, with the name of what was met. */
WN_API WN_NODISCARD wn_status wn_inspect(const char *path, bool statistics, wn_inspect_fn *fn,
                                         void *ctx, char **config_text);

/* What this machine and this build can do, as lines of text, malloc'ed: processor, flags, threads,
 * memory, libraries found, kernels chosen, a self-test of each of them. *healthy is false when a
 * self-test failed. json: one JSON object instead. quick: nothing of kernels. */
WN_API WN_NODISCARD wn_status wn_doctor(bool json, bool quick, char **out, bool *healthy);

#ifdef __cplusplus
}
#endif
#endif
