// SPDX-License-Identifier: MIT
/* spmm24_columns of bfloat16 numbers, two at a time. What a column keeps of four rows is one pair
 * or two, and the pairs of rows that those may meet are the six of a slice (pair_slice.h): of rows
 * that are kept by halves 20 instructions a vector for 64 rows, where a dense product takes 32. So
 * the lists are paired up first, for all tokens, each pair with the row of the slice that it meets.
 *
 * A single number is a pair with a zero, which must meet nothing but numbers: a tile whose slice
 * has an infinity or a NaN takes the lists as they are, one number at a time. Columns of a block
 * stand in order of how many pairs they have, so loops over them end as their predecessors did and
 * columns that take turns are equally long; a column that is shorter meets zeros. Each element
 * adds its pairs in ascending order. */
#include "kernels/columns24.h"
#include "kernels/simd/each_output.h"
#include "kernels/simd/pair_slice.h"

#define MOST_PAIRS WN_PAIRED24_MOST
#define NO_ROW     4  /* a row that exists */
#define AHEAD      4  /* columns whose pairs are being fetched */
#define BATCH      64 /* columns that are paired up where they are multiplied */

_Static_assert(WN_COLUMNS24_SLICE == 4 * SLICE_GROUPS, "a slice of lists is one of pairs");

/* The columns whose pairs there is room for at a time. */
typedef struct columns_job {
    const wn__spmm24_columns *p;
    int64_t first, columns;
    /* [slices][columns], those of a block in order of their lengths; NULL where each is
     * made when its turn comes, once for each tile (wn__paired24_once) */
    wn__paired24 *lists;
    wn__spmm24_plan plan; /* which says what the blocks are */
} columns_job;

/* The lists of a slice from one of its columns on. */
typedef struct lists24 {
    const int32_t *start;
    const uint16_t *values;
    const uint8_t *row;
} lists24;

ALWAYS lists24 lists_of(const columns_job *job, int64_t slice, int64_t j) {
    const wn__spmm24_columns *p = job->p;
    int64_t first = slice * p->row.shape[1];
    return (lists24){(const int32_t *)p->start.data + slice * p->start.shape[1] + job->first + j,
                     (const uint16_t *)p->values.data + first,
                     (const uint8_t *)p->row.data + first};
}

/* The entries of one column of a slice. */
typedef struct entries24 {
    const uint16_t *values;
    const uint8_t *row;
    int64_t count;
    uint64_t exist; /* a bit for each */
} entries24;

ALWAYS entries24 entries_of(const lists24 *lists, int64_t j) {
    int64_t first = lists->start[j], n = lists->start[j + 1] - first;
    return (entries24){lists->values + first, lists->row + first, n,
                       n > 0 ? ~UINT64_C(0) >> (64 - n) : 0};
}

/* Of the entries of a column, those that begin a pair, and those of them that the next one belongs
 * to: of four rows the first and the second kept ones are a pair, the third and the fourth another.
 */
typedef struct marks24 {
    uint64_t begin, both;
} marks24;

/* Bit i: entries i and i + ahead are of the same four rows. */
ALWAYS uint64_t of_same_rows(entries24 e, __m512i row, int64_t ahead) {
    uint64_t exist = e.exist >> ahead;
    __m512i other = _mm512_maskz_loadu_epi8(exist, e.row + ahead);
    return _mm512_mask_cmplt_epu8_mask(exist, _mm512_xor_si512(row, other), _mm512_set1_epi8(4));
}

ALWAYS marks24 marks_of(entries24 e) {
    __m512i row = _mm512_maskz_loadu_epi8(e.exist, e.row);
    uint64_t next = of_same_rows(e, row, 1), second = next << 1,
             third = of_same_rows(e, row, 2) << 2, fourth = of_same_rows(e, row, 3) << 3;
    uint64_t begin = e.exist & (~second | (third & ~fourth));
    return (marks24){begin, begin & next};
}

/* The rows of a slice that pairs meet, for the entries that begin them. *upper: single numbers that
 * are the second of their pair. Of rows 0 to 3 a single number meets (0 1), (1 2), (2 3) and (0 3).
 */
ALWAYS __m512i rows_met(entries24 e, marks24 marks, uint64_t *upper) {
    const __m512i single = _mm512_set1_epi32(4 | 9 << 8 | 14 << 16 | 12 << 24),
                  three = _mm512_set1_epi8(3);
    __m512i row = _mm512_maskz_loadu_epi8(e.exist, e.row),
            next = _mm512_maskz_loadu_epi8(marks.both, e.row + 1), place = vi_and(row, three),
            four = _mm512_andnot_si512(three, row);
    __m512i nibble = vi_or(place, _mm512_slli_epi16(vi_and(next, three), 2));
    nibble = _mm512_mask_blend_epi8(marks.both, _mm512_shuffle_epi8(single, place), nibble);
    *upper = _mm512_mask_cmpeq_epi8_mask(marks.begin & ~marks.both, place, three);
    __m512i seven = _mm512_sub_epi8(_mm512_add_epi8(four, four), _mm512_srli_epi16(four, 2));
    return _mm512_add_epi8(seven, nibble);
}

/* Which halves of the pairs have a number, two bits a pair. */
ALWAYS uint64_t halves_of(marks24 marks, uint64_t upper) {
    const char low = -128, high = 64;
    __m512i halves = _mm512_mask_blend_epi8(marks.both, _mm512_set1_epi8(low),
                                            _mm512_set1_epi8((char)(low | high)));
    halves = _mm512_mask_blend_epi8(upper, halves, _mm512_set1_epi8(high));
    halves = _mm512_maskz_compress_epi8(marks.begin, halves);
    halves = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(halves));
    return _mm512_movepi8_mask(vi_or(halves, _mm512_slli_epi16(halves, 9)));
}

/* n <= 32 values at the places of `halves`. */
ALWAYS __m512i spread(const uint16_t *values, int64_t n, uint32_t halves) {
    __mmask32 exist = (__mmask32)((UINT64_C(1) << n) - 1);
    return _mm512_maskz_expand_epi16(halves, _mm512_maskz_loadu_epi16(exist, values));
}

/* The pairs of a column, and the rows they meet. */
ALWAYS void write_list(entries24 e, marks24 marks, int32_t column, int pairs, wn__paired24 *to) {
    uint64_t upper;
    __m512i rows = rows_met(e, marks, &upper);
    uint64_t halves = halves_of(marks, upper);
    int64_t low = __builtin_popcount((uint32_t)halves);
    _mm512_storeu_si512(to->pair, spread(e.values, low, (uint32_t)halves));
    _mm512_storeu_si512(to->pair + MOST_PAIRS / 2,
                        spread(e.values + low, e.count - low, (uint32_t)(halves >> 32)));
    rows = _mm512_mask_compress_epi8(_mm512_set1_epi8(NO_ROW), marks.begin, rows);
    _mm256_storeu_si256((void *)to->row, _mm512_castsi512_si256(rows));
    to->column = column;
    to->pairs = pairs;
}

/* The lists of a slice of some columns from j0 on, which are columns `number` and so on of their
 * block, in order of how many pairs they have. */
static void pair_up_columns(const columns_job *job, int64_t slice, int64_t j0, int64_t columns,
                            int64_t number, wn__paired24 *to) {
    const lists24 lists = lists_of(job, slice, j0);
    marks24 marks[WN_PAIRED24_BLOCK];
    int32_t place[MOST_PAIRS + 2] = {0}; /* of the next column that has so many */
    for (int64_t j = 0; j < columns; j++) {
        marks[j] = marks_of(entries_of(&lists, j));
        place[__builtin_popcountll(marks[j].begin) + 1]++;
    }
    for (int n = 0; n < MOST_PAIRS; n++)
        place[n + 1] += place[n];
    for (int64_t j = 0; j < columns; j++) {
        int pairs = __builtin_popcountll(marks[j].begin);
        write_list(entries_of(&lists, j), marks[j], (int32_t)(number + j), pairs,
                   to + place[pairs]++);
    }
}

/* Block after block, as they are multiplied where panels of all tiles stay in L2: each worker then
 * reads the lists that it wrote. */
static void pair_up(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const columns_job *job = ctx;
    const int64_t columns = job->columns, slices = job->p->start.shape[0];
    for (int64_t i = begin; i < end; i++) {
        int64_t slice = i % slices, j0 = wn__spmm24_output(&job->plan, columns, i / slices);
        int64_t after = wn__spmm24_output(&job->plan, columns, i / slices + 1);
        pair_up_columns(job, slice, j0, after - j0, 0, job->lists + slice * columns + j0);
    }
}

/* acc += a pair of weights times row `row` of a slice. */
ALWAYS void add_paired(int vecs, __m256i weights, const float *slice, uint64_t row, __m256 *acc) {
    row *= (unsigned)(vecs * HALF_VF) * sizeof(float);
    __asm__("" : "+r"(row));
    const char *at = (const char *)slice + row;
    UNROLL
    for (int v = 0; v < vecs; v++)
        add_products(acc + v, weights, at + 32 * v);
}

/* What a pair of zeros makes of sums: those below the smallest normal number are flushed to zeros
 * of their sign, and zeros lose it. Whether a column meets one depends on its neighbours, and these
 * on how many threads there are; so every column does, in the end. */
ALWAYS void settle(int vecs, __m256 *acc) {
    const __m256i zero = _mm256_setzero_si256();
    UNROLL
    for (int v = 0; v < vecs; v++)
        __asm__("vdpbf16ps %1, %1, %0" : "+v"(acc[v]) : "v"(zero));
}

ALWAYS uint64_t eight_rows(const wn__paired24 *list, int64_t e) {
    uint64_t rows;
    memcpy(&rows, list->row + e, sizeof rows);
    return rows;
}

/* sums (+)= the pairs of a few columns, the last of them the longest, times a slice. rows: of the
 * first eight pairs of each; those of columns `next` in the end. */
ALWAYS void add_columns_of(int outputs, int vecs, const wn__paired24 *list,
                           const wn__paired24 *next, const float *slice, rows24 sums, bool first,
                           const __m256i *lane, uint64_t *rows) {
    __m256 acc[SLICE_OUTPUTS][WIDTH_VECS];
    __m256i eight[SLICE_OUTPUTS];
    int64_t e = 0, n = list[outputs - 1].pairs;
    UNROLL
    for (int i = 0; i < outputs; i++) {
        const float *soon = sums.at + next[i].column * sums.stride;
        UNROLL
        for (int v = 0; v < vecs; v += 2)
            _mm_prefetch((const char *)(soon + HALF_VF * v), _MM_HINT_T0);
        UNROLL
        for (int b = 0; b < 3; b++)
            _mm_prefetch((const char *)(list + AHEAD + i) + 64 * b, _MM_HINT_T0);
    }
    EACH_OUTPUT(outputs, take_sums(vecs, first, sums.at + list[o].column * sums.stride, acc[o]))
    for (; e + EIGHT <= n; e += EIGHT) {
        uint64_t now[SLICE_OUTPUTS];
        UNROLL
        for (int i = 0; i < outputs; i++) {
            eight[i] = _mm256_loadu_si256((const void *)(list[i].pair + e));
            now[i] = rows[i];
            rows[i] = eight_rows(list + i, e + EIGHT);
        }
        UNROLL
        for (int i = 0; i < EIGHT; i++) {
            EACH_OUTPUT(outputs, add_paired(vecs, _mm256_permutevar8x32_epi32(eight[o], lane[i]),
                                            slice, now[o] >> (8 * i) & 255, acc[o]))
        }
    }
    UNROLL
    for (int i = 0; i < outputs; i++)
        eight[i] = _mm256_loadu_si256((const void *)(list[i].pair + e));
    __m256i turn = _mm256_setzero_si256();
    for (; e < n; e++) {
        EACH_OUTPUT(outputs, add_paired(vecs, _mm256_permutevar8x32_epi32(eight[o], turn), slice,
                                        rows[o] & 255, acc[o]);
                    rows[o] >>= 8)
        turn = _mm256_add_epi32(turn, _mm256_set1_epi32(1));
    }
    UNROLL
    for (int i = 0; i < outputs; i++)
        rows[i] = eight_rows(next + i, 0);
    EACH_OUTPUT(outputs, settle(vecs, acc[o]);
                put_sums(vecs, acc[o], sums.at + list[o].column * sums.stride))
}

/* Columns in turns of `outputs` as they stand in the lists; returns the first that is left. */
ALWAYS const wn__paired24 *add_turns(int outputs, int vecs, const wn__paired24 *list,
                                     const wn__paired24 *end, const float *slice, rows24 sums,
                                     bool first) {
    uint64_t rows[SLICE_OUTPUTS] = {0};
    __m256i lane[EIGHT];
    if (list + outputs > end) return list;
    UNROLL
    for (int i = 0; i < outputs; i++)
        rows[i] = eight_rows(list + i, 0);
    UNROLL
    for (int i = 0; i < EIGHT; i++) {
        lane[i] = _mm256_set1_epi32(i);
        __asm__("" : "+v"(lane[i])); /* to stay in its register */
    }
    for (; list + outputs <= end; list += outputs) {
        const wn__paired24 *next = list + 2 * outputs <= end ? list + outputs : list;
        add_columns_of(outputs, vecs, list, next, slice, sums, first, lane, rows);
    }
    return list;
}

/* Whether all numbers of `groups` groups of a panel are finite. */
ALWAYS bool is_finite(int64_t width, const float *panel, int64_t groups) {
    vf sum = vf_zero();
    for (int64_t i = 0; i < 2 * groups * width; i += VF)
        sum = pairs_fma_at(vf_zero(), panel + i, sum);
    return !_mm512_cmp_ps_mask(sum, sum, _CMP_UNORD_Q);
}

/* The same columns as they are listed, number by number: nothing else is read of the panel. */
static void add_entries(const columns_job *job, int64_t slice, int64_t width, const float *panel,
                        int64_t j0, int64_t columns, rows24 sums) {
    const lists24 lists = lists_of(job, slice, j0);
    for (int64_t j = 0; j < columns; j++) {
        entries24 e = entries_of(&lists, j);
        float *to = sums.at + j * sums.stride;
        if (slice == 0) memset(to, 0, (size_t)width * sizeof *to);
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
    const int64_t width = HALF_VF * vecs, groups = (job->p->x.shape[1] + 3) / 4;
    const int turns = vecs > WIDTH_VECS / 2 ? 2 : SLICE_OUTPUTS;
    const int64_t batch = job->lists ? columns : BATCH;
    wn__paired24 own[BATCH];
    slice24 slice;
    for (int64_t s = 0; s < job->p->start.shape[0]; s++) {
        const float *from = panel + s * SLICE_GROUPS * 2 * width;
        int64_t exist = at_most(groups - s * SLICE_GROUPS, SLICE_GROUPS);
        if (!is_finite(width, from, exist)) {
            add_entries(job, s, width, from, j0, columns, sums);
            continue;
        }
        write_slice(width, from, exist, slice.row);
        for (int64_t j = 0; j < columns; j += batch) {
            const int64_t n = at_most(columns - j, batch);
            const wn__paired24 *list = own;
            if (job->lists)
                list = job->lists + s * job->columns + j0;
            else
                pair_up_columns(job, s, j0 + j, n, j, own);
            const wn__paired24 *end = list + n;
            list = add_turns(turns, vecs, list, end, slice.row, sums, s == 0);
            add_turns(1, vecs, list, end, slice.row, sums, s == 0);
        }
    }
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
    const bool once = wn__paired24_once(p);
    const int64_t most = once ? columns : wn__paired24_columns(slices, columns);
    columns_job pairs = {.p = p, .lists = once ? NULL : (wn__paired24 *)(void *)x->scratch};
    lanes24 job = {.args = &pairs,
                   .block = spmm24_columns_block,
                   .in = {.data = p->x.data, .stride = p->x.stride[0], .half = true},
                   .out = {.stride = p->y.stride[0], .half = p->y.dtype == WN_DTYPE_BF16},
                   .lanes = p->x.shape[0],
                   .depth = p->x.shape[1],
                   .accumulate = p->accumulate};
    wn__exec rest = *x;
    if (!once) rest.scratch += slices * most * (int64_t)sizeof *pairs.lists;
    for (; pairs.first < columns; pairs.first += most) {
        pairs.columns = job.outputs = at_most(columns - pairs.first, most);
        pairs.plan = wn__spmm24_plan_for(job.lanes, job.outputs, job.depth, cut, threads);
        job.out.data = (char *)p->y.data + (size_t)pairs.first * wn_dtype_size(p->y.dtype);
        if (!once) wn__parallel_for(x->pool, slices * pairs.plan.blocks, 1, pair_up, &pairs);
        run_lanes(&job, &rest);
    }
    return WN_OK;
}
