// SPDX-License-Identifier: MIT
/* Reading a file that may be gzip-compressed (RFC 1952), front to back, in constant memory. */
#ifndef WN_BASE_GZIP_H
#define WN_BASE_GZIP_H

#include "winnow/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct wn__gzip wn__gzip;

/* What begins with the bytes 1f 8b is decompressed, every member of it, each against its checksum
 * and length; zeros after the last one are fine. Anything else is read as it is, unless its name
 * ends in ".gz": FORMAT. */
WN_NODISCARD wn_status wn__gzip_open(const char *path, wn__gzip **out);
void wn__gzip_close(wn__gzip *g); /* NULL is fine */
/* The next n bytes of content, *got < n only at the end. FORMAT names the file and the byte of it
 * where it is damaged or where it ends too early; a reader that failed once keeps failing. */
WN_NODISCARD wn_status wn__gzip_read(wn__gzip *g, void *out, size_t n, size_t *got);
bool wn__gzip_compressed(const wn__gzip *g);

#endif
