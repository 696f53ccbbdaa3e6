// SPDX-License-Identifier: MIT
// One batch of random tokens learnt by heart: loss from about ln V to near zero, for dense models
// and for 2:4 ones.
#include "model_test.h"

#define B 4
#define T 12

static double learn(const wn__model_config *config, const char *rule, const wn__structure *base,
                    int64_t steps, double *first) {
    const step_options o = {.lr = 0.01, .max_norm = 1.0};
    const wn__optimizer_options adamw = adamw_options(0);
    const wn__model_spec spec = {
        .config = *config, .dtype = WN_DTYPE_F32, .training = true, .batch = B, .seq = T};
    rig r;
    rig_open_with(&r, &spec, rule, base, 2, &adamw);
    int32_t text[B * (T + 1)], tokens[B * T], targets[B * T];
    random_tokens(text, B * (T + 1), config->vocab_size, 7);
    for (int b = 0; b < B; b++) {
        memcpy(tokens + b * T, text + b * (T + 1), T * sizeof *text);
        memcpy(targets + b * T, text + b * (T + 1) + 1, T * sizeof *text);
    }
    OK(wn__model_init(r.m, 3));
    OK(wn__model_prepare(r.m, 0));
    OK(wn__model_feed(r.m, tokens, targets, B, T));
    double loss = 0, norm;
    for (int64_t step = 0; step < steps; step++) {
        train_step(r.m, &o, step, &loss, &norm);
        if (step == 0) *first = loss;
    }
    rig_close(&r);
    return loss;
}

static void check(wn__mlp_kind mlp, const char *rule, int64_t mask_every, int64_t freeze_after,
                  double decay) {
    const wn__model_config config = small_config(mlp);
    wn__structure base = default_structure();
    base.mask_every = mask_every;
    base.freeze_after = freeze_after;
    base.decay = decay;
    double first = 0, last = learn(&config, rule, &base, 120, &first);
    assert_true(fabs(first - log((double)config.vocab_size)) < 0.5);
    if (!(last < 0.03)) fail_msg("the loss went from %g to %g only", first, last);
}

static void dense(void **state) {
    (void)state;
    check(WN_MLP_SWIGLU, NULL, 1, 0, 0);
    check(WN_MLP_RELU2, NULL, 1, 0, 0);
}

static void tiles(void **state) {
    (void)state;
    check(WN_MLP_SWIGLU, "mlp.*=2:4:tile", 10, 60, 1e-4);
    check(WN_MLP_RELU2, "*_proj=2:4:tile", 1, 60, 0);
}

static void rows(void **state) {
    (void)state;
    check(WN_MLP_SWIGLU, "*_proj=2:4:row", 5, 60, 0);
}

static void greedy(void **state) {
    (void)state;
    check(WN_MLP_RELU2, "mlp.*=2:4:greedy", 1, 0, 1e-4);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(dense), cmocka_unit_test(tiles),
                                       cmocka_unit_test(rows), cmocka_unit_test(greedy)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
