// SPDX-License-Identifier: MIT
// The data of a run: a tokenizer and two parts, one to train on and one held out. Text becomes
// shards in RUN/data; shards that were given are used where they are.
#include "base/fail.h"
#include "train/trainer.h"
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRAIN_SHARD "data/train.tokens"
#define HELD_SHARD  "data/eval.tokens"

void wn__part_close(wn__part *p) {
    wn__shard_close(&p->shard);
    free(p->file);
    *p = (wn__part){0};
}

// Opens path, with every id checked, as the range begin .. begin+count-1 (count 0: to its end).
static wn_status open_part(const char *path, const char *file, uint64_t begin, uint64_t count,
                           wn__part *p) {
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

static wn_status absolute(const char *path, char out[PATH_MAX]) {
    return realpath(path, out) != NULL ? WN_OK : wn__fail_errno("%s: cannot open", path);
}

// ids of the training part are checked before anything else is made from a corpus that is too
// short.
static wn_status check_length(const wn__trainer *t, const char *file) {
    uint64_t need = (uint64_t)t->o.seq_len + 1;
    if (t->train.ids.count >= need) return WN_OK;
    return wn__fail(
        WN_INVALID,
        "%s: %" PRIu64 " token%s to train on, seq_len %" PRId64 " needs at least %" PRIu64, file,
        t->train.ids.count, t->train.ids.count == 1 ? "" : "s", t->o.seq_len, need);
}

/* Tokenizer. */

// The file a tokenizer is taken from: the one given, or init_from's. "" when it is to be made.
static wn_status tokenizer_source(const wn__trainer *t, char out[WN_RUN_PATH]) {
    out[0] = '\0';
    if (t->o.tokenizer != NULL && t->o.tokenizer[0] != '\0') {
        if (strcmp(t->o.tokenizer, "bytes") == 0) return WN_OK;
        if (strlen(t->o.tokenizer) >= WN_RUN_PATH)
            return wn__fail(WN_INVALID, "tokenizer: path too long");
        memcpy(out, t->o.tokenizer, strlen(t->o.tokenizer) + 1);
        return WN_OK;
    }
    if (t->init_dir[0] == '\0') return WN_OK;
    WN_TRY(wn__path_join(out, WN_RUN_PATH, t->init_dir, "tokenizer.json"));
    if (wn__file_exists(out)) return WN_OK;
    out[0] = '\0';
    if (wn__shard_named(t->o.data)) return WN_OK;
    return wn__fail(WN_UNSUPPORTED,
                    "%s: no tokenizer.json; give the tokenizer its text is to be read with",
                    t->init_dir);
}

static wn_status copy_file(const char *from, const char *to) {
    char *bytes;
    size_t n;
    WN_TRY(wn__file_read(from, 0, &bytes, &n));
    wn_status status = wn__file_write(to, bytes, n);
    free(bytes);
    return status;
}

// tokenizer.json and, where there is one, the tokenizer_config.json beside it (which names the
// tokens that begin and end a text).
static wn_status adopt(const wn__trainer *t, const char *source) {
    char from[WN_RUN_PATH], to[WN_RUN_PATH];
    const char *slash = strrchr(source, '/');
    int dir = slash != NULL ? (int)(slash - source) + 1 : 0;
    WN_TRY(wn__run_path(t, "tokenizer.json", to));
    WN_TRY(copy_file(source, to));
    int n = snprintf(from, sizeof from, "%.*stokenizer_config.json", dir, source);
    if (n < 0 || (size_t)n >= sizeof from || !wn__file_exists(from)) return WN_OK;
    WN_TRY(wn__run_path(t, "tokenizer_config.json", to));
    return copy_file(from, to);
}

static bool wants_bytes(const wn__trainer *t) {
    return t->o.tokenizer != NULL && strcmp(t->o.tokenizer, "bytes") == 0;
}

static wn_status make_tokenizer(wn__trainer *t, const char *text, size_t size) {
    const wn_bpe_options o = {.vocab_size = t->o.vocab_size,
                              .pretokenizer = WN_PRETOKENIZER_LLAMA3};
    if (wants_bytes(t)) return wn_tokenizer_bytes(&t->tokenizer);
    return wn_tokenizer_train(text, size, &o, &t->tokenizer);
}

// Puts tokenizer.json into the run and opens it there, so that a run and its resumption read the
// same file. text NULL: none to learn from, and no tokenizer unless one was named. A dry run writes
// nothing and learns nothing.
static wn_status place_tokenizer(wn__trainer *t, const char *text, size_t size) {
    char source[WN_RUN_PATH], path[WN_RUN_PATH];
    WN_TRY(tokenizer_source(t, source));
    WN_TRY(wn__run_path(t, "tokenizer.json", path));
    bool named = source[0] != '\0', learned = !named && !wants_bytes(t);
    if (learned && (text == NULL || t->o.dry_run)) return WN_OK;
    if (t->o.dry_run && named) return wn_tokenizer_open(source, &t->tokenizer);
    if (named) {
        WN_TRY(adopt(t, source));
        return wn_tokenizer_open(path, &t->tokenizer);
    }
    WN_TRY(make_tokenizer(t, text, size));
    if (t->o.dry_run) return WN_OK;
    WN_TRY(wn_tokenizer_save(t->tokenizer, path));
    wn_tokenizer_free(t->tokenizer);
    t->tokenizer = NULL;
    return wn_tokenizer_open(path, &t->tokenizer);
}

/* Text. */

static wn_status encode(const wn__trainer *t, const char *text, uint64_t begin, uint64_t end,
                        const char *name, wn__part *p) {
    char path[WN_RUN_PATH];
    WN_TRY(wn__run_path(t, name, path));
    WN_TRY(wn_tokenize_file(t->tokenizer, text, begin, end, path, NULL));
    return open_part(path, name, 0, 0, p);
}

static uint64_t held_out(uint64_t n, double fraction) {
    return (uint64_t)floor((double)n * fraction);
}

// Where the training bytes end.
static wn_status split_text(const wn__trainer *t, const wn__map *text, uint64_t *end) {
    if (text->size == 0)
        return wn__fail(WN_INVALID,
                        "%s: empty; seq_len %" PRId64 " needs a text of at least %" PRId64
                        " tokens",
                        t->o.data, t->o.seq_len, t->o.seq_len + 1);
    *end = text->size;
    if (t->o.eval_data == NULL || t->o.eval_data[0] == '\0')
        *end = wn__text_boundary(text->data, text->size,
                                 text->size - held_out(text->size, t->o.eval_fraction));
    return WN_OK;
}

static wn_status prepare_held_text(wn__trainer *t, uint64_t begin, uint64_t size) {
    if (begin < size) return encode(t, t->o.data, begin, size, HELD_SHARD, &t->held);
    if (t->o.eval_fraction > 0)
        wn__say(t, "note: %s is too short to hold %g of it out: no evaluation", t->o.data,
                t->o.eval_fraction);
    return WN_OK;
}

static wn_status prepare_eval_file(wn__trainer *t) {
    char path[PATH_MAX];
    if (!wn__shard_named(t->o.eval_data))
        return encode(t, t->o.eval_data, 0, 0, HELD_SHARD, &t->held);
    WN_TRY(absolute(t->o.eval_data, path));
    return open_part(path, path, 0, 0, &t->held);
}

static wn_status prepare_text(wn__trainer *t) {
    char data[WN_RUN_PATH];
    wn__map text;
    uint64_t end = 0;
    WN_TRY(wn__map_open(t->o.data, &text));
    uint64_t size = text.size;
    wn_status status = split_text(t, &text, &end);
    if (status == WN_OK) status = place_tokenizer(t, (const char *)text.data, (size_t)end);
    wn__map_close(&text);
    WN_TRY(status);
    if (t->o.dry_run) return WN_OK;
    WN_TRY(wn__run_path(t, "data", data));
    WN_TRY(wn__dir_make(data));
    WN_TRY(encode(t, t->o.data, 0, end, TRAIN_SHARD, &t->train));
    WN_TRY(check_length(t, t->o.data));
    if (t->o.eval_data != NULL && t->o.eval_data[0] != '\0') return prepare_eval_file(t);
    return prepare_held_text(t, end, size);
}

/* Shards. */

static wn_status prepare_shard(wn__trainer *t) {
    char path[PATH_MAX], data[WN_RUN_PATH];
    bool apart = t->o.eval_data != NULL && t->o.eval_data[0] != '\0';
    WN_TRY(absolute(t->o.data, path));
    WN_TRY(open_part(path, path, 0, 0, &t->train));
    uint64_t all = t->train.count, held = apart ? 0 : held_out(all, t->o.eval_fraction);
    t->train.count = all - held;
    t->train.ids = wn__ids_part(&t->train.shard.ids, 0, t->train.count);
    WN_TRY(check_length(t, t->o.data));
    WN_TRY(place_tokenizer(t, NULL, 0));
    if (held > 0) return open_part(path, path, all - held, held, &t->held);
    if (!apart) return WN_OK;
    if (!wn__shard_named(t->o.eval_data)) {
        if (t->tokenizer == NULL)
            return wn__fail(WN_INVALID, "%s: text, and no tokenizer was given to read it with",
                            t->o.eval_data);
        if (t->o.dry_run) return WN_OK;
        WN_TRY(wn__run_path(t, "data", data));
        WN_TRY(wn__dir_make(data));
    }
    return prepare_eval_file(t);
}

/* Again. */

static wn_status reopen_part(const wn__trainer *t, const char *key, wn__part *p) {
    const wn__json *j = wn__json_get(wn__json_get(t->recorded, "data"), key);
    char path[WN_RUN_PATH], crc[16];
    const char *file, *want;
    int64_t begin, count;
    if (wn__json_typeof(j) != WN_JSON_OBJECT) return WN_OK;
    WN_TRY(wn__json_get_string(j, "run.json", "file", NULL, &file));
    WN_TRY(wn__json_get_string(j, "run.json", "crc32", NULL, &want));
    WN_TRY(wn__json_get_int(j, "run.json", "begin", NULL, &begin));
    WN_TRY(wn__json_get_int(j, "run.json", "count", NULL, &count));
    WN_TRY(wn__path_join(path, sizeof path, file[0] == '/' ? "/" : t->o.out,
                         file[0] == '/' ? file + 1 : file));
    WN_TRY(open_part(path, file, (uint64_t)begin, (uint64_t)count, p));
    (void)snprintf(crc, sizeof crc, "%08x", p->shard.info.crc32);
    if (strcmp(crc, want) == 0) return WN_OK;
    return wn__fail(WN_INVALID,
                    "%s: not the tokens this run was begun with: checksum %s, run.json says %s",
                    path, crc, want);
}

static wn_status reopen(wn__trainer *t) {
    char path[WN_RUN_PATH];
    const wn__json *data = wn__json_get(t->recorded, "data");
    WN_TRY(reopen_part(t, "train", &t->train));
    WN_TRY(reopen_part(t, "eval", &t->held));
    if (t->train.file == NULL)
        return wn__fail(WN_FORMAT, "%s/run.json: 'data': no training tokens", t->o.out);
    if (wn__json_typeof(wn__json_get(data, "tokenizer")) != WN_JSON_STRING) return WN_OK;
    WN_TRY(wn__run_path(t, "tokenizer.json", path));
    return wn_tokenizer_open(path, &t->tokenizer);
}

/* Both. */

static wn_status check_maker(const wn__trainer *t, const wn__part *p, uint64_t mine) {
    uint64_t theirs = p->shard.info.tokenizer;
    if (p->file == NULL || mine == 0 || theirs == 0 || mine == theirs) return WN_OK;
    return wn__fail(WN_INVALID,
                    "%s: made by tokenizer %016" PRIx64 ", the run's (%s) is %016" PRIx64,
                    p->shard.path, theirs, wn_tokenizer_kind(t->tokenizer), mine);
}

wn_status wn__prepare_data(wn__trainer *t) {
    if (!t->o.resume && (t->o.data == NULL || t->o.data[0] == '\0'))
        return wn__fail(WN_INVALID, "data: no text or .tokens file was given");
    WN_TRY(t->o.resume                  ? reopen(t)
           : wn__shard_named(t->o.data) ? prepare_shard(t)
                                        : prepare_text(t));
    if (t->tokenizer == NULL) return WN_OK;
    uint64_t mine = wn_tokenizer_fingerprint(t->tokenizer);
    WN_TRY(check_maker(t, &t->train, mine));
    WN_TRY(check_maker(t, &t->held, mine));
    return wn__id_bytes_create(t->tokenizer, &t->id_bytes);
}
