// SPDX-License-Identifier: MIT
// winnow validate: a model directory against its own configuration, tensor by tensor. What is wrong
// is collected, not stopped at.
#include "winnow/prune.h"

#include "base/fail.h"
#include "base/file.h"
#include "formats/safetensors.h"
#include "infer/session.h"
#include "prune/layers.h"
#include "prune/look.h"
#include "sparse/pattern24.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PROBLEMS 8 // of one tensor; there are no more kinds
#define PROBLEM_SIZE 1200

typedef struct checking {
    char dir[WN_PATH_MAX];
    wn__runtime *rt;
    wn__model_config config;
    wn__hf_sparsity said;
    wn__hf_weights *weights;
    wn__expected_list expected;
    void *block; // an aligned copy of one tensor
    size_t block_bytes;
    wn_validate_fn *fn;
    void *ctx;
    wn_validate_result *result;
    // of the current item
    char text[MAX_PROBLEMS][PROBLEM_SIZE];
    const char *problem[MAX_PROBLEMS];
    wn_validate_item item;
} checking;

// ---- saying what is wrong ----

static void begin_item(checking *v, const char *name) {
    v->item = (wn_validate_item){.name = name, .file = "", .dtype = "", .problem = v->problem};
}

static void complain(checking *v, const char *fmt, ...) WN_PRINTF(2, 3);
static void complain(checking *v, const char *fmt, ...) {
    size_t n = v->item.problems;
    if (n == MAX_PROBLEMS) return;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(v->text[n], PROBLEM_SIZE, fmt, args);
    va_end(args);
    v->problem[n] = v->text[n];
    v->item.problems++;
}

static void end_item(checking *v) {
    v->result->problems += v->item.problems;
    if (v->fn != NULL) v->fn(v->ctx, &v->item);
}

// The directory as a whole, with the thread's message.
static void complain_of_directory(checking *v) {
    begin_item(v, NULL);
    complain(v, "%s", wn_last_error());
    end_item(v);
}

static void describe(checking *v, const wn_tensor *view, const char *file) {
    const char *slash = strrchr(file, '/');
    v->item.file = slash != NULL ? slash + 1 : file;
    v->item.dtype = wn_dtype_name(view->dtype);
    v->item.ndim = view->ndim;
    memcpy(v->item.shape, view->shape, sizeof v->item.shape);
}

// ---- one tensor ----

static const char *shape_text(int ndim, const int64_t *shape, char *out, size_t n) {
    size_t used = (size_t)snprintf(out, n, "[");
    for (int i = 0; i < ndim && used < n; i++)
        used += (size_t)snprintf(out + used, n - used, "%s%" PRId64, i > 0 ? ", " : "", shape[i]);
    if (used < n) (void)snprintf(out + used, n - used, "]");
    return out;
}

static bool is_float(wn_dtype d) {
    return d == WN_DTYPE_F32 || d == WN_DTYPE_F64 || d == WN_DTYPE_BF16 || d == WN_DTYPE_F16;
}

// false when there is no use in looking at its values.
static bool check_form(checking *v, const wn__expected *e, const wn_tensor *view) {
    char found[160], wanted[64];
    bool right = view->ndim == e->ndim;
    for (int i = 0; right && i < e->ndim; i++)
        right = view->shape[i] == e->shape[i];
    if (!right)
        complain(v, "shape %s, the configuration says %s",
                 shape_text(view->ndim, view->shape, found, sizeof found),
                 shape_text(e->ndim, e->shape, wanted, sizeof wanted));
    if (!is_float(view->dtype))
        complain(v, "dtype %s; weights are F64, F32, BF16 or F16", wn_dtype_name(view->dtype));
    return is_float(view->dtype);
}

// A view of the same values that is aligned for its dtype.
static wn_status align(checking *v, const wn_tensor *view, wn_tensor *out) {
    size_t bytes = wn__tensor_bytes(view), size = wn_dtype_size(view->dtype);
    *out = *view;
    if ((uintptr_t)view->data % size == 0) return WN_OK;
    if (bytes > v->block_bytes) {
        free(v->block);
        v->block_bytes = 0;
        v->block = malloc(bytes);
        if (v->block == NULL) return wn__fail(WN_NOMEM, "no memory for %zu bytes", bytes);
        v->block_bytes = bytes;
    }
    memcpy(v->block, view->data, bytes);
    out->data = v->block;
    return WN_OK;
}

static void check_finite(checking *v, const wn_tensor *t) {
    wn__look seen;
    wn__look_at(v->rt->pool, t, &seen);
    int64_t count = wn__tensor_count(t), width = t->ndim > 0 ? t->shape[t->ndim - 1] : 1;
    v->item.zeros = count > 0 ? (double)seen.zeros / (double)count : 0;
    if (seen.nonfinite == 0) return;
    complain(v,
             "%" PRId64 " of %" PRId64 " values are NaN or infinite, the first at row %" PRId64
             ", column %" PRId64,
             seen.nonfinite, count, seen.first / width, seen.first % width);
}

static const char *recorded_method(const checking *v, const char *layer) {
    for (size_t i = 0; i < v->said.weights; i++)
        if (strcmp(v->said.weight[i].layer, layer) == 0) return v->said.weight[i].method;
    return NULL;
}

// Whether the pattern is there, and whether it is where config.json says.
static void check_pattern(checking *v, const wn__expected *e, const wn_tensor *t) {
    char layer[WN_NAME_MAX];
    wn_validate_item *item = &v->item;
    wn__expected_layer(e, layer);
    item->linear = true;
    item->is24 = wn__weight_is24(t, false);
    item->is24_transposed = wn__weight_is24(t, true);
    item->recorded = recorded_method(v, layer);
    v->result->sparse_layers += item->is24;
    if (item->recorded == NULL || t->ndim != 2) return;
    bool tile = strcmp(item->recorded, "tile") == 0;
    if (wn__pattern24_check_matrix(t, tile ? WN_PATTERN24_TRANSPOSABLE : 0) == WN_OK) return;
    complain(v, "config.json says 2:4 %s, but %s%s", item->recorded, wn_last_error(),
             item->is24_transposed && !item->is24 ? "; it is 2:4 along columns, the other way round"
                                                  : "");
}

static wn_status check_tensor(checking *v, const wn__expected *e, const wn_tensor *view,
                              const char *file) {
    wn_tensor t;
    describe(v, view, file);
    if (!check_form(v, e, view)) return WN_OK;
    WN_TRY(align(v, view, &t));
    check_finite(v, &t);
    if (e->linear) check_pattern(v, e, &t);
    return WN_OK;
}

// ---- the directory ----

static wn_status check_expected(checking *v) {
    for (size_t i = 0; i < v->expected.count; i++) {
        const wn__expected *e = &v->expected.item[i];
        wn_tensor view;
        const char *file;
        begin_item(v, e->name);
        if (wn__hf_weights_locate(v->weights, e->name, &view, &file)) {
            WN_TRY(check_tensor(v, e, &view, file));
            wn__map_forget(view.data, wn__tensor_bytes(&view));
        } else {
            complain(v, "is missing");
        }
        end_item(v);
    }
    return WN_OK;
}

static int compare_expected(const void *name, const void *e) {
    return strcmp(name, (*(const wn__expected *const *)e)->name);
}

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const wn__expected *const *)a)->name, (*(const wn__expected *const *)b)->name);
}

static void check_strangers(checking *v, const wn__expected *const *sorted) {
    for (size_t i = 0; i < wn__hf_weights_count(v->weights); i++) {
        const char *name, *file;
        wn_tensor view;
        wn__hf_weights_at(v->weights, i, &name, &view, &file);
        if (wn__expected_ignored(name, &v->config)) continue;
        if (bsearch(name, sorted, v->expected.count, sizeof *sorted, compare_expected) != NULL)
            continue;
        begin_item(v, name);
        describe(v, &view, file);
        complain(v, "belongs to no part of the configured model");
        end_item(v);
    }
}

static wn_status check_weights(checking *v) {
    const wn__expected **sorted = calloc(v->expected.count + 1, sizeof *sorted);
    if (sorted == NULL) return wn__fail(WN_NOMEM, "no memory for %zu tensors", v->expected.count);
    for (size_t i = 0; i < v->expected.count; i++)
        sorted[i] = &v->expected.item[i];
    qsort(sorted, v->expected.count, sizeof *sorted, compare_names);
    wn_status status = check_expected(v);
    if (status == WN_OK) check_strangers(v, sorted);
    free(sorted);
    return status;
}

// What cannot be read is what is wrong with the directory; each file is tried.
static wn_status check_directory(checking *v) {
    bool configured = wn__hf_config_read(v->dir, &v->config) == WN_OK;
    if (!configured) complain_of_directory(v);
    if (configured && wn__hf_sparsity_read(v->dir, &v->config, &v->said) != WN_OK)
        complain_of_directory(v);
    bool opened = wn__hf_weights_open(v->dir, &v->weights) == WN_OK;
    if (!opened || wn__hf_weights_check_index(v->dir, v->weights) != WN_OK)
        complain_of_directory(v);
    v->result->recorded = v->said.weights;
    if (!configured) return WN_OK;
    if (wn__expected_make(&v->config, &v->said, v->rt, &v->expected) != WN_OK) {
        complain_of_directory(v); // a chain that its layer cannot have
        return WN_OK;
    }
    v->result->linear_layers = v->expected.linear;
    if (!opened) return WN_OK;
    v->result->tensors = wn__hf_weights_count(v->weights);
    return check_weights(v);
}

wn_status wn_validate(const char *path, int threads, wn_validate_fn *fn, void *ctx,
                      wn_validate_result *out) {
    wn_status status;
    *out = (wn_validate_result){0};
    checking *v = calloc(1, sizeof *v);
    if (v == NULL) return wn__fail(WN_NOMEM, "no memory to check a model");
    v->fn = fn;
    v->ctx = ctx;
    v->result = out;
    WN_TRY_OUT(wn__model_dir(path, v->dir));
    WN_TRY_OUT(wn__runtime_create(threads, NULL, false, &v->rt));
    status = check_directory(v);
out:
    wn__expected_free(&v->expected);
    wn__hf_sparsity_free(&v->said);
    wn__hf_weights_close(v->weights);
    wn__runtime_free(v->rt);
    free(v->block);
    free(v);
    return status;
}
