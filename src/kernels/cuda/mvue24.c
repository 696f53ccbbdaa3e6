// SPDX-License-Identifier: MIT
// mvue24, mvue24_tokens and pack24_tokens on a GPU: what is launched for which arguments.
#include "base/fail.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/launch24.h"
#include "kernels/declare.h"
#include "kernels/mvue24_tokens.h"
#include "kernels/pack24_tokens.h"
#include "kernels/soft24.h"
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

bool wn__accepts_gpu_mvue24(const void *args, char *why, size_t n) {
    const wn__mvue24 *p = args;
    if (p->group == 4) return wn__accepts_gpu_pack24(args, why, n);
    (void)snprintf(why, n, "groups of %d have no device code", p->group);
    return false;
}

static wn_status refuse_tokens(const void *args) {
    return wn__pack24_tokens_refuse(args);
}
static const wn__gpu_refusal tokens_refusal = {
    refuse_tokens,
    sizeof(wn__pack24_tokens),
    {offsetof(wn__pack24_tokens, order), offsetof(wn__pack24_tokens, dense)},
    2};

wn_status wn__mvue24_sm80(const void *args, wn__exec *x) {
    static const char *const symbols[2][2][3] = {
        {WN_GPU_SYMBOLS("wn_mvue24_tokens_exact"), WN_GPU_SYMBOLS("wn_mvue24_tokens_approx")},
        {WN_GPU_SYMBOLS("wn_mvue24_rows_exact"), WN_GPU_SYMBOLS("wn_mvue24_rows_approx")}};
    const wn__mvue24 *p = args;
    wn__gpu_mvue24 a = {.x = p->x.data,
                        .y = p->y.data,
                        .rows = p->x.shape[0],
                        .columns = p->x.shape[1],
                        .stride = p->x.stride[0],
                        .y_stride = p->y.stride[0],
                        .draws = {p->seed, p->stream, (uint32_t)p->counter}};
    const int64_t across = p->axis ? (a.columns + 15) / 16 : (a.columns + 3) / 4;
    const wn__cuda_launch l = wn__gpu_over(across, p->axis ? a.rows : (a.rows + 3) / 4);
    return wn__gpu_launch(x->gpu, &wn__image_mvue24_sm80,
                          wn__gpu_symbol(symbols[p->axis][p->method == WN_MVUE24_APPROX], &p->x),
                          &l, &a);
}

wn_status wn__mvue24_tokens_sm80(const void *args, wn__exec *x) {
    static const char *const symbols[2][3] = {WN_GPU_SYMBOLS("wn_mvue24_pack_exact"),
                                              WN_GPU_SYMBOLS("wn_mvue24_pack_approx")};
    const wn__mvue24_tokens *p = args;
    wn__gpu_tokens24 a = {.x = p->x.data,
                          .values = p->values.data,
                          .index = p->index.data,
                          .rows = p->x.shape[0],
                          .columns = p->x.shape[1],
                          .stride = p->x.stride[0],
                          .draws = {p->seed, p->stream, (uint32_t)p->counter}};
    const wn__cuda_launch l = wn__gpu_down_strips(&p->x);
    return wn__gpu_launch(x->gpu, &wn__image_mvue24_sm80,
                          wn__gpu_symbol(symbols[p->method == WN_MVUE24_APPROX], &p->x), &l, &a);
}

// The marked columns first: their second rows are found by them.
wn_status wn__pack24_tokens_sm80(const void *args, wn__exec *x) {
    const wn__pack24_tokens *p = args;
    const bool wide = wn_dtype_size(p->x.dtype) == 4;
    wn__gpu_fault fault;
    WN_TRY(wn__gpu_guard(x->gpu, &tokens_refusal, args, &fault));
    wn__gpu_tokens24 a = {.x = p->x.data,
                          .order = wn__given(&p->order) ? p->order.data : NULL,
                          .dense = wn__given(&p->dense) ? p->dense.data : NULL,
                          .extra = wn__given(&p->extra) ? p->extra.data : NULL,
                          .values = p->values.data,
                          .index = p->index.data,
                          .rows = p->x.shape[0],
                          .columns = p->x.shape[1],
                          .stride = p->x.stride[0],
                          .extras = wn__given(&p->extra) ? p->extra.shape[0] : 0,
                          .fault = fault.word,
                          .number = fault.number};
    const wn__cuda_launch one = {.grid = {1, 1, 1}, .block = {WN_GPU_THREADS, 1, 1}};
    const wn__cuda_launch tiles = wn__gpu_down_strips(&p->x);
    const wn__cuda_launch extra = {
        .grid = {wn__gpu_blocks((a.rows + 3) / 4, WN_GPU_THREADS), wn__gpu_down(a.extras, 1), 1},
        .block = {WN_GPU_THREADS, 1, 1}};
    if (a.dense != NULL || a.order != NULL)
        WN_TRY(wn__gpu_launch(x->gpu, &wn__image_mvue24_sm80, "wn_pack24_begin", &one, &a));
    WN_TRY(wn__gpu_launch(x->gpu, &wn__image_mvue24_sm80,
                          wide ? "wn_pack24_tokens_4" : "wn_pack24_tokens_2", &tiles, &a));
    return wn__gpu_launch(x->gpu, &wn__image_mvue24_sm80,
                          wide ? "wn_pack24_extra_4" : "wn_pack24_extra_2", &extra, &a);
}

#endif
