// SPDX-License-Identifier: MIT
// Places of weights, indices and scales in a stream.
#include "kernels/stream_layout.h"
#include "base/fail.h"
#include "base/half.h"
#include "kernels/element.h"

#include <math.h>

const char *const wn__stream_words[] = {"f32", "bf16", "int8", "int4", NULL};
const uint8_t wn__stream_first[6] = {0, 0, 0, 1, 1, 2}, wn__stream_second[6] = {1, 2, 3, 2, 3, 3};

size_t wn__stream_bytes(const wn__stream_format *f) {
    return (size_t)(wn__stream_tiles(f) * wn__stream_tile_bytes(f));
}

const char *wn__stream_name(const wn__stream_format *f) {
    static const char *const sparse[] = {"f32 2:4", "bf16 2:4", "int8 2:4", "int4 2:4"};
    return f->sparse ? sparse[f->type] : wn__stream_words[f->type];
}

// Byte of the block that holds something of group or column `at`, and how far in it that is.
static int64_t block_of(const wn__stream_format *f, int64_t row, int64_t at, int64_t each,
                        int64_t *inside) {
    *inside = at % each;
    return row / WN_STREAM_LANES * wn__stream_tile_bytes(f) + wn__stream_head_bytes(f) +
           at / each * wn__stream_block_bytes(f);
}

typedef struct place {
    int64_t byte;
    int shift; // of a nibble
} place;

static place dense_place(const wn__stream_format *f, int64_t row, int64_t column) {
    int64_t lane = row % WN_STREAM_LANES, c;
    int64_t block = block_of(f, row, column, wn__stream_block_columns(f), &c);
    switch (f->type) {
    case WN_STREAM_F32:
        return (place){block + 64 * c + 4 * lane, 0};
    case WN_STREAM_BF16:
        return (place){block + c / 2 * 64 + 4 * lane + 2 * (c % 2), 0};
    case WN_STREAM_INT8:
        return (place){block + 4 * lane + c, 0};
    default:
        return (place){block + 32 + c / 8 * 64 + 4 * lane + c % 4, (int)(c / 4 % 2) * 4};
    }
}

static place slot_place(const wn__stream_format *f, int64_t row, int64_t at) {
    int64_t lane = row % WN_STREAM_LANES, slot = at % 2, g;
    int64_t block = block_of(f, row, at / 2, wn__stream_block_columns(f) / 4, &g);
    switch (f->type) {
    case WN_STREAM_F32:
        return (place){block + 64 + 128 * g + 64 * slot + 4 * lane, 0};
    case WN_STREAM_BF16:
        return (place){block + 64 + 64 * g + 4 * lane + 2 * slot, 0};
    case WN_STREAM_INT8:
        return (place){block + 64 + g / 2 * 64 + 4 * lane + 2 * (g % 2) + slot, 0};
    default:
        return (place){block + 128 + g / 2 * 32 + 2 * lane + g % 2, (int)slot * 4};
    }
}

static place place_of(const wn__stream_format *f, int64_t row, int64_t at) {
    return f->sparse ? slot_place(f, row, at) : dense_place(f, row, at);
}

static const size_t value_bytes[] = {4, 2, 1, 1};

int64_t wn__stream_get(const wn__stream_format *f, const uint8_t *stream, int64_t row, int64_t at) {
    place p = place_of(f, row, at);
    uint32_t bits = 0;
    memcpy(&bits, stream + p.byte, value_bytes[f->type]);
    if (f->type == WN_STREAM_INT8) return (int8_t)bits;
    if (f->type == WN_STREAM_INT4) return (int64_t)(bits >> p.shift & 15) - 8;
    return bits;
}

void wn__stream_put(const wn__stream_format *f, uint8_t *stream, int64_t row, int64_t at,
                    int64_t bits) {
    place p = place_of(f, row, at);
    uint32_t value = (uint32_t)bits;
    if (f->type == WN_STREAM_INT4)
        value = (stream[p.byte] & ~(15U << p.shift)) | (uint32_t)(bits + 8) << p.shift;
    memcpy(stream + p.byte, &value, value_bytes[f->type]);
}

static unsigned bits_at(const uint8_t *byte, int shift, unsigned mask) {
    return (unsigned)byte[shift / 8] >> (shift % 8) & mask;
}

static void set_bits(uint8_t *byte, int shift, unsigned mask, unsigned bits) {
    uint8_t *b = byte + shift / 8;
    *b = (uint8_t)((*b & ~(mask << (shift % 8))) | bits << (shift % 8));
}

// Of INT4: bit j of a group's pair is a bit of the 96 bytes behind the scales.
static int pair_bit(int64_t lane, int64_t g, int j) {
    int64_t m = g / 2, plane = m / 2, bit = 3 * (m % 2) + j;
    if (m >= 6) {
        plane = j < 2 ? m - 6 : 2;
        bit = j < 2 ? 6 + j : m;
    }
    return (int)(256 * plane + 8 * (2 * lane + g % 2) + bit);
}

// Of the others: the two bits of a slot in the 64 bytes that begin a block.
static int slot_bit(const wn__stream_format *f, int64_t lane, int64_t g, int slot) {
    if (f->type == WN_STREAM_INT8) return (int)(32 * lane + 8 * (2 * (g % 2) + slot) + g / 2 * 2);
    return (int)(32 * (2 * g + slot) + 2 * lane);
}

unsigned wn__stream_get_pair(const wn__stream_format *f, const uint8_t *stream, int64_t row,
                             int64_t group) {
    int64_t lane = row % WN_STREAM_LANES, g;
    const uint8_t *block = stream + block_of(f, row, group, wn__stream_block_columns(f) / 4, &g);
    if (f->type == WN_STREAM_INT4) {
        unsigned pair = 0;
        for (int j = 0; j < 3; j++)
            pair |= bits_at(block + 32, pair_bit(lane, g, j), 1) << j;
        return wn__stream_first[pair] | (unsigned)wn__stream_second[pair] << 2;
    }
    return bits_at(block, slot_bit(f, lane, g, 0), 3) | bits_at(block, slot_bit(f, lane, g, 1), 3)
                                                            << 2;
}

void wn__stream_put_pair(const wn__stream_format *f, uint8_t *stream, int64_t row, int64_t group,
                         unsigned nibble) {
    int64_t lane = row % WN_STREAM_LANES, g;
    uint8_t *block = stream + block_of(f, row, group, wn__stream_block_columns(f) / 4, &g);
    if (f->type == WN_STREAM_INT4) {
        unsigned pair = 0;
        while (wn__stream_first[pair] != (nibble & 3) || wn__stream_second[pair] != nibble >> 2)
            pair++;
        for (int j = 0; j < 3; j++)
            set_bits(block + 32, pair_bit(lane, g, j), 1, pair >> j & 1);
        return;
    }
    set_bits(block, slot_bit(f, lane, g, 0), 3, nibble & 3);
    set_bits(block, slot_bit(f, lane, g, 1), 3, nibble >> 2);
}

static int64_t scale_byte(const wn__stream_format *f, int64_t row, int64_t group) {
    int64_t tile = row / WN_STREAM_LANES * wn__stream_tile_bytes(f), lane = row % WN_STREAM_LANES;
    return f->type == WN_STREAM_INT8 ? tile + 4 * lane
                                     : tile + group * wn__stream_block_bytes(f) + 2 * lane;
}

float wn__stream_get_scale(const wn__stream_format *f, const uint8_t *stream, int64_t row,
                           int64_t group) {
    const uint8_t *at = stream + scale_byte(f, row, group);
    float scale;
    uint16_t half;
    memcpy(&half, at, sizeof half);
    if (f->type == WN_STREAM_INT4) return wn__bf16_to_f32(half);
    memcpy(&scale, at, sizeof scale);
    return scale;
}

void wn__stream_put_scale(const wn__stream_format *f, uint8_t *stream, int64_t row, int64_t group,
                          float scale) {
    uint8_t *at = stream + scale_byte(f, row, group);
    uint16_t half = wn__bf16_from_f32(scale);
    if (f->type == WN_STREAM_INT4)
        memcpy(at, &half, sizeof half);
    else
        memcpy(at, &scale, sizeof scale);
}

double wn__stream_weight(const wn__stream_format *f, const uint8_t *stream, int64_t row,
                         int64_t at) {
    int64_t bits = wn__stream_get(f, stream, row, at);
    if (f->type == WN_STREAM_F32) return (double)wn__f32_from_bits((uint32_t)bits);
    if (f->type == WN_STREAM_BF16) return (double)wn__bf16_to_f32((uint16_t)bits);
    int64_t columns = f->sparse ? WN_STREAM_GROUP / 2 : WN_STREAM_GROUP;
    return (double)bits * (double)wn__stream_get_scale(f, stream, row, at / columns);
}

wn_status wn__stream_refuse(const wn__stream_pack *p) {
    const wn_tensor *from = p->format.sparse ? &p->values : &p->w;
    for (int64_t row = 0; row < from->shape[0]; row++)
        for (int64_t at = 0; at < from->shape[1]; at++) {
            double w = wn__get(from, wn__at(from, row, at));
            if (isfinite(w) && fabs(w) <= 0x1p120) continue;
            return wn__fail(
                WN_INVALID,
                "stream_pack: row %lld has %g at %s %lld; %s takes magnitudes up to 2^120",
                (long long)row, w, p->format.sparse ? "slot" : "column", (long long)at,
                wn__stream_name(&p->format));
        }
    return WN_OK;
}
