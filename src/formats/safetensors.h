// SPDX-License-Identifier: MIT
/* safetensors: an 8-byte little-endian header length, a JSON header, then the tensors' bytes.
 *
 * The reader applies every rule of the reference implementation (header size limits, '{' first, no
 * holes, no overlaps, no trailing bytes, checked products) and rejects duplicate names. Offsets are
 * byte offsets from the end of the header. */
#ifndef WN_FORMATS_SAFETENSORS_H
#define WN_FORMATS_SAFETENSORS_H

#include "base/file.h"
#include "winnow/tensor.h"

typedef struct wn__st_entry {
    char *name;
    wn_tensor view; /* packed, data into the map: possibly UNALIGNED; copy with memcpy */
} wn__st_entry;

typedef struct wn__st_meta {
    char *key, *value;
} wn__st_meta;

/* An open file. entries are sorted by name. dtypes this library has no name for are FORMAT errors,
 * except that the sub-byte and F8_E8M0-like ones of the format are UNSUPPORTED (the file is legal).
 */
typedef struct wn__safetensors {
    char *path;
    wn__map map;
    wn__st_entry *entry;
    size_t count;
    wn__st_meta *meta; /* __metadata__, sorted by key */
    size_t meta_count;
    char *text; /* owns the names, keys and values */
} wn__safetensors;

/* Maps and checks path. The views stay valid until close. The size is that at open: truncating the
 * file while it is open makes later reads of the views fault (SIGBUS), as with any map; replace
 * files by rename, never in place. */
WN_NODISCARD wn_status wn__safetensors_open(const char *path, wn__safetensors *out);
/* Checks size bytes in memory (borrowed); for tests and fuzzing. */
WN_NODISCARD wn_status wn__safetensors_parse(const uint8_t *bytes, size_t size, const char *name,
                                             wn__safetensors *out);
void wn__safetensors_close(wn__safetensors *st); /* safe on a zeroed struct */
/* NULL if absent. */
const wn__st_entry *wn__safetensors_find(const wn__safetensors *st, const char *name);
const char *wn__safetensors_meta(const wn__safetensors *st, const char *key);

/* Writing: tensors are ordered by dtype size descending, then name; "format":"pt" is always in
 * __metadata__; the header is padded so that the data starts at a multiple of 8. Strided views are
 * written packed. Names must be unique, non-empty, not "__metadata__". */
typedef struct wn__st_item {
    const char *name;
    wn_tensor view; /* CPU */
    wn_dtype as;    /* dtype on disk: NONE keeps it; F32 may be written as BF16 or F16 (rounded to
                       nearest even) */
    /* Not NULL: view has NULL data (dtype and shape count), and the values are made right before
     * they are written: out receives a view of that dtype and shape, valid until the next call. So
     * merged weights need one block. */
    wn_status (*make)(void *ctx, size_t which, wn_tensor *out);
    void *ctx;
    size_t which;
} wn__st_item;
/* Atomic. crc32 (may be NULL) receives the crc of the whole file, bytes (may be NULL) its size. */
WN_NODISCARD wn_status wn__safetensors_write(const char *path, const wn__st_item *items,
                                             size_t count, const wn__st_meta *meta,
                                             size_t meta_count, uint32_t *crc32, uint64_t *bytes);

#endif
