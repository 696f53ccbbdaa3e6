// SPDX-License-Identifier: MIT
// y = x (K_1 K_0)^T of block low rank: K_0 of pattern (S, 8 T, 64, 1), K_1 of (1, 64, 8 S, T); so
// y's block t is the sum over s of K_1[t,s] K_0[s,t] x_s, 64 x 8 times 8 x 64.
//
// A block of threads takes 128 vectors and four t: 256 sums of 64 outputs by two warpgroups, each
// of 64 vectors. For every two s a warpgroup multiplies x_s by 32 rows of K_0, eight of each t,
// rounds the products where they are, in the registers that are the next product's first operand,
// and multiplies them by K_1. Nothing between factors leaves the registers. One thread copies: a
// ring of STAGES pairs of s, each x (two boxes of 128 vectors) and 16384 bytes of packed factors.
//
// Eight blocks of threads form a cluster, of four fours of t and two times 128 vectors. Each copies
// a quarter of its vectors for four of them, and half of its factors for two.
#include "kernels/cuda/args_kron.h"
#include "kernels/cuda/common/hopper.cuh"
#include "kernels/cuda/common/mma16.cuh"

enum {
    WARPGROUP = 128,
    CONSUMERS = 2,
    THREADS = WN_KRON_RANK_THREADS,
    BLOCKS = WN_KRON_RANK_CLUSTER,
    STAGES = 4,
    X_BYTES = 128 * 128, // of one s
    FIRST_BYTES = 32 * 128,
    SECOND_BYTES = 64 * 32, // of one t
    PAIR_BYTES = WN_KRON_RANK_BYTES,
    STAGE_BYTES = 2 * X_BYTES + PAIR_BYTES,
    BARRIER_AT = STAGES * STAGE_BYTES
};
static_assert(PAIR_BYTES == 2 * FIRST_BYTES + 4 * SECOND_BYTES, "factors");
static_assert(THREADS == (CONSUMERS + 1) * WARPGROUP, "threads");
static_assert(BARRIER_AT + 16 * STAGES + 1024 <= WN_KRON_RANK_SHARED, "shared memory");

// ---- packing: 16 bytes a thread. For each four of t and two of s: two matrices [32][64], row 8 t
// + r, in rows of 128 bytes whose chunk c is at c ^ (row mod 8); then four [64][16], column 8 s +
// r, in rows of 32 bytes whose chunk c is at c ^ (row / 4 mod 2).
extern "C" __global__ void __launch_bounds__(256)
    wn_kron_rank_pack(const __grid_constant__ wn__gpu_kron_rank_pack p) {
    const int64_t all = (int64_t)(p.s / 2) * (p.t / 4) * (PAIR_BYTES / 16);
    for (int64_t at = (int64_t)blockIdx.x * 256 + threadIdx.x; at < all;
         at += (int64_t)gridDim.x * 256) {
        const int chunk = (int)(at % (PAIR_BYTES / 16));
        const int64_t block = at / (PAIR_BYTES / 16);
        const int pair = (int)(block % (p.s / 2)), four = (int)(block / (p.s / 2));
        const uint16_t *from;
        int64_t step;
        if (chunk < 2 * FIRST_BYTES / 16) {
            const int row = chunk / 8 % 32, k = (chunk ^ row) % 8 * 8;
            const int s = 2 * pair + chunk / 256, t = 4 * four + row / 8, r = row % 8;
            from = p.first + s * p.first_stride[0] + ((int64_t)r * p.t + t) * p.first_stride[1] +
                   k * p.first_stride[2];
            step = p.first_stride[2];
        } else {
            const int at2 = chunk - 2 * FIRST_BYTES / 16, row = at2 / 2 % 64;
            const int s = 2 * pair + ((at2 ^ (row >> 2)) & 1), t = 4 * four + at2 / 128;
            from = p.second + row * p.second_stride[1] + (int64_t)s * 8 * p.second_stride[2] +
                   t * p.second_stride[3];
            step = p.second_stride[2];
        }
        uint32_t word[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            word[i] = from[2 * i * step] | (uint32_t)from[(2 * i + 1) * step] << 16;
        ((uint4 *)p.to)[at] = make_uint4(word[0], word[1], word[2], word[3]);
    }
}

// ---- products

#define D4(d, i)  "+f"((d)[i]), "+f"((d)[(i) + 1]), "+f"((d)[(i) + 2]), "+f"((d)[(i) + 3])
#define D16(d, i) D4(d, i), D4(d, (i) + 4), D4(d, (i) + 8), D4(d, (i) + 12)

// d[64,32] = (add ? d : 0) + A B, both in shared memory; d[64,64] += A B, A in registers.
template <class T> struct product;
#define PRODUCT(T, TEXT)                                                                           \
    template <> struct product<T> {                                                                \
        template <int ADD>                                                                         \
        static __device__ __forceinline__ void first(float (&d)[16], uint64_t a, uint64_t b) {     \
            asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %18, 0;\n\t"                        \
                         "wgmma.mma_async.sync.aligned.m64n32k16.f32." TEXT "." TEXT " "           \
                         "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, "      \
                         "%15}, %16, %17, p, 1, 1, 0, 0;\n\t}"                                     \
                         : D16(d, 0)                                                               \
                         : "l"(a), "l"(b), "n"(ADD));                                              \
        }                                                                                          \
        static __device__ __forceinline__ void second(float (&d)[32], const uint32_t (&a)[4],      \
                                                      uint64_t b, int add) {                       \
            asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %37, 0;\n\t"                        \
                         "wgmma.mma_async.sync.aligned.m64n64k16.f32." TEXT "." TEXT " "           \
                         "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, "      \
                         "%15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, "  \
                         "%29, %30, %31}, {%32, %33, %34, %35}, %36, p, 1, 1, 0;\n\t}"             \
                         : D16(d, 0), D16(d, 16)                                                   \
                         : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));          \
        }                                                                                          \
    };
PRODUCT(type_bf16, "bf16")
PRODUCT(type_f16, "f16")

// Bytes to the same place in every block of the cluster that `blocks` has a bit for.
static __device__ __forceinline__ void copy_bytes_to(uint32_t to, const void *from, uint32_t bytes,
                                                     uint32_t barrier, uint16_t blocks) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes"
                 ".multicast::cluster [%0], [%1], %2, [%3], %4;" ::"r"(to),
                 "l"(from), "r"(bytes), "r"(barrier), "h"(blocks)
                 : "memory");
}

struct ring {
    uint32_t stage, phase;
    __device__ __forceinline__ void next() {
        if (++stage == STAGES) {
            stage = 0;
            phase ^= 1;
        }
    }
};

static __device__ __forceinline__ void produce(const wn__gpu_kron_rank &p, uint32_t base, int rank,
                                               int vector, int four) {
    const uint32_t full = base + BARRIER_AT, empty = full + 8 * STAGES;
    const int quarter = rank % 4, half = rank / 4;
    const uint8_t *from =
        p.factors + (int64_t)four * (p.s / 2) * PAIR_BYTES + half * (PAIR_BYTES / 2);
    const uint16_t with_vectors = (uint16_t)(15 << 4 * half);
    const uint16_t with_factors = (uint16_t)(17 << quarter);
    ring r = {0, 1};
#pragma unroll 1
    for (int pair = 0; pair < p.s / 2; pair++, r.next()) {
        const uint32_t stage = base + r.stage * STAGE_BYTES, barrier = full + 8 * r.stage;
        barrier_wait(empty + 8 * r.stage, r.phase);
        barrier_expect(barrier, STAGE_BYTES);
#pragma unroll
        for (int s = 0; s < 2; s++)
            copy_box_to(stage + s * X_BYTES + quarter * (X_BYTES / 4), &p.x, barrier,
                        (2 * pair + s) * 64, vector + 32 * quarter, with_vectors);
        copy_bytes_to(stage + 2 * X_BYTES + half * (PAIR_BYTES / 2), from, PAIR_BYTES / 2, barrier,
                      with_factors);
        from += PAIR_BYTES;
    }
}

template <class T>
static __device__ __forceinline__ void consume(const wn__gpu_kron_rank &p, float (&sum)[4][32],
                                               uint32_t base, int which) {
    const uint32_t full = base + BARRIER_AT, empty = full + 8 * STAGES;
    const int thread = (int)threadIdx.x % WARPGROUP;
    float between[2][16];
    uint32_t a[4][4];
    ring r = {0, 0};
    uint32_t before = 0;
#pragma unroll 1
    for (int pair = 0; pair < p.s / 2; pair++, r.next()) {
        const uint32_t x = base + r.stage * STAGE_BYTES + which * (X_BYTES / 2);
        const uint32_t factors = base + r.stage * STAGE_BYTES + 2 * X_BYTES;
        barrier_wait(full + 8 * r.stage, r.phase);
        products_begin();
#pragma unroll
        for (int s = 0; s < 2; s++) {
            product<T>::template first<0>(between[s], matrix_of(x + s * X_BYTES, 1024, 1),
                                          matrix_of(factors + s * FIRST_BYTES, 1024, 1));
#pragma unroll
            for (int k = 1; k < 4; k++)
                product<T>::template first<1>(
                    between[s], matrix_of(x + s * X_BYTES + 32 * k, 1024, 1),
                    matrix_of(factors + s * FIRST_BYTES + 32 * k, 1024, 1));
        }
        products_commit();
        products_wait<1>(); // the second products of the pair before
        if (pair > 0 && thread < BLOCKS) barrier_arrive_at(empty + 8 * before, thread);
        products_wait<0>();
#pragma unroll
        for (int t = 0; t < 4; t++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                a[t][i] = T::pair(between[i / 2][4 * t + 2 * (i & 1)],
                                  between[i / 2][4 * t + 2 * (i & 1) + 1]);
        products_begin();
#pragma unroll
        for (int t = 0; t < 4; t++)
            product<T>::second(sum[t], a[t],
                               matrix_of(factors + 2 * FIRST_BYTES + t * SECOND_BYTES, 256, 3),
                               pair);
        products_commit();
        before = r.stage;
    }
    products_wait<0>();
}

// Results go to the block of the cluster that stores their vectors, a quarter of 128 each, where 16
// t come together: [32 vectors][64 outputs][16], 16 bytes c of a vector at c ^ (vector mod 8).
static __device__ __forceinline__ uint32_t result_at(int vector, int chunk) {
    return (uint32_t)(vector * 2048 + ((chunk ^ (vector & 7)) << 4));
}
template <class T>
static __device__ __forceinline__ void send(const float (&sum)[4][32], uint32_t base, int which,
                                            int rank) {
    const int thread = (int)threadIdx.x % WARPGROUP, lane = thread & 31, warp = thread / 32;
    const int vector = 16 * (warp & 1) + (lane >> 2), to = (rank & 4) + 2 * which + (warp >> 1);
    uint32_t there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(base), "r"(to));
#pragma unroll
    for (int j = 0; j < 8; j++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int chunk = (8 * j + 2 * (lane & 3) + (i & 1)) * 2 + (rank >> 1 & 1);
            const uint32_t at = there + result_at(vector + 8 * (i >> 1), chunk) + (rank & 1) * 8;
            asm volatile("st.shared::cluster.v2.u32 [%0], {%1, %2};" ::"r"(at),
                         "r"(T::pair(sum[0][4 * j + i], sum[1][4 * j + i])),
                         "r"(T::pair(sum[2][4 * j + i], sum[3][4 * j + i]))
                         : "memory");
        }
}

// 32 vectors from `vector` on, outputs of 16 t from `t` on: 32 bytes together.
static __device__ __forceinline__ void store(const wn__gpu_kron_rank &p, uint32_t base, int vector,
                                             int t) {
#pragma unroll 2
    for (int at = (int)threadIdx.x - WARPGROUP; at < 32 * 128; at += CONSUMERS * WARPGROUP) {
        const int row = at / 128, chunk = at % 128;
        if (vector + row < p.n)
            *(uint4 *)(p.y + (vector + row) * p.y_vector + (chunk >> 1) * p.t + t +
                       8 * (chunk & 1)) = get128(base + result_at(row, chunk));
    }
}

template <class T> static __device__ __forceinline__ void rank8(const wn__gpu_kron_rank &p) {
    extern __shared__ __align__(1024) uint8_t memory[];
    const uint32_t base = (shared_address(memory) + 1023) & ~1023u;
    const int rank = (int)cluster_rank(), cluster = (int)blockIdx.x / BLOCKS;
    const int across = p.t / 16;
    const int four = cluster % across * 4 + rank % 4;
    const int vector = cluster / across * 256 + rank / 4 * 128;
    const int group = __shfl_sync(0xFFFFFFFFu, (int)threadIdx.x / WARPGROUP, 0);
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) {
            barrier_init(base + BARRIER_AT + 8 * i, 1);
            barrier_init(base + BARRIER_AT + 8 * (STAGES + i), CONSUMERS * BLOCKS);
        }
        barrier_init_done();
    }
    cluster_sync();
    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (threadIdx.x < 32 && elected()) produce(p, base, rank, vector, four);
        __syncwarp();
        cluster_sync(); // all products are there, and nothing is copied any more
        cluster_sync();
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        float sum[4][32];
        consume<T>(p, sum, base, group - 1);
        cluster_sync();
        send<T>(sum, base, group - 1, rank);
        cluster_sync();
        store(p, base, vector + 32 * (rank & 3), 16 * (four / 4));
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    wn_kron_rank8_bf16(const __grid_constant__ wn__gpu_kron_rank p) {
    rank8<type_bf16>(p);
}
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    wn_kron_rank8_f16(const __grid_constant__ wn__gpu_kron_rank p) {
    rank8<type_f16>(p);
}
