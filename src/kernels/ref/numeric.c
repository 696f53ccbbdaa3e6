// SPDX-License-Identifier: MIT
// round16, round8 and rescale, the specification.
#include "kernels/numeric.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#include <math.h>

// Where the i-th element in row-major order stands.
static int64_t place(const wn_tensor *t, int64_t i) {
    return t->ndim == 2 ? wn__at(t, i / t->shape[1], i % t->shape[1]) : i;
}

wn_status wn__round16_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__round16 *p = args;
    for (int64_t i = 0; i < wn__tensor_count(&p->x); i++) {
        uint16_t rounded = wn__bf16_from_f64(wn__get(&p->x, place(&p->x, i)));
        wn__set(&p->y, place(&p->y, i), (double)wn__bf16_to_f32(rounded));
    }
    return WN_OK;
}

// The largest magnitude, NaN where one is not finite.
static double amax_of(const wn_tensor *t) {
    double most = 0;
    for (int64_t i = 0; i < wn__tensor_count(t); i++) {
        double x = fabs(wn__get(t, place(t, i)));
        if (!isfinite(x)) return NAN;
        if (x > most) most = x;
    }
    return most;
}

static double to_fp8(double v, wn__fp8_format f) {
    if (isnan(v)) return v;
    int exponent = v == 0 ? f.least_exponent : ilogb(v);
    if (exponent < f.least_exponent) exponent = f.least_exponent;
    double quantum = ldexp(1, exponent - f.mantissa);
    return copysign(fmin(rint(fabs(v) / quantum) * quantum, f.largest), v);
}

wn_status wn__round8_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__round8 *p = args;
    double amax = amax_of(&p->x);
    double s = isnan(amax) ? NAN : wn__round8_scale(p->format, p->x.dtype, amax);
    *(double *)p->scale.data = s;
    for (int64_t i = 0; i < wn__tensor_count(&p->x); i++) {
        int64_t to = place(&p->y, i);
        wn__set(&p->y, to, s * wn__get(&p->x, place(&p->x, i))); // rounds the product to the dtype
        wn__set(&p->y, to, to_fp8(wn__get(&p->y, to), wn__fp8_of(p->format)));
    }
    return WN_OK;
}

wn_status wn__rescale_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__rescale *p = args;
    double a = 1 / *(const double *)p->a.data, b = 1 / *(const double *)p->b.data;
    for (int64_t i = 0; i < wn__tensor_count(&p->x); i++) {
        int64_t to = place(&p->y, i);
        double before = p->accumulate ? wn__get(&p->y, to) : 0;
        wn__set(&p->y, to, wn__get(&p->x, place(&p->x, i)) * a * b);
        if (p->accumulate) wn__set(&p->y, to, before + wn__get(&p->y, to));
    }
    return WN_OK;
}
