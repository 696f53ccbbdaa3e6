// SPDX-License-Identifier: MIT
// Who may write the files of a prefix, which files of a killed fit go, and file systems without
// locks.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "prune/ks.h"
#include "unit/base/scratch.h"

static bool no_locks;

// In place of the system's, as a network's file system may answer.
int flock(int fd, int operation) {
    if (!no_locks) return (int)syscall(SYS_flock, fd, operation);
    errno = ENOLCK;
    return -1;
}

static void assert_ok(wn_status status) {
    if (status != WN_OK) fail_msg("%s: %s", wn_status_name(status), wn_last_error());
}

static void put(void **state, const char *name) {
    assert_ok(wn__file_write(scratch_path(state, name), "x", 1));
}

static bool is_there(void **state, const char *name) {
    return access(scratch_path(state, name), F_OK) == 0;
}

static void test_leftovers(void **state) {
    static const char *const gone[] = {"a_best.pth.tmp-7-0",
                                       "a_final.pth.tmp-7-1",
                                       "a_epoch_12.pth.tmp-7-2",
                                       "a_training_log.json.tmp-7-3",
                                       "a_rank_3_loss_curves.csv.tmp-7-4",
                                       "a_rank_3_loss_curves.json.tmp-7-5"};
    static const char *const kept[] = {"a_epoch_1b_best.pth.tmp-7-0",
                                       "a_epoch_1_best.pth.tmp-7-0",
                                       "a_epoch_1_epoch_1.pth.tmp-7-0",
                                       "a_epoch_.pth.tmp-7-0",
                                       "a_rank_2b_rank_2_loss_curves.csv.tmp-7-0",
                                       "a_best.pth.tmp-7-0b",
                                       "a_best.pth",
                                       "ab_best.pth.tmp-7-0"};
    enum { GONE = sizeof gone / sizeof *gone, KEPT = sizeof kept / sizeof *kept };
    const wn_ks_options o = {.output_dir = *state, .prefix = "a"};
    wn__ks k = {.o = &o, .lock = -1};
    for (int i = 0; i < GONE; i++)
        put(state, gone[i]);
    for (int i = 0; i < KEPT; i++)
        put(state, kept[i]);
    assert_ok(wn__ks_claim(&k));
    assert_true(is_there(state, "a.lock"));
    wn__ks_unclaim(&k);
    assert_false(is_there(state, "a.lock"));
    for (int i = 0; i < GONE; i++)
        if (is_there(state, gone[i])) fail_msg("%s was left", gone[i]);
    for (int i = 0; i < KEPT; i++)
        if (!is_there(state, kept[i])) fail_msg("%s was removed", kept[i]);
}

static void test_one_at_a_time(void **state) {
    const wn_ks_options o = {.output_dir = *state, .prefix = "a"};
    wn__ks k = {.o = &o, .lock = -1}, other = {.o = &o, .lock = -1};
    assert_ok(wn__ks_claim(&k));
    assert_int_equal(wn__ks_claim(&other), WN_INVALID);
    wn__ks_unclaim(&other);
    assert_true(is_there(state, "a.lock"));
    wn__ks_unclaim(&k);
    assert_ok(wn__ks_claim(&other));
    wn__ks_unclaim(&other);
}

// What may be another fit's stays: its files, its lock.
static void test_no_locks(void **state) {
    const wn_ks_options o = {.output_dir = *state, .prefix = "a"};
    wn__ks k = {.o = &o, .lock = -1};
    put(state, "a.lock");
    put(state, "a_best.pth.tmp-7-0");
    no_locks = true;
    wn_status status = wn__ks_claim(&k);
    no_locks = false;
    assert_ok(status);
    assert_int_equal(k.lock, -1);
    wn__ks_unclaim(&k);
    assert_true(is_there(state, "a.lock"));
    assert_true(is_there(state, "a_best.pth.tmp-7-0"));
}

// A lock that another user left in a folder of both; one that cannot be opened is named.
static void test_of_another(void **state) {
    const wn_ks_options o = {.output_dir = *state, .prefix = "a"};
    wn__ks k = {.o = &o, .lock = -1}, refused = {.o = &o, .lock = -1};
    const char *path = scratch_path(state, "a.lock");
    const uid_t before = geteuid(), nobody = 65534;
    put(state, "a.lock");
    assert_int_equal(chmod(*state, 0777), 0);
    assert_int_equal(chmod(path, 0444), 0);
    if (before == 0) assert_int_equal(seteuid(nobody), 0);
    wn_status status = wn__ks_claim(&k);
    bool locked = k.lock >= 0;
    wn__ks_unclaim(&k);
    if (before == 0) assert_int_equal(seteuid(before), 0);
    assert_ok(status);
    assert_true(locked);
    assert_false(is_there(state, "a.lock"));

    put(state, "a.lock");
    assert_int_equal(chmod(path, 0), 0);
    if (before == 0) assert_int_equal(seteuid(nobody), 0);
    status = wn__ks_claim(&refused);
    if (before == 0) assert_int_equal(seteuid(before), 0);
    assert_int_equal(status, WN_IO);
    assert_non_null(strstr(wn_last_error(), "a.lock: cannot open the lock"));

    assert_int_equal(unlink(path), 0); // none there, in a folder that lets none be made
    assert_int_equal(chmod(*state, 0555), 0);
    if (before == 0) assert_int_equal(seteuid(nobody), 0);
    status = wn__ks_claim(&refused);
    if (before == 0) assert_int_equal(seteuid(before), 0);
    assert_int_equal(chmod(*state, 0777), 0);
    assert_int_equal(status, WN_IO);
    assert_non_null(strstr(wn_last_error(), strerror(EACCES)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_leftovers, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_one_at_a_time, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_no_locks, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_of_another, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
