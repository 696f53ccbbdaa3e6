// SPDX-License-Identifier: MIT
/* What the device code of factors shares: rows of 64 numbers in shared memory, and results that go
 * out one by one. */
#ifndef WN_KERNELS_CUDA_COMMON_KRON_CUH
#define WN_KERNELS_CUDA_COMMON_KRON_CUH

#include "kernels/cuda/args_kron.h"
#include "kernels/cuda/common/mma16.cuh"

/* Chunk of 16 bytes in a row of 128: rows of eight do not collide. */
static __device__ __forceinline__ uint32_t chunk_at(int row, int chunk) {
    return (uint32_t)(row * 128 + ((chunk ^ (row & 7)) << 4));
}

/* A warp's 32 vectors of 64 outputs, one number at a time, to any strides, through 4096 bytes of
 * its own. */
template <class T>
static __device__ __forceinline__ void store_each(const wn__gpu_kron_factor &p, uint32_t mine,
                                                  const float (&d)[2][8][4], int vector, int first,
                                                  int64_t feature) {
    const int lane = (int)threadIdx.x & 31;
    const bool by_vector = p.y_vector == 1;
#pragma unroll
    for (int m = 0; m < 2; m++) {
        __syncwarp();
#pragma unroll
        for (int t = 0; t < 8; t++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                put32(mine + ((lane >> 2) + 8 * (e >> 1)) * 256 +
                          (8 * t + 2 * (lane & 3) + (e & 1)) * 4,
                      __float_as_uint(d[m][t][e]));
        __syncwarp();
#pragma unroll 1
        for (int i = 0; i < 32; i++) {
            const int row = by_vector ? lane & 15 : i / 2;
            const int j = by_vector ? 2 * i + (lane >> 4) : 32 * (i & 1) + lane;
            const int v = vector + 16 * m + row;
            if (v >= p.n || first + j >= p.b) continue;
            uint16_t *y = p.y + v * p.y_vector + (feature + (int64_t)j * p.d) * p.y_feature;
            const float old = p.accumulate != 0 ? T::wide(*y) : 0;
            *y = (uint16_t)T::pair(get_float(mine + row * 256 + j * 4) + old, 0);
        }
    }
    __syncwarp();
}

#endif
