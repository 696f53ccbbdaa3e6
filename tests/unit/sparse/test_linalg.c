// SPDX-License-Identifier: MIT
// Dense linear algebra, every family: residuals and orthogonality within bounds that follow from
// the sizes, known spectra, ranks from 0 up, scales near overflow, the same bits on any number of
// threads, and what is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "kernels/runtime.h"
#include "sparse/linalg.h"

#define U 0x1p-53

static void assert_ok(wn_status status) {
    if (status != WN_OK) fail_msg("%s: %s", wn_status_name(status), wn_last_error());
}

static void assert_refused(wn_status status, const char *words) {
    assert_int_equal(status, WN_INVALID);
    if (!strstr(wn_last_error(), words)) fail_msg("\"%s\" lacks \"%s\"", wn_last_error(), words);
}

static void assert_below(double error, double bound, const char *what, int64_t m, int64_t n) {
    if (!(error <= bound))
        fail_msg("%s of %lld x %lld: %.3g above %.3g", what, (long long)m, (long long)n, error,
                 bound);
}

static const wn__linalg *family(int i) {
    return i == 0 ? wn__linalg_reference() : wn__linalg_best();
}

// m*n doubles; NaN, so that what is not written shows.
static double *room(int64_t m, int64_t n) {
    double *p = malloc((size_t)(m * n + 1) * sizeof *p);
    assert_non_null(p);
    for (int64_t i = 0; i <= m * n; i++)
        p[i] = NAN;
    return p;
}

static void *scratch_of(size_t bytes) {
    assert_true(bytes != SIZE_MAX);
    void *p = NULL;
    assert_int_equal(posix_memalign(&p, 64, bytes + 64), 0);
    memset(p, 0xFF, bytes);
    return p;
}

static double *normal(int64_t m, int64_t n, uint64_t seed) {
    double *a = room(m, n);
    for (int64_t i = 0; i < m * n; i++) {
        float z[4];
        wn__philox_normal(seed, WN_STREAM_TEST, (uint64_t)i / 4, z);
        a[i] = (double)z[i % 4];
    }
    return a;
}

static double frobenius(int64_t count, const double *a) {
    double largest = 0, sum = 0;
    for (int64_t i = 0; i < count; i++)
        if (fabs(a[i]) > largest) largest = fabs(a[i]);
    if (largest == 0) return 0;
    for (int64_t i = 0; i < count; i++)
        sum += a[i] / largest * (a[i] / largest);
    return largest * sqrt(sum);
}

// ||A - B diag(s) C||_F / ||A||_F, s NULL for ones, in long double.
static double residual(int64_t m, int64_t n, int64_t k, const double *a, const double *b,
                       const double *s, const double *c) {
    double *d = room(m, n), norm = frobenius(m * n, a);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            long double sum = a[i * n + j];
            for (int64_t l = 0; l < k; l++)
                sum -= (long double)b[i * k + l] * (s ? s[l] : 1) * c[l * n + j];
            d[i * n + j] = (double)sum;
        }
    double error = frobenius(m * n, d);
    free(d);
    return norm > 0 ? error / norm : error;
}

// ||Q^T Q - I||_F of q[m,k], or of its transpose.
static double away_from_orthonormal(int64_t m, int64_t k, const double *q, bool rows) {
    double sum = 0;
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < k; j++) {
            long double dot = i == j ? -1 : 0;
            for (int64_t l = 0; l < m; l++)
                dot += rows ? (long double)q[i * m + l] * q[j * m + l]
                            : (long double)q[l * k + i] * q[l * k + j];
            sum += (double)(dot * dot);
        }
    return sqrt(sum);
}

// Higham, Accuracy and Stability of Numerical Algorithms, theorem 19.4: c m k u with a small
// integer c; a Jacobi rotation adds some u to the rows it meets, and a row meets k others a few
// times.
static double bound(int64_t m, int64_t n) {
    return (double)(20 + 10 * m * n) * U;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static void check_qr(const wn__linalg *f, wn__exec *x, int64_t m, int64_t n, const double *a) {
    int64_t k = least(m, n);
    double *q = room(m, k), *r = room(k, n);
    void *scratch = scratch_of(wn__linalg_qr_scratch(f, m, n));
    assert_ok(wn__linalg_qr(f, x, m, n, a, q, r, scratch));
    assert_below(residual(m, n, k, a, q, NULL, r), bound(m, n), "QR", m, n);
    assert_below(away_from_orthonormal(m, k, q, false), bound(m, n), "Q", m, n);
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < i; j++)
            assert_true(r[i * n + j] == 0);
    assert_true(isnan(q[m * k]) && isnan(r[k * n])); // nothing beyond the end
    free(q);
    free(r);
    free(scratch);
}

static void check_svd(const wn__linalg *f, wn__exec *x, int64_t m, int64_t n, const double *a) {
    int64_t k = least(m, n);
    double *u = room(m, k), *s = room(k, 1), *vt = room(k, n), *alone = room(k, 1);
    void *scratch = scratch_of(wn__linalg_svd_scratch(f, m, n));
    assert_ok(wn__linalg_svd(f, x, m, n, a, u, s, vt, scratch));
    assert_below(residual(m, n, k, a, u, s, vt), bound(m, n), "SVD", m, n);
    assert_below(away_from_orthonormal(m, k, u, false), bound(m, n), "U", m, n);
    assert_below(away_from_orthonormal(n, k, vt, true), bound(m, n), "V", m, n);
    for (int64_t i = 0; i < k; i++)
        assert_true(s[i] >= 0 && (i == 0 || s[i] <= s[i - 1]));
    assert_ok(wn__linalg_svd(f, x, m, n, a, NULL, alone, NULL, scratch));
    for (int64_t i = 0; i < k; i++)
        assert_below(fabs(alone[i] - s[i]), 2 * bound(m, n) * s[0], "values alone", m, n);
    free(u);
    free(s);
    free(vt);
    free(alone);
    free(scratch);
}

static const int64_t shapes[][2] = {{1, 1},  {1, 9},   {9, 1},    {2, 2},   {5, 3},   {3, 5},
                                    {17, 8}, {33, 33}, {40, 7},   {7, 100}, {65, 35}, {35, 65},
                                    {64, 4}, {48, 48}, {100, 70}, {70, 71}};

static void test_shapes(void **state) {
    (void)state;
    wn__exec x = {0};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        double *a = normal(shapes[i][0], shapes[i][1], i);
        for (int f = 0; f < 2; f++) {
            check_qr(family(f), &x, shapes[i][0], shapes[i][1], a);
            check_svd(family(f), &x, shapes[i][0], shapes[i][1], a);
        }
        free(a);
    }
}

// a[m,n] of a kind that a careless factorisation trips over.
static double *awkward(int kind, int64_t m, int64_t n) {
    double *a = normal(m, n, 77);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double *e = &a[i * n + j];
            switch (kind) {
            case 0: // nothing
                *e = 0;
                break;
            case 1: // rank 1
                *e = (double)(i + 1) * (double)(j - 3);
                break;
            case 2: // columns equal in pairs
                *e = a[i * n + j / 2 * 2];
                break;
            case 3: // zero columns and rows
                if (j % 3 == 1 || i % 4 == 0) *e = 0;
                break;
            case 4: // near overflow
                *e *= 0x1p1015;
                break;
            case 5: // near underflow
                *e *= 0x1p-1010;
                break;
            case 6: // columns from 1 down to 1e-270
                *e *= pow(10, -270.0 * (double)j / (double)n);
                break;
            case 7: // the same, growing
                *e *= pow(10, -270.0 * (double)(n - j) / (double)n);
                break;
            case 8: // already orthogonal, all singular values equal
                *e = i == j ? -3 : 0;
                break;
            default: // one entry
                *e = i == 2 && j == 1 ? 1e-3 : 0;
            }
        }
    return a;
}

static void test_awkward(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{12, 12}, {30, 10}, {10, 30}};
    wn__exec x = {0};
    for (int kind = 0; kind < 10; kind++)
        for (int i = 0; i < 3; i++) {
            double *a = awkward(kind, sizes[i][0], sizes[i][1]);
            for (int f = 0; f < 2; f++) {
                check_qr(family(f), &x, sizes[i][0], sizes[i][1], a);
                check_svd(family(f), &x, sizes[i][0], sizes[i][1], a);
            }
            free(a);
        }
}

static void test_empty(void **state) {
    (void)state;
    wn__exec x = {0};
    double sentinel = 5;
    for (int f = 0; f < 2; f++) {
        assert_int_equal(wn__linalg_qr_scratch(family(f), 4, 0), 0);
        assert_ok(wn__linalg_qr(family(f), &x, 4, 0, NULL, NULL, &sentinel, NULL));
        assert_ok(wn__linalg_qr(family(f), &x, 0, 4, NULL, NULL, &sentinel, NULL));
        assert_ok(wn__linalg_svd(family(f), &x, 0, 4, NULL, NULL, &sentinel, NULL, NULL));
        assert_ok(wn__linalg_polar(family(f), &x, 0, NULL, &sentinel, NULL));
    }
    assert_ok(wn__linalg_solve(&x, 0, 3, NULL, 3, NULL));
    assert_true(sentinel == 5);
}

static void test_qr_in_place(void **state) {
    (void)state;
    wn__exec x = {0};
    for (int f = 0; f < 2; f++) {
        double *a = normal(20, 6, 3), *q = room(20, 6), *r = room(6, 6), *r2 = room(6, 6);
        void *scratch = scratch_of(wn__linalg_qr_scratch(family(f), 20, 6));
        assert_ok(wn__linalg_qr(family(f), &x, 20, 6, a, q, r, scratch));
        assert_ok(wn__linalg_qr(family(f), &x, 20, 6, a, a, r2, scratch));
        assert_memory_equal(a, q, 120 * sizeof *a);
        assert_memory_equal(r, r2, 36 * sizeof *r);
        free(a);
        free(q);
        free(r);
        free(r2);
        free(scratch);
    }
}

// c = a b of packed matrices, naively.
static void multiply(int64_t m, int64_t k, int64_t n, const double *a, const double *b, double *c) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t l = 0; l < k; l++)
                sum += a[i * k + l] * b[l * n + j];
            c[i * n + j] = sum;
        }
}

// An orthogonal matrix I - 2 v v^T / v^T v times another such.
static double *orthogonal(int64_t n, uint64_t seed) {
    double *q = room(n, n);
    for (int64_t i = 0; i < n * n; i++)
        q[i] = i % (n + 1) == 0 ? 1 : 0;
    for (uint64_t turn = 0; turn < 2; turn++) {
        double *v = normal(n, 1, seed + turn), square = 0;
        for (int64_t i = 0; i < n; i++)
            square += v[i] * v[i];
        for (int64_t i = 0; i < n; i++) {
            double dot = 0;
            for (int64_t j = 0; j < n; j++)
                dot += q[i * n + j] * v[j];
            for (int64_t j = 0; j < n; j++)
                q[i * n + j] -= 2 / square * dot * v[j];
        }
        free(v);
    }
    return q;
}

// Singular values put in come out (Weyl: a perturbation moves none by more than its norm).
static void test_known_values(void **state) {
    (void)state;
    enum { M = 30, N = 18 };
    static const double values[N] = {7, 7, 7, 5, 4.5, 4, 3, 2, 1, 1, 0.5, 1e-3, 1e-6, 1e-9, 0};
    wn__exec x = {0};
    double *p = orthogonal(M, 5), *q = orthogonal(N, 9), *a = room(M, N), *s = room(N, 1);
    for (int64_t i = 0; i < M; i++)
        for (int64_t j = 0; j < N; j++) {
            a[i * N + j] = 0;
            for (int64_t l = 0; l < N; l++)
                a[i * N + j] += p[i * M + l] * values[l] * q[l * N + j];
        }
    for (int f = 0; f < 2; f++) {
        void *scratch = scratch_of(wn__linalg_svd_scratch(family(f), M, N));
        assert_ok(wn__linalg_svd(family(f), &x, M, N, a, NULL, s, NULL, scratch));
        for (int64_t i = 0; i < N; i++)
            assert_below(fabs(s[i] - values[i]), bound(M, N) * frobenius(M * N, a), "values", M, N);
        free(scratch);
    }
    free(p);
    free(q);
    free(a);
    free(s);
}

// B = Q H with H symmetric positive definite gives Q back, conditioned by sigma_min(H) >= 1.
static void test_polar(void **state) {
    (void)state;
    enum { N = 20 };
    wn__exec x = {0};
    double *q = orthogonal(N, 11), *g = normal(N, N, 12), *h = room(N, N), *b = room(N, N);
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j < N; j++) {
            h[i * N + j] = i == j ? 1 : 0;
            for (int64_t l = 0; l < N; l++)
                h[i * N + j] += g[l * N + i] * g[l * N + j];
        }
    multiply(N, N, N, q, h, b);
    for (int f = 0; f < 2; f++) {
        double *out = room(N, N);
        void *scratch = scratch_of(wn__linalg_polar_scratch(family(f), N));
        assert_ok(wn__linalg_polar(family(f), &x, N, b, out, scratch));
        for (int64_t i = 0; i < N * N; i++) // the factor's condition: 2 / (sigma_min + sigma_min)
            assert_below(fabs(out[i] - q[i]), bound(N, N) * frobenius(N * N, b), "polar", N, N);
        for (int64_t i = 0; i < N * N; i++)
            out[i] = i < N ? b[i] : 0; // rank 1, and in place
        assert_ok(wn__linalg_polar(family(f), &x, N, out, out, scratch));
        assert_below(away_from_orthonormal(N, N, out, false), bound(N, N), "polar of rank 1", N, N);
        free(out);
        free(scratch);
    }
    free(q);
    free(g);
    free(h);
    free(b);
}

// |X R - B| <= (n + 1) u |X| |R| entry by entry (Higham, theorem 8.5), n + 2 with the check's own
// rounding.
static void test_solve(void **state) {
    (void)state;
    enum { N = 37, LEADING = 41, ROWS = 11 };
    wn__exec x = {0};
    double *r = normal(N, LEADING, 21), *b = normal(ROWS, N, 22), *solved = room(ROWS, N);
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j < LEADING; j++)
            if (j < i || j >= N)
                r[i * LEADING + j] = NAN; // not read
            else if (j == i)
                r[i * LEADING + j] = i % 2 == 0 ? 2 : -3;
    memcpy(solved, b, ROWS * N * sizeof *b);
    assert_ok(wn__linalg_solve(&x, ROWS, N, r, LEADING, solved));
    for (int64_t i = 0; i < ROWS; i++)
        for (int64_t j = 0; j < N; j++) {
            long double sum = -(long double)b[i * N + j], size = 0;
            for (int64_t l = 0; l <= j; l++) {
                long double term = (long double)solved[i * N + l] * r[l * LEADING + j];
                sum += term;
                size += fabsl(term);
            }
            assert_below((double)fabsl(sum), (N + 2) * U * (double)size, "solve", ROWS, N);
        }
    r[5 * LEADING + 5] = 0;
    assert_refused(wn__linalg_solve(&x, ROWS, N, r, LEADING, b), "R[5,5] is 0");
    assert_refused(wn__linalg_solve(&x, ROWS, N, r, N - 1, b), "leading dimension of 36");
    r[5 * LEADING + 5] = 1;
    r[3 * LEADING + 4] = INFINITY;
    assert_refused(wn__linalg_solve(&x, ROWS, N, r, LEADING, b), "inf");
    r[3 * LEADING + 4] = 0;
    b[2 * N + 1] = NAN;
    assert_refused(wn__linalg_solve(&x, ROWS, N, r, LEADING, b), "[2,1]");
    free(r);
    free(b);
    free(solved);
}

// Whole numbers, so that any order of summation gives the same; all four ways of transposing, wide
// strides, sizes around the tiles, nothing outside c touched.
static void test_product(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{1, 1, 1},    {3, 5, 2},  {4, 4, 4},   {5, 257, 9},
                                       {33, 31, 70}, {64, 3, 5}, {70, 2, 37}, {40, 600, 40}};
    wn__exec x = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int way = 0; way < 8; way++) {
            int64_t m = sizes[i][0], k = sizes[i][1], n = sizes[i][2], ldc = n + 3;
            double *a = room(m, k), *b = room(k, n), *c = room(m, ldc), *want = room(m, n);
            wn_tensor ta =
                way & 1 ? wn__tensor2(a, WN_DTYPE_F64, k, m) : wn__tensor2(a, WN_DTYPE_F64, m, k);
            wn_tensor tb =
                way & 2 ? wn__tensor2(b, WN_DTYPE_F64, n, k) : wn__tensor2(b, WN_DTYPE_F64, k, n);
            wn_tensor tc = wn__tensor2(c, WN_DTYPE_F64, m, ldc);
            for (int64_t l = 0; l < m * k; l++)
                a[l] = (double)((l * 7 + 3) % 19 - 9);
            for (int64_t l = 0; l < k * n; l++)
                b[l] = (double)((l * 5 + 1) % 23 - 11);
            if (way & 1) ta = wn__tensor_transpose(&ta);
            if (way & 2) tb = wn__tensor_transpose(&tb);
            tc = wn__tensor_slice(&tc, 1, 1, n);
            assert_ok(wn__linalg_product(family(way / 4), &x, &ta, &tb, &tc));
            for (int64_t p = 0; p < m; p++)
                for (int64_t q = 0; q < ldc; q++) {
                    if (q < 1 || q > n) {
                        assert_true(isnan(c[p * ldc + q]));
                        continue;
                    }
                    double sum = 0;
                    for (int64_t l = 0; l < k; l++)
                        sum += *(double *)wn__tensor_at(&ta, p, l) *
                               *(double *)wn__tensor_at(&tb, l, q - 1);
                    assert_true(c[p * ldc + q] == sum);
                }
            free(a);
            free(b);
            free(c);
            free(want);
        }
}

static void test_product_edges(void **state) {
    (void)state;
    wn__exec x = {0};
    double a[6] = {1, 2, 3, 4, 5, 6}, c[4] = {7, 7, 7, 7};
    float narrow[4] = {0};
    for (int f = 0; f < 2; f++) {
        wn_tensor left = wn__tensor2(a, WN_DTYPE_F64, 2, 0),
                  right = wn__tensor2(a, WN_DTYPE_F64, 0, 2);
        wn_tensor out = wn__tensor2(c, WN_DTYPE_F64, 2, 2);
        assert_ok(wn__linalg_product(family(f), &x, &left, &right, &out));
        for (int i = 0; i < 4; i++)
            assert_true(c[i] == 0);
        c[0] = c[1] = c[2] = c[3] = 7;
        left = wn__tensor2(a, WN_DTYPE_F64, 2, 3);
        assert_refused(wn__linalg_product(family(f), &x, &left, &right, &out), "F64 [2, 3]");
        wn_tensor f32 = wn__tensor2(narrow, WN_DTYPE_F32, 2, 2);
        assert_refused(wn__linalg_product(family(f), &x, &f32, &out, &out), "F32 [2, 2]");
    }
}

// A run with other kernels forced, or none slower than necessary allowed, still multiplies in F64.
static void test_product_forced(void **state) {
    (void)state;
    static const char *const forced[] = {NULL, "matmul:ref", "matmul:avx2"};
    double a[4] = {1, 2, 3, 4}, c[4];
    for (int i = 0; i < 3; i++) {
        wn__runtime *rt = NULL;
        assert_ok(wn__runtime_create(1, forced[i], true, &rt));
        wn_tensor ta = wn__tensor2(a, WN_DTYPE_F64, 2, 2), tc = wn__tensor2(c, WN_DTYPE_F64, 2, 2);
        wn_tensor none = ta, target = tc;
        none.data = target.data = NULL;
        wn__runtime_plan_begin(rt);
        assert_ok(wn__linalg_product(NULL, &rt->exec, &none, &none, &target));
        assert_ok(wn__runtime_plan_end(rt));
        assert_ok(wn__linalg_product(NULL, &rt->exec, &ta, &ta, &tc));
        assert_true(c[0] == 7 && c[1] == 10 && c[2] == 15 && c[3] == 22);
        wn__runtime_free(rt);
    }
}

// Everything once; the results in one block of doubles.
static double *all_results(const wn__linalg *f, int threads, int64_t *count) {
    enum { M = 150, N = 90 };
    wn__exec x = {0};
    assert_ok(wn__pool_create(threads, &x.pool));
    *count = 3 * M * N + 5 * N * N + N;
    double *out = room(*count, 1), *a = normal(M, N, 31), *b = normal(N, N, 32);
    double *q = out, *r = q + M * N, *u = r + N * N, *s = u + M * N, *vt = s + N,
           *polar = vt + N * N;
    double *product = polar + N * N, *x_solved = product + N * N, *last = x_solved + M * N;
    void *scratch = scratch_of(wn__linalg_qr_scratch(f, M, N));
    assert_ok(wn__linalg_qr(f, &x, M, N, a, q, r, scratch));
    free(scratch);
    scratch = scratch_of(wn__linalg_svd_scratch(f, M, N));
    assert_ok(wn__linalg_svd(f, &x, M, N, a, u, s, vt, scratch));
    free(scratch);
    scratch = scratch_of(wn__linalg_polar_scratch(f, N));
    assert_ok(wn__linalg_polar(f, &x, N, b, polar, scratch));
    free(scratch);
    wn_tensor ta = wn__tensor2(a, WN_DTYPE_F64, M, N), t = wn__tensor_transpose(&ta);
    wn_tensor c = wn__tensor2(product, WN_DTYPE_F64, N, N);
    assert_ok(wn__linalg_product(f, &x, &t, &ta, &c));
    memcpy(x_solved, a, M * N * sizeof *a);
    assert_ok(wn__linalg_solve(&x, M, N, r, N, x_solved));
    memcpy(last, r, N * N * sizeof *r);
    for (int64_t i = 0; i < *count; i++)
        assert_true(isfinite(out[i]));
    free(a);
    free(b);
    wn__pool_free(x.pool);
    return out;
}

static void test_threads(void **state) {
    (void)state;
    for (int f = 0; f < 2; f++) {
        int64_t count = 0;
        double *one = all_results(family(f), 1, &count);
        for (int threads = 2; threads <= 5; threads += 3) {
            double *more = all_results(family(f), threads, &count);
            assert_memory_equal(one, more, (size_t)count * sizeof *one);
            free(more);
        }
        free(one);
    }
}

static void test_names(void **state) {
    (void)state;
    wn__exec x = {0};
    assert_string_equal(wn__linalg_name(),
                        wn__linalg_best() == wn__linalg_reference() ? "reference" : "lapacke");
    double *a = normal(20, 12, 41), *s = room(12, 1), *best = room(12, 1);
    void *scratch = scratch_of(wn__linalg_svd_scratch(NULL, 20, 12));
    assert_ok(wn__linalg_svd(NULL, &x, 20, 12, a, NULL, s, NULL, scratch));
    assert_ok(wn__linalg_svd(wn__linalg_best(), &x, 20, 12, a, NULL, best, NULL, scratch));
    assert_memory_equal(s, best, 12 * sizeof *s);
    free(a);
    free(s);
    free(best);
    free(scratch);
}

static void test_refused(void **state) {
    (void)state;
    wn__exec x = {0};
    double a[12] = {1, 2, 3, 4, 5, 6, 7, NAN, 9, 10, 11, 12}, q[12], r[12], s[3] = {-1, -1, -1};
    void *scratch = scratch_of(1 << 16);
    for (int f = 0; f < 2; f++) {
        assert_refused(wn__linalg_qr(family(f), &x, 4, 3, a, q, r, NULL), "entry [2,1]");
        assert_refused(wn__linalg_svd(family(f), &x, 3, 4, a, q, s, r, NULL), "entry [1,3]");
        assert_refused(wn__linalg_svd(family(f), &x, 3, 4, a, NULL, s, r, NULL), "come together");
        a[7] = -INFINITY;
        assert_refused(wn__linalg_qr(family(f), &x, 4, 3, a, q, r, NULL), "-inf");
        assert_refused(wn__linalg_polar(family(f), &x, 3, a, q, scratch), "-inf");
        a[7] = NAN;
        assert_refused(wn__linalg_qr(family(f), &x, -1, 3, a, q, r, NULL), "-1 x 3");
        assert_true(wn__linalg_qr_scratch(family(f), -1, 3) == SIZE_MAX);
        assert_true(wn__linalg_svd_scratch(family(f), 3, INT64_MAX) == SIZE_MAX);
        assert_true(wn__linalg_polar_scratch(family(f), -2) == SIZE_MAX);
    }
    assert_true(s[0] == -1 && s[2] == -1);
    free(scratch);
}

static void test_planning(void **state) {
    (void)state;
    wn__exec x = {.planning = true};
    for (int f = 0; f < 2; f++) {
        assert_ok(wn__linalg_qr(family(f), &x, 40, 30, NULL, NULL, NULL, NULL));
        assert_ok(wn__linalg_svd(family(f), &x, 40, 30, NULL, NULL, NULL, NULL, NULL));
        assert_ok(wn__linalg_polar(family(f), &x, 30, NULL, NULL, NULL));
        assert_ok(wn__linalg_solve(&x, 40, 30, NULL, 30, NULL));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),        cmocka_unit_test(test_awkward),
        cmocka_unit_test(test_empty),         cmocka_unit_test(test_qr_in_place),
        cmocka_unit_test(test_known_values),  cmocka_unit_test(test_polar),
        cmocka_unit_test(test_solve),         cmocka_unit_test(test_product),
        cmocka_unit_test(test_product_edges), cmocka_unit_test(test_product_forced),
        cmocka_unit_test(test_threads),       cmocka_unit_test(test_names),
        cmocka_unit_test(test_refused),       cmocka_unit_test(test_planning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
