// SPDX-License-Identifier: MIT
// The SVD, the reference: one-sided Jacobi on the rows of R after a QR factorisation with column
// pivoting (Drmac & Veselic, "New fast and accurate Jacobi SVD algorithm", 2008; Demmel & Veselic,
// "Jacobi's method is more accurate than QR", 1992). Rows are rotated in pairs until all are
// orthogonal; blocks of rows meet in the order of a round-robin tournament, so that the pairs of
// one round share no row and any number of threads gives the same bits.
#include "base/fail.h"
#include "sparse/linalg_impl.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK   16 // rows that meet another block's while both are in cache
#define SWEEPS  60 // five to ten are usual
#define NOTHING 0x1p-900

typedef struct jacobi {
    int64_t n;
    double *x;     // [n][n], rows to make orthogonal
    double *norms; // [n] their squares; then [n] their squares when last summed
    double tolerance;
    int64_t blocks, round; // of the tournament
    _Atomic bool rotated;
} jacobi;

// (a, b) = (c a - s b, s a + c b)
static void rotate(int64_t n, double c, double s, double *restrict a, double *restrict b) {
    for (int64_t i = 0; i < n; i++) {
        double p = a[i], q = b[i];
        a[i] = c * p - s * q;
        b[i] = s * p + c * q;
    }
}

static void sum_norm(jacobi *j, int64_t row) {
    double square = wn__dot(j->n, j->x + row * j->n, j->x + row * j->n);
    j->norms[row] = j->norms[j->n + row] = square;
}

// Moves a square by what a rotation adds; summed anew where that has cost some digits.
static void move_norm(jacobi *j, int64_t row, double by) {
    j->norms[row] += by;
    if (!(j->norms[row] > 0.01 * j->norms[j->n + row])) sum_norm(j, row);
}

// Makes rows p and q orthogonal by the smaller of the two angles that do (Golub & Van Loan, 8.6.3).
static bool meet(jacobi *j, int64_t p, int64_t q) {
    double np = j->norms[p], nq = j->norms[q];
    if (np < NOTHING || nq < NOTHING) return false;
    double *a = j->x + p * j->n, *b = j->x + q * j->n, d = wn__dot(j->n, a, b);
    if (!(fabs(d) > j->tolerance * sqrt(np) * sqrt(nq))) return false;
    double zeta = (nq - np) / (2 * d);
    double t = copysign(1, zeta) / (fabs(zeta) + hypot(1, zeta));
    double c = 1 / sqrt(1 + t * t);
    rotate(j->n, c, c * t, a, b);
    move_norm(j, p, -t * d);
    move_norm(j, q, t * d);
    return true;
}

static bool meet_blocks(jacobi *j, int64_t first, int64_t second) {
    int64_t p1 = (first + 1) * BLOCK, q1 = (second + 1) * BLOCK;
    bool rotated = false;
    if (p1 > j->n) p1 = j->n;
    if (q1 > j->n) q1 = j->n;
    for (int64_t p = first * BLOCK; p < p1; p++)
        for (int64_t q = first == second ? p + 1 : second * BLOCK; q < q1; q++)
            rotated |= meet(j, p, q);
    return rotated;
}

// Block pairs of a round: player `last` stays, the others go round a circle. A round before the
// first lets each block meet itself.
static void play(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    jacobi *j = ctx;
    int64_t circle = j->blocks - 1;
    for (int64_t i = begin; i < end; i++) {
        int64_t first = i, second = i;
        if (j->round >= 0) {
            first = (j->round + i) % circle;
            second = i == 0 ? circle : (j->round + circle - i) % circle;
        }
        int64_t low = first < second ? first : second, high = first < second ? second : first;
        if (high * BLOCK < j->n && meet_blocks(j, low, high)) j->rotated = true;
    }
}

static void sum_norms(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        sum_norm(ctx, i);
}

static bool sweep(jacobi *j, wn__pool *pool) {
    j->rotated = false;
    wn__parallel_for(pool, j->n, BLOCK, sum_norms, j);
    j->round = -1;
    wn__parallel_for(pool, j->blocks, 1, play, j);
    for (j->round = 0; j->round < j->blocks - 1; j->round++)
        wn__parallel_for(pool, j->blocks / 2, 1, play, j);
    return j->rotated;
}

// The tolerance is a little above the rounding error of a dot product of unit rows. A sweep that
// turned nothing leaves squares that were summed at its start.
static wn_status orthogonalize(wn__exec *e, int64_t n, double *x, double *norms) {
    jacobi j = {.n = n, .x = x, .norms = norms};
    j.tolerance = 0x1p-52 * sqrt((double)n);
    j.blocks = (n + BLOCK - 1) / BLOCK;
    j.blocks += j.blocks % 2;
    for (int i = 0; i < SWEEPS; i++)
        if (!sweep(&j, e->pool)) return WN_OK;
    return wn__fail(WN_BUG, "SVD of %lld rows: not orthogonal after %d sweeps", (long long)n,
                    SWEEPS);
}

typedef struct ranked {
    double square; // of a singular value
    int64_t row;
} ranked;

// Descending; equal ones keep their order.
static int by_rank(const void *a, const void *b) {
    const ranked *p = a, *q = b;
    if (p->square != q->square) return p->square > q->square ? -1 : 1;
    return p->row < q->row ? -1 : p->row > q->row;
}

// For a tall m x n matrix (m >= n), given by its columns.
typedef struct svd_buffers {
    double *w, *tau;       // [n][m] columns, then reflections; [n]
    double *left;          // [n][m] left vectors
    double *x, *r, *spare; // [n][n] each: rows to turn; R^T
    double *norms;         // [2 n]
    int64_t *pivot;        // [n]
    ranked *order;         // [n]
} svd_buffers;

static wn_status alloc_buffers(wn__arena *arena, int64_t m, int64_t n, svd_buffers *b) {
    void *pivot, *order;
    WN_TRY(wn__doubles(arena, n, m, &b->w));
    WN_TRY(wn__doubles(arena, n, 1, &b->tau));
    WN_TRY(wn__doubles(arena, n, m, &b->left));
    WN_TRY(wn__doubles(arena, n, n, &b->x));
    WN_TRY(wn__doubles(arena, n, n, &b->r));
    WN_TRY(wn__doubles(arena, n, n, &b->spare));
    WN_TRY(wn__doubles(arena, n, 2, &b->norms));
    WN_TRY(wn__arena_alloc(arena, (size_t)n * sizeof *b->pivot, &pivot));
    WN_TRY(wn__arena_alloc(arena, (size_t)n * sizeof *b->order, &order));
    b->pivot = pivot;
    b->order = order;
    return WN_OK;
}

wn_status wn__svd_reference_alloc(wn__arena *arena, int64_t m, int64_t n) {
    svd_buffers b;
    return alloc_buffers(arena, m > n ? m : n, m > n ? n : m, &b);
}

// spare[n][n] = the orthogonal Q of the QR factorisation of the columns x, which it destroys; each
// column's sign such that R's diagonal is not negative.
static void orthonormal_columns(wn__exec *e, int64_t n, const svd_buffers *b) {
    double *tau = b->norms;
    wn__reflect(e, n, n, b->x, tau);
    wn__apply_reflections(e, n, n, b->x, tau, n, b->spare, true);
    for (int64_t j = 0; j < n; j++)
        if (b->x[j * n + j] < 0) wn__scale(n, b->spare + j * n, -1);
}

// v[n][n]: the orthogonal rows at length 1 in order of the values. Where there are fewer than n,
// the reflections that map them to unit vectors map the rest of the unit vectors to what is
// missing.
static void right_vectors(wn__exec *e, int64_t n, double *v, const svd_buffers *b) {
    int64_t rank = 0;
    for (int64_t i = 0; i < n && b->order[i].square >= NOTHING; i++, rank++) {
        const double *row = b->x + b->order[i].row * n;
        double length = sqrt(b->order[i].square);
        for (int64_t j = 0; j < n; j++)
            v[i * n + j] = row[j] / length;
    }
    if (rank == n) return;
    memcpy(b->x, v, (size_t)(rank * n) * sizeof *v);
    memset(b->x + rank * n, 0, (size_t)((n - rank) * n) * sizeof *v);
    orthonormal_columns(e, n, b);
    memcpy(v + rank * n, b->spare + rank * n, (size_t)((n - rank) * n) * sizeof *v);
}

// The columns of R V are the left vectors times the values, up to rounding of the largest: their QR
// has R = S to that, and a Q that is orthonormal however small the values are.
static wn_status left_vectors(wn__exec *e, int64_t m, int64_t n, double *v, const svd_buffers *b) {
    wn_tensor rows = wn__tensor2(v, WN_DTYPE_F64, n, n);
    wn_tensor r = wn__tensor2(b->r, WN_DTYPE_F64, n, n), x = wn__tensor2(b->x, WN_DTYPE_F64, n, n);
    WN_TRY(wn__product_reference(e, &rows, &r, &x));
    orthonormal_columns(e, n, b);
    memset(b->left, 0, (size_t)(m * n) * sizeof *b->left);
    for (int64_t i = 0; i < n; i++)
        memcpy(b->left + i * m, b->spare + i * n, (size_t)n * sizeof *b->left);
    wn__apply_reflections(e, m, n, b->w, b->tau, n, b->left, false);
    return WN_OK;
}

// Columns of v[n][n] back to where they were before pivoting.
static void unpivot(int64_t n, double *v, const svd_buffers *b) {
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < n; j++)
            b->spare[b->pivot[j]] = v[i * n + j];
        memcpy(v + i * n, b->spare, (size_t)n * sizeof *v);
    }
}

// The tall matrix in b->w; v[n][n] NULL: the values alone.
static wn_status decompose(wn__exec *e, int64_t m, int64_t n, double *s, double *v,
                           const svd_buffers *b) {
    wn__reflect_pivoted(e, m, n, b->w, b->tau, b->pivot, b->norms);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            b->r[j * n + i] = j < i ? 0 : b->w[j * m + i];
            b->x[i * n + j] = b->r[j * n + i];
        }
    WN_TRY(orthogonalize(e, n, b->x, b->norms));
    for (int64_t i = 0; i < n; i++)
        b->order[i] = (ranked){b->norms[i], i};
    qsort(b->order, (size_t)n, sizeof *b->order, by_rank);
    for (int64_t i = 0; i < n; i++)
        s[i] = b->order[i].square < NOTHING ? 0 : sqrt(b->order[i].square);
    if (v == NULL) return WN_OK;
    right_vectors(e, n, v, b);
    WN_TRY(left_vectors(e, m, n, v, b));
    unpivot(n, v, b);
    return WN_OK;
}

// A wide matrix is the tall one of its transpose, whose columns are its rows.
wn_status wn__svd_reference(wn__exec *x, int64_t m, int64_t n, const double *a, double *u,
                            double *s, double *vt, void *scratch) {
    bool wide = m < n;
    int64_t tall = wide ? n : m, thin = wide ? m : n;
    wn__arena arena = wn__arena_over(scratch);
    svd_buffers b;
    WN_TRY(alloc_buffers(&arena, tall, thin, &b));
    double scale = wn__unit_scale(m * n, a);
    if (wide)
        memcpy(b.w, a, (size_t)(m * n) * sizeof *a);
    else
        wn__transpose(x, m, n, a, b.w);
    wn__scale(m * n, b.w, scale);
    WN_TRY(decompose(x, tall, thin, s, wide ? u : vt, &b));
    for (int64_t i = 0; i < thin; i++)
        s[i] /= scale;
    if (u == NULL) return WN_OK;
    if (!wide) {
        wn__transpose(x, thin, tall, b.left, u);
        return WN_OK;
    }
    memcpy(b.x, u, (size_t)(thin * thin) * sizeof *u); // rows of V^T of the transpose: U^T
    wn__transpose(x, thin, thin, b.x, u);
    memcpy(vt, b.left, (size_t)(m * n) * sizeof *vt);
    return WN_OK;
}
