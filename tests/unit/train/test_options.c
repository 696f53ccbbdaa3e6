// SPDX-License-Identifier: MIT
// The options table: JSON and back, and what a resumed run takes over.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "train/options.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OK(call) assert_int_equal(call, WN_OK)

// Every field of the table unlike its default.
static wn_train_options unusual(void) {
    static const char *const rules[] = {"mlp.*=2:4", "*.0.*=dense"};
    wn_train_options o;
    wn_train_defaults(&o);
    o.data = "text \"quoted\".txt";
    o.eval_data = "held.tokens";
    o.eval_fraction = 0.1;
    o.tokenizer = "bytes";
    o.init_from = "m";
    o.vocab_size = 4096;
    o.shuffle = false;
    o.hidden_size = 64;
    o.intermediate_size = 96;
    o.layers = 3;
    o.heads = 8;
    o.kv_heads = 2;
    o.mlp = "swiglu";
    o.tie_embeddings = false;
    o.rope_theta = 5e5;
    o.init_std = 0.1 / 3;
    o.seq_len = 128;
    o.seed = UINT64_MAX - 5;
    o.mask_every = 7;
    o.mask_freeze_after = 70;
    o.mask_decay = 2e-4;
    o.batch_size = 3;
    o.grad_accum = 2;
    o.steps = INT64_C(1) << 40;
    o.lr = 1.0 / 7;
    o.min_lr_ratio = 0;
    o.beta1 = 0.8;
    o.beta2 = 0.99;
    o.eps = 1e-6;
    o.weight_decay = 0;
    o.clip_norm = 0;
    o.schedule = "wsd";
    o.warmup = 0;
    o.wsd_decay = 3;
    o.log_every = 1;
    o.eval_every = 2;
    o.eval_batches = 3;
    o.sample_every = 4;
    o.sample_prompt = "na\xc3\xafve\n";
    o.sample_tokens = 5;
    o.save_every = 6;
    o.keep = 7;
    o.kernels = "matmul:ref";
    o.sparsity = rules;
    o.sparsity_count = 2;
    return o;
}

static char *dump(const wn_train_options *o) {
    wn__json *j;
    char *text;
    OK(wn__options_to_json(o, &j));
    OK(wn__json_dump(j, 0, &text));
    wn__json_free(j);
    return text;
}

static void assert_equal(const wn_train_options *a, const wn_train_options *b) {
    char *x = dump(a), *y = dump(b);
    assert_string_equal(x, y);
    free(x);
    free(y);
}

// Field by field: no member of the table was left at its default by unusual(), or the comparison
// would be empty.
static void test_every_field_differs(void **state) {
    (void)state;
    wn_train_options o = unusual(), d;
    wn_train_defaults(&d);
#define TEXT(name)               assert_true(o.name != d.name)
#define BOOL(name)               assert_true(o.name != d.name)
#define INT32(name)              assert_true(o.name != d.name)
#define INT64(name)              assert_true(o.name != d.name)
#define UINT64(name)             assert_true(o.name != d.name)
#define REAL(name)               assert_true(o.name<d.name || o.name> d.name)
#define CHECK(type, name, fixed) type(name);
    WN_TRAIN_FIELDS(CHECK)
}

static void test_round_trip(void **state) {
    (void)state;
    wn_train_options o = unusual(), back;
    wn__json *j, *again;
    char *text;
    const char **rules;
    OK(wn__options_to_json(&o, &j));
    OK(wn__json_dump(j, 2, &text));
    OK(wn__json_parse(text, strlen(text), "options", &again));
    OK(wn__options_from_json(again, "options", &back, &rules));
    assert_equal(&o, &back);
    assert_true(back.seed == UINT64_MAX - 5 && back.lr == 1.0 / 7);
    assert_string_equal(back.sparsity[1], "*.0.*=dense");
    free((void *)rules);
    free(text);
    wn__json_free(j);
    wn__json_free(again);
}

static void test_malformed(void **state) {
    (void)state;
    const char *const keys[] = {"lr", "data", "seed", "shuffle", "steps", "vocab_size"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        wn_train_options o = unusual(), back;
        wn__json *j;
        const char **rules = NULL;
        OK(wn__options_to_json(&o, &j));
        OK(wn__json_set(j, keys[i], wn__json_new_array()));
        assert_int_equal(wn__options_from_json(j, "run.json", &back, &rules), WN_FORMAT);
        assert_non_null(strstr(wn_last_error(), keys[i]));
        assert_non_null(strstr(wn_last_error(), "run.json"));
        assert_null(rules);
        wn__json_free(j);
    }
    wn_train_options back;
    const char **rules;
    assert_int_equal(wn__options_from_json(NULL, "run.json", &back, &rules), WN_FORMAT);
}

static void collect(void *ctx, const char *line) {
    strcat(ctx, line);
    strcat(ctx, "\n");
}

static void test_resume_defaults(void **state) {
    (void)state;
    char notes[4096] = "";
    wn_train_options recorded = unusual(), o;
    wn_train_defaults(&o); // nothing was asked for: all as recorded
    wn__options_resume(&o, &recorded, collect, notes);
    assert_equal(&o, &recorded);
    assert_string_equal(notes, "");
}

static void test_resume_changes(void **state) {
    (void)state;
    char notes[4096] = "";
    wn_train_options recorded = unusual(), o;
    wn_train_defaults(&o);
    o.lr = 0.5;       // may change
    o.layers = 9;     // may not
    o.data = "other"; // may not
    o.batch_size = 3; // as recorded: nothing to say
    o.schedule = "linear";
    wn__options_resume(&o, &recorded, collect, notes);
    assert_string_equal(notes, "data: this run has text \"quoted\".txt; other is ignored\n"
                               "layers: this run has 3; 9 is ignored\n"
                               "lr: 0.5 from here on, 0.142857 before\n"
                               "schedule: linear from here on, wsd before\n");
    assert_true(o.lr == 0.5 && o.layers == 3 && o.batch_size == 3);
    assert_string_equal(o.schedule, "linear");
    assert_string_equal(o.data, recorded.data);
    recorded.lr = 0.5;
    recorded.schedule = "linear";
    assert_equal(&o, &recorded);
}

// Named options are meant even at their default, others are not even when they differ from it.
static void test_resume_given(void **state) {
    (void)state;
    const char *const given[] = {"steps", "seed"};
    char notes[4096] = "";
    wn_train_options recorded = unusual(), o;
    wn_train_defaults(&o);
    o.given = given;
    o.given_count = 2;
    o.lr = 0.5;
    wn__options_resume(&o, &recorded, collect, notes);
    assert_string_equal(notes, "seed: this run has 18446744073709551610; 1 is ignored\n"
                               "steps: 1000 from here on, 1099511627776 before\n");
    assert_true(o.steps == 1000 && o.lr == recorded.lr && o.seed == recorded.seed);
}

static void test_resume_rules(void **state) {
    (void)state;
    char notes[4096] = "";
    const char *rule = "mlp.*=2:4:row";
    wn_train_options recorded = unusual(), o;
    wn_train_defaults(&o);
    o.sparsity = &rule;
    o.sparsity_count = 1;
    wn__options_resume(&o, &recorded, collect, notes);
    assert_int_equal(o.sparsity_count, 2);
    assert_non_null(strstr(notes, "sparsity"));
    notes[0] = '\0';
    wn__options_resume(&o, &recorded, collect, notes); // the same rules: nothing to say
    assert_string_equal(notes, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_differs), cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_malformed),           cmocka_unit_test(test_resume_defaults),
        cmocka_unit_test(test_resume_changes),      cmocka_unit_test(test_resume_given),
        cmocka_unit_test(test_resume_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
