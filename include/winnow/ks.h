// SPDX-License-Identifier: MIT
/* Chains of Kronecker-sparse factors in place of one dense weight, or of the layers of a model:
 * fitting them, in closed form or by gradients, and files that torch reads. */
#ifndef WINNOW_KS_H
#define WINNOW_KS_H

#include "winnow/train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All strings are borrowed for the call; NULL stands for the default in brackets. */
typedef struct wn_ks_options {
    const char *tensor; /* which one of the file; NULL: its only matrix */
    const char *chain;  /* "legacy" (a butterfly of the next power of two behind bottlenecks of
                           `rank`) [that], "butterfly", or "monarch:B[xC][:R]", blocks of B rows and
                           C  columns of rank R [R 1, C B]; "+lowrank:K" behind it: a head of rank K
                           is found first and added, and the chain is fitted to the rest */
    int64_t rank;       /* of legacy's bottlenecks */
    const char *method; /* "svd": closed form; "als": alternating least squares from there, at most
                           `epochs` sweeps; "sgd": gradients from random factors; "auto": closed
                           form, then gradients where that is not the optimum; PREFIX_best.pth is
                           never above the closed form [auto] */
    const char *data;   /* what gradients see: "random", normal vectors, or "exact", the scaled unit
                           vectors, whose mean loss is that of all normal vectors [random; of auto
                           exact] */
    const char *calib;  /* inputs the layer really gets, a matrix [n, in] in a .pth or .safetensors:
                           the error is that of its outputs on them, tr((W - P) H (W - P)^T) with H =
                           X^T X / n and a hundredth of its mean diagonal added, instead of that of
                           the weight; `data` and the samples do not count then. Another file is a
                           text: path is a model directory then, whose own tokenizer reads it, and
                           `tensor` the weight of one of its layers */
    int64_t calib_tokens, seq_len; /* of a text: looked at (0: all), and in a window (0: 256, or the
                                      positions of a model that has fewer) */
    double data_std;               /* standard deviation of an input */
    int64_t samples;               /* random vectors, of which a share of val_split is held out */
    double val_split;
    bool batch_last;    /* activations lie [features, batch] */
    const char *impl;   /* "triton": the fused kernels; "bmm": permuted copies and batched products,
                           where this build has a CBLAS, on a GPU where cuBLASLt is found
                           [triton] */
    const char *dtype;  /* float32, or float16 and bfloat16: rounded weights over float32 masters
                           [float32; on a GPU float16] */
    const char *device; /* "cpu", or "cuda" and "cuda:N": gradients run on an NVIDIA GPU, vectors
                           and what lies between factors in the dtype; where there is none, and in
                           closed forms, the log says so and the processor runs [cpu] */
    int64_t batch_size, epochs;
    double lr, weight_decay;
    const char *optimizer; /* adamw, adam, sgd (momentum 0.9) [adamw] */
    const char *scheduler; /* plateau, cosine, step, none [plateau] */
    int64_t patience;      /* plateau */
    double factor;
    int64_t step_size; /* step */
    double gamma;
    double max_grad_norm;   /* 0: no clipping */
    const char *output_dir; /* ["./trained_models"] */
    const char *prefix;     /* of file names ["ks_chain"] */
    int64_t save_interval;  /* epochs between checkpoints; 0: none but the best and the final one */
    int64_t log_interval;   /* batches between calls within an epoch; 0: none */
    const char *resume;     /* a checkpoint written here, to go on from bit for bit, or one of the
                               original, whose factors, moments, rate and epoch are taken */
    uint64_t seed;
    int threads;      /* 0: all. The result never depends on it */
    wn_stop_fn *stop; /* asked after each epoch, with the callback's ctx: whether to write
                         PREFIX_epoch_N.pth and return CANCELLED; on a processor also after each
                         batch of the first: whether to do so with nothing written; NULL: never */
} wn_ks_options;

/* After each epoch, and every log_interval batches in it. */
typedef struct wn_ks_epoch {
    int64_t epoch, epochs;  /* from 1 */
    int64_t batch, batches; /* within an epoch: those that are over, of; means are over them,
                               val_loss and best are not known yet. After it: 0 */
    double train_loss, val_loss;
    double grad_norm;          /* of the factors, before clipping; mean over the batches */
    const double *factor_norm; /* [factors] likewise */
    int factors;
    double lr;      /* of this epoch */
    bool best;      /* so far */
    double seconds; /* of one update, without the evaluation */
} wn_ks_epoch;
typedef void wn_ks_fn(void *ctx, const wn_ks_epoch *epoch);

typedef struct wn_ks_result {
    int64_t out, in, dense, params; /* params without the bias */
    int factors;
    double ratio, saved;     /* dense / params; 1 - params / dense */
    double relative_error;   /* ||W - product||_F / ||W||_F of what was written last */
    double activation_error; /* the same of the outputs on the calibration's inputs; else 0 */
    double least;            /* closed form: no chain of these patterns has a smaller one; else 0 */
    double val_loss, best_val_loss;
    int64_t best_epoch; /* 0: none, or the closed form's */
    int64_t sweeps;     /* of alternating least squares; else 0 */
    char final_path[1024];
    double seconds;
} wn_ks_result;

/* Fits a chain to a matrix [out, in] of a .pth, a .safetensors or a Hugging Face directory. Writes
 * PREFIX_best.pth, PREFIX_final.pth, PREFIX_epoch_N.pth, PREFIX_training_log.json and
 * PREFIX_rank_R_loss_curves.json and .csv into output_dir; a closed form alone writes the best one,
 * which is the final one, and the log. Loss: the mean over batch and outputs of the squared
 * difference to x W^T; with inputs of standard deviation s its expectation is s^2 ||W -
 * product||_F^2 / out.
 *
 * What a fit that was killed left half written under these names is removed.
 *
 * INVALID: an option, with what is legal; a weight that is no finite matrix; a checkpoint of
 * another chain; output_dir and prefix of a fit that is running. FORMAT, IO, UNSUPPORTED name the
 * file. */
WN_API WN_NODISCARD wn_status wn_ks_fit(const char *path, const wn_ks_options *o, wn_ks_fn *fn,
                                        void *ctx, wn_ks_result *out);

/* Every matching layer of a model. A zeroed struct asks for nothing yet: out, calib and a rule are
 * needed, and the numbers without a default in brackets. */
typedef struct wn_ks_apply_options {
    const char *out;             /* model directory to make */
    const char *const *sparsity; /* 'PATTERN=kron:monarch:B[xC][:R]', kron:butterfly, both perhaps
                                    with +lowrank:K, or dense; the last match wins, layers that
                                    none matches stay dense */
    size_t sparsity_count;
    double ratio; /* parameters of the matched monarch layers together over those they had: ranks
                     (and larger blocks, where rank 1 is too much) are chosen to stay below; 0: as
                     the rules say */
    bool search;  /* each layer also tries larger blocks with ranks that cost no more, up to the
                     whole weight, which is low rank, and takes the nearest */
    const char *calib;     /* text whose activations count, and that recovery trains on */
    int64_t calib_tokens;  /* looked at; 0: all */
    const char *eval_data; /* held-out text; NULL: the last eval_fraction of calib */
    double eval_fraction;
    int64_t seq_len; /* 0: 256, or the positions of a model that has fewer */
    int64_t batch_size;
    int64_t rounds;  /* of alternating least squares for each layer, at most */
    int64_t recover; /* updates of training after the fit; 0: none */
    double recover_lr;
    double distill_weight, distill_temperature; /* of their loss, the share of the dense model's
                                                   probabilities (0: the text alone), and what
                                                   softens them: wn_train_options */
    bool merge; /* products in place of factors: a dense model that every tool reads */
    bool force; /* replace what is at out, as in wn_prune_options */
    uint64_t seed;
    int threads; /* 0: all. The fit never depends on it */
} wn_ks_apply_options;

/* One layer; errors are relative, of the weight ||W - P||_F / ||W||_F, of the outputs the same
 * on what the layer reads when those before it are chains. */
typedef struct wn_ks_layer {
    const char *name, *chain; /* "monarch:32:4+lowrank:8"; valid in the callback */
    int64_t out, in, params;
    double plain_weight, plain_outputs; /* closed form that knows no inputs */
    double weight, outputs;             /* of what was taken */
    int64_t lowrank;                    /* rank of as many parameters */
    double lowrank_outputs;             /* the least any weight of that rank has */
    double seconds;
} wn_ks_layer;

/* What happens: a layer is done (layer), a loss is known (stage: "before", "fitted", "recovered"),
 * or recovery trains (train). The others are NULL. */
typedef struct wn_ks_progress {
    const wn_ks_layer *layer;
    const char *stage;
    double loss;
    int64_t tokens;
    const wn_train_event *train;
} wn_ks_progress;
typedef void wn_ks_apply_fn(void *ctx, const wn_ks_progress *p);

typedef struct wn_ks_applied {
    size_t layers, linear_layers;
    int64_t dense, params;                           /* of the matched layers, before and after */
    double ratio;                                    /* params / dense */
    double loss_before, loss_fitted, loss_recovered; /* nats a held-out token; recovered 0: not
                                                        asked for */
    int64_t calib_tokens, eval_tokens;
    uint64_t bytes_before, bytes; /* of the weights' files */
    double seconds;
} wn_ks_applied;

/* Puts chains in place of the matched layers, in the order of the model: each is fitted to the
 * outputs on what it reads once those before it are chains (sparse/kron_inputs.h; with a head
 * sparse/kron_head.h). The model at path is a Hugging Face directory or a run, dense, with a
 * tokenizer. out gets the factors as "LAYER.factor_N", heads as "LAYER.head_in" and
 * "LAYER.head_out", and config.json says so: wn_session_open runs them as chains, wn_train goes on
 * with them. Everything is written under a temporary name and renamed.
 *
 * INVALID: a rule that matches nothing or is no chain, with the nearest sizes that are; a ratio
 * that cannot be reached; a text that is too short. */
WN_API WN_NODISCARD wn_status wn_ks_apply(const char *path, const wn_ks_apply_options *o,
                                          wn_ks_apply_fn *fn, wn_stop_fn *stop, void *ctx,
                                          wn_ks_applied *out);

#ifdef __cplusplus
}
#endif
#endif
