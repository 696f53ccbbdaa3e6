// SPDX-License-Identifier: MIT
// Structured layers inside a model: which of them run in FP8, how they are numbered, what a pass
// counts, what a token costs, and gradients of factors against differences of the loss.
#include "model_test.h"
#include "nn/act24.h"

#define B 2
#define T 6

static void open_model(rig *r, const char *rule, const wn__structure *base, wn_dtype dtype,
                       wn__mlp_kind mlp) {
    const wn__structure plain = default_structure();
    const wn__model_spec spec = {
        .config = small_config(mlp), .dtype = dtype, .training = true, .batch = B, .seq = T};
    rig_open(r, &spec, rule, base != NULL ? base : &plain, 2);
    OK(wn__model_init(r->m, 7));
    OK(wn__model_prepare(r->m, 0));
}

static void feed(rig *r) {
    int32_t tokens[B * T], targets[B * T];
    random_tokens(tokens, B * T, 48, 1);
    random_tokens(targets, B * T, 48, 2);
    OK(wn__model_feed(r->m, tokens, targets, B, T));
}

// Every layer of the blocks, whether a rule names it or not; not the head.
static void eight_bits_are_of_the_blocks(void **state) {
    (void)state;
    wn__structure base = default_structure();
    base.fp8 = true;
    rig r;
    open_model(&r, "up_proj=2:4:sste", &base, WN_DTYPE_F32, WN_MLP_SWIGLU);
    size_t n = wn__model_linear_count(r.m);
    assert_int_equal(n, 15);
    for (size_t i = 0; i < n; i++) {
        const wn__linear *l = wn__model_linear(r.m, i);
        assert_int_equal(l->structure.fp8, strcmp(l->name, "lm_head") != 0);
    }
    rig_close(&r);
}

// Numbers are places in the order of building, so draws never meet.
static void layers_are_numbered(void **state) {
    (void)state;
    rig r;
    open_model(&r, "mlp.act=act2:4:mvue", NULL, WN_DTYPE_F32, WN_MLP_RELU2);
    for (size_t i = 0; i < wn__model_linear_count(r.m); i++)
        assert_int_equal(wn__model_linear(r.m, i)->number, i);
    rig_close(&r);
}

static void passes_are_counted(void **state) {
    (void)state;
    rig r;
    double loss;
    int64_t labels;
    open_model(&r, NULL, NULL, WN_DTYPE_F32, WN_MLP_SWIGLU);
    const wn__pass *p = wn__model_pass(r.m);
    assert_int_equal(p->seed, 7);
    feed(&r);
    for (uint64_t i = 0; i < 3; i++) {
        OK(wn__model_loss(r.m, &loss, &labels));
        assert_int_equal(p->counter, i); // an evaluation is none
        OK(wn__model_loss_backward(r.m, 1, &loss, &labels));
        assert_int_equal(p->counter, i + 1);
        assert_false(p->learning);
    }
    OK(wn__model_prepare(r.m, 12));
    assert_int_equal(p->update, 12);
    rig_close(&r);
}

// Of one token in a context of 3, by hand: attention scores and values, factors of rank 4 in the
// MLP, 2:4 factors in q_proj, the rest dense.
static void flops_of_factors(void **state) {
    (void)state;
    wn__structure base = default_structure();
    wn__structure_rules rules;
    const char *const text[] = {"mlp.*=lowrank:4", "q_proj=lowrank:8+2:4"};
    const wn__model_config c = small_config(WN_MLP_SWIGLU);
    wn__runtime *rt;
    wn__model *m;
    double executed, dense;
    OK(wn__structure_rules_parse(text, 2, &base, &rules));
    OK(wn__runtime_create(1, NULL, false, &rt));
    const wn__model_spec spec = {
        .config = c, .dtype = WN_DTYPE_F32, .batch = B, .seq = T, .rules = &rules};
    OK(wn__model_create(&spec, rt, &m));
    wn__model_flops(m, 3, false, &executed, &dense);
    const double attention = 2 * (2 * 32 * 4), head = 2 * 32 * 48;
    const double kvo = 2 * (32 * 16 + 32 * 16 + 32 * 32), q = 2 * 32 * 32, q24 = 8 * (32 + 32),
                 mlp = 3 * 2 * 32 * 48, factors = 3 * 2 * 4 * (32 + 48);
    assert_true(dense == head + attention + 2 * (kvo + q + mlp));
    assert_true(executed == head + attention + 2 * (kvo + q24 + factors));
    wn__model_free(m);
    wn__runtime_free(rt);
    wn__structure_rules_free(&rules);
}

static double loss_of(rig *r) {
    double loss;
    int64_t labels;
    OK(wn__model_loss(r->m, &loss, &labels));
    return loss;
}

static void move(const wn_tensor *w, uint64_t stream, double by) {
    for (int64_t i = 0; i < wn__tensor_count(w); i++) {
        float four[4];
        wn__philox_normal(3, WN_STREAM_TEST + stream, (uint64_t)i / 4, four);
        ((double *)w->data)[i] += by * (double)four[i % 4];
    }
}

static double along(const wn_tensor *g, uint64_t stream) {
    double sum = 0;
    for (int64_t i = 0; i < wn__tensor_count(g); i++) {
        float four[4];
        wn__philox_normal(3, WN_STREAM_TEST + stream, (uint64_t)i / 4, four);
        sum += ((double *)g->data)[i] * (double)four[i % 4];
    }
    return sum;
}

// The derivative of the loss along a random direction of each parameter.
static void check_gradients(const char *rule, wn__mlp_kind mlp) {
    rig r;
    double loss;
    int64_t labels;
    open_model(&r, rule, NULL, WN_DTYPE_F64, mlp);
    feed(&r);
    OK(wn__model_zero_gradients(r.m));
    OK(wn__model_loss_backward(r.m, 1, &loss, &labels));
    const wn__params *p = wn__model_params(r.m);
    for (size_t i = 0; i < p->count; i++) {
        const wn_tensor *w = &p->item[i].w, *g = &p->item[i].g;
        if (p->item[i].role == WN_PARAM_FROZEN) {
            assert_false(wn__given(g));
            continue;
        }
        const double e = 1e-5;
        move(w, i, e);
        double above = loss_of(&r);
        move(w, i, -2 * e);
        double below = loss_of(&r);
        move(w, i, e);
        double got = along(g, i), want = (above - below) / (2 * e);
        if (!(fabs(got - want) <= 1e-6 * (1 + fabs(want))))
            fail_msg("%s: %s: %.12g is not %.12g", rule, p->item[i].name, got, want);
    }
    rig_close(&r);
}

static void gradients_of_factors(void **state) {
    (void)state;
    check_gradients("*=lowrank:6", WN_MLP_SWIGLU); // the head, too
    check_gradients("*_proj=adapter:4:8", WN_MLP_SWIGLU);
    check_gradients("mlp.*=lowrank:40", WN_MLP_RELU2);
}

// What planning said a model needs is what it takes.
static void memory_is_measured(void **state) {
    (void)state;
    static const char *const list[] = {"*=lowrank:6+2:4+mvue", "*_proj=adapter:4", "*=2:4:sste"};
    for (int i = 0; i < 3; i++) {
        rig r;
        wn__structure base = default_structure();
        base.fp8 = true;
        wn__model_memory before, after;
        open_model(&r, list[i], &base, WN_DTYPE_F32, WN_MLP_SWIGLU);
        wn__model_memory_of(r.m, &after);
        const wn__model_spec spec = {.config = small_config(WN_MLP_SWIGLU),
                                     .dtype = WN_DTYPE_F32,
                                     .training = true,
                                     .batch = B,
                                     .seq = T,
                                     .optimizer = r.optimizer,
                                     .rules = &r.rules};
        OK(wn__model_measure(&spec, r.rt, &before));
        assert_int_equal(before.weights, after.weights);
        assert_int_equal(before.gradients, after.gradients);
        assert_int_equal(before.moments, after.moments);
        assert_int_equal(before.activations, after.activations);
        rig_close(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_bits_are_of_the_blocks), cmocka_unit_test(layers_are_numbered),
        cmocka_unit_test(passes_are_counted),           cmocka_unit_test(flops_of_factors),
        cmocka_unit_test(gradients_of_factors),         cmocka_unit_test(memory_is_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
