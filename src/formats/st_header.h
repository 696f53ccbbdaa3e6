// SPDX-License-Identifier: MIT
/* The JSON header of a safetensors file, read by a parser that knows only this one schema.
 *
 * It builds no tree, never recurses and allocates no more than a small multiple of the header, so a
 * hostile header of the largest legal size costs no more than an honest one. */
#ifndef WN_FORMATS_ST_HEADER_H
#define WN_FORMATS_ST_HEADER_H

#include "formats/safetensors.h"

/* The most bytes of JSON a file may have. */
#define WN_ST_HEADER_MAX ((uint64_t)100000000)
/* The most bytes of a tensor name that a message shows. */
#define WN_ST_SHOWN 96

/* Byte offsets of entry[entry] from the end of the header. */
typedef struct wn__st_span {
    uint64_t begin, end;
    size_t entry;
} wn__st_span;

/* In file order. entry[i].view has dtype, shape and strides, but no data yet; its size is checked
 * against nothing but overflow. text owns every string. */
typedef struct wn__st_header {
    char *text;
    wn__st_entry *entry;
    wn__st_span *span;
    size_t count, capacity;
    wn__st_meta *meta;
    size_t meta_count, meta_capacity;
} wn__st_header;

/* FORMAT: name, byte offset (in the file, where the JSON begins at 8) and what was found.
 * UNSUPPORTED: a dtype of the format this library has no type for, or too many dimensions. */
WN_NODISCARD wn_status wn__st_header_parse(const uint8_t *json, size_t size, const char *name,
                                           wn__st_header *out);
void wn__st_header_free(wn__st_header *h); /* safe on a zeroed struct */

/* Whether items can be written: names, views, conversions, uniqueness. *order (malloc'ed, count
 * indices) puts them in the order of the file. INVALID names the tensor. */
WN_NODISCARD wn_status wn__st_items_check(const wn__st_item *items, size_t count, size_t **order);
/* The dtype of an item on disk. */
static inline wn_dtype wn__st_item_dtype(const wn__st_item *item) {
    return item->as != WN_DTYPE_NONE ? item->as : item->view.dtype;
}

#endif
