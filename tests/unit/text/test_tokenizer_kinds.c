// SPDX-License-Identifier: MIT
// Tokenizers over characters: merges and best paths against programs that try everything, files
// that are wrong, what is asked id by id, and long texts.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/philox.h"
#include "unit/base/scratch.h"
#include "winnow/tokenizer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK "\xe2\x96\x81"
#define META(scheme)                                                                               \
    "{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\",\"prepend_scheme\":\"" scheme "\"}"
#define SPECIAL(id, text) "{\"id\":" #id ",\"content\":\"" text "\",\"special\":true}"
#define LLAMA_NORMALIZER                                                                           \
    "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"" MARK            \
    "\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" MARK "\"}]}"
#define LLAMA_DECODER                                                                              \
    "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"" MARK   \
    "\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\","  \
    "\"content\":\" \",\"start\":1,\"stop\":0}]}"

static uint32_t draw(uint64_t stream, uint64_t i) {
    uint32_t r[4];
    wn__philox_draw(9, WN_STREAM_TEST + stream, i, r);
    return r[0];
}

static wn_tokenizer *parse(const char *text) {
    wn_tokenizer *t;
    if (wn_tokenizer_parse(text, strlen(text), "t.json", &t) != WN_OK)
        fail_msg("%s", wn_last_error());
    return t;
}

static void check_ids(const wn_tokenizer *t, const char *text, size_t n, const int32_t *want,
                      size_t count) {
    wn_tokens got;
    if (wn_tokenizer_encode(t, text, n, true, false, &got) != WN_OK)
        fail_msg("%s", wn_last_error());
    bool same = got.count == count;
    for (size_t i = 0; same && i < count; i++)
        same = got.id[i] == want[i];
    if (!same) fail_msg("'%.*s': %zu ids, not %zu", (int)n, text, got.count, count);
    wn_tokens_free(&got);
}

#define CHECK_IDS(t, text, ...)                                                                    \
    check_ids(t, text, strlen(text), (const int32_t[]){__VA_ARGS__},                               \
              sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static void check_text(const wn_tokenizer *t, const int32_t *id, size_t count, bool skip,
                       const char *want) {
    char *text;
    size_t n;
    assert_int_equal(wn_tokenizer_decode(t, id, count, skip, &text, &n), WN_OK);
    assert_string_equal(text, want);
    assert_int_equal(n, strlen(want));
    free(text);
}

// A random model: single letters, then pieces put together from two earlier ones.
#define PIECES 40
typedef struct model {
    char text[PIECES][16];
    int left[PIECES], right[PIECES]; // of pieces after the letters
    double score[PIECES];
    int letters, pieces;
} model;

static void make_model(model *m, uint64_t stream) {
    *m = (model){.letters = 5, .pieces = 5};
    for (int i = 0; i < 5; i++)
        (void)snprintf(m->text[i], sizeof m->text[i], "%c", "abcd_"[i]);
    for (uint64_t i = 0; m->pieces < PIECES && i < 400; i++) {
        int a = (int)(draw(stream, 2 * i) % (uint32_t)m->pieces),
            b = (int)(draw(stream, 2 * i + 1) % (uint32_t)m->pieces);
        char both[32];
        (void)snprintf(both, sizeof both, "%s%s", m->text[a], m->text[b]);
        bool known = strlen(both) > 7;
        for (int k = 0; k < m->pieces; k++)
            known |= strcmp(m->text[k], both) == 0;
        if (known) continue;
        memcpy(m->text[m->pieces], both, sizeof m->text[0]);
        m->left[m->pieces] = a;
        m->right[m->pieces++] = b;
    }
    for (int i = 0; i < PIECES; i++) // halves, so that sums are exact and often even
        m->score[i] = -0.5 * (double)(1 + draw(stream + 1, (uint64_t)i) % 12);
}

static size_t random_text(uint64_t stream, uint64_t i, char *out) {
    size_t n = 1 + draw(stream, i) % 120;
    for (size_t k = 0; k < n; k++)
        out[k] = "abcd_abz"[draw(stream, 1000 + 200 * i + k) % 8];
    return n;
}

// The lowest rank, leftmost, again and again.
static size_t merge_by_the_book(const model *m, const char *text, size_t n, int32_t *id) {
    for (size_t i = 0; i < n; i++)
        id[i] = text[i] == 'z' ? PIECES : (int32_t)(strchr("abcd_", text[i]) - "abcd_");
    for (;;) {
        int best = PIECES;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++)
            for (int k = m->letters; k < best; k++)
                if (m->left[k] == id[i] && m->right[k] == id[i + 1]) {
                    best = k;
                    at = i;
                }
        if (best == PIECES) return n;
        id[at] = best;
        memmove(id + at + 1, id + at + 2, (n - at - 2) * sizeof *id);
        n--;
    }
}

static void test_merges(void **state) {
    (void)state;
    for (uint64_t round = 0; round < 12; round++) {
        model m;
        make_model(&m, 10 * round);
        char json[8192], text[128];
        int at = snprintf(json, sizeof json,
                          "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\","
                          "\"vocab\":{\"<unk>\":40");
        for (int i = 0; i < m.pieces; i++)
            at += snprintf(json + at, sizeof json - (size_t)at, ",\"%s\":%d", m.text[i], i);
        at += snprintf(json + at, sizeof json - (size_t)at, "},\"merges\":[");
        for (int i = m.letters; i < m.pieces; i++)
            at += snprintf(json + at, sizeof json - (size_t)at, "%s[\"%s\",\"%s\"]",
                           i > m.letters ? "," : "", m.text[m.left[i]], m.text[m.right[i]]);
        (void)snprintf(json + at, sizeof json - (size_t)at, "]}}");
        wn_tokenizer *t = parse(json);
        assert_string_equal(wn_tokenizer_kind(t), "BPE");
        for (uint64_t i = 0; i < 200; i++) {
            int32_t want[128];
            size_t n = random_text(10 * round + 2, i, text);
            check_ids(t, text, n, want, merge_by_the_book(&m, text, n, want));
        }
        wn_tokenizer_free(t);
    }
}

// All pieces tried at all places; ends are reached from earlier starts first, by longer pieces
// later.
static size_t best_by_the_book(const model *m, const char *text, size_t n, int32_t *id) {
    double sum[128] = {0}, least = 0;
    int piece[128];
    size_t from[128];
    for (int i = 0; i < m->pieces; i++)
        if (m->score[i] < least) least = m->score[i];
    for (size_t i = 0; i <= n; i++)
        piece[i] = -1;
    for (size_t i = 0; i < n; i++) {
        for (size_t length = 1; i + length <= n; length++) {
            int found = length == 1 ? PIECES : -1;
            for (int k = 0; k < m->pieces; k++)
                if (strlen(m->text[k]) == length && memcmp(m->text[k], text + i, length) == 0)
                    found = k;
            if (found < 0) continue;
            double score = sum[i] + (found == PIECES ? least - 10 : m->score[found]);
            if (piece[i + length] >= 0 && score <= sum[i + length]) continue;
            sum[i + length] = score;
            piece[i + length] = found;
            from[i + length] = i;
        }
    }
    size_t count = 0, place = 128;
    int32_t back[128];
    for (size_t i = n; i > 0; i = from[i])
        if (piece[i] != PIECES || place == 128 || back[place] != PIECES) back[--place] = piece[i];
    while (place < 128)
        id[count++] = back[place++];
    return count;
}

static void test_best_paths(void **state) {
    (void)state;
    for (uint64_t round = 0; round < 12; round++) {
        model m;
        make_model(&m, 200 + 10 * round);
        char json[8192], text[128];
        int at = snprintf(json, sizeof json,
                          "{\"model\":{\"type\":\"Unigram\",\"unk_id\":%d,"
                          "\"vocab\":[",
                          m.pieces);
        for (int i = 0; i < m.pieces; i++)
            at += snprintf(json + at, sizeof json - (size_t)at, "[\"%s\",%.1f],", m.text[i],
                           m.score[i]);
        (void)snprintf(json + at, sizeof json - (size_t)at, "[\"<unk>\",0]]}}");
        wn_tokenizer *t = parse(json);
        assert_string_equal(wn_tokenizer_kind(t), "unigram");
        assert_int_equal(m.pieces, PIECES);
        for (uint64_t i = 0; i < 200; i++) {
            int32_t want[128];
            size_t n = random_text(200 + 10 * round + 2, i, text);
            check_ids(t, text, n, want, best_by_the_book(&m, text, n, want));
        }
        wn_tokenizer_free(t);
    }
}

static const char llama[] =
    "{\"added_tokens\":[" SPECIAL(0, "<unk>") "," SPECIAL(1, "<s>") "," SPECIAL(
        2, "</s>") "],\"normalizer\":" LLAMA_NORMALIZER ",\"decoder\":" LLAMA_DECODER ","
                   "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{"
                   "\"SpecialToken\":{\"id\":"
                   "\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{"
                   "\"SpecialToken\":{"
                   "\"id\":\"</s>\",\"type_id\":0}}],\"special_tokens\":{\"<s>\":{\"ids\":[1]},\"</"
                   "s>\":{\"ids\":"
                   "[2]}}},\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"fuse_unk\":true,"
                   "\"byte_fallback\":true,\"vocab\":{\"<unk>\":0,\"<s>\":1,\"</"
                   "s>\":2,\"<0xC3>\":3,\"<0xA9>\":4,"
                   "\"" MARK "\":5,\"a\":6,\"b\":7,\"" MARK
                   "a\":8,\"ab\":9,\"<0xE6>\":10,\"<0xB2>\":11,"
                   "\"<0xB3>\":12},\"merges\":[\"" MARK " a\",\"a b\"]}}";

static void test_pieces(void **state) {
    (void)state;
    wn_tokenizer *t = parse(llama);
    assert_string_equal(wn_tokenizer_kind(t), "BPE with byte fallback");
    CHECK_IDS(t, "a b\xc3\xa9", 8, 5, 7, 3, 4);
    CHECK_IDS(t, "xyb<s>a", 5, 0, 7, 1, 8);
    wn_tokens ids;
    assert_int_equal(wn_tokenizer_encode(t, "b", 1, true, true, &ids), WN_OK);
    assert_int_equal(ids.count, 3); // the mark is put before it
    assert_int_equal(ids.id[0], 1);
    wn_tokens_free(&ids);
    assert_int_equal(wn_tokenizer_encode_framed(t, "b", 1, true, &ids), WN_OK);
    assert_int_equal(ids.count, 4);
    assert_int_equal(ids.id[3], 2);
    wn_tokens_free(&ids);
    check_text(t, (const int32_t[]){1, 8, 5, 7, 3, 4}, 6, true, "a b\xc3\xa9");
    check_text(t, (const int32_t[]){1, 8, 5, 7, 2}, 5, false, "<s> a b</s>");
    check_text(t, (const int32_t[]){3, 7, 4}, 3, false,
               "\xef\xbf\xbd"
               "b\xef\xbf\xbd");
    check_text(t, NULL, 0, false, "");
    static const struct {
        int32_t id;
        const char *bytes;
        bool special;
    } pieces[] = {{8, " a", false},   {5, " ", false},  {7, "b", false},
                  {3, "\xc3", false}, {1, "<s>", true}, {0, "<unk>", true}};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        size_t n;
        const char *bytes = wn_tokenizer_piece(t, pieces[i].id, &n);
        assert_int_equal(n, strlen(pieces[i].bytes));
        assert_memory_equal(bytes, pieces[i].bytes, n);
        assert_int_equal(wn_tokenizer_is_special(t, pieces[i].id), pieces[i].special);
    }
    size_t n = 7;
    assert_null(wn_tokenizer_piece(t, 13, &n));
    assert_int_equal(n, 0);
    assert_null(wn_tokenizer_piece(t, -1, &n));
    assert_false(wn_tokenizer_is_special(t, 13));
    wn_tokenizer_free(t);
}

// Bytes that are not UTF-8 are read as U+FFFD, one each, wherever they stand.
static void test_invalid(void **state) {
    (void)state;
    static const char text[] =
        "{\"normalizer\":" LLAMA_NORMALIZER ",\"decoder\":" LLAMA_DECODER ",\"model\":{\"type\":"
        "\"BPE\",\"vocab\":{\"\xef\xbf\xbd\":0,\"" MARK "\":1,\"a\":2},\"merges\":[]}}";
    wn_tokenizer *t = parse(text);
    CHECK_IDS(t, "a\xff", 1, 2, 0);
    CHECK_IDS(t,
              "\xe2\x96"
              "a \xed\xa0\x80",
              1, 0, 0, 2, 1, 0, 0, 0);
    CHECK_IDS(t, "\xf0\x9f\x99", 1, 0, 0, 0);
    CHECK_IDS(t, "\xef\xbf\xbd", 1, 0);
    wn_tokens ids;
    assert_int_equal(wn_tokenizer_encode(t, "ab", 2, true, false, &ids), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "no token for U+0062, nor an unk_token"));
    assert_int_equal(wn_tokenizer_encode(t, "a\0a", 3, true, false, &ids), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "U+0000"));
    wn_tokenizer_free(t);
}

// A special token that is looked for in its normalized form is left out all the same.
static void test_special(void **state) {
    (void)state;
    static const char text[] =
        "{\"added_tokens\":[{\"id\":3,\"content\":\"<s>\",\"special\":true,\"normalized\":true}],"
        "\"normalizer\":" LLAMA_NORMALIZER ",\"decoder\":" LLAMA_DECODER ",\"model\":{\"type\":"
        "\"BPE\",\"vocab\":{\"" MARK "\":1,\"a\":2,\"<s>\":3},\"merges\":[]}}";
    wn_tokenizer *t = parse(text);
    CHECK_IDS(t, "<s>a <s>", 3, 2, 3);
    check_text(t, (const int32_t[]){3, 2, 3}, 3, false, "<s>a <s>");
    check_text(t, (const int32_t[]){3, 2, 3}, 3, true, "a");
    wn_tokenizer_free(t);
}

// The beginning of the text is told from the rest also where marks change places in it.
static void test_beginning(void **state) {
    (void)state;
    static const char text[] =
        "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFD\"},{\"type\":"
        "\"NFC\"}]},\"pre_tokenizer\":" META("first") ",\"model\":{\"type\":\"Unigram\",\"unk_id\":"
                                                      "0,\"vocab\":[[\"<unk>\",0],[\"x\","
                                                      "-1],[\"" MARK "\",-1]]}}";
    wn_tokenizer *t = parse(text);
    CHECK_IDS(t, "\xc3\xa1\xe1\xb7\x8a x", 2, 0, 2,
              1); // a mark of three bytes goes before the acute
    CHECK_IDS(t, "x x", 2, 1, 2, 1);
    wn_tokenizer_free(t);
}

// A token may begin with white space that the one before it took.
static void test_taken_space(void **state) {
    (void)state;
    static const char text[] =
        "{\"added_tokens\":[{\"id\":5,\"content\":\"<r>\",\"rstrip\":true,\"normalized\":false},"
        "{\"id\":6,\"content\":\" b\",\"normalized\":false}],\"pre_tokenizer\":" META(
            "never") ",\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],["
                     "\"a\","
                     "-1],[\"" MARK "\",-1]]}}";
    wn_tokenizer *t = parse(text);
    CHECK_IDS(t, "<r> b a", 5, 6, 2, 1);
    CHECK_IDS(t, "<r>  a b", 5, 1, 6);
    wn_tokenizer_free(t);
}

static void test_saved(void **state) {
    wn_tokenizer *t = parse(llama), *back;
    const char *path = scratch_path(state, "tokenizer.json");
    char *text;
    size_t n;
    assert_int_equal(wn_tokenizer_save(t, path), WN_OK);
    assert_int_equal(wn__file_read(path, 0, &text, &n), WN_OK);
    assert_int_equal(n, strlen(llama));
    assert_memory_equal(text, llama, n);
    free(text);
    assert_int_equal(wn_tokenizer_open(path, &back), WN_OK);
    CHECK_IDS(back, "a b\xc3\xa9", 8, 5, 7, 3, 4);
    assert_int_equal(wn_tokenizer_eos(back), 2);
    wn_tokenizer_free(back);
    wn_tokenizer_free(t);
    // Ends that tokenizer_config.json asks for.
    static const char bare[] =
        "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\","
        "0],[\"a\",-1],[\"</s>\",0]]}}",
                      config[] = "{\"eos_token\":\"</s>\",\"add_eos_token\":true}";
    assert_int_equal(wn__file_write(path, bare, strlen(bare)), WN_OK);
    assert_int_equal(
        wn__file_write(scratch_path(state, "tokenizer_config.json"), config, strlen(config)),
        WN_OK);
    assert_int_equal(wn_tokenizer_open(path, &back), WN_OK);
    wn_tokens ids;
    assert_int_equal(wn_tokenizer_encode_framed(back, "a", 1, true, &ids), WN_OK);
    assert_int_equal(ids.count, 2);
    assert_int_equal(ids.id[1], 2);
    wn_tokens_free(&ids);
    wn_tokenizer_free(back);
}

// A hundred thousand bytes of one thing, and of nothing alike: what looks at everything again for
// each of them does not end.
static void test_long_texts(void **state) {
    (void)state;
    static const char *const runs[] = {"a", " ", "ab", "x", "\xc3\xa9", MARK, "a b", "\xff"};
    size_t n = (size_t)1 << 17;
    char *text = malloc(n);
    assert_non_null(text);
    char unigram[1024];
    (void)snprintf(unigram, sizeof unigram,
                   "{\"normalizer\":%s,\"decoder\":%s,\"model\":{\"type\":\"Unigram\",\"unk_id\":0,"
                   "\"vocab\":[[\"<unk>\",0],[\"a\",-1],[\"aa\",-2],[\"b\",-1],[\"" MARK
                   "\",-3],[\"" MARK "a\",-3.5]]}}",
                   LLAMA_NORMALIZER, LLAMA_DECODER);
    for (int kind = 0; kind < 2; kind++) {
        wn_tokenizer *t = parse(kind == 0 ? llama : unigram);
        for (size_t i = 0; i <= sizeof runs / sizeof runs[0]; i++) {
            const char *run = i < sizeof runs / sizeof runs[0] ? runs[i] : NULL;
            for (size_t k = 0; k < n; k++)
                text[k] = run != NULL ? run[k % strlen(run)] : "ab "[draw(300, k) % 3];
            wn_tokens ids;
            char *back;
            size_t size;
            assert_int_equal(wn_tokenizer_encode(t, text, n, true, false, &ids), WN_OK);
            assert_true(ids.count > 0 && ids.count <= 2 * n + 2);
            if (run != NULL && run[0] == 'x') // fused into one, after the mark
                assert_int_equal(ids.count, 2);
            assert_int_equal(wn_tokenizer_decode(t, ids.id, ids.count, false, &back, &size), WN_OK);
            if (run == NULL || run[0] == 'a') {
                assert_int_equal(size, n);
                assert_memory_equal(back, text, n);
            }
            free(back);
            wn_tokens_free(&ids);
        }
        wn_tokenizer_free(t);
    }
    free(text);
}

// Base64 of a character map with one rule, "A" to "bb"; change spoils it.
typedef void spoil_fn(uint8_t *map, size_t *size);

static void put32(uint8_t *at, uint32_t v) {
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(v >> (8 * i));
}

#define UNIT(map, i) ((map) + 4 + 4 * (i))

static char *charsmap(spoil_fn *change) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static char text[4096];
    uint8_t map[2048] = {0};
    size_t size = 4 + 4 * 256 + 3, at = 0;
    put32(map, 4 * 256);
    for (size_t i = 0; i < 256; i++)
        put32(UNIT(map, i), 0x800000FF); // matches nothing
    put32(UNIT(map, 0), 1 << 10);        // the root's children at 1 ^ byte
    put32(UNIT(map, 1 ^ 'A'), 'A' | 1 << 8 | (uint32_t)(1 ^ 'A' ^ 2) << 10); // its leaf at 2
    put32(UNIT(map, 2), 0x80000000);                                         // the text at 0
    memcpy(map + size - 3, "bb", 3);
    if (change != NULL) change(map, &size);
    for (size_t i = 0; i < size; i += 3) {
        uint32_t bits = (uint32_t)map[i] << 16 | (uint32_t)map[i + 1] << 8 | map[i + 2];
        for (int k = 0; k < 4; k++)
            text[at++] = i + (size_t)k <= size ? digits[bits >> (18 - 6 * k) & 63] : '=';
    }
    text[at] = '\0';
    return text;
}

static wn_status open_map(const char *base64, wn_tokenizer **t) {
    char json[8192];
    int n = snprintf(json, sizeof json,
                     "{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"%s\"},"
                     "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"b\","
                     "-1],[\"A\",-1]]}}",
                     base64);
    return wn_tokenizer_parse(json, (size_t)n, "t.json", t);
}

static void spoil_size(uint8_t *map, size_t *size) {
    (void)map;
    *size = 3;
}
static void spoil_trie_size(uint8_t *map, size_t *size) {
    (void)size;
    put32(map, 4 * 256 + 4);
}
static void spoil_beyond(uint8_t *map, size_t *size) {
    put32(map, UINT32_MAX);
    (void)size;
}
static void spoil_empty(uint8_t *map, size_t *size) {
    (void)size;
    put32(map, 0);
}
static void spoil_text(uint8_t *map, size_t *size) {
    map[*size - 2] = 0xFF;
}
static void spoil_value(uint8_t *map, size_t *size) {
    (void)size;
    put32(UNIT(map, 2), 0x80000004);
}
static void spoil_middle(uint8_t *map, size_t *size) { // inside a character
    memcpy(map + *size - 3, "\xc3\xa9", 3);
    put32(UNIT(map, 2), 0x80000001);
}
static void spoil_root(uint8_t *map, size_t *size) {
    (void)size;
    put32(UNIT(map, 0), 256u << 10);
}
static void spoil_child(uint8_t *map, size_t *size) {
    (void)size;
    put32(UNIT(map, 1 ^ 'A'), 'A' | 1 << 8 | 1u << 9 | 1u << 31 >> 1);
}
static void make_cycle(uint8_t *map, size_t *size) { // "AAA...": legal, and ends with the chunk
    (void)size;
    put32(UNIT(map, 1 ^ 'A'), 'A' | (uint32_t)('A' ^ 1 ^ 1) << 10);
}

static void test_charsmap(void **state) {
    (void)state;
    static const struct {
        spoil_fn *change;
        const char *message;
    } cases[] = {
        {spoil_size, "a trie of 0 bytes in a map of 3"},
        {spoil_trie_size, "in a map of 1031"},
        {spoil_beyond, "a trie of 4294967295 bytes in a map of 1031"},
        {spoil_empty, "a trie of 0 bytes, expected a multiple of 1024"},
        {spoil_text, "byte 1 of the replacements is not UTF-8"},
        {spoil_value, "unit 2 leads to byte 4 of the replacements, where none begins (3 bytes)"},
        {spoil_middle, "leads to byte 1 of the replacements"},
        {spoil_root, "a node at unit 256, beyond the trie's 256"},
        {spoil_child, "beyond the trie's 256"},
    };
    wn_tokenizer *t;
    assert_int_equal(open_map(charsmap(NULL), &t), WN_OK);
    CHECK_IDS(t, "bAb", 1, 1, 1, 1);
    CHECK_IDS(t, "A\xcc\x81", 1, 1); // the cluster goes as a whole
    wn_tokenizer_free(t);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(open_map(charsmap(cases[i].change), &t), WN_FORMAT);
        const char *said = wn_last_error();
        if (strncmp(said, "t.json: normalizer: 'precompiled_charsmap': ", 44) != 0 ||
            strstr(said, cases[i].message) == NULL)
            fail_msg("case %zu: %s", i, said);
    }
    assert_int_equal(open_map(charsmap(make_cycle), &t), WN_OK);
    CHECK_IDS(t, "AAAAAAAA", 2, 2, 2, 2, 2, 2, 2, 2);
    wn_tokenizer_free(t);
    assert_int_equal(open_map("AAA*", &t), WN_FORMAT);
    assert_non_null(strstr(wn_last_error(), "byte 3 of 4 is not base64"));
    assert_int_equal(open_map("", &t), WN_FORMAT);
    assert_non_null(strstr(wn_last_error(), "in a map of 0"));
}

#define UNIGRAM(rest) "{\"model\":{\"type\":\"Unigram\"," rest "}}"
#define WITH(member)                                                                               \
    "{" member ",\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0]]}}"

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        wn_status status;
        const char *message;
    } cases[] = {
        {UNIGRAM("\"vocab\":{}"), WN_FORMAT, "model: 'vocab': expected an array, found an object"},
        {UNIGRAM("\"unk_id\":0"), WN_FORMAT, "model: 'vocab': expected an array, found missing"},
        {UNIGRAM("\"vocab\":[]"), WN_FORMAT, "an empty vocabulary"},
        {UNIGRAM("\"vocab\":[[\"a\",0],3]"), WN_FORMAT, "vocab[1]: expected [\"piece\", score]"},
        {UNIGRAM("\"vocab\":[[\"a\"]]"), WN_FORMAT, "vocab[0]: expected"},
        {UNIGRAM("\"vocab\":[[\"a\",0,1]]"), WN_FORMAT, "vocab[0]: expected"},
        {UNIGRAM("\"vocab\":[[1,0]]"), WN_FORMAT, "vocab[0]: expected"},
        {UNIGRAM("\"vocab\":[[\"a\",null]]"), WN_FORMAT, "vocab[0]: expected"},
        {UNIGRAM("\"vocab\":[[\"a\",\"NaN\"]]"), WN_FORMAT, "vocab[0]: expected"},
        {UNIGRAM("\"vocab\":[[\"a\",NaN]]"), WN_FORMAT, "t.json: line 1"},
        {UNIGRAM("\"vocab\":[[\"a\",1e999]]"), WN_FORMAT, "t.json: line 1"},
        {UNIGRAM("\"vocab\":[{\"a\":0}]"), WN_FORMAT, "vocab[0]: expected"},
        {UNIGRAM("\"vocab\":[[\"a\",0]],\"unk_id\":1"), WN_FORMAT,
         "unk_id 1 is outside the 1 pieces"},
        {UNIGRAM("\"vocab\":[[\"a\",0]],\"unk_id\":-1"), WN_FORMAT, "unk_id -1 is outside"},
        {UNIGRAM("\"vocab\":[[\"a\",0]],\"unk_id\":\"a\""), WN_FORMAT, "'unk_id'"},
        {UNIGRAM("\"vocab\":[[\"a\",0]],\"byte_fallback\":3"), WN_FORMAT, "'byte_fallback'"},
        {WITH("\"pre_tokenizer\":{\"type\":\"ByteLevel\"}"), WN_UNSUPPORTED,
         "model 'Unigram' is not read here with a ByteLevel pre_tokenizer"},
        {WITH("\"normalizer\":{\"type\":\"Precompiled\"}"), WN_FORMAT,
         "normalizer: 'precompiled_charsmap': expected a string, found missing"},
        {WITH("\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":null}"), WN_FORMAT,
         "'precompiled_charsmap': expected a string, found null"},
        {WITH("\"normalizer\":{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true},"
              "\"added_tokens\":[{\"id\":7,\"content\":\" \",\"normalized\":true}]"),
         WN_FORMAT, "added_tokens: normalization leaves nothing of token 7"},
        {WITH("\"normalizer\":{\"type\":\"Lowercase\"},\"added_tokens\":[{\"id\":7,\"content\":"
              "\"Ab\"},{\"id\":8,\"content\":\"aB\"}]"),
         WN_FORMAT, "two of them have the same text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wn_tokenizer *t = (wn_tokenizer *)(uintptr_t)1;
        wn_status status = wn_tokenizer_parse(cases[i].text, strlen(cases[i].text), "t.json", &t);
        const char *said = wn_last_error();
        if (status != cases[i].status || t != NULL || strncmp(said, "t.json: ", 8) != 0 ||
            strstr(said, cases[i].message) == NULL)
            fail_msg("%s: %s '%s', expected '%s'", cases[i].text, wn_status_name(status), said,
                     cases[i].message);
    }
}

// Cut short or with some bytes changed: any status, no crash, and what is read works.
static void test_damaged(void **state) {
    (void)state;
    char text[sizeof llama];
    for (size_t i = 0; i < 3000; i++) {
        memcpy(text, llama, sizeof llama);
        size_t size = i % 5 == 0 ? draw(400, i) % sizeof llama : sizeof llama - 1;
        for (size_t k = 0; k < 1 + i % 2; k++)
            text[draw(401 + k, i) % (sizeof llama - 1)] =
                draw(403, i + k) % 4 ? "\"{}[]:,0-9e.\\ab "[draw(404, i + k) % 16]
                                     : (char)draw(405, i + k);
        wn_tokenizer *t;
        if (wn_tokenizer_parse(text, size, "t.json", &t) != WN_OK) continue;
        wn_tokens ids;
        if (wn_tokenizer_encode(t, "a b<s> \xc3\xa9\xff", 9, true, false, &ids) == WN_OK) {
            char *back;
            size_t n;
            assert_int_equal(wn_tokenizer_decode(t, ids.id, ids.count, false, &back, &n), WN_OK);
            free(back);
            wn_tokens_free(&ids);
        }
        wn_tokenizer_free(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merges),
        cmocka_unit_test(test_best_paths),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_special),
        cmocka_unit_test(test_beginning),
        cmocka_unit_test(test_taken_space),
        cmocka_unit_test_setup_teardown(test_saved, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_charsmap),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
