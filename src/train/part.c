// SPDX-License-Identifier: MIT
// What is trained on and what is held out: a span of a token shard, or documents. Opened the first
// time, written to run.json, and opened again as it was.
#include "base/fail.h"
#include "train/trainer.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void wn__part_close(wn__part *p) {
    wn__source_free(p->source);
    wn__shard_close(&p->shard);
    free(p->file);
    *p = (wn__part){0};
}

wn_status wn__part_tokens(wn__part *p, const char *path, const char *file, uint64_t begin,
                          uint64_t count) {
    WN_TRY(wn__shard_open(path, true, &p->shard));
    uint64_t have = p->shard.info.count;
    if (begin > have || count > have - begin)
        return wn__fail(WN_FORMAT, "%s: %" PRIu64 " ids, the run needs %" PRIu64 " from %" PRIu64,
                        path, have, count, begin);
    p->begin = begin;
    p->count = count > 0 ? count : have - begin;
    p->ids = wn__ids_part(&p->shard.ids, p->begin, p->count);
    p->file = strdup(file);
    return p->file != NULL ? WN_OK : wn__fail(WN_NOMEM, "%s: out of memory", path);
}

wn_status wn__part_documents(const wn__trainer *t, wn__part *p, const char *pattern, bool shuffle) {
    p->documents = true;
    p->file = strdup(pattern);
    if (p->file == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", pattern);
    const wn__documents_options o = {.pattern = p->file,
                                     .tokenizer = t->tokenizer,
                                     .seq_len = t->o.seq_len,
                                     .pad = wn__source_padding(t->tokenizer),
                                     .append_eos = wn_tokenizer_eos(t->tokenizer) >= 0,
                                     .pack = t->o.pack,
                                     .shuffle = shuffle,
                                     .seed = t->o.seed};
    return wn__source_documents(&o, &p->source);
}

static wn_status set_tokens(wn__json *j, const wn__part *p) {
    char crc[16];
    (void)snprintf(crc, sizeof crc, "%08x", p->shard.info.crc32);
    WN_TRY(wn__json_set(j, "file", wn__json_new_string(p->file)));
    WN_TRY(wn__json_set(j, "begin", wn__json_new_int((int64_t)p->begin)));
    WN_TRY(wn__json_set(j, "count", wn__json_new_int((int64_t)p->count)));
    return wn__json_set(j, "crc32", wn__json_new_string(crc));
}

#define HEX 24
static void hex(uint64_t value, char out[HEX]) {
    (void)snprintf(out, HEX, "%016" PRIx64, value);
}

// The file that could not be read, and what the others are known by while it is being mended.
static wn_status set_damaged(wn__json *j, const wn__part *p) {
    char fingerprint[HEX];
    hex(wn__source_fingerprint_but(p->source, p->damaged_file), fingerprint);
    wn__json *damaged = wn__json_new_object();
    wn_status status = wn__json_set(damaged, "file", wn__json_new_int((int64_t)p->damaged_file));
    if (status == WN_OK)
        status = wn__json_set(damaged, "fingerprint", wn__json_new_string(fingerprint));
    if (status == WN_OK) return wn__json_set(j, "damaged", damaged);
    wn__json_free(damaged);
    return status;
}

static wn_status set_documents(wn__json *j, const wn__part *p) {
    char fingerprint[HEX];
    hex(wn__source_fingerprint(p->source), fingerprint);
    WN_TRY(wn__json_set(j, "documents", wn__json_new_string(p->file)));
    WN_TRY(wn__json_set(j, "fingerprint", wn__json_new_string(fingerprint)));
    return p->damaged ? set_damaged(j, p) : WN_OK;
}

wn_status wn__part_record(const wn__part *p, wn__json *data, const char *key) {
    if (p->file == NULL) return wn__json_set(data, key, wn__json_new_null());
    wn__json *j = wn__json_new_object();
    wn_status status = p->documents ? set_documents(j, p) : set_tokens(j, p);
    if (status == WN_OK) return wn__json_set(data, key, j);
    wn__json_free(j);
    return status;
}

/* Again. */

static wn_status reopen_tokens(const wn__trainer *t, const wn__json *j, wn__part *p) {
    char path[WN_RUN_PATH], crc[16];
    const char *file, *want;
    int64_t begin, count;
    WN_TRY(wn__json_get_string(j, "run.json", "file", NULL, &file));
    WN_TRY(wn__json_get_string(j, "run.json", "crc32", NULL, &want));
    WN_TRY(wn__json_get_int(j, "run.json", "begin", NULL, &begin));
    WN_TRY(wn__json_get_int(j, "run.json", "count", NULL, &count));
    WN_TRY(wn__path_join(path, sizeof path, file[0] == '/' ? "/" : t->o.out,
                         file[0] == '/' ? file + 1 : file));
    WN_TRY(wn__part_tokens(p, path, file, (uint64_t)begin, (uint64_t)count));
    (void)snprintf(crc, sizeof crc, "%08x", p->shard.info.crc32);
    if (strcmp(crc, want) == 0) return WN_OK;
    return wn__fail(WN_INVALID,
                    "%s: not the tokens this run was begun with: checksum %s, run.json says %s",
                    path, crc, want);
}

// Whether the files are those of before but for the size of the one that was damaged.
static bool mended(const wn__json *damaged, const wn__part *p) {
    char mine[HEX];
    const char *want = wn__json_string(wn__json_get(damaged, "fingerprint"), NULL);
    int64_t file = wn__json_int(wn__json_get(damaged, "file"));
    hex(wn__source_fingerprint_but(p->source, (uint64_t)file), mine);
    return want != NULL && strcmp(mine, want) == 0;
}

static wn_status reopen_documents(wn__trainer *t, const wn__json *j, bool shuffle, wn__part *p) {
    char mine[HEX];
    const wn__json *damaged = wn__json_get(j, "damaged");
    const char *pattern, *want;
    WN_TRY(wn__json_get_string(j, "run.json", "documents", NULL, &pattern));
    WN_TRY(wn__json_get_string(j, "run.json", "fingerprint", NULL, &want));
    WN_TRY(wn__part_documents(t, p, pattern, shuffle));
    hex(wn__source_fingerprint(p->source), mine);
    if (strcmp(mine, want) == 0) return WN_OK;
    if (damaged != NULL && mended(damaged, p)) {
        wn__say(t, "note: %s: file %" PRId64 ", which was damaged, has another size now", pattern,
                wn__json_int(wn__json_get(damaged, "file")) + 1);
        return WN_OK;
    }
    return wn__fail(WN_INVALID,
                    "%s: not the files this run was begun with: their names or sizes have "
                    "fingerprint %s, run.json says %s",
                    pattern, mine, want);
}

wn_status wn__part_reopen(wn__trainer *t, const char *key, bool shuffle, wn__part *p) {
    const wn__json *j = wn__json_get(wn__json_get(t->recorded, "data"), key);
    if (wn__json_typeof(j) != WN_JSON_OBJECT) return WN_OK;
    if (wn__json_get(j, "documents") != NULL) return reopen_documents(t, j, shuffle, p);
    return reopen_tokens(t, j, p);
}
