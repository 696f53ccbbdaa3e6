// SPDX-License-Identifier: MIT
/* stream of F32 and BF16 weights: outputs in lanes. A column of a dense tile meets one broadcast
 * element of x; of a 2:4 tile each lane picks its column out of a group of four with one
 * permutation within 128 bits, whose control is made of the index once for all tokens: with AVX-512
 * by a shift for each lane, with AVX2 out of a table, four lanes at a time. */
#include "kernels/simd/stream_fetch.h"
#include "kernels/simd/stream_pick.h"
#include "kernels/simd/vec.h"
#include "kernels/stream_layout.h"

#include <string.h>

#define TILE_VECS (16 / VF)
#define TURNS     4 /* independent sums of an output, at most */

#if VF == 16
typedef __m512i stream_bits;
ALWAYS stream_bits bits_load(const uint8_t *p) {
    return _mm512_loadu_si512(p);
}
ALWAYS vf half_low(stream_bits a) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(a, 16));
}
ALWAYS vf half_high(stream_bits a) {
    return _mm512_castsi512_ps(_mm512_and_si512(a, _mm512_set1_epi32((int)0xFFFF0000)));
}
ALWAYS vf group_load(const float *x) {
    return _mm512_broadcast_f32x4(_mm_loadu_ps(x));
}
/* Of a slot's index, the two bits of each lane at the bottom of its dword. */
ALWAYS stream_bits slot_control(uint32_t index, int vec) {
    const __m512i places =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    (void)vec;
    return _mm512_srlv_epi32(_mm512_set1_epi32((int)index), places);
}
ALWAYS vf group_pick(vf x, stream_bits control) {
    return _mm512_permutevar_ps(x, control);
}
#else
typedef __m256i stream_bits;
ALWAYS stream_bits bits_load(const uint8_t *p) {
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
ALWAYS vf half_low(stream_bits a) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(a, 16));
}
ALWAYS vf half_high(stream_bits a) {
    return _mm256_castsi256_ps(_mm256_and_si256(a, _mm256_set1_epi32((int)0xFFFF0000)));
}
ALWAYS vf group_load(const float *x) {
    return _mm256_broadcast_ps((const __m128 *)(const void *)x);
}
/* Picks of four lanes, of a slot's index. Bytes are permuted, since on some processors a
 * permutation of floats by a register takes four times as long. */
ALWAYS __m128i quad_control(uint32_t index, int quad) {
    const char *picks = (const char *)wn__stream_picks;
    uint32_t at = quad == 0 ? index << 4 : index >> (8 * quad - 4);
    return _mm_load_si128((const __m128i *)(const void *)(picks + (at & 0xFF0)));
}
ALWAYS stream_bits slot_control(uint32_t index, int vec) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(quad_control(index, 2 * vec)),
                                   quad_control(index, 2 * vec + 1), 1);
}
ALWAYS vf group_pick(vf x, stream_bits control) {
    return _mm256_castsi256_ps(_mm256_shuffle_epi8(_mm256_castps_si256(x), control));
}
#endif

/* The lines of group g of eight of a 2:4 block; the first one takes the index. */
ALWAYS void fetch_group(wn__stream_type type, const uint8_t *w, int g, int64_t ahead) {
    const int64_t each = type == WN_STREAM_F32 ? 128 : 64;
    fetch_lines(w, g == 0 ? 0 : 64 + each * g, 64 + each * (g + 1), ahead);
}

ALWAYS uint32_t index_of(const uint8_t *w, int slot) {
    uint32_t index;
    memcpy(&index, w + 4 * slot, sizeof index);
    return index;
}

#if VF == 16
/* Sixteen bytes as a matrix of 4 x 4, transposed, in each 128 bits. */
ALWAYS __m512i turn_bytes(__m512i a) {
    return _mm512_shuffle_epi8(a, _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2,
                                                                       6, 10, 14, 3, 7, 11, 15)));
}

/* Bits of `low` and those `apart` above them change places. */
ALWAYS __m512i turn_bits(__m512i a, int apart, int low) {
    __m512i t = _mm512_srli_epi32(a, (unsigned)apart);
    t = _mm512_ternarylogic_epi32(t, a, _mm512_set1_epi32(low), 0x28); /* (t ^ a) & low */
    return _mm512_ternarylogic_epi32(a, t, _mm512_slli_epi32(t, (unsigned)apart), 0x96);
}

/* The index of a 2:4 block as a dword a lane, bits 2 s of it slot s's: for one token, who reads
 * memory as fast as loads find places, one load and eleven operations instead of a load a slot.
 * A slot is 4 p + i, a lane 4 q + j: i and q, i and j, p and q, j and p change places. */
ALWAYS __m512i turned_index(const uint8_t *w) {
    const __m512i fourths = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i a = turn_bytes(_mm512_loadu_si512(w));
    a = turn_bits(turn_bits(a, 12, 0x0000F0F0), 6, 0x00CC00CC);
    return turn_bytes(_mm512_permutexvar_epi32(fourths, a));
}

/* The same control as slot_control's, in the lower two bits of each dword. */
ALWAYS __m512i turned_control(__m512i turned, int slot) {
    return _mm512_srli_epi32(turned, (unsigned)(2 * slot));
}
#else
ALWAYS stream_bits turned_index(const uint8_t *w) {
    (void)w;
    return _mm256_setzero_si256();
}
ALWAYS stream_bits turned_control(stream_bits turned, int slot) {
    (void)slot;
    return turned;
}
#endif

/* F32 alone: of BF16 a line of weights meets twice the operations, and turning was no faster. */
ALWAYS bool turns_index(wn__stream_type type, int tokens) {
    return VF == 16 && type == WN_STREAM_F32 && tokens == 1;
}

/* Loaded once, not again for each token. */
ALWAYS vf in_register(vf a) {
#if VF == 16
    __asm__("" : "+v"(a));
#else
    __asm__("" : "+x"(a));
#endif
    return a;
}

/* Under clang, what is marked stands in the order of the source: it would make all controls of a
 * block first, and spill sums. With more tokens than 8 that costs more than it saves, and gcc needs
 * none of it. */
ALWAYS bool in_order_of(int tokens) {
#if defined(__clang__) && VF == 16
    return tokens > 2 && tokens <= 8;
#else
    (void)tokens;
    return false;
#endif
}
#define IN_ORDER(a) __asm__ volatile("" : "+v"(a))

/* Sums of a few tokens for a tile, `turns` for each. */
typedef struct tile_sums {
    vf of[WN_STREAM_BATCH][TURNS][TILE_VECS];
} tile_sums;

/* As many as hide the latency of an FMA with few tokens. */
ALWAYS int turns_of(int tokens) {
    const int sums = tokens * TILE_VECS;
    return sums <= 2 ? 4 : sums <= 4 ? 2 : 1;
}

ALWAYS vf weights_f32(const uint8_t *at, int vec) {
    return vf_load((const float *)(const void *)at + vec * VF);
}

/* Four columns. */
ALWAYS void dense_block(wn__stream_type type, int tokens, const uint8_t *w, const float *x,
                        int64_t down, tile_sums *sums) {
    UNROLL
    for (int c = 0; c < 4; c++) {
        vf weights[TILE_VECS];
        UNROLL
        for (int v = 0; v < TILE_VECS; v++) {
            stream_bits two = bits_load(w + c / 2 * 64 + v * 4 * VF);
            if (type == WN_STREAM_F32)
                weights[v] = weights_f32(w + c * 64, v);
            else
                weights[v] = c % 2 ? half_high(two) : half_low(two);
        }
        UNROLL
        for (int t = 0; t < tokens; t++) {
            vf one = vf_set(x[t * down + c]);
            UNROLL
            for (int v = 0; v < TILE_VECS; v++) {
                vf *sum = &sums->of[t][c % turns_of(tokens)][v];
                *sum = vf_fma(weights[v], one, *sum);
            }
        }
    }
}

/* Both slots of group g. */
ALWAYS void sparse_group(wn__stream_type type, int tokens, const uint8_t *w, stream_bits turned,
                         const float *x, int64_t down, int g, tile_sums *sums) {
    UNROLL
    for (int s = 0; s < 2; s++) {
        vf weights[TILE_VECS];
        stream_bits control[TILE_VECS];
        UNROLL
        for (int v = 0; v < TILE_VECS; v++) {
            control[v] = turns_index(type, tokens) ? turned_control(turned, 2 * g + s)
                                                   : slot_control(index_of(w, 2 * g + s), v);
            if (in_order_of(tokens)) IN_ORDER(control[v]);
            stream_bits two = bits_load(w + 64 + 64 * g + v * 4 * VF);
            if (type == WN_STREAM_F32)
                weights[v] = weights_f32(w + 64 + 128 * g + 64 * s, v);
            else
                weights[v] = s ? half_high(two) : half_low(two);
            if (tokens > 1) weights[v] = in_register(weights[v]);
        }
        UNROLL
        for (int t = 0; t < tokens; t++) {
            vf four = group_load(x + t * down + 4 * g);
            UNROLL
            for (int v = 0; v < TILE_VECS; v++) {
                vf *sum = &sums->of[t][(2 * g + s) % turns_of(tokens)][v];
                *sum = vf_fma(weights[v], group_pick(four, control[v]), *sum);
                if (in_order_of(tokens)) IN_ORDER(*sum);
            }
        }
    }
}

#if VF == 8
/* The picks of quad number `at` of the eight of a group, four of slot 0 before those of slot 1. The
 * rotation leaves its source alone, which no shift does: this loop waits for its instructions to be
 * issued, four of ten of which make and use such addresses. */
ALWAYS __m128i picks_of_group(uint64_t both, int at) {
    const char *picks = (const char *)wn__stream_picks;
    uint64_t turned = both << 4;
#define PICKS_AT(n)                                                                                \
    case n:                                                                                        \
        __asm__ volatile("rorx %2, %1, %0" : "=r"(turned) : "r"(both), "i"(8 * (n)-4));            \
        break;
    switch (at) { /* the instruction holds the number, which is a literal without unrolling too */
        PICKS_AT(1)
        PICKS_AT(2)
        PICKS_AT(3)
        PICKS_AT(4)
        PICKS_AT(5)
        PICKS_AT(6)
        PICKS_AT(7)
    }
#undef PICKS_AT
    return _mm_load_si128((const __m128i *)(const void *)(picks + (turned & 0xFF0)));
}

/* A sum with the products of four lanes, finished before what comes after it in the source. */
ALWAYS __m128 add_picked(__m128 sum, __m128i weights, __m128i four, __m128i picks) {
    __m128i x = _mm_shuffle_epi8(four, picks);
    sum = _mm_fmadd_ps(_mm_castsi128_ps(weights), _mm_castsi128_ps(x), sum);
    __asm__ volatile("" : "+x"(sum));
    return sum;
}

/* Loaded once, not again for each slot. */
ALWAYS __m128i weights_load(const uint8_t *at) {
    __m128i weights = _mm_loadu_si128((const __m128i *)(const void *)at);
    __asm__ volatile("" : "+x"(weights));
    return weights;
}

/* Both slots of group g of one token: half as wide, since what the table holds is, and these
 * processors' registers often are. The order of the source is kept: clang would make all addresses
 * first, and spill. */
ALWAYS void sparse_group_one(wn__stream_type type, const uint8_t *w, __m128i four, int g,
                             __m128 sums[2][4]) {
    const __m128i high = _mm_set1_epi32((int)0xFFFF0000);
    uint64_t both;
    memcpy(&both, w + 8 * g, sizeof both);
    UNROLL
    for (int quad = 0; quad < 4; quad++) {
        const uint8_t *at = w + 64 + 16 * quad + (type == WN_STREAM_F32 ? 128 : 64) * g;
        __m128i first = weights_load(at), second;
        if (type == WN_STREAM_F32) {
            second = weights_load(at + 64);
        } else {
            second = _mm_and_si128(first, high);
            first = _mm_slli_epi32(first, 16);
        }
        sums[0][quad] = add_picked(sums[0][quad], first, four, picks_of_group(both, quad));
        sums[1][quad] = add_picked(sums[1][quad], second, four, picks_of_group(both, 4 + quad));
    }
}

/* One token: a sum of each slot for four times four lanes. */
ALWAYS void sparse_pass_one(wn__stream_type type, const uint8_t *w, const float *x, int64_t blocks,
                            int64_t ahead, float *to) {
    const int64_t bytes = wn__stream_block_bytes(&(wn__stream_format){type, true, 0, 0});
    __m128 sums[2][4];
    UNROLL
    for (int i = 0; i < 8; i++)
        sums[i / 4][i % 4] = _mm_setzero_ps();
    for (int64_t b = 0; b < blocks; b++, w += bytes, x += 32) {
        UNROLL
        for (int g = 0; g < 8; g++) {
            fetch_group(type, w, g, ahead);
            sparse_group_one(type, w, _mm_loadu_si128((const __m128i *)(const void *)(x + 4 * g)),
                             g, sums);
        }
    }
    UNROLL
    for (int quad = 0; quad < 4; quad++) {
        __m128 sum = _mm_add_ps(sums[0][quad], sums[1][quad]);
        _mm_storeu_ps(to + 4 * quad, _mm_add_ps(_mm_loadu_ps(to + 4 * quad), sum));
    }
}
#endif

/* to[t][lane] += the products of `blocks` blocks with the rows of x. ahead: bytes between what is
 * read and what is fetched, 0: nothing is fetched. */
ALWAYS void float_pass(wn__stream_type type, bool sparse, int tokens, const uint8_t *w,
                       const float *x, int64_t down, int64_t blocks, int64_t ahead, float *to) {
    const int64_t bytes = wn__stream_block_bytes(&(wn__stream_format){type, sparse, 0, 0});
    tile_sums sums;
#if VF == 8
    if (sparse && tokens == 1) {
        sparse_pass_one(type, w, x, blocks, ahead, to);
        return;
    }
#endif
    UNROLL
    for (int t = 0; t < tokens; t++) {
        UNROLL
        for (int i = 0; i < TURNS * TILE_VECS; i++)
            sums.of[t][i / TILE_VECS][i % TILE_VECS] = vf_zero();
    }
    for (int64_t b = 0; b < blocks; b++, w += bytes, x += sparse ? 32 : 4) {
        fetch_page(w, bytes, ahead);
        const stream_bits turned = turned_index(w);
        UNROLL
        for (int g = 0; sparse && g < 8; g++) {
            fetch_group(type, w, g, ahead);
            sparse_group(type, tokens, w, turned, x, down, g, &sums);
        }
        if (sparse) continue;
        fetch_lines(w, 0, bytes, ahead);
        dense_block(type, tokens, w, x, down, &sums);
    }
    UNROLL
    for (int t = 0; t < tokens; t++) {
        UNROLL
        for (int v = 0; v < TILE_VECS; v++) {
            vf sum = sums.of[t][0][v];
            UNROLL
            for (int i = 1; i < turns_of(tokens); i++)
                sum = vf_add(sum, sums.of[t][i][v]);
            float *at = to + 16 * t + VF * v;
            vf_store(at, vf_add(vf_load(at), sum));
        }
    }
}
