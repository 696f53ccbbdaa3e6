// SPDX-License-Identifier: MIT
/* The arenas a model is built in, the parameters that come from them, and what layers share while
 * they run. */
#ifndef WN_NN_PARAM_H
#define WN_NN_PARAM_H

#include "base/arena.h"
#include "tensor/param.h"

/* Where training stands: what random draws and warm-ups are functions of. The model owns one;
 * layers read it. */
typedef struct wn__pass {
    uint64_t seed;
    int64_t update;   /* optimizer updates done */
    uint64_t counter; /* training passes (micro-batches) done in this run, below 2^32: the draws'
                         counter */
    bool learning;    /* a training pass runs, not an evaluation */
} wn__pass;

/* One block that every layer may use within one of its calls, never across calls: sized by the
 * largest wish. */
typedef struct wn__scratch {
    int64_t elements; /* largest wish while building */
    wn_tensor block;  /* 1-D, of the model's dtype; valid after the build */
} wn__scratch;
void wn__scratch_wish(wn__scratch *s, int64_t elements);
/* rows x cols from element *at of the block on; *at moves behind it (to a multiple of 16 elements).
 */
wn_tensor wn__scratch_take(const wn__scratch *s, int64_t *at, int64_t rows, int64_t cols);
/* Elements a take of that size costs: add these up for a wish. */
int64_t wn__scratch_cost(int64_t rows, int64_t cols);

/* How weights of dense and 2:4 layers are stored: in the model's dtype, or, in a model that does
 * not train, as streams only (nn/linear_stream.c). */
typedef enum wn__stored {
    WN_STORED_MASTER,
    WN_STORED_F32,
    WN_STORED_BF16,
    WN_STORED_INT8,
    WN_STORED_INT4
} wn__stored;

/* Where a model's tensors come from. The same building code runs with measuring arenas first. */
typedef struct wn__build {
    wn__arena *weights;   /* master weights and, for structured layers, masks and packs */
    wn__arena *gradients; /* NULL when not training */
    wn__arena *activations;
    wn__params *params;
    wn_dtype dtype; /* F32, or F64 for tests */
    bool training;
    bool round16;     /* weights and activations are rounded to bfloat16 over fp32 masters */
    bool narrow;      /* the parameter that is being added is read as BF16 */
    bool recompute;   /* activations are computed again in backward: none is kept for it */
    bool count_zeros; /* training passes count zeros after every activation without a gate */
    wn__stored stored;
    bool padding_told; /* the note on padded 2:4 rows was logged */
    bool rank_told;    /* and that on ranks above a layer's sizes */
    int64_t rows;      /* largest number of rows (tokens) of a pass */
    int64_t dy_rows;   /* of them whose output gradients exist at a time */
    int64_t seq;       /* longest sequence of a pass */
    int64_t layers;    /* linear layers built so far: each takes the next number */
    int64_t packs24;   /* elements of scratch that a pack of what the layers being built read and of
                          their output gradients takes at most; 0: those are not 2:4 */
    wn__pass *pass;    /* borrowed by the layers */
    wn__scratch *scratch;
} wn__build;

/* Whether this is the pass that only measures. */
static inline bool wn__build_measuring(const wn__build *b) {
    return wn__arena_measuring(b->weights);
}

/* Whether matrices that only products and tables read are stored as BF16 over their masters. */
static inline bool wn__build_stores16(const wn__build *b) {
    return b->training && b->round16 && b->dtype == WN_DTYPE_F32;
}

/* Allocates w (master when rounding, g when training and not frozen) and appends the parameter;
 * *index receives its number. Optimizer states come later, from wn__optimizer_build. */
WN_NODISCARD wn_status wn__param_add(wn__build *b, const char *name, int ndim, const int64_t *shape,
                                     bool decay, size_t *index);
WN_NODISCARD wn_status wn__param_add_as(wn__build *b, const char *name, int ndim,
                                        const int64_t *shape, bool decay, wn__param_role role,
                                        size_t *index);
/* "<name>.<suffix>" into out[WN_NAME_MAX]; INVALID if it does not fit. */
WN_NODISCARD wn_status wn__name_join(char *out, const char *name, const char *suffix);

#endif
