// SPDX-License-Identifier: MIT
/* What file.c, writer.c and gzip.c share: opening regular files, temporary names, making renames
 * durable. */
#ifndef WN_BASE_FILE_SYNC_H
#define WN_BASE_FILE_SYNC_H

#include "winnow/status.h"
#include <stdint.h>

/* Opens a regular file for reading; its size now. A FIFO does not block, it is refused (IO). *fd is
 * -1 on failure. */
WN_NODISCARD wn_status wn__regular_open(const char *path, int *fd, uint64_t *size);

#define WN_TEMPORARY_TRIES 10000

/* "<path>.tmp-<pid>-<n>", malloc'ed; NULL when out of memory. */
char *wn__temporary_name(const char *path, int n);
/* fsync of a directory; file systems that cannot are taken as durable. */
WN_NODISCARD wn_status wn__dir_sync(const char *path);
/* fsync of the directory that holds path. */
WN_NODISCARD wn_status wn__parent_sync(const char *path);

#endif
