// SPDX-License-Identifier: MIT
// Writing the tensors of a checkpoint directory: one safetensors file, or shards and their index.
#include "base/fail.h"
#include "base/file.h"
#include "formats/hf_config.h"
#include "formats/hf_json.h"
#include "formats/safetensors.h"
#include "formats/st_header.h"
#include "tensor/tensor.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SINGLE_NAME "model.safetensors"
#define INDEX_NAME  "model.safetensors.index.json"
#define PATH_SIZE   4096
#define NAME_SIZE   64
#define SHARD_LIMIT ((size_t)99999) // five digits

static uint64_t item_bytes(const wn__st_item *item) {
    return (uint64_t)wn__tensor_count(&item->view) * wn_dtype_size(wn__st_item_dtype(item));
}

// How many items from the first on go into one shard: at least one, then as many as fit.
static size_t shard_items(const wn__st_item *items, size_t count, uint64_t shard_bytes) {
    uint64_t used = 0;
    size_t n = 0;
    for (; n < count; n++) {
        uint64_t bytes = item_bytes(&items[n]);
        if (n > 0 && (used > shard_bytes || bytes > shard_bytes - used)) break;
        used += bytes;
    }
    return n;
}

static size_t count_shards(const wn__st_item *items, size_t count, uint64_t shard_bytes) {
    size_t shards = 0;
    for (size_t i = 0; i < count; shards++)
        i += shard_items(items + i, count - i, shard_bytes);
    return shards;
}

// Removes dir/name; a missing file is fine.
static wn_status remove_stale(const char *dir, const char *name) {
    char path[PATH_SIZE];
    WN_TRY(wn__path_join(path, sizeof path, dir, name));
    if (unlink(path) == 0 || errno == ENOENT) return WN_OK;
    return wn__fail_errno("%s: cannot remove the older file", path);
}

static wn_status write_single(const char *dir, const wn__st_item *items, size_t count) {
    char path[PATH_SIZE];
    WN_TRY(wn__path_join(path, sizeof path, dir, SINGLE_NAME));
    WN_TRY(wn__safetensors_write(path, items, count, NULL, 0, NULL, NULL));
    return remove_stale(dir, INDEX_NAME);
}

// Writes shard number `shard` of `shards` and its lines of the map.
static wn_status write_shard(const char *dir, const wn__st_item *items, size_t count, size_t shard,
                             size_t shards, wn__json *map) {
    char name[NAME_SIZE], path[PATH_SIZE];
    (void)snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", shard, shards);
    WN_TRY(wn__path_join(path, sizeof path, dir, name));
    WN_TRY(wn__safetensors_write(path, items, count, NULL, 0, NULL, NULL));
    for (size_t i = 0; i < count; i++)
        WN_TRY(wn__json_set(map, items[i].name, wn__json_new_string(name)));
    return WN_OK;
}

static wn_status put_totals(wn__json *root, const wn__st_item *items, size_t count) {
    uint64_t bytes = 0, elements = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += item_bytes(&items[i]);
        elements += (uint64_t)wn__tensor_count(&items[i].view);
    }
    wn__json *metadata = wn__json_new_object();
    WN_TRY(wn__json_set(root, "metadata", metadata));
    WN_TRY(wn__json_set(metadata, "total_parameters", wn__json_new_int((int64_t)elements)));
    return wn__json_set(metadata, "total_size", wn__json_new_int((int64_t)bytes));
}

static wn_status write_sharded(const char *dir, const wn__st_item *items, size_t count,
                               uint64_t shard_bytes, size_t shards) {
    wn_status status;
    wn__json *root = wn__json_new_object(), *map = wn__json_new_object();
    WN_TRY_OUT(put_totals(root, items, count));
    WN_TRY_OUT(wn__json_set(root, "weight_map", wn__json_ref(map)));
    for (size_t i = 0, shard = 1; i < count; shard++) {
        size_t n = shard_items(items + i, count - i, shard_bytes);
        WN_TRY_OUT(write_shard(dir, items + i, n, shard, shards, map));
        i += n;
    }
    WN_TRY_OUT(wn__hf_json_write(dir, INDEX_NAME, root));
    WN_TRY_OUT(remove_stale(dir, SINGLE_NAME));
out:
    wn__json_free(map);
    wn__json_free(root);
    return status;
}

wn_status wn__hf_weights_write(const char *dir, const wn__st_item *items, size_t count,
                               uint64_t shard_bytes) {
    size_t *order;
    wn_status status = wn__st_items_check(items, count, &order);
    if (status != WN_OK) return wn__fail_in(status, "%s", dir);
    free(order);
    size_t shards = shard_bytes > 0 ? count_shards(items, count, shard_bytes) : 1;
    if (shards <= 1) return write_single(dir, items, count);
    if (shards > SHARD_LIMIT)
        return wn__fail(WN_INVALID, "%s: %llu bytes a shard make %zu shards, at most %zu", dir,
                        (unsigned long long)shard_bytes, shards, SHARD_LIMIT);
    return write_sharded(dir, items, count, shard_bytes, shards);
}
