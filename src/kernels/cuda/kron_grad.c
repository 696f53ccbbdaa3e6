// SPDX-License-Identifier: MIT
// kron_grad on a GPU: the batch is cut into parts, each leaves its sums, and these are added in
// their order. How many parts there are depends on sizes alone.
#include "kernels/kron_grad.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/args_kron.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/kron.h"
#include "kernels/declare.h"
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

bool wn__accepts_gpu_kron_grad(const void *args, char *why, size_t n) {
    const wn__kron_grad *p = args;
    if (p->x.dtype == WN_DTYPE_F32) return wn__gpu_accepts_kron_grad_f32(p, why, n);
    return wn__gpu_kron_accepts(&p->x, &p->dw, why, n);
}

typedef struct cut {
    int lanes;           // blocks taken together, or 0
    int64_t blocks;      // of threads, for each part of the batch
    int64_t vectors;     // of a part
    int64_t parts, sums; // of the batch; and what they leave
    int64_t numbers;     // of the gradient
} cut;

static cut cut_of(const wn__kron_grad *p, bool together) {
    enum { BLOCKS = 5 * WN__KRON_H200, PART = 8 };
    const wn__kron_size s = wn__kron_size_of(&p->dw);
    const int64_t n = p->x.shape[0];
    const int x = wn__gpu_kron_lanes(&s, s.c, &p->x), dy = wn__gpu_kron_lanes(&s, s.b, &p->dy);
    cut c = {.lanes = together && dy ? x : 0, .numbers = s.a * s.b * s.c * s.d};
    int64_t step = WN_KRON_GRAD_TILE;
    if (c.lanes) {
        step = (int64_t)WN_KRON_GRAD_LANES_VECTORS * 16 / c.lanes;
        c.blocks = s.a * s.d / c.lanes * wn__ceil_div(s.b, 32) * wn__ceil_div(s.c, 64);
    } else {
        c.blocks = s.a * s.d * wn__ceil_div(s.b, step) * wn__ceil_div(s.c, step);
    }
    const int64_t steps = wn__ceil_div(n, step);
    c.parts = wn__gpu_kron_parts(c.blocks, steps, c.lanes ? WN__KRON_H200 : BLOCKS, PART);
    c.vectors = wn__ceil_div(steps, c.parts) * step;
    c.parts = n > 0 ? wn__ceil_div(n, c.vectors) : 0;
    c.sums = c.parts * (c.lanes ? 16 / c.lanes : 1);
    return c;
}

// Whatever the addresses will be, and the room in shared memory.
size_t wn__workspace_kron_grad_sm80(const void *args, int threads) {
    const wn__kron_grad *p = args;
    (void)threads;
    if (p->x.dtype == WN_DTYPE_F32) return wn__gpu_workspace_kron_grad_f32(p);
    const cut alone = cut_of(p, false), together = cut_of(p, true);
    return (size_t)((alone.sums > together.sums ? alone : together).sums * alone.numbers) *
           sizeof(float);
}

wn_status wn__gpu_kron_add_up(wn__gpu *gpu, wn__gpu_kron_grad *a, bool bf16) {
    enum { MOST_BLOCKS = 8192 };
    const int64_t numbers = (int64_t)a->a * a->b * a->c * a->d;
    const int64_t blocks = wn__ceil_div(numbers, WN_KRON_GRAD_SUM_THREADS);
    const wn__cuda_launch l = {
        .grid = {(unsigned)(blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS), 1, 1},
        .block = {WN_KRON_GRAD_SUM_THREADS, 1, 1}};
    return wn__gpu_launch(gpu, &wn__image_kron_sm80,
                          bf16 ? "wn_kron_grad_sum_bf16" : "wn_kron_grad_sum_f16", &l, a);
}

wn_status wn__kron_grad_sm80(const void *args, wn__exec *x) {
    const wn__kron_grad *p = args;
    if (p->x.dtype == WN_DTYPE_F32) return wn__gpu_run_kron_grad_f32(p, x);
    const wn__kron_size s = wn__kron_size_of(&p->dw);
    const cut c = cut_of(p, wn__gpu_kron_room(x->gpu, WN_KRON_GRAD_LANES_SHARED(1)));
    const bool bf16 = p->x.dtype == WN_DTYPE_BF16;
    const int compute = wn__cuda_info(wn__gpu_device(x->gpu))->compute;
    const int stages = compute >= 90 ? WN_KRON_GRAD_STAGES : 1;
    wn__gpu_kron_grad a = {.x = p->x.data,
                           .dy = p->dy.data,
                           .sums = (float *)(void *)x->scratch,
                           .dw = p->dw.data,
                           .x_vector = p->x.stride[0],
                           .x_feature = p->x.stride[1],
                           .dy_vector = p->dy.stride[0],
                           .dy_feature = p->dy.stride[1],
                           .n = (int)p->x.shape[0],
                           .a = (int)s.a,
                           .b = (int)s.b,
                           .c = (int)s.c,
                           .d = (int)s.d,
                           .vectors = (int)c.vectors,
                           .parts = (int)c.sums,
                           .wide_x = s.d == 1 && s.c % 8 == 0 && wn__gpu_kron_wide(&p->x),
                           .wide_dy = s.d == 1 && s.b % 8 == 0 && wn__gpu_kron_wide(&p->dy),
                           .lanes = c.lanes,
                           .f32 = p->dw.dtype == WN_DTYPE_F32,
                           .accumulate = p->accumulate};
    for (int i = 0; i < 4; i++)
        a.stride[i] = p->dw.stride[i];
    const wn__cuda_launch l = {
        .grid = {(unsigned)c.blocks, (unsigned)c.parts, 1},
        .block = {c.lanes ? WN_KRON_LANES_THREADS : WN_KRON_GRAD_THREADS, 1, 1},
        .shared_bytes = c.lanes ? (unsigned)WN_KRON_GRAD_LANES_SHARED(stages) : 0};
    char name[48];
    if (c.lanes)
        (void)snprintf(name, sizeof name, "wn_kron_grad_lanes%d_%s", a.d >= 8 ? 8 : a.d,
                       bf16 ? "bf16" : "f16");
    else
        (void)snprintf(name, sizeof name, "wn_kron_grad_%s", bf16 ? "bf16" : "f16");
    WN_TRY(wn__gpu_launch(x->gpu, c.lanes ? &wn__image_kron_lanes_sm80 : &wn__image_kron_sm80, name,
                          &l, &a));
    return wn__gpu_kron_add_up(x->gpu, &a, bf16);
}

#endif
