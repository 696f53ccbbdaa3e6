// SPDX-License-Identifier: MIT
/* Decoders: the texts of ids to one text. */
#ifndef WN_TEXT_DECODE_H
#define WN_TEXT_DECODE_H

#include "text/replace.h"
#include "text/step.h"

#define WN_MAX_DECODES 16

typedef enum wn__decode_kind {
    WN_DECODE_METASPACE, /* marks become spaces, but those of the first text go */
    WN_DECODE_REPLACE,
    WN_DECODE_BYTE_FALLBACK, /* runs of <0xHH> become UTF-8, or a U+FFFD each if they are none */
    WN_DECODE_FUSE,          /* all texts become one */
    WN_DECODE_STRIP          /* of each text, some characters at its ends */
} wn__decode_kind;

typedef struct wn__decode {
    wn__decode_kind kind;
    wn__metaspace meta;
    wn__replace replace;
    char strip[4]; /* the character that is stripped */
    size_t strip_size, start, stop;
} wn__decode;

typedef struct wn__decoder {
    bool byte_level; /* texts are byte-level spellings; there are no steps then */
    bool spaced;     /* no decoder: texts are joined by spaces */
    wn__decode step[WN_MAX_DECODES];
    size_t steps;
} wn__decoder;
void wn__decoder_free(wn__decoder *d);

/* Texts one after another. A zeroed struct is empty. */
typedef struct wn__texts {
    wn__bytes bytes;
    size_t *end; /* [count] where each ends */
    size_t count, capacity;
} wn__texts;
void wn__texts_free(wn__texts *t);
/* Ends the text that was appended to bytes. */
WN_NODISCARD wn_status wn__texts_end(wn__texts *t);

/* What the texts make together, in texts->bytes. Not for byte_level. */
WN_NODISCARD wn_status wn__decoder_run(const wn__decoder *d, wn__texts *texts);
/* Appends what one text adds in the middle of others: nothing is stripped from the whole, and
 * <0xHH> is its byte. */
WN_NODISCARD wn_status wn__decoder_piece(const wn__decoder *d, wn__matcher **matcher,
                                         const char *text, size_t n, wn__bytes *out);

#endif
