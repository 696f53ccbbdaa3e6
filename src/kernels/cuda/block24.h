// SPDX-License-Identifier: MIT
/* The packed form of 2:4 weights on a GPU, for its host side and its device code alike.
 *
 * A block holds 64 rows (output features) by 64 columns (input features) of a bfloat16 or float16
 * matrix in 4608 bytes: first the 32 kept values of each row, 64 bytes a row, 16-byte chunk q of
 * row r at chunk q ^ ((r >> 1) & 3) (what wgmma calls a K-major operand with 64-byte swizzle, ready
 * to be copied), then 128 words that say where they stood. Word w*32 + g*4 + q covers columns
 * 16 q .. 16 q + 15 of row 16 w + g in its low half and of row 16 w + g + 8 in its high half; of
 * each group of four columns, from the lowest bits up, four bits: the first kept column, then the
 * second. So each thread of a warpgroup finds the word that `wgmma.mma_async.sp` and `mma.sp` want
 * of it (NVIDIA, PTX ISA, "Sparse matrix storage") at its own index. Blocks of one 64-row panel
 * follow one another. */
#ifndef WN_KERNELS_CUDA_BLOCK24_H
#define WN_KERNELS_CUDA_BLOCK24_H

enum {
    WN_BLOCK24_ROWS = 64,
    WN_BLOCK24_COLUMNS = 64,
    WN_BLOCK24_VALUES = 4096, /* bytes before the words */
    WN_BLOCK24_BYTES = 4608
};

/* Byte of kept value c (0 to 31) of row r. */
#define WN_BLOCK24_VALUE(r, c) ((r)*64 + ((((c) >> 3) ^ (((r) >> 1) & 3)) << 4) + (((c)&7) << 1))
/* Index of the word of row r, columns 16 q to 16 q + 15; its half is the row's (r >> 3) & 1. */
#define WN_BLOCK24_WORD(r, q) ((((r) >> 4) << 5) + (((r)&7) << 2) + (q))

/* The same of 8-bit numbers: 64 rows by 128 columns in 5120 bytes. 64 kept values of each row in 64
 * bytes, swizzled alike; then two times 128 words, of columns 0 to 63 and of 64 to 127. Word
 * w*32 + g*4 + 2 q + h of a half covers its columns 32 q .. 32 q + 31 of row 16 w + g + 8 h. */
enum { WN_BLOCK8_COLUMNS = 128, WN_BLOCK8_BYTES = 5120 };

/* Byte of kept value c (0 to 63) of row r. */
#define WN_BLOCK8_VALUE(r, c) ((r)*64 + ((((c) >> 4) ^ (((r) >> 1) & 3)) << 4) + ((c)&15))
/* Index of the word of row r, columns 32 q to 32 q + 31 (q of 0 to 3). */
#define WN_BLOCK8_WORD(r, q)                                                                       \
    ((((q) >> 1) << 7) + (((r) >> 4) << 5) + (((r)&7) << 2) + (((q)&1) << 1) + (((r) >> 3) & 1))

#endif
