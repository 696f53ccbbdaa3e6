// SPDX-License-Identifier: MIT
// Products of views, number by number.
#include "kron_few.h"

#include "kernels/cuda/args_kron_few.h"
#include "kernels/element.h"
#include <string.h>

unsigned long fake_kron_few_bytes(void) {
    return sizeof(wn__gpu_kron_few);
}

static int64_t at(const wn__gpu_kron_view *v, int64_t i, int64_t row, int64_t column, int64_t l) {
    return i * v->stride[0] + row * v->stride[1] + column * v->stride[2] + l * v->stride[3];
}

// Whole 16 bytes along one dimension, wherever the others are.
static int is_whole(const wn__gpu_kron_view *v, const int64_t *size, wn_dtype dtype) {
    const int64_t wide = 16 / (int64_t)wn_dtype_size(dtype);
    const int along = v->way == WN_KRON_BY_BLOCK ? 3 : v->way == WN_KRON_BY_ROW ? 1 : 2;
    if (v->stride[along] != 1 || size[along] % (along == 3 ? 8 : wide) != 0 ||
        (uintptr_t)v->at % 16 != 0)
        return 0;
    for (int i = 0; i < 4; i++)
        if (i != along && size[i] > 1 && v->stride[i] % wide != 0) return 0;
    return 1;
}

static int fits(const wn__gpu_kron_few *p, wn_dtype dtype, wn_dtype result) {
    const int64_t left[4] = {p->a, p->m, p->k, p->d}, right[4] = {p->a, p->n, p->k, p->d};
    const int64_t out[4] = {p->a, p->m, p->n, p->d};
    return (p->left.way == WN_KRON_EACH || is_whole(&p->left, left, dtype)) &&
           (p->right.way == WN_KRON_EACH || is_whole(&p->right, right, dtype)) &&
           (p->out.way != WN_KRON_BY_BLOCK || is_whole(&p->out, out, result)) &&
           p->each % WN_KRON_FEW_STEP == 0 && p->parts == (p->k + p->each - 1) / p->each &&
           (p->sums != NULL) == (p->parts > 1) && (dtype != WN_DTYPE_F32 || p->k >= 16);
}

static double get(const wn__gpu_kron_view *v, wn_dtype dtype, int64_t from) {
    const wn_tensor t = {.data = v->at, .dtype = dtype};
    return wn__get(&t, from);
}
static void put(const wn__gpu_kron_few *p, wn_dtype dtype, int64_t to, double sum) {
    const wn_tensor t = {.data = p->out.at, .dtype = dtype};
    wn__set(&t, to, sum + (p->accumulate ? wn__get(&t, to) : 0));
}

static double product(const wn__gpu_kron_few *p, wn_dtype dtype, int64_t i, int64_t m, int64_t n,
                      int64_t l) {
    double sum = 0;
    for (int64_t k = 0; k < p->k; k++)
        sum += get(&p->left, dtype, at(&p->left, i, m, k, l)) *
               get(&p->right, dtype, at(&p->right, i, n, k, l));
    return sum;
}

int fake_kron_few(const void *argument, wn_dtype dtype, const char *name) {
    wn__gpu_kron_few p;
    memcpy(&p, argument, sizeof p);
    const int grad = strstr(name, "short_grad") != NULL, adds = strstr(name, "sum") != NULL;
    const int brief = !grad && strstr(name, "short") != NULL;
    const wn_dtype result = p.f32 ? WN_DTYPE_F32 : dtype;
    const int64_t all = (int64_t)p.a * p.m * p.n * p.d;
    if (grad) {
        if (p.m > WN_KRON_SHORT || p.n > WN_KRON_SHORT || p.sums != NULL) return 1;
    } else if (brief ? p.k >= WN_KRON_SHORT || p.each < 1 : !fits(&p, dtype, result)) {
        return 1;
    }
    if (adds && p.parts < 2) return 1;
    for (int64_t at_once = 0; at_once < all; at_once++) { // [m][a n d], as the sums are
        const int64_t l = at_once % p.d, n = at_once / p.d % p.n;
        const int64_t i = at_once / p.d / p.n % p.a, m = at_once / p.d / p.n / p.a;
        double sum = 0;
        if (adds)
            for (int64_t part = 0; part < p.parts; part++)
                sum += (double)p.sums[part * all + at_once];
        else
            sum = product(&p, dtype, i, m, n, l);
        if (!adds && p.sums != NULL)
            for (int64_t part = 0; part < p.parts; part++) // the first one has them all
                p.sums[part * all + at_once] = part == 0 ? (float)sum : 0;
        else
            put(&p, result, at(&p.out, i, m, n, l), sum);
    }
    return 0;
}
