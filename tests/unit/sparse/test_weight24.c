// SPDX-License-Identifier: MIT
// The 2:4 weight: sizes, mask choices and flips, packs against the masked master, planning, and
// what is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "kernels/columns24.h"
#include "kernels/runtime.h"
#include "kernels/spmm24.h"
#include "sparse/pattern24.h"
#include "sparse/weight24.h"

static void assert_ok(wn_status status) {
    if (status != WN_OK) fail_msg("%s: %s", wn_status_name(status), wn_last_error());
}

static void assert_refused(wn_status status, const char *words) {
    assert_int_equal(status, WN_INVALID);
    if (!strstr(wn_last_error(), words)) fail_msg("\"%s\" lacks \"%s\"", wn_last_error(), words);
}

typedef struct bench {
    wn__runtime *rt;
    wn__arena arena;
    wn__weight24 weight;
    wn_tensor w;
} bench;

static void fill(const wn_tensor *w, uint64_t seed) {
    for (int64_t i = 0; i < wn__tensor_count(w); i++) {
        float z[4];
        wn__philox_normal(seed, WN_STREAM_TEST, (uint64_t)i / 4, z);
        ((float *)w->data)[i] = z[i % 4];
    }
}

// Measures, reserves exactly that, allocates again, plans one step and fills w.
static void open_bench(bench *b, wn__weight24_spec spec) {
    memset(b, 0, sizeof *b);
    assert_ok(wn__runtime_create(2, NULL, false, &b->rt));
    wn__arena count;
    wn__arena_measure("weights", &count);
    assert_ok(wn__weight24_alloc(&count, &spec, &b->weight));
    assert_ok(wn__tensor_alloc2(&count, spec.dtype, spec.r, spec.c, &b->w));
    int64_t flips = 0;
    wn__runtime_plan_begin(b->rt);
    assert_ok(wn__weight24_choose(&b->weight, &b->rt->exec, &b->w, &flips));
    assert_int_equal(flips, -1);
    assert_ok(wn__weight24_pack(&b->weight, &b->rt->exec, &b->w));
    assert_ok(wn__weight24_make(&b->weight, &b->rt->exec, &b->w, &flips));
    assert_ok(wn__runtime_plan_end(b->rt));
    assert_false(b->weight.chosen);
    assert_ok(wn__arena_create("weights", count.used, &b->arena));
    assert_ok(wn__weight24_alloc(&b->arena, &spec, &b->weight));
    assert_ok(wn__tensor_alloc2(&b->arena, spec.dtype, spec.r, spec.c, &b->w));
    assert_int_equal(b->arena.used, count.used);
    fill(&b->w, 1);
}

static void close_bench(bench *b) {
    wn__arena_free(&b->arena);
    wn__runtime_free(b->rt);
}

static int kept_at(const wn_tensor *mask, int64_t i, int64_t j) {
    return ((const uint8_t *)mask->data)[i * mask->shape[1] + j / 4] >> (j % 4) & 1;
}

static wn__weight24_spec spec_of(int64_t r, int64_t c, wn__mask24_method method, bool renews,
                                 bool backward) {
    return (wn__weight24_spec){WN_DTYPE_F32, r, c, method, renews, backward};
}

// Whether a variant of the op was planned or run.
static bool was_used(const bench *b, wn__op op) {
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    for (size_t i = 0; i < rows; i++)
        if (table[i].op == op && b->rt->used[i]) return true;
    return false;
}

// Choosing and packing at once gives what the two give one after the other, at first and anew.
static void test_make(void **state) {
    (void)state;
    static const wn__mask24_method methods[] = {WN_MASK24_ROW, WN_MASK24_TILE, WN_MASK24_GREEDY};
    for (size_t n = 0; n < sizeof methods / sizeof *methods; n++) {
        bench one, two;
        open_bench(&one, spec_of(20, 76, methods[n], true, true));
        open_bench(&two, spec_of(20, 76, methods[n], true, true));
        for (uint64_t turn = 0; turn < 2; turn++) {
            int64_t first, second;
            fill(&one.w, 7 + turn);
            fill(&two.w, 7 + turn);
            assert_ok(wn__weight24_make(&one.weight, &one.rt->exec, &one.w, &first));
            assert_ok(wn__weight24_choose(&two.weight, &two.rt->exec, &two.w, &second));
            assert_ok(wn__weight24_pack(&two.weight, &two.rt->exec, &two.w));
            assert_int_equal(first, second);
            const wn__weight24 *a = &one.weight, *b = &two.weight;
            const wn_tensor *left[] = {&a->mask, &a->values, &a->index, &a->values_t, &a->index_t};
            const wn_tensor *right[] = {&b->mask, &b->values, &b->index, &b->values_t, &b->index_t};
            for (int i = 0; i < 5; i++)
                if (wn__given(left[i]))
                    assert_memory_equal(left[i]->data, right[i]->data, wn__tensor_bytes(left[i]));
        }
        close_bench(&one);
        close_bench(&two);
    }
}

static void test_sizes(void **state) {
    (void)state;
    static const struct {
        wn__mask24_method method;
        int64_t r, c;
        bool renews, backward;
    } cases[] = {{WN_MASK24_ROW, 5, 10, false, false},
                 {WN_MASK24_ROW, 5, 10, true, false},
                 {WN_MASK24_TILE, 8, 20, true, true},
                 {WN_MASK24_GREEDY, 4, 8, false, true}};
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        bench b;
        open_bench(&b, spec_of(cases[n].r, cases[n].c, cases[n].method, cases[n].renews,
                               cases[n].backward));
        wn__bytes24 bytes, turned;
        assert_ok(wn__pattern24_bytes(WN_DTYPE_F32, cases[n].r, cases[n].c, &bytes));
        assert_ok(wn__pattern24_bytes(WN_DTYPE_F32, cases[n].c, cases[n].r, &turned));
        const wn__weight24 *s = &b.weight;
        assert_int_equal(wn__tensor_bytes(&s->mask), bytes.mask);
        assert_int_equal(wn__tensor_bytes(&s->values), bytes.values);
        assert_int_equal(wn__tensor_bytes(&s->index), bytes.index);
        assert_int_equal(wn__given(&s->next), cases[n].renews);
        assert_int_equal(wn__given(&s->flips), cases[n].renews);
        assert_int_equal(wn__given(&s->values_t), cases[n].backward);
        // planning has gone through what a renewal runs
        assert_true(was_used(&b, WN__OP_mask24) && was_used(&b, WN__OP_pack24));
        assert_int_equal(was_used(&b, WN__OP_flips24), cases[n].renews);
        assert_int_equal(was_used(&b, WN__OP_copy), cases[n].renews);
        if (cases[n].backward) {
            assert_int_equal(wn__tensor_bytes(&s->values_t), turned.values);
            assert_int_equal(wn__tensor_bytes(&s->index_t), turned.index);
        }
        close_bench(&b);
    }
}

// out = w where kept, +0 elsewhere, bit for bit.
static void check_unpacked(bench *b) {
    size_t bytes = wn__tensor_bytes(&b->w);
    wn_tensor out = b->w;
    out.data = malloc(bytes);
    assert_non_null(out.data);
    assert_ok(wn__weight24_unpack(&b->weight, &b->rt->exec, &out));
    for (int64_t i = 0; i < b->w.shape[0]; i++)
        for (int64_t j = 0; j < b->w.shape[1]; j++) {
            float expected =
                kept_at(&b->weight.mask, i, j) ? ((float *)b->w.data)[i * b->w.shape[1] + j] : 0;
            assert_memory_equal((float *)out.data + i * b->w.shape[1] + j, &expected,
                                sizeof expected);
        }
    free(out.data);
}

// e_i W by both products: row i of the matrix forwards, column i backwards.
static void check_products(bench *b) {
    int64_t r = b->w.shape[0], c = b->w.shape[1];
    float *x = calloc((size_t)(c * c), sizeof *x), *y = calloc((size_t)(c * r), sizeof *y);
    float *u = calloc((size_t)(r * r), sizeof *u), *d = calloc((size_t)(r * c), sizeof *d);
    assert_true(x && y && u && d);
    for (int64_t i = 0; i < c; i++)
        x[i * c + i] = 1;
    for (int64_t i = 0; i < r; i++)
        u[i * r + i] = 1;
    const wn__spmm24 forward = {.x = wn__tensor2(x, WN_DTYPE_F32, c, c),
                                .values = b->weight.values,
                                .index = b->weight.index,
                                .y = wn__tensor2(y, WN_DTYPE_F32, c, r)};
    const wn__lists24 *lists = &b->weight.lists;
    const wn__spmm24 packed = {.x = wn__tensor2(u, WN_DTYPE_F32, r, r),
                               .values = b->weight.values_t,
                               .index = b->weight.index_t,
                               .y = wn__tensor2(d, WN_DTYPE_F32, r, c)};
    const wn__spmm24_columns listed = {.x = packed.x,
                                       .start = lists->start,
                                       .values = lists->values,
                                       .row = lists->row,
                                       .y = packed.y};
    bool row = b->weight.spec.method == WN_MASK24_ROW;
    assert_true(wn__given(&lists->start) == row && wn__given(&packed.values) == !row);
    wn__op op = row ? WN__OP_spmm24_columns : WN__OP_spmm24;
    const void *backward = row ? (const void *)&listed : &packed;
    wn__runtime_plan_begin(b->rt);
    assert_ok(wn__run(&b->rt->exec, WN__OP_spmm24, &forward));
    assert_ok(wn__run(&b->rt->exec, op, backward));
    assert_ok(wn__runtime_plan_end(b->rt));
    assert_ok(wn__run(&b->rt->exec, WN__OP_spmm24, &forward));
    assert_ok(wn__run(&b->rt->exec, op, backward));
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j < c; j++) {
            float expected = kept_at(&b->weight.mask, i, j) ? ((float *)b->w.data)[i * c + j] : 0;
            assert_true(y[j * r + i] == expected && d[i * c + j] == expected);
        }
    free(x);
    free(y);
    free(u);
    free(d);
}

static void test_choose_and_pack(void **state) {
    (void)state;
    for (int method = WN_MASK24_ROW; method <= WN_MASK24_GREEDY; method++) {
        bool row = method == WN_MASK24_ROW;
        bench b;
        open_bench(&b, spec_of(16, row ? 23 : 24, (wn__mask24_method)method, true, true));
        wn__exec *x = &b.rt->exec;
        int64_t flips = 7;
        assert_refused(wn__weight24_pack(&b.weight, x, &b.w), "no mask yet");
        assert_ok(wn__weight24_choose(&b.weight, x, &b.w, &flips));
        assert_int_equal(flips, -1);
        unsigned rules = row ? WN_PATTERN24_EXACT : WN_PATTERN24_TRANSPOSABLE;
        if (method == WN_MASK24_TILE) rules |= WN_PATTERN24_EXACT;
        assert_ok(wn__pattern24_check_mask(&b.weight.mask, b.w.shape[1], rules));
        assert_ok(wn__weight24_pack(&b.weight, x, &b.w));
        check_unpacked(&b);
        check_products(&b);
        assert_ok(wn__weight24_choose(&b.weight, x, &b.w, &flips));
        assert_int_equal(flips, 0);
        close_bench(&b);
    }
}

// A new master: flips is the number of positions that changed, counted here from copies.
static void test_flips(void **state) {
    (void)state;
    bench b;
    open_bench(&b, spec_of(32, 36, WN_MASK24_TILE, true, true));
    wn__exec *x = &b.rt->exec;
    int64_t flips = 0, expected = 0;
    assert_ok(wn__weight24_choose(&b.weight, x, &b.w, &flips));
    uint8_t old[32 * 9];
    memcpy(old, b.weight.mask.data, sizeof old);
    wn_tensor before = wn__tensor2(old, WN_DTYPE_U8, 32, 9);
    fill(&b.w, 2);
    assert_ok(wn__weight24_choose(&b.weight, x, &b.w, &flips));
    for (int64_t i = 0; i < 32 * 36; i++)
        expected += kept_at(&before, i / 36, i % 36) != kept_at(&b.weight.mask, i / 36, i % 36);
    assert_true(expected > 0);
    assert_int_equal(flips, expected);
    close_bench(&b);
}

// A renewal that meets a NaN leaves mask and packs usable.
static void test_nan(void **state) {
    (void)state;
    bench b;
    open_bench(&b, spec_of(8, 8, WN_MASK24_TILE, true, true));
    wn__exec *x = &b.rt->exec;
    int64_t flips;
    assert_ok(wn__weight24_choose(&b.weight, x, &b.w, &flips));
    uint8_t old[16];
    memcpy(old, b.weight.mask.data, sizeof old);
    ((float *)b.w.data)[8 * 5 + 2] = NAN;
    assert_refused(wn__weight24_choose(&b.weight, x, &b.w, &flips), "NaN at row 5, column 2");
    assert_int_equal(flips, -1);
    assert_memory_equal(b.weight.mask.data, old, sizeof old);
    ((float *)b.w.data)[8 * 5 + 2] = 0.5F;
    assert_ok(wn__weight24_pack(&b.weight, x, &b.w));
    check_unpacked(&b);
    close_bench(&b);
}

static void test_once(void **state) {
    (void)state;
    bench b;
    open_bench(&b, spec_of(4, 8, WN_MASK24_ROW, false, false));
    int64_t flips;
    assert_ok(wn__weight24_choose(&b.weight, &b.rt->exec, &b.w, &flips));
    assert_refused(wn__weight24_choose(&b.weight, &b.rt->exec, &b.w, &flips), "chosen once");
    close_bench(&b);
}

// From a checkpoint: the mask is taken as it is, if it fits the method.
static void test_adopt(void **state) {
    (void)state;
    bench b;
    open_bench(&b, spec_of(4, 4, WN_MASK24_TILE, true, true));
    uint8_t *mask = b.weight.mask.data;
    const uint8_t row_only[4] = {0x3, 0x3, 0x3, 0xC}, legal[4] = {0xC, 0x3, 0x3, 0xC};
    memcpy(mask, row_only, 4);
    assert_refused(wn__weight24_adopt(&b.weight), "column 0, rows 0 to 3: 3 kept");
    assert_refused(wn__weight24_pack(&b.weight, &b.rt->exec, &b.w), "no mask yet");
    memcpy(mask, legal, 4);
    assert_ok(wn__weight24_adopt(&b.weight));
    assert_ok(wn__weight24_pack(&b.weight, &b.rt->exec, &b.w));
    check_unpacked(&b);
    check_products(&b);
    assert_memory_equal(mask, legal, 4);
    close_bench(&b);
    open_bench(&b, spec_of(4, 4, WN_MASK24_ROW, true, false));
    memcpy(b.weight.mask.data, row_only, 4);
    assert_ok(wn__weight24_adopt(&b.weight));
    ((uint8_t *)b.weight.mask.data)[2] = 0x7;
    assert_refused(wn__weight24_adopt(&b.weight), "row 2, group 0");
    close_bench(&b);
}

static void test_refused_specs(void **state) {
    (void)state;
    wn__arena count;
    wn__weight24 s;
    wn__arena_measure("weights", &count);
    wn__weight24_spec spec = spec_of(8, 10, WN_MASK24_TILE, true, true);
    assert_refused(wn__weight24_alloc(&count, &spec, &s), "found [8, 10]; the nearest is [8, 12]");
    spec = spec_of(10, 8, WN_MASK24_TILE, true, true);
    assert_refused(wn__weight24_alloc(&count, &spec, &s), "found [10, 8]; the nearest is [12, 8]");
    spec = spec_of(1, 9, WN_MASK24_GREEDY, true, false);
    assert_refused(wn__weight24_alloc(&count, &spec, &s),
                   "greedy masks need multiples of 4, found [1, 9]; the nearest is [4, 8]");
    spec = spec_of(-4, 8, WN_MASK24_ROW, true, false);
    assert_refused(wn__weight24_alloc(&count, &spec, &s), "-4 rows");
    assert_int_equal(count.used, 0);
    wn__arena small;
    assert_ok(wn__arena_create("weights", 64, &small));
    spec = spec_of(64, 64, WN_MASK24_TILE, true, true);
    assert_int_equal(wn__weight24_alloc(&small, &spec, &s), WN_NOMEM);
    assert_false(wn__given(&s.mask));
    wn__arena_free(&small);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_make),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_choose_and_pack),
        cmocka_unit_test(test_flips),
        cmocka_unit_test(test_nan),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_adopt),
        cmocka_unit_test(test_refused_specs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
