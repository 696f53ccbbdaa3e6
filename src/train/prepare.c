// SPDX-License-Identifier: MIT
// The data of a run: a tokenizer and two parts, one to train on and one held out. Text becomes
// shards in RUN/data; shards and documents that were given are used where they are.
#include "base/fail.h"
#include "train/trainer.h"
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#define TRAIN_SHARD "data/train.tokens"
#define HELD_SHARD  "data/eval.tokens"
/* What a tokenizer is learned from, of documents: the first so many bytes. */
#define LEARN_BYTES ((uint64_t)16 << 20)

static bool given(const char *text) {
    return text != NULL && text[0] != '\0';
}

static wn_status absolute(const char *path, char out[PATH_MAX]) {
    return realpath(path, out) != NULL ? WN_OK : wn__fail_errno("%s: cannot open", path);
}

// A shell pattern names no file of its own: only the working directory is put before it.
static wn_status absolute_pattern(const char *pattern, char out[PATH_MAX]) {
    char here[PATH_MAX];
    if (getcwd(here, sizeof here) == NULL)
        return wn__fail_errno("%s: no working directory", pattern);
    bool is = pattern[0] == '/';
    return wn__path_join(out, PATH_MAX, is ? "/" : here, is ? pattern + 1 : pattern);
}

static wn_status make_data_dir(const wn__trainer *t) {
    char data[WN_RUN_PATH];
    WN_TRY(wn__run_path(t, "data", data));
    return wn__dir_make(data);
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

/* Held out. */

static wn_status encode(const wn__trainer *t, const char *text, uint64_t begin, uint64_t end,
                        const char *name, wn__part *p) {
    char path[WN_RUN_PATH];
    WN_TRY(wn__run_path(t, name, path));
    WN_TRY(wn_tokenize_file(t->tokenizer, text, begin, end, path, NULL));
    return wn__part_tokens(p, path, name, 0, 0);
}

// eval_data, which is of any kind whatever data is.
static wn_status prepare_eval_data(wn__trainer *t) {
    char path[PATH_MAX];
    const char *file = t->o.eval_data;
    if (wn__shard_named(file)) {
        WN_TRY(absolute(file, path));
        return wn__part_tokens(&t->held, path, path, 0, 0);
    }
    if (t->o.dry_run) return WN_OK;
    if (t->tokenizer == NULL)
        return wn__fail(WN_INVALID, "%s: text, and no tokenizer was given to read it with", file);
    if (wn_documents_named(file)) {
        WN_TRY(absolute_pattern(file, path));
        return wn__part_documents(t, &t->held, path, false);
    }
    WN_TRY(make_data_dir(t));
    return encode(t, file, 0, 0, HELD_SHARD, &t->held);
}

static uint64_t held_out(uint64_t n, double fraction) {
    return (uint64_t)floor((double)n * fraction);
}

/* Text. */

// Where the training bytes end.
static wn_status split_text(const wn__trainer *t, const wn__map *text, uint64_t *end) {
    if (text->size == 0)
        return wn__fail(WN_INVALID,
                        "%s: empty; seq_len %" PRId64 " needs a text of at least %" PRId64
                        " tokens",
                        t->o.data, t->o.seq_len, t->o.seq_len + 1);
    *end = text->size;
    if (!given(t->o.eval_data))
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

static wn_status prepare_text(wn__trainer *t) {
    wn__tokenizer_plan plan;
    wn__map text;
    uint64_t end = 0;
    WN_TRY(wn__tokenizer_plan_make(t, &plan));
    WN_TRY(wn__map_open(t->o.data, &text));
    uint64_t size = text.size;
    wn_status status = split_text(t, &text, &end);
    if (status == WN_OK)
        status = wn__tokenizer_place(t, &plan, (const char *)text.data, (size_t)end);
    wn__map_close(&text);
    WN_TRY(status);
    if (t->o.dry_run) return WN_OK;
    WN_TRY(make_data_dir(t));
    WN_TRY(encode(t, t->o.data, 0, end, TRAIN_SHARD, &t->train));
    WN_TRY(check_length(t, t->o.data));
    return given(t->o.eval_data) ? prepare_eval_data(t) : prepare_held_text(t, end, size);
}

/* Shards. */

static wn_status prepare_shard(wn__trainer *t) {
    char path[PATH_MAX];
    wn__tokenizer_plan plan;
    bool apart = given(t->o.eval_data);
    WN_TRY(absolute(t->o.data, path));
    WN_TRY(wn__part_tokens(&t->train, path, path, 0, 0));
    uint64_t all = t->train.count, held = apart ? 0 : held_out(all, t->o.eval_fraction);
    t->train.count = all - held;
    t->train.ids = wn__ids_part(&t->train.shard.ids, 0, t->train.count);
    WN_TRY(check_length(t, t->o.data));
    WN_TRY(wn__tokenizer_plan_make(t, &plan));
    WN_TRY(wn__tokenizer_place(t, &plan, NULL, 0));
    if (held > 0) return wn__part_tokens(&t->held, path, path, all - held, held);
    return apart ? prepare_eval_data(t) : WN_OK;
}

/* Documents. */

static wn_status learn_from_documents(wn__trainer *t, const wn__tokenizer_plan *plan) {
    char *text;
    size_t size;
    WN_TRY(wn_documents_text(t->o.data, LEARN_BYTES, &text, &size));
    t->learned_bytes = size;
    wn_status status = wn__tokenizer_place(t, plan, text, size);
    free(text);
    return status;
}

static wn_status prepare_documents(wn__trainer *t) {
    char pattern[PATH_MAX];
    wn__tokenizer_plan plan;
    wn_documents_info info;
    wn_status found = wn_documents_inspect(t->o.data, false, &info);
    if (found != WN_OK && !t->o.dry_run) return found;
    if (found != WN_OK) wn__say(t, "note: a run would stop here: %s", wn_last_error());
    WN_TRY(wn__tokenizer_plan_make(t, &plan));
    if (plan.kind == WN_TOKENIZER_LEARNED && !t->o.dry_run) {
        WN_TRY(learn_from_documents(t, &plan));
    } else {
        WN_TRY(wn__tokenizer_place(t, &plan, NULL, 0));
    }
    if (t->o.dry_run) return given(t->o.eval_data) ? prepare_eval_data(t) : WN_OK;
    WN_TRY(absolute_pattern(t->o.data, pattern));
    WN_TRY(wn__part_documents(t, &t->train, pattern, t->o.shuffle));
    return given(t->o.eval_data) ? prepare_eval_data(t) : WN_OK;
}

/* A dry run may go without. */

static wn_status prepare_nothing(wn__trainer *t) {
    wn__tokenizer_plan plan;
    if (!t->o.dry_run)
        return wn__fail(WN_INVALID, "data: no text, .tokens file or documents were given");
    WN_TRY(wn__tokenizer_plan_make(t, &plan));
    return wn__tokenizer_place(t, &plan, NULL, 0);
}

/* Again. */

static wn_status reopen(wn__trainer *t) {
    char path[WN_RUN_PATH];
    const wn__json *data = wn__json_get(t->recorded, "data");
    if (wn__json_typeof(wn__json_get(data, "tokenizer")) == WN_JSON_STRING) {
        WN_TRY(wn__run_path(t, "tokenizer.json", path));
        WN_TRY(wn_tokenizer_open(path, &t->tokenizer));
    }
    WN_TRY(wn__part_reopen(t, "train", t->o.shuffle, &t->train));
    WN_TRY(wn__part_reopen(t, "eval", false, &t->held));
    if (t->train.file != NULL) return WN_OK;
    return wn__fail(WN_FORMAT, "%s/run.json: 'data': no training tokens", t->o.out);
}

/* All. */

static wn_status check_maker(const wn__trainer *t, const wn__part *p, uint64_t mine) {
    uint64_t theirs = p->documents ? 0 : p->shard.info.tokenizer;
    if (p->file == NULL || mine == 0 || theirs == 0 || mine == theirs) return WN_OK;
    return wn__fail(WN_INVALID,
                    "%s: made by tokenizer %016" PRIx64 ", the run's (%s) is %016" PRIx64,
                    p->shard.path, theirs, wn_tokenizer_kind(t->tokenizer), mine);
}

static wn_status prepare(wn__trainer *t) {
    if (t->o.resume) return reopen(t);
    if (!given(t->o.data)) return prepare_nothing(t);
    if (wn__shard_named(t->o.data)) return prepare_shard(t);
    return wn_documents_named(t->o.data) ? prepare_documents(t) : prepare_text(t);
}

wn_status wn__prepare_data(wn__trainer *t) {
    WN_TRY(prepare(t));
    if (t->train.file != NULL && !t->train.documents)
        WN_TRY(wn__source_windows(&t->train.ids, t->o.seq_len, t->o.shuffle, t->o.seed,
                                  &t->train.source));
    if (t->tokenizer == NULL) return WN_OK;
    uint64_t mine = wn_tokenizer_fingerprint(t->tokenizer);
    WN_TRY(check_maker(t, &t->train, mine));
    WN_TRY(check_maker(t, &t->held, mine));
    return wn__id_bytes_create(t->tokenizer, &t->id_bytes);
}
