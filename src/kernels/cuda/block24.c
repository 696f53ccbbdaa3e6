// SPDX-License-Identifier: MIT
// block24 on a GPU: what is launched for which arguments.
#include "kernels/block24.h"

#include "base/fail.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/args_blocks.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/launch24.h"
#include "kernels/declare.h"
#include <limits.h>
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

static int64_t blocks_of(const wn_tensor *w) {
    return wn__ceil_div(w->shape[0], WN_BLOCK24_ROWS) *
           wn__ceil_div(w->shape[1], WN_BLOCK24_COLUMNS);
}

bool wn__accepts_gpu_block24(const void *args, char *why, size_t n) {
    const wn__block24 *p = args;
    const int64_t blocks = blocks_of(&p->w);
    if (blocks <= INT_MAX) return true;
    (void)snprintf(why, n, "%lld blocks are more than a grid holds", (long long)blocks);
    return false;
}

static wn_status refuse(const void *args) {
    return wn__block24_refuse(args);
}
static const wn__gpu_refusal mask_refusal = {
    refuse, sizeof(wn__block24), {offsetof(wn__block24, mask)}, 1};
static const wn__gpu_refusal nan_refusal = {
    refuse, sizeof(wn__block24), {offsetof(wn__block24, w)}, 1};

wn_status wn__block24_sm80(const void *args, wn__exec *x) {
    enum {
        THREADS = 128,
        STRIP = 128,
        STRIP_THREADS = 256,
        LARGEST_BF16 = 0x7F80,
        LARGEST_F16 = 0x7C00
    };
    const wn__block24 *p = args;
    const bool mask = wn__given(&p->mask), tiles = wn__given(&p->tiles);
    const bool strips = tiles || wn__given(&p->blocks_t), bf16 = p->w.dtype == WN_DTYPE_BF16;
    wn__gpu_fault fault;
    WN_TRY(wn__gpu_guard(x->gpu, mask ? &mask_refusal : &nan_refusal, args, &fault));
    wn__gpu_block24 a = {.w = p->w.data,
                         .mask = mask ? p->mask.data : NULL,
                         .blocks = wn__given(&p->blocks) ? p->blocks.data : NULL,
                         .blocks_t = wn__given(&p->blocks_t) ? p->blocks_t.data : NULL,
                         .tiles = tiles ? p->tiles.data : NULL,
                         .rows = p->w.shape[0],
                         .columns = p->w.shape[1],
                         .stride = p->w.stride[0],
                         .groups = wn__ceil_div(p->w.shape[1], 4),
                         .infinity = bf16 ? LARGEST_BF16 : LARGEST_F16,
                         .fault = fault.word,
                         .number = fault.number};
    const int64_t rows = strips ? STRIP : WN_BLOCK24_ROWS;
    const int64_t columns = strips ? STRIP : WN_BLOCK24_COLUMNS;
    const int64_t blocks = wn__ceil_div(a.rows, rows) * wn__ceil_div(a.columns, columns);
    // under given masks blocks stay and go on to other strips; where tiles are searched each has
    // one
    const int64_t most = tiles ? INT_MAX : (int64_t)wn__gpu_resident(x->gpu, 3);
    const wn__cuda_launch l = {.grid = {(unsigned)(strips && blocks > most ? most : blocks), 1, 1},
                               .block = {strips ? STRIP_THREADS : THREADS, 1, 1}};
    const char *const name = !strips  ? "wn_block24"
                             : !tiles ? "wn_block24_both"
                             : bf16   ? "wn_block24_tiles_bf16"
                                      : "wn_block24_tiles_f16";
    return wn__gpu_launch(x->gpu, &wn__image_block24_sm80, name, &l, &a);
}

#endif
