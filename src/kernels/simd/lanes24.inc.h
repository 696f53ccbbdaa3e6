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
#define VECS          (LANES / VF) /* of a whole tile */
#define RESULTS_AHEAD 2 /* blocks of VF tokens and a line of outputs that are being fetched */

/* Rows of numbers, one for each output of a block: its sums [outputs][width], or the result. Of the
 * width so many lanes exist; the others may be left as they are. */
typedef struct rows24 {
    float *at;
    int64_t stride, lanes;
} rows24;

static inline rows24 rows_from(rows24 rows, int64_t first) {
    return (rows24){rows.at + first * rows.stride, rows.stride, rows.lanes};
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
    char *scratch; /* of the workers */
} lanes24;

typedef struct tile24 {
    int64_t t0, count; /* lanes that exist */
    int64_t width;     /* whole vectors */
    float *panel;      /* [plan.rows][width] */
} tile24;

static int64_t at_most(int64_t n, int64_t most) {
    return n < most ? n : most;
}

/* Tiles are even, in lines of 16 lanes: two vectors of 32 bytes that are loaded together must be of
 * different halves of a line, and rows of an odd number of vectors lose 6 % by it. The last tile
 * ends with the last vector. */
static tile24 tile_at(const lanes24 *job, int64_t i) {
    int64_t lines = (job->lanes + WN_SPMM24_LINE - 1) / WN_SPMM24_LINE;
    int64_t first = lines * i / job->plan.tiles, end = lines * (i + 1) / job->plan.tiles;
    int64_t t = first * WN_SPMM24_LINE, count = at_most(job->lanes, end * WN_SPMM24_LINE) - t;
    return (tile24){.t0 = t, .count = count, .width = (count + VF - 1) / VF * VF};
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

/* panel[d][t] = in[t][d], or the pair of in[t][2d] and in[t][2d + 1]; zeros for what does not
 * exist. */
ALWAYS void transpose_in_of(bool half, const lanes24 *job, const tile24 *tile) {
    int64_t k = job->depth, down = job->in.stride, rows = job->plan.rows;
    for (int64_t t = 0; t < tile->width; t += VF) {
        const void *x = half_at(job->in.data, half, (tile->t0 + t) * down);
        for (int64_t c = 0; c < rows; c += VF) {
            vf r[VF];
            read_lanes(half_at(x, half, STEPS * c), half, down, at_most(tile->count - t, VF),
                       at_most(k - STEPS * c, STEPS * VF), r);
            vf_transpose(r);
            vf_write_block(tile->panel + c * tile->width + t, tile->width, at_most(rows - c, VF),
                           VF, r);
        }
    }
}

static void transpose_in(const lanes24 *job, const tile24 *tile) {
    if (job->in.half)
        transpose_in_of(true, job, tile);
    else
        transpose_in_of(false, job, tile);
}

/* Lanes from t on of row d of a matrix that lies by lanes. */
ALWAYS vf read_row(bool half, const lanes24 *job, const tile24 *tile, int64_t d, int64_t t) {
    if (d >= job->depth || t >= tile->count) return vf_zero();
    int64_t row = job->order ? job->order[d] : d;
    return half_get(job->in.data, half, row * job->in.stride + tile->t0 + t,
                    at_most(tile->count - t, VF));
}

#define COPIED_AHEAD 16 /* rows of a matrix by lanes that are on their way */

/* A tile has a few lines of each row, at a distance that hardware does not foresee. */
ALWAYS void fetch_row(bool half, const lanes24 *job, const tile24 *tile, int64_t d) {
    if (d >= job->depth) return;
    int64_t from = (job->order ? job->order[d] : d) * job->in.stride + tile->t0;
    for (int64_t t = 0; t < tile->count; t += half ? 32 : 16)
        _mm_prefetch(half_at(job->in.data, half, from + t), _MM_HINT_T0);
}

/* The same of such a matrix. */
ALWAYS void copy_in_of(bool half, const lanes24 *job, const tile24 *tile) {
    for (int64_t d = 0; d < job->plan.rows; d++) {
        float *to = tile->panel + d * tile->width;
        UNROLL
        for (int64_t i = 0; i < STEPS; i++)
            fetch_row(half, job, tile, STEPS * d + i + COPIED_AHEAD);
        for (int64_t t = 0; t < tile->width; t += VF) {
            vf first = read_row(half, job, tile, STEPS * d, t);
#if PAIRS
            first = pairs_of(first, read_row(half, job, tile, STEPS * d + 1, t));
#endif
            vf_store(to + t, first);
        }
    }
}

static void copy_in(const lanes24 *job, const tile24 *tile) {
    if (job->in.half)
        copy_in_of(true, job, tile);
    else
        copy_in_of(false, job, tile);
}

static void bring_in(const lanes24 *job, const tile24 *tile) {
    if (job->in.by_lanes)
        copy_in(job, tile);
    else
        transpose_in(job, tile);
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

#if PAIRS
/* Rounded sums of outputs o and o + 1 of 16 lanes, as pairs; zeros for what does not exist. */
ALWAYS vf round_pair(const lanes24 *job, const float *sums, int64_t width, int64_t o, int64_t n,
                     const uint16_t *bias) {
    const __m512i places =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    vf first = o < n ? vf_load(sums + o * width) : vf_zero(),
       second = o + 1 < n ? vf_load(sums + (o + 1) * width) : vf_zero();
    if (job->bias) {
        first = vf_add(first, vf_of_bits(vi_set((uint32_t)bias[o < n ? o : 0] << 16)));
        second = vf_add(second, vf_of_bits(vi_set((uint32_t)bias[o + 1 < n ? o + 1 : 0] << 16)));
    }
    return vf_of_bits(
        _mm512_permutexvar_epi16(places, (__m512i)_mm512_cvtne2ps_pbh(second, first)));
}

/* y[t][o .. o + n - 1] of at most 16 tokens: 32 outputs of a token are a line. */
ALWAYS void put_pairs(const lanes24 *job, const float *sums, int64_t width, int64_t tokens,
                      int64_t n, const uint16_t *bias, uint16_t *y) {
    vf r[VF];
    UNROLL
    for (int64_t i = 0; i < VF; i++)
        r[i] = round_pair(job, sums, width, 2 * i, n, bias);
    vf_transpose(r);
    UNROLL
    for (int64_t i = 0; i < VF; i++) {
        if (i >= tokens) break;
        if (n == 2 * VF)
            _mm512_storeu_si512(y + i * job->out.stride, vi_bits(r[i]));
        else
            _mm512_mask_storeu_epi16(y + i * job->out.stride, (__mmask32)((UINT64_C(1) << n) - 1),
                                     vi_bits(r[i]));
    }
}

/* Lines of y that will be written: 16 tokens and 32 outputs, a step of transpose_out_pairs. Their
 * rows are as far apart as y is wide, and each is asked for before it can be written. */
ALWAYS void fetch_result(const lanes24 *job, const tile24 *tile, int64_t o0, int64_t outputs,
                         int64_t step) {
    const int64_t across = tile->width / VF, o = step / across * 2 * VF, t = step % across * VF;
    if (o >= outputs) return;
    const uint16_t *y = (const uint16_t *)job->out.data + (tile->t0 + t) * job->out.stride + o0 + o;
    for (int64_t i = 0; i < at_most(tile->count - t, VF); i++)
        __asm__ volatile("prefetchw %0" : : "m"(y[i * job->out.stride]));
}

/* The same where nothing but bias is added. */
static void transpose_out_pairs(const lanes24 *job, const tile24 *tile, const float *sums,
                                int64_t o0, int64_t outputs) {
    int64_t step = 0;
    for (int64_t ahead = 0; ahead < RESULTS_AHEAD; ahead++)
        fetch_result(job, tile, o0, outputs, ahead);
    for (int64_t o = 0; o < outputs; o += 2 * VF) {
        const int64_t n = at_most(outputs - o, 2 * VF);
        const uint16_t *bias = job->bias ? (const uint16_t *)job->bias + o0 + o : NULL;
        for (int64_t t = 0; t < tile->count; t += VF) {
            const float *from = sums + o * tile->width + t;
            uint16_t *y = (uint16_t *)job->out.data + (tile->t0 + t) * job->out.stride + o0 + o;
            const int64_t tokens = at_most(tile->count - t, VF);
            fetch_result(job, tile, o0, outputs, RESULTS_AHEAD + step++);
            if (n == 2 * VF && tokens == VF)
                put_pairs(job, from, tile->width, VF, 2 * VF, bias, y);
            else
                put_pairs(job, from, tile->width, tokens, n, bias, y);
        }
    }
}
#endif

static void transpose_out(const lanes24 *job, const tile24 *tile, const float *sums, int64_t o0,
                          int64_t outputs) {
#if PAIRS
    if (job->out.half && !job->accumulate) {
        transpose_out_pairs(job, tile, sums, o0, outputs);
        return;
    }
#endif
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

/* One block of outputs of one tile. Blocks are even, too. */
static void run_block(const lanes24 *job, const tile24 *tile, int64_t block, float *sums) {
    int64_t o0 = wn__spmm24_output(&job->plan, job->outputs, block), stride = job->out.stride;
    int64_t outputs = wn__spmm24_output(&job->plan, job->outputs, block + 1) - o0;
    rows24 rows = {sums, tile->width, tile->count}, out = rows;
    bool done = writes_result(job, tile);
    if (done) out = (rows24){(float *)job->out.data + o0 * stride + tile->t0, stride, tile->count};
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

/* A worker's own; its sums and its panels follow. */
typedef struct worker24 {
    _Alignas(WN_SPMM24_HEAD) int64_t tile; /* whose lanes are in its panel, or -1 */
    uint64_t tiles;                        /* where it has a panel for each: a bit for each */
} worker24;

static worker24 *worker_at(const lanes24 *job, int worker) {
    return (worker24 *)(void *)(job->scratch + (size_t)worker * job->plan.worker_bytes);
}

/* One block of one tile. Whoever works on a tile brings it in for itself: to fetch lines that
 * another core has just written takes longer. */
static void run_tile(const lanes24 *job, int64_t number, int64_t block, worker24 *own) {
    float *sums = (float *)(void *)(own + 1);
    tile24 tile = tile_at(job, number);
    tile.panel = sums + job->plan.block * job->plan.lanes;
    if (job->plan.keeps) {
        tile.panel += tile.t0 * job->plan.rows;
        if ((own->tiles >> number & 1) == 0) bring_in(job, &tile);
        own->tiles |= UINT64_C(1) << number;
    } else {
        if (own->tile != number) bring_in(job, &tile);
        own->tile = number;
    }
    run_block(job, &tile, block, sums);
}

/* All blocks of a tile before the next one: its panel stays in L2, and only weights, which are
 * fetched ahead, come from further away. Or, where panels of all tiles stay there, all tiles of a
 * block, so that each worker has weights and results of its own. */
static void lanes24_blocks(void *ctx, int64_t begin, int64_t end, int worker) {
    const lanes24 *job = ctx;
    worker24 *own = worker_at(job, worker);
    int64_t tiles = job->plan.tiles, blocks = job->plan.blocks;
    for (int64_t i = begin; i < end; i++) {
        if (job->plan.keeps)
            run_tile(job, i % tiles, i / tiles, own);
        else
            run_tile(job, i / blocks, i % blocks, own);
    }
}

static void run_lanes(lanes24 *job, wn__exec *x) {
    const wn__spmm24_cut cut = {LANES, STEPS};
    const int threads = wn__pool_threads(x->pool);
    job->plan = wn__spmm24_plan_for(job->lanes, job->outputs, job->depth, cut, threads);
    job->scratch = x->scratch;
    for (int i = 0; i < threads; i++)
        *worker_at(job, i) = (worker24){.tile = -1};
    wn__parallel_for(x->pool, job->plan.tiles * job->plan.blocks, 1, lanes24_blocks, job);
}
