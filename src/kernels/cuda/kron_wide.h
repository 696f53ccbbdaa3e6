// SPDX-License-Identifier: MIT
/* What launches factors of wide blocks (sm90a/kron_wide.cu): products of [n, groups c] with
 * [groups][b][c] or, for gradients, with [n, groups b]. */
#ifndef WN_KERNELS_CUDA_KRON_WIDE_H
#define WN_KERNELS_CUDA_KRON_WIDE_H

#include "kernels/cuda/args_kron.h"
#include "kernels/cuda/gpu.h"
#include "kernels/kron_mul.h"

/* Blocks whose sides are multiples of this. */
enum { WN_KRON_WIDE_SIDE = 64 };

/* A factor whose blocks lie side by side in what it reads: how its numbers are put in order, and
 * where number j of block g goes: to g group_step + j / run run_step + j % run. */
typedef struct wn__kron_blocks {
    int64_t groups, b, c;
    int64_t run, run_step, group_step;
    wn__gpu_kron_order order;
} wn__kron_blocks;

/* One or two factors, and whether blocks lie interleaved in x, or in y. */
typedef struct wn__kron_wide {
    wn__kron_blocks factor[2];
    int count;
    int64_t a, turn_in, turn_out; /* a matrices of 1, or of that many columns */
} wn__kron_wide;

/* False, and why, where a chain is none of these. */
bool wn__kron_wide_of(const wn__kron_mul *p, wn__kron_wide *out, char *why, size_t n);

/* Interleaved blocks [a][side][d] to [a][d][side] (apart), or back. */
bool wn__kron_wide_turns(int64_t d);
WN_NODISCARD wn_status wn__kron_wide_turn(wn__gpu *gpu, const wn_tensor *x, const wn_tensor *y,
                                          int64_t a, int64_t side, int64_t d, bool apart);

/* Columns of a tile of a block with that side, and its rows. */
typedef struct wn__kron_wide_tile {
    int columns, rows, stages;
} wn__kron_wide_tile;
wn__kron_wide_tile wn__kron_wide_tile_of(int64_t side);
/* The kernel of that name for the tile and the dtype, tiles shared out among all processors. */
WN_NODISCARD wn_status wn__kron_wide_launch(wn__gpu *gpu, const char *kernel,
                                            const wn__kron_wide_tile *t, wn__gpu_kron_product *a,
                                            wn_dtype dtype);

/* Bytes of a factor's numbers in order; puts them at `weights` and multiplies. */
size_t wn__kron_wide_bytes(const wn__kron_blocks *f);
WN_NODISCARD wn_status wn__kron_wide_multiply(wn__gpu *gpu, const wn__kron_blocks *f, void *weights,
                                              const wn_tensor *x, const wn_tensor *y);

/* Seconds on an H200: of products, and of what moves bytes. */
double wn__kron_wide_seconds(double flops, double bytes);
double wn__kron_narrow_seconds(double flops, double bytes);
double wn__kron_turn_seconds(double bytes);

#endif
