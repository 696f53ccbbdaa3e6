// SPDX-License-Identifier: MIT
// Products of blocks of 8-bit numbers, tile by tile (common/spmm24_tile.cuh).
#include "kernels/cuda/common/spmm24_tile.cuh"

typedef operand_e4m3<type_bf16> operand_e4m3_bf16;
typedef operand_e4m3<type_f16> operand_e4m3_f16;

#define ENTRIES(tile, consumers, panels, tokens, stages)                                           \
    WN_SPMM24_ENTRY(wn_spmm24_blocks8_##tile##_bf16, operand_e4m3_bf16, consumers, panels, tokens, \
                    stages)                                                                        \
    WN_SPMM24_ENTRY(wn_spmm24_blocks8_##tile##_f16, operand_e4m3_f16, consumers, panels, tokens,   \
                    stages)

ENTRIES(128x256, 2, 1, 256, 4)
ENTRIES(256x176, 2, 2, 176, 4)
ENTRIES(256x160, 2, 2, 160, 4)
ENTRIES(256x128, 2, 2, 128, 4)
ENTRIES(192x128, 3, 1, 128, 6)
ENTRIES(128x160, 2, 1, 160, 7)
ENTRIES(128x128, 2, 1, 128, 8)
ENTRIES(128x64, 2, 1, 64, 11)
