// SPDX-License-Identifier: MIT
/* A linear layer y = x W^T (+ bias) whose weight has a structure.
 *
 * One small interface, one file for each structure (linear_dense.c, linear_sparse24.c,
 * linear_stream.c, linear_sste.c, linear_lowrank.c, linear_in24.c, linear_kron.c). A model, an
 * optimizer, a checkpoint and a session never ask which one they hold. Adding a structure: a new
 * file with a wn__linear_type, a line in linear.c's list, a name in structure.c. */
#ifndef WN_NN_LINEAR_H
#define WN_NN_LINEAR_H

#include "kernels/op.h"
#include "nn/param.h"
#include "nn/structure.h"

typedef struct wn__linear wn__linear;

/* A tensor that training must keep besides the parameters (a mask, a scale): saved in
 * training.safetensors as "<layer>.<suffix>". */
typedef struct wn__state {
    char name[WN_NAME_MAX];
    wn_tensor view;
} wn__state;

/* Bytes as they would be counted in the table at the start of a run. */
typedef struct wn__linear_bytes {
    size_t dense;    /* the weight if it were dense, in the model's dtype */
    size_t master;   /* master weight kept for training */
    size_t forward;  /* what the forward product reads */
    size_t backward; /* what the input-gradient product reads, if separate */
    size_t state;    /* masks and the like */
} wn__linear_bytes;

/* FLOPs of one row of x, as executed. */
typedef struct wn__linear_flops {
    double forward, input_gradient, weight_gradient;
} wn__linear_flops;

typedef struct wn__linear_type {
    wn__structure_kind kind;
    /* Allocates and registers; l->name, in, out, has_bias and structure are set. */
    wn_status (*build)(wn__linear *l, wn__build *b);
    /* Brings derived state (mask, packs) up to date with the master weight. step: optimizer steps
     * done; once per step and after loading. */
    wn_status (*prepare)(wn__linear *l, wn__exec *x, int64_t step);
    /* y[N,out] = (accumulate ? y : 0) + x[N,in] W^T + bias; of the model's dtype, in perhaps BF16
     * (store16) */
    wn_status (*forward)(wn__linear *l, wn__exec *x, const wn_tensor *in, const wn_tensor *out,
                         bool accumulate);
    /* Adds to the gradients; dx[N,in] = (accumulate ? dx : 0) + dy W, unless absent. */
    wn_status (*backward)(wn__linear *l, wn__exec *x, const wn_tensor *in, const wn_tensor *dy,
                          const wn_tensor *dx, bool accumulate);
    /* Adds regularisation (masked decay) times factor to the gradients, before the optimizer.
     * NULL: none. */
    wn_status (*regularize)(wn__linear *l, wn__exec *x, double factor);
    /* Writes the weight the forward pass multiplies by into out[out,in] (zeros written out), which
     * may lie at the start of the scratch block. */
    wn_status (*merge)(wn__linear *l, wn__exec *x, const wn_tensor *out);
    /* Packs from the parameters and states that a checkpoint brought back; chooses no mask. */
    wn_status (*restore)(wn__linear *l, wn__exec *x);
    /* Initial values of its own parameters for a weight of that standard deviation; NULL: normal(0,
     * std) for "weight". Streams WN_STREAM_INIT + parameter number. *effective receives the
     * standard deviation of W. */
    wn_status (*init)(wn__linear *l, wn__exec *x, uint64_t seed, double std, double *effective);
    /* Takes over a dense weight [out,in] (the model's dtype, packed, perhaps at the start of the
     * scratch block): truncated-SVD factors, a frozen weight ... NULL: copied into "weight". */
    wn_status (*adopt)(wn__linear *l, wn__exec *x, const wn_tensor *weight);
    /* The factors were replaced by an exact step: scales that depend on their basis. NULL: nothing.
     */
    wn_status (*rebased)(wn__linear *l, wn__exec *x);
    /* How the weight that merge gives is 2:4 now, whatever its values: "tile", along columns too,
     * or "row". NULL, or giving NULL: not at all. */
    const char *(*pattern)(const wn__linear *l);
    void (*bytes)(const wn__linear *l, wn__linear_bytes *out);
    void (*flops)(const wn__linear *l, wn__linear_flops *out);
    void (*release)(wn__linear *l); /* frees what `as` owns; NULL: nothing */
} wn__linear_type;

/* Which operands of a layer's calls are 2:4, besides what its weight is (nn/act24.h): products of
 * dense weights, and weight gradients, read packs of them (nn/product.h). Absent, false: dense, or
 * not worth a pack. */
typedef struct wn__operands24 {
    wn_tensor in, dy;          /* masks U8 [N, ceil(width/4)], of at least what is not zero */
    bool in_tokens, dy_tokens; /* in_for_weight, dy_for_weight are 2:4 along tokens ... */
    wn_tensor order, dense;    /* ... in this order, but for these features; or absent */
    int64_t marked;            /* that many of them */
} wn__operands24;

struct wn__linear {
    const wn__linear_type *type;
    char name[WN_NAME_MAX]; /* "model.layers.0.mlp.up_proj" */
    int64_t in, out;
    bool has_bias;
    wn__structure structure;
    wn__params *params; /* the model's list */
    size_t weight,
        bias; /* their numbers in params; weight is 0 where factored without a frozen one */
    size_t factor_in, factor_out; /* LOWRANK, ADAPTER: N^T [r,in] "<name>.weight_in", M [out,r]
                                     "<name>.weight_out"; KRON: the first factor and the last one,
                                     or what is behind it, the head's "<name>.head_out" */
    bool factored;  /* no parameter "<name>.weight" is trained: the weight is made by merge */
    int64_t number; /* of the layer, for random streams */
    const wn__pass *pass;
    const wn__scratch *scratch;
    bool round16;            /* outputs are rounded to bfloat16 */
    bool store16;            /* the weight and its packs are of BF16, and so is what products
                                multiply them by: it is narrowed where it comes as floats */
    bool input24;            /* set by who calls forward: what it reads is 2:4 already (nn/mlp.c) */
    wn__operands24 operands; /* set by who calls (nn/mlp.c), of the last pass */
    wn_tensor in_for_weight,
        dy_for_weight; /* only during wn__linear_backward_split, else absent: what the weight's
                          gradient is made of instead of in and dy. Types read them through
                          wn__linear_weight_in and wn__linear_weight_dy */
    wn__state state[6];
    size_t state_count;
    /* Called by wn__linear_forward with what it reads, not in planning; NULL: nobody looks. */
    wn_status (*watch)(void *watcher, const wn__linear *l, const wn_tensor *in);
    void *watcher;
    int64_t flips; /* mask positions changed by the last prepare, -1 when no new mask was made */
    int64_t positions; /* of the mask */
    bool ready;        /* derived state exists */
    union {
        struct wn__linear_sparse24 *sparse24; /* owned, freed by wn__linear_free */
        struct wn__linear_sste *sste;
        struct wn__linear_lowrank *lowrank;
        struct wn__linear_in24 *in24;
        struct wn__linear_kron *kron;
        struct wn__linear_stream *stream;
    } as;
};

/* Chooses the type by structure and builds. Parameters are "<name>.weight" and "<name>.bias". */
WN_NODISCARD wn_status wn__linear_build(wn__linear *l, const char *name, int64_t in, int64_t out,
                                        bool bias, const wn__structure *structure, wn__build *b);
/* The layer "<block>.<name>" with the structure the rules give it. */
WN_NODISCARD wn_status wn__linear_build_in(wn__linear *l, const char *block, const char *name,
                                           int64_t in, int64_t out, bool bias,
                                           wn__structure_rules *rules, wn__build *b);
/* A dense layer on a parameter that exists (a head tied to the embedding): nothing is allocated,
 * gradients add into that parameter. */
void wn__linear_tie(wn__linear *l, const char *name, size_t weight, wn__build *b);
void wn__linear_free(wn__linear *l); /* safe on a zeroed struct */

/* Whether a weight of that structure is stored as BF16 (store16). */
bool wn__linear_stores16(const wn__structure *s, const wn__build *b);
/* What such a layer is best given: t as BF16, where that was saved. */
static inline const wn_tensor *wn__linear_reads(const wn__linear *l, const wn_tensor *saved,
                                                const wn_tensor *t) {
    return l->store16 && wn__given(saved) ? saved : t;
}

/* The calls of the type, with the layer's name put before a message. dx may be NULL: absent. */
WN_NODISCARD wn_status wn__linear_prepare(wn__linear *l, wn__exec *x, int64_t step);
WN_NODISCARD wn_status wn__linear_restore(wn__linear *l, wn__exec *x);
WN_NODISCARD wn_status wn__linear_forward(wn__linear *l, wn__exec *x, const wn_tensor *in,
                                          const wn_tensor *out, bool accumulate);
WN_NODISCARD wn_status wn__linear_backward(wn__linear *l, wn__exec *x, const wn_tensor *in,
                                           const wn_tensor *dy, const wn_tensor *dx,
                                           bool accumulate);
/* Backward where the weight's gradient is made of other tensors than in and dy (2:4 along tokens,
 * nn/act24.h): dW += dy_for_weight^T in_for_weight. Of factors, y = h M^T with h = in N: dN takes
 * in_for_weight and dy M, dM takes dy_for_weight and h. dx and the bias take dy. NULL or absent:
 * in, dy. */
WN_NODISCARD wn_status wn__linear_backward_split(wn__linear *l, wn__exec *x, const wn_tensor *in,
                                                 const wn_tensor *dy, const wn_tensor *dx,
                                                 bool accumulate, const wn_tensor *in_for_weight,
                                                 const wn_tensor *dy_for_weight);
/* For the types: the operands of the weight's gradient in this call of backward. */
static inline const wn_tensor *wn__linear_weight_in(const wn__linear *l, const wn_tensor *in) {
    return wn__given(&l->in_for_weight) ? &l->in_for_weight : in;
}
static inline const wn_tensor *wn__linear_weight_dy(const wn__linear *l, const wn_tensor *dy) {
    return wn__given(&l->dy_for_weight) ? &l->dy_for_weight : dy;
}
WN_NODISCARD wn_status wn__linear_regularize(wn__linear *l, wn__exec *x, double factor);
WN_NODISCARD wn_status wn__linear_merge(wn__linear *l, wn__exec *x, const wn_tensor *out);
/* What types share: weight[out,in] and bias[out] as parameters; g += T(dy)^T x of one weight
 * (nn/product.h) and db += column sums of dy. */
WN_NODISCARD wn_status wn__linear_add_params(wn__linear *l, wn__build *b);
WN_NODISCARD wn_status wn__linear_add_bias(wn__linear *l, wn__build *b);
struct wn__weight_view;
WN_NODISCARD wn_status wn__linear_param_gradients(wn__linear *l, wn__exec *x,
                                                  const struct wn__weight_view *w,
                                                  const wn_tensor *in, const wn_tensor *dy);
WN_NODISCARD wn_status wn__linear_bias_gradient(wn__linear *l, wn__exec *x, const wn_tensor *dy);
/* Logs, once a build, that groups of four along `size` columns of `what` are padded. */
void wn__linear_tell_padding(const wn__linear *l, wn__build *b, const char *what, int64_t size);
/* BUG unless derived state exists or the executor plans. */
WN_NODISCARD wn_status wn__linear_check_ready(const wn__linear *l, const wn__exec *x);
wn__param *wn__linear_weight(const wn__linear *l);
extern const wn__linear_type wn__linear_dense, wn__linear_sparse24, wn__linear_stream,
    wn__linear_sste, wn__linear_lowrank, wn__linear_adapter, wn__linear_in24, wn__linear_kron;
/* Whether the weight, dense or 2:4, is a stream and no parameter. */
static inline bool wn__linear_streams(const wn__linear *l) {
    return l->type == &wn__linear_stream;
}
/* What multiplies `tokens` tokens by such a weight. */
WN_NODISCARD wn_status wn__linear_stream_kernel(const wn__linear *l, const wn__exec *x,
                                                int64_t tokens, const wn__kernel **out);
/* The type's pattern: "tile", "row" or NULL. */
const char *wn__linear_pattern(const wn__linear *l);
/* Whether products multiply by the parameter "<name>.weight" as it is: nothing is merged. */
static inline bool wn__linear_plain(const wn__linear *l) {
    wn__structure_kind kind = l->structure.kind;
    if (wn__linear_streams(l)) return false;
    return kind == WN_STRUCTURE_DENSE || kind == WN_STRUCTURE_IN24;
}
/* Whether a parameter is the layer's weight or one of its factors. */
bool wn__linear_owns(const wn__linear *l, size_t param);
wn_tensor wn__linear_bias(const wn__linear *l); /* absent without one */

/* Initial values, tied to nothing: see adopt and init above. */
WN_NODISCARD wn_status wn__linear_init(wn__linear *l, wn__exec *x, uint64_t seed, double std,
                                       double *effective);
WN_NODISCARD wn_status wn__linear_adopt(wn__linear *l, wn__exec *x, const wn_tensor *weight);
WN_NODISCARD wn_status wn__linear_rebased(wn__linear *l, wn__exec *x);

/* Of a KRON layer: its factors, rightmost first. NULL for every other layer. */
const struct wn__kron_chain *wn__linear_chain(const wn__linear *l);

/* Of an IN24 layer with a scale: where it is, F64 [1], 0 until the first training pass chose it.
 * NULL for every other layer. */
double *wn__linear_input_scale(const wn__linear *l);
/* Whether an evaluation prunes what the layer reads: IN24, with its scale chosen if it has one. */
bool wn__linear_prunes_input(const wn__linear *l);

#endif
