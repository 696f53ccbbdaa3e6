// SPDX-License-Identifier: MIT
// 2:4 activations and inputs show in no weight, so a model directory says them: a session that
// opens it evaluates, generates and decodes as the trainer does, by every method, and does not when
// asked not to; a directory that says nothing is the dense model it was.
#include "formats/hf_sparsity.h"
#include "train_test.h"
#include "winnow/prune.h"

static wn_train_options sparse_options(void *const *state, const char *const *rules, size_t count) {
    const char *data = scratch_path(state, "text.txt");
    write_text(data, 3000, 1);
    wn_train_options o = small_options(scratch_path(state, "run"), data);
    o.mlp = "relu2";
    o.sparsity = rules;
    o.sparsity_count = count;
    o.act_warmup = 6;
    o.act_every = 3;
    o.steps = 14;
    o.lr = 1e-2;
    o.init_std = 0.2; // so that what is pruned matters
    return o;
}

static wn_session *open_run(void *const *state, bool automatic) {
    wn_session *s;
    const wn_session_options o = {.threads = 1, .auto_sparsity = automatic, .batch = 3};
    OK(wn_session_open(scratch_path(state, "run"), &o, &s));
    return s;
}

static double evaluated(void *const *state, wn_session *s) {
    wn_eval_result e;
    const wn_eval_options o = {.seq_len = 16};
    OK(wn_eval(s, scratch_path(state, "run/data/eval.tokens"), &o, &e));
    return e.loss;
}

static wn_model_info info_of(const wn_session *s) {
    wn_model_info info;
    wn_session_info(s, &info);
    return info;
}

// What the directory says.
static wn__hf_sparsity said_by(void *const *state) {
    wn__model_config c;
    wn__hf_sparsity s;
    OK(wn__hf_config_read(scratch_path(state, "run/latest"), &c));
    OK(wn__hf_sparsity_read(scratch_path(state, "run/latest"), &c, &s));
    return s;
}

static void near(double got, double want, const char *what) {
    if (!(fabs(got - want) <= 1e-6)) fail_msg("%s: %.17g, the trainer has %.17g", what, got, want);
}

// The last evaluation of the run, the same of its directory, and the dense one, which differs.
static void same_loss(void **state, const char *const *rules, size_t count, size_t activations,
                      size_t inputs, bool scaled) {
    wn_train_options o = sparse_options(state, rules, count);
    listener *l = run(&o);
    wn__hf_sparsity said = said_by(state);
    assert_int_equal(said.count, activations + inputs);
    for (size_t i = 0; i < said.count; i++)
        assert_true((said.item[i].scale != 0) == scaled);
    wn_session *s = open_run(state, true), *dense = open_run(state, false);
    wn_model_info info = info_of(s);
    assert_int_equal(info.sparse_activations, activations);
    assert_int_equal(info.sparse_inputs, inputs);
    assert_int_equal(info.sparse_layers, 0);
    near(evaluated(state, s), l->eval_loss, rules[0]);
    info = info_of(dense);
    assert_int_equal(info.sparse_activations + info.sparse_inputs, 0);
    assert_int_equal(info.trained_activations, activations);
    assert_int_equal(info.trained_inputs, inputs);
    if (fabs(evaluated(state, dense) - l->eval_loss) < 1e-5)
        fail_msg("%s: as good as dense", rules[0]);
    wn_session_free(s);
    wn_session_free(dense);
    wn__hf_sparsity_free(&said);
    free(l);
    OK(wn__dir_remove(o.out));
}

static void test_activations(void **state) {
    static const char *const methods[] = {"naive", "mvue", "soft", "soft_weights", "soft_dynamic"};
    for (size_t i = 0; i < 5; i++) {
        char text[48];
        const char *rules[] = {text, "model.layers.1.mlp.act=act2:4:mvue"};
        (void)snprintf(text, sizeof text, "mlp.act=act2:4:%s", methods[i]);
        same_loss(state, rules, 1, 2, 0, i >= 2);
        if (i < 2) same_loss(state, rules, 2, 2, 0, false);
    }
    const char *one[] = {"model.layers.1.mlp.act=act2:4:soft"};
    same_loss(state, one, 1, 1, 0, true);
}

static void test_inputs(void **state) {
    static const char *const rules[][2] = {{"*_proj=in2:4:soft"},
                                           {"*_proj=in2:4:mvue"},
                                           {"mlp.*_proj=in2:4:soft", "lm_head=in2:4:soft"},
                                           {"*_proj=in2:4:soft", "mlp.act=act2:4:soft"}};
    same_loss(state, rules[0], 1, 0, 12, true);
    same_loss(state, rules[1], 1, 0, 12, false);
    same_loss(state, rules[3], 2, 2, 12, true);
    wn_train_options o = sparse_options(state, rules[2], 2); // a tied head has no input of its own
    assert_int_equal(train_quietly(&o), WN_INVALID);
    assert_message("lm_head");
    OK(wn__dir_remove(o.out));
    o.tie_embeddings = false;
    OK(train_quietly(&o));
    wn_session *s = open_run(state, true);
    assert_int_equal(info_of(s).sparse_inputs, 5);
    near(evaluated(state, s), last_value(o.out, "eval", "loss"), rules[2][0]);
    wn_session_free(s);
}

// Structured weights beside them: these are found by their zeros.
static void test_with_weights(void **state) {
    const char *rules[] = {"mlp.act=act2:4:soft", "mlp.*_proj=2:4:tile"};
    wn_train_options o = sparse_options(state, rules, 2);
    OK(train_quietly(&o));
    wn_session *s = open_run(state, true);
    wn_model_info info = info_of(s);
    assert_int_equal(info.sparse_layers, 4);
    assert_int_equal(info.sparse_activations, 2);
    near(evaluated(state, s), last_value(o.out, "eval", "loss"), "with weights");
    wn_session_free(s);
}

// Nothing is pruned before the first sparse update, and soft methods begin with it.
static void test_warmup(void **state) {
    const char *rule = "mlp.act=act2:4:soft", *naive = "mlp.act=act2:4:naive";
    wn_train_options o = sparse_options(state, &rule, 1);
    o.save_every = 1;
    o.eval_every = 1;
    OK(train_quietly(&o));
    wn_series losses = read_series(o.out, "eval", "loss");
    assert_int_equal(losses.count, 14);
    for (int step = 5; step < 9; step++) {
        char name[64];
        const wn_session_options so = {.threads = 1, .auto_sparsity = true};
        wn_session *s;
        (void)snprintf(name, sizeof name, "run/step-%06d", step);
        OK(wn_session_open(scratch_path(state, name), &so, &s));
        assert_int_equal(info_of(s).sparse_activations, step < 7 ? 0 : 2);
        near(evaluated(state, s), losses.y[step - 1], name);
        wn_session_free(s);
    }
    wn_series_free(&losses);
    OK(wn__dir_remove(o.out));
    o.sparsity = &naive;
    o.steps = 6; // an evaluation from here on prunes
    OK(train_quietly(&o));
    wn__hf_sparsity said = said_by(state);
    assert_int_equal(said.count, 2);
    wn__hf_sparsity_free(&said);
}

// A resumed run says the same as one that was not interrupted.
static void test_resumed(void **state) {
    const char *rules[] = {"mlp.act=act2:4:soft_dynamic", "self_attn.*=in2:4:soft"};
    wn_train_options o = sparse_options(state, rules, 2);
    OK(train_quietly(&o));
    o.out = scratch_path(state, "parts");
    train_until(&o, 3);
    o.resume = true;
    train_until(&o, 8);
    OK(train_quietly(&o));
    assert_same_file(scratch_path(state, "run/latest"), scratch_path(state, "parts/latest"),
                     "config.json");
}

// Text made with a cache, token by token, is that of whole passes; and not that of a dense model.
static void test_decodes(void **state) {
    const char *rules[] = {"mlp.act=act2:4:naive", "self_attn.*=in2:4:soft"};
    wn_train_options o = sparse_options(state, rules, 2);
    o.steps = 40;
    o.seq_len = 32;
    OK(train_quietly(&o));
    wn_session *s = open_run(state, true);
    wn_tokens cached = {0}, whole = {0};
    wn_generate_options g = {.sampling = {.temperature = 1, .top_p = 1, .seed = 4},
                             .max_tokens = 20,
                             .ignore_eos = true};
    OK(wn_generate(s, "the cat", 7, &g, NULL, NULL, &cached, NULL));
    g.no_cache = true;
    OK(wn_generate(s, "the cat", 7, &g, NULL, NULL, &whole, NULL));
    assert_int_equal(cached.count, 20);
    assert_int_equal(whole.count, 20);
    assert_memory_equal(cached.id, whole.id, 20 * sizeof *cached.id);
    wn_tokens_free(&cached);
    wn_tokens_free(&whole);
    wn_session_free(s);
}

// Rules given by hand: by magnitude without any scale, by a soft one with the directory's.
static void test_rules_by_hand(void **state) {
    const char *rule = "mlp.act=act2:4:soft";
    wn_train_options o = sparse_options(state, &rule, 1);
    OK(train_quietly(&o));
    double want = last_value(o.out, "eval", "loss"), loss[3];
    static const char *const given[] = {"mlp.act=act2:4:soft", "mlp.act=act2:4:naive",
                                        "mlp.act=act2:4:mvue"};
    for (int i = 0; i < 3; i++) {
        wn_session *s;
        const wn_session_options so = {.threads = 1, .sparsity = &given[i], .sparsity_count = 1};
        OK(wn_session_open(o.out, &so, &s));
        assert_int_equal(info_of(s).sparse_activations, 2);
        loss[i] = evaluated(state, s);
        wn_session_free(s);
    }
    near(loss[0], want, "the rule of training");
    if (!(fabs(loss[1] - want) > 1e-5 && loss[1] == loss[2]))
        fail_msg("%.17g and %.17g, the run has %.17g", loss[1], loss[2], want);
    static const char *const unscaled[] = {"mlp.act=act2:4:soft_weights", "mlp.*_proj=in2:4:soft"};
    for (int i = 0; i < 2; i++) {
        wn_session *s;
        const wn_session_options so = {.threads = 1, .sparsity = &unscaled[i], .sparsity_count = 1};
        assert_int_equal(wn_session_open(o.out, &so, &s), WN_INVALID);
        assert_message("needs a scale");
        assert_message(i == 0 ? "model.layers.0.mlp.act" : "model.layers.0.mlp.up_proj");
    }
}

static void ignore(void *ctx, const wn_tensor_report *t) {
    (void)ctx;
    (void)t;
}

static void test_inspect(void **state) {
    const char *rules[] = {"mlp.act=act2:4:soft", "model.layers.0.mlp.act=act2:4:naive",
                           "self_attn.*=in2:4:mvue"};
    wn_train_options o = sparse_options(state, rules, 3);
    OK(train_quietly(&o));
    char *text;
    OK(wn_inspect(o.out, false, ignore, NULL, &text));
    assert_non_null(strstr(text,
                           "embeddings\n2:4 activations in 1 MLP (naive)\n"
                           "2:4 activations in 1 MLP (soft)\n2:4 inputs in 8 layers (mvue)\n"));
    free(text);
}

// A directory of a run without any is what it always was, whatever is asked of the session.
static void test_dense(void **state) {
    const char *rule = "mlp.*=2:4";
    wn_train_options o = sparse_options(state, &rule, 1);
    OK(train_quietly(&o));
    char *bytes, *text;
    size_t size;
    OK(wn__file_read(scratch_path(state, "run/latest/config.json"), 0, &bytes, &size));
    assert_null(memmem(bytes, size, "activation_sparsity", 19));
    assert_null(memmem(bytes, size, "input_sparsity", 14));
    free(bytes);
    OK(wn_inspect(o.out, false, ignore, NULL, &text));
    assert_non_null(strstr(text, "2:4 weights in 4 layers (tile)"));
    assert_null(strstr(text, "2:4 activations"));
    assert_null(strstr(text, "2:4 inputs"));
    free(text);
    for (int automatic = 0; automatic < 2; automatic++) {
        wn_session *s = open_run(state, automatic);
        wn_model_info info = info_of(s);
        assert_int_equal(info.sparse_activations + info.sparse_inputs, 0);
        assert_int_equal(info.trained_activations + info.trained_inputs, 0);
        assert_int_equal(info.sparse_layers, automatic ? 4 : 0);
        near(evaluated(state, s), last_value(o.out, "eval", "loss"), "dense");
        wn_session_free(s);
    }
}

// What is wrong with the member refuses the directory.
static void test_damaged(void **state) {
    const char *rule = "mlp.act=act2:4:soft";
    wn_train_options o = sparse_options(state, &rule, 1);
    OK(train_quietly(&o));
    const char *path = scratch_path(state, "run/latest/config.json");
    char *bytes, *text;
    size_t size;
    OK(wn__file_read(path, 0, &bytes, &size));
    char *method = memmem(bytes, size, "\"soft\"", 6);
    assert_non_null(method);
    memcpy(method, "\"sift\"", 6);
    OK(wn__file_write(path, bytes, size));
    free(bytes);
    wn_session *s;
    const wn_session_options so = {.threads = 1, .auto_sparsity = true};
    assert_int_equal(wn_session_open(o.out, &so, &s), WN_FORMAT);
    assert_message("config.json: 'winnow' 'activation_sparsity' [0]: 'method' is 'sift'");
    OK(wn_inspect(o.out, false, ignore, NULL, &text));
    assert_non_null(strstr(text, "configuration not read"));
    free(text);
}

/* Weights show their pattern, so what is said of them is a claim that can be checked. */

// What the directory of a run with these rules says of its weights: "layer=method " each.
static void says_of_weights(void **state, const wn_train_options *base, const char *const *rules,
                            size_t count, const char *want) {
    wn_train_options o = *base;
    wn_validate_result r;
    char text[1024] = "";
    o.sparsity = rules;
    o.sparsity_count = count;
    OK(train_quietly(&o));
    wn__hf_sparsity said = said_by(state);
    for (size_t i = 0; i < said.weights; i++) {
        size_t used = strlen(text);
        (void)snprintf(text + used, sizeof text - used, "%s=%s ", said.weight[i].layer,
                       said.weight[i].method);
    }
    assert_string_equal(text, want);
    OK(wn_validate(o.out, 1, NULL, NULL, &r));
    if (r.problems != 0) fail_msg("%s: %zu problems", rules[0], r.problems);
    assert_int_equal(r.recorded, said.weights);
    assert_int_equal(r.sparse_layers, said.weights);
    wn__hf_sparsity_free(&said);
    OK(wn__dir_remove(o.out));
}

static void test_weights_said(void **state) {
    wn_train_options o = sparse_options(state, NULL, 0);
    o.steps = 5;
    o.layers = 1;
    o.save_every = 1;
    const char *rules[] = {"self_attn.q_proj=2:4:row", "mlp.up_proj=2:4:sste",
                           "mlp.down_proj=2:4:tile+mvue"};
    says_of_weights(state, &o, rules, 3,
                    "model.layers.0.self_attn.q_proj=row model.layers.0.mlp.up_proj=row "
                    "model.layers.0.mlp.down_proj=tile ");
    rules[0] = "mlp.*=2:4:greedy"; // the best tile may be out of its reach: rows stay short
    says_of_weights(state, &o, rules, 1,
                    "model.layers.0.mlp.up_proj=tile model.layers.0.mlp.down_proj=tile ");
    // Sparse factors make a dense weight; an adapter's is dense, and so is one with 2:4 inputs.
    rules[0] = "mlp.up_proj=lowrank:4+2:4";
    rules[1] = "mlp.down_proj=in2:4:soft";
    says_of_weights(state, &o, rules, 2, "");
    o.tie_embeddings = false; // a head of its own, and a width that leaves groups of three
    o.intermediate_size = 27;
    rules[0] = "lm_head=2:4:row";
    rules[1] = "mlp.down_proj=2:4:row";
    says_of_weights(state, &o, rules, 2, "model.layers.0.mlp.down_proj=row lm_head=row ");
}

// Only as long as they are: fine-tuned densely, nothing is said, rounded ones are 2:4 all the same.
static void test_weights_said_at_the_end(void **state) {
    wn_train_options o = sparse_options(state, NULL, 0);
    const char *rules[] = {"mlp.*=2:4:tile"};
    o.steps = 5;
    o.layers = 1;
    o.dtype = "bfloat16";
    says_of_weights(state, &o, rules, 1,
                    "model.layers.0.mlp.up_proj=tile model.layers.0.mlp.down_proj=tile ");
    o.mask_dense_after = 4;
    says_of_weights(state, &o, rules, 1, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_activations), TEST(test_inputs),        TEST(test_with_weights),
        TEST(test_warmup),      TEST(test_resumed),       TEST(test_decodes),
        TEST(test_inspect),     TEST(test_rules_by_hand), TEST(test_dense),
        TEST(test_damaged),     TEST(test_weights_said),  TEST(test_weights_said_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
