// SPDX-License-Identifier: MIT
/* The exact transposable mask of a 4x4 tile: the first of the 90 in mask24.h's order with the
 * largest sum fl(fl(r0 + r1) + fl(r2 + r3)), r being the sums of what each row keeps.
 *
 * Almost always one mask is best by far more than sums of 16 floats can err, and a short way finds
 * it. What a row of magnitudes a keeps is (sum(a) +- x) / 2 with x = a0 + a1 - a2 - a3 for columns
 * 01 or 23, y = a0 - a1 + a2 - a3 for 02 or 13, z = a0 - a1 - a2 + a3 for 03 or 12: a signed axis.
 * Every column keeps two where the four signed axes cancel, so the rows form two pairs, each of one
 * axis and both signs: a pair adds its largest difference along an axis, and of the three ways to
 * pair four rows one is best.
 *
 * Errors: with u = 2^-24 and T the sum of the tile, a mask's sum as found here, twice its distance
 * from T/2, errs by at most 8 u T, and the sums of mask24.h by 3 u T, doubled. A mask that leads
 * every other by 2 (8 + 6) u T < 2^-19 T leads in mask24.h's sums too. LEAD asks for more.
 *
 * Otherwise (ties, and what is not finite) the lanes of the warp compare the masks of that tile in
 * float as mask24.h says, three each. */
#ifndef WN_KERNELS_CUDA_COMMON_TILE24_CUH
#define WN_KERNELS_CUDA_COMMON_TILE24_CUH

#include "kernels/cuda/args24.h"
#include "kernels/cuda/common/number.cuh"

/* Four bits a column of a tile from four bits a row. */
static __device__ __forceinline__ unsigned columns_of_rows(unsigned m) {
    const unsigned near = (m ^ m >> 3) & 0x0A0Au; // the two bits off the diagonal of each 2x2
    m ^= near ^ near << 3;
    const unsigned far = (m ^ m >> 6) & 0x00CCu; // and two of the 2x2
    return m ^ far ^ far << 6;
}

/* The 90 masks in the order of mask24.h as nibbles of pack24.h, row 0 lowest. */
static __device__ const uint16_t tile_nibbles[90] = {
    0xEE44, 0xED84, 0xDE84, 0xE9C4, 0x9EC4, 0xEC94, 0xCE94, 0xE8D4, 0x8ED4, 0xE4E4, 0xD8E4, 0x9CE4,
    0xC9E4, 0x8DE4, 0x4EE4, 0xED48, 0xDE48, 0xDD88, 0xD9C8, 0x9DC8, 0xDC98, 0xCD98, 0xE4D8, 0xD8D8,
    0x9CD8, 0xC9D8, 0x8DD8, 0x4ED8, 0xD4E8, 0x4DE8, 0xE94C, 0x9E4C, 0xD98C, 0x9D8C, 0x99CC, 0xE49C,
    0xD89C, 0x9C9C, 0xC99C, 0x8D9C, 0x4E9C, 0x98DC, 0x89DC, 0x94EC, 0x49EC, 0xEC49, 0xCE49, 0xDC89,
    0xCD89, 0xE4C9, 0xD8C9, 0x9CC9, 0xC9C9, 0x8DC9, 0x4EC9, 0xCC99, 0xC8D9, 0x8CD9, 0xC4E9, 0x4CE9,
    0xE84D, 0x8E4D, 0xE48D, 0xD88D, 0x9C8D, 0xC98D, 0x8D8D, 0x4E8D, 0x98CD, 0x89CD, 0xC89D, 0x8C9D,
    0x88DD, 0x84ED, 0x48ED, 0xE44E, 0xD84E, 0x9C4E, 0xC94E, 0x8D4E, 0x4E4E, 0xD48E, 0x4D8E, 0x94CE,
    0x49CE, 0xC49E, 0x4C9E, 0x84DE, 0x48DE, 0x44EE};

/* The largest of three differences, and the next. */
struct pair24 {
    float x, y, z, most, next;
};
static __device__ __forceinline__ pair24 pair_rows(const float a[3], const float b[3]) {
    pair24 p;
    p.x = __fsub_rn(a[0], b[0]);
    p.y = __fsub_rn(a[1], b[1]);
    p.z = __fsub_rn(a[2], b[2]);
    const float more = fmaxf(fabsf(p.x), fabsf(p.y)), less = fminf(fabsf(p.x), fabsf(p.y));
    p.most = fmaxf(more, fabsf(p.z));
    p.next = fmaxf(less, fminf(more, fabsf(p.z)));
    return p;
}

/* What the first row of a pair keeps, four bits; the second keeps the others. */
static __device__ __forceinline__ unsigned first_of_pair(const pair24 &p) {
    const bool x = fabsf(p.x) == p.most, y = fabsf(p.y) == p.most;
    const float d = x ? p.x : y ? p.y : p.z;
    return (x ? 3u : y ? 5u : 9u) ^ (d < 0 ? 15u : 0u);
}

static __device__ __forceinline__ pair24 either(bool first, const pair24 &a, const pair24 &b) {
    return {first ? a.x : b.x, first ? a.y : b.y, first ? a.z : b.z, first ? a.most : b.most, 0};
}

/* Four bits a row of the best mask, the first row lowest. False: the lead is too small to say. */
static __device__ __forceinline__ bool leading_tile(const float a[4][4], unsigned *mask) {
    const float LEAD = 0x1p-16f, LEAST = 0x1p-140f; // sums of subnormal numbers are exact
    float axis[4][3], all[4];
#pragma unroll
    for (int r = 0; r < 4; r++) {
        const float b = fabsf(a[r][0]), c = fabsf(a[r][1]);
        const float d = fabsf(a[r][2]), e = fabsf(a[r][3]);
        const float left = __fadd_rn(b, c), right = __fadd_rn(d, e);
        const float near = __fsub_rn(b, c), far = __fsub_rn(d, e);
        axis[r][0] = __fsub_rn(left, right);
        axis[r][1] = __fadd_rn(near, far);
        axis[r][2] = __fsub_rn(near, far);
        all[r] = __fadd_rn(left, right);
    }
    const pair24 p01 = pair_rows(axis[0], axis[1]), p23 = pair_rows(axis[2], axis[3]);
    const pair24 p02 = pair_rows(axis[0], axis[2]), p13 = pair_rows(axis[1], axis[3]);
    const pair24 p03 = pair_rows(axis[0], axis[3]), p12 = pair_rows(axis[1], axis[2]);
    const float s1 = p01.most + p23.most, s2 = p02.most + p13.most, s3 = p03.most + p12.most;
    const float more = fmaxf(s1, s2), less = fminf(s1, s2);
    const float best = fmaxf(more, s3), worst = fminf(less, s3);
    const float middle = fmaxf(less, fminf(more, s3));
    const float other1 = fmaxf(p01.most + p23.next, p01.next + p23.most);
    const float other2 = fmaxf(p02.most + p13.next, p02.next + p13.most);
    const float other3 = fmaxf(p03.most + p12.next, p03.next + p12.most);
    const float other = fmaxf(fmaxf(other1, other2), fmaxf(other3, worst));
    const float sum = __fadd_rn(__fadd_rn(all[0], all[1]), __fadd_rn(all[2], all[3]));
    const float behind = __fsub_rn(best, __fmaf_rn(sum, LEAD, LEAST));
    const bool is1 = s1 == best, is2 = s2 == best;
    const unsigned m = first_of_pair(either(is1, p01, either(is2, p02, p03)));
    const unsigned n = first_of_pair(either(is1, p23, either(is2, p13, p12)));
    const unsigned both = m * (is1   ? 0x11u
                               : is2 ? 0x101u
                                     : 0x1001u) +
                          n * (is1   ? 0x1100u
                               : is2 ? 0x1010u
                                     : 0x110u);
    *mask = both ^ (is1 ? 0xF0F0u : 0xFF00u);
    // A mask of one axis is found in two pairings.
    const bool one_axis = m == n || (m ^ n) == 15;
    if (sum == 0) *mask = 0xCC33; // all are alike: the first
    return (other < behind && (one_axis || middle < behind)) || sum == 0;
}

template <class F>
static __device__ __forceinline__ void numbers(const typename group4<typename F::bits>::wide v[4],
                                               float a[4][4]) {
#pragma unroll
    for (int r = 0; r < 4; r++)
#pragma unroll
        for (int j = 0; j < 4; j++)
            a[r][j] = number(F(), at(v[r], j));
}

static __device__ __forceinline__ uint2 from_lane(uint2 v, int lane) {
    return make_uint2(__shfl_sync(0xFFFFFFFFu, v.x, lane), __shfl_sync(0xFFFFFFFFu, v.y, lane));
}
static __device__ __forceinline__ uint4 from_lane(uint4 v, int lane) {
    return make_uint4(__shfl_sync(0xFFFFFFFFu, v.x, lane), __shfl_sync(0xFFFFFFFFu, v.y, lane),
                      __shfl_sync(0xFFFFFFFFu, v.z, lane), __shfl_sync(0xFFFFFFFFu, v.w, lane));
}

/* What a row keeps, in float. */
template <class F>
static __device__ __forceinline__ float row_sum(typename group4<typename F::bits>::wide v,
                                                unsigned nibble) {
    typedef typename F::bits T;
    const typename group4<T>::pair two = pick(v, nibble);
    return __fadd_rn(F::size(at(two, 0, (T)0)), F::size(at(two, 1, (T)0)));
}

/* A whole warp: the first of the best masks of a tile that all lanes have, as nibbles. *nan: one of
 * its numbers is none, and the mask is any. */
template <class F>
static __device__ __forceinline__ unsigned
first_best(const typename group4<typename F::bits>::wide v[4], bool *nan) {
    const unsigned ALL = 0xFFFFFFFFu;
    const int lane = (int)threadIdx.x & 31;
    uint32_t sum[3], nibbles[3];
#pragma unroll
    for (int i = 0; i < 3; i++) {
        const unsigned m = tile_nibbles[lane + 32 * i < 90 ? lane + 32 * i : 89];
        const float upper = __fadd_rn(row_sum<F>(v[0], m & 15), row_sum<F>(v[1], m >> 4 & 15));
        const float lower = __fadd_rn(row_sum<F>(v[2], m >> 8 & 15), row_sum<F>(v[3], m >> 12));
        nibbles[i] = m;
        sum[i] = __float_as_uint(__fadd_rn(upper, lower)); // not negative: orders as an integer
    }
    const uint32_t best = __reduce_max_sync(ALL, max(max(sum[0], sum[1]), sum[2]));
    *nan = best > 0x7F800000u;
    unsigned first = 0;
#pragma unroll
    for (int i = 2; i >= 0; i--) {
        const unsigned who = __ballot_sync(ALL, sum[i] == best);
        const unsigned it = __shfl_sync(ALL, nibbles[i], (__ffs((int)who) - 1) & 31);
        first = who != 0 ? it : first;
    }
    return first;
}

/* Masks of four nibbles, four bits each. */
static __device__ __forceinline__ unsigned masks_of_nibbles(unsigned nibbles) {
    unsigned masks = 0;
#pragma unroll
    for (int r = 0; r < 4; r++)
        masks |= (1u << (nibbles >> 4 * r & 3) | 1u << (nibbles >> (4 * r + 2) & 3)) << 4 * r;
    return masks;
}

/* A whole warp, a tile a lane: four bits a row, the first row lowest. in: there is a tile. */
template <class F>
static __device__ __forceinline__ unsigned
tile_mask(const typename group4<typename F::bits>::wide v[4], bool in, bool *nan) {
    float a[4][4];
    unsigned mask;
    numbers<F>(v, a);
    const bool leads = leading_tile(a, &mask);
    unsigned left = __ballot_sync(0xFFFFFFFFu, in && !leads);
    while (left != 0) {
        const int lane = __ffs((int)left) - 1;
        typename group4<typename F::bits>::wide tile[4];
        bool none;
#pragma unroll
        for (int r = 0; r < 4; r++)
            tile[r] = from_lane(v[r], lane);
        const unsigned nibbles = first_best<F>(tile, &none);
        if (lane == ((int)threadIdx.x & 31)) mask = masks_of_nibbles(nibbles);
        *nan |= none;
        left &= left - 1;
    }
    return mask;
}

#endif
