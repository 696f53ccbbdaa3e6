// SPDX-License-Identifier: MIT
/* mvue24_blocks: mvue24 of soft24.h along axis 0 in groups of 4, and then the packed blocks of
 * block24.h of the transpose of what is drawn, in one pass over x[r,c]: mvue24_tokens for the
 * weight gradient on a GPU (spmm24_blocks_rows.h).
 *
 * Values and places are those of mvue24_tokens, rows and columns that a block has beyond the
 * transpose keep nothing. A group with an infinity or a NaN becomes NaN as mvue24's, bits 0x7FC0
 * (BF16) or 0x7E00 (F16). Bit-exact on every variant. counter < 2^32. r, c may be 0. blocks
 * overlaps no input and begins at a multiple of 16 bytes. BF16, F16. */
#ifndef WN_KERNELS_MVUE24_BLOCKS_H
#define WN_KERNELS_MVUE24_BLOCKS_H

#include "kernels/soft24.h"

typedef struct wn__mvue24_blocks {
    wn_tensor x;      /* [r, c], unit stride along c */
    wn_tensor blocks; /* U8 [ceil(c/64), ceil(r/64), 4608], packed */
    wn__mvue24_method method;
    uint64_t seed, stream, counter;
} wn__mvue24_blocks;

#endif
