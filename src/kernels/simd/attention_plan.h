// SPDX-License-Identifier: MIT
/* How attention is cut into blocks of queries and keys, and the scratch that follows. Shapes and
 * the number of lanes of a vector alone decide, so results depend on no thread count. */
#ifndef WN_KERNELS_SIMD_ATTENTION_PLAN_H
#define WN_KERNELS_SIMD_ATTENTION_PLAN_H

#include "kernels/attention.h"

#include <stddef.h>

#define WN_ATTENTION_VECS     4   /* vectors of queries of a block, at most */
#define WN_ATTENTION_KEYS     64  /* of a block */
#define WN_ATTENTION_FEW_ROWS 4   /* queries that share a pass over the keys, when there are few */
#define WN_ATTENTION_FEW_KEYS 256 /* of a block, when there are few queries */

/* The sizes of q and k, and what both directions share. */
typedef struct wn__attention_sizes {
    int64_t B, T, S, H, Hk, D;
    int64_t group;   /* query heads of a key/value head */
    int64_t depth;   /* D in whole vectors */
    int64_t queries; /* of a block, in whole vectors */
    int64_t blocks;  /* of queries, of a head */
} wn__attention_sizes;

typedef struct wn__attention_plan {
    wn__attention_sizes z;
    bool few;          /* too few queries for one in each lane */
    int64_t row_sets;  /* few: sets of FEW_ROWS queries of a key/value head */
    int64_t spans;     /* few: runs of keys that are summed apart and joined at the end */
    int64_t span_keys; /* few: keys of a span */
    size_t partials;   /* few: floats of all partial sums */
    size_t worker_floats;
} wn__attention_plan;

typedef struct wn__attention_grad_plan {
    wn__attention_sizes z;
    /* One pass gives all gradients of a (batch, key/value head). Where those are too few to share
     * out, one pass over blocks of queries gives dq and one over blocks of keys dk and dv; the
     * weights are then computed twice. */
    bool two_passes;
    int64_t kept_keys; /* whose dk and dv a worker keeps, in whole blocks */
    size_t worker_floats;
} wn__attention_grad_plan;

wn__attention_plan wn__attention_plan_for(const wn__attention *p, int64_t lanes);
wn__attention_grad_plan wn__attention_grad_plan_for(const wn__attention_grad *p, int64_t lanes);

#endif
