// SPDX-License-Identifier: MIT
/* Small dense matrices in double for the tests of low-rank weights: everything written out naively,
 * nothing shared with the library. */
#ifndef LOWRANK_TEST_H
#define LOWRANK_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "sparse/lowrank.h"

static inline void assert_ok(wn_status status) {
    if (status != WN_OK) fail_msg("%s: %s", wn_status_name(status), wn_last_error());
}

static inline void assert_refused(wn_status status, const char *words) {
    assert_int_equal(status, WN_INVALID);
    if (!strstr(wn_last_error(), words)) fail_msg("\"%s\" lacks \"%s\"", wn_last_error(), words);
}

static inline void assert_near(double a, double b, double bound) {
    if (!(fabs(a - b) <= bound)) fail_msg("%.17g is not within %.3g of %.17g", a, bound, b);
}

static inline const wn__linalg *family(int i) {
    return i == 0 ? wn__linalg_reference() : wn__linalg_best();
}

typedef struct mat {
    int64_t rows, cols;
    double *v;
} mat;

static inline mat mat_new(int64_t rows, int64_t cols) {
    mat a = {rows, cols, calloc((size_t)(rows * cols) + 1, sizeof(double))};
    assert_non_null(a.v);
    return a;
}

static inline double *el(mat a, int64_t i, int64_t j) {
    return &a.v[i * a.cols + j];
}

static inline wn_tensor view(mat a) {
    return wn__tensor2(a.v, WN_DTYPE_F64, a.rows, a.cols);
}

static inline mat mat_of(int64_t rows, int64_t cols, const double *v) {
    mat a = mat_new(rows, cols);
    memcpy(a.v, v, (size_t)(rows * cols) * sizeof *v);
    return a;
}

static inline mat mat_copy(mat a) {
    return mat_of(a.rows, a.cols, a.v);
}

static inline mat mat_normal(int64_t rows, int64_t cols, double scale, uint64_t seed) {
    mat a = mat_new(rows, cols);
    for (int64_t i = 0; i < rows * cols; i++) {
        float z[4];
        wn__philox_normal(seed, WN_STREAM_TEST, (uint64_t)i / 4, z);
        a.v[i] = scale * (double)z[i % 4];
    }
    return a;
}

/* alpha op(a) op(b); ta, tb: transposed. */
static inline mat mat_mul(double alpha, mat a, bool ta, mat b, bool tb) {
    int64_t m = ta ? a.cols : a.rows, k = ta ? a.rows : a.cols, n = tb ? b.rows : b.cols;
    mat c = mat_new(m, n);
    assert_int_equal(k, tb ? b.cols : b.rows);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t l = 0; l < k; l++)
                sum += (ta ? *el(a, l, i) : *el(a, i, l)) * (tb ? *el(b, j, l) : *el(b, l, j));
            *el(c, i, j) = alpha * sum;
        }
    return c;
}

/* a += alpha b; frees b. */
static inline void mat_add(mat a, double alpha, mat b) {
    assert_true(a.rows == b.rows && a.cols == b.cols);
    for (int64_t i = 0; i < a.rows * a.cols; i++)
        a.v[i] += alpha * b.v[i];
    free(b.v);
}

static inline double mat_distance(mat a, mat b) {
    double sum = 0;
    assert_true(a.rows == b.rows && a.cols == b.cols);
    for (int64_t i = 0; i < a.rows * a.cols; i++)
        sum += (a.v[i] - b.v[i]) * (a.v[i] - b.v[i]);
    return sqrt(sum);
}

static inline double mat_dot(mat a, mat b) {
    double sum = 0;
    for (int64_t i = 0; i < a.rows * a.cols; i++)
        sum += a.v[i] * b.v[i];
    return sum;
}

/* The inverse of a symmetric positive definite matrix by Gauss-Jordan; frees a. */
static inline mat mat_inverse(mat a) {
    int64_t n = a.rows;
    mat inverse = mat_new(n, n);
    for (int64_t i = 0; i < n; i++)
        *el(inverse, i, i) = 1;
    for (int64_t p = 0; p < n; p++) {
        double pivot = *el(a, p, p);
        for (int64_t j = 0; j < n; j++) {
            *el(a, p, j) /= pivot;
            *el(inverse, p, j) /= pivot;
        }
        for (int64_t i = 0; i < n; i++) {
            double factor = i == p ? 0 : *el(a, i, p);
            for (int64_t j = 0; j < n; j++) {
                *el(a, i, j) -= factor * *el(a, p, j);
                *el(inverse, i, j) -= factor * *el(inverse, p, j);
            }
        }
    }
    free(a.v);
    return inverse;
}

/* M (M^T M)^-1, [rows, r]: the transpose of M's pseudo-inverse; or of a wide M, (M M^T)^-1 M. */
static inline mat mat_dual(mat m) {
    bool wide = m.cols > m.rows;
    mat inverse = mat_inverse(mat_mul(1, m, !wide, m, wide));
    mat dual = wide ? mat_mul(1, inverse, false, m, false) : mat_mul(1, m, false, inverse, false);
    free(inverse.v);
    return dual;
}

/* Two-sided: the eigenvectors of A^T A by cyclic Jacobi turns of the columns of A (Hestenes), until
 * nothing turns; then A = (U S) V^T with u.v's columns U S. values[cols] descending. */
static inline void mat_svd(mat a, mat *us, mat *v, double *values) {
    int64_t n = a.cols;
    mat x = mat_copy(a), turns = mat_new(n, n);
    for (int64_t i = 0; i < n; i++)
        *el(turns, i, i) = 1;
    for (bool turned = true; turned;) {
        turned = false;
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) {
                double pp = 0, qq = 0, pq = 0;
                for (int64_t i = 0; i < x.rows; i++) {
                    pp += *el(x, i, p) * *el(x, i, p);
                    qq += *el(x, i, q) * *el(x, i, q);
                    pq += *el(x, i, p) * *el(x, i, q);
                }
                bool small = fabs(pq) <= 1e-15 * sqrt(pp * qq) || fabs(pq) < 1e-30;
                if (small && pp >= qq) continue;
                /* Turned, and exchanged where the smaller one comes first. */
                double angle = small ? 0 : 0.5 * atan2(2 * pq, pp - qq);
                if (small) angle = 1.5707963267948966;
                turned = true;
                for (int64_t i = 0; i < x.rows + n; i++) {
                    double *l = i < x.rows ? el(x, i, p) : el(turns, i - x.rows, p);
                    double *r = i < x.rows ? el(x, i, q) : el(turns, i - x.rows, q);
                    double a0 = *l, b0 = *r;
                    *l = cos(angle) * a0 + sin(angle) * b0;
                    *r = -sin(angle) * a0 + cos(angle) * b0;
                }
            }
    }
    for (int64_t j = 0; j < n; j++) {
        double square = 0;
        for (int64_t i = 0; i < x.rows; i++)
            square += *el(x, i, j) * *el(x, i, j);
        values[j] = sqrt(square);
    }
    *us = x;
    *v = turns;
}

/* The best approximation of rank r, and the singular values of a (cols of them, or NULL). */
static inline mat mat_best(mat a, int64_t r, double *values) {
    mat us, v, best = mat_new(a.rows, a.cols);
    double *s = calloc((size_t)a.cols, sizeof *s);
    assert_non_null(s);
    mat_svd(a, &us, &v, s);
    for (int64_t i = 0; i < a.rows; i++)
        for (int64_t j = 0; j < a.cols; j++)
            for (int64_t l = 0; l < r && l < a.cols; l++)
                *el(best, i, j) += *el(us, i, l) * *el(v, j, l);
    if (values != NULL) memcpy(values, s, (size_t)a.cols * sizeof *s);
    free(us.v);
    free(v.v);
    free(s);
    return best;
}

static inline void free_mats(int count, ...) {
    va_list list;
    va_start(list, count);
    for (int i = 0; i < count; i++)
        free(va_arg(list, mat).v);
    va_end(list);
}

#endif
