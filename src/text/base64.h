// SPDX-License-Identifier: MIT
/* Base64 of RFC 4648: the standard alphabet, padded, nothing in between. */
#ifndef WN_TEXT_BASE64_H
#define WN_TEXT_BASE64_H

#include "text/buffer.h"
#include <stdbool.h>

/* Appends the bytes that text stands for. *bad gets the place of the first character that does not
 * belong, or n if there is none; then nothing is promised about out. */
WN_NODISCARD wn_status wn__base64_decode(const char *text, size_t n, wn__bytes *out, size_t *bad);

#endif
