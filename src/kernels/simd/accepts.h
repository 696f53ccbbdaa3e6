// SPDX-License-Identifier: MIT
/* What the vector variants can run and the workspace they ask for: the functions named in
 * kernels.def. */
#ifndef WN_KERNELS_SIMD_ACCEPTS_H
#define WN_KERNELS_SIMD_ACCEPTS_H

#include "kernels/op.h"

/* F32 only, for every op whose arguments begin with the tensor that sets the dtype. */
wn__accepts_fn wn__accepts_f32;
/* F32 and BF16. */
wn__accepts_fn wn__accepts_f32_bf16;
/* F32, BF16 and F16. */
wn__accepts_fn wn__accepts_f32_16;
/* BF16, by the same tensor. */
wn__accepts_fn wn__accepts_bf16;
/* BF16, draws included. */
wn__accepts_fn wn__accepts_spmm24_rows_bf16;
/* BF16, and F32 that holds nothing else (rounded16). */
wn__accepts_fn wn__accepts_matmul_bf16, wn__accepts_spmm24_bf16;
/* F32, and more tokens than are multiplied where they stand: those want wide vectors. */
wn__accepts_fn wn__accepts_spmm24_tiles;
/* Of table or dtable. */
wn__accepts_fn wn__accepts_f32_embed;
/* Not greedy, whose choices follow from each other. */
/* In groups of 4. */
wn__accepts_fn wn__accepts_f32_mvue24;
wn__accepts_fn wn__accepts_matmul_cblas;
/* F32, BF16 and F16, of two factors with a common pattern whose right one does not interleave. */
wn__accepts_fn wn__accepts_kron_pair_simd;
wn__accepts_fn wn__accepts_kron_mul_cblas, wn__accepts_kron_grad_cblas;
/* One dtype, or F32 and BF16, and rows that are contiguous on both sides. */
wn__accepts_fn wn__accepts_copy_rows;

/* F32 and BF16 weights, and the others. */
wn__accepts_fn wn__accepts_stream_float, wn__accepts_stream_integer, wn__accepts_stream_quads;
/* F32 and BF16 weights, of any format. */
wn__accepts_fn wn__accepts_stream_pack;
wn__accepts_fn wn__accepts_kron_pack_avx2, wn__accepts_kron_pack_avx512;
/* Streams of floats as F32, from the first row of a tile on; 2:4 in the packed form. */
wn__accepts_fn wn__accepts_stream_unpack;

wn__workspace_fn wn__workspace_matmul_avx2, wn__workspace_matmul_avx512,
    wn__workspace_matmul_avx512bf16, wn__workspace_matmul_amx;
wn__workspace_fn wn__workspace_spmm24_avx2, wn__workspace_spmm24_avx512,
    wn__workspace_spmm24_avx512bf16, wn__workspace_spmm24_amx;
wn__workspace_fn wn__workspace_spmm24_rows_avx2, wn__workspace_spmm24_rows_avx512,
    wn__workspace_spmm24_rows_avx512bf16;
wn__workspace_fn wn__workspace_spmm24_columns_avx2, wn__workspace_spmm24_columns_avx512,
    wn__workspace_spmm24_columns_avx512bf16;
wn__workspace_fn wn__workspace_sddmm24_avx2, wn__workspace_sddmm24_avx512,
    wn__workspace_sddmm24_avx512_cut, wn__workspace_sddmm24_avx512bf16;
/* x of a pass as the weights meet it. */
wn__workspace_fn wn__workspace_stream_avx2, wn__workspace_stream_avx512,
    wn__workspace_stream_avx512vbmi;
/* Packed factors, places, and panels of each worker; ref: two vectors of each. */
wn__workspace_fn wn__workspace_kron_pair_grad_ref, wn__workspace_kron_pair_grad_avx2,
    wn__workspace_kron_pair_grad_avx512;
wn__workspace_fn wn__workspace_kron_mul_ref, wn__workspace_kron_mul_avx2,
    wn__workspace_kron_mul_avx512, wn__workspace_kron_mul_cblas;
/* Sums and what they are made of, of each worker. */
wn__workspace_fn wn__workspace_kron_grad_avx2, wn__workspace_kron_grad_avx512,
    wn__workspace_kron_grad_cblas;
/* A result for each chunk of sum, sumsq and nonfinite. */
wn__workspace_fn wn__workspace_reduce;
/* The sum of dweight over each part of the rows. */
wn__workspace_fn wn__workspace_rmsnorm_grad;
/* Sums of squares by row, by column in parts of the rows, and their inverse roots. */
wn__workspace_fn wn__workspace_adafactor;
/* What is drawn. */
wn__workspace_fn wn__workspace_mvue24_tokens_ref, wn__workspace_mvue24_blocks_ref,
    wn__workspace_relu24_blocks_ref;
/* Three sums for each row. */
wn__workspace_fn wn__workspace_soft24_dots;
/* A byte for each token where they have an order. */
wn__workspace_fn wn__workspace_tokens24;
/* Blocks of queries, keys and weights for each worker. */
wn__workspace_fn wn__workspace_attention_avx2, wn__workspace_attention_avx512,
    wn__workspace_attention_grad_avx2, wn__workspace_attention_grad_avx512;

#endif
