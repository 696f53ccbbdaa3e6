// SPDX-License-Identifier: MIT
/* Where a thread remembers plans that it asked for lately. */
#ifndef WN_KERNELS_CUDA_SLOT_H
#define WN_KERNELS_CUDA_SLOT_H

#include <stddef.h>
#include <stdint.h>

enum { WN_SLOT_BITS = 6, WN_SLOTS = 1 << WN_SLOT_BITS };

/* The one slot of WN_SLOTS for what is asked by these numbers; others may share it. */
static inline size_t wn__slot_of(const int64_t *asked, int count) {
    uint64_t h = 0;
    for (int i = 0; i < count; i++)
        h = h * 1000003 + (uint64_t)asked[i];
    return (size_t)(h * 0x9E3779B97F4A7C15 >> (64 - WN_SLOT_BITS));
}

#endif
