// SPDX-License-Identifier: MIT
/* Pairs of outputs of a whole tile of floats, with vectors of 32 bytes and 32 registers: the loop
 * that most of a product is, instruction by instruction.
 *
 * Two loads a cycle are what binds it, and loads wait where instructions between two pairs of
 * outputs are many: a compiler's loop has a hundred there, this one thirty. Weights come sixteen at
 * a time and are broadcast by permutations, which take no port of the FMAs; a row of the panel is a
 * rotation and a mask of the index. A chunk is eight groups, whose rows are within reach of short
 * displacements. Weights, the index and sums of later pairs are fetched on the way. */
#ifndef WN_KERNELS_SIMD_TWO_OUTPUTS_H
#define WN_KERNELS_SIMD_TWO_OUTPUTS_H

#include <stddef.h>
#include <stdint.h>

/* Pairs of outputs of a slice. The assembler below knows this layout. */
typedef struct two_outputs {
    const float *panel;
    const float *values; /* of the first output; bytes from one to the next */
    int64_t values_stride;
    const uint8_t *index;
    int64_t index_stride;
    int64_t chunks, groups; /* of eight groups, and after them */
    const float *from;      /* sums before the slice, one output after the other */
    float *to;              /* and behind it; bytes from one to the next */
    int64_t to_stride;
    int64_t pairs; /* at least one */
    int64_t first; /* the sums before the slice are zeros */
} two_outputs;
_Static_assert(offsetof(two_outputs, values) == 0x08 && offsetof(two_outputs, index) == 0x18 &&
                   offsetof(two_outputs, chunks) == 0x28 && offsetof(two_outputs, from) == 0x38 &&
                   offsetof(two_outputs, to_stride) == 0x48 && offsetof(two_outputs, first) == 0x58,
               "what the assembler reads");

/* Sums a .. h += weight w times the row of 256 bytes `at` bytes from rsi + t. */
#define FMA_ROW(w, t, at, a, b, c, d, e, f, g, h)                                                  \
    "vfmadd231ps " at "+0x00(%%rsi,%%" t "), %%ymm" w ", %%ymm" a "\n\t"                           \
    "vfmadd231ps " at "+0x20(%%rsi,%%" t "), %%ymm" w ", %%ymm" b "\n\t"                           \
    "vfmadd231ps " at "+0x40(%%rsi,%%" t "), %%ymm" w ", %%ymm" c "\n\t"                           \
    "vfmadd231ps " at "+0x60(%%rsi,%%" t "), %%ymm" w ", %%ymm" d "\n\t"                           \
    "vfmadd231ps " at "+0x80(%%rsi,%%" t "), %%ymm" w ", %%ymm" e "\n\t"                           \
    "vfmadd231ps " at "+0xa0(%%rsi,%%" t "), %%ymm" w ", %%ymm" f "\n\t"                           \
    "vfmadd231ps " at "+0xc0(%%rsi,%%" t "), %%ymm" w ", %%ymm" g "\n\t"                           \
    "vfmadd231ps " at "+0xe0(%%rsi,%%" t "), %%ymm" w ", %%ymm" h "\n\t"
#define FMA_FIRST(w, t, at)  FMA_ROW(w, t, at, "0", "1", "2", "3", "4", "5", "6", "7")
#define FMA_SECOND(w, t, at) FMA_ROW(w, t, at, "8", "9", "10", "11", "12", "13", "14", "15")

/* Which rows of a group two slots name: turn brings their two bits to bits 8 and 9. */
#define ROWS(turn)                                                                                 \
    "movl %%r8d, %%eax\n\t"                                                                        \
    "movl %%r9d, %%edx\n\t"                                                                        \
    "rorl $" turn ", %%eax\n\t"                                                                    \
    "rorl $" turn ", %%edx\n\t"                                                                    \
    "andl $0x300, %%eax\n\t"                                                                       \
    "andl $0x300, %%edx\n\t"
/* One weight of each output: place `lane` of the four in ymm20 and ymm21. */
#define WEIGHT(turn, lane, at)                                                                     \
    ROWS(turn)                                                                                     \
    "vpermilps $" lane ", %%ymm20, %%ymm22\n\t"                                                    \
    "vpermilps $" lane ", %%ymm21, %%ymm23\n\t" FMA_FIRST("22", "rax", at)                         \
        FMA_SECOND("23", "rdx", at)
/* Four weights of each: half `half` of the eight in registers a and b. */
#define WEIGHTS(half, a, b, turn0, turn1, turn2, turn3, group0, group1)                            \
    "vshuff32x4 $" half ", %%ymm" a ", %%ymm" a ", %%ymm20\n\t"                                    \
    "vshuff32x4 $" half ", %%ymm" b ", %%ymm" b ", %%ymm21\n\t" WEIGHT(turn0, "0x00", group0)      \
        WEIGHT(turn1, "0x55", group0) WEIGHT(turn2, "0xaa", group1) WEIGHT(turn3, "0xff", group1)

#define SUMS_0_TO_7(x)  x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7)
#define SUMS_8_TO_15(x) x(8) x(9) x(10) x(11) x(12) x(13) x(14) x(15)
#define SUMS_0_TO_15(x) SUMS_0_TO_7(x) SUMS_8_TO_15(x)
#define ZERO_SUM(i)     "vpxor %%xmm" #i ", %%xmm" #i ", %%xmm" #i "\n\t"
#define TAKE_SUM(i)     "vmovups 32*" #i "(%%rdi), %%ymm" #i "\n\t"
/* Of the first output and of the second, which rax points to. */
#define PUT_SUM(i)    "vmovups %%ymm" #i ", 32*" #i "(%%rax)\n\t"
#define PUT_SECOND(i) "vmovups %%ymm" #i ", 32*" #i "-0x100(%%rax)\n\t"

#define LAST_WEIGHT(turn, at)                                                                      \
    ROWS(turn)                                                                                     \
    "vbroadcastss " at "(%%r10), %%ymm22\n\t"                                                      \
    "vbroadcastss " at "(%%r11), %%ymm23\n\t" FMA_FIRST("22", "rax", "-0x1000")                    \
        FMA_SECOND("23", "rdx", "-0x1000")
#define ADD_GROUP(turn0, turn1)                                                                    \
    LAST_WEIGHT(turn0, "0")                                                                        \
    LAST_WEIGHT(turn1, "4")                                                                        \
    "addq $0x400, %%rsi\n\t"                                                                       \
    "addq $8, %%r10\n\t"                                                                           \
    "addq $8, %%r11\n\t"                                                                           \
    "decq %%rcx\n\t"

/* rsi: the panel, 4096 bytes on; r10, r11: values and r12, r13: index of the two outputs; r14:
 * bytes of four rows of values; rdi: sums before the slice; r15: sums two pairs on. */
#define BEGIN_PAIR                                                                                 \
    "movq 0x00(%%rbx), %%rsi\n\t"                                                                  \
    "movq 0x28(%%rbx), %%rcx\n\t"                                                                  \
    "movq 0x20(%%rbx), %%rax\n\t"                                                                  \
    "addq $0x1000, %%rsi\n\t"                                                                      \
    "leaq 0x400(%%rdi), %%r15\n\t"                                                                 \
    "prefetcht0 (%%r12,%%rax,4)\n\t"                                                               \
    "prefetcht0 (%%r13,%%rax,4)\n\t"                                                               \
    "cmpq $0, 0x58(%%rbx)\n\t"                                                                     \
    "jnz 1f\n\t"
#define ELSE_ZEROS                                                                                 \
    "jmp 2f\n"                                                                                     \
    "1:\n\t"
#define END_SUMS "2:\n\t"
#define TAKE_SUMS                                                                                  \
    BEGIN_PAIR SUMS_0_TO_15(TAKE_SUM)                                                              \
    ELSE_ZEROS SUMS_0_TO_15(ZERO_SUM) END_SUMS

#define EACH_CHUNK                                                                                 \
    "testq %%rcx, %%rcx\n\t"                                                                       \
    "jz 4f\n\t"                                                                                    \
    ".p2align 5\n"                                                                                 \
    "3:\n\t"                                                                                       \
    "movl (%%r12), %%r8d\n\t"                                                                      \
    "movl (%%r13), %%r9d\n\t"                                                                      \
    "vmovups 0x00(%%r10), %%ymm16\n\t"                                                             \
    "vmovups 0x20(%%r10), %%ymm17\n\t"                                                             \
    "vmovups 0x00(%%r11), %%ymm18\n\t"                                                             \
    "vmovups 0x20(%%r11), %%ymm19\n\t"
#define GROUPS_0_1 WEIGHTS("0", "16", "18", "24", "26", "28", "30", "-0x1000", "-0x0c00")
#define GROUPS_2_3 WEIGHTS("3", "16", "18", "0", "2", "4", "6", "-0x0800", "-0x0400")
#define GROUPS_4_5 WEIGHTS("0", "17", "19", "8", "10", "12", "14", "0x000", "0x400")
#define GROUPS_6_7 WEIGHTS("3", "17", "19", "16", "18", "20", "22", "0x800", "0xc00")
#define FETCH_WEIGHTS                                                                              \
    "prefetcht0 (%%r10,%%r14)\n\t"                                                                 \
    "prefetcht0 (%%r11,%%r14)\n\t"
#define FETCH_A_SUM "prefetcht0 0x00(%%r15)\n\t"
#define FETCH_TWO_SUMS                                                                             \
    "prefetcht0 0x40(%%r15)\n\t"                                                                   \
    "prefetcht0 0x80(%%r15)\n\t"
#define NEXT_CHUNK                                                                                 \
    "addq $0xc0, %%r15\n\t"                                                                        \
    "addq $0x2000, %%rsi\n\t"                                                                      \
    "addq $0x40, %%r10\n\t"                                                                        \
    "addq $0x40, %%r11\n\t"                                                                        \
    "addq $4, %%r12\n\t"                                                                           \
    "addq $4, %%r13\n\t"                                                                           \
    "decq %%rcx\n\t"                                                                               \
    "jnz 3b\n"                                                                                     \
    "4:\n\t"
#define ADD_CHUNKS                                                                                 \
    EACH_CHUNK GROUPS_0_1 FETCH_WEIGHTS GROUPS_2_3 FETCH_A_SUM GROUPS_4_5 FETCH_TWO_SUMS           \
        GROUPS_6_7 NEXT_CHUNK

/* The groups after the last chunk, two of a byte of the index. */
#define EACH_BYTE                                                                                  \
    "movq 0x30(%%rbx), %%rcx\n\t"                                                                  \
    "testq %%rcx, %%rcx\n\t"                                                                       \
    "jz 6f\n\t"                                                                                    \
    "5:\n\t"                                                                                       \
    "movzbl (%%r12), %%r8d\n\t"                                                                    \
    "movzbl (%%r13), %%r9d\n\t"
#define UNLESS_LAST                                                                                \
    "jz 6f\n\t"                                                                                    \
    "incq %%r12\n\t"                                                                               \
    "incq %%r13\n\t"
#define NEXT_BYTE                                                                                  \
    "jnz 5b\n"                                                                                     \
    "6:\n\t"
#define ADD_GROUPS EACH_BYTE ADD_GROUP("24", "26") UNLESS_LAST ADD_GROUP("28", "30") NEXT_BYTE

#define WHERE_SUMS_GO                                                                              \
    "movq 0x40(%%rbx), %%rax\n\t"                                                                  \
    "movq 0x48(%%rbx), %%rdx\n\t"
#define NEXT_SUMS  "addq %%rdx, %%rax\n\t"
#define KEEP_WHERE "movq %%rax, 0x40(%%rbx)\n\t"
#define PUT_SUMS                                                                                   \
    WHERE_SUMS_GO SUMS_0_TO_7(PUT_SUM)                                                             \
    NEXT_SUMS SUMS_8_TO_15(PUT_SECOND)                                                             \
    NEXT_SUMS KEEP_WHERE

/* Where the pair's values, index and sums are, from those of the first of the two. */
#define PLACES                                                                                     \
    "leaq (%%r10,%%rax), %%r11\n\t"                                                                \
    "leaq (%%r12,%%rdx), %%r13\n\t"
#define NEXT_PAIR                                                                                  \
    "addq $0x200, %%rdi\n\t"                                                                       \
    "movq 0x10(%%rbx), %%rax\n\t"                                                                  \
    "movq 0x20(%%rbx), %%rdx\n\t"                                                                  \
    "movq 0x08(%%rbx), %%r10\n\t"                                                                  \
    "movq 0x18(%%rbx), %%r12\n\t"                                                                  \
    "leaq (%%r10,%%rax,2), %%r10\n\t"                                                              \
    "leaq (%%r12,%%rdx,2), %%r12\n\t"                                                              \
    "movq %%r10, 0x08(%%rbx)\n\t"                                                                  \
    "movq %%r12, 0x18(%%rbx)\n\t" PLACES

/* clang counts the assembler as a string, which ISO C lets be 4095 characters long. */
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Woverlength-strings"
#endif
/* Changes the job. */
static inline void add_two_outputs(two_outputs *job) {
    __asm__ volatile(
        "movq 0x10(%%rbx), %%rax\n\t"
        "movq 0x20(%%rbx), %%rdx\n\t"
        "movq 0x08(%%rbx), %%r10\n\t"
        "movq 0x18(%%rbx), %%r12\n\t"
        "movq 0x38(%%rbx), %%rdi\n\t"
        "leaq (,%%rax,4), %%r14\n\t" PLACES
        "0:\n\t" TAKE_SUMS ADD_CHUNKS ADD_GROUPS PUT_SUMS NEXT_PAIR "decq 0x50(%%rbx)\n\t"
        "jnz 0b\n\t"
        :
        : "b"(job)
        : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
          "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
          "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18",
          "xmm19", "xmm20", "xmm21", "xmm22", "xmm23");
}
#if defined(__clang__)
#pragma clang diagnostic pop
#endif

#endif
