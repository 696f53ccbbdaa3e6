// SPDX-License-Identifier: MIT
// add, fill, copy and normal, the specification.
#include "kernels/elementwise.h"
#include "base/philox.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#include <string.h>

wn_status wn__add_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__add *p = args;
    int64_t count = wn__tensor_count(&p->c);
    for (int64_t i = 0; i < count; i++)
        wn__set(&p->c, i, wn__get(&p->a, i) + wn__get(&p->b, i));
    return WN_OK;
}

wn_status wn__fill_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__fill *p = args;
    int64_t count = wn__tensor_count(&p->x);
    for (int64_t i = 0; i < count; i++)
        wn__set(&p->x, i, p->value);
    return WN_OK;
}

// Where the i-th element in row-major order stands.
static int64_t flat(const wn_tensor *t, int64_t i) {
    int64_t at = 0;
    for (int d = t->ndim - 1; d >= 0; d--) {
        at += i % t->shape[d] * t->stride[d];
        i /= t->shape[d];
    }
    return at;
}

// Equal types keep their bits.
wn_status wn__copy_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__copy *p = args;
    int64_t count = wn__tensor_count(&p->src);
    int64_t size = (int64_t)wn_dtype_size(p->src.dtype);
    for (int64_t i = 0; i < count; i++) {
        int64_t from = flat(&p->src, i), to = flat(&p->dst, i);
        if (p->src.dtype == p->dst.dtype)
            memcpy((char *)p->dst.data + to * size, (const char *)p->src.data + from * size,
                   (size_t)size);
        else
            wn__set(&p->dst, to, wn__get(&p->src, from));
    }
    return WN_OK;
}

wn_status wn__normal_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__normal *p = args;
    int64_t count = wn__tensor_count(&p->x);
    float word[4] = {0};
    for (int64_t i = 0; i < count; i++) {
        if (i % 4 == 0) wn__philox_normal(p->seed, p->stream, (uint64_t)i / 4, word);
        wn__set(&p->x, i, p->mean + p->std * (double)word[i % 4]);
    }
    return WN_OK;
}
