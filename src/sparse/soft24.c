// SPDX-License-Identifier: MIT
// The scale of S-STE from the three products of soft24_dots.
#include "sparse/soft24.h"
#include "base/fail.h"
#include "kernels/soft24.h"

#include <math.h>

wn_status wn__soft24_scale(wn__exec *x, const wn_tensor *w, bool norm_preserving,
                           const wn_tensor *dots, const wn_tensor *scale) {
    const wn__soft24_dots args = {.w = *w, .out = *dots};
    WN_TRY(wn__run(x, WN__OP_soft24_dots, &args));
    if (x->planning) return WN_OK;
    const double *dot = dots->data;
    double above = norm_preserving ? dot[2] : dot[0], below = dot[1];
    double ratio = below < 1e-12 ? 1 : above / below;
    if (!isfinite(ratio))
        return wn__fail(WN_INVALID, "the scale of soft24 is %g / %g: the weight is not finite",
                        above, below);
    *(double *)scale->data = norm_preserving ? fmin(fmax(sqrt(ratio), 0.1), 10) : ratio;
    return WN_OK;
}
