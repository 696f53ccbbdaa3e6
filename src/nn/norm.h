// SPDX-License-Identifier: MIT
/* RMS normalisation with a weight. Views are [N, C]; rstd [N] is what backward needs, absent when
 * there will be none. */
#ifndef WN_NN_NORM_H
#define WN_NN_NORM_H

#include "kernels/op.h"
#include "nn/param.h"

typedef struct wn__norm {
    wn__params *params;
    size_t weight;
    double eps;
    bool round16; /* outputs and input gradients are rounded to bfloat16; rstd is not */
} wn__norm;

/* The parameter is "<name>.weight". */
WN_NODISCARD wn_status wn__norm_build(wn__norm *n, const char *name, int64_t width, double eps,
                                      wn__build *b);
WN_NODISCARD wn_status wn__norm_forward(const wn__norm *n, wn__exec *x, const wn_tensor *in,
                                        const wn_tensor *out, const wn_tensor *rstd);
/* Adds to the weight's gradient; din (+)= the input's. */
WN_NODISCARD wn_status wn__norm_backward(const wn__norm *n, wn__exec *x, const wn_tensor *in,
                                         const wn_tensor *rstd, const wn_tensor *dout,
                                         const wn_tensor *din, bool accumulate);

#endif
