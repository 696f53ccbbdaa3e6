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

/* Words of N groups from number k on, as prune wants them. */
template <int N, bool APPROX>
static __device__ __forceinline__ void draw(const wn__gpu_draws &p, uint64_t k, uint32_t *words) {
    if (APPROX)
        philox_words<2 * N>(p, 2 * k, words);
    else
        philox_words<N>(p, k, words);
}

#endif
