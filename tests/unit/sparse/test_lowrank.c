// SPDX-License-Identifier: MIT
// The exact step of a low-rank weight against the dense computation: the projection onto the
// tangent space written out with inverses of Gram matrices, then the best approximation of rank r.
// Worked example, invariants, every shape, gauge, fall-backs, dtypes, strides, threads.
#include "lowrank_test.h"

#include "kernels/runtime.h"

// A step's arguments in F64 and what it needs.
typedef struct setup {
    mat m, n, dm, dn;
    double lr;
    wn__exact_options options;
    wn__exact_report report;
} setup;

static void close_setup(setup *s) {
    free_mats(4, s->m, s->n, s->dm, s->dn);
}

static wn_status run_step(setup *s, int threads) {
    wn__exec x = {0};
    wn_tensor m = view(s->m), n = view(s->n), dm = view(s->dm), dn = view(s->dn);
    size_t bytes = wn__lowrank_exact_scratch(s->m.rows, s->n.rows, s->m.cols);
    void *scratch = NULL;
    assert_true(bytes != SIZE_MAX);
    assert_int_equal(posix_memalign(&scratch, 64, bytes + 64), 0);
    memset(scratch, 0xFF, bytes + 64); // NaN
    if (threads > 1) assert_ok(wn__pool_create(threads, &x.pool));
    wn_status status =
        wn__lowrank_exact_step(&x, &m, &n, &dm, &dn, s->lr, &s->options, scratch, &s->report);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(((unsigned char *)scratch)[bytes + i], 0xFF);
    wn__pool_free(x.pool);
    free(scratch);
    return status;
}

static void step(setup *s) {
    assert_ok(run_step(s, 1));
    if (s->report.fell_back) fail_msg("fell back: %s", s->report.why);
    assert_string_equal(s->report.why, "");
}

// Random factors and directions that come from no gradient, as Adam's do.
static setup random_setup(int64_t out, int64_t in, int64_t r, double lr, uint64_t seed) {
    return (setup){.m = mat_normal(out, r, 1, seed),
                   .n = mat_normal(in, r, 1, seed + 1),
                   .dm = mat_normal(out, r, 1, seed + 2),
                   .dn = mat_normal(in, r, 1, seed + 3),
                   .lr = lr};
}

static void directions_of(setup *s, mat g) {
    free_mats(2, s->dm, s->dn);
    s->dm = mat_mul(1, g, false, s->n, false);
    s->dn = mat_mul(1, g, true, s->m, false);
}

// T = (I - P_M) dM N^+ + (M^+)^T dN^T (I - P_N) + K, where K is (M^+)^T dN^T P_N or the mean of
// that and P_M dM N^+: the bases of QR cancel.
static mat tangent(const setup *s) {
    mat dual_m = mat_dual(s->m), dual_n = mat_dual(s->n);
    mat from_m = mat_mul(1, s->dm, false, dual_n, true);
    mat from_n = mat_mul(1, dual_m, false, s->dn, true);
    mat p_m = mat_mul(1, s->m, false, dual_m, true), p_n = mat_mul(1, s->n, false, dual_n, true);
    double by_m = s->options.symmetric ? 0.5 : 0, by_n = 1 - by_m;
    mat t = mat_copy(from_m);
    mat_add(t, by_m - 1, mat_mul(1, p_m, false, from_m, false));
    mat_add(t, 1, mat_copy(from_n));
    mat_add(t, by_n - 1, mat_mul(1, from_n, false, p_n, false));
    free_mats(6, dual_m, dual_n, from_m, from_n, p_m, p_n);
    return t;
}

static mat product(const setup *s) {
    return mat_mul(1, s->m, false, s->n, true);
}

// ||(W - lr T)_r - W_new||, with the report compared on the way.
static double check_against_dense(setup *s) {
    int64_t r = s->m.cols, in = s->n.rows, most = s->m.rows < in ? s->m.rows : in;
    double *values = calloc((size_t)(in + r), sizeof *values), *own = values + in;
    mat old = product(s), target = mat_copy(old);
    mat_add(target, -s->lr, tangent(s));
    mat want = mat_best(target, r, values), m = mat_copy(s->m);
    step(s);
    mat got = product(s), best = mat_best(m, r, own);
    assert_near(s->report.sigma_max, values[0], 1e-10);
    assert_near(s->report.sigma_min, values[r - 1], 1e-10);
    assert_near(s->report.dropped, r < most ? values[r] : 0, 1e-10);
    assert_near(s->report.moved, mat_distance(got, old), 1e-10);
    assert_near(s->report.condition_m, own[0] / own[r - 1],
                1e-10 * s->report.condition_m * s->report.condition_m);
    double distance = mat_distance(want, got);
    free_mats(6, old, target, want, m, got, best);
    free(values);
    return distance;
}

// ---- the worked example

static const double example_m[] = {1, 0, 0, 1, 1, 1, 0, 2, 1, -1};
static const double example_n[] = {2, 0, 0, 1, 1, 0, 0, 1};
static const double example_g[] = {1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 2};
static const double example_tangent[] = {.86666667,  -.5,       .26666667,  .5,         .4,
                                         .21428571,  .2,        -.21428571, .06666667,  .21428571,
                                         -.13333333, .78571429, .8,         .92857143,  .4,
                                         .07142857,  .06666667, .28571429,  -.13333333, 1.71428571};
static const double example_new[] = {1.91360936, .04755759,  .97302461,   -.04765724, -.03994604,
                                     .97815714,  -.02006640, 1.02182596,  1.99309872, .97980984,
                                     1.01367602, .92024065,  -.07992828,  1.90737666, -.04016346,
                                     1.99263292, 1.99330689, -1.02746388, 1.01327918, -1.17249089};

static setup example(double lr) {
    setup s = {.m = mat_of(5, 2, example_m), .n = mat_of(4, 2, example_n), .lr = lr};
    s.dm = mat_new(1, 1);
    s.dn = mat_new(1, 1);
    mat g = mat_of(5, 4, example_g);
    directions_of(&s, g);
    free(g.v);
    return s;
}

static void test_example(void **state) {
    (void)state;
    for (int f = 0; f < 2; f++) {
        setup s = example(0.1);
        s.options.family = family(f);
        mat t = tangent(&s), printed = mat_of(5, 4, example_tangent),
            want = mat_of(5, 4, example_new);
        step(&s);
        mat got = product(&s);
        for (int i = 0; i < 20; i++) {
            assert_near(t.v[i], printed.v[i], 5.1e-9);
            assert_near(got.v[i], want.v[i], 5.1e-9);
        }
        assert_near(s.report.sigma_max, 3.88889817, 5.1e-9);
        assert_near(s.report.sigma_min, 3.65329285, 5.1e-9);
        assert_near(s.report.dropped, .00417599, 5.1e-9);
        free_mats(4, t, printed, want, got);
        close_setup(&s);
    }
}

// Invariants 1 to 3: the best approximation to 1e-12, of rank r, balanced.
static void test_best_and_balanced(void **state) {
    (void)state;
    for (int f = 0; f < 2; f++) {
        setup s = example(0.1);
        s.options.family = family(f);
        assert_near(check_against_dense(&s), 0, 1e-12);
        double values[4];
        mat w = product(&s), best = mat_best(w, 2, values);
        mat mm = mat_mul(1, s.m, true, s.m, false), nn = mat_mul(1, s.n, true, s.n, false);
        assert_true(values[2] < 1e-14 && values[3] < 1e-14);
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 2; j++) {
                assert_near(*el(mm, i, j), i == j ? values[i] : 0, 1e-13);
                assert_near(*el(nn, i, j), i == j ? values[i] : 0, 1e-13);
            }
        free_mats(4, w, best, mm, nn);
        close_setup(&s);
    }
}

// Invariant 4.
static void test_no_step(void **state) {
    (void)state;
    setup s = example(0);
    mat old = product(&s);
    step(&s);
    mat now = product(&s);
    assert_near(mat_distance(old, now), 0, 1e-13);
    assert_near(s.report.moved, 0, 1e-13);
    free_mats(2, old, now);
    close_setup(&s);
}

// Invariant 5: a retraction of second order.
static void test_second_order(void **state) {
    (void)state;
    static const double lr[] = {0.1, 0.01, 0.001}, want[] = {.4192, .4256, .42626};
    static const double digits[] = {5e-5, 5e-5, 5e-6};
    for (int i = 0; i < 3; i++) {
        setup s = example(lr[i]);
        mat line = product(&s);
        mat_add(line, -lr[i], tangent(&s));
        step(&s);
        mat now = product(&s);
        assert_near(mat_distance(now, line) / (lr[i] * lr[i]), want[i], digits[i]);
        free_mats(2, line, now);
        close_setup(&s);
    }
}

// Invariant 6: (M R, N R^-T) with its own gradients goes to the same place; along the plain
// gradients of the factors it does not.
static void test_gauge_invariance(void **state) {
    (void)state;
    static const double turn[] = {2, 1, .5, 1}, back[] = {1 / 1.5, -.5 / 1.5, -1 / 1.5, 2 / 1.5};
    for (int f = 0; f < 2; f++) {
        mat g = mat_of(5, 4, example_g), r = mat_of(2, 2, turn), rt = mat_of(2, 2, back), w[2],
            plain[2];
        for (int i = 0; i < 2; i++) {
            setup s = example(0.1);
            s.options.family = family(f);
            if (i == 1) {
                mat m = mat_mul(1, s.m, false, r, false), n = mat_mul(1, s.n, false, rt, false);
                free_mats(2, s.m, s.n);
                s.m = m;
                s.n = n;
                directions_of(&s, g);
            }
            mat m = mat_copy(s.m), n = mat_copy(s.n);
            mat_add(m, -s.lr, mat_copy(s.dm));
            mat_add(n, -s.lr, mat_copy(s.dn));
            plain[i] = mat_mul(1, m, false, n, true);
            step(&s);
            w[i] = product(&s);
            free_mats(2, m, n);
            close_setup(&s);
        }
        assert_near(mat_distance(w[0], w[1]), 0, 1e-12);
        mat_add(plain[0], -1, mat_copy(plain[1]));
        double largest = 0;
        for (int i = 0; i < 20; i++)
            largest = fmax(largest, fabs(plain[0].v[i]));
        assert_near(largest, 1.697, 5e-4);
        free_mats(7, g, r, rt, w[0], w[1], plain[0], plain[1]);
    }
}

// Invariant 7, of the direction the library takes: (W - W_new) / lr is T up to 0.43 lr.
static void test_projection(void **state) {
    (void)state;
    setup s = example(1e-6);
    mat g = mat_of(5, 4, example_g), t = product(&s);
    step(&s);
    mat now = product(&s);
    mat_add(t, -1, now);
    for (int i = 0; i < 20; i++)
        t.v[i] /= s.lr;
    assert_near(mat_dot(g, t), 7.00952381, 1e-5);
    assert_near(mat_dot(t, t), 7.00952381, 1e-5);
    free_mats(2, g, t);
    close_setup(&s);
}

// Invariant 8: projecting again changes nothing.
static void test_idempotent(void **state) {
    (void)state;
    setup once = example(0.1), twice = example(0.1);
    mat t = tangent(&twice);
    directions_of(&twice, t);
    step(&once);
    step(&twice);
    mat a = product(&once), b = product(&twice);
    assert_near(mat_distance(a, b), 0, 1e-12);
    free_mats(3, t, a, b);
    close_setup(&once);
    close_setup(&twice);
}

// Invariant 9: signs of gradients, as Adam's first step takes, belong to no gradient. K0 from dN
// and from dM differ; each option follows its own, and with true gradients they agree.
static void test_inconsistent_directions(void **state) {
    (void)state;
    static const double from_dn[] = {.5164, .4082, .5071, 0},
                        from_dm[] = {.2582, .8165, .5071, .5345};
    setup s = example(0.1);
    for (int i = 0; i < 10; i++)
        s.dm.v[i] = s.dm.v[i] > 0 ? 1 : s.dm.v[i] < 0 ? -1 : 0;
    for (int i = 0; i < 8; i++)
        s.dn.v[i] = s.dn.v[i] > 0 ? 1 : s.dn.v[i] < 0 ? -1 : 0;
    wn__exec x = {0};
    double u[10], v[8], rm[4], rn[4];
    void *scratch = NULL;
    size_t bytes = wn__linalg_qr_scratch(NULL, 5, 2);
    assert_int_equal(posix_memalign(&scratch, 64, bytes), 0);
    assert_ok(wn__linalg_qr(NULL, &x, 5, 2, s.m.v, u, rm, scratch));
    assert_ok(wn__linalg_qr(NULL, &x, 4, 2, s.n.v, v, rn, scratch));
    free(scratch);
    mat zb = mat_copy(s.dm), za = mat_copy(s.dn); // Z_A transposed
    assert_ok(wn__linalg_solve(&x, 5, 2, rn, 2, zb.v));
    assert_ok(wn__linalg_solve(&x, 4, 2, rm, 2, za.v));
    mat um = mat_of(5, 2, u), vm = mat_of(4, 2, v);
    mat k_n = mat_mul(1, za, true, vm, false), k_m = mat_mul(1, um, true, zb, false);
    for (int i = 0; i < 4; i++) {
        assert_near(fabs(k_n.v[i]), from_dn[i], 5.1e-5);
        assert_near(fabs(k_m.v[i]), from_dm[i], 5.1e-5);
    }
    setup other = {
        .m = mat_copy(s.m), .n = mat_copy(s.n), .dm = mat_copy(s.dm), .dn = mat_copy(s.dn)};
    other.lr = s.lr;
    other.options.symmetric = true;
    assert_near(check_against_dense(&s), 0, 1e-12);
    assert_near(check_against_dense(&other), 0, 1e-12);
    mat a = product(&s), b = product(&other);
    // lr / 2 ||K0' - K0|| before the cut, which changes that by O(lr^2).
    double half = 0.05 * mat_distance(k_n, k_m);
    assert_true(mat_distance(a, b) > 0.5 * half && mat_distance(a, b) < 2 * half);
    free_mats(8, zb, za, um, vm, k_n, k_m, a, b);
    close_setup(&s);
    close_setup(&other);
    setup paper = example(0.1), mean = example(0.1);
    mean.options.symmetric = true;
    step(&paper);
    step(&mean);
    a = product(&paper);
    b = product(&mean);
    assert_near(mat_distance(a, b), 0, 1e-13);
    free_mats(2, a, b);
    close_setup(&paper);
    close_setup(&mean);
}

// ---- any shape

static const int64_t shapes[][3] = {{7, 5, 2},   {5, 7, 2},    {12, 9, 6},   {9, 12, 7},
                                    {6, 6, 6},   {8, 5, 5},    {5, 8, 5},    {10, 10, 1},
                                    {1, 1, 1},   {1, 6, 1},    {6, 1, 1},    {30, 20, 8},
                                    {20, 33, 9}, {24, 24, 12}, {26, 24, 16}, {40, 40, 25}};

static void test_shapes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int way = 0; way < 8; way++) {
            const int64_t *p = shapes[i];
            setup s = random_setup(p[0], p[1], p[2], 0.01, 100 * i);
            s.options.family = family(way / 4);
            s.options.symmetric = way & 1;
            if (way & 2) {
                mat g = mat_normal(p[0], p[1], 0.3, 9);
                directions_of(&s, g);
                free(g.v);
            }
            double distance = check_against_dense(&s);
            if (!(distance <= 1e-10))
                fail_msg("[%d, %d] of rank %d, way %d: off by %g", (int)p[0], (int)p[1], (int)p[2],
                         way, distance);
            close_setup(&s);
        }
}

// r above out or in: W has full rank and G is known; W_new = W - lr G.
static void test_full_rank(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{4, 9, 6}, {9, 4, 6}, {4, 3, 6},
                                       {3, 3, 5}, {1, 5, 2}, {2, 1, 3}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int way = 0; way < 8; way++) {
            int64_t out = sizes[i][0], in = sizes[i][1], r = sizes[i][2], k = out < in ? out : in;
            setup s = random_setup(out, in, r, 0.05, 1000 + i);
            s.options.family = family(way / 4);
            s.options.symmetric = way & 1;
            s.options.gauge = way & 2;
            mat dual_m = mat_dual(s.m), dual_n = mat_dual(s.n), want = product(&s);
            mat by_m = mat_mul(1, s.dm, false, dual_n, true),
                by_n = mat_mul(1, dual_m, false, s.dn, true);
            bool both = out == in && s.options.symmetric, from_dn = out <= in;
            if (both || from_dn) mat_add(want, both ? -0.5 * s.lr : -s.lr, mat_copy(by_n));
            if (both || !from_dn) mat_add(want, both ? -0.5 * s.lr : -s.lr, mat_copy(by_m));
            mat old = product(&s);
            step(&s);
            mat got = product(&s);
            assert_near(mat_distance(got, want), 0, 1e-10);
            assert_near(s.report.moved, mat_distance(got, old), 1e-10);
            assert_true(s.report.dropped == 0);
            mat mm = mat_mul(1, s.m, true, s.m, false), nn = mat_mul(1, s.n, true, s.n, false);
            assert_near(mat_distance(mm, nn), 0, 1e-10); // balanced
            if (!s.options.gauge)
                for (int64_t j = k; j < r; j++)
                    assert_true(*el(mm, j, j) == 0 && *el(nn, j, j) == 0);
            step(&s); // and again, zero columns or not
            free_mats(9, dual_m, dual_n, want, by_m, by_n, old, got, mm, nn);
            close_setup(&s);
        }
}

// Descending ||W - A||^2 / 2 along its gradient ends at the best approximation of A.
static void test_descent(void **state) {
    (void)state;
    mat full = mat_normal(14, 11, 1, 3), a = mat_best(full, 4, NULL);
    mat_add(a, 0.3, full);
    mat best = mat_best(a, 4, NULL);
    setup s = random_setup(14, 11, 4, 0.7, 50);
    s.options.gauge = true;
    for (int i = 0; i < 300; i++) {
        mat g = product(&s);
        mat_add(g, -1, mat_copy(a));
        directions_of(&s, g);
        free(g.v);
        step(&s);
    }
    mat w = product(&s);
    assert_near(mat_distance(w, best), 0, 1e-9);
    free_mats(3, a, best, w);
    close_setup(&s);
}

// ---- gauge

static double movement(const setup *s, mat m, mat n) {
    return hypot(mat_distance(s->m, m), mat_distance(s->n, n));
}

// The product stays, the factors move no more than without, nor than under any turn nearby.
static void test_gauge(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int f = 0; f < 2; f++) {
            const int64_t *p = shapes[i];
            setup plain = random_setup(p[0], p[1], p[2], 0.01, 7 * i);
            setup gauge = random_setup(p[0], p[1], p[2], 0.01, 7 * i);
            plain.options.family = gauge.options.family = family(f);
            gauge.options.gauge = true;
            mat m = mat_copy(plain.m), n = mat_copy(plain.n);
            step(&plain);
            step(&gauge);
            mat a = product(&plain), b = product(&gauge);
            assert_near(mat_distance(a, b), 0, 1e-12 * (1 + plain.report.sigma_max));
            double moved = movement(&gauge, m, n);
            assert_true(moved <= movement(&plain, m, n) * (1 + 1e-12));
            mat mm = mat_mul(1, gauge.m, true, gauge.m, false),
                nn = mat_mul(1, gauge.n, true, gauge.n, false);
            assert_near(mat_distance(mm, nn), 0, 1e-11 * (1 + plain.report.sigma_max));
            for (int64_t q = 1; q < p[2] && q < 4; q++)
                for (int sign = -1; sign <= 1; sign += 2) {
                    setup turned = {.m = mat_copy(gauge.m), .n = mat_copy(gauge.n)};
                    double c = cos(0.01), sn = sign * sin(0.01);
                    for (int64_t l = 0; l < p[0] + p[1]; l++) {
                        mat t = l < p[0] ? turned.m : turned.n;
                        double *x = el(t, l < p[0] ? l : l - p[0], 0), x0 = x[0], xq = x[q];
                        x[0] = c * x0 - sn * xq;
                        x[q] = sn * x0 + c * xq;
                    }
                    assert_true(movement(&turned, m, n) >= moved * (1 - 1e-12));
                    free_mats(2, turned.m, turned.n);
                }
            free_mats(6, m, n, a, b, mm, nn);
            close_setup(&plain);
            close_setup(&gauge);
        }
}

// Without a turn the signs that an SVD leaves open are those of the old columns, whatever the
// family: the vectors of two families differ by rounding over the gap of their values, here at
// least 1e-5 of the largest, and never by a sign.
static void test_gauge_signs(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        setup s[2];
        for (int f = 0; f < 2; f++) {
            s[f] = random_setup(shapes[i][0], shapes[i][1], shapes[i][2], 0.01, 7 * i);
            s[f].options.family = family(f);
            mat m = mat_copy(s[f].m), n = mat_copy(s[f].n);
            step(&s[f]);
            for (int64_t j = 0; j < m.cols; j++) {
                double along = 0;
                for (int64_t l = 0; l < m.rows + n.rows; l++)
                    along += l < m.rows ? *el(m, l, j) * *el(s[f].m, l, j)
                                        : *el(n, l - m.rows, j) * *el(s[f].n, l - m.rows, j);
                assert_true(along > -1e-13);
            }
            free_mats(2, m, n);
        }
        assert_near(mat_distance(s[0].m, s[1].m), 0, 1e-9 * (1 + s[0].report.sigma_max));
        assert_near(mat_distance(s[0].n, s[1].n), 0, 1e-9 * (1 + s[0].report.sigma_max));
        close_setup(&s[0]);
        close_setup(&s[1]);
    }
}

// Balanced factors in a basis of their own stay where they are when nothing pulls, and move by
// O(lr) when something does; without the gauge they jump into the basis of the SVD.
static void test_gauge_keeps_still(void **state) {
    (void)state;
    static const double lr[] = {0, 1e-7};
    for (int i = 0; i < 2; i++)
        for (int gauge = 0; gauge < 2; gauge++) {
            setup s = random_setup(15, 12, 5, 0.01, 70);
            s.options.gauge = true;
            step(&s); // balanced, not diagonal
            s.options.gauge = gauge == 1;
            s.lr = lr[i];
            mat m = mat_copy(s.m), n = mat_copy(s.n);
            step(&s);
            double moved = movement(&s, m, n);
            if (gauge)
                assert_true(moved <= 1e-12 + 100 * lr[i]);
            else
                assert_true(moved > 0.1);
            free_mats(2, m, n);
            close_setup(&s);
        }
}

// ---- fall-backs and refusals

static void assert_falls_back(setup *s, const char *words) {
    mat m = mat_copy(s->m), n = mat_copy(s->n);
    assert_ok(run_step(s, 1));
    assert_true(s->report.fell_back);
    if (!strstr(s->report.why, words)) fail_msg("\"%s\" lacks \"%s\"", s->report.why, words);
    assert_memory_equal(m.v, s->m.v, (size_t)(m.rows * m.cols) * sizeof *m.v);
    assert_memory_equal(n.v, s->n.v, (size_t)(n.rows * n.cols) * sizeof *n.v);
    free_mats(2, m, n);
    close_setup(s);
}

// Invariant 10 and its kin.
static void test_fall_backs(void **state) {
    (void)state;
    for (int f = 0; f < 2; f++) {
        const wn__exact_options options = {.family = family(f), .gauge = true};
        setup s = random_setup(9, 8, 3, 0.1, 5);
        s.options = options;
        for (int64_t i = 0; i < 9; i++)
            *el(s.m, i, 1) = 0;
        assert_falls_back(&s, "column 1 of M is zero");
        s = random_setup(9, 8, 3, 0.1, 5);
        s.options = options;
        for (int64_t i = 0; i < 8; i++)
            *el(s.n, i, 2) = i % 2 ? -0.0 : 0.0;
        assert_falls_back(&s, "column 2 of N is zero");
        s = random_setup(9, 8, 3, 0.1, 5);
        s.options = options;
        for (int64_t i = 0; i < 9; i++)
            *el(s.m, i, 2) = *el(s.m, i, 0) * (1 + (i == 4 ? 1e-9 : 0));
        assert_falls_back(&s, "M: smallest over largest");
        s = random_setup(9, 8, 3, 0.1, 5);
        s.options = options;
        for (int64_t i = 0; i < 8; i++)
            *el(s.n, i, 2) *= 1e-8;
        assert_falls_back(&s, "N: smallest over largest");
        s = random_setup(9, 8, 3, 0.1, 5);
        s.options = options;
        s.options.least_ratio = 0.99;
        assert_falls_back(&s, "at least 0.99 needed");
        s = random_setup(9, 8, 3, 1e308, 5);
        s.options = options;
        for (int64_t i = 0; i < 27; i++)
            s.dm.v[i] *= 1e10;
        assert_falls_back(&s, "overflows");
        s = random_setup(3, 8, 5, 0.1, 5); // M wide with two rows alike
        s.options = options;
        memcpy(el(s.m, 1, 0), el(s.m, 0, 0), 5 * sizeof(double));
        assert_falls_back(&s, "M: smallest over largest");
    }
}

// A ratio above the limit passes: 1e-8 with least_ratio 1e-9.
static void test_least_ratio(void **state) {
    (void)state;
    setup s = random_setup(9, 8, 3, 0, 5);
    s.options.least_ratio = 1e-9;
    for (int64_t i = 0; i < 8; i++)
        *el(s.n, i, 2) *= 1e-8;
    step(&s);
    assert_true(s.report.condition_n > 1e7 && s.report.condition_n < 1e9);
    close_setup(&s);
}

static void test_refused(void **state) {
    (void)state;
    setup s = random_setup(6, 5, 2, 0.1, 8);
    mat m = mat_copy(s.m), n = mat_copy(s.n);
    double *places[4] = {el(s.m, 3, 1), el(s.n, 4, 0), el(s.dm, 0, 0), el(s.dn, 2, 1)};
    static const char *const words[4] = {"M[3,1] is nan", "N[4,0] is inf", "dM[0,0] is -inf",
                                         "dN[2,1] is nan"};
    static const double bad[4] = {NAN, INFINITY, -INFINITY, NAN};
    for (int i = 0; i < 4; i++) {
        double good = *places[i];
        *places[i] = bad[i];
        assert_refused(run_step(&s, 1), words[i]);
        *places[i] = good;
    }
    s.lr = NAN;
    assert_refused(run_step(&s, 1), "learning rate nan");
    s.lr = 0.1;
    mat dn = s.dn;
    s.dn = mat_new(4, 2);
    assert_refused(run_step(&s, 1), "dN is F64 [4, 2]; [5, 2] is needed");
    free(s.dn.v);
    s.dn = dn;
    wn__exec x = {0};
    wn__exact_report report;
    wn_tensor tm = view(s.m), tn = view(s.n), td = view(s.dm), te = view(s.dn), half = tm;
    half.dtype = WN_DTYPE_BF16;
    assert_refused(wn__lowrank_exact_step(&x, &half, &tn, &td, &te, 0.1, NULL, NULL, &report),
                   "M is BF16");
    half = te;
    half.data = NULL;
    assert_refused(wn__lowrank_exact_step(&x, &tm, &tn, &td, &half, 0.1, NULL, NULL, &report),
                   "has no data");
    assert_true(mat_distance(m, s.m) == 0 && mat_distance(n, s.n) == 0);
    assert_true(wn__lowrank_exact_scratch(6, 5, 0) == SIZE_MAX);
    assert_true(wn__lowrank_exact_scratch(-1, 5, 1) == SIZE_MAX);
    assert_true(wn__lowrank_exact_scratch(INT64_MAX / 4, 5, 1) == SIZE_MAX);
    free_mats(2, m, n);
    close_setup(&s);
}

// ---- dtypes, strides, threads, planning

typedef struct narrow {
    float *m, *n, *dm, *dn;
} narrow;

static float *rounded(mat a) {
    float *v = malloc((size_t)(a.rows * a.cols) * sizeof *v);
    assert_non_null(v);
    for (int64_t i = 0; i < a.rows * a.cols; i++) {
        v[i] = (float)a.v[i];
        a.v[i] = (double)v[i];
    }
    return v;
}

static void widen(mat a, const float *v) {
    for (int64_t i = 0; i < a.rows * a.cols; i++)
        a.v[i] = (double)v[i];
}

static wn_status run_narrow(setup *s, narrow *f) {
    int64_t out = s->m.rows, in = s->n.rows, r = s->m.cols;
    wn__exec x = {0};
    wn_tensor m = wn__tensor2(f->m, WN_DTYPE_F32, out, r),
              n = wn__tensor2(f->n, WN_DTYPE_F32, in, r);
    wn_tensor dm = wn__tensor2(f->dm, WN_DTYPE_F32, out, r);
    wn_tensor dn = wn__tensor2(f->dn, WN_DTYPE_F32, in, r);
    void *scratch = NULL;
    assert_int_equal(posix_memalign(&scratch, 64, wn__lowrank_exact_scratch(out, in, r)), 0);
    wn_status status =
        wn__lowrank_exact_step(&x, &m, &n, &dm, &dn, s->lr, NULL, scratch, &s->report);
    free(scratch);
    return status;
}

// F32 factors: only the results round. (M + E)(N + F)^T with |E| <= u |M|, |F| <= u |N| moves W by
// no more than (2 u + u^2) ||M||_F ||N||_F.
static void test_f32(void **state) {
    (void)state;
    for (int64_t i = 0; i < 3; i++) {
        setup s = random_setup(20 + i, 30 - 9 * i, 7, 0.01, 60);
        narrow f = {rounded(s.m), rounded(s.n), rounded(s.dm), rounded(s.dn)};
        mat target = product(&s);
        mat_add(target, -s.lr, tangent(&s));
        mat want = mat_best(target, 7, NULL);
        assert_ok(run_narrow(&s, &f));
        assert_false(s.report.fell_back);
        widen(s.m, f.m);
        widen(s.n, f.n);
        mat got = product(&s);
        double size = sqrt(mat_dot(s.m, s.m) * mat_dot(s.n, s.n));
        double distance = mat_distance(got, want);
        assert_true(distance <= 1e-10 + (0x1p-23 + 0x1p-48) * size);
        assert_true(distance > 1e-9); // it did round
        free_mats(3, target, want, got);
        free(f.m);
        free(f.n);
        free(f.dm);
        free(f.dn);
        close_setup(&s);
    }
}

static void test_f32_range(void **state) {
    (void)state;
    setup s = random_setup(6, 5, 2, 1e80, 61);
    narrow f = {rounded(s.m), rounded(s.n), rounded(s.dm), rounded(s.dn)};
    float *before = rounded(s.m);
    assert_ok(run_narrow(&s, &f));
    assert_true(s.report.fell_back);
    assert_non_null(strstr(s.report.why, "range of F32"));
    assert_memory_equal(before, f.m, 12 * sizeof *before);
    free(before);
    free(f.m);
    free(f.n);
    free(f.dm);
    free(f.dn);
    close_setup(&s);
}

// N stored as [r,in], M with room between its rows: the same bits as packed ones.
static void test_strides(void **state) {
    (void)state;
    setup s = random_setup(8, 9, 3, 0.1, 90);
    wn__exec x = {0};
    wn__exact_report report;
    mat nt = mat_new(3, 9), dnt = mat_new(3, 9), wide = mat_new(8, 5);
    for (int64_t j = 0; j < 3; j++)
        for (int64_t i = 0; i < 9; i++) {
            *el(nt, j, i) = *el(s.n, i, j);
            *el(dnt, j, i) = *el(s.dn, i, j);
            if (i < 8) *el(wide, i, j) = *el(s.m, i, j);
        }
    wn_tensor stored_n = view(nt), stored_dn = view(dnt), stored_m = view(wide), dm = view(s.dm);
    wn_tensor n = wn__tensor_transpose(&stored_n), dn = wn__tensor_transpose(&stored_dn);
    wn_tensor m = wn__tensor_slice(&stored_m, 1, 0, 3);
    void *scratch = NULL;
    assert_int_equal(posix_memalign(&scratch, 64, wn__lowrank_exact_scratch(8, 9, 3)), 0);
    assert_ok(wn__lowrank_exact_step(&x, &m, &n, &dm, &dn, 0.1, NULL, scratch, &report));
    free(scratch);
    step(&s);
    for (int64_t j = 0; j < 5; j++)
        for (int64_t i = 0; i < 9; i++) {
            if (j < 3) assert_true(*el(nt, j, i) == *el(s.n, i, j));
            if (i < 8) assert_true(*el(wide, i, j) == (j < 3 ? *el(s.m, i, j) : 0));
        }
    free_mats(3, nt, dnt, wide);
    close_setup(&s);
}

static void test_threads(void **state) {
    (void)state;
    for (int f = 0; f < 2; f++) {
        setup one = random_setup(130, 110, 40, 0.01, 33);
        one.options = (wn__exact_options){.family = family(f), .gauge = true};
        assert_ok(run_step(&one, 1));
        for (int threads = 2; threads <= 5; threads += 3) {
            setup more = random_setup(130, 110, 40, 0.01, 33);
            more.options = one.options;
            assert_ok(run_step(&more, threads));
            assert_memory_equal(one.m.v, more.m.v, 130 * 40 * sizeof(double));
            assert_memory_equal(one.n.v, more.n.v, 110 * 40 * sizeof(double));
            assert_memory_equal(&one.report, &more.report, sizeof one.report);
            close_setup(&more);
        }
        close_setup(&one);
    }
}

// Planned without data, run with what was planned.
static void test_planning(void **state) {
    (void)state;
    for (int64_t r = 4; r <= 12; r += 8) {
        wn__runtime *rt = NULL;
        assert_ok(wn__runtime_create(2, NULL, true, &rt));
        setup s = random_setup(20, 10, r, 0.1, 44);
        wn_tensor t[4] = {view(s.m), view(s.n), view(s.dm), view(s.dn)}, empty[4];
        memcpy(empty, t, sizeof t);
        for (int i = 0; i < 4; i++)
            empty[i].data = NULL;
        wn__exact_options o = {.gauge = true};
        wn__runtime_plan_begin(rt);
        assert_ok(wn__lowrank_exact_step(&rt->exec, &empty[0], &empty[1], &empty[2], &empty[3], 0.1,
                                         &o, NULL, &s.report));
        assert_false(s.report.fell_back);
        assert_ok(wn__runtime_plan_end(rt));
        void *scratch = NULL;
        assert_int_equal(posix_memalign(&scratch, 64, wn__lowrank_exact_scratch(20, 10, r)), 0);
        assert_ok(wn__lowrank_exact_step(&rt->exec, &t[0], &t[1], &t[2], &t[3], 0.1, &o, scratch,
                                         &s.report));
        assert_false(s.report.fell_back);
        free(scratch);
        close_setup(&s);
        wn__runtime_free(rt);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example),          cmocka_unit_test(test_best_and_balanced),
        cmocka_unit_test(test_no_step),          cmocka_unit_test(test_second_order),
        cmocka_unit_test(test_gauge_invariance), cmocka_unit_test(test_projection),
        cmocka_unit_test(test_idempotent),       cmocka_unit_test(test_inconsistent_directions),
        cmocka_unit_test(test_shapes),           cmocka_unit_test(test_full_rank),
        cmocka_unit_test(test_descent),          cmocka_unit_test(test_gauge),
        cmocka_unit_test(test_gauge_signs),      cmocka_unit_test(test_gauge_keeps_still),
        cmocka_unit_test(test_fall_backs),       cmocka_unit_test(test_least_ratio),
        cmocka_unit_test(test_refused),          cmocka_unit_test(test_f32),
        cmocka_unit_test(test_f32_range),        cmocka_unit_test(test_strides),
        cmocka_unit_test(test_threads),          cmocka_unit_test(test_planning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
