// SPDX-License-Identifier: MIT
// The scale of S-STE from the three products of soft24_dots.
#include "sparse/soft24.h"
#include "base/fail.h"
#include "kernels/soft24.h"

#include <math.h>

static double scale_of(double ws, double ss, double ww, bool norm_preserving) {
    if (ss < 1e-12) return 1;
    if (!norm_preserving) return ws / ss;
    return fmin(fmax(sqrt(ww / ss), 0.1), 10);
}

wn_status wn__soft24_scale(wn__exec *x, const wn_tensor *w, bool norm_preserving,
                           const wn_tensor *dots, const wn_tensor *scale) {
    const wn__soft24_dots args = {.w = *w, .out = *dots};
    WN_TRY(wn__run(x, WN__OP_soft24_dots, &args));
    if (x->planning) return WN_OK;
    const double *dot = dots->data;
    double beta = scale_of(dot[0], dot[1], dot[2], norm_preserving);
    if (!isfinite(beta))
        return wn__fail(WN_INVALID, "the scale of soft24 is %g / %g: the weight is not finite",
                        norm_preserving ? dot[2] : dot[0], dot[1]);
    *(double *)scale->data = beta;
    return WN_OK;
}
