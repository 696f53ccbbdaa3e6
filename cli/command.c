// SPDX-License-Identifier: MIT
/* See command.h. */
#include "command.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <winnow/data.h>

int report(wn_status status) {
    if (status == WN_OK) return EXIT_OK;
    if (status == WN_CANCELLED) return EXIT_INTERRUPTED;
    const char *message = wn_last_error();
    fprintf(stderr, "winnow: %s%s%s\n", wn_status_text(status), *message ? ": " : "", message);
    return status == WN_UNSUPPORTED ? EXIT_UNSUPPORTED : EXIT_FAILED;
}

int usage_error(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fputs("winnow: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return EXIT_USAGE;
}

const char *bytes_text(double bytes, char *out, size_t n) {
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t u = 0;
    for (; bytes >= 1024 && u < 4; u++)
        bytes /= 1024;
    snprintf(out, n, u == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes, unit[u]);
    return out;
}

const char *count_text(double count, char *out, size_t n) {
    if (count < 1e4)
        snprintf(out, n, "%.0f", count);
    else if (count < 1e6)
        snprintf(out, n, "%.1fk", count / 1e3);
    else if (count < 1e9)
        snprintf(out, n, "%.2fM", count / 1e6);
    else
        snprintf(out, n, "%.2fG", count / 1e9);
    return out;
}

const char *time_text(double seconds, char *out, size_t n) {
    long s = seconds > 0 && seconds < 1e15 ? (long)(seconds + 0.5) : 0;
    if (s < 60)
        snprintf(out, n, "%lds", s);
    else if (s < 3600)
        snprintf(out, n, "%ldm%02lds", s / 60, s % 60);
    else
        snprintf(out, n, "%ldh%02ldm", s / 3600, s / 60 % 60);
    return out;
}

bool is_shard(const char *path) {
    size_t n = strlen(path);
    return n >= 7 && strcmp(path + n - 7, ".tokens") == 0;
}

char *read_file(const char *path, size_t *size) {
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    char *text = NULL;
    size_t used = 0, room = 0;
    bool failed = !f;
    while (!failed) {
        if (used + 1 >= room) {
            char *grown = realloc(text, room = room ? 2 * room : 65536);
            failed = !grown;
            if (failed) break;
            text = grown;
        }
        size_t got = fread(text + used, 1, room - used - 1, f);
        used += got;
        if (got == 0) break;
    }
    if (failed || ferror(f)) {
        fprintf(stderr, "winnow: %s: %s\n", path, strerror(errno));
        free(text);
        text = NULL;
    } else {
        text[used] = '\0';
        *size = used;
    }
    if (f && f != stdin) fclose(f);
    return text;
}

char *read_text(const char *path, size_t *size) {
    char *text = NULL;
    if (!wn_documents_named(path)) return read_file(path, size);
    (void)report(wn_documents_text(path, 0, &text, size));
    return text;
}

/* What a file is before it is whole, malloc'ed; NULL after a message. */
static char *temporary_of(const char *path) {
    size_t n = strlen(path) + 32;
    char *temporary = malloc(n);
    if (!temporary) return fputs("winnow: out of memory\n", stderr), NULL;
    snprintf(temporary, n, "%s.tmp-%ld", path, (long)getpid());
    return temporary;
}

bool can_replace_file(const char *path) {
    struct stat st;
    char *temporary = temporary_of(path);
    if (!temporary) return false;
    int cause = stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? EISDIR : 0;
    FILE *f = cause ? NULL : fopen(temporary, "wb");
    if (!f && !cause) cause = errno;
    if (f) {
        fclose(f);
        unlink(temporary);
    }
    if (cause) fprintf(stderr, "winnow: %s: %s\n", path, strerror(cause));
    free(temporary);
    return cause == 0;
}

bool replace_file(const char *path, const char *text, size_t size) {
    char *temporary = temporary_of(path);
    if (!temporary) return false;
    FILE *f = fopen(temporary, "wb");
    bool ok = f && fwrite(text, 1, size, f) == size && fflush(f) == 0 && fsync(fileno(f)) == 0;
    int cause = errno;
    if (f && fclose(f) != 0 && ok) {
        ok = false;
        cause = errno;
    }
    if (ok && rename(temporary, path) != 0) {
        ok = false;
        cause = errno;
    }
    if (!ok) {
        fprintf(stderr, "winnow: %s: %s\n", path, strerror(cause));
        if (f) unlink(temporary);
    }
    free(temporary);
    return ok;
}
