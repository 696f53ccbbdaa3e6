// SPDX-License-Identifier: MIT
/* What the device code of Kronecker-sparse factors does, in plain C. Results: 0, or 1 where an
 * argument is not what the device code takes for granted. */
#ifndef WN_TESTS_FAKE_KRON_H
#define WN_TESTS_FAKE_KRON_H

#include "winnow/tensor.h"

/* y (+)= x W^T by `ref`; 1 without room for it, or where w has no data. */
int fake_kron_multiply(const wn_tensor *w, const wn_tensor *x, const wn_tensor *y, int accumulate);
int fake_kron_pack(const void *argument);
/* lanes: whether 16 blocks are taken together. */
int fake_kron_factor(const void *argument, wn_dtype dtype, int lanes);
/* factors: 2 of 64 x 64, 3 of 16 x 16; turned: the transposed chain. */
int fake_kron_fused(const void *argument, wn_dtype dtype, int factors, int turned);
int fake_kron_rank_pack(const void *argument);
int fake_kron_rank_turn(const void *argument);
/* Products and gradients of wide blocks, by their outputs. */
#define FAKE_KRON_WIDTHS(OUTPUTS) OUTPUTS("64") OUTPUTS("128") OUTPUTS("192") OUTPUTS("256")
int fake_kron_wide_turn(const void *argument, const char *name);
int fake_kron_wide_pack(const void *argument);
int fake_kron_wide(const void *argument, wn_dtype dtype, const char *name);
int fake_kron_wide_grad(const void *argument, wn_dtype dtype, const char *name);
int fake_kron_held(const void *argument, wn_dtype dtype, int join);
int fake_kron_rank(const void *argument, wn_dtype dtype, int rank8);
int fake_kron_grad(const void *argument, wn_dtype dtype, int lanes);
/* Gradients in float32, by their names; and of their argument, or that of the sum of all parts. */
#define FAKE_KRON_GRADS(GRAD)                                                                      \
    GRAD("wn_kron_grad_small2_f32")                                                                \
    GRAD("wn_kron_grad_small4_f32")                                                                \
    GRAD("wn_kron_grad_small8_f32")                                                                \
    GRAD("wn_kron_grad_rows_f32") GRAD("wn_kron_grad_quads_f32") GRAD("wn_kron_grad_tf32")
unsigned long fake_kron_grad_f32_bytes(int sum);
int fake_kron_grad_f32(const void *argument, const char *name);
int fake_kron_grad_sum_f32(const void *argument);
int fake_kron_merge(const void *argument, wn_dtype dtype);
int fake_kron_dense(const void *argument, wn_dtype dtype);
int fake_kron_grad_sum(const void *argument, wn_dtype dtype);

#endif
