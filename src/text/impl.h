// SPDX-License-Identifier: MIT
/* Inside a tokenizer: the vocabulary, and the way from text to ids (added tokens, normalization,
 * cuts, merges). */
#ifndef WN_TEXT_IMPL_H
#define WN_TEXT_IMPL_H

#include "base/json.h"
#include "text/added.h"
#include "text/bpe.h"
#include "text/decode.h"
#include "text/rewrite.h"
#include "text/step.h"
#include "text/unigram.h"
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
    uint32_t shown;        /* number + 1 in wn__vocab.shown of what is decoded; 0: its name */
    uint32_t offset, size; /* of its bytes in wn__vocab.bytes */
    uint32_t flags;
} wn__token;

typedef struct wn__vocab {
    wn__intern names; /* texts as in the file; values are ids */
    wn__intern shown; /* texts of added tokens that normalization changes */
    wn__bytes bytes;  /* what the ids stand for in the middle of a text */
    wn__token *token; /* [count], by id */
    size_t count, capacity;
} wn__vocab;

/* Adds a token. A text that is there with this id stays, and takes the flags. FORMAT, with file
 * before the message: the id is outside 0..WN_MAX_IDS-1 or taken, or the text has another id. */
WN_NODISCARD wn_status wn__vocab_add(wn__vocab *v, const char *file, const char *text, size_t n,
                                     int64_t id, uint32_t flags);
/* Gives a text that is there the next free id besides; the text stands for that one from now on. */
WN_NODISCARD wn_status wn__vocab_repeat(wn__vocab *v, const char *text, size_t n, int64_t id);
/* Gives all tokens their bytes: those that a byte-level spelling stands for (those of an added
 * token, or of one that is not spelled so, are its text), or what the decoder makes of the text. */
WN_NODISCARD wn_status wn__vocab_spell(wn__vocab *v, const wn__decoder *decoder);
/* The text that decoding begins with. */
const char *wn__vocab_text(const wn__vocab *v, const wn__token *token, size_t *n);
/* -1 if absent. */
int32_t wn__vocab_find(const wn__vocab *v, const char *text, size_t n);
void wn__vocab_free(wn__vocab *v);

typedef enum wn__model { WN_MODEL_BPE, WN_MODEL_UNIGRAM } wn__model;

struct wn_tokenizer {
    wn__vocab vocab;
    wn__model model;
    wn__bpe bpe;
    wn__unigram unigram;
    double *score;   /* of unigram pieces, by id */
    bool byte_level; /* pieces of text reach the model as bytes, else as characters */
    wn__rewrite rewrite[WN_MAX_STEPS];
    size_t rewrites;
    wn__step step[WN_MAX_STEPS];
    size_t steps;
    wn__decoder decoder;
    wn__added_set raw;        /* added tokens found in the text as it is */
    wn__added_set normalized; /* and those found after normalization */
    int32_t bos, eos;
    bool adds_bos, adds_eos;
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
/* Appends a step; takes its pattern. UNSUPPORTED: too many. */
WN_NODISCARD wn_status wn__tokenizer_add_step(wn_tokenizer *t, const char *file, wn__step step);

/* Adds an added token to the vocabulary and to the matchers. */
WN_NODISCARD wn_status wn__tokenizer_add_token(wn_tokenizer *t, const char *file, const char *text,
                                               wn__added_token token, bool normalized);
/* Takes from the vocabulary the ids of bytes or characters and, for ignore_merges, of whole pieces.
 * Before any token is added. */
WN_NODISCARD wn_status wn__tokenizer_index(wn_tokenizer *t);
/* Sorts the matchers, gives tokens their bytes, names the kind, fills the eos that the file leaves
 * open. */
WN_NODISCARD wn_status wn__tokenizer_finish(wn_tokenizer *t, const char *file);
/* A tokenizer whose ids 0..255 are the bytes. */
WN_NODISCARD wn_status wn__tokenizer_new_bytes(wn_tokenizer **out);

/* tokenizer.json's members. Each reads one; j NULL or null is one that is not there. The vocabulary
 * is read after the pre-tokenizer, the post-processor after all tokens. */
WN_NODISCARD wn_status wn__read_normalizer(wn_tokenizer *t, const char *file, const wn__json *j);
WN_NODISCARD wn_status wn__read_pre_tokenizer(wn_tokenizer *t, const char *file, const wn__json *j);
WN_NODISCARD wn_status wn__read_decoder(wn_tokenizer *t, const char *file, const wn__json *j);
WN_NODISCARD wn_status wn__read_post_processor(wn_tokenizer *t, const char *file,
                                               const wn__json *j);
WN_NODISCARD wn_status wn__read_model(wn_tokenizer *t, const char *file, const wn__json *j,
                                      uint64_t seed);

/* Words that the readers share: member is what stands in messages. */
bool wn__read_is_null(const wn__json *j);
WN_NODISCARD wn_status wn__read_type(const char *file, const char *member, const wn__json *j,
                                     const char **out);
wn_status wn__read_refuse(const char *file, const char *member, const char *type,
                          const char *known); /* UNSUPPORTED */
WN_NODISCARD wn_status wn__read_list(const char *file, const char *member, const wn__json *j,
                                     const char *key, const wn__json **out);
WN_NODISCARD wn_status wn__read_text(const char *file, const char *member, const wn__json *j,
                                     const char *key, const char **text, size_t *n);
/* A string of one character. */
WN_NODISCARD wn_status wn__read_char(const char *file, const char *member, const wn__json *j,
                                     const char *key, char out[4], size_t *n);
WN_NODISCARD wn_status wn__read_metaspace(const char *file, const char *member, const wn__json *j,
                                          wn__metaspace *out);
/* Replace: "pattern" and "content". */
WN_NODISCARD wn_status wn__read_replace(const char *file, const char *member, const wn__json *j,
                                        wn__replace *out);

#endif
