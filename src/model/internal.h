// SPDX-License-Identifier: MIT
/* What the files of model/ share: the model's parts, its buffers, and the passes over them. */
#ifndef WN_MODEL_INTERNAL_H
#define WN_MODEL_INTERNAL_H

#include "model/model.h"
#include "nn/attention.h"
#include "nn/mlp.h"
#include "nn/norm.h"

/* Logits of one chunk of the head take at most this many bytes (one row at least). */
#define WN_MODEL_LOGITS_BYTES ((int64_t)64 << 20)

/* A block and its buffers. When training each block has its own, with recompute only `entry`: the
 * rest is shared. Otherwise all is, and entry, middle and exit of the residual stream are one
 * buffer; so too where training saves what backward needs as BF16 (saves16), when each block has
 * only these copies of its own and what is not rounded. */
typedef struct wn__block {
    wn__norm attn_norm, mlp_norm;
    wn__attn attn;
    wn__mlp mlp;
    wn_tensor entry, middle; /* [N, C] residual stream before attention and before the MLP */
    wn_tensor entry_norm, middle_norm;   /* [N, C] the same, normalised */
    wn_tensor entry_rstd, middle_rstd;   /* [N], absent when not training */
    wn_tensor saved_entry, saved_middle; /* saves16: BF16, else absent */
    wn__attn_buffers attn_buffers;
    wn__mlp_buffers mlp_buffers;
} wn__block;

/* Buffers outside the blocks. */
typedef struct wn__model_buffers {
    wn_tensor tokens, targets;  /* I32 [batch seq] */
    wn_tensor exit, exit_norm;  /* [N, C] residual stream after the last block, and normalised */
    wn_tensor exit_rstd;        /* [N], absent when not training */
    wn_tensor logits;           /* [chunk, V] */
    wn_tensor losses, loss_sum; /* [N]; F64 [1] */
    /* training */
    wn_tensor dstream, dnorm; /* [N, C] gradients of the residual stream and of a normalised one */
    wn_tensor scratch;        /* 1-D, for the backward pass of attention or MLP */
} wn__model_buffers;

typedef struct wn__model_arenas {
    wn__arena weights, gradients, moments, activations;
} wn__model_arenas;

struct wn__model {
    wn__model_spec spec;
    wn__runtime *rt;
    wn__exec *x; /* the runtime's, or a planning one while measuring */
    wn__model_arenas arenas;
    wn__params params;
    size_t embedding; /* parameter number */
    wn__block *block; /* [layers] */
    wn__norm norm;
    wn__linear head;     /* on the embedding when tied */
    wn__linear **linear; /* every layer with a weight of its own, in forward order */
    size_t linear_count;
    char (*weight_name)[WN_NAME_MAX]; /* of each: "<layer>.weight", its name on disk */
    wn__pass pass;
    wn__scratch scratch;
    wn__init_report init_report;
    wn__rope_tables rope;
    wn__model_buffers buffers;
    wn__span fed, planned; /* T = 0: nothing */
    int64_t labels;        /* fed targets that are not ignored */
    bool has_targets;
    wn__model *teacher; /* NULL: none */
    double share, temperature;
    bool saves16; /* --dtype bfloat16, training: activations wait for backward as BF16 */
};

/* build.c: every tensor, from the arenas as they are (measuring or not). */
WN_NODISCARD wn_status wn__model_build(wn__model *m);
void wn__model_unbuild(wn__model *m);

/* model.c: INVALID names the first id outside the vocabulary; `negative` ones may be allowed. */
WN_NODISCARD wn_status wn__model_check_tokens(const wn__model *m, const char *what,
                                              const int32_t *id, int64_t n, bool negative);

/* weights.c: of the weight that a layer is written out as. */
wn_dtype wn__model_merged_dtype(const wn__model *m, const wn__linear *l);

/* forward.c */
/* Embeds buffers.tokens and runs every block; leaves the residual stream in buffers.exit. cache
 * NULL: none. */
WN_NODISCARD wn_status wn__model_blocks(wn__model *m, wn__span s, const wn__rope_tables *rope,
                                        const wn__kv_cache *cache);
/* Fills the buffers of block i from its entry, as the last forward pass did. */
WN_NODISCARD wn_status wn__model_block_again(wn__model *m, int64_t i, wn__span s);
/* Normalises rows begin .. begin+rows-1 of buffers.exit into buffers.exit_norm. */
WN_NODISCARD wn_status wn__model_exit_norm(wn__model *m, int64_t begin, int64_t rows);
/* loss.c: forward and loss of fed tokens, and with_gradients also the gradient of buffers.exit_norm
 * (in dnorm) and of the head. */
WN_NODISCARD wn_status wn__model_head_loss(wn__model *m, wn__span s, bool with_gradients,
                                           double grad_scale, double *loss_sum);
/* backward.c: from dnorm back to the embedding. */
WN_NODISCARD wn_status wn__model_blocks_backward(wn__model *m, wn__span s);
/* plan.c: all that a model of B x T tokens runs, without data. */
WN_NODISCARD wn_status wn__model_plan_all(wn__model *m);
/* Plans one pass of another shape than the last and grows the workspace. */
WN_NODISCARD wn_status wn__model_plan_span(wn__model *m, wn__span s);

#endif
