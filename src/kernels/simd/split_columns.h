// SPDX-License-Identifier: MIT
/* Four vectors, each of quarters of 4 lanes (AVX2: halves), turned within these: lane 4 q + l of
 * column m is lane 4 q + m of r[l]. */
#ifndef WN_KERNELS_SIMD_SPLIT_COLUMNS_H
#define WN_KERNELS_SIMD_SPLIT_COLUMNS_H

#include "kernels/simd/vec.h"

static inline __attribute__((always_inline)) void split_columns(const vf r[4], vf column[4]) {
#if VF == 16
    __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(r[0], r[1]));
    __m512d b = _mm512_castps_pd(_mm512_unpackhi_ps(r[0], r[1]));
    __m512d c = _mm512_castps_pd(_mm512_unpacklo_ps(r[2], r[3]));
    __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(r[2], r[3]));
    column[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
    column[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
    column[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
    column[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
#else
    __m256d a = _mm256_castps_pd(_mm256_unpacklo_ps(r[0], r[1]));
    __m256d b = _mm256_castps_pd(_mm256_unpackhi_ps(r[0], r[1]));
    __m256d c = _mm256_castps_pd(_mm256_unpacklo_ps(r[2], r[3]));
    __m256d d = _mm256_castps_pd(_mm256_unpackhi_ps(r[2], r[3]));
    column[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, c));
    column[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, c));
    column[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(b, d));
    column[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(b, d));
#endif
}

#endif
