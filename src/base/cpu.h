// SPDX-License-Identifier: MIT
/* What this processor can run: CPUID and, for state the OS must save, XGETBV. */
#ifndef WN_BASE_CPU_H
#define WN_BASE_CPU_H

#include <stdbool.h>
#include <stdint.h>

/* X(FLAG, bit, "name"). AVX2 means AVX2+FMA+F16C+BMI2, AVX512 F+BW+VL+DQ+CD, AMXBF16 tiles of
 * bfloat16 with VBMI2; all with OS support, which for tiles is asked for when flags are detected.
 * AVX512SPLIT is no instruction: a vector of 64 bytes passes in two halves (AMD family 25, Zen 4).
 */
#define WN_CPU_MAP(X)                                                                              \
    X(AVX2, 0, "avx2")                                                                             \
    X(AVX512, 1, "avx512")                                                                         \
    X(AVX512BF16, 2, "avx512_bf16")                                                                \
    X(AVX512VNNI, 3, "avx512_vnni")                                                                \
    X(AVX512VBMI2, 4, "avx512_vbmi2")                                                              \
    X(AMXBF16, 5, "amx_bf16")                                                                      \
    X(AVX512SPLIT, 6, "avx512_split")                                                              \
    X(AVX512VBMI, 7, "avx512_vbmi")                                                                \
    X(GFNI, 8, "gfni")

enum {
#define WN_CPU_ENUM(flag, bit, name) WN_CPU_##flag = 1 << (bit),
    WN_CPU_MAP(WN_CPU_ENUM)
#undef WN_CPU_ENUM
        WN_CPU_ANY = 0
};

/* Flags of this machine, less what the environment variable WN_CPU forbids: WN_CPU=none|avx2|avx512
 * names the highest family that may be used ("avx512" allows all extensions). Detected once,
 * thread-safe. */
uint32_t wn__cpu_flags(void);
/* Flags of this machine whatever WN_CPU says. */
uint32_t wn__cpu_detected(void);
/* "AMD EPYC ..." or "unknown". Static storage. */
const char *wn__cpu_model(void);
/* Whether the processor is AMD's. */
bool wn__cpu_amd(void);
/* Bytes of the last level of cache that a core shares with its neighbours; 0: not known, as on
 * processors that are not AMD's. */
uint64_t wn__cpu_last_cache(void);
/* CPUs this process may run on (sched_getaffinity), at least 1. */
int wn__cpu_count(void);
/* Bytes of physical memory. */
uint64_t wn__memory_total(void);
/* Peak resident bytes of this process. */
uint64_t wn__memory_peak(void);
/* Seconds on the monotonic clock. */
double wn__clock(void);

#endif
