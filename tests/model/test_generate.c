// SPDX-License-Identifier: MIT
// Generation from a trained model: with a cache as without, the same draws for the same seed, whole
// characters to the callback, and its refusals; and the evaluations of a session.
#include "train_test.h"

#include "infer/session.h"
#include <math.h>

// A model that has learned its text well enough to repeat it.
typedef struct fixture {
    char *scratch;
    char run[700];
    wn_session *session;
} fixture;

static void open_session(fixture *f, bool packed) {
    const wn_session_options o = {.threads = 1, .auto_sparsity = packed};
    OK(wn_session_open(f->run, &o, &f->session));
}

static int make(void **state, const char *rule) {
    void *scratch;
    if (scratch_setup(&scratch) != 0) return -1;
    fixture *f = calloc(1, sizeof *f);
    f->scratch = scratch;
    (void)snprintf(f->run, sizeof f->run, "%s/run", f->scratch);
    wn_train_options o = small_options(f->run, scratch_path(&scratch, "text.txt"));
    write_text(o.data, 6000, 1);
    o.hidden_size = 32;
    o.batch_size = 4;
    o.seq_len = 48;
    o.steps = 100;
    o.lr = 1e-2;
    o.sparsity = &rule;
    o.sparsity_count = rule != NULL;
    OK(train_quietly(&o));
    open_session(f, true);
    *state = f;
    return 0;
}

static int set_up(void **state) {
    return make(state, "mlp.*=2:4");
}

static int tear_down(void **state) {
    fixture *f = *state;
    wn_session_free(f->session);
    void *scratch = f->scratch;
    free(f);
    return scratch_teardown(&scratch);
}

// Text as it was handed over.
typedef struct heard {
    char text[4096];
    size_t size;
    int calls, most; // most > 0: ends after so many calls
    bool split;      // a call ended inside a character
} heard;

static bool hear(void *ctx, const char *bytes, size_t n) {
    heard *h = ctx;
    assert_true(n > 0 && h->size + n < sizeof h->text);
    memcpy(h->text + h->size, bytes, n);
    h->size += n;
    h->calls++;
    return h->calls != h->most;
}

static wn_tokens generate(wn_session *s, const char *prompt, const wn_generate_options *o,
                          heard *h) {
    wn_tokens ids;
    wn_generate_stats stats;
    *h = (heard){.most = h->most};
    OK(wn_generate(s, prompt, strlen(prompt), o, hear, h, &ids, &stats));
    assert_int_equal(stats.new_tokens, ids.count);
    return ids;
}

static void assert_same_tokens(const wn_tokens *a, const wn_tokens *b) {
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->id, b->id, a->count * sizeof *a->id);
}

static void test_greedy_cache(void **state) {
    fixture *f = *state;
    static const char *const prompts[] = {"the cat", "a", "my aunt likes the ", ""};
    for (size_t i = 0; i < 4; i++) {
        wn_generate_options o = {.max_tokens = 24, .sampling = {.top_p = 1}};
        heard a = {0}, b = {0};
        wn_tokens cached = generate(f->session, prompts[i], &o, &a);
        o.no_cache = true;
        wn_tokens plain = generate(f->session, prompts[i], &o, &b);
        assert_int_equal(cached.count, 24);
        assert_same_tokens(&cached, &plain);
        assert_string_equal(a.text, b.text);
        wn_tokens_free(&cached);
        wn_tokens_free(&plain);
    }
}

// Packed and dense layers multiply by the same weights.
static void test_packed_and_dense(void **state) {
    fixture *f = *state;
    const wn_generate_options o = {.max_tokens = 24, .sampling = {.top_p = 1}};
    heard a = {0}, b = {0};
    wn_tokens packed = generate(f->session, "the old king ", &o, &a);
    fixture dense = *f;
    open_session(&dense, false);
    wn_tokens plain = generate(dense.session, "the old king ", &o, &b);
    assert_same_tokens(&packed, &plain);
    wn_model_info p, d;
    wn_session_info(f->session, &p);
    wn_session_info(dense.session, &d);
    assert_int_equal(p.sparse_layers, 4);
    assert_int_equal(d.sparse_layers, 0);
    assert_int_equal(p.parameters, d.parameters);
    assert_true(p.weight_bytes < d.weight_bytes);
    wn_session_free(dense.session);
    wn_tokens_free(&packed);
    wn_tokens_free(&plain);
}

static wn_session *open_as(const fixture *f, const char *weights, int threads) {
    wn_session *s;
    const wn_session_options o = {.threads = threads, .auto_sparsity = true, .weights = weights};
    OK(wn_session_open(f->run, &o, &s));
    return s;
}

static double loss_of(wn_session *s) {
    static const int32_t ids[40] = {5, 9, 2, 7, 7, 1, 30, 8, 4, 4, 2, 9, 17, 3, 6, 6, 8, 1, 2, 3,
                                    5, 9, 2, 7, 7, 1, 30, 8, 4, 4, 2, 9, 17, 3, 6, 6, 8, 1, 2, 3};
    double loss;
    OK(wn_eval_tokens(s, ids, 40, &loss));
    return loss;
}

// Weights are stored once, in the type asked for; no number of threads and no cache changes what
// they give.
static void test_weights(void **state) {
    fixture *f = *state;
    static const char *const types[] = {"f32", "bf16", "int8", "int4"};
    uint64_t bytes = UINT64_MAX;
    for (size_t i = 0; i < 4; i++) {
        wn_session *s = open_as(f, types[i], 1), *many = open_as(f, types[i], 3);
        wn_model_info m;
        wn_session_info(s, &m);
        assert_string_equal(m.weights, types[i]);
        assert_int_equal(strncmp(m.kernel, "stream_", 7), 0);
        assert_int_equal(m.sparse_layers, 4);
        assert_true(m.weight_bytes < bytes && m.weight_bytes < m.dense_bytes);
        assert_true(m.resident_bytes < m.weight_bytes + 64 * 32); // alignment of each tensor
        bytes = m.weight_bytes;
        double loss = loss_of(s), again = loss_of(many);
        assert_memory_equal(&loss, &again, sizeof loss);
        if (i == 0) assert_true(fabs(loss - loss_of(f->session)) == 0); // the files are F32
        heard a = {0}, b = {0};
        wn_generate_options o = {.max_tokens = 24, .sampling = {.top_p = 1}};
        wn_tokens cached = generate(s, "the old king ", &o, &a);
        o.no_cache = true;
        wn_tokens plain = generate(many, "the old king ", &o, &b);
        assert_same_tokens(&cached, &plain);
        wn_tokens_free(&cached);
        wn_tokens_free(&plain);
        wn_session_free(s);
        wn_session_free(many);
    }
    wn_session *none;
    const wn_session_options o = {.threads = 1, .weights = "fp8"};
    assert_int_equal(wn_session_open(f->run, &o, &none), WN_INVALID);
    assert_message("'fp8', expected f32, bf16, int8 or int4");
}

static void test_sampling(void **state) {
    fixture *f = *state;
    wn_generate_options o = {.max_tokens = 40,
                             .ignore_eos = true,
                             .sampling = {.temperature = 1.5, .top_p = 1, .seed = 4}};
    heard h = {0};
    wn_tokens a = generate(f->session, "a dog", &o, &h), b = generate(f->session, "a dog", &o, &h);
    assert_same_tokens(&a, &b);
    o.no_cache = true; // the same draws from the same distributions
    wn_tokens c = generate(f->session, "a dog", &o, &h);
    assert_same_tokens(&a, &c);
    o.no_cache = false;
    o.sampling.seed = 5;
    wn_tokens d = generate(f->session, "a dog", &o, &h);
    assert_memory_not_equal(a.id, d.id, 40 * sizeof *a.id);
    wn_tokens_free(&a);
    wn_tokens_free(&b);
    wn_tokens_free(&c);
    wn_tokens_free(&d);
}

// What is handed over is the decoding of the new tokens, whatever bytes they are.
static void test_text(void **state) {
    fixture *f = *state;
    const wn_generate_options o = {.max_tokens = 40,
                                   .ignore_eos = true,
                                   .sampling = {.temperature = 30, .top_p = 1, .seed = 7}};
    heard h = {0};
    wn_tokens ids = generate(f->session, "the", &o, &h);
    char *text;
    size_t size;
    OK(wn_tokenizer_decode(wn_session_tokenizer(f->session), ids.id, ids.count, true, &text,
                           &size));
    assert_int_equal(h.size, size);
    assert_memory_equal(h.text, text, size);
    free(text);
    wn_tokens_free(&ids);
    h = (heard){.most = 3};
    ids = generate(f->session, "the",
                   &(wn_generate_options){.max_tokens = 40, .sampling = {.top_p = 1}}, &h);
    assert_int_equal(h.calls, 3); // ended by the callback
    assert_int_equal(ids.count, 3);
    wn_tokens_free(&ids);
}

static void test_nothing_asked(void **state) {
    fixture *f = *state;
    heard h = {0};
    wn_tokens ids =
        generate(f->session, "the", &(wn_generate_options){.sampling = {.top_p = 1}}, &h);
    assert_int_equal(ids.count, 0);
    assert_int_equal(h.calls, 0);
    wn_tokens_free(&ids);
}

static void test_limits(void **state) {
    fixture *f = *state;
    wn_generate_options o = {.max_tokens = 45, .ignore_eos = true, .sampling = {.top_p = 1}};
    heard h = {0};
    wn_tokens ids = generate(f->session, "the", &o, &h); // 3 + 45 fills the context of 48
    assert_int_equal(ids.count, 45);
    wn_tokens_free(&ids);
    o.max_tokens = 46;
    assert_int_equal(wn_generate(f->session, "the", 3, &o, NULL, NULL, NULL, NULL), WN_INVALID);
    assert_message("prompt of 3 tokens and 46 new ones exceed the context of 48");
    o.max_tokens = INT64_MAX;
    assert_int_equal(wn_generate(f->session, "the", 3, &o, NULL, NULL, NULL, NULL), WN_INVALID);
    o.max_tokens = -1;
    assert_int_equal(wn_generate(f->session, "the", 3, &o, NULL, NULL, NULL, NULL), WN_INVALID);
    o.max_tokens = 1;
    o.sampling.temperature = -1;
    assert_int_equal(wn_generate(f->session, "the", 3, &o, NULL, NULL, NULL, NULL), WN_INVALID);
}

static void test_end_of_text(void **state) {
    fixture *f = *state;
    int32_t eos = wn_tokenizer_eos(wn_session_tokenizer(f->session));
    assert_int_equal(eos, 256);
    // at a great temperature every id is about as likely: of many seeds some draw the end early
    int ended = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        const wn_generate_options o = {.max_tokens = 20,
                                       .sampling = {.temperature = 1e4, .top_p = 1, .seed = seed}};
        wn_tokens ids;
        wn_generate_stats stats;
        OK(wn_generate(f->session, "the", 3, &o, NULL, NULL, &ids, &stats));
        bool last = ids.id[ids.count - 1] == eos;
        assert_int_equal(stats.ended, last);
        assert_true(last || ids.count == 20);
        for (size_t i = 0; i + 1 < ids.count; i++)
            assert_true(ids.id[i] != eos);
        ended += stats.ended;
        wn_tokens_free(&ids);
    }
    assert_true(ended >= 1);
}

// -log softmax(logits)[target], in double.
static double surprise(const float *logits, int64_t V, int32_t target) {
    double sum = 0;
    for (int64_t v = 0; v < V; v++)
        sum += exp((double)logits[v]);
    return log(sum) - (double)logits[target];
}

// The loss of a window is the mean over its predictions, worked out from the logits.
static void test_evaluation(void **state) {
    fixture *f = *state;
    const char *text = "the cat sees the moon; then my aunt likes his hat";
    int32_t ids[49];
    double loss, sum = 0;
    for (int i = 0; i < 49; i++)
        ids[i] = text[i];
    float *logits = malloc(48 * 257 * sizeof *logits);
    const wn_tensor out = wn__tensor2(logits, WN_DTYPE_F32, 48, 257);
    OK(wn__model_feed(f->session->model, ids, NULL, 1, 48));
    OK(wn__model_logits(f->session->model, &out));
    for (int i = 0; i < 48; i++) {
        sum += surprise(logits + i * 257, 257, ids[i + 1]);
        OK(wn_eval_tokens(f->session, ids, (size_t)i + 2, &loss));
        assert_true(fabs(loss - sum / (i + 1)) < 1e-5);
    }
    free(logits);
    double whole;
    assert_int_equal(wn_eval_tokens(f->session, ids, 1, &whole), WN_INVALID);
    assert_int_equal(wn_eval_tokens(f->session, ids, 50, &whole), WN_INVALID);
    ids[3] = 257;
    assert_int_equal(wn_eval_tokens(f->session, ids, 49, &whole), WN_INVALID);
    assert_message("257");
}

static void test_eval_files(void **state) {
    fixture *f = *state;
    void *const scratch = f->scratch;
    const char *text = scratch_path(&scratch, "held.txt"),
               *shard = scratch_path(&scratch, "held.tokens");
    write_text(text, 1000, 77);
    OK(wn_tokenize_file(wn_session_tokenizer(f->session), text, 0, 0, shard, NULL));
    wn_eval_result a, b, c;
    OK(wn_eval(f->session, text, &(wn_eval_options){0}, &a));
    OK(wn_eval(f->session, shard, &(wn_eval_options){0}, &b));
    assert_true(a.loss == b.loss && a.tokens == b.tokens && a.bits_per_byte == b.bits_per_byte);
    wn_shard_info info;
    OK(wn_shard_inspect(shard, true, &info));
    assert_int_equal(a.tokens, info.count - 1);
    assert_int_equal(a.bytes, a.tokens); // bytes are the tokens
    assert_true(fabs(a.perplexity - exp(a.loss)) < 1e-9 * a.perplexity);
    OK(wn_eval(f->session, shard, &(wn_eval_options){.seq_len = 48, .max_tokens = 100}, &c));
    assert_int_equal(c.tokens, 100);
    // the first two windows, and four tokens of the third, by single windows
    wn_tokens ids;
    OK(wn_shard_read(shard, &ids));
    double loss[3];
    OK(wn_eval_tokens(f->session, ids.id, 49, &loss[0]));
    OK(wn_eval_tokens(f->session, ids.id + 48, 49, &loss[1]));
    OK(wn_eval_tokens(f->session, ids.id + 96, 5, &loss[2]));
    assert_true(fabs(c.loss - (48 * loss[0] + 48 * loss[1] + 4 * loss[2]) / 100) < 1e-6);
    wn_tokens_free(&ids);
    assert_int_equal(wn_eval(f->session, shard, &(wn_eval_options){.seq_len = 49}, &c), WN_INVALID);
    assert_int_equal(
        wn_eval(f->session, scratch_path(&scratch, "none.txt"), &(wn_eval_options){0}, &c), WN_IO);
    OK(wn__file_write(text, "", 0));
    assert_int_equal(wn_eval(f->session, text, &(wn_eval_options){0}, &c), WN_INVALID);
    assert_message("0 tokens");
    const int32_t high[3] = {0, 300, 1};
    OK(wn_shard_write(shard, high, 3, 301, 0, 0));
    assert_int_equal(wn_eval(f->session, shard, &(wn_eval_options){0}, &c), WN_INVALID);
    assert_message("301 ids");
    OK(wn_shard_write(shard, high, 1, 257, 0, 99));
    assert_int_equal(wn_eval(f->session, shard, &(wn_eval_options){0}, &c), WN_INVALID);
    assert_message("made by tokenizer");
}

static void test_open_refuses(void **state) {
    fixture *f = *state;
    wn_session *s;
    assert_int_equal(wn_session_open("/nowhere", &(wn_session_options){0}, &s), WN_IO);
    assert_null(s);
    assert_message("/nowhere");
    assert_int_equal(wn_session_open(f->run, &(wn_session_options){.context = 49}, &s), WN_INVALID);
    assert_message("48 positions");
    const char *rule = "nothing=2:4:row";
    const wn_session_options o = {.sparsity = &rule, .sparsity_count = 1};
    assert_int_equal(wn_session_open(f->run, &o, &s), WN_INVALID);
    assert_null(s);
}

static void test_without_tokenizer(void **state) {
    fixture *f = *state;
    void *const scratch = f->scratch;
    wn_session *s;
    char path[1200];
    (void)snprintf(path, sizeof path, "%s/latest/tokenizer.json", f->run);
    assert_int_equal(rename(path, scratch_path(&scratch, "aside.json")), 0);
    OK(wn_session_open(f->run, &(wn_session_options){.threads = 1}, &s));
    assert_null(wn_session_tokenizer(s));
    const wn_generate_options o = {.max_tokens = 1, .sampling = {.top_p = 1}};
    assert_int_equal(wn_generate(s, "a", 1, &o, NULL, NULL, NULL, NULL), WN_UNSUPPORTED);
    assert_message("tokenizer.json");
    wn_eval_result r;
    assert_int_equal(wn_eval(s, scratch_path(&scratch, "text.txt"), &(wn_eval_options){0}, &r),
                     WN_UNSUPPORTED);
    (void)snprintf(path, sizeof path, "%s/data/eval.tokens", f->run);
    OK(wn_eval(s, path, &(wn_eval_options){0}, &r));
    assert_true(r.loss > 0 && r.bits_per_byte == 0);
    wn_session_free(s);
    (void)snprintf(path, sizeof path, "%s/latest/tokenizer.json", f->run);
    assert_int_equal(rename(scratch_path(&scratch, "aside.json"), path), 0);
}

static void count_tensor(void *ctx, const wn_tensor_report *t) {
    int *count = ctx;
    count[0]++;
    count[1] += t->is24;
    assert_int_equal(t->nonfinite, 0);
    assert_string_equal(t->file, "model.safetensors");
}

static void test_inspect(void **state) {
    fixture *f = *state;
    int count[2] = {0};
    char *text;
    OK(wn_inspect(f->run, true, count_tensor, count, &text));
    assert_int_equal(count[0], 2 * 8 + 2); // norms, attention, MLP; embedding, final norm
    assert_int_equal(count[1], 4);
    assert_non_null(strstr(text, "ArceeForCausalLM"));
    assert_non_null(strstr(text, "hidden 32"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy_cache), cmocka_unit_test(test_packed_and_dense),
        cmocka_unit_test(test_weights),      cmocka_unit_test(test_sampling),
        cmocka_unit_test(test_text),         cmocka_unit_test(test_nothing_asked),
        cmocka_unit_test(test_limits),       cmocka_unit_test(test_end_of_text),
        cmocka_unit_test(test_evaluation),   cmocka_unit_test(test_eval_files),
        cmocka_unit_test(test_open_refuses), cmocka_unit_test(test_without_tokenizer),
        cmocka_unit_test(test_inspect),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
