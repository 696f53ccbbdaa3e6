// SPDX-License-Identifier: MIT
/* A fresh directory for each test, removed after it: setup and teardown for cmocka, with the path
 * as the state. Stands behind cmocka.h. */
#ifndef TEST_SCRATCH_H
#define TEST_SCRATCH_H

#include "base/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline int scratch_setup(void **state) {
    const char *base = getenv("TMPDIR");
    char path[512];
    (void)snprintf(path, sizeof path, "%s/winnow-test-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(path) == NULL) return -1;
    *state = strdup(path);
    return *state != NULL ? 0 : -1;
}

static inline int scratch_teardown(void **state) {
    wn_status status = wn__dir_remove(*state);
    free(*state);
    return status == WN_OK ? 0 : -1;
}

/* The same bytes in both; both can be read. */
static inline void assert_same_files(const char *a, const char *b) {
    char *one = NULL, *two = NULL;
    size_t n = 0, m = 0;
    if (wn__file_read(a, 0, &one, &n) != WN_OK || wn__file_read(b, 0, &two, &m) != WN_OK)
        fail_msg("%s and %s: %s", a, b, wn_last_error());
    if (n != m || memcmp(one, two, n) != 0) fail_msg("%s and %s are not the same", a, b);
    free(one);
    free(two);
}

/* "<scratch>/name" in static storage: the last 32 results live. */
static inline const char *scratch_path(void *const *state, const char *name) {
    static char slots[32][600];
    static unsigned next;
    char *slot = slots[next++ % 32];
    (void)snprintf(slot, sizeof slots[0], "%s/%s", (const char *)*state, name);
    return slot;
}

#endif
