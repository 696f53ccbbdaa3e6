// SPDX-License-Identifier: MIT
/* How a product is cut into blocks. Only the shapes decide, so any number of threads computes the
 * same blocks. */
#ifndef WN_KERNELS_SIMD_MATMUL_PLAN_H
#define WN_KERNELS_SIMD_MATMUL_PLAN_H

#include "kernels/matmul.h"

#include <stddef.h>

/* The tile of c that stays in registers: 28 of 32, and 12 of 16. */
#define WN_AVX512_TILE_M 14
#define WN_AVX512_TILE_N 32
#define WN_AVX2_TILE_M   6
#define WN_AVX2_TILE_N   16
/* A tile's two panels of this depth fit L1 and L2 with the packed block. */
#define WN_MATMUL_SLICE_K 256
/* Products with at most this many rows stream b once and pack nothing. */
#define WN_MATMUL_FEW_M 16

typedef struct wn__matmul_plan {
    int64_t block_m, block_n; /* rows and columns of a block */
    int64_t rows, columns;    /* blocks along m and along n */
    int64_t a_floats;         /* of a worker's packed a, b follows */
    size_t worker_bytes;
} wn__matmul_plan;

typedef struct wn__matmul_block {
    int64_t m0, m, n0, n;
} wn__matmul_block;

/* Whether this is one of those: few rows, and not both operands in the order that suits neither way
 * of streaming. */
bool wn__matmul_is_few(const wn__matmul *p);
/* Blocks of about most_m x most_n, whole tiles, smaller while there are too few of them to share
 * out. */
wn__matmul_plan wn__matmul_plan_for(const wn__matmul *p, int64_t tile_m, int64_t tile_n);
/* Block i < rows * columns; those of one column stand together. */
wn__matmul_block wn__matmul_block_at(const wn__matmul_plan *plan, const wn__matmul *p, int64_t i);

#endif
