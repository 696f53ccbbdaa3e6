// SPDX-License-Identifier: MIT
// libFuzzer target: any bytes as a file of torch.save, and as the pickle of an archive with one
// storage. What is accepted must be consistent: every element of every tensor inside the file,
// names sorted, unique and found; a chain in it is described or refused.
#include "formats/pth.h"
#include "infer/chain_file.h"
#include "tensor/tensor.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition) abort();
}

// The first and the last element, by strides.
static void check_entry(const wn__pth *p, size_t i, const uint8_t *data, size_t size) {
    const wn__pth_entry *e = &p->entry[i];
    require(wn__pth_find(p, e->name) == e);
    require(i == 0 || strcmp(p->entry[i - 1].name, e->name) < 0);
    if (wn__tensor_count(&e->view) == 0) return;
    int64_t last = 0;
    for (int d = 0; d < e->view.ndim; d++)
        last += (e->view.shape[d] - 1) * e->view.stride[d];
    const uint8_t *begin = e->view.data;
    size_t bytes = wn_dtype_size(e->view.dtype);
    require(begin >= data && begin < data + size);
    require((size_t)last <= (size_t)(data + size - begin) / bytes);
    require(begin + ((size_t)last + 1) * bytes <= data + size);
}

static void check_file(const uint8_t *data, size_t size) {
    wn__pth p;
    if (wn__pth_parse(data, size, "fuzz", &p) != WN_OK) {
        require(strstr(wn_last_error(), "fuzz") != NULL && p.entry == NULL);
        return;
    }
    for (size_t i = 0; i < p.count; i++)
        check_entry(&p, i, data, size);
    char *text = NULL; // of a chain, where there is one
    wn_status described = wn__chain_is_pth(&p) ? wn__chain_describe_pth(&p, &text) : WN_INVALID;
    require((described == WN_OK) == (text != NULL));
    free(text);
    wn__pth_close(&p);
}

static void put(uint8_t **at, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++)
        *(*at)++ = (uint8_t)(v >> 8 * i);
}

// "PK" and a stored entry's fields, local or of the directory.
static void put_header(uint8_t **at, const char *mark, const char *name, size_t size,
                       size_t local) {
    bool directory = mark[0] == 1;
    memcpy(*at, "PK", 2);
    memcpy(*at + 2, mark, 2);
    *at += 4;
    put(at, 20, directory ? 4 : 2);
    put(at, 0, 8);
    put(at, 0, 4); // no checksum
    put(at, size, 4);
    put(at, size, 4);
    put(at, strlen(name), 2);
    put(at, 0, 2);
    if (directory) {
        put(at, 0, 8);
        put(at, 0, 2);
        put(at, local, 4);
    }
    memcpy(*at, name, strlen(name));
    *at += strlen(name);
}

// The input as the program of an archive, with a storage "0" of 64 bytes.
static void check_program(const uint8_t *data, size_t size) {
    uint8_t *file = malloc(size + 512), *at = file;
    require(file != NULL);
    put_header(&at, "\3\4", "a/data.pkl", size, 0);
    if (size > 0) memcpy(at, data, size);
    at += size;
    size_t second = (size_t)(at - file);
    put_header(&at, "\3\4", "a/data/0", 64, 0);
    memset(at, 1, 64);
    at += 64;
    size_t directory = (size_t)(at - file);
    put_header(&at, "\1\2", "a/data.pkl", size, 0);
    put_header(&at, "\1\2", "a/data/0", 64, second);
    size_t end = (size_t)(at - file);
    memcpy(at, "PK\5\6\0\0\0\0\2\0\2\0", 12);
    at += 12;
    put(&at, end - directory, 4);
    put(&at, directory, 4);
    put(&at, 0, 2);
    check_file(file, (size_t)(at - file));
    free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_file(data, size);
    check_program(data, size);
    return 0;
}
