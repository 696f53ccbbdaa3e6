// SPDX-License-Identifier: MIT
// soft24, soft24_dots, apply24 and decay24 on a GPU: what is launched for which arguments.
#include "base/fail.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/launch24.h"
#include "kernels/declare.h"
#include "kernels/mask24.h"
#include "kernels/soft24.h"

#ifdef WN_HAVE_DEVICE_CODE

// Both begin with w.
static wn_status refuse_nan(const void *args) {
    return wn__mask24_refuse_nan(&(wn__mask24){.w = *(const wn_tensor *)args});
}
static const wn__gpu_refusal soft24_refusal = {
    refuse_nan, sizeof(wn__soft24), {offsetof(wn__soft24, w)}, 1};
static const wn__gpu_refusal dots24_refusal = {
    refuse_nan, sizeof(wn__soft24_dots), {offsetof(wn__soft24_dots, w)}, 1};

static int64_t groups_of(const wn_tensor *t) {
    return (t->shape[1] + 3) / 4;
}

wn_status wn__soft24_sm80(const void *args, wn__exec *x) {
    static const char *const symbols[] = WN_GPU_SYMBOLS("wn_soft24");
    const wn__soft24 *p = args;
    wn__gpu_fault fault;
    WN_TRY(wn__gpu_guard(x->gpu, &soft24_refusal, args, &fault));
    wn__gpu_soft24 a = {.w = p->w.data,
                        .out = p->out.data,
                        .mask = wn__given(&p->mask) ? p->mask.data : NULL,
                        .scale = wn__given(&p->scale) ? p->scale.data : NULL,
                        .rows = p->w.shape[0],
                        .columns = p->w.shape[1],
                        .stride = p->w.stride[0],
                        .out_stride = p->out.stride[0],
                        .groups = groups_of(&p->w),
                        .fault = fault.word,
                        .number = fault.number};
    const wn__cuda_launch l = wn__gpu_over(wn__gpu_shares(&p->w), a.rows);
    return wn__gpu_launch(x->gpu, &wn__image_values24_sm80, wn__gpu_symbol(symbols, &p->w), &l, &a);
}

wn_status wn__soft24_dots_sm80(const void *args, wn__exec *x) {
    static const char *const symbols[] = WN_GPU_SYMBOLS("wn_dots24");
    const wn__soft24_dots *p = args;
    wn__gpu_fault fault;
    WN_TRY(wn__gpu_guard(x->gpu, &dots24_refusal, args, &fault));
    wn__gpu_dots24 a = {.w = p->w.data,
                        .row = (double *)(void *)x->scratch,
                        .out = p->out.data,
                        .rows = p->w.shape[0],
                        .columns = p->w.shape[1],
                        .stride = p->w.stride[0],
                        .groups = groups_of(&p->w),
                        .fault = fault.word,
                        .number = fault.number};
    const wn__cuda_launch rows = {.grid = {wn__gpu_down(a.rows, WN_GPU_THREADS / 16), 1, 1},
                                  .block = {WN_GPU_THREADS, 1, 1}};
    const wn__cuda_launch one = {.grid = {1, 1, 1}, .block = {WN_GPU_THREADS, 1, 1}};
    WN_TRY(wn__gpu_launch(x->gpu, &wn__image_values24_sm80, wn__gpu_symbol(symbols, &p->w), &rows,
                          &a));
    return wn__gpu_launch(x->gpu, &wn__image_values24_sm80, "wn_dots24_rows", &one, &a);
}

wn_status wn__apply24_sm80(const void *args, wn__exec *x) {
    static const char *const symbols[] = WN_GPU_SYMBOLS("wn_apply24");
    const wn__apply24 *p = args;
    wn__gpu_apply24 a = {.x = p->x.data,
                         .y = p->y.data,
                         .mask = p->mask.data,
                         .scale = wn__given(&p->scale) ? p->scale.data : NULL,
                         .rows = p->x.shape[0],
                         .columns = p->x.shape[1],
                         .stride = p->x.stride[0],
                         .y_stride = p->y.stride[0],
                         .groups = groups_of(&p->x)};
    const wn__cuda_launch l = wn__gpu_over(wn__gpu_shares(&p->x), a.rows);
    return wn__gpu_launch(x->gpu, &wn__image_values24_sm80, wn__gpu_symbol(symbols, &p->x), &l, &a);
}

wn_status wn__decay24_sm80(const void *args, wn__exec *x) {
    static const char *const symbols[] = WN_GPU_SYMBOLS("wn_decay24");
    const wn__decay24 *p = args;
    wn__gpu_decay24 a = {.w = p->w.data,
                         .g = p->g.data,
                         .mask = p->mask.data,
                         .lambda = p->lambda,
                         .rows = p->w.shape[0],
                         .columns = p->w.shape[1],
                         .groups = groups_of(&p->w)};
    const wn__cuda_launch l = wn__gpu_over(wn__gpu_shares(&p->w), a.rows);
    return wn__gpu_launch(x->gpu, &wn__image_values24_sm80, wn__gpu_symbol(symbols, &p->w), &l, &a);
}

#endif
