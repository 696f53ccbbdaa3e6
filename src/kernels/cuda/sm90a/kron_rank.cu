// SPDX-License-Identifier: MIT
// y = x (K_1 K_0)^T of block low rank R: y's block t is the sum over s of K_1[t,s] K_0[s,t] x_s,
// 64 x R times R x 64. What bounds it is not arithmetic but the bytes that come into a
// multiprocessor, so that a block of threads takes as many sums as its registers hold: 96 vectors,
// eight t, 64 outputs.
//
// In steps of 16 columns of K_1 (two s where R is 8; else 16 of the R of one s). The first
// warpgroup brings what a step needs, multiplies 128 rows of K_0 (eight t) by x, rounds the
// products and writes them where the other two warpgroups read them as their second operand:
// [96 vectors][16] of each t. Each of those has all vectors and four t. While they store results,
// the first warpgroup is ahead in the next tile.
#include "kernels/cuda/args_kron.h"
#include "kernels/cuda/common/hopper.cuh"
#include "kernels/cuda/common/number16.cuh"
#include "kernels/cuda/common/turn8.cuh"

enum {
    WARPGROUP = 128,
    THREADS = WN_KRON_RANK_THREADS,
    VECTORS = WN_KRON_RANK_VECTORS,
    OUTPUT_BLOCKS = WN_KRON_RANK_BLOCKS, // t of a tile
    X_BYTES = VECTORS * 128,             // 64 inputs
    FIRST_BYTES = WN_KRON_RANK_BYTES / 2,
    SECOND_BYTES = WN_KRON_RANK_BYTES / 2,
    SECOND_STAGES = 3,
    BETWEEN_BYTES = VECTORS * 32, // of one t
    BETWEEN_STAGES = 2
};
static_assert(FIRST_BYTES == 128 * 128 && SECOND_BYTES == OUTPUT_BLOCKS * 64 * 32, "factors");
static_assert(THREADS == 3 * WARPGROUP, "threads");

// What depends on whether a step has two s or one.
template <int SIDES> struct form {
    enum {
        STAGES = SIDES == 2 ? 3 : 4,
        STAGE_BYTES = SIDES * X_BYTES + FIRST_BYTES,
        SECOND_AT = STAGES * STAGE_BYTES,
        BETWEEN_AT = SECOND_AT + SECOND_STAGES * SECOND_BYTES,
        FULL_AT = BETWEEN_AT + BETWEEN_STAGES * OUTPUT_BLOCKS * BETWEEN_BYTES,
        SECOND_FULL_AT = FULL_AT + 8 * STAGES,
        BETWEEN_FULL_AT = SECOND_FULL_AT + 8 * SECOND_STAGES,
        BETWEEN_EMPTY_AT = BETWEEN_FULL_AT + 8 * BETWEEN_STAGES,
        END = BETWEEN_EMPTY_AT + 8 * BETWEEN_STAGES
    };
    static_assert(END + 1024 <= WN_KRON_RANK_SHARED, "shared memory");
};

// ---- packing: 16 bytes a thread. Of every eight t and every step: two matrices [64][64] of K_0,
// rows of 128 bytes whose chunk c is at c ^ (row mod 8): with two s, that of each, row 8 t + r;
// else four t each, row 16 t + r. Then eight matrices [64][16] of K_1, rows of 32 bytes whose
// chunk c is at c ^ (row / 4 mod 2).

static __device__ __forceinline__ void pack16(const wn__gpu_kron_rank_pack &p, int64_t to,
                                              const uint16_t *from, int64_t step, bool in) {
    uint32_t word[4] = {};
    if (in)
#pragma unroll
        for (int i = 0; i < 4; i++)
            word[i] = __ldg(from + 2 * i * step) | (uint32_t)__ldg(from + (2 * i + 1) * step) << 16;
    *(uint4 *)(p.to + to) = make_uint4(word[0], word[1], word[2], word[3]);
}

// Which of `count` numbers `at` counts by first, and the rest.
static __device__ __forceinline__ int take(int &at, int count) {
    const int r = at % count;
    at /= count;
    return r;
}

static __device__ __forceinline__ void pack_first(const wn__gpu_kron_rank_pack &p, int at,
                                                  int sides, int blocks) {
    int s = 0, t = 0, chunk = 0;
    if (p.fast_first == WN_KRON_FAST_S) s = take(at, sides);
    if (p.fast_first == WN_KRON_FAST_T) t = take(at, blocks);
    chunk = take(at, 8);
    const int r = take(at, p.rank);
    if (p.fast_first != WN_KRON_FAST_T) t = take(at, blocks);
    if (p.fast_first != WN_KRON_FAST_S) s = at;
    const int two = p.rank == 8;
    const int step = two ? s / 2 : s * (p.rank / 16) + r / 16;
    const int half = two ? s % 2 : t / 4 % 2, row = two ? t % 8 * 8 + r : t % 4 * 16 + r % 16;
    pack16(p,
           ((int64_t)(t / 8) * p.steps + step) * WN_KRON_RANK_BYTES + half * 8192 + row * 128 +
               ((chunk ^ (row & 7)) << 4),
           p.first + s * p.first_s + t * p.first_t + r * p.first_r + 8 * chunk * p.first_k,
           p.first_k, s < p.s && t < p.t);
}

static __device__ __forceinline__ void pack_second(const wn__gpu_kron_rank_pack &p, int at,
                                                   int blocks) {
    int t = 0, row = 0;
    if (p.fast_second == WN_KRON_FAST_T) t = take(at, blocks);
    if (p.fast_second == WN_KRON_FAST_J) row = take(at, 64);
    const int chunk = take(at, 2 * p.steps);
    if (p.fast_second != WN_KRON_FAST_J) row = take(at, 64);
    if (p.fast_second != WN_KRON_FAST_T) t = at;
    const int s = 8 * chunk / p.rank, r = 8 * chunk % p.rank;
    // outputs that lie side by side are sorted for the thread that gets them
    const int i = row & 7, j = (row & 48) + i / 2 * 4 + (row >> 3 & 1) * 2 + (i & 1);
    pack16(p,
           ((int64_t)(t / 8) * p.steps + chunk / 2) * WN_KRON_RANK_BYTES + FIRST_BYTES +
               t % 8 * 2048 + row * 32 + (((chunk ^ (row >> 2)) & 1) << 4),
           p.second + s * p.second_s + t * p.second_t + r * p.second_r + j * p.second_j, p.second_r,
           s < p.s && t < p.t);
}

extern "C" __global__ void __launch_bounds__(256)
    wn_kron_rank_pack(const __grid_constant__ wn__gpu_kron_rank_pack p) {
    const int sides = p.rank == 8 ? 2 * p.steps : p.s, blocks = (p.t + 7) / 8 * 8;
    const int first = sides * blocks * p.rank * 8, second = blocks * 64 * 2 * p.steps;
    for (int at = (int)(blockIdx.x * 256 + threadIdx.x); at < first + second;
         at += (int)gridDim.x * 256) {
        if (at < first)
            pack_first(p, at, sides, blocks);
        else
            pack_second(p, at - first, blocks);
    }
}

// ---- a matrix [rows][columns] of every vector turned round, where blocks of 64 numbers lie
// interleaved and are wanted one behind the other, or the other way. 64 threads take a piece of
// 64 x 64, each 8 x 8 of it; through shared memory, so that 128 bytes are stored at once.
extern "C" __global__ void __launch_bounds__(256)
    wn_kron_rank_turn(const __grid_constant__ wn__gpu_kron_turn p) {
    __shared__ uint4 piece[4][64][8];
    const int thread = (int)threadIdx.x % 64, which = (int)threadIdx.x / 64;
    const int high = thread / 8, low = thread % 8;
    const int wide = (p.columns + 63) / 64, high_pieces = (p.rows + 63) / 64;
    const int pieces = wide * high_pieces * p.blocks;
    const int64_t at = (int64_t)blockIdx.x * 4 + which, v = at / pieces;
    const int piece_at = (int)(at % pieces), column = piece_at % wide * 64;
    const int down = piece_at / wide % high_pieces * 64;
    const int64_t block = (int64_t)(piece_at / wide / high_pieces) * p.rows * p.columns;
    const bool in = v < p.n;
    uint4 row[8];
    if (in && column + 8 * low < p.columns && down + 8 * high < p.rows) {
        const uint16_t *from = p.x + v * p.x_vector + block +
                               (int64_t)(down + 8 * high) * p.columns + column + 8 * low;
#pragma unroll
        for (int i = 0; i < 8; i++)
            row[i] = __ldcs((const uint4 *)(from + (int64_t)i * p.columns));
#pragma unroll
        for (int i = 0; i < 8; i++) {
            piece[which][8 * low + i][high ^ low] = column_of_8(row, i);
        }
    }
    __syncthreads();
    if (in && down + 8 * low < p.rows)
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (column + 8 * i + high < p.columns)
                *(uint4 *)(p.y + v * p.y_vector + block +
                           (int64_t)(column + 8 * i + high) * p.rows + down + 8 * low) =
                    piece[which][8 * i + high][low ^ i];
}

// ---- products

#define D4(d, i)  "+f"((d)[i]), "+f"((d)[(i) + 1]), "+f"((d)[(i) + 2]), "+f"((d)[(i) + 3])
#define D8(d, i)  D4(d, i), D4(d, (i) + 4)
#define D24(d, i) D8(d, i), D8(d, (i) + 8), D8(d, (i) + 16)
#define R24                                                                                        \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, "   \
    "%20, %21, %22, %23"

// d[64,48] and d[64,96] = (add ? d : 0) + A B^T, 16 columns each, both in shared memory.
template <class T> struct product;
#define PRODUCT(T, TEXT)                                                                           \
    template <> struct product<T> {                                                                \
        static __device__ __forceinline__ void add(float (&d)[24], uint64_t a, uint64_t b,         \
                                                   int add) {                                      \
            asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %26, 0;\n\t"                        \
                         "wgmma.mma_async.sync.aligned.m64n48k16.f32." TEXT "." TEXT " {" R24      \
                         "}, %24, %25, p, 1, 1, 0, 0;\n\t}"                                        \
                         : D24(d, 0)                                                               \
                         : "l"(a), "l"(b), "r"(add));                                              \
        }                                                                                          \
        static __device__ __forceinline__ void add(float (&d)[48], uint64_t a, uint64_t b,         \
                                                   int add) {                                      \
            asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %50, 0;\n\t"                        \
                         "wgmma.mma_async.sync.aligned.m64n96k16.f32." TEXT "." TEXT " {" R24      \
                         ", %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, "     \
                         "%37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47}, %48, %49, p, "   \
                         "1, 1, 0, 0;\n\t}"                                                        \
                         : D24(d, 0), D24(d, 24)                                                   \
                         : "l"(a), "l"(b), "r"(add));                                              \
        }                                                                                          \
    };
PRODUCT(type_bf16, "bf16")
PRODUCT(type_f16, "f16")

// Steps of this block's tiles, one after the other, of which each knows where its bytes are.
struct place {
    int tile, step, column, part;
    const uint8_t *factors;
    __device__ __forceinline__ place(const wn__gpu_kron_rank &p, int at) { begin(p, at); }
    __device__ __forceinline__ void begin(const wn__gpu_kron_rank &p, int at) {
        tile = at;
        step = column = part = 0;
        factors = p.factors + (int64_t)(at % p.across) * p.steps * WN_KRON_RANK_BYTES;
    }
    template <int SIDES> __device__ __forceinline__ void next(const wn__gpu_kron_rank &p) {
        factors += WN_KRON_RANK_BYTES;
        if (++part == p.share) {
            part = 0;
            column += 64 * SIDES;
        }
        if (++step == p.steps) begin(p, tile + (int)gridDim.x);
    }
};

template <int SIDES>
static __device__ __forceinline__ void bring_first(const wn__gpu_kron_rank &p, uint32_t base,
                                                   uint32_t stage, place &at, uint64_t keep) {
    typedef form<SIDES> F;
    const uint32_t to = base + stage * F::STAGE_BYTES, full = base + F::FULL_AT + 8 * stage;
    if (at.tile >= p.tiles) return;
    const int vector = at.tile / p.across * VECTORS;
    barrier_expect(full, F::STAGE_BYTES);
#pragma unroll
    for (int s = 0; s < SIDES; s++)
        copy_box(to + s * X_BYTES, &p.x, full, at.column + 64 * s, vector);
    copy_bytes(to + SIDES * X_BYTES, at.factors, FIRST_BYTES, full, keep);
    at.next<SIDES>(p);
}
template <int SIDES>
static __device__ __forceinline__ void bring_second(const wn__gpu_kron_rank &p, uint32_t base,
                                                    uint32_t stage, place &at, uint64_t keep) {
    typedef form<SIDES> F;
    const uint32_t full = base + F::SECOND_FULL_AT + 8 * stage;
    if (at.tile >= p.tiles) return;
    barrier_expect(full, SECOND_BYTES);
    copy_bytes(base + F::SECOND_AT + stage * SECOND_BYTES, at.factors + FIRST_BYTES, SECOND_BYTES,
               full, keep);
    at.next<SIDES>(p);
}

// Products of 64 rows of K_0, rounded, to where they are an operand: vectors of 16 numbers.
template <class T, int SIDES>
static __device__ __forceinline__ void put_between(const float (&d)[24], uint32_t to, int half) {
    const int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x / 32;
    const int high = lane >> 3 & 1, t = SIDES == 2 ? 2 * warp + high : 4 * half + warp;
    const int chunk = (SIDES == 2 ? half : high) ^ (lane >> 2 & 1);
    const uint32_t row =
        to + t * BETWEEN_BYTES + ((lane >> 4) * 8 + (lane & 7)) * 32 + (chunk << 4);
#pragma unroll
    for (int i = 0; i < 24; i += 8)
        asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(
                         row + i * 64),
                     "r"(T::pair(d[i], d[i + 1])), "r"(T::pair(d[i + 2], d[i + 3])),
                     "r"(T::pair(d[i + 4], d[i + 5])), "r"(T::pair(d[i + 6], d[i + 7]))
                     : "memory");
}

// Thread 0 brings x and K_0, thread 64, of another warp, K_1.
template <class T, int SIDES>
static __device__ __forceinline__ void multiply_first(const wn__gpu_kron_rank &p, uint32_t base,
                                                      int all) {
    typedef form<SIDES> F;
    const uint64_t keep = keep_in_l2();
    place next(p, (int)blockIdx.x);
    ring r = {0, 0};
    float d[24];
    if (threadIdx.x == 0)
        for (int i = 0; i < F::STAGES; i++)
            bring_first<SIDES>(p, base, i, next, keep);
    if (threadIdx.x == 64)
        for (int i = 0; i < SECOND_STAGES; i++)
            bring_second<SIDES>(p, base, i, next, keep);
    __syncwarp();
    uint32_t free = 0; // the stage of K_1 of two steps ago
#pragma unroll 1
    for (int j = 0; j < all; j++, r.template next<F::STAGES>()) {
        const uint32_t slot = j & 1, stage = base + r.stage * F::STAGE_BYTES;
        const uint32_t to = base + F::BETWEEN_AT + slot * OUTPUT_BLOCKS * BETWEEN_BYTES;
        barrier_wait(base + F::FULL_AT + 8 * r.stage, r.phase);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int half = i / 2;
            const uint32_t x = stage + (SIDES == 2 ? half * X_BYTES : 0) + i % 2 * (X_BYTES / 2);
            const uint32_t rows = stage + SIDES * X_BYTES + half * (FIRST_BYTES / 2);
            products_begin();
#pragma unroll
            for (int k = 0; k < 4; k++)
                product<T>::add(d, matrix_of(rows + 32 * k, 1024, 1),
                                matrix_of(x + 32 * k, 1024, 1), k);
            products_commit();
            if (i == 0) { // the other warpgroups have used what was there two steps ago
                barrier_wait(base + F::BETWEEN_EMPTY_AT + 8 * slot, (j >> 1 & 1) ^ 1);
                if (j >= 2) {
                    if (threadIdx.x == 64) bring_second<SIDES>(p, base, free, next, keep);
                    free = free + 1 == SECOND_STAGES ? 0 : free + 1;
                }
                __syncwarp();
            }
            products_wait<0>();
            put_between<T, SIDES>(d, to + i % 2 * (BETWEEN_BYTES / 2), half);
        }
        writes_to_copies();
        __syncwarp();
        if ((threadIdx.x & 31) == 0) barrier_arrive(base + F::BETWEEN_FULL_AT + 8 * slot);
        warpgroup_sync(0); // all have read the stage
        if (threadIdx.x == 0) bring_first<SIDES>(p, base, r.stage, next, keep);
        __syncwarp();
    }
}

static __device__ __forceinline__ uint32_t transposed(uint32_t v) {
    uint32_t r;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(r) : "r"(v));
    return r;
}
// Sums to blocks of 64, one behind the other.
template <class T>
static __device__ __forceinline__ void store(const wn__gpu_kron_rank &p, const float (&sum)[4][48],
                                             int vector, int t) {
    const int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x / 32 & 3;
    const int v = vector + (lane >> 2);
    uint16_t *y = p.y + v * p.y_vector + 64 * (int64_t)t + 16 * warp + 4 * (lane & 3);
#pragma unroll
    for (int i = 0; i < 48; i += 4)
#pragma unroll
        for (int b = 0; b < 4; b++) {
            const uint32_t low = transposed(T::pair(sum[b][i], sum[b][i + 1]));
            const uint32_t high = transposed(T::pair(sum[b][i + 2], sum[b][i + 3]));
            if (v + 2 * i < p.n && t + b < p.t)
                *(uint2 *)(y + 2 * i * p.y_vector + 64 * b) = make_uint2(low, high);
        }
}

template <class T, int SIDES>
static __device__ __forceinline__ void multiply_second(const wn__gpu_kron_rank &p, uint32_t base,
                                                       int which) {
    typedef form<SIDES> F;
    const bool lead = (threadIdx.x & 31) == 0;
    float sum[4][48];
    ring r = {0, 0}, u = {0, 0};
#pragma unroll 1
    for (int tile = (int)blockIdx.x; tile < p.tiles; tile += (int)gridDim.x) {
#pragma unroll 1
        for (int step = 0; step < p.steps;
             step++, r.next<SECOND_STAGES>(), u.next<BETWEEN_STAGES>()) {
            const uint32_t rows = base + F::SECOND_AT + r.stage * SECOND_BYTES + which * 4 * 2048;
            const uint32_t x =
                base + F::BETWEEN_AT + (u.stage * OUTPUT_BLOCKS + which * 4) * BETWEEN_BYTES;
            barrier_wait(base + F::SECOND_FULL_AT + 8 * r.stage, r.phase);
            barrier_wait(base + F::BETWEEN_FULL_AT + 8 * u.stage, u.phase);
            products_begin();
#pragma unroll
            for (int t = 0; t < 4; t++)
                product<T>::add(sum[t], matrix_of(rows + t * 2048, 256, 3),
                                matrix_of(x + t * BETWEEN_BYTES, 256, 3), step);
            products_commit();
            products_wait<0>();
            if (lead) barrier_arrive(base + F::BETWEEN_EMPTY_AT + 8 * u.stage);
        }
        store<T>(p, sum, tile / p.across * VECTORS, tile % p.across * OUTPUT_BLOCKS + which * 4);
    }
}

template <class T, int SIDES>
static __device__ __forceinline__ void rank(const wn__gpu_kron_rank &p) {
    typedef form<SIDES> F;
    extern __shared__ __align__(1024) uint8_t memory[];
    const uint32_t base = (shared_address(memory) + 1023) & ~1023u;
    const int group = __shfl_sync(0xFFFFFFFFu, (int)threadIdx.x / WARPGROUP, 0);
    if (threadIdx.x == 0) {
        for (int i = 0; i < F::STAGES; i++)
            barrier_init(base + F::FULL_AT + 8 * i, 1);
        for (int i = 0; i < SECOND_STAGES; i++)
            barrier_init(base + F::SECOND_FULL_AT + 8 * i, 1);
        for (int i = 0; i < BETWEEN_STAGES; i++) {
            barrier_init(base + F::BETWEEN_FULL_AT + 8 * i, 4);
            barrier_init(base + F::BETWEEN_EMPTY_AT + 8 * i, 8);
        }
        barrier_init_done();
    }
    __syncthreads();
    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 56;");
        const int tiles = (p.tiles - (int)blockIdx.x + (int)gridDim.x - 1) / (int)gridDim.x;
        multiply_first<T, SIDES>(p, base, tiles * p.steps);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 224;");
        multiply_second<T, SIDES>(p, base, group - 1);
    }
}

#define KERNELS(name, sides, type)                                                                 \
    extern "C" __global__ void __launch_bounds__(THREADS, 1)                                       \
        wn_kron_##name##_##type(const __grid_constant__ wn__gpu_kron_rank p) {                     \
        rank<type_##type, sides>(p);                                                               \
    }
KERNELS(rank8, 2, bf16)
KERNELS(rank8, 2, f16)
KERNELS(rank16, 1, bf16)
KERNELS(rank16, 1, f16)
