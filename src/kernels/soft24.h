// SPDX-License-Identifier: MIT
/* soft24, soft24_dots, mvue24, apply24: what 2:4 training does to values.
 *
 * soft24 (S-STE, Hu et al. 2024): in each group of 4 along c, tau is the second smallest |w|; the
 * two positions of mask24's ROW rule (|w| descending, earlier index first) become
 *     scale (sign(w) (|w| - tau)),
 * the others +0. A short last group counts its missing columns as zeros (so tau is 0 with one or
 * two columns). A tie at tau leaves a zero in a kept place: the mask, not the value, says what is
 * kept. |w| - tau is rounded to the dtype; scale is rounded to F32 first (F64: as it is), and their
 * product is rounded once. mask may be absent. NaN is INVALID, named by row and column as in
 * mask24; w is untouched then, out and mask are of no account. Infinities follow IEEE arithmetic.
 *
 * soft24_dots: out = <w, S>, <S, S>, <w, w> in double, S = soft24 of w with scale 1. Group g of a
 * row adds ((t0 + t1) + t2) + t3, the products of its four columns, to partial sum g % 16 of the
 * row; the 16 partial sums are added in ascending order, and then the rows. The scale of S-STE is
 * out[0] / out[1], see sparse/soft24.h. NaN is INVALID as above.
 *
 * mvue24: unbiased random pruning along `axis`, E[y] = x. Groups of `group` elements (4, of which
 * at most 2 survive, or 2, of which one does); axis 1: consecutive columns of a row; axis 0:
 * consecutive rows (tokens) of a column. Group number k counts, for axis 1, row ceil(c/group) +
 * group in the row; for axis 0, c block + column. It takes u = word 2^-32 from word k%4 of
 * wn__philox_draw(seed, stream, counter << 32 | k/4); APPROX in groups of 4 takes u and then v from
 * words 2(k%2) and 2(k%2) + 1 of number k/2. What does not survive is +0.
 *   EXACT (systematic sampling with the optimal inclusion probabilities): pi_i = min(1, 2|x_i|/S)
 *     with S = sum |x|, and when one exceeds 1 it is 1 and the others |x_j|/(sum of the others).
 *     With c_i the running sums of pi, i survives when [c_(i-1), c_i) holds u or u+1, as x_i/pi_i:
 *     a magnitude of S/2; in a group with a pi of 1 that element itself, and the sum of the others.
 *   APPROX (Chmiel et al. 2022): i drawn by u with probability |x_i|/S, then j != i by v with
 *     |x_j|/(S - |x_i|); both are divided by their inclusion probability pi_k = |x_k|/S (1 +
 *     sum_(l != k) |x_l|/(S - |x_l|)).
 *   With both, at most two non-zeros among four stay as they are (pi = 1). Group 2 (any method):
 *   the first survives when u < |a|/(|a| + |b|), as sign(.)(|a| + |b|), else the second.
 * wn__mvue24_group is the arithmetic of one group, in double with stated sums and products, on
 * magnitudes scaled by a power of two so that no sum overflows; what survives is rounded once to
 * the dtype, and may overflow there. Short last groups count missing elements as zeros. NaN or
 * infinity in a group: every element of it becomes NaN (so it is found where gradients are
 * checked). y may be x.
 *
 * apply24: y = scale x where the mask keeps, +0 elsewhere, scale rounded as above; y may be x.
 * Unit stride along c; F32, F64 (ref and GPUs also F16, BF16). The same bits on every variant
 * (NaN payloads aside). */
#ifndef WN_KERNELS_SOFT24_H
#define WN_KERNELS_SOFT24_H

#include "tensor/tensor.h"

typedef struct wn__soft24 {
    wn_tensor w;     /* [r, c] */
    wn_tensor out;   /* [r, c]; may be w */
    wn_tensor mask;  /* U8 [r, ceil(c/4)] packed, or absent */
    wn_tensor scale; /* F64 [1], or absent: 1 */
} wn__soft24;

typedef struct wn__soft24_dots {
    wn_tensor w;   /* [r, c] */
    wn_tensor out; /* F64 [3] */
} wn__soft24_dots;

typedef enum wn__mvue24_method { WN_MVUE24_EXACT, WN_MVUE24_APPROX } wn__mvue24_method;

typedef struct wn__mvue24 {
    wn_tensor x, y; /* [r, c] */
    int axis;       /* 0 or 1 */
    int group;      /* 4 or 2 */
    wn__mvue24_method method;
    uint64_t seed, stream, counter; /* counter < 2^32 */
} wn__mvue24;

/* One group of `group` finite elements: what x[group] becomes with draws u[0] (and u[1] for APPROX)
 * in [0,1). Stated in ref/mvue24.c; every variant computes the same bits. */
void wn__mvue24_group(wn__mvue24_method method, int group, const double *x, const double u[2],
                      double *y);

typedef struct wn__apply24 {
    wn_tensor x, y;  /* [r, c] */
    wn_tensor mask;  /* U8 [r, ceil(c/4)] packed */
    wn_tensor scale; /* F64 [1], or absent: 1 */
} wn__apply24;

#endif
