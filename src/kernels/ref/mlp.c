// SPDX-License-Identifier: MIT
// swiglu, relu2 and their gradients, the specification. Everything is read before anything is
// written, so outputs may be inputs.
#include "kernels/mlp.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#include <math.h>

wn_status wn__swiglu_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__swiglu *p = args;
    int64_t count = wn__tensor_count(&p->y);
    for (int64_t i = 0; i < count; i++) {
        double gate = wn__get(&p->gate, i);
        wn__set(&p->y, i, gate / (1 + exp(-gate)) * wn__get(&p->up, i));
    }
    return WN_OK;
}

wn_status wn__swiglu_grad_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__swiglu_grad *p = args;
    int64_t count = wn__tensor_count(&p->dy);
    for (int64_t i = 0; i < count; i++) {
        double gate = wn__get(&p->gate, i), up = wn__get(&p->up, i), dy = wn__get(&p->dy, i);
        double s = 1 / (1 + exp(-gate));
        wn__set(&p->dup, i, dy * (gate / (1 + exp(-gate))));
        wn__set(&p->dgate, i, dy * up * (s + gate * s * (1 - s)));
    }
    return WN_OK;
}

// max(x, 0), NaN for NaN.
static double positive(double x) {
    return x <= 0 ? 0 : x;
}

wn_status wn__relu2_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__relu2 *p = args;
    int64_t count = wn__tensor_count(&p->y);
    for (int64_t i = 0; i < count; i++) {
        double v = positive(wn__get(&p->x, i));
        wn__set(&p->y, i, v * v);
    }
    return WN_OK;
}

wn_status wn__relu2_grad_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__relu2_grad *p = args;
    int64_t count = wn__tensor_count(&p->dx);
    for (int64_t i = 0; i < count; i++)
        wn__set(&p->dx, i, 2 * positive(wn__get(&p->x, i)) * wn__get(&p->dy, i));
    return WN_OK;
}
