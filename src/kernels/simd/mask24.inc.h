// SPDX-License-Identifier: MIT
/* mask24 for F32, a step of VF groups or tiles at once. ROW needs the six comparisons of each
 * group: the sign of a difference of magnitudes, taken as integers, is exact. TILE is the search of
 * search24.h. GREEDY keeps at most eight of a tile: eight times the largest that still may. A NaN
 * is noticed on the way; the scalar search then finds the first. */
#include "base/fail.h"
#include "kernels/mask24.h"
#include "kernels/simd/accepts.h"
#include "kernels/simd/rank24.h"
#include "kernels/simd/tiles24.h"

#include <stdatomic.h>

typedef struct mask24_job {
    const wn__mask24 *p;
    cut24 cut;       /* of ROW */
    atomic_bool nan; /* a block has met one */
} mask24_job;

/* ---- ROW */

/* The mask of each lane's group. */
ALWAYS vi row_masks(const vf column[4]) {
    vi a[4], keep[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        a[j] = vi_of(column[j]);
    keep_largest(a, keep);
    return keep_bits(keep);
}

/* n columns of one row; whether any is NaN. */
static bool mask_row(const float *w, int64_t n, uint8_t *mask) {
    vm nan = vm_of_bits(0);
    for (int64_t j = 0; j < n; j += STEP_COLUMNS) {
        vf column[4];
        load_columns(w + j, clamp24(n - j, STEP_COLUMNS), column);
        nan = vm_or(nan, vm_or(vm_nan(column[0], column[1]), vm_nan(column[2], column[3])));
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            column[i] = vf_abs(column[i]);
        store_groups(row_masks(column), mask + j / 4, clamp24((n - j + 3) / 4, VF));
    }
    if (n % 4 != 0) mask[n / 4] &= (uint8_t)((1U << (n % 4)) - 1U); /* padding is not kept */
    return vm_bits(nan) != 0;
}

static void mask_pieces(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    mask24_job *job = ctx;
    const wn__mask24 *p = job->p;
    bool nan = false;
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i / job->cut.pieces, j = i % job->cut.pieces * PIECE;
        const float *w = (const float *)p->w.data + row * p->w.stride[0] + j;
        uint8_t *mask = (uint8_t *)p->mask.data + row * p->mask.shape[1] + j / 4;
        nan |= mask_row(w, clamp24(job->cut.columns - j, PIECE), mask);
    }
    if (nan) atomic_store_explicit(&job->nan, true, memory_order_relaxed);
}

/* ---- GREEDY */

/* a, or less than every magnitude where `bit` of gone is set. */
ALWAYS vi unless_gone(vi a, vi gone, int32_t bit) {
#if VF == 16
    return _mm512_mask_set1_epi32(a, _mm512_test_epi32_mask(gone, vi_set(bit)), -1);
#else
    return vi_or(a, _mm256_cmpeq_epi32(vi_and(gone, vi_set(bit)), vi_set(bit)));
#endif
}

/* The bits of what is kept, and of rows and columns that are full of it. */
ALWAYS vi gone_with(vi kept) {
    vi next = vi_down(kept, 1), both = vi_and(vi_and(kept, next), vi_set(0x5555));
    vi any = vi_and(vi_or(kept, next), vi_set(0x5555));
    vi rows = vi_or(vi_or(both, vi_down(both, 2)), vi_and(any, vi_down(any, 2)));
    rows = vi_and(rows, vi_set(0x1111));
    rows = vi_sub(vi_up(rows, 4), rows);
    next = vi_down(kept, 4);
    both = vi_and(vi_and(kept, next), vi_set(0x0F0F));
    any = vi_and(vi_or(kept, next), vi_set(0x0F0F));
    vi columns = vi_or(vi_or(both, vi_down(both, 8)), vi_and(any, vi_down(any, 8)));
    columns = vi_and(columns, vi_set(0x000F));
    columns = vi_or(columns, vi_up(columns, 4));
    columns = vi_or(columns, vi_up(columns, 8));
    return vi_or(kept, vi_or(rows, columns));
}

/* The 16 bits of each lane's tile; lanes with a NaN are added to nan. */
ALWAYS vi greedy_masks(const float *const row[4], vm *nan) {
    vi size[16], kept = vi_set(0), gone = vi_set(0);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        vf a[4];
        load_magnitudes(row[i], a);
        *nan = vm_or(*nan, vm_or(vm_nan(a[0], a[1]), vm_nan(a[2], a[3])));
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            size[4 * i + j] = vi_of(a[j]);
    }
    for (int n = 0; n < 8; n++) {
        vi most = vi_set(-1), bit = vi_set(0);
#pragma GCC unroll 16
        for (int i = 15; i >= 0; i--) { /* of equal ones the first */
            vi a = unless_gone(size[i], gone, 1 << i);
            bit = vi_select(vm_more(most, a), bit, vi_set(1 << i));
            most = vi_max(most, a);
        }
        kept = vi_or(kept, vi_select(vm_more(vi_set(0), most), vi_set(0), bit));
        gone = gone_with(kept);
    }
    return kept;
}

/* ---- TILE and GREEDY */

/* A step of four rows, n <= VF tiles of which are stored; lanes with a NaN. */
ALWAYS vm mask_step(wn__mask24_method method, const float *w, int64_t stride, uint8_t *mask,
                    int64_t groups, int64_t n) {
    const float *const row[4] = {w, w + stride, w + 2 * stride, w + 3 * stride};
    vm nan = vm_of_bits(0);
    vi bits = method == WN_MASK24_TILE ? best_masks(row, &nan) : greedy_masks(row, &nan);
    store_tiles(spread_nibbles(bits), mask, groups, n);
    return nan;
}

/* Row `block` of tiles; whether any entry is NaN. */
ALWAYS bool mask_tiles(wn__mask24_method method, const wn__mask24 *p, int64_t block) {
    int64_t n = p->w.shape[1], stride = p->w.stride[0], groups = p->mask.shape[1], j = 0;
    const float *w = (const float *)p->w.data + 4 * block * stride;
    uint8_t *mask = (uint8_t *)p->mask.data + 4 * block * groups;
    vm nan = vm_of_bits(0);
    for (; j + STEP_COLUMNS <= n; j += STEP_COLUMNS)
        nan = vm_or(nan, mask_step(method, w + j, stride, mask + j / 4, groups, VF));
    if (j < n) {
        float rest[4 * STEP_COLUMNS] = {0};
        for (int64_t i = 0; i < 4; i++)
            memcpy(rest + i * STEP_COLUMNS, w + i * stride + j, (size_t)(n - j) * sizeof *w);
        nan = vm_or(nan, mask_step(method, rest, STEP_COLUMNS, mask + j / 4, groups, (n - j) / 4));
    }
    return vm_bits(nan) != 0;
}

static void mask_tile_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    mask24_job *job = ctx;
    bool nan = false;
    for (int64_t i = begin; i < end; i++)
        nan |= mask_tiles(WN_MASK24_TILE, job->p, i);
    if (nan) atomic_store_explicit(&job->nan, true, memory_order_relaxed);
}

static void mask_greedy_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    mask24_job *job = ctx;
    bool nan = false;
    for (int64_t i = begin; i < end; i++)
        nan |= mask_tiles(WN_MASK24_GREEDY, job->p, i);
    if (nan) atomic_store_explicit(&job->nan, true, memory_order_relaxed);
}

static wn_status mask24(const void *args, wn__exec *x) {
    const wn__mask24 *p = args;
    int64_t r = p->w.shape[0], c = p->w.shape[1];
    mask24_job job = {.p = p, .cut = cut24_of(r, c, p->w.stride[0] == c)};
    if (p->method == WN_MASK24_ROW)
        wn__parallel_for(x->pool, job.cut.count, job.cut.grain, mask_pieces, &job);
    else
        wn__parallel_for(x->pool, r / 4, PIECE / (4 * c + 1) + 1,
                         p->method == WN_MASK24_TILE ? mask_tile_rows : mask_greedy_rows, &job);
    if (!atomic_load(&job.nan)) return WN_OK;
    memset(p->mask.data, 0, wn__tensor_bytes(&p->mask)); /* no half of an answer */
    return wn__mask24_refuse_nan(p);
}
