// SPDX-License-Identifier: MIT
/* stream of F32 and BF16 2:4 weights for more than a few tokens: tokens in lanes. x is transposed
 * into a panel, so that a kept weight is one broadcast, its column an address, and eight tokens one
 * FMA straight from memory: no permutation competes with the FMAs. Outputs take turns, whose sums
 * stay in registers over a slice of the tile. */
#include "kernels/simd/vec.h"
#include "kernels/stream_layout.h"

/* Bytes of a column of the panel. */
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

/* The value of a slot of a lane, in all lanes. BF16: the upper half of the dword that ends with it.
 */
ALWAYS __m256 slot_weight(wn__stream_type type, const uint8_t *w, int slot, int64_t lane) {
    float value;
    if (type == WN_STREAM_F32) {
        memcpy(&value, w + 64 + 64 * slot + 4 * lane, sizeof value);
        return _mm256_set1_ps(value);
    }
    memcpy(&value, w + 64 + slot / 2 * 64 + 4 * lane + 2 * (slot % 2) - 2, sizeof value);
    const __m256i high = _mm256_set1_epi32((int)0xFFFF0000);
    return _mm256_and_ps(_mm256_set1_ps(value), _mm256_castsi256_ps(high));
}

/* Bytes from the first column of a slot's group to the slot's own. */
ALWAYS size_t slot_offset(uint32_t index, int slot, int64_t width) {
    const int bit = 8 * (slot % 4) + 2 * (slot / 4), to = width == 32 ? 5 : 6;
    return (bit >= to ? index >> (bit - to) : index << (to - bit)) & (3U << to);
}

/* sums[t][lane] of `outputs` lanes += their products in `blocks` blocks. */
ALWAYS void token_outputs(wn__stream_type type, int outputs, int64_t width, const uint8_t *w,
                          const char *panel, int64_t blocks, int64_t ahead, int64_t lane,
                          __m256 *sums) {
    const int64_t bytes = wn__stream_block_bytes(&(wn__stream_format){type, true, 0, 0});
    const int vecs = (int)(width / 32);
    __m256 acc[8];
    UNROLL
    for (int i = 0; i < outputs * vecs; i++)
        acc[i] = sums[i];
    for (int64_t b = 0; b < blocks; b++, w += bytes, panel += 32 * width) {
        if (ahead > 0) {
            UNROLL
            for (int64_t line = 0; line < bytes; line += 64)
                _mm_prefetch((const char *)w + ahead + line, _MM_HINT_T0);
        }
        UNROLL
        for (int slot = 0; slot < 16; slot++) {
            UNROLL
            for (int o = 0; o < outputs; o++) {
                uint32_t index;
                memcpy(&index, w + 4 * (lane + o), sizeof index);
                const char *column = panel + slot_offset(index, slot, width);
                __m256 weight = slot_weight(type, w, slot, lane + o);
                __asm__("" : "+r"(column)); /* or parts of addresses are kept, and spilled */
                column += slot / 2 * 4 * width;
                UNROLL
                for (int v = 0; v < vecs; v++) {
                    __m256 x = _mm256_loadu_ps((const float *)(const void *)column + 8 * v);
                    acc[o * vecs + v] = _mm256_fmadd_ps(weight, x, acc[o * vecs + v]);
                }
            }
        }
    }
    UNROLL
    for (int i = 0; i < outputs * vecs; i++)
        sums[i] = acc[i];
}

/* sums[lane][token] += a slice of a tile, whose columns begin at `panel`. */
ALWAYS void token_slice(wn__stream_type type, int64_t width, const uint8_t *w, const char *panel,
                        int64_t blocks, int64_t ahead, __m256 *sums) {
    const int vecs = (int)(width / 32), outputs = 8 / vecs;
    for (int64_t lane = 0; lane < WN_STREAM_LANES; lane += outputs)
        token_outputs(type, outputs, width, w, panel, blocks, lane == 0 ? ahead : 0, lane,
                      sums + lane * vecs);
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
