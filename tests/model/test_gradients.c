// SPDX-License-Identifier: MIT
// Gradients that count as zeros hold whatever they held before: NaN in all of them is gone after
// two micro-batches, which leave the sum of the gradients of each, for every structure of a linear
// layer and whatever else adds to the same tensors (tied tables, pruned activations, biases).
#include "model_test.h"

#define B 2
#define T 10

typedef struct method {
    const char *rules[2];
    wn__mlp_kind mlp;
    bool tied, round16, recompute, fp8;
} method;

static const method methods[] = {
    {.mlp = WN_MLP_SWIGLU},
    {.mlp = WN_MLP_RELU, .tied = true},
    {.mlp = WN_MLP_RELU2, .recompute = true},
    {.mlp = WN_MLP_SWIGLU, .round16 = true},
    {.mlp = WN_MLP_SWIGLU, .fp8 = true},
    {.mlp = WN_MLP_SWIGLU, .rules = {"*_proj=2:4:tile"}},
    {.mlp = WN_MLP_RELU2, .rules = {"*_proj=2:4:greedy", "lm_head=2:4:row+mvue-approx"}},
    {.mlp = WN_MLP_RELU2, .rules = {"*_proj=2:4:row"}},
    {.mlp = WN_MLP_RELU2, .rules = {"*_proj=2:4:tile+mvue"}, .round16 = true},
    {.mlp = WN_MLP_RELU2, .rules = {"*_proj=2:4:row+mvue-approx"}, .fp8 = true},
    {.mlp = WN_MLP_SWIGLU, .rules = {"*_proj=2:4:sste"}},
    {.mlp = WN_MLP_RELU2, .rules = {"*_proj=2:4:sste+mvue"}, .recompute = true},
    {.mlp = WN_MLP_RELU2, .rules = {"*_proj=lowrank:8"}, .tied = true},
    {.mlp = WN_MLP_RELU2, .rules = {"*_proj=lowrank:8+2:4"}, .round16 = true},
    {.mlp = WN_MLP_RELU2, .rules = {"*_proj=lowrank:8+2:4:in+mvue"}},
    {.mlp = WN_MLP_RELU2, .rules = {"*_proj=lowrank:8+2:4:out+mvue-approx"}, .fp8 = true},
    {.mlp = WN_MLP_SWIGLU, .rules = {"*_proj=adapter:4:8"}},
    {.mlp = WN_MLP_SWIGLU, .rules = {"*_proj=in2:4:soft"}},
    {.mlp = WN_MLP_RELU2, .rules = {"*_proj=in2:4:mvue"}},
    {.mlp = WN_MLP_RELU2, .rules = {"*_proj=in2:4:soft+dense-dw"}},
    {.mlp = WN_MLP_SWIGLU, .rules = {"lm_head=kron:monarch:8:2"}},
    {.mlp = WN_MLP_SWIGLU, .rules = {"*_proj=kron:monarch:8+lowrank:2"}},
    {.mlp = WN_MLP_RELU2, .rules = {"*_proj=kron:monarch:4:2+lowrank:3"}, .round16 = true},
    {.mlp = WN_MLP_RELU2, .rules = {"lm_head=kron:monarch:16x8"}, .round16 = true},
    {.mlp = WN_MLP_RELU2, .rules = {"act=act2:4:naive"}},
    {.mlp = WN_MLP_RELU2, .rules = {"act=act2:4:mvue", "*_proj=lowrank:8+2:4"}},
    {.mlp = WN_MLP_RELU2, .rules = {"act=act2:4:soft", "*_proj=2:4:sste"}, .recompute = true},
    {.mlp = WN_MLP_RELU, .rules = {"act=act2:4:soft_dynamic", "*_proj=2:4:tile"}, .round16 = true},
};

static char describe[160]; // the case at hand

typedef struct learner {
    wn__structure_rules rules;
    wn__optimizer *optimizer;
    wn__runtime *rt;
    wn__model *m;
    double *sum; // of all gradients, tensor after tensor
} learner;

static size_t elements(wn__model *m) {
    const wn__params *p = wn__model_params(m);
    size_t n = 0;
    for (size_t i = 0; i < p->count; i++)
        if (wn__given(&p->item[i].g)) n += (size_t)wn__tensor_count(&p->item[i].g);
    return n;
}

static void open_learner(learner *l, const method *how, wn_dtype dtype) {
    const wn__optimizer_options o = adamw_options(0.1);
    wn__structure base = default_structure();
    wn__model_config c = small_config(how->mlp);
    c.tied = how->tied;
    c.qkv_bias = c.o_bias = c.mlp_bias = true;
    base.act_dense = 0.2;
    base.act_every = 2;
    base.act_samples = 7;
    base.fp8 = how->fp8;
    size_t count = how->rules[0] == NULL ? 0 : how->rules[1] == NULL ? 1 : 2;
    *l = (learner){.optimizer = make_optimizer(&o)};
    OK(wn__structure_rules_parse(how->rules, count, &base, &l->rules));
    const wn__model_spec spec = {.config = c,
                                 .dtype = dtype,
                                 .training = true,
                                 .batch = B,
                                 .seq = T,
                                 .optimizer = l->optimizer,
                                 .round16 = how->round16,
                                 .recompute = how->recompute,
                                 .rules = &l->rules};
    OK(wn__runtime_create(2, NULL, false, &l->rt));
    OK(wn__model_create(&spec, l->rt, &l->m));
    OK(wn__model_init(l->m, 5));
    OK(wn__model_prepare(l->m, 0));
    l->sum = calloc(elements(l->m), sizeof *l->sum);
}

static void close_learner(learner *l) {
    free(l->sum);
    wn__model_free(l->m);
    wn__runtime_free(l->rt);
    wn__optimizer_free(l->optimizer);
    wn__structure_rules_free(&l->rules);
}

static void fill(wn__model *m, double value) {
    wn__params *p = wn__model_params(m);
    for (size_t i = 0; i < p->count; i++) {
        const wn_tensor *g = &p->item[i].g;
        for (int64_t k = 0; wn__given(g) && k < wn__tensor_count(g); k++)
            if (g->dtype == WN_DTYPE_F64)
                ((double *)g->data)[k] = value;
            else
                ((float *)g->data)[k] = (float)value;
    }
}

// What was left behind, and marks that say nothing is.
static void spoil(wn__model *m) {
    fill(m, NAN);
    OK(wn__model_zero_gradients(m));
}

// Zeros that are there, by no mark.
static void clear(wn__model *m) {
    fill(m, 0);
    for (size_t i = 0; i < wn__model_params(m)->count; i++)
        wn__model_params(m)->item[i].fresh = false;
}

// Pass number 0 or 1, of lengths that differ; its random draws are those of its number.
static void learn(wn__model *m, int pass) {
    int32_t tokens[B * T], targets[B * T];
    int64_t labels;
    double loss;
    wn__model_pass(m)->counter = (uint64_t)pass;
    random_tokens(tokens, B * T, 48, (uint64_t)pass);
    random_tokens(targets, B * T, 48, (uint64_t)pass + 100);
    OK(wn__model_feed(m, tokens, targets, B, pass == 0 ? T : T - 3));
    OK(wn__model_loss_backward(m, 0.02, &loss, &labels));
    assert_true(isfinite(loss));
}

// A micro-batch without a label: it has nothing to add.
static void learn_nothing(wn__model *m) {
    int32_t tokens[B * T], targets[B * T];
    int64_t labels;
    double loss;
    random_tokens(tokens, B * T, 48, 7);
    for (int i = 0; i < B * T; i++)
        targets[i] = -1;
    OK(wn__model_feed(m, tokens, targets, B, T));
    OK(wn__model_loss_backward(m, 0.02, &loss, &labels));
    assert_int_equal(labels, 0);
}

static void add_up(learner *l) {
    const wn__params *p = wn__model_params(l->m);
    size_t n = 0;
    for (size_t i = 0; i < p->count; i++)
        for (int64_t k = 0; wn__given(&p->item[i].g) && k < wn__tensor_count(&p->item[i].g); k++)
            l->sum[n++] += value_at(&p->item[i].g, k);
}

// Every gradient against the sum, within `tolerance` of the largest of its tensor.
static void compare(const learner *l, double tolerance) {
    const wn__params *p = wn__model_params(l->m);
    size_t n = 0;
    for (size_t i = 0; i < p->count; i++) {
        const wn_tensor *g = &p->item[i].g;
        int64_t count = wn__given(g) ? wn__tensor_count(g) : 0;
        double largest = 0;
        assert_false(p->item[i].fresh);
        for (int64_t k = 0; k < count; k++)
            largest = fmax(largest, fabs(l->sum[n + (size_t)k]));
        for (int64_t k = 0; k < count; k++, n++)
            if (!(fabs(value_at(g, k) - l->sum[n]) <= tolerance * largest))
                fail_msg("%s: %s[%lld] is %.17g, expected %.17g", describe, p->item[i].name,
                         (long long)k, value_at(g, k), l->sum[n]);
    }
}

static void begin(learner *l, const method *how, wn_dtype dtype) {
    (void)snprintf(describe, sizeof describe, "%s %s%s%s%s%s%s",
                   how->rules[0] != NULL ? how->rules[0] : "dense",
                   how->rules[1] != NULL ? how->rules[1] : "", how->tied ? " tied" : "",
                   how->round16 ? " round16" : "", how->recompute ? " recompute" : "",
                   how->fp8 ? " fp8" : "", dtype == WN_DTYPE_F32 ? " f32" : "");
    open_learner(l, how, dtype);
    learn_nothing(l->m); // scales that the first batch chooses are chosen
    memset(l->sum, 0, elements(l->m) * sizeof *l->sum);
}

// In double, two passes against the gradients of each alone. They differ by the order of sums of a
// few dozen terms.
static void two_passes_add_up(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        learner l;
        if (methods[i].round16) continue; // of floats
        begin(&l, &methods[i], WN_DTYPE_F64);
        for (int pass = 0; pass < 2; pass++) {
            clear(l.m);
            learn(l.m, pass);
            add_up(&l);
        }
        spoil(l.m);
        learn(l.m, 0);
        learn(l.m, 1);
        compare(&l, 1e-12);
        close_learner(&l);
    }
}

// In float, by the kernels that training runs: overwriting gives what adding to zeros gives, which
// is exact.
static void overwriting_is_adding_to_zeros(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        learner l;
        begin(&l, &methods[i], WN_DTYPE_F32);
        clear(l.m);
        learn(l.m, 0);
        learn(l.m, 1);
        add_up(&l);
        spoil(l.m);
        learn(l.m, 0);
        learn(l.m, 1);
        compare(&l, 0);
        // The first of them without a label.
        memset(l.sum, 0, elements(l.m) * sizeof *l.sum);
        clear(l.m);
        learn(l.m, 1);
        add_up(&l);
        spoil(l.m);
        learn_nothing(l.m);
        learn(l.m, 1);
        compare(&l, 0);
        close_learner(&l);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_passes_add_up),
        cmocka_unit_test(overwriting_is_adding_to_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
