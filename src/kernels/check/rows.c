// SPDX-License-Identifier: MIT
// Some rows of a case that is too large for ref, with the same numbers: what a run of all of it
// gives there is compared with ref as in any other case.
#include "base/fail.h"
#include "kernels/check/harness.h"

#include <stdlib.h>
#include <string.h>

// Which field of a type counts rows that do not look at each other; -1: none.
static int field_of(const wn__case_type *type) {
    for (int i = 0; type->alone != NULL && i < type->field_count; i++)
        if (strcmp(type->fields[i].name, type->alone) == 0) return i;
    return -1;
}

// From the first row to the last.
static int64_t row_at(const wn__case *few, const wn__case *all, int64_t i) {
    const int at = field_of(all->type);
    const int64_t count = few->problem.value[at], rows = all->problem.value[at];
    return count < 2 ? 0 : i * (rows - 1) / (count - 1);
}

// A part's elements, packed, from those of all rows: the same where it has no such rows.
static void copy_rows(const wn__case *few, const wn__case *all, int part, size_t element,
                      const void *from, void *to) {
    const wn__part *f = few->part + part, *a = all->part + part;
    const bool whole = f->count == a->count;
    const int64_t rows = whole ? 1 : f->view.shape[0];
    const size_t bytes = (size_t)(f->count / (rows > 0 ? rows : 1)) * element;
    for (int64_t i = 0; i < rows; i++)
        memcpy((char *)to + (size_t)i * bytes,
               (const char *)from + (whole ? 0 : (size_t)row_at(few, all, i) * bytes), bytes);
}

// Whether parts differ in nothing but their number of rows.
static bool agree(const wn__case *few, const wn__case *all) {
    for (int i = 0; i < few->parts; i++) {
        const wn_tensor *f = &few->part[i].view, *a = &all->part[i].view;
        if (few->parts != all->parts || f->ndim != a->ndim || f->dtype != a->dtype) return false;
        for (int d = 1; d < f->ndim; d++)
            if (f->shape[d] != a->shape[d]) return false;
    }
    return true;
}

wn_status wn__case_rows(const wn__case *all, double flops, wn__case **out) {
    const int at = field_of(all->type);
    wn__problem p = all->problem;
    *out = NULL;
    if (at < 0 || p.value[at] < 1) return WN_OK;
    p.value[at] = 1;
    const double rows = flops / all->type->flops(&p);
    if (rows < 1) return WN_OK;
    p.value[at] = rows < (double)all->problem.value[at] ? (int64_t)rows : all->problem.value[at];
    wn__case *few;
    WN_TRY(wn__case_create(all->type, &p, 1, true, &few));
    if (!agree(few, all)) {
        wn__case_free(few);
        return wn__fail(WN_BUG, "%s has no rows that go alone", wn__op_name(all->type->op));
    }
    for (int i = 0; i < few->parts; i++) {
        wn__part *f = few->part + i;
        const wn__part *a = all->part + i;
        copy_rows(few, all, i, wn_dtype_size(f->view.dtype), a->image, f->image);
        if (f->before != NULL) copy_rows(few, all, i, sizeof(double), a->before, f->before);
    }
    *out = few;
    return WN_OK;
}

static wn_status take_rows(const wn__case *few, const wn__case *all, const wn__outputs *from,
                           wn__outputs *to) {
    for (int i = 0; i < few->parts; i++) {
        const size_t element = wn_dtype_size(few->part[i].view.dtype);
        if (from->part[i] == NULL) continue;
        to->part[i] = malloc((size_t)few->part[i].count * element + 1);
        if (to->part[i] == NULL) return wn__fail(WN_NOMEM, "no memory for the outputs of a case");
        copy_rows(few, all, i, element, from->part[i], to->part[i]);
    }
    return WN_OK;
}

wn_status wn__check_rows(wn__case *few, const wn__case *all, const wn__kernel *k, wn__check_way way,
                         const wn__check_pools *pools, char *why, size_t n) {
    wn__stage s;
    wn__outputs outputs = {0}, picked = {0};
    double worst;
    why[0] = '\0';
    WN_TRY(wn__case_reference(few));
    WN_TRY(wn__stage_create(all, 0, &s));
    s.gpu = wn__kernel_on_gpu(k) ? pools->gpu : NULL;
    s.way = way.way;
    s.ways = way.ways;
    wn_status status = wn__stage_run(&s, k, pools->many);
    if (status == WN_OK) status = wn__outputs_take(&s, &outputs);
    if (status == WN_OK && wn__stage_intact(&s, why, n)) {
        status = take_rows(few, all, &outputs, &picked);
        if (status == WN_OK) (void)wn__outputs_right(few, &picked, false, &worst, why, n);
    }
    wn__outputs_free(&outputs);
    wn__outputs_free(&picked);
    wn__stage_free(&s);
    return status;
}
