// SPDX-License-Identifier: MIT
/* The tile of sm80/spmm24_blocks.cu, for its host side too. */
#ifndef WN_KERNELS_CUDA_SPMM24_SM80_H
#define WN_KERNELS_CUDA_SPMM24_SM80_H

enum {
    WN_SPMM24_SM80_THREADS = 256,
    WN_SPMM24_SM80_ROWS = 128,
    WN_SPMM24_SM80_TOKENS = 128,
    WN_SPMM24_SM80_SHARED = 76800 /* bytes: two blocks of threads a processor of 8.0, one of 8.6 */
};

#endif
