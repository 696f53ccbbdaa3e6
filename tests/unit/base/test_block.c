// SPDX-License-Identifier: MIT
// Blocks: their alignment, and that a large one has none of the pages that were freed before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/block.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static void blocks_are_aligned(void **state) {
    static const size_t sizes[] = {0, 1, 63, 4096, 4 * MIB - 1, 4 * MIB, 7 * MIB + 5};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t align = sizes[i] >= 4 * MIB ? 2 * MIB : 64;
        unsigned char *block = wn__block_alloc(sizes[i]);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % align, 0);
        memset(block, 1, sizes[i]);
        free(block);
    }
}

static size_t page_bytes(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

// The first page that begins in a block.
static void *page_in(unsigned char *block) {
    return block + (page_bytes() - (uintptr_t)block % page_bytes());
}

// Pages of [block, block + bytes) that are in memory.
static size_t pages_kept(void *block, size_t bytes) {
    size_t count = bytes / page_bytes(), kept = 0;
    unsigned char *in = malloc(count);
    assert_non_null(in);
    assert_int_equal(mincore(block, bytes, in), 0);
    for (size_t i = 0; i < count; i++)
        kept += in[i] & 1U;
    free(in);
    return kept;
}

// malloc keeps freed memory of a size that it saw before: its pages would be the new block's.
static void large_blocks_have_new_pages(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        unsigned char *used = malloc(24 * MIB);
        assert_non_null(used);
        memset(used, i + 1, 24 * MIB);
        assert_int_equal(pages_kept(page_in(used), 16 * MIB), 16 * MIB / page_bytes());
        free(used);
    }
    void *block = wn__block_alloc(16 * MIB);
    assert_non_null(block);
    assert_int_equal(pages_kept(block, 16 * MIB), 0);
    free(block);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned),
        cmocka_unit_test(large_blocks_have_new_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
