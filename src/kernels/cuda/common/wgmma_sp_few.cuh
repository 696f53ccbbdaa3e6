// SPDX-License-Identifier: MIT
/* wgmma.mma_async.sp of 8, 16 and 32 columns of B, where results are few (wgmma_sp.cuh has the
 * wider ones). */
#ifndef WN_KERNELS_CUDA_COMMON_WGMMA_SP_FEW_CUH
#define WN_KERNELS_CUDA_COMMON_WGMMA_SP_FEW_CUH

#include "kernels/cuda/common/wgmma_sp.cuh"

#define WN_REGISTERS_8  "%0, %1, %2, %3"
#define WN_REGISTERS_16 WN_REGISTERS_8 ", %4, %5, %6, %7"
#define WN_REGISTERS_32 WN_REGISTERS_16 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define WN_REGISTERS_96                                                                            \
    WN_REGISTERS_64 ", %32, %33, %34, %35, %36, %37, %38, %39"                                     \
                    ", %40, %41, %42, %43, %44, %45, %46, %47"
#define WN_SUMS_8(d)  WN_SUMS_4(d, 0)
#define WN_SUMS_32(d) WN_SUMS_16(d, 0)
#define WN_SUMS_96(d) WN_SUMS_64(d), WN_SUMS_16(d, 32)

#define WN_SUMS_OF_16(d) WN_SUMS_4(d, 0), WN_SUMS_4(d, 4)

#define WN_SPARSE_FEW(T, TEXT, N, SUMS, A, B, E, ADD, SELECTED)                                    \
    template <> struct sparse_product<T, N> {                                                      \
        template <int SELECTOR>                                                                    \
        static __device__ __forceinline__ void run(float (&d)[N / 2], uint64_t a, uint64_t b,      \
                                                   uint32_t e, int add) {                          \
            asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, " ADD ", 0;\n\t"                    \
                         "wgmma.mma_async.sp.sync.aligned.m64n" #N "k32.f32." TEXT "." TEXT " "    \
                         "{" WN_REGISTERS_##N "}, " A ", " B ", " E ", " SELECTED                  \
                                              ", p, 1, 1, 0, 0;\n\t}"                              \
                         : SUMS(d)                                                                 \
                         : "l"(a), "l"(b), "r"(e), "r"(add), "n"(SELECTOR));                       \
        }                                                                                          \
    };
#define WN_SPARSE_FEW_ALL(T, TEXT)                                                                 \
    WN_SPARSE_FEW(T, TEXT, 8, WN_SUMS_8, "%4", "%5", "%6", "%7", "%8")                             \
    WN_SPARSE_FEW(T, TEXT, 16, WN_SUMS_OF_16, "%8", "%9", "%10", "%11", "%12")                     \
    WN_SPARSE_FEW(T, TEXT, 32, WN_SUMS_32, "%16", "%17", "%18", "%19", "%20")                      \
    WN_SPARSE_FEW(T, TEXT, 96, WN_SUMS_96, "%48", "%49", "%50", "%51", "%52")
WN_SPARSE_FEW_ALL(operand_bf16, "bf16")
WN_SPARSE_FEW_ALL(operand_f16, "f16")

#define WN_SPARSE_FEW8(N, SUMS, A, B, E, ADD)                                                      \
    template <class OUT> struct sparse_product<operand_e4m3<OUT>, N> {                             \
        template <int HALF>                                                                        \
        static __device__ __forceinline__ void run(float (&d)[N / 2], uint64_t a, uint64_t b,      \
                                                   uint32_t e, int add) {                          \
            asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, " ADD ", 0;\n\t"                    \
                         "wgmma.mma_async.sp.sync.aligned.m64n" #N "k64.f32.e4m3.e4m3 "            \
                         "{" WN_REGISTERS_##N "}, " A ", " B ", " E ", 0, p, 1, 1;\n\t}"           \
                         : SUMS(d)                                                                 \
                         : "l"(a), "l"(b), "r"(e), "r"(add));                                      \
        }                                                                                          \
    };
WN_SPARSE_FEW8(8, WN_SUMS_8, "%4", "%5", "%6", "%7")
WN_SPARSE_FEW8(16, WN_SUMS_OF_16, "%8", "%9", "%10", "%11")
WN_SPARSE_FEW8(32, WN_SUMS_32, "%16", "%17", "%18", "%19")
WN_SPARSE_FEW8(96, WN_SUMS_96, "%48", "%49", "%50", "%51")

#endif
