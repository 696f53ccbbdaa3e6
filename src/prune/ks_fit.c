// SPDX-License-Identifier: MIT
// Fitting a chain to a matrix: what to make, from where to start, epoch after epoch.
#include "base/fail.h"
#include "base/file.h"
#include "base/log.h"
#include "base/philox.h"
#include "kernels/matmul.h"
#include "prune/ks_gpu.h"
#include "sparse/kron_head.h"
#include "sparse/kron_inputs.h"
#include "winnow/kernels.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 1024 }; // vectors together where it changes nothing but the time

typedef enum method { SVD, SGD, AUTO, ALS } method;

static bool is(const char *text, const char *word) {
    return text != NULL && strcmp(text, word) == 0;
}

// ---- the chain

// A number from 1 on at the front of a text, and what follows it.
static bool number(const char **at, int64_t *out) {
    char *end;
    if (**at < '1' || **at > '9') return false;
    errno = 0;
    *out = strtoll(*at, &end, 10);
    *at = end;
    return errno == 0;
}

// "+lowrank:K" at the end, or nothing: what is before it, in out[n].
static bool parse_head(const char *text, char *out, size_t n, int64_t *rank) {
    static const char word[] = "+lowrank:";
    const char *plus = strchr(text, '+');
    size_t length = plus != NULL ? (size_t)(plus - text) : strlen(text);
    *rank = 0;
    if (length >= n) return false;
    memcpy(out, text, length);
    out[length] = 0;
    if (plus == NULL) return true;
    if (strncmp(plus, word, sizeof word - 1) != 0) return false;
    plus += sizeof word - 1;
    return number(&plus, rank) && *plus == 0;
}

// "monarch:B[xC][:R]"
static bool parse_monarch(const char *text, int64_t *b, int64_t *c, int64_t *r) {
    if (strncmp(text, "monarch:", 8) != 0) return false;
    const char *at = text + 8;
    if (!number(&at, b)) return false;
    *c = *b;
    *r = 1;
    if (*at == 'x' && (at++, !number(&at, c))) return false;
    if (*at == ':' && (at++, !number(&at, r))) return false;
    return *at == 0;
}

static wn_status make_chain(wn__ks *k) {
    const char *whole = k->o->chain != NULL ? k->o->chain : "legacy";
    wn__kron_chain unused;
    char text[96];
    int64_t b, c, r;
    if (!parse_head(whole, text, sizeof text, &k->head_rank)) text[0] = 0;
    if (k->head_rank > 0) WN_TRY(wn__kron_head_chain(k->out, k->in, k->head_rank, &unused));
    if (is(text, "legacy")) return wn__kron_chain_legacy(k->out, k->in, k->o->rank, &k->chain);
    if (is(text, "butterfly")) {
        if (k->out != k->in)
            return wn__fail(WN_INVALID, "a butterfly is square, not %" PRId64 " x %" PRId64, k->out,
                            k->in);
        return wn__kron_chain_butterfly(k->in, &k->chain);
    }
    if (parse_monarch(text, &b, &c, &r))
        return wn__kron_chain_monarch(k->out, k->in, b, c, r, &k->chain);
    return wn__fail(WN_INVALID,
                    "chain '%.90s': legacy, butterfly or monarch:B[xC][:R] expected, perhaps with "
                    "+lowrank:K",
                    whole);
}

// ---- options

static wn_status parse_method(const char *text, method *out) {
    static const char *const words[] = {"svd", "sgd", "auto", "als"};
    *out = AUTO;
    for (int i = 0; i < 4 && text != NULL; i++)
        if (is(text, words[i])) {
            *out = (method)i;
            return WN_OK;
        }
    if (text == NULL) return WN_OK;
    return wn__fail(WN_INVALID, "method '%s': svd, als, sgd or auto expected", text);
}

static wn_status check_numbers(const wn_ks_options *o) {
    if (o->batch_size < 1 || o->epochs < 1 || o->save_interval < 0 || o->samples < 1)
        return wn__fail(WN_INVALID,
                        "batch size %" PRId64 ", epochs %" PRId64 ", samples %" PRId64
                        ": at least 1 each",
                        o->batch_size, o->epochs, o->samples);
    if (!(o->val_split >= 0 && o->val_split < 1) || !(o->data_std > 0) || !(o->lr >= 0) ||
        !(o->weight_decay >= 0) || !(o->max_grad_norm >= 0))
        return wn__fail(WN_INVALID,
                        "a validation share is in [0, 1), a deviation above 0, rates and "
                        "norms from 0 on");
    return WN_OK;
}

// What vectors are drawn, or not.
static wn_status read_data(wn__ks *k, method m) {
    const wn_ks_options *o = k->o;
    k->unit = is(o->data, "exact") || (o->data == NULL && m == AUTO);
    if (!k->unit && o->data != NULL && !is(o->data, "random"))
        return wn__fail(WN_INVALID, "data '%s': exact or random expected", o->data);
    k->unit = k->unit || m == SVD || m == ALS; // all unit vectors stand for all vectors
    if (k->unit || o->calib != NULL || (double)o->samples * (1 - o->val_split) >= 1) return WN_OK;
    return wn__fail(WN_INVALID, "%" PRId64 " samples with a share of %g held out leave none",
                    o->samples, o->val_split);
}

static wn_status read_options(wn__ks *k) {
    const wn_ks_options *o = k->o;
    WN_TRY(check_numbers(o));
    bool known =
        wn__optimizer_parse(o->optimizer != NULL ? o->optimizer : "adamw", &k->kind) == WN_OK;
    if (!known || (k->kind != WN_OPTIMIZER_ADAMW && k->kind != WN_OPTIMIZER_ADAM &&
                   k->kind != WN_OPTIMIZER_SGD))
        return wn__fail(WN_INVALID, "optimizer '%s': adamw, adam or sgd expected", o->optimizer);
    WN_TRY(wn__epochs_parse(o->scheduler != NULL ? o->scheduler : "plateau", &k->schedule.kind));
    bool plateau = k->schedule.kind == WN__EPOCHS_PLATEAU;
    k->schedule.factor = plateau ? o->factor : o->gamma;
    k->schedule.patience = plateau ? o->patience : o->step_size;
    k->schedule.total = o->epochs;
    wn__epochs_start(&k->schedule, o->lr);
    k->half = is(o->dtype, "float16");
    k->brain = is(o->dtype, "bfloat16");
    k->batch_last = o->batch_last;
    if (!k->half && !k->brain && o->dtype != NULL && !is(o->dtype, "float32"))
        return wn__fail(WN_INVALID, "dtype '%s': float32, float16 or bfloat16 expected", o->dtype);
    if (o->impl != NULL && !is(o->impl, "bmm") && !is(o->impl, "triton"))
        return wn__fail(WN_INVALID, "impl '%s': triton or bmm expected", o->impl);
    return WN_OK;
}

// ---- data

// Room for the vectors of d and for what W makes of them.
static wn_status reserve(const wn__ks *k, wn__ks_data *d) {
    d->input = malloc((size_t)(d->rows * k->in) * sizeof(float));
    d->target = malloc((size_t)(d->rows * k->out) * sizeof(float));
    if (d->input != NULL && d->target != NULL) return WN_OK;
    return wn__fail(WN_NOMEM, "out of memory for %" PRId64 " vectors", d->rows);
}

// target = input W^T
static wn_status aim(wn__ks *k, const wn__ks_data *d) {
    bool done = false;
    if (k->gpu != NULL) {
        wn__ks_gpu_vectors(k, d->input, d->rows * k->in);
        WN_TRY(wn__ks_gpu_aim(k, d, &done));
    }
    if (done) return WN_OK;
    const wn_tensor w = wn__tensor2(k->w, WN_DTYPE_F32, k->out, k->in);
    const wn__matmul product = {.a = wn__tensor2(d->input, WN_DTYPE_F32, d->rows, k->in),
                                .b = wn__tensor_transpose(&w),
                                .c = wn__tensor2(d->target, WN_DTYPE_F32, d->rows, k->out)};
    wn__exec x = {.pool = k->pool, .planning = true};
    WN_TRY(wn__run(&x, WN__OP_matmul, &product));
    x.planning = false;
    x.scratch_size = x.need;
    x.scratch = aligned_alloc(64, (x.need + 127) / 64 * 64);
    if (x.scratch == NULL) return wn__fail(WN_NOMEM, "out of memory for a workspace");
    wn_status status = wn__run(&x, WN__OP_matmul, &product);
    free(x.scratch);
    return status;
}

static wn_status draw(wn__ks *k, wn__ks_data *d, uint64_t stream) {
    if (d->rows == 0) return WN_OK;
    WN_TRY(reserve(k, d));
    float z[4] = {0};
    for (int64_t i = 0; i < d->rows * k->in; i++) {
        if (i % 4 == 0) wn__philox_normal(k->o->seed, stream, (uint64_t)i / 4, z);
        d->input[i] = z[i % 4] * (float)d->scale;
    }
    return aim(k, d);
}

// Whether nothing is trained: of two factors, and of a bottleneck, the closed form is the optimum.
static bool is_closed(const wn__ks *k, method m) {
    bool best = (k->chain.count <= 2 || wn__kron_chain_legacy_rank(&k->chain) > 0) && !k->o->calib;
    return m == SVD || m == ALS || (m == AUTO && best);
}

static wn_status make_data(wn__ks *k, method m) {
    const wn_ks_options *o = k->o;
    k->batch = is_closed(k, m) ? BATCH : o->batch_size;
    if (o->calib != NULL) {
        k->train.rows = 2 * k->in;
        WN_TRY(reserve(k, &k->train));
        wn__ks_columns(k, k->train.input);
        return aim(k, &k->train);
    }
    if (k->unit) {
        k->train = (wn__ks_data){
            .exact = true, .scale = o->data_std * sqrt((double)k->in), .rows = 2 * k->in};
        if (k->gpu != NULL) k->train.scale = wn__ks_gpu_unit(k, k->train.scale);
        k->val = k->train;
        return WN_OK;
    }
    k->train.rows = (int64_t)((double)o->samples * (1 - o->val_split));
    k->val.rows = o->samples - k->train.rows;
    k->train.scale = k->val.scale = o->data_std;
    WN_TRY(draw(k, &k->train, WN_STREAM_SAMPLE));
    return draw(k, &k->val, WN_STREAM_SAMPLE + 1);
}

// ---- where to start

// The closed form that knows the inputs: whitened by the blocks of H that the rightmost factor
// reads, never above the plain one.
static wn_status fit_outputs(wn__ks *k, const double *w, double *const *factor) {
    const int64_t in = k->in;
    wn__kron_inputs report;
    double *h = malloc((size_t)(in * in) * sizeof *h);
    if (h == NULL) return wn__fail(WN_NOMEM, "out of memory");
    wn__exec x = {.pool = k->pool};
    wn_status status = wn__ks_square(k, &x, h);
    if (status == WN_OK)
        status = wn__kron_fit_inputs(NULL, &x, &k->chain, w, h, 0, factor, &report);
    free(h);
    return status;
}

static wn_status start_closed(wn__ks *k, wn_ks_result *out) {
    double *factor[WN__KRON_MAX] = {NULL}, *w = malloc((size_t)(k->out * k->in) * sizeof *w);
    wn__kron_fit report = {0};
    wn_status status = WN_OK;
    if (w == NULL) status = wn__fail(WN_NOMEM, "out of memory");
    for (int64_t i = 0; status == WN_OK && i < k->out * k->in; i++)
        w[i] = (double)k->w[i];
    for (int t = 0; status == WN_OK && t < k->chain.count; t++) {
        factor[t] = malloc((size_t)wn__kron_params(&k->chain.factor[t]) * sizeof(double));
        if (factor[t] == NULL) status = wn__fail(WN_NOMEM, "out of memory");
    }
    bool bound = k->chain.count > 2;
    if (status == WN_OK)
        status = k->root != NULL
                     ? fit_outputs(k, w, factor)
                     : wn__kron_fit_dense(NULL, &k->x, &k->chain, w, factor, bound, &report);
    for (int t = 0; status == WN_OK && t < k->chain.count; t++) {
        const wn__kron *p = &k->chain.factor[t];
        wn_tensor from = wn__kron_view(p, WN__KRON_CANONICAL, factor[t], WN_DTYPE_F64);
        wn_tensor to =
            wn__kron_view(p, WN__KRON_COLUMNS, k->params.item[t + 1].w.data, WN_DTYPE_F32);
        status = wn__kron_copy(&from, &to);
    }
    for (int t = 0; t < k->chain.count; t++)
        free(factor[t]);
    free(w);
    out->least = report.norm > 0 && k->root == NULL && k->head_rank == 0
                     ? (bound ? report.least : report.error) / report.norm
                     : 0;
    return status;
}

// Uniform numbers of variance 1/c keep that of a vector; the last factor brings it to W's.
static void start_random(wn__ks *k) {
    double square = 0;
    for (int64_t i = 0; i < k->out * k->in; i++)
        square += (double)k->w[i] * (double)k->w[i];
    for (int t = 0; t < k->chain.count; t++) {
        const wn__kron *p = &k->chain.factor[t];
        float *w = k->params.item[t + 1].w.data;
        double range = sqrt(3 / (double)p->c);
        if (t + 1 == k->chain.count) range *= sqrt(square / (double)k->out);
        for (int64_t i = 0; i < wn__kron_params(p); i++) {
            uint32_t word[4];
            wn__philox_draw(k->o->seed, WN_STREAM_INIT + (uint64_t)t + 1, (uint64_t)i, word);
            w[i] = (float)(range * (2 * (double)wn__philox_uniform(word[0]) - 1));
        }
    }
}

// ---- epochs

static const wn__ks_data *held_out(const wn__ks *k) {
    return k->val.rows > 0 ? &k->val : &k->train;
}

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void wn__ks_tell(const wn__ks *k, int64_t epoch, const wn__ks_sums *s) {
    double factor[WN__KRON_MAX], n = (double)s->batches;
    int64_t every = k->o->log_interval;
    if (k->fn == NULL || every < 1 || s->batches % every != 0) return;
    for (int t = 0; t < k->chain.count; t++)
        factor[t] = s->factor[t] / n;
    const wn_ks_epoch event = {.epoch = epoch,
                               .epochs = k->o->epochs,
                               .batch = s->batches,
                               .batches = (k->train.rows + k->batch - 1) / k->batch,
                               .train_loss = s->loss / n,
                               .grad_norm = s->norm / n,
                               .factor_norm = factor,
                               .factors = k->chain.count,
                               .lr = k->schedule.lr};
    k->fn(k->ctx, &event);
}

static const char *epoch_name(int64_t epoch, char name[40]) {
    (void)snprintf(name, 40, "_epoch_%" PRId64, epoch);
    return name;
}

// What there is after an epoch is all that going on needs.
static wn_status stop_after(wn__ks *k, int64_t epoch, const wn__ks_state *s) {
    char name[40], file[48], path[1024];
    if (k->o->save_interval <= 0 || epoch % k->o->save_interval != 0)
        WN_TRY(wn__ks_save(k, epoch_name(epoch, name), s));
    (void)snprintf(file, sizeof file, "%s.pth", epoch_name(epoch, name));
    WN_TRY(wn__ks_path(k, file, path, sizeof path));
    return wn__fail(WN_CANCELLED,
                    "stopped after epoch %" PRId64 "; the same command with --resume %s goes on",
                    epoch, path);
}

static wn_status run_epoch(wn__ks *k, int64_t epoch, wn__ks_state *s, wn__ks_sums *sums) {
    double lr = k->schedule.lr, begin = seconds_now();
    WN_TRY(wn__ks_train_epoch(k, epoch, sums));
    double each = (seconds_now() - begin) / (double)sums->batches;
    WN_TRY(wn__ks_loss(k, held_out(k), &s->val, NULL));
    if (!isfinite(sums->loss) || !isfinite(s->val))
        return wn__fail(WN_INVALID,
                        "the loss is not finite in epoch %" PRId64
                        ": a learning rate below %g, or gradients clipped to a norm",
                        epoch, lr);
    s->epoch = epoch;
    s->train = sums->loss;
    s->sums = sums;
    wn__epochs_step(&k->schedule, s->val);
    bool best = s->val < k->best;
    if (best) {
        k->best = s->val;
        k->best_epoch = epoch;
    }
    WN_TRY(wn__ks_note(k, s));
    if (best) WN_TRY(wn__ks_save(k, "_best", s));
    if (k->o->save_interval > 0 && epoch % k->o->save_interval == 0) {
        char name[40];
        WN_TRY(wn__ks_save(k, epoch_name(epoch, name), s));
    }
    const wn_ks_epoch event = {.epoch = epoch,
                               .epochs = k->o->epochs,
                               .train_loss = s->train,
                               .val_loss = s->val,
                               .grad_norm = sums->norm,
                               .factor_norm = sums->factor,
                               .factors = k->chain.count,
                               .lr = lr,
                               .best = best,
                               .seconds = each};
    if (k->fn != NULL) k->fn(k->ctx, &event);
    return WN_OK;
}

static wn_status activation_error(wn__ks *k, double *out) {
    double loss, squares, whole = 0;
    WN_TRY(wn__ks_loss(k, &k->train, &loss, &squares));
    for (int64_t i = 0; i < k->train.rows * k->out; i++)
        whole += (double)k->train.target[i] * (double)k->train.target[i];
    if (k->head_rank > 0) whole = (double)k->train.rows * k->outputs; // targets are of the rest
    *out = whole > 0 ? sqrt(squares / whole) : 0;
    return WN_OK;
}

static wn_status too_large(const wn__ks *k) {
    return wn__fail(WN_INVALID,
                    "%s: what a chain makes is not finite: its numbers, or those of its factors, "
                    "are too large for %s",
                    k->path,
                    k->half ? "float16 (bfloat16 and float32 hold larger ones)" : "float32");
}

static wn_status finish(wn__ks *k, const wn__ks_state *s, wn_ks_result *out) {
    const wn__ks_data all = {.exact = true, .scale = sqrt((double)k->in), .rows = 2 * k->in};
    double loss, squares;
    if (k->gpu != NULL) WN_TRY(wn__ks_gpu_pull(k));
    wn__ks_round(k);
    WN_TRY(wn__ks_loss(k, &all, &loss, &squares)); // in ||W - product||^2, and the bias's square
    if (!isfinite(squares) || !isfinite(s->val)) return too_large(k);
    out->relative_error = k->norm > 0 ? sqrt(squares / (double)all.rows / k->norm) : 0;
    if (k->root != NULL) WN_TRY(activation_error(k, &out->activation_error));
    out->val_loss = s->val;
    out->best_val_loss = k->best;
    out->best_epoch = k->best_epoch;
    WN_TRY(wn__ks_save(k, "_final", s));
    return wn__ks_path(k, "_final.pth", out->final_path, sizeof out->final_path);
}

// Gradients do not always come nearer: until they do, the closed form is the best there is.
static wn_status keep_closed(wn__ks *k, wn__ks_state *s) {
    WN_TRY(wn__ks_loss(k, held_out(k), &s->val, NULL));
    if (!isfinite(s->val)) return too_large(k);
    s->train = k->best = s->val;
    return wn__ks_save(k, "_best", s);
}

static wn_status run(wn__ks *k, method m, wn_ks_result *out) {
    wn__ks_sums sums = {0};
    wn__ks_state state = {.sums = &sums};
    int64_t done = 0;
    if (k->o->resume != NULL)
        WN_TRY(wn__ks_resume(k, k->o->resume, &done));
    else if (m == SGD)
        start_random(k);
    else
        WN_TRY(start_closed(k, out));
    wn__ks_round(k);
    if (k->gpu != NULL) WN_TRY(wn__ks_gpu_push(k));
    if (m == AUTO && !is_closed(k, m) && k->o->resume == NULL) WN_TRY(keep_closed(k, &state));
    if (m == ALS) WN_TRY(wn__ks_als(k, k->o->epochs, &out->sweeps));
    if (is_closed(k, m)) {
        WN_TRY(wn__ks_loss(k, held_out(k), &state.val, NULL));
        if (!isfinite(state.val)) return too_large(k);
        state.train = k->best = state.val;
        WN_TRY(wn__ks_note(k, &state));
        WN_TRY(wn__ks_save(k, "_best", &state)); // who reads that one need not know how it was made
        return finish(k, &state, out);
    }
    if (done >= k->o->epochs)
        return wn__fail(WN_INVALID, "%s: %" PRId64 " epochs are over, %" PRId64 " were asked for",
                        k->o->resume, done, k->o->epochs);
    k->first = done + 1;
    for (int64_t epoch = k->first; epoch <= k->o->epochs; epoch++) {
        WN_TRY(run_epoch(k, epoch, &state, &sums));
        if (k->o->stop != NULL && k->o->stop(k->ctx) && epoch < k->o->epochs)
            return stop_after(k, epoch, &state);
    }
    WN_TRY(finish(k, &state, out));
    return wn__ks_curves(k);
}

static void count(const wn__ks *k, wn_ks_result *out) {
    wn__kron_counts n;
    if (wn__kron_chain_counts(&k->chain, k->head_rank, &n) != WN_OK) return;
    out->out = k->out;
    out->in = k->in;
    out->factors = k->chain.count;
    out->dense = n.dense;
    out->params = n.params;
    out->ratio = n.ratio;
    out->saved = n.saved;
}

wn_status wn_ks_fit(const char *path, const wn_ks_options *o, wn_ks_fn *fn, void *ctx,
                    wn_ks_result *out) {
    wn__ks *k = calloc(1, sizeof *k);
    double begin = seconds_now();
    method m;
    wn_status status;
    *out = (wn_ks_result){0};
    if (k == NULL) return wn__fail(WN_NOMEM, "out of memory");
    k->o = o;
    k->path = path;
    k->fn = fn;
    k->ctx = ctx;
    k->best = INFINITY;
    k->lock = -1;
    WN_TRY_OUT(parse_method(o->method, &m));
    WN_TRY_OUT(read_options(k));
    WN_TRY_OUT(read_data(k, m));
    WN_TRY_OUT(wn__ks_weight(path, o->tensor, &k->w, &k->out, &k->in));
    WN_TRY_OUT(make_chain(k));
    count(k, out);
    WN_TRY_OUT(wn__pool_create(o->threads, &k->pool));
    k->x.pool = k->pool;
    k->log = wn__json_new_array();
    WN_TRY_OUT(wn__ks_gpu_choose(k, is_closed(k, m)));
    if (is(o->impl, "bmm") && k->gpu == NULL) k->x.force = "kron_mul:cblas";
    if (m == AUTO && o->calib != NULL && k->gpu == NULL) m = ALS; // ends lower than gradients do
    if (o->calib != NULL) WN_TRY_OUT(wn__ks_calibrate(k, o->calib));
    WN_TRY_OUT(wn__dir_make(wn__ks_dir(k)));
    WN_TRY_OUT(wn__ks_claim(k));
    WN_TRY_OUT(wn__ks_make_head(k)); // takes long: what can be refused has been
    WN_TRY_OUT(make_data(k, m));
    WN_TRY_OUT(wn__ks_build(k));
    if (k->gpu != NULL) WN_TRY_OUT(wn__ks_gpu_build(k));
    WN_TRY_OUT(run(k, m, out));
    out->seconds = seconds_now() - begin;
out:
    wn__ks_unclaim(k);
    wn__ks_free(k);
    free(k);
    return status;
}
