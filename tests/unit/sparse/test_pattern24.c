// SPDX-License-Identifier: MIT
// Patterns: what is refused and how it is named, retained mass by hand, bytes of the packed form,
// and masks written out as bytes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "sparse/pattern24.h"

#define BOTH (WN_PATTERN24_EXACT | WN_PATTERN24_TRANSPOSABLE)

static void assert_refused(wn_status status, const char *words) {
    assert_int_equal(status, WN_INVALID);
    if (!strstr(wn_last_error(), words)) fail_msg("\"%s\" lacks \"%s\"", wn_last_error(), words);
}

static void test_masks(void **state) {
    (void)state;
    uint8_t bits[8] = {0x3, 0x5, 0x9, 0x6,
                       0xC, 0xA, 0x6, 0x9}; // [4, 2], two in every row and column
    wn_tensor mask = wn__tensor2(bits, WN_DTYPE_U8, 4, 2);
    assert_int_equal(wn__pattern24_check_mask(&mask, 8, BOTH), WN_OK);
    bits[7] = 0x1; // row 3, group 1 loses column 7
    assert_int_equal(wn__pattern24_check_mask(&mask, 8, WN_PATTERN24_TRANSPOSABLE), WN_OK);
    assert_refused(wn__pattern24_check_mask(&mask, 8, WN_PATTERN24_EXACT),
                   "row 3, group 1 (columns 4 to 7) has 1 kept, not exactly 2");
    bits[7] = 0x3; // column 5 is kept three times
    assert_int_equal(wn__pattern24_check_mask(&mask, 8, WN_PATTERN24_EXACT), WN_OK);
    assert_refused(wn__pattern24_check_mask(&mask, 8, BOTH),
                   "column 5, rows 0 to 3: 3 kept, not exactly 2");
    assert_refused(wn__pattern24_check_mask(&mask, 8, WN_PATTERN24_TRANSPOSABLE),
                   "3 kept, not at most 2");
    bits[2] = 0xD;
    assert_refused(wn__pattern24_check_mask(&mask, 8, 0),
                   "row 1, group 0 (columns 0 to 3) has 3 kept, not at most 2");
    assert_refused(wn__pattern24_check_mask(&mask, 9, 0), "U8 [r, 3]");
    mask.dtype = WN_DTYPE_I8;
    assert_refused(wn__pattern24_check_mask(&mask, 8, 0), "U8 [r, 2]");
}

// A last group of one column is full with one, of two or three with two; so is a last block of
// rows.
static void test_padding(void **state) {
    (void)state;
    uint8_t bits[4] = {0x3, 0x1, 0x5, 0x1}; // [2, 2] of five columns
    wn_tensor mask = wn__tensor2(bits, WN_DTYPE_U8, 2, 2);
    assert_int_equal(wn__pattern24_check_mask(&mask, 5, WN_PATTERN24_EXACT), WN_OK);
    assert_refused(wn__pattern24_check_mask(&mask, 5, BOTH),
                   "column 1, rows 0 to 1: 1 kept, not exactly 2");
    bits[3] = 0x2;
    assert_refused(wn__pattern24_check_mask(&mask, 5, 0),
                   "row 1, group 1: mask 0x02 has bits beyond its 1 columns");
    assert_int_equal(wn__pattern24_check_mask(&mask, 6, 0), WN_OK);
    assert_refused(wn__pattern24_check_mask(&mask, 6, WN_PATTERN24_EXACT), "row 0, group 1");
    bits[0] = 0x13;
    assert_refused(wn__pattern24_check_mask(&mask, 6, 0), "row 0, group 0: mask 0x13");
    wn_tensor none = wn__tensor2(NULL, WN_DTYPE_U8, 0, 2),
              narrow = wn__tensor2(NULL, WN_DTYPE_U8, 3, 0);
    assert_int_equal(wn__pattern24_check_mask(&none, 8, BOTH), WN_OK);
    assert_int_equal(wn__pattern24_check_mask(&narrow, 0, BOTH), WN_OK);
}

static void test_matrices(void **state) {
    (void)state;
    float w[4][8] = {{1, 0, 2, 0, -0.0F, 0, 3, 1},
                     {0, 5, 0, 1, 0, 0, 1, 0},
                     {4, 0, 0, 1, 9, NAN, 0, 0},
                     {0, 1, 6, 0, 1, 0, 0, 0x1p-149F}};
    wn_tensor t = wn__tensor2(w, WN_DTYPE_F32, 4, 8), turned = wn__tensor_transpose(&t);
    assert_int_equal(wn__pattern24_check_matrix(&t, WN_PATTERN24_TRANSPOSABLE), WN_OK);
    assert_int_equal(wn__pattern24_check_matrix(&turned, WN_PATTERN24_TRANSPOSABLE), WN_OK);
    assert_refused(wn__pattern24_check_matrix(&t, WN_PATTERN24_EXACT),
                   "row 1, group 1 (columns 4 to 7) has 1 non-zero, not exactly 2");
    w[3][3] = -1; // row 3 has three in group 0, and so has column 3
    assert_refused(wn__pattern24_check_matrix(&t, 0),
                   "row 3, group 0 (columns 0 to 3) has 3 non-zero, not at most 2");
    assert_refused(wn__pattern24_check_matrix(&turned, 0),
                   "row 3, group 0 (columns 0 to 3) has 3 non-zero");
    w[3][2] = 0;
    assert_int_equal(wn__pattern24_check_matrix(&t, 0), WN_OK);
    assert_refused(wn__pattern24_check_matrix(&t, WN_PATTERN24_TRANSPOSABLE),
                   "column 3, rows 0 to 3: 3 non-zero, not at most 2; not transposable");
    wn_tensor vector = wn__tensor1(w, WN_DTYPE_F32, 8);
    assert_refused(wn__pattern24_check_matrix(&vector, 0), "F32 [8]");
}

// Each float type finds the one entry too many.
static void test_types(void **state) {
    (void)state;
    static const wn_dtype types[4] = {WN_DTYPE_F64, WN_DTYPE_F32, WN_DTYPE_BF16, WN_DTYPE_F16};
    for (int d = 0; d < 4; d++) {
        size_t size = wn_dtype_size(types[d]);
        uint8_t bytes[4 * 8] = {0};
        wn_tensor t = wn__tensor2(bytes, types[d], 1, 4);
        bytes[size - 1] = 0x80;                        // -0
        bytes[2 * size - 2] = bytes[3 * size - 2] = 1; // not zero in any of them
        assert_int_equal(wn__pattern24_check_matrix(&t, WN_PATTERN24_EXACT), WN_OK);
        bytes[4 * size - 1] = 0x7F;
        assert_refused(wn__pattern24_check_matrix(&t, 0), "3 non-zero");
    }
}

static void test_bytes(void **state) {
    (void)state;
    wn__bytes24 b;
    static const wn_dtype types[4] = {WN_DTYPE_F64, WN_DTYPE_F32, WN_DTYPE_BF16, WN_DTYPE_F16};
    static const double share[4] = {0.515625, 0.53125, 0.5625, 0.5625};
    for (int d = 0; d < 4; d++) {
        assert_int_equal(wn__pattern24_bytes(types[d], 64, 128, &b), WN_OK);
        assert_int_equal(b.dense, 64 * 128 * wn_dtype_size(types[d]));
        assert_int_equal(b.mask, 64 * 32);
        assert_true((double)(b.values + b.index) == share[d] * (double)b.dense);
    }
    assert_int_equal(wn__pattern24_bytes(WN_DTYPE_F32, 3, 9, &b),
                     WN_OK); // three groups, the last of one
    assert_true(b.dense == 108 && b.values == 72 && b.index == 6 && b.mask == 9);
    assert_int_equal(wn__pattern24_bytes(WN_DTYPE_F32, 3, 0, &b), WN_OK);
    assert_true(b.dense == 0 && b.values == 0 && b.index == 0 && b.mask == 0);
    assert_refused(wn__pattern24_bytes(WN_DTYPE_F32, -1, 4, &b), "-1 rows and 4 columns");
    assert_refused(wn__pattern24_bytes(WN_DTYPE_F32, 4, -1, &b), "-1 columns");
    assert_refused(wn__pattern24_bytes(WN_DTYPE_F32, INT64_MAX, INT64_MAX, &b), "no matrix");
    assert_refused(wn__pattern24_bytes(WN_DTYPE_F32, 1, INT64_MAX, &b), "no matrix");
    assert_true(b.dense == 0 && b.values == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masks),    cmocka_unit_test(test_padding),
        cmocka_unit_test(test_matrices), cmocka_unit_test(test_types),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
