// SPDX-License-Identifier: MIT
/* What products of packed blocks share on compute capability 9.0, of 16 and of 8 bits: a plan, made
 * into a launch. */
#ifndef WN_KERNELS_CUDA_SPMM24_LAUNCH_H
#define WN_KERNELS_CUDA_SPMM24_LAUNCH_H

#include "kernels/cuda/args_blocks.h"
#include "kernels/cuda/tiles.h"
#include "kernels/op.h"

typedef struct wn__spmm24_launch {
    const wn_tensor *x, *y, *residual;  /* residual may be absent */
    const wn__cuda_image *image, *wide; /* all tiles' but those that are wn__gpu_tile_wide */
    const char *prefix;                 /* of the functions' names: "wn_spmm24_blocks" */
    wn__gpu_plans plans;
    int bytes; /* of a number of x */
} wn__spmm24_launch;

/* Queues the product: a has its operands, sizes and epilogue, all else is filled in. */
WN_NODISCARD wn_status wn__spmm24_launch_tiles(wn__exec *x, const wn__spmm24_launch *l,
                                               const wn__gpu_spmm24_blocks *a);

#endif
