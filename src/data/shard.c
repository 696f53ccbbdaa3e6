// SPDX-License-Identifier: MIT
// Token shards on disk: a 64-byte header (winnow/data.h), then ids of 2 or 4 bytes, little-endian.
#include "data/shard.h"

#include "base/fail.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char magic[8] = {'W', 'N', 'T', 'O', 'K', 'E', 'N', 'S'};
#define VERSION   1
#define U16_VOCAB 65536
#define BLOCK     4096 // ids encoded or checked at a time

static uint64_t get(const uint8_t *p, int bytes) {
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static void put(uint8_t *p, int bytes, uint64_t v) {
    for (int i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

bool wn__shard_named(const char *path) {
    size_t n = strlen(path);
    return n >= 7 && strcmp(path + n - 7, ".tokens") == 0;
}

// The fields, each against what is legal for it alone.
static wn_status check_fields(const char *path, const uint8_t *h) {
    if (memcmp(h, magic, sizeof magic) != 0)
        return wn__fail(WN_FORMAT, "%s: not a token shard: does not begin with WNTOKENS", path);
    uint64_t version = get(h + 8, 4), id_bytes = get(h + 12, 4), vocab = get(h + 24, 4);
    if (version != VERSION)
        return wn__fail(WN_FORMAT, "%s: shard version %" PRIu64 ", this build reads %d", path,
                        version, VERSION);
    if (id_bytes != 2 && id_bytes != 4)
        return wn__fail(WN_FORMAT, "%s: %" PRIu64 " bytes an id, expected 2 or 4", path, id_bytes);
    uint64_t most = id_bytes == 2 ? U16_VOCAB : (uint64_t)INT32_MAX;
    if (vocab < 1 || vocab > most)
        return wn__fail(WN_FORMAT,
                        "%s: vocabulary of %" PRIu64 ", expected 1 to %" PRIu64 " with %" PRIu64
                        " bytes an id",
                        path, vocab, most, id_bytes);
    for (int i = 48; i < WN_SHARD_HEADER; i++)
        if (h[i] != 0)
            return wn__fail(WN_FORMAT, "%s: header byte %d is %d, expected 0", path, i, h[i]);
    return WN_OK;
}

static wn_status read_header(const char *path, const wn__map *map, wn_shard_info *out) {
    if (map->size < WN_SHARD_HEADER)
        return wn__fail(WN_FORMAT, "%s: %zu bytes, a token shard has at least %d", path, map->size,
                        WN_SHARD_HEADER);
    const uint8_t *h = map->data;
    WN_TRY(check_fields(path, h));
    wn_shard_info info = {
        .id_bytes = (int)get(h + 12, 4),
        .count = get(h + 16, 8),
        .vocab_size = (uint32_t)get(h + 24, 4),
        .crc32 = (uint32_t)get(h + 28, 4),
        .text_bytes = get(h + 32, 8),
        .tokenizer = get(h + 40, 8),
    };
    uint64_t body = map->size - WN_SHARD_HEADER, width = (uint64_t)info.id_bytes;
    if (info.count > body / width || info.count * width != body)
        return wn__fail(WN_FORMAT,
                        "%s: the header says %" PRIu64 " ids of %d bytes, the file holds %" PRIu64
                        " bytes of ids",
                        path, info.count, info.id_bytes, body);
    *out = info;
    return WN_OK;
}

static wn_status verify_ids(const char *path, const wn_shard_info *info, const wn__ids *ids) {
    int32_t id[BLOCK];
    uint32_t crc = wn__crc32(0, ids->bytes, (size_t)(ids->count * (uint64_t)ids->id_bytes));
    if (crc != info->crc32)
        return wn__fail(WN_FORMAT, "%s: the ids' checksum is %08x, the header says %08x", path, crc,
                        info->crc32);
    for (uint64_t at = 0; at < ids->count; at += BLOCK) {
        size_t n = ids->count - at < BLOCK ? (size_t)(ids->count - at) : BLOCK;
        wn__ids_copy(ids, at, n, id);
        for (size_t i = 0; i < n; i++)
            if ((uint32_t)id[i] >= info->vocab_size)
                return wn__fail(WN_FORMAT,
                                "%s: id %" PRIu32 " at position %" PRIu64
                                ", the vocabulary has %" PRIu32,
                                path, (uint32_t)id[i], at + i, info->vocab_size);
    }
    return WN_OK;
}

wn_status wn__shard_open(const char *path, bool verify, wn__shard *out) {
    *out = (wn__shard){0};
    wn__shard s = {.path = strdup(path)};
    wn_status status = WN_OK;
    if (s.path == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", path);
    WN_TRY_OUT(wn__map_open(path, &s.map));
    WN_TRY_OUT(read_header(path, &s.map, &s.info));
    s.ids = (wn__ids){.bytes = s.map.data + WN_SHARD_HEADER,
                      .id_bytes = s.info.id_bytes,
                      .count = s.info.count,
                      .name = s.path};
    if (verify) WN_TRY_OUT(verify_ids(path, &s.info, &s.ids));
    *out = s;
    s = (wn__shard){0};
out:
    wn__shard_close(&s);
    return status;
}

void wn__shard_close(wn__shard *s) {
    wn__map_close(&s->map);
    free(s->path);
    *s = (wn__shard){0};
}

wn_status wn_shard_inspect(const char *path, bool verify, wn_shard_info *out) {
    *out = (wn_shard_info){0};
    wn__shard s;
    WN_TRY(wn__shard_open(path, verify, &s));
    *out = s.info;
    wn__shard_close(&s);
    return WN_OK;
}

wn_status wn_shard_read(const char *path, wn_tokens *out) {
    *out = (wn_tokens){0};
    wn__shard s;
    WN_TRY(wn__shard_open(path, true, &s));
    wn_status status = WN_OK;
    size_t n = (size_t)s.info.count;
    int32_t *id = n <= SIZE_MAX / sizeof *id ? malloc((n > 0 ? n : 1) * sizeof *id) : NULL;
    if (id == NULL) {
        status = wn__fail(WN_NOMEM, "%s: no memory for its %zu ids", path, n);
    } else {
        wn__ids_copy(&s.ids, 0, n, id);
        *out = (wn_tokens){.id = id, .count = n};
    }
    wn__shard_close(&s);
    return status;
}

// Ids at..at+n as they stand in the file.
static size_t encode(const int32_t *ids, size_t n, int id_bytes, uint8_t *out) {
    for (size_t i = 0; i < n; i++)
        put(out + i * (size_t)id_bytes, id_bytes, (uint32_t)ids[i]);
    return n * (size_t)id_bytes;
}

// The checksum stands before the ids, so they are encoded twice: once for it, once to be written.
static uint32_t checksum(const int32_t *ids, size_t count, int id_bytes) {
    uint8_t bytes[BLOCK * 4];
    uint32_t crc = 0;
    for (size_t at = 0; at < count; at += BLOCK) {
        size_t n = count - at < BLOCK ? count - at : BLOCK;
        crc = wn__crc32(crc, bytes, encode(ids + at, n, id_bytes, bytes));
    }
    return crc;
}

static wn_status write_body(wn__writer *w, const int32_t *ids, size_t count, int id_bytes) {
    uint8_t bytes[BLOCK * 4];
    for (size_t at = 0; at < count; at += BLOCK) {
        size_t n = count - at < BLOCK ? count - at : BLOCK;
        WN_TRY(wn__writer_write(w, bytes, encode(ids + at, n, id_bytes, bytes)));
    }
    return WN_OK;
}

wn_status wn_shard_write(const char *path, const int32_t *ids, size_t count, uint32_t vocab_size,
                         uint64_t text_bytes, uint64_t tokenizer) {
    if (vocab_size < 1 || vocab_size > INT32_MAX)
        return wn__fail(WN_INVALID, "%s: vocabulary of %" PRIu32 ", expected 1 to %d", path,
                        vocab_size, INT32_MAX);
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= vocab_size)
            return wn__fail(WN_INVALID,
                            "%s: id %" PRId32 " at position %zu, expected 0 to %" PRIu32, path,
                            ids[i], i, vocab_size - 1);
    int id_bytes = vocab_size <= U16_VOCAB ? 2 : 4;
    uint8_t h[WN_SHARD_HEADER] = {0};
    memcpy(h, magic, sizeof magic);
    put(h + 8, 4, VERSION);
    put(h + 12, 4, (uint64_t)id_bytes);
    put(h + 16, 8, count);
    put(h + 24, 4, vocab_size);
    put(h + 28, 4, checksum(ids, count, id_bytes));
    put(h + 32, 8, text_bytes);
    put(h + 40, 8, tokenizer);
    wn__writer *w;
    WN_TRY(wn__writer_open(path, &w));
    wn_status status = wn__writer_write(w, h, sizeof h);
    if (status == WN_OK) status = write_body(w, ids, count, id_bytes);
    if (status == WN_OK) return wn__writer_commit(w);
    wn__writer_abort(w);
    return status;
}
