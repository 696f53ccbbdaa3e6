// SPDX-License-Identifier: MIT
/* How the ops of 2:4 structure are cut into blocks, and their functions for each dtype. */
#ifndef WN_KERNELS_CUDA_LAUNCH24_H
#define WN_KERNELS_CUDA_LAUNCH24_H

#include "kernels/cuda/args24.h"
#include "kernels/cuda/gpu.h"

/* Names of three functions, for wn__gpu_symbol. */
#define WN_GPU_SYMBOLS(name)                                                                       \
    { name "_f32", name "_bf16", name "_f16" }

static inline const char *wn__gpu_symbol(const char *const symbols[3], const wn_tensor *t) {
    return symbols[t->dtype == WN_DTYPE_F32 ? 0 : t->dtype == WN_DTYPE_BF16 ? 1 : 2];
}

static inline unsigned wn__gpu_blocks(int64_t count, int64_t of) {
    return (unsigned)((count + of - 1) / of);
}

/* Threads' shares of a row: 32 bytes each. */
static inline int64_t wn__gpu_shares(const wn_tensor *t) {
    const int64_t columns = 32 / (int64_t)wn_dtype_size(t->dtype);
    return (t->shape[1] + columns - 1) / columns;
}

static inline unsigned wn__gpu_down(int64_t count, int64_t of) {
    const int64_t blocks = (count + of - 1) / of;
    return (unsigned)(blocks < WN_GPU_ROW_BLOCKS ? blocks : WN_GPU_ROW_BLOCKS);
}

/* One thread for each of `across` in a row, a warp a row; blocks go down `rows` in steps. */
static inline wn__cuda_launch wn__gpu_over(int64_t across, int64_t rows) {
    return (wn__cuda_launch){
        .grid = {wn__gpu_blocks(across, 32), wn__gpu_down(rows, WN_GPU_ROWS), 1},
        .block = {WN_GPU_THREADS, 1, 1}};
}

/* Blocks that a GPU holds at once, `each` a multiprocessor. */
static inline unsigned wn__gpu_resident(const wn__gpu *g, unsigned each) {
    return each * (unsigned)wn__cuda_info(wn__gpu_device(g))->multiprocessors;
}

/* Strips one after the other, by the three blocks a multiprocessor that stay of 16-bit elements; of
 * float32 a block for each, which is faster. */
static inline wn__cuda_launch wn__gpu_over_strips(const wn__gpu *g, const wn_tensor *t) {
    const size_t size = wn_dtype_size(t->dtype);
    const int warps = WN_GPU_STRIP_WARPS(size);
    const int64_t across = wn__gpu_blocks(t->shape[1], WN_GPU_STRIP);
    const int64_t strips = across * wn__gpu_blocks(t->shape[0], 16 * warps);
    const int64_t most = size == 2 ? (int64_t)wn__gpu_resident(g, 3) : INT32_MAX;
    return (wn__cuda_launch){.grid = {(unsigned)(strips < most ? strips : most), 1, 1},
                             .block = {32 * (unsigned)warps, 1, 1}};
}

/* A block for a strip; blocks go down in steps. */
static inline wn__cuda_launch wn__gpu_down_strips(const wn_tensor *t) {
    const int warps = WN_GPU_STRIP_WARPS(wn_dtype_size(t->dtype));
    return (wn__cuda_launch){.grid = {wn__gpu_blocks(t->shape[1], WN_GPU_STRIP),
                                      wn__gpu_down(t->shape[0], 16 * warps), 1},
                             .block = {32 * (unsigned)warps, 1, 1}};
}

#endif
