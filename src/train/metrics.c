// SPDX-License-Identifier: MIT
// Writing metrics.jsonl. Every line is one write(2) to a file opened for appending, so a killed run
// leaves whole lines, the last one perhaps cut short.
#include "train/metrics.h"

#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Whether a line belongs to an update up to `step`; a line that is not JSON does not.
static bool belongs(const char *line, size_t n, int64_t step) {
    wn__json *j;
    if (wn__json_parse(line, n, "metrics", &j) != WN_OK) return false;
    const wn__json *at = wn__json_get(j, "step");
    bool kept = wn__json_typeof(at) == WN_JSON_INT && wn__json_int(at) <= step;
    wn__json_free(j);
    return kept;
}

// Moves the lines that stay to the front; returns their bytes.
static size_t keep_lines(char *text, size_t size, int64_t step) {
    size_t kept = 0;
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        if (end == NULL) break; // cut short
        size_t n = (size_t)(end - (text + at)) + 1;
        if (belongs(text + at, n - 1, step)) {
            memmove(text + kept, text + at, n);
            kept += n;
        }
        at += n;
    }
    return kept;
}

static wn_status cut(const char *path, int64_t step) {
    char *text = NULL;
    size_t size = 0;
    if (step >= 0 && wn__file_exists(path)) WN_TRY(wn__file_read(path, 0, &text, &size));
    size_t kept = keep_lines(text, size, step);
    wn_status status = WN_OK;
    if (kept != size || size == 0) status = wn__file_write(path, text, kept);
    free(text);
    return status;
}

wn_status wn__metrics_open(const char *path, int64_t step, wn__metrics *out) {
    *out = (wn__metrics){.fd = -1};
    WN_TRY(cut(path, step));
    char *copy = strdup(path);
    if (copy == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", path);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        wn_status status = wn__fail_errno("%s: cannot open", path);
        free(copy);
        return status;
    }
    *out = (wn__metrics){.fd = fd, .path = copy};
    return WN_OK;
}

static wn_status append(const wn__metrics *m, const char *bytes, size_t n) {
    while (n > 0) {
        ssize_t r = write(m->fd, bytes, n);
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) return wn__fail_errno("%s: cannot append a line", m->path);
        bytes += r;
        n -= (size_t)r;
    }
    return WN_OK;
}

static wn__json *to_json(const wn__metric *m) {
    if (m->text != NULL) return wn__json_new_string(m->text);
    if (m->value > -0x1p53 && m->value < 0x1p53 && m->value == (double)(int64_t)m->value)
        return wn__json_new_int((int64_t)m->value);
    return wn__json_new_real(m->value);
}

wn_status wn__metrics_write(wn__metrics *m, const char *kind, const wn__metric *member,
                            size_t count) {
    char *line = NULL;
    wn__json *object = wn__json_new_object();
    wn_status status;
    WN_TRY_OUT(wn__json_set(object, "kind", wn__json_new_string(kind)));
    for (size_t i = 0; i < count; i++)
        WN_TRY_OUT(wn__json_set(object, member[i].name, to_json(&member[i])));
    WN_TRY_OUT(wn__json_dump(object, 0, &line));
    size_t n = strlen(line);
    line[n] = '\n'; // in the place of the NUL
    status = append(m, line, n + 1);
out:
    free(line);
    wn__json_free(object);
    return status;
}

wn_status wn__metrics_sync(wn__metrics *m) {
    if (fsync(m->fd) == 0 || errno == EINVAL || errno == ENOTSUP) return WN_OK;
    return wn__fail_errno("%s: cannot sync", m->path);
}

void wn__metrics_close(wn__metrics *m) {
    if (m->fd >= 0) (void)close(m->fd);
    free(m->path);
    *m = (wn__metrics){.fd = -1};
}
