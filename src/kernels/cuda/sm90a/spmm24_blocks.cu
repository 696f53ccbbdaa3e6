// SPDX-License-Identifier: MIT
// Products of blocks of 16-bit numbers, tile by tile (common/spmm24_tile.cuh).
#include "kernels/cuda/common/spmm24_tile.cuh"

#define ENTRIES(tile, consumers, panels, tokens, stages)                                           \
    WN_SPMM24_ENTRY(wn_spmm24_blocks_##tile##_bf16, operand_bf16, consumers, panels, tokens,       \
                    stages)                                                                        \
    WN_SPMM24_ENTRY(wn_spmm24_blocks_##tile##_f16, operand_f16, consumers, panels, tokens, stages)

ENTRIES(128x256, 2, 1, 256, 4)
ENTRIES(256x208, 2, 2, 208, 4)
ENTRIES(256x192, 2, 2, 192, 4)
ENTRIES(256x176, 2, 2, 176, 4)
ENTRIES(256x160, 2, 2, 160, 4)
ENTRIES(256x128, 2, 2, 128, 5)
ENTRIES(192x128, 3, 1, 128, 6)
ENTRIES(128x160, 2, 1, 160, 7)
ENTRIES(128x128, 2, 1, 128, 8)
ENTRIES(128x64, 2, 1, 64, 12)
