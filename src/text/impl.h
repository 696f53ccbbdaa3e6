// SPDX-License-Identifier: MIT
/* Inside a tokenizer: the vocabulary, and the way from text to ids (added tokens, normalization,
 * cuts, merges). */
#ifndef WN_TEXT_IMPL_H
#define WN_TEXT_IMPL_H

#include "base/json.h"
#include "text/added.h"
#include "text/bpe.h"
#include "text/normalize.h"
#include "text/pattern.h"
#include "winnow/tokenizer.h"

/* Ids are below this; a vocabulary is an array. */
#define WN_MAX_IDS     ((int64_t)1 << 21)
#define WN_MAX_STEPS   16
#define WN_END_OF_TEXT "<|endoftext|>"
#define WN_GPT2_PATTERN                                                                            \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

typedef enum wn__token_flag {
    WN_TOKEN_PRESENT = 1, /* ids without it are holes */
    WN_TOKEN_ADDED = 2,
    WN_TOKEN_SPECIAL = 4
} wn__token_flag;

typedef struct wn__token {
    uint32_t name;         /* number of its text in wn__vocab.names */
    uint32_t offset, size; /* of its bytes in wn__vocab.bytes */
    uint32_t flags;
} wn__token;

typedef struct wn__vocab {
    wn__intern names; /* texts as in the file; values are ids */
    wn__bytes bytes;  /* what the ids decode to */
    wn__token *token; /* [count], by id */
    size_t count, capacity;
} wn__vocab;

/* Adds a token. Its bytes are what a byte-level spelling stands for; those of an added token, or of
 * one that is not spelled so, are its text. A text that is there with this id stays, and takes the
 * flags. FORMAT, with file before the message: the id is outside 0..WN_MAX_IDS-1 or taken, or the
 * text has another id. */
WN_NODISCARD wn_status wn__vocab_add(wn__vocab *v, const char *file, const char *text, size_t n,
                                     int64_t id, uint32_t flags);
/* -1 if absent. */
int32_t wn__vocab_find(const wn__vocab *v, const char *text, size_t n);
void wn__vocab_free(wn__vocab *v);

/* How a piece is cut further: a space put before it unless it begins with one, or a pattern. */
typedef struct wn__step {
    wn__pattern *pattern; /* NULL: the space */
} wn__step;

struct wn_tokenizer {
    wn__vocab vocab;
    wn__bpe bpe;
    wn__form form;
    wn__step step[WN_MAX_STEPS];
    size_t steps;
    wn__added_set raw;        /* added tokens found in the text as it is */
    wn__added_set normalized; /* and those found after normalization */
    int32_t bos, eos;
    bool adds_bos;
    const char *kind;
    wn_pretokenizer trained; /* which pre-tokenizer to write, where there is no source */
    bool has_pretokenizer;
    struct wn__merge {
        int32_t left, right;
    } * merge;             /* [bpe.merges], kept of trained ones, for writing */
    char *source, *config; /* the files it came from, written again as they were; NULL: none */
    size_t source_size, config_size;
};

/* "gpt2", "llama3", "qwen2" and their patterns. */
const char *wn__pretokenizer_pattern(wn_pretokenizer kind);
/* The kind text for a pattern, "byte-level BPE" for one that has no name. */
const char *wn__pattern_kind(const char *regex, size_t n);
/* Appends a step; takes the pattern. UNSUPPORTED: too many. */
WN_NODISCARD wn_status wn__tokenizer_add_step(wn_tokenizer *t, const char *file,
                                              wn__pattern *pattern);

/* Adds an added token to the vocabulary and to the matchers. */
WN_NODISCARD wn_status wn__tokenizer_add_token(wn_tokenizer *t, const char *file, const char *text,
                                               wn__added_token token, bool normalized);
/* Takes from the vocabulary the ids of the 256 bytes and, for ignore_merges, of whole pieces.
 * Before any token is added. */
WN_NODISCARD wn_status wn__tokenizer_index(wn_tokenizer *t);
/* Sorts the matchers, names the kind, fills the eos that the file leaves open. */
WN_NODISCARD wn_status wn__tokenizer_finish(wn_tokenizer *t, const char *file);
/* A tokenizer whose ids 0..255 are the bytes. */
WN_NODISCARD wn_status wn__tokenizer_new_bytes(wn_tokenizer **out);

/* tokenizer.json's members normalizer, pre_tokenizer, post_processor and decoder. */
WN_NODISCARD wn_status wn__read_pipeline(wn_tokenizer *t, const char *file, const wn__json *root);
/* post_processor; after the vocabulary is there. */
WN_NODISCARD wn_status wn__read_post_processor(wn_tokenizer *t, const char *file,
                                               const wn__json *j);

#endif
