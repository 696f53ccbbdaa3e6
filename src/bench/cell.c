// SPDX-License-Identifier: MIT
// Cells: entries sampled together, and what their times say about one another.
#include "base/fail.h"
#include "bench/gpu.h"
#include "bench/suite.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

wn_status wn__cell_add(wn__cell *c, const char *name, wn_bench_role role, wn_status (*run)(void *),
                       void *ctx, void (*release)(void *), wn__entry **out) {
    wn_status status = WN_OK;
    double *seconds = calloc((size_t)c->suite->repeats, sizeof *seconds);
    if (c->count == WN__ENTRIES)
        status = wn__fail(WN_BUG, "more than %d things to compare", WN__ENTRIES);
    else if (!seconds)
        status = wn__fail(WN_NOMEM, "no memory for %d samples", c->suite->repeats);
    if (status != WN_OK) {
        free(seconds);
        if (release) release(ctx);
        return status;
    }
    wn__entry *e = &c->entry[c->count++];
    *e = (wn__entry){.role = role, .release = release};
    e->lane = (wn__lane){.run = run, .ctx = ctx, .seconds = seconds};
    (void)snprintf(e->name, sizeof e->name, "%s", name);
    *out = e;
    return WN_OK;
}

static void read_stream(void *around) {
    wn__read_rate_read(around);
}

void wn__entry_cold(wn__cell *c, wn__entry *e) {
    e->lane.cold = true;
    e->lane.before = read_stream;
    e->lane.around = &c->suite->stream;
}

void wn__cell_free(wn__cell *c) {
    for (int i = 0; i < c->count; i++) {
        wn__entry *e = c->entry + i;
        if (e->release) e->release(e->lane.ctx);
        free(e->lane.seconds);
    }
    c->count = 0;
}

// The fastest entry of a role by its median, NULL when there is none.
static wn_status fastest(const wn__cell *c, wn_bench_role role, const wn__entry **out) {
    double least = 0;
    *out = NULL;
    for (int i = 0; i < c->count; i++) {
        wn__spread s;
        if (c->entry[i].role != role) continue;
        WN_TRY(wn__spread_of(c->entry[i].lane.seconds, c->suite->repeats, &s));
        if (*out && s.median >= least) continue;
        least = s.median;
        *out = c->entry + i;
    }
    return WN_OK;
}

static wn_bench_spread shown(const wn__spread *s) {
    return (wn_bench_spread){s->median, s->least, s->most};
}

// Time of `other` over e's, repetition by repetition; zeros without one.
static wn_status over(const wn__cell *c, const wn__entry *other, const wn__entry *e,
                      wn_bench_spread *out) {
    wn__spread s;
    *out = (wn_bench_spread){0};
    if (!other) return WN_OK;
    WN_TRY(wn__spread_ratio(other->lane.seconds, e->lane.seconds, c->suite->repeats, &s));
    *out = shown(&s);
    return WN_OK;
}

static wn_bench_row row_of(const wn__cell *c, const wn__entry *e) {
    return (wn_bench_row){.suite = c->suite->o->suite,
                          .work = c->work,
                          .dtype = c->suite->dtype,
                          .name = e->name,
                          .role = e->role,
                          .out = c->shape.out,
                          .in = c->shape.in,
                          .rows = c->rows,
                          .flops = e->flops,
                          .bytes = e->bytes,
                          .tokens = e->tokens,
                          .interrupted = e->lane.interrupted,
                          .watts = e->ran > 0 ? e->joules / e->ran : 0,
                          .megahertz = e->megahertz,
                          .peer_name = ""};
}

static wn_status tell(const wn__cell *c, wn_bench_row *r) {
    wn__suite *s = c->suite;
    if (r->flops > 0 && s->peak > 0) r->peak_share = r->flops / r->seconds.median / s->peak;
    if (r->bytes > 0 && s->rate > 0) r->stream_share = r->bytes / r->seconds.median / s->rate;
    if (r->peak_share > 1.05 && s->gpu == NULL && strcmp(s->dtype, "f32") == 0)
        WN_TRY(wn__suite_note(s, "more than the measured peak was reached: other work kept the "
                                 "processor from it when it was measured"));
    if (s->events->row) s->events->row(s->events->ctx, r);
    return wn__json_append(s->list, wn__row_json(r));
}

static bool same_cell(const wn__cell *c, const wn_bench_row *r) {
    return strcmp(r->suite, c->suite->o->suite) == 0 && strcmp(r->work, c->work) == 0 &&
           strcmp(r->dtype, c->suite->dtype) == 0 && r->out == c->shape.out &&
           r->in == c->shape.in && r->rows == c->rows;
}

// Seconds of another process's batched products of ks, 0 without any.
static wn_status merged_bmm(const wn__cell *c, double *out) {
    const wn__json *rows = wn__json_get(c->suite->merged, "rows");
    *out = 0;
    for (size_t i = 0; i < wn__json_count(rows); i++) {
        wn_bench_row r;
        WN_TRY(wn__row_read(wn__json_at(rows, i), c->suite->o->merge, &r));
        if (same_cell(c, &r) && strstr(r.name, ", bmm") && !strstr(r.name, "batch last"))
            *out = r.seconds.median;
    }
    return WN_OK;
}

// A peer of another process has the same work, but its repetitions lie beside nothing: its ratio is
// one of medians, and it is never the best peer.
static wn_status tell_merged(const wn__cell *c, const wn__entry *dense) {
    const wn__json *rows = wn__json_get(c->suite->merged, "rows");
    wn__spread ours = {0};
    if (dense) WN_TRY(wn__spread_of(dense->lane.seconds, c->suite->repeats, &ours));
    for (size_t i = 0; i < wn__json_count(rows); i++) {
        wn_bench_row r;
        WN_TRY(wn__row_read(wn__json_at(rows, i), c->suite->o->merge, &r));
        if (!same_cell(c, &r)) continue;
        double ratio = ours.median / r.seconds.median;
        r.role = WN_BENCH_PEER;
        r.dense = (wn_bench_spread){ratio, ratio, ratio};
        WN_TRY(tell(c, &r));
    }
    return WN_OK;
}

static wn_status tell_rows(const wn__cell *c) {
    const wn__entry *dense, *peer, *best, *bmm = NULL;
    double theirs;
    WN_TRY(merged_bmm(c, &theirs));
    for (int i = 0; i < c->count; i++)
        if (c->entry[i].bmm) bmm = c->entry + i;
    WN_TRY(fastest(c, WN_BENCH_DENSE, &dense));
    WN_TRY(fastest(c, WN_BENCH_PEER, &peer));
    best = dense ? dense : peer;
    if (dense && peer) {
        wn__spread ratio;
        WN_TRY(
            wn__spread_ratio(dense->lane.seconds, peer->lane.seconds, c->suite->repeats, &ratio));
        best = ratio.median > 1 ? peer : dense;
    }
    for (int i = 0; i < c->count; i++) {
        const wn__entry *e = c->entry + i;
        wn_bench_row r = row_of(c, e);
        wn__spread seconds;
        WN_TRY(wn__spread_of(e->lane.seconds, c->suite->repeats, &seconds));
        r.seconds = shown(&seconds);
        WN_TRY(over(c, dense, e, &r.dense));
        WN_TRY(over(c, peer, e, &r.peer));
        WN_TRY(over(c, best, e, &r.best));
        WN_TRY(over(c, bmm, e, &r.bmm));
        if (!bmm && theirs > 0) r.bmm.median = r.bmm.least = r.bmm.most = theirs / seconds.median;
        if (peer) r.peer_name = peer->name;
        WN_TRY(tell(c, &r));
    }
    return tell_merged(c, dense);
}

wn_status wn__cell_measure(wn__cell *c) {
    wn__lane lane[WN__ENTRIES];
    wn_status status = WN_OK;
    for (int i = 0; i < c->count; i++)
        lane[i] = c->entry[i].lane;
    if (c->count > 0)
        status = c->suite->gpu != NULL ? wn__gpu_sample(c)
                                       : wn__lanes_sample(lane, c->count, c->suite->repeats);
    for (int i = 0; i < c->count; i++)
        c->entry[i].lane.interrupted = lane[i].interrupted;
    if (c->count > 0 && status == WN_OK) status = tell_rows(c);
    wn__cell_free(c);
    return status;
}

wn_status wn__suite_note(wn__suite *s, const char *fmt, ...) {
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < wn__json_count(s->notes); i++)
        if (strcmp(wn__json_string(wn__json_at(s->notes, i), NULL), text) == 0) return WN_OK;
    if (s->events->note) s->events->note(s->events->ctx, text);
    return wn__json_append(s->notes, wn__json_new_string(text));
}

// Up to the next comma that is not within parentheses: a factor's name has some.
static size_t word_of(const char *list) {
    size_t n = 0;
    for (int depth = 0; list[n] && (list[n] != ',' || depth > 0); n++)
        depth += (list[n] == '(') - (list[n] == ')');
    return n;
}

bool wn__suite_wants(const wn__suite *s, const char *work) {
    if (!s->o->work) return true;
    for (const char *word = s->o->work; *word; word += *word == ',') {
        size_t n = word_of(word);
        if (n > 0 && strncmp(work, word, n) == 0) return true;
        word += n;
    }
    return false;
}
