// SPDX-License-Identifier: MIT
// Status names, the thread's message and how it is built, the log callback, the version.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fail.h"
#include "base/log.h"
#include "winnow/printable.h"
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static void test_names(void **state) {
    (void)state;
    const char *names[] = {"OK",          "INVALID", "NOMEM", "IO",        "FORMAT",
                           "UNSUPPORTED", "DEVICE",  "COMM",  "CANCELLED", "BUG"};
    for (int i = 0; i < 10; i++) {
        assert_string_equal(wn_status_name((wn_status)i), names[i]);
        assert_true(strlen(wn_status_text((wn_status)i)) > 0);
    }
    assert_string_equal(wn_status_text(WN_FORMAT), "malformed file");
    assert_string_equal(wn_status_name((wn_status)10), "?");
    assert_string_equal(wn_status_name((wn_status)-1), "?");
    assert_string_equal(wn_status_text((wn_status)10), "unknown status");
    assert_string_equal(wn_version(), "0.1.0");
}

static void test_prefixes(void **state) {
    (void)state;
    assert_int_equal(wn__fail(WN_FORMAT, "offset %d past end %d", 918, 900), WN_FORMAT);
    assert_string_equal(wn_last_error(), "offset 918 past end 900");
    assert_int_equal(wn__fail_in(WN_FORMAT, "tensor '%s'", "h.3.w"), WN_FORMAT);
    assert_int_equal(wn__fail_in(WN_IO, "model.safetensors"), WN_IO);
    assert_string_equal(wn_last_error(),
                        "model.safetensors: tensor 'h.3.w': offset 918 past end 900");
    (void)wn__fail(WN_BUG, "again: %s", wn_last_error());
    assert_string_equal(wn_last_error(),
                        "again: model.safetensors: tensor 'h.3.w': offset 918 past end 900");
    (void)wn__fail(WN_BUG, "%s", "");
    (void)wn__fail_in(WN_BUG, "alone");
    assert_string_equal(wn_last_error(), "alone");
}

static void test_long_messages_are_cut(void **state) {
    (void)state;
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)wn__fail(WN_INVALID, "%s", text);
    assert_int_equal(strlen(wn_last_error()), 1023);
    (void)wn__fail_in(WN_INVALID, "name");
    assert_int_equal(strlen(wn_last_error()), 1023);
    assert_memory_equal(wn_last_error(), "name: xxx", 9);
    (void)wn__fail_in(WN_INVALID, "%s", text);
    assert_int_equal(strlen(wn_last_error()), 1023);
    // Every length around the limit: prefix and message meet the end of the buffer in all ways.
    for (int n = 1015; n <= 1030; n++) {
        (void)wn__fail(WN_INVALID, "tail");
        (void)wn__fail_in(WN_INVALID, "%.*s", n, text);
        size_t want = (size_t)n + 6 < 1023 ? (size_t)n + 6 : 1023;
        assert_int_equal(strlen(wn_last_error()), want);
    }
}

static void test_one_line(void **state) {
    (void)state;
    (void)wn__fail(WN_IO, "a\nb\x1b[31m\tc\x7f d\xc3\xa9");
    assert_string_equal(wn_last_error(), "a?b?[31m?c? d\xc3\xa9");
}

// What can drive a terminal or turn its text round: C0, DEL, C1, separators of lines,
// bidirectional marks, bytes that are no UTF-8. Letters of any script stay.
static void test_printable(void **state) {
    (void)state;
    char out[64];
    assert_string_equal(wn_printable("\x1b[31m\xc2\x9b"
                                     "1m",
                                     out, sizeof out),
                        "?[31m?1m");
    assert_string_equal(wn_printable("a\xe2\x80\xae"
                                     "b\xe2\x81\xa6\xe2\x80\x8f",
                                     out, sizeof out),
                        "a?b??");
    assert_string_equal(wn_printable("\xd8\x9c"
                                     "a\xe2\x80\xa8\xe2\x80\xa9"
                                     "b\xe2\x80\xa7\xd8\x9b",
                                     out, sizeof out),
                        "?a??b\xe2\x80\xa7\xd8\x9b");
    assert_string_equal(wn_printable("\x9b\xff\xc3", out, sizeof out), "???");
    assert_string_equal(
        wn_printable("\xc3\xa9 \xe6\x97\xa5 \xd7\xa9 \xf0\x9f\x98\x80", out, sizeof out),
        "\xc3\xa9 \xe6\x97\xa5 \xd7\xa9 \xf0\x9f\x98\x80");
    // Cut between characters.
    assert_string_equal(wn_printable("a\xe6\x97\xa5", out, 4), "a");
    assert_string_equal(wn_printable("a\xe6\x97\xa5", out, 5), "a\xe6\x97\xa5");
    assert_string_equal(wn_printable("abc", out, 1), "");
    (void)wn__fail(WN_IO, "\xe2\x80\xae"
                          "x");
    assert_string_equal(wn_last_error(), "?x");
}

static void test_errno(void **state) {
    (void)state;
    errno = ENOSPC;
    assert_int_equal(wn__fail_errno("%s: cannot write", "f"), WN_IO);
    assert_string_equal(wn_last_error(), "f: cannot write: No space left on device");
    errno = ENOMEM;
    assert_int_equal(wn__fail_errno("%s", "f"), WN_NOMEM);
}

static void *other_thread(void *arg) {
    bool *ok = arg;
    *ok = wn_last_error()[0] == '\0';
    (void)wn__fail(WN_IO, "theirs");
    *ok = *ok && strcmp(wn_last_error(), "theirs") == 0;
    return NULL;
}

static void test_message_is_per_thread(void **state) {
    (void)state;
    (void)wn__fail(WN_IO, "mine");
    bool ok = false;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, other_thread, &ok), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(ok);
    assert_string_equal(wn_last_error(), "mine");
}

static wn_status trying(wn_status inner) {
    WN_TRY(inner);
    return WN_BUG;
}

static wn_status trying_out(wn_status inner, int *cleaned) {
    wn_status status;
    WN_TRY_OUT(inner);
    status = WN_BUG;
out:
    ++*cleaned;
    return status;
}

static void test_try(void **state) {
    (void)state;
    int cleaned = 0;
    assert_int_equal(trying(WN_COMM), WN_COMM);
    assert_int_equal(trying(WN_OK), WN_BUG);
    assert_int_equal(trying_out(WN_COMM, &cleaned), WN_COMM);
    assert_int_equal(trying_out(WN_OK, &cleaned), WN_BUG);
    assert_int_equal(cleaned, 2);
}

typedef struct seen {
    int lines;
    wn_log_level level;
    char line[2048];
} seen;

static void remember(void *ctx, wn_log_level level, const char *line) {
    seen *s = ctx;
    s->lines++;
    s->level = level;
    (void)snprintf(s->line, sizeof s->line, "%s", line);
}

static void test_log(void **state) {
    (void)state;
    wn__log(WN_LOG_ERROR, "nobody listens");
    seen s = {0};
    wn_log_set(remember, &s);
    wn__log(WN_LOG_WARN, "%s=%d", "x", 3);
    assert_int_equal(s.lines, 1);
    assert_int_equal(s.level, WN_LOG_WARN);
    assert_string_equal(s.line, "x=3");
    wn__log(WN_LOG_INFO, "%2000d", 1); // cut, not overrun
    assert_int_equal(strlen(s.line), 1023);
    wn_log_set(NULL, NULL);
    wn__log(WN_LOG_WARN, "dropped");
    assert_int_equal(s.lines, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_long_messages_are_cut),
        cmocka_unit_test(test_one_line),
        cmocka_unit_test(test_printable),
        cmocka_unit_test(test_errno),
        cmocka_unit_test(test_message_is_per_thread),
        cmocka_unit_test(test_try),
        cmocka_unit_test(test_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
