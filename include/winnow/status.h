// SPDX-License-Identifier: MIT
/* Status codes and the message that goes with them.
 *
 * Every fallible function of the library returns a wn_status and takes its outputs last. On failure
 * the outputs are untouched or zeroed, and wn_last_error() holds one line of text for the calling
 * thread that names the file, the tensor, the value found and the nearest legal one. The library
 * never prints, exits or aborts on input. */
#ifndef WINNOW_STATUS_H
#define WINNOW_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(code, value, text). Values are frozen: append only. */
#define WN_STATUS_MAP(X)                                                                           \
    X(OK, 0, "ok")                                                                                 \
    X(INVALID, 1, "invalid argument")                                                              \
    X(NOMEM, 2, "out of memory")                                                                   \
    X(IO, 3, "input/output error")                                                                 \
    X(FORMAT, 4, "malformed file")                                                                 \
    X(UNSUPPORTED, 5, "not supported here")                                                        \
    X(DEVICE, 6, "device error")                                                                   \
    X(COMM, 7, "communication error")                                                              \
    X(CANCELLED, 8, "cancelled")                                                                   \
    X(BUG, 9, "internal error")

typedef enum wn_status {
#define WN_STATUS_ENUM(code, value, text) WN_##code = value,
    WN_STATUS_MAP(WN_STATUS_ENUM)
#undef WN_STATUS_ENUM
} wn_status;

#if defined(__GNUC__)
#define WN_NODISCARD    __attribute__((warn_unused_result))
#define WN_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define WN_NODISCARD
#define WN_PRINTF(f, a)
#endif

#if defined(__GNUC__)
#define WN_API __attribute__((visibility("default")))
#else
#define WN_API
#endif

/* "OK", "INVALID", ... ; "?" for a value outside the map. Static storage. */
WN_API const char *wn_status_name(wn_status status);
/* The map's text for a code ("malformed file"). Static storage. */
WN_API const char *wn_status_text(wn_status status);
/* The calling thread's last error message, "" if none. Valid until its next failing call. */
WN_API const char *wn_last_error(void);

/* Log lines for humans; the library itself never prints. */
typedef enum wn_log_level { WN_LOG_DEBUG, WN_LOG_INFO, WN_LOG_WARN, WN_LOG_ERROR } wn_log_level;
typedef void wn_log_fn(void *ctx, wn_log_level level, const char *line);
/* Sets the process-wide log callback (NULL: none, the default). Call before starting threads. */
WN_API void wn_log_set(wn_log_fn *fn, void *ctx);

/* "0.1.0" */
WN_API const char *wn_version(void);

#ifdef __cplusplus
}
#endif
#endif
