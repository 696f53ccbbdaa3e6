// SPDX-License-Identifier: MIT
// Products of few tokens by blocks of 16-bit numbers (common/few.cuh).
#include "kernels/cuda/common/few.cuh"

#define BF16(outputs, tokens, halves, deep, most)                                                  \
    WN_FEW_ENTRY(wn_few_bf16_##outputs##x##tokens, operand_bf16, outputs / 64, halves, tokens,     \
                 deep, most)
#define F16(outputs, tokens, halves, deep, most)                                                   \
    WN_FEW_ENTRY(wn_few_f16_##outputs##x##tokens, operand_f16, outputs / 64, halves, tokens, deep, \
                 most)
WN_FEW_SHAPES(BF16)
WN_FEW_SHAPES(F16)
