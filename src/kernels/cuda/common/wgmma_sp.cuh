// SPDX-License-Identifier: MIT
/* wgmma.mma_async.sp: d[64,N] (+)= A B, A 64 x 32 16-bit numbers (64 x 64 of 8 bits) with two of
 * every four kept, B 32 x N (64 x N), both in shared memory; d is float, N/2 numbers a thread. */
#ifndef WN_KERNELS_CUDA_COMMON_WGMMA_SP_CUH
#define WN_KERNELS_CUDA_COMMON_WGMMA_SP_CUH

#include "kernels/cuda/block24.h"
#include "kernels/cuda/common/number16.cuh"

#define WN_REGISTERS_64                                                                            \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"                         \
    ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define WN_REGISTERS_128                                                                           \
    WN_REGISTERS_64                                                                                \
    ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"             \
    ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define WN_REGISTERS_160                                                                           \
    WN_REGISTERS_128                                                                               \
    ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define WN_REGISTERS_176 WN_REGISTERS_160 ", %80, %81, %82, %83, %84, %85, %86, %87"
#define WN_REGISTERS_192                                                                           \
    WN_REGISTERS_128                                                                               \
    ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"             \
    ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define WN_REGISTERS_200 WN_REGISTERS_192 ", %96, %97, %98, %99"
#define WN_REGISTERS_208 WN_REGISTERS_192 ", %96, %97, %98, %99, %100, %101, %102, %103"
#define WN_REGISTERS_232                                                                           \
    WN_REGISTERS_208                                                                               \
    ", %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115"
#define WN_REGISTERS_256                                                                           \
    WN_REGISTERS_192                                                                               \
    ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111" \
    ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, " \
    "%127"

#define WN_SUMS_4(d, i) "+f"((d)[i]), "+f"((d)[(i) + 1]), "+f"((d)[(i) + 2]), "+f"((d)[(i) + 3])
#define WN_SUMS_16(d, i)                                                                           \
    WN_SUMS_4(d, i), WN_SUMS_4(d, (i) + 4), WN_SUMS_4(d, (i) + 8), WN_SUMS_4(d, (i) + 12)
#define WN_SUMS_64(d)  WN_SUMS_16(d, 0), WN_SUMS_16(d, 16)
#define WN_SUMS_128(d) WN_SUMS_64(d), WN_SUMS_16(d, 32), WN_SUMS_16(d, 48)
#define WN_SUMS_160(d) WN_SUMS_128(d), WN_SUMS_16(d, 64)
#define WN_SUMS_176(d) WN_SUMS_160(d), WN_SUMS_4(d, 80), WN_SUMS_4(d, 84)
#define WN_SUMS_192(d) WN_SUMS_128(d), WN_SUMS_16(d, 64), WN_SUMS_16(d, 80)
#define WN_SUMS_200(d) WN_SUMS_192(d), WN_SUMS_4(d, 96)
#define WN_SUMS_208(d) WN_SUMS_192(d), WN_SUMS_4(d, 96), WN_SUMS_4(d, 100)
#define WN_SUMS_232(d) WN_SUMS_208(d), WN_SUMS_4(d, 104), WN_SUMS_4(d, 108), WN_SUMS_4(d, 112)
#define WN_SUMS_256(d) WN_SUMS_192(d), WN_SUMS_16(d, 96), WN_SUMS_16(d, 112)

/* Operands: the type of results, the bytes and columns of a block, words of places a thread. */
struct operand_bf16 {
    typedef type_bf16 out;
    enum { BLOCK = WN_BLOCK24_BYTES, COLUMNS = WN_BLOCK24_COLUMNS, WORDS = 1 };
};
struct operand_f16 {
    typedef type_f16 out;
    enum { BLOCK = WN_BLOCK24_BYTES, COLUMNS = WN_BLOCK24_COLUMNS, WORDS = 1 };
};
template <class OUT> struct operand_e4m3 {
    typedef OUT out;
    enum { BLOCK = WN_BLOCK8_BYTES, COLUMNS = WN_BLOCK8_COLUMNS, WORDS = 2 };
};

template <class T, int N> struct sparse_product;

/* d = A B where add is 0, else d += A B. SELECTOR: which lanes' words say what is kept. */
#define WN_SPARSE_PRODUCT(T, TEXT, N, A, B, E, ADD, SELECTED)                                      \
    template <> struct sparse_product<T, N> {                                                      \
        template <int SELECTOR>                                                                    \
        static __device__ __forceinline__ void run(float (&d)[N / 2], uint64_t a, uint64_t b,      \
                                                   uint32_t e, int add) {                          \
            asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, " ADD ", 0;\n\t"                    \
                         "wgmma.mma_async.sp.sync.aligned.m64n" #N "k32.f32." TEXT "." TEXT " "    \
                         "{" WN_REGISTERS_##N "}, " A ", " B ", " E ", " SELECTED                  \
                                              ", p, 1, 1, 0, 0;\n\t}"                              \
                         : WN_SUMS_##N(d)                                                          \
                         : "l"(a), "l"(b), "r"(e), "r"(add), "n"(SELECTOR));                       \
        }                                                                                          \
    };
#define WN_SPARSE_PRODUCT_64(T, TEXT)                                                              \
    WN_SPARSE_PRODUCT(T, TEXT, 64, "%32", "%33", "%34", "%35", "%36")
#define WN_SPARSE_PRODUCT_128(T, TEXT)                                                             \
    WN_SPARSE_PRODUCT(T, TEXT, 128, "%64", "%65", "%66", "%67", "%68")
#define WN_SPARSE_PRODUCT_160(T, TEXT)                                                             \
    WN_SPARSE_PRODUCT(T, TEXT, 160, "%80", "%81", "%82", "%83", "%84")
#define WN_SPARSE_PRODUCT_176(T, TEXT)                                                             \
    WN_SPARSE_PRODUCT(T, TEXT, 176, "%88", "%89", "%90", "%91", "%92")
#define WN_SPARSE_PRODUCT_192(T, TEXT)                                                             \
    WN_SPARSE_PRODUCT(T, TEXT, 192, "%96", "%97", "%98", "%99", "%100")
#define WN_SPARSE_PRODUCT_200(T, TEXT)                                                             \
    WN_SPARSE_PRODUCT(T, TEXT, 200, "%100", "%101", "%102", "%103", "%104")
#define WN_SPARSE_PRODUCT_208(T, TEXT)                                                             \
    WN_SPARSE_PRODUCT(T, TEXT, 208, "%104", "%105", "%106", "%107", "%108")
#define WN_SPARSE_PRODUCT_232(T, TEXT)                                                             \
    WN_SPARSE_PRODUCT(T, TEXT, 232, "%116", "%117", "%118", "%119", "%120")
#define WN_SPARSE_PRODUCT_256(T, TEXT)                                                             \
    WN_SPARSE_PRODUCT(T, TEXT, 256, "%128", "%129", "%130", "%131", "%132")
WN_SPARSE_PRODUCT_64(operand_bf16, "bf16")
WN_SPARSE_PRODUCT_64(operand_f16, "f16")
WN_SPARSE_PRODUCT_128(operand_bf16, "bf16")
WN_SPARSE_PRODUCT_128(operand_f16, "f16")
WN_SPARSE_PRODUCT_160(operand_bf16, "bf16")
WN_SPARSE_PRODUCT_176(operand_bf16, "bf16")
WN_SPARSE_PRODUCT_192(operand_bf16, "bf16")
WN_SPARSE_PRODUCT_160(operand_f16, "f16")
WN_SPARSE_PRODUCT_176(operand_f16, "f16")
WN_SPARSE_PRODUCT_192(operand_f16, "f16")
WN_SPARSE_PRODUCT_208(operand_bf16, "bf16")
WN_SPARSE_PRODUCT_208(operand_f16, "f16")
WN_SPARSE_PRODUCT_200(operand_bf16, "bf16")
WN_SPARSE_PRODUCT_232(operand_bf16, "bf16")
WN_SPARSE_PRODUCT_256(operand_bf16, "bf16")
WN_SPARSE_PRODUCT_200(operand_f16, "f16")
WN_SPARSE_PRODUCT_232(operand_f16, "f16")
WN_SPARSE_PRODUCT_256(operand_f16, "f16")

/* Of 8 bits every lane's word counts, so there is nothing to select. */
#define WN_SPARSE_PRODUCT8(N, A, B, E, ADD)                                                        \
    template <class OUT> struct sparse_product<operand_e4m3<OUT>, N> {                             \
        template <int HALF>                                                                        \
        static __device__ __forceinline__ void run(float (&d)[N / 2], uint64_t a, uint64_t b,      \
                                                   uint32_t e, int add) {                          \
            asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, " ADD ", 0;\n\t"                    \
                         "wgmma.mma_async.sp.sync.aligned.m64n" #N "k64.f32.e4m3.e4m3 "            \
                         "{" WN_REGISTERS_##N "}, " A ", " B ", " E ", 0, p, 1, 1;\n\t}"           \
                         : WN_SUMS_##N(d)                                                          \
                         : "l"(a), "l"(b), "r"(e), "r"(add));                                      \
        }                                                                                          \
    };
WN_SPARSE_PRODUCT8(64, "%32", "%33", "%34", "%35")
WN_SPARSE_PRODUCT8(128, "%64", "%65", "%66", "%67")
WN_SPARSE_PRODUCT8(160, "%80", "%81", "%82", "%83")
WN_SPARSE_PRODUCT8(176, "%88", "%89", "%90", "%91")
WN_SPARSE_PRODUCT8(192, "%96", "%97", "%98", "%99")
WN_SPARSE_PRODUCT8(200, "%100", "%101", "%102", "%103")
WN_SPARSE_PRODUCT8(208, "%104", "%105", "%106", "%107")
WN_SPARSE_PRODUCT8(256, "%128", "%129", "%130", "%131")

#endif
