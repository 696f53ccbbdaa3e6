// SPDX-License-Identifier: MIT
// The lines at the start of a run: machine, data, model, method, memory, kernels.
#include "base/cpu.h"
#include "base/fail.h"
#include "formats/hf_sparsity.h"
#include "infer/session.h"
#include "kernels/peak.h"
#include "train/trainer.h"
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#define MIB(bytes) ((double)(bytes) / 0x1p20)

static void say_machine(wn__trainer *t) {
    wn__say(t, "winnow %s on %s, %d thread%s, %.1f GiB of memory", wn_version(), wn__cpu_model(),
            wn__pool_threads(t->runtime->pool), wn__pool_threads(t->runtime->pool) == 1 ? "" : "s",
            (double)wn__memory_total() / 0x1p30);
}

static void say_part(wn__trainer *t, const char *what, const wn__part *p) {
    if (p->file == NULL) return;
    if (p->documents) {
        wn__say(t, "%-8s %s", what, wn__source_describe(p->source));
        return;
    }
    wn__say(t, "%-8s %s: %" PRIu64 " tokens%s", what, p->shard.path, p->count,
            p->count < p->shard.info.count ? " of its ids" : "");
}

static void say_tokenizer(wn__trainer *t) {
    char learned[64] = "";
    if (t->tokenizer == NULL) return;
    if (t->learned_bytes > 0)
        (void)snprintf(learned, sizeof learned, ", learned from the first %" PRIu64 " bytes",
                       t->learned_bytes);
    wn__say(t, "tokens   %s, %" PRId32 " ids%s", wn_tokenizer_kind(t->tokenizer),
            wn_tokenizer_vocab_size(t->tokenizer), learned);
    if (t->special_beyond > 0)
        wn__say(t,
                "note: the model has no room for the tokenizer's last %" PRId64
                " ids, which are special and stand in no text",
                t->special_beyond);
}

static void say_data(wn__trainer *t) {
    const char *data = t->o.data;
    if (t->train.file != NULL) {
        say_part(t, "train", &t->train);
        say_part(t, "held out", &t->held);
        if (t->held.file == NULL) wn__say(t, "held out nothing: no evaluation");
    } else if (data == NULL || data[0] == '\0') {
        wn__say(t, "data     none, for a dry run");
    } else {
        wn__say(t, "data     %s (%s; a dry run does not encode it)", data,
                wn_documents_named(data) ? "documents" : "text");
    }
    say_tokenizer(t);
}

// A named configuration, and what became of its width in an MLP without a gate.
static void say_configuration(wn__trainer *t) {
    char width[128] = "";
    if (!wn__has_config(&t->o)) return;
    if (t->gated_width > 0)
        (void)snprintf(width, sizeof width,
                       "; without a gate 1.5 x its intermediate size: %" PRId64 " -> %" PRId64,
                       t->gated_width * 3 / 2, t->config.intermediate_size);
    wn__say(t, "shape    %s%s", t->o.model_config, width);
}

// Weights that were pruned stay so only in layers that have a structure here too.
static void say_pruned(wn__trainer *t) {
    wn__hf_sparsity s;
    size_t dense = 0;
    if (t->init_dir[0] == '\0') return;
    wn__say(t, "         begun from %s", t->init_dir);
    if (wn__hf_sparsity_read(t->init_dir, &t->config, &s) != WN_OK) return;
    for (size_t i = 0; i < s.weights; i++)
        dense += wn__structure_of(&t->rules, s.weight[i].layer).kind == WN_STRUCTURE_DENSE;
    if (dense > 0)
        wn__say(t,
                "note: %zu of the %zu layers that are 2:4 there are dense here: training fills "
                "their zeros (--sparsity '*_proj=2:4:%s' keeps two of four)",
                dense, s.weights, s.weight[0].method);
    wn__hf_sparsity_free(&s);
}

static void say_model(wn__trainer *t) {
    const wn__model_config *c = &t->config;
    say_configuration(t);
    wn__say(t,
            "model    %s, %" PRId64 " parameters: %" PRId64 " layers, hidden %" PRId64
            ", intermediate %" PRId64 " (%s), %" PRId64 " heads, %" PRId64
            " key/value heads, vocabulary %" PRId64 "%s",
            wn__architecture(c), wn__model_config_params(c), c->layers, c->hidden_size,
            c->intermediate_size, wn__mlp_word(c->mlp), c->heads, c->kv_heads, c->vocab_size,
            c->tied ? ", tied embeddings" : "");
    say_pruned(t);
}

// Exact steps, and a refresh of the factors alone, need layers with factors.
static bool has_factors(const wn__trainer *t) {
    for (size_t i = 0; i < t->rules.count; i++) {
        wn__structure_kind kind = t->rules.rule[i].structure.kind;
        if (kind == WN_STRUCTURE_LOWRANK || kind == WN_STRUCTURE_ADAPTER) return true;
    }
    return false;
}

static void say_method(wn__trainer *t) {
    const wn_train_options *o = &t->o;
    const wn__optimizer_options *p = &t->words.optimizer;
    char exact[128] = "", refresh[64] = "";
    bool factors = has_factors(t);
    if (p->kind == WN_OPTIMIZER_LORO_ADAMW && o->exact_every > 0 && factors)
        (void)snprintf(exact, sizeof exact, ", exact step every %" PRId64 " (core %s, gauge %s)",
                       o->exact_every, o->exact_core, o->exact_gauge);
    if (p->refresh != WN_REFRESH_NONE && (factors || p->refresh != WN_REFRESH_LOWRANK))
        (void)snprintf(refresh, sizeof refresh, ", refresh %s every %" PRId64, o->refresh,
                       o->refresh_every);
    wn__say(t, "method   %s%s%s, %s%s%s", wn__optimizer_name(p->kind), exact, refresh, o->dtype,
            o->fp8 ? ", products in simulated FP8" : "",
            o->recompute ? ", activations computed twice" : "");
}

static void say_teacher(wn__trainer *t) {
    const wn_train_options *o = &t->o;
    if (o->teacher == NULL || o->teacher[0] == '\0') return;
    wn__say(t, "teacher  %s: %g of the loss, at temperature %g", o->teacher, o->distill_weight,
            o->distill_temperature);
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
    say_method(t);
    say_teacher(t);
    return say_memory(t);
}

// The processor's, so measured once a process for each number of threads; it takes an eighth of a
// second.
static double peak_of(wn__exec *x) {
    enum { KNOWN = 65 };
    static _Atomic double known[KNOWN]; // 0: not yet
    const int threads = wn__pool_threads(x->pool);
    if (threads >= KNOWN) return wn__peak_flops(x);
    double flops = atomic_load(&known[threads]);
    if (flops > 0) return flops;
    flops = wn__peak_flops(x);
    atomic_store(&known[threads], flops);
    return flops;
}

wn_status wn__report_model(wn__trainer *t) {
    WN_TRY(wn__report_layers(t));
    wn__report_idle(t);
    say_kernels(t);
    t->peak = peak_of(&t->runtime->exec);
    wn__say(
        t,
        "peak     %.1f GFLOP/s in multiply-adds, measured on these threads; mfu is a share of it",
        t->peak / 1e9);
    if (t->step > 0) wn__say(t, "resume   from step %" PRId64, t->step);
    return WN_OK;
}
