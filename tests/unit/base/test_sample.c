// SPDX-License-Identifier: MIT
// Lanes are sampled in turn, and spreads are what they say. No time is looked at.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fail.h"
#include "base/sample.h"
#include <string.h>

typedef struct counter {
    int runs, before, after, fail_at;
    char *log;
    char name;
} counter;

static wn_status run(void *ctx) {
    counter *c = ctx;
    c->runs++;
    if (c->fail_at && c->runs == c->fail_at) return wn__fail(WN_IO, "lane %c", c->name);
    return WN_OK;
}
static void before(void *around) {
    counter *c = around;
    c->before++;
    c->log[strlen(c->log)] = c->name;
}
static void after(void *around) {
    ((counter *)around)->after++;
}

static void rounds_take_turns(void **state) {
    (void)state;
    char log[64] = "";
    counter a = {.log = log, .name = 'a'}, b = {.log = log, .name = 'b'};
    double x[3] = {-1, -1, -1}, y[3] = {-1, -1, -1};
    const wn__lane usual = {.run = run, .before = before, .after = after, .cold = true};
    wn__lane lane[2] = {usual, usual};
    lane[0].ctx = lane[0].around = &a;
    lane[1].ctx = lane[1].around = &b;
    lane[0].seconds = x;
    lane[1].seconds = y;
    assert_int_equal(wn__lanes_sample(lane, 2, 3), WN_OK);
    assert_string_equal(log, "ab"   // a first look at each,
                             "ab"   // a round that is thrown away,
                             "baab" // three that count, each
                             "ba"); // begun by the next
    assert_true(a.before == a.after && b.before == b.after);
    assert_int_equal(a.runs, 5); // cold: one run a sample
    assert_int_equal(lane[0].loops, 1);
    assert_true(lane[0].interrupted >= 0 && lane[0].interrupted <= 3);
    for (int i = 0; i < 3; i++)
        assert_true(x[i] >= 0 && y[i] >= 0);
}

static void short_work_is_repeated(void **state) {
    (void)state;
    counter a = {0};
    double x[2];
    wn__lane lane = {.run = run, .ctx = &a, .seconds = x};
    assert_int_equal(wn__lanes_sample(&lane, 1, 2), WN_OK);
    assert_true(lane.loops > 1 && a.runs > 2 * lane.loops);
}

static void failures_come_back(void **state) {
    (void)state;
    counter a = {.fail_at = 2, .name = 'x'};
    double x[2];
    wn__lane lane = {.run = run, .ctx = &a, .cold = true, .seconds = x};
    assert_int_equal(wn__lanes_sample(&lane, 1, 2), WN_IO);
    assert_string_equal(wn_last_error(), "lane x");
}

static void spreads(void **state) {
    (void)state;
    const double odd[] = {3, 1, 2}, over[] = {4, 9, 2, 8}, under[] = {2, 3, 2, 2};
    wn__spread s;
    assert_int_equal(wn__spread_of(odd, 3, &s), WN_OK);
    assert_true(s.median == 2 && s.least == 1 && s.most == 3);
    assert_int_equal(wn__spread_ratio(over, under, 4, &s), WN_OK); // 2 3 1 4
    assert_true(s.median == 2.5 && s.least == 1 && s.most == 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_take_turns), cmocka_unit_test(short_work_is_repeated),
        cmocka_unit_test(failures_come_back), cmocka_unit_test(spreads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
