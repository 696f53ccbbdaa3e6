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

// What a case differs in.
typedef struct method {
    wn__mlp_kind mlp;
    const char *rule; /* NULL: dense */
    wn__optimizer_kind optimizer;
    bool fp8, round16, recompute;
} method;

static uint32_t train(const method *c, int threads, double losses[STEPS]) {
    const wn__model_config config = odd_config(c->mlp);
    const step_options o = {.lr = 0.01, .max_norm = 0.5};
    const wn__model_spec spec = {.config = config,
                                 .dtype = WN_DTYPE_F32,
                                 .training = true,
                                 .batch = B,
                                 .seq = T,
                                 .round16 = c->round16,
                                 .recompute = c->recompute};
    wn__optimizer_options optimizer = adamw_options(0.1);
    optimizer.kind = c->optimizer;
    optimizer.exact_every = 2; // lazy and exact steps in turn
    optimizer.lr_scaler = 0.5;
    optimizer.width = (double)config.hidden_size;
    optimizer.exact = (wn__exact_options){.gauge = true, .least_ratio = 1e-6};
    optimizer.momentum = 0.5;
    optimizer.galore_rank = 8;
    optimizer.galore_gap = 2;
    optimizer.galore_scale = 0.5;
    optimizer.galore_type = "std";
    wn__structure base = default_structure();
    base.decay = 1e-3;
    base.fp8 = c->fp8;
    base.act_warmup = 1;
    base.act_dense = 0.1;
    base.act_every = 2;
    base.act_samples = 50;
    base.permute = true;
    rig r;
    rig_open_with(&r, &spec, c->rule, &base, threads, &optimizer);
    int32_t tokens[B * T], targets[B * T];
    OK(wn__model_init(r.m, 11));
    OK(wn__model_prepare(r.m, 0));
    for (int64_t step = 0; step < STEPS; step++) {
        double norm;
        random_tokens(tokens, B * T, config.vocab_size, (uint64_t)step);
        random_tokens(targets, B * T, config.vocab_size, (uint64_t)step + 100);
        OK(wn__model_feed(r.m, tokens, targets, B, T));
        train_step(r.m, &o, step, &losses[step], &norm);
    }
    uint32_t crc = fingerprint(r.m);
    rig_close(&r);
    return crc;
}

static void check(const method *c) {
    double one[STEPS], other[STEPS];
    uint32_t crc = train(c, 1, one);
    for (int threads = 1; threads <= 3; threads++) {
        if (train(c, threads, other) != crc || memcmp(one, other, sizeof one) != 0)
            fail_msg("%s, %s: other bits with %d threads", c->rule != NULL ? c->rule : "dense",
                     wn__optimizer_name(c->optimizer), threads);
    }
}

static void check_all(const method *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        check(&list[i]);
}

static void dense(void **state) {
    static const method all[] = {
        {WN_MLP_SWIGLU, NULL, WN_OPTIMIZER_ADAMW, false, false, false},
        {WN_MLP_RELU2, NULL, WN_OPTIMIZER_ADAMW, false, false, false},
        {WN_MLP_RELU, NULL, WN_OPTIMIZER_ADAMW, false, false, true},
        {WN_MLP_SWIGLU, NULL, WN_OPTIMIZER_ADAMW, true, false, false},
        {WN_MLP_SWIGLU, NULL, WN_OPTIMIZER_ADAMW, false, true, true},
    };
    (void)state;
    check_all(all, sizeof all / sizeof *all);
}

static void masks(void **state) {
    static const method all[] = {
        {WN_MLP_SWIGLU, "mlp.*=2:4:tile", WN_OPTIMIZER_ADAMW, false, false, false},
        {WN_MLP_RELU2, "*_proj=2:4:row", WN_OPTIMIZER_ADAMW, false, false, false},
        {WN_MLP_RELU2, "*_proj=2:4:tile+mvue", WN_OPTIMIZER_ADAMW, false, false, false},
        {WN_MLP_SWIGLU, "*_proj=2:4:sste+mvue", WN_OPTIMIZER_ADAMW, true, false, false},
        {WN_MLP_RELU2, "mlp.*=2:4:sste+mvue-approx", WN_OPTIMIZER_ADAMW, false, true, false},
        {WN_MLP_SWIGLU, "*=in2:4:soft", WN_OPTIMIZER_ADAMW, false, false, false},
        {WN_MLP_RELU2, "*_proj=in2:4:mvue", WN_OPTIMIZER_ADAMW, true, false, false},
    };
    (void)state;
    check_all(all, sizeof all / sizeof *all);
}

static void factors(void **state) {
    static const method all[] = {
        {WN_MLP_SWIGLU, "*_proj=lowrank:12", WN_OPTIMIZER_LORO_ADAMW, false, false, false},
        {WN_MLP_RELU2, "*_proj=lowrank:12+2:4+mvue", WN_OPTIMIZER_LORO_ADAMW, false, false, false},
        {WN_MLP_RELU2, "*_proj=lowrank:9", WN_OPTIMIZER_LORO_ADAMW, false, true, true},
        {WN_MLP_SWIGLU, "*_proj=adapter:5:10", WN_OPTIMIZER_ADAMW, false, false, false},
    };
    (void)state;
    check_all(all, sizeof all / sizeof *all);
}

static void activations(void **state) {
    static const method all[] = {
        {WN_MLP_RELU2, "mlp.act=act2:4", WN_OPTIMIZER_ADAMW, false, false, false},
        {WN_MLP_RELU2, "mlp.act=act2:4:mvue", WN_OPTIMIZER_ADAMW, false, false, true},
        {WN_MLP_RELU, "mlp.act=act2:4:soft", WN_OPTIMIZER_ADAMW, false, false, false},
        {WN_MLP_RELU2, "mlp.act=act2:4:soft_weights", WN_OPTIMIZER_ADAMW, false, true, false},
        {WN_MLP_RELU2, "mlp.act=act2:4:soft_dynamic", WN_OPTIMIZER_ADAMW, false, false, false},
    };
    (void)state;
    check_all(all, sizeof all / sizeof *all);
}

static void optimizers(void **state) {
    (void)state;
    for (int kind = WN_OPTIMIZER_ADAM; kind <= WN_OPTIMIZER_GALORE_ADAMW; kind++)
        check(&(method){.mlp = WN_MLP_RELU2, .optimizer = (wn__optimizer_kind)kind});
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(dense), cmocka_unit_test(masks),
                                       cmocka_unit_test(factors), cmocka_unit_test(activations),
                                       cmocka_unit_test(optimizers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
