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

typedef struct wn__id_list {
    int32_t *data;
    size_t count, capacity;
} wn__id_list;

/* Makes room for `need` elements of `each` bytes in *array, doubling. NOMEM leaves it as it was. */
WN_NODISCARD wn_status wn__grow(void **array, size_t *capacity, size_t need, size_t each);

WN_NODISCARD wn_status wn__bytes_reserve(wn__bytes *b, size_t more);
WN_NODISCARD wn_status wn__bytes_append(wn__bytes *b, const void *bytes, size_t n);
void wn__bytes_free(wn__bytes *b);

WN_NODISCARD wn_status wn__id_list_reserve(wn__id_list *ids, size_t more);
WN_NODISCARD wn_status wn__id_list_append(wn__id_list *ids, int32_t id);
WN_NODISCARD wn_status wn__id_list_append_all(wn__id_list *ids, const int32_t *id, size_t count);

#endif
