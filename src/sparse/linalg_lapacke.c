// SPDX-License-Identifier: MIT
// Dense linear algebra through LAPACKE, the only file that includes its header. A row-major matrix
// is the column-major one of its transpose: QR becomes LAPACK's LQ, and the SVD swaps its sides, so
// nothing is transposed. The _work routines take all memory from the caller.
#include "base/fail.h"
#include "kernels/blas.h"
#include "kernels/matmul.h"
#include "sparse/linalg_impl.h"

#include <lapacke.h>
#include <string.h>

static wn_status check_info(const char *routine, lapack_int info) {
    if (info == 0) return WN_OK;
    if (info > 0)
        return wn__fail(WN_BUG, "LAPACK's %s did not converge (info %d)", routine, (int)info);
    return wn__fail(WN_BUG, "LAPACK's %s refuses argument %d", routine, (int)-info);
}

typedef struct qr_buffers {
    double *a, *tau, *work;
    lapack_int work_size;
} qr_buffers;

static wn_status alloc_qr(wn__arena *arena, int64_t m, int64_t n, qr_buffers *b) {
    lapack_int k = (lapack_int)(m < n ? m : n), rows = (lapack_int)n, columns = (lapack_int)m;
    double none = 0, factor = 0, form = 0;
    WN_TRY(check_info("dgelqf", LAPACKE_dgelqf_work(LAPACK_COL_MAJOR, rows, columns, &none, rows,
                                                    &none, &factor, -1)));
    WN_TRY(check_info("dorglq", LAPACKE_dorglq_work(LAPACK_COL_MAJOR, k, columns, k, &none, rows,
                                                    &none, &form, -1)));
    b->work_size = (lapack_int)(factor > form ? factor : form);
    WN_TRY(wn__doubles(arena, m, n, &b->a));
    WN_TRY(wn__doubles(arena, k, 1, &b->tau));
    return wn__doubles(arena, b->work_size, 1, &b->work);
}

static wn_status qr_alloc(wn__arena *arena, int64_t m, int64_t n) {
    qr_buffers b;
    return alloc_qr(arena, m, n, &b);
}

// A^T = L Q' in column-major terms: R = L^T and Q = Q'^T are where row-major ones belong.
static wn_status qr(wn__exec *x, int64_t m, int64_t n, const double *a, double *q, double *r,
                    void *scratch) {
    (void)x;
    wn__arena arena = wn__arena_over(scratch);
    int64_t k = m < n ? m : n;
    qr_buffers b;
    wn__blas_one_thread();
    WN_TRY(alloc_qr(&arena, m, n, &b));
    memcpy(b.a, a, (size_t)(m * n) * sizeof *a);
    lapack_int rows = (lapack_int)n, columns = (lapack_int)m;
    WN_TRY(check_info("dgelqf", LAPACKE_dgelqf_work(LAPACK_COL_MAJOR, rows, columns, b.a, rows,
                                                    b.tau, b.work, b.work_size)));
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < n; j++)
            r[i * n + j] = j < i ? 0 : b.a[i * n + j];
    WN_TRY(check_info("dorglq",
                      LAPACKE_dorglq_work(LAPACK_COL_MAJOR, (lapack_int)k, columns, (lapack_int)k,
                                          b.a, rows, b.tau, b.work, b.work_size)));
    for (int64_t i = 0; i < m; i++)
        memcpy(q + i * k, b.a + i * n, (size_t)k * sizeof *q);
    return WN_OK;
}

typedef struct svd_buffers {
    double *a, *work;
    lapack_int *integers;
    lapack_int work_size;
} svd_buffers;

static lapack_int run_svd(char job, int64_t m, int64_t n, double *a, double *u, double *s,
                          double *vt, double *work, lapack_int work_size, lapack_int *integers) {
    lapack_int k = (lapack_int)(m < n ? m : n), rows = (lapack_int)n, columns = (lapack_int)m;
    return LAPACKE_dgesdd_work(LAPACK_COL_MAJOR, job, rows, columns, a, rows, s, vt, rows, u, k,
                               work, work_size, integers);
}

static wn_status alloc_svd(wn__arena *arena, int64_t m, int64_t n, svd_buffers *b) {
    double none = 0, size = 0;
    lapack_int integer = 0;
    void *integers;
    WN_TRY(
        check_info("dgesdd", run_svd('S', m, n, &none, &none, &none, &none, &size, -1, &integer)));
    b->work_size = (lapack_int)size;
    WN_TRY(wn__doubles(arena, m, n, &b->a));
    WN_TRY(wn__doubles(arena, b->work_size, 1, &b->work));
    WN_TRY(wn__arena_alloc(arena, (size_t)(m < n ? m : n) * 8 * sizeof *b->integers, &integers));
    b->integers = integers;
    return WN_OK;
}

static wn_status svd_alloc(wn__arena *arena, int64_t m, int64_t n) {
    svd_buffers b;
    return alloc_svd(arena, m, n, &b);
}

static wn_status svd(wn__exec *x, int64_t m, int64_t n, const double *a, double *u, double *s,
                     double *vt, void *scratch) {
    (void)x;
    wn__arena arena = wn__arena_over(scratch);
    svd_buffers b;
    wn__blas_one_thread();
    WN_TRY(alloc_svd(&arena, m, n, &b));
    memcpy(b.a, a, (size_t)(m * n) * sizeof *a);
    return check_info("dgesdd", run_svd(u != NULL ? 'S' : 'N', m, n, b.a, u, s, vt, b.work,
                                        b.work_size, b.integers));
}

// What runs in double: what was forced if it can, else the best of the table.
static wn_status product(wn__exec *x, const wn_tensor *a, const wn_tensor *b, const wn_tensor *c) {
    const wn__matmul args = {.a = *a, .b = *b, .c = *c};
    const wn__kernel *kernel = NULL;
    wn__exec free_choice = *x;
    free_choice.strict = false;
    if (wn__plan(&free_choice, WN__OP_matmul, &args, &kernel) != WN_OK) free_choice.force = NULL;
    wn_status status = wn__run(&free_choice, WN__OP_matmul, &args);
    x->need = free_choice.need;
    return status;
}

const wn__linalg *wn__linalg_lapacke(void) {
    static const wn__linalg family = {.name = "lapacke",
                                      .qr_alloc = qr_alloc,
                                      .qr = qr,
                                      .svd_alloc = svd_alloc,
                                      .svd = svd,
                                      .product = product};
    return &family;
}
