// SPDX-License-Identifier: MIT
// What the vector variants refuse, each with its reason, and the workspace of the simpler ones.
// Shapes and strides have passed the op's own check.
#include "kernels/simd/accepts.h"
#include "kernels/elementwise.h"
#include "kernels/embed.h"
#include "kernels/matmul.h"
#include "kernels/reduce.h"
#include "kernels/rmsnorm.h"
#include "kernels/simd/rows.h"
#include "kernels/spmm24.h"
#include "kernels/spmm24_rows.h"
#include "kernels/update.h"

#include <stdio.h>

static bool is_f32(const wn_tensor *t, char *why, size_t n) {
    if (t->dtype == WN_DTYPE_F32) return true;
    snprintf(why, n, "dtype %s is not F32", wn_dtype_name(t->dtype));
    return false;
}

bool wn__accepts_f32(const void *args, char *why, size_t n) {
    return is_f32(args, why, n); // a pointer to a struct is one to its first member
}

bool wn__accepts_f32_bf16(const void *args, char *why, size_t n) {
    wn_dtype dtype = ((const wn_tensor *)args)->dtype;
    if (dtype == WN_DTYPE_F32 || dtype == WN_DTYPE_BF16) return true;
    snprintf(why, n, "dtype %s is not F32 or BF16", wn_dtype_name(dtype));
    return false;
}

bool wn__accepts_f32_16(const void *args, char *why, size_t n) {
    wn_dtype dtype = ((const wn_tensor *)args)->dtype;
    if (dtype == WN_DTYPE_F32 || dtype == WN_DTYPE_BF16 || dtype == WN_DTYPE_F16) return true;
    snprintf(why, n, "dtype %s is not F32, BF16 or F16", wn_dtype_name(dtype));
    return false;
}

// Operands that are bfloat16 numbers, whatever holds them.
static bool is_bf16(const wn_tensor *t, bool rounded16, char *why, size_t n) {
    if (t->dtype == WN_DTYPE_BF16 || (t->dtype == WN_DTYPE_F32 && rounded16)) return true;
    snprintf(why, n, "dtype %s is not BF16%s", wn_dtype_name(t->dtype),
             t->dtype == WN_DTYPE_F32 ? ", nor are its numbers" : "");
    return false;
}

bool wn__accepts_matmul_bf16(const void *args, char *why, size_t n) {
    const wn__matmul *p = args;
    return is_bf16(&p->a, p->rounded16, why, n);
}

bool wn__accepts_bf16(const void *args, char *why, size_t n) {
    return is_bf16(args, false, why, n); // as in wn__accepts_f32
}

bool wn__accepts_spmm24_rows_bf16(const void *args, char *why, size_t n) {
    const wn__spmm24_rows *p = args;
    return is_bf16(&p->b, false, why, n) && is_bf16(&p->values, false, why, n);
}

bool wn__accepts_spmm24_bf16(const void *args, char *why, size_t n) {
    const wn__spmm24 *p = args;
    return is_bf16(&p->x, p->rounded16, why, n);
}

bool wn__accepts_f32_embed(const void *args, char *why, size_t n) {
    const wn__embed *p = args; // embed_grad has the same shape of arguments: token, then a float
                               // tensor of the table's dtype
    return is_f32(&p->table, why, n);
}

bool wn__accepts_copy_rows(const void *args, char *why, size_t n) {
    const wn__copy *p = args;
    int last = p->src.ndim - 1;
    bool narrows = p->src.dtype == WN_DTYPE_F32 && p->dst.dtype == WN_DTYPE_BF16,
         widens = p->src.dtype == WN_DTYPE_BF16 && p->dst.dtype == WN_DTYPE_F32;
    if (p->src.dtype != p->dst.dtype && !narrows && !widens) {
        snprintf(why, n, "no way from %s to %s", wn_dtype_name(p->src.dtype),
                 wn_dtype_name(p->dst.dtype));
        return false;
    }
    if (wn__tensor_packed(&p->src) && wn__tensor_packed(&p->dst)) return true;
    if (last >= 0 && p->src.stride[last] == 1 && p->dst.stride[last] == 1) return true;
    snprintf(why, n, "rows are not contiguous");
    return false;
}

size_t wn__workspace_reduce(const void *args, int threads) {
    (void)threads;
    const wn__reduce *p = args;
    int64_t chunks = (wn__tensor_count(&p->x) + WN_REDUCE_CHUNK - 1) / WN_REDUCE_CHUNK;
    return (size_t)chunks * sizeof(double);
}

size_t wn__workspace_rmsnorm_grad(const void *args, int threads) {
    (void)threads;
    const wn__rmsnorm_grad *p = args;
    int64_t N = p->x.shape[0], part = wn__row_part(N);
    return (size_t)((N + part - 1) / part * p->x.shape[1]) * sizeof(float);
}

size_t wn__workspace_adafactor(const void *args, int threads) {
    (void)threads;
    const wn__adafactor *p = args;
    size_t bytes = WN_ROW_PARTS * sizeof(double); // of u^2
    if (!wn__given(&p->row)) return bytes;
    size_t rows = (size_t)p->w.shape[0], columns = (size_t)p->w.shape[1];
    bytes += (rows + WN_ROW_PARTS * columns) * sizeof(double);
    return bytes + (rows + columns) * sizeof(float);
}
