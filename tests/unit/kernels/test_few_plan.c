// SPDX-License-Identifier: MIT
// Plans of products of few tokens, which are the same on every machine: what they ask for is there,
// and what is sent has room.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/contract.h"
#include "kernels/cuda/args_few.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/few_plan.h"

enum { PROCESSOR = 228 * 1024, OWN = 1024, ALIGNED = 1024 };

static const int64_t sizes[][2] = {{1, 1},        {8, 64},       {136, 2200},
                                   {768, 2048},   {2048, 768},   {4096, 4096},
                                   {11008, 4096}, {4096, 11008}, {28672, 8192}};
static const int64_t tokens[] = {1, 8, 9, 16, 32, 33, 64, 65, 128, 200, 256, 512, 3000, 32768};
enum { SIZES = sizeof sizes / sizeof *sizes, TOKENS = sizeof tokens / sizeof *tokens };

static void has_room(const wn__few_plan *p, int64_t T, int64_t k, int bytes) {
    const wn__few_shape *s = &wn__few_shapes[p->shape];
    const int block = bytes == 1 ? WN_BLOCK8_BYTES : WN_BLOCK24_BYTES;
    const int64_t steps = wn__ceil_div(k, bytes == 1 ? WN_BLOCK8_COLUMNS : WN_BLOCK24_COLUMNS);
    const int groups = s->panels * s->halves, own = s->tokens / s->halves;
    const int used = p->box < own ? p->box : own;
    const int stage = WN_FEW_TOKENS(p->box, s->deep) + WN_FEW_BLOCKS(s->panels, s->deep, block);
    const int sent = WN_FEW_SENT(groups, own, used, p->split);
    const int64_t tiles = wn__ceil_div(T, p->box);
    const int rest = WN_FEW_TURNED(groups, own) + WN_FEW_SCALES(groups, own) +
                     WN_FEW_BARRIERS(groups, p->stages) + (p->apart ? sent : 0);
    // as few tiles as there can be, about as many tokens in each
    assert_true(p->box >= 8 && p->box <= s->tokens && p->box % 8 == 0);
    assert_int_equal(tiles, wn__ceil_div(T, s->tokens));
    assert_true((tiles * p->box - T) < 8 * tiles);
    assert_true(p->split >= 1 && p->split <= WN_FEW_MOST_SPLIT);
    assert_true(p->split == 1 || p->split <= steps);
    assert_true(p->each >= 1 && p->each <= s->most);
    assert_true(p->stages >= 2 && p->stages <= WN_FEW_MOST_STAGES);
    assert_true(p->apart || p->stages * stage >= sent);
    assert_true((int)p->shared_bytes >= ALIGNED + p->stages * stage + rest);
    assert_true(p->each * ((int)p->shared_bytes + OWN) <= PROCESSOR);
}

static void of_one_shape(void **state) {
    (void)state;
    for (int bytes = 1; bytes <= 2; bytes++)
        for (int i = 0; i < wn__few_shape_count; i++)
            for (int s = 0; s < SIZES; s++)
                for (int t = 0; t < TOKENS; t++) {
                    const wn__few_plan p =
                        wn__few_plan_of(tokens[t], sizes[s][0], sizes[s][1], bytes, i);
                    assert_true(p.rounds >= 1);
                    assert_int_equal(p.shape, i);
                    has_room(&p, tokens[t], sizes[s][1], bytes);
                }
}

static void of_all_shapes(void **state) {
    (void)state;
    for (int bytes = 1; bytes <= 2; bytes++)
        for (int s = 0; s < SIZES; s++)
            for (int t = 0; t < TOKENS; t++) {
                const wn__few_plan best =
                    wn__few_plan_of(tokens[t], sizes[s][0], sizes[s][1], bytes, WN_FEW_ANY);
                assert_true(best.rounds >= 1);
                const wn__few_plan same =
                    wn__few_plan_of(tokens[t], sizes[s][0], sizes[s][1], bytes, best.shape);
                assert_int_equal(same.split, best.split);
                assert_int_equal(same.each, best.each);
                assert_int_equal(same.apart, best.apart);
                assert_int_equal(same.stages, best.stages);
                has_room(&best, tokens[t], sizes[s][1], bytes);
            }
}

// The fastest of the shapes that are tried: not of twice as many tokens as there are and more, nor
// of a sixteenth and less.
static void is_the_fastest(void **state) {
    (void)state;
    for (int i = 0; i < SIZES * TOKENS * 2; i++) {
        const int64_t T = tokens[i / 2 / SIZES], n = sizes[i / 2 % SIZES][0],
                      k = sizes[i / 2 % SIZES][1], most = T < 1024 ? T : 1024;
        const wn__few_plan best = wn__few_plan_of(T, n, k, 1 + i % 2, WN_FEW_ANY);
        int tried = 0;
        for (int shape = 0; shape < wn__few_shape_count; shape++) {
            const int rows = wn__few_shapes[shape].tokens;
            if ((rows >= 2 * T && rows > 16) || 16 * rows < most) continue;
            assert_true(wn__few_plan_of(T, n, k, 1 + i % 2, shape).us >= best.us);
            tried += shape == best.shape;
        }
        assert_int_equal(tried, 1);
    }
    // what was measured: 4096 x 4096, 16 tokens, and 256 of a layer that fills the GPU
    const wn__few_plan decode = wn__few_plan_of(16, 4096, 4096, 2, WN_FEW_ANY);
    assert_int_equal(wn__few_shapes[decode.shape].tokens, 16);
    assert_int_equal(decode.split, 3);
    const wn__few_plan wide = wn__few_plan_of(256, 11008, 4096, 2, WN_FEW_ANY);
    assert_int_equal(64 * wn__few_shapes[wide.shape].panels, 192);
    assert_int_equal(wide.rounds, 1);
    assert_true(wn__few_plan_of(256, 28672, 8192, 2, WN_FEW_ANY).rounds > 1);
    // from memory, where small tiles would read the tokens again and again
    const wn__few_plan cold = wn__few_plan_of(64, 28672, 8192, 2, WN_FEW_ANY);
    assert_int_equal(64 * wn__few_shapes[cold.shape].panels, 256);
    // weights of few tokens are read once where L2 does not hold them, else half of them stay
    assert_int_equal(wn__few_plan_of(64, 28672, 8192, 2, WN_FEW_ANY).kept, WN_FEW_ONCE);
    assert_int_equal(wn__few_plan_of(64, 8192, 8192, 2, WN_FEW_ANY).kept, WN_FEW_ONCE);
    assert_int_equal(wn__few_plan_of(64, 8192, 8192, 1, WN_FEW_ANY).kept, WN_FEW_HALF);
    assert_int_equal(decode.kept, WN_FEW_HALF);
    assert_int_equal(wide.kept, WN_FEW_KEPT);
}

// Beside tiles: always up to 64 tokens, never beyond 1536 or in 8 bits 4096, and both answers
// between.
static void beside_tiles(void **state) {
    (void)state;
    assert_true(wn__few_is_faster(1, 4096, 4096, 2));
    assert_true(wn__few_is_faster(64, 28672, 8192, 2));
    assert_true(wn__few_is_faster(256, 4096, 4096, 2));
    assert_true(wn__few_is_faster(512, 1000, 4096, 1));
    assert_false(wn__few_is_faster(512, 28672, 8192, 2));
    assert_false(wn__few_is_faster(1537, 1000, 4096, 2));
    // as measured: 768 and 1024 tokens of narrow layers, and where tiles are a little faster
    assert_true(wn__few_is_faster(1024, 2048, 768, 2));
    assert_true(wn__few_is_faster(1024, 2048, 768, 1));
    assert_true(wn__few_is_faster(512, 1000, 4096, 2));
    assert_true(wn__few_is_faster(512, 6656, 1664, 1));
    assert_false(wn__few_is_faster(512, 11008, 4096, 2));
    assert_false(wn__few_is_faster(1024, 6656, 1664, 2));
    assert_false(wn__few_is_faster(1024, 8192, 8192, 1));
    // in 8 bits more tokens of narrow layers, while one round of tiles holds them
    assert_true(wn__few_is_faster(1500, 2048, 768, 1));
    assert_true(wn__few_is_faster(2000, 2048, 768, 1));
    assert_true(wn__few_is_faster(1500, 768, 2048, 1));
    assert_true(wn__few_is_faster(2048, 1000, 4096, 1));
    assert_true(wn__few_is_faster(1000, 1664, 6656, 1));
    assert_true(wn__few_is_faster(256, 11008, 4096, 1));
    assert_true(wn__few_is_faster(1500, 1664, 6656, 1));
    assert_false(wn__few_is_faster(1500, 6656, 1664, 1));
    assert_true(wn__few_is_faster(3072, 1024, 512, 1));
    assert_true(wn__few_is_faster(3072, 512, 768, 1));
    assert_true(wn__few_is_faster(4096, 768, 768, 1));
    assert_false(wn__few_is_faster(4097, 768, 768, 1));
    assert_false(wn__few_is_faster(3072, 2048, 2048, 1));
    // and of 16 bits, by tiles of 160 and 192 tokens
    assert_true(wn__few_is_faster(1500, 2048, 768, 2));
    assert_true(wn__few_is_faster(1200, 896, 4864, 2));
    assert_true(wn__few_is_faster(1200, 512, 3584, 2));
    assert_false(wn__few_is_faster(1200, 4864, 896, 2));
    assert_false(wn__few_is_faster(2048, 1024, 4096, 2));
}

// Asked again, also after more than a thread remembers, the answers are those of the first time.
static void remembers(void **state) {
    (void)state;
    enum { OTHERS = 500 };
    for (int64_t T = 1; T <= 512; T += 37) {
        const wn__few_plan first = wn__few_plan_of(T, 4096, 4096, 2, WN_FEW_ANY);
        const bool faster = wn__few_is_faster(T, 4096, 4096, 2);
        for (int others = 0; others <= OTHERS; others += OTHERS) {
            for (int i = 0; i < others; i++)
                (void)wn__few_is_faster(T, 64 + i, 4096, 1 + i % 2);
            const wn__few_plan again = wn__few_plan_of(T, 4096, 4096, 2, WN_FEW_ANY);
            assert_int_equal(again.shape, first.shape);
            assert_int_equal(again.split, first.split);
            assert_int_equal(again.stages, first.stages);
            assert_int_equal(again.box, first.box);
            assert_true(again.us == first.us);
            assert_int_equal(wn__few_is_faster(T, 4096, 4096, 2), faster);
        }
        assert_int_equal(wn__few_plan_of(T, 4096, 4096, 2, 0).shape, 0); // of one shape
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(of_one_shape),
                                       cmocka_unit_test(of_all_shapes),
                                       cmocka_unit_test(is_the_fastest),
                                       cmocka_unit_test(beside_tiles), cmocka_unit_test(remembers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
