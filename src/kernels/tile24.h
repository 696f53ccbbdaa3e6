// SPDX-License-Identifier: MIT
/* tile24: the transposable mask of mask24's TILE and both packed forms of pack24, in one pass over
 * the matrix.
 *
 * The same bits as mask24 with TILE and then pack24 with all four outputs: see mask24.h for the
 * choice, pack24.h for the forms. r and c must be multiples of 4: INVALID names both and the
 * nearest legal sizes. NaN anywhere is INVALID and named as mask24 does; what the outputs hold then
 * is not said, but for the mask, which is zero (on a GPU, which refuses later, neither). Outputs
 * overlap no input. F32, F64, F16, BF16. */
#ifndef WN_KERNELS_TILE24_H
#define WN_KERNELS_TILE24_H

#include "tensor/tensor.h"

typedef struct wn__tile24 {
    wn_tensor w;        /* [r, c], unit stride along c */
    wn_tensor mask;     /* U8 [r, c/4] packed */
    wn_tensor values;   /* [r, c/2] packed */
    wn_tensor index;    /* U8 [r, ceil(c/8)] packed */
    wn_tensor values_t; /* [c, r/2] packed */
    wn_tensor index_t;  /* U8 [c, ceil(r/8)] packed */
} wn__tile24;

#endif
