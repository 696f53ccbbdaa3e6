// SPDX-License-Identifier: MIT
// Checkpoints of a fit as torch reads them, with the fields of the program they come from, and what
// is needed to go on bit for bit.
#include "base/fail.h"
#include "base/file.h"
#include "infer/chain_file.h"
#include "prune/ks_gpu.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *wn__ks_dir(const wn__ks *k) {
    return k->o->output_dir != NULL ? k->o->output_dir : "./trained_models";
}

const char *wn__ks_prefix(const wn__ks *k) {
    return k->o->prefix != NULL ? k->o->prefix : "ks_chain";
}

wn_status wn__ks_path(const wn__ks *k, const char *tail, char *out, size_t n) {
    char name[512];
    const char *prefix = wn__ks_prefix(k);
    if (strchr(prefix, '/') != NULL ||
        snprintf(name, sizeof name, "%s%s", prefix, tail) >= (int)sizeof name)
        return wn__fail(WN_INVALID, "no file name begins with '%.200s'", prefix);
    return wn__path_join(out, n, wn__ks_dir(k), name);
}

// ---- the checkpoint

static void put_real(wn__pth_writer *w, const char *key, double v) {
    wn__pth_put_text(w, key);
    wn__pth_put_real(w, v);
}

static void put_int(wn__pth_writer *w, const char *key, int64_t v) {
    wn__pth_put_text(w, key);
    wn__pth_put_int(w, v);
}

static void put_text(wn__pth_writer *w, const char *key, const char *v) {
    wn__pth_put_text(w, key);
    wn__pth_put_text(w, v);
}

static void put_bool(wn__pth_writer *w, const char *key, bool v) {
    wn__pth_put_text(w, key);
    wn__pth_put_bool(w, v);
}

static void begin(wn__pth_writer *w, const char *key, wn__pickle_type type) {
    wn__pth_put_text(w, key);
    wn__pth_begin(w, type);
}

static void put_weights(const wn__ks *k, wn__pth_writer *w) {
    wn__pth_put_text(w, "model_state_dict");
    wn__pth_begin_ordered(w);
    for (size_t p = 0; p < k->params.count; p++) {
        wn__pth_put_text(w, k->params.item[p].name);
        wn__pth_put_tensor(w, &k->params.item[p].w);
    }
    wn__pth_end(w);
}

// The states of a parameter as torch.optim names them.
static void put_states(const wn__ks *k, wn__pth_writer *w, size_t p, const wn_tensor *step) {
    const wn_tensor *state = k->params.item[p].state;
    bool sgd = k->kind == WN_OPTIMIZER_SGD;
    wn__pth_put_int(w, (int64_t)p);
    wn__pth_begin(w, WN__PICKLE_DICT);
    if (!sgd) {
        wn__pth_put_text(w, "step");
        wn__pth_put_tensor(w, step);
    }
    wn__pth_put_text(w, sgd ? "momentum_buffer" : "exp_avg");
    wn__pth_put_tensor(w, &state[0]);
    if (!sgd) {
        wn__pth_put_text(w, "exp_avg_sq");
        wn__pth_put_tensor(w, &state[1]);
    }
    wn__pth_end(w);
}

static void put_optimizer(const wn__ks *k, wn__pth_writer *w, const wn_tensor *step) {
    bool sgd = k->kind == WN_OPTIMIZER_SGD;
    begin(w, "optimizer_state_dict", WN__PICKLE_DICT);
    begin(w, "state", WN__PICKLE_DICT);
    for (size_t p = 0; k->updates > 0 && p < k->params.count; p++)
        put_states(k, w, p, step);
    wn__pth_end(w);
    begin(w, "param_groups", WN__PICKLE_LIST);
    wn__pth_begin(w, WN__PICKLE_DICT);
    put_real(w, "lr", k->schedule.lr);
    if (sgd) {
        put_real(w, "momentum", 0.9);
        put_int(w, "dampening", 0);
        put_bool(w, "nesterov", false);
    } else {
        begin(w, "betas", WN__PICKLE_TUPLE);
        wn__pth_put_real(w, 0.9);
        wn__pth_put_real(w, 0.999);
        wn__pth_end(w);
        put_real(w, "eps", 1e-8);
        put_bool(w, "amsgrad", false);
    }
    put_real(w, "weight_decay", k->o->weight_decay);
    put_bool(w, "maximize", false);
    put_real(w, "initial_lr", k->schedule.first);
    begin(w, "params", WN__PICKLE_LIST);
    for (size_t p = 0; p < k->params.count; p++)
        wn__pth_put_int(w, (int64_t)p);
    wn__pth_end(w);
    wn__pth_end(w);
    wn__pth_end(w);
    wn__pth_end(w);
}

static void put_schedule(const wn__ks *k, wn__pth_writer *w) {
    const wn__epochs *e = &k->schedule;
    wn__pth_put_text(w, "scheduler_state_dict");
    if (e->kind == WN__EPOCHS_NONE) {
        wn__pth_put_none(w);
        return;
    }
    wn__pth_begin(w, WN__PICKLE_DICT);
    if (e->kind == WN__EPOCHS_PLATEAU) {
        put_real(w, "factor", e->factor);
        put_int(w, "patience", e->patience);
        put_text(w, "mode", "min");
        put_text(w, "threshold_mode", "rel");
        put_real(w, "threshold", 1e-4);
        put_real(w, "eps", 1e-8);
        put_real(w, "best", e->best);
        put_int(w, "num_bad_epochs", e->bad);
        put_int(w, "cooldown", 0);
        put_int(w, "cooldown_counter", 0);
        begin(w, "min_lrs", WN__PICKLE_LIST);
        wn__pth_put_int(w, 0);
        wn__pth_end(w);
    } else if (e->kind == WN__EPOCHS_COSINE) {
        put_int(w, "T_max", e->total);
        put_real(w, "eta_min", 1e-6);
    } else {
        put_int(w, "step_size", e->patience);
        put_real(w, "gamma", e->factor);
    }
    put_int(w, "last_epoch", e->epoch);
    begin(w, "_last_lr", WN__PICKLE_LIST);
    wn__pth_put_real(w, e->lr);
    wn__pth_end(w);
    wn__pth_end(w);
}

static void put_chain(const wn__ks *k, wn__pth_writer *w) {
    begin(w, "patterns", WN__PICKLE_LIST); // rightmost first
    for (int t = 0; t < k->chain.count; t++) {
        const wn__kron *p = &k->chain.factor[t];
        const int64_t number[4] = {p->a, p->b, p->c, p->d};
        wn__pth_begin(w, WN__PICKLE_TUPLE);
        for (int i = 0; i < 4; i++)
            wn__pth_put_int(w, number[i]);
        wn__pth_end(w);
    }
    wn__pth_end(w);
    wn__kron_counts n;
    if (wn__kron_chain_counts(&k->chain, k->head_rank, &n) != WN_OK) n = (wn__kron_counts){0};
    begin(w, "compression_stats", WN__PICKLE_DICT);
    put_int(w, "dense_parameters", n.dense);
    put_int(w, "sparse_parameters", n.params);
    put_real(w, "compression_ratio", n.ratio);
    put_real(w, "memory_savings_percent", 100 * n.saved);
    wn__pth_end(w);
}

// V [rank, in] and U [out, rank], whose product is added to the chain's.
static void put_head(const wn__ks *k, wn__pth_writer *w) {
    if (k->head_rank == 0) return;
    const wn_tensor v = wn__tensor2(k->head[0], WN_DTYPE_F32, k->head_rank, k->in);
    const wn_tensor u = wn__tensor2(k->head[1], WN_DTYPE_F32, k->out, k->head_rank);
    begin(w, "head", WN__PICKLE_DICT);
    wn__pth_put_text(w, "in");
    wn__pth_put_tensor(w, &v);
    wn__pth_put_text(w, "out");
    wn__pth_put_tensor(w, &u);
    wn__pth_end(w);
}

static void put_norms(const wn__ks *k, wn__pth_writer *w, const wn__ks_sums *s) {
    put_real(w, "grad_norm", s->norm);
    begin(w, "weight_grad_norms", WN__PICKLE_LIST);
    for (int t = 0; t < k->chain.count; t++)
        wn__pth_put_real(w, s->factor[t]);
    wn__pth_end(w);
    begin(w, "weight_names", WN__PICKLE_LIST);
    for (int t = 0; t < k->chain.count; t++)
        wn__pth_put_text(w, k->params.item[t + 1].name);
    wn__pth_end(w);
}

// What torch does not ask for, and going on needs.
static void put_own(const wn__ks *k, wn__pth_writer *w, const char *line) {
    begin(w, "winnow", WN__PICKLE_DICT);
    put_text(w, "chain", line);
    put_text(w, "optimizer", wn__optimizer_name(k->kind));
    put_text(w, "scheduler", wn__epochs_name(k->schedule.kind));
    put_int(w, "updates", k->updates);
    put_int(w, "epoch", k->schedule.epoch);
    put_real(w, "first_lr", k->schedule.first);
    put_real(w, "lr", k->schedule.lr);
    put_real(w, "plateau_best", k->schedule.best);
    put_int(w, "plateau_bad", k->schedule.bad);
    put_real(w, "best", k->best);
    put_int(w, "best_epoch", k->best_epoch);
    put_int(w, "weight_crc", k->made_of[0]);
    if (k->head_rank > 0) {
        put_int(w, "calib_crc", k->made_of[1]);
        put_int(w, "head_crc", wn__ks_head_crc(k));
    }
    wn__pth_end(w);
}

static wn_status write_log(const wn__ks *k) {
    char path[4096], *text = NULL;
    WN_TRY(wn__ks_path(k, "_training_log.json", path, sizeof path));
    WN_TRY(wn__json_dump(k->log, 2, &text));
    wn_status status = wn__file_write(path, text, strlen(text));
    free(text);
    return status;
}

wn_status wn__ks_save(const wn__ks *k, const char *name, const wn__ks_state *s) {
    char path[4096], tail[64], *line = NULL;
    float step = (float)k->updates;
    const wn_tensor count = wn__tensor(&step, WN_DTYPE_F32, 0, NULL);
    wn__pth_writer *w;
    if (k->gpu != NULL) WN_TRY(wn__ks_gpu_pull(k));
    (void)snprintf(tail, sizeof tail, "%s.pth", name);
    WN_TRY(wn__ks_path(k, tail, path, sizeof path));
    WN_TRY(wn__kron_chain_format(&k->chain, WN__KRON_COLUMNS, &line));
    wn_status status = wn__pth_create(path, &w);
    if (status == WN_OK) {
        wn__pth_begin(w, WN__PICKLE_DICT);
        put_int(w, "epoch", s->epoch);
        put_weights(k, w);
        put_optimizer(k, w, &count);
        put_schedule(k, w);
        put_real(w, "train_loss", s->train);
        put_real(w, "val_loss", s->val);
        put_norms(k, w, s->sums);
        put_chain(k, w);
        put_head(k, w);
        put_text(w, "impl", k->o->impl != NULL ? k->o->impl : "triton");
        put_real(w, "learning_rate", k->schedule.lr);
        put_own(k, w, line);
        wn__pth_end(w);
        status = wn__pth_commit(w);
    }
    free(line);
    return status == WN_OK ? write_log(k) : status;
}

// ---- the log

static wn__json *numbers(const double *v, int n) {
    wn__json *list = wn__json_new_array();
    for (int i = 0; i < n; i++)
        if (wn__json_append(list, wn__json_new_real(v[i])) != WN_OK) break;
    return list;
}

static wn__json *names_of(const wn__ks *k) {
    wn__json *list = wn__json_new_array();
    for (int t = 0; t < k->chain.count; t++)
        if (wn__json_append(list, wn__json_new_string(k->params.item[t + 1].name)) != WN_OK) break;
    return list;
}

static wn_status stats(const wn__ks *k, wn__json *o) {
    wn__kron_counts n;
    WN_TRY(wn__kron_chain_counts(&k->chain, k->head_rank, &n));
    WN_TRY(wn__json_set(o, "dense_parameters", wn__json_new_int(n.dense)));
    WN_TRY(wn__json_set(o, "sparse_parameters", wn__json_new_int(n.params)));
    WN_TRY(wn__json_set(o, "compression_ratio", wn__json_new_real(n.ratio)));
    return wn__json_set(o, "memory_savings_percent", wn__json_new_real(100 * n.saved));
}

static wn_status fill_entry(const wn__ks *k, const wn__ks_state *s, wn__json *o, wn__json *sizes) {
    WN_TRY(wn__json_set(o, "epoch", wn__json_new_int(s->epoch)));
    WN_TRY(wn__json_set(o, "train_loss", wn__json_new_real(s->train)));
    WN_TRY(wn__json_set(o, "val_loss", wn__json_new_real(s->val)));
    WN_TRY(wn__json_set(o, "grad_norm", wn__json_new_real(s->sums->norm)));
    WN_TRY(wn__json_set(o, "weight_grad_norms", numbers(s->sums->factor, k->chain.count)));
    WN_TRY(wn__json_set(o, "weight_names", names_of(k)));
    WN_TRY(wn__json_set(o, "learning_rate", wn__json_new_real(k->schedule.lr)));
    WN_TRY(stats(k, sizes));
    return wn__json_set(o, "compression_stats", wn__json_ref(sizes));
}

wn_status wn__ks_note(wn__ks *k, const wn__ks_state *s) {
    wn__json *o = wn__json_new_object(), *sizes = wn__json_new_object();
    wn_status status = o != NULL && sizes != NULL ? fill_entry(k, s, o, sizes)
                                                  : wn__fail(WN_NOMEM, "out of memory");
    wn__json_free(sizes);
    if (status == WN_OK) return wn__json_append(k->log, o);
    wn__json_free(o);
    return status;
}

static wn_status write_curves(const wn__ks *k, wn__writer *json, wn__writer *csv) {
    static const char *const keys[] = {"epoch", "train_loss", "val_loss"};
    static const char *const lists[] = {"epochs", "train_losses", "val_losses"};
    size_t n = wn__json_count(k->log);
    WN_TRY(wn__writer_printf(json, "{\n  \"rank\": %" PRId64, k->o->rank));
    for (int i = 0; i < 3; i++) {
        WN_TRY(wn__writer_printf(json, ",\n  \"%s\": [", lists[i]));
        for (size_t e = 0; e < n; e++) {
            double v = wn__json_real(wn__json_get(wn__json_at(k->log, e), keys[i]));
            WN_TRY(wn__writer_printf(json, "%s%.17g", e > 0 ? ", " : "", v));
        }
        WN_TRY(wn__writer_printf(json, "]"));
    }
    WN_TRY(wn__writer_printf(json, "\n}\n"));
    WN_TRY(wn__writer_printf(csv, "epoch,train_loss,val_loss,rank\n"));
    for (size_t e = 0; e < n; e++) {
        const wn__json *o = wn__json_at(k->log, e);
        WN_TRY(wn__writer_printf(csv, "%" PRId64 ",%.17g,%.17g,%" PRId64 "\n",
                                 wn__json_int(wn__json_get(o, "epoch")),
                                 wn__json_real(wn__json_get(o, "train_loss")),
                                 wn__json_real(wn__json_get(o, "val_loss")), k->o->rank));
    }
    return WN_OK;
}

wn_status wn__ks_curves(const wn__ks *k) {
    static const char *const endings[2] = {"json", "csv"};
    wn__writer *file[2] = {NULL, NULL};
    wn_status status = WN_OK;
    for (int i = 0; i < 2; i++) {
        char path[4096], tail[96];
        (void)snprintf(tail, sizeof tail, "_rank_%" PRId64 "_loss_curves.%s", k->o->rank,
                       endings[i]);
        WN_TRY_OUT(wn__ks_path(k, tail, path, sizeof path));
        WN_TRY_OUT(wn__writer_open(path, &file[i]));
    }
    WN_TRY_OUT(write_curves(k, file[0], file[1]));
    for (int i = 0; i < 2; i++) {
        wn__writer *done = file[i];
        file[i] = NULL;
        WN_TRY_OUT(wn__writer_commit(done));
    }
out:
    wn__writer_abort(file[0]);
    wn__writer_abort(file[1]);
    return status;
}

// ---- going on

wn_status wn__ks_take(const wn__pth *p, const char *name, const wn_tensor *to) {
    const wn__pth_entry *e = wn__pth_find(p, name);
    char want[160], found[160];
    if (e == NULL || e->view.dtype != to->dtype || !wn__tensor_same_shape(&e->view, to))
        return wn__fail(WN_INVALID, "%s: '%s' is %s, %s expected", p->path, name,
                        e ? wn__tensor_describe(&e->view, found, sizeof found) : "missing",
                        wn__tensor_describe(to, want, sizeof want));
    wn__pth_copy(&e->view, to->data);
    return WN_OK;
}

static wn_status take_param(wn__ks *k, const wn__pth *p, size_t i) {
    char name[64 + WN_NAME_MAX];
    bool sgd = k->kind == WN_OPTIMIZER_SGD;
    (void)snprintf(name, sizeof name, "model_state_dict.%s", k->params.item[i].name);
    WN_TRY(wn__ks_take(p, name, &k->params.item[i].w));
    if (k->updates == 0) return WN_OK;
    (void)snprintf(name, sizeof name, "optimizer_state_dict.state.%zu.%s", i,
                   sgd ? "momentum_buffer" : "exp_avg");
    WN_TRY(wn__ks_take(p, name, &k->params.item[i].state[0]));
    if (sgd) return WN_OK;
    (void)snprintf(name, sizeof name, "optimizer_state_dict.state.%zu.exp_avg_sq", i);
    return wn__ks_take(p, name, &k->params.item[i].state[1]);
}

static wn_status get_int(const wn__pth *p, const wn__pickle_value *own, const char *key,
                         int64_t *out) {
    const wn__pickle_value *v = wn__pickle_get(own, key);
    if (v == NULL || v->type != WN__PICKLE_INT || v->integer < 0)
        return wn__fail(WN_INVALID, "%s: winnow.%s is %s, a count expected", p->path, key,
                        wn__pickle_typename(v));
    *out = v->integer;
    return WN_OK;
}

static wn_status get_real(const wn__pth *p, const wn__pickle_value *own, const char *key,
                          double *out) {
    const wn__pickle_value *v = wn__pickle_get(own, key);
    if (v == NULL || v->type != WN__PICKLE_REAL)
        return wn__fail(WN_INVALID, "%s: winnow.%s is %s, a float expected", p->path, key,
                        wn__pickle_typename(v));
    *out = v->real;
    return WN_OK;
}

static wn_status same_text(const wn__pth *p, const wn__pickle_value *own, const char *key,
                           const char *want) {
    const wn__pickle_value *v = wn__pickle_get(own, key);
    if (wn__pickle_is(v, want)) return WN_OK;
    if (v == NULL || v->type != WN__PICKLE_STRING)
        return wn__fail(WN_INVALID, "%s: no checkpoint of winnow ks fit: winnow.%s is %s", p->path,
                        key, wn__pickle_typename(v));
    return wn__fail(WN_INVALID, "%s: its %s is '%.*s', here '%.200s'", p->path, key,
                    (int)(v->text.size < 200 ? v->text.size : 200), v->text.bytes, want);
}

// The head itself is there already (ks_head.c), where there is to be one.
static wn_status same_head(const wn__ks *k, const wn__pth *p) {
    const wn__pth_entry *e = wn__pth_find(p, "head.in");
    if (e == NULL || k->head_rank > 0) return WN_OK;
    return wn__fail(WN_INVALID, "%s: its head has rank %" PRId64 ", here 0", p->path,
                    e->view.ndim == 2 ? e->view.shape[0] : 0);
}

// Files from before it was written there say nothing of their weight.
static wn_status same_weight(const wn__ks *k, const wn__pth *p, const wn__pickle_value *own) {
    int64_t crc = 0;
    if (wn__pickle_get(own, "weight_crc") == NULL) return WN_OK;
    WN_TRY(get_int(p, own, "weight_crc", &crc));
    if (crc == (int64_t)k->made_of[0]) return WN_OK;
    return wn__fail(WN_INVALID, "%s: is of another weight than %s (winnow.weight_crc)", p->path,
                    k->path);
}

static wn_status take_all(wn__ks *k, const wn__pth *p, const char *line) {
    const wn__pickle_value *own = wn__pickle_get(p->root, "winnow");
    WN_TRY(same_text(p, own, "chain", line));
    WN_TRY(same_weight(k, p, own));
    WN_TRY(same_head(k, p));
    WN_TRY(same_text(p, own, "optimizer", wn__optimizer_name(k->kind)));
    WN_TRY(same_text(p, own, "scheduler", wn__epochs_name(k->schedule.kind)));
    WN_TRY(get_int(p, own, "updates", &k->updates));
    WN_TRY(get_int(p, own, "epoch", &k->schedule.epoch));
    WN_TRY(get_real(p, own, "first_lr", &k->schedule.first));
    WN_TRY(get_real(p, own, "lr", &k->schedule.lr));
    WN_TRY(get_real(p, own, "plateau_best", &k->schedule.best));
    WN_TRY(get_int(p, own, "plateau_bad", &k->schedule.bad));
    WN_TRY(get_real(p, own, "best", &k->best));
    WN_TRY(get_int(p, own, "best_epoch", &k->best_epoch));
    for (size_t i = 0; i < k->params.count; i++)
        WN_TRY(take_param(k, p, i));
    return WN_OK;
}

static wn_status set_counts(wn__ks *k) {
    for (size_t i = 0; i < wn__optimizer_state_count(k->optimizer, &k->params); i++) {
        const char *name;
        wn_tensor view;
        wn__optimizer_state_at(k->optimizer, &k->params, i, &name, &view);
        if (strcmp(name, "optimizer.updates") != 0) continue;
        for (int64_t j = 0; j < wn__tensor_count(&view); j++)
            ((int64_t *)view.data)[j] = k->updates;
    }
    return wn__optimizer_check_counts(k->optimizer, &k->params, k->updates);
}

// The entries of a log up to that epoch; without a log from none.
static wn_status take_log(wn__ks *k, int64_t epoch) {
    char path[4096];
    wn__json *old = NULL;
    wn_status status = WN_OK;
    WN_TRY(wn__ks_path(k, "_training_log.json", path, sizeof path));
    if (!wn__file_exists(path)) return WN_OK;
    WN_TRY(wn__json_read(path, (size_t)1 << 30, &old));
    for (size_t i = 0; i < wn__json_count(old) && status == WN_OK; i++) {
        wn__json *entry = wn__json_at(old, i);
        if (wn__json_int(wn__json_get(entry, "epoch")) <= epoch)
            status = wn__json_append(k->log, wn__json_ref(entry));
    }
    wn__json_free(old);
    return status;
}

wn_status wn__ks_resume(wn__ks *k, const char *path, int64_t *epoch) {
    wn__pth p;
    char *line = NULL;
    WN_TRY(wn__pth_open(path, &p));
    wn_status status = wn__kron_chain_format(&k->chain, WN__KRON_COLUMNS, &line);
    bool ours = wn__pickle_get(p.root, "winnow") != NULL || !wn__chain_is_pth(&p);
    if (status == WN_OK) status = ours ? take_all(k, &p, line) : wn__ks_take_original(k, &p);
    if (status == WN_OK) status = set_counts(k);
    *epoch = k->schedule.epoch;
    free(line);
    wn__pth_close(&p);
    wn__ks_round(k);
    return status == WN_OK ? take_log(k, *epoch) : status;
}
