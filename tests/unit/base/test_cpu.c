// SPDX-License-Identifier: MIT
// Processor flags against the compiler's own detection; WN_CPU in child processes, since detection
// happens once.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "winnow/status.h"
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
static void test_detected(void **state) {
    (void)state;
    uint32_t flags = wn__cpu_detected();
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512cd");
    assert_int_equal((flags & WN_CPU_AVX2) != 0, avx2);
    assert_int_equal((flags & WN_CPU_AVX512) != 0, avx512);
    assert_int_equal((flags & WN_CPU_AVX512BF16) != 0,
                     avx512 && __builtin_cpu_supports("avx512bf16"));
    assert_int_equal((flags & WN_CPU_AVX512VNNI) != 0,
                     avx512 && __builtin_cpu_supports("avx512vnni"));
    assert_int_equal((flags & WN_CPU_AVX512VBMI2) != 0,
                     avx512 && __builtin_cpu_supports("avx512vbmi2"));
    assert_int_equal((flags & WN_CPU_AVX512VBMI) != 0,
                     avx512 && __builtin_cpu_supports("avx512vbmi"));
    assert_int_equal((flags & WN_CPU_GFNI) != 0, avx512 && __builtin_cpu_supports("gfni"));
    if (flags & WN_CPU_AMXBF16) assert_true(avx512);
    assert_int_equal((flags & WN_CPU_AVX512SPLIT) != 0, avx512 && __builtin_cpu_is("amdfam19h"));
    assert_int_equal(wn__cpu_amd(), __builtin_cpu_is("amd") != 0);
}
#endif

static int warnings;

static void count_warning(void *ctx, wn_log_level level, const char *line) {
    (void)ctx;
    if (level == WN_LOG_WARN && strstr(line, "WN_CPU=") != NULL) warnings++;
}

// The flags a fresh process sees with WN_CPU=value, and in bit 31 whether it warned.
static uint32_t flags_with(const char *value) {
    int channel[2];
    assert_int_equal(pipe(channel), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (value == NULL ? unsetenv("WN_CPU") : setenv("WN_CPU", value, 1)) _exit(1);
        wn_log_set(count_warning, NULL);
        uint32_t flags = wn__cpu_flags();
        if (warnings > 0) flags |= 1U << 31;
        _exit(write(channel[1], &flags, sizeof flags) == sizeof flags ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    uint32_t flags;
    assert_int_equal(read(channel[0], &flags, sizeof flags), sizeof flags);
    (void)close(channel[0]);
    (void)close(channel[1]);
    return flags;
}

// Runs first: later tests make this process detect.
static void test_environment(void **state) {
    (void)state;
    uint32_t all = flags_with(NULL);
    assert_int_equal(all >> 31, 0);
    assert_int_equal(flags_with(""), all);
    assert_int_equal(flags_with("none"), 0);
    assert_int_equal(flags_with("avx2"), all & WN_CPU_AVX2);
    assert_int_equal(flags_with("avx512"), all);
    assert_int_equal(flags_with("sse9"), all | 1U << 31);
    assert_int_equal(flags_with("AVX2"), all | 1U << 31);
    assert_int_equal(wn__cpu_detected(), all);
}

static void test_names_are_the_map(void **state) {
    (void)state;
#define CHECK(flag, bit, name) assert_int_equal(WN_CPU_##flag, 1 << (bit));
    WN_CPU_MAP(CHECK)
#undef CHECK
}

static void test_machine(void **state) {
    (void)state;
    assert_true(strlen(wn__cpu_model()) > 0);
    assert_true(wn__cpu_count() >= 1);
    assert_true(wn__memory_total() > 1 << 20);
    assert_true(wn__memory_peak() > 1 << 16);
    assert_true(wn__cpu_last_cache() == 0 || wn__cpu_last_cache() >= 1 << 18);
    double before = wn__clock();
    (void)usleep(1000);
    assert_true(wn__clock() >= before + 0.001);
}

// Pinned to one CPU, a process counts one.
static void test_count_follows_affinity(void **state) {
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_int_equal(wn__cpu_count(), CPU_COUNT(&before));
    size_t first = 0;
    while (!CPU_ISSET(first, &before))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0) skip();
    int count = wn__cpu_count();
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(count, 1);
}

static void test_peak_grows(void **state) {
    (void)state;
    const size_t n = (size_t)32 << 20;
    uint64_t before = wn__memory_peak();
    char *p = malloc(n);
    assert_non_null(p);
    memset(p, 1, n);
    uint64_t after = wn__memory_peak();
    assert_int_equal(p[n / 2], 1);
    free(p);
    assert_true(after >= before);
    assert_true(after >= n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_environment),
#if defined(__x86_64__)
        cmocka_unit_test(test_detected),
#endif
        cmocka_unit_test(test_names_are_the_map),
        cmocka_unit_test(test_machine),
        cmocka_unit_test(test_count_follows_affinity),
        cmocka_unit_test(test_peak_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
