// SPDX-License-Identifier: MIT
/* What streams of INT8 and INT4 share whatever the instructions: x in 8 bits, and where a pass
 * finds it. */
#include "kernels/simd/stream_fetch.h"
#include "kernels/simd/vec.h"
#include "kernels/stream_layout.h"

#include <string.h>

/* What a pass reads of x: rows `down` bytes apart, from the pass's first column on; the scales and
 * offsets of its first group of columns. */
typedef struct int_rows {
    const uint8_t *x;
    const uint8_t *scales;
    int64_t down, columns;
    int64_t column; /* bytes of one */
    int64_t far;    /* FETCH_FAR, or FETCH_TABLES */
} int_rows;

/* The scale of x of a token and group b. */
ALWAYS float scale_of_group(const int_rows *r, int t, int64_t b) {
    float scale;
    memcpy(&scale, r->scales + t * r->down + 8 * b, sizeof scale);
    return scale;
}

/* Sixteen bfloat16 scales of a tile of INT4, of which VF from lane `lane` on. */
ALWAYS vf scales_of(const uint8_t *w, int lane) {
#if VF == 16
    __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)(w + 2 * lane));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
#else
    __m128i half = _mm_loadu_si128((const __m128i *)(const void *)(w + 2 * lane));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
#endif
}

/* The largest magnitude of n floats; NaN where one is not finite. */
ALWAYS float largest_of(const float *x, int64_t n) {
    vf largest = vf_zero(), bad = vf_zero();
    for (int64_t i = 0; i < n; i += VF) {
        vf a = n - i < VF ? vf_load_n(x + i, n - i) : vf_load(x + i);
        bad = vf_add(bad, vf_sub(a, a)); /* 0, or NaN for ever */
        largest = vf_max(largest, vf_abs(a));
    }
    return vm_bits(vm_finite(bad)) == (1U << VF) - 1U ? vf_largest(largest) : __builtin_nanf("");
}

/* VF floats, rounded to integers within +-127, as bytes to q. */
ALWAYS void put_bytes(int8_t *q, vf a, int64_t n) {
#if VF == 16
    __m128i b = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a));
#else
    __m256i words = _mm256_cvtps_epi32(a);
    __m128i b = _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    b = _mm_packs_epi16(b, b);
#endif
    memcpy(q, &b, (size_t)n);
}

/* n floats times r as bytes to q, zeros after them up to `all`. */
ALWAYS void round_to_bytes(const float *x, int64_t n, int64_t all, float r, int8_t *q) {
    vf factor = vf_set(r);
    int64_t i = 0;
    for (; i + VF <= n; i += VF)
        put_bytes(q + i, vf_mul(vf_load(x + i), factor), VF);
    if (i < n) put_bytes(q + i, vf_mul(vf_load_n(x + i, n - i), factor), n - i);
    memset(q + n, 0, (size_t)(all - n));
}

/* One group: `all` bytes to q, of which n exist; returns the scale. */
ALWAYS float quantise(const float *x, int64_t n, int64_t all, int8_t *q) {
    float amax = largest_of(x, n);
    bool some = amax >= WN_STREAM_LEAST; /* false for NaN */
    if (some)
        round_to_bytes(x, n, all, 127 / amax, q);
    else
        memset(q, 0, (size_t)all);
    return amax < WN_STREAM_LEAST ? 0 : amax / 127;
}
