// SPDX-License-Identifier: MIT
/* Which rows the columns of a block of 64 x 64 keep, as bits: what all ways to list them share. */
#ifndef WN_KERNELS_SIMD_COLUMNS24_BITS_H
#define WN_KERNELS_SIMD_COLUMNS24_BITS_H

#include "kernels/columns24.h"
#include "kernels/simd/vec.h"

#define BLOCK WN_COLUMNS24_SLICE /* columns of a block, as many as rows */

/* n, at least 0 and at most `most`. */
ALWAYS int64_t clamp24(int64_t n, int64_t most) {
    return n < 0 ? 0 : n < most ? n : most;
}

/* Rows and columns of a 64 x 64 matrix of bits change places. */
static void transpose_bits(uint64_t a[64]) {
    uint64_t low = 0x00000000FFFFFFFF;
    for (int step = 32; step > 0; step /= 2, low ^= low << step)
        for (int base = 0; base < 64; base += 2 * step)
            for (int i = base; i < base + step; i++) {
                uint64_t swap = (a[i] >> step ^ a[i + step]) & low;
                a[i] ^= swap << step;
                a[i + step] ^= swap;
            }
}

/* The bits of one row of a block: n groups of it exist. */
static uint64_t row_bits(const uint8_t *mask, int64_t n) {
    uint64_t bits = 0;
    for (int64_t g = 0; g < n; g++)
        bits |= (uint64_t)mask[g] << (4 * g);
    return bits;
}

/* A word for each column of the block from row i0 and column j0 on. */
static void read_bits(const wn__columns24 *p, int64_t i0, int64_t j0, uint64_t bits[BLOCK]) {
    int64_t rows = clamp24(p->w.shape[0] - i0, BLOCK), columns = clamp24(p->w.shape[1] - j0, BLOCK);
    int64_t groups = p->mask.shape[1];
    const uint8_t *mask = (const uint8_t *)p->mask.data + i0 * groups + j0 / 4;
    for (int64_t i = 0; i < BLOCK; i++)
        bits[i] = i < rows ? row_bits(mask + i * groups, (columns + 3) / 4) : 0;
    transpose_bits(bits);
}

/* Of kept rows those that are pairs: of every four all but the last of one or three. */
ALWAYS uint64_t in_pairs(uint64_t bits) {
    const uint64_t ones = 0x1111111111111111;
    uint64_t odd = bits ^ bits >> 1, above = bits >> 1 & 7 * ones;
    odd = (odd ^ odd >> 2) & ones;
    above |= bits >> 2 & 3 * ones;
    above |= bits >> 3 & ones;
    return bits & ~(15 * odd & ~above);
}

#endif
