// SPDX-License-Identifier: MIT
// kron_pair_grad on a GPU: factor by factor, what lies between made again; or, where that is more
// than the dense weight's gradient takes, from that one: dw1 = (dy^T x) K_0^T and dw0 = K_1^T (dy^T
// x), each where its factor has numbers.
#include "kernels/kron_pair_grad.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/args_kron.h"
#include "kernels/cuda/blaslt.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/kron.h"
#include "kernels/declare.h"
#include "kernels/kron_grad.h"
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

// ---- factor by factor

typedef struct steps {
    wn__kron_mul forward, back; // h = x K_0^T, g = dy K_1
    wn__kron_grad second, first;
    size_t between; // bytes of h, and of g
} steps;

static void steps_of(const wn__kron_pair_grad *p, char *scratch, steps *out) {
    const int64_t n = p->x.shape[0], middle = p->w0.shape[0] * p->w0.shape[1] * p->w0.shape[3];
    const int64_t pitch = wn__ceil_div(middle, 8) * 8;
    wn_tensor h = wn__tensor2(scratch, p->x.dtype, n, middle), g = h, turned = p->w1;
    out->between = wn__cuda_whole((size_t)(n * pitch) * wn_dtype_size(p->x.dtype));
    h.device = g.device = p->x.device;
    h.stride[0] = g.stride[0] = pitch;
    if (scratch) g.data = scratch + out->between;
    for (int i = 1; i < 3; i++) {
        turned.shape[i] = p->w1.shape[3 - i];
        turned.stride[i] = p->w1.stride[3 - i];
    }
    out->forward = (wn__kron_mul){.x = p->x, .w = {p->w0}, .y = h, .count = 1};
    out->back = (wn__kron_mul){.x = p->dy, .w = {turned}, .y = g, .count = 1};
    out->second = (wn__kron_grad){.x = h, .dy = p->dy, .dw = p->dw1, .accumulate = p->accumulate};
    out->first = (wn__kron_grad){.x = p->x, .dy = g, .dw = p->dw0, .accumulate = p->accumulate};
}

bool wn__accepts_gpu_kron_pair_grad(const void *args, char *why, size_t n) {
    steps s;
    steps_of(args, NULL, &s);
    return wn__accepts_gpu_kron_mul(&s.forward, why, n) &&
           wn__accepts_gpu_kron_mul(&s.back, why, n) &&
           wn__accepts_gpu_kron_grad(&s.second, why, n) &&
           wn__accepts_gpu_kron_grad(&s.first, why, n);
}

size_t wn__workspace_kron_pair_grad_sm80(const void *args, int threads) {
    steps s;
    steps_of(args, NULL, &s);
    const size_t each[] = {wn__workspace_kron_mul_sm80(&s.forward, threads),
                           wn__workspace_kron_mul_sm80(&s.back, threads),
                           wn__workspace_kron_grad_sm80(&s.second, threads),
                           wn__workspace_kron_grad_sm80(&s.first, threads)};
    size_t most = 0;
    for (int i = 0; i < 4; i++)
        if (each[i] > most) most = each[i];
    return 2 * s.between + most;
}

wn_status wn__kron_pair_grad_sm80(const void *args, wn__exec *x) {
    steps s;
    wn__exec rest = *x;
    steps_of(args, x->scratch, &s);
    rest.scratch += 2 * s.between;
    rest.scratch_size -= 2 * s.between;
    WN_TRY(wn__kron_mul_sm80(&s.forward, &rest));
    WN_TRY(wn__kron_grad_sm80(&s.second, &rest));
    WN_TRY(wn__kron_mul_sm80(&s.back, &rest));
    return wn__kron_grad_sm80(&s.first, &rest);
}

// ---- from the gradient of the dense weight

static wn__matmul dense_of(const wn__kron_pair_grad *p, void *to) {
    wn__matmul m = {.a = wn__tensor_transpose(&p->dy), .b = p->x};
    m.c = wn__tensor2(to, WN_DTYPE_F32, p->dy.shape[1], p->x.shape[1]);
    m.c.device = p->x.device;
    return m;
}

static size_t dense_bytes(const wn__kron_pair_grad *p) {
    return wn__cuda_whole((size_t)(p->dy.shape[1] * p->x.shape[1]) * sizeof(float));
}

// FLOPs of the dense product at 750 TFLOP/s against what the factors' steps read and write, 2 bytes
// each, at 3.2 TB/s, as an H200 does both. In float32 it does 50 TFLOP/s, the steps 30, which take
// longer than what they read and write, and their launches beside the dense product's two 40 us:
// what 24 measured cases say, two kinds of chains of 1024, 2048 and 4096 features with 256 to 25088
// vectors, of which 23 are chosen right and one is within 2 %.
static bool is_sooner(const wn__kron_pair_grad *p) {
    const double in = (double)p->x.shape[1], out = (double)p->dy.shape[1];
    const double middle = (double)(p->w0.shape[0] * p->w0.shape[1] * p->w0.shape[3]);
    const double bytes = (double)wn_dtype_size(p->x.dtype) * (2 * in + 2 * out + 4 * middle);
    const double numbers = (double)wn__tensor_count(&p->w0) + (double)wn__tensor_count(&p->w1);
    if (p->x.dtype == WN_DTYPE_F32) {
        const double vectors = (double)p->x.shape[0];
        return vectors * (2 * in * out / 50e12 - 4 * numbers / 30e12 - bytes / 3.2e12) < 40e-6;
    }
    return 2 * in * out / 750e12 < bytes / 3.2e12;
}

bool wn__accepts_gpu_kron_pair_dense(const void *args, char *why, size_t n) {
    const wn__kron_pair_grad *p = args;
    const wn__kron_size f = wn__kron_size_of(&p->w0), s = wn__kron_size_of(&p->w1);
    const wn__matmul m = dense_of(p, NULL);
    wn__lt_shape shape;
    if (!wn__accepts_gpu_kron_pair_grad(args, why, n)) return false;
    if (f.d != 1 || s.a != 1 || f.b % s.d != 0 || s.b > WN_KRON_DENSE_SIDE ||
        f.c > WN_KRON_DENSE_SIDE)
        (void)snprintf(why, n, "not (s, r t, c, 1)(1, b, s r, t) with b and c at most %d",
                       WN_KRON_DENSE_SIDE);
    else if (!is_sooner(p))
        (void)snprintf(why, n, "the dense product takes longer than the factors' own");
    else
        return wn__blaslt_shape(&m, &shape, why, n);
    return false;
}

size_t wn__workspace_kron_pair_grad_cublaslt(const void *args, int threads) {
    const wn__matmul m = dense_of(args, NULL);
    return dense_bytes(args) + wn__workspace_matmul_cublaslt(&m, threads);
}

wn_status wn__kron_pair_grad_cublaslt(const void *args, wn__exec *x) {
    const wn__kron_pair_grad *p = args;
    const wn__matmul m = dense_of(p, x->scratch);
    wn__exec rest = *x;
    rest.scratch += dense_bytes(p);
    rest.scratch_size -= dense_bytes(p);
    WN_TRY(wn__matmul_cublaslt(&m, &rest));
    wn__gpu_kron_dense a = {.dense = (const float *)(const void *)x->scratch,
                            .w0 = p->w0.data,
                            .w1 = p->w1.data,
                            .dw0 = p->dw0.data,
                            .dw1 = p->dw1.data,
                            .s = (int)p->w0.shape[0],
                            .t = (int)p->w1.shape[3],
                            .r = (int)(p->w0.shape[1] / p->w1.shape[3]),
                            .b = (int)p->w1.shape[1],
                            .c = (int)p->w0.shape[2],
                            .f32 = p->dw0.dtype == WN_DTYPE_F32,
                            .accumulate = p->accumulate};
    for (int i = 0; i < 4; i++) {
        a.w0_stride[i] = p->w0.stride[i];
        a.w1_stride[i] = p->w1.stride[i];
        a.dw0_stride[i] = p->dw0.stride[i];
        a.dw1_stride[i] = p->dw1.stride[i];
    }
    const wn__cuda_launch l = {.grid = {(unsigned)a.s * (unsigned)a.t, 1, 1},
                               .block = {WN_KRON_DENSE_THREADS, 1, 1}};
    return wn__gpu_launch(x->gpu, &wn__image_kron_weights_sm80,
                          p->x.dtype == WN_DTYPE_F32    ? "wn_kron_dense_f32"
                          : p->x.dtype == WN_DTYPE_BF16 ? "wn_kron_dense_bf16"
                                                        : "wn_kron_dense_f16",
                          &l, &a);
}

#endif
