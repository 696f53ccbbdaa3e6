// SPDX-License-Identifier: MIT
// Structures as text and the globs that give them to layers.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nn/structure.h"
#include <math.h>
#include <string.h>

static const wn__structure base = {
    .kind = WN_STRUCTURE_DENSE, .mask_every = 7, .freeze_after = 100, .decay = 0.5};

static void parses_each_spelling(void **state) {
    (void)state;
    static const struct {
        const char *text, *name;
        wn__structure_kind kind;
        wn__mask24_method method;
    } cases[] = {
        {"2:4", "2:4 tile", WN_STRUCTURE_SPARSE24, WN_MASK24_TILE},
        {"2:4:tile", "2:4 tile", WN_STRUCTURE_SPARSE24, WN_MASK24_TILE},
        {"2:4:row", "2:4 row", WN_STRUCTURE_SPARSE24, WN_MASK24_ROW},
        {"2:4:greedy", "2:4 greedy", WN_STRUCTURE_SPARSE24, WN_MASK24_GREEDY},
    };
    wn__structure s;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(wn__structure_parse(cases[i].text, &base, &s), WN_OK);
        assert_int_equal(s.kind, cases[i].kind);
        assert_int_equal(s.method, cases[i].method);
        assert_int_equal(s.mask_every, 7);
        assert_int_equal(s.freeze_after, 100);
        assert_true(s.decay == 0.5);
        assert_string_equal(wn__structure_name(&s), cases[i].name);
    }
    assert_int_equal(wn__structure_parse("dense", &base, &s), WN_OK);
    assert_string_equal(wn__structure_name(&s), "dense");
}

static void refuses_other_spellings(void **state) {
    (void)state;
    static const char *const bad[] = {"", "2:3", "2:4:", "2:4:tiles", "Dense", "lowrank:8"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        wn__structure s = base;
        assert_int_equal(wn__structure_parse(bad[i], &base, &s), WN_INVALID);
        assert_non_null(strstr(wn_last_error(), bad[i]));
        assert_non_null(strstr(wn_last_error(), "2:4:row"));
        assert_int_equal(s.mask_every, 7); // untouched
    }
}

static void refuses_bad_defaults(void **state) {
    (void)state;
    wn__structure s, b = base;
    b.mask_every = 0;
    assert_int_equal(wn__structure_parse("2:4", &b, &s), WN_INVALID);
    b = base;
    b.freeze_after = -1;
    assert_int_equal(wn__structure_parse("2:4", &b, &s), WN_INVALID);
    b = base;
    b.decay = -0.1;
    assert_int_equal(wn__structure_parse("2:4", &b, &s), WN_INVALID);
    b.decay = (double)NAN;
    assert_int_equal(wn__structure_parse("2:4", &b, &s), WN_INVALID);
}

static wn__structure_rules parse(const char *const *text, size_t count) {
    wn__structure_rules rules;
    assert_int_equal(wn__structure_rules_parse(text, count, &base, &rules), WN_OK);
    return rules;
}

// What one pattern makes of one layer.
static bool matched(const char *pattern, const char *layer) {
    char text[128] = "";
    (void)strcat(strcat(text, pattern), "=2:4");
    const char *const list[] = {text};
    wn__structure_rules rules = parse(list, 1);
    bool sparse = wn__structure_of(&rules, layer).kind == WN_STRUCTURE_SPARSE24;
    assert_int_equal(rules.rule[0].matched, sparse);
    wn__structure_rules_free(&rules);
    return sparse;
}

static void matches_names_and_suffixes(void **state) {
    (void)state;
    const char *up = "model.layers.3.mlp.up_proj", *q = "model.layers.13.self_attn.q_proj";
    assert_true(matched("mlp.*", up));
    assert_true(matched("up_proj", up));
    assert_true(matched("*", up));
    assert_true(matched("model.layers.3.*", up));
    assert_true(matched("layers.[0-3].*", up));
    assert_true(matched("*.mlp.*", up));
    assert_true(matched("*_proj", q));
    assert_true(matched("self_attn.[qk]_proj", q));
    assert_true(matched("*", "lm_head"));
    assert_false(matched("mlp.*", q));
    assert_false(matched("mlp", up)); // a suffix, not a part
    assert_false(matched("up_proj", q));
    assert_false(matched("layers.[0-3].*", q)); // layer 13
    assert_false(matched("p.up_proj", up));     // suffixes begin after a dot
    assert_false(matched("model.layers.3", up));
}

static void last_rule_wins(void **state) {
    (void)state;
    const char *const text[] = {"*=2:4:row", "mlp.*=2:4:greedy", "layers.0.*=dense"};
    wn__structure_rules rules = parse(text, 3);
    assert_int_equal(wn__structure_of(&rules, "model.layers.1.self_attn.q_proj").method,
                     WN_MASK24_ROW);
    assert_int_equal(wn__structure_of(&rules, "model.layers.1.mlp.up_proj").method,
                     WN_MASK24_GREEDY);
    assert_int_equal(wn__structure_of(&rules, "model.layers.0.mlp.up_proj").kind,
                     WN_STRUCTURE_DENSE);
    const char *const layers[] = {"a"};
    assert_int_equal(wn__structure_rules_unmatched(&rules, layers, 1), WN_OK);
    wn__structure_rules_free(&rules);
}

static void no_rules_is_dense(void **state) {
    (void)state;
    wn__structure_rules none = parse(NULL, 0);
    assert_int_equal(wn__structure_of(&none, "lm_head").kind, WN_STRUCTURE_DENSE);
    assert_int_equal(wn__structure_of(NULL, "lm_head").kind, WN_STRUCTURE_DENSE);
    assert_int_equal(wn__structure_of(NULL, "lm_head").mask_every, 1);
    assert_int_equal(wn__structure_rules_unmatched(NULL, NULL, 0), WN_OK);
    wn__structure_rules_free(&none);
}

static void names_what_never_matched(void **state) {
    (void)state;
    const char *const text[] = {"mlp.*=2:4", "mpl.*=2:4:row"};
    const char *const layers[] = {"model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj",
                                  "model.layers.10.mlp.up_proj", "lm_head"};
    wn__structure_rules rules = parse(text, 2);
    for (size_t i = 0; i < 4; i++)
        (void)wn__structure_of(&rules, layers[i]);
    assert_int_equal(wn__structure_rules_unmatched(&rules, layers, 4), WN_INVALID);
    assert_string_equal(wn_last_error(), "sparsity 'mpl.*=2:4:row' matches no layer; layers: "
                                         "model.layers.*.mlp.up_proj, lm_head");
    wn__structure_rules_free(&rules);
}

static void refuses_malformed_rules(void **state) {
    (void)state;
    static const char *const bad[] = {"mlp.*", "=2:4", "mlp.*=", "mlp.*=3:4", "="};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *const text[] = {"mlp.*=2:4", bad[i]};
        wn__structure_rules rules;
        assert_int_equal(wn__structure_rules_parse(text, 2, &base, &rules), WN_INVALID);
        assert_non_null(strstr(wn_last_error(), bad[i]));
        assert_null(rules.rule);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_each_spelling),     cmocka_unit_test(refuses_other_spellings),
        cmocka_unit_test(refuses_bad_defaults),     cmocka_unit_test(matches_names_and_suffixes),
        cmocka_unit_test(last_rule_wins),           cmocka_unit_test(no_rules_is_dense),
        cmocka_unit_test(names_what_never_matched), cmocka_unit_test(refuses_malformed_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
