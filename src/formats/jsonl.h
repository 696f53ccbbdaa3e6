// SPDX-License-Identifier: MIT
/* Documents of a JSON-lines file, plain or gzip: one object a line, its member "text" the document.
 *
 * Lines end in LF or CR LF, the last one may lack it. Lines of white space are passed over and are
 * not counted as documents. Memory: up to twice the longest line seen, its parsed form, and 512
 * KiB. */
#ifndef WN_FORMATS_JSONL_H
#define WN_FORMATS_JSONL_H

#include "winnow/status.h"
#include <stddef.h>
#include <stdint.h>

#define WN_JSONL_LINE_MAX ((size_t)64 << 20) /* bytes of a line, without its end */

typedef struct wn__jsonl wn__jsonl;

WN_NODISCARD wn_status wn__jsonl_open(const char *path, wn__jsonl **out);
void wn__jsonl_close(wn__jsonl *r); /* NULL is fine */
/* The next document, UTF-8 (it may hold NUL bytes), a NUL after it, until the next call; *text NULL
 * at the end. FORMAT names the file and the line that is too long, no JSON object, or without a
 * string "text", or the byte where a compressed file is damaged. After a failure only close. */
WN_NODISCARD wn_status wn__jsonl_next(wn__jsonl *r, const char **text, size_t *size);
/* Passes over n documents without looking into them; *skipped < n at the end. */
WN_NODISCARD wn_status wn__jsonl_skip(wn__jsonl *r, uint64_t n, uint64_t *skipped);
/* Of the line read last, from 1. */
uint64_t wn__jsonl_line(const wn__jsonl *r);

#endif
