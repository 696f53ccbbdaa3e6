// SPDX-License-Identifier: MIT
/* How a product is cut into blocks. Threads may decide how wide a block is and who packs for whom,
 * never where k is cut nor where a tile of columns begins: so they change no bit. */
#ifndef WN_KERNELS_SIMD_MATMUL_PLAN_H
#define WN_KERNELS_SIMD_MATMUL_PLAN_H

#include "kernels/matmul.h"
#include "kernels/spmm24.h"

#include <stddef.h>

/* The tile of c that stays in registers: 28 of 32, and 12 of 16. */
#define WN_AVX512_TILE_M 14
#define WN_AVX512_TILE_N 32
#define WN_AVX2_TILE_M   6
#define WN_AVX2_TILE_N   16
/* Four tile registers of sums, four of operands. */
#define WN_AMX_TILE_M 32
#define WN_AMX_TILE_N 32
/* Steps of k in a float of a panel: pairs of bfloat16 numbers. */
#define WN_PAIR_STEPS 2
/* Rows that a packed tile of a has room for with vectors of 64 bytes. */
#define WN_AVX512_TILE_ROWS 16
/* Floats that their panels are deep, at most. */
#define WN_AVX512_SLICE 512
/* Products with at most this many rows stream b once and pack nothing. */
#define WN_MATMUL_FEW_M 16

/* What a variant makes of its operands. */
typedef struct wn__matmul_shape {
    int64_t tile_m, tile_n, steps;
    int64_t most_m, most_n, least_m, least_n; /* of a block of c */
    int64_t slice;                            /* floats that panels are deep, at most */
    int64_t slices;   /* that are packed at a time, at least: c is read and written once for each
                         of them */
    int64_t packed_m; /* rows that a packed tile of a has room for */
    int64_t pad;      /* floats between the end of one and the next, where they lie along k: a
                         power of two apart they would want the same lines of L1 */
    bool reads_rows;  /* of a, as they lie along k, where that is possible */
} wn__matmul_shape;

extern const wn__matmul_shape wn__matmul_avx2_shape, wn__matmul_avx512_shape,
    wn__matmul_pairs_shape, wn__matmul_amx_shape;

typedef struct wn__matmul_plan {
    bool as_it_lies; /* a is not packed but read row by row */
    bool own;        /* each worker packs the columns that it multiplies; else all pack for all */
    int64_t block_m, block_n;        /* rows and columns of a block */
    int64_t part_m, part_n;          /* of a part, whole blocks */
    int64_t parts_m, parts_k, parts; /* parts along m, along k, in all */
    int64_t slice_k;                 /* k of a slice */
    int64_t part_k;                  /* of a part */
    int64_t a_pitch;                 /* floats of a row of a packed slice, where they lie along k */
    int64_t a_floats, b_floats;      /* of one slice of a block's packed operand */
    int64_t a_all, b_all;            /* of a part's packed a; b follows, of each worker its
                                        own or of the part, then the sums */
    int64_t sums_stride;             /* of the rows of a part's sums where c is BF16 */
    size_t bytes;                    /* of all */
} wn__matmul_plan;

/* What is packed before it is multiplied: m x n of c, depth of k. */
typedef struct wn__matmul_part {
    int64_t m0, m, n0, n, l0, depth;
    int64_t rows, columns, slices; /* blocks along m and along n; slices of depth */
} wn__matmul_part;

typedef struct wn__matmul_block {
    int64_t m0, m, n0, n;
} wn__matmul_block;

/* Whether this is one of those: few rows of floats, and not both operands in the order that suits
 * neither way of streaming. */
bool wn__matmul_is_few(const wn__matmul *p);
/* Blocks of about most_m x most_n, whole tiles, smaller while there are too few of them to share
 * out. */
wn__matmul_plan wn__matmul_plan_for(const wn__matmul *p, const wn__matmul_shape *shape,
                                    int threads);
/* Whether rows of a want the same lines of L1: what is read as it lies is copied, a tile at a time.
 */
bool wn__matmul_copies(const wn_tensor *a, const wn__matmul_shape *shape);
/* The dense product whose b has the shape of packed weights and no data: the plan of a 2:4 product
 * whose weights are written out on their way. */
wn__matmul wn__matmul_of_spmm24(const wn__spmm24 *p);
/* Part i < parts; those of one block of c stand together, ascending in k. */
wn__matmul_part wn__matmul_part_at(const wn__matmul_plan *plan, const wn__matmul *p, int64_t i);
/* Depth of slice s of a part. */
int64_t wn__matmul_slice(const wn__matmul_plan *plan, const wn__matmul_part *part, int64_t s);
/* Block i < rows * columns of a part; those of one column stand together. */
wn__matmul_block wn__matmul_block_at(const wn__matmul_plan *plan, const wn__matmul_part *part,
                                     int64_t i);

#endif
