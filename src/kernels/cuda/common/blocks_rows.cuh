// SPDX-License-Identifier: MIT
/* S b on compute capability 9.0, S 2:4 along its rows in packed blocks, up to the sums: what
 * blocks_rows.cu and relu24_blocks.cu share. One warp copies, two warpgroups multiply, each PANELS
 * panels of 64 rows by COLUMNS columns. STAGES steps of 64 of k are in flight. Blocks of threads
 * stay and walk through tiles. A sum may be cut into parts along k: every part is written, and the
 * warpgroup that comes last adds them in their order.
 *
 * b is the second operand of wgmma along either of its sides: by columns of k (boxes of 64 of k by
 * all columns of the tile) or by rows (ACROSS: boxes of 64 x 64, the instruction transposes), so no
 * copy of it is made. The last tile along the columns copies those that there are; what lies behind
 * them in shared memory is multiplied and stored nowhere. */
#ifndef WN_KERNELS_CUDA_COMMON_BLOCKS_ROWS_CUH
#define WN_KERNELS_CUDA_COMMON_BLOCKS_ROWS_CUH

#include "kernels/cuda/args_rows.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/common/hopper.cuh"
#include "kernels/cuda/common/wgmma_sp_rows.cuh"

enum {
    WARPGROUP = 128,
    CONSUMERS = 2,
    THREADS = (CONSUMERS + 1) * WARPGROUP,
    CHUNK_BYTES = 16 * 128 // of a warp, for what leaves: 16 rows by 64 columns of 16 bits
};

// Shared memory, in bytes from its first: b of all stages, blocks of all stages, a chunk a warp,
// barriers (full and empty ones), a word for each warpgroup.
template <int PANELS, int COLUMNS, int STAGES> struct layout {
    enum {
        BLOCKS = CONSUMERS * PANELS,
        COLUMN_BYTES = COLUMNS * 128,
        BLOCK_BYTES = BLOCKS * WN_BLOCK24_BYTES,
        BLOCK_AT = STAGES * COLUMN_BYTES,
        CHUNK_AT = (BLOCK_AT + STAGES * BLOCK_BYTES + 1023) / 1024 * 1024,
        BARRIER_AT = CHUNK_AT + 4 * CONSUMERS * CHUNK_BYTES,
        WORD_AT = BARRIER_AT + 16 * STAGES
    };
    static_assert(WORD_AT + 4 * CONSUMERS ==
                      WN_ROWS_SHARED(64 * BLOCKS, COLUMNS, STAGES, WN_BLOCK24_BYTES),
                  "the host asks for other bytes");
};

struct work {
    int m, n, tile, part, first, steps;
};

static __device__ __forceinline__ work work_of(const wn__gpu_blocks_rows &p, int index) {
    work w;
    w.part = index % p.split;
    w.tile = index / p.split;
    w.first = (int)((int64_t)p.steps * w.part / p.split);
    w.steps = (int)((int64_t)p.steps * (w.part + 1) / p.split) - w.first;
    // groups of `group` tiles along the rows, all columns of a group before the next
    const int in_group = p.group * p.tiles_n, group = w.tile / in_group, first = group * p.group;
    const int left = p.tiles_m - first, wide = left < p.group ? left : p.group;
    const int at = w.tile - group * in_group;
    w.m = first + at % wide;
    w.n = at / wide;
    return w;
}

template <int PANELS, int COLUMNS, int STAGES, bool ACROSS>
static __device__ __forceinline__ void produce(const wn__gpu_blocks_rows &p, uint32_t base) {
    typedef layout<PANELS, COLUMNS, STAGES> at;
    const uint32_t full = base + at::BARRIER_AT, empty = full + 8 * STAGES;
    const uint64_t policy = keep_in_l2();
    const int count = p.tiles_m * p.tiles_n * p.split;
    const size_t panel = (size_t)p.steps * WN_BLOCK24_BYTES;
    ring r = {0, 1};
    for (int i = (int)blockIdx.x; i < count; i += (int)gridDim.x) {
        const work w = work_of(p, i);
        const bool last = p.last > 0 && w.n == p.tiles_n - 1;
        const int boxes = last ? (p.last + 63) / 64 : COLUMNS / 64; // ACROSS
        const uint32_t bytes =
            ACROSS ? (uint32_t)boxes * 8192 : (uint32_t)(last ? p.last * 128 : at::COLUMN_BYTES);
        // rows beyond the last panel: any numbers, nothing stores what comes of them
        const uint8_t *from[at::BLOCKS];
#pragma unroll
        for (int b = 0; b < at::BLOCKS; b++)
            from[b] = p.blocks + min(w.m * at::BLOCKS + b, p.panels - 1) * panel +
                      (size_t)w.first * WN_BLOCK24_BYTES;
#pragma unroll 1
        for (int s = 0; s < w.steps; s++) {
            const uint32_t barrier = full + 8 * r.stage;
            const uint32_t to = base + at::BLOCK_AT + r.stage * at::BLOCK_BYTES;
            const uint32_t columns = base + r.stage * at::COLUMN_BYTES;
            barrier_wait(empty + 8 * r.stage, r.phase);
            barrier_expect(barrier, bytes + at::BLOCK_BYTES);
#pragma unroll
            for (int b = 0; b < at::BLOCKS; b++) {
                copy_bytes(to + b * WN_BLOCK24_BYTES, from[b], WN_BLOCK24_BYTES, barrier, policy);
                from[b] += WN_BLOCK24_BYTES;
            }
            if (!ACROSS)
                copy_box(columns, last ? &p.b_last : &p.b, barrier, (w.first + s) * 64,
                         w.n * COLUMNS);
#pragma unroll
            for (int j = 0; ACROSS && j < COLUMNS / 64; j++)
                if (j < boxes)
                    copy_box(columns + j * 8192, &p.b, barrier, w.n * COLUMNS + j * 64,
                             (w.first + s) * 64);
            r.next<STAGES>();
        }
    }
}

// A warpgroup that multiplies: its place in shared memory and among its threads.
struct consumer {
    uint32_t base, chunk, word;
    int which, thread;
};

// One step of 64 of k: words of what is kept, then PANELS products of two halves each. The
// registers of the words belong to products that are still running, so steps take turns with two
// sets.
template <class T, int PANELS, int COLUMNS, int STAGES, bool ACROSS>
static __device__ __forceinline__ void step(const consumer &c, float (&d)[PANELS][COLUMNS / 2],
                                            uint32_t (&e)[PANELS], const ring &r, bool first) {
    typedef layout<PANELS, COLUMNS, STAGES> at;
    typedef sparse_product_rows<T, COLUMNS, ACROSS> product;
    const uint32_t a =
        c.base + at::BLOCK_AT + r.stage * at::BLOCK_BYTES + c.which * PANELS * WN_BLOCK24_BYTES;
    const uint32_t b = c.base + r.stage * at::COLUMN_BYTES;
    const uint64_t low = ACROSS ? matrix_across(b, 8192) : matrix_of(b, 1024, 1);
    const uint64_t high = ACROSS ? matrix_across(b + 4096, 8192) : matrix_of(b + 64, 1024, 1);
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
        product::template run<0>(d[i], matrix_of(block, 512, 2), low, e[i], !first);
        product::template run<1>(d[i], matrix_of(block + 32, 512, 2), high, e[i], 1);
    }
    products_commit();
}

// This warp reads a stage no more: said to the copies. Every warp speaks for itself, because what
// other warps have read of words is ordered before an arrival by no wait for products.
static __device__ __forceinline__ void release(const consumer &c, uint32_t barrier) {
    __syncwarp();
    if ((c.thread & 31) == 0) barrier_arrive(barrier);
}

template <class T, int PANELS, int COLUMNS, int STAGES, bool ACROSS>
static __device__ __forceinline__ void multiply(const consumer &c, float (&d)[PANELS][COLUMNS / 2],
                                                ring *r, int steps) {
    const uint32_t empty = c.base + layout<PANELS, COLUMNS, STAGES>::BARRIER_AT + 8 * STAGES;
    uint32_t odd[PANELS], even[PANELS], before = 0;
    int s = 0;
#pragma unroll 1
    while (s < steps) {
        step<T, PANELS, COLUMNS, STAGES, ACROSS>(c, d, even, *r, s == 0);
        products_wait<1>();
        if (s > 0) release(c, empty + 8 * before);
        before = r->stage;
        r->next<STAGES>();
        if (++s == steps) break;
        step<T, PANELS, COLUMNS, STAGES, ACROSS>(c, d, odd, *r, false);
        products_wait<1>();
        release(c, empty + 8 * before);
        before = r->stage;
        r->next<STAGES>();
        s++;
    }
    products_wait<0>();
    release(c, empty + 8 * before);
}

// Writes this part of a sum; the last to do so gets all parts, added in their order. True for it.
template <int PANELS, int COLUMNS>
static __device__ __forceinline__ bool gather(const wn__gpu_blocks_rows &p, const consumer &c,
                                              float (&d)[PANELS][COLUMNS / 2], const work &w) {
    enum { EACH = COLUMNS / 8, QUADS = PANELS * EACH };
    const int slot = w.tile * CONSUMERS + c.which;
    float4 *to = (float4 *)p.partial + (size_t)slot * p.split * QUADS * WARPGROUP + c.thread;
#pragma unroll
    for (int q = 0; q < QUADS; q++) {
        const float *v = &d[q / EACH][q % EACH * 4];
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
        float *v = &d[q / EACH][q % EACH * 4];
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

/* The block of threads: barriers, roles, and `finish`(p, c, d, w) for the sums of each tile. */
template <class T, int PANELS, int COLUMNS, int STAGES, bool ACROSS, class FINISH>
static __device__ __forceinline__ void consume(const wn__gpu_blocks_rows &p, const consumer &c,
                                               FINISH finish) {
    const int count = p.tiles_m * p.tiles_n * p.split;
    ring r = {0, 0};
    for (int i = (int)blockIdx.x; i < count; i += (int)gridDim.x) {
        const work w = work_of(p, i);
        float d[PANELS][COLUMNS / 2];
        multiply<T, PANELS, COLUMNS, STAGES, ACROSS>(c, d, &r, w.steps);
        if (p.split > 1 && !gather<PANELS, COLUMNS>(p, c, d, w)) continue;
        finish(p, c, d, w);
    }
    if ((c.thread & 31) == 0) stores_done();
}

template <class T, int PANELS, int COLUMNS, int STAGES, bool ACROSS, class FINISH>
static __device__ __forceinline__ void blocks_rows(const wn__gpu_blocks_rows &p, FINISH finish) {
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
        if (threadIdx.x < 32 && elected()) produce<PANELS, COLUMNS, STAGES, ACROSS>(p, base);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        const int which = group - 1;
        const consumer c = {base, base + at::CHUNK_AT + which * 4 * CHUNK_BYTES,
                            base + at::WORD_AT + which * 4, which, (int)threadIdx.x % WARPGROUP};
        consume<T, PANELS, COLUMNS, STAGES, ACROSS>(p, c, finish);
    }
}

#endif
