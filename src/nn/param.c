// SPDX-License-Identifier: MIT
// Parameters and their names while a model is built. With measuring arenas every view has NULL
// data.
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

wn_status wn__param_add(wn__build *b, const char *name, int ndim, const int64_t *shape, bool decay,
                        size_t *index) {
    WN_TRY(wn__params_append(b->params, index));
    wn__param *p = &b->params->item[*index];
    p->decay = decay;
    int n = snprintf(p->name, sizeof p->name, "%s", name);
    if (n < 0 || n >= WN_NAME_MAX) return too_long(name, n);
    WN_TRY(wn__tensor_alloc(b->weights, b->dtype, ndim, shape, &p->w));
    if (!b->training) return WN_OK;
    WN_TRY(wn__tensor_alloc(b->gradients, b->dtype, ndim, shape, &p->g));
    WN_TRY(wn__tensor_alloc(b->moments, b->dtype, ndim, shape, &p->m));
    return wn__tensor_alloc(b->moments, b->dtype, ndim, shape, &p->v);
}
