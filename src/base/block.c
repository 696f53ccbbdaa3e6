// SPDX-License-Identifier: MIT
#include "base/block.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

void *wn__block_alloc(size_t bytes) {
    void *block = NULL;
    bool large = bytes >= 2 * HUGE_PAGE;
    if (posix_memalign(&block, large ? HUGE_PAGE : 64, bytes > 0 ? bytes : 1) != 0) return NULL;
    if (!large) return block;
    // What was freed before comes back in the pages that it had, small ones where nobody asked for
    // others: the whole ones of this block are given up, so that they are taken anew, as huge ones.
    size_t whole = bytes / HUGE_PAGE * HUGE_PAGE;
    (void)madvise(block, whole, MADV_HUGEPAGE);
    (void)madvise(block, whole, MADV_DONTNEED);
    return block;
}
