// SPDX-License-Identifier: MIT
// A killed prune cannot tidy up; the next one to the same place does, of what nobody else can have
// made or be using.
#include "prune/leftover.h"

#include "base/file.h"
#include "base/log.h"
#include "prune/place.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

// Locked or not, the name may have come to mean another directory meanwhile.
bool wn__names_open_file(const char *path, int fd) {
    struct stat named, held;
    return lstat(path, &named) == 0 && fstat(fd, &held) == 0 && named.st_ino == held.st_ino &&
           named.st_dev == held.st_dev;
}

wn__claim wn__dir_claim(const char *path, int *fd) {
    int opened = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    *fd = -1;
    if (opened < 0) return errno == ENOENT ? WN_CLAIM_BUSY : WN_CLAIM_UNSURE;
    bool locked = flock(opened, LOCK_EX | LOCK_NB) == 0;
    wn__claim claim = locked || errno == EWOULDBLOCK ? WN_CLAIM_BUSY : WN_CLAIM_UNSURE;
    if (locked && wn__names_open_file(path, opened)) {
        *fd = opened;
        return WN_CLAIM_MINE;
    }
    (void)close(opened);
    return claim;
}

// Behind ".tmp-<digits>-<digits>"; NULL: it is not there.
static const char *after_mark(const char *s) {
    static const char mark[] = ".tmp-", digits[] = "0123456789";
    if (strncmp(s, mark, sizeof mark - 1) != 0) return NULL;
    s += sizeof mark - 1;
    size_t pid = strspn(s, digits);
    if (pid == 0 || s[pid] != '-') return NULL;
    s += pid + 1;
    size_t n = strspn(s, digits);
    return n > 0 ? s + n : NULL;
}

size_t wn__temporary_stem(const char *name) {
    const char *mark = strstr(name, ".tmp-"), *end = mark != NULL ? after_mark(mark) : NULL;
    return end != NULL && *end == '\0' ? (size_t)(mark - name) : 0;
}

// A file of a model, or one that was being written under a temporary name.
static bool is_ours(const char *dir, const char *name) {
    char path[WN_PLACE_PATH], whole[WN_PLACE_PATH];
    struct stat st;
    if (wn__path_join(path, sizeof path, dir, name) != WN_OK || lstat(path, &st) != 0) return false;
    size_t stem = wn__temporary_stem(name);
    (void)snprintf(whole, sizeof whole, "%.*s", (int)(stem > 0 ? stem : strlen(name)), name);
    return S_ISREG(st.st_mode) && wn__place_is_of_a_model(whole);
}

// Whether the directory holds nothing but such files; else says what.
static bool all_ours(const char *dir) {
    wn__names names;
    if (wn__dir_list(dir, &names) != WN_OK) {
        wn__log(WN_LOG_WARN, "left alone: %s", wn_last_error());
        return false;
    }
    size_t i = 0;
    while (i < names.count && is_ours(dir, names.name[i]))
        i++;
    bool all = i == names.count;
    if (!all)
        wn__log(WN_LOG_WARN, "%s: left alone, as it holds '%s', which is no part of a pruned model",
                dir, names.name[i]);
    wn__names_free(&names);
    return all;
}

static void remove_leftover(const char *dir, bool replaced, const char *out) {
    int fd;
    struct stat st;
    if (lstat(dir, &st) != 0 || !S_ISDIR(st.st_mode)) return;
    if (replaced && lstat(out, &st) != 0) {
        wn__log(WN_LOG_WARN,
                "%s: left alone: it is what was at %s before a prune that was killed while "
                "replacing it",
                dir, out);
        return;
    }
    wn__claim claim = wn__dir_claim(dir, &fd);
    if (claim == WN_CLAIM_UNSURE)
        wn__log(WN_LOG_WARN,
                "%s: left alone: it cannot be locked, so a prune may still be writing there", dir);
    if (claim != WN_CLAIM_MINE) return;
    if (all_ours(dir)) {
        if (wn__dir_remove(dir) == WN_OK)
            wn__log(WN_LOG_INFO, "removed %s, which a prune that was killed left behind", dir);
        else
            wn__log(WN_LOG_WARN, "left behind by a prune that was killed: %s", wn_last_error());
    }
    (void)close(fd);
}

void wn__leftovers_remove(const char *out) {
    char parent[WN_PLACE_PATH], path[WN_PLACE_PATH];
    const char *slash = strrchr(out, '/'), *base = slash != NULL ? slash + 1 : out;
    size_t n = strlen(base);
    wn__names names;
    (void)snprintf(parent, sizeof parent, "%.*s", slash != NULL ? (int)(slash - out) + 1 : 1,
                   slash != NULL ? out : ".");
    if (wn__dir_list(parent, &names) != WN_OK) return; // it may be writable without being readable
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.name[i], *end = NULL;
        if (strncmp(name, base, n) == 0) end = after_mark(name + n);
        if (end == NULL || (*end != '\0' && strcmp(end, "-old") != 0)) continue;
        if (wn__path_join(path, sizeof path, parent, name) == WN_OK)
            remove_leftover(path, *end != '\0', out);
    }
    wn__names_free(&names);
}
