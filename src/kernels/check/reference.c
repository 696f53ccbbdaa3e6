// SPDX-License-Identifier: MIT
// What ref says about a case: in the case's own dtype for exact ops, and in double, on the same
// numbers, for all others. With every input replaced by its magnitude a multilinear op gives sum
// |a||b|, the scale of its error.
#include "base/fail.h"
#include "kernels/check/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const wn__kernel *ref_of(wn__op op) {
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    for (size_t i = 0; i < rows; i++)
        if (table[i].op == op && strcmp(table[i].variant, "ref") == 0) return table + i;
    return NULL;
}

static wn_status run_exact(wn__case *c, const wn__kernel *ref) {
    wn__stage s;
    WN_TRY(wn__stage_create(c, 0, &s));
    wn_status status = wn__stage_run(&s, ref, NULL);
    for (int i = 0; i < c->parts && status == WN_OK; i++)
        if (c->part[i].exact) wn__stage_gather(&s, i, c->part[i].exact);
    wn__stage_free(&s);
    return status;
}

// The memory of a part in a run in double; magnitudes: of absolute values. Integers are copied.
static void *widen(const wn__part *p, bool magnitudes) {
    size_t size = p->before ? sizeof(double) : wn_dtype_size(p->view.dtype);
    size_t bytes = (size_t)p->count * size;
    void *data = malloc(bytes + 1);
    if (!data) return NULL;
    memcpy(data, p->before ? p->before : p->image, bytes);
    double *wide = data;
    for (int64_t i = 0; magnitudes && p->before && i < p->count; i++)
        wide[i] = fabs(wide[i]);
    return data;
}

static wn_tensor *tensor_of(const wn__case *c, void *args, int part) {
    return (wn_tensor *)(void *)((char *)args + c->part[part].offset);
}

static wn_status run_wide(wn__case *c, const wn__kernel *ref, bool magnitudes) {
    void *data[WN__MAX_PARTS] = {0};
    wn_status status = WN_OK;
    wn__exec x = {0};
    void *args = malloc(c->type->args_size);
    if (!args) return wn__fail(WN_NOMEM, "no memory for a case");
    memcpy(args, c->args, c->type->args_size);
    for (int i = 0; i < c->parts; i++) {
        const wn__part *p = c->part + i;
        if (p->same < 0) data[i] = widen(p, magnitudes);
        if (p->same < 0 && !data[i]) {
            status = wn__fail(WN_NOMEM, "no memory for %s of a case", p->name);
            goto out;
        }
        wn_dtype dtype = p->before ? WN_DTYPE_F64 : p->view.dtype;
        *tensor_of(c, args, i) = wn__tensor(data[i], dtype, p->view.ndim, p->view.shape);
    }
    for (int i = 0; i < c->parts; i++)
        if (c->part[i].same >= 0)
            tensor_of(c, args, i)->data = tensor_of(c, args, c->part[i].same)->data;
    x.scratch_size = ref->workspace ? ref->workspace(args, 1) : 0;
    x.scratch = malloc(x.scratch_size + 1);
    if (!x.scratch) {
        status = wn__fail(WN_NOMEM, "no memory for the workspace of a case");
        goto out;
    }
    WN_TRY_OUT(wn__run_kernel(&x, ref, args));
    for (int i = 0; i < c->parts; i++) {
        wn__part *p = c->part + i;
        double *to = magnitudes ? p->sum : p->want;
        const void *from = tensor_of(c, args, i)->data;
        if (to) memcpy(to, from, (size_t)p->count * sizeof *to);
        if (p->exact && !magnitudes)
            memcpy(p->exact, from, (size_t)p->count * wn_dtype_size(p->view.dtype));
    }
out:
    for (int i = 0; i < c->parts; i++)
        free(data[i]);
    free(x.scratch);
    free(args);
    return status;
}

wn_status wn__case_reference(wn__case *c) {
    if (c->referenced) return WN_OK;
    const wn__kernel *ref = ref_of(c->type->op);
    if (!ref) return wn__fail(WN_BUG, "%s has no ref", wn__op_name(c->type->op));
    if (c->compare != WN__WITHIN_BOUND)
        c->status = run_exact(c, ref);
    else
        c->status = run_wide(c, ref, false);
    c->referenced = true;
    if (c->status == WN_OK) {
        if (c->type->multilinear) return run_wide(c, ref, true);
        return WN_OK;
    }
    (void)snprintf(c->message, sizeof c->message, "%s", wn_last_error());
    return c->status == WN_INVALID ? WN_OK : c->status;
}
