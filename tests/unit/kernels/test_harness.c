// SPDX-License-Identifier: MIT
// Every kernel of the table passes the harness, and the harness catches kernels that are wrong: by
// value, by a write or a read where nothing is theirs, by the number of threads, by address, by
// history, by what they refuse.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/fail.h"
#include "kernels/check/harness.h"
#include "kernels/declare.h"
#include "kernels/embed.h"
#include "kernels/mask24.h"
#include "kernels/matmul.h"

static void print_failure(void *ctx, const wn_check_result *r) {
    int64_t *quiet = ctx;
    if (r->passed) {
        assert_string_equal(r->message, "");
        assert_true(r->worst <= 1);
    } else if (quiet) {
        ++*quiet;
    } else {
        print_error("%s %s: %s\n", r->name, r->problem, r->message);
    }
}

static void every_kernel_passes(void **state) {
    (void)state;
    const wn_check_options options = {.seed = 1, .quick = true};
    int64_t cases = 0, failed = 0;
    assert_int_equal(wn_kernels_check(&options, print_failure, NULL, &cases, &failed), WN_OK);
    assert_int_equal(failed, 0);
    assert_true(cases >= 120 * WN__OP_COUNT); // ref takes every case
}

// ---- kernels that are wrong, each in one way

static wn_status right(const void *args, wn__exec *x) {
    return wn__matmul_ref(args, x);
}

// One float of c times 1 + e.
static wn_status off_by(const void *args, wn__exec *x, float e) {
    const wn__matmul *p = args;
    WN_TRY(wn__matmul_ref(args, x));
    ((float *)p->c.data)[p->c.stride[0] + 2] *= 1 + e;
    return WN_OK;
}

static wn_status slightly_off(const void *args, wn__exec *x) {
    return off_by(args, x, 1e-3F);
}

static wn_status off_within_the_bound(const void *args, wn__exec *x) {
    return off_by(args, x, 0x1p-23F);
}

static wn_status skips_an_element(const void *args, wn__exec *x) {
    const wn__matmul *p = args;
    float *c = (float *)p->c.data + 1, old = *c;
    WN_TRY(wn__matmul_ref(args, x));
    *c = old;
    return WN_OK;
}

static wn_status writes_before(const void *args, wn__exec *x) {
    const wn__matmul *p = args;
    ((float *)p->c.data)[-1] = 0;
    return wn__matmul_ref(args, x);
}

static wn_status writes_after(const void *args, wn__exec *x) {
    const wn__matmul *p = args;
    ((float *)p->c.data)[(p->c.shape[0] - 1) * p->c.stride[0] + p->c.shape[1]] = 0;
    return wn__matmul_ref(args, x);
}

static wn_status writes_between_rows(const void *args, wn__exec *x) {
    const wn__matmul *p = args;
    ((float *)p->c.data)[p->c.shape[1]] = 0;
    return wn__matmul_ref(args, x);
}

static wn_status writes_to_an_input(const void *args, wn__exec *x) {
    const wn__matmul *p = args;
    WN_TRY(wn__matmul_ref(args, x));
    ((float *)p->a.data)[0] += 1;
    return WN_OK;
}

static wn_status depends_on_two_threads(const void *args, wn__exec *x) {
    return off_by(args, x, wn__pool_threads(x->pool) == 2 ? 0x1p-23F : 0);
}

static wn_status depends_on_many_threads(const void *args, wn__exec *x) {
    return off_by(args, x, wn__pool_threads(x->pool) > 2 ? 0x1p-23F : 0);
}

static wn_status depends_on_address(const void *args, wn__exec *x) {
    const wn__matmul *p = args;
    return off_by(args, x, (uintptr_t)p->a.data % 16 ? 0x1p-23F : 0);
}

static wn_status reads_its_workspace(const void *args, wn__exec *x) {
    const wn__matmul *p = args;
    WN_TRY(wn__matmul_ref(args, x));
    *(float *)p->c.data += ((float *)(void *)x->scratch)[3];
    return WN_OK;
}

static wn_status fails(const void *args, wn__exec *x) {
    (void)args;
    (void)x;
    return wn__fail(WN_INVALID, "not today");
}

static wn_status drops_nan(const void *args, wn__exec *x) {
    const wn__matmul *p = args;
    WN_TRY(wn__matmul_ref(args, x));
    for (int64_t i = 0; i < p->c.shape[0]; i++)
        for (int64_t j = 0; j < p->c.shape[1]; j++) {
            float *c = (float *)p->c.data + i * p->c.stride[0] + j;
            if (isnan(*c)) *c = 0;
        }
    return WN_OK;
}

// Float sums from left to right: the worst honest kernel.
static wn_status sums_in_float(const void *args, wn__exec *x) {
    (void)x;
    const wn__matmul *p = args;
    for (int64_t i = 0; i < p->c.shape[0]; i++)
        for (int64_t j = 0; j < p->c.shape[1]; j++) {
            float sum = 0;
            for (int64_t k = 0; k < p->a.shape[1]; k++)
                sum += ((float *)p->a.data)[i * p->a.stride[0] + k] *
                       ((float *)p->b.data)[k * p->b.stride[0] + j];
            ((float *)p->c.data)[i * p->c.stride[0] + j] = sum;
        }
    return WN_OK;
}

// Operands rounded to half of float's digits.
static wn_status multiplies_coarsely(const void *args, wn__exec *x) {
    const wn__matmul *p = args;
    float *a = p->a.data, old = *a;
    *a *= 1 + 0x1p-12F;
    wn_status status = wn__matmul_ref(args, x);
    *a = old;
    return status;
}

static wn_status flips_a_bit(const void *args, wn__exec *x) {
    const wn__mask24 *p = args;
    WN_TRY(wn__mask24_ref(args, x));
    ((uint8_t *)p->mask.data)[0] ^= 3;
    return WN_OK;
}

static wn_status ignores_bad_tokens(const void *args, wn__exec *x) {
    (void)args;
    (void)x;
    return WN_OK;
}

static wn_status blames_the_wrong_token(const void *args, wn__exec *x) {
    if (wn__embed_ref(args, x) == WN_OK) return WN_OK;
    return wn__fail(WN_INVALID, "some token");
}

static size_t some_bytes(const void *args, int threads) {
    (void)args;
    (void)threads;
    return 64;
}

static bool never(const void *args, char *why, size_t n) {
    (void)args;
    (void)snprintf(why, n, "not this one");
    return false;
}

// ---- what the harness says about them

static wn__check_pools pools;

static int start_pools(void **state) {
    (void)state;
    return wn__pool_create(2, &pools.two) != WN_OK || wn__pool_create(3, &pools.many) != WN_OK;
}

static int stop_pools(void **state) {
    (void)state;
    wn__pool_free(pools.two);
    wn__pool_free(pools.many);
    return 0;
}

static wn__case *make(wn__op op, const char *problem, uint64_t seed) {
    wn__problem p;
    wn__case *c;
    if (wn__problem_parse(wn__case_type_of(op), problem, &p) != WN_OK)
        fail_msg("%s", wn_last_error());
    assert_int_equal(wn__case_create(wn__case_type_of(op), &p, seed, true, &c), WN_OK);
    return c;
}

// The verdict on a kernel with these words; "" means that it passes.
static void assert_verdict(wn__kernel k, const char *problem, const char *words) {
    char why[640];
    double worst;
    bool fits;
    wn__case *c = make(k.op, problem, 5);
    k.name = k.variant = "test";
    assert_int_equal(wn__check_kernel(c, &k, &pools, &fits, &worst, why, sizeof why), WN_OK);
    assert_true(fits);
    if (*words ? !strstr(why, words) : *why) fail_msg("\"%s\", expected \"%s\"", why, words);
    wn__case_free(c);
}

static void assert_matmul(wn__kernel_fn *run, const char *words) {
    assert_verdict((wn__kernel){.op = WN__OP_matmul, .run = run}, "m=6,n=7,k=40,pad=3", words);
}

static void right_kernels_pass(void **state) {
    (void)state;
    assert_matmul(right, "");
    assert_matmul(off_within_the_bound, "");
    assert_verdict((wn__kernel){.op = WN__OP_matmul, .run = sums_in_float}, "m=9,n=9,k=1000", "");
    assert_verdict((wn__kernel){.op = WN__OP_matmul, .run = sums_in_float},
                   "m=9,n=9,k=1000,data=wild", "");
    assert_verdict((wn__kernel){.op = WN__OP_matmul, .run = sums_in_float},
                   "m=9,n=9,k=99,data=tiny", "");
}

static void wrong_values_are_caught(void **state) {
    (void)state;
    assert_matmul(slightly_off, "c[1,2] is ");
    assert_matmul(slightly_off, "error allowed ");
    assert_matmul(skips_an_element, "c[0,1] is ");
    assert_verdict(
        (wn__kernel){.op = WN__OP_matmul, .run = reads_its_workspace, .workspace = some_bytes},
        "m=6,n=7,k=40", "c[0,0] is ");
    assert_verdict((wn__kernel){.op = WN__OP_matmul, .run = multiplies_coarsely}, "m=2,n=2,k=3",
                   "c[0,");
    assert_verdict((wn__kernel){.op = WN__OP_matmul, .run = drops_nan},
                   "m=30,n=30,k=30,data=infinite", "is 0, ref");
}

// With integers for data the bound is zero: one unit in the last place is too much.
static void integers_leave_no_room(void **state) {
    (void)state;
    assert_verdict((wn__kernel){.op = WN__OP_matmul, .run = off_within_the_bound},
                   "m=6,n=7,k=41,data=integers", "error allowed 0");
    assert_verdict((wn__kernel){.op = WN__OP_matmul, .run = sums_in_float},
                   "m=6,n=7,k=41,data=integers", "");
}

static void exact_ops_are_compared_bit_for_bit(void **state) {
    (void)state;
    assert_verdict((wn__kernel){.op = WN__OP_mask24, .run = wn__mask24_ref}, "r=4,c=8", "");
    assert_verdict((wn__kernel){.op = WN__OP_mask24, .run = flips_a_bit}, "r=4,c=8",
                   "mask[0,0] is 0x");
}

static void stray_writes_are_caught(void **state) {
    (void)state;
    assert_matmul(writes_before, "wrote outside c, at byte -4 from its first element");
    assert_matmul(writes_after, "wrote outside c, at byte 228 ");
    assert_matmul(writes_between_rows, "wrote outside c, at byte 28 ");
    assert_matmul(writes_to_an_input, "wrote to the input a, at byte ");
}

static void runs_that_differ_are_caught(void **state) {
    (void)state;
    assert_matmul(depends_on_two_threads, "with 2 threads: c[1,2] is ");
    assert_matmul(depends_on_many_threads, "with more threads: c[1,2] is ");
    assert_matmul(depends_on_address, "repeated at other addresses: c[1,2] is ");
}

static void refusals_must_be_those_of_ref(void **state) {
    (void)state;
    assert_matmul(fails, "gave INVALID: not today, ref gave OK");
    const char *bad = "N=5,V=7,C=3,tokens=bad";
    assert_verdict((wn__kernel){.op = WN__OP_embed, .run = wn__embed_ref}, bad, "");
    assert_verdict((wn__kernel){.op = WN__OP_embed, .run = ignores_bad_tokens}, bad,
                   "gave OK, ref gave INVALID: token ");
    assert_verdict((wn__kernel){.op = WN__OP_embed, .run = blames_the_wrong_token}, bad,
                   "gave INVALID: some token, ref gave INVALID: token ");
}

static void what_does_not_fit_is_not_checked(void **state) {
    (void)state;
    const wn__kernel k = {WN__OP_matmul, "test", "test", 0, 0, fails, never, NULL};
    char why[160];
    double worst;
    bool fits;
    wn__case *c = make(WN__OP_matmul, "m=2,n=2,k=2", 1);
    assert_int_equal(wn__check_kernel(c, &k, &pools, &fits, &worst, why, sizeof why), WN_OK);
    assert_false(fits);
    wn__case_free(c);
}

// ---- some rows of a case that is too large

static wn_status errs_in_the_last_row(const void *args, wn__exec *x) {
    const wn__matmul *p = args;
    WN_TRY(wn__matmul_ref(args, x));
    ((float *)p->c.data)[(p->c.shape[0] - 1) * p->c.stride[0]] *= 1 + 1e-3F;
    return WN_OK;
}

static wn_status errs_in_the_second_row(const void *args, wn__exec *x) {
    return off_by(args, x, 1e-3F);
}

// Four of ten rows, the first and the last among them, have the numbers that they have in all of
// it; the second is not looked at.
static void some_rows_are_compared(void **state) {
    (void)state;
    static const struct {
        wn__kernel_fn *run;
        const char *words;
    } kernels[] = {{right, ""},
                   {errs_in_the_last_row, "c[3,0] is "},
                   {writes_after, "wrote outside c, at byte "},
                   {errs_in_the_second_row, ""}};
    char why[640];
    wn__case *all = make(WN__OP_matmul, "m=10,n=7,k=40,pad=3,bias=1", 5), *rows, *none;
    assert_int_equal(wn__case_rows(all, 4.5 * 2 * 7 * 40, &rows), WN_OK);
    assert_non_null(rows);
    assert_int_equal(wn__case_find(rows, "c")->view.shape[0], 4);
    const wn__part *few = wn__case_find(rows, "a"), *a = wn__case_find(all, "a");
    for (int64_t i = 0; i < 40; i++) {
        assert_true(wn__part_get(few, i) == wn__part_get(a, i));
        assert_true(wn__part_get(few, 3 * 40 + i) == wn__part_get(a, 9 * 40 + i));
        assert_true(few->before[40 + i] == a->before[3 * 40 + i]);
    }
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        const wn__kernel k = {
            .op = WN__OP_matmul, .name = "test", .variant = "test", .run = kernels[i].run};
        assert_int_equal(wn__check_rows(rows, all, &k, (wn__check_way){0}, &pools, why, sizeof why),
                         WN_OK);
        if (*kernels[i].words ? !strstr(why, kernels[i].words) : *why) fail_msg("\"%s\"", why);
    }
    wn__case_free(rows);
    assert_int_equal(wn__case_rows(all, 1, &none), WN_OK); // one is too much
    assert_null(none);
    wn__case_free(all);
    all = make(WN__OP_mask24, "r=8,c=8", 5);
    assert_int_equal(wn__case_rows(all, 1e9, &none), WN_OK); // no rows that go alone
    assert_null(none);
    wn__case_free(all);
}

// ---- problems and cases

static void problems_are_read_as_written(void **state) {
    (void)state;
    for (int op = 0; op < WN__OP_COUNT; op++) {
        const wn__case_type *type = wn__case_type_of((wn__op)op);
        assert_int_equal(type->op, op);
        for (int64_t i = 0; i < 40; i++) {
            char text[WN__PROBLEM_TEXT];
            wn__problem drawn, parsed;
            wn__problem_draw(type, 9, i, &drawn);
            wn__problem_format(type, &drawn, text, sizeof text);
            assert_int_equal(wn__problem_parse(type, text, &parsed), WN_OK);
            assert_memory_equal(&drawn, &parsed, sizeof drawn);
        }
    }
}

static void assert_unreadable(const char *problem, const char *words) {
    wn__problem p;
    assert_int_equal(wn__problem_parse(wn__case_type_of(WN__OP_matmul), problem, &p), WN_INVALID);
    if (!strstr(wn_last_error(), words)) fail_msg("\"%s\" lacks \"%s\"", wn_last_error(), words);
}

static void wrong_problems_are_explained(void **state) {
    (void)state;
    assert_unreadable("m=3,acumulate=1", "has no 'acumulate'; the nearest is 'accumulate'");
    assert_unreadable("m=-1", "m=-1; legal: 0 to 2147483648");
    assert_unreadable("m=3x", "m=3x; legal");
    assert_unreadable("m=", "m=; legal");
    assert_unreadable("m", "m=; legal");
    assert_unreadable("dtype=i8", "dtype=i8; legal: f64, f32, bf16, f16");
    assert_unreadable("data=ties", "legal: normal, integers, wild, tiny, infinite");
    assert_unreadable("bias=2", "bias=2; legal: 0 to 1");
    assert_unreadable("=", "has no ''");
}

static void cases_depend_on_problem_and_seed_only(void **state) {
    (void)state;
    wn__case *a = make(WN__OP_matmul, "m=5,n=6,k=7", 1), *b = make(WN__OP_matmul, "k=7,m=5,n=6", 1);
    wn__case *c = make(WN__OP_matmul, "m=5,n=6,k=7", 2),
             *d = make(WN__OP_matmul, "m=5,n=6,k=7,at=1", 1);
    size_t bytes = 5 * 7 * sizeof(float);
    assert_memory_equal(a->part[0].image, b->part[0].image, bytes);
    assert_memory_not_equal(a->part[0].image, c->part[0].image, bytes);
    assert_memory_not_equal(a->part[0].image, d->part[0].image, bytes);
    wn__case_free(a);
    wn__case_free(b);
    wn__case_free(c);
    wn__case_free(d);
}

// The quick run meets every edge of every size, every dtype and every kind of data.
static void draws_cover_the_edges(void **state) {
    (void)state;
    const wn__case_type *type = wn__case_type_of(WN__OP_matmul);
    static const int64_t edges[] = {0,  1,  2,  7,  8,  9,  15,  16,  17,
                                    31, 32, 33, 63, 64, 65, 127, 128, 129};
    for (int field = 0; field < type->field_count; field++) {
        const wn__field *f = type->fields + field;
        bool seen[2000] = {false};
        int64_t largest = 0;
        for (int64_t i = 0; i < 120; i++) {
            wn__problem p;
            wn__problem_draw(type, 1, i, &p);
            if (p.value[field] < 2000) seen[p.value[field]] = true;
            if (p.value[field] > largest) largest = p.value[field];
        }
        for (size_t i = 0; f->sweep && i < sizeof edges / sizeof *edges; i++)
            if (!seen[edges[i]]) fail_msg("%s=%lld is not drawn", f->name, (long long)edges[i]);
        if (f->sweep) assert_true(largest >= f->large / 2);
        for (int64_t i = f->least; !f->sweep && i <= f->most; i++)
            if (!seen[i]) fail_msg("%s=%lld is not drawn", f->name, (long long)i);
    }
}

// ---- the public side

static void count_lines(const char *text, char first, int *lines, int *marked) {
    *lines = *marked = 0;
    for (; *text; text = strchr(text, '\n') + 1) {
        ++*lines;
        *marked += *text == first;
    }
}

static void explain_lists_every_variant(void **state) {
    (void)state;
    char *text;
    int lines, marked, expected = 0;
    for (size_t i = 0; i < wn_kernel_count(); i++) {
        wn_kernel_info k;
        wn_kernel_get(i, &k);
        expected += strcmp(k.op, "matmul") == 0;
    }
    assert_int_equal(wn_plan_explain("matmul", "m=3,n=4,k=5,dtype=f16", &text), WN_OK);
    count_lines(text, '*', &lines, &marked);
    assert_int_equal(lines, expected);
    assert_int_equal(marked, 1);
    assert_non_null(strstr(text, "* matmul_ref"));
    if (expected > 1) assert_non_null(strstr(text, "refused: "));
    free(text);
    assert_int_equal(wn_plan_explain("matmul", NULL, &text), WN_OK);
    free(text);
    assert_int_equal(wn_plan_explain("matmull", "", &text), WN_INVALID);
    assert_null(text);
    assert_int_equal(wn_plan_explain("matmul", "q=1", &text), WN_INVALID);
    assert_int_equal(wn_plan_explain("mask24", "r=3,method=tile", &text), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "multiples of 4"));
}

static void explain_follows_the_environment(void **state) {
    (void)state;
    char *text;
    assert_int_equal(setenv("WN_KERNEL", "matmul:ref", 1), 0);
    assert_int_equal(wn_plan_explain("matmul", "m=64,n=64,k=64", &text), WN_OK);
    assert_non_null(strstr(text, "* matmul_ref"));
    free(text);
    assert_int_equal(setenv("WN_KERNEL", "matmul:rex", 1), 0);
    assert_int_equal(wn_plan_explain("matmul", "", &text), WN_INVALID);
    assert_int_equal(unsetenv("WN_KERNEL"), 0);
}

static void problems_are_described(void **state) {
    (void)state;
    char *text;
    assert_int_equal(wn_problem_describe("spmm24", &text), WN_OK);
    assert_non_null(strstr(text, "T: 512 (at least 0)\n"));
    assert_non_null(strstr(text, "dtype: f32 (f64, f32, bf16, f16)\n"));
    assert_non_null(strstr(text, "bias: 0 (0 or 1)\n"));
    free(text);
    assert_int_equal(wn_problem_describe("spmm", &text), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "nearest is 'spmm24'"));
}

static void one_problem_can_be_repeated(void **state) {
    (void)state;
    wn_check_options o = {.op = "matmul", .variant = "ref", .seed = 3, .problem = "m=2,n=3,k=4"};
    int64_t cases, failed;
    assert_int_equal(wn_kernels_check(&o, NULL, NULL, &cases, &failed), WN_OK);
    assert_int_equal(cases, 1);
    assert_int_equal(failed, 0);
    o.problem = "m=2,n=3,z=4";
    assert_int_equal(wn_kernels_check(&o, NULL, NULL, &cases, &failed), WN_INVALID);
    o = (wn_check_options){.op = "matmul", .variant = "nothing"};
    assert_int_equal(wn_kernels_check(&o, NULL, NULL, &cases, &failed), WN_INVALID);
    o = (wn_check_options){.op = "matmil"};
    assert_int_equal(wn_kernels_check(&o, NULL, NULL, &cases, &failed), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "nearest is 'matmul'"));
}

typedef struct timed {
    int lines, dense;
    bool sane;
} timed;

// Processors that this thread may use.
static int processors(void) {
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    return CPU_COUNT(&set);
}

static void on_time(void *ctx, const wn_time_result *r) {
    timed *t = ctx;
    t->lines++;
    assert_int_equal(processors(), 1); // while it is timed
    t->dense += strncmp(r->name, "matmul", 6) == 0;
    t->sane = t->sane && r->seconds > 0 && r->flops > 0 && r->bytes > 0;
    if (strcmp(r->name, "spmm24_ref") == 0) {
        assert_true(r->flops == 2 * 8 * 12 * 8); // half of the dense one's
        assert_true(r->bytes == 4 * (8 * 16 + 12 * 8 + 8 * 12) + 12 * 2);
    }
}

// Variants of an op that take a problem on this machine, as its plan says.
static int count_that_run(const char *op, const char *problem) {
    char *text;
    int lines, marked;
    assert_int_equal(wn_plan_explain(op, problem, &text), WN_OK);
    count_lines(text, '*', &lines, &marked);
    for (const char *at = text; (at = strstr(at, "refused: ")) != NULL; at++)
        lines--;
    free(text);
    return lines;
}

static void sparse_ops_are_timed_beside_the_dense_one(void **state) {
    (void)state;
    timed t = {.sane = true};
    const int free_to_use = processors();
    const int expected = 1 + count_that_run("spmm24", "T=8,n=12,k=16");
    assert_int_equal(wn_kernels_time("spmm24", NULL, "T=8,n=12,k=16", 1, 2, on_time, &t), WN_OK);
    assert_int_equal(t.lines, expected);
    assert_int_equal(t.dense, 1);
    assert_true(t.sane);
    t.lines = 0;
    assert_int_equal(wn_kernels_time("spmm24", "r?f", "T=8,n=12,k=16", 1, 2, on_time, &t), WN_OK);
    assert_int_equal(t.lines, 2);
    assert_int_equal(wn_kernels_time("spmm24", "no*", "T=8,n=12,k=16", 1, 2, on_time, &t),
                     WN_INVALID);
    assert_string_equal(wn_last_error(), "no variant of spmm24 that runs here and takes "
                                         "T=8,n=12,k=16 matches 'no*'");
    assert_int_equal(wn_kernels_time("spmm24", NULL, "T=8,n=12,x=16", 1, 2, on_time, &t),
                     WN_INVALID);
    assert_int_equal(wn_kernels_time("mask24", NULL, "r=3,method=tile", 1, 2, on_time, &t),
                     WN_INVALID);
    assert_int_equal(processors(), free_to_use);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_kernels_pass),
        cmocka_unit_test(wrong_values_are_caught),
        cmocka_unit_test(integers_leave_no_room),
        cmocka_unit_test(exact_ops_are_compared_bit_for_bit),
        cmocka_unit_test(stray_writes_are_caught),
        cmocka_unit_test(runs_that_differ_are_caught),
        cmocka_unit_test(refusals_must_be_those_of_ref),
        cmocka_unit_test(some_rows_are_compared),
        cmocka_unit_test(what_does_not_fit_is_not_checked),
        cmocka_unit_test(problems_are_read_as_written),
        cmocka_unit_test(wrong_problems_are_explained),
        cmocka_unit_test(cases_depend_on_problem_and_seed_only),
        cmocka_unit_test(draws_cover_the_edges),
        cmocka_unit_test(explain_lists_every_variant),
        cmocka_unit_test(explain_follows_the_environment),
        cmocka_unit_test(problems_are_described),
        cmocka_unit_test(one_problem_can_be_repeated),
        cmocka_unit_test(sparse_ops_are_timed_beside_the_dense_one),
        cmocka_unit_test(every_kernel_passes),
    };
    return cmocka_run_group_tests(tests, start_pools, stop_pools);
}
