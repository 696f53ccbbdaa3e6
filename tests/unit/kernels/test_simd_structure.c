// SPDX-License-Identifier: MIT
// The vector variants of the 2:4 ops against the reference, bit for bit: masks, packing, unpacking,
// flips and decay, on random weights, on weights full of ties, on denormals, infinities and signed
// zeros, at every size of tail, in strided and misaligned views, with one thread and with three.
// Refusals must be in the words of the reference, which name the first fault.
#include "base/cpu.h"
#include "kernels/mask24.h"
#include "kernels/pack24.h"
#include "ref_test.h"

typedef enum kind { NORMAL, TIES, TINY, INFINITE, COARSE, KINDS } kind;

static float draw(kind k, uint64_t seed, uint64_t i) {
    float word[4];
    wn__philox_normal(seed, WN_STREAM_TEST, i, word);
    uint64_t pick = wn__philox_below(seed + 1000, WN_STREAM_TEST, i, 8);
    uint32_t bits;
    switch (k) {
    case TIES:
        return copysignf((float)(pick % 3), word[0]);
    case TINY:
        return pick < 2 ? copysignf(0, word[0]) : word[0] * 0x1p-147F;
    case INFINITE:
        return pick == 0 ? copysignf(INFINITY, word[0]) : pick == 1 ? word[0] * 0x1p126F : word[0];
    case COARSE: // as after rounding to bf16: few distinct sums
        memcpy(&bits, word, 4);
        bits &= 0xFFFF0000U;
        memcpy(word, &bits, 4);
        return word[0];
    default:
        return word[0];
    }
}

// A view of r x c elements of `size` bytes, rows `pad` elements longer than c, one element past an
// aligned address; every byte outside is 0xA5, and so is every byte inside until it is written.
typedef struct room {
    unsigned char *block;
    size_t bytes;
    wn_tensor t;
} room;

static room room_of(wn_dtype dtype, int64_t r, int64_t c, int64_t pad) {
    size_t size = wn_dtype_size(dtype);
    room m = {.bytes = (size_t)(r * (c + pad) + 16) * size};
    m.block = zeros(m.bytes);
    memset(m.block, 0xA5, m.bytes);
    m.t = wn__tensor2(m.block + size, dtype, r, c);
    m.t.stride[0] = c + pad;
    return m;
}
static room weights(kind k, int64_t r, int64_t c, int64_t pad, uint64_t seed) {
    room m = room_of(WN_DTYPE_F32, r, c, pad);
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j < c; j++)
            ((float *)m.t.data)[i * (c + pad) + j] = draw(k, seed, (uint64_t)(i * c + j));
    return m;
}
static float *entry(const room *m, int64_t i, int64_t j) {
    return (float *)m->t.data + i * m->t.stride[0] + j;
}
// Every variant of an op but ref that runs here.
typedef struct variants {
    const wn__kernel *kernel[8];
    int count;
} variants;

static variants variants_of(wn__op op) {
    variants v = {0};
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    for (size_t i = 0; i < rows; i++)
        if (table[i].op == op && strcmp(table[i].variant, "ref") != 0 &&
            (table[i].needs & ~wn__cpu_flags()) == 0)
            v.kernel[v.count++] = table + i;
    return v;
}

static wn__pool *pool; // three threads

// Arguments of an op and the rooms of its outputs, NULL at the end.
typedef struct trial {
    wn__op op;
    const void *args;
    room *out[5];
} trial;

// The bytes of every output, in copies or back from them.
static void save(const trial *t, unsigned char *copy[5]) {
    for (int o = 0; t->out[o]; o++) {
        copy[o] = zeros(t->out[o]->bytes);
        memcpy(copy[o], t->out[o]->block, t->out[o]->bytes);
    }
}
static void restore(const trial *t, unsigned char *const copy[5]) {
    for (int o = 0; t->out[o]; o++)
        memcpy(t->out[o]->block, copy[o], t->out[o]->bytes);
}

// Runs ref, then each variant without a pool and with one, all from the same outputs, and compares
// every byte of them. A refusal must be that of ref.
static void run_trial(const trial *t) {
    unsigned char *before[5] = {0}, *expected[5] = {0};
    char words[256] = "";
    size_t rows;
    const wn__kernel *ref = wn__kernel_table(&rows);
    while (ref->op != t->op || strcmp(ref->variant, "ref") != 0)
        ref++;
    wn__exec x = one_thread();
    save(t, before);
    wn_status status = wn__run_kernel(&x, ref, t->args);
    if (status != WN_OK) snprintf(words, sizeof words, "%s", wn_last_error());
    save(t, expected);
    variants v = variants_of(t->op);
    for (int i = 0; i < 2 * v.count; i++) {
        restore(t, before);
        x.pool = i % 2 ? pool : NULL;
        assert_int_equal(wn__run_kernel(&x, v.kernel[i / 2], t->args), status);
        if (status != WN_OK) assert_string_equal(wn_last_error(), words);
        for (int o = 0; status == WN_OK && t->out[o]; o++)
            assert_memory_equal(t->out[o]->block, expected[o], t->out[o]->bytes);
    }
    restore(t, before);
    for (int o = 0; t->out[o]; o++) {
        free(before[o]);
        free(expected[o]);
    }
}

// ---- mask24

static void try_mask(const room *w, wn__mask24_method method) {
    room mask = room_of(WN_DTYPE_U8, w->t.shape[0], (w->t.shape[1] + 3) / 4, 0);
    const wn__mask24 args = {w->t, mask.t, method};
    run_trial(&(trial){WN__OP_mask24, &args, {&mask}});
    free(mask.block);
}

static void test_row_masks(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++)
        for (int64_t c = 0; c < 140; c += c < 70 ? 1 : 23) {
            room w = weights((kind)k, 5, c, c % 3, (uint64_t)(100 * k + c));
            try_mask(&w, WN_MASK24_ROW);
            free(w.block);
        }
}

// Every weak order of a group's magnitudes, at once.
static void test_row_every_order(void **state) {
    (void)state;
    room w = room_of(WN_DTYPE_F32, 1, 4 * 4096, 0);
    for (int64_t code = 0; code < 4096; code++)
        for (int64_t j = 0; j < 4; j++) {
            int64_t digit = code >> (3 * j) & 7;
            *entry(&w, 0, 4 * code + j) = copysignf((float)(digit & 3), digit & 4 ? -1 : 1);
        }
    try_mask(&w, WN_MASK24_ROW);
    free(w.block);
}

static void test_tile_masks(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++)
        for (int64_t c = 0; c < 300; c += c < 136 ? 4 : 52) {
            room w = weights((kind)k, 12, c, c % 3, (uint64_t)(1000 * k + c));
            try_mask(&w, WN_MASK24_TILE);
            free(w.block);
        }
}

// Many tiles of few magnitudes, where the lowest index decides almost always; and sums that tie
// only once they are rounded.
static void test_tile_ties(void **state) {
    (void)state;
    static const float small[4] = {0, 1, 2, 3}, rounding[4] = {1, 0x1p24F, 1, 0x1p-1F};
    for (int set = 0; set < 2; set++) {
        const float *from = set ? rounding : small;
        room w = room_of(WN_DTYPE_F32, 64, 1024, 0);
        for (int64_t i = 0; i < 64; i++)
            for (int64_t j = 0; j < 1024; j++)
                *entry(&w, i, j) =
                    from[wn__philox_below(7, WN_STREAM_TEST, (uint64_t)(1024 * i + j), 4)];
        try_mask(&w, WN_MASK24_TILE);
        free(w.block);
    }
}

// Each of the 90 masks is the best of some tile, in every lane.
static void test_tile_every_mask(void **state) {
    (void)state;
    room w = room_of(WN_DTYPE_F32, 4, 4 * 90 * 17, 0);
    for (int64_t t = 0; t < 90 * 17; t++)
        for (int64_t i = 0; i < 16; i++)
            *entry(&w, i / 4, 4 * t + i % 4) = (float)(wn__tile_masks24[t % 90] >> i & 1);
    try_mask(&w, WN_MASK24_TILE);
    room mask = room_of(WN_DTYPE_U8, 4, 90 * 17, 0);
    const wn__mask24 args = {w.t, mask.t, WN_MASK24_TILE};
    wn__exec x = one_thread();
    assert_ok(wn__run(&x, WN__OP_mask24, &args));
    for (int64_t t = 0; t < 90 * 17; t++)
        for (int64_t i = 0; i < 4; i++)
            assert_int_equal(((uint8_t *)mask.t.data)[i * 90 * 17 + t],
                             wn__tile_masks24[t % 90] >> (4 * i) & 15);
    free(w.block);
    free(mask.block);
}

static void test_nan_is_named(void **state) {
    (void)state;
    for (int64_t at = 0; at < 8 * 140; at += 3) {
        room w = weights(INFINITE, 8, 140, 1, (uint64_t)at);
        *entry(&w, at / 140, at % 140) = copysignf(NAN, at % 2 ? -1 : 1);
        *entry(&w, 7, 139) = NAN;
        try_mask(&w, WN_MASK24_ROW);
        try_mask(&w, WN_MASK24_TILE);
        free(w.block);
    }
}

static void test_greedy_masks(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++)
        for (int64_t c = 0; c < 136; c += c < 72 ? 4 : 32) {
            room w = weights((kind)k, 12, c, c % 3, (uint64_t)(3000 * k + c));
            try_mask(&w, WN_MASK24_GREEDY);
            free(w.block);
        }
}

// ---- pack24

typedef enum outputs { ROWS = 1, COLUMNS = 2, BOTH = 3 } outputs;

static void try_pack(const room *w, const room *mask, outputs which) {
    int64_t r = w->t.shape[0], c = w->t.shape[1], g = (c + 3) / 4, gt = (r + 3) / 4;
    room values = room_of(WN_DTYPE_F32, r, 2 * g, 0),
         index = room_of(WN_DTYPE_U8, r, (g + 1) / 2, 0);
    room values_t = room_of(WN_DTYPE_F32, c, 2 * gt, 0);
    room index_t = room_of(WN_DTYPE_U8, c, (gt + 1) / 2, 0);
    wn__pack24 args = {.w = w->t, .mask = mask->t};
    if (which & ROWS) args.values = values.t, args.index = index.t;
    if (which & COLUMNS) args.values_t = values_t.t, args.index_t = index_t.t;
    run_trial(&(trial){WN__OP_pack24, &args, {&values, &index, &values_t, &index_t}});
    free(values.block);
    free(index.block);
    free(values_t.block);
    free(index_t.block);
}

// At most two of any group, and of any column of a block of 4 rows if transposable: kept with
// probability 1/2 while there is room.
static room random_mask(int64_t r, int64_t c, bool transposable, uint64_t seed) {
    room m = room_of(WN_DTYPE_U8, r, (c + 3) / 4, 0);
    uint8_t *mask = m.t.data;
    int64_t groups = (c + 3) / 4;
    memset(mask, 0, (size_t)(r * groups));
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j < c; j++) {
            uint8_t *group = mask + i * groups + j / 4;
            int inside = __builtin_popcount(*group), above = 0;
            for (int64_t k = i / 4 * 4; k < i; k++)
                above += mask[k * groups + j / 4] >> (j % 4) & 1;
            if (inside == 2 || (transposable && above == 2)) continue;
            *group |= (uint8_t)(wn__philox_below(seed, WN_STREAM_TEST, (uint64_t)(i * c + j), 2)
                                << (j % 4));
        }
    return m;
}

static void fill_special(const room *w) { // bits that arithmetic would not keep
    static const uint32_t bits[4] = {0x80000000, 0x7FA00001, 0xFFC12345, 0x00000001};
    for (int64_t i = 0; i < w->t.shape[0]; i++)
        for (int64_t j = i % 3; j < w->t.shape[1]; j += 3)
            memcpy(entry(w, i, j), bits + (i + j) % 4, 4);
}

static void try_pack_size(int64_t r, int64_t c) {
    for (int transposable = 0; transposable < 2; transposable++) {
        room w = weights(NORMAL, r, c, c % 4, (uint64_t)(r + c));
        fill_special(&w);
        room mask = random_mask(r, c, transposable, (uint64_t)(r * 31 + c));
        try_pack(&w, &mask, ROWS);
        try_pack(&w, &mask, COLUMNS); // refused unless transposable or lucky
        try_pack(&w, &mask, BOTH);
        free(w.block);
        free(mask.block);
    }
}

static void test_pack_sizes(void **state) {
    (void)state;
    for (int64_t c = 0; c < 68; c++)
        try_pack_size(9, c);
    for (int64_t r = 0; r < 68; r++)
        try_pack_size(r, 13);
    static const int64_t sizes[][2] = {{130, 70}, {33, 515}, {260, 1030}, {1, 129}, {128, 512}};
    for (int64_t i = 0; i < LENGTH(sizes); i++)
        try_pack_size(sizes[i][0], sizes[i][1]);
}

// Each of the 90 masks, as the vector variants choose them.
static void test_pack_of_tiles(void **state) {
    (void)state;
    room w = weights(NORMAL, 64, 1024, 0, 3), mask = room_of(WN_DTYPE_U8, 64, 256, 0);
    const wn__mask24 choose = {w.t, mask.t, WN_MASK24_TILE};
    wn__exec x = one_thread();
    assert_ok(wn__run(&x, WN__OP_mask24, &choose));
    try_pack(&w, &mask, BOTH);
    free(w.block);
    free(mask.block);
}

// A room whose tensor begins a cache line.
static room aligned_room(wn_dtype dtype, int64_t r, int64_t c) {
    room m = room_of(dtype, r, c, 64);
    m.t = wn__tensor2(m.block + (64 - (uintptr_t)m.block % 64) % 64, dtype, r, c);
    return m;
}

// Outputs so large and so placed that they are written past the caches; the last rows and columns
// are short of a group.
static void test_pack_streams(void **state) {
    (void)state;
    const int64_t n = 2078, g = 520;
    room w = aligned_room(WN_DTYPE_F32, n, n), mask = aligned_room(WN_DTYPE_U8, n, g);
    room values = aligned_room(WN_DTYPE_F32, n, 2 * g), index = aligned_room(WN_DTYPE_U8, n, g / 2);
    room values_t = aligned_room(WN_DTYPE_F32, n, 2 * g);
    room index_t = aligned_room(WN_DTYPE_U8, n, g / 2);
    for (int64_t i = 0; i < n * n; i++)
        ((uint32_t *)w.t.data)[i] = (uint32_t)i * 2654435761U;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < g; j++) {
            unsigned tile = wn__tile_masks24[(i / 4 * 7 + j * 13) % 90];
            ((uint8_t *)mask.t.data)[i * g + j] =
                (uint8_t)(tile >> (i % 4 * 4) & (j == g - 1 ? 3 : 15));
        }
    const wn__pack24 args = {w.t, mask.t, values.t, index.t, values_t.t, index_t.t};
    run_trial(&(trial){WN__OP_pack24, &args, {&values, &index, &values_t, &index_t}});
    room *all[6] = {&w, &mask, &values, &index, &values_t, &index_t};
    for (int i = 0; i < 6; i++)
        free(all[i]->block);
}

static void test_pack_refusals(void **state) {
    (void)state;
    for (int64_t at = 0; at < 9 * 20; at++) {
        room w = weights(NORMAL, 9, 78, 0, 1), mask = random_mask(9, 78, true, (uint64_t)at);
        uint8_t *bytes = mask.t.data;
        static const uint8_t wrong[5] = {0x7, 0xF, 0xB, 0x10, 0x83};
        bytes[at] = wrong[at % 5];
        bytes[179] = at % 2 ? 0x4 : 0x3; // beyond column 77, or not
        try_pack(&w, &mask, at % 2 ? ROWS : BOTH);
        free(w.block);
        free(mask.block);
    }
    for (int64_t j = 0; j < 78; j++) { // three in a column
        room w = weights(NORMAL, 12, 78, 0, 1), mask = room_of(WN_DTYPE_U8, 12, 20, 0);
        memset(mask.t.data, 0, 12 * 20);
        for (int64_t i = 5; i < 8; i++)
            ((uint8_t *)mask.t.data)[20 * i + j / 4] = (uint8_t)(1 << j % 4);
        try_pack(&w, &mask, ROWS);
        try_pack(&w, &mask, COLUMNS);
        free(w.block);
        free(mask.block);
    }
}

// ---- unpack24

// A legal packed matrix; zeros in the padding.
static void random_packed(const room *values, const room *index, int64_t c, uint64_t seed) {
    static const uint8_t legal[6] = {0x4, 0x8, 0xC, 0x9, 0xD, 0xE};
    int64_t r = values->t.shape[0], groups = values->t.shape[1] / 2, bytes = index->t.shape[1];
    for (int64_t i = 0; i < r; i++)
        for (int64_t g = 0; g < groups; g++) {
            unsigned nibble =
                legal[wn__philox_below(seed, WN_STREAM_TEST, (uint64_t)(i * groups + g), 6)];
            uint8_t *byte = (uint8_t *)index->t.data + i * bytes + g / 2;
            *byte = (uint8_t)(g % 2 ? (*byte & 15U) | nibble << 4 : nibble | seed % 16 << 4);
            for (int slot = 0; slot < 2; slot++)
                if (4 * g + (nibble >> (2 * slot) & 3) >= c)
                    *entry(values, i, 2 * g + slot) = slot ? -0.0F : 0;
        }
}

static void test_unpack(void **state) {
    (void)state;
    for (int64_t c = 0; c < 200; c += c < 140 ? 1 : 17) {
        int64_t g = (c + 3) / 4;
        room values = weights(NORMAL, 7, 2 * g, 0, (uint64_t)c);
        fill_special(&values);
        room index = room_of(WN_DTYPE_U8, 7, (g + 1) / 2, 0),
             w = room_of(WN_DTYPE_F32, 7, c, c % 3);
        random_packed(&values, &index, c, (uint64_t)c);
        const wn__unpack24 args = {values.t, index.t, w.t};
        run_trial(&(trial){WN__OP_unpack24, &args, {&w}});
        wn__exec x = one_thread();
        assert_ok(wn__run(&x, WN__OP_unpack24, &args)); // the case was one to run
        if (c % 4) {                                    // a value, or NaN, beyond the last column
            ((uint8_t *)index.t.data)[6 * ((g + 1) / 2) + (g - 1) / 2] = 0xEE;
            *entry(&values, 6, 2 * g - 1) = c % 2 ? NAN : 1;
            run_trial(&(trial){WN__OP_unpack24, &args, {&w}});
            assert_refused(wn__run(&x, WN__OP_unpack24, &args), "puts a value in column");
        }
        free(values.block);
        free(index.block);
        free(w.block);
    }
}

static void test_unpack_refusals(void **state) {
    (void)state;
    static const unsigned wrong[10] = {0, 1, 2, 3, 5, 6, 7, 10, 11, 15};
    for (int64_t at = 0; at < 5 * 35; at++) {
        room values = weights(NORMAL, 5, 70, 0, 1), index = room_of(WN_DTYPE_U8, 5, 18, 0);
        room w = room_of(WN_DTYPE_F32, 5, 140, 0);
        random_packed(&values, &index, 140, (uint64_t)at);
        uint8_t *byte = (uint8_t *)index.t.data + at / 35 * 18 + at % 35 / 2;
        unsigned nibble = wrong[at % 10];
        *byte = (uint8_t)(at % 35 % 2 ? (*byte & 15U) | nibble << 4 : (*byte & 0xF0U) | nibble);
        const wn__unpack24 args = {values.t, index.t, w.t};
        run_trial(&(trial){WN__OP_unpack24, &args, {&w}});
        wn__exec x = one_thread();
        assert_refused(wn__run(&x, WN__OP_unpack24, &args), "does not ascend");
        free(values.block);
        free(index.block);
        free(w.block);
    }
}

// ---- flips24, decay24

static void test_flips(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{0, 5},  {3, 0},   {1, 1},    {3, 31},
                                       {5, 64}, {7, 257}, {300, 999}};
    for (int64_t i = 0; i < LENGTH(sizes); i++) {
        int64_t r = sizes[i][0], g = sizes[i][1];
        room a = room_of(WN_DTYPE_U8, r, g, 0), b = room_of(WN_DTYPE_U8, r, g, 0);
        room count = room_of(WN_DTYPE_I64, 1, 1, 0);
        for (int64_t k = 0; k < r * g; k++) {
            ((uint8_t *)a.t.data)[k] =
                (uint8_t)wn__philox_below(1, WN_STREAM_TEST, (uint64_t)k, 256);
            ((uint8_t *)b.t.data)[k] =
                (uint8_t)wn__philox_below(2, WN_STREAM_TEST, (uint64_t)k, 256);
        }
        const wn__flips24 args = {a.t, b.t, wn__tensor1(count.t.data, WN_DTYPE_I64, 1)};
        run_trial(&(trial){WN__OP_flips24, &args, {&count}});
        free(a.block);
        free(b.block);
        free(count.block);
    }
}

static void test_decay(void **state) {
    (void)state;
    static const double lambdas[3] = {2e-4, -0.1, 1e300};
    for (int k = 0; k < KINDS; k++)
        for (int64_t c = 0; c < 140; c++) {
            room w = weights((kind)k, 5, c, 0, (uint64_t)c);
            room g = weights((kind)((k + 1) % KINDS), 5, c, 0, (uint64_t)(c + 500));
            if (c % 2) fill_special(&g);
            room mask = random_mask(5, c, false, (uint64_t)c);
            const wn__decay24 args = {w.t, mask.t, g.t, lambdas[c % 3]};
            run_trial(&(trial){WN__OP_decay24, &args, {&g}});
            free(w.block);
            free(g.block);
            free(mask.block);
        }
}

int main(void) {
    if (wn__pool_create(3, &pool) != WN_OK) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_masks),       cmocka_unit_test(test_row_every_order),
        cmocka_unit_test(test_tile_masks),      cmocka_unit_test(test_tile_ties),
        cmocka_unit_test(test_tile_every_mask), cmocka_unit_test(test_nan_is_named),
        cmocka_unit_test(test_greedy_masks),    cmocka_unit_test(test_pack_sizes),
        cmocka_unit_test(test_pack_of_tiles),   cmocka_unit_test(test_pack_refusals),
        cmocka_unit_test(test_pack_streams),    cmocka_unit_test(test_unpack),
        cmocka_unit_test(test_unpack_refusals), cmocka_unit_test(test_flips),
        cmocka_unit_test(test_decay),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    wn__pool_free(pool);
    return failed;
}
