// SPDX-License-Identifier: MIT
/* Groups of four numbers: loading them as magnitudes that compare like integers, and choosing two.
 * Everything here decides, so nothing here rounds but the sums of tiles, in the order that mask24.h
 * states. */
#ifndef WN_KERNELS_CUDA_COMMON_GROUP24_CUH
#define WN_KERNELS_CUDA_COMMON_GROUP24_CUH

#include "kernels/cuda/args24.h"
#include <stdint.h>

/* Blocks a processor holds at least, whatever registers the compiler would like: that many with
 * 9.0, one less where the same code takes more registers. */
#if defined __CUDA_ARCH__ && __CUDA_ARCH__ < 900
#define BLOCKS(count) ((count)-1)
#else
#define BLOCKS(count) (count)
#endif

/* Four elements in registers, and the two that a group keeps. */
template <class T> struct group4;
template <> struct group4<uint32_t> {
    typedef uint4 wide;
    typedef uint2 pair;
};
template <> struct group4<uint16_t> {
    typedef uint2 wide;
    typedef uint32_t pair;
};

static __device__ __forceinline__ bool aligned(const void *p, unsigned bytes) {
    return ((uintptr_t)p & (bytes - 1)) == 0;
}

static __device__ __forceinline__ uint32_t at(uint4 v, int j) {
    return j == 0 ? v.x : j == 1 ? v.y : j == 2 ? v.z : v.w;
}
static __device__ __forceinline__ uint16_t at(uint2 v, int j) {
    return (uint16_t)((j < 2 ? v.x : v.y) >> 16 * (j & 1));
}
static __device__ __forceinline__ void split(uint4 v, uint32_t *out) {
    out[0] = v.x;
    out[1] = v.y;
    out[2] = v.z;
    out[3] = v.w;
}
static __device__ __forceinline__ uint4 join(const uint32_t *v) {
    return make_uint4(v[0], v[1], v[2], v[3]);
}
static __device__ __forceinline__ uint2 join(const uint16_t *v) {
    return make_uint2((uint32_t)v[0] | (uint32_t)v[1] << 16, (uint32_t)v[2] | (uint32_t)v[3] << 16);
}
static __device__ __forceinline__ uint32_t at(uint2 v, int j, uint32_t) {
    return j == 0 ? v.x : v.y;
}
static __device__ __forceinline__ uint16_t at(uint32_t v, int j, uint16_t) {
    return (uint16_t)(v >> 16 * j);
}

/* The n <= 4 first elements at p, zeros behind them. */
template <class T>
static __device__ __forceinline__ typename group4<T>::wide load4(const T *p, int n) {
    typedef typename group4<T>::wide wide;
    if (n == 4 && aligned(p, sizeof(wide))) return __ldcs((const wide *)p);
    T v[4];
#pragma unroll
    for (int j = 0; j < 4; j++)
        v[j] = j < n ? p[j] : (T)0;
    return join(v);
}

template <class T>
static __device__ __forceinline__ void store4(T *p, int n, typename group4<T>::wide v) {
    typedef typename group4<T>::wide wide;
    if (n == 4 && aligned(p, sizeof(wide))) {
        __stcs((wide *)p, v);
        return;
    }
#pragma unroll
    for (int j = 0; j < 4; j++)
        if (j < n) p[j] = at(v, j);
}

/* Four of the eight bytes of low and high; no selector is above 7. __byte_perm would see to that.
 */
static __device__ __forceinline__ uint32_t bytes_from(uint32_t low, uint32_t high, uint32_t which) {
    uint32_t four;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(four) : "r"(low), "r"(high), "r"(which));
    return four;
}

/* A thread's share of a row: 32 bytes, which two instructions move. */
template <class T> struct share {
    enum { columns = 32 / sizeof(T), groups = columns / 4 };
    typename group4<T>::wide group[groups];
};

static __device__ __forceinline__ void halves(uint4 a, uint4 b, uint4 *group) {
    group[0] = a;
    group[1] = b;
}
static __device__ __forceinline__ void halves(uint4 a, uint4 b, uint2 *group) {
    group[0] = make_uint2(a.x, a.y);
    group[1] = make_uint2(a.z, a.w);
    group[2] = make_uint2(b.x, b.y);
    group[3] = make_uint2(b.z, b.w);
}
static __device__ __forceinline__ uint4 half_of(const uint4 *group, int h) {
    return group[h];
}
static __device__ __forceinline__ uint4 half_of(const uint2 *group, int h) {
    return make_uint4(group[2 * h].x, group[2 * h].y, group[2 * h + 1].x, group[2 * h + 1].y);
}

/* The n first elements at p, zeros behind them. */
template <class T> static __device__ __forceinline__ share<T> load_share(const T *p, int n) {
    share<T> s;
    if (n >= (int)share<T>::columns && aligned(p, 16)) {
        halves(__ldcs((const uint4 *)p), __ldcs((const uint4 *)p + 1), s.group);
        return s;
    }
#pragma unroll
    for (int g = 0; g < (int)share<T>::groups; g++)
        s.group[g] = load4(p + 4 * g, n - 4 * g < 4 ? n - 4 * g : 4);
    return s;
}

template <class T>
static __device__ __forceinline__ void store_share(T *p, int n, const share<T> &s) {
    if (n >= (int)share<T>::columns && aligned(p, 16)) {
        __stcs((uint4 *)p, half_of(s.group, 0));
        __stcs((uint4 *)p + 1, half_of(s.group, 1));
        return;
    }
#pragma unroll
    for (int g = 0; g < (int)share<T>::groups; g++)
        store4(p + 4 * g, n - 4 * g < 4 ? n - 4 * g : 4, s.group[g]);
}

/* What a share keeps: 16 bytes. count: pairs that exist. */
template <class T>
static __device__ __forceinline__ void store_pairs(T *p, int count,
                                                   const typename group4<T>::pair *v) {
    typedef typename group4<T>::pair pair;
    const uint32_t *w = (const uint32_t *)v;
    if (count >= (int)share<T>::groups && aligned(p, 16)) {
        __stcs((uint4 *)p, make_uint4(w[0], w[1], w[2], w[3]));
        return;
    }
#pragma unroll
    for (int g = 0; g < (int)share<T>::groups; g++) {
        if (g >= count) break;
        if (aligned(p, sizeof(pair))) {
            ((pair *)p)[g] = v[g];
        } else {
            p[2 * g] = at(v[g], 0, (T)0);
            p[2 * g + 1] = at(v[g], 1, (T)0);
        }
    }
}

static __device__ __forceinline__ uint2 two(uint32_t a, uint32_t b) {
    return make_uint2(a, b);
}
static __device__ __forceinline__ uint32_t two(uint16_t a, uint16_t b) {
    return (uint32_t)a | (uint32_t)b << 16;
}

template <class T>
static __device__ __forceinline__ void load_pairs(const T *p, int count,
                                                  typename group4<T>::pair *v) {
    typedef typename group4<T>::pair pair;
    uint32_t *w = (uint32_t *)v;
    if (count >= (int)share<T>::groups && aligned(p, 16)) {
        const uint4 all = __ldcs((const uint4 *)p);
        w[0] = all.x;
        w[1] = all.y;
        w[2] = all.z;
        w[3] = all.w;
        return;
    }
#pragma unroll
    for (int g = 0; g < (int)share<T>::groups; g++)
        v[g] = g < count ? two(p[2 * g], p[2 * g + 1]) : two((T)0, (T)0);
}

/* Up to N bytes, the first in the lowest bits. */
template <int N> static __device__ __forceinline__ uint32_t load_bytes(const uint8_t *p, int n) {
    uint32_t v = 0;
    if (N == 4 && n >= 4 && aligned(p, 4)) return *(const uint32_t *)p;
    if (N == 2 && n >= 2 && aligned(p, 2)) return *(const uint16_t *)p;
#pragma unroll
    for (int i = 0; i < N; i++)
        if (i < n) v |= (uint32_t)p[i] << 8 * i;
    return v;
}
template <int N> static __device__ __forceinline__ void store_bytes(uint8_t *p, int n, uint32_t v) {
    if (N == 4 && n >= 4 && aligned(p, 4)) {
        *(uint32_t *)p = v;
        return;
    }
    if (N == 2 && n >= 2 && aligned(p, 2)) {
        *(uint16_t *)p = (uint16_t)v;
        return;
    }
#pragma unroll
    for (int i = 0; i < N; i++)
        if (i < n) p[i] = (uint8_t)(v >> 8 * i);
}

/* A warp takes 32 shares of a row, a block WN_GPU_ROWS rows. */
static __device__ __forceinline__ int64_t share_number() {
    return (int64_t)blockIdx.x * 32 + (threadIdx.x & 31);
}
static __device__ __forceinline__ int64_t first_row() {
    return (int64_t)blockIdx.y * WN_GPU_ROWS + (threadIdx.x >> 5);
}
static __device__ __forceinline__ int64_t row_step() {
    return (int64_t)gridDim.y * WN_GPU_ROWS;
}

/* Columns that a share has left, 0 or less beyond the row. */
template <class T>
static __device__ __forceinline__ int columns_left(int64_t columns, int64_t share_index) {
    const int64_t left = columns - (int64_t)share<T>::columns * share_index;
    return left < (int64_t)share<T>::columns ? (int)left : (int)share<T>::columns;
}

/* Which columns of a group are missing, when n of a share's columns exist. */
static __device__ __forceinline__ unsigned missing(int n, int g) {
    const int left = n - 4 * g;
    return left >= 4 ? 0u : left <= 0 ? 15u : 15u & 15u << left;
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

/* The same of a whole group of 16-bit numbers, all there; *nan: whether the largest is none. Keys
 * of magnitude and, in the lowest two bits, how early a number comes are all different, so two
 * rounds of comparing find the two largest. */
template <class F> static __device__ __forceinline__ unsigned keep_two_of(uint2 v, bool *nan) {
    const int k0 = (int)(v.x & 0x7FFFu) * 4 + 3, k1 = (int)(v.x >> 16 & 0x7FFFu) * 4 + 2;
    const int k2 = (int)(v.y & 0x7FFFu) * 4 + 1, k3 = (int)(v.y >> 16 & 0x7FFFu) * 4;
    const int high01 = max(k0, k1), low01 = min(k0, k1), high23 = max(k2, k3), low23 = min(k2, k3);
    const int first = max(high01, high23), second = max(min(high01, high23), max(low01, low23));
    *nan |= first > (int)F::infinity * 4 + 3;
    return 8u >> (first & 3) | 8u >> (second & 3);
}
template <class F> static __device__ __forceinline__ unsigned keep_two_of(uint4 v, bool *nan) {
    int a[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
        a[j] = F::magnitude(at(v, j));
        *nan |= a[j] > (int)F::infinity;
    }
    return keep_two(a);
}

/* pack24.h's nibble of a mask, from mask 0 up four bits each; 15 where more than two are kept. */
static __device__ __forceinline__ unsigned nibble_of(unsigned mask) {
    return (unsigned)(0xFFFEFDCEF98E4DCEull >> 4 * mask) & 15;
}

/* The two elements at the columns of a nibble. */
static __device__ __forceinline__ uint2 pick(uint4 v, unsigned nibble) {
    const unsigned a = nibble & 3, b = nibble >> 2;
    return make_uint2(a == 0 ? v.x : a == 1 ? v.y : v.z, b == 1 ? v.y : b == 2 ? v.z : v.w);
}
static __device__ __forceinline__ uint32_t pick(uint2 v, unsigned nibble) {
    return __byte_perm(v.x, v.y, 0x1010u + (nibble & 3) * 0x22u + (nibble >> 2) * 0x2200u);
}

/* Zero in slots whose column the mask does not keep. */
static __device__ __forceinline__ uint2 kept(uint2 v, unsigned nibble, unsigned mask) {
    return make_uint2(mask >> (nibble & 3) & 1 ? v.x : 0, mask >> (nibble >> 2) & 1 ? v.y : 0);
}
static __device__ __forceinline__ uint32_t kept(uint32_t v, unsigned nibble, unsigned mask) {
    return v & ((mask >> (nibble & 3) & 1 ? 0xFFFFu : 0) |
                (mask >> (nibble >> 2) & 1 ? 0xFFFF0000u : 0));
}

/* The group whose two kept elements stand at the columns of a nibble. */
static __device__ __forceinline__ uint4 spread(uint2 v, unsigned nibble) {
    const unsigned a = nibble & 3, b = nibble >> 2;
    return make_uint4(a == 0 ? v.x : 0,
                      a == 1   ? v.x
                      : b == 1 ? v.y
                               : 0,
                      a == 2   ? v.x
                      : b == 2 ? v.y
                               : 0,
                      b == 3 ? v.y : 0);
}
static __device__ __forceinline__ uint2 spread(uint32_t v, unsigned nibble) {
    const uint32_t from = 0x44444444u ^ 0x54u << 8 * (nibble & 3) ^ 0x76u << 8 * (nibble >> 2);
    return make_uint2(__byte_perm(v, 0, from), __byte_perm(v, 0, from >> 16));
}

/* The smallest number wins: the first call that refused. */
static __device__ __forceinline__ void leave(unsigned *fault, unsigned number) {
    atomicMin(fault, number);
}

#endif
