// SPDX-License-Identifier: MIT
/* What variants on a GPU refuse, each with its reason: the functions named in kernels.def. */
#ifndef WN_KERNELS_CUDA_ACCEPTS_H
#define WN_KERNELS_CUDA_ACCEPTS_H

#include "kernels/op.h"

/* F32, BF16 and F16, by rows or by exact tiles. */
wn__accepts_fn wn__accepts_gpu_mask24;
/* Elements of 2 and 4 bytes, for ops whose arguments begin with the tensor that sets the dtype. */
wn__accepts_fn wn__accepts_gpu_pack24;
/* F32, BF16 and F16, where cuBLASLt is found. */
wn__accepts_fn wn__accepts_gpu_matmul;
wn__workspace_fn wn__workspace_matmul_cublaslt;
/* The same on unpacked blocks, without relu^2. */
wn__accepts_fn wn__accepts_gpu_blocks_dense;
wn__workspace_fn wn__workspace_spmm24_blocks_cublaslt;

#endif
