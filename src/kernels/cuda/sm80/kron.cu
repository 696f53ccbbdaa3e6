// SPDX-License-Identifier: MIT
// One Kronecker-sparse factor on a batch, by mma.m16n8k16: packing, products, the gradient.
#include "kernels/cuda/args_kron.h"
#include "kernels/cuda/common/kron.cuh"

// ---- packing: one thread for what one lane takes of a tile

extern "C" __global__ void __launch_bounds__(WN_KRON_PACK_THREADS)
    wn_kron_pack(const __grid_constant__ wn__gpu_kron_pack p) {
    const int64_t all = (int64_t)p.a * p.d * p.down * p.across * 32;
    for (int64_t at = (int64_t)blockIdx.x * WN_KRON_PACK_THREADS + threadIdx.x; at < all;
         at += (int64_t)gridDim.x * WN_KRON_PACK_THREADS) {
        const int lane = (int)(at % 32);
        int64_t rest = at / 32;
        const int kt = (int)(rest % p.across);
        rest /= p.across;
        const int mt = (int)(rest % p.down);
        rest /= p.down;
        const int l = (int)(rest % p.d), i = (int)(rest / p.d);
        const uint16_t *block = p.w + i * p.stride[0] + l * p.stride[3];
        uint32_t word[4];
#pragma unroll
        for (int r = 0; r < 4; r++) {
            const int j = 16 * mt + lane / 4 + 8 * (r & 1);
            const int k = 16 * kt + 2 * (lane % 4) + 8 * (r >> 1);
            const uint16_t *from = block + j * p.stride[1] + k * p.stride[2];
            const uint32_t low = j < p.b && k < p.c ? from[0] : 0;
            const uint32_t high = j < p.b && k + 1 < p.c ? from[p.stride[2]] : 0;
            word[r] = low | high << 16;
        }
        ((uint4 *)p.tiles)[at] = make_uint4(word[0], word[1], word[2], word[3]);
    }
}

// ---- products. Vectors are the rows of a result tile, outputs its columns.

// 64 inputs from shared memory, 32 vectors, times tiles `at` of the block's rows.
template <class T>
static __device__ __forceinline__ void multiply64(float (&d)[2][8][4], uint32_t x, const uint4 *at,
                                                  int down, int across, int left) {
    const int lane = (int)threadIdx.x & 31;
#pragma unroll 2
    for (int kt = 0; kt < 4; kt++) {
        if (kt >= left) return;
        uint32_t a[2][4];
#pragma unroll
        for (int m = 0; m < 2; m++)
            load_matrices(a[m], x + chunk_at(16 * m + (lane & 15), 2 * kt + (lane >> 4)));
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const uint4 w =
                j < down ? __ldg(at + (j * across + kt) * 32 + lane) : make_uint4(0, 0, 0, 0);
#pragma unroll
            for (int m = 0; m < 2; m++) {
                mma16(T(), d[m][2 * j], a[m][0], a[m][1], a[m][2], a[m][3], w.x, w.z);
                mma16(T(), d[m][2 * j + 1], a[m][0], a[m][1], a[m][2], a[m][3], w.y, w.w);
            }
        }
    }
}

// 32 vectors of 64 inputs of a block from feature `from` on, into rows of 128 bytes.
static __device__ __forceinline__ void bring_rows(const wn__gpu_kron_factor &p, uint32_t to,
                                                  int vector, int k0, int64_t from) {
    const int lane = (int)threadIdx.x & 31;
    if (p.wide_in != 0) {
#pragma unroll 2
        for (int i = 0; i < 8; i++) {
            const int row = 4 * i + (lane >> 3), chunk = lane & 7;
            const bool in = vector + row < p.n && k0 + 8 * chunk < p.c;
            const uint16_t *x =
                p.x + (in ? (vector + row) * p.x_vector + from + k0 + 8 * chunk : 0);
            copy_async(to + chunk_at(row, chunk), x, in ? 16 : 0);
        }
        return;
    }
    const bool by_vector = p.x_vector == 1;
#pragma unroll 1
    for (int i = 0; i < 64; i++) {
        const int row = by_vector ? lane : i / 2, k = by_vector ? i : 32 * (i & 1) + lane;
        const bool in = vector + row < p.n && k0 + k < p.c;
        const uint16_t v =
            in ? p.x[(vector + row) * p.x_vector + (from + (int64_t)(k0 + k) * p.d) * p.x_feature]
               : (uint16_t)0;
        put16(to + chunk_at(row, k / 8) + (k & 7) * 2, v);
    }
}

template <class T>
static __device__ __forceinline__ void store_rows(const wn__gpu_kron_factor &p, uint32_t mine,
                                                  const float (&d)[2][8][4], int vector, int first,
                                                  int64_t feature) {
    const int lane = (int)threadIdx.x & 31;
    if (p.wide_out == 0) {
        store_each<T>(p, mine, d, vector, first, feature);
        return;
    }
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int t = 0; t < 8; t++)
#pragma unroll
            for (int h = 0; h < 2; h++)
                put32(mine + chunk_at(16 * m + (lane >> 2) + 8 * h, t) + (lane & 3) * 4,
                      T::pair(d[m][t][2 * h], d[m][t][2 * h + 1]));
    __syncwarp();
#pragma unroll 2
    for (int i = 0; i < 8; i++) {
        const int row = 4 * i + (lane >> 3), chunk = lane & 7;
        if (vector + row < p.n && first + 8 * chunk < p.b)
            *(uint4 *)(p.y + (vector + row) * p.y_vector + feature + 8 * chunk) =
                get128(mine + chunk_at(row, chunk));
    }
    __syncwarp();
}

// Every warp its own 32 vectors of the same outputs, so that L1 has the weights.
template <class T> static __device__ __forceinline__ void rows(const wn__gpu_kron_factor &p) {
    extern __shared__ __align__(128) uint8_t memory[];
    enum { STAGE = 32 * 128 };
    const int warp = (int)threadIdx.x / 32;
    const uint32_t mine = shared_address(memory) + warp * 2 * STAGE;
    const int parts = (p.b + WN_KRON_OUTPUTS - 1) / WN_KRON_OUTPUTS;
    const int group = (int)blockIdx.x / parts, part = (int)blockIdx.x % parts;
    const int i = group / p.d, l = group % p.d, first = part * WN_KRON_OUTPUTS;
    const int64_t from = (int64_t)i * p.c * p.d + l;
    const int64_t to = ((int64_t)i * p.b + first) * p.d + l;
    const uint4 *tiles =
        (const uint4 *)p.tiles + ((int64_t)group * p.down + 4 * part) * p.across * 32;
    const int step = (int)gridDim.y * WN_KRON_ROWS_VECTORS;
    // one copy ahead, of the next vectors' first inputs too
    int next = (int)blockIdx.y * WN_KRON_ROWS_VECTORS + 32 * warp, next_k = 0, stage = 0;
    const int begin = next;
    if (next < p.n) bring_rows(p, mine, next, 0, from);
    copies_commit();
    if ((next_k += 64) >= p.c) next_k = 0, next += step;
#pragma unroll 1
    for (int v = begin; v < p.n; v += step) {
        float d[2][8][4] = {};
#pragma unroll 1
        for (int kt = 0; kt < p.across; kt += 4) {
            if (next < p.n) bring_rows(p, mine + (stage ^ 1) * STAGE, next, next_k, from);
            copies_commit();
            if ((next_k += 64) >= p.c) next_k = 0, next += step;
            copies_wait<1>();
            __syncwarp();
            multiply64<T>(d, mine + stage * STAGE, tiles + kt * 32, p.down - 4 * part, p.across,
                          p.across - kt);
            __syncwarp();
            stage ^= 1;
        }
        store_rows<T>(p, mine + (stage ^ 1) * STAGE, d, v, first, to);
    }
}

// ---- the gradient of a factor: 64 x 64 numbers of one block, vectors in their order

static __device__ __forceinline__ void bring_side(uint32_t to, const uint16_t *x, int64_t vector,
                                                  int64_t feature, int wide, int v, int n,
                                                  int first, int count, int64_t from, int d) {
    if (wide != 0) {
#pragma unroll
        for (int at = (int)threadIdx.x; at < 64 * 8; at += WN_KRON_GRAD_THREADS) {
            const int row = at / 8, chunk = at % 8;
            const bool in = v + row < n && first + 8 * chunk < count;
            copy_async(to + chunk_at(row, chunk),
                       x + (in ? (v + row) * vector + from + first + 8 * chunk : 0), in ? 16 : 0);
        }
        return;
    }
    const bool by_vector = vector == 1;
#pragma unroll 4
    for (int at = (int)threadIdx.x; at < 64 * 64; at += WN_KRON_GRAD_THREADS) {
        const int row = by_vector ? at % 64 : at / 64, k = by_vector ? at / 64 : at % 64;
        const bool in = v + row < n && first + k < count;
        const uint16_t number =
            in ? x[(v + row) * vector + (from + (int64_t)(first + k) * d) * feature] : (uint16_t)0;
        put16(to + chunk_at(row, k / 8) + (k & 7) * 2, number);
    }
}

template <class T> static __device__ __forceinline__ void grad(const wn__gpu_kron_grad &p) {
    __shared__ __align__(128) uint8_t memory[2][2][64 * 128];
    const int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x / 32;
    const int down = (p.b + 63) / 64, across = (p.c + 63) / 64;
    const int tile = (int)blockIdx.x % (down * across), group = (int)blockIdx.x / (down * across);
    const int j0 = tile / across * 64, k0 = tile % across * 64;
    const int i = group / p.d, l = group % p.d;
    const int64_t from = (int64_t)i * p.c * p.d + l, to = (int64_t)i * p.b * p.d + l;
    const int jw = 16 * (warp & 3), kw = 32 * (warp >> 2);
    const int begin = (int)blockIdx.y * p.vectors, end = min(p.n, begin + p.vectors);
    const int steps = (end - begin + 63) / 64;
    float sum[4][4] = {};
    for (int s = -1; s < steps; s++) {
        if (s + 1 < steps) {
            const int b = (s + 1) & 1, v = begin + 64 * (s + 1);
            bring_side(shared_address(memory[b][0]), p.dy, p.dy_vector, p.dy_feature, p.wide_dy, v,
                       end, j0, p.b, to, p.d);
            bring_side(shared_address(memory[b][1]), p.x, p.x_vector, p.x_feature, p.wide_x, v, end,
                       k0, p.c, from, p.d);
        }
        copies_commit();
        if (s >= 0) {
            copies_wait<1>();
            __syncthreads();
            const uint32_t dy = shared_address(memory[s & 1][0]);
            const uint32_t x = shared_address(memory[s & 1][1]);
#pragma unroll
            for (int t = 0; t < 4; t++) { // 16 vectors
                uint32_t a[4], b[2][4];
                // matrices of vectors t, t + 8 by outputs j, j + 8: read as rows of outputs
                load_transposed(a, dy + chunk_at(16 * t + (lane & 7) + 8 * (lane >> 4),
                                                 jw / 8 + (lane >> 3 & 1)));
#pragma unroll
                for (int h = 0; h < 2; h++)
                    load_transposed(
                        b[h], x + chunk_at(16 * t + (lane & 15), kw / 8 + 2 * h + (lane >> 4)));
#pragma unroll
                for (int h = 0; h < 4; h++)
                    mma16(T(), sum[h], a[0], a[1], a[2], a[3], b[h / 2][h % 2 * 2],
                          b[h / 2][h % 2 * 2 + 1]);
            }
            __syncthreads();
        }
    }
    float *sums = p.sums + ((int64_t)blockIdx.y * p.a * p.d + group) * p.b * p.c;
#pragma unroll
    for (int h = 0; h < 4; h++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int j = j0 + jw + (lane >> 2) + 8 * (e >> 1);
            const int k = k0 + kw + 8 * h + 2 * (lane & 3) + (e & 1);
            if (j < p.b && k < p.c) sums[(int64_t)j * p.c + k] = sum[h][e];
        }
}

template <class T> static __device__ __forceinline__ void grad_sum(const wn__gpu_kron_grad &p) {
    const int64_t all = (int64_t)p.a * p.d * p.b * p.c;
    for (int64_t at = (int64_t)blockIdx.x * WN_KRON_GRAD_SUM_THREADS + threadIdx.x; at < all;
         at += (int64_t)gridDim.x * WN_KRON_GRAD_SUM_THREADS) {
        const int k = (int)(at % p.c), j = (int)(at / p.c % p.b);
        const int group = (int)(at / ((int64_t)p.b * p.c));
        const int64_t to = group / p.d * p.stride[0] + j * p.stride[1] + k * p.stride[2] +
                           group % p.d * p.stride[3];
        float sum = 0;
#pragma unroll 4
        for (int part = 0; part < p.parts; part++)
            sum += p.sums[part * all + at];
        if (p.f32 != 0) {
            float *dw = (float *)p.dw + to;
            *dw = sum + (p.accumulate != 0 ? *dw : 0);
        } else {
            uint16_t *dw = (uint16_t *)p.dw + to;
            *dw = (uint16_t)T::pair(sum + (p.accumulate != 0 ? T::wide(*dw) : 0), 0);
        }
    }
}

#define KERNELS(type)                                                                              \
    extern "C" __global__ void __launch_bounds__(WN_KRON_ROWS_THREADS, 2)                          \
        wn_kron_rows_##type(const __grid_constant__ wn__gpu_kron_factor p) {                       \
        rows<type_##type>(p);                                                                      \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(WN_KRON_GRAD_THREADS)                             \
        wn_kron_grad_##type(const __grid_constant__ wn__gpu_kron_grad p) {                         \
        grad<type_##type>(p);                                                                      \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(WN_KRON_GRAD_SUM_THREADS)                         \
        wn_kron_grad_sum_##type(const __grid_constant__ wn__gpu_kron_grad p) {                     \
        grad_sum<type_##type>(p);                                                                  \
    }
KERNELS(bf16)
KERNELS(f16)
