// SPDX-License-Identifier: MIT
// 4x4 tiles: their exact masks (mask24), mask and both packs in one pass (tile24), both packs or
// that of the transpose under a given mask (pack24). A thread takes four tiles, one below the
// other, and fetches the next while it works on one.
#include "kernels/cuda/args24.h"
#include "kernels/cuda/common/strip24.cuh"
#include "kernels/cuda/common/tile24.cuh"

// Rows r to r + 3 of group g, zeros beyond `rows` or n columns. whole: four elements of a row are
// aligned.
template <class T>
static __device__ __forceinline__ void load_rows(const T *w, int64_t stride, int64_t r,
                                                 int64_t rows, int64_t g, int n, bool whole,
                                                 typename group4<T>::wide v[4]) {
    typedef typename group4<T>::wide wide;
    const T *from = w + r * stride + 4 * g;
    if (whole && n == 4 && r + 4 <= rows) {
#pragma unroll
        for (int i = 0; i < 4; i++)
            v[i] = __ldcs((const wide *)(from + i * stride));
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
        v[i] = load4(from + i * stride, r + i < rows ? n : 0);
}
template <class T> static __device__ __forceinline__ bool whole_rows(const T *w, int64_t stride) {
    return aligned(w, 4 * sizeof(T)) && (stride & 3) == 0;
}

// Four rows from p on, all there and aligned.
template <class T>
static __device__ __forceinline__ void load_whole(const T *p, int64_t stride,
                                                  typename group4<T>::wide v[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++)
        v[i] = __ldcs((const typename group4<T>::wide *)(p + i * stride));
}

// ---- mask24

template <class F> static __device__ __forceinline__ void mask_any(const wn__gpu_mask24 &p) {
    typedef typename F::bits T;
    const int64_t g = share_number(), tiles = p.rows / 4;
    const bool in = g < p.groups, whole = whole_rows((const T *)p.w, p.stride);
    bool nan = false;
#pragma unroll 1
    for (int64_t t = first_row(); t < tiles; t += row_step()) {
        typename group4<T>::wide v[4];
        load_rows((const T *)p.w, p.stride, 4 * t, p.rows, g, in ? 4 : 0, whole, v);
        const unsigned mask = tile_mask<F>(v, in, &nan);
        uint8_t *to = p.mask + 4 * t * p.groups + g;
#pragma unroll
        for (int r = 0; r < 4; r++)
            if (in) to[r * p.groups] = (uint8_t)(mask >> 4 * r & 15);
    }
    if (nan) leave(p.fault, p.number);
}

// Warps that have 32 tiles, all aligned: pointers advance, and four lanes store four masks each.
template <class F> static __device__ __forceinline__ void mask_tile(const wn__gpu_mask24 &p) {
    typedef typename F::bits T;
    typedef typename group4<T>::wide wide;
    const int64_t g = share_number(), tiles = p.rows / 4, step = 4 * row_step();
    if (!whole_rows((const T *)p.w, p.stride) || p.groups % 4 != 0 || !aligned(p.mask, 4) ||
        ((int64_t)blockIdx.x + 1) * 32 > p.groups) {
        mask_any<F>(p);
        return;
    }
    int64_t t = first_row();
    if (t >= tiles) return;
    const T *from = (const T *)p.w + 4 * t * p.stride + 4 * g;
    uint8_t *to = p.mask + (4 * t + (g & 3)) * p.groups + (g & ~(int64_t)3);
    const int64_t from_step = step * p.stride, to_step = step * p.groups;
    bool nan = false;
    wide next[4];
    load_whole(from, p.stride, next);
#pragma unroll 1
    for (; t < tiles; t += row_step()) {
        const wide v[4] = {next[0], next[1], next[2], next[3]};
        from += from_step;
        if (t + row_step() < tiles) load_whole(from, p.stride, next);
        const unsigned mask = tile_mask<F>(v, true, &nan);
        __stcs((uint32_t *)to, bytes_of(turned_in_four(mask)));
        to += to_step;
    }
    if (nan) leave(p.fault, p.number);
}

// ---- strips one after the other

// The strips that a block takes, and whether the one at hand lies inside of the matrix.
template <class T> struct strip_walk {
    unsigned down, right; // strips before it
    unsigned step_down, step_right, across, count_down;
    int64_t rows, columns;
    bool easy;
    __device__ __forceinline__ strip_walk(int64_t r, int64_t c, bool e)
        : rows(r), columns(c), easy(e) {
        across = (unsigned)((columns + strip24<T>::COLUMNS - 1) / strip24<T>::COLUMNS);
        count_down = (unsigned)((rows + strip24<T>::ROWS - 1) / strip24<T>::ROWS);
        down = blockIdx.x / across;
        right = blockIdx.x % across;
        step_down = gridDim.x / across;
        step_right = gridDim.x % across;
    }
    __device__ __forceinline__ bool there() const { return down < count_down; }
    __device__ __forceinline__ void next() {
        down += step_down;
        right += step_right;
        if (right >= across) {
            right -= across;
            down++;
        }
    }
    __device__ __forceinline__ int64_t r0() const { return (int64_t)down * strip24<T>::ROWS; }
    __device__ __forceinline__ int64_t c0() const { return (int64_t)right * strip24<T>::COLUMNS; }
    __device__ __forceinline__ bool inside() const {
        return easy && r0() + strip24<T>::ROWS <= rows && c0() + strip24<T>::COLUMNS <= columns;
    }
    // of the calling lane's four tiles
    __device__ __forceinline__ int64_t row() const { return r0() + 16 * (threadIdx.x >> 5); }
    __device__ __forceinline__ int64_t group() const { return c0() / 4 + (threadIdx.x & 31); }
    __device__ __forceinline__ const T *first(const T *w, int64_t stride) const {
        return w + row() * stride + 4 * group();
    }
    // four masks of one of its first four rows
    template <class M> __device__ __forceinline__ M *masks(M *mask, int64_t groups) const {
        return mask + (row() + (group() & 3)) * groups + (group() & ~(int64_t)3);
    }
};

// Rows that are packed: where this lane's values and, of one row in four, its index go.
template <class T> struct strip_rows {
    typename group4<T>::pair *values;
    uint8_t *index;
    int64_t groups;
    __device__ __forceinline__ strip_rows(void *v, uint8_t *x, int64_t of, int64_t r, int64_t g) {
        groups = of;
        values = (typename group4<T>::pair *)v + r * groups + g;
        index = x + (r + (g & 3)) * (groups / 2) + (g >> 2) * 2;
    }
    // places: nibbles of this lane's row of four
    __device__ __forceinline__ void store(const typename group4<T>::pair out[4], unsigned places) {
        *(uint16_t *)index = (uint16_t)places;
#pragma unroll
        for (int i = 0; i < 4; i++)
            __stcs(values + i * groups, out[i]);
        values += 4 * groups;
        index += 2 * groups;
    }
};

// Whether strips inside of a matrix can be stored by whole pieces.
template <class T>
static __device__ __forceinline__ bool
easy_strips(const void *w, int64_t stride, const uint8_t *mask, const void *values,
            const uint8_t *index, const void *values_t, int64_t rows, int64_t columns) {
    return whole_rows((const T *)w, stride) && columns % 16 == 0 && rows % 16 == 0 &&
           aligned(mask, 4) && aligned(values, 2 * sizeof(T)) && aligned(index, 2) &&
           aligned(values_t, 16);
}

// ---- tile24

template <class F>
static __device__ __forceinline__ void
tile24_any(const wn__gpu_tile24 &p, strip24<typename F::bits> *s,
           const strip_walk<typename F::bits> &at, bool *nan) {
    typedef typename F::bits T;
    const T *w = (const T *)p.w;
    const int64_t groups = p.columns / 4, g = at.group();
    const bool whole = whole_rows(w, p.stride), pairs = aligned(p.values, 2 * sizeof(T));
    const int n = g < groups ? 4 : 0;
    uint32_t places[2] = {0, 0};
#pragma unroll 1
    for (int i = 0; i < 4; i++) {
        const int64_t r = at.row() + 4 * i;
        const bool in = n == 4 && r < p.rows;
        typename group4<T>::wide v[4], columns[4];
        typename group4<T>::pair out[4];
        load_rows(w, p.stride, r, p.rows, g, n, whole, v);
        // of tiles that are not there only 0xE nibbles are stored
        unsigned mask = tile_mask<F>(v, in, nan);
        mask = in ? mask : 0xCCCC;
#pragma unroll
        for (int k = 0; k < 4; k++)
            if (in) p.mask[(r + k) * groups + g] = (uint8_t)(mask >> 4 * k & 15);
        uint32_t nibbles = nibbles_of(mask);
        pick_full(v, mask, nibbles, out);
        store_rows((T *)p.values, p.index, r, p.rows, g, groups, out, nibbles, pairs);
        if (in) mask = columns_of_rows(mask);
        transpose<T>(v, columns);
        nibbles = nibbles_of(mask);
        pick_full(columns, mask, nibbles, out);
        stage_strip(s, i, out, nibbles, places);
    }
    stage_places(s, places);
    __syncthreads();
    unload_strip(s, (T *)p.values_t, p.index_t, at.c0(), p.columns, at.r0() / 4, p.rows / 4);
}

// Tiles that are on their way while a lane works on one, and code for so many at once: of 16-bit
// numbers two fit the registers, of float32 the tiles themselves take them.
template <class T> struct strip_pace {
    enum { AHEAD = sizeof(T) / 2, UNROLL = 4 / sizeof(T) };
};

// A strip inside: nothing is asked. next: its first tiles, then those from `then` on.
template <class F>
static __device__ __forceinline__ void
tile24_inside(const wn__gpu_tile24 &p, strip24<typename F::bits> *s,
              const strip_walk<typename F::bits> &at, const typename F::bits *then,
              typename group4<typename F::bits>::wide (*next)[4], bool *nan) {
    typedef typename F::bits T;
    typedef typename group4<T>::wide wide;
    enum { AHEAD = strip_pace<T>::AHEAD };
    const int64_t groups = p.columns / 4, r = at.row(), g = at.group();
    const T *from = at.first((const T *)p.w, p.stride);
    uint8_t *mask_to = at.masks(p.mask, groups);
    strip_rows<T> rows(p.values, p.index, groups, r, g);
    uint32_t places[2] = {0, 0};
    from += 4 * (AHEAD - 1) * p.stride;
#pragma unroll(int) strip_pace < T> ::UNROLL
    for (int i = 0; i < 4; i++) {
        const wide v[4] = {next[0][0], next[0][1], next[0][2], next[0][3]};
        wide columns[4];
        typename group4<T>::pair out[4];
        if (AHEAD == 2) {
#pragma unroll
            for (int k = 0; k < 4; k++)
                next[0][k] = next[1][k];
        }
        from = i != 4 - AHEAD ? from + 4 * p.stride : then;
        if (i < 4 - AHEAD || then != nullptr) load_whole(from, p.stride, next[AHEAD - 1]);
        const unsigned mask = tile_mask<F>(v, true, nan), turned = turned_in_four(mask);
        __stcs((uint32_t *)mask_to, bytes_of(turned));
        mask_to += 4 * groups;
        pick_full(v, mask, nibbles_of(mask), out);
        rows.store(out, masks_of(nibbles_of(turned)));
        transpose<T>(v, columns);
        const unsigned mask_t = columns_of_rows(mask);
        const uint32_t nibbles = nibbles_of(mask_t);
        pick_full(columns, mask_t, nibbles, out);
        stage_strip(s, i, out, nibbles, places);
    }
    stage_places(s, places);
    __syncthreads();
    unload_strip<T, true>(s, (T *)p.values_t, p.index_t, at.c0(), p.columns, at.r0() / 4,
                          p.rows / 4);
}

template <class F> static __device__ __forceinline__ void tile24(const wn__gpu_tile24 &p) {
    typedef typename F::bits T;
    __shared__ strip24<T> s;
    strip_walk<T> at(
        p.rows, p.columns,
        easy_strips<T>(p.w, p.stride, p.mask, p.values, p.index, p.values_t, p.rows, p.columns));
    bool nan = false, ahead = false;
    enum { AHEAD = strip_pace<T>::AHEAD };
    typename group4<T>::wide next[AHEAD][4];
    while (at.there()) {
        strip_walk<T> then = at;
        then.next();
        if (at.inside()) {
            const T *from = at.first((const T *)p.w, p.stride);
#pragma unroll
            for (int i = 0; i < (int)AHEAD; i++)
                if (!ahead) load_whole(from + 4 * i * p.stride, p.stride, next[i]);
            ahead = then.there() && then.inside();
            tile24_inside<F>(p, &s, at, ahead ? then.first((const T *)p.w, p.stride) : nullptr,
                             next, &nan);
        } else {
            tile24_any<F>(p, &s, at, &nan);
            ahead = false;
        }
        at = then;
        __syncthreads();
    }
    if (nan) leave(p.fault, p.number);
}

// ---- pack24, the transpose, with the rows or without

template <class T>
static __device__ __forceinline__ void pack_any(const wn__gpu_pack24 &p, strip24<T> *s,
                                                const strip_walk<T> &at, bool *good) {
    const T *w = (const T *)p.w;
    const int64_t g = at.group(), left = p.columns - 4 * g;
    const int n = left < 0 ? 0 : left < 4 ? (int)left : 4;
    const bool whole = whole_rows(w, p.stride);
    const bool pairs = p.values != nullptr && aligned(p.values, 2 * sizeof(T));
    uint32_t places[2] = {0, 0};
#pragma unroll 1
    for (int i = 0; i < 4; i++) {
        const int64_t r = at.row() + 4 * i;
        typename group4<T>::wide v[4], across[4];
        typename group4<T>::pair out[4];
        unsigned mask = 0, beyond = 0;
        uint32_t nibbles;
        load_rows(w, p.stride, r, p.rows, g, n, whole, v);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            const unsigned m = r + k < p.rows && n > 0 ? p.mask[(r + k) * p.groups + g] : 0u;
            mask |= (m & 15) << 4 * k;
            beyond |= m >> n;
        }
        const unsigned mask_t = columns_of_rows(mask);
        *good &= beyond == 0 && fit(mask) && fit(mask_t);
        if (p.values != nullptr) {
            pack_tile<T>(v, mask, &nibbles, out);
            store_rows((T *)p.values, p.index, r, p.rows, g, p.groups, out, nibbles, pairs);
        }
        transpose<T>(v, across);
        pack_tile<T>(across, mask_t, &nibbles, out);
        stage_strip(s, i, out, nibbles, places);
    }
    stage_places(s, places);
    __syncthreads();
    unload_strip(s, (T *)p.values_t, p.index_t, at.c0(), p.columns, at.r0() / 4, (p.rows + 3) / 4);
}

// A strip inside: four lanes read four masks of a row each.
template <class T>
static __device__ __forceinline__ void
pack_inside(const wn__gpu_pack24 &p, strip24<T> *s, const strip_walk<T> &at, const T *then,
            const uint8_t *then_mask, typename group4<T>::wide next[4], uint32_t *next_mask,
            bool *good) {
    typedef typename group4<T>::wide wide;
    const int64_t groups = p.groups, r = at.row(), g = at.group();
    const T *from = at.first((const T *)p.w, p.stride);
    const uint8_t *mask_from = at.masks(p.mask, groups);
    strip_rows<T> rows(p.values, p.index, groups, r, g);
    uint32_t places[2] = {0, 0}, nibbles;
#pragma unroll 2
    for (int i = 0; i < 4; i++) {
        const wide v[4] = {next[0], next[1], next[2], next[3]};
        const uint32_t bytes = *next_mask;
        wide columns[4];
        typename group4<T>::pair out[4];
        from = i < 3 ? from + 4 * p.stride : then;
        mask_from = i < 3 ? mask_from + 4 * groups : then_mask;
        if (from != nullptr) {
            load_whole(from, p.stride, next);
            *next_mask = __ldcs((const uint32_t *)mask_from);
        }
        const unsigned turned = masks_of(bytes), mask = turned_in_four(turned);
        const unsigned mask_t = columns_of_rows(mask);
        *good &= (bytes & 0xF0F0F0F0u) == 0 && fit(mask) && fit(mask_t);
        if (p.values != nullptr) {
            pack_tile<T>(v, mask, &nibbles, out);
            rows.store(out, turned_in_four(masks_of(nibbles)));
        }
        transpose<T>(v, columns);
        pack_tile<T>(columns, mask_t, &nibbles, out);
        stage_strip(s, i, out, nibbles, places);
    }
    stage_places(s, places);
    __syncthreads();
    unload_strip<T, true>(s, (T *)p.values_t, p.index_t, at.c0(), p.columns, at.r0() / 4,
                          (p.rows + 3) / 4);
}

template <class T> static __device__ __forceinline__ void pack_columns(const wn__gpu_pack24 &p) {
    __shared__ strip24<T> s;
    strip_walk<T> at(
        p.rows, p.columns,
        easy_strips<T>(p.w, p.stride, p.mask, p.values, p.index, p.values_t, p.rows, p.columns));
    bool good = true, ahead = false;
    typename group4<T>::wide next[4];
    uint32_t next_mask = 0;
    while (at.there()) {
        strip_walk<T> then = at;
        then.next();
        if (at.inside()) {
            if (!ahead) {
                load_whole(at.first((const T *)p.w, p.stride), p.stride, next);
                next_mask = __ldcs((const uint32_t *)at.masks(p.mask, p.groups));
            }
            ahead = then.there() && then.inside();
            pack_inside<T>(p, &s, at, ahead ? then.first((const T *)p.w, p.stride) : nullptr,
                           then.masks(p.mask, p.groups), next, &next_mask, &good);
        } else {
            pack_any<T>(p, &s, at, &good);
            ahead = false;
        }
        at = then;
        __syncthreads();
    }
    if (!good) leave(p.fault, p.number);
}

// ---- what the host launches

#define ENTRY(threads, blocks, name, args, call)                                                   \
    extern "C" __global__ void __launch_bounds__(threads, blocks) name(const args p) {             \
        call(p);                                                                                   \
    }
#define STRIP(size) (32 * WN_GPU_STRIP_WARPS(size))

ENTRY(WN_GPU_THREADS, BLOCKS(2), wn_mask24_tile_f32, wn__gpu_mask24, mask_tile<f32>)
ENTRY(WN_GPU_THREADS, BLOCKS(4), wn_mask24_tile_bf16, wn__gpu_mask24, mask_tile<bf16>)
ENTRY(WN_GPU_THREADS, BLOCKS(4), wn_mask24_tile_f16, wn__gpu_mask24, mask_tile<f16>)
ENTRY(STRIP(4), BLOCKS(4), wn_tile24_f32, wn__gpu_tile24, tile24<f32>)
ENTRY(STRIP(2), BLOCKS(3), wn_tile24_bf16, wn__gpu_tile24, tile24<bf16>)
ENTRY(STRIP(2), BLOCKS(3), wn_tile24_f16, wn__gpu_tile24, tile24<f16>)
ENTRY(STRIP(4), BLOCKS(4), wn_pack24_columns_4, wn__gpu_pack24, pack_columns<uint32_t>)
ENTRY(STRIP(2), BLOCKS(3), wn_pack24_columns_2, wn__gpu_pack24, pack_columns<uint16_t>)
