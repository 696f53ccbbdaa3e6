// SPDX-License-Identifier: MIT
// The tensors of a checkpoint directory: one safetensors file, or shards and an index. Everything
// an index says is checked against the shards, by sorting both, so a large or hostile one costs n
// log n.
#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "formats/hf_config.h"
#include "formats/safetensors.h"
#include "formats/st_header.h"
#include "tensor/tensor.h"
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SINGLE_NAME "model.safetensors"
#define INDEX_NAME  "model.safetensors.index.json"
#define INDEX_LIMIT ((size_t)100000000)
#define PATH_SIZE   4096

typedef struct located {
    const wn__st_entry *entry; // borrowed from a shard
    size_t shard;
} located;

struct wn__hf_weights {
    wn__safetensors *shard;
    size_t shards;
    located *tensor; // by name
    size_t count;
};

// One line of weight_map, borrowed from the JSON.
typedef struct mapping {
    const char *tensor, *file;
} mapping;

// ---- shard names ----

static bool is_plain_name(const char *name) {
    size_t n = strlen(name);
    return n > 0 && n <= NAME_MAX && strpbrk(name, "/\\") == NULL && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

// Whether the hub's cache keeps the target of a link in dir/name: dir is .../snapshots/REVISION and
// the target lies in .../blobs. Both paths are real paths; dir is overwritten.
static bool is_cache_blob(char *dir, const char *target_dir) {
    char blobs[PATH_SIZE + 8];
    char *snapshots = dirname(dir);
    char *slash = strrchr(snapshots, '/');
    if (slash == NULL || strcmp(slash, "/snapshots") != 0) return false;
    *slash = '\0';
    (void)snprintf(blobs, sizeof blobs, "%s/blobs", snapshots);
    return strcmp(blobs, target_dir) == 0;
}

// A symbolic link may not lead out of the directory: an index must not pick files elsewhere.
wn_status wn__hf_check_link(const char *dir, const char *path) {
    struct stat st;
    if (lstat(path, &st) != 0) return wn__fail_errno("%s: cannot stat", path);
    if (!S_ISLNK(st.st_mode)) return WN_OK;
    char *real_dir = realpath(dir, NULL), *target = realpath(path, NULL);
    wn_status status = WN_OK;
    if (real_dir == NULL || target == NULL) {
        status = wn__fail_errno("%s: cannot resolve", path);
    } else {
        char *target_dir = dirname(target);
        if (strcmp(target_dir, real_dir) != 0 && !is_cache_blob(real_dir, target_dir))
            status =
                wn__fail(WN_FORMAT, "%s: a symbolic link that leads out of its directory, to %s",
                         path, target_dir);
    }
    free(real_dir);
    free(target);
    return status;
}

// ---- reading the index ----

static int compare_mapping_files(const void *a, const void *b) {
    return strcmp(((const mapping *)a)->file, ((const mapping *)b)->file);
}
static int compare_mapping_tensors(const void *a, const void *b) {
    return strcmp(((const mapping *)a)->tensor, ((const mapping *)b)->tensor);
}

// One line of the map: text without NUL on both sides, a plain file name on the right.
static wn_status check_mapping(const char *path, const char *tensor, size_t tensor_size,
                               const wn__json *value, mapping *out) {
    size_t size = 0;
    const char *file = wn__json_string(value, &size);
    if (strlen(tensor) != tensor_size)
        return wn__fail(WN_FORMAT, "%s: 'weight_map': NUL in the tensor name '%.*s'", path,
                        WN_ST_SHOWN, tensor);
    if (file == NULL)
        return wn__fail(WN_FORMAT, "%s: 'weight_map': '%.*s': expected a file name, found %s", path,
                        WN_ST_SHOWN, tensor, wn__json_typename(value));
    if (strlen(file) != size || !is_plain_name(file))
        return wn__fail(WN_FORMAT,
                        "%s: 'weight_map': '%.*s': '%.*s' is not the plain name of a file in the "
                        "same directory",
                        path, WN_ST_SHOWN, tensor, WN_ST_SHOWN, file);
    *out = (mapping){.tensor = tensor, .file = file};
    return WN_OK;
}

// The map as an array of *count lines, the caller's to free; the text stays root's.
static wn_status read_index(const char *path, const wn__json *root, mapping **out, size_t *count) {
    const wn__json *map = wn__json_get(root, "weight_map");
    *out = NULL;
    *count = wn__json_count(map);
    if (wn__json_typeof(map) != WN_JSON_OBJECT || *count == 0)
        return wn__fail(WN_FORMAT, "%s: 'weight_map': expected an object with members, found %s%s",
                        path, wn__json_typename(map), *count == 0 && map != NULL ? ", empty" : "");
    mapping *lines = calloc(*count, sizeof *lines);
    if (lines == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", path);
    void *iter = NULL;
    const char *tensor;
    size_t tensor_size;
    wn__json *value;
    for (size_t i = 0; wn__json_next(map, &iter, &tensor, &tensor_size, &value); i++) {
        wn_status status = check_mapping(path, tensor, tensor_size, value, &lines[i]);
        if (status == WN_OK) continue;
        free(lines);
        return status;
    }
    *out = lines;
    return WN_OK;
}

// ---- opening ----

static wn_status add_shard(wn__hf_weights *w, const char *dir, const char *file) {
    char path[PATH_SIZE];
    WN_TRY(wn__path_join(path, sizeof path, dir, file));
    WN_TRY(wn__hf_check_link(dir, path));
    WN_TRY(wn__safetensors_open(path, &w->shard[w->shards]));
    w->shards++;
    return WN_OK;
}

// Every file the map names, each once, in the order of their names. Sorts the map by file.
static wn_status open_shards(wn__hf_weights *w, const char *dir, mapping *lines, size_t count) {
    qsort(lines, count, sizeof *lines, compare_mapping_files);
    size_t files = 1;
    for (size_t i = 1; i < count; i++)
        files += strcmp(lines[i - 1].file, lines[i].file) != 0;
    w->shard = calloc(files, sizeof *w->shard);
    if (w->shard == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", dir);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(lines[i - 1].file, lines[i].file) != 0)
            WN_TRY(add_shard(w, dir, lines[i].file));
    return WN_OK;
}

static int compare_located(const void *a, const void *b) {
    return strcmp(((const located *)a)->entry->name, ((const located *)b)->entry->name);
}

// All tensors of all shards by name, each name once.
static wn_status collect_tensors(wn__hf_weights *w, const char *dir) {
    size_t total = 0;
    for (size_t s = 0; s < w->shards; s++)
        total += w->shard[s].count;
    w->tensor = calloc(total + 1, sizeof *w->tensor);
    if (w->tensor == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", dir);
    for (size_t s = 0; s < w->shards; s++)
        for (size_t i = 0; i < w->shard[s].count; i++)
            w->tensor[w->count++] = (located){.entry = &w->shard[s].entry[i], .shard = s};
    qsort(w->tensor, w->count, sizeof *w->tensor, compare_located);
    for (size_t i = 1; i < w->count; i++) {
        const located *a = &w->tensor[i - 1], *b = &w->tensor[i];
        if (strcmp(a->entry->name, b->entry->name) == 0)
            return wn__fail(WN_FORMAT, "tensor '%.*s' is in two shards, %s and %s", WN_ST_SHOWN,
                            a->entry->name, w->shard[a->shard].path, w->shard[b->shard].path);
    }
    return WN_OK;
}

// The file name of shard s.
static const char *shard_name(const wn__hf_weights *w, size_t s) {
    const char *path = w->shard[s].path, *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

// The map and the shards hold the same tensors in the same places. Sorts the map by tensor.
static wn_status compare_index(const wn__hf_weights *w, const char *path, mapping *lines,
                               size_t count) {
    qsort(lines, count, sizeof *lines, compare_mapping_tensors);
    for (size_t i = 0; i < count || i < w->count; i++) {
        const located *t = i < w->count ? &w->tensor[i] : NULL;
        const mapping *m = i < count ? &lines[i] : NULL;
        int order = t == NULL ? -1 : m == NULL ? 1 : strcmp(m->tensor, t->entry->name);
        if (order < 0)
            return wn__fail(WN_FORMAT, "%s: tensor '%.*s' is not in %.*s, nor in any other shard",
                            path, WN_ST_SHOWN, m->tensor, WN_ST_SHOWN, m->file);
        if (order > 0)
            return wn__fail(WN_FORMAT, "%s: tensor '%.*s' of %s is not in the index", path,
                            WN_ST_SHOWN, t->entry->name, w->shard[t->shard].path);
        if (strcmp(m->file, shard_name(w, t->shard)) != 0)
            return wn__fail(WN_FORMAT, "%s: tensor '%.*s' should be in %.*s, but is in %s", path,
                            WN_ST_SHOWN, m->tensor, WN_ST_SHOWN, m->file, shard_name(w, t->shard));
    }
    return WN_OK;
}

static wn_status open_indexed(wn__hf_weights *w, const char *dir, const char *path) {
    wn__json *root = NULL;
    mapping *lines = NULL;
    size_t count;
    wn_status status;
    WN_TRY_OUT(wn__json_read(path, INDEX_LIMIT, &root));
    WN_TRY_OUT(read_index(path, root, &lines, &count));
    WN_TRY_OUT(open_shards(w, dir, lines, count));
    WN_TRY_OUT(collect_tensors(w, dir));
    WN_TRY_OUT(compare_index(w, path, lines, count));
out:
    free(lines);
    wn__json_free(root);
    return status;
}

// metadata.total_size, where there is one, counts the bytes of the tensors, not those of the files.
// Some tools write it as a real number.
static wn_status check_total(const wn__hf_weights *w, const char *path, const wn__json *root) {
    const wn__json *size = wn__json_get(wn__json_get(root, "metadata"), "total_size");
    uint64_t bytes = 0;
    if (wn__json_typeof(size) <= WN_JSON_NULL) return WN_OK;
    if (wn__json_typeof(size) != WN_JSON_INT && wn__json_typeof(size) != WN_JSON_REAL)
        return wn__fail(WN_FORMAT, "%s: 'metadata': 'total_size': expected a number, found %s",
                        path, wn__json_typename(size));
    for (size_t i = 0; i < w->count; i++)
        bytes += wn__tensor_bytes(&w->tensor[i].entry->view);
    if (wn__json_real(size) == (double)bytes) return WN_OK;
    return wn__fail(WN_FORMAT,
                    "%s: 'metadata': 'total_size' is %.17g, but the tensors have %" PRIu64 " bytes",
                    path, wn__json_real(size), bytes);
}

wn_status wn__hf_weights_check_index(const char *dir, const wn__hf_weights *w) {
    char path[PATH_SIZE];
    wn__json *root = NULL;
    mapping *lines = NULL;
    size_t count;
    wn_status status;
    WN_TRY(wn__path_join(path, sizeof path, dir, INDEX_NAME));
    if (!wn__file_exists(path)) return WN_OK;
    WN_TRY_OUT(wn__json_read(path, INDEX_LIMIT, &root));
    WN_TRY_OUT(read_index(path, root, &lines, &count));
    WN_TRY_OUT(compare_index(w, path, lines, count));
    status = check_total(w, path, root);
out:
    free(lines);
    wn__json_free(root);
    return status;
}

// The user chose the directory, so this one name may be a link to anywhere.
static wn_status open_single(wn__hf_weights *w, const char *dir, const char *path) {
    w->shard = calloc(1, sizeof *w->shard);
    if (w->shard == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", dir);
    WN_TRY(wn__safetensors_open(path, &w->shard[0]));
    w->shards = 1;
    return collect_tensors(w, dir);
}

wn_status wn__hf_weights_open(const char *dir, wn__hf_weights **out) {
    *out = NULL;
    char single[PATH_SIZE], index[PATH_SIZE];
    WN_TRY(wn__path_join(single, sizeof single, dir, SINGLE_NAME));
    WN_TRY(wn__path_join(index, sizeof index, dir, INDEX_NAME));
    bool indexed = !wn__file_exists(single);
    if (indexed && !wn__file_exists(index))
        return wn__fail(WN_IO, "%s: neither %s nor %s is there", dir, SINGLE_NAME, INDEX_NAME);
    wn__hf_weights *w = calloc(1, sizeof *w);
    if (w == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", dir);
    wn_status status = indexed ? open_indexed(w, dir, index) : open_single(w, dir, single);
    if (status == WN_OK) {
        *out = w;
    } else {
        wn__hf_weights_close(w);
    }
    return status;
}

void wn__hf_weights_close(wn__hf_weights *w) {
    if (w == NULL) return;
    for (size_t s = 0; s < w->shards; s++)
        wn__safetensors_close(&w->shard[s]);
    free(w->shard);
    free(w->tensor);
    free(w);
}

size_t wn__hf_weights_files(const wn__hf_weights *w) {
    return w->shards;
}

const wn__safetensors *wn__hf_weights_file(const wn__hf_weights *w, size_t i) {
    return &w->shard[i];
}

size_t wn__hf_weights_count(const wn__hf_weights *w) {
    return w->count;
}

void wn__hf_weights_at(const wn__hf_weights *w, size_t i, const char **name, wn_tensor *view,
                       const char **file) {
    const located *t = &w->tensor[i];
    if (name != NULL) *name = t->entry->name;
    if (view != NULL) *view = t->entry->view;
    if (file != NULL) *file = w->shard[t->shard].path;
}

bool wn__hf_weights_locate(const wn__hf_weights *w, const char *name, wn_tensor *view,
                           const char **file) {
    const wn__st_entry wanted = {.name = (char *)(uintptr_t)name};
    const located key = {.entry = &wanted};
    const located *found = bsearch(&key, w->tensor, w->count, sizeof *w->tensor, compare_located);
    *view = found != NULL ? found->entry->view : (wn_tensor){0};
    *file = found != NULL ? w->shard[found->shard].path : NULL;
    return found != NULL;
}

bool wn__hf_weights_find(const wn__hf_weights *w, const char *name, wn_tensor *view) {
    const char *file;
    return wn__hf_weights_locate(w, name, view, &file);
}

const char *wn__hf_weights_meta(const wn__hf_weights *w, const char *key) {
    const char *value = NULL;
    for (size_t i = 0; i < w->shards && value == NULL; i++)
        value = wn__safetensors_meta(&w->shard[i], key);
    return value;
}
