// SPDX-License-Identifier: MIT
/* Arrays that grow: bytes and ids. A zeroed struct is empty; free is safe on it. */
#ifndef WN_TEXT_BUFFER_H
#define WN_TEXT_BUFFER_H

#include "winnow/status.h"
#include <stddef.h>
#include <stdint.h>

typedef struct wn__bytes {
    char *data; /* no NUL at the end */
    size_t size, capacity;
} wn__bytes;

typedef struct wn__ids {
    int32_t *data;
    size_t count, capacity;
} wn__ids;

/* Makes room for `need` elements of `each` bytes in *array, doubling. NOMEM leaves it as it was. */
WN_NODISCARD wn_status wn__grow(void **array, size_t *capacity, size_t need, size_t each);

WN_NODISCARD wn_status wn__bytes_append(wn__bytes *b, const void *bytes, size_t n);
void wn__bytes_free(wn__bytes *b);

WN_NODISCARD wn_status wn__ids_reserve(wn__ids *ids, size_t more);
WN_NODISCARD wn_status wn__ids_append(wn__ids *ids, int32_t id);

#endif
