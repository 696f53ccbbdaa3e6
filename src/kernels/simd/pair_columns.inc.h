// SPDX-License-Identifier: MIT
/* spmm24_columns of bfloat16 numbers, two at a time. What a column keeps of four rows is one pair
 * or two, and the pairs of rows that those may meet are the six of a slice (pair_slice.h): of rows
 * that are kept by halves 20 instructions a vector for 64 rows, where a dense product takes 32.
 * Lists of BF16 have whole pairs first, so values are pairs as they lie, and rows become those of
 * the slice by arithmetic on all of a column. A batch of columns is paired up right before it is
 * multiplied, from the first cache; or all are beforehand, where there are tiles enough of tokens.
 *
 * A single number is a pair with a zero, which must meet nothing but numbers: a tile whose slice
 * has an infinity or a NaN takes the lists as they are, one number at a time. Columns take turns in
 * order of how many pairs they have, so loops over them end as their predecessors did and those of
 * a turn are equally long; a column that is shorter meets zeros. Each element adds the pairs of a
 * slice as they stand in the list, slice after slice. */
#include "kernels/columns24.h"
#include "kernels/simd/each_output.h"
#include "kernels/simd/pair_slice.h"

#define MOST_PAIRS WN_PAIRED24_MOST
#define BATCH      WN_PAIRED24_BATCH
#define A_ROW      4 /* that exists */

_Static_assert(WN_COLUMNS24_SLICE == 4 * SLICE_GROUPS, "a slice of lists is one of pairs");

/* The lists of a slice from one of its columns on. */
typedef struct lists24 {
    const int32_t *start;
    const uint16_t *values;
    const uint8_t *row;
} lists24;

ALWAYS lists24 lists_of(const wn__spmm24_columns *p, int64_t slice, int64_t j) {
    int64_t first = slice * p->row.shape[1];
    return (lists24){(const int32_t *)p->start.data + slice * p->start.shape[1] + j,
                     (const uint16_t *)p->values.data + first,
                     (const uint8_t *)p->row.data + first};
}

/* The entries of one column of a slice. */
typedef struct entries24 {
    const uint16_t *values;
    const uint8_t *row;
    int64_t count;
} entries24;

ALWAYS entries24 entries_of(const lists24 *lists, int64_t j) {
    int64_t first = lists->start[j];
    return (entries24){lists->values + first, lists->row + first, lists->start[j + 1] - first};
}

/* Rows of a slice that whole pairs of rows meet: 7 g + i + 4 j of rows 4 g + i and 4 g + j. */
ALWAYS __m512i rows_of_pairs(__m512i rows) {
    const __m512i places =
        _mm512_maddubs_epi16(vi_and(rows, _mm512_set1_epi8(3)), _mm512_set1_epi16(1 | 4 << 8));
    __m512i group = vi_and(_mm512_srli_epi16(rows, 2), _mm512_set1_epi16(63));
    return _mm512_add_epi16(_mm512_mullo_epi16(group, _mm512_set1_epi16(7)), places);
}

/* The same of single rows. Of rows 0 to 3 a single number meets (0 1), (1 2), (2 3) and (0 3). */
ALWAYS __m128i rows_of_singles(__m128i rows) {
    const __m128i single = _mm_set1_epi32(4 | 9 << 8 | 14 << 16 | 12 << 24),
                  three = _mm_set1_epi8(3);
    __m128i place = _mm_and_si128(rows, three), four = _mm_andnot_si128(three, rows),
            seven = _mm_sub_epi8(_mm_add_epi8(four, four), _mm_srli_epi16(four, 2));
    return _mm_add_epi8(seven, _mm_shuffle_epi8(single, place));
}

/* The pairs of a column, and the rows they meet; returns how many they are. What is read beyond
 * its end, of the lists or of what is behind them (WN_COLUMNS24_SLACK), is written over by single
 * numbers and the zeros that follow them. */
ALWAYS int64_t pair_up(entries24 e, uint32_t *pair, uint8_t *row) {
    const __m128i three = _mm_set1_epi8(3);
    __m512i rows = _mm512_loadu_si512(e.row), high = _mm512_setzero_si512(),
            differ = _mm512_xor_si512(rows, _mm512_srli_epi16(rows, 8));
    uint64_t same = _mm512_testn_epi16_mask(differ, _mm512_set1_epi16(0xFC));
    uint64_t whole = same & ((UINT64_C(1) << (e.count / 2)) - 1);
    int64_t pairs = __builtin_popcountll(whole), two = 2 * pairs, singles = e.count - two;
    _mm512_storeu_si512(pair, _mm512_loadu_si512(e.values));
    if (pairs > 16) high = _mm512_maskz_loadu_epi32((__mmask16)(whole >> 16), e.values + 32);
    _mm512_storeu_si512(pair + 16, high);
    __m256i met =
        _mm512_mask_cvtepi16_epi8(_mm256_set1_epi8(A_ROW), (__mmask32)whole, rows_of_pairs(rows));
    _mm256_storeu_si256((void *)row, met);
    __m128i single = _mm_loadu_si128((const void *)(e.row + two));
    __m512i number = _mm512_maskz_cvtepu16_epi32(
        (__mmask16)((1U << singles) - 1), _mm256_loadu_si256((const void *)(e.values + two)));
    __mmask16 upper = _mm_cmpeq_epi8_mask(_mm_and_si128(single, three), three);
    _mm512_storeu_si512(pair + pairs, _mm512_mask_slli_epi32(number, upper, number, 16));
    _mm_storeu_si128((void *)(row + pairs), rows_of_singles(single));
    return pairs + singles;
}

/* The first n columns of `lists`. */
static void pair_up_columns(const lists24 *lists, int64_t n, wn__batch24 *to) {
    uint8_t place[MOST_PAIRS + 2] = {0}; /* of the next column that has so many */
    for (int64_t j = 0; j < n; j++) {
        int64_t pairs =
            pair_up(entries_of(lists, j), to->pair + j * MOST_PAIRS, to->row + j * MOST_PAIRS);
        to->pairs[j] = (uint8_t)pairs;
        place[pairs + 1]++;
    }
    for (int i = 0; i < MOST_PAIRS; i++)
        place[i + 1] = (uint8_t)(place[i + 1] + place[i]);
    for (int64_t j = 0; j < n; j++)
        to->order[place[to->pairs[j]]++] = (uint8_t)j;
}

/* A product. */
typedef struct columns_job {
    const wn__spmm24_columns *p;
    int64_t first, columns; /* those that are multiplied now */
    /* [batches of all blocks][slices]; NULL where each is made when its turn comes, once for each
     * tile (wn__paired24_once) */
    wn__batch24 *batches;
    wn__spmm24_plan plan; /* which says what the blocks are */
} columns_job;

/* The batch of a slice that begins with column j of the block from column j0 on. */
ALWAYS wn__batch24 *batch_at(const columns_job *job, int64_t slice, int64_t j0, int64_t j) {
    int64_t before = wn__spmm24_block_of(&job->plan, job->columns, j0) + j0 / BATCH;
    return job->batches + (before + j / BATCH) * job->p->start.shape[0] + slice;
}

/* Block after block, as they are multiplied where panels of all tiles stay in L2: each worker then
 * reads the batches that it wrote. */
static void pair_up_blocks(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const columns_job *job = ctx;
    const int64_t columns = job->columns, slices = job->p->start.shape[0];
    for (int64_t i = begin; i < end; i++) {
        int64_t slice = i % slices, j0 = wn__spmm24_output(&job->plan, columns, i / slices),
                n = wn__spmm24_output(&job->plan, columns, i / slices + 1) - j0;
        lists24 lists = lists_of(job->p, slice, job->first + j0);
        for (int64_t j = 0; j < n; j += BATCH, lists.start += BATCH)
            pair_up_columns(&lists, at_most(n - j, BATCH), batch_at(job, slice, j0, j));
    }
}

/* acc += a pair of weights times row `row` of a slice. */
ALWAYS void add_paired(int vecs, __m256i weights, const float *slice, uint64_t row, __m256 *acc) {
    row *= (unsigned)(vecs * HALF_VF) * sizeof(float);
    const char *at = (const char *)slice + row;
    __asm__("" : "+r"(at));
    UNROLL
    for (int v = 0; v < vecs; v++)
        add_products(acc + v, weights, at + 32 * v);
}

/* What a pair of zeros makes of sums: those below the smallest normal number are flushed to zeros
 * of their sign, and zeros lose it. Whether a column meets one depends on its neighbours, and these
 * on how many threads there are; so every column does, in the end. */
static void settle(float *sums, int64_t count) {
    const vf zero = vf_zero();
    for (int64_t i = 0; i < count; i += VF)
        vf_store(sums + i, pairs_fma(zero, zero, vf_load(sums + i)));
}

ALWAYS uint64_t eight_rows(const uint8_t *row) {
    uint64_t rows;
    memcpy(&rows, row, sizeof rows);
    return rows;
}

/* Columns whose turn it is. */
typedef struct turn24 {
    const uint32_t *pair[SLICE_OUTPUTS];
    const uint8_t *row[SLICE_OUTPUTS];
    float *sums[SLICE_OUTPUTS];
    uint64_t rows[SLICE_OUTPUTS]; /* of their first eight pairs */
    int64_t pairs;                /* of the last of them, the longest */
} turn24;

ALWAYS turn24 turn_at(int outputs, int vecs, const wn__batch24 *b, int64_t i, rows24 sums) {
    turn24 turn;
    UNROLL
    for (int o = 0; o < outputs; o++) {
        int64_t j = b->order[i + o];
        turn.pair[o] = b->pair + j * MOST_PAIRS;
        turn.row[o] = b->row + j * MOST_PAIRS;
        turn.rows[o] = eight_rows(turn.row[o]);
        turn.sums[o] = sums.at + j * sums.stride;
        UNROLL
        for (int v = 0; v < vecs; v += 2)
            _mm_prefetch((const char *)(turn.sums[o] + HALF_VF * v), _MM_HINT_T0);
        turn.pairs = b->pairs[j];
    }
    return turn;
}

/* sums += the pairs of a few columns times a slice. */
ALWAYS void add_columns_of(int outputs, int vecs, const turn24 *turn, const float *slice,
                           const __m256i *lane) {
    __m256 acc[SLICE_OUTPUTS][WIDTH_VECS];
    __m256i eight[SLICE_OUTPUTS];
    uint64_t rows[SLICE_OUTPUTS];
    int64_t e = 0, n = turn->pairs;
    UNROLL
    for (int i = 0; i < outputs; i++)
        rows[i] = turn->rows[i];
    EACH_OUTPUT(outputs, take_sums(vecs, false, turn->sums[o], acc[o]))
    for (; e + EIGHT <= n; e += EIGHT) {
        uint64_t now[SLICE_OUTPUTS];
        UNROLL
        for (int i = 0; i < outputs; i++) {
            eight[i] = _mm256_loadu_si256((const void *)(turn->pair[i] + e));
            now[i] = rows[i];
            rows[i] = eight_rows(turn->row[i] + e + EIGHT);
        }
        UNROLL
        for (int i = 0; i < EIGHT; i++) {
            EACH_OUTPUT(outputs, add_paired(vecs, _mm256_permutevar8x32_epi32(eight[o], lane[i]),
                                            slice, now[o] >> (8 * i) & 255, acc[o]))
        }
    }
    UNROLL
    for (int i = 0; i < outputs; i++)
        eight[i] = _mm256_loadu_si256((const void *)(turn->pair[i] + e));
    __m256i at = _mm256_setzero_si256();
    for (; e < n; e++) {
        EACH_OUTPUT(outputs, add_paired(vecs, _mm256_permutevar8x32_epi32(eight[o], at), slice,
                                        rows[o] & 255, acc[o]);
                    rows[o] >>= 8)
        at = _mm256_add_epi32(at, _mm256_set1_epi32(1));
    }
    EACH_OUTPUT(outputs, put_sums(vecs, acc[o], turn->sums[o]))
}

/* Lines of pairs and of rows of a few columns. */
ALWAYS void fetch_columns(int outputs, const wn__batch24 *b, int64_t j) {
    UNROLL
    for (int o = 0; o < 2 * outputs; o++)
        _mm_prefetch((const char *)(b->pair + j * MOST_PAIRS) + 64 * o, _MM_HINT_T0);
    _mm_prefetch((const char *)(b->row + j * MOST_PAIRS), _MM_HINT_T0);
}

/* Columns from i on in turns of `outputs`, in their order; returns the first that is left. soon:
 * the batch whose turn comes next, or NULL where it is not made yet. */
ALWAYS int64_t add_turns(int outputs, int vecs, const wn__batch24 *b, int64_t i, int64_t n,
                         const float *slice, rows24 sums, const wn__batch24 *soon) {
    __m256i lane[EIGHT];
    if (i + outputs > n) return i;
    UNROLL
    for (int l = 0; l < EIGHT; l++) {
        lane[l] = _mm256_set1_epi32(l);
        __asm__("" : "+v"(lane[l])); /* to stay in its register */
    }
    turn24 turn = turn_at(outputs, vecs, b, i, sums);
    for (; i + outputs <= n; i += outputs) {
        turn24 next = turn_at(outputs, vecs, b, i + 2 * outputs <= n ? i + outputs : i, sums);
        if (soon) fetch_columns(outputs, soon, i);
        add_columns_of(outputs, vecs, &turn, slice, lane);
        turn = next;
    }
    return i;
}

/* Whether all numbers of `groups` groups of a panel are finite. */
ALWAYS bool is_finite(int64_t width, const float *panel, int64_t groups) {
    vf sum = vf_zero();
    for (int64_t i = 0; i < 2 * groups * width; i += VF)
        sum = pairs_fma_at(vf_zero(), panel + i, sum);
    return !_mm512_cmp_ps_mask(sum, sum, _CMP_UNORD_Q);
}

/* The same columns as they are listed, number by number: nothing else is read of the panel. */
static void add_entries(const lists24 *lists, int64_t width, const float *panel, int64_t columns,
                        rows24 sums) {
    for (int64_t j = 0; j < columns; j++) {
        entries24 e = entries_of(lists, j);
        float *to = sums.at + j * sums.stride;
        for (int64_t i = 0; i < e.count; i++) {
            vf weight = vf_of_bits(vi_set((uint32_t)e.values[i] << 16));
            const float *row = panel + e.row[i] / 2 * width;
            for (int64_t t = 0; t < width; t += VF) {
                vi pair = vi_bits(vf_load(row + t));
                vi number =
                    e.row[i] % 2 ? vi_and(pair, vi_set(0xFFFF0000)) : _mm512_slli_epi32(pair, 16);
                vf_store(to + t, vf_fma(weight, vf_of_bits(number), vf_load(to + t)));
            }
        }
    }
}

/* All columns of a block, slice after slice. */
ALWAYS void columns_block(int vecs, const columns_job *job, const float *panel, int64_t j0,
                          int64_t columns, rows24 sums) {
    const wn__spmm24_columns *p = job->p;
    const int64_t width = HALF_VF * vecs, groups = (p->x.shape[1] + 3) / 4,
                  slices = p->start.shape[0];
    const int turns = vecs > WIDTH_VECS / 2 ? 2 : SLICE_OUTPUTS;
    wn__batch24 own;
    slice24 slice;
    memset(sums.at, 0, (size_t)(width * columns) * sizeof *sums.at);
    for (int64_t s = 0; s < slices; s++) {
        const float *from = panel + s * SLICE_GROUPS * 2 * width;
        lists24 lists = lists_of(p, s, job->first + j0);
        int64_t exist = at_most(groups - s * SLICE_GROUPS, SLICE_GROUPS);
        if (!is_finite(width, from, exist)) {
            add_entries(&lists, width, from, columns, sums);
            settle(sums.at, width * columns);
            continue;
        }
        write_slice(width, from, exist, slice.row);
        for (int64_t j = 0; j < columns; j += BATCH, lists.start += BATCH) {
            const int64_t n = at_most(columns - j, BATCH);
            const rows24 to = rows_from(sums, j);
            const wn__batch24 *batch = &own, *soon = NULL;
            if (job->batches) {
                const bool last = j + BATCH >= columns;
                batch = batch_at(job, s, j0, j);
                soon =
                    batch_at(job, last ? at_most(s + 1, slices - 1) : s, j0, last ? 0 : j + BATCH);
            } else {
                pair_up_columns(&lists, n, &own);
            }
            int64_t left = add_turns(turns, vecs, batch, 0, n, slice.row, to, soon);
            add_turns(1, vecs, batch, left, n, slice.row, to, soon);
        }
    }
    settle(sums.at, width * columns);
}

/* One function for each width of a tile, so that its sums are registers. */
#define COLUMNS24(vecs)                                                                            \
    static void columns_##vecs(const columns_job *job, const float *panel, int64_t j0,             \
                               int64_t columns, rows24 sums) {                                     \
        columns_block(vecs, job, panel, j0, columns, sums);                                        \
    }
COLUMNS24(8)
COLUMNS24(6)
COLUMNS24(4)
COLUMNS24(2)

static void spmm24_columns_block(const void *args, int64_t width, const float *panel, int64_t j0,
                                 int64_t columns, rows24 sums, rows24 out) {
    (void)out; /* never by lanes */
    if (width == 8 * HALF_VF)
        columns_8(args, panel, j0, columns, sums);
    else if (width == 6 * HALF_VF)
        columns_6(args, panel, j0, columns, sums);
    else if (width == 4 * HALF_VF)
        columns_4(args, panel, j0, columns, sums);
    else
        columns_2(args, panel, j0, columns, sums);
}

static wn_status spmm24_columns(const void *args, wn__exec *x) {
    const wn__spmm24_columns *p = args;
    const wn__spmm24_cut cut = {LANES, STEPS};
    const int threads = wn__pool_threads(x->pool);
    const int64_t columns = p->y.shape[1], slices = p->start.shape[0];
    const bool once = wn__paired24_once(p, threads);
    const int64_t most = once ? columns : wn__paired24_columns(slices, columns);
    columns_job pairs = {.p = p, .batches = once ? NULL : (wn__batch24 *)(void *)x->scratch};
    lanes24 job = {.args = &pairs,
                   .block = spmm24_columns_block,
                   .in = {.data = p->x.data, .stride = p->x.stride[0], .half = true},
                   .out = {.stride = p->y.stride[0], .half = p->y.dtype == WN_DTYPE_BF16},
                   .lanes = p->x.shape[0],
                   .depth = p->x.shape[1],
                   .accumulate = p->accumulate};
    for (; pairs.first < columns; pairs.first += most) {
        wn__exec rest = *x;
        pairs.columns = job.outputs = at_most(columns - pairs.first, most);
        pairs.plan = wn__spmm24_plan_for(job.lanes, job.outputs, job.depth, cut, threads);
        job.out.data = (char *)p->y.data + (size_t)pairs.first * wn_dtype_size(p->y.dtype);
        if (!once) {
            rest.scratch += wn__paired24_bytes(&pairs.plan, slices, job.outputs);
            wn__parallel_for(x->pool, slices * pairs.plan.blocks, 1, pair_up_blocks, &pairs);
        }
        run_lanes(&job, &rest);
    }
    return WN_OK;
}
