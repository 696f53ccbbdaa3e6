// SPDX-License-Identifier: MIT
/* Trained tensors by name: what nn builds and optim updates. */
#ifndef WN_TENSOR_PARAM_H
#define WN_TENSOR_PARAM_H

#include "tensor/tensor.h"

#define WN_NAME_MAX 128

/* How an optimizer treats a parameter. The two factors of W = M N^T know each other. */
typedef enum wn__param_role {
    WN_PARAM_REGULAR,
    WN_PARAM_LOWRANK_IN,  /* N^T [r, in] of a layer */
    WN_PARAM_LOWRANK_OUT, /* M [out, r] */
    WN_PARAM_FROZEN       /* never updated: no gradient, no state */
} wn__param_role;

#define WN_PARAM_STATES 4

/* The 2:4 packs of a parameter (kernels/adamw24.h), which an optimizer may bring up to date while
 * it has the parameter in hand. */
typedef struct wn__param_packs {
    wn_tensor mask; /* absent: there are none */
    wn_tensor values, index, values_t, index_t;
    bool rests; /* the layer says: packed under this mask after the next update */
    bool done;  /* the optimizer says: so it was */
} wn__param_packs;

typedef struct wn__param {
    char name[WN_NAME_MAX]; /* Hugging Face's: "model.layers.0.mlp.up_proj.weight" */
    wn_tensor w;            /* what layers read: of the master's dtype, or BF16 */
    wn_tensor master;       /* fp32 values behind a rounded w; absent: w is the master itself */
    wn_tensor g;            /* gradient, added to by backward; absent when not training or frozen */
    wn_tensor state[WN_PARAM_STATES]; /* the optimizer's; absent ones are not used. AdamW: m, v */
    wn__param_role role;
    size_t partner;  /* of a factor: the other one's number */
    bool decay;      /* weight decay applies: matrices yes, norms and biases no */
    bool by_product; /* every backward pass multiplies into g before anything else adds to it, so
                        that zeroing g needs no pass over memory */
    bool fresh; /* such a g counts as zeros, whatever it holds: the next product overwrites it */
    wn__param_packs packs; /* of w, where w is the master itself */
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
/* What an optimizer changes and a checkpoint keeps: master where there is one, else w. */
const wn_tensor *wn__param_master(const wn__param *p);

#endif
