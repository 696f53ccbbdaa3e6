// SPDX-License-Identifier: MIT
/* The doctor's part about GPUs. */
#ifndef WN_INFER_DOCTOR_GPU_H
#define WN_INFER_DOCTOR_GPU_H

#include "base/json.h"
#include <stdio.h>

/* Adds "cuda": what device code this build has, the driver's devices with a self-test and the copy
 * rate of each, the libraries found. *healthy becomes false when a self-test fails; a machine
 * without a GPU is healthy. */
WN_NODISCARD wn_status wn__doctor_gpu(wn__json *root, bool *healthy);
/* The same as lines of text. */
void wn__doctor_gpu_text(const wn__json *root, FILE *f);

#endif
