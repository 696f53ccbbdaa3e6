// SPDX-License-Identifier: MIT
// matmul through a CBLAS, which runs on one thread for each block of c. The blocks follow from the
// shapes alone, so the thread count changes no bit; k is never cut. The only file that includes the
// library's header.
#include "kernels/matmul.h"
#include "kernels/blas.h"
#include "kernels/declare.h"
#include "kernels/simd/accepts.h"

#include <cblas.h>
#include <limits.h>
#include <stdio.h>

#define ENOUGH 16 // blocks to share out
#define LEAST  96 // rows and columns below which a block is not halved

// One operand as the library wants it: row-major rows of `leading` elements, transposed or not.
typedef struct operand {
    const void *data;
    CBLAS_TRANSPOSE transpose;
    int64_t leading;
} operand;

static operand operand_of(const wn_tensor *t) {
    int across = t->stride[1] == 1 ? 1 : 0; // the unit stride
    int64_t leading = t->stride[1 - across];
    // With one row its distance to the next means nothing, yet the library checks it.
    if (t->shape[1 - across] <= 1 && leading < t->shape[across]) leading = t->shape[across];
    return (operand){t->data, across == 1 ? CblasNoTrans : CblasTrans, leading > 1 ? leading : 1};
}

static bool fits(const wn_tensor *t, const char *name, char *why, size_t n) {
    operand o = operand_of(t);
    int64_t width = t->shape[o.transpose == CblasNoTrans ? 1 : 0];
    if (o.leading < width) {
        snprintf(why, n, "%s has rows that overlap (stride %lld)", name, (long long)o.leading);
        return false;
    }
    if (t->shape[0] > INT_MAX || t->shape[1] > INT_MAX || o.leading > INT_MAX) {
        snprintf(why, n, "%s has a size or stride above %d", name, INT_MAX);
        return false;
    }
    return true;
}

bool wn__accepts_matmul_cblas(const void *args, char *why, size_t n) {
    const wn__matmul *p = args;
    if (p->a.dtype != WN_DTYPE_F32 && p->a.dtype != WN_DTYPE_F64) {
        snprintf(why, n, "dtype %s is not F32 or F64", wn_dtype_name(p->a.dtype));
        return false;
    }
    if (p->a.shape[1] == 0) {
        snprintf(why, n, "k=0");
        return false;
    }
    return fits(&p->a, "a", why, n) && fits(&p->b, "b", why, n) && fits(&p->c, "c", why, n);
}

typedef struct blocks {
    const wn__matmul *p;
    int64_t m, n;          // of a block
    int64_t rows, columns; // blocks along m and n
} blocks;

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

// Halves the longer side of a block until there are enough.
static blocks blocks_of(const wn__matmul *p) {
    int64_t m = p->c.shape[0], n = p->c.shape[1];
    blocks b = {p, m, n, 1, 1};
    while (b.rows * b.columns < ENOUGH && (b.m >= 2 * LEAST || b.n >= 2 * LEAST)) {
        if (b.m > b.n)
            b.m = ceil_div(b.m, 2);
        else
            b.n = ceil_div(b.n, 2);
        b.rows = ceil_div(m, b.m);
        b.columns = ceil_div(n, b.n);
    }
    return b;
}

static float *f32(const wn_tensor *t, int64_t i, int64_t j) {
    return (float *)t->data + i * t->stride[0] + j * t->stride[1];
}

static double *f64(const wn_tensor *t, int64_t i, int64_t j) {
    return (double *)t->data + i * t->stride[0] + j * t->stride[1];
}

// c = (accumulate ? c : 0) + bias, to which the product is then added.
static void start_with_bias(const wn__matmul *p, int64_t i0, int64_t m, int64_t j0, int64_t n) {
    for (int64_t i = i0; i < i0 + m; i++)
        for (int64_t j = j0; j < j0 + n; j++)
            if (p->c.dtype == WN_DTYPE_F32)
                *f32(&p->c, i, j) =
                    (p->accumulate ? *f32(&p->c, i, j) : 0) + *((float *)p->bias.data + j);
            else
                *f64(&p->c, i, j) =
                    (p->accumulate ? *f64(&p->c, i, j) : 0) + *((double *)p->bias.data + j);
}

static void multiply(const wn__matmul *p, int64_t i, int64_t m, int64_t j, int64_t n) {
    operand a = operand_of(&p->a), b = operand_of(&p->b), c = operand_of(&p->c);
    bool add = p->accumulate || wn__given(&p->bias);
    if (wn__given(&p->bias)) start_with_bias(p, i, m, j, n);
    int k = (int)p->a.shape[1];
    if (p->c.dtype == WN_DTYPE_F32)
        cblas_sgemm(CblasRowMajor, a.transpose, b.transpose, (int)m, (int)n, k, 1, f32(&p->a, i, 0),
                    (int)a.leading, f32(&p->b, 0, j), (int)b.leading, add ? 1 : 0, f32(&p->c, i, j),
                    (int)c.leading);
    else
        cblas_dgemm(CblasRowMajor, a.transpose, b.transpose, (int)m, (int)n, k, 1, f64(&p->a, i, 0),
                    (int)a.leading, f64(&p->b, 0, j), (int)b.leading, add ? 1 : 0, f64(&p->c, i, j),
                    (int)c.leading);
}

static void run_blocks(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const blocks *b = ctx;
    for (int64_t block = begin; block < end; block++) {
        int64_t i = block % b->rows * b->m, m = b->p->c.shape[0] - i;
        int64_t j = block / b->rows * b->n, n = b->p->c.shape[1] - j;
        multiply(b->p, i, m < b->m ? m : b->m, j, n < b->n ? n : b->n);
    }
}

wn_status wn__matmul_cblas(const void *args, wn__exec *x) {
    wn__blas_one_thread();
    const wn__matmul *p = args;
    if (p->c.shape[0] == 0 || p->c.shape[1] == 0) return WN_OK;
    blocks b = blocks_of(p);
    wn__parallel_for(x->pool, b.rows * b.columns, 1, run_blocks, &b);
    return WN_OK;
}

void wn__blas_product(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row,
                      const float *b, int64_t b_row, float *c, int64_t c_row) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, (int)n, (int)k, 1, a, (int)a_row,
                b, (int)b_row, 0, c, (int)c_row);
}

void wn__blas_outer(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row, const float *b,
                    int64_t b_row, float *c, int64_t c_row) {
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)m, (int)n, (int)k, 1, a, (int)a_row,
                b, (int)b_row, 0, c, (int)c_row);
}
