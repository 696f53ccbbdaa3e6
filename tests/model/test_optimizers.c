// SPDX-License-Identifier: MIT
// Every optimizer learns one batch of random tokens by heart, dense models and models of factors,
// also over rounded weights.
#include "model_test.h"

#define B 4
#define T 12

typedef struct method {
    wn__optimizer_kind kind;
    double lr;
    int64_t steps;
    const char *rule; /* NULL: dense */
} method;

static wn__optimizer_options options_of(wn__optimizer_kind kind) {
    return (wn__optimizer_options){.kind = kind,
                                   .beta1 = 0.9,
                                   .beta2 = 0.99,
                                   .eps = 1e-8,
                                   .momentum = kind == WN_OPTIMIZER_SGD ? 0.9 : 0,
                                   .exact_every = 20,
                                   .lr_scaler = -1,
                                   .width = 32,
                                   .refresh = WN_REFRESH_ALL,
                                   .refresh_every = 40,
                                   .galore_rank = 8,
                                   .galore_gap = 10,
                                   .galore_scale = 1,
                                   .galore_type = "std"};
}

static int64_t exact_steps; /* of the last run */

static double learn(const method *way, bool round, double *first) {
    const wn__model_config config = small_config(WN_MLP_SWIGLU);
    const wn__optimizer_options o = options_of(way->kind);
    const wn__structure base = default_structure();
    const wn__model_spec spec = {.config = config,
                                 .dtype = WN_DTYPE_F32,
                                 .training = true,
                                 .round16 = round,
                                 .batch = B,
                                 .seq = T};
    rig r;
    rig_open_with(&r, &spec, way->rule, &base, 2, &o);
    int32_t tokens[B * T], targets[B * T];
    random_tokens(tokens, B * T, config.vocab_size, 7);
    random_tokens(targets, B * T, config.vocab_size, 8);
    OK(wn__model_init(r.m, 3));
    OK(wn__model_prepare(r.m, 0));
    OK(wn__model_feed(r.m, tokens, targets, B, T));
    double loss = 0;
    exact_steps = 0;
    for (int64_t u = 0; u < way->steps; u++) {
        wn__optimizer_report report;
        int64_t labels;
        OK(wn__model_zero_gradients(r.m));
        OK(wn__model_loss_backward(r.m, 1.0 / (B * T), &loss, &labels));
        if (u == 0) *first = loss / (B * T);
        OK(wn__model_update(r.m, way->lr, 1, u, &report));
        OK(wn__model_prepare(r.m, u + 1));
        assert_int_equal(report.fell_back, 0);
        exact_steps += report.exact;
    }
    rig_close(&r);
    return loss / (B * T);
}

static void check(const method *way, bool round) {
    double first = 0, last = learn(way, round, &first);
    assert_true(fabs(first - log(48)) < 1);
    if (!(last < 0.1))
        fail_msg("%s, %s%s: the loss went from %g to %g only", wn__optimizer_name(way->kind),
                 way->rule != NULL ? way->rule : "dense", round ? ", rounded" : "", first, last);
}

static void dense_models(void **state) {
    (void)state;
    static const method ways[] = {
        {WN_OPTIMIZER_ADAMW, 0.01, 80, NULL},      {WN_OPTIMIZER_ADAM, 0.01, 80, NULL},
        {WN_OPTIMIZER_SGD, 0.5, 400, NULL},        {WN_OPTIMIZER_ADAFACTOR, 0.01, 80, NULL},
        {WN_OPTIMIZER_ADAM8BIT, 0.01, 80, NULL},   {WN_OPTIMIZER_GALORE_ADAMW, 0.01, 80, NULL},
        {WN_OPTIMIZER_LORO_ADAMW, 0.01, 80, NULL},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        check(&ways[i], false);
        assert_int_equal(exact_steps, 0);
    }
}

static void models_of_factors(void **state) {
    (void)state;
    static const method ways[] = {
        {WN_OPTIMIZER_ADAMW, 0.01, 80, "*_proj=lowrank:8"},
        {WN_OPTIMIZER_GALORE_ADAMW, 0.01, 80, "mlp.*=lowrank:8"},
        {WN_OPTIMIZER_LORO_ADAMW, 0.02, 100, "*_proj=lowrank:8"},
        {WN_OPTIMIZER_LORO_ADAMW, 0.02, 100, "mlp.*=lowrank:16+2:4"},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        check(&ways[i], false);
    assert_int_equal(exact_steps, 2 * 3 * 5); // pairs times updates 20, 40, ...
}

static void rounded_weights(void **state) {
    (void)state;
    static const method ways[] = {
        {WN_OPTIMIZER_ADAM8BIT, 0.01, 80, NULL},
        {WN_OPTIMIZER_LORO_ADAMW, 0.02, 100, "*_proj=lowrank:8"},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        check(&ways[i], true);
    assert_int_equal(exact_steps, 2 * 7 * 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(dense_models),
                                       cmocka_unit_test(models_of_factors),
                                       cmocka_unit_test(rounded_weights)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
