// SPDX-License-Identifier: MIT
// Numbers permuted in memory on a GPU: which tiles, and what is taken 16 bytes at a time.
#include "kernels/cuda/kron_permute.h"
#include "kernels/contract.h"
#include "kernels/cuda/args_kron_permute.h"
#include "kernels/cuda/images.h"
#include <limits.h>
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

typedef struct tile {
    int64_t matrices, rows, columns;
} tile;

// Matrices in one piece if they have room, several of the small ones; of larger ones at least 64
// rows and columns, or all there are.
static tile tile_of(const wn__permute *p) {
    const int64_t most = WN_KRON_PERMUTE_BYTES / (int64_t)wn_dtype_size(p->in.dtype);
    const int64_t all = p->outer[0] * p->outer[1];
    tile t = {1, p->rows, p->columns};
    if (p->rows <= most / p->columns) {
        t.matrices = most / (p->rows * p->columns);
        if (t.matrices > WN_KRON_PERMUTE_THREADS) t.matrices = WN_KRON_PERMUTE_THREADS;
        if (t.matrices > all) t.matrices = all > 0 ? all : 1;
        return t;
    }
    if (t.columns > WN_KRON_PERMUTE_SIDE) t.columns = WN_KRON_PERMUTE_SIDE;
    if (t.rows > most / t.columns)
        t.rows = most / t.columns / WN_KRON_PERMUTE_SIDE * WN_KRON_PERMUTE_SIDE;
    if (p->columns > t.columns && most / t.rows > t.columns) {
        t.columns = most / t.rows / WN_KRON_PERMUTE_SIDE * WN_KRON_PERMUTE_SIDE;
        if (t.columns > p->columns) t.columns = p->columns;
    }
    return t;
}

static bool whole(int64_t elements, int64_t piece, int64_t count) {
    return count < 2 || elements % piece == 0;
}

// Pieces of 16 bytes: lines of `length` numbers side by side, `step` apart, `taken` of them in a
// tile's line; whole lines one behind the other are one.
static bool is_wide(const wn__permute_side *s, const int64_t outer[2], int64_t step, int64_t beside,
                    int64_t lines, int64_t taken_lines, int64_t length, int64_t taken) {
    const int64_t piece = 16 / (int64_t)wn_dtype_size(s->dtype);
    if ((uintptr_t)s->data % 16 != 0 || (length > 1 && beside != 1) ||
        !whole(s->matrix[0], piece, outer[0]) || !whole(s->matrix[1], piece, outer[1]))
        return false;
    if (length % piece == 0 && taken % piece == 0) return whole(step, piece, lines);
    return taken == length && step == length && lines * length % piece == 0 &&
           taken_lines * length % piece == 0;
}

static wn__gpu_divide divide(int64_t by) {
    return (wn__gpu_divide){(uint32_t)by,
                            by > 1 ? (uint32_t)(((uint64_t)1 << 32) / (uint64_t)by +
                                                (((uint64_t)1 << 32) % (uint64_t)by != 0))
                                   : 0};
}

static wn__gpu_permute_side side_of(const wn__permute_side *s) {
    return (wn__gpu_permute_side){
        .matrix = {s->matrix[0], s->matrix[1]}, .row = s->row, .column = s->column};
}

bool wn__gpu_permute_accepts(const wn__permute *p, char *why, size_t n) {
    const tile t = tile_of(p);
    if (p->outer[0] <= INT64_MAX / p->outer[1] &&
        wn__ceil_div(p->outer[0] * p->outer[1], t.matrices) <= INT_MAX)
        return true;
    (void)snprintf(why, n, "%lld times %lld matrices are more than a grid holds",
                   (long long)p->outer[0], (long long)p->outer[1]);
    return false;
}

static unsigned grid_of(int64_t all, int64_t each) {
    const int64_t blocks = wn__ceil_div(all, each);
    return (unsigned)(blocks < WN_KRON_PERMUTE_GRID ? blocks : WN_KRON_PERMUTE_GRID);
}

wn_status wn__gpu_permute(wn__gpu *gpu, const wn__permute *p) {
    const tile t = tile_of(p);
    const int64_t pitch = t.columns | 1; // numbers of a column are in banks of their own
    wn__gpu_kron_permute a = {.from = p->in.data,
                              .to = p->out.data,
                              .in = side_of(&p->in),
                              .out = side_of(&p->out),
                              .outer = {p->outer[0], p->outer[1]},
                              .rows = p->rows,
                              .columns = p->columns,
                              .plane = divide(t.rows * t.columns),
                              .row = divide(t.rows),
                              .column = divide(t.columns),
                              .matrices = (int)t.matrices,
                              .pitch = (int)pitch};
    a.in.wide =
        is_wide(&p->in, p->outer, p->in.row, p->in.column, p->rows, t.rows, p->columns, t.columns);
    a.out.wide = is_wide(&p->out, p->outer, p->out.column, p->out.row, p->columns, t.columns,
                         p->rows, t.rows);
    const wn__cuda_launch l = {
        .grid = {(unsigned)wn__ceil_div(p->outer[0] * p->outer[1], t.matrices),
                 grid_of(p->rows, t.rows), grid_of(p->columns, t.columns)},
        .block = {WN_KRON_PERMUTE_THREADS, 1, 1},
        .shared_bytes =
            (unsigned)(t.matrices * t.rows * pitch * (int64_t)wn_dtype_size(p->in.dtype))};
    return wn__gpu_launch(gpu, &wn__image_kron_permute_sm80,
                          !p->add ? wn_dtype_size(p->in.dtype) == 4 ? "wn_kron_permute_4"
                                                                    : "wn_kron_permute_2"
                          : p->out.dtype == WN_DTYPE_F32  ? "wn_kron_permute_add_f32"
                          : p->out.dtype == WN_DTYPE_BF16 ? "wn_kron_permute_add_bf16"
                                                          : "wn_kron_permute_add_f16",
                          &l, &a);
}

#endif
