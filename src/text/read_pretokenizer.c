// SPDX-License-Identifier: MIT
// tokenizer.json's member pre_tokenizer.
#include "base/fail.h"
#include "text/impl.h"
#include <string.h>

#define MEMBER "pre_tokenizer"

// Takes the step's pattern from its text.
static wn_status add_pattern(wn_tokenizer *t, const char *file, const char *text, size_t n,
                             bool literal, wn__step step) {
    WN_TRY(wn__pattern_compile(text, n, literal, file, &step.pattern));
    return wn__tokenizer_add_step(t, file, step);
}

static wn_status read_behavior(const char *file, const wn__json *j, wn__behavior *out) {
    static const char *const names[] = {[WN_ISOLATED] = "Isolated",
                                        [WN_REMOVED] = "Removed",
                                        [WN_CONTIGUOUS] = "Contiguous",
                                        [WN_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
                                        [WN_MERGED_WITH_NEXT] = "MergedWithNext"};
    const char *name = wn__json_string(wn__json_get(j, "behavior"), NULL);
    if (name == NULL)
        return wn__fail(WN_FORMAT, "%s: " MEMBER ": Split without a 'behavior'", file);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) != 0) continue;
        *out = (wn__behavior)i;
        return WN_OK;
    }
    return wn__fail(WN_FORMAT, "%s: " MEMBER ": Split: no behavior '%.40s'", file, name);
}

static wn_status read_split(wn_tokenizer *t, const char *file, const wn__json *j) {
    static const bool no = false;
    wn__step step = {.kind = WN_STEP_PATTERN};
    WN_TRY(read_behavior(file, j, &step.behavior));
    WN_TRY(wn__json_get_bool(j, file, "invert", &no, &step.invert));
    const wn__json *pattern = wn__json_get(j, "pattern");
    size_t n;
    const char *text = wn__json_string(wn__json_get(pattern, "Regex"), &n);
    if (text != NULL) {
        if (t->kind == NULL && step.behavior == WN_ISOLATED) t->kind = wn__pattern_kind(text, n);
        return add_pattern(t, file, text, n, false, step);
    }
    text = wn__json_string(wn__json_get(pattern, "String"), &n);
    if (text == NULL)
        return wn__fail(WN_FORMAT, "%s: " MEMBER ": Split: 'pattern' is no Regex or String", file);
    return add_pattern(t, file, text, n, n > 0, step);
}

static wn_status read_digits(wn_tokenizer *t, const char *file, const wn__json *j) {
    static const bool no = false;
    bool individual;
    WN_TRY(wn__json_get_bool(j, file, "individual_digits", &no, &individual));
    const char *pattern = individual ? "\\p{N}" : "\\p{N}+";
    return add_pattern(t, file, pattern, strlen(pattern), false,
                       (wn__step){.kind = WN_STEP_PATTERN});
}

static wn_status read_byte_level(wn_tokenizer *t, const char *file, const wn__json *j) {
    static const bool yes = true;
    bool space, regex;
    t->byte_level = true;
    WN_TRY(wn__json_get_bool(j, file, "add_prefix_space", &yes, &space));
    WN_TRY(wn__json_get_bool(j, file, "use_regex", &yes, &regex));
    if (space) WN_TRY(wn__tokenizer_add_step(t, file, (wn__step){.kind = WN_STEP_SPACE}));
    if (!regex) return WN_OK;
    if (t->kind == NULL) t->kind = wn__pattern_kind(WN_GPT2_PATTERN, strlen(WN_GPT2_PATTERN));
    return add_pattern(t, file, WN_GPT2_PATTERN, strlen(WN_GPT2_PATTERN), false,
                       (wn__step){.kind = WN_STEP_PATTERN});
}

static wn_status read_metaspace(wn_tokenizer *t, const char *file, const wn__json *j) {
    wn__step step = {.kind = WN_STEP_METASPACE};
    WN_TRY(wn__read_metaspace(file, MEMBER, j, &step.meta));
    return wn__tokenizer_add_step(t, file, step);
}

static wn_status read_one(wn_tokenizer *t, const char *file, const char *type, const wn__json *j) {
    if (strcmp(type, "Split") == 0) return read_split(t, file, j);
    if (strcmp(type, "Digits") == 0) return read_digits(t, file, j);
    if (strcmp(type, "ByteLevel") == 0) return read_byte_level(t, file, j);
    if (strcmp(type, "Metaspace") == 0) return read_metaspace(t, file, j);
    if (strcmp(type, "WhitespaceSplit") == 0)
        return wn__tokenizer_add_step(t, file, (wn__step){.kind = WN_STEP_SPACES});
    if (strcmp(type, "Whitespace") == 0)
        return wn__tokenizer_add_step(t, file, (wn__step){.kind = WN_STEP_WORDS});
    return wn__read_refuse(file, MEMBER, type,
                           "ByteLevel, Metaspace, Split, Digits, Whitespace, WhitespaceSplit, "
                           "Sequence and null");
}

// After ByteLevel text is no longer text, and nothing may come.
wn_status wn__read_pre_tokenizer(wn_tokenizer *t, const char *file, const wn__json *j) {
    const char *type;
    if (wn__read_is_null(j)) return WN_OK;
    WN_TRY(wn__read_type(file, MEMBER, j, &type));
    if (t->byte_level)
        return wn__fail(WN_UNSUPPORTED, "%s: " MEMBER ": '%.40s' after ByteLevel", file, type);
    if (strcmp(type, "Sequence") != 0) return read_one(t, file, type, j);
    const wn__json *list;
    WN_TRY(wn__read_list(file, MEMBER, j, "pretokenizers", &list));
    for (size_t i = 0; i < wn__json_count(list); i++)
        WN_TRY(wn__read_pre_tokenizer(t, file, wn__json_at(list, i)));
    return WN_OK;
}
