// SPDX-License-Identifier: MIT
// What differs from layer to layer: flips of 2:4 masks and zeros after activations. The extremes
// are an event; with log_flips and log_act_zeros each layer's share is a member of the line in
// metrics.jsonl, under the names that plots of such runs use.
#include "base/fail.h"
#include "nn/act24.h"
#include "train/trainer.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_SIZE (WN_NAME_MAX + 32)

// Shares of layers: mean and extremes.
typedef struct shares {
    size_t count;
    double sum, least, most;
    const char *least_layer, *most_layer;
} shares;

static void add_share(shares *s, double share, const char *layer) {
    if (s->count == 0 || share < s->least) {
        s->least = share;
        s->least_layer = layer;
    }
    if (s->count == 0 || share > s->most) {
        s->most = share;
        s->most_layer = layer;
    }
    s->sum += share;
    s->count++;
}

static double mean(const shares *s) {
    return s->count > 0 ? s->sum / (double)s->count : 0;
}

// A line of metrics.jsonl whose members are counted at run time.
typedef struct line {
    wn__metric *member;
    char (*name)[NAME_SIZE];
    size_t count;
} line;

static wn_status line_begin(const wn__trainer *t, line *l, size_t most) {
    *l = (line){.member = calloc(most + 3, sizeof *l->member),
                .name = calloc(most + 3, sizeof *l->name)};
    if (l->member == NULL || l->name == NULL)
        return wn__fail(WN_NOMEM, "no memory for the metrics of %zu layers", most);
    l->member[l->count++] = (wn__metric){"step", (double)t->step, NULL};
    l->member[l->count++] = (wn__metric){"tokens", (double)t->tokens_seen, NULL};
    l->member[l->count++] = (wn__metric){"seconds", t->train_seconds, NULL};
    return WN_OK;
}

static void line_add(line *l, const char *name, double value, const char *text) {
    l->member[l->count++] = (wn__metric){name, value, text};
}

// "series/layer": the name is kept by the line.
static void line_add_in(line *l, const char *series, const char *layer, double value) {
    char *name = l->name[l->count];
    (void)snprintf(name, NAME_SIZE, "%s/%s", series, layer);
    line_add(l, name, value, NULL);
}

static wn_status line_end(wn__trainer *t, line *l, const char *kind, wn_status status) {
    if (status == WN_OK) status = wn__metrics_write(&t->metrics, kind, l->member, l->count);
    free(l->member);
    free(l->name);
    return status;
}

/* Masks. */

// Whether the last preparation made a new mask; its share of changed positions.
static bool flipped(const wn__linear *l, double *share) {
    if (l->flips < 0 || l->positions <= 0) return false;
    *share = (double)l->flips / (double)l->positions;
    return true;
}

// Over all positions; the extremes are of layers.
static double collect_flips(const wn__trainer *t, shares *s) {
    int64_t flips = 0, positions = 0;
    *s = (shares){0};
    for (size_t i = 0; i < wn__model_linear_count(t->model); i++) {
        const wn__linear *l = wn__model_linear(t->model, i);
        double share;
        if (!flipped(l, &share)) continue;
        add_share(s, share, l->name);
        flips += l->flips;
        positions += l->positions;
    }
    return positions > 0 ? (double)flips / (double)positions : 0;
}

static void add_flip_rates(const wn__trainer *t, const shares *s, double total, line *l) {
    for (size_t i = 0; i < wn__model_linear_count(t->model); i++) {
        const wn__linear *layer = wn__model_linear(t->model, i);
        double share;
        if (flipped(layer, &share)) line_add_in(l, "flip_rate", layer->name, share);
    }
    line_add(l, "flip_rate/mean", mean(s), NULL);
    line_add(l, "flip_rate/min", s->least, NULL);
    line_add(l, "flip_rate/max", s->most, NULL);
    line_add(l, "flip_rate/total", total, NULL);
}

wn_status wn__report_masks(wn__trainer *t) {
    shares s;
    line l;
    double total = collect_flips(t, &s);
    if (s.count == 0) return WN_OK;
    wn_train_event e = {.kind = WN_EVENT_MASK,
                        .flips = total,
                        .flips_min = s.least,
                        .flips_max = s.most,
                        .min_layer = s.least_layer,
                        .max_layer = s.most_layer};
    wn__emit(t, &e);
    wn_status status = line_begin(t, &l, s.count + 9);
    if (status == WN_OK) {
        line_add(&l, "flips", total, NULL);
        line_add(&l, "flips_min", s.least, NULL);
        line_add(&l, "flips_max", s.most, NULL);
        line_add(&l, "min_layer", 0, s.least_layer);
        line_add(&l, "max_layer", 0, s.most_layer);
        if (t->o.log_flips) add_flip_rates(t, &s, total, &l);
    }
    return line_end(t, &l, "mask", status);
}

/* Activations. */

// Whether the last training pass counted its zeros.
static const wn__act24 *counted(const wn__trainer *t, size_t i) {
    const wn__act24 *a = wn__model_act24(t->model, i);
    return a != NULL && a->zero_share >= 0 ? a : NULL;
}

static double collect_zeros(const wn__trainer *t, shares *s) {
    shares dropped = {0};
    *s = (shares){0};
    for (size_t i = 0; i < wn__model_act24_count(t->model); i++) {
        const wn__act24 *a = counted(t, i);
        if (a == NULL) continue;
        add_share(s, a->zero_share, a->name);
        if (a->dropped >= 0) add_share(&dropped, a->dropped, a->name);
    }
    return mean(&dropped);
}

static void add_zero_shares(const wn__trainer *t, const shares *s, line *l) {
    for (size_t i = 0; i < wn__model_act24_count(t->model); i++) {
        const wn__act24 *a = counted(t, i);
        char layer[32];
        (void)snprintf(layer, sizeof layer, "layer_%zu", i);
        if (a != NULL) line_add_in(l, "sparsity_relu", layer, a->zero_share);
    }
    line_add(l, "sparsity_relu/mean_across_layers", mean(s), NULL);
}

wn_status wn__report_activations(wn__trainer *t) {
    shares s;
    line l;
    double dropped = collect_zeros(t, &s);
    if (s.count == 0) return WN_OK;
    wn_train_event e = {.kind = WN_EVENT_ACT,
                        .zeros = mean(&s),
                        .zeros_min = s.least,
                        .zeros_max = s.most,
                        .dropped = dropped,
                        .min_layer = s.least_layer,
                        .max_layer = s.most_layer};
    wn__emit(t, &e);
    wn_status status = line_begin(t, &l, s.count + 7);
    if (status == WN_OK) {
        line_add(&l, "zeros", e.zeros, NULL);
        line_add(&l, "zeros_min", s.least, NULL);
        line_add(&l, "zeros_max", s.most, NULL);
        line_add(&l, "dropped", dropped, NULL);
        line_add(&l, "min_layer", 0, s.least_layer);
        line_add(&l, "max_layer", 0, s.most_layer);
        if (t->o.log_act_zeros) add_zero_shares(t, &s, &l);
    }
    return line_end(t, &l, "act", status);
}
