// SPDX-License-Identifier: MIT
// Saving a step directory so that it is there whole or not at all, and loading one back bit for
// bit.
#include "train/checkpoint.h"

#include "base/cpu.h"
#include "base/fail.h"
#include "formats/hf_sparsity.h"
#include "formats/safetensors.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINK "latest"

// The run's tokenizer.json as it is, and its configuration for other tools.
static wn_status write_tokenizer(const wn__trainer *t, const char *dir) {
    char from[WN_RUN_PATH], to[WN_RUN_PATH], *bytes;
    size_t size;
    if (t->tokenizer == NULL) return WN_OK;
    WN_TRY(wn__run_path(t, "tokenizer.json", from));
    WN_TRY(wn__path_join(to, sizeof to, dir, "tokenizer.json"));
    WN_TRY(wn__file_read(from, 0, &bytes, &size));
    wn_status status = wn__file_write(to, bytes, size);
    free(bytes);
    WN_TRY(status);
    WN_TRY(wn__path_join(to, sizeof to, dir, "tokenizer_config.json"));
    return wn_tokenizer_save_config(t->tokenizer, to, t->config.max_positions);
}

typedef wn_status items_fn(wn__model *m, wn__st_item **items, size_t *count);

static wn_status write_tensors(wn__trainer *t, items_fn *list, const char *dir, const char *name) {
    char path[WN_RUN_PATH];
    wn__st_item *items;
    size_t count;
    WN_TRY(wn__path_join(path, sizeof path, dir, name));
    WN_TRY(list(t->model, &items, &count));
    wn_status status = wn__safetensors_write(path, items, count, NULL, 0, NULL, NULL);
    free(items);
    return status;
}

// The widest dtype of a matrix, which loses nothing of any: BF16 under --dtype bfloat16, where only
// norms and biases stay floats.
static wn_dtype matrix_dtype(const wn__st_item *items, size_t count) {
    wn_dtype widest = WN_DTYPE_BF16;
    for (size_t i = 0; i < count; i++) {
        const wn_tensor *t = &items[i].view;
        if (t->ndim > 1 && wn_dtype_size(t->dtype) > wn_dtype_size(widest)) widest = t->dtype;
    }
    return widest;
}

// With what a session must prune to evaluate as the trainer does, and which weights are 2:4.
static wn_status write_config(const wn__trainer *t, const char *dir) {
    wn__hf_sparsity sparsity;
    wn__st_item *items;
    size_t count;
    WN_TRY(wn__model_export(t->model, &items, &count));
    wn_dtype dtype = matrix_dtype(items, count);
    free(items);
    WN_TRY(wn__model_sparsity(t->model, &sparsity));
    wn_status status = wn__hf_config_write_as(dir, &t->config, &sparsity, dtype);
    wn__hf_sparsity_free(&sparsity);
    return status;
}

// states before export: exporting overwrites gradients, never what is saved here, but this order
// needs no proof.
static wn_status write_files(wn__trainer *t, const char *dir) {
    WN_TRY(wn__dir_make(dir));
    WN_TRY(write_tokenizer(t, dir));
    WN_TRY(write_tensors(t, wn__model_states, dir, "training.safetensors"));
    WN_TRY(write_tensors(t, wn__model_export, dir, "model.safetensors"));
    WN_TRY(write_config(t, dir));
    return wn__state_write(t, dir);
}

// A directory of this name is one that `latest` does not mean: published by a process that died
// before it moved the link, or left from a branch that was given up. It makes way.
static wn_status displace(const char *dir) {
    char gone[WN_RUN_PATH + 16];
    (void)snprintf(gone, sizeof gone, "%s.tmp-old", dir);
    if (!wn__dir_exists(dir)) return WN_OK;
    WN_TRY(wn__dir_remove(gone));
    if (rename(dir, gone) != 0) return wn__fail_errno("%s: cannot move aside", dir);
    return wn__dir_remove(gone);
}

// Removes what was written, keeping the message that says why.
static wn_status give_up(const wn__trainer *t, wn_status status, const char *temporary) {
    char why[1024];
    (void)snprintf(why, sizeof why, "%s", wn_last_error());
    bool removed = wn__dir_remove(temporary) == WN_OK;
    return wn__fail(status, "step %" PRId64 " was not saved: %s%s%s", t->step, why,
                    removed ? "" : "; left behind: ", removed ? "" : temporary);
}

static uint64_t dir_bytes(const char *dir) {
    wn__names names;
    uint64_t total = 0;
    if (wn__dir_list(dir, &names) != WN_OK) return 0;
    for (size_t i = 0; i < names.count; i++) {
        char path[WN_RUN_PATH];
        uint64_t size = 0;
        if (wn__path_join(path, sizeof path, dir, names.name[i]) == WN_OK &&
            wn__file_size(path, &size) == WN_OK)
            total += size;
    }
    wn__names_free(&names);
    return total;
}

wn_status wn__checkpoint_save(wn__trainer *t) {
    char name[32], dir[WN_RUN_PATH], link[WN_RUN_PATH], temporary[WN_RUN_PATH + 32];
    double start = wn__clock();
    WN_TRY(wn__check_finite(t));
    wn__step_name(t->step, name, sizeof name);
    WN_TRY(wn__run_path(t, name, dir));
    WN_TRY(wn__run_path(t, LINK, link));
    (void)snprintf(temporary, sizeof temporary, "%s.tmp-%ld", dir, (long)getpid());
    wn_status status = wn__metrics_sync(&t->metrics); // no checkpoint is newer than its metrics
    if (status == WN_OK) status = wn__dir_remove(temporary);
    if (status == WN_OK) status = write_files(t, temporary);
    if (status == WN_OK) status = displace(dir);
    if (status == WN_OK) status = wn__dir_publish(temporary, dir);
    if (status == WN_OK) status = wn__link_replace(name, link);
    if (status != WN_OK) return give_up(t, status, temporary);
    t->saved = t->step;
    WN_TRY(wn__steps_prune(t->o.out, t->step, t->o.keep));
    return wn__report_save(t, dir, dir_bytes(dir), wn__clock() - start);
}

// Which file is damaged belongs into run.json even when there is nothing to save: it is what lets
// the run be resumed with that file in another size.
static wn_status record_damage(wn__trainer *t, wn__part *p) {
    p->damaged = p->documents;
    p->damaged_file = p->documents ? wn__source_file(p->source) : 0;
    WN_TRY(wn__run_record(t));
    return t->step > 0 && t->saved != t->step ? wn__checkpoint_save(t) : WN_OK;
}

wn_status wn__checkpoint_rescue(wn__trainer *t, wn__part *p, wn_status status) {
    char why[1024], name[32], not_saved[1024];
    bool unreadable = p->documents && (status == WN_FORMAT || status == WN_IO);
    if (t->step == 0 && !unreadable) return status; // other data, or other options, are another run
    (void)snprintf(why, sizeof why, "%s", wn_last_error());
    if (record_damage(t, p) != WN_OK) {
        (void)snprintf(not_saved, sizeof not_saved, "%s", wn_last_error());
        return wn__fail(status, "%s; %s", why, not_saved);
    }
    if (t->step == 0)
        return wn__fail(status,
                        "%s; no update was made yet, and resuming begins with the first one when "
                        "the data can be read",
                        why);
    wn__step_name(t->step, name, sizeof name);
    return wn__fail(status,
                    "%s; all updates before it are saved in %s, and resuming goes on from there "
                    "when the data can be read",
                    why, name);
}

// The newest step by its name: a process that died right after its first checkpoint has made no
// link yet.
static wn_status newest_step(const wn__trainer *t, char dir[WN_RUN_PATH]) {
    int64_t step;
    char name[32];
    WN_TRY(wn__steps_newest(t->o.out, INT64_MAX, &step));
    if (step < 0) return WN_OK;
    wn__step_name(step, name, sizeof name);
    return wn__run_path(t, name, dir);
}

// The step directory that `latest` names, or the newest one without such a link; "" when there is
// none.
static wn_status find_step(const wn__trainer *t, char dir[WN_RUN_PATH]) {
    char link[WN_RUN_PATH], target[WN_RUN_PATH];
    dir[0] = '\0';
    WN_TRY(wn__run_path(t, LINK, link));
    ssize_t n = readlink(link, target, sizeof target - 1);
    if (n < 0 && errno == ENOENT) return newest_step(t, dir);
    if (n < 0) return wn__fail_errno("%s: cannot read the symbolic link", link);
    target[n] = '\0';
    if (strchr(target, '/') != NULL)
        return wn__fail(WN_FORMAT, "%s: points at '%s', expected a step directory beside it", link,
                        target);
    return wn__run_path(t, target, dir);
}

// Adds to the message which older step could be used instead.
static wn_status advise(const wn__trainer *t, wn_status status, const char *dir) {
    char why[1024], name[32], older[WN_RUN_PATH];
    (void)snprintf(why, sizeof why, "%s", wn_last_error());
    const char *base = strrchr(dir, '/');
    int64_t below =
        base != NULL && strncmp(base, "/step-", 6) == 0 ? strtoll(base + 6, NULL, 10) : 0;
    while (wn__steps_newest(t->o.out, below, &below) == WN_OK && below >= 0) {
        wn__json *state;
        wn__step_name(below, name, sizeof name);
        if (wn__run_path(t, name, older) != WN_OK || wn__state_read(older, &state) != WN_OK)
            continue;
        wn__json_free(state);
        return wn__fail(status,
                        "%s; the older %s is intact: point %s/%s at it to continue from there", why,
                        name, t->o.out, LINK);
    }
    return wn__fail(status, "%s; no older step is intact", why);
}

// The shape in state.json against the one in run.json.
static wn_status compare_shapes(const wn__trainer *t, const char *dir, const wn__json *state) {
    const wn__json *mine = wn__json_get(t->recorded, "model"),
                   *theirs = wn__json_get(state, "model");
    void *iter = NULL;
    const char *key;
    wn__json *value;
    while (wn__json_next(mine, &iter, &key, NULL, &value)) {
        const wn__json *other = wn__json_get(theirs, key);
        char *a = NULL, *b = NULL;
        wn_status status = wn__json_dump(value, 0, &a);
        if (status == WN_OK && other != NULL) status = wn__json_dump(other, 0, &b);
        if (status == WN_OK && (b == NULL || strcmp(a, b) != 0))
            status = wn__fail(WN_INVALID,
                              "%s: a checkpoint of another model: %s is %s there, %s in run.json",
                              dir, key, b != NULL ? b : "missing", a);
        free(a);
        free(b);
        WN_TRY(status);
    }
    return WN_OK;
}

// The rules decide which states there are.
static wn_status compare_rules(const char *dir, const wn__trainer *t, const wn__json *state) {
    const wn__json *rules = wn__json_get(wn__json_get(state, "train"), "sparsity");
    size_t n = wn__json_count(rules);
    for (size_t i = 0; i < n || i < t->o.sparsity_count; i++) {
        const char *theirs = wn__json_string(wn__json_at(rules, i), NULL);
        const char *mine = i < t->o.sparsity_count ? t->o.sparsity[i] : NULL;
        if (theirs != NULL && mine != NULL && strcmp(theirs, mine) == 0) continue;
        return wn__fail(
            WN_INVALID,
            "%s: a checkpoint of another model: sparsity rule %zu is %s there, %s in run.json", dir,
            i + 1, theirs != NULL ? theirs : "missing", mine != NULL ? mine : "missing");
    }
    return WN_OK;
}

wn_status wn__checkpoint_open(const wn__trainer *t, wn__checkpoint *out) {
    *out = (wn__checkpoint){0};
    WN_TRY(find_step(t, out->dir));
    if (out->dir[0] == '\0') return WN_OK;
    wn_status status = wn__state_read(out->dir, &out->state);
    if (status != WN_OK) return advise(t, status, out->dir);
    status = compare_shapes(t, out->dir, out->state);
    if (status == WN_OK) status = compare_rules(out->dir, t, out->state);
    if (status != WN_OK) wn__checkpoint_close(out);
    return status;
}

void wn__checkpoint_close(wn__checkpoint *c) {
    wn__json_free(c->state);
    c->state = NULL;
}

static wn_status load_item(const wn__safetensors *st, const wn__st_item *item) {
    const wn__st_entry *entry = wn__safetensors_find(st, item->name);
    char mine[128], theirs[128];
    if (entry == NULL)
        return wn__fail(WN_INVALID, "%s: no tensor '%s', which this run needs", st->path,
                        item->name);
    if (entry->view.dtype != item->view.dtype || !wn__tensor_same_shape(&entry->view, &item->view))
        return wn__fail(WN_INVALID, "%s: tensor '%s' is %s, this run needs %s", st->path,
                        item->name, wn__tensor_describe(&entry->view, theirs, sizeof theirs),
                        wn__tensor_describe(&item->view, mine, sizeof mine));
    if (!wn__tensor_packed(&item->view))
        return wn__fail(WN_BUG, "tensor '%s' is not packed", item->name);
    memcpy(item->view.data, entry->view.data, wn__tensor_bytes(&item->view));
    return WN_OK;
}

static wn_status load_tensors(wn__trainer *t, const char *dir) {
    char path[WN_RUN_PATH];
    wn__safetensors st = {0};
    wn__st_item *items = NULL;
    size_t count = 0;
    wn_status status;
    WN_TRY(wn__path_join(path, sizeof path, dir, "training.safetensors"));
    WN_TRY_OUT(wn__safetensors_open(path, &st));
    WN_TRY_OUT(wn__model_states(t->model, &items, &count));
    for (size_t i = 0; i < count; i++)
        WN_TRY_OUT(load_item(&st, &items[i]));
    if (st.count != count)
        status = wn__fail(WN_INVALID, "%s: %zu tensors, this run needs %zu", path, st.count, count);
out:
    free(items);
    wn__safetensors_close(&st);
    return status;
}

static wn_status load_place(wn__trainer *t, const wn__checkpoint *c) {
    int64_t epoch, position;
    const wn__json *place = wn__json_get(c->state, "loader");
    const wn__json *extra = wn__json_get(place, "extra");
    WN_TRY(wn__json_get_int(place, c->dir, "epoch", NULL, &epoch));
    WN_TRY(wn__json_get_int(place, c->dir, "position", NULL, &position));
    wn__source_state at = {.epoch = (uint64_t)epoch, .position = (uint64_t)position};
    for (size_t i = 0; i < 4; i++)
        at.extra[i] = (uint64_t)wn__json_int(wn__json_at(extra, i));
    WN_TRY(wn__source_seek(t->train.source, &at));
    wn__source_tell(t->train.source, &t->place);
    return WN_OK;
}

static wn_status load_progress(wn__trainer *t, const wn__checkpoint *c) {
    int64_t passes;
    WN_TRY(wn__json_get_int(c->state, c->dir, "step", NULL, &t->step));
    WN_TRY(wn__json_get_int(c->state, c->dir, "tokens_seen", NULL, &t->tokens_seen));
    WN_TRY(wn__json_get_int(c->state, c->dir, "passes", NULL, &passes));
    WN_TRY(wn__json_get_int(c->state, c->dir, "exact_pairs", NULL, &t->exact.pairs));
    WN_TRY(wn__json_get_int(c->state, c->dir, "exact_fell_back", NULL, &t->exact.fell_back));
    WN_TRY(wn__json_get_real(c->state, c->dir, "train_seconds", NULL, &t->train_seconds));
    wn__pass *pass = wn__model_pass(t->model);
    pass->counter = (uint64_t)passes;
    pass->update = t->step;
    t->saved = t->step;
    return load_place(t, c);
}

// The model may ask where training stands when its states are there.
wn_status wn__checkpoint_load(wn__trainer *t, const wn__checkpoint *c) {
    WN_TRY(load_progress(t, c));
    WN_TRY(load_tensors(t, c->dir));
    wn_status counted =
        wn__optimizer_check_counts(t->optimizer, wn__model_params(t->model), t->step);
    if (counted != WN_OK) return wn__fail_in(counted, "%s/training.safetensors", c->dir);
    return wn__model_states_loaded(t->model);
}
