// SPDX-License-Identifier: MIT
/* Masks for cases of the 2:4 ops. */
#ifndef WN_KERNELS_CHECK_MASKS24_H
#define WN_KERNELS_CHECK_MASKS24_H

#include "kernels/check/harness.h"

typedef enum wn__masks {
    WN__MASKS_FULL,  /* two of every four; what there is in a last group of one column */
    WN__MASKS_SHORT, /* any of the eleven masks with at most two */
    WN__MASKS_TILE,  /* at most two in every row and column of a 4x4 tile, two in most */
    WN__MASKS_BAD    /* short, and one group with three or four */
} wn__masks;
extern const char *const wn__masks_words[];

/* A 2:4 matrix that is also given written out, with the least of gaps between its rows or more. */
typedef enum wn__dense { WN__DENSE_NONE, WN__DENSE_GIVEN, WN__DENSE_GAPS } wn__dense;
extern const char *const wn__dense_words[];

/* Fills a U8 [r, ceil(c/4)] image with masks of r x c elements. */
void wn__masks_fill(wn__case *k, wn__part *mask, int64_t c, wn__masks kind);
/* A mask of at most two among the first `columns` of a group; full: two if there are two. */
unsigned wn__mask_draw(wn__case *k, int64_t columns, bool full);
/* Draws masks for the rows of c columns that values, filled already or NULL, and index are packs
 * of. */
void wn__packed_fill(wn__case *k, wn__part *values, wn__part *index, int64_t c, bool full);

#endif
