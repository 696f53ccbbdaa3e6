// SPDX-License-Identifier: MIT
/* flips24: the bits in which two masks differ, counted by a table of nibbles. Counts are whole
 * numbers: the order of blocks is of no account. */
#include "kernels/mask24.h"
#include "kernels/simd/accepts.h"
#include "kernels/simd/group24.h"

#include <stdatomic.h>

#define FLIPS_BLOCK 65536 /* bytes */

typedef struct flips24_job {
    const uint8_t *a, *b;
    _Atomic int64_t count;
} flips24_job;

/* Adds the flips of 32 groups to four sums. */
ALWAYS __m256i add_flips(__m256i sum, __m256i a, __m256i b) {
    const __m256i ones =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    __m256i bits = _mm256_and_si256(_mm256_xor_si256(a, b), _mm256_set1_epi8(0x0F));
    __m256i counts = _mm256_shuffle_epi8(ones, bits);
    return _mm256_add_epi64(sum, _mm256_sad_epu8(counts, _mm256_setzero_si256()));
}

static void count_flips(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    flips24_job *job = ctx;
    __m256i sum = _mm256_setzero_si256();
    int64_t i = begin;
    for (; i + 32 <= end; i += 32)
        sum = add_flips(sum, _mm256_loadu_si256((const __m256i *)(const void *)(job->a + i)),
                        _mm256_loadu_si256((const __m256i *)(const void *)(job->b + i)));
    uint8_t a[32] = {0}, b[32] = {0};
    memcpy(a, job->a + i, (size_t)(end - i));
    memcpy(b, job->b + i, (size_t)(end - i));
    sum = add_flips(sum, _mm256_loadu_si256((const __m256i *)(const void *)a),
                    _mm256_loadu_si256((const __m256i *)(const void *)b));
    int64_t lane[4];
    _mm256_storeu_si256((__m256i *)(void *)lane, sum);
    atomic_fetch_add(&job->count, lane[0] + lane[1] + lane[2] + lane[3]);
}

static wn_status flips24(const void *args, wn__exec *x) {
    const wn__flips24 *p = args;
    flips24_job job = {.a = p->a.data, .b = p->b.data};
    wn__parallel_for(x->pool, wn__tensor_count(&p->a), FLIPS_BLOCK, count_flips, &job);
    *(int64_t *)p->count.data = atomic_load(&job.count);
    return WN_OK;
}
