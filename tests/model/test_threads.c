// SPDX-License-Identifier: MIT
// The number of threads changes no bit: losses, norms, parameters, moments and masks after several
// updates with 1, 2 and 3 threads, and the parameters again after a run on the same machine with
// the same threads.
#include "model_test.h"

#define B     3
#define T     33
#define STEPS 4

// Sizes that leave tails in every blocked kernel.
static wn__model_config odd_config(wn__mlp_kind mlp) {
    wn__model_config c = small_config(mlp);
    c.vocab_size = 301;
    c.hidden_size = 72;
    c.intermediate_size = 188;
    c.heads = 6;
    c.kv_heads = 3;
    c.head_dim = 12;
    c.mlp_bias = true;
    return c;
}

static uint32_t fingerprint(wn__model *m) {
    struct wn__st_item *items;
    size_t count;
    uint32_t crc = 0;
    OK(wn__model_states(m, &items, &count));
    for (size_t i = 0; i < count; i++)
        crc = wn__crc32(crc, items[i].view.data, wn__tensor_bytes(&items[i].view));
    free(items);
    return crc;
}

static uint32_t train(const wn__model_config *config, const char *rule, int threads,
                      double losses[STEPS]) {
    const step_options o = {.lr = 0.01, .max_norm = 0.5};
    const wn__model_spec spec = {
        .config = *config, .dtype = WN_DTYPE_F32, .training = true, .batch = B, .seq = T};
    wn__structure base = default_structure();
    base.decay = 1e-3;
    rig r;
    rig_open(&r, &spec, rule, &base, threads);
    int32_t tokens[B * T], targets[B * T];
    OK(wn__model_init(r.m, 11));
    OK(wn__model_prepare(r.m, 0));
    for (int64_t step = 0; step < STEPS; step++) {
        double norm;
        random_tokens(tokens, B * T, config->vocab_size, (uint64_t)step);
        random_tokens(targets, B * T, config->vocab_size, (uint64_t)step + 100);
        OK(wn__model_feed(r.m, tokens, targets, B, T));
        train_step(r.m, &o, step, &losses[step], &norm);
    }
    uint32_t crc = fingerprint(r.m);
    rig_close(&r);
    return crc;
}

static void check(wn__mlp_kind mlp, const char *rule) {
    const wn__model_config config = odd_config(mlp);
    double one[STEPS], other[STEPS];
    uint32_t crc = train(&config, rule, 1, one);
    for (int threads = 1; threads <= 3; threads++) {
        assert_int_equal(train(&config, rule, threads, other), crc);
        assert_memory_equal(one, other, sizeof one);
    }
}

static void dense(void **state) {
    (void)state;
    check(WN_MLP_SWIGLU, NULL);
    check(WN_MLP_RELU2, NULL);
}

static void tiles(void **state) {
    (void)state;
    check(WN_MLP_SWIGLU, "mlp.*=2:4:tile");
}

static void rows(void **state) {
    (void)state;
    check(WN_MLP_RELU2, "*_proj=2:4:row");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(dense), cmocka_unit_test(tiles),
                                       cmocka_unit_test(rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
