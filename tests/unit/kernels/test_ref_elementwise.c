// SPDX-License-Identifier: MIT
// add, fill, copy, normal, the reductions and adamw of the reference: exact results where they are
// exact, moments of the draws, and AdamW against PyTorch and a recomputation in long double.
#include "kernels/adamw.h"
#include "kernels/elementwise.h"
#include "kernels/reduce.h"
#include "ref_test.h"

static void free_all(wn_tensor **list, int n) {
    for (int i = 0; i < n; i++)
        free(list[i]->data);
}

static void test_add_and_fill(void **state) {
    (void)state;
    const double av[4] = {1, -2, 0.5, INFINITY}, bv[4] = {3, 2, -0.75, 1},
                 sum[4] = {4, 0, -0.25, INFINITY};
    for (int d = 0; d < 4; d++) {
        wn_tensor a = from1(all_floats[d], 4, av), b = from1(all_floats[d], 4, bv),
                  c = make1(all_floats[d], 4);
        wn__exec x = one_thread();
        const wn__add apart = {a, b, c}, over_a = {a, b, a}, over_b = {c, b, b};
        assert_ok(wn__add_ref(&apart, &x));
        assert_ok(wn__add_ref(&over_a, &x));
        for (int i = 0; i < 4; i++)
            assert_true(wn__get(&c, i) == sum[i] && wn__get(&a, i) == sum[i]);
        assert_ok(wn__add_ref(&over_b, &x));
        for (int i = 0; i < 4; i++)
            assert_true(wn__get(&b, i) == sum[i] + bv[i]);
        const wn__fill fill = {c, 1.0 / 3};
        assert_ok(wn__fill_ref(&fill, &x));
        for (int i = 0; i < 4; i++)
            assert_near(wn__get(&c, i), 1.0 / 3, roundoff_of(all_floats[d]) / 3);
        wn_tensor *all[3] = {&a, &b, &c};
        free_all(all, 3);
    }
    // F64 stays F64 on the way.
    double fine = 1 + 0x1p-52;
    wn_tensor one = wn__tensor1(&fine, WN_DTYPE_F64, 1);
    wn__exec x = one_thread();
    const wn__add twice = {one, one, one};
    assert_ok(wn__add_ref(&twice, &x));
    assert_true(fine == 2 + 0x1p-51);
}

static void copy(const wn_tensor *src, const wn_tensor *dst) {
    wn__exec x = one_thread();
    const wn__copy args = {*src, *dst};
    assert_ok(wn__copy_ref(&args, &x));
}

// Rounding to nearest even straight from F64: each value with the nearest of each type.
static void test_copy_rounds(void **state) {
    (void)state;
    static const struct {
        double from, f32, bf16, f16;
    } cases[] = {
        {1 + 0x1p-8, 1 + 0x1p-8, 1, 1 + 0x1p-8}, // a tie in BF16
        {1 + 0x1p-8 + 0x1p-50, 1 + 0x1p-8, 1 + 0x1p-7,
         1 + 0x1p-8}, // just above: F32 in between would lose it
        {1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-11, 1, 1 + 0x1p-10}, // the same for F16
        {1 + 0x3p-11, 1 + 0x3p-11, 1, 1 + 0x1p-9},            // a tie to even, upwards
        {65520, 65520, 65536, INFINITY},                      // F16 overflows at half an ulp above
        {65519, 65519, 65536, 65504},
        {1e39, INFINITY, INFINITY, INFINITY},
        {0x1p-25, 0x1p-25, 0x1p-25, 0}, // a tie with zero in F16
        {0x1.8p-25, 0x1.8p-25, 0x1.8p-25, 0x1p-24},
        {-0.0, -0.0, -0.0, -0.0},
    };
    for (int64_t i = 0; i < LENGTH(cases); i++) {
        const double expected[4] = {cases[i].from, cases[i].f32, cases[i].bf16, cases[i].f16};
        wn_tensor from = from1(WN_DTYPE_F64, 1, &cases[i].from);
        for (int d = 0; d < 4; d++) {
            wn_tensor to = make1(all_floats[d], 1), back = make1(WN_DTYPE_F64, 1);
            copy(&from, &to);
            copy(&to, &back);
            double found = wn__get(&back, 0);
            assert_true(found == expected[d] && !signbit(found) == !signbit(expected[d]));
            wn_tensor *all[2] = {&to, &back};
            free_all(all, 2);
        }
        free(from.data);
    }
}

// Every pair of types on values all of them hold, NaN included.
static void test_copy_every_pair(void **state) {
    (void)state;
    const double v[6] = {1, -2.5, 0.0078125, -INFINITY, 240, NAN};
    for (int s = 0; s < 4; s++)
        for (int d = 0; d < 4; d++) {
            wn_tensor from = from1(all_floats[s], 6, v), to = make1(all_floats[d], 6);
            copy(&from, &to);
            for (int i = 0; i < 5; i++)
                assert_true(wn__get(&to, i) == v[i]);
            assert_true(isnan(wn__get(&to, 5)));
            free(from.data);
            free(to.data);
        }
}

// Equal types move bits, NaN payloads and integers included, through any strides.
static void test_copy_strides(void **state) {
    (void)state;
    static const wn_dtype types[] = {WN_DTYPE_F64, WN_DTYPE_F32, WN_DTYPE_F16, WN_DTYPE_I64,
                                     WN_DTYPE_I32, WN_DTYPE_I16, WN_DTYPE_U8};
    for (int64_t n = 0; n < LENGTH(types); n++) {
        size_t size = wn_dtype_size(types[n]);
        wn_tensor from = make(types[n], 3, (const int64_t[]){3, 4, 5}),
                  block = make(types[n], 3, (const int64_t[]){5, 3, 7});
        for (size_t i = 0; i < wn__tensor_bytes(&from); i++)
            ((uint8_t *)from.data)[i] = (uint8_t)(251 * i + 13);
        // to[i,j,k] = block[k,i,j]
        wn_tensor to = from;
        to.data = block.data;
        to.stride[0] = 7;
        to.stride[1] = 1;
        to.stride[2] = 21;
        copy(&from, &to);
        for (size_t i = 0; i < 3; i++)
            for (size_t j = 0; j < 4; j++)
                for (size_t k = 0; k < 5; k++)
                    assert_memory_equal((char *)from.data + (20 * i + 5 * j + k) * size,
                                        (char *)block.data + (21 * k + 7 * i + j) * size, size);
        uint8_t zero[8] = {0};
        for (size_t k = 0; k < 15; k++)
            for (size_t j = 4; j < 7; j++)
                assert_memory_equal((char *)block.data + (7 * k + j) * size, zero, size);
        wn_tensor again = make(types[n], 3, from.shape);
        copy(&to, &again);
        assert_bits(&again, &from);
        wn_tensor *all[3] = {&from, &block, &again};
        free_all(all, 3);
    }
    double number = 7, found = 0;
    wn_tensor scalar = wn__tensor(&number, WN_DTYPE_F64, 0, NULL),
              to = wn__tensor(&found, WN_DTYPE_F64, 0, NULL);
    copy(&scalar, &to);
    assert_true(found == 7);
    wn_tensor none = make2(WN_DTYPE_F32, 0, 3);
    copy(&none, &none);
    free(none.data);
}

static wn_tensor draw(wn_dtype dtype, int64_t n, uint64_t seed, uint64_t stream, double mean,
                      double std) {
    wn_tensor t = make1(dtype, n);
    wn__exec x = one_thread();
    const wn__normal args = {t, seed, stream, mean, std};
    assert_ok(wn__normal_ref(&args, &x));
    return t;
}

// Element i is word i%4 of draw i/4, rounded once, whatever the length and shape.
static void test_normal_counters(void **state) {
    (void)state;
    for (int d = 0; d < 4; d++) {
        wn_tensor full = draw(all_floats[d], 1003, 9, 5, 0.25, 0.02),
                  part = draw(all_floats[d], 17, 9, 5, 0.25, 0.02);
        wn_tensor square = make2(all_floats[d], 17, 59), expected = make1(WN_DTYPE_F64, 1003);
        wn__exec x = one_thread();
        const wn__normal args = {square, 9, 5, 0.25, 0.02};
        assert_ok(wn__normal_ref(&args, &x));
        assert_memory_equal(full.data, part.data, wn__tensor_bytes(&part));
        assert_memory_equal(full.data, square.data, wn__tensor_bytes(&square));
        for (int64_t i = 0; i < 1003; i++) {
            float word[4];
            wn__philox_normal(9, 5, (uint64_t)i / 4, word);
            wn__set(&expected, i, 0.25 + 0.02 * (double)word[i % 4]);
        }
        assert_rounded(&full, &expected);
        wn_tensor *all[4] = {&full, &part, &square, &expected};
        free_all(all, 4);
    }
}

// Moments within five standard errors: of the mean 1/sqrt n, the variance sqrt(2/n), the fourth
// moment sqrt(96/n); streams and seeds are uncorrelated.
static void test_normal_moments(void **state) {
    (void)state;
    const int64_t n = 1 << 17;
    double m[5] = {0}, root = sqrt((double)n);
    wn_tensor a = draw(WN_DTYPE_F64, n, 1, 2, 3, 0.5), b = draw(WN_DTYPE_F64, n, 1, 3, 0, 1),
              c = draw(WN_DTYPE_F64, n, 2, 2, 0, 1);
    double cross[2] = {0};
    for (int64_t i = 0; i < n; i++) {
        double z = (wn__get(&a, i) - 3) / 0.5;
        for (int k = 1; k < 5; k++)
            m[k] += pow(z, k) / (double)n;
        cross[0] += z * wn__get(&b, i) / (double)n;
        cross[1] += z * wn__get(&c, i) / (double)n;
    }
    assert_near(m[1], 0, 5 / root);
    assert_near(m[2], 1, 5 * sqrt(2) / root);
    assert_near(m[3], 0, 5 * sqrt(15) / root);
    assert_near(m[4], 3, 5 * sqrt(96) / root);
    assert_near(cross[0], 0, 5 / root);
    assert_near(cross[1], 0, 5 / root);
    wn_tensor *all[3] = {&a, &b, &c};
    free_all(all, 3);
}

static double reduced(wn__kernel_fn *op, const wn_tensor *t) {
    double out = NAN;
    wn__exec x = one_thread();
    const wn__reduce args = {*t, wn__tensor1(&out, WN_DTYPE_F64, 1)};
    assert_ok(op(&args, &x));
    return out;
}

// More than two chunks of whole numbers: exact.
static void test_sums(void **state) {
    (void)state;
    for (int d = 0; d < 4; d++) {
        const int64_t n = 2 * WN_REDUCE_CHUNK + 77;
        wn_tensor t = make1(all_floats[d], n), none = make1(all_floats[d], 0);
        double sum = 0, square = 0;
        for (int64_t i = 0; i < n; i++) {
            double v = (double)(i % 23 - 7);
            wn__set(&t, i, v);
            sum += v;
            square += v * v;
        }
        assert_true(reduced(wn__sum_ref, &t) == sum);
        assert_true(reduced(wn__sumsq_ref, &t) == square);
        assert_true(reduced(wn__sum_ref, &none) == 0);
        assert_true(reduced(wn__sumsq_ref, &none) == 0);
        free(t.data);
        free(none.data);
    }
    float big = 3e30F; // squares to what F32 cannot hold
    wn_tensor one = wn__tensor1(&big, WN_DTYPE_F32, 1);
    assert_true(reduced(wn__sumsq_ref, &one) == (double)big * (double)big);
}

static int64_t first_nonfinite(const wn_tensor *t) {
    int64_t out = -7;
    wn__exec x = one_thread();
    const wn__reduce args = {*t, wn__tensor1(&out, WN_DTYPE_I64, 1)};
    assert_ok(wn__nonfinite_ref(&args, &x));
    return out;
}

static void test_nonfinite(void **state) {
    (void)state;
    for (int d = 0; d < 4; d++) {
        wn_tensor t = make2(all_floats[d], 3, 4), none = make1(all_floats[d], 0);
        fill_normal(&t, 1);
        wn__set(&t, 0, d == 3 ? 65504 : 3e38);
        assert_int_equal(first_nonfinite(&t), -1);
        wn__set(&t, 11, -INFINITY);
        assert_int_equal(first_nonfinite(&t), 11);
        wn__set(&t, 6, NAN);
        assert_int_equal(first_nonfinite(&t), 6);
        assert_int_equal(first_nonfinite(&none), -1);
        free(t.data);
        free(none.data);
    }
}

typedef struct columns {
    wn_tensor x, out, u;
} columns;

static void colsum(const wn_tensor *t, const wn_tensor *out, wn__pool *pool) {
    wn__exec x = {.pool = pool};
    const wn__colsum args = {*t, *out};
    assert_ok(wn__colsum_ref(&args, &x));
}

static double colsum_loss(void *ctx) {
    const columns *p = ctx;
    memset(p->out.data, 0, wn__tensor_bytes(&p->out));
    colsum(&p->x, &p->out, NULL);
    return inner(&p->out, &p->u);
}

// Adds to what is there; exact on whole numbers; the gradient repeats u in each row.
static void test_colsum(void **state) {
    (void)state;
    for (int d = 0; d < 4; d++) {
        wn_tensor t = make2(all_floats[d], 9, 37), one = make1(all_floats[d], 37),
                  many = make1(all_floats[d], 37);
        fill_whole(&t, 5, 1);
        fill_whole(&one, 5, 2);
        fill_whole(&many, 5, 2);
        wn_tensor before = converted(&one, WN_DTYPE_F64);
        wn__pool *pool = NULL;
        assert_ok(wn__pool_create(3, &pool));
        colsum(&t, &one, NULL);
        colsum(&t, &many, pool);
        wn__pool_free(pool);
        assert_bits(&one, &many);
        for (int64_t c = 0; c < 37; c++) {
            double sum = wn__get(&before, c);
            for (int64_t n = 0; n < 9; n++)
                sum += wn__get(&t, 37 * n + c);
            assert_true(wn__get(&one, c) == sum);
        }
        wn_tensor *all[4] = {&t, &one, &many, &before};
        free_all(all, 4);
    }
    columns p = {make2(WN_DTYPE_F64, 4, 3), make1(WN_DTYPE_F64, 3), make1(WN_DTYPE_F64, 3)};
    fill_for_gradient(&p.x, 3);
    fill_for_gradient(&p.u, 4);
    wn_tensor dx = make2(WN_DTYPE_F64, 4, 3);
    for (int64_t i = 0; i < 12; i++)
        wn__set(&dx, i, wn__get(&p.u, i % 3));
    check_gradient("colsum x", colsum_loss, &p, &p.x, &dx, 0x1p-53 * 12 * 9 * 16);
    wn_tensor *all[4] = {&p.x, &p.out, &p.u, &dx};
    free_all(all, 4);
}

static void adamw(const wn__adamw *args) {
    wn__exec x = one_thread();
    assert_ok(wn__adamw_ref(args, &x));
}

// torch.optim.AdamW, lr .01, betas .9 .95, eps 1e-8, decay .1: w = sin(.8 i + .2), three steps with
// g = sin(.7 step i + .1); 15 digits.
static void test_adamw_torch(void **state) {
    (void)state;
    static const double w[] = {0.168103911614001, 0.809141451772615, 0.952112469324055,
                               0.505401496378111};
    static const double m[] = {0.0270548559112904, 0.228730032539185, 0.0107129398692414,
                               -0.00531180511301489};
    static const double v[] = {0.00142150216769646, 0.103166957765644, 0.0895861183601916,
                               0.0700454848603025};
    wn__adamw p = {make1(WN_DTYPE_F64, 4),
                   make1(WN_DTYPE_F64, 4),
                   make1(WN_DTYPE_F64, 4),
                   make1(WN_DTYPE_F64, 4),
                   0.01,
                   0.9,
                   0.95,
                   1e-8,
                   0.1,
                   2,
                   0};
    for (int64_t i = 0; i < 4; i++)
        wn__set(&p.w, i, sin(0.8 * (double)i + 0.2));
    for (p.step = 1; p.step <= 3; p.step++) {
        for (int64_t i = 0; i < 4; i++) // halved, for grad_scale 2
            wn__set(&p.g, i, sin(0.7 * (double)(p.step * i) + 0.1) / 2);
        adamw(&p);
    }
    assert_all_near(&p.w, w, 6e-15);
    assert_all_near(&p.m, m, 6e-15);
    assert_all_near(&p.v, v, 6e-15);
    wn_tensor *all[4] = {&p.w, &p.m, &p.v, &p.g};
    free_all(all, 4);
}

// One step of one element in long double, from the state as stored.
static void step_exactly(const wn__adamw *p, int64_t i, long double out[3]) {
    long double g = (long double)p->grad_scale * wn__get(&p->g, i), b1 = p->beta1, b2 = p->beta2;
    out[1] = b1 * wn__get(&p->m, i) + (1 - b1) * g;
    out[2] = b2 * wn__get(&p->v, i) + (1 - b2) * g * g;
    long double m_hat = out[1] / (1 - powl(b1, p->step)), v_hat = out[2] / (1 - powl(b2, p->step));
    long double w = wn__get(&p->w, i);
    out[0] = w - (long double)p->lr * p->weight_decay * w - p->lr * m_hat / (sqrtl(v_hat) + p->eps);
}

// In double a power is off by u, so 1 - beta^t by u/(1 - beta) relative: 1000 u for beta2 = .999; a
// step is below 20 lr here, and each state is rounded to its type.
static void test_adamw_steps(void **state) {
    (void)state;
    for (int d = 0; d < 4; d++) {
        const int64_t n = 50;
        double u = 0x1p-53, stored = roundoff_of(all_floats[d]);
        wn__adamw p = {make1(all_floats[d], n),
                       make1(all_floats[d], n),
                       make1(all_floats[d], n),
                       make1(all_floats[d], n),
                       0.003,
                       0.9,
                       0.999,
                       1e-8,
                       0.1,
                       0.125,
                       0};
        fill_normal(&p.w, 1);
        for (p.step = 1; p.step <= 6; p.step++) {
            fill_normal(&p.g, 10 + (uint64_t)p.step);
            long double expected[50][3];
            for (int64_t i = 0; i < n; i++)
                step_exactly(&p, i, expected[i]);
            adamw(&p);
            const wn_tensor *found[3] = {&p.w, &p.m, &p.v};
            for (int64_t i = 0; i < n; i++)
                for (int k = 0; k < 3; k++) {
                    double e = (double)expected[i][k],
                           tiny = all_floats[d] == WN_DTYPE_F16 ? 0x1p-25 : 0;
                    double bound =
                        (stored + 8 * u) * fabs(e) + tiny + (k == 0 ? 20 * p.lr * 2000 * u : 8 * u);
                    assert_near(wn__get(found[k], i), e, bound);
                }
        }
        wn_tensor *all[4] = {&p.w, &p.m, &p.v, &p.g};
        free_all(all, 4);
    }
}

// No gradient and no moments: only the decay. A gradient of one sign: a step of lr at first.
static void test_adamw_first_step(void **state) {
    (void)state;
    const double w0[2] = {2, 2}, g0[2] = {0, -1e-3};
    wn__adamw p = {from1(WN_DTYPE_F64, 2, w0),
                   make1(WN_DTYPE_F64, 2),
                   make1(WN_DTYPE_F64, 2),
                   from1(WN_DTYPE_F64, 2, g0),
                   0.25,
                   0.9,
                   0.999,
                   0,
                   0.5,
                   1,
                   1};
    wn__set(&p.v, 0, 1e-30); // 0/0 is not what is tested
    adamw(&p);
    assert_near(wn__get(&p.w, 0), 2 * (1 - 0.125), 4 * 0x1p-53);
    assert_near(wn__get(&p.w, 1), 2 * (1 - 0.125) + 0.25, 0.25 * 2000 * 0x1p-53 + 4 * 0x1p-53);
    wn_tensor *all[4] = {&p.w, &p.m, &p.v, &p.g};
    free_all(all, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add_and_fill),
        cmocka_unit_test(test_copy_rounds),
        cmocka_unit_test(test_copy_every_pair),
        cmocka_unit_test(test_copy_strides),
        cmocka_unit_test(test_normal_counters),
        cmocka_unit_test(test_normal_moments),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_nonfinite),
        cmocka_unit_test(test_colsum),
        cmocka_unit_test(test_adamw_torch),
        cmocka_unit_test(test_adamw_steps),
        cmocka_unit_test(test_adamw_first_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
