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
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { TRIES = 8, PATH = 1024 };

// What a fit writes behind its prefix.
static bool is_tail(const char *tail) {
    static const char *const known[] = {"_best.pth",
                                        "_final.pth",
                                        "_epoch_[0-9]*.pth",
                                        "_training_log.json",
                                        "_rank_[0-9]*_loss_curves.json",
                                        "_rank_[0-9]*_loss_curves.csv"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (fnmatch(known[i], tail, 0) == 0) return true;
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

// The file may be removed by the fit before between opening and locking it: then again.
static wn_status lock(const char *path, int *out) {
    for (int i = 0; i < TRIES; i++) {
        int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0) return wn__fail_errno("%s: cannot open", path);
        bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0, busy = !locked && errno == EWOULDBLOCK;
        if (!busy && wn__names_open_file(path, fd)) { // file systems without locks do without
            *out = fd;
            return WN_OK;
        }
        (void)close(fd);
        if (busy) break;
    }
    return wn__fail(WN_INVALID,
                    "%s: another fit is writing files of this prefix; --save-prefix or "
                    "--output-dir can name others",
                    path);
}

wn_status wn__ks_claim(wn__ks *k) {
    char path[PATH];
    const char *dir = k->o->output_dir != NULL ? k->o->output_dir : "./trained_models";
    WN_TRY(wn__ks_path(k, ".lock", path, sizeof path));
    WN_TRY(lock(path, &k->lock));
    remove_leftovers(dir, k->o->prefix != NULL ? k->o->prefix : "ks_chain");
    return WN_OK;
}

void wn__ks_unclaim(wn__ks *k) {
    char path[PATH];
    if (k->lock < 0) return;
    if (wn__ks_path(k, ".lock", path, sizeof path) == WN_OK) (void)unlink(path);
    (void)close(k->lock);
    k->lock = -1;
}
