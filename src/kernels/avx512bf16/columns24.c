// SPDX-License-Identifier: MIT
/* columns24 of BF16: a block of 64 rows and 64 columns is transposed two columns at a time, and
 * what a column keeps of it is closed up by one instruction for 32 values and one for 64 rows, once
 * for pairs and once for what is single. Whole vectors are written past the end of a list: the next
 * one overwrites them, or they are in the slack of the slice. */
#include "base/fail.h"
#include "kernels/declare.h"
#include "kernels/op.h"
#include "kernels/simd/columns24_bits.h"
#include "kernels/simd/half.h"

_Static_assert(WN_COLUMNS24_SLACK >= BLOCK, "whole vectors behind the last list");

typedef struct block16 {
    _Alignas(64) uint16_t turned[BLOCK][BLOCK];
    uint64_t bits[BLOCK];
} block16;

/* n >= 0 numbers. */
ALWAYS vf read_some(const uint16_t *from, int64_t n) {
    __mmask32 exist = n < 2 * VF ? (__mmask32)((UINT32_C(1) << n) - 1) : UINT32_MAX;
    return vf_of_bits(_mm512_maskz_loadu_epi16(exist, from));
}

static void read_block(const wn__columns24 *p, int64_t i0, int64_t j0, block16 *b) {
    const int64_t down = p->w.stride[0], rows = clamp24(p->w.shape[0] - i0, BLOCK),
                  columns = clamp24(p->w.shape[1] - j0, BLOCK);
    const uint16_t *w = (const uint16_t *)p->w.data + i0 * down + j0;
    read_bits(p, i0, j0, b->bits);
    for (int64_t i = 0; i < rows; i += VF)
        for (int64_t j = 0; j < columns; j += 2 * VF) {
            vf r[VF];
            UNROLL
            for (int64_t k = 0; k < VF; k++)
                r[k] = i + k < rows ? read_some(w + (i + k) * down + j, columns - j) : vf_zero();
            vf_transpose(r);
            UNROLL
            for (int64_t k = 0; k < VF; k++) {
                __m256i first = _mm512_cvtepi32_epi16(vi_bits(r[k])),
                        second = _mm512_cvtepi32_epi16(vi_shift_right(vi_bits(r[k]), 16));
                _mm256_storeu_si256((void *)&b->turned[j + 2 * k][i], first);
                _mm256_storeu_si256((void *)&b->turned[j + 2 * k + 1][i], second);
            }
        }
}

/* The entries of some rows of a column; returns how many they are. */
ALWAYS int64_t list_rows(const uint16_t *turned, uint64_t rows, __m512i places, uint16_t *values,
                         uint8_t *row) {
    __mmask32 low = (__mmask32)rows, high = (__mmask32)(rows >> 32);
    __m512i first = _mm512_maskz_compress_epi16(low, _mm512_loadu_si512(turned)),
            second = _mm512_maskz_compress_epi16(high, _mm512_loadu_si512(turned + BLOCK / 2));
    _mm512_storeu_si512(values, first);
    _mm512_storeu_si512(values + __builtin_popcount(low), second);
    _mm512_storeu_si512(row, _mm512_maskz_compress_epi8(rows, places));
    return __builtin_popcountll(rows);
}

static void list_slices(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__columns24 *p = ctx;
    const int64_t c = p->w.shape[1], room = p->row.shape[1];
    uint8_t ascending[BLOCK];
    block16 b;
    for (int i = 0; i < BLOCK; i++)
        ascending[i] = (uint8_t)i;
    const __m512i places = _mm512_loadu_si512(ascending);
    for (int64_t s = begin; s < end; s++) {
        int32_t *start = (int32_t *)p->start.data + s * (c + 1);
        uint16_t *values = (uint16_t *)p->values.data + s * room;
        uint8_t *row = (uint8_t *)p->row.data + s * room;
        int64_t n = 0;
        for (int64_t j0 = 0; j0 < c; j0 += BLOCK) {
            read_block(p, s * WN_COLUMNS24_SLICE, j0, &b);
            for (int64_t j = 0; j < clamp24(c - j0, BLOCK); j++) {
                const uint64_t rows = b.bits[j], first = in_pairs(rows);
                start[j0 + j] = (int32_t)n;
                n += list_rows(b.turned[j], first, places, values + n, row + n);
                n += list_rows(b.turned[j], rows & ~first, places, values + n, row + n);
            }
        }
        start[c] = (int32_t)n;
        memset(values + n, 0, (size_t)(room - n) * sizeof *values);
        memset(row + n, 0, (size_t)(room - n));
    }
}

wn_status wn__columns24_avx512bf16(const void *args, wn__exec *x) {
    const wn__columns24 *p = args;
    WN_TRY(wn__columns24_refuse(p));
    wn__parallel_for(x->pool, p->start.shape[0], 1, list_slices, (void *)args);
    return WN_OK;
}
