// SPDX-License-Identifier: MIT
// 8-bit operands against plain statements: every code of E4M3, scales of rows, every place of a
// block, and products of whole numbers.
#include "kernels/block8.h"
#include "kernels/e4m3.h"
#include "ref_test.h"

#include <math.h>

enum { R = 70, C = 150, T = 5 };

// Codes in the order of their values, and halfway between two neighbours the even one.
static void test_codes(void **state) {
    (void)state;
    assert_true(wn__e4m3_value(0x7E) == 448 && wn__e4m3_value(1) == 0x1p-9);
    assert_true(wn__e4m3_value(0x38) == 1 && wn__e4m3_value(0xB8) == -1);
    for (int code = 0; code < 0x7E; code++) {
        const double low = wn__e4m3_value((uint8_t)code),
                     high = wn__e4m3_value((uint8_t)(code + 1));
        const float middle = (float)((low + high) / 2);
        assert_true(low < high);
        assert_int_equal(wn__e4m3_code((float)low), code);
        assert_int_equal(wn__e4m3_code((float)-high), 0x80 | (code + 1));
        assert_int_equal(wn__e4m3_code(middle), code + code % 2);
        assert_int_equal(wn__e4m3_code(nextafterf(middle, 0)), code);
        assert_int_equal(wn__e4m3_code(nextafterf(middle, 1000)), code + 1);
    }
    assert_int_equal(wn__e4m3_code(1e30F), 0x7E);
    assert_int_equal(wn__e4m3_code(-INFINITY), 0xFE);
    assert_int_equal(wn__e4m3_code(NAN), 0x7F);
    assert_true(isnan(wn__e4m3_value(0x7F)) && isnan(wn__e4m3_value(0xFF)));
}

static void test_rows(void **state) {
    (void)state;
    static uint16_t x[3][4];
    static const float from[3][4] = {{7, -3.5F, 1, 0}, {0, 0, 0, 0}, {1, 2, 3, INFINITY}};
    float scale[3];
    uint8_t y[3][4];
    wn__exec e = one_thread();
    for (int i = 0; i < 12; i++)
        x[i / 4][i % 4] = wn__bf16_from_f32(from[i / 4][i % 4]);
    const wn__rows8 p = {.x = wn__tensor2(x, WN_DTYPE_BF16, 3, 4),
                         .scale = wn__tensor1(scale, WN_DTYPE_F32, 3),
                         .y = wn__tensor2(y, WN_DTYPE_U8, 3, 4)};
    assert_int_equal(wn__run(&e, WN__OP_rows8, &p), WN_OK);
    assert_true(scale[0] == 7.0F / 448 && scale[1] == 1 && isnan(scale[2]));
    const uint8_t want[12] = {0x7E, 0xF6, wn__e4m3_code(64), 0, 0, 0, 0, 0, 0x7F, 0x7F, 0x7F, 0x7F};
    assert_memory_equal(y, want, sizeof want);
}

static float dense[R][C];
static uint16_t bits[R][C];
static uint8_t mask[R][(C + 3) / 4];

// Two of every four, small whole numbers, none of them 0.
static void make_matrix(void) {
    static const uint8_t turn[6] = {0x3, 0xC, 0x5, 0xA, 0x6, 0x9};
    memset(mask, 0, sizeof mask);
    for (int i = 0; i < R; i++)
        for (int j = 0; j < C; j++) {
            const unsigned keep = (unsigned)turn[(i + j / 4) % 6] >> (j % 4) & 1U;
            const float value = (float)((i * 7 + j * 3) % 8 + 1) * (j % 2 != 0 ? -1.0F : 1.0F);
            mask[i][j / 4] |= (uint8_t)(keep << (j % 4));
            bits[i][j] = wn__bf16_from_f32(value);
            dense[i][j] = keep != 0 ? value : 0;
        }
}

static wn_tensor packed(float *one) {
    wn_tensor blocks = wn__block8_tensor(R, C);
    wn__exec x = one_thread();
    blocks.data = aligned_alloc(64, (wn__tensor_bytes(&blocks) + 63) / 64 * 64);
    assert_non_null(blocks.data);
    memset(blocks.data, 0xA5, wn__tensor_bytes(&blocks));
    const wn__block8 p = {.w = wn__tensor2(bits, WN_DTYPE_BF16, R, C),
                          .mask = wn__tensor2(mask, WN_DTYPE_U8, R, (C + 3) / 4),
                          .scale = wn__tensor1(one, WN_DTYPE_F32, 1),
                          .blocks = blocks,
                          .given = true};
    assert_int_equal(wn__run(&x, WN__OP_block8, &p), WN_OK);
    return blocks;
}

// The number that blocks hold at (i, j), by the picture in docs/gpu.md.
static double unpacked(const wn_tensor *blocks, int i, int j) {
    const uint8_t *block =
        (const uint8_t *)blocks->data + (i / 64 * blocks->shape[1] + j / 128) * 5120;
    const int row = i % 64, column = j % 128, half = column / 64, q = column % 64 / 32;
    uint32_t word;
    memcpy(&word,
           block + 4096 + 512 * half + 4 * (32 * (row / 16) + 4 * (row % 8) + 2 * q + row / 8 % 2),
           4);
    const uint32_t pair = word >> (4 * (column % 32 / 4)) & 15;
    for (int slot = 0; slot < 2; slot++) {
        const int kept = column / 4 * 2 + slot; // of the row's 64
        if ((int)(pair >> (2 * slot) & 3) == column % 4)
            return wn__e4m3_value(block[64 * row + 16 * (kept / 16 ^ (row / 2 % 4)) + kept % 16]);
    }
    return 0;
}

static void test_places(void **state) {
    (void)state;
    float one = 1;
    make_matrix();
    wn_tensor blocks = packed(&one);
    for (int i = 0; i < 128; i++)
        for (int j = 0; j < 256; j++)
            assert_true(unpacked(&blocks, i, j) == (i < R && j < C ? (double)dense[i][j] : 0));
    free(blocks.data);
}

static void test_product(void **state) {
    (void)state;
    static _Alignas(16) uint8_t x[T][C];
    static _Alignas(16) uint16_t y[T][R], bias[R];
    _Alignas(16) float one = 1, quarters[T];
    wn__exec e = one_thread();
    make_matrix();
    wn_tensor blocks = packed(&one);
    for (int i = 0; i < T * C; i++)
        x[i / C][i % C] = wn__e4m3_code((float)(i % 5 - 2));
    for (int i = 0; i < R; i++)
        bias[i] = wn__bf16_from_f32((float)(i % 3));
    for (int t = 0; t < T; t++)
        quarters[t] = 0.25F * (float)(t + 1);
    const wn__spmm24_blocks8 p = {.x = wn__tensor2(x, WN_DTYPE_U8, T, C),
                                  .x_scale = wn__tensor1(quarters, WN_DTYPE_F32, T),
                                  .blocks = blocks,
                                  .w_scale = wn__tensor1(&one, WN_DTYPE_F32, 1),
                                  .bias = wn__tensor1(bias, WN_DTYPE_BF16, R),
                                  .y = wn__tensor2(y, WN_DTYPE_BF16, T, R)};
    assert_int_equal(wn__run(&e, WN__OP_spmm24_blocks8, &p), WN_OK);
    for (int t = 0; t < T; t++)
        for (int o = 0; o < R; o++) {
            double z = 0;
            for (int i = 0; i < C; i++)
                z += ((t * C + i) % 5 - 2) * (double)dense[o][i];
            assert_int_equal(y[t][o], wn__bf16_from_f64(z * 0.25 * (t + 1) + o % 3));
        }
    free(blocks.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_product),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
