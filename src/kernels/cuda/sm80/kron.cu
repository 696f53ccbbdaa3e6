// SPDX-License-Identifier: MIT
// One Kronecker-sparse factor on a batch, by mma.m16n8k16: packing, products, the gradient.
#include "kernels/cuda/args_kron.h"
#include "kernels/cuda/common/mma16.cuh"

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

// Chunk of 16 bytes in a row of 128: rows of eight do not collide.
static __device__ __forceinline__ uint32_t chunk_at(int row, int chunk) {
    return (uint32_t)(row * 128 + ((chunk ^ (row & 7)) << 4));
}

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

// One number at a time, to any strides, through 8192 bytes of this warp's own.
template <class T>
static __device__ __forceinline__ void store_each(const wn__gpu_kron_factor &p, uint32_t mine,
                                                  const float (&d)[2][8][4], int vector, int first,
                                                  int64_t feature) {
    const int lane = (int)threadIdx.x & 31;
    const bool by_vector = p.y_vector == 1;
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int t = 0; t < 8; t++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                put32(mine + (16 * m + (lane >> 2) + 8 * (e >> 1)) * 256 +
                          (8 * t + 2 * (lane & 3) + (e & 1)) * 4,
                      __float_as_uint(d[m][t][e]));
    __syncwarp();
#pragma unroll 1
    for (int i = 0; i < 64; i++) {
        const int row = by_vector ? lane : i / 2, j = by_vector ? i : 32 * (i & 1) + lane;
        if (vector + row >= p.n || first + j >= p.b) continue;
        uint16_t *y =
            p.y + (vector + row) * p.y_vector + (feature + (int64_t)j * p.d) * p.y_feature;
        const float old = p.accumulate != 0 ? T::wide(*y) : 0;
        *y = (uint16_t)T::pair(get_float(mine + row * 256 + j * 4) + old, 0);
    }
    __syncwarp();
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
    const int chunks = (p.c + 63) / 64;
    for (int v = (int)blockIdx.y * WN_KRON_ROWS_VECTORS + 32 * warp; v < p.n;
         v += (int)gridDim.y * WN_KRON_ROWS_VECTORS) {
        float d[2][8][4] = {};
        bring_rows(p, mine, v, 0, from);
        copies_commit();
#pragma unroll 1
        for (int s = 0; s < chunks; s++) {
            if (s + 1 < chunks) bring_rows(p, mine + ((s + 1) & 1) * STAGE, v, 64 * (s + 1), from);
            copies_commit();
            copies_wait<1>();
            __syncwarp();
            multiply64<T>(d, mine + (s & 1) * STAGE, tiles + 4 * s * 32, p.down - 4 * part,
                          p.across, p.across - 4 * s);
            __syncwarp();
        }
        store_rows<T>(p, mine, d, v, first, to);
    }
}

// ---- blocks of a factor side by side: d = 2, 4, 8 or a multiple of 16. Warp w has block w of 16;
// features come 16 bytes at a time, which hold several blocks, and are sorted into their rows.

// Pair of numbers i and j of 16.
static __device__ __forceinline__ uint32_t both(const uint32_t (&e)[8], int i, int j) {
    const uint32_t a = e[i / 2], b = e[j / 2];
    return __byte_perm(a, b, (i & 1 ? 0x32 : 0x10) | (j & 1 ? 0x7600 : 0x5400));
}

// Where block w of a group of 16 lies: its first input, given inputs and outputs of a block.
struct lanes_at {
    int64_t from, to; // the group's first feature
    int part;
};

template <int D>
static __device__ __forceinline__ void sort16(uint32_t base, const uint32_t (&e)[8], int row, int k,
                                              int lane0) {
    // D numbers of input k, then of k + 1, ...: from block lane0 on
#pragma unroll
    for (int s = 0; s < 16 / (2 * D); s++)
#pragma unroll
        for (int l = 0; l < D; l++)
            put32(base + (lane0 + l) * (32 * 128) + chunk_at(row, (k + 2 * s) / 8) +
                      ((k + 2 * s) & 7) * 2,
                  both(e, 2 * D * s + l, 2 * D * s + D + l));
}

// 64 inputs from k0 on of 16 blocks, 32 vectors.
static __device__ __forceinline__ void bring_lanes(const wn__gpu_kron_factor &p, uint32_t base,
                                                   int vector, int k0, int64_t from) {
    const int run = p.d < 16 ? p.d : 8;
    const int per = 16 / run; // runs beside one another: other blocks of the factor's, or
                              // the other half of 16 lanes
    const int inputs = min(64, (p.c - k0 + 15) / 16 * 16);       // products take 16 at a time
    const int pairs = p.d < 16 ? inputs * p.d / 16 : inputs / 2; // pieces of 16 numbers
#pragma unroll 1
    for (int at = (int)threadIdx.x; at < 32 * pairs * per; at += WN_KRON_LANES_THREADS) {
        int row, k, which;
        if (p.d < 16) { // neighbours: pieces of a run of 64 d numbers
            const int piece = at % pairs;
            which = at / pairs % per;
            row = at / (pairs * per);
            k = piece * (16 / p.d);
        } else { // neighbours: both halves of 32 bytes
            which = at & 1;
            k = (at >> 1) % pairs * 2;
            row = (at >> 1) / pairs;
        }
        uint32_t e[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        if (vector + row < p.n && k0 + k < p.c) {
            const uint16_t *x = p.x + (vector + row) * p.x_vector + from;
            uint4 first, second = make_uint4(0, 0, 0, 0);
            if (p.d < 16) {
                x += ((int64_t)which * p.c + k0 + k) * p.d;
                first = __ldg((const uint4 *)x);
                second = __ldg((const uint4 *)x + 1);
            } else {
                x += (int64_t)(k0 + k) * p.d + 8 * which;
                first = __ldg((const uint4 *)x);
                if (k0 + k + 1 < p.c) second = __ldg((const uint4 *)(x + p.d));
            }
            e[0] = first.x, e[1] = first.y, e[2] = first.z, e[3] = first.w;
            e[4] = second.x, e[5] = second.y, e[6] = second.z, e[7] = second.w;
        }
        if (run == 8)
            sort16<8>(base, e, row, k, 8 * which);
        else if (run == 4)
            sort16<4>(base, e, row, k, 4 * which);
        else
            sort16<2>(base, e, row, k, 2 * which);
    }
}

// A vector's results in shared memory: 2048 bytes, as they lie in memory, chunks mixed so that
// those of a warp's outputs lie in all banks.
static __device__ __forceinline__ uint32_t result_at(int row, int number) {
    const int chunk = number / 8;
    return (uint32_t)(row * 2048 + ((chunk ^ (chunk >> 3 & 7) ^ (row & 7)) << 4) +
                      (number & 7) * 2);
}

template <class T>
static __device__ __forceinline__ void store_lanes(const wn__gpu_kron_factor &p, uint32_t results,
                                                   const float (&d)[2][8][4], int vector, int first,
                                                   int64_t to) {
    const int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x / 32;
    // blocks of one i: their outputs j d + l lie in a row
    const int side = p.d < 16 ? p.d : 16, block = warp / side * 64, l = warp % side;
    const int outputs = min(64, p.b - first);
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int t = 0; t < 8; t++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int row = 16 * m + (lane >> 2) + 8 * (e >> 1);
                const int j = 8 * t + 2 * (lane & 3) + (e & 1);
                put16(results + result_at(row, (block + j) * side + l),
                      (uint16_t)T::pair(d[m][t][e], 0));
            }
    __syncthreads();
    const int run = outputs * side / 8, in_row = run * (16 / side); // pieces of 16 bytes
    for (int at = (int)threadIdx.x; at < 32 * in_row; at += WN_KRON_LANES_THREADS) {
        const int row = at / in_row, i = at % in_row / run, number = at % run * 8;
        if (vector + row >= p.n) break;
        const int64_t feature =
            to + ((int64_t)i * p.b + first + number / side) * p.d + number % side;
        *(uint4 *)(p.y + (vector + row) * p.y_vector + feature) =
            get128(results + result_at(row, i * 64 * side + number));
    }
}

template <class T> static __device__ __forceinline__ void lanes(const wn__gpu_kron_factor &p) {
    extern __shared__ __align__(128) uint8_t memory[];
    const uint32_t base = shared_address(memory), results = base + 16 * 32 * 128;
    const int warp = (int)threadIdx.x / 32;
    const int parts = (p.b + WN_KRON_OUTPUTS - 1) / WN_KRON_OUTPUTS;
    const int group = (int)blockIdx.x / parts * WN_KRON_LANES, part = (int)blockIdx.x % parts;
    const int i = group / p.d, l = group % p.d, first = part * WN_KRON_OUTPUTS;
    const int side = p.d < 16 ? p.d : 16; // blocks of one i
    const int64_t from = (int64_t)i * p.c * p.d + l, to = (int64_t)i * p.b * p.d + l;
    const uint4 *tiles =
        (const uint4 *)p.tiles + ((int64_t)(group + warp) * p.down + 4 * part) * p.across * 32;
    const int chunks = (p.c + 63) / 64;
    for (int v = (int)blockIdx.y * WN_KRON_LANES_VECTORS; v < p.n;
         v += (int)gridDim.y * WN_KRON_LANES_VECTORS) {
        float d[2][8][4] = {};
#pragma unroll 1
        for (int s = 0; s < chunks; s++) {
            bring_lanes(p, base, v, 64 * s, from);
            __syncthreads();
            multiply64<T>(d, base + warp * 32 * 128, tiles + 4 * s * 32, p.down - 4 * part,
                          p.across, p.across - 4 * s);
            __syncthreads();
        }
        if (p.wide_out != 0)
            store_lanes<T>(p, results, d, v, first, to);
        else
            store_each<T>(p, base + warp * 8192, d, v, first,
                          to + ((int64_t)(warp / side) * p.b + first) * p.d + warp % side);
        __syncthreads();
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
    const int steps = (p.n + 63) / 64;
    float sum[4][4] = {};
    for (int s = -1; s < steps; s++) {
        if (s + 1 < steps) {
            const int b = (s + 1) & 1, v = 64 * (s + 1);
            bring_side(shared_address(memory[b][0]), p.dy, p.dy_vector, p.dy_feature, p.wide_dy, v,
                       p.n, j0, p.b, to, p.d);
            bring_side(shared_address(memory[b][1]), p.x, p.x_vector, p.x_feature, p.wide_x, v, p.n,
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
#pragma unroll
    for (int h = 0; h < 4; h++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int j = j0 + jw + (lane >> 2) + 8 * (e >> 1);
            const int k = k0 + kw + 8 * h + 2 * (lane & 3) + (e & 1);
            if (j >= p.b || k >= p.c) continue;
            const int64_t at =
                i * p.stride[0] + j * p.stride[1] + k * p.stride[2] + l * p.stride[3];
            if (p.f32 != 0) {
                float *dw = (float *)p.dw + at;
                *dw = sum[h][e] + (p.accumulate != 0 ? *dw : 0);
            } else {
                uint16_t *dw = (uint16_t *)p.dw + at;
                *dw = (uint16_t)T::pair(sum[h][e] + (p.accumulate != 0 ? T::wide(*dw) : 0), 0);
            }
        }
}

#define KERNELS(type)                                                                              \
    extern "C" __global__ void __launch_bounds__(WN_KRON_ROWS_THREADS, 2)                          \
        wn_kron_rows_##type(const __grid_constant__ wn__gpu_kron_factor p) {                       \
        rows<type_##type>(p);                                                                      \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(WN_KRON_LANES_THREADS, 1)                         \
        wn_kron_lanes_##type(const __grid_constant__ wn__gpu_kron_factor p) {                      \
        lanes<type_##type>(p);                                                                     \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(WN_KRON_GRAD_THREADS)                             \
        wn_kron_grad_##type(const __grid_constant__ wn__gpu_kron_grad p) {                         \
        grad<type_##type>(p);                                                                      \
    }
KERNELS(bf16)
KERNELS(f16)
