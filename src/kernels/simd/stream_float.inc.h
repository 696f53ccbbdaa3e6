// SPDX-License-Identifier: MIT
/* stream of F32 and BF16 weights: outputs in lanes. A column of a dense tile meets one broadcast
 * element of x; of a 2:4 tile each lane picks its column out of a group of four with one
 * permutation within 128 bits, whose control is made of the index once for all tokens. */
#include "kernels/simd/vec.h"
#include "kernels/stream_layout.h"

#define TILE_VECS   (16 / VF)
#define PASS_TOKENS 4 /* that share one reading of the weights, at most */
#define TURNS       4 /* independent sums of an output, at most */

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
/* The two bits of slot number `slot` at the bottom of each dword. */
ALWAYS stream_bits slot_control(stream_bits index, int slot) {
    return _mm512_srli_epi32(index, (unsigned)(8 * (slot % 4) + 2 * (slot / 4)));
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
/* Four bytes 4 i + 0 .. 3 of slot number `slot`: bytes are permuted, since on some processors a
 * permutation of floats by a register takes four times as long. Slots 4 p .. 4 p + 3 share a shift,
 * which leaves 4 i in each byte. */
ALWAYS stream_bits slot_control(stream_bits index, int slot) {
    const __m256i field = _mm256_set1_epi32(0x0C0C0C0C), bytes = _mm256_set1_epi32(0x03020100);
    const __m256i spread = _mm256_add_epi8(_mm256_broadcastsi128_si256(_mm_setr_epi8(
                                               0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12)),
                                           _mm256_set1_epi8((char)(slot % 4)));
    __m256i four = slot < 4    ? _mm256_slli_epi32(index, 2)
                   : slot < 8  ? index
                   : slot < 12 ? _mm256_srli_epi32(index, 2)
                               : _mm256_srli_epi32(index, 4);
    four = _mm256_and_si256(four, field);
    return _mm256_or_si256(_mm256_shuffle_epi8(four, spread), bytes);
}
ALWAYS vf group_pick(vf x, stream_bits control) {
    return _mm256_castsi256_ps(_mm256_shuffle_epi8(_mm256_castps_si256(x), control));
}
#endif

/* Sums of a few tokens for a tile, `turns` for each. */
typedef struct tile_sums {
    vf of[PASS_TOKENS][TURNS][TILE_VECS];
} tile_sums;

/* As many as hide the latency of an FMA with few tokens. */
ALWAYS int turns_of(int tokens) {
    return tokens == 1 ? 4 : tokens == 2 ? 2 : 1;
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
ALWAYS void sparse_group(wn__stream_type type, int tokens, const uint8_t *w, const float *x,
                         int64_t down, int g, const stream_bits index[TILE_VECS], tile_sums *sums) {
    UNROLL
    for (int s = 0; s < 2; s++) {
        vf weights[TILE_VECS];
        stream_bits control[TILE_VECS];
        UNROLL
        for (int v = 0; v < TILE_VECS; v++) {
            control[v] = slot_control(index[v], 2 * g + s);
            stream_bits two = bits_load(w + 64 + 64 * g + v * 4 * VF);
            if (type == WN_STREAM_F32)
                weights[v] = weights_f32(w + 64 + 128 * g + 64 * s, v);
            else
                weights[v] = s ? half_high(two) : half_low(two);
        }
        UNROLL
        for (int t = 0; t < tokens; t++) {
            vf four = group_load(x + t * down + 4 * g);
            UNROLL
            for (int v = 0; v < TILE_VECS; v++) {
                vf *sum = &sums->of[t][(2 * g + s) % turns_of(tokens)][v];
                *sum = vf_fma(weights[v], group_pick(four, control[v]), *sum);
            }
        }
    }
}

ALWAYS void sparse_block(wn__stream_type type, int tokens, const uint8_t *w, const float *x,
                         int64_t down, tile_sums *sums) {
    stream_bits index[TILE_VECS];
    UNROLL
    for (int v = 0; v < TILE_VECS; v++)
        index[v] = bits_load(w + v * 4 * VF);
    UNROLL
    for (int g = 0; g < 8; g++)
        sparse_group(type, tokens, w, x, down, g, index, sums);
}

/* to[t][lane] += the products of `blocks` blocks with the rows of x. ahead: bytes between what is
 * read and what is fetched, 0: nothing is fetched. */
ALWAYS void float_pass(wn__stream_type type, bool sparse, int tokens, const uint8_t *w,
                       const float *x, int64_t down, int64_t blocks, int64_t ahead, float *to) {
    const int64_t bytes = wn__stream_block_bytes(&(wn__stream_format){type, sparse, 0, 0});
    tile_sums sums;
    UNROLL
    for (int t = 0; t < tokens; t++) {
        UNROLL
        for (int i = 0; i < TURNS * TILE_VECS; i++)
            sums.of[t][i / TILE_VECS][i % TILE_VECS] = vf_zero();
    }
    for (int64_t b = 0; b < blocks; b++, w += bytes, x += sparse ? 32 : 4) {
        if (ahead > 0) {
            UNROLL
            for (int64_t line = 0; line < bytes; line += 64)
                _mm_prefetch((const char *)w + ahead + line, _MM_HINT_T0);
        }
        if (sparse)
            sparse_block(type, tokens, w, x, down, &sums);
        else
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
