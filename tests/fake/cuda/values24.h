// SPDX-License-Identifier: MIT
/* What sm80/tile24.cu, sm80/values24.cu and sm80/mvue24.cu do: the reference of each op on the
 * arguments that a launch brought. */
#ifndef WN_TESTS_FAKE_VALUES24_H
#define WN_TESTS_FAKE_VALUES24_H

#include "tensor/tensor.h"

void fake_tile24(const void *argument, wn_dtype dtype);
void fake_soft24(const void *argument, wn_dtype dtype);
void fake_dots24(const void *argument, wn_dtype dtype);
void fake_dots24_rows(const void *argument);
void fake_apply24(const void *argument, wn_dtype dtype);
void fake_decay24(const void *argument, wn_dtype dtype);
/* axis as mvue24's. */
void fake_mvue24(const void *argument, wn_dtype dtype, int axis, int approx);
void fake_mvue24_pack(const void *argument, wn_dtype dtype, int approx);
void fake_mvue24_blocks(const void *argument, wn_dtype dtype, int approx);
/* 1 where its map is not that of x. */
int fake_relu24_blocks(const void *argument, const char *name, wn_dtype dtype);
void fake_relu2(const void *argument, wn_dtype dtype, int gradient);
void fake_tokens24(const void *argument, wn_dtype dtype);
void fake_begin24(const void *argument);

#endif
