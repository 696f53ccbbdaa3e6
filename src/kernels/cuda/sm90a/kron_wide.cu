// SPDX-License-Identifier: MIT
// Factors of wide blocks: a product of dense matrices for every block. Vectors lie with the numbers
// of a block side by side, and so do weights, [block][b][c]; a map of either brings boxes of 64 of
// k. What is given can be put elsewhere in runs of eight numbers and more, so that the next factor
// finds its blocks side by side too.
//
// One warp copies, two warpgroups multiply, each PANELS panels of 64 rows by COLUMNS columns.
// STAGES steps of 64 of k are in flight. Blocks of threads stay and walk through tiles: all tiles
// of the same vectors before the next, so that x is read from memory once.
#include "kernels/cuda/args_kron.h"
#include "kernels/cuda/common/hopper.cuh"
#include "kernels/cuda/common/turn8.cuh"
#include "kernels/cuda/common/wgmma16.cuh"
#include "kernels/cuda/common/wgmma_sp_rows.cuh"

enum {
    WARPGROUP = 128,
    CONSUMERS = 2,
    THREADS = WN_KRON_WIDE_THREADS,
    CHUNK_BYTES = 16 * 128 // of a warp, for what leaves: 16 rows by 64 columns of 16 bits
};
static_assert(THREADS == (CONSUMERS + 1) * WARPGROUP, "threads");

// Shared memory, in bytes from its first: rows and columns of all stages, a chunk a warp, barriers
// (full and empty ones).
template <int PANELS, int COLUMNS, int STAGES> struct layout {
    enum {
        ROWS = CONSUMERS * PANELS * 64,
        ROW_BYTES = ROWS * 128,
        COLUMN_BYTES = COLUMNS * 128,
        STAGE_BYTES = ROW_BYTES + COLUMN_BYTES,
        CHUNK_AT = STAGES * STAGE_BYTES,
        BARRIER_AT = CHUNK_AT + 4 * CONSUMERS * CHUNK_BYTES,
        END = BARRIER_AT + 16 * STAGES
    };
    static_assert(END == WN_KRON_WIDE_SHARED(ROWS, COLUMNS, STAGES),
                  "the host asks for other bytes");
};

// Which rows and columns of which block; of gradients which part of the vectors.
struct work {
    int row, column, group, part;
};
template <bool GRADIENT, int ROWS, int COLUMNS>
static __device__ __forceinline__ work work_of(const wn__gpu_kron_product &p, int index) {
    work w;
    int rest = index;
    const int across = (GRADIENT ? p.c : p.b) / COLUMNS;
    w.column = rest % across * COLUMNS;
    rest /= across;
    if (GRADIENT) {
        const int down = (p.b + ROWS - 1) / ROWS;
        w.row = rest % down * ROWS;
        rest /= down;
    }
    w.group = rest % p.groups;
    rest /= p.groups;
    w.part = GRADIENT ? rest : 0;
    if (!GRADIENT) w.row = rest * ROWS;
    return w;
}
// Steps of 64 of k.
template <bool GRADIENT>
static __device__ __forceinline__ int steps_of(const wn__gpu_kron_product &p, const work &w) {
    if (!GRADIENT) return p.c / 64;
    const int left = (p.n - w.part * p.vectors + 63) / 64;
    return left < p.vectors / 64 ? left : p.vectors / 64;
}

template <int PANELS, int COLUMNS, int STAGES, bool GRADIENT>
static __device__ __forceinline__ void produce(const wn__gpu_kron_product &p, uint32_t base) {
    typedef layout<PANELS, COLUMNS, STAGES> at;
    const uint32_t full = base + at::BARRIER_AT, empty = full + 8 * STAGES;
    ring r = {0, 1};
    for (int i = (int)blockIdx.x; i < p.tiles; i += (int)gridDim.x) {
        const work w = work_of<GRADIENT, at::ROWS, COLUMNS>(p, i);
        const int steps = steps_of<GRADIENT>(p, w);
#pragma unroll 1
        for (int s = 0; s < steps; s++) {
            const uint32_t barrier = full + 8 * r.stage;
            const uint32_t rows = base + r.stage * at::STAGE_BYTES, columns = rows + at::ROW_BYTES;
            barrier_wait(empty + 8 * r.stage, r.phase);
            barrier_expect(barrier, at::STAGE_BYTES);
            if (GRADIENT) {
                const int vector = w.part * p.vectors + s * 64;
#pragma unroll
                for (int j = 0; j < at::ROWS / 64; j++)
                    copy_box(rows + j * 8192, &p.rows, barrier, w.group * p.b + w.row + j * 64,
                             vector);
#pragma unroll
                for (int j = 0; j < COLUMNS / 64; j++)
                    copy_box(columns + j * 8192, &p.columns, barrier,
                             w.group * p.c + w.column + j * 64, vector);
            } else {
                copy_box(rows, &p.rows, barrier, w.group * p.c + s * 64, w.row);
                const int row = w.group * p.b + w.column;
                copy_box(columns, &p.columns, barrier, s * 64, row);
            }
            r.next<STAGES>();
        }
    }
}

// A warpgroup that multiplies: its place in shared memory and among its threads.
struct consumer {
    uint32_t base, chunk;
    int which, thread;
};

// This warp reads a stage no more: said to the copies that fill it.
static __device__ __forceinline__ void release(const consumer &c, uint32_t barrier) {
    __syncwarp();
    if ((c.thread & 31) == 0) barrier_arrive(barrier);
}

template <class T, int PANELS, int COLUMNS, int STAGES, bool GRADIENT>
static __device__ __forceinline__ void multiply(const consumer &c, float (&d)[PANELS][COLUMNS / 2],
                                                ring *r, int steps) {
    typedef layout<PANELS, COLUMNS, STAGES> at;
    typedef dense_product<T, COLUMNS, GRADIENT> product;
    const uint32_t full = c.base + at::BARRIER_AT, empty = full + 8 * STAGES;
    uint32_t before = 0;
#pragma unroll 1
    for (int s = 0; s < steps; s++) {
        const uint32_t rows = c.base + r->stage * at::STAGE_BYTES + c.which * PANELS * 8192;
        const uint32_t columns = c.base + r->stage * at::STAGE_BYTES + at::ROW_BYTES;
        barrier_wait(full + 8 * r->stage, r->phase);
        products_begin();
#pragma unroll
        for (int k = 0; k < 4; k++)
#pragma unroll
            for (int i = 0; i < PANELS; i++) {
                const uint32_t row = rows + i * 8192;
                product::run(d[i],
                             GRADIENT ? matrix_across(row + k * 2048, 8192)
                                      : matrix_of(row + k * 32, 1024, 1),
                             GRADIENT ? matrix_across(columns + k * 2048, 8192)
                                      : matrix_of(columns + k * 32, 1024, 1),
                             k > 0 || s > 0);
            }
        products_commit();
        products_wait<1>();
        if (s > 0) release(c, empty + 8 * before);
        before = r->stage;
        r->next<STAGES>();
    }
    products_wait<0>();
    release(c, empty + 8 * before);
}

// 16 vectors at a time, 64 numbers of each, rounded: through a chunk of the warp's own, from which
// they leave in whole 16 bytes.
template <class T, int PANELS, int COLUMNS, int ROWS>
static __device__ __forceinline__ void store(const wn__gpu_kron_product &p, const consumer &c,
                                             const float (&d)[PANELS][COLUMNS / 2], const work &w) {
    const int lane = c.thread & 31, piece = lane & 7, warp = c.thread / 32;
    const uint32_t mine = c.chunk + warp * CHUNK_BYTES;
    const uint32_t row = mine + ((lane >> 3 & 1) * 8 + (lane & 7)) * 128;
#pragma unroll
    for (int i = 0; i < PANELS; i++)
#pragma unroll
        for (int h = 0; h < COLUMNS / 64; h++) {
            const float *v = &d[i][h * 32];
            __syncwarp();
#pragma unroll
            for (int q = 0; q < 4; q++)
                asm volatile(
                    "stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(
                        row + ((2 * q + (lane >> 4) ^ (lane & 7)) << 4)),
                    "r"(T::pair(v[8 * q], v[8 * q + 1])), "r"(T::pair(v[8 * q + 2], v[8 * q + 3])),
                    "r"(T::pair(v[8 * q + 4], v[8 * q + 5])),
                    "r"(T::pair(v[8 * q + 6], v[8 * q + 7]))
                    : "memory");
            __syncwarp();
            const int j = w.column + 64 * h + 8 * piece;
            const int vector = w.row + (c.which * PANELS + i) * 64 + warp * 16 + lane / 8;
            uint16_t *to = p.y + (int64_t)w.group * p.group_step +
                           (int64_t)(j / p.run) * p.run_step + j % p.run + vector * p.y_vector;
#pragma unroll
            for (int q = 0; q < 4; q++) {
                const int at = q * 4 + lane / 8;
                uint4 numbers;
                asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                             : "=r"(numbers.x), "=r"(numbers.y), "=r"(numbers.z), "=r"(numbers.w)
                             : "r"(mine + at * 128 + ((piece ^ (at & 7)) << 4)));
                if (vector + 4 * q < p.n) *(uint4 *)(to + 4 * q * p.y_vector) = numbers;
            }
        }
}

// Sums of a part, [part][block][b][c].
template <int PANELS, int COLUMNS>
static __device__ __forceinline__ void store_sums(const wn__gpu_kron_product &p, const consumer &c,
                                                  const float (&d)[PANELS][COLUMNS / 2],
                                                  const work &w) {
    const int lane = c.thread & 31, warp = c.thread / 32;
#pragma unroll
    for (int i = 0; i < PANELS; i++) {
        const int j = w.row + (c.which * PANELS + i) * 64 + warp * 16 + lane / 4;
        if (w.row + (c.which * PANELS + i) * 64 >= p.b) continue; // a whole panel or none of it
        float *to = p.sums + (((int64_t)w.part * p.groups + w.group) * p.b + j) * p.c + w.column +
                    lane % 4 * 2;
#pragma unroll
        for (int h = 0; h < COLUMNS / 8; h++) {
            *(float2 *)(to + 8 * h) = make_float2(d[i][4 * h], d[i][4 * h + 1]);
            *(float2 *)(to + (int64_t)8 * p.c + 8 * h) =
                make_float2(d[i][4 * h + 2], d[i][4 * h + 3]);
        }
    }
}

template <class T, int PANELS, int COLUMNS, int STAGES, bool GRADIENT>
static __device__ __forceinline__ void consume(const wn__gpu_kron_product &p, const consumer &c) {
    enum { ROWS = layout<PANELS, COLUMNS, STAGES>::ROWS };
    ring r = {0, 0};
    for (int i = (int)blockIdx.x; i < p.tiles; i += (int)gridDim.x) {
        const work w = work_of<GRADIENT, ROWS, COLUMNS>(p, i);
        float d[PANELS][COLUMNS / 2];
        multiply<T, PANELS, COLUMNS, STAGES, GRADIENT>(c, d, &r, steps_of<GRADIENT>(p, w));
        if (GRADIENT)
            store_sums<PANELS, COLUMNS>(p, c, d, w);
        else
            store<T, PANELS, COLUMNS, ROWS>(p, c, d, w);
    }
}

template <class T, int PANELS, int COLUMNS, int STAGES, bool GRADIENT>
static __device__ __forceinline__ void product(const wn__gpu_kron_product &p) {
    typedef layout<PANELS, COLUMNS, STAGES> at;
    extern __shared__ __align__(1024) uint8_t memory[];
    const uint32_t base = shared_address(memory);
    // the same in a whole warp, which lets descriptors stay in uniform registers
    const int group = __shfl_sync(0xFFFFFFFFu, (int)threadIdx.x / WARPGROUP, 0);
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) {
            barrier_init(base + at::BARRIER_AT + 8 * i, 1);
            barrier_init(base + at::BARRIER_AT + 8 * (STAGES + i), 4 * CONSUMERS); // warps
        }
        barrier_init_done();
    }
    __syncthreads();
    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (threadIdx.x < 32 && elected()) produce<PANELS, COLUMNS, STAGES, GRADIENT>(p, base);
        __syncwarp();
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        const int which = group - 1;
        const consumer c = {base, base + at::CHUNK_AT + which * 4 * CHUNK_BYTES, which,
                            (int)threadIdx.x % WARPGROUP};
        consume<T, PANELS, COLUMNS, STAGES, GRADIENT>(p, c);
    }
}

// ---- packing: numbers of a factor in another order, of six indices, the last of which in eights

extern "C" __global__ void __launch_bounds__(WN_KRON_WIDE_PACK_THREADS)
    wn_kron_wide_pack(const __grid_constant__ wn__gpu_kron_order p) {
    int all = p.size[5] / 8;
#pragma unroll
    for (int i = 0; i < 5; i++)
        all *= p.size[i];
    for (int index = (int)(blockIdx.x * WN_KRON_WIDE_PACK_THREADS + threadIdx.x); index < all;
         index += (int)gridDim.x * WN_KRON_WIDE_PACK_THREADS) {
        // neighbouring threads have neighbouring numbers of what lies together in w
        const int size = p.fast < 5 ? p.size[p.fast] : 1;
        const int fast = index % size;
        int rest = index / size, to = 0, step = 1;
        int64_t from = 0;
#pragma unroll
        for (int i = 5; i >= 0; i--) {
            const int count = i == 5 ? p.size[5] / 8 : p.size[i];
            int at = fast;
            if (i != p.fast || i == 5) {
                at = rest % count;
                rest /= count;
            }
            from += at * (i == 5 ? 8 : 1) * p.stride[i];
            to += at * step;
            step *= count;
        }
        uint32_t word[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            word[i] = __ldg(p.w + from + 2 * i * p.stride[5]) |
                      (uint32_t)__ldg(p.w + from + (2 * i + 1) * p.stride[5]) << 16;
        *(uint4 *)(p.to + (int64_t)to * 8) = make_uint4(word[0], word[1], word[2], word[3]);
    }
}

// ---- of every vector matrices [rows][D] to [D][rows] (APART) or back, D 2 or 4; eight numbers of
// the side where D lies together a thread

template <int D, bool APART>
static __device__ __forceinline__ void turn(const wn__gpu_kron_turn &p) {
    enum { AT_ONCE = 4, ROWS = 8 / D, WORDS = ROWS / 2 }; // 4 or 2 rows, in 2 words or 1 of each
    const int pieces = p.blocks * p.rows / ROWS;
#pragma unroll
    for (int q = 0; q < AT_ONCE; q++) {
        const int64_t index = ((int64_t)blockIdx.x * AT_ONCE + q) * blockDim.x + threadIdx.x;
        const int64_t v = index / pieces;
        const int at = (int)(index % pieces), row = at * ROWS % p.rows;
        const int64_t block = (int64_t)(at * ROWS / p.rows) * p.rows * D;
        if (v >= p.n) return;
        uint32_t word[4], part[D][WORDS];
        if (APART) {
            const uint4 in = __ldcs((const uint4 *)(p.x + v * p.x_vector + block + row * D));
            word[0] = in.x, word[1] = in.y, word[2] = in.z, word[3] = in.w;
            // word k D/2 + l/2 has row k, columns l and the next
#pragma unroll
            for (int l = 0; l < D; l++)
#pragma unroll
                for (int h = 0; h < WORDS; h++)
                    part[l][h] = __byte_perm(word[2 * h * (D / 2) + l / 2],
                                             word[(2 * h + 1) * (D / 2) + l / 2],
                                             l % 2 == 0 ? 0x5410 : 0x7632);
#pragma unroll
            for (int l = 0; l < D; l++) {
                uint16_t *to = p.y + v * p.y_vector + block + l * p.rows + row;
                if (WORDS == 2)
                    *(uint2 *)to = make_uint2(part[l][0], part[l][WORDS - 1]);
                else
                    *(uint32_t *)to = part[l][0];
            }
        } else {
#pragma unroll
            for (int l = 0; l < D; l++) {
                const uint16_t *from = p.x + v * p.x_vector + block + l * p.rows + row;
                if (WORDS == 2) {
                    const uint2 in = __ldcs((const uint2 *)from);
                    part[l][0] = in.x, part[l][WORDS - 1] = in.y;
                } else {
                    part[l][0] = __ldcs((const uint32_t *)from);
                }
            }
#pragma unroll
            for (int k = 0; k < ROWS; k++)
#pragma unroll
                for (int l = 0; l < D; l += 2)
                    word[k * (D / 2) + l / 2] = __byte_perm(part[l][k / 2], part[l + 1][k / 2],
                                                            k % 2 == 0 ? 0x5410 : 0x7632);
            *(uint4 *)(p.y + v * p.y_vector + block + row * D) =
                make_uint4(word[0], word[1], word[2], word[3]);
        }
    }
}

// Eight columns, rows a multiple of 256, of which a warp takes 256: they come in whole lines, a
// thread sorts eight by eight numbers, through shared memory.
extern "C" __global__ void __launch_bounds__(WN_KRON_WIDE_TURN_THREADS)
    wn_kron_wide_apart8(const __grid_constant__ wn__gpu_kron_turn p) {
    __shared__ uint4 piece[WN_KRON_WIDE_TURN_THREADS / 32][32 * 8];
    const int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x / 32;
    const int pieces = p.blocks * (p.rows / 256);
    const int64_t index = (int64_t)blockIdx.x * (WN_KRON_WIDE_TURN_THREADS / 32) + warp;
    const int64_t v = index / pieces;
    if (v >= p.n) return;
    const int at = (int)(index % pieces) * 256, row = at % p.rows;
    const int64_t block = (int64_t)(at / p.rows) * p.rows * 8;
    const uint4 *from = (const uint4 *)(p.x + v * p.x_vector + block) + row;
    uint4 in[8];
#pragma unroll
    for (int i = 0; i < 8; i++)
        in[i] = __ldcs(from + i * 32 + lane);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const int owner = i * 4 + lane / 8;
        piece[warp][owner * 8 + ((lane ^ owner) & 7)] = in[i];
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 8; i++)
        in[i] = piece[warp][lane * 8 + ((i ^ lane) & 7)];
    uint16_t *to = p.y + v * p.y_vector + block + row + lane * 8;
#pragma unroll
    for (int l = 0; l < 8; l++) {
        *(uint4 *)(to + (int64_t)l * p.rows) = column_of_8(in, l);
    }
}

#define TURN(name, d, apart)                                                                       \
    extern "C" __global__ void __launch_bounds__(WN_KRON_WIDE_TURN_THREADS)                        \
        name(const __grid_constant__ wn__gpu_kron_turn p) {                                        \
        turn<d, apart>(p);                                                                         \
    }
TURN(wn_kron_wide_apart2, 2, true)
TURN(wn_kron_wide_apart4, 4, true)
TURN(wn_kron_wide_together2, 2, false)
TURN(wn_kron_wide_together4, 4, false)

#define KERNEL(name, type, panels, columns, stages, gradient)                                      \
    extern "C" __global__ void __launch_bounds__(THREADS, 1)                                       \
        name(const __grid_constant__ wn__gpu_kron_product p) {                                     \
        product<type, panels, columns, stages, gradient>(p);                                       \
    }
#define KERNELS(type)                                                                              \
    KERNEL(wn_kron_wide64_##type, type_##type, 2, 64, 5, false)                                    \
    KERNEL(wn_kron_wide128_##type, type_##type, 2, 128, 4, false)                                  \
    KERNEL(wn_kron_wide192_##type, type_##type, 1, 192, 5, false)                                  \
    KERNEL(wn_kron_wide256_##type, type_##type, 1, 256, 4, false)                                  \
    KERNEL(wn_kron_wide_grad64_##type, type_##type, 2, 64, 5, true)                                \
    KERNEL(wn_kron_wide_grad128_##type, type_##type, 2, 128, 4, true)                              \
    KERNEL(wn_kron_wide_grad192_##type, type_##type, 1, 192, 5, true)                              \
    KERNEL(wn_kron_wide_grad256_##type, type_##type, 1, 256, 4, true)
KERNELS(bf16)
KERNELS(f16)
