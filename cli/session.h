// SPDX-License-Identifier: MIT
/* Opening a model as the command line says. */
#ifndef WN_CLI_SESSION_H
#define WN_CLI_SESSION_H

#include "options.h"
#include <winnow/model.h>

wn_status open_session(const options *o, wn_session **out);
/* In words, of an open session; NULL: plain float32. */
const char *numerics(const options *o);

#endif
