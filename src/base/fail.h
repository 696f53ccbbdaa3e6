// SPDX-License-Identifier: MIT
/* How internal code fails: set the thread's message, return the code. */
#ifndef WN_BASE_FAIL_H
#define WN_BASE_FAIL_H

#include "winnow/status.h"

/* Sets the thread's message (at most 1023 bytes, longer text is cut; control characters become '?')
 * and returns status. Arguments may point into the current message. */
wn_status wn__fail(wn_status status, const char *fmt, ...) WN_PRINTF(2, 3);
/* Puts "text: " before the current message; returns status. For callers that know the file or
 * tensor name. */
wn_status wn__fail_in(wn_status status, const char *fmt, ...) WN_PRINTF(2, 3);
/* As wn__fail(WN_IO, ...) with ": strerror(errno)" appended. ENOMEM becomes WN_NOMEM. */
wn_status wn__fail_errno(const char *fmt, ...) WN_PRINTF(1, 2);

#define WN_TRY(expr)                                                                               \
    do {                                                                                           \
        wn_status wn_try_ = (expr);                                                                \
        if (wn_try_ != WN_OK) return wn_try_;                                                      \
    } while (0)

/* For functions with one cleanup label: needs a local `wn_status status` and a label `out`. */
#define WN_TRY_OUT(expr)                                                                           \
    do {                                                                                           \
        status = (expr);                                                                           \
        if (status != WN_OK) goto out;                                                             \
    } while (0)

#endif
