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

static void emit(const wn__trainer *t, wn_train_event *e) {
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
    emit(t, &e);
}

// Resident bytes now; the peak where /proc is missing.
static uint64_t resident(void) {
    unsigned long long total, pages;
    FILE *f = fopen("/proc/self/statm", "re");
    int read = f != NULL ? fscanf(f, "%llu %llu", &total, &pages) : 0;
    if (f != NULL) (void)fclose(f);
    return read == 2 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) : wn__memory_peak();
}

// Rates are means since the last line, so that one slow update does not spoil them.
static void set_rates(wn__trainer *t, wn_train_event *e) {
    double seconds = t->train_seconds - t->logged_seconds, executed, dense;
    int64_t tokens = t->tokens_seen - t->logged_tokens, updates;
    wn__model_flops(t->model, t->o.seq_len, true, &executed, &dense);
    updates = t->o.batch_size * t->o.seq_len * t->o.grad_accum;
    if (seconds > 0) {
        e->tokens_per_second = (double)tokens / seconds;
        e->gflops = e->tokens_per_second * executed / 1e9;
        if (t->peak > 0) e->mfu = e->gflops * 1e9 / t->peak;
        e->eta = (double)(t->o.steps - t->step) * (double)updates / e->tokens_per_second;
    }
    t->logged_seconds = t->train_seconds;
    t->logged_tokens = t->tokens_seen;
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
    emit(t, &e);
    return wn__metrics_write(&t->metrics, "step", m, COUNT(m));
}

// Shares of changed positions over all masks and at the extremes; false when no layer made a new
// mask.
static bool collect_flips(const wn__trainer *t, wn_train_event *e) {
    int64_t flips = 0, positions = 0;
    for (size_t i = 0; i < wn__model_linear_count(t->model); i++) {
        const wn__linear *l = wn__model_linear(t->model, i);
        if (l->flips < 0 || l->positions <= 0) continue;
        double share = (double)l->flips / (double)l->positions;
        if (positions == 0 || share < e->flips_min) {
            e->flips_min = share;
            e->min_layer = l->name;
        }
        if (positions == 0 || share > e->flips_max) {
            e->flips_max = share;
            e->max_layer = l->name;
        }
        flips += l->flips;
        positions += l->positions;
    }
    if (positions > 0) e->flips = (double)flips / (double)positions;
    return positions > 0;
}

wn_status wn__report_masks(wn__trainer *t) {
    wn_train_event e = {.kind = WN_EVENT_MASK};
    if (!collect_flips(t, &e)) return WN_OK;
    emit(t, &e);
    const wn__metric m[] = {
        {"step", (double)t->step, NULL},     {"tokens", (double)t->tokens_seen, NULL},
        {"seconds", t->train_seconds, NULL}, {"flips", e.flips, NULL},
        {"flips_min", e.flips_min, NULL},    {"flips_max", e.flips_max, NULL},
        {"min_layer", 0, e.min_layer},       {"max_layer", 0, e.max_layer}};
    return wn__metrics_write(&t->metrics, "mask", m, COUNT(m));
}

wn_status wn__report_eval(wn__trainer *t, const wn__evaluation *v, double seconds) {
    double loss = wn__evaluation_loss(v);
    wn_train_event e = {.kind = WN_EVENT_EVAL,
                        .loss = loss,
                        .perplexity = exp(loss),
                        .bits_per_byte = wn__evaluation_bits_per_byte(v),
                        .batches = v->batches,
                        .seconds = seconds};
    emit(t, &e);
    const wn__metric m[] = {{"step", (double)t->step, NULL},
                            {"tokens", (double)t->tokens_seen, NULL},
                            {"seconds", t->train_seconds, NULL},
                            {"loss", e.loss, NULL},
                            {"perplexity", e.perplexity, NULL},
                            {"bits_per_byte", v->bytes > 0 ? e.bits_per_byte : NAN, NULL},
                            {"batches", (double)v->batches, NULL},
                            {"labels", (double)v->labels, NULL},
                            {"eval_seconds", seconds, NULL}};
    return wn__metrics_write(&t->metrics, "eval", m, COUNT(m));
}

void wn__report_sample(wn__trainer *t, const char *text) {
    wn_train_event e = {.kind = WN_EVENT_SAMPLE, .text = text};
    emit(t, &e);
}

wn_status wn__report_save(wn__trainer *t, const char *dir, uint64_t bytes, double seconds) {
    wn_train_event e = {.kind = WN_EVENT_SAVE, .text = dir, .bytes = bytes, .seconds = seconds};
    emit(t, &e);
    const wn__metric m[] = {{"step", (double)t->step, NULL},
                            {"tokens", (double)t->tokens_seen, NULL},
                            {"seconds", t->train_seconds, NULL},
                            {"bytes", (double)bytes, NULL},
                            {"save_seconds", seconds, NULL}};
    return wn__metrics_write(&t->metrics, "save", m, COUNT(m));
}
