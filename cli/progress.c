// SPDX-License-Identifier: MIT
/* See progress.h. */
#include "progress.h"
#include "command.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void progress_begin(progress *p, bool quiet) {
    *p = (progress){.terminal = isatty(STDERR_FILENO), .quiet = quiet};
}

void progress_end(progress *p) {
    if (p->open) fputc('\n', stderr);
    p->open = false;
}

static void step_line(progress *p, const wn_train_event *e) {
    char rate[32], memory[32], eta[32], mfu[32] = "";
    int percent = e->steps > 0 ? (int)(100 * e->step / e->steps) : 100;
    if (e->mfu > 0) snprintf(mfu, sizeof mfu, " | mfu %.1f%%", 100 * e->mfu);
    fprintf(
        stderr,
        "%sstep %lld/%lld %d%% | loss %.4f | gnorm %.2f | lr %.1e | %.0f ms | %s tok/s%s | %s | "
        "eta %s",
        p->terminal ? "\r\033[K" : "", (long long)e->step, (long long)e->steps, percent, e->loss,
        e->gnorm, e->lr, 1e3 * e->seconds, count_text(e->tokens_per_second, rate, sizeof rate), mfu,
        bytes_text((double)e->memory, memory, sizeof memory), time_text(e->eta, eta, sizeof eta));
    p->open = true;
    if (!p->terminal) progress_end(p);
    fflush(stderr);
}

static void eval_line(const wn_train_event *e) {
    fprintf(stderr, "eval %lld | loss %.4f ppl %.2f", (long long)e->step, e->loss, e->perplexity);
    if (e->bits_per_byte > 0) fprintf(stderr, " bpb %.4f", e->bits_per_byte);
    if (e->compat_loss > 0)
        fprintf(stderr, " | compat loss %.4f ppl %.2f", e->compat_loss, exp(e->compat_loss));
    fprintf(stderr, " | %lld batches %.1f s\n", (long long)e->batches, e->seconds);
}

static void mask_line(const wn_train_event *e) {
    fprintf(stderr, "mask %lld | 2:4 flips %.3f%% | min %s %.3f%% | max %s %.3f%%\n",
            (long long)e->step, 100 * e->flips, e->min_layer ? e->min_layer : "-",
            100 * e->flips_min, e->max_layer ? e->max_layer : "-", 100 * e->flips_max);
}

static void exact_line(const wn_train_event *e) {
    fprintf(stderr, "exact %lld | %lld pairs | loss %.4f -> %.4f | moved %.3g | %lld fell back\n",
            (long long)e->step, (long long)e->exact, e->loss_before, e->loss, e->moved,
            (long long)e->fell_back);
}

static void act_line(const wn_train_event *e) {
    fprintf(stderr, "act %lld | zeros %.2f%% | min %s %.2f%% | max %s %.2f%% | dropped %.3f%%\n",
            (long long)e->step, 100 * e->zeros, e->min_layer ? e->min_layer : "-",
            100 * e->zeros_min, e->max_layer ? e->max_layer : "-", 100 * e->zeros_max,
            100 * e->dropped);
}

void progress_event(progress *p, const wn_train_event *e) {
    char size[32];
    if (p->quiet) return;
    if (e->kind == WN_EVENT_STEP) {
        step_line(p, e);
        return;
    }
    progress_end(p);
    switch (e->kind) {
    case WN_EVENT_TEXT:
        fprintf(stderr, "%s\n", e->text);
        break;
    case WN_EVENT_EVAL:
        eval_line(e);
        break;
    case WN_EVENT_MASK:
        mask_line(e);
        break;
    case WN_EVENT_EXACT:
        exact_line(e);
        break;
    case WN_EVENT_ACT:
        act_line(e);
        break;
    case WN_EVENT_SAMPLE:
        fprintf(stderr, "sample %lld | %s\n", (long long)e->step, e->text);
        break;
    case WN_EVENT_SAVE:
        fprintf(stderr, "save %lld | %s (%s, %.1f s) latest\n", (long long)e->step, e->text,
                bytes_text((double)e->bytes, size, sizeof size), e->seconds);
        break;
    default:
        break;
    }
}
