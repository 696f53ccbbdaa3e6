// SPDX-License-Identifier: MIT
/* wgmma.mma_async of TF32: d[64,64] (+)= A B, 8 of k. A in registers, as mma_tf32 has it (tf32.cuh)
 * for each warp's 16 rows; B in shared memory along k; d is float, 32 numbers a thread. Bits beyond
 * the 11 of a number are not looked at. */
#ifndef WN_KERNELS_CUDA_COMMON_WGMMA_TF32_CUH
#define WN_KERNELS_CUDA_COMMON_WGMMA_TF32_CUH

#include "kernels/cuda/common/wgmma_sp.cuh"

template <bool ADD>
static __device__ __forceinline__ void product_tf32(float (&d)[32], const uint32_t (&a)[4],
                                                    uint64_t b) {
    asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %37, 0;\n\t"
                 "wgmma.mma_async.sync.aligned.m64n64k8.f32.tf32.tf32 "
                 "{" WN_REGISTERS_64 "}, {%32, %33, %34, %35}, %36, p, 1, 1;\n\t}"
                 : WN_SUMS_64(d)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(ADD ? 1 : 0));
}

#endif
