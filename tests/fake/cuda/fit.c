// SPDX-License-Identifier: MIT
// Launches turned back into the ops that they came from.
#include "fit.h"

#include "kernels/cuda/args_fit.h"
#include "kernels/declare.h"
#include "kernels/fit.h"
#include <string.h>

static wn_tensor vector(const void *data, wn_dtype dtype, int64_t n) {
    return wn__tensor1((void *)(uintptr_t)data, dtype, n);
}

void fake_embed(const void *argument, int bytes) {
    wn__gpu_embed p;
    memcpy(&p, argument, sizeof p);
    const size_t row = (size_t)p.units * (size_t)bytes;
    for (int64_t i = 0; i < p.n; i++) {
        if (p.token[i] < 0 || p.token[i] >= p.rows) {
            if (p.number < *p.fault) *p.fault = p.number;
        } else if (row > 0) {
            memcpy((char *)p.out + (size_t)i * row,
                   (const char *)p.table + (size_t)p.token[i] * row, row);
        }
    }
}

int fake_squared_error(const void *argument, wn_dtype dtype, int adds) {
    wn__gpu_squared_error p;
    memcpy(&p, argument, sizeof p);
    wn__squared_error q = {.y = wn__tensor2((void *)(uintptr_t)p.y, dtype, p.n, p.m),
                           .target =
                               wn__tensor2((void *)(uintptr_t)p.target, WN_DTYPE_F32, p.n, p.m),
                           .sum = vector(p.sum, WN_DTYPE_F64, 1),
                           .bias_scale = (double)p.bias_scale,
                           .gradient_scale = (double)p.gradient_scale,
                           .dbias_scale = (double)p.dbias_scale,
                           .sum_scale = p.sum_scale,
                           .accumulate = p.accumulate != 0};
    q.y.stride[0] = p.y_row;
    q.target.stride[0] = p.target_row;
    if (p.bias != NULL) q.bias = vector(p.bias, WN_DTYPE_F32, p.m);
    if (p.dbias != NULL) q.dbias = vector(p.dbias, WN_DTYPE_F32, p.m);
    if (p.gradient != NULL) {
        q.gradient = wn__tensor2(p.gradient, dtype, p.n, p.m);
        q.gradient.stride[0] = p.gradient_row;
    }
    if ((p.dbias == NULL) != (p.columns == NULL) || (p.wide && p.m % 8 != 0)) return 1;
    if ((int64_t)p.parts * p.each < p.n || p.strips != (p.m + 255) / 256) return 1;
    wn__exec x = {0};
    if (adds) (void)!wn__squared_error_ref(&q, &x);
    return 0;
}

void fake_gradient_norms(const void *argument) {
    wn__gpu_gradient_norms p;
    memcpy(&p, argument, sizeof p);
    wn__gradient_norms q = {.g = vector(p.g, WN_DTYPE_F32, p.end[p.parts - 1]),
                            .sums = vector(p.sums, WN_DTYPE_F64, p.parts + 1),
                            .factor = vector(p.factor, WN_DTYPE_F64, 1),
                            .parts = p.parts,
                            .scale = p.scale,
                            .most = p.most};
    memcpy(q.end, p.end, sizeof q.end);
    wn__exec x = {0};
    (void)!wn__gradient_norms_ref(&q, &x);
}

void fake_fit_update(const void *argument, wn_dtype dtype) {
    wn__gpu_fit_update p;
    memcpy(&p, argument, sizeof p);
    wn__fit_update q = {.w = vector(p.w, WN_DTYPE_F32, p.count),
                        .m = vector(p.m, WN_DTYPE_F32, p.count),
                        .g = vector(p.g, WN_DTYPE_F32, p.count),
                        .step = vector(p.step, WN_DTYPE_F64, 3),
                        .factor = vector(p.factor, WN_DTYPE_F64, 1),
                        .rule = (wn__fit_rule)p.rule,
                        .beta1 = p.beta1,
                        .beta2 = p.beta2,
                        .eps = p.eps,
                        .decay = p.decay};
    if (p.rounded != NULL) q.rounded = vector(p.rounded, dtype, p.count);
    if (p.v != NULL) q.v = vector(p.v, WN_DTYPE_F32, p.count);
    wn__exec x = {0};
    (void)!wn__fit_update_ref(&q, &x);
}
