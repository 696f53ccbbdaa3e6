// SPDX-License-Identifier: MIT
// adamw, the specification: one element at a time in double, rounded when stored.
#include "kernels/adamw.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#include <math.h>

wn_status wn__adamw_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__adamw *p = args;
    int64_t count = wn__tensor_count(&p->w);
    double step_size = p->lr / (1 - pow(p->beta1, (double)p->step));
    double root = sqrt(1 - pow(p->beta2, (double)p->step));
    for (int64_t i = 0; i < count; i++) {
        double g = p->grad_scale * wn__get(&p->g, i);
        double w = wn__get(&p->w, i) * (1 - p->lr * p->weight_decay);
        double m = p->beta1 * wn__get(&p->m, i) + (1 - p->beta1) * g;
        double v = p->beta2 * wn__get(&p->v, i) + (1 - p->beta2) * g * g;
        wn__set(&p->m, i, m);
        wn__set(&p->v, i, v);
        wn__set(&p->w, i, w - step_size * m / (sqrt(v) / root + p->eps));
    }
    return WN_OK;
}
