// SPDX-License-Identifier: MIT
// The run directory: made, locked against a second trainer, cleaned of what a killed one left
// behind; and run.json, which says what the run is.
#include "base/fail.h"
#include "train/checkpoint.h"
#include "train/trainer.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define RUN_VERSION   2
#define RUN_JSON_MOST ((size_t)64 << 20)

wn_status wn__run_path(const wn__trainer *t, const char *name, char out[WN_RUN_PATH]) {
    return wn__path_join(out, WN_RUN_PATH, t->o.out, name);
}

// One trainer for a directory. The lock goes with the process; file systems without locks do
// without.
static wn_status lock_run(wn__trainer *t) {
    t->lock = open(t->o.out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->lock < 0) return wn__fail_errno("%s: cannot open", t->o.out);
    if (flock(t->lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return WN_OK;
    return wn__fail(WN_INVALID, "%s: another process is training in this directory", t->o.out);
}

// Temporary names carry ".tmp-"; nobody else writes here while the lock is held.
static wn_status clean(const char *dir) {
    wn__names names;
    if (!wn__dir_exists(dir)) return WN_OK;
    WN_TRY(wn__dir_list(dir, &names));
    wn_status status = WN_OK;
    for (size_t i = 0; i < names.count && status == WN_OK; i++) {
        char path[WN_RUN_PATH];
        if (strstr(names.name[i], ".tmp-") == NULL) continue;
        status = wn__path_join(path, sizeof path, dir, names.name[i]);
        if (status == WN_OK) status = wn__dir_remove(path);
    }
    wn__names_free(&names);
    return status;
}

static wn_status claim(wn__trainer *t) {
    char data[WN_RUN_PATH];
    WN_TRY(lock_run(t));
    WN_TRY(wn__run_path(t, "data", data));
    WN_TRY(clean(t->o.out));
    return clean(data);
}

static wn_status begin_new(wn__trainer *t) {
    int64_t newest = -1;
    if (t->o.out == NULL || t->o.out[0] == '\0') return WN_OK; // a dry run may go without
    if (wn__dir_exists(t->o.out)) WN_TRY(wn__steps_newest(t->o.out, INT64_MAX, &newest));
    if (newest >= 0)
        return wn__fail(WN_INVALID,
                        "%s: holds a run with a checkpoint of step %" PRId64
                        "; resume it or choose another directory",
                        t->o.out, newest);
    if (t->o.dry_run) return WN_OK;
    WN_TRY(wn__dir_make(t->o.out));
    return claim(t);
}

static void note(void *ctx, const char *line) {
    wn__say(ctx, "note: %s", line);
}

static wn_status find_recorded(const char *dir, char path[WN_RUN_PATH]) {
    WN_TRY(wn__path_join(path, WN_RUN_PATH, dir, "run.json"));
    if (wn__file_exists(path)) return WN_OK;
    return wn__fail(WN_INVALID,
                    "%s: nothing to resume: no run.json; the run's own options begin it, "
                    "without resuming",
                    dir);
}

// Also where it fails, *root and *sparsity are the caller's to free.
static wn_status read_recorded(const char *path, wn__json **root, wn_train_options *recorded,
                               const char ***sparsity) {
    int64_t version = 0;
    WN_TRY(wn__json_read(path, RUN_JSON_MOST, root));
    WN_TRY(wn__json_get_int(*root, path, "version", NULL, &version));
    if (version != RUN_VERSION)
        return wn__fail(WN_FORMAT, "%s: version %" PRId64 ", this build reads %d", path, version,
                        RUN_VERSION);
    return wn__options_from_json(wn__json_get(*root, "train"), path, recorded, sparsity);
}

static wn_status begin_again(wn__trainer *t) {
    char path[WN_RUN_PATH];
    wn_train_options recorded;
    WN_TRY(find_recorded(t->o.out, path));
    if (!t->o.dry_run) WN_TRY(claim(t));
    WN_TRY(read_recorded(path, &t->recorded, &recorded, &t->recorded_sparsity));
    wn__options_resume(&t->o, &recorded, note, t);
    return wn__options_check(&t->o);
}

struct wn_train_record {
    wn__json *root;
    const char **sparsity;
};

void wn_train_record_free(wn_train_record *record) {
    if (record == NULL) return;
    wn__json_free(record->root);
    free((void *)record->sparsity);
    free(record);
}

wn_status wn_train_recorded(wn_train_options *o, wn_train_record **out) {
    char path[WN_RUN_PATH];
    wn_train_options recorded;
    *out = NULL;
    if (o->out == NULL || o->out[0] == '\0')
        return wn__fail(WN_INVALID, "out: no run directory was given");
    WN_TRY(find_recorded(o->out, path));
    wn_train_record *record = calloc(1, sizeof *record);
    if (record == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", path);
    wn_status status = read_recorded(path, &record->root, &recorded, &record->sparsity);
    if (status != WN_OK) {
        wn_train_record_free(record);
        return status;
    }
    wn__options_take(o, &recorded);
    *out = record;
    return WN_OK;
}

wn_status wn__run_begin(wn__trainer *t) {
    return t->o.resume ? begin_again(t) : begin_new(t);
}

void wn__run_end(wn__trainer *t) {
    if (t->lock >= 0) (void)close(t->lock);
    t->lock = -1;
    wn__json_free(t->recorded);
    free((void *)t->recorded_sparsity);
}

static wn_status set_data(const wn__trainer *t, wn__json *root) {
    wn__json *data = wn__json_new_object();
    wn_status status = wn__part_record(&t->train, data, "train");
    if (status == WN_OK) status = wn__part_record(&t->held, data, "eval");
    if (status == WN_OK)
        status = wn__json_set(data, "tokenizer",
                              t->tokenizer != NULL ? wn__json_new_string("tokenizer.json")
                                                   : wn__json_new_null());
    if (status == WN_OK) return wn__json_set(root, "data", data);
    wn__json_free(data);
    return status;
}

// The caller's own account of its options, as it was when the run began.
static wn_status set_resolved(const wn__trainer *t, wn__json *root) {
    wn__json *options = wn__json_ref(wn__json_get(t->recorded, "options"));
    if (options == NULL && t->o.resolved != NULL)
        WN_TRY(wn__json_parse(t->o.resolved, strlen(t->o.resolved), "resolved options", &options));
    return wn__json_set(root, "options", options != NULL ? options : wn__json_new_null());
}

// What comparisons of runs ask for: trained parameters, bytes of the weights a forward pass reads
// (of linear layers), FLOPs a training step makes for one token.
static wn_status set_summary(const wn__trainer *t, wn__json *root) {
    wn__json *summary = wn__json_new_object();
    double executed, dense;
    size_t bytes = 0;
    for (size_t i = 0; i < wn__model_linear_count(t->model); i++) {
        const wn__linear *l = wn__model_linear(t->model, i);
        wn__linear_bytes b;
        l->type->bytes(l, &b);
        bytes += b.forward;
    }
    wn__model_flops(t->model, t->o.seq_len, true, &executed, &dense);
    wn_status status = wn__json_set(summary, "parameters", wn__json_new_int(wn__trained_params(t)));
    if (status == WN_OK)
        status = wn__json_set(summary, "forward_bytes", wn__json_new_int((int64_t)bytes));
    if (status == WN_OK)
        status = wn__json_set(summary, "flops_per_token", wn__json_new_real(executed));
    if (status == WN_OK) return wn__json_set(root, "summary", summary);
    wn__json_free(summary);
    return status;
}

wn_status wn__run_record(const wn__trainer *t) {
    char path[WN_RUN_PATH], *text = NULL;
    wn__json *train = NULL, *shape = NULL, *root = wn__json_new_object();
    wn_status status;
    WN_TRY_OUT(wn__run_path(t, "run.json", path));
    WN_TRY_OUT(wn__options_to_json(&t->o, &train));
    WN_TRY_OUT(wn__shape_to_json(&t->config, &shape));
    WN_TRY_OUT(wn__json_set(root, "format", wn__json_new_string("winnow-run")));
    WN_TRY_OUT(wn__json_set(root, "version", wn__json_new_int(RUN_VERSION)));
    WN_TRY_OUT(wn__json_set(root, "winnow", wn__json_new_string(wn_version())));
    WN_TRY_OUT(set_resolved(t, root));
    WN_TRY_OUT(wn__json_set(root, "train", wn__json_ref(train)));
    WN_TRY_OUT(wn__json_set(root, "model", wn__json_ref(shape)));
    WN_TRY_OUT(
        wn__json_set(root, "parameters", wn__json_new_int(wn__model_config_params(&t->config))));
    WN_TRY_OUT(set_data(t, root));
    WN_TRY_OUT(set_summary(t, root));
    WN_TRY_OUT(wn__json_dump(root, 2, &text));
    status = wn__file_write(path, text, strlen(text));
out:
    free(text);
    wn__json_free(train);
    wn__json_free(shape);
    wn__json_free(root);
    return status;
}
