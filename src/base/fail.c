// SPDX-License-Identifier: MIT
// The calling thread's last error message. Text is built aside first, so that the arguments of a
// failing call may be taken from the current message, and is kept to one printable line whatever a
// file name or file holds.
#include "base/fail.h"

#include "winnow/printable.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_SIZE 1024

static _Thread_local char message[MESSAGE_SIZE];

static void set_message(const char *text) {
    (void)wn_printable(text, message, sizeof message);
}

// Appends more at text[n], cut at MESSAGE_SIZE; returns the new length.
static size_t append(char *text, size_t n, const char *more) {
    while (*more != '\0' && n < MESSAGE_SIZE - 1)
        text[n++] = *more++;
    text[n] = '\0';
    return n;
}

// Writes fmt, then ": " and tail when there is one, into text[MESSAGE_SIZE]; what does not fit is
// cut.
static void compose(char *text, const char *fmt, va_list args, const char *tail) {
    if (vsnprintf(text, MESSAGE_SIZE, fmt, args) < 0) text[0] = '\0';
    if (tail[0] != '\0') (void)append(text, append(text, strlen(text), ": "), tail);
}

const char *wn_last_error(void) {
    return message;
}

wn_status wn__fail(wn_status status, const char *fmt, ...) {
    char text[MESSAGE_SIZE];
    va_list args;
    va_start(args, fmt);
    compose(text, fmt, args, "");
    va_end(args);
    set_message(text);
    return status;
}

wn_status wn__fail_in(wn_status status, const char *fmt, ...) {
    char text[MESSAGE_SIZE];
    va_list args;
    va_start(args, fmt);
    compose(text, fmt, args, message);
    va_end(args);
    set_message(text);
    return status;
}

wn_status wn__fail_errno(const char *fmt, ...) {
    int error = errno;
    char reason[128], text[MESSAGE_SIZE];
    const char *why = strerror_r(error, reason, sizeof reason);
    va_list args;
    va_start(args, fmt);
    compose(text, fmt, args, why);
    va_end(args);
    set_message(text);
    return error == ENOMEM ? WN_NOMEM : WN_IO;
}
