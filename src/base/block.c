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
    if (large) (void)madvise(block, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    return block;
}
