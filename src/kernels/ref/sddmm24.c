// SPDX-License-Identifier: MIT
// sddmm24, the specification: one kept place after the other, in double.
#include "kernels/sddmm24.h"
#include "kernels/declare.h"
#include "kernels/element.h"

static double product(const wn__sddmm24 *p, int64_t o, int64_t column) {
    double sum = 0;
    if (column >= p->x.shape[1]) return 0;
    for (int64_t t = 0; t < p->x.shape[0]; t++)
        sum += wn__get(&p->dy, wn__at(&p->dy, t, o)) * wn__get(&p->x, wn__at(&p->x, t, column));
    return sum;
}

static void rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__sddmm24 *p = ctx;
    for (int64_t o = begin; o < end; o++) {
        const uint8_t *index = (const uint8_t *)p->index.data + o * p->index.shape[1];
        for (int64_t s = 0; s < p->v.shape[1]; s++) {
            int64_t g = s / 2, nibble = index[g / 2] >> (g % 2 * 4) & 15;
            double sum = product(p, o, 4 * g + (nibble >> (2 * (s % 2)) & 3));
            if (p->accumulate) sum += wn__get(&p->v, wn__at(&p->v, o, s));
            wn__set(&p->v, wn__at(&p->v, o, s), sum);
        }
    }
}

wn_status wn__sddmm24_ref(const void *args, wn__exec *x) {
    const wn__sddmm24 *p = args;
    wn__parallel_for(x->pool, p->v.shape[0], 1, rows, (void *)args);
    return WN_OK;
}
