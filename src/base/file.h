// SPDX-License-Identifier: MIT
/* Files: whole reads, read-only maps, and writes that are all or nothing. */
#ifndef WN_BASE_FILE_H
#define WN_BASE_FILE_H

#include "winnow/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A read-only map of a whole regular file, which must not shrink while mapped. An empty file has
 * data NULL and size 0. */
typedef struct wn__map {
    const uint8_t *data;
    size_t size;
} wn__map;
WN_NODISCARD wn_status wn__map_open(const char *path, wn__map *out);
void wn__map_close(wn__map *map); /* safe on a zeroed struct */
/* Gives back the memory of n bytes of a map, which were read and are not needed soon: they come
 * from the file again when they are. */
void wn__map_forget(const void *begin, size_t n);

/* Reads a regular file of at most limit bytes (0: no limit); *out is malloc'ed with a NUL after its
 * size bytes. */
WN_NODISCARD wn_status wn__file_read(const char *path, size_t limit, char **out, size_t *size);
bool wn__file_exists(const char *path);
bool wn__dir_exists(const char *path);
WN_NODISCARD wn_status wn__file_size(const char *path, uint64_t *out);

/* A file written under a temporary name beside `path` and renamed over it by commit (fsync of the
 * file, rename, fsync of the directory). Until then `path` is untouched. Writes are buffered; a
 * full disk is an error by commit at the latest. */
typedef struct wn__writer wn__writer;
WN_NODISCARD wn_status wn__writer_open(const char *path, wn__writer **out);
WN_NODISCARD wn_status wn__writer_write(wn__writer *w, const void *bytes, size_t n);
WN_NODISCARD wn_status wn__writer_printf(wn__writer *w, const char *fmt, ...) WN_PRINTF(2, 3);
/* crc32 (zlib's) of all that was written so far. */
uint32_t wn__writer_crc32(const wn__writer *w);
uint64_t wn__writer_bytes(const wn__writer *w);
/* Frees w, whatever comes back. */
WN_NODISCARD wn_status wn__writer_commit(wn__writer *w);
/* Removes the temporary file and frees w; NULL is fine. */
void wn__writer_abort(wn__writer *w);
/* Open, write, commit. */
WN_NODISCARD wn_status wn__file_write(const char *path, const void *bytes, size_t n);

/* mkdir -p. */
WN_NODISCARD wn_status wn__dir_make(const char *path);
/* rm -r of a tree; a missing path is fine. Does not follow symbolic links. */
WN_NODISCARD wn_status wn__dir_remove(const char *path);
/* fsync of every regular file in `from` (one level) and of the directory, rename to `to` (which
 * must not exist), fsync of the parent. */
WN_NODISCARD wn_status wn__dir_publish(const char *from, const char *to);
/* Replaces the symbolic link `link` by one to `target`, atomically. */
WN_NODISCARD wn_status wn__link_replace(const char *target, const char *link);
/* Names in a directory, sorted by byte value, without . and ..; free with wn__names_free. */
typedef struct wn__names {
    char **name;
    size_t count;
} wn__names;
WN_NODISCARD wn_status wn__dir_list(const char *path, wn__names *out);
void wn__names_free(wn__names *names);
/* Paths of the regular files that a shell pattern (*, ?, [...], as glob(3) has them) matches,
 * sorted by byte value; count 0: none. IO: a directory on the way cannot be read. */
WN_NODISCARD wn_status wn__glob(const char *pattern, wn__names *out);

/* "dir/name" into out[n]; INVALID if it does not fit. */
WN_NODISCARD wn_status wn__path_join(char *out, size_t n, const char *dir, const char *name);

/* zlib's crc32, continued from `crc` (0 to start). */
uint32_t wn__crc32(uint32_t crc, const void *bytes, size_t n);

#endif
