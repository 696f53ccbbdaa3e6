// SPDX-License-Identifier: MIT
/* Bump allocation out of one block whose size is known before the run.
 *
 * A builder runs twice over the same code: first with a measuring arena (no memory, every pointer
 * NULL, `used` counts), then with one of exactly that size. What does not fit fails early. */
#ifndef WN_BASE_ARENA_H
#define WN_BASE_ARENA_H

#include "winnow/status.h"
#include <stdbool.h>
#include <stddef.h>

#define WN_ARENA_ALIGN ((size_t)64)

typedef struct wn__arena {
    const char *name; /* borrowed; appears in messages: "weights", "activations", ... */
    char *base;       /* NULL while measuring */
    size_t size;      /* bytes of the block; SIZE_MAX while measuring */
    size_t used;      /* bytes handed out, each allocation rounded up to align */
    size_t align;     /* a power of two: WN_ARENA_ALIGN, more on some devices */
    /* of a block that is not ours to unmap, such as a device's memory */
    void (*release)(void *owner, void *base);
    void *owner;
} wn__arena;

/* An arena that only counts, in steps of WN_ARENA_ALIGN or of another device's. */
void wn__arena_measure(const char *name, wn__arena *out);
void wn__arena_measure_by(const char *name, size_t align, wn__arena *out);
/* Hands out a block that somebody else reserved, zeroed and aligned; its bytes are never touched
 * here. wn__arena_free calls release(owner, base). */
void wn__arena_adopt(const char *name, void *base, size_t size, size_t align,
                     void (*release)(void *owner, void *base), void *owner, wn__arena *out);
static inline bool wn__arena_measuring(const wn__arena *a) {
    return a->base == NULL;
}
/* Reserves size bytes (rounded up to WN_ARENA_ALIGN), zeroed, 64-byte aligned (huge pages advised).
 * NOMEM names the arena and the size. Under AddressSanitizer, touching what is not handed out is an
 * error. */
WN_NODISCARD wn_status wn__arena_create(const char *name, size_t size, wn__arena *out);
/* Aligned, zeroed on first use; *out is NULL while measuring. NOMEM when full. */
WN_NODISCARD wn_status wn__arena_alloc(wn__arena *a, size_t bytes, void **out);
/* Gives back all that was handed out since `used` was `mark` (contents are not cleared). */
void wn__arena_reset(wn__arena *a, size_t mark);
/* Frees the block; safe on a zeroed struct and on a measuring arena. */
void wn__arena_free(wn__arena *a);

#endif
