// SPDX-License-Identifier: MIT
/* winnow ks apply, which cmd_ks.c hands over. */
#ifndef WN_CLI_KS_APPLY_H
#define WN_CLI_KS_APPLY_H

#include "options.h"

int ks_apply(const options *o);

#endif
