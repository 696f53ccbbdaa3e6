// SPDX-License-Identifier: MIT
/* Arguments of the device code that permutes numbers in memory (sm80/kron_permute.cu), for its host
 * side too.
 *
 * outer[0] x outer[1] matrices [rows, columns], each with strides of its own where it is read and
 * where it is written; columns are what lies side by side in one, rows in the other. A tile has
 * `tile` matrices, rows and columns, `pitch` numbers of shared memory a row. */
#ifndef WN_KERNELS_CUDA_ARGS_KRON_PERMUTE_H
#define WN_KERNELS_CUDA_ARGS_KRON_PERMUTE_H

#include <stdint.h>

/* A quotient of numbers below 2^16 by one of them: the upper half of x times `magic`, or x. */
typedef struct wn__gpu_divide {
    uint32_t by, magic;
} wn__gpu_divide;

/* matrix: of outer[0], outer[1]. wide: whether 16 bytes are taken at once, which may go on into the
 * next row (column) of a tile that has all of it. */
typedef struct wn__gpu_permute_side {
    int64_t matrix[2], row, column;
    int wide;
} wn__gpu_permute_side;

typedef struct wn__gpu_kron_permute {
    const void *from;
    void *to;
    wn__gpu_permute_side in, out;
    int64_t outer[2];
    int64_t rows, columns;
    wn__gpu_divide plane, row, column; /* rows times columns of a tile, its rows, its columns */
    int matrices, pitch;               /* of a tile */
} wn__gpu_kron_permute;

enum {
    WN_KRON_PERMUTE_THREADS = 256,
    WN_KRON_PERMUTE_BYTES = 16384,  /* of a tile, without what pads its rows */
    WN_KRON_PERMUTE_SHARED = 24576, /* with it, at most */
    WN_KRON_PERMUTE_SIDE = 64,      /* rows and columns of matrices larger than a tile, at least */
    WN_KRON_PERMUTE_GRID = 32768    /* blocks of threads along y and z, at most */
};

#endif
