// SPDX-License-Identifier: MIT
// matmul of the reference: stated products, every layout of the operands, the accuracy bound of the
// contract, and gradients through products (dense and 2:4) by central differences.
#include "kernels/matmul.h"
#include "kernels/pack24.h"
#include "kernels/spmm24.h"
#include "ref_test.h"

static void multiply(const wn_tensor *a, const wn_tensor *b, const wn_tensor *bias, bool accumulate,
                     const wn_tensor *c) {
    wn__exec x = one_thread();
    wn__matmul args = {.a = *a, .b = *b, .c = *c, .accumulate = accumulate};
    if (bias) args.bias = *bias;
    assert_ok(wn__matmul_ref(&args, &x));
}

static void test_vectors(void **state) {
    (void)state;
    const double av[6] = {1, 2, 3, 4, 5, 6}, bv[6] = {7, 8, 9, 10, 11, 12}, bias[2] = {1, -1};
    const double product[4] = {58, 64, 139, 154}, biased[4] = {59, 63, 140, 153};
    const double twice[4] = {117, 127, 279, 307};
    for (int d = 0; d < 4; d++) {
        wn_dtype dtype = all_floats[d];
        wn_tensor a = from2(dtype, 2, 3, av), b = from2(dtype, 3, 2, bv), c = make2(dtype, 2, 2);
        wn_tensor add = from1(dtype, 2, bias);
        memset(c.data, 0xFF, wn__tensor_bytes(&c)); // NaN: nothing of it may be read
        multiply(&a, &b, NULL, false, &c);
        assert_all_near(&c, product, 0);
        multiply(&a, &b, &add, false, &c);
        assert_all_near(&c, biased, 0);
        multiply(&a, &b, NULL, true, &c);
        // 279 and 307 have nine bits
        assert_all_near(&c, twice, dtype == WN_DTYPE_BF16 ? 1 : 0);
        free(a.data);
        free(b.data);
        free(c.data);
        free(add.data);
    }
}

// A view of t with its elements laid out with row stride (or, turned, column stride) `stride`.
static wn_tensor laid_out(const wn_tensor *t, bool turned, int64_t gap) {
    int64_t rows = t->shape[0], columns = t->shape[1];
    int64_t stride = (turned ? rows : columns) + gap;
    wn_tensor block = make2(t->dtype, turned ? columns : rows, stride);
    wn_tensor view = block;
    view.shape[0] = rows;
    view.shape[1] = columns;
    view.stride[0] = turned ? 1 : stride;
    view.stride[1] = turned ? stride : 1;
    for (int64_t i = 0; i < wn__tensor_count(&block); i++)
        wn__set(&block, i, NAN);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            wn__set(&view, wn__at(&view, i, j), wn__get(t, i * columns + j));
    return view;
}

static void test_layouts(void **state) {
    (void)state;
    wn_tensor a = normal2(5, 7, 1), b = normal2(7, 4, 2), expected = make2(WN_DTYPE_F64, 5, 4);
    multiply(&a, &b, NULL, false, &expected);
    for (int n = 0; n < 8; n++) {
        wn_tensor va = laid_out(&a, n & 1, n & 4 ? 3 : 0), vb = laid_out(&b, n & 2, n & 4 ? 2 : 0);
        wn_tensor block = make2(WN_DTYPE_F64, 5, 9), c = block;
        c.shape[1] = 4;
        multiply(&va, &vb, NULL, false, &c);
        for (int64_t i = 0; i < 5; i++)
            for (int64_t j = 0; j < 9; j++)
                assert_true(wn__get(&block, 9 * i + j) ==
                            (j < 4 ? wn__get(&expected, 4 * i + j) : 0));
        free(va.data);
        free(vb.data);
        free(block.data);
    }
    free(a.data);
    free(b.data);
    free(expected.data);
}

static void test_empty_sizes(void **state) {
    (void)state;
    const double bias[2] = {5, 6}, before[4] = {1, 2, 3, 4}, sum[4] = {6, 8, 8, 10},
                 alone[4] = {5, 6, 5, 6};
    wn_tensor a = make2(WN_DTYPE_F32, 2, 0), b = make2(WN_DTYPE_F32, 0, 2),
              c = from2(WN_DTYPE_F32, 2, 2, before);
    wn_tensor add = from1(WN_DTYPE_F32, 2, bias), none = make2(WN_DTYPE_F32, 0, 3),
              wide = make2(WN_DTYPE_F32, 3, 0);
    wn_tensor square = make2(WN_DTYPE_F32, 3, 3), nothing = make2(WN_DTYPE_F32, 0, 3),
              thin = make2(WN_DTYPE_F32, 3, 0);
    multiply(&a, &b, &add, true, &c);
    assert_all_near(&c, sum, 0);
    multiply(&a, &b, &add, false, &c);
    assert_all_near(&c, alone, 0);
    multiply(&a, &b, NULL, false, &c);
    assert_all_near(&c, (const double[4]){0}, 0);
    multiply(&none, &square, NULL, false, &nothing);
    multiply(&square, &wide, NULL, false, &thin);
    wn_tensor *tensors[9] = {&a, &b, &c, &add, &none, &wide, &square, &nothing, &thin};
    for (int i = 0; i < 9; i++)
        free(tensors[i]->data);
}

// |c - exact| <= u|c| + 2 k u sum|a||b| in every type, the exact sum taken in long double. The
// reference keeps the tighter bound of one rounding and a double accumulator.
static void test_accuracy(void **state) {
    (void)state;
    const int64_t m = 6, k = 300, n = 5;
    for (int d = 0; d < 4; d++) {
        wn_tensor x = normal2(m, k, 7), y = normal2(k, n, 8), a = converted(&x, all_floats[d]),
                  b = converted(&y, all_floats[d]);
        wn_tensor c = make2(all_floats[d], m, n);
        multiply(&a, &b, NULL, false, &c);
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                long double exact = 0, magnitude = 0;
                for (int64_t l = 0; l < k; l++) {
                    long double term = (long double)wn__get(&a, i * k + l) * wn__get(&b, l * n + j);
                    exact += term;
                    magnitude += fabsl(term);
                }
                double bound = roundoff_of(all_floats[d]) * fabs((double)exact) * (1 + 0x1p-7) +
                               2 * (double)k * 0x1p-53 * (double)magnitude;
                assert_near(wn__get(&c, i * n + j), (double)exact, bound);
            }
        wn_tensor *tensors[5] = {&x, &y, &a, &b, &c};
        for (int i = 0; i < 5; i++)
            free(tensors[i]->data);
    }
}

static void test_specials_and_threads(void **state) {
    (void)state;
    wn_tensor a = normal2(17, 9, 1), b = normal2(9, 6, 2), one = make2(WN_DTYPE_F64, 17, 6),
              many = make2(WN_DTYPE_F64, 17, 6);
    wn__set(&a, 3 * 9 + 2, NAN);
    wn__set(&a, 4 * 9 + 2, INFINITY);
    multiply(&a, &b, NULL, false, &one);
    for (int64_t j = 0; j < 6; j++) {
        assert_true(isnan(wn__get(&one, 3 * 6 + j)));
        assert_true(wn__get(&one, 4 * 6 + j) == copysign(INFINITY, wn__get(&b, 2 * 6 + j)));
        assert_true(isfinite(wn__get(&one, 5 * 6 + j)));
    }
    wn__exec x = {0};
    assert_ok(wn__pool_create(3, &x.pool));
    const wn__matmul args = {.a = a, .b = b, .c = many};
    assert_ok(wn__matmul_ref(&args, &x));
    assert_bits(&one, &many);
    wn__pool_free(x.pool);
    free(a.data);
    free(b.data);
    free(one.data);
    free(many.data);
}

// L = <a b + bias, u>.
typedef struct product {
    wn_tensor a, b, bias, c, u;
} product;

static double product_loss(void *ctx) {
    const product *p = ctx;
    multiply(&p->a, &p->b, &p->bias, false, &p->c);
    return inner(&p->c, &p->u);
}

// dL/da = u b^T, dL/db = a^T u, dL/dbias = column sums of u (by the product with ones). The terms
// of L are below 27 each, and each is rounded at most k + m n + 2 times.
static void test_gradient(void **state) {
    (void)state;
    const int64_t m = 3, k = 5, n = 4;
    product p = {normal2(m, k, 0), normal2(k, n, 0), make1(WN_DTYPE_F64, n),
                 make2(WN_DTYPE_F64, m, n), normal2(m, n, 3)};
    fill_for_gradient(&p.a, 1);
    fill_for_gradient(&p.b, 2);
    fill_for_gradient(&p.bias, 4);
    wn_tensor da = make2(WN_DTYPE_F64, m, k), db = make2(WN_DTYPE_F64, k, n),
              dbias = make2(WN_DTYPE_F64, 1, n), ones = make2(WN_DTYPE_F64, 1, m);
    for (int64_t i = 0; i < m; i++)
        wn__set(&ones, i, 1);
    wn_tensor bt = wn__tensor_transpose(&p.b), at = wn__tensor_transpose(&p.a);
    multiply(&p.u, &bt, NULL, false, &da);
    multiply(&at, &p.u, NULL, false, &db);
    multiply(&ones, &p.u, NULL, false, &dbias);
    double wrong = 0x1p-53 * (double)(k + m * n + 2) * 27 * (double)(m * n * (k + 1));
    check_gradient("matmul a", product_loss, &p, &p.a, &da, wrong);
    check_gradient("matmul b", product_loss, &p, &p.b, &db, wrong);
    check_gradient("matmul bias", product_loss, &p, &p.bias, &dbias, wrong);
    wn_tensor *tensors[9] = {&p.a, &p.b, &p.bias, &p.c, &p.u, &da, &db, &dbias, &ones};
    for (int i = 0; i < 9; i++)
        free(tensors[i]->data);
}

// L = <x W^T, u>, W 2:4 both ways; dL/dx = u W by the transposed pack.
typedef struct sparse_product {
    wn__spmm24 args;
    wn_tensor u;
} sparse_product;

static double sparse_loss(void *ctx) {
    const sparse_product *p = ctx;
    wn__exec x = one_thread();
    assert_ok(wn__spmm24_ref(&p->args, &x));
    return inner(&p->args.y, &p->u);
}

static void test_sparse_gradient(void **state) {
    (void)state;
    const int64_t T = 3, k = 8, n = 4;
    uint8_t bits[8] = {0x3, 0x5, 0x6, 0xC,
                       0x9, 0x3, 0xC, 0xA}; // [4, 2], two in every row and column
    wn_tensor w = normal2(n, k, 1), mask = wn__tensor2(bits, WN_DTYPE_U8, n, 2),
              x = make2(WN_DTYPE_F64, T, k), y = make2(WN_DTYPE_F64, T, n);
    wn_tensor u = normal2(T, n, 3), dx = make2(WN_DTYPE_F64, T, k);
    fill_for_gradient(&x, 2);
    wn__pack24 pack = {w,
                       mask,
                       make2(WN_DTYPE_F64, n, 4),
                       make2(WN_DTYPE_U8, n, 1),
                       make2(WN_DTYPE_F64, k, 2),
                       make2(WN_DTYPE_U8, k, 1)};
    wn__exec exec = one_thread();
    assert_ok(wn__pack24_ref(&pack, &exec));
    sparse_product p = {{.x = x, .values = pack.values, .index = pack.index, .y = y}, u};
    const wn__spmm24 backward = {.x = u, .values = pack.values_t, .index = pack.index_t, .y = dx};
    assert_ok(wn__spmm24_ref(&backward, &exec));
    check_gradient("spmm24 x", sparse_loss, &p, &x, &dx,
                   0x1p-53 * (double)(k + T * n) * 64 * (double)(T * n * k));
    wn_tensor *tensors[9] = {
        &w, &x, &y, &u, &dx, &pack.values, &pack.index, &pack.values_t, &pack.index_t};
    for (int i = 0; i < 9; i++)
        free(tensors[i]->data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_empty_sizes),
        cmocka_unit_test(test_accuracy),
        cmocka_unit_test(test_specials_and_threads),
        cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_sparse_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
