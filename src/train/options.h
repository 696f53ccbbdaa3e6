// SPDX-License-Identifier: MIT
/* The options of a run as one table: defaults, ranges, run.json, and what a resumed run takes over
 * from it. */
#ifndef WN_TRAIN_OPTIONS_H
#define WN_TRAIN_OPTIONS_H

#include "base/json.h"
#include "winnow/train.h"

/* X(type, name, fixed). fixed: part of what a run is; a resumed run keeps it. The others may change
 * between sessions. Options of one session only (out, resume, threads, max_seconds, dry_run, ...)
 * are not listed. sparsity is fixed too and handled by hand: it is a list. */
#define WN_TRAIN_FIELDS(X)                                                                         \
    X(TEXT, data, true)                                                                            \
    X(TEXT, eval_data, true)                                                                       \
    X(REAL, eval_fraction, true)                                                                   \
    X(TEXT, tokenizer, true)                                                                       \
    X(TEXT, init_from, true)                                                                       \
    X(INT32, vocab_size, true)                                                                     \
    X(BOOL, shuffle, true)                                                                         \
    X(INT64, hidden_size, true)                                                                    \
    X(INT64, intermediate_size, true)                                                              \
    X(INT64, layers, true)                                                                         \
    X(INT64, heads, true)                                                                          \
    X(INT64, kv_heads, true)                                                                       \
    X(TEXT, mlp, true)                                                                             \
    X(BOOL, tie_embeddings, true)                                                                  \
    X(REAL, rope_theta, true)                                                                      \
    X(REAL, init_std, true)                                                                        \
    X(INT64, seq_len, true)                                                                        \
    X(UINT64, seed, true)                                                                          \
    X(INT64, mask_every, false)                                                                    \
    X(INT64, mask_freeze_after, false)                                                             \
    X(REAL, mask_decay, false)                                                                     \
    X(INT64, batch_size, false)                                                                    \
    X(INT64, grad_accum, false)                                                                    \
    X(INT64, steps, false)                                                                         \
    X(REAL, lr, false)                                                                             \
    X(REAL, min_lr_ratio, false)                                                                   \
    X(REAL, beta1, false)                                                                          \
    X(REAL, beta2, false)                                                                          \
    X(REAL, eps, false)                                                                            \
    X(REAL, weight_decay, false)                                                                   \
    X(REAL, clip_norm, false)                                                                      \
    X(TEXT, schedule, false)                                                                       \
    X(INT64, warmup, false)                                                                        \
    X(INT64, wsd_decay, false)                                                                     \
    X(INT64, log_every, false)                                                                     \
    X(INT64, eval_every, false)                                                                    \
    X(INT64, eval_batches, false)                                                                  \
    X(INT64, sample_every, false)                                                                  \
    X(TEXT, sample_prompt, false)                                                                  \
    X(INT64, sample_tokens, false)                                                                 \
    X(INT64, save_every, false)                                                                    \
    X(INT64, keep, false)                                                                          \
    X(TEXT, kernels, false)

/* Ranges and words. INVALID names the option, the value found and what is legal. */
WN_NODISCARD wn_status wn__options_check(const wn_train_options *o);

/* The table's options as a JSON object, and back. Texts of *o are borrowed from `from` afterwards;
 * *sparsity is a malloc'ed array of such. */
WN_NODISCARD wn_status wn__options_to_json(const wn_train_options *o, wn__json **out);
WN_NODISCARD wn_status wn__options_from_json(const wn__json *from, const char *name,
                                             wn_train_options *o, const char ***sparsity);

typedef void wn__note_fn(void *ctx, const char *line);
/* What a resumed run does: `o` as given, `recorded` from run.json. Fixed options are the recorded
 * ones. An option counts as given when o->given names it or, with o->given NULL, when it differs
 * from its default; the others are the recorded ones too. Differences are noted. */
void wn__options_resume(wn_train_options *o, const wn_train_options *recorded, wn__note_fn *note,
                        void *ctx);

#endif
