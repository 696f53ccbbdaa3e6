// SPDX-License-Identifier: MIT
// Packed blocks and products with them against plain statements of both: every place of a block,
// the transpose, masks by magnitude, and y = act(x W^T + bias) + residual of a dense W. Then the
// plans of GPUs.
#include "kernels/block24.h"
#include "kernels/cuda/args_blocks.h"
#include "kernels/cuda/tiles.h"
#include "kernels/spmm24_blocks.h"
#include "ref_test.h"

#include <math.h>

enum { R = 70, C = 90, T = 5 };

static float dense[R][C];
static uint16_t bits[R][C];
static uint8_t mask[R][(C + 3) / 4];

// A mask that is transposable: rows of each four take turns, and small whole numbers, none of them
// 0.
static void make_matrix(void) {
    static const uint8_t turn[4] = {0x3, 0xC, 0x5, 0xA};
    memset(mask, 0, sizeof mask);
    for (int i = 0; i < R; i++)
        for (int j = 0; j < C; j++) {
            const unsigned keep = (unsigned)turn[i % 4] >> (j % 4) & 1U;
            mask[i][j / 4] |= (uint8_t)(keep << (j % 4));
            const float value = (float)((i * 7 + j * 3) % 9 + 1) * (j % 2 != 0 ? -1.0F : 1.0F);
            bits[i][j] = wn__bf16_from_f32(value);
            dense[i][j] = keep != 0 ? value : 0;
        }
}

static wn_tensor blocks_of(int64_t rows, int64_t columns) {
    wn_tensor t = wn__block24_tensor(rows, columns);
    t.data = calloc(wn__tensor_bytes(&t), 1);
    assert_non_null(t.data);
    return t;
}

static void pack(wn_tensor *straight, wn_tensor *transposed, bool with_mask) {
    wn__exec x = one_thread();
    wn__block24 p = {.w = wn__tensor2(bits, WN_DTYPE_BF16, R, C)};
    if (with_mask) p.mask = wn__tensor2(mask, WN_DTYPE_U8, R, (C + 3) / 4);
    *straight = p.blocks = blocks_of(R, C);
    if (transposed != NULL) *transposed = p.blocks_t = blocks_of(C, R);
    assert_int_equal(wn__run(&x, WN__OP_block24, &p), WN_OK);
}

// The number that blocks hold at (i, j), by the picture in docs/gpu.md.
static float unpacked(const wn_tensor *blocks, int i, int j) {
    const uint8_t *block =
        (const uint8_t *)blocks->data + (i / 64 * blocks->shape[1] + j / 64) * 4608;
    const int row = i % 64, column = j % 64, q = column / 16, w = row / 16, g = row % 8;
    uint32_t word;
    memcpy(&word, block + 4096 + 4 * (32 * w + 4 * g + q), 4);
    const uint32_t half = row % 16 < 8 ? word & 0xFFFF : word >> 16;
    const uint32_t pair = half >> (4 * (column % 16 / 4)) & 15;
    for (int slot = 0; slot < 2; slot++) {
        if ((int)(pair >> (2 * slot) & 3) != column % 4) continue;
        uint16_t value;
        const int kept = column % 16 / 4 * 2 + slot; // of the chunk's eight
        memcpy(&value, block + 64 * row + 16 * (q ^ (row / 2 % 4)) + 2 * kept, 2);
        return wn__bf16_to_f32(value);
    }
    return 0;
}

static void test_places(void **state) {
    (void)state;
    wn_tensor straight, transposed;
    make_matrix();
    pack(&straight, &transposed, true);
    for (int i = 0; i < 128; i++)
        for (int j = 0; j < 128; j++) {
            const float want = i < R && j < C ? dense[i][j] : 0;
            assert_true(unpacked(&straight, i, j) == want);
            assert_true(unpacked(&transposed, j, i) == want);
        }
    free(straight.data);
    free(transposed.data);
}

static void test_magnitudes(void **state) {
    (void)state;
    wn_tensor straight;
    make_matrix();
    pack(&straight, NULL, false);
    for (int i = 0; i < R; i++)
        for (int j = 0; j < C; j++) {
            int before = 0;
            const float mine = fabsf(wn__bf16_to_f32(bits[i][j]));
            for (int k = j / 4 * 4; k < j / 4 * 4 + 4 && k < C; k++) {
                const float other = fabsf(wn__bf16_to_f32(bits[i][k]));
                before += other > mine || (other == mine && k < j);
            }
            const float want = before < 2 ? wn__bf16_to_f32(bits[i][j]) : 0;
            assert_true(unpacked(&straight, i, j) == want);
        }
    free(straight.data);
}

// Whole numbers that bfloat16 holds, so every way to add them gives the same.
static void test_product(void **state) {
    (void)state;
    static uint16_t x[T][C], y[T][R], bias[R], residual[T][R];
    wn_tensor straight;
    wn__exec e = one_thread();
    make_matrix();
    pack(&straight, NULL, true);
    for (int t = 0; t < T; t++)
        for (int j = 0; j < C; j++)
            x[t][j] = wn__bf16_from_f32(j % 13 == t ? 1.0F : 0.0F);
    for (int i = 0; i < R; i++)
        bias[i] = wn__bf16_from_f32((float)(i % 3));
    for (int i = 0; i < T * R; i++)
        residual[i / R][i % R] = wn__bf16_from_f32((float)(i % 5 - 2));
    for (int kind = 0; kind < 8; kind++) {
        wn__spmm24_blocks p = {.x = wn__tensor2(x, WN_DTYPE_BF16, T, C),
                               .blocks = straight,
                               .y = wn__tensor2(y, WN_DTYPE_BF16, T, R),
                               .values = WN_DTYPE_BF16,
                               .relu2 = (kind & 4) != 0};
        if ((kind & 1) != 0) p.bias = wn__tensor1(bias, WN_DTYPE_BF16, R);
        if ((kind & 2) != 0) p.residual = wn__tensor2(residual, WN_DTYPE_BF16, T, R);
        assert_int_equal(wn__run(&e, WN__OP_spmm24_blocks, &p), WN_OK);
        for (int t = 0; t < T; t++)
            for (int i = 0; i < R; i++) {
                float z = (kind & 1) != 0 ? (float)(i % 3) : 0;
                for (int j = 0; j < C; j++)
                    if (j % 13 == t) z += dense[i][j];
                if ((kind & 4) != 0) z = z > 0 ? z * z : 0;
                if ((kind & 2) != 0) z += (float)((t * R + i) % 5 - 2);
                assert_int_equal(y[t][i], wn__bf16_from_f32(z));
            }
    }
    free(straight.data);
}

// A plan covers its shape and its parts fit the counters.
static void check_plan(const wn__gpu_plan *p, int64_t t, int64_t n, int64_t k) {
    const wn__gpu_tile *tile = &wn__gpu_tiles[p->tile];
    int64_t tiles[3];
    wn__gpu_plan_tiles(p, t, n, tiles);
    assert_true(tiles[0] * p->cluster * tile->rows >= n);
    assert_true(tiles[1] * tile->tokens + tiles[2] * p->rest >= t);
    const int64_t width = p->rest > 0 ? p->rest : tile->tokens, last = wn__gpu_plan_last(p, t);
    assert_int_equal(tiles[1] * tile->tokens + tiles[2] * p->rest - t,
                     last == 0 ? 0 : width - last);
    assert_true(p->rest == 0 || (p->split == 1 && p->tile == WN_TILE_256X192));
    assert_true(p->split >= 1 && p->split <= (k + 63) / 64);
    assert_true(p->split == 1 || !WN_SPMM24_WHOLE(tile->rows, tile->tokens, WN_BLOCK24_BYTES));
    assert_true(p->split == 1 || 2 * tiles[0] * tiles[1] * p->cluster <= 1024);
}

// Launches take all features, whole blocks of them but for the last.
static void check_plans(const wn__gpu_plans *p, int64_t t, int64_t n, int64_t k) {
    bool split = false;
    assert_in_range(p->count, 1, 2);
    assert_int_equal(p->features[0] + (p->count == 2 ? p->features[1] : 0), n);
    for (int i = 0; i < p->count; i++) {
        assert_true(p->features[i] > 0);
        if (i + 1 < p->count) assert_int_equal(p->features[i] % 64, 0);
        if (i == 1 && p->few) continue; // few_plan.h has its plan
        check_plan(&p->part[i], t, p->features[i], k);
        split = split || p->part[i].split > 1;
    }
    assert_int_equal(wn__gpu_plans_workspace(p, t) > 0, split);
}

// And they are the fastest of those of one tile.
static void test_plans(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 16, 64, 65, 256, 1000, 1664, 4096, 28672};
    const wn__gpu_plan_wish any = {WN_TILE_ANY, .bytes = 2},
                            few = {WN_TILE_ANY, .bytes = 2, .few = 1},
                            parts = {WN_TILE_ANY, .bytes = 2, .parts = 2},
                            parts_few = {WN_TILE_ANY, .bytes = 2, .parts = 2, .few = 1};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    int two = 0, behind = 0;
    for (int i = 0; i < SIZES * SIZES * SIZES; i++) {
        const int64_t t = sizes[i % SIZES], n = sizes[i / SIZES % SIZES],
                      k = sizes[i / SIZES / SIZES];
        const wn__gpu_plans best = wn__gpu_plans_of(t, n, k, any);
        check_plans(&best, t, n, k);
        two += best.count == 2;
        for (int tile = 0; tile < WN_TILE_COUNT; tile++) {
            const wn__gpu_plan_wish one = {tile, .bytes = 2};
            const wn__gpu_plans its = wn__gpu_plans_of(t, n, k, one);
            assert_int_equal(its.count, 1);
            assert_true(its.cycles >= best.cycles);
        }
        const wn__gpu_plans halves = wn__gpu_plans_of(t, n, k, parts);
        check_plans(&halves, t, n, k);
        assert_int_equal(halves.count, n > 64 ? 2 : 1);
        const wn__gpu_plans with_few = wn__gpu_plans_of(t, n, k, few);
        check_plans(&with_few, t, n, k);
        assert_true(with_few.few ? with_few.cycles < best.cycles : with_few.count == best.count);
        behind += with_few.few;
        const wn__gpu_plans half_few = wn__gpu_plans_of(t, n, k, parts_few);
        check_plans(&half_few, t, n, k);
        assert_int_equal(half_few.few, n > 64 && t > 64 && t <= 1536);
    }
    assert_true(two > 0 && behind > 0);
    const wn__gpu_plans large = wn__gpu_plans_of(16384, 8192, 8192, any);
    const wn__gpu_tile *tile = &wn__gpu_tiles[large.part[0].tile];
    assert_true(tile->rows * tile->tokens >= 128 * 256);
    assert_int_equal(large.part[0].split, 1);
    // a little more than two waves of 256 x 208: what is more has a launch of its own
    const wn__gpu_plans narrow = wn__gpu_plans_of(1024, 14336, 4096, any);
    assert_int_equal(narrow.count, 2);
    assert_int_equal(wn__gpu_plans_of(0, 1664, 6656, any).count, 1); // no tokens
}

// Two launches where they were measured to pay, and not where they were not; the second of them of
// few tokens as well.
static void test_launches(void **state) {
    (void)state;
    static const struct {
        int bytes, launches;
        int64_t T, n, k;
    } known[] = {
        {2, 1, 4096, 1664, 6656}, {2, 2, 1024, 14336, 4096}, // 1664: whole waves of 128 x 208
        {2, 2, 512, 28672, 8192}, {2, 1, 700, 14336, 4096},
        {2, 1, 700, 11008, 4096}, {2, 1, 8192, 1664, 6656}, // the second would read 109 MB again
        {1, 2, 512, 28672, 8192}, {1, 1, 4096, 1664, 6656},
        {1, 1, 4096, 6656, 1664}, {1, 1, 512, 14336, 4096}};
    static const struct {
        int bytes, few;
        int64_t T, n, k;
    } behind[] = {{2, 1, 288, 28672, 8192}, {2, 1, 320, 18944, 3584}, {2, 0, 672, 9728, 2560},
                  {2, 0, 1056, 8192, 2048}, {2, 0, 1120, 8960, 1536}, {1, 0, 800, 8192, 8192},
                  {1, 1, 512, 27648, 5120}, {1, 0, 672, 22016, 4096}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const wn__gpu_plan_wish any = {WN_TILE_ANY, .bytes = known[i].bytes};
        const wn__gpu_plans p = wn__gpu_plans_of(known[i].T, known[i].n, known[i].k, any);
        assert_int_equal(p.count, known[i].launches);
    }
    for (size_t i = 0; i < sizeof behind / sizeof *behind; i++) {
        const wn__gpu_plan_wish wish = {WN_TILE_ANY, .bytes = behind[i].bytes, .few = 1};
        assert_int_equal(wn__gpu_plans_of(behind[i].T, behind[i].n, behind[i].k, wish).few,
                         behind[i].few);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),   cmocka_unit_test(test_magnitudes),
        cmocka_unit_test(test_product),  cmocka_unit_test(test_plans),
        cmocka_unit_test(test_launches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
