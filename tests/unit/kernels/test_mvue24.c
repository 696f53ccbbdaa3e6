// SPDX-License-Identifier: MIT
// mvue24: what a group becomes for every draw (inclusion probabilities, emitted values, variances,
// by enumeration), then the op: unbiased within the predicted confidence, also through a product,
// the same with any number of threads. Statistical bounds are z = 5 standard deviations; the keys
// are fixed, so they hold always or never.
#include "base/fail.h"
#include "kernels/act24.h"
#include "kernels/matmul.h"
#include "kernels/soft24.h"
#include "variants.h"

#define Z 5

static void prune(wn__mvue24_method method, const double a[4], double u, double v, double y[4]) {
    const double draws[2] = {u, v};
    wn__mvue24_group(method, 4, a, draws, y);
}

static unsigned support(const double y[4]) {
    unsigned bits = 0;
    for (int i = 0; i < 4; i++)
        bits |= (unsigned)(y[i] != 0) << i;
    return bits;
}

static int size_of(unsigned bits) {
    return (int)((bits & 1) + (bits >> 1 & 1) + (bits >> 2 & 1) + (bits >> 3 & 1));
}

// ---- all draws of one group

// What enumeration tells: inclusion probabilities, the value emitted, and pairs.
typedef struct design {
    double pi[4], value[4], pair[4][4];
} design;

// Every outcome has two survivors or all that is not zero; one that survives always has one value.
static void note(design *d, const double y[4], double weight) {
    unsigned bits = support(y);
    assert_true(size_of(bits) <= 2);
    for (int i = 0; i < 4; i++) {
        if (!(bits >> i & 1)) continue;
        assert_true(d->value[i] == 0 || d->value[i] == y[i]);
        d->value[i] = y[i];
        d->pi[i] += weight;
        for (int j = 0; j < i; j++)
            if (bits >> j & 1) d->pair[j][i] += weight;
    }
}

enum { GRID = 20000 };

// Midpoints of GRID intervals of u: an inclusion set is two intervals, its measure off by less than
// 2 / GRID.
static design enumerate_exact(const double a[4]) {
    design d = {{0}, {0}, {{0}}};
    for (int n = 0; n < GRID; n++) {
        double y[4];
        prune(WN_MVUE24_EXACT, a, (n + 0.5) / GRID, 0, y);
        note(&d, y, 1.0 / GRID);
    }
    return d;
}

// The first survivor depends on u alone and the pair on v besides; so one u of each first survivor
// stands for all of them (of a share below 1e-9 there may be none). Shares of v are off by less
// than 1 / GRID.
static design enumerate_approx(const double a[4]) {
    design d = {{0}, {0}, {{0}}};
    double most = 0, sum = 0, edge = 0;
    for (int i = 0; i < 4; i++)
        most = fmax(most, fabs(a[i]));
    for (int i = 0; i < 4 && most > 0; i++)
        sum += fabs(a[i]) / most;
    for (int i = 0; i < 4; i++) {
        double share = fabs(a[i]) / most / sum, u = edge + share / 2;
        edge += share;
        for (int n = 0; n < GRID && share > 1e-9; n++) {
            double y[4];
            prune(WN_MVUE24_APPROX, a, u, (n + 0.5) / GRID, y);
            assert_true(y[i] != 0); // the first one is i
            note(&d, y, share / GRID);
        }
    }
    return d;
}

static const struct {
    double a[4];
    double approx_pi[4], approx_value[4], approx_variance;
    double exact_pi[4], exact_value[4], exact_variance;
} rows[] = {
    {{1, 2, 3, 4},
     {.23452381, .44126984, .60833333, .71587302},
     {4.26395939, 4.53237410, 4.93150685, 5.58758315},
     20.473561,
     {.2, .4, .6, .8},
     {5, 5, 5, 5},
     20},
    {{1, 1, 1, 1}, {.5, .5, .5, .5}, {2, 2, 2, 2}, 4, {.5, .5, .5, .5}, {2, 2, 2, 2}, 4},
    {{4, 1, 1, 1},
     {.857142857, .380952381, .380952381, .380952381},
     {4.66666667, 2.625, 2.625, 2.625},
     7.541667,
     {1, 1 / 3.0, 1 / 3.0, 1 / 3.0},
     {4, 3, 3, 3},
     6},
    {{.1, .2, .3, 5},
     {.16833882, .33600425, .50295815, .99269878},
     {.59404, .595231, .596471, 5.036775},
     .401265,
     {1 / 6.0, 1 / 3.0, .5, 1},
     {.6, .6, .6, 5},
     .22},
    {{3, 1, 0, 0}, {1, 1, 0, 0}, {3, 1, 0, 0}, 0, {1, 1, 0, 0}, {3, 1, 0, 0}, 0},
    {{7, 0, 0, 0}, {1, 0, 0, 0}, {7, 0, 0, 0}, 0, {1, 0, 0, 0}, {7, 0, 0, 0}, 0},
};

// sum_i value^2 pi - a^2, what enumeration gives for the total variance.
static double variance_of(const design *d, const double a[4]) {
    double total = 0;
    for (int i = 0; i < 4; i++)
        total += d->value[i] * d->value[i] * d->pi[i] - a[i] * a[i];
    return total;
}

// digits: the unit of the last one of a stated value.
static void check_design(const design *d, const double a[4], const double pi[4],
                         const double value[4], double variance, double digits) {
    const double share = 2.0 / GRID;
    double slack = 0, included = 0;
    int nonzero = 0;
    for (int i = 0; i < 4; i++) {
        assert_near(d->pi[i], pi[i], share);
        assert_near(d->value[i], value[i], digits);
        assert_near(d->value[i] * d->pi[i], a[i], share * fabs(value[i]) + digits);
        slack += share * value[i] * value[i];
        included += d->pi[i];
        nonzero += a[i] != 0;
    }
    assert_near(included, nonzero < 2 ? nonzero : 2, 1e-9);
    assert_near(variance_of(d, a), variance, slack + 20 * digits);
}

static void test_designs(void **state) {
    (void)state;
    for (int64_t i = 0; i < LENGTH(rows); i++) {
        design exact = enumerate_exact(rows[i].a), approx = enumerate_approx(rows[i].a);
        check_design(&exact, rows[i].a, rows[i].exact_pi, rows[i].exact_value,
                     rows[i].exact_variance, 1e-15 * 5);
        check_design(&approx, rows[i].a, rows[i].approx_pi, rows[i].approx_value,
                     rows[i].approx_variance, 1e-6);
    }
}

// Signs and places change nothing but signs and places.
static void test_signs_and_places(void **state) {
    (void)state;
    for (uint64_t n = 0; n < 2000; n++) {
        float z[4];
        double a[4], minus[4], y[4], ym[4];
        uint32_t word[4];
        wn__philox_normal(1, WN_STREAM_TEST, n, z);
        wn__philox_draw(2, WN_STREAM_TEST, n, word);
        for (int i = 0; i < 4; i++) {
            a[i] = (double)z[i];
            minus[i] = -a[i];
        }
        for (int m = 0; m < 2; m++) {
            wn__mvue24_method method = m ? WN_MVUE24_APPROX : WN_MVUE24_EXACT;
            double u = word[0] * 0x1p-32, v = word[1] * 0x1p-32;
            prune(method, a, u, v, y);
            prune(method, minus, u, v, ym);
            assert_int_equal(size_of(support(y)), 2);
            for (int i = 0; i < 4; i++) {
                assert_true(ym[i] == -y[i]);
                assert_true(y[i] == 0 || (y[i] > 0) == (a[i] > 0));
                assert_true(y[i] == 0 || fabs(y[i]) >= fabs(a[i]) * (1 - 1e-15));
                assert_true(y[i] != 0 || !signbit(y[i]));
            }
        }
    }
}

static void test_given_draws(void **state) {
    (void)state;
    const double a[4] = {1, 2, 3, 4};
    static const struct {
        wn__mvue24_method method;
        double u, v;
        unsigned survivors;
    } cases[] = {
        {WN_MVUE24_APPROX, .05, .1, 0x3}, {WN_MVUE24_APPROX, .05, .5, 0x5},
        {WN_MVUE24_APPROX, .05, .9, 0x9}, {WN_MVUE24_EXACT, .1, 0, 0x5},
        {WN_MVUE24_EXACT, .3, 0, 0xA},    {WN_MVUE24_EXACT, .9, 0, 0xC},
        {WN_MVUE24_EXACT, .7, 0, 0xC},    {WN_MVUE24_EXACT, 0, 0, 0x5},
        {WN_MVUE24_APPROX, 0, 0, 0x3},    {WN_MVUE24_APPROX, .1, 0, 0x3},
    };
    for (int64_t i = 0; i < LENGTH(cases); i++) {
        double y[4];
        prune(cases[i].method, a, cases[i].u, cases[i].v, y);
        assert_int_equal(support(y), cases[i].survivors);
    }
}

// Draws at both ends of [0,1) never fall on a zero, nor beyond the last element.
static void test_ends_of_draws(void **state) {
    (void)state;
    const double ends[3] = {0, 0x1p-32, 1 - 0x1p-32};
    for (unsigned zeros = 0; zeros < 16; zeros++)
        for (int d = 0; d < 9; d++)
            for (int m = 0; m < 2; m++) {
                double a[4], y[4];
                for (int i = 0; i < 4; i++)
                    a[i] = zeros >> i & 1 ? 0 : 0.3 + 0.1 * i;
                prune(m ? WN_MVUE24_APPROX : WN_MVUE24_EXACT, a, ends[d / 3], ends[d % 3], y);
                int some = 4 - size_of(zeros);
                assert_int_equal(size_of(support(y)), some < 2 ? some : 2);
                assert_int_equal(support(y) & zeros, 0);
            }
}

static void test_approx_pairs(void **state) {
    (void)state;
    const double a[4] = {1, 2, 3, 4};
    const double want[4][4] = {{0, .047222222, .076190476, .111111111},
                               {0, 0, .160714286, .233333333},
                               {0, 0, 0, .371428571}};
    design d = enumerate_approx(a);
    for (int i = 0; i < 4; i++)
        for (int j = i + 1; j < 4; j++)
            assert_near(d.pair[i][j], want[i][j], 2.0 / GRID);
}

// The design as a table of six pairs, by the magnitudes a1 <= a2 <= a3 <= a4; p12 is 0.
typedef struct pairs {
    double p13, p14, p23, p24, p34;
} pairs;

static pairs table_of_pairs(const double a[4], int *regime) {
    double a1 = a[0], a2 = a[1], a3 = a[2], a4 = a[3], s = a1 + a2 + a3 + a4, rest = a1 + a2 + a3;
    if (2 * a1 + a3 - a4 > 0) {
        *regime = 1;
        return (pairs){(2 * a1 + a3 - a4) / (2 * s), (2 * a1 - a3 + a4) / (2 * s),
                       (2 * a2 + a3 - a4) / (2 * s), (2 * a2 - a3 + a4) / (2 * s),
                       (-a1 - a2 + a3 + a4) / s};
    }
    if (rest - a4 > 0) {
        *regime = 2;
        return (pairs){0, 2 * a1 / s, (rest - a4) / s, (-a1 + a2 - a3 + a4) / s,
                       (-a1 - a2 + a3 + a4) / s};
    }
    *regime = 3;
    return (pairs){0, a1 / rest, 0, a2 / rest, a3 / rest};
}

// Systematic sampling draws other pairs, but every element as often, and so with the same variance.
static void test_table_of_pairs(void **state) {
    (void)state;
    static const double stated[][4] = {{1, 2, 3, 4}, {1, 4, 5, 8}, {1, 2, 3, 10}, {1, 1, 1, 1},
                                       {1, 1, 1, 4}, {2, 3, 3, 5}, {1, 5, 6, 9},  {1, 2, 3, 6}};
    int seen[4] = {0}, other_pairs = 0;
    for (int64_t n = 0; n < LENGTH(stated) + 40; n++) {
        double a[4];
        float z[4];
        int regime;
        wn__philox_normal(5, WN_STREAM_TEST, (uint64_t)n, z);
        for (int i = 0; i < 4; i++) { // insertion by magnitude
            double x = n < LENGTH(stated) ? stated[n][i] : fabs((double)z[i]);
            int at = i;
            for (; at > 0 && a[at - 1] > x; at--)
                a[at] = a[at - 1];
            a[at] = x;
        }
        pairs p = table_of_pairs(a, &regime);
        seen[regime]++;
        assert_true(p.p13 >= 0 && p.p14 >= -1e-15 && p.p23 >= 0 && p.p24 >= -1e-15 && p.p34 >= 0);
        assert_near(p.p13 + p.p14 + p.p23 + p.p24 + p.p34, 1, 1e-15 * 4);
        const double marginal[4] = {p.p13 + p.p14, p.p23 + p.p24, p.p13 + p.p23 + p.p34,
                                    p.p14 + p.p24 + p.p34};
        design d = enumerate_exact(a);
        for (int i = 0; i < 4; i++) {
            assert_near(d.pi[i], marginal[i], 2.0 / GRID);
            assert_near(marginal[i] * d.value[i], a[i], 1e-14 * a[3]);
        }
        other_pairs += fabs(d.pair[0][2] - p.p13) > 0.01;
    }
    assert_true(seen[1] > 5 && seen[2] > 5 && seen[3] > 5 && other_pairs > 0);
}

static void check_kept(const double x[4]) {
    for (int n = 0; n < 16; n++)
        for (int m = 0; m < 2; m++) {
            double y[4];
            prune(m ? WN_MVUE24_APPROX : WN_MVUE24_EXACT, x, n / 16.0, 1 - (n + 1) / 16.0, y);
            for (int i = 0; i < 4; i++)
                assert_true(y[i] == x[i]);
        }
}

// At most two non-zeros stay in every bit, whatever their sizes.
static void test_few_nonzeros(void **state) {
    (void)state;
    static const double sizes[] = {5e-324, 1e-300, 0x1p-149, 1e-30, 1e-7, 4e-4,
                                   1,      2,      1e4,      1e30,  1e38, 1e300};
    const double none[4] = {0, -0.0, 0, 0};
    check_kept(none);
    for (int64_t g = 0; g < LENGTH(sizes); g++)
        for (int i = 0; i < 4; i++) {
            double x[4] = {0};
            x[i] = g % 2 ? -sizes[g] : sizes[g];
            check_kept(x);
            for (int64_t h = 0; h < LENGTH(sizes); h++) {
                x[(i + 1) % 4] = sizes[h];
                check_kept(x);
            }
        }
}

// Three or four non-zeros of very different sizes: finite, right in expectation. The sets of draws
// that single out the small ones are as large as their share of the small ones.
static void test_dominated_groups(void **state) {
    (void)state;
    static const double shapes[][4] = {{1, 0x1p-40, 0x1p-40, 0x1p-40}, {0x1p40, 1, 1, 1},
                                       {1, 1e-4, 1e-4, 1e-4},          {1e30, 1e-30, 1e-30, 1e-30},
                                       {3, 0x1p-60, 0x1p-80, 0},       {1e300, 1e-300, 1e-300, 1},
                                       {1e308, 1e308, 1e308, 1e-308},  {0x1p-149, 0x1p-149, 1, 0}};
    for (int64_t n = 0; n < LENGTH(shapes); n++)
        for (int turn = 0; turn < 4; turn++) {
            double a[4], most = 0, others = 0;
            for (int i = 0; i < 4; i++)
                a[(i + turn) % 4] = shapes[n][i];
            design exact = enumerate_exact(a), approx = enumerate_approx(a);
            for (int i = 0; i < 4; i++)
                most = fmax(most, a[i]);
            for (int i = 0; i < 4; i++)
                others += a[i] < most ? a[i] : 0;
            for (int i = 0; i < 4; i++) {
                assert_false(isnan(exact.value[i]) || isnan(approx.value[i]));
                assert_true(exact.value[i] >= 0 && approx.value[i] >= 0);
                double e = exact.value[i], p = approx.value[i]; // may overflow where 1e308 do
                if (most > 1e307) continue;
                if (a[i] == most) assert_true(e == most && fabs(p - most) <= 1e-7 * most);
                if (e == 0 || p == 0) assert_true(a[i] <= 2.0 / GRID * others); // too rare
                if (e > 0) assert_near(exact.pi[i] * e, a[i], 2.0 / GRID * e + 1e-15 * a[i]);
                if (p > 0) assert_near(approx.pi[i] * p, a[i], 2.0 / GRID * p + 1e-12 * a[i]);
            }
        }
}

static void test_pairs_of_two(void **state) {
    (void)state;
    const double a[2] = {3, -1}, alone[2] = {0, -7};
    int first = 0;
    for (int n = 0; n < GRID; n++) {
        double y[2], u[2] = {(n + 0.5) / GRID, 0};
        wn__mvue24_group(WN_MVUE24_EXACT, 2, a, u, y);
        first += y[0] != 0;
        assert_true((y[0] == 4 && y[1] == 0) || (y[0] == 0 && y[1] == -4));
        wn__mvue24_group(WN_MVUE24_APPROX, 2, alone, u, y);
        assert_true(y[0] == 0 && y[1] == -7);
    }
    assert_near((double)first / GRID, 0.75, 1.0 / GRID);
}

// ---- the op

static wn__mvue24 arguments(const wn_tensor *x, const wn_tensor *y, int axis,
                            wn__mvue24_method method, uint64_t counter) {
    return (wn__mvue24){.x = *x,
                        .y = *y,
                        .axis = axis,
                        .group = 4,
                        .method = method,
                        .seed = 42,
                        .stream = WN_STREAM_MVUE,
                        .counter = counter};
}

// Mean and variance of n values that are `value` with probability pi and 0 otherwise: the mean has
// the variance value^2 pi (1 - pi) / n; the observed share p gives both.
static void assert_share(int64_t hits, int64_t n, double pi) {
    double p = (double)hits / (double)n;
    assert_near(p, pi, Z * sqrt(pi * (1 - pi) / (double)n));
}

// One group in 2^16 places, along either axis: shares, values and total variance as predicted.
static void test_many_groups(void **state) {
    (void)state;
    enum { SIDE = 256 };
    for (int64_t t = 0; t < LENGTH(rows); t++)
        for (int axis = 0; axis < 2; axis++)
            for (int m = 0; m < 2; m++) {
                int64_t r = axis ? SIDE : 4 * SIDE, c = axis ? 4 * SIDE : SIDE;
                const double *pi = m ? rows[t].approx_pi : rows[t].exact_pi;
                const double *value = m ? rows[t].approx_value : rows[t].exact_value;
                wn_tensor x = make2(WN_DTYPE_F32, r, c), y = make2(WN_DTYPE_F32, r, c);
                int64_t hits[4] = {0};
                for (int64_t i = 0; i < r * c; i++)
                    ((float *)x.data)[i] = (float)rows[t].a[axis ? i % 4 : i / c % 4];
                wn__mvue24 args = arguments(&x, &y, axis, (wn__mvue24_method)m, 3);
                assert_ok(run_best(WN__OP_mvue24, &args, NULL));
                for (int64_t i = 0; i < r * c; i++) {
                    int at = (int)(axis ? i % 4 : i / c % 4);
                    float v = ((float *)y.data)[i];
                    if (v == 0) continue;
                    hits[at]++;
                    assert_near((double)v, value[at], 2e-6);
                }
                double variance = 0, slack = 0;
                for (int i = 0; i < 4; i++) {
                    double p = (double)hits[i] / (SIDE * SIDE), a = rows[t].a[i];
                    assert_share(hits[i], SIDE * SIDE, pi[i]);
                    variance += p * value[i] * value[i] - a * a;
                    slack += Z * sqrt(pi[i] * (1 - pi[i])) / SIDE * value[i] * value[i];
                }
                assert_near(variance, m ? rows[t].approx_variance : rows[t].exact_variance,
                            slack + 2e-5);
                free(x.data);
                free(y.data);
            }
}

// Neighbouring groups draw for themselves: survivors of groups k and k + lag are not correlated.
static void test_groups_are_independent(void **state) {
    (void)state;
    enum { COUNT = 1 << 15 };
    for (int m = 0; m < 2; m++) {
        wn_tensor x = make2(WN_DTYPE_F32, 1, 4 * COUNT), y = make2(WN_DTYPE_F32, 1, 4 * COUNT);
        for (int64_t i = 0; i < 4 * COUNT; i++)
            ((float *)x.data)[i] = 1; // every element survives with probability 1/2
        wn__mvue24 args = arguments(&x, &y, 1, (wn__mvue24_method)m, 0);
        assert_ok(run_best(WN__OP_mvue24, &args, NULL));
        const float *v = y.data;
        for (int lag = 1; lag <= 33; lag++) {
            int64_t sum = 0;
            for (int64_t k = 0; k + lag < COUNT; k++)
                sum += (v[4 * k] != 0) == (v[4 * (k + lag)] != 0) ? 1 : -1;
            assert_near((double)sum, 0, Z * sqrt(COUNT));
        }
        free(x.data);
        free(y.data);
    }
}

// Means over many counters, element by element. sum_(draws) y: variance n x^2 (1/pi - 1).
static void test_unbiased_elements(void **state) {
    (void)state;
    enum { R = 12, C = 20, DRAWS = 4000 };
    for (int mode = 0; mode < 4; mode++) {
        int axis = mode % 2;
        wn__mvue24_method method = (wn__mvue24_method)(mode / 2);
        wn_tensor x = make2(WN_DTYPE_F32, R, C), y = make2(WN_DTYPE_F32, R, C);
        double sum[R * C] = {0}, squares[R * C] = {0};
        fill_normal(&x, 11);
        for (uint64_t n = 0; n < DRAWS; n++) {
            wn__mvue24 args = arguments(&x, &y, axis, method, n);
            assert_ok(run_best(WN__OP_mvue24, &args, NULL));
            for (int64_t i = 0; i < R * C; i++) {
                double v = wn__get(&y, i);
                sum[i] += v;
                squares[i] += v * v;
            }
        }
        for (int64_t i = 0; i < R * C; i++) {
            double a = wn__get(&x, i), value = 0; // it is the same whenever it is not 0
            value = squares[i] / sum[i];
            double variance = a * value - a * a; // value^2 pi - a^2 with pi = a / value
            assert_near(sum[i] / DRAWS, a, Z * sqrt(fmax(variance, 0) / DRAWS) + 1e-6 * fabs(a));
        }
        free(x.data);
        free(y.data);
    }
}

// dW = dY^T X with dY pruned along tokens by one of two ways.
typedef struct product {
    wn_tensor dy, pruned, x, dw, exact;
} product;

static void multiply(const product *p, const wn_tensor *dy, const wn_tensor *dw, bool more) {
    const wn__matmul args = {
        .a = wn__tensor_transpose(dy), .b = p->x, .c = *dw, .accumulate = more};
    assert_ok(run_best(WN__OP_matmul, &args, NULL));
}

static double error_of(const product *p, double draws) {
    double error = 0, size = 0;
    for (int64_t i = 0; i < wn__tensor_count(&p->dw); i++) {
        double want = wn__get(&p->exact, i), off = wn__get(&p->dw, i) / draws - want;
        error += off * off;
        size += want * want;
    }
    return sqrt(error / size);
}

// The mean over counters first .. first + draws - 1.
static double mean_error(const product *p, wn__mvue24_method method, uint64_t first, int draws) {
    for (int n = 0; n < draws; n++) {
        wn__mvue24 args = arguments(&p->dy, &p->pruned, 0, method, first + (uint64_t)n);
        assert_ok(run_best(WN__OP_mvue24, &args, NULL));
        multiply(p, &p->pruned, &p->dw, n > 0);
    }
    return error_of(p, draws);
}

// Sixteen times the draws, a quarter of the error; a biased choice (the two largest) keeps its
// error.
static void test_unbiased_product(void **state) {
    (void)state;
    enum { T = 64, OUT = 24, IN = 16, FEW = 50 };
    product p = {.dy = make2(WN_DTYPE_F32, T, OUT),
                 .pruned = make2(WN_DTYPE_F32, T, OUT),
                 .x = make2(WN_DTYPE_F32, T, IN),
                 .dw = make2(WN_DTYPE_F32, OUT, IN),
                 .exact = make2(WN_DTYPE_F32, OUT, IN)};
    fill_normal(&p.dy, 21);
    fill_normal(&p.x, 22);
    multiply(&p, &p.dy, &p.exact, false);
    for (int m = 0; m < 2; m++) {
        double few = mean_error(&p, (wn__mvue24_method)m, 0, FEW);
        double many = mean_error(&p, (wn__mvue24_method)m, FEW, 16 * FEW);
        // 384 entries, each error a sum over 64 tokens: the norms are within a few percent of their
        // expectation; 16 and a bias of 3 percent would give 0.28 and more.
        assert_near(many / few, 0.25, 0.03);
    }
    const wn__tokens24 largest = {.x = p.dy, .y = p.pruned};
    assert_ok(run_best(WN__OP_tokens24, &largest, NULL));
    multiply(&p, &p.pruned, &p.dw, false);
    assert_true(error_of(&p, 1) > 0.2);
    free(p.dy.data);
    free(p.pruned.data);
    free(p.x.data);
    free(p.dw.data);
    free(p.exact.data);
}

// Which words a group takes, from the contract: number k of its axis, in groups of 4 and of 2.
static void test_draws_of_groups(void **state) {
    (void)state;
    enum { R = 22, C = 53 };
    wn_tensor x = make2(WN_DTYPE_F32, R, C), y = make2(WN_DTYPE_F32, R, C);
    fill_normal(&x, 51);
    for (int mode = 0; mode < 8; mode++) {
        int axis = mode % 2, size = mode < 4 ? 4 : 2;
        wn__mvue24 args = arguments(&x, &y, axis, (wn__mvue24_method)(mode / 2 % 2), 123);
        args.group = size;
        int words = size == 4 && args.method == WN_MVUE24_APPROX ? 2 : 1;
        const wn__kernel *row;
        for (int n = 0; (row = variant(WN__OP_mvue24, &args, n)); n++) {
            assert_ok(run_row(row, &args, NULL));
            int64_t lines = axis ? R : (R + size - 1) / size,
                    along = axis ? (C + size - 1) / size : C;
            for (int64_t k = 0; k < lines * along; k++) {
                double group[4] = {0}, want[4], u[2] = {0};
                int64_t at[4];
                for (int e = 0; e < size; e++) {
                    int64_t i = axis ? k / along : k / along * size + e;
                    int64_t j = axis ? k % along * size + e : k % along;
                    at[e] = i < R && j < C ? i * C + j : -1;
                    group[e] = at[e] < 0 ? 0 : wn__get(&x, at[e]);
                }
                for (int w = 0; w < words; w++) {
                    uint64_t word = (uint64_t)(k * words + w);
                    uint32_t four[4];
                    wn__philox_draw(42, WN_STREAM_MVUE, UINT64_C(123) << 32 | word / 4, four);
                    u[w] = four[word % 4] * 0x1p-32;
                }
                wn__mvue24_group(args.method, size, group, u, want);
                for (int e = 0; e < size; e++)
                    if (at[e] >= 0) assert_true(wn__get(&y, at[e]) == (double)(float)want[e]);
            }
        }
    }
    free(x.data);
    free(y.data);
}

// More than a block for each thread, on every variant, and one after another.
static void test_any_threads(void **state) {
    (void)state;
    enum { R = 131, C = 1303 };
    wn_tensor x = make2(WN_DTYPE_F32, R, C), y = make2(WN_DTYPE_F32, R, C);
    wn_tensor first = make2(WN_DTYPE_F32, R, C);
    fill_normal(&x, 31);
    for (int mode = 0; mode < 4; mode++) {
        wn__mvue24 args = arguments(&x, &first, mode % 2, (wn__mvue24_method)(mode / 2), 9);
        assert_ok(run_row(variant(WN__OP_mvue24, &args, 0), &args, NULL));
        args.y = y;
        const wn__kernel *k;
        for (int n = 0; (k = variant(WN__OP_mvue24, &args, n)); n++)
            for (int threads = 1; threads <= 5; threads += 2) {
                wn__pool *pool;
                assert_ok(wn__pool_create(threads, &pool));
                memset(y.data, 0xFF, wn__tensor_bytes(&y));
                assert_ok(run_row(k, &args, pool));
                assert_bits(&y, &first);
                wn__pool_free(pool);
            }
        args.counter++;
        assert_ok(run_best(WN__OP_mvue24, &args, NULL));
        assert_memory_not_equal(y.data, first.data, wn__tensor_bytes(&y)); // another draw
        args.counter--;
        args.stream++;
        assert_ok(run_best(WN__OP_mvue24, &args, NULL));
        assert_memory_not_equal(y.data, first.data, wn__tensor_bytes(&y));
    }
    free(x.data);
    free(y.data);
    free(first.data);
}

// A group with something not finite becomes NaN as a whole, its neighbours do not notice.
static void test_not_finite(void **state) {
    (void)state;
    enum { R = 12, C = 36 };
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    wn_tensor x = make2(WN_DTYPE_F32, R, C), y = make2(WN_DTYPE_F32, R, C);
    wn_tensor plain = make2(WN_DTYPE_F32, R, C);
    for (int mode = 0; mode < 4; mode++)
        for (int b = 0; b < 3; b++) {
            int axis = mode % 2;
            wn__mvue24 args = arguments(&x, &plain, axis, (wn__mvue24_method)(mode / 2), 1);
            const wn__kernel *k;
            fill_normal(&x, 41);
            assert_ok(run_best(WN__OP_mvue24, &args, NULL));
            ((float *)x.data)[6 * C + 13] = bad[b];
            args.y = y;
            for (int n = 0; (k = variant(WN__OP_mvue24, &args, n)); n++) {
                assert_ok(run_row(k, &args, NULL));
                for (int64_t i = 0; i < R * C; i++) {
                    bool hit = axis ? i / C == 6 && i % C / 4 == 3 : i / C / 4 == 1 && i % C == 13;
                    double v = wn__get(&y, i);
                    assert_true(hit ? isnan(v) : v == wn__get(&plain, i));
                }
            }
        }
    free(x.data);
    free(y.data);
    free(plain.data);
}

// (g,0,0,0) for every size a float has, and groups that are dominated, through every variant.
static void test_sizes_of_floats(void **state) {
    (void)state;
    enum { GROUPS = 277 };
    wn_tensor x = make2(WN_DTYPE_F32, 1, 4 * GROUPS), y = make2(WN_DTYPE_F32, 1, 4 * GROUPS);
    float *v = x.data;
    for (int i = 0; i < GROUPS; i++)
        v[4 * i + i % 4] = ldexpf(i % 2 ? -1.5F : 1, i - 149);
    const wn__kernel *k;
    for (int m = 0; m < 2; m++) {
        wn__mvue24 args = arguments(&x, &y, 1, (wn__mvue24_method)m, 5);
        for (int n = 0; (k = variant(WN__OP_mvue24, &args, n)); n++) {
            assert_ok(run_row(k, &args, NULL));
            assert_bits(&x, &y);
        }
    }
    for (int i = 0; i < GROUPS; i++)
        for (int j = 1; j < 4; j++)
            v[4 * i + (i + j) % 4] = ldexpf(1, (i * 7 + j * 83) % 240 - 120);
    for (int m = 0; m < 2; m++) {
        wn__mvue24 args = arguments(&x, &y, 1, (wn__mvue24_method)m, 5);
        for (int n = 0; (k = variant(WN__OP_mvue24, &args, n)); n++) {
            assert_ok(run_row(k, &args, NULL));
            for (int64_t i = 0; i < 4 * GROUPS; i++)
                assert_true(isfinite(wn__get(&y, i)));
        }
    }
    free(x.data);
    free(y.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_designs),
        cmocka_unit_test(test_signs_and_places),
        cmocka_unit_test(test_given_draws),
        cmocka_unit_test(test_ends_of_draws),
        cmocka_unit_test(test_approx_pairs),
        cmocka_unit_test(test_table_of_pairs),
        cmocka_unit_test(test_few_nonzeros),
        cmocka_unit_test(test_dominated_groups),
        cmocka_unit_test(test_pairs_of_two),
        cmocka_unit_test(test_many_groups),
        cmocka_unit_test(test_groups_are_independent),
        cmocka_unit_test(test_unbiased_elements),
        cmocka_unit_test(test_unbiased_product),
        cmocka_unit_test(test_draws_of_groups),
        cmocka_unit_test(test_any_threads),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_sizes_of_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
