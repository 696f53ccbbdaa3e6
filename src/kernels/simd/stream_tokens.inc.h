// SPDX-License-Identifier: MIT
/* stream of F32 and BF16 2:4 weights for 16 tokens, 256 bits wide: tokens in lanes. x is transposed
 * into a panel, so that a kept weight is one broadcast, its column an address, and eight tokens one
 * FMA straight from memory: no permutation competes with the FMAs. Eight registers of sums stay
 * over a slice for four outputs, then come other outputs'. Fewer tokens leave too much of that
 * empty. */
#include "kernels/simd/stream_fetch.h"
#include "kernels/simd/vec.h"
#include "kernels/stream_layout.h"

#include <string.h>

#define PANEL_OUTPUTS 4  /* that have their sums in registers */
#define PANEL_BYTES   64 /* of a column: 16 tokens */

/* panel[c][t] = x[t][c], zeros where there is no column. */
static void lay_panel(const float *x, int64_t down, int64_t k, int64_t columns, float *panel) {
    for (int64_t t = 0; t < WN_STREAM_BATCH; t += VF)
        for (int64_t c = 0; c < columns; c += VF) {
            vf r[VF];
            int64_t n = k - c < 0 ? 0 : k - c < VF ? k - c : VF;
            vf_read_block(x + t * down + c, down, VF, n, r);
            vf_transpose(r);
            vf_write_block(panel + c * WN_STREAM_BATCH + t, WN_STREAM_BATCH, VF, VF, r);
        }
}

/* Bytes from the first column of a group to that of a slot of a lane, of a slot's index. */
ALWAYS size_t slot_offset(uint32_t index, int lane) {
    const int bit = 2 * lane, to = 6;
    return (bit >= to ? index >> (bit - to) : index << (to - bit)) & (3 * PANEL_BYTES);
}

/* The value of a slot of a lane in the upper half of a dword at least. BF16: its lower half is
 * another value's. */
ALWAYS float slot_value(wn__stream_type type, const uint8_t *w, int slot, int lane) {
    int64_t at = type == WN_STREAM_F32 ? 64 * slot : slot / 2 * 64 + 2 * (slot % 2) - 2;
    float value;
    memcpy(&value, w + 64 + at + 4 * lane, sizeof value);
    return value;
}

/* acc += the value times a column of the panel. */
ALWAYS void add_column(wn__stream_type type, float value, const float *column, vf acc[2]) {
    const vf high = _mm256_castsi256_ps(_mm256_set1_epi32((int)0xFFFF0000));
    vf weight = vf_set(value);
    if (type == WN_STREAM_BF16) weight = _mm256_and_ps(weight, high);
    acc[0] = vf_fma(weight, vf_load(column), acc[0]);
    acc[1] = vf_fma(weight, vf_load(column + VF), acc[1]);
}

/* sums[lane][token] of four lanes += their products in `blocks` blocks. */
ALWAYS void token_lanes(wn__stream_type type, const uint8_t *w, const char *panel, int64_t blocks,
                        int64_t ahead, int lane, float *sums) {
    const int64_t bytes = wn__stream_block_bytes(&(wn__stream_format){type, true, 0, 0});
    vf acc[PANEL_OUTPUTS][2];
    UNROLL
    for (int i = 0; i < 2 * PANEL_OUTPUTS; i++)
        acc[i / 2][i % 2] = vf_load(sums + VF * i);
    for (int64_t b = 0; b < blocks; b++, w += bytes, panel += 32 * PANEL_BYTES) {
        UNROLL
        for (int slot = 0; slot < 16; slot++) {
            uint32_t index;
            fetch_lines(w, bytes / 64 * slot / 16 * 64, bytes / 64 * (slot + 1) / 16 * 64, ahead);
            memcpy(&index, w + 4 * slot, sizeof index);
            index >>= 2 * lane;
            UNROLL
            for (int o = 0; o < PANEL_OUTPUTS; o++) {
                const char *column = panel + slot / 2 * 4 * PANEL_BYTES + slot_offset(index, o);
                add_column(type, slot_value(type, w + 4 * lane, slot, o),
                           (const float *)(const void *)column, acc[o]);
                __asm__ volatile("" ::: "memory"); /* gcc would load ahead of all, and spill */
            }
        }
    }
    UNROLL
    for (int i = 0; i < 2 * PANEL_OUTPUTS; i++)
        vf_store(sums + VF * i, acc[i / 2][i % 2]);
}

/* sums of a tile, [lane][token], as out[token][lane]. */
static void turn_sums(const float *sums, float *out) {
    for (int64_t t = 0; t < WN_STREAM_BATCH; t += VF)
        for (int64_t lane = 0; lane < WN_STREAM_LANES; lane += VF) {
            vf r[VF];
            vf_read_block(sums + lane * WN_STREAM_BATCH + t, WN_STREAM_BATCH, VF, VF, r);
            vf_transpose(r);
            vf_write_block(out + t * WN_STREAM_LANES + lane, WN_STREAM_LANES, VF, VF, r);
        }
}
