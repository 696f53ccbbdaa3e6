// SPDX-License-Identifier: MIT
/* Tiles of products of packed blocks, how their operands come into shared memory, and their sums.
 * What spmm24_tile.cuh says of them. */
#ifndef WN_KERNELS_CUDA_COMMON_SPMM24_STEPS_CUH
#define WN_KERNELS_CUDA_COMMON_SPMM24_STEPS_CUH

#include "kernels/cuda/args_blocks.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/common/ahead.cuh"
#include "kernels/cuda/common/wgmma_sp.cuh"

enum { WARPGROUP = 128, WARPS = 4 };

// What a tile is: the type of its operands (wgmma_sp.cuh) and its sizes.
//
// Shared memory, in bytes from its first: tokens of all stages, blocks of all stages, chunks,
// barriers (full and empty ones of stages, those of residuals, one a warpgroup for sums that come),
// a word for each warpgroup, in 8 bits scales of its tokens. Sums that are sent and those that
// come take the place of stages.
template <class OPERAND, int WARPGROUPS, int PANELS_OF_EACH, int TOKENS_OF_TILE, int STAGES_OF_RING>
struct tile {
    typedef OPERAND operand;
    typedef typename OPERAND::out out;
    enum {
        CONSUMERS = WARPGROUPS,
        PANELS = PANELS_OF_EACH,
        TOKENS = TOKENS_OF_TILE,
        STAGES = STAGES_OF_RING,
        THREADS = (CONSUMERS + 1) * WARPGROUP,
        BLOCKS = CONSUMERS * PANELS,
        CHUNK =
            WN_SPMM24_CHUNK(64 * BLOCKS, TOKENS, OPERAND::BLOCK), // tokens that are stored at once
        CHUNKS = WN_SPMM24_CHUNKS(64 * BLOCKS, TOKENS, OPERAND::BLOCK), // buffers of a warpgroup
        CHUNK_BYTES = CHUNK * 128,
        CHUNK_SUMS = CHUNK * 64 * 4, // bytes
        TAIL =
            WN_SPMM24_TAIL(64 * BLOCKS, TOKENS, OPERAND::BLOCK), // tokens of a panel's last chunk
        EACH = (TOKENS + CHUNK - 1) / CHUNK,                     // chunks of a panel
        ALL = PANELS * EACH,                                     // of a warpgroup
        WORDS = OPERAND::WORDS,
        SHARES = CONSUMERS == 2 && PANELS == 1 && TOKENS <= 128,
        WHOLE = WN_SPMM24_WHOLE(64 * BLOCKS, TOKENS, OPERAND::BLOCK), // no sum is cut into parts
        COPIED = WHOLE ? 1 : BLOCKS,                 // blocks of a step that a thread copies
        ONE_SET = WHOLE && PANELS == 2 && WORDS > 1, // of words: no registers for a second one
        RESTS = PANELS == 2 && TOKENS == 192,        // takes narrower ones, of 64 or 128 tokens
        TOKEN_BYTES = TOKENS * 128,
        BLOCK_BYTES = BLOCKS * OPERAND::BLOCK,
        BLOCK_AT = STAGES * TOKEN_BYTES,
        CHUNK_AT = (BLOCK_AT + STAGES * BLOCK_BYTES + 1023) / 1024 * 1024,
        BARRIER_AT = CHUNK_AT + CONSUMERS * CHUNKS * CHUNK_BYTES,
        RESIDUAL_AT = BARRIER_AT + 16 * STAGES,
        PARTS_AT = RESIDUAL_AT + 8 * CONSUMERS * CHUNKS,
        WORD_AT = PARTS_AT + 8 * CONSUMERS,
        SCALE_AT = WORD_AT + 4 * CONSUMERS, // of tokens, for each warpgroup
        SCALE_BYTES = WN_SPMM24_SCALES(64 * BLOCKS, TOKENS, CONSUMERS, OPERAND::BLOCK),
        NARROW = 0
    };
    static_assert(SCALE_AT + CONSUMERS * SCALE_BYTES ==
                      WN_SPMM24_SHARED(64 * BLOCKS, TOKENS, CONSUMERS, STAGES, OPERAND::BLOCK),
                  "the host asks for other bytes");
};

// The same with fewer tokens, in the same places.
template <class at, int TOKENS_OF_TILE> struct narrower : at {
    typedef at wide;
    enum {
        TOKENS = TOKENS_OF_TILE,
        TAIL = at::CHUNK,
        EACH = TOKENS / at::CHUNK,
        ALL = at::PANELS * EACH,
        SHARES = 0,
        RESTS = 0,
        NARROW = 1
    };
};

// Where a piece of work lies: a tile of features and tokens, and the steps of its sum.
struct work {
    int m, token, tokens, tile, part, first, steps;
};

template <class at>
static __device__ __forceinline__ work work_of(const wn__gpu_spmm24_blocks &p, int index,
                                               int rank) {
    work w = {0, 0, at::TOKENS, index, 0, 0, p.steps};
    if (at::RESTS && index >= p.tiles_m * p.tiles_n * p.split) { // split is 1
        index -= p.tiles_m * p.tiles_n;
        w.m = index % p.rest_tiles_m * p.cluster + rank;
        w.tokens = p.rest;
        w.token = p.tiles_n * at::TOKENS + index / p.rest_tiles_m * p.rest;
        return w;
    }
    if (!at::WHOLE && p.shared > 1) {
        w.first = p.steps * rank / p.shared;
        w.steps = p.steps * (rank + 1) / p.shared - w.first;
        rank = 0;
    } else if (!at::WHOLE &&
               p.split > 1) { // a division takes longer than most of what is done for a tile
        w.part = index % p.split;
        w.tile = index / p.split;
        w.first = p.steps * w.part / p.split;
        w.steps = p.steps * (w.part + 1) / p.split - w.first;
    }
    // groups of `group` tiles along the features, all tokens of a group before the next
    const int in_group = p.group * p.tiles_n, group = w.tile / in_group, first = group * p.group;
    const int left = p.tiles_m - first, wide = left < p.group ? left : p.group;
    const int slot = w.tile - group * in_group;
    w.m = (first + slot % wide) * p.cluster + rank;
    w.token = slot / wide * at::TOKENS;
    w.tile = w.tile * p.cluster + rank;
    return w;
}

// The blocks of a step, and what will have arrived when its stage is full.
template <class at>
static __device__ __forceinline__ void fetch_blocks(uint32_t base, uint32_t stage,
                                                    const uint8_t *(&from)[at::COPIED], int first,
                                                    int by, int tokens, uint64_t policy) {
    enum { BLOCK = at::operand::BLOCK };
    const uint32_t barrier = base + at::BARRIER_AT + 8 * stage;
    const uint32_t to = base + at::BLOCK_AT + stage * at::BLOCK_BYTES;
    if (first == 0) barrier_expect(barrier, tokens * 128 + at::BLOCK_BYTES);
#pragma unroll
    for (int b = 0; b < at::COPIED; b++) { // one thread does all this: little arithmetic
        copy_bytes(to + (first + b) * BLOCK, from[b], BLOCK, barrier, policy);
        from[b] += by * BLOCK;
    }
}

// What a thread copies: blocks of a step (its `first` and those behind), the box of tokens, or
// both.
enum { COPIES_BLOCKS = 1, COPIES_TOKENS = 2, COPIES_ALL = 3 };

template <class at, int COPIES>
static __device__ __forceinline__ void produce(const wn__gpu_spmm24_blocks &p, uint32_t base,
                                               int rank, int first) {
    const uint32_t full = base + at::BARRIER_AT, empty = full + 8 * at::STAGES;
    const uint64_t policy = keep_in_l2();
    const int cluster = p.cluster * p.shared, clusters = (int)gridDim.x / cluster;
    const int count = p.tiles_m * p.tiles_n * p.split + p.rest_tiles_m * p.rest_tiles_n;
    const int BLOCK = at::operand::BLOCK;
    const size_t panel = (size_t)p.steps * BLOCK;
    ring r = {0, 1};
    int turn = 0, ahead = 0; // steps whose blocks are on their way
    if (at::WHOLE) wait_for_ahead();
    for (int i = (int)blockIdx.x / cluster; i < count; i += clusters, turn ^= 1) {
        const work w = work_of<at>(p, i, rank);
        const bool last = w.token + w.tokens > p.tokens; // with a box of its own
        const int tokens = last ? p.tokens - w.token : w.tokens;
        // a cluster of two copies a part each
        const int own = p.cluster == 1 ? 0 : rank * WN_SPMM24_PART(tokens, 2);
        const void *map = last                                  ? &p.x_last[own != 0]
                          : at::RESTS && w.tokens != at::TOKENS ? &p.x_rest
                          : at::TOKENS % 16 != 0 && own != 0    ? &p.x_second
                                                                : &p.x;
        asm volatile("" : "+l"(map)); // an address, not found again in each step
        const uint32_t to = base + own * 128;
        const int token = own < tokens ? w.token + own : -1; // -1: no part is left
        // every second tile from the last step backwards: what L2 holds is used again
        const int by = turn != 0 ? -1 : 1;
        int k = turn != 0 ? w.first + w.steps - 1 : w.first;
        // features beyond the last panel: any numbers, nothing stores what comes of them
        const uint8_t *from[at::COPIED];
#pragma unroll
        for (int b = 0; b < at::COPIED; b++)
            from[b] = p.blocks + min(w.m * at::BLOCKS + first + b, p.panels - 1) * panel +
                      (size_t)k * BLOCK;
        // blocks that nothing ahead writes do not wait for it
        if (!at::WHOLE && p.early && i == (int)blockIdx.x / cluster) {
            ahead = min((int)at::STAGES, w.steps);
#pragma unroll 1
            for (int s = 0; s < ahead; s++)
                fetch_blocks<at>(base, s, from, first, by, tokens, policy);
        }
        if (!at::WHOLE && i == (int)blockIdx.x / cluster) wait_for_ahead();
#pragma unroll 1
        for (int s = 0; s < w.steps; s++, k += by) {
            const uint32_t barrier = full + 8 * r.stage;
            if (ahead > 0) {
                ahead--;
            } else {
                barrier_wait(empty + 8 * r.stage, r.phase);
                if (COPIES & COPIES_BLOCKS)
                    fetch_blocks<at>(base, r.stage, from, first, by, tokens, policy);
            }
            if ((COPIES & COPIES_TOKENS) && token >= 0) {
                if (p.cluster == 1)
                    copy_box(to + r.stage * at::TOKEN_BYTES, map, barrier, k * at::operand::COLUMNS,
                             token);
                else
                    copy_box_to(to + r.stage * at::TOKEN_BYTES, map, barrier,
                                k * at::operand::COLUMNS, token, 3);
            }
            r.next<at::STAGES>();
        }
    }
}

// The 16 bytes of a chunk that a thread addresses for stmatrix.
static __device__ __forceinline__ uint32_t place_of(int thread) {
    const int lane = thread & 31, token = 8 * (lane >> 4) + (lane & 7);
    const int column = 2 * (thread >> 5) + (lane >> 3 & 1);
    return (uint32_t)(token * 128 + ((column ^ (token & 7)) << 4));
}

// A warpgroup that multiplies: its place in shared memory and among its threads.
struct consumer {
    uint32_t base;
    uint32_t place; // place_of(thread)
    int which, thread, rank;
    uint32_t phases; // of the barriers of residual chunks, a bit for each buffer

    // The thread among those of its warpgroup, found again where no register may hold it.
    template <class at> __device__ __forceinline__ int self() const {
        if (!at::ONE_SET) return thread;
        int all;
        asm volatile("mov.u32 %0, %%tid.x;" : "=r"(all));
        return all % WARPGROUP;
    }

    template <class at> __device__ __forceinline__ uint32_t chunk(int n) const {
        return base + at::CHUNK_AT + (which * at::CHUNKS + n % at::CHUNKS) * at::CHUNK_BYTES;
    }
    template <class at> __device__ __forceinline__ uint32_t arrived(int n) const { // a residual
        return base + at::RESIDUAL_AT + (which * at::CHUNKS + n % at::CHUNKS) * 8;
    }
    template <class at> __device__ __forceinline__ uint32_t parts() const { // sums that come
        return base + at::PARTS_AT + which * 8;
    }
    template <class at> __device__ __forceinline__ uint32_t word() const {
        return base + at::WORD_AT + which * 4;
    }
    template <class at> __device__ __forceinline__ uint32_t scales() const {
        return base + at::SCALE_AT + which * at::SCALE_BYTES;
    }
};

// A panel's words of what is kept, of the block at `block`.
template <class at>
static __device__ __forceinline__ void load_words(int thread, uint32_t block,
                                                  uint32_t (&e)[at::WORDS]) {
#pragma unroll
    for (int j = 0; j < at::WORDS; j++)
        asm volatile("ld.shared.u32 %0, [%1];"
                     : "=r"(e[j])
                     : "r"(block + WN_BLOCK24_VALUES + 4 * (thread + j * WARPGROUP)));
}

// A panel's products of a step, of two halves.
template <class at>
static __device__ __forceinline__ void panel(uint32_t block, uint32_t tokens,
                                             float (&d)[at::TOKENS / 2],
                                             const uint32_t (&e)[at::WORDS], bool first) {
    typedef sparse_product<typename at::operand, at::TOKENS> product;
    product::template run<0>(d, matrix_of(block, 512, 2), matrix_of(tokens, 1024, 1), e[0], !first);
    product::template run<1>(d, matrix_of(block + 32, 512, 2), matrix_of(tokens + 64, 1024, 1),
                             e[at::WORDS - 1], 1);
}

template <class at>
static __device__ __forceinline__ uint32_t blocks_of(const consumer &c, uint32_t stage) {
    return c.base + at::BLOCK_AT + stage * at::BLOCK_BYTES +
           c.which * at::PANELS * at::operand::BLOCK;
}

// One step: words of what is kept, then PANELS products. The registers of the words belong to
// products that are still running, so steps take turns with two sets.
template <class at>
static __device__ __forceinline__ void
step(const consumer &c, float (&d)[at::PANELS][at::TOKENS / 2],
     uint32_t (&e)[at::PANELS][at::WORDS], const ring &r, bool first) {
    enum { BLOCK = at::operand::BLOCK };
    const uint32_t a = blocks_of<at>(c, r.stage), b = c.base + r.stage * at::TOKEN_BYTES;
    barrier_wait(c.base + at::BARRIER_AT + 8 * r.stage, r.phase);
#pragma unroll
    for (int i = 0; i < at::PANELS; i++)
        load_words<at>(c.thread, a + i * BLOCK, e[i]);
    products_begin();
#pragma unroll
    for (int i = 0; i < at::PANELS; i++)
        panel<at>(a + i * BLOCK, b, d[i], e[i], first);
    products_commit();
}

// No warp of this warpgroup reads a stage any more: said to the producers of the cluster.
template <class at>
static __device__ __forceinline__ void release(const consumer &c, int thread, uint32_t stage,
                                               int cluster) {
    const uint32_t barrier = c.base + at::BARRIER_AT + 8 * (at::STAGES + stage);
    const int lane = thread & 31;
    __syncwarp();
    if (cluster == 1) {
        if (lane == 0) barrier_arrive(barrier);
    } else if (lane < cluster) {
        barrier_arrive_at(barrier, (uint32_t)lane);
    }
}

// The sum of a tile with one set of words: those of a panel are free once the products of the other
// one are all that is left.
template <class at>
static __device__ __forceinline__ void multiply_in_turns(const consumer &c,
                                                         float (&d)[at::PANELS][at::TOKENS / 2],
                                                         ring *r, int steps, int cluster) {
    const int thread = c.template self<at>();
    uint32_t e[at::PANELS][at::WORDS], before = 0;
#pragma unroll 1
    for (int s = 0; s < steps; s++) {
        const uint32_t a = blocks_of<at>(c, r->stage), b = c.base + r->stage * at::TOKEN_BYTES;
        barrier_wait(c.base + at::BARRIER_AT + 8 * r->stage, r->phase);
#pragma unroll
        for (int i = 0; i < at::PANELS; i++) {
            load_words<at>(thread, a + i * at::operand::BLOCK, e[i]);
            products_begin();
            panel<at>(a + i * at::operand::BLOCK, b, d[i], e[i], s == 0);
            products_commit();
            products_wait<1>();
            if (i == 0 && s > 0) release<at>(c, thread, before, cluster);
        }
        before = r->stage;
        r->template next<at::STAGES>();
    }
    products_wait<0>();
    release<at>(c, thread, before, cluster);
}

template <class at>
static __device__ __forceinline__ void multiply(const consumer &c,
                                                float (&d)[at::PANELS][at::TOKENS / 2], ring *r,
                                                int steps, int cluster) {
    if (at::ONE_SET) {
        multiply_in_turns<at>(c, d, r, steps, cluster);
        return;
    }
    uint32_t odd[at::PANELS][at::WORDS], even[at::PANELS][at::WORDS], before = 0;
    int s = 0;
#pragma unroll 1
    while (s < steps) {
        step<at>(c, d, even, *r, s == 0);
        products_wait<1>();
        if (s > 0) release<at>(c, c.thread, before, cluster);
        before = r->stage;
        r->template next<at::STAGES>();
        if (++s == steps) break;
        step<at>(c, d, odd, *r, false);
        products_wait<1>();
        release<at>(c, c.thread, before, cluster);
        before = r->stage;
        r->template next<at::STAGES>();
        s++;
    }
    products_wait<0>();
    release<at>(c, c.thread, before, cluster);
}

#endif
