// SPDX-License-Identifier: MIT
/* What of a file's text may reach a terminal. */
#ifndef WINNOW_PRINTABLE_H
#define WINNOW_PRINTABLE_H

#include "winnow/status.h"
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Text as a part of one line: control characters, the separators of lines and paragraphs (U+2028,
 * U+2029), the marks that turn text round (U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to
 * U+2069) and bytes that are not UTF-8 become '?'. What does not fit is cut between characters.
 * Returns out. Messages and log lines are so already; names of tensors are as their file has
 * them. */
WN_API const char *wn_printable(const char *text, char *out, size_t size);

#ifdef __cplusplus
}
#endif

#endif
