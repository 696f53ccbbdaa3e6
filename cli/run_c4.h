// SPDX-License-Identifier: MIT
/* The flags of run_c4.py on top of winnow train: what they set, what stays without effect and why.
 */
#ifndef WN_CLI_RUN_C4_H
#define WN_CLI_RUN_C4_H

#include "options.h"
#include <winnow/train.h>

#define RUN_C4_SET 48 /* at least the fields that flags set */

/* What a translation owns. */
typedef struct run_c4 {
    bool active;  /* a flag of the group was given, or a word only its commands spell so */
    bool resumes; /* no default holds: the run has its own settings */
    /* Fields of the options that flags set: what is given beside native options. */
    const char *set[RUN_C4_SET];
    size_t set_count;
    char rule[8][64]; /* sparsity rules made of the flags */
    const char *rules[8];
    size_t rule_count;
    char out[512];      /* the default directory */
    char optimizer[32]; /* in lower case */
    char notes[8192];   /* lines for standard error, each ended by a newline */
    char error[400];
} run_c4;

/* Whether a flag of the group was given, or --model_config configs/NAME.json or --galore_scale,
 * which are Winnow's too, with underscores. */
bool run_c4_active(const options *o);
/* Translates into *t, which holds the native options already: a native flag that was given wins
 * over the default of run_c4.py, and a flag of the group over a native one. With t->resume what was
 * not given is what the run has recorded, and no default is set. False: c->error names the flag,
 * the value and what is legal. Texts point into o and c. */
bool run_c4_translate(const options *o, run_c4 *c, wn_train_options *t);

#endif
