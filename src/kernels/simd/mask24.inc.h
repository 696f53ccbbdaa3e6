// SPDX-License-Identifier: MIT
/* mask24 for F32, a step of VF groups or tiles at once. ROW needs the six comparisons of each
 * group: the sign of a difference of magnitudes, taken as integers, is exact. TILE adds up the 90
 * candidates just as the contract says and keeps the first of the largest sums. A NaN is noticed on
 * the way; the scalar search then finds the first. */
#include "base/fail.h"
#include "kernels/mask24.h"
#include "kernels/simd/accepts.h"
#include "kernels/simd/rank24.h"

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

/* ---- TILE */

/* The patterns of a row in the order of the contract, and the two columns each keeps. */
static const uint8_t patterns[6] = {0x3, 0x5, 0x9, 0x6, 0xA, 0xC};
static const uint8_t first_of[6] = {0, 0, 0, 1, 1, 2}, second_of[6] = {1, 2, 3, 2, 3, 3};

/* A pair of patterns for two rows is 6 first + second. Six of the 36 keep every column once: any of
 * the six goes with any other. Of those only the best partner needs a look, and which one it was is
 * asked at the end; so the 90 candidates are these 60, in order. Sums are rounded, but adding the
 * same number never turns two around: the largest sum is that of the largest partner. */
#define ANY 36
static const uint8_t even_pairs[6] = {5, 10, 15, 20, 25, 30};
static const struct {
    uint8_t upper, lower;
} candidates[60] = {
    {0, 35},  {1, 29},  {1, 34},  {2, 23},  {2, 33},  {3, 17},   {3, 32},   {4, 11},   {4, 31},
    {5, ANY}, {6, 29},  {6, 34},  {7, 28},  {8, 22},  {8, 27},   {9, 16},   {9, 26},   {10, ANY},
    {11, 4},  {11, 24}, {12, 23}, {12, 33}, {13, 22}, {13, 27},  {14, 21},  {15, ANY}, {16, 9},
    {16, 19}, {17, 3},  {17, 18}, {18, 17}, {18, 32}, {19, 16},  {19, 26},  {20, ANY}, {21, 14},
    {22, 8},  {22, 13}, {23, 2},  {23, 12}, {24, 11}, {24, 31},  {25, ANY}, {26, 9},   {26, 19},
    {27, 8},  {27, 13}, {28, 7},  {29, 1},  {29, 6},  {30, ANY}, {31, 4},   {31, 24},  {32, 3},
    {32, 18}, {33, 2},  {33, 12}, {34, 1},  {34, 6},  {35, 0}};

/* Their bits; none yet for the lower rows where any even pair goes. */
static const int32_t candidate_bits[60] = {
    0xCC33, 0xCA53, 0xAC53, 0xC693, 0x6C93, 0xC963, 0x9C63, 0xC5A3, 0x5CA3, 0x00C3, 0xCA35, 0xAC35,
    0xAA55, 0xA695, 0x6A95, 0xA965, 0x9A65, 0x00A5, 0xA3C5, 0x3AC5, 0xC639, 0x6C39, 0xA659, 0x6A59,
    0x6699, 0x0069, 0x65A9, 0x56A9, 0x63C9, 0x36C9, 0xC936, 0x9C36, 0xA956, 0x9A56, 0x0096, 0x9966,
    0x95A6, 0x59A6, 0x93C6, 0x39C6, 0xC53A, 0x5C3A, 0x005A, 0x659A, 0x569A, 0x956A, 0x596A, 0x55AA,
    0x53CA, 0x35CA, 0x003C, 0xA35C, 0x3A5C, 0x639C, 0x369C, 0x936C, 0x396C, 0x53AC, 0x35AC, 0x33CC};

/* The bits of a pair. */
ALWAYS int32_t pair_bits(unsigned pair) {
    return patterns[pair / 6] | patterns[pair % 6] << 4;
}

/* What each pattern keeps of a row; NaN sets its lane. */
ALWAYS vm row_sums(const vf a[4], vf sums[6]) {
#pragma GCC unroll 6
    for (int i = 0; i < 6; i++)
        sums[i] = vf_add(a[first_of[i]], a[second_of[i]]);
    return vm_nan(sums[0], sums[5]);
}

ALWAYS vf pair_sum(const vf first[6], const vf second[6], unsigned pair) {
    return vf_add(first[pair / 6], second[pair % 6]);
}

/* The first of the even pairs that brings a lane's upper sum to its total, as bits 8..15. */
ALWAYS vi even_partner(vf upper, const vf lower[36], vi total) {
    vi bits = vi_set(pair_bits(even_pairs[5]) << 8);
#pragma GCC unroll 5
    for (int i = 4; i >= 0; i--) {
        vm less = vm_more(total, vi_of(vf_add(upper, lower[even_pairs[i]])));
        bits = vi_select(less, bits, vi_set(pair_bits(even_pairs[i]) << 8));
    }
    return bits;
}

/* The 16 bits of each lane's tile, from what the patterns keep of its four rows. Sums of magnitudes
 * are compared as integers: the same order, on execution units that the additions leave free. */
ALWAYS vi best_masks(vf row[4][6]) {
    vf lower[36];
#pragma GCC unroll 36
    for (unsigned i = 0; i < 36; i++)
        lower[i] = pair_sum(row[2], row[3], i);
    vi any = vi_of(lower[even_pairs[0]]);
#pragma GCC unroll 5
    for (int i = 1; i < 6; i++)
        any = vi_max(any, vi_of(lower[even_pairs[i]]));
    vi best = vi_set(-1), bits = vi_set(0);
    vf even = vf_zero(); /* the upper sum of the best candidate, if it is an even one */
    const int32_t *bit = candidate_bits;
    __asm__("" : "+r"(bit)); /* or all 60 constants become vectors on the stack */
#pragma GCC unroll 60
    for (unsigned i = 0; i < 60; i++) {
        unsigned u = candidates[i].upper, l = candidates[i].lower;
        vf upper = pair_sum(row[0], row[1], u);
        vi sum = vi_of(vf_add(upper, l == ANY ? vf_of(any) : lower[l]));
        vm more = vm_more(sum, best);
        bits = vi_select(more, vi_set(bit[i]), bits);
        if (l == ANY) even = vf_select(more, upper, even);
        best = vi_max(best, sum);
    }
    return vi_select(vi_positive(vi_down(bits, 8)), bits,
                     vi_or(bits, even_partner(even, lower, best)));
}

/* Bits 4 i .. 4 i + 3 to byte i. */
ALWAYS vi spread_nibbles(vi a) {
    a = vi_and(vi_or(a, vi_up(a, 8)), vi_set(0x00FF00FF));
    return vi_and(vi_or(a, vi_up(a, 4)), vi_set(0x0F0F0F0F));
}

/* A step of four rows, n <= VF tiles of which are stored; lanes with a NaN. */
ALWAYS vm mask_step(const float *w, int64_t stride, uint8_t *mask, int64_t groups, int64_t n) {
    vf row[4][6];
    vm nan = vm_of_bits(0);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        vf a[4];
        load_columns(w + i * stride, STEP_COLUMNS, a);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            a[j] = vf_abs(a[j]);
        nan = vm_or(nan, row_sums(a, row[i]));
    }
    store_tiles(spread_nibbles(best_masks(row)), mask, groups, n);
    return nan;
}

/* Row `block` of tiles; whether any entry is NaN. */
static bool mask_tiles(const wn__mask24 *p, int64_t block) {
    int64_t n = p->w.shape[1], stride = p->w.stride[0], groups = p->mask.shape[1], j = 0;
    const float *w = (const float *)p->w.data + 4 * block * stride;
    uint8_t *mask = (uint8_t *)p->mask.data + 4 * block * groups;
    vm nan = vm_of_bits(0);
    for (; j + STEP_COLUMNS <= n; j += STEP_COLUMNS)
        nan = vm_or(nan, mask_step(w + j, stride, mask + j / 4, groups, VF));
    if (j < n) {
        float rest[4 * STEP_COLUMNS] = {0};
        for (int64_t i = 0; i < 4; i++)
            memcpy(rest + i * STEP_COLUMNS, w + i * stride + j, (size_t)(n - j) * sizeof *w);
        nan = vm_or(nan, mask_step(rest, STEP_COLUMNS, mask + j / 4, groups, (n - j) / 4));
    }
    return vm_bits(nan) != 0;
}

static void mask_tile_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    mask24_job *job = ctx;
    bool nan = false;
    for (int64_t i = begin; i < end; i++)
        nan |= mask_tiles(job->p, i);
    if (nan) atomic_store_explicit(&job->nan, true, memory_order_relaxed);
}

static wn_status mask24(const void *args, wn__exec *x) {
    const wn__mask24 *p = args;
    int64_t r = p->w.shape[0], c = p->w.shape[1];
    mask24_job job = {.p = p, .cut = cut24_of(r, c, p->w.stride[0] == c)};
    if (p->method == WN_MASK24_ROW)
        wn__parallel_for(x->pool, job.cut.count, job.cut.grain, mask_pieces, &job);
    else
        wn__parallel_for(x->pool, r / 4, PIECE / (4 * c + 1) + 1, mask_tile_rows, &job);
    if (!atomic_load(&job.nan)) return WN_OK;
    memset(p->mask.data, 0, wn__tensor_bytes(&p->mask)); /* no half of an answer */
    return wn__mask24_refuse_nan(p);
}
