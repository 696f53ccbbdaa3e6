// SPDX-License-Identifier: MIT
/* Step directories: a Hugging Face model, training.safetensors, and state.json with the checksum of
 * every other file. */
#ifndef WN_TRAIN_CHECKPOINT_H
#define WN_TRAIN_CHECKPOINT_H

#include "train/trainer.h"

/* Writes RUN/step-NNNNNN under a temporary name, publishes it, points `latest` at it and removes
 * all but the newest o.keep steps. On failure the directory is gone, `latest` and what it points at
 * are as they were, and the message names the file and the reason. INVALID when a weight is NaN or
 * infinite. */
WN_NODISCARD wn_status wn__checkpoint_save(wn__trainer *t);

/* After a part's data could not be read between two updates: lets run.json say which file may have
 * another size when the run is resumed, saves the updates made so far (before the first one there
 * is nothing to save), and adds to the message of `status`, which it returns, where resuming
 * begins. */
WN_NODISCARD wn_status wn__checkpoint_rescue(wn__trainer *t, wn__part *p, wn_status status);

/* A checkpoint that was found whole. */
typedef struct wn__checkpoint {
    char dir[WN_RUN_PATH]; /* "" : none */
    wn__json *state;
} wn__checkpoint;
/* Checks RUN/latest, or the newest step where there is no such link: every file against state.json,
 * its model against run.json's. No step at all is fine (dir ""). FORMAT and IO name the file that
 * is wrong and the newest older step that is intact; INVALID names the field in which the model
 * differs, and both values. */
WN_NODISCARD wn_status wn__checkpoint_open(const wn__trainer *t, wn__checkpoint *out);
/* Puts its tensors, step and loader position into the trainer. */
WN_NODISCARD wn_status wn__checkpoint_load(wn__trainer *t, const wn__checkpoint *c);
void wn__checkpoint_close(wn__checkpoint *c);

/* steps.c: the largest N below `below` with a RUN/step-N, -1 if there is none. */
WN_NODISCARD wn_status wn__steps_newest(const char *run, int64_t below, int64_t *out);
/* Removes the oldest RUN/step-N with N <= step until `keep` are left. */
WN_NODISCARD wn_status wn__steps_prune(const char *run, int64_t step, int64_t keep);
/* "step-001200" */
void wn__step_name(int64_t step, char *out, size_t n);

/* state.c: state.json. write: of the files that are in dir; read: checks them. */
WN_NODISCARD wn_status wn__state_write(const wn__trainer *t, const char *dir);
WN_NODISCARD wn_status wn__state_read(const char *dir, wn__json **out);
/* The model's shape, field by field. */
WN_NODISCARD wn_status wn__shape_to_json(const wn__model_config *c, wn__json **out);

#endif
