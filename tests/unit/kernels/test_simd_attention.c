// SPDX-License-Identifier: MIT
// attention and attention_grad on vectors, every variant that this processor has: against ref in
// F64 within the bounds derived in simd/attention*.inc.h, on views; thread counts; extreme scores.
#include "base/cpu.h"
#include "kernels/attention.h"
#include "ref_test.h"

#define U 0x1p-24

typedef struct sizes {
    int64_t B, T, S, H, Hk, D;
} sizes;

typedef struct problem {
    wn__attention fwd;
    wn__attention_grad bwd;
    double scale;
} problem;

enum { TENSORS = 9, FIRST_OUTPUT = 5 }; // q, k, v, dout, and then what is written

static void each_tensor(problem *p, wn_tensor *list[TENSORS]) {
    wn_tensor *all[TENSORS] = {&p->fwd.q,   &p->fwd.k,  &p->fwd.v,  &p->bwd.dout, &p->fwd.out,
                               &p->fwd.lse, &p->bwd.dq, &p->bwd.dk, &p->bwd.dv};
    memcpy(list, all, sizeof all);
}

static void refresh(problem *p) {
    const wn__attention *f = &p->fwd;
    p->bwd.q = f->q, p->bwd.k = f->k, p->bwd.v = f->v, p->bwd.out = f->out, p->bwd.lse = f->lse;
    p->fwd.scale = p->bwd.scale = p->scale;
}

static int64_t place(const wn_tensor *t, int64_t b, int64_t i, int64_t h) {
    return b * t->stride[0] + i * t->stride[1] + h * t->stride[2];
}

static double at4(const wn_tensor *t, int64_t b, int64_t i, int64_t h, int64_t d) {
    return wn__get(t, place(t, b, i, h) + d);
}

static void poison(const wn_tensor *block) {
    memset(block->data, 0xFF, wn__tensor_bytes(block));
}

// A view of [B, N, H, D] inside a block with room around and between its heads.
static wn_tensor view4(int64_t B, int64_t N, int64_t H, int64_t D, int64_t pad, wn_tensor *block) {
    *block = make4(WN_DTYPE_F32, B, N + pad, H + pad, D + 3 * pad);
    poison(block);
    wn_tensor t = wn__tensor_slice(block, 1, 0, N);
    t = wn__tensor_slice(&t, 2, pad, H);
    return wn__tensor_slice(&t, 3, pad, D);
}

static void fill_view(const wn_tensor *t, uint64_t seed) {
    wn_tensor values = make(WN_DTYPE_F64, 4, t->shape);
    fill_for_gradient(&values, seed);
    for (int64_t n = 0, b = 0; b < t->shape[0]; b++)
        for (int64_t i = 0; i < t->shape[1]; i++)
            for (int64_t h = 0; h < t->shape[2]; h++)
                for (int64_t d = 0; d < t->shape[3]; d++)
                    wn__set(t, place(t, b, i, h) + d, wn__get(&values, n++));
    free(values.data);
}

typedef struct blocks {
    wn_tensor of[TENSORS];
} blocks;

// Random inputs; outputs and everything between are NaN.
static problem make_problem(sizes s, int64_t pad, uint64_t seed, blocks *own) {
    problem p = {.scale = 1 / sqrt((double)s.D)};
    wn_tensor *list[TENSORS];
    each_tensor(&p, list);
    for (int i = 0; i < TENSORS; i++) {
        bool keys = i == 1 || i == 2 || i >= 7;
        if (list[i] == &p.fwd.lse) {
            own->of[i] = make(WN_DTYPE_F32, 3, (const int64_t[]){s.B, s.H, s.T});
            poison(&own->of[i]);
            *list[i] = own->of[i];
            continue;
        }
        *list[i] = view4(s.B, keys ? s.S : s.T, keys ? s.Hk : s.H, s.D, pad, &own->of[i]);
        if (i < 4) fill_view(list[i], seed + (uint64_t)i);
    }
    refresh(&p);
    return p;
}

static void free_blocks(blocks *own) {
    for (int i = 0; i < TENSORS; i++)
        free(own->of[i].data);
}

// A packed F64 copy of one tensor of the problem.
static wn_tensor widened(const wn_tensor *t) {
    wn_tensor wide = make(WN_DTYPE_F64, t->ndim, t->shape);
    if (t->ndim == 3) {
        for (int64_t i = 0; i < wn__tensor_count(t); i++)
            wn__set(&wide, i, wn__get(t, i));
        return wide;
    }
    for (int64_t n = 0, b = 0; b < t->shape[0]; b++)
        for (int64_t i = 0; i < t->shape[1]; i++)
            for (int64_t h = 0; h < t->shape[2]; h++)
                for (int64_t d = 0; d < t->shape[3]; d++)
                    wn__set(&wide, n++, at4(t, b, i, h, d));
    return wide;
}

static problem widened_problem(problem *p) {
    problem wide = *p;
    wn_tensor *from[TENSORS], *to[TENSORS];
    each_tensor(p, from);
    each_tensor(&wide, to);
    for (int i = 0; i < TENSORS; i++)
        *to[i] = widened(from[i]);
    refresh(&wide);
    return wide;
}

static void free_problem(problem *p) {
    wn_tensor *list[TENSORS];
    each_tensor(p, list);
    for (int i = 0; i < TENSORS; i++)
        free(list[i]->data);
}

static const wn__kernel *kernel(wn__op op, const char *variant) {
    size_t count;
    const wn__kernel *table = wn__kernel_table(&count);
    for (size_t i = 0; i < count; i++)
        if (table[i].op == op && strcmp(table[i].variant, variant) == 0) return table + i;
    fail_msg("%s has no variant %s", wn__op_name(op), variant);
    return NULL;
}

// Runs with exactly the workspace that is asked for, full of NaN.
static void run(wn__op op, const char *variant, const void *args, wn__pool *pool) {
    const wn__kernel *k = kernel(op, variant);
    size_t need = k->workspace(args, wn__pool_threads(pool));
    void *scratch = NULL;
    assert_int_equal(posix_memalign(&scratch, 64, need > 0 ? need : 64), 0);
    memset(scratch, 0xFF, need);
    wn__exec x = {.pool = pool, .scratch = scratch, .scratch_size = need};
    assert_ok(wn__run_kernel(&x, k, args));
    free(scratch);
}

static void run_both(const char *variant, const problem *p, wn__pool *pool) {
    run(WN__OP_attention, variant, &p->fwd, pool);
    run(WN__OP_attention_grad, variant, &p->bwd, pool);
}

// Variants of this processor. NULL ends.
static const char *const *variants(void) {
    static const char *const all[] = {"avx512", "avx2", NULL}, *const none = NULL;
    uint32_t flags = wn__cpu_flags();
    if (flags & WN_CPU_AVX512) return all;
    return flags & WN_CPU_AVX2 ? all + 1 : &none;
}

static double sum_abs(const wn_tensor *a, int64_t i, const wn_tensor *b, int64_t j) {
    double sum = 0;
    for (int64_t d = 0; d < a->shape[3]; d++)
        sum += fabs(wn__get(a, i + d) * wn__get(b, j + d));
    return sum;
}

static double dot(const wn_tensor *a, int64_t i, const wn_tensor *b, int64_t j) {
    double sum = 0;
    for (int64_t d = 0; d < a->shape[3]; d++)
        sum += wn__get(a, i + d) * wn__get(b, j + d);
    return sum;
}

// What may be wrong with each output, beside the sums of a query over its keys.
typedef struct bounds {
    wn_tensor out, lse, dq, dk, dv;
} bounds;

// One query: adds to the bounds all that its weights and their gradients may be wrong by.
static void bound_query(const problem *w, bounds *bound, int64_t b, int64_t t, int64_t h) {
    const wn_tensor *q = &w->fwd.q, *k = &w->fwd.k, *v = &w->fwd.v, *dout = &w->bwd.dout;
    int64_t T = q->shape[1], H = q->shape[2], D = q->shape[3], g = h / (H / k->shape[2]);
    int64_t n = k->shape[1] - T + t + 1, at = place(q, b, t, h);
    double c = 0, lse = wn__get(&w->fwd.lse, (b * H + h) * T + t);
    double delta = sum_abs(dout, at, &w->fwd.out, at), terms = (double)(T * (H / k->shape[2]));
    for (int64_t j = 0; j < n; j++)
        c = fmax(c, w->scale * sum_abs(q, at, k, place(k, b, j, g)));
    double weight = ((double)(D + 9) * c + 8 + (double)n / 16) * U;
    double sums = expm1(2 * (weight + (double)(n + 2) * U));
    double again = expm1((((double)D + 4) * c + fabs(lse) + 3) * U);
    wn__set(&bound->lse, (b * H + h) * T + t,
            expm1(weight + (double)n * U) + U * (fabs(lse) + 2 * log((double)n)));
    for (int64_t j = 0; j < n; j++) {
        int64_t key = place(k, b, j, g);
        double p = exp(w->scale * dot(q, at, k, key) - lse);
        double m = sum_abs(dout, at, v, key) + delta, ds = again + (double)(D + 4) * U;
        for (int64_t d = 0; d < D; d++) {
            double *out = (double *)bound->out.data + at + d,
                   *dq = (double *)bound->dq.data + at + d;
            double *dk = (double *)bound->dk.data + key + d,
                   *dv = (double *)bound->dv.data + key + d;
            *out += sums * p * fabs(wn__get(v, key + d));
            *dq += w->scale * p * m * fabs(wn__get(k, key + d)) * (ds + (double)(n + 4) * U);
            *dk += w->scale * p * m * fabs(wn__get(q, at + d)) * (ds + (terms + 4) * U);
            *dv += p * fabs(wn__get(dout, at + d)) * (again + (terms + 4) * U);
        }
    }
}

static bounds bounds_of(const problem *w) {
    bounds bound = {make(WN_DTYPE_F64, 4, w->fwd.q.shape), make(WN_DTYPE_F64, 3, w->fwd.lse.shape),
                    make(WN_DTYPE_F64, 4, w->fwd.q.shape), make(WN_DTYPE_F64, 4, w->fwd.k.shape),
                    make(WN_DTYPE_F64, 4, w->fwd.k.shape)};
    for (int64_t b = 0; b < w->fwd.q.shape[0]; b++)
        for (int64_t t = 0; t < w->fwd.q.shape[1]; t++)
            for (int64_t h = 0; h < w->fwd.q.shape[2]; h++)
                bound_query(w, &bound, b, t, h);
    return bound;
}

// The largest share of its bound that an element is wrong by; fails above 1.
static void assert_within(const char *what, const wn_tensor *found, const wn_tensor *want,
                          const wn_tensor *bound) {
    wn_tensor wide = widened(found);
    for (int64_t i = 0; i < wn__tensor_count(want); i++) {
        double error = fabs(wn__get(&wide, i) - wn__get(want, i)), most = wn__get(bound, i);
        if (!(error <= most + 0x1p-140))
            fail_msg("%s: element %lld is %.9g, not %.9g within %.3g", what, (long long)i,
                     wn__get(&wide, i), wn__get(want, i), most);
    }
    free(wide.data);
}

// What is between the views still holds its NaN.
static void assert_untouched(const wn_tensor *view, const wn_tensor *block) {
    int64_t intact = 0, all = wn__tensor_count(block);
    for (int64_t i = 0; i < all; i++) {
        uint32_t bits;
        memcpy(&bits, (const char *)block->data + 4 * i, 4);
        intact += bits == UINT32_MAX;
    }
    assert_int_equal(intact, all - wn__tensor_count(view));
}

static void check(const char *variant, sizes s, int64_t pad, uint64_t seed) {
    blocks own;
    problem p = make_problem(s, pad, seed, &own);
    run_both(variant, &p, NULL);
    problem w = widened_problem(&p);
    wn__exec x = one_thread();
    assert_ok(wn__attention_grad_ref(&w.bwd, &x)); // from the variant's out and lse
    assert_ok(wn__attention_ref(&w.fwd, &x));
    char what[120];
    snprintf(what, sizeof what, "%s B=%d T=%d S=%d H=%d Hk=%d D=%d", variant, (int)s.B, (int)s.T,
             (int)s.S, (int)s.H, (int)s.Hk, (int)s.D);
    bounds bound = bounds_of(&w);
    wn_tensor *found[TENSORS], *want[TENSORS];
    each_tensor(&p, found);
    each_tensor(&w, want);
    const wn_tensor *most[TENSORS] = {
        [4] = &bound.out, [5] = &bound.lse, [6] = &bound.dq, [7] = &bound.dk, [8] = &bound.dv};
    static const char *const names[TENSORS] = {[4] = "out", "lse", "dq", "dk", "dv"};
    for (int i = 4; i < TENSORS; i++) {
        char name[140];
        snprintf(name, sizeof name, "%s %s", what, names[i]);
        assert_within(name, found[i], want[i], most[i]);
        assert_untouched(found[i], &own.of[i]);
        free(most[i]->data);
    }
    free_problem(&w);
    free_blocks(&own);
}

static const sizes shapes[] = {
    {1, 1, 1, 1, 1, 1},      {2, 3, 3, 2, 1, 3},      {1, 5, 5, 3, 3, 16},
    {1, 4, 67, 8, 2, 20},    {2, 8, 8, 2, 2, 32},     {1, 9, 9, 2, 2, 8},
    {2, 17, 17, 4, 2, 5},    {1, 16, 16, 1, 1, 16},   {1, 33, 40, 2, 1, 20},
    {3, 31, 31, 6, 3, 32},   {1, 64, 64, 2, 2, 64},   {1, 65, 65, 2, 1, 64},
    {1, 63, 66, 1, 1, 1},    {1, 96, 130, 2, 1, 7},   {1, 130, 130, 2, 1, 128},
    {2, 128, 128, 4, 4, 32}, {1, 100, 227, 3, 1, 24}, {1, 1, 200, 1, 1, 64},
    {2, 1, 77, 6, 6, 32},    {1, 1, 300, 8, 1, 128},  {1, 2, 1100, 2, 1, 19},
    {1, 7, 600, 5, 5, 33},   {1, 1, 2600, 2, 2, 12},  {9, 20, 20, 1, 1, 3},
};

static void test_bounds(void **state) {
    (void)state;
    for (const char *const *v = variants(); *v != NULL; v++)
        for (int64_t n = 0; n < LENGTH(shapes); n++)
            check(*v, shapes[n], n % 3, 10 * (uint64_t)n + 1);
}

// Every pair of small T and S, so that each edge of a tile and of the staircase occurs.
static void test_edges(void **state) {
    (void)state;
    for (const char *const *v = variants(); *v != NULL; v++)
        for (int64_t S = 1; S <= 37; S++)
            for (int64_t T = 1; T <= S; T += 1 + (S + T) % 3)
                check(*v, (sizes){1, T, S, 2, 1, 1 + (S * 7 + T) % 21}, 1, (uint64_t)(100 * S + T));
}

// Any number of threads, and again: the same bits.
static void test_threads(void **state) {
    (void)state;
    static const sizes some[] = {
        {2, 70, 70, 4, 2, 20}, {5, 40, 50, 4, 2, 16}, {1, 3, 2300, 4, 2, 24}};
    for (const char *const *v = variants(); *v != NULL; v++)
        for (int64_t n = 0; n < LENGTH(some); n++) {
            blocks own, other;
            problem p = make_problem(some[n], 0, 7, &own);
            run_both(*v, &p, NULL);
            for (int threads = 1; threads <= 3; threads++) {
                wn__pool *pool = NULL;
                assert_ok(wn__pool_create(threads, &pool));
                problem again = make_problem(some[n], 0, 7, &other);
                run_both(*v, &again, pool);
                wn__pool_free(pool);
                for (int i = 4; i < TENSORS; i++)
                    assert_bits(&own.of[i], &other.of[i]);
                free_blocks(&other);
            }
            free_blocks(&own);
        }
}

// Scores 200 (j + 1) or 200 (n - j): no overflow, the largest takes all, its gradient is 0.
static void check_large(const char *variant, int64_t T, int64_t S, bool rising) {
    blocks own;
    problem p = make_problem((sizes){1, T, S, 1, 1, 2}, 0, 3, &own);
    p.scale = 1;
    refresh(&p);
    for (int64_t i = 0; i < 2 * T; i++)
        wn__set(&p.fwd.q, i, 100);
    for (int64_t i = 0; i < 2 * S; i++)
        wn__set(&p.fwd.k, i, (double)(rising ? i / 2 + 1 : S - i / 2));
    run_both(variant, &p, NULL);
    for (int64_t t = 0; t < T; t++) {
        int64_t key = rising ? S - T + t : 0;
        assert_true(wn__get(&p.fwd.lse, t) == 200.0 * (double)(rising ? key + 1 : S));
        for (int64_t d = 0; d < 2; d++) {
            assert_true(wn__get(&p.fwd.out, 2 * t + d) == wn__get(&p.fwd.v, 2 * key + d));
            assert_near(wn__get(&p.bwd.dq, 2 * t + d), 0, 0x1p-24 * 60 * (double)S);
        }
    }
    free_blocks(&own);
}

static void test_large_scores(void **state) {
    (void)state;
    static const int64_t sizes_of[][2] = {{1, 1}, {3, 3}, {1, 700}, {70, 70}, {40, 300}};
    for (const char *const *v = variants(); *v != NULL; v++)
        for (int64_t n = 0; n < LENGTH(sizes_of); n++) {
            check_large(*v, sizes_of[n][0], sizes_of[n][1], false);
            check_large(*v, sizes_of[n][0], sizes_of[n][1], true);
        }
}

// Without lse the output is the same; a key that is -infinity away weighs nothing, even when a
// whole block of keys is.
static void test_infinite_scores(void **state) {
    (void)state;
    for (const char *const *v = variants(); *v != NULL; v++)
        for (int64_t T = 1; T <= 90; T += 89) {
            blocks own;
            problem p = make_problem((sizes){1, T, 900, 1, 1, 4}, 0, 13, &own);
            for (int64_t i = 0; i < 4 * T; i++)
                wn__set(&p.fwd.q, i, 1);
            for (int64_t i = 0; i < 4 * 800; i++)
                wn__set(&p.fwd.k, i, -INFINITY);
            problem w = widened_problem(&p);
            wn__exec x = one_thread();
            assert_ok(wn__attention_ref(&w.fwd, &x));
            p.fwd.lse = (wn_tensor){0};
            run(WN__OP_attention, *v, &p.fwd, NULL);
            for (int64_t i = 0; i < 4 * T; i++)
                assert_near(wn__get(&p.fwd.out, i), wn__get(&w.fwd.out, i), 1e-5);
            free_problem(&w);
            free_blocks(&own);
        }
}

// Only what a query sees: NaN in keys and values after it changes no bit of its outputs, nor do NaN
// in queries before a key change its gradients.
static void check_causal(const char *variant, sizes s, int64_t cut) {
    blocks own, other;
    problem p = make_problem(s, 0, 5, &own), q = make_problem(s, 0, 5, &other);
    int64_t row = s.D, keys = s.S - s.T + cut; // query `cut` is the first that sees key `keys`
    run_both(variant, &p, NULL);
    for (int64_t i = row * keys; i < row * s.S; i++) {
        wn__set(&q.fwd.k, i, NAN);
        wn__set(&q.fwd.v, i, -INFINITY);
    }
    run_both(variant, &q, NULL);
    size_t before = (size_t)(cut * row) * sizeof(float);
    assert_memory_equal(p.fwd.out.data, q.fwd.out.data, before);
    assert_memory_equal(p.fwd.lse.data, q.fwd.lse.data, (size_t)cut * sizeof(float));
    assert_memory_equal(p.bwd.dq.data, q.bwd.dq.data, before);
    assert_true(isnan(wn__get(&q.fwd.out, cut * row)));
    assert_true(isnan(wn__get(&q.bwd.dq, cut * row)));
    free_blocks(&other);
    q = make_problem(s, 0, 5, &other);
    run(WN__OP_attention, variant, &q.fwd, NULL);
    for (int64_t i = 0; i < row * cut; i++) {
        wn__set(&q.fwd.q, i, INFINITY);
        wn__set(&q.bwd.dout, i, NAN);
    }
    run(WN__OP_attention_grad, variant, &q.bwd, NULL);
    size_t after = (size_t)((s.S - keys) * row) * sizeof(float);
    assert_memory_equal((float *)p.bwd.dk.data + keys * row, (float *)q.bwd.dk.data + keys * row,
                        after);
    assert_memory_equal((float *)p.bwd.dv.data + keys * row, (float *)q.bwd.dv.data + keys * row,
                        after);
    if (cut > 0) assert_true(isnan(wn__get(&q.bwd.dv, (keys - 1) * row)));
    free_blocks(&own);
    free_blocks(&other);
}

static void test_causal(void **state) {
    (void)state;
    for (const char *const *v = variants(); *v != NULL; v++)
        for (int64_t cut = 0; cut < 90; cut += 1 + cut % 3) {
            check_causal(*v, (sizes){1, 90, 90, 1, 1, 8}, cut);
            check_causal(*v, (sizes){1, 90, 96 + cut % 7, 1, 1, 5}, cut);
            if (cut < 7) check_causal(*v, (sizes){1, 7, 260, 1, 1, 20}, cut);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),          cmocka_unit_test(test_edges),
        cmocka_unit_test(test_threads),         cmocka_unit_test(test_large_scores),
        cmocka_unit_test(test_infinite_scores), cmocka_unit_test(test_causal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
