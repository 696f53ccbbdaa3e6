// SPDX-License-Identifier: MIT
/* Zip archives whose entries are stored, not compressed: what torch.save writes. Sizes and places
 * come from the central directory, Zip64 or not; local headers are looked at only for where the
 * data begin. Nothing is extracted and no memory but a list of entries is taken. */
#ifndef WN_FORMATS_ZIP_H
#define WN_FORMATS_ZIP_H

#include "winnow/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct wn__zip_entry {
    const char *name; /* not terminated */
    size_t name_size;
    uint64_t local, size, packed; /* local header; bytes of content, and as they are stored */
    uint32_t crc;
    uint16_t method, flags;
} wn__zip_entry;

typedef struct wn__zip {
    const uint8_t *bytes; /* borrowed */
    size_t size;
    const char *path;     /* borrowed; for messages */
    wn__zip_entry *entry; /* sorted by name */
    size_t count;
    uint64_t directory; /* where the central directory begins: all data lie before it */
} wn__zip;

/* Whether the bytes begin as a zip archive does. */
bool wn__zip_begins(const uint8_t *bytes, size_t size);
/* FORMAT: path, and what is wrong where; two entries of one name, names with a ".." part or a
 * leading '/'. NOMEM. */
WN_NODISCARD wn_status wn__zip_open(const uint8_t *bytes, size_t size, const char *path,
                                    wn__zip *out);
void wn__zip_close(wn__zip *z); /* safe on a zeroed struct */
/* NULL: none of that name. */
const wn__zip_entry *wn__zip_find(const wn__zip *z, const char *name, size_t n);
/* The content of an entry, inside z->bytes. UNSUPPORTED: compressed or encrypted. FORMAT: outside
 * the file; `check`: not what its CRC says (a CRC of 0 stands for none). */
WN_NODISCARD wn_status wn__zip_data(const wn__zip *z, const wn__zip_entry *e, bool check,
                                    const uint8_t **out);

#endif
