// SPDX-License-Identifier: MIT
/* winnow ks apply: a table of layers, losses before and after, and in plain words what is left. */
#include "ks_apply.h"
#include "command.h"
#include "interrupt.h"
#include "json_out.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <winnow/ks.h>

#define DEFAULT_BATCH 8

typedef struct table {
    json_out *json; /* NULL: for people */
    bool quiet;
    size_t rows;
} table;

static void layer_json(json_out *j, const wn_ks_layer *l) {
    put_open(j, NULL, '{');
    put_text(j, "layer", l->name);
    put_text(j, "chain", l->chain);
    put_int(j, "out_features", l->out);
    put_int(j, "in_features", l->in);
    put_int(j, "parameters", l->params);
    put_real(j, "plain_weight_error", l->plain_weight);
    put_real(j, "plain_output_error", l->plain_outputs);
    put_real(j, "weight_error", l->weight);
    put_real(j, "output_error", l->outputs);
    put_int(j, "lowrank", l->lowrank);
    put_real(j, "lowrank_output_error", l->lowrank_outputs);
    put_real(j, "seconds", l->seconds);
    put_close(j, '}');
}

static void on_layer(table *t, const wn_ks_layer *l) {
    char shape[48];
    if (t->json) {
        layer_json(t->json, l);
        return;
    }
    if (t->quiet) return;
    if (t->rows++ == 0)
        printf("relative errors          of what comes out of a layer, and in brackets of its "
               "weight; plain: a fit that knows no text;\nlow rank: the least any weight of as "
               "many parameters has\n%-32s %-12s %-24s %7s %15s %15s %9s\n",
               "layer", "out x in", "chain", "of all", "plain", "fitted", "low rank");
    snprintf(shape, sizeof shape, "%lld x %lld", (long long)l->out, (long long)l->in);
    printf("%-32s %-12s %-24s %6.2f%% %6.3f (%6.3f) %6.3f (%6.3f) %9.3f\n", l->name, shape,
           l->chain, 100 * (double)l->params / (double)(l->out * l->in), l->plain_outputs,
           l->plain_weight, l->outputs, l->weight, l->lowrank_outputs);
    fflush(stdout);
}

static void on_train(const wn_train_event *e) {
    if (e->kind == WN_EVENT_STEP)
        fprintf(stderr, "recovery %lld/%lld | loss %.4f | lr %.3g | %.0f tok/s\n",
                (long long)e->step, (long long)e->steps, e->loss, e->lr, e->tokens_per_second);
}

static void on_progress(void *ctx, const wn_ks_progress *p) {
    table *t = ctx;
    if (p->layer) on_layer(t, p->layer);
    if (p->train && !t->quiet) on_train(p->train);
    if (p->stage && !t->quiet)
        fprintf(stderr, "%s: loss %.4f, perplexity %.2f on %lld held-out tokens\n", p->stage,
                p->loss, exp(p->loss), (long long)p->tokens);
}

static void close_json(json_out *j, const options *o, const wn_ks_applied *r, bool ok) {
    put_close(j, ']');
    put_int(j, "layers_fitted", (int64_t)r->layers);
    put_int(j, "linear_layers", (int64_t)r->linear_layers);
    put_int(j, "dense_parameters", r->dense);
    put_int(j, "sparse_parameters", r->params);
    put_real(j, "ratio", r->ratio);
    put_real(j, "loss_before", r->loss_before);
    put_real(j, "loss_fitted", r->loss_fitted);
    if (r->loss_recovered > 0) put_real(j, "loss_recovered", r->loss_recovered);
    put_int(j, "calib_tokens", r->calib_tokens);
    put_int(j, "eval_tokens", r->eval_tokens);
    put_int(j, "bytes_before", (int64_t)r->bytes_before);
    put_int(j, "bytes", (int64_t)r->bytes);
    put_real(j, "seconds", r->seconds);
    put_bool(j, "written", ok);
    if (ok) put_text(j, "out", opt_text(o, O_out));
    put_close(j, '}');
    putchar('\n');
}

static void print_total(const options *o, const wn_ks_applied *r) {
    char before[24], after[24];
    double left = r->loss_recovered > 0 ? r->loss_recovered : r->loss_fitted;
    printf("%zu of %zu linear layers are chains: %lld of their %lld parameters, %.2f%%", r->layers,
           r->linear_layers, (long long)r->params, (long long)r->dense, 100 * r->ratio);
    if (opt_real(o, O_ratio) > 0) printf(" (%.2f%% asked for)", 100 * opt_real(o, O_ratio));
    printf("\nperplexity on %lld held-out tokens: %.2f before, %.2f fitted",
           (long long)r->eval_tokens, exp(r->loss_before), exp(r->loss_fitted));
    if (r->loss_recovered > 0)
        printf(", %.2f after %lld updates of %s", exp(r->loss_recovered),
               (long long)opt_int(o, O_recover),
               opt_real(o, O_ks_distill) > 0 ? "distillation" : "training");
    double more = left - r->loss_before;
    printf("\nwhat remains: %.4f nats a token %s the dense model's %.4f; %s\n", fabs(more),
           more >= 0 ? "above" : "below", r->loss_before,
           more < 0.01  ? "hardly anything was lost, or training went on where it had stopped"
           : more < 0.1 ? "a small loss"
           : more < 0.5 ? "a clear loss"
                        : "most of what the model knew is gone");
    printf("%s: weights of %s, %s before (%.1f s)\n", opt_text(o, O_out),
           bytes_text((double)r->bytes, after, sizeof after),
           bytes_text((double)r->bytes_before, before, sizeof before), r->seconds);
}

static wn_ks_apply_options options_of(const options *o) {
    const option_value *sparsity = &o->value[O_sparsity];
    int64_t batch = o->value[O_ks_batch].given ? opt_int(o, O_ks_batch) : DEFAULT_BATCH;
    return (wn_ks_apply_options){.out = opt_text(o, O_out),
                                 .sparsity = sparsity->list,
                                 .sparsity_count = sparsity->count,
                                 .ratio = opt_real(o, O_ratio),
                                 .search = opt_flag(o, O_search),
                                 .calib = opt_text(o, O_calib),
                                 .calib_tokens = opt_int(o, O_calib_tokens),
                                 .eval_data = opt_text(o, O_eval_data),
                                 .eval_fraction = opt_real(o, O_eval_fraction),
                                 .seq_len = o->value[O_seq_len].given ? opt_int(o, O_seq_len) : 0,
                                 .batch_size = batch,
                                 .rounds = opt_int(o, O_rounds),
                                 .recover = opt_int(o, O_recover),
                                 .recover_lr = opt_real(o, O_recover_lr),
                                 .distill_weight = opt_real(o, O_ks_distill),
                                 .distill_temperature = opt_real(o, O_distill_temperature),
                                 .merge = opt_flag(o, O_ks_merge),
                                 .force = opt_flag(o, O_force),
                                 .seed = (uint64_t)opt_int(o, O_seed),
                                 .threads = (int)opt_int(o, O_threads)};
}

int ks_apply(const options *o) {
    json_out j = {.file = stdout};
    table t = {.json = opt_flag(o, O_json) ? &j : NULL, .quiet = opt_flag(o, O_quiet)};
    wn_ks_applied r;
    if (o->arguments < 2) return usage_error("winnow ks apply needs MODEL");
    if (!opt_text(o, O_out)) return usage_error("winnow ks apply needs --out DIR");
    if (!opt_text(o, O_calib)) return usage_error("winnow ks apply needs --calib TEXT");
    if (o->value[O_sparsity].count == 0)
        return usage_error("winnow ks apply needs --sparsity 'PATTERN=kron:monarch:B[xC][:R]'");
    if (opt_real(o, O_ks_distill) > 0 && opt_int(o, O_recover) == 0)
        return usage_error("--distill-weight is of the updates of --recover N");
    interrupts_catch(false);
    const wn_ks_apply_options a = options_of(o);
    if (t.json) {
        put_open(&j, NULL, '{');
        put_open(&j, "layers", '[');
    }
    wn_status status = wn_ks_apply(o->argument[1], &a, on_progress, interrupted, &t, &r);
    if (t.json)
        close_json(&j, o, &r, status == WN_OK);
    else if (status == WN_OK)
        print_total(o, &r);
    if (status == WN_CANCELLED) fputs("winnow: stopped; nothing was written\n", stderr);
    return report(status);
}
