// SPDX-License-Identifier: MIT
/* The documents of a list of JSON-lines files, one after the other.
 *
 * A pattern is a file, a directory (its files named *.json, *.jsonl, *.json.gz, *.jsonl.gz; not
 * those of directories in it, nor hidden ones), or a shell pattern such as
 * "en/c4-train.*.json.gz". Files are read in the order of their names by byte value. What a file
 * has to look like is in formats/jsonl.h. */
#ifndef WN_DATA_DOCUMENTS_H
#define WN_DATA_DOCUMENTS_H

#include "winnow/status.h"
#include <stddef.h>
#include <stdint.h>

typedef struct wn__documents wn__documents;

/* Between two documents: a file, and how many documents of it come before. */
typedef struct wn__place {
    uint64_t file, document;
} wn__place;

/* Lists the files and their sizes; reads nothing of them. INVALID, IO: none is there. */
WN_NODISCARD wn_status wn__documents_open(const char *pattern, wn__documents **out);
void wn__documents_close(wn__documents *d); /* NULL is fine */
/* The next document, borrowed until the next call; *text NULL after the last one of the last file.
 * FORMAT, IO name the file and the line. After a failure, seek or close. */
WN_NODISCARD wn_status wn__documents_next(wn__documents *d, const char **text, size_t *size);
/* Where the next document is. */
wn__place wn__documents_tell(const wn__documents *d);
/* Passes over at.document documents from the beginning of at.file, into the files after it if that
 * has fewer. INVALID: there are not so many files or documents. */
WN_NODISCARD wn_status wn__documents_seek(wn__documents *d, wn__place at);

const char *wn__documents_pattern(const wn__documents *d);
size_t wn__documents_files(const wn__documents *d);
uint64_t wn__documents_bytes(const wn__documents *d); /* of the files, as they are on disk */
/* Identifies the list, never 0: 64-bit FNV-1a over each file's name without directories, and size.
 */
uint64_t wn__documents_fingerprint(const wn__documents *d);
/* The same but for the size of one file: what stays when that file is mended. */
uint64_t wn__documents_fingerprint_but(const wn__documents *d, uint64_t file);

#endif
