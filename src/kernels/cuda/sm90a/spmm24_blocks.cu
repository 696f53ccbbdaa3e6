// SPDX-License-Identifier: MIT
// y = act(x W^T + bias) + residual, W in packed blocks: the tile is computed as its transpose,
// features by tokens, because only the first operand of wgmma may be sparse.
//
// One warp copies (bulk copies of blocks, boxes of x), two warpgroups multiply, each PANELS panels
// of 64 features by TOKENS tokens. STAGES steps of 64 columns are in flight. Blocks of threads stay
// and walk through tiles; two that form a cluster take the same tokens and each copy half of them
// to both. A sum may be cut into parts along k: every part is written, and the warpgroup that comes
// last adds them in their order.
#include "kernels/cuda/args_blocks.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/common/hopper.cuh"
#include "kernels/cuda/common/wgmma_sp.cuh"

enum {
    WARPGROUP = 128,
    CONSUMERS = 2,
    THREADS = (CONSUMERS + 1) * WARPGROUP,
    CHUNK = 32, // tokens that are stored at once
    CHUNK_BYTES = CHUNK * 128,
    CHUNKS = 2 // buffers of a warpgroup
};

// Shared memory, in bytes from its first: tokens of all stages, blocks of all stages, chunks,
// barriers (full and empty ones of stages, those of residuals), a word for each warpgroup.
template <int PANELS, int TOKENS, int STAGES> struct layout {
    enum {
        BLOCKS = CONSUMERS * PANELS,
        TOKEN_BYTES = TOKENS * 128,
        BLOCK_BYTES = BLOCKS * WN_BLOCK24_BYTES,
        BLOCK_AT = STAGES * TOKEN_BYTES,
        CHUNK_AT = (BLOCK_AT + STAGES * BLOCK_BYTES + 1023) / 1024 * 1024,
        BARRIER_AT = CHUNK_AT + CONSUMERS * CHUNKS * CHUNK_BYTES,
        RESIDUAL_AT = BARRIER_AT + 16 * STAGES,
        WORD_AT = RESIDUAL_AT + 8 * CONSUMERS * CHUNKS
    };
};

// Where a piece of work lies: a tile of features and tokens, and the steps of its sum.
struct work {
    int m, n, tile, part, first, steps;
};

static __device__ __forceinline__ work work_of(const wn__gpu_spmm24_blocks &p, int index,
                                               int rank) {
    work w = {0, 0, index, 0, 0, p.steps};
    if (p.split > 1) { // a division takes longer than most of what is done for a tile
        w.part = index % p.split;
        w.tile = index / p.split;
        w.first = p.steps * w.part / p.split;
        w.steps = p.steps * (w.part + 1) / p.split - w.first;
    }
    // groups of `group` tiles along the features, all tokens of a group before the next
    const int in_group = p.group * p.tiles_n, group = w.tile / in_group, first = group * p.group;
    const int left = p.tiles_m - first, wide = left < p.group ? left : p.group;
    const int at = w.tile - group * in_group;
    w.m = (first + at % wide) * p.cluster + rank;
    w.n = at / wide;
    w.tile = w.tile * p.cluster + rank;
    return w;
}

// The ring of stages, as both sides walk it.
struct ring {
    uint32_t stage, phase;
    template <int STAGES> __device__ __forceinline__ void next() {
        if (++stage == STAGES) {
            stage = 0;
            phase ^= 1;
        }
    }
};

template <int PANELS, int TOKENS, int STAGES>
static __device__ __forceinline__ void produce(const wn__gpu_spmm24_blocks &p, uint32_t base,
                                               int rank) {
    typedef layout<PANELS, TOKENS, STAGES> at;
    const uint32_t full = base + at::BARRIER_AT, empty = full + 8 * STAGES;
    const uint64_t policy = keep_in_l2();
    const int clusters = (int)gridDim.x / p.cluster, count = p.tiles_m * p.tiles_n * p.split;
    const size_t panel = (size_t)p.steps * WN_BLOCK24_BYTES;
    ring r = {0, 1};
    int turn = 0;
    for (int i = (int)blockIdx.x / p.cluster; i < count; i += clusters, turn ^= 1) {
        const work w = work_of(p, i, rank);
        // every second tile from the last step backwards: what L2 holds is used again
        const int by = turn != 0 ? -1 : 1;
        int k = turn != 0 ? w.first + w.steps - 1 : w.first;
        // features beyond the last panel: any numbers, nothing stores what comes of them
        const uint8_t *from[at::BLOCKS];
#pragma unroll
        for (int b = 0; b < at::BLOCKS; b++)
            from[b] = p.blocks + min(w.m * at::BLOCKS + b, p.panels - 1) * panel +
                      (size_t)k * WN_BLOCK24_BYTES;
#pragma unroll 1
        for (int s = 0; s < w.steps; s++, k += by) {
            const uint32_t barrier = full + 8 * r.stage;
            const uint32_t to = base + at::BLOCK_AT + r.stage * at::BLOCK_BYTES;
            barrier_wait(empty + 8 * r.stage, r.phase);
            barrier_expect(barrier, at::TOKEN_BYTES + at::BLOCK_BYTES);
#pragma unroll
            for (int b = 0; b < at::BLOCKS; b++) { // one thread does all this: little arithmetic
                copy_bytes(to + b * WN_BLOCK24_BYTES, from[b], WN_BLOCK24_BYTES, barrier, policy);
                from[b] += by * WN_BLOCK24_BYTES;
            }
            const uint32_t tokens = base + r.stage * at::TOKEN_BYTES;
            if (p.cluster == 1)
                copy_box(tokens, &p.x, barrier, k * 64, w.n * TOKENS);
            else
                copy_box_to(tokens + rank * (at::TOKEN_BYTES / 2), &p.x, barrier, k * 64,
                            w.n * TOKENS + rank * (TOKENS / 2), 3);
            r.next<STAGES>();
        }
    }
}

// A warpgroup that multiplies: its place in shared memory and among its threads.
struct consumer {
    uint32_t base, chunks, residuals, word;
    int which, thread, rank;
    uint32_t loads; // residual chunks so far: the phases of their barriers
};

// One step of 64 columns: words of what is kept, then PANELS products of two halves each. The
// registers of the words belong to products that are still running, so steps take turns with two
// sets.
template <class T, int PANELS, int TOKENS, int STAGES>
static __device__ __forceinline__ void step(const consumer &c, float (&d)[PANELS][TOKENS / 2],
                                            uint32_t (&e)[PANELS], const ring &r, bool first) {
    typedef layout<PANELS, TOKENS, STAGES> at;
    const uint32_t a =
        c.base + at::BLOCK_AT + r.stage * at::BLOCK_BYTES + c.which * PANELS * WN_BLOCK24_BYTES;
    const uint32_t b = c.base + r.stage * at::TOKEN_BYTES;
    barrier_wait(c.base + at::BARRIER_AT + 8 * r.stage, r.phase);
#pragma unroll
    for (int i = 0; i < PANELS; i++)
        asm volatile("ld.shared.u32 %0, [%1];"
                     : "=r"(e[i])
                     : "r"(a + i * WN_BLOCK24_BYTES + WN_BLOCK24_VALUES + 4 * c.thread));
    products_begin();
#pragma unroll
    for (int i = 0; i < PANELS; i++) {
        const uint32_t block = a + i * WN_BLOCK24_BYTES;
        sparse_product<T, TOKENS>::template run<0>(d[i], matrix_of(block, 512, 2),
                                                   matrix_of(b, 1024, 1), e[i], !first);
        sparse_product<T, TOKENS>::template run<1>(d[i], matrix_of(block + 32, 512, 2),
                                                   matrix_of(b + 64, 1024, 1), e[i], 1);
    }
    products_commit();
}

// Nothing reads a stage any more: said to the producers of the cluster, by one thread each.
template <int STAGES, int EMPTY_AT>
static __device__ __forceinline__ void release(const consumer &c, uint32_t stage, int cluster) {
    const uint32_t barrier = c.base + EMPTY_AT + 8 * stage;
    if (cluster == 1) {
        if (c.thread == 0) barrier_arrive(barrier);
    } else if (c.thread < cluster) {
        barrier_arrive_at(barrier, (uint32_t)c.thread);
    }
}

template <class T, int PANELS, int TOKENS, int STAGES>
static __device__ __forceinline__ void multiply(const consumer &c, float (&d)[PANELS][TOKENS / 2],
                                                ring *r, int steps, int cluster) {
    enum { EMPTY_AT = layout<PANELS, TOKENS, STAGES>::BARRIER_AT + 8 * STAGES };
    uint32_t odd[PANELS], even[PANELS], before = 0;
    int s = 0;
#pragma unroll 1
    while (s < steps) {
        step<T, PANELS, TOKENS, STAGES>(c, d, even, *r, s == 0);
        products_wait<1>();
        if (s > 0) release<STAGES, EMPTY_AT>(c, before, cluster);
        before = r->stage;
        r->next<STAGES>();
        if (++s == steps) break;
        step<T, PANELS, TOKENS, STAGES>(c, d, odd, *r, false);
        products_wait<1>();
        release<STAGES, EMPTY_AT>(c, before, cluster);
        before = r->stage;
        r->next<STAGES>();
        s++;
    }
    products_wait<0>();
    release<STAGES, EMPTY_AT>(c, before, cluster);
}

// Writes this part of a sum; the last to do so gets all parts, added in their order. True for it.
template <int PANELS, int TOKENS>
static __device__ __forceinline__ bool gather(const wn__gpu_spmm24_blocks &p, const consumer &c,
                                              float (&d)[PANELS][TOKENS / 2], const work &w) {
    enum { QUADS = PANELS * TOKENS / 8 };
    const int slot = w.tile * CONSUMERS + c.which;
    float4 *to = (float4 *)p.partial + (size_t)slot * p.split * QUADS * WARPGROUP + c.thread;
#pragma unroll
    for (int q = 0; q < QUADS; q++) {
        const float *v = &d[q / (TOKENS / 8)][q % (TOKENS / 8) * 4];
        __stcg(&to[(size_t)(w.part * QUADS + q) * WARPGROUP], make_float4(v[0], v[1], v[2], v[3]));
    }
    __threadfence();
    warpgroup_sync(c.which);
    if (c.thread == 0) {
        const unsigned before = atomicAdd(&p.arrived[slot], 1u);
        asm volatile("st.shared.u32 [%0], %1;" ::"r"(c.word), "r"(before) : "memory");
        if (before == (unsigned)p.split - 1) p.arrived[slot] = 0;
    }
    warpgroup_sync(c.which);
    unsigned before;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(before) : "r"(c.word) : "memory");
    if (before != (unsigned)p.split - 1) return false;
    __threadfence();
#pragma unroll
    for (int q = 0; q < QUADS; q++) {
        float *v = &d[q / (TOKENS / 8)][q % (TOKENS / 8) * 4];
        float4 sum = __ldcg(&to[(size_t)q * WARPGROUP]);
        for (int part = 1; part < p.split; part++) {
            const float4 more = __ldcg(&to[(size_t)(part * QUADS + q) * WARPGROUP]);
            sum.x += more.x;
            sum.y += more.y;
            sum.z += more.z;
            sum.w += more.w;
        }
        v[0] = sum.x;
        v[1] = sum.y;
        v[2] = sum.z;
        v[3] = sum.w;
    }
    return true;
}

// Chunk `chunk` of a tile's residual into its buffer; one thread calls it.
template <int PANELS, int TOKENS>
static __device__ __forceinline__ void load_residual(const wn__gpu_spmm24_blocks &p,
                                                     const consumer &c, const work &w, int chunk) {
    const int buffer = chunk % CHUNKS, panel = chunk / (TOKENS / CHUNK);
    const uint32_t barrier = c.residuals + 8 * buffer;
    barrier_expect(barrier, CHUNK_BYTES);
    copy_box(c.chunks + buffer * CHUNK_BYTES, &p.residual, barrier,
             ((w.m * CONSUMERS + c.which) * PANELS + panel) * 64,
             w.n * TOKENS + chunk % (TOKENS / CHUNK) * CHUNK);
}

static __device__ __forceinline__ float root(float x) {
    float r;
    asm("sqrt.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}

static __device__ __forceinline__ float squared(float z) {
    return z <= 0 ? 0 : z * z;
}

// 16 tokens by 16 features of a warp: two quads of sums, their epilogue, four matrices in shared
// memory whose rows are tokens.
template <class T, bool PLAIN>
static __device__ __forceinline__ void finish(const wn__gpu_spmm24_blocks &p, const float *sum,
                                              uint32_t at, const float (&bias)[2]) {
    float v[8];
#pragma unroll
    for (int i = 0; i < 8; i++)
        v[i] = sum[i];
#pragma unroll
    for (int i = 0; !PLAIN && i < 8; i++)
        v[i] += bias[i >> 1 & 1];
    if (!PLAIN && p.relu2 != 0) {
#pragma unroll
        for (int i = 0; i < 8; i++)
            v[i] = squared(v[i]);
    }
    if (!PLAIN && p.residual_given != 0) {
        uint32_t r[4];
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(at)
                     : "memory");
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float low = T::wide((uint16_t)r[i]), high = T::wide((uint16_t)(r[i] >> 16));
            v[2 * i] = p.gate != 0 ? v[2 * i] * (2 * root(low)) : v[2 * i] + low;
            v[2 * i + 1] = p.gate != 0 ? v[2 * i + 1] * (2 * root(high)) : v[2 * i + 1] + high;
        }
    }
    asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(at),
                 "r"(T::pair(v[0], v[1])), "r"(T::pair(v[2], v[3])), "r"(T::pair(v[4], v[5])),
                 "r"(T::pair(v[6], v[7]))
                 : "memory");
}

// All of a tile: chunk by chunk through shared memory, which transposes. PLAIN: y = x W^T, in code
// of its own, which stays in the instruction cache.
template <class T, int PANELS, int TOKENS, bool PLAIN>
static __device__ __forceinline__ void store(const wn__gpu_spmm24_blocks &p, consumer *c,
                                             const float (&d)[PANELS][TOKENS / 2], const work &w) {
    enum { EACH = TOKENS / CHUNK, ALL = PANELS * EACH };
    const int warp = c->thread >> 5, lane = c->thread & 31;
    const int token = 8 * (lane >> 4) + (lane & 7), column = 2 * warp + (lane >> 3 & 1);
    const uint32_t place = token * 128 + ((column ^ (token & 7)) << 4);
#pragma unroll
    for (int i = 0; i < PANELS; i++) {
        const int feature = ((w.m * CONSUMERS + c->which) * PANELS + i) * 64;
        const int mine = feature + 16 * warp + (lane >> 2);
        float bias[2] = {0, 0};
        if (!PLAIN && p.bias != nullptr) {
            if (mine < p.rows) bias[0] = T::wide(p.bias[mine]);
            if (mine + 8 < p.rows) bias[1] = T::wide(p.bias[mine + 8]);
        }
#pragma unroll
        for (int n = 0; n < EACH; n++) {
            const int chunk = i * EACH + n, buffer = chunk % CHUNKS;
            const uint32_t to = c->chunks + buffer * CHUNK_BYTES;
            if (!PLAIN && p.residual_given != 0) {
                barrier_wait(c->residuals + 8 * buffer, c->loads / CHUNKS & 1);
                c->loads++;
            } else {
                if (c->thread == 0) stores_read<CHUNKS - 1>();
                __syncwarp();
                warpgroup_sync(c->which);
            }
#pragma unroll
            for (int j = 0; j < CHUNK / 16; j++)
                finish<T, PLAIN>(p, &d[i][n * (CHUNK / 2) + 8 * j], to + place + j * 16 * 128,
                                 bias);
            writes_to_copies();
            warpgroup_sync(c->which);
            if (c->thread == 0) {
                store_box(&p.y, to, feature, w.n * TOKENS + n * CHUNK);
                if (!PLAIN && p.residual_given != 0 && chunk + CHUNKS < ALL) {
                    stores_read<0>();
                    load_residual<PANELS, TOKENS>(p, *c, w, chunk + CHUNKS);
                }
            }
            __syncwarp();
        }
    }
}

template <class T, int PANELS, int TOKENS, int STAGES>
static __device__ __forceinline__ void consume(const wn__gpu_spmm24_blocks &p, consumer c) {
    const int clusters = (int)gridDim.x / p.cluster, count = p.tiles_m * p.tiles_n * p.split;
    ring r = {0, 0};
    for (int i = (int)blockIdx.x / p.cluster; i < count; i += clusters) {
        const work w = work_of(p, i, c.rank);
        float d[PANELS][TOKENS / 2];
        multiply<T, PANELS, TOKENS, STAGES>(c, d, &r, w.steps, p.cluster);
        if (p.split > 1 && !gather<PANELS, TOKENS>(p, c, d, w)) continue;
        if (p.bias == nullptr && p.relu2 == 0 && p.residual_given == 0) {
            store<T, PANELS, TOKENS, true>(p, &c, d, w);
            continue;
        }
        if (p.residual_given != 0 && c.thread == 0) {
            stores_read<0>();
            for (int chunk = 0; chunk < CHUNKS; chunk++)
                load_residual<PANELS, TOKENS>(p, c, w, chunk);
        }
        __syncwarp();
        store<T, PANELS, TOKENS, false>(p, &c, d, w);
    }
    if (c.thread == 0) stores_done();
}

template <class T, int PANELS, int TOKENS, int STAGES>
static __device__ __forceinline__ void spmm24_blocks(const wn__gpu_spmm24_blocks &p) {
    typedef layout<PANELS, TOKENS, STAGES> at;
    extern __shared__ __align__(1024) uint8_t memory[];
    const uint32_t base = shared_address(memory);
    // the same in a whole warp, which lets descriptors stay in uniform registers
    const int group = __shfl_sync(0xFFFFFFFFu, (int)threadIdx.x / WARPGROUP, 0);
    const int rank = (int)cluster_rank();
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) {
            barrier_init(base + at::BARRIER_AT + 8 * i, 1);
            barrier_init(base + at::BARRIER_AT + 8 * (STAGES + i), CONSUMERS * p.cluster);
        }
        for (int i = 0; i < CONSUMERS * CHUNKS; i++)
            barrier_init(base + at::RESIDUAL_AT + 8 * i, 1);
        barrier_init_done();
    }
    cluster_sync();
    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (threadIdx.x < 32 && elected()) produce<PANELS, TOKENS, STAGES>(p, base, rank);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        const int which = group - 1;
        const consumer c = {base,
                            base + at::CHUNK_AT + which * CHUNKS * CHUNK_BYTES,
                            base + at::RESIDUAL_AT + which * CHUNKS * 8,
                            base + at::WORD_AT + which * 4,
                            which,
                            (int)threadIdx.x % WARPGROUP,
                            rank,
                            0};
        consume<T, PANELS, TOKENS, STAGES>(p, c);
    }
    __syncwarp();
    cluster_sync(); // nobody's shared memory goes while another block may write to it
}

#define ENTRY(name, T, panels, tokens, stages)                                                     \
    extern "C" __global__ void __launch_bounds__(THREADS, 1)                                       \
        name(const __grid_constant__ wn__gpu_spmm24_blocks p) {                                    \
        spmm24_blocks<T, panels, tokens, stages>(p);                                               \
    }

#define ENTRIES(tile, panels, tokens, stages)                                                      \
    ENTRY(wn_spmm24_blocks_##tile##_bf16, type_bf16, panels, tokens, stages)                       \
    ENTRY(wn_spmm24_blocks_##tile##_f16, type_f16, panels, tokens, stages)

ENTRIES(128x256, 1, 256, 5)
ENTRIES(256x192, 2, 192, 5)
ENTRIES(256x128, 2, 128, 6)
ENTRIES(128x128, 1, 128, 8)
ENTRIES(128x64, 1, 64, 8)
