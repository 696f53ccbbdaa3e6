// SPDX-License-Identifier: MIT
// Learning rates as pure functions of the update number.
#include "base/fail.h"
#include "optim/optim.h"
#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846264338328

static const char *const names[] = {[WN_SCHEDULE_COSINE] = "cosine",
                                    [WN_SCHEDULE_WSD] = "wsd",
                                    [WN_SCHEDULE_LINEAR] = "linear",
                                    [WN_SCHEDULE_CONSTANT] = "constant",
                                    [WN_SCHEDULE_COSINE_RESTART] = "cosine_restart",
                                    [WN_SCHEDULE_COSINE_RESTART_ZERO] = "cosine_restart_zero",
                                    [WN_SCHEDULE_COSINE_CYCLE] = "cosine_cycle",
                                    [WN_SCHEDULE_LINEAR_ZERO] = "linear_zero"};

static double clamp01(double x) {
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

// Share of the final decay that update u has behind it: 1/decay at its first, 1 at the last update.
static double decay_progress(const wn__schedule *s, int64_t u) {
    if (s->decay <= 0) return 0;
    return clamp01((double)(u - (s->steps - s->decay) + 1) / (double)s->decay);
}

static double progress(const wn__schedule *s, int64_t u) {
    int64_t span = s->steps - 1 - s->warmup;
    return clamp01((double)(u - s->warmup) / (double)(span > 1 ? span : 1));
}

static int64_t at_least_1(int64_t n) {
    return n > 1 ? n : 1;
}

static double share(int64_t a, int64_t b) {
    return (double)a / (double)b;
}

static double half_cosine(double p) {
    return (1 + cos(PI * p)) / 2;
}

// Quotient and remainder towards minus infinity, as Python's // and %: u + adjust may be negative.
static int64_t floored(int64_t a, int64_t b, int64_t *rest) {
    int64_t q = a / b - (a % b < 0);
    *rest = a - q * b;
    return q;
}

static bool from_zero(const wn__schedule *s) {
    return s->kind == WN_SCHEDULE_COSINE_RESTART_ZERO;
}

// Update q of a restart: up to `top`, from almost nothing, or from a tenth of it.
static double climb(const wn__schedule *s, int64_t q, double top) {
    double low = from_zero(s) ? 0.1 * top : 1e-6;
    return share(q, s->restart_warmup) * (top - low) + low;
}

// Warm-up of the restarts: linear to where a cosine shifted by `adjust` begins.
static double restart_warming(const wn__schedule *s, int64_t u) {
    double least = from_zero(s) ? 0 : s->min_ratio;
    double rise = half_cosine(share(-s->adjust, at_least_1(s->steps - s->warmup))) - least;
    int64_t q, n = floored(u, at_least_1(s->restart_every), &q);
    if (q >= s->restart_warmup || n == 0 || s->restart_after_warmup)
        return share(u, s->warmup) * rise + least;
    return climb(s, q, share(n * s->restart_every, s->warmup) * rise + least);
}

static double restart_cosine(const wn__schedule *s, int64_t u) {
    int64_t span = at_least_1(s->steps - s->warmup), k = u + s->adjust;
    int64_t q, n = floored(k, at_least_1(s->restart_every), &q);
    bool restarts = q < s->restart_warmup && (from_zero(s) ? n != 0 : n > 0);
    int64_t at = restarts ? n * s->restart_every : k;
    double cosine = s->min_ratio + (1 - s->min_ratio) * half_cosine(share(at - s->warmup, span));
    return restarts ? climb(s, q, cosine) : cosine;
}

// Each cycle warms up from 0; the later ones stand almost still in their first two updates.
static double cycle(const wn__schedule *s, int64_t u) {
    int64_t length = s->restart_every > 0 ? s->restart_every : at_least_1(s->steps);
    int64_t at = u % length;
    if (at < s->warmup && u != at && at < 2) return 1e-7;
    if (at < s->warmup) return share(at, s->warmup);
    double fall = half_cosine(share(at - s->warmup, at_least_1(length - s->warmup)));
    return s->min_ratio + (1 - s->min_ratio) * fall;
}

static double linear_zero(const wn__schedule *s, int64_t u) {
    if (u < s->warmup) return share(u, s->warmup);
    return clamp01(share(s->steps - u, at_least_1(s->steps - s->warmup)));
}

// Share of the peak after the warm-up.
static double plain(const wn__schedule *s, int64_t u) {
    double fall = 1 - s->min_ratio;
    switch (s->kind) {
    case WN_SCHEDULE_COSINE:
        return s->min_ratio + fall * (1 + cos(PI * progress(s, u))) / 2;
    case WN_SCHEDULE_LINEAR:
        return 1 - fall * progress(s, u);
    case WN_SCHEDULE_WSD:
        return 1 - fall * decay_progress(s, u);
    default:
        return 1;
    }
}

double wn__schedule_lr(const wn__schedule *s, int64_t u) {
    switch (s->kind) {
    case WN_SCHEDULE_COSINE_RESTART:
    case WN_SCHEDULE_COSINE_RESTART_ZERO:
        return s->lr * (u < s->warmup ? restart_warming(s, u) : restart_cosine(s, u));
    case WN_SCHEDULE_COSINE_CYCLE:
        return s->lr * cycle(s, u);
    case WN_SCHEDULE_LINEAR_ZERO:
        return s->lr * linear_zero(s, u);
    default:
        if (u < s->warmup) return s->lr * (double)(u + 1) / (double)(s->warmup + 1);
        return s->lr * plain(s, u);
    }
}

wn_status wn__schedule_parse(const char *text, wn__schedule_kind *out) {
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *out = (wn__schedule_kind)i;
        return WN_OK;
    }
    return wn__fail(WN_INVALID,
                    "schedule '%s' is unknown; legal: cosine, wsd, linear, constant, "
                    "cosine_restart, cosine_restart_zero, cosine_cycle, linear_zero",
                    text);
}
