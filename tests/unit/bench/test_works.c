// SPDX-License-Identifier: MIT
// What a line of works.def makes has the shape of the product that it is compared with: the time of
// a transposed product says little about this one.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/kron_work.h"
#include "bench/suite.h"
#include "kernels/check/harness.h"
#include "kernels/registry.h"
#include <string.h>

enum { T = 12, OUT = 20, IN = 28 };

typedef struct line {
    const char *suite, *work;
    wn__product product;
    const char *dtypes, *ops, *problem;
} line;

static const line lines[] = {
#define WN_WORK(suite, work, product, role, dtypes, ops, problem)                                  \
    {suite, work, product, dtypes, ops, problem},
#include "bench/works.def"
#undef WN_WORK
#define WN_GPU_WORK(suite, work, product, role, dtypes, op, problem)                               \
    {suite, work, product, dtypes, #op, problem},
#include "bench/works_gpu.def"
#undef WN_GPU_WORK
};

// Behind the last of that character, all of it where there is none.
static const char *behind(const char *text, char mark) {
    const char *at = strrchr(text, mark);
    return at != NULL ? at + 1 : text;
}

// The case of a line's last op.
static wn__case *make(const line *l) {
    wn__suite s = {.dtype = strncmp(l->dtypes, "f32", 3) == 0 ? "f32" : "bf16"};
    const wn__cell cell = {.suite = &s, .shape = {.out = OUT, .in = IN}, .rows = T};
    const char *name = behind(l->ops, '+');
    char text[256];
    wn__op op;
    wn__problem p;
    wn__case *c;
    wn__put_sizes(&cell, behind(l->problem, ';'), text, sizeof text);
    assert_int_equal(wn__op_find(name, strlen(name), &op), WN_OK);
    if (wn__problem_parse(wn__case_type_of(op), text, &p) != WN_OK) fail_msg("%s", wn_last_error());
    assert_int_equal(wn__case_create(wn__case_type_of(op), &p, 0, false, &c), WN_OK);
    return c;
}

static void results_have_the_shape_of_the_product(void **state) {
    (void)state;
    int seen = 0;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const line *l = lines + i;
        if (l->product == WN__NO_PRODUCT) continue;
        int64_t rows = l->product == WN__WEIGHT ? OUT : T;
        int64_t columns = l->product == WN__FORWARD ? OUT : IN;
        if (strcmp(l->ops, "sddmm24") == 0) columns /= 2; // kept places of a row
        wn__case *c = make(l);
        const wn_tensor *y = NULL;
        for (int part = 0; part < c->parts; part++)
            if (c->part[part].role != WN__READ) y = &c->part[part].view;
        assert_non_null(y);
        const bool turned = strstr(l->problem, "transposed=1") != NULL; // lies as its transpose
        if (y->ndim != 2 || y->shape[turned] != rows || y->shape[!turned] != columns)
            fail_msg("%s, %s: %lld x %lld, not %lld x %lld", l->work, l->ops,
                     (long long)y->shape[0], (long long)y->shape[1], (long long)rows,
                     (long long)columns);
        wn__case_free(c);
        seen++;
    }
    assert_true(seen > 12);
}

// The view that a case writes.
static wn_tensor written(wn__op op, const char *text) {
    wn__problem p;
    wn__case *c;
    wn_tensor y = {0};
    if (wn__problem_parse(wn__case_type_of(op), text, &p) != WN_OK) fail_msg("%s", wn_last_error());
    assert_int_equal(wn__case_create(wn__case_type_of(op), &p, 0, false, &c), WN_OK);
    for (int i = 0; i < c->parts; i++)
        if (c->part[i].role != WN__READ) y = c->part[i].view;
    wn__case_free(c);
    return y;
}

// The cases of a pass, those of the last two ops for the weights of two factors.
static void check_pass(const wn__kron_work *w, wn__kron_pass pass) {
    char ops[64], problem[400];
    if (!wn__kron_problem(w, pass, T, "f32", false, ops, sizeof ops, problem, sizeof problem)) {
        assert_true(w->kind == WN__KRON_BUTTERFLY && pass == WN__KRON_WEIGHT);
        return;
    }
    double params = 0;
    char *save_op, *save_text, *op = strtok_r(ops, "+", &save_op);
    for (char *text = strtok_r(problem, ";", &save_text); text != NULL;
         text = strtok_r(NULL, ";", &save_text), op = strtok_r(NULL, "+", &save_op)) {
        bool gradient = strcmp(op, "kron_grad") == 0;
        wn_tensor y = written(gradient ? WN__OP_kron_grad : WN__OP_kron_mul, text);
        if (gradient) params += (double)wn__tensor_count(&y);
        if (pass == WN__KRON_WEIGHT) continue;
        assert_int_equal(y.shape[0], T);
        assert_int_equal(y.shape[1], pass == WN__KRON_FORWARD ? w->out : w->in);
    }
    assert_null(op);
    if (pass == WN__KRON_WEIGHT) assert_true(params == w->params);
}

// Both gradients of two factors as one op: the left one, written last, has half of the numbers.
static void check_pair(const wn__kron_work *w) {
    char problem[200];
    const bool two = wn__kron_pair_problem(w, T, "f32", problem, sizeof problem);
    assert_int_equal(two, w->kind == WN__KRON_PAIR);
    if (!two || w->in > 1024) return;
    const wn_tensor y = written(WN__OP_kron_pair_grad, problem);
    assert_true((double)wn__tensor_count(&y) == w->params / 2);
}

// The sample is of the published grid, no pattern twice, a smaller one a part of a larger one;
// every pass has cases of the right shapes.
static void chains_have_their_cases(void **state) {
    (void)state;
    wn__kron_work w, other;
    assert_int_equal(wn__kron_population(), 160);
    for (int i = 0; wn__kron_work_at(i, WN__KRON_SAMPLE, &w); i++) {
        if (i < WN__KRON_SAMPLE) {
            const wn__kron_size *s = &w.size;
            assert_true(s->b == s->c || s->b == 4 * s->c || s->c == 4 * s->b);
            assert_true(s->d == 4 || s->d == 16 || s->d == 64);
            assert_true(wn__kron_work_at(i, i + 1, &other));
            assert_string_equal(w.name, other.name);
        }
        assert_true(w.out >= 1024 && w.out <= 16384 && w.in >= 1024 && w.in <= 16384);
        for (int j = 0; j < i && i < WN__KRON_SAMPLE; j++) {
            assert_true(wn__kron_work_at(j, WN__KRON_SAMPLE, &other));
            assert_string_not_equal(w.name, other.name);
        }
        for (int pass = 0; pass < WN__KRON_PASSES; pass++)
            check_pass(&w, (wn__kron_pass)pass);
        check_pair(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(results_have_the_shape_of_the_product),
                                       cmocka_unit_test(chains_have_their_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
