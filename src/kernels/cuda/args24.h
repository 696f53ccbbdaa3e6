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
    void *values; /* or NULL, with index; so are the transpose's */
    uint8_t *index;
    void *values_t;
    uint8_t *index_t;
    int64_t rows, columns, stride, groups;
    unsigned int *fault, number;
} wn__gpu_pack24;

typedef struct wn__gpu_tile24 {
    const void *w;
    uint8_t *mask;
    void *values, *values_t;
    uint8_t *index, *index_t;
    int64_t rows, columns, stride;
    unsigned int *fault, number;
} wn__gpu_tile24;

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

/* A scale is one number, or absent: 1. */
typedef struct wn__gpu_soft24 {
    const void *w;
    void *out;
    uint8_t *mask; /* or NULL */
    const double *scale;
    int64_t rows, columns, stride, out_stride, groups;
    unsigned int *fault, number;
} wn__gpu_soft24;

typedef struct wn__gpu_dots24 {
    const void *w;
    double *row; /* three for each row */
    double *out;
    int64_t rows, columns, stride, groups;
    unsigned int *fault, number;
} wn__gpu_dots24;

typedef struct wn__gpu_apply24 {
    const void *x;
    void *y;
    const uint8_t *mask;
    const double *scale;
    int64_t rows, columns, stride, y_stride, groups;
} wn__gpu_apply24;

typedef struct wn__gpu_decay24 {
    const void *w;
    void *g;
    const uint8_t *mask;
    double lambda;
    int64_t rows, columns, groups;
} wn__gpu_decay24;

typedef struct wn__gpu_draws {
    uint64_t seed, stream;
    uint32_t counter;
} wn__gpu_draws;

typedef struct wn__gpu_mvue24 {
    const void *x;
    void *y;
    int64_t rows, columns, stride, y_stride;
    wn__gpu_draws draws;
} wn__gpu_mvue24;

/* pack24_tokens, and mvue24_tokens: draws. */
typedef struct wn__gpu_tokens24 {
    const void *x;
    const int32_t *order; /* or NULL */
    const uint8_t *dense; /* or NULL */
    void *values;
    uint8_t *index;
    int32_t *extra;
    int64_t rows, columns, stride, extras;
    wn__gpu_draws draws;
    unsigned int *fault, number;
} wn__gpu_tokens24;

/* relu2, and its gradient: y is dx. */
typedef struct wn__gpu_relu2 {
    const void *x, *dy; /* dy NULL: no gradient */
    void *y;
    int64_t count;
} wn__gpu_relu2;

enum {
    WN_GPU_THREADS = 256,
    WN_GPU_ROWS = 8,           /* of a block of warps: one a row */
    WN_GPU_ROW_BLOCKS = 32768, /* most of a grid along y: blocks go through the rows in steps */
    WN_GPU_STRIP = 128         /* columns of a block that packs columns (common/strip24.cuh) */
};
/* Its warps, each of 16 rows: rows of the transpose are of 128 bytes. */
#define WN_GPU_STRIP_WARPS(element) (16 / (int)(element))

#endif
