// SPDX-License-Identifier: MIT
/* The products of wgmma_sp.cuh with B along either side: ACROSS, it is stored by rows of k, N lies
 * along memory. */
#ifndef WN_KERNELS_CUDA_COMMON_WGMMA_SP_ROWS_CUH
#define WN_KERNELS_CUDA_COMMON_WGMMA_SP_ROWS_CUH

#include "kernels/cuda/common/wgmma_sp.cuh"

template <class T, int N, bool ACROSS> struct sparse_product_rows;

#define WN_SPARSE_PRODUCT_ROWS(T, TEXT, ACROSS, DIGIT, N, A, B, E, ADD, SELECTED)                  \
    template <> struct sparse_product_rows<T, N, ACROSS> {                                         \
        template <int SELECTOR>                                                                    \
        static __device__ __forceinline__ void run(float (&d)[N / 2], uint64_t a, uint64_t b,      \
                                                   uint32_t e, int add) {                          \
            asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, " ADD ", 0;\n\t"                    \
                         "wgmma.mma_async.sp.sync.aligned.m64n" #N "k32.f32." TEXT "." TEXT " "    \
                         "{" WN_REGISTERS_##N "}, " A ", " B ", " E ", " SELECTED                  \
                                              ", p, 1, 1, 0, " DIGIT ";\n\t}"                      \
                         : WN_SUMS_##N(d)                                                          \
                         : "l"(a), "l"(b), "r"(e), "r"(add), "n"(SELECTOR));                       \
        }                                                                                          \
    };
#define WN_SPARSE_PRODUCTS_ROWS(T, TEXT, ACROSS, DIGIT)                                            \
    WN_SPARSE_PRODUCT_ROWS(T, TEXT, ACROSS, DIGIT, 128, "%64", "%65", "%66", "%67", "%68")         \
    WN_SPARSE_PRODUCT_ROWS(T, TEXT, ACROSS, DIGIT, 192, "%96", "%97", "%98", "%99", "%100")        \
    WN_SPARSE_PRODUCT_ROWS(T, TEXT, ACROSS, DIGIT, 256, "%128", "%129", "%130", "%131", "%132")
WN_SPARSE_PRODUCTS_ROWS(type_bf16, "bf16", false, "0")
WN_SPARSE_PRODUCTS_ROWS(type_f16, "f16", false, "0")
WN_SPARSE_PRODUCTS_ROWS(type_bf16, "bf16", true, "1")
WN_SPARSE_PRODUCTS_ROWS(type_f16, "f16", true, "1")

/* Such a B in boxes of 64 along N: 8 of k to the next 1024 bytes further, 64 of N `next64` bytes
 * further, swizzle of 128 bytes. */
static __device__ __forceinline__ uint64_t matrix_across(uint32_t address, uint32_t next64) {
    return (uint64_t)(1u << 30 | 1024u >> 4) << 32 |
           (uint64_t)((address & 0x3FFFF) >> 4 | (next64 >> 4) << 16);
}

#endif
