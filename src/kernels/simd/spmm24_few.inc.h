// SPDX-License-Identifier: MIT
/* spmm24 of few tokens, as in decoding: the packed weights are read once and the columns they meet
 * are permuted into place. One register of weights (VF slots, VF/2 groups) meets 2 VF columns of x,
 * which are two registers: the index becomes the lane numbers of a two-register permutation. Tokens
 * go four at a time, outputs one after the other. */
#include "kernels/op.h"
#include "kernels/simd/vec.h"
#include "kernels/spmm24.h"

#include <string.h>

#define SPMM24_FEW_BLOCK  32 /* outputs of a block */
#define SPMM24_FEW_TOKENS 4
#define STEP_GROUPS       (VF / 2) /* groups of one register of weights */

/* Slot l of a step belongs to group l/2, whose columns begin at 4 (l/2); two bits of the index add
 * 0..3. */
#if VF == 16
typedef __m512i few_index;
static inline few_index few_lanes(const uint8_t *index, size_t bytes) {
    uint32_t bits = 0;
    memcpy(&bits, index, bytes);
    const __m512i shift =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i first =
        _mm512_setr_epi32(0, 0, 4, 4, 8, 8, 12, 12, 16, 16, 20, 20, 24, 24, 28, 28);
    __m512i slot = _mm512_srlv_epi32(_mm512_set1_epi32((int)bits), shift);
    return _mm512_ternarylogic_epi32(slot, _mm512_set1_epi32(3), first,
                                     0xEA); /* (slot & 3) | first */
}
/* The columns of 2 VF that the lanes name: low holds the first VF, high the others. */
static inline vf few_pick(few_index lanes, vf low, vf high) {
    return _mm512_permutex2var_ps(low, lanes, high);
}
#else
typedef __m256i few_index;
static inline few_index few_lanes(const uint8_t *index, size_t bytes) {
    uint32_t bits = 0;
    memcpy(&bits, index, bytes);
    const __m256i shift = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14),
                  first = _mm256_setr_epi32(0, 0, 4, 4, 0, 0, 4, 4);
    __m256i slot = _mm256_srlv_epi32(_mm256_set1_epi32((int)bits), shift);
    return _mm256_or_si256(_mm256_and_si256(slot, _mm256_set1_epi32(3)), first);
}
static inline vf few_pick(few_index lanes, vf low, vf high) {
    return _mm256_blend_ps(_mm256_permutevar8x32_ps(low, lanes),
                           _mm256_permutevar8x32_ps(high, lanes), 0xF0);
}
#endif

/* sums[i] = x[i] . the packed row, for `tokens` tokens. */
static inline __attribute__((always_inline)) void few_outputs(int tokens, const wn__spmm24 *p,
                                                              const float *x, int64_t o,
                                                              float sums[SPMM24_FEW_TOKENS]) {
    int64_t k = p->x.shape[1], down = p->x.stride[0], groups = p->values.shape[1] / 2, g = 0;
    const float *values = (const float *)p->values.data + o * 2 * groups;
    const uint8_t *index = (const uint8_t *)p->index.data + o * p->index.shape[1];
    vf acc[SPMM24_FEW_TOKENS];
    for (int i = 0; i < SPMM24_FEW_TOKENS; i++)
        acc[i] = vf_zero();
    for (; (g + STEP_GROUPS) * 4 <= k; g += STEP_GROUPS) {
        few_index lanes = few_lanes(index + g / 2, STEP_GROUPS / 2);
        vf weights = vf_load(values + 2 * g);
        for (int i = 0; i < tokens; i++) {
            const float *at = x + i * down + 4 * g;
            acc[i] = vf_fma(weights, few_pick(lanes, vf_load(at), vf_load(at + VF)), acc[i]);
        }
    }
    if (g < groups) { /* slots and columns beyond the end are zeros */
        few_index lanes = few_lanes(index + g / 2, (size_t)(groups - g + 1) / 2);
        vf weights = vf_load_n(values + 2 * g, 2 * (groups - g));
        int64_t low = k - 4 * g < VF ? k - 4 * g : VF, high = k - 4 * g - low;
        for (int i = 0; i < tokens; i++) {
            const float *at = x + i * down + 4 * g;
            acc[i] = vf_fma(weights, few_pick(lanes, vf_load_n(at, low), vf_load_n(at + low, high)),
                            acc[i]);
        }
    }
    vf_sum4(acc, sums);
}

static void spmm24_few(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__spmm24 *p = ctx;
    int64_t T = p->x.shape[0], down = p->x.stride[0];
    for (int64_t o = begin; o < end; o++)
        for (int64_t t = 0; t < T; t += SPMM24_FEW_TOKENS) {
            const float *x = (const float *)p->x.data + t * down;
            float sums[SPMM24_FEW_TOKENS];
            int64_t tokens = T - t < SPMM24_FEW_TOKENS ? T - t : SPMM24_FEW_TOKENS;
            if (tokens == 4)
                few_outputs(4, p, x, o, sums);
            else if (tokens == 3)
                few_outputs(3, p, x, o, sums);
            else if (tokens == 2)
                few_outputs(2, p, x, o, sums);
            else
                few_outputs(1, p, x, o, sums);
            for (int64_t i = 0; i < tokens; i++) {
                float *y = (float *)p->y.data + (t + i) * p->y.stride[0] + o;
                float sum = p->accumulate ? *y + sums[i] : sums[i];
                *y = wn__given(&p->bias) ? sum + ((const float *)p->bias.data)[o] : sum;
            }
        }
}
