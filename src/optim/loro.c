// SPDX-License-Identifier: MIT
// LORO: directions of Adam for every tensor. Of a layer W = M N^T both factors move at once: by an
// exact Riemannian step in every exact_every-th update, else each by a scaled step of its own.
#include "base/fail.h"
#include "optim/internal.h"
#include <math.h>

static wn_status check(const wn__optimizer_options *o) {
    if (o->exact_every < 0)
        return wn__fail(WN_INVALID, "exact steps every %lld updates; 0 (never) or more",
                        (long long)o->exact_every);
    if (!isfinite(o->lr_scaler))
        return wn__fail(WN_INVALID, "the scaler of the factors' learning rate is %g", o->lr_scaler);
    if (o->lr_scaler < 0 && !(o->width > 0))
        return wn__fail(WN_INVALID, "a scaler of rank / width needs a width above 0, found %g",
                        o->width);
    return wn__direction_check(o);
}

static bool is_factor(const wn__param *p) {
    return p->role == WN_PARAM_LOWRANK_IN || p->role == WN_PARAM_LOWRANK_OUT;
}

// Both factors of a layer know each other, and W's inner sizes agree.
static wn_status check_pair(const wn__params *p, size_t i) {
    const wn__param *a = &p->item[i];
    const wn__param *b = a->partner < p->count ? &p->item[a->partner] : NULL;
    bool in = a->role == WN_PARAM_LOWRANK_IN;
    if (b == NULL || b->partner != i || b == a || !wn__param_trained(b) ||
        b->role != (in ? WN_PARAM_LOWRANK_OUT : WN_PARAM_LOWRANK_IN) || a->g.ndim != 2 ||
        b->g.ndim != 2 || a->g.shape[in ? 0 : 1] != b->g.shape[in ? 1 : 0])
        return wn__fail(WN_BUG, "%s: a factor without its other one", a->name);
    return WN_OK;
}

static wn_status build(wn__optimizer *o, wn__params *p, size_t i, wn__arena *arena) {
    const wn__param *t = &p->item[i];
    if (is_factor(t)) WN_TRY(check_pair(p, i));
    if (t->role == WN_PARAM_LOWRANK_OUT && o->options.exact_every > 0) {
        int64_t in = p->item[t->partner].g.shape[1];
        WN_TRY(
            wn__optimizer_wish(o, t, wn__lowrank_exact_scratch(t->g.shape[0], in, t->g.shape[1])));
    }
    return wn__moments_build(o, p, i, arena);
}

static double scaler(const wn__optimizer *o, const wn__param *m) {
    double s = o->options.lr_scaler;
    return s < 0 ? (double)m->g.shape[1] / o->options.width : s;
}

// The directions are in the gradients' place. Decay by the corrected step, and not scaled.
static wn_status lazy_step(const wn__optimizer_step *s, const wn__param *m, const wn__param *n,
                           double step) {
    double scaled = step * scaler(s->o, m);
    WN_TRY(wn__move(s, m, scaled, &m->g, step * wn__decay_of(s->o, m)));
    return wn__move(s, n, scaled, &n->g, step * wn__decay_of(s->o, n));
}

static void report_exact(const wn__optimizer_step *s, const wn__param *m) {
    const wn__exact_report *e = &s->o->exact;
    wn__optimizer_report *r = s->report;
    if (e->fell_back) {
        r->fell_back++;
        r->why = e->why;
        r->pair = m->name;
        return;
    }
    r->exact++;
    s->o->replaced[m->partner] = s->o->replaced[s->p->item[m->partner].partner] = true;
    r->moved = fmax(r->moved, e->moved);
    r->condition = fmax(r->condition, fmax(e->condition_m, e->condition_n));
}

// N and its direction are stored transposed. A step that is refused is taken lazily.
static wn_status exact_step(const wn__optimizer_step *s, const wn__param *m, const wn__param *n,
                            double step) {
    const wn_tensor N = wn__tensor_transpose(wn__param_master(n)), dN = wn__tensor_transpose(&n->g);
    wn__exact_report e = {0};
    WN_TRY(wn__lowrank_exact_step(s->x, wn__param_master(m), &N, &m->g, &dN, step,
                                  &s->o->options.exact, s->o->scratch, &e));
    if (s->x->planning) return WN_OK;
    s->o->exact = e;
    report_exact(s, m);
    return e.fell_back ? lazy_step(s, m, n, step) : WN_OK;
}

static wn_status update_pair(wn__optimizer_step *s, const wn__param *m, int64_t t) {
    const wn__param *n = &s->p->item[m->partner];
    const int64_t *counts = s->o->counts.data;
    if (!s->x->planning && counts[m->partner] + 1 != t)
        return wn__fail(WN_INVALID, "%lld updates of one factor, %lld of %s", (long long)(t - 1),
                        (long long)counts[m->partner], n->name);
    double step = wn__corrected_lr(s, t);
    WN_TRY(wn__direction(s, m, &m->g));
    WN_TRY(wn__direction(s, n, &n->g));
    if (s->x->planning) WN_TRY(lazy_step(s, m, n, step));
    bool exact = s->x->planning ? s->o->options.exact_every > 0
                                : wn__period_ends(s->u, s->o->options.exact_every);
    return exact ? exact_step(s, m, n, step) : lazy_step(s, m, n, step);
}

static wn_status update(wn__optimizer_step *s, size_t i, int64_t t) {
    const wn__param *p = &s->p->item[i];
    if (p->role == WN_PARAM_LOWRANK_IN) return WN_OK; // moves with its other factor
    return p->role == WN_PARAM_LOWRANK_OUT ? update_pair(s, p, t) : wn__plain_step(s, i, t);
}

const wn__optimizer_rule wn__rule_loro_adamw = {
    .name = "loro_adamw", .state = {"m", "v"}, .check = check, .build = build, .update = update};
