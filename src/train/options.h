// SPDX-License-Identifier: MIT
/* The options of a run as one table: defaults, ranges, run.json, and what a resumed run takes over
 * from it. */
#ifndef WN_TRAIN_OPTIONS_H
#define WN_TRAIN_OPTIONS_H

#include "base/json.h"
#include "nn/structure.h"
#include "optim/optim.h"
#include "optim/optimizer.h"
#include "winnow/train.h"

/* X(type, name, fixed). fixed: part of what a run is (data, model, structure, numerics, which
 * states the optimizer keeps); a resumed run keeps it. The others may change between sessions.
 * Options of one session only (out, resume, threads, max_seconds, dry_run, ...) are not listed.
 * sparsity is fixed too and handled by hand: it is a list. */
#define WN_TRAIN_FIELDS(X)                                                                         \
    X(TEXT, data, true)                                                                            \
    X(TEXT, eval_data, true)                                                                       \
    X(REAL, eval_fraction, true)                                                                   \
    X(BOOL, pack, true)                                                                            \
    X(TEXT, tokenizer, true)                                                                       \
    X(TEXT, init_from, true)                                                                       \
    X(INT32, vocab_size, true)                                                                     \
    X(BOOL, shuffle, true)                                                                         \
    X(TEXT, model_config, true)                                                                    \
    X(INT64, round_intermediate, true)                                                             \
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
    X(BOOL, scale_norm, true)                                                                      \
    X(TEXT, lowrank_init, true)                                                                    \
    X(BOOL, act_permute, true)                                                                     \
    X(TEXT, dtype, true)                                                                           \
    X(BOOL, fp8, true)                                                                             \
    X(TEXT, optimizer, true)                                                                       \
    X(REAL, momentum, true)                                                                        \
    X(INT64, galore_rank, true)                                                                    \
    X(TEXT, galore_type, true)                                                                     \
    X(INT64, mask_every, false)                                                                    \
    X(INT64, mask_freeze_after, false)                                                             \
    X(INT64, mask_dense_after, false)                                                              \
    X(REAL, mask_decay, false)                                                                     \
    X(TEXT, scale_rule, false)                                                                     \
    X(TEXT, act_backward, false)                                                                   \
    X(INT64, act_warmup, false)                                                                    \
    X(REAL, act_dense, false)                                                                      \
    X(INT64, act_every, false)                                                                     \
    X(INT64, act_samples, false)                                                                   \
    X(BOOL, recompute, false)                                                                      \
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
    X(INT64, exact_every, false)                                                                   \
    X(REAL, lr_scaler, false)                                                                      \
    X(TEXT, exact_core, false)                                                                     \
    X(TEXT, exact_gauge, false)                                                                    \
    X(TEXT, refresh, false)                                                                        \
    X(INT64, refresh_every, false)                                                                 \
    X(INT64, moment_reset_every, false)                                                            \
    X(INT64, galore_gap, false)                                                                    \
    X(REAL, galore_scale, false)                                                                   \
    X(TEXT, schedule, false)                                                                       \
    X(INT64, warmup, false)                                                                        \
    X(INT64, wsd_decay, false)                                                                     \
    X(INT64, restart_every, false)                                                                 \
    X(INT64, restart_warmup, false)                                                                \
    X(INT64, lr_adjust, false)                                                                     \
    X(TEXT, teacher, false)                                                                        \
    X(REAL, distill_weight, false)                                                                 \
    X(REAL, distill_temperature, false)                                                            \
    X(BOOL, restart_after_warmup, false)                                                           \
    X(INT64, log_every, false)                                                                     \
    X(INT64, eval_every, false)                                                                    \
    X(INT64, eval_batches, false)                                                                  \
    X(INT64, eval_tokens, false)                                                                   \
    X(BOOL, galore_compat_eval, false)                                                             \
    X(INT64, sample_every, false)                                                                  \
    X(TEXT, sample_prompt, false)                                                                  \
    X(INT64, sample_tokens, false)                                                                 \
    X(INT64, save_every, false)                                                                    \
    X(INT64, keep, false)                                                                          \
    X(BOOL, save_last, false)                                                                      \
    X(BOOL, log_flips, false)                                                                      \
    X(BOOL, log_act_zeros, false)                                                                  \
    X(TEXT, kernels, false)

/* check.c: ranges and words. INVALID names the option, the value found and what is legal. */
WN_NODISCARD wn_status wn__options_check(const wn_train_options *o);
/* Whether an option was set on purpose: o->given names it or, with o->given NULL, it differs from
 * its default. */
bool wn__options_given(const wn_train_options *o, const char *name);
/* Puts values in the place of those that mean "what suits the others" (beta2, eps, refresh_every),
 * so that run.json tells what was used. */
void wn__options_settle(wn_train_options *o);

/* Options that are words, as what the layers below call them. The options passed the check. */
typedef struct wn__words {
    wn__structure structure; /* what rules take their numbers from */
    wn__optimizer_options optimizer;
    wn__schedule schedule;
} wn__words;
WN_NODISCARD wn_status wn__options_words(const wn_train_options *o, wn__words *out);

/* The table's options as a JSON object, and back. Texts of *o are borrowed from `from` afterwards;
 * *sparsity is a malloc'ed array of such. Options that came after the first runs may be missing:
 * they have their defaults then. FORMAT: others that are missing, or of another type. */
WN_NODISCARD wn_status wn__options_to_json(const wn_train_options *o, wn__json **out);
WN_NODISCARD wn_status wn__options_from_json(const wn__json *from, const char *name,
                                             wn_train_options *o, const char ***sparsity);

typedef void wn__note_fn(void *ctx, const char *line);
/* What a resumed run does: `o` as given, `recorded` from run.json. Fixed options are the recorded
 * ones; of the others those that were not given are the recorded ones too. Differences are noted.
 */
void wn__options_resume(wn_train_options *o, const wn_train_options *recorded, wn__note_fn *note,
                        void *ctx);
/* The recorded values in the place of those that were not given. */
void wn__options_take(wn_train_options *o, const wn_train_options *recorded);

#endif
