// SPDX-License-Identifier: MIT
// Ranges of options, the words some of them are, and what stands for "what suits the others".
#include "base/fail.h"
#include "nn/lowrank_init.h"
#include "train/options.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static wn_status at_least(const char *name, int64_t v, int64_t least) {
    if (v >= least) return WN_OK;
    return wn__fail(WN_INVALID, "%s is %" PRId64 ", expected at least %" PRId64, name, v, least);
}

// low <= v <= high, NaN refused.
static wn_status within(const char *name, double v, double low, double high) {
    if (v >= low && v <= high) return WN_OK;
    return wn__fail(WN_INVALID, "%s is %g, expected %g to %g", name, v, low, high);
}

static wn_status below_one(const char *name, double v) {
    if (v >= 0 && v < 1) return WN_OK;
    return wn__fail(WN_INVALID, "%s is %g, expected at least 0 and less than 1", name, v);
}

typedef struct count {
    const char *name;
    int64_t value, least;
} count;

static wn_status check_list(const count *c, size_t n) {
    for (size_t i = 0; i < n; i++)
        WN_TRY(at_least(c[i].name, c[i].value, c[i].least));
    return WN_OK;
}

static wn_status check_counts(const wn_train_options *o) {
    const count counts[] = {{"seq_len", o->seq_len, 1},
                            {"batch_size", o->batch_size, 1},
                            {"grad_accum", o->grad_accum, 1},
                            {"steps", o->steps, 0},
                            {"warmup", o->warmup, 0},
                            {"wsd_decay", o->wsd_decay, 0},
                            {"restart_every", o->restart_every, 0},
                            {"restart_warmup", o->restart_warmup, 0},
                            {"log_every", o->log_every, 0},
                            {"eval_every", o->eval_every, 0},
                            {"eval_batches", o->eval_batches, 0},
                            {"eval_tokens", o->eval_tokens, 0},
                            {"sample_every", o->sample_every, 0},
                            {"sample_tokens", o->sample_tokens, 0},
                            {"save_every", o->save_every, 0},
                            {"keep", o->keep, 1}};
    WN_TRY(check_list(counts, sizeof counts / sizeof *counts));
    if (o->batch_size <= INT32_MAX / o->seq_len && o->grad_accum <= INT32_MAX) return WN_OK;
    return wn__fail(WN_INVALID,
                    "batch_size %" PRId64 " times seq_len %" PRId64 " exceeds %d tokens",
                    o->batch_size, o->seq_len, INT32_MAX);
}

static wn_status check_method_counts(const wn_train_options *o) {
    const count counts[] = {{"round_intermediate", o->round_intermediate, 1},
                            {"mask_every", o->mask_every, 1},
                            {"mask_freeze_after", o->mask_freeze_after, 0},
                            {"mask_dense_after", o->mask_dense_after, 0},
                            {"act_warmup", o->act_warmup, 0},
                            {"act_every", o->act_every, 1},
                            {"act_samples", o->act_samples, 1},
                            {"exact_every", o->exact_every, 0},
                            {"refresh_every", o->refresh_every, 0},
                            {"moment_reset_every", o->moment_reset_every, 0},
                            {"galore_rank", o->galore_rank, 1},
                            {"galore_gap", o->galore_gap, 1}};
    return check_list(counts, sizeof counts / sizeof *counts);
}

static wn_status check_reals(const wn_train_options *o) {
    const struct {
        const char *name;
        double value, low, high;
    } reals[] = {{"lr", o->lr, 0, 1e3},
                 {"min_lr_ratio", o->min_lr_ratio, 0, 1},
                 {"weight_decay", o->weight_decay, 0, 1e3},
                 {"clip_norm", o->clip_norm, 0, 1e9},
                 {"lr_scaler", o->lr_scaler, -1e9, 1e3},
                 {"galore_scale", o->galore_scale, 0, 1e6},
                 {"mask_decay", o->mask_decay, 0, 1e3},
                 {"act_dense", o->act_dense, 0, 1},
                 {"eval_fraction", o->eval_fraction, 0, 0.9},
                 {"distill_weight", o->distill_weight, 0, 1},
                 {"distill_temperature", o->distill_temperature, 0.01, 1000},
                 {"max_seconds", o->max_seconds, 0, 1e12}};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        WN_TRY(within(reals[i].name, reals[i].value, reals[i].low, reals[i].high));
    WN_TRY(below_one("beta1", o->beta1));
    WN_TRY(below_one("momentum", o->momentum));
    if (!(o->beta2 < 0)) WN_TRY(below_one("beta2", o->beta2));
    return o->eps < 0 ? WN_OK : within("eps", o->eps, 0, 1);
}

/* Words. */

#define WORDS 8

// The place of `value` among the words; INVALID lists them.
static wn_status word(const char *name, const char *value, const char *const words[WORDS],
                      int *out) {
    char list[200] = "";
    size_t used = 0;
    for (int i = 0; i < WORDS && words[i] != NULL; i++) {
        *out = i;
        if (value != NULL && strcmp(value, words[i]) == 0) return WN_OK;
        int n = snprintf(list + used, sizeof list - used, "%s'%s'", i > 0 ? ", " : "", words[i]);
        used += n > 0 && (size_t)n < sizeof list - used ? (size_t)n : 0;
    }
    return wn__fail(WN_INVALID, "%s is '%s', expected one of %s", name, value != NULL ? value : "",
                    list);
}

static const char *const mlp_words[WORDS] = {"swiglu", "relu2", "relu"};
static const char *const dtype_words[WORDS] = {"float32", "bfloat16"};
static const char *const scale_words[WORDS] = {"frozen", "exact"};
static const char *const backward_words[WORDS] = {"split", "direct", "dense"};
static const char *const core_words[WORDS] = {"paper", "symmetric"};
static const char *const gauge_words[WORDS] = {"none", "fix"};
static const char *const refresh_words[WORDS] = {"none", "reg", "lrk", "all"};
static const char *const galore_words[WORDS] = {"std", "reverse_std", "left", "right", "full"};

static wn_status structure_words(const wn_train_options *o, wn__structure *s) {
    int rule, backward;
    wn__lowrank_init init;
    WN_TRY(word("scale_rule", o->scale_rule, scale_words, &rule));
    WN_TRY(word("act_backward", o->act_backward, backward_words, &backward));
    WN_TRY(wn__lowrank_init_parse(o->lowrank_init, &init));
    *s = wn__structure_defaults();
    s->mask_every = o->mask_every;
    s->freeze_after = o->mask_freeze_after;
    s->dense_after = o->mask_dense_after;
    s->decay = o->mask_decay;
    s->scale_norm = o->scale_norm;
    s->scale_rule = rule == 0 ? WN_SCALE_FROZEN : WN_SCALE_AT_EXACT;
    s->fp8 = o->fp8;
    s->init = o->lowrank_init;
    s->backward = backward == 0 ? WN_ACT24_SPLIT : backward == 1 ? WN_ACT24_DIRECT : WN_ACT24_DENSE;
    s->permute = o->act_permute;
    s->act_warmup = o->act_warmup;
    s->act_dense = o->act_dense;
    s->act_every = o->act_every;
    s->act_samples = o->act_samples;
    return WN_OK;
}

static wn_status optimizer_words(const wn_train_options *o, wn__optimizer_options *out) {
    static const wn__refresh refreshes[] = {WN_REFRESH_NONE, WN_REFRESH_REGULAR, WN_REFRESH_LOWRANK,
                                            WN_REFRESH_ALL};
    int core, gauge, refresh, galore;
    *out = (wn__optimizer_options){.beta1 = o->beta1,
                                   .beta2 = o->beta2,
                                   .eps = o->eps,
                                   .weight_decay = o->weight_decay,
                                   .momentum = o->momentum,
                                   .exact_every = o->exact_every,
                                   .lr_scaler = o->lr_scaler,
                                   .refresh_every = o->refresh_every,
                                   .reset_every = o->moment_reset_every,
                                   .galore_rank = o->galore_rank,
                                   .galore_gap = o->galore_gap,
                                   .galore_scale = o->galore_scale,
                                   .galore_type = o->galore_type};
    WN_TRY(wn__optimizer_parse(o->optimizer != NULL ? o->optimizer : "", &out->kind));
    WN_TRY(word("exact_core", o->exact_core, core_words, &core));
    WN_TRY(word("exact_gauge", o->exact_gauge, gauge_words, &gauge));
    WN_TRY(word("refresh", o->refresh, refresh_words, &refresh));
    WN_TRY(word("galore_type", o->galore_type, galore_words, &galore));
    out->exact =
        (wn__exact_options){.symmetric = core == 1, .gauge = gauge == 1, .least_ratio = 1e-6};
    out->refresh = refreshes[refresh];
    return WN_OK;
}

static wn_status schedule_words(const wn_train_options *o, wn__schedule *out) {
    *out = (wn__schedule){.lr = o->lr,
                          .min_ratio = o->min_lr_ratio,
                          .warmup = o->warmup,
                          .steps = o->steps,
                          .decay = o->wsd_decay > 0 ? o->wsd_decay : o->steps / 5,
                          .restart_every = o->restart_every,
                          .restart_warmup = o->restart_warmup,
                          .adjust = o->lr_adjust,
                          .restart_after_warmup = o->restart_after_warmup};
    if (o->schedule == NULL) return wn__fail(WN_INVALID, "schedule: none was given");
    WN_TRY(wn__schedule_parse(o->schedule, &out->kind));
    bool restarts =
        out->kind == WN_SCHEDULE_COSINE_RESTART || out->kind == WN_SCHEDULE_COSINE_RESTART_ZERO;
    if (!restarts || o->restart_every > 0) return WN_OK;
    return wn__fail(WN_INVALID, "restart_every is 0, expected at least 1 with schedule '%s'",
                    o->schedule);
}

wn_status wn__options_words(const wn_train_options *o, wn__words *out) {
    WN_TRY(structure_words(o, &out->structure));
    WN_TRY(optimizer_words(o, &out->optimizer));
    return schedule_words(o, &out->schedule);
}

wn_status wn__options_check(const wn_train_options *o) {
    wn__words words;
    int which;
    if ((o->out == NULL || o->out[0] == '\0') && (!o->dry_run || o->resume))
        return wn__fail(WN_INVALID, "out: no run directory was given");
    WN_TRY(check_counts(o));
    WN_TRY(check_method_counts(o));
    WN_TRY(check_reals(o));
    if (o->mlp != NULL && o->mlp[0] != '\0') WN_TRY(word("mlp", o->mlp, mlp_words, &which));
    WN_TRY(word("dtype", o->dtype, dtype_words, &which));
    WN_TRY(wn__options_words(o, &words));
    if (words.optimizer.refresh == WN_REFRESH_NONE || o->refresh_every > 0 || o->exact_every > 0)
        return WN_OK;
    return wn__fail(WN_INVALID,
                    "refresh_every is 0 and so is exact_every, expected at least 1 "
                    "with refresh '%s'",
                    o->refresh);
}

/* What suits the others. */

void wn__options_settle(wn_train_options *o) {
    wn__optimizer_kind kind;
    bool known = o->optimizer != NULL && wn__optimizer_parse(o->optimizer, &kind) == WN_OK;
    bool published =
        known && (kind == WN_OPTIMIZER_LORO_ADAMW || kind == WN_OPTIMIZER_GALORE_ADAMW);
    if (o->beta2 < 0) o->beta2 = published ? 0.999 : 0.95;
    if (o->eps < 0) o->eps = published ? 1e-6 : 1e-8;
    bool refreshes = o->refresh != NULL && strcmp(o->refresh, "none") != 0;
    if (refreshes && o->refresh_every == 0) o->refresh_every = o->exact_every;
}
