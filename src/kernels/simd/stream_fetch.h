// SPDX-License-Identifier: MIT
/* Lines of a stream that are fetched before they are read. */
#ifndef WN_KERNELS_SIMD_STREAM_FETCH_H
#define WN_KERNELS_SIMD_STREAM_FETCH_H

#include "kernels/simd/vec.h"

#define SLICE_BYTES 8192
/* Bytes from what is read to what is fetched: with one pass over a tile far enough for DRAM, with
 * several a whole slice. Processors with vectors of 64 bytes have more places for what is on its
 * way to the second level than to the first: their lines come there first, from FETCH_FAR on. */
#define FETCH_ONE  (VF == 16 ? 2048 : 1024)
#define FETCH_MANY SLICE_BYTES
#define FETCH_FAR  (VF == 16 ? 8192 : 0)
/* FETCH_FAR of one token that meets INT4 2:4 as tables, where the stream has so many bytes for each
 * thread: a share of few has ended before what lies that far is read. */
#define FETCH_TABLES       ((int64_t)16384)
#define FETCH_TABLES_SHARE ((int64_t)1 << 20)
/* What one token may ask for instead, as a constant below zero. With vectors of 32 bytes: lines
 * that no cache will keep until they are read again, 3 KiB ahead, so that they leave no trace in
 * the second level and third. With 64 bytes: nothing, but of floats FETCH_LINES of each page, to
 * the second level and FETCH_PAGES ahead, as the processor's own prefetchers stop where a page
 * ends. */
#define FETCH_ALONE (-(int64_t)3072)
#define FETCH_PAGE  ((int64_t)4096)
#define FETCH_PAGES 3
#define FETCH_LINES 2

/* Lines of w from byte `begin` to `end`; 0 ahead: none; far: to the second level. Few at a time,
 * since what waits for memory has few places. */
ALWAYS void fetch_lines_far(const uint8_t *w, int64_t begin, int64_t end, int64_t ahead,
                            int64_t far) {
    if (ahead == 0 || (VF == 16 && ahead < 0)) return;
    UNROLL
    for (int64_t line = begin; line < end; line += 64) {
        if (ahead < 0) {
            _mm_prefetch((const char *)w - ahead + line, _MM_HINT_NTA);
            continue;
        }
        _mm_prefetch((const char *)w + ahead + line, _MM_HINT_T0);
        if (FETCH_FAR > 0) _mm_prefetch((const char *)w + far + line, _MM_HINT_T1);
    }
}
ALWAYS void fetch_lines(const uint8_t *w, int64_t begin, int64_t end, int64_t ahead) {
    fetch_lines_far(w, begin, end, ahead, FETCH_FAR);
}

/* What FETCH_ALONE says of pages: by the first block, of `bytes` at w, that begins in a page. */
ALWAYS void fetch_page(const uint8_t *w, int64_t bytes, int64_t ahead) {
    const int64_t into = (int64_t)((uintptr_t)w % FETCH_PAGE);
    if (VF == 8 || ahead >= 0 || into >= bytes) return;
    UNROLL
    for (int line = 0; line < FETCH_LINES; line++)
        _mm_prefetch((const char *)w - into + FETCH_PAGES * FETCH_PAGE + 64 * line, _MM_HINT_T1);
}

#endif
