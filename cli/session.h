// SPDX-License-Identifier: MIT
/* Opening a model as the command line says. */
#ifndef WN_CLI_SESSION_H
#define WN_CLI_SESSION_H

#include "json_out.h"
#include "options.h"
#include <winnow/model.h>

wn_status open_session(const options *o, wn_session **out);
/* In words, of an open session; NULL: plain float32. */
const char *numerics(const options *o);
/* What a pass reads, of what it would be, and by which kernel, into out[n]; returns out. */
const char *describe_weights(const wn_model_info *m, char *out, size_t n);
/* The same as fields. */
void put_weights(json_out *j, const wn_model_info *m);

#endif
