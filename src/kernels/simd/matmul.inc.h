// SPDX-License-Identifier: MIT
/* matmul over packed panels, after Goto and van de Geijn 2008. Part by part of the product both
 * operands are copied, one slice of k at a time, into panels of TILE_M rows of a and TILE_N columns
 * of b (zeros beyond the edges): first all threads pack, then all multiply blocks of c, so no
 * element is packed twice for one part. A tile of c stays in registers for a whole slice. Each
 * element sums its products in ascending k within a slice of SLICE_K and adds the slices in order,
 * whatever parts and blocks are. Few rows skip the packing and stream b once: see
 * matmul_few.inc.h. */
#include "kernels/matmul.h"
#include "kernels/simd/accepts.h"
#include "kernels/simd/matmul_few.inc.h"
#include "kernels/simd/matmul_plan.h"
#include "kernels/simd/vec.h"

#if VF == 16
#define TILE_M WN_AVX512_TILE_M
#define TILE_N WN_AVX512_TILE_N
#else
#define TILE_M WN_AVX2_TILE_M
#define TILE_N WN_AVX2_TILE_N
#endif
#define TILE_VECS (TILE_N / VF)

typedef struct matmul_job {
    const wn__matmul *p;
    wn__matmul_plan plan;
    wn__matmul_part part; /* in work */
    float *a, *b;         /* its packed operands: [slices][groups of a block][a_floats] */
} matmul_job;

/* acc[TILE_M][TILE_N] = sum over depth of a column of the a panel times a row of the b panel. */
ALWAYS void tile_product(int64_t depth, const float *a, const float *b, vf acc[TILE_M][TILE_VECS]) {
    UNROLL
    for (int i = 0; i < TILE_M; i++) {
        UNROLL
        for (int v = 0; v < TILE_VECS; v++)
            acc[i][v] = vf_zero();
    }
    for (int64_t l = 0; l < depth; l++) {
        vf row[TILE_VECS];
        UNROLL
        for (int v = 0; v < TILE_VECS; v++)
            row[v] = vf_load(b + v * VF);
        UNROLL
        for (int i = 0; i < TILE_M; i++) {
            vf scalar = vf_set(a[i]);
            UNROLL
            for (int v = 0; v < TILE_VECS; v++)
                acc[i][v] = vf_fma(scalar, row[v], acc[i][v]);
        }
        a += TILE_M;
        b += TILE_N;
    }
}

/* The lines of a tile of c are on their way while its sums are made. */
ALWAYS void tile_prefetch(const float *c, int64_t stride) {
    UNROLL
    for (int i = 0; i < TILE_M; i++) {
        UNROLL
        for (int j = 0; j < TILE_N; j += 16)
            _mm_prefetch((const char *)(c + i * stride + j), _MM_HINT_T0);
        _mm_prefetch((const char *)(c + i * stride + TILE_N - 1), _MM_HINT_T0);
    }
}

/* c += tile, where c is a whole tile. */
static void tile_add(int64_t depth, const float *a, const float *b, float *c, int64_t stride) {
    vf acc[TILE_M][TILE_VECS];
    tile_prefetch(c, stride);
    tile_product(depth, a, b, acc);
    UNROLL
    for (int i = 0; i < TILE_M; i++) {
        UNROLL
        for (int v = 0; v < TILE_VECS; v++) {
            float *at = c + i * stride + v * VF;
            vf_store(at, vf_add(vf_load(at), acc[i][v]));
        }
    }
}

static void tile_set(int64_t depth, const float *a, const float *b, float *c, int64_t stride) {
    vf acc[TILE_M][TILE_VECS];
    tile_prefetch(c, stride);
    tile_product(depth, a, b, acc);
    UNROLL
    for (int i = 0; i < TILE_M; i++) {
        UNROLL
        for (int v = 0; v < TILE_VECS; v++)
            vf_store(c + i * stride + v * VF, acc[i][v]);
    }
}

/* A tile at the edge of c: rows x columns of it exist. */
static void tile_edge(int64_t depth, const float *a, const float *b, float *c, int64_t stride,
                      int64_t rows, int64_t columns, bool add) {
    float tile[TILE_M * TILE_N];
    tile_set(depth, a, b, tile, TILE_N);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            c[i * stride + j] = (add ? c[i * stride + j] : 0) + tile[i * TILE_N + j];
}

/* Panels of `width` of count vectors that are contiguous along depth: to[l * width + i] = from[i *
 * stride + l]. */
static void pack_along(const float *from, int64_t stride, int64_t count, int64_t depth,
                       int64_t width, float *to) {
    for (int64_t i = 0; i < count; i += width, to += width * depth)
        for (int64_t sub = 0; sub < width; sub += VF) {
            int64_t lanes = width - sub < VF ? width - sub : VF;
            int64_t exist = count - i - sub < lanes ? count - i - sub : lanes;
            const float *at = from + (i + sub) * stride;
            for (int64_t l = 0; l < depth; l += VF) {
                int64_t n = depth - l < VF ? depth - l : VF;
                vf r[VF];
                /* The rows of a slice are too short for a prefetcher to foresee the next ones. */
                for (int64_t s = 0; s < lanes; s++)
                    _mm_prefetch((const char *)(at + (width + s) * stride + l), _MM_HINT_T0);
                vf_read_block(at + l, stride, exist, n, r);
                vf_transpose(r);
                /* What a vector holds beyond the panel's width is overwritten by the next. */
                UNROLL
                for (int64_t s = 0; s < VF; s++)
                    if (s < n) vf_store(to + (l + s) * width + sub, r[s]);
            }
        }
}

/* The same of vectors that stand side by side: to[l * width + i] = from[l * stride + i]. Row by row
 * of from, whose rows may be pages apart: every line and page is met once. */
ALWAYS void pack_across_width(const float *from, int64_t stride, int64_t count, int64_t depth,
                              int64_t width, float *to) {
    for (int64_t l = 0; l < depth; l++)
        for (int64_t i = 0; i < count; i += width) {
            const float *at = from + l * stride + i;
            float *panel = to + i * depth + l * width;
            UNROLL
            for (int64_t sub = 0; sub < width; sub += VF) {
                int64_t lanes = width - sub < VF ? width - sub : VF, left = count - i - sub;
                vf v = left >= VF ? vf_load(at + sub)
                                  : vf_load_n(at + (left > 0 ? sub : 0), left > 0 ? left : 0);
                if (lanes == VF || l + 1 < depth) /* the next row overwrites what is too much */
                    vf_store(panel + sub, v);
                else
                    vf_store_n(panel + sub, v, lanes);
            }
        }
}

static void pack_across(const float *from, int64_t stride, int64_t count, int64_t depth,
                        int64_t width, float *to) {
    if (width == TILE_M)
        pack_across_width(from, stride, count, depth, TILE_M, to);
    else
        pack_across_width(from, stride, count, depth, TILE_N, to);
}

/* Vectors first .. first+count of t, each along k from l on; `vectors` is the dimension they are
 * counted in. */
static void pack(const wn_tensor *t, int vectors, int64_t first, int64_t count, int64_t l,
                 int64_t depth, int64_t width, float *to) {
    int64_t across = t->stride[vectors], along = t->stride[1 - vectors];
    const float *from = (const float *)t->data + first * across + l * along;
    if (along == 1)
        pack_along(from, across, count, depth, width, to);
    else
        pack_across(from, along, count, depth, width, to);
}

/* What c holds before the first slice: itself, the bias, both, or nothing (then the slice
 * overwrites it). */
static bool block_begin(const wn__matmul *p, const wn__matmul_block *at) {
    if (!wn__given(&p->bias)) return p->accumulate;
    const float *bias = (const float *)p->bias.data + at->n0;
    for (int64_t i = 0; i < at->m; i++) {
        float *c = (float *)p->c.data + (at->m0 + i) * p->c.stride[0] + at->n0;
        for (int64_t j = 0; j < at->n; j++)
            c[j] = (p->accumulate ? c[j] : 0) + bias[j];
    }
    return true;
}

static void block_zero(const wn__matmul *p, const wn__matmul_block *at) {
    for (int64_t i = 0; i < at->m; i++)
        for (int64_t j = 0; j < at->n; j++)
            ((float *)p->c.data)[(at->m0 + i) * p->c.stride[0] + at->n0 + j] = 0;
}

/* One slice of k of one block of c, from its packed operands. */
static void block_product(const wn__matmul *p, const wn__matmul_block *at, int64_t depth,
                          const float *a, const float *b, bool add) {
    int64_t stride = p->c.stride[0];
    for (int64_t j = 0; j < at->n; j += TILE_N)
        for (int64_t i = 0; i < at->m; i += TILE_M) {
            float *c = (float *)p->c.data + (at->m0 + i) * stride + at->n0 + j;
            const float *pa = a + i * depth, *pb = b + j * depth;
            if (at->m - i < TILE_M || at->n - j < TILE_N) {
                int64_t rows = at->m - i < TILE_M ? at->m - i : TILE_M;
                tile_edge(depth, pa, pb, c, stride, rows, at->n - j < TILE_N ? at->n - j : TILE_N,
                          add);
            } else if (add) {
                tile_add(depth, pa, pb, c, stride);
            } else {
                tile_set(depth, pa, pb, c, stride);
            }
        }
}

/* Where a slice of a block's operand is packed. */
ALWAYS float *packed_a(const matmul_job *job, int64_t slice, int64_t group) {
    return job->a + (slice * job->part.rows + group) * job->plan.a_floats;
}
ALWAYS float *packed_b(const matmul_job *job, int64_t slice, int64_t group) {
    return job->b + (slice * job->part.columns + group) * job->plan.b_floats;
}

static void pack_groups(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const matmul_job *job = ctx;
    const wn__matmul_part *part = &job->part;
    for (int64_t i = begin; i < end; i++) {
        int64_t slice = i / (part->rows + part->columns), g = i % (part->rows + part->columns);
        int64_t l = slice * WN_MATMUL_SLICE_K, depth = wn__matmul_slice(part, slice);
        if (g < part->rows) {
            wn__matmul_block at = wn__matmul_block_at(&job->plan, part, g);
            pack(&job->p->a, 0, at.m0, at.m, part->l0 + l, depth, TILE_M, packed_a(job, slice, g));
        } else {
            g -= part->rows;
            wn__matmul_block at = wn__matmul_block_at(&job->plan, part, g * part->rows);
            pack(&job->p->b, 1, at.n0, at.n, part->l0 + l, depth, TILE_N, packed_b(job, slice, g));
        }
    }
}

static void matmul_blocks(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const matmul_job *job = ctx;
    const wn__matmul_part *part = &job->part;
    for (int64_t i = begin; i < end; i++) {
        wn__matmul_block at = wn__matmul_block_at(&job->plan, part, i);
        bool add = part->l0 > 0 || block_begin(job->p, &at);
        if (part->slices == 0 && !add) block_zero(job->p, &at);
        for (int64_t s = 0; s < part->slices; s++, add = true)
            block_product(job->p, &at, wn__matmul_slice(part, s), packed_a(job, s, i % part->rows),
                          packed_b(job, s, i / part->rows), add);
    }
}

static wn_status matmul(const void *args, wn__exec *x) {
    const wn__matmul *p = args;
    if (wn__matmul_is_few(p)) {
        wn__parallel_for(x->pool, p->c.shape[1], FEW_BLOCK, few_columns, (void *)args);
        return WN_OK;
    }
    matmul_job job = {.p = p, .plan = wn__matmul_plan_for(p, TILE_M, TILE_N)};
    job.a = (float *)(void *)x->scratch;
    job.b = job.a + job.plan.a_all;
    for (int64_t i = 0; i < job.plan.parts; i++) {
        job.part = wn__matmul_part_at(&job.plan, p, i);
        const wn__matmul_part *part = &job.part;
        wn__parallel_for(x->pool, part->slices * (part->rows + part->columns), 1, pack_groups,
                         &job);
        wn__parallel_for(x->pool, part->rows * part->columns, 1, matmul_blocks, &job);
    }
    return WN_OK;
}
