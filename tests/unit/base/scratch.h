// SPDX-License-Identifier: MIT
/* A fresh directory for each test, removed after it: setup and teardown for cmocka, with the path
 * as the state. */
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

/* "<scratch>/name" in static storage: the last 32 results live. */
static inline const char *scratch_path(void *const *state, const char *name) {
    static char slots[32][600];
    static unsigned next;
    char *slot = slots[next++ % 32];
    (void)snprintf(slot, sizeof slots[0], "%s/%s", (const char *)*state, name);
    return slot;
}

#endif
