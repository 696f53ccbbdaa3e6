// SPDX-License-Identifier: MIT
/* The feed-forward part of a block, without its norm and its residual addition's source:
 *   SwiGLU        down(silu(gate(x)) up(x))
 *   squared ReLU  down(max(up(x), 0)^2)
 *   ReLU          down(max(up(x), 0))
 * Without a gate the activation may be 2:4 sparse (nn/act24.h). Views are [N, C] outside and [N, I]
 * inside. */
#ifndef WN_NN_MLP_H
#define WN_NN_MLP_H

#include "formats/hf_config.h"
#include "nn/act24.h"
#include "nn/linear.h"

typedef struct wn__mlp {
    wn__mlp_kind kind;
    wn__linear gate, up, down; /* gate: SwiGLU only */
    wn__act24 act;             /* kind DENSE unless a rule says otherwise */
    bool round16;
} wn__mlp;

/* What waits for backward as BF16, where the buffers are shared by blocks: the input, which the
 * caller saves, and the rest, which forward does. Absent: the buffers themselves wait. */
typedef struct wn__mlp_saved {
    wn_tensor in, gate, up, act;
} wn__mlp_saved;

/* Buffers of one pass, [N, I]. When training, forward leaves here what backward needs; otherwise
 * act shares the memory of up. */
typedef struct wn__mlp_buffers {
    wn_tensor gate, up, act;
    wn__act24_buffers act24;
    wn__mlp_saved saved;
} wn__mlp_buffers;

/* Layers "<name>.gate_proj", "<name>.up_proj", "<name>.down_proj", the activation "<name>.act". */
WN_NODISCARD wn_status wn__mlp_build(wn__mlp *m, const char *name, const wn__model_config *c,
                                     wn__structure_rules *rules, wn__build *b);
void wn__mlp_free(wn__mlp *m);
/* Buffers for at most `rows` rows from b->activations. */
WN_NODISCARD wn_status wn__mlp_buffers_alloc(const wn__mlp *m, int64_t rows, wn__build *b,
                                             wn__mlp_buffers *out);
/* The buffers of another block for this one as well. */
WN_NODISCARD wn_status wn__mlp_buffers_share(const wn__mlp *m, const wn__mlp_buffers *from,
                                             wn__build *b, wn__mlp_buffers *out);
/* Gives shared buffers room of their own for what is saved (but the input). */
WN_NODISCARD wn_status wn__mlp_buffers_save(const wn__mlp *m, int64_t rows, wn__build *b,
                                            wn__mlp_buffers *out);
/* Elements of scratch backward needs for each row. */
int64_t wn__mlp_scratch(const wn__mlp *m);
/* out[N,C] += mlp(in[N,C]) */
WN_NODISCARD wn_status wn__mlp_forward(wn__mlp *m, wn__exec *x, const wn_tensor *in,
                                       const wn__mlp_buffers *buffers, const wn_tensor *out);
/* Fills the buffers as the last forward pass did, without its result. */
WN_NODISCARD wn_status wn__mlp_again(wn__mlp *m, wn__exec *x, const wn_tensor *in,
                                     const wn__mlp_buffers *buffers);
/* din = gradient of in; parameter gradients are added. Overwrites the buffers. T: tokens of a
 * sequence. scratch: 1-D, at least N wn__mlp_scratch elements. */
WN_NODISCARD wn_status wn__mlp_backward(wn__mlp *m, wn__exec *x, int64_t T, const wn_tensor *in,
                                        const wn__mlp_buffers *buffers, const wn_tensor *dout,
                                        const wn_tensor *din, const wn_tensor *scratch);

#endif
