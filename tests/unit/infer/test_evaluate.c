// SPDX-License-Identifier: MIT
// Evaluations against sums over batches fed by hand: every label once and the same, where they
// stop, and the mean that other scripts print.
#include "model/model_test.h"
#include "unit/base/scratch.h"

#include "data/source.h"
#include "infer/evaluate.h"

enum { SEQ = 16, ROWS = 4, DOCUMENTS = 23, COUNT = 10 * SEQ * ROWS + 1 };
#define TRAIN WN_FIXTURES "/data/en/c4-train.*.json.gz"

static rig r;
static wn_tokenizer *bytes;
static wn__id_bytes id_bytes;
static int32_t numbers[COUNT];

static int setup(void **state) {
    (void)state;
    wn__structure base = default_structure();
    wn__model_spec spec = {
        .config = small_config(WN_MLP_SWIGLU), .dtype = WN_DTYPE_F32, .batch = ROWS, .seq = SEQ};
    spec.config.vocab_size = 257;
    rig_open(&r, &spec, NULL, &base, 1);
    OK(wn__model_init(r.m, 5));
    OK(wn__model_prepare(r.m, 0));
    OK(wn_tokenizer_bytes(&bytes));
    OK(wn__id_bytes_create(bytes, &id_bytes));
    random_tokens(numbers, COUNT, 257, 9);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    wn__id_bytes_free(&id_bytes);
    wn_tokenizer_free(bytes);
    rig_close(&r);
    return 0;
}

static void near(double a, double b) {
    if (!(fabs(a - b) <= 1e-12 * fabs(b))) fail_msg("%.17g, expected %.17g", a, b);
}

static wn__ids span(void) {
    return (wn__ids){
        .bytes = (const uint8_t *)numbers, .id_bytes = 4, .count = COUNT, .name = "numbers"};
}

static wn__source *documents(bool pack) {
    wn__source *s;
    const wn__documents_options o = {
        .pattern = TRAIN, .tokenizer = bytes, .seq_len = SEQ, .append_eos = true, .pack = pack};
    OK(wn__source_documents(&o, &s));
    return s;
}

// The batches of an epoch: sums of loss and labels of each.
typedef struct batches {
    double loss[64];
    int64_t labels[64], tokens[64], bytes[64], count;
} batches;

static batches by_hand(wn__source *s) {
    batches b = {0};
    int32_t tokens[ROWS * SEQ], targets[ROWS * SEQ];
    for (;;) {
        int64_t labels, got, n = b.count;
        OK(wn__source_rest(s, ROWS, tokens, targets, &labels, &got));
        if (got == 0) return b;
        OK(wn__model_feed(r.m, tokens, targets, got, SEQ));
        OK(wn__model_loss(r.m, &b.loss[n], &b.labels[n]));
        assert_int_equal(labels, b.labels[n]);
        b.tokens[n] = labels + got; // a document has one more than labels
        for (int64_t i = 0; i < got * SEQ; i++)
            b.bytes[n] += targets[i] >= 0 && targets[i] < 256; // the end of a text has none
        b.count++;
    }
}

// The same without the function under test: the mean over n batches of equal size, times n/(n+1).
static void test_compat_of_a_span(void **state) {
    (void)state;
    const wn__ids all = span();
    wn__evaluation e, part;
    for (int64_t n = 1; n <= 10; n++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) {
            wn__ids one = wn__ids_part(&all, (uint64_t)(i * ROWS * SEQ), ROWS * SEQ + 1);
            OK(wn__evaluate(r.m, &one, ROWS, SEQ, 0, 0, NULL, &part));
            assert_int_equal(part.batches, 1);
            near(wn__evaluation_compat_loss(&part), wn__evaluation_loss(&part) / 2);
            sum += wn__evaluation_loss(&part);
        }
        OK(wn__evaluate(r.m, &all, ROWS, SEQ, n, 0, NULL, &e));
        assert_int_equal(e.batches, n);
        near(wn__evaluation_loss(&e), sum / (double)n);
        near(wn__evaluation_compat_loss(&e), sum / (double)(n + 1));
    }
    near(wn__evaluation_compat_loss(&(wn__evaluation){.batch_sum = 3.2187 * 195, .batches = 195}),
         3.2187 * 195 / 196); // a published 3.2022
    near(wn__evaluation_compat_loss(&(wn__evaluation){0}), 0);
}

static void test_whole_epoch(void **state) {
    (void)state;
    for (int pack = 0; pack < 2; pack++) {
        wn__source *s = documents(pack);
        batches b = by_hand(s);
        double loss = 0, means = 0;
        int64_t labels = 0, text = 0;
        assert_int_equal(b.count, pack ? 14 : 6); // of 53 windows, of 23 documents
        for (int64_t i = 0; i < b.count; i++) {
            loss += b.loss[i];
            labels += b.labels[i];
            means += b.loss[i] / (double)b.labels[i];
            text += b.bytes[i];
        }
        wn__evaluation e;
        for (int again = 0; again < 2; again++) { // from the beginning, wherever the source is
            OK(wn__evaluate_source(r.m, s, ROWS, SEQ, 0, 0, &id_bytes, again, &e));
            assert_int_equal(e.batches, b.count);
            assert_int_equal(e.labels, labels);
            assert_int_equal(e.bytes, text);
            near(wn__evaluation_loss(&e), loss / (double)labels);
            near(wn__evaluation_compat_loss(&e), means / (double)(b.count + 1));
            near(wn__evaluation_bits_per_byte(&e), loss / log(2) / (double)text);
        }
        if (!pack) assert_true(fabs(means / (double)b.count - loss / (double)labels) > 1e-6);
        wn__source_free(s);
    }
}

static void test_stops(void **state) {
    (void)state;
    wn__source *s = documents(false);
    batches b = by_hand(s);
    wn__evaluation e;
    OK(wn__evaluate_source(r.m, s, ROWS, SEQ, 2, 0, NULL, false, &e));
    assert_int_equal(e.batches, 2);
    assert_int_equal(e.labels, b.labels[0] + b.labels[1]);
    assert_int_equal(e.bytes, 0);
    int64_t two = b.labels[0] + b.labels[1], tokens = b.tokens[0] + b.tokens[1];
    for (int64_t most = two - 1; most <= two + 1; most++) {
        OK(wn__evaluate_source(r.m, s, ROWS, SEQ, 0, most, NULL, false, &e));
        assert_int_equal(e.labels, most);
        assert_int_equal(e.batches, most <= two ? 2 : 3);
        if (most == two) near(wn__evaluation_loss(&e), (b.loss[0] + b.loss[1]) / (double)two);
    }
    for (int64_t most = tokens - 1; most <= tokens; most++) { // whole batches, until it is passed
        OK(wn__evaluate_source(r.m, s, ROWS, SEQ, 0, most, NULL, true, &e));
        assert_int_equal(e.batches, most < tokens ? 2 : 3);
        assert_int_equal(e.labels, most < tokens ? two : two + b.labels[2]);
    }
    OK(wn__evaluate_source(r.m, s, ROWS, SEQ, 0, INT64_MAX, NULL, true, &e));
    assert_int_equal(e.batches, 6);
    wn__source_free(s);
}

// The last label alone is the loss of the first window's first prediction.
static void test_one_label(void **state) {
    (void)state;
    wn__source *s = documents(false);
    int32_t tokens[SEQ], targets[SEQ];
    wn__evaluation e;
    double loss;
    int64_t labels;
    OK(wn__source_next(s, 1, tokens, targets, NULL));
    for (int i = 1; i < SEQ; i++)
        targets[i] = -1;
    OK(wn__model_feed(r.m, tokens, targets, 1, SEQ));
    OK(wn__model_loss(r.m, &loss, &labels));
    OK(wn__evaluate_source(r.m, s, 1, SEQ, 0, 1, NULL, false, &e));
    assert_int_equal(e.labels, 1);
    near(wn__evaluation_loss(&e), loss);
    wn__source_free(s);
}

static void test_windows(void **state) {
    (void)state;
    const wn__ids all = span();
    wn__source *s;
    wn__evaluation e, f;
    OK(wn__source_windows(&all, SEQ, false, 0, &s));
    OK(wn__evaluate(r.m, &all, ROWS, SEQ, 0, 0, &id_bytes, &e));
    OK(wn__evaluate_source(r.m, s, ROWS, SEQ, 0, 0, &id_bytes, false, &f));
    assert_memory_equal(&e, &f, sizeof e);
    OK(wn__evaluate_source(r.m, s, ROWS, SEQ, 0, 2 * ROWS * SEQ, NULL, true, &f)); // not passed yet
    assert_int_equal(f.batches, 3);
    FAILS(wn__evaluate_source(r.m, s, ROWS, SEQ - 1, 0, 0, NULL, false, &f), WN_INVALID,
          "samples of 16 tokens, seq_len is 15");
    wn__source_free(s);
}

// What the ids of a text stand for is the whole text, also where decoding one id alone would drop
// the space that its piece carries.
static void test_bytes_of_pieces(void **state) {
    (void)state;
    static const char text[] = "the river and the river again";
    static const char json[] =
        "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,\"post_processor\":null,"
        "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\u2581\",\"prepend_scheme\":"
        "\"always\",\"split\":true},\"decoder\":{\"type\":\"Metaspace\",\"replacement\":\"\u2581\","
        "\"prepend_scheme\":\"always\",\"split\":true},\"model\":{\"type\":\"Unigram\",\"unk_id\":"
        "0,"
        "\"vocab\":[[\"<unk>\",0],[\"\u2581the\",-1],[\"\u2581river\",-2],[\"\u2581and\",-2],"
        "[\"\u2581again\",-2]],\"byte_fallback\":false}}";
    void *scratch = NULL;
    assert_int_equal(scratch_setup(&scratch), 0);
    const char *path = scratch_path(&scratch, "unigram.json");
    wn_tokenizer *t;
    wn_tokens ids;
    wn__id_bytes b;
    int64_t sum = 0;
    OK(wn__file_write(path, json, sizeof json - 1));
    OK(wn_tokenizer_open(path, &t));
    OK(wn_tokenizer_encode(t, text, strlen(text), false, false, &ids));
    OK(wn__id_bytes_create(t, &b));
    for (size_t i = 0; i < ids.count; i++)
        sum += b.plain[ids.id[i]];
    assert_int_equal(ids.count, 6);
    assert_int_equal(sum, strlen(text) + 1); // a space is put before it
    wn__id_bytes_free(&b);
    wn_tokens_free(&ids);
    wn_tokenizer_free(t);
    assert_int_equal(scratch_teardown(&scratch), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_of_pieces), cmocka_unit_test(test_compat_of_a_span),
        cmocka_unit_test(test_whole_epoch),     cmocka_unit_test(test_stops),
        cmocka_unit_test(test_one_label),       cmocka_unit_test(test_windows),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
