// SPDX-License-Identifier: MIT
// relu, column_zeros, densest and tokens24: oracles of their own, an activation network worked out
// by hand, what an order of tokens does and does not change, how much 2:4 loses at which sparsity.
#include "base/fail.h"
#include "kernels/act24.h"
#include "kernels/mask24.h"
#include "kernels/matmul.h"
#include "kernels/mlp.h"
#include "kernels/soft24.h"
#include "variants.h"

static void test_relu(void **state) {
    (void)state;
    const double v[9] = {-1, 0, 0.5, 3, -0.0, INFINITY, -INFINITY, NAN, -1e-30};
    const double dv[9] = {1, 2, 3, NAN, 5, 6, NAN, 8, 9};
    const double want[9] = {0, 0, 0.5, 3, 0, INFINITY, 0, NAN, 0};
    const double slope[9] = {0, 0, 3, NAN, 0, 6, 0, NAN, 0};
    for (int d = 0; d < 4; d++) {
        wn_tensor x = from1(all_floats[d], 9, v), dy = from1(all_floats[d], 9, dv);
        wn_tensor y = make1(all_floats[d], 9), dx = make1(all_floats[d], 9);
        const wn__relu args = {x, y};
        const wn__relu_grad grad = {x, dy, dx};
        const wn__kernel *k;
        for (int n = 0; (k = variant(WN__OP_relu, &args, n)); n++) {
            assert_ok(run_row(k, &args, NULL));
            assert_ok(run_row(variant(WN__OP_relu_grad, &grad, n), &grad, NULL));
            for (int i = 0; i < 9; i++) {
                double found = wn__get(&y, i), step = wn__get(&dx, i);
                assert_true(isnan(want[i]) ? isnan(found) : found == want[i] && !signbit(found));
                assert_true(isnan(slope[i]) ? isnan(step) : step == slope[i] && !signbit(step));
            }
        }
        free(x.data);
        free(dy.data);
        free(y.data);
        free(dx.data);
    }
}

// ---- columns

static int by_zeros(const void *a, const void *b) {
    const int32_t *x = a, *y = b; // zeros, then the column
    return x[0] != y[0] ? (x[0] > y[0]) - (x[0] < y[0]) : (x[1] > y[1]) - (x[1] < y[1]);
}

static void test_columns(void **state) {
    (void)state;
    enum { N = 67, C = 95 };
    wn_tensor x = make2(WN_DTYPE_F32, N, C), zeros_of = make1(WN_DTYPE_I32, C);
    wn_tensor total = make1(WN_DTYPE_I64, 1), dense = make1(WN_DTYPE_U8, C);
    int32_t want[C] = {0}, order[C][2];
    int64_t sum = 0;
    fill_whole(&x, 2, 3);
    for (int64_t i = 0; i < N * C; i++) {
        float *v = (float *)x.data + i;
        if (*v == 1 && i % C % 3 == 0) *v = -0.0F;
        want[i % C] += *v == 0;
    }
    for (int32_t j = 0; j < C; j++) {
        order[j][0] = want[j];
        order[j][1] = j;
        sum += want[j];
    }
    qsort(order, C, sizeof *order, by_zeros);
    const wn__column_zeros args = {x, zeros_of, total};
    const wn__kernel *k;
    for (int n = 0; (k = variant(WN__OP_column_zeros, &args, n)); n++) {
        memset(zeros_of.data, 0xFF, wn__tensor_bytes(&zeros_of));
        assert_ok(run_row(k, &args, NULL));
        assert_memory_equal(zeros_of.data, want, sizeof want);
        assert_int_equal(*(int64_t *)total.data, sum);
    }
    for (int64_t count = 0; count <= C; count++) {
        const wn__densest pick = {zeros_of, dense, count};
        memset(dense.data, 0xFF, wn__tensor_bytes(&dense));
        assert_ok(run_best(WN__OP_densest, &pick, NULL));
        for (int64_t j = 0; j < C; j++) // the first `count` of the sorted columns
            assert_int_equal(((uint8_t *)dense.data)[order[j][1]], j < count);
    }
    free(x.data);
    free(zeros_of.data);
    free(total.data);
    free(dense.data);
}

// ---- tokens24

static wn_status tokens(const wn_tensor *x, const wn_tensor *y, const int32_t *order,
                        const uint8_t *dense, int row) {
    wn__tokens24 args = {.x = *x, .y = *y};
    if (order) args.order = wn__tensor1((void *)(uintptr_t)order, WN_DTYPE_I32, x->shape[0]);
    if (dense) args.dense = wn__tensor1((void *)(uintptr_t)dense, WN_DTYPE_U8, x->shape[1]);
    const wn__kernel *k = variant(WN__OP_tokens24, &args, row);
    return k ? run_row(k, &args, NULL) : WN_UNSUPPORTED;
}

// A stable sort of the group by magnitude, largest first; the first two stay.
static void largest_two(const double *v, int n, bool stays[4]) {
    int order[4];
    for (int i = 0; i < n; i++) {
        int at = i;
        for (; at > 0 && fabs(v[order[at - 1]]) < fabs(v[i]); at--)
            order[at] = order[at - 1];
        order[at] = i;
        stays[i] = false;
    }
    for (int i = 0; i < n && i < 2; i++)
        stays[order[i]] = true;
}

static void shuffle(int32_t *order, int64_t n, uint64_t seed) {
    for (int64_t i = 0; i < n; i++) {
        int64_t j = (int64_t)wn__philox_below(seed, WN_STREAM_TEST, (uint64_t)i, (uint64_t)i + 1);
        order[i] = order[j];
        order[j] = (int32_t)i;
    }
}

// Every number of rows from none to a few groups, with ties, an order and marked columns.
static void test_tokens_against_sorting(void **state) {
    (void)state;
    enum { MOST = 23, C = 37 };
    for (int64_t n = 0; n <= MOST; n++) {
        wn_tensor x = make2(WN_DTYPE_F32, n, C), y = make2(WN_DTYPE_F32, n, C);
        int32_t order[MOST] = {0};
        uint8_t dense[C];
        fill_whole(&x, 3, (uint64_t)n);
        shuffle(order, n, (uint64_t)n);
        for (int64_t j = 0; j < C; j++)
            dense[j] = j % 5 == 2 ? (uint8_t)(j * 7 + 1) : 0;
        for (int row = 0; tokens(&x, &y, order, dense, row) == WN_OK; row++)
            for (int64_t g = 0; g < n; g += 4)
                for (int64_t j = 0; j < C; j++) {
                    int size = n - g < 4 ? (int)(n - g) : 4;
                    double v[4];
                    bool stays[4];
                    for (int i = 0; i < size; i++)
                        v[i] = wn__get(&x, order[g + i] * C + j);
                    largest_two(v, size, stays);
                    for (int i = 0; i < size; i++)
                        assert_true(wn__get(&y, order[g + i] * C + j) ==
                                    (stays[i] || dense[j] ? v[i] : 0));
                }
        free(x.data);
        free(y.data);
    }
}

// An order is the same as moving the rows, pruning neighbours and moving them back; 0, 1, 2, ... is
// none; a second time changes nothing; all columns marked is a copy.
static void test_tokens_properties(void **state) {
    (void)state;
    enum { N = 44, C = 70 };
    wn_tensor x = make2(WN_DTYPE_F32, N, C), y = make2(WN_DTYPE_F32, N, C);
    wn_tensor moved = make2(WN_DTYPE_F32, N, C), back = make2(WN_DTYPE_F32, N, C);
    int32_t order[N], identity[N];
    uint8_t all[C];
    memset(all, 1, sizeof all);
    shuffle(order, N, 5);
    fill_normal(&x, 6);
    const size_t bytes = C * sizeof(float);
    for (int64_t i = 0; i < N; i++) {
        identity[i] = (int32_t)i;
        memcpy((char *)moved.data + i * (int64_t)bytes, (char *)x.data + order[i] * (int64_t)bytes,
               bytes);
    }
    for (int row = 0; tokens(&x, &y, order, NULL, row) == WN_OK; row++) {
        assert_ok(tokens(&moved, &back, NULL, NULL, row));
        for (int64_t i = 0; i < N; i++)
            assert_memory_equal((char *)back.data + i * (int64_t)bytes,
                                (char *)y.data + order[i] * (int64_t)bytes, bytes);
        assert_ok(tokens(&y, &back, order, NULL, row));
        assert_bits(&back, &y);
        assert_ok(tokens(&x, &y, NULL, NULL, row));
        assert_ok(tokens(&x, &back, identity, NULL, row));
        assert_bits(&back, &y);
        assert_ok(tokens(&x, &y, order, all, row));
        assert_bits(&x, &y);
        memcpy(y.data, x.data, wn__tensor_bytes(&x)); // in place
        assert_ok(tokens(&y, &y, order, NULL, row));
        assert_ok(tokens(&x, &back, order, NULL, row));
        assert_bits(&back, &y);
    }
    free(x.data);
    free(y.data);
    free(moved.data);
    free(back.data);
}

// Ties go by the place in the group, not by the row; every NaN stays before any number.
static void test_tokens_ties(void **state) {
    (void)state;
    const double v[8] = {1, NAN, -1, INFINITY, 1, NAN, -1, 7}; // columns of four rows
    const int32_t order[4] = {2, 3, 0, 1};
    wn_tensor x = from2(WN_DTYPE_F32, 4, 2, v), y = make2(WN_DTYPE_F32, 4, 2);
    for (int row = 0; tokens(&x, &y, order, NULL, row) == WN_OK; row++) {
        const float *out = y.data;
        assert_true(out[0] == 0 && out[2] == 0 && out[4] == 1 && out[6] == -1);
        assert_true(isnan(out[1]) && out[3] == 0 && isnan(out[5]) && out[7] == 0);
    }
    free(x.data);
    free(y.data);
}

static void test_orders_are_checked(void **state) {
    (void)state;
    static const struct {
        int32_t order[6];
        const char *words;
    } cases[] = {
        {{0, 1, 2, 3, 4, 6}, "tokens24: order[5] is 6, there are 6 rows"},
        {{0, -1, 2, 3, 4, 6}, "tokens24: order[1] is -1, there are 6 rows"},
        {{5, 1, 2, 1, 5, 0}, "tokens24: order[3] is row 1 once more"},
    };
    wn_tensor x = make2(WN_DTYPE_F32, 6, 3), y = make2(WN_DTYPE_F32, 6, 3);
    fill_normal(&x, 1);
    fill_normal(&y, 2);
    wn_tensor before = converted(&y, WN_DTYPE_F32);
    for (int64_t i = 0; i < LENGTH(cases); i++)
        for (int row = 0; row < 3; row++) {
            wn_status status = tokens(&x, &y, cases[i].order, NULL, row);
            if (status == WN_UNSUPPORTED) continue;
            assert_refused(status, cases[i].words);
            assert_bits(&y, &before);
        }
    free(x.data);
    free(y.data);
    free(before.data);
}

// ---- the activation network worked out by hand

static void product(const wn_tensor *a, const wn_tensor *b, const wn_tensor *c) {
    const wn__matmul args = {.a = *a, .b = *b, .c = *c};
    assert_ok(run_best(WN__OP_matmul, &args, NULL));
}

// X [4,2], W1 [4,2], W2 [2,4]: y = relu2(X W1^T), 2:4 along features, Y3 = y W2^T and backwards
// with the forward mask: everything small whole numbers, so exact.
static void test_network(void **state) {
    (void)state;
    const double x_[8] = {1, 2, 2, -1, -1, 1, 3, 0}, w1_[8] = {1, 0, 0, 1, 1, 1, 1, -1};
    const double w2_[8] = {1, 0, 2, 1, 0, 1, -1, 1}, dy3_[8] = {1, 0, 0, 1, 1, 1, 1, -1};
    const double y2s[16] = {0, 4, 9, 0, 4, 0, 0, 9, 0, 1, 0, 0, 9, 0, 9, 0};
    const double y3_[8] = {18, -5, 13, 9, 0, 1, 27, -9};
    const double dy1_[16] = {0, 0, 12, 0, 0, 0, 0, 6, 0, 2, 0, 0, 6, 0, 18, 0};
    const double ste[16] = {2, 0, 12, 0, 0, 0, -2, 6, 0, 2, 0, 0, 6, 0, 18, 0};
    const double dx_[8] = {12, 12, 6, -6, 0, 2, 24, 18};
    const double dw1_[8] = {18, 0, -2, 2, 66, 24, 12, -6};
    const double dw2_[8] = {9, 5, 18, 0, -5, 1, -9, 9};
    for (int d = 0; d < 2; d++) {
        wn_dtype t = all_floats[d];
        wn_tensor x = from2(t, 4, 2, x_), w1 = from2(t, 4, 2, w1_), w2 = from2(t, 2, 4, w2_);
        wn_tensor dy3 = from2(t, 4, 2, dy3_), y1 = make2(t, 4, 4), y2 = make2(t, 4, 4);
        wn_tensor y3 = make2(t, 4, 2), dy2 = make2(t, 4, 4), dy1 = make2(t, 4, 4);
        wn_tensor dx = make2(t, 4, 2), dw1 = make2(t, 4, 2), dw2 = make2(t, 2, 4);
        wn_tensor mask = make2(WN_DTYPE_U8, 4, 1), again = make2(WN_DTYPE_U8, 4, 1);
        wn_tensor w1t = wn__tensor_transpose(&w1), w2t = wn__tensor_transpose(&w2);
        product(&x, &w1t, &y1);
        const wn__relu2 square = {y1, y2};
        const wn__mask24 choose = {y2, mask, WN_MASK24_ROW};
        const wn__apply24 prune = {.x = y2, .y = y2, .mask = mask};
        assert_ok(run_best(WN__OP_relu2, &square, NULL));
        assert_ok(run_best(WN__OP_mask24, &choose, NULL));
        assert_ok(run_best(WN__OP_apply24, &prune, NULL));
        assert_all_near(&y2, y2s, 0);
        product(&y2, &w2t, &y3);
        assert_all_near(&y3, y3_, 0);
        product(&dy3, &w2, &dy2);
        const wn__relu2_grad slope = {y1, dy2, dy1};
        const wn__apply24 masked = {.x = dy1, .y = dy1, .mask = mask};
        assert_ok(run_best(WN__OP_relu2_grad, &slope, NULL));
        assert_all_near(&dy1, ste, 0);
        assert_ok(run_best(WN__OP_apply24, &masked, NULL));
        assert_all_near(&dy1, dy1_, 0);
        // Behind the forward mask nothing more is lost: the largest two are all there is.
        const wn__mask24 rechoose = {dy1, again, WN_MASK24_ROW};
        const wn__apply24 repruned = {.x = dy1, .y = dy1, .mask = again};
        assert_ok(run_best(WN__OP_mask24, &rechoose, NULL));
        assert_ok(run_best(WN__OP_apply24, &repruned, NULL));
        assert_all_near(&dy1, dy1_, 0);
        wn_tensor dy1t = wn__tensor_transpose(&dy1), dy3t = wn__tensor_transpose(&dy3);
        product(&dy1, &w1, &dx);
        product(&dy1t, &x, &dw1);
        product(&dy3t, &y2, &dw2);
        assert_all_near(&dx, dx_, 0);
        assert_all_near(&dw1, dw1_, 0);
        assert_all_near(&dw2, dw2_, 0);
        // Marked columns are exact, the others 2:4 along tokens: of column 2 (12, 0, 0, 18) nothing
        // is lost, nor of the others here, so the product of pruned gradients is the same.
        const wn__tokens24 split = {.x = dy1, .y = dy1};
        assert_ok(run_best(WN__OP_tokens24, &split, NULL));
        assert_all_near(&dy1, dy1_, 0);
        wn_tensor *used[] = {&x,   &w1,  &w2, &dy3, &y1,  &y2,   &y3,
                             &dy2, &dy1, &dx, &dw1, &dw2, &mask, &again};
        for (int64_t i = 0; i < LENGTH(used); i++)
            free(used[i]->data);
    }
}

// ---- what 2:4 loses

// Of n groups of four entries, each non-zero with probability p, the share of the non-zeros that
// are dropped: expected E max(nnz - 2, 0) / 4p; z = 3 deviations of the count dropped.
static double expected_loss(double p) {
    double q = 1 - p;
    return (4 * p * p * p * q + 2 * p * p * p * p) / (4 * p);
}

static int64_t nonzeros(const wn_tensor *t) {
    int64_t count = 0;
    for (int64_t i = 0; i < wn__tensor_count(t); i++)
        count += ((const float *)t->data)[i] != 0;
    return count;
}

static void check_loss(double kept, double all, double p, double groups) {
    double q = 1 - p, once = 4 * p * p * p * q, twice = p * p * p * p;
    double mean = once + 2 * twice, variance = once + 4 * twice - mean * mean;
    assert_near(all - kept, groups * mean, 3 * sqrt(groups * variance));
    assert_near((all - kept) / all, expected_loss(p), 4 * sqrt(groups * variance) / all);
}

static void test_loss_by_sparsity(void **state) {
    (void)state;
    enum { N = 400, C = 1000 };
    static const struct {
        double zeros, loss; // in percent
    } stated[] = {{50, 18.75}, {75, 5.5}, {84, 2.4}, {90, 0.95}, {95, 0.24}, {98, 0.04}};
    wn_tensor x = make2(WN_DTYPE_F32, N, C), y = make2(WN_DTYPE_F32, N, C);
    wn_tensor mask = make2(WN_DTYPE_U8, N, C / 4);
    for (int64_t s = 0; s < LENGTH(stated); s++) {
        double p = 1 - stated[s].zeros / 100;
        assert_near(expected_loss(p) * 100, stated[s].loss, stated[s].loss < 1 ? 0.006 : 0.06);
        for (int64_t i = 0; i < N * C; i++) {
            uint32_t word[4];
            wn__philox_draw((uint64_t)s, WN_STREAM_TEST, (uint64_t)i, word);
            ((float *)x.data)[i] = word[0] < p * 0x1p32 ? 0.5F + wn__philox_uniform(word[1]) : 0;
        }
        const wn__mask24 choose = {x, mask, WN_MASK24_ROW};
        const wn__apply24 rows = {.x = x, .y = y, .mask = mask};
        assert_ok(run_best(WN__OP_mask24, &choose, NULL));
        assert_ok(run_best(WN__OP_apply24, &rows, NULL));
        check_loss((double)nonzeros(&y), (double)nonzeros(&x), p, N * C / 4);
        assert_ok(tokens(&x, &y, NULL, NULL, 0));
        check_loss((double)nonzeros(&y), (double)nonzeros(&x), p, N * C / 4);
    }
    free(x.data);
    free(y.data);
    free(mask.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relu),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_tokens_against_sorting),
        cmocka_unit_test(test_tokens_properties),
        cmocka_unit_test(test_tokens_ties),
        cmocka_unit_test(test_orders_are_checked),
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_loss_by_sparsity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
