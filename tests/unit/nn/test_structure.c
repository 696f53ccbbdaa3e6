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

// Every field that a text decides, and the name it gets.
static void parses_each_spelling(void **state) {
    (void)state;
    static const struct {
        const char *text, *name;
        wn__structure_kind kind;
        wn__mask24_method method;
        wn__mvue mvue;
        int64_t rank;
        bool in, out;
    } cases[] = {
        {.text = "dense", .name = "dense", .kind = WN_STRUCTURE_DENSE, .method = WN_MASK24_GREEDY},
        {"2:4", "2:4 tile", WN_STRUCTURE_SPARSE24, WN_MASK24_TILE, WN_MVUE_OFF, 0, 0, 0},
        {"2:4:tile", "2:4 tile", WN_STRUCTURE_SPARSE24, WN_MASK24_TILE, WN_MVUE_OFF, 0, 0, 0},
        {"2:4:row", "2:4 row", WN_STRUCTURE_SPARSE24, WN_MASK24_ROW, WN_MVUE_OFF, 0, 0, 0},
        {"2:4:greedy", "2:4 greedy", WN_STRUCTURE_SPARSE24, WN_MASK24_GREEDY, WN_MVUE_OFF, 0, 0, 0},
        {"2:4:mvue", "2:4 tile + mvue", WN_STRUCTURE_SPARSE24, WN_MASK24_TILE, WN_MVUE_EXACT, 0, 0,
         0},
        {"2:4+mvue", "2:4 tile + mvue", WN_STRUCTURE_SPARSE24, WN_MASK24_TILE, WN_MVUE_EXACT, 0, 0,
         0},
        {"2:4:row+mvue-approx", "2:4 row + mvue-approx", WN_STRUCTURE_SPARSE24, WN_MASK24_ROW,
         WN_MVUE_APPROX, 0, 0, 0},
        {"2:4:tile+kept", "2:4 tile + kept", WN_STRUCTURE_SPARSE24, WN_MASK24_TILE, WN_MVUE_OFF, 0,
         0, 0},
        {"2:4:row+kept+mvue", "2:4 row + mvue + kept", WN_STRUCTURE_SPARSE24, WN_MASK24_ROW,
         WN_MVUE_EXACT, 0, 0, 0},
        {"2:4:sste", "2:4 sste", WN_STRUCTURE_SSTE, WN_MASK24_ROW, WN_MVUE_OFF, 0, 0, 0},
        {"2:4:sste+mvue", "2:4 sste + mvue", WN_STRUCTURE_SSTE, WN_MASK24_ROW, WN_MVUE_EXACT, 0, 0,
         0},
        {"lowrank:256", "lowrank 256", WN_STRUCTURE_LOWRANK, WN_MASK24_ROW, WN_MVUE_OFF, 256, 0, 0},
        {"lowrank:64+2:4", "lowrank 64 + 2:4", WN_STRUCTURE_LOWRANK, WN_MASK24_ROW, WN_MVUE_OFF, 64,
         1, 1},
        {"lowrank:8+2:4:in", "lowrank 8 + 2:4 in", WN_STRUCTURE_LOWRANK, WN_MASK24_ROW, WN_MVUE_OFF,
         8, 1, 0},
        {"lowrank:8+2:4:out+mvue-approx", "lowrank 8 + 2:4 out + mvue-approx", WN_STRUCTURE_LOWRANK,
         WN_MASK24_ROW, WN_MVUE_APPROX, 8, 0, 1},
        {"lowrank:8+mvue+2:4", "lowrank 8 + 2:4 + mvue", WN_STRUCTURE_LOWRANK, WN_MASK24_ROW,
         WN_MVUE_EXACT, 8, 1, 1},
        {"lowrank:8+mvue", "lowrank 8 + mvue", WN_STRUCTURE_LOWRANK, WN_MASK24_ROW, WN_MVUE_EXACT,
         8, 0, 0},
        {"in2:4:soft", "in 2:4 soft + mvue", WN_STRUCTURE_IN24, WN_MASK24_GREEDY, WN_MVUE_EXACT, 0,
         0, 0},
        {"in2:4:soft+mvue", "in 2:4 soft + mvue", WN_STRUCTURE_IN24, WN_MASK24_GREEDY,
         WN_MVUE_EXACT, 0, 0, 0},
        {"in2:4:mvue+mvue-approx", "in 2:4 mvue + mvue-approx", WN_STRUCTURE_IN24, WN_MASK24_GREEDY,
         WN_MVUE_APPROX, 0, 0, 0},
        {"in2:4:mvue+dense-dw", "in 2:4 mvue", WN_STRUCTURE_IN24, WN_MASK24_GREEDY, WN_MVUE_OFF, 0,
         0, 0},
        {"adapter:16", "adapter 16", WN_STRUCTURE_ADAPTER, WN_MASK24_GREEDY, WN_MVUE_OFF, 16, 0, 0},
    };
    wn__structure b = base, s;
    b.method = WN_MASK24_GREEDY;
    char name[WN_STRUCTURE_NAME];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(wn__structure_parse(cases[i].text, &b, &s), WN_OK);
        assert_int_equal(s.kind, cases[i].kind);
        assert_int_equal(s.method, cases[i].method);
        assert_int_equal(s.mvue, cases[i].mvue);
        assert_int_equal(s.rank, cases[i].rank);
        assert_int_equal(s.sparse_in, cases[i].in);
        assert_int_equal(s.sparse_out, cases[i].out);
        assert_int_equal(s.mask_every, 7);
        assert_int_equal(s.freeze_after, 100);
        assert_true(s.decay == 0.5);
        assert_string_equal(wn__structure_name(&s, name, sizeof name), cases[i].name);
    }
}

static void parses_adapters_and_activations(void **state) {
    (void)state;
    static const char *const methods[] = {"naive", "mvue", "soft", "soft_weights", "soft_dynamic"};
    const wn__structure b = wn__structure_defaults();
    wn__structure s;
    char text[32], name[WN_STRUCTURE_NAME];
    assert_int_equal(wn__structure_parse("adapter:16", &b, &s), WN_OK);
    assert_true(s.rank == 16 && s.alpha == 16);
    assert_int_equal(wn__structure_parse("adapter:16:2.5", &b, &s), WN_OK);
    assert_true(s.rank == 16 && s.alpha == 2.5);
    assert_string_equal(wn__structure_name(&s, name, sizeof name), "adapter 16, alpha 2.5");
    assert_int_equal(wn__structure_parse("act2:4", &b, &s), WN_OK);
    assert_true(s.kind == WN_STRUCTURE_ACT24 && s.act == WN_ACT24_NAIVE);
    assert_true(s.act_warmup == 1000 && s.act_dense == 0.05);
    for (int i = 0; i < 5; i++) {
        (void)strcat(strcpy(text, "act2:4:"), methods[i]);
        assert_int_equal(wn__structure_parse(text, &b, &s), WN_OK);
        assert_int_equal(s.act, WN_ACT24_NAIVE + i);
        (void)strcat(strcpy(text, "act 2:4 "), methods[i]);
        assert_string_equal(wn__structure_name(&s, name, sizeof name), text);
        assert_string_equal(wn__structure_method(&s), methods[i]);
    }
    assert_int_equal(wn__structure_parse("in2:4:mvue", &b, &s), WN_OK);
    assert_string_equal(wn__structure_method(&s), "mvue");
    assert_int_equal(wn__structure_parse("in2:4:soft", &b, &s), WN_OK);
    assert_string_equal(wn__structure_method(&s), "soft");
    assert_int_equal(wn__structure_parse("2:4:mvue", &b, &s), WN_OK);
    assert_null(wn__structure_method(&s));
}

static void refuses_other_spellings(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "2:3",
                                      "2:4:",
                                      "2:4:tiles",
                                      "Dense",
                                      "dense+mvue",
                                      "2:4:mvue+mvue",
                                      "2:4+2:4",
                                      "2:4+mvue+mvue",
                                      "2:4+mvue-",
                                      "lowrank",
                                      "lowrank:",
                                      "lowrank:0",
                                      "lowrank:-8",
                                      "lowrank:8x",
                                      "lowrank:8:",
                                      "lowrank:8+",
                                      "lowrank:8+2:4:both",
                                      "lowrank:99999999999",
                                      "lowrank: 8",
                                      "adapter:4:",
                                      "adapter:4:x",
                                      "adapter:4:inf",
                                      "adapter:4+2:4",
                                      "adapter:4:1x",
                                      "adapter:4:0",
                                      "adapter:4:-1",
                                      "act2:4:tile",
                                      "act2:4+mvue",
                                      "in2:4",
                                      "in2:4+mvue",
                                      "in2:4:naive",
                                      "in2:4:soft+dense-dw+mvue",
                                      "lowrank:8+2:4+2:4:in",
                                      "kron:butterfly:2"};
    static const char *const all[] = {"lowrank:R[+2:4", "adapter:R[:ALPHA]", "in2:4:soft|mvue",
                                      "act2:4[:naive|mvue", "kron:butterfly and kron:monarch"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        wn__structure s = base;
        bool known = strncmp(bad[i], "2:4", 3) == 0 || strncmp(bad[i], "dense", 5) == 0;
        assert_int_equal(wn__structure_parse(bad[i], &base, &s), WN_INVALID);
        assert_non_null(strstr(wn_last_error(), bad[i]));
        if (strncmp(bad[i], "2:4", 3) == 0)
            assert_non_null(strstr(wn_last_error(), "2:4[:tile|row|greedy|sste|mvue]"));
        const char *legal = strstr(wn_last_error(), "; legal: ");
        assert_non_null(legal);
        for (size_t k = 0; k < sizeof all / sizeof all[0]; k++) { // those of the same first word
            bool same = strncmp(bad[i], all[k], strcspn(all[k], "[:")) == 0;
            known |= same;
            if (same && !strstr(legal, all[k])) fail_msg("%s lacks %s", legal, all[k]);
        }
        for (size_t k = 0; k < sizeof all / sizeof all[0] && !known; k++)
            assert_non_null(strstr(legal, all[k]));
        assert_int_equal(s.mask_every, 7); // untouched
    }
    wn__structure s;
    assert_int_equal(wn__structure_parse("2:4:tiles", &base, &s), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "unknown from ':tiles' on"));
    assert_int_equal(wn__structure_parse("lowrank", &base, &s), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "ends too early"));
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
    b = base;
    b.dense_after = -1;
    assert_int_equal(wn__structure_parse("2:4", &b, &s), WN_INVALID);
    b = wn__structure_defaults();
    b.init = "xavir";
    assert_int_equal(wn__structure_parse("2:4", &b, &s), WN_OK); // which has no factors
    assert_int_equal(wn__structure_parse("lowrank:4", &b, &s), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "'xavir'"));
    assert_non_null(strstr(wn_last_error(), "randn_S"));
    b = wn__structure_defaults();
    b.act_dense = 1.5;
    assert_int_equal(wn__structure_parse("act2:4", &b, &s), WN_INVALID);
    assert_int_equal(wn__structure_parse("2:4", &b, &s), WN_OK);
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

// Rules of activations and of layers do not see each other's names, whatever their patterns say;
// what no rule names still has the numbers of the base.
static void keeps_activations_and_layers_apart(void **state) {
    (void)state;
    const char *act = "model.layers.1.mlp.act", *up = "model.layers.1.mlp.up_proj";
    const char *const text[] = {"*=2:4:row", "*=act2:4:soft"};
    wn__structure b = wn__structure_defaults();
    b.fp8 = true;
    b.mvue = WN_MVUE_EXACT;
    wn__structure_rules rules;
    assert_int_equal(wn__structure_rules_parse(text, 2, &b, &rules), WN_OK);
    assert_int_equal(wn__structure_of(&rules, up).kind, WN_STRUCTURE_SPARSE24);
    assert_false(rules.rule[1].matched);
    const char *const names[] = {up};
    assert_int_equal(wn__structure_rules_unmatched(&rules, names, 1), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "'*=act2:4:soft' matches no activation"));
    assert_non_null(strstr(wn_last_error(), "relu2"));
    assert_int_equal(wn__structure_of_activation(&rules, act).act, WN_ACT24_SOFT);
    assert_int_equal(wn__structure_rules_unmatched(&rules, names, 1), WN_OK);
    wn__structure_rules_free(&rules);

    assert_int_equal(wn__structure_rules_parse(NULL, 0, &b, &rules), WN_OK);
    assert_true(wn__structure_of(&rules, up).fp8);
    assert_int_equal(wn__structure_of(&rules, up).kind, WN_STRUCTURE_DENSE);
    assert_int_equal(wn__structure_of(&rules, up).mvue, WN_MVUE_OFF);
    assert_int_equal(wn__structure_of_activation(&rules, act).kind, WN_STRUCTURE_DENSE);
    assert_int_equal(wn__structure_of_activation(NULL, act).kind, WN_STRUCTURE_DENSE);
}

static void names_what_never_matched(void **state) {
    (void)state;
    const char *const text[] = {"mlp.*=2:4", "mpl.*=2:4:row"};
    const char *const layers[] = {"model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj",
                                  "model.layers.10.mlp.up_proj", "lm_head",
                                  "model.layers.0.mlp.act"}; // no layer
    wn__structure_rules rules = parse(text, 2);
    for (size_t i = 0; i < 4; i++)
        (void)wn__structure_of(&rules, layers[i]);
    assert_int_equal(wn__structure_rules_unmatched(&rules, layers, 5), WN_INVALID);
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
        cmocka_unit_test(parses_each_spelling),
        cmocka_unit_test(refuses_other_spellings),
        cmocka_unit_test(parses_adapters_and_activations),
        cmocka_unit_test(keeps_activations_and_layers_apart),
        cmocka_unit_test(refuses_bad_defaults),
        cmocka_unit_test(matches_names_and_suffixes),
        cmocka_unit_test(last_rule_wins),
        cmocka_unit_test(no_rules_is_dense),
        cmocka_unit_test(names_what_never_matched),
        cmocka_unit_test(refuses_malformed_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
