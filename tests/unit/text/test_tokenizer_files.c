// SPDX-License-Identifier: MIT
// tokenizer.json files that are wrong, or that hold what is not read here: the code, and words that
// name the member. Each case changes one thing in a good file.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/philox.h"
#include "unit/base/scratch.h"
#include "winnow/tokenizer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A good file: 256 bytes, merges "a b" and "ab c", two added tokens.
static char *good;

static wn__json *json(const char *text) {
    wn__json *j;
    if (wn__json_parse(text, strlen(text), "case", &j) != WN_OK) fail_msg("%s", wn_last_error());
    return j;
}

static int make_good(void **state) {
    wn_tokenizer *t;
    if (scratch_setup(state) != 0 || wn_tokenizer_bytes(&t) != WN_OK) return -1;
    const char *path = scratch_path(state, "good.json");
    wn__json *root = NULL;
    if (wn_tokenizer_save(t, path) != WN_OK || wn__json_read(path, 0, &root) != WN_OK) return -1;
    wn_tokenizer_free(t);
    wn__json *model = wn__json_get(root, "model"), *vocab = wn__json_get(model, "vocab");
    int bad = wn__json_set(vocab, "ab", wn__json_new_int(300)) != WN_OK ||
              wn__json_set(vocab, "abc", wn__json_new_int(301)) != WN_OK ||
              wn__json_set(model, "merges", json("[\"a b\",[\"ab\",\"c\"]]")) != WN_OK ||
              wn__json_set(root, "added_tokens",
                           json("[{\"id\":302,\"content\":\"<s>\",\"special\":true},"
                                "{\"id\":303,\"content\":\"<t>\",\"normalized\":false}]")) != WN_OK;
    if (bad || wn__json_dump(root, 0, &good) != WN_OK) return -1;
    wn__json_free(root);
    return 0;
}

static int drop_good(void **state) {
    free(good);
    return scratch_teardown(state);
}

// The good file with `member` (of the root, "model.NAME" or "vocab.NAME") set to a value.
static char *changed(const char *member, const char *value) {
    wn__json *root = json(good), *o = root;
    char *text;
    if (strncmp(member, "model.", 6) == 0) {
        o = wn__json_get(root, "model");
        member += 6;
    } else if (strncmp(member, "vocab.", 6) == 0) {
        o = wn__json_get(wn__json_get(root, "model"), "vocab");
        member += 6;
    }
    assert_int_equal(wn__json_set(o, member, json(value)), WN_OK);
    assert_int_equal(wn__json_dump(root, 0, &text), WN_OK);
    wn__json_free(root);
    return text;
}

static void test_good(void **state) {
    (void)state;
    wn_tokenizer *t;
    wn_tokens ids;
    char *text;
    size_t n;
    assert_int_equal(wn_tokenizer_parse(good, strlen(good), "good.json", &t), WN_OK);
    assert_int_equal(wn_tokenizer_encode(t, "abcab<t>a", 9, false, false, &ids), WN_OK);
    assert_int_equal(ids.count, 4);
    assert_memory_equal(ids.id, ((int32_t[]){301, 300, 303, 'a'}), 16);
    wn_tokens_free(&ids);
    assert_int_equal(wn_tokenizer_vocab_size(t), 304);
    assert_int_equal(wn_tokenizer_eos(t), -1);
    // 256..299 are holes: legal, and not to be decoded.
    assert_int_equal(wn_tokenizer_decode(t, (int32_t[]){301, 270}, 2, false, &text, &n),
                     WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "id 270 (number 1) is one of the ids without a token"));
    wn_tokenizer_free(t);
}

#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"
#define SPLIT(pattern, behavior)                                                                   \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":" pattern           \
    ",\"behavior\":\"" behavior "\",\"invert\":false}," BYTE_LEVEL "]}"
#define REGEX(r) SPLIT("{\"Regex\":\"" r "\"}", "Isolated")
#define META(mark, scheme)                                                                         \
    "{\"type\":\"Metaspace\",\"replacement\":\"" mark "\",\"prepend_scheme\":" scheme "}"
#define TEN(x) x "," x "," x "," x "," x "," x "," x "," x "," x "," x
#define NFC    "{\"type\":\"NFC\"}"
#define FUSE   "{\"type\":\"Fuse\"}"
#define SINGLE(parts)                                                                              \
    "{\"type\":\"TemplateProcessing\",\"single\":[" parts                                          \
    "],\"special_tokens\":{\"<s>\":{\"ids\":[302]},\"<two>\":{\"ids\":[1,2]},\"<far>\":{\"ids\":[" \
    "999]}}}"
#define SPECIAL(name) "{\"SpecialToken\":{\"id\":\"" name "\",\"type_id\":0}}"
#define SEQUENCE      "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}"
#define ADDED(more)   "[{\"content\":\"<s>\"," more "}]"

static const struct {
    const char *member, *value;
    wn_status status;
    const char *message;
} cases[] = {
    {"model", "[]", WN_FORMAT, "'model': expected an object, found an array"},
    {"model.type", "\"Unigram\"", WN_UNSUPPORTED,
     "model 'Unigram' is not read here with a ByteLevel"},
    {"model.type", "\"WordPiece\"", WN_UNSUPPORTED, "model 'WordPiece'"},
    {"model.type", "3", WN_FORMAT, "'type'"},
    {"model.dropout", "0.1", WN_UNSUPPORTED, "dropout 0.1"},
    {"model.dropout", "\"x\"", WN_FORMAT, "'dropout'"},
    {"model.byte_fallback", "true", WN_UNSUPPORTED,
     "byte_fallback is not read here with a ByteLevel"},
    {"model.continuing_subword_prefix", "\"##\"", WN_UNSUPPORTED, "'continuing_subword_prefix'"},
    {"model.end_of_word_suffix", "\"</w>\"", WN_UNSUPPORTED, "'end_of_word_suffix'"},
    {"model.ignore_merges", "1", WN_FORMAT, "'ignore_merges'"},
    {"model.unk_token", "\"<none>\"", WN_FORMAT, "unk_token '<none>' is not in the vocabulary"},
    {"model.vocab", "[]", WN_FORMAT, "'vocab': expected an object"},
    {"model.vocab", "{}", WN_FORMAT, "merges[0]"},
    {"vocab.x", "\"7\"", WN_FORMAT, "'x': expected an id, found a string"},
    {"vocab.x", "1.5", WN_FORMAT, "'x': expected an id"},
    {"vocab.new", "-1", WN_FORMAT, "id -1 of token 'new' is outside 0.."},
    {"vocab.new", "4294967296", WN_FORMAT, "id 4294967296 of token 'new' is outside"},
    {"vocab.new", "9223372036854775807", WN_FORMAT, "is outside"},
    {"vocab.new", "301", WN_FORMAT, "id 301 belongs to 'abc' and to 'new'"},
    {"model.merges", "{}", WN_FORMAT, "'merges': expected an array"},
    {"model.merges", "[\"a b\",\"ab  c\"]", WN_FORMAT, "merges[1]: expected \"a b\""},
    {"model.merges", "[\"ab\"]", WN_FORMAT, "merges[0]: expected"},
    {"model.merges", "[\" b\"]", WN_FORMAT, "merges[0]: expected"},
    {"model.merges", "[[\"a\"]]", WN_FORMAT, "merges[0]: expected"},
    {"model.merges", "[[\"a\",\"b\",\"c\"]]", WN_FORMAT, "merges[0]: expected"},
    {"model.merges", "[[\"a\",7]]", WN_FORMAT, "merges[0]: expected"},
    {"model.merges", "[null]", WN_FORMAT, "merges[0]: expected"},
    {"model.merges", "[\"none b\"]", WN_FORMAT, "merges[0] ('none' and 'b'): the first is"},
    {"model.merges", "[[\"a\",\"none\"]]", WN_FORMAT, "merges[0] ('a' and 'none'): the second is"},
    {"model.merges", "[[\"c\",\"a\"]]", WN_FORMAT, "the two together are not in the vocabulary"},
    {"added_tokens", "{}", WN_FORMAT, "'added_tokens': expected an array"},
    {"added_tokens", "[3]", WN_FORMAT, "'content': expected a string"},
    {"added_tokens", ADDED("\"id\":-5"), WN_FORMAT, "id -5 of '<s>' is outside"},
    {"added_tokens", ADDED("\"id\":3000000000"), WN_FORMAT, "id 3000000000 of '<s>'"},
    {"added_tokens", ADDED("\"id\":\"x\""), WN_FORMAT, "'id'"},
    {"added_tokens", ADDED("\"id\":301"), WN_FORMAT, "id 301 belongs to 'abc' and to '<s>'"},
    {"added_tokens", ADDED("\"id\":400,\"special\":0"), WN_FORMAT, "'special'"},
    {"added_tokens", "[{\"id\":400,\"content\":\"abc\"}]", WN_FORMAT,
     "'abc' has two ids, 301 and 400"},
    {"added_tokens", "[{\"id\":400,\"content\":\"q1\"},{\"id\":400,\"content\":\"q1\"}]", WN_FORMAT,
     "two of them have the same text"},
    {"normalizer", "{\"type\":\"BertNormalizer\"}", WN_UNSUPPORTED, "normalizer 'BertNormalizer'"},
    {"normalizer",
     "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Prepend\"}]}",
     WN_FORMAT, "normalizer: 'prepend': expected a string, found missing"},
    {"normalizer", "{\"type\":\"Strip\",\"strip_left\":true}", WN_FORMAT, "'strip_right'"},
    {"normalizer", "{\"type\":\"Replace\",\"content\":\"\"}", WN_FORMAT,
     "normalizer: Replace: 'pattern' is no Regex or String"},
    {"normalizer", "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"}}", WN_FORMAT, "'content'"},
    {"normalizer", "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(a\"},\"content\":\"b\"}",
     WN_UNSUPPORTED, "pattern '(a'"},
    {"normalizer", "{\"type\":\"Sequence\",\"normalizers\":[" TEN(NFC) "," TEN(NFC) "]}",
     WN_UNSUPPORTED, "normalizer: more than 16 steps"},
    {"normalizer", "{\"type\":\"Sequence\"}", WN_FORMAT, "'normalizers': expected an array"},
    {"normalizer", "7", WN_FORMAT, "normalizer: expected an object with a 'type'"},
    {"pre_tokenizer", "{\"type\":\"Metaspace\"}", WN_FORMAT,
     "pre_tokenizer: 'replacement': expected a string"},
    {"pre_tokenizer", META("ab", "\"always\""), WN_FORMAT, "expected one character, found 'ab'"},
    {"pre_tokenizer", META("", "\"always\""), WN_FORMAT, "expected one character, found ''"},
    {"pre_tokenizer", META("_", "\"sometimes\""), WN_FORMAT,
     "'prepend_scheme': expected always, first or never"},
    {"pre_tokenizer", META("_", "\"first\",\"add_prefix_space\":false"), WN_FORMAT,
     "'prepend_scheme' first, but 'add_prefix_space' false"},
    {"pre_tokenizer", META("_", "\"first\",\"split\":1"), WN_FORMAT, "'split'"},
    {"pre_tokenizer", "{\"type\":\"Punctuation\"}", WN_UNSUPPORTED, "pre_tokenizer 'Punctuation'"},
    {"pre_tokenizer", "{\"type\":\"Sequence\",\"pretokenizers\":[" BYTE_LEVEL "," BYTE_LEVEL "]}",
     WN_UNSUPPORTED, "'ByteLevel' after ByteLevel"},
    {"pre_tokenizer", SPLIT("{\"Regex\":\"x\"}", "Dropped"), WN_FORMAT, "no behavior 'Dropped'"},
    {"pre_tokenizer", SPLIT("3", "Isolated"), WN_FORMAT, "'pattern' is no Regex or String"},
    {"pre_tokenizer", REGEX("(a"), WN_UNSUPPORTED, "pattern '(a'"},
    {"pre_tokenizer", REGEX("a(?{x})"), WN_UNSUPPORTED, "'(?{x' is not read here"},
    {"pre_tokenizer", REGEX("(?R)"), WN_UNSUPPORTED, "is not read here"},
    {"pre_tokenizer", REGEX("(*UTF)"), WN_UNSUPPORTED, "is not read here"},
    {"pre_tokenizer", REGEX("\\\\w+"), WN_UNSUPPORTED, "'\\w' is not read here"},
    {"pre_tokenizer", REGEX("a\\\\C"), WN_UNSUPPORTED, "at byte 1: '\\C'"},
    {"pre_tokenizer", REGEX("(a)\\\\1"), WN_UNSUPPORTED, "'\\1'"},
    {"pre_tokenizer", REGEX("[[:alpha:]]"), WN_UNSUPPORTED, "in a character class"},
    {"pre_tokenizer", REGEX("[a&&b]"), WN_UNSUPPORTED, "in a character class"},
    {"pre_tokenizer", REGEX("x{2}+"), WN_UNSUPPORTED, "'{2}+' means different things"},
    {"pre_tokenizer", REGEX("\\\\pL"), WN_UNSUPPORTED, "\\p{...}"},
    {"pre_tokenizer", REGEX("\\\\p{L"), WN_UNSUPPORTED, "closing brace"},
    {"pre_tokenizer", REGEX("\\\\xff"), WN_UNSUPPORTED, "\\xff"},
    {"pre_tokenizer", REGEX("a\\\\"), WN_UNSUPPORTED, "ends the pattern"},
    {"decoder", "{\"type\":\"WordPiece\"}", WN_UNSUPPORTED, "decoder 'WordPiece'"},
    {"decoder",
     "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"ByteLevel\"}]}",
     WN_UNSUPPORTED, "decoder 'ByteLevel' is not read here, only ByteLevel alone"},
    {"decoder", "{\"type\":\"Sequence\"}", WN_FORMAT, "decoder: 'decoders': expected an array"},
    {"decoder", "{\"type\":\"Sequence\",\"decoders\":[" TEN(FUSE) "," TEN(FUSE) "]}",
     WN_UNSUPPORTED, "decoder: more than 16 steps"},
    {"decoder", "{\"type\":\"Strip\",\"content\":\"\",\"start\":0,\"stop\":0}", WN_FORMAT,
     "decoder: 'content': expected one character"},
    {"decoder", "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":-1}", WN_FORMAT,
     "'start' 1 and 'stop' -1, at least 0"},
    {"decoder", "{\"type\":\"Metaspace\",\"replacement\":7}", WN_FORMAT, "decoder: 'replacement'"},
    {"decoder", "{\"type\":\"Replace\",\"content\":\" \",\"pattern\":3}", WN_FORMAT,
     "decoder: Replace: 'pattern'"},
    {"post_processor", "{\"type\":\"BertProcessing\"}", WN_UNSUPPORTED,
     "post_processor 'BertProcessing'"},
    {"post_processor", SINGLE(SPECIAL("<s>") "," SPECIAL("<s>") "," SEQUENCE), WN_UNSUPPORTED,
     "two special tokens before the text"},
    {"post_processor", SINGLE(SPECIAL("<two>") "," SEQUENCE), WN_UNSUPPORTED,
     "does not stand for one id"},
    {"post_processor", SINGLE(SPECIAL("<none>") "," SEQUENCE), WN_UNSUPPORTED,
     "does not stand for one id"},
    {"post_processor", SINGLE(SPECIAL("<far>") "," SEQUENCE), WN_FORMAT,
     "id 999 is not in the vocabulary"},
    {"post_processor", SINGLE(SEQUENCE "," SEQUENCE), WN_UNSUPPORTED, "single[1]"},
    {"post_processor", "{\"type\":\"TemplateProcessing\"}", WN_FORMAT, "'single'"},
};

static void test_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wn_tokenizer *t = (wn_tokenizer *)(uintptr_t)1;
        char *text = changed(cases[i].member, cases[i].value);
        wn_status status = wn_tokenizer_parse(text, strlen(text), "t.json", &t);
        const char *said = wn_last_error();
        if (status != cases[i].status || t != NULL || strncmp(said, "t.json: ", 8) != 0 ||
            strstr(said, cases[i].message) == NULL)
            fail_msg("%s = %s: %s '%s', expected '%s'", cases[i].member, cases[i].value,
                     wn_status_name(status), said, cases[i].message);
        free(text);
    }
}

static void test_taken(void **state) {
    (void)state;
    static const struct {
        const char *member, *value;
    } fine[] = {
        {"pre_tokenizer",
         REGEX("\\\\p{Han}+|\\\\P{^L}|[^\\\\s\\\\d-]{,3}|\\\\u0041|\\\\x{1F642}|{x}|\\\\S\\\\D")},
        {"pre_tokenizer", REGEX("(?i)a|(?>b+)++|(?<!x)y?+|(?<=z)^|$|[\\\\]\\\\[]|a{2,3}?")},
        {"pre_tokenizer", REGEX("")},
        {"normalizer", "null"},
        {"post_processor", "null"},
        {"post_processor", SINGLE(SEQUENCE "," SPECIAL("<s>"))},
        {"added_tokens", "null"},
        {"added_tokens", "[{\"id\":400,\"content\":\"\"},{\"id\":301,\"content\":\"abc\"}]"},
        {"model.type", "null"},
        {"vocab.far", "2000000"},
        {"model.merges", "[]"},
    };
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        static const char probe[] = "abc \xe6\xb2\xb3 12 {x} xyzAaaa\n\xf0\x9f\x99\x82";
        wn_tokenizer *t;
        wn_tokens ids;
        char *text = changed(fine[i].member, fine[i].value), *back;
        size_t n;
        if (wn_tokenizer_parse(text, strlen(text), "t.json", &t) != WN_OK)
            fail_msg("%s: %s", fine[i].value, wn_last_error());
        free(text);
        assert_int_equal(wn_tokenizer_encode(t, probe, strlen(probe), true, true, &ids), WN_OK);
        assert_int_equal(wn_tokenizer_decode(t, ids.id, ids.count, false, &back, &n), WN_OK);
        assert_string_equal(back, probe);
        free(back);
        wn_tokens_free(&ids);
        wn_tokenizer_free(t);
    }
}

// What comes first and last by the template.
static void test_template(void **state) {
    (void)state;
    wn_tokenizer *t;
    wn_tokens ids;
    char *text = changed("post_processor", SINGLE(SPECIAL("<s>") "," SEQUENCE "," SPECIAL("<s>")));
    assert_int_equal(wn_tokenizer_parse(text, strlen(text), "t.json", &t), WN_OK);
    assert_int_equal(wn_tokenizer_bos(t), 302);
    assert_int_equal(wn_tokenizer_eos(t), 302);
    assert_int_equal(wn_tokenizer_encode(t, "", 0, true, true, &ids), WN_OK);
    assert_int_equal(ids.count, 1);
    assert_int_equal(ids.id[0], 302);
    wn_tokens_free(&ids);
    wn_tokenizer_free(t);
    free(text);
}

// A byte that the vocabulary lacks is an error at the text that needs it.
static void test_missing_byte(void **state) {
    (void)state;
    static const char text[] =
        "{\"pre_tokenizer\":" BYTE_LEVEL ",\"decoder\":" BYTE_LEVEL
        ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]}}";
    wn_tokenizer *t;
    wn_tokens ids;
    assert_int_equal(wn_tokenizer_parse(text, strlen(text), "t.json", &t), WN_OK);
    assert_int_equal(wn_tokenizer_encode(t, "abba", 4, true, true, &ids), WN_OK);
    assert_int_equal(ids.count, 4);
    wn_tokens_free(&ids);
    assert_int_equal(wn_tokenizer_encode(t, "abc", 3, true, true, &ids), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "no token for byte 0x63"));
    assert_null(ids.id);
    wn_tokenizer_free(t);
}

// A pattern that tries everything gives up with words instead of running for ever.
static void test_endless_pattern(void **state) {
    (void)state;
    wn_tokenizer *t;
    wn_tokens ids;
    char *text = changed("pre_tokenizer", REGEX("(?:a+)+b|(?:x|x)+y"));
    assert_int_equal(wn_tokenizer_parse(text, strlen(text), "t.json", &t), WN_OK);
    static const char hard[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac";
    assert_int_equal(wn_tokenizer_encode(t, hard, strlen(hard), true, true, &ids), WN_UNSUPPORTED);
    assert_non_null(strstr(wn_last_error(), "pattern fails on this text"));
    wn_tokenizer_free(t);
    free(text);
}

// Cut short or with one byte changed: any status, no crash, and what is read works.
static void test_damaged(void **state) {
    (void)state;
    size_t n = strlen(good);
    char *text = malloc(n + 1);
    assert_non_null(text);
    for (size_t i = 0; i < 1500; i++) {
        uint32_t r[4];
        wn__philox_draw(3, WN_STREAM_TEST, i, r);
        memcpy(text, good, n + 1);
        size_t size = i % 5 == 0 ? r[0] % n : n;
        // Most of the file is the vocabulary: half the changes go around it.
        size_t at = i % 2 ? r[1] % n : (r[1] % 2 ? r[2] % 700 : n - 1 - r[2] % 300);
        text[at] = r[3] % 4 ? "\"{}[]:,0-9e.\\ab "[r[3] / 4 % 16] : (char)(r[3] >> 8);
        wn_tokenizer *t;
        if (wn_tokenizer_parse(text, size, "t.json", &t) != WN_OK) continue;
        wn_tokens ids;
        if (wn_tokenizer_encode(t, "abc<s> \xff", 8, true, true, &ids) == WN_OK)
            wn_tokens_free(&ids);
        wn_tokenizer_free(t);
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),         cmocka_unit_test(test_refused),
        cmocka_unit_test(test_taken),        cmocka_unit_test(test_template),
        cmocka_unit_test(test_missing_byte), cmocka_unit_test(test_endless_pattern),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, make_good, drop_good);
}
