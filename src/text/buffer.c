// SPDX-License-Identifier: MIT
// Arrays that grow by doubling.
#include "text/buffer.h"

#include "base/fail.h"
#include <stdlib.h>
#include <string.h>

wn_status wn__grow(void **array, size_t *capacity, size_t need, size_t each) {
    if (need <= *capacity) return WN_OK;
    size_t n = *capacity < 16 ? 16 : *capacity;
    while (n < need)
        n = n > SIZE_MAX / 2 ? need : 2 * n;
    void *p = n > SIZE_MAX / each ? NULL : realloc(*array, n * each);
    if (p == NULL) return wn__fail(WN_NOMEM, "tokenizer: out of memory (%zu x %zu bytes)", n, each);
    *array = p;
    *capacity = n;
    return WN_OK;
}

wn_status wn__bytes_reserve(wn__bytes *b, size_t more) {
    if (more <= b->capacity - b->size) return WN_OK;
    void *data = b->data;
    wn_status status = wn__grow(&data, &b->capacity, b->size + more, 1);
    b->data = data;
    return status;
}

wn_status wn__bytes_append(wn__bytes *b, const void *bytes, size_t n) {
    if (n == 0) return WN_OK;
    WN_TRY(wn__bytes_reserve(b, n));
    memcpy(b->data + b->size, bytes, n);
    b->size += n;
    return WN_OK;
}

void wn__bytes_free(wn__bytes *b) {
    free(b->data);
    *b = (wn__bytes){0};
}

wn_status wn__id_list_reserve(wn__id_list *ids, size_t more) {
    if (more <= ids->capacity - ids->count) return WN_OK;
    void *data = ids->data;
    wn_status status = wn__grow(&data, &ids->capacity, ids->count + more, sizeof *ids->data);
    ids->data = data;
    return status;
}

wn_status wn__id_list_append(wn__id_list *ids, int32_t id) {
    WN_TRY(wn__id_list_reserve(ids, 1));
    ids->data[ids->count++] = id;
    return WN_OK;
}

wn_status wn__id_list_append_all(wn__id_list *ids, const int32_t *id, size_t count) {
    WN_TRY(wn__id_list_reserve(ids, count));
    if (count > 0) memcpy(ids->data + ids->count, id, count * sizeof *id);
    ids->count += count;
    return WN_OK;
}
