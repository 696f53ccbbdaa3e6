// SPDX-License-Identifier: MIT
// Products of few tokens by blocks of 8-bit numbers (common/few.cuh).
#include "kernels/cuda/common/few.cuh"

typedef operand_e4m3<type_bf16> operand_e4m3_bf16;
typedef operand_e4m3<type_f16> operand_e4m3_f16;

#define BF16(outputs, tokens, halves, deep, most)                                                  \
    WN_FEW_ENTRY(wn_few8_bf16_##outputs##x##tokens, operand_e4m3_bf16, outputs / 64, halves,       \
                 tokens, deep, most)
#define F16(outputs, tokens, halves, deep, most)                                                   \
    WN_FEW_ENTRY(wn_few8_f16_##outputs##x##tokens, operand_e4m3_f16, outputs / 64, halves, tokens, \
                 deep, most)
WN_FEW_SHAPES(BF16)
WN_FEW_SHAPES(F16)
