// SPDX-License-Identifier: MIT
// kron_mul and kron_grad the way of batched products: permute so that the numbers of a block lie
// side by side, one product a block by cuBLASLt, permute back. It is here to be compared with; the
// permutations are what the other variants save.
//
// A block (i, l) of x [n, a c d] is a matrix [n, c] whose rows are n's stride apart and whose
// columns are d features apart. cuBLASLt takes it where it lies if either is 1: batch last always,
// batch first where d or c is 1. So it does results, and factors whose blocks lie in one piece; all
// else is permuted. Blocks are a product each; one launch takes all a d of them where one stride
// leads from each to the next, else those of an i, or of an l.
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/blaslt.h"
#include "kernels/cuda/kron.h"
#include "kernels/cuda/kron_permute.h"
#include "kernels/declare.h"
#include <limits.h>
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

// ---- blocks as matrices

// Matrices [rows, columns], one for each (i, l); strides in elements.
typedef struct blocks {
    void *data;
    wn_dtype dtype;
    int64_t rows, columns, row, column, i, l;
} blocks;

static blocks of_vectors(const wn_tensor *t, const wn__kron_size *s, int64_t side) {
    const int64_t feature = t->stride[1];
    return (blocks){.data = t->data,
                    .dtype = t->dtype,
                    .rows = t->shape[0],
                    .columns = side,
                    .row = t->stride[0],
                    .column = s->d * feature,
                    .i = side * s->d * feature,
                    .l = feature};
}

static blocks of_factor(const wn_tensor *w) {
    return (blocks){.data = w->data,
                    .dtype = w->dtype,
                    .rows = w->shape[1],
                    .columns = w->shape[2],
                    .row = w->stride[1],
                    .column = w->stride[2],
                    .i = w->stride[0],
                    .l = w->stride[3]};
}

static blocks turned(const blocks *m) {
    blocks t = *m;
    t.rows = m->columns;
    t.columns = m->rows;
    t.row = m->column;
    t.column = m->row;
    return t;
}

// Whether cuBLASLt takes it as it lies, and as what tensor.
static bool fits(const blocks *m) {
    if (m->columns < 2) return m->rows < 2 || m->row >= 1;
    if (m->column == 1) return m->rows < 2 || m->row >= m->columns;
    return (m->rows < 2 || m->row == 1) && m->column >= m->rows;
}

static wn_tensor matrix_of(const blocks *m) {
    wn_tensor t = wn__tensor2(m->data, m->dtype, m->rows, m->columns);
    t.stride[0] = m->rows < 2 && m->column != 1 && m->columns > 1 ? 1 : m->row;
    t.stride[1] = m->columns < 2 ? 1 : m->column;
    t.device.kind = WN_DEVICE_CUDA;
    return t;
}

// ---- products

typedef struct products {
    blocks a, b, c; // c (+)= a b
    int64_t outer, batch;
    int64_t apart[3], step[3]; // of a, b, c: from launch to launch, in one
} products;

// The stride from every block to the next, 0 where there is more than one.
static int64_t one_step(const blocks *m, const wn__kron_size *s) {
    if (s->a == 1) return m->l;
    return s->d == 1 || m->i == s->d * m->l ? (s->d == 1 ? m->i : m->l) : 0;
}

// Results lie by rows: else the transposes are multiplied.
static products products_of(blocks a, blocks b, blocks c, const wn__kron_size *s) {
    products p = {.a = a, .b = b, .c = c};
    if (matrix_of(&c).stride[1] != 1) {
        p.a = turned(&b);
        p.b = turned(&a);
        p.c = turned(&c);
    }
    const blocks *m[3] = {&p.a, &p.b, &p.c};
    bool one = true;
    for (int i = 0; i < 3; i++)
        one = one && one_step(m[i], s) != 0;
    const bool by_i = s->a <= s->d; // launches
    p.outer = one ? 1 : by_i ? s->a : s->d;
    p.batch = s->a * s->d / p.outer;
    for (int i = 0; i < 3; i++) {
        p.step[i] = one ? one_step(m[i], s) : by_i ? m[i]->l : m[i]->i;
        p.apart[i] = one ? 0 : by_i ? m[i]->i : m[i]->l;
    }
    return p;
}

static wn__matmul first_of(const products *p, bool accumulate) {
    return (wn__matmul){.a = matrix_of(&p->a),
                        .b = matrix_of(&p->b),
                        .c = matrix_of(&p->c),
                        .accumulate = accumulate};
}

static size_t workspace_of(const products *p) {
    const wn__matmul m = first_of(p, false);
    return wn__blaslt_workspace_of(&m, p->batch);
}

static void advance(wn_tensor *t, int64_t elements) {
    t->data = (char *)t->data + elements * (int64_t)wn_dtype_size(t->dtype);
}

static wn_status multiply(const products *p, bool accumulate, wn__exec *x, void *workspace) {
    wn__matmul m = first_of(p, accumulate);
    wn__lt_shape s;
    wn__blaslt *b;
    const wn__lt_plan *plan;
    char why[160];
    int i;
    if (!wn__blaslt_shape(&m, &s, why, sizeof why)) return wn__fail(WN_BUG, "cuBLASLt: %s", why);
    s.workspace = workspace_of(p);
    wn__blaslt_repeat(&s, (int)p->batch, p->step);
    wn__blaslt_apart(&s, p->apart);
    WN_TRY(wn__gpu_blaslt(x->gpu, &b));
    WN_TRY(wn__blaslt_way(b, &s, x, &plan, &i));
    for (int64_t o = 0; o < p->outer; o++) {
        WN_TRY(wn__blaslt_run(b, plan, i, &m, workspace));
        advance(&m.a, p->apart[0]);
        advance(&m.b, p->apart[1]);
        advance(&m.c, p->apart[2]);
    }
    return WN_OK;
}

// ---- permutations

// Scratch, handed out from its beginning; at NULL only counted.
typedef struct room {
    char *base;
    size_t used;
} room;

static void *take(room *r, int64_t numbers, wn_dtype dtype) {
    void *at = r->base != NULL ? r->base + r->used : NULL;
    r->used += wn__cuda_whole((size_t)numbers * wn_dtype_size(dtype));
    return at;
}

// The blocks of vectors apart within each vector: [n][a d][side].
static blocks apart(room *r, const blocks *m, wn_dtype dtype, const wn__kron_size *s) {
    const int64_t side = m->columns, all = s->a * s->d * side;
    return (blocks){.data = take(r, m->rows * all, dtype),
                    .dtype = dtype,
                    .rows = m->rows,
                    .columns = side,
                    .row = all,
                    .column = 1,
                    .i = s->d * side,
                    .l = side};
}

// Those of a factor one behind the other: [a d][b][c].
static blocks piled(room *r, const blocks *m, wn_dtype dtype, const wn__kron_size *s) {
    const int64_t numbers = m->rows * m->columns;
    return (blocks){.data = take(r, s->a * s->d * numbers, dtype),
                    .dtype = dtype,
                    .rows = m->rows,
                    .columns = m->columns,
                    .row = m->columns,
                    .column = 1,
                    .i = s->d * numbers,
                    .l = numbers};
}

// Vectors: matrices [c, d] for each n and i; factors: for each i and row.
static wn__permute_side inputs_of(const blocks *m, bool vectors) {
    return (wn__permute_side){.data = m->data,
                              .dtype = m->dtype,
                              .matrix = {vectors ? m->row : m->i, vectors ? m->i : m->row},
                              .row = m->column,
                              .column = m->l};
}

static wn__permute permute_in(const blocks *from, const blocks *to, const wn__kron_size *s,
                              bool vectors) {
    return (wn__permute){.in = inputs_of(from, vectors),
                         .out = inputs_of(to, vectors),
                         .outer = {vectors ? from->rows : s->a, vectors ? s->a : from->rows},
                         .rows = from->columns,
                         .columns = s->d};
}

// The other way round: what lies side by side is a block's row, then a block's neighbours.
static wn__permute permute_out(const blocks *from, const blocks *to, const wn__kron_size *s,
                               bool vectors, bool add) {
    wn__permute p = permute_in(from, to, s, vectors);
    const int64_t rows = p.rows, in = p.in.row, out = p.out.row;
    p.rows = p.columns;
    p.columns = rows;
    p.in.row = p.in.column;
    p.in.column = in;
    p.out.row = p.out.column;
    p.out.column = out;
    p.add = add;
    return p;
}

// An operand: what is multiplied, and the permutation that makes it.
typedef struct operand {
    blocks m;
    bool permuted;
    wn__permute p;
} operand;

static operand operand_of(room *r, blocks m, const wn__kron_size *s, bool vectors) {
    operand o = {.m = m, .permuted = !fits(&m)};
    if (!o.permuted) return o;
    o.m = vectors ? apart(r, &m, m.dtype, s) : piled(r, &m, m.dtype, s);
    o.p = permute_in(&m, &o.m, s, vectors);
    return o;
}

// A result: 16-bit numbers are added to in float32.
static operand result_of(room *r, blocks m, const wn__kron_size *s, bool vectors, bool accumulate) {
    const bool adds = accumulate && m.dtype != WN_DTYPE_F32;
    const wn_dtype dtype = accumulate ? WN_DTYPE_F32 : m.dtype;
    operand o = {.m = m, .permuted = adds || !fits(&m)};
    if (!o.permuted) return o;
    o.m = vectors ? apart(r, &m, dtype, s) : piled(r, &m, dtype, s);
    o.p = permute_out(&o.m, &m, s, vectors, accumulate);
    return o;
}

static bool accepts(const operand *o, char *why, size_t n) {
    return !o->permuted || wn__gpu_permute_accepts(&o->p, why, n);
}

static wn_status bring(wn__gpu *gpu, const operand *o) {
    return o->permuted ? wn__gpu_permute(gpu, &o->p) : WN_OK;
}

// What both ops take.
static bool accepts_numbers(const wn_tensor *x, char *why, size_t n) {
    const wn__lt_api *api;
    if (x->dtype == WN_DTYPE_F64)
        (void)snprintf(why, n, "dtype F64 is not F32, BF16 or F16");
    else if (x->shape[0] > INT_MAX)
        (void)snprintf(why, n, "a batch above %d", INT_MAX);
    else if (wn__blaslt_find(&api) != WN_OK)
        (void)snprintf(why, n, "%s", wn_last_error());
    else
        return true;
    return false;
}

// ---- kron_mul

typedef struct step {
    operand x, w, y;
    products products;
    bool accumulate;    // by the product itself
    size_t bytes;       // of scratch
    size_t products_at; // where that of the products begins
} step;

static step step_of(const wn_tensor *w, const wn_tensor *x, const wn_tensor *y, bool accumulate,
                    char *scratch) {
    const wn__kron_size s = wn__kron_size_of(w);
    room r = {.base = scratch};
    step t = {.x = operand_of(&r, of_vectors(x, &s, s.c), &s, true),
              .w = operand_of(&r, of_factor(w), &s, false),
              .y = result_of(&r, of_vectors(y, &s, s.b), &s, true, accumulate)};
    t.products = products_of(t.x.m, turned(&t.w.m), t.y.m, &s);
    t.accumulate = accumulate && !t.y.permuted;
    t.products_at = r.used;
    t.bytes = r.used + workspace_of(&t.products);
    return t;
}

// Step t of a chain.
static step chain_step(const wn__kron_mul *p, int t, char *scratch) {
    const bool last = t + 1 == p->count;
    const wn_tensor x = t > 0 ? wn__gpu_kron_between(p, t - 1, scratch) : p->x;
    const wn_tensor y = last ? p->y : wn__gpu_kron_between(p, t, scratch);
    return step_of(&p->w[t], &x, &y, last && p->accumulate,
                   scratch != NULL ? scratch + wn__gpu_kron_between_bytes(p) : NULL);
}

bool wn__accepts_gpu_kron_mul_batched(const void *args, char *why, size_t n) {
    const wn__kron_mul *p = args;
    if (!accepts_numbers(&p->x, why, n)) return false;
    for (int t = 0; t < p->count; t++) {
        const step s = chain_step(p, t, NULL);
        if (!accepts(&s.x, why, n) || !accepts(&s.w, why, n) || !accepts(&s.y, why, n))
            return false;
    }
    return true;
}

size_t wn__workspace_kron_mul_cublaslt(const void *args, int threads) {
    const wn__kron_mul *p = args;
    size_t most = 0;
    (void)threads;
    for (int t = 0; t < p->count; t++) {
        const step s = chain_step(p, t, NULL);
        if (s.bytes > most) most = s.bytes;
    }
    return wn__gpu_kron_between_bytes(p) + most;
}

wn_status wn__kron_mul_cublaslt(const void *args, wn__exec *x) {
    const wn__kron_mul *p = args;
    wn__exec plain = *x; // a way is one product's
    plain.way = NULL;
    plain.ways = NULL;
    if (p->x.shape[0] == 0) return WN_OK;
    for (int t = 0; t < p->count; t++) {
        const step s = chain_step(p, t, x->scratch);
        WN_TRY(bring(x->gpu, &s.x));
        WN_TRY(bring(x->gpu, &s.w));
        WN_TRY(multiply(&s.products, s.accumulate, p->count > 1 ? &plain : x,
                        x->scratch + wn__gpu_kron_between_bytes(p) + s.products_at));
        WN_TRY(bring(x->gpu, &s.y));
    }
    return WN_OK;
}

// ---- kron_grad

static step gradient_step(const wn__kron_grad *p, char *scratch) {
    const wn__kron_size s = wn__kron_size_of(&p->dw);
    room r = {.base = scratch};
    step t = {.x = operand_of(&r, of_vectors(&p->x, &s, s.c), &s, true),
              .y = operand_of(&r, of_vectors(&p->dy, &s, s.b), &s, true),
              .w = result_of(&r, of_factor(&p->dw), &s, false, p->accumulate)};
    t.products = products_of(turned(&t.y.m), t.x.m, t.w.m, &s);
    t.accumulate = p->accumulate && !t.w.permuted;
    t.products_at = r.used;
    t.bytes = r.used + workspace_of(&t.products);
    return t;
}

bool wn__accepts_gpu_kron_grad_batched(const void *args, char *why, size_t n) {
    const wn__kron_grad *p = args;
    if (p->x.shape[0] == 0) {
        (void)snprintf(why, n, "a batch of none");
        return false;
    }
    if (!accepts_numbers(&p->x, why, n)) return false;
    const step s = gradient_step(p, NULL);
    return accepts(&s.x, why, n) && accepts(&s.w, why, n) && accepts(&s.y, why, n);
}

size_t wn__workspace_kron_grad_cublaslt(const void *args, int threads) {
    (void)threads;
    return gradient_step(args, NULL).bytes;
}

wn_status wn__kron_grad_cublaslt(const void *args, wn__exec *x) {
    const step s = gradient_step(args, x->scratch);
    WN_TRY(bring(x->gpu, &s.x));
    WN_TRY(bring(x->gpu, &s.y));
    WN_TRY(multiply(&s.products, s.accumulate, x, x->scratch + s.products_at));
    return bring(x->gpu, &s.w);
}

#endif
