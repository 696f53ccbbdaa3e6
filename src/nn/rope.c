// SPDX-License-Identifier: MIT
// Rotary frequencies by configuration, and their tables.
#include "nn/rope.h"

#include "base/fail.h"
#include "kernels/rope.h"
#include <math.h>

#define TWO_PI 6.283185307179586476925286766559

static double llama3_frequency(const wn__model_config *c, double f) {
    double original = (double)c->rope_original_positions;
    double waves = original * f / TWO_PI; // turns within the original context
    if (waves < c->rope_low_freq) return f / c->rope_factor;
    if (waves > c->rope_high_freq) return f;
    double share = (waves - c->rope_low_freq) / (c->rope_high_freq - c->rope_low_freq);
    return (1 - share) * f / c->rope_factor + share * f;
}

double wn__rope_frequency(const wn__model_config *c, int64_t i) {
    double f = pow(c->rope_theta, -2.0 * (double)i / (double)c->head_dim);
    switch (c->rope) {
    case WN_ROPE_DEFAULT:
        return f;
    case WN_ROPE_LINEAR:
        return f / c->rope_factor;
    case WN_ROPE_LLAMA3:
        return llama3_frequency(c, f);
    }
    return f;
}

wn_status wn__rope_tables_alloc(const wn__model_config *c, int64_t positions, wn_dtype dtype,
                                wn__arena *arena, wn__rope_tables *out) {
    int64_t half = c->head_dim / 2;
    WN_TRY(wn__tensor_alloc1(arena, WN_DTYPE_F64, half, &out->inv_freq));
    WN_TRY(wn__tensor_alloc2(arena, dtype, positions, half, &out->cos));
    return wn__tensor_alloc2(arena, dtype, positions, half, &out->sin);
}

wn_status wn__rope_tables_fill(const wn__model_config *c, wn__exec *x, wn__rope_tables *t) {
    double *frequency = t->inv_freq.data;
    for (int64_t i = 0; frequency != NULL && i < t->inv_freq.shape[0]; i++)
        frequency[i] = wn__rope_frequency(c, i);
    const wn__rope_table table = {
        .inv_freq = t->inv_freq, .cos = t->cos, .sin = t->sin, .scale = 1};
    return wn__run(x, WN__OP_rope_table, &table);
}
