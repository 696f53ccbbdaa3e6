// SPDX-License-Identifier: MIT
// A model as a thing: memory, structure rules, inputs, initial values, shapes smaller than the
// largest, chunks of the head, FLOPs.
#include "model_test.h"

static wn__model_spec spec_of(const wn__model_config *c, bool training, int64_t batch,
                              int64_t seq) {
    return (wn__model_spec){
        .config = *c, .dtype = WN_DTYPE_F64, .training = training, .batch = batch, .seq = seq};
}

static void open_ready(rig *r, const wn__model_spec *spec, const char *rule, uint64_t seed) {
    const wn__structure base = default_structure();
    rig_open(r, spec, rule, &base, 2);
    OK(wn__model_init(r->m, seed));
    OK(wn__model_prepare(r->m, 0));
}

static void measuring_tells_what_is_reserved(void **state) {
    (void)state;
    static const char *const rules[] = {NULL, "mlp.*=2:4:tile", "*=2:4:row"};
    const wn__model_config c = small_config(WN_MLP_SWIGLU);
    const wn__structure base = default_structure();
    for (int i = 0; i < 6; i++) {
        wn__model_spec spec = spec_of(&c, i % 2, 2, 7);
        wn__structure_rules list = make_rules(rules[i / 2], &base);
        wn__runtime *rt;
        wn__model_memory measured, reserved;
        const wn__optimizer_options adamw = adamw_options(0.1);
        wn__optimizer *optimizer = make_optimizer(&adamw);
        OK(wn__runtime_create(2, NULL, false, &rt));
        spec.rules = &list;
        spec.optimizer = spec.training ? optimizer : NULL;
        OK(wn__model_measure(&spec, rt, &measured));
        wn__optimizer_free(optimizer);
        assert_int_equal(rt->exec.scratch_size, 0); // nothing was reserved
        wn__runtime_free(rt);
        rig r;
        rig_open(&r, &spec, rules[i / 2], &base, 2);
        wn__model_memory_of(r.m, &reserved);
        assert_int_equal(measured.weights, reserved.weights);
        assert_int_equal(measured.gradients, reserved.gradients);
        assert_int_equal(measured.moments, reserved.moments);
        assert_int_equal(measured.activations, reserved.activations);
        assert_true(measured.workspace <= reserved.workspace);
        assert_true(reserved.workspace < measured.workspace + WN_ARENA_ALIGN);
        size_t counts = (wn__model_params(r.m)->count * sizeof(int64_t) + 63) / 64 * 64;
        assert_int_equal(reserved.moments, 2 * reserved.gradients + (i % 2 ? counts : 0));
        assert_int_equal(reserved.gradients > 0, i % 2);
        rig_close(&r);
        wn__structure_rules_free(&list);
    }
}

static wn_status try_create(const wn__model_config *c, const char *rule) {
    const wn__structure base = default_structure();
    wn__structure_rules list = make_rules(rule, &base);
    const wn__optimizer_options adamw = adamw_options(0.1);
    wn__model_spec spec = spec_of(c, true, 1, 4);
    spec.optimizer = make_optimizer(&adamw);
    wn__runtime *rt;
    wn__model *m = NULL;
    OK(wn__runtime_create(1, NULL, false, &rt));
    spec.rules = &list;
    wn_status status = wn__model_create(&spec, rt, &m);
    assert_null(m);
    wn__model_memory unused;
    assert_int_equal(wn__model_measure(&spec, rt, &unused), status);
    wn__optimizer_free(spec.optimizer);
    wn__runtime_free(rt);
    wn__structure_rules_free(&list);
    return status;
}

static void refuses_what_cannot_be(void **state) {
    (void)state;
    wn__model_config c = small_config(WN_MLP_RELU2);
    FAILS(try_create(&c, "experts.*=2:4"), WN_INVALID, "model.layers.*.mlp.down_proj, lm_head");
    FAILS(try_create(&c, "gate_proj=2:4"), WN_INVALID, "'gate_proj=2:4' matches no layer");
    c.intermediate_size = 50;
    FAILS(try_create(&c, "mlp.*=2:4"), WN_INVALID, "model.layers.0.mlp.up_proj");
    FAILS(try_create(&c, "mlp.*=2:4"), WN_INVALID, "found [50, 32]");
    c = small_config(WN_MLP_RELU2);
    c.tied = true; // the head has no weight of its own
    FAILS(try_create(&c, "lm_head=2:4"), WN_INVALID, "matches no layer");
    c.kv_heads = 3;
    FAILS(try_create(&c, "mlp.*=2:4"), WN_INVALID, "num_key_value_heads");
}

static void refuses_shapes_and_dtypes(void **state) {
    (void)state;
    const wn__model_config c = small_config(WN_MLP_RELU2);
    wn__runtime *rt;
    wn__model *m;
    OK(wn__runtime_create(1, NULL, false, &rt));
    wn__model_spec spec = spec_of(&c, true, 0, 4);
    FAILS(wn__model_create(&spec, rt, &m), WN_INVALID, "batch 0");
    spec.batch = INT64_C(1) << 40;
    FAILS(wn__model_create(&spec, rt, &m), WN_INVALID, "at most 536870911");
    spec.batch = INT32_MAX / 4;
    FAILS(wn__model_create(&spec, rt, &m), WN_INVALID, "needs an optimizer");
    const wn__optimizer_options adamw = adamw_options(0.1);
    spec.optimizer = make_optimizer(&adamw);
    wn__model_memory huge; // what no machine has can still be counted
    OK(wn__model_measure(&spec, rt, &huge));
    assert_true(huge.activations > (size_t)1 << 40);
    spec.batch = 1;
    spec.dtype = WN_DTYPE_BF16;
    FAILS(wn__model_create(&spec, rt, &m), WN_UNSUPPORTED, "BF16");
    wn__optimizer_free(spec.optimizer);
    wn__runtime_free(rt);
}

static void lists_its_layers(void **state) {
    (void)state;
    wn__model_config c = small_config(WN_MLP_SWIGLU);
    wn__model_spec spec = spec_of(&c, false, 1, 4);
    rig r;
    rig_open(&r, &spec, NULL, NULL, 1);
    assert_int_equal(wn__model_linear_count(r.m), 2 * 7 + 1);
    assert_string_equal(wn__model_linear(r.m, 0)->name, "model.layers.0.self_attn.q_proj");
    assert_string_equal(wn__model_linear(r.m, 11)->name, "model.layers.1.mlp.gate_proj");
    assert_string_equal(wn__model_linear(r.m, 14)->name, "lm_head");
    assert_int_equal(wn__model_config_of(r.m)->vocab_size, 48);
    int64_t parameters = 0;
    for (size_t i = 0; i < wn__model_params(r.m)->count; i++)
        parameters += wn__tensor_count(&wn__model_params(r.m)->item[i].w);
    assert_int_equal(parameters, wn__model_config_params(&c));
    rig_close(&r);
    spec.config.tied = true;
    spec.config.mlp = WN_MLP_RELU2;
    rig_open(&r, &spec, NULL, NULL, 1);
    assert_int_equal(wn__model_linear_count(r.m), 2 * 6);
    assert_null(wn__params_find(wn__model_params(r.m), "lm_head.weight"));
    rig_close(&r);
}

static void checks_what_is_fed(void **state) {
    (void)state;
    const wn__model_config c = small_config(WN_MLP_RELU2);
    const wn__model_spec spec = spec_of(&c, true, 2, 3);
    int32_t tokens[] = {1, 2, 3, 4, 5, 47}, targets[] = {0, -1, 47, -100, 3, 2};
    double loss;
    int64_t labels;
    rig r;
    open_ready(&r, &spec, NULL, 1);
    FAILS(wn__model_loss(r.m, &loss, &labels), WN_INVALID, "no tokens");
    FAILS(wn__model_feed(r.m, tokens, NULL, 3, 2), WN_INVALID, "3 x 2");
    FAILS(wn__model_feed(r.m, tokens, NULL, 1, 4), WN_INVALID, "1 x 4");
    FAILS(wn__model_feed(r.m, tokens, NULL, 0, 1), WN_INVALID, "0 x 1");
    OK(wn__model_feed(r.m, tokens, NULL, 2, 3));
    FAILS(wn__model_loss(r.m, &loss, &labels), WN_INVALID, "no targets");
    OK(wn__model_feed(r.m, tokens, targets, 2, 3));
    OK(wn__model_loss(r.m, &loss, &labels));
    assert_int_equal(labels, 4);
    targets[2] = 48;
    FAILS(wn__model_feed(r.m, tokens, targets, 2, 3), WN_INVALID, "target 48 at position 2");
    tokens[4] = -1;
    FAILS(wn__model_feed(r.m, tokens, targets, 2, 3), WN_INVALID, "token -1 at position 4");
    FAILS(wn__model_loss(r.m, &loss, &labels), WN_INVALID, "no tokens");
    wn_tensor wrong = wn__tensor2(NULL, WN_DTYPE_F64, 5, 48);
    OK(wn__model_feed(r.m, tokens, NULL, 1, 3));
    FAILS(wn__model_logits(r.m, &wrong), WN_INVALID, "[3, 48]");
    rig_close(&r);
}

static void inference_has_no_gradients(void **state) {
    (void)state;
    const wn__model_config c = small_config(WN_MLP_SWIGLU);
    const wn__model_spec spec = spec_of(&c, false, 1, 4), training = spec_of(&c, true, 1, 4);
    const int32_t tokens[] = {1, 2, 3, 4};
    double loss, same;
    int64_t labels;
    rig r, t;
    open_ready(&r, &spec, "*=2:4:tile", 4);
    open_ready(&t, &training, "*=2:4:tile", 4);
    OK(wn__model_feed(r.m, tokens, tokens, 1, 4));
    OK(wn__model_feed(t.m, tokens, tokens, 1, 4));
    FAILS(wn__model_zero_gradients(r.m), WN_INVALID, "not made for training");
    FAILS(wn__model_loss_backward(r.m, 1, &loss, &labels), WN_INVALID, "not made for training");
    OK(wn__model_loss(r.m, &loss, &labels));
    OK(wn__model_loss(t.m, &same, &labels));
    assert_true(loss == same);
    rig_close(&r);
    rig_close(&t);
}

static double std_of(const wn_tensor *t) {
    double square = 0;
    for (int64_t i = 0; i < wn__tensor_count(t); i++)
        square += value_at(t, i) * value_at(t, i);
    return sqrt(square / (double)wn__tensor_count(t));
}

static void check_initial(const wn__param *p, double std) {
    const char *dot = strrchr(p->name, '.');
    bool residual = strstr(p->name, "o_proj.weight") || strstr(p->name, "down_proj.weight");
    if (p->w.ndim == 2) {
        double want = residual ? std / 2 : std; // sqrt(2 layers) = 2
        assert_true(fabs(std_of(&p->w) / want - 1) < 0.1);
        return;
    }
    for (int64_t i = 0; i < wn__tensor_count(&p->w); i++)
        assert_true(value_at(&p->w, i) == (strcmp(dot, ".bias") == 0 ? 0 : 1));
}

static void initial_values(void **state) {
    (void)state;
    wn__model_config c = small_config(WN_MLP_SWIGLU);
    c.qkv_bias = c.o_bias = c.mlp_bias = true;
    const wn__model_spec spec = spec_of(&c, false, 1, 4);
    rig a, b;
    open_ready(&a, &spec, NULL, 5);
    open_ready(&b, &spec, NULL, 5);
    const wn__params *p = wn__model_params(a.m), *q = wn__model_params(b.m);
    for (size_t i = 0; i < p->count; i++) {
        check_initial(&p->item[i], c.init_std);
        assert_memory_equal(p->item[i].w.data, q->item[i].w.data, wn__tensor_bytes(&p->item[i].w));
    }
    const wn__param *gate = wn__params_find(p, "model.layers.0.mlp.gate_proj.weight");
    const wn__param *up = wn__params_find(p, "model.layers.0.mlp.up_proj.weight");
    assert_memory_not_equal(gate->w.data, up->w.data, 64);
    OK(wn__model_init(b.m, 6));
    assert_memory_not_equal(p->item[0].w.data, q->item[0].w.data, 64);
    rig_close(&a);
    rig_close(&b);
}

static void gradients_of(rig *r, const int32_t *tokens, const int32_t *targets, int64_t B,
                         int64_t T, double *loss) {
    int64_t labels;
    OK(wn__model_feed(r->m, tokens, targets, B, T));
    OK(wn__model_loss_backward(r->m, 0.5, loss, &labels));
}

// A batch at once, and the same rows one after the other: sums of losses and of gradients agree.
static void check_accumulation(const wn__model_config *c, const char *rule, int64_t B, int64_t T,
                               int64_t part) {
    const wn__model_spec spec = spec_of(c, true, B, T);
    int32_t *tokens = malloc((size_t)(2 * B * T) * sizeof *tokens), *targets = tokens + B * T;
    double whole, sum = 0, one;
    rig a, b;
    random_tokens(tokens, 2 * B * T, c->vocab_size, 8);
    open_ready(&a, &spec, rule, 2);
    open_ready(&b, &spec, rule, 2);
    OK(wn__model_zero_gradients(a.m));
    OK(wn__model_zero_gradients(b.m));
    gradients_of(&a, tokens, targets, B, T, &whole);
    for (int64_t begin = 0; begin < B; begin += part, sum += one) {
        int64_t n = B - begin < part ? B - begin : part;
        gradients_of(&b, tokens + begin * T, targets + begin * T, n, T, &one);
    }
    assert_true(fabs(sum / whole - 1) < 1e-13);
    const wn__params *p = wn__model_params(a.m), *q = wn__model_params(b.m);
    for (size_t i = 0; i < p->count; i++)
        assert_true(relative_error(&q->item[i].g, &p->item[i].g) < 1e-12);
    rig_close(&a);
    rig_close(&b);
    free(tokens);
}

static void gradients_accumulate(void **state) {
    (void)state;
    wn__model_config c = small_config(WN_MLP_SWIGLU);
    check_accumulation(&c, NULL, 3, 7, 1);
    check_accumulation(&c, "*=2:4:tile", 3, 7, 2);
}

// 131072 logits of 8 bytes are 1 MiB a row: 100 rows take two chunks of the head, 50 take one.
static void the_head_runs_in_chunks(void **state) {
    (void)state;
    wn__model_config c = small_config(WN_MLP_RELU2);
    c.vocab_size = 131072;
    c.hidden_size = c.intermediate_size = 4;
    c.layers = c.heads = c.kv_heads = 1;
    c.head_dim = 2;
    c.tied = true;
    check_accumulation(&c, NULL, 100, 1, 50);
}

// A short batch in a large model against a model made for it.
static void smaller_shapes(void **state) {
    (void)state;
    const wn__model_config c = small_config(WN_MLP_SWIGLU);
    const wn__model_spec large = spec_of(&c, true, 3, 9), small = spec_of(&c, true, 1, 5);
    int32_t tokens[27];
    double a[5 * 48], b[5 * 48];
    wn_tensor ta = wn__tensor2(a, WN_DTYPE_F64, 5, 48), tb = wn__tensor2(b, WN_DTYPE_F64, 5, 48);
    rig l, s;
    random_tokens(tokens, 27, 48, 3);
    open_ready(&l, &large, "mlp.*=2:4:tile", 2);
    open_ready(&s, &small, "mlp.*=2:4:tile", 2);
    double loss;
    OK(wn__model_zero_gradients(l.m));
    gradients_of(&l, tokens, tokens, 3, 9, &loss); // fills every buffer with something else
    OK(wn__model_feed(l.m, tokens, NULL, 1, 5));
    OK(wn__model_feed(s.m, tokens, NULL, 1, 5));
    OK(wn__model_logits(l.m, &ta));
    OK(wn__model_logits(s.m, &tb));
    assert_true(relative_error(&ta, &tb) < 1e-14);
    rig_close(&l);
    rig_close(&s);
}

static void counts_flops(void **state) {
    (void)state;
    wn__model_config c = small_config(WN_MLP_RELU2);
    c.tied = true;
    const wn__model_spec spec = spec_of(&c, true, 1, 4);
    const int64_t T = 11;
    double attention =
        2 * 32 * (double)(T + 1); // 2 layers, 2 products over (T+1)/2 keys of 32 columns
    double projections = 2 * (2 * 32 * 32 + 2 * 32 * 16), mlp = 2 * 2 * 32 * 48, head = 32 * 48;
    double executed, dense;
    rig r;
    rig_open(&r, &spec, "mlp.*=2:4:tile", &(wn__structure){.mask_every = 1}, 1);
    wn__model_flops(r.m, T, false, &executed, &dense);
    assert_true(dense == 2 * attention + 2 * (projections + mlp + head));
    assert_true(executed == 2 * attention + 2 * (projections + mlp / 2 + head));
    wn__model_flops(r.m, T, true, &executed, &dense);
    assert_true(dense == 7 * attention + 6 * (projections + mlp + head));
    assert_true(executed == 7 * attention + 6 * (projections + head) + 2 * mlp * (0.5 + 0.5 + 1));
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measuring_tells_what_is_reserved),
        cmocka_unit_test(refuses_what_cannot_be),
        cmocka_unit_test(refuses_shapes_and_dtypes),
        cmocka_unit_test(lists_its_layers),
        cmocka_unit_test(checks_what_is_fed),
        cmocka_unit_test(inference_has_no_gradients),
        cmocka_unit_test(initial_values),
        cmocka_unit_test(gradients_accumulate),
        cmocka_unit_test(the_head_runs_in_chunks),
        cmocka_unit_test(smaller_shapes),
        cmocka_unit_test(counts_flops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
