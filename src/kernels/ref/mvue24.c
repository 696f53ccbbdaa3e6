// SPDX-License-Identifier: MIT
// mvue24, the specification: the arithmetic of one group with given draws, and which draws a group
// takes.
#include "base/philox.h"
#include "kernels/declare.h"
#include "kernels/element.h"
#include "kernels/soft24.h"

#include <math.h>

// The place of the point v on the line of four lengths laid end to end; 4: beyond them.
static int find(const double length[4], double v) {
    double c1 = length[0], c2 = c1 + length[1], c3 = c2 + length[2], c4 = c3 + length[3];
    return (c1 <= v) + (c2 <= v) + (c3 <= v) + (c4 <= v);
}

static double sum4(const double a[4]) {
    return ((a[0] + a[1]) + a[2]) + a[3];
}

// Lengths |x_i| on a line of S; the points u S/2 and (u+1) S/2 fall on the survivors. One that is
// longer than S/2 survives by itself, and one point falls on the line of the others.
static void prune_exact(const double a[4], double u, double emit[4]) {
    double length[4], half = 0.5 * sum4(a);
    bool capped = false;
    for (int i = 0; i < 4; i++) {
        bool long_one = a[i] > half;
        capped |= long_one;
        length[i] = long_one ? 0 : a[i];
        emit[i] = long_one ? a[i] : 0;
    }
    double step = capped ? sum4(length) : half;
    int first = find(length, u * step);
    int second = capped ? first : find(length, u * step + step);
    for (int i = 0; i < 4; i++)
        if (i == first || i == second) emit[i] = step;
}

// |x_k| / pi_k = S / (1 + sum_(l != k) |x_l| / (S - |x_l|)), S - |x_l| summed from the others.
static void prune_approx(const double a[4], const double u[2], double emit[4]) {
    double sum = sum4(a), rest[4], ratio[4];
    for (int i = 0; i < 4; i++) {
        double others[4] = {a[0], a[1], a[2], a[3]};
        others[i] = 0;
        rest[i] = sum4(others);
        ratio[i] = a[i] / rest[i];
        emit[i] = 0;
    }
    double others[4] = {a[0], a[1], a[2], a[3]};
    int first = find(a, u[0] * sum);
    others[first] = 0;
    int second = find(others, u[1] * rest[first]);
    for (int k = 0; k < 4; k++) {
        double q[4] = {ratio[0], ratio[1], ratio[2], ratio[3]};
        q[k] = 0;
        if (k == first || k == second) emit[k] = sum / (1 + sum4(q));
    }
}

static void prune_pair(const double a[2], double u, double emit[2]) {
    double sum = a[0] + a[1];
    bool first = u * sum < a[0];
    emit[0] = first ? sum : 0;
    emit[1] = first ? 0 : sum;
}

// Four magnitudes between 0 and 2, at least three of them not zero.
static void prune_four(wn__mvue24_method method, const double a[4], const double u[2],
                       double emit[4]) {
    if (method == WN_MVUE24_EXACT)
        prune_exact(a, u[0], emit);
    else
        prune_approx(a, u, emit);
}

void wn__mvue24_group(wn__mvue24_method method, int group, const double *x, const double u[2],
                      double *y) {
    double a[4] = {0}, emit[4], largest = 0;
    int nonzero = 0;
    for (int i = 0; i < group; i++) {
        largest = fmax(largest, fabs(x[i]));
        nonzero += x[i] != 0;
    }
    int exponent = largest > 0 ? ilogb(largest) : 0;
    for (int i = 0; i < group; i++)
        a[i] = ldexp(fabs(x[i]), -exponent);
    if (group == 4 && nonzero <= 2) { // as they are, and +0
        for (int i = 0; i < 4; i++)
            y[i] = x[i] + 0.0;
        return;
    }
    if (group == 4)
        prune_four(method, a, u, emit);
    else
        prune_pair(a, u[0], emit);
    for (int i = 0; i < group; i++)
        y[i] = emit[i] > 0 ? copysign(ldexp(emit[i], exponent), x[i]) : 0;
}

static double uniform(const wn__mvue24 *p, uint64_t word) {
    uint32_t four[4];
    wn__philox_draw(p->seed, p->stream, p->counter << 32 | word / 4, four);
    return (double)four[word % 4] * 0x1p-32;
}

// Group number k: n <= group elements from (i, j) on, along the axis.
static void prune_group(const wn__mvue24 *p, uint64_t k, int64_t i, int64_t j, int64_t n) {
    double x[4] = {0}, y[4], u[2] = {0};
    bool finite = true;
    for (int64_t e = 0; e < n; e++) {
        x[e] = wn__get(&p->x, p->axis ? wn__at(&p->x, i, j + e) : wn__at(&p->x, i + e, j));
        finite = finite && isfinite(x[e]);
    }
    bool two_draws = p->group == 4 && p->method == WN_MVUE24_APPROX;
    if (finite) {
        u[0] = uniform(p, two_draws ? 2 * k : k);
        if (two_draws) u[1] = uniform(p, 2 * k + 1);
        wn__mvue24_group(p->method, p->group, x, u, y);
    }
    for (int64_t e = 0; e < n; e++)
        wn__set(&p->y, p->axis ? wn__at(&p->y, i, j + e) : wn__at(&p->y, i + e, j),
                finite ? y[e] : (double)NAN);
}

static int64_t at_most(int64_t n, int64_t most) {
    return n < most ? n : most;
}

// Rows of axis 1, blocks of rows of axis 0.
static void prune_lines(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__mvue24 *p = ctx;
    int64_t r = p->x.shape[0], c = p->x.shape[1], size = p->group;
    int64_t groups = p->axis ? (c + size - 1) / size : c;
    for (int64_t line = begin; line < end; line++)
        for (int64_t g = 0; g < groups; g++) {
            uint64_t k = (uint64_t)(line * groups + g);
            if (p->axis)
                prune_group(p, k, line, g * size, at_most(c - g * size, size));
            else
                prune_group(p, k, line * size, g, at_most(r - line * size, size));
        }
}

wn_status wn__mvue24_ref(const void *args, wn__exec *x) {
    const wn__mvue24 *p = args;
    int64_t r = p->x.shape[0], lines = p->axis ? r : (r + p->group - 1) / p->group;
    wn__parallel_for(x->pool, lines, 1, prune_lines, (void *)args);
    return WN_OK;
}
