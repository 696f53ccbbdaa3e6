// SPDX-License-Identifier: MIT
/* One group of four of mvue24 (soft24.h): ref/mvue24.c step by step, in double. Numbers of 32 bits
 * and fewer neither overflow nor vanish there, so nothing is scaled. */
#ifndef WN_KERNELS_CUDA_COMMON_MVUE24_CUH
#define WN_KERNELS_CUDA_COMMON_MVUE24_CUH

#include "kernels/cuda/common/number.cuh"
#include "kernels/cuda/common/philox.cuh"

static __device__ __forceinline__ double sum4(const double a[4]) {
    return __dadd_rn(__dadd_rn(__dadd_rn(a[0], a[1]), a[2]), a[3]);
}

/* Where the point v lies on the line of four lengths laid end to end; 4: beyond them. */
static __device__ __forceinline__ int find(const double a[4], double v) {
    const double c1 = a[0], c2 = __dadd_rn(c1, a[1]), c3 = __dadd_rn(c2, a[2]);
    return (c1 <= v) + (c2 <= v) + (c3 <= v) + (__dadd_rn(c3, a[3]) <= v);
}

/* Elements `first` and `second` take a size each, `stays` keeps others, the rest is zero. */
struct fate24 {
    int first, second;
    double first_size, second_size;
    unsigned stays;
};

/* Two non-zeros or fewer need no case of their own: one is longer than half, or both are half. */
static __device__ __forceinline__ fate24 prune_exact(const double a[4], double u) {
    fate24 f;
    const double half = __dmul_rn(0.5, sum4(a));
    double length[4];
    f.stays = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const bool is_long = a[i] > half;
        f.stays |= (unsigned)is_long << i;
        length[i] = is_long ? 0 : a[i];
    }
    const double step = f.stays ? sum4(length) : half, v = __dmul_rn(u, step);
    f.first = find(length, v);
    f.second = f.stays ? f.first : find(length, __dadd_rn(v, step));
    f.first_size = f.second_size = step;
    return f;
}

static __device__ __forceinline__ double chosen(const double a[4], int i) {
    return i == 0 ? a[0] : i == 1 ? a[1] : i == 2 ? a[2] : a[3];
}

static __device__ __forceinline__ void sums_without(const double a[4], double out[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const double others[4] = {i == 0 ? 0 : a[0], i == 1 ? 0 : a[1], i == 2 ? 0 : a[2],
                                  i == 3 ? 0 : a[3]};
        out[i] = sum4(others);
    }
}

static __device__ __forceinline__ fate24 prune_approx(const double a[4], double u, double v) {
    fate24 f;
    double rest[4], ratio[4], ratios[4], others[4];
    const double sum = sum4(a);
    f.stays = 0;
#pragma unroll
    for (int i = 0; i < 4; i++)
        f.stays |= (unsigned)(a[i] != 0) << i;
    if (__popc(f.stays) <= 2) { // as they are
        f.first = f.second = 4;
        f.first_size = f.second_size = 0;
        return f;
    }
    f.stays = 0;
    sums_without(a, rest);
#pragma unroll
    for (int i = 0; i < 4; i++)
        ratio[i] = __ddiv_rn(a[i], rest[i]);
    sums_without(ratio, ratios);
    f.first = find(a, __dmul_rn(u, sum));
#pragma unroll
    for (int i = 0; i < 4; i++)
        others[i] = i == f.first ? 0 : a[i];
    f.second = find(others, __dmul_rn(v, chosen(rest, f.first)));
    f.first_size = __ddiv_rn(sum, __dadd_rn(1, chosen(ratios, f.first)));
    f.second_size = __ddiv_rn(sum, __dadd_rn(1, chosen(ratios, f.second)));
    return f;
}

/* What becomes of four elements, in their bits. words: one a group, or two for APPROX. */
template <class F, bool APPROX>
static __device__ __forceinline__ void prune(typename F::bits x[4], const uint32_t *words) {
    typedef typename F::bits T;
    enum { SIGN = 8 * sizeof(T) - 1 };
    double a[4];
    bool finite = true;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        a[i] = (double)F::size(x[i]);
        finite &= F::magnitude(x[i]) < (int)F::infinity;
    }
    const double u = __dmul_rn((double)words[0], 0x1p-32);
    const fate24 f =
        APPROX ? prune_approx(a, u, __dmul_rn((double)words[1], 0x1p-32)) : prune_exact(a, u);
    const T first = rounded(F(), f.first_size);
    const T second = APPROX ? rounded(F(), f.second_size) : first;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const bool drawn =
            (i == f.first && f.first_size > 0) || (i == f.second && f.second_size > 0);
        const T size = i == f.first ? first : second;
        const bool stays = (f.stays >> i & 1) != 0 && a[i] > 0;
        const T y = drawn ? (T)(size | (x[i] & (T)((T)1 << SIGN))) : stays ? x[i] : (T)0;
        x[i] = finite ? y : (T)((T)F::infinity | (T)F::infinity >> 1);
    }
}

/* A group of 16-bit numbers packed: two, the first low, and where they stand. */
struct packed24 {
    uint32_t pair;
    unsigned nibble;
};

/* A number twice. */
static __device__ __forceinline__ uint32_t twice(bf16, float x) {
    uint32_t two;
    asm("cvt.rn.bf16x2.f32 %0, %1, %1;" : "=r"(two) : "f"(x));
    return two;
}
static __device__ __forceinline__ uint32_t twice(f16, float x) {
    uint32_t two;
    asm("cvt.rn.f16x2.f32 %0, %1, %1;" : "=r"(two) : "f"(x));
    return two;
}
/* a b + c in one instruction, which the compiler would take apart. */
static __device__ __forceinline__ unsigned times_plus(unsigned a, unsigned b, unsigned c) {
    unsigned sum;
    asm("mad.lo.u32 %0, %1, %2, %3;" : "=r"(sum) : "r"(a), "r"(b), "r"(c));
    return sum;
}
static __device__ __forceinline__ unsigned sign(float x) {
    return __float_as_uint(x) >> 31;
}
/* c, or c - cut where that is not negative: bits of negative numbers are larger than all others. */
static __device__ __forceinline__ float without(float c, float beyond) {
    return __uint_as_float(min(__float_as_uint(c), __float_as_uint(beyond)));
}

/* The exact method without doubles; false: they have to decide. Most groups need none: where sums
 * of magnitudes are exact in float, which rounding them down and up shows, only the drawn point is
 * inexact. Lengths lie end to end; one longer than half of
 * all stays as it is and is cut out of the line. The drawn point, and where nothing was cut a
 * second one half of the line later, lie in the elements that are kept: an element's number is how
 * many of the first three end before the point. What is empty is never drawn, and missing rows are
 * zeros. The point is known to 2^-22 of the step, and so is the second: nearer than NEAR to an end
 * it says nothing. */
template <class F>
static __device__ __forceinline__ bool draw_in_float(uint2 v, uint32_t word, packed24 *out) {
    const float NEAR = 0x1p-20f, ABOVE_ZERO = 0x1p-140f;
    const uint32_t LEAST = 0x17800000u, RANGE = 0x7E800000u - LEAST; // 2^-80, up to 2^126
    const float a1 = number(F(), at(v, 1)), a2 = number(F(), at(v, 2)), a3 = number(F(), at(v, 3));
    const float c1 = F::size(at(v, 0));
    const float most = fmaxf(fmaxf(c1, fabsf(a1)), fmaxf(fabsf(a2), fabsf(a3)));
    const float c2 = __fadd_rz(c1, fabsf(a1)), c3 = __fadd_rz(c2, fabsf(a2));
    const float sum = __fadd_rz(c3, fabsf(a3));
    const float above = __fadd_ru(__fadd_ru(__fadd_ru(c1, fabsf(a1)), fabsf(a2)), fabsf(a3));
    // exact, and nothing vanishes, overflows or is no number
    const bool known =
        (sum == above) & ((__float_as_uint(sum) - LEAST < RANGE) | (__float_as_uint(sum) == 0));
    const bool is_long = most + most > sum;
    const float cut = is_long ? most : __uint_as_float(0x7F800000u);
    const float d1 = c1 - cut, d2 = c2 - cut, d3 = c3 - cut;
    const float e1 = without(c1, d1), e2 = without(c2, d2), e3 = without(c3, d3);
    const float end = without(sum, sum - cut), step = is_long ? end : 0.5f * end;
    const unsigned longest = sign(d1) + sign(d2) + sign(d3);
    // the first 23 of 32 bits of the point; above nothing where there is no line
    const float u = __uint_as_float((word >> 9) + 0x3F800000u);
    const float x = __fmaf_rn(u, step, ABOVE_ZERO - step), y = x + step;
    const float x1 = e1 - x, x2 = e2 - x, x3 = e3 - x, y1 = e1 - y, y2 = e2 - y, y3 = e3 - y;
    const float near = fminf(fminf(fminf(fabsf(x1), fabsf(x2)), fminf(fabsf(x3), fabsf(y1))),
                             fminf(fabsf(y2), fabsf(y3)));
    const unsigned first = sign(x1) + sign(x2) + sign(x3);
    const unsigned other = is_long ? longest : sign(y1) + sign(y2) + sign(y3);
    const unsigned low = min(min(first, other), 2u), high = max(first, other);
    const uint32_t pair =
        bytes_from(v.x, v.y, times_plus(high, 0x2200, times_plus(low, 0x22, 0x1010)));
    const uint32_t sized = (pair & (step > 0 ? 0x80008000u : 0u)) | twice(F(), step);
    const unsigned which = !is_long ? 0x7654u : longest == low ? 0x7610u : 0x3254u;
    *out = {bytes_from(pair, sized, which), low + 4 * high};
    return known & !(near < NEAR * step);
}

/* Words of N groups from number k on, as prune wants them. */
template <int N, bool APPROX>
static __device__ __forceinline__ void draw(const wn__gpu_draws &p, uint64_t k, uint32_t *words) {
    if (APPROX)
        philox_words<2 * N>(p, 2 * k, words);
    else
        philox_words<N>(p, k, words);
}

#endif
