// SPDX-License-Identifier: MIT
/* winnow prune */
#include "command.h"
#include "json_out.h"
#include <winnow/prune.h>

typedef struct table {
    json_out *json; /* NULL: for people */
    bool quiet;
    size_t rows;
} table;

static void show_json(json_out *j, const wn_prune_layer *l) {
    put_open(j, NULL, '{');
    put_text(j, "layer", l->name);
    put_text(j, "pattern", l->pattern);
    put_text(j, "dtype", l->dtype);
    put_int(j, "out_features", l->out);
    put_int(j, "in_features", l->in);
    put_real(j, "kept_magnitude", l->magnitude);
    put_real(j, "kept_energy", l->energy);
    put_real(j, "zeros_before", l->zeros_before);
    put_real(j, "zeros", l->zeros);
    put_int(j, "dense_bytes", (int64_t)l->dense_bytes);
    put_int(j, "packed_bytes", (int64_t)l->packed_bytes);
    put_close(j, '}');
}

static void on_layer(void *ctx, const wn_prune_layer *l) {
    table *t = ctx;
    char shape[48], dense[24], packed[24];
    if (t->json) {
        show_json(t->json, l);
        return;
    }
    if (t->quiet) return;
    if (t->rows++ == 0)
        printf("%-36s %-14s %-5s %-8s %8s %8s %7s %10s %10s\n", "layer", "out x in", "dtype",
               "pattern", "|w| kept", "w^2 kept", "zeros", "dense", "packed");
    snprintf(shape, sizeof shape, "%lld x %lld", (long long)l->out, (long long)l->in);
    printf("%-36s %-14s %-5s 2:4 %-4s %7.2f%% %7.2f%% %6.2f%% %10s %10s\n", l->name, shape,
           l->dtype, l->pattern, 100 * l->magnitude, 100 * l->energy, 100 * l->zeros,
           bytes_text((double)l->dense_bytes, dense, sizeof dense),
           bytes_text((double)l->packed_bytes, packed, sizeof packed));
    fflush(stdout);
}

static void close_json(json_out *j, const options *o, const wn_prune_result *r, bool written) {
    put_close(j, ']');
    put_int(j, "pruned_layers", (int64_t)r->layers);
    put_int(j, "linear_layers", (int64_t)r->linear_layers);
    put_int(j, "weights", r->weights);
    put_real(j, "kept_magnitude", r->magnitude);
    put_real(j, "kept_energy", r->energy);
    put_real(j, "zeros_before", r->zeros_before);
    put_real(j, "zeros", r->zeros);
    put_int(j, "dense_bytes", (int64_t)r->dense_bytes);
    put_int(j, "packed_bytes", (int64_t)r->packed_bytes);
    put_int(j, "other_bytes", (int64_t)r->other_bytes);
    put_real(j, "seconds", r->seconds);
    put_bool(j, "written", written);
    if (written) put_text(j, "out", opt_text(o, O_out));
    put_close(j, '}');
    putchar('\n');
}

static void print_total(const options *o, const wn_prune_result *r) {
    char dense[24], packed[24], other[24];
    printf(
        "%zu of %zu linear layers 2:4: %.2f%% of |w| and %.2f%% of w^2 kept, %.2f%% zeros (%.2f%% "
        "before)\n",
        r->layers, r->linear_layers, 100 * r->magnitude, 100 * r->energy, 100 * r->zeros,
        100 * r->zeros_before);
    printf("their weights: %s in the file as before, %s packed (%.1f%%); everything else: %s\n",
           bytes_text((double)r->dense_bytes, dense, sizeof dense),
           bytes_text((double)r->packed_bytes, packed, sizeof packed),
           r->dense_bytes ? 100 * (double)r->packed_bytes / (double)r->dense_bytes : 0.0,
           bytes_text((double)r->other_bytes, other, sizeof other));
    if (opt_flag(o, O_dry_run))
        printf("dry run: nothing written (%.1f s)\n", r->seconds);
    else
        printf("%s: %zu tensors in %zu file%s (%.1f s)\n", opt_text(o, O_out), r->tensors, r->files,
               r->files == 1 ? "" : "s", r->seconds);
}

int command_PRUNE(const options *o) {
    const option_value *sparsity = &o->value[O_sparsity];
    if (!opt_text(o, O_out) && !opt_flag(o, O_dry_run))
        return usage_error("winnow prune needs --out DIR (or --dry-run)");
    const wn_prune_options p = {.out = opt_text(o, O_out),
                                .method = opt_text(o, O_method),
                                .pattern = opt_text(o, O_pattern),
                                .sparsity = sparsity->list,
                                .sparsity_count = sparsity->count,
                                .force = opt_flag(o, O_force),
                                .dry_run = opt_flag(o, O_dry_run),
                                .threads = (int)opt_int(o, O_threads),
                                .kernels = opt_text(o, O_kernels)};
    json_out j = {.file = stdout};
    table t = {.json = opt_flag(o, O_json) ? &j : NULL, .quiet = opt_flag(o, O_quiet)};
    wn_prune_result r;
    if (t.json) {
        put_open(&j, NULL, '{');
        put_open(&j, "layers", '[');
    }
    wn_status status = wn_prune(o->argument[0], &p, on_layer, &t, &r);
    if (t.json)
        close_json(&j, o, &r, status == WN_OK && !p.dry_run);
    else if (status == WN_OK)
        print_total(o, &r);
    return report(status);
}
