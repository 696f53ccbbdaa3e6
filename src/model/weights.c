// SPDX-License-Identifier: MIT
// Values of the parameters: random ones, those of a checkpoint, and what goes back to disk.
#include "base/fail.h"
#include "base/philox.h"
#include "formats/safetensors.h"
#include "kernels/elementwise.h"
#include "kernels/numeric.h"
#include "model/internal.h"
#include "sparse/kron.h"
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

// What layers read follows the masters where bits are saved.
static wn_status round_weights(wn__model *m) {
    for (size_t i = 0; m->spec.round16 && i < m->params.count; i++) {
        const wn__param *p = &m->params.item[i];
        const wn__round16 round = {.x = *wn__param_master(p), .y = p->w};
        const wn__copy narrow = {.src = round.x, .dst = p->w};
        WN_TRY(p->w.dtype == round.x.dtype ? wn__run(m->x, WN__OP_round16, &round)
                                           : wn__run(m->x, WN__OP_copy, &narrow));
    }
    return WN_OK;
}

// The layer that a parameter is a weight or a factor of; NULL for tables, norms and biases.
static wn__linear *owner_of(const wn__model *m, size_t param) {
    for (size_t i = 0; i < m->linear_count; i++)
        if (wn__linear_owns(m->linear[i], param)) return m->linear[i];
    return NULL;
}

static double init_std(const wn__model_config *c, const char *layer) {
    bool into_stream = ends_with(layer, ".o_proj") || ends_with(layer, ".down_proj");
    return into_stream ? c->init_std / sqrt(2.0 * (double)c->layers) : c->init_std;
}

static wn_status init_param(wn__model *m, size_t i, uint64_t seed) {
    const wn__param *p = &m->params.item[i];
    const wn_tensor x = *wn__param_master(p);
    const wn__normal normal = {
        .x = x, .seed = seed, .stream = WN_STREAM_INIT + i, .std = m->spec.config.init_std};
    const wn__fill fill = {.x = x, .value = ends_with(p->name, ".bias") ? 0 : 1};
    return x.ndim == 2 ? wn__run(m->x, WN__OP_normal, &normal) : wn__run(m->x, WN__OP_fill, &fill);
}

static wn_status init_linear(wn__model *m, wn__linear *l, uint64_t seed) {
    double std;
    wn__init_report *r = &m->init_report;
    WN_TRY(wn__linear_init(l, m->x, seed, init_std(&m->spec.config, l->name), &std));
    if (l->structure.kind != WN_STRUCTURE_LOWRANK || m->x->planning) return WN_OK;
    r->least = r->layers == 0 || std < r->least ? std : r->least;
    r->most = r->layers == 0 || std > r->most ? std : r->most;
    r->layers++;
    return WN_OK;
}

wn_status wn__model_init(wn__model *m, uint64_t seed) {
    forget_masks(m);
    m->init_report = (wn__init_report){0};
    if (!m->x->planning) m->pass.seed = seed;
    for (size_t i = 0; i < m->params.count; i++)
        if (owner_of(m, i) == NULL) WN_TRY(init_param(m, i, seed));
    for (size_t i = 0; i < m->linear_count; i++)
        WN_TRY(init_linear(m, m->linear[i], seed));
    return round_weights(m);
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

// Copies the checkpoint's tensor of that name into `to`.
static wn_status load_tensor(wn__model *m, const char *name, const wn_tensor *to,
                             const wn__hf_weights *weights) {
    wn_tensor from;
    const char *file;
    char found[160], wanted[160];
    if (!wn__hf_weights_locate(weights, name, &from, &file))
        return wn__fail(WN_FORMAT, "%s%s: no tensor '%s', which the configuration has",
                        wn__hf_weights_file(weights, 0)->path,
                        wn__hf_weights_files(weights) > 1 ? " and the other shards" : "", name);
    if (!loadable(from.dtype))
        return wn__fail(WN_FORMAT, "%s: tensor '%s' is %s; weights may be F64, F32, BF16 or F16",
                        file, name, wn_dtype_name(from.dtype));
    if (!wn__tensor_same_shape(&from, to))
        return wn__fail(WN_INVALID, "%s: tensor '%s' is %s, the configuration says %s", file, name,
                        wn__tensor_describe(&from, found, sizeof found),
                        wn__tensor_describe(to, wanted, sizeof wanted));
    return load_values(m, &from, to);
}

static wn_status load_param(wn__model *m, size_t i, const wn__hf_weights *weights) {
    const wn__param *p = &m->params.item[i];
    const wn__linear *owner = owner_of(m, i);
    if (owner != NULL && owner->factored) return WN_OK;
    return load_tensor(m, p->name, wn__param_master(p), weights);
}

static wn_status load_into(wn__model *m, size_t i, const wn_tensor *weight,
                           const wn__hf_weights *weights) {
    WN_TRY(load_tensor(m, m->weight_name[i], weight, weights));
    return wn__linear_adopt(m->linear[i], m->x, weight);
}

// The dense weight of a stream exists only while it is packed.
static wn_status load_stream(wn__model *m, size_t i, const wn__hf_weights *weights) {
    const wn__linear *l = m->linear[i];
    wn__arena arena;
    wn_tensor weight;
    wn__arena_measure(l->name, &arena);
    WN_TRY(wn__tensor_alloc2(&arena, m->spec.dtype, l->out, l->in, &weight));
    WN_TRY(wn__arena_create(l->name, arena.used, &arena));
    wn_status status = wn__tensor_alloc2(&arena, m->spec.dtype, l->out, l->in, &weight);
    if (status == WN_OK) status = load_into(m, i, &weight, weights);
    wn__arena_free(&arena);
    return status;
}

// Whether a checkpoint has the factors of a chain rather than their product.
static bool has_factors(const wn__model *m, const wn__linear *l, const wn__hf_weights *weights) {
    wn_tensor view;
    return l->structure.kind == WN_STRUCTURE_KRON &&
           wn__hf_weights_find(weights, m->params.item[l->factor_in].name, &view);
}

// What the file says of a layer's factors, where it says anything: they are read as the patterns
// and in the layout they were written in, or not at all; shapes alone do not tell them apart.
static wn_status check_tag(const wn__linear *l, const wn__hf_weights *weights) {
    char key[WN_NAME_MAX + 8], said[WN__KRON_PATTERN_TEXT], built[WN__KRON_PATTERN_TEXT];
    wn__kron_chain c;
    wn__kron_layout layout;
    (void)snprintf(key, sizeof key, "kron:%s", l->name);
    const char *tag = wn__hf_weights_meta(weights, key);
    if (tag == NULL) return WN_OK;
    if (wn__kron_chain_parse(tag, &c, &layout) != WN_OK)
        return wn__fail_in(WN_FORMAT, "metadata '%s'", key);
    if (layout != WN__KRON_COLUMNS)
        return wn__fail(WN_FORMAT, "metadata '%s': layout %s, but %s is read", key,
                        wn__kron_layout_name(layout), wn__kron_layout_name(WN__KRON_COLUMNS));
    const wn__kron_chain *own = wn__linear_chain(l);
    if (c.count != own->count)
        return wn__fail(WN_FORMAT, "metadata '%s': %d factors, but the layer has %d", key, c.count,
                        own->count);
    for (int t = 0; t < c.count; t++)
        if (!wn__kron_same(&c.factor[t], &own->factor[t]))
            return wn__fail(WN_FORMAT, "metadata '%s': factor %d is %s, but the layer's is %s", key,
                            t, wn__kron_text(&c.factor[t], said, sizeof said),
                            wn__kron_text(&own->factor[t], built, sizeof built));
    return WN_OK;
}

// Through the scratch block: the file has the weight that the factors stand for.
static wn_status load_factored(wn__model *m, size_t i, const wn__hf_weights *weights) {
    const wn__linear *l = m->linear[i];
    int64_t at = 0;
    if (!l->factored) return WN_OK;
    if (wn__linear_streams(l)) return load_stream(m, i, weights);
    if (has_factors(m, l, weights)) WN_TRY(check_tag(l, weights));
    for (size_t p = l->factor_in; has_factors(m, l, weights) && p <= l->factor_out; p++) {
        const wn__param *factor = &m->params.item[p];
        WN_TRY(load_tensor(m, factor->name, wn__param_master(factor), weights));
        if (p == l->factor_out) return WN_OK;
    }
    const wn_tensor weight = wn__scratch_take(&m->scratch, &at, l->out, l->in);
    return load_into(m, i, &weight, weights);
}

static bool ignored(const wn__model *m, const char *name) {
    return ends_with(name, ".rotary_emb.inv_freq") ||
           (m->spec.config.tied && strcmp(name, "lm_head.weight") == 0);
}

static bool is_parameter(const wn__model *m, const char *name, const wn__hf_weights *weights) {
    const wn__param *p = wn__params_find(&m->params, name);
    const wn__linear *owner = p != NULL ? owner_of(m, (size_t)(p - m->params.item)) : NULL;
    if (p != NULL && (owner == NULL || !owner->factored || has_factors(m, owner, weights)))
        return true;
    for (size_t i = 0; i < m->linear_count; i++)
        if (m->linear[i]->factored && strcmp(m->weight_name[i], name) == 0)
            return !has_factors(m, m->linear[i], weights);
    return false;
}

static wn_status check_no_strangers(const wn__model *m, const wn__hf_weights *weights) {
    for (size_t i = 0; i < wn__hf_weights_count(weights); i++) {
        const char *name, *file;
        wn_tensor view;
        wn__hf_weights_at(weights, i, &name, &view, &file);
        if (!is_parameter(m, name, weights) && !ignored(m, name))
            return wn__fail(WN_FORMAT,
                            "%s: tensor '%s' belongs to no part of the configured model%s", file,
                            name,
                            strstr(name, ".factor_") != NULL || strstr(name, ".head_") != NULL
                                ? ", whose layer is no such chain (config.json says of what kind)"
                                : "");
    }
    return WN_OK;
}

wn_status wn__model_load(wn__model *m, const wn__hf_weights *weights) {
    WN_TRY(check_no_strangers(m, weights));
    forget_masks(m);
    for (size_t i = 0; i < m->params.count; i++)
        WN_TRY(load_param(m, i, weights));
    for (size_t i = 0; i < m->linear_count; i++)
        WN_TRY(load_factored(m, i, weights));
    return round_weights(m);
}

// A 2:4 weight that is not trained is merged in place: its pack is all that is read.
static wn_tensor merge_place(const wn__model *m, const wn__linear *l) {
    int64_t at = 0;
    if (l->structure.kind == WN_STRUCTURE_SPARSE24 && !m->spec.training)
        return wn__linear_weight(l)->w;
    const wn_tensor room = wn__scratch_take(&m->scratch, &at, l->out, l->in);
    return wn__tensor2(room.data, wn__model_merged_dtype(m, l), l->out, l->in);
}

wn_dtype wn__model_merged_dtype(const wn__model *m, const wn__linear *l) {
    return l->store16 ? WN_DTYPE_BF16 : m->spec.dtype;
}

static wn_status make_merged(void *ctx, size_t which, wn_tensor *out) {
    wn__model *m = ctx;
    *out = merge_place(m, m->linear[which]);
    return wn__linear_merge(m->linear[which], m->x, out);
}

// Only structures that multiply by something else than their parameter are merged.
static void list_weights(wn__model *m, wn__st_item *list, size_t *n) {
    for (size_t i = 0; i < m->linear_count; i++) {
        const wn__linear *l = m->linear[i];
        if (wn__linear_plain(l)) continue;
        list[(*n)++] =
            (wn__st_item){.name = m->weight_name[i],
                          .view = wn__tensor2(NULL, wn__model_merged_dtype(m, l), l->out, l->in),
                          .make = make_merged,
                          .ctx = m,
                          .which = i};
    }
}

wn_status wn__model_export(wn__model *m, struct wn__st_item **items, size_t *count) {
    size_t most = m->params.count + m->linear_count;
    *count = 0;
    if (m->spec.stored != WN_STORED_MASTER)
        return wn__fail(WN_BUG, "a model of streams is not written out");
    wn__st_item *list = *items = calloc(most, sizeof *list);
    if (list == NULL) return wn__fail(WN_NOMEM, "no memory for %zu tensors", most);
    for (size_t i = 0; i < m->params.count; i++) {
        const wn__linear *owner = owner_of(m, i);
        if (owner != NULL && !wn__linear_plain(owner)) continue;
        const wn__param *p = &m->params.item[i];
        list[(*count)++] = (wn__st_item){.name = p->name, .view = p->w};
    }
    list_weights(m, list, count);
    return WN_OK;
}

static size_t optimizer_states(const wn__model *m) {
    return m->spec.training ? wn__optimizer_state_count(m->spec.optimizer, &m->params) : 0;
}

static size_t state_count(const wn__model *m) {
    size_t n = m->params.count + optimizer_states(m);
    for (size_t i = 0; i < m->linear_count; i++)
        n += m->linear[i]->state_count;
    for (int64_t i = 0; i < m->spec.config.layers; i++)
        n += m->block[i].mlp.act.state_count;
    return n;
}

static void list_states(const wn__state *state, size_t n, wn__st_item *list, size_t *count) {
    for (size_t i = 0; i < n; i++)
        list[(*count)++] = (wn__st_item){.name = state[i].name, .view = state[i].view};
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
        list_states(m->linear[i]->state, m->linear[i]->state_count, list, &n);
    for (int64_t i = 0; i < m->spec.config.layers; i++)
        list_states(m->block[i].mlp.act.state, m->block[i].mlp.act.state_count, list, &n);
    *count = n;
    return WN_OK;
}

wn_status wn__model_states_loaded(wn__model *m) {
    WN_TRY(round_weights(m));
    for (size_t i = 0; i < m->linear_count; i++)
        WN_TRY(wn__linear_restore(m->linear[i], m->x));
    for (int64_t i = 0; i < m->spec.config.layers; i++)
        WN_TRY(wn__act24_restore(&m->block[i].mlp.act));
    return WN_OK;
}
