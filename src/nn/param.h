// SPDX-License-Identifier: MIT
/* The arenas a model is built in, and the parameters that come from them. */
#ifndef WN_NN_PARAM_H
#define WN_NN_PARAM_H

#include "base/arena.h"
#include "tensor/param.h"

/* Where a model's tensors come from. The same building code runs with measuring arenas first. */
typedef struct wn__build {
    wn__arena *weights;   /* master weights and, for structured layers, masks and packs */
    wn__arena *gradients; /* one block, so that it can be zeroed at once; NULL when not training */
    wn__arena *moments;   /* NULL when not training */
    wn__arena *activations;
    wn__params *params;
    wn_dtype dtype; /* F32, or F64 for tests */
    bool training;
    bool padding_told; /* the note on padded 2:4 rows was logged */
} wn__build;

/* Whether this is the pass that only measures. */
static inline bool wn__build_measuring(const wn__build *b) {
    return wn__arena_measuring(b->weights);
}

/* Allocates w (and g, m, v when training) and appends the parameter; *index receives its number. */
WN_NODISCARD wn_status wn__param_add(wn__build *b, const char *name, int ndim, const int64_t *shape,
                                     bool decay, size_t *index);
/* "<name>.<suffix>" into out[WN_NAME_MAX]; INVALID if it does not fit. */
WN_NODISCARD wn_status wn__name_join(char *out, const char *name, const char *suffix);

#endif
