// SPDX-License-Identifier: MIT
// Activations that are computed again: the same losses, gradients and states bit for bit as when
// they are kept, whatever the structures draw and choose, in an arena that grows by one residual
// stream a block.
#include "model/internal.h"
#include "model_test.h"

#define B     2
#define T     10
#define STEPS 4

typedef struct method {
    const char *rules[3];
    wn__mlp_kind mlp;
    bool round16, tied;
} method;

static wn__model_config config_of(const method *how, int64_t layers) {
    wn__model_config c = small_config(how->mlp);
    c.layers = layers;
    c.tied = how->tied;
    c.mlp_bias = true;
    return c;
}

typedef struct trained {
    double loss[2 * STEPS], evaluated[STEPS];
    uint32_t gradients, states;
} trained;

// Two passes an update, the second of other lengths, and an evaluation between updates.
static void update(wn__model *m, int64_t step, trained *out) {
    int32_t tokens[B * T], targets[B * T];
    int64_t labels;
    double loss;
    OK(wn__model_zero_gradients(m));
    for (int64_t pass = 0; pass < 2; pass++) {
        int64_t length = pass == 0 ? T : T - 3;
        random_tokens(tokens, B * T, 48, (uint64_t)(2 * step + pass));
        random_tokens(targets, B * T, 48, (uint64_t)(2 * step + pass) + 100);
        OK(wn__model_feed(m, tokens, targets, B, length));
        OK(wn__model_loss_backward(m, 0.02, &loss, &labels));
        out->loss[2 * step + pass] = loss;
    }
    const wn__arena *g = &m->arenas.gradients;
    out->gradients = wn__crc32(out->gradients, g->base, g->used);
    OK(wn__model_regularize(m, 1));
    OK(wn__model_update(m, 0.01, 1, step, NULL));
    OK(wn__model_prepare(m, step + 1));
    OK(wn__model_loss(m, &out->evaluated[step], &labels));
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

static wn__structure_rules rules_of(const method *how) {
    wn__structure base = wn__structure_defaults();
    base.act_warmup = 1;
    base.act_dense = 0.2;
    base.act_every = 2;
    base.act_samples = 7;
    base.permute = true;
    base.decay = 1e-3;
    wn__structure_rules rules;
    size_t count = 0;
    while (count < 3 && how->rules[count] != NULL)
        count++;
    OK(wn__structure_rules_parse(how->rules, count, &base, &rules));
    return rules;
}

static trained train(const method *how, bool recompute) {
    trained out = {0};
    wn__structure_rules rules = rules_of(how);
    const wn__optimizer_options o = adamw_options(0.1);
    wn__optimizer *optimizer = make_optimizer(&o);
    wn__runtime *rt;
    wn__model *m;
    const wn__model_spec spec = {.config = config_of(how, 3),
                                 .dtype = WN_DTYPE_F32,
                                 .training = true,
                                 .batch = B,
                                 .seq = T,
                                 .optimizer = optimizer,
                                 .round16 = how->round16,
                                 .recompute = recompute,
                                 .rules = &rules};
    OK(wn__runtime_create(2, NULL, false, &rt));
    OK(wn__model_create(&spec, rt, &m));
    OK(wn__model_init(m, 5));
    OK(wn__model_prepare(m, 0));
    for (int64_t step = 0; step < STEPS; step++)
        update(m, step, &out);
    out.states = fingerprint(m);
    wn__model_free(m);
    wn__runtime_free(rt);
    wn__optimizer_free(optimizer);
    wn__structure_rules_free(&rules);
    return out;
}

static void check(const method *how) {
    const trained kept = train(how, false), again = train(how, true);
    const char *rule = how->rules[0] != NULL ? how->rules[0] : "dense";
    for (int i = 0; i < 2 * STEPS; i++)
        if (!(kept.loss[i] == again.loss[i] && kept.loss[i] > 0))
            fail_msg("%s: loss %d is %.17g, computed again %.17g", rule, i, kept.loss[i],
                     again.loss[i]);
    if (kept.gradients != again.gradients) fail_msg("%s: other gradients", rule);
    if (kept.states != again.states) fail_msg("%s: other states", rule);
    assert_memory_equal(kept.evaluated, again.evaluated, sizeof kept.evaluated);
}

static void the_same_bits(void **state) {
    (void)state;
    static const method methods[] = {
        {.mlp = WN_MLP_SWIGLU},
        {.mlp = WN_MLP_RELU, .tied = true},
        {.mlp = WN_MLP_SWIGLU, .round16 = true},
        {.mlp = WN_MLP_SWIGLU, .rules = {"*_proj=2:4:tile"}},
        {.mlp = WN_MLP_RELU2, .rules = {"*_proj=2:4:row+mvue"}},
        {.mlp = WN_MLP_RELU2, .rules = {"mlp.*=2:4:sste+mvue"}},
        {.mlp = WN_MLP_RELU2, .rules = {"*_proj=lowrank:8"}},
        {.mlp = WN_MLP_RELU2, .rules = {"*_proj=lowrank:8+2:4+mvue"}, .round16 = true},
        {.mlp = WN_MLP_SWIGLU, .rules = {"*_proj=in2:4:soft"}, .round16 = true},
        {.mlp = WN_MLP_RELU2, .rules = {"*_proj=in2:4:mvue", "act=act2:4:soft"}},
        {.mlp = WN_MLP_RELU2, .rules = {"act=act2:4:naive"}},
        {.mlp = WN_MLP_RELU, .rules = {"act=act2:4:mvue"}},
        {.mlp = WN_MLP_RELU2, .rules = {"act=act2:4:soft"}, .round16 = true},
        {.mlp = WN_MLP_RELU2, .rules = {"act=act2:4:soft_weights", "*_proj=lowrank:8"}},
        {.mlp = WN_MLP_RELU2, .rules = {"act=act2:4:soft_dynamic", "*_proj=2:4"}},
        {.mlp = WN_MLP_RELU2, .rules = {"model.layers.1.mlp.act=act2:4:soft_weights"}},
    };
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        check(&methods[i]);
}

static size_t activations(const method *how, int64_t layers, bool recompute) {
    wn__structure_rules rules = rules_of(how);
    const wn__optimizer_options o = adamw_options(0.1);
    wn__optimizer *optimizer = make_optimizer(&o);
    wn__runtime *rt;
    wn__model_memory memory;
    const wn__model_spec spec = {.config = config_of(how, layers),
                                 .dtype = WN_DTYPE_F32,
                                 .training = true,
                                 .batch = 4,
                                 .seq = 64,
                                 .optimizer = optimizer,
                                 .recompute = recompute,
                                 .rules = &rules};
    OK(wn__runtime_create(1, NULL, false, &rt));
    OK(wn__model_measure(&spec, rt, &memory));
    wn__runtime_free(rt);
    wn__optimizer_free(optimizer);
    wn__structure_rules_free(&rules);
    return memory.activations;
}

static void a_block_costs_its_entry(void **state) {
    (void)state;
    const size_t entry = 4 * 64 * 32 * sizeof(float);
    const method dense = {.mlp = WN_MLP_SWIGLU},
                 sparse = {.mlp = WN_MLP_RELU2, .rules = {"*_proj=2:4:tile"}};
    const method *both[] = {&dense, &sparse};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(activations(both[i], 13, true) - activations(both[i], 12, true), entry);
        size_t kept = activations(both[i], 13, false) - activations(both[i], 12, false);
        assert_true(kept > 8 * entry);
        assert_true(activations(both[i], 12, true) < activations(both[i], 12, false) / 4);
    }
}

// Counts and orders are each block's own; whole rows are not.
static void sparse_activations_share_their_rows(void **state) {
    (void)state;
    const method naive = {.mlp = WN_MLP_RELU2, .rules = {"act=act2:4:naive"}};
    const size_t row = 4 * 64 * 48 * sizeof(float), entry = 4 * 64 * 32 * sizeof(float);
    assert_true(activations(&naive, 13, true) - activations(&naive, 12, true) < entry + row / 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_bits),
        cmocka_unit_test(a_block_costs_its_entry),
        cmocka_unit_test(sparse_activations_share_their_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
