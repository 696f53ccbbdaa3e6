// SPDX-License-Identifier: MIT
/* matmul over packed panels, after Goto and van de Geijn 2008. Part by part of the product both
 * operands are copied, one slice of k at a time, into panels of TILE_M rows of a and TILE_N columns
 * of b (zeros beyond the edges): first all threads pack, then all multiply blocks of c, so no
 * element is packed twice for one part. Where there are columns enough for all threads each packs
 * those that it multiplies, right before that, and they stay in its L2. A tile of c stays in
 * registers for a whole slice. Each element sums its products in ascending k within a slice of
 * SLICE_K and adds the slices in order, whatever parts and blocks are. Operands of BF16 become
 * floats while they are packed, or stay pairs of bfloat16 numbers (avx512bf16: vdpbf16ps). Vectors
 * of 64 bytes read rows of a as they lie: see matmul_rows.inc.h. Few rows of floats skip the
 * packing and stream b once: see matmul_few.inc.h. */
#include "kernels/matmul.h"
#include "kernels/simd/accepts.h"
#include "kernels/simd/half.h"
#include "kernels/simd/matmul_few.inc.h"
#include "kernels/simd/matmul_plan.h"
#if defined(__AMX_BF16__)
#define TILES 1
#define ROWS  0
#include "kernels/simd/matmul_amx.inc.h"
#elif VF == 16
#define TILES 0
#define ROWS  1
#include "kernels/simd/matmul_rows.inc.h"
#else
#define TILES 0
#define ROWS  0
#include "kernels/simd/matmul_tile.inc.h"
#endif

typedef struct matmul_job {
    const wn__matmul *p;
    const wn__spmm24 *packed; /* of tile registers: the product whose weights b is, or NULL */
    wn__matmul_plan plan;
    wn__matmul_part part; /* in work */
    float *a, *b;         /* its packed operands: [slices][groups of a block][a_floats]; b of
                             each worker, one group, where it is its own */
    float *sums;          /* of the part, where c is BF16 */
    int64_t step;         /* to the column of blocks that a worker most likely takes next */
} matmul_job;

/* Where the sums of a block stand: in c where it is F32, else in the scratch. */
typedef struct matmul_sums {
    float *data;
    int64_t stride;
} matmul_sums;

static matmul_sums sums_of(const matmul_job *job, const wn__matmul_block *at) {
    const wn_tensor *c = &job->p->c;
    int64_t stride = job->plan.sums_stride;
    if (c->dtype == WN_DTYPE_F32)
        return (matmul_sums){(float *)c->data + at->m0 * c->stride[0] + at->n0, c->stride[0]};
    return (matmul_sums){job->sums + (at->m0 - job->part.m0) * stride + (at->n0 - job->part.n0),
                         stride};
}

/* What the sums are before the first slice: c itself, the bias, both, or nothing (then the slice
 * overwrites them). */
static bool block_begin(const wn__matmul *p, const wn__matmul_block *at, const matmul_sums *to) {
    if (p->c.dtype != WN_DTYPE_F32) return false;
    if (!wn__given(&p->bias)) return p->accumulate;
    const float *bias = (const float *)p->bias.data + at->n0;
    for (int64_t i = 0; i < at->m; i++) {
        float *c = to->data + i * to->stride;
        for (int64_t j = 0; j < at->n; j++)
            c[j] = (p->accumulate ? c[j] : 0) + bias[j];
    }
    return true;
}

static void block_zero(const wn__matmul_block *at, const matmul_sums *to) {
    for (int64_t i = 0; i < at->m; i++)
        for (int64_t j = 0; j < at->n; j++)
            to->data[i * to->stride + j] = 0;
}

/* c of fewer bits than its sums: they are rounded once, with all that is added to them. */
static void block_end(const wn__matmul *p, const wn__matmul_block *at, const matmul_sums *from) {
    if (p->c.dtype == WN_DTYPE_F32) return;
    for (int64_t i = 0; i < at->m; i++) {
        int64_t row = (at->m0 + i) * p->c.stride[0] + at->n0;
        for (int64_t j = 0; j < at->n; j += VF) {
            int64_t n = at->n - j < VF ? at->n - j : VF;
            vf sum = vf_get(from->data + i * from->stride + j, n);
            if (p->accumulate) sum = vf_add(half_get(p->c.data, true, row + j, n), sum);
            if (wn__given(&p->bias)) sum = vf_add(sum, half_get(p->bias.data, true, at->n0 + j, n));
            half_put(p->c.data, true, row + j, sum, n);
        }
    }
}

#if !ROWS
/* One slice of k of one block of c, from its packed operands, whose panels are `depth` deep. */
static void block_product(const wn__matmul_block *at, int64_t depth, const float *a, const float *b,
                          const matmul_sums *to, bool add) {
    for (int64_t j = 0; j < at->n; j += TILE_N)
        for (int64_t i = 0; i < at->m; i += TILE_M) {
            float *c = to->data + i * to->stride + j;
            const float *pa = a + i * depth, *pb = b + j * depth;
            if (at->m - i < TILE_M || at->n - j < TILE_N) {
                int64_t rows = at->m - i < TILE_M ? at->m - i : TILE_M;
                tile_edge(depth, pa, pb, c, to->stride, rows,
                          at->n - j < TILE_N ? at->n - j : TILE_N, add);
            } else if (add) {
                tile_add(depth, pa, pb, c, to->stride);
            } else {
                tile_set(depth, pa, pb, c, to->stride);
            }
        }
}
#endif

/* Where a slice of a block's operand is packed. */
ALWAYS float *packed_a(const matmul_job *job, int64_t slice, int64_t group) {
    return job->a + (slice * job->part.rows + group) * job->plan.a_floats;
}
ALWAYS float *packed_b(const matmul_job *job, int64_t slice, int64_t group, int worker) {
    int64_t at =
        job->plan.own ? worker * job->part.slices + slice : slice * job->part.columns + group;
    return job->b + at * job->plan.b_floats;
}

static void pack_rows(const matmul_job *job, int64_t slice, int64_t group) {
    int64_t l = job->part.l0 + slice * job->plan.slice_k,
            depth = wn__matmul_slice(&job->plan, &job->part, slice);
    wn__matmul_block at = wn__matmul_block_at(&job->plan, &job->part, group);
    float *to = packed_a(job, slice, group);
#if ROWS
    pack_a(&job->p->a, at.m0, at.m, l, depth, job->plan.a_pitch, to);
#else
    pack_a(&job->p->a, at.m0, at.m, l, depth, to);
#endif
#if TILES
    if (job->packed)
        *finite_slice(&job->plan, to) = slice_is_finite(job->packed, at.m0, at.m, l, depth);
#endif
}

static void pack_columns(const matmul_job *job, int64_t slice, int64_t group, int worker) {
    int64_t l = job->part.l0 + slice * job->plan.slice_k,
            depth = wn__matmul_slice(&job->plan, &job->part, slice);
    wn__matmul_block at = wn__matmul_block_at(&job->plan, &job->part, group * job->part.rows);
    float *to = packed_b(job, slice, group, worker);
#if TILES
    if (job->packed) {
        pack_b24(job->packed, at.n0, at.n, l, depth, to);
        return;
    }
#endif
#if ROWS
    pack_panels(&job->p->b, at.n0, at.n, l, depth, to);
#else
    pack_b(&job->p->b, at.n0, at.n, l, depth, to);
#endif
}

/* Rows first, then columns unless workers pack their own. */
static void pack_groups(void *ctx, int64_t begin, int64_t end, int worker) {
    const matmul_job *job = ctx;
    int64_t rows = job->plan.as_it_lies ? 0 : job->part.rows,
            groups = rows + (job->plan.own ? 0 : job->part.columns);
    for (int64_t i = begin; i < end; i++)
        if (i % groups < rows)
            pack_rows(job, i / groups, i % groups);
        else
            pack_columns(job, i / groups, i % groups - rows, worker);
}

/* Whether tiles of slice s are results: then they leave nothing to be rounded in the end. */
ALWAYS bool rounds_tiles(const matmul_job *job, int64_t s) {
    return ROWS && job->p->c.dtype == WN_DTYPE_BF16 && s >= 0 && s == job->part.slices - 1 &&
           job->part.l0 + job->part.depth == job->p->a.shape[1];
}

#if ROWS
/* Of b, what comes after the columns of block i in slice s, where a worker packs its own: it
 * fetches the lines before, a part with each of the blocks. */
static tile_fetch fetch_columns(const matmul_job *job, int64_t s, int64_t i) {
    const wn__matmul_part *part = &job->part;
    const wn_tensor *b = &job->p->b;
    int64_t next = i / part->rows + job->step;
    if (!job->plan.own || next >= part->columns) return (tile_fetch){.at = (const char *)b->data};
    wn__matmul_block at = wn__matmul_block_at(&job->plan, part, next * part->rows);
    int64_t l = part->l0 + s * job->plan.slice_k, depth = wn__matmul_slice(&job->plan, part, s);
    int64_t size = b->dtype == WN_DTYPE_BF16 ? 2 : 4, down = b->stride[0] * size,
            right = b->stride[1] * size;
    const char *from = (const char *)b->data + l * down + at.n0 * right;
    tile_fetch all = b->stride[1] == 1 ? fetch_of(from, depth, at.n * size, down)
                                       : fetch_of(from, at.n, depth * size, right);
    return part_of(&all, i % part->rows, part->rows);
}

/* Slice s of block i. */
static void slice_product(const matmul_job *job, const wn__matmul_block *at, int64_t s, int64_t i,
                          int worker, const matmul_sums *sums, bool add) {
    const wn__matmul_part *part = &job->part;
    const wn_tensor *a = &job->p->a;
    const tile_to to = {.sums = sums->data,
                        .stride = sums->stride,
                        .add = add,
                        .rounds = rounds_tiles(job, s),
                        .p = job->p,
                        .i = at->m0,
                        .j = at->n0};
    rows_slice slice = {.a = packed_a(job, s, i % part->rows),
                        .b = packed_b(job, s, i / part->rows, worker),
                        .pitch = job->plan.a_pitch,
                        .depth = panel_depth(wn__matmul_slice(&job->plan, part, s)),
                        .tile = WN_AVX512_TILE_ROWS * job->plan.a_pitch,
                        .soon = fetch_columns(job, s, i)};
    if (job->plan.as_it_lies) {
        int64_t l = part->l0 + s * job->plan.slice_k;
        slice.a = half_at(a->data, PAIRS, at->m0 * a->stride[0] + l);
        slice.pitch = a->stride[0] / STEPS;
        slice.tile = TILE_M * slice.pitch;
        slice.copies = wn__matmul_copies(a, &SHAPE);
    }
    rows_product(at, &slice, &to);
}
#else
/* Slice s of block i. */
static void slice_product(const matmul_job *job, const wn__matmul_block *at, int64_t s, int64_t i,
                          int worker, const matmul_sums *sums, bool add) {
    const wn__matmul_part *part = &job->part;
    int64_t depth = wn__matmul_slice(&job->plan, part, s);
    const float *a = packed_a(job, s, i % part->rows),
                *b = packed_b(job, s, i / part->rows, worker);
#if TILES
    if (job->packed && !*finite_slice(&job->plan, a)) {
        kept_products(job->packed, at, part->l0 + s * job->plan.slice_k, depth, sums->data,
                      sums->stride, add);
        return;
    }
#endif
    block_product(at, panel_depth(depth), a, b, sums, add);
}
#endif

static void matmul_block(const matmul_job *job, int64_t i, int worker) {
    const wn__matmul_part *part = &job->part;
    wn__matmul_block at = wn__matmul_block_at(&job->plan, part, i);
    const matmul_sums sums = sums_of(job, &at);
    bool add = part->l0 > 0 || block_begin(job->p, &at, &sums);
    if (part->slices == 0 && !add) block_zero(&at, &sums);
    for (int64_t s = 0; s < part->slices; s++, add = true)
        slice_product(job, &at, s, i, worker, &sums, add);
    bool ends = part->l0 + part->depth == job->p->a.shape[1];
    if (ends && !rounds_tiles(job, part->slices - 1)) block_end(job->p, &at, &sums);
}

static void matmul_blocks(void *ctx, int64_t begin, int64_t end, int worker) {
    const matmul_job *job = ctx;
    tiles_begin();
    for (int64_t i = begin; i < end; i++)
        matmul_block(job, i, worker);
    tiles_end();
}

/* Columns of blocks, whose panels stay in the L2 of the worker that packed them. */
static void matmul_columns(void *ctx, int64_t begin, int64_t end, int worker) {
    const matmul_job *job = ctx;
    tiles_begin();
    for (int64_t g = begin; g < end; g++) {
        for (int64_t s = 0; s < job->part.slices; s++)
            pack_columns(job, s, g, worker);
        for (int64_t i = 0; i < job->part.rows; i++)
            matmul_block(job, g * job->part.rows + i, worker);
    }
    tiles_end();
}

static void run_parts(matmul_job *job, wn__exec *x) {
    job->plan = wn__matmul_plan_for(job->p, &SHAPE, wn__pool_threads(x->pool));
    job->step = wn__pool_step(x->pool);
    job->a = (float *)(void *)x->scratch;
    job->b = job->a + job->plan.a_all;
    job->sums = job->b + job->plan.b_all;
    for (int64_t i = 0; i < job->plan.parts; i++) {
        job->part = wn__matmul_part_at(&job->plan, job->p, i);
        const wn__matmul_part *part = &job->part;
        int64_t groups =
            (job->plan.as_it_lies ? 0 : part->rows) + (job->plan.own ? 0 : part->columns);
        wn__parallel_for(x->pool, part->slices * groups, 1, pack_groups, job);
        if (job->plan.own)
            wn__parallel_for(x->pool, part->columns, 1, matmul_columns, job);
        else
            wn__parallel_for(x->pool, part->rows * part->columns, 1, matmul_blocks, job);
    }
}

static wn_status matmul(const void *args, wn__exec *x) {
    matmul_job job = {.p = args};
    if (wn__matmul_is_few(job.p))
        wn__parallel_for(x->pool, job.p->c.shape[1], FEW_BLOCK, few_columns, (void *)args);
    else
        run_parts(&job, x);
    return WN_OK;
}
