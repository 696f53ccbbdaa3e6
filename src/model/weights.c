// SPDX-License-Identifier: MIT
// Values of the parameters: random ones, those of a checkpoint, and what goes back to disk.
#include "base/fail.h"
#include "base/philox.h"
#include "formats/safetensors.h"
#include "kernels/elementwise.h"
#include "model/internal.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

// New masters: whatever masks there were say nothing about them.
static void forget_masks(wn__model *m) {
    for (size_t i = 0; i < m->linear_count; i++)
        m->linear[i]->ready = false;
}

static double init_std(const wn__model_config *c, const wn__param *p) {
    bool into_stream =
        ends_with(p->name, ".o_proj.weight") || ends_with(p->name, ".down_proj.weight");
    return into_stream ? c->init_std / sqrt(2.0 * (double)c->layers) : c->init_std;
}

static wn_status init_param(wn__model *m, size_t i, uint64_t seed) {
    const wn__param *p = &m->params.item[i];
    const wn__normal normal = {
        .x = p->w, .seed = seed, .stream = WN_STREAM_INIT + i, .std = init_std(&m->spec.config, p)};
    const wn__fill fill = {.x = p->w, .value = ends_with(p->name, ".bias") ? 0 : 1};
    return p->w.ndim == 2 ? wn__run(m->x, WN__OP_normal, &normal)
                          : wn__run(m->x, WN__OP_fill, &fill);
}

wn_status wn__model_init(wn__model *m, uint64_t seed) {
    forget_masks(m);
    for (size_t i = 0; i < m->params.count; i++)
        WN_TRY(init_param(m, i, seed));
    return WN_OK;
}

// Bytes of a file may lie anywhere, so they pass through an aligned block.
#define LOAD_BLOCK ((int64_t)65536)

static wn_status load_values(wn__model *m, const wn_tensor *from, const wn_tensor *to) {
    size_t size = wn_dtype_size(from->dtype);
    int64_t count = wn__tensor_count(to);
    void *block = malloc((size_t)LOAD_BLOCK * size);
    if (block == NULL) return wn__fail(WN_NOMEM, "no memory to load with");
    const wn_tensor flat = wn__tensor_reshape(to, 1, &count);
    wn_status status = WN_OK;
    for (int64_t begin = 0; begin < count && status == WN_OK; begin += LOAD_BLOCK) {
        int64_t n = count - begin < LOAD_BLOCK ? count - begin : LOAD_BLOCK;
        memcpy(block, (const char *)from->data + (size_t)begin * size, (size_t)n * size);
        const wn__copy copy = {.src = wn__tensor1(block, from->dtype, n),
                               .dst = wn__tensor_slice(&flat, 0, begin, n)};
        status = wn__run(m->x, WN__OP_copy, &copy);
    }
    free(block);
    return status;
}

static bool loadable(wn_dtype d) {
    return d == WN_DTYPE_F32 || d == WN_DTYPE_F64 || d == WN_DTYPE_BF16 || d == WN_DTYPE_F16;
}

static wn_status load_param(wn__model *m, const wn__param *p, const wn__hf_weights *weights) {
    wn_tensor from;
    char found[160], wanted[160];
    if (!wn__hf_weights_find(weights, p->name, &from))
        return wn__fail(WN_FORMAT, "the checkpoint has no tensor '%s'", p->name);
    if (!loadable(from.dtype))
        return wn__fail(WN_FORMAT, "tensor '%s' is %s; weights may be F64, F32, BF16 or F16",
                        p->name, wn_dtype_name(from.dtype));
    if (!wn__tensor_same_shape(&from, &p->w))
        return wn__fail(WN_INVALID,
                        "tensor '%s' is %s in the checkpoint, the configuration says %s", p->name,
                        wn__tensor_describe(&from, found, sizeof found),
                        wn__tensor_describe(&p->w, wanted, sizeof wanted));
    return load_values(m, &from, &p->w);
}

static bool ignored(const wn__model *m, const char *name) {
    return ends_with(name, ".rotary_emb.inv_freq") ||
           (m->spec.config.tied && strcmp(name, "lm_head.weight") == 0);
}

static wn_status check_no_strangers(const wn__model *m, const wn__hf_weights *weights) {
    for (size_t i = 0; i < wn__hf_weights_count(weights); i++) {
        const char *name, *file;
        wn_tensor view;
        wn__hf_weights_at(weights, i, &name, &view, &file);
        if (wn__params_find(&m->params, name) == NULL && !ignored(m, name))
            return wn__fail(WN_FORMAT, "%s: tensor '%s' belongs to no part of the configured model",
                            file, name);
    }
    return WN_OK;
}

wn_status wn__model_load(wn__model *m, const wn__hf_weights *weights) {
    WN_TRY(check_no_strangers(m, weights));
    forget_masks(m);
    for (size_t i = 0; i < m->params.count; i++)
        WN_TRY(load_param(m, &m->params.item[i], weights));
    return WN_OK;
}

static wn__linear *structured_owner(wn__model *m, size_t param) {
    for (size_t i = 0; i < m->linear_count; i++)
        if (m->linear[i]->weight == param && m->linear[i]->structure.kind != WN_STRUCTURE_DENSE)
            return m->linear[i];
    return NULL;
}

static wn_status export_param(wn__model *m, size_t i, wn__st_item *out) {
    const wn__param *p = &m->params.item[i];
    *out = (wn__st_item){.name = p->name, .view = p->w};
    wn__linear *l = structured_owner(m, i);
    if (l == NULL) return WN_OK;
    if (m->spec.training) out->view = p->g;
    return wn__linear_merge(l, m->x, &out->view);
}

wn_status wn__model_export(wn__model *m, struct wn__st_item **items, size_t *count) {
    *items = NULL;
    *count = 0;
    wn__st_item *list = calloc(m->params.count, sizeof *list);
    if (list == NULL) return wn__fail(WN_NOMEM, "no memory for %zu tensors", m->params.count);
    for (size_t i = 0; i < m->params.count; i++) {
        wn_status status = export_param(m, i, &list[i]);
        if (status == WN_OK) continue;
        free(list);
        return status;
    }
    *items = list;
    *count = m->params.count;
    return WN_OK;
}

static size_t optimizer_states(const wn__model *m) {
    return m->spec.training ? wn__optimizer_state_count(m->spec.optimizer, &m->params) : 0;
}

static size_t state_count(const wn__model *m) {
    size_t n = m->params.count + optimizer_states(m);
    for (size_t i = 0; i < m->linear_count; i++)
        n += m->linear[i]->state_count;
    return n;
}

wn_status wn__model_states(wn__model *m, struct wn__st_item **items, size_t *count) {
    *count = 0;
    wn__st_item *list = *items = calloc(state_count(m), sizeof *list);
    if (list == NULL) return wn__fail(WN_NOMEM, "no memory for %zu tensors", state_count(m));
    size_t n = 0;
    for (size_t i = 0; i < m->params.count; i++) {
        const wn__param *p = &m->params.item[i];
        list[n++] = (wn__st_item){.name = p->name, .view = *wn__param_master(p)};
    }
    for (size_t i = 0; i < optimizer_states(m); i++, n++)
        wn__optimizer_state_at(m->spec.optimizer, &m->params, i, &list[n].name, &list[n].view);
    for (size_t i = 0; i < m->linear_count; i++)
        for (size_t j = 0; j < m->linear[i]->state_count; j++)
            list[n++] = (wn__st_item){.name = m->linear[i]->state[j].name,
                                      .view = m->linear[i]->state[j].view};
    *count = n;
    return WN_OK;
}

wn_status wn__model_states_loaded(wn__model *m) {
    for (size_t i = 0; i < m->linear_count; i++)
        WN_TRY(wn__linear_restore(m->linear[i], m->x));
    return WN_OK;
}
