// SPDX-License-Identifier: MIT
// Temporary names beside a target, and fsync of directories so that a rename survives a power cut.
#include "base/file_sync.h"

#include "base/fail.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *wn__temporary_name(const char *path, int n) {
    char *name;
    return asprintf(&name, "%s.tmp-%ld-%d", path, (long)getpid(), n) < 0 ? NULL : name;
}

wn_status wn__dir_sync(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) // a directory may be writable without being readable
        return errno == EACCES ? WN_OK : wn__fail_errno("%s: cannot open directory", path);
    wn_status status = WN_OK;
    if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        status = wn__fail_errno("%s: cannot sync directory", path);
    (void)close(fd);
    return status;
}

wn_status wn__parent_sync(const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') // "a/b/" lies in "a"
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    if (n == 0) return wn__dir_sync(".");
    char *parent = strndup(path, n);
    if (parent == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", path);
    wn_status status = wn__dir_sync(parent);
    free(parent);
    return status;
}
