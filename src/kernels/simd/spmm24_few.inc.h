// SPDX-License-Identifier: MIT
/* spmm24 of few tokens, as in decoding: the packed weights are read once and the columns they meet
 * are permuted into place. One register of weights (VF slots, VF/2 groups) meets 2 VF columns of x,
 * which are two registers: the index becomes the lane numbers of a two-register permutation. Tokens
 * go four at a time, and a few outputs share what they read of them. */
#include "kernels/op.h"
#include "kernels/simd/vec.h"
#include "kernels/spmm24.h"

#include <string.h>

#define SPMM24_FEW_BLOCK   32 /* outputs of a block */
#define SPMM24_FEW_TOKENS  4
#define SPMM24_FEW_OUTPUTS (VF == 16 ? 4 : 2) /* that share what they read of x */
#define STEP_GROUPS        (VF / 2)           /* groups of one register of weights */

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

/* y of one token from output o on. */
ALWAYS void few_finish(const wn__spmm24 *p, int64_t t, int64_t o, vf sum, int64_t outputs) {
    float *y = (float *)p->y.data + t * p->y.stride[0] + o;
    if (p->accumulate) sum = vf_add(vf_load_n(y, outputs), sum);
    if (wn__given(&p->bias)) sum = vf_add(sum, vf_load_n((const float *)p->bias.data + o, outputs));
    vf_store_n(y, sum, outputs);
}

/* acc[o][t] += weights of `outputs` packed rows times what `tokens` rows of x hold for them, one
 * step from group g on: `groups` of it exist, and `columns` of x. */
ALWAYS void few_step(int outputs, int tokens, const wn__spmm24 *p, const float *x,
                     const float *values, const uint8_t *index, int64_t g, int64_t groups,
                     int64_t columns, vf acc[SPMM24_FEW_OUTPUTS][SPMM24_FEW_TOKENS]) {
    few_index lanes[SPMM24_FEW_OUTPUTS];
    vf weights[SPMM24_FEW_OUTPUTS];
    int64_t low = columns < VF ? columns : VF, high = columns - low;
    UNROLL
    for (int o = 0; o < outputs; o++) {
        lanes[o] = few_lanes(index + o * p->index.shape[1] + g / 2, (size_t)(groups + 1) / 2);
        weights[o] = vf_get(values + o * p->values.shape[1] + 2 * g, 2 * groups);
    }
    UNROLL
    for (int t = 0; t < tokens; t++) {
        const float *at = x + t * p->x.stride[0] + 4 * g;
        vf first = vf_get(at, low), second = vf_get(at + low, high);
        UNROLL
        for (int o = 0; o < outputs; o++)
            acc[o][t] = vf_fma(weights[o], few_pick(lanes[o], first, second), acc[o][t]);
    }
}

/* y[t][o] for `outputs` outputs from o on and `tokens` tokens from t on. */
ALWAYS void few_tile(int outputs, int tokens, const wn__spmm24 *p, int64_t o, int64_t t) {
    int64_t k = p->x.shape[1], groups = p->values.shape[1] / 2, g = 0;
    const float *x = (const float *)p->x.data + t * p->x.stride[0];
    const float *values = (const float *)p->values.data + o * p->values.shape[1];
    const uint8_t *index = (const uint8_t *)p->index.data + o * p->index.shape[1];
    vf acc[SPMM24_FEW_OUTPUTS][SPMM24_FEW_TOKENS];
    UNROLL
    for (int i = 0; i < outputs; i++) {
        UNROLL
        for (int j = 0; j < SPMM24_FEW_TOKENS; j++)
            acc[i][j] = vf_zero();
    }
    for (; (g + STEP_GROUPS) * 4 <= k; g += STEP_GROUPS)
        few_step(outputs, tokens, p, x, values, index, g, STEP_GROUPS, 2 * VF, acc);
    if (g < groups) /* slots and columns beyond the end are zeros */
        few_step(outputs, tokens, p, x, values, index, g, groups - g, k - 4 * g, acc);
    UNROLL
    for (int j = 0; j < tokens; j++) {
        vf of_token[4] = {vf_zero(), vf_zero(), vf_zero(), vf_zero()};
        UNROLL
        for (int i = 0; i < outputs; i++)
            of_token[i] = acc[i][j];
        few_finish(p, t + j, o, vf_sum4_lanes(of_token), outputs);
    }
}

/* A function for each number of tokens: in one of all, gcc keeps what the next one needs in
 * registers and spills sums. */
typedef void few_tile_fn(const wn__spmm24 *p, int64_t o, int64_t t);
#define FEW_TILE(outputs, tokens)                                                                  \
    static __attribute__((noinline)) void few_tile_##outputs##_##tokens(const wn__spmm24 *p,       \
                                                                        int64_t o, int64_t t) {    \
        few_tile(outputs, tokens, p, o, t);                                                        \
    }
#define FEW_TILES(outputs)                                                                         \
    FEW_TILE(outputs, 1) FEW_TILE(outputs, 2) FEW_TILE(outputs, 3) FEW_TILE(outputs, 4)
#define FEW_TILES_OF(outputs)                                                                      \
    {                                                                                              \
        few_tile_##outputs##_1, few_tile_##outputs##_2, few_tile_##outputs##_3,                    \
            few_tile_##outputs##_4                                                                 \
    }
FEW_TILES(1)
#if VF == 16
FEW_TILES(4)
static few_tile_fn *const few_tiles[2][4] = {FEW_TILES_OF(1), FEW_TILES_OF(4)};
#else
FEW_TILES(2)
static few_tile_fn *const few_tiles[2][4] = {FEW_TILES_OF(1), FEW_TILES_OF(2)};
#endif

/* All tokens of some outputs. */
static void few_outputs(bool together, const wn__spmm24 *p, int64_t o) {
    int64_t T = p->x.shape[0];
    for (int64_t t = 0; t < T; t += SPMM24_FEW_TOKENS)
        few_tiles[together][(T - t < SPMM24_FEW_TOKENS ? T - t : SPMM24_FEW_TOKENS) - 1](p, o, t);
}

static void spmm24_few(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    int64_t o = begin;
    for (; o + SPMM24_FEW_OUTPUTS <= end; o += SPMM24_FEW_OUTPUTS)
        few_outputs(true, ctx, o);
    for (; o < end; o++)
        few_outputs(false, ctx, o);
}
