// SPDX-License-Identifier: MIT
// tokenizer.json's members decoder and post_processor.
#include "base/fail.h"
#include "text/impl.h"
#include <string.h>

#define MEMBER "decoder"

static wn_status read_strip(const char *file, const wn__json *j, wn__decode *out) {
    int64_t start, stop;
    WN_TRY(wn__read_char(file, MEMBER, j, "content", out->strip, &out->strip_size));
    WN_TRY(wn__json_get_int(j, file, "start", NULL, &start));
    WN_TRY(wn__json_get_int(j, file, "stop", NULL, &stop));
    if (start < 0 || stop < 0)
        return wn__fail(WN_FORMAT,
                        "%s: " MEMBER ": Strip: 'start' %lld and 'stop' %lld, at least 0", file,
                        (long long)start, (long long)stop);
    out->start = (size_t)start;
    out->stop = (size_t)stop;
    return WN_OK;
}

static wn_status read_step(wn_tokenizer *t, const char *file, const char *type, const wn__json *j) {
    static const char *const names[] = {[WN_DECODE_METASPACE] = "Metaspace",
                                        [WN_DECODE_REPLACE] = "Replace",
                                        [WN_DECODE_BYTE_FALLBACK] = "ByteFallback",
                                        [WN_DECODE_FUSE] = "Fuse",
                                        [WN_DECODE_STRIP] = "Strip"};
    size_t kind = 0, count = sizeof names / sizeof names[0];
    while (kind < count && strcmp(type, names[kind]) != 0)
        kind++;
    if (kind == count)
        return wn__read_refuse(file, MEMBER, type,
                               "ByteLevel alone, Metaspace, Replace, ByteFallback, Fuse, Strip, "
                               "Sequence and null");
    wn__decoder *d = &t->decoder;
    if (d->steps == WN_MAX_DECODES)
        return wn__fail(WN_UNSUPPORTED, "%s: " MEMBER ": more than %d steps", file, WN_MAX_DECODES);
    wn__decode *step = &d->step[d->steps++];
    step->kind = (wn__decode_kind)kind;
    if (step->kind == WN_DECODE_METASPACE) return wn__read_metaspace(file, MEMBER, j, &step->meta);
    if (step->kind == WN_DECODE_REPLACE) return wn__read_replace(file, MEMBER, j, &step->replace);
    return step->kind == WN_DECODE_STRIP ? read_strip(file, j, step) : WN_OK;
}

// alone: not one of several.
static wn_status read_decoder(wn_tokenizer *t, const char *file, const wn__json *j, bool alone) {
    const char *type;
    WN_TRY(wn__read_type(file, MEMBER, j, &type));
    if (alone && strcmp(type, "ByteLevel") == 0) {
        t->decoder.byte_level = true;
        return WN_OK;
    }
    if (strcmp(type, "Sequence") != 0) return read_step(t, file, type, j);
    const wn__json *list;
    WN_TRY(wn__read_list(file, MEMBER, j, "decoders", &list));
    size_t count = wn__json_count(list);
    for (size_t i = 0; i < count; i++)
        WN_TRY(read_decoder(t, file, wn__json_at(list, i), alone && count == 1));
    return WN_OK;
}

wn_status wn__read_decoder(wn_tokenizer *t, const char *file, const wn__json *j) {
    t->decoder.spaced = wn__read_is_null(j);
    return t->decoder.spaced ? WN_OK : read_decoder(t, file, j, true);
}

// The one id of a special token of a template.
static wn_status template_id(const wn_tokenizer *t, const char *file, const wn__json *template,
                             const char *name, int32_t *id) {
    const wn__json *ids =
        wn__json_get(wn__json_get(wn__json_get(template, "special_tokens"), name), "ids");
    if (wn__json_count(ids) != 1 || wn__json_typeof(wn__json_at(ids, 0)) != WN_JSON_INT)
        return wn__fail(WN_UNSUPPORTED,
                        "%s: post_processor: special token '%.60s' does not stand for one id", file,
                        name);
    int64_t value = wn__json_int(wn__json_at(ids, 0));
    if (value < 0 || value >= (int64_t)t->vocab.count || !t->vocab.token[value].flags)
        return wn__fail(WN_FORMAT, "%s: post_processor: '%.60s': id %lld is not in the vocabulary",
                        file, name, (long long)value);
    *id = (int32_t)value;
    return WN_OK;
}

// found[0]: the id before the sequence, found[1]: the id after it; -1 where there is none.
static wn_status scan_template(wn_tokenizer *t, const char *file, const wn__json *j,
                               int32_t found[2]) {
    const wn__json *single;
    bool after = false;
    WN_TRY(wn__read_list(file, "post_processor", j, "single", &single));
    for (size_t i = 0; i < wn__json_count(single); i++) {
        const wn__json *part = wn__json_at(single, i);
        const char *name =
            wn__json_string(wn__json_get(wn__json_get(part, "SpecialToken"), "id"), NULL);
        bool sequence = wn__json_get(part, "Sequence") != NULL;
        if (name == NULL && (!sequence || after))
            return wn__fail(WN_UNSUPPORTED, "%s: post_processor: single[%zu] is not read here",
                            file, i);
        if (name == NULL) {
            after = true;
            continue;
        }
        if (found[after] >= 0)
            return wn__fail(WN_UNSUPPORTED,
                            "%s: post_processor: two special tokens %s the text ('%.60s')", file,
                            after ? "after" : "before", name);
        WN_TRY(template_id(t, file, j, name, &found[after]));
    }
    return WN_OK;
}

static wn_status read_template(wn_tokenizer *t, const char *file, const wn__json *j) {
    int32_t found[2] = {-1, -1};
    WN_TRY(scan_template(t, file, j, found));
    if (found[0] >= 0) {
        t->bos = found[0];
        t->adds_bos = true;
    }
    if (found[1] >= 0) {
        t->eos = found[1];
        t->adds_eos = true;
    }
    return WN_OK;
}

wn_status wn__read_post_processor(wn_tokenizer *t, const char *file, const wn__json *j) {
    const char *type;
    if (wn__read_is_null(j)) return WN_OK;
    WN_TRY(wn__read_type(file, "post_processor", j, &type));
    if (strcmp(type, "ByteLevel") == 0) return WN_OK;
    if (strcmp(type, "TemplateProcessing") == 0) return read_template(t, file, j);
    if (strcmp(type, "Sequence") == 0) {
        const wn__json *list;
        WN_TRY(wn__read_list(file, "post_processor", j, "processors", &list));
        for (size_t i = 0; i < wn__json_count(list); i++)
            WN_TRY(wn__read_post_processor(t, file, wn__json_at(list, i)));
        return WN_OK;
    }
    return wn__read_refuse(file, "post_processor", type,
                           "ByteLevel, TemplateProcessing and Sequence");
}
