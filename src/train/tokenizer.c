// SPDX-License-Identifier: MIT
// The tokenizer of a run: the one given, that of the model it begins from, plain bytes, or one
// learned from the data. It is put into the run directory and opened there, so that a run and its
// resumption read the same file.
#include "base/fail.h"
#include "data/shard.h"
#include "train/trainer.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static wn_status copy_file(const char *from, const char *to) {
    char *bytes;
    size_t n;
    WN_TRY(wn__file_read(from, 0, &bytes, &n));
    wn_status status = wn__file_write(to, bytes, n);
    free(bytes);
    return status;
}

// The file it is taken from: the one given, or init_from's. "" when it is to be made.
static wn_status find_source(const wn__trainer *t, char out[WN_RUN_PATH]) {
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
    if (t->o.data == NULL || wn__shard_named(t->o.data)) return WN_OK;
    return wn__fail(WN_UNSUPPORTED,
                    "%s: no tokenizer.json; give the tokenizer its text is to be read with",
                    t->init_dir);
}

wn_status wn__tokenizer_plan_make(const wn__trainer *t, wn__tokenizer_plan *out) {
    WN_TRY(find_source(t, out->source));
    bool bytes = t->o.tokenizer != NULL && strcmp(t->o.tokenizer, "bytes") == 0;
    out->kind = out->source[0] != '\0' ? WN_TOKENIZER_NAMED
                : bytes                ? WN_TOKENIZER_BYTES
                                       : WN_TOKENIZER_LEARNED;
    return WN_OK;
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

// As large as asked for or, with a named configuration, as its vocabulary.
static wn_status learn(wn__trainer *t, const char *text, size_t size) {
    if (wn__has_config(&t->o) && !wn__options_given(&t->o, "vocab_size")) {
        wn__model_config c;
        WN_TRY(wn__named_config(t->o.model_config, &c));
        t->o.vocab_size = (int32_t)c.vocab_size;
    }
    const wn_bpe_options o = {.vocab_size = t->o.vocab_size,
                              .pretokenizer = WN_PRETOKENIZER_LLAMA3};
    return wn_tokenizer_train(text, size, &o, &t->tokenizer);
}

static wn_status make(wn__trainer *t, const wn__tokenizer_plan *plan, const char *text,
                      size_t size) {
    return plan->kind == WN_TOKENIZER_BYTES ? wn_tokenizer_bytes(&t->tokenizer)
                                            : learn(t, text, size);
}

// Weights were trained on the ids of their own tokenizer; those of another mean other texts.
static void compare_with_start(wn__trainer *t) {
    char path[WN_RUN_PATH];
    wn_tokenizer *own = NULL;
    if (t->tokenizer == NULL || t->init_dir[0] == '\0') return;
    if (wn__path_join(path, sizeof path, t->init_dir, "tokenizer.json") != WN_OK ||
        !wn__file_exists(path) || wn_tokenizer_open(path, &own) != WN_OK)
        return;
    if (wn_tokenizer_fingerprint(own) != wn_tokenizer_fingerprint(t->tokenizer))
        wn__say(t,
                "note: the tokenizer is not that of %s: its ids stand for other texts than the "
                "weights were trained on",
                t->init_dir);
    wn_tokenizer_free(own);
}

static wn_status place(wn__trainer *t, const wn__tokenizer_plan *plan, const char *text,
                       size_t size) {
    char path[WN_RUN_PATH];
    bool named = plan->kind == WN_TOKENIZER_NAMED;
    if (plan->kind == WN_TOKENIZER_LEARNED && (text == NULL || t->o.dry_run)) return WN_OK;
    if (t->o.dry_run)
        return named ? wn_tokenizer_open(plan->source, &t->tokenizer) : make(t, plan, text, size);
    WN_TRY(wn__run_path(t, "tokenizer.json", path));
    if (named) {
        WN_TRY(adopt(t, plan->source));
        return wn_tokenizer_open(path, &t->tokenizer);
    }
    WN_TRY(make(t, plan, text, size));
    WN_TRY(wn_tokenizer_save(t->tokenizer, path));
    wn_tokenizer_free(t->tokenizer);
    t->tokenizer = NULL;
    return wn_tokenizer_open(path, &t->tokenizer);
}

wn_status wn__tokenizer_place(wn__trainer *t, const wn__tokenizer_plan *plan, const char *text,
                              size_t size) {
    WN_TRY(place(t, plan, text, size));
    compare_with_start(t);
    return WN_OK;
}
