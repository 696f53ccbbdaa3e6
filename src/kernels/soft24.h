// SPDX-License-Identifier: MIT
/* soft24, soft24_dots, mvue24, apply24: what 2:4 training does to values.
 *
 * soft24 (S-STE, Hu et al. 2024): in each group of 4 along c, tau is the second smallest |w|; the
 * two positions of mask24's ROW rule (|w| descending, earlier index first) become scale sign(w)
 * (|w| - tau), the others +0. A short last group counts its missing columns as zeros (so tau is 0
 * with one or two columns). A tie at tau leaves the value 0 in a kept place: the mask, not the
 * value, says what is kept. |w| - tau and the product are each rounded once in the dtype (ref:
 * double, rounded when stored). mask may be absent. NaN is INVALID, named by row and column as in
 * mask24. soft24_dots: out = <w, S>, <S, S>, <w, w> in double, S = soft24 of w with scale 1, summed
 * by chunks of WN_REDUCE_CHUNK elements of whole groups in a fixed order. The scale of S-STE is
 * out[0]/out[1], see sparse/soft24.h. mvue24: unbiased random pruning along `axis`, E[y] = x.
 * Groups of `group` elements (4, of which at most 2 survive, or 2, of which one does); axis 1:
 * along a row, groups of columns; axis 0: along a column, groups of 4 consecutive rows (tokens).
 * Group number k counts axis 1: row ceil(c/group) + group in row, axis 0: block c + column. It
 * draws from word[] of wn__philox_draw(seed, stream, counter << 32 | k/4) the word k%4 (APPROX: of
 * k/2 the words 2(k%2), 2(k%2)+1), u = word 2^-32 in double. EXACT (group 4; optimal inclusion
 * probabilities by systematic sampling): pi_i = min(1, 2|x_i|/sum), and when one exceeds 1 it is 1
 * and the others |x_j|/(sum of the others); with c_i the running sums of pi, i survives when its
 *     interval [c_(i-1), c_i) holds u or u+1; y_i = x_i/pi_i, rounded once.
 *   APPROX (Chmiel et al. 2022): i drawn with probability |x_i|/sum, then j != i with |x_j|/(sum -
 * |x_i|); both divided by their marginal inclusion probability pi_k = t_k + |x_k| sum_(l != k)
 * t_l/(sum - |x_l|), t = |x|/sum. Both: at most two non-zeros in the group are kept as they are (pi
 * = 1). Group 2: the first survives with probability |a|/(|a|+|b|), as sign(.)(|a|+|b|). All
 * arithmetic on a group is in double on magnitudes scaled by a power of two so that nothing
 * overflows; short last groups count missing elements as zeros. NaN or infinity in a group: every
 *     element of it becomes NaN (so it is found where gradients are checked). y may be x.
 * apply24: y = scale x where the mask keeps, +0 elsewhere; y may be x.
 * Packed or unit stride along c; F32, F64 (ref also F16, BF16). The same bits on every variant. */
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

typedef struct wn__apply24 {
    wn_tensor x, y;  /* [r, c] */
    wn_tensor mask;  /* U8 [r, ceil(c/4)] packed */
    wn_tensor scale; /* F64 [1], or absent: 1 */
} wn__apply24;

#endif
