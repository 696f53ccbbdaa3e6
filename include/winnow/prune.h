// SPDX-License-Identifier: MIT
/* Pruning a trained model to 2:4 in one pass, and checking what a model directory says of itself.
 *
 * Both work on Hugging Face directories of the Llama family (or a run directory: its `latest`), one
 * safetensors file or shards, tensor by tensor: memory is that of the largest tensor, whatever the
 * model's size. */
#ifndef WINNOW_PRUNE_H
#define WINNOW_PRUNE_H

#include "winnow/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All strings are borrowed for the call. A zeroed struct prunes nothing yet: out is needed, unless
 * dry_run. */
typedef struct wn_prune_options {
    const char *out;     /* directory to make */
    const char *method;  /* "magnitude"; NULL: that */
    const char *pattern; /* of every linear layer of the decoder's blocks (not of embeddings, head
                            and norms): "row", two of every four along a row, or "tile", two of
                            every four along rows and columns; NULL: "row", or what sparsity says */
    const char *const *sparsity; /* instead of pattern: 'PATTERN=STRUCTURE' as in training, the last
                                    match wins, layers that none matches stay as they are; STRUCTURE
                                    is dense, 2:4:row or 2:4:tile */
    size_t sparsity_count;
    bool force;          /* replace what is there: an empty directory, or a model with nothing in it
                            that pruning does not write or copy itself */
    bool dry_run;        /* the report alone: nothing is written */
    int threads;         /* 0: all. The result never depends on it */
    const char *kernels; /* "op:variant,..." or NULL */
} wn_prune_options;

/* One layer that was pruned. */
typedef struct wn_prune_layer {
    const char *name;         /* "model.layers.0.mlp.up_proj"; valid in the callback */
    const char *pattern;      /* "row" or "tile" */
    const char *dtype;        /* "BF16": the file keeps it */
    int64_t out, in;          /* the weight is [out, in] */
    double magnitude, energy; /* sum |w| and sum w^2 that is left, as shares of what was there; 1
                                 for a weight of zeros */
    double zeros_before;      /* share of zeros that was there */
    double zeros;             /* share of zeros now: at least a half */
    uint64_t dense_bytes;     /* of the weight in the file, before and after */
    uint64_t packed_bytes;    /* of its packed form: values and positions */
} wn_prune_layer;
typedef void wn_prune_fn(void *ctx, const wn_prune_layer *layer);

typedef struct wn_prune_result {
    size_t layers;                                 /* pruned */
    size_t linear_layers;                          /* of the model */
    int64_t weights;                               /* of the pruned layers */
    double magnitude, energy, zeros_before, zeros; /* over all pruned layers */
    uint64_t dense_bytes, packed_bytes;            /* of the pruned layers */
    uint64_t other_bytes;                          /* of every other tensor */
    size_t tensors, files; /* tensors of the model, and safetensors files they lie in */
    double seconds;
} wn_prune_result;

/* Writes a copy of the model at path whose chosen layers are 2:4 by magnitude: of four neighbours
 * along the input dimension the two of largest |w| stay, ties to the lower index ("row"); of a tile
 * of 4 x 4 those of the 90 masks with two in every row and column that keep the largest sum of |w|
 * ("tile"). Zeros are written out, every tensor keeps its dtype and its file, tensors that are not
 * chosen are the same bits. config.json gains a list of the layers ("winnow": "weight_sparsity");
 * of a list that was there the layers that are not chosen stay where their weights are as it says
 * (the log names the others). Tokenizer, generation and licence files are copied, training states
 * and other weights are not (the log names them). The directory is written under a temporary name,
 * synced and renamed: on failure nothing is left. Calls fn after each layer, in the order of the
 * files.
 *
 * INVALID: out is there (without force), is not a model directory, holds anything else (the first
 * such entry), lies in the model's or around it; a rule matches no layer or is not one of those
 * structures; a layer whose sizes are not multiples of four, with the nearest that are; a weight
 * that is NaN or infinite, with tensor, row and column. FORMAT, IO, UNSUPPORTED name the file. */
WN_API WN_NODISCARD wn_status wn_prune(const char *path, const wn_prune_options *o, wn_prune_fn *fn,
                                       void *ctx, wn_prune_result *out);

/* What was found out about one tensor, or (name NULL) about the directory as a whole. Valid in the
 * callback. */
typedef struct wn_validate_item {
    const char *name; /* "model.layers.0.mlp.up_proj.weight" */
    const char *file; /* "model.safetensors"; "" when the tensor is missing */
    const char *dtype;
    int ndim;
    int64_t shape[WN_MAX_DIMS];
    bool linear;                /* the weight of a linear layer */
    bool is24, is24_transposed; /* of those: at most two non-zeros in every four along rows; along
                                   columns */
    const char *recorded;       /* what config.json says of it: "row", "tile", or NULL */
    double zeros;               /* share */
    const char *const *problem; /* what is wrong, as text */
    size_t problems;
} wn_validate_item;
typedef void wn_validate_fn(void *ctx, const wn_validate_item *item);

typedef struct wn_validate_result {
    size_t tensors, linear_layers, sparse_layers; /* in the directory; of them 2:4 along rows */
    size_t recorded;                              /* layers that config.json says are 2:4 */
    size_t problems;                              /* 0: the model is what it says it is */
} wn_validate_result;

/* Checks a model directory: config.json and what it records; that the shards and their index agree;
 * that the tensors are those the configuration makes, each with its shape, a floating-point dtype
 * and finite values; that every layer recorded as 2:4 is (along rows; for "tile" along columns
 * too). Calls fn for each tensor in the order of the model, then for those that belong to nothing,
 * and before them (name NULL) for what is wrong with the directory. Returns an error only when
 * there is no model directory at path or no memory to check it with; what is wrong counts in *out.
 * threads 0: all. */
WN_API WN_NODISCARD wn_status wn_validate(const char *path, int threads, wn_validate_fn *fn,
                                          void *ctx, wn_validate_result *out);

#ifdef __cplusplus
}
#endif
#endif
