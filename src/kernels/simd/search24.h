// SPDX-License-Identifier: MIT
/* The exact search of mask24's TILE for a step of VF tiles of 4x4, over group24.h.
 *
 * In real numbers the 90 masks need no enumeration. Let d = row 0 - row 1, e = row 2 - row 3 and
 * f = (row 0 + row 1) - (row 2 + row 3), column by column, of magnitudes. A mask keeps half of the
 * sum of all 16 and half of what one of ten terms says:
 *   rows 0 and 1 share column p, rows 2 and 3 share t, the pairs differ in the other two, q and r:
 *     |d_q - d_r| + |e_q - e_r| + |f_p - f_t|                   six choices of {q, r}, 8 masks each
 *   rows 0 and 1 keep one pair of columns, rows 2 and 3 the other:
 *     the largest |f of a pair - f of the other pair|                                       6 masks
 *   rows 0 and 1 keep opposite pairs, and so do rows 2 and 3:
 *     the largest |d of a pair - d of the other| + the same of e                           36 masks
 * and the signs of what stands between the bars are the choices within a term. TILE asks for the
 * largest of sums rounded in float. S the sum of all 16 and u = 2^-24: a rounded sum is within
 * 3.1 u S of its mask's, a term computed here within 5.1 u S of its own, and terms are twice as far
 * apart as sums. So a mask is the only one with the largest rounded sum where its term is more than
 * 22.6 u S above every other mask's, and inside its term every choice changes more than 9.3 u S
 * of sums. A step where a lane is within 32 u S = 2^-19 S, or has a NaN or an overflow, adds up all
 * the masks as mask24.h says. */
#ifndef WN_KERNELS_SIMD_SEARCH24_H
#define WN_KERNELS_SIMD_SEARCH24_H

#include "kernels/simd/rank24.h"

#include <math.h>

/* ---- what is searched */

/* A step of one row by its columns, lanes in an order of their own: that of the groups where halves
 * of a vector are loaded as cheaply as the whole, else that of load_columns. */
ALWAYS void load_tiles(const float *w, vf column[4]) {
    vf r[4];
#pragma GCC unroll 4
    for (int l = 0; l < 4; l++) {
#if VF == 16
        r[l] = vf_load(w + VF * l);
#else
        __m256 low = _mm256_castps128_ps256(_mm_loadu_ps(w + 4 * l));
        r[l] = _mm256_insertf128_ps(low, _mm_loadu_ps(w + 4 * (l + 4)), 1);
#endif
    }
    split_columns(r, column);
}

ALWAYS void load_magnitudes(const float *w, vf column[4]) {
    load_tiles(w, column);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        column[j] = vf_abs(column[j]);
}

/* ---- all masks, in the order of the contract */

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

/* Their bits; none yet for the lower rows where any even pair goes. As whole vectors where no
 * instruction broadcasts its operand. */
#if VF == 16
#define BITS_LANES 1
#define LANES(a)                                                                                   \
    { a }
#else
#define BITS_LANES 8
#define LANES(a)                                                                                   \
    { a, a, a, a, a, a, a, a }
#endif
static const _Alignas(4 * BITS_LANES) int32_t candidate_bits[60][BITS_LANES] = {
    LANES(0xCC33), LANES(0xCA53), LANES(0xAC53), LANES(0xC693), LANES(0x6C93), LANES(0xC963),
    LANES(0x9C63), LANES(0xC5A3), LANES(0x5CA3), LANES(0x00C3), LANES(0xCA35), LANES(0xAC35),
    LANES(0xAA55), LANES(0xA695), LANES(0x6A95), LANES(0xA965), LANES(0x9A65), LANES(0x00A5),
    LANES(0xA3C5), LANES(0x3AC5), LANES(0xC639), LANES(0x6C39), LANES(0xA659), LANES(0x6A59),
    LANES(0x6699), LANES(0x0069), LANES(0x65A9), LANES(0x56A9), LANES(0x63C9), LANES(0x36C9),
    LANES(0xC936), LANES(0x9C36), LANES(0xA956), LANES(0x9A56), LANES(0x0096), LANES(0x9966),
    LANES(0x95A6), LANES(0x59A6), LANES(0x93C6), LANES(0x39C6), LANES(0xC53A), LANES(0x5C3A),
    LANES(0x005A), LANES(0x659A), LANES(0x569A), LANES(0x956A), LANES(0x596A), LANES(0x55AA),
    LANES(0x53CA), LANES(0x35CA), LANES(0x003C), LANES(0xA35C), LANES(0x3A5C), LANES(0x639C),
    LANES(0x369C), LANES(0x936C), LANES(0x396C), LANES(0x53AC), LANES(0x35AC), LANES(0x33CC),
};
#undef LANES

/* The bits of candidate i. */
ALWAYS vi bits_of(const int32_t (*bits)[BITS_LANES], unsigned i) {
#if VF == 16
    return vi_set(bits[i][0]);
#else
    return _mm256_load_si256((const __m256i *)(const void *)bits[i]);
#endif
}

/* The bits of a pair. */
ALWAYS int32_t pair_bits(unsigned pair) {
    return patterns[pair / 6] | patterns[pair % 6] << 4;
}

/* What each pattern keeps of a row. */
ALWAYS void row_sums(const vf a[4], vf sums[6]) {
#pragma GCC unroll 6
    for (int i = 0; i < 6; i++)
        sums[i] = vf_add(a[first_of[i]], a[second_of[i]]);
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

/* The 16 bits of each lane's tile of magnitudes, all 90 masks looked at; lanes with a NaN. Sums of
 * magnitudes are compared as integers: the same order, on execution units that the additions leave
 * free. Out of line: few steps need it. */
static __attribute__((noinline)) vi search_all(const float *const from[4], vm *nan) {
    vf row[4][6], lower[36];
    *nan = vm_of_bits(0);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        vf a[4];
        load_magnitudes(from[i], a);
        row_sums(a, row[i]);
        *nan = vm_or(*nan, vm_nan(row[i][0], row[i][5]));
    }
#pragma GCC unroll 36
    for (unsigned i = 0; i < 36; i++)
        lower[i] = pair_sum(row[2], row[3], i);
    vi any = vi_of(lower[even_pairs[0]]);
#pragma GCC unroll 5
    for (int i = 1; i < 6; i++)
        any = vi_max(any, vi_of(lower[even_pairs[i]]));
    vi best = vi_set(-1), bits = vi_set(0);
    vf even = vf_zero(); /* the upper sum of the best candidate, if it is an even one */
    const int32_t(*bit)[BITS_LANES] = candidate_bits;
    __asm__("" : "+r"(bit)); /* or all 60 constants become vectors on the stack */
#pragma GCC unroll 60
    for (unsigned i = 0; i < 60; i++) {
        unsigned u = candidates[i].upper, l = candidates[i].lower;
        vf upper = pair_sum(row[0], row[1], u);
        vi sum = vi_of(vf_add(upper, l == ANY ? vf_of(any) : lower[l]));
        vm more = vm_more(sum, best);
        bits = vi_select(more, bits_of(bit, i), bits);
        if (l == ANY) even = vf_select(more, upper, even);
        best = vi_max(best, sum);
    }
    return vi_select(vi_positive(vi_down(bits, 8)), bits,
                     vi_or(bits, even_partner(even, lower, best)));
}

/* ---- by terms */

/* Pairs q, r of columns; that of the other two columns is i places from the end. */
static const uint8_t pair_q[6] = {0, 0, 0, 1, 1, 2}, pair_r[6] = {1, 2, 3, 2, 3, 3};

/* What was computed from a is not kept for later. */
#if VF == 16
#define KEEP(a) __asm__("" : "+v"(a))
#else
#define KEEP(a) __asm__("" : "+x"(a))
#endif

#define HALVES (-0x10000) /* of a code: all bits of both halves */

/* Magnitudes of two rows: the first less the second, and their sums. */
ALWAYS void half_rows(const float *const row[2], vf difference[4], vf sum[4]) {
    vf a[4], b[4];
    load_magnitudes(row[0], a);
    load_magnitudes(row[1], b);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        difference[j] = vf_sub(a[j], b[j]);
        sum[j] = vf_add(a[j], b[j]);
    }
}

/* What is known of the best masks so far. The code is the mask that positive signs mean and,
 * << 16, the bits that `upper` and `lower` turn of it, of rows 0 and 1 and of rows 2 and 3; `both`
 * turns the others. */
typedef struct term24 {
    vi most, next;         /* values, floats as integers: of the best term, and of the next one */
    vf upper, lower, both; /* choices within the best term, by sign */
    vf apart;              /* from another choice that no sign is */
    vi code;
} term24;

/* Pair 0 1, 0 2 or 0 3 less its opposite. */
ALWAYS vf opposite(const vf a[4], int i) {
    if (i == 0) return vf_add(vf_sub(a[0], a[2]), vf_sub(a[1], a[3]));
    vf first = vf_sub(a[0], a[1]), second = vf_sub(a[2], a[3]);
    return i == 1 ? vf_add(first, second) : vf_sub(first, second);
}

/* The largest magnitude of the three, and the next one; the code is of the pair times `kept` and of
 * its opposite times `turned`. */
typedef struct opposite24 {
    vi most, next, code;
    vf term;
} opposite24;

ALWAYS opposite24 best_opposite(const vf a[4], int32_t kept, int32_t turned) {
    static const int32_t pairs[3] = {0x3, 0x5, 0x9};
    opposite24 best = {.next = vi_set(0), .term = opposite(a, 0)};
    best.most = vi_of(vf_abs(best.term));
    best.code = vi_set(pairs[0] * kept | (15 - pairs[0]) * turned);
#pragma GCC unroll 2
    for (int i = 1; i < 3; i++) {
        vf term = opposite(a, i);
        vi size = vi_of(vf_abs(term));
        vm more = vm_more(size, best.most);
        best.next = vi_max(best.next, vi_min(best.most, size));
        best.most = vi_max(best.most, size);
        best.term = vf_select(more, term, best.term);
        best.code = vi_select(more, vi_set(pairs[i] * kept | (15 - pairs[i]) * turned), best.code);
    }
    return best;
}

/* The lanes where a term of this size is the best so far. */
ALWAYS vm raise_term(term24 *best, vi size) {
    vm more = vm_more(size, best->most);
    best->next = vi_max(best->next, vi_min(best->most, size));
    best->most = vi_max(best->most, size);
    return more;
}

/* The six terms of a pair with one column of each row. */
ALWAYS void raise_pairs(term24 *best, const vf d[4], const vf e[4], const vf f[4]) {
#pragma GCC unroll 6
    for (int i = 0; i < 6; i++) {
        const int32_t q = 1 << pair_q[i], r = 1 << pair_r[i];
        const int32_t p = 1 << pair_q[5 - i], t = 1 << pair_r[5 - i];
        vf upper = vf_sub(d[pair_q[i]], d[pair_r[i]]), lower = vf_sub(e[pair_q[i]], e[pair_r[i]]);
        vf both = vf_sub(f[pair_q[5 - i]], f[pair_r[5 - i]]);
        vf size = vf_add(vf_add(vf_abs(upper), vf_abs(lower)), vf_abs(both));
        vm more = raise_term(best, vi_of(size));
        int32_t mask = (p | q) | (p | r) << 4 | (t | q) << 8 | (t | r) << 12;
        best->upper = vf_select(more, upper, best->upper);
        best->lower = vf_select(more, lower, best->lower);
        best->both = vf_select(more, both, best->both);
        best->code =
            vi_select(more, vi_set(mask | (int32_t)((uint32_t)(q | r) * 0x11110000U)), best->code);
    }
}

/* The term of opposite pairs in each half. */
ALWAYS void raise_halves(term24 *best, const opposite24 *d, const opposite24 *e) {
    vm more = raise_term(best, vi_of(vf_add(vf_of(d->most), vf_of(e->most))));
    vf upper = vf_sub(vf_of(d->most), vf_of(d->next)),
       lower = vf_sub(vf_of(e->most), vf_of(e->next));
    best->upper = vf_select(more, d->term, best->upper);
    best->lower = vf_select(more, e->term, best->lower);
    best->both = vf_select(more, vf_set(INFINITY), best->both);
    best->apart = vf_select(more, vf_of(vi_min(vi_of(upper), vi_of(lower))), best->apart);
    best->code = vi_select(more, vi_or(vi_or(d->code, e->code), vi_set(HALVES)), best->code);
}

/* The mask whose choices the signs are. */
ALWAYS vi mask_of_term(const term24 *best) {
    vi turned = vi_down(best->code, 16);
    vi halves =
        vi_or(vi_where_negative(best->upper, 0x00FF), vi_where_negative(best->lower, 0xFF00));
    vi rest = vi_and(vi_xor(turned, vi_set(0xFFFF)), vi_where_negative(best->both, 0xFFFF));
    return vi_and(vi_xor(best->code, vi_or(vi_and(turned, halves), rest)), vi_set(0xFFFF));
}

/* The sum of all and the best term, of the magnitudes of the four rows. Differences of pairs are
 * made where they are needed, twice some of them: three times four columns stay in registers. */
ALWAYS vf best_term(const float *const row[4], term24 *best) {
    vf d[4], e[4], f[4], pairs[6], sum = vf_zero();
    half_rows(row, d, f);
    half_rows(row + 2, e, pairs);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        vf both = vf_add(f[j], pairs[j]);
        sum = j == 0 ? both : vf_add(sum, both);
        f[j] = vf_sub(f[j], pairs[j]);
    }
    const opposite24 both = best_opposite(f, 0x0011, 0x1100);
    const opposite24 upper = best_opposite(d, 0x0001, 0x0010);
    const opposite24 lower = best_opposite(e, 0x0100, 0x1000);
    const vf none = vf_set(INFINITY);
    *best = (term24){both.most, both.next, none, none, both.term, none, both.code};
    raise_halves(best, &upper, &lower);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        KEEP(d[j]);
        KEEP(e[j]);
        KEEP(f[j]);
    }
    raise_pairs(best, d, e, f);
    return sum;
}

/* The 16 bits of each lane's tile; lanes with a NaN are added to nan. */
ALWAYS vi best_masks(const float *const row[4], vm *nan) {
    term24 best;
    vf sum = best_term(row, &best);
    vf apart = vf_sub(vf_of(best.most), vf_of(best.next));
    vi least = vi_min(vi_of(vf_abs(best.upper)), vi_of(vf_abs(best.lower)));
    least = vi_min(least, vi_min(vi_of(vf_abs(best.both)), vi_of(best.apart)));
    least = vi_min(least, vi_of(apart));
    /* false for NaN */
    if (__builtin_expect(
            vm_bits(vm_lt(vf_mul(sum, vf_set(0x1p-19F)), vf_of(least))) == (1U << VF) - 1U, 1))
        return mask_of_term(&best);
    vm found;
    vi bits = search_all(row, &found);
    *nan = vm_or(*nan, found);
    return bits;
}

#endif
