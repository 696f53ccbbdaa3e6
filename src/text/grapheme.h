// SPDX-License-Identifier: MIT
/* Where one user-perceived character ends and the next begins: extended grapheme clusters, UAX #29.
 */
#ifndef WN_TEXT_GRAPHEME_H
#define WN_TEXT_GRAPHEME_H

#include <stddef.h>

/* Bytes of the cluster at the front of text, which is valid UTF-8, not empty, and begins a cluster.
 */
size_t wn__grapheme_span(const char *text, size_t n);

#endif
