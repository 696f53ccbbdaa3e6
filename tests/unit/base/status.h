// SPDX-License-Identifier: MIT
/* Calls that must succeed, and those that must fail in a certain way; both show the library's
 * message. Stands behind cmocka.h. */
#ifndef TEST_STATUS_H
#define TEST_STATUS_H

#include "winnow/status.h"
#include <string.h>

static inline void check_ok_at(wn_status status, const char *what, const char *file, int line) {
    if (status == WN_OK) return;
    fail_msg("%s:%d: %s: %s: %s", file, line, what, wn_status_name(status), wn_last_error());
}
#define OK(expr) check_ok_at((expr), #expr, __FILE__, __LINE__)

/* The status, and these words in the message. */
static inline void check_fails_at(wn_status status, wn_status wanted, const char *text,
                                  const char *file, int line) {
    if (status != wanted || strstr(wn_last_error(), text) == NULL)
        fail_msg("%s:%d: %s '%s', expected %s with '%s'", file, line, wn_status_name(status),
                 wn_last_error(), wn_status_name(wanted), text);
}
#define FAILS(expr, wanted, text) check_fails_at((expr), (wanted), (text), __FILE__, __LINE__)

#endif
