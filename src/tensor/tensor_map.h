// SPDX-License-Identifier: MIT
/* What the driver makes of a matrix for bulk copies of its boxes; device code includes this too. */
#ifndef WN_TENSOR_TENSOR_MAP_H
#define WN_TENSOR_TENSOR_MAP_H

#include <stdint.h>

typedef struct wn__cu_tensor_map {
    uint64_t opaque[16];
} __attribute__((aligned(128))) wn__cu_tensor_map;

#endif
