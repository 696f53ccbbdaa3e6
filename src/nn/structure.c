// SPDX-License-Identifier: MIT
// The rules that give structures to layers and activations by glob.
#include "nn/structure.h"

#include "base/fail.h"
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    *out = (wn__structure_rules){.base = *base};
    if (count == 0) return WN_OK;
    wn__structure_rules rules = {
        .rule = calloc(count, sizeof *rules.rule), .count = count, .base = *base};
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

// The last rule of either sort that matches: those of activations, or those of layers.
static wn__structure last_match(wn__structure_rules *rules, const char *name, bool activation) {
    wn__structure found = rules != NULL ? rules->base : wn__structure_defaults();
    found.kind = WN_STRUCTURE_DENSE;
    found.mvue = WN_MVUE_OFF;
    for (size_t i = 0; rules != NULL && i < rules->count; i++) {
        wn__structure_rule *r = &rules->rule[i];
        bool of_activations = r->structure.kind == WN_STRUCTURE_ACT24;
        if (of_activations != activation || !matches(r->pattern, name)) continue;
        r->matched = true;
        found = r->structure;
    }
    return found;
}

wn__structure wn__structure_of(wn__structure_rules *rules, const char *layer) {
    return last_match(rules, layer, false);
}

wn__structure wn__structure_of_activation(wn__structure_rules *rules, const char *name) {
    return last_match(rules, name, true);
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

// "model.layers.0.mlp.act": only act2:4 can match it.
static bool is_activation(const char *name) {
    size_t n = strlen(name);
    return n >= 4 && strcmp(name + n - 4, ".act") == 0;
}

wn_status wn__structure_rules_unmatched(const wn__structure_rules *rules, const char *const *layers,
                                        size_t count) {
    size_t r = 0;
    while (rules != NULL && r < rules->count && rules->rule[r].matched)
        r++;
    if (rules == NULL || r == rules->count) return WN_OK;
    const wn__structure_rule *rule = &rules->rule[r];
    bool of_layers = rule->structure.kind != WN_STRUCTURE_ACT24;
    char list[768] = "", name[256];
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        generic_name(layers[i], name, sizeof name);
        if (listed_before(layers, i, name)) continue;
        if (of_layers && is_activation(name)) continue;
        int n = snprintf(list + used, sizeof list - used, "%s%s", used > 0 ? ", " : "", name);
        used += (size_t)n;
        if (used >= sizeof list) break;
    }
    if (!of_layers)
        return wn__fail(WN_INVALID,
                        "sparsity '%s=%s' matches no activation (of an MLP without a gate: relu2, "
                        "relu); names: %s",
                        rule->pattern, rule->text, list);
    return wn__fail(WN_INVALID, "sparsity '%s=%s' matches no layer; layers: %s", rule->pattern,
                    rule->text, list);
}
