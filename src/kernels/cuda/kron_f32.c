// SPDX-License-Identifier: MIT
// A factor of float32 numbers on a GPU, packed into tiles first. kron.c goes through the chain.
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/cuda/args_kron_f32.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/kron.h"
#include "kernels/declare.h"
#include "kernels/kron_mul.h"
#include <limits.h>
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

bool wn__gpu_kron_accepts_f32(const wn_tensor *w, char *why, size_t n) {
    const wn__kron_size s = wn__kron_size_of(w);
    const int64_t blocks = wn__ceil_div(s.b, WN_KRON_F32_OUTPUTS);
    if (s.a * s.d <= INT_MAX / blocks) return true;
    (void)snprintf(why, n, "%lld blocks of %lld x %lld are more than a grid holds",
                   (long long)(s.a * s.d), (long long)s.b, (long long)s.c);
    return false;
}

// ---- packed factors

static int64_t tiles_of(const wn_tensor *w) {
    const wn__kron_size s = wn__kron_size_of(w);
    return s.a * s.d * wn__ceil_div(s.b, WN_KRON_F32_DOWN) * wn__ceil_div(s.c, WN_KRON_F32_ACROSS);
}

size_t wn__gpu_kron_packed_f32(const wn_tensor *w) {
    return (size_t)tiles_of(w) * WN_KRON_F32_TILE * sizeof(float);
}

static wn_status pack(wn__gpu *gpu, const wn_tensor *w, float *tiles) {
    enum { MOST_BLOCKS = 4096 };
    const wn__kron_size s = wn__kron_size_of(w);
    wn__gpu_kron_pack_f32 a = {.w = w->data,
                               .tiles = tiles,
                               .a = (int)s.a,
                               .b = (int)s.b,
                               .c = (int)s.c,
                               .d = (int)s.d,
                               .down = (int)wn__ceil_div(s.b, WN_KRON_F32_DOWN),
                               .across = (int)wn__ceil_div(s.c, WN_KRON_F32_ACROSS)};
    for (int i = 0; i < 4; i++)
        a.stride[i] = w->stride[i];
    const int64_t blocks =
        wn__ceil_div(tiles_of(w) * (WN_KRON_F32_TILE / 2), WN_KRON_F32_PACK_THREADS);
    const wn__cuda_launch l = {
        .grid = {(unsigned)(blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS), 1, 1},
        .block = {WN_KRON_F32_PACK_THREADS, 1, 1}};
    return wn__gpu_launch(gpu, &wn__image_kron_f32_sm80, "wn_kron_pack_f32", &l, &a);
}

// ---- one factor

// Whether four numbers along dimension `along` are 16 bytes wherever their first one is a multiple
// of four.
static bool wide(const wn_tensor *t, int along) {
    const int across = 1 - along;
    return (t->stride[along] == 1 || t->shape[along] < 2) &&
           (t->shape[across] < 2 || t->stride[across] % 4 == 0) && (uintptr_t)t->data % 16 == 0;
}

// How many blocks are taken together: 8, 4, or 1 where they do not lie side by side. Eight are
// whole 32 bytes, which is what memory and caches move, where there is room for them.
static int blocks_of(const wn__gpu *gpu, const wn__kron_size *s, const wn_tensor *x) {
    const bool room = wn__gpu_kron_room(gpu, WN_KRON_F32_STAGES_80 * WN_KRON_F32_STAGE(8));
    if (s->d % 4 != 0 || x->stride[1] != 1 || !wide(x, 1)) return 1;
    return s->d % 8 == 0 && room ? 8 : 4;
}

static void set_strides(wn__gpu_kron_f32 *a, const wn_tensor *x, const wn_tensor *y, int blocks) {
    const bool vectors = blocks == 1; // are four of a row
    a->x_row = x->stride[0] * (vectors ? 4 : 1);
    a->x_input = x->stride[1] * a->d;
    a->x_q = x->stride[vectors ? 0 : 1];
    a->x_feature = x->stride[1];
    a->y_row = y->stride[0] * (vectors ? 4 : 1);
    a->y_output = y->stride[1] * a->d;
    a->y_q = y->stride[vectors ? 0 : 1];
    a->y_feature = y->stride[1];
    a->wide_in = wide(x, vectors ? 0 : 1);
    a->wide_out = wide(y, vectors ? 0 : 1) && a->y_q == 1;
    a->by_vector = x->stride[0] == 1;
    a->rows = vectors ? (a->n + 3) / 4 : a->n;
}

wn_status wn__gpu_kron_factor_f32(wn__gpu *gpu, const wn_tensor *w, const wn_tensor *x,
                                  const wn_tensor *y, float *tiles, bool accumulate) {
    const wn__kron_size s = wn__kron_size_of(w);
    const bool hopper = wn__cuda_info(wn__gpu_device(gpu))->compute == 90;
    const int blocks = blocks_of(gpu, &s, x);
    wn__gpu_kron_f32 a = {.x = x->data,
                          .y = y->data,
                          .tiles = tiles,
                          .n = (int)x->shape[0],
                          .a = (int)s.a,
                          .b = (int)s.b,
                          .c = (int)s.c,
                          .d = (int)s.d,
                          .down = (int)wn__ceil_div(s.b, WN_KRON_F32_DOWN),
                          .across = (int)wn__ceil_div(s.c, WN_KRON_F32_ACROSS),
                          .accumulate = accumulate};
    set_strides(&a, x, y, blocks);
    WN_TRY(pack(gpu, w, tiles));
    const int64_t across = s.a * s.d / blocks * wn__ceil_div(s.b, WN_KRON_F32_OUTPUTS);
    const int stages = hopper ? WN_KRON_F32_STAGES_90(blocks) : WN_KRON_F32_STAGES_80;
    const bool exact = s.c < WN_KRON_F32_EXACT;
    const unsigned threads = WN_KRON_F32_THREADS / (exact ? 1U : WN_KRON_F32_TALL(blocks));
    const wn__cuda_launch l = {
        .grid = {(unsigned)across,
                 (unsigned)wn__gpu_kron_parts(
                     across, wn__ceil_div(a.rows, WN_KRON_F32_ROWS(blocks)), WN__KRON_H200, 1),
                 1},
        .block = {threads, 1, 1},
        .shared_bytes = (unsigned)(stages * WN_KRON_F32_STAGE(blocks))};
    char name[48];
    (void)snprintf(name, sizeof name, "wn_kron_f32_%s%s",
                   blocks == 1   ? "rows"
                   : blocks == 4 ? "lanes4"
                                 : "lanes8",
                   exact ? "_exact" : "");
    return wn__gpu_launch(gpu, &wn__image_kron_f32_sm80, name, &l, &a);
}

#endif
