// SPDX-License-Identifier: MIT
// Cases of stream_pack, stream_unpack and stream: every type, dense and 2:4 with each pair of
// columns and every short group. Bound of F32 and BF16: matmul's with the terms of a row, bias and
// the old y. Of INT8 and INT4: the sums of a group are exact, so its terms are groups; both scales
// and their product round once each, and of INT8 the sum where it becomes a float.
#include "base/fail.h"
#include "kernels/check/masks24.h"
#include "kernels/contract.h"
#include "kernels/declare.h"
#include "kernels/element.h"
#include "kernels/pack24.h"
#include "kernels/stream_layout.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static wn__stream_format format_of(int64_t type, int64_t sparse, int64_t n, int64_t k) {
    return (wn__stream_format){(wn__stream_type)type, sparse != 0, n, k};
}

static wn_tensor stream_view(const wn__stream_format *f) {
    return wn__tensor1(NULL, WN_DTYPE_U8, (int64_t)wn__stream_bytes(f));
}

// One row of a 2:4 matrix: the index, and zeros in the slots that a short group leaves free.
static void set_row(wn__case *c, const wn_tensor *values, uint8_t *index, int64_t row, int64_t k,
                    bool full) {
    int64_t groups = wn__ceil_div(k, 4);
    for (int64_t g = 0; g < groups; g++) {
        unsigned mask = wn__mask_draw(c, k - 4 * g < 4 ? k - 4 * g : 4, full);
        unsigned nibble = wn__nibble_of_mask24[mask];
        for (int slot = 0; slot < 2; slot++)
            if (!(mask >> (nibble >> (2 * slot) & 3) & 1))
                wn__set(values, 2 * (row * groups + g) + slot, 0);
        if (g % 2 == 0)
            index[g / 2] = (uint8_t)(nibble | 0xE0);
        else
            index[g / 2] = (uint8_t)((index[g / 2] & 0x0F) | nibble << 4);
    }
}

static void set_index(wn__case *c, const wn_tensor *values, wn_tensor *index, int64_t k,
                      bool full) {
    for (int64_t row = 0; row < index->shape[0]; row++)
        set_row(c, values, (uint8_t *)index->data + row * index->shape[1], row, k, full);
}

// A stream of weights drawn here, by ref, into the image of a part.
static void fill_stream(wn__case *c, const wn__stream_format *f, wn__data kind, bool full) {
    wn__part *part = wn__case_find(c, "stream");
    int64_t groups = wn__ceil_div(f->k, 4), count = f->sparse ? 2 * groups : f->k;
    float *w = calloc((size_t)(f->n * count) + 1, sizeof *w);
    uint8_t *index = calloc((size_t)(f->n * wn__ceil_div(groups, 2)) + 1, 1);
    wn__stream_pack pack = {.format = *f, .stream = part->view};
    wn__exec x = {0};
    pack.stream.data = part->image;
    if (w && index) {
        wn_tensor values = wn__tensor2(w, WN_DTYPE_F32, f->n, count);
        for (int64_t i = 0; i < f->n * count; i++)
            w[i] = (float)wn__case_value(c, kind, WN_DTYPE_F32);
        if (f->sparse) {
            pack.values = values;
            pack.index = wn__tensor2(index, WN_DTYPE_U8, f->n, wn__ceil_div(groups, 2));
            set_index(c, &pack.values, &pack.index, f->k, full);
        } else {
            pack.w = values;
        }
        wn_status ignored = wn__stream_pack_ref(&pack, &x); // refuses nothing that is finite
        (void)ignored;
    }
    free(w);
    free(index);
}

// Infinities only where a format takes them.
static wn__data weights_of(const wn__stream_format *f, int64_t data) {
    return wn__stream_quantised(f) && data >= WN__DATA_INFINITE ? WN__DATA_NORMAL : (wn__data)data;
}

// ---- stream

enum { T, N, K, TYPE, SPARSE, DATA, MASKS, BIAS, ACCUMULATE, XPAD, YPAD, FIELDS };

static const wn__field fields[FIELDS] = {
    WN__FIELD_SIZE("T", 0, 1, 20, 150),
    WN__FIELD_SIZE("n", 0, 512, 70, 200),
    WN__FIELD_SIZE("k", 0, 512, 260, 1500),
    WN__FIELD_WORDS("type", WN_STREAM_INT4, 0, wn__stream_words),
    WN__FIELD_FLAG("sparse", 1),
    WN__FIELD_DATA(WN__DATA_INFINITE),
    WN__FIELD_WORDS("masks", WN__MASKS_SHORT, WN__MASKS_FULL, wn__masks_words),
    WN__FIELD_FLAG("bias", 0),
    WN__FIELD_FLAG("accumulate", 0),
    WN__FIELD_CHOICE("xpad", 0, 9, 0),
    WN__FIELD_CHOICE("ypad", 0, 9, 0),
};

static void declare(wn__case *c) {
    wn__stream *p = c->args;
    const int64_t *v = c->problem.value;
    p->format = format_of(v[TYPE], v[SPARSE], v[N], v[K]);
    p->accumulate = v[ACCUMULATE];
    wn__case_part(c, "x", &p->x, WN__READ, wn__view2(WN_DTYPE_F32, v[T], v[K], v[XPAD]));
    wn__case_part(c, "stream", &p->stream, WN__READ, stream_view(&p->format));
    if (v[BIAS])
        wn__case_part(c, "bias", &p->bias, WN__READ, wn__tensor1(NULL, WN_DTYPE_F32, v[N]));
    wn__case_part(c, "y", &p->y, v[ACCUMULATE] ? WN__UPDATE : WN__WRITE,
                  wn__view2(WN_DTYPE_F32, v[T], v[N], v[YPAD]));
}

static void fill(wn__case *c) {
    const int64_t *v = c->problem.value;
    const wn__stream *p = c->args;
    wn__case_fill(c, (wn__data)v[DATA]);
    fill_stream(c, &p->format, weights_of(&p->format, v[DATA]), v[MASKS] == WN__MASKS_FULL);
}

static double magnitude(const wn__part *p, int64_t i) {
    return p ? fabs(p->before[i]) : 0;
}

// sum |x||w| of one element; a quantised x is within amax/254 of x, which the terms must cover.
static double sum_of(wn__case *c, const uint8_t *stream, int64_t t, int64_t o, double amax) {
    const wn__stream_format *f = &((const wn__stream *)c->args)->format;
    const wn__part *x = wn__case_find(c, "x");
    int64_t count = f->sparse ? 2 * wn__ceil_div(f->k, 4) : f->k;
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t column = i;
        if (f->sparse) {
            unsigned nibble = wn__stream_get_pair(f, stream, o, i / 2);
            column = i / 2 * 4 + (i % 2 ? nibble >> 2 : nibble & 3);
        }
        if (column >= f->k) continue;
        double more = wn__stream_quantised(f) ? amax / 250 : 0;
        sum += (magnitude(x, t * f->k + column) + more) * fabs(wn__stream_weight(f, stream, o, i));
    }
    return sum;
}

static double largest_of(wn__case *c, int64_t t, int64_t k) {
    const wn__part *x = wn__case_find(c, "x");
    double largest = 0;
    for (int64_t i = 0; i < k; i++)
        largest = fmax(largest, magnitude(x, t * k + i));
    return largest;
}

static void bound(wn__case *c, const wn__round *r) {
    const int64_t *v = c->problem.value;
    const wn__stream_format *f = &((const wn__stream *)c->args)->format;
    wn__part *y = wn__case_find(c, "y"), *bias = wn__case_find(c, "bias");
    const uint8_t *stream = wn__case_find(c, "stream")->image;
    bool quantised = wn__stream_quantised(f);
    for (int64_t i = 0; i < y->count; i++) {
        int64_t t = i / f->n, o = i % f->n;
        y->sum[i] = sum_of(c, stream, t, o, quantised ? largest_of(c, t, f->k) : 0) +
                    magnitude(bias, o) + (v[ACCUMULATE] ? magnitude(y, i) : 0);
    }
    double terms = (double)(f->sparse ? 2 * wn__ceil_div(f->k, 4) : f->k);
    if (quantised) terms = (double)wn__stream_blocks(f) / (f->type == WN_STREAM_INT4 ? 1 : 1e9) + 4;
    wn__bound_sum(y, r, terms + (double)(v[BIAS] + v[ACCUMULATE]),
                  v[DATA] == WN__DATA_INTEGERS && !quantised);
}

static double flops(const wn__problem *p) {
    double all = 2.0 * (double)p->value[T] * (double)p->value[N] * (double)p->value[K];
    return p->value[SPARSE] ? all / 2 : all;
}

// The same product with the weights of the same type dense.
static void baseline(const wn__problem *p, wn__op *op, char *text, size_t n) {
    const int64_t *v = p->value;
    *op = WN__OP_stream;
    (void)snprintf(text, n, "T=%lld,n=%lld,k=%lld,type=%s,sparse=0,bias=%lld,accumulate=%lld",
                   (long long)v[T], (long long)v[N], (long long)v[K], wn__stream_words[v[TYPE]],
                   (long long)v[BIAS], (long long)v[ACCUMULATE]);
}

const wn__case_type wn__cases_stream = {.op = WN__OP_stream,
                                        .args_size = sizeof(wn__stream),
                                        .fields = fields,
                                        .field_count = FIELDS,
                                        .declare = declare,
                                        .fill = fill,
                                        .bound = bound,
                                        .flops = flops,
                                        .baseline = baseline};

// ---- stream_pack, stream_unpack

enum { PN, PK, PTYPE, PSPARSE, PDTYPE, PDATA, PMASKS, PPAD, PACK_FIELDS };

#define SHAPE_FIELDS                                                                               \
    WN__FIELD_SIZE("n", 0, 512, 70, 200), WN__FIELD_SIZE("k", 0, 512, 200, 600),                   \
        WN__FIELD_WORDS("type", WN_STREAM_INT4, 0, wn__stream_words), WN__FIELD_FLAG("sparse", 1), \
        WN__FIELD_DTYPE, WN__FIELD_DATA(WN__DATA_INFINITE),                                        \
        WN__FIELD_WORDS("masks", WN__MASKS_SHORT, WN__MASKS_FULL, wn__masks_words)

static const wn__field pack_fields[PACK_FIELDS] = {SHAPE_FIELDS, WN__FIELD_CHOICE("pad", 0, 9, 0)};

// values and index of all rows from `row` on.
static void declare_packed(wn__case *c, wn_tensor *values, wn_tensor *index, wn__role role,
                           int64_t row) {
    const int64_t *v = c->problem.value;
    int64_t groups = wn__ceil_div(v[PK], 4), rows = v[PN] - row;
    wn_dtype dtype = wn__case_dtype(c, PDTYPE);
    wn__case_part(c, "values", values, role, wn__tensor2(NULL, dtype, rows, 2 * groups));
    wn__case_part(c, "index", index, role,
                  wn__tensor2(NULL, WN_DTYPE_U8, rows, wn__ceil_div(groups, 2)));
}

static void pack_declare(wn__case *c) {
    wn__stream_pack *p = c->args;
    const int64_t *v = c->problem.value;
    p->format = format_of(v[PTYPE], v[PSPARSE], v[PN], v[PK]);
    if (v[PSPARSE])
        declare_packed(c, &p->values, &p->index, WN__READ, 0);
    else
        wn__case_part(c, "w", &p->w, WN__READ,
                      wn__view2(wn__case_dtype(c, PDTYPE), v[PN], v[PK], v[PPAD]));
    wn__case_part(c, "stream", &p->stream, WN__WRITE, stream_view(&p->format));
}

static void pack_fill(wn__case *c) {
    const int64_t *v = c->problem.value;
    wn__case_fill(c, (wn__data)v[PDATA]);
    if (!v[PSPARSE]) return;
    wn_tensor values = wn__case_find(c, "values")->view, index = wn__case_find(c, "index")->view;
    values.data = wn__case_find(c, "values")->image;
    index.data = wn__case_find(c, "index")->image;
    set_index(c, &values, &index, v[PK], v[PMASKS] == WN__MASKS_FULL);
}

const wn__case_type wn__cases_stream_pack = {.op = WN__OP_stream_pack,
                                             .args_size = sizeof(wn__stream_pack),
                                             .fields = pack_fields,
                                             .field_count = PACK_FIELDS,
                                             .compare = WN__SAME_BITS,
                                             .declare = pack_declare,
                                             .fill = pack_fill};

enum { UPACKED = PMASKS + 1, UROW, UPAD, UNPACK_FIELDS };

static const wn__field unpack_fields[UNPACK_FIELDS] = {SHAPE_FIELDS, WN__FIELD_FLAG("packed", 0),
                                                       WN__FIELD_CHOICE("row", 0, 33, 0),
                                                       WN__FIELD_CHOICE("pad", 0, 9, 0)};

static void unpack_settle(wn__problem *p) {
    int64_t *v = p->value;
    if (!v[PSPARSE]) v[UPACKED] = 0;
    if (v[UROW] > v[PN]) v[UROW] = v[PN];
}

static void unpack_declare(wn__case *c) {
    wn__stream_unpack *p = c->args;
    const int64_t *v = c->problem.value;
    p->format = format_of(v[PTYPE], v[PSPARSE], v[PN], v[PK]);
    p->row = v[UROW];
    wn__case_part(c, "stream", &p->stream, WN__READ, stream_view(&p->format));
    if (v[UPACKED])
        declare_packed(c, &p->values, &p->index, WN__WRITE, v[UROW]);
    else
        wn__case_part(c, "w", &p->w, WN__WRITE,
                      wn__view2(wn__case_dtype(c, PDTYPE), v[PN] - v[UROW], v[PK], v[UPAD]));
}

static void unpack_fill(wn__case *c) {
    const int64_t *v = c->problem.value;
    const wn__stream_unpack *p = c->args;
    fill_stream(c, &p->format, weights_of(&p->format, v[PDATA]), v[PMASKS] == WN__MASKS_FULL);
}

const wn__case_type wn__cases_stream_unpack = {.op = WN__OP_stream_unpack,
                                               .args_size = sizeof(wn__stream_unpack),
                                               .fields = unpack_fields,
                                               .field_count = UNPACK_FIELDS,
                                               .compare = WN__SAME_BITS,
                                               .settle = unpack_settle,
                                               .declare = unpack_declare,
                                               .fill = unpack_fill};
