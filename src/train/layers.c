// SPDX-License-Identifier: MIT
// The table of layers at the start of a run, and in a line for each structure what became of them.
#include "base/fail.h"
#include "nn/act24.h"
#include "train/trainer.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB(bytes) ((double)(bytes) / 0x1p20)
#define STRUCTURE  64

// Layers of one kind and structure in different blocks share a row of the table; layers of one
// structure share a summary.
typedef struct row {
    const char *name; // "mlp.up_proj"
    int64_t out, in;
    char structure[STRUCTURE];
    wn__structure_kind kind;
    wn__linear_bytes bytes;
    int64_t count, mlp;    // layers; those of an MLP
    int64_t dense, params; // parameters if they were dense, and as they are
} row;

typedef struct rows {
    row *item;
    size_t count;
    int width; // of the longest structure
} rows;

// "model.layers.12.mlp.up_proj" -> "mlp.up_proj"
static const char *kind_of(const char *name) {
    if (strncmp(name, "model.layers.", 13) != 0) return name;
    const char *dot = strchr(name + 13, '.');
    return dot != NULL ? dot + 1 : name;
}

// Parameters of its weight that training keeps.
static int64_t weight_params(const wn__linear *l) {
    const wn__param *p = l->params->item;
    bool pair =
        l->structure.kind == WN_STRUCTURE_LOWRANK || l->structure.kind == WN_STRUCTURE_ADAPTER;
    int64_t n =
        pair ? wn__tensor_count(&p[l->factor_in].w) + wn__tensor_count(&p[l->factor_out].w) : 0;
    if (l->structure.kind == WN_STRUCTURE_KRON)
        for (size_t i = l->factor_in; i <= l->factor_out; i++)
            n += wn__tensor_count(&p[i].w);
    bool dense =
        l->structure.kind != WN_STRUCTURE_LOWRANK && l->structure.kind != WN_STRUCTURE_KRON;
    return dense ? n + l->in * l->out : n;
}

static void add_bytes(wn__linear_bytes *to, const wn__linear_bytes *b) {
    to->dense += b->dense;
    to->master += b->master;
    to->forward += b->forward;
    to->backward += b->backward;
    to->state += b->state;
}

static row row_of(const wn__linear *l) {
    row r = {.name = kind_of(l->name),
             .out = l->out,
             .in = l->in,
             .kind = l->structure.kind,
             .count = 1,
             .mlp = strstr(l->name, ".mlp.") != NULL,
             .dense = l->in * l->out,
             .params = weight_params(l)};
    (void)wn__structure_name(&l->structure, r.structure, sizeof r.structure);
    l->type->bytes(l, &r.bytes);
    return r;
}

static void add_row(rows *all, const row *r, bool by_name) {
    size_t i = 0;
    for (; i < all->count; i++) {
        const row *o = &all->item[i];
        bool same = strcmp(o->structure, r->structure) == 0;
        if (same &&
            (!by_name || (strcmp(o->name, r->name) == 0 && o->in == r->in && o->out == r->out)))
            break;
    }
    int width = (int)strlen(r->structure);
    if (width > all->width) all->width = width;
    if (i == all->count) {
        all->item[all->count++] = *r;
        return;
    }
    row *o = &all->item[i];
    o->count += r->count;
    o->mlp += r->mlp;
    o->dense += r->dense;
    o->params += r->params;
    add_bytes(&o->bytes, &r->bytes);
}

static void say_row(wn__trainer *t, const row *r, int width) {
    char shape[48];
    const wn__linear_bytes *b = &r->bytes;
    (void)snprintf(shape, sizeof shape, "%" PRId64 " x %" PRId64, r->out, r->in);
    wn__say(t, "  %-20s %3" PRId64 "  %-14s %-*s %9.2f %9.2f %9.2f %9.2f %9.2f", r->name, r->count,
            shape, width, r->structure, MIB(b->dense), MIB(b->master), MIB(b->forward),
            MIB(b->backward), MIB(b->state));
}

/* Activations. */

static size_t state_bytes(const wn__act24 *a) {
    size_t n = 0;
    for (size_t i = 0; i < a->state_count; i++)
        n += wn__tensor_bytes(&a->state[i].view);
    return n;
}

static void widen_for_activations(const wn__trainer *t, rows *all) {
    char structure[STRUCTURE];
    for (size_t i = 0; i < wn__model_act24_count(t->model); i++) {
        const wn__act24 *a = wn__model_act24(t->model, i);
        if (a == NULL || !wn__act24_given(a)) continue;
        int width = (int)strlen(wn__structure_name(&a->structure, structure, sizeof structure));
        if (width > all->width) all->width = width;
    }
}

// What becomes of them in products; of all MLPs, which are of one shape.
static void say_packs(wn__trainer *t, const wn__act24 *a) {
    const char *up = a->dense_up, *down = a->dense_down;
    if (up == NULL && down == NULL)
        wn__say(t, "2:4 activations and their gradients are multiplied as packs");
    else if (up != NULL && down != NULL)
        wn__say(t, "2:4 activations are multiplied in dense form: %s", down);
    else
        wn__say(t, "2:4 activations are multiplied as packs in %s, in dense form in %s: %s",
                up == NULL ? "up_proj" : "down_proj", up == NULL ? "down_proj" : "up_proj",
                up == NULL ? down : up);
}

static void say_activations(wn__trainer *t, int column) {
    char structure[STRUCTURE] = "";
    const wn__act24 *given = NULL;
    int64_t count = 0, width = 0;
    size_t bytes = 0;
    for (size_t i = 0; i < wn__model_act24_count(t->model); i++) {
        const wn__act24 *a = wn__model_act24(t->model, i);
        if (a == NULL || !wn__act24_given(a)) continue; // only counted
        (void)wn__structure_name(&a->structure, structure, sizeof structure);
        width = a->width;
        bytes += state_bytes(a);
        given = a;
        count++;
    }
    if (count == 0) return;
    char shape[48];
    (void)snprintf(shape, sizeof shape, "%" PRId64, width);
    wn__say(t, "  %-20s %3" PRId64 "  %-14s %-*s %9s %9s %9s %9s %9.2f", "mlp.act", count, shape,
            column, structure, "", "", "", "", MIB(bytes));
    if (t->words.structure.act_warmup > 0)
        wn__say(t, "2:4 activations enabled in %" PRId64 " MLPs, after %" PRId64 " dense updates",
                count, t->words.structure.act_warmup);
    else
        wn__say(t, "2:4 activations enabled in %" PRId64 " MLPs", count);
    say_packs(t, given);
}

/* What became of the layers. */

// The wording that other tools look for.
static void say_masks(wn__trainer *t, const rows *all) {
    int64_t mlp = 0, others = 0;
    for (size_t i = 0; i < all->count; i++) {
        const row *r = &all->item[i];
        if (r->kind != WN_STRUCTURE_SPARSE24 && r->kind != WN_STRUCTURE_SSTE) continue;
        mlp += r->mlp;
        others += r->count - r->mlp;
    }
    if (mlp > 0) wn__say(t, "2:4 sparsity enabled - converted %" PRId64 " MLP layers", mlp);
    if (others > 0)
        wn__say(t, "2:4 sparsity enabled outside the MLP - converted %" PRId64 " layers", others);
}

// The number of modules that became factors.
static int64_t say_factors(wn__trainer *t, const row *r) {
    if (r->kind != WN_STRUCTURE_LOWRANK && r->kind != WN_STRUCTURE_ADAPTER &&
        r->kind != WN_STRUCTURE_KRON)
        return 0;
    wn__say(t,
            "replaced %" PRId64 " modules by %s: %" PRId64 " parameters, %.2f MiB -> %" PRId64
            ", %.2f MiB",
            r->count, r->structure, r->dense, MIB(r->bytes.dense), r->params, MIB(r->bytes.master));
    return r->count;
}

int64_t wn__trained_params(const wn__trainer *t) {
    const wn__params *p = wn__model_params(t->model);
    int64_t n = 0;
    for (size_t i = 0; i < p->count; i++)
        if (p->item[i].role != WN_PARAM_FROZEN) n += wn__tensor_count(&p->item[i].w);
    return n;
}

static void say_init(wn__trainer *t) {
    const wn__init_report *r = wn__model_init_report(t->model);
    if (r == NULL || r->layers == 0) return;
    wn__say(t,
            "initialized %zu low-rank modules by %s: their weights' standard deviation is %.4g to "
            "%.4g, a dense layer's %.4g",
            r->layers, t->o.lowrank_init, r->least, r->most, t->config.init_std);
}

// An adapter is for a weight that was trained; without one it stays what it was drawn as.
static void say_frozen(wn__trainer *t, const rows *all) {
    int64_t n = 0;
    if (wn__begins_from(&t->o) || t->o.resume) return;
    for (size_t i = 0; i < all->count; i++)
        if (all->item[i].kind == WN_STRUCTURE_ADAPTER) n += all->item[i].count;
    if (n > 0)
        wn__say(t,
                "note: the frozen weights of %" PRId64
                " modules are random: no init_from names trained ones, and adapters never change "
                "them",
                n);
}

static void say_all(wn__trainer *t, rows *table, rows *sums) {
    for (size_t i = 0; i < wn__model_linear_count(t->model); i++) {
        const row r = row_of(wn__model_linear(t->model, i));
        add_row(table, &r, true);
        add_row(sums, &r, false);
    }
    widen_for_activations(t, table);
    int width = table->width > 12 ? table->width : 12;
    wn__say(t,
            "layers               count  out x in       %-*s dense MiB    master   forward  "
            "backward     state",
            width, "structure");
    for (size_t i = 0; i < table->count; i++)
        say_row(t, &table->item[i], width);
    say_activations(t, width);
    say_masks(t, sums);
    int64_t replaced = 0;
    for (size_t i = 0; i < sums->count; i++)
        replaced += say_factors(t, &sums->item[i]);
    if (replaced > 0)
        wn__say(t, "replaced %" PRId64 " modules in all; %" PRId64 " parameters are trained",
                replaced, wn__trained_params(t));
    say_init(t);
    say_frozen(t, sums);
}

wn_status wn__report_layers(wn__trainer *t) {
    size_t n = wn__model_linear_count(t->model) + 1;
    rows table = {.item = calloc(n, sizeof *table.item)};
    rows sums = {.item = calloc(n, sizeof *sums.item)};
    wn_status status = WN_OK;
    if (table.item == NULL || sums.item == NULL) {
        status = wn__fail(WN_NOMEM, "no memory for the layer table");
    } else {
        say_all(t, &table, &sums);
    }
    free(table.item);
    free(sums.item);
    return status;
}
