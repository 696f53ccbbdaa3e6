// SPDX-License-Identifier: MIT
// Training under a mask that rests. Gradients at kept places only give the run of dense gradients,
// to the bit in double, where kernels add in one order; the optimizer's own packs are those of a
// pack after it.
#include "model_test.h"

#include "model/internal.h"

#define B     3
#define T     16
#define STEPS 12

typedef struct run {
    rig r;
    double loss[STEPS];
} run;

static wn__model_spec spec_of(wn_dtype dtype) {
    wn__model_config config = small_config(WN_MLP_RELU2);
    return (wn__model_spec){
        .config = config, .dtype = dtype, .training = true, .batch = B, .seq = T};
}

static void begin(run *t, const wn__model_spec *spec, const char *rule, const wn__structure *base) {
    int32_t tokens[B * T], targets[B * T];
    rig_open(&t->r, spec, rule, base, 2);
    random_tokens(tokens, B * T, spec->config.vocab_size, 7);
    random_tokens(targets, B * T, spec->config.vocab_size, 8);
    OK(wn__model_init(t->r.m, 3));
    OK(wn__model_prepare(t->r.m, 0));
    OK(wn__model_feed(t->r.m, tokens, targets, B, T));
}

// apart: the optimizer packs nothing.
static void update(run *t, int64_t step, bool apart) {
    const step_options o = {.lr = 0.01, .max_norm = 0};
    wn__params *p = wn__model_params(t->r.m);
    double norm;
    for (size_t i = 0; apart && i < p->count; i++)
        p->item[i].packs.rests = false;
    train_step(t->r.m, &o, step, &t->loss[step], &norm);
}

static const wn_tensor *mask_of(const wn__linear *l) {
    return l->structure.kind == WN_STRUCTURE_SPARSE24 ? &l->state[0].view : NULL;
}

// Kept entries have the same bits; whether any dropped one differs.
static bool same_where_kept(const wn__linear *a, const wn__linear *b) {
    const wn_tensor *mask = mask_of(a), *w = &wn__linear_weight(a)->w,
                    *other = &wn__linear_weight(b)->w;
    bool differs = false;
    assert_memory_equal(mask->data, mask_of(b)->data, wn__tensor_bytes(mask));
    for (int64_t i = 0; i < wn__tensor_count(w); i++) {
        int64_t row = i / a->in, j = i % a->in;
        bool kept = ((uint8_t *)mask->data)[row * mask->shape[1] + j / 4] >> (j % 4) & 1;
        if (kept) assert_true(value_at(w, i) == value_at(other, i));
        differs |= value_at(w, i) != value_at(other, i);
    }
    return differs;
}

static void compare_weights(const run *a, const run *b) {
    int64_t masked = 0;
    for (size_t i = 0; i < a->r.m->linear_count; i++) {
        const wn__linear *l = a->r.m->linear[i];
        if (mask_of(l) == NULL) continue;
        assert_true(same_where_kept(l, b->r.m->linear[i]));
        masked++;
    }
    assert_int_equal(masked, 4);
}

// Frozen at update 4 of 12. Gradients are not clipped: their norm counts what is dropped.
static void check_losses(const char *dense, const char *kept) {
    static run a, b;
    const wn__model_spec spec = spec_of(WN_DTYPE_F64);
    wn__structure base = default_structure();
    base.freeze_after = 4;
    begin(&a, &spec, dense, &base);
    begin(&b, &spec, kept, &base);
    for (int64_t step = 0; step < STEPS; step++) {
        update(&a, step, false);
        update(&b, step, false);
        if (a.loss[step] != b.loss[step])
            fail_msg("update %lld: %.17g with dense gradients, %.17g with kept ones",
                     (long long)step, a.loss[step], b.loss[step]);
    }
    assert_true(a.loss[STEPS - 1] < a.loss[0]);
    compare_weights(&a, &b);
    rig_close(&a.r);
    rig_close(&b.r);
}

static void kept_gradients_give_the_run_of_dense_ones(void **state) {
    (void)state;
    assert_int_equal(setenv("WN_KERNEL", "matmul:ref", 1), 0);
    check_losses("mlp.*=2:4:tile", "mlp.*=2:4:tile+kept");
    check_losses("mlp.*=2:4:row", "mlp.*=2:4:row+kept");
    assert_int_equal(unsetenv("WN_KERNEL"), 0);
}

static void check_packs(const char *rule, int64_t mask_every) {
    static run a, b;
    const wn__model_spec spec = spec_of(WN_DTYPE_F32);
    wn__structure base = default_structure();
    base.mask_every = mask_every;
    begin(&a, &spec, rule, &base);
    begin(&b, &spec, rule, &base);
    for (int64_t step = 0; step < STEPS; step++) {
        const wn__param *up = wn__linear_weight(&a.r.m->block[0].mlp.up);
        assert_true(up->packs.rests == ((step + 1) % mask_every != 0));
        update(&a, step, false);
        update(&b, step, true);
        assert_true(a.loss[step] == b.loss[step]);
    }
    for (size_t i = 0; i < a.r.m->params.count; i++) {
        const wn__param *p = &a.r.m->params.item[i], *q = &b.r.m->params.item[i];
        assert_memory_equal(p->w.data, q->w.data, wn__tensor_bytes(&p->w));
    }
    rig_close(&a.r);
    rig_close(&b.r);
}

static void an_update_packs_what_a_pack_after_it_would(void **state) {
    (void)state;
    check_packs("mlp.*=2:4:tile", 3);
    check_packs("mlp.*=2:4:row", 4);
    check_packs("mlp.*=2:4:greedy", 2);
    check_packs("mlp.*=2:4:tile", 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_gradients_give_the_run_of_dense_ones),
        cmocka_unit_test(an_update_packs_what_a_pack_after_it_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
