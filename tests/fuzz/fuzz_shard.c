// SPDX-License-Identifier: MIT
// libFuzzer target: any bytes as a token shard, through a file in memory. What is accepted must
// hold only ids of its vocabulary, and written again must be the same ids.
#include "data/shard.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    int fd = memfd_create("shard", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    wn_tokens ids;
    wn_shard_info info;
    wn_status status = wn_shard_inspect(path, false, &info);
    if (wn_shard_read(path, &ids) == WN_OK) {
        require(status == WN_OK && ids.count == info.count);
        require(size == WN_SHARD_HEADER + ids.count * (size_t)info.id_bytes);
        for (size_t i = 0; i < ids.count; i++)
            require(ids.id[i] >= 0 && (uint32_t)ids.id[i] < info.vocab_size);
        wn_tokens_free(&ids);
    } else {
        require(strstr(wn_last_error(), path) != NULL);
    }
    (void)close(fd);
    return 0;
}
