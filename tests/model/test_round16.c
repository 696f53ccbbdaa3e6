// SPDX-License-Identifier: MIT
// bfloat16 at tensor borders: after a pass every weight, activation and gradient of one is stored
// as BF16 or has its low 16 bits clear, masters have not; what is stored so changes no loss, and
// less memory is planned; the loss stays near fp32's; training learns.
#include "kernels/registry.h"
#include "model/internal.h"
#include "model_test.h"

static bool rounded(const wn_tensor *t) {
    const uint32_t *bits = t->data;
    if (t->dtype == WN_DTYPE_BF16) return true;
    for (int64_t i = 0; i < wn__tensor_count(t); i++)
        if ((bits[i] & 0xffff) != 0) return false;
    return true;
}

static void expect_rounded(const wn_tensor *t, const char *what, int64_t block) {
    if (!wn__given(t)) return;
    bool some = false, half = t->dtype == WN_DTYPE_BF16;
    for (int64_t i = 0; i < wn__tensor_count(t) && !some; i++)
        some = half ? (((const uint16_t *)t->data)[i] & 0x7fff) != 0
                    : ((const uint32_t *)t->data)[i] << 1 != 0;
    if (!some) fail_msg("%s of block %d was not written", what, (int)block);
    if (!rounded(t)) fail_msg("%s of block %d has more than 16 bits", what, (int)block);
}

static void check_block(const wn__block *k, int64_t i) {
    expect_rounded(&k->entry, "entry", i);
    expect_rounded(&k->middle, "middle", i);
    expect_rounded(&k->entry_norm, "entry_norm", i);
    expect_rounded(&k->middle_norm, "middle_norm", i);
    expect_rounded(&k->attn_buffers.q, "q", i);
    expect_rounded(&k->attn_buffers.k, "k", i);
    expect_rounded(&k->attn_buffers.v, "v", i);
    expect_rounded(&k->attn_buffers.out, "out", i);
    expect_rounded(&k->mlp_buffers.gate, "gate", i);
    expect_rounded(&k->mlp_buffers.up, "up", i);
    expect_rounded(&k->mlp_buffers.act, "act", i);
    expect_rounded(&k->mlp_buffers.act24.pruned, "pruned", i);
}

// What a block keeps of its own, all of it as BF16 or none of it.
static void check_saved(const wn__block *k, int64_t i, bool saved) {
    const wn__attn_saved *a = &k->attn_buffers.saved;
    const wn__mlp_saved *m = &k->mlp_buffers.saved;
    const wn_tensor *all[] = {&k->saved_entry, &k->saved_middle, &a->in, &a->q,  &a->k,
                              &a->v,           &a->out,          &m->in, &m->up, &m->act};
    for (size_t j = 0; j < sizeof all / sizeof all[0]; j++) {
        assert_int_equal(all[j]->dtype, saved ? WN_DTYPE_BF16 : WN_DTYPE_NONE);
        expect_rounded(all[j], "what is saved", i);
    }
    assert_true(wn__given(&m->gate) == (saved && k->mlp.kind == WN_MLP_SWIGLU));
    expect_rounded(&m->gate, "the saved gate", i);
}

static void check_activations(const wn__model *m, bool backward) {
    const wn__model_buffers *s = &m->buffers;
    for (int64_t i = 0; i < m->spec.config.layers; i++)
        check_block(&m->block[i], i);
    for (int64_t i = 0; i < m->spec.config.layers; i++)
        check_saved(&m->block[i], i, m->saves16);
    expect_rounded(&s->exit, "exit", -1);
    expect_rounded(&s->exit_norm, "exit_norm", -1);
    expect_rounded(&s->logits, "logits", -1);
    if (!backward) return;
    expect_rounded(&s->dstream, "dstream", -1);
    expect_rounded(&s->dnorm, "dnorm", -1);
    expect_rounded(&s->scratch, "scratch", -1);
}

static void check_params(wn__model *m, bool training) {
    wn__params *p = wn__model_params(m);
    for (size_t i = 0; i < p->count; i++) {
        const wn__param *q = &p->item[i];
        if (!rounded(&q->w)) fail_msg("%s has more than 16 bits", q->name);
        assert_true(wn__given(&q->master) == training);
        bool constant = q->w.ndim == 1; // ones and zeros before any update
        if (training && !constant && rounded(&q->master)) fail_msg("%s was rounded", q->name);
        if (training && rounded(&q->g)) fail_msg("the gradient of %s was rounded", q->name);
    }
}

#define BATCH 2
#define T     9

typedef struct method {
    wn__mlp_kind mlp;
    const char *rule;
    bool tied, recompute;
} method;

static void check_method(const method *how) {
    wn__model_config c = small_config(how->mlp);
    c.mlp_bias = c.qkv_bias = c.o_bias = true;
    c.tied = how->tied;
    const wn__model_spec spec = {.config = c,
                                 .dtype = WN_DTYPE_F32,
                                 .training = true,
                                 .batch = BATCH,
                                 .seq = T,
                                 .round16 = true,
                                 .recompute = how->recompute};
    wn__structure base = wn__structure_defaults();
    base.act_warmup = 0;
    rig r;
    int32_t tokens[BATCH * T], targets[BATCH * T];
    double loss;
    int64_t labels;
    rig_open(&r, &spec, how->rule, &base, 2);
    OK(wn__model_init(r.m, 2));
    OK(wn__model_prepare(r.m, 0));
    random_tokens(tokens, BATCH * T, c.vocab_size, 1);
    random_tokens(targets, BATCH * T, c.vocab_size, 2);
    OK(wn__model_feed(r.m, tokens, targets, BATCH, T));
    OK(wn__model_zero_gradients(r.m));
    OK(wn__model_loss_backward(r.m, 0.1, &loss, &labels));
    check_activations(r.m, true);
    check_params(r.m, true);
    OK(wn__model_loss(r.m, &loss, &labels));
    check_activations(r.m, false);
    OK(wn__model_update(r.m, 0.01, 1, 0, NULL));
    OK(wn__model_prepare(r.m, 1));
    check_params(r.m, true);
    rig_close(&r);
}

static void every_border_is_rounded(void **state) {
    (void)state;
    static const method methods[] = {
        {.mlp = WN_MLP_SWIGLU},
        {.mlp = WN_MLP_RELU2, .tied = true},
        {.mlp = WN_MLP_RELU, .rule = "*_proj=2:4:tile", .recompute = true},
        {.mlp = WN_MLP_RELU2, .rule = "act=act2:4:mvue"},
        {.mlp = WN_MLP_RELU2, .rule = "act=act2:4:soft"},
        {.mlp = WN_MLP_SWIGLU, .rule = "*_proj=2:4:row+mvue"},
        {.mlp = WN_MLP_SWIGLU, .rule = "*_proj=lowrank:4"},
        {.mlp = WN_MLP_RELU2, .rule = "mlp.*=2:4:sste"},
    };
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        check_method(&methods[i]);
}

// ---- what is stored as BF16 ----

typedef struct pass {
    rig r;
    double loss;
} pass;

// One pass over the same tokens by a model of the same seed: kept by block, computed again, or not
// trained, where floats hold the numbers.
static void open_pass(pass *p, const method *how, bool training, bool recompute) {
    wn__model_config c = small_config(how->mlp);
    c.mlp_bias = c.qkv_bias = true;
    c.tied = how->tied;
    const wn__model_spec spec = {.config = c,
                                 .dtype = WN_DTYPE_F32,
                                 .training = training,
                                 .batch = BATCH,
                                 .seq = T,
                                 .round16 = true,
                                 .recompute = recompute};
    const wn__structure base = wn__structure_defaults();
    int32_t tokens[BATCH * T], targets[BATCH * T];
    int64_t labels;
    rig_open(&p->r, &spec, how->rule, &base, 2);
    OK(wn__model_init(p->r.m, 5));
    OK(wn__model_prepare(p->r.m, 0));
    random_tokens(tokens, BATCH * T, c.vocab_size, 6);
    random_tokens(targets, BATCH * T, c.vocab_size, 7);
    OK(wn__model_feed(p->r.m, tokens, targets, BATCH, T));
    if (training) OK(wn__model_zero_gradients(p->r.m));
    OK(training ? wn__model_loss_backward(p->r.m, 0.1, &p->loss, &labels)
                : wn__model_loss(p->r.m, &p->loss, &labels));
}

static void nothing_is_lost_in_storage(void **state) {
    (void)state;
    static const method methods[] = {
        {.mlp = WN_MLP_SWIGLU},
        {.mlp = WN_MLP_RELU2, .rule = "*_proj=2:4:tile+mvue", .tied = true},
        {.mlp = WN_MLP_SWIGLU, .rule = "mlp.*=2:4:row"},
        {.mlp = WN_MLP_RELU2, .rule = "*.[qu]*_proj=lowrank:4"},
    };
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        pass saved, again, floats;
        open_pass(&saved, methods + i, true, false);
        open_pass(&again, methods + i, true, true);
        open_pass(&floats, methods + i, false, false);
        assert_true(saved.r.m->saves16 && !again.r.m->saves16 && !floats.r.m->saves16);
        if (saved.loss != again.loss || saved.loss != floats.loss)
            fail_msg("method %d: %.17g, %.17g, %.17g", (int)i, saved.loss, again.loss, floats.loss);
        const wn__params *p = wn__model_params(saved.r.m), *q = wn__model_params(again.r.m);
        for (size_t k = 0; k < p->count; k++)
            assert_memory_equal(p->item[k].g.data, q->item[k].g.data,
                                wn__tensor_bytes(&p->item[k].g));
        rig_close(&saved.r);
        rig_close(&again.r);
        rig_close(&floats.r);
    }
}

// Eight blocks: half of each, and one block's floats.
static void less_memory_is_planned(void **state) {
    (void)state;
    wn__model_config c = small_config(WN_MLP_RELU2);
    c.layers = 8;
    wn__structure base = wn__structure_defaults();
    wn__structure_rules rules = make_rules("*_proj=2:4:tile", &base);
    wn__runtime *rt;
    const wn__optimizer_options adamw = adamw_options(0.1);
    wn__optimizer *optimizer = make_optimizer(&adamw);
    wn__model_memory whole, less;
    wn__model_spec spec = {.config = c,
                           .dtype = WN_DTYPE_F32,
                           .training = true,
                           .batch = 4,
                           .seq = 64,
                           .optimizer = optimizer,
                           .rules = &rules};
    OK(wn__runtime_create(1, NULL, false, &rt));
    OK(wn__model_measure(&spec, rt, &whole));
    spec.round16 = true;
    OK(wn__model_measure(&spec, rt, &less));
    if (4 * less.activations > 3 * whole.activations)
        fail_msg("activations: %zu bytes instead of %zu", less.activations, whole.activations);
    // masters beside halves of what was read: 4 + 2 + 2 bytes a weight instead of 4 + 4
    assert_true(less.weights < whole.weights + whole.weights / 10);
    wn__optimizer_free(optimizer);
    wn__structure_rules_free(&rules);
    wn__runtime_free(rt);
}

// Without it the op never runs.
static void off_costs_nothing(void **state) {
    (void)state;
    const wn__model_spec spec = {.config = small_config(WN_MLP_RELU2),
                                 .dtype = WN_DTYPE_F32,
                                 .training = true,
                                 .batch = BATCH,
                                 .seq = T};
    const wn__structure base = wn__structure_defaults();
    rig r;
    size_t count;
    rig_open(&r, &spec, NULL, &base, 1);
    const wn__kernel *k = wn__kernel_table(&count);
    for (size_t i = 0; i < count; i++)
        assert_true(k[i].op != WN__OP_round16 || r.rt->used[i] == 0);
    rig_close(&r);
}

// ---- near fp32 ----

static double loss_of(const char *name, bool round16) {
    char dir[512], file[600];
    wn__model_config c;
    wn__hf_weights *weights;
    wn__safetensors expected;
    (void)snprintf(dir, sizeof dir, "%s/model/%s", WN_FIXTURES, name);
    (void)snprintf(file, sizeof file, "%s/expected.safetensors", dir);
    OK(wn__hf_config_read(dir, &c));
    OK(wn__hf_weights_open(dir, &weights));
    OK(wn__safetensors_open(file, &expected));
    const wn_tensor tokens = wn__safetensors_find(&expected, "tokens")->view,
                    targets = wn__safetensors_find(&expected, "targets")->view;
    int32_t ids[2][256];
    memcpy(ids[0], tokens.data, wn__tensor_bytes(&tokens));
    memcpy(ids[1], targets.data, wn__tensor_bytes(&targets));
    const wn__model_spec spec = {.config = c,
                                 .dtype = WN_DTYPE_F32,
                                 .batch = tokens.shape[0],
                                 .seq = tokens.shape[1],
                                 .round16 = round16};
    const wn__structure base = wn__structure_defaults();
    rig r;
    double loss;
    int64_t labels;
    rig_open(&r, &spec, wn__safetensors_meta(&expected, "pattern"), &base, 2);
    OK(wn__model_load(r.m, weights));
    OK(wn__model_prepare(r.m, 0));
    OK(wn__model_feed(r.m, ids[0], ids[1], tokens.shape[0], tokens.shape[1]));
    OK(wn__model_loss(r.m, &loss, &labels));
    if (round16) check_params(r.m, false);
    rig_close(&r);
    wn__hf_weights_close(weights);
    wn__safetensors_close(&expected);
    return loss;
}

static void losses_stay_near(void **state) {
    (void)state;
    static const char *const names[] = {"llama", "llama_tied_bias", "llama_rope3", "arcee",
                                        "arcee_tied_bias"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        double whole = loss_of(names[i], false), short_one = loss_of(names[i], true);
        if (!(fabs(short_one / whole - 1) <= 1e-2) || short_one == whole)
            fail_msg("%s: %.9g in fp32, %.9g in bfloat16", names[i], whole, short_one);
    }
}

static void training_learns(void **state) {
    (void)state;
    const wn__model_spec spec = {.config = small_config(WN_MLP_RELU2),
                                 .dtype = WN_DTYPE_F32,
                                 .training = true,
                                 .batch = BATCH,
                                 .seq = T,
                                 .round16 = true};
    const wn__structure base = wn__structure_defaults();
    const step_options o = {.lr = 0.01, .max_norm = 1};
    rig r;
    int32_t tokens[BATCH * T], targets[BATCH * T];
    double first = 0, loss = 0, norm;
    rig_open(&r, &spec, NULL, &base, 2);
    OK(wn__model_init(r.m, 4));
    OK(wn__model_prepare(r.m, 0));
    random_tokens(tokens, BATCH * T, 48, 3);
    random_tokens(targets, BATCH * T, 48, 4);
    OK(wn__model_feed(r.m, tokens, targets, BATCH, T));
    for (int64_t step = 0; step < 60; step++) {
        train_step(r.m, &o, step, &loss, &norm);
        if (step == 0) first = loss;
    }
    if (!(loss < first / 4)) fail_msg("the loss went from %g to %g", first, loss);
    rig_close(&r);
}

// Keys and values are kept as they were rounded, so decoding agrees with the pass over all tokens.
static void the_cache_is_rounded(void **state) {
    (void)state;
    const wn__model_config c = small_config(WN_MLP_SWIGLU);
    const wn__model_spec spec = {
        .config = c, .dtype = WN_DTYPE_F32, .batch = 1, .seq = T, .round16 = true};
    const wn__structure base = wn__structure_defaults();
    rig r;
    wn__kv_cache cache;
    int32_t tokens[T];
    float logits[48], all[T * 48];
    rig_open(&r, &spec, NULL, &base, 1);
    OK(wn__model_init(r.m, 4));
    OK(wn__model_prepare(r.m, 0));
    random_tokens(tokens, T, 48, 3);
    OK(wn__kv_cache_create(r.m, T, &cache));
    for (int64_t i = 0; i < T; i++)
        OK(wn__model_decode(r.m, &cache, tokens + i, 1, logits));
    expect_rounded(&cache.k, "the keys", -1);
    expect_rounded(&cache.v, "the values", -1);
    const wn_tensor out = wn__tensor2(all, WN_DTYPE_F32, T, 48),
                    last = wn__tensor2(logits, WN_DTYPE_F32, 1, 48);
    const wn_tensor want = wn__tensor_slice(&out, 0, T - 1, 1);
    OK(wn__model_feed(r.m, tokens, NULL, 1, T));
    OK(wn__model_logits(r.m, &out));
    assert_true(rounded(&last) && rounded(&out));
    assert_true(relative_error(&last, &want) < 0.02);
    wn__kv_cache_free(&cache);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_border_is_rounded), cmocka_unit_test(off_costs_nothing),
        cmocka_unit_test(losses_stay_near),        cmocka_unit_test(training_learns),
        cmocka_unit_test(the_cache_is_rounded),    cmocka_unit_test(nothing_is_lost_in_storage),
        cmocka_unit_test(less_memory_is_planned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
