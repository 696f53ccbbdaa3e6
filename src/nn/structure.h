// SPDX-License-Identifier: MIT
/* What structure a layer has, as written on the command line: 'PATTERN=STRUCTURE'.
 *
 * STRUCTURE is one of
 *
 *   dense
 *   2:4[:tile|row|greedy|sste][+mvue|+mvue-approx][+kept]
 *       "2:4" is 2:4:tile, "2:4:mvue" is 2:4:tile+mvue; +kept is of tile and row, whose masks are
 *       frozen at some update: from then on no gradient of what they drop
 *   lowrank:R[+2:4[:in|out]][+mvue|+mvue-approx]
 *       factors of rank R; +2:4: S-STE on both of them, or on one
 *   adapter:R[:ALPHA]
 *       the weight frozen, plus (ALPHA/R) M N^T; ALPHA above 0, without it R
 *   in2:4:soft|mvue[+mvue|+mvue-approx|+dense-dw]
 *       dense weights, 2:4 inputs in the forward pass. +mvue is meant unless another is written:
 *       the method has always pruned the output gradient of the weight's product; +dense-dw: not
 *   kron:butterfly[+lowrank:K] | kron:monarch:B[xC][:R][+lowrank:K]
 *       a chain of Kronecker-sparse factors: dyadic ones of a square power of two, or two with
 *       blocks of B rows and C columns (without it B) of rank R (without it 1); +lowrank: a head of
 *       rank K is added to it
 *   act2:4[:naive|mvue|soft|soft_weights|soft_dynamic]
 *       2:4 activations of an MLP without a gate
 *
 * PATTERN is a glob (fnmatch) matched against a layer's full name ("model.layers.3.mlp.up_proj")
 * and against each of its suffixes that begin after a dot, so 'mlp.*' means every MLP layer. act2:4
 * rules are matched against the activation's name, "model.layers.3.mlp.act"; the others never are.
 * Of each sort the last matching rule wins. */
#ifndef WN_NN_STRUCTURE_H
#define WN_NN_STRUCTURE_H

#include "kernels/mask24.h"
#include "winnow/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum wn__structure_kind {
    WN_STRUCTURE_DENSE,
    WN_STRUCTURE_SPARSE24, /* a mask over the master, straight-through */
    WN_STRUCTURE_SSTE,     /* beta S(W), straight-through */
    WN_STRUCTURE_LOWRANK,
    WN_STRUCTURE_ADAPTER,
    WN_STRUCTURE_IN24, /* dense weights, 2:4 inputs */
    WN_STRUCTURE_KRON,
    WN_STRUCTURE_ACT24 /* of an activation */
} wn__structure_kind;

/* How the output gradient is pruned along tokens before the weight-gradient product. */
typedef enum wn__mvue { WN_MVUE_OFF, WN_MVUE_EXACT, WN_MVUE_APPROX } wn__mvue;

typedef enum wn__in24_method {
    WN_IN24_SOFT, /* scale by S-STE's rule from the first training batch, frozen */
    WN_IN24_MVUE  /* unbiased random pruning in training, by magnitude in evaluation */
} wn__in24_method;

typedef enum wn__act24_method {
    WN_ACT24_NAIVE,
    WN_ACT24_MVUE,
    WN_ACT24_SOFT,         /* scale by S-STE's rule from the first sparse batch, frozen */
    WN_ACT24_SOFT_WEIGHTS, /* scale that brings the MLP's output nearest, from the first sparse
                              batch, frozen */
    WN_ACT24_SOFT_DYNAMIC  /* S-STE's rule again every act_every updates on act_samples rows */
} wn__act24_method;

/* How W's gradient products treat sparse activations (--dx_direct_sparse). */
typedef enum wn__act24_backward {
    WN_ACT24_SPLIT = 1, /* the paper: forward mask first; 2:4 along tokens for the sparsest
                           features, the rest dense */
    WN_ACT24_DIRECT,    /* row-wise 2:4 everywhere: no pruning along tokens */
    WN_ACT24_DENSE      /* unpruned activations and gradients, straight-through */
} wn__act24_backward;

/* When the frozen scales of S-STE factors are computed again. */
typedef enum wn__scale_rule {
    WN_SCALE_FROZEN,  /* never */
    WN_SCALE_AT_EXACT /* after every exact step */
} wn__scale_rule;

typedef struct wn__structure {
    wn__structure_kind kind;
    wn__mask24_method method; /* SPARSE24 */
    int64_t mask_every;       /* recompute the mask every N optimizer steps, >= 1 */
    int64_t freeze_after;     /* no new masks from this step on; 0: never frozen */
    int64_t dense_after; /* SPARSE24: plain dense weights from this update on (dense fine-tuning);
                            0: never */
    double decay;        /* masked decay lambda (SR-STE), 0: off */
    wn__mvue mvue;       /* SPARSE24, SSTE, LOWRANK (both factors, sparse or not), IN24 */
    bool kept; /* SPARSE24: from freeze_after on the weight gradient at kept places only, not drawn
                */
    bool scale_norm; /* S-STE's scale keeps the norm instead of being nearest */
    wn__scale_rule scale_rule;
    bool fp8; /* products in simulated FP8: e4m3 forward, e5m2 gradients */
    /* LOWRANK, ADAPTER; KRON: of each block */
    int64_t rank;
    int64_t kron_b, kron_c;     /* KRON: sizes of the blocks; 0: a butterfly */
    int64_t kron_head;          /* KRON: rank of what is added to the chain; 0: nothing */
    double alpha;               /* ADAPTER: the product counts alpha / rank */
    bool sparse_in, sparse_out; /* LOWRANK: the factors that are 2:4 */
    const char *init;           /* "xavier" and so on: wn__lowrank_init_parse; borrowed */
    wn__in24_method in24;       /* IN24 */
    /* ACT24 */
    wn__act24_method act;
    wn__act24_backward backward;
    bool permute;                   /* a fixed random order of tokens says who shares a group */
    int64_t act_warmup;             /* dense updates first */
    double act_dense;               /* share of the features that stay dense along tokens, 0.05 */
    int64_t act_every, act_samples; /* SOFT_DYNAMIC */
} wn__structure;

/* Every default: dense, masks every update, act2:4 after 1000 dense updates with 5 % dense features
 * ... */
wn__structure wn__structure_defaults(void);

typedef struct wn__structure_rule {
    char *pattern;
    char *text; /* the structure as written */
    wn__structure structure;
    bool matched; /* set by wn__structure_of */
} wn__structure_rule;

typedef struct wn__structure_rules {
    wn__structure_rule *rule;
    size_t count;
    wn__structure base; /* what layers without a rule take their numbers from (fp8) */
} wn__structure_rules;

/* Parses "2:4:tile" with the defaults of base for the rest. INVALID names the text and lists what
 * is legal. */
WN_NODISCARD wn_status wn__structure_parse(const char *text, const wn__structure *base,
                                           wn__structure *out);
/* Parses 'PATTERN=STRUCTURE' strings. */
WN_NODISCARD wn_status wn__structure_rules_parse(const char *const *text, size_t count,
                                                 const wn__structure *base,
                                                 wn__structure_rules *out);
void wn__structure_rules_free(wn__structure_rules *rules);
/* The structure of a linear layer; dense when no rule matches. */
wn__structure wn__structure_of(wn__structure_rules *rules, const char *layer);
/* The structure of an activation; kind DENSE when no act2:4 rule matches. */
wn__structure wn__structure_of_activation(wn__structure_rules *rules, const char *name);
/* INVALID names the first rule that nothing matched and lists the names given (layers and
 * activations). Call after every layer was looked up. */
WN_NODISCARD wn_status wn__structure_rules_unmatched(const wn__structure_rules *rules,
                                                     const char *const *layers, size_t count);
#define WN_STRUCTURE_NAME 64 /* bytes that hold any such name */
/* "dense", "2:4 tile + mvue", "lowrank 64 + 2:4" into out[n]; returns out. */
const char *wn__structure_name(const wn__structure *s, char *out, size_t n);
/* How activations or inputs are pruned, as written after act2:4: and in2:4: ("soft"); NULL for
 * other structures. */
const char *wn__structure_method(const wn__structure *s);

#endif
