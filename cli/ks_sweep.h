// SPDX-License-Identifier: MIT
/* winnow ks fit --ranks: one fit after the other, which cmd_ks.c hands over. */
#ifndef WN_CLI_KS_SWEEP_H
#define WN_CLI_KS_SWEEP_H

#include "options.h"
#include <winnow/ks.h>

/* k: the options of each, but for rank, folder and prefix. */
int ks_sweep(const options *o, const char *path, const wn_ks_options *k);

#endif
