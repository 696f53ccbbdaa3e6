// SPDX-License-Identifier: MIT
/* rope in place: one position of one sequence after the other, all its heads. Both halves of a
 * vector are read before either is written. */
#include "kernels/op.h"
#include "kernels/rope.h"
#include "kernels/simd/rows.h"
#include "kernels/simd/vec.h"

static void rotate(float *x, const float *cosine, const float *sine, int64_t half, bool inverse) {
    for (int64_t i = 0; i < half; i += VF) {
        int64_t n = half - i < VF ? half - i : VF;
        vf c = vf_get(cosine + i, n), s = vf_get(sine + i, n), a = vf_get(x + i, n),
           b = vf_get(x + half + i, n);
        if (inverse) s = vf_sub(vf_zero(), s);
        vf_put(x + i, vf_fnma(b, s, vf_mul(a, c)), n);
        vf_put(x + half + i, vf_fma(a, s, vf_mul(b, c)), n);
    }
}

/* Positions are numbered (b, t). */
static void rope_positions(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__rope *p = ctx;
    int64_t T = p->x.shape[1], half = p->x.shape[3] / 2;
    for (int64_t row = begin; row < end; row++) {
        int64_t b = row / T, t = row % T, at = (p->pos0 + t) * half;
        for (int64_t h = 0; h < p->x.shape[2]; h++) {
            float *x =
                (float *)p->x.data + b * p->x.stride[0] + t * p->x.stride[1] + h * p->x.stride[2];
            rotate(x, (const float *)p->cos.data + at, (const float *)p->sin.data + at, half,
                   p->inverse);
        }
    }
}

static wn_status rope(const void *args, wn__exec *x) {
    const wn__rope *p = args;
    int64_t grain = wn__row_grain(p->x.shape[2] * p->x.shape[3]);
    wn__parallel_for(x->pool, p->x.shape[0] * p->x.shape[1], grain, rope_positions, (void *)args);
    return WN_OK;
}
