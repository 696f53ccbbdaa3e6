// SPDX-License-Identifier: MIT
/* What the stand-in's tensor maps hold, in place of NVIDIA's own form. */
#ifndef WN_TESTS_FAKE_MAP_H
#define WN_TESTS_FAKE_MAP_H

#include <stdint.h>

typedef struct fake_map {
    void *address;
    uint64_t size[2]; /* columns, rows */
    uint64_t stride;  /* bytes */
    uint32_t box[2];
    int type;
} fake_map;

#endif
