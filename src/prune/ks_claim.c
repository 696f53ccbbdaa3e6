// SPDX-License-Identifier: MIT
// One fit at a time writes the files of a prefix. A lock says so, on a file beside them that goes
// with the fit; one that was killed leaves it unlocked, and files half written, for the next.
#include "base/fail.h"
#include "base/file.h"
#include "base/log.h"
#include "prune/ks.h"
#include "prune/leftover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { TRIES = 8, PATH = 1024 };

// A '#' stands for digits.
static bool matches(const char *pattern, const char *text) {
    for (; *pattern != 0; pattern++) {
        size_t n = *pattern == '#' ? strspn(text, "0123456789") : *text == *pattern;
        if (n == 0) return false;
        text += n;
    }
    return *text == 0;
}

// What a fit writes behind its prefix, and no fit of a longer one.
static bool is_tail(const char *tail) {
    static const char *const known[] = {"_best.pth",
                                        "_final.pth",
                                        "_epoch_#.pth",
                                        "_training_log.json",
                                        "_rank_#_loss_curves.json",
                                        "_rank_#_loss_curves.csv"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (matches(known[i], tail)) return true;
    return false;
}

static void remove_leftovers(const char *dir, const char *prefix) {
    size_t n = strlen(prefix);
    wn__names names;
    if (wn__dir_list(dir, &names) != WN_OK) return; // it may be writable without being readable
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.name[i];
        size_t stem = wn__temporary_stem(name);
        char tail[256], path[PATH];
        if (stem <= n || strncmp(name, prefix, n) != 0) continue;
        (void)snprintf(tail, sizeof tail, "%.*s", (int)(stem - n), name + n);
        if (!is_tail(tail) || wn__path_join(path, sizeof path, dir, name) != WN_OK) continue;
        if (unlink(path) == 0)
            wn__log(WN_LOG_INFO, "removed %s, which a fit that was killed left behind", path);
    }
    wn__names_free(&names);
}

// What another user left can be locked without being written.
static int open_lock(const char *path) {
    static const int common = O_NOFOLLOW | O_CLOEXEC;
    int fd = open(path, O_RDWR | O_CREAT | common, 0666);
    if (fd >= 0 || errno != EACCES) return fd;
    fd = open(path, O_RDONLY | common);
    if (fd < 0 && errno == ENOENT) errno = EACCES; // none there, and none may be made
    return fd;
}

// The file may be removed by the fit before between opening and locking it: then again. *out stays
// as it is where there are no locks.
static wn_status lock(const char *path, int *out) {
    for (int i = 0; i < TRIES; i++) {
        int fd = open_lock(path);
        if (fd < 0) return wn__fail_errno("%s: cannot open the lock of this prefix", path);
        bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
        int why = locked ? 0 : errno;
        if (locked && wn__names_open_file(path, fd)) {
            *out = fd;
            return WN_OK;
        }
        (void)close(fd);
        if (why == EWOULDBLOCK) break;
        if (locked) continue;
        wn__log(WN_LOG_WARN, "%s: no lock (%s): nothing keeps other fits from files of this prefix",
                path, strerror(why));
        return WN_OK;
    }
    return wn__fail(WN_INVALID,
                    "%s: another fit is writing files of this prefix; --save-prefix or "
                    "--output-dir can name others",
                    path);
}

wn_status wn__ks_claim(wn__ks *k) {
    char path[PATH];
    WN_TRY(wn__ks_path(k, ".lock", path, sizeof path));
    WN_TRY(lock(path, &k->lock));
    // without a lock they may be another fit's that is still writing
    if (k->lock >= 0) remove_leftovers(wn__ks_dir(k), wn__ks_prefix(k));
    return WN_OK;
}

void wn__ks_unclaim(wn__ks *k) {
    char path[PATH];
    if (k->lock < 0) return;
    if (wn__ks_path(k, ".lock", path, sizeof path) == WN_OK) (void)unlink(path);
    (void)close(k->lock);
    k->lock = -1;
}
