// SPDX-License-Identifier: MIT
// Parameters and their names while a model is built, and the block that layers share. With
// measuring arenas every view has NULL data.
#include "nn/param.h"

#include "base/fail.h"
#include <stdio.h>

static wn_status too_long(const char *name, int n) {
    return wn__fail(WN_INVALID, "the name '%s' has %d bytes, at most %d fit", name, n,
                    WN_NAME_MAX - 1);
}

wn_status wn__name_join(char *out, const char *name, const char *suffix) {
    int n = snprintf(out, WN_NAME_MAX, "%s.%s", name, suffix);
    return n >= 0 && n < WN_NAME_MAX ? WN_OK : too_long(name, n);
}

wn_status wn__param_add_as(wn__build *b, const char *name, int ndim, const int64_t *shape,
                           bool decay, wn__param_role role, size_t *index) {
    WN_TRY(wn__params_append(b->params, index));
    wn__param *p = &b->params->item[*index];
    p->decay = decay;
    p->role = role;
    int n = snprintf(p->name, sizeof p->name, "%s", name);
    if (n < 0 || n >= WN_NAME_MAX) return too_long(name, n);
    bool trained = b->training && role != WN_PARAM_FROZEN, narrow = trained && b->narrow;
    WN_TRY(wn__tensor_alloc(b->weights, narrow ? WN_DTYPE_BF16 : b->dtype, ndim, shape, &p->w));
    if (trained && b->round16)
        WN_TRY(wn__tensor_alloc(b->weights, b->dtype, ndim, shape, &p->master));
    return trained ? wn__tensor_alloc(b->gradients, b->dtype, ndim, shape, &p->g) : WN_OK;
}

wn_status wn__param_add(wn__build *b, const char *name, int ndim, const int64_t *shape, bool decay,
                        size_t *index) {
    return wn__param_add_as(b, name, ndim, shape, decay, WN_PARAM_REGULAR, index);
}

int64_t wn__scratch_cost(int64_t rows, int64_t cols) {
    return (rows * cols + 15) / 16 * 16;
}

void wn__scratch_wish(wn__scratch *s, int64_t elements) {
    if (elements > s->elements) s->elements = elements;
}

wn_tensor wn__scratch_take(const wn__scratch *s, int64_t *at, int64_t rows, int64_t cols) {
    const wn_tensor flat = wn__tensor_slice(&s->block, 0, *at, rows * cols);
    *at += wn__scratch_cost(rows, cols);
    return wn__tensor_view2(&flat, rows, cols);
}
