// SPDX-License-Identifier: MIT
/* kron_mul of so few vectors that the factors are what is read: straight from where they lie, each
 * number once for up to four vectors. What lies between factors is one row of floats a vector, in
 * the order of its features. A task is one block; the lanes run along whatever has the unit stride:
 * the outputs j of a block, its inputs k, or (where blocks interleave) the blocks l themselves. */

enum { FEW_TOGETHER = 4, FEW_WIDE = 2, FEW_TASK = 32768 /* numbers of a factor */ };

typedef struct few_job {
    const wn__kron_mul *p;
    wn__kron_size size;
    int64_t n, width; /* vectors; floats of one between factors, rounded up */
    const float *from;
    float *to;
    float
        *workers; /* [n][c rounded up] of a block's inputs, and [n][b rounded up] of its outputs */
    int64_t worker, inputs, outputs;
    int factor;
} few_job;

/* Outputs j .. of a block for T vectors: w[k][j], the lanes along j. */
ALWAYS void few_along_j(const wn_dtype dtype, const int T, const few_job *job, int64_t at,
                        const float *x, float *y) {
    const wn_tensor *w = &job->p->w[job->factor];
    int64_t b = job->size.b, c = job->size.c, step = w->stride[2];
    for (int64_t j = 0; j < b; j += FEW_WIDE * VF) {
        int64_t first = kron_least(VF, b - j), second = kron_least(VF, b - j - first);
        vf sum[FEW_TOGETHER][FEW_WIDE];
        UNROLL
        for (int t = 0; t < T; t++)
            sum[t][0] = sum[t][1] = vf_zero();
        for (int64_t k = 0; k < c; k++) {
            vf w0 = num_get(dtype, w->data, at + k * step + j, first);
            vf w1 =
                second > 0 ? num_get(dtype, w->data, at + k * step + j + VF, second) : vf_zero();
            UNROLL
            for (int t = 0; t < T; t++) {
                vf v = vf_set(x[t * job->inputs + k]);
                sum[t][0] = vf_fma(v, w0, sum[t][0]);
                sum[t][1] = vf_fma(v, w1, sum[t][1]);
            }
        }
        UNROLL
        for (int t = 0; t < T; t++) {
            vf_put(y + t * job->outputs + j, sum[t][0], first);
            if (second > 0) vf_put(y + t * job->outputs + j + VF, sum[t][1], second);
        }
    }
}

/* The same of w[j][k], the lanes along k. */
ALWAYS void few_along_k(const wn_dtype dtype, const int T, const few_job *job, int64_t at,
                        const float *x, float *y) {
    const wn_tensor *w = &job->p->w[job->factor];
    int64_t b = job->size.b, c = job->size.c, step = w->stride[1];
    for (int64_t j = 0; j < b; j++) {
        vf sum[FEW_TOGETHER];
        UNROLL
        for (int t = 0; t < T; t++)
            sum[t] = vf_zero();
        for (int64_t k = 0; k < c; k += VF) {
            int64_t some = kron_least(VF, c - k);
            vf v = num_get(dtype, w->data, at + j * step + k, some);
            UNROLL
            for (int t = 0; t < T; t++)
                sum[t] = vf_fma(v, vf_get(x + t * job->inputs + k, some), sum[t]);
        }
        UNROLL
        for (int t = 0; t < T; t++)
            y[t * job->outputs + j] = vf_sum(sum[t]);
    }
}

#define FEW_CASE(T)                                                                                \
    case T:                                                                                        \
        if (along_j)                                                                               \
            few_along_j(dtype, T, job, at, x, y);                                                  \
        else                                                                                       \
            few_along_k(dtype, T, job, at, x, y);                                                  \
        break;

ALWAYS void few_block_as(const wn_dtype dtype, const few_job *job, int64_t at, const float *x,
                         float *y) {
    const bool along_j = job->p->w[job->factor].stride[2] != 1;
    for (int64_t t = 0; t < job->n; t += FEW_TOGETHER) {
        switch (kron_least(FEW_TOGETHER, job->n - t)) {
            FEW_CASE(1)
            FEW_CASE(2)
            FEW_CASE(3)
            FEW_CASE(4)
        default:
            break;
        }
        x += FEW_TOGETHER * job->inputs;
        y += FEW_TOGETHER * job->outputs;
    }
}

static void few_block(const few_job *job, int64_t at, const float *x, float *y) {
#define BLOCK(dtype) few_block_as(dtype, job, at, x, y)
    NUM_SWITCH(job->p->w[job->factor].dtype, BLOCK)
#undef BLOCK
}

/* Inputs of block (i, l), side by side. */
static void few_bring(const few_job *job, int64_t i, int64_t l, float *to) {
    const wn_tensor *x = &job->p->x;
    wn__kron_size s = job->size;
    for (int64_t t = 0; t < job->n; t++, to += job->inputs)
        for (int64_t k = 0; k < s.c; k++) {
            int64_t at = (i * s.c + k) * s.d + l;
            to[k] = job->factor > 0
                        ? job->from[t * job->width + at]
                        : num_one(x->dtype, x->data, t * x->stride[0] + at * x->stride[1]);
        }
}

static void few_send(const few_job *job, int64_t i, int64_t l, const float *from) {
    const wn_tensor *y = &job->p->y;
    wn__kron_size s = job->size;
    const bool last = job->factor + 1 == job->p->count;
    for (int64_t t = 0; t < job->n; t++, from += job->outputs)
        for (int64_t j = 0; j < s.b; j++) {
            int64_t at = (i * s.b + j) * s.d + l;
            if (!last) {
                job->to[t * job->width + at] = from[j];
                continue;
            }
            at = t * y->stride[0] + at * y->stride[1];
            float old = job->p->accumulate ? num_one(y->dtype, y->data, at) : 0;
            num_set(y->dtype, y->data, at, old + from[j]);
        }
}

static void few_blocks(void *ctx, int64_t begin, int64_t end, int worker) {
    const few_job *job = ctx;
    const wn_tensor *w = &job->p->w[job->factor];
    float *x = job->workers + worker * job->worker, *y = x + job->n * job->inputs;
    for (int64_t g = begin; g < end; g++) {
        int64_t i = g / job->size.d, l = g % job->size.d;
        few_bring(job, i, l, x);
        few_block(job, i * w->stride[0] + l * w->stride[3], x, y);
        few_send(job, i, l, y);
    }
}

static void kron_few_run(const wn__kron_mul *p, const wn__kron_plan *plan, wn__exec *x) {
    few_job job = {.p = p,
                   .n = p->x.shape[0],
                   .width = plan->few_width,
                   .inputs = plan->few_inputs,
                   .outputs = plan->few_outputs,
                   .worker = plan->worker};
    float *one = (float *)(void *)x->scratch, *two = one + job.n * job.width;
    job.workers = two + job.n * job.width;
    for (job.factor = 0; job.factor < p->count; job.factor++) {
        job.size = wn__kron_size_of(&p->w[job.factor]);
        job.from = job.factor % 2 ? one : two;
        job.to = job.factor % 2 ? two : one;
        int64_t grain = FEW_TASK / (job.size.b * job.size.c);
        wn__parallel_for(x->pool, job.size.a * job.size.d, grain > 0 ? grain : 1, few_blocks, &job);
    }
}
