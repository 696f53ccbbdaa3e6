// SPDX-License-Identifier: MIT
// A chain of factors in training: forward, gradients, one update; and its loss.
#include "base/fail.h"
#include "base/half.h"
#include "base/philox.h"
#include "kernels/kron_grad.h"
#include "kernels/kron_mul.h"
#include "optim/optim.h"
#include "prune/ks_gpu.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t width_of(const wn__ks *k, int t) {
    return t == 0 ? k->in : wn__kron_rows(&k->chain.factor[t - 1]);
}

wn_tensor wn__ks_batch(const wn__ks *k, float *data, int64_t n, int64_t features) {
    if (!k->batch_last) return wn__tensor2(data, WN_DTYPE_F32, n, features);
    wn_tensor t = wn__tensor2(data, WN_DTYPE_F32, features, n);
    return wn__tensor_transpose(&t);
}

wn_tensor wn__ks_between(const wn__ks *k, int t, int64_t n) {
    return wn__ks_batch(k, k->h[t], n, width_of(k, t));
}

wn_tensor wn__ks_factor(const wn__ks *k, int t, const float *w) {
    return wn__kron_view(&k->chain.factor[t], WN__KRON_COLUMNS, (void *)(uintptr_t)w, WN_DTYPE_F32);
}

static wn_tensor weight_view(const wn__ks *k, int t) {
    return wn__ks_factor(k, t, k->used[t]);
}

void wn__ks_round(wn__ks *k) {
    for (int t = 0; t < k->chain.count && (k->half || k->brain); t++) {
        const float *master = k->params.item[t + 1].w.data;
        for (int64_t i = 0; i < wn__kron_params(&k->chain.factor[t]); i++)
            k->used[t][i] = k->brain ? wn__bf16_to_f32(wn__bf16_from_f32(master[i]))
                                     : wn__f16_to_f32(wn__f16_from_f32(master[i]));
    }
}

// Row i of a batch's buffer, of features numbers, from `from`.
static void put_row(const wn__ks *k, float *to, int64_t n, int64_t i, int64_t features,
                    const float *from) {
    if (!k->batch_last) {
        memcpy(to + i * features, from, (size_t)features * sizeof *to);
        return;
    }
    for (int64_t c = 0; c < features; c++)
        to[c * n + i] = from[c];
}

// Columns of W are what it makes of unit vectors: a few rows at a time, which stay in the cache
// while all vectors of the batch take theirs.
static void bring_units(wn__ks *k, const wn__ks_data *d, const int64_t *rows, int64_t n) {
    enum { ROWS = 32 };
    memset(k->h[0], 0, (size_t)(n * k->in) * sizeof(float));
    for (int64_t r0 = 0; r0 < k->out; r0 += ROWS)
        for (int64_t i = 0; i < n; i++) {
            int64_t unit = rows[i] % k->in, end = r0 + ROWS < k->out ? r0 + ROWS : k->out;
            // first all, then all turned around: so that no bias fits them
            double scale = rows[i] < k->in ? d->scale : -d->scale;
            k->h[0][k->batch_last ? unit * n + i : i * k->in + unit] = (float)scale;
            for (int64_t r = r0; r < end; r++)
                k->wanted[k->batch_last ? r * n + i : i * k->out + r] =
                    (float)(scale * (double)k->w[r * k->in + unit]);
        }
}

void wn__ks_bring(wn__ks *k, const wn__ks_data *d, const int64_t *rows, int64_t n) {
    if (d->exact) {
        bring_units(k, d, rows, n);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        put_row(k, k->h[0], n, i, k->in, d->input + rows[i] * k->in);
        put_row(k, k->wanted, n, i, k->out, d->target + rows[i] * k->out);
    }
}

// Every vector's result begins as the bias.
static void put_bias(const wn__ks *k, float *y, int64_t n) {
    const float *bias = k->params.item[0].w.data;
    for (int64_t i = 0; i < n; i++)
        put_row(k, y, n, i, k->out, bias);
}

// y = bias + chain x; step by step where the factors' inputs are wanted, else fused.
static wn_status forward(wn__ks *k, int64_t n, bool steps) {
    int last = k->chain.count;
    if (!k->x.planning) put_bias(k, k->h[last], n);
    for (int t = 0; steps && t < last; t++) {
        wn__kron_mul one = {.x = wn__ks_batch(k, k->h[t], n, width_of(k, t)),
                            .y = wn__ks_batch(k, k->h[t + 1], n, width_of(k, t + 1)),
                            .count = 1,
                            .accumulate = t + 1 == last};
        one.w[0] = weight_view(k, t);
        WN_TRY(wn__run(&k->x, WN__OP_kron_mul, &one));
    }
    if (steps) return WN_OK;
    wn__kron_mul all = {.x = wn__ks_batch(k, k->h[0], n, k->in),
                        .y = wn__ks_batch(k, k->h[last], n, k->out),
                        .count = last,
                        .accumulate = true};
    for (int t = 0; t < last; t++)
        all.w[t] = weight_view(k, t);
    return wn__run(&k->x, WN__OP_kron_mul, &all);
}

// The mean of the squared differences; g[0]: its gradient by y, if wanted.
static double difference(wn__ks *k, int64_t n, bool gradient) {
    const float *y = k->h[k->chain.count];
    double sum = 0, count = (double)(n * k->out);
    for (int64_t i = 0; i < n * k->out; i++) {
        double d = (double)y[i] - (double)k->wanted[i];
        sum += d * d;
        if (gradient) k->g[0][i] = (float)(2 * d / count);
    }
    return sum / count;
}

static void bias_gradient(wn__ks *k, int64_t n) {
    float *g = k->params.item[0].g.data;
    for (int64_t r = 0; r < k->out; r++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += (double)k->g[0][k->batch_last ? r * n + i : i * k->out + r];
        g[r] = (float)sum;
    }
}

static wn_status backward(wn__ks *k, int64_t n) {
    float *g = k->g[0], *next = k->g[1];
    for (int t = k->chain.count - 1; t >= 0; t--) {
        const wn__kron_grad dw = {.x = wn__ks_batch(k, k->h[t], n, width_of(k, t)),
                                  .dy = wn__ks_batch(k, g, n, width_of(k, t + 1)),
                                  .dw = wn__kron_view(&k->chain.factor[t], WN__KRON_COLUMNS,
                                                      k->params.item[t + 1].g.data, WN_DTYPE_F32)};
        WN_TRY(wn__run(&k->x, WN__OP_kron_grad, &dw));
        if (t == 0) break;
        const wn_tensor w = weight_view(k, t);
        wn__kron_mul back = {.x = dw.dy, .y = wn__ks_batch(k, next, n, width_of(k, t)), .count = 1};
        back.w[0] = wn__kron_view_transpose(&w);
        WN_TRY(wn__run(&k->x, WN__OP_kron_mul, &back));
        float *swap = g;
        g = next;
        next = swap;
    }
    return WN_OK;
}

// Norms of a batch's gradients: each factor's, all factors', and everything's for clipping.
static double norms(const wn__ks *k, wn__ks_sums *s) {
    double factors = 0, bias = 0;
    for (size_t p = 0; p < k->params.count; p++) {
        const float *g = k->params.item[p].g.data;
        double sum = 0;
        for (int64_t i = 0; i < wn__tensor_count(&k->params.item[p].g); i++)
            sum += (double)g[i] * (double)g[i];
        if (p == 0) {
            bias = sum;
        } else {
            s->factor[p - 1] += sqrt(sum);
            factors += sum;
        }
    }
    s->norm += sqrt(factors);
    return sqrt(factors + bias);
}

static wn_status train_batch(wn__ks *k, int64_t n, wn__ks_sums *s) {
    double scale = 1;
    WN_TRY(forward(k, n, true));
    if (!k->x.planning) {
        s->loss += difference(k, n, true);
        s->batches++;
        bias_gradient(k, n);
    }
    WN_TRY(backward(k, n));
    if (!k->x.planning) scale = wn__clip_scale(norms(k, s), k->o->max_grad_norm);
    WN_TRY(wn__optimizer_update(k->optimizer, &k->params, &k->x, k->schedule.lr, scale, k->updates,
                                NULL));
    if (k->x.planning) return WN_OK;
    k->updates++;
    wn__ks_round(k);
    return WN_OK;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

wn_status wn__ks_go_on(const wn__ks *k, int64_t epoch) {
    if (epoch != k->first || k->o->stop == NULL || !k->o->stop(k->ctx)) return WN_OK;
    return wn__fail(WN_CANCELLED, "stopped in epoch %" PRId64 ", the first of this fit: %s", epoch,
                    epoch == 1 && isfinite(k->best) ? "only the closed form was saved"
                                                    : "nothing was saved");
}

wn_status wn__ks_train_epoch(wn__ks *k, int64_t epoch, wn__ks_sums *out) {
    *out = (wn__ks_sums){0};
    int64_t n = k->train.rows;
    for (int64_t i = 0; i < n; i++) { // any order is as likely as any other
        int64_t j = (int64_t)wn__philox_below(k->o->seed, WN_STREAM_SHUFFLE + (uint32_t)epoch,
                                              (uint64_t)i, (uint64_t)i + 1);
        k->order[i] = k->order[j];
        k->order[j] = i;
    }
    if (k->gpu != NULL) return wn__ks_gpu_epoch(k, epoch, out);
    for (int64_t i = 0; i < n; i += k->batch) {
        int64_t some = least(k->batch, n - i);
        wn__ks_bring(k, &k->train, k->order + i, some);
        WN_TRY(train_batch(k, some, out));
        wn__ks_tell(k, epoch, out);
        if (i + some < n) WN_TRY(wn__ks_go_on(k, epoch));
    }
    out->loss /= (double)out->batches;
    out->norm /= (double)out->batches;
    for (int t = 0; t < k->chain.count; t++)
        out->factor[t] /= (double)out->batches;
    return WN_OK;
}

wn_status wn__ks_loss(wn__ks *k, const wn__ks_data *d, double *loss, double *squares) {
    int64_t batches = 0;
    double all = 0;
    *loss = 0;
    if (k->gpu != NULL && squares == NULL) return wn__ks_gpu_loss(k, d, loss);
    for (int64_t i = 0; i < d->rows; i += k->batch, batches++) {
        int64_t some = least(k->batch, d->rows - i);
        for (int64_t j = 0; j < some; j++)
            k->order[j] = i + j;
        wn__ks_bring(k, d, k->order, some);
        WN_TRY(forward(k, some, false));
        double mean = difference(k, some, false);
        *loss += mean;
        all += mean * (double)(some * k->out);
    }
    if (squares != NULL) *squares = all;
    if (batches > 0) *loss /= (double)batches;
    return WN_OK;
}

static wn_status floats(wn__arena *a, int64_t n, float **out) {
    void *p;
    WN_TRY(wn__arena_alloc(a, (size_t)n * sizeof **out, &p));
    *out = p;
    return WN_OK;
}

static wn_status add_params(wn__ks *k) {
    size_t index;
    for (int t = -1; t < k->chain.count; t++) {
        WN_TRY(wn__params_append(&k->params, &index));
        wn__param *p = &k->params.item[index];
        p->decay = true;
        if (t < 0)
            (void)snprintf(p->name, sizeof p->name, "bias");
        else
            (void)snprintf(p->name, sizeof p->name, "weights.%d", t);
    }
    return WN_OK;
}

// Everything out of one arena, which may measure.
static wn_status carve(wn__ks *k, wn__arena *a) {
    int64_t widest = k->in > k->out ? k->in : k->out, shape[3];
    for (int t = 0; t < k->chain.count; t++) {
        const wn__kron *p = &k->chain.factor[t];
        wn__param *param = &k->params.item[t + 1];
        shape[0] = p->a * p->d;
        shape[1] = p->c;
        shape[2] = p->b;
        WN_TRY(wn__tensor_alloc(a, WN_DTYPE_F32, 3, shape, &param->w));
        WN_TRY(wn__tensor_alloc(a, WN_DTYPE_F32, 3, shape, &param->g));
        k->used[t] = param->w.data;
        if (k->half || k->brain) WN_TRY(floats(a, wn__kron_params(p), &k->used[t]));
        if (wn__kron_rows(p) > widest) widest = wn__kron_rows(p);
    }
    WN_TRY(wn__tensor_alloc1(a, WN_DTYPE_F32, k->out, &k->params.item[0].w));
    WN_TRY(wn__tensor_alloc1(a, WN_DTYPE_F32, k->out, &k->params.item[0].g));
    for (int t = 0; t <= k->chain.count; t++)
        WN_TRY(floats(a, k->batch * width_of(k, t), &k->h[t]));
    WN_TRY(floats(a, k->batch * widest, &k->g[0]));
    WN_TRY(floats(a, k->batch * widest, &k->g[1]));
    WN_TRY(floats(a, k->batch * k->out, &k->wanted));
    void *order;
    int64_t rows = k->train.rows > k->batch ? k->train.rows : k->batch;
    WN_TRY(wn__arena_alloc(a, (size_t)rows * sizeof *k->order, &order));
    k->order = order;
    return wn__optimizer_build(k->optimizer, &k->params, a);
}

// Plans every batch that will come: whole ones and what is left over.
static wn_status plan(wn__ks *k) {
    const int64_t rows[3] = {k->train.rows, k->val.rows, 2 * k->in};
    wn__ks_sums none = {0};
    k->x.planning = true;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 2; j++) {
            int64_t n = j == 0 ? least(k->batch, rows[i]) : rows[i] % k->batch;
            if (n == 0) continue;
            WN_TRY(train_batch(k, n, &none));
            WN_TRY(forward(k, n, false));
        }
    k->x.planning = false;
    k->x.scratch_size = k->x.need;
    k->x.scratch = aligned_alloc(64, (k->x.need + 127) / 64 * 64);
    if (k->x.scratch == NULL)
        return wn__fail(WN_NOMEM, "out of memory for %zu bytes of workspace", k->x.need);
    return WN_OK;
}

wn_status wn__ks_build(wn__ks *k) {
    const wn__optimizer_options options = {.kind = k->kind,
                                           .beta1 = 0.9,
                                           .beta2 = 0.999,
                                           .eps = 1e-8,
                                           .weight_decay = k->o->weight_decay,
                                           .momentum = 0.9};
    wn__arena measured;
    WN_TRY(add_params(k));
    WN_TRY(wn__optimizer_create(&options, &k->optimizer));
    wn__arena_measure("a chain in training", &measured);
    WN_TRY(carve(k, &measured));
    WN_TRY(wn__arena_create("a chain in training", measured.used, &k->arena));
    WN_TRY(carve(k, &k->arena));
    return plan(k);
}

void wn__ks_free(wn__ks *k) {
    wn__ks_gpu_free(k);
    wn__json_free(k->log);
    wn__optimizer_free(k->optimizer);
    wn__params_free(&k->params);
    wn__arena_free(&k->arena);
    wn__pool_free(k->pool);
    free(k->x.scratch);
    free(k->train.input);
    free(k->train.target);
    free(k->val.input);
    free(k->val.target);
    free(k->root);
    free(k->head[0]);
    free(k->head[1]);
    free(k->w);
}
