// SPDX-License-Identifier: MIT
/* What variants on a GPU refuse, each with its reason: the functions named in kernels.def. */
#ifndef WN_KERNELS_CUDA_ACCEPTS_H
#define WN_KERNELS_CUDA_ACCEPTS_H

#include "kernels/cuda/tiles.h"
#include "kernels/op.h"

/* F32, BF16 and F16, by rows or by exact tiles. */
wn__accepts_fn wn__accepts_gpu_mask24;
/* Elements of 2 and 4 bytes, for ops whose arguments begin with the tensor that sets the dtype. */
wn__accepts_fn wn__accepts_gpu_pack24;
/* F32, BF16 and F16, where cuBLASLt is found. */
wn__accepts_fn wn__accepts_gpu_matmul;
wn__workspace_fn wn__workspace_matmul_cublaslt;
/* The same on W as it is given or unpacked, without relu^2; of 8 bits on W that is given. */
wn__accepts_fn wn__accepts_gpu_blocks_dense, wn__accepts_gpu_blocks8_dense;
wn__workspace_fn wn__workspace_spmm24_blocks_cublaslt, wn__workspace_spmm24_blocks8_cublaslt;
/* The same, in groups of four. */
wn__accepts_fn wn__accepts_gpu_mvue24;
/* Elements of 2 and 4 bytes, no more than a grid holds. */
wn__accepts_fn wn__accepts_gpu_relu2;
/* No more blocks than a grid holds. */
wn__accepts_fn wn__accepts_gpu_block24;
/* 16-bit numbers, row strides of multiples of eight, something to add up. */
wn__accepts_fn wn__accepts_gpu_spmm24_blocks;
/* And a multiple of eight results in a row. */
wn__accepts_fn wn__accepts_gpu_spmm24_bulk;
/* Parts of sums, of the plan that a variant makes (tiles.h). */
wn__workspace_fn wn__workspace_spmm24_blocks_sm90a, wn__workspace_spmm24_blocks_sm90a_parts;
wn__workspace_fn wn__workspace_spmm24_blocks_sm90a_parts_few;
#define WN_TILE(rows, tokens, stages)                                                              \
    wn__workspace_fn wn__workspace_spmm24_blocks_sm90a_##rows##x##tokens;                          \
    wn__workspace_fn wn__workspace_spmm24_blocks_sm90a_##rows##x##tokens##x2;
WN_TILES(WN_TILE)
#undef WN_TILE
/* spmm24_blocks_columns by cuBLASLt on unpacked blocks. */
wn__accepts_fn wn__accepts_gpu_columns_dense;
wn__workspace_fn wn__workspace_spmm24_blocks_columns_cublaslt;
/* spmm24_blocks_rows: 16-bit numbers, strides of whole 16 bytes, c += of float32 only. */
wn__accepts_fn wn__accepts_gpu_blocks_rows;
/* And rows of 16-bit results of whole 16 bytes. */
wn__accepts_fn wn__accepts_gpu_blocks_rows_bulk;
wn__workspace_fn wn__workspace_blocks_rows_sm90a;
/* relu24_blocks: x of the dtype of blocks, rows of whole 16 bytes apart, something to add up. */
wn__accepts_fn wn__accepts_gpu_relu24_blocks;
wn__workspace_fn wn__workspace_relu24_blocks_sm90a;
#define WN_SHARED(rows, tokens, blocks)                                                            \
    wn__workspace_fn wn__workspace_spmm24_blocks_sm90a_##rows##x##tokens##s##blocks;
WN_SHARED_TILES(WN_SHARED)
#undef WN_SHARED
#define WN_NARROW(tokens)                                                                          \
    wn__workspace_fn wn__workspace_spmm24_blocks_sm90a_256x192r##tokens;                           \
    wn__workspace_fn wn__workspace_spmm24_blocks_sm90a_256x192x2r##tokens;
WN_NARROW_TILES(WN_NARROW)
#undef WN_NARROW
/* 8-bit operands: rows and blocks that a grid holds; row strides of x of multiples of 16, of y and
 * residual of 8, and a multiple of eight results in a row. */
wn__accepts_fn wn__accepts_gpu_rows8, wn__accepts_gpu_block8, wn__accepts_gpu_spmm24_blocks8;
wn__workspace_fn wn__workspace_spmm24_blocks8_sm90a, wn__workspace_spmm24_blocks8_sm90a_parts,
    wn__workspace_spmm24_blocks8_sm90a_128x256, wn__workspace_spmm24_blocks8_sm90a_256x176,
    wn__workspace_spmm24_blocks8_sm90a_256x176x2, wn__workspace_spmm24_blocks8_sm90a_256x160,
    wn__workspace_spmm24_blocks8_sm90a_256x160x2, wn__workspace_spmm24_blocks8_sm90a_256x128,
    wn__workspace_spmm24_blocks8_sm90a_192x128, wn__workspace_spmm24_blocks8_sm90a_128x160,
    wn__workspace_spmm24_blocks8_sm90a_128x128, wn__workspace_spmm24_blocks8_sm90a_128x64,
    wn__workspace_spmm24_blocks8_sm90a_128x128s2, wn__workspace_spmm24_blocks8_sm90a_256x208,
    wn__workspace_spmm24_blocks8_sm90a_256x208x2, wn__workspace_spmm24_blocks8_sm90a_256x192,
    wn__workspace_spmm24_blocks8_sm90a_256x192x2, wn__workspace_spmm24_blocks8_sm90a_256x192r64,
    wn__workspace_spmm24_blocks8_sm90a_256x192x2r128, wn__workspace_spmm24_blocks8_sm90a_128x208,
    wn__workspace_spmm24_blocks8_sm90a_256x200, wn__workspace_spmm24_blocks8_sm90a_256x200x2,
    wn__workspace_spmm24_blocks8_sm90a_parts_few;
/* Products of few tokens, where no tile of the larger kind is faster; and of one shape wherever it
 * can run. */
wn__accepts_fn wn__accepts_gpu_few, wn__accepts_gpu_few8, wn__accepts_gpu_few_shape,
    wn__accepts_gpu_few8_shape;
/* Factors of F32 (kron_mul), BF16 and F16; and chains that are fused, of the latter two. */
wn__accepts_fn wn__accepts_gpu_kron_mul, wn__accepts_gpu_kron_tf32, wn__accepts_gpu_kron_fused,
    wn__accepts_gpu_kron_rank, wn__accepts_gpu_kron_grad;
wn__workspace_fn wn__workspace_kron_mul_sm80, wn__workspace_kron_mul_sm90a_tf32,
    wn__workspace_kron_mul_sm90a_rank, wn__workspace_kron_grad_sm80,
    wn__workspace_kron_mul_sm90a_merged, wn__workspace_kron_pair_grad_sm80,
    wn__workspace_kron_pair_grad_cublaslt;
/* The same by permutations and batched products, where cuBLASLt is found. */
wn__accepts_fn wn__accepts_gpu_kron_mul_batched, wn__accepts_gpu_kron_grad_batched;
wn__workspace_fn wn__workspace_kron_mul_cublaslt, wn__workspace_kron_grad_cublaslt;
/* Factors of wide blocks, where their products take longer than putting blocks side by side. */
wn__accepts_fn wn__accepts_gpu_kron_wide, wn__accepts_gpu_kron_grad_wide,
    wn__accepts_gpu_kron_pair_wide;
wn__workspace_fn wn__workspace_kron_mul_sm90a_wide, wn__workspace_kron_grad_sm90a_wide,
    wn__workspace_kron_pair_grad_sm90a_wide;
/* Few vectors; of a gradient in float32 at least 16, and blocks that are not small. */
wn__accepts_fn wn__accepts_gpu_kron_few, wn__accepts_gpu_kron_grad_few;
wn__workspace_fn wn__workspace_kron_mul_sm80_few;
/* Chains whose neighbours are one factor together, of blocks of at most 64. */
wn__accepts_fn wn__accepts_gpu_kron_merged;
/* Both gradients; and where the gradient of the dense weight is found sooner. */
wn__accepts_fn wn__accepts_gpu_kron_pair_grad, wn__accepts_gpu_kron_pair_dense;
/* embed: whole bytes of any dtype. squared_error: y of 16 bits or F32. gradient_norms, fit_update:
 * F32, rounded to 16 bits or not; and no more than a grid holds. */
wn__accepts_fn wn__accepts_gpu_embed, wn__accepts_gpu_squared_error, wn__accepts_gpu_gradient_norms,
    wn__accepts_gpu_fit_update;
wn__workspace_fn wn__workspace_squared_error_sm80, wn__workspace_gradient_norms_sm80;

#endif
