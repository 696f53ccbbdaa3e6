// SPDX-License-Identifier: MIT
// copy between tensors whose rows are contiguous: of one dtype by memcpy, for which the C library
// picks the vectors, and between F32 and BF16.
#include "kernels/declare.h"
#include "kernels/elementwise.h"
#include "kernels/simd/half.h"

#include <string.h>

#define COPY_GRAIN (INT64_C(1) << 17) // bytes

// n elements from place `from` on to place `to` on.
static void copy_elements(const wn__copy *p, int64_t from, int64_t to, int64_t n) {
    size_t size = wn_dtype_size(p->src.dtype);
    bool narrows = p->dst.dtype == WN_DTYPE_BF16, widens = p->src.dtype == WN_DTYPE_BF16;
    if (narrows == widens)
        memcpy((char *)p->dst.data + (size_t)to * size,
               (const char *)p->src.data + (size_t)from * size, (size_t)n * size);
    for (int64_t i = 0; narrows && !widens && i < n; i += VF) {
        int64_t some = n - i < VF ? n - i : VF;
        half_put(p->dst.data, true, to + i, half_get(p->src.data, false, from + i, some), some);
    }
    for (int64_t i = 0; widens && !narrows && i < n; i += VF) {
        int64_t some = n - i < VF ? n - i : VF;
        half_put(p->dst.data, false, to + i, half_get(p->src.data, true, from + i, some), some);
    }
}

// Rows: all dimensions but the last, in row-major order.
static void copy_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__copy *p = ctx;
    int last = p->src.ndim - 1;
    for (int64_t row = begin; row < end; row++) {
        int64_t from = 0, to = 0, left = row;
        for (int d = last - 1; d >= 0; d--) {
            from += left % p->src.shape[d] * p->src.stride[d];
            to += left % p->src.shape[d] * p->dst.stride[d];
            left /= p->src.shape[d];
        }
        copy_elements(p, from, to, p->src.shape[last]);
    }
}

static void copy_packed(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    copy_elements(ctx, begin, begin, end - begin);
}

wn_status wn__copy_avx2(const void *args, wn__exec *x) {
    const wn__copy *p = args;
    int64_t count = wn__tensor_count(&p->src), size = (int64_t)wn_dtype_size(p->src.dtype);
    if (count == 0) return WN_OK;
    if (wn__tensor_packed(&p->src) && wn__tensor_packed(&p->dst)) {
        wn__parallel_for(x->pool, count, COPY_GRAIN / size, copy_packed, (void *)args);
        return WN_OK;
    }
    int64_t width = p->src.shape[p->src.ndim - 1], rows = count / width;
    int64_t grain = COPY_GRAIN / (width * size);
    wn__parallel_for(x->pool, rows, grain > 0 ? grain : 1, copy_rows, (void *)args);
    return WN_OK;
}
