// SPDX-License-Identifier: MIT
/* mvue24's groups of 4, along rows of VF columns or down VF columns: the reference's arithmetic,
 * lane by lane, on VF/2 groups. Floats neither overflow nor vanish in double, so nothing is scaled.
 * Draws are made for many groups at once, in their order, and read from there. */
#ifndef WN_KERNELS_SIMD_MVUE24_GROUPS_H
#define WN_KERNELS_SIMD_MVUE24_GROUPS_H

#include "kernels/simd/philox.h"
#include "kernels/simd/rank24.h"
#include "kernels/simd/vecd.h"
#include "kernels/soft24.h"

#include <math.h>

#define SPAN        1024 /* groups whose draws are made at once */
#define MOST_HALVES 4    /* of vectors that are pruned side by side */

/* ---- one group a lane */

ALWAYS vd sum4(const vd a[4]) {
    return vd_add(vd_add(vd_add(a[0], a[1]), a[2]), a[3]);
}

/* hit[j]: the point v lies in the j-th of four lengths laid end to end. */
ALWAYS void find(const vd length[4], vd v, vb hit[4]) {
    vd end = length[0];
    vb beyond = vd_le(end, v);
    hit[0] = vb_not_scalar(beyond);
    UNROLL
    for (int j = 1; j < 4; j++) {
        end = vd_add(end, length[j]);
        vb next = vd_le(end, v);
        hit[j] = vb_xor(beyond, next);
        beyond = next;
    }
}

/* What becomes of VF/2 groups under EXACT: element j is short where it does not exceed half of the
 * group's sum; the others stay. Laid end to end, the short ones that the point of a draw lies in
 * are hit and take the size; those of no length never are. The second point lies a size further
 * where all are short. */
typedef struct half_fate {
    vb shorter[4], hit[4], finite;
    vd size;
} half_fate;

/* n times VF/2 groups, step by step side by side: each step waits for the one before it, and a
 * processor does not see far enough ahead to find the next groups by itself. */
ALWAYS void prune_halves(int n, vd a[][4], const vd *u, half_fate *f) {
    vd sum[MOST_HALVES], first[MOST_HALVES], second[MOST_HALVES];
    UNROLL
    for (int h = 0; h < n; h++)
        sum[h] = sum4(a[h]);
    UNROLL
    for (int h = 0; h < n; h++) {
        vd half = vd_mul(sum[h], vd_set(0.5));
        f[h].finite = vd_lt(sum[h], vd_set(INFINITY));
        UNROLL
        for (int j = 0; j < 4; j++) {
            f[h].shorter[j] = vd_le(a[h][j], half);
            a[h][j] = vd_keep(f[h].shorter[j], a[h][j]);
        }
        sum[h] = half;
    }
    UNROLL
    for (int j = 1; j < 4; j++) {
        UNROLL
        for (int h = 0; h < n; h++)
            a[h][j] = vd_add(a[h][j - 1], a[h][j]); /* where it ends */
    }
    UNROLL
    for (int h = 0; h < n; h++) {
        const vb *shorter = f[h].shorter;
        vb all = vb_and(vb_and(shorter[0], shorter[1]), vb_and(shorter[2], shorter[3]));
        f[h].size = vd_select(all, sum[h], a[h][3]);
        first[h] = vd_mul(u[h], f[h].size);
        /* Unmasked it would be the same, and with gcc 12 and AVX-512 a twelfth slower. */
        second[h] = vd_add(first[h], vd_keep(all, f[h].size));
    }
    UNROLL
    for (int h = 0; h < n; h++) {
        vb passed[2] = {vd_le(a[h][0], first[h]), vd_le(a[h][0], second[h])};
        f[h].hit[0] = vb_not(vb_and(passed[0], passed[1]));
        UNROLL
        for (int j = 1; j < 4; j++) {
            vb beyond[2] = {vd_le(a[h][j], first[h]), vd_le(a[h][j], second[h])};
            f[h].hit[j] = vb_or(vb_without(passed[0], beyond[0]), vb_without(passed[1], beyond[1]));
            passed[0] = beyond[0];
            passed[1] = beyond[1];
        }
    }
}

/* What becomes of VF/2 groups under APPROX: element j stays as it is, or takes the magnitude of the
 * first or of the second draw, or becomes +0. */
typedef struct fate {
    vb stays[4], first[4], second[4];
    vd first_size, second_size;
    vb finite;
} fate;

/* The sums of three of four, in order: out[j] leaves a[j] out. */
ALWAYS void sums_without(const vd a[4], vd out[4]) {
    vd two = vd_add(a[0], a[1]);
    out[0] = vd_add(vd_add(a[1], a[2]), a[3]);
    out[1] = vd_add(vd_add(a[0], a[2]), a[3]);
    out[2] = vd_add(two, a[3]);
    out[3] = vd_add(two, a[2]);
}

/* The one of four that was hit. */
ALWAYS vd chosen(const vb hit[4], const vd a[4]) {
    return vd_select(hit[0], a[0], vd_select(hit[1], a[1], vd_select(hit[2], a[2], a[3])));
}

/* All that is not zero stays where two of the four are zero, or more. */
ALWAYS void keep_few(const vd a[4], vb stays[4]) {
    vb some[4];
    UNROLL
    for (int j = 0; j < 4; j++)
        some[j] = vd_lt(vd_zero(), a[j]);
    vb one = vb_and(some[0], some[1]), other = vb_and(some[2], some[3]);
    vb many = vb_or_scalar(vb_and(one, vb_or_scalar(some[2], some[3])),
                           vb_and(other, vb_or_scalar(some[0], some[1])));
    UNROLL
    for (int j = 0; j < 4; j++)
        stays[j] = vb_and(some[j], vb_not_scalar(many));
}

ALWAYS fate prune_half_approx(const vd a[4], vd u, vd v) {
    fate f;
    vd sum = sum4(a), one = vd_set(1), rest[4], ratio[4], ratios[4], others[4];
    f.finite = vd_le(vd_sub(sum, sum), vd_zero());
    keep_few(a, f.stays);
    sums_without(a, rest);
    UNROLL
    for (int j = 0; j < 4; j++)
        ratio[j] = vd_div(a[j], rest[j]);
    sums_without(ratio, ratios);
    find(a, vd_mul(u, sum), f.first);
    UNROLL
    for (int j = 0; j < 4; j++)
        others[j] = vd_drop(f.first[j], a[j]);
    find(others, vd_mul(v, chosen(f.first, rest)), f.second);
    f.first_size = vd_div(sum, vd_add(one, chosen(f.first, ratios)));
    f.second_size = vd_div(sum, vd_add(one, chosen(f.second, ratios)));
    return f;
}

ALWAYS void halves_of(const vf column[4], int h, vd a[4]) {
    UNROLL
    for (int j = 0; j < 4; j++)
        a[j] = h ? vd_high(vf_abs(column[j])) : vd_low(vf_abs(column[j]));
}

ALWAYS void refuse_groups(vm finite, vf column[4]) {
    if (vm_bits(finite) == (1U << VF) - 1U) return;
    UNROLL
    for (int j = 0; j < 4; j++)
        column[j] = vf_select(finite, column[j], vf_set(NAN));
}

/* Two non-zeros or fewer need no case of their own: one is longer than half, or both are half. */
ALWAYS void prune_exact(int vecs, vf column[][4], const vd *u) {
    half_fate f[MOST_HALVES];
    vd a[MOST_HALVES][4];
    UNROLL
    for (int h = 0; h < 2 * vecs; h++)
        halves_of(column[h / 2], h % 2, a[h]);
    prune_halves(2 * vecs, a, u, f);
    UNROLL
    for (int i = 0; i < vecs; i++) {
        const half_fate *low = f + 2 * i, *high = low + 1;
        vf size = vf_of_doubles(low->size, high->size);
        UNROLL
        for (int j = 0; j < 4; j++) {
            vm shorter = vm_of_halves(low->shorter[j], high->shorter[j]);
            vm hit = vm_of_halves(low->hit[j], high->hit[j]);
            vf sized = vf_keep(hit, vf_with_sign(size, vf_sign(column[i][j])));
            column[i][j] = vf_select(shorter, sized, column[i][j]);
        }
        refuse_groups(vm_of_halves(low->finite, high->finite), column[i]);
    }
}

ALWAYS void prune_approx(vf column[4], const vd u[2], const vd v[2]) {
    fate f[2];
    UNROLL
    for (int h = 0; h < 2; h++) {
        vd a[4];
        halves_of(column, h, a);
        f[h] = prune_half_approx(a, u[h], v[h]);
    }
    vf first = vf_of_doubles(f[0].first_size, f[1].first_size);
    vf second = vf_of_doubles(f[0].second_size, f[1].second_size);
    UNROLL
    for (int j = 0; j < 4; j++) {
        vm stays = vm_of_halves(f[0].stays[j], f[1].stays[j]);
        vm one = vm_of_halves(f[0].first[j], f[1].first[j]);
        vm two = vm_of_halves(f[0].second[j], f[1].second[j]);
        vf sign = vf_sign(column[j]), size = vf_keep(two, second);
        size = vf_select(one, first, size);
        vf y = vf_select(stays, column[j], vf_keep(vm_or(one, two), vf_with_sign(size, sign)));
        column[j] = y;
    }
    refuse_groups(vm_of_halves(f[0].finite, f[1].finite), column);
}

/* VF groups, one in each lane of four columns, with the draws u (and v) of each half. */
ALWAYS void prune(wn__mvue24_method method, vf column[4], const vd u[2], const vd v[2]) {
    if (method == WN_MVUE24_EXACT)
        prune_exact(1, (vf(*)[4])column, u);
    else
        prune_approx(column, u, v);
}

/* ---- draws */

typedef struct draws24 {
    philox source;
    int words;    /* of a group: 1, or 2 for APPROX */
    int64_t skip; /* words of the first draw that belong to groups before */
    uint32_t word[2 * SPAN + 4 * PHILOX_BATCH];
} draws24;

/* For n <= SPAN groups from number k on. */
static inline void draw_words(draws24 *d, int64_t k, int64_t n) {
    int64_t first = k * d->words;
    d->skip = first % 4;
    int64_t turns = (d->skip + n * d->words + PHILOX_BATCH - 1) / PHILOX_BATCH;
    philox_words(&d->source, (uint32_t)(first / 4), turns, d->word);
}

/* The i-th VF words. */
ALWAYS vi words_at(const draws24 *d, int64_t i) {
    const void *p = d->word + d->skip + i;
#if VF == 16
    return _mm512_loadu_si512(p);
#else
    return _mm256_loadu_si256((const __m256i *)p);
#endif
}

/* The words of even and of odd places of two vectors. */
ALWAYS void part_words(vi a, vi b, vi *even, vi *odd) {
#if VF == 16
    const vi place = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    *even = _mm512_permutex2var_epi32(a, place, b);
    *odd = _mm512_permutex2var_epi32(a, _mm512_or_si512(place, vi_set(1)), b);
#else
    __m256 x = _mm256_castsi256_ps(a), y = _mm256_castsi256_ps(b);
    __m256i low = _mm256_castps_si256(_mm256_shuffle_ps(x, y, 0x88));
    __m256i high = _mm256_castps_si256(_mm256_shuffle_ps(x, y, 0xDD));
    *even = _mm256_permute4x64_epi64(low, 0xD8);
    *odd = _mm256_permute4x64_epi64(high, 0xD8);
#endif
}

/* From the order of groups to that of the lanes of split columns: lane 4 q + l takes group VF/4 l +
 * q. */
ALWAYS vi words_to_lanes(vi a) {
#if VF == 16
    return _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), a);
#else
    return _mm256_permutevar8x32_epi32(a, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
#endif
}

ALWAYS void uniform(vi words, vd u[2]) {
    vd_of_words(words, u);
    u[0] = vd_mul(u[0], vd_set(0x1p-32));
    u[1] = vd_mul(u[1], vd_set(0x1p-32));
}

/* The draws of the VF groups from the i-th on; split: in the order of split columns. */
ALWAYS void draws_at(const draws24 *d, wn__mvue24_method method, bool split, int64_t i, vd u[2],
                     vd v[2]) {
    vi first = words_at(d, i * (method == WN_MVUE24_EXACT ? 1 : 2)), second = first;
    if (method == WN_MVUE24_APPROX) part_words(first, words_at(d, 2 * i + VF), &first, &second);
    uniform(split ? words_to_lanes(first) : first, u);
    uniform(split ? words_to_lanes(second) : second, v);
}

static inline draws24 draws_of(const wn__mvue24 *p) {
    draws24 d;
    d.source = philox_of(p->seed, p->stream, p->counter);
    d.words = p->method == WN_MVUE24_EXACT ? 1 : 2;
    return d;
}

/* ---- four rows */

/* The first four of rows rows, lanes <= VF columns from the j-th on; missing rows are zeros. */
ALWAYS void block_step(const draws24 *d, const wn__mvue24 *p, wn__mvue24_method method,
                       const float *x, float *y, int64_t rows, int64_t j, int64_t lanes) {
    vf column[4];
    vd u[2], v[2];
    UNROLL
    for (int i = 0; i < 4; i++)
        column[i] = i < rows ? vf_get(x + i * p->x.stride[0] + j, lanes) : vf_zero();
    draws_at(d, method, false, j, u, v);
    prune(method, column, u, v);
    UNROLL
    for (int i = 0; i < 4; i++)
        if (i < rows) vf_put(y + i * p->y.stride[0] + j, column[i], lanes);
}

/* Two vectors of columns at once, under EXACT: 32 registers hold what they need, 16 do not. */
ALWAYS void two_steps(const draws24 *d, const wn__mvue24 *p, const float *x, float *y, int64_t j) {
    vf column[2][4];
    vd u[4], v[2];
    UNROLL
    for (int i = 0; i < 8; i++)
        column[i / 4][i % 4] = vf_load(x + i % 4 * p->x.stride[0] + j + i / 4 * VF);
    draws_at(d, WN_MVUE24_EXACT, false, j, u, v);
    draws_at(d, WN_MVUE24_EXACT, false, j + VF, u + 2, v);
    prune_exact(2, column, u);
    UNROLL
    for (int i = 0; i < 8; i++)
        vf_store(y + i % 4 * p->y.stride[0] + j + i / 4 * VF, column[i / 4][i % 4]);
}

/* The rows of the next block come while this one is at work: eight streams are more than hardware
 * foresees. */
ALWAYS void fetch_block(const float *x, int64_t stride) {
    UNROLL
    for (int i = 4; i < 8; i++)
        _mm_prefetch((const char *)(x + i * stride), _MM_HINT_T0);
}

/* rows: from this block on. y may be a buffer for one block, then p->y has only its stride. */
ALWAYS void prune_block(const draws24 *d, const wn__mvue24 *p, wn__mvue24_method method,
                        const float *x, float *y, int64_t rows, int64_t n) {
    int64_t j = 0;
    if (VF == 16 && method == WN_MVUE24_EXACT)
        for (; rows >= 4 && j + 2 * VF <= n; j += 2 * VF) {
            for (int64_t i = j; rows >= 8 && i <= j + VF; i += VF) {
                fetch_block(x + i, p->x.stride[0]);
                if (wn__given(&p->y)) fetch_block(y + i, p->y.stride[0]);
            }
            two_steps(d, p, x, y, j);
        }
    for (; rows >= 4 && j + VF <= n; j += VF) {
        if (rows >= 8) fetch_block(x + j, p->x.stride[0]);
        if (rows >= 8 && wn__given(&p->y)) fetch_block(y + j, p->y.stride[0]);
        block_step(d, p, method, x, y, 4, j, VF);
    }
    for (; j < n; j += VF)
        block_step(d, p, method, x, y, rows, j, clamp24(n - j, VF));
}

#endif
