// SPDX-License-Identifier: MIT
/* The exact transposable mask of a 4x4 tile: the first of the 90 in mask24.h's order with the
 * largest sum fl(fl(r0 + r1) + fl(r2 + r3)), r being the sums of what each row keeps.
 *
 * Rows 0 and 1 keep choices {i, j} in either order, which leaves rows 2 and 3 a pair {k, l} in
 * either order: 27 classes of pairs. Rounding never turns an order around, so the largest sum of a
 * class is that of its larger upper and its larger lower half: 27 sums decide instead of 90. Then
 * only classes that reach the largest sum, one but for ties, are looked at for the first mask that
 * does. */
#ifndef WN_KERNELS_CUDA_COMMON_TILE24_CUH
#define WN_KERNELS_CUDA_COMMON_TILE24_CUH

#include "kernels/cuda/args24.h"
#include "kernels/cuda/common/group24.cuh"

/* Choices of a row in the order of mask24.h, 0 to 5; choice 5 - i keeps what i does not. */
static __device__ __forceinline__ unsigned mask_of_choice(unsigned i) {
    return 0xCA6953u >> 4 * i & 15;
}

/* Four bits a row of a tile from its choices, the first row lowest; and four bits a column. */
static __device__ __forceinline__ unsigned rows_of_choices(unsigned best) {
    unsigned m = 0;
#pragma unroll
    for (int r = 0; r < 4; r++)
        m |= mask_of_choice(best >> (12 - 4 * r) & 15) << 4 * r;
    return m;
}
static __device__ __forceinline__ unsigned columns_of_rows(unsigned m) {
    const unsigned near = (m ^ m >> 3) & 0x0A0Au; // the two bits off the diagonal of each 2x2
    m ^= near ^ near << 3;
    const unsigned far = (m ^ m >> 6) & 0x00CCu; // and two of the 2x2
    return m ^ far ^ far << 6;
}

/* i | j << 4 | k << 8 | l << 12 of each class, i <= j and k <= l, last bit of the search first. */
#define CLASS24(i, j, k, l) (i | j << 4 | k << 8 | l << 12)
#define MIXED24(i, j)       CLASS24(i, j, (5 - j), (5 - i))
static __device__ const uint16_t tile_classes[27] = {
    MIXED24(0, 0),       MIXED24(1, 1),       MIXED24(2, 2),       MIXED24(3, 3),
    MIXED24(4, 4),       MIXED24(5, 5),       MIXED24(0, 1),       MIXED24(0, 2),
    MIXED24(0, 3),       MIXED24(0, 4),       MIXED24(1, 2),       MIXED24(1, 3),
    MIXED24(1, 5),       MIXED24(2, 4),       MIXED24(2, 5),       MIXED24(3, 4),
    MIXED24(3, 5),       MIXED24(4, 5),       CLASS24(0, 5, 0, 5), CLASS24(0, 5, 1, 4),
    CLASS24(0, 5, 2, 3), CLASS24(1, 4, 0, 5), CLASS24(1, 4, 1, 4), CLASS24(1, 4, 2, 3),
    CLASS24(2, 3, 0, 5), CLASS24(2, 3, 1, 4), CLASS24(2, 3, 2, 3)};

/* The row sums of a block's tiles, where they can be found by number. */
struct tile_sums {
    float sum[4][6][WN_GPU_THREADS];
};

static __device__ __forceinline__ float size_of_two(float a, float b) {
    return __fadd_rn(fabsf(a), fabsf(b));
}

/* The larger sum of two rows that keep choices {i, j}. */
static __device__ __forceinline__ float larger(const float *a, const float *b, int i, int j) {
    const float straight = __fadd_rn(a[i], b[j]);
    return i == j ? straight : fmaxf(straight, __fadd_rn(a[j], b[i]));
}

/* The first mask of a class that reaches `best`, as four choices, row 0 in the highest bits:
 * smaller is earlier. */
static __device__ __forceinline__ unsigned first_of_class(const tile_sums &s, unsigned c,
                                                          float best) {
    const unsigned e = tile_classes[c], t = threadIdx.x;
    const unsigned i = e & 15, j = e >> 4 & 15, k = e >> 8 & 15, l = e >> 12;
    const float u0 = __fadd_rn(s.sum[0][i][t], s.sum[1][j][t]);
    const float u1 = __fadd_rn(s.sum[0][j][t], s.sum[1][i][t]);
    const float l0 = __fadd_rn(s.sum[2][k][t], s.sum[3][l][t]);
    const float l1 = __fadd_rn(s.sum[2][l][t], s.sum[3][k][t]);
    const bool upper = __fadd_rn(u0, fmaxf(l0, l1)) == best;
    const bool lower = __fadd_rn(upper ? u0 : u1, l0) == best;
    return (upper ? i << 12 | j << 8 : j << 12 | i << 8) | (lower ? k << 4 | l : l << 4 | k);
}

/* A tile's four choices, row 0 in the highest four of 16 bits. a: its rows. *nan: one is none, and
 * the choices are any. */
static __device__ __forceinline__ unsigned best_tile(const float a[4][4], tile_sums &s, bool *nan) {
    float r[4][6], v[27], best = 0, all = 0;
#pragma unroll
    for (int row = 0; row < 4; row++) {
        r[row][0] = size_of_two(a[row][0], a[row][1]);
        r[row][1] = size_of_two(a[row][0], a[row][2]);
        r[row][2] = size_of_two(a[row][0], a[row][3]);
        r[row][3] = size_of_two(a[row][1], a[row][2]);
        r[row][4] = size_of_two(a[row][1], a[row][3]);
        r[row][5] = size_of_two(a[row][2], a[row][3]);
#pragma unroll
        for (int i = 0; i < 6; i++)
            s.sum[row][i][threadIdx.x] = r[row][i];
        all += r[row][0] + r[row][5];
    }
    *nan |= all != all;
    int c = 0;
#pragma unroll
    for (int i = 0; i < 6; i++)
        v[c++] = __fadd_rn(larger(r[0], r[1], i, i), larger(r[2], r[3], 5 - i, 5 - i));
#pragma unroll
    for (int i = 0; i < 6; i++)
#pragma unroll
        for (int j = i + 1; j < 6; j++)
            if (i + j != 5)
                v[c++] = __fadd_rn(larger(r[0], r[1], i, j), larger(r[2], r[3], 5 - j, 5 - i));
    float upper[3], lower[3];
#pragma unroll
    for (int i = 0; i < 3; i++) {
        upper[i] = larger(r[0], r[1], i, 5 - i);
        lower[i] = larger(r[2], r[3], i, 5 - i);
    }
#pragma unroll
    for (int i = 0; i < 3; i++)
#pragma unroll
        for (int k = 0; k < 3; k++)
            v[c++] = __fadd_rn(upper[i], lower[k]);
#pragma unroll
    for (int i = 0; i < 27; i++)
        best = fmaxf(best, v[i]);
    // One bit a class, set where it falls short: the sign of a difference (of infinities: none).
    unsigned shorter = 0;
#pragma unroll
    for (int i = 26; i >= 0; i--)
        shorter = __funnelshift_l(__float_as_uint(__fsub_rn(v[i], best)), shorter, 1);
    unsigned reach = ~shorter & 0x7FFFFFFu, first = 0xFFFF;
    while (reach != 0) {
        const unsigned earlier = first_of_class(s, (unsigned)__ffs((int)reach) - 1, best);
        first = earlier < first ? earlier : first;
        reach &= reach - 1;
    }
    return first;
}

#endif
