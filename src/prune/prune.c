// SPDX-License-Identifier: MIT
// winnow prune: which layers, then each file of weights again with those layers pruned as they are
// written.
#include "winnow/prune.h"

#include "base/cpu.h"
#include "base/fail.h"
#include "base/log.h"
#include "formats/safetensors.h"
#include "infer/session.h"
#include "prune/layers.h"
#include "prune/magnitude.h"
#include "prune/place.h"
#include "sparse/pattern24.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A layer to prune.
typedef struct target {
    const wn__expected *expected;
    char layer[WN_NAME_MAX];
    wn__mask24_method method;
    wn_tensor view; // in the file
    const char *file;
} target;

typedef struct pruning {
    const wn_prune_options *o;
    wn_prune_fn *fn;
    void *ctx;
    char model[WN_PATH_MAX];
    wn__model_config config;
    wn__hf_sparsity said; // in the model's config.json
    wn__hf_weights *weights;
    wn__runtime *rt;
    wn__expected_list expected;
    wn__structure_rules rules;
    target *target; // in the order of the model
    size_t targets;
    void *block;   // the largest weight
    uint8_t *mask; // the largest mask
    wn__place place;
    const wn__safetensors *file; // that is being written again
    wn_tensor written;           // its tensor that was handed over last, as it is
    wn__prune_sums sums;
    wn_prune_result *result;
} pruning;

static const char *method_name(wn__mask24_method method) {
    return method == WN_MASK24_TILE ? "tile" : "row";
}

// ---- which layers ----

static wn_status parse_rules(const wn_prune_options *o, wn__structure_rules *out) {
    const char *pattern = o->pattern != NULL ? o->pattern : "row";
    char every[32];
    const wn__structure base = wn__structure_defaults();
    if (o->method != NULL && strcmp(o->method, "magnitude") != 0)
        return wn__fail(WN_INVALID, "method '%.64s', expected magnitude", o->method);
    if (o->sparsity_count > 0 && o->pattern != NULL)
        return wn__fail(WN_INVALID, "pattern '%.64s' and sparsity '%.64s': give one of the two",
                        o->pattern, o->sparsity[0]);
    if (o->sparsity_count > 0)
        return wn__structure_rules_parse(o->sparsity, o->sparsity_count, &base, out);
    if (strcmp(pattern, "row") != 0 && strcmp(pattern, "tile") != 0)
        return wn__fail(WN_INVALID, "pattern '%.64s', expected row or tile", pattern);
    (void)snprintf(every, sizeof every, "*_proj=2:4:%s", pattern);
    const char *const rule[] = {every};
    return wn__structure_rules_parse(rule, 1, &base, out);
}

static wn_status check_rules(const wn__structure_rules *rules) {
    for (size_t i = 0; i < rules->count; i++) {
        const wn__structure *s = &rules->rule[i].structure;
        bool plain = s->mvue == WN_MVUE_OFF && s->method != WN_MASK24_GREEDY;
        if (s->kind == WN_STRUCTURE_DENSE || (s->kind == WN_STRUCTURE_SPARSE24 && plain)) continue;
        return wn__fail(WN_INVALID, "sparsity '%s=%s': pruning makes dense, 2:4:row or 2:4:tile",
                        rules->rule[i].pattern, rules->rule[i].text);
    }
    return WN_OK;
}

// The multiples of four around n.
static wn_status check_size(const char *layer, const char *what, int64_t n) {
    if (n % 4 == 0) return WN_OK;
    int64_t below = n - n % 4;
    char less[32] = "";
    if (below > 0) (void)snprintf(less, sizeof less, "%" PRId64 " or ", below);
    return wn__fail(WN_INVALID,
                    "%s: %" PRId64 " %s, which 2:4 needs to be a multiple of 4 (nearest: %s%" PRId64
                    "); --sparsity can leave the layer dense",
                    layer, n, what, less, below + 4);
}

static wn_status check_target(const target *t) {
    const int64_t *shape = t->expected->shape;
    wn_dtype d = t->view.dtype;
    char found[160];
    if (t->view.ndim != 2 || t->view.shape[0] != shape[0] || t->view.shape[1] != shape[1])
        return wn__fail(WN_INVALID,
                        "%s: tensor '%s' is %s, the configuration says [%" PRId64 ", %" PRId64 "]",
                        t->file, t->expected->name,
                        wn__tensor_describe(&t->view, found, sizeof found), shape[0], shape[1]);
    if (d != WN_DTYPE_F32 && d != WN_DTYPE_BF16 && d != WN_DTYPE_F16 && d != WN_DTYPE_F64)
        return wn__fail(WN_INVALID, "%s: tensor '%s' is %s; only F64, F32, BF16 and F16 are pruned",
                        t->file, t->expected->name, wn_dtype_name(d));
    WN_TRY(check_size(t->layer, "inputs", shape[1]));
    return t->method == WN_MASK24_TILE ? check_size(t->layer, "outputs", shape[0]) : WN_OK;
}

static wn_status add_target(pruning *p, const wn__expected *e, const wn__structure *s) {
    target *t = &p->target[p->targets];
    *t = (target){.expected = e, .method = s->method};
    wn__expected_layer(e, t->layer);
    if (!wn__hf_weights_locate(p->weights, e->name, &t->view, &t->file))
        return wn__fail(WN_FORMAT, "%s: no tensor '%s'", p->model, e->name);
    WN_TRY(check_target(t));
    p->targets++;
    return WN_OK;
}

typedef char layer_name[WN_NAME_MAX];

static wn_status choose_layers(pruning *p, layer_name *layer, const char **names) {
    size_t count = 0;
    for (size_t i = 0; i < p->expected.count; i++) {
        const wn__expected *e = &p->expected.item[i];
        if (!e->linear) continue;
        wn__expected_layer(e, layer[count]);
        wn__structure s = wn__structure_of(&p->rules, layer[count]);
        names[count] = layer[count];
        count++;
        if (s.kind == WN_STRUCTURE_SPARSE24) WN_TRY(add_target(p, e, &s));
    }
    if (count == 0)
        return wn__fail(WN_INVALID, "%s: no layer has a weight that could be 2:4: all are chains",
                        p->model);
    WN_TRY(wn__structure_rules_unmatched(&p->rules, names, count));
    if (p->targets > 0) return WN_OK;
    return wn__fail(WN_INVALID, "no layer of %zu is to be pruned", count);
}

static wn_status open_model(pruning *p, const char *path) {
    WN_TRY(wn__model_dir(path, p->model));
    WN_TRY(wn__hf_config_read(p->model, &p->config));
    WN_TRY(wn__hf_sparsity_read(p->model, &p->config, &p->said));
    WN_TRY(wn__hf_weights_open(p->model, &p->weights));
    WN_TRY(wn__runtime_create(p->o->threads, p->o->kernels, false, &p->rt));
    WN_TRY(wn__expected_make(&p->config, &p->said, p->rt, &p->expected));
    WN_TRY(parse_rules(p->o, &p->rules));
    WN_TRY(check_rules(&p->rules));
    p->target = calloc(p->expected.linear + 1, sizeof *p->target);
    layer_name *layer = calloc(p->expected.linear + 1, sizeof *layer);
    const char **names = calloc(p->expected.linear + 1, sizeof *names);
    wn_status status = p->target == NULL || layer == NULL || names == NULL
                           ? wn__fail(WN_NOMEM, "%s: no memory for its layers", p->model)
                           : choose_layers(p, layer, names);
    free((void *)names);
    free(layer);
    return status;
}

static wn_status alloc_block(pruning *p) {
    size_t most = 0, mask = 0;
    for (size_t i = 0; i < p->targets; i++) {
        const wn_tensor *v = &p->target[i].view;
        size_t bytes = wn__tensor_bytes(v), bits = (size_t)(v->shape[0] * (v->shape[1] / 4));
        if (bytes > most) most = bytes;
        if (bits > mask) mask = bits;
    }
    p->block = aligned_alloc(64, (most + 64) / 64 * 64);
    p->mask = malloc(mask + 1);
    if (p->block != NULL && p->mask != NULL) return WN_OK;
    return wn__fail(WN_NOMEM, "%s: no memory for its largest weight, %zu bytes", p->model, most);
}

// ---- pruning one ----

static double share(double part, double whole) {
    return whole > 0 ? part / whole : 1;
}

static wn_status tell(pruning *p, const target *t, const wn__prune_sums *s) {
    wn__bytes24 bytes;
    const int64_t *shape = t->view.shape;
    double count = (double)(shape[0] * shape[1]);
    WN_TRY(wn__pattern24_bytes(t->view.dtype, shape[0], shape[1], &bytes));
    const wn_prune_layer layer = {.name = t->layer,
                                  .pattern = method_name(t->method),
                                  .dtype = wn_dtype_name(t->view.dtype),
                                  .out = shape[0],
                                  .in = shape[1],
                                  .magnitude = share(s->kept_magnitude, s->magnitude),
                                  .energy = share(s->kept_energy, s->energy),
                                  .zeros_before = share((double)s->zeros_before, count),
                                  .zeros = share((double)s->zeros, count),
                                  .dense_bytes = bytes.dense,
                                  .packed_bytes = bytes.values + bytes.index};
    wn__prune_sums_add(&p->sums, s);
    p->result->layers++;
    p->result->weights += shape[0] * shape[1];
    p->result->dense_bytes += bytes.dense;
    p->result->packed_bytes += bytes.values + bytes.index;
    if (p->fn != NULL) p->fn(p->ctx, &layer);
    return WN_OK;
}

// Bytes of a file may lie anywhere, so the weight is copied where it is aligned.
static wn_status prune_target(pruning *p, const target *t, wn_tensor *out) {
    const int64_t *shape = t->view.shape;
    wn__prune_sums sums;
    *out = wn__tensor2(p->block, t->view.dtype, shape[0], shape[1]);
    memcpy(p->block, t->view.data, wn__tensor_bytes(&t->view));
    wn__map_forget(t->view.data, wn__tensor_bytes(&t->view));
    const wn_tensor mask = wn__tensor2(p->mask, WN_DTYPE_U8, shape[0], shape[1] / 4);
    WN_TRY(wn__prune_magnitude(p->rt, out, &mask, t->method, &sums));
    return tell(p, t, &sums);
}

static wn_status try_all(pruning *p) {
    for (size_t i = 0; i < p->targets; i++) {
        const target *t = &p->target[i];
        wn_tensor pruned;
        wn_status status = prune_target(p, t, &pruned);
        if (status != WN_OK)
            return wn__fail_in(status, "%s: tensor '%s'", t->file, t->expected->name);
    }
    return WN_OK;
}

// ---- writing ----

static const target *target_named(const pruning *p, const char *tensor) {
    for (size_t i = 0; i < p->targets; i++)
        if (strcmp(p->target[i].expected->name, tensor) == 0) return &p->target[i];
    return NULL;
}

// wn__st_item.make, of every tensor: the one written before is in the file, not needed in memory.
static wn_status make_tensor(void *ctx, size_t which, wn_tensor *out) {
    pruning *p = ctx;
    const wn__st_entry *e = &p->file->entry[which];
    const target *t = target_named(p, e->name);
    if (p->written.data != NULL) wn__map_forget(p->written.data, wn__tensor_bytes(&p->written));
    p->written.data = NULL;
    if (t != NULL) return prune_target(p, t, out);
    *out = p->written = e->view;
    return WN_OK;
}

static void list_items(pruning *p, wn__st_item *items) {
    for (size_t i = 0; i < p->file->count; i++) {
        const wn__st_entry *e = &p->file->entry[i];
        items[i] = (wn__st_item){
            .name = e->name, .view = e->view, .make = make_tensor, .ctx = p, .which = i};
        items[i].view.data = NULL;
    }
}

// Its metadata goes along; "format" is the writer's own.
static wn_status write_shard(pruning *p, const wn__safetensors *st) {
    char to[WN_PATH_MAX];
    const char *slash = strrchr(st->path, '/');
    WN_TRY(wn__path_join(to, sizeof to, p->place.temporary, slash != NULL ? slash + 1 : st->path));
    wn__st_item *items = calloc(st->count + 1, sizeof *items);
    wn__st_meta *meta = calloc(st->meta_count + 1, sizeof *meta);
    wn_status status = WN_OK;
    size_t metas = 0;
    if (items == NULL || meta == NULL) {
        status = wn__fail(WN_NOMEM, "%s: no memory for %zu tensors", st->path, st->count);
        goto out;
    }
    for (size_t i = 0; i < st->meta_count; i++)
        if (strcmp(st->meta[i].key, "format") != 0) meta[metas++] = st->meta[i];
    p->file = st;
    p->written = (wn_tensor){0};
    list_items(p, items);
    status = wn__safetensors_write(to, items, st->count, meta, metas, NULL, NULL);
out:
    free(items);
    free(meta);
    return status;
}

// What was claimed of a layer that is not touched, if it is so; NULL: nothing.
static const char *claim_that_holds(const pruning *p, const wn__expected *e, const char *layer) {
    const char *method = NULL;
    wn_tensor view;
    for (size_t i = 0; i < p->said.weights; i++)
        if (strcmp(p->said.weight[i].layer, layer) == 0) method = p->said.weight[i].method;
    if (method == NULL) return NULL;
    bool holds = wn__hf_weights_find(p->weights, e->name, &view);
    if (holds) {
        holds = wn__weight_is24(&view, false) &&
                (strcmp(method, "tile") != 0 || wn__weight_is24(&view, true));
        wn__map_forget(view.data, wn__tensor_bytes(&view));
    }
    if (holds) return method;
    wn__log(WN_LOG_WARN, "%s: config.json says 2:4 %s of %s, which its weight is not: not recorded",
            p->model, method, layer);
    return NULL;
}

// Layers that were 2:4 before and are not touched still are.
static wn_status list_sparse(const pruning *p, wn__hf_sparsity *out) {
    *out = p->said;
    out->weights = 0;
    out->weight = calloc(p->expected.linear + 1, sizeof *out->weight);
    if (out->weight == NULL) return wn__fail(WN_NOMEM, "%s: no memory for its layers", p->model);
    for (size_t i = 0; i < p->expected.count; i++) {
        const wn__expected *e = &p->expected.item[i];
        const target *t = target_named(p, e->name);
        wn__hf_sparse *item = &out->weight[out->weights];
        if (!e->linear) continue;
        wn__expected_layer(e, item->layer);
        item->input = true;
        item->method = t != NULL ? method_name(t->method) : claim_that_holds(p, e, item->layer);
        out->weights += item->method != NULL;
    }
    return WN_OK;
}

static wn_status write_config(const pruning *p) {
    wn__hf_sparsity sparsity;
    WN_TRY(list_sparse(p, &sparsity));
    wn_status status =
        wn__hf_config_copy_sparse(p->model, p->place.temporary, &p->config, &sparsity);
    free(sparsity.weight);
    return status;
}

static wn_status copy_index(const pruning *p) {
    static const char name[] = "model.safetensors.index.json";
    char from[WN_PATH_MAX], to[WN_PATH_MAX], *bytes;
    size_t size;
    WN_TRY(wn__path_join(from, sizeof from, p->model, name));
    WN_TRY(wn__path_join(to, sizeof to, p->place.temporary, name));
    // one file of weights needs no index, and wins over one
    if (wn__hf_weights_files(p->weights) == 1 && !wn__file_exists(from)) return WN_OK;
    char single[WN_PATH_MAX];
    WN_TRY(wn__path_join(single, sizeof single, p->place.temporary, "model.safetensors"));
    if (wn__file_exists(single)) return WN_OK;
    WN_TRY(wn__file_read(from, 0, &bytes, &size));
    wn_status status = wn__file_write(to, bytes, size);
    free(bytes);
    return status;
}

static wn_status write_all(pruning *p) {
    WN_TRY(wn__place_begin(&p->place));
    for (size_t i = 0; i < wn__hf_weights_files(p->weights); i++)
        WN_TRY(write_shard(p, wn__hf_weights_file(p->weights, i)));
    WN_TRY(copy_index(p));
    WN_TRY(write_config(p));
    WN_TRY(wn__place_copy_files(&p->place, p->model));
    return wn__place_publish(&p->place);
}

// ---- all of it ----

static void finish(pruning *p, double started) {
    wn_prune_result *r = p->result;
    uint64_t all = 0;
    r->linear_layers = p->expected.linear;
    r->tensors = wn__hf_weights_count(p->weights);
    r->files = wn__hf_weights_files(p->weights);
    for (size_t i = 0; i < r->tensors; i++) {
        wn_tensor view;
        wn__hf_weights_at(p->weights, i, NULL, &view, NULL);
        all += wn__tensor_bytes(&view);
    }
    r->other_bytes = all - r->dense_bytes;
    r->magnitude = share(p->sums.kept_magnitude, p->sums.magnitude);
    r->energy = share(p->sums.kept_energy, p->sums.energy);
    r->zeros_before = share((double)p->sums.zeros_before, (double)r->weights);
    r->zeros = share((double)p->sums.zeros, (double)r->weights);
    r->seconds = wn__clock() - started;
}

static void close_model(pruning *p) {
    wn__place_abort(&p->place);
    wn__structure_rules_free(&p->rules);
    wn__expected_free(&p->expected);
    wn__hf_sparsity_free(&p->said);
    wn__hf_weights_close(p->weights);
    wn__runtime_free(p->rt);
    free(p->target);
    free(p->block);
    free(p->mask);
}

wn_status wn_prune(const char *path, const wn_prune_options *o, wn_prune_fn *fn, void *ctx,
                   wn_prune_result *out) {
    pruning p = {.o = o, .fn = fn, .ctx = ctx, .result = out};
    double started = wn__clock();
    wn_status status;
    *out = (wn_prune_result){0};
    if (o->out == NULL && !o->dry_run)
        return wn__fail(WN_INVALID, "pruning needs an output directory");
    WN_TRY_OUT(open_model(&p, path));
    if (o->out != NULL) WN_TRY_OUT(wn__place_check(o->out, p.model, o->force, &p.place));
    WN_TRY_OUT(alloc_block(&p));
    WN_TRY_OUT(o->dry_run ? try_all(&p) : write_all(&p));
    finish(&p, started);
out:
    close_model(&p);
    return status;
}
