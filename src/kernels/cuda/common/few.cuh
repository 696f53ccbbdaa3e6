// SPDX-License-Identifier: MIT
/* y = act(x W^T + bias) + residual of few tokens, W in packed blocks.
 *
 * A block of threads is a tile: PANELS panels of 64 outputs by some tokens, HALVES warpgroups a
 * panel; the blocks of a cluster divide its inputs. Two threads keep a ring of stages full, one
 * with weights, which it fetches before the launch ahead has ended, the other with tokens. Partial
 * sums go from registers to the block of the cluster that owns them, unit by unit (8 or 16 tokens
 * of a panel), which adds them in the order of ranks, its own first. */
#ifndef WN_KERNELS_CUDA_COMMON_FEW_CUH
#define WN_KERNELS_CUDA_COMMON_FEW_CUH

#include "kernels/cuda/args_few.h"
#include "kernels/cuda/common/ahead.cuh"
#include "kernels/cuda/common/wgmma_sp_few.cuh"
#include <stddef.h>

static_assert(offsetof(wn__gpu_few, block_of) % 64 == 48, "block_of begins a line of constants");

/* A map of boxes is on its way before it is used. */
static __device__ __forceinline__ void prefetch_map(const void *map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

template <class OPERAND, int PANELS, int HALVES, int TOKENS_OF_TILE, int DEEP> struct few {
    typedef typename OPERAND::out T;
    enum {
        GROUPS = PANELS * HALVES,
        TOKENS = TOKENS_OF_TILE / HALVES, // of a warpgroup
        BLOCK = OPERAND::BLOCK,
        WORDS = OPERAND::WORDS,
        BLOCK_STAGE = WN_FEW_BLOCKS(PANELS, DEEP, OPERAND::BLOCK),
        UNIT = WN_FEW_UNIT(TOKENS),
        UNITS = TOKENS / UNIT,
        UNIT_BYTES = UNIT * 256, // of sums
        HELD = WN_FEW_HELD(TOKENS),
        WARPS = 4,
        SUMS = TOKENS / 2
    };
    const wn__gpu_few &p;
    int rank;                    // which part of the inputs
    int panel0, token0;          // of the tile
    int token_bytes;             // of its boxes of tokens
    int begin, end;              // blocks along the inputs that are this thread block's
    int count;                   // stages of work
    int first_unit, last_unit;   // that are this thread block's
    uint32_t tokens, blocks;     // addresses
    uint32_t turned, scales_at;  // the same
    uint32_t sent;               // the same
    uint32_t full, empty, parts; // of barriers
    uint32_t room;               // the same

    __device__ __forceinline__ few(const wn__gpu_few &args, uint32_t raw) : p(args) {
        rank = (int)cluster_rank();
        panel0 = (int)(p.split > 1 ? cluster_index() : blockIdx.y) * PANELS;
        token0 = (int)(p.split > 1 ? blockIdx.y : blockIdx.x) * p.box;
        token_bytes = p.box * 128;
        begin = p.block_of[rank];
        end = p.block_of[rank + 1];
        first_unit = p.unit_of[rank];
        last_unit = p.unit_of[rank + 1];
        count = (end - begin + DEEP - 1) / DEEP;
        tokens = (raw + 1023) & ~1023u;
        blocks = tokens + (uint32_t)(p.stages * DEEP * token_bytes);
        turned = blocks + (uint32_t)(p.stages * BLOCK_STAGE);
        scales_at = turned + WN_FEW_TURNED(GROUPS, TOKENS);
        full = scales_at + WN_FEW_SCALES(GROUPS, TOKENS);
        sent = tokens;
        if (p.apart) {
            sent = full;
            full += (uint32_t)p.apart;
        }
        empty = full + 8 * (uint32_t)p.stages;
        parts = empty + 8 * (uint32_t)p.stages;
        room = parts + 8 * GROUPS;
    }
    __device__ __forceinline__ int first_token(int group) const {
        return token0 + group % HALVES * TOKENS;
    }
    // The last tile, where it has fewer tokens. What is beyond a tile's box is whatever lies there,
    // and what is made of it is stored nowhere.
    __device__ __forceinline__ bool is_rest() const { return token0 + p.box > p.tokens; }
    __device__ __forceinline__ int last_token() const { return min(token0 + p.box, p.tokens); }
    // Blocks of a stage.
    __device__ __forceinline__ int deep_at(int i) const {
        const int left = end - begin - i * DEEP;
        return DEEP == 1 ? 1 : left < DEEP ? left : DEEP;
    }

    // By one lane of each warp, some each: a warp takes its lanes' barriers one after the other.
    __device__ __forceinline__ void make_barriers(int warp) const {
        for (int i = warp; i < p.stages; i += GROUPS * WARPS + 2) {
            barrier_init(full + 8 * (uint32_t)i, 2);
            barrier_init(empty + 8 * (uint32_t)i, GROUPS * WARPS);
        }
        const bool last = warp == GROUPS * WARPS + 1;
        if (p.split > 1 && warp < GROUPS) barrier_init(parts + 8 * (uint32_t)warp, 1);
        if (p.split > 1 && last) barrier_init(room, (uint32_t)(GROUPS * WARPS * (p.split - 1)));
        barrier_init_done();
        if (p.split > 1 && warp < GROUPS)
            barrier_expect(parts + 8 * (uint32_t)warp,
                           (uint32_t)((last_unit - first_unit) * (p.split - 1) * UNIT_BYTES));
        if (last) prefetch_map(&p.x[is_rest()]);
    }

    // ---- the threads that fetch

    __device__ __forceinline__ void fetch_blocks(int i, int stage, uint64_t policy) const {
        const int deep = deep_at(i);
        const uint32_t barrier = full + 8 * (uint32_t)stage;
        const uint32_t to = blocks + (uint32_t)(stage * BLOCK_STAGE);
        barrier_expect(barrier, (uint32_t)(deep * PANELS * BLOCK));
#pragma unroll
        for (int g = 0; g < PANELS; g++) { // beyond the last panel: the last, stored nowhere
            const int panel = min(panel0 + g, p.panels - 1);
            copy_bytes(to + g * DEEP * BLOCK,
                       p.blocks + ((int64_t)panel * p.depth + begin + i * DEEP) * BLOCK,
                       (uint32_t)(deep * BLOCK), barrier, policy);
        }
    }
    __device__ __forceinline__ void fetch_tokens(int i, int stage) const {
        const int deep = deep_at(i), bytes = is_rest() ? p.rest * 128 : token_bytes;
        const uint32_t barrier = full + 8 * (uint32_t)stage;
        const uint32_t to = tokens + (uint32_t)(stage * DEEP * token_bytes);
        barrier_expect(barrier, (uint32_t)(deep * bytes));
#pragma unroll
        for (int j = 0; j < DEEP; j++)
            if (j < deep)
                copy_box(to + (uint32_t)(j * token_bytes), &p.x[is_rest()], barrier,
                         (begin + i * DEEP + j) * OPERAND::COLUMNS, token0);
    }
    __device__ __forceinline__ void fetch(bool blocks_too) const {
        const uint64_t policy = p.kept == WN_FEW_KEPT   ? keep_in_l2()
                                : p.kept == WN_FEW_HALF ? keep_half_in_l2()
                                                        : read_once();
        int stage = 0;
        uint32_t phase = 1;
        if (!blocks_too || !p.early) wait_for_ahead();
        let_next_begin();
#pragma unroll 1
        for (int i = 0; i < count; i++) {
            if (i >= p.stages) barrier_wait(empty + 8 * (uint32_t)stage, phase);
            if (blocks_too)
                fetch_blocks(i, stage, policy);
            else
                fetch_tokens(i, stage);
            if (++stage == p.stages) {
                stage = 0;
                phase ^= 1;
            }
        }
    }

    // ---- a warpgroup that multiplies

    // N blocks from those addresses on, as one group of products that is not waited for.
    template <int N>
    __device__ __forceinline__ void multiply(uint32_t a, uint32_t b, float (&d)[SUMS],
                                             uint32_t (&e)[DEEP][WORDS]) const {
#pragma unroll
        for (int i = 0; i < N; i++)
#pragma unroll
            for (int w = 0; w < WORDS; w++)
                asm volatile(
                    "ld.shared.u32 %0, [%1];"
                    : "=r"(e[i][w])
                    : "r"(a + i * BLOCK + WN_BLOCK24_VALUES + w * 512 + 4 * (threadIdx.x & 127)));
        products_begin();
#pragma unroll
        for (int i = 0; i < N; i++) {
            typedef sparse_product<OPERAND, TOKENS> product;
            const uint32_t ai = a + i * BLOCK, bi = b + (uint32_t)(i * token_bytes);
            product::template run<0>(d, matrix_of(ai, 512, 2), matrix_of(bi, 1024, 1), e[i][0], 1);
            product::template run<1>(d, matrix_of(ai + 32, 512, 2), matrix_of(bi + 64, 1024, 1),
                                     e[i][WORDS - 1], 1);
        }
        products_commit();
    }
    // The i-th stage, while that before it is still multiplied, whose words are other registers.
    __device__ __forceinline__ void sum_stage(int i, int group, int stage, uint32_t phase,
                                              float (&d)[SUMS], uint32_t (&e)[DEEP][WORDS]) const {
        const uint32_t a = blocks + (uint32_t)(stage * BLOCK_STAGE + group / HALVES * DEEP * BLOCK);
        const uint32_t b =
            tokens + (uint32_t)(stage * DEEP * token_bytes + group % HALVES * TOKENS * 128);
        const int deep = deep_at(i);
        barrier_wait(full + 8 * (uint32_t)stage, phase);
        if (deep == DEEP) {
            multiply<DEEP>(a, b, d, e);
            products_wait<1>();
        } else {
#pragma unroll 1
            for (int j = 0; j < deep; j++) {
                multiply<1>(a + (uint32_t)(j * BLOCK), b + (uint32_t)(j * token_bytes), d, e);
                products_wait<0>();
            }
        }
    }
    // Of stages that are filled again: each warp says that it has read one.
    __device__ __forceinline__ void release(int i, int stage) const {
        __syncwarp();
        if (i + p.stages < count && (threadIdx.x & 31) == 0)
            barrier_arrive(empty + 8 * (uint32_t)stage);
    }
    __device__ __forceinline__ void sum(int group, float (&d)[SUMS]) const {
        uint32_t even[DEEP][WORDS], odd[DEEP][WORDS];
        uint32_t phase = 0;
        int stage = 0, before = 0;
#pragma unroll 1
        for (int i = 0; i < count; i++) {
            sum_stage(i, group, stage, phase, d, even);
            if (i > 0) release(i - 1, before);
            before = stage;
            if (++stage == p.stages) {
                stage = 0;
                phase ^= 1;
            }
            if (++i == count) break;
            sum_stage(i, group, stage, phase, d, odd);
            release(i - 1, before);
            before = stage;
            if (++stage == p.stages) {
                stage = 0;
                phase ^= 1;
            }
        }
        products_wait<0>(); // the last stage is asked for by nobody
    }

    // ---- sums that others finish, and those of others

    // What others send may take the place of stages: when all warps of all of them are done.
    __device__ __forceinline__ void make_room() const {
        __syncwarp();
        if ((threadIdx.x & 31) == 0)
            for (int to = 0; to < p.split; to++)
                if (to != rank) barrier_arrive_at(room, (uint32_t)to);
        barrier_wait(room, 0);
    }
    __device__ __forceinline__ void send_units(int group, const float (&d)[SUMS]) const {
        const uint32_t barrier = parts + 8 * (uint32_t)group;
        const uint32_t to_group = sent + (uint32_t)(group * p.sent) + 16 * (threadIdx.x & 127);
        uint32_t there = 0, counts = 0;
        int before = -1;
#pragma unroll
        for (int u = 0; u < UNITS; u++) {
            if (u >= p.unit_of[WN_FEW_MOST_SPLIT]) break;
            const int to = (u >= p.unit_of[1]) + (u >= p.unit_of[2]) + (u >= p.unit_of[3]);
            if (to == rank) continue;
            if (to != before) { // from its first unit on
                const int first = (rank - (rank > to)) * (p.unit_of[to + 1] - u);
                there = address_in(to_group + (uint32_t)(first * UNIT_BYTES), (uint32_t)to);
                counts = address_in(barrier, (uint32_t)to);
                before = to;
            }
#pragma unroll
            for (int j = 0; j < UNIT / 8; j++)
                send(there + j * 2048, counts, &d[u * (UNIT / 2) + 4 * j]);
            there += UNIT_BYTES;
        }
    }
    __device__ __forceinline__ void add_unit(int group, int u, float (&v)[UNIT / 2]) const {
        const int units = last_unit - first_unit;
        uint32_t at = sent + (uint32_t)(group * p.sent + (u - first_unit) * UNIT_BYTES) +
                      16 * (threadIdx.x & 127);
        for (int from = 0; from < p.split - 1; from++, at += (uint32_t)(units * UNIT_BYTES)) {
#pragma unroll
            for (int j = 0; j < UNIT / 8; j++) {
                float part[4];
                asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
                             : "=f"(part[0]), "=f"(part[1]), "=f"(part[2]), "=f"(part[3])
                             : "r"(at + j * 2048)
                             : "memory");
#pragma unroll
                for (int i = 0; i < 4; i++)
                    v[4 * j + i] += part[i];
            }
        }
    }

    // ---- results

    // What a thread's two outputs are multiplied by and added to.
    struct factors {
        float bias[2], scale[2];
    };
    // Fetched while products run; scales of tokens go to shared memory.
    __device__ __forceinline__ factors factors_of(int group) const {
        const int thread = (int)threadIdx.x & 127;
        const int mine = (panel0 + group / HALVES) * 64 + 16 * (thread >> 5) + ((thread & 31) >> 2);
        factors f = {{0, 0}, {1, 1}};
#pragma unroll
        for (int j = 0; j < 2; j++) {
            const int o = min(mine + 8 * j, p.outputs - 1);
            if (p.bias != nullptr) f.bias[j] = T::wide(((const uint16_t *)p.bias)[o]);
            if (WORDS > 1) f.scale[j] = p.w_scale[(int64_t)o * p.w_scale_stride];
        }
#pragma unroll
        for (int t = 0; WORDS > 1 && t < TOKENS; t += 128) {
            const int token = min(first_token(group) + t + thread, p.tokens - 1);
            if (t + thread < TOKENS)
                asm volatile("st.shared.f32 [%0], %1;" ::"r"(
                                 scales_at + 4 * (uint32_t)(group * TOKENS + t + thread)),
                             "f"(p.x_scale[(int64_t)token * p.x_scale_stride])
                             : "memory");
        }
        return f;
    }

    // Eight numbers of a row between the matrix and a place in shared memory, as far as the matrix
    // goes: at once, or one by one.
    __device__ __forceinline__ void read8(uint32_t to, int token, int output) const {
        const uint16_t *at = (const uint16_t *)p.residual + token * p.residual_stride + output;
        uint4 q = make_uint4(0, 0, 0, 0);
        if (p.whole && token < last_token() && output < p.outputs) q = *(const uint4 *)at;
        asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(q.x), "r"(q.y),
                     "r"(q.z), "r"(q.w)
                     : "memory");
        const int left = p.whole || token >= last_token() ? 0 : min(8, p.outputs - output);
#pragma unroll 1
        for (int i = 0; i < left; i++)
            asm volatile("st.shared.u16 [%0], %1;" ::"r"(to + 2 * i), "h"(at[i]) : "memory");
    }
    static __device__ __forceinline__ uint4 read16(uint32_t from) {
        uint4 q;
        asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(q.x), "=r"(q.y), "=r"(q.z), "=r"(q.w)
                     : "r"(from)
                     : "memory");
        return q;
    }
    static __device__ __forceinline__ void write16(uint16_t *at, uint4 q) {
        asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(at), "r"(q.x), "r"(q.y),
                     "r"(q.z), "r"(q.w)
                     : "memory");
    }
    static __device__ __forceinline__ void write8(uint32_t from, int left, uint16_t *at) {
#pragma unroll 1
        for (int i = 0; i < left; i++) {
            uint16_t v;
            asm volatile("ld.shared.u16 %0, [%1];" : "=h"(v) : "r"(from + 2 * i) : "memory");
            at[i] = v;
        }
    }
    // What a warpgroup turns at once: 128 bytes a token, whose eight parts change places, so that
    // eight tokens of a part meet all banks.
    static __device__ __forceinline__ uint32_t place(int token, int part) {
        return (uint32_t)(token * 128 + ((part ^ (token & 7)) << 4));
    }
    static __device__ __forceinline__ void scale(float (&v)[UNIT / 2], const float (&feature)[2],
                                                 uint32_t at) {
#pragma unroll
        for (int i = 0; WORDS > 1 && i < UNIT / 8; i++) {
            float x[2];
            asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];"
                         : "=f"(x[0]), "=f"(x[1])
                         : "r"(at + 32 * (uint32_t)i));
#pragma unroll
            for (int j = 0; j < 4; j++)
                v[4 * i + j] *= x[j & 1] * feature[j >> 1];
        }
    }
    __device__ __forceinline__ void add_residual(float (&v)[UNIT / 2], uint32_t buffer, int group,
                                                 int token, int output) const {
        const int thread = (int)threadIdx.x & 127, lane = thread & 31;
        const int row = thread >> 3, part = thread & 7;
        uint32_t r[4];
        if (row < UNIT) read8(buffer + place(row, part), token + row, output + 8 * part);
        warpgroup_sync(group);
        const uint32_t from = buffer + place((lane >> 4) * (UNIT / 16) * 8 + (lane & 7),
                                             2 * (thread >> 5) + (lane >> 3 & 1));
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(from)
                     : "memory");
#pragma unroll
        for (int i = 0; i < UNIT / 4; i++) {
            v[2 * i] += T::wide((uint16_t)r[i]);
            v[2 * i + 1] += T::wide((uint16_t)(r[i] >> 16));
        }
        warpgroup_sync(group);
    }
    static __device__ __forceinline__ float relu2(float v) {
        return v <= 0 ? 0 : v * v;
    }
    // 64 outputs of a warpgroup from `output` on, UNIT tokens: to a buffer.
    template <bool RELU2, bool SIMPLE>
    __device__ __forceinline__ void turn(float (&v)[UNIT / 2], uint32_t buffer, int group, int unit,
                                         int output, const factors &f) const {
        const int thread = (int)threadIdx.x & 127, lane = thread & 31;
        const uint32_t to =
            buffer + place((lane >> 4) * 8 + (lane & 7), 2 * (thread >> 5) + (lane >> 3 & 1));
        scale(v, f.scale,
              scales_at + 4 * (uint32_t)(group * TOKENS + unit * UNIT + 2 * (lane & 3)));
#pragma unroll
        for (int i = 0; i < UNIT / 2; i++) {
            v[i] += f.bias[i >> 1 & 1];
            if (RELU2 || (!SIMPLE && p.relu2)) v[i] = relu2(v[i]);
        }
        if (!SIMPLE && p.residual != nullptr)
            add_residual(v, buffer, group, first_token(group) + unit * UNIT, output);
        if (UNIT == 16)
            asm volatile(
                "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to),
                "r"(T::pair(v[0], v[1])), "r"(T::pair(v[2], v[3])),
                "r"(T::pair(v[UNIT / 2 - 4], v[UNIT / 2 - 3])),
                "r"(T::pair(v[UNIT / 2 - 2], v[UNIT / 2 - 1]))
                : "memory");
        else
            asm volatile("stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%0], {%1, %2};" ::"r"(to),
                         "r"(T::pair(v[0], v[1])), "r"(T::pair(v[2], v[3]))
                         : "memory");
    }
    // HELD units from a buffer, as far as they are this thread block's: tokens from `low` to
    // `high`.
    template <bool SIMPLE>
    __device__ __forceinline__ void store(uint32_t buffer, int token, int output, int low,
                                          int high) const {
        enum { ROWS = 16, PASSES = (HELD * UNIT + ROWS - 1) / ROWS };
        const int row = (int)(threadIdx.x & 127) >> 3, part = (int)threadIdx.x & 7;
        const int o = output + 8 * part;
        uint16_t *at = (uint16_t *)p.y + (token + row) * p.y_stride + o;
        uint4 q[PASSES];
#pragma unroll
        for (int i = 0; SIMPLE && i < PASSES; i++)
            if (token + row + i * ROWS >= low && token + row + i * ROWS < high)
                q[i] = read16(buffer + place(row, part) + i * ROWS * 128);
#pragma unroll
        for (int i = 0; i < PASSES; i++, at += ROWS * p.y_stride) {
            const int t = token + row + i * ROWS;
            const int left = t < low || t >= high ? 0 : min(8, p.outputs - o);
            const uint32_t from = buffer + place(row, part) + i * ROWS * 128;
            if (!SIMPLE && !p.whole)
                write8(from, left, at);
            else if (left > 0)
                write16(at, SIMPLE ? q[i] : read16(from));
        }
    }
    // Of this thread block's units HELD at a time. Code is met once a launch, and its cache is
    // cold: what most launches need stands together, and in few pieces.
    template <bool RELU2, bool SIMPLE>
    __device__ __forceinline__ void finish_units(int group, float (&d)[SUMS],
                                                 const factors &f) const {
        const int output = (panel0 + group / HALVES) * 64, token = first_token(group);
        const int low = token + first_unit * UNIT;
        const int high = min(token + last_unit * UNIT, last_token());
        const uint32_t buffers = turned + (uint32_t)(group * HELD * UNIT * 128);
#pragma unroll
        for (int first = 0; first < UNITS; first += HELD) {
            if (first >= last_unit || first + HELD <= first_unit) continue;
#pragma unroll
            for (int u = first; u < first + HELD && u < UNITS; u++) {
                if (u < first_unit || u >= last_unit) continue;
                float v[UNIT / 2];
#pragma unroll
                for (int i = 0; i < UNIT / 2; i++)
                    v[i] = d[u * (UNIT / 2) + i];
                add_unit(group, u, v);
                turn<RELU2, SIMPLE>(v, buffers + (u - first) * UNIT * 128, group, u, output, f);
            }
            warpgroup_sync(group);
            store<SIMPLE>(buffers, token + first * UNIT, output, low, high);
            if (first + HELD < last_unit) warpgroup_sync(group);
        }
    }
    __device__ __forceinline__ void finish(int group, float (&d)[SUMS], const factors &f) const {
        if (WORDS > 1) warpgroup_sync(group); // all of its scales are there
        if (p.split > 1) barrier_wait(parts + 8 * (uint32_t)group, 0);
        const bool simple = p.whole && p.residual == nullptr;
        if (simple && !p.relu2)
            finish_units<false, true>(group, d, f);
        else if (simple)
            finish_units<true, true>(group, d, f);
        else
            finish_units<false, false>(group, d, f);
    }

    __device__ __forceinline__ void run() const {
        // the same in a whole warp, which lets descriptors stay in uniform registers
        const int group = __shfl_sync(0xFFFFFFFFu, (int)threadIdx.x / 128, 0);
        const int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x >> 5;
        if (lane == 0) make_barriers(warp);
        __syncthreads();
        if (p.split > 1) cluster_arrive();
        if (group == GROUPS) {
            if (lane == 0) fetch(warp == GROUPS * WARPS);
            __syncwarp();
            if (p.split > 1) cluster_wait();
            return;
        }
        wait_for_ahead(); // whose results are read, and whose operands are written
        const factors f = factors_of(group);
        float d[SUMS];
#pragma unroll
        for (int i = 0; i < SUMS; i++)
            d[i] = 0;
        sum(group, d);
        if (p.split > 1) {
            cluster_wait(); // all barriers are made
            if (!p.apart) make_room();
            send_units(group, d);
        }
        finish(group, d, f);
    }
};

#define WN_FEW_ENTRY(name, operand, panels, halves, tokens, deep, most)                            \
    extern "C" __global__ void __launch_bounds__(WN_FEW_THREADS((panels) * (halves)), most)        \
        name(const __grid_constant__ wn__gpu_few p) {                                              \
        extern __shared__ uint8_t raw[];                                                           \
        few<operand, panels, halves, tokens, deep>(p, shared_address(raw)).run();                  \
    }

#endif
