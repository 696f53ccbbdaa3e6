// SPDX-License-Identifier: MIT
// RMS normalisation: one op each way.
#include "nn/norm.h"

#include "base/fail.h"
#include "kernels/rmsnorm.h"
#include "nn/round16.h"

wn_status wn__norm_build(wn__norm *n, const char *name, int64_t width, double eps, wn__build *b) {
    *n = (wn__norm){.params = b->params, .eps = eps, .round16 = b->round16};
    char weight[WN_NAME_MAX];
    WN_TRY(wn__name_join(weight, name, "weight"));
    return wn__param_add(b, weight, 1, &width, false, &n->weight);
}

wn_status wn__norm_forward(const wn__norm *n, wn__exec *x, const wn_tensor *in,
                           const wn_tensor *out, const wn_tensor *rstd) {
    const wn__rmsnorm norm = {
        .x = *in, .weight = n->params->item[n->weight].w, .y = *out, .rstd = *rstd, .eps = n->eps};
    WN_TRY(wn__run(x, WN__OP_rmsnorm, &norm));
    return wn__keep16(n->round16, x, out);
}

wn_status wn__norm_backward(const wn__norm *n, wn__exec *x, const wn_tensor *in,
                            const wn_tensor *rstd, const wn_tensor *dout, const wn_tensor *din,
                            bool accumulate) {
    const wn__param *p = &n->params->item[n->weight];
    const wn__rmsnorm_grad grad = {.x = *in,
                                   .weight = p->w,
                                   .rstd = *rstd,
                                   .dy = *dout,
                                   .dx = *din,
                                   .dweight = p->g,
                                   .accumulate = accumulate};
    WN_TRY(wn__run(x, WN__OP_rmsnorm_grad, &grad));
    return wn__keep16(n->round16, x, din);
}
