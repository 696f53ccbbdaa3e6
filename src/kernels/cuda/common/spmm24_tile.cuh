// SPDX-License-Identifier: MIT
/* y = act(x W^T + bias) + residual, W in packed blocks: the tile is computed as its transpose,
 * features by tokens, because only the first operand of wgmma may be sparse.
 *
 * One warp copies (bulk copies of blocks, boxes of x), CONSUMERS warpgroups multiply, each PANELS
 * panels of 64 features by TOKENS tokens. STAGES steps of 128 bytes of a row of x are in flight.
 * Blocks of threads stay and walk through tiles; two that form a cluster take the same tokens and
 * each copy half of them to both. Where sums leave a thread that copies few registers (WHOLE), a
 * thread copies each block and another the box, none ahead of the launch before. Behind all tiles
 * there may be narrower ones (`rest`), for a last wave that would leave processors without one. A
 * sum may be cut into parts along k in one of two ways: the blocks of a cluster take a part each
 * and send each other what they do not finish themselves; or every part is written, and the
 * warpgroup that comes last adds them in their order.
 */
#ifndef WN_KERNELS_CUDA_COMMON_SPMM24_TILE_CUH
#define WN_KERNELS_CUDA_COMMON_SPMM24_TILE_CUH

#include "kernels/cuda/common/spmm24_steps.cuh"

// Sixteen sums of a thread and chunk to or from shared memory.
static __device__ __forceinline__ void put_chunk(uint32_t to, const float *v) {
#pragma unroll
    for (int q = 0; q < 4; q++)
        asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(to + q * 16 * WARPGROUP),
                     "f"(v[4 * q]), "f"(v[4 * q + 1]), "f"(v[4 * q + 2]), "f"(v[4 * q + 3])
                     : "memory");
}
static __device__ __forceinline__ void add_chunk(uint32_t from, float *v) {
#pragma unroll
    for (int q = 0; q < 4; q++) {
        float part[4];
        asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
                     : "=f"(part[0]), "=f"(part[1]), "=f"(part[2]), "=f"(part[3])
                     : "r"(from + q * 16 * WARPGROUP)
                     : "memory");
#pragma unroll
        for (int i = 0; i < 4; i++)
            v[4 * q + i] += part[i];
    }
}

// Which chunks of a warpgroup's tile a block of threads finishes: an equal share of each
// warpgroup's where there are as many, else of all warpgroups' together.
struct chunks {
    int first, end;
};
template <class at>
static __device__ __forceinline__ chunks chunks_of(int which, int rank, int shared) {
    if (shared == 1) return {0, at::ALL};
    if (shared <= at::ALL) return {rank * at::ALL / shared, (rank + 1) * at::ALL / shared};
    const int each = at::CONSUMERS * at::ALL / shared, first = rank * each - which * at::ALL;
    return {min(max(first, 0), (int)at::ALL), min(max(first + each, 0), (int)at::ALL)};
}

// The parts of a cluster's tile: each block keeps a share of the chunks, sends the others to those
// that keep them, and adds what comes, its own part first and then by rank. Stages are done with in
// all of the cluster before the first byte takes their place.
template <class at>
static __device__ __forceinline__ void share(const wn__gpu_spmm24_blocks &p, const consumer &c,
                                             float (&d)[at::PANELS][at::TOKENS / 2], chunks own) {
    static_assert(!at::SHARES || at::CHUNK == 32, "16 sums of a thread and chunk");
    const int count = own.end - own.first;
    const int most = p.shared <= at::ALL ? at::ALL / p.shared : at::CONSUMERS * at::ALL / p.shared;
    const uint32_t sent = c.base + c.which * at::ALL * at::CHUNK_SUMS;
    const uint32_t received =
        c.base + (at::CONSUMERS * at::ALL + c.which * most * (p.shared - 1)) * at::CHUNK_SUMS;
    cluster_sync();
#pragma unroll
    for (int n = 0; n < at::ALL; n++)
        if (n < own.first || n >= own.end)
            put_chunk(sent + n * at::CHUNK_SUMS + 16 * c.thread,
                      &d[n / at::EACH][n % at::EACH * (at::CHUNK / 2)]);
    writes_to_copies();
    warpgroup_sync(c.which);
    if (c.thread == 0)
        for (int to = 0; to < p.shared; to++) {
            const chunks its = chunks_of<at>(c.which, to, p.shared);
            const uint32_t bytes = (its.end - its.first) * at::CHUNK_SUMS;
            if (to != c.rank && bytes > 0)
                send_bytes(received + (c.rank - (c.rank > to)) * bytes,
                           sent + its.first * at::CHUNK_SUMS, bytes, c.template parts<at>(),
                           (uint32_t)to);
        }
    __syncwarp();
    barrier_wait(c.template parts<at>(), 0);
#pragma unroll
    for (int n = 0; n < at::ALL; n++) {
        if (n < own.first || n >= own.end) continue;
        for (int from = 0; from < p.shared - 1; from++)
            add_chunk(received + (from * count + n - own.first) * at::CHUNK_SUMS + 16 * c.thread,
                      &d[n / at::EACH][n % at::EACH * (at::CHUNK / 2)]);
    }
}

// Writes this part of a sum; the last to do so gets all parts, added in their order. True for it.
template <class at>
static __device__ __forceinline__ bool gather(const wn__gpu_spmm24_blocks &p, const consumer &c,
                                              float (&d)[at::PANELS][at::TOKENS / 2],
                                              const work &w) {
    enum { TOKENS = at::TOKENS, QUADS = at::PANELS * TOKENS / 8 };
    const int slot = w.tile * at::CONSUMERS + c.which;
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
        asm volatile("st.shared.u32 [%0], %1;" ::"r"(c.template word<at>()), "r"(before)
                     : "memory");
        if (before == (unsigned)p.split - 1) p.arrived[slot] = 0;
    }
    warpgroup_sync(c.which);
    unsigned before;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(before) : "r"(c.template word<at>()) : "memory");
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

// 16 or 8 tokens by 16 features of a warp to or from a chunk.
static __device__ __forceinline__ void put_matrices(uint32_t to, const uint32_t (&r)[4]) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to),
                 "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
                 : "memory");
}
static __device__ __forceinline__ void put_matrices(uint32_t to, const uint32_t (&r)[2]) {
    asm volatile("stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%0], {%1, %2};" ::"r"(to),
                 "r"(r[0]), "r"(r[1])
                 : "memory");
}
static __device__ __forceinline__ void get_matrices(uint32_t from, uint32_t (&r)[4]) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(from)
                 : "memory");
}
static __device__ __forceinline__ void get_matrices(uint32_t from, uint32_t (&r)[2]) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(from)
                 : "memory");
}

// What was stored has been read: every buffer of the warpgroup is free.
template <class at> static __device__ __forceinline__ void all_free(const consumer &c) {
    if (c.template self<at>() == 0) stores_read<0>();
    __syncwarp();
    warpgroup_sync(c.which);
}

// A chunk that all threads have written goes out. The buffer of the next one is free.
template <class at>
static __device__ __forceinline__ void hand_over(const consumer &c, const wn__cu_tensor_map &y,
                                                 uint32_t chunk, int feature, int token) {
    writes_to_copies();
    if (c.template self<at>() == 0) stores_read<at::CHUNKS - 2>();
    __syncwarp();
    warpgroup_sync(c.which);
    if (c.template self<at>() == 0) store_box(&y, chunk, feature, token);
}

// Chunk `chunk` of a tile's residual into its buffer; one thread calls it.
template <class at>
static __device__ __forceinline__ void load_residual(const wn__gpu_spmm24_blocks &p,
                                                     const consumer &c, const work &w, int chunk) {
    const int feature = ((w.m * at::CONSUMERS + c.which) * at::PANELS + chunk / at::EACH) * 64;
    const int token = w.token + chunk % at::EACH * at::CHUNK, left = p.tokens - token;
    const bool tail = at::TAIL < at::CHUNK && chunk % at::EACH == at::EACH - 1;
    const int tokens = tail ? at::TAIL : at::CHUNK;
    const uint32_t barrier = c.template arrived<at>(chunk);
    if (left <= 0 || feature >= p.rows) { // stored nowhere
        barrier_arrive(barrier);
        return;
    }
    barrier_expect(barrier, min(tokens, left) * 128);
    copy_box(c.template chunk<at>(chunk),
             left < tokens ? &p.residual_last
             : tail        ? &p.residual_tail
                           : &p.residual,
             barrier, feature, token);
}

template <class at, bool PLAIN>
static __device__ __forceinline__ void
first_residuals(const wn__gpu_spmm24_blocks &p, const consumer &c, const work &w, chunks own) {
    if (PLAIN) return;
    if (p.residual_given != 0 && c.template self<at>() == 0) {
        stores_read<0>();
        for (int chunk = own.first; chunk < own.first + at::CHUNKS && chunk < own.end; chunk++)
            load_residual<at>(p, c, w, chunk);
    }
    __syncwarp();
}

static __device__ __forceinline__ float root(float x) {
    float r;
    asm("sqrt.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}

static __device__ __forceinline__ float squared(float z) {
    return z <= 0 ? 0 : z * z;
}

// Scales of the tile's tokens, of operands of 8 bits, where a warpgroup has two panels: they come
// while products run. Read from global memory chunk by chunk those of the first panel would be kept
// in registers for the second, whose tokens are the same.
template <class at>
static __device__ __forceinline__ void fetch_scales(const wn__gpu_spmm24_blocks &p,
                                                    const consumer &c, const work &w) {
#pragma unroll
    for (int t = c.template self<at>(); at::SCALE_BYTES > 0 && t < at::TOKENS; t += WARPGROUP) {
        const float *from = &p.x_scale[(int64_t)min(w.token + t, p.tokens - 1) * p.x_scale_stride];
        asm volatile(
            "cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(c.template scales<at>() + 4 * t),
            "l"(from)
            : "memory");
    }
}
template <class at> static __device__ __forceinline__ void wait_for_scales(const consumer &c) {
    if (at::SCALE_BYTES == 0) return;
    asm volatile("cp.async.wait_all;" ::: "memory");
    warpgroup_sync(c.which);
}

// What the numbers of a thread's features and tokens are multiplied by, of operands of 8 bits; a
// stride is 0 where one number is everybody's. `scales` is where that of the thread's first token
// stands in shared memory, if it does.
template <class at, int QUADS>
static __device__ __forceinline__ void scale(const wn__gpu_spmm24_blocks &p, float (&v)[4 * QUADS],
                                             const float (&feature)[2], int token,
                                             uint32_t scales) {
#pragma unroll
    for (int i = 0; at::WORDS > 1 && i < 2 * QUADS; i++) {
        const int t = min(token + 8 * (i >> 1) + (i & 1), p.tokens - 1), j = (i >> 1) * 4 + (i & 1);
        float x; // volatile, for all of a tile's at once would need too many registers
        if (at::SCALE_BYTES > 0)
            asm volatile("ld.shared.f32 %0, [%1];"
                         : "=f"(x)
                         : "r"(scales + 4 * (8 * (i >> 1) + (i & 1)))
                         : "memory");
        else
            asm volatile("ld.global.nc.f32 %0, [%1];"
                         : "=f"(x)
                         : "l"(&p.x_scale[(int64_t)t * p.x_scale_stride]));
        v[j] *= x * feature[0];
        v[j + 2] *= x * feature[1];
    }
}

// What the numbers of a thread's features have in common: two features, eight apart.
struct factors {
    float bias[2], scale[2];
};
template <class at, bool PLAIN>
static __device__ __forceinline__ factors factors_of(const wn__gpu_spmm24_blocks &p, int feature) {
    factors f = {{0, 0}, {1, 1}};
#pragma unroll
    for (int j = 0; j < 2; j++) {
        const int mine = feature + 8 * j;
        if (!PLAIN && p.bias != nullptr && mine < p.rows) f.bias[j] = at::out::wide(p.bias[mine]);
        if (at::WORDS > 1)
            f.scale[j] = __ldg(&p.w_scale[min(mine, p.rows - 1) * (int64_t)p.w_scale_stride]);
    }
    return f;
}

// 16 tokens (a quad of sums a thread: eight of them) by 16 features of a warp, and their epilogue
// but for a residual. `token` is that of the thread's first sum.
template <class at, bool PLAIN, int QUADS>
static __device__ __forceinline__ void finish(const wn__gpu_spmm24_blocks &p, const float *sum,
                                              const factors &f, int token, uint32_t scales,
                                              float (&v)[4 * QUADS]) {
#pragma unroll
    for (int i = 0; i < 4 * QUADS; i++)
        v[i] = sum[i];
    scale<at, QUADS>(p, v, f.scale, token, scales);
#pragma unroll
    for (int i = 0; !PLAIN && i < 4 * QUADS; i++)
        v[i] += f.bias[i >> 1 & 1];
    if (!PLAIN && p.relu2 != 0) {
#pragma unroll
        for (int i = 0; i < 4 * QUADS; i++)
            v[i] = squared(v[i]);
    }
}

// Adds as much of the residual, or multiplies by its gate, which products of 8 bits do not have.
template <class at, int QUADS>
static __device__ __forceinline__ void add_residual(const wn__gpu_spmm24_blocks &p, uint32_t from,
                                                    float (&v)[4 * QUADS]) {
    typedef typename at::out T;
    const bool gate = at::WORDS == 1 && p.gate != 0;
    uint32_t r[2 * QUADS];
    get_matrices(from, r);
#pragma unroll
    for (int i = 0; i < 2 * QUADS; i++) {
        const float low = T::wide((uint16_t)r[i]), high = T::wide((uint16_t)(r[i] >> 16));
        v[2 * i] = gate ? v[2 * i] * (2 * root(low)) : v[2 * i] + low;
        v[2 * i + 1] = gate ? v[2 * i + 1] * (2 * root(high)) : v[2 * i + 1] + high;
    }
}

// A piece of a chunk, which begins at its token `token`: 16 tokens, or eight, by all features.
template <class at, bool PLAIN, int QUADS>
static __device__ __forceinline__ void
store_piece(const wn__gpu_spmm24_blocks &p, const consumer &c, const float *sum, const factors &f,
            int first, int token, uint32_t scales, uint32_t to) {
    typedef typename at::out T;
    float v[4 * QUADS];
    uint32_t r[2 * QUADS];
    token += 2 * (c.template self<at>() & 3); // of the thread
    finish<at, PLAIN, QUADS>(p, sum, f, first + token, scales + 4 * token, v);
    if (!PLAIN && p.residual_given != 0) add_residual<at, QUADS>(p, to, v);
#pragma unroll
    for (int i = 0; i < 2 * QUADS; i++)
        r[i] = T::pair(v[2 * i], v[2 * i + 1]);
    put_matrices(to, r);
}

// All of a tile: chunk by chunk through shared memory, which transposes. PLAIN: y = x W^T, in code
// of its own, which stays in the instruction cache.
template <class at, bool PLAIN>
static __device__ __forceinline__ void store(const wn__gpu_spmm24_blocks &p, consumer *c,
                                             const float (&d)[at::PANELS][at::TOKENS / 2],
                                             const work &w, chunks own) {
    enum { LAG = at::CHUNKS > 2 ? 1 : 0 }; // a buffer gets its next residual so many chunks later
    if (PLAIN || p.residual_given == 0) all_free<at>(*c);
#pragma unroll
    for (int i = 0; i < at::PANELS; i++) {
        const int feature = ((w.m * at::CONSUMERS + c->which) * at::PANELS + i) * 64;
        const int thread = c->template self<at>();
        const uint32_t place = at::ONE_SET ? place_of(thread) : c->place;
        const factors f =
            factors_of<at, PLAIN>(p, feature + 16 * (thread >> 5) + (thread >> 2 & 7));
#pragma unroll
        for (int n = 0; n < at::EACH; n++) {
            const int chunk = i * at::EACH + n;
            const int first = w.token + n * at::CHUNK;
            const bool tail = at::TAIL < at::CHUNK && n == at::EACH - 1;
            const uint32_t to = c->template chunk<at>(chunk),
                           scales = c->template scales<at>() + 4 * n * at::CHUNK;
            if (chunk < own.first || chunk >= own.end) continue;
            if (!PLAIN && p.residual_given != 0) {
                barrier_wait(c->template arrived<at>(chunk), c->phases >> chunk % at::CHUNKS & 1);
                c->phases ^= 1u << chunk % at::CHUNKS;
            }
#pragma unroll
            for (int j = 0; j < (tail ? at::TAIL : at::CHUNK) / 16; j++)
                store_piece<at, PLAIN, 2>(p, *c, &d[i][n * (at::CHUNK / 2) + 8 * j], f, first,
                                          16 * j, scales, to + place + j * 16 * 128);
            if (tail && at::TAIL % 16 != 0)
                store_piece<at, PLAIN, 1>(p, *c, &d[i][at::TOKENS / 2 - 4], f, first,
                                          at::TAIL / 16 * 16, scales,
                                          to + place + at::TAIL / 16 * 16 * 128);
            hand_over<at>(*c, tail ? p.y_tail : p.y, to, feature, first);
            const int next = chunk - LAG + at::CHUNKS;
            if (!PLAIN && p.residual_given != 0 && c->template self<at>() == 0 &&
                chunk - LAG >= own.first && next < own.end) {
                stores_read<LAG>();
                load_residual<at>(p, *c, w, next);
            }
            __syncwarp();
        }
    }
}

// A tile: its sum, and what becomes of it. PLAIN: nothing but y = x W^T.
template <class at, bool PLAIN>
static __device__ __forceinline__ void whole(const wn__gpu_spmm24_blocks &p, consumer *c,
                                             const work &w, ring *r, chunks own) {
    float d[at::PANELS][at::TOKENS / 2];
    fetch_scales<at>(p, *c, w);
    multiply<at>(*c, d, r, w.steps, p.cluster);
    if (!at::NARROW && !at::WHOLE && p.split > 1 && !gather<at>(p, *c, d, w)) {
        wait_for_scales<at>(*c); // the next tile's go to the same place
        return;
    }
    if (at::SHARES && p.shared > 1) share<at>(p, *c, d, own);
    wait_for_scales<at>(*c);
    first_residuals<at, PLAIN>(p, *c, w, own);
    store<at, PLAIN>(p, c, d, w, own);
}

// The narrower tiles behind tile i. They are few, so all epilogues are one code.
template <class at>
static __device__ __forceinline__ void rest(const wn__gpu_spmm24_blocks &p, consumer *c, ring *r,
                                            int i, int count) {
    const chunks own = {0, at::ALL};
#pragma unroll 1
    for (; i < count; i += (int)gridDim.x / p.cluster) {
        whole<at, false>(p, c, work_of<typename at::wide>(p, i, c->rank), r, own);
    }
}

template <class at, bool PLAIN>
static __device__ __forceinline__ int consume(const wn__gpu_spmm24_blocks &p, consumer *c,
                                              ring *r) {
    const int cluster = p.cluster * p.shared, clusters = (int)gridDim.x / cluster;
    const int count = p.tiles_m * p.tiles_n * (at::WHOLE ? 1 : p.split);
    const bool shares = at::SHARES && p.shared > 1;
    const chunks own = chunks_of<at>(c->which, c->rank, shares ? p.shared : 1);
    if (shares && c->thread == 0)
        barrier_expect(c->template parts<at>(),
                       (own.end - own.first) * (p.shared - 1) * at::CHUNK_SUMS);
    int i = (int)blockIdx.x / cluster;
    for (; i < count; i += clusters)
        whole<at, PLAIN>(p, c, work_of<at>(p, i, c->rank), r, own);
    return i;
}

template <class at>
static __device__ __forceinline__ void spmm24_blocks(const wn__gpu_spmm24_blocks &p) {
    extern __shared__ __align__(1024) uint8_t memory[];
    const uint32_t base = shared_address(memory);
    // the same in a whole warp, which lets descriptors stay in uniform registers
    const int group = __shfl_sync(0xFFFFFFFFu, (int)threadIdx.x / WARPGROUP, 0);
    const int rank = (int)cluster_rank();
    if (threadIdx.x == 0) {
        for (int i = 0; i < at::STAGES; i++) {
            barrier_init(base + at::BARRIER_AT + 8 * i, 1);
            barrier_init(base + at::BARRIER_AT + 8 * (at::STAGES + i),
                         at::CONSUMERS * WARPS * p.cluster);
        }
        for (int i = 0; i < at::CONSUMERS * (at::CHUNKS + 1); i++)
            barrier_init(base + at::RESIDUAL_AT + 8 * i, 1);
        barrier_init_done();
    }
    if (p.early) let_next_begin();
    cluster_sync();
    if (!p.early || group > 0) wait_for_ahead();
    if (!p.early) let_next_begin();
    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(at::WHOLE ? 24 : 40));
        if (!at::WHOLE) {
            if (threadIdx.x < 32 && elected()) produce<at, COPIES_ALL>(p, base, rank, 0);
        } else if (threadIdx.x < at::BLOCKS) {
            produce<at, COPIES_BLOCKS>(p, base, rank, (int)threadIdx.x);
        } else if (threadIdx.x >= 32 && threadIdx.x < 64) {
            if (elected()) produce<at, COPIES_TOKENS>(p, base, rank, 0);
        }
        __syncwarp();
        if (at::SHARES && p.shared > 1) cluster_sync(); // that of those who share sums
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(at::CONSUMERS > 2 ? 152
                                                                 : at::WHOLE       ? 240
                                                                                   : 232));
        const int thread = (int)threadIdx.x % WARPGROUP;
        consumer c = {base, place_of(thread), group - 1, thread, rank, 0};
        ring r = {0, 0};
        const bool plain = p.bias == nullptr && p.relu2 == 0 && p.residual_given == 0;
        const int i = plain ? consume<at, true>(p, &c, &r) : consume<at, false>(p, &c, &r);
        if constexpr (at::RESTS) {
            const int count = p.tiles_m * p.tiles_n * p.split + p.rest_tiles_m * p.rest_tiles_n;
            if (p.rest == 64)
                rest<narrower<at, 64>>(p, &c, &r, i, count);
            else if (p.rest == 128)
                rest<narrower<at, 128>>(p, &c, &r, i, count);
        }
        if (c.template self<at>() == 0) stores_done();
    }
    __syncwarp();
    cluster_sync(); // nobody's shared memory goes while another block may write to it
}

#define WN_SPMM24_ENTRY(name, operand, consumers, panels, tokens, stages)                          \
    typedef tile<operand, consumers, panels, tokens, stages> name##_tile;                          \
    extern "C" __global__ void __launch_bounds__(name##_tile::THREADS, 1)                          \
        name(const __grid_constant__ wn__gpu_spmm24_blocks p) {                                    \
        spmm24_blocks<name##_tile>(p);                                                             \
    }

/* The same tile for results of BF16 and F16. */
#define WN_SPMM24_ENTRIES(op, bf16, f16, name, consumers, panels, tokens, stages)                  \
    WN_SPMM24_ENTRY(wn_##op##_##name##_bf16, bf16, consumers, panels, tokens, stages)              \
    WN_SPMM24_ENTRY(wn_##op##_##name##_f16, f16, consumers, panels, tokens, stages)
#define WN_SPMM24_ENTRIES16(...)                                                                   \
    WN_SPMM24_ENTRIES(spmm24_blocks, operand_bf16, operand_f16, __VA_ARGS__)
#define WN_SPMM24_ENTRIES8(...)                                                                    \
    WN_SPMM24_ENTRIES(spmm24_blocks8, operand_e4m3<type_bf16>, operand_e4m3<type_f16>, __VA_ARGS__)

#endif
