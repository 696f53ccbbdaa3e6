// SPDX-License-Identifier: MIT
// The vocabulary: texts as the file spells them, ids, and the bytes that ids stand for.
#include "text/impl.h"

#include "base/fail.h"
#include "text/alphabet.h"
#include <stdlib.h>
#include <string.h>

static int shown(size_t n) {
    return (int)(n < 60 ? n : 60);
}

static wn_status reserve_ids(wn__vocab *v, size_t count) {
    if (count <= v->count) return WN_OK;
    void *token = v->token;
    wn_status status = wn__grow(&token, &v->capacity, count, sizeof *v->token);
    v->token = token;
    if (status != WN_OK) return status;
    memset(v->token + v->count, 0, (count - v->count) * sizeof *v->token);
    v->count = count;
    return WN_OK;
}

static wn_status check_id(const wn__vocab *v, const char *file, const char *text, size_t n,
                          int64_t id) {
    if (id < 0 || id >= WN_MAX_IDS)
        return wn__fail(WN_FORMAT, "%s: id %lld of token '%.*s' is outside 0..%lld", file,
                        (long long)id, shown(n), text, (long long)WN_MAX_IDS - 1);
    int32_t known = wn__vocab_find(v, text, n);
    if (known >= 0 && known != id)
        return wn__fail(WN_FORMAT, "%s: token '%.*s' has two ids, %d and %lld", file, shown(n),
                        text, known, (long long)id);
    if (known < 0 && (size_t)id < v->count && v->token[id].flags) {
        size_t size;
        const char *other = wn__intern_string(&v->names, v->token[id].name, &size);
        return wn__fail(WN_FORMAT, "%s: id %lld belongs to '%.*s' and to '%.*s'", file,
                        (long long)id, shown(size), other, shown(n), text);
    }
    return WN_OK;
}

wn_status wn__vocab_add(wn__vocab *v, const char *file, const char *text, size_t n, int64_t id,
                        uint32_t flags) {
    WN_TRY(check_id(v, file, text, n, id));
    WN_TRY(reserve_ids(v, (size_t)id + 1));
    size_t name;
    WN_TRY(wn__intern_add(&v->names, text, n, &name, NULL));
    v->names.entry[name].value = id;
    wn__token *t = &v->token[id];
    t->name = (uint32_t)name;
    t->flags |= flags | WN_TOKEN_PRESENT;
    return WN_OK;
}

wn_status wn__vocab_repeat(wn__vocab *v, const char *text, size_t n, int64_t id) {
    size_t name = wn__intern_find(&v->names, text, n);
    WN_TRY(reserve_ids(v, (size_t)id + 1));
    v->token[id] = (wn__token){.name = (uint32_t)name, .flags = WN_TOKEN_PRESENT};
    v->names.entry[name].value = id;
    return WN_OK;
}

const char *wn__vocab_text(const wn__vocab *v, const wn__token *token, size_t *n) {
    return token->shown != 0 ? wn__intern_string(&v->shown, token->shown - 1, n)
                             : wn__intern_string(&v->names, token->name, n);
}

static wn_status put_bytes(wn__vocab *v, const wn__decoder *decoder, wn__matcher **matcher,
                           const wn__token *t) {
    size_t n;
    const char *text = wn__vocab_text(v, t, &n);
    if (!decoder->byte_level) return wn__decoder_piece(decoder, matcher, text, n, &v->bytes);
    bool ok = false;
    text = wn__intern_string(&v->names, t->name, &n);
    if (!(t->flags & WN_TOKEN_ADDED)) WN_TRY(wn__byte_unspell(text, n, &v->bytes, &ok));
    return ok ? WN_OK : wn__bytes_append(&v->bytes, text, n);
}

wn_status wn__vocab_spell(wn__vocab *v, const wn__decoder *decoder) {
    wn__matcher *matcher = NULL;
    wn_status status = WN_OK;
    v->bytes.size = 0;
    for (size_t id = 0; id < v->count; id++) {
        wn__token *t = &v->token[id];
        size_t offset = v->bytes.size;
        if (!t->flags) continue;
        WN_TRY_OUT(put_bytes(v, decoder, &matcher, t));
        if (v->bytes.size > UINT32_MAX) {
            status = wn__fail(WN_UNSUPPORTED, "tokenizer: more than 4 GiB of tokens");
            goto out;
        }
        t->offset = (uint32_t)offset;
        t->size = (uint32_t)(v->bytes.size - offset);
    }
out:
    wn__matcher_free(matcher);
    return status;
}

int32_t wn__vocab_find(const wn__vocab *v, const char *text, size_t n) {
    size_t name = wn__intern_find(&v->names, text, n);
    return name == WN_INTERN_NONE ? -1 : (int32_t)v->names.entry[name].value;
}

void wn__vocab_free(wn__vocab *v) {
    wn__intern_free(&v->names);
    wn__intern_free(&v->shown);
    wn__bytes_free(&v->bytes);
    free(v->token);
    *v = (wn__vocab){0};
}
