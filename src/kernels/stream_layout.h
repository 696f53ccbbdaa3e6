// SPDX-License-Identifier: MIT
/* Where everything stands in a stream (stream.h). Lane l of tile i is row 16 i + l.
 *
 * Index of a 2:4 block, two bits for each slot s of its groups g, or the number of a pair:
 *   F32, BF16  a dword for each slot 2 g + s: bits 2 l are lane l's (g < 8)
 *   INT8       a dword a lane: byte 2 (g mod 2) + s, bits 2 (g/2) (g < 8). Values stand alike
 *   INT4       three planes of 32 bytes. Byte 2 l + g mod 2 of each, with m = g/2: bits 3 (m mod 2)
 *              of plane m/2 (m < 6). Of m = 6 and 7, two bits at 6 of plane m - 6 and, as bit 2,
 * bit m of plane 2 Values: F32     a dword a lane for each column, or for slot 0, then slot 1 of
 * each group BF16    a dword a lane with two neighbouring columns, or the two slots of a group INT8
 * a dword a lane with four columns, or the slots of two groups INT4    offset by 8. Dense: four
 * columns a dword, the next four in the high nibbles. 2:4: two groups in a word, one a byte, slot 1
 * in the high nibble */
#ifndef WN_KERNELS_STREAM_LAYOUT_H
#define WN_KERNELS_STREAM_LAYOUT_H

#include "kernels/stream.h"

#define WN_STREAM_LANES ((int64_t)16)
#define WN_STREAM_GROUP ((int64_t)64) /* columns that share a scale of INT4 */
#define WN_STREAM_LEAST 0x1p-56F      /* smaller magnitudes do not count for quantisation */
#define WN_STREAM_MOST  ((int64_t)1 << 17)
#define WN_STREAM_BATCH ((int64_t)16) /* tokens that share a pass over the weights */

/* Pairs of columns by number. */
extern const uint8_t wn__stream_first[6], wn__stream_second[6];

static inline bool wn__stream_quantised(const wn__stream_format *f) {
    return f->type >= WN_STREAM_INT8;
}

static inline int64_t wn__stream_block_columns(const wn__stream_format *f) {
    return f->type == WN_STREAM_INT4 ? WN_STREAM_GROUP : f->sparse ? 32 : 4;
}

static inline int64_t wn__stream_block_bytes(const wn__stream_format *f) {
    static const int64_t dense[] = {256, 128, 64, 544}, sparse[] = {1088, 576, 320, 384};
    return f->sparse ? sparse[f->type] : dense[f->type];
}

/* Before the blocks of a tile. */
static inline int64_t wn__stream_head_bytes(const wn__stream_format *f) {
    return f->type == WN_STREAM_INT8 ? 64 : 0;
}

static inline int64_t wn__stream_blocks(const wn__stream_format *f) {
    int64_t columns = wn__stream_block_columns(f);
    return (f->k + columns - 1) / columns;
}

static inline int64_t wn__stream_tile_bytes(const wn__stream_format *f) {
    return wn__stream_head_bytes(f) + wn__stream_blocks(f) * wn__stream_block_bytes(f);
}

static inline int64_t wn__stream_tiles(const wn__stream_format *f) {
    return (f->n + WN_STREAM_LANES - 1) / WN_STREAM_LANES;
}

/* Groups of four of a row, those of padding included. */
static inline int64_t wn__stream_groups24(const wn__stream_format *f) {
    return wn__stream_blocks(f) * wn__stream_block_columns(f) / 4;
}

/* One weight as it is stored: bits of the value for F32 and BF16, q for the others. The column of a
 * dense weight, or 2 group + slot of a 2:4 one. */
int64_t wn__stream_get(const wn__stream_format *f, const uint8_t *stream, int64_t row, int64_t at);
void wn__stream_put(const wn__stream_format *f, uint8_t *stream, int64_t row, int64_t at,
                    int64_t bits);
/* i0 | i1<<2 of a group. */
unsigned wn__stream_get_pair(const wn__stream_format *f, const uint8_t *stream, int64_t row,
                             int64_t group);
void wn__stream_put_pair(const wn__stream_format *f, uint8_t *stream, int64_t row, int64_t group,
                         unsigned nibble);
/* The scale of a row (INT8), or of 64 columns of it (INT4). */
float wn__stream_get_scale(const wn__stream_format *f, const uint8_t *stream, int64_t row,
                           int64_t group);
void wn__stream_put_scale(const wn__stream_format *f, uint8_t *stream, int64_t row, int64_t group,
                          float scale);
/* W itself, of a stored weight: value, or q s. */
double wn__stream_weight(const wn__stream_format *f, const uint8_t *stream, int64_t row,
                         int64_t at);

/* INVALID names the first weight that INT8 and INT4 do not take. */
WN_NODISCARD wn_status wn__stream_refuse(const wn__stream_pack *p);

/* Columns that share a scale of x: all of them, or 64. */
static inline int64_t wn__stream_share(const wn__stream_format *f) {
    return f->type == WN_STREAM_INT4 ? WN_STREAM_GROUP : f->k;
}

#endif
