// SPDX-License-Identifier: MIT
// Arenas: one anonymous map each, handed out from the front in steps of WN_ARENA_ALIGN. A block of
// 2 MiB or more starts on a 2 MiB boundary and asks for huge pages.
#include "base/arena.h"

#include "base/cpu.h"
#include "base/fail.h"
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(HAVE_ASAN)
#include <sanitizer/asan_interface.h>
#define FORBID(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define PERMIT(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define FORBID(p, n) ((void)(p), (void)(n))
#define PERMIT(p, n) ((void)(p), (void)(n))
#endif

#define HUGE_PAGE ((size_t)2 << 20)

// Rounds up to a multiple of step, a power of two; false on overflow.
static bool round_up(size_t bytes, size_t step, size_t *out) {
    if (bytes > SIZE_MAX - (step - 1)) return false;
    *out = (bytes + step - 1) & ~(step - 1);
    return true;
}

// Bytes of the map behind a block of `size` bytes: whole pages, at least one, so that a base is
// never NULL.
static bool map_bytes(size_t size, size_t *out) {
    return round_up(size > 0 ? size : 1, (size_t)sysconf(_SC_PAGESIZE), out);
}

static void *map_pages(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

// Maps one huge page too much and gives back what lies outside the aligned part.
static void *map_huge(size_t bytes) {
    if (bytes > SIZE_MAX - HUGE_PAGE) return NULL;
    char *p = map_pages(bytes + HUGE_PAGE);
    if (p == NULL) return NULL;
    size_t head = (HUGE_PAGE - ((uintptr_t)p & (HUGE_PAGE - 1))) & (HUGE_PAGE - 1);
    if (head > 0) (void)munmap(p, head);
    if (head < HUGE_PAGE) (void)munmap(p + head + bytes, HUGE_PAGE - head);
    (void)madvise(p + head, bytes, MADV_HUGEPAGE); // advice: no huge pages is not an error
    return p + head;
}

void wn__arena_measure_by(const char *name, size_t align, wn__arena *out) {
    *out = (wn__arena){.name = name, .size = SIZE_MAX, .align = align};
}

void wn__arena_measure(const char *name, wn__arena *out) {
    wn__arena_measure_by(name, WN_ARENA_ALIGN, out);
}

void wn__arena_adopt(const char *name, void *base, size_t size, size_t align,
                     void (*release)(void *owner, void *base), void *owner, wn__arena *out) {
    *out = (wn__arena){.name = name,
                       .base = base,
                       .size = size,
                       .align = align,
                       .release = release,
                       .owner = owner};
}

// Whether the block is this file's own map, which the address sanitizer watches.
static bool is_map(const wn__arena *a) {
    return a->base != NULL && a->release == NULL;
}

wn_status wn__arena_create(const char *name, size_t size, wn__arena *out) {
    memset(out, 0, sizeof *out);
    size_t block, bytes;
    char *base = NULL;
    if (round_up(size, WN_ARENA_ALIGN, &block) && map_bytes(block, &bytes))
        base = bytes >= HUGE_PAGE ? map_huge(bytes) : map_pages(bytes);
    if (base == NULL)
        return wn__fail(WN_NOMEM, "%s: cannot reserve %zu bytes; this machine has %llu", name, size,
                        (unsigned long long)wn__memory_total());
    FORBID(base, block);
    *out = (wn__arena){.name = name, .base = base, .size = block, .align = WN_ARENA_ALIGN};
    return WN_OK;
}

wn_status wn__arena_alloc(wn__arena *a, size_t bytes, void **out) {
    *out = NULL;
    size_t step;
    if (!round_up(bytes, a->align, &step) || step > a->size - a->used)
        return wn__fail(WN_NOMEM, "%s: %zu bytes asked for, %zu of %zu are left", a->name, bytes,
                        a->size - a->used, a->size);
    if (!wn__arena_measuring(a)) {
        *out = a->base + a->used;
        if (is_map(a)) PERMIT(*out, step);
    }
    a->used += step;
    return WN_OK;
}

void wn__arena_reset(wn__arena *a, size_t mark) {
    if (mark >= a->used) return;
    if (is_map(a)) FORBID(a->base + mark, a->used - mark);
    a->used = mark;
}

void wn__arena_free(wn__arena *a) {
    size_t bytes;
    if (a->release != NULL) a->release(a->owner, a->base);
    if (is_map(a) && map_bytes(a->size, &bytes)) {
        PERMIT(a->base, a->size);
        (void)munmap(a->base, bytes);
    }
    memset(a, 0, sizeof *a);
}
