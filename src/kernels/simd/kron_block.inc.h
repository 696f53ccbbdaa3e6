// SPDX-License-Identifier: MIT
/* Packing a block of a factor for the register tiles of panels (kernels/kron_pack.h). */
#ifndef WN_KERNELS_SIMD_KRON_BLOCK_INC_H
#define WN_KERNELS_SIMD_KRON_BLOCK_INC_H

#include "kernels/simd/kron_plan.h"
#include "kernels/simd/number.h"

#if VF == 16
#define LANES WN_KRON_AVX512_LANES
#define ROWS  WN_KRON_AVX512_ROWS
#define IN_ORDER                                                                                   \
    { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 }
#else
#define LANES WN_KRON_AVX2_LANES
#define ROWS  WN_KRON_AVX2_ROWS
#define IN_ORDER                                                                                   \
    { 0, 1, 2, 3, 4, 5 }
#endif

static int64_t kron_least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* ---- packing: tile after tile, each [c][its rows]. Output o of a block is its row (o % r) t + u +
 * o / r. A block is read in the order in which it lies: its rows are a power of two apart so often
 * that reading down a column of it would find every line in the same few places of L1. */

/* Rows that lie along k: a vector of each, turned. Lanes behind a tile's last row are overwritten
 * by the next column, or not stored. */
ALWAYS void kron_pack_turned(const wn_dtype dtype, const void *data, const int64_t *row,
                             int64_t rows, int64_t c, float *to) {
    for (int64_t k = 0; k < c; k += VF) {
        const int64_t some = kron_least(VF, c - k);
        vf block[VF];
        UNROLL
        for (int64_t o = 0; o < VF; o++)
            block[o] = o < rows ? num_get(dtype, data, row[o < ROWS ? o : 0] + k, some) : vf_zero();
        vf_transpose(block);
        UNROLL
        for (int64_t i = 0; i < VF; i++)
            if (i < some) vf_put(to + (k + i) * rows, block[i], rows);
    }
}

/* Rows of which every k is `step` further on; side by side, or each where it is. */
ALWAYS void kron_pack_down(const wn_dtype dtype, const void *data, const int64_t *row, int64_t rows,
                           int64_t c, int64_t step, bool beside, float *to) {
    for (int64_t k = 0; k < c; k++, to += rows) {
        if (beside) {
            vf_put(to, num_get(dtype, data, row[0] + k * step, rows), rows);
            continue;
        }
        for (int64_t o = 0; o < rows; o++)
            to[o] = num_one(dtype, data, row[o] + k * step);
    }
}

ALWAYS void kron_pack_as(const wn_dtype dtype, const wn_tensor *w, int64_t i, int64_t l,
                         int64_t outputs, int64_t r, int64_t t, int64_t u, float *to) {
    const int64_t from = i * w->stride[0] + l * w->stride[3], c = w->shape[2];
    const int64_t tiles = (outputs + ROWS - 1) / ROWS;
    const bool beside = w->stride[1] == 1 && t == 1 && r == 1;
    for (int64_t tile = 0, o0 = 0; tile < tiles; tile++) {
        const int64_t rows = wn__kron_tile_rows(outputs, tiles, tile);
        int64_t row[ROWS];
        for (int64_t o = 0; o < rows; o++)
            row[o] = from + ((o0 + o) % r * t + u + (o0 + o) / r) * w->stride[1];
        if (w->stride[2] == 1)
            kron_pack_turned(dtype, w->data, row, rows, c, to + o0 * c);
        else
            kron_pack_down(dtype, w->data, row, rows, c, w->stride[2], beside, to + o0 * c);
        o0 += rows;
    }
}

static void kron_pack_block(const wn_tensor *w, int64_t i, int64_t l, int64_t outputs, int64_t r,
                            int64_t t, int64_t u, float *to) {
#define PACK(dtype) kron_pack_as(dtype, w, i, l, outputs, r, t, u, to)
    NUM_SWITCH(w->dtype, PACK)
#undef PACK
}

#endif
