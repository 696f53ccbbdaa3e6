// SPDX-License-Identifier: MIT
/* Text <-> token ids.
 *
 * Kinds: byte-level BPE (Sennrich et al. 2016, over bytes as in GPT-2; GPT-2, Llama-3 and Qwen
 * pre-tokenizers) read from and written to Hugging Face tokenizer.json; read from there besides,
 * BPE over characters with bytes for those it does not know (SentencePiece's, as of Llama 2) and
 * unigram models (Kudo 2018, as of T5); and plain bytes (256 ids, one a byte). Encoding takes any
 * bytes: decode(encode(x)) == x, invalid UTF-8 included, for byte-level BPE with all 256 byte
 * symbols in its vocabulary, unless the file asks for a change (a normalizer, add_prefix_space,
 * added tokens that strip white space). The kinds over characters read U+FFFD for each byte that is
 * not UTF-8. A tokenizer is immutable and may be used by several threads at once. */
#ifndef WINNOW_TOKENIZER_H
#define WINNOW_TOKENIZER_H

#include "winnow/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wn_tokenizer wn_tokenizer;

/* Ids, malloc'ed by the calls that fill them; free with wn_tokens_free. */
typedef struct wn_tokens {
    int32_t *id;
    size_t count;
} wn_tokens;
WN_API void wn_tokens_free(wn_tokens *tokens);

/* Reads a tokenizer.json, and of a tokenizer_config.json beside it, if there is one, bos_token,
 * eos_token, add_bos_token and add_eos_token. FORMAT names the file and the member that is wrong;
 * UNSUPPORTED names a component that is not read here. */
WN_API WN_NODISCARD wn_status wn_tokenizer_open(const char *path, wn_tokenizer **out);
/* The same from memory; name stands in messages. */
WN_API WN_NODISCARD wn_status wn_tokenizer_parse(const char *bytes, size_t size, const char *name,
                                                 wn_tokenizer **out);
/* 256 ids, one for each byte, plus one special token "<|endoftext|>" (id 256). */
WN_API WN_NODISCARD wn_status wn_tokenizer_bytes(wn_tokenizer **out);
WN_API void wn_tokenizer_free(wn_tokenizer *t);

typedef enum wn_pretokenizer {
    WN_PRETOKENIZER_GPT2,
    WN_PRETOKENIZER_LLAMA3,
    WN_PRETOKENIZER_QWEN2
} wn_pretokenizer;

/* Trains byte-level BPE: the 256 bytes, then merges of the most frequent adjacent pair inside
 * pre-tokens (ties: the pair whose two ids come first), until vocab_size ids exist, the last of
 * which is the special "<|endoftext|>". vocab_size >= 257. Deterministic.
 * "<|endoftext|>" in the text parts documents and is not learned. INVALID: an empty text, or
 * options out of range. Fewer merges than asked (a small text) give a smaller vocabulary, said by a
 * log line. */
typedef struct wn_bpe_options {
    int32_t vocab_size;
    wn_pretokenizer pretokenizer;
    int64_t min_frequency; /* pairs seen less often are not merged; 0 means 2 */
} wn_bpe_options;
WN_API WN_NODISCARD wn_status wn_tokenizer_train(const char *text, size_t size,
                                                 const wn_bpe_options *options, wn_tokenizer **out);

/* Writes path (tokenizer.json) atomically; Hugging Face tokenizers reads it. One that was read is
 * written byte for byte as it was, and so are the members of its tokenizer_config.json that the
 * next call does not name. The bytes kind is written as byte-level BPE without merges (ids equal to
 * byte values). */
WN_API WN_NODISCARD wn_status wn_tokenizer_save(const wn_tokenizer *t, const char *path);
/* tokenizer_config.json beside it, naming PreTrainedTokenizerFast, bos/eos tokens and
 * model_max_length (0: left out). */
WN_API WN_NODISCARD wn_status wn_tokenizer_save_config(const wn_tokenizer *t, const char *path,
                                                       int64_t model_max_length);

/* special: whether added special tokens found in the text become their ids (as Hugging Face does)
 * or are encoded as plain text. bos: whether the beginning-of-text token is put first, where the
 * file has it so (its post-processor, or add_bos_token); with true the ids are those of Hugging
 * Face's encode, less a token that the file has at the end of a text (wn_tokenizer_eos). INVALID
 * names a byte or a character without a token; UNSUPPORTED: a pattern of the file gives up on this
 * text. Time is linear in the text, times the logarithm of its longest piece. */
WN_API WN_NODISCARD wn_status wn_tokenizer_encode(const wn_tokenizer *t, const char *text,
                                                  size_t size, bool special, bool bos,
                                                  wn_tokens *out);
/* The same with the beginning-of-text and the end-of-text token, where the file has them put (its
 * post-processor, add_bos_token, add_eos_token): the ids of Hugging Face's encode. */
WN_API WN_NODISCARD wn_status wn_tokenizer_encode_framed(const wn_tokenizer *t, const char *text,
                                                         size_t size, bool special, wn_tokens *out);
/* Bytes of the ids, malloc'ed, NUL after size bytes; not necessarily valid UTF-8. skip_special
 * leaves special tokens out. INVALID names an id outside the vocabulary; UNSUPPORTED: a pattern of
 * the file gives up. The decoder of the file sees the ids as a whole: it may drop the space that
 * begins the text, and put U+FFFD for byte tokens that are not UTF-8 together. */
WN_API WN_NODISCARD wn_status wn_tokenizer_decode(const wn_tokenizer *t, const int32_t *ids,
                                                  size_t count, bool skip_special, char **out,
                                                  size_t *size);

/* The bytes that one id adds in the middle of a text, for text that comes id by id: nothing is
 * dropped as it would be at the beginning, and a byte token is its byte. Belongs to t; NULL: the id
 * has no token. */
WN_API const char *wn_tokenizer_piece(const wn_tokenizer *t, int32_t id, size_t *size);
/* Whether decoding leaves the id out with skip_special. False for an id without a token. */
WN_API bool wn_tokenizer_is_special(const wn_tokenizer *t, int32_t id);

WN_API int32_t wn_tokenizer_vocab_size(const wn_tokenizer *t); /* highest id + 1 */
/* -1 when there is none. eos: "<|endoftext|>", "<|end_of_text|>", "</s>", "<|im_end|>" in this
 * order unless the file says otherwise. */
WN_API int32_t wn_tokenizer_bos(
    const wn_tokenizer *t); /* what the file names so, whether or not encode puts it first */
WN_API int32_t wn_tokenizer_eos(const wn_tokenizer *t);
/* "byte-level BPE (llama3)", "byte-level BPE" for a pattern of its own, "BPE with byte fallback",
 * "BPE", "unigram", "bytes". Static storage. */
WN_API const char *wn_tokenizer_kind(const wn_tokenizer *t);
/* Id of a token by its exact text in the file (byte-level spelling), -1 if absent. */
WN_API int32_t wn_tokenizer_find(const wn_tokenizer *t, const char *token);

#ifdef __cplusplus
}
#endif
#endif
