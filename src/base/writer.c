// SPDX-License-Identifier: MIT
// Files that appear whole or not at all: written under a temporary name in the same directory,
// synced, renamed.
#include "base/file.h"

#include "base/fail.h"
#include "base/file_sync.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_SIZE ((size_t)256 << 10)

struct wn__writer {
    char *path, *temporary;
    int fd; // -1: no temporary file
    bool broken;
    uint32_t crc;
    uint64_t bytes;
    size_t used; // of buffer
    char buffer[BUFFER_SIZE];
};

static wn_status open_temporary(wn__writer *w) {
    for (int n = 0; n < WN_TEMPORARY_TRIES; n++) {
        free(w->temporary);
        w->temporary = wn__temporary_name(w->path, n);
        if (w->temporary == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", w->path);
        w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (w->fd >= 0) return WN_OK;
        if (errno != EEXIST) break;
    }
    return wn__fail_errno("%s: cannot create", w->temporary);
}

wn_status wn__writer_open(const char *path, wn__writer **out) {
    *out = NULL;
    if (path[0] == '\0') return wn__fail(WN_INVALID, "cannot write a file with an empty name");
    if (wn__dir_exists(path)) return wn__fail(WN_IO, "%s: a directory, cannot write over it", path);
    wn__writer *w = malloc(sizeof *w);
    if (w == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", path);
    memset(w, 0, offsetof(wn__writer, buffer));
    w->fd = -1;
    w->path = strdup(path);
    wn_status status =
        w->path != NULL ? open_temporary(w) : wn__fail(WN_NOMEM, "%s: out of memory", path);
    if (status != WN_OK) {
        wn__writer_abort(w);
        return status;
    }
    *out = w;
    return WN_OK;
}

// write(2) until all is out. What failed once stays failed.
static wn_status put(wn__writer *w, const char *bytes, size_t n) {
    while (n > 0) {
        ssize_t r = write(w->fd, bytes, n);
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) {
            if (r == 0) errno = EIO;
            w->broken = true;
            return wn__fail_errno("%s: cannot write %zu bytes", w->path, n);
        }
        bytes += r;
        n -= (size_t)r;
    }
    return WN_OK;
}

static wn_status flush(wn__writer *w) {
    if (w->broken) return wn__fail(WN_IO, "%s: an earlier write failed", w->path);
    size_t n = w->used;
    w->used = 0;
    return put(w, w->buffer, n);
}

wn_status wn__writer_write(wn__writer *w, const void *bytes, size_t n) {
    if (w->broken) return wn__fail(WN_IO, "%s: an earlier write failed", w->path);
    if (n == 0) return WN_OK;
    if (n > BUFFER_SIZE - w->used) WN_TRY(flush(w));
    if (n >= BUFFER_SIZE) {
        WN_TRY(put(w, bytes, n));
    } else {
        memcpy(w->buffer + w->used, bytes, n);
        w->used += n;
    }
    w->crc = wn__crc32(w->crc, bytes, n);
    w->bytes += n;
    return WN_OK;
}

wn_status wn__writer_printf(wn__writer *w, const char *fmt, ...) {
    char *text;
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    if (n < 0) {
        w->broken = true; // a file with a line missing must not be committed
        return wn__fail(WN_NOMEM, "%s: out of memory for a line", w->path);
    }
    wn_status status = wn__writer_write(w, text, (size_t)n);
    free(text);
    return status;
}

uint32_t wn__writer_crc32(const wn__writer *w) {
    return w->crc;
}

uint64_t wn__writer_bytes(const wn__writer *w) {
    return w->bytes;
}

// Some file systems report a full disk no earlier than here.
static wn_status sync_and_close(wn__writer *w) {
    wn_status status = WN_OK;
    if (fsync(w->fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        status = wn__fail_errno("%s: cannot sync", w->path);
    if (close(w->fd) != 0 && errno != EINTR && status == WN_OK)
        status = wn__fail_errno("%s: cannot close", w->path);
    w->fd = -1;
    if (status != WN_OK) (void)unlink(w->temporary);
    return status;
}

wn_status wn__writer_commit(wn__writer *w) {
    wn_status status;
    WN_TRY_OUT(flush(w));
    WN_TRY_OUT(sync_and_close(w));
    if (rename(w->temporary, w->path) != 0) {
        status = wn__fail_errno("%s: cannot rename to %s", w->temporary, w->path);
        (void)unlink(w->temporary);
        goto out;
    }
    status = wn__parent_sync(w->path);
out:
    wn__writer_abort(w);
    return status;
}

void wn__writer_abort(wn__writer *w) {
    if (w == NULL) return;
    if (w->fd >= 0) {
        (void)close(w->fd);
        (void)unlink(w->temporary);
    }
    free(w->temporary);
    free(w->path);
    free(w);
}

wn_status wn__file_write(const char *path, const void *bytes, size_t n) {
    wn__writer *w;
    WN_TRY(wn__writer_open(path, &w));
    wn_status status = wn__writer_write(w, bytes, n);
    if (status != WN_OK) {
        wn__writer_abort(w);
        return status;
    }
    return wn__writer_commit(w);
}
