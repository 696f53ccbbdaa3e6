// SPDX-License-Identifier: MIT
// Structures as text, and the rules that give them to layers by glob. The one place that knows how
// a structure is spelled.
#include "nn/structure.h"

#include "base/fail.h"
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// First spelling of a structure is its name; "2:4" is short for tiles.
static const struct {
    const char *text, *name;
    wn__structure_kind kind;
    wn__mask24_method method;
} spellings[] = {
    {"dense", "dense", WN_STRUCTURE_DENSE, WN_MASK24_ROW},
    {"2:4:tile", "2:4 tile", WN_STRUCTURE_SPARSE24, WN_MASK24_TILE},
    {"2:4:row", "2:4 row", WN_STRUCTURE_SPARSE24, WN_MASK24_ROW},
    {"2:4:greedy", "2:4 greedy", WN_STRUCTURE_SPARSE24, WN_MASK24_GREEDY},
    {"2:4", "2:4 tile", WN_STRUCTURE_SPARSE24, WN_MASK24_TILE},
};
#define SPELLINGS (sizeof spellings / sizeof spellings[0])

static wn_status check_base(const wn__structure *base) {
    if (base->mask_every < 1)
        return wn__fail(WN_INVALID, "masks every %lld steps: at least 1",
                        (long long)base->mask_every);
    if (base->freeze_after < 0)
        return wn__fail(WN_INVALID, "masks frozen after step %lld: at least 0 (0: never)",
                        (long long)base->freeze_after);
    if (!(base->decay >= 0)) // also a NaN
        return wn__fail(WN_INVALID, "masked decay %g: at least 0", base->decay);
    return WN_OK;
}

wn_status wn__structure_parse(const char *text, const wn__structure *base, wn__structure *out) {
    WN_TRY(check_base(base));
    for (size_t i = 0; i < SPELLINGS; i++) {
        if (strcmp(text, spellings[i].text) != 0) continue;
        *out = *base;
        out->kind = spellings[i].kind;
        out->method = spellings[i].method;
        return WN_OK;
    }
    return wn__fail(WN_INVALID,
                    "structure '%s' is unknown; legal: dense, 2:4 (as 2:4:tile), 2:4:tile, "
                    "2:4:row, 2:4:greedy",
                    text);
}

const char *wn__structure_name(const wn__structure *s, char *out, size_t n) {
    const char *name = "?";
    for (size_t i = 0; i < SPELLINGS && *name == '?'; i++)
        if (s->kind == spellings[i].kind &&
            (s->kind == WN_STRUCTURE_DENSE || s->method == spellings[i].method))
            name = spellings[i].name;
    (void)snprintf(out, n, "%s", name);
    return out;
}

// The last '=' divides: no structure has one, a glob may.
static wn_status parse_rule(const char *text, const wn__structure *base, wn__structure_rule *out) {
    const char *equals = strrchr(text, '=');
    if (equals == NULL || equals == text || equals[1] == '\0')
        return wn__fail(WN_INVALID, "sparsity '%s' is not PATTERN=STRUCTURE, as in 'mlp.*=2:4'",
                        text);
    wn_status status = wn__structure_parse(equals + 1, base, &out->structure);
    if (status != WN_OK) return wn__fail_in(status, "sparsity '%s'", text);
    out->pattern = strndup(text, (size_t)(equals - text));
    out->text = strdup(equals + 1);
    if (out->pattern == NULL || out->text == NULL)
        return wn__fail(WN_NOMEM, "no memory for sparsity '%s'", text);
    return WN_OK;
}

wn_status wn__structure_rules_parse(const char *const *text, size_t count,
                                    const wn__structure *base, wn__structure_rules *out) {
    *out = (wn__structure_rules){0};
    if (count == 0) return WN_OK;
    wn__structure_rules rules = {.rule = calloc(count, sizeof *rules.rule), .count = count};
    if (rules.rule == NULL) return wn__fail(WN_NOMEM, "no memory for %zu sparsity rules", count);
    for (size_t i = 0; i < count; i++) {
        wn_status status = parse_rule(text[i], base, &rules.rule[i]);
        if (status == WN_OK) continue;
        wn__structure_rules_free(&rules);
        return status;
    }
    *out = rules;
    return WN_OK;
}

void wn__structure_rules_free(wn__structure_rules *rules) {
    for (size_t i = 0; i < rules->count; i++) {
        free(rules->rule[i].pattern);
        free(rules->rule[i].text);
    }
    free(rules->rule);
    *rules = (wn__structure_rules){0};
}

// Against the full name, then against what stands after each dot.
static bool matches(const char *pattern, const char *layer) {
    for (const char *s = layer; s != NULL; s = strchr(s, '.')) {
        if (*s == '.') s++;
        if (fnmatch(pattern, s, 0) == 0) return true;
    }
    return false;
}

wn__structure wn__structure_of(wn__structure_rules *rules, const char *layer) {
    wn__structure found = {.kind = WN_STRUCTURE_DENSE, .mask_every = 1};
    for (size_t i = 0; rules != NULL && i < rules->count; i++) {
        if (!matches(rules->rule[i].pattern, layer)) continue;
        rules->rule[i].matched = true;
        found = rules->rule[i].structure;
    }
    return found;
}

// Replaces each number between dots by '*', so that the layers of all blocks read alike.
static void generic_name(const char *layer, char *out, size_t n) {
    size_t used = 0;
    for (const char *s = layer; *s != '\0' && used + 1 < n;) {
        size_t digits = strspn(s, "0123456789");
        bool number =
            digits > 0 && (s == layer || s[-1] == '.') && (s[digits] == '.' || s[digits] == '\0');
        out[used++] = number ? '*' : *s;
        s += number ? digits : 1;
    }
    out[used] = '\0';
}

static bool listed_before(const char *const *layers, size_t i, const char *name) {
    char other[256];
    for (size_t j = 0; j < i; j++) {
        generic_name(layers[j], other, sizeof other);
        if (strcmp(other, name) == 0) return true;
    }
    return false;
}

wn_status wn__structure_rules_unmatched(const wn__structure_rules *rules, const char *const *layers,
                                        size_t count) {
    size_t r = 0;
    while (rules != NULL && r < rules->count && rules->rule[r].matched)
        r++;
    if (rules == NULL || r == rules->count) return WN_OK;
    char list[768] = "", name[256];
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        generic_name(layers[i], name, sizeof name);
        if (listed_before(layers, i, name)) continue;
        int n = snprintf(list + used, sizeof list - used, "%s%s", used > 0 ? ", " : "", name);
        used += (size_t)n;
        if (used >= sizeof list) break;
    }
    return wn__fail(WN_INVALID, "sparsity '%s=%s' matches no layer; layers: %s",
                    rules->rule[r].pattern, rules->rule[r].text, list);
}
