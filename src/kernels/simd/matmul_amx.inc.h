// SPDX-License-Identifier: MIT
/* matmul's tile on AMX: 32 x 32 sums in four tile registers, two more for 32 rows of a and two for
 * 32 columns of b, all of 16 rows of 64 bytes. A panel of b is what vectors of pairs take; one of a
 * has, for each 32 steps of k, its 32 rows with those steps side by side. 2:4 weights are written
 * out, zeros and all, while they are packed: tiles multiply no faster for zeros, but the weights
 * are read in 9/16 of the bytes and no dense copy of them exists. */
#include "kernels/element.h"
#include "kernels/simd/half.h"
#include "kernels/simd/matmul_plan.h"
#include "kernels/spmm24.h"

#define TILE_M     WN_AMX_TILE_M
#define TILE_N     WN_AMX_TILE_N
#define TILE_DEPTH 16 /* pairs of k in a row of a tile of a, and rows in one of b */
#define SHAPE      wn__matmul_amx_shape
#define TILE_STEPS (2 * TILE_DEPTH)

#include "kernels/simd/matmul_pack.inc.h"

/* Palette 1: eight tiles of 16 rows of 64 bytes. */
static void tiles_begin(void) {
    struct {
        uint8_t palette, start_row, zero[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } config __attribute__((aligned(64))) = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.bytes[i] = 64;
        config.rows[i] = 16;
    }
    _tile_loadconfig(&config);
}
ALWAYS void tiles_end(void) {
    _tile_release();
}

/* c (+)= the product of two panels of `depth` pairs; sums are tiles 0 to 3. */
ALWAYS void tile_run(int64_t depth, const float *a, const float *b, float *c, int64_t stride,
                     bool add) {
    const size_t row = (size_t)stride * sizeof(float), b_row = TILE_N * sizeof(float);
    float *low = c + 16 * stride;
    if (add) {
        _tile_loadd(0, c, row);
        _tile_loadd(1, c + 16, row);
        _tile_loadd(2, low, row);
        _tile_loadd(3, low + 16, row);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t l = 0; l < depth; l += TILE_DEPTH) {
        _tile_loadd(4, a, 64);
        _tile_loadd(6, b, b_row);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, b + 16, b_row);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a + 16 * TILE_DEPTH, 64);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        a += TILE_M * TILE_DEPTH;
        b += TILE_DEPTH * TILE_N;
    }
    _tile_stored(0, c, row);
    _tile_stored(1, c + 16, row);
    _tile_stored(2, low, row);
    _tile_stored(3, low + 16, row);
}

static void tile_add(int64_t depth, const float *a, const float *b, float *c, int64_t stride) {
    tile_run(depth, a, b, c, stride, true);
}

static void tile_set(int64_t depth, const float *a, const float *b, float *c, int64_t stride) {
    tile_run(depth, a, b, c, stride, false);
}

/* A tile at the edge of c: rows x columns of it exist. */
static void tile_edge(int64_t depth, const float *a, const float *b, float *c, int64_t stride,
                      int64_t rows, int64_t columns, bool add) {
    float tile[TILE_M * TILE_N];
    tile_set(depth, a, b, tile, TILE_N);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            c[i * stride + j] = (add ? c[i * stride + j] : 0) + tile[i * TILE_N + j];
}

/* 16 rows of a that are contiguous along k, 32 steps of it: `exist` rows and n steps exist. */
ALWAYS void read_along(const void *from, bool half, int64_t stride, int64_t exist, int64_t n,
                       vf r[VF]) {
    UNROLL
    for (int64_t s = 0; s < VF; s++)
        r[s] = s < exist ? pairs_get(from, half, s * stride, n) : vf_zero();
}

/* The same of rows that stand side by side. */
ALWAYS void read_across(const void *from, bool half, int64_t stride, int64_t exist, int64_t n,
                        vf r[VF]) {
    UNROLL
    for (int64_t s = 0; s < VF; s++)
        r[s] = exist > 0 ? pack_read_across(half_at(from, half, 2 * s * stride), half, stride,
                                            exist, 2 * s, n)
                         : vf_zero();
    vf_transpose(r);
}

ALWAYS void pack_panels(const void *from, bool half, int64_t across, int64_t along, int64_t count,
                        int64_t depth, float *to) {
    for (int64_t i = 0; i < count; i += TILE_M)
        for (int64_t l = 0; l < depth; l += TILE_STEPS)
            for (int64_t sub = 0; sub < TILE_M; sub += VF, to += VF * TILE_DEPTH) {
                int64_t exist = count - i - sub, n = depth - l;
                const void *at =
                    half_at(from, half, (exist > 0 ? i + sub : 0) * across + l * along);
                vf r[VF];
                if (exist > VF) exist = VF;
                if (n > TILE_STEPS) n = TILE_STEPS;
                if (along == 1)
                    read_along(at, half, across, exist, n, r);
                else
                    read_across(at, half, along, exist, n, r);
                UNROLL
                for (int64_t s = 0; s < VF; s++)
                    vf_store(to + s * TILE_DEPTH, r[s]);
            }
}

/* Rows first .. first+count of a, each along k from l on. */
static void pack_a(const wn_tensor *a, int64_t first, int64_t count, int64_t l, int64_t depth,
                   float *to) {
    int64_t across = a->stride[0], along = a->stride[1];
    if (a->dtype == WN_DTYPE_BF16)
        pack_panels(half_at(a->data, true, first * across + l * along), true, across, along, count,
                    depth, to);
    else
        pack_panels(half_at(a->data, false, first * across + l * along), false, across, along,
                    count, depth, to);
}

/* Which of 32 columns eight groups keep, from their four bytes of index. */
ALWAYS __mmask32 kept24(const uint8_t *index, int64_t groups) {
    const __m128i mask = _mm_setr_epi8(0, 0, 0, 0, 3, 0, 0, 0, 5, 6, 0, 0, 9, 10, 12, 0);
    const __m128i low = _mm_set1_epi8(15);
    uint32_t bytes = 0;
    memcpy(&bytes, index, groups < 8 ? (size_t)(groups + 1) / 2 : sizeof bytes);
    __m128i nibbles = _mm_cvtsi32_si128((int)bytes);
    __m128i even = _mm_shuffle_epi8(mask, _mm_and_si128(nibbles, low));
    __m128i odd = _mm_shuffle_epi8(mask, _mm_and_si128(_mm_srli_epi16(nibbles, 4), low));
    __m128i both = _mm_or_si128(even, _mm_slli_epi16(odd, 4));
    return (__mmask32)_mm_cvtsi128_si32(both);
}

/* 32 columns of a row of weights, `groups` groups of which exist. */
ALWAYS vf unpack24(const wn__spmm24 *p, bool half, int64_t o, int64_t g, int64_t groups) {
    const uint8_t *index = (const uint8_t *)p->index.data + o * p->index.shape[1] + g / 2;
    vf pairs = pairs_get(p->values.data, half, o * p->values.shape[1] + 2 * g,
                         groups < 8 ? 2 * groups : 16);
    __mmask32 kept = kept24(index, groups);
    if (groups < 8) kept &= (__mmask32)((UINT32_C(1) << (4 * groups)) - 1);
    return vf_of_bits(_mm512_maskz_expand_epi16(kept, vi_bits(pairs)));
}

/* The panels of b that 2:4 weights are. */
ALWAYS void pack_outputs(const wn__spmm24 *p, bool half, int64_t first, int64_t count, int64_t l,
                         int64_t depth, float *to) {
    int64_t all = p->values.shape[1] / 2;
    for (int64_t i = 0; i < count; i += TILE_N, to += TILE_N * panel_depth(depth))
        for (int64_t sub = 0; sub < TILE_N; sub += VF)
            for (int64_t s = 0; s < depth; s += TILE_STEPS) {
                int64_t exist = count - i - sub, g = (l + s) / 4;
                vf r[VF];
                UNROLL
                for (int64_t o = 0; o < VF; o++)
                    r[o] =
                        o < exist ? unpack24(p, half, first + i + sub + o, g, all - g) : vf_zero();
                vf_transpose(r);
                UNROLL
                for (int64_t o = 0; o < VF; o++)
                    vf_store(to + (s / 2 + o) * TILE_N + sub, r[o]);
            }
}

static void pack_b24(const wn__spmm24 *p, int64_t first, int64_t count, int64_t l, int64_t depth,
                     float *to) {
    if (p->values.dtype == WN_DTYPE_BF16)
        pack_outputs(p, true, first, count, l, depth, to);
    else
        pack_outputs(p, false, first, count, l, depth, to);
}

static bool row_is_finite(const wn_tensor *x, int64_t at, int64_t n) {
    const vi exponent = vi_set(0x7F800000);
    bool half = x->dtype == WN_DTYPE_BF16;
    __mmask16 infinite = 0;
    for (int64_t l = 0; l < n; l += VF) {
        vf v = half_get(x->data, half, at + l, n - l < VF ? n - l : VF);
        infinite |= _mm512_cmpeq_epi32_mask(vi_and(vi_bits(v), exponent), exponent);
    }
    return infinite == 0;
}

/* A zero times an infinity is NaN, but a weight that is not kept multiplies nothing: a slice with
 * an infinity or NaN in x is none for tiles. */
static bool slice_is_finite(const wn__spmm24 *p, int64_t t0, int64_t count, int64_t l,
                            int64_t depth) {
    bool finite = true;
    for (int64_t i = 0; i < count; i++)
        finite = finite && row_is_finite(&p->x, (t0 + i) * p->x.stride[0] + l, depth);
    return finite;
}

/* What such a slice gives, weight by weight. */
static double kept_product(const wn__spmm24 *p, int64_t t, int64_t o, int64_t l, int64_t depth) {
    const uint8_t *index = (const uint8_t *)p->index.data + o * p->index.shape[1];
    double sum = 0;
    for (int64_t g = l / 4; 4 * g < l + depth; g++) {
        int nibble = index[g / 2] >> (g % 2 * 4) & 15;
        for (int slot = 0; slot < 2; slot++) {
            int64_t column = 4 * g + (nibble >> (2 * slot) & 3);
            if (column < p->x.shape[1])
                sum += wn__get(&p->x, wn__at(&p->x, t, column)) *
                       wn__get(&p->values, wn__at(&p->values, o, 2 * g + slot));
        }
    }
    return sum;
}

/* The same of a slice of a block. */
static void kept_products(const wn__spmm24 *p, const wn__matmul_block *at, int64_t l, int64_t depth,
                          float *sums, int64_t stride, bool add) {
    for (int64_t i = 0; i < at->m; i++)
        for (int64_t j = 0; j < at->n; j++) {
            float *to = sums + i * stride + j;
            double sum = kept_product(p, at->m0 + i, at->n0 + j, l, depth);
            *to = (float)((add ? (double)*to : 0) + sum);
        }
}

/* Where a packed slice of a keeps whether it is finite: tiles leave the slack at its end alone. */
ALWAYS float *finite_slice(const wn__matmul_plan *plan, const float *packed) {
    return (float *)packed + plan->a_floats - 1;
}
