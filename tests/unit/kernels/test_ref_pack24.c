// SPDX-License-Identifier: MIT
// pack24, unpack24 and spmm24 of the reference: the stated nibbles, bits kept through a round trip
// in every type and at odd sizes, what is refused, and the product against a dense one.
#include "kernels/matmul.h"
#include "kernels/pack24.h"
#include "kernels/spmm24.h"
#include "ref_test.h"

static int64_t groups_of(int64_t n) {
    return (n + 3) / 4;
}

static int count_bits(unsigned m) {
    return (int)((m & 1) + (m >> 1 & 1) + (m >> 2 & 1) + (m >> 3 & 1));
}

typedef struct pack {
    wn_tensor values, index;
} pack;

static pack make_pack(wn_dtype dtype, int64_t r, int64_t c) {
    pack p = {make2(dtype, r, 2 * groups_of(c)), make2(WN_DTYPE_U8, r, (groups_of(c) + 1) / 2)};
    memset(p.values.data, 0xA5, wn__tensor_bytes(&p.values));
    memset(p.index.data, 0xA5, wn__tensor_bytes(&p.index));
    return p;
}

static void free_pack(pack *p) {
    free(p->values.data);
    free(p->index.data);
}

static wn_status run_pack(const wn_tensor *w, const wn_tensor *mask, const pack *rows,
                          const pack *columns) {
    wn__exec x = one_thread();
    wn__pack24 args = {.w = *w, .mask = *mask};
    if (rows) {
        args.values = rows->values;
        args.index = rows->index;
    }
    if (columns) {
        args.values_t = columns->values;
        args.index_t = columns->index;
    }
    return wn__pack24_ref(&args, &x);
}

static wn_status run_unpack(const pack *p, const wn_tensor *w) {
    wn__exec x = one_thread();
    const wn__unpack24 args = {p->values, p->index, *w};
    return wn__unpack24_ref(&args, &x);
}

static uint8_t *mask_at(const wn_tensor *mask, int64_t i, int64_t g) {
    return (uint8_t *)mask->data + i * mask->shape[1] + g;
}

static unsigned kept_at(const wn_tensor *mask, int64_t i, int64_t j) {
    unsigned bits = *mask_at(mask, i, j / 4);
    return bits >> (j % 4) & 1;
}

static void fill_bytes(const wn_tensor *t, uint64_t seed) {
    for (size_t i = 0; i < wn__tensor_bytes(t); i++)
        ((uint8_t *)t->data)[i] = (uint8_t)wn__philox_below(seed, WN_STREAM_TEST, i, 256);
}

// At most two in every group of a row and, if asked, in every 4-row block of a column; short and
// full groups both occur.
static wn_tensor random_mask(int64_t r, int64_t c, bool transposable, uint64_t seed) {
    wn_tensor mask = make2(WN_DTYPE_U8, r, groups_of(c));
    for (int64_t n = 0; n < 3 * r * c; n++) {
        int64_t at =
            (int64_t)wn__philox_below(seed, WN_STREAM_TEST, (uint64_t)n, (uint64_t)(r * c));
        int64_t i = at / c, j = at % c;
        unsigned in_column = 0;
        for (int64_t k = i / 4 * 4; k < i / 4 * 4 + 4 && k < r; k++)
            in_column += kept_at(&mask, k, j);
        uint8_t *m = mask_at(&mask, i, j / 4);
        if (kept_at(&mask, i, j) || count_bits(*m) == 2 || (transposable && in_column == 2))
            continue;
        *m = (uint8_t)(*m | 1U << (j % 4));
    }
    return mask;
}

static void test_nibbles(void **state) {
    (void)state;
    // Keep-masks written from column 0 on, with the nibbles of inference formats.
    static const struct {
        const char *mask;
        uint8_t nibble;
    } cases[16] = {{"1100", 0x4},  {"1010", 0x8},  {"1001", 0xC},  {"0110", 0x9},
                   {"0101", 0xD},  {"0011", 0xE},  {"0000", 0xE},  {"0010", 0xE},
                   {"0001", 0xE},  {"0100", 0xD},  {"1000", 0xC},  {"1110", 0xFF},
                   {"1101", 0xFF}, {"1011", 0xFF}, {"0111", 0xFF}, {"1111", 0xFF}};
    unsigned seen = 0;
    for (int n = 0; n < 16; n++) {
        unsigned bits = 0;
        for (int j = 0; j < 4; j++)
            bits |= (unsigned)(cases[n].mask[j] == '1') << j;
        seen |= 1U << bits;
        assert_int_equal(wn__nibble_of_mask24[bits], cases[n].nibble);
        if (count_bits(bits) == 2) assert_int_equal(wn__mask_of_nibble24[cases[n].nibble], bits);
    }
    assert_int_equal(seen, 0xFFFF);
    for (unsigned nibble = 0; nibble < 16; nibble++) {
        unsigned a = nibble & 3, b = nibble >> 2;
        assert_int_equal(wn__mask_of_nibble24[nibble], a < b ? 1U << a | 1U << b : 0);
    }
}

// 0110 1100 1001 0110 is the word 0x9C49, all 0011 the word 0xEEEE.
static void test_words(void **state) {
    (void)state;
    uint8_t mixed[4] = {0x6, 0x3, 0x9, 0x6}, last[4] = {0xC, 0xC, 0xC, 0xC};
    double v[16];
    for (int i = 0; i < 16; i++)
        v[i] = i + 1;
    wn_tensor w = from2(WN_DTYPE_F32, 1, 16, v), mask = wn__tensor2(mixed, WN_DTYPE_U8, 1, 4);
    pack p = make_pack(WN_DTYPE_F32, 1, 16);
    assert_ok(run_pack(&w, &mask, &p, NULL));
    const uint8_t word[2] = {0x49, 0x9C};
    const float values[8] = {2, 3, 5, 6, 9, 12, 14, 15};
    assert_memory_equal(p.index.data, word, 2);
    assert_memory_equal(p.values.data, values, sizeof values);
    mask.data = last;
    assert_ok(run_pack(&w, &mask, &p, NULL));
    const uint8_t ends[2] = {0xEE, 0xEE};
    assert_memory_equal(p.index.data, ends, 2);
    free(w.data);
    free_pack(&p);
}

// Every mask of at most two: which slot holds the value, that the free ones hold +0, and that an
// odd last nibble is 0xE.
static void test_short_groups(void **state) {
    (void)state;
    const double v[4] = {-1, -2, -3, -4};
    for (unsigned bits = 0; bits < 16; bits++) {
        if (count_bits(bits) > 2) continue;
        uint8_t byte = (uint8_t)bits;
        wn_tensor w = from2(WN_DTYPE_F64, 1, 4, v), mask = wn__tensor2(&byte, WN_DTYPE_U8, 1, 1);
        pack p = make_pack(WN_DTYPE_F64, 1, 4);
        assert_ok(run_pack(&w, &mask, &p, NULL));
        unsigned nibble = wn__nibble_of_mask24[bits];
        assert_int_equal(*(uint8_t *)p.index.data, 0xE0 | nibble);
        for (int slot = 0; slot < 2; slot++) {
            unsigned column = nibble >> (2 * slot) & 3;
            double found = wn__get(&p.values, slot);
            assert_true(found == (bits >> column & 1 ? v[column] : 0));
            assert_true(found < 0 || !signbit(found));
        }
        free(w.data);
        free_pack(&p);
    }
}

// Random bytes as elements: every kind of NaN, denormals, both zeros. The row stride leaves a gap
// that neither call may touch.
static void check_round_trip(wn_dtype dtype, int64_t r, int64_t c, uint64_t seed) {
    size_t size = wn_dtype_size(dtype);
    int64_t stride = c + 3;
    wn_tensor block = make2(dtype, r, stride), again = make2(dtype, r, stride), w = block,
              u = again;
    w.shape[1] = u.shape[1] = c;
    fill_bytes(&block, seed);
    memset(again.data, 0x3C, wn__tensor_bytes(&again));
    wn_tensor mask = random_mask(r, c, false, seed);
    pack p = make_pack(dtype, r, c);
    assert_ok(run_pack(&w, &mask, &p, NULL));
    assert_ok(run_unpack(&p, &u));
    uint8_t zero[8] = {0}, gap[8];
    memset(gap, 0x3C, sizeof gap);
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j < stride; j++) {
            const char *expected = (char *)block.data + (size_t)(i * stride + j) * size;
            if (j >= c)
                expected = (char *)gap;
            else if (!kept_at(&mask, i, j))
                expected = (char *)zero;
            assert_memory_equal((char *)again.data + (size_t)(i * stride + j) * size, expected,
                                size);
        }
    free(block.data);
    free(again.data);
    free(mask.data);
    free_pack(&p);
}

static void test_round_trips(void **state) {
    (void)state;
    for (int d = 0; d < 4; d++)
        for (int64_t r = 1; r <= 6; r += 5)
            for (int64_t c = 1; c <= 21; c++)
                check_round_trip(all_floats[d], r, c, (uint64_t)(100 * c + r));
}

static void test_special_values(void **state) {
    (void)state;
    static const uint32_t bits[8] = {0x80000000, 0x00000001, 0x807FFFFF, 0x7F800000,
                                     0xFF800000, 0x7FC12345, 0xFFA00001, 0x7F7FFFFF};
    uint32_t matrix[16], found[8];
    uint8_t masks[4] = {0x5, 0x5, 0x5, 0x5};
    for (int i = 0; i < 8; i++) {
        matrix[2 * i] = bits[i];
        matrix[2 * i + 1] = 0x7FFFFFFF; // never kept
    }
    wn_tensor w = wn__tensor2(matrix, WN_DTYPE_F32, 1, 16),
              mask = wn__tensor2(masks, WN_DTYPE_U8, 1, 4);
    pack p = make_pack(WN_DTYPE_F32, 1, 16);
    assert_ok(run_pack(&w, &mask, &p, NULL));
    memcpy(found, p.values.data, sizeof found);
    assert_memory_equal(found, bits, sizeof found);
    free_pack(&p);
}

// The transposed outputs against packing the transpose, whose mask is built position by position.
static void check_transpose(wn_dtype dtype, int64_t r, int64_t c, uint64_t seed) {
    size_t size = wn_dtype_size(dtype);
    wn_tensor w = make2(dtype, r, c), turned = make2(dtype, c, r);
    fill_bytes(&w, seed);
    wn_tensor mask = random_mask(r, c, true, seed),
              turned_mask = make2(WN_DTYPE_U8, c, groups_of(r));
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j < c; j++) {
            memcpy((char *)turned.data + (size_t)(j * r + i) * size,
                   (char *)w.data + (size_t)(i * c + j) * size, size);
            uint8_t *m = mask_at(&turned_mask, j, i / 4);
            *m = (uint8_t)(*m | kept_at(&mask, i, j) << (i % 4));
        }
    pack rows = make_pack(dtype, r, c), only = make_pack(dtype, r, c);
    pack columns = make_pack(dtype, c, r), expected = make_pack(dtype, c, r),
         alone = make_pack(dtype, c, r);
    assert_ok(run_pack(&w, &mask, &rows, &columns));
    assert_ok(run_pack(&w, &mask, &only, NULL));
    assert_ok(run_pack(&w, &mask, NULL, &alone));
    assert_ok(run_pack(&turned, &turned_mask, &expected, NULL));
    assert_bits(&columns.values, &expected.values);
    assert_bits(&columns.index, &expected.index);
    assert_bits(&alone.values, &expected.values);
    assert_bits(&alone.index, &expected.index);
    assert_bits(&rows.values, &only.values);
    assert_bits(&rows.index, &only.index);
    pack *packs[5] = {&rows, &only, &columns, &expected, &alone};
    for (int n = 0; n < 5; n++)
        free_pack(packs[n]);
    wn_tensor *tensors[4] = {&w, &turned, &mask, &turned_mask};
    for (int n = 0; n < 4; n++)
        free(tensors[n]->data);
}

static void test_transposes(void **state) {
    (void)state;
    for (int d = 0; d < 4; d++)
        for (int64_t r = 1; r <= 13; r += 3)
            for (int64_t c = 1; c <= 14; c++)
                check_transpose(all_floats[d], r, c, (uint64_t)(31 * r + c));
}

static void test_threads(void **state) {
    (void)state;
    wn_tensor w = normal2(33, 45, 8), mask = random_mask(33, 45, true, 8);
    pack rows = make_pack(WN_DTYPE_F64, 33, 45), columns = make_pack(WN_DTYPE_F64, 45, 33);
    pack rows3 = make_pack(WN_DTYPE_F64, 33, 45), columns3 = make_pack(WN_DTYPE_F64, 45, 33);
    assert_ok(run_pack(&w, &mask, &rows, &columns));
    wn__exec x = {0};
    assert_ok(wn__pool_create(3, &x.pool));
    const wn__pack24 args = {w, mask, rows3.values, rows3.index, columns3.values, columns3.index};
    assert_ok(wn__pack24_ref(&args, &x));
    assert_bits(&rows.values, &rows3.values);
    assert_bits(&rows.index, &rows3.index);
    assert_bits(&columns.values, &columns3.values);
    assert_bits(&columns.index, &columns3.index);
    wn__pool_free(x.pool);
    pack *packs[4] = {&rows, &columns, &rows3, &columns3};
    for (int n = 0; n < 4; n++)
        free_pack(packs[n]);
    free(w.data);
    free(mask.data);
}

static void assert_untouched(const wn_tensor *t) {
    for (size_t i = 0; i < wn__tensor_bytes(t); i++)
        assert_int_equal(((uint8_t *)t->data)[i], 0xA5);
}

static void test_pack_refuses(void **state) {
    (void)state;
    wn_tensor w = normal2(8, 10, 1), mask = make2(WN_DTYPE_U8, 8, 3);
    pack rows = make_pack(WN_DTYPE_F64, 8, 10), columns = make_pack(WN_DTYPE_F64, 10, 8);
    static const uint8_t excess[5] = {0x7, 0xB, 0xD, 0xE, 0xF};
    for (int n = 0; n < 5; n++) {
        memset(mask.data, 0, 24);
        *mask_at(&mask, 6, 1) = excess[n];
        *mask_at(&mask, 7, 0) = 0xF;
        assert_refused(run_pack(&w, &mask, &rows, NULL), "row 6, group 1");
    }
    memset(mask.data, 0, 24);
    *mask_at(&mask, 2, 2) = 0x6; // column 10 of 10
    assert_refused(run_pack(&w, &mask, &rows, NULL), "row 2, group 2");
    memset(mask.data, 0, 24);
    for (int64_t i = 4; i < 7; i++)
        *mask_at(&mask, i, 1) = 0x2; // column 5 three times
    assert_refused(run_pack(&w, &mask, &rows, &columns), "rows 4 to 7 keep column 5 3 times");
    assert_untouched(&rows.values);
    assert_untouched(&rows.index);
    assert_untouched(&columns.values);
    assert_untouched(&columns.index);
    assert_ok(run_pack(&w, &mask, &rows, NULL));
    free(w.data);
    free(mask.data);
    free_pack(&rows);
    free_pack(&columns);
}

static void test_unpack_refuses(void **state) {
    (void)state;
    for (int d = 0; d < 4; d++) {
        wn_tensor w = make2(all_floats[d], 3, 9);
        memset(w.data, 0xA5, wn__tensor_bytes(&w));
        pack p = make_pack(all_floats[d], 3, 9); // groups 0 1 | 2 and padding
        memset(p.values.data, 0, wn__tensor_bytes(&p.values));
        memset(p.index.data, 0xEE, 6);
        uint8_t *index = p.index.data;
        for (unsigned nibble = 0; nibble < 16; nibble++) {
            if (wn__mask_of_nibble24[nibble]) continue;
            index[2] = (uint8_t)(0xE | nibble << 4);
            assert_refused(run_unpack(&p, &w), "row 1, group 1");
        }
        assert_untouched(&w);
        index[2] = 0xEE;
        // Column 8 is the last: slots (2,3) of group 2 are padding.
        wn__set(&p.values, 2 * 6 + 5, 1);
        assert_refused(run_unpack(&p, &w), "row 2, group 2 puts a value in column 11 of 9");
        wn__set(&p.values, 2 * 6 + 5, NAN);
        assert_refused(run_unpack(&p, &w), "row 2, group 2");
        index[5] = 0xE4; // (0,1): column 9, the first of the padding
        assert_refused(run_unpack(&p, &w), "column 9 of 9");
        assert_untouched(&w);
        wn__set(&p.values, 2 * 6 + 5, -0.0);
        index[5] = 0xEC; // (0,3)
        wn__set(&p.values, 2 * 6 + 4, -7);
        assert_ok(run_unpack(&p, &w));
        for (int64_t i = 0; i < 27; i++) {
            assert_true(wn__get(&w, i) == (i == 26 ? -7 : 0));
            assert_true(i == 26 || !signbit(wn__get(&w, i)));
        }
        free(w.data);
        free_pack(&p);
    }
}

static void test_empty(void **state) {
    (void)state;
    static const int64_t sizes[2][2] = {{0, 8}, {4, 0}};
    for (int n = 0; n < 2; n++) {
        int64_t r = sizes[n][0], c = sizes[n][1];
        wn_tensor w = make2(WN_DTYPE_F32, r, c), mask = make2(WN_DTYPE_U8, r, groups_of(c));
        pack rows = make_pack(WN_DTYPE_F32, r, c), columns = make_pack(WN_DTYPE_F32, c, r);
        assert_ok(run_pack(&w, &mask, &rows, &columns));
        assert_ok(run_unpack(&rows, &w));
        free(w.data);
        free(mask.data);
        free_pack(&rows);
        free_pack(&columns);
    }
}

// y (+)= x W^T (+ bias) by both ops, W unpacked for the dense one. Whole numbers: equal bit for bit
// in every type.
static void check_product(wn_dtype dtype, int64_t T, int64_t k, int64_t n, bool accumulate,
                          bool bias) {
    wn_tensor w = make2(dtype, n, k), dense = make2(dtype, n, k), x_block = make2(dtype, T, k + 5);
    wn_tensor y1 = make2(dtype, T, n + 3), b = make1(dtype, n),
              mask = random_mask(n, k, false, (uint64_t)(k + n));
    fill_whole(&w, 3, 1);
    fill_whole(&x_block, 3, 2);
    for (int64_t i = 0; i < T * (k + 5); i++)
        if (i % (k + 5) >= k) wn__set(&x_block, i, NAN); // columns x does not have
    fill_whole(&y1, 3, 3);
    fill_whole(&b, 3, 4);
    wn_tensor y2 = converted(&y1, dtype), x = x_block, v1 = y1, v2 = y2;
    x.shape[1] = k;
    v1.shape[1] = v2.shape[1] = n;
    pack p = make_pack(dtype, n, k);
    assert_ok(run_pack(&w, &mask, &p, NULL));
    assert_ok(run_unpack(&p, &dense));
    wn__exec exec = one_thread();
    wn__spmm24 sparse = {
        .x = x, .values = p.values, .index = p.index, .y = v1, .accumulate = accumulate};
    wn__matmul matmul = {
        .a = x, .b = wn__tensor_transpose(&dense), .c = v2, .accumulate = accumulate};
    if (bias) sparse.bias = matmul.bias = b;
    assert_ok(wn__spmm24_ref(&sparse, &exec));
    assert_ok(wn__matmul_ref(&matmul, &exec));
    assert_bits(&y1, &y2);
    wn_tensor *tensors[7] = {&w, &dense, &x_block, &y1, &y2, &b, &mask};
    for (int i = 0; i < 7; i++)
        free(tensors[i]->data);
    free_pack(&p);
}

static void test_products(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{1, 1, 1},  {3, 4, 2}, {2, 5, 7}, {4, 6, 3}, {1, 7, 5},
                                       {5, 16, 9}, {0, 8, 4}, {3, 8, 0}, {3, 0, 4}};
    for (int d = 0; d < 4; d++)
        for (int64_t s = 0; s < LENGTH(sizes); s++)
            for (int flags = 0; flags < 4; flags++)
                if (sizes[s][1] * sizes[s][2] > 0)
                    check_product(all_floats[d], sizes[s][0], sizes[s][1], sizes[s][2], flags & 1,
                                  flags & 2);
}

// No columns: y is the bias, or what it was plus the bias.
static void test_product_without_columns(void **state) {
    (void)state;
    const double bias[2] = {3, -4}, before[4] = {1, 1, 1, 1}, sum[4] = {4, -3, 4, -3},
                 alone[4] = {3, -4, 3, -4};
    pack p = make_pack(WN_DTYPE_F32, 2, 0);
    wn_tensor x = make2(WN_DTYPE_F32, 2, 0), b = from1(WN_DTYPE_F32, 2, bias),
              y = from2(WN_DTYPE_F32, 2, 2, before);
    wn__exec exec = one_thread();
    wn__spmm24 args = {
        .x = x, .values = p.values, .index = p.index, .bias = b, .y = y, .accumulate = true};
    assert_ok(wn__spmm24_ref(&args, &exec));
    assert_all_near(&y, sum, 0);
    args.accumulate = false;
    assert_ok(wn__spmm24_ref(&args, &exec));
    assert_all_near(&y, alone, 0);
    free_pack(&p);
    free(x.data);
    free(b.data);
    free(y.data);
}

// An infinity of x reaches y through a column the nibble names, whether kept or a zero slot, and
// through no other.
static void test_infinities(void **state) {
    (void)state;
    const double w_values[4] = {2, 3, 4, 5};
    uint8_t short_row = 0x1; // column 0 alone: slots (0,3)
    wn_tensor w = from2(WN_DTYPE_F32, 1, 4, w_values),
              mask = wn__tensor2(&short_row, WN_DTYPE_U8, 1, 1);
    pack p = make_pack(WN_DTYPE_F32, 1, 4);
    assert_ok(run_pack(&w, &mask, &p, NULL));
    for (int64_t column = 0; column < 4; column++) {
        wn_tensor x = make2(WN_DTYPE_F32, 1, 4), y = make2(WN_DTYPE_F32, 1, 1);
        wn__set(&x, column, -INFINITY);
        wn__exec exec = one_thread();
        const wn__spmm24 args = {.x = x, .values = p.values, .index = p.index, .y = y};
        assert_ok(wn__spmm24_ref(&args, &exec));
        double found = wn__get(&y, 0);
        assert_true(column == 0 ? found == -INFINITY : column == 3 ? isnan(found) : found == 0);
        free(x.data);
        free(y.data);
    }
    free(w.data);
    free_pack(&p);
}

// <x W^T, u> = <x, u W>, the right side by the transposed pack; in F64 both sums have at most
// k n T terms.
static void test_adjoint(void **state) {
    (void)state;
    const int64_t T = 5, k = 11, n = 14;
    wn_tensor w = normal2(n, k, 1), mask = random_mask(n, k, true, 2), x = normal2(T, k, 3),
              u = normal2(T, n, 4);
    wn_tensor y = make2(WN_DTYPE_F64, T, n), dx = make2(WN_DTYPE_F64, T, k);
    pack rows = make_pack(WN_DTYPE_F64, n, k), columns = make_pack(WN_DTYPE_F64, k, n);
    assert_ok(run_pack(&w, &mask, &rows, &columns));
    wn__exec exec = one_thread();
    const wn__spmm24 forward = {.x = x, .values = rows.values, .index = rows.index, .y = y};
    const wn__spmm24 backward = {.x = u, .values = columns.values, .index = columns.index, .y = dx};
    assert_ok(wn__spmm24_ref(&forward, &exec));
    assert_ok(wn__spmm24_ref(&backward, &exec));
    double magnitude = 0;
    for (int64_t t = 0; t < T; t++)
        for (int64_t o = 0; o < n; o++)
            for (int64_t i = 0; i < k; i++)
                magnitude +=
                    fabs(wn__get(&x, t * k + i) * wn__get(&w, o * k + i) * wn__get(&u, t * n + o));
    assert_near(inner(&y, &u), inner(&x, &dx), 2 * (double)(T * n + T * k) * 0x1p-53 * magnitude);
    assert_true(fabs(inner(&y, &u)) > 1);
    wn_tensor *tensors[6] = {&w, &mask, &x, &u, &y, &dx};
    for (int i = 0; i < 6; i++)
        free(tensors[i]->data);
    free_pack(&rows);
    free_pack(&columns);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nibbles),        cmocka_unit_test(test_words),
        cmocka_unit_test(test_short_groups),   cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_special_values), cmocka_unit_test(test_transposes),
        cmocka_unit_test(test_threads),        cmocka_unit_test(test_pack_refuses),
        cmocka_unit_test(test_unpack_refuses), cmocka_unit_test(test_empty),
        cmocka_unit_test(test_products),       cmocka_unit_test(test_product_without_columns),
        cmocka_unit_test(test_infinities),     cmocka_unit_test(test_adjoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
