// SPDX-License-Identifier: MIT
// Updates besides AdamW: sums, the values and the encoding of the dynamic data type, moments in 8
// bits beside those of full size, Adafactor where it has a closed form.
#include "ref_test.h"

#include "kernels/adamw.h"
#include "kernels/registry.h"
#include "kernels/update.h"

static void test_axpby(void **state) {
    (void)state;
    for (int d = 0; d < 4; d++) {
        const double x[] = {1, -2, 0.5}, y[] = {4, 8, -16};
        wn__axpby p = {from1(all_floats[d], 3, x), from1(all_floats[d], 3, y), -2, 0.25};
        wn__exec ex = one_thread();
        assert_ok(wn__axpby_ref(&p, &ex));
        assert_all_near(&p.y, (const double[]){-1, 6, -5}, 0);
        wn__set(&p.y, 1, NAN); // not read
        p.b = 0;
        assert_ok(wn__axpby_ref(&p, &ex));
        assert_all_near(&p.y, (const double[]){-2, 4, -1}, 0);
        free(p.x.data);
        free(p.y.data);
    }
}

// Every value of the formula, in order, beside 0 and 1.
static void check_codes(const float *codes, bool is_signed) {
    static float want[256];
    int n = 0;
    want[n++] = 0;
    want[n++] = 1;
    for (int i = 0; i < 7; i++) {
        int values = 1 << (i + !is_signed);
        for (int j = 0; j < values; j++) {
            long double mean = 0.1L + 0.9L * (long double)(2 * j + 1) / (long double)(2 * values);
            want[n++] = (float)(mean * powl(10, (long double)(i - 6)));
            if (is_signed) want[n++] = (float)(-mean * powl(10, (long double)(i - 6)));
        }
    }
    assert_int_equal(n, 256);
    for (int i = 0; i < 256; i++) {
        int below = 0;
        for (int k = 0; k < 256; k++)
            below += want[k] < codes[i];
        assert_int_equal(below, i); // the i-th of them, and none twice
    }
}

static void test_dynamic_values(void **state) {
    (void)state;
    check_codes(wn__dynamic8_signed, true);
    check_codes(wn__dynamic8_unsigned, false);
    assert_true(wn__dynamic8_signed[127] == 0 && wn__dynamic8_unsigned[0] == 0);
    assert_true(wn__dynamic8_signed[255] == 1 && wn__dynamic8_unsigned[255] == 1);
    assert_true(wn__dynamic8_signed[0] == -0.99296875F);
    assert_true(wn__dynamic8_unsigned[254] == 0.996484375F);
    assert_true(wn__dynamic8_unsigned[1] == 3.25e-7F);
}

typedef struct bits8 {
    wn__adam8bit args;
    wn__exec x;
} bits8;

static bits8 open_bits(wn_dtype dtype, int64_t n) {
    int64_t blocks = (n + WN_BLOCK8 - 1) / WN_BLOCK8;
    return (bits8){.args = {.w = make1(dtype, n),
                            .g = make1(dtype, n),
                            .m = make1(WN_DTYPE_U8, n),
                            .v = make1(WN_DTYPE_U8, n),
                            .m_scale = make1(WN_DTYPE_F32, blocks),
                            .v_scale = make1(WN_DTYPE_F32, blocks),
                            .lr = 1e-3,
                            .beta1 = 0.9,
                            .beta2 = 0.99,
                            .eps = 1e-8,
                            .grad_scale = 1,
                            .step = 1}};
}

static void close_bits(bits8 *b) {
    free(b->args.w.data);
    free(b->args.g.data);
    free(b->args.m.data);
    free(b->args.v.data);
    free(b->args.m_scale.data);
    free(b->args.v_scale.data);
}

// The nearest value, of two the lower one.
static int nearest(const float *codes, double q) {
    int best = 0;
    for (int i = 1; i < 256; i++)
        if (fabs((double)codes[i] - q) < fabs((double)codes[best] - q)) best = i;
    return best;
}

// With betas of 0 the moments are the gradient and its square: every code is found again, middles
// go down, and anything goes to what is nearest.
static void test_encoding(void **state) {
    (void)state;
    const int n = 256 * 3;
    bits8 b = open_bits(WN_DTYPE_F64, n);
    b.args.beta1 = b.args.beta2 = 0;
    for (int i = 0; i < 256; i++) {
        double own = (double)wn__dynamic8_signed[i];
        double next = i < 255 ? (double)wn__dynamic8_signed[i + 1] : 1;
        wn__set(&b.args.g, i, own);
        wn__set(&b.args.g, 256 + i, (own + next) / 2);
        wn__set(&b.args.g, 512 + i, own + (next - own) * (0.5 + 0x1p-40));
    }
    wn__set(&b.args.g, 256 + 255, 1); // the scale of every block is 1
    assert_ok(wn__adam8bit_ref(&b.args, &b.x));
    const uint8_t *m = b.args.m.data, *v = b.args.v.data;
    for (int i = 0; i < 3; i++) {
        assert_true(((const float *)b.args.m_scale.data)[i] == 1);
        assert_true(((const float *)b.args.v_scale.data)[i] == 1);
    }
    for (int i = 0; i < 256; i++) {
        assert_int_equal(m[i], i);
        assert_int_equal(m[256 + i], i);
        assert_int_equal(m[512 + i], i < 255 ? i + 1 : 255);
    }
    for (int i = 0; i < n; i++) {
        double g = wn__get(&b.args.g, i);
        assert_int_equal(v[i], nearest(wn__dynamic8_unsigned, g * g));
    }
    close_bits(&b);
}

// On every variant: the floats around each middle between codes, either sign, and tiny ones.
static void test_encoding_in_single(void **state) {
    (void)state;
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    for (size_t k = 0; k < rows; k++) {
        const int n = 256 * 6;
        bits8 b = open_bits(WN_DTYPE_F32, n);
        char why[200];
        float *g = b.args.g.data;
        b.args.beta1 = b.args.beta2 = 0;
        for (int i = 0; i < 256; i++) {
            double next = i < 255 ? (double)wn__dynamic8_signed[i + 1] : 1;
            float middle = (float)(((double)wn__dynamic8_signed[i] + next) / 2);
            g[i] = middle;
            g[256 + i] = nextafterf(middle, -INFINITY);
            g[512 + i] = nextafterf(middle, 1);
            next = i < 255 ? (double)wn__dynamic8_unsigned[i + 1] : 1;
            g[768 + i] = sqrtf((float)(((double)wn__dynamic8_unsigned[i] + next) / 2));
            g[1024 + i] = nextafterf(g[768 + i], i % 2 ? 0 : 1);
            g[1280 + i] = ldexpf(i % 2 ? -1.4F : 1.1F, -1 - i / 2); // down to the subnormals
        }
        for (int i = 0; i < n; i += 256)
            g[i] = 1;
        wn__exec x = one_thread();
        if (table[k].op == WN__OP_adam8bit &&
            wn__kernel_fits(&x, table + k, &b.args, why, sizeof why)) {
            assert_ok(wn__run_kernel(&x, table + k, &b.args));
            for (int i = 0; i < n; i++) {
                int m = nearest(wn__dynamic8_signed, (double)g[i]);
                int v = nearest(wn__dynamic8_unsigned, (double)(g[i] * g[i]));
                if (((const uint8_t *)b.args.m.data)[i] != m)
                    fail_msg("%s: m[%d]", table[k].name, i);
                if (((const uint8_t *)b.args.v.data)[i] != v)
                    fail_msg("%s: v[%d]", table[k].name, i);
            }
        }
        close_bits(&b);
    }
}

// A first update is AdamW's: moments of 0 lose nothing, and weights see them before they are
// rounded.
static void test_first_update(void **state) {
    (void)state;
    const int64_t n = 600;
    bits8 b = open_bits(WN_DTYPE_F64, n);
    fill_normal(&b.args.w, 1);
    fill_normal(&b.args.g, 2);
    b.args.weight_decay = 0.1;
    b.args.grad_scale = 0.5;
    wn_tensor w = converted(&b.args.w, WN_DTYPE_F64);
    wn__adamw full = {.w = w,
                      .m = make1(WN_DTYPE_F64, n),
                      .v = make1(WN_DTYPE_F64, n),
                      .g = b.args.g,
                      .lr = 1e-3,
                      .beta1 = 0.9,
                      .beta2 = 0.99,
                      .eps = 1e-8,
                      .weight_decay = 0.1,
                      .grad_scale = 0.5,
                      .step = 1};
    assert_ok(wn__adam8bit_ref(&b.args, &b.x));
    assert_ok(wn__adamw_ref(&full, &b.x));
    assert_all_near(&b.args.w, w.data, 1e-15);
    for (int64_t i = 0; i < n; i++) { // half the widest gap between codes of m, of the largest
        double scale = (double)((const float *)b.args.m_scale.data)[i / WN_BLOCK8];
        double m = (double)wn__dynamic8_signed[((const uint8_t *)b.args.m.data)[i]] * scale;
        assert_near(m, wn__get(&full.m, i), scale * 0.9 / 64 / 2 * 1.001);
    }
    free(full.m.data);
    free(full.v.data);
    free(w.data);
    close_bits(&b);
}

// A block of zeros stays one, with scale 0 and the code of 0; blocks know nothing of each other.
static void test_blocks(void **state) {
    (void)state;
    const int64_t n = 2 * WN_BLOCK8 + 3;
    bits8 b = open_bits(WN_DTYPE_F32, n), one = open_bits(WN_DTYPE_F32, 3);
    for (int64_t i = 0; i < n; i++)
        wn__set(&b.args.g, i, i < WN_BLOCK8 ? 1e3 : i < 2 * WN_BLOCK8 ? 0 : 1e-3 * (double)(i % 5));
    for (int64_t i = 0; i < 3; i++)
        wn__set(&one.args.g, i, wn__get(&b.args.g, 2 * WN_BLOCK8 + i));
    for (int step = 1; step < 4; step++) {
        b.args.step = one.args.step = step;
        assert_ok(wn__adam8bit_ref(&b.args, &b.x));
        assert_ok(wn__adam8bit_ref(&one.args, &one.x));
        const float *m = b.args.m_scale.data, *v = b.args.v_scale.data;
        assert_true(m[0] > 0 && m[1] == 0 && v[1] == 0);
        assert_true(m[2] == *(const float *)one.args.m_scale.data);
        assert_int_equal(((const uint8_t *)b.args.m.data)[WN_BLOCK8 + 5], 127);
        assert_int_equal(((const uint8_t *)b.args.v.data)[WN_BLOCK8 + 5], 0);
        assert_memory_equal((const float *)b.args.w.data + 2 * WN_BLOCK8, one.args.w.data,
                            3 * sizeof(float));
        assert_true(wn__get(&b.args.w, WN_BLOCK8 + 7) == 0);
    }
    close_bits(&b);
    close_bits(&one);
}

// Over many updates the weights go where those with full moments go.
static void test_stays_near(void **state) {
    (void)state;
    const int64_t n = 1024;
    bits8 b = open_bits(WN_DTYPE_F32, n);
    wn__adamw full = {.w = make1(WN_DTYPE_F32, n),
                      .m = make1(WN_DTYPE_F32, n),
                      .v = make1(WN_DTYPE_F32, n),
                      .g = b.args.g,
                      .lr = 1e-3,
                      .beta1 = 0.9,
                      .beta2 = 0.99,
                      .eps = 1e-8,
                      .grad_scale = 1};
    double apart = 0, gone = 0;
    for (int step = 1; step <= 100; step++) {
        b.args.step = full.step = step;
        fill_normal(&b.args.g, (uint64_t)step);
        for (int64_t i = 0; i < n; i++)
            wn__set(&b.args.g, i, wn__get(&b.args.g, i) + 0.5 * sin((double)i));
        assert_ok(wn__adam8bit_ref(&b.args, &b.x));
        assert_ok(wn__adamw_ref(&full, &b.x));
    }
    for (int64_t i = 0; i < n; i++) {
        apart += pow(wn__get(&b.args.w, i) - wn__get(&full.w, i), 2);
        gone += pow(wn__get(&full.w, i), 2);
    }
    assert_true(apart > 0 && sqrt(apart / gone) < 0.02);
    free(full.w.data);
    free(full.m.data);
    free(full.v.data);
    close_bits(&b);
}

// Where g^2 is a product of a column and a row, the factors hold it entirely: a first update moves
// every weight by lr towards -g, if rms(u) = 1 is not clipped; twice that clip halves it.
static void test_adafactor_of_rank_one(void **state) {
    (void)state;
    wn__adafactor p = {.w = make2(WN_DTYPE_F64, 4, 5),
                       .g = make2(WN_DTYPE_F64, 4, 5),
                       .row = make1(WN_DTYPE_F64, 4),
                       .col = make1(WN_DTYPE_F64, 5),
                       .lr = 0.01,
                       .eps1 = 1e-30,
                       .clip = 1,
                       .grad_scale = 3,
                       .step = 1};
    double want[20];
    wn__exec x = one_thread();
    for (int i = 0; i < 20; i++) {
        double g = (1 + i / 5) * (i % 5 - 2.5);
        wn__set(&p.g, i, g);
        want[i] = g > 0 ? -0.01 : 0.01;
    }
    assert_ok(wn__adafactor_ref(&p, &x));
    assert_all_near(&p.w, want, 1e-15);
    p.clip = 0.5;
    p.step = 2; // the same gradient again leaves the averages as they are
    assert_ok(wn__adafactor_ref(&p, &x));
    for (int i = 0; i < 20; i++)
        want[i] *= 1.5;
    assert_all_near(&p.w, want, 1e-15);
    free(p.w.data);
    free(p.g.data);
    free(p.row.data);
    free(p.col.data);
}

static void test_refusals(void **state) {
    (void)state;
    const int64_t n = 6;
    wn_tensor w = make2(WN_DTYPE_F32, 2, 3), g = make2(WN_DTYPE_F32, 2, 3),
              v = make2(WN_DTYPE_F32, 2, 3), row = make1(WN_DTYPE_F32, 2),
              col = make1(WN_DTYPE_F32, 3), flat = make1(WN_DTYPE_F32, n);
    wn__adafactor p = {.w = w, .g = g, .row = row, .clip = 1, .step = 1};
    assert_refused(wn__check_adafactor(&p), "row and col, or v");
    p.col = col;
    assert_ok(wn__check_adafactor(&p));
    p.v = v;
    assert_refused(wn__check_adafactor(&p), "row and col, or v");
    p.v = (wn_tensor){0};
    p.beta1 = 0.5;
    assert_refused(wn__check_adafactor(&p), "needs m");
    p.beta1 = 0;
    p.m = v;
    assert_refused(wn__check_adafactor(&p), "has no m");
    p.m = (wn_tensor){0};
    p.row = col;
    p.col = row;
    assert_refused(wn__check_adafactor(&p), "row sizes 2 and 3");
    p.w = flat;
    p.row = row;
    p.col = col;
    assert_refused(wn__check_adafactor(&p), "need a matrix");
    bits8 b = open_bits(WN_DTYPE_F32, n);
    assert_ok(wn__check_adam8bit(&b.args));
    wn_tensor one = b.args.m_scale;
    b.args.m_scale = flat;
    assert_refused(wn__check_adam8bit(&b.args), "size 6 must be 1, blocks of 256");
    b.args.m_scale = one;
    close_bits(&b);
    wn__adam_direction d = {.m = w, .v = v, .g = g, .d = g, .beta1 = 1};
    assert_refused(wn__check_adam_direction(&d), "beta1 = 1");
    d.beta1 = 0.9;
    assert_ok(wn__check_adam_direction(&d));
    d.d = w;
    assert_int_equal(wn__check_adam_direction(&d), WN_INVALID); // m and d are one
    wn__axpby sum = {.x = w, .y = row};
    assert_refused(wn__check_axpby(&sum), "x has 6 elements, y has 2");
    wn_tensor *all[] = {&w, &g, &v, &row, &col, &flat};
    for (int i = 0; i < LENGTH(all); i++)
        free(all[i]->data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_axpby),        cmocka_unit_test(test_dynamic_values),
        cmocka_unit_test(test_encoding),     cmocka_unit_test(test_encoding_in_single),
        cmocka_unit_test(test_first_update), cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_stays_near),   cmocka_unit_test(test_adafactor_of_rank_one),
        cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
