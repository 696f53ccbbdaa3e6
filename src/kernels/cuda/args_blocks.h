// SPDX-License-Identifier: MIT
/* Arguments of the device code that packs and multiplies blocks, for its host side too. */
#ifndef WN_KERNELS_CUDA_ARGS_BLOCKS_H
#define WN_KERNELS_CUDA_ARGS_BLOCKS_H

#include "kernels/cuda/block24.h"
#include "tensor/tensor_map.h"
#include <stdint.h>

typedef struct wn__gpu_block24 {
    const uint16_t *w;
    const uint8_t *mask; /* NULL: the two largest of each group */
    uint8_t *blocks, *blocks_t;
    uint8_t *tiles;                        /* where the mask of exact tiles goes */
    int64_t rows, columns, stride, groups; /* groups of a row of the masks */
    int infinity;                          /* the largest magnitude that is a number */
    unsigned int *fault, number;
} wn__gpu_block24;

/* Rows in 8 bits. */
typedef struct wn__gpu_rows8 {
    const uint16_t *x;
    float *scale;
    uint8_t *y;
    int64_t rows, columns, x_stride, y_stride;
    int64_t scale_stride;  /* of given ones: 0 where there is one */
    unsigned int infinity; /* the magnitude that is one */
    int given;
} wn__gpu_rows8;

/* Packed blocks of 8 bits. */
typedef struct wn__gpu_block8 {
    const uint16_t *w;
    const uint8_t *mask; /* NULL: the two largest of each group */
    float *scale;
    uint8_t *blocks;
    int64_t rows, columns, stride, groups, scale_stride;
    unsigned int infinity;
    int given;
    unsigned int *fault, number;
} wn__gpu_block8;

/* Tokens of a tile that the first of `cluster` processors brings: of two, whole swizzles of eight
 * rows; the second has the rest. */
#define WN_SPMM24_PART(tokens, cluster) ((cluster) == 1 ? (tokens) : ((tokens) + 15) / 16 * 8)
/* Whether a tile has so many sums that no registers are left for anything but whole sums. */
#define WN_SPMM24_WHOLE(rows, tokens, block)                                                       \
    ((rows) * (tokens) > ((int)(block) == WN_BLOCK8_BYTES ? 256 * 176 : 256 * 192))
/* What a warpgroup of a tile stores at once: so many tokens of 64 features, from one of so many
 * buffers. Two where the stages leave no room for more. */
#define WN_SPMM24_LARGE(rows, tokens) ((rows) * (tokens) >= 256 * 128)
#define WN_SPMM24_TIGHT(rows, tokens, block)                                                       \
    ((int)(block) == WN_BLOCK8_BYTES && (rows) * (tokens) > 256 * 192)
#define WN_SPMM24_CHUNK(rows, tokens, block)                                                       \
    (WN_SPMM24_TIGHT(rows, tokens, block) ? 80 : WN_SPMM24_LARGE(rows, tokens) ? 64 : 32)
/* The last chunk of a tile may have fewer tokens. */
#define WN_SPMM24_TAIL(rows, tokens, block)                                                        \
    (((tokens)-1) % WN_SPMM24_CHUNK(rows, tokens, block) + 1)
#define WN_SPMM24_CHUNKS(rows, tokens, block)                                                      \
    (WN_SPMM24_LARGE(rows, tokens) && !WN_SPMM24_TIGHT(rows, tokens, block) ? 3 : 2)
#define WN_SPMM24_SCALES(rows, tokens, warpgroups, block)                                          \
    ((int)(block) == WN_BLOCK8_BYTES && (rows) > 64 * (warpgroups) ? 4 * (tokens) : 0)
/* Bytes of shared memory of a tile on sm_90a, which device code divides (common/spmm24_tile.cuh):
 * stages of 128 bytes a token and of `block` bytes for 64 rows, two barriers a stage, and for each
 * warpgroup its chunks with a barrier each, one barrier more, a word and, in 8 bits where it has
 * two panels, the scales of the tokens. */
#define WN_SPMM24_SHARED(rows, tokens, warpgroups, stages, block)                                  \
    (((stages) * (128 * (tokens) + (rows) / 64 * (block)) + 1023) / 1024 * 1024 + 16 * (stages) +  \
     (warpgroups) * (WN_SPMM24_CHUNKS(rows, tokens, block) *                                       \
                         (WN_SPMM24_CHUNK(rows, tokens, block) * 128 + 8) +                        \
                     12 + WN_SPMM24_SCALES(rows, tokens, warpgroups, block)))

/* The product. One matrix of the work is `rows` x `tokens`, tiles are given to blocks of threads in
 * the order that spmm24_tiles.h describes. */
typedef struct wn__gpu_spmm24_blocks {
    /* sm_90a: boxes of a tile's tokens, of a chunk's, of a chunk's, of a narrower tile's */
    wn__cu_tensor_map x, y, residual, x_rest;
    const uint16_t *x_data, *residual_data; /* sm_80 */
    uint16_t *y_data;
    int64_t x_stride, y_stride, residual_stride;
    const uint8_t *blocks;
    const uint16_t *bias; /* or NULL */
    float *partial;       /* of split sums: [tile][warpgroup][part][128 threads' numbers] */
    unsigned int
        *arrived; /* one zero for each tile and warpgroup when the kernel begins and ends */
    int tokens, rows, columns; /* T, n, k */
    int panels, steps;         /* blocks down and across W */
    int tiles_m, tiles_n;      /* tiles of a cluster's rows, of tokens */
    int group;                 /* tiles along rows that are walked together */
    int split;                 /* parts that the sum of a tile is cut into */
    int cluster;
    int shared; /* blocks of threads, a cluster, that take a part of a tile's sum each */
    /* behind all others, narrower tiles of the tokens that are left, and how many of them there are
     * along rows and along tokens; 0: none */
    int rest, rest_tiles_m, rest_tiles_n;
    int relu2, residual_given, gate;
    int early;                          /* what is ahead lets this launch begin */
    const float *x_scale, *w_scale;     /* of 8-bit operands */
    int x_scale_stride, w_scale_stride; /* 0: one number for all */
    /* sm_90a: boxes of a tile's last chunk, where that has fewer tokens */
    wn__cu_tensor_map y_tail, residual_tail;
    /* Of the last tile along tokens, where it has fewer: a box that goes beyond the matrix takes
     * longer to read than a whole one. What each of a cluster of two copies, and the last chunk. */
    wn__cu_tensor_map x_last[2], residual_last;
    /* What the second of a cluster copies where halves of a tile are no whole swizzles. */
    wn__cu_tensor_map x_second;
} wn__gpu_spmm24_blocks;

#endif
