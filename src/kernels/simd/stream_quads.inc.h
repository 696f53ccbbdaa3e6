// SPDX-License-Identifier: MIT
/* INT4 2:4 with permutations of bytes and words across a whole register (VBMI) and products of bits
 * (GFNI): four groups of a lane, a quad, are a dword.
 *
 * Quad 0 is groups 0, 1, 4, 5, quad 1 groups 2, 3, 6, 7, so that both come of planes 0 and 1 put
 * together once, the second by a shift; quads 2 and 3 are groups 8..11 and 12..15. The numbers of
 * pairs look up where the columns of slot 0 and of slot 1 stand among 64, once for all tokens; each
 * token picks its bytes out of these 64 columns, x + 128 as they lie. One token comes as tables of
 * what the numbers would look up (32 bytes for each slot of a quad), so that it does not look up
 * columns first. A nibble q + 8 becomes the byte q by one product of bits: bits 0..2, and 7..3 the
 * complement of bit 3. Bytes of all quads are added before 128 sum(q) is made of them: 8 of them
 * stay within a byte.
 *
 * Up to QUAD_TURNS tokens take turns at a quad, as its weights wait for few of them; more take all
 * of a block two by two, begin with its offset, and read x once. Two tokens with two sums each are
 * four chains of products: with one alone, what waits for its sum fills the schedulers, and the
 * next block's numbers of pairs come late. */

enum { QUADS = 4, QUAD_TURNS = 6 };

/* Words of two lines together: l of plane (or half line) a and l of b as dword l. */
#define QUAD_WORDS(a, b)                                                                           \
    {                                                                                              \
        (a), (b), (a) + 1, (b) + 1, (a) + 2, (b) + 2, (a) + 3, (b) + 3, (a) + 4, (b) + 4, (a) + 5, \
            (b) + 5, (a) + 6, (b) + 6, (a) + 7, (b) + 7, (a) + 8, (b) + 8, (a) + 9, (b) + 9,       \
            (a) + 10, (b) + 10, (a) + 11, (b) + 11, (a) + 12, (b) + 12, (a) + 13, (b) + 13,        \
            (a) + 14, (b) + 14, (a) + 15, (b) + 15,                                                \
    }
static const _Alignas(64) uint16_t words_of_line[32] = QUAD_WORDS(0, 16);
static const _Alignas(64) uint16_t words_twice[32] = QUAD_WORDS(0, 0);
static const _Alignas(64) uint16_t words_of_two[2][32] = {QUAD_WORDS(0, 32), QUAD_WORDS(16, 48)};
#undef QUAD_WORDS

/* Columns of slot 0 and slot 1 among 64, by the number of the pair (of which there are six) and
 * eight times the place of the group in its quad. */
#define PAIR_FIRST(g) 4 * (g), 4 * (g), 4 * (g), 4 * (g) + 1, 4 * (g) + 1, 4 * (g) + 2, 0, 0
#define PAIR_SECOND(g)                                                                             \
    4 * (g) + 1, 4 * (g) + 2, 4 * (g) + 3, 4 * (g) + 2, 4 * (g) + 3, 4 * (g) + 3, 0, 0
#define QUAD_SLOT(of, g, h) of(g), of((g) + 1), of(h), of((h) + 1)
#define QUAD_COLUMNS(g, h)                                                                         \
    {                                                                                              \
        {QUAD_SLOT(PAIR_FIRST, g, h), QUAD_SLOT(PAIR_FIRST, g, h)},                                \
            {QUAD_SLOT(PAIR_SECOND, g, h), QUAD_SLOT(PAIR_SECOND, g, h)},                          \
    }
static const _Alignas(64) uint8_t quad_columns[QUADS][2][64] = {
    QUAD_COLUMNS(0, 4), QUAD_COLUMNS(2, 6), QUAD_COLUMNS(8, 10), QUAD_COLUMNS(12, 14)};
#undef PAIR_FIRST
#undef PAIR_SECOND
#undef QUAD_SLOT
#undef QUAD_COLUMNS

/* Of a block: planes 0 and 1, and plane 2 twice. */
typedef struct quad_planes {
    vi both, last;
} quad_planes;

/* Of a quad both slots: what picks x, and q. */
typedef struct quad {
    vi pick[2], q[2];
} quad;

ALWAYS vi words_by(const uint16_t *order, const uint8_t *line) {
    return _mm512_permutexvar_epi16(vi_load(order), vi_load(line));
}

ALWAYS quad_planes planes_of(const uint8_t *w) {
    return (quad_planes){.both = words_by(words_of_line, w + 32),
                         .last = words_by(words_twice, w + 96)};
}

/* Numbers of the pairs of a quad, and eight times the place of each group. */
ALWAYS vi quad_numbers(const quad_planes *in, int p) {
    const vi places = _mm512_set1_epi32(0x18100800);
    if (p == 0) return and_or(in->both, each_byte(7), places);
    if (p == 1) return and_or(_mm512_srli_epi16(in->both, 3), each_byte(7), places);
    if (p == 2) {
        vi pairs = _mm512_srlv_epi16(in->last, _mm512_set1_epi32(0x00030000));
        return and_or(pairs, each_byte(7), places);
    }
    vi four = _mm512_srlv_epi16(in->last, _mm512_set1_epi32(0x00050004));
    four = and_or(four, each_byte(4), places);
    return and_or(_mm512_srli_epi16(in->both, 6), each_byte(3), four);
}

/* Nibbles of a quad of block w as q; the quad's lines are fetched for a later block. */
ALWAYS void quad_weights(const uint8_t *w, int p, int64_t ahead, int64_t far, vi q[2]) {
    fetch_lines_far(w, p < 2 ? 128 * p : 64 * p + 128, p < 2 ? 128 * p + 128 : 64 * p + 192, ahead,
                    far);
    vi both = p < 2 ? _mm512_permutex2var_epi16(vi_load(w + 128), vi_load(words_of_two[p]),
                                                vi_load(w + 192))
                    : words_by(words_of_line, w + 128 + 64 * p);
    const vi low = _mm512_set1_epi64(0x0102040808080808), high = _mm512_slli_epi64(low, 4);
    q[0] = _mm512_gf2p8affine_epi64_epi8(both, low, 0xF8);
    q[1] = _mm512_gf2p8affine_epi64_epi8(both, high, 0xF8);
}

ALWAYS quad quad_of(const uint8_t *w, const quad_planes *in, int p, int64_t ahead) {
    quad it;
    vi numbers = quad_numbers(in, p);
    UNROLL
    for (int s = 0; s < 2; s++)
        it.pick[s] = _mm512_permutexvar_epi8(numbers, vi_load(quad_columns[p][s]));
    quad_weights(w, p, ahead, FETCH_FAR, it.q);
    return it;
}

/* 128 sum(q) of bytes that hold the sums of eight. */
ALWAYS vi offset_of(vi all) {
    return _mm512_dpbusd_epi32(_mm512_setzero_si512(), each_byte(0x80), all);
}

ALWAYS vi add_picked(vi sum, const quad *it, int slot, vi x) {
    return add_dots(sum, _mm512_permutexvar_epi8(it->pick[slot], x), it->q[slot]);
}

/* Sums of a block of one token, whose x is tables. */
ALWAYS vi table_sum(const uint8_t *w, const uint8_t *tables, int64_t ahead, int64_t far) {
    const quad_planes planes = planes_of(w);
    vi all = _mm512_setzero_si512(), sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    UNROLL
    for (int p = 0; p < QUADS; p++) {
        vi numbers = quad_numbers(&planes, p), q[2];
        quad_weights(w, p, ahead, far, q);
        all = _mm512_add_epi8(all, _mm512_add_epi8(q[0], q[1]));
        const vi x = vi_load(tables + 64 * p);
        sums[0] = add_dots(sums[0], _mm512_permutexvar_epi8(numbers, x), q[0]);
        numbers = _mm512_or_si512(numbers, each_byte(32));
        sums[1] = add_dots(sums[1], _mm512_permutexvar_epi8(numbers, x), q[1]);
    }
    return _mm512_sub_epi32(_mm512_add_epi32(sums[0], sums[1]), offset_of(all));
}

/* Tokens take turns at each quad. */
ALWAYS void few_sums(int tokens, const uint8_t *w, const int_rows *r, int64_t b, int64_t ahead,
                     vi *sums) {
    const quad_planes planes = planes_of(w);
    vi all = _mm512_setzero_si512();
    UNROLL
    for (int t = 0; t < tokens; t++)
        sums[t] = _mm512_setzero_si512();
    UNROLL
    for (int p = 0; p < QUADS; p++) {
        const quad it = quad_of(w, &planes, p, ahead);
        all = _mm512_add_epi8(all, _mm512_add_epi8(it.q[0], it.q[1]));
        UNROLL
        for (int t = 0; t < tokens; t++) {
            vi x = vi_load(r->x + t * r->down + 64 * b);
            sums[t] = add_picked(add_picked(sums[t], &it, 0, x), &it, 1, x);
        }
    }
    vi offset = offset_of(all);
    UNROLL
    for (int t = 0; t < tokens; t++)
        sums[t] = _mm512_sub_epi32(sums[t], offset);
}

/* All of a block for one token after the other. */
typedef struct quad_block {
    quad of[QUADS];
    vi minus; /* the offset */
} quad_block;

ALWAYS quad_block quads_of(const uint8_t *w, int64_t ahead) {
    const quad_planes planes = planes_of(w);
    vi all = _mm512_setzero_si512();
    quad_block block;
    UNROLL
    for (int p = 0; p < QUADS; p++) {
        block.of[p] = quad_of(w, &planes, p, ahead);
        all = _mm512_add_epi8(all, _mm512_add_epi8(block.of[p].q[0], block.of[p].q[1]));
    }
    block.minus = _mm512_sub_epi32(_mm512_setzero_si512(), offset_of(all));
    return block;
}

/* Sums of n tokens of two, whose x stays in its register for eight picks. */
ALWAYS void block_sums(int n, const quad_block *block, const uint8_t *columns, int64_t down,
                       vi *to) {
    vi x[2], sums[2][2];
    UNROLL
    for (int t = 0; t < n; t++) {
        x[t] = vi_load(columns + t * down);
        __asm__("" : "+v"(x[t]));
        sums[t][0] = block->minus;
        sums[t][1] = _mm512_setzero_si512();
    }
    UNROLL
    for (int i = 0; i < 2 * QUADS; i++) {
        UNROLL
        for (int t = 0; t < n; t++)
            sums[t][i % 2] = add_picked(sums[t][i % 2], &block->of[i / 2], i % 2, x[t]);
    }
    UNROLL
    for (int t = 0; t < n; t++)
        to[t] = _mm512_add_epi32(sums[t][0], sums[t][1]);
}

/* Adds the sums of tokens t0 .. t1 - 1 in block b. */
ALWAYS void add_sums(int t0, int t1, int tokens, const vi *sums, vf scales, const int_rows *r,
                     int64_t b, kept_sums *kept, float *to) {
    UNROLL
    for (int t = t0; t < t1; t++)
        add_sum(tokens, t, sums[t], vf_mul(scales, vf_set(scale_of_group(r, t, b))), kept, to);
}

/* A pass over INT4 2:4 weights. */
ALWAYS void quads_pass(int tokens, bool tables, const uint8_t *w, const int_rows *r, int64_t blocks,
                       int64_t ahead, float *to) {
    kept_sums kept;
    keep_sums(tokens, to, &kept);
    for (int64_t b = 0; b < blocks; b++, w += 384) {
        const vf scales = scales_of(w, 0);
        vi sums[WN_STREAM_BATCH];
        if (tables) {
            sums[0] = table_sum(w, r->x + 256 * b, ahead, r->far);
        } else if (tokens <= QUAD_TURNS) {
            few_sums(tokens, w, r, b, ahead, sums);
        } else {
            const quad_block block = quads_of(w, ahead);
            UNROLL
            for (int t = 0; t < tokens; t += 2) {
                const int n = tokens - t < 2 ? 1 : 2;
                block_sums(n, &block, r->x + t * r->down + 64 * b, r->down, sums + t);
                add_sums(t, t + n, tokens, sums, scales, r, b, &kept, to);
            }
            continue;
        }
        add_sums(0, tokens, tokens, sums, scales, r, b, &kept, to);
    }
    put_sums(tokens, &kept, to);
}

/* Tables of a group of 64 columns: x + 128. */
ALWAYS void lay_quads(const int8_t *q, uint8_t *to) {
    vi x = _mm512_xor_si512(vi_load(q), each_byte(0x80));
    UNROLL
    for (int p = 0; p < QUADS; p++) {
        UNROLL
        for (int s = 0; s < 2; s++)
            _mm256_storeu_si256(
                (__m256i *)(void *)(to + 64 * p + 32 * s),
                _mm512_castsi512_si256(_mm512_permutexvar_epi8(vi_load(quad_columns[p][s]), x)));
    }
}
