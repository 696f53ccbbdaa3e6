// SPDX-License-Identifier: MIT
/* Where a pruned model goes: a directory that appears whole or not at all. */
#ifndef WN_PRUNE_PLACE_H
#define WN_PRUNE_PLACE_H

#include "winnow/status.h"
#include <stdbool.h>

#define WN_PLACE_PATH 4096

typedef struct wn__place {
    char out[WN_PLACE_PATH];       /* without a slash at the end */
    char temporary[WN_PLACE_PATH]; /* beside it; "" before wn__place_begin */
    bool replace;                  /* out is there and is to go */
    bool locked;                   /* temporary is, through the descriptor `lock` */
    int lock;
} wn__place;

/* Whether a directory can be made at out for the model in `model`; touches nothing. INVALID says
 * why not: out is there (without force), is a file, a symbolic link or no model directory, or one
 * of the two lies in the other. */
WN_NODISCARD wn_status wn__place_check(const char *out, const char *model, bool force,
                                       wn__place *place);
/* Whether a pruned model may have a file of that name: what is written, and what is copied. */
bool wn__place_is_of_a_model(const char *name);
/* Makes the temporary directory (and out's parents) and locks it where locks work, after removing
 * those of killed prunes to the same place (prune/leftover.h). */
WN_NODISCARD wn_status wn__place_begin(wn__place *place);
/* Syncs, and puts the directory in its place; what was there is removed once the new one is. */
WN_NODISCARD wn_status wn__place_publish(wn__place *place);
/* Removes what was written, keeping the message of the thread. Fine after publish, and before
 * begin. */
void wn__place_abort(wn__place *place);

/* Copies what makes the model usable besides its weights and config.json: tokenizer and generation
 * files, templates, licences. Names the other entries (training states, other weights, folders) in
 * one line of the log. FORMAT: a symbolic link that leads out of the directory. */
WN_NODISCARD wn_status wn__place_copy_files(const wn__place *place, const char *model);

#endif
