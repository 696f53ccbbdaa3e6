// SPDX-License-Identifier: MIT
/* 2:4 sparse activations of an MLP without a gate (Haziza et al. 2025, "2:4 activation sparsity").
 *
 *   forward   Y1 = X W1^T, Y2 = act(Y1), Y2s = two of each four consecutive features of a token,
 *             Y3 = Y2s W2^T
 *   backward  dY2 = dY3 W2; dY1 = dY2 act'(Y1) F with F = (Y2s != 0), so that what was dropped
 *             stays dropped; dX = dY1 W1 (dY1 is row-wise 2:4 already);
 *             dW1 = T(dY1)^T X, dW2 = dY3^T T(Y2s)
 *
 * T keeps two of each four tokens of the features with the most zeros after the activation, and
 * everything of the ceil(act_dense width) densest. A fixed random order of the positions of a
 * sequence, the same for every sequence, says which four share a group; nothing is moved, so
 * nothing is undone. Without it (permute off) four consecutive tokens do. Dense for the first
 * act_warmup updates. Backward DIRECT: without T. DENSE: straight through, dY1 = dY2 act'(Y1) and
 * dW2 = dY3^T Y2.
 *
 * What is 2:4 is multiplied as a pack, in training passes and evaluations beside them: Y2s and dY1
 * along features, T(dY1) and T(Y2s) along tokens (nn/product.h). Where that does not pay, which a
 * plan decides by kernels and shapes for each of both layers, its dense form is.
 *
 * An evaluation prunes by magnitude whatever a training pass draws (MVUE), so it is deterministic;
 * before the first sparse training pass chose a scale (SOFT...) it is dense. States: "<name>.order"
 * I32 [seq], all 0 until it is drawn, and "<name>.scale" F64 [1], 0 until it is chosen. */
#ifndef WN_NN_ACT24_H
#define WN_NN_ACT24_H

#include "nn/linear.h"

typedef struct wn__act24 {
    wn__structure structure; /* kind WN_STRUCTURE_ACT24, or DENSE: never sparse */
    char name[WN_NAME_MAX];  /* "model.layers.3.mlp.act" */
    int64_t width;
    int64_t number; /* of the layer before it, for random streams */
    const wn__pass *pass;
    const wn__scratch *scratch;
    bool round16;
    wn_tensor positions; /* I32 [seq]: the order, a state; absent without permute */
    wn_tensor scale;     /* F64 [1], a state; absent but with SOFT... */
    wn_tensor order;     /* I32 [rows]: of the tokens of the pass that goes back */
    wn_tensor zeros;     /* I32 [width] of the last training pass, after the activation; absent
                            but when training with ACT24 or count_zeros */
    wn_tensor dense;     /* U8 [width]: features that stay dense along tokens */
    wn_tensor total;     /* I64 [2]: zeros after the activation, and after pruning */
    wn_tensor dots;      /* F64 [3] */
    wn__state state[2];
    size_t state_count;
    int64_t scaled_at; /* update whose first pass chose the scale; negative: none yet */
    bool sparse;       /* the last forward pass was */
    const char *dense_up, *dense_down; /* why up_proj, down_proj multiply the dense form in passes
                                          of as many tokens as the last; NULL: they read packs */
    double zero_share; /* of the last training pass after the activation; negative: none yet */
    double dropped;    /* share of the non-zeros the forward pruning dropped; negative: none yet, or
                          never sparse */
} wn__act24;

/* Buffers of a block's pass; those of one block may serve another too. */
typedef struct wn__act24_buffers {
    wn_tensor pruned; /* [N, I] Y2s; the activation's own memory where Y2 is not needed again */
    bool apart;       /* it is not */
    wn_tensor mask;   /* U8 [N, ceil(I/4)] of Y2s, for packs; when training */
    wn_tensor soft;   /* [trial rows, I], and [trial rows, C] twice: SOFT_WEIGHTS when training */
    wn_tensor full, part;
} wn__act24_buffers;

/* The activation "<block>.act" of `width` features, numbered as the linear layer before it, which
 * is the next to be built. */
WN_NODISCARD wn_status wn__act24_build(wn__act24 *a, const char *block, int64_t width,
                                       int64_t number, wn__structure_rules *rules, wn__build *b);
/* Adds what this activation needs and s, zeroed or another block's, lacks. act: [N, I] of the MLP;
 * out: columns of what down_proj writes. */
WN_NODISCARD wn_status wn__act24_buffers_alloc(const wn__act24 *a, const wn_tensor *act,
                                               int64_t out, wn__build *b, wn__act24_buffers *s);
/* Whether this structure ever prunes. */
static inline bool wn__act24_given(const wn__act24 *a) {
    return a->structure.kind == WN_STRUCTURE_ACT24;
}

/* Whether an evaluation prunes: after the dense updates, with its scale chosen if it has one. */
bool wn__act24_evaluates(const wn__act24 *a);

/* Looks at the states that a checkpoint brought back: INVALID for a scale that is not finite or an
 * order that is no permutation. */
WN_NODISCARD wn_status wn__act24_restore(wn__act24 *a);
/* Elements of the shared block that packs take: for b->packs24 of the layers before and after. */
int64_t wn__act24_packs(const wn__act24 *a, const wn__build *b);
/* Says which of both layers read packs in passes like that of act[N,I]: before forward. */
WN_NODISCARD wn_status wn__act24_choose(wn__act24 *a, const wn__exec *x, const wn_tensor *act,
                                        const wn__linear *up, const wn__linear *down);
/* What of the operands of up_proj and down_proj is 2:4 in the pass that forward began. */
void wn__act24_operands(const wn__act24 *a, const wn__exec *x, const wn__act24_buffers *s,
                        wn__linear *up, wn__linear *down);
/* Y2 -> Y2s where this pass is sparse (a->sparse); dense, s->pruned is not written. down: the layer
 * that reads it. again: the pass is computed once more and changes nothing. */
WN_NODISCARD wn_status wn__act24_forward(wn__act24 *a, wn__exec *x, const wn_tensor *act,
                                         const wn__act24_buffers *s, wn__linear *down, bool again);
/* Whether the pass that goes back prunes along tokens. */
bool wn__act24_along_tokens(const wn__act24 *a, const wn__exec *x);
/* Says which features stay dense and which tokens share a group, for `rows` tokens in sequences of
 * T: before the first wn__act24_tokens. */
WN_NODISCARD wn_status wn__act24_begin_tokens(wn__act24 *a, wn__exec *x, int64_t rows, int64_t T);
/* out = T(in), [N, I]. */
WN_NODISCARD wn_status wn__act24_tokens(wn__act24 *a, wn__exec *x, const wn_tensor *in,
                                        const wn_tensor *out);
/* dact [N, I] times F, in place, where the structure asks for it. */
WN_NODISCARD wn_status wn__act24_mask(const wn__act24 *a, wn__exec *x, const wn_tensor *pruned,
                                      const wn_tensor *dact);

#endif
