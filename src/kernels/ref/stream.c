// SPDX-License-Identifier: MIT
// stream_pack, stream_unpack and stream, the specification.
#include "kernels/stream.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"
#include "kernels/element.h"
#include "kernels/stream_layout.h"

#include <math.h>
#include <string.h>

// ---- packing: one row is one source of weights, which the columns of a dense matrix or the slots
// of a packed one are counted in

static int64_t stored_count(const wn__stream_format *f) {
    return f->sparse ? 2 * wn__ceil_div(f->k, 4) : f->k;
}

static double source(const wn__stream_pack *p, int64_t row, int64_t at) {
    const wn_tensor *t = p->format.sparse ? &p->values : &p->w;
    return wn__get(t, wn__at(t, row, at));
}

static void put_floats(const wn__stream_pack *p, int64_t row, int64_t count) {
    const wn__stream_format *f = &p->format;
    for (int64_t i = 0; i < count; i++) {
        double w = source(p, row, i);
        int64_t bits = f->type == WN_STREAM_F32 ? (int64_t)wn__f32_bits((float)w)
                                                : (int64_t)wn__bf16_from_f64(w);
        wn__stream_put(f, p->stream.data, row, i, bits);
    }
}

// The scale of `count` weights that share one, rounded as it is stored; 0 where all count as zero.
static float choose_scale(const wn__stream_format *f, float amax) {
    if (amax < WN_STREAM_LEAST) return 0;
    return f->type == WN_STREAM_INT8 ? amax / 127 : wn__bf16_to_f32(wn__bf16_from_f32(amax / 7));
}

static void put_integers(const wn__stream_pack *p, int64_t row, int64_t begin, int64_t end,
                         int64_t group) {
    const wn__stream_format *f = &p->format;
    double most = f->type == WN_STREAM_INT8 ? 127 : 7, amax = 0;
    for (int64_t i = begin; i < end; i++)
        amax = fmax(amax, fabs(source(p, row, i)));
    float scale = choose_scale(f, (float)amax);
    wn__stream_put_scale(f, p->stream.data, row, group, scale);
    for (int64_t i = begin; i < end; i++) {
        double q = scale > 0 ? nearbyint(source(p, row, i) / (double)scale) : 0;
        wn__stream_put(f, p->stream.data, row, i, (int64_t)fmin(fmax(q, -most), most));
    }
}

static void put_pairs(const wn__stream_pack *p, int64_t row) {
    int64_t groups = wn__ceil_div(p->format.k, 4), all = wn__stream_groups24(&p->format);
    const uint8_t *index = (const uint8_t *)p->index.data + row * p->index.stride[0];
    for (int64_t g = 0; g < all; g++) {
        unsigned nibble = g < groups ? (unsigned)index[g / 2] >> (g % 2 * 4) & 15U : 0xEU;
        wn__stream_put_pair(&p->format, p->stream.data, row, g, nibble);
    }
}

// The slots of padding are zeros: of INT4 not the zero of the byte.
static void put_padding(const wn__stream_format *f, uint8_t *stream, int64_t row, int64_t begin) {
    int64_t all = wn__stream_blocks(f) * wn__stream_block_columns(f);
    if (f->sparse) all /= 2;
    for (int64_t i = begin; i < all; i++)
        wn__stream_put(f, stream, row, i, 0);
}

static void pack_tiles(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__stream_pack *p = ctx;
    const wn__stream_format *f = &p->format;
    uint8_t *stream = p->stream.data;
    int64_t bytes = wn__stream_tile_bytes(f), count = stored_count(f);
    int64_t share = f->type != WN_STREAM_INT4 ? count : WN_STREAM_GROUP / (f->sparse ? 2 : 1);
    memset(stream + begin * bytes, 0, (size_t)((end - begin) * bytes));
    for (int64_t row = begin * WN_STREAM_LANES; row < end * WN_STREAM_LANES; row++) {
        put_padding(f, stream, row, row < f->n ? count : 0);
        if (row >= f->n) continue;
        if (f->sparse) put_pairs(p, row);
        if (!wn__stream_quantised(f)) put_floats(p, row, count);
        for (int64_t i = 0; wn__stream_quantised(f) && i < count; i += share)
            put_integers(p, row, i, i + share < count ? i + share : count, i / share);
    }
}

wn_status wn__stream_pack_ref(const void *args, wn__exec *x) {
    const wn__stream_pack *p = args;
    if (wn__stream_quantised(&p->format)) WN_TRY(wn__stream_refuse(p));
    wn__parallel_for(x->pool, wn__stream_tiles(&p->format), 1, pack_tiles, (void *)args);
    return WN_OK;
}

// ---- and back

static unsigned pair_of(const wn__stream_unpack *p, int64_t row, int64_t g) {
    return wn__stream_get_pair(&p->format, p->stream.data, row, g);
}

static double weight_of(const wn__stream_unpack *p, int64_t row, int64_t at) {
    return wn__stream_weight(&p->format, p->stream.data, row, at);
}

static void unpack_dense(const wn__stream_unpack *p, int64_t i) {
    const wn__stream_format *f = &p->format;
    for (int64_t c = 0; c < f->k; c++)
        wn__set(&p->w, wn__at(&p->w, i, c), f->sparse ? 0 : weight_of(p, p->row + i, c));
    for (int64_t s = 0; f->sparse && s < 2 * wn__ceil_div(f->k, 4); s++) {
        unsigned nibble = pair_of(p, p->row + i, s / 2);
        int64_t c = s / 2 * 4 + (s % 2 ? nibble >> 2 : nibble & 3);
        if (c < f->k) wn__set(&p->w, wn__at(&p->w, i, c), weight_of(p, p->row + i, s));
    }
}

static void unpack_pairs(const wn__stream_unpack *p, int64_t i) {
    int64_t groups = p->values.shape[1] / 2;
    uint8_t *index = (uint8_t *)p->index.data + i * p->index.stride[0];
    for (int64_t g = 0; g < groups; g++) {
        unsigned nibble = pair_of(p, p->row + i, g);
        index[g / 2] = (uint8_t)(g % 2 ? (index[g / 2] & 15U) | nibble << 4 : nibble | 0xE0U);
        for (int64_t s = 2 * g; s < 2 * g + 2; s++)
            wn__set(&p->values, wn__at(&p->values, i, s), weight_of(p, p->row + i, s));
    }
}

static void unpack_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__stream_unpack *p = ctx;
    for (int64_t i = begin; i < end; i++)
        wn__given(&p->w) ? unpack_dense(p, i) : unpack_pairs(p, i);
}

wn_status wn__stream_unpack_ref(const void *args, wn__exec *x) {
    const wn__stream_unpack *p = args;
    int64_t rows = wn__given(&p->w) ? p->w.shape[0] : p->values.shape[0];
    wn__parallel_for(x->pool, rows, 4, unpack_rows, (void *)args);
    return WN_OK;
}

// ---- the product

// Column of x that a stored weight multiplies.
static int64_t column_of(const wn__stream *p, int64_t o, int64_t at) {
    if (!p->format.sparse) return at;
    unsigned nibble = wn__stream_get_pair(&p->format, p->stream.data, o, at / 2);
    return at / 2 * 4 + (at % 2 ? nibble >> 2 : nibble & 3);
}

static float scale_of_x(const wn__stream *p, int64_t t, int64_t begin, int64_t end, float *r) {
    float amax = 0;
    for (int64_t c = begin; c < end; c++) {
        float x = fabsf((float)wn__get(&p->x, wn__at(&p->x, t, c)));
        if (!isfinite(x)) return NAN;
        if (x > amax) amax = x;
    }
    *r = amax < WN_STREAM_LEAST ? 0 : 127 / amax;
    return amax < WN_STREAM_LEAST ? 0 : amax / 127;
}

// Stored weights begin .. end-1 of a row, whose columns of x are first .. last-1.
static double integer_group(const wn__stream *p, int64_t t, int64_t o, int64_t group) {
    const wn__stream_format *f = &p->format;
    int64_t share = wn__stream_share(f), first = group * share;
    int64_t last = first + share < f->k ? first + share : f->k, sum = 0;
    int64_t each = f->sparse ? 2 : 4;
    float r = 0, scale = scale_of_x(p, t, first, last, &r);
    if (isnan(scale)) return NAN;
    for (int64_t i = first / 4 * each; i < (f->sparse ? wn__ceil_div(last, 4) * 2 : last); i++) {
        int64_t c = column_of(p, o, i);
        if (c >= f->k) continue;
        float x = (float)wn__get(&p->x, wn__at(&p->x, t, c));
        sum += (int64_t)nearbyintf(x * r) * wn__stream_get(f, p->stream.data, o, i);
    }
    float w = wn__stream_get_scale(f, p->stream.data, o, group);
    return (double)sum * (double)w * (double)scale;
}

static double product(const wn__stream *p, int64_t t, int64_t o) {
    const wn__stream_format *f = &p->format;
    double sum = 0;
    if (wn__stream_quantised(f)) {
        for (int64_t group = 0; group * wn__stream_share(f) < f->k; group++)
            sum += integer_group(p, t, o, group);
        return sum;
    }
    for (int64_t i = 0; i < stored_count(f); i++) {
        int64_t c = column_of(p, o, i);
        if (c >= f->k) continue;
        sum += wn__get(&p->x, wn__at(&p->x, t, c)) * wn__stream_weight(f, p->stream.data, o, i);
    }
    return sum;
}

static void rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__stream *p = ctx;
    for (int64_t t = begin; t < end; t++)
        for (int64_t o = 0; o < p->y.shape[1]; o++) {
            double sum = product(p, t, o);
            if (p->accumulate) sum += wn__get(&p->y, wn__at(&p->y, t, o));
            if (wn__given(&p->bias)) sum += wn__get(&p->bias, o);
            wn__set(&p->y, wn__at(&p->y, t, o), sum);
        }
}

wn_status wn__stream_ref(const void *args, wn__exec *x) {
    const wn__stream *p = args;
    wn__parallel_for(x->pool, p->y.shape[0], 1, rows, (void *)args);
    return WN_OK;
}
