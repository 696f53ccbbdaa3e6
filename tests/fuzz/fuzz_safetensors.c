// SPDX-License-Identifier: MIT
// libFuzzer target: any bytes as a safetensors file. What is accepted must be consistent: views
// inside the data and as long as their shapes say, names sorted, unique and found.
#include "formats/safetensors.h"
#include "tensor/tensor.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition) abort();
}

static size_t check_entry(const wn__safetensors *st, size_t i, const uint8_t *data, size_t size) {
    const wn__st_entry *e = &st->entry[i];
    const uint8_t *begin = e->view.data;
    size_t bytes = wn__tensor_bytes(&e->view);
    require(begin >= data + 8 && bytes <= size && begin + bytes <= data + size);
    require(wn__tensor_packed(&e->view));
    require(wn__safetensors_find(st, e->name) == e);
    require(i == 0 || strcmp(st->entry[i - 1].name, e->name) < 0);
    return bytes;
}

static void check_file(const uint8_t *data, size_t size) {
    wn__safetensors st;
    if (wn__safetensors_parse(data, size, "fuzz", &st) != WN_OK) {
        require(strstr(wn_last_error(), "fuzz") != NULL && st.entry == NULL);
        return;
    }
    size_t total = 0, header = 0;
    for (size_t i = 0; i < st.count; i++)
        total += check_entry(&st, i, data, size);
    for (int i = 7; i >= 0; i--)
        header = header << 8 | data[i];
    require(8 + header + total == size);
    for (size_t i = 0; i < st.meta_count; i++)
        require(wn__safetensors_meta(&st, st.meta[i].key) == st.meta[i].value);
    wn__safetensors_close(&st);
}

// The bytes as they are, then with a length that ends the header at its last '}': mutations of the
// text would otherwise almost always end at the frame.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_file(data, size);
    const uint8_t *last = size > 8 ? memrchr(data + 8, '}', size - 8) : NULL;
    if (last == NULL) return 0;
    uint8_t *copy = malloc(size);
    require(copy != NULL);
    memcpy(copy, data, size);
    for (int i = 0; i < 8; i++)
        copy[i] = (uint8_t)((uint64_t)(last - data - 7) >> 8 * i);
    check_file(copy, size);
    free(copy);
    return 0;
}
