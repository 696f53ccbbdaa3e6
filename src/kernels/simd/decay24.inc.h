// SPDX-License-Identifier: MIT
/* decay24 for F32: in double, product and sum rounded by themselves, then to float; just as the
 * reference does it. Entries that are kept stay untouched in every bit. */
#include "kernels/mask24.h"
#include "kernels/simd/accepts.h"
#include "kernels/simd/group24.h"

typedef struct decay24_job {
    const wn__decay24 *p;
    cut24 cut;
} decay24_job;

#if VF == 16
ALWAYS __m256 half_decayed(__m256 g, __m256 w, double lambda) {
    __m512d product = _mm512_mul_pd(_mm512_set1_pd(lambda), _mm512_cvtps_pd(w));
    return _mm512_cvtpd_ps(_mm512_add_pd(_mm512_cvtps_pd(g), product));
}
ALWAYS vf decayed(vf g, vf w, double lambda) {
    __m256 low = half_decayed(_mm512_castps512_ps256(g), _mm512_castps512_ps256(w), lambda);
    __m256 high = half_decayed(_mm512_extractf32x8_ps(g, 1), _mm512_extractf32x8_ps(w, 1), lambda);
    return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}
#else
ALWAYS __m128 half_decayed(__m128 g, __m128 w, double lambda) {
    __m256d product = _mm256_mul_pd(_mm256_set1_pd(lambda), _mm256_cvtps_pd(w));
    return _mm256_cvtpd_ps(_mm256_add_pd(_mm256_cvtps_pd(g), product));
}
ALWAYS vf decayed(vf g, vf w, double lambda) {
    __m128 low = half_decayed(_mm256_castps256_ps128(g), _mm256_castps256_ps128(w), lambda);
    __m128 high = half_decayed(_mm256_extractf128_ps(g, 1), _mm256_extractf128_ps(w, 1), lambda);
    return _mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1);
}
#endif

/* The first n entries of VF. */
ALWAYS void decay_vector(const float *w, float *g, unsigned keep, int64_t n, double lambda) {
    vm kept = vm_of_bits(keep & ((1U << VF) - 1U));
    if (n >= VF) {
        vf old = vf_load(g);
        vf_store(g, vf_select(kept, old, decayed(old, vf_load(w), lambda)));
    } else {
        vf old = vf_load_n(g, n);
        vf_store_n(g, vf_select(kept, old, decayed(old, vf_load_n(w, n), lambda)), n);
    }
}

static void decay_row(const float *w, const uint8_t *mask, float *g, int64_t n, double lambda) {
    for (int64_t j = 0; j < n; j += STEP_COLUMNS) {
        __m128i bytes = groups_load(mask + j / 4, clamp24((n - j + 3) / 4, VF));
        keep24 keep = join_nibbles(_mm_and_si128(bytes, _mm_set1_epi8(0x0F)));
        if (n - j >= STEP_COLUMNS) {
#pragma GCC unroll 4
            for (int l = 0; l < 4; l++)
                decay_vector(w + j + VF * l, g + j + VF * l, (unsigned)(keep >> VF * l), VF,
                             lambda);
        } else {
            for (int64_t l = 0; VF * l < n - j; l++)
                decay_vector(w + j + VF * l, g + j + VF * l, (unsigned)(keep >> VF * l),
                             n - j - VF * l, lambda);
        }
    }
}

static void decay_pieces(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const decay24_job *job = ctx;
    const wn__decay24 *p = job->p;
    int64_t groups = (job->cut.columns + 3) / 4;
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i / job->cut.pieces, j = i % job->cut.pieces * PIECE;
        int64_t at = row * job->cut.columns + j;
        decay_row((const float *)p->w.data + at,
                  (const uint8_t *)p->mask.data + row * groups + j / 4, (float *)p->g.data + at,
                  clamp24(job->cut.columns - j, PIECE), p->lambda);
    }
}

static wn_status decay24(const void *args, wn__exec *x) {
    const wn__decay24 *p = args;
    decay24_job job = {p, cut24_of(p->w.shape[0], p->w.shape[1], true)};
    wn__parallel_for(x->pool, job.cut.count, job.cut.grain, decay_pieces, &job);
    return WN_OK;
}
