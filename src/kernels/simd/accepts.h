// SPDX-License-Identifier: MIT
/* What the vector variants can run and the workspace they ask for: the functions named in
 * kernels.def. */
#ifndef WN_KERNELS_SIMD_ACCEPTS_H
#define WN_KERNELS_SIMD_ACCEPTS_H

#include "kernels/op.h"

/* F32 only, for every op whose arguments begin with the tensor that sets the dtype. */
wn__accepts_fn wn__accepts_f32;
/* The op's own reasons on top. */
wn__accepts_fn wn__accepts_matmul_cblas, wn__accepts_f32_embed, wn__accepts_f32_copy,
    wn__accepts_f32_mask24;

wn__workspace_fn wn__workspace_matmul_avx2, wn__workspace_matmul_avx512, wn__workspace_spmm24_avx2,
    wn__workspace_spmm24_avx512;

#endif
