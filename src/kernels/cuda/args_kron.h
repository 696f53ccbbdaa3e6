// SPDX-License-Identifier: MIT
/* Arguments of the device code of Kronecker-sparse factors, for its host side too.
 *
 * Packed factors. A factor [a,b,c,d] is a d blocks [b,c] of 16-bit numbers, block g = i d + l. Each
 * is cut into tiles of 16 x 16, those of a row of tiles side by side, zeros beyond the block; a
 * tile is 32 times 16 bytes, which lane t of a warp takes as the operand of mma.m16n8k16 that has
 * rows: numbers (t/4, 2(t%4)), (t/4 + 8, same), (t/4, 2(t%4) + 8), (t/4 + 8, same), each with the
 * number right of it. */
#ifndef WN_KERNELS_CUDA_ARGS_KRON_H
#define WN_KERNELS_CUDA_ARGS_KRON_H

#include "tensor/tensor_map.h"
#include <stdint.h>

enum { WN_KRON_TILE = 16, WN_KRON_TILE_BYTES = 512, WN_KRON_PACK_THREADS = 256 };

typedef struct wn__gpu_kron_pack {
    const uint16_t *w;
    uint8_t *tiles;
    int64_t stride[4];
    int a, b, c, d;
    int down, across; /* tiles of a block */
} wn__gpu_kron_pack;

/* One factor on a batch. Strides in elements: of vectors, of features. */
typedef struct wn__gpu_kron_factor {
    const uint16_t *x;
    uint16_t *y;
    const uint8_t *tiles;
    int64_t x_vector, x_feature, y_vector, y_feature;
    int n, a, b, c, d, down, across;
    int wide_in, wide_out; /* whether features come and go 16 bytes at a time */
    int lanes;             /* of wn_kron_lanes: blocks side by side */
    int accumulate;
} wn__gpu_kron_factor;

/* wn_kron_rows: a block of threads takes 64 outputs of one block of the factor and VECTORS vectors.
 * wn_kron_lanes: 64 outputs of 16, 8 or 4 blocks that lie side by side, of 32 vectors or two or
 * four times as many. */
enum {
    WN_KRON_OUTPUTS = 64,
    WN_KRON_ROWS_VECTORS = 256,
    WN_KRON_ROWS_THREADS = 256,
    WN_KRON_ROWS_SHARED = 8 * 2 * 32 * 128,
    WN_KRON_LANES_VECTORS = 32,
    WN_KRON_LANES_THREADS = 512,
    WN_KRON_LANES_SHARED = 5 * 32768,
    WN_KRON_STAGED_SHARED = 6 * 32768, /* of wn_kron_staged: four blocks, from 9.0 on */
    WN_KRON_GRAD_STAGES = 2            /* of copies, from 9.0 on; before that one */
};
#define WN_KRON_GRAD_LANES_SHARED(stages) (((stages) + 2) * 49152)

/* Two or three factors at once, by clusters (sm90a/kron_fused.cu). */
typedef struct wn__gpu_kron_fused {
    const uint16_t *x;
    uint16_t *y;
    const uint16_t *w[3];
    int64_t stride[3][4]; /* of the factors' a, b, c, d */
    int64_t x_vector, y_vector;
    int n, steps; /* vectors; groups of WN_KRON_FUSED_VECTORS of them */
} wn__gpu_kron_fused;
enum {
    WN_KRON_FUSED_CLUSTER = 8,
    WN_KRON_FUSED_VECTORS = 32,
    WN_KRON_FUSED_THREADS = 512,
    WN_KRON_FUSED_FEATURES = 4096,
    WN_KRON_PAIR64_SHARED = 5 * 32768 + 2 * 8 * 4160 + 32,
    WN_KRON_RADIX16_SHARED = 6 * 32768 + 34816 + 32
};

/* Block low rank (sm90a/kron_rank.cu): (s, R t, 64, 1), then (1, 64, R s, t), R 8 or a multiple of
 * 16; or, turned, (1, R t, 64, s), then (t, 64, R s, 1). Steps of 16 of the R s columns of the
 * second factor; tiles of VECTORS vectors and BLOCKS of t. */
enum {
    WN_KRON_RANK_BYTES = 32768, /* packed factors of BLOCKS of t and a step */
    WN_KRON_RANK_THREADS = 384,
    WN_KRON_RANK_VECTORS = 96,
    WN_KRON_RANK_BLOCKS = 8,
    WN_KRON_RANK_SHARED = 224 * 1024
};
/* Strides in elements: of s, t, 0 .. R, inputs and outputs of a block. Which of them neighbouring
 * threads read. */
enum { WN_KRON_FAST_K, WN_KRON_FAST_S, WN_KRON_FAST_T, WN_KRON_FAST_J };
typedef struct wn__gpu_kron_rank_pack {
    const uint16_t *first, *second;
    uint8_t *to;
    int64_t first_s, first_t, first_r, first_k, second_s, second_t, second_r, second_j;
    int s, t, rank, steps;
    int fast_first, fast_second;
} wn__gpu_kron_rank_pack;
/* Of every vector `blocks` matrices [rows, columns], one behind the other, to [columns, rows], both
 * multiples of eight. */
typedef struct wn__gpu_kron_turn {
    const uint16_t *x;
    uint16_t *y;
    int64_t x_vector, y_vector;
    int n, rows, columns;
    int blocks;
} wn__gpu_kron_turn;
/* Vectors of blocks of 64 numbers, one behind the other, on either side. */
typedef struct wn__gpu_kron_rank {
    wn__cu_tensor_map x; /* boxes of VECTORS vectors */
    const uint8_t *factors;
    uint16_t *y;
    int64_t y_vector;
    int n, s, t, steps, tiles;
    int across; /* tiles of the same vectors */
    int share;  /* steps of one s: R / 16, or 1 */
} wn__gpu_kron_rank;

/* Factors of wide blocks (sm90a/kron_wide.cu): of `groups` blocks [b, c] whose numbers lie side by
 * side. Products: y's number j of block g at g group_step + j / run run_step + j % run. Gradients:
 * sums over `vectors` vectors at a time (a multiple of 64), [parts][groups][b][c]. */
typedef struct wn__gpu_kron_product {
    wn__cu_tensor_map rows, columns; /* x and weights; of gradients dy and x */
    uint16_t *y;
    float *sums;
    int64_t y_vector;
    int n, groups, b, c;
    int tiles; /* in all */
    int run, run_step, group_step;
    int vectors;
} wn__gpu_kron_product;
/* A factor's numbers in the order of six indices, the last of which in whole eights; `fast` has the
 * smallest stride. */
typedef struct wn__gpu_kron_order {
    const uint16_t *w;
    uint16_t *to;
    int64_t stride[6];
    int size[6];
    int fast;
} wn__gpu_kron_order;
enum {
    WN_KRON_WIDE_THREADS = 384,
    WN_KRON_WIDE_PACK_THREADS = 256,
    WN_KRON_WIDE_TURN_THREADS = 256
};
#define WN_KRON_WIDE_SHARED(rows, columns, stages)                                                 \
    ((stages) * ((rows) + (columns)) * 128 + 16384 + 16 * (stages))

/* Such factors with blocks of INPUTS inputs and a multiple of 128 outputs, weights in registers
 * (sm90a/kron_held.cu). Side by side: blocks of threads are parts times groups times b / 128, runs
 * multiples of 64. Joined: JOINED blocks are interleaved in y, a cluster has all of them, and
 * `share` says which tiles of vectors it takes of which 128 outputs. */
enum {
    WN_KRON_HELD_INPUTS = 512,
    WN_KRON_HELD_VECTORS = 128,
    WN_KRON_HELD_JOINED = 8,
    WN_KRON_HELD_CLUSTERS = 32,
    WN_KRON_HELD_SHARES = 2,
    WN_KRON_HELD_SHARED = 227 * 1024
};
typedef struct wn__gpu_kron_share {
    int slice, first, end;
} wn__gpu_kron_share;
typedef struct wn__gpu_kron_held {
    wn__cu_tensor_map x, y_map; /* boxes of VECTORS vectors; y_map where not joined */
    const uint16_t *w;          /* [groups][b][INPUTS] */
    uint16_t *y;
    int64_t y_vector;
    int n, groups, b;
    int tiles; /* of vectors */
    int run, run_step, group_step;
    wn__gpu_kron_share share[WN_KRON_HELD_CLUSTERS][WN_KRON_HELD_SHARES];
} wn__gpu_kron_held;

/* The gradient of a factor: strides of x, dy as above, of dw along a, b, c, d. The batch is split:
 * every part leaves its sums, [parts][a d][b][c], which wn_kron_grad_sum adds in their order.
 * wn_kron_grad: 64 x 64 numbers of a block; wn_kron_grad_lanes: 32 x 64 of blocks side by side. */
typedef struct wn__gpu_kron_grad {
    const uint16_t *x, *dy;
    float *sums;
    void *dw;
    int64_t x_vector, x_feature, dy_vector, dy_feature, stride[4];
    int n, a, b, c, d;
    int vectors, parts; /* of a block of threads; of sums */
    int wide_x, wide_dy, lanes;
    int f32; /* what dw holds: float, or the dtype of x */
    int accumulate;
} wn__gpu_kron_grad;
enum {
    WN_KRON_GRAD_TILE = 64,
    WN_KRON_GRAD_THREADS = 256,
    WN_KRON_GRAD_LANES_VECTORS = 16, /* of 16 blocks; of fewer as many times more */
    WN_KRON_GRAD_SUM_THREADS = 256
};

/* Two neighbours multiplied: sizes a, b, c, d of left, right and their product, whose blocks lie
 * one behind the other, [a d][b][c]. */
typedef struct wn__gpu_kron_merge {
    const uint16_t *left, *right;
    uint16_t *to;
    int64_t left_stride[4], right_stride[4];
    int size[3][4];
} wn__gpu_kron_merge;

/* Both gradients of (s, r t, c, 1)(1, b, s r, t) from that of the dense weight, [b t][s c]. */
typedef struct wn__gpu_kron_dense {
    const float *dense;
    const void *w0, *w1; /* of 16 bits, or float32 with gradients alike */
    void *dw0, *dw1;
    int64_t w0_stride[4], w1_stride[4], dw0_stride[4], dw1_stride[4];
    int s, t, r, b, c;
    int f32, accumulate; /* as above */
} wn__gpu_kron_dense;
enum { WN_KRON_WEIGHTS_THREADS = 256, WN_KRON_DENSE_THREADS = 64, WN_KRON_DENSE_SIDE = 64 };

#endif
