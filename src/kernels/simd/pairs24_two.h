// SPDX-License-Identifier: MIT
/* A whole slice of rows of packed pairs, two at a time, as written instructions. A group is one
 * instruction a vector, a permutation a pair and three instructions an address, and 16 sums, four
 * vectors of weights, two pairs and eight of places are 30 registers. A compiler kept places,
 * addresses and what ends the loop in memory, which took a tenth of the time: the loads of a
 * product are all that the first cache can do. */
#ifndef WN_KERNELS_SIMD_PAIRS24_TWO_H
#define WN_KERNELS_SIMD_PAIRS24_TWO_H

#include "kernels/simd/pair_slice.h"

#include <stddef.h>

#define ROWS_AHEAD 10 /* whose weights are being fetched */

/* `count` rows of pairs, an even number, and the index of their groups, `row` and `index_row` bytes
 * apart. Sums come from rows that stand side by side, or are zero at first, and go to rows that are
 * `stride` bytes apart. */
typedef struct rows_of_pairs24 {
    const float *slice;
    const char *pairs, *index;
    int64_t row, index_row, count;
    const float *from;
    float *to;
    int64_t stride;
    int64_t sums_exist; /* a mask of lanes: 0 at first, else -1 */
} rows_of_pairs24;

/* Where these are: slice rdi, pairs rsi, row rdx, index rcx, index_row r8, from r9, to r10, stride
 * r11, count r15. Sums are ymm0 to 7 and 8 to 15, places ymm24 to 31. The index of two rows turns
 * round in rbx and r12 by a group at a time, so that a nibble, 64 times, comes from bits 6 to 9;
 * that of the next two waits in r13 and r14. */
#define AT(field) "%c[" #field "](%%rdi)"
#define BEGIN_ROWS                                                                                 \
    "mov " AT(pairs) ", %%rsi\n\tmov " AT(row) ", %%rdx\n\tmov " AT(                               \
        index) ", %%rcx\n\t"                                                                       \
               "mov " AT(index_row) ", %%r8\n\tmov " AT(from) ", %%r9\n\tmov " AT(                 \
                   to) ", %%r10\n\t"                                                               \
                       "mov " AT(stride) ", %%r11\n\tmov " AT(count) ", %%r15\n\tkmovq " AT(       \
                           sums) ", %%k1\n\t"                                                      \
                                 "mov " AT(slice) ", %%rdi\n\tmov (%%rcx), %%r13\n\tmov "          \
                                                  "(%%rcx,%%r8), %%r14\n\t"                        \
                                                  ".irp p,24,25,26,27,28,29,30,31\n\t"             \
                                                  "mov $\\p-24, %%eax\n\tvpbroadcastd %%eax, "     \
                                                  "%%ymm\\p\n\t.endr\n"

/* Weights of both rows, the index of the next two (of the same again at the end), and lines of rows
 * that come eight to ten later. */
#define BEGIN_TURN                                                                                 \
    "1:\n\tmov %%r13, %%rbx\n\tmov %%r14, %%r12\n\trol $6, %%rbx\n\trol $6, %%r12\n\t"             \
    "vmovdqu32 (%%rsi), %%ymm16\n\tvmovdqu32 32(%%rsi), %%ymm17\n\t"                               \
    "vmovdqu32 (%%rsi,%%rdx), %%ymm18\n\tvmovdqu32 32(%%rsi,%%rdx), %%ymm19\n\t"                   \
    "lea (%%rsi,%%rdx,2), %%rsi\n\tprefetcht0 (%%rsi,%%rdx,8)\n\t"                                 \
    "prefetcht0 63(%%rsi,%%rdx,8)\n\tlea (%%rsi,%%rdx), %%rax\n\t"                                 \
    "prefetcht0 (%%rax,%%rdx,8)\n\tprefetcht0 63(%%rax,%%rdx,8)\n\t"                               \
    "xor %%eax, %%eax\n\tcmp $2, %%r15\n\tcmovg %%r8, %%rax\n\tlea (%%rcx,%%rax,2), %%rcx\n\t"     \
    "mov (%%rcx), %%r13\n\tmov (%%rcx,%%r8), %%r14\n\tprefetcht0 (%%rcx,%%r8,8)\n\t"               \
    "lea (%%rcx,%%r8), %%rax\n\tprefetcht0 (%%rax,%%r8,8)\n\t"
#define END_TURN                                                                                   \
    "add $2*%c[bytes], %%r9\n\tlea (%%r10,%%r11,2), %%r10\n\tsub $2, %%r15\n\tjg 1b\n\t"

/* What is done to all sums of the first or second row: VECS names their registers. */
#define EACH(VECS, ...) ".irp a," VECS "\n\t" __VA_ARGS__ "\n\t.endr\n\t"
#define TAKE_SUMS(FIRST, SECOND)                                                                   \
    EACH(FIRST, "vmovups 32*\\a(%%r9), %%ymm\\a%{%%k1%}%{z%}")                                     \
    EACH(SECOND, "vmovups 32*(\\a-8)+%c[bytes](%%r9), %%ymm\\a%{%%k1%}%{z%}")
#define PUT_SUMS(FIRST, SECOND)                                                                    \
    EACH(FIRST, "vmovups %%ymm\\a, 32*\\a(%%r10)")                                                 \
    EACH(SECOND, "vmovups %%ymm\\a, 32*(\\a-8)(%%r10,%%r11)")

/* Eight groups from g0 on, whose weights are in w0 and w1. ROW makes bytes of 64 times a nibble,
 * but for the scale. */
#define ROW_OF(index, ROW)                                                                         \
    "mov %%" index ", %%rax\n\tand $0x3c0, %%eax\n\tror $4, %%" index "\n\t" ROW
#define EIGHT_GROUPS(g0, w0, w1, ROW, scale, FIRST, SECOND)                                        \
    ".irp p,24,25,26,27,28,29,30,31\n\t"                                                           \
    "vpermd %%ymm" w0 ", %%ymm\\p, %%ymm20\n\tvpermd %%ymm" w1                                     \
    ", %%ymm\\p, %%ymm21\n\t" ROW_OF("rbx", ROW)                                                   \
        EACH(FIRST, "vdpbf16ps 7*(\\p-24+" g0 ")*%c[bytes]+32*\\a(%%rdi,%%rax," scale              \
                    "), %%ymm20, %%ymm\\a") ROW_OF("r12", ROW)                                     \
            EACH(SECOND, "vdpbf16ps 7*(\\p-24+" g0 ")*%c[bytes]+32*(\\a-8)(%%rdi,%%rax," scale     \
                         "), %%ymm21, %%ymm\\a") ".endr\n\t"

#define ADD_ROWS(width, ROW, scale, FIRST, SECOND)                                                 \
    __asm__ volatile(                                                                              \
        BEGIN_ROWS BEGIN_TURN TAKE_SUMS(FIRST, SECOND)                                             \
            EIGHT_GROUPS("0", "16", "18", ROW, scale, FIRST, SECOND)                               \
                EIGHT_GROUPS("8", "17", "19", ROW, scale, FIRST, SECOND) PUT_SUMS(FIRST, SECOND)   \
                    END_TURN                                                                       \
        : "+D"(r)                                                                                  \
        : [slice] "i"(offsetof(rows_of_pairs24, slice)),                                           \
          [pairs] "i"(offsetof(rows_of_pairs24, pairs)),                                           \
          [index] "i"(offsetof(rows_of_pairs24, index)),                                           \
          [row] "i"(offsetof(rows_of_pairs24, row)),                                               \
          [index_row] "i"(offsetof(rows_of_pairs24, index_row)),                                   \
          [count] "i"(offsetof(rows_of_pairs24, count)),                                           \
          [from] "i"(offsetof(rows_of_pairs24, from)), [to] "i"(offsetof(rows_of_pairs24, to)),    \
          [stride] "i"(offsetof(rows_of_pairs24, stride)),                                         \
          [sums] "i"(offsetof(rows_of_pairs24, sums_exist)),                                       \
          [bytes] "i"((width)*HALF_VF * (int)sizeof(float))                                        \
        : "memory", "cc", "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12",      \
          "r13", "r14", "r15", "k1", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",       \
          "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16",   \
          "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm24", "xmm25", "xmm26", "xmm27",         \
          "xmm28", "xmm29", "xmm30", "xmm31")

/* Functions of their own: they take every register but two. Rows of eight vectors of which seven
 * exist are no other than whole ones; five of six would wait for each other. */
__attribute__((noinline)) static void rows_of_pairs_8(const rows_of_pairs24 *r) {
    ADD_ROWS(8, "", "4", "0,1,2,3,4,5,6,7", "8,9,10,11,12,13,14,15");
}
__attribute__((noinline)) static void rows_of_pairs_7(const rows_of_pairs24 *r) {
    ADD_ROWS(8, "", "4", "0,1,2,3,4,5,6", "8,9,10,11,12,13,14");
}
__attribute__((noinline)) static void rows_of_pairs_6(const rows_of_pairs24 *r) {
    ADD_ROWS(6, "lea (%%rax,%%rax,2), %%rax\n\t", "1", "0,1,2,3,4,5", "8,9,10,11,12,13");
}

#endif
