// SPDX-License-Identifier: MIT
// The options table: JSON and back, and what a resumed run takes over.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "train/options.h"
#include "unit/base/status.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Every field of the table unlike its default.
static wn_train_options unusual(void) {
    static const char *const rules[] = {"mlp.*=2:4", "*.0.*=dense"};
    wn_train_options o;
    wn_train_defaults(&o);
    o.data = "text \"quoted\".txt";
    o.eval_data = "held.tokens";
    o.eval_fraction = 0.1;
    o.pack = true;
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
    o.model_config = "llama_9m";
    o.round_intermediate = 4;
    o.tie_embeddings = false;
    o.rope_theta = 5e5;
    o.init_std = 0.1 / 3;
    o.seq_len = 128;
    o.seed = UINT64_MAX - 5;
    o.teacher = "t";
    o.distill_weight = 0.25;
    o.distill_temperature = 3;
    o.mask_every = 7;
    o.mask_freeze_after = 70;
    o.mask_dense_after = 700;
    o.mask_decay = 2e-4;
    o.scale_norm = true;
    o.scale_rule = "exact";
    o.lowrank_init = "auto";
    o.act_backward = "direct";
    o.act_permute = true;
    o.act_warmup = 9;
    o.act_dense = 0.2;
    o.act_every = 3;
    o.act_samples = 50;
    o.dtype = "bfloat16";
    o.fp8 = true;
    o.recompute = true;
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
    o.optimizer = "loro_adamw";
    o.momentum = 0.5;
    o.exact_every = 50;
    o.lr_scaler = 0.5;
    o.exact_core = "symmetric";
    o.exact_gauge = "none";
    o.refresh = "all";
    o.refresh_every = 60;
    o.moment_reset_every = 70;
    o.galore_rank = 8;
    o.galore_gap = 20;
    o.galore_scale = 1;
    o.galore_type = "left";
    o.schedule = "wsd";
    o.warmup = 0;
    o.wsd_decay = 3;
    o.restart_every = 100;
    o.restart_warmup = 4;
    o.lr_adjust = -100;
    o.restart_after_warmup = true;
    o.log_every = 1;
    o.eval_every = 2;
    o.eval_batches = 3;
    o.eval_tokens = 1000;
    o.galore_compat_eval = true;
    o.sample_every = 4;
    o.sample_prompt = "na\xc3\xafve\n";
    o.sample_tokens = 5;
    o.save_every = 6;
    o.keep = 7;
    o.save_last = false;
    o.log_flips = true;
    o.log_act_zeros = true;
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

// The line of a key, taken out.
static void cut(char *text, const char *key) {
    char quoted[64];
    (void)snprintf(quoted, sizeof quoted, "\"%s\":", key);
    char *at = strstr(text, quoted), *end = at != NULL ? strchr(at, '\n') : NULL;
    if (end == NULL) {
        fail_msg("no %s in %s", quoted, text);
        return;
    }
    memmove(at, end + 1, strlen(end + 1) + 1);
}

// Runs of before the teacher have nothing of it: none, that is. Whatever else is missing is
// refused.
static void test_earlier(void **state) {
    (void)state;
    wn_train_options o = unusual(), back, defaults;
    wn__json *j, *old;
    char *text;
    const char **rules;
    wn_train_defaults(&defaults);
    OK(wn__options_to_json(&o, &j));
    OK(wn__json_dump(j, 2, &text));
    cut(text, "teacher");
    cut(text, "distill_weight");
    cut(text, "distill_temperature");
    OK(wn__json_parse(text, strlen(text), "options", &old));
    OK(wn__options_from_json(old, "options", &back, &rules));
    assert_true(back.teacher == NULL && defaults.teacher == NULL);
    assert_true(back.distill_weight == defaults.distill_weight);
    assert_true(back.distill_temperature == defaults.distill_temperature);
    back.teacher = o.teacher;
    back.distill_weight = o.distill_weight;
    back.distill_temperature = o.distill_temperature;
    assert_equal(&o, &back);
    free((void *)rules);
    wn__json_free(old);
    cut(text, "batch_size");
    OK(wn__json_parse(text, strlen(text), "options", &old));
    assert_int_equal(wn__options_from_json(old, "options", &back, &rules), WN_FORMAT);
    assert_non_null(strstr(wn_last_error(), "batch_size"));
    wn__json_free(old);
    free(text);
    wn__json_free(j);
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
    o.lr = 0.5;          // may change
    o.layers = 9;        // may not
    o.data = "other";    // may not
    o.optimizer = "sgd"; // nor may this: the states are another one's
    o.dtype = "float32";
    o.act_permute = false; // as by default: not asked for
    o.act_warmup = 30;     // may
    o.batch_size = 3;      // as recorded: nothing to say
    o.schedule = "linear";
    wn__options_resume(&o, &recorded, collect, notes);
    assert_string_equal(notes, "data: this run has text \"quoted\".txt; other is ignored\n"
                               "layers: this run has 3; 9 is ignored\n"
                               "optimizer: this run has loro_adamw; sgd is ignored\n"
                               "act_warmup: 30 from here on, 9 before\n"
                               "lr: 0.5 from here on, 0.142857 before\n"
                               "schedule: linear from here on, wsd before\n");
    assert_true(o.lr == 0.5 && o.layers == 3 && o.batch_size == 3);
    assert_string_equal(o.schedule, "linear");
    assert_string_equal(o.data, recorded.data);
    recorded.lr = 0.5;
    recorded.act_warmup = 30;
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

// What was not given is what the run has, before anything is derived from it.
static void test_take(void **state) {
    (void)state;
    const char *const given[] = {"steps", "lr"};
    wn_train_options recorded = unusual(), o;
    wn_train_defaults(&o);
    o.given = given;
    o.given_count = 2;
    o.out = "here";
    o.batch_size = 16;
    wn__options_take(&o, &recorded);
    assert_true(o.steps == 1000 && o.lr == 1e-3);
    assert_true(o.batch_size == 3 && o.seed == UINT64_MAX - 5);
    assert_string_equal(o.schedule, "wsd");
    assert_string_equal(o.out, "here");
    assert_int_equal(o.sparsity_count, 0);
    recorded.steps = 1000;
    recorded.lr = 1e-3;
    o.sparsity = recorded.sparsity;
    o.sparsity_count = recorded.sparsity_count;
    assert_equal(&o, &recorded);
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

/* Ranges, words, and what suits the others. */

static void test_ranges(void **state) {
    (void)state;
    static const struct {
        size_t offset;
        int64_t value;
        const char *message;
    } counts[] = {{offsetof(wn_train_options, exact_every), -1, "exact_every is -1"},
                  {offsetof(wn_train_options, refresh_every), -1, "refresh_every is -1"},
                  {offsetof(wn_train_options, moment_reset_every), -2, "moment_reset_every is -2"},
                  {offsetof(wn_train_options, mask_dense_after), -1, "mask_dense_after is -1"},
                  {offsetof(wn_train_options, act_warmup), -1, "act_warmup is -1"},
                  {offsetof(wn_train_options, act_every), 0, "act_every is 0, expected at least 1"},
                  {offsetof(wn_train_options, act_samples), 0, "act_samples is 0"},
                  {offsetof(wn_train_options, galore_rank), 0, "galore_rank is 0"},
                  {offsetof(wn_train_options, galore_gap), 0, "galore_gap is 0"},
                  {offsetof(wn_train_options, restart_every), -1, "restart_every is -1"},
                  {offsetof(wn_train_options, eval_tokens), -1, "eval_tokens is -1"},
                  {offsetof(wn_train_options, round_intermediate), 0, "round_intermediate is 0"}};
    static const struct {
        size_t offset;
        double value;
        const char *message;
    } reals[] = {
        {offsetof(wn_train_options, beta2), 1, "beta2 is 1, expected at least 0 and less than 1"},
        {offsetof(wn_train_options, beta2), (double)NAN, "beta2 is"},
        {offsetof(wn_train_options, eps), 2, "eps is 2"},
        {offsetof(wn_train_options, momentum), 1.5, "momentum is 1.5"},
        {offsetof(wn_train_options, act_dense), -0.1, "act_dense is -0.1"},
        {offsetof(wn_train_options, lr_scaler), (double)INFINITY, "lr_scaler is inf"},
        {offsetof(wn_train_options, galore_scale), -1, "galore_scale is -1"}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        wn_train_options o = unusual();
        o.out = "run";
        memcpy((char *)&o + counts[i].offset, &counts[i].value, sizeof(int64_t));
        assert_int_equal(wn__options_check(&o), WN_INVALID);
        assert_non_null(strstr(wn_last_error(), counts[i].message));
    }
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        wn_train_options o = unusual();
        o.out = "run";
        memcpy((char *)&o + reals[i].offset, &reals[i].value, sizeof(double));
        assert_int_equal(wn__options_check(&o), WN_INVALID);
        assert_non_null(strstr(wn_last_error(), reals[i].message));
    }
}

// Each option that is a word refuses others and lists those there are.
static void test_words(void **state) {
    (void)state;
    static const struct {
        size_t offset;
        const char *name, *word;
    } words[] = {{offsetof(wn_train_options, mlp), "mlp", "'relu'"},
                 {offsetof(wn_train_options, dtype), "dtype", "'bfloat16'"},
                 {offsetof(wn_train_options, scale_rule), "scale_rule", "'exact'"},
                 {offsetof(wn_train_options, act_backward), "act_backward", "'split'"},
                 {offsetof(wn_train_options, exact_core), "exact_core", "'symmetric'"},
                 {offsetof(wn_train_options, exact_gauge), "exact_gauge", "'fix'"},
                 {offsetof(wn_train_options, refresh), "refresh", "'lrk'"},
                 {offsetof(wn_train_options, galore_type), "galore_type", "'reverse_std'"},
                 {offsetof(wn_train_options, lowrank_init), "init", "xavorth"},
                 {offsetof(wn_train_options, optimizer), "optimizer", "adafactor"},
                 {offsetof(wn_train_options, schedule), "schedule", "cosine_restart_zero"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        wn_train_options o = unusual();
        const char *magic = "magic";
        o.out = "run";
        OK(wn__options_check(&o));
        memcpy((char *)&o + words[i].offset, &magic, sizeof magic);
        assert_int_equal(wn__options_check(&o), WN_INVALID);
        assert_non_null(strstr(wn_last_error(), words[i].name));
        assert_non_null(strstr(wn_last_error(), "'magic'"));
        assert_non_null(strstr(wn_last_error(), words[i].word));
    }
    wn_train_options o = unusual();
    o.out = "run";
    o.schedule = "cosine_restart";
    o.restart_every = 0;
    assert_int_equal(wn__options_check(&o), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "restart_every is 0"));
    o.schedule = "cosine";
    o.exact_every = o.refresh_every = 0;
    assert_int_equal(wn__options_check(&o), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "refresh_every is 0"));
}

// What the words come to below.
static void test_meaning(void **state) {
    (void)state;
    wn_train_options o = unusual();
    wn__words w;
    OK(wn__options_words(&o, &w));
    assert_int_equal(w.optimizer.kind, WN_OPTIMIZER_LORO_ADAMW);
    assert_true(w.optimizer.exact.symmetric && !w.optimizer.exact.gauge);
    assert_true(w.optimizer.exact.least_ratio == 1e-6);
    assert_int_equal(w.optimizer.refresh, WN_REFRESH_ALL);
    assert_int_equal(w.optimizer.reset_every, 70);
    assert_int_equal(w.structure.scale_rule, WN_SCALE_AT_EXACT);
    assert_int_equal(w.structure.backward, WN_ACT24_DIRECT);
    assert_int_equal(w.structure.dense_after, 700);
    assert_true(w.structure.fp8 && w.structure.permute && w.structure.scale_norm);
    assert_string_equal(w.structure.init, "auto");
    assert_int_equal(w.schedule.kind, WN_SCHEDULE_WSD);
    assert_int_equal(w.schedule.adjust, -100);
    wn_train_defaults(&o);
    OK(wn__options_words(&o, &w));
    assert_int_equal(w.optimizer.kind, WN_OPTIMIZER_ADAMW);
    assert_int_equal(w.optimizer.refresh, WN_REFRESH_NONE);
    assert_int_equal(w.schedule.decay, 200); // a fifth of the steps
    wn__structure d = wn__structure_defaults();
    assert_int_equal(w.structure.act_warmup, d.act_warmup);
    assert_true(w.structure.act_dense == d.act_dense && w.structure.act_every == d.act_every);
}

// AdamW keeps its numbers; the published ones of LORO and GaLore are theirs.
static void test_settled(void **state) {
    (void)state;
    static const struct {
        const char *optimizer;
        double beta2, eps;
    } cases[] = {{"adamw", 0.95, 1e-8},
                 {"adam", 0.95, 1e-8},
                 {"adam8bit", 0.95, 1e-8},
                 {"loro_adamw", 0.999, 1e-6},
                 {"galore_adamw", 0.999, 1e-6}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wn_train_options o;
        wn_train_defaults(&o);
        o.optimizer = cases[i].optimizer;
        wn__options_settle(&o);
        assert_true(o.beta2 == cases[i].beta2 && o.eps == cases[i].eps);
        assert_int_equal(o.refresh_every, 0);
        o.beta2 = 0.5;
        o.eps = 0; // legal
        o.refresh = "lrk";
        wn__options_settle(&o);
        assert_true(o.beta2 == 0.5 && o.eps == 0);
        assert_int_equal(o.refresh_every, o.exact_every);
    }
}

static void test_given(void **state) {
    (void)state;
    const char *const names[] = {"lr"};
    wn_train_options o;
    wn_train_defaults(&o);
    assert_false(wn__options_given(&o, "lr"));
    o.lr = 5;
    assert_true(wn__options_given(&o, "lr"));
    o.given = names;
    o.given_count = 1;
    o.seed = 9;
    assert_true(wn__options_given(&o, "lr"));
    assert_false(wn__options_given(&o, "seed"));
    assert_false(wn__options_given(&o, "nonsense"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_differs),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_earlier),
        cmocka_unit_test(test_resume_defaults),
        cmocka_unit_test(test_resume_changes),
        cmocka_unit_test(test_resume_given),
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_resume_rules),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_meaning),
        cmocka_unit_test(test_settled),
        cmocka_unit_test(test_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
