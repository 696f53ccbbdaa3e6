// SPDX-License-Identifier: MIT
/* Arguments of the device code of float32 factors (sm80/kron_f32.cu), for its host side too.
 *
 * Four numbers that go together, q = 0 .. 3, are those of four
 * blocks that lie side by side (wn_kron_f32_lanes4, lanes8), or of four vectors (wn_kron_f32_rows);
 * a row is a vector, or four. A block of threads has 64 outputs of four blocks and 128 rows, of
 * eight blocks and 64, or of one block and 128.
 *
 * Packed: blocks [b, c], g = i d + l, in tiles of 8 outputs and 16 inputs, those of the same
 * outputs side by side, zeros beyond the block. Number (j, k) of a tile is number 64 (k / 8) + 2
 * lane + k / 4 % 2 of it, lane 4 (2 (j % 4) + j / 4) + k % 4. */
#ifndef WN_KERNELS_CUDA_ARGS_KRON_F32_H
#define WN_KERNELS_CUDA_ARGS_KRON_F32_H

#include <stdint.h>

typedef struct wn__gpu_kron_pack_f32 {
    const float *w;
    float *tiles;
    int64_t stride[4];
    int a, b, c, d;
    int down, across; /* tiles of a block */
} wn__gpu_kron_pack_f32;
typedef struct wn__gpu_kron_f32 {
    const float *x;
    float *y;
    const float *tiles;
    int64_t x_row, x_input, x_q, y_row, y_output, y_q; /* strides in numbers */
    int64_t x_feature, y_feature;
    int n, rows; /* vectors */
    int a, b, c, d, down, across;
    int wide_in, wide_out; /* whether four numbers come and go in 16 bytes */
    int by_vector;         /* whether x has unit stride along vectors */
    int accumulate;
} wn__gpu_kron_f32;
enum {
    WN_KRON_F32_OUTPUTS = 64,
    WN_KRON_F32_DOWN = 8, /* a tile */
    WN_KRON_F32_ACROSS = 16,
    WN_KRON_F32_TILE = 128, /* numbers */
    WN_KRON_F32_THREADS = 512,
    WN_KRON_F32_PACK_THREADS = 256,
    WN_KRON_F32_EXACT = 16 /* below so many inputs numbers are multiplied in three parts */
};
/* blocks: 1, 4, 8. A stage has one step's inputs and weights; on 9.0 there is room for more. */
#define WN_KRON_F32_ROWS(blocks)      ((blocks) == 8 ? 64 : 128)
#define WN_KRON_F32_STAGE(blocks)     (32768 + (blocks)*4096)
#define WN_KRON_F32_STAGES_90(blocks) ((blocks) == 8 ? 3 : 4)
#define WN_KRON_F32_STAGES_80         2
/* A warp has so many times 16 rows, and a block of threads so many times fewer warps, where numbers
 * are in two parts; once in three. */
#define WN_KRON_F32_TALL(blocks) ((blocks) == 1 ? 1 : 2)

#endif
