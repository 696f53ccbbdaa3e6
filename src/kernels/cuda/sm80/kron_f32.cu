// SPDX-License-Identifier: MIT
// One Kronecker-sparse factor of float32 numbers on a batch, by tensor cores that take numbers in
// parts.
//
// Blocks that lie side by side come as they lie in memory: 16 bytes are one input of four blocks,
// which one thread reads at once and multiplies with the weights of four; so nothing is sorted.
// Where they do not lie so, the four numbers are those of four vectors. Eight inputs' products are
// summed by the tensor cores, which cut what they add, and added to the sum in float32, rounded.
//
// The contract's bound, in units of 2^-23 S = 2 u' S (c + 1 for a factor): tensor cores add four
// products, or eight, to a number at a time; all but the largest are cut one bit below a float of
// that size, and the result at its last bit (Fasi, Higham, Mikaitis & Pranesh 2021; later ones keep
// more). So eight products lose at most 2 (4/2 + 1) = 6 units of their own share of S, the smaller
// products of parts 2^-10 of that, the c / 8 sums in float32 half a unit each, and two parts leave
// out 8: 14.1 + c / 16 <= c + 1 for c >= 16. Below three parts leave out nothing that counts, and
// c products lose c / 2 + 1 units, c / 2 + 2 beyond four and c / 2 + 4.5 beyond eight.
#include "kernels/cuda/args_kron_f32.h"
#include "kernels/cuda/common/mma16.cuh"
#include "kernels/cuda/common/tf32.cuh"

enum {
    INPUTS = WN_KRON_F32_ACROSS,
    ROW_BYTES = INPUTS * 16,
    SET_ROWS = 64,
    SET_BYTES = SET_ROWS * ROW_BYTES,
};

template <int BLOCKS> struct shape {
    enum {
        ROWS = BLOCKS == 8 ? SET_ROWS : 2 * SET_ROWS,
#if defined __CUDA_ARCH__ && __CUDA_ARCH__ >= 900
        STAGES = WN_KRON_F32_STAGES_90(BLOCKS),
#else
        STAGES = WN_KRON_F32_STAGES_80,
#endif
        STAGE = WN_KRON_F32_STAGE(BLOCKS),
    };
};
static_assert(WN_KRON_F32_STAGE(0) == 2 * SET_BYTES, "two sets of rows");

// ---- packing: one thread for what one lane takes of eight inputs

extern "C" __global__ void __launch_bounds__(WN_KRON_F32_PACK_THREADS)
    wn_kron_pack_f32(const __grid_constant__ wn__gpu_kron_pack_f32 p) {
    const int64_t all = (int64_t)p.a * p.d * p.down * p.across * (WN_KRON_F32_TILE / 2);
    for (int64_t at = (int64_t)blockIdx.x * WN_KRON_F32_PACK_THREADS + threadIdx.x; at < all;
         at += (int64_t)gridDim.x * WN_KRON_F32_PACK_THREADS) {
        const int lane = (int)(at % 32), column = lane / 4;
        int64_t rest = at / 64;
        const int kt = (int)(rest % p.across);
        rest /= p.across;
        const int jt = (int)(rest % p.down);
        rest /= p.down;
        const int l = (int)(rest % p.d), i = (int)(rest / p.d);
        const int j = WN_KRON_F32_DOWN * jt + 4 * (column & 1) + column / 2;
        const int k = WN_KRON_F32_ACROSS * kt + (int)(at / 32 % 2) * 8 + lane % 4;
        const float *from = p.w + i * p.stride[0] + j * p.stride[1] + l * p.stride[3];
        ((float2 *)p.tiles)[at] =
            make_float2(j < p.b && k < p.c ? from[k * p.stride[2]] : 0,
                        j < p.b && k + 4 < p.c ? from[(k + 4) * p.stride[2]] : 0);
    }
}

// ---- what comes: rows of 16 inputs of four numbers

static __device__ __forceinline__ uint32_t piece_at(int row, int input) {
    return (uint32_t)(row * ROW_BYTES + ((input ^ (row & 1) << 2) << 4));
}

static __device__ __forceinline__ void copy4_async(uint32_t to, const float *from, int bytes) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(bytes)
                 : "memory");
}

template <int BLOCKS, int THREADS, int UNROLL>
static __device__ __forceinline__ void bring_pieces(const wn__gpu_kron_f32 &p, uint32_t to,
                                                    const float *x, int row, int k0) {
    enum { SETS = BLOCKS == 8 ? 2 : 1, STEP = THREADS / INPUTS / SETS };
    const int thread = (int)threadIdx.x, set = BLOCKS == 8 ? thread & 1 : 0;
    const int input = thread / SETS % INPUTS, first = thread / SETS / INPUTS;
    const bool in = k0 + input < p.c;
    const float *from = x + (row + first) * p.x_row + (k0 + input) * p.x_input + 4 * set;
    to += set * SET_BYTES + piece_at(first, input); // STEP is even: rows alike
#pragma unroll UNROLL
    for (int i = 0; i < shape<BLOCKS>::ROWS / STEP; i++) {
        const int at = row + first + STEP * i;
        const int numbers = !in || at >= p.rows ? 0 : BLOCKS == 1 ? min(4, p.n - 4 * at) : 4;
        copy_async(to + STEP * i * ROW_BYTES, numbers > 0 ? from : x, 4 * numbers);
        from += STEP * p.x_row;
    }
}

// Number by number, four vectors a row; lanes along whichever has unit stride.
static __device__ __forceinline__ void bring_numbers(const wn__gpu_kron_f32 &p, uint32_t to,
                                                     const float *x, int row, int k0) {
    enum {
        VECTORS = 4 * shape<1>::ROWS,
        THREADS = WN_KRON_F32_THREADS,
        TIMES = VECTORS * INPUTS / THREADS
    };
    static_assert(VECTORS == THREADS && TIMES == INPUTS, "a thread has a vector, or an input");
    const bool by_vector = p.by_vector != 0;
    const int more = by_vector ? 0 : THREADS / INPUTS; // vectors from time to time, or an input
    int v = by_vector ? (int)threadIdx.x : (int)threadIdx.x / INPUTS;
    int k = by_vector ? 0 : (int)threadIdx.x % INPUTS;
    const float *from = x + (4 * (int64_t)row + v) * p.x_q + (k0 + k) * p.x_input;
#pragma unroll 1
    for (int i = 0; i < TIMES; i++) {
        const bool in = 4 * row + v < p.n && k0 + k < p.c;
        copy4_async(to + piece_at(v / 4, k) + v % 4 * 4, in ? from : x, in ? 4 : 0);
        v += more;
        k += by_vector;
        from += by_vector ? p.x_input : THREADS / INPUTS * p.x_q;
    }
}

// Weights of 64 outputs: [block][outputs / 8] of tiles.
template <int BLOCKS, int THREADS, int UNROLL>
static __device__ __forceinline__ void bring_weights(const wn__gpu_kron_f32 &p, uint32_t to,
                                                     const float *tiles, int left, int kt) {
    enum { PIECES = BLOCKS * 8 * 32 };
#pragma unroll UNROLL
    for (int e = 0; e < (PIECES + THREADS - 1) / THREADS; e++) {
        const int at = (int)threadIdx.x + e * THREADS, j = at / 32 % 8;
        if (PIECES < THREADS && at >= PIECES) return;
        const bool in = j < left;
        const float *from =
            tiles + (((int64_t)(at / 256) * p.down + j) * p.across + kt) * WN_KRON_F32_TILE;
        copy_async(to + at * 16, in ? from + at % 32 * 4 : tiles, in ? 16 : 0);
    }
}

// ---- products: a warp's 16 rows of four numbers, 32 outputs

typedef float sums[4][4][4]; // [q][8 outputs], as the instruction has them

template <int PARTS> struct parts_of;
template <> struct parts_of<2> {
    static __device__ __forceinline__ void take(uint32_t (&to)[2], float x) {
        tf32_parts(x, to[0], to[1]);
    }
};
template <> struct parts_of<3> {
    static __device__ __forceinline__ void take(uint32_t (&to)[3], float x) {
        tf32_parts(x, to[0], to[1], to[2]);
    }
};

// The parts of N numbers, [part][number].
template <int PARTS, int N>
static __device__ __forceinline__ void take_apart(uint32_t (&to)[PARTS][N], const float (&x)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) {
        uint32_t part[PARTS];
        parts_of<PARTS>::take(part, x[i]);
#pragma unroll
        for (int e = 0; e < PARTS; e++)
            to[e][i] = part[e];
    }
}

// Eight inputs of 16 rows by 8 outputs.
template <int PARTS>
static __device__ __forceinline__ void multiply8(float (&sum)[4], const uint32_t (&a)[PARTS][4],
                                                 const uint32_t (&b)[PARTS][2]) {
    float d[4] = {};
#pragma unroll
    for (int both = PARTS - 1; both >= 0; both--)
#pragma unroll
        for (int of_a = both; of_a >= 0; of_a--)
            mma_tf32(d, a[of_a], b[both - of_a]);
#pragma unroll
    for (int e = 0; e < 4; e++)
        sum[e] += d[e];
}

// Two rows and two inputs of four numbers as the instruction has them; where registers are few, of
// one number at a time.
static __device__ __forceinline__ const uint8_t *input_at(const uint8_t *x, int e) {
    const int odd = (int)threadIdx.x & 4; // rows
    return x + 8 * (e & 1) * ROW_BYTES + ((e >> 1) * 64 ^ odd * 16);
}
static __device__ __forceinline__ void load_all(float (&a)[4][4], const uint8_t *x) {
#pragma unroll
    for (int e = 0; e < 4; e++) {
        const float4 v = *(const float4 *)input_at(x, e);
        a[0][e] = v.x, a[1][e] = v.y, a[2][e] = v.z, a[3][e] = v.w;
    }
}
static __device__ __forceinline__ void load_one(float (&a)[4], const uint8_t *x, int q) {
#pragma unroll
    for (int e = 0; e < 4; e++)
        a[e] = *(const float *)(input_at(x, e) + 4 * q);
}

// x: the warp's first row; w: its first tile, of block 0. active: tiles that there are.
template <int BLOCKS>
static __device__ __forceinline__ void multiply_exact(sums &sum, const uint8_t *x, const float2 *w,
                                                      int active) {
#pragma unroll 1
    for (int half = 0; half < 2; half++) {
#pragma unroll
        for (int q = 0; q < 4; q++) {
            float a[4];
            uint32_t parts[3][4];
            load_one(a, x, q);
            take_apart<3, 4>(parts, a);
#pragma unroll
            for (int n = 0; n < 4; n++) {
                if (n >= active) break;
                const float2 v = w[((BLOCKS > 1 ? q * 8 : 0) + n) * 64];
                const float two[2] = {v.x, v.y};
                uint32_t b[3][2];
                take_apart<3, 2>(b, two);
                multiply8<3>(sum[q][n], parts, b);
                asm volatile("" ::: "memory"); // nothing early: registers are few
            }
        }
        x += 128;
        w += 32;
    }
}

// In two parts, x rounded, weights cut: SIDE tiles of outputs by TALL of rows side by side, so that
// products seldom wait for those before.
template <int BLOCKS, int TALL, int SIDE>
static __device__ __forceinline__ void multiply(sums (&sum)[TALL], const uint8_t *x,
                                                const float2 *w, int active) {
#pragma unroll 1
    for (int half = 0; half < 2; half++) {
        float a[TALL][4][4]; // [q]
#pragma unroll
        for (int t = 0; t < TALL; t++)
            load_all(a[t], x + t * 16 * ROW_BYTES);
#pragma unroll
        for (int q = 0; q < 4; q++) {
            uint32_t parts[TALL][2][4];
#pragma unroll
            for (int t = 0; t < TALL; t++)
                take_apart<2, 4>(parts[t], a[t][q]);
#pragma unroll
            for (int n = 0; n < 4; n += SIDE) {
                asm volatile("" ::: "memory"); // nothing early: registers are few
                if (n >= active) break;
                float d[TALL][SIDE][4] = {};
                uint32_t b[SIDE][2][2];
#pragma unroll
                for (int s = 0; s < SIDE; s++) {
                    const float2 v = w[((BLOCKS > 1 ? q * 8 : 0) + n + s) * 64];
                    tf32_cut(v.x, b[s][0][0], b[s][1][0]);
                    tf32_cut(v.y, b[s][0][1], b[s][1][1]);
                }
#pragma unroll
                for (int pass = 0; pass < 3; pass++)
#pragma unroll
                    for (int s = 0; s < SIDE; s++)
#pragma unroll
                        for (int t = 0; t < TALL; t++)
                            mma_tf32(d[t][s], parts[t][pass == 0], b[s][pass == 1]);
#pragma unroll
                for (int s = 0; s < SIDE; s++)
#pragma unroll
                    for (int t = 0; t < TALL; t++)
#pragma unroll
                        for (int e = 0; e < 4; e++)
                            sum[t][q][n + s][e] += d[t][s][e];
            }
        }
        x += 128;
        w += 32;
    }
}

// ---- results

static __device__ __forceinline__ void put(const wn__gpu_kron_f32 &p, float *y, const float (&v)[4],
                                           int count) {
    if (p.wide_out != 0 && count == 4) {
        float4 old = make_float4(0, 0, 0, 0);
        if (p.accumulate != 0) old = *(const float4 *)y;
        *(float4 *)y = make_float4(v[0] + old.x, v[1] + old.y, v[2] + old.z, v[3] + old.w);
        return;
    }
#pragma unroll
    for (int q = 0; q < 4; q++)
        if (q < count) y[q * p.y_q] = v[q] + (p.accumulate != 0 ? y[q * p.y_q] : 0);
}

static __device__ __forceinline__ float weight(const wn__gpu_kron_f32 &p, const float *tiles,
                                               int block, int j, int k) {
    const int lane = 4 * (2 * (j % 4) + j % 8 / 4) + k % 4;
    return tiles[(((int64_t)block * p.down + j / 8) * p.across + k / 16) * WN_KRON_F32_TILE +
                 k % 16 / 8 * 64 + 2 * lane + k / 4 % 2];
}

// Of a warp: x, y and tiles are those of its first block, rows from `row` on, outputs of `first`.
// Lane 4 g + t has rows g, g + 8 and outputs t, t + 4, t + 8, ...
template <int BLOCKS>
static __device__ __forceinline__ void store(const wn__gpu_kron_f32 &p, const sums &sum,
                                             const float *x, float *y, const float *tiles, int row,
                                             int first) {
    row += (int)threadIdx.x >> 2 & 7;
    first += (int)threadIdx.x & 3;
    float *to = y + row * p.y_row + first * p.y_output;
    uint32_t again = 0;
#pragma unroll
    for (int at = 0; at < 16; at++) {
        const int n = at >> 2, e = (at >> 1 & 1) + 2 * (at & 1), r = row + 8 * (at & 1);
        if (r < p.rows && first + 4 * (at >> 1) < p.b) {
            const float v[4] = {sum[0][n][e], sum[1][n][e], sum[2][n][e], sum[3][n][e]};
            if (0 * v[0] + 0 * v[1] + 0 * v[2] + 0 * v[3] == 0)
                put(p, to + (at & 1) * 8 * p.y_row, v, BLOCKS == 1 ? min(4, p.n - 4 * r) : 4);
            else
                again |= 1u << at;
        }
        if (at & 1) to += 4 * p.y_output;
    }
    // not finite: as the numbers whole make them
#pragma unroll 1
    while (again != 0) {
        const int at = __ffs((int)again) - 1;
        const int r = row + 8 * (at & 1), j = first + 4 * (at >> 1);
        const int count = BLOCKS == 1 ? min(4, p.n - 4 * r) : 4;
        float v[4] = {};
#pragma unroll 1
        for (int k = 0; k < p.c; k++)
#pragma unroll
            for (int q = 0; q < 4; q++)
                if (q < count)
                    v[q] = fmaf(x[r * p.x_row + k * p.x_input + q * p.x_q],
                                weight(p, tiles, BLOCKS == 1 ? 0 : q, j, k), v[q]);
        put(p, y + r * p.y_row + j * p.y_output, v, count);
        again &= again - 1;
    }
}

// Where a block of threads is: its first block of the factor, which 64 outputs, its first feature
// of x and of y.
struct place {
    int block, part, inputs, outputs;
};
template <int BLOCKS> static __device__ __forceinline__ place place_of(const wn__gpu_kron_f32 &p) {
    const int parts = (p.b + WN_KRON_F32_OUTPUTS - 1) / WN_KRON_F32_OUTPUTS;
    const int block = (int)blockIdx.x / parts * BLOCKS, i = block / p.d, l = block % p.d;
    return {block, (int)blockIdx.x % parts, i * p.c * p.d + l, i * p.b * p.d + l};
}
static __device__ __forceinline__ const float *tiles_of(const wn__gpu_kron_f32 &p, int block,
                                                        int row) {
    return p.tiles + ((int64_t)block * p.down + row) * p.across * WN_KRON_F32_TILE;
}

// Of eight blocks every set of warps has four; else every set has rows of its own.
template <int BLOCKS, int TALL> struct share {
    int row, tile, block;
    __device__ __forceinline__ share() {
        const int warp = (int)threadIdx.x / 32, set = warp / (8 / TALL);
        row = 16 * TALL * (warp & (4 / TALL - 1)) + (BLOCKS == 8 ? 0 : SET_ROWS * set);
        tile = 4 * (warp / (4 / TALL) & 1);
        block = BLOCKS == 8 ? 4 * set : 0;
    }
    // The lane's first number of x and of weights, in bytes.
    __device__ __forceinline__ int in_x() const {
        const int lane = (int)threadIdx.x & 31;
        return (row + (lane >> 2)) * ROW_BYTES + (lane & 3) * 16 + block * (SET_BYTES / 4);
    }
    __device__ __forceinline__ int in_w() const {
        return (block * 8 + tile) * 4 * WN_KRON_F32_TILE + ((int)threadIdx.x & 31) * 8;
    }
};

template <int BLOCKS, int TALL>
static __device__ __forceinline__ void
store_share(const wn__gpu_kron_f32 &p, const sums (&sum)[TALL], const place &at, int row) {
    const share<BLOCKS, TALL> mine;
#pragma unroll
    for (int t = 0; t < TALL; t++)
        store<BLOCKS>(p, sum[t], p.x + at.inputs * p.x_feature + mine.block,
                      p.y + at.outputs * p.y_feature + mine.block * p.y_q,
                      tiles_of(p, at.block + mine.block, 0), row + mine.row + 16 * t,
                      WN_KRON_F32_OUTPUTS * at.part + 8 * mine.tile);
}

// A block of threads: 64 outputs of BLOCKS blocks, and rows.
template <int BLOCKS, int PARTS, int TALL>
static __device__ __forceinline__ void factor(const wn__gpu_kron_f32 &p) {
    enum { STAGES = shape<BLOCKS>::STAGES, STAGE = shape<BLOCKS>::STAGE };
    enum { THREADS = WN_KRON_F32_THREADS / TALL, SIDE = BLOCKS == 1 ? 1 : 4 };
    enum { UNROLL = BLOCKS == 1 || PARTS > 2 || STAGES == 2 ? 1 : 2 }; // as registers allow
    extern __shared__ __align__(128) uint8_t memory[];
    __shared__ place home; // registers are few
    if (threadIdx.x == 0) home = place_of<BLOCKS>(p);
    __syncthreads();
    int next = (int)blockIdx.y * shape<BLOCKS>::ROWS, next_kt = 0, stage = 0;
    const auto copy = [&] {
        if (next < p.rows) {
            const uint32_t to = shared_address(memory) + stage;
            const float *x = p.x + home.inputs * p.x_feature;
            if (BLOCKS > 1 || p.wide_in != 0)
                bring_pieces<BLOCKS, THREADS, UNROLL>(p, to, x, next, next_kt * INPUTS);
            else
                bring_numbers(p, to, x, next, next_kt * INPUTS);
            bring_weights<BLOCKS, THREADS, UNROLL>(p, to + 2 * SET_BYTES,
                                                   tiles_of(p, home.block, 8 * home.part),
                                                   p.down - 8 * home.part, next_kt);
        }
        copies_commit();
        if (++next_kt == p.across) next_kt = 0, next += (int)gridDim.y * shape<BLOCKS>::ROWS;
        stage = stage == (STAGES - 1) * STAGE ? 0 : stage + STAGE;
    };
#pragma unroll 1
    for (int s = 0; s + 1 < STAGES; s++)
        copy();
#pragma unroll 1
    for (int row = (int)blockIdx.y * shape<BLOCKS>::ROWS; row < p.rows;
         row += (int)gridDim.y * shape<BLOCKS>::ROWS) {
        const share<BLOCKS, TALL> mine;
        const int active = row + mine.row < p.rows ? p.down - 8 * home.part - mine.tile : 0;
        sums sum[TALL] = {};
#pragma unroll 1
        for (int kt = 0; kt < p.across; kt++) {
            copies_wait<STAGES - 2>();
            __syncthreads();
            copy(); // to where the step before was; behind it lies this step's stage
            const uint8_t *x = memory + stage + mine.in_x();
            const float2 *w = (const float2 *)(memory + stage + 2 * SET_BYTES + mine.in_w());
            if (PARTS > 2 && active > 0)
                multiply_exact<BLOCKS>(sum[0], x, w, active);
            else if (PARTS == 2 && active > (SIDE > 1 ? SIDE - 2 : 0))
                multiply<BLOCKS, TALL, SIDE>(sum, x, w, active);
            else if (PARTS == 2 && active > 0)
                multiply<BLOCKS, TALL, (SIDE > 2 ? 2 : 1)>(sum, x, w, active);
        }
        store_share<BLOCKS, TALL>(p, sum, home, row);
    }
}

#define KERNELS(name, blocks, tall)                                                                \
    extern "C" __global__ void __launch_bounds__(WN_KRON_F32_THREADS / (tall), 1)                  \
        wn_kron_f32_##name(const __grid_constant__ wn__gpu_kron_f32 p) {                           \
        factor<blocks, 2, tall>(p);                                                                \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(WN_KRON_F32_THREADS, 1)                           \
        wn_kron_f32_##name##_exact(const __grid_constant__ wn__gpu_kron_f32 p) {                   \
        factor<blocks, 3, 1>(p);                                                                   \
    }
KERNELS(rows, 1, 1)
KERNELS(lanes4, 4, WN_KRON_F32_TALL(4))
KERNELS(lanes8, 8, WN_KRON_F32_TALL(8))
