// SPDX-License-Identifier: MIT
/* Arguments of the device code that makes and reads 2:4 structure, for its host side too. Sizes are
 * elements; a group is four columns. */
#ifndef WN_KERNELS_CUDA_ARGS24_H
#define WN_KERNELS_CUDA_ARGS24_H

#include <stdint.h>

typedef struct wn__gpu_mask24 {
    const void *w;
    uint8_t *mask;
    int64_t rows, columns, stride, groups; /* groups of a row */
    unsigned int *fault, number;
} wn__gpu_mask24;

typedef struct wn__gpu_flips24 {
    const uint8_t *a, *b;
    unsigned long long *count;
    int64_t bytes;
} wn__gpu_flips24;

typedef struct wn__gpu_pack24 {
    const void *w;
    const uint8_t *mask;
    void *values;
    uint8_t *index;
    int64_t rows, columns, stride, groups;
    unsigned int *fault, number;
} wn__gpu_pack24;

typedef struct wn__gpu_unpack24 {
    const void *values;
    const uint8_t *index;
    void *w;
    int64_t rows, columns, stride, groups;
    unsigned int *fault, number;
} wn__gpu_unpack24;

/* Dense rows of packed blocks, padding too. */
typedef struct wn__gpu_unblock24 {
    const uint8_t *blocks;
    uint16_t *w; /* [64 panels, 64 across] */
    int64_t panels, across;
} wn__gpu_unblock24;

/* Normal numbers. */
typedef struct wn__gpu_random_values {
    void *to;
    int64_t count;
    uint64_t seed;
    double scale;
} wn__gpu_random_values;

enum {
    WN_GPU_THREADS = 256,
    WN_GPU_ROW_BLOCKS = 32768, /* most of a grid along y: blocks go through the rows in steps */
    WN_GPU_TILE = 64           /* rows and columns of a block that packs columns */
};

#endif
