// SPDX-License-Identifier: MIT
// Products of blocks of 8-bit numbers, tile by tile (common/spmm24_tile.cuh).
#include "kernels/cuda/common/spmm24_tile.cuh"

WN_SPMM24_ENTRIES8(128x256, 2, 1, 256, 4)
WN_SPMM24_ENTRIES8(256x176, 2, 2, 176, 4)
WN_SPMM24_ENTRIES8(256x160, 2, 2, 160, 4)
WN_SPMM24_ENTRIES8(256x128, 2, 2, 128, 4)
WN_SPMM24_ENTRIES8(192x128, 3, 1, 128, 6)
WN_SPMM24_ENTRIES8(128x160, 2, 1, 160, 7)
WN_SPMM24_ENTRIES8(128x128, 2, 1, 128, 8)
WN_SPMM24_ENTRIES8(128x64, 2, 1, 64, 11)
