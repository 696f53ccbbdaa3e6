// SPDX-License-Identifier: MIT
/* Groups of four numbers: loading them as magnitudes that compare like integers, and choosing two.
 * Everything here decides, so nothing here rounds but the sums of tiles, in the order that mask24.h
 * states. */
#ifndef WN_KERNELS_CUDA_COMMON_GROUP24_CUH
#define WN_KERNELS_CUDA_COMMON_GROUP24_CUH

#include <stdint.h>

/* Four elements, moved by one instruction where their address allows it. */
template <class T> struct group4;
template <> struct group4<uint32_t> { typedef uint4 wide; };
template <> struct group4<uint16_t> { typedef uint2 wide; };

template <class T> static __device__ __forceinline__ bool aligned4(const T *p) {
    return ((uintptr_t)p & (4 * sizeof(T) - 1)) == 0;
}

static __device__ __forceinline__ void split(uint4 v, uint32_t *out) {
    out[0] = v.x;
    out[1] = v.y;
    out[2] = v.z;
    out[3] = v.w;
}
static __device__ __forceinline__ void split(uint2 v, uint16_t *out) {
    out[0] = (uint16_t)v.x;
    out[1] = (uint16_t)(v.x >> 16);
    out[2] = (uint16_t)v.y;
    out[3] = (uint16_t)(v.y >> 16);
}
static __device__ __forceinline__ uint4 join(const uint32_t *v) {
    return make_uint4(v[0], v[1], v[2], v[3]);
}
static __device__ __forceinline__ uint2 join(const uint16_t *v) {
    return make_uint2((uint32_t)v[0] | (uint32_t)v[1] << 16, (uint32_t)v[2] | (uint32_t)v[3] << 16);
}

/* The n <= 4 first elements at p, zeros behind them. */
template <class T> static __device__ __forceinline__ void load4(const T *p, int n, T *out) {
    typedef typename group4<T>::wide wide;
    if (n == 4 && aligned4(p)) {
        split(__ldcs((const wide *)p), out);
        return;
    }
#pragma unroll
    for (int j = 0; j < 4; j++)
        out[j] = j < n ? p[j] : (T)0;
}

template <class T> static __device__ __forceinline__ void store4(T *p, int n, const T *v) {
    typedef typename group4<T>::wide wide;
    if (n == 4 && aligned4(p)) {
        __stcs((wide *)p, join(v));
        return;
    }
#pragma unroll
    for (int j = 0; j < 4; j++)
        if (j < n) p[j] = v[j];
}

/* Magnitude bits in order of size; more than `infinity` is a NaN. */
struct f32 {
    typedef uint32_t bits;
    static __device__ __forceinline__ int magnitude(uint32_t b) { return (int)(b & 0x7FFFFFFFu); }
    static __device__ __forceinline__ float size(uint32_t b) {
        return __uint_as_float(b & 0x7FFFFFFFu);
    }
    enum { infinity = 0x7F800000 };
};
struct bf16 {
    typedef uint16_t bits;
    static __device__ __forceinline__ int magnitude(uint16_t b) { return b & 0x7FFF; }
    static __device__ __forceinline__ float size(uint16_t b) {
        return __uint_as_float((uint32_t)(b & 0x7FFF) << 16);
    }
    enum { infinity = 0x7F80 };
};
struct f16 {
    typedef uint16_t bits;
    static __device__ __forceinline__ int magnitude(uint16_t b) { return b & 0x7FFF; }
    static __device__ __forceinline__ float size(uint16_t b) {
        float f;
        asm("{.reg .f16 h; mov.b16 h, %1; cvt.f32.f16 %0, h;}"
            : "=f"(f)
            : "h"((unsigned short)(b & 0x7FFF)));
        return f;
    }
    enum { infinity = 0x7C00 };
};

/* Keeps the two largest of four magnitudes, the first of equals; missing ones are -1. */
static __device__ __forceinline__ unsigned keep_two(const int *a) {
    const int c01 = a[0] >= a[1], c02 = a[0] >= a[2], c03 = a[0] >= a[3];
    const int c12 = a[1] >= a[2], c13 = a[1] >= a[3], c23 = a[2] >= a[3];
    const int w0 = c01 + c02 + c03, w1 = 1 - c01 + c12 + c13;
    const int w2 = 2 - c02 - c12 + c23, w3 = 3 - c03 - c13 - c23;
    return (unsigned)(w0 >= 2) | (unsigned)(w1 >= 2) << 1 | (unsigned)(w2 >= 2) << 2 |
           (unsigned)(w3 >= 2) << 3;
}

/* pack24.h's nibble of a mask, from mask 0 up four bits each; 15 where more than two are kept. */
static __device__ __forceinline__ unsigned nibble_of(unsigned mask) {
    return (unsigned)(0xFFFEFDCEF98E4DCEull >> 4 * mask) & 15;
}

/* The smallest number wins: the first call that refused. */
static __device__ __forceinline__ void leave(unsigned *fault, unsigned number) {
    atomicMin(fault, number);
}

#endif
