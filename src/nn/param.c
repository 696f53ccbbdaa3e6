// SPDX-License-Identifier: MIT
// The list of trained tensors. It only grows while a model is built; with measuring arenas every
// view has NULL data.
#include "nn/param.h"

#include "base/fail.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

wn_status wn__name_join(char *out, const char *name, const char *suffix) {
    int n = snprintf(out, WN_NAME_MAX, "%s.%s", name, suffix);
    if (n >= 0 && n < WN_NAME_MAX) return WN_OK;
    return wn__fail(WN_INVALID, "the name '%s.%s' has %d bytes, at most %d fit", name, suffix, n,
                    WN_NAME_MAX - 1);
}

static wn_status grow(wn__params *p) {
    if (p->count < p->capacity) return WN_OK;
    size_t capacity = p->capacity > 0 ? 2 * p->capacity : 64;
    wn__param *item = realloc(p->item, capacity * sizeof *item);
    if (item == NULL) return wn__fail(WN_NOMEM, "no memory for %zu parameters", capacity);
    p->item = item;
    p->capacity = capacity;
    return WN_OK;
}

wn_status wn__param_add(wn__build *b, const char *name, int ndim, const int64_t *shape, bool decay,
                        size_t *index) {
    WN_TRY(grow(b->params));
    wn__param *p = &b->params->item[b->params->count];
    *p = (wn__param){.decay = decay};
    int n = snprintf(p->name, sizeof p->name, "%s", name);
    if (n < 0 || n >= WN_NAME_MAX)
        return wn__fail(WN_INVALID, "the name '%s' has %d bytes, at most %d fit", name, n,
                        WN_NAME_MAX - 1);
    WN_TRY(wn__tensor_alloc(b->weights, b->dtype, ndim, shape, &p->w));
    if (b->training) {
        WN_TRY(wn__tensor_alloc(b->gradients, b->dtype, ndim, shape, &p->g));
        WN_TRY(wn__tensor_alloc(b->moments, b->dtype, ndim, shape, &p->m));
        WN_TRY(wn__tensor_alloc(b->moments, b->dtype, ndim, shape, &p->v));
    }
    *index = b->params->count++;
    return WN_OK;
}

wn__param *wn__params_find(const wn__params *p, const char *name) {
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->item[i].name, name) == 0) return &p->item[i];
    return NULL;
}

void wn__params_free(wn__params *p) {
    free(p->item);
    *p = (wn__params){0};
}
