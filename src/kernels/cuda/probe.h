// SPDX-License-Identifier: MIT
/* Whether a GPU does what its kernels need, and how fast it copies. */
#ifndef WN_KERNELS_CUDA_PROBE_H
#define WN_KERNELS_CUDA_PROBE_H

#include "tensor/cuda.h"

/* Packs the 64 x 64 bfloat16 values w (row-major), of which mask keeps two in every group of four
 * columns (bit 4 r + c of mask[group] ...: one byte a value, nonzero kept), into one block.
 * The scalar specification of block24.h. */
void wn__block24_pack(const uint16_t *w, const uint8_t *keep, uint8_t *block);

/* One sparse product of 8 tokens by a block that holds all six patterns, of small integers, so
 * exact: OK or DEVICE with the first wrong number. image: probe_sm80 or probe_sm90a. */
WN_NODISCARD wn_status wn__cuda_probe(wn__cuda *d, const wn__cuda_image *image);

/* Bytes read plus bytes written a second by a copy of up to 512 MiB (an eighth of what is free, if
 * less), the median of seven. */
WN_NODISCARD wn_status wn__cuda_copy_rate(wn__cuda *d, double *rate);

#endif
