// SPDX-License-Identifier: MIT
// LORO's numbers that can be worked out by hand, its exact steps between lazy ones, steps that are
// refused, refreshes and resets.
#include "optim_test.h"

#include "sparse/lowrank.h"

static wn__optimizer_options loro(void) {
    wn__optimizer_options o = options_of(WN_OPTIMIZER_LORO_ADAMW);
    o.beta2 = 0.999;
    return o;
}

static void near(double got, double want, double relative) {
    if (!(fabs(got - want) <= relative * fabs(want))) fail_msg("%.12g is not %.12g", got, want);
}

static void set_gradients(rig *r, double g) {
    for (int i = 0; i < PARAMS; i++)
        for (int64_t k = 0; i != FROZEN && k < wn__tensor_count(&r->params.item[i].g); k++)
            put(&r->params.item[i].g, k, g);
}

// Element 0 moves by step times direction, in a factor times the scaler too.
static void directions_and_steps(void **state) {
    (void)state;
    static const double g[] = {1, -0.5, 0.25}, updates[] = {.009999684, .002663295, .003404197};
    static const double directions[] = {3.162177663, 1.131791645, 1.685157848};
    static const double steps[] = {.003162278, .002353167, .002020106};
    wn__optimizer_options o = loro();
    o.weight_decay = 0;
    o.exact_every = 0;
    o.width = 9; // rank 3: a scaler of 1/3, as with 256 of 768
    rig r;
    rig_open(&r, &o, WN_DTYPE_F64, false, 1);
    for (int64_t u = 0; u < 3; u++) {
        double before[PARAMS];
        for (int i = 0; i < PARAMS; i++)
            before[i] = get(master(&r, i), 0);
        set_gradients(&r, g[u]);
        OK(wn__optimizer_update(r.o, &r.params, &r.rt->exec, 0.01, 1, u, NULL));
        near(get(&r.params.item[NORM].g, 0), directions[u], 1e-9); // left where the gradient was
        near(before[NORM] - get(master(&r, NORM), 0), updates[u], 1e-6);
        near(before[NORM] - get(master(&r, NORM), 0), steps[u] * directions[u], 1e-6);
        near(before[EMBED] - get(master(&r, EMBED), 0), updates[u], 1e-6);
        near(before[IN] - get(master(&r, IN), 0), updates[u] / 3, 1e-6);
        near(before[OUT] - get(master(&r, OUT), 0), updates[u] / 3, 1e-6);
        assert_true(before[FROZEN] == get(master(&r, FROZEN), 0));
    }
    rig_close(&r);
}

// eps acts on the raw root of v: small gradients move weights less in a first update.
static void first_steps_of_small_gradients(void **state) {
    (void)state;
    static const double g[] = {1e-3, 1e-5, 1e-6}, moved[] = {.0096934657, .0024025307, .0003065343};
    wn__optimizer_options o = loro();
    o.exact_every = 0;
    for (int i = 0; i < 3; i++) {
        rig r;
        rig_open(&r, &o, WN_DTYPE_F64, false, 1);
        double before = get(master(&r, NORM), 0);
        set_gradients(&r, 4 * g[i]);
        OK(wn__optimizer_update(r.o, &r.params, &r.rt->exec, 0.01, 0.25, 0, NULL));
        near(before - get(master(&r, NORM), 0), moved[i], 1e-7);
        rig_close(&r);
    }
}

// A scaler that is given counts as it is, 1 is the Euclidean step.
static void given_scalers(void **state) {
    (void)state;
    wn__optimizer_options o = loro();
    o.weight_decay = 0;
    o.exact_every = 0;
    for (int i = 0; i < 3; i++) {
        rig r;
        o.lr_scaler = 0.5 * i;
        rig_open(&r, &o, WN_DTYPE_F64, false, 1);
        double before = get(master(&r, OUT), 4);
        set_gradients(&r, 1);
        OK(wn__optimizer_update(r.o, &r.params, &r.rt->exec, 0.01, 1, 0, NULL));
        double moved = before - get(master(&r, OUT), 4);
        if (fabs(moved - 0.5 * i * .009999684) > 1e-8) fail_msg("scaler %g: %.9g", 0.5 * i, moved);
        rig_close(&r);
    }
}

// One tensor's moments, as the formulas say.
typedef struct moments {
    double m[4096], v[4096], d[4096];
} moments;

static void direct(moments *a, const wn_tensor *g, double scale) {
    for (int64_t k = 0; k < wn__tensor_count(g); k++) {
        double x = scale * get(g, k);
        a->m[k] = 0.9 * a->m[k] + 0.1 * x;
        a->v[k] = 0.999 * a->v[k] + 0.001 * x * x;
        a->d[k] = a->m[k] / (sqrt(a->v[k]) + 1e-6);
    }
}

static void same(const rig *r, int i, const double *want) {
    for (int64_t k = 0; k < wn__tensor_count(master(r, i)); k++)
        if (!(fabs(get(master(r, i), k) - want[k]) <= 1e-13 * (1 + fabs(want[k]))))
            fail_msg("%s[%lld] is %.17g, not %.17g", shapes[i].name, (long long)k,
                     get(master(r, i), k), want[k]);
}

typedef struct expected {
    moments in, out;
    double n[RANK * 9], m[7 * RANK];
} expected;

// What update u must do to the factors: exactly through the step itself on copies, else lazily;
// decay by the corrected step, after it, in lazy steps only.
static void expect(expected *e, const rig *r, int64_t u, bool exact) {
    double step = 0.02 * sqrt(1 - pow(0.999, (double)(u + 1))) / (1 - pow(0.9, (double)(u + 1)));
    direct(&e->in, &r->params.item[IN].g, 0.5);
    direct(&e->out, &r->params.item[OUT].g, 0.5);
    if (exact) {
        wn_tensor M = wn__tensor2(e->m, WN_DTYPE_F64, 7, RANK),
                  Nt = wn__tensor2(e->n, WN_DTYPE_F64, RANK, 9),
                  dM = wn__tensor2(e->out.d, WN_DTYPE_F64, 7, RANK),
                  dNt = wn__tensor2(e->in.d, WN_DTYPE_F64, RANK, 9);
        wn_tensor N = wn__tensor_transpose(&Nt), dN = wn__tensor_transpose(&dNt);
        const wn__exact_options o = {0};
        wn__exact_report report;
        void *scratch = aligned_alloc(64, (wn__lowrank_exact_scratch(7, 9, RANK) + 63) / 64 * 64);
        OK(wn__lowrank_exact_step(&r->rt->exec, &M, &N, &dM, &dN, step, &o, scratch, &report));
        assert_false(report.fell_back);
        free(scratch);
        return;
    }
    for (int k = 0; k < RANK * 9; k++) {
        e->n[k] -= step * (RANK / 12.0) * e->in.d[k];
        e->n[k] -= step * 0.1 * e->n[k];
    }
    for (int k = 0; k < 7 * RANK; k++) {
        e->m[k] -= step * (RANK / 12.0) * e->out.d[k];
        e->m[k] -= step * 0.1 * e->m[k];
    }
}

static void exact_steps_among_lazy_ones(void **state) {
    (void)state;
    const wn__optimizer_options o = loro();
    static expected e; // large
    rig r;
    rig_open(&r, &o, WN_DTYPE_F64, false, 1);
    memset(&e, 0, sizeof e);
    for (int k = 0; k < RANK * 9; k++)
        e.n[k] = get(master(&r, IN), k);
    for (int k = 0; k < 7 * RANK; k++)
        e.m[k] = get(master(&r, OUT), k);
    for (int64_t u = 0; u < 8; u++) {
        wn__optimizer_report report;
        bool exact = (u + 1) % 3 == 0;
        draw_gradients(&r, (uint64_t)u + 1);
        expect(&e, &r, u, exact);
        OK(wn__optimizer_update(r.o, &r.params, &r.rt->exec, 0.02, 0.5, u, &report));
        assert_int_equal(report.exact, exact);
        assert_int_equal(report.fell_back, 0);
        assert_true(exact == (report.moved > 0) && exact == (report.condition >= 1));
        for (size_t i = 0; i < PARAMS; i++)
            assert_true(wn__optimizer_replaced(r.o, i) == (exact && (i == IN || i == OUT)));
        assert_false(report.refreshed);
        same(&r, IN, e.n);
        same(&r, OUT, e.m);
    }
    rig_close(&r);
}

// A factor with a zero column: the lazy step instead, counted and named.
static void a_refused_step(void **state) {
    (void)state;
    wn__optimizer_options o = loro();
    rig exact, lazy;
    rig_open(&exact, &o, WN_DTYPE_F64, false, 1);
    o.exact_every = 0;
    rig_open(&lazy, &o, WN_DTYPE_F64, false, 1);
    for (int64_t k = 0; k < 7; k++) {
        put(master(&exact, OUT), k * RANK + 1, 0);
        put(master(&lazy, OUT), k * RANK + 1, 0);
    }
    wn__optimizer_report report = step_drawn(&exact, 0.01, 1, 2);
    wn__optimizer_report none = step_drawn(&lazy, 0.01, 1, 2);
    assert_int_equal(report.exact, 0);
    assert_int_equal(report.fell_back, 1);
    assert_string_equal(report.pair, shapes[OUT].name);
    assert_true(strlen(report.why) > 0);
    assert_int_equal(none.fell_back, 0);
    assert_false(wn__optimizer_replaced(exact.o, OUT));
    assert_null(none.why);
    for (int i = 0; i < PARAMS; i++)
        assert_memory_equal(master(&exact, i)->data, master(&lazy, i)->data,
                            wn__tensor_bytes(master(&lazy, i)));
    rig_close(&exact);
    rig_close(&lazy);
}

static double sum_of_states(const rig *r, int i) {
    double sum = 0;
    for (int k = 0; k < 2; k++)
        for (int64_t j = 0; j < wn__tensor_count(&r->params.item[i].state[k]); j++)
            sum += fabs(get(&r->params.item[i].state[k], j));
    return sum;
}

static int64_t count_of(const rig *r, int i) {
    const char *name;
    wn_tensor counts;
    size_t last = wn__optimizer_state_count(r->o, &r->params) - 1;
    wn__optimizer_state_at(r->o, &r->params, last, &name, &counts);
    assert_string_equal(name, "optimizer.updates");
    return ((const int64_t *)counts.data)[i];
}

// Groups are set back right after updates 1, 3, ...; the one after such an update is a first one.
static void refreshes(void **state) {
    (void)state;
    static const struct {
        wn__refresh refresh;
        bool regular, factors;
    } groups[] = {{WN_REFRESH_NONE, false, false},
                  {WN_REFRESH_REGULAR, true, false},
                  {WN_REFRESH_LOWRANK, false, true},
                  {WN_REFRESH_ALL, true, true}};
    for (size_t g = 0; g < 4; g++) {
        wn__optimizer_options o = loro();
        rig r;
        o.refresh = groups[g].refresh;
        o.refresh_every = 2;
        rig_open(&r, &o, WN_DTYPE_F32, false, 1);
        for (int64_t u = 0; u < 5; u++) {
            bool ends = u % 2 == 1;
            wn__optimizer_report report = step_drawn(&r, 0.01, 1, u);
            assert_int_equal(report.refreshed, ends && g > 0);
            for (int i = 0; i < PARAMS; i++) {
                if (i == FROZEN) continue;
                bool set_back = i == IN || i == OUT ? groups[g].factors : groups[g].regular;
                assert_int_equal(count_of(&r, i), set_back ? (u + 1) % 2 : u + 1);
                assert_true((sum_of_states(&r, i) == 0) == (set_back && ends));
            }
            assert_int_equal(count_of(&r, FROZEN), 0);
        }
        double before = get(master(&r, NORM), 2); // a first update again: |g| / (|g| + small)
        OK(wn__optimizer_update(r.o, &r.params, &r.rt->exec, 0, 1, 5, NULL));
        set_gradients(&r, 1);
        OK(wn__optimizer_update(r.o, &r.params, &r.rt->exec, 0.01, 1, 6, NULL));
        if (groups[g].regular) near(before - get(master(&r, NORM), 2), .009999684, 1e-4);
        rig_close(&r);
    }
}

// After every update whose number is a multiple, the first among them; for every kind.
static void resets(void **state) {
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        wn__optimizer_options o = options_of(all_kinds[kind]);
        rig r;
        o.reset_every = 3;
        rig_open(&r, &o, WN_DTYPE_F32, false, 1);
        for (int64_t u = 0; u < 5; u++) {
            assert_int_equal(step_drawn(&r, 0.01, 1, u).refreshed, u % 3 == 0);
            assert_int_equal(count_of(&r, NORM), u % 3);
            assert_int_equal(count_of(&r, LARGE), u % 3);
        }
        rig_close(&r);
    }
}

// Both factors of a layer have one count; a checkpoint that says otherwise is refused.
static void counts_must_agree(void **state) {
    (void)state;
    const wn__optimizer_options o = loro();
    rig r;
    const char *name;
    wn_tensor counts;
    rig_open(&r, &o, WN_DTYPE_F32, false, 1);
    (void)step_drawn(&r, 0.01, 1, 0);
    wn__optimizer_state_at(r.o, &r.params, wn__optimizer_state_count(r.o, &r.params) - 1, &name,
                           &counts);
    ((int64_t *)counts.data)[IN] = 7;
    draw_gradients(&r, 2);
    FAILS(wn__optimizer_update(r.o, &r.params, &r.rt->exec, 0.01, 1, 1, NULL), WN_INVALID,
          "weight_out: 1 updates of one factor, 7 of");
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(directions_and_steps),
                                       cmocka_unit_test(first_steps_of_small_gradients),
                                       cmocka_unit_test(given_scalers),
                                       cmocka_unit_test(exact_steps_among_lazy_ones),
                                       cmocka_unit_test(a_refused_step),
                                       cmocka_unit_test(refreshes),
                                       cmocka_unit_test(resets),
                                       cmocka_unit_test(counts_must_agree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
