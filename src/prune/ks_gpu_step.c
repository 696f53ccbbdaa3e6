// SPDX-License-Identifier: MIT
// Updates on a GPU: one stream, nothing allocated, nothing waited for until an epoch ends.
#include "prune/ks_gpu.h"

#include "base/fail.h"
#include "kernels/embed.h"
#include "kernels/fit.h"
#include "kernels/kron_grad.h"
#include "kernels/kron_mul.h"
#include "kernels/kron_pair_grad.h"

#include <math.h>
#include <string.h>

// The first n rows.
static wn_tensor some(const wn_tensor *t, int64_t n) {
    wn_tensor s = *t;
    s.shape[0] = n;
    return s;
}

// n rows from row `first` on.
static wn_tensor slice(const wn_tensor *t, int64_t first, int64_t n) {
    wn_tensor s = some(t, n);
    if (s.data != NULL)
        s.data = (char *)s.data + (size_t)(first * t->stride[0]) * wn_dtype_size(t->dtype);
    return s;
}

// Parameter p of a kind: `numbers` is g->w and so on.
static wn_tensor part(const wn__ks *k, const wn_tensor *numbers, size_t p) {
    wn_tensor t = *numbers;
    t.shape[0] = wn__tensor_count(&k->params.item[p].w);
    if (t.data != NULL) t.data = (char *)t.data + (size_t)k->gpu->at[p] * wn_dtype_size(t.dtype);
    return t;
}

static wn_tensor factor(const wn__ks *k, const wn_tensor *numbers, int t) {
    const wn_tensor at = part(k, numbers, (size_t)t + 1);
    wn_tensor w = wn__kron_view(&k->chain.factor[t], WN__KRON_COLUMNS, at.data, at.dtype);
    w.device = at.device;
    return w;
}

static wn__kron_mul chain_of(const wn__ks *k, const wn_tensor *x, const wn_tensor *y) {
    wn__kron_mul all = {.x = *x, .y = *y, .count = k->chain.count};
    for (int t = 0; t < k->chain.count; t++)
        all.w[t] = factor(k, &k->gpu->rounded, t);
    return all;
}

// Where both gradients of two factors come at once, and nothing between them need be kept: as fast
// as steps with 128 vectors of 4096 x 4096 on an H200, and faster the more there are. In float32
// products are what takes time, and to make again what lies between is one more.
static bool is_pair(const wn__ks *k, int64_t n) {
    enum { MANY = 256 };
    return k->chain.count == 2 && n >= MANY && k->gpu->dtype != WN_DTYPE_F32 && !k->gpu->batched;
}

static wn_status forward(wn__ks *k, int64_t n) {
    wn__ks_gpu *g = k->gpu;
    const int last = k->chain.count;
    const wn_tensor x = some(&g->h[0], n), y = some(&g->h[last], n);
    if (is_pair(k, n)) {
        const wn__kron_mul all = chain_of(k, &x, &y);
        return wn__run(&g->x, WN__OP_kron_mul, &all);
    }
    for (int t = 0; t < last; t++) {
        wn__kron_mul one = {.x = some(&g->h[t], n), .y = some(&g->h[t + 1], n), .count = 1};
        one.w[0] = factor(k, &g->rounded, t);
        WN_TRY(wn__run(&g->x, WN__OP_kron_mul, &one));
    }
    return WN_OK;
}

// [n, width] of a buffer for the widest.
static wn_tensor between(const wn_tensor *buffer, int64_t n, int64_t width) {
    wn_tensor t = some(buffer, n);
    t.shape[1] = width;
    t.stride[0] = (width + 7) / 8 * 8;
    return t;
}

static wn_status backward(wn__ks *k, int64_t n) {
    wn__ks_gpu *g = k->gpu;
    wn_tensor dy = some(&g->h[k->chain.count], n); // the gradient took its place
    if (is_pair(k, n)) {
        const wn__kron_pair_grad both = {.x = some(&g->h[0], n),
                                         .dy = dy,
                                         .w0 = factor(k, &g->rounded, 0),
                                         .w1 = factor(k, &g->rounded, 1),
                                         .dw0 = factor(k, &g->g, 0),
                                         .dw1 = factor(k, &g->g, 1)};
        return wn__run(&g->x, WN__OP_kron_pair_grad, &both);
    }
    for (int t = k->chain.count - 1; t >= 0; t--) {
        const wn__kron_grad dw = {.x = some(&g->h[t], n), .dy = dy, .dw = factor(k, &g->g, t)};
        WN_TRY(wn__run(&g->x, WN__OP_kron_grad, &dw));
        if (t == 0) break;
        const wn_tensor w = factor(k, &g->rounded, t);
        wn__kron_mul back = {.x = dy, .count = 1};
        back.y = between(&g->back[t % 2], n, g->h[t].shape[1]);
        back.w[0] = wn__kron_view_transpose(&w);
        WN_TRY(wn__run(&g->x, WN__OP_kron_mul, &back));
        dy = back.y;
    }
    return WN_OK;
}

// Differences of n results to targets. With vectors scaled by s, e is s times what it stands for;
// the gradient in 16 bits is d times that, and the bias's has the same s s d as the factors' will.
static wn__squared_error error_of(const wn__ks *k, const wn_tensor *y, const wn_tensor *target,
                                  int64_t counted) {
    const wn__ks_gpu *g = k->gpu;
    return (wn__squared_error){.y = *y,
                               .target = *target,
                               .bias = part(k, &g->w, 0),
                               .sum = g->loss,
                               .bias_scale = g->scale,
                               .gradient_scale = g->difference,
                               .dbias_scale = g->scale * g->difference,
                               .sum_scale = 1 / ((double)(counted * k->out) * g->scale * g->scale),
                               .accumulate = true};
}

static wn_status norms(wn__ks *k, int64_t n) {
    wn__ks_gpu *g = k->gpu;
    wn__gradient_norms p = {.g = g->g,
                            .sums = g->norms,
                            .factor = g->factor,
                            .parts = (int)k->params.count,
                            .scale =
                                2 / ((double)(n * k->out) * g->scale * g->scale * g->difference),
                            .most = k->o->max_grad_norm};
    for (size_t i = 0; i < k->params.count; i++)
        p.end[i] = g->at[i + 1];
    return wn__run(&g->x, WN__OP_gradient_norms, &p);
}

static wn_status move_parameters(wn__ks *k) {
    wn__ks_gpu *g = k->gpu;
    const bool alone = g->dtype == WN_DTYPE_F32; // products read w itself
    const wn__fit_update p = {.w = g->w,
                              .m = g->m,
                              .v = g->v,
                              .g = g->g,
                              .rounded = alone ? (wn_tensor){0} : g->rounded,
                              .step = g->step,
                              .factor = g->factor,
                              .rule = k->kind == WN_OPTIMIZER_ADAMW  ? WN__FIT_ADAMW
                                      : k->kind == WN_OPTIMIZER_ADAM ? WN__FIT_ADAM
                                                                     : WN__FIT_SGD,
                              .beta1 = 0.9,
                              .beta2 = 0.999,
                              .eps = 1e-8,
                              .decay = k->o->weight_decay};
    return wn__run(&g->x, WN__OP_fit_update, &p);
}

// One update of the n vectors that g->rows names.
static wn_status update(wn__ks *k, int64_t n) {
    wn__ks_gpu *g = k->gpu;
    const wn_tensor y = some(&g->h[k->chain.count], n), wanted = some(&g->wanted, n);
    const wn__embed vectors = {
        .token = some(&g->rows, n), .table = g->train.x, .out = some(&g->h[0], n)};
    const wn__embed targets = {.token = some(&g->rows, n), .table = g->train.target, .out = wanted};
    wn__squared_error e = error_of(k, &y, &wanted, n);
    e.gradient = y;
    e.dbias = part(k, &g->g, 0);
    WN_TRY(wn__run(&g->x, WN__OP_embed, &vectors));
    WN_TRY(wn__run(&g->x, WN__OP_embed, &targets));
    WN_TRY(forward(k, n));
    WN_TRY(wn__run(&g->x, WN__OP_squared_error, &e));
    WN_TRY(backward(k, n));
    WN_TRY(norms(k, n));
    return move_parameters(k);
}

// Adds the mean losses of batches: `counted` vectors each, n of them from `first` on.
static wn_status evaluate(wn__ks *k, const wn__ks_gpu_data *d, int64_t first, int64_t n,
                          int64_t counted) {
    wn__ks_gpu *g = k->gpu;
    const wn_tensor x = slice(&d->x, first, n), y = some(&g->seen, n);
    const wn_tensor target = slice(&d->target, first, n);
    const wn__kron_mul all = chain_of(k, &x, &y);
    const wn__squared_error e = error_of(k, &y, &target, counted);
    WN_TRY(wn__run(&g->x, WN__OP_kron_mul, &all));
    return wn__run(&g->x, WN__OP_squared_error, &e);
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static wn_status evaluate_all(wn__ks *k, const wn__ks_gpu_data *d) {
    const int64_t rows = d->x.shape[0], whole = rows / k->batch * k->batch;
    const int64_t together = k->gpu->seen.shape[0] / k->batch * k->batch;
    for (int64_t i = 0; i < whole; i += together)
        WN_TRY(evaluate(k, d, i, least(together, whole - i), k->batch));
    return whole < rows ? evaluate(k, d, whole, rows - whole, rows - whole) : WN_OK;
}

wn_status wn__ks_gpu_plan(wn__ks *k) {
    wn__ks_gpu *g = k->gpu;
    const int64_t left = k->train.rows % k->batch;
    g->x.planning = true;
    if (k->train.rows >= k->batch) WN_TRY(update(k, k->batch));
    if (left > 0) WN_TRY(update(k, left));
    WN_TRY(evaluate_all(k, &g->train));
    if (k->val.rows > 0) WN_TRY(evaluate_all(k, &g->val));
    g->x.planning = false;
    return WN_OK;
}

// The first time as it is, which loads device code; then as a graph.
static wn_status run_update(wn__ks *k, int64_t n) {
    wn__ks_gpu *g = k->gpu;
    wn__cuda *d = wn__gpu_device(g->gpu);
    wn__ks_gpu_graph *u = n == k->batch ? &g->whole : &g->left;
    if (!u->ran) {
        u->ran = true;
        return update(k, n);
    }
    if (u->graph == NULL) {
        WN_TRY(wn__cuda_capture_begin(d));
        wn_status status = update(k, n), ended = wn__cuda_capture_end(d, &u->graph);
        WN_TRY(status != WN_OK ? status : ended);
    }
    return wn__cuda_graph_run(d, u->graph);
}

// What an update needs to know: its learning rate, the corrections of moments, its rows.
static void put_record(wn__ks *k, char *to, int64_t first, int64_t n) {
    const double t = (double)k->updates + 1, lr = k->schedule.lr;
    const double step[3] = {lr, lr / (1 - pow(0.9, t)), sqrt(1 - pow(0.999, t))};
    memcpy(to, step, sizeof step);
    for (int64_t i = 0; i < n; i++) {
        const int32_t row = (int32_t)k->order[first + i];
        memcpy(to + 64 + (size_t)i * sizeof row, &row, sizeof row);
    }
}

// The sums of an epoch or an evaluation, which begin as zeros.
static wn_status read_sums(wn__ks *k) {
    wn__ks_gpu *g = k->gpu;
    const size_t bytes = (k->params.count + 2) * sizeof(double);
    WN_TRY(wn__cuda_copy_out(wn__gpu_device(g->gpu), g->sums, g->loss.data, bytes));
    return wn__gpu_finish(g->gpu);
}
static wn_status clear_sums(wn__ks *k) {
    const size_t bytes = (k->params.count + 2) * sizeof(double);
    return wn__cuda_set(wn__gpu_device(k->gpu->gpu), k->gpu->loss.data, 0, bytes);
}

// All of them are asked for before the first may be done.
static wn_status run_updates(wn__ks *k, int64_t epoch, wn__ks_sums *out) {
    wn__ks_gpu *g = k->gpu;
    wn__cuda *d = wn__gpu_device(g->gpu);
    char *record = g->record;
    for (int64_t i = 0; i < k->train.rows; i += k->batch, record += g->record_bytes) {
        const int64_t n = least(k->batch, k->train.rows - i);
        if (i > 0) WN_TRY(wn__ks_go_on(k, epoch));
        put_record(k, record, i, n);
        WN_TRY(wn__cuda_copy_in(d, g->step.data, record, g->record_bytes));
        WN_TRY(run_update(k, n));
        k->updates++;
        out->batches++;
    }
    return WN_OK;
}

wn_status wn__ks_gpu_epoch(wn__ks *k, int64_t epoch, wn__ks_sums *out) {
    wn__ks_gpu *g = k->gpu;
    const int last = k->chain.count;
    WN_TRY(clear_sums(k));
    wn_status status = run_updates(k, epoch, out);
    if (status == WN_CANCELLED) WN_TRY(wn__gpu_finish(g->gpu)); // it reads memory that will go
    WN_TRY(status);
    WN_TRY(read_sums(k));
    const double batches = (double)out->batches;
    out->loss = g->sums[0] / batches;
    for (int t = 0; t < last; t++)
        out->factor[t] = g->sums[2 + t] / batches;
    out->norm = g->sums[2 + last] / batches;
    return WN_OK;
}

wn_status wn__ks_gpu_loss(wn__ks *k, const wn__ks_data *data, double *loss) {
    const wn__ks_gpu_data *d = data == &k->val ? &k->gpu->val : &k->gpu->train;
    WN_TRY(clear_sums(k));
    WN_TRY(evaluate_all(k, d));
    WN_TRY(read_sums(k));
    *loss = k->gpu->sums[0] / (double)((data->rows + k->batch - 1) / k->batch);
    return WN_OK;
}
