// SPDX-License-Identifier: MIT
/* Kronecker-sparse ("butterfly") factors and chains of them: which entries exist, how they are
 * stored, what a product of two looks like, what it costs (Le, Zheng, Riccietti & Gribonval,
 * "Butterfly factorization with error guarantees", 2025; Gonon, Zheng, Carrivain & Le, "Fast
 * inference with Kronecker-sparse matrices", 2025).
 *
 * A factor of pattern (a,b,c,d) is a matrix [a b d, a c d] with the support I_a x 1_{b,c} x I_d:
 *     K[i b d + j d + l, i c d + k d + l] = w[i,j,k,l],   i < a, j < b, k < c, l < d
 * and zeros elsewhere: a d dense blocks [b,c] whose rows and columns lie d apart. Its transpose has
 * the pattern (a,c,b,d).
 *
 * A chain is W = K_{n-1} ... K_1 K_0. factor[0] IS THE RIGHTMOST: it meets the input first. Papers
 * write the leftmost first. */
#ifndef WN_SPARSE_KRON_H
#define WN_SPARSE_KRON_H

#include "kernels/kron_mul.h"

enum { WN__KRON_MAX = WN__KRON_FACTORS, WN__KRON_PATTERN_TEXT = 88 };

typedef struct wn__kron {
    int64_t a, b, c, d;
} wn__kron;

typedef struct wn__kron_chain {
    wn__kron factor[WN__KRON_MAX]; /* rightmost first */
    int count;
} wn__kron_chain;

static inline int64_t wn__kron_rows(const wn__kron *p) {
    return p->a * p->b * p->d;
}
static inline int64_t wn__kron_columns(const wn__kron *p) {
    return p->a * p->c * p->d;
}
static inline int64_t wn__kron_params(const wn__kron *p) {
    return p->a * p->b * p->c * p->d;
}
static inline bool wn__kron_same(const wn__kron *p, const wn__kron *q) {
    return p->a == q->a && p->b == q->b && p->c == q->c && p->d == q->d;
}
/* "(1,2,2,4)" into out[n]; returns out. */
const char *wn__kron_text(const wn__kron *p, char *out, size_t n);

/* INVALID: a number below 1, or more than 2^53 entries in the factor, rows or columns. */
WN_NODISCARD wn_status wn__kron_check(const wn__kron *p);
/* The pattern of the product left right and *rank = r, the largest rank of each of its blocks:
 * (a1, b1 d1/d2, a2 c2/a1, d2), r = a1 c1/a2. INVALID when they are not chainable: the sizes do not
 * meet, a1 does not divide a2, d2 does not divide d1, or r is no integer, each with its numbers.
 * Supports then satisfy S_left S_right = r S_product. rank may be NULL. */
WN_NODISCARD wn_status wn__kron_product(const wn__kron *left, const wn__kron *right, wn__kron *out,
                                        int64_t *rank);
/* Whether a chainable pair is all of the class of its product, r >= min(b1, c2): two factors are
 * never fewer parameters then. False for a pair that is not chainable. */
bool wn__kron_redundant(const wn__kron *left, const wn__kron *right);

/* ---- storage. The layout of a factor's numbers is always stated, never guessed from a shape. */
#define WN__KRON_LAYOUTS(X)                                                                        \
    X(CANONICAL, "canonical") /* [a,b,c,d] */                                                      \
    X(ROWS, "groups-bc")      /* [a d, b, c]: the blocks, row-major */                             \
    X(COLUMNS, "groups-cb")   /* [a d, c, b]: the blocks, transposed */
typedef enum wn__kron_layout {
#define WN__KRON_ENUM(name, text) WN__KRON_##name,
    WN__KRON_LAYOUTS(WN__KRON_ENUM)
#undef WN__KRON_ENUM
} wn__kron_layout;
const char *wn__kron_layout_name(wn__kron_layout layout);
/* INVALID lists the names. */
WN_NODISCARD wn_status wn__kron_layout_parse(const char *text, size_t n, wn__kron_layout *out);
/* data in that layout, seen as w[a,b,c,d]: the layout is all in the strides. */
wn_tensor wn__kron_view(const wn__kron *p, wn__kron_layout layout, void *data, wn_dtype dtype);
/* The transposed factor: j and k change places. */
wn_tensor wn__kron_view_transpose(const wn_tensor *w);
/* The pattern of a view; INVALID if w has not four dimensions or none that wn__kron_check takes. */
WN_NODISCARD wn_status wn__kron_of(const wn_tensor *w, wn__kron *out);
/* to = from, same pattern, floats of any dtype and strides. */
WN_NODISCARD wn_status wn__kron_copy(const wn_tensor *from, const wn_tensor *to);

/* ---- what factors and chains multiply to. Floats of any dtype and strides; sums in double. */

/* out[a b d, a c d] = K. */
WN_NODISCARD wn_status wn__kron_dense(const wn_tensor *w, const wn_tensor *out);
/* out = the product of two factors as one of wn__kron_product's pattern. */
WN_NODISCARD wn_status wn__kron_merge(const wn_tensor *left, const wn_tensor *right,
                                      const wn_tensor *out);
/* out = the product of neighbours, w[0] the rightmost, as one factor. NOMEM. */
WN_NODISCARD wn_status wn__kron_merge_all(const wn_tensor *w, int count, const wn_tensor *out);
/* out[rows, columns] = K_{n-1} ... K_0 (+ head_u head_v, [rows,k] and [k,columns], if given).
 * NOMEM.
 */
WN_NODISCARD wn_status wn__kron_chain_dense(const wn_tensor *w, int count, const wn_tensor *head_u,
                                            const wn_tensor *head_v, const wn_tensor *out);

/* ---- chains */

static inline int64_t wn__kron_chain_rows(const wn__kron_chain *c) {
    return wn__kron_rows(&c->factor[c->count - 1]);
}
static inline int64_t wn__kron_chain_columns(const wn__kron_chain *c) {
    return wn__kron_columns(&c->factor[0]);
}
/* INVALID: no factors or more than WN__KRON_MAX, a pattern that wn__kron_check refuses, or
 * neighbours whose sizes do not meet, with both. */
WN_NODISCARD wn_status wn__kron_chain_check(const wn__kron_chain *c);
/* The pattern of the whole product. INVALID names the first pair that is not chainable.
 * Chainability of all neighbours is that of any two runs of factors, since the product is
 * associative. */
WN_NODISCARD wn_status wn__kron_chain_product(const wn__kron_chain *c, wn__kron *out);
/* The first pair (its right factor) that is redundant, -1 for none. */
int wn__kron_chain_redundant(const wn__kron_chain *c);

/* The n = log2 N dyadic factors of a square of size N: (N/2,2,2,1) ... (1,2,2,N/2), rightmost
 * first. INVALID unless N is a power of two from 2 on. */
WN_NODISCARD wn_status wn__kron_chain_butterfly(int64_t n, wn__kron_chain *out);
/* The chain of the program this format comes from: P = the power of two from max(out,in) on; where
 * `in` is not P a bottleneck (1,rank,in,1), (1,P,rank,1); the butterfly of P; where `out` is not P
 * a bottleneck (1,rank,P,1), (1,out,rank,1). A warning is logged where P is neither size. rank
 * counts for bottlenecks only, and there the product is a matrix of that rank and no more: a
 * truncated SVD in disguise. INVALID: a size or rank below 1, 1 x 1. */
WN_NODISCARD wn_status wn__kron_chain_legacy(int64_t out_features, int64_t in_features,
                                             int64_t rank, wn__kron_chain *out);
/* The rank of the bottleneck of such a chain, 0 of any other and of one without a bottleneck. */
int64_t wn__kron_chain_legacy_rank(const wn__kron_chain *c);
/* Monarch, or block low rank: blocks [b,c] of rank r, for any b that divides out and c that divides
 * in: left (1, b, in/c r, out/b), right (in/c, out/b r, c, 1). r = 1 is the Monarch of the papers;
 * r(out in)(1/b + 1/c) parameters. INVALID names the nearest divisor, or r beyond min(b,c). */
WN_NODISCARD wn_status wn__kron_chain_monarch(int64_t out_features, int64_t in_features, int64_t b,
                                              int64_t c, int64_t r, wn__kron_chain *out);
/* The divisor of n nearest to `wanted`, the larger of two. n >= 1. */
int64_t wn__kron_divisor(int64_t n, int64_t wanted);
/* Runs of neighbours replaced by their product, from the right, as long as that has b and c of at
 * most `radix` and stays chainable: dyadic factors m at a time become (a,2^m,2^m,d). first[t] is
 * the first old factor of new factor t; first[count of out] is the count of c. first may be NULL,
 * else it has room for WN__KRON_MAX + 1. */
WN_NODISCARD wn_status wn__kron_chain_merged(const wn__kron_chain *c, int64_t radix,
                                             wn__kron_chain *out, int *first);

/* What a chain with a low-rank head of rank `head` (0: none) costs, and the matrix it stands for.
 * No bias is counted. */
typedef struct wn__kron_counts {
    int64_t dense, params; /* entries */
    double flops;          /* of one vector: 2 params */
    double ratio;          /* dense / params */
    double saved;          /* 1 - params / dense; negative where the chain is larger */
} wn__kron_counts;
WN_NODISCARD wn_status wn__kron_chain_counts(const wn__kron_chain *c, int64_t head,
                                             wn__kron_counts *out);

/* One line that a file carries beside the numbers: "kron 1 rightmost-first groups-cb (512,2,2,1)
 * (256,2,2,2)". *out is malloc'ed. */
WN_NODISCARD wn_status wn__kron_chain_format(const wn__kron_chain *c, wn__kron_layout layout,
                                             char **out);
/* INVALID: anything that format does not write, with what was expected; what check refuses. */
WN_NODISCARD wn_status wn__kron_chain_parse(const char *text, wn__kron_chain *out,
                                            wn__kron_layout *layout);

#endif
