// SPDX-License-Identifier: MIT
// soft24, soft24_dots and apply24: stated vectors in both orders of ties, an independent threshold
// by sorting, and the properties that S-STE rests on (continuity above all, which the hard choice
// of two lacks). Every variant of the table.
#include "base/fail.h"
#include "kernels/mask24.h"
#include "kernels/soft24.h"
#include "variants.h"

// "1100": columns 0 and 1.
static unsigned bits_of(const char *text) {
    unsigned bits = 0;
    for (int j = 0; text[j]; j++)
        bits |= (unsigned)(text[j] == '1') << j;
    return bits;
}

typedef struct vector24 {
    double v[4];
    const char *mask;
    double top2[4], soft[4];
} vector24;

// Ties go to the earlier index, as the contract says.
static const vector24 earlier[] = {
    {{1, -3, 2, 0.5}, "0110", {0, -3, 2, 0}, {0, -2, 1, 0}},
    {{4, 3, 2, 1}, "1100", {4, 3, 0, 0}, {2, 1, 0, 0}},
    {{-1, -2, -3, -4}, "0011", {0, 0, -3, -4}, {0, 0, -1, -2}},
    {{1, 1, 1, 1}, "1100", {1, 1, 0, 0}, {0, 0, 0, 0}},
    {{2, 2, 2, 1}, "1100", {2, 2, 0, 0}, {0, 0, 0, 0}},
    {{3, 1, 1, 1}, "1100", {3, 1, 0, 0}, {2, 0, 0, 0}},
    {{1, 2, 2, 2}, "0110", {0, 2, 2, 0}, {0, 0, 0, 0}},
    {{-2, 1, 2, -1}, "1010", {-2, 0, 2, 0}, {-1, 0, 1, 0}},
    {{0, 0, 0, 5}, "1001", {0, 0, 0, 5}, {0, 0, 0, 5}},
    {{0.1, -0.7, 0.4, -0.2}, "0110", {0, -0.7, 0.4, 0}, {0, -0.5, 0.2, 0}},
};

// The same inputs where the later index wins, which is the earlier one of the group turned around.
static const vector24 later[] = {
    {{1, -3, 2, 0.5}, "0110", {0, -3, 2, 0}, {0, -2, 1, 0}},
    {{4, 3, 2, 1}, "1100", {4, 3, 0, 0}, {2, 1, 0, 0}},
    {{-1, -2, -3, -4}, "0011", {0, 0, -3, -4}, {0, 0, -1, -2}},
    {{1, 1, 1, 1}, "0011", {0, 0, 1, 1}, {0, 0, 0, 0}},
    {{2, 2, 2, 1}, "0110", {0, 2, 2, 0}, {0, 0, 0, 0}},
    {{3, 1, 1, 1}, "1001", {3, 0, 0, 1}, {2, 0, 0, 0}},
    {{1, 2, 2, 2}, "0011", {0, 0, 2, 2}, {0, 0, 0, 0}},
    {{-2, 1, 2, -1}, "1010", {-2, 0, 2, 0}, {-1, 0, 1, 0}},
    {{0, 0, 0, 5}, "0011", {0, 0, 0, 5}, {0, 0, 0, 5}},
    {{0.1, -0.7, 0.4, -0.2}, "0110", {0, -0.7, 0.4, 0}, {0, -0.5, 0.2, 0}},
};

// One group, turned around or not, through soft24, and its mask through apply24.
static void check_vector(const vector24 *t, wn_dtype dtype, bool turned) {
    double v[4], u = roundoff_of(dtype);
    for (int i = 0; i < 4; i++)
        v[i] = t->v[turned ? 3 - i : i];
    wn_tensor w = from2(dtype, 1, 4, v), out = make2(dtype, 1, 4), kept = make2(dtype, 1, 4);
    wn_tensor mask = make2(WN_DTYPE_U8, 1, 1);
    const wn__soft24 args = {.w = w, .out = out, .mask = mask};
    const wn__apply24 apply = {.x = w, .y = kept, .mask = mask};
    const wn__kernel *k;
    for (int n = 0; (k = variant(WN__OP_soft24, &args, n)); n++) {
        assert_ok(run_row(k, &args, NULL));
        assert_ok(run_row(variant(WN__OP_apply24, &apply, n), &apply, NULL));
        for (int i = 0; i < 4; i++) {
            int at = turned ? 3 - i : i;
            assert_int_equal(*(uint8_t *)mask.data >> at & 1, bits_of(t->mask) >> i & 1);
            assert_near(wn__get(&kept, at), t->top2[i], u * fabs(t->top2[i]));
            assert_near(wn__get(&out, at), t->soft[i], 2 * u);
        }
    }
    free(w.data);
    free(out.data);
    free(kept.data);
    free(mask.data);
}

static void test_vectors(void **state) {
    (void)state;
    for (int d = 0; d < 4; d++)
        for (int64_t i = 0; i < LENGTH(earlier); i++) {
            check_vector(earlier + i, all_floats[d], false);
            check_vector(later + i, all_floats[d], true);
        }
}

// ---- an independent threshold

// Sorts a group of n <= 4 floats (zeros beyond) and takes float operations from there.
static void soften_by_sorting(const float *w, int n, float scale, float *out, unsigned *mask) {
    float a[4] = {0};
    int order[4];
    for (int i = 0; i < 4; i++) {
        a[i] = i < n ? fabsf(w[i]) : 0;
        int at = i;
        for (; at > 0 && a[order[at - 1]] < a[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    float tau = a[order[2]];
    *mask = 0;
    for (int i = 0; i < n; i++)
        out[i] = 0;
    for (int i = 0; i < 2; i++) {
        if (order[i] >= n) continue;
        float rest = a[order[i]] - tau;
        *mask |= 1U << order[i];
        out[order[i]] = scale * copysignf(rest, w[order[i]]);
    }
}

static void fill_f32(const wn_tensor *w, uint64_t seed) {
    fill_normal(w, seed);
    float *v = w->data; // ties, zeros and magnitudes far apart
    for (int64_t i = 0; i < wn__tensor_count(w); i++) {
        uint64_t roll = wn__philox_below(seed, WN_STREAM_TEST + 1, (uint64_t)i, 8);
        if (roll == 0) v[i] = roundf(v[i]);
        if (roll == 1) v[i] *= 0x1p-30F;
        if (roll == 2) v[i] = -0.0F;
    }
}

static void test_float_operations(void **state) {
    (void)state;
    for (int64_t c = 1; c < 150; c += c < 20 ? 1 : 43) {
        wn_tensor w = make2(WN_DTYPE_F32, 7, c), out = make2(WN_DTYPE_F32, 7, c);
        wn_tensor mask = make2(WN_DTYPE_U8, 7, (c + 3) / 4);
        double beta = 1.4830000000000001;
        wn_tensor scale = from1(WN_DTYPE_F64, 1, &beta);
        fill_f32(&w, (uint64_t)c);
        const wn__soft24 args = {w, out, mask, scale};
        const wn__kernel *k;
        int variants = 0;
        for (; (k = variant(WN__OP_soft24, &args, variants)); variants++) {
            assert_ok(run_row(k, &args, NULL));
            for (int64_t i = 0; i < 7; i++)
                for (int64_t j = 0; j < c; j += 4) {
                    float want[4];
                    unsigned bits;
                    int n = c - j < 4 ? (int)(c - j) : 4;
                    soften_by_sorting((const float *)w.data + i * c + j, n, (float)beta, want,
                                      &bits);
                    assert_memory_equal((const float *)out.data + i * c + j, want,
                                        (size_t)n * sizeof *want);
                    assert_int_equal(((uint8_t *)mask.data)[i * ((c + 3) / 4) + j / 4], bits);
                }
        }
        assert_true(variants >= 1);
        free(w.data);
        free(out.data);
        free(mask.data);
        free(scale.data);
    }
}

// The three products in long double; each of the 4 n products and sums rounds once.
static void test_dots(void **state) {
    (void)state;
    wn_tensor w = make2(WN_DTYPE_F32, 37, 203), soft = make2(WN_DTYPE_F32, 37, 203);
    wn_tensor out = make1(WN_DTYPE_F64, 3), again = make1(WN_DTYPE_F64, 3);
    fill_f32(&w, 3);
    const wn__soft24 soften = {.w = w, .out = soft};
    const wn__soft24_dots args = {w, out}, other = {w, again};
    assert_ok(run_row(variant(WN__OP_soft24, &soften, 0), &soften, NULL));
    long double want[3] = {0}, size[3] = {0};
    for (int64_t i = 0; i < wn__tensor_count(&w); i++) {
        long double a = (long double)wn__get(&w, i), s = (long double)wn__get(&soft, i);
        const long double terms[3] = {a * s, s * s, a * a};
        for (int k = 0; k < 3; k++) {
            want[k] += terms[k];
            size[k] += fabsl(terms[k]);
        }
    }
    const wn__kernel *k;
    for (int n = 0; (k = variant(WN__OP_soft24_dots, &args, n)); n++) {
        assert_ok(run_row(k, n ? (const void *)&other : (const void *)&args, NULL));
        if (n) assert_bits(&out, &again);
        for (int i = 0; i < 3; i++)
            assert_near(wn__get(&out, i), (double)want[i], 0x1p-53 * 203 * (double)size[i]);
    }
    free(w.data);
    free(soft.data);
    free(out.data);
    free(again.data);
}

// ---- properties

// S of one group in double.
static void soften4(const double a[4], double out[4], unsigned *mask) {
    wn__exec x = one_thread();
    uint8_t byte;
    double copy[4];
    memcpy(copy, a, sizeof copy);
    const wn__soft24 args = {.w = wn__tensor2(copy, WN_DTYPE_F64, 1, 4),
                             .out = wn__tensor2(out, WN_DTYPE_F64, 1, 4),
                             .mask = wn__tensor2(&byte, WN_DTYPE_U8, 1, 1)};
    assert_ok(wn__soft24_ref(&args, &x));
    *mask = byte;
}

static void normals(uint64_t seed, uint64_t index, double a[4]) {
    float z[4];
    wn__philox_normal(seed, WN_STREAM_TEST, index, z);
    for (int i = 0; i < 4; i++)
        a[i] = (double)z[i];
}

static double distance(const double a[4], const double b[4]) {
    double most = 0;
    for (int i = 0; i < 4; i++)
        most = fmax(most, fabs(a[i] - b[i]));
    return most;
}

// Pairs b = a + small steps; in every second one two magnitudes in the middle change places. The
// soft threshold moves by no more than twice what its input moves, the hard one jumps.
static void test_continuity(void **state) {
    (void)state;
    int jumps = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        double a[4], b[4], step[4], sa[4], sb[4], hard_a[4], hard_b[4];
        unsigned ma, mb;
        normals(7, 2 * i, a);
        normals(7, 2 * i + 1, step);
        if (i % 2) a[i / 2 % 4] = copysign(fabs(a[(i / 2 + 1) % 4]), a[i / 2 % 4]) + 1e-4 * step[0];
        for (int j = 0; j < 4; j++)
            b[j] = a[j] + 1e-3 * step[j];
        soften4(a, sa, &ma);
        soften4(b, sb, &mb);
        assert_true(distance(sa, sb) <= 2 * distance(a, b) + 1e-15);
        for (int j = 0; j < 4; j++) {
            hard_a[j] = ma >> j & 1 ? a[j] : 0;
            hard_b[j] = mb >> j & 1 ? b[j] : 0;
        }
        jumps += distance(hard_a, hard_b) > 2 * distance(a, b) + 1e-15;
    }
    assert_true(jumps > 100);
}

static void test_odd_and_homogeneous(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 2000; i++) {
        double a[4], minus[4], tenfold[4], s[4], sm[4], st[4];
        unsigned mask, other;
        int entries = 0, kept = 0;
        normals(9, i, a);
        for (int j = 0; j < 4; j++) {
            minus[j] = -a[j];
            tenfold[j] = 0x1p10 * a[j];
        }
        soften4(a, s, &mask);
        soften4(minus, sm, &other);
        assert_int_equal(mask, other);
        soften4(tenfold, st, &other);
        assert_int_equal(mask, other);
        for (int j = 0; j < 4; j++) {
            assert_true(sm[j] == -s[j]);
            assert_true(st[j] == 0x1p10 * s[j]);
            entries += s[j] != 0;
            kept += (int)(mask >> j & 1);
            assert_true(s[j] == 0 || (mask >> j & 1));
        }
        assert_int_equal(kept, 2);
        assert_true(entries <= 2);
    }
}

// One or two columns lose nothing, three lose the smallest.
static void test_short_groups(void **state) {
    (void)state;
    const double v[3][3] = {{-3, 0, 0}, {2, -5, 0}, {4, -1, 2}};
    const double want[3][3] = {{-3, 0, 0}, {2, -5, 0}, {3, 0, 1}};
    const unsigned masks[3] = {1, 3, 5};
    for (int n = 1; n <= 3; n++) {
        wn_tensor w = from2(WN_DTYPE_F32, 1, n, v[n - 1]), mask = make2(WN_DTYPE_U8, 1, 1);
        const wn__soft24 args = {.w = w, .out = w, .mask = mask}; // in place
        assert_ok(run_best(WN__OP_soft24, &args, NULL));
        assert_all_near(&w, want[n - 1], 0);
        assert_int_equal(*(uint8_t *)mask.data, masks[n - 1]);
        free(w.data);
        free(mask.data);
    }
}

static void test_nan_is_refused(void **state) {
    (void)state;
    wn_tensor w = make2(WN_DTYPE_F32, 9, 130), before = make2(WN_DTYPE_F32, 9, 130);
    wn_tensor out = make2(WN_DTYPE_F32, 9, 130), dots = make1(WN_DTYPE_F64, 3);
    fill_normal(&w, 1);
    ((float *)w.data)[7 * 130 + 129] = NAN;
    ((float *)w.data)[8 * 130] = NAN;
    memcpy(before.data, w.data, wn__tensor_bytes(&w));
    const wn__soft24 apart = {.w = w, .out = out}, in_place = {.w = w, .out = w};
    const wn__soft24_dots products = {w, dots};
    const wn__kernel *k;
    for (int n = 0; (k = variant(WN__OP_soft24, &apart, n)); n++) {
        assert_refused(run_row(k, &apart, NULL), "NaN at row 7, column 129");
        assert_refused(run_row(k, &in_place, NULL), "NaN at row 7, column 129");
        assert_bits(&w, &before);
        assert_refused(run_row(variant(WN__OP_soft24_dots, &products, n), &products, NULL),
                       "NaN at row 7, column 129");
    }
    free(w.data);
    free(before.data);
    free(out.data);
    free(dots.data);
}

// The scale is a float for floats, and a product with a kept zero keeps its sign.
static void test_apply_scale(void **state) {
    (void)state;
    const double v[4] = {3, -0.0, 5, 7}, third = 1 / 3.0;
    uint8_t byte = 0x3;
    wn_tensor w = from2(WN_DTYPE_F32, 1, 4, v), y = make2(WN_DTYPE_F32, 1, 4);
    wn_tensor mask = wn__tensor2(&byte, WN_DTYPE_U8, 1, 1), scale = from1(WN_DTYPE_F64, 1, &third);
    const wn__apply24 args = {w, y, mask, scale};
    const wn__kernel *k;
    for (int n = 0; (k = variant(WN__OP_apply24, &args, n)); n++) {
        const float *out = y.data;
        memset(y.data, 0xFF, wn__tensor_bytes(&y));
        assert_ok(run_row(k, &args, NULL));
        assert_true(out[0] == (1 / 3.0F) * 3.0F);
        assert_true(out[1] == 0 && signbit(out[1]));
        assert_true(out[2] == 0 && !signbit(out[2]) && out[3] == 0);
    }
    free(w.data);
    free(y.data);
    free(scale.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_float_operations),
        cmocka_unit_test(test_dots),
        cmocka_unit_test(test_continuity),
        cmocka_unit_test(test_odd_and_homogeneous),
        cmocka_unit_test(test_short_groups),
        cmocka_unit_test(test_nan_is_refused),
        cmocka_unit_test(test_apply_scale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
