// SPDX-License-Identifier: MIT
// What would run for a problem and why the others would not; and what a problem of an op consists
// of.
#include "base/fail.h"
#include "kernels/check/harness.h"
#include "kernels/cuda/blaslt.h"
#include "kernels/registry.h"
#include "kernels/tuned.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The way that a measured choice has a library take, and whether it is one of this library's.
static void write_way(FILE *f, const char *way) {
    char why[120];
    if (way == NULL) return;
    fprintf(f, "  way %s", way);
    if (!wn__blaslt_knows(way, why, sizeof why))
        fprintf(f, ", but %s: what it chooses itself is taken", why);
}

// One line for each row of the op, with what it took when a choice was made for such arguments on
// this device; chosen is NULL when nothing runs.
static void write_rows(FILE *f, const wn__exec *x, const wn__case *c, const wn__kernel *chosen) {
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    const wn__tuned_line *measured = wn__tuned_find(x, c->type->op, c->args);
    for (size_t i = 0; i < rows; i++) {
        const wn__kernel *k = table + i;
        char why[160], needs[80];
        if (k->op != c->type->op) continue;
        bool fits = wn__kernel_fits(x, k, c->args, why, sizeof why);
        fprintf(f, "%c %-24s rank %-3d", k == chosen ? '*' : ' ', k->name, wn__kernel_rank(k));
        if (k->needs) fprintf(f, "  needs %s", wn__needs_text(k->needs, needs, sizeof needs));
        if (!fits) fprintf(f, "  refused: %s", why);
        if (fits && k != chosen)
            fprintf(f, k->rank == WN__CHECKED_ONLY ? "  to be checked" : "  could run");
        const double took = measured != NULL ? wn__tuned_seconds(measured, k->variant) : 0;
        if (took > 0) fprintf(f, "  measured %.4g us", took * 1e6);
        if (k == chosen) write_way(f, wn__plan_way(x, k, c->args));
        fputc('\n', f);
    }
}

// Ends a stream that open_memstream bound to *text, which is only then what was written.
static wn_status close_text(FILE *f, char **text, char **out) {
    bool bad = ferror(f) != 0;
    if (fclose(f) != 0 || bad) {
        free(*text);
        return wn__fail(WN_NOMEM, "no memory for the text");
    }
    *out = *text;
    return WN_OK;
}

// What a cache has for this class, whichever device it was measured on.
static void write_choices(FILE *f, const wn__tuned *t, const wn__case *c) {
    char class[WN__CLASS_TEXT];
    size_t shown = 0;
    wn__class_of(c->type->op, c->args, class);
    for (size_t i = 0; i < t->count; i++) {
        const wn__tuned_line *l = &t->line[i];
        if (strcmp(l->op, wn__op_name(c->type->op)) != 0 || strcmp(l->class, class) != 0) continue;
        fprintf(f, "measured on %s, driver %s: %s_%s%s%s, %.4g us, checked on %s\n", l->device,
                l->driver, l->op, l->variant, *l->way != '\0' ? " " : "", l->way, l->seconds * 1e6,
                l->checked);
        shown++;
    }
    if (shown == 0) fprintf(f, "nothing was measured for %s\n", class);
}

typedef struct question {
    wn__case *c;
    wn__exec x;
    wn__tuned tuned;
    const char *device;
    bool cached;
} question;

static wn_status answer(const question *q, char **out) {
    const wn__kernel *chosen = NULL;
    char *text = NULL;
    size_t size;
    wn_status status = WN_OK;
    if (q->device != NULL) status = wn__plan(&q->x, q->c->type->op, q->c->args, &chosen);
    if (status != WN_OK && status != WN_UNSUPPORTED) return status;
    FILE *f = open_memstream(&text, &size);
    if (f == NULL) return wn__fail_errno("cannot write text to memory");
    if (q->device != NULL) write_rows(f, &q->x, q->c, status == WN_OK ? chosen : NULL);
    if (q->cached) write_choices(f, &q->tuned, q->c);
    return close_text(f, &text, out);
}

wn_status wn_plan_explain_on(const char *op, const char *problem, const char *device,
                             const char *cache, char **out) {
    question q = {.x = {.planning = true, .force = getenv("WN_KERNEL")},
                  .device = device,
                  .cached = cache != NULL};
    wn__op which;
    wn__problem p;
    wn_status status = WN_OK;
    *out = NULL;
    WN_TRY(wn__op_find(op, strlen(op), &which));
    WN_TRY(wn__problem_parse(wn__case_type_of(which), problem, &p));
    if (device != NULL && strcmp(device, "cpu") != 0 && strcmp(device, "cuda") != 0)
        return wn__fail(WN_UNSUPPORTED, "device '%.40s': there are cpu and cuda", device);
    WN_TRY_OUT(wn__case_create(wn__case_type_of(which), &p, 0, false, &q.c));
    if (cache != NULL) WN_TRY_OUT(wn__tuned_read(&q.tuned, cache));
    q.x.tuned = &q.tuned;
    if (device != NULL && strcmp(device, "cuda") == 0) {
        WN_TRY_OUT(wn__gpu_create(0, &q.x.gpu));
        q.x.device.kind = WN_DEVICE_CUDA;
    } else {
        WN_TRY_OUT(wn__pool_create(0, &q.x.pool));
    }
    status = answer(&q, out);
out:
    wn__case_free(q.c);
    wn__tuned_free(&q.tuned);
    wn__gpu_free(q.x.gpu);
    wn__pool_free(q.x.pool);
    return status;
}

wn_status wn_plan_explain(const char *op, const char *problem, char **out) {
    return wn_plan_explain_on(op, problem, "cpu", NULL, out);
}

// "m: 64", "dtype: f32 (f64, f32, bf16, f16)".
static void write_field(FILE *f, const wn__field *field) {
    if (!field->words) {
        fprintf(f, "%s: %lld", field->name, (long long)field->usual);
        if (field->sweep == 0 && field->most == 1)
            fprintf(f, " (0 or 1)");
        else
            fprintf(f, " (at least %lld)", (long long)field->least);
    } else {
        fprintf(f, "%s: %s (", field->name, field->words[field->usual]);
        for (int64_t i = 0; i <= field->most; i++)
            fprintf(f, "%s%s", i ? ", " : "", field->words[i]);
        fputc(')', f);
    }
    fputc('\n', f);
}

wn_status wn_problem_describe(const char *op, char **out) {
    wn__op which;
    char *text = NULL;
    size_t size;
    *out = NULL;
    WN_TRY(wn__op_find(op, strlen(op), &which));
    FILE *f = open_memstream(&text, &size);
    if (!f) return wn__fail_errno("cannot write text to memory");
    const wn__case_type *type = wn__case_type_of(which);
    for (int i = 0; i < type->field_count; i++)
        write_field(f, type->fields + i);
    return close_text(f, &text, out);
}
