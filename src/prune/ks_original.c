// SPDX-License-Identifier: MIT
// Going on from a checkpoint of the program that ks fit follows: the same fields, without what
// makes a run the same to the bit (how many updates there were of SGD, the best loss so far).
#include "base/fail.h"
#include "base/log.h"
#include "infer/chain_file.h"
#include "kernels/element.h"
#include "prune/ks.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static wn_status check_chain(const wn__ks *k, const wn__pth *p) {
    char found[WN__KRON_PATTERN_TEXT], wanted[WN__KRON_PATTERN_TEXT];
    wn__chain_file c;
    WN_TRY(wn__chain_of_pth(p, &c));
    if (c.layout != WN__KRON_COLUMNS)
        return wn__fail(WN_INVALID, "%s: layout %s, %s expected", p->path,
                        wn__kron_layout_name(c.layout), wn__kron_layout_name(WN__KRON_COLUMNS));
    for (int t = 0; t < c.chain.count && t < k->chain.count; t++)
        if (!wn__kron_same(&c.chain.factor[t], &k->chain.factor[t]))
            return wn__fail(WN_INVALID, "%s: its factor %d is %s, here %s: --chain, --rank",
                            p->path, t, wn__kron_text(&c.chain.factor[t], found, sizeof found),
                            wn__kron_text(&k->chain.factor[t], wanted, sizeof wanted));
    if (c.chain.count == k->chain.count) return WN_OK;
    return wn__fail(WN_INVALID, "%s: its chain has %d factors, here %d: --chain, --rank", p->path,
                    c.chain.count, k->chain.count);
}

// Floats of any dtype and strides, all of which float32 has.
static wn_status take(const wn__pth *p, const char *name, const wn_tensor *to) {
    const wn__pth_entry *e = wn__pth_find(p, name);
    char wanted[160], found[160];
    if (e == NULL || e->view.dtype < WN_DTYPE_F64 || e->view.dtype > WN_DTYPE_F16 ||
        !wn__tensor_same_shape(&e->view, to))
        return wn__fail(WN_INVALID, "%s: '%s' is %s, %s expected", p->path, name,
                        e ? wn__tensor_describe(&e->view, found, sizeof found) : "missing",
                        wn__tensor_describe(to, wanted, sizeof wanted));
    wn_tensor packed = wn__tensor(NULL, e->view.dtype, e->view.ndim, e->view.shape);
    packed.data = malloc(wn__tensor_bytes(&packed) + 1);
    if (packed.data == NULL) return wn__fail(WN_NOMEM, "%s: out of memory for '%s'", p->path, name);
    wn__pth_copy(&e->view, packed.data);
    int64_t bad = -1;
    for (int64_t i = 0; i < wn__tensor_count(&packed); i++) {
        wn__set(to, i, wn__get(&packed, i));
        if (!isfinite(wn__get(to, i)) && bad < 0) bad = i;
    }
    free(packed.data);
    if (bad < 0) return WN_OK;
    return wn__fail(WN_INVALID, "%s: '%s': number %" PRId64 " is not finite in float32", p->path,
                    name, bad);
}

static wn_status take_moments(wn__ks *k, const wn__pth *p, size_t i) {
    char name[96];
    bool sgd = k->kind == WN_OPTIMIZER_SGD;
    const int count = sgd ? 1 : 2;
    const char *const suffix[2] = {sgd ? "momentum_buffer" : "exp_avg", "exp_avg_sq"};
    for (int s = 0; s < count; s++) {
        (void)snprintf(name, sizeof name, "optimizer_state_dict.state.%zu.%s", i, suffix[s]);
        WN_TRY(take(p, name, &k->params.item[i].state[s]));
    }
    return WN_OK;
}

// One that is none (the loss of an epoch without batches) is not taken.
static bool number(const wn__pickle_value *dict, const char *key, double *out) {
    const wn__pickle_value *v = wn__pickle_get(dict, key);
    if (v == NULL || (v->type != WN__PICKLE_REAL && v->type != WN__PICKLE_INT)) return false;
    double n = v->type == WN__PICKLE_REAL ? v->real : (double)v->integer;
    if (isnan(n)) return false;
    *out = n;
    return true;
}

// Of Adam the file says; of SGD, and of files that do not, as many as there were batches.
static int64_t updates_of(const wn__ks *k, const wn__pth *p) {
    const wn__pth_entry *e = wn__pth_find(p, "optimizer_state_dict.state.0.step");
    int64_t batches = (k->train.rows + k->o->batch_size - 1) / k->o->batch_size;
    float step = 0;
    if (e != NULL && e->view.dtype == WN_DTYPE_F32 && wn__tensor_count(&e->view) == 1)
        wn__pth_copy(&e->view, &step);
    return step >= 1 && step < 0x1p31f ? (int64_t)step : k->schedule.epoch * batches;
}

static void take_schedule(wn__ks *k, const wn__pth *p) {
    const wn__pickle_value *groups =
        wn__pickle_get(wn__pickle_get(p->root, "optimizer_state_dict"), "param_groups");
    const wn__pickle_value *group = wn__pickle_at(groups, 0);
    const wn__pickle_value *schedule = wn__pickle_get(p->root, "scheduler_state_dict");
    double bad;
    (void)number(group, "lr", &k->schedule.lr);
    (void)number(group, "initial_lr", &k->schedule.first);
    (void)number(schedule, "best", &k->schedule.best);
    if (number(schedule, "num_bad_epochs", &bad) && bad >= 0 && bad < 0x1p31)
        k->schedule.bad = (int64_t)bad;
}

wn_status wn__ks_take_original(wn__ks *k, const wn__pth *p) {
    char name[64 + WN_NAME_MAX];
    const wn__pickle_value *epoch = wn__pickle_get(p->root, "epoch");
    WN_TRY(check_chain(k, p));
    if (epoch == NULL || epoch->type != WN__PICKLE_INT || epoch->integer < 0 ||
        epoch->integer > INT32_MAX)
        return wn__fail(WN_INVALID, "%s: epoch is %s, a count below 2^31 expected", p->path,
                        wn__pickle_typename(epoch));
    k->schedule.epoch = epoch->integer;
    for (size_t i = 0; i < k->params.count; i++) {
        (void)snprintf(name, sizeof name, "model_state_dict.%s", k->params.item[i].name);
        WN_TRY(take(p, name, &k->params.item[i].w));
    }
    const wn__pickle_value *state =
        wn__pickle_get(wn__pickle_get(p->root, "optimizer_state_dict"), "state");
    bool moments = wn__pickle_count(state) > 0;
    for (size_t i = 0; i < k->params.count && moments; i++)
        WN_TRY(take_moments(k, p, i));
    k->updates = moments ? updates_of(k, p) : 0;
    take_schedule(k, p);
    if (!(k->schedule.lr > 0) || !isfinite(k->schedule.lr))
        return wn__fail(WN_INVALID, "%s: a learning rate of %g", p->path, k->schedule.lr);
    if (number(p->root, "val_loss", &k->best)) k->best_epoch = k->schedule.epoch;
    wn__log(WN_LOG_INFO,
            "%s: of the program that this one follows: factors, moments, rate and epoch are its, "
            "vectors and their order are not",
            p->path);
    return WN_OK;
}
