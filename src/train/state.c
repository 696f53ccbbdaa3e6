// SPDX-License-Identifier: MIT
// state.json: where training stood, which model it is, and the size and checksum of every file
// beside it.
#include "base/fail.h"
#include "train/checkpoint.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_VERSION 2
#define STATE_MOST    ((size_t)64 << 20)
#define STATE_NAME    "state.json"

wn_status wn__shape_to_json(const wn__model_config *c, wn__json **out) {
    const struct {
        const char *name;
        int64_t value;
    } sizes[] = {{"vocab_size", c->vocab_size},
                 {"hidden_size", c->hidden_size},
                 {"intermediate_size", c->intermediate_size},
                 {"layers", c->layers},
                 {"heads", c->heads},
                 {"kv_heads", c->kv_heads},
                 {"head_dim", c->head_dim},
                 {"max_positions", c->max_positions}};
    const struct {
        const char *name;
        bool value;
    } flags[] = {{"qkv_bias", c->qkv_bias},
                 {"o_bias", c->o_bias},
                 {"mlp_bias", c->mlp_bias},
                 {"tie_embeddings", c->tied}};
    *out = NULL;
    wn__json *j = wn__json_new_object();
    wn_status status;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        WN_TRY_OUT(wn__json_set(j, sizes[i].name, wn__json_new_int(sizes[i].value)));
    WN_TRY_OUT(wn__json_set(j, "mlp", wn__json_new_string(wn__mlp_word(c->mlp))));
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        WN_TRY_OUT(wn__json_set(j, flags[i].name, wn__json_new_bool(flags[i].value)));
    WN_TRY_OUT(wn__json_set(j, "rope_kind", wn__json_new_int((int64_t)c->rope)));
    WN_TRY_OUT(wn__json_set(j, "rope_theta", wn__json_new_real(c->rope_theta)));
    WN_TRY_OUT(wn__json_set(j, "rms_eps", wn__json_new_real(c->rms_eps)));
    *out = j;
    return WN_OK;
out:
    wn__json_free(j);
    return status;
}

static wn_status checksum(const char *path, uint64_t *bytes, char crc[16]) {
    wn__map map;
    WN_TRY(wn__map_open(path, &map));
    (void)snprintf(crc, 16, "%08x", wn__crc32(0, map.data, map.size));
    *bytes = map.size;
    wn__map_close(&map);
    return WN_OK;
}

static wn_status add_file(wn__json *files, const char *dir, const char *name) {
    char path[WN_RUN_PATH], crc[16];
    uint64_t bytes;
    WN_TRY(wn__path_join(path, sizeof path, dir, name));
    WN_TRY(checksum(path, &bytes, crc));
    wn__json *j = wn__json_new_object();
    wn_status status;
    WN_TRY_OUT(wn__json_set(j, "bytes", wn__json_new_int((int64_t)bytes)));
    WN_TRY_OUT(wn__json_set(j, "crc32", wn__json_new_string(crc)));
    return wn__json_set(files, name, j);
out:
    wn__json_free(j);
    return status;
}

static wn_status add_files(wn__json *root, const char *dir) {
    wn__names names;
    WN_TRY(wn__dir_list(dir, &names));
    wn__json *files = wn__json_new_object();
    wn_status status = WN_OK;
    for (size_t i = 0; i < names.count && status == WN_OK; i++)
        status = add_file(files, dir, names.name[i]);
    wn__names_free(&names);
    wn_status set = wn__json_set(root, "files", files);
    return status != WN_OK ? status : set;
}

static wn_status add_place(const wn__trainer *t, wn__json *root) {
    wn__source_state at = t->place;
    wn__json *place = wn__json_new_object(), *extra = wn__json_new_array();
    wn_status status = WN_OK;
    for (size_t i = 0; i < 4 && status == WN_OK; i++)
        status = wn__json_append(extra, wn__json_new_int((int64_t)at.extra[i]));
    if (status == WN_OK) status = wn__json_set(place, "epoch", wn__json_new_int((int64_t)at.epoch));
    if (status == WN_OK)
        status = wn__json_set(place, "position", wn__json_new_int((int64_t)at.position));
    wn_status set = wn__json_set(place, "extra", extra);
    wn_status placed = wn__json_set(root, "loader", place);
    return status != WN_OK ? status : set != WN_OK ? set : placed;
}

static wn_status add_progress(const wn__trainer *t, wn__json *root) {
    WN_TRY(add_place(t, root));
    WN_TRY(wn__json_set(root, "tokens_seen", wn__json_new_int(t->tokens_seen)));
    WN_TRY(
        wn__json_set(root, "passes", wn__json_new_int((int64_t)wn__model_pass(t->model)->counter)));
    WN_TRY(wn__json_set(root, "exact_pairs", wn__json_new_int(t->exact.pairs)));
    WN_TRY(wn__json_set(root, "exact_fell_back", wn__json_new_int(t->exact.fell_back)));
    return wn__json_set(root, "train_seconds", wn__json_new_real(t->train_seconds));
}

static wn_status add_options(const wn__trainer *t, wn__json *root) {
    wn__json *train = NULL, *shape = NULL;
    WN_TRY(wn__shape_to_json(&t->config, &shape));
    WN_TRY(wn__json_set(root, "model", shape));
    WN_TRY(wn__options_to_json(&t->o, &train));
    return wn__json_set(root, "train", train);
}

wn_status wn__state_write(const wn__trainer *t, const char *dir) {
    char path[WN_RUN_PATH], *text = NULL;
    wn__json *root = wn__json_new_object();
    wn_status status;
    WN_TRY_OUT(wn__path_join(path, sizeof path, dir, STATE_NAME));
    WN_TRY_OUT(wn__json_set(root, "format", wn__json_new_string("winnow-checkpoint")));
    WN_TRY_OUT(wn__json_set(root, "version", wn__json_new_int(STATE_VERSION)));
    WN_TRY_OUT(wn__json_set(root, "winnow", wn__json_new_string(wn_version())));
    WN_TRY_OUT(wn__json_set(root, "step", wn__json_new_int(t->step)));
    WN_TRY_OUT(add_progress(t, root));
    WN_TRY_OUT(add_options(t, root));
    WN_TRY_OUT(add_files(root, dir));
    WN_TRY_OUT(wn__json_dump(root, 2, &text));
    status = wn__file_write(path, text, strlen(text));
out:
    free(text);
    wn__json_free(root);
    return status;
}

static wn_status check_file(const char *dir, const char *name, const wn__json *expected) {
    char path[WN_RUN_PATH], crc[16];
    uint64_t bytes;
    int64_t want_bytes = wn__json_int(wn__json_get(expected, "bytes"));
    const char *want_crc = wn__json_string(wn__json_get(expected, "crc32"), NULL);
    if (strchr(name, '/') != NULL || want_crc == NULL)
        return wn__fail(WN_FORMAT, "%s/%s: 'files': a malformed entry", dir, STATE_NAME);
    WN_TRY(wn__path_join(path, sizeof path, dir, name));
    WN_TRY(checksum(path, &bytes, crc));
    if (bytes != (uint64_t)want_bytes)
        return wn__fail(WN_FORMAT, "%s: %" PRIu64 " bytes, %s says %" PRId64, path, bytes,
                        STATE_NAME, want_bytes);
    if (strcmp(crc, want_crc) != 0)
        return wn__fail(WN_FORMAT, "%s: checksum %s, %s says %s", path, crc, STATE_NAME, want_crc);
    return WN_OK;
}

static wn_status check_all(const char *dir, const char *path, const wn__json *root) {
    static const char *const needed[] = {"config.json", "model.safetensors",
                                         "training.safetensors"};
    int64_t version, step;
    WN_TRY(wn__json_get_int(root, path, "version", NULL, &version));
    WN_TRY(wn__json_get_int(root, path, "step", NULL, &step));
    if (version != STATE_VERSION)
        return wn__fail(WN_FORMAT, "%s: version %" PRId64 ", this build reads %d", path, version,
                        STATE_VERSION);
    const wn__json *files = wn__json_get(root, "files");
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (wn__json_get(files, needed[i]) == NULL)
            return wn__fail(WN_FORMAT, "%s: 'files' does not list %s", path, needed[i]);
    void *iter = NULL;
    const char *name;
    wn__json *entry;
    while (wn__json_next(files, &iter, &name, NULL, &entry))
        WN_TRY(check_file(dir, name, entry));
    return WN_OK;
}

wn_status wn__state_read(const char *dir, wn__json **out) {
    char path[WN_RUN_PATH];
    *out = NULL;
    WN_TRY(wn__path_join(path, sizeof path, dir, STATE_NAME));
    wn__json *root;
    WN_TRY(wn__json_read(path, STATE_MOST, &root));
    wn_status status = check_all(dir, path, root);
    if (status == WN_OK) {
        *out = root;
    } else {
        wn__json_free(root);
    }
    return status;
}
