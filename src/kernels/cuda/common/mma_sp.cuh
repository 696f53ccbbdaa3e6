// SPDX-License-Identifier: MIT
/* mma.sp.m16n8k32 of 16-bit numbers with sums in float: d += a b, a 2:4. SELECTOR: which half of
 * a quad's lanes holds the places e. */
#ifndef WN_KERNELS_CUDA_COMMON_MMA_SP_CUH
#define WN_KERNELS_CUDA_COMMON_MMA_SP_CUH

#include "kernels/cuda/common/mma16.cuh"

template <class T, int SELECTOR> struct mma_sp;
#define WN_MMA_SP(T, TEXT, SELECTOR)                                                               \
    template <> struct mma_sp<T, SELECTOR> {                                                       \
        static __device__ __forceinline__ void run(float (&d)[4], const uint32_t (&a)[4],          \
                                                   const uint32_t (&b)[4], uint32_t e) {           \
            asm volatile("mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32." TEXT        \
                         "." TEXT ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9, %10, %11}, "  \
                         "{%0, %1, %2, %3}, %12, %13;"                                             \
                         : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                          \
                         : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]),       \
                           "r"(b[2]), "r"(b[3]), "r"(e), "n"(SELECTOR));                           \
        }                                                                                          \
    };
WN_MMA_SP(type_bf16, "bf16", 0)
WN_MMA_SP(type_bf16, "bf16", 1)
WN_MMA_SP(type_f16, "f16", 0)
WN_MMA_SP(type_f16, "f16", 1)
#undef WN_MMA_SP

#endif
