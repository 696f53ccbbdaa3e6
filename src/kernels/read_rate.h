// SPDX-License-Identifier: MIT
/* How fast this machine's memory can be read: what a kernel's bytes per second are divided by. The
 * same block of memory empties the caches. */
#ifndef WN_KERNELS_READ_RATE_H
#define WN_KERNELS_READ_RATE_H

#include "base/pool.h"
#include <stddef.h>

/* Words far beyond the caches, each touched first by the thread that reads it. */
typedef struct wn__read_rate {
    uint64_t *word;
    int64_t count;
    wn__pool *pool; /* borrowed */
    uint64_t sum;   /* of all words, so that no load can be left out */
} wn__read_rate;

/* Four times the last cache that the system knows of, at least `least` bytes. */
WN_NODISCARD wn_status wn__read_rate_open(wn__pool *pool, size_t least, wn__read_rate *out);
void wn__read_rate_close(wn__read_rate *s); /* safe on a zeroed struct */
/* Reads all of it once, on all threads; ctx is a wn__read_rate. */
void wn__read_rate_read(void *ctx);
/* Bytes per second of the best of a few such runs; 0: a run lost words. */
double wn__read_rate_of(wn__read_rate *s);

#endif
