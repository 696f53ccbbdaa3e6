// SPDX-License-Identifier: MIT
// Making and reading 2:4 structure along rows at the speed of memory: mask24, pack24, unpack24,
// flips24. One thread a share of a row (32 bytes), one warp 32 shares of one row after the other.
#include "kernels/cuda/args24.h"
#include "kernels/cuda/common/choose24.cuh"
#include "kernels/cuda/common/group24.cuh"

// ---- mask24

// Masks of a share, a byte each. Missing columns are zeros, later than all others.
template <class F>
static __device__ __forceinline__ uint32_t masks_of(const share<uint32_t> &s, int n, bool *nan) {
    uint32_t mask = 0;
#pragma unroll
    for (int g = 0; g < (int)share<uint32_t>::groups; g++)
        mask |= (keep_two_of<F>(s.group[g], nan) & ~missing(n, g)) << 8 * g;
    return mask;
}
template <class F>
static __device__ __forceinline__ uint32_t masks_of(const share<uint16_t> &s, int n, bool *nan) {
    unsigned masks;
    *nan |= !keep_two_of_four(s.group, F::infinity, &masks);
    const uint32_t pairs = (masks | masks << 8) & 0x00FF00FFu;
    const uint32_t bytes = (pairs | pairs << 4) & 0x0F0F0F0Fu;
    uint32_t gone = 0;
    if (n < (int)share<uint16_t>::columns)
#pragma unroll
        for (int g = 0; g < (int)share<uint16_t>::groups; g++)
            gone |= missing(n, g) << 8 * g;
    return bytes & ~gone;
}

template <class F> static __device__ __forceinline__ void mask_row(const wn__gpu_mask24 &p) {
    typedef typename F::bits T;
    enum { GROUPS = share<T>::groups };
    const int64_t at_share = share_number();
    const int n = columns_left<T>(p.columns, at_share);
    if (n <= 0) return;
    bool nan = false;
    for (int64_t r = first_row(); r < p.rows; r += row_step()) {
        const share<T> s =
            load_share((const T *)p.w + r * p.stride + at_share * share<T>::columns, n);
        const uint32_t mask = masks_of<F>(s, n, &nan);
        store_bytes<GROUPS>(p.mask + r * p.groups + at_share * GROUPS, (n + 3) / 4, mask);
    }
    if (nan) leave(p.fault, p.number);
}

// ---- flips24

static __device__ __forceinline__ unsigned differing(uint32_t a, uint32_t b) {
    return (unsigned)__popc((a ^ b) & 0x0F0F0F0Fu);
}

extern "C" __global__ void __launch_bounds__(WN_GPU_THREADS) wn_flips24(wn__gpu_flips24 p) {
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    const int64_t first = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const bool wide = (((uintptr_t)p.a | (uintptr_t)p.b) & 15) == 0;
    const int64_t words = wide ? p.bytes / 16 : 0;
    unsigned long long count = 0;
    for (int64_t i = first; i < words; i += step) {
        const uint4 a = __ldcs((const uint4 *)p.a + i), b = __ldcs((const uint4 *)p.b + i);
        count +=
            differing(a.x, b.x) + differing(a.y, b.y) + differing(a.z, b.z) + differing(a.w, b.w);
    }
    for (int64_t i = 16 * words + first; i < p.bytes; i += step)
        count += differing(p.a[i], p.b[i]);
#pragma unroll
    for (int lane = 16; lane > 0; lane >>= 1)
        count += __shfl_xor_sync(0xFFFFFFFFu, count, lane);
    if ((threadIdx.x & 31) == 0 && count > 0) atomicAdd(p.count, count);
}

// ---- pack24

template <class T> static __device__ __forceinline__ void pack_rows(const wn__gpu_pack24 &p) {
    enum { GROUPS = share<T>::groups };
    const int64_t at_share = share_number();
    const int n = columns_left<T>(p.columns, at_share), groups = (n + 3) / 4;
    const int64_t pairs = (p.groups + 1) / 2;
    if (n <= 0) return;
    bool good = true;
    for (int64_t r = first_row(); r < p.rows; r += row_step()) {
        const int64_t group = r * p.groups + at_share * GROUPS;
        const share<T> s =
            load_share((const T *)p.w + r * p.stride + at_share * share<T>::columns, n);
        const uint32_t masks = load_bytes<GROUPS>(p.mask + group, groups);
        typename group4<T>::pair v[GROUPS];
        uint32_t index = 0;
#pragma unroll
        for (int g = 0; g < (int)GROUPS; g++) {
            const unsigned mask = masks >> 8 * g & 255, nibble = nibble_of(mask & 15);
            good &= (mask & (0xF0u | missing(n, g))) == 0 && nibble != 15;
            v[g] = kept(pick(s.group[g], nibble), nibble, mask);
            index |= nibble << 4 * g;
        }
        store_pairs((T *)p.values + 2 * group, groups, v);
        store_bytes<GROUPS / 2>(p.index + r * pairs + at_share * (GROUPS / 2), (groups + 1) / 2,
                                index);
    }
    if (!good) leave(p.fault, p.number);
}

// ---- unpack24

static __device__ __forceinline__ bool zero(uint2 v, int slot) {
    return ((slot == 0 ? v.x : v.y) & 0x7FFFFFFFu) == 0;
}
static __device__ __forceinline__ bool zero(uint32_t v, int slot) {
    return (v >> 16 * slot & 0x7FFFu) == 0;
}

template <class T> static __device__ __forceinline__ void unpack(const wn__gpu_unpack24 &p) {
    enum { GROUPS = share<T>::groups };
    const int64_t at_share = share_number();
    const int n = columns_left<T>(p.columns, at_share), groups = (n + 3) / 4;
    const int64_t pairs = (p.groups + 1) / 2;
    if (n <= 0) return;
    bool good = true;
    for (int64_t r = first_row(); r < p.rows; r += row_step()) {
        const int64_t group = r * p.groups + at_share * GROUPS;
        typename group4<T>::pair v[GROUPS];
        share<T> s;
        load_pairs((const T *)p.values + 2 * group, groups, v);
        const uint32_t index =
            load_bytes<GROUPS / 2>(p.index + r * pairs + at_share * (GROUPS / 2), (groups + 1) / 2);
#pragma unroll
        for (int g = 0; g < (int)GROUPS; g++) {
            const unsigned nibble = index >> 4 * g & 15, first = nibble & 3, second = nibble >> 2;
            const unsigned beyond = missing(n, g);
            s.group[g] = spread(v[g], nibble);
            if (g >= groups) continue;
            good &= first < second;
            good &= !(beyond >> first & 1) || zero(v[g], 0);
            good &= !(beyond >> second & 1) || zero(v[g], 1);
        }
        store_share((T *)p.w + r * p.stride + at_share * share<T>::columns, n, s);
    }
    if (!good) leave(p.fault, p.number);
}

// ---- what the host launches

#define ENTRY(name, args, call)                                                                    \
    extern "C" __global__ void __launch_bounds__(WN_GPU_THREADS) name(const args p) {              \
        call(p);                                                                                   \
    }

ENTRY(wn_mask24_row_f32, wn__gpu_mask24, mask_row<f32>)
ENTRY(wn_mask24_row_bf16, wn__gpu_mask24, mask_row<bf16>)
ENTRY(wn_mask24_row_f16, wn__gpu_mask24, mask_row<f16>)
ENTRY(wn_pack24_rows_4, wn__gpu_pack24, pack_rows<uint32_t>)
ENTRY(wn_pack24_rows_2, wn__gpu_pack24, pack_rows<uint16_t>)
ENTRY(wn_unpack24_4, wn__gpu_unpack24, unpack<uint32_t>)
ENTRY(wn_unpack24_2, wn__gpu_unpack24, unpack<uint16_t>)
