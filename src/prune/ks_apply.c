// SPDX-License-Identifier: MIT
// winnow ks apply: which layers become which chains, and their fits, in the order in which the
// model computes them.
#include "prune/ks_apply.h"

#include "base/cpu.h"
#include "base/fail.h"
#include "tensor/tensor.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIAL_ROUNDS = 4 }; // of alternating least squares, to tell sizes of blocks apart

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

// ---- which layers ----

static int group_of(const char *name) {
    static const char *const ends[][3] = {{".q_proj", ".k_proj", ".v_proj"},
                                          {".o_proj", ".o_proj", ".o_proj"},
                                          {".gate_proj", ".up_proj", ".up_proj"},
                                          {".down_proj", ".down_proj", ".down_proj"}};
    for (int g = 0; g < 4; g++)
        for (int i = 0; i < 3; i++)
            if (ends_with(name, ends[g][i])) return g;
    return -1;
}

static wn_status add_target(wn__ks_apply *a, wn__linear *l, const wn__structure *s) {
    wn__ks_target *t = &a->target[a->targets];
    *t = (wn__ks_target){.l = l,
                         .group = group_of(l->name),
                         .b = s->kron_b,
                         .c = s->kron_c,
                         .r = s->rank,
                         .k = s->kron_head};
    (void)wn__ks_text_layer(&a->text, l->name, &t->block);
    if (t->block < 0 || t->group < 0)
        return wn__fail(WN_INVALID, "%s: only layers of blocks become chains", l->name);
    a->targets++;
    return WN_OK;
}

static wn_status check_rules(const wn__structure_rules *rules) {
    for (size_t i = 0; i < rules->count; i++) {
        wn__structure_kind kind = rules->rule[i].structure.kind;
        if (kind == WN_STRUCTURE_DENSE || kind == WN_STRUCTURE_KRON) continue;
        return wn__fail(WN_INVALID, "sparsity '%s=%s': kron:... or dense expected",
                        rules->rule[i].pattern, rules->rule[i].text);
    }
    return WN_OK;
}

static wn_status match(wn__ks_apply *a) {
    const wn__structure base = wn__structure_defaults();
    size_t n = wn__model_linear_count(a->text.model);
    WN_TRY(wn__structure_rules_parse(a->o->sparsity, a->o->sparsity_count, &base, &a->rules));
    WN_TRY(check_rules(&a->rules));
    a->target = calloc(n + 1, sizeof *a->target);
    const char **names = calloc(n + 1, sizeof *names);
    wn_status status =
        a->target != NULL && names != NULL ? WN_OK : wn__fail(WN_NOMEM, "no memory for the layers");
    for (size_t i = 0; i < n && status == WN_OK; i++) {
        wn__linear *l = wn__model_linear(a->text.model, i);
        const wn__structure s = wn__structure_of(&a->rules, l->name);
        names[i] = l->name;
        if (s.kind == WN_STRUCTURE_KRON) status = add_target(a, l, &s);
    }
    if (status == WN_OK) status = wn__structure_rules_unmatched(&a->rules, names, n);
    if (status == WN_OK && a->targets == 0)
        status = wn__fail(WN_INVALID, "no layer of %zu is to become a chain", n);
    a->result->linear_layers = n;
    free((void *)names);
    return status;
}

// ---- how large ----

// Of the weight's parameters: of one rank of the blocks, and of as many with the head.
static double step_of(const wn__ks_target *t) {
    return 1 / (double)t->b + 1 / (double)t->c;
}

static double head_share(const wn__ks_target *t) {
    return (double)t->k * (1 / (double)t->l->out + 1 / (double)t->l->in);
}

static double share_of(const wn__ks_target *t, int64_t rank) {
    return (double)rank * step_of(t) + head_share(t);
}

static int64_t least_of(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t next_divisor(int64_t n, int64_t from) {
    for (int64_t k = from + 1; k < n; k++)
        if (n % k == 0) return k;
    return n;
}

// Larger blocks where even rank 1 is too much, then the largest rank that is not. given: what was
// asked for, of which `ratio` is left.
static wn_status shrink(wn__ks_target *t, double ratio, double given) {
    while (share_of(t, 1) > ratio) {
        bool rows = t->c >= t->l->in || (t->b <= t->c && t->b < t->l->out);
        if (rows && t->b >= t->l->out) {
            char less[64] = "";
            if (ratio != given)
                (void)snprintf(less, sizeof less, ", of which butterflies leave %.4g", ratio);
            return wn__fail(
                WN_INVALID, "%s: a ratio of %g%s; one block of rank 1%s has %.4g of the parameters",
                t->l->name, given, less, t->k > 0 ? " and the head" : "", share_of(t, 1));
        }
        if (rows)
            t->b = next_divisor(t->l->out, t->b);
        else
            t->c = next_divisor(t->l->in, t->c);
    }
    t->r = least_of((int64_t)((ratio - head_share(t)) / step_of(t)), least_of(t->b, t->c));
    return WN_OK;
}

// What is left of the budget goes to the layers that have the smallest share.
static void spend(wn__ks_apply *a, double budget) {
    for (;;) {
        wn__ks_target *poorest = NULL;
        for (size_t i = 0; i < a->targets; i++) {
            wn__ks_target *t = &a->target[i];
            double cost = step_of(t) * (double)(t->l->out * t->l->in);
            bool can = t->b > 0 && t->r < t->b && t->r < t->c && cost <= budget;
            if (can && (poorest == NULL || share_of(t, t->r) < share_of(poorest, poorest->r)))
                poorest = t;
        }
        if (poorest == NULL) return;
        budget -= step_of(poorest) * (double)(poorest->l->out * poorest->l->in);
        poorest->r++;
    }
}

// Butterflies are as large as they are: *ratio becomes what they leave for each of the others.
static wn_status leave_butterflies(const wn__ks_apply *a, double *ratio) {
    double fixed = 0, others = 0, all = 0;
    for (size_t i = 0; i < a->targets; i++) {
        const wn__ks_target *t = &a->target[i];
        const double n = (double)t->l->in, dense = (double)t->l->out * n;
        all += dense;
        if (t->b > 0)
            others += dense;
        else
            fixed += 2 * n * log2(n) + head_share(t) * dense;
    }
    if (fixed == 0) return WN_OK;
    double left = *ratio * all - fixed;
    if (left < 0 || (left == 0 && others > 0))
        return wn__fail(WN_INVALID,
                        "a ratio of %g: the layers that are to become butterflies have %.4g of the "
                        "parameters of all matched ones already%s",
                        *ratio, fixed / all, others > 0 ? ", the others add to that" : "");
    if (others > 0) *ratio = left < others ? left / others : 1;
    return WN_OK;
}

static wn_status meet_ratio(wn__ks_apply *a) {
    double ratio = a->o->ratio, budget = 0;
    if (ratio == 0) return WN_OK;
    if (!(ratio > 0 && ratio <= 1))
        return wn__fail(WN_INVALID, "a ratio of %g: above 0 and at most 1", ratio);
    WN_TRY(leave_butterflies(a, &ratio));
    for (size_t i = 0; i < a->targets; i++) {
        wn__ks_target *t = &a->target[i];
        if (t->b == 0) continue; // a butterfly has no choice
        wn__kron_chain unused;   // names block sizes that do not divide
        WN_TRY(wn__kron_chain_monarch(t->l->out, t->l->in, t->b, t->c, 1, &unused));
        WN_TRY(shrink(t, ratio, a->o->ratio));
        budget += (ratio - share_of(t, t->r)) * (double)(t->l->out * t->l->in);
    }
    spend(a, budget * (1 + 1e-12));
    return WN_OK;
}

static wn_status reserve_floats(wn__ks_target *t) {
    bool ok = true;
    for (int i = 0; i < t->chain.count; i++) {
        t->factor[i] = calloc((size_t)wn__kron_params(&t->chain.factor[i]), sizeof(float));
        ok = ok && t->factor[i] != NULL;
    }
    for (int i = 0; i < 2 && t->k > 0; i++) {
        t->head[i] = calloc((size_t)(t->k * (i == 0 ? t->l->in : t->l->out)), sizeof(float));
        ok = ok && t->head[i] != NULL;
    }
    return ok ? WN_OK : wn__fail(WN_NOMEM, "%s: out of memory", t->l->name);
}

static wn_status make_chain(wn__ks_target *t) {
    const wn__linear *l = t->l;
    wn_status status = WN_OK;
    (void)snprintf(t->text, sizeof t->text, "butterfly");
    if (t->b > 0 && t->b == t->c)
        (void)snprintf(t->text, sizeof t->text, "monarch:%" PRId64 ":%" PRId64, t->b, t->r);
    else if (t->b > 0)
        (void)snprintf(t->text, sizeof t->text, "monarch:%" PRId64 "x%" PRId64 ":%" PRId64, t->b,
                       t->c, t->r);
    if (t->b > 0)
        status = wn__kron_chain_monarch(l->out, l->in, t->b, t->c, t->r, &t->chain);
    else if (l->out == l->in)
        status = wn__kron_chain_butterfly(l->in, &t->chain);
    else
        status = wn__fail(WN_INVALID, "a butterfly is square, not %" PRId64 " x %" PRId64, l->out,
                          l->in);
    wn__kron_chain unused;
    if (status == WN_OK && t->k > 0) status = wn__kron_head_chain(l->out, l->in, t->k, &unused);
    if (status != WN_OK) return wn__fail_in(status, "%s", l->name);
    size_t used = strlen(t->text);
    if (t->k > 0) (void)snprintf(t->text + used, sizeof t->text - used, "+lowrank:%" PRId64, t->k);
    return reserve_floats(t);
}

static int64_t params_of(const wn__kron_chain *c) {
    int64_t n = 0;
    for (int t = 0; t < c->count; t++)
        n += wn__kron_params(&c->factor[t]);
    return n;
}

static int64_t all_params(const wn__ks_target *t) {
    return params_of(&t->chain) + t->k * (t->l->out + t->l->in);
}

static wn_status plan(wn__ks_apply *a) {
    wn_ks_applied *r = a->result;
    WN_TRY(match(a));
    WN_TRY(meet_ratio(a));
    for (size_t i = 0; i < a->targets; i++) {
        WN_TRY(make_chain(&a->target[i]));
        r->dense += a->target[i].l->out * a->target[i].l->in;
    }
    r->layers = a->targets;
    return WN_OK;
}

// ---- fits ----

typedef struct room {
    double *w, *h, *factor[WN__KRON_MAX], *head[2];
} room;

static wn_status reserve_factors(const wn__ks_target *t, room *r) {
    bool ok = true;
    for (int i = 0; i < t->chain.count; i++) {
        r->factor[i] = calloc((size_t)wn__kron_params(&t->chain.factor[i]), sizeof(double));
        ok = ok && r->factor[i] != NULL;
    }
    for (int i = 0; i < 2 && t->k > 0; i++) {
        r->head[i] = calloc((size_t)(t->k * (i == 0 ? t->l->in : t->l->out)), sizeof(double));
        ok = ok && r->head[i] != NULL;
    }
    return ok ? WN_OK : wn__fail(WN_NOMEM, "%s: out of memory", t->l->name);
}

static void release(room *r) {
    free(r->w);
    for (int i = 0; i < WN__KRON_MAX; i++)
        free(r->factor[i]);
    for (int i = 0; i < 2; i++)
        free(r->head[i]);
    *r = (room){.h = r->h};
}

// The factors as float32, and their product where the weight was.
static wn_status take(const wn__ks_target *t, const room *r) {
    wn_tensor view[WN__KRON_MAX];
    for (int i = 0; i < t->chain.count; i++) {
        const wn__kron *p = &t->chain.factor[i];
        const wn_tensor from = wn__kron_view(p, WN__KRON_CANONICAL, r->factor[i], WN_DTYPE_F64);
        view[i] = wn__kron_view(p, WN__KRON_COLUMNS, t->factor[i], WN_DTYPE_F32);
        WN_TRY(wn__kron_copy(&from, &view[i]));
    }
    for (int i = 0; i < 2 && t->k > 0; i++)
        for (int64_t j = 0; j < t->k * (i == 0 ? t->l->in : t->l->out); j++)
            t->head[i][j] = (float)r->head[i][j];
    const wn_tensor v = wn__tensor2(t->head[0], WN_DTYPE_F32, t->k, t->l->in);
    const wn_tensor u = wn__tensor2(t->head[1], WN_DTYPE_F32, t->l->out, t->k);
    bool head = t->k > 0;
    return wn__kron_chain_dense(view, t->chain.count, head ? &u : NULL, head ? &v : NULL,
                                &wn__linear_weight(t->l)->w);
}

static void drop_factors(wn__ks_target *t) {
    for (int i = 0; i < WN__KRON_MAX; i++) {
        free(t->factor[i]);
        t->factor[i] = NULL;
    }
    for (int i = 0; i < 2; i++) {
        free(t->head[i]);
        t->head[i] = NULL;
    }
}

static wn_status fit_target(const wn__ks_apply *a, const wn__ks_target *t, const room *of,
                            int rounds, room *to, wn__kron_inputs *report) {
    wn__exec x = {.pool = a->text.rt->pool};
    return t->k > 0
               ? wn__kron_fit_head(NULL, &x, &t->chain, t->k, of->w, of->h, WN__KRON_HEAD_TURNS,
                                   rounds, to->factor, to->head, report)
               : wn__kron_fit_inputs(NULL, &x, &t->chain, of->w, of->h, rounds, to->factor, report);
}

// How near a chain of these blocks comes in a few rounds; in *error.
static wn_status attempt(const wn__ks_apply *a, const wn__ks_target *t, const room *r,
                         double *error) {
    room own = {.h = NULL};
    wn__kron_inputs report;
    int rounds = a->o->rounds < TRIAL_ROUNDS ? (int)a->o->rounds : TRIAL_ROUNDS;
    wn_status status = reserve_factors(t, &own);
    if (status == WN_OK) status = fit_target(a, t, r, rounds, &own, &report);
    if (status == WN_OK) *error = report.outputs;
    release(&own);
    return status;
}

// Blocks twice as large, and so on up to the whole weight, which is low rank, with ranks that cost
// no more: t becomes the nearest of them.
static wn_status search(const wn__ks_apply *a, wn__ks_target *t, const room *r) {
    const wn__linear *l = t->l;
    double least, error, budget = (double)params_of(&t->chain);
    WN_TRY(attempt(a, t, r, &least));
    wn__ks_target k = *t;
    while (k.b < l->out || k.c < l->in) {
        k = (wn__ks_target){
            .l = t->l, .block = t->block, .group = t->group, .b = k.b, .c = k.c, .k = t->k};
        k.b = next_divisor(l->out, 2 * k.b - 1);
        k.c = next_divisor(l->in, 2 * k.c - 1);
        k.r = (int64_t)(budget / (step_of(&k) * (double)(l->out * l->in)));
        if (k.r < 1) continue;
        k.r = least_of(k.r, least_of(k.b, k.c)); // where it began with more than the weight has
        wn_status status = make_chain(&k);
        if (status == WN_OK) status = attempt(a, &k, r, &error);
        if (status == WN_OK && error < least) {
            wn__ks_target old = *t;
            *t = k;
            k = old;
            least = error;
        }
        int64_t b = k.b > t->b ? k.b : t->b, c = k.c > t->c ? k.c : t->c;
        drop_factors(&k);
        k.b = b; // the largest so far, whichever was kept
        k.c = c;
        WN_TRY(status);
    }
    return WN_OK;
}

static wn_status fit(wn__ks_apply *a, wn__ks_target *t, room *r) {
    const wn__linear *l = t->l;
    const float *weight = wn__linear_weight(l)->w.data;
    double begin = wn__clock();
    wn__exec x = {.pool = a->text.rt->pool};
    wn__kron_inputs report;
    for (int64_t i = 0; i < l->out * l->in; i++)
        r->w[i] = (double)weight[i];
    if (a->o->search && t->b > 0) WN_TRY(search(a, t, r));
    WN_TRY(reserve_factors(t, r));
    int64_t params = all_params(t);
    wn_ks_layer done = {.name = l->name,
                        .chain = t->text,
                        .out = l->out,
                        .in = l->in,
                        .params = params,
                        .lowrank = params / (l->out + l->in)};
    WN_TRY(fit_target(a, t, r, (int)a->o->rounds, r, &report));
    WN_TRY(wn__kron_lowrank_inputs(NULL, &x, l->out, l->in, r->w, r->h, done.lowrank,
                                   &done.lowrank_outputs));
    WN_TRY(take(t, r));
    done.plain_weight = report.plain_weight;
    done.plain_outputs = report.plain_outputs;
    done.weight = report.weight;
    done.outputs = report.outputs;
    done.seconds = wn__clock() - begin;
    const wn_ks_progress event = {.layer = &done};
    if (a->fn != NULL) a->fn(a->ctx, &event);
    if (a->stop != NULL && a->stop(a->ctx))
        return wn__fail(WN_CANCELLED, "stopped after %s; nothing was written", l->name);
    return WN_OK;
}

// What reads nothing but zeros is fitted to its weight.
static wn_status moments(wn__ks_apply *a, int64_t block, wn__linear *l, double *h) {
    WN_TRY(wn__ks_text_moments(&a->text, block, l, h));
    bool nothing = h[0] == 0;
    for (int64_t i = 0; nothing && i < l->in; i++)
        h[i * l->in + i] = 1;
    return WN_OK;
}

// Layers of a group read the same, so they share their second moments.
static wn_status fit_group(wn__ks_apply *a, int64_t block, int group) {
    room r = {.h = NULL};
    wn_status status = WN_OK;
    for (size_t i = 0; i < a->targets && status == WN_OK; i++) {
        wn__ks_target *t = &a->target[i];
        if (t->block != block || t->group != group) continue;
        if (r.h == NULL) {
            r.h = malloc((size_t)(t->l->in * t->l->in) * sizeof *r.h);
            status = r.h != NULL ? moments(a, block, t->l, r.h)
                                 : wn__fail(WN_NOMEM, "%s: out of memory", t->l->name);
        }
        r.w = malloc((size_t)(t->l->out * t->l->in) * sizeof *r.w);
        if (r.w == NULL) status = wn__fail(WN_NOMEM, "%s: out of memory", t->l->name);
        if (status == WN_OK) status = fit(a, t, &r);
        if (status != WN_OK && strstr(wn_last_error(), t->l->name) == NULL)
            status = wn__fail_in(status, "%s", t->l->name);
        release(&r);
    }
    free(r.h);
    return status;
}

static wn_status fit_all(wn__ks_apply *a) {
    int64_t last = a->target[a->targets - 1].block;
    WN_TRY(wn__ks_text_begin(&a->text));
    for (int64_t block = 0; block <= last; block++) {
        for (int group = 0; group < 4; group++)
            WN_TRY(fit_group(a, block, group));
        if (block < last) WN_TRY(wn__ks_text_advance(&a->text, block));
    }
    for (size_t i = 0; i < a->targets; i++)
        a->result->params += all_params(&a->target[i]);
    a->result->ratio = (double)a->result->params / (double)a->result->dense;
    return WN_OK;
}

void wn__ks_apply_tell(const wn__ks_apply *a, const char *stage, double loss, int64_t tokens) {
    const wn_ks_progress event = {.stage = stage, .loss = loss, .tokens = tokens};
    if (a->fn != NULL) a->fn(a->ctx, &event);
}

static wn_status check_options(const wn_ks_apply_options *o) {
    if (o->out == NULL) return wn__fail(WN_INVALID, "no output directory was given");
    if (o->calib == NULL) return wn__fail(WN_INVALID, "no text to see activations on was given");
    if (o->sparsity_count == 0)
        return wn__fail(WN_INVALID, "no rule says which layers become chains");
    if (o->seq_len < 0 || o->seq_len == 1 || o->batch_size < 1 || o->rounds < 0 ||
        o->rounds > 1000000 || o->recover < 0 || o->calib_tokens < 0)
        return wn__fail(WN_INVALID,
                        "windows of at least 2 tokens, 1 in a batch; rounds, updates and tokens "
                        "from 0 on");
    if (o->eval_data == NULL && !(o->eval_fraction > 0 && o->eval_fraction < 1))
        return wn__fail(WN_INVALID, "a share of %g held out: above 0 and below 1",
                        o->eval_fraction);
    return WN_OK;
}

static wn_status apply(wn__ks_apply *a, const char *path) {
    const wn_ks_apply_options *o = a->o;
    const wn__ks_text_options text = {.text = o->calib,
                                      .eval_data = o->eval_data,
                                      .eval_fraction = o->eval_fraction,
                                      .tokens = o->calib_tokens,
                                      .seq = o->seq_len,
                                      .batch = o->batch_size,
                                      .threads = o->threads};
    wn_ks_applied *r = a->result;
    WN_TRY(check_options(o));
    WN_TRY(wn__ks_text_open(path, &text, &a->text));
    WN_TRY(wn__place_check(o->out, a->text.dir, o->force, &a->place));
    WN_TRY(plan(a));
    WN_TRY(
        wn__place_begin(&a->place)); // where nothing can be written the fits would be for nothing
    r->calib_tokens = a->text.windows * a->text.o.seq;
    WN_TRY(wn__ks_text_loss(&a->text, a->text.model, &r->loss_before, &r->eval_tokens));
    if (!isfinite(r->loss_before))
        return wn__fail(WN_INVALID, "%s: its loss on the held-out text is not finite", a->text.dir);
    wn__ks_apply_tell(a, "before", r->loss_before, r->eval_tokens);
    WN_TRY(fit_all(a));
    return wn__ks_apply_out(a);
}

wn_status wn_ks_apply(const char *path, const wn_ks_apply_options *o, wn_ks_apply_fn *fn,
                      wn_stop_fn *stop, void *ctx, wn_ks_applied *out) {
    wn__ks_apply *a = calloc(1, sizeof *a);
    double begin = wn__clock();
    *out = (wn_ks_applied){0};
    if (a == NULL) return wn__fail(WN_NOMEM, "out of memory");
    a->o = o;
    a->fn = fn;
    a->stop = stop;
    a->ctx = ctx;
    a->result = out;
    wn_status status = apply(a, path);
    out->seconds = wn__clock() - begin;
    wn__place_abort(&a->place);
    for (size_t i = 0; i < a->targets; i++)
        drop_factors(&a->target[i]);
    free(a->target);
    wn__structure_rules_free(&a->rules);
    wn__ks_text_close(&a->text);
    free(a);
    return status;
}
