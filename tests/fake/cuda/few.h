// SPDX-License-Identifier: MIT
/* What sm90a/few.cu does: the reference of spmm24_blocks on the arguments that a launch brought. */
#ifndef WN_TESTS_FAKE_FEW_H
#define WN_TESTS_FAKE_FEW_H

#include "tensor/tensor.h"

void fake_few(const void *argument, wn_dtype dtype);

#endif
