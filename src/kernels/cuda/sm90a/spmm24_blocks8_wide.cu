// SPDX-License-Identifier: MIT
// Products of blocks of 8-bit numbers by the largest tiles, and by those that fill waves which
// others do not.
#include "kernels/cuda/common/spmm24_tile.cuh"

WN_SPMM24_ENTRIES8(256x208, 2, 2, 208, 4)
WN_SPMM24_ENTRIES8(256x200, 2, 2, 200, 4)
WN_SPMM24_ENTRIES8(256x192, 2, 2, 192, 4)
WN_SPMM24_ENTRIES8(128x208, 2, 1, 208, 5)
