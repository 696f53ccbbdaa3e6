// SPDX-License-Identifier: MIT
// Second moments of a layer's inputs over a text. The residual stream of all windows is kept, so
// every block runs once for each group of its layers that read the same, and once more to go on.
#include "prune/ks_text.h"

#include "base/fail.h"
#include "base/log.h"
#include "data/shard.h"
#include "formats/pth.h"
#include "infer/evaluate.h"
#include "kernels/matmul.h"
#include "tensor/tensor.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- the text

static wn_status encode(const wn__ks_text *t, const char *path, const uint8_t *bytes, size_t n,
                        wn_tokens *out) {
    wn_status status = wn_tokenizer_encode(t->tokenizer, (const char *)bytes, n, true, false, out);
    return status == WN_OK ? WN_OK : wn__fail_in(status, "%s", path);
}

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), k = strlen(end);
    return n > k && strcmp(s + n - k, end) == 0;
}

wn_status wn__ks_is_text(const char *path, bool *out) {
    wn__map map;
    WN_TRY(wn__map_open(path, &map));
    *out = !wn__pth_begins(map.data, map.size) && !ends_with(path, ".safetensors") &&
           !ends_with(path, ".pth");
    wn__map_close(&map);
    return WN_OK;
}

static wn_status check_text(const char *path) {
    bool text;
    WN_TRY(wn__ks_is_text(path, &text));
    if (text && !wn__shard_named(path) && !wn_documents_named(path)) return WN_OK;
    return wn__fail(WN_INVALID, "%s: a plain text expected", path);
}

static wn_status read_held(wn__ks_text *t) {
    wn__map map;
    WN_TRY(check_text(t->o.eval_data));
    WN_TRY(wn__map_open(t->o.eval_data, &map));
    wn_status status = encode(t, t->o.eval_data, map.data, map.size, &t->held);
    wn__map_close(&map);
    return status;
}

// The split is the trainer's.
static wn_status read_text(wn__ks_text *t) {
    wn__map map;
    WN_TRY(check_text(t->o.text));
    WN_TRY(wn__map_open(t->o.text, &map));
    size_t end = map.size;
    if (t->o.eval_data == NULL) {
        size_t held = (size_t)((double)map.size * t->o.eval_fraction);
        end = wn__text_boundary(map.data, map.size, map.size - held);
    }
    wn_status status = encode(t, t->o.text, map.data, end, &t->train);
    if (status == WN_OK && end < map.size)
        status = encode(t, t->o.text, map.data + end, map.size - end, &t->held);
    wn__map_close(&map);
    if (status == WN_OK && t->o.eval_data != NULL) status = read_held(t);
    if (status != WN_OK || (int64_t)t->train.count > t->o.seq) return status;
    return wn__fail(WN_INVALID, "%s: %zu tokens, one window takes %" PRId64, t->o.text,
                    t->train.count, t->o.seq + 1);
}

// ---- the model

static wn_status load(wn__ks_text *t) {
    char path[WN_PATH_MAX];
    const wn__model_spec spec = {
        .config = t->config, .dtype = WN_DTYPE_F32, .batch = t->o.batch, .seq = t->o.seq};
    WN_TRY(wn__hf_weights_open(t->dir, &t->weights));
    WN_TRY(wn__runtime_create(t->o.threads, NULL, false, &t->rt));
    WN_TRY(wn__model_create(&spec, t->rt, &t->model));
    WN_TRY(wn__model_load(t->model, t->weights));
    WN_TRY(wn__model_prepare(t->model, 0));
    WN_TRY(wn__path_join(path, sizeof path, t->dir, "tokenizer.json"));
    if (!wn__file_exists(path))
        return wn__fail(WN_UNSUPPORTED, "%s: no tokenizer.json, so text cannot be read", t->dir);
    return wn_tokenizer_open(path, &t->tokenizer);
}

static wn_status reserve(wn__ks_text *t) {
    int64_t all = (int64_t)t->train.count / t->o.seq, width = t->config.hidden_size;
    t->windows = t->o.tokens > 0 ? (t->o.tokens + t->o.seq - 1) / t->o.seq : all;
    if (t->windows > all) t->windows = all;
    for (size_t i = 0; i < wn__model_linear_count(t->model); i++) {
        int64_t in = wn__model_linear(t->model, i)->in;
        if (in * in > t->product_room) t->product_room = in * in;
    }
    t->fed = calloc((size_t)(t->o.batch * t->o.seq), sizeof *t->fed);
    t->stream = aligned_alloc(64, (size_t)(t->windows * t->o.seq * width + 16) * 4 / 64 * 64);
    t->batch = aligned_alloc(64, (size_t)(t->o.batch * t->o.seq * width + 16) * 4 / 64 * 64);
    t->product = aligned_alloc(64, (size_t)(t->product_room + 16) * 4 / 64 * 64);
    if (t->fed && t->stream && t->batch && t->product) return WN_OK;
    return wn__fail(WN_NOMEM, "out of memory for %" PRId64 " windows of text", t->windows);
}

// Windows that were not asked for fit the model.
static wn_status set_window(wn__ks_text *t) {
    int64_t most = t->config.max_positions;
    if (t->o.seq == 0) {
        t->o.seq = most < WN_KS_WINDOW ? most : WN_KS_WINDOW;
        if (t->o.seq < WN_KS_WINDOW)
            wn__log(WN_LOG_INFO, "windows of %" PRId64 " tokens: %s has no more positions",
                    t->o.seq, t->dir);
    }
    if (t->o.seq > 0 && t->o.seq <= most) return WN_OK;
    return wn__fail(WN_INVALID,
                    "%s: windows of %" PRId64 " tokens (--seq-len), the model has %" PRId64
                    " positions",
                    t->dir, t->o.seq, most);
}

static wn_status open_all(const char *path, wn__ks_text *t) {
    WN_TRY(wn__model_dir(path, t->dir));
    WN_TRY(wn__hf_config_read(t->dir, &t->config));
    WN_TRY(wn__hf_sparsity_read(t->dir, &t->config, &t->said));
    if (t->said.krons > 0)
        return wn__fail(WN_INVALID, "%s: %s is a chain already", t->dir, t->said.kron[0].layer);
    if (t->said.count > 0)
        return wn__fail(WN_UNSUPPORTED, "%s: %s was trained to be pruned 2:4; dense ones expected",
                        t->dir, t->said.item[0].layer);
    WN_TRY(set_window(t));
    WN_TRY(load(t));
    WN_TRY(read_text(t));
    return reserve(t);
}

wn_status wn__ks_text_open(const char *path, const wn__ks_text_options *o, wn__ks_text *out) {
    *out = (wn__ks_text){.o = *o};
    return open_all(path, out);
}

void wn__ks_text_close(wn__ks_text *t) {
    free(t->exec.scratch);
    free(t->fed);
    free(t->stream);
    free(t->batch);
    free(t->product);
    wn_tokens_free(&t->train);
    wn_tokens_free(&t->held);
    wn_tokenizer_free(t->tokenizer);
    wn__model_free(t->model);
    wn__runtime_free(t->rt);
    wn__hf_weights_close(t->weights);
    wn__hf_sparsity_free(&t->said);
    *t = (wn__ks_text){0};
}

wn__linear *wn__ks_text_layer(const wn__ks_text *t, const char *name, int64_t *block) {
    static const char prefix[] = "model.layers.";
    *block = strncmp(name, prefix, sizeof prefix - 1) == 0
                 ? strtoll(name + sizeof prefix - 1, NULL, 10)
                 : -1;
    for (size_t i = 0; i < wn__model_linear_count(t->model); i++)
        if (strcmp(wn__model_linear(t->model, i)->name, name) == 0)
            return wn__model_linear(t->model, i);
    return NULL;
}

// ---- windows

static int64_t rows_of(const wn__ks_text *t, int64_t first) {
    int64_t rest = t->windows - first;
    return rest < t->o.batch ? rest : t->o.batch;
}

// Window i of those that are spread over the text.
static uint64_t window_at(const wn__ks_text *t, int64_t i) {
    uint64_t room = t->train.count - (uint64_t)t->o.seq;
    return t->windows > 1 ? room * (uint64_t)i / (uint64_t)(t->windows - 1) : 0;
}

static wn_status feed(wn__ks_text *t, int64_t first) {
    int64_t rows = rows_of(t, first);
    for (int64_t r = 0; r < rows; r++)
        memcpy(t->fed + r * t->o.seq, t->train.id + window_at(t, first + r),
               (size_t)t->o.seq * sizeof *t->fed);
    return wn__model_feed(t->model, t->fed, NULL, rows, t->o.seq);
}

static wn_tensor stream_of(const wn__ks_text *t, float *data, int64_t first) {
    return wn__tensor2(data, WN_DTYPE_F32, rows_of(t, first) * t->o.seq, t->config.hidden_size);
}

static float *place_of(const wn__ks_text *t, int64_t first) {
    return t->stream + first * t->o.seq * t->config.hidden_size;
}

wn_status wn__ks_text_begin(wn__ks_text *t) {
    for (int64_t i = 0; i < t->windows; i += t->o.batch) {
        const wn_tensor stream = stream_of(t, place_of(t, i), i);
        WN_TRY(feed(t, i));
        WN_TRY(wn__model_stream_begin(t->model, &stream));
    }
    return WN_OK;
}

wn_status wn__ks_text_advance(wn__ks_text *t, int64_t block) {
    for (int64_t i = 0; i < t->windows; i += t->o.batch) {
        const wn_tensor stream = stream_of(t, place_of(t, i), i);
        WN_TRY(feed(t, i));
        WN_TRY(wn__model_stream_block(t->model, block, &stream));
    }
    return WN_OK;
}

// ---- second moments

static wn_status square(wn__ks_text *t, const wn__matmul *m) {
    t->exec.pool = t->rt->pool;
    t->exec.planning = true;
    t->exec.need = 0;
    WN_TRY(wn__run(&t->exec, WN__OP_matmul, m));
    t->exec.planning = false;
    if (t->exec.need > t->exec.scratch_size) {
        free(t->exec.scratch);
        t->exec.scratch_size = t->exec.need;
        t->exec.scratch = aligned_alloc(64, (t->exec.need + 127) / 64 * 64);
        if (t->exec.scratch == NULL) {
            t->exec.scratch_size = 0;
            return wn__fail(WN_NOMEM, "out of memory for a workspace");
        }
    }
    return wn__run(&t->exec, WN__OP_matmul, m);
}

// wn__linear.watch: a batch in float32, their sum in double.
static wn_status add(void *watcher, const wn__linear *l, const wn_tensor *in) {
    wn__ks_text *t = watcher;
    const wn__matmul m = {.a = wn__tensor_transpose(in),
                          .b = *in,
                          .c = wn__tensor2(t->product, WN_DTYPE_F32, l->in, l->in)};
    WN_TRY(square(t, &m));
    for (int64_t i = 0; i < l->in * l->in; i++)
        t->moments[i] += (double)t->product[i];
    t->rows += in->shape[0];
    return WN_OK;
}

static wn_status look(wn__ks_text *t, int64_t block) {
    for (int64_t i = 0; i < t->windows; i += t->o.batch) {
        const wn_tensor stream = stream_of(t, t->batch, i);
        memcpy(t->batch, place_of(t, i), wn__tensor_bytes(&stream));
        WN_TRY(feed(t, i));
        WN_TRY(wn__model_stream_block(t->model, block, &stream));
    }
    return WN_OK;
}

wn_status wn__ks_text_moments(wn__ks_text *t, int64_t block, wn__linear *l, double *h) {
    double mean = 0;
    int64_t n = l->in;
    memset(h, 0, (size_t)(n * n) * sizeof *h);
    t->moments = h;
    t->rows = 0;
    l->watch = add;
    l->watcher = t;
    wn_status status = look(t, block);
    l->watch = NULL;
    if (status != WN_OK) return status;
    for (int64_t i = 0; i < n; i++) // the two halves may differ by rounding
        for (int64_t j = 0; j <= i; j++)
            h[i * n + j] = h[j * n + i] = (h[i * n + j] + h[j * n + i]) / (2 * (double)t->rows);
    for (int64_t i = 0; i < n; i++)
        mean += h[i * n + i] / (double)n;
    if (!isfinite(mean)) return wn__fail(WN_INVALID, "%s: what it reads is not finite", l->name);
    for (int64_t i = 0; i < n; i++)
        h[i * n + i] += WN_KS_DAMPING * mean;
    return WN_OK;
}

wn_status wn__ks_text_loss(wn__ks_text *t, wn__model *m, double *loss, int64_t *tokens) {
    const wn__ids ids = {.bytes = (const uint8_t *)t->held.id,
                         .id_bytes = 4,
                         .count = t->held.count,
                         .name = t->o.eval_data != NULL ? t->o.eval_data : t->o.text};
    wn__evaluation e;
    WN_TRY(wn__evaluate(m, &ids, t->o.batch, t->o.seq, 0, 0, NULL, &e));
    *loss = wn__evaluation_loss(&e);
    *tokens = e.labels;
    return WN_OK;
}
