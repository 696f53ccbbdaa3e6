// SPDX-License-Identifier: MIT
/* A model directory taken apart: its configuration, its tensors as the configuration makes them,
 * its files. */
#ifndef WN_PRUNE_LAYERS_H
#define WN_PRUNE_LAYERS_H

#include "formats/hf_sparsity.h"
#include "kernels/runtime.h"
#include "nn/structure.h"

/* A tensor that the model must have. */
typedef struct wn__expected {
    char name[WN_NAME_MAX]; /* "model.layers.0.mlp.up_proj.weight" */
    int ndim;
    int64_t shape[2];
    bool linear; /* the weight of a linear layer; its name without ".weight" is the layer's */
} wn__expected;

typedef struct wn__expected_list {
    wn__expected *item; /* in the order of the model */
    size_t count;
    size_t linear; /* how many are weights of linear layers */
} wn__expected_list;

/* The tensors of a model of this configuration, of the chains that said lists their factors: those
 * that wn__model_load wants. INVALID: a chain that its layer cannot have. */
WN_NODISCARD wn_status wn__expected_make(const wn__model_config *config,
                                         const wn__hf_sparsity *said, wn__runtime *rt,
                                         wn__expected_list *out);
void wn__expected_free(wn__expected_list *list);
/* "model.layers.0.mlp.up_proj" of a linear layer's weight. */
void wn__expected_layer(const wn__expected *e, char out[WN_NAME_MAX]);
/* Tensors a checkpoint may have without the model knowing them: rotary frequencies, a tied head. */
bool wn__expected_ignored(const char *name, const wn__model_config *config);

#endif
