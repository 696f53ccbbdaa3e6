// SPDX-License-Identifier: MIT
// The process-wide log callback. Without one, lines are dropped before they are formatted.
#include "base/log.h"

#include "winnow/printable.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

static wn_log_fn *log_fn;
static void *log_ctx;

void wn_log_set(wn_log_fn *fn, void *ctx) {
    log_fn = fn;
    log_ctx = ctx;
}

void wn__log(wn_log_level level, const char *fmt, ...) {
    if (log_fn == NULL) return;
    char text[1024], line[sizeof text];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n >= 0) log_fn(log_ctx, level, wn_printable(text, line, sizeof line));
}
