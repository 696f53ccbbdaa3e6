// SPDX-License-Identifier: MIT
/* How a chain of Kronecker-sparse factors is cut: the batch into panels of lanes that stay in the
 * cache while they go through all factors. The cut follows from the shapes alone and changes no
 * bit: each number is a sum of its own, over k in order.
 *
 * A panel holds one row of lanes for every feature, in the order in which the next factor reads
 * them: block after block, the c inputs of a block side by side. `place` says where each output
 * belongs, so nothing is ever permuted.
 *
 * Two chainable factors are fused more tightly, since between them there may be many more numbers
 * than on either side (block low rank with rank r has r times as many): of the d1/d2 = t outputs u
 * that share a block row, `chunk` at a time are computed from all inputs and used up.
 *
 * Few vectors are no panel: what is read then is the factors, which go past once as they lie. */
#ifndef WN_KERNELS_SIMD_KRON_PLAN_H
#define WN_KERNELS_SIMD_KRON_PLAN_H

#include "kernels/kron_grad.h"
#include "kernels/kron_mul.h"

enum {
    WN_KRON_AVX2_LANES = 16,
    WN_KRON_AVX512_LANES = 32,
    WN_KRON_AVX2_ROWS = 6, /* of a register tile, two vectors each */
    WN_KRON_AVX512_ROWS = 12,
    WN_KRON_TOKENS = 64, /* of kron_grad, gathered at a time */
    WN_KRON_FEW = 16,    /* vectors at most that are few */
    WN_KRON_BLOCK = 64   /* numbers of a block at least, for that */
};

typedef struct wn__kron_plan {
    int64_t lanes;   /* of a panel */
    int64_t panels;  /* that go through a factor together */
    bool pair;       /* two chainable factors, with */
    int64_t s, t, r; /* a2/a1, d1/d2 and the inner rank, */
    int64_t chunk;   /* and so many of t at a time */
    int64_t in, out; /* features */
    int64_t middle;  /* rows of what lies between: a chunk's, or the widest of a chain */
    int64_t weights; /* floats, of all factors packed */
    int64_t places;  /* 32-bit integers */
    int64_t worker;  /* floats of one worker */
    bool few;        /* few vectors; then of one of them */
    int64_t few_width, few_inputs,
        few_outputs; /* floats between factors, into and out of a block */
} wn__kron_plan;

wn__kron_plan wn__kron_plan_for(const wn__kron_mul *p, int64_t lanes);
/* Numbers rounded up to whole cache lines. */
static inline int64_t wn__kron_line(int64_t n) {
    return (n + 15) / 16 * 16;
}

/* How the gradient of one factor is cut: into tasks that own rows j0 .. j0 + rows of `wide`
 * neighbouring blocks l. */
typedef struct wn__kron_cut {
    int64_t wide;   /* blocks l in lanes; 1: the lanes run along k */
    int64_t rows;   /* j of a task */
    int64_t jr, kr; /* those rows and c rounded up to whole register tiles */
    int64_t worker; /* floats of one worker */
    int64_t tasks, parts_l, parts_j;
} wn__kron_cut;
wn__kron_cut wn__kron_cut_for(const wn__kron_grad *p, int64_t vector);

#endif
