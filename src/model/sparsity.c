// SPDX-License-Identifier: MIT
// What a model directory is told of 2:4, and what is taken from one: activations and inputs, which
// an evaluation prunes, with their scales, and the weights that are 2:4 as they are written.
#include "base/fail.h"
#include "formats/hf_sparsity.h"
#include "model/internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The activation of block i that may be 2:4; NULL: none.
static wn__act24 *act_of(const wn__model *m, size_t i) {
    wn__act24 *a = &m->block[i].mlp.act;
    return wn__act24_given(a) ? a : NULL;
}

static void add(wn__hf_sparsity *s, const char *layer, bool input, const wn__structure *structure,
                const double *scale) {
    wn__hf_sparse *item = &s->item[s->count++];
    *item = (wn__hf_sparse){.input = input,
                            .method = wn__structure_method(structure),
                            .scale = scale != NULL ? *scale : 0};
    (void)snprintf(item->layer, sizeof item->layer, "%s", layer);
}

static void add_weight(wn__hf_sparsity *s, const wn__linear *l) {
    const char *pattern = wn__linear_pattern(l);
    if (pattern == NULL) return;
    wn__hf_sparse *item = &s->weight[s->weights++];
    *item = (wn__hf_sparse){.input = true, .method = pattern};
    (void)snprintf(item->layer, sizeof item->layer, "%s", l->name);
}

wn_status wn__model_sparsity(const wn__model *m, wn__hf_sparsity *out) {
    size_t blocks = (size_t)m->spec.config.layers, most = blocks + m->linear_count;
    *out = (wn__hf_sparsity){.item = calloc(most, sizeof *out->item),
                             .weight = calloc(most, sizeof *out->weight)};
    if (out->item == NULL || out->weight == NULL) {
        wn__hf_sparsity_free(out);
        return wn__fail(WN_NOMEM, "no memory for %zu layers", most);
    }
    for (size_t i = 0; i < blocks; i++) {
        const wn__act24 *a = act_of(m, i);
        if (a != NULL && wn__act24_evaluates(a))
            add(out, a->name, false, &a->structure, a->scale.data);
    }
    for (size_t i = 0; i < m->linear_count; i++) {
        const wn__linear *l = m->linear[i];
        if (wn__linear_prunes_input(l))
            add(out, l->name, true, &l->structure, wn__linear_input_scale(l));
        add_weight(out, l);
    }
    return WN_OK;
}

static const wn__hf_sparse *find(const wn__hf_sparsity *s, const char *layer,
                                 const wn__structure *structure) {
    const char *method = wn__structure_method(structure);
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->item[i].layer, layer) == 0 && strcmp(s->item[i].method, method) == 0)
            return &s->item[i];
    return NULL;
}

// Takes the scale over where the directory has one by this method.
static wn_status take(const wn__hf_sparsity *s, const char *layer, const wn__structure *structure,
                      double *scale) {
    char name[WN_STRUCTURE_NAME];
    if (scale == NULL) return WN_OK;
    const wn__hf_sparse *item = find(s, layer, structure);
    if (item != NULL) {
        *scale = item->scale;
        return WN_OK;
    }
    return wn__fail(WN_INVALID,
                    "%s: %s needs a scale, which training chooses: config.json has none for it",
                    layer, wn__structure_name(structure, name, sizeof name));
}

wn_status wn__model_take_scales(wn__model *m, const wn__hf_sparsity *s) {
    for (size_t i = 0; i < (size_t)m->spec.config.layers; i++) {
        const wn__act24 *a = act_of(m, i);
        if (a != NULL) WN_TRY(take(s, a->name, &a->structure, a->scale.data));
    }
    for (size_t i = 0; i < m->linear_count; i++) {
        const wn__linear *l = m->linear[i];
        WN_TRY(take(s, l->name, &l->structure, wn__linear_input_scale(l)));
    }
    return WN_OK;
}
