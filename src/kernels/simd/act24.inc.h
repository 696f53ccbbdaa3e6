// SPDX-License-Identifier: MIT
/* relu, relu_grad, column_zeros and tokens24 for F32. Lanes are elements, or columns: they know
 * nothing of each other. */
#include "base/fail.h"
#include "kernels/act24.h"
#include "kernels/simd/accepts.h"
#include "kernels/simd/rank24.h"

#define RELU_GRAIN 8192

/* ---- relu and its gradient */

/* max(x, 0), NaN for NaN: the second operand is the one that may be NaN; adding 0 makes +0 of -0.
 */
ALWAYS vf positive(vf x) {
    return vf_add(vf_max(vf_zero(), x), vf_zero());
}

ALWAYS void relu_step(const wn__relu *p, int64_t i, int64_t n) {
    vf_put((float *)p->y.data + i, positive(vf_get((const float *)p->x.data + i, n)), n);
}

ALWAYS void relu_grad_step(const wn__relu_grad *p, int64_t i, int64_t n) {
    vf x = vf_get((const float *)p->x.data + i, n), dy = vf_get((const float *)p->dy.data + i, n);
    vf_put((float *)p->dx.data + i, vf_select(vm_lt(vf_zero(), x), dy, positive(x)), n);
}

static void relu_range(void *ctx, int64_t i, int64_t end, int worker) {
    (void)worker;
    for (; i + VF <= end; i += VF)
        relu_step(ctx, i, VF);
    if (i < end) relu_step(ctx, i, end - i);
}

static void relu_grad_range(void *ctx, int64_t i, int64_t end, int worker) {
    (void)worker;
    for (; i + VF <= end; i += VF)
        relu_grad_step(ctx, i, VF);
    if (i < end) relu_grad_step(ctx, i, end - i);
}

static wn_status relu(const void *args, wn__exec *x) {
    const wn__relu *p = args;
    wn__parallel_for(x->pool, wn__tensor_count(&p->y), RELU_GRAIN, relu_range, (void *)args);
    return WN_OK;
}

static wn_status relu_grad(const void *args, wn__exec *x) {
    const wn__relu_grad *p = args;
    wn__parallel_for(x->pool, wn__tensor_count(&p->dx), RELU_GRAIN, relu_grad_range, (void *)args);
    return WN_OK;
}

/* ---- column_zeros */

#define ZEROS_COLUMNS 512 /* counted by one block */
#define ZEROS_ROWS    4   /* read for each look at the counts */

/* count + 1 where a is 0. */
ALWAYS vi count_zeros(vi count, vf a) {
#if VF == 16
    __mmask16 zero = _mm512_cmp_ps_mask(a, vf_zero(), _CMP_EQ_OQ);
    return _mm512_mask_add_epi32(count, zero, count, vi_set(1));
#else
    return vi_sub(count, _mm256_castps_si256(_mm256_cmp_ps(a, vf_zero(), _CMP_EQ_OQ)));
#endif
}

/* Adds the zeros of `rows` <= ZEROS_ROWS rows to n <= VF counts; vectors of floats carry the bits.
 */
ALWAYS void zeros_step(const float *x, int64_t stride, int64_t rows, float *zeros, int64_t n) {
    vi count = vi_of(vf_get(zeros, n));
    UNROLL
    for (int64_t i = 0; i < ZEROS_ROWS; i++)
        if (i < rows) count = count_zeros(count, vf_get(x + i * stride, n));
    vf_put(zeros, vf_of(count), n);
}

ALWAYS void zeros_rows(const float *x, int64_t stride, int64_t rows, float *zeros, int64_t n) {
    int64_t j = 0;
    for (; j + VF <= n; j += VF)
        zeros_step(x + j, stride, rows, zeros + j, VF);
    if (j < n) zeros_step(x + j, stride, rows, zeros + j, n - j);
}

static void zeros_columns(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__column_zeros *p = ctx;
    int64_t stride = p->x.stride[0], left = p->x.shape[0];
    const float *x = (const float *)p->x.data + begin;
    float *zeros = (float *)p->zeros.data + begin;
    memset(zeros, 0, (size_t)(end - begin) * sizeof *zeros);
    for (; left >= ZEROS_ROWS; left -= ZEROS_ROWS, x += ZEROS_ROWS * stride)
        zeros_rows(x, stride, ZEROS_ROWS, zeros, end - begin);
    if (left > 0) zeros_rows(x, stride, left, zeros, end - begin);
}

static wn_status column_zeros(const void *args, wn__exec *x) {
    const wn__column_zeros *p = args;
    const int32_t *zeros = p->zeros.data;
    int64_t c = p->x.shape[1], total = 0;
    wn__parallel_for(x->pool, c, ZEROS_COLUMNS, zeros_columns, (void *)args);
    for (int64_t j = 0; j < c; j++)
        total += zeros[j];
    *(int64_t *)p->total.data = total;
    return WN_OK;
}

/* ---- tokens24 */

/* |a| as an integer; NaN of every payload is the same, and the largest. */
ALWAYS vi magnitude(vf a) {
    vi bits = vi_of(vf_abs(a));
#if VF == 16
    return _mm512_min_epi32(bits, vi_set(0x7F800001));
#else
    return _mm256_min_epi32(bits, vi_set(0x7F800001));
#endif
}

/* The sign bit of the lanes whose byte is not 0, of n <= VF bytes. */
ALWAYS vi marked_lanes(const uint8_t *p, int64_t n) {
    __m128i bytes = groups_load(p, n);
#if VF == 16
    return vi_sub(vi_set(0), _mm512_cvtepu8_epi32(bytes));
#else
    return vi_sub(vi_set(0), _mm256_cvtepu8_epi32(bytes));
#endif
}

typedef struct tokens24_job {
    const wn__tokens24 *p;
    const int32_t *order; /* NULL: as they stand */
    const uint8_t *dense; /* NULL: none */
} tokens24_job;

/* Four rows at once, the ones beyond `rows` being zeros that come last. */
ALWAYS void tokens_step(const float *const x[4], float *const y[4], const uint8_t *dense, int rows,
                        int64_t j, int64_t n) {
    vf row[4];
    vi a[4], keep[4];
    UNROLL
    for (int i = 0; i < 4; i++) {
        row[i] = i < rows ? vf_get(x[i] + j, n) : vf_zero();
        a[i] = magnitude(row[i]);
    }
    keep_largest(a, keep);
    vi copied = dense ? marked_lanes(dense + j, n) : vi_set(0);
    UNROLL
    for (int i = 0; i < 4; i++)
        if (i < rows) vf_put(y[i] + j, vf_keep(vm_of_sign(vi_or(keep[i], copied)), row[i]), n);
}

static void tokens_group(const tokens24_job *job, int64_t g) {
    const wn__tokens24 *p = job->p;
    int64_t columns = p->x.shape[1], j = 0;
    int rows = (int)clamp24(p->x.shape[0] - 4 * g, 4);
    const float *x[4] = {0};
    float *y[4] = {0};
    for (int i = 0; i < rows; i++) {
        int64_t row = job->order ? job->order[4 * g + i] : 4 * g + i;
        x[i] = (const float *)p->x.data + row * p->x.stride[0];
        y[i] = (float *)p->y.data + row * p->y.stride[0];
    }
    for (; rows == 4 && j + VF <= columns; j += VF)
        tokens_step(x, y, job->dense, 4, j, VF);
    for (; j < columns; j += VF)
        tokens_step(x, y, job->dense, rows, j, clamp24(columns - j, VF));
}

static void tokens_groups(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    for (int64_t g = begin; g < end; g++)
        tokens_group(ctx, g);
}

static wn_status tokens24(const void *args, wn__exec *x) {
    const wn__tokens24 *p = args;
    tokens24_job job = {p, wn__given(&p->order) ? p->order.data : NULL,
                        wn__given(&p->dense) ? p->dense.data : NULL};
    WN_TRY(wn__tokens24_check_order(p, (uint8_t *)x->scratch));
    wn__parallel_for(x->pool, (p->x.shape[0] + 3) / 4, PIECE / (4 * p->x.shape[1] + 1) + 1,
                     tokens_groups, &job);
    return WN_OK;
}
