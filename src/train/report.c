// SPDX-License-Identifier: MIT
// What a run says of itself as it goes: each event to the callback and, with the same values, to
// metrics.jsonl.
#include "base/cpu.h"
#include "base/fail.h"
#include "train/trainer.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

void wn__emit(const wn__trainer *t, wn_train_event *e) {
    e->step = t->step;
    e->steps = t->o.steps;
    if (t->fn != NULL) t->fn(t->ctx, e);
}

void wn__say(wn__trainer *t, const char *fmt, ...) {
    char line[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    wn_train_event e = {.kind = WN_EVENT_TEXT, .text = line};
    wn__emit(t, &e);
}

// Resident bytes now; the peak where /proc is missing.
static uint64_t resident(void) {
    unsigned long long total, pages;
    FILE *f = fopen("/proc/self/statm", "re");
    int read = f != NULL ? fscanf(f, "%llu %llu", &total, &pages) : 0;
    if (f != NULL) (void)fclose(f);
    return read == 2 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) : wn__memory_peak();
}

// Rates are means since the last line, so that one slow update does not spoil them. Tokens are
// labels; FLOPs are of all positions, the filling of short samples too.
static void set_rates(wn__trainer *t, wn_train_event *e) {
    double seconds = t->train_seconds - t->logged_seconds, executed, dense;
    double updates = (double)(t->step - t->logged_step);
    double positions = (double)(t->o.batch_size * t->o.seq_len * t->o.grad_accum);
    wn__model_flops(t->model, t->o.seq_len, true, &executed, &dense);
    if (seconds > 0) {
        e->tokens_per_second = (double)(t->tokens_seen - t->logged_tokens) / seconds;
        e->gflops = updates * positions * executed / seconds / 1e9;
        if (t->peak > 0) e->mfu = e->gflops * 1e9 / t->peak;
        if (updates > 0) e->eta = (double)(t->o.steps - t->step) * seconds / updates;
    }
    t->logged_seconds = t->train_seconds;
    t->logged_tokens = t->tokens_seen;
    t->logged_step = t->step;
}

wn_status wn__report_step(wn__trainer *t) {
    const wn__update *u = &t->last;
    wn_train_event e = {.kind = WN_EVENT_STEP,
                        .loss = u->loss,
                        .gnorm = u->gnorm,
                        .lr = u->lr,
                        .seconds = u->seconds,
                        .memory = resident()};
    set_rates(t, &e);
    const wn__metric m[] = {{"step", (double)t->step, NULL},
                            {"tokens", (double)t->tokens_seen, NULL},
                            {"seconds", t->train_seconds, NULL},
                            {"loss", e.loss, NULL},
                            {"gnorm", e.gnorm, NULL},
                            {"lr", e.lr, NULL},
                            {"update_seconds", e.seconds, NULL},
                            {"tokens_per_second", e.tokens_per_second, NULL},
                            {"gflops", e.gflops, NULL},
                            {"mfu", e.mfu, NULL},
                            {"memory", (double)e.memory, NULL}};
    wn__emit(t, &e);
    return wn__metrics_write(&t->metrics, "step", m, COUNT(m));
}

wn_status wn__report_exact(wn__trainer *t) {
    const wn__update *u = &t->last;
    wn_train_event e = {.kind = WN_EVENT_EXACT,
                        .exact = u->report.exact,
                        .fell_back = t->exact.fell_back,
                        .loss_before = u->loss_before,
                        .loss = u->loss_after,
                        .moved = u->report.moved};
    wn__emit(t, &e);
    const wn__metric m[] = {{"step", (double)t->step, NULL},
                            {"tokens", (double)t->tokens_seen, NULL},
                            {"seconds", t->train_seconds, NULL},
                            {"pairs", (double)u->report.exact, NULL},
                            {"fell_back", (double)u->report.fell_back, NULL},
                            {"pairs_in_all", (double)t->exact.pairs, NULL},
                            {"fell_back_in_all", (double)t->exact.fell_back, NULL},
                            {"loss_before", u->loss_before, NULL},
                            {"loss", u->loss_after, NULL},
                            {"moved", u->report.moved, NULL},
                            {"condition", u->report.condition, NULL}};
    return wn__metrics_write(&t->metrics, "exact", m, COUNT(m));
}

wn_status wn__report_eval(wn__trainer *t, const wn__evaluation *v, double seconds) {
    double loss = wn__evaluation_loss(v);
    wn_train_event e = {.kind = WN_EVENT_EVAL,
                        .loss = loss,
                        .perplexity = exp(loss),
                        .bits_per_byte = wn__evaluation_bits_per_byte(v),
                        .batches = v->batches,
                        .seconds = seconds};
    if (t->o.galore_compat_eval) e.compat_loss = wn__evaluation_compat_loss(v);
    wn__emit(t, &e);
    const wn__metric m[] = {{"step", (double)t->step, NULL},
                            {"tokens", (double)t->tokens_seen, NULL},
                            {"seconds", t->train_seconds, NULL},
                            {"loss", e.loss, NULL},
                            {"perplexity", e.perplexity, NULL},
                            {"bits_per_byte", v->bytes > 0 ? e.bits_per_byte : NAN, NULL},
                            {"batches", (double)v->batches, NULL},
                            {"labels", (double)v->labels, NULL},
                            {"eval_seconds", seconds, NULL},
                            {"compat_loss", e.compat_loss, NULL},
                            {"compat_perplexity", exp(e.compat_loss), NULL}};
    size_t asked = t->o.galore_compat_eval ? COUNT(m) : COUNT(m) - 2;
    return wn__metrics_write(&t->metrics, "eval", m, asked);
}

void wn__report_sample(wn__trainer *t, const char *text) {
    wn_train_event e = {.kind = WN_EVENT_SAMPLE, .text = text};
    wn__emit(t, &e);
}

wn_status wn__report_save(wn__trainer *t, const char *dir, uint64_t bytes, double seconds) {
    wn_train_event e = {.kind = WN_EVENT_SAVE, .text = dir, .bytes = bytes, .seconds = seconds};
    wn__emit(t, &e);
    const wn__metric m[] = {{"step", (double)t->step, NULL},
                            {"tokens", (double)t->tokens_seen, NULL},
                            {"seconds", t->train_seconds, NULL},
                            {"bytes", (double)bytes, NULL},
                            {"save_seconds", seconds, NULL}};
    return wn__metrics_write(&t->metrics, "save", m, COUNT(m));
}
