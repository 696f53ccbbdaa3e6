// SPDX-License-Identifier: MIT
/* How a product of few tokens runs on compute capability 9.0 (args_few.h): a model of its
 * microseconds, counted on an H200's 132 processors whatever the GPU is, so that a shape has one
 * plan and one set of bits.
 *
 * Thread blocks hold a tile each; one or two share a processor, what finds no room follows. A stage
 * takes the longest of its copies (weights come from L2 more slowly than tokens, which all
 * processors ask for at once), its products, and its latency over the stages that are on their way;
 * all stages together no less than memory needs for the weights, where those are cold, and a little
 * more than either where L2 cannot hold them. Beside that a launch, the results of a tile, and
 * where a sum is divided the cluster's exchange. */
#ifndef WN_KERNELS_CUDA_FEW_PLAN_H
#define WN_KERNELS_CUDA_FEW_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WN_FEW_ANY = -1,
    WN_FEW_TOKENS_COLD = 64,   /* so few tokens are taken for a session's, whose weights are cold */
    WN_FEW_TOKENS_MOST = 1536, /* more are the business of tiles.h */
    WN_FEW_TOKENS_MOST8 = 4096 /* the same of numbers of 1 byte */
};

typedef struct wn__few_shape {
    int panels, tokens, halves, deep, most; /* as in WN_FEW_SHAPES; a panel: 64 outputs */
} wn__few_shape;

/* In the order of WN_FEW_SHAPES. */
extern const wn__few_shape wn__few_shapes[];
extern const int wn__few_shape_count;

typedef struct wn__few_plan {
    int shape, split, each; /* each: thread blocks that share a processor */
    bool apart;             /* what they send each other takes no stage's place */
    int box; /* tokens of a tile: as many tiles as there must be have about as many each */
    int stages;
    int rounds; /* of thread blocks, one after the other */
    int kept;   /* of blocks in L2: WN_FEW_KEPT and so on */
    unsigned shared_bytes;
    double us;
} wn__few_plan;

/* The fastest plan for T x n results of k columns of numbers of 1 or 2 bytes, of one shape or of
 * all; rounds 0: there is none. */
wn__few_plan wn__few_plan_of(int64_t T, int64_t n, int64_t k, int bytes, int shape);
/* Whether that is faster than the plan of tiles.h: always up to 64 tokens, never of more than 1536,
 * of 1 byte 4096. */
bool wn__few_is_faster(int64_t T, int64_t n, int64_t k, int bytes);

/* What it takes behind a launch of tiles, and beyond that one's launch, in their cycles. */
double wn__few_behind(const wn__few_plan *few, int bytes);

#endif
