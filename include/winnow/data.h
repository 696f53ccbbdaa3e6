// SPDX-License-Identifier: MIT
/* Text files to token shards, the documents of JSON-lines corpora, and what a text costs under a
 * simple model.
 *
 * A shard is "X.tokens": a 64-byte header, then ids, little-endian:
 *   0  8 bytes  "WNTOKENS"          8  u32 version 1         12 u32 bytes an id, 2 or 4
 *   16 u64 count of ids             24 u32 vocabulary size   28 u32 crc32 of the ids
 *   32 u64 bytes of the text the ids came from (0: unknown)  40 u64 fingerprint of the tokenizer
 * (0: unknown)   48..63 zero */
#ifndef WINNOW_DATA_H
#define WINNOW_DATA_H

#include "winnow/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wn_shard_info {
    int id_bytes;
    uint64_t count, text_bytes, tokenizer;
    uint32_t vocab_size, crc32;
} wn_shard_info;

/* Encodes a text file into a shard, atomically (u16 when the vocabulary fits). begin/end choose a
 * byte range of the text (end 0: its end). Documents are separated by the tokenizer's end-of-text
 * id only where the text has it. info may be NULL. INVALID: an empty text or range. */
WN_API WN_NODISCARD wn_status wn_tokenize_file(const wn_tokenizer *t, const char *text_path,
                                               uint64_t begin, uint64_t end, const char *shard_path,
                                               wn_shard_info *info);
/* Writes given ids as a shard, atomically. text_bytes and tokenizer 0: unknown. INVALID names an id
 * outside the vocabulary and its position. */
WN_API WN_NODISCARD wn_status wn_shard_write(const char *path, const int32_t *ids, size_t count,
                                             uint32_t vocab_size, uint64_t text_bytes,
                                             uint64_t tokenizer);
/* Reads and checks a header; verify also reads the ids: checksum, every id < vocabulary. FORMAT
 * names the field, the value found and the legal one. */
WN_API WN_NODISCARD wn_status wn_shard_inspect(const char *path, bool verify, wn_shard_info *out);
/* A whole shard's ids (small ones; training maps them), checked; free with wn_tokens_free. */
WN_API WN_NODISCARD wn_status wn_shard_read(const char *path, wn_tokens *out);
/* Identifies a tokenizer by what it does, never 0: 64-bit FNV-1a over the bytes of every id, how
 * those bytes are encoded again, and how a probe text is. */
WN_API uint64_t wn_tokenizer_fingerprint(const wn_tokenizer *t);

/* Documents of JSON-lines files, plain or gzip: one object a line, its member "text" a document. A
 * pattern is a file, a directory (its *.json, *.jsonl, *.json.gz, *.jsonl.gz), or a shell pattern
 * such as "en/c4-train.*.json.gz"; files are read in the order of their names. */

/* Whether a path says it names documents: one of these endings, a directory, or a shell pattern. */
WN_API bool wn_documents_named(const char *path);
typedef struct wn_documents_info {
    uint64_t files, file_bytes;     /* as they are on disk */
    uint64_t fingerprint;           /* of the files' names and sizes, never 0 */
    uint64_t documents, text_bytes; /* 0 unless counted */
} wn_documents_info;
/* count: also reads every document, so it checks the files. INVALID, IO: no file is there; FORMAT
 * names the file and line of what is no document. */
WN_API WN_NODISCARD wn_status wn_documents_inspect(const char *pattern, bool count,
                                                   wn_documents_info *out);
/* The first documents, each followed by a line feed, to learn a tokenizer from: at most max_bytes
 * (0: all), the last document cut between two characters. Malloc'ed, NUL after size bytes. */
WN_API WN_NODISCARD wn_status wn_documents_text(const char *pattern, uint64_t max_bytes, char **out,
                                                size_t *size);

/* Bits per byte of `held` under an interpolated Witten-Bell byte trigram (Witten and Bell 1991) of
 * `train`: orders 2, 1, 0 and the uniform 1/256. The baseline a trained model must beat.
 * INVALID: nothing held out, or more than 4 GiB to learn from. */
WN_API WN_NODISCARD wn_status wn_trigram_bits_per_byte(const char *train, size_t train_size,
                                                       const char *held, size_t held_size,
                                                       double *out);

#ifdef __cplusplus
}
#endif
#endif
