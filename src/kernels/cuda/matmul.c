// SPDX-License-Identifier: MIT
// matmul on a GPU by cuBLASLt, and spmm24_blocks by it on blocks that are written out first: what
// there is for shapes where sparse tensor cores do not win.
#include "kernels/matmul.h"

#include "base/fail.h"
#include "kernels/cuda/args24.h"
#include "kernels/cuda/blaslt.h"
#include "kernels/cuda/images.h"
#include "kernels/declare.h"
#include "kernels/spmm24_blocks.h"
#include "kernels/spmm24_blocks_columns.h"
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

bool wn__accepts_gpu_matmul(const void *args, char *why, size_t n) {
    wn__lt_shape s;
    return wn__blaslt_shape(args, &s, why, n);
}

size_t wn__workspace_matmul_cublaslt(const void *args, int threads) {
    (void)threads;
    return wn__blaslt_workspace(args);
}

static wn_status multiply(const wn__matmul *p, wn__gpu *gpu, void *workspace) {
    wn__lt_shape s;
    wn__blaslt *b;
    const wn__lt_plan *plan;
    char why[160];
    if (p->c.shape[0] == 0 || p->c.shape[1] == 0) return WN_OK;
    if (!wn__blaslt_shape(p, &s, why, sizeof why)) return wn__fail(WN_BUG, "cuBLASLt: %s", why);
    WN_TRY(wn__gpu_blaslt(gpu, &b));
    WN_TRY(wn__blaslt_plan(b, &s, 1, &plan));
    return wn__blaslt_run(b, plan, 0, p, workspace);
}

wn_status wn__matmul_cublaslt(const void *args, wn__exec *x) {
    return multiply(args, x->gpu, x->scratch);
}

// y = x W^T (+ bias) with W at `dense` (NULL while planning).
static wn__matmul dense_product(const wn__spmm24_blocks *p, void *dense) {
    const int64_t lead = 64 * p->blocks.shape[1];
    wn__matmul m = {.a = p->x, .bias = p->bias, .c = p->y};
    m.b = wn__tensor2(dense, p->x.dtype, p->x.shape[1], p->y.shape[1]);
    m.b.stride[0] = 1;
    m.b.stride[1] = lead;
    m.b.device = p->x.device;
    return m;
}

static size_t dense_bytes(const wn__spmm24_blocks *p) {
    return (size_t)(64 * p->blocks.shape[0] * 64 * p->blocks.shape[1]) * 2;
}

bool wn__accepts_gpu_blocks_dense(const void *args, char *why, size_t n) {
    const wn__spmm24_blocks *p = args;
    const wn__matmul m = dense_product(p, NULL);
    wn__lt_shape s;
    if (p->x.dtype != p->values)
        (void)snprintf(why, n, "x is %s, blocks hold %s", wn_dtype_name(p->x.dtype),
                       wn_dtype_name(p->values));
    else if (p->relu2 || p->gate)
        (void)snprintf(why, n, "cuBLASLt has no %s", p->relu2 ? "relu^2" : "gate of relu^2");
    else if (wn__given(&p->residual))
        (void)snprintf(why, n, "cuBLASLt may round a 16-bit product before it adds to it");
    else
        return wn__blaslt_shape(&m, &s, why, n);
    return false;
}

size_t wn__workspace_spmm24_blocks_cublaslt(const void *args, int threads) {
    const wn__matmul m = dense_product(args, NULL);
    (void)threads;
    return dense_bytes(args) + wn__blaslt_workspace(&m);
}

static wn_status write_out(const wn_tensor *blocks, void *to, wn__gpu *gpu) {
    const int64_t panels = blocks->shape[0];
    wn__gpu_unblock24 a = {
        .blocks = blocks->data, .w = to, .panels = panels, .across = blocks->shape[1]};
    const wn__cuda_launch l = {
        .grid = {(unsigned)a.across,
                 (unsigned)(panels < WN_GPU_ROW_BLOCKS ? panels : WN_GPU_ROW_BLOCKS), 1},
        .block = {WN_GPU_THREADS, 1, 1}};
    return wn__gpu_launch(gpu, &wn__image_unblock24_sm80, "wn_unblock24", &l, &a);
}

wn_status wn__spmm24_blocks_cublaslt(const void *args, wn__exec *x) {
    const wn__spmm24_blocks *p = args;
    const wn__matmul m = dense_product(p, x->scratch);
    if (p->y.shape[0] == 0) return WN_OK;
    WN_TRY(write_out(&p->blocks, x->scratch, x->gpu));
    return multiply(&m, x->gpu, x->scratch + dense_bytes(p));
}

// y = x W with W at `dense` (NULL while planning).
static wn__matmul dense_columns(const wn__spmm24_blocks_columns *p, void *dense) {
    wn__matmul m = {.a = p->x, .c = p->y};
    m.b = wn__tensor2(dense, p->x.dtype, p->x.shape[1], p->y.shape[1]);
    m.b.stride[0] = 64 * p->blocks.shape[1];
    m.b.device = p->x.device;
    return m;
}

static size_t written_bytes(const wn__spmm24_blocks_columns *p) {
    return (size_t)(64 * p->blocks.shape[0] * 64 * p->blocks.shape[1]) * 2;
}

bool wn__accepts_gpu_columns_dense(const void *args, char *why, size_t n) {
    const wn__spmm24_blocks_columns *p = args;
    const wn__matmul m = dense_columns(p, NULL);
    wn__lt_shape s;
    if (p->x.dtype == p->values) return wn__blaslt_shape(&m, &s, why, n);
    (void)snprintf(why, n, "x is %s, blocks hold %s", wn_dtype_name(p->x.dtype),
                   wn_dtype_name(p->values));
    return false;
}

size_t wn__workspace_spmm24_blocks_columns_cublaslt(const void *args, int threads) {
    const wn__matmul m = dense_columns(args, NULL);
    (void)threads;
    return written_bytes(args) + wn__blaslt_workspace(&m);
}

wn_status wn__spmm24_blocks_columns_cublaslt(const void *args, wn__exec *x) {
    const wn__spmm24_blocks_columns *p = args;
    const wn__matmul m = dense_columns(p, x->scratch);
    if (p->y.shape[0] == 0) return WN_OK;
    WN_TRY(write_out(&p->blocks, x->scratch, x->gpu));
    return multiply(&m, x->gpu, x->scratch + written_bytes(p));
}

#endif
