// SPDX-License-Identifier: MIT
// Training from end to end on a small text: it learns, says what it does, writes what it promises,
// and gives the same bits whatever does not belong to the mathematics.
#include "train_test.h"

#include "base/fail.h"
#include "data/shard.h"
#include "formats/safetensors.h"
#include <math.h>
#include <unistd.h>

static void learns(void **state, const char *rule, const char *mlp) {
    wn_train_options o = small_options(scratch_path(state, mlp), text_file(state, 8000));
    o.mlp = mlp;
    o.hidden_size = 32;
    o.batch_size = 4;
    o.steps = 120;
    o.lr = 1e-2;
    o.sparsity = &rule;
    o.sparsity_count = rule != NULL;
    listener *l = run(&o);
    assert_true(fabs(l->first_loss - log(257)) < 0.1); // small weights: every byte about as likely
    assert_true(l->last_loss < 2.2);                   // a memoryless model of this text has 2.8
    assert_true(l->eval_loss < 2.3);
    assert_true(fabs(l->bits_per_byte - l->eval_loss / log(2)) < 1e-12); // bytes are the tokens
    assert_int_equal(l->count[WN_EVENT_STEP], 120);
    assert_int_equal(l->count[WN_EVENT_EVAL], 1);
    assert_int_equal(l->count[WN_EVENT_SAVE], 1);
    assert_int_equal(l->count[WN_EVENT_MASK], rule != NULL ? 120 : 0);
    free(l);
}

static void test_learns(void **state) {
    learns(state, NULL, "relu2");
}

static void test_learns_sparse(void **state) {
    learns(state, "mlp.*=2:4:tile", "swiglu");
}

static void test_files(void **state) {
    static const char *const files[] = {"run.json",
                                        "metrics.jsonl",
                                        "tokenizer.json",
                                        "data/train.tokens",
                                        "data/eval.tokens",
                                        "step-000002/config.json",
                                        "step-000002/generation_config.json",
                                        "step-000002/tokenizer.json",
                                        "step-000002/tokenizer_config.json",
                                        "step-000002/model.safetensors",
                                        "step-000002/training.safetensors",
                                        "step-000002/state.json",
                                        "latest/state.json"};
    const char *out = scratch_path(state, "deep/run");
    wn_train_options o = small_options(out, text_file(state, 2000));
    o.steps = 2;
    o.resolved = "{\"answer\": 42}";
    listener *l = run(&o);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[1200];
        (void)snprintf(path, sizeof path, "%s/%s", out, files[i]);
        if (!wn__file_exists(path)) fail_msg("%s is missing", path);
    }
    assert_non_null(strstr(l->saved, "step-000002"));
    free(l);
    wn__names names;
    OK(wn__dir_list(out, &names));
    assert_int_equal(names.count, 6); // nothing temporary is left
    wn__names_free(&names);
    wn__json *j;
    char path[1200];
    (void)snprintf(path, sizeof path, "%s/run.json", out);
    OK(wn__json_read(path, 0, &j));
    assert_int_equal(wn__json_int(wn__json_get(wn__json_get(j, "options"), "answer")), 42);
    assert_int_equal(wn__json_int(wn__json_get(wn__json_get(j, "train"), "hidden_size")), 16);
    wn__json_free(j);
}

// The exact line that other tools look for, and one of its own for what is not an MLP layer.
static void test_sparsity_line(void **state) {
    const char *mlp = "mlp.*=2:4", *all = "*_proj=2:4:row";
    wn_train_options o = small_options(scratch_path(state, "a"), text_file(state, 2000));
    o.steps = 1;
    listener *l = run(&o);
    assert_null(strstr(l->text, "sparsity enabled"));
    free(l);
    o.out = scratch_path(state, "b");
    o.sparsity = &mlp;
    o.sparsity_count = 1;
    l = run(&o);
    assert_true(said(l, "2:4 sparsity enabled - converted 4 MLP layers"));
    assert_null(strstr(l->text, "outside"));
    free(l);
    o.out = scratch_path(state, "c");
    o.mlp = "swiglu";
    o.sparsity = &all;
    l = run(&o);
    assert_true(said(l, "2:4 sparsity enabled - converted 6 MLP layers"));
    assert_true(said(l, "2:4 sparsity enabled outside the MLP - converted 8 layers"));
    free(l);
}

// model.safetensors holds what the forward pass multiplies by; training.safetensors the dense
// masters.
static void test_exported_weights(void **state) {
    const char *rule = "mlp.*=2:4", *name = "model.layers.1.mlp.up_proj.weight";
    wn_train_options o = small_options(scratch_path(state, "run"), text_file(state, 2000));
    o.steps = 3;
    o.sparsity = &rule;
    o.sparsity_count = 1;
    OK(train_quietly(&o));
    wn__safetensors st;
    OK(wn__safetensors_open(scratch_path(state, "run/latest/model.safetensors"), &st));
    assert_true(is_2_of_4(&wn__safetensors_find(&st, name)->view));
    assert_false(
        is_2_of_4(&wn__safetensors_find(&st, "model.layers.1.self_attn.q_proj.weight")->view));
    wn__safetensors_close(&st);
    OK(wn__safetensors_open(scratch_path(state, "run/latest/training.safetensors"), &st));
    assert_false(is_2_of_4(&wn__safetensors_find(&st, name)->view));
    assert_non_null(wn__safetensors_find(&st, "model.layers.1.mlp.up_proj.weight.m"));
    wn__safetensors_close(&st);
}

// One update over the same windows, whole and in parts: the same mean loss and nearly the same
// gradient.
static void test_accumulation(void **state) {
    double loss[3], gnorm[3];
    const char *data = text_file(state, 3000), *names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        wn_train_options o = small_options(scratch_path(state, names[i]), data);
        o.shuffle = false;
        o.steps = 5;
        o.batch_size = 4 >> i;
        o.grad_accum = 1 << i;
        OK(train_quietly(&o));
        wn_series s = read_series(o.out, "step", "loss"), g = read_series(o.out, "step", "gnorm");
        assert_int_equal(s.count, 5);
        loss[i] = s.y[4];
        gnorm[i] = g.y[4];
        wn_series_free(&s);
        wn_series_free(&g);
    }
    for (int i = 1; i < 3; i++) {
        assert_true(fabs(loss[i] - loss[0]) < 1e-5 * loss[0]);
        assert_true(fabs(gnorm[i] - gnorm[0]) < 1e-4 * gnorm[0]);
    }
}

static void same_with_threads(void **state, const char *rule) {
    const char *data = text_file(state, 3000), *names[] = {"t1", "t2", "t3"};
    for (int i = 0; i < 3; i++) {
        wn_train_options o = small_options(scratch_path(state, names[i]), data);
        o.threads = i + 1;
        o.steps = 12;
        o.batch_size = 5;
        o.sparsity = &rule;
        o.sparsity_count = rule != NULL;
        OK(train_quietly(&o));
    }
    assert_same_run(scratch_path(state, "t1"), scratch_path(state, "t2"));
    assert_same_run(scratch_path(state, "t1"), scratch_path(state, "t3"));
}

static void test_threads(void **state) {
    same_with_threads(state, NULL);
}

static void test_threads_sparse(void **state) {
    same_with_threads(state, "mlp.*=2:4:tile");
}

// Evaluating, sampling, saving and logging leave training alone.
static void test_observation(void **state) {
    const char *rule = "mlp.*=2:4", *data = text_file(state, 3000);
    wn_train_options o = small_options(scratch_path(state, "a"), data);
    o.sparsity = &rule;
    o.sparsity_count = 1;
    OK(train_quietly(&o));
    o.out = scratch_path(state, "b");
    o.eval_every = 1;
    o.eval_batches = 3;
    o.sample_every = 2;
    o.sample_tokens = 5;
    o.sample_prompt = "the";
    o.save_every = 3;
    listener *l = run(&o);
    assert_same_run(scratch_path(state, "a"), scratch_path(state, "b"));
    assert_int_equal(l->count[WN_EVENT_EVAL], 24);
    assert_int_equal(l->count[WN_EVENT_SAMPLE], 12);
    assert_int_equal(l->count[WN_EVENT_SAVE], 8);
    free(l);
}

// A run that is stopped tells what it measured up to there.
static void test_profile_stopped(void **state) {
    wn_train_options o = small_options(scratch_path(state, "run"), text_file(state, 3000));
    o.profile = true;
    listener *l = calloc(1, sizeof *l);
    l->stop_at = 7;
    wn_status status = wn_train(&o, listen, stop_there, l);
    assert_int_equal(status, WN_CANCELLED);
    assert_message("stopped after step 7");
    assert_non_null(strstr(l->text, "\nprofile  6 updates after the first"));
    wn_series ms = read_series(o.out, "profile", "ms");
    assert_true(ms.count > 3 && ms.x[0] == 7);
    wn_series_free(&ms);
    free(l);
}

// A profile changes nothing, and its lines add up to the time of the updates.
static void test_profile(void **state) {
    wn_train_options o = small_options(scratch_path(state, "plain"), text_file(state, 2000));
    free(run(&o));
    o.out = scratch_path(state, "timed");
    o.profile = true;
    free(run(&o));
    assert_same_run(scratch_path(state, "plain"), scratch_path(state, "timed"));
    wn_series share = read_series(o.out, "profile", "share"),
              ms = read_series(o.out, "profile", "ms");
    double sum = 0;
    for (size_t i = 0; i < share.count; i++) {
        assert_true(share.y[i] >= 0 && ms.y[i] >= 0);
        sum += share.y[i];
    }
    assert_true(share.count > 10 && fabs(sum - 1) < 1e-9);
    wn_series_free(&share);
    wn_series_free(&ms);
}

// The session that opens the exported model says what the trainer said, dense or packed.
static void session_agrees(void **state, const char *rule) {
    wn_train_options o = small_options(scratch_path(state, "run"), text_file(state, 4000));
    o.sparsity = &rule;
    o.sparsity_count = rule != NULL;
    listener *l = run(&o);
    for (int automatic = 0; automatic < 2; automatic++) {
        wn_session *s;
        wn_eval_result e;
        wn_model_info info;
        const wn_session_options so = {.threads = 1, .auto_sparsity = automatic, .batch = 3};
        OK(wn_session_open(o.out, &so, &s));
        wn_session_info(s, &info);
        assert_int_equal(info.sparse_layers, automatic && rule != NULL ? 4 : 0);
        OK(wn_eval(s, scratch_path(state, "run/data/eval.tokens"),
                   &(wn_eval_options){.seq_len = 16}, &e));
        if (!(fabs(e.loss - l->eval_loss) < 1e-6 * e.loss))
            fail_msg("%.17g, the trainer has %.17g", e.loss, l->eval_loss);
        assert_true(fabs(e.bits_per_byte - l->bits_per_byte) < 1e-6 * e.bits_per_byte);
        wn_session_free(s);
    }
    free(l);
}

static void test_session(void **state) {
    session_agrees(state, NULL);
}

static void test_session_sparse(void **state) {
    session_agrees(state, "mlp.*=2:4:tile");
}

static void test_dry_run(void **state) {
    const char *rule = "mlp.*=2:4";
    wn_train_options o = small_options(scratch_path(state, "run"), text_file(state, 2000));
    o.dry_run = true;
    o.sparsity = &rule;
    o.sparsity_count = 1;
    listener *l = run(&o);
    assert_true(said(l, "2:4 sparsity enabled - converted 4 MLP layers"));
    assert_non_null(strstr(l->text, "\nmemory "));
    assert_non_null(strstr(l->text, "mlp.up_proj"));
    assert_int_equal(l->count[WN_EVENT_STEP], 0);
    assert_false(wn__dir_exists(o.out));
    free(l);
}

static void test_keep(void **state) {
    wn_train_options o = small_options(scratch_path(state, "run"), text_file(state, 2000));
    o.steps = 10;
    o.save_every = 2;
    o.keep = 2;
    OK(train_quietly(&o));
    assert_false(wn__dir_exists(scratch_path(state, "run/step-000006")));
    assert_true(wn__dir_exists(scratch_path(state, "run/step-000008")));
    assert_true(wn__dir_exists(scratch_path(state, "run/step-000010")));
    char target[64] = "";
    assert_int_equal(readlink(scratch_path(state, "run/latest"), target, sizeof target - 1), 11);
    assert_string_equal(target, "step-000010");
}

// Steps that multiply the weights by -2 soon overflow: the run says where and leaves the last
// checkpoint.
static void test_blows_up(void **state) {
    wn_train_options o = small_options(scratch_path(state, "run"), text_file(state, 2000));
    o.lr = 30;
    o.warmup = 0;
    o.schedule = "constant";
    o.clip_norm = 0;
    o.save_every = 2;
    o.steps = 200;
    assert_int_equal(train_quietly(&o), WN_INVALID);
    if (strstr(wn_last_error(), "NaN or infinite") == NULL &&
        strstr(wn_last_error(), "loss") == NULL)
        fail_msg("%s", wn_last_error());
    wn_session *s;
    OK(wn_session_open(o.out, &(wn_session_options){.threads = 1}, &s)); // finite weights
    wn_session_free(s);
    wn_series loss = read_series(o.out, "step", "loss");
    assert_true(loss.count > 1 && loss.count < 200);
    wn_series_free(&loss);
}

static void test_stop(void **state) {
    wn_train_options o = small_options(scratch_path(state, "run"), text_file(state, 2000));
    train_until(&o, 5);
    assert_message("step 5");
    assert_true(wn__file_exists(scratch_path(state, "run/step-000005/state.json")));
    o.out = scratch_path(state, "slow");
    o.steps = 1000000;
    o.max_seconds = 0.05;
    o.log_every = 0;
    OK(train_quietly(&o));
    assert_true(wn__file_exists(scratch_path(state, "slow/latest/state.json")));
}

static void test_no_updates(void **state) {
    wn_train_options o = small_options(scratch_path(state, "run"), text_file(state, 2000));
    o.steps = 0;
    listener *l = run(&o);
    assert_true(fabs(l->eval_loss - log(257)) < 0.1);
    free(l);
    assert_true(wn__file_exists(scratch_path(state, "run/step-000000/model.safetensors")));
}

// A shard gives what the text it came from gives, with and without a tokenizer.
static void test_shards(void **state) {
    const char *data = text_file(state, 3000), *shard = scratch_path(state, "text.tokens"),
               *held = scratch_path(state, "held.txt");
    write_text(held, 500, 9);
    wn_train_options o = small_options(scratch_path(state, "a"), data);
    o.eval_data = held;
    listener *a = run(&o);
    wn_tokenizer *t;
    OK(wn_tokenizer_bytes(&t));
    OK(wn_tokenize_file(t, data, 0, 0, shard, NULL));
    o.out = scratch_path(state, "b");
    o.data = shard;
    listener *b = run(&o);
    assert_same_run(scratch_path(state, "a"), scratch_path(state, "b"));
    assert_true(a->eval_loss == b->eval_loss);
    o.out = scratch_path(state, "c");
    o.tokenizer = NULL;
    o.eval_data = NULL; // the last ids of the shard
    o.sample_every = 5;
    listener *c = run(&o);
    assert_int_equal(c->count[WN_EVENT_EVAL], 1);
    assert_int_equal(c->count[WN_EVENT_SAMPLE], 0);
    assert_true(c->bits_per_byte == 0);
    assert_false(wn__file_exists(scratch_path(state, "c/latest/tokenizer.json")));
    o.out = scratch_path(state, "d");
    o.eval_data = held;
    assert_int_equal(train_quietly(&o), WN_INVALID);
    assert_message("no tokenizer was given");
    free(a);
    free(b);
    free(c);
    wn_tokenizer_free(t);
}

static void test_other_tokenizer(void **state) {
    const char *data = text_file(state, 3000), *shard = scratch_path(state, "text.tokens"),
               *json = scratch_path(state, "tokenizer.json");
    const wn_bpe_options bpe = {.vocab_size = 280};
    wn_tokenizer *t;
    OK(wn_tokenizer_train("abcabcabcab", 11, &bpe, &t));
    OK(wn_tokenize_file(t, data, 0, 0, shard, NULL));
    OK(wn_tokenizer_save(t, json));
    wn_train_options o = small_options(scratch_path(state, "a"), shard);
    assert_int_equal(train_quietly(&o), WN_INVALID); // bytes
    assert_message("made by tokenizer");
    o.out = scratch_path(state, "b");
    o.tokenizer = json;
    o.steps = 1;
    OK(train_quietly(&o));
    wn_tokenizer_free(t);
}

static void test_init_from(void **state) {
    const char *data = text_file(state, 3000);
    wn_train_options o = small_options(scratch_path(state, "a"), data);
    o.steps = 6;
    listener *a = run(&o);
    wn_train_options p = small_options(scratch_path(state, "b"), data);
    p.tokenizer = NULL;  // the model's
    p.init_from = o.out; // a run stands for its newest step
    p.hidden_size = 999; // its shape wins
    p.steps = 0;
    listener *b = run(&p);
    assert_true(a->eval_loss == b->eval_loss);
    p.out = scratch_path(state, "c");
    p.seq_len = 17;
    assert_int_equal(train_quietly(&p), WN_INVALID);
    assert_message("16 positions, seq_len is 17");
    const wn_bpe_options bpe = {.vocab_size = 300};
    char *text;
    size_t size;
    wn_tokenizer *t;
    OK(wn__file_read(data, 0, &text, &size));
    OK(wn_tokenizer_train(text, size, &bpe, &t));
    OK(wn_tokenizer_save(t, scratch_path(state, "big.json")));
    p.seq_len = 16;
    p.tokenizer = scratch_path(state, "big.json");
    p.out = scratch_path(state, "d");
    assert_int_equal(train_quietly(&p), WN_INVALID);
    assert_message("257 ids");
    assert_message("300");
    free(text);
    wn_tokenizer_free(t);
    free(a);
    free(b);
}

static void refused_text(void **state, const char *text, size_t size, const char *message) {
    const char *path = scratch_path(state, "short.txt");
    OK(wn__file_write(path, text, size));
    wn_train_options o = small_options(scratch_path(state, "refused"), path);
    assert_int_equal(train_quietly(&o), WN_INVALID);
    assert_message("short.txt");
    assert_message(message);
}

static void test_short_corpora(void **state) {
    refused_text(state, "", 0, "empty; seq_len 16 needs a text of at least 17");
    refused_text(state, "a", 1, "1 token to train on, seq_len 16 needs at least 17");
    refused_text(state, "0123456789abcdef", 16, "16 tokens");
    const char *path = scratch_path(state, "enough.txt"); // one window; nothing is left to hold out
    OK(wn__file_write(path, "0123456789abcdefg", 17));
    wn_train_options o = small_options(scratch_path(state, "enough"), path);
    o.steps = 3;
    listener *l = run(&o);
    assert_int_equal(l->count[WN_EVENT_EVAL], 0);
    free(l);
}

static void test_refuses(void **state) {
    const struct {
        size_t offset;
        int64_t value;
        const char *message;
    } counts[] = {{offsetof(wn_train_options, seq_len), 0, "seq_len is 0"},
                  {offsetof(wn_train_options, batch_size), -1, "batch_size is -1"},
                  {offsetof(wn_train_options, grad_accum), 0, "grad_accum is 0"},
                  {offsetof(wn_train_options, steps), -5, "steps is -5"},
                  {offsetof(wn_train_options, keep), 0, "keep is 0"},
                  {offsetof(wn_train_options, heads), 3, "heads is 3"},
                  {offsetof(wn_train_options, heads), 0, "heads is 0"},
                  {offsetof(wn_train_options, kv_heads), 3, "num_key_value_heads is 3"},
                  {offsetof(wn_train_options, layers), 0, "num_hidden_layers is 0"}};
    const char *data = text_file(state, 2000), *rule = "nothing=2:4", *bad = "mlp.*=3:4";
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        wn_train_options o = small_options(scratch_path(state, "run"), data);
        memcpy((char *)&o + counts[i].offset, &counts[i].value, sizeof(int64_t));
        assert_int_equal(train_quietly(&o), WN_INVALID);
        assert_message(counts[i].message);
    }
    wn_train_options o = small_options(scratch_path(state, "run"), data);
    o.lr = NAN;
    assert_int_equal(train_quietly(&o), WN_INVALID);
    assert_message("lr is nan");
    o.lr = 1e-3;
    o.schedule = "magic";
    assert_int_equal(train_quietly(&o), WN_INVALID);
    o.schedule = "cosine";
    o.mlp = "gelu";
    assert_int_equal(train_quietly(&o), WN_INVALID);
    assert_message("'gelu'");
    o.mlp = "relu2";
    o.sparsity_count = 1;
    o.sparsity = &rule;
    assert_int_equal(train_quietly(&o), WN_INVALID);
    assert_message("nothing");
    o.sparsity = &bad;
    assert_int_equal(train_quietly(&o), WN_INVALID);
    o.sparsity_count = 0;
    o.data = scratch_path(state, "none.txt");
    assert_int_equal(train_quietly(&o), WN_IO);
    assert_message("none.txt");
    o.data = NULL;
    assert_int_equal(train_quietly(&o), WN_INVALID);
    o.data = data;
    o.out = NULL;
    assert_int_equal(train_quietly(&o), WN_INVALID);
}

// A directory with a checkpoint is not begun anew by accident.
static void test_occupied(void **state) {
    wn_train_options o = small_options(scratch_path(state, "run"), text_file(state, 2000));
    o.steps = 2;
    OK(train_quietly(&o));
    assert_int_equal(train_quietly(&o), WN_INVALID);
    assert_message("checkpoint of step 2");
    o.dry_run = true;
    assert_int_equal(train_quietly(&o), WN_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_learns),        TEST(test_learns_sparse),    TEST(test_files),
        TEST(test_sparsity_line), TEST(test_exported_weights), TEST(test_accumulation),
        TEST(test_threads),       TEST(test_threads_sparse),   TEST(test_observation),
        TEST(test_session),       TEST(test_session_sparse),   TEST(test_dry_run),
        TEST(test_keep),          TEST(test_blows_up),         TEST(test_stop),
        TEST(test_no_updates),    TEST(test_shards),           TEST(test_other_tokenizer),
        TEST(test_init_from),     TEST(test_short_corpora),    TEST(test_refuses),
        TEST(test_occupied),      TEST(test_profile),          TEST(test_profile_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
