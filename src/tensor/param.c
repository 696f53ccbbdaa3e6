// SPDX-License-Identifier: MIT
// The list of trained tensors. It owns its entries, not the tensors.
#include "tensor/param.h"

#include "base/fail.h"
#include <stdlib.h>
#include <string.h>

wn_status wn__params_append(wn__params *p, size_t *index) {
    if (p->count == p->capacity) {
        size_t capacity = p->capacity > 0 ? 2 * p->capacity : 64;
        wn__param *item = realloc(p->item, capacity * sizeof *item);
        if (item == NULL) return wn__fail(WN_NOMEM, "no memory for %zu parameters", capacity);
        p->item = item;
        p->capacity = capacity;
    }
    p->item[p->count] = (wn__param){0};
    *index = p->count++;
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

const wn_tensor *wn__param_master(const wn__param *p) {
    return wn__given(&p->master) ? &p->master : &p->w;
}
