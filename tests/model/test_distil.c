// SPDX-License-Identifier: MIT
// A model of chains that learns from a dense teacher: its loss against the formula on the logits
// of both, its gradients against central differences in float64, the same bits for any number of
// threads, and what is refused.
#include "model_test.h"

#define B     2
#define T     6
#define VOCAB 48

typedef struct pair {
    rig student;
    wn__model *teacher;
} pair;

static void pair_open(pair *p, wn_dtype dtype, int threads) {
    wn__structure base = default_structure();
    wn__model_config small = small_config(WN_MLP_SWIGLU), wide = small_config(WN_MLP_RELU2);
    wide.hidden_size = 64;
    wide.head_dim = 16;
    const wn__model_spec spec = {
        .config = small, .dtype = dtype, .training = true, .batch = B, .seq = T};
    const wn__model_spec other = {.config = wide, .dtype = dtype, .batch = B, .seq = T + 1};
    rig_open(&p->student, &spec, "mlp.*=kron:monarch:8:2", &base, threads);
    OK(wn__model_init(p->student.m, 5));
    OK(wn__model_prepare(p->student.m, 0));
    OK(wn__model_create(&other, p->student.rt, &p->teacher));
    OK(wn__model_init(p->teacher, 6));
    OK(wn__model_prepare(p->teacher, 0));
}

static void pair_close(pair *p) {
    wn__model_free(p->teacher);
    rig_close(&p->student);
}

static void feed(wn__model *m) {
    int32_t tokens[B * T], targets[B * T];
    random_tokens(tokens, B * T, VOCAB, 1);
    random_tokens(targets, B * T, VOCAB, 2);
    targets[3] = -1; // ignored, by both losses
    OK(wn__model_feed(m, tokens, targets, B, T));
}

static double learn(wn__model *m) {
    double loss;
    int64_t labels;
    OK(wn__model_zero_gradients(m));
    feed(m);
    OK(wn__model_loss_backward(m, 0.25, &loss, &labels));
    assert_int_equal(labels, B * T - 1);
    return loss;
}

static double *logits_of(wn__model *m) {
    double *to = calloc(B * T * VOCAB, sizeof *to);
    assert_non_null(to);
    const wn_tensor t = wn__tensor2(to, WN_DTYPE_F64, B * T, VOCAB);
    feed(m);
    OK(wn__model_logits(m, &t));
    return to;
}

static double log_sum(const double *z, double heat) {
    double sum = 0;
    for (int v = 0; v < VOCAB; v++)
        sum += exp(z[v] / heat);
    return log(sum);
}

static double by_formula(const double *own, const double *teacher, double share, double heat) {
    double all = 0;
    int32_t targets[B * T];
    random_tokens(targets, B * T, VOCAB, 2);
    for (int n = 0; n < B * T; n++, own += VOCAB, teacher += VOCAB) {
        if (n == 3) continue;
        double a = log_sum(own, heat), b = log_sum(teacher, heat), kl = 0;
        for (int v = 0; v < VOCAB; v++)
            kl += exp(teacher[v] / heat - b) * (teacher[v] / heat - b - own[v] / heat + a);
        all += (1 - share) * (log_sum(own, 1) - own[targets[n]]) + share * heat * heat * kl;
    }
    return all;
}

static void test_loss(void **state) {
    (void)state;
    pair p;
    pair_open(&p, WN_DTYPE_F64, 1);
    double *own = logits_of(p.student.m), *teacher = logits_of(p.teacher);
    static const double how[][2] = {{0, 1}, {0.5, 2}, {1, 3}, {1, 0.5}};
    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        OK(wn__model_distil(p.student.m, p.teacher, how[i][0], how[i][1]));
        double want = by_formula(own, teacher, how[i][0], how[i][1]), got = learn(p.student.m);
        if (!(fabs(got - want) <= 1e-11 * fabs(want))) fail_msg("%zu: %.17g, %.17g", i, got, want);
    }
    double labels, all;
    int64_t count;
    feed(p.student.m); // the loss of an evaluation stays that of the labels
    OK(wn__model_loss(p.student.m, &labels, &count));
    OK(wn__model_distil(p.student.m, NULL, 0, 1));
    all = learn(p.student.m);
    assert_true(labels == all);
    free(own);
    free(teacher);
    pair_close(&p);
}

// Some numbers of every tensor, by central differences of the loss that is learned from.
static void test_gradients(void **state) {
    (void)state;
    pair p;
    pair_open(&p, WN_DTYPE_F64, 1);
    OK(wn__model_distil(p.student.m, p.teacher, 0.7, 2));
    wn__params *all = wn__model_params(p.student.m);
    for (size_t i = 0; i < all->count; i++) {
        double *w = all->item[i].w.data;
        int64_t count = wn__tensor_count(&all->item[i].w), at = count / 3;
        learn(p.student.m);
        double got = value_at(&all->item[i].g, at), kept = w[at], step = 1e-5;
        w[at] = kept + step;
        double high = learn(p.student.m);
        w[at] = kept - step;
        double low = learn(p.student.m);
        w[at] = kept;
        double want = 0.25 * (high - low) / (2 * step);
        if (!(fabs(got - want) <= 2e-7 * (1 + fabs(want))))
            fail_msg("%s[%lld]: %.12g, %.12g", all->item[i].name, (long long)at, got, want);
    }
    pair_close(&p);
}

static void test_threads(void **state) {
    (void)state;
    pair p[2];
    for (int i = 0; i < 2; i++) {
        pair_open(&p[i], WN_DTYPE_F32, i == 0 ? 1 : 3);
        OK(wn__model_distil(p[i].student.m, p[i].teacher, 0.7, 2));
    }
    assert_true(learn(p[0].student.m) == learn(p[1].student.m));
    const wn__params *a = wn__model_params(p[0].student.m), *b = wn__model_params(p[1].student.m);
    for (size_t i = 0; i < a->count; i++)
        assert_memory_equal(a->item[i].g.data, b->item[i].g.data, wn__tensor_bytes(&a->item[i].g));
    for (int i = 0; i < 2; i++)
        pair_close(&p[i]);
}

static void test_refused(void **state) {
    (void)state;
    pair p;
    pair_open(&p, WN_DTYPE_F32, 1);
    wn__model *other = NULL;
    wn__model_spec spec = {
        .config = small_config(WN_MLP_RELU2), .dtype = WN_DTYPE_F32, .batch = B, .seq = T - 1};
    OK(wn__model_create(&spec, p.student.rt, &other));
    FAILS(wn__model_distil(p.student.m, other, 1, 1), WN_INVALID,
          "a teacher of 2 x 5 tokens for a model of 2 x 6");
    wn__model_free(other);
    spec.seq = T;
    spec.config.vocab_size = 40;
    OK(wn__model_create(&spec, p.student.rt, &other));
    FAILS(wn__model_distil(p.student.m, other, 1, 1), WN_INVALID,
          "a teacher with 40 ids for a model with 48");
    wn__model_free(other);
    pair_close(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
