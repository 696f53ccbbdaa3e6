// SPDX-License-Identifier: MIT
// Processor features by CPUID and XGETBV, the WN_CPU override, and the few facts of the machine
// others ask for. Nothing here runs an instruction that it tests for.
#include "base/cpu.h"

#include "base/log.h"
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

// Read by everybody after pthread_once, never written again.
static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint32_t flags_detected, flags_allowed;
static uint64_t last_cache;
static bool amd;
static char model[49];

#if defined(__x86_64__)
static bool all_set(uint64_t word, uint64_t mask) {
    return (word & mask) == mask;
}

// XCR0: the register state that the operating system saves.
static uint64_t saved_state(void) {
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

// Linux lends the 8 KiB of tile registers to a process that asks; threads made later inherit them.
static bool may_use_tiles(void) {
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

static bool detect_amd(void) {
    uint32_t a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(0, &a, &b, &c, &d) && b == signature_AMD_ebx && c == signature_AMD_ecx &&
           d == signature_AMD_edx;
}

// Zen 4 is the one AMD family 25 that has AVX-512. Its data paths are 32 bytes wide.
static bool is_split(void) {
    uint32_t a = 0, b = 0, c = 0, d = 0;
    if (!detect_amd() || !__get_cpuid(1, &a, &b, &c, &d)) return false;
    return (a >> 8 & 15) + (a >> 20 & 255) == 25;
}

static uint32_t detect_flags(void) {
    enum { STATE_AVX = 0x6, STATE_AVX512 = 0xe6, STATE_AMX = 0x60000 };
    const uint32_t osxsave_avx_fma_f16c = 1U << 27 | 1U << 28 | 1U << 12 | 1U << 29;
    const uint32_t avx2_bmi2 = 1U << 5 | 1U << 8;
    const uint32_t avx512_f_dq_cd_bw_vl = 1U << 16 | 1U << 17 | 1U << 28 | 1U << 30 | 1U << 31;
    uint32_t a, b, c, d, a1 = 0, b1, c1, d1, flags = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !all_set(c, osxsave_avx_fma_f16c)) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if (a >= 1) (void)__get_cpuid_count(7, 1, &a1, &b1, &c1, &d1);
    uint64_t state = saved_state();
    if (all_set(state, STATE_AVX) && all_set(b, avx2_bmi2)) flags |= WN_CPU_AVX2;
    if (flags & WN_CPU_AVX2 && all_set(state, STATE_AVX512) && all_set(b, avx512_f_dq_cd_bw_vl)) {
        flags |= WN_CPU_AVX512;
        if (a1 & 1U << 5) flags |= WN_CPU_AVX512BF16;
        if (c & 1U << 11) flags |= WN_CPU_AVX512VNNI;
        if (c & 1U << 1) flags |= WN_CPU_AVX512VBMI;
        if (c & 1U << 6) flags |= WN_CPU_AVX512VBMI2;
        if (c & 1U << 8) flags |= WN_CPU_GFNI;
        if (is_split()) flags |= WN_CPU_AVX512SPLIT;
        if (flags & WN_CPU_AVX512VBMI2 && all_set(state, STATE_AMX) &&
            all_set(d, 1U << 22 | 1U << 24) && may_use_tiles())
            flags |= WN_CPU_AMXBF16;
    }
    return flags;
}

// Leaf 8000001D of AMD's processors has a cache a subleaf, 0 after the last one: the size of the
// last level.
static uint64_t detect_last_cache(void) {
    const uint32_t caches = 0x8000001DU;
    uint32_t a, b, c, d;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < 8 && __get_cpuid_count(caches, i, &a, &b, &c, &d) && a & 31; i++)
        bytes = ((uint64_t)(b >> 22) + 1) * ((b >> 12 & 1023) + 1) * ((b & 4095) + 1) *
                ((uint64_t)c + 1);
    return bytes;
}

// The brand string: 48 bytes in three leaves, padded with blanks on either side.
static void detect_model(void) {
    uint32_t word[12];
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t *w = word + 4 * i;
        if (!__get_cpuid(0x80000002U + i, &w[0], &w[1], &w[2], &w[3])) return;
    }
    char text[49] = {0};
    memcpy(text, word, sizeof word);
    size_t skip = strspn(text, " "), end = strlen(text);
    while (end > skip && text[end - 1] == ' ')
        end--;
    memcpy(model, text + skip, end - skip);
}
#else
static uint32_t detect_flags(void) {
    return 0;
}
static bool detect_amd(void) {
    return false;
}
static uint64_t detect_last_cache(void) {
    return 0;
}
static void detect_model(void) {}
#endif

// What WN_CPU leaves of `flags`.
static uint32_t apply_environment(uint32_t flags) {
    const char *limit = getenv("WN_CPU");
    if (limit == NULL || limit[0] == '\0' || strcmp(limit, "avx512") == 0) return flags;
    if (strcmp(limit, "avx2") == 0) return flags & WN_CPU_AVX2;
    if (strcmp(limit, "none") == 0) return 0;
    wn__log(WN_LOG_WARN, "WN_CPU=%s is ignored: expected none, avx2 or avx512", limit);
    return flags;
}

static void detect(void) {
    flags_detected = detect_flags();
    flags_allowed = apply_environment(flags_detected);
    amd = detect_amd();
    last_cache = detect_last_cache();
    detect_model();
    if (model[0] == '\0') strcpy(model, "unknown");
}

uint32_t wn__cpu_flags(void) {
    (void)pthread_once(&once, detect);
    return flags_allowed;
}

uint32_t wn__cpu_detected(void) {
    (void)pthread_once(&once, detect);
    return flags_detected;
}

bool wn__cpu_amd(void) {
    (void)pthread_once(&once, detect);
    return amd;
}

uint64_t wn__cpu_last_cache(void) {
    (void)pthread_once(&once, detect);
    return last_cache;
}

const char *wn__cpu_model(void) {
    (void)pthread_once(&once, detect);
    return model;
}

int wn__cpu_count(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    // Machines of more than 1024 CPUs refuse this set's size; they have at least the online ones.
    long n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                         : sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

uint64_t wn__memory_total(void) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
}

uint64_t wn__memory_peak(void) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
    return (uint64_t)usage.ru_maxrss * 1024; // Linux counts KiB
}

double wn__clock(void) {
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) != 0) return 0;
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
