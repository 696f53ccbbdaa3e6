// SPDX-License-Identifier: MIT
// Products in double in plain C, the reference: tiles of 4 x 4 sums in registers over panels packed
// from views with any strides. Every sum runs over k in order, in stretches of STRETCH.
#include "sparse/linalg_impl.h"

#define TILE    4
#define ROWS    32 // of c in a block
#define STRETCH 256

typedef struct product {
    const wn_tensor *a, *b, *c;
} product;

static double *at(const wn_tensor *t, int64_t i, int64_t j) {
    return (double *)t->data + i * t->stride[0] + j * t->stride[1];
}

// out[k][TILE] = `lines` lines of t from (i,j) on, zeros after them; a line runs along k by
// `along`.
static void pack(const double *from, int64_t across, int64_t along, int64_t lines, int64_t k,
                 double *out) {
    for (int64_t l = 0; l < k; l++)
        for (int64_t i = 0; i < TILE; i++)
            out[l * TILE + i] = i < lines ? from[i * across + l * along] : 0;
}

static void multiply(int64_t k, const double *restrict a, const double *restrict b,
                     double sum[TILE][TILE]) {
    double s[TILE][TILE] = {{0}};
    for (int64_t l = 0; l < k; l++, a += TILE, b += TILE)
        for (int i = 0; i < TILE; i++)
            for (int j = 0; j < TILE; j++)
                s[i][j] += a[i] * b[j];
    for (int i = 0; i < TILE; i++)
        for (int j = 0; j < TILE; j++)
            sum[i][j] = s[i][j];
}

static void add_tile(const wn_tensor *c, int64_t i0, int64_t i1, int64_t j0, int64_t j1, bool first,
                     double sum[TILE][TILE]) {
    for (int64_t i = i0; i < i1; i++)
        for (int64_t j = j0; j < j1; j++)
            *at(c, i, j) = (first ? 0 : *at(c, i, j)) + sum[i - i0][j - j0];
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static void rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const product *p = ctx;
    const wn_tensor *a = p->a, *b = p->b;
    int64_t n = p->c->shape[1], depth = a->shape[1];
    double left[ROWS * STRETCH], right[TILE * STRETCH], sum[TILE][TILE];
    for (int64_t l = 0; l < depth; l += STRETCH) {
        int64_t k = least(STRETCH, depth - l);
        for (int64_t i = begin; i < end; i += TILE)
            pack(at(a, i, l), a->stride[0], a->stride[1], least(TILE, end - i), k,
                 left + (i - begin) * STRETCH);
        for (int64_t j = 0; j < n; j += TILE) {
            int64_t j1 = least(n, j + TILE);
            pack(at(b, l, j), b->stride[1], b->stride[0], j1 - j, k, right);
            for (int64_t i = begin; i < end; i += TILE) {
                multiply(k, left + (i - begin) * STRETCH, right, sum);
                add_tile(p->c, i, least(end, i + TILE), j, j1, l == 0, sum);
            }
        }
    }
}

wn_status wn__product_reference(wn__exec *x, const wn_tensor *a, const wn_tensor *b,
                                const wn_tensor *c) {
    product p = {a, b, c};
    if (x->planning) return WN_OK;
    for (int64_t i = 0; a->shape[1] == 0 && i < c->shape[0]; i++)
        for (int64_t j = 0; j < c->shape[1]; j++)
            *at(c, i, j) = 0;
    if (a->shape[1] > 0) wn__parallel_for(x->pool, c->shape[0], ROWS, rows, &p);
    return WN_OK;
}
