// SPDX-License-Identifier: MIT
/* Numbers permuted in memory on a GPU. */
#ifndef WN_KERNELS_CUDA_KRON_PERMUTE_H
#define WN_KERNELS_CUDA_KRON_PERMUTE_H

#include "kernels/cuda/gpu.h"

/* Where outer[0] x outer[1] matrices [rows, columns] lie, strides in elements. */
typedef struct wn__permute_side {
    void *data;
    wn_dtype dtype;
    int64_t matrix[2], row, column;
} wn__permute_side;

/* out (+)= in. Columns are what lies side by side in `in`, rows in `out`, as far as anything does:
 * other strides are as right and take longer. Both of one dtype; or in F32, which is added. */
typedef struct wn__permute {
    wn__permute_side in, out;
    int64_t outer[2], rows, columns;
    bool add; /* in F32: to an out of F32, BF16 or F16, rounded once */
} wn__permute;

/* No more tiles than a grid holds. */
bool wn__gpu_permute_accepts(const wn__permute *p, char *why, size_t n);
WN_NODISCARD wn_status wn__gpu_permute(wn__gpu *gpu, const wn__permute *p);

#endif
