// SPDX-License-Identifier: MIT
// What the methods of training say, write, export and take over.
#include "train_test.h"

#include "formats/safetensors.h"
#include <math.h>

/* Methods: what they say and write. */

static wn_train_options method_options(void *const *state, const char *name,
                                       const char *const *rule) {
    wn_train_options o = small_options(scratch_path(state, name), text_file(state, 3000));
    o.sparsity = rule;
    o.sparsity_count = 1;
    return o;
}

// run.json sums up what was trained: the model's parameters with factors in place of weights, the
// bytes of factors and head, and FLOPs.
static void check_summary(const wn_train_options *o) {
    char path[4200];
    wn__json *j;
    double flops = 0;
    (void)snprintf(path, sizeof path, "%s/run.json", o->out);
    OK(wn__json_read(path, 0, &j));
    const wn__json *summary = wn__json_get(j, "summary");
    int64_t all = wn__json_int(wn__json_get(j, "parameters")),
            trained = wn__json_int(wn__json_get(summary, "parameters")),
            bytes = wn__json_int(wn__json_get(summary, "forward_bytes"));
    int64_t head =
        wn__json_int(wn__json_get(wn__json_get(j, "model"), "vocab_size")) * o->hidden_size;
    assert_int_equal(trained, all - 6144 + 2304);
    assert_int_equal(bytes, 4 * (2304 + (o->tie_embeddings ? 0 : head)));
    OK(wn__json_get_real(summary, path, "flops_per_token", NULL, &flops));
    assert_true(flops > 6 * 2304);
    wn__json_free(j);
}

// Exact steps of the pairs of all layers at updates 5, 10, ...; a session counts on from the last.
static void test_exact(void **state) {
    const char *rule = "*_proj=lowrank:4";
    wn_train_options o = method_options(state, "run", &rule);
    o.optimizer = "loro_adamw";
    o.exact_every = 5;
    listener *l = run(&o);
    assert_int_equal(l->count[WN_EVENT_EXACT], 4);
    assert_int_equal(l->exact, 12); // six layers a block
    assert_int_equal(l->fell_back, 0);
    assert_true(l->moved > 0 && l->exact_before > 0 && l->exact_after > 0);
    assert_true(fabs(l->exact_after - l->exact_before) < 0.2);
    assert_true(last_value(o.out, "exact", "pairs_in_all") == 48);
    assert_non_null(strstr(l->text, "replaced 12 modules by lowrank 4: 6144 parameters, 0.02 "
                                    "MiB -> 2304"));
    assert_non_null(strstr(l->text, "initialized 12 low-rank modules by xavier"));
    check_summary(&o);
    assert_non_null(strstr(l->text, "exact step every 5 (core paper, gauge fix)"));
    o.resume = true;
    o.steps = 30;
    OK(wn_train(&o, listen, NULL, l));
    assert_true(last_value(o.out, "exact", "pairs_in_all") == 72);
    free(l);
}

// Constant factors have rank 1: every exact step is refused, said once, and counted for good.
static void test_exact_refused(void **state) {
    const char *rule = "mlp.*=lowrank:4";
    wn_train_options o = method_options(state, "run", &rule);
    o.optimizer = "loro_adamw";
    o.exact_every = 4;
    o.lowrank_init = "const_0.1";
    o.steps = 4;
    listener *l = run(&o);
    assert_int_equal(l->count[WN_EVENT_EXACT], 1);
    assert_int_equal(l->exact, 0);
    assert_int_equal(l->fell_back, 4);
    assert_non_null(strstr(l->text, "was refused"));
    o.resume = true;
    o.steps = 8;
    OK(wn_train(&o, listen, NULL, l));
    assert_int_equal(l->fell_back, 8);
    free(l);
}

// An option that nothing reads is named; one that is read, or was not given, is not.
static void test_idle(void **state) {
    const char *sste = "mlp.*=2:4:sste", *tile = "mlp.*=2:4:tile";
    wn_train_options o = method_options(state, "run", &sste);
    o.steps = 1;
    o.mask_decay = 1e-4;
    o.act_permute = true;
    o.exact_every = 4;
    o.galore_rank = 3;
    o.lr_adjust = -5;
    o.scale_norm = true;
    listener *l = run(&o);
    assert_non_null(strstr(l->text, "mask_decay has no effect: no layer is 2:4:tile"));
    assert_non_null(strstr(l->text, "act_permute has no effect"));
    assert_non_null(strstr(l->text, "exact_every has no effect: it is for loro_adamw"));
    assert_non_null(strstr(l->text, "galore_rank has no effect"));
    assert_non_null(strstr(l->text, "lr_adjust has no effect: the schedule has no restarts"));
    assert_null(strstr(l->text, "scale_norm has no effect"));
    assert_null(strstr(l->text, "mask_every has no effect"));
    free(l);
    o = method_options(state, "tile", &tile);
    o.steps = 1;
    o.mask_decay = 1e-4;
    l = run(&o);
    assert_null(strstr(l->text, "has no effect"));
    free(l);
}

static void test_layer_series(void **state) {
    const char *rules[] = {"mlp.act=act2:4", "self_attn.*=2:4:sste"};
    wn_train_options o = method_options(state, "run", rules);
    o.sparsity_count = 2;
    o.act_warmup = 4;
    o.steps = 8;
    listener *l = run(&o);
    assert_int_equal(l->count[WN_EVENT_ACT], 8);
    assert_true(l->zeros > 0.2 && l->zeros < 0.9 && l->dropped > 0);
    assert_non_null(strstr(l->text, "2:4 activations enabled in 2 MLPs, after 4 dense updates"));
    wn_series s;
    assert_int_equal(wn_metrics_series(o.out, "act", "step", "sparsity_relu/layer_0", &s),
                     WN_INVALID);
    o.out = scratch_path(state, "logged");
    o.log_flips = o.log_act_zeros = true;
    OK(train_quietly(&o));
    assert_same_run(scratch_path(state, "run"), o.out);
    double a = last_value(o.out, "act", "sparsity_relu/layer_0");
    double b = last_value(o.out, "act", "sparsity_relu/layer_1");
    assert_true(fabs(last_value(o.out, "act", "sparsity_relu/mean_across_layers") - (a + b) / 2) <
                1e-12);
    assert_true(fabs(l->zeros - (a + b) / 2) < 1e-12);
    assert_true(last_value(o.out, "mask", "flip_rate/total") == last_value(o.out, "mask", "flips"));
    assert_true(last_value(o.out, "mask", "flip_rate/max") ==
                last_value(o.out, "mask", "flips_max"));
    assert_true(last_value(o.out, "mask", "flip_rate/model.layers.1.self_attn.q_proj") >= 0);
    free(l);
}

// Zeros can be counted where nothing is pruned, and that changes nothing.
static void test_zeros_of_dense(void **state) {
    const char *rule = "mlp.*=2:4";
    wn_train_options o = method_options(state, "plain", &rule);
    OK(train_quietly(&o));
    o.out = scratch_path(state, "counted");
    o.log_act_zeros = true;
    o.mlp = "relu2";
    listener *l = run(&o);
    assert_int_equal(l->count[WN_EVENT_ACT], 24);
    assert_true(l->zeros > 0.2 && l->dropped == 0);
    assert_true(last_value(o.out, "act", "sparsity_relu/layer_1") > 0.2);
    assert_null(strstr(l->text, "2:4 activations"));
    assert_same_run(scratch_path(state, "plain"), o.out);
    free(l);
    o.out = scratch_path(state, "gated");
    o.mlp = "swiglu";
    l = run(&o);
    assert_int_equal(l->count[WN_EVENT_ACT], 0);
    free(l);
}

// Where some blocks prune, the others are counted too; what is dropped is of those that prune.
static void test_zeros_of_some(void **state) {
    const char *rule = "model.layers.1.mlp.act=act2:4";
    wn_train_options o = method_options(state, "run", &rule);
    o.act_warmup = 4;
    listener *l = run(&o);
    assert_true(last_value(o.out, "act", "zeros_min") == last_value(o.out, "act", "zeros_max"));
    double dropped = l->dropped;
    free(l);
    o.out = scratch_path(state, "counted");
    o.log_act_zeros = true;
    l = run(&o);
    assert_same_run(scratch_path(state, "run"), o.out);
    assert_true(l->dropped == dropped && dropped > 0);
    double a = last_value(o.out, "act", "sparsity_relu/layer_0"),
           b = last_value(o.out, "act", "sparsity_relu/layer_1");
    assert_true(a > 0.2 && b > 0.2 && fabs(l->zeros - (a + b) / 2) < 1e-12);
    assert_non_null(strstr(l->text, "2:4 activations enabled in 1 MLPs"));
    free(l);
}

// Dense fine-tuning: the masks are there until then, and the weights are whole in the end.
static void test_dense_after(void **state) {
    static const char name[] = "model.layers.0.mlp.up_proj.weight";
    const char *rule = "mlp.*=2:4:tile";
    wn_train_options o = method_options(state, "run", &rule);
    o.mask_dense_after = 10;
    o.save_every = 8;
    OK(train_quietly(&o));
    for (int i = 0; i < 2; i++) {
        wn__safetensors st = {0};
        OK(wn__safetensors_open(scratch_path(state, i == 0 ? "run/step-000008/model.safetensors"
                                                           : "run/latest/model.safetensors"),
                                &st));
        assert_true(is_2_of_4(&wn__safetensors_find(&st, name)->view) == (i == 0));
        wn__safetensors_close(&st);
    }
}

// Logging, evaluating and sampling draw nothing that training draws.
static void method_observed(void **state, const char *name, const char *const *rules,
                            size_t count) {
    wn_train_options o = method_options(state, name, rules);
    char plain[700];
    (void)snprintf(plain, sizeof plain, "%s", o.out);
    o.sparsity_count = count;
    o.act_warmup = 4;
    o.log_every = 5;
    o.optimizer = "loro_adamw";
    o.exact_every = 5;
    OK(train_quietly(&o));
    o.out = scratch_path(state, "observed");
    OK(wn__dir_remove(o.out));
    o.eval_every = 1;
    o.eval_batches = 2;
    o.sample_every = 3;
    o.sample_tokens = 3;
    OK(train_quietly(&o));
    assert_same_run(plain, o.out);
}

static void test_observed_methods(void **state) {
    const char *sste[] = {"mlp.*=2:4:sste+mvue"}, *loro[] = {"*_proj=lowrank:4+2:4+mvue-approx"},
               *act[] = {"mlp.act=act2:4:mvue", "mlp.down_proj=2:4:tile+mvue"},
               *in[] = {"self_attn.*=in2:4:soft", "mlp.*_proj=in2:4:mvue"};
    method_observed(state, "sste", sste, 1);
    method_observed(state, "loro", loro, 1);
    method_observed(state, "act", act, 2);
    method_observed(state, "in", in, 2);
}

// What is exported is what the forward pass multiplies by: a session that knows no structure finds
// the trainer's loss.
static void test_session_methods(void **state) {
    static const char *const rules[] = {"mlp.*=2:4:sste+mvue", "*_proj=lowrank:4",
                                        "*_proj=lowrank:8+2:4", "*_proj=adapter:4:2"};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        wn_train_options o = method_options(state, "run", &rules[i]);
        listener *l = run(&o);
        wn_session *s;
        wn_eval_result e;
        const wn_session_options so = {.threads = 1, .auto_sparsity = true, .batch = 3};
        OK(wn_session_open(o.out, &so, &s));
        OK(wn_eval(s, scratch_path(state, "run/data/eval.tokens"),
                   &(wn_eval_options){.seq_len = 16}, &e));
        if (!(fabs(e.loss - l->eval_loss) < 1e-5 * e.loss))
            fail_msg("%s: %.17g, the trainer has %.17g", rules[i], e.loss, l->eval_loss);
        wn_session_free(s);
        free(l);
        OK(wn__dir_remove(o.out));
    }
}

// A session with the trainer's numerics finds its loss, with plain float32 another one.
static void test_session_numerics(void **state) {
    static const char *const rules[][2] = {{NULL, "float32 fp8"},
                                           {NULL, "bfloat16"},
                                           {NULL, "bfloat16 fp8"},
                                           {"mlp.*=2:4:sste", "bfloat16"},
                                           {"mlp.*=2:4:tile", "bfloat16 fp8"}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        wn_train_options o = method_options(state, "run", &rules[i][0]);
        o.sparsity_count = rules[i][0] != NULL;
        o.dtype = strncmp(rules[i][1], "bfloat16", 8) == 0 ? "bfloat16" : "float32";
        o.fp8 = strstr(rules[i][1], "fp8") != NULL;
        listener *l = run(&o);
        double loss[2];
        for (int plain = 0; plain < 2; plain++) {
            wn_session *s;
            wn_eval_result e;
            wn_session_options so = {.threads = 1, .auto_sparsity = true, .batch = o.batch_size};
            so.dtype = plain ? "float32" : o.dtype;
            so.fp8 = !plain && o.fp8;
            OK(wn_session_open(o.out, &so, &s));
            OK(wn_eval(s, scratch_path(state, "run/data/eval.tokens"),
                       &(wn_eval_options){.seq_len = o.seq_len}, &e));
            loss[plain] = e.loss;
            wn_session_free(s);
        }
        if (loss[0] != l->eval_loss || loss[1] == loss[0])
            fail_msg("%s, %s: %.17g, plain %.17g, the trainer has %.17g",
                     rules[i][0] != NULL ? rules[i][0] : "dense", rules[i][1], loss[0], loss[1],
                     l->eval_loss);
        free(l);
        wn_session *none;
        const wn_session_options wrong = {.threads = 1, .dtype = "float16"};
        assert_int_equal(wn_session_open(o.out, &wrong, &none), WN_INVALID);
        assert_message("dtype is 'float16', expected one of 'float32', 'bfloat16'");
        OK(wn__dir_remove(o.out));
    }
}

// A trained dense model taken over: by factors of full rank and by an adapter it is the same model,
// by factors of low rank a worse one.
static void test_init_from_factors(void **state) {
    static const char *const rules[] = {"*_proj=lowrank:16", "*_proj=adapter:4",
                                        "*_proj=lowrank:1"};
    const char *data = text_file(state, 3000);
    wn_train_options o = small_options(scratch_path(state, "dense"), data);
    o.lr = 2e-2;
    o.steps = 250;
    listener *dense = run(&o);
    for (size_t i = 0; i < 3; i++) {
        wn_train_options p = method_options(state, "run", &rules[i]);
        p.tokenizer = NULL;
        p.init_from = o.out;
        p.steps = 0;
        listener *l = run(&p);
        double more = l->eval_loss - dense->eval_loss;
        if (i < 2 && !(fabs(more) < 1e-4)) fail_msg("%s: %g more", rules[i], more);
        if (i == 2 && !(more > 0.05)) fail_msg("%s: %g more", rules[i], more);
        free(l);
        OK(wn__dir_remove(p.out));
    }
    free(dense);
}

// Plan, table and memory of every structure, and nothing is written.
static void test_dry_structures(void **state) {
    static const char *const rules[][2] = {
        {"mlp.*=2:4:sste+mvue", "2:4 sste + mvue"}, {"mlp.*=2:4:greedy", "2:4 greedy"},
        {"*_proj=lowrank:4", "lowrank 4"},          {"*_proj=lowrank:8+2:4", "lowrank 8 + 2:4"},
        {"*_proj=adapter:4", "adapter 4"},          {"mlp.act=act2:4:soft", "act 2:4 soft"},
        {"*_proj=in2:4:soft", "in 2:4 soft + mvue"}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        wn_train_options o = method_options(state, "run", rules[i]);
        o.dry_run = true;
        o.data = NULL;
        listener *l = run(&o);
        if (strstr(l->text, rules[i][1]) == NULL)
            fail_msg("'%s' is not in %s", rules[i][1], l->text);
        assert_non_null(strstr(l->text, "\nmemory "));
        assert_true(said(l, "data     none, for a dry run"));
        assert_false(wn__dir_exists(o.out));
        assert_int_equal(l->count[WN_EVENT_STEP] + l->count[WN_EVENT_SAVE], 0);
        free(l);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_exact),
        TEST(test_exact_refused),
        TEST(test_idle),
        TEST(test_layer_series),
        TEST(test_zeros_of_dense),
        TEST(test_zeros_of_some),
        TEST(test_dense_after),
        TEST(test_observed_methods),
        TEST(test_session_methods),
        TEST(test_session_numerics),
        TEST(test_init_from_factors),
        TEST(test_dry_structures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
