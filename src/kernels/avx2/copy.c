// SPDX-License-Identifier: MIT
// copy between tensors of one dtype whose rows are contiguous, by memcpy: the C library picks the
// vectors.
#include "kernels/declare.h"
#include "kernels/elementwise.h"

#include <string.h>

#define COPY_GRAIN (INT64_C(1) << 17) // bytes

// Rows: all dimensions but the last, in row-major order.
static void copy_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__copy *p = ctx;
    int last = p->src.ndim - 1;
    size_t size = wn_dtype_size(p->src.dtype);
    for (int64_t row = begin; row < end; row++) {
        int64_t from = 0, to = 0, left = row;
        for (int d = last - 1; d >= 0; d--) {
            from += left % p->src.shape[d] * p->src.stride[d];
            to += left % p->src.shape[d] * p->dst.stride[d];
            left /= p->src.shape[d];
        }
        memcpy((char *)p->dst.data + (size_t)to * size,
               (const char *)p->src.data + (size_t)from * size, (size_t)p->src.shape[last] * size);
    }
}

static void copy_bytes(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__copy *p = ctx;
    memcpy((char *)p->dst.data + begin, (const char *)p->src.data + begin, (size_t)(end - begin));
}

wn_status wn__copy_avx2(const void *args, wn__exec *x) {
    const wn__copy *p = args;
    int64_t bytes = (int64_t)wn__tensor_bytes(&p->src);
    if (bytes == 0) return WN_OK;
    if (wn__tensor_packed(&p->src) && wn__tensor_packed(&p->dst)) {
        wn__parallel_for(x->pool, bytes, COPY_GRAIN, copy_bytes, (void *)args);
        return WN_OK;
    }
    int64_t width = p->src.shape[p->src.ndim - 1] * (int64_t)wn_dtype_size(p->src.dtype);
    int64_t rows = bytes / width, grain = COPY_GRAIN / width;
    wn__parallel_for(x->pool, rows, grain > 0 ? grain : 1, copy_rows, (void *)args);
    return WN_OK;
}
