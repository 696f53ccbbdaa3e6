// SPDX-License-Identifier: MIT
/* One line of text for humans, handed to the callback of wn_log_set; dropped when there is none. */
#ifndef WN_BASE_LOG_H
#define WN_BASE_LOG_H

#include "winnow/status.h"

void wn__log(wn_log_level level, const char *fmt, ...) WN_PRINTF(2, 3);

#endif
