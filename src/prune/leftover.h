// SPDX-License-Identifier: MIT
/* Directories of a prune that is still writing, and of one that was killed: told apart by a lock,
 * which goes with the process. */
#ifndef WN_PRUNE_LEFTOVER_H
#define WN_PRUNE_LEFTOVER_H

#include <stdbool.h>
#include <stddef.h>

typedef enum wn__claim {
    WN_CLAIM_MINE,  /* *fd holds the lock until it is closed */
    WN_CLAIM_BUSY,  /* another process holds it, or has just moved or removed the directory */
    WN_CLAIM_UNSURE /* it cannot be locked here */
} wn__claim;
/* Locks the directory at path, not through a link; *fd is -1 unless it is MINE. */
wn__claim wn__dir_claim(const char *path, int *fd);

/* Whether path is still the file that fd has open. */
bool wn__names_open_file(const char *path, int fd);
/* Characters of name before ".tmp-<pid>-<n>" at its end, as files have that are being written; 0:
 * it is no such name. */
size_t wn__temporary_stem(const char *name);

/* Removes what killed prunes to `out` left beside it: directories named "<out>.tmp-<pid>-<n>" that
 * hold nothing but files a prune writes, and "-old" after that name, what --force was replacing,
 * once there is an `out` again. Never one that a process holds. Says in the log what it removed and
 * what it left alone for which reason; nothing of it is an error. */
void wn__leftovers_remove(const char *out);

#endif
