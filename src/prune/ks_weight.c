// SPDX-License-Identifier: MIT
// The matrix that a chain is fitted to, wherever it lies.
#include "base/fail.h"
#include "base/file.h"
#include "formats/hf_config.h"
#include "formats/pth.h"
#include "formats/safetensors.h"
#include "kernels/element.h"
#include "prune/ks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_matrix(const wn_tensor *t) {
    return t->ndim == 2 && t->dtype >= WN_DTYPE_F64 && t->dtype <= WN_DTYPE_F16;
}

// A view with any strides and alignment, as packed F32.
static wn_status take(const char *path, const char *name, const wn_tensor *view, float **w,
                      int64_t *out, int64_t *in) {
    char shape[160];
    if (!is_matrix(view) || view->shape[0] < 1 || view->shape[1] < 1)
        return wn__fail(WN_INVALID, "%s: tensor '%s' is %s, a matrix of floats expected", path,
                        name, wn__tensor_describe(view, shape, sizeof shape));
    int64_t n = wn__tensor_count(view);
    void *packed = malloc(wn__tensor_bytes(view));
    float *to = malloc((size_t)n * sizeof *to);
    if (packed == NULL || to == NULL) {
        free(packed);
        free(to);
        return wn__fail(WN_NOMEM, "%s: out of memory for '%s'", path, name);
    }
    wn__pth_copy(view, packed);
    const wn_tensor t = wn__tensor(packed, view->dtype, 2, view->shape);
    int64_t bad = -1;
    double value = 0;
    char number[32];
    for (int64_t i = 0; i < n; i++) {
        double v = wn__get(&t, i);
        to[i] = (float)v;
        if (bad < 0 && !isfinite(to[i])) {
            bad = i;
            value = v;
        }
    }
    free(packed);
    *out = view->shape[0];
    *in = view->shape[1];
    if (bad >= 0) {
        free(to);
        (void)snprintf(number, sizeof number, "%g", value);
        return wn__fail(
            WN_INVALID, "%s: tensor '%s': %s at row %lld, column %lld: %s", path, name,
            isnan(value) ? "NaN" : number, (long long)(bad / *in), (long long)(bad % *in),
            isfinite(value) ? "at most 3.4028e+38 in float32" : "numbers must be finite");
    }
    *w = to;
    return WN_OK;
}

static wn_status from_pth(const char *path, const char *tensor, float **w, int64_t *out,
                          int64_t *in) {
    wn__pth p;
    const wn__pth_entry *e;
    WN_TRY(wn__pth_open(path, &p));
    wn_status status = wn__pth_select(&p, tensor, &e);
    if (status == WN_OK) status = take(path, wn__pth_name(e), &e->view, w, out, in);
    wn__pth_close(&p);
    return status;
}

static wn_status choose(const char *path, const char *const *names, const wn_tensor *views,
                        size_t n, const char *tensor, size_t *which) {
    size_t matrices = 0, last = 0;
    for (size_t i = 0; i < n; i++) {
        if (tensor != NULL && strcmp(names[i], tensor) == 0) {
            *which = i;
            return WN_OK;
        }
        if (is_matrix(&views[i])) {
            matrices++;
            last = i;
        }
    }
    if (tensor != NULL)
        return wn__fail(WN_INVALID, "%s: no tensor '%s' among its %zu", path, tensor, n);
    if (matrices != 1)
        return wn__fail(WN_INVALID, "%s: %zu matrices; --tensor NAME says which, as '%s'", path,
                        matrices, matrices > 0 ? names[last] : "none");
    *which = last;
    return WN_OK;
}

static wn_status from_safetensors(const char *path, const char *tensor, float **w, int64_t *out,
                                  int64_t *in) {
    wn__safetensors st;
    WN_TRY(wn__safetensors_open(path, &st));
    const char **names = calloc(st.count + 1, sizeof *names);
    wn_tensor *views = calloc(st.count + 1, sizeof *views);
    size_t which = 0;
    wn_status status = WN_OK;
    if (names == NULL || views == NULL) {
        status = wn__fail(WN_NOMEM, "%s: out of memory", path);
        goto out;
    }
    for (size_t i = 0; i < st.count; i++) {
        names[i] = st.entry[i].name;
        views[i] = st.entry[i].view;
    }
    WN_TRY_OUT(choose(path, names, views, st.count, tensor, &which));
    status = take(path, names[which], &views[which], w, out, in);
out:
    free(names);
    free(views);
    wn__safetensors_close(&st);
    return status;
}

static wn_status from_directory(const char *path, const char *tensor, float **w, int64_t *out,
                                int64_t *in) {
    wn__hf_weights *weights;
    wn_tensor view;
    char dir[WN_PATH_MAX];
    if (tensor == NULL)
        return wn__fail(WN_INVALID,
                        "%s: a directory needs --tensor NAME, as "
                        "'model.layers.0.mlp.up_proj.weight'",
                        path);
    if (wn__model_dir(path, dir) != WN_OK) WN_TRY(wn__path_join(dir, sizeof dir, path, "."));
    WN_TRY(wn__hf_weights_open(dir, &weights));
    wn_status status = wn__hf_weights_find(weights, tensor, &view)
                           ? take(path, tensor, &view, w, out, in)
                           : wn__fail(WN_INVALID, "%s: no tensor '%s'", path, tensor);
    wn__hf_weights_close(weights);
    return status;
}

wn_status wn__ks_weight(const char *path, const char *tensor, float **w, int64_t *out,
                        int64_t *in) {
    *w = NULL;
    if (wn__dir_exists(path)) return from_directory(path, tensor, w, out, in);
    wn__map map;
    WN_TRY(wn__map_open(path, &map));
    bool torch = wn__pth_begins(map.data, map.size);
    wn__map_close(&map);
    size_t n = strlen(path);
    bool named = n > 12 && strcmp(path + n - 12, ".safetensors") == 0;
    return torch || !named ? from_pth(path, tensor, w, out, in)
                           : from_safetensors(path, tensor, w, out, in);
}
