// SPDX-License-Identifier: MIT
/* kron_mul over panels of two vectors of lanes: see simd/kron_plan.h. */
#include "kernels/simd/kron_pack.inc.h"
#include "kernels/simd/kron_panel.inc.h"

typedef struct kron_job {
    const wn__kron_mul *p;
    wn__kron_plan plan;
    const float *weights;
    const int32_t *place;
    float *workers;
} kron_job;

static const float *kron_weights(const kron_job *job, int factor) {
    const float *w = job->weights;
    for (int t = 0; t < factor; t++) {
        wn__kron_size s = wn__kron_size_of(&job->p->w[t]);
        w += wn__kron_line(s.a * s.b * s.c * s.d);
    }
    return w;
}

/* ---- a panel into y */

/* Whether so much goes out that no cache keeps it: lines that are written whole need not be read.
 */
static bool kron_streams(const wn__kron_mul *p) {
    const wn_tensor *y = &p->y;
    return VF == 16 && y->dtype == WN_DTYPE_F32 && !p->accumulate &&
           y->shape[0] * y->shape[1] >= WN_KRON_STREAM;
}

/* A block that is all there, each of its rows one line of y where that begins at a line. */
ALWAYS void kron_stream(float *to, int64_t stride, const vf block[VF]) {
#if VF == 16
    if (((uintptr_t)to | ((uintptr_t)stride * sizeof *to)) % 64 == 0) {
        UNROLL
        for (int64_t i = 0; i < VF; i++)
            _mm512_stream_ps(to + i * stride, block[i]);
        return;
    }
#endif
    vf_write_block(to, stride, VF, VF, block);
}

ALWAYS void kron_send_as(const wn_dtype dtype, const kron_columns *to, bool add, int64_t t0,
                         const float *panel) {
    const wn_tensor *y = to->of;
    int64_t n = kron_least(LANES, y->shape[0] - t0);
    if (!kron_batch_first(y)) {
        for (int64_t r = 0; r < to->count; r++) {
            int64_t at = (to->first + r) * y->stride[1] + t0;
            const float *from = panel + (int64_t)to->place[r] * LANES;
            for (int64_t t = 0; t < n; t += VF) {
                int64_t some = kron_least(VF, n - t);
                vf v = vf_load(from + t);
                if (add) v = vf_add(num_get(dtype, y->data, at + t, some), v);
                num_put(dtype, y->data, at + t, v, some);
            }
        }
        return;
    }
    for (int64_t t = 0; t < n; t += VF) {
        int64_t rows = kron_least(VF, n - t);
        int64_t at = (t0 + t) * y->stride[0] + to->first;
        for (int64_t r = 0; r < to->count; r += VF) {
            int64_t some = kron_least(VF, to->count - r);
            vf block[VF];
            UNROLL
            for (int64_t i = 0; i < VF; i++)
                block[i] =
                    i < some ? vf_load(panel + (int64_t)to->place[r + i] * LANES + t) : vf_zero();
            vf_transpose(block);
            if (add) {
                UNROLL
                for (int64_t i = 0; i < VF; i++)
                    if (i < rows)
                        block[i] = vf_add(num_get(dtype, y->data, at + i * y->stride[0] + r, some),
                                          block[i]);
            }
            if (dtype == WN_DTYPE_F32 && to->stream && rows == VF && some == VF) {
                kron_stream((float *)y->data + at + r, y->stride[0], block);
                continue;
            }
            num_write_block(dtype, y->data, at + r, y->stride[0], rows, some, block);
        }
    }
}

static void kron_send_out(const kron_columns *to, bool add, int64_t t0, const float *panel) {
#define SEND(dtype) kron_send_as(dtype, to, add, t0, panel)
    NUM_SWITCH(to->of->dtype, SEND)
#undef SEND
}

/* ---- a few panels through all factors */

static void kron_pair(const kron_job *job, const float *x, float *middle, float *y) {
    const wn__kron_packing *n = &job->plan.of;
    const int64_t panels = job->plan.panels;
    wn__kron_size right = wn__kron_size_of(&job->p->w[0]), left = wn__kron_size_of(&job->p->w[1]);
    const int32_t *between = job->place + wn__kron_line(n->in);
    const int32_t *behind = between + wn__kron_line(right.a * right.b * right.d);
    const float *w0 = job->weights, *w1 = kron_weights(job, 1);
    int64_t row = n->s * n->r;
    kron_panels first = {panels, n->in * LANES, n->middle * LANES, false};
    kron_panels second = {panels, n->middle * LANES, n->out * LANES, false};
    for (int64_t g = 0; g < left.a * right.d; g++) {
        int64_t i = g / right.d, l = g % right.d;
        for (int64_t u = 0; u < n->t; u += n->chunk) {
            int64_t some = kron_least(n->chunk, n->t - u);
            for (int64_t v = 0; v < n->s; v++, w0 += some * n->r * right.c)
                kron_block(some * n->r, right.c, w0,
                           x + ((i * n->s + v) * right.d + l) * right.c * LANES, between,
                           middle + v * n->r * LANES, &first);
            for (int64_t q = 0; q < some; q++) {
                int64_t l1 = (u + q) * right.d + l;
                kron_block(left.b, left.c, w1 + (i * left.d + l1) * left.b * left.c,
                           middle + q * row * LANES, behind, y + (i * left.b * left.d + l1) * LANES,
                           &second);
            }
        }
    }
}

/* Returns the panels that hold the result. */
static float *kron_chain(const kron_job *job, float *now, float *next) {
    const wn__kron_packing *n = &job->plan.of;
    const float *w = job->weights;
    const int32_t *place = job->place + wn__kron_line(n->in);
    kron_panels step = {job->plan.panels, n->middle * LANES, n->middle * LANES, false};
    for (int t = 0; t < job->p->count; t++) {
        wn__kron_size s = wn__kron_size_of(&job->p->w[t]);
        for (int64_t g = 0; g < s.a * s.d; g++)
            kron_block(s.b, s.c, w + g * s.b * s.c, now + g * s.c * LANES, place + g * s.b, next,
                       &step);
        w += wn__kron_line(s.a * s.b * s.c * s.d);
        place += wn__kron_line(s.a * s.b * s.d);
        float *swap = now;
        now = next;
        next = swap;
    }
    return now;
}

static void kron_run(void *ctx, int64_t begin, int64_t end, int worker) {
    const kron_job *job = ctx;
    const wn__kron_packing *n = &job->plan.of;
    const int64_t panels = job->plan.panels;
    float *x = job->workers + worker * job->plan.worker;
    int64_t width = n->pair ? n->in : n->middle, back = n->pair ? n->out : n->middle;
    const kron_columns in = {&job->p->x, 0, n->in, job->place, false};
    const kron_columns out = {&job->p->y, 0, n->out, job->place + n->places - wn__kron_line(n->out),
                              kron_streams(job->p)};
    for (int64_t i = begin; i < end; i++) {
        int64_t t0 = i * panels * LANES;
        int64_t there = kron_least(panels, (job->p->x.shape[0] - t0 + LANES - 1) / LANES);
        float *y = x + width * LANES * panels, *result = y;
        for (int64_t panel = 0; panel < panels; panel++)
            kron_bring_in(&in, kron_least(t0 + panel * LANES, job->p->x.shape[0]),
                          x + panel * width * LANES);
        if (n->pair)
            kron_pair(job, x, y + back * LANES * panels, y);
        else
            result = kron_chain(job, x, y);
        for (int64_t panel = 0; panel < there; panel++)
            kron_send_out(&out, job->p->accumulate, t0 + panel * LANES,
                          result + panel * back * LANES);
    }
    _mm_sfence();
}

#include "kernels/simd/kron_few.inc.h"
#include "kernels/simd/kron_one.inc.h"
#include "kernels/simd/kron_side.inc.h"

#include "kernels/simd/kron_last.inc.h"

static wn_status kron_mul(const void *args, wn__exec *x) {
    const wn__kron_mul *p = args;
    kron_job job = {.p = p, .plan = wn__kron_plan_for(p, LANES)};
    if (p->x.shape[0] == 0) return WN_OK;
    if (job.plan.few) {
        kron_few_run(p, &job.plan, x);
        return WN_OK;
    }
    if (job.plan.side.d > 0) {
        kron_side_run(p, &job.plan, x);
        return WN_OK;
    }
    if (job.plan.last.parts_l > 0) {
        kron_last_run(p, &job.plan, x);
        return WN_OK;
    }
    if (job.plan.one.parts_l > 0) {
        kron_one_run(p, &job.plan, x);
        return WN_OK;
    }
    float *scratch = (float *)(void *)x->scratch;
    job.weights = job.plan.packed ? (const float *)p->packed.data : scratch;
    job.place = (const int32_t *)(const void *)(job.weights + job.plan.of.weights);
    job.workers = scratch + job.plan.weights + job.plan.places;
    if (!job.plan.packed) kron_pack_all(p->w, p->count, &job.plan.of, scratch, x);
    int64_t step = job.plan.panels * LANES;
    wn__parallel_for(x->pool, (p->x.shape[0] + step - 1) / step, 1, kron_run, &job);
    return WN_OK;
}
