// SPDX-License-Identifier: MIT
/* What the tests of the reference kernels share: buffers of any float type, random data, central
 * differences. Each test fills what it needs from doubles and reads doubles back; nothing here
 * knows an op. */
#ifndef WN_TESTS_REF_TEST_H
#define WN_TESTS_REF_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#define LENGTH(a) ((int64_t)(sizeof(a) / sizeof *(a)))

static const wn_dtype all_floats[4] = {WN_DTYPE_F64, WN_DTYPE_F32, WN_DTYPE_BF16, WN_DTYPE_F16};

/* Unit round-off. */
__attribute__((unused)) static double roundoff_of(wn_dtype dtype) {
    switch (dtype) {
    case WN_DTYPE_F64:
        return 0x1p-53;
    case WN_DTYPE_F32:
        return 0x1p-24;
    case WN_DTYPE_BF16:
        return 0x1p-8;
    default:
        return 0x1p-11;
    }
}

/* Runs on the calling thread. */
__attribute__((unused)) static wn__exec one_thread(void) {
    return (wn__exec){0};
}

#define assert_ok(expr) assert_int_equal_text((expr), WN_OK)
__attribute__((unused)) static void assert_int_equal_text(wn_status found, wn_status expected) {
    if (found != expected) fail_msg("%s: %s", wn_status_name(found), wn_last_error());
}

/* Fails with these words in the message. */
__attribute__((unused)) static void assert_refused(wn_status status, const char *words) {
    assert_int_equal(status, WN_INVALID);
    if (!strstr(wn_last_error(), words)) fail_msg("\"%s\" lacks \"%s\"", wn_last_error(), words);
}

__attribute__((unused)) static void *zeros(size_t bytes) {
    void *p = calloc(1, bytes ? bytes : 1);
    assert_non_null(p);
    return p;
}

/* A packed tensor of zeros; free its data. */
__attribute__((unused)) static wn_tensor make(wn_dtype dtype, int ndim, const int64_t *shape) {
    wn_tensor t = wn__tensor(NULL, dtype, ndim, shape);
    t.data = zeros(wn__tensor_bytes(&t));
    return t;
}
__attribute__((unused)) static wn_tensor make1(wn_dtype dtype, int64_t a) {
    return make(dtype, 1, (const int64_t[]){a});
}
__attribute__((unused)) static wn_tensor make2(wn_dtype dtype, int64_t a, int64_t b) {
    return make(dtype, 2, (const int64_t[]){a, b});
}
__attribute__((unused)) static wn_tensor make4(wn_dtype dtype, int64_t a, int64_t b, int64_t c,
                                               int64_t d) {
    return make(dtype, 4, (const int64_t[]){a, b, c, d});
}

/* A packed tensor with these values, rounded. */
__attribute__((unused)) static wn_tensor from1(wn_dtype dtype, int64_t a, const double *values) {
    wn_tensor t = make1(dtype, a);
    for (int64_t i = 0; i < a; i++)
        wn__set(&t, i, values[i]);
    return t;
}
__attribute__((unused)) static wn_tensor from2(wn_dtype dtype, int64_t a, int64_t b,
                                               const double *values) {
    wn_tensor t = make2(dtype, a, b);
    for (int64_t i = 0; i < a * b; i++)
        wn__set(&t, i, values[i]);
    return t;
}
/* A packed copy in another type. */
__attribute__((unused)) static wn_tensor converted(const wn_tensor *from, wn_dtype dtype) {
    wn_tensor t = make(dtype, from->ndim, from->shape);
    for (int64_t i = 0; i < wn__tensor_count(from); i++)
        wn__set(&t, i, wn__get(from, i));
    return t;
}

/* Standard normal values, a function of seed and position. */
__attribute__((unused)) static void fill_normal(const wn_tensor *t, uint64_t seed) {
    float word[4] = {0};
    for (int64_t i = 0; i < wn__tensor_count(t); i++) {
        if (i % 4 == 0) wn__philox_normal(seed, WN_STREAM_TEST, (uint64_t)i / 4, word);
        wn__set(t, i, (double)word[i % 4]);
    }
}
/* Whole numbers in [-range, range]: sums of products stay exact. */
__attribute__((unused)) static void fill_whole(const wn_tensor *t, int range, uint64_t seed) {
    for (int64_t i = 0; i < wn__tensor_count(t); i++)
        wn__set(
            t, i,
            (double)wn__philox_below(seed, WN_STREAM_TEST, (uint64_t)i, (uint64_t)(2 * range + 1)) -
                range);
}
__attribute__((unused)) static wn_tensor normal2(int64_t a, int64_t b, uint64_t seed) {
    wn_tensor t = make2(WN_DTYPE_F64, a, b);
    fill_normal(&t, seed);
    return t;
}

__attribute__((unused)) static double inner(const wn_tensor *a, const wn_tensor *b) {
    double sum = 0;
    for (int64_t i = 0; i < wn__tensor_count(a); i++)
        sum += wn__get(a, i) * wn__get(b, i);
    return sum;
}

__attribute__((unused)) static void assert_near(double found, double expected, double tolerance) {
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("found %.17g, expected %.17g within %.3g", found, expected, tolerance);
}
__attribute__((unused)) static void assert_all_near(const wn_tensor *t, const double *expected,
                                                    double tolerance) {
    for (int64_t i = 0; i < wn__tensor_count(t); i++)
        if (!(fabs(wn__get(t, i) - expected[i]) <= tolerance))
            fail_msg("element %lld: found %.17g, expected %.17g within %.3g", (long long)i,
                     wn__get(t, i), expected[i], tolerance);
}
/* `t` is the F64 result rounded once to its type (and the F64 result a few roundings of its own).
 */
__attribute__((unused)) static void assert_rounded(const wn_tensor *t, const wn_tensor *f64) {
    double u = roundoff_of(t->dtype), tiny = t->dtype == WN_DTYPE_F16 ? 0x1p-25 : 0x1p-134;
    for (int64_t i = 0; i < wn__tensor_count(t); i++)
        assert_near(wn__get(t, i), wn__get(f64, i),
                    u * fabs(wn__get(f64, i)) * (1 + 0x1p-20) + tiny);
}
__attribute__((unused)) static void assert_bits(const wn_tensor *a, const wn_tensor *b) {
    assert_memory_equal(a->data, b->data, wn__tensor_bytes(a));
}

/* Central differences of a scalar function of F64 data. */
typedef double loss_fn(void *ctx);

/* Every gradient[i] against D(h) = (f(x+h) - f(x-h))/2h. The truncation error of D(h) is h^2 f'''/6
 * to leading order, a third of D(2h) - D(h); all of that difference is allowed. Evaluations that
 * are off by at most `wrong` add wrong/h. x comes from fill_for_gradient, which makes x+h exact. */
__attribute__((unused)) static void check_gradient(const char *name, loss_fn *loss, void *ctx,
                                                   const wn_tensor *x, const wn_tensor *gradient,
                                                   double wrong) {
    const double h = 0x1p-14;
    double *data = x->data;
    for (int64_t i = 0; i < wn__tensor_count(x); i++) {
        double keep = data[i], at[4];
        for (int n = 0; n < 4; n++) {
            data[i] = keep + (n < 2 ? 1 : 2) * (n % 2 ? -h : h);
            at[n] = loss(ctx);
        }
        data[i] = keep;
        double narrow = (at[0] - at[1]) / (2 * h), wide = (at[2] - at[3]) / (4 * h);
        double tolerance = fabs(wide - narrow) + wrong / h, found = wn__get(gradient, i);
        if (!(fabs(found - narrow) <= tolerance))
            fail_msg("%s: element %lld: gradient %.17g, difference %.17g, tolerance %.3g", name,
                     (long long)i, found, narrow, tolerance);
    }
}
/* Normal values cut off at 3, multiples of 2^-40. */
__attribute__((unused)) static void fill_for_gradient(const wn_tensor *t, uint64_t seed) {
    fill_normal(t, seed);
    double *data = t->data;
    for (int64_t i = 0; i < wn__tensor_count(t); i++)
        data[i] = round(fmin(fmax(data[i], -3), 3) * 0x1p40) * 0x1p-40;
}

#endif
