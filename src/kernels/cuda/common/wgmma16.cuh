// SPDX-License-Identifier: MIT
/* wgmma.mma_async of 16-bit numbers: d[64,N] (+)= A B, 16 of k, both in shared memory; d is float,
 * N/2 numbers a thread. ACROSS: both lie along M and N, by rows of k; else along k. */
#ifndef WN_KERNELS_CUDA_COMMON_WGMMA16_CUH
#define WN_KERNELS_CUDA_COMMON_WGMMA16_CUH

#include "kernels/cuda/common/wgmma_sp.cuh"

template <class T, int N, bool ACROSS> struct dense_product;

#define WN_DENSE_PRODUCT(T, TEXT, ACROSS, DIGIT, N, A, B, ADD)                                     \
    template <> struct dense_product<T, N, ACROSS> {                                               \
        static __device__ __forceinline__ void run(float (&d)[N / 2], uint64_t a, uint64_t b,      \
                                                   int add) {                                      \
            asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, " ADD ", 0;\n\t"                    \
                         "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TEXT "." TEXT " "       \
                         "{" WN_REGISTERS_##N "}, " A ", " B ", p, 1, 1, " DIGIT ", " DIGIT        \
                                              ";\n\t}"                                             \
                         : WN_SUMS_##N(d)                                                          \
                         : "l"(a), "l"(b), "r"(add));                                              \
        }                                                                                          \
    };
#define WN_DENSE_PRODUCTS(T, TEXT, ACROSS, DIGIT)                                                  \
    WN_DENSE_PRODUCT(T, TEXT, ACROSS, DIGIT, 64, "%32", "%33", "%34")                              \
    WN_DENSE_PRODUCT(T, TEXT, ACROSS, DIGIT, 128, "%64", "%65", "%66")                             \
    WN_DENSE_PRODUCT(T, TEXT, ACROSS, DIGIT, 192, "%96", "%97", "%98")                             \
    WN_DENSE_PRODUCT(T, TEXT, ACROSS, DIGIT, 256, "%128", "%129", "%130")
WN_DENSE_PRODUCTS(type_bf16, "bf16", false, "0")
WN_DENSE_PRODUCTS(type_f16, "f16", false, "0")
WN_DENSE_PRODUCTS(type_bf16, "bf16", true, "1")
WN_DENSE_PRODUCTS(type_f16, "f16", true, "1")

#endif
