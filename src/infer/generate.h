// SPDX-License-Identifier: MIT
/* Continuing a run of tokens with a model, for sessions and for the samples of a training run. */
#ifndef WN_INFER_GENERATE_H
#define WN_INFER_GENERATE_H

#include "model/model.h"
#include "winnow/model.h"

/* Encodes a prompt as wn_generate says: specials, beginning-of-text first; never empty. */
WN_NODISCARD wn_status wn__prompt_encode(const wn_tokenizer *t, const char *text, size_t size,
                                         wn_tokens *out);

/* wn_generate over given prompt ids. context: positions the model's spec has room for (its seq,
 * where no_cache is set). */
WN_NODISCARD wn_status wn__generate(wn__model *m, const wn_tokenizer *t, int64_t context,
                                    const wn_tokens *prompt, const wn_generate_options *o,
                                    wn_text_fn *fn, void *ctx, wn_tokens *ids,
                                    wn_generate_stats *stats);

/* Bytes at the front of text[n] that can be shown now: all but a UTF-8 character whose end is still
 * to come (at most three bytes). */
size_t wn__utf8_ready(const char *text, size_t n);

#endif
