// SPDX-License-Identifier: MIT
/* Arguments of the device code of factors on few vectors (sm80/kron_few.cu), for its host side too.
 *
 * Operands are views [a, rows, columns, d] of any strides: of every block g = i d + l
 *   out[m, n] (+)= sum_k left[m, k] right[n, k]
 * which is a factor on a batch (left x, right w, out y) and the factor's gradient (left dy, right
 * x, out dw, k the vectors) alike. A block of threads has 32 x 32 numbers of eight blocks. Where k
 * is cut into parts, each leaves its sums, in the order of out's rows, and a second launch adds
 * them. wn_kron_short: fewer than SHORT inputs, a thread an output of some vectors, as they lie.
 * wn_kron_short_grad: blocks of up to SHORT x SHORT, a thread a number of the gradient of every
 * eighth vector, likewise. */
#ifndef WN_KERNELS_CUDA_ARGS_KRON_FEW_H
#define WN_KERNELS_CUDA_ARGS_KRON_FEW_H

#include <stdint.h>

enum {
    WN_KRON_FEW_BLOCKS = 8,
    WN_KRON_FEW_SIDE = 32,
    WN_KRON_FEW_STEP = 16, /* k */
    WN_KRON_FEW_THREADS = 256,
    WN_KRON_FEW_PITCH = 20,                   /* numbers of a row of STEP */
    WN_KRON_FEW_BLOCK = 32 * 20 + 4,          /* of a block's rows */
    WN_KRON_FEW_SHARED = 2 * 2 * 8 * 644 * 4, /* two stages of two operands */
    WN_KRON_SHORT = 16,
    WN_KRON_SHORT_VECTORS = 4
};

/* What lies side by side in 16 bytes, at multiples of 16: numbers of a row, of a column, of d. Of
 * out: which neighbouring threads write. */
enum { WN_KRON_EACH, WN_KRON_BY_COLUMN, WN_KRON_BY_ROW, WN_KRON_BY_BLOCK };

typedef struct wn__gpu_kron_view {
    void *at;
    int64_t stride[4];
    int way;
} wn__gpu_kron_view;

typedef struct wn__gpu_kron_few {
    wn__gpu_kron_view left, right, out;
    float *sums; /* [parts][m][a n d]; NULL: one part, which is out */
    int a, d, m, n, k;
    int each, parts; /* k of a part, a multiple of STEP */
    int f32;         /* out is float, whatever the operands */
    int accumulate;
} wn__gpu_kron_few;

#endif
