// SPDX-License-Identifier: MIT
// Products of blocks of 8-bit numbers by the largest tiles, and by those that fill waves which
// others do not.
#include "kernels/cuda/common/spmm24_tile.cuh"

typedef operand_e4m3<type_bf16> operand_e4m3_bf16;
typedef operand_e4m3<type_f16> operand_e4m3_f16;

#define ENTRIES(tile, consumers, panels, tokens, stages)                                           \
    WN_SPMM24_ENTRY(wn_spmm24_blocks8_##tile##_bf16, operand_e4m3_bf16, consumers, panels, tokens, \
                    stages)                                                                        \
    WN_SPMM24_ENTRY(wn_spmm24_blocks8_##tile##_f16, operand_e4m3_f16, consumers, panels, tokens,   \
                    stages)

ENTRIES(256x208, 2, 2, 208, 4)
ENTRIES(256x192, 2, 2, 192, 4)
ENTRIES(128x208, 2, 1, 208, 5)
