// SPDX-License-Identifier: MIT
// Products of blocks of 16-bit numbers by tiles that fill waves which others do not.
#include "kernels/cuda/common/spmm24_tile.cuh"

#define ENTRIES(tile, consumers, panels, tokens, stages)                                           \
    WN_SPMM24_ENTRY(wn_spmm24_blocks_##tile##_bf16, operand_bf16, consumers, panels, tokens,       \
                    stages)                                                                        \
    WN_SPMM24_ENTRY(wn_spmm24_blocks_##tile##_f16, operand_f16, consumers, panels, tokens, stages)

ENTRIES(128x208, 2, 1, 208, 6)
