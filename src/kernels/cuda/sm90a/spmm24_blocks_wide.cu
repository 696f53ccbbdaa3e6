// SPDX-License-Identifier: MIT
// Products of blocks of 16-bit numbers by tiles that fill waves which others do not.
#include "kernels/cuda/common/spmm24_tile.cuh"

WN_SPMM24_ENTRIES16(256x200, 2, 2, 200, 4)
WN_SPMM24_ENTRIES16(128x232, 2, 1, 232, 5)
WN_SPMM24_ENTRIES16(128x208, 2, 1, 208, 6)
