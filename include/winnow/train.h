// SPDX-License-Identifier: MIT
/* Training: options in, events out, a run directory on disk.
 *
 *   RUN/run.json  RUN/metrics.jsonl  RUN/tokenizer.json  RUN/data/{train,eval}.tokens
 * RUN/step-001200/  RUN/latest -> step-001200
 *
 * A step directory is a Hugging Face directory plus training.safetensors and state.json (step,
 * loader position, checksums, resolved options). Everything is written under a temporary name,
 * fsynced and renamed. Resume continues bit for bit. */
#ifndef WINNOW_TRAIN_H
#define WINNOW_TRAIN_H

#include "winnow/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All strings are borrowed for the call. Zeroed fields mean "the default" only where said; fill
 * with wn_train_defaults first. */
typedef struct wn_train_options {
    /* where */
    const char *out;  /* run directory */
    const char *data; /* text file, FILE.tokens, or documents: .json[l][.gz] files, a folder of them
                         or a glob, one JSON object with a "text" a line */
    const char *eval_data; /* held-out text, .tokens or documents; NULL: the last eval_fraction of
                              data's bytes (or tokens); of documents: none */
    bool
        pack; /* documents: joined into full windows; false: one document a sample, cut or padded */
    const char *tokenizer; /* tokenizer.json, "bytes", or NULL: train byte-level BPE of vocab_size
                              on the training part (or init_from's) */
    const char
        *init_from; /* Hugging Face directory to start from; its shape wins over the ones below */
    bool resume;    /* continue out/latest; the model and data options of run.json win, others may
                       change with a note */
    double eval_fraction;
    /* model, when not init_from */
    int32_t vocab_size;
    int64_t hidden_size,
        intermediate_size; /* 0: 4 x hidden for relu2, 8/3 x hidden rounded up to 32 for swiglu */
    int64_t layers, heads, kv_heads; /* kv_heads 0: heads */
    const char *mlp;            /* "swiglu", "relu2" or "relu"; NULL: model_config's, else relu2 */
    const char *model_config;   /* "llama_130m" (or a path that ends so) of wn_llama_configs, or a
                                   config.json; its sizes win over the ones above. NULL: none */
    int64_t round_intermediate; /* with model_config and an MLP without a gate: 1.5 x its width,
                                   rounded up to a multiple of this (16) */
    bool tie_embeddings;
    double rope_theta, init_std;
    /* structure */
    const char *const *sparsity; /* 'PATTERN=STRUCTURE' */
    size_t sparsity_count;
    int64_t mask_every, mask_freeze_after,
        mask_dense_after; /* dense fine-tuning from that update on; 0: never */
    double mask_decay;    /* SR-STE lambda */
    bool scale_norm;      /* S-STE's frozen scale keeps the norm instead of being nearest */
    const char
        *scale_rule; /* of sparse factors: "frozen", or "exact": again after every exact step */
    const char *lowrank_init; /* xavier, auto, kaiming, orth, xavorth, randn_S, const_C */
    /* activation 2:4 */
    const char *act_backward; /* "split", "direct", "dense" */
    bool act_permute;
    int64_t act_warmup;             /* dense updates first */
    double act_dense;               /* share of features that stay dense along tokens */
    int64_t act_every, act_samples; /* soft_dynamic */
    /* numerics */
    const char *dtype; /* "float32", or "bfloat16": rounded at tensor borders over fp32 masters */
    bool fp8;          /* products in simulated FP8 */
    bool recompute;    /* activation checkpointing */
    /* optimisation */
    int64_t seq_len, batch_size, grad_accum, steps;
    double lr, min_lr_ratio, beta1, beta2, eps, weight_decay,
        clip_norm; /* beta2, eps negative: what the optimizer is published with, 0.999 and 1e-6 of
                      loro_adamw and galore_adamw, 0.95 and 1e-8 of the others */
    const char *optimizer;   /* adamw, adam, sgd, adafactor, adam8bit, galore_adamw, loro_adamw */
    double momentum;         /* sgd; adafactor's beta1 */
    int64_t exact_every;     /* loro_adamw: the exact step every N updates; 0: never */
    double lr_scaler;        /* loro_adamw: of lazy steps; negative: rank / hidden_size */
    const char *exact_core;  /* "paper" (K0 from dN), or "symmetric" */
    const char *exact_gauge; /* "fix": the factors move as little as possible; "none" */
    const char *refresh;     /* none, reg, lrk, all */
    int64_t refresh_every /* 0: exact_every */, moment_reset_every;
    int64_t galore_rank, galore_gap;
    double galore_scale;
    const char *galore_type;
    const char *schedule; /* cosine, wsd, linear, constant, cosine_restart, cosine_restart_zero,
                             cosine_cycle, linear_zero */
    int64_t warmup, wsd_decay;                        /* wsd_decay 0: steps/5 */
    int64_t restart_every, restart_warmup, lr_adjust; /* the restarting schedules: R, c, adj */
    bool restart_after_warmup;
    const char *teacher; /* a dense model directory or run whose probabilities are learned too: of
                            the same vocabulary; NULL: none. The loss of the lines of updates is
                            (1 - distill_weight) that of the labels + distill_weight T^2 KL(teacher
                            || model), both softened by T = distill_temperature; evaluations are of
                            the labels alone */
    double distill_weight, distill_temperature;
    uint64_t seed;
    bool shuffle; /* false: the tokens in order, for comparing with another trainer */
    /* rhythm; 0: never but at the end */
    int64_t log_every, eval_every, eval_batches /* 0: all */, sample_every, save_every, keep;
    int64_t eval_tokens;     /* at most so many labels; 0: all */
    bool galore_compat_eval; /* also the figure of published tables: sum of batch means / (batches +
                                1) */
    bool save_last;          /* a checkpoint at the end; false: only those of save_every */
    bool log_flips,
        log_act_zeros; /* per layer into metrics.jsonl: mask flips; zeros after the activation */
    const char *sample_prompt; /* "" : the beginning-of-text token or a newline */
    int64_t sample_tokens;
    double max_seconds; /* 0: no limit; else save and end cleanly once exceeded */
    /* machine */
    int threads;         /* 0: all */
    const char *kernels; /* "op:variant,..." or NULL */
    bool strict_kernels, dry_run;
    bool profile; /* at the end, also of a run that is stopped, and in metrics.jsonl: where the time
                     of the updates went, by kernel */
    const char *resolved; /* JSON object text of all options, kept in run.json */
    /* resume: names of the fields above that were set on purpose ("steps", "lr"); the others are
     * taken from run.json. NULL: those that differ from wn_train_defaults count as set. */
    const char *const *given;
    size_t given_count;
} wn_train_options;

WN_API void wn_train_defaults(wn_train_options *o);

/* For a caller that derives options from others, before it resumes the run in o->out: every field
 * that o->given does not name gets the value the run has recorded, as wn_train would take it.
 * sparsity stays. Texts may point into *out, which is freed after the run. INVALID when there is
 * nothing to resume. */
typedef struct wn_train_record wn_train_record;
WN_API WN_NODISCARD wn_status wn_train_recorded(wn_train_options *o, wn_train_record **out);
WN_API void wn_train_record_free(wn_train_record *record);

/* The LLaMA configurations that low-rank pre-training papers use, by name. */
typedef struct wn_llama_config {
    const char *name; /* "llama_130m" */
    int64_t hidden_size, intermediate_size, layers, heads, vocab_size, max_positions;
} wn_llama_config;
WN_API const wn_llama_config *wn_llama_configs(size_t *count);
/* By "130m", "llama_130m", "configs/llama_130m.json"; NULL if none has that name. */
WN_API const wn_llama_config *wn_llama_config_find(const char *name);

typedef enum wn_train_event_kind {
    WN_EVENT_TEXT, /* text: a line of the header, a table or a note */
    WN_EVENT_STEP, /* an update was made and is due for logging */
    WN_EVENT_EVAL,
    WN_EVENT_MASK,   /* new masks were made since the last such line */
    WN_EVENT_EXACT,  /* an exact step was made: loss before and after on the same batch, fall-backs
                      */
    WN_EVENT_ACT,    /* zeros after the activations */
    WN_EVENT_SAMPLE, /* text */
    WN_EVENT_SAVE    /* text: the directory */
} wn_train_event_kind;

typedef struct wn_train_event {
    wn_train_event_kind kind;
    int64_t step, steps; /* updates done, of */
    double loss, gnorm, lr, seconds /* of this update, or of the eval or save */, tokens_per_second,
        gflops /* executed FLOP/s / 1e9 */, eta;
    double mfu; /* gflops over the measured FMA peak of the threads in use, 0..1; 0 when unknown */
    uint64_t memory;                  /* resident bytes */
    double perplexity, bits_per_byte; /* EVAL; bits_per_byte 0 when the text's bytes are unknown */
    int64_t batches;                  /* EVAL */
    double flips, flips_min, flips_max; /* MASK: shares of positions */
    const char *min_layer, *max_layer;  /* MASK, ACT */
    double zeros, zeros_min, zeros_max,
        dropped;               /* ACT: shares of the activations; of the non-zeros */
    int64_t exact, fell_back;  /* EXACT: pairs; so far in the run */
    double loss_before, moved; /* EXACT: `loss` is the one after; largest ||W_new - W||_F */
    double compat_loss;        /* EVAL, when asked for */
    uint64_t bytes;            /* SAVE */
    const char *text;          /* valid during the call */
} wn_train_event;

/* Called from the training thread. */
typedef void wn_train_fn(void *ctx, const wn_train_event *event);
/* Asked after every update; true: finish, save, return WN_CANCELLED. May read a flag a signal
 * handler sets. NULL: never. */
typedef bool wn_stop_fn(void *ctx);

/* Runs to the end of `steps`. CANCELLED after a clean checkpoint when stopped. A NaN or infinity
 * ends the run with the tensor's name; the last checkpoint stays. */
WN_API WN_NODISCARD wn_status wn_train(const wn_train_options *o, wn_train_fn *fn, wn_stop_fn *stop,
                                       void *ctx);

/* One number series of RUN/metrics.jsonl (or of the file itself): kind "step", "eval", "mask",
 * "exact", "act" or "profile"; y a member's name ("loss"); x "step", "tokens" or "seconds". Arrays
 * are malloc'ed. */
typedef struct wn_series {
    double *x, *y;
    size_t count;
} wn_series;
WN_API WN_NODISCARD wn_status wn_metrics_series(const char *run, const char *kind, const char *x,
                                                const char *y, wn_series *out);
WN_API void wn_series_free(wn_series *s);

#ifdef __cplusplus
}
#endif
#endif
