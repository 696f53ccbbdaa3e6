// SPDX-License-Identifier: MIT
/* 2:4 sparse activations of an MLP without a gate (Haziza et al. 2025, "2:4 activation sparsity").
 *
 *   forward   Y1 = X W1^T, Y2 = act(Y1), Y2s = the two largest of each 4 consecutive features of a
 * token, Y3 = Y2s W2^T backward  dY2 = dY3 W2, dY1 = dY2 act'(Y1) F with F the forward mask first,
 * so that what was dropped stays dropped; dX = dY1 W1 (dY1 is row-wise 2:4 already); dW1 = T(dY1)^T
 * X, dW2 = dY3^T T(Y2s), where T keeps two of each four tokens for the sparsest features (by zeros
 * after the activation) and everything for the densest share A fixed random order of the tokens of
 * a sequence, the same for every sequence, says which four share a group; nothing is moved, so
 * nothing is undone. Dense for the first act_warmup updates. An evaluation prunes by magnitude
 * whatever the training method draws. States: "<name>.order" I32 [seq], "<name>.scale" F64 [1] (0:
 * not chosen yet). */
#ifndef WN_NN_ACT24_H
#define WN_NN_ACT24_H

#include "nn/linear.h"

typedef struct wn__act24 {
    wn__structure structure; /* kind WN_STRUCTURE_ACT24, or DENSE: never sparse */
    char name[WN_NAME_MAX];  /* "model.layers.3.mlp.act" */
    int64_t width, number;
    const wn__pass *pass;
    const wn__scratch *scratch;
    bool relu2;             /* squared ReLU, else ReLU */
    wn_tensor mask;         /* U8 [rows, ceil(width/4)]: F of the last forward pass of this block */
    wn_tensor pruned;       /* [rows, width] Y2s, when training */
    wn_tensor order;        /* I32 [rows]: of the pass, built from seq_order */
    wn_tensor zeros, dense; /* I32 [width], U8 [width] */
    wn_tensor total;        /* I64 [1]: zeros of the last pass */
    wn__state state[2];
    size_t state_count;
    bool sparse;       /* the last forward pass was */
    double zero_share; /* of the last training pass after the activation; negative: none yet */
    double dropped;    /* share of the non-zeros the forward pruning dropped; negative: none yet */
} wn__act24;

#endif
