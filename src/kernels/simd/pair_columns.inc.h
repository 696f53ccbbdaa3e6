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
#define NO_ROW     4 /* a row that exists */
#define AHEAD      4 /* columns whose pairs are being fetched */

_Static_assert(WN_COLUMNS24_SLICE == 4 * SLICE_GROUPS, "a slice of lists is one of pairs");

/* The columns whose pairs there is room for at a time. */
typedef struct columns_job {
    const wn__spmm24_columns *p;
    int64_t first, columns;
    wn__paired24 *lists;  /* [slices][columns], those of a block in order of their lengths */
    wn__spmm24_plan plan; /* which says what the blocks are */
} columns_job;

/* The entries of one column of a slice. */
typedef struct entries24 {
    const uint16_t *values;
    const uint8_t *row;
    int64_t count;
} entries24;

ALWAYS entries24 entries_of(const columns_job *job, int64_t slice, int64_t j) {
    const wn__spmm24_columns *p = job->p;
    const int32_t *start =
        (const int32_t *)p->start.data + slice * p->start.shape[1] + job->first + j;
    int64_t first = slice * p->row.shape[1] + start[0];
    return (entries24){(const uint16_t *)p->values.data + first,
                       (const uint8_t *)p->row.data + first, start[1] - start[0]};
}

/* Bit i: row i is listed. Eight rows at a time may be read beyond the end. */
ALWAYS uint64_t listed_rows(entries24 e) {
    const __m512i one = _mm512_set1_epi64(1);
    __m512i bits = _mm512_setzero_si512();
    for (int64_t i = 0; i < e.count; i += 8) {
        __mmask8 exist = (__mmask8)(255 >> (e.count - i < 8 ? 8 - (e.count - i) : 0));
        __m512i row = _mm512_cvtepu8_epi64(_mm_loadl_epi64((const void *)(e.row + i)));
        bits = _mm512_or_si512(bits, _mm512_maskz_sllv_epi64(exist, one, row));
    }
    return (uint64_t)_mm512_reduce_or_epi64(bits);
}

/* One for each group that keeps something, one more where it keeps three or four. */
ALWAYS int count_pairs(uint64_t bits) {
    const uint64_t ones = UINT64_C(0x1111111111111111);
    uint64_t two = bits - (bits >> 1 & 5 * ones), four = (two & 3 * ones) + (two >> 2 & 3 * ones);
    return __builtin_popcountll((four + 3 * ones) >> 2 & ones) +
           __builtin_popcountll((four + ones) >> 2 & ones);
}

/* Of a group, by the nibble of what it keeps: which of its two pairs' four places the numbers take,
 * and the rows of a slice that the first and the second pair meet, 0 where there is none. */
static const uint8_t group_places[16] = {0, 1, 1, 3, 1, 3, 3, 11, 2, 3, 3, 11, 3, 11, 11, 15};
static const uint8_t first_row[16] = {0, 4, 9, 4, 14, 8, 9, 4, 12, 12, 13, 4, 14, 8, 9, 4};
static const uint8_t second_row[16] = {0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 12, 0, 12, 12, 14};

ALWAYS __m128i look_up(const uint8_t table[16], __m128i nibbles) {
    return _mm_shuffle_epi8(_mm_loadu_si128((const void *)table), nibbles);
}

/* Sixteen nibbles, a byte each, and back. */
ALWAYS __m128i nibbles_of(uint64_t bits) {
    const __m128i low = _mm_set1_epi8(15);
    __m128i pairs = _mm_cvtsi64_si128((long long)bits);
    return _mm_unpacklo_epi8(_mm_and_si128(pairs, low),
                             _mm_and_si128(_mm_srli_epi16(pairs, 4), low));
}
ALWAYS uint64_t bits_of(__m128i nibbles) {
    __m128i pairs = _mm_maddubs_epi16(nibbles, _mm_set1_epi16(0x1001));
    return (uint64_t)_mm_cvtsi128_si64(_mm_packus_epi16(pairs, pairs));
}

/* n <= 32 values from place i on, at the places of `bits`. */
ALWAYS __m512i spread(const uint16_t *values, int64_t n, uint32_t bits) {
    __mmask32 exist = (__mmask32)((UINT64_C(1) << n) - 1);
    return _mm512_maskz_expand_epi16(bits, _mm512_maskz_loadu_epi16(exist, values));
}

/* The pairs of a column whose kept rows are `bits`, `pairs` of them, and the rows they meet. */
ALWAYS void write_list(entries24 e, uint64_t bits, int32_t column, int pairs, wn__paired24 *to) {
    const __m128i seven =
        _mm_setr_epi8(0, 7, 14, 21, 28, 35, 42, 49, 56, 63, 70, 77, 84, 91, 98, 105);
    __m128i nibbles = nibbles_of(bits), first = look_up(first_row, nibbles),
            second = look_up(second_row, nibbles);
    uint64_t places = bits_of(look_up(group_places, nibbles));
    __m256i rows = _mm256_set_m128i(_mm_unpackhi_epi8(first, second),
                                    _mm_unpacklo_epi8(first, second)),
            groups =
                _mm256_set_m128i(_mm_unpackhi_epi8(seven, seven), _mm_unpacklo_epi8(seven, seven));
    __mmask32 exist = _mm256_test_epi8_mask(rows, rows);
    int64_t low = __builtin_popcount((uint32_t)places);
    __m512i head = spread(e.values, low, (uint32_t)places),
            tail = spread(e.values + low, e.count - low, (uint32_t)(places >> 32));
    _mm256_storeu_si256((void *)to->row, _mm256_mask_compress_epi8(_mm256_set1_epi8(NO_ROW), exist,
                                                                   _mm256_add_epi8(rows, groups)));
    _mm512_storeu_si512(to->pair + MOST_PAIRS / 2, _mm512_setzero_si512());
    _mm512_storeu_si512(to->pair, _mm512_maskz_compress_epi32((__mmask16)exist, head));
    _mm512_storeu_si512(to->pair + __builtin_popcount(exist & 0xFFFF),
                        _mm512_maskz_compress_epi32((__mmask16)(exist >> 16), tail));
    to->column = column;
    to->pairs = pairs;
}

/* The lists of one slice and one block of columns. */
static void pair_up_block(const columns_job *job, int64_t slice, int64_t j0, int64_t columns) {
    uint64_t bits[WN_PAIRED24_BLOCK];
    uint8_t pairs[WN_PAIRED24_BLOCK];
    int32_t place[MOST_PAIRS + 2] = {0}; /* of the next column that has so many */
    wn__paired24 *lists = job->lists + slice * job->columns + j0;
    for (int64_t j = 0; j < columns; j++) {
        bits[j] = listed_rows(entries_of(job, slice, j0 + j));
        pairs[j] = (uint8_t)count_pairs(bits[j]);
        place[pairs[j] + 1]++;
    }
    for (int n = 0; n < MOST_PAIRS; n++)
        place[n + 1] += place[n];
    for (int64_t j = 0; j < columns; j++)
        write_list(entries_of(job, slice, j0 + j), bits[j], (int32_t)j, pairs[j],
                   lists + place[pairs[j]]++);
}

static void pair_up(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const columns_job *job = ctx;
    int64_t columns = job->columns, blocks = job->plan.blocks;
    for (int64_t i = begin; i < end; i++) {
        int64_t j0 = wn__spmm24_output(&job->plan, columns, i % blocks);
        pair_up_block(job, i / blocks, j0,
                      wn__spmm24_output(&job->plan, columns, i % blocks + 1) - j0);
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
    for (int64_t j = 0; j < columns; j++) {
        entries24 e = entries_of(job, slice, j0 + j);
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
    slice24 slice;
    for (int64_t s = 0; s < job->p->start.shape[0]; s++) {
        const float *from = panel + s * SLICE_GROUPS * 2 * width;
        int64_t exist = at_most(groups - s * SLICE_GROUPS, SLICE_GROUPS);
        if (!is_finite(width, from, exist)) {
            add_entries(job, s, width, from, j0, columns, sums);
            continue;
        }
        const wn__paired24 *list = job->lists + s * job->columns + j0, *end = list + columns;
        write_slice(width, from, exist, slice.row);
        list = add_turns(turns, vecs, list, end, slice.row, sums, s == 0);
        add_turns(1, vecs, list, end, slice.row, sums, s == 0);
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
    const int64_t columns = p->y.shape[1], slices = p->start.shape[0],
                  most = wn__paired24_columns(slices, columns);
    columns_job pairs = {.p = p, .lists = (wn__paired24 *)(void *)x->scratch};
    lanes24 job = {.args = &pairs,
                   .block = spmm24_columns_block,
                   .in = {.data = p->x.data, .stride = p->x.stride[0], .half = true},
                   .out = {.stride = p->y.stride[0], .half = p->y.dtype == WN_DTYPE_BF16},
                   .lanes = p->x.shape[0],
                   .depth = p->x.shape[1],
                   .accumulate = p->accumulate};
    wn__exec rest = *x;
    rest.scratch += slices * most * (int64_t)sizeof *pairs.lists;
    for (; pairs.first < columns; pairs.first += most) {
        pairs.columns = job.outputs = at_most(columns - pairs.first, most);
        pairs.plan = wn__spmm24_plan_for(job.lanes, job.outputs, job.depth, cut, threads);
        job.out.data = (char *)p->y.data + (size_t)pairs.first * wn_dtype_size(p->y.dtype);
        wn__parallel_for(x->pool, slices * pairs.plan.blocks, 1, pair_up, &pairs);
        run_lanes(&job, &rest);
    }
    return WN_OK;
}
