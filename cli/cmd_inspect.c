// SPDX-License-Identifier: MIT
/* winnow inspect */
#include "command.h"
#include "json_out.h"
#include <stdlib.h>
#include <string.h>
#include <winnow/model.h>
#include <winnow/printable.h>

typedef struct state {
    json_out *json;
    bool statistics;
    uint64_t bytes;
    int64_t elements, nonfinite;
    size_t count, sparse;
} state;

static void shape_text(const wn_tensor_report *t, char *out, size_t n) {
    size_t used = (size_t)snprintf(out, n, "[");
    for (int i = 0; i < t->ndim && used < n; i++)
        used +=
            (size_t)snprintf(out + used, n - used, "%s%lld", i ? ", " : "", (long long)t->shape[i]);
    if (used < n) snprintf(out + used, n - used, "]");
}

static const char *pattern_text(const wn_tensor_report *t) {
    return t->is24 && t->is24_transposed ? "2:4 both ways"
           : t->is24                     ? "2:4"
           : t->is24_transposed          ? "2:4 along rows"
                                         : "";
}

static void write_json(const state *s, const wn_tensor_report *t) {
    json_out *j = s->json;
    put_open(j, NULL, '{');
    put_text(j, "name", t->name);
    put_text(j, "file", t->file);
    put_text(j, "dtype", t->dtype);
    put_open(j, "shape", '[');
    for (int i = 0; i < t->ndim; i++)
        put_int(j, NULL, t->shape[i]);
    put_close(j, ']');
    put_int(j, "bytes", (int64_t)t->bytes);
    if (s->statistics) {
        put_real(j, "zeros", t->zeros);
        put_real(j, "min", t->min);
        put_real(j, "max", t->max);
        put_real(j, "mean", t->mean);
        put_real(j, "std", t->std);
        put_int(j, "nonfinite", t->nonfinite);
        put_bool(j, "is24", t->is24);
        put_bool(j, "is24_transposed", t->is24_transposed);
    }
    put_close(j, '}');
}

static void on_tensor(void *ctx, const wn_tensor_report *t) {
    state *s = ctx;
    int64_t n = 1;
    for (int i = 0; i < t->ndim; i++)
        n *= t->shape[i];
    s->bytes += t->bytes;
    s->elements += n;
    s->count++;
    s->sparse += t->is24;
    s->nonfinite += t->nonfinite;
    if (s->json) {
        write_json(s, t);
        return;
    }
    char shape[120], name[512];
    shape_text(t, shape, sizeof shape);
    printf("%-48s %-5s %-14s", wn_printable(t->name, name, sizeof name), t->dtype, shape);
    if (s->statistics)
        printf(" zeros %5.1f%%  std %-9.3g [%.3g, %.3g]  %s", 100 * t->zeros, t->std, t->min,
               t->max, pattern_text(t));
    if (t->nonfinite) printf("  %lld NaN or infinite", (long long)t->nonfinite);
    putchar('\n');
}

int command_INSPECT(const options *o) {
    json_out j = {.file = stdout};
    state s = {.json = opt_flag(o, O_json) ? &j : NULL, .statistics = opt_flag(o, O_stats)};
    char *config = NULL, text[40], count[40];
    if (s.json) {
        put_open(&j, NULL, '{');
        put_open(&j, "tensors", '[');
    }
    wn_status status = wn_inspect(o->argument[0], s.statistics, on_tensor, &s, &config);
    if (s.json) {
        put_close(&j, ']');
        put_int(&j, "elements", s.elements);
        put_int(&j, "bytes", (int64_t)s.bytes);
        if (config) put_text(&j, "config", config);
        put_close(&j, '}');
        putchar('\n');
    } else if (status == WN_OK) {
        if (config)
            printf("\n%s%s", config, *config && config[strlen(config) - 1] != '\n' ? "\n" : "");
        printf("%zu tensors, %s elements, %s", s.count,
               count_text((double)s.elements, count, sizeof count),
               bytes_text((double)s.bytes, text, sizeof text));
        if (s.statistics) printf(", %zu of them 2:4", s.sparse);
        putchar('\n');
    }
    free(config);
    return report(status);
}
