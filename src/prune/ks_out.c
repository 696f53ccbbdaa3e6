// SPDX-License-Identifier: MIT
// The model of chains on disk: written, looked at through a session, trained on where that is asked
// for, and written again with what training made of it.
#include "base/fail.h"
#include "formats/safetensors.h"
#include "prune/ks_apply.h"
#include "prune/layers.h"
#include "tensor/tensor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Tensors on their way to a file; names are borrowed or in `name`.
typedef struct list {
    wn__st_item *item;
    size_t count;
    char (*name)[WN_NAME_MAX]; /* of factors */
    size_t names;
} list;

static wn_status list_make(const wn__ks_apply *a, list *l) {
    size_t factors = 0, tensors = wn__hf_weights_count(a->text.weights);
    for (size_t i = 0; i < a->targets; i++)
        factors += (size_t)a->target[i].chain.count + 2; // and a head
    *l = (list){.item = calloc(tensors + factors + 1, sizeof *l->item),
                .name = calloc(factors + 1, sizeof *l->name)};
    if (l->item != NULL && l->name != NULL) return WN_OK;
    return wn__fail(WN_NOMEM, "out of memory for %zu tensors", tensors + factors);
}

static void list_free(list *l) {
    free(l->item);
    free(l->name);
}

static const wn__ks_target *target_of(const wn__ks_apply *a, const char *tensor) {
    for (size_t i = 0; i < a->targets; i++) {
        const char *name = a->target[i].l->name;
        size_t n = strlen(name);
        if (strncmp(tensor, name, n) == 0 && strcmp(tensor + n, ".weight") == 0)
            return &a->target[i];
    }
    return NULL;
}

static wn_status find_trained(const wn__safetensors *st, const char *name, wn_tensor *out) {
    const wn__st_entry *e = wn__safetensors_find(st, name);
    if (e == NULL) return wn__fail(WN_BUG, "%s: no tensor '%s'", st->path, name);
    *out = e->view;
    return WN_OK;
}

static wn_status add_part(const wn__ks_target *t, const wn__safetensors *trained,
                          const char *suffix, const wn_tensor *fitted, list *l) {
    char *name = l->name[l->names++];
    wn_tensor view = *fitted;
    WN_TRY(wn__name_join(name, t->l->name, suffix));
    if (trained != NULL) WN_TRY(find_trained(trained, name, &view));
    l->item[l->count++] = (wn__st_item){.name = name, .view = view};
    return WN_OK;
}

// The factors of one layer and its head: of the fit, or of training.
static wn_status add_factors(const wn__ks_target *t, const wn__safetensors *trained, list *l) {
    for (int i = 0; i < t->chain.count; i++) {
        const wn__kron *p = &t->chain.factor[i];
        const wn_tensor view = wn__tensor2(t->factor[i], WN_DTYPE_F32, p->a * p->d * p->c, p->b);
        char suffix[24];
        (void)snprintf(suffix, sizeof suffix, "factor_%d", i);
        WN_TRY(add_part(t, trained, suffix, &view, l));
    }
    if (t->k == 0) return WN_OK;
    const wn_tensor v = wn__tensor2(t->head[0], WN_DTYPE_F32, t->k, t->l->in);
    const wn_tensor u = wn__tensor2(t->head[1], WN_DTYPE_F32, t->l->out, t->k);
    WN_TRY(add_part(t, trained, "head_in", &v, l));
    return add_part(t, trained, "head_out", &u, l);
}

// A product in the dtype the weight had.
static wn__st_item product_item(const wn__ks_target *t, const char *name, wn_dtype was) {
    bool half = was == WN_DTYPE_BF16 || was == WN_DTYPE_F16;
    return (wn__st_item){
        .name = name, .view = wn__linear_weight(t->l)->w, .as = half ? was : WN_DTYPE_NONE};
}

static wn_status fill(const wn__ks_apply *a, const wn__safetensors *trained, bool merge, list *l) {
    for (size_t i = 0; i < wn__hf_weights_count(a->text.weights); i++) {
        const char *name, *file;
        wn_tensor view;
        wn__hf_weights_at(a->text.weights, i, &name, &view, &file);
        const wn__ks_target *t = target_of(a, name);
        if (wn__expected_ignored(name, &a->text.config)) continue; // says nothing, or nothing new
        if (t != NULL && !merge) {
            WN_TRY(add_factors(t, trained, l));
            continue;
        }
        wn__st_item item = {.name = name, .view = view};
        if (t != NULL) item = product_item(t, name, view.dtype);
        if (trained != NULL) {
            item.as = WN_DTYPE_NONE;
            WN_TRY(find_trained(trained, name, &item.view));
        }
        l->item[l->count++] = item;
    }
    return WN_OK;
}

// Claims of 2:4 stay where nothing was touched.
static wn_status write_config(const wn__ks_apply *a, bool trained, bool merge) {
    const wn__hf_sparsity *said = &a->text.said;
    wn__hf_sparsity now = {.weight = calloc(said->weights + 1, sizeof *now.weight),
                           .kron = calloc(a->targets + 1, sizeof *now.kron)};
    wn_status status = WN_OK;
    if (now.weight == NULL || now.kron == NULL) status = wn__fail(WN_NOMEM, "out of memory");
    for (size_t i = 0; i < said->weights && status == WN_OK && !trained; i++) {
        bool touched = false;
        for (size_t k = 0; k < a->targets; k++)
            touched = touched || strcmp(a->target[k].l->name, said->weight[i].layer) == 0;
        if (!touched) now.weight[now.weights++] = said->weight[i];
    }
    for (size_t i = 0; i < a->targets && status == WN_OK && !merge; i++) {
        wn__hf_kron *k = &now.kron[now.krons++];
        (void)snprintf(k->layer, sizeof k->layer, "%s", a->target[i].l->name);
        (void)snprintf(k->chain, sizeof k->chain, "%s", a->target[i].text);
    }
    if (status == WN_OK)
        status = wn__hf_config_copy_sparse(a->text.dir, a->place.temporary, &a->text.config, &now);
    wn__hf_sparsity_free(&now);
    return status;
}

static void tags_free(wn__st_meta *tag, size_t count) {
    for (size_t i = 0; tag != NULL && i < count; i++) {
        free(tag[i].key);
        free(tag[i].value);
    }
    free(tag);
}

// "kron:LAYER" of every chain: its patterns, their order and the layout of its factors.
static wn_status tags_make(const wn__ks_apply *a, wn__st_meta **out) {
    wn__st_meta *tag = calloc(a->targets + 1, sizeof *tag);
    wn_status status = tag != NULL ? WN_OK : wn__fail(WN_NOMEM, "out of memory for the tags");
    for (size_t i = 0; i < a->targets && status == WN_OK; i++) {
        const wn__ks_target *t = &a->target[i];
        if (asprintf(&tag[i].key, "kron:%s", t->l->name) < 0) {
            tag[i].key = NULL;
            status = wn__fail(WN_NOMEM, "out of memory for the tags");
        } else {
            status = wn__kron_chain_format(&t->chain, WN__KRON_COLUMNS, &tag[i].value);
        }
    }
    *out = tag;
    return status;
}

static wn_status write_weights(const wn__ks_apply *a, const list *l, bool merge) {
    char path[WN_PLACE_PATH];
    wn__st_meta *tag = NULL;
    size_t tags = merge ? 0 : a->targets;
    WN_TRY(wn__path_join(path, sizeof path, a->place.temporary, "model.safetensors"));
    wn_status status = merge ? WN_OK : tags_make(a, &tag);
    if (status == WN_OK)
        status = wn__safetensors_write(path, l->item, l->count, tag, tags, NULL, NULL);
    tags_free(tag, tags);
    return status;
}

// Weights and configuration into the directory that is being made.
static wn_status write_model(wn__ks_apply *a, const wn__safetensors *trained, bool merge) {
    list l;
    uint64_t bytes = 0;
    wn_status status = list_make(a, &l);
    if (status == WN_OK) status = fill(a, trained, merge, &l);
    for (size_t i = 0; status == WN_OK && i < l.count; i++) {
        wn_dtype as = l.item[i].as != WN_DTYPE_NONE ? l.item[i].as : l.item[i].view.dtype;
        bytes += (uint64_t)wn__tensor_count(&l.item[i].view) * wn_dtype_size(as);
    }
    if (status == WN_OK) status = write_weights(a, &l, merge);
    if (status == WN_OK) status = write_config(a, trained != NULL, merge);
    a->result->bytes = bytes;
    list_free(&l);
    return status;
}

// What the directory is worth, as anyone would open it.
static wn_status look(wn__ks_apply *a, const char *stage, double *loss) {
    const wn_session_options o = {.threads = a->o->threads,
                                  .auto_sparsity = true,
                                  .context = a->text.o.seq,
                                  .batch = a->o->batch_size};
    wn_session *s;
    int64_t tokens;
    WN_TRY(wn_session_open(a->place.temporary, &o, &s));
    wn_status status = wn__ks_text_loss(&a->text, s->model, loss, &tokens);
    wn_session_free(s);
    if (status == WN_OK) wn__ks_apply_tell(a, stage, *loss, tokens);
    return status;
}

// ---- recovery ----

static void on_train(void *ctx, const wn_train_event *e) {
    const wn__ks_apply *a = ctx;
    const wn_ks_progress event = {.train = e};
    if (a->fn != NULL) a->fn(a->ctx, &event);
}

static bool on_stop(void *ctx) {
    const wn__ks_apply *a = ctx;
    return a->stop != NULL && a->stop(a->ctx);
}

static wn_status train(wn__ks_apply *a, const char *run) {
    const wn_ks_apply_options *o = a->o;
    wn_train_options t;
    wn_train_defaults(&t);
    t.out = run;
    t.data = o->calib;
    t.eval_data = o->eval_data;
    t.eval_fraction = o->eval_fraction;
    t.init_from = a->place.temporary;
    t.steps = o->recover;
    t.lr = o->recover_lr;
    t.warmup = o->recover / 10 < 100 ? o->recover / 10 : 100;
    t.weight_decay = 0; // both factors would decay, their product twice
    if (o->distill_weight > 0) {
        t.teacher = a->text.dir;
        t.distill_weight = o->distill_weight;
        t.distill_temperature = o->distill_temperature;
    }
    t.seq_len = a->text.o.seq;
    t.batch_size = o->batch_size;
    t.seed = o->seed;
    t.threads = o->threads;
    t.log_every = o->recover > 10 ? o->recover / 10 : 1;
    t.eval_every = 0;
    t.eval_batches = 1; // measured below, as a session has it
    t.keep = 1;
    return wn_train(&t, on_train, on_stop, a);
}

// Masters of everything that was trained, or their products.
static wn_status take_trained(wn__ks_apply *a, const char *run) {
    char path[WN_PLACE_PATH];
    wn__safetensors st;
    WN_TRY(wn__path_join(path, sizeof path, run,
                         a->o->merge ? "latest/model.safetensors" : "latest/training.safetensors"));
    WN_TRY(wn__safetensors_open(path, &st));
    wn_status status = write_model(a, &st, a->o->merge);
    wn__safetensors_close(&st);
    return status;
}

static wn_status recover(wn__ks_apply *a) {
    char run[WN_PLACE_PATH];
    WN_TRY(wn__path_join(run, sizeof run, a->place.temporary, "recovery"));
    WN_TRY(train(a, run));
    WN_TRY(take_trained(a, run));
    WN_TRY(wn__dir_remove(run));
    return look(a, "recovered", &a->result->loss_recovered);
}

wn_status wn__ks_apply_out(wn__ks_apply *a) {
    bool later = a->o->recover > 0; // training begins from factors
    for (size_t i = 0; i < wn__hf_weights_count(a->text.weights); i++) {
        const char *name, *file;
        wn_tensor view;
        wn__hf_weights_at(a->text.weights, i, &name, &view, &file);
        a->result->bytes_before += wn__tensor_bytes(&view);
    }
    WN_TRY(wn__place_copy_files(&a->place, a->text.dir));
    WN_TRY(write_model(a, NULL, a->o->merge && !later));
    WN_TRY(look(a, "fitted", &a->result->loss_fitted));
    if (later) WN_TRY(recover(a));
    return wn__place_publish(&a->place);
}
