// SPDX-License-Identifier: MIT
/* What attention and its gradients are made of: small products whose left operand is read as
 * scalars where it stands (a key, a value, or a row of weights) and whose right operand and result
 * are vectors of a packed block; blocks of queries in and out of that layout; and the staircase of
 * the causal mask. A block of queries stands "across": one row for each d, one lane for each query,
 * so that maxima and sums over keys never cross lanes. */
#ifndef WN_KERNELS_SIMD_ATTENTION_TILE_INC_H
#define WN_KERNELS_SIMD_ATTENTION_TILE_INC_H

#include "kernels/simd/attention_plan.h"
#include "kernels/simd/vec.h"

#define TILE_ROWS   4
#define TILE_VECS   (VF == 16 ? 4 : 2)
#define CORNER_ROWS 8

/* c[r][..] (+)= sum over l < depth of a[r row + l step] b[l b_stride + ..]. Rows from `rows` on do
 * not exist in a: the last one stands in for them. */
typedef struct product {
    const float *a;
    int64_t row, step, rows, depth;
    const float *b;
    int64_t b_stride;
    float *c;
    int64_t c_stride;
} product;

typedef enum product_end { PRODUCT_SET, PRODUCT_ADD, PRODUCT_SCALE } product_end;

/* TILE_ROWS rows and `vecs` vectors from vector v on. `factor`: one vector for each of c's, for
 * PRODUCT_SCALE: c = c factor + product. */
static inline __attribute__((always_inline)) void
product_tile(int vecs, const product *p, int64_t v, product_end end, const vf *factor) {
    const float *a[TILE_ROWS], *b = p->b + v * VF;
    vf acc[TILE_ROWS][TILE_VECS];
    for (int r = 0; r < TILE_ROWS; r++) {
        a[r] = p->a + (r < p->rows ? r : p->rows - 1) * p->row;
        for (int c = 0; c < vecs; c++)
            acc[r][c] = vf_zero();
    }
    int64_t depth = p->depth, step = p->step, stride = p->b_stride;
    for (int64_t l = 0, at = 0; l < depth; l++, at += step, b += stride) {
        vf right[TILE_VECS];
        for (int c = 0; c < vecs; c++)
            right[c] = vf_load(b + c * VF);
        for (int r = 0; r < TILE_ROWS; r++) {
            vf left = vf_set(a[r][at]);
            for (int c = 0; c < vecs; c++)
                acc[r][c] = vf_fma(left, right[c], acc[r][c]);
        }
    }
    for (int r = 0; r < TILE_ROWS; r++)
        for (int c = 0; c < vecs; c++) {
            float *to = p->c + r * p->c_stride + (v + c) * VF;
            vf sum = acc[r][c];
            if (end == PRODUCT_ADD) sum = vf_add(vf_load(to), sum);
            if (end == PRODUCT_SCALE) sum = vf_fma(vf_load(to), factor[v + c], sum);
            vf_store(to, sum);
        }
}

/* TILE_ROWS rows, vectors first .. end. One count of vectors at a time, so that sums are registers.
 */
static inline __attribute__((always_inline)) void
product_rows(const product *p, int64_t first, int64_t end, product_end how, const vf *factor) {
    for (int64_t v = first; v < end; v += TILE_VECS) {
        switch (end - v) {
        case 1:
            product_tile(1, p, v, how, factor);
            break;
#if VF == 16
        case 2:
            product_tile(2, p, v, how, factor);
            break;
        case 3:
            product_tile(3, p, v, how, factor);
            break;
#endif
        default:
            product_tile(TILE_VECS, p, v, how, factor);
        }
    }
}

static __attribute__((noinline)) void product_set(const product *p, int64_t first, int64_t end) {
    product_rows(p, first, end, PRODUCT_SET, NULL);
}

static __attribute__((noinline)) void product_add(const product *p, int64_t first, int64_t end) {
    product_rows(p, first, end, PRODUCT_ADD, NULL);
}

static __attribute__((noinline)) void product_scale(const product *p, int64_t first, int64_t end,
                                                    const vf *factor) {
    product_rows(p, first, end, PRODUCT_SCALE, factor);
}

static inline int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* A block of queries before a block of keys. Query i of the block sees keys 0 .. diagonal + i of
 * it: a staircase. What a query does not see is never multiplied into its sums, for 0 times an
 * infinity is no 0. */
typedef struct stairs {
    int64_t keys;     /* that any query of the block sees */
    int64_t queries;  /* that exist */
    int64_t vecs;     /* that hold them */
    int64_t diagonal; /* may be negative */
} stairs;

static inline int64_t within(const stairs *s, int64_t keys) {
    return keys < 0 ? 0 : least(keys, s->keys);
}

/* Keys before seen_by_all are seen by all lanes of vector v (and one more, so that the steps are VF
 * wide); those before seen_by_some by some. */
static inline int64_t seen_by_all(const stairs *s, int64_t v) {
    return within(s, s->diagonal + v * VF);
}
static inline int64_t seen_by_some(const stairs *s, int64_t v) {
    return within(s, s->diagonal + (v + 1) * VF);
}

/* The first vector that sees anything of a key or those after it. */
static inline int64_t first_vec(const stairs *s, int64_t key) {
    return key <= s->diagonal ? 0 : (key - s->diagonal) / VF;
}

/* Lanes of vector v that do not see a key which some see. */
static inline vm blind_lanes(const stairs *s, int64_t v, int64_t key) {
    int64_t n = key - s->diagonal - v * VF;
    return vm_first(n < 0 ? 0 : n);
}

/* rows[key][..] = scores: the product of keys (rows of `from`) with a block across. */
static void scores_of(const stairs *s, const float *from, int64_t row, int64_t exist, int64_t D,
                      const float *across, int64_t queries, float *to) {
    for (int64_t i = 0; i < s->keys; i += TILE_ROWS) {
        const product p = {.a = from + i * row,
                           .row = row,
                           .step = 1,
                           .rows = exist - i,
                           .depth = D,
                           .b = across,
                           .b_stride = queries,
                           .c = to + i * queries,
                           .c_stride = queries};
        product_set(&p, first_vec(s, i), s->vecs);
    }
}

/* A product over the keys that only some lanes of vector v see, from key `begin` on. */
static inline __attribute__((always_inline)) void
product_corner(int rows, const product *p, const stairs *s, int64_t v, int64_t begin, vf factor) {
    const float *a[CORNER_ROWS];
    vf acc[CORNER_ROWS];
    for (int r = 0; r < rows; r++) {
        a[r] = p->a + (r < p->rows ? r : p->rows - 1) * p->row;
        acc[r] = vf_mul(vf_load(p->c + r * p->c_stride + v * VF), factor);
    }
    for (int64_t l = 0, at = 0; l < p->depth; l++, at += p->step) {
        vm blind = blind_lanes(s, v, begin + l);
        vf right = vf_load(p->b + l * p->b_stride + v * VF);
        for (int r = 0; r < rows; r++)
            acc[r] = vf_select(blind, acc[r], vf_fma(vf_set(a[r][at]), right, acc[r]));
    }
    for (int r = 0; r < rows; r++)
        vf_store(p->c + r * p->c_stride + v * VF, acc[r]);
}

/* Products of a block of keys or values (columns of `from`) with rows of weights, which are 0 where
 * a lane does not see the key. */
typedef struct weighing {
    const stairs *s;
    const float *from;
    int64_t row, D;
    const float *weights;
    int64_t queries;  /* of a row of weights and sums */
    float *sums;      /* [d][query] */
    const vf *factor; /* of older sums, one lane for each query; NULL: 1 */
} weighing;

/* The product of keys begin .. end with columns from d on. */
static inline product weigh_part(const weighing *w, int64_t begin, int64_t end, int64_t d) {
    return (product){.a = w->from + begin * w->row + d,
                     .row = 1,
                     .step = w->row,
                     .rows = w->D - d,
                     .depth = end - begin,
                     .b = w->weights + begin * w->queries,
                     .b_stride = w->queries,
                     .c = w->sums + d * w->queries,
                     .c_stride = w->queries};
}

static __attribute__((noinline)) void weigh_corner(const weighing *w, int64_t v, int64_t begin,
                                                   int64_t end, const vf *factor) {
    vf f = factor ? factor[v] : vf_set(1);
    for (int64_t d = 0; d < w->D; d += CORNER_ROWS) {
        const product p = weigh_part(w, begin, end, d);
        product_corner(CORNER_ROWS, &p, w->s, v, begin, f);
    }
}

/* sums = sums factor + weights from. Keys up to seen_by_all(v) concern vectors from v on; a
 * vector's first product brings its older sums along. */
static void weigh(const weighing *w) {
    const stairs *s = w->s;
    for (int64_t v = first_vec(s, 0), begin = 0; v < s->vecs; v++) {
        int64_t all = seen_by_all(s, v), some = seen_by_some(s, v);
        const vf *factor = begin == 0 ? w->factor : NULL;
        for (int64_t d = 0; d < w->D && all > begin; d += TILE_ROWS) {
            const product p = weigh_part(w, begin, all, d);
            if (factor)
                product_scale(&p, v, s->vecs, factor);
            else
                product_add(&p, v, s->vecs);
        }
        if (some > all) weigh_corner(w, v, all, some, all == 0 ? w->factor : NULL);
        begin = all;
    }
}

/* The rows of count queries times a factor: across[d][query], and along[query][d] unless NULL.
 * Zeros up to whole vectors of queries and of d. */
static void pack_queries(const float *from, int64_t row, int64_t count, float factor,
                         const wn__attention_sizes *z, float *across, float *along) {
    vf f = vf_set(factor);
    for (int64_t i = 0; i < count; i += VF)
        for (int64_t d = 0; d < z->D; d += VF) {
            vf r[VF];
            vf_read_block(from + i * row + d, row, least(count - i, VF), least(z->D - d, VF), r);
#pragma GCC unroll 16
            for (int64_t q = 0; q < VF; q++) {
                r[q] = vf_mul(r[q], f);
                if (along) vf_store(along + (i + q) * z->depth + d, r[q]);
            }
            vf_transpose(r);
#pragma GCC unroll 16
            for (int64_t q = 0; q < VF; q++)
                vf_store(across + (d + q) * z->queries + i, r[q]);
        }
}

/* Back: rows of count queries from a block across, each query times its lane of factor. */
static void unpack_queries(const float *across, const vf *factor, int64_t count,
                           const wn__attention_sizes *z, float *to, int64_t row) {
    for (int64_t i = 0; i < count; i += VF)
        for (int64_t d = 0; d < z->D; d += VF) {
            vf r[VF];
#pragma GCC unroll 16
            for (int64_t q = 0; q < VF; q++)
                r[q] = vf_mul(vf_load(across + (d + q) * z->queries + i), factor[i / VF]);
            vf_transpose(r);
            vf_write_block(to + i * row + d, row, least(count - i, VF), least(z->D - d, VF), r);
        }
}

/* n is a multiple of VF. */
static void clear(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i += VF)
        vf_store(x + i, vf_zero());
}

/* Where the vector of a head begins. */
static float *head_at(const wn_tensor *t, int64_t b, int64_t position, int64_t head) {
    return (float *)t->data + b * t->stride[0] + position * t->stride[1] + head * t->stride[2];
}

#endif
