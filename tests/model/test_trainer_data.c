// SPDX-License-Identifier: MIT
// Training on documents, on configurations by name, and what an evaluation counts.
#include "data/source.h"
#include "train/checkpoint.h"
#include "train_test.h"

#include <math.h>

/* Documents. */

// Two files; the first one's documents are longer than the second one's.
static const char *documents(void *const *state) {
    const char *dir = scratch_path(state, "documents");
    char path[700];
    OK(wn__dir_make(dir));
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/part-%d.jsonl", dir, i);
        write_documents(path, 30, (uint64_t)i);
    }
    return dir;
}

static void test_documents(void **state) {
    wn_train_options o = small_options(scratch_path(state, "run"), documents(state));
    o.eval_data = scratch_path(state, "documents/part-1.jsonl");
    o.lr = 1e-2;
    listener *l = run(&o);
    assert_true(l->last_loss < l->first_loss - 0.5);
    assert_int_equal(l->count[WN_EVENT_EVAL], 1);
    assert_true(l->eval_loss > 0 && l->bits_per_byte > 0);
    assert_non_null(strstr(l->text, "\ntrain    "));
    assert_non_null(strstr(l->text, "2 files"));
    assert_false(wn__file_exists(scratch_path(state, "run/data/train.tokens")));
    free(l);
    o.out = scratch_path(state, "no-eval");
    o.eval_data = NULL; // nothing is held out of documents
    o.pack = false;
    l = run(&o);
    assert_int_equal(l->count[WN_EVENT_EVAL], 0);
    assert_true(said(l, "held out nothing: no evaluation"));
    wn_series s = read_series(o.out, "step", "tokens");
    assert_true(s.y[23] < 24 * 2 * 15); // most documents do not fill their sample
    wn_series_free(&s);
    free(l);
    o.out = scratch_path(state, "to-text");
    o.eval_data = text_file(state, 300); // held-out text beside documents
    l = run(&o);
    assert_int_equal(l->count[WN_EVENT_EVAL], 1);
    free(l);
}

// A tokenizer that is not given is learned from the documents, and the header says of how many
// bytes.
static void test_documents_tokenizer(void **state) {
    wn_train_options o = small_options(scratch_path(state, "run"), documents(state));
    o.tokenizer = NULL;
    o.vocab_size = 270;
    o.steps = 2;
    listener *l = run(&o);
    assert_non_null(strstr(l->text, "270 ids, learned from the first "));
    assert_true(wn__file_exists(scratch_path(state, "run/latest/tokenizer.json")));
    free(l);
    o.out = scratch_path(state, "dry");
    o.dry_run = true;
    l = run(&o);
    assert_non_null(strstr(l->text, "(documents; a dry run does not encode it)"));
    assert_false(wn__dir_exists(o.out));
    free(l);
    o.dry_run = false;
    o.data = scratch_path(state, "documents/none-*.json");
    assert_true(train_quietly(&o) != WN_OK);
    assert_message("none-*.json");
}

// Files that changed are other data.
static void test_documents_changed(void **state) {
    wn_train_options o = small_options(scratch_path(state, "run"), documents(state));
    o.steps = 3;
    OK(train_quietly(&o));
    o.resume = true;
    o.steps = 4;
    OK(train_quietly(&o));
    write_documents(scratch_path(state, "documents/part-2.jsonl"), 1, 7);
    o.steps = 5;
    assert_int_equal(train_quietly(&o), WN_INVALID);
    assert_message("not the files this run was begun with");
}

// A document of documents() cut short in the middle of its line; back again.
static void damage(const char *path, size_t line, char **whole, size_t *size) {
    OK(wn__file_read(path, 0, whole, size));
    size_t from = 0;
    for (size_t i = 1; i < line; i++)
        from = (size_t)((char *)memchr(*whole + from, '\n', *size - from) - *whole) + 1;
    char *cut = malloc(*size);
    memcpy(cut, *whole, from + 12);
    memcpy(cut + from + 12, *whole + from + 19, *size - from - 19);
    OK(wn__file_write(path, cut, *size - 7));
    free(cut);
}

// What comes of a run whose data is damaged where `line` of the second file is, when that is
// mended.
static void damaged_run(void **state, const char *name, wn_train_options o, size_t line) {
    char out[64], where[64], *whole;
    size_t size;
    const char *part = scratch_path(state, "documents/part-1.jsonl");
    o.out = scratch_path(state, "whole");
    OK(train_quietly(&o));
    damage(part, line, &whole, &size);
    (void)snprintf(out, sizeof out, "%s", name);
    (void)snprintf(where, sizeof where, "part-1.jsonl: line %zu", line);
    o.out = scratch_path(state, out);
    wn_status status = train_quietly(&o);
    assert_int_equal(status, WN_FORMAT);
    assert_message(where);
    assert_message("all updates before it are saved in step-0");
    // As it is, the same again, and nothing is lost by it.
    o.resume = true;
    status = train_quietly(&o);
    assert_int_equal(status, WN_FORMAT);
    assert_message(where);
    // Mended, but another file is not what it was.
    OK(wn__file_write(part, whole, size));
    const char *other = scratch_path(state, "documents/part-2.jsonl");
    write_documents(other, 1, 9);
    assert_int_equal(train_quietly(&o), WN_INVALID);
    assert_message("not the files this run was begun with");
    assert_int_equal(remove(other), 0);
    listener *l = run(&o);
    assert_non_null(strstr(l->text, ": file 2, which was damaged, has another size now"));
    assert_same_run(scratch_path(state, "whole"), o.out);
    // From now on these are the files.
    o.steps++;
    free(l);
    l = run(&o);
    assert_null(strstr(l->text, "damaged"));
    free(l);
    free(whole);
    OK(wn__dir_remove(scratch_path(state, "whole")));
}

static void test_documents_damaged(void **state) {
    wn_train_options o = small_options("", documents(state));
    o.shuffle = false;
    o.steps = 20;
    damaged_run(state, "packed", o, 4);
    o.pack = false;
    damaged_run(state, "one-a-sample", o, 7);
    o.save_every = 1; // the state is saved already
    damaged_run(state, "saved", o, 7);
}

// The block that holds the damaged document begins in the middle of an update.
static void test_documents_damaged_block(void **state) {
    const char *dir = documents(state);
    write_documents(scratch_path(state, "documents/part-1.jsonl"), WN_SOURCE_BLOCK + 600, 1);
    wn_train_options o = small_options("", dir);
    o.pack = false;
    o.hidden_size = 8;
    o.layers = 1;
    o.batch_size = 60;
    o.grad_accum = 8;
    o.steps = 19;
    damaged_run(state, "blocks", o, WN_SOURCE_BLOCK + 300);
}

// Held-out documents too.
static void test_documents_damaged_eval(void **state) {
    wn_train_options o = small_options("", documents(state));
    o.eval_data = scratch_path(state, "documents/part-1.jsonl");
    o.data = scratch_path(state, "documents/part-0.jsonl");
    o.steps = 9;
    o.eval_every = 4;
    o.out = scratch_path(state, "whole");
    OK(train_quietly(&o));
    char *whole;
    size_t size;
    damage(o.eval_data, 20, &whole, &size);
    o.out = scratch_path(state, "run");
    assert_int_equal(train_quietly(&o), WN_FORMAT);
    assert_message("part-1.jsonl: line 20");
    assert_message("saved in step-000004");
    OK(wn__file_write(o.eval_data, whole, size));
    free(whole);
    o.resume = true;
    OK(train_quietly(&o));
    assert_same_run(scratch_path(state, "whole"), o.out);
    wn_series s = read_series(o.out, "eval", "loss");
    assert_int_equal(s.count, 2); // of steps 8 and 9: that of step 4 is lost
    wn_series_free(&s);
}

// Nothing was learned yet, so nothing is saved: mended, both resuming and the same options again
// begin the run that the whole documents make.
static void damaged_first(void **state, wn_train_options o, const char *part, size_t line) {
    char *whole, out[64];
    size_t size;
    o.out = scratch_path(state, "whole");
    OK(train_quietly(&o));
    for (int resumed = 0; resumed < 2; resumed++) {
        (void)snprintf(out, sizeof out, "run-%d", resumed);
        o.out = scratch_path(state, out);
        o.resume = false;
        damage(part, line, &whole, &size);
        // As it is, the same again.
        for (int i = 0; i < 2; i++) {
            wn_status status = train_quietly(&o);
            assert_int_equal(status, WN_FORMAT);
            assert_message("no update was made yet, and resuming begins with the first one");
            assert_null(strstr(wn_last_error(), "saved"));
            o.resume = resumed;
        }
        int64_t newest;
        OK(wn__steps_newest(o.out, INT64_MAX, &newest));
        assert_int_equal(newest, -1);
        OK(wn__file_write(part, whole, size));
        free(whole);
        // Another file is not what it was.
        const char *other = scratch_path(state, "documents/part-2.jsonl");
        write_documents(other, 1, 9);
        if (resumed && wn__dir_exists(o.data)) {
            assert_int_equal(train_quietly(&o), WN_INVALID);
            assert_message("not the files this run was begun with");
        }
        assert_int_equal(remove(other), 0);
        listener *l = run(&o);
        assert_true((strstr(l->text, "which was damaged, has another size now") != NULL) ==
                    resumed);
        free(l);
        assert_same_run(scratch_path(state, "whole"), o.out);
        OK(wn__dir_remove(o.out));
    }
    OK(wn__dir_remove(scratch_path(state, "whole")));
}

static void test_documents_damaged_first(void **state) {
    const char *dir = documents(state);
    wn_train_options o = small_options("", dir);
    damaged_first(state, o, scratch_path(state, "documents/part-0.jsonl"), 1);
    damaged_first(state, o, scratch_path(state, "documents/part-1.jsonl"), 20); // one block of both
    o.pack = o.shuffle = false;
    damaged_first(state, o, scratch_path(state, "documents/part-0.jsonl"), 2);
    // Held out, and looked at before any update because none is asked for.
    o.steps = 0;
    o.eval_data = scratch_path(state, "documents/part-1.jsonl");
    o.data = scratch_path(state, "documents/part-0.jsonl");
    damaged_first(state, o, o.eval_data, 3);
}

// Every label counts the same, whatever batch its document is in.
static void test_documents_weighted(void **state) {
    const char *dir = documents(state), *names[] = {"a", "b"};
    double loss[2], gnorm[2];
    for (int i = 0; i < 2; i++) {
        wn_train_options o = small_options(scratch_path(state, names[i]), dir);
        o.pack = o.shuffle = false;
        o.steps = 6;
        o.batch_size = i == 0 ? 4 : 1;
        o.grad_accum = i == 0 ? 1 : 4;
        OK(train_quietly(&o));
        wn_series s = read_series(o.out, "step", "loss"), g = read_series(o.out, "step", "gnorm");
        loss[i] = s.y[5];
        gnorm[i] = g.y[5];
        wn_series_free(&s);
        wn_series_free(&g);
    }
    assert_true(fabs(loss[1] - loss[0]) < 1e-5 * loss[0]);
    assert_true(fabs(gnorm[1] - gnorm[0]) < 1e-4 * gnorm[0]);
}

// Documents that a tokenizer is to be learned from are read before there is a run to resume: the
// message says so, and the same options begin it.
static void test_documents_damaged_tokenizer(void **state) {
    wn_train_options o = small_options(scratch_path(state, "run"), documents(state));
    const char *part = scratch_path(state, "documents/part-1.jsonl");
    char *whole;
    size_t size;
    o.tokenizer = NULL;
    o.vocab_size = 270;
    o.steps = 2;
    damage(part, 20, &whole, &size);
    assert_int_equal(train_quietly(&o), WN_FORMAT);
    assert_message("part-1.jsonl: line 20");
    OK(wn__file_write(part, whole, size));
    free(whole);
    o.resume = true;
    assert_int_equal(train_quietly(&o), WN_INVALID);
    assert_message("no run.json; the run's own options begin it");
    o.resume = false;
    OK(train_quietly(&o));
}

// No document to learn from is no damage: with other documents it is another run.
static void test_documents_empty(void **state) {
    const char *path = scratch_path(state, "empty.jsonl");
    OK(wn__file_write(path, "{\"text\": \"\"}\n", 13));
    wn_train_options o = small_options(scratch_path(state, "run"), path);
    o.pack = false;
    assert_int_equal(train_quietly(&o), WN_INVALID);
    assert_message("empty.jsonl");
    assert_null(strstr(wn_last_error(), "resuming"));
}

/* Evaluation. */

// The published figure divides the sum of n batch means by n + 1.
static void test_compat_eval(void **state) {
    wn_train_options o = small_options(scratch_path(state, "a"), text_file(state, 4000));
    o.steps = 2;
    o.eval_batches = 3;
    o.galore_compat_eval = true;
    listener *l = run(&o);
    assert_true(fabs(l->compat_loss - l->eval_loss * 3 / 4) < 1e-9);
    assert_true(fabs(last_value(o.out, "eval", "compat_perplexity") - exp(l->compat_loss)) < 1e-9);
    free(l);
    o.out = scratch_path(state, "b");
    o.eval_batches = 0;
    o.eval_tokens = 50;
    o.galore_compat_eval = false;
    l = run(&o);
    assert_true(l->compat_loss == 0);
    assert_true(last_value(o.out, "eval", "labels") == 50);
    free(l);
}

static void test_no_last_checkpoint(void **state) {
    wn_train_options o = small_options(scratch_path(state, "run"), text_file(state, 2000));
    o.save_last = false;
    o.save_every = 10;
    listener *l = run(&o);
    assert_int_equal(l->count[WN_EVENT_SAVE], 2);
    assert_false(wn__dir_exists(scratch_path(state, "run/step-000024")));
    free(l);
}

/* Configurations. */

static void test_model_config(void **state) {
    static const char config[] =
        "{\"architectures\": [\"LLaMAForCausalLM\"], \"hidden_act\": \"silu\", \"hidden_size\": 16,"
        " \"intermediate_size\": 21, \"max_sequence_length\": 64, \"model_type\": \"llama\","
        " \"num_attention_heads\": 2, \"num_hidden_layers\": 2, \"rms_norm_eps\": 1e-06,"
        " \"vocab_size\": 300}";
    const char *path = scratch_path(state, "llama_130m.json"), *data = text_file(state, 3000);
    OK(wn__file_write(path, config, sizeof config - 1));
    wn_train_options o = small_options(scratch_path(state, "a"), data);
    o.model_config = path;
    o.tokenizer = NULL; // learned, as large as the configuration's vocabulary
    o.hidden_size = 99; // its sizes win
    o.mlp = "relu2";
    o.steps = 3;
    listener *l = run(&o);
    assert_non_null(strstr(l->text, "1.5 x its intermediate size: 31 -> 32"));
    assert_non_null(strstr(l->text, "hidden 16, intermediate 32 (relu2)"));
    assert_non_null(strstr(l->text, "vocabulary 300\n"));
    free(l);
    o.resume = true;
    o.steps = 5;
    o.mlp = NULL;
    o.tie_embeddings = true;
    OK(train_quietly(&o));
    o.resume = false;
    o.out = scratch_path(state, "b");
    o.tokenizer = scratch_path(state, "big.json");
    wn_tokenizer *t;
    char *text;
    size_t size;
    const wn_bpe_options bpe = {.vocab_size = 310};
    OK(wn__file_read(data, 0, &text, &size));
    OK(wn_tokenizer_train(text, size, &bpe, &t));
    OK(wn_tokenizer_save(t, o.tokenizer));
    assert_int_equal(train_quietly(&o), WN_INVALID);
    assert_message("llama_130m.json: its vocabulary has 300 ids, the tokenizer or the data 310");
    wn_tokenizer_free(t);
    free(text);
    o.model_config = "llama_131m";
    assert_int_equal(train_quietly(&o), WN_INVALID);
    assert_message("llama_131m");
}

// Special ids behind the vocabulary that nothing puts into a text need no room, as T5's hundred.
static void test_unused_ids(void **state) {
    static const char extra[] =
        "{\"id\": 280, \"content\": \"<extra_id_0>\", \"single_word\": false,"
        " \"lstrip\": false, \"rstrip\": false, \"normalized\": false,"
        " \"special\": true}, ";
    const char *data = text_file(state, 3000), *path = scratch_path(state, "tokenizer.json");
    const wn_bpe_options bpe = {.vocab_size = 280};
    wn_tokenizer *t;
    char *text, *grown;
    size_t size;
    OK(wn__file_read(data, 0, &text, &size));
    OK(wn_tokenizer_train(text, size, &bpe, &t));
    OK(wn_tokenizer_save(t, path));
    wn_tokenizer_free(t);
    free(text);
    OK(wn__file_read(path, 0, &text, &size));
    char *list = strchr(strstr(text, "\"added_tokens\""), '{');
    grown = calloc(1, size + sizeof extra);
    (void)snprintf(grown, size + sizeof extra, "%.*s%s%s", (int)(list - text), text, extra, list);
    OK(wn__file_write(path, grown, strlen(grown)));
    free(text);
    free(grown);
    wn_train_options o = small_options(scratch_path(state, "a"), data), p;
    o.tokenizer = path;
    o.model_config = scratch_path(state, "config.json");
    o.steps = 1;
    for (int vocabulary = 280; vocabulary >= 279; vocabulary--) {
        char config[400];
        (void)snprintf(config, sizeof config,
                       "{\"model_type\": \"llama\", \"hidden_size\": 16, \"intermediate_size\": 24,"
                       " \"num_attention_heads\": 2, \"num_hidden_layers\": 1, \"vocab_size\": %d}",
                       vocabulary);
        OK(wn__file_write(o.model_config, config, strlen(config)));
        p = o;
        p.out = scratch_path(state, vocabulary == 280 ? "a" : "b");
        listener *l = calloc(1, sizeof *l);
        wn_status status = wn_train(&p, listen, NULL, l);
        assert_int_equal(status, vocabulary == 280 ? WN_OK : WN_INVALID); // 279 ends a text
        if (vocabulary == 280) {
            assert_true(said(l, "note: the model has no room for the tokenizer's last 1 ids, which "
                                "are special and stand in no text"));
        } else {
            assert_message("its vocabulary has 279 ids, the tokenizer or the data 281");
        }
        free(l);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_documents),
        TEST(test_documents_tokenizer),
        TEST(test_documents_changed),
        TEST(test_documents_damaged),
        TEST(test_documents_damaged_block),
        TEST(test_documents_damaged_eval),
        TEST(test_documents_damaged_first),
        TEST(test_documents_damaged_tokenizer),
        TEST(test_documents_weighted),
        TEST(test_documents_empty),
        TEST(test_compat_eval),
        TEST(test_no_last_checkpoint),
        TEST(test_model_config),
        TEST(test_unused_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
