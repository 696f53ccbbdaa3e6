// SPDX-License-Identifier: MIT
/* soft24 and soft24_dots for F32, a step of VF groups at once, and apply24. tau comes from the two
 * pairs of a group without sorting. A float operation rounds as the reference does. */
#include "base/fail.h"
#include "kernels/mask24.h"
#include "kernels/simd/accepts.h"
#include "kernels/simd/rank24.h"
#include "kernels/simd/rows.h"
#include "kernels/soft24.h"

#include <stdatomic.h>

static inline float scale24_of(const wn_tensor *scale) {
    return wn__given(scale) ? (float)*(const double *)scale->data : 1.0F;
}

/* ---- soft24 */

/* S of each lane's group with scale 1; the sign bits of keep say what stays. */
ALWAYS void soften(const vf w[4], vf out[4], vi keep[4]) {
    vf a[4];
    vi magnitude[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        a[j] = vf_abs(w[j]);
        magnitude[j] = vi_of(a[j]);
    }
    vf low = vf_max(vf_min(a[0], a[1]), vf_min(a[2], a[3]));
    vf high = vf_min(vf_max(a[0], a[1]), vf_max(a[2], a[3]));
    vf tau = vf_min(low, high);
    keep_largest(magnitude, keep);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        out[j] = vf_keep(vm_of_sign(keep[j]), vf_with_sign(vf_sub(a[j], tau), vf_sign(w[j])));
}

ALWAYS vm vm_any_nan(const vf column[4]) {
    return vm_or(vm_nan(column[0], column[1]), vm_nan(column[2], column[3]));
}

typedef struct soft24_job {
    const wn__soft24 *p;
    cut24 cut;
    atomic_bool nan; /* a block has met one */
} soft24_job;

/* n columns of one row; mask may be NULL. Whether any is NaN. */
static bool soften_row(const float *w, int64_t n, float scale, float *out, uint8_t *mask) {
    vm nan = vm_of_bits(0);
    vf times = vf_set(scale);
    for (int64_t j = 0; j < n; j += STEP_COLUMNS) {
        vf column[4], soft[4];
        vi keep[4];
        int64_t columns = clamp24(n - j, STEP_COLUMNS);
        load_columns(w + j, columns, column);
        nan = vm_or(nan, vm_any_nan(column));
        soften(column, soft, keep);
        if (mask) store_groups(keep_bits(keep), mask + j / 4, clamp24((n - j + 3) / 4, VF));
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            soft[i] = vf_keep(vm_of_sign(keep[i]), vf_mul(times, soft[i]));
        store_columns(out + j, columns, soft);
    }
    if (mask && n % 4 != 0) mask[n / 4] &= (uint8_t)((1U << (n % 4)) - 1U);
    return vm_bits(nan) != 0;
}

static void soften_pieces(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    soft24_job *job = ctx;
    const wn__soft24 *p = job->p;
    int64_t groups = (job->cut.columns + 3) / 4;
    float scale = scale24_of(&p->scale);
    bool nan = false;
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i / job->cut.pieces, j = i % job->cut.pieces * PIECE;
        uint8_t *mask = wn__given(&p->mask) ? (uint8_t *)p->mask.data + row * groups + j / 4 : NULL;
        nan |= soften_row((const float *)p->w.data + row * p->w.stride[0] + j,
                          clamp24(job->cut.columns - j, PIECE), scale,
                          (float *)p->out.data + row * p->out.stride[0] + j, mask);
    }
    if (nan) atomic_store_explicit(&job->nan, true, memory_order_relaxed);
}

static void look_for_nan(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    soft24_job *job = ctx;
    const wn_tensor *w = &job->p->w;
    vm nan = vm_of_bits(0);
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i / job->cut.pieces, j = i % job->cut.pieces * PIECE;
        const float *x = (const float *)w->data + row * w->stride[0] + j;
        int64_t n = clamp24(job->cut.columns - j, PIECE);
        for (int64_t k = 0; k < n; k += VF) {
            vf v = vf_get(x + k, clamp24(n - k, VF));
            nan = vm_or(nan, vm_nan(v, v));
        }
    }
    if (vm_bits(nan)) atomic_store_explicit(&job->nan, true, memory_order_relaxed);
}

/* No half of an answer, and nothing of a weight that is its own result is lost. */
static wn_status refuse_soft24(const wn__soft24 *p, bool in_place) {
    for (int64_t i = 0; !in_place && i < p->out.shape[0]; i++)
        memset((float *)p->out.data + i * p->out.stride[0], 0,
               (size_t)p->out.shape[1] * sizeof(float));
    if (wn__given(&p->mask)) memset(p->mask.data, 0, wn__tensor_bytes(&p->mask));
    return wn__mask24_refuse_nan(&(wn__mask24){.w = p->w});
}

static wn_status soft24(const void *args, wn__exec *x) {
    const wn__soft24 *p = args;
    int64_t r = p->w.shape[0], c = p->w.shape[1];
    bool in_place = p->out.data == p->w.data;
    soft24_job job = {.p = p, .cut = cut24_of(r, c, p->w.stride[0] == c && p->out.stride[0] == c)};
    if (in_place) wn__parallel_for(x->pool, job.cut.count, job.cut.grain, look_for_nan, &job);
    if (!atomic_load(&job.nan))
        wn__parallel_for(x->pool, job.cut.count, job.cut.grain, soften_pieces, &job);
    return atomic_load(&job.nan) ? refuse_soft24(p, in_place) : WN_OK;
}

/* ---- soft24_dots */

/* Groups whose products are in one vector of doubles; 16 of them make a turn. */
#define TURNS (16 / VF)
typedef struct dots24 {
    vd sum[3][2 * TURNS];
} dots24;

ALWAYS vd dot4(const vd a[4], const vd b[4]) {
    vd two = vd_add(vd_mul(a[0], b[0]), vd_mul(a[1], b[1]));
    return vd_add(vd_add(two, vd_mul(a[2], b[2])), vd_mul(a[3], b[3]));
}

ALWAYS void add_dots(dots24 *d, int at, const vd w[4], const vd s[4]) {
    d->sum[0][at] = vd_add(d->sum[0][at], dot4(w, s));
    d->sum[1][at] = vd_add(d->sum[1][at], dot4(s, s));
    d->sum[2][at] = vd_add(d->sum[2][at], dot4(w, w));
}

/* One step of n columns, the turn-th of its 16 groups. */
ALWAYS vm dots_step(const float *w, int64_t n, dots24 *d, int turn) {
    vf column[4], soft[4];
    vi keep[4];
    vd cw[4], cs[4];
    load_columns(w, n, column);
    soften(column, soft, keep);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        cw[j] = vd_low(column[j]);
        cs[j] = vd_low(soft[j]);
    }
    add_dots(d, 2 * turn, cw, cs);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        cw[j] = vd_high(column[j]);
        cs[j] = vd_high(soft[j]);
    }
    add_dots(d, 2 * turn + 1, cw, cs);
    return vm_any_nan(column);
}

/* The partial sums in the order of the groups: lane 4 q + l of a step is group VF/4 l + q. */
static double sum_lanes(const vd sum[2 * TURNS]) {
    double lane[16], total = 0;
    memcpy(lane, sum, sizeof lane);
    for (int g = 0; g < 16; g++) {
        int in_step = g % VF;
        total += lane[g / VF * VF + in_step % (VF / 4) * 4 + in_step / (VF / 4)];
    }
    return total;
}

/* The three sums of a row; whether it has a NaN. */
static bool dots_of_row(const float *w, int64_t n, double out[3]) {
    dots24 d;
    vm nan = vm_of_bits(0);
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 2 * TURNS; i++)
            d.sum[k][i] = vd_zero();
    for (int64_t j = 0; j < n; j += TURNS * STEP_COLUMNS)
        for (int turn = 0; turn < TURNS; turn++) {
            int64_t at = j + turn * STEP_COLUMNS;
            if (at < n)
                nan = vm_or(nan, dots_step(w + at, clamp24(n - at, STEP_COLUMNS), &d, turn));
        }
    for (int k = 0; k < 3; k++)
        out[k] = sum_lanes(d.sum[k]);
    return vm_bits(nan) != 0;
}

typedef struct dots24_job {
    const wn__soft24_dots *p;
    double *rows; /* three sums each */
    atomic_bool nan;
} dots24_job;

static void dots_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    dots24_job *job = ctx;
    const wn_tensor *w = &job->p->w;
    bool nan = false;
    for (int64_t i = begin; i < end; i++)
        nan |=
            dots_of_row((const float *)w->data + i * w->stride[0], w->shape[1], job->rows + 3 * i);
    if (nan) atomic_store_explicit(&job->nan, true, memory_order_relaxed);
}

static wn_status soft24_dots(const void *args, wn__exec *x) {
    const wn__soft24_dots *p = args;
    dots24_job job = {.p = p, .rows = (double *)(void *)x->scratch};
    double *out = p->out.data;
    wn__parallel_for(x->pool, p->w.shape[0], wn__row_grain(p->w.shape[1]), dots_rows, &job);
    if (atomic_load(&job.nan)) return wn__mask24_refuse_nan(&(wn__mask24){.w = p->w});
    for (int k = 0; k < 3; k++) {
        out[k] = 0;
        for (int64_t i = 0; i < p->w.shape[0]; i++)
            out[k] += job.rows[3 * i + k];
    }
    return WN_OK;
}

/* ---- apply24 */

typedef struct apply24_job {
    const wn__apply24 *p;
    cut24 cut;
} apply24_job;

static void apply_row(const float *x, const uint8_t *mask, float *y, int64_t n, vf scale) {
    for (int64_t j = 0; j < n; j += STEP_COLUMNS) {
        __m128i bytes = groups_load(mask + j / 4, clamp24((n - j + 3) / 4, VF));
        keep24 keep = join_nibbles(_mm_and_si128(bytes, _mm_set1_epi8(0x0F)));
        for (int64_t l = 0; l < 4 && VF * l < n - j; l++) {
            int64_t at = j + VF * l, lanes = clamp24(n - at, VF);
            vm kept = vm_of_bits((unsigned)(keep >> VF * l) & ((1U << VF) - 1U));
            vf_put(y + at, vf_keep(kept, vf_mul(scale, vf_get(x + at, lanes))), lanes);
        }
    }
}

static void apply_pieces(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const apply24_job *job = ctx;
    const wn__apply24 *p = job->p;
    int64_t groups = (job->cut.columns + 3) / 4;
    vf scale = vf_set(scale24_of(&p->scale));
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i / job->cut.pieces, j = i % job->cut.pieces * PIECE;
        apply_row((const float *)p->x.data + row * p->x.stride[0] + j,
                  (const uint8_t *)p->mask.data + row * groups + j / 4,
                  (float *)p->y.data + row * p->y.stride[0] + j,
                  clamp24(job->cut.columns - j, PIECE), scale);
    }
}

static wn_status apply24(const void *args, wn__exec *x) {
    const wn__apply24 *p = args;
    int64_t r = p->x.shape[0], c = p->x.shape[1];
    apply24_job job = {p, cut24_of(r, c, p->x.stride[0] == c && p->y.stride[0] == c)};
    wn__parallel_for(x->pool, job.cut.count, job.cut.grain, apply_pieces, &job);
    return WN_OK;
}
