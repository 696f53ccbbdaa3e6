// SPDX-License-Identifier: MIT
/* block24: a 16-bit matrix W[r,c] and its 2:4 mask in the packed blocks that GPUs multiply
 * (kernels/cuda/block24.h has the picture), of W, of its transpose, or of both.
 *
 *   blocks    U8 [ceil(r/64), ceil(c/64), 4608]: block (i,j) holds rows 64 i .. and columns 64 j ..
 *   blocks_t  U8 [ceil(c/64), ceil(r/64), 4608]: the same of (W masked)^T
 *
 * Values and places are those of pack24.h, group by group: free slots of a short group are (2,3),
 * (1,3) or (0,3) with value 0, kept numbers are copied bit for bit, unkept ones never matter. Rows
 * and columns that a block has beyond the matrix keep nothing. mask is pack24's, refused in its
 * words (blocks_t wants one that is transposable). Without a mask each group keeps what mask24's
 * ROW keeps, and a NaN is refused as there; blocks_t needs a mask. With `tiles` instead, the exact
 * tiles of mask24's TILE are chosen, in the same pass, and their mask is written there: r and c are
 * then multiples of 4, both blocks may be given. Bit-exact on every variant.
 * Outputs overlap no input and begin at multiples of 16 bytes. BF16, F16. */
#ifndef WN_KERNELS_BLOCK24_H
#define WN_KERNELS_BLOCK24_H

#include "kernels/contract.h"

typedef struct wn__block24 {
    wn_tensor w;        /* [r, c], unit stride along c */
    wn_tensor mask;     /* U8 [r, ceil(c/4)] packed, or absent */
    wn_tensor blocks;   /* packed, or absent */
    wn_tensor blocks_t; /* packed, or absent */
    wn_tensor tiles;    /* U8 [r, c/4] packed, or absent: the mask is chosen, and written */
} wn__block24;

/* The packed blocks of rows x columns numbers, data NULL. */
wn_tensor wn__block24_tensor(int64_t rows, int64_t columns);
/* INVALID unless o is the blocks of rows x columns numbers, at a multiple of 16 bytes. Absent ones
 * pass. */
WN_NODISCARD wn_status wn__block24_check(const char *op, const wn__operand *o, int64_t rows,
                                         int64_t columns);
/* INVALID where data begins at another place than a multiple of 16 bytes; absent tensors pass. */
WN_NODISCARD wn_status wn__check_aligned16(const char *op, const wn__operand *o);
/* The refusal of data, for every variant: of the mask, or of a NaN where there is none. */
WN_NODISCARD wn_status wn__block24_refuse(const wn__block24 *p);

/* The two kept columns of group `group` (of 16) in row `row` (of 64) of a block, 0 to 3, and the
 * bits of their values. */
void wn__block24_group(const uint8_t *block, int row, int group, int column[2], uint16_t value[2]);

#endif
