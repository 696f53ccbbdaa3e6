// SPDX-License-Identifier: MIT
/* What the products of a packed weight and a dense matrix share: lanes, depth and outputs.
 *
 * Every such product is sums[o][t] = sum over d of W[o][d] in[d][t], where t runs over the lanes:
 * the tokens of y = x W^T, the input features of dW = S^T x. A tile of lanes is brought into a
 * panel [depth][width] once, transposed where the matrix does not lie by lanes already, so that a
 * kept weight times a row of the panel is a multiplication of whole vectors straight from memory. A
 * slice of the panel stays in L1 while all outputs of a block pass over it; their sums wait in L2
 * and go out at the end, transposed back where need be. What a block of outputs adds is the op's
 * own business (block24_fn). */
#include "kernels/simd/half.h"
#include "kernels/simd/spmm24_plan.h"

#include <string.h>

#if PAIRS /* of a whole tile */
#define LANES WN_PAIRS_LANES
#elif VF == 16
#define LANES WN_AVX512_LANES
#else
#define LANES WN_AVX2_LANES
#endif
#define VECS (LANES / VF) /* of a whole tile */
#define PART 128          /* rows that one worker brings in of a tile that is shared */

/* Rows of numbers, one for each output of a block: its sums [outputs][width], or the result. */
typedef struct rows24 {
    float *at;
    int64_t stride;
} rows24;

static inline rows24 rows_from(rows24 rows, int64_t first) {
    return (rows24){rows.at + first * rows.stride, rows.stride};
}

/* out[o][t] of outputs o0 .. o0 + outputs - 1, all of the depth. sums: where they may wait; out is
 * the same unless the result lies by lanes. */
typedef void block24_fn(const void *args, int64_t width, const float *panel, int64_t o0,
                        int64_t outputs, rows24 sums, rows24 out);

/* A matrix [lanes, other]: unit stride along the lanes, or along the other; of F32 or BF16. */
typedef struct side24 {
    void *data;
    int64_t stride; /* of the one that is not unit */
    bool by_lanes, half;
} side24;

typedef struct lanes24 {
    const void *args; /* of the op */
    block24_fn *block;
    side24 in, out;
    const int32_t *order; /* row d of the panel is row order[d] of in, by lanes; NULL: d */
    const void *bias;     /* of each output, in the dtype of out, or NULL */
    int64_t lanes, depth, outputs;
    bool accumulate;
    wn__spmm24_plan plan;
    float *panel;   /* shared: tile after tile, each [plan.rows][its width] */
    char *scratch;  /* of the workers, after that */
    int64_t t0, t1; /* lanes of this chunk */
    int64_t tiles;
} lanes24;

typedef struct tile24 {
    int64_t t0, count; /* lanes that exist */
    int64_t width;     /* a whole tile, or that halved down to one vector */
    float *panel;
} tile24;

/* Lanes are rounded up to whole vectors; those that whole tiles leave over take tiles of a half, a
 * quarter and so on. */
static tile24 tile_at(const lanes24 *job, int64_t i) {
    int64_t lanes = (job->t1 - job->t0 + VF - 1) / VF * VF, whole = lanes / LANES;
    int64_t t = (i < whole ? i : whole) * LANES, width = LANES;
    for (int64_t skip = i - whole, next = LANES / 2; skip >= 0; next /= 2) {
        if (lanes - t < next) continue;
        if (skip-- > 0)
            t += next;
        else
            width = next;
    }
    int64_t left = job->t1 - job->t0 - t, count = left < width ? left : width;
    return (tile24){job->t0 + t, count, width, job->panel + t * job->plan.rows};
}

static int64_t tile_count(int64_t lanes) {
    int64_t vecs = (lanes + VF - 1) / VF, count = vecs / VECS;
    for (int64_t left = vecs % VECS; left > 0; left &= left - 1)
        count++;
    return count;
}

static int64_t at_most(int64_t n, int64_t most) {
    return n < most ? n : most;
}

/* VF lanes of at most STEPS VF numbers along the depth. */
ALWAYS void read_lanes(const void *from, bool half, int64_t stride, int64_t rows, int64_t n,
                       vf r[VF]) {
#if PAIRS
    pack_read_block(from, half, stride, rows, n, r);
#else
    half_read_block(from, half, stride, rows, n, r);
#endif
}

/* panel[d][t] = in[t][d], or the pair of in[t][2d] and in[t][2d + 1], from d0 on, before `rows`;
 * zeros for what does not exist. */
ALWAYS void transpose_in_of(bool half, const lanes24 *job, const tile24 *tile, int64_t d0,
                            int64_t rows) {
    int64_t k = job->depth, down = job->in.stride;
    for (int64_t t = 0; t < tile->width; t += VF) {
        const void *x = half_at(job->in.data, half, (tile->t0 + t) * down);
        for (int64_t c = d0; c < rows; c += VF) {
            vf r[VF];
            read_lanes(half_at(x, half, STEPS * c), half, down, at_most(tile->count - t, VF),
                       at_most(k - STEPS * c, STEPS * VF), r);
            vf_transpose(r);
            vf_write_block(tile->panel + c * tile->width + t, tile->width, at_most(rows - c, VF),
                           VF, r);
        }
    }
}

static void transpose_in(const lanes24 *job, const tile24 *tile, int64_t d0, int64_t rows) {
    if (job->in.half)
        transpose_in_of(true, job, tile, d0, rows);
    else
        transpose_in_of(false, job, tile, d0, rows);
}

/* Lanes from t on of row d of a matrix that lies by lanes. */
ALWAYS vf read_row(bool half, const lanes24 *job, const tile24 *tile, int64_t d, int64_t t) {
    if (d >= job->depth || t >= tile->count) return vf_zero();
    int64_t row = job->order ? job->order[d] : d;
    return half_get(job->in.data, half, row * job->in.stride + tile->t0 + t,
                    at_most(tile->count - t, VF));
}

/* The same of such a matrix. */
ALWAYS void copy_in_of(bool half, const lanes24 *job, const tile24 *tile, int64_t d0,
                       int64_t rows) {
    for (int64_t d = d0; d < rows; d++) {
        float *to = tile->panel + d * tile->width;
        for (int64_t t = 0; t < tile->width; t += VF) {
            vf first = read_row(half, job, tile, STEPS * d, t);
#if PAIRS
            first = pairs_of(first, read_row(half, job, tile, STEPS * d + 1, t));
#endif
            vf_store(to + t, first);
        }
    }
}

static void copy_in(const lanes24 *job, const tile24 *tile, int64_t d0, int64_t rows) {
    if (job->in.half)
        copy_in_of(true, job, tile, d0, rows);
    else
        copy_in_of(false, job, tile, d0, rows);
}

static void bring_in(const lanes24 *job, const tile24 *tile, int64_t d0, int64_t rows) {
    if (job->in.by_lanes)
        copy_in(job, tile, d0, rows);
    else
        transpose_in(job, tile, d0, rows);
}

/* out[t][o0 + o] from sums[o][t]. */
ALWAYS void transpose_out_of(bool half, const lanes24 *job, const tile24 *tile, const float *sums,
                             int64_t o0, int64_t outputs) {
    int64_t down = job->out.stride;
    for (int64_t t = 0; t < tile->count; t += VF) {
        int64_t tokens = at_most(tile->count - t, VF);
        for (int64_t o = 0; o < outputs; o += VF) {
            int64_t n = at_most(outputs - o, VF), y = (tile->t0 + t) * down + o0 + o;
            vf r[VF];
            vf_read_block(sums + o * tile->width + t, tile->width, n, VF, r);
            vf_transpose(r);
            if (job->accumulate) {
                UNROLL
                for (int64_t i = 0; i < VF; i++)
                    if (i < tokens)
                        r[i] = vf_add(half_get_n(job->out.data, half, y + i * down, n), r[i]);
            }
            if (job->bias) {
                vf bias = half_get_n(job->bias, half, o0 + o, n);
                UNROLL
                for (int64_t i = 0; i < VF; i++)
                    r[i] = vf_add(r[i], bias);
            }
            half_write_block(job->out.data, half, y, down, tokens, n, r);
        }
    }
}

static void transpose_out(const lanes24 *job, const tile24 *tile, const float *sums, int64_t o0,
                          int64_t outputs) {
    if (job->out.half)
        transpose_out_of(true, job, tile, sums, o0, outputs);
    else
        transpose_out_of(false, job, tile, sums, o0, outputs);
}

/* The same of a matrix that lies by lanes, and has no bias. */
ALWAYS void copy_out_of(bool half, const lanes24 *job, const tile24 *tile, const float *sums,
                        int64_t o0, int64_t outputs) {
    for (int64_t o = 0; o < outputs; o++) {
        int64_t y = (o0 + o) * job->out.stride + tile->t0;
        const float *from = sums + o * tile->width;
        for (int64_t t = 0; t < tile->count; t += 16) /* rows too short for hardware to foresee */
            _mm_prefetch(half_at(job->out.data, half, y + 8 * job->out.stride + t), _MM_HINT_T0);
        for (int64_t t = 0; t < tile->count; t += VF) {
            int64_t n = at_most(tile->count - t, VF);
            vf v = vf_get(from + t, n);
            if (job->accumulate) v = vf_add(half_get(job->out.data, half, y + t, n), v);
            half_put(job->out.data, half, y + t, v, n);
        }
    }
}

static void copy_out(const lanes24 *job, const tile24 *tile, const float *sums, int64_t o0,
                     int64_t outputs) {
    if (job->out.half)
        copy_out_of(true, job, tile, sums, o0, outputs);
    else
        copy_out_of(false, job, tile, sums, o0, outputs);
}

/* Whether the sums of a tile are the result as they are, where it lies. */
static bool writes_result(const lanes24 *job, const tile24 *tile) {
    return job->out.by_lanes && !job->out.half && !job->accumulate && job->plan.rows > 0 &&
           tile->count == tile->width;
}

/* One block of outputs of one tile. */
static void run_block(const lanes24 *job, const tile24 *tile, int64_t o0, float *sums) {
    int64_t outputs = at_most(job->outputs - o0, job->plan.block), stride = job->out.stride;
    rows24 rows = {sums, tile->width}, out = rows;
    bool done = writes_result(job, tile);
    if (done) out = (rows24){(float *)job->out.data + o0 * stride + tile->t0, stride};
    if (job->plan.rows == 0)
        memset(sums, 0, (size_t)(outputs * tile->width) * sizeof *sums);
    else
        job->block(job->args, tile->width, tile->panel, o0, outputs, rows, out);
    if (done) return;
    if (job->out.by_lanes)
        copy_out(job, tile, sums, o0, outputs);
    else
        transpose_out(job, tile, sums, o0, outputs);
}

static int64_t block_count(const lanes24 *job) {
    return (job->outputs + job->plan.block - 1) / job->plan.block;
}

/* A worker's sums; its own panel follows. */
static float *worker_sums(const lanes24 *job, int worker) {
    return (float *)(void *)(job->scratch + (size_t)worker * job->plan.worker_bytes);
}

/* Whole tiles: brought in, multiplied by everything and forgotten. */
static void lanes24_tiles(void *ctx, int64_t begin, int64_t end, int worker) {
    const lanes24 *job = ctx;
    float *sums = worker_sums(job, worker);
    for (int64_t i = begin; i < end; i++) {
        tile24 tile = tile_at(job, i);
        tile.panel = sums + job->plan.block * job->plan.lanes;
        bring_in(job, &tile, 0, job->plan.rows);
        for (int64_t o = 0; o < job->outputs; o += job->plan.block)
            run_block(job, &tile, o, sums);
    }
}

static int64_t part_count(const lanes24 *job) {
    return (job->plan.rows + PART - 1) / PART;
}

static void lanes24_bring_in(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const lanes24 *job = ctx;
    int64_t parts = part_count(job);
    for (int64_t i = begin; i < end; i++) {
        tile24 tile = tile_at(job, i / parts);
        int64_t d0 = i % parts * PART;
        bring_in(job, &tile, d0, d0 + at_most(job->plan.rows - d0, PART));
    }
}

/* All blocks of a tile before the next one: it stays in L2, and only weights, which are fetched
 * ahead, come from further away. */
static void lanes24_blocks(void *ctx, int64_t begin, int64_t end, int worker) {
    const lanes24 *job = ctx;
    int64_t blocks = block_count(job);
    for (int64_t i = begin; i < end; i++) {
        tile24 tile = tile_at(job, i / blocks);
        run_block(job, &tile, i % blocks * job->plan.block, worker_sums(job, worker));
    }
}

/* A chunk's tiles are brought in once and worked on by several. */
static void run_shared(lanes24 *job, wn__pool *pool) {
    job->scratch += job->plan.panel_bytes;
    for (job->t0 = 0; job->t0 < job->lanes; job->t0 = job->t1) {
        job->t1 = job->t0 + at_most(job->lanes - job->t0, job->plan.chunk);
        job->tiles = tile_count(job->t1 - job->t0);
        wn__parallel_for(pool, job->tiles * part_count(job), 1, lanes24_bring_in, job);
        wn__parallel_for(pool, job->tiles * block_count(job), 1, lanes24_blocks, job);
    }
}

static void run_lanes(lanes24 *job, wn__exec *x) {
    const wn__spmm24_cut cut = {LANES, STEPS};
    job->plan =
        wn__spmm24_plan_for(job->lanes, job->outputs, job->depth, cut, wn__pool_threads(x->pool));
    job->panel = (float *)(void *)x->scratch;
    job->scratch = x->scratch;
    job->t1 = job->lanes;
    if (job->plan.shared)
        run_shared(job, x->pool);
    else
        wn__parallel_for(x->pool, tile_count(job->lanes), 1, lanes24_tiles, job);
}
