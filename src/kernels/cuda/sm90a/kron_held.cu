// SPDX-License-Identifier: MIT
// Factors of wide blocks of 512 inputs, weights in registers: a warpgroup holds 64 outputs of a
// block and lets 128 vectors at a time go by, which are all that comes into a multiprocessor. Two
// warpgroups read the same vectors, half a tile apart, so that one multiplies while the other sends
// its results out.
//
// JOIN: y's blocks are interleaved, eight of them. Each block of threads of a cluster of eight has
// one; every warpgroup sends 16 vectors' results to each of the others, and writes the results of
// all eight for the 16 vectors that it got, in whole lines.
#include "kernels/cuda/args_kron.h"
#include "kernels/cuda/common/hopper.cuh"
#include "kernels/cuda/common/mma16.cuh"
#include "kernels/cuda/common/turn8.cuh"
#include "kernels/cuda/common/wgmma_sp.cuh"

enum {
    WARPGROUP = 128,
    CONSUMERS = 2,
    THREADS = WN_KRON_WIDE_THREADS,
    VECTORS = WN_KRON_HELD_VECTORS,
    STEPS = WN_KRON_HELD_INPUTS / 64,
    STAGE_BYTES = VECTORS * 128,
    STAGED_BYTES = VECTORS * 128, // results of a warpgroup: rows of 64 outputs, chunks swizzled
    PEERS = WN_KRON_HELD_JOINED,
    PEER_VECTORS = VECTORS / PEERS,
    PEER_BYTES = PEER_VECTORS * 128,
    APART = 2, // steps between the warpgroups
    BEHIND = 3 // the barrier where the second one waits for that
};
static_assert(THREADS == (CONSUMERS + 1) * WARPGROUP, "threads");

template <bool JOIN> struct layout {
    enum {
        STAGES = JOIN ? 6 : 12,
        STAGED_AT = STAGES * STAGE_BYTES, // joined, two buffers a warpgroup, and as many to get
        GOT_AT = STAGED_AT + (JOIN ? 2 : 1) * CONSUMERS * STAGED_BYTES,
        FULL_AT = GOT_AT + (JOIN ? 2 * CONSUMERS * STAGED_BYTES : 0),
        EMPTY_AT = FULL_AT + 8 * STAGES,
        GOT_FULL_AT = EMPTY_AT + 8 * STAGES,
        MAY_SEND_AT = GOT_FULL_AT + 16 * CONSUMERS,
        END = MAY_SEND_AT + 16 * CONSUMERS
    };
    static_assert((int)END <= (int)WN_KRON_HELD_SHARED, "shared memory");
};

// d[64,128] = (add ? d : 0) + A B^T, 16 columns: A in registers, B in shared memory.
template <class T> struct held_product;
#define HELD_PRODUCT(T, TEXT)                                                                      \
    template <> struct held_product<T> {                                                           \
        static __device__ __forceinline__ void run(float (&d)[64], const uint32_t (&a)[4],         \
                                                   uint64_t b, int add) {                          \
            asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %69, 0;\n\t"                        \
                         "wgmma.mma_async.sync.aligned.m64n128k16.f32." TEXT "." TEXT              \
                         " {" WN_REGISTERS_128 "}, {%64, %65, %66, %67}, %68, p, 1, 1, 0;\n\t}"    \
                         : WN_SUMS_128(d)                                                          \
                         : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));          \
        }                                                                                          \
    };
HELD_PRODUCT(type_bf16, "bf16")
HELD_PRODUCT(type_f16, "f16")

// Which block of y, 128 outputs of it, and which tiles of vectors.
struct work {
    int group, slice, first, end;
};
template <bool JOIN>
static __device__ __forceinline__ work work_of(const wn__gpu_kron_held &p, int i) {
    work w;
    if (JOIN) {
        const wn__gpu_kron_share &s = p.share[blockIdx.x / PEERS][i];
        w.group = (int)cluster_rank();
        w.slice = s.slice;
        w.first = s.first;
        w.end = s.end;
    } else {
        const int slices = p.b / 128, slots = p.groups * slices, parts = (int)gridDim.x / slots;
        const int slot = (int)blockIdx.x % slots, part = (int)blockIdx.x / slots;
        w.group = slot / slices;
        w.slice = slot % slices;
        w.first = (int)((int64_t)p.tiles * part / parts);
        w.end = (int)((int64_t)p.tiles * (part + 1) / parts);
    }
    return w;
}
template <bool JOIN> static __device__ __forceinline__ int works() {
    return JOIN ? WN_KRON_HELD_SHARES : 1;
}

template <bool JOIN>
static __device__ __forceinline__ void produce(const wn__gpu_kron_held &p, uint32_t base) {
    typedef layout<JOIN> at;
    ring r = {0, 1};
    for (int i = 0; i < works<JOIN>(); i++) {
        const work w = work_of<JOIN>(p, i);
        for (int tile = w.first; tile < w.end; tile++)
#pragma unroll 1
            for (int s = 0; s < STEPS; s++) {
                const uint32_t full = base + at::FULL_AT + 8 * r.stage;
                barrier_wait(base + at::EMPTY_AT + 8 * r.stage, r.phase);
                barrier_expect(full, STAGE_BYTES);
                copy_box(base + r.stage * STAGE_BYTES, &p.x, full,
                         w.group * WN_KRON_HELD_INPUTS + s * 64, tile * VECTORS);
                r.next<at::STAGES>();
            }
    }
}

struct consumer {
    uint32_t base;
    int which, thread;
};

// 64 rows of weights as the operand of wgmma that has rows.
static __device__ __forceinline__ void hold(const wn__gpu_kron_held &p, const consumer &c,
                                            const work &w, uint32_t (&a)[4 * STEPS][4]) {
    const int lane = c.thread & 31;
    const int row = w.group * p.b + w.slice * 128 + c.which * 64 + c.thread / 32 * 16 + lane / 4;
    const uint16_t *from = p.w + (int64_t)row * WN_KRON_HELD_INPUTS + lane % 4 * 2;
#pragma unroll
    for (int k = 0; k < 4 * STEPS; k++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            a[k][i] = __ldg(
                (const uint32_t *)(from + i % 2 * 8 * WN_KRON_HELD_INPUTS + i / 2 * 8 + k * 16));
}

template <class T, bool JOIN>
static __device__ __forceinline__ void multiply(const consumer &c, float (&d)[64],
                                                const uint32_t (&a)[4 * STEPS][4], ring *r,
                                                bool first) {
    typedef layout<JOIN> at;
    uint32_t before = 0;
    if (first && c.which == 1) asm volatile("bar.sync %0, 256;" ::"n"((int)BEHIND) : "memory");
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
        if (s == APART && first && c.which == 0)
            asm volatile("bar.arrive %0, 256;" ::"n"((int)BEHIND) : "memory");
        const uint32_t b = c.base + r->stage * STAGE_BYTES;
        barrier_wait(c.base + at::FULL_AT + 8 * r->stage, r->phase);
        products_begin();
#pragma unroll
        for (int k = 0; k < 4; k++)
            held_product<T>::run(d, a[4 * s + k], matrix_of(b + 32 * k, 1024, 1), s + k > 0);
        products_commit();
        products_wait<1>();
        if (s > 0 && (c.thread & 31) == 0) barrier_arrive(c.base + at::EMPTY_AT + 8 * before);
        before = r->stage;
        r->next<at::STAGES>();
    }
    products_wait<0>();
    if ((c.thread & 31) == 0) barrier_arrive(c.base + at::EMPTY_AT + 8 * before);
}

// Rounded, by vectors: rows of 128 bytes, whose chunk c is at c ^ (row mod 8).
template <class T>
static __device__ __forceinline__ void stage(const consumer &c, const float (&d)[64], uint32_t to) {
    const int lane = c.thread & 31, warp = c.thread / 32;
    const int vector = (lane >> 4) * 8 + (lane & 7), chunk = 2 * warp + (lane >> 3 & 1);
    const uint32_t row = to + vector * 128 + ((chunk ^ (vector & 7)) << 4);
#pragma unroll
    for (int i = 0; i < 64; i += 8)
        asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(
                         row + i / 4 * 1024),
                     "r"(T::pair(d[i], d[i + 1])), "r"(T::pair(d[i + 2], d[i + 3])),
                     "r"(T::pair(d[i + 4], d[i + 5])), "r"(T::pair(d[i + 6], d[i + 7]))
                     : "memory");
}

static __device__ __forceinline__ void put(uint32_t to, uint4 v) {
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(v.x), "r"(v.y), "r"(v.z),
                 "r"(v.w)
                 : "memory");
}
// Bytes of this block's shared memory to the same place or another of a block of the cluster.
static __device__ __forceinline__ void send(uint32_t from, uint32_t to, uint32_t barrier,
                                            uint32_t bytes, uint32_t block) {
    asm volatile(
        "{\n\t.reg .b32 there, done;\n\tmapa.shared::cluster.u32 there, %1, %4;\n\t"
        "mapa.shared::cluster.u32 done, %2, %4;\n\t"
        "cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [there], [%0], %3, "
        "[done];\n\t}" ::"r"(from),
        "r"(to), "r"(barrier), "r"(bytes), "r"(block)
        : "memory");
}

// Buffers of what others sent, by turns.
struct exchange {
    uint32_t got, full, may_send; // of this warpgroup
    uint32_t sent, taken;
};

// To every block 16 vectors of this one's results, from the buffer that goes with theirs: both are
// free when they have taken what was sent in them before.
static __device__ __forceinline__ void may_give(const exchange *e) {
    barrier_wait(e->may_send + 8 * (e->sent & 1), (e->sent >> 1 & 1) ^ 1);
}
static __device__ __forceinline__ void give(const consumer &c, exchange *e, uint32_t staged) {
    const uint32_t buffer = e->sent & 1;
    if (c.thread < PEERS)
        send(staged + c.thread * PEER_BYTES,
             e->got + buffer * STAGED_BYTES + cluster_rank() * PEER_BYTES, e->full + 8 * buffer,
             PEER_BYTES, (uint32_t)c.thread);
    e->sent++;
}

// What all blocks gave for 16 vectors: a thread has eight outputs of one vector, sorts them by
// output and writes them, through the buffer, so that lines go out whole.
static __device__ __forceinline__ void take(const wn__gpu_kron_held &p, const consumer &c,
                                            exchange *e, int slice, int tile) {
    const uint32_t buffer = e->taken & 1, at = e->got + buffer * STAGED_BYTES;
    const int row = c.thread / 8, q = c.thread % 8;
    uint4 in[8];
    barrier_wait(e->full + 8 * buffer, e->taken >> 1 & 1);
#pragma unroll
    for (int t = 0; t < 8; t++)
        in[t] = get128(at + t * PEER_BYTES + row * 128 + ((q ^ (row & 7)) << 4));
    warpgroup_sync(c.which);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        put(at + row * 1024 + q * 128 + ((i ^ q) << 4), column_of_8(in, i));
    }
    warpgroup_sync(c.which);
    // 32 lanes: 512 bytes of a vector; a warp has four vectors
    const int lane = c.thread & 31, warp = c.thread / 32;
    uint4 out[8];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const int line = i % 2 * 4 + lane / 8;
        out[i] = get128(at + (warp * 4 + i / 2) * 1024 + line * 128 + (((lane ^ line) & 7) << 4));
    }
    writes_to_copies();
    warpgroup_sync(c.which);
    if (c.thread == 0) barrier_expect(e->full + 8 * buffer, STAGED_BYTES);
    __syncwarp();
    if (c.thread < PEERS) barrier_arrive_at(e->may_send + 8 * buffer, (uint32_t)c.thread);
    const int vector = tile * VECTORS + (int)cluster_rank() * PEER_VECTORS + warp * 4;
    uint16_t *y = p.y + (slice * 128 + c.which * 64) * PEERS + lane * 8;
#pragma unroll
    for (int i = 0; i < 8; i++)
        if (vector + i / 2 < p.n)
            *(uint4 *)(y + (vector + i / 2) * p.y_vector + i % 2 * 256) = out[i];
    e->taken++;
}

template <class T, bool JOIN>
static __device__ __forceinline__ void consume(const wn__gpu_kron_held &p, const consumer &c) {
    typedef layout<JOIN> at;
    const uint32_t first_staged = c.base + at::STAGED_AT + (JOIN ? 2 : 1) * c.which * STAGED_BYTES;
    exchange e = {c.base + at::GOT_AT + c.which * 2 * STAGED_BYTES,
                  c.base + at::GOT_FULL_AT + c.which * 16, c.base + at::MAY_SEND_AT + c.which * 16,
                  0, 0};
    ring r = {0, 0};
    int slice = 0, before = -1; // of results that are on their way
    bool first = true;
    for (int i = 0; i < works<JOIN>(); i++) {
        const work w = work_of<JOIN>(p, i);
        if (w.first >= w.end) continue;
        uint32_t a[4 * STEPS][4];
        hold(p, c, w, a);
#pragma unroll 1
        for (int tile = w.first; tile < w.end; tile++) {
            float d[64];
            multiply<T, JOIN>(c, d, a, &r, first);
            first = false;
            const uint32_t staged = first_staged + (JOIN ? e.sent & 1 : 0) * STAGED_BYTES;
            if (JOIN) {
                may_give(&e);
            } else {
                if (c.thread == 0) stores_read<0>(); // of the tile before
                warpgroup_sync(c.which);
            }
            stage<T>(c, d, staged);
            writes_to_copies();
            warpgroup_sync(c.which);
            if (JOIN) {
                give(c, &e, staged);
                if (before >= 0) take(p, c, &e, slice, before);
                slice = w.slice;
                before = tile;
            } else if (c.thread == 0) {
                const int j = w.slice * 128 + c.which * 64;
                store_box(&p.y_map, staged,
                          w.group * p.group_step + j / p.run * p.run_step + j % p.run,
                          tile * VECTORS);
            }
        }
    }
    if (JOIN && before >= 0) take(p, c, &e, slice, before);
    if (!JOIN && c.thread == 0) stores_done();
}

template <class T, bool JOIN>
static __device__ __forceinline__ void held(const wn__gpu_kron_held &p) {
    typedef layout<JOIN> at;
    extern __shared__ __align__(1024) uint8_t memory[];
    const uint32_t base = shared_address(memory);
    // the same in a whole warp, which lets descriptors stay in uniform registers
    const int group = __shfl_sync(0xFFFFFFFFu, (int)threadIdx.x / WARPGROUP, 0);
    if (threadIdx.x == 0) {
        for (int i = 0; i < at::STAGES; i++) {
            barrier_init(base + at::FULL_AT + 8 * i, 1);
            barrier_init(base + at::EMPTY_AT + 8 * i, 4 * CONSUMERS); // warps
        }
        for (int i = 0; JOIN && i < 2 * CONSUMERS; i++) {
            barrier_init(base + at::GOT_FULL_AT + 8 * i, 1);
            barrier_init(base + at::MAY_SEND_AT + 8 * i, PEERS);
        }
        barrier_init_done();
        for (int i = 0; JOIN && i < 2 * CONSUMERS; i++)
            barrier_expect(base + at::GOT_FULL_AT + 8 * i, STAGED_BYTES);
    }
    __syncthreads();
    if (JOIN) cluster_sync();
    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (threadIdx.x < 32 && elected()) produce<JOIN>(p, base);
        __syncwarp();
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        const consumer c = {base, group - 1, (int)threadIdx.x % WARPGROUP};
        consume<T, JOIN>(p, c);
    }
    if (JOIN) cluster_sync(); // nothing is sent to a block that has ended
}

#define KERNELS(type)                                                                              \
    extern "C" __global__ void __launch_bounds__(THREADS)                                          \
        wn_kron_held_##type(const __grid_constant__ wn__gpu_kron_held p) {                         \
        held<type_##type, false>(p);                                                               \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(THREADS)                                          \
        wn_kron_held_join_##type(const __grid_constant__ wn__gpu_kron_held p) {                    \
        held<type_##type, true>(p);                                                                \
    }
KERNELS(bf16)
KERNELS(f16)
