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
 * One factor alone needs no panel of all features: a task is `rows` outputs of l neighbouring
 * blocks (i, l) for some panels, and takes k of their inputs at a time.
 *
 * Where blocks that lie side by side fill a vector of 8, or 4 of them half of it, nothing needs to
 * be taken apart: its lanes are the outputs (j, l) as they lie in y, and what multiplies them are
 * the d inputs (k, l), repeated. With vectors of 16 that is faster on AMD's processors, where d is
 * 4 or a multiple of 16, and for small blocks, d = 4, on others.
 *
 * Batch last, a row of lanes is a row of x or y already: what is read and written are those.
 *
 * Few vectors are no panel: what is read then is the factors, which go past once as they lie. */
#ifndef WN_KERNELS_SIMD_KRON_PLAN_H
#define WN_KERNELS_SIMD_KRON_PLAN_H

#include "kernels/kron_grad.h"
#include "kernels/kron_pack.h"
#include "kernels/kron_pair_grad.h"

enum {
    WN_KRON_AVX2_LANES = 16,
    WN_KRON_AVX512_LANES = 32,
    WN_KRON_AVX2_ROWS = 6, /* of a register tile, two vectors each */
    WN_KRON_AVX512_ROWS = 12,
    WN_KRON_ENOUGH = 16,      /* pieces to share out among threads */
    WN_KRON_STREAM = 1 << 20, /* numbers that go out past the caches, at least */
    WN_KRON_FEW = 16,         /* vectors at most that are few */
    WN_KRON_OFTEN = 4,        /* tasks with the same weights, at least, to pack all before */
    WN_KRON_STAY = 1 << 22,   /* weights that the last cache keeps beside the batch, fewer than */
    WN_KRON_BLOCK = 64        /* numbers of a block at least, for that */
};

typedef struct wn__kron_one {
    int64_t l, parts_l;     /* blocks that lie side by side; 0 parts: it is no such factor */
    int64_t k, slices;      /* inputs of a block at a time, at most */
    int64_t tiles, parts_j; /* register tiles of outputs, shared out among parts */
    int64_t rows;           /* outputs of a part, at most */
    int64_t in, out;        /* rows of a panel from one block to the next: k and rows, never even */
    int64_t tile;           /* floats of a packed tile of k inputs */
    int64_t panels, chunks; /* that pass together; so many times */
    int64_t place_x, place_y; /* integers */
} wn__kron_one;

/* One factor in lanes (j, l): tasks of tokens and outputs, k inputs of each block at a time. */
#define WN_KRON_SIDE_TOKENS(vector) ((vector) == 16 ? 6 : 3) /* of a register tile, */
enum { WN_KRON_SIDE_VECTORS = 4 };                           /* and vectors of outputs, at most */
/* Tokens of a task at least: fewer are not cut into the tiles that there are (AVX2: 2 and 3 tokens,
 * AVX-512: 4 to 6). */
#define WN_KRON_SIDE_LEAST(vector) ((vector) == 16 ? 8 : 2)
typedef struct wn__kron_side {
    int64_t d;               /* lanes that repeat; 0: it is no such factor */
    int64_t parts_l;         /* a block's l are so many times d */
    int64_t k, slices;       /* inputs of a block at a time, at most */
    int64_t strips, parts_j; /* of outputs, shared out among parts */
    int64_t tokens, chunks;  /* of a task, at most; parts of the batch */
    int64_t row;             /* floats of a token's inputs, an odd number of lines */
    int64_t all;             /* of all weights, where they are packed before; else 0 */
    bool inner; /* tasks of the same tokens follow each other, and not of the same weights */
} wn__kron_side;

/* One factor, batch last: tasks of blocks, tokens and outputs, k inputs of each block at a time. */
typedef struct wn__kron_last {
    int64_t l, parts_l;              /* blocks side by side; 0 parts: it is no such factor */
    int64_t k, slices;               /* inputs of a block at a time, at most */
    int64_t tiles, parts_j;          /* register tiles of outputs, shared out among parts */
    int64_t panels, chunks;          /* that pass together, at most; so many times */
    int64_t weights, copies, worker; /* floats: a packed tile, copied inputs, all with sums */
    int64_t all;                     /* of all weights, where they are packed before; else 0 */
} wn__kron_last;

typedef struct wn__kron_plan {
    int64_t lanes;       /* of a panel */
    int64_t panels;      /* that go through a factor together */
    wn__kron_packing of; /* the factors, */
    bool packed;         /* as p has them */
    int64_t weights;     /* floats, of all factors packed, */
    int64_t places;      /* and 32-bit integers, in scratch */
    int64_t worker;      /* floats of one worker */
    wn__kron_one one;
    wn__kron_side side;
    wn__kron_last last;
    bool few; /* few vectors; then of one of them */
    int64_t few_width, few_inputs,
        few_outputs; /* floats between factors, into and out of a block */
} wn__kron_plan;

wn__kron_plan wn__kron_plan_for(const wn__kron_mul *p, int64_t lanes);
/* Whether p has them packed for panels of so many lanes. */
static inline bool wn__kron_is_packed(const wn__kron_mul *p, int64_t lanes) {
    return wn__given(&p->packed) && p->lanes == lanes;
}

/* Rows of a register tile of kron_grad, two vectors each, whose lanes d blocks share. */
#define WN_KRON_GRAD_ROWS(vector, shared)                                                          \
    ((vector) == 16 ? ((shared) < 4 ? 8 : 12) : ((shared) < 4 ? 4 : 6))
#define WN_KRON_GRAD_MOST 12
/* Rows of sums of kron_pair_grad are so many at least. */
#define WN_KRON_PAIR_LEAST(vector) ((vector) == 16 ? 4 : 2)

/* How the gradient of one factor is cut: into tasks that own rows j and inputs k of neighbouring
 * blocks l. Panels of x and dy hold some tokens of the lanes of each block. */
typedef struct wn__kron_cut {
    int64_t shared, blocks;        /* blocks l that share vectors (then all do), or panels */
    int64_t rows, inputs;          /* j and k of a task */
    int64_t r;                     /* rows of a register tile */
    int64_t vectors_x, vectors_dy; /* of a block's panels */
    int64_t tokens, step;          /* brought at a time; floats from vector to vector */
    int64_t parts_l, parts_j, parts_k, tasks;
    int64_t worker; /* floats of one worker */
} wn__kron_cut;
wn__kron_cut wn__kron_cut_for(const wn__kron_grad *p, int64_t vector);

/* How both gradients of a chain of two are cut (simd/kron_pair.inc.h): a task owns `some` of the t
 * that share a block of outputs, and goes through the batch a few panels at a time. */
typedef struct wn__kron_pair_cut {
    int64_t s, t, r; /* as in wn__kron_plan */
    int64_t some, parts;
    int64_t panels;                           /* at a time, at most */
    int64_t weights0, weights1, sums0, sums1; /* floats of a task: packed factors, sums, */
    int64_t x, dy, between; /* panels of a block, of all outputs, of what lies between, */
    int64_t turned;         /* and what goes by token */
    int64_t places;         /* integers, of all workers */
    int64_t worker;         /* floats of one worker */
} wn__kron_pair_cut;
wn__kron_pair_cut wn__kron_pair_cut_for(const wn__kron_pair_grad *p, int64_t lanes);

#endif
