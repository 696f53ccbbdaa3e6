// SPDX-License-Identifier: MIT
// Whole-file reads, read-only maps and directories. The atomic writer is in writer.c.
#include "base/file.h"

#include "base/fail.h"
#include "base/file_sync.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

wn_status wn__regular_open(const char *path, int *fd, uint64_t *size) {
    struct stat st;
    *size = 0;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) return wn__fail_errno("%s: cannot open", path);
    wn_status status = WN_OK;
    if (fstat(*fd, &st) != 0) {
        status = wn__fail_errno("%s: cannot stat", path);
    } else if (!S_ISREG(st.st_mode)) {
        status = wn__fail(WN_IO, "%s: %s, not a regular file", path,
                          S_ISDIR(st.st_mode) ? "a directory" : "a device or pipe");
    } else {
        *size = (uint64_t)st.st_size;
    }
    if (status != WN_OK) {
        (void)close(*fd);
        *fd = -1;
    }
    return status;
}

wn_status wn__map_open(const char *path, wn__map *out) {
    *out = (wn__map){0};
    int fd;
    uint64_t bytes;
    WN_TRY(wn__regular_open(path, &fd, &bytes));
    wn_status status = WN_OK;
    size_t size = (size_t)bytes;
    if (size > 0) {
        void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            status = wn__fail_errno("%s: cannot map %zu bytes", path, size);
        } else {
            *out = (wn__map){.data = p, .size = size};
        }
    }
    (void)close(fd);
    return status;
}

void wn__map_close(wn__map *map) {
    if (map->data != NULL) (void)munmap((void *)(uintptr_t)map->data, map->size);
    *map = (wn__map){0};
}

void wn__map_forget(const void *begin, size_t n) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)begin;
    uintptr_t first = (at + page - 1) / page * page, last = (at + n) / page * page;
    if (last > first) (void)madvise((void *)first, last - first, MADV_DONTNEED);
}

// Reads until the end of the file or until n bytes are there.
static wn_status read_full(int fd, const char *path, char *bytes, size_t n, size_t *got) {
    *got = 0;
    while (*got < n) {
        ssize_t r = read(fd, bytes + *got, n - *got);
        if (r == 0) break;
        if (r < 0 && errno != EINTR) return wn__fail_errno("%s: cannot read", path);
        if (r > 0) *got += (size_t)r;
    }
    return WN_OK;
}

wn_status wn__file_read(const char *path, size_t limit, char **out, size_t *size) {
    *out = NULL;
    *size = 0;
    int fd;
    uint64_t length;
    WN_TRY(wn__regular_open(path, &fd, &length));
    wn_status status = WN_OK;
    char *bytes = NULL;
    size_t n = (size_t)length, got;
    if (limit > 0 && n > limit) {
        status = wn__fail(WN_FORMAT, "%s: %zu bytes, at most %zu expected", path, n, limit);
        goto out;
    }
    bytes = malloc(n + 1);
    if (bytes == NULL) {
        status = wn__fail(WN_NOMEM, "%s: no memory for its %zu bytes", path, n);
        goto out;
    }
    WN_TRY_OUT(read_full(fd, path, bytes, n, &got));
    if (got < n) {
        status = wn__fail(WN_IO, "%s: ended at byte %zu of %zu while being read", path, got, n);
        goto out;
    }
    bytes[n] = '\0';
    *out = bytes;
    *size = n;
    bytes = NULL;
out:
    free(bytes);
    (void)close(fd);
    return status;
}

bool wn__file_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool wn__dir_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

wn_status wn__file_size(const char *path, uint64_t *out) {
    struct stat st;
    *out = 0;
    if (stat(path, &st) != 0) return wn__fail_errno("%s: cannot stat", path);
    if (!S_ISREG(st.st_mode)) return wn__fail(WN_IO, "%s: not a regular file", path);
    *out = (uint64_t)st.st_size;
    return WN_OK;
}

static wn_status make_one_dir(const char *path) {
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && wn__dir_exists(path))) return WN_OK;
    return wn__fail_errno("%s: cannot make directory", path);
}

wn_status wn__dir_make(const char *path) {
    char *copy = strdup(path);
    if (copy == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", path);
    wn_status status = WN_OK;
    for (char *p = copy; *p != '\0' && status == WN_OK; p++) {
        if (*p != '/' || p == copy || p[-1] == '/') continue;
        *p = '\0';
        status = make_one_dir(copy);
        *p = '/';
    }
    if (status == WN_OK) status = make_one_dir(copy);
    free(copy);
    return status;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)st, (void)kind, (void)where;
    if (remove(path) == 0 || errno == ENOENT) return 0;
    (void)wn__fail_errno("%s: cannot remove", path);
    return 1;
}

wn_status wn__dir_remove(const char *path) {
    struct stat st;
    if (lstat(path, &st) != 0 && errno == ENOENT) return WN_OK;
    int r = nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    if (r < 0) return wn__fail_errno("%s: cannot walk", path);
    return r == 0 ? WN_OK : WN_IO;
}

static wn_status sync_regular(const char *dir, const char *name) {
    char *path;
    if (asprintf(&path, "%s/%s", dir, name) < 0)
        return wn__fail(WN_NOMEM, "%s: out of memory", dir);
    struct stat st;
    wn_status status = WN_OK;
    if (lstat(path, &st) == 0 && S_ISREG(st.st_mode)) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fsync(fd) != 0) status = wn__fail_errno("%s: cannot sync", path);
        if (fd >= 0) (void)close(fd);
    }
    free(path);
    return status;
}

// rename(2) that refuses an existing `to`, also where the file system cannot do so in one step.
static wn_status rename_new(const char *from, const char *to) {
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return WN_OK;
    if (errno == EINVAL || errno == ENOSYS) {
        struct stat st;
        errno = EEXIST;
        if (lstat(to, &st) != 0 && rename(from, to) == 0) return WN_OK;
    }
    return wn__fail_errno("%s: cannot rename to %s", from, to);
}

wn_status wn__dir_publish(const char *from, const char *to) {
    wn__names names;
    WN_TRY(wn__dir_list(from, &names));
    wn_status status = WN_OK;
    for (size_t i = 0; i < names.count && status == WN_OK; i++)
        status = sync_regular(from, names.name[i]);
    wn__names_free(&names);
    WN_TRY(status);
    WN_TRY(wn__dir_sync(from));
    WN_TRY(rename_new(from, to));
    return wn__parent_sync(to);
}

wn_status wn__link_replace(const char *target, const char *link) {
    char *temporary = NULL;
    int made = -1;
    for (int n = 0; made != 0 && n < WN_TEMPORARY_TRIES; n++) {
        free(temporary);
        temporary = wn__temporary_name(link, n);
        if (temporary == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", link);
        made = symlink(target, temporary);
        if (made != 0 && errno != EEXIST) break;
    }
    wn_status status = WN_OK;
    if (made != 0) {
        status = wn__fail_errno("%s: cannot make symbolic link", link);
    } else if (rename(temporary, link) != 0) {
        status = wn__fail_errno("%s: cannot replace symbolic link", link);
        (void)unlink(temporary);
    }
    free(temporary);
    return status == WN_OK ? wn__parent_sync(link) : status;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// Appends a copy of text; the array doubles at each power of two.
static bool append_name(wn__names *names, const char *text) {
    size_t n = names->count;
    if ((n & (n - 1)) == 0) {
        char **grown = realloc(names->name, (n > 0 ? 2 * n : 1) * sizeof *grown);
        if (grown == NULL) return false;
        names->name = grown;
    }
    names->name[n] = strdup(text);
    if (names->name[n] == NULL) return false;
    names->count++;
    return true;
}

wn_status wn__dir_list(const char *path, wn__names *out) {
    *out = (wn__names){0};
    DIR *dir = opendir(path);
    if (dir == NULL) return wn__fail_errno("%s: cannot open directory", path);
    wn_status status = WN_OK;
    const struct dirent *entry;
    while (errno = 0, (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (append_name(out, entry->d_name)) continue;
        status = wn__fail(WN_NOMEM, "%s: out of memory", path);
        goto out;
    }
    if (errno != 0) status = wn__fail_errno("%s: cannot read directory", path);
out:
    (void)closedir(dir);
    if (status != WN_OK) {
        wn__names_free(out);
    } else if (out->count > 1) {
        qsort(out->name, out->count, sizeof *out->name, compare_names);
    }
    return status;
}

void wn__names_free(wn__names *names) {
    for (size_t i = 0; i < names->count; i++)
        free(names->name[i]);
    free(names->name);
    *names = (wn__names){0};
}

// Matches that are no regular files are left out; the errors of unreadable directories are not.
static wn_status take_matches(const glob_t *found, wn__names *out) {
    for (size_t i = 0; i < found->gl_pathc; i++)
        if (wn__file_exists(found->gl_pathv[i]) && !append_name(out, found->gl_pathv[i]))
            return wn__fail(WN_NOMEM, "%s: out of memory", found->gl_pathv[i]);
    if (out->count > 1) qsort(out->name, out->count, sizeof *out->name, compare_names);
    return WN_OK;
}

wn_status wn__glob(const char *pattern, wn__names *out) {
    *out = (wn__names){0};
    glob_t found;
    wn_status status = WN_OK;
    switch (glob(pattern, GLOB_NOSORT | GLOB_ERR, NULL, &found)) {
    case 0:
        status = take_matches(&found, out);
        break;
    case GLOB_NOMATCH:
        break;
    case GLOB_NOSPACE:
        status = wn__fail(WN_NOMEM, "%s: out of memory", pattern);
        break;
    default:
        status = wn__fail_errno("%s: cannot read a directory", pattern);
    }
    globfree(&found);
    if (status != WN_OK) wn__names_free(out);
    return status;
}

wn_status wn__path_join(char *out, size_t n, const char *dir, const char *name) {
    size_t length = strlen(dir);
    const char *slash = length == 0 || dir[length - 1] == '/' ? "" : "/";
    int written = snprintf(out, n, "%s%s%s", dir, slash, name);
    if (written >= 0 && (size_t)written < n) return WN_OK;
    if (n > 0) out[0] = '\0';
    return wn__fail(WN_INVALID, "%s%s%s: path of %d bytes, at most %zu", dir, slash, name, written,
                    n > 0 ? n - 1 : 0);
}
