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

/* A product of few tokens (few.c), of 16 or 8 bits: the operands of spmm24_blocks or
 * spmm24_blocks8, without a gate. */
typedef struct wn__few_product {
    const wn_tensor *x, *blocks, *bias, *residual, *y; /* bias and residual may be absent */
    int bytes;                                         /* of a number of x */
    bool relu2;
    const float *x_scale, *w_scale;     /* of 8-bit operands */
    int x_scale_stride, w_scale_stride; /* 0: one number for all */
} wn__few_product;

/* Queues it by the plan of one shape of few_plan.h, or of all (WN_FEW_ANY). */
WN_NODISCARD wn_status wn__few_run(wn__exec *x, const wn__few_product *p, int shape);

#endif
