// SPDX-License-Identifier: MIT
// What would run for a problem and why the others would not; and what a problem of an op consists
// of.
#include "base/fail.h"
#include "kernels/check/harness.h"
#include "kernels/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// One line for each row of the op; chosen is NULL when nothing runs.
static void write_rows(FILE *f, const wn__exec *x, const wn__case *c, const wn__kernel *chosen) {
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    for (size_t i = 0; i < rows; i++) {
        const wn__kernel *k = table + i;
        char why[160], needs[80];
        if (k->op != c->type->op) continue;
        bool fits = wn__kernel_fits(x, k, c->args, why, sizeof why);
        fprintf(f, "%c %-24s rank %-3d", k == chosen ? '*' : ' ', k->name, k->rank);
        if (k->needs) fprintf(f, "  needs %s", wn__needs_text(k->needs, needs, sizeof needs));
        if (!fits) fprintf(f, "  refused: %s", why);
        if (fits && k != chosen) fprintf(f, "  could run");
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

wn_status wn_plan_explain(const char *op, const char *problem, char **out) {
    wn__exec x = {.planning = true, .force = getenv("WN_KERNEL")};
    const wn__kernel *chosen;
    wn__op which;
    wn__problem p;
    wn__case *c = NULL;
    char *text = NULL;
    size_t size;
    *out = NULL;
    WN_TRY(wn__op_find(op, strlen(op), &which));
    WN_TRY(wn__problem_parse(wn__case_type_of(which), problem, &p));
    WN_TRY(wn__case_create(wn__case_type_of(which), &p, 0, false, &c));
    wn_status status = wn__plan(&x, which, c->args, &chosen);
    if (status == WN_OK || status == WN_UNSUPPORTED) {
        FILE *f = open_memstream(&text, &size);
        if (f) write_rows(f, &x, c, status == WN_OK ? chosen : NULL);
        status = f ? close_text(f, &text, out) : wn__fail_errno("cannot write text to memory");
    }
    wn__case_free(c);
    return status;
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
