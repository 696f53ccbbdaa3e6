// SPDX-License-Identifier: MIT
/* What sm90a/few.cu and few8.cu do: the reference of spmm24_blocks or spmm24_blocks8 on the
 * arguments that a launch brought. Not 0: they are not what the function of that name takes for
 * granted. */
#ifndef WN_TESTS_FAKE_FEW_H
#define WN_TESTS_FAKE_FEW_H

#include "tensor/cuda_abi.h"
#include "tensor/tensor.h"

int fake_few(const void *argument, const char *name);
/* Whether blocks of threads, their clusters and their shared memory are what it counts on. */
int fake_few_fits(const void *argument, const char *name, const wn__cu_launch *l, unsigned cluster);

#endif
