// SPDX-License-Identifier: MIT
// relu, relu_grad, column_zeros, densest and tokens24, the specification.
#include "kernels/act24.h"
#include "base/fail.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#include <math.h>

// max(x, 0), NaN for NaN, never -0.
static double positive(double x) {
    return x <= 0 ? 0 : x;
}

wn_status wn__relu_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__relu *p = args;
    int64_t count = wn__tensor_count(&p->y);
    for (int64_t i = 0; i < count; i++)
        wn__set(&p->y, i, positive(wn__get(&p->x, i)));
    return WN_OK;
}

wn_status wn__relu_grad_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__relu_grad *p = args;
    int64_t count = wn__tensor_count(&p->dx);
    for (int64_t i = 0; i < count; i++) {
        double v = positive(wn__get(&p->x, i));
        wn__set(&p->dx, i, v > 0 ? wn__get(&p->dy, i) : v);
    }
    return WN_OK;
}

wn_status wn__column_zeros_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__column_zeros *p = args;
    int64_t n = p->x.shape[0], c = p->x.shape[1], total = 0;
    int32_t *zeros = p->zeros.data;
    for (int64_t j = 0; j < c; j++) {
        zeros[j] = 0;
        for (int64_t i = 0; i < n; i++)
            zeros[j] += wn__get(&p->x, wn__at(&p->x, i, j)) == 0;
        total += zeros[j];
    }
    *(int64_t *)p->total.data = total;
    return WN_OK;
}

static int64_t at_most(const int32_t *zeros, int64_t c, int64_t limit) {
    int64_t count = 0;
    for (int64_t j = 0; j < c; j++)
        count += zeros[j] <= limit;
    return count;
}

// The count-th smallest number is found by bisection of the values: no memory, 32 passes.
wn_status wn__densest_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__densest *p = args;
    const int32_t *zeros = p->zeros.data;
    uint8_t *dense = p->dense.data;
    int64_t c = p->zeros.shape[0], low = INT32_MIN, high = INT32_MAX;
    while (low < high) { // the least limit that `count` columns do not exceed
        int64_t middle = low + (high - low) / 2;
        if (at_most(zeros, c, middle) >= p->count)
            high = middle;
        else
            low = middle + 1;
    }
    int64_t ties = p->count - at_most(zeros, c, low - 1); // of the columns at the limit
    for (int64_t j = 0; j < c; j++)
        dense[j] = zeros[j] < low || (zeros[j] == low && ties-- > 0);
    return WN_OK;
}

// In magnitude; NaN is larger than any number.
static bool larger(double a, double b) {
    return isnan(a) ? !isnan(b) : fabs(a) > fabs(b);
}

// One column of one group of `n` rows: the two that fewer than two others precede stay.
static void prune_group(const wn__tokens24 *p, const int64_t row[4], int n, int64_t column) {
    double x[4];
    for (int i = 0; i < n; i++)
        x[i] = wn__get(&p->x, wn__at(&p->x, row[i], column));
    for (int i = 0; i < n; i++) {
        int rank = 0;
        for (int j = 0; j < n; j++)
            rank += larger(x[j], x[i]) || (j < i && !larger(x[i], x[j]));
        wn__set(&p->y, wn__at(&p->y, row[i], column), rank < 2 ? x[i] : 0);
    }
}

static void prune_groups(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__tokens24 *p = ctx;
    const int32_t *order = wn__given(&p->order) ? p->order.data : NULL;
    const uint8_t *dense = wn__given(&p->dense) ? p->dense.data : NULL;
    int64_t rows = p->x.shape[0], columns = p->x.shape[1];
    for (int64_t g = begin; g < end; g++) {
        int n = rows - 4 * g < 4 ? (int)(rows - 4 * g) : 4;
        int64_t row[4] = {0};
        for (int i = 0; i < n; i++)
            row[i] = order ? order[4 * g + i] : 4 * g + i;
        for (int64_t j = 0; j < columns; j++) {
            if (!dense || !dense[j]) {
                prune_group(p, row, n, j);
                continue;
            }
            for (int i = 0; i < n; i++)
                wn__set(&p->y, wn__at(&p->y, row[i], j), wn__get(&p->x, wn__at(&p->x, row[i], j)));
        }
    }
}

wn_status wn__tokens24_ref(const void *args, wn__exec *x) {
    const wn__tokens24 *p = args;
    WN_TRY(wn__tokens24_check_order(p, (uint8_t *)x->scratch));
    wn__parallel_for(x->pool, (p->x.shape[0] + 3) / 4, 4, prune_groups, (void *)args);
    return WN_OK;
}
