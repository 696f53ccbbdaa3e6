// SPDX-License-Identifier: MIT
/* A run in memory, and what the files of train/ do with it. */
#ifndef WN_TRAIN_TRAINER_H
#define WN_TRAIN_TRAINER_H

#include "base/json.h"
#include "data/shard.h"
#include "data/source.h"
#include "infer/evaluate.h"
#include "infer/session.h"
#include "model/model.h"
#include "optim/optim.h"
#include "train/metrics.h"
#include "train/options.h"
#include "winnow/train.h"

#define WN_RUN_PATH 4096

/* What is trained on, or what is held out: a part of a shard, or documents. */
typedef struct wn__part {
    char *file; /* as in run.json: relative to the run directory, or absolute; of documents, their
                   pattern. NULL: there is none */
    wn__shard shard;
    uint64_t begin, count;
    wn__ids ids;
    bool documents;
    wn__source *source; /* of documents, and of what is trained on */
    bool damaged;       /* reading file number `damaged_file` of the documents failed: a later
                           session may find it in another size */
    uint64_t damaged_file;
} wn__part;

/* The last update, as it is logged. */
typedef struct wn__update {
    double loss, gnorm, lr, seconds;
    wn__optimizer_report report;
    bool probed;                    /* the loss of the last batch was measured ... */
    double loss_before, loss_after; /* ... around an exact step */
} wn__update;

/* Exact steps of all sessions: pairs that were updated so, and pairs for which it was refused. */
typedef struct wn__exact_count {
    int64_t pairs, fell_back;
} wn__exact_count;

typedef struct wn__trainer {
    wn_train_options o;         /* texts borrowed from the caller or from `recorded` */
    wn__json *recorded;         /* run.json of a resumed run */
    char init_dir[WN_PATH_MAX]; /* model directory the weights come from, "" when there is none */
    const char **recorded_sparsity;
    char **chains; /* rules of the chains whose factors init_dir has, [chain_count] */
    size_t chain_count;
    const char **all_sparsity; /* these, then those given: what o.sparsity is then */
    wn_train_fn *fn;
    wn_stop_fn *stop;
    void *ctx;
    int lock; /* descriptor of the run directory, -1: none */

    wn_tokenizer *tokenizer; /* NULL: data is given as tokens, without one */
    uint64_t learned_bytes;  /* of documents, that it was learned from; 0: it was not */
    wn__id_bytes id_bytes;
    wn__part train, held;

    wn__model_config config;
    int64_t gated_width;    /* the named configuration's, before an MLP without a gate; 0: none */
    int64_t special_beyond; /* special ids of the tokenizer that the model has no room for */
    wn__words words;
    wn__structure_rules rules;
    wn__runtime *runtime;
    wn__optimizer *optimizer;
    wn__model *model;
    wn__model *teacher;        /* NULL: none */
    wn__source_state place;    /* of the next update's first sample in the training part */
    int32_t *tokens, *targets; /* [grad_accum, batch_size, seq_len]: those of one update */
    double *sums;              /* [parameters] scratch of the gradient norm */
    int64_t *index;            /* [1] scratch of the search for NaN */
    wn__metrics metrics;

    int64_t step;  /* updates done */
    int64_t saved; /* step of the newest checkpoint of this session or resumed from, -1: none */
    int64_t tokens_seen;
    wn__exact_count exact;
    bool said_fall_back;   /* in this session */
    double train_seconds;  /* spent in updates, all sessions */
    double session_start;  /* wn__clock */
    double logged_seconds; /* train_seconds, tokens_seen and step at the last line, for rates */
    int64_t logged_tokens, logged_step;
    wn__update last;
    double peak; /* multiply-add FLOP/s of the threads in use, measured at the start */

    struct wn__profile *profile; /* NULL: none was asked for */
    int64_t first_step;          /* updates done when the session began */
    int64_t profiled_updates;
    double profiled_seconds;
} wn__trainer;

/* trainer.c: everything up to the first update (a dry run has no weights then), and its end, which
 * an open that failed needs too. */
WN_NODISCARD wn_status wn__trainer_open(wn__trainer *t, const wn_train_options *o, wn_train_fn *fn,
                                        wn_stop_fn *stop, void *ctx);
void wn__trainer_close(wn__trainer *t);

/* "RUN/name"; INVALID when too long. */
WN_NODISCARD wn_status wn__run_path(const wn__trainer *t, const char *name, char out[WN_RUN_PATH]);
/* A line of the header or a note, to the callback. */
void wn__say(wn__trainer *t, const char *fmt, ...) WN_PRINTF(2, 3);

/* run.c: the run directory. begin makes and locks it, takes over run.json when resuming (refuses a
 * run that is there otherwise) and removes what a killed process left half-written. record writes
 * run.json. */
WN_NODISCARD wn_status wn__run_begin(wn__trainer *t);
WN_NODISCARD wn_status wn__run_record(const wn__trainer *t);
void wn__run_end(wn__trainer *t);

/* prepare.c: tokenizer and parts, made or opened. */
WN_NODISCARD wn_status wn__prepare_data(wn__trainer *t);

/* part.c. A part that failed to open is closed all the same. */
/* Ids begin .. begin+count-1 (count 0: to the end) of a shard, every id checked; file: its name in
 * run.json. */
WN_NODISCARD wn_status wn__part_tokens(wn__part *p, const char *path, const char *file,
                                       uint64_t begin, uint64_t count);
WN_NODISCARD wn_status wn__part_documents(const wn__trainer *t, wn__part *p, const char *pattern,
                                          bool shuffle);
WN_NODISCARD wn_status wn__part_record(const wn__part *p, wn__json *data, const char *key);
/* As run.json's data has it under key; null there: nothing. INVALID when it is not what it was. */
/* Only a file that was damaged may have another size now. */
WN_NODISCARD wn_status wn__part_reopen(wn__trainer *t, const char *key, bool shuffle, wn__part *p);
void wn__part_close(wn__part *p);

/* tokenizer.c */
typedef enum wn__tokenizer_kind {
    WN_TOKENIZER_NAMED, /* a file: the one given, or that of the model begun from */
    WN_TOKENIZER_BYTES,
    WN_TOKENIZER_LEARNED
} wn__tokenizer_kind;
typedef struct wn__tokenizer_plan {
    wn__tokenizer_kind kind;
    char source[WN_RUN_PATH]; /* NAMED */
} wn__tokenizer_plan;
WN_NODISCARD wn_status wn__tokenizer_plan_make(const wn__trainer *t, wn__tokenizer_plan *out);
/* Puts tokenizer.json into the run and opens it. text NULL: none to learn from, and no tokenizer
 * where it was to be learned. A dry run writes nothing and learns nothing. */
WN_NODISCARD wn_status wn__tokenizer_place(wn__trainer *t, const wn__tokenizer_plan *plan,
                                           const char *text, size_t size);

/* shape.c: the configuration, of a checkpoint's directory ("" : none), of init_from, of
 * model_config, or by the sizes. INVALID when data or options do not fit it. */
WN_NODISCARD wn_status wn__setup_config(wn__trainer *t, const char *checkpoint);
/* seq_len, where it was not given, is no more than the model of init_from has positions. */
WN_NODISCARD wn_status wn__setup_length(wn__trainer *t);
/* Whether init_from is given, whose shape wins over model_config's, and that over the sizes. */
bool wn__begins_from(const wn_train_options *o);
/* Whether model_config says what the shape is; what it says. INVALID lists the names there are. */
bool wn__has_config(const wn_train_options *o);
WN_NODISCARD wn_status wn__named_config(const char *name, wn__model_config *c);
const char *wn__mlp_word(wn__mlp_kind kind); /* "swiglu" */

/* setup.c: rules, optimizer, model, weights. */
struct wn__checkpoint;
WN_NODISCARD wn_status wn__setup_methods(wn__trainer *t);
void wn__setup_free(wn__trainer *t); /* chains and all_sparsity */
void wn__setup_spec(wn__trainer *t, wn__model_spec *spec);
WN_NODISCARD wn_status wn__setup_model(wn__trainer *t);
WN_NODISCARD wn_status wn__setup_weights(wn__trainer *t, const struct wn__checkpoint *c);
/* teacher.c: the teacher, where there is one. INVALID: not dense, another vocabulary. */
WN_NODISCARD wn_status wn__setup_teacher(wn__trainer *t);
/* INVALID names the first parameter with a NaN or infinity and where. */
WN_NODISCARD wn_status wn__check_finite(wn__trainer *t);

/* update.c: one update, from drawing its batches to new masks; what it did is in t->last. */
WN_NODISCARD wn_status wn__update_make(wn__trainer *t);
/* Whether `step` updates are the first multiple of `period` at or after a multiple of log_every: a
 * rule of the step alone, so a resumed run says the same. */
bool wn__due_with_log(const wn__trainer *t, int64_t step, int64_t period);

/* Lines at the start, and events. */
/* header.c: plan before the model is made, so that one too large is seen before it fails; model
 * with its layers and kernels. */
WN_NODISCARD wn_status wn__report_plan(wn__trainer *t);
WN_NODISCARD wn_status wn__report_model(wn__trainer *t);
/* layers.c: the table of layers, and what became of them. */
WN_NODISCARD wn_status wn__report_layers(wn__trainer *t);
int64_t wn__trained_params(const wn__trainer *t);
/* idle.c: of the options that were given, those without effect on this run, a line each. */
void wn__report_idle(wn__trainer *t);
/* report.c */
WN_NODISCARD wn_status wn__report_step(wn__trainer *t);
WN_NODISCARD wn_status wn__report_exact(wn__trainer *t);
WN_NODISCARD wn_status wn__report_eval(wn__trainer *t, const wn__evaluation *e, double seconds);
void wn__report_sample(wn__trainer *t, const char *text);
WN_NODISCARD wn_status wn__report_save(wn__trainer *t, const char *dir, uint64_t bytes,
                                       double seconds);
void wn__emit(const wn__trainer *t, wn_train_event *e);
/* profile.c: an update is profiled between begin and end, which follows t->last.seconds. */
void wn__profile_begin(wn__trainer *t);
void wn__profile_end(wn__trainer *t);
WN_NODISCARD wn_status wn__report_profile(wn__trainer *t);
/* by_layer.c: flips of masks, and zeros of activations; nothing where there are none. */
WN_NODISCARD wn_status wn__report_masks(wn__trainer *t);
WN_NODISCARD wn_status wn__report_activations(wn__trainer *t);

#endif
