// SPDX-License-Identifier: MIT
// Checks of the MVUE samplers: unbiased within a bound that does not depend on the shape of the
// distribution, never more than two of four, never a value that is not finite.
#include "base/fail.h"
#include "base/philox.h"
#include "kernels/elementwise.h"
#include "kernels/soft24.h"
#include "train/verify.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SIDE  INT64_C(64)
#define DRAWS 3000
#define RISK  1e-6 // that a right sampler fails, over all elements of a method

// Inclusion probabilities of the two designs for one group (Chmiel et al. 2022, and systematic
// sampling in proportion to size).
static void exact_inclusion(const double a[4], double pi[4]) {
    double sum = a[0] + a[1] + a[2] + a[3];
    int large = -1;
    for (int i = 0; i < 4; i++)
        if (2 * a[i] > sum) large = i;
    for (int i = 0; i < 4; i++)
        pi[i] = large < 0 ? 2 * a[i] / sum : i == large ? 1 : a[i] / (sum - a[large]);
}

static void approx_inclusion(const double a[4], double pi[4]) {
    double sum = a[0] + a[1] + a[2] + a[3];
    for (int i = 0; i < 4; i++) {
        pi[i] = a[i] / sum;
        for (int l = 0; l < 4; l++)
            if (l != i) pi[i] += a[l] / sum * a[i] / (sum - a[l]);
    }
}

// How far the mean of DRAWS draws may be from a: Bernstein's inequality with `sides` events in all.
static double allowed(double a, double pi, double events) {
    double variance = a * a * (1 / pi - 1), most = fabs(a) / pi, log_term = log(2 * events / RISK);
    return sqrt(2 * variance * log_term / DRAWS) + 2 * most * log_term / (3 * DRAWS) + 1e-6 * most;
}

typedef struct tally {
    double worst;    // |mean - a| over what is allowed
    int64_t crowded; // groups with more than two survivors
    int64_t nonfinite;
} tally;

static void count_groups(const float *y, tally *t) {
    for (int64_t g = 0; g < SIDE * SIDE / 4; g++) {
        int survivors = 0;
        for (int j = 0; j < 4; j++) {
            survivors += y[4 * g + j] != 0;
            t->nonfinite += !isfinite(y[4 * g + j]);
        }
        t->crowded += survivors > 2;
    }
}

static void compare_means(const float *x, const double *sum, wn__mvue24_method method, tally *t) {
    for (int64_t g = 0; g < SIDE * SIDE / 4; g++) {
        double a[4], pi[4];
        for (int j = 0; j < 4; j++)
            a[j] = fabs((double)x[4 * g + j]);
        if (method == WN_MVUE24_EXACT) {
            exact_inclusion(a, pi);
        } else {
            approx_inclusion(a, pi);
        }
        for (int j = 0; j < 4; j++) {
            double off = fabs(sum[4 * g + j] / DRAWS - (double)x[4 * g + j]);
            double ratio = off / allowed(a[j], pi[j], (double)(SIDE * SIDE));
            if (!(ratio <= t->worst)) t->worst = ratio;
        }
    }
}

static wn_status check_method(wn__verify *v, wn__mvue24_method method, const char *name) {
    wn_tensor x, y, sum;
    char line[96];
    tally t = {0};
    WN_TRY(wn__tensor_alloc2(&v->arena, WN_DTYPE_F32, SIDE, SIDE, &x));
    WN_TRY(wn__tensor_alloc2(&v->arena, WN_DTYPE_F32, SIDE, SIDE, &y));
    WN_TRY(wn__tensor_alloc2(&v->arena, WN_DTYPE_F64, SIDE, SIDE, &sum));
    const wn__normal draw = {.x = x, .seed = 91, .stream = WN_STREAM_TEST + 1, .std = 1};
    WN_TRY(wn__verify_op(v, WN__OP_normal, &draw));
    double *total = sum.data;
    memset(total, 0, (size_t)(SIDE * SIDE) * sizeof *total);
    for (uint64_t n = 0; n < DRAWS; n++) {
        const wn__mvue24 prune = {.x = x,
                                  .y = y,
                                  .axis = 1,
                                  .group = 4,
                                  .method = method,
                                  .seed = 5,
                                  .stream = WN_STREAM_TEST + 2,
                                  .counter = n};
        WN_TRY(wn__verify_op(v, WN__OP_mvue24, &prune));
        count_groups(y.data, &t);
        for (int64_t i = 0; i < SIDE * SIDE; i++)
            total[i] += (double)((const float *)y.data)[i];
    }
    compare_means(x.data, total, method, &t);
    (void)snprintf(line, sizeof line, "mvue %s: unbiased", name);
    wn__verify_say(v, line, t.worst <= 1,
                   "largest deviation of %" PRId64
                   " means of %d draws is %.2f of the 1 - %g confidence bound",
                   SIDE * SIDE, DRAWS, t.worst, RISK);
    (void)snprintf(line, sizeof line, "mvue %s: pattern", name);
    wn__verify_say(v, line, t.crowded == 0 && t.nonfinite == 0,
                   "%" PRId64 " groups with more than two, %" PRId64 " values not finite",
                   t.crowded, t.nonfinite);
    return WN_OK;
}

// One element as large as can be beside zeros: the group that broke the original.
static wn_status check_dominated(wn__verify *v) {
    static const float large[] = {1e-30F, 1, 2, 1e10F, 1e30F};
    wn_tensor x, y;
    int64_t wrong = 0;
    WN_TRY(wn__tensor_alloc2(&v->arena, WN_DTYPE_F32, 5, 4, &x));
    WN_TRY(wn__tensor_alloc2(&v->arena, WN_DTYPE_F32, 5, 4, &y));
    for (int i = 0; i < 20; i++)
        ((float *)x.data)[i] = i % 4 == i / 4 % 4 ? large[i / 4] : 0;
    for (int m = 0; m < 2; m++) {
        const wn__mvue24 prune = {.x = x,
                                  .y = y,
                                  .axis = 1,
                                  .group = 4,
                                  .method = (wn__mvue24_method)m,
                                  .seed = 3,
                                  .stream = WN_STREAM_TEST + 3};
        WN_TRY(wn__verify_op(v, WN__OP_mvue24, &prune));
        wrong += memcmp(x.data, y.data, 20 * sizeof(float)) != 0;
    }
    wn__verify_say(v, "mvue: dominated groups", wrong == 0, "%s",
                   wrong == 0 ? "kept as they are" : "changed");
    return WN_OK;
}

wn_status wn__verify_mvue(wn__verify *v) {
    WN_TRY(check_method(v, WN_MVUE24_EXACT, "exact"));
    WN_TRY(check_method(v, WN_MVUE24_APPROX, "approximate"));
    return check_dominated(v);
}
