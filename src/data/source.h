// SPDX-License-Identifier: MIT
/* What a trainer draws batches from: windows of a span of token ids, or documents of JSON-lines
 * files that are tokenised as they are read. One interface, an exact place to resume from.
 *
 * A sample is seq_len tokens and seq_len targets; a target < 0 is no label. Samples come in epochs;
 * a source has no last one. What comes is a function of the data, the options, and the state, so a
 * source that was sought to a state gives the samples that followed it, in any process. */
#ifndef WN_DATA_SOURCE_H
#define WN_DATA_SOURCE_H

#include "data/ids.h"
#include "winnow/tokenizer.h"
#include <stdbool.h>

typedef struct wn__source wn__source;

/* What a checkpoint keeps; zeros are the beginning. position counts the samples drawn in this
 * epoch. extra says where in the files that is (zeros where it is not needed):
 *   0  documents of the epoch before the next one     1  file that the block in memory begins in
 *   2  documents of that file before the block
 *   3  packed: low half, ids of that document already used; high half, the first id of the next
 *      window plus 1, 0 for none */
typedef struct wn__source_state {
    uint64_t epoch, position;
    uint64_t extra[4];
} wn__source_state;

/* Windows of seq_len+1 ids, as data/loader.h has them. The ids and their name are borrowed. */
WN_NODISCARD wn_status wn__source_windows(const wn__ids *ids, int64_t seq_len, bool shuffle,
                                          uint64_t seed, wn__source **out);

#define WN_SOURCE_BLOCK 8192

typedef struct wn__documents_options {
    const char *pattern;           /* as data/documents.h has it */
    const wn_tokenizer *tokenizer; /* borrowed while the source lives */
    int64_t seq_len;
    int32_t pad;     /* id that fills a short sample: the tokenizer's, or 0 */
    bool append_eos; /* every document ends in the tokenizer's end-of-text token */
    bool pack;
    bool shuffle;
    uint64_t seed;
    uint64_t block; /* documents shuffled together; 0: WN_SOURCE_BLOCK */
} wn__documents_options;

/* Documents are encoded with the beginning-of-text token where the tokenizer has it so; special
 * tokens found in the text become their ids; with append_eos one end-of-text token is last, without
 * it none is added, whatever the tokenizer's post-processor does.
 *
 * Not packed: one document, one sample. More than seq_len ids are cut to seq_len, the end-of-text
 * token staying the last (what Hugging Face's truncation does); fewer are filled with pad. Targets
 * are the ids one later; the last id has none, nor has the filling, nor a pad token in the text
 * where pad is a special token. So a sample has at most seq_len - 1 labels, and none if its
 * document has fewer than two ids.
 * Packed: the ids of all documents one after the other, in windows of seq_len+1 at a stride of
 * seq_len: every id is a target once, but for the first of an epoch and what does not fill a window
 * at its end.
 *
 * Shuffled: blocks of consecutive documents, the last one of an epoch shorter, each in an order of
 * its own drawn from (seed, epoch, block number). The ids of one block are in memory, cut already:
 * block * (4 * min(seq_len, ids of a document) + 16) bytes, so 8.1 MiB at most for seq_len 256
 * (reserved: up to twice that); packed documents are not cut. A block is tokenised when it begins.
 * Not shuffled, one document is in memory. Seeking passes over the lines of one file without
 * parsing them, then tokenises the block again.
 *
 * INVALID: no files, or an option out of range, with the nearest that is not. IO, FORMAT: a file
 * cannot be read. */
WN_NODISCARD wn_status wn__source_documents(const wn__documents_options *o, wn__source **out);
/* The id that fills a short sample: the tokenizer's, or 0. */
int32_t wn__source_padding(const wn_tokenizer *t);
void wn__source_free(wn__source *s); /* NULL is fine */

/* The next rows samples: tokens[rows, seq_len] and targets[rows, seq_len]; labels (may be NULL):
 * how many targets are >= 0. Goes on into the next epoch. FORMAT, IO: the file and line; INVALID:
 * an epoch without a sample. After a failure, seek or free. */
WN_NODISCARD wn_status wn__source_next(wn__source *s, int64_t rows, int32_t *tokens,
                                       int32_t *targets, int64_t *labels);
/* The same, up to the end of the epoch: *got < rows there, 0 when nothing is left, and rows from
 * *got on are untouched. */
WN_NODISCARD wn_status wn__source_rest(wn__source *s, int64_t rows, int32_t *tokens,
                                       int32_t *targets, int64_t *labels, int64_t *got);
void wn__source_tell(const wn__source *s, wn__source_state *out);
/* To a state that tell gave, of a source of the same data and options. Of documents that are not
 * packed, epoch and position are enough (extra zeros: slower, all lines before are passed over).
 * INVALID: no such place; then seek again or free. */
WN_NODISCARD wn_status wn__source_seek(wn__source *s, const wn__source_state *state);
int64_t wn__source_seq_len(const wn__source *s);
/* Whether special tokens in the samples are put there and are no text, as those of documents. */
bool wn__source_adds_special(const wn__source *s);
/* Of what the samples come from, never 0: of documents, the names (without their directories) and
 * sizes of the files in order; of windows, the count and width of the ids. */
uint64_t wn__source_fingerprint(const wn__source *s);
/* Of documents, the number of the file that is being read, after a failure the one that failed; and
 * the fingerprint without the size of a file, so that one which is mended is known again. Of
 * windows 0 and the fingerprint. */
uint64_t wn__source_file(const wn__source *s);
uint64_t wn__source_fingerprint_but(const wn__source *s, uint64_t file);
/* "c4/en: 12 files, 3820.5 MiB, documents, one a sample, shuffled in blocks of 8192"; one line,
 * lives as long as the source. */
const char *wn__source_describe(const wn__source *s);

#endif
