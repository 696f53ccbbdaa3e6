// SPDX-License-Identifier: MIT
// What all optimizers share: names, states and their list, counts of updates, and setting moments
// back. The kinds are rules in files of their own.
#include "base/fail.h"
#include "kernels/elementwise.h"
#include "kernels/numeric.h"
#include "optim/internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const wn__optimizer_rule *const rules[] = {
    [WN_OPTIMIZER_ADAMW] = &wn__rule_adamw,
    [WN_OPTIMIZER_ADAM] = &wn__rule_adam,
    [WN_OPTIMIZER_SGD] = &wn__rule_sgd,
    [WN_OPTIMIZER_ADAFACTOR] = &wn__rule_adafactor,
    [WN_OPTIMIZER_ADAM8BIT] = &wn__rule_adam8bit,
    [WN_OPTIMIZER_GALORE_ADAMW] = &wn__rule_galore_adamw,
    [WN_OPTIMIZER_LORO_ADAMW] = &wn__rule_loro_adamw,
};
#define RULES (sizeof rules / sizeof rules[0])

wn_status wn__optimizer_parse(const char *text, wn__optimizer_kind *out) {
    for (size_t i = 0; i < RULES; i++) {
        if (strcasecmp(text, rules[i]->name) != 0) continue;
        *out = (wn__optimizer_kind)i;
        return WN_OK;
    }
    return wn__fail(WN_INVALID,
                    "optimizer '%s' is unknown; legal: adamw, adam, sgd, adafactor, adam8bit, "
                    "galore_adamw, loro_adamw",
                    text);
}

const char *wn__optimizer_name(wn__optimizer_kind kind) {
    return rules[kind]->name;
}

static wn_status check_moments(const wn__optimizer_options *o) {
    if (!(o->beta1 >= 0 && o->beta1 < 1) || !(o->beta2 >= 0 && o->beta2 < 1))
        return wn__fail(WN_INVALID, "beta1 = %g and beta2 = %g must be in [0, 1)", o->beta1,
                        o->beta2);
    if (!(o->eps >= 0) || !(o->weight_decay >= 0))
        return wn__fail(WN_INVALID, "eps = %g and weight_decay = %g must not be negative", o->eps,
                        o->weight_decay);
    return WN_OK;
}

static wn_status check_periods(const wn__optimizer_options *o) {
    if (o->refresh_every < 0 || o->reset_every < 0)
        return wn__fail(WN_INVALID,
                        "moments back to zero every %lld or %lld updates; 0 (never) or more",
                        (long long)o->refresh_every, (long long)o->reset_every);
    if (o->refresh != WN_REFRESH_NONE && o->refresh_every == 0)
        return wn__fail(WN_INVALID, "a refresh of moments needs a number of updates between two");
    return WN_OK;
}

wn_status wn__optimizer_create(const wn__optimizer_options *options, wn__optimizer **out) {
    *out = NULL;
    if ((size_t)options->kind >= RULES)
        return wn__fail(WN_INVALID, "optimizer number %d does not exist", (int)options->kind);
    const wn__optimizer_rule *rule = rules[options->kind];
    WN_TRY(check_moments(options));
    WN_TRY(check_periods(options));
    if (rule->check != NULL) WN_TRY(rule->check(options));
    wn__optimizer *o = calloc(1, sizeof *o);
    if (o == NULL) return wn__fail(WN_NOMEM, "no memory for an optimizer");
    o->options = *options;
    o->rule = rule;
    if (rule->prepare != NULL) rule->prepare(o);
    *out = o;
    return WN_OK;
}

void wn__optimizer_free(wn__optimizer *o) {
    if (o == NULL) return;
    free(o->slot);
    free(o->replaced);
    free(o);
}

const wn__optimizer_options *wn__optimizer_options_of(const wn__optimizer *o) {
    return &o->options;
}

static wn_status list_slot(wn__optimizer *o, const wn__param *p, size_t param, int which) {
    wn__optimizer_slot *s = &o->slot[o->slot_count++];
    *s = (wn__optimizer_slot){.param = param, .which = which};
    int n = snprintf(s->name, sizeof s->name, "%s.%s", p->name, o->rule->state[which]);
    if (n >= 0 && n < WN_NAME_MAX) return WN_OK;
    return wn__fail(WN_INVALID, "the name '%s.%s' has %d bytes, at most %d fit", p->name,
                    o->rule->state[which], n, WN_NAME_MAX - 1);
}

static wn_status list_slots(wn__optimizer *o, const wn__params *p) {
    free(o->slot);
    free(o->replaced);
    o->slot_count = 0;
    o->slot = calloc(p->count * WN_PARAM_STATES + 1, sizeof *o->slot);
    o->replaced = calloc(p->count + 1, sizeof *o->replaced);
    if (o->slot == NULL || o->replaced == NULL)
        return wn__fail(WN_NOMEM, "no memory for %zu names", p->count);
    for (size_t i = 0; i < p->count; i++)
        for (int k = 0; k < WN_PARAM_STATES; k++)
            if (wn__given(&p->item[i].state[k])) WN_TRY(list_slot(o, &p->item[i], i, k));
    return WN_OK;
}

wn_status wn__optimizer_wish(wn__optimizer *o, const wn__param *p, size_t bytes) {
    if (bytes == SIZE_MAX)
        return wn__fail(WN_NOMEM, "%s: its update needs more memory than can be counted", p->name);
    if (bytes > o->scratch_wish) o->scratch_wish = bytes;
    return WN_OK;
}

wn_status wn__optimizer_build(wn__optimizer *o, wn__params *p, wn__arena *arena) {
    o->scratch_wish = 0;
    for (size_t i = 0; i < p->count; i++)
        if (wn__param_trained(&p->item[i])) WN_TRY(o->rule->build(o, p, i, arena));
    WN_TRY(wn__tensor_alloc1(arena, WN_DTYPE_I64, (int64_t)p->count, &o->counts));
    o->scratch = NULL;
    if (o->scratch_wish > 0) WN_TRY(wn__arena_alloc(arena, o->scratch_wish, &o->scratch));
    return list_slots(o, p);
}

size_t wn__optimizer_state_count(const wn__optimizer *o, const wn__params *p) {
    (void)p;
    return o->slot_count + 1;
}

void wn__optimizer_state_at(const wn__optimizer *o, const wn__params *p, size_t i,
                            const char **name, wn_tensor *view) {
    bool counts = i == o->slot_count;
    const wn__optimizer_slot *s = &o->slot[i];
    *name = counts ? "optimizer.updates" : s->name;
    *view = counts ? o->counts : p->item[s->param].state[s->which];
}

wn_status wn__optimizer_check_counts(const wn__optimizer *o, const wn__params *p, int64_t most) {
    const int64_t *count = o->counts.data;
    for (size_t i = 0; i < p->count; i++)
        if (count[i] < 0 || count[i] > most)
            return wn__fail(WN_INVALID,
                            "tensor 'optimizer.updates': %lld updates of %s, expected 0 to %lld",
                            (long long)count[i], p->item[i].name, (long long)most);
    return WN_OK;
}

// A parameter's number of updates with this one; 1 while planning.
static int64_t next_count(const wn__optimizer_step *s, size_t i) {
    return s->x->planning ? 1 : ((const int64_t *)s->o->counts.data)[i] + 1;
}

static wn_status update_all(wn__optimizer_step *s) {
    for (size_t i = 0; i < s->p->count; i++) {
        const wn__param *p = &s->p->item[i];
        if (!wn__param_trained(p)) continue;
        wn_status status = s->o->rule->update(s, i, next_count(s, i));
        if (status != WN_OK) return wn__fail_in(status, "%s", p->name);
    }
    return WN_OK;
}

static void count_all(const wn__optimizer_step *s) {
    int64_t *count = s->o->counts.data;
    for (size_t i = 0; !s->x->planning && i < s->p->count; i++)
        if (wn__param_trained(&s->p->item[i])) count[i]++;
}

// What layers read follows the masters.
static wn_status round_all(const wn__optimizer_step *s) {
    for (size_t i = 0; i < s->p->count; i++) {
        const wn__param *p = &s->p->item[i];
        if (!wn__param_trained(p) || !wn__given(&p->master)) continue;
        const wn__round16 round = {.x = p->master, .y = p->w};
        const wn__copy narrow = {.src = p->master, .dst = p->w};
        WN_TRY(p->w.dtype == p->master.dtype ? wn__run(s->x, WN__OP_round16, &round)
                                             : wn__run(s->x, WN__OP_copy, &narrow));
    }
    return WN_OK;
}

static bool in_group(const wn__param *p, wn__refresh group) {
    bool factor = p->role == WN_PARAM_LOWRANK_IN || p->role == WN_PARAM_LOWRANK_OUT;
    if (!wn__param_trained(p)) return false;
    return group == WN_REFRESH_ALL || factor == (group == WN_REFRESH_LOWRANK);
}

// Codes need no zeros: those of a block count as many times its scale, which becomes 0.
static wn_status forget(const wn__optimizer_step *s, size_t i) {
    for (int k = 0; k < WN_PARAM_STATES; k++) {
        const wn__fill zero = {.x = s->p->item[i].state[k]};
        if (wn__given(&zero.x) && zero.x.dtype != WN_DTYPE_U8)
            WN_TRY(wn__run(s->x, WN__OP_fill, &zero));
    }
    if (!s->x->planning) ((int64_t *)s->o->counts.data)[i] = 0;
    return WN_OK;
}

static wn_status forget_group(const wn__optimizer_step *s, wn__refresh group) {
    s->report->refreshed = true;
    for (size_t i = 0; i < s->p->count; i++)
        if (in_group(&s->p->item[i], group)) WN_TRY(forget(s, i));
    return WN_OK;
}

// Moments back to zero where it is time for that.
static wn_status refresh(const wn__optimizer_step *s) {
    const wn__optimizer_options *o = &s->o->options;
    bool reset = o->reset_every > 0 && s->u % o->reset_every == 0;
    if (s->x->planning || reset) return forget_group(s, WN_REFRESH_ALL);
    if (o->refresh == WN_REFRESH_NONE || !wn__period_ends(s->u, o->refresh_every)) return WN_OK;
    return forget_group(s, o->refresh);
}

wn_status wn__optimizer_update(wn__optimizer *o, wn__params *p, wn__exec *x, double lr,
                               double grad_scale, int64_t u, wn__optimizer_report *report) {
    wn__optimizer_report unused;
    wn__optimizer_step s = {.o = o,
                            .p = p,
                            .x = x,
                            .lr = lr,
                            .scale = grad_scale,
                            .u = u,
                            .report = report != NULL ? report : &unused};
    *s.report = (wn__optimizer_report){0};
    memset(o->replaced, 0, p->count * sizeof *o->replaced);
    WN_TRY(update_all(&s));
    count_all(&s);
    WN_TRY(round_all(&s));
    return refresh(&s);
}

bool wn__optimizer_replaced(const wn__optimizer *o, size_t param) {
    return o->replaced[param];
}
