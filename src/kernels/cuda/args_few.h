// SPDX-License-Identifier: MIT
/* Arguments of the product of few tokens by packed blocks (spmm24_blocks.h, block8.h), for its host
 * side too. */
#ifndef WN_KERNELS_CUDA_ARGS_FEW_H
#define WN_KERNELS_CUDA_ARGS_FEW_H

#include "tensor/tensor_map.h"
#include <stdint.h>

/* As many stages as lanes of a warp, which make their barriers. */
enum { WN_FEW_MOST_SPLIT = 4, WN_FEW_MOST_STAGES = 32 };
/* What becomes of blocks in L2: they leave it first, half of them stays, all of them. */
enum { WN_FEW_ONCE, WN_FEW_HALF, WN_FEW_KEPT };

typedef struct wn__gpu_few {
    /* Boxes of 128 bytes of as many tokens as a tile has; and of as many as the last one has, where
     * it has fewer: a box that goes beyond the matrix takes longer than a whole one. */
    wn__cu_tensor_map x[2];
    const uint8_t *blocks;
    const void *bias, *residual; /* or NULL */
    void *y;
    const float *x_scale, *w_scale; /* of 8-bit operands */
    /* What a block of threads needs before anything else is one line of the constant cache, which
     * begins empty with every launch: sixteen words from a multiple of 64 bytes on, arguments
     * beginning at byte 16 of a line.
     * Of each rank, and of ranks that are not there (the end): its first block along the inputs,
     * and its first unit of a warpgroup's tokens. The device divides by nothing. */
    int block_of[WN_FEW_MOST_SPLIT + 1], unit_of[WN_FEW_MOST_SPLIT + 1];
    int split;         /* blocks of threads of a cluster, which divide the inputs */
    int stages;        /* at least 2 */
    int box;           /* tokens of a tile: a multiple of 8, at most what the function takes */
    int apart;         /* bytes of what all warpgroups are sent; 0: it has the place of stages */
    int panels, depth; /* rows and columns of blocks */

    int64_t residual_stride, y_stride;
    int x_scale_stride, w_scale_stride; /* 0: one number for all */
    int tokens, outputs;
    int rest; /* tokens of the last tile that has fewer than others, or 0 */
    int sent; /* bytes that a warpgroup is sent, at most */
    int relu2;
    int early; /* what is ahead lets this launch begin, and neither writes blocks */
    int kept;  /* WN_FEW_KEPT and so on */
    int whole; /* rows of y and of residual lie at 16 bytes, and eight outputs are one of them */
} wn__gpu_few;

/* X(outputs, tokens, halves, deep, most): a tile, of `halves` warpgroups for each panel of 64
 * outputs, which divide its tokens; a stage is `deep` blocks along the inputs; a processor has
 * registers for `most` thread blocks. */
#define WN_FEW_SHAPES(X)                                                                           \
    X(64, 8, 1, 4, 2)                                                                              \
    X(64, 16, 1, 2, 2)                                                                             \
    X(64, 32, 1, 2, 2)                                                                             \
    X(64, 64, 1, 1, 2)                                                                             \
    X(128, 64, 1, 1, 2)                                                                            \
    X(192, 64, 1, 1, 2)                                                                            \
    X(256, 64, 1, 1, 1)                                                                            \
    X(64, 96, 1, 1, 2)                                                                             \
    X(128, 96, 1, 1, 2)                                                                            \
    X(192, 96, 1, 1, 1)                                                                            \
    X(64, 128, 2, 1, 2)                                                                            \
    X(128, 128, 1, 1, 2)                                                                           \
    X(192, 128, 1, 1, 1)                                                                           \
    X(256, 128, 1, 1, 1)                                                                           \
    X(128, 160, 1, 1, 1)                                                                           \
    X(192, 160, 1, 1, 1)                                                                           \
    X(128, 192, 1, 1, 1)                                                                           \
    X(192, 192, 1, 1, 1)                                                                           \
    X(128, 256, 1, 1, 1)

#define WN_FEW_THREADS(groups) ((groups)*128 + 64)
/* Tokens of a unit, which one block of threads of a cluster finishes, of a warpgroup's. */
#define WN_FEW_UNIT(tokens) ((tokens) < 64 ? 8 : 16)
/* Shared memory, from a multiple of 1024: tokens of all stages, blocks of all stages, HELD units in
 * the type of results a warpgroup, a scale of each token a warpgroup, what others of a cluster send
 * (of each the units that are this block's; or it takes the place of stages), barriers: two a
 * stage, one a warpgroup and one more. */
#define WN_FEW_TOKENS(tokens, deep)        ((deep) * (tokens)*128)
#define WN_FEW_BLOCKS(panels, deep, block) ((deep) * (panels) * (block))
#define WN_FEW_HELD(tokens)                ((tokens) < 32 ? (tokens) / 8 : 4)
#define WN_FEW_TURNED(groups, tokens)      ((groups)*WN_FEW_HELD(tokens) * WN_FEW_UNIT(tokens) * 128)
#define WN_FEW_SCALES(groups, tokens)      ((groups) * (tokens)*4)
#define WN_FEW_BARRIERS(groups, stages)    (8 * (2 * (stages) + (groups) + 1))
/* Units of `used` tokens of a warpgroup; bytes that one of a cluster is sent, at most. */
#define WN_FEW_UNITS(tokens, used) (((used) + WN_FEW_UNIT(tokens) - 1) / WN_FEW_UNIT(tokens))
#define WN_FEW_SENT(groups, tokens, used, split)                                                   \
    ((groups) * ((WN_FEW_UNITS(tokens, used) + (split)-1) / (split)) * ((split)-1) *               \
     WN_FEW_UNIT(tokens) * 256)

#endif
