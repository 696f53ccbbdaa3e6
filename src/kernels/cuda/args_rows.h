// SPDX-License-Identifier: MIT
/* Arguments of the device code of spmm24_blocks_rows and mvue24_blocks, for its host side too. */
#ifndef WN_KERNELS_CUDA_ARGS_ROWS_H
#define WN_KERNELS_CUDA_ARGS_ROWS_H

#include "kernels/cuda/args24.h"
#include "tensor/tensor_map.h"
#include <stdint.h>

/* X(rows, columns, stages): the tiles that sm90a/blocks_rows.cu is built for. */
#define WN_ROWS_TILES(X) X(128, 256, 5) X(256, 192, 5) X(128, 128, 8)

/* Bytes of shared memory of such a tile, which device code divides (common/blocks_rows.cuh): stages
 * of 128 bytes a column and of blocks of `block` bytes, 2 KiB for each of eight warps, two barriers
 * a stage, a word for each of two warpgroups. */
#define WN_ROWS_SHARED(rows, columns, stages, block)                                               \
    (((stages) * (128 * (columns) + (rows) / 64 * (block)) + 1023) / 1024 * 1024 + 8 * 2048 +      \
     16 * (stages) + 8)

/* c (+)= S b. b lies along its columns (boxes of 64 x 64) or along its rows, then it is read as its
 * transpose [m,k] (boxes of 64 of k and as many of m as a tile has; the last tile, where it has
 * fewer, has boxes of its own: one that goes beyond the matrix takes longer than a whole one). */
typedef struct wn__gpu_blocks_rows {
    wn__cu_tensor_map b, b_last, c; /* sm_90a; c of 16 bits: boxes of 16 rows by 64 columns */
    const uint16_t *b_data;         /* sm_80 */
    int64_t b_stride;               /* of columns of b, or of its rows where `across` */
    void *c_data;
    int64_t c_stride;
    const uint8_t *blocks;
    float *partial;        /* of split sums: [tile][warpgroup][part][128 threads' numbers] */
    unsigned int *arrived; /* a zero for each tile and warpgroup when the kernel begins and ends */
    int rows, columns, depth; /* n, m, k */
    int panels, steps;        /* blocks down and across S */
    int tiles_m, tiles_n;     /* tiles along n, along m */
    int last;                 /* of m in the last tile, where it has fewer than others; else 0 */
    int group;                /* tiles along n that are walked together */
    int split;                /* parts that the sum of a tile is cut into */
    int whole;                /* c is float32 */
    int accumulate;
} wn__gpu_blocks_rows;

typedef struct wn__gpu_mvue24_blocks {
    const uint16_t *x;
    uint8_t *blocks;
    int64_t rows, columns, stride; /* of x */
    int64_t across;                /* blocks of a panel */
    wn__gpu_draws draws;
} wn__gpu_mvue24_blocks;

/* The tile of sm80/blocks_rows.cu. */
enum {
    WN_ROWS_SM80_THREADS = 256,
    WN_ROWS_SM80_ROWS = 128,
    WN_ROWS_SM80_COLUMNS = 128,
    WN_ROWS_SM80_SHARED = 76800
};

#endif
