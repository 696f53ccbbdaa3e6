// SPDX-License-Identifier: MIT
// to[m][column][row] = from[m][row][column], or that added to what is there: tiles go through
// shared memory, so that both sides are taken 16 bytes at a time wherever they lie that way.
#include "kernels/cuda/args_kron_permute.h"
#include "kernels/cuda/common/number.cuh"

static __device__ __forceinline__ uint32_t over(uint32_t x, const wn__gpu_divide &d) {
    return d.magic != 0 ? __umulhi(x, d.magic) : x;
}

// 16 bytes as numbers, and back.
static __device__ __forceinline__ void apart(uint4 v, uint32_t (&to)[4]) {
    split(v, to);
}
static __device__ __forceinline__ void apart(uint4 v, uint16_t (&to)[8]) {
#pragma unroll
    for (int j = 0; j < 8; j++)
        to[j] = (uint16_t)(at(v, j / 2) >> 16 * (j % 2));
}
static __device__ __forceinline__ uint4 joined(const uint32_t (&v)[4]) {
    return join(v);
}
static __device__ __forceinline__ uint4 joined(const uint16_t (&v)[8]) {
    return make_uint4(v[0] | (uint32_t)v[1] << 16, v[2] | (uint32_t)v[3] << 16,
                      v[4] | (uint32_t)v[5] << 16, v[6] | (uint32_t)v[7] << 16);
}

// What a block of threads has: matrices, rows and columns from here on.
typedef struct tile {
    int64_t matrix, row, column;
    int matrices, rows, columns;
} tile;

static __device__ __forceinline__ int some(int64_t all, int64_t from, int most) {
    return all - from < most ? (int)(all - from) : most;
}

// Piece i of a tile's numbers: its matrix, the line across and the place along it. Lines are rows
// where it is read, columns where it is written.
typedef struct place {
    int matrix, line, along;
} place;
static __device__ __forceinline__ place place_of(uint32_t i, const wn__gpu_divide &plane,
                                                 const wn__gpu_divide &length) {
    place at;
    at.matrix = (int)over(i, plane);
    const uint32_t in = i - (uint32_t)at.matrix * plane.by;
    at.line = (int)over(in, length);
    at.along = (int)(in - (uint32_t)at.line * length.by);
    return at;
}

template <class T, int EACH>
static __device__ __forceinline__ void take(const wn__gpu_kron_permute &p, const tile &t,
                                            const int64_t *base, T *shared) {
    const int count = p.matrices * (int)p.plane.by;
    const T *from = (const T *)p.from;
    enum { AHEAD = 4 };
    for (int first = (int)threadIdx.x * EACH; first < count;
         first += AHEAD * WN_KRON_PERMUTE_THREADS * EACH) {
        place at[AHEAD];
        T v[AHEAD][EACH];
#pragma unroll
        for (int u = 0; u < AHEAD; u++) {
            const int i = first + u * WN_KRON_PERMUTE_THREADS * EACH;
            at[u] = place_of((uint32_t)i, p.plane, p.column);
            const bool in = i < count && at[u].matrix < t.matrices && at[u].line < t.rows &&
                            at[u].along < t.columns;
            if (!in) at[u].matrix = -1;
            if (!in) continue;
            const T *x = from + base[at[u].matrix] + (t.row + at[u].line) * p.in.row +
                         (t.column + at[u].along) * p.in.column;
            if constexpr (EACH == 1)
                v[u][0] = *x;
            else
                apart(__ldg((const uint4 *)x), v[u]);
        }
#pragma unroll
        for (int u = 0; u < AHEAD; u++) {
            if (at[u].matrix < 0) continue;
            const int plane = at[u].matrix * (int)p.row.by * p.pitch;
#pragma unroll
            for (int j = 0; j < EACH; j++) {
                shared[plane + at[u].line * p.pitch + at[u].along] = v[u][j];
                if (++at[u].along == (int)p.column.by) {
                    at[u].along = 0;
                    at[u].line++;
                }
            }
        }
    }
}

template <class F>
static __device__ __forceinline__ typename F::bits sum(F f, uint32_t v, typename F::bits there) {
    return rounded(f, number(f, there) + __uint_as_float(v));
}

template <class T, class F, bool ADD, int EACH>
static __device__ __forceinline__ void give(const wn__gpu_kron_permute &p, const tile &t,
                                            const int64_t *base, const T *shared) {
    typedef typename F::bits bits;
    const int count = p.matrices * (int)p.plane.by;
    for (int i = (int)threadIdx.x * EACH; i < count; i += WN_KRON_PERMUTE_THREADS * EACH) {
        place at = place_of((uint32_t)i, p.plane, p.row);
        if (at.matrix >= t.matrices || at.line >= t.columns || at.along >= t.rows) continue;
        bits *y = (bits *)p.to + base[at.matrix] + (t.row + at.along) * p.out.row +
                  (t.column + at.line) * p.out.column;
        const T *plane = shared + at.matrix * (int)p.row.by * p.pitch;
        bits v[EACH], there[EACH] = {0};
        if constexpr (ADD && EACH == 1) there[0] = *y;
        if constexpr (ADD && EACH > 1) apart(*(const uint4 *)y, there);
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            const T number = plane[at.along * p.pitch + at.line];
            if constexpr (ADD)
                v[j] = sum(F(), number, there[j]);
            else
                v[j] = (bits)number;
            if (++at.along == (int)p.row.by) {
                at.along = 0;
                at.line++;
            }
        }
        if constexpr (EACH == 1)
            *y = v[0];
        else
            *(uint4 *)y = joined(v);
    }
}

// Bits of T become bits of F.
template <class T, class F, bool ADD>
static __device__ __forceinline__ void permute(const wn__gpu_kron_permute &p) {
    extern __shared__ uint4 words[];
    __shared__ int64_t from[WN_KRON_PERMUTE_THREADS], to[WN_KRON_PERMUTE_THREADS];
    T *shared = (T *)words;
    tile t;
    const int64_t all = p.outer[0] * p.outer[1];
    t.matrix = (int64_t)blockIdx.x * p.matrices;
    t.matrices = some(all, t.matrix, p.matrices);
    if ((int)threadIdx.x < t.matrices) {
        const int64_t m = t.matrix + threadIdx.x, first = m / p.outer[1];
        const int64_t second = m - first * p.outer[1];
        from[threadIdx.x] = first * p.in.matrix[0] + second * p.in.matrix[1];
        to[threadIdx.x] = first * p.out.matrix[0] + second * p.out.matrix[1];
    }
    for (t.row = (int64_t)blockIdx.y * p.row.by; t.row < p.rows;
         t.row += (int64_t)gridDim.y * p.row.by)
        for (t.column = (int64_t)blockIdx.z * p.column.by; t.column < p.columns;
             t.column += (int64_t)gridDim.z * p.column.by) {
            t.rows = some(p.rows, t.row, (int)p.row.by);
            t.columns = some(p.columns, t.column, (int)p.column.by);
            __syncthreads(); // offsets are there, the last tile has gone
            if (p.in.wide)
                take<T, 16 / sizeof(T)>(p, t, from, shared);
            else
                take<T, 1>(p, t, from, shared);
            __syncthreads();
            if (p.out.wide)
                give<T, F, ADD, 16 / sizeof(typename F::bits)>(p, t, to, shared);
            else
                give<T, F, ADD, 1>(p, t, to, shared);
        }
}

#define PERMUTE(name, T, F, ADD)                                                                   \
    extern "C" __global__ void __launch_bounds__(WN_KRON_PERMUTE_THREADS)                          \
        wn_kron_##name(const __grid_constant__ wn__gpu_kron_permute p) {                           \
        permute<T, F, ADD>(p);                                                                     \
    }
PERMUTE(permute_4, uint32_t, f32, false)
PERMUTE(permute_2, uint16_t, bf16, false)
PERMUTE(permute_add_f32, uint32_t, f32, true)
PERMUTE(permute_add_bf16, uint32_t, bf16, true)
PERMUTE(permute_add_f16, uint32_t, f16, true)
