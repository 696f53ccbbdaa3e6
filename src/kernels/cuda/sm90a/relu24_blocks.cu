// SPDX-License-Identifier: MIT
// relu(x W^T)^2, of which each four features keep the two largest, straight into packed blocks: the
// sums of a tile are features by tokens (common/blocks_rows.cuh), and a block wants a token's
// features together, so four lanes trade what they have of four features and two tokens.
#include "kernels/cuda/common/blocks_rows.cuh"
#include "kernels/cuda/common/group24.cuh"

static __device__ __forceinline__ float squared(float z) {
    return z <= 0 ? 0 : z * z;
}

static __device__ __forceinline__ uint32_t traded(uint32_t v, int lanes) {
    return __shfl_xor_sync(0xFFFFFFFFu, v, lanes);
}

// Of features g and g + 8 of a warp, two tokens each, all four features of one group and one token:
// lanes with bit 3 take features 8 and up, lanes with bit 2 the second token.
static __device__ __forceinline__ uint2 group_of(uint32_t first, uint32_t second, int lane) {
    const bool upper = (lane & 8) != 0, odd = (lane & 4) != 0;
    const uint32_t keep = upper ? second : first, got = traded(upper ? first : second, 8);
    const uint32_t low = upper ? got : keep, high = upper ? keep : got; // two features apart
    const uint32_t mine = __byte_perm(low, high, odd ? 0x7632 : 0x5410);
    const uint32_t other = traded(__byte_perm(low, high, odd ? 0x5410 : 0x7632), 4);
    const uint32_t even = odd ? other : mine, uneven = odd ? mine : other;
    return make_uint2(__byte_perm(even, uneven, 0x5410), __byte_perm(even, uneven, 0x7632));
}

// The two largest of `count` features; NaN is larger than all.
static __device__ __forceinline__ unsigned choose(uint2 v, int count) {
    int size[4];
#pragma unroll
    for (int j = 0; j < 4; j++)
        size[j] = j < count ? at(v, j) & 0x7FFF : -1;
    return keep_two(size) & (count >= 4 ? 15u : count <= 0 ? 0u : (1u << count) - 1);
}

static __device__ __forceinline__ void store_block(uint8_t *to, uint32_t from) {
    asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(to), "r"(from),
                 "r"(WN_BLOCK24_BYTES)
                 : "memory");
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

// 16 tokens of a warp's 16 features into the block at c.chunk. v: two quads of sums.
template <class T>
static __device__ __forceinline__ void pack(const consumer &c, const float *v, int token,
                                            int tokens, int features) {
    const int warp = c.thread >> 5, lane = c.thread & 31, group = (lane >> 3 & 1) * 2 + (lane >> 4);
    const int mine = 2 * (lane & 3) + (lane >> 2 & 1);
    uint32_t word = 0;
#pragma unroll
    for (int s = 0; s < 2; s++) {
        const float *z = v + 4 * s;
        const uint2 four = group_of(T::pair(squared(z[0]), squared(z[1])),
                                    T::pair(squared(z[2]), squared(z[3])), lane);
        const int row = token % 64 + 8 * s + mine;
        const unsigned mask = token + 8 * s + mine < tokens ? choose(four, features) : 0;
        const unsigned nibble = nibble_of(mask);
        const uint32_t pair = kept(pick(four, nibble), nibble, mask);
        asm volatile("st.shared.u32 [%0], %1;" ::"r"(c.chunk + row * 64 +
                                                     ((warp ^ (row >> 1 & 3)) << 4) + 4 * group),
                     "r"(pair)
                     : "memory");
        uint32_t bits = nibble << 4 * group;
        bits |= traded(bits, 8);
        bits |= traded(bits, 16);
        word |= bits << 16 * s;
    }
    const int row = token % 64 + mine;
    if ((lane & 24) == 0)
        asm volatile("st.shared.u32 [%0], %1;" ::"r"(c.chunk + WN_BLOCK24_VALUES +
                                                     4 * WN_BLOCK24_WORD(row, warp)),
                     "r"(word)
                     : "memory");
}

// Block by block; those beyond the tokens and the features are not written.
template <class T, int PANELS, int COLUMNS> struct pack_sums {
    __device__ __forceinline__ void operator()(const wn__gpu_blocks_rows &p, const consumer &c,
                                               const float (&d)[PANELS][COLUMNS / 2],
                                               const work &w) const {
        const int lane = c.thread & 31, warp = c.thread >> 5;
#pragma unroll
        for (int i = 0; i < PANELS; i++) {
            const int panel = (w.m * CONSUMERS + c.which) * PANELS + i;
            const int features =
                p.rows - (panel * 64 + 16 * warp + 8 * (lane >> 3 & 1) + 4 * (lane >> 4));
#pragma unroll
            for (int n = 0; n < COLUMNS / 64; n++) {
                const int token = w.n * COLUMNS + 64 * n;
                if (c.thread == 0) stores_read<0>();
                __syncwarp();
                warpgroup_sync(c.which);
#pragma unroll
                for (int j = 0; j < 4; j++)
                    pack<T>(c, &d[i][32 * n + 8 * j], token + 16 * j, p.columns, features);
                writes_to_copies();
                warpgroup_sync(c.which);
                if (c.thread == 0 && panel < p.panels && token < p.columns)
                    store_block((uint8_t *)p.c_data +
                                    ((size_t)(token / 64) * p.panels + panel) * WN_BLOCK24_BYTES,
                                c.chunk);
                __syncwarp();
            }
        }
    }
};

#define ENTRY(name, T, panels, columns, stages)                                                    \
    extern "C" __global__ void __launch_bounds__(THREADS, 1)                                       \
        name(const __grid_constant__ wn__gpu_blocks_rows p) {                                      \
        blocks_rows<T, panels, columns, stages, false>(p, pack_sums<T, panels, columns>());        \
    }

#define ENTRIES(rows, columns, stages)                                                             \
    ENTRY(wn_relu24_blocks_##rows##x##columns##_bf16, type_bf16, rows / 128, columns, stages)      \
    ENTRY(wn_relu24_blocks_##rows##x##columns##_f16, type_f16, rows / 128, columns, stages)

// 192 sums a thread leave no registers for this
ENTRIES(128, 256, 5)
ENTRIES(128, 128, 8)
