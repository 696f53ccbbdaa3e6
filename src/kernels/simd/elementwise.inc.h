// SPDX-License-Identifier: MIT
/* add and fill. */
#include "kernels/elementwise.h"
#include "kernels/op.h"
#include "kernels/simd/vec.h"

#define ELEMENT_GRAIN 32768

ALWAYS void add_step(const wn__add *p, int64_t i, int64_t n) {
    vf sum =
        vf_add(vf_get((const float *)p->a.data + i, n), vf_get((const float *)p->b.data + i, n));
    vf_put((float *)p->c.data + i, sum, n);
}

static void add_range(void *ctx, int64_t i, int64_t end, int worker) {
    (void)worker;
    for (; i + VF <= end; i += VF)
        add_step(ctx, i, VF);
    if (i < end) add_step(ctx, i, end - i);
}

static wn_status add(const void *args, wn__exec *x) {
    const wn__add *p = args;
    wn__parallel_for(x->pool, wn__tensor_count(&p->c), ELEMENT_GRAIN, add_range, (void *)args);
    return WN_OK;
}

static void fill_range(void *ctx, int64_t i, int64_t end, int worker) {
    (void)worker;
    const wn__fill *p = ctx;
    vf value = vf_set((float)p->value);
    float *x = p->x.data;
    for (; i + VF <= end; i += VF)
        vf_store(x + i, value);
    if (i < end) vf_store_n(x + i, value, end - i);
}

static wn_status fill(const void *args, wn__exec *x) {
    const wn__fill *p = args;
    wn__parallel_for(x->pool, wn__tensor_count(&p->x), ELEMENT_GRAIN, fill_range, (void *)args);
    return WN_OK;
}
