// SPDX-License-Identifier: MIT
// relu2 and its gradient on a GPU.
#include "kernels/mlp.h"

#include "base/fail.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/launch24.h"
#include "kernels/declare.h"
#include <limits.h>
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

bool wn__accepts_gpu_relu2(const void *args, char *why, size_t n) {
    const wn_tensor *t = args;
    if (!wn__accepts_gpu_pack24(args, why, n)) return false;
    if (wn__tensor_count(t) <= INT64_C(4) * WN_GPU_THREADS * INT_MAX) return true;
    (void)snprintf(why, n, "%lld elements are more than a grid holds",
                   (long long)wn__tensor_count(t));
    return false;
}

static wn_status run(const wn_tensor *x, const wn_tensor *dy, const wn_tensor *y,
                     const char *symbol, wn__exec *exec) {
    wn__gpu_relu2 a = {.x = x->data,
                       .dy = dy != NULL ? dy->data : NULL,
                       .y = y->data,
                       .count = wn__tensor_count(y)};
    const int64_t each = 16 / (int64_t)wn_dtype_size(y->dtype);
    const wn__cuda_launch l = {.grid = {wn__gpu_blocks(a.count, each * WN_GPU_THREADS), 1, 1},
                               .block = {WN_GPU_THREADS, 1, 1}};
    return wn__gpu_launch(exec->gpu, &wn__image_mlp_sm80, symbol, &l, &a);
}

wn_status wn__relu2_sm80(const void *args, wn__exec *x) {
    static const char *const symbols[3] = WN_GPU_SYMBOLS("wn_relu2");
    const wn__relu2 *p = args;
    return run(&p->x, NULL, &p->y, wn__gpu_symbol(symbols, &p->x), x);
}

wn_status wn__relu2_grad_sm80(const void *args, wn__exec *x) {
    static const char *const symbols[3] = WN_GPU_SYMBOLS("wn_relu2_grad");
    const wn__relu2_grad *p = args;
    return run(&p->x, &p->dy, &p->dx, wn__gpu_symbol(symbols, &p->x), x);
}

#endif
