// SPDX-License-Identifier: MIT
/* Arguments of the device code of a factor's gradient in float32, for its host side too.
 *
 * A unit is what a thread has in common with none beside it: one block of the factor (rows), or
 * four whose numbers lie side by side, l to l + 3 (quads). A block of threads has 2^units of them,
 * and of each 2^outputs by 2^inputs threads: a thread of rows 8 by 8 numbers of one block, of quads
 * 4 by 4 numbers of four. Vectors come to shared memory in pieces of four numbers, 2^vectors of
 * them at a time. Every part of the batch leaves its sums, [parts][a d] blocks whose numbers lie as
 * those of dw do: [b][c], or turned, [c][b]. */
#ifndef WN_KERNELS_CUDA_ARGS_KRON_GRAD_H
#define WN_KERNELS_CUDA_ARGS_KRON_GRAD_H

#include <stdint.h>

/* A side of the factor: x or dy. */
typedef struct wn__gpu_kron_side {
    const float *at;
    int64_t vector, feature; /* strides in elements */
    int count;               /* numbers of a block: c or b */
    int wide;                /* whether a piece is 16 bytes, at a multiple of 16 */
} wn__gpu_kron_side;

typedef struct wn__gpu_kron_grad_f32 {
    wn__gpu_kron_side dy, x;
    float *sums;
    int n, a, d;
    int each;                            /* vectors of a part */
    int outputs, inputs, units, vectors; /* logarithms */
    int down, across, groups;            /* tiles of a block; groups of units */
    int step_j, step_k;                  /* of sums: c and 1, or 1 and b */
} wn__gpu_kron_grad_f32;

/* dw (+)= the sums of all parts, in their order, or in eighths of it where there are many. */
typedef struct wn__gpu_kron_grad_sum {
    const float *sums;
    float *dw;
    int64_t stride[4]; /* of dw */
    int64_t numbers;   /* of a part */
    int d, slow, fast; /* sides of a block as its sums lie */
    int turned, parts, split, accumulate;
} wn__gpu_kron_grad_sum;

enum {
    WN_KRON_GRAD_F32_SUM = 256,     /* threads, each a number's sum, or an eighth of it */
    WN_KRON_GRAD_F32_SPLIT = 8,     /* parts of that sum */
    WN_KRON_GRAD_F32_MANY = 16,     /* parts of the batch from which it is split */
    WN_KRON_GRAD_F32_THREADS = 256, /* at most */
    WN_KRON_GRAD_F32_STAGES = 3,
    WN_KRON_GRAD_F32_SMALL = 128, /* threads, each a block of at most 8 x 8 for itself */
    WN_KRON_GRAD_F32_SMALLEST = 8 /* vectors that are its steps */
};
/* wn_kron_grad_tf32: eight tiles of 64 x 64 numbers, those of the same place in blocks side by side
 * one behind the other; each vector's numbers in PITCH. */
enum {
    WN_KRON_GRAD_TF32_SIDE = 64,
    WN_KRON_GRAD_TF32_TILES = 8,
    WN_KRON_GRAD_TF32_THREADS = 512,
    WN_KRON_GRAD_TF32_PITCH = 1096,
    /* vectors of a step and stages of copies; others have less shared memory than 9.0 */
    WN_KRON_GRAD_TF32_STEP_90 = 8,
    WN_KRON_GRAD_TF32_STAGES_90 = 4,
    WN_KRON_GRAD_TF32_STEP_80 = 8,
    WN_KRON_GRAD_TF32_STAGES_80 = 2
};
#define WN_KRON_GRAD_TF32_SHARED(vectors) ((vectors)*1096 * 4)
#define WN_KRON_GRAD_F32_SHARED(pieces, vectors)                                                   \
    ((pieces) * (16 * (vectors)*WN_KRON_GRAD_F32_STAGES + 8))

#endif
