// SPDX-License-Identifier: MIT
/* The processor's float32 multiply-add peak, measured: independent fused multiply-adds on
 * registers, on every thread of the pool at once. What a kernel's FLOP/s are divided by. */
#ifndef WN_KERNELS_PEAK_H
#define WN_KERNELS_PEAK_H

#include "kernels/op.h"

/* FLOP/s (two for each multiply-add and lane), the best of a few runs of about 5 ms each; WN_CPU is
 * respected. Only for the CPU. */
double wn__peak_flops(wn__exec *x);

/* Runs `rounds` rounds of multiply-adds and returns the FLOPs they took, storing something that
 * depends on all of them. */
typedef double wn__peak_fn(int64_t rounds, float *sink);
wn__peak_fn wn__peak_ref, wn__peak_avx2, wn__peak_avx512;

#endif
