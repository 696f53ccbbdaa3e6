// SPDX-License-Identifier: MIT
// The products of gradients that are half zeros, from dense matrices to results: what is pruned,
// packed or listed and multiplied by the ops is multiplied here in plain loops over the matrices as
// they were, with nothing of the packed forms. Whole numbers make every sum exact. Every variant of
// every op, and several numbers of threads.
#include "base/cpu.h"
#include "base/fail.h"
#include "kernels/columns24.h"
#include "kernels/mask24.h"
#include "kernels/pack24.h"
#include "kernels/pack24_tokens.h"
#include "kernels/sddmm24.h"
#include "kernels/soft24.h"
#include "kernels/spmm24_rows.h"
#include "variants.h"

static double at2(const wn_tensor *t, int64_t i, int64_t j) {
    return wn__get(t, wn__at(t, i, j));
}

static void run_threads(const wn__kernel *k, const void *args, int threads) {
    wn__pool *pool = NULL;
    if (threads > 1) assert_ok(wn__pool_create(threads, &pool));
    assert_ok(run_row(k, args, pool));
    wn__pool_free(pool);
}

// ---- dW = S^T x

// S [T, n] with two of each four tokens (in that order) of a column, and everything of column 1.
typedef struct gradient {
    wn_tensor s, order, dense;
} gradient;

static gradient sparse_gradient(int64_t T, int64_t n, bool special) {
    gradient g = {.s = make2(WN_DTYPE_F32, T, n)};
    if (special) {
        g.order = make1(WN_DTYPE_I32, T);
        g.dense = make1(WN_DTYPE_U8, n);
        ((uint8_t *)g.dense.data)[1] = ((uint8_t *)g.dense.data)[n - 1] = 1;
    }
    fill_whole(&g.s, 3, 1);
    for (int64_t i = 0; i < T; i++) { // every other place, from the last token to the first
        int64_t row = special ? T - 1 - i : i;
        if (special) ((int32_t *)g.order.data)[i] = (int32_t)row;
        for (int64_t j = 0; j < n; j++)
            if ((i + j) % 2 && !(special && (j == 1 || j == n - 1)))
                wn__set(&g.s, wn__at(&g.s, row, j), 0);
    }
    return g;
}

static void free_gradient(gradient *g) {
    free(g->s.data);
    free(g->order.data);
    free(g->dense.data);
}

static void expect_gradient(const gradient *g, const wn_tensor *x, const wn_tensor *c, double old) {
    for (int64_t i = 0; i < c->shape[0]; i++)
        for (int64_t j = 0; j < c->shape[1]; j++) {
            double sum = old;
            for (int64_t t = 0; t < x->shape[0]; t++)
                sum += at2(&g->s, t, i) * at2(x, t, j);
            if (at2(c, i, j) != sum)
                fail_msg("[%lld, %lld] is %g, expected %g", (long long)i, (long long)j,
                         at2(c, i, j), sum);
        }
}

static void check_weight_gradient(int64_t T, int64_t n, int64_t m, bool special, bool transposed) {
    gradient g = sparse_gradient(T, n, special);
    int64_t groups = (T + 3) / 4, extra = special ? 2 : 0;
    wn_tensor x = make2(WN_DTYPE_F32, T, m), values = make2(WN_DTYPE_F32, n + extra, 2 * groups);
    wn_tensor index = make2(WN_DTYPE_U8, n + extra, (groups + 1) / 2), list = {0};
    wn_tensor c = transposed ? make2(WN_DTYPE_F32, m, n) : make2(WN_DTYPE_F32, n, m);
    wn_tensor seen = transposed ? wn__tensor_transpose(&c) : c;
    if (special) list = make1(WN_DTYPE_I32, extra);
    fill_whole(&x, 4, 2);
    const wn__pack24_tokens pack = {.x = g.s,
                                    .order = g.order,
                                    .dense = g.dense,
                                    .values = values,
                                    .index = index,
                                    .extra = list};
    const wn__spmm24_rows multiply = {.b = x,
                                      .values = values,
                                      .index = index,
                                      .order = g.order,
                                      .extra = list,
                                      .c = seen,
                                      .accumulate = true};
    const wn__kernel *k;
    for (int v = 0; (k = variant(WN__OP_pack24_tokens, &pack, v)) != NULL; v++) {
        memset(values.data, 0xFF, wn__tensor_bytes(&values));
        run_threads(k, &pack, 1 + 2 * v);
        for (int w = 0; (k = variant(WN__OP_spmm24_rows, &multiply, w)) != NULL; w++)
            for (int threads = 1; threads < 5; threads += 3) {
                for (int64_t i = 0; i < n * m; i++)
                    ((float *)c.data)[i] = 5;
                run_threads(k, &multiply, threads);
                expect_gradient(&g, &x, &seen, 5);
            }
    }
    free_gradient(&g);
    free(x.data);
    free(values.data);
    free(index.data);
    free(list.data);
    free(c.data);
}

static void weight_gradient(void **state) {
    (void)state;
    for (int special = 0; special < 2; special++)
        for (int transposed = 0; transposed < 2; transposed++) {
            check_weight_gradient(1, 5, 3, special, transposed);
            check_weight_gradient(66, 70, 100, special, transposed);
            check_weight_gradient(135, 9, 261, special, transposed);
            check_weight_gradient(270, 33, 31, special, transposed);
        }
}

// The mean of many draws is the dense gradient: pruning, packing and the product are unbiased.
static void drawn_gradient_is_unbiased(void **state) {
    (void)state;
    enum { T = 12, N = 3, M = 2, DRAWS = 4000 };
    wn_tensor dy = make2(WN_DTYPE_F32, T, N), s = make2(WN_DTYPE_F32, T, N);
    wn_tensor x = make2(WN_DTYPE_F32, T, M), c = make2(WN_DTYPE_F32, N, M);
    wn_tensor values = make2(WN_DTYPE_F32, N, 6), index = make2(WN_DTYPE_U8, N, 2);
    double sum[N * M] = {0}, square[N * M] = {0};
    fill_normal(&dy, 3);
    fill_normal(&x, 4);
    for (int d = 0; d < DRAWS; d++) {
        const wn__mvue24 draw = {.x = dy, .y = s, .axis = 0, .group = 4, .counter = (uint64_t)d};
        const wn__pack24_tokens pack = {.x = s, .values = values, .index = index};
        const wn__spmm24_rows product = {.b = x, .values = values, .index = index, .c = c};
        assert_ok(run_best(WN__OP_mvue24, &draw, NULL));
        assert_ok(run_best(WN__OP_pack24_tokens, &pack, NULL));
        assert_ok(run_best(WN__OP_spmm24_rows, &product, NULL));
        for (int i = 0; i < N * M; i++) {
            sum[i] += wn__get(&c, i);
            square[i] += wn__get(&c, i) * wn__get(&c, i);
        }
    }
    for (int64_t i = 0; i < N * M; i++) {
        double want = 0, mean = sum[i] / DRAWS, variance = square[i] / DRAWS - mean * mean;
        for (int64_t t = 0; t < T; t++)
            want += at2(&dy, t, i / M) * at2(&x, t, i % M);
        assert_true(fabs(mean - want) <= 6 * sqrt(variance / DRAWS) + 1e-6);
    }
    free(dy.data);
    free(s.data);
    free(x.data);
    free(c.data);
    free(values.data);
    free(index.data);
}

// ---- dW at kept places

// The sum over tokens at [o, j], in whole numbers.
static double whole_product(const wn_tensor *dy, const wn_tensor *x, int64_t o, int64_t j) {
    double sum = 0;
    for (int64_t t = 0; t < x->shape[0]; t++)
        sum += at2(dy, t, o) * at2(x, t, j);
    return sum;
}

static void check_kept_gradient(int64_t T, int64_t n, int64_t k) {
    int64_t groups = (k + 3) / 4;
    wn_tensor dy = make2(WN_DTYPE_F32, T, n + 3), x = make2(WN_DTYPE_F32, T, k + 1);
    wn_tensor w = make2(WN_DTYPE_F32, n, k), mask = make2(WN_DTYPE_U8, n, groups);
    wn_tensor values = make2(WN_DTYPE_F32, n, 2 * groups), dw = make2(WN_DTYPE_F32, n, k),
              index = make2(WN_DTYPE_U8, n, (groups + 1) / 2);
    fill_whole(&dy, 3, 1);
    fill_whole(&x, 4, 2);
    fill_normal(&w, 3);
    dy.shape[1] = n; // rows longer than they are wide
    x.shape[1] = k;
    const wn__mask24 choose = {.w = w, .mask = mask, .method = WN_MASK24_ROW};
    const wn__pack24 pack = {.w = w, .mask = mask, .values = values, .index = index};
    const wn__sddmm24 multiply = {
        .dy = dy, .x = x, .index = index, .v = values, .accumulate = true};
    const wn__unpack24 unpack = {.values = values, .index = index, .w = dw};
    const wn__kernel *kernel;
    assert_ok(run_best(WN__OP_mask24, &choose, NULL));
    for (int v = 0; (kernel = variant(WN__OP_sddmm24, &multiply, v)) != NULL; v++)
        for (int threads = 1; threads < 5; threads += 3) {
            assert_ok(run_best(WN__OP_pack24, &pack, NULL));
            for (int64_t i = 0; i < n * 2 * groups; i++)
                ((float *)values.data)[i] = ((float *)values.data)[i] != 0 ? 5 : 0;
            run_threads(kernel, &multiply, threads);
            assert_ok(run_best(WN__OP_unpack24, &unpack, NULL));
            for (int64_t o = 0; o < n; o++)
                for (int64_t j = 0; j < k; j++) {
                    bool kept = ((uint8_t *)mask.data)[o * groups + j / 4] >> (j % 4) & 1;
                    double want = kept ? 5 + whole_product(&dy, &x, o, j) : 0;
                    if (at2(&dw, o, j) != want)
                        fail_msg("%s, [%lld, %lld] is %g, expected %g", kernel->name, (long long)o,
                                 (long long)j, at2(&dw, o, j), want);
                }
        }
    free(dy.data);
    free(x.data);
    free(w.data);
    free(mask.data);
    free(values.data);
    free(index.data);
    free(dw.data);
}

static void kept_gradient(void **state) {
    (void)state;
    check_kept_gradient(1, 1, 2);
    check_kept_gradient(9, 5, 31);
    check_kept_gradient(40, 150, 66);
    check_kept_gradient(700, 33, 131);
    check_kept_gradient(1100, 9, 64);
}

// An infinite gradient makes no NaN of slots that stand for columns beyond the matrix.
static void kept_gradient_keeps_padding_zero(void **state) {
    (void)state;
    enum { T = 3, N = 2, K = 17 }; // the last group has one column, and its other slot none
    wn_tensor dy = make2(WN_DTYPE_F32, T, N), x = make2(WN_DTYPE_F32, T, K);
    wn_tensor index = make2(WN_DTYPE_U8, N, 3), v = make2(WN_DTYPE_F32, N, 10);
    for (int64_t i = 0; i < T * N; i++)
        wn__set(&dy, i, INFINITY);
    for (int64_t i = 0; i < T * K; i++)
        wn__set(&x, i, 1);
    static const uint8_t row[3] = {0x44, 0xE9, 0xEC}; // 0,1 0,1 | 1,2 2,3 | 0,3
    for (int o = 0; o < N; o++)
        memcpy((uint8_t *)index.data + 3 * o, row, 3);
    const wn__sddmm24 multiply = {.dy = dy, .x = x, .index = index, .v = v};
    const wn__kernel *kernel;
    for (int i = 0; (kernel = variant(WN__OP_sddmm24, &multiply, i)) != NULL; i++) {
        assert_ok(run_row(kernel, &multiply, NULL));
        for (int64_t o = 0; o < N; o++)
            for (int64_t s = 0; s < 10; s++)
                assert_true(at2(&v, o, s) == (s == 9 ? 0 : (double)INFINITY));
    }
    free(dy.data);
    free(x.data);
    free(index.data);
    free(v.data);
}

// ---- dx = dy W

static void check_input_gradient(int64_t T, int64_t r, int64_t c) {
    int64_t groups = (c + 3) / 4, slices = wn__columns24_slices(r), room = wn__columns24_room(r, c);
    wn_tensor w = make2(WN_DTYPE_F32, r, c), mask = make2(WN_DTYPE_U8, r, groups);
    wn_tensor dy = make2(WN_DTYPE_F32, T, r), dx = make2(WN_DTYPE_F32, T, c);
    wn_tensor start = make2(WN_DTYPE_I32, slices, c + 1),
              values = make2(WN_DTYPE_F32, slices, room), row = make2(WN_DTYPE_U8, slices, room);
    fill_whole(&w, 4, 5);
    fill_whole(&dy, 4, 6);
    const wn__mask24 choose = {.w = w, .mask = mask, .method = WN_MASK24_ROW};
    const wn__columns24 list = {.w = w, .mask = mask, .start = start, .values = values, .row = row};
    const wn__spmm24_columns multiply = {
        .x = dy, .start = start, .values = values, .row = row, .y = dx, .accumulate = true};
    assert_ok(run_best(WN__OP_mask24, &choose, NULL));
    const wn__kernel *k;
    for (int v = 0; (k = variant(WN__OP_columns24, &list, v)) != NULL; v++) {
        run_threads(k, &list, 1 + 2 * v);
        for (int u = 0; (k = variant(WN__OP_spmm24_columns, &multiply, u)) != NULL; u++)
            for (int threads = 1; threads < 5; threads += 3) {
                for (int64_t i = 0; i < T * c; i++)
                    ((float *)dx.data)[i] = -2;
                run_threads(k, &multiply, threads);
                for (int64_t t = 0; t < T; t++)
                    for (int64_t j = 0; j < c; j++) {
                        double sum = -2;
                        for (int64_t i = 0; i < r; i++)
                            if (((uint8_t *)mask.data)[i * groups + j / 4] >> (j % 4) & 1)
                                sum += at2(&dy, t, i) * at2(&w, i, j);
                        assert_true(at2(&dx, t, j) == sum);
                    }
            }
    }
    free(w.data);
    free(mask.data);
    free(dy.data);
    free(dx.data);
    free(start.data);
    free(values.data);
    free(row.data);
}

static void input_gradient(void **state) {
    (void)state;
    check_input_gradient(1, 3, 5);
    check_input_gradient(70, 66, 65);
    check_input_gradient(121, 200, 30);
    check_input_gradient(300, 129, 131);
}

// More lists than pairs of bfloat16 numbers are made of at a time, for so many tokens that all
// tiles share them on any number of threads; every fourth list of a slice has one number.
static void lists_in_parts(void **state) {
    (void)state;
    enum { T = 520, SLICES = 260, R = 64 * SLICES, C = 1000 };
    int64_t room = wn__columns24_room(R, C);
    wn_tensor dy = make2(WN_DTYPE_BF16, T, R), dx = make2(WN_DTYPE_F32, T, C);
    wn_tensor start = make2(WN_DTYPE_I32, SLICES, C + 1),
              values = make2(WN_DTYPE_BF16, SLICES, room), row = make2(WN_DTYPE_U8, SLICES, room);
    static double expected[T][C];
    fill_whole(&dy, 4, 6);
    for (int64_t s = 0; s < SLICES; s++) {
        int32_t count = 0;
        for (int64_t j = 0; j <= C; j++) {
            int64_t kept = (5 * s + 3 * j) % 64, value = (s + j) % 7 - 3;
            ((int32_t *)start.data)[s * (C + 1) + j] = count;
            if (j == C || (s + j) % 4 != 0) continue;
            wn__set(&values, wn__at(&values, s, count), (double)value);
            ((uint8_t *)row.data)[s * room + count++] = (uint8_t)kept;
            for (int64_t t = 0; t < T; t++)
                expected[t][j] += (double)value * at2(&dy, t, 64 * s + kept);
        }
    }
    const wn__spmm24_columns multiply = {
        .x = dy, .start = start, .values = values, .row = row, .y = dx};
    const wn__kernel *k;
    for (int v = 0; (k = variant(WN__OP_spmm24_columns, &multiply, v)) != NULL; v++)
        for (int threads = 1; threads < 5; threads += 3) {
            memset(dx.data, 0xff, T * C * sizeof(float));
            run_threads(k, &multiply, threads);
            for (int64_t t = 0; t < T; t++)
                for (int64_t j = 0; j < C; j++)
                    assert_true(at2(&dx, t, j) == expected[t][j]);
        }
    free(dy.data);
    free(dx.data);
    free(start.data);
    free(values.data);
    free(row.data);
}

// Processors cut a product at kept places in one of two ways: there is a row of the table for that
// of this machine and one for the other, so that the harness runs both anywhere.
static void both_cuts_are_checked(void **state) {
    (void)state;
    enum { T = 1100, N = 8, K = 16 };
    const wn__sddmm24 p = {.dy = wn__tensor2(NULL, WN_DTYPE_F32, T, N),
                           .x = wn__tensor2(NULL, WN_DTYPE_F32, T, K),
                           .index = wn__tensor2(NULL, WN_DTYPE_U8, N, K / 8),
                           .v = wn__tensor2(NULL, WN_DTYPE_F32, N, K / 2)};
    const wn__kernel *k, *own = NULL, *other = NULL;
    for (int i = 0; (k = variant(WN__OP_sddmm24, &p, i)) != NULL; i++) {
        if (strcmp(k->variant, "avx512") == 0) own = k;
        if (strcmp(k->variant, "avx512_cut") == 0) other = k;
    }
    if ((wn__cpu_flags() & WN_CPU_AVX512) == 0) skip();
    assert_non_null(own);
    assert_non_null(other);
    assert_int_equal(other->rank, WN__CHECKED_ONLY);
    const size_t one = own->workspace(&p, 1), two = other->workspace(&p, 1);
    assert_true(one != two); // parts of 256 tokens or of 1024
    const bool split = (wn__cpu_flags() & WN_CPU_AVX512SPLIT) != 0;
    assert_int_equal(split, one < two);
}

// One column keeps everything, its neighbours next to nothing.
static void uneven_columns(void **state) {
    (void)state;
    enum { R = 65, C = 4 };
    wn_tensor w = make2(WN_DTYPE_F64, R, C), mask = make2(WN_DTYPE_U8, R, 1);
    int64_t room = wn__columns24_room(R, C);
    wn_tensor start = make2(WN_DTYPE_I32, 2, C + 1), values = make2(WN_DTYPE_F64, 2, room),
              row = make2(WN_DTYPE_U8, 2, room);
    fill_normal(&w, 9);
    memset(mask.data, 4, R);
    ((uint8_t *)mask.data)[64] = 5;
    const wn__columns24 list = {.w = w, .mask = mask, .start = start, .values = values, .row = row};
    assert_ok(run_best(WN__OP_columns24, &list, NULL));
    static const int32_t expected[2][C + 1] = {{0, 0, 0, 64, 64}, {0, 1, 1, 2, 2}};
    assert_memory_equal(start.data, expected, sizeof expected);
    assert_int_equal(((uint8_t *)row.data)[63], 63);
    assert_true(((double *)values.data)[room + 1] == at2(&w, 64, 2));
    ((uint8_t *)mask.data)[7] = 0xB;
    assert_refused(run_best(WN__OP_columns24, &list, NULL), "row 7, group 0 keeps 3 of 4");
    free(w.data);
    free(mask.data);
    free(start.data);
    free(values.data);
    free(row.data);
}

// ---- what is refused

static void refuses_bad_orders_and_marks(void **state) {
    (void)state;
    gradient g = sparse_gradient(8, 6, true);
    wn_tensor values = make2(WN_DTYPE_F32, 8, 4), index = make2(WN_DTYPE_U8, 8, 1);
    wn_tensor list = make1(WN_DTYPE_I32, 2), x = make2(WN_DTYPE_F32, 8, 3),
              c = make2(WN_DTYPE_F32, 6, 3);
    const wn__pack24_tokens pack = {.x = g.s,
                                    .order = g.order,
                                    .dense = g.dense,
                                    .values = values,
                                    .index = index,
                                    .extra = list};
    const wn__spmm24_rows multiply = {
        .b = x, .values = values, .index = index, .order = g.order, .extra = list, .c = c};
    ((uint8_t *)g.dense.data)[3] = 1;
    assert_refused(run_best(WN__OP_pack24_tokens, &pack, NULL), "3 columns are marked, room for 2");
    ((uint8_t *)g.dense.data)[3] = 0;
    assert_ok(run_best(WN__OP_pack24_tokens, &pack, NULL));
    assert_int_equal(((int32_t *)list.data)[1], 5);
    ((int32_t *)list.data)[1] = 6;
    assert_refused(run_best(WN__OP_spmm24_rows, &multiply, NULL), "extra[1] is 6");
    ((int32_t *)list.data)[1] = 1;
    assert_refused(run_best(WN__OP_spmm24_rows, &multiply, NULL), "more than 1 and less than 6");
    ((int32_t *)g.order.data)[4] = 8;
    assert_refused(run_best(WN__OP_pack24_tokens, &pack, NULL), "order[4] is 8, 0 to 7 expected");
    free_gradient(&g);
    free(values.data);
    free(index.data);
    free(list.data);
    free(x.data);
    free(c.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weight_gradient),
        cmocka_unit_test(drawn_gradient_is_unbiased),
        cmocka_unit_test(kept_gradient),
        cmocka_unit_test(kept_gradient_keeps_padding_zero),
        cmocka_unit_test(input_gradient),
        cmocka_unit_test(lists_in_parts),
        cmocka_unit_test(uneven_columns),
        cmocka_unit_test(both_cuts_are_checked),
        cmocka_unit_test(refuses_bad_orders_and_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
