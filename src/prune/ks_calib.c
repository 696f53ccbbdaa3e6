// SPDX-License-Identifier: MIT
// Fits that know what a layer's inputs look like: their second moments H, and a root S of them.
#include "base/fail.h"
#include "base/file.h"
#include "prune/ks.h"
#include "prune/ks_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// h = x^T x / n, damped.
static wn_status moments(wn__ks *k, const float *x, int64_t n, double *h) {
    int64_t in = k->in;
    double *wide = malloc((size_t)(n * in) * sizeof *wide), mean = 0;
    if (wide == NULL) return wn__fail(WN_NOMEM, "out of memory for %" PRId64 " inputs", n);
    for (int64_t i = 0; i < n * in; i++)
        wide[i] = (double)x[i] / sqrt((double)n);
    const wn_tensor b = wn__tensor2(wide, WN_DTYPE_F64, n, in), a = wn__tensor_transpose(&b);
    const wn_tensor c = wn__tensor2(h, WN_DTYPE_F64, in, in);
    wn__exec exec = {.pool = k->pool};
    wn_status status = wn__linalg_product(wn__linalg_reference(), &exec, &a, &b, &c);
    free(wide);
    for (int64_t i = 0; i < in; i++)
        mean += h[i * in + i] / (double)in;
    if (status == WN_OK && !(mean > 0))
        return wn__fail(WN_INVALID, "inputs that are all zero say nothing");
    for (int64_t i = 0; i < in; i++)
        h[i * in + i] += WN_KS_DAMPING * mean;
    return status;
}

// h = S S^T in place, zeros above (Cholesky; H is far from singular).
static void factorize(double *h, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double sum = h[i * n + j];
            for (int64_t q = 0; q < j; q++)
                sum -= h[i * n + q] * h[j * n + q];
            h[i * n + j] = i == j ? sqrt(sum) : sum / h[j * n + j];
            if (i != j) h[j * n + i] = 0;
        }
}

// A matrix of inputs in a file.
static wn_status from_inputs(wn__ks *k, const char *path) {
    float *x = NULL;
    int64_t n = 0, in = 0;
    WN_TRY(wn__ks_weight(path, NULL, &x, &n, &in));
    wn_status status = WN_OK;
    if (in != k->in)
        status =
            wn__fail(WN_INVALID, "%s: inputs of %" PRId64 " numbers, the weight takes %" PRId64,
                     path, in, k->in);
    if (status == WN_OK) status = moments(k, x, n, k->root);
    if (status == WN_OK) k->made_of[1] = wn__crc32(0, x, (size_t)(n * in) * sizeof *x);
    free(x);
    return status;
}

// "model.layers.0.mlp.up_proj" of its weight.
static wn_status layer_of(const wn__ks_text *t, const char *tensor, wn__linear **l,
                          int64_t *block) {
    char name[WN_NAME_MAX];
    (void)snprintf(name, sizeof name, "%s", tensor != NULL ? tensor : "");
    char *end = strrchr(name, '.');
    if (end != NULL && strcmp(end, ".weight") == 0) *end = 0;
    *l = wn__ks_text_layer(t, name, block);
    if (*l != NULL && *block >= 0) return WN_OK;
    return wn__fail(WN_INVALID, "%s: '%s' is the weight of no layer of its blocks", t->dir, name);
}

// Of the text, and of how much of it is read in which windows.
static wn_status text_crc(const wn__ks_text_options *o, uint32_t *out) {
    const int64_t windows[2] = {o->tokens, o->seq};
    wn__map map;
    WN_TRY(wn__map_open(o->text, &map));
    *out = wn__crc32(wn__crc32(0, map.data, map.size), windows, sizeof windows);
    wn__map_close(&map);
    return WN_OK;
}

// What the layer reads while its dense model reads a text.
static wn_status from_text(wn__ks *k, const char *path) {
    const wn__ks_text_options o = {.text = path,
                                   .tokens = k->o->calib_tokens,
                                   .seq = k->o->seq_len,
                                   .batch = 8,
                                   .threads = k->o->threads};
    wn__ks_text t = {0};
    wn__linear *l;
    int64_t block = -1;
    if (!wn__dir_exists(k->path))
        return wn__fail(WN_INVALID,
                        "%s: neither .pth nor .safetensors, so a text; that needs a model "
                        "directory to read it, which %s is not",
                        path, k->path);
    wn_status status = wn__ks_text_open(k->path, &o, &t);
    if (status == WN_OK) status = text_crc(&t.o, &k->made_of[1]);
    if (status == WN_OK) status = layer_of(&t, k->o->tensor, &l, &block);
    if (status == WN_OK) status = wn__ks_text_begin(&t);
    for (int64_t i = 0; i < block && status == WN_OK; i++)
        status = wn__ks_text_advance(&t, i);
    if (status == WN_OK) status = wn__ks_text_moments(&t, block, l, k->root);
    if (status == WN_OK && k->root[0] == 0)
        status = wn__fail(WN_INVALID, "%s: reads nothing but zeros", l->name);
    wn__ks_text_close(&t);
    return status;
}

wn_status wn__ks_calibrate(wn__ks *k, const char *path) {
    bool text;
    WN_TRY(wn__ks_is_text(path, &text));
    k->root = malloc((size_t)(k->in * k->in) * sizeof *k->root);
    if (k->root == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", path);
    WN_TRY(text ? from_text(k, path) : from_inputs(k, path));
    factorize(k->root, k->in);
    return WN_OK;
}

wn_status wn__ks_square(const wn__ks *k, wn__exec *x, double *h) {
    const wn_tensor s = wn__tensor2(k->root, WN_DTYPE_F64, k->in, k->in);
    const wn_tensor t = wn__tensor_transpose(&s);
    const wn_tensor all = wn__tensor2(h, WN_DTYPE_F64, k->in, k->in);
    WN_TRY(wn__linalg_product(NULL, x, &s, &t, &all));
    for (int64_t i = 0; i < k->in; i++)
        for (int64_t j = 0; j < i; j++)
            h[j * k->in + i] = h[i * k->in + j];
    return WN_OK;
}

void wn__ks_columns(const wn__ks *k, float *to) {
    int64_t in = k->in;
    double scale = sqrt((double)in);
    for (int64_t i = 0; i < in; i++)
        for (int64_t c = 0; c < in; c++) {
            to[i * in + c] = (float)(scale * k->root[c * in + i]);
            to[(in + i) * in + c] = -to[i * in + c];
        }
}
