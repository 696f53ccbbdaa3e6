// SPDX-License-Identifier: MIT
// What the compiler made of our device code, read from the machine code in this program: sparse
// instructions where they belong, no register in memory, no barrier of the whole device.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/cuda/images.h"
#include <elf.h>
#include <string.h>

// Low 12 bits of an instruction's 128, as observed in what ptxas makes of known PTX.
enum {
    HMMA = 0x23C,
    HGMMA = 0x9F0,
    HGMMA_HELD = 0xDF0, // rows in registers
    QGMMA = 0x9F3,
    MEMBAR = 0x992,
    LOCAL_LOAD = 0x983,
    LOCAL_STORE = 0x387
};

typedef struct counts {
    int functions, instructions, hmma, hgmma, hgmma_sparse, local;
    int fences; // of memory, between HGMMAs that are near each other: those of one loop
} counts;

static void count_function(const unsigned char *code, uint64_t bytes, counts *c) {
    enum { NEAR = 128 }; // instructions; a step has half as many, an epilogue several times
    int fences = 0, since = NEAR;
    c->functions++;
    for (uint64_t i = 0; i + 16 <= bytes; i += 16) {
        uint64_t low, high;
        memcpy(&low, code + i, sizeof low);
        memcpy(&high, code + i + 8, sizeof high);
        const unsigned code12 = low & 0xFFF;
        const unsigned op = code12 == QGMMA || code12 == HGMMA_HELD ? HGMMA : code12; // alike
        const unsigned sparse = high >> 9 & 1;
        c->instructions++;
        c->hmma += op == HMMA;
        c->hgmma += op == HGMMA;
        if (op == HGMMA) {
            c->fences += since < NEAR ? fences : 0;
            fences = 0;
            since = 0;
        }
        since++;
        fences += op == MEMBAR;
        c->hgmma_sparse += op == HGMMA && sparse;
        c->local += op == LOCAL_LOAD || op == LOCAL_STORE;
    }
}

static void count_elf(const unsigned char *elf, counts *c) {
    Elf64_Ehdr head;
    memcpy(&head, elf, sizeof head);
    Elf64_Shdr names;
    memcpy(&names, elf + head.e_shoff + (uint64_t)head.e_shstrndx * sizeof names, sizeof names);
    for (int i = 0; i < head.e_shnum; i++) {
        Elf64_Shdr s;
        memcpy(&s, elf + head.e_shoff + (uint64_t)i * sizeof s, sizeof s);
        const char *name = (const char *)elf + names.sh_offset + s.sh_name;
        if (strncmp(name, ".text.", 6) == 0) count_function(elf + s.sh_offset, s.sh_size, c);
    }
}

// Machine code lies uncompressed in a fatbin, beside PTX.
static counts count_image(const char *wanted) {
    counts c = {0};
    const wn__cuda_image *image;
    size_t bytes;
    for (size_t i = 0; (image = wn__image(i, &bytes)) != NULL; i++) {
        const unsigned char *p = image->data;
        if (strcmp(image->name, wanted) != 0) continue;
        for (size_t at = 0; at + sizeof(Elf64_Ehdr) < bytes; at += 8)
            if (memcmp(p + at, ELFMAG, SELFMAG) == 0) count_elf(p + at, &c);
    }
    return c;
}

static void test_no_function_keeps_registers_in_memory(void **state) {
    (void)state;
    const wn__cuda_image *image;
    size_t bytes;
    if (!wn__device_code_built()) skip();
    for (size_t i = 0; (image = wn__image(i, &bytes)) != NULL; i++) {
        const counts c = count_image(image->name);
        assert_true(c.functions > 0);
        assert_true(c.instructions > 10);
        assert_int_equal(c.local, 0);
    }
}

static void test_sparse_instructions(void **state) {
    (void)state;
    if (!wn__device_code_built()) skip();
    const counts c = count_image("probe_sm90a");
    assert_int_equal(c.hgmma, 2);
    assert_int_equal(c.hgmma_sparse, 2);
    // nineteen shapes, two types of results, two products of each block, in two steps that take
    // turns
    const counts few = count_image("few_sm90a"), few8 = count_image("few8_sm90a");
    assert_int_equal(few.functions, 38);
    assert_true(few.hgmma >= 38 * 4);
    assert_int_equal(few.hgmma_sparse, few.hgmma);
    assert_int_equal(few8.functions, 38);
    assert_true(few8.hgmma_sparse >= 38 * 4);
    assert_true(count_image("probe_sm80").hmma >= 2);
    assert_int_equal(count_image("copy_sm80").hmma, 0);
}

// Every tile in two types, with an epilogue and without: two halves of each panel, in two steps
// that take turns. Behind the tile of 256 x 192 two narrower ones, with any epilogue.
static void test_products(void **state) {
    (void)state;
    if (!wn__device_code_built()) skip();
    const counts c = count_image("spmm24_blocks_sm90a");
    assert_int_equal(c.functions, 20);
    assert_int_equal(c.hgmma, 2 * (2 * (5 * 4 + 5 * 8) + 2 * 8));
    assert_int_equal(c.hgmma_sparse, c.hgmma);
    assert_int_equal(c.fences, 0);
    assert_true(count_image("spmm24_blocks_sm80").hmma >= 2 * 32);
    // three tiles, two types, the other operand along either side
    const counts rows = count_image("blocks_rows_sm90a");
    assert_int_equal(rows.functions, 12);
    assert_int_equal(rows.hgmma, 4 * (2 * 4 + 8));
    assert_int_equal(rows.hgmma_sparse, rows.hgmma);
    assert_int_equal(rows.fences, 0);
    assert_true(count_image("blocks_rows_sm80").hmma >= 4 * 32);
    const counts packs = count_image("relu24_blocks_sm90a");
    assert_int_equal(packs.functions, 4);
    assert_int_equal(packs.hgmma, 2 * (4 + 4));
    assert_int_equal(packs.hgmma_sparse, packs.hgmma);
    const counts c8 = count_image("spmm24_blocks8_sm90a");
    assert_int_equal(c8.functions, 16);
    assert_int_equal(c8.hgmma, 2 * 2 * (5 * 4 + 3 * 8));
    assert_int_equal(c8.hgmma_sparse, c8.hgmma);
    assert_int_equal(c8.fences, 0);
    // 256 x 200, 128 x 232, 128 x 208; in 8 bits 256 x 208, 256 x 192 and 128 x 208 with one set of
    // words: one step
    const counts wide = count_image("spmm24_blocks_wide_sm90a");
    assert_int_equal(wide.functions, 6);
    assert_int_equal(wide.hgmma, 2 * 2 * (8 + 4 + 4));
    assert_int_equal(wide.hgmma_sparse, wide.hgmma);
    assert_int_equal(wide.fences, 0);
    const counts wide8 = count_image("spmm24_blocks8_wide_sm90a");
    assert_int_equal(wide8.functions, 8);
    assert_int_equal(wide8.hgmma, 2 * (2 * 3 * 4 + 2 * 4 + 8));
    assert_int_equal(wide8.hgmma_sparse, wide8.hgmma);
    assert_int_equal(wide8.fences, 0);
}

// Products of factors by tensor cores; those of block low rank by warpgroups: of a step, 4 x 4 of
// the first factor and four of the second, in two forms of two types.
static void test_factors(void **state) {
    (void)state;
    if (!wn__device_code_built()) skip();
    const counts c = count_image("kron_rank_sm90a");
    assert_int_equal(c.hgmma, 2 * 2 * (4 * 4 + 4));
    assert_int_equal(c.hgmma_sparse, 0);
    assert_int_equal(c.fences, 0);
    // of wide blocks: a step of 64 for one panel of rows or two, in tiles of four widths, products
    // and gradients; and eight steps with weights in registers
    const counts wide = count_image("kron_wide_sm90a");
    assert_int_equal(wide.hgmma, 2 * 2 * (8 + 8 + 4 + 4));
    assert_int_equal(wide.fences, 0);
    const counts held = count_image("kron_held_sm90a");
    assert_int_equal(held.hgmma, 2 * 2 * 8 * 4);
    assert_int_equal(held.fences, 0);
    assert_true(count_image("kron_fused_sm90a").hmma >= 2 * (2 * 4 * 4 + 2 * 4 * 4 + 3 * 2 * 4));
    assert_true(count_image("kron_sm80").hmma >= 2 * (2 * 2 * 8 + 4 * 4));
    // each for three runs of blocks: a tile of 32 inputs; 32 outputs times 64 inputs
    assert_true(count_image("kron_lanes_sm80").hmma >= 2 * 3 * (32 + 16));
    // of float32: eight inputs of four blocks by 32 outputs, three products of parts or six, for
    // blocks side by side in two ways and not
    assert_true(count_image("kron_f32_sm80").hmma >= 3 * 4 * 4 * (3 + 6));
    // of wide blocks: two times eight inputs of four matrices, three products, in three forms
    const counts tf32 = count_image("kron_tf32_sm90a");
    assert_int_equal(tf32.hgmma, 3 * 2 * 4 * 3);
    assert_int_equal(tf32.hgmma_sparse, 0);
    // its gradient: eight vectors, 32 x 64 numbers of a warp, three products of parts
    assert_true(count_image("kron_grad_tf32_sm80").hmma >= 2 * 8 * 3);
    assert_int_equal(count_image("kron_grad_f32_sm80").hmma, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_function_keeps_registers_in_memory),
        cmocka_unit_test(test_sparse_instructions),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_factors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
