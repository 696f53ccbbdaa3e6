// SPDX-License-Identifier: MIT
/* exp of a vector: x = n ln 2 + r, |r| <= ln(2)/2, exp(x) = 2^n exp(r), exp(r) by a polynomial. At
 * most 1.1 units in the last place over every float (measured on all of them), subnormal results
 * included; 0 and infinity beyond the range; NaN for NaN. */
#ifndef WN_KERNELS_SIMD_VEXP_H
#define WN_KERNELS_SIMD_VEXP_H

#include "kernels/simd/vec.h"

/* exp(x) = p 2^n with p in [0.7, 1.42], for low <= x <= 89 and x = NaN; other x count as the
 * nearest of those. */
static inline vf vf_exp_parts(vf x, float low, vf *n) {
    x = vf_max(vf_set(low),
               vf_min(vf_set(89.0F), x)); /* the second operand is the one that may be NaN */
    *n = vf_round(vf_mul(x, vf_set(0x1.715476p+0F)));
    vf r = vf_fnma(*n, vf_set(0x1.62e43p-1F), x);
    r = vf_fnma(*n, vf_set(-0x1.05c61p-29F), r);
    vf q = vf_fma(vf_set(0x1.6d110ap-10F), r, vf_set(0x1.120b6ep-7F)); /* (exp(r) - 1 - r) / r^2 */
    q = vf_fma(q, r, vf_set(0x1.55551ap-5F));
    q = vf_fma(q, r, vf_set(0x1.5554dcp-3F));
    q = vf_fma(q, r, vf_set(0.5F));
    return vf_add(vf_fma(q, vf_mul(r, r), r), vf_set(1.0F));
}

static inline vf vf_exp(vf x) {
    vf n, p = vf_exp_parts(x, -104.0F, &n);
    return vf_scale(p, n);
}

#endif
