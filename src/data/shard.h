// SPDX-License-Identifier: MIT
/* Token shards: checked on opening, mapped, read as spans. The format is in winnow/data.h. */
#ifndef WN_DATA_SHARD_H
#define WN_DATA_SHARD_H

#include "base/file.h"
#include "data/ids.h"
#include "winnow/data.h"

#define WN_SHARD_HEADER 64

typedef struct wn__shard {
    char *path;
    wn__map map;
    wn_shard_info info;
    wn__ids ids; /* the whole shard, into map */
} wn__shard;

/* Maps path and checks its header against its size; verify also checks every id and the checksum.
 * FORMAT names the file, the field, the value found and the legal one. */
WN_NODISCARD wn_status wn__shard_open(const char *path, bool verify, wn__shard *out);
void wn__shard_close(wn__shard *s); /* safe on a zeroed struct */

/* Whether the path says it is a shard: it ends in ".tokens". */
bool wn__shard_named(const char *path);
/* Moves a byte position forward to the start of a UTF-8 character (at most three bytes; text that
 * is not UTF-8 stays put). */
size_t wn__text_boundary(const uint8_t *text, size_t size, size_t position);

#endif
