// SPDX-License-Identifier: MIT
/* Arguments of the product of few tokens by packed blocks (spmm24_blocks.h), for its host side too.
 */
#ifndef WN_KERNELS_CUDA_ARGS_FEW_H
#define WN_KERNELS_CUDA_ARGS_FEW_H

#include "tensor/tensor_map.h"
#include <stdint.h>

typedef struct wn__gpu_few {
    wn__cu_tensor_map x; /* boxes of 64 inputs of as many tokens as the function takes */
    const uint8_t *blocks;
    const void *bias, *residual; /* or NULL */
    void *y;
    int64_t residual_stride, y_stride;
    int tokens, outputs;
    int panels, depth; /* rows and columns of blocks */
    int relu2;
    int early; /* what is ahead lets this launch begin, and neither writes blocks */
    int weight_stages, token_stages;
} wn__gpu_few;

enum { WN_FEW_THREADS = 160, WN_FEW_MOST_TOKENS = 64, WN_FEW_MOST_SPLIT = 8 };

/* X(tokens, panels, deep, stages of tokens): thread blocks take `panels` panels of 64 outputs; a
 * stage is `deep` blocks along the inputs, of each panel or of the tokens. */
#define WN_FEW_SHAPES(X)                                                                           \
    X(8, 1, 4, 4)                                                                                  \
    X(16, 1, 2, 7)                                                                                 \
    X(32, 1, 2, 5)                                                                                 \
    X(64, 1, 2, 3)

/* Shared memory, from a multiple of 1024: stages of tokens, stages of weights, what other blocks of
 * a cluster send (of each, a float4 of 128 threads for each piece that is this block's, about one
 * split-th of panels * tokens / 8), two barriers a stage and one more. Stages become the place of
 * this block's own pieces. */
#define WN_FEW_TOKENS(tokens, deep)  ((deep) * (tokens)*128)
#define WN_FEW_WEIGHTS(panels, deep) ((deep) * (panels)*4608)
#define WN_FEW_SENT(tokens, panels, split)                                                         \
    (((panels) * (tokens) / 8 + (split)-1) / (split) * ((split)-1) * 2048)

#endif
