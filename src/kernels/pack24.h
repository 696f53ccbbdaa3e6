// SPDX-License-Identifier: MIT
/* pack24, unpack24: the canonical packed form of a 2:4 matrix W[r,c] with groups of 4 along c.
 *
 *   g       = ceil(c/4) groups a row; columns c .. 4g-1 count as zeros that are not kept
 *   mask    U8 [r, g]            bit j (j = 0..3) set: column 4 group + j is kept; at most two bits
 *   values  dtype of w [r, 2g]   the two kept values of each group, columns ascending
 *   index   U8 [r, ceil(g/2)]    per group a nibble i0 | i1<<2 with i0 < i1; the even group in the
 * low nibble; an odd last nibble is 0xE
 *
 * Short groups take free slots with value 0: no column kept, or only 2, or only 3 -> slots (2,3);
 * only 1 -> (1,3); only 0 -> (0,3). So indices always ascend. A mask with three or four bits in a
 * group is INVALID, named by row and group. Packing reads the mask, never "value != 0"; kept -0,
 * denormals, Inf and NaN are copied bit for bit, unkept values never matter. The transposed outputs
 * are the packed form of (W masked)^T [c, r], groups along r: they need every column of each 4-row
 * block to keep at most two (a transposable mask), else INVALID names the block. r and c padding as
 * above on both sides. Bit-exact on every variant. Outputs overlap no input. F32, F64, F16, BF16.
 */
#ifndef WN_KERNELS_PACK24_H
#define WN_KERNELS_PACK24_H

#include "tensor/tensor.h"

typedef struct wn__pack24 {
    wn_tensor w;        /* [r, c], unit stride along c */
    wn_tensor mask;     /* U8 [r, ceil(c/4)] packed */
    wn_tensor values;   /* [r, 2 ceil(c/4)] packed, or absent with index */
    wn_tensor index;    /* U8 [r, ceil(ceil(c/4)/2)] packed */
    wn_tensor values_t; /* [c, 2 ceil(r/4)] packed, or absent with index_t */
    wn_tensor index_t;  /* U8 [c, ceil(ceil(r/4)/2)] packed */
} wn__pack24;

/* w = unpacked values, zeros elsewhere (written as +0). INVALID names row and group of indices that
 * do not ascend, or that address a padding column with a non-zero value. */
typedef struct wn__unpack24 {
    wn_tensor values, index; /* as above */
    wn_tensor w;             /* [r, c], unit stride along c */
} wn__unpack24;

/* keep-mask (0..15) -> nibble, 0xFF for three or four bits; and back (0 for indices that do not
 * ascend). */
extern const uint8_t wn__nibble_of_mask24[16];
extern const uint8_t wn__mask_of_nibble24[16];

/* INVALID names the first group (or, when values_t is given, the first column of a 4-row block)
 * that the mask keeps too much of, or a mask bit beyond c. Every variant refuses through these,
 * before it writes anything. */
WN_NODISCARD wn_status wn__pack24_refuse_mask(const wn__pack24 *p);
WN_NODISCARD wn_status wn__unpack24_refuse_index(const wn__unpack24 *p);

#endif
