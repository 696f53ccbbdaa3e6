// SPDX-License-Identifier: MIT
/* Products of float32 numbers on tensor cores. These take 11 bits of a number (TF32), so one is
 * taken apart into two or three such parts, and parts are multiplied with parts, the smallest
 * products first.
 *
 * Two parts x = high + low: high is rounded, so |low| <= 2^-11 |x|, and what low's bits beyond 11
 * lose is at most one unit of x's last place, 2^-23 |x|. Three products, without low low, are off
 * by (2^-22 + 2 2^-23) |x||w| = 4 2^-23 |x||w|. Where high is x cut, |low| < 2^-10 |x|, 13 bits
 * of which lose at most three units: with a number cut and one rounded three products are off by
 * (2^-21 + (3 + 1) 2^-23) |x||w| = 8 2^-23 |x||w|. Three parts are x to the last bit; six products
 * leave out 3 2^-33 |x||w|. A part of infinity or NaN makes whatever it is added to one of them,
 * though not always the right one: results that are not finite are to be made again otherwise.
 * Below 2^-113 low is subnormal and loses up to 2^-136 instead, less than contracts let flush. */
#ifndef WN_KERNELS_CUDA_COMMON_TF32_CUH
#define WN_KERNELS_CUDA_COMMON_TF32_CUH

#include <stdint.h>

/* d = a b + c: a 16 x 8, b 8 x 8. Lane 4 g + t has a's (g, t), (g + 8, t), (g, t + 4), (g + 8,
 * t + 4); b's (t, g), (t + 4, g); d's (g, 2t), (g, 2t + 1) and those of g + 8. */
static __device__ __forceinline__ void mma_tf32(float (&d)[4], const uint32_t (&a)[4],
                                                const uint32_t (&b)[2]) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, "
        "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* The 11 bits nearest to x, halves away from zero. */
static __device__ __forceinline__ float tf32_of(float x) {
    return __uint_as_float((__float_as_uint(x) + 0x1000u) & 0xffffe000u);
}

/* The tensor cores do not look at the last part's bits beyond 11. */
static __device__ __forceinline__ void tf32_parts(float x, uint32_t &high, uint32_t &low) {
    const float h = tf32_of(x);
    high = __float_as_uint(h);
    low = __float_as_uint(x - h);
}
static __device__ __forceinline__ void tf32_parts(float x, uint32_t &high, uint32_t &middle,
                                                  uint32_t &low) {
    const float h = tf32_of(x), m = tf32_of(x - h);
    high = __float_as_uint(h);
    middle = __float_as_uint(m);
    low = __float_as_uint(x - h - m);
}
/* The high part cut, not rounded. */
static __device__ __forceinline__ void tf32_cut(float x, uint32_t &high, uint32_t &low) {
    high = __float_as_uint(x) & 0xffffe000u;
    low = __float_as_uint(x - __uint_as_float(high));
}

#endif
