// SPDX-License-Identifier: MIT
// The lines at the start of a run: machine, data, model, layers, memory, kernels.
#include "base/cpu.h"
#include "base/fail.h"
#include "infer/session.h"
#include "kernels/peak.h"
#include "train/trainer.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB(bytes) ((double)(bytes) / 0x1p20)

static void say_machine(wn__trainer *t) {
    wn__say(t, "winnow %s on %s, %d thread%s, %.1f GiB of memory", wn_version(), wn__cpu_model(),
            wn__pool_threads(t->runtime->pool), wn__pool_threads(t->runtime->pool) == 1 ? "" : "s",
            (double)wn__memory_total() / 0x1p30);
}

static void say_part(wn__trainer *t, const char *what, const wn__part *p) {
    if (p->file == NULL) return;
    wn__say(t, "%-8s %s: %" PRIu64 " tokens%s", what, p->shard.path, p->count,
            p->count < p->shard.info.count ? " of its ids" : "");
}

static void say_data(wn__trainer *t) {
    if (t->train.file == NULL) {
        wn__say(t, "data     %s (text; a dry run does not encode it)", t->o.data);
    } else {
        say_part(t, "train", &t->train);
        say_part(t, "held out", &t->held);
        if (t->held.file == NULL) wn__say(t, "held out nothing: no evaluation");
    }
    if (t->tokenizer != NULL)
        wn__say(t, "tokens   %s, %" PRId32 " ids", wn_tokenizer_kind(t->tokenizer),
                wn_tokenizer_vocab_size(t->tokenizer));
}

static void say_model(wn__trainer *t) {
    const wn__model_config *c = &t->config;
    wn__say(t,
            "model    %s, %" PRId64 " parameters: %" PRId64 " layers, hidden %" PRId64
            ", intermediate %" PRId64 " (%s), %" PRId64 " heads, %" PRId64
            " key/value heads, vocabulary %" PRId64 "%s",
            wn__architecture(c), wn__model_config_params(c), c->layers, c->hidden_size,
            c->intermediate_size, c->mlp == WN_MLP_SWIGLU ? "swiglu" : "relu2", c->heads,
            c->kv_heads, c->vocab_size, c->tied ? ", tied embeddings" : "");
    if (t->init_dir[0] != '\0') wn__say(t, "         begun from %s", t->init_dir);
}

static void say_updates(wn__trainer *t) {
    const wn_train_options *o = &t->o;
    int64_t tokens = o->batch_size * o->seq_len * o->grad_accum;
    wn__say(t,
            "update   %" PRId64 " tokens (%" PRId64 " sequences of %" PRId64 ", %" PRId64
            " batch%s), %" PRId64 " updates, %s schedule, seed %" PRIu64,
            tokens, o->batch_size * o->grad_accum, o->seq_len, o->grad_accum,
            o->grad_accum == 1 ? "" : "es", o->steps, o->schedule, o->seed);
}

/* The layer table: layers of one kind in different blocks share a row. */

typedef struct row {
    const wn__linear *first;
    wn__linear_bytes bytes;
    int64_t count;
} row;

// "model.layers.12.mlp.up_proj" -> "mlp.up_proj"
static const char *kind_of(const char *name) {
    if (strncmp(name, "model.layers.", 13) != 0) return name;
    const char *dot = strchr(name + 13, '.');
    return dot != NULL ? dot + 1 : name;
}

static bool alike(const wn__linear *a, const wn__linear *b) {
    char first[WN_STRUCTURE_NAME], second[WN_STRUCTURE_NAME];
    return strcmp(kind_of(a->name), kind_of(b->name)) == 0 && a->in == b->in && a->out == b->out &&
           strcmp(wn__structure_name(&a->structure, first, sizeof first),
                  wn__structure_name(&b->structure, second, sizeof second)) == 0;
}

static void add_row(row *rows, size_t *count, const wn__linear *l) {
    size_t i = 0;
    while (i < *count && !alike(rows[i].first, l))
        i++;
    if (i == *count) rows[(*count)++] = (row){.first = l};
    wn__linear_bytes b = {0};
    l->type->bytes(l, &b);
    rows[i].count++;
    rows[i].bytes.dense += b.dense;
    rows[i].bytes.forward += b.forward;
    rows[i].bytes.backward += b.backward;
    rows[i].bytes.state += b.state;
}

static void say_row(wn__trainer *t, const row *r) {
    char shape[48], name[WN_STRUCTURE_NAME];
    (void)snprintf(shape, sizeof shape, "%" PRId64 " x %" PRId64, r->first->out, r->first->in);
    wn__say(t, "  %-20s %3" PRId64 "  %-14s %-12s %9.2f %9.2f %9.2f %9.2f", kind_of(r->first->name),
            r->count, shape, wn__structure_name(&r->first->structure, name, sizeof name),
            MIB(r->bytes.dense), MIB(r->bytes.forward), MIB(r->bytes.backward),
            MIB(r->bytes.state));
}

static wn_status say_layers(wn__trainer *t) {
    size_t n = wn__model_linear_count(t->model), count = 0;
    row *rows = calloc(n + 1, sizeof *rows);
    if (rows == NULL) return wn__fail(WN_NOMEM, "no memory for the layer table");
    for (size_t i = 0; i < n; i++)
        add_row(rows, &count, wn__model_linear(t->model, i));
    wn__say(t, "layers              count  out x in       structure    dense MiB   forward  "
               "backward     state");
    for (size_t i = 0; i < count; i++)
        say_row(t, &rows[i]);
    free(rows);
    return WN_OK;
}

static void say_sparsity(wn__trainer *t) {
    int64_t mlp = 0, others = 0;
    for (size_t i = 0; i < wn__model_linear_count(t->model); i++) {
        const wn__linear *l = wn__model_linear(t->model, i);
        if (l->structure.kind != WN_STRUCTURE_SPARSE24) continue;
        if (strstr(l->name, ".mlp.") != NULL) {
            mlp++;
        } else {
            others++;
        }
    }
    if (mlp > 0) wn__say(t, "2:4 sparsity enabled - converted %" PRId64 " MLP layers", mlp);
    if (others > 0)
        wn__say(t, "2:4 sparsity enabled outside the MLP - converted %" PRId64 " layers", others);
}

static void say_kernels(wn__trainer *t) {
    size_t count;
    const wn__kernel *table = wn__kernel_table(&count);
    char line[1000] = "";
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (!t->runtime->used[i]) continue;
        int n = snprintf(line + used, sizeof line - used, " %s", table[i].name);
        if (n < 0 || (size_t)n >= sizeof line - used) break;
        used += (size_t)n;
    }
    wn__say(t, "kernels %s", line);
}

static wn_status say_memory(wn__trainer *t) {
    wn__model_spec spec;
    wn__model_memory m;
    wn__setup_spec(t, &spec);
    WN_TRY(wn__model_measure(&spec, t->runtime, &m));
    size_t total = m.weights + m.gradients + m.moments + m.activations + m.workspace;
    wn__say(t,
            "memory   %.1f MiB: weights %.1f, gradients %.1f, moments %.1f, activations %.1f, "
            "workspace %.1f (MiB)",
            MIB(total), MIB(m.weights), MIB(m.gradients), MIB(m.moments), MIB(m.activations),
            MIB(m.workspace));
    if (total > wn__memory_total())
        wn__say(t, "note: that is more than the %.1f MiB of this machine", MIB(wn__memory_total()));
    return WN_OK;
}

wn_status wn__report_plan(wn__trainer *t) {
    say_machine(t);
    say_data(t);
    say_model(t);
    say_updates(t);
    return say_memory(t);
}

wn_status wn__report_model(wn__trainer *t) {
    WN_TRY(say_layers(t));
    say_sparsity(t);
    say_kernels(t);
    t->peak = wn__peak_flops(&t->runtime->exec);
    wn__say(
        t,
        "peak     %.1f GFLOP/s in multiply-adds, measured on these threads; mfu is a share of it",
        t->peak / 1e9);
    if (t->step > 0) wn__say(t, "resume   from step %" PRId64, t->step);
    return WN_OK;
}
