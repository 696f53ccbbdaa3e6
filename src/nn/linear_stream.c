// SPDX-License-Identifier: MIT
// A dense or 2:4 linear layer of a model that does not train: its weight is a stream
// (kernels/stream.h) and nothing else. A dense weight is taken over once, its mask chosen, packed
// and forgotten. Few tokens read the stream as it lies. Many read rows of it that are unpacked a
// few at a time, so that they multiply by the same weights with the kernels of dense and packed
// matrices; those of INT8 and INT4 stay with the stream, whose results do not depend on how many
// they are.
#include "base/fail.h"
#include "kernels/matmul.h"
#include "kernels/spmm24.h"
#include "kernels/stream.h"
#include "nn/linear.h"
#include "sparse/pattern24.h"
#include "sparse/weight24.h"
#include <stdlib.h>

#define FEW_TOKENS    16
#define SLAB_ELEMENTS ((int64_t)1 << 20) // of the rows that are unpacked at once

struct wn__linear_stream {
    wn__stream_format format;
    wn_tensor stream; // U8
};

static int64_t slab_rows(const wn__linear *l) {
    int64_t rows = SLAB_ELEMENTS / (l->in > 0 ? l->in : 1) / 16 * 16;
    if (rows < 16) rows = 16;
    return rows < l->out ? rows : l->out;
}

static bool quantised(const wn__linear *l) {
    return l->as.stream->format.type >= WN_STREAM_INT8;
}

// Elements of the shared block that a slab takes: its rows, or their values and, in bytes, index.
static int64_t slab_cost(const wn__linear *l) {
    int64_t groups = wn__groups24(l->in), rows = slab_rows(l);
    if (!l->as.stream->format.sparse) return wn__scratch_cost(rows, l->in);
    return wn__scratch_cost(rows, 2 * groups) + wn__scratch_cost(rows, (groups + 1) / 2);
}

static wn_status stream_build(wn__linear *l, wn__build *b) {
    struct wn__linear_stream *s = l->as.stream = calloc(1, sizeof *s);
    if (s == NULL) return wn__fail(WN_NOMEM, "%s: no memory for the layer", l->name);
    s->format = (wn__stream_format){.type = (wn__stream_type)(b->stored - WN_STORED_F32),
                                    .sparse = l->structure.kind == WN_STRUCTURE_SPARSE24,
                                    .n = l->out,
                                    .k = l->in};
    l->factored = true;
    int64_t bytes = (int64_t)wn__stream_bytes(&s->format);
    wn_status status = wn__tensor_alloc1(b->weights, WN_DTYPE_U8, bytes, &s->stream);
    if (status != WN_OK) return wn__fail_in(status, "%s", l->name);
    if (!quantised(l)) wn__scratch_wish(b->scratch, slab_cost(l));
    if (s->format.sparse) wn__linear_tell_padding(l, b, "in_features", l->in);
    return wn__linear_add_bias(l, b);
}

static wn_status stream_prepare(wn__linear *l, wn__exec *x, int64_t step) {
    (void)step;
    return wn__linear_check_ready(l, x);
}

static wn_status stream_restore(wn__linear *l, wn__exec *x) {
    return wn__linear_check_ready(l, x);
}

static wn_status stream_init(wn__linear *l, wn__exec *x, uint64_t seed, double std,
                             double *effective) {
    (void)l;
    (void)seed;
    *effective = std;
    if (x->planning) return WN_OK;
    return wn__fail(WN_BUG, "random weights of a layer that takes over those of a checkpoint");
}

static wn_status pack_sparse(wn__linear *l, wn__exec *x, wn__arena *arena,
                             const wn_tensor *weight) {
    const wn__weight24_spec spec = {
        .dtype = weight->dtype, .r = l->out, .c = l->in, .method = l->structure.method};
    wn__weight24 packed;
    int64_t flips;
    WN_TRY(wn__weight24_alloc(arena, &spec, &packed));
    if (wn__arena_measuring(arena) && !x->planning) return WN_OK;
    WN_TRY(wn__weight24_choose(&packed, x, weight, &flips));
    WN_TRY(wn__weight24_pack(&packed, x, weight));
    const wn__stream_pack pack = {.format = l->as.stream->format,
                                  .values = packed.values,
                                  .index = packed.index,
                                  .stream = l->as.stream->stream};
    return wn__run(x, WN__OP_stream_pack, &pack);
}

// The mask and the packed form are needed for no longer than this.
static wn_status adopt_sparse(wn__linear *l, wn__exec *x, const wn_tensor *weight) {
    wn__arena arena;
    wn__arena_measure(l->name, &arena);
    WN_TRY(pack_sparse(l, x, &arena, weight));
    if (x->planning) return WN_OK;
    WN_TRY(wn__arena_create(l->name, arena.used, &arena));
    wn_status status = pack_sparse(l, x, &arena, weight);
    wn__arena_free(&arena);
    return status;
}

static wn_status stream_adopt(wn__linear *l, wn__exec *x, const wn_tensor *weight) {
    const struct wn__linear_stream *s = l->as.stream;
    const wn__stream_pack pack = {.format = s->format, .w = *weight, .stream = s->stream};
    WN_TRY(s->format.sparse ? adopt_sparse(l, x, weight) : wn__run(x, WN__OP_stream_pack, &pack));
    if (!x->planning) l->ready = true;
    return WN_OK;
}

wn_status wn__linear_stream_kernel(const wn__linear *l, const wn__exec *x, int64_t tokens,
                                   const wn__kernel **out) {
    const wn__stream product = {.x = wn__tensor2(NULL, WN_DTYPE_F32, tokens, l->in),
                                .stream = l->as.stream->stream,
                                .y = wn__tensor2(NULL, WN_DTYPE_F32, tokens, l->out),
                                .format = l->as.stream->format};
    return wn__plan(x, WN__OP_stream, &product, out);
}

static wn_status forward_few(wn__linear *l, wn__exec *x, const wn_tensor *in, const wn_tensor *out,
                             bool accumulate) {
    const wn__stream product = {.x = *in,
                                .stream = l->as.stream->stream,
                                .bias = wn__linear_bias(l),
                                .y = *out,
                                .format = l->as.stream->format,
                                .accumulate = accumulate};
    return wn__run(x, WN__OP_stream, &product);
}

// Outputs row .. row+rows-1: unpacked where they are read next.
static wn_status forward_slab(wn__linear *l, wn__exec *x, const wn_tensor *in, const wn_tensor *out,
                              bool accumulate, int64_t row, int64_t rows) {
    const struct wn__linear_stream *s = l->as.stream;
    int64_t groups = wn__groups24(l->in), bytes = (groups + 1) / 2, at = 0;
    wn_tensor bias = wn__linear_bias(l);
    if (wn__given(&bias)) bias = wn__tensor_slice(&bias, 0, row, rows);
    wn__stream_unpack unpack = {.format = s->format, .stream = s->stream, .row = row};
    const wn_tensor y = wn__tensor_slice(out, 1, row, rows);
    if (!s->format.sparse) {
        unpack.w = wn__scratch_take(l->scratch, &at, rows, l->in);
        WN_TRY(wn__run(x, WN__OP_stream_unpack, &unpack));
        const wn__matmul dense = {.a = *in,
                                  .b = wn__tensor_transpose(&unpack.w),
                                  .bias = bias,
                                  .c = y,
                                  .accumulate = accumulate};
        return wn__run(x, WN__OP_matmul, &dense);
    }
    unpack.values = wn__scratch_take(l->scratch, &at, rows, 2 * groups);
    const wn_tensor room = wn__scratch_take(l->scratch, &at, rows, bytes);
    unpack.index = wn__tensor2(room.data, WN_DTYPE_U8, rows, bytes);
    WN_TRY(wn__run(x, WN__OP_stream_unpack, &unpack));
    const wn__spmm24 sparse = {.x = *in,
                               .values = unpack.values,
                               .index = unpack.index,
                               .bias = bias,
                               .y = y,
                               .accumulate = accumulate};
    return wn__run(x, WN__OP_spmm24, &sparse);
}

static wn_status stream_forward(wn__linear *l, wn__exec *x, const wn_tensor *in,
                                const wn_tensor *out, bool accumulate) {
    int64_t step = slab_rows(l);
    WN_TRY(wn__linear_check_ready(l, x));
    if (in->shape[0] <= FEW_TOKENS || quantised(l)) return forward_few(l, x, in, out, accumulate);
    for (int64_t row = 0; row < l->out; row += step) {
        int64_t rows = l->out - row < step ? l->out - row : step;
        WN_TRY(forward_slab(l, x, in, out, accumulate, row, rows));
    }
    return WN_OK;
}

static wn_status stream_backward(wn__linear *l, wn__exec *x, const wn_tensor *in,
                                 const wn_tensor *dy, const wn_tensor *dx, bool accumulate) {
    (void)l;
    (void)x;
    (void)in;
    (void)dy;
    (void)dx;
    (void)accumulate;
    return wn__fail(WN_BUG, "gradients of a layer that does not train");
}

static wn_status stream_merge(wn__linear *l, wn__exec *x, const wn_tensor *out) {
    (void)l;
    (void)x;
    (void)out;
    return wn__fail(WN_BUG, "a stream is not written out");
}

static void stream_bytes(const wn__linear *l, wn__linear_bytes *out) {
    *out = (wn__linear_bytes){.dense = (size_t)(l->in * l->out) * sizeof(float),
                              .forward = wn__tensor_bytes(&l->as.stream->stream)};
}

static void stream_flops(const wn__linear *l, wn__linear_flops *out) {
    double dense = 2.0 * (double)l->in * (double)l->out;
    double forward = 4.0 * (double)wn__groups24(l->in) * (double)l->out;
    *out = (wn__linear_flops){.forward = l->as.stream->format.sparse ? forward : dense};
}

static void stream_release(wn__linear *l) {
    free(l->as.stream);
    l->as.stream = NULL;
}

const wn__linear_type wn__linear_stream = {
    .kind = WN_STRUCTURE_DENSE,
    .build = stream_build,
    .prepare = stream_prepare,
    .forward = stream_forward,
    .backward = stream_backward,
    .merge = stream_merge,
    .restore = stream_restore,
    .init = stream_init,
    .adopt = stream_adopt,
    .bytes = stream_bytes,
    .flops = stream_flops,
    .release = stream_release,
};
