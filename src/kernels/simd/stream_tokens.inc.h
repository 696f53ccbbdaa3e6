// SPDX-License-Identifier: MIT
/* stream of F32 and BF16 2:4 weights for more than a few tokens: tokens in lanes. x is transposed
 * into a panel, so that a kept weight is one broadcast, its column an address, and eight tokens one
 * FMA straight from memory: no permutation competes with the FMAs. Eight registers of sums stay
 * over the slice, then come other outputs'. */
#include "kernels/simd/vec.h"
#include "kernels/stream_layout.h"

/* Bytes of a column of the panel: 8 or 16 tokens. */
ALWAYS int64_t panel_width(int64_t tokens) {
    return tokens <= 8 ? 32 : 64;
}

/* panel[c][t] = x[t][c], zeros where there is none. */
static void lay_panel(const float *x, int64_t down, int64_t tokens, int64_t k, int64_t columns,
                      float *panel) {
    int64_t width = panel_width(tokens) / 4;
    for (int64_t t = 0; t < width; t += VF)
        for (int64_t c = 0; c < columns; c += VF) {
            int64_t rows = tokens - t < 0 ? 0 : tokens - t < VF ? tokens - t : VF;
            int64_t n = k - c < 0 ? 0 : k - c < VF ? k - c : VF;
            vf r[VF];
            vf_read_block(x + t * down + c, down, rows, n, r);
            vf_transpose(r);
            vf_write_block(panel + c * width + t, width, VF, width - t < VF ? width - t : VF, r);
        }
}

/* Bytes from the first column of a group to that of a slot of a lane, of a slot's index. */
ALWAYS size_t slot_offset(uint32_t index, int64_t lane, int64_t width) {
    const int bit = (int)(2 * lane), to = width == 32 ? 5 : 6;
    return (bit >= to ? index >> (bit - to) : index << (to - bit)) & (3U << to);
}

/* The value of a slot of a lane. BF16: the upper half of the dword that ends with it, its lower
 * half is another value's. */
ALWAYS float slot_value(wn__stream_type type, const uint8_t *w, int slot, int lane) {
    int64_t at = type == WN_STREAM_F32 ? 64 * slot : slot / 2 * 64 + 2 * (slot % 2) - 2;
    float value;
    memcpy(&value, w + 64 + at + 4 * lane, sizeof value);
    return value;
}

/* acc[v] += the value times a column of the panel. */
ALWAYS void add_column(wn__stream_type type, int64_t width, float value, const float *column,
                       __m256 *acc) {
    const __m256 high = _mm256_castsi256_ps(_mm256_set1_epi32((int)0xFFFF0000));
    __m256 weight = _mm256_set1_ps(value);
    if (type == WN_STREAM_BF16) weight = _mm256_and_ps(weight, high);
    UNROLL
    for (int v = 0; v < width / 32; v++)
        acc[v] = _mm256_fmadd_ps(weight, _mm256_loadu_ps(column + 8 * v), acc[v]);
}

/* A slice of a tile: its blocks, where the columns of the first one are, and where in it. */
typedef struct token_slice {
    const uint8_t *w;
    const char *panel;
    int64_t blocks, ahead;
} token_slice;

/* sums[lane][token] of eight accumulators' lanes += their products in a slice. */
ALWAYS void token_lanes(wn__stream_type type, int64_t width, const token_slice *s, int64_t lane,
                        float *sums) {
    const int64_t bytes = wn__stream_block_bytes(&(wn__stream_format){type, true, 0, 0});
    const int vecs = width == 64 ? 2 : 1, lanes = 8 / vecs;
    const uint8_t *w = s->w + 4 * lane;
    const char *panel = s->panel;
    __m256 acc[8];
    UNROLL
    for (int i = 0; i < 8; i++)
        acc[i] = _mm256_loadu_ps(sums + 8 * i);
    for (int64_t b = 0; b < s->blocks; b++, w += bytes, panel += 32 * width) {
        for (int64_t line = 0; s->ahead > 0 && line < bytes; line += 64)
            _mm_prefetch((const char *)w + s->ahead + line, _MM_HINT_T0);
        UNROLL
        for (int slot = 0; slot < 16; slot++) {
            uint32_t index;
            memcpy(&index, w - 4 * lane + 4 * slot, sizeof index);
            index >>= 2 * lane;
            UNROLL
            for (int o = 0; o < lanes; o++) {
                const char *column =
                    panel + slot_offset(index, o, width) + slot / 2 * 4 * width;
                add_column(type, width, slot_value(type, w, slot, o),
                           (const float *)(const void *)column, acc + o * vecs);
                __asm__ volatile("" ::: "memory"); /* gcc would load ahead of all, and spill */
            }
        }
    }
    UNROLL
    for (int i = 0; i < 8; i++)
        _mm256_storeu_ps(sums + 8 * i, acc[i]);
}

ALWAYS void take_slice(wn__stream_type type, int64_t width, token_slice s, float *sums) {
    const int64_t lanes = width == 64 ? 4 : 8;
    for (int64_t lane = 0; lane < WN_STREAM_LANES; lane += lanes) {
        token_lanes(type, width, &s, lane, sums + lane * width / 4);
        s.ahead = 0;
    }
}

/* sums of a tile, [lane][token], as out[token][lane]. */
static void turn_sums(const float *sums, int64_t width, float *out) {
    for (int64_t t = 0; t < width; t += VF)
        for (int64_t lane = 0; lane < WN_STREAM_LANES; lane += VF) {
            int64_t n = width - t < VF ? width - t : VF;
            vf r[VF];
            vf_read_block(sums + lane * width + t, width, VF, n, r);
            vf_transpose(r);
            vf_write_block(out + t * WN_STREAM_LANES + lane, WN_STREAM_LANES, n, VF, r);
        }
}
