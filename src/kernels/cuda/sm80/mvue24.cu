// SPDX-License-Identifier: MIT
// Random 2:4 pruning along rows and along tokens (mvue24), the packed transpose of what is 2:4
// along tokens (pack24_tokens), and both in one pass (mvue24_tokens).
#include "kernels/cuda/args24.h"
#include "kernels/cuda/common/mvue24.cuh"
#include "kernels/cuda/common/strip24.cuh"

// Columns that exist in group g.
static __device__ __forceinline__ int columns_of_group(int64_t columns, int64_t g) {
    const int64_t left = columns - 4 * g;
    return left < 0 ? 0 : left < 4 ? (int)left : 4;
}

// The words of the next group come first.
template <bool APPROX> static __device__ __forceinline__ void turn(uint32_t *words) {
    enum { STEP = APPROX ? 2 : 1 };
#pragma unroll
    for (int i = 0; i < 3 * (int)STEP; i++)
        words[i] = words[i + STEP];
}

// Whether groups are drawn in float first.
template <class F, bool APPROX> struct in_float {
    enum { first = sizeof(typename F::bits) == 2 && !APPROX };
};
static __device__ __forceinline__ bool draw_dense(f32, uint4 *, uint32_t) {
    return false;
}
template <class F> static __device__ __forceinline__ bool draw_dense(F, uint2 *v, uint32_t word) {
    packed24 two;
    if (!draw_in_float<F>(*v, word, &two)) return false;
    *v = spread(two.pair, two.nibble);
    return true;
}
template <class F, bool APPROX, class WIDE>
static __device__ __forceinline__ void prune_group(WIDE *v, const uint32_t *words) {
    typename F::bits x[4] = {at(*v, 0), at(*v, 1), at(*v, 2), at(*v, 3)};
    prune<F, APPROX>(x, words);
    *v = join(x);
}

// Four groups and their words: code for one that doubles decide, the words of the next come first.
template <class F, bool APPROX>
static __device__ __forceinline__ void prune_four(typename group4<typename F::bits>::wide v[4],
                                                  uint32_t *words) {
    unsigned drawn = 0;
#pragma unroll
    for (int i = 0; in_float<F, APPROX>::first && i < 4; i++)
        drawn |= (unsigned)draw_dense(F(), &v[i], words[i]) << i;
    if (drawn == 15) return;
#pragma unroll 1
    for (int i = 0; i < 4; i++) { // what is at hand is always first
        typename group4<typename F::bits>::wide x = v[0];
        if ((drawn >> i & 1) == 0) prune_group<F, APPROX>(&x, words);
        v[0] = v[1];
        v[1] = v[2];
        v[2] = v[3];
        v[3] = x;
        turn<APPROX>(words);
    }
}

// ---- mvue24 along rows: one thread four groups

// Sixteen numbers, n of them there: of 16 bits a share, which two instructions move.
static __device__ __forceinline__ void load_four(const uint16_t *x, int n, uint2 v[4]) {
    const share<uint16_t> s = load_share(x, n);
#pragma unroll
    for (int i = 0; i < 4; i++)
        v[i] = s.group[i];
}
static __device__ __forceinline__ void load_four(const uint32_t *x, int n, uint4 v[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++)
        v[i] = load4(x + 4 * i, n - 4 * i < 4 ? n - 4 * i : 4);
}
static __device__ __forceinline__ void store_four(uint16_t *y, int n, const uint2 v[4]) {
    const share<uint16_t> s = {{v[0], v[1], v[2], v[3]}};
    store_share(y, n, s);
}
static __device__ __forceinline__ void store_four(uint32_t *y, int n, const uint4 v[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++)
        store4(y + 4 * i, n - 4 * i < 4 ? n - 4 * i : 4, v[i]);
}

template <class F, bool APPROX>
static __device__ __forceinline__ void prune_rows(const wn__gpu_mvue24 &p) {
    typedef typename F::bits T;
    const int64_t groups = (p.columns + 3) / 4, g0 = 4 * share_number();
    const int64_t left = p.columns - 4 * g0;
    const int n = left < 16 ? (int)left : 16;
    if (g0 >= groups) return;
    for (int64_t r = first_row(); r < p.rows; r += row_step()) {
        uint32_t words[APPROX ? 8 : 4];
        typename group4<T>::wide v[4];
        load_four((const T *)p.x + r * p.stride + 4 * g0, n, v);
        draw<4, APPROX>(p.draws, (uint64_t)(r * groups + g0), words);
        prune_four<F, APPROX>(v, words);
        store_four((T *)p.y + r * p.y_stride + 4 * g0, n, v);
    }
}

// ---- along tokens: one thread four columns of four rows

// Rows r to r + 3 of columns c to c + 3, what is missing as zeros.
template <class T>
static __device__ __forceinline__ void load_tile(const T *x, int64_t stride, int64_t rows,
                                                 int64_t columns, int64_t r, int64_t c,
                                                 typename group4<T>::wide v[4]) {
    typedef typename group4<T>::wide wide;
    const int n = columns_of_group(columns, c / 4);
    const T *from = x + r * stride + c;
    if (n == 4 && r + 4 <= rows && (stride & 3) == 0 && aligned(from, sizeof(wide))) {
#pragma unroll
        for (int i = 0; i < 4; i++)
            v[i] = __ldcs((const wide *)(from + i * stride));
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
        v[i] = load4(from + i * stride, r + i < rows ? n : 0);
}

// Four rows as four columns, pruned.
template <class F, bool APPROX>
static __device__ __forceinline__ void
prune_columns(const wn__gpu_draws &draws, uint64_t k,
              const typename group4<typename F::bits>::wide v[4],
              typename group4<typename F::bits>::wide columns[4]) {
    uint32_t words[APPROX ? 8 : 4];
    draw<4, APPROX>(draws, k, words);
    transpose<typename F::bits>(v, columns);
    prune_four<F, APPROX>(columns, words);
}

template <class F, bool APPROX>
static __device__ __forceinline__ void prune_tokens(const wn__gpu_mvue24 &p) {
    typedef typename F::bits T;
    const int64_t c = 4 * share_number();
    const int n = columns_of_group(p.columns, c / 4);
    if (n == 0) return;
    for (int64_t t = first_row(); 4 * t < p.rows; t += row_step()) {
        typename group4<T>::wide v[4], columns[4];
        load_tile((const T *)p.x, p.stride, p.rows, p.columns, 4 * t, c, v);
        prune_columns<F, APPROX>(p.draws, (uint64_t)(t * p.columns + c), v, columns);
        transpose<T>(columns, v);
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (4 * t + i < p.rows) store4((T *)p.y + (4 * t + i) * p.y_stride + c, n, v[i]);
    }
}

// ---- packed transposes: one block a strip (common/strip24.cuh)

// The first two of four that are not zero.
template <class T>
static __device__ __forceinline__ unsigned first_two(typename group4<T>::wide column) {
    unsigned some = 0;
#pragma unroll
    for (int i = 0; i < 4; i++)
        some |= (unsigned)((T)(at(column, i) << 1) != 0) << i;
    const unsigned first = some & (0u - some), rest = some ^ first;
    return first | (rest & (0u - rest));
}

// The columns of a lane's tiles, masks four bits each, into shared memory.
template <class T>
static __device__ __forceinline__ void stage_columns(strip24<T> *s, int tile,
                                                     const typename group4<T>::wide columns[4],
                                                     unsigned masks, uint32_t places[2]) {
    typename group4<T>::pair out[4];
    uint32_t nibbles;
    pack_tile<T>(columns, masks, &nibbles, out);
    stage_strip(s, tile, out, nibbles, places);
}

template <class F, bool APPROX>
static __device__ __forceinline__ void mvue_pack(const wn__gpu_tokens24 &p) {
    typedef typename F::bits T;
    typedef strip24<T> S;
    __shared__ S s;
    const int64_t c0 = (int64_t)blockIdx.x * S::COLUMNS, c = c0 + 4 * (threadIdx.x & 31);
    for (int64_t r0 = (int64_t)blockIdx.y * S::ROWS; r0 < p.rows;
         r0 += (int64_t)gridDim.y * S::ROWS) {
        uint32_t places[2] = {0, 0};
#pragma unroll 1
        for (int i = 0; i < 4; i++) {
            const int64_t r = r0 + 16 * (threadIdx.x >> 5) + 4 * i;
            typename group4<T>::wide v[4], columns[4];
            unsigned masks = 0;
            load_tile((const T *)p.x, p.stride, p.rows, p.columns, r, c, v);
            prune_columns<F, APPROX>(p.draws, (uint64_t)(r / 4 * p.columns + c), v, columns);
            const int64_t left = p.rows - r; // what is missing may have become NaN
            const unsigned exist = left <= 0 ? 0 : left < 4 ? (1u << left) - 1 : 15;
#pragma unroll
            for (int j = 0; j < 4; j++)
                masks |= (first_two<T>(columns[j]) & exist) << 4 * j;
            stage_columns<T>(&s, i, columns, masks, places);
        }
        stage_places(&s, places);
        __syncthreads();
        unload_strip(&s, (T *)p.values, p.index, c0, p.columns, r0 / 4, (p.rows + 3) / 4);
        __syncthreads();
    }
}

// The row of x at place i of the order; -1 where there is none, or none that exists.
static __device__ __forceinline__ int64_t row_at(const wn__gpu_tokens24 &p, int64_t i) {
    if (i >= p.rows) return -1;
    if (p.order == nullptr) return i;
    const int64_t row = p.order[i];
    return row >= 0 && row < p.rows ? row : -1;
}

// A whole warp: n columns of the rows that lanes `from` to from + 3 know.
template <class T>
static __device__ __forceinline__ void load_ordered(const T *x, int64_t stride, int64_t own,
                                                    int from, int n, typename group4<T>::wide v[4],
                                                    unsigned *exist) {
    *exist = 0;
#pragma unroll
    for (int k = 0; k < 4; k++) {
        const int64_t row = __shfl_sync(0xFFFFFFFFu, own, from + k);
        v[k] = load4(x + row * stride, row < 0 ? 0 : n);
        *exist |= (unsigned)(row >= 0) << k;
    }
}

template <class T> static __device__ __forceinline__ void pack_tokens(const wn__gpu_tokens24 &p) {
    typedef strip24<T> S;
    __shared__ S s;
    const int64_t c0 = (int64_t)blockIdx.x * S::COLUMNS, c = c0 + 4 * (threadIdx.x & 31);
    const int n = columns_of_group(p.columns, c / 4);
    unsigned dense = 0;
#pragma unroll
    for (int j = 0; j < 4; j++)
        dense |= (unsigned)(p.dense != nullptr && j < n && p.dense[c + j] != 0) << j;
    for (int64_t r0 = (int64_t)blockIdx.y * S::ROWS; r0 < p.rows;
         r0 += (int64_t)gridDim.y * S::ROWS) {
        uint32_t places[2] = {0, 0};
        // every lane knows one of its warp's 16 rows
        const int64_t own = row_at(p, r0 + 16 * (threadIdx.x >> 5) + (threadIdx.x & 15));
        unsigned exist, next_exist;
        typename group4<T>::wide v[4], next[4], columns[4];
        load_ordered((const T *)p.x + c, p.stride, own, 0, n, next, &next_exist);
#pragma unroll 1
        for (int i = 0; i < 4; i++) {
            unsigned masks = 0;
            exist = next_exist;
#pragma unroll
            for (int k = 0; k < 4; k++)
                v[k] = next[k];
            if (i < 3)
                load_ordered((const T *)p.x + c, p.stride, own, 4 * i + 4, n, next, &next_exist);
            transpose<T>(v, columns);
#pragma unroll
            for (int j = 0; j < 4; j++)
                masks |= (dense >> j & 1 ? 3 & exist : first_two<T>(columns[j])) << 4 * j;
            stage_columns<T>(&s, i, columns, masks, places);
        }
        stage_places(&s, places);
        __syncthreads();
        unload_strip(&s, (T *)p.values, p.index, c0, p.columns, r0 / 4, (p.rows + 3) / 4);
        __syncthreads();
    }
}

// Places 2 and 3 of marked columns, one block row a column: what extra names.
template <class T> static __device__ __forceinline__ void pack_extra(const wn__gpu_tokens24 &p) {
    const int64_t groups = (p.rows + 3) / 4, pairs = (groups + 1) / 2;
    for (int64_t i = blockIdx.y; i < p.extras; i += gridDim.y) {
        const int64_t column = p.extra[i], to = p.columns + i;
        if (column < 0 || column >= p.columns) continue; // too few are marked, which is refused
        for (int64_t g = (int64_t)blockIdx.x * WN_GPU_THREADS + threadIdx.x; g < groups;
             g += (int64_t)gridDim.x * WN_GPU_THREADS) {
#pragma unroll
            for (int place = 0; place < 2; place++) {
                const int64_t row = row_at(p, 4 * g + 2 + place);
                ((T *)p.values)[2 * (to * groups + g) + place] =
                    row < 0 ? (T)0 : ((const T *)p.x)[row * p.stride + column];
            }
            if (g % 2 == 0) p.index[to * pairs + g / 2] = 0xEE;
        }
    }
}

// Refuses, and finds the marked columns in order. One block.
extern "C" __global__ void __launch_bounds__(WN_GPU_THREADS) wn_pack24_begin(wn__gpu_tokens24 p) {
    enum { WARPS = WN_GPU_THREADS / 32 };
    __shared__ int warp_count[WARPS];
    const int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x >> 5;
    int64_t before = 0;
    bool good = true;
    for (int64_t i = threadIdx.x; i < p.rows; i += WN_GPU_THREADS)
        good &= row_at(p, i) >= 0;
    if (!good) leave(p.fault, p.number);
    if (p.dense == nullptr) return;
    for (int64_t j0 = 0; j0 < p.columns; j0 += WN_GPU_THREADS) {
        const int64_t j = j0 + threadIdx.x;
        const bool marked = j < p.columns && p.dense[j] != 0;
        const unsigned votes = __ballot_sync(0xFFFFFFFFu, marked);
        if (lane == 0) warp_count[warp] = __popc(votes);
        __syncthreads();
        int64_t rank = before + __popc(votes & ((1u << lane) - 1));
#pragma unroll
        for (int w = 0; w < (int)WARPS; w++) {
            if (w < warp) rank += warp_count[w];
            before += warp_count[w];
        }
        if (marked && rank < p.extras) p.extra[rank] = (int32_t)j;
        __syncthreads();
    }
    if (threadIdx.x == 0 && before != p.extras) leave(p.fault, p.number);
}

// ---- what the host launches

#define ENTRY(name, args, ...)                                                                     \
    extern "C" __global__ void __launch_bounds__(WN_GPU_THREADS) name(const args p) {              \
        __VA_ARGS__(p);                                                                            \
    }

#define STRIPS(size, name, args, ...)                                                              \
    extern "C" __global__ void __launch_bounds__(32 * WN_GPU_STRIP_WARPS(size))                    \
        name(const args p) {                                                                       \
        __VA_ARGS__(p);                                                                            \
    }

ENTRY(wn_mvue24_rows_exact_f32, wn__gpu_mvue24, prune_rows<f32, false>)
ENTRY(wn_mvue24_rows_exact_bf16, wn__gpu_mvue24, prune_rows<bf16, false>)
ENTRY(wn_mvue24_rows_exact_f16, wn__gpu_mvue24, prune_rows<f16, false>)
ENTRY(wn_mvue24_rows_approx_f32, wn__gpu_mvue24, prune_rows<f32, true>)
ENTRY(wn_mvue24_rows_approx_bf16, wn__gpu_mvue24, prune_rows<bf16, true>)
ENTRY(wn_mvue24_rows_approx_f16, wn__gpu_mvue24, prune_rows<f16, true>)
ENTRY(wn_mvue24_tokens_exact_f32, wn__gpu_mvue24, prune_tokens<f32, false>)
ENTRY(wn_mvue24_tokens_exact_bf16, wn__gpu_mvue24, prune_tokens<bf16, false>)
ENTRY(wn_mvue24_tokens_exact_f16, wn__gpu_mvue24, prune_tokens<f16, false>)
ENTRY(wn_mvue24_tokens_approx_f32, wn__gpu_mvue24, prune_tokens<f32, true>)
ENTRY(wn_mvue24_tokens_approx_bf16, wn__gpu_mvue24, prune_tokens<bf16, true>)
ENTRY(wn_mvue24_tokens_approx_f16, wn__gpu_mvue24, prune_tokens<f16, true>)
STRIPS(4, wn_mvue24_pack_exact_f32, wn__gpu_tokens24, mvue_pack<f32, false>)
STRIPS(2, wn_mvue24_pack_exact_bf16, wn__gpu_tokens24, mvue_pack<bf16, false>)
STRIPS(2, wn_mvue24_pack_exact_f16, wn__gpu_tokens24, mvue_pack<f16, false>)
STRIPS(4, wn_mvue24_pack_approx_f32, wn__gpu_tokens24, mvue_pack<f32, true>)
STRIPS(2, wn_mvue24_pack_approx_bf16, wn__gpu_tokens24, mvue_pack<bf16, true>)
STRIPS(2, wn_mvue24_pack_approx_f16, wn__gpu_tokens24, mvue_pack<f16, true>)
STRIPS(4, wn_pack24_tokens_4, wn__gpu_tokens24, pack_tokens<uint32_t>)
STRIPS(2, wn_pack24_tokens_2, wn__gpu_tokens24, pack_tokens<uint16_t>)
ENTRY(wn_pack24_extra_4, wn__gpu_tokens24, pack_extra<uint32_t>)
ENTRY(wn_pack24_extra_2, wn__gpu_tokens24, pack_extra<uint16_t>)
