// SPDX-License-Identifier: MIT
/* Twelve independent chains of 8-lane fused multiply-adds: enough to cover latency 4 to 6 at two a
 * cycle. */
#include "kernels/peak.h"
#include <immintrin.h>

enum { CHAINS = 12 };

double wn__peak_avx2(int64_t rounds, float *sink) {
    __m256 m = _mm256_set1_ps(0.999f), c = _mm256_set1_ps(0.5f), a[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        a[i] = _mm256_setzero_ps();
    for (int64_t r = 0; r < rounds; r++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            a[i] = _mm256_fmadd_ps(a[i], m, c);
    for (int i = 1; i < CHAINS; i++)
        a[0] = _mm256_add_ps(a[0], a[i]);
    *sink = _mm_cvtss_f32(_mm256_castps256_ps128(a[0]));
    return 2.0 * CHAINS * 8 * (double)rounds;
}
