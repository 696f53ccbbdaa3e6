// SPDX-License-Identifier: MIT
// Variants of a processor read nothing outside what they are given, in builds without sanitizers
// too, and where none sees it: masked loads. Every input lies between pages that may not be
// touched, at the end of its own and then at their beginning, and results are those of the
// reference.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cpu.h"
#include "kernels/check/harness.h"
#include "kernels/registry.h"

// Pages of a part, one before and one behind them closed.
typedef struct fenced {
    char *first;
    size_t bytes; /* all pages */
    void *was;    /* where the part lay */
} fenced;

static size_t bytes_of(const wn_tensor *t) {
    int64_t last = 1;
    for (int d = 0; d < t->ndim; d++)
        last += (t->shape[d] - 1) * t->stride[d];
    return wn__tensor_count(t) > 0 ? (size_t)last * wn_dtype_size(t->dtype) : 0;
}

static fenced fence(wn_tensor *t, bool at_end) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), n = bytes_of(t);
    const size_t pages = (n + page - 1) / page * page;
    fenced f = {.bytes = pages + 2 * page, .was = t->data};
    f.first = mmap(NULL, f.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(f.first != MAP_FAILED);
    char *inside = f.first + page;
    if (pages > 0) assert_int_equal(mprotect(inside, pages, PROT_READ | PROT_WRITE), 0);
    t->data = memcpy(at_end ? inside + pages - n : inside, t->data, n);
    return f;
}

static void run_between(wn__case *c, const wn__kernel *k, bool at_end) {
    wn__stage s;
    wn__outputs out;
    fenced part[WN__MAX_PARTS] = {{0}};
    char why[256] = "";
    double worst;
    assert_int_equal(wn__stage_create(c, 0, &s), WN_OK);
    for (int i = 0; i < c->parts; i++)
        if (c->part[i].role == WN__READ) part[i] = fence(wn__stage_tensor(&s, i), at_end);
    assert_int_equal(wn__stage_run(&s, k, NULL), WN_OK);
    for (int i = 0; i < c->parts; i++)
        if (part[i].bytes > 0) wn__stage_tensor(&s, i)->data = part[i].was;
    assert_int_equal(wn__outputs_take(&s, &out), WN_OK);
    if (!wn__outputs_right(c, &out, false, &worst, why, sizeof why))
        fail_msg("%s: %s", k->variant, why);
    for (int i = 0; i < c->parts; i++)
        if (part[i].bytes > 0) munmap(part[i].first, part[i].bytes);
    wn__outputs_free(&out);
    wn__stage_free(&s);
}

// The variants that ran.
static int run_all(wn__op op, const char *problem) {
    const wn__case_type *type = wn__case_type_of(op);
    wn__problem p;
    wn__case *c;
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    const wn__exec x = {0};
    char why[256];
    int ran = 0;
    if (wn__problem_parse(type, problem, &p) != WN_OK) fail_msg("%s", wn_last_error());
    assert_int_equal(wn__case_create(type, &p, 1, true, &c), WN_OK);
    assert_int_equal(wn__case_reference(c), WN_OK);
    for (size_t i = 0; i < rows; i++) {
        const wn__kernel *k = table + i;
        if (k->op != op || wn__kernel_on_gpu(k) || strcmp(k->variant, "ref") == 0 ||
            (k->needs & ~wn__cpu_flags()) != 0 || !wn__kernel_fits(&x, k, c->args, why, sizeof why))
            continue;
        run_between(c, k, true);
        run_between(c, k, false);
        ran++;
    }
    wn__case_free(c);
    return ran;
}

// All rests of groups behind the last chunk, of one slice and of two; a pair of outputs, several,
// and one that is left over; whole tiles, those of which six or seven vectors exist, and tokens
// that are none.
static void check_products(wn__op op, const char *tokens, const char *dtype) {
    static const int64_t lanes[] = {64, 128, 56, 48, 21}, outputs[] = {2, 3, 7};
    char text[128];
    for (int i = 0; i < 5; i++)
        for (int64_t k = 4; k <= 136; k += 4)
            for (int o = 0; o < 3; o++) {
                (void)snprintf(text, sizeof text, "%s=%lld,n=%lld,k=%lld,dtype=%s", tokens,
                               (long long)lanes[i], (long long)outputs[o], (long long)k, dtype);
                (void)run_all(op, text);
            }
}

static void test_products(void **state) {
    (void)state;
    check_products(WN__OP_spmm24, "T", "f32");
    check_products(WN__OP_spmm24, "T", "bf16");
    check_products(WN__OP_spmm24_rows, "m", "f32");
    check_products(WN__OP_spmm24_rows, "m", "bf16");
}

// Chunks of tokens and of columns, and what is left over of them.
static void test_kept_places(void **state) {
    (void)state;
    static const char *const dtypes[] = {"f32", "bf16"};
    char text[128];
    for (int i = 0; i < 2; i++)
        for (int64_t tokens = 41; tokens <= 557; tokens += 43)
            for (int64_t k = 29; k <= 72; k += 7) {
                (void)snprintf(text, sizeof text, "T=%lld,n=%lld,k=%lld,dtype=%s",
                               (long long)tokens, (long long)(k % 5), (long long)k, dtypes[i]);
                (void)run_all(WN__OP_sddmm24, text);
            }
}

// Blocks of four rows one by one and the last, of any rest, by one vector of columns, by two and by
// what is left over.
static void test_draws(void **state) {
    (void)state;
    static const char *const methods[] = {"exact", "approx"};
    char text[128];
    for (int i = 0; i < 2; i++)
        for (int64_t rows = 1; rows <= 13; rows += 2)
            for (int64_t columns = 1; columns <= 81; columns += 5) {
                (void)snprintf(text, sizeof text, "r=%lld,c=%lld,method=%s", (long long)rows,
                               (long long)columns, methods[i]);
                (void)run_all(WN__OP_mvue24, text);
                (void)run_all(WN__OP_mvue24_tokens, text);
            }
}

// One factor, batch last, whose weights are packed by each task or before all: blocks by four and
// one by one, tiles and slices that differ by one, panels that tokens do not fill.
static void test_factors(void **state) {
    (void)state;
    static const int64_t blocks[] = {1, 3, 4, 5, 8}, sides[][2] = {{16, 17}, {31, 200}};
    static const char *const dtypes[] = {"f32", "bf16"};
    char text[128];
    for (int i = 0; i < 5; i++)
        for (int s = 0; s < 2; s++)
            for (int64_t n = 17; n <= 277; n += n < 60 ? 21 : 109)
                for (int t = 0; t < 4; t++) {
                    (void)snprintf(text, sizeof text,
                                   "n=%lld,a=%d,s=1,t=%lld,r=1,c=%lld,d=%lld,count=1,batch=last,"
                                   "dtype=%s",
                                   (long long)n, 1 + t / 2, (long long)sides[s][0],
                                   (long long)sides[s][1], (long long)blocks[i], dtypes[t % 2]);
                    (void)run_all(WN__OP_kron_mul, text);
                }
}

// The same, batch first: blocks side by side whose weights are packed by each task, before all, or
// not at all; inputs that are read where they lie; outputs that fill no vector and no strip.
static void test_factors_first(void **state) {
    (void)state;
    static const int64_t blocks[] = {4, 8, 16, 32}, tokens[] = {25, 101, 790};
    static const int64_t sides[][2] = {{18, 19}, {21, 70}};
    static const char *const dtypes[] = {"f32", "bf16"};
    char text[128];
    for (int i = 0; i < 4; i++)
        for (int s = 0; s < 2; s++)
            for (int n = 0; n < 3; n++)
                for (int t = 0; t < 2; t++) {
                    (void)snprintf(text, sizeof text,
                                   "n=%lld,a=2,s=1,t=%lld,r=1,c=%lld,d=%lld,count=1,dtype=%s",
                                   (long long)tokens[n], (long long)sides[s][0],
                                   (long long)sides[s][1], (long long)blocks[i], dtypes[t]);
                    (void)run_all(WN__OP_kron_mul, text);
                }
}

// Lists of what columns keep: blocks of rows and of columns that are not whole; and what reads
// them, which goes on by whole vectors.
static void test_lists(void **state) {
    (void)state;
    static const int64_t rows[] = {1, 3, 16, 63, 64, 67, 131};
    static const char *const dtypes[] = {"f32", "bf16"};
    char text[128];
    for (int i = 0; i < 7; i++)
        for (int64_t c = 1; c <= 133; c += 6)
            for (int t = 0; t < 2; t++) {
                (void)snprintf(text, sizeof text, "r=%lld,c=%lld,dtype=%s", (long long)rows[i],
                               (long long)c, dtypes[t]);
                (void)run_all(WN__OP_columns24, text);
                (void)snprintf(text, sizeof text, "T=%lld,r=%lld,c=%lld,kept=uneven,dtype=%s",
                               (long long)(20 + c % 50), (long long)rows[i], (long long)c,
                               dtypes[t]);
                (void)run_all(WN__OP_spmm24_columns, text);
            }
}

// Where there are vectors, something ran.
static void test_runs(void **state) {
    (void)state;
    const bool avx2 = (wn__cpu_flags() & WN_CPU_AVX2) != 0;
    assert_int_equal(run_all(WN__OP_spmm24, "T=64,n=4,k=64") > 0, avx2);
    assert_int_equal(run_all(WN__OP_sddmm24, "T=64,n=4,k=64") > 0, avx2);
    assert_int_equal(run_all(WN__OP_mvue24, "r=8,c=64") > 0, avx2);
    assert_int_equal(run_all(WN__OP_mvue24_tokens, "r=8,c=64") > 0, avx2);
    assert_int_equal(run_all(WN__OP_kron_mul, "n=40,count=1,batch=last") > 0, avx2);
    assert_int_equal(run_all(WN__OP_columns24, "r=70,c=70") > 0, avx2);
    assert_int_equal(run_all(WN__OP_spmm24_columns, "T=64,r=70,c=70") > 0, avx2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),      cmocka_unit_test(test_kept_places),
        cmocka_unit_test(test_draws),         cmocka_unit_test(test_factors),
        cmocka_unit_test(test_factors_first), cmocka_unit_test(test_lists),
        cmocka_unit_test(test_runs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
