// SPDX-License-Identifier: MIT
// Six updates of every optimizer against torch.optim, transformers' Adafactor, and numpy's GaLore
// and LORO: tests/fixtures/optim/make_fixtures.py.
#include "optim_test.h"

#include "formats/safetensors.h"

#define UPDATES 6

typedef struct bench {
    rig r;
    wn__safetensors file;
} bench;

static wn_tensor stored(const bench *b, const char *kind, const char *name) {
    char key[200];
    (void)snprintf(key, sizeof key, "%s%s%s", kind, name[0] ? "." : "", name);
    const wn__st_entry *e = wn__safetensors_find(&b->file, key);
    if (e == NULL) fail_msg("no tensor %s", key);
    return e->view;
}

static double value_at(const wn_tensor *t, int64_t i) {
    double d;
    memcpy(&d, (const char *)t->data + i * (int64_t)sizeof d, sizeof d);
    return d;
}

static bool shown(int i) {
    return i != FROZEN && i != LARGE;
}

static void bench_open(bench *b, const wn__optimizer_options *o, wn_dtype dtype) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/optim/updates.safetensors", WN_FIXTURES);
    OK(wn__safetensors_open(path, &b->file));
    rig_open(&b->r, o, dtype, false, 1);
    for (int i = 0; i < PARAMS; i++) {
        if (!shown(i)) continue;
        const wn_tensor start = stored(b, "start", shapes[i].name);
        for (int64_t k = 0; k < wn__tensor_count(&start); k++)
            put(master(&b->r, i), k, value_at(&start, k));
    }
}

static void bench_close(bench *b) {
    rig_close(&b->r);
    wn__safetensors_close(&b->file);
}

// The rates of make_fixtures.py.
static double rate_of(int64_t u) {
    return 0.01 * (double)(1 + u % 3);
}

static wn__optimizer_report update(bench *b, int64_t u, double lr) {
    wn__optimizer_report report;
    draw_gradients(&b->r, (uint64_t)u);
    for (int i = 0; i < PARAMS; i++) {
        if (!shown(i)) continue;
        const wn_tensor *g = &b->r.params.item[i].g, all = stored(b, "grad", shapes[i].name);
        for (int64_t k = 0, n = wn__tensor_count(g); k < n; k++)
            put(g, k, value_at(&all, u * n + k));
    }
    double scale = 1 / (1 + 0.5 * (double)(u % 2));
    OK(wn__optimizer_update(b->r.o, &b->r.params, &b->r.rt->exec, lr, scale, u, &report));
    return report;
}

// Values are of order 1; an update makes some tens of roundings.
#define ROUNDINGS 200
static void compare(const bench *b, const char *run, int i, int64_t u, double roundings) {
    const wn_tensor *w = master(&b->r, i), all = stored(b, run, shapes[i].name);
    double bound = roundings * (w->dtype == WN_DTYPE_F64 ? 0x1p-53 : 0x1p-24);
    for (int64_t k = 0, n = wn__tensor_count(w); k < n; k++) {
        double want = value_at(&all, u * n + k), got = get(w, k);
        if (!(fabs(got - want) <= bound * (1 + fabs(want))))
            fail_msg("%s, %s, update %lld, element %lld: %.17g is not %.17g", run, shapes[i].name,
                     (long long)u, (long long)k, got, want);
    }
}

static void check_run(const char *run, const wn__optimizer_options *o, double constant_lr) {
    for (int single = 0; single < 2; single++) {
        bench b;
        bench_open(&b, o, single ? WN_DTYPE_F32 : WN_DTYPE_F64);
        for (int64_t u = 0; u < UPDATES; u++) {
            (void)update(&b, u, constant_lr > 0 ? constant_lr : rate_of(u));
            for (int i = 0; i < PARAMS; i++)
                if (shown(i)) compare(&b, run, i, u, ROUNDINGS);
        }
        bench_close(&b);
    }
}

static void of_torch(void **state) {
    (void)state;
    wn__optimizer_options o = options_of(WN_OPTIMIZER_ADAMW);
    check_run("adamw", &o, 0);
    o = options_of(WN_OPTIMIZER_ADAM);
    check_run("adam", &o, 0);
    o = options_of(WN_OPTIMIZER_SGD);
    check_run("sgd", &o, 0);
    o.momentum = 0;
    check_run("sgd_plain", &o, 0);
}

// Below 4096 elements AdamW with 8-bit moments is AdamW.
static void small_tensors_of_8_bits(void **state) {
    (void)state;
    wn__optimizer_options o = options_of(WN_OPTIMIZER_ADAM8BIT);
    check_run("adamw", &o, 0);
}

static void of_transformers(void **state) {
    (void)state;
    wn__optimizer_options o = options_of(WN_OPTIMIZER_ADAFACTOR);
    check_run("adafactor_momentum", &o, 0.02);
    o.momentum = 0;
    check_run("adafactor", &o, 0);
}

static void galore(void **state) {
    (void)state;
    static const char *const types[] = {"std", "reverse_std", "left", "right"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        wn__optimizer_options o = options_of(WN_OPTIMIZER_GALORE_ADAMW);
        char run[40];
        (void)snprintf(run, sizeof run, "galore_%s", types[i]);
        o.galore_type = types[i];
        check_run(run, &o, 0);
    }
}

// Seen from both sides the gradient is diagonal where its projectors come from: the other entries
// are roundings, which Adam divides by eps = 1e-6.
static void galore_from_both_sides(void **state) {
    (void)state;
    wn__optimizer_options o = options_of(WN_OPTIMIZER_GALORE_ADAMW);
    o.galore_type = "full";
    bench b;
    bench_open(&b, &o, WN_DTYPE_F64);
    for (int64_t u = 0; u < UPDATES; u++) {
        (void)update(&b, u, rate_of(u));
        for (int i = 0; i < PARAMS; i++)
            if (shown(i)) compare(&b, "galore_full", i, u, i == MATRIX ? 1e4 : ROUNDINGS);
    }
    bench_close(&b);
}

static void loro_lazy(void **state) {
    (void)state;
    wn__optimizer_options o = options_of(WN_OPTIMIZER_LORO_ADAMW);
    o.exact_every = 0;
    check_run("loro_lazy", &o, 0);
}

// Three lazy updates, then the exact one, of whose factors only the product is determined.
static void loro_exact(void **state) {
    (void)state;
    wn__optimizer_options o = options_of(WN_OPTIMIZER_LORO_ADAMW);
    o.exact_every = 4;
    bench b;
    bench_open(&b, &o, WN_DTYPE_F64);
    for (int64_t u = 0; u < 4; u++) {
        wn__optimizer_report report = update(&b, u, rate_of(u));
        assert_int_equal(report.exact, u == 3);
        assert_int_equal(report.fell_back, 0);
        for (int i = 0; i < PARAMS; i++)
            if (shown(i) && (u < 3 || (i != IN && i != OUT))) compare(&b, "loro", i, u, ROUNDINGS);
    }
    const wn_tensor want = stored(&b, "loro.product", ""), *M = master(&b.r, OUT),
                    *N = master(&b.r, IN);
    for (int64_t i = 0; i < 7; i++)
        for (int64_t j = 0; j < 9; j++) {
            double w = 0;
            for (int64_t k = 0; k < RANK; k++)
                w += get(M, i * RANK + k) * get(N, k * 9 + j);
            if (!(fabs(w - value_at(&want, i * 9 + j)) <= 1e-12))
                fail_msg("W[%lld,%lld] is %.17g, not %.17g", (long long)i, (long long)j, w,
                         value_at(&want, i * 9 + j));
        }
    bench_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(of_torch),
                                       cmocka_unit_test(small_tensors_of_8_bits),
                                       cmocka_unit_test(of_transformers),
                                       cmocka_unit_test(galore),
                                       cmocka_unit_test(galore_from_both_sides),
                                       cmocka_unit_test(loro_lazy),
                                       cmocka_unit_test(loro_exact)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
