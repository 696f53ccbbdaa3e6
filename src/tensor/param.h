// SPDX-License-Identifier: MIT
/* Trained tensors by name: what nn builds and optim updates. */
#ifndef WN_TENSOR_PARAM_H
#define WN_TENSOR_PARAM_H

#include "tensor/tensor.h"

#define WN_NAME_MAX 128

typedef struct wn__param {
    char name[WN_NAME_MAX]; /* Hugging Face's: "model.layers.0.mlp.up_proj.weight" */
    wn_tensor w;            /* master values */
    wn_tensor g;            /* gradient, added to by backward; absent when not training */
    wn_tensor m, v;         /* AdamW moments; absent when not training */
    bool decay;             /* weight decay applies: matrices yes, norms and biases no */
} wn__param;

/* A list that grows while a model is built; addresses are stable only afterwards. */
typedef struct wn__params {
    wn__param *item;
    size_t count, capacity;
} wn__params;

/* A zeroed one at the end of the list; *index receives its number. */
WN_NODISCARD wn_status wn__params_append(wn__params *p, size_t *index);
wn__param *wn__params_find(const wn__params *p, const char *name); /* NULL if absent */
void wn__params_free(wn__params *p);

#endif
