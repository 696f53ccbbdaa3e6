// SPDX-License-Identifier: MIT
/* Which tile of a product runs on compute capability 9.0: a model of its cycles, counted on a GPU
 * of 132 processors whatever the GPU is, so that a shape has one plan. (Which tiles are walked
 * backwards depends on the processors there are, so bits are the same on one model of GPU.)
 *
 * Tiles are given out in waves, one to a processor (two neighbours along the features to a
 * cluster). A step of 64 columns takes the longer of its instructions and of its copies from L2; a
 * tile has a start, and an epilogue for each 32 tokens. Where the last wave would have few tiles,
 * the last tokens are cut into narrower ones, which give all processors something to do, or the
 * last features get a launch with a plan of their own behind whole waves of the others, of tiles or
 * of those for few tokens. A sum cut
 * into parts fills processors that would have no tile, and pays for writing all parts and reading
 * them again; or a cluster shares it, whose blocks send each other what they do not finish.
 * Clusters that share tokens make the largest tiles a little faster, and take longer to launch. The
 * constants are fitted to one H200, whose clock falls as power rises: a cycle is one of 1.6 GHz.
 */
#ifndef WN_KERNELS_CUDA_TILES_H
#define WN_KERNELS_CUDA_TILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(rows, tokens, stages): what sm90a/spmm24_blocks.cu and spmm24_blocks_wide.cu are built for. */
#define WN_TILES(X)                                                                                \
    X(128, 256, 4)                                                                                 \
    X(256, 208, 4)                                                                                 \
    X(256, 200, 4)                                                                                 \
    X(256, 192, 4)                                                                                 \
    X(256, 176, 4)                                                                                 \
    X(256, 160, 4)                                                                                 \
    X(256, 128, 5)                                                                                 \
    X(192, 128, 6)                                                                                 \
    X(128, 232, 5) X(128, 208, 6) X(128, 160, 7) X(128, 128, 8) X(128, 64, 12)
/* Tiles whose sum a cluster may share: X(rows, tokens, blocks of threads). */
#define WN_SHARED_TILES(X) X(128, 128, 2) X(128, 128, 4) X(128, 64, 2) X(128, 64, 4)
/* Narrower tiles that may stand behind those of 256 x 192: X(tokens). */
#define WN_NARROW_TILES(X) X(64) X(128)

typedef struct wn__gpu_tile {
    const char *name; /* "128x256" */
    int rows, tokens, stages;
    int warpgroups; /* that multiply */
} wn__gpu_tile;

extern const wn__gpu_tile wn__gpu_tiles[];
enum {
#define WN_TILE(rows, tokens, stages) WN_TILE_##rows##X##tokens,
    WN_TILES(WN_TILE)
#undef WN_TILE
        WN_TILE_COUNT,
    WN_TILE_ANY = -1
};

typedef struct wn__gpu_plan {
    int tile, cluster; /* blocks of threads: 1 or 2 */
    int split;         /* parts of a sum, through memory */
    int shared;        /* or blocks of threads that share it, a cluster of 1, 2 or 4 */
    int rest;          /* tokens of the narrower tiles behind all others, 0: there are none */
    int64_t before;    /* tiles along T in front of them */
    bool crowd;        /* two clusters take all of it: for checks, each has many tiles */
    double cycles;
} wn__gpu_plan;

/* One launch, or two, of which the second takes the features behind those of the first; by a plan
 * for few tokens (few_plan.h) in place of part[1] where `few` says so. */
typedef struct wn__gpu_plans {
    int count;
    bool few;
    wn__gpu_plan part[2];
    int64_t features[2]; /* of each: multiples of a block's but for the last */
    double cycles;
} wn__gpu_plans;

/* Which plans there are to choose from: of one tile or of all, of one cluster or (0) of both, of
 * one sharing or (0) of all; numbers of 2 bytes or of 1. rest: half of the tiles along T are
 * narrower ones of so many tokens, and two clusters take all of them (for checks). parts: 2: two
 * launches of half the features each where there are two blocks of them (for checks). few: 1: the
 * second of two launches may be one of few tokens, and with parts it is. */
typedef struct wn__gpu_plan_wish {
    int tile, cluster, shared, bytes, rest, parts, few;
} wn__gpu_plan_wish;

/* Stages of a tile of such numbers, 0: there is none. */
int wn__gpu_tile_stages(int tile, int bytes);
/* Whether its device code is in the second image of such numbers. */
bool wn__gpu_tile_wide(int tile, int bytes);
/* The fastest plans for T x n results of k columns. */
wn__gpu_plans wn__gpu_plans_of(int64_t T, int64_t n, int64_t k, wn__gpu_plan_wish wish);
/* Tiles of a cluster along n, tiles along T, narrower ones along T. */
void wn__gpu_plan_tiles(const wn__gpu_plan *p, int64_t T, int64_t n, int64_t out[3]);
/* Tokens of its last tile along T, where that has fewer than the others of its kind; else 0. */
int64_t wn__gpu_plan_last(const wn__gpu_plan *p, int64_t T);
/* Bytes of parts of sums: of the launch that has most. */
size_t wn__gpu_plans_workspace(const wn__gpu_plans *p, int64_t T);

#endif
