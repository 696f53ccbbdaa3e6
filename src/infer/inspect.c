// SPDX-License-Identifier: MIT
// Looking into a model directory or one file of safetensors or torch.save, tensor by tensor,
// without building a model.
#include "base/fail.h"
#include "formats/hf_sparsity.h"
#include "formats/safetensors.h"
#include "infer/chain_file.h"
#include "infer/session.h"
#include "infer/statistics.h"
#include "tensor/tensor.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASSES      64   // over a file
#define LEAST_ZEROS 0.45 // below this share a tensor is called dense whatever its groups hold

// Of what is repeated (a stride of 0) so many times stand for all: 4 show whether groups of four
// are 2:4, 1 shows values.
static wn_tensor without_repeats(const wn_tensor *view, int64_t most) {
    wn_tensor t = *view;
    for (int d = 0; d < t.ndim; d++)
        if (t.stride[d] == 0 && t.shape[d] > most) t.shape[d] = most;
    return t;
}

static void report(const char *name, const char *file, const wn_tensor *view, bool statistics,
                   wn_inspect_fn *fn, void *ctx) {
    wn_tensor_report r = {.name = name,
                          .file = file,
                          .dtype = wn_dtype_name(view->dtype),
                          .ndim = view->ndim,
                          .bytes = wn__tensor_bytes(view)};
    memcpy(r.shape, view->shape, sizeof r.shape);
    if (statistics) {
        wn__statistics s;
        const wn_tensor once = without_repeats(view, 1), groups = without_repeats(view, 4);
        wn__statistics_of(&once, &s);
        r.zeros = s.count > 0 ? (double)s.zeros / (double)s.count : 0;
        r.min = s.min;
        r.max = s.max;
        r.mean = s.mean;
        r.std = s.std;
        r.nonfinite = s.count > 0 ? s.nonfinite * (wn__tensor_count(view) / s.count) : 0;
        r.is24 = r.zeros > LEAST_ZEROS && wn__weight_is24(&groups, false);
        r.is24_transposed = r.zeros > LEAST_ZEROS && wn__weight_is24(&groups, true);
    }
    fn(ctx, &r);
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static wn_status inspect_file(const char *path, bool statistics, wn_inspect_fn *fn, void *ctx,
                              char **text) {
    wn__safetensors st;
    WN_TRY(wn__safetensors_open(path, &st));
    wn_status status = text != NULL ? wn__chain_describe_tags(&st, text) : WN_OK;
    for (size_t i = 0; i < st.count && status == WN_OK; i++)
        report(st.entry[i].name, base_name(path), &st.entry[i].view, statistics, fn, ctx);
    wn__safetensors_close(&st);
    return status;
}

// Views of a file of torch.save may lie over each other and over themselves: what they hold is
// looked through where that is no more than some passes over the file.
static wn_status check_size(const wn__pth *p, const wn__pth_entry *e) {
    const wn_tensor once = without_repeats(&e->view, 1);
    int64_t n = wn__tensor_count(&once);
    if (n / PASSES <= (int64_t)p->map.size) return WN_OK;
    return wn__fail(WN_UNSUPPORTED,
                    "%s: '%s' has %" PRId64 " elements that overlap, in a file of %zu bytes",
                    p->path, wn__pth_name(e), n, p->map.size);
}

static wn_status inspect_pth(const char *path, bool statistics, wn_inspect_fn *fn, void *ctx,
                             char **text) {
    wn__pth p;
    WN_TRY(wn__pth_open(path, &p));
    wn_status status = WN_OK;
    if (text != NULL && wn__chain_is_pth(&p)) status = wn__chain_describe_pth(&p, text);
    for (size_t i = 0; i < p.count && status == WN_OK; i++) {
        const wn__pth_entry *e = &p.entry[i];
        if (statistics) status = check_size(&p, e);
        if (status == WN_OK)
            report(wn__pth_name(e), base_name(path), &e->view, statistics, fn, ctx);
    }
    wn__pth_close(&p);
    if (status != WN_OK && text != NULL) {
        free(*text);
        *text = NULL;
    }
    return status;
}

static wn_status inspect_one(const char *path, bool statistics, wn_inspect_fn *fn, void *ctx,
                             char **text) {
    wn__map map;
    size_t n = strlen(path);
    WN_TRY(wn__map_open(path, &map));
    bool torch = wn__pth_begins(map.data, map.size);
    wn__map_close(&map);
    bool named =
        (n > 4 && strcmp(path + n - 4, ".pth") == 0) || (n > 3 && strcmp(path + n - 3, ".pt") == 0);
    return torch || named ? inspect_pth(path, statistics, fn, ctx, text)
                          : inspect_file(path, statistics, fn, ctx, text);
}

static wn_status inspect_weights(const char *dir, bool statistics, wn_inspect_fn *fn, void *ctx) {
    wn__hf_weights *w;
    WN_TRY(wn__hf_weights_open(dir, &w));
    for (size_t i = 0; i < wn__hf_weights_count(w); i++) {
        const char *name, *file;
        wn_tensor view;
        wn__hf_weights_at(w, i, &name, &view, &file);
        report(name, base_name(file), &view, statistics, fn, ctx);
    }
    wn__hf_weights_close(w);
    return WN_OK;
}

static const char *mlp_name(wn__mlp_kind kind) {
    return kind == WN_MLP_SWIGLU ? "SwiGLU" : kind == WN_MLP_RELU2 ? "squared ReLU" : "ReLU";
}

// "2:4 inputs in 14 layers (soft)": one method's; "" when it has none.
static void describe_method(const wn__hf_sparsity *s, const wn__hf_sparse *one, char *out,
                            size_t size) {
    size_t count = 0;
    out[0] = '\0';
    for (size_t i = 0; i < s->count; i++) {
        bool same = s->item[i].input == one->input && strcmp(s->item[i].method, one->method) == 0;
        if (same && &s->item[i] < one) return; // said with the first of them
        count += same;
    }
    (void)snprintf(out, size,
                   one->input ? "2:4 inputs in %zu layer%s (%s)\n"
                              : "2:4 activations in %zu MLP%s (%s)\n",
                   count, count == 1 ? "" : "s", one->method);
}

// "2:4 weights in 14 layers (row)", as config.json says; "" when it says nothing.
static size_t describe_weights(const wn__hf_sparsity *s, char *out, size_t size) {
    size_t tiles = 0;
    out[0] = '\0';
    if (s->weights == 0) return 0;
    for (size_t i = 0; i < s->weights; i++)
        tiles += strcmp(s->weight[i].method, "tile") == 0;
    int n = snprintf(out, size, "2:4 weights in %zu layer%s (%s)\n", s->weights,
                     s->weights == 1 ? "" : "s",
                     tiles == 0            ? "row"
                     : tiles == s->weights ? "tile"
                                           : "row and tile");
    return (size_t)n;
}

static void describe_sparsity(const wn__hf_sparsity *s, char *out, size_t size) {
    size_t used = describe_weights(s, out, size);
    for (size_t i = 0; i < s->count; i++) {
        char line[96];
        describe_method(s, &s->item[i], line, sizeof line);
        size_t n = strlen(line);
        if (used + n >= size) return;
        memcpy(out + used, line, n + 1);
        used += n;
    }
}

static wn_status describe_chains(const char *dir, const wn__hf_sparsity *said, char **out) {
    wn__hf_weights *w;
    *out = NULL;
    if (said->krons == 0) return WN_OK;
    WN_TRY(wn__hf_weights_open(dir, &w));
    wn_status status = wn__chain_describe_layers(said, w, out);
    wn__hf_weights_close(w);
    return status == WN_OK ? WN_OK : wn__fail_in(status, "%s", dir);
}

// A configuration that is not read here is said to be so: the tensors can be looked at all the
// same.
static wn_status describe_config(const char *dir, char **out) {
    wn__model_config c;
    wn__hf_sparsity sparsity = {0};
    char pruned[512], *chains = NULL;
    int n;
    if (wn__hf_config_read(dir, &c) != WN_OK || wn__hf_sparsity_read(dir, &c, &sparsity) != WN_OK) {
        n = asprintf(out, "configuration not read: %s\n", wn_last_error());
    } else {
        wn_status status = describe_chains(dir, &sparsity, &chains);
        if (status != WN_OK) {
            wn__hf_sparsity_free(&sparsity);
            return status;
        }
        describe_sparsity(&sparsity, pruned, sizeof pruned);
        n = asprintf(out,
                     "%s: %" PRId64 " parameters\n"
                     "layers %" PRId64 ", hidden %" PRId64 ", intermediate %" PRId64
                     " (%s), vocabulary %" PRId64 ", positions %" PRId64 "\n"
                     "heads %" PRId64 ", key/value heads %" PRId64 ", head size %" PRId64
                     ", rope theta %g, norm epsilon %g, %s embeddings\n%s%s",
                     wn__architecture(&c), wn__model_config_params(&c), c.layers, c.hidden_size,
                     c.intermediate_size, mlp_name(c.mlp), c.vocab_size, c.max_positions, c.heads,
                     c.kv_heads, c.head_dim, c.rope_theta, c.rms_eps, c.tied ? "tied" : "separate",
                     pruned, chains != NULL ? chains : "");
    }
    free(chains);
    wn__hf_sparsity_free(&sparsity);
    if (n >= 0) return WN_OK;
    *out = NULL;
    return wn__fail(WN_NOMEM, "%s: no memory for its description", dir);
}

wn_status wn_inspect(const char *path, bool statistics, wn_inspect_fn *fn, void *ctx,
                     char **config_text) {
    if (config_text != NULL) *config_text = NULL;
    char dir[WN_PATH_MAX], *text = NULL;
    if (!wn__dir_exists(path)) return inspect_one(path, statistics, fn, ctx, config_text);
    if (wn__model_dir(path, dir) != WN_OK) WN_TRY(wn__path_join(dir, sizeof dir, path, "."));
    if (config_text != NULL) WN_TRY(describe_config(dir, &text));
    wn_status status = inspect_weights(dir, statistics, fn, ctx);
    if (status == WN_OK && config_text != NULL) {
        *config_text = text;
    } else {
        free(text);
    }
    return status;
}
