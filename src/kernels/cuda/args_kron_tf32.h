// SPDX-License-Identifier: MIT
/* Arguments of the device code of float32 factors of wide blocks (sm90a/kron_tf32.cu), for its
 * host side too.
 *
 * A block of threads has 128 vectors and four matrices of 64 outputs: of four blocks that lie side
 * by side (lanes), of four blocks one behind the other (sides), or 256 outputs of one block (rows).
 * Weights are packed by such tiles, then by steps of 16 inputs: [group][part][step][4][64 outputs]
 * [32 numbers], zeros beyond the block; 16 inputs' weights cut to 11 bits (infinity and NaN as they
 * are), then what was cut off, every 16 bytes of the eight of an output at their number xor the
 * output's last three bits. Blocks are i d + l; lanes have group i d / 4 + l / 4, sides group i /
 * 4, rows group i. */
#ifndef WN_KERNELS_CUDA_ARGS_KRON_TF32_H
#define WN_KERNELS_CUDA_ARGS_KRON_TF32_H

#include <stdint.h>

enum {
    WN_KRON_TF32_VECTORS = 128,
    WN_KRON_TF32_OUTPUTS = 64, /* of a matrix */
    WN_KRON_TF32_MATRICES = 4,
    WN_KRON_TF32_INPUTS = 16, /* of a step */
    WN_KRON_TF32_STEP = WN_KRON_TF32_MATRICES * WN_KRON_TF32_OUTPUTS * 2 * WN_KRON_TF32_INPUTS,
    WN_KRON_TF32_THREADS = 384,
    WN_KRON_TF32_PACK_THREADS = 256,
};
enum { WN_KRON_TF32_LANES, WN_KRON_TF32_SIDES, WN_KRON_TF32_ROWS };
/* Stages, the bytes of one, vectors and weights, and of all of them with their barriers. */
#define WN_KRON_TF32_STAGES(form) ((form) == WN_KRON_TF32_ROWS ? 5 : 3)
#define WN_KRON_TF32_STAGE(form)                                                                   \
    (128 * 16 * ((form) == WN_KRON_TF32_ROWS ? 4 : 16) + WN_KRON_TF32_STEP * 4)
#define WN_KRON_TF32_SHARED(form) (WN_KRON_TF32_STAGES(form) * (WN_KRON_TF32_STAGE(form) + 16))

typedef struct wn__gpu_kron_tf32_pack {
    const float *w;
    float *tiles;
    int64_t stride[4];
    int a, b, c, d;
    int groups, parts, steps;
    int form;
} wn__gpu_kron_tf32_pack;
/* Vectors begin at multiples of 16 bytes and have their numbers one behind the other. */
typedef struct wn__gpu_kron_tf32 {
    const float *x;
    float *y;
    const float *tiles;
    int64_t x_vector, y_vector; /* strides in numbers */
    int n, b, c, d;
    int groups, parts, steps;
    int count; /* tiles in all: those of the same vectors one after the other */
    int accumulate;
} wn__gpu_kron_tf32;

#endif
