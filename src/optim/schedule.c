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
                                    [WN_SCHEDULE_CONSTANT] = "constant"};

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

double wn__schedule_lr(const wn__schedule *s, int64_t u) {
    if (u < s->warmup) return s->lr * (double)(u + 1) / (double)(s->warmup + 1);
    double fall = 1 - s->min_ratio;
    switch (s->kind) {
    case WN_SCHEDULE_COSINE:
        return s->lr * (s->min_ratio + fall * (1 + cos(PI * progress(s, u))) / 2);
    case WN_SCHEDULE_LINEAR:
        return s->lr * (1 - fall * progress(s, u));
    case WN_SCHEDULE_WSD:
        return s->lr * (1 - fall * decay_progress(s, u));
    case WN_SCHEDULE_CONSTANT:
        return s->lr;
    }
    return s->lr;
}

wn_status wn__schedule_parse(const char *text, wn__schedule_kind *out) {
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *out = (wn__schedule_kind)i;
        return WN_OK;
    }
    return wn__fail(WN_INVALID, "schedule '%s' is unknown; legal: cosine, wsd, linear, constant",
                    text);
}
