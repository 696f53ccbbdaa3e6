// SPDX-License-Identifier: MIT
// The norm of all gradients, what spoils it, and clipping. While planning nothing is read back.
#include "base/fail.h"
#include "kernels/reduce.h"
#include "optim/optim.h"
#include <inttypes.h>
#include <math.h>

static wn_status first_nonfinite(const wn__param *p, wn__exec *x, const wn_tensor *slot,
                                 int64_t *at) {
    const wn_tensor out = wn__tensor1(slot->data, WN_DTYPE_I64, 1);
    const wn__reduce find = {.x = p->g, .out = out};
    WN_TRY(wn__run(x, WN__OP_nonfinite, &find));
    *at = x->planning ? -1 : *(const int64_t *)out.data;
    return WN_OK;
}

static wn_status fail_at(const wn__param *p, int64_t at) {
    int64_t columns = p->g.shape[p->g.ndim - 1];
    if (p->g.ndim < 2)
        return wn__fail(WN_INVALID, "gradient of %s: element %" PRId64 " is NaN or infinite",
                        p->name, at);
    return wn__fail(WN_INVALID,
                    "gradient of %s: row %" PRId64 " column %" PRId64 " is NaN or infinite",
                    p->name, at / columns, at % columns);
}

// The first parameter with a NaN or infinity and its place; count when all are finite. The slots of
// the sums are free by now.
static wn_status search(const wn__params *p, wn__exec *x, const wn_tensor *scratch, size_t *which,
                        int64_t *at) {
    for (*which = 0; *which < p->count; ++*which) {
        if (!wn__given(&p->item[*which].g)) continue;
        WN_TRY(first_nonfinite(&p->item[*which], x, scratch, at));
        if (*at >= 0) return WN_OK;
    }
    return WN_OK;
}

// Says which gradient spoiled the sum.
static wn_status explain(const wn__params *p, wn__exec *x, const wn_tensor *scratch) {
    size_t which;
    int64_t at = -1;
    WN_TRY(search(p, x, scratch, &which, &at));
    if (which < p->count) return fail_at(&p->item[which], at);
    return wn__fail(WN_INVALID,
                    "the sum of all squared gradients overflows, though each is finite");
}

wn_status wn__gradient_norm(wn__params *p, wn__exec *x, const wn_tensor *scratch, double *norm) {
    *norm = 0;
    for (size_t i = 0; i < p->count; i++) {
        if (!wn__given(&p->item[i].g)) continue;
        const wn__reduce square = {.x = p->item[i].g,
                                   .out = wn__tensor_slice(scratch, 0, (int64_t)i, 1)};
        WN_TRY(wn__run(x, WN__OP_sumsq, &square));
    }
    size_t which;
    int64_t at;
    if (x->planning) return search(p, x, scratch, &which, &at);
    double total = 0;
    const double *sums = scratch->data;
    for (size_t i = 0; i < p->count; i++)
        if (wn__given(&p->item[i].g)) total += sums[i];
    if (!isfinite(total)) return explain(p, x, scratch);
    *norm = sqrt(total);
    return WN_OK;
}

double wn__clip_scale(double norm, double max_norm) {
    return max_norm > 0 && norm > max_norm ? max_norm / (norm + 1e-6) : 1;
}
