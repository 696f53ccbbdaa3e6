// SPDX-License-Identifier: MIT
// Packed blocks written out as dense rows, zeros too. A thread has 16 columns of a row: one chunk
// of eight values, one half of a word, two stores of 16 bytes.
#include "kernels/cuda/args24.h"
#include "kernels/cuda/block24.h"

extern "C" __global__ void __launch_bounds__(WN_GPU_THREADS) wn_unblock24(wn__gpu_unblock24 p) {
    const int row = threadIdx.x / 4, q = threadIdx.x % 4; // 64 rows of 4 chunks: one block
    const int64_t columns = WN_BLOCK24_COLUMNS * p.across;
    for (int64_t panel = blockIdx.y; panel < p.panels; panel += gridDim.y) {
        const uint8_t *block = p.blocks + (panel * p.across + blockIdx.x) * WN_BLOCK24_BYTES;
        const uint4 four = *(const uint4 *)(block + WN_BLOCK24_VALUE(row, 8 * q));
        const uint32_t word =
            ((const uint32_t *)(block + WN_BLOCK24_VALUES))[WN_BLOCK24_WORD(row, q)] >>
            16 * (row / 8 % 2);
        const uint32_t kept[4] = {four.x, four.y, four.z, four.w};
        uint32_t out[8];
#pragma unroll
        for (int g = 0; g < 4; g++) {
            const uint32_t a = word >> 4 * g & 3, b = word >> (4 * g + 2) & 3;
            uint64_t group = (uint64_t)(kept[g] & 0xFFFF) << 16 * a;
            group |= (uint64_t)(kept[g] >> 16) << 16 * b;
            out[2 * g] = (uint32_t)group;
            out[2 * g + 1] = (uint32_t)(group >> 32);
        }
        uint4 *to = (uint4 *)(p.w + (WN_BLOCK24_ROWS * panel + row) * columns +
                              WN_BLOCK24_COLUMNS * blockIdx.x + 16 * q);
        to[0] = make_uint4(out[0], out[1], out[2], out[3]);
        to[1] = make_uint4(out[4], out[5], out[6], out[7]);
    }
}
