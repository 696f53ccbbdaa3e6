// SPDX-License-Identifier: MIT
/* Replacing what a pattern matches by a fixed text. */
#ifndef WN_TEXT_REPLACE_H
#define WN_TEXT_REPLACE_H

#include "text/pattern.h"

typedef struct wn__replace {
    wn__pattern *pattern; /* NULL: the literal text `from`, not empty */
    wn__bytes from, to;
} wn__replace;
void wn__replace_free(wn__replace *r);

/* Appends text with all matches replaced; text is valid UTF-8. *matcher is made when it is needed
 * and NULL. *origin as in rewrite.h. */
WN_NODISCARD wn_status wn__replace_apply(const wn__replace *r, wn__matcher **matcher,
                                         const char *text, size_t n, size_t *origin,
                                         wn__bytes *out);

#endif
