// SPDX-License-Identifier: MIT
// Sources against samples worked out in Python, against Hugging Face's truncation and padding, and
// against themselves from every place they can be taken up again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/philox.h"
#include "data/loader.h"
#include "data/source.h"
#include "unit/base/scratch.h"
#include "unit/base/status.h"

#define DATA  WN_FIXTURES "/data/"
#define TRAIN DATA "en/c4-train.*.json.gz"
enum { SEQ = 16, DOCUMENTS = 23, BLOCK = 4, SEED = 7, EPOCHS = 3, ROW = 2 * SEQ };

typedef struct ids {
    int32_t *id;
    size_t rows; // of ROW ids: tokens, then targets
} ids;

static ids load(const char *name) {
    char path[512], *bytes;
    size_t size;
    (void)snprintf(path, sizeof path, DATA "%s", name);
    OK(wn__file_read(path, 0, &bytes, &size));
    return (ids){.id = (int32_t *)(void *)bytes, .rows = size / sizeof(int32_t) / ROW};
}

static void assert_error(const char *part) {
    if (strstr(wn_last_error(), part) == NULL)
        fail_msg("'%s' does not say '%s'", wn_last_error(), part);
}

static wn_tokenizer *bytes; // of all tests

static int setup(void **state) {
    (void)state;
    return wn_tokenizer_bytes(&bytes) == WN_OK ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    wn_tokenizer_free(bytes);
    return 0;
}

static wn__documents_options options(bool pack, bool shuffle) {
    return (wn__documents_options){.pattern = TRAIN,
                                   .tokenizer = bytes,
                                   .seq_len = SEQ,
                                   .append_eos = true,
                                   .pack = pack,
                                   .shuffle = shuffle,
                                   .seed = SEED,
                                   .block = BLOCK};
}

static wn__source *open_source(const wn__documents_options *o) {
    wn__source *s;
    OK(wn__source_documents(o, &s));
    return s;
}

// The next sample is `row`.
static void expect(wn__source *s, const int32_t *row) {
    int32_t tokens[SEQ], targets[SEQ];
    int64_t labels, want = 0;
    OK(wn__source_next(s, 1, tokens, targets, &labels));
    assert_memory_equal(tokens, row, sizeof tokens);
    assert_memory_equal(targets, row + SEQ, sizeof targets);
    for (int i = 0; i < SEQ; i++)
        want += targets[i] >= 0;
    assert_int_equal(labels, want);
}

static void expect_at(const wn__source *s, uint64_t epoch, uint64_t position) {
    wn__source_state at;
    wn__source_tell(s, &at);
    assert_int_equal(at.epoch, epoch);
    assert_int_equal(at.position, position);
}

// ---- What is drawn -----------------------------------------------------------------------------

static void test_one_a_sample(void **state) {
    (void)state;
    ids want = load("one.i32");
    wn__documents_options o = options(false, false);
    wn__source *s = open_source(&o);
    assert_int_equal(want.rows, DOCUMENTS);
    for (uint64_t epoch = 0; epoch < 2; epoch++)
        for (uint64_t i = 0; i < DOCUMENTS; i++) {
            expect(s, want.id + i * ROW);
            expect_at(s, epoch, i + 1);
        }
    wn__source_free(s);
    free(want.id);
}

static void test_packed(void **state) {
    (void)state;
    ids want = load("packed.i32");
    wn__documents_options o = options(true, false);
    wn__source *s = open_source(&o);
    assert_int_equal(want.rows, 53);
    for (int epoch = 0; epoch < 2; epoch++)
        for (size_t i = 0; i < want.rows; i++)
            expect(s, want.id + i * ROW);
    expect_at(s, 1, want.rows);
    wn__source_free(s);
    free(want.id);
}

static void test_shuffled(void **state) {
    (void)state;
    ids want = load("one.i32"), order = load("order.i32");
    wn__documents_options o = options(false, true);
    wn__source *s = open_source(&o);
    for (int i = 0; i < EPOCHS * DOCUMENTS; i++)
        expect(s, want.id + order.id[i] * ROW);
    wn__source_free(s);
    free(want.id);
    free(order.id);
}

static void test_packed_shuffled(void **state) {
    (void)state;
    ids want = load("packed_shuffled.i32");
    wn__documents_options o = options(true, true);
    wn__source *s = open_source(&o);
    for (size_t i = 0; i < want.rows; i++)
        expect(s, want.id + i * ROW);
    expect_at(s, EPOCHS - 1, want.rows / EPOCHS);
    wn__source_free(s);
    free(want.id);
}

// The sizes of batches do not matter, nor does a block larger than the corpus or of its size lose
// anything.
static void test_batches_and_blocks(void **state) {
    (void)state;
    enum { MOST = 5 * DOCUMENTS };
    static int32_t tokens[2][MOST * SEQ], targets[2][MOST * SEQ];
    const uint64_t blocks[] = {1, 3, DOCUMENTS - 1, DOCUMENTS, DOCUMENTS + 1, 0};
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++) {
        wn__documents_options o = options(false, true);
        o.block = blocks[b];
        wn__source *s = open_source(&o), *other = open_source(&o);
        int64_t labels, sum = 0;
        OK(wn__source_next(s, MOST, tokens[0], targets[0], &labels));
        for (int64_t at = 0; at < MOST; at += 5) {
            int64_t part;
            OK(wn__source_next(other, 5, tokens[1] + at * SEQ, targets[1] + at * SEQ, &part));
            sum += part;
        }
        assert_memory_equal(tokens[0], tokens[1], sizeof tokens[0]);
        assert_memory_equal(targets[0], targets[1], sizeof targets[0]);
        assert_int_equal(sum, labels);
        assert_int_equal(labels % 5, 0); // the same in each of five epochs
        wn__source_free(s);
        wn__source_free(other);
    }
}

static void test_seeds_differ(void **state) {
    (void)state;
    int32_t tokens[2][DOCUMENTS * SEQ], targets[DOCUMENTS * SEQ];
    wn__documents_options o = options(false, true);
    for (int i = 0; i < 2; i++) {
        o.seed = (uint64_t)i;
        wn__source *s = open_source(&o);
        OK(wn__source_next(s, DOCUMENTS, tokens[i], targets, NULL));
        wn__source_free(s);
    }
    assert_memory_not_equal(tokens[0], tokens[1], sizeof tokens[0]);
}

// run_c4's samples: truncation and padding by Hugging Face, labels where the token is not the pad.
static void test_hugging_face(void **state) {
    (void)state;
    ids want = load("t5_like.i32");
    wn_tokenizer *t;
    OK(wn_tokenizer_open(DATA "t5_like.json", &t));
    assert_int_equal(wn_tokenizer_eos(t), 1);
    wn__documents_options o = options(false, false);
    o.tokenizer = t;
    wn__source *s = open_source(&o);
    for (size_t i = 0; i < DOCUMENTS; i++)
        expect(s, want.id + i * ROW);
    wn__source_free(s);
    o.append_eos = false; // the same ids without the last one, if they were not cut
    s = open_source(&o);
    int32_t tokens[SEQ], targets[SEQ];
    for (size_t i = 0; i < DOCUMENTS; i++) {
        const int32_t *row = want.id + i * ROW;
        OK(wn__source_next(s, 1, tokens, targets, NULL));
        size_t n = SEQ;
        while (row[n - 1] == 0)
            n--;
        assert_memory_equal(tokens, row, (n - 1) * sizeof *row);
        assert_int_not_equal(tokens[n - 1], 1);
    }
    wn__source_free(s);
    wn_tokenizer_free(t);
    free(want.id);
}

// A pad that is a byte of the text is a label like any other; one that is special is none.
static void test_pad(void **state) {
    (void)state;
    wn__documents_options o = options(false, false);
    int32_t tokens[SEQ], targets[SEQ];
    int64_t labels;
    o.pattern = DATA "plain/c.json";
    o.pad = 'w';
    wn__source *s = open_source(&o);
    OK(wn__source_next(s, 1, tokens, targets, &labels));
    assert_int_equal(labels, SEQ - 1); // cut: every id but the first
    wn__source_free(s);
    o.pad = 256; // the end-of-text token, as is the last id
    s = open_source(&o);
    OK(wn__source_next(s, 1, tokens, targets, &labels));
    assert_int_equal(tokens[SEQ - 1], 256);
    assert_int_equal(targets[SEQ - 2], -1);
    assert_int_equal(labels, SEQ - 2);
    wn__source_free(s);
}

// ---- The end of an epoch, and going on from anywhere -------------------------------------------

static void check_rest(bool pack, bool shuffle, const char *name) {
    ids want = load(name);
    wn__documents_options o = options(pack, shuffle);
    wn__source *s = open_source(&o);
    int32_t tokens[10 * SEQ], targets[10 * SEQ];
    int64_t rows = pack ? 53 : DOCUMENTS, done = 0, labels, got;
    for (; done < rows; done += got) {
        OK(wn__source_rest(s, 10, tokens, targets, &labels, &got));
        assert_int_equal(got, rows - done < 10 ? rows - done : 10);
        if (shuffle) continue;
        for (int64_t r = 0; r < got; r++) {
            const int32_t *row = want.id + (done + r) * ROW;
            assert_memory_equal(tokens + r * SEQ, row, SEQ * sizeof *row);
            assert_memory_equal(targets + r * SEQ, row + SEQ, SEQ * sizeof *row);
        }
    }
    for (int again = 0; again < 2; again++) {
        OK(wn__source_rest(s, 10, tokens, targets, &labels, &got));
        assert_int_equal(got, 0);
        assert_int_equal(labels, 0);
    }
    wn__source_state at;
    wn__source_tell(s, &at);
    assert_int_equal(at.position, rows);
    OK(wn__source_seek(s, &at));
    OK(wn__source_rest(s, 10, tokens, targets, &labels, &got));
    assert_int_equal(got, 0);
    if (!shuffle) expect(s, want.id); // of the next epoch
    expect_at(s, shuffle ? 0 : 1, shuffle ? (uint64_t)rows : 1);
    wn__source_free(s);
    free(want.id);
}

static void test_rest(void **state) {
    (void)state;
    check_rest(false, false, "one.i32");
    check_rest(true, false, "packed.i32");
    check_rest(false, true, "one.i32");
    check_rest(true, true, "packed.i32");
}

static void expect_same(wn__source *a, wn__source *b, int64_t rows) {
    int32_t tokens[2][8 * SEQ], targets[2][8 * SEQ];
    int64_t labels[2];
    wn__source_state at[2];
    size_t size = (size_t)(rows * SEQ) * sizeof(int32_t);
    OK(wn__source_next(a, rows, tokens[0], targets[0], &labels[0]));
    OK(wn__source_next(b, rows, tokens[1], targets[1], &labels[1]));
    assert_memory_equal(tokens[0], tokens[1], size);
    assert_memory_equal(targets[0], targets[1], size);
    assert_int_equal(labels[0], labels[1]);
    wn__source_tell(a, &at[0]);
    wn__source_tell(b, &at[1]);
    assert_memory_equal(&at[0], &at[1], sizeof at[0]);
}

// From each state of three epochs: a fresh source, one that is elsewhere, and the one that told.
static void resume_everywhere(const wn__documents_options *o, int samples) {
    wn__source *s = open_source(o), *moved = open_source(o);
    int32_t tokens[SEQ], targets[SEQ];
    for (int i = 0; i < samples; i++) {
        wn__source_state at;
        wn__source_tell(s, &at);
        wn__source *fresh = open_source(o);
        OK(wn__source_seek(fresh, &at));
        OK(wn__source_seek(moved, &at));
        expect_same(fresh, moved, 8);
        OK(wn__source_seek(moved, &at));
        for (int k = 0; k < 8; k++)
            expect_same(s, moved, 1);
        OK(wn__source_seek(s, &at));
        OK(wn__source_next(s, 1, tokens, targets, NULL));
        wn__source_free(fresh);
    }
    wn__source_free(s);
    wn__source_free(moved);
}

static void test_resume(void **state) {
    (void)state;
    for (int pack = 0; pack < 2; pack++)
        for (int shuffle = 0; shuffle < 2; shuffle++)
            for (uint64_t block = 1; block <= 24; block += block < 4 ? 1 : 19) {
                wn__documents_options o = options(pack, shuffle);
                o.block = block;
                resume_everywhere(&o, (pack ? 53 : DOCUMENTS) * 2 + 2);
            }
}

// Windows shorter than most documents, and longer.
static void test_resume_lengths(void **state) {
    (void)state;
    for (int64_t seq_len = 1; seq_len <= SEQ; seq_len += 3) {
        wn__documents_options o = options(true, true);
        o.seq_len = seq_len;
        wn__source *s = open_source(&o), *other = open_source(&o);
        int32_t tokens[2][7 * SEQ], targets[2][7 * SEQ];
        for (int i = 0; i < 60; i++) {
            wn__source_state at;
            wn__source_tell(s, &at);
            OK(wn__source_seek(other, &at));
            OK(wn__source_next(s, 7, tokens[0], targets[0], NULL));
            OK(wn__source_next(other, 7, tokens[1], targets[1], NULL));
            assert_memory_equal(tokens[0], tokens[1], (size_t)(7 * seq_len) * sizeof(int32_t));
            assert_memory_equal(targets[0], targets[1], (size_t)(7 * seq_len) * sizeof(int32_t));
        }
        wn__source_free(s);
        wn__source_free(other);
    }
}

// Epoch and position alone are a place where documents are not packed.
static void test_position_is_enough(void **state) {
    (void)state;
    for (int shuffle = 0; shuffle < 2; shuffle++)
        for (uint64_t i = 0; i <= DOCUMENTS; i++) {
            wn__documents_options o = options(false, shuffle);
            wn__source *s = open_source(&o), *other = open_source(&o);
            int32_t tokens[2 * DOCUMENTS * SEQ], targets[2 * DOCUMENTS * SEQ];
            OK(wn__source_next(s, (int64_t)(DOCUMENTS + i), tokens, targets, NULL));
            wn__source_state at = {.epoch = i > 0, .position = i > 0 ? i : DOCUMENTS};
            OK(wn__source_seek(other, &at));
            expect_same(s, other, 8);
            wn__source_free(s);
            wn__source_free(other);
        }
}

static void test_refuses_places(void **state) {
    (void)state;
    const wn__source_state bad[] = {
        {.position = 24},                                // one document too many
        {.position = 5, .extra = {4, 0, 4, 0}},          // contradicts itself
        {.position = 4, .extra = {4, 9, 4, 0}},          // no such file
        {.position = 4, .extra = {4, 0, 4, 1}},          // ids used, but not packed
        {.position = 3, .extra = {3, 2, 13, 0}},         // nothing left there
        {.position = 4, .extra = {4, 0, UINT64_MAX, 0}}, // documents without end
    };
    const wn__source_state bad_packed[] = {
        {.position = 1},                                         // what did it end in?
        {.position = 1, .extra = {4, 0, 4, 258ULL << 32}},       // no such id
        {.position = 1, .extra = {0, 0, 0, 1ULL << 32 | 100}},   // the document is shorter
        {.position = 1, .extra = {3, 2, 13, 1ULL << 32 | 1}},    // none is left
        {.position = 1, .extra = {22, 2, 10, 1ULL << 32 | 100}}, // the last one is shorter
        {.position = UINT64_MAX, .extra = {UINT64_MAX, 9, 9, 1ULL << 32}},
    };
    wn__documents_options o = options(false, true), packed = options(true, true);
    wn__source *s = open_source(&o), *p = open_source(&packed), *fresh = open_source(&o);
    const wn__source_state beginning = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(wn__source_seek(s, &bad[i]), WN_INVALID);
    for (size_t i = 0; i < sizeof bad_packed / sizeof *bad_packed; i++)
        assert_int_equal(wn__source_seek(p, &bad_packed[i]), WN_INVALID);
    OK(wn__source_seek(s, &beginning));
    expect_same(s, fresh, 8);
    wn__source_free(s);
    wn__source_free(p);
    wn__source_free(fresh);
}

// Whatever a damaged checkpoint says: refused, or a place to go on from.
static void test_any_place(void **state) {
    (void)state;
    int taken = 0;
    for (int pack = 0; pack < 2; pack++) {
        wn__documents_options o = options(pack, true);
        wn__source *s = open_source(&o);
        for (uint64_t i = 0; i < 1500; i++) {
            uint32_t w[4];
            int32_t tokens[3 * SEQ], targets[3 * SEQ];
            wn__philox_draw(1, WN_STREAM_TEST, i, w);
            wn__source_state at = {.epoch = w[0] % 3, .position = w[0] / 3 % 30};
            at.extra[0] = pack ? w[1] % 30 : at.position;
            at.extra[1] = w[1] / 30 % 5;
            at.extra[2] = w[2] % 16;
            at.extra[3] = pack ? w[3] % 40 | (uint64_t)(w[3] / 40 % 300) << 32 : 0;
            wn_status status = wn__source_seek(s, &at);
            if (status != WN_OK) {
                assert_int_equal(status, WN_INVALID);
                continue;
            }
            status = wn__source_next(s, 3, tokens, targets, NULL);
            if (status != WN_OK) { // an epoch that begins where nothing is left
                assert_int_equal(status, WN_INVALID);
                assert_int_equal(at.position, 0);
                continue;
            }
            for (int k = 0; k < 3 * SEQ; k++)
                assert_in_range(tokens[k], 0, 256);
            taken++;
        }
        wn__source_free(s);
    }
    assert_in_range(taken, 300, 2700);
}

// ---- Failures ----------------------------------------------------------------------------------

static void test_refuses(void **state) {
    wn__source *s;
    wn__documents_options o = options(false, false);
    o.seq_len = 1;
    assert_int_equal(wn__source_documents(&o, &s), WN_INVALID);
    assert_error("seq_len is 1, expected 2 to ");
    o = options(true, false);
    o.seq_len = 0;
    assert_int_equal(wn__source_documents(&o, &s), WN_INVALID);
    assert_error("expected 1 to ");
    o = options(false, false);
    o.pad = 257;
    assert_int_equal(wn__source_documents(&o, &s), WN_INVALID);
    assert_error("pad is id 257, expected 0 to 256");
    o.pad = -1;
    assert_int_equal(wn__source_documents(&o, &s), WN_INVALID);
    o = options(false, false);
    o.pattern = scratch_path(state, "none*.json");
    assert_int_equal(wn__source_documents(&o, &s), WN_INVALID);
    assert_error("no file matches");
    assert_null(s);
}

// A bad line is named when it is reached, and what follows can be had after seeking.
static void test_bad_line(void **state) {
    static const char text[] =
        "{\"text\":\"a\"}\n{\"text\":\"b\"}\n{\"txt\":\"c\"}\n{\"text\":\"d\"}\n";
    wn__documents_options o = options(false, false);
    o.pattern = scratch_path(state, "bad.json");
    OK(wn__file_write(o.pattern, text, sizeof text - 1));
    wn__source *s = open_source(&o);
    int32_t tokens[3 * SEQ], targets[3 * SEQ];
    OK(wn__source_next(s, 2, tokens, targets, NULL));
    assert_int_equal(wn__source_next(s, 1, tokens, targets, NULL), WN_FORMAT);
    assert_error("bad.json: line 3: \"text\" is missing");
    OK(wn__source_seek(s, &(wn__source_state){.position = 3}));
    OK(wn__source_next(s, 1, tokens, targets, NULL));
    assert_int_equal(tokens[0], 'd');
    wn__source_free(s);
    o.shuffle = true;
    s = open_source(&o);
    assert_int_equal(wn__source_next(s, 1, tokens, targets, NULL), WN_FORMAT);
    assert_error("bad.json: line 3: ");
    wn__source_free(s);
}

static void test_nothing_in_it(void **state) {
    wn__documents_options o = options(false, false);
    int32_t tokens[SEQ], targets[SEQ];
    int64_t got;
    o.pattern = DATA "plain/empty.jsonl";
    wn__source *s = open_source(&o);
    OK(wn__source_rest(s, 1, tokens, targets, NULL, &got));
    assert_int_equal(got, 0);
    assert_int_equal(wn__source_next(s, 1, tokens, targets, NULL), WN_INVALID);
    assert_error("empty.jsonl: 1 file");
    assert_error("not one sample of 16 tokens");
    wn__source_free(s);
    o.pack = true;
    o.pattern = scratch_path(state, "short.json");
    OK(wn__file_write(o.pattern, "{\"text\":\"0123456789abcde\"}", 26)); // 15 and the end
    s = open_source(&o);
    assert_int_equal(wn__source_next(s, 1, tokens, targets, NULL), WN_INVALID);
    wn__source_free(s);
    OK(wn__file_write(o.pattern, "{\"text\":\"0123456789abcdef\"}", 27)); // one more: one window
    s = open_source(&o);
    for (int i = 0; i < 3; i++) {
        OK(wn__source_next(s, 1, tokens, targets, NULL));
        assert_int_equal(targets[SEQ - 1], 256);
    }
    wn__source_free(s);
    o.append_eos = false;
    o.pack = false;
    OK(wn__file_write(o.pattern, "{\"text\":\"\"}", 11)); // a sample of nothing but filling
    int64_t labels;
    s = open_source(&o);
    OK(wn__source_next(s, 1, tokens, targets, &labels));
    assert_int_equal(labels, 0);
    assert_int_equal(tokens[0], 0);
    wn__source_free(s);
}

// ---- Windows -----------------------------------------------------------------------------------

// The loader behind another face: the same windows, states and fingerprints that tell spans apart.
static void test_windows(void **state) {
    (void)state;
    static int32_t number[61];
    for (int32_t i = 0; i < 61; i++)
        number[i] = i;
    wn__ids span = {
        .bytes = (const uint8_t *)number, .id_bytes = 4, .count = 61, .name = "numbers"};
    for (int shuffle = 0; shuffle < 2; shuffle++) {
        wn__loader *l;
        wn__source *s, *later;
        OK(wn__loader_create(&span, 5, shuffle, 3, &l));
        OK(wn__source_windows(&span, 5, shuffle, 3, &s));
        assert_int_equal(wn__source_seq_len(s), 5);
        for (int i = 0; i < 40; i++) {
            int32_t tokens[3][15], targets[3][15];
            int64_t labels;
            wn__source_state at;
            wn__source_tell(s, &at);
            assert_int_equal(at.epoch, wn__loader_tell(l).epoch);
            assert_int_equal(at.position, wn__loader_tell(l).position);
            OK(wn__source_windows(&span, 5, shuffle, 3, &later));
            OK(wn__source_seek(later, &at));
            wn__loader_next(l, 3, tokens[0], targets[0]);
            OK(wn__source_next(s, 3, tokens[1], targets[1], &labels));
            OK(wn__source_next(later, 3, tokens[2], targets[2], NULL));
            assert_int_equal(labels, 15);
            for (int k = 1; k < 3; k++) {
                assert_memory_equal(tokens[0], tokens[k], sizeof tokens[0]);
                assert_memory_equal(targets[0], targets[k], sizeof targets[0]);
            }
            wn__source_free(later);
        }
        wn__source_free(s);
        wn__loader_free(l);
    }
    wn__source *s, *other;
    OK(wn__source_windows(&span, 5, true, 3, &s));
    span.count = 60;
    OK(wn__source_windows(&span, 5, true, 3, &other));
    assert_true(wn__source_fingerprint(s) != wn__source_fingerprint(other));
    assert_string_equal(wn__source_describe(s), "numbers: 61 tokens, windows of 5, shuffled");
    assert_int_equal(wn__source_seek(s, &(wn__source_state){.position = 13}), WN_INVALID);
    wn__source_free(s);
    wn__source_free(other);
    assert_int_equal(wn__source_windows(&span, 60, true, 3, &s), WN_INVALID);
}

static void test_describe(void **state) {
    (void)state;
    wn__documents_options o = options(false, true);
    wn__source *s = open_source(&o);
    assert_non_null(strstr(wn__source_describe(s), "en/c4-train.*.json.gz: 3 files, 0.0 MiB, "
                                                   "documents, one a sample, shuffled in blocks of "
                                                   "4"));
    assert_int_equal(wn__source_seq_len(s), SEQ);
    wn__source_free(s);
    o.pack = true;
    o.shuffle = false;
    o.pattern = DATA "plain/a.jsonl";
    s = open_source(&o);
    assert_non_null(strstr(wn__source_describe(s), "a.jsonl: 1 file, 0.0 MiB, documents, packed"));
    assert_null(strstr(wn__source_describe(s), "shuffled"));
    wn__source_free(s);
}

#define SCRATCH(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_a_sample),
        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_shuffled),
        cmocka_unit_test(test_packed_shuffled),
        cmocka_unit_test(test_batches_and_blocks),
        cmocka_unit_test(test_seeds_differ),
        cmocka_unit_test(test_hugging_face),
        cmocka_unit_test(test_pad),
        cmocka_unit_test(test_rest),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_resume_lengths),
        cmocka_unit_test(test_position_is_enough),
        cmocka_unit_test(test_refuses_places),
        cmocka_unit_test(test_any_place),
        SCRATCH(test_refuses),
        SCRATCH(test_bad_line),
        SCRATCH(test_nothing_in_it),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_describe),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
