// SPDX-License-Identifier: MIT
/* matmul's tile on vectors of 64 bytes, of floats or of pairs of bfloat16 numbers: sums of 14 x 32
 * or fewer rows in registers for all of a slice, which is as deep as panels in L2 allow: from there
 * they come as fast as they are multiplied, and c is written once for each of them. A tile of a is
 * its rows as they lie along k, a line apart from being a power of two, where they lie so; else 16
 * rows side by side, of which 14 are in use. Of pairs, a result of BF16 is rounded in registers. */
#include "kernels/simd/half.h"
#include "kernels/simd/matmul_plan.h"

#define TILE_M     WN_AVX512_TILE_M
#define TILE_N     WN_AVX512_TILE_N
#define TILE_DEPTH 1
#if PAIRS
#define SHAPE wn__matmul_pairs_shape
#else
#define SHAPE wn__matmul_avx512_shape
#endif
#define AHEAD_ROWS 16 /* of b, fetched while those before them are packed */
/* From one line of b that a step fetches to the other: in the next row, or beside it. */
#define SECOND_LINE (STEPS > 1 ? 0 : VF)

#include "kernels/simd/matmul_pack.inc.h"

/* Nothing to set up. */
ALWAYS void tiles_begin(void) {}
ALWAYS void tiles_end(void) {}

/* Where a tile of sums goes: to sums, or with all that is added to it to c, which is of BF16. */
typedef struct tile_to {
    float *sums;
    int64_t stride;
    bool add, rounds;
    const wn__matmul *p;
    int64_t i, j; /* of c */
} tile_to;

/* Lines that a tile fetches while it is multiplied, one at each step: pieces of a power of two of
 * them, `jump` bytes apart. */
typedef struct tile_fetch {
    const char *at;
    int64_t lines, shift, jump;
} tile_fetch;

/* One tile of a and one panel of b. */
typedef struct tile_from {
    const float *a, *b;
    int64_t pitch, depth;
    tile_fetch fetch;
} tile_from;

ALWAYS void fetch_line(const tile_fetch *f, int64_t line) {
    if (line > f->lines) line = f->lines;
    const int64_t within = line & ((INT64_C(1) << f->shift) - 1);
    _mm_prefetch(f->at + (line >> f->shift) * f->jump + within * 64, _MM_HINT_T0);
}

/* Rows first .. first+count of a, each along k from l on, in tiles of WN_AVX512_TILE_ROWS times
 * `pitch`. */
ALWAYS void pack_tiles(bool half, const wn_tensor *a, int64_t first, int64_t count, int64_t l,
                       int64_t depth, int64_t pitch, float *to) {
    int64_t down = a->stride[0], along = a->stride[1];
    const void *from = half_at(a->data, half, first * down + l * along);
    if (along == 1) {
        for (int64_t i = 0; i < count; i++) {
            float *row = to + (i / TILE_M * WN_AVX512_TILE_ROWS + i % TILE_M) * pitch;
            for (int64_t s = 0; s < depth; s += STEPS * VF)
                vf_store(row + s / STEPS,
                         pack_read(from, half, i * down + s,
                                   depth - s < STEPS * VF ? depth - s : STEPS * VF));
        }
        return;
    }
    for (int64_t s = 0; s < depth; s += STEPS)
        for (int64_t i = 0; i < count; i += TILE_M) {
            float *row = to + i / TILE_M * WN_AVX512_TILE_ROWS * pitch + s / STEPS * VF;
            const void *at = half_at(from, half, s * along + i);
            _mm_prefetch(half_at(at, half, AHEAD_ROWS * along), _MM_HINT_T0);
            _mm_prefetch(half_at(at, half, (AHEAD_ROWS + 1) * along), _MM_HINT_T0);
            vf_store(row, count - i >= VF ? pack_read_across(at, half, along, VF, s, depth)
                                          : pack_read_across(at, half, along, count - i, s, depth));
        }
}

static void pack_a(const wn_tensor *a, int64_t first, int64_t count, int64_t l, int64_t depth,
                   int64_t pitch, float *to) {
    if (a->dtype == WN_DTYPE_BF16)
        pack_tiles(true, a, first, count, l, depth, pitch, to);
    else
        pack_tiles(false, a, first, count, l, depth, pitch, to);
}

#if PAIRS
typedef uint16_t element; /* of b as panels are made of it, one after the other */
#define ELEMENT WN_DTYPE_BF16
/* 32 columns of b that stand side by side, at two steps of k, as pairs. */
ALWAYS void pack_step(const element *from, const element *next, float *to) {
    const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40,
                                         8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    const vi even = _mm512_loadu_si512(from), odd = next ? _mm512_loadu_si512(next) : vi_set(0);
    vf_store(to, vf_of_bits(_mm512_permutex2var_epi16(even, low, odd)));
    vf_store(to + VF, vf_of_bits(_mm512_permutex2var_epi16(even, high, odd)));
}
#else
typedef float element;
#define ELEMENT WN_DTYPE_F32
/* 32 columns of b that stand side by side. */
ALWAYS void pack_step(const element *from, const element *next, float *to) {
    (void)next;
    vf_store(to, vf_load(from));
    vf_store(to + VF, vf_load(from + VF));
}
#endif

/* Panels of b whose columns stand side by side, row by row: rows may be pages apart. */
static void pack_columns_across(const element *from, int64_t down, int64_t count, int64_t depth,
                                float *to) {
    const int64_t panel = TILE_N * panel_depth(depth);
    for (int64_t l = 0; l < depth; l += STEPS, from += STEPS * down, to += TILE_N) {
        const element *next = STEPS > 1 && l + 1 < depth ? from + down : NULL;
        for (int64_t j = 0; j < count; j += TILE_N) {
            _mm_prefetch((const char *)(from + AHEAD_ROWS * down + j), _MM_HINT_T0);
            _mm_prefetch((const char *)(from + (AHEAD_ROWS + STEPS - 1) * down + j + SECOND_LINE),
                         _MM_HINT_T0);
            pack_step(from + j, next ? next + j : NULL, to + j / TILE_N * panel);
        }
    }
}

/* Panels of b whose columns lie along k. Each line is read once, so none is fetched ahead here:
 * that is done while the panels before are multiplied. */
static void pack_columns_along(const element *from, int64_t right, int64_t count, int64_t depth,
                               float *to) {
    const bool half = ELEMENT == WN_DTYPE_BF16;
    const int64_t panel = TILE_N * panel_depth(depth);
    for (int64_t j = 0; j < count; j += VF)
        for (int64_t l = 0; l < depth; l += STEPS * VF) {
            int64_t n = depth - l < STEPS * VF ? depth - l : STEPS * VF;
            float *at = to + j / TILE_N * panel + l / STEPS * TILE_N + j % TILE_N;
            vf r[VF];
            pack_read_block(from + j * right + l, half, right, VF, n, r);
            vf_transpose(r);
            UNROLL
            for (int64_t s = 0; s < VF; s++)
                if (s < panel_depth(n)) vf_store(at + s * TILE_N, r[s]);
        }
}

/* Columns first .. first+count of b, each along k from l on. */
static void pack_panels(const wn_tensor *b, int64_t first, int64_t count, int64_t l, int64_t depth,
                        float *to) {
    const element *from = (const element *)b->data + l * b->stride[0] + first * b->stride[1];
    int64_t whole = b->dtype == ELEMENT ? count / TILE_N * TILE_N : 0;
    if (whole > 0 && b->stride[1] == 1)
        pack_columns_across(from, b->stride[0], whole, depth, to);
    else if (whole > 0)
        pack_columns_along(from, b->stride[1], whole, depth, to);
    if (whole < count)
        pack_b(b, first + whole, count - whole, l, depth, to + whole * panel_depth(depth));
}

ALWAYS vf multiply_add(vf a, vf b, vf sum) {
#if PAIRS
    return pairs_fma(a, b, sum);
#else
    return vf_fma(a, b, sum);
#endif
}

/* A float, or two numbers of 16 bits, which may stand at any even address. */
ALWAYS float scalar_at(const float *a) {
    float scalar;
    memcpy(&scalar, a, sizeof scalar);
    return scalar;
}

/* The sums of `rows` rows; along: a as it lies along k. */
ALWAYS void tile_sums(int rows, bool along, const tile_from *from, vf acc[TILE_M][2]) {
    const float *a = from->a, *b = from->b;
    const int64_t pitch = from->pitch;
    const tile_fetch fetch = from->fetch;
    UNROLL
    for (int i = 0; i < rows; i++)
        acc[i][0] = acc[i][1] = vf_zero();
    for (int64_t l = 0; l < from->depth; l++) {
        vf first = vf_load(b), second = vf_load(b + VF);
        fetch_line(&fetch, l);
        UNROLL
        for (int i = 0; i < rows; i++) {
            vf scalar = vf_set(scalar_at(a + (along ? i * pitch : i)));
            acc[i][0] = multiply_add(scalar, first, acc[i][0]);
            acc[i][1] = multiply_add(scalar, second, acc[i][1]);
        }
        a += along ? 1 : VF;
        b += TILE_N;
    }
}

/* n <= VF sums of row i, from column j on, with what is added to them. */
ALWAYS void put_some(const tile_to *to, int64_t i, int64_t j, vf sum, int64_t n) {
    float *sums = to->sums + i * to->stride + j;
    if (to->add) sum = vf_add(vf_get(sums, n), sum);
    if (!to->rounds) {
        vf_put(sums, sum, n);
        return;
    }
    const wn__matmul *p = to->p;
    int64_t at = (to->i + i) * p->c.stride[0] + to->j + j;
    if (p->accumulate) sum = vf_add(half_get(p->c.data, true, at, n), sum);
    if (wn__given(&p->bias)) sum = vf_add(sum, half_get(p->bias.data, true, to->j + j, n));
    half_put(p->c.data, true, at, sum, n);
}

/* A tile that is not whole, or to which more than sums is added. */
static void put_slowly(const tile_to *to, int rows, const float *tile, int64_t columns) {
    for (int i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j += VF)
            put_some(to, i, j, vf_load(tile + i * TILE_N + j), columns - j < VF ? columns - j : VF);
}

/* Two vectors of sums as bfloat16 numbers. */
ALWAYS void put_rounded(uint16_t *to, vf first, vf second) {
#if PAIRS
    _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(second, first));
#else
    half_put(to, true, 0, first, VF);
    half_put(to, true, VF, second, VF);
#endif
}

ALWAYS void put_tile(int rows, const tile_to *to, vf acc[TILE_M][2], int64_t columns) {
    const wn__matmul *p = to->p;
    bool slow =
        columns < TILE_N || (to->rounds && (to->add || p->accumulate || wn__given(&p->bias)));
    if (slow) {
        float tile[TILE_M * TILE_N];
        UNROLL
        for (int i = 0; i < rows; i++) {
            vf_store(tile + i * TILE_N, acc[i][0]);
            vf_store(tile + i * TILE_N + VF, acc[i][1]);
        }
        put_slowly(to, rows, tile, columns);
    } else if (to->rounds) {
        uint16_t *c = (uint16_t *)p->c.data + to->i * p->c.stride[0] + to->j;
        UNROLL
        for (int i = 0; i < rows; i++)
            put_rounded(c + i * p->c.stride[0], acc[i][0], acc[i][1]);
    } else {
        UNROLL
        for (int i = 0; i < rows; i++) {
            float *at = to->sums + i * to->stride;
            if (to->add) {
                acc[i][0] = vf_add(vf_load(at), acc[i][0]);
                acc[i][1] = vf_add(vf_load(at + VF), acc[i][1]);
            }
            vf_store(at, acc[i][0]);
            vf_store(at + VF, acc[i][1]);
        }
    }
}

/* The lines of a tile are on their way while its sums are made. */
ALWAYS void fetch_tile(int rows, const tile_to *to) {
    const wn__matmul *p = to->p;
    UNROLL
    for (int i = 0; i < rows; i++) {
        if (to->rounds) {
            const uint16_t *c = (const uint16_t *)p->c.data + (to->i + i) * p->c.stride[0] + to->j;
            _mm_prefetch((const char *)c, _MM_HINT_T0);
        } else {
            _mm_prefetch((const char *)(to->sums + i * to->stride), _MM_HINT_T0);
            _mm_prefetch((const char *)(to->sums + i * to->stride + VF), _MM_HINT_T0);
        }
    }
}

/* One function for each number of rows, so that its sums are registers. */
typedef void tile_fn(bool along, const tile_from *from, const tile_to *to, int64_t columns);
#define TILE_ROWS(rows)                                                                            \
    static void tile_##rows(bool along, const tile_from *from, const tile_to *to,                  \
                            int64_t columns) {                                                     \
        vf acc[TILE_M][2];                                                                         \
        fetch_tile(rows, to);                                                                      \
        if (along)                                                                                 \
            tile_sums(rows, true, from, acc);                                                      \
        else                                                                                       \
            tile_sums(rows, false, from, acc);                                                     \
        put_tile(rows, to, acc, columns);                                                          \
    }
TILE_ROWS(1)
TILE_ROWS(2)
TILE_ROWS(3)
TILE_ROWS(4)
TILE_ROWS(5)
TILE_ROWS(6)
TILE_ROWS(7)
TILE_ROWS(8)
TILE_ROWS(9)
TILE_ROWS(10)
TILE_ROWS(11)
TILE_ROWS(12)
TILE_ROWS(13)
TILE_ROWS(14)

/* Lines of `rows` pieces of `bytes` each. */
ALWAYS tile_fetch fetch_of(const void *at, int64_t rows, int64_t bytes, int64_t jump) {
    int shift = bytes < 64 ? 0 : 63 - __builtin_clzll((uint64_t)bytes / 64);
    if (jump == bytes) return (tile_fetch){at, rows * bytes / 64, 32, 0};
    return (tile_fetch){at, rows << shift, shift, jump};
}

/* What a slice of a block is made of. */
typedef struct rows_slice {
    const float *a, *b;
    int64_t pitch, depth; /* of rows of a; of panels of b */
    int64_t tile;         /* floats from one tile of a to the next */
    bool copies;          /* rows of a want the same lines of L1: a tile is copied first */
    tile_fetch soon;      /* what comes next of b, as it lies in memory */
} rows_slice;

/* Of the tile that comes next. */
ALWAYS tile_fetch next_tile(const rows_slice *s, bool along, int64_t i) {
    const float *next = s->a + (i / TILE_M + 1) * s->tile;
    if (!along) return fetch_of(next, s->depth, 64, 64);
    return fetch_of(next, TILE_M, s->depth * 4, s->pitch * 4);
}

/* Part `i` of `count`. */
ALWAYS tile_fetch part_of(const tile_fetch *f, int64_t i, int64_t count) {
    int64_t first = ((f->lines * i / count) >> f->shift), end = f->lines * (i + 1) / count;
    tile_fetch part = *f;
    if (f->jump == 0) {
        first = f->lines * i / count;
        part.at += first * 64;
        part.lines = end - first;
    } else {
        part.at += first * f->jump;
        part.lines = end - (first << f->shift);
    }
    return part;
}

#define COPY_PITCH (WN_AVX512_SLICE + VF)

static void copy_rows(const float *from, int64_t pitch, int64_t rows, int64_t depth, float *to) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t l = 0; l < depth; l += VF)
            vf_store(to + i * COPY_PITCH + l,
                     vf_get(from + i * pitch + l, depth - l < VF ? depth - l : VF));
}

/* One slice of k of one block of c. */
static void rows_product(const wn__matmul_block *at, const rows_slice *s, const tile_to *to) {
    static tile_fn *const of[TILE_M] = {tile_1,  tile_2,  tile_3,  tile_4, tile_5,
                                        tile_6,  tile_7,  tile_8,  tile_9, tile_10,
                                        tile_11, tile_12, tile_13, tile_14};
    _Alignas(64) float copy[TILE_M * COPY_PITCH];
    bool along = to->p->a.stride[1] == 1;
    int64_t tiles = (at->m + TILE_M - 1) / TILE_M, others = (at->n - 1) / TILE_N, part = 0;
    for (int64_t i = 0; i < at->m; i += TILE_M) {
        int64_t rows = at->m - i < TILE_M ? at->m - i : TILE_M;
        const float *a = s->a + i / TILE_M * s->tile;
        if (s->copies) copy_rows(a, s->pitch, rows, s->depth, copy);
        for (int64_t j = 0; j < at->n; j += TILE_N) {
            tile_from from = {.a = s->copies ? copy : a,
                              .b = s->b + j * s->depth,
                              .pitch = s->copies ? COPY_PITCH : s->pitch,
                              .depth = s->depth};
            from.fetch =
                j == 0 ? next_tile(s, along, i) : part_of(&s->soon, part++, tiles * others);
            tile_to tile = *to;
            tile.sums += i * to->stride + j;
            tile.i += i;
            tile.j += j;
            of[rows - 1](along, &from, &tile, at->n - j < TILE_N ? at->n - j : TILE_N);
        }
    }
}
