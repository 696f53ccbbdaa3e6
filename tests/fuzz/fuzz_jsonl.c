// SPDX-License-Identifier: MIT
// libFuzzer target: any bytes as JSON lines, plain or gzip, through a file in memory. Documents
// must be UTF-8, passing over them must count and place them as reading does, and a refusal must
// name the file.
#include "base/utf8.h"
#include "formats/jsonl.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition) abort();
}

// The n-th document from here, after passing over the ones before it: a sum over its bytes; false
// at the end or on a refusal.
static bool next(wn__jsonl *r, const char *path, uint64_t *sum) {
    const char *text;
    size_t size;
    if (wn__jsonl_next(r, &text, &size) != WN_OK) {
        require(text == NULL && strstr(wn_last_error(), path) != NULL);
        return false;
    }
    if (text == NULL) return false;
    require(wn__utf8_span(text, size) == size && text[size] == '\0');
    *sum = size;
    for (size_t i = 0; i < size; i++)
        *sum = *sum * 31 + (unsigned char)text[i];
    return true;
}

static void check_skip(const char *path, uint64_t n, uint64_t sum, uint64_t line) {
    wn__jsonl *r;
    uint64_t skipped, again;
    require(wn__jsonl_open(path, &r) == WN_OK);
    require(wn__jsonl_skip(r, n, &skipped) == WN_OK && skipped == n);
    require(next(r, path, &again) && again == sum && wn__jsonl_line(r) == line);
    wn__jsonl_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    int fd = memfd_create("jsonl", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    wn__jsonl *r;
    uint64_t count = 0, sum, last = 0, line = 0;
    if (wn__jsonl_open(path, &r) == WN_OK) {
        for (; next(r, path, &sum); count++) {
            require(wn__jsonl_line(r) > line);
            line = wn__jsonl_line(r);
            last = sum;
        }
        wn__jsonl_close(r);
        if (count > 0) check_skip(path, count - 1, last, line);
    } else {
        require(strstr(wn_last_error(), path) != NULL);
    }
    (void)close(fd);
    return 0;
}
