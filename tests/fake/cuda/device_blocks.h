// SPDX-License-Identifier: MIT
/* What the device code of packed blocks does, in plain C. Results: 0, or 1 where an argument is not
 * what the device code takes for granted. */
#ifndef WN_TESTS_FAKE_DEVICE_BLOCKS_H
#define WN_TESTS_FAKE_DEVICE_BLOCKS_H

#include <stdint.h>

struct wn__gpu_blocks_rows;
struct wn__gpu_spmm24_blocks;
int fake_blocks_pack(const void *argument, int both);
/* Matrices through maps: the kernel's name says the tile and the type. */
int fake_blocks_multiply_maps(const void *argument, const char *name);
/* Tiles that cover the result, room for parts, counters that are zero. */
int fake_blocks_sound(const struct wn__gpu_spmm24_blocks *p, int rows, int tokens, int block);
/* Rows of the boxes of x that the blocks of a cluster copy of a last tile that has fewer tokens
 * than others, and of its last box of the residual, in chunks of so many: 0 where there is none. */
void fake_blocks_last(const struct wn__gpu_spmm24_blocks *p, int tokens, int chunk, int64_t out[3]);
int fake_blocks_multiply(const void *argument, int bf16);

/* Whether a last tile that has fewer than others has its count and a map with boxes of it, of rows
 * of `width` numbers in tiles of `columns` rows. */
int fake_last_map_fits(const struct wn__gpu_blocks_rows *p, int64_t width, int64_t columns,
                       int bf16);
/* spmm24_blocks_rows, through maps where the name has a tile. */
int fake_blocks_rows(const void *argument, const char *name, int bf16);
/* Packed blocks written out as dense rows. */
void fake_unblock24(const void *argument);

#endif
