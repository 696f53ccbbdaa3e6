// SPDX-License-Identifier: MIT
/* Which two of four stay, in every lane at once: the six comparisons of a group. The sign of a
 * difference of magnitudes, taken as integers, is exact. */
#ifndef WN_KERNELS_SIMD_RANK24_H
#define WN_KERNELS_SIMD_RANK24_H

#include "kernels/simd/group24.h"

/* The sign bit tells whether column j is larger than column i, for i < j; equal ones keep their
 * order. Magnitudes are below 2^31, so no difference overflows. */
ALWAYS vi larger(const vi a[4], int i, int j) {
    return vi_sub(a[i], a[j]);
}

/* The sign bit of keep[j]: column j stays, because at most one other comes before it. */
ALWAYS void keep_largest(const vi a[4], vi keep[4]) {
    vi a01 = larger(a, 0, 1), a02 = larger(a, 0, 2), a03 = larger(a, 0, 3);
    vi a12 = larger(a, 1, 2), a13 = larger(a, 1, 3), a23 = larger(a, 2, 3);
    keep[0] = vi_not(vi_majority(a01, a02, a03));
    keep[1] = vi_majority(a01, vi_not(a12), vi_not(a13));
    keep[2] = vi_majority(a02, a12, vi_not(a23));
    keep[3] = vi_majority(a03, a13, a23);
}

/* The sign bits as bits 0..3 of each lane. */
ALWAYS vi keep_bits(const vi keep[4]) {
    vi low = vi_or(vi_down(keep[0], 31), vi_and(vi_down(keep[1], 30), vi_set(2)));
    vi high =
        vi_or(vi_and(vi_down(keep[2], 29), vi_set(4)), vi_and(vi_down(keep[3], 28), vi_set(8)));
    return vi_or(low, high);
}

/* The lanes whose sign bit is set. */
ALWAYS vm vm_of_sign(vi a) {
#if VF == 16
    return _mm512_movepi32_mask(a);
#else
    return _mm256_castsi256_ps(_mm256_srai_epi32(a, 31));
#endif
}

/* m ? a : +0 */
ALWAYS vf vf_keep(vm m, vf a) {
#if VF == 16
    return _mm512_maskz_mov_ps(m, a);
#else
    return _mm256_and_ps(m, a);
#endif
}

/* The sign bit of every lane. */
ALWAYS vf vf_sign(vf a) {
    return vf_of(vi_and(vi_of(a), vi_set(INT32_MIN)));
}
/* a >= 0 with the sign bit of sign, which has no other. */
ALWAYS vf vf_with_sign(vf a, vf sign) {
    return vf_of(vi_or(vi_of(a), vi_of(sign)));
}

/* The inverse of load_columns: n columns to w. */
ALWAYS void store_columns(float *w, int64_t n, const vf column[4]) {
    vf r[4];
    split_columns(column, r); /* turning 4 x 4 blocks around is its own inverse */
    if (n == STEP_COLUMNS) {
#pragma GCC unroll 4
        for (int l = 0; l < 4; l++)
            vf_store(w + VF * l, r[l]);
    } else {
        for (int l = 0; VF * l < n; l++)
            vf_store_n(w + VF * l, r[l], clamp24(n - VF * l, VF));
    }
}

#endif
