// SPDX-License-Identifier: MIT
// matmul on a GPU by cuBLASLt, and 2:4 products by it on W as the caller has it written out, or on
// blocks that are written out first: what there is where sparse tensor cores do not win.
#include "kernels/matmul.h"

#include "base/fail.h"
#include "kernels/block8.h"
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

static wn_status multiply(const wn__matmul *p, const wn__exec *x, void *workspace) {
    wn__lt_shape s;
    wn__blaslt *b;
    const wn__lt_plan *plan;
    char why[160];
    int i;
    if (p->c.shape[0] == 0 || p->c.shape[1] == 0) return WN_OK;
    if (!wn__blaslt_shape(p, &s, why, sizeof why)) return wn__fail(WN_BUG, "cuBLASLt: %s", why);
    WN_TRY(wn__gpu_blaslt(x->gpu, &b));
    WN_TRY(wn__blaslt_way(b, &s, x, &plan, &i));
    return wn__blaslt_run(b, plan, i, p, workspace);
}

wn_status wn__matmul_cublaslt(const void *args, wn__exec *x) {
    return multiply(args, x, x->scratch);
}

// The transpose of W [n,k].
static wn_tensor turned(const wn_tensor *w) {
    wn_tensor t = wn__tensor2(w->data, w->dtype, w->shape[1], w->shape[0]);
    t.stride[0] = w->stride[1];
    t.stride[1] = w->stride[0];
    t.device = w->device;
    return t;
}

// y = x W^T (+ bias) with W as it is given, or written out at `room` (NULL while planning).
static wn__matmul dense_product(const wn__spmm24_blocks *p, void *room) {
    wn_tensor w = wn__tensor2(room, p->x.dtype, p->y.shape[1], p->x.shape[1]);
    w.stride[0] = 64 * p->blocks.shape[1];
    w.device = p->x.device;
    if (wn__given(&p->dense)) w = p->dense;
    return (wn__matmul){.a = p->x, .b = turned(&w), .bias = p->bias, .c = p->y};
}

// Of W where it has to be written out.
static size_t dense_bytes(const wn__spmm24_blocks *p) {
    if (wn__given(&p->dense)) return 0;
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
    if (!wn__given(&p->dense)) WN_TRY(write_out(&p->blocks, x->scratch, x->gpu));
    return multiply(&m, x, x->scratch + dense_bytes(p));
}

// y = x W^T (+ bias) of 8-bit numbers.
static wn__matmul product8(const wn__spmm24_blocks8 *p) {
    return (wn__matmul){.a = p->x, .b = turned(&p->dense), .bias = p->bias, .c = p->y};
}

// False and why: what scales it cannot take.
static bool scales_of(const wn__spmm24_blocks8 *p, wn__lt_shape *s, char *why, size_t n) {
    const bool rows = p->x_scale.shape[0] == p->x.shape[0] && p->w_scale.shape[0] > 1;
    const bool one = p->x_scale.shape[0] == 1 && p->w_scale.shape[0] == 1;
    const wn__lt_api *api;
    s->scales = one ? WN_LT_SCALE_ONE : WN_LT_SCALE_ROWS;
    if (!one && !rows)
        (void)snprintf(why, n, "cuBLASLt wants scales of rows on both sides or on neither");
    else if (!one && wn__blaslt_find(&api) == WN_OK && api->version() < WN_LT_SCALES_ROWS)
        (void)snprintf(why, n, "cuBLASLt before 12.9 has no scales of rows");
    else
        return true;
    return false;
}

static bool shape8(const wn__spmm24_blocks8 *p, wn__lt_shape *s, char *why, size_t n) {
    const wn__matmul m = product8(p);
    const bool gaps = (p->x.shape[0] > 1 && p->x.stride[0] % 16 != 0) ||
                      (p->dense.shape[0] > 1 && p->dense.stride[0] % 16 != 0) ||
                      (p->y.shape[0] > 1 && p->y.stride[0] % 8 != 0);
    if (gaps || p->x.shape[1] % 16 != 0 || p->y.shape[1] % 8 != 0)
        (void)snprintf(why, n, "cuBLASLt wants rows of whole 16 bytes, that far apart");
    else
        return wn__blaslt_shape(&m, s, why, n) && scales_of(p, s, why, n);
    return false;
}

bool wn__accepts_gpu_blocks8_dense(const void *args, char *why, size_t n) {
    const wn__spmm24_blocks8 *p = args;
    wn__lt_shape s;
    if (!wn__given(&p->dense))
        (void)snprintf(why, n, "W is not given written out");
    else if (p->relu2)
        (void)snprintf(why, n, "cuBLASLt has no relu^2");
    else if (wn__given(&p->residual))
        (void)snprintf(why, n, "cuBLASLt may round a 16-bit product before it adds to it");
    else if (p->y.dtype != WN_DTYPE_BF16 && p->y.dtype != WN_DTYPE_F16)
        (void)snprintf(why, n, "y is %s, not BF16 or F16", wn_dtype_name(p->y.dtype));
    else if (p->x_scale.dtype != WN_DTYPE_F32)
        (void)snprintf(why, n, "scales are %s, not F32", wn_dtype_name(p->x_scale.dtype));
    else
        return shape8(p, &s, why, n);
    return false;
}

size_t wn__workspace_spmm24_blocks8_cublaslt(const void *args, int threads) {
    const wn__matmul m = product8(args);
    (void)threads;
    return wn__blaslt_workspace(&m);
}

wn_status wn__spmm24_blocks8_cublaslt(const void *args, wn__exec *x) {
    const wn__spmm24_blocks8 *p = args;
    const wn__matmul m = product8(p);
    wn__lt_shape s;
    wn__blaslt *b;
    const wn__lt_plan *plan;
    char why[160];
    int i;
    if (p->y.shape[0] == 0 || p->y.shape[1] == 0) return WN_OK;
    if (!shape8(p, &s, why, sizeof why)) return wn__fail(WN_BUG, "cuBLASLt: %s", why);
    WN_TRY(wn__gpu_blaslt(x->gpu, &b));
    WN_TRY(wn__blaslt_way(b, &s, x, &plan, &i));
    WN_TRY(wn__blaslt_scale(b, plan, p->w_scale.data, p->x_scale.data));
    return wn__blaslt_run(b, plan, i, &m, x->scratch);
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
    return multiply(&m, x, x->scratch + written_bytes(p));
}

#endif
