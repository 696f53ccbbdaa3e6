// SPDX-License-Identifier: MIT
/* The scale of S-STE (Hu et al. 2024): how much beta S(W) must be, once and for all.
 *
 * S is soft24's threshold with scale 1 (kernels/soft24.h). The forward pass multiplies by beta
 * S(W), the gradient goes straight to W. */
#ifndef WN_SPARSE_SOFT24_H
#define WN_SPARSE_SOFT24_H

#include "kernels/op.h"

/* scale[0] = beta of w[r,c]: <W,S>/<S,S>, which minimises ||W - beta S||; norm_preserving:
 * ||W||/||S|| clamped to [0.1, 10]. 1 when ||S||^2 < 1e-12 (all magnitudes of a group alike, as
 * after a constant initialisation). dots: F64 [3], scratch; scale: F64 [1]. When planning nothing
 * is read or written. INVALID for NaN, and for a scale that is not finite. */
WN_NODISCARD wn_status wn__soft24_scale(wn__exec *x, const wn_tensor *w, bool norm_preserving,
                                        const wn_tensor *dots, const wn_tensor *scale);

#endif
