// SPDX-License-Identifier: MIT
// metrics.jsonl: lines written, cut at a step, and read back as series; and the names of steps.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "train/checkpoint.h"
#include "train/metrics.h"
#include "unit/base/scratch.h"
#include "unit/base/status.h"
#include "winnow/train.h"
#include <math.h>

static void write_step(wn__metrics *m, const char *kind, int64_t step, double loss) {
    const wn__metric members[] = {
        {"step", (double)step, NULL}, {"loss", loss, NULL}, {"name", 0, "a \"b\""}};
    OK(wn__metrics_write(m, kind, members, 3));
}

static void assert_text(const char *path, const char *expected) {
    char *text;
    size_t size;
    OK(wn__file_read(path, 0, &text, &size));
    assert_string_equal(text, expected);
    free(text);
}

static void append(const char *path, const char *text) {
    FILE *f = fopen(path, "a");
    fputs(text, f);
    fclose(f);
}

static void test_lines(void **state) {
    const char *path = scratch_path(state, "metrics.jsonl");
    wn__metrics m;
    OK(wn__metrics_open(path, -1, &m));
    write_step(&m, "step", 1, 0.1);
    write_step(&m, "eval", 1, NAN);
    write_step(&m, "step", 2, 3);
    OK(wn__metrics_sync(&m));
    wn__metrics_close(&m);
    wn__metrics_close(&m);
    assert_text(
        path,
        "{\"kind\":\"step\",\"step\":1,\"loss\":0.10000000000000001,\"name\":\"a \\\"b\\\"\"}\n"
        "{\"kind\":\"eval\",\"step\":1,\"loss\":null,\"name\":\"a \\\"b\\\"\"}\n"
        "{\"kind\":\"step\",\"step\":2,\"loss\":3,\"name\":\"a \\\"b\\\"\"}\n");
    OK(wn__metrics_open(path, -1, &m)); // anew
    wn__metrics_close(&m);
    assert_text(path, "");
}

static void test_cut(void **state) {
    const char *path = scratch_path(state, "metrics.jsonl");
    OK(wn__file_write(path, "", 0));
    append(path, "{\"kind\":\"step\",\"step\":1}\n"
                 "{\"kind\":\"save\",\"step\":3}\n"
                 "not JSON\n"
                 "{\"kind\":\"step\",\"step\":2}\n"
                 "{\"kind\":\"step\"}\n"
                 "{\"kind\":\"step\",\"step\":4}\n"
                 "{\"kind\":\"eval\",\"step\":3}\n"
                 "{\"kind\":\"step\",\"step\":3}");
    wn__metrics m;
    OK(wn__metrics_open(path, 3, &m));
    write_step(&m, "step", 4, 0.5);
    wn__metrics_close(&m);
    assert_text(path, "{\"kind\":\"step\",\"step\":1}\n"
                      "{\"kind\":\"save\",\"step\":3}\n"
                      "{\"kind\":\"step\",\"step\":2}\n"
                      "{\"kind\":\"eval\",\"step\":3}\n"
                      "{\"kind\":\"step\",\"step\":4,\"loss\":0.5,\"name\":\"a \\\"b\\\"\"}\n");
    OK(wn__metrics_open(scratch_path(state, "new"), 7, &m)); // nothing to cut
    wn__metrics_close(&m);
    assert_int_equal(wn__metrics_open(scratch_path(state, "no/where"), 1, &m), WN_IO);
}

static void test_series(void **state) {
    const char *path = scratch_path(state, "metrics.jsonl");
    char line[128];
    OK(wn__file_write(path, "", 0));
    for (int i = 1; i <= 700; i++) { // more than one growth of the arrays
        (void)snprintf(line, sizeof line,
                       "{\"kind\":\"%s\",\"step\":%d,\"tokens\":%d,\"loss\":%g}\n",
                       i % 7 == 0 ? "eval" : "step", i, 10 * i, i / 4.0);
        append(path, line);
    }
    append(path, "{\"kind\":\"step\",\"step\":701,\"loss\":null}\n{\"kind\":\"step\",\"step\":70");
    wn_series s;
    OK(wn_metrics_series(*state, "step", "tokens", "loss", &s)); // the run directory
    assert_int_equal(s.count, 600);
    assert_true(s.x[599] == 6990 && s.y[599] == 699 / 4.0);
    wn_series_free(&s);
    OK(wn_metrics_series(path, "eval", "step", "loss", &s)); // the file
    assert_int_equal(s.count, 100);
    assert_true(s.x[0] == 7 && s.y[0] == 1.75);
    wn_series_free(&s);
    OK(wn_metrics_series(path, "mask", "step", "flips", &s)); // none yet
    assert_int_equal(s.count, 0);
    wn_series_free(&s);
    wn_series_free(&s);
}

static void test_series_refuses(void **state) {
    const char *path = scratch_path(state, "metrics.jsonl");
    wn_series s;
    OK(wn__file_write(path, "", 0));
    assert_int_equal(wn_metrics_series(path, "loss", "step", "loss", &s), WN_INVALID);
    assert_int_equal(wn_metrics_series(path, "step", "loss", "loss", &s), WN_INVALID);
    assert_int_equal(wn_metrics_series(scratch_path(state, "none"), "step", "step", "loss", &s),
                     WN_IO);
    append(path, "{\"kind\":\"step\",\"step\":1,\"loss\":2}\n");
    assert_int_equal(wn_metrics_series(path, "step", "step", "los", &s), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "'los'"));
    append(path, "oops\n{}\n");
    assert_int_equal(wn_metrics_series(path, "step", "step", "loss", &s), WN_FORMAT);
    assert_non_null(strstr(wn_last_error(), "line 2"));
    assert_true(s.x == NULL && s.y == NULL && s.count == 0);
}

static void make_dirs(void *const *state, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        OK(wn__dir_make(scratch_path(state, names[i])));
}

static void test_steps(void **state) {
    static const char *const names[] = {"step-000003", "step-000010",  "step-1000000",
                                        "step-7",      "step-0000011", "step-000020.tmp-5",
                                        "steps",       "step--00001",  "step-00001x"};
    char name[32];
    int64_t newest;
    wn__step_name(1200, name, sizeof name);
    assert_string_equal(name, "step-001200");
    wn__step_name(12345678, name, sizeof name);
    assert_string_equal(name, "step-12345678");
    OK(wn__steps_newest(*state, INT64_MAX, &newest));
    assert_int_equal(newest, -1);
    make_dirs(state, names, sizeof names / sizeof *names);
    OK(wn__steps_newest(*state, INT64_MAX, &newest));
    assert_int_equal(newest, 1000000);
    OK(wn__steps_newest(*state, 1000000, &newest));
    assert_int_equal(newest, 10);
    OK(wn__steps_newest(*state, 10, &newest));
    assert_int_equal(newest, 3);
    OK(wn__steps_newest(*state, 3, &newest));
    assert_int_equal(newest, -1);
    assert_int_equal(wn__steps_newest(scratch_path(state, "none"), 3, &newest), WN_IO);
}

// Only steps up to the one just saved count, and only the oldest of those go.
static void test_prune(void **state) {
    static const char *const names[] = {"step-000001", "step-000002", "step-000003", "step-000009"};
    make_dirs(state, names, 4);
    OK(wn__file_write(scratch_path(state, "step-000001/x"), "x", 1));
    OK(wn__steps_prune(*state, 3, 2));
    assert_false(wn__dir_exists(scratch_path(state, "step-000001")));
    for (size_t i = 1; i < 4; i++)
        assert_true(wn__dir_exists(scratch_path(state, names[i])));
    OK(wn__steps_prune(*state, 3, 5));
    assert_true(wn__dir_exists(scratch_path(state, "step-000002")));
    OK(wn__steps_prune(*state, 9, 1));
    assert_false(wn__dir_exists(scratch_path(state, "step-000003")));
    assert_true(wn__dir_exists(scratch_path(state, "step-000009")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_lines),          TEST(test_cut),   TEST(test_series),
        TEST(test_series_refuses), TEST(test_steps), TEST(test_prune),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
