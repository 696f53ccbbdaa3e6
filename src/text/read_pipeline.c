// SPDX-License-Identifier: MIT
// What stands around the model in tokenizer.json: normalizer, pre_tokenizer, decoder,
// post_processor. Each is an object with a "type", or null, or a Sequence of such objects.
#include "base/fail.h"
#include "base/json.h"
#include "text/impl.h"
#include <string.h>

static bool is_null(const wn__json *j) {
    return wn__json_typeof(j) == WN_JSON_NONE || wn__json_typeof(j) == WN_JSON_NULL;
}

static wn_status get_type(const char *file, const char *member, const wn__json *j,
                          const char **out) {
    *out = wn__json_string(wn__json_get(j, "type"), NULL);
    if (*out != NULL) return WN_OK;
    return wn__fail(WN_FORMAT, "%s: %s: expected an object with a 'type'", file, member);
}

static wn_status refuse_type(const char *file, const char *member, const char *type,
                             const char *known) {
    return wn__fail(WN_UNSUPPORTED, "%s: %s '%.40s' is not read here, only %s", file, member, type,
                    known);
}

// The list of a Sequence, under the name that the member has for it.
static wn_status get_list(const char *file, const char *member, const wn__json *j, const char *key,
                          const wn__json **out) {
    *out = wn__json_get(j, key);
    if (wn__json_typeof(*out) == WN_JSON_ARRAY) return WN_OK;
    return wn__fail(WN_FORMAT, "%s: %s: '%s': expected an array, found %s", file, member, key,
                    wn__json_typename(*out));
}

static wn_status read_normalizer(wn_tokenizer *t, const char *file, const wn__json *j) {
    static const struct {
        const char *type;
        wn__form form;
    } forms[] = {
        {"NFC", WN_FORM_NFC}, {"NFD", WN_FORM_NFD}, {"NFKC", WN_FORM_NFKC}, {"NFKD", WN_FORM_NFKD}};
    const char *type;
    if (is_null(j)) return WN_OK;
    WN_TRY(get_type(file, "normalizer", j, &type));
    if (strcmp(type, "Sequence") == 0) {
        const wn__json *list;
        WN_TRY(get_list(file, "normalizer", j, "normalizers", &list));
        for (size_t i = 0; i < wn__json_count(list); i++)
            WN_TRY(read_normalizer(t, file, wn__json_at(list, i)));
        return WN_OK;
    }
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (strcmp(type, forms[i].type) != 0) continue;
        if (t->form != WN_FORM_NONE && t->form != forms[i].form)
            return wn__fail(WN_UNSUPPORTED, "%s: normalizer: more than one form", file);
        t->form = forms[i].form;
        return WN_OK;
    }
    return refuse_type(file, "normalizer", type, "NFC, NFD, NFKC, NFKD and null");
}

static wn_status add_pattern(wn_tokenizer *t, const char *file, const char *text, size_t n,
                             bool literal) {
    wn__pattern *pattern;
    WN_TRY(wn__pattern_compile(text, n, literal, file, &pattern));
    return wn__tokenizer_add_step(t, file, pattern);
}

static wn_status read_split(wn_tokenizer *t, const char *file, const wn__json *j) {
    const char *behavior = wn__json_string(wn__json_get(j, "behavior"), NULL);
    if (behavior == NULL)
        return wn__fail(WN_FORMAT, "%s: pre_tokenizer: Split without a 'behavior'", file);
    // Isolated keeps matches and gaps alike, so `invert` makes no difference.
    if (strcmp(behavior, "Isolated") != 0)
        return refuse_type(file, "pre_tokenizer: Split with behavior", behavior, "Isolated");
    const wn__json *pattern = wn__json_get(j, "pattern");
    size_t n;
    const char *text = wn__json_string(wn__json_get(pattern, "Regex"), &n);
    if (text != NULL) {
        if (t->kind == NULL) t->kind = wn__pattern_kind(text, n);
        return add_pattern(t, file, text, n, false);
    }
    text = wn__json_string(wn__json_get(pattern, "String"), &n);
    if (text == NULL)
        return wn__fail(WN_FORMAT, "%s: pre_tokenizer: Split: 'pattern' is no Regex or String",
                        file);
    return n == 0 ? WN_OK : add_pattern(t, file, text, n, true);
}

static wn_status read_digits(wn_tokenizer *t, const char *file, const wn__json *j) {
    static const bool no = false;
    bool individual;
    WN_TRY(wn__json_get_bool(j, file, "individual_digits", &no, &individual));
    const char *pattern = individual ? "\\p{N}" : "\\p{N}+";
    return add_pattern(t, file, pattern, strlen(pattern), false);
}

static wn_status read_byte_level(wn_tokenizer *t, const char *file, const wn__json *j) {
    static const bool yes = true;
    bool space, regex;
    WN_TRY(wn__json_get_bool(j, file, "add_prefix_space", &yes, &space));
    WN_TRY(wn__json_get_bool(j, file, "use_regex", &yes, &regex));
    if (space) WN_TRY(wn__tokenizer_add_step(t, file, NULL));
    if (!regex) return WN_OK;
    if (t->kind == NULL) t->kind = wn__pattern_kind(WN_GPT2_PATTERN, strlen(WN_GPT2_PATTERN));
    return add_pattern(t, file, WN_GPT2_PATTERN, strlen(WN_GPT2_PATTERN), false);
}

// *bytes turns true at ByteLevel, after which text is no longer text and nothing may come.
static wn_status read_pre_tokenizer(wn_tokenizer *t, const char *file, const wn__json *j,
                                    bool *bytes) {
    const char *type;
    WN_TRY(get_type(file, "pre_tokenizer", j, &type));
    if (*bytes)
        return wn__fail(WN_UNSUPPORTED, "%s: pre_tokenizer: '%.40s' after ByteLevel", file, type);
    if (strcmp(type, "Sequence") == 0) {
        const wn__json *list;
        WN_TRY(get_list(file, "pre_tokenizer", j, "pretokenizers", &list));
        for (size_t i = 0; i < wn__json_count(list); i++)
            WN_TRY(read_pre_tokenizer(t, file, wn__json_at(list, i), bytes));
        return WN_OK;
    }
    if (strcmp(type, "Split") == 0) return read_split(t, file, j);
    if (strcmp(type, "Digits") == 0) return read_digits(t, file, j);
    if (strcmp(type, "ByteLevel") == 0) {
        *bytes = true;
        return read_byte_level(t, file, j);
    }
    return refuse_type(file, "pre_tokenizer", type, "ByteLevel, Split, Digits and Sequence");
}

static wn_status read_decoder(const char *file, const wn__json *j) {
    const char *type;
    if (is_null(j))
        return wn__fail(WN_UNSUPPORTED, "%s: decoder is null, only ByteLevel is read here", file);
    WN_TRY(get_type(file, "decoder", j, &type));
    if (strcmp(type, "ByteLevel") == 0) return WN_OK;
    if (strcmp(type, "Sequence") == 0) {
        const wn__json *list;
        WN_TRY(get_list(file, "decoder", j, "decoders", &list));
        if (wn__json_count(list) == 1) return read_decoder(file, wn__json_at(list, 0));
    }
    return refuse_type(file, "decoder", type, "ByteLevel");
}

wn_status wn__read_pipeline(wn_tokenizer *t, const char *file, const wn__json *root) {
    bool bytes = false;
    const wn__json *pre = wn__json_get(root, "pre_tokenizer");
    WN_TRY(read_normalizer(t, file, wn__json_get(root, "normalizer")));
    if (!is_null(pre)) WN_TRY(read_pre_tokenizer(t, file, pre, &bytes));
    if (!bytes)
        return wn__fail(WN_UNSUPPORTED,
                        "%s: pre_tokenizer without ByteLevel: only byte-level BPE is read here",
                        file);
    return read_decoder(file, wn__json_get(root, "decoder"));
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

// "single": special tokens before the sequence (one: bos) and after it (one: eos).
static wn_status read_template(wn_tokenizer *t, const char *file, const wn__json *j) {
    const wn__json *single;
    bool after = false;
    int32_t found[2] = {-1, -1};
    WN_TRY(get_list(file, "post_processor", j, "single", &single));
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
    if (found[0] >= 0) {
        t->bos = found[0];
        t->adds_bos = true;
    }
    if (found[1] >= 0) t->eos = found[1];
    return WN_OK;
}

wn_status wn__read_post_processor(wn_tokenizer *t, const char *file, const wn__json *j) {
    const char *type;
    if (is_null(j)) return WN_OK;
    WN_TRY(get_type(file, "post_processor", j, &type));
    if (strcmp(type, "ByteLevel") == 0) return WN_OK;
    if (strcmp(type, "TemplateProcessing") == 0) return read_template(t, file, j);
    if (strcmp(type, "Sequence") == 0) {
        const wn__json *list;
        WN_TRY(get_list(file, "post_processor", j, "processors", &list));
        for (size_t i = 0; i < wn__json_count(list); i++)
            WN_TRY(wn__read_post_processor(t, file, wn__json_at(list, i)));
        return WN_OK;
    }
    return refuse_type(file, "post_processor", type, "ByteLevel, TemplateProcessing and Sequence");
}
