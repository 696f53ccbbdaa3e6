// SPDX-License-Identifier: MIT
/* What sm90a/few.cu and few8.cu do: the reference of spmm24_blocks or spmm24_blocks8 on the
 * arguments that a launch brought. Not 0: they are not what the function of that name takes for
 * granted. */
#ifndef WN_TESTS_FAKE_FEW_H
#define WN_TESTS_FAKE_FEW_H

#include "tensor/tensor.h"

int fake_few(const void *argument, const char *name);

#endif
