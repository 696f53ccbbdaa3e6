// SPDX-License-Identifier: MIT
/* sddmm24 with tokens in lanes: both matrices are transposed into panels [column][tokens of a
 * chunk], so that a kept place is a product of two rows, one of dy and one of x, which stays in the
 * first cache, at an address made of two bits of the index. Eight places take turns: fewer would
 * not hide the latency of an FMA. The VF places of a slice of columns are added up across their
 * lanes together, into one vector: 14 or 30 shuffles for a chunk, hundreds of FMAs.
 *
 * An item is a block of outputs and a slice of columns. Whoever works on it brings the slice in,
 * and the block, unless it had it for the item before: to fetch lines that another core has just
 * written takes longer. The sums of a block wait in the first cache. Each element adds the tokens
 * of a chunk lane by lane, the lanes in one tree, and chunks and parts in ascending order. Few
 * tokens go another way: see sddmm24_few.inc.h. */
#include "kernels/op.h"
#include "kernels/sddmm24.h"
#include "kernels/simd/half.h"
#include "kernels/simd/sddmm24_plan.h"

#include <string.h>

#define SLICE   (2 * VF) /* columns whose kept places make a vector */
#define AT_ONCE 8
#define TURN    WN_SDDMM24_TURN
#define SHORT   8 /* vectors of a chunk that are as many as they are */

#if PAIRS
#define CUT wn__sddmm24_pairs
#elif VF == 16
#define CUT wn__sddmm24_vectors64(false)
#else
#define CUT wn__sddmm24_vectors32
#endif

typedef struct sddmm24_job {
    const wn__sddmm24 *p;
    wn__sddmm24_plan plan;
    char *scratch;  /* of the workers */
    int64_t t0, t;  /* the part: first and number of tokens */
    int64_t chunks; /* of the part */
    bool add;       /* to what v holds */
} sddmm24_job;

/* A worker's own; a block of dy, a slice of x and the sums of a block follow. */
typedef struct sddmm24_worker {
    _Alignas(WN_SDDMM24_HEAD) int64_t block; /* whose dy it has, or -1 */
} sddmm24_worker;

/* One chunk of the tokens of a part. */
typedef struct chunk24 {
    int64_t t0, tokens; /* in the part */
    int64_t vecs;
} chunk24;

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Chunks are even, in turns; a short one has as many vectors as it needs. */
static chunk24 chunk_of(const sddmm24_job *job, int64_t i) {
    const int64_t vec = STEPS * VF, turn = TURN * vec, turns = (job->t + turn - 1) / turn;
    chunk24 chunk = {.t0 = turns * i / job->chunks * turn};
    int64_t end = least(job->t, turns * (i + 1) / job->chunks * turn);
    chunk.tokens = end - chunk.t0;
    chunk.vecs = (chunk.tokens + vec - 1) / vec;
    if (chunk.vecs > SHORT) chunk.vecs = (chunk.vecs + TURN - 1) / TURN * TURN;
    return chunk;
}

/* VF columns of STEPS VF tokens, of which `tokens` exist: a token, or a pair of them, each. */
ALWAYS void read_tokens(const void *from, bool half, int64_t stride, int64_t tokens,
                        int64_t columns, vf r[VF]) {
#if PAIRS
    UNROLL
    for (int64_t i = 0; i < VF; i++) {
        vf first = vf_zero(), second = vf_zero();
        if (2 * i < tokens) first = half_get(from, half, 2 * i * stride, columns);
        if (2 * i + 1 < tokens) second = half_get(from, half, (2 * i + 1) * stride, columns);
        r[i] = pairs_of(first, second);
    }
#else
    half_read_block(from, half, stride, tokens, columns, r);
#endif
}

/* to[c][t] = from[t][c] for `rows` columns, of which `columns` exist, or the pair of from[2t][c]
 * and from[2t + 1][c]; zeros for what does not exist. */
ALWAYS void transpose_columns(bool half, const void *from, int64_t stride, int64_t tokens,
                              int64_t columns, int64_t rows, int64_t vecs, float *to) {
    for (int64_t t = 0; t < VF * vecs; t += VF) {
        int64_t n = least(tokens - STEPS * t, STEPS * VF);
        for (int64_t c = 0; c < rows; c += VF) {
            int64_t exist = columns - c < 0 ? 0 : least(columns - c, VF);
            vf r[VF];
            read_tokens(half_at(from, half, STEPS * t * stride + (exist > 0 ? c : 0)), half, stride,
                        n, exist, r);
            vf_transpose(r);
            vf_write_block(to + c * VF * vecs + t, VF * vecs, least(rows - c, VF), VF, r);
        }
    }
}

/* `rows` columns from c on of a matrix, of F32 or BF16, chunk after chunk. */
static void bring_in(const sddmm24_job *job, const wn_tensor *from, int64_t c, int64_t rows,
                     float *panel) {
    int64_t stride = from->stride[0], exist = least(from->shape[1] - c, rows);
    bool half = from->dtype == WN_DTYPE_BF16;
    for (int64_t i = 0; i < job->chunks; i++) {
        const chunk24 chunk = chunk_of(job, i);
        const void *data = half_at(from->data, half, (job->t0 + chunk.t0) * stride + c);
        float *to = panel + chunk.t0 / STEPS * rows;
        if (half)
            transpose_columns(true, data, stride, chunk.tokens, exist, rows, chunk.vecs, to);
        else
            transpose_columns(false, data, stride, chunk.tokens, exist, rows, chunk.vecs, to);
    }
}

ALWAYS vf add_product(vf dy, const float *x, vf sum) {
#if PAIRS
    return pairs_fma_at(dy, x, sum);
#else
    return vf_fma(dy, vf_load(x), sum);
#endif
}

/* The products of a row of dy with the rows of the panel that eight places name, two bits each.
 * Where two FMAs are started every cycle, each place has two sums. The compiler must not see
 * through the addresses: it would share parts of them and run out of registers. */
ALWAYS void dot_places(int turn, int64_t lanes, const float *dy, const float *panel, uint64_t bits,
                       vf *out) {
    const int sets = VECTOR_REGISTERS == 32 && turn > 1 ? 2 : 1;
    const float *row[AT_ONCE];
    vf sum[2][AT_ONCE];
    UNROLL
    for (int i = 0; i < AT_ONCE; i++) {
        row[i] = panel + (i / 2 * 4 + (int64_t)(bits >> (2 * i) & 3)) * lanes;
        __asm__("" : "+r"(row[i]));
        sum[0][i] = sum[1][i] = vf_zero();
    }
    for (int64_t t = 0; t < lanes; t += turn * VF) {
        UNROLL
        for (int v = 0; v < turn; v++) {
            vf d = vf_load(dy + t + VF * v);
            UNROLL
            for (int i = 0; i < AT_ONCE; i++)
                sum[v % sets][i] = add_product(d, row[i] + VF * v, sum[v % sets][i]);
        }
        UNROLL
        for (int i = 0; i < AT_ONCE; i++)
            row[i] += turn * VF;
    }
    UNROLL
    for (int i = 0; i < AT_ONCE; i++)
        out[i] = sets == 2 ? vf_add(sum[0][i], sum[1][i]) : sum[0][i];
}

/* Four vectors become one: lane 4 q + i has what quarter q of vector i adds up to. */
ALWAYS vf add_up_four(const vf *a) {
#if VF == 16
    vf s = vf_add(_mm512_unpacklo_ps(a[0], a[1]), _mm512_unpackhi_ps(a[0], a[1]));
    vf t = vf_add(_mm512_unpacklo_ps(a[2], a[3]), _mm512_unpackhi_ps(a[2], a[3]));
    return vf_add(_mm512_shuffle_ps(s, t, 0x44), _mm512_shuffle_ps(s, t, 0xEE));
#else
    vf s = vf_add(_mm256_unpacklo_ps(a[0], a[1]), _mm256_unpackhi_ps(a[0], a[1]));
    vf t = vf_add(_mm256_unpacklo_ps(a[2], a[3]), _mm256_unpackhi_ps(a[2], a[3]));
    return vf_add(_mm256_shuffle_ps(s, t, 0x44), _mm256_shuffle_ps(s, t, 0xEE));
#endif
}

/* The sums of VF places, one in each lane. */
ALWAYS vf slice_sums(int turn, int64_t lanes, const float *dy, const float *panel, uint64_t bits) {
    vf four[VF / 4];
    UNROLL
    for (int i = 0; i < VF; i += AT_ONCE) {
        vf place[AT_ONCE];
        dot_places(turn, lanes, dy, panel + 2 * i * lanes, bits >> (2 * i), place);
        four[i / 4] = add_up_four(place);
        four[i / 4 + 1] = add_up_four(place + 4);
    }
#if VF == 16
    vf low = vf_add(_mm512_shuffle_f32x4(four[0], four[1], 0x88),
                    _mm512_shuffle_f32x4(four[0], four[1], 0xDD));
    vf high = vf_add(_mm512_shuffle_f32x4(four[2], four[3], 0x88),
                     _mm512_shuffle_f32x4(four[2], four[3], 0xDD));
    return vf_add(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xDD));
#else
    return vf_add(_mm256_permute2f128_ps(four[0], four[1], 0x20),
                  _mm256_permute2f128_ps(four[0], four[1], 0x31));
#endif
}

/* The index of a row at a slice; what the row does not have is 0. */
ALWAYS uint64_t slice_bits(const uint8_t *index, int64_t exist) {
    uint64_t bits = 0;
    if (exist >= SLICE / 8)
        memcpy(&bits, index, SLICE / 8);
    else
        memcpy(&bits, index, (size_t)exist);
    return bits;
}

/* What the outputs of a block do with one chunk of a slice. */
typedef struct visit24 {
    const float *dy, *panel;
    int64_t outputs, lanes;
    const uint8_t *index; /* of the first output, at the slice */
    int64_t bytes, exist; /* from row to row; of a row from there on */
    float *sums;          /* a vector for each output */
    bool first;
} visit24;

/* The index of the next output is read while this one is multiplied. */
ALWAYS void add_chunk(int turn, int64_t lanes, const visit24 *at) {
    uint64_t next = slice_bits(at->index, at->exist);
    for (int64_t o = 0; o < at->outputs; o++) {
        uint64_t bits = next;
        int64_t after = o + 1 < at->outputs ? o + 1 : o;
        next = slice_bits(at->index + after * at->bytes, at->exist);
        vf sum = slice_sums(turn, lanes, at->dy + o * lanes, at->panel, bits);
        float *to = at->sums + o * VF;
        vf_store(to, at->first ? sum : vf_add(vf_load(to), sum));
    }
}

static void add_long_chunk(const visit24 *at) {
    add_chunk(TURN, at->lanes, at);
}

/* So few vectors that they are no loop. */
#define SHORT_CHUNK(vecs)                                                                          \
    static void add_chunk_##vecs(const visit24 *at) {                                              \
        add_chunk(vecs, (vecs)*VF, at);                                                            \
    }
SHORT_CHUNK(1)
SHORT_CHUNK(2)
SHORT_CHUNK(3)
SHORT_CHUNK(4)
SHORT_CHUNK(5)
SHORT_CHUNK(6)
SHORT_CHUNK(7)
SHORT_CHUNK(8)

static void add_short_chunk(const visit24 *at) {
    static void (*const of[SHORT])(const visit24 *) = {add_chunk_1, add_chunk_2, add_chunk_3,
                                                       add_chunk_4, add_chunk_5, add_chunk_6,
                                                       add_chunk_7, add_chunk_8};
    of[at->lanes / VF - 1](at);
}

/* Slots of the last group that name a padding column: what dy times its zeros is does not matter.
 */
static void drop_padding(const uint8_t *index, int64_t group, int64_t columns, float *slots) {
    unsigned nibble = (unsigned)index[group / 2] >> (group % 2 * 4);
    for (int s = 0; s < 2; s++)
        if (4 * group + (nibble >> (2 * s) & 3) >= columns) slots[s] = 0;
}

/* The sums of a block of outputs and a slice, to v. */
ALWAYS void write_out_of(bool half, const sddmm24_job *job, int64_t o, int64_t outputs,
                         int64_t slice, float *sums) {
    const wn__sddmm24 *p = job->p;
    int64_t k = p->x.shape[1], first = slice * VF, length = p->v.shape[1],
            n = least(length - first, VF);
    for (int64_t i = o; i < o + outputs; i++, sums += VF) {
        const uint8_t *index = (const uint8_t *)p->index.data + i * p->index.shape[1];
        if (k % 4 != 0 && first + n == length) drop_padding(index, k / 4, k, sums + n - 2);
        vf sum = vf_load(sums);
        int64_t v = i * length + first;
        if (job->add) sum = vf_add(half_get_n(p->v.data, half, v, n), sum);
        half_put(p->v.data, half, v, sum, n);
    }
}

static void write_out(const sddmm24_job *job, int64_t o, int64_t outputs, int64_t slice,
                      float *sums) {
    if (job->p->v.dtype == WN_DTYPE_BF16)
        write_out_of(true, job, o, outputs, slice, sums);
    else
        write_out_of(false, job, o, outputs, slice, sums);
}

/* All slices of a block of outputs before the next one. */
static void sddmm24_items(void *ctx, int64_t begin, int64_t end, int worker) {
    const sddmm24_job *job = ctx;
    const wn__sddmm24 *p = job->p;
    const wn__sddmm24_plan *plan = &job->plan;
    int64_t n = p->dy.shape[1], bytes = p->index.shape[1];
    sddmm24_worker *own = (void *)(job->scratch + (size_t)worker * plan->worker_bytes);
    float *dy = (float *)(void *)(own + 1), *x = dy + plan->dy_floats, *sums = x + plan->x_floats;
    for (int64_t i = begin; i < end; i++) {
        int64_t slice = i % plan->slices, block = i / plan->slices, c = slice * SLICE;
        int64_t o = n * block / plan->blocks, outputs = n * (block + 1) / plan->blocks - o;
        if (own->block != block) bring_in(job, &p->dy, o, outputs, dy);
        own->block = block;
        bring_in(job, &p->x, c, SLICE, x);
        if (job->chunks == 0) memset(sums, 0, plan->sums_floats * sizeof *sums);
        for (int64_t t = 0; t < job->chunks; t++) {
            const chunk24 chunk = chunk_of(job, t);
            const visit24 at = {.dy = dy + chunk.t0 / STEPS * outputs,
                                .panel = x + chunk.t0 / STEPS * SLICE,
                                .outputs = outputs,
                                .lanes = VF * chunk.vecs,
                                .index = (const uint8_t *)p->index.data + o * bytes + c / 8,
                                .bytes = bytes,
                                .exist = bytes - c / 8,
                                .sums = sums,
                                .first = t == 0};
            if (chunk.vecs <= SHORT)
                add_short_chunk(&at);
            else
                add_long_chunk(&at);
        }
        write_out(job, o, outputs, slice, sums);
    }
}

#if VF == 16 && !PAIRS
#include "kernels/simd/sddmm24_few.inc.h"
#endif

static wn_status sddmm24_by(const wn__sddmm24 *p, wn__sddmm24_cut cut, wn__exec *x) {
    const int threads = wn__pool_threads(x->pool);
    sddmm24_job job = {
        .p = p, .plan = wn__sddmm24_plan_for(p, cut), .scratch = x->scratch, .add = p->accumulate};
    int64_t T = p->x.shape[0];
    do { /* once where there are no tokens */
        job.t = least(T - job.t0, job.plan.tokens);
        job.chunks = (job.t + job.plan.chunk - 1) / job.plan.chunk;
        for (int i = 0; i < threads; i++)
            *(sddmm24_worker *)(void *)(job.scratch + (size_t)i * job.plan.worker_bytes) =
                (sddmm24_worker){.block = -1};
        wn__parallel_for(x->pool, job.plan.blocks * job.plan.slices, 1, sddmm24_items, &job);
        job.t0 += job.t;
        job.add = true;
    } while (job.t0 < T);
    return WN_OK;
}

static wn_status sddmm24(const void *args, wn__exec *x) {
    const wn__sddmm24 *p = args;
#if VF == 16 && !PAIRS
    if (wn__sddmm24_is_few(p)) return sddmm24_few(p, x);
#endif
    return sddmm24_by(p, CUT, x);
}
