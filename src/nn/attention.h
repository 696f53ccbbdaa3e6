// SPDX-License-Identifier: MIT
/* Grouped-query attention of a block, without its norm: q, k, v projections, rotary positions,
 * causal attention, output projection. */
#ifndef WN_NN_ATTENTION_H
#define WN_NN_ATTENTION_H

#include "nn/linear.h"
#include "nn/rope.h"

typedef struct wn__attn {
    wn__linear q, k, v, o;
    int64_t heads, kv_heads, head_dim;
    bool round16;
} wn__attn;

/* B sequences of T tokens, the first at position `start` (more than 0 only with a cache). */
typedef struct wn__span {
    int64_t B, T, start;
} wn__span;

/* What waits for backward as BF16, where the buffers are shared by blocks: the input, which the
 * caller saves, and the rest, which forward does. Absent: the buffers themselves wait. */
typedef struct wn__attn_saved {
    wn_tensor in, q, k, v, out;
} wn__attn_saved;

/* Buffers of one pass. When training, forward leaves here what backward needs. */
typedef struct wn__attn_buffers {
    wn_tensor q, out; /* [N, H D] */
    wn_tensor k, v;   /* [N, Hk D] */
    wn_tensor lse;    /* [N H], absent when not training */
    wn__attn_saved saved;
} wn__attn_buffers;

/* Keys and values of one layer and one sequence: [capacity, Hk D]. */
typedef struct wn__attn_cache {
    wn_tensor k, v;
} wn__attn_cache;

/* Layers "<name>.q_proj", "<name>.k_proj", "<name>.v_proj", "<name>.o_proj". */
WN_NODISCARD wn_status wn__attn_build(wn__attn *a, const char *name, const wn__model_config *c,
                                      wn__structure_rules *rules, wn__build *b);
void wn__attn_free(wn__attn *a);
/* Buffers for at most `rows` rows from b->activations. */
WN_NODISCARD wn_status wn__attn_buffers_alloc(const wn__attn *a, int64_t rows, wn__build *b,
                                              wn__attn_buffers *out);
/* Gives shared buffers room of their own for what is saved (but the input), and for lse. */
WN_NODISCARD wn_status wn__attn_buffers_save(const wn__attn *a, int64_t rows, wn__build *b,
                                             wn__attn_buffers *out);
/* Elements of scratch backward needs for each row. */
int64_t wn__attn_scratch(const wn__attn *a);
/* out[N,C] += attention(in[N,C]), N = B T. With a cache (else NULL), B = 1, keys and values go to
 * its rows start .. start+T-1 and all up to there are attended to. */
WN_NODISCARD wn_status wn__attn_forward(wn__attn *a, wn__exec *x, const wn__rope_tables *rope,
                                        wn__span span, const wn_tensor *in,
                                        const wn__attn_buffers *buffers,
                                        const wn__attn_cache *cache, const wn_tensor *out);
/* din = gradient of in; parameter gradients are added. scratch: 1-D, at least N wn__attn_scratch
 * elements. */
WN_NODISCARD wn_status wn__attn_backward(wn__attn *a, wn__exec *x, const wn__rope_tables *rope,
                                         wn__span span, const wn_tensor *in,
                                         const wn__attn_buffers *buffers, const wn_tensor *dout,
                                         const wn_tensor *din, const wn_tensor *scratch);

#endif
