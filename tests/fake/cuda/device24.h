// SPDX-License-Identifier: MIT
/* What the device code of 2:4 structure does: of sm80/structure24.cu in plain C from the
 * descriptions of mask24.h and pack24.h, of the other files by the references of the ops
 * (values24.h). Lets the launch path run without a GPU. */
#ifndef WN_TESTS_FAKE_DEVICE24_H
#define WN_TESTS_FAKE_DEVICE24_H

#include "tensor/cuda_abi.h"

/* How many kernels are known here. */
int fake_device24_count(void);
/* Whether `name` is a kernel known here; *which receives its number. */
int fake_device24_find(const char *name, int *which);
/* Runs it on its one argument; not 0: that is not what the device code takes for granted. */
int fake_device24_run(int which, const void *argument);
/* Bytes of that argument. */
unsigned long fake_device24_bytes(int which);
/* Whether it is launched in clusters of as many blocks as it counts on (1: none); kernels of few
 * tokens: and as many of each size. */
int fake_device24_fits(int which, const void *argument, const wn__cu_launch *launch,
                       unsigned cluster);

#endif
