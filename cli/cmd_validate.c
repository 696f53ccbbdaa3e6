// SPDX-License-Identifier: MIT
/* winnow validate */
#include "command.h"
#include "json_out.h"
#include <winnow/printable.h>
#include <winnow/prune.h>

typedef struct table {
    json_out *json; /* NULL: for people */
    bool quiet;     /* only what is wrong */
} table;

static void show_json(json_out *j, const wn_validate_item *i) {
    put_open(j, NULL, '{');
    if (i->name) {
        put_text(j, "tensor", i->name);
        put_text(j, "file", i->file);
        put_text(j, "dtype", i->dtype);
        put_open(j, "shape", '[');
        for (int d = 0; d < i->ndim; d++)
            put_int(j, NULL, i->shape[d]);
        put_close(j, ']');
        put_real(j, "zeros", i->zeros);
    }
    if (i->linear) {
        put_bool(j, "is24", i->is24);
        put_bool(j, "is24_transposed", i->is24_transposed);
    }
    if (i->recorded) put_text(j, "recorded", i->recorded);
    put_open(j, "problems", '[');
    for (size_t p = 0; p < i->problems; p++)
        put_text(j, NULL, i->problem[p]);
    put_close(j, ']');
    put_close(j, '}');
}

static const char *pattern_text(const wn_validate_item *i) {
    return !i->linear                      ? ""
           : i->is24 && i->is24_transposed ? "2:4 both ways"
           : i->is24                       ? "2:4"
                                           : "dense";
}

static void on_item(void *ctx, const wn_validate_item *i) {
    const table *t = ctx;
    if (t->json) {
        show_json(t->json, i);
        return;
    }
    char shape[120] = "", name[512], reason[1024];
    const char *shown = i->name ? wn_printable(i->name, name, sizeof name) : "";
    size_t used = 0;
    for (int d = 0; d < i->ndim && used < sizeof shape; d++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%lld", d ? " x " : "",
                                 (long long)i->shape[d]);
    if (i->name && (i->problems || !t->quiet))
        printf("%-4s %-46s %-5s %-14s %6.2f%% zeros%s%s%s%s\n", i->problems ? "FAIL" : "ok", shown,
               i->dtype, shape, 100 * i->zeros, i->linear ? "  " : "", pattern_text(i),
               i->recorded ? ", recorded " : "", i->recorded ? i->recorded : "");
    for (size_t p = 0; p < i->problems; p++)
        printf("FAIL %s%s%s\n", shown, i->name ? ": " : "",
               wn_printable(i->problem[p], reason, sizeof reason));
}

static void print_total(const options *o, const wn_validate_result *r) {
    printf("%zu tensors; %zu of %zu linear layers are 2:4", r->tensors, r->sparse_layers,
           r->linear_layers);
    if (r->recorded)
        printf(", %zu recorded in config.json\n", r->recorded);
    else
        printf("; config.json records none\n");
    if (r->problems)
        printf("%s: %zu problem%s\n", o->argument[0], r->problems, r->problems == 1 ? "" : "s");
    else
        printf("%s: valid\n", o->argument[0]);
}

int command_VALIDATE(const options *o) {
    json_out j = {.file = stdout};
    table t = {.json = opt_flag(o, O_json) ? &j : NULL, .quiet = opt_flag(o, O_quiet)};
    wn_validate_result r;
    if (t.json) {
        put_open(&j, NULL, '{');
        put_open(&j, "items", '[');
    }
    wn_status status = wn_validate(o->argument[0], (int)opt_int(o, O_threads), on_item, &t, &r);
    if (t.json) {
        put_close(&j, ']');
        put_int(&j, "tensors", (int64_t)r.tensors);
        put_int(&j, "linear_layers", (int64_t)r.linear_layers);
        put_int(&j, "sparse_layers", (int64_t)r.sparse_layers);
        put_int(&j, "recorded", (int64_t)r.recorded);
        put_int(&j, "problems", (int64_t)r.problems);
        put_bool(&j, "valid", status == WN_OK && r.problems == 0);
        put_close(&j, '}');
        putchar('\n');
    } else if (status == WN_OK) {
        print_total(o, &r);
    }
    if (status != WN_OK) return report(status);
    return r.problems ? EXIT_INVALID_MODEL : EXIT_OK;
}
