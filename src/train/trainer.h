// SPDX-License-Identifier: MIT
/* A run in memory, and what the files of train/ do with it. */
#ifndef WN_TRAIN_TRAINER_H
#define WN_TRAIN_TRAINER_H

#include "base/json.h"
#include "data/loader.h"
#include "data/shard.h"
#include "infer/evaluate.h"
#include "infer/session.h"
#include "model/model.h"
#include "optim/optim.h"
#include "train/metrics.h"
#include "train/options.h"
#include "winnow/train.h"

#define WN_RUN_PATH 4096

/* A part of a shard: what is trained on, or what is held out. */
typedef struct wn__part {
    wn__shard shard;
    char *file; /* as in run.json: relative to the run directory, or absolute */
    uint64_t begin, count;
    wn__ids ids;
} wn__part;

/* The last update, as it is logged. */
typedef struct wn__update {
    double loss, gnorm, lr, seconds;
} wn__update;

typedef struct wn__trainer {
    wn_train_options o;         /* texts borrowed from the caller or from `recorded` */
    wn__json *recorded;         /* run.json of a resumed run */
    char init_dir[WN_PATH_MAX]; /* model directory the weights come from, "" when there is none */
    const char **recorded_sparsity;
    wn_train_fn *fn;
    wn_stop_fn *stop;
    void *ctx;
    int lock; /* descriptor of the run directory, -1: none */

    wn_tokenizer *tokenizer; /* NULL: data is given as tokens, without one */
    wn__id_bytes id_bytes;
    wn__part train, held; /* held.ids.count 0: nothing is held out */

    wn__model_config config;
    wn__structure_rules rules;
    wn__runtime *runtime;
    wn__model *model;
    wn__loader *loader;
    int32_t *tokens, *targets; /* [batch_size, seq_len] */
    double *sums;              /* [parameters] scratch of the gradient norm */
    int64_t *index;            /* [1] scratch of the search for NaN */
    wn__adamw_options adamw;
    wn__schedule schedule;
    wn__metrics metrics;

    int64_t step;  /* updates done */
    int64_t saved; /* step of the newest checkpoint of this session or resumed from, -1: none */
    int64_t tokens_seen;
    double train_seconds;  /* spent in updates, all sessions */
    double session_start;  /* wn__clock */
    double logged_seconds; /* train_seconds and tokens_seen at the last progress line, for rates */
    int64_t logged_tokens;
    wn__update last;
    double peak; /* multiply-add FLOP/s of the threads in use, measured at the start */
} wn__trainer;

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

/* prepare.c: tokenizer and shards, made or opened. */
WN_NODISCARD wn_status wn__prepare_data(wn__trainer *t);
void wn__part_close(wn__part *p);

/* setup.c: configuration (of a checkpoint's directory, of init_from, or by the options), model,
 * optimizer and loader, weights. */
struct wn__checkpoint;
WN_NODISCARD wn_status wn__setup_config(wn__trainer *t, const char *checkpoint);
void wn__setup_spec(wn__trainer *t, wn__model_spec *spec);
WN_NODISCARD wn_status wn__setup_model(wn__trainer *t);
WN_NODISCARD wn_status wn__setup_optimizer(wn__trainer *t);
WN_NODISCARD wn_status wn__setup_weights(wn__trainer *t, const struct wn__checkpoint *c);
/* INVALID names the first parameter with a NaN or infinity and where. */
WN_NODISCARD wn_status wn__check_finite(wn__trainer *t);

/* Lines at the start, and events. */
/* header.c: plan before the model is made, so that one too large is seen before it fails; model
 * with its layers and kernels. */
WN_NODISCARD wn_status wn__report_plan(wn__trainer *t);
WN_NODISCARD wn_status wn__report_model(wn__trainer *t);
/* report.c */
WN_NODISCARD wn_status wn__report_step(wn__trainer *t);
WN_NODISCARD wn_status wn__report_masks(wn__trainer *t);
WN_NODISCARD wn_status wn__report_eval(wn__trainer *t, const wn__evaluation *e, double seconds);
void wn__report_sample(wn__trainer *t, const char *text);
WN_NODISCARD wn_status wn__report_save(wn__trainer *t, const char *dir, uint64_t bytes,
                                       double seconds);

#endif
