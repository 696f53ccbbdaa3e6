// SPDX-License-Identifier: MIT
// Attention of a block. Queries, keys and values are rows of [N, heads D]; the ops see the same
// memory as [B, T, heads, D].
#include "nn/attention.h"

#include "base/fail.h"
#include "kernels/attention.h"
#include "kernels/rope.h"
#include "nn/round16.h"
#include <math.h>

wn_status wn__attn_build(wn__attn *a, const char *name, const wn__model_config *c,
                         wn__structure_rules *rules, wn__build *b) {
    *a = (wn__attn){
        .heads = c->heads, .kv_heads = c->kv_heads, .head_dim = c->head_dim, .round16 = b->round16};
    int64_t width = c->hidden_size, q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    WN_TRY(wn__linear_build_in(&a->q, name, "q_proj", width, q, c->qkv_bias, rules, b));
    WN_TRY(wn__linear_build_in(&a->k, name, "k_proj", width, kv, c->qkv_bias, rules, b));
    WN_TRY(wn__linear_build_in(&a->v, name, "v_proj", width, kv, c->qkv_bias, rules, b));
    return wn__linear_build_in(&a->o, name, "o_proj", q, width, c->o_bias, rules, b);
}

void wn__attn_free(wn__attn *a) {
    wn__linear_free(&a->q);
    wn__linear_free(&a->k);
    wn__linear_free(&a->v);
    wn__linear_free(&a->o);
}

wn_status wn__attn_buffers_alloc(const wn__attn *a, int64_t rows, wn__build *b,
                                 wn__attn_buffers *out) {
    *out = (wn__attn_buffers){0};
    WN_TRY(wn__tensor_alloc2(b->activations, b->dtype, rows, a->q.out, &out->q));
    WN_TRY(wn__tensor_alloc2(b->activations, b->dtype, rows, a->q.out, &out->out));
    WN_TRY(wn__tensor_alloc2(b->activations, b->dtype, rows, a->k.out, &out->k));
    WN_TRY(wn__tensor_alloc2(b->activations, b->dtype, rows, a->v.out, &out->v));
    if (!b->training) return WN_OK;
    return wn__tensor_alloc1(b->activations, b->dtype, rows * a->heads, &out->lse);
}

wn_status wn__attn_buffers_save(const wn__attn *a, int64_t rows, wn__build *b,
                                wn__attn_buffers *out) {
    wn__attn_saved *s = &out->saved;
    WN_TRY(wn__tensor_alloc2(b->activations, WN_DTYPE_BF16, rows, a->q.out, &s->q));
    WN_TRY(wn__tensor_alloc2(b->activations, WN_DTYPE_BF16, rows, a->q.out, &s->out));
    WN_TRY(wn__tensor_alloc2(b->activations, WN_DTYPE_BF16, rows, a->k.out, &s->k));
    WN_TRY(wn__tensor_alloc2(b->activations, WN_DTYPE_BF16, rows, a->v.out, &s->v));
    return wn__tensor_alloc1(b->activations, b->dtype, rows * a->heads, &out->lse);
}

static wn__attn_saved saved_rows(const wn__attn_saved *all, int64_t rows) {
    return (wn__attn_saved){.in = wn__first_rows(&all->in, rows),
                            .q = wn__first_rows(&all->q, rows),
                            .k = wn__first_rows(&all->k, rows),
                            .v = wn__first_rows(&all->v, rows),
                            .out = wn__first_rows(&all->out, rows)};
}

int64_t wn__attn_scratch(const wn__attn *a) {
    return 2 * a->q.out + a->k.out + a->v.out; // dout, dq, dk, dv
}

// The first B T rows seen as [B, T, heads, D].
static wn_tensor by_head(const wn__attn *a, const wn_tensor *t, int64_t B, int64_t T,
                         int64_t heads) {
    const int64_t shape[] = {B, T, heads, a->head_dim};
    const wn_tensor rows = wn__tensor_slice(t, 0, 0, B * T);
    return wn__tensor_reshape(&rows, 4, shape);
}

static wn_tensor lse_of(const wn__attn *a, const wn_tensor *lse, wn__span s) {
    const int64_t shape[] = {s.B, a->heads, s.T};
    if (!wn__given(lse)) return *lse;
    const wn_tensor part = wn__tensor_slice(lse, 0, 0, s.B * s.T * a->heads);
    return wn__tensor_reshape(&part, 3, shape);
}

static wn_status rotate(wn__exec *x, const wn__rope_tables *rope, const wn_tensor *t, int64_t start,
                        bool inverse) {
    const wn__rope rotation = {
        .x = *t, .cos = rope->cos, .sin = rope->sin, .pos0 = start, .inverse = inverse};
    return wn__run(x, WN__OP_rope, &rotation);
}

static double scale_of(const wn__attn *a) {
    return 1.0 / sqrt((double)a->head_dim);
}

wn_status wn__attn_forward(wn__attn *a, wn__exec *x, const wn__rope_tables *rope, wn__span s,
                           const wn_tensor *in, const wn__attn_buffers *buffers,
                           const wn__attn_cache *cache, const wn_tensor *out) {
    int64_t rows = s.B * s.T, keys = s.start + s.T;
    const wn_tensor *all_k = cache != NULL ? &cache->k : &buffers->k;
    const wn_tensor *all_v = cache != NULL ? &cache->v : &buffers->v;
    const wn_tensor q = wn__tensor_slice(&buffers->q, 0, 0, rows);
    const wn_tensor k = wn__tensor_slice(all_k, 0, s.start, rows);
    const wn_tensor v = wn__tensor_slice(all_v, 0, s.start, rows);
    const wn_tensor mixed = wn__tensor_slice(&buffers->out, 0, 0, rows);
    const wn__attn_saved saved = saved_rows(&buffers->saved, rows);
    WN_TRY(wn__linear_forward(&a->q, x, wn__linear_reads(&a->q, &saved.in, in), &q, false));
    WN_TRY(wn__linear_forward(&a->k, x, wn__linear_reads(&a->k, &saved.in, in), &k, false));
    WN_TRY(wn__linear_forward(&a->v, x, wn__linear_reads(&a->v, &saved.in, in), &v, false));
    const wn_tensor q4 = by_head(a, &q, s.B, s.T, a->heads);
    const wn_tensor k4 = by_head(a, &k, s.B, s.T, a->kv_heads);
    WN_TRY(rotate(x, rope, &q4, s.start, false));
    WN_TRY(rotate(x, rope, &k4, s.start, false));
    WN_TRY(wn__keep16(a->round16, x, &q));
    WN_TRY(wn__keep16(a->round16, x, &k));
    WN_TRY(wn__save16(x, &q, &saved.q));
    WN_TRY(wn__save16(x, &k, &saved.k));
    WN_TRY(wn__save16(x, &v, &saved.v));
    const wn__attention attention = {.q = q4,
                                     .k = by_head(a, all_k, s.B, keys, a->kv_heads),
                                     .v = by_head(a, all_v, s.B, keys, a->kv_heads),
                                     .out = by_head(a, &mixed, s.B, s.T, a->heads),
                                     .lse = lse_of(a, &buffers->lse, s),
                                     .scale = scale_of(a)};
    WN_TRY(wn__run(x, WN__OP_attention, &attention));
    WN_TRY(wn__keep16(a->round16, x, &mixed));
    WN_TRY(wn__save16(x, &mixed, &saved.out));
    return wn__linear_forward(&a->o, x, wn__linear_reads(&a->o, &saved.out, &mixed), out, true);
}

// Cuts the next rows x width matrix off the scratch.
static wn_tensor take(wn_tensor *scratch, int64_t rows, int64_t width) {
    int64_t count = rows * width;
    const wn_tensor t = wn__tensor_slice(scratch, 0, 0, count);
    *scratch = wn__tensor_slice(scratch, 0, count, scratch->shape[0] - count);
    return wn__tensor_view2(&t, rows, width);
}

// What was saved comes back as floats: what the ops read, and what layers do that read no BF16.
static wn_status bring_back(const wn__attn *a, wn__exec *x, const wn__attn_saved *saved,
                            const wn_tensor *in, const wn__attn_buffers *buffers) {
    int64_t rows = in->shape[0];
    const wn_tensor q = wn__first_rows(&buffers->q, rows), k = wn__first_rows(&buffers->k, rows),
                    v = wn__first_rows(&buffers->v, rows),
                    out = wn__first_rows(&buffers->out, rows);
    bool floats = !a->q.store16 || !a->k.store16 || !a->v.store16;
    if (floats) WN_TRY(wn__load16(x, &saved->in, in));
    WN_TRY(wn__load16(x, &saved->q, &q));
    WN_TRY(wn__load16(x, &saved->k, &k));
    WN_TRY(wn__load16(x, &saved->v, &v));
    return wn__load16(x, &saved->out, &out);
}

wn_status wn__attn_backward(wn__attn *a, wn__exec *x, const wn__rope_tables *rope, wn__span s,
                            const wn_tensor *in, const wn__attn_buffers *buffers,
                            const wn_tensor *dout, const wn_tensor *din, const wn_tensor *scratch) {
    int64_t rows = s.B * s.T;
    wn_tensor rest = *scratch;
    const wn_tensor mixed = wn__tensor_slice(&buffers->out, 0, 0, rows);
    const wn_tensor dmixed = take(&rest, rows, a->q.out), dq = take(&rest, rows, a->q.out);
    const wn_tensor dk = take(&rest, rows, a->k.out), dv = take(&rest, rows, a->v.out);
    const wn__attn_saved saved = saved_rows(&buffers->saved, rows);
    WN_TRY(bring_back(a, x, &saved, in, buffers));
    WN_TRY(wn__linear_backward(&a->o, x, wn__linear_reads(&a->o, &saved.out, &mixed), dout, &dmixed,
                               false));
    const wn__attention_grad grad = {.q = by_head(a, &buffers->q, s.B, s.T, a->heads),
                                     .k = by_head(a, &buffers->k, s.B, s.T, a->kv_heads),
                                     .v = by_head(a, &buffers->v, s.B, s.T, a->kv_heads),
                                     .out = by_head(a, &mixed, s.B, s.T, a->heads),
                                     .lse = lse_of(a, &buffers->lse, s),
                                     .dout = by_head(a, &dmixed, s.B, s.T, a->heads),
                                     .dq = by_head(a, &dq, s.B, s.T, a->heads),
                                     .dk = by_head(a, &dk, s.B, s.T, a->kv_heads),
                                     .dv = by_head(a, &dv, s.B, s.T, a->kv_heads),
                                     .scale = scale_of(a)};
    WN_TRY(wn__run(x, WN__OP_attention_grad, &grad));
    WN_TRY(rotate(x, rope, &grad.dq, s.start, true));
    WN_TRY(rotate(x, rope, &grad.dk, s.start, true));
    WN_TRY(wn__keep16(a->round16, x, &dq));
    WN_TRY(wn__keep16(a->round16, x, &dk));
    WN_TRY(wn__keep16(a->round16, x, &dv));
    WN_TRY(wn__linear_backward(&a->q, x, wn__linear_reads(&a->q, &saved.in, in), &dq, din, false));
    WN_TRY(wn__linear_backward(&a->k, x, wn__linear_reads(&a->k, &saved.in, in), &dk, din, true));
    return wn__linear_backward(&a->v, x, wn__linear_reads(&a->v, &saved.in, in), &dv, din, true);
}
