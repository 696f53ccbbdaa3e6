// SPDX-License-Identifier: MIT
// JSON: what is refused and with which words, typed members, building and printing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "scratch.h"
#include <math.h>

static wn__json *parse(const char *text) {
    wn__json *j;
    if (wn__json_parse(text, strlen(text), "t", &j) != WN_OK) fail_msg("%s", wn_last_error());
    return j;
}

static void refuse(const char *text, size_t size, const char *message) {
    wn__json *j = (wn__json *)(uintptr_t)1;
    assert_int_equal(wn__json_parse(text, size, "c.json", &j), WN_FORMAT);
    assert_null(j);
    if (strstr(wn_last_error(), "c.json: ") != wn_last_error() || !strstr(wn_last_error(), message))
        fail_msg("'%s' does not say '%s'", wn_last_error(), message);
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "empty"},
        {" ", "line 1"},
        {"{\"a\":1,\n\"a\":2}", "line 2 column 3: duplicate object key"},
        {"{} x", "end of file expected"},
        {"1 2", "end of file expected"},
        {"[1,]", "line 1"},
        {"{\"a\" 1}", "':' expected"},
        {"[1", "line 1"},
        {"\"abc", "premature end of input"},
        {"\"\xff\"", "unable to decode byte 0xff"},
        {"\"\xc0\x80\"", "unable to decode byte"},
        {"\"\xed\xa0\x80\"", "unable to decode byte"},
        {"\"\\ud800\"", "invalid Unicode"},
        {"9223372036854775808", "too big integer"},
        {"-9223372036854775809", "too big negative integer"},
        {"1e999", "real number overflow"},
        {"NaN", "invalid token"},
        {"01", "line 1"},
        {"nul", "invalid token"},
        {"\xef\xbb\xbf{}", "invalid token"},
        {"{\"a\\u0000b\":1}", "NUL byte in object key"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refuse(cases[i].text, strlen(cases[i].text), cases[i].message);
    refuse("{}\0", 3, "end of file expected"); // a NUL is a byte like any other
    refuse(NULL, 0, "empty");
}

static void nested(char *text, int depth, char open, char close) {
    for (int i = 0; i < depth; i++) {
        text[i] = open;
        text[2 * depth - 1 - i] = close;
    }
    text[2 * depth] = '\0';
}

static void test_depth(void **state) {
    (void)state;
    char text[400];
    nested(text, 64, '[', ']');
    wn__json_free(parse(text));
    nested(text, 65, '[', ']');
    refuse(text, strlen(text), "byte 64: nested deeper than 64 levels");
    // Brackets in strings and behind escaped quotes do not count; siblings do not add up.
    char flat[600] = "[\"\\\"";
    memset(flat + 4, '[', 200);
    strcpy(flat + 204, "\\\\\"");
    for (int i = 0; i < 80; i++)
        strcat(flat, ",{}");
    strcat(flat, "]");
    wn__json_free(parse(flat));
    // Deep enough to exhaust a stack, were it parsed; cut anywhere, too.
    const size_t n = 1 << 20;
    char *deep = malloc(n);
    assert_non_null(deep);
    memset(deep, '[', n);
    refuse(deep, n, "nested deeper");
    for (size_t i = 0; i < n; i += 5)
        memcpy(deep + i, "{\"a\":", n - i < 5 ? n - i : 5);
    refuse(deep, n, "byte 320: nested deeper");
    free(deep);
    refuse("\"\\", 2, "line 1");
}

static void test_types(void **state) {
    (void)state;
    wn__json *j = parse("[null,true,-3,2.5,\"s\",[],{},false,9223372036854775807]");
    static const wn__json_type types[] = {WN_JSON_NULL,   WN_JSON_BOOL,   WN_JSON_INT,
                                          WN_JSON_REAL,   WN_JSON_STRING, WN_JSON_ARRAY,
                                          WN_JSON_OBJECT, WN_JSON_BOOL,   WN_JSON_INT};
    static const char *const names[] = {"null",          "a boolean", "an integer",
                                        "a real number", "a string",  "an array",
                                        "an object",     "a boolean", "an integer"};
    assert_int_equal(wn__json_count(j), 9);
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal(wn__json_typeof(wn__json_at(j, i)), types[i]);
        assert_string_equal(wn__json_typename(wn__json_at(j, i)), names[i]);
    }
    assert_true(wn__json_bool(wn__json_at(j, 1)));
    assert_false(wn__json_bool(wn__json_at(j, 7)));
    assert_int_equal(wn__json_int(wn__json_at(j, 2)), -3);
    assert_true(wn__json_real(wn__json_at(j, 2)) == -3.0);
    assert_true(wn__json_real(wn__json_at(j, 3)) == 2.5);
    assert_true(wn__json_int(wn__json_at(j, 8)) == INT64_MAX);
    size_t size;
    assert_string_equal(wn__json_string(wn__json_at(j, 4), &size), "s");
    assert_int_equal(size, 1);
    wn__json_free(j);
}

static void test_harmless_getters(void **state) {
    (void)state;
    wn__json *j = parse("{\"n\":1}"), *n = wn__json_get(j, "n");
    const wn__json *const wrong[] = {NULL, n};
    size_t size = 9;
    void *iter = NULL;
    for (int i = 0; i < 2; i++) {
        assert_null(wn__json_get(wrong[i], "x"));
        assert_null(wn__json_at(wrong[i], 0));
        assert_int_equal(wn__json_count(wrong[i]), 0);
        assert_null(wn__json_string(wrong[i], &size));
        assert_int_equal(size, 0);
        assert_null(wn__json_string(wrong[i], NULL));
        assert_false(wn__json_bool(wrong[i]));
        assert_false(wn__json_next(wrong[i], &iter, NULL, NULL, NULL));
    }
    assert_int_equal(wn__json_typeof(NULL), WN_JSON_NONE);
    assert_string_equal(wn__json_typename(NULL), "missing");
    assert_int_equal(wn__json_int(NULL), 0);
    assert_int_equal(wn__json_int(j), 0);
    assert_true(wn__json_real(j) == 0.0);
    assert_null(wn__json_get(j, "absent"));
    assert_null(wn__json_at(j, 0));
    wn__json_free(NULL);
    wn__json_free(j);
}

static void test_iteration_in_file_order(void **state) {
    (void)state;
    wn__json *j = parse("{\"zeta\":1,\"alpha\":2,\"m\":3,\"\":4}"), *value;
    const char *key, *const want[] = {"zeta", "alpha", "m", ""};
    size_t size;
    void *iter = NULL;
    for (int i = 0; i < 4; i++) {
        assert_true(wn__json_next(j, &iter, &key, &size, &value));
        assert_string_equal(key, want[i]);
        assert_int_equal(size, strlen(want[i]));
        assert_int_equal(wn__json_int(value), i + 1);
    }
    assert_false(wn__json_next(j, &iter, &key, &size, &value));
    wn__json_free(j);
}

static void test_nul_in_strings(void **state) {
    (void)state;
    wn__json *j = parse("{\"s\":\"a\\u0000b\"}");
    size_t size;
    const char *text = wn__json_string(wn__json_get(j, "s"), &size);
    assert_int_equal(size, 3);
    assert_memory_equal(text, "a\0b", 4);
    assert_int_equal(wn__json_get_string(j, "t", "s", NULL, &text), WN_FORMAT);
    assert_non_null(strstr(wn_last_error(), "t: 's': "));
    char *out;
    assert_int_equal(wn__json_dump(j, 0, &out), WN_OK);
    assert_string_equal(out, "{\"s\":\"a\\u0000b\"}");
    free(out);
    wn__json_free(j);
}

#define ASSERT_FORMAT(call, message)                                                               \
    do {                                                                                           \
        assert_int_equal(call, WN_FORMAT);                                                         \
        assert_string_equal(wn_last_error(), message);                                             \
    } while (0)

static void test_typed_members(void **state) {
    (void)state;
    wn__json *j = parse("{\"i\":7,\"r\":0.5,\"b\":true,\"s\":\"x\",\"z\":null}");
    int64_t i, i9 = 9;
    double r, r9 = 9;
    bool b;
    const bool yes = true;
    const char *s;
    const char *const none = NULL, *const dflt = "d";
    assert_int_equal(wn__json_get_int(j, "c", "i", NULL, &i), WN_OK);
    assert_int_equal(i, 7);
    assert_int_equal(wn__json_get_real(j, "c", "i", NULL, &r), WN_OK);
    assert_true(r == 7.0);
    assert_int_equal(wn__json_get_real(j, "c", "r", &r9, &r), WN_OK);
    assert_true(r == 0.5);
    assert_int_equal(wn__json_get_bool(j, "c", "b", NULL, &b), WN_OK);
    assert_true(b);
    assert_int_equal(wn__json_get_string(j, "c", "s", &none, &s), WN_OK);
    assert_string_equal(s, "x");
    // Missing or null: the fallback, else an error.
    static const char *const absent[] = {"z", "none"};
    for (int k = 0; k < 2; k++) {
        assert_int_equal(wn__json_get_int(j, "c", absent[k], &i9, &i), WN_OK);
        assert_int_equal(i, 9);
        assert_int_equal(wn__json_get_real(j, "c", absent[k], &r9, &r), WN_OK);
        assert_true(r == 9.0);
        assert_int_equal(wn__json_get_bool(j, "c", absent[k], &yes, &b), WN_OK);
        assert_true(b);
        assert_int_equal(wn__json_get_string(j, "c", absent[k], &dflt, &s), WN_OK);
        assert_string_equal(s, "d");
        assert_int_equal(wn__json_get_string(j, "c", absent[k], &none, &s), WN_OK);
        assert_null(s);
    }
    ASSERT_FORMAT(wn__json_get_int(j, "c", "none", NULL, &i), "c: 'none': missing");
    ASSERT_FORMAT(wn__json_get_int(j, "c", "z", NULL, &i), "c: 'z': is null");
    ASSERT_FORMAT(wn__json_get_int(j, "c", "r", &i9, &i),
                  "c: 'r': expected an integer, found a real number");
    ASSERT_FORMAT(wn__json_get_real(j, "c", "s", &r9, &r),
                  "c: 's': expected a number, found a string");
    ASSERT_FORMAT(wn__json_get_bool(j, "c", "i", &yes, &b),
                  "c: 'i': expected a boolean, found an integer");
    ASSERT_FORMAT(wn__json_get_string(j, "c", "b", &none, &s),
                  "c: 'b': expected a string, found a boolean");
    wn__json_free(j);
}

static void test_members_of_what_is_no_object(void **state) {
    (void)state;
    wn__json *list = parse("[1]");
    int64_t i, i9 = 9;
    ASSERT_FORMAT(wn__json_get_int(list, "c", "k", &i9, &i),
                  "c: 'k': expected in an object, found an array");
    assert_int_equal(wn__json_get_int(NULL, "c", "k", &i9, &i), WN_OK);
    assert_int_equal(i, 9);
    ASSERT_FORMAT(wn__json_get_int(NULL, "c", "k", NULL, &i), "c: 'k': missing");
    wn__json_free(list);
}

static wn__json *sample(void) {
    wn__json *o = wn__json_new_object(), *a = wn__json_new_array();
    assert_int_equal(wn__json_set(o, "z", wn__json_new_int(INT64_MIN)), WN_OK);
    assert_int_equal(wn__json_set(o, "a", a), WN_OK);
    assert_int_equal(wn__json_append(a, wn__json_new_real(0.1)), WN_OK);
    assert_int_equal(wn__json_append(a, wn__json_new_real(NAN)), WN_OK);
    assert_int_equal(wn__json_append(a, wn__json_new_real(-INFINITY)), WN_OK);
    assert_int_equal(wn__json_append(a, wn__json_new_real(3.0)), WN_OK);
    assert_int_equal(wn__json_append(a, wn__json_new_bool(false)), WN_OK);
    assert_int_equal(wn__json_append(a, wn__json_new_null()), WN_OK);
    assert_int_equal(wn__json_set(o, "s", wn__json_new_string("q\"\n\xc3\xa9")), WN_OK);
    assert_int_equal(wn__json_set(o, "n", wn__json_new_stringn("xyz", 2)), WN_OK);
    return o;
}

static void test_dump(void **state) {
    (void)state;
    wn__json *o = sample();
    char *text;
    assert_int_equal(wn__json_dump(o, 0, &text), WN_OK);
    assert_string_equal(text,
                        "{\"z\":-9223372036854775808,\"a\":[0.10000000000000001,null,null,3.0,"
                        "false,null],\"s\":\"q\\\"\\n\xc3\xa9\",\"n\":\"xy\"}");
    wn__json *again = parse(text);
    char *second;
    assert_int_equal(wn__json_dump(again, 0, &second), WN_OK);
    assert_string_equal(second, text);
    free(text);
    free(second);
    wn__json_free(again);
    assert_int_equal(wn__json_set(o, "z", wn__json_new_int(1)), WN_OK); // replaced, in its place
    assert_int_equal(wn__json_dump(o, 2, &text), WN_OK);
    assert_memory_equal(text, "{\n  \"z\": 1,\n  \"a\": [\n    0.1", 28);
    free(text);
    wn__json_free(o);
    wn__json *scalar = wn__json_new_int(5);
    assert_int_equal(wn__json_dump(scalar, 0, &text), WN_OK);
    assert_string_equal(text, "5");
    free(text);
    wn__json_free(scalar);
    assert_int_equal(wn__json_dump(NULL, 0, &text), WN_NOMEM);
    assert_null(text);
}

static void test_reals_survive(void **state) {
    (void)state;
    const double values[] = {0.1, 1e300, -5e-324, 1.0 / 3, 123456789012345678.0, -0.0};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        wn__json *j = wn__json_new_real(values[i]);
        char *text;
        assert_int_equal(wn__json_dump(j, 0, &text), WN_OK);
        wn__json *again = parse(text);
        assert_int_equal(wn__json_typeof(again), WN_JSON_REAL);
        double back = wn__json_real(again);
        assert_memory_equal(&back, &values[i], sizeof back);
        free(text);
        wn__json_free(again);
        wn__json_free(j);
    }
}

// Failures take the reference all the same: the leak checker watches.
static void test_building_failures(void **state) {
    (void)state;
    wn__json *o = wn__json_new_object();
    assert_int_equal(wn__json_set(o, "k", NULL), WN_NOMEM);
    assert_int_equal(wn__json_set(NULL, "k", wn__json_new_int(1)), WN_NOMEM);
    assert_int_equal(wn__json_append(NULL, wn__json_new_string("leak?")), WN_NOMEM);
    assert_int_equal(wn__json_append(o, wn__json_new_string("leak?")), WN_NOMEM);
    assert_null(wn__json_new_string("\xff"));
    assert_int_equal(wn__json_set(o, "k", wn__json_new_string("\xff")), WN_NOMEM);
    assert_non_null(strstr(wn_last_error(), "'k'"));
    assert_int_equal(wn__json_set(o, "\xff", wn__json_new_int(1)), WN_NOMEM);
    assert_int_equal(wn__json_count(o), 0);
    wn__json *shared = wn__json_new_string("two owners");
    assert_int_equal(wn__json_set(o, "a", wn__json_ref(shared)), WN_OK);
    wn__json_free(o);
    assert_string_equal(wn__json_string(shared, NULL), "two owners");
    wn__json_free(shared);
}

static void test_read(void **state) {
    const char *path = scratch_path(state, "config.json");
    wn__json *j;
    assert_int_equal(wn__file_write(path, "{\"a\":[1,2]}", 11), WN_OK);
    assert_int_equal(wn__json_read(path, 11, &j), WN_OK);
    assert_int_equal(wn__json_count(wn__json_get(j, "a")), 2);
    wn__json_free(j);
    assert_int_equal(wn__json_read(path, 10, &j), WN_FORMAT);
    assert_null(j);
    assert_int_equal(wn__file_write(path, "{\n\"a\":x}", 8), WN_OK);
    assert_int_equal(wn__json_read(path, 0, &j), WN_FORMAT);
    assert_non_null(strstr(wn_last_error(), "config.json: line 2 column"));
    assert_int_equal(wn__json_read(scratch_path(state, "none"), 0, &j), WN_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_harmless_getters),
        cmocka_unit_test(test_iteration_in_file_order),
        cmocka_unit_test(test_nul_in_strings),
        cmocka_unit_test(test_typed_members),
        cmocka_unit_test(test_members_of_what_is_no_object),
        cmocka_unit_test(test_dump),
        cmocka_unit_test(test_reals_survive),
        cmocka_unit_test(test_building_failures),
        cmocka_unit_test_setup_teardown(test_read, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
