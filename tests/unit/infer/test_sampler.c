// SPDX-License-Identifier: MIT
// Sampling against its definition: ties, cuts, determinism, and the distribution of many draws.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/philox.h"
#include "infer/sampler.h"
#include "unit/base/status.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int32_t pick(const wn_sampling *how, const float *logits, int64_t vocab, uint64_t position) {
    wn__sampler s;
    int32_t id = -1;
    OK(wn__sampler_create(how, vocab, &s));
    OK(wn__sampler_pick(&s, logits, position, &id));
    wn__sampler_free(&s);
    return id;
}

static void test_greedy(void **state) {
    (void)state;
    const wn_sampling greedy = {.temperature = 0, .top_p = 1};
    assert_int_equal(pick(&greedy, (float[]){1, 3, 2, 3}, 4, 0), 1); // the lowest id of a tie
    assert_int_equal(pick(&greedy, (float[]){-5, -5}, 2, 0), 0);
    assert_int_equal(pick(&greedy, (float[]){-INFINITY, -1e30f}, 2, 0), 1);
    assert_int_equal(pick(&greedy, (float[]){7}, 1, 0), 0);
    const wn_sampling one = {.temperature = 5, .top_p = 1, .top_k = 1};
    assert_int_equal(pick(&one, (float[]){1, 3, 2, 3}, 4, 9), 1);
}

// Chi-square of many draws against given probabilities; ids of probability 0 never appear.
static void check_distribution(const wn_sampling *how, const float *logits, const double *p,
                               int n) {
    const int draws = 20000;
    int count[16] = {0}, kinds = 0;
    wn__sampler s;
    OK(wn__sampler_create(how, n, &s));
    for (int i = 0; i < draws; i++) {
        int32_t id;
        OK(wn__sampler_pick(&s, logits, (uint64_t)i, &id));
        assert_in_range(id, 0, n - 1);
        count[id]++;
    }
    wn__sampler_free(&s);
    double chi = 0;
    for (int i = 0; i < n; i++) {
        if (p[i] == 0) {
            assert_int_equal(count[i], 0);
            continue;
        }
        kinds++;
        chi += (count[i] - draws * p[i]) * (count[i] - draws * p[i]) / (draws * p[i]);
    }
    int freedom =
        kinds - 1; // mean freedom, variance twice that; the seeds are fixed, so this never flakes
    if (!(chi < freedom + 5 * sqrt(2.0 * freedom) + 1e-9))
        fail_msg("chi-square %g of %d", chi, freedom);
}

static void softmax(const float *logits, double temperature, const bool *kept, double *p, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += p[i] = kept[i] ? exp((double)logits[i] / temperature) : 0;
    for (int i = 0; i < n; i++)
        p[i] /= sum;
}

static void test_distribution(void **state) {
    (void)state;
    const float logits[8] = {0.5f, -1, 2, 0, 1.5f, -INFINITY, 2, -3};
    const bool all[8] = {1, 1, 1, 1, 1, 1, 1, 1}, top3[8] = {[2] = 1, [4] = 1, [6] = 1};
    const bool top2[8] = {[2] = 1, [6] = 1};
    double p[8];
    const double temperatures[] = {0.5, 1, 3};
    for (int i = 0; i < 3; i++) {
        wn_sampling how = {.temperature = temperatures[i], .top_p = 1, .seed = 5};
        softmax(logits, how.temperature, all, p, 8);
        check_distribution(&how, logits, p, 8);
        how.top_k = 3;
        softmax(logits, how.temperature, top3, p, 8);
        check_distribution(&how, logits, p, 8);
        how.top_k = 2;
        softmax(logits, how.temperature, top2, p, 8);
        check_distribution(&how, logits, p, 8);
    }
}

// The fewest that hold top_p: probabilities 0.5, 0.25, 0.125, 0.125.
static void test_top_p(void **state) {
    (void)state;
    const float l = 0.69314718f, logits[4] = {0, l, 0, 2 * l};
    const struct {
        double top_p;
        double p[4];
    } cases[] = {{0.3, {0, 0, 0, 1}},
                 {0.49, {0, 0, 0, 1}},
                 {0.6, {0, 1 / 3.0, 0, 2 / 3.0}},
                 {0.74, {0, 1 / 3.0, 0, 2 / 3.0}},
                 {0.8, {1 / 7.0, 2 / 7.0, 0, 4 / 7.0}}, // the tie goes to the lower id
                 {0.99, {0.125, 0.25, 0.125, 0.5}},
                 {1, {0.125, 0.25, 0.125, 0.5}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const wn_sampling how = {.temperature = 1, .top_p = cases[i].top_p, .seed = i};
        check_distribution(&how, logits, cases[i].p, 4);
    }
    const wn_sampling both = {
        .temperature = 1, .top_k = 2, .top_p = 0.6, .seed = 1}; // of the two: 2/3, 1/3
    check_distribution(&both, logits, (const double[]){0, 0, 0, 1}, 4);
}

// top_k is by (logit descending, id ascending), whatever the order of the logits.
static void test_top_k_ties(void **state) {
    (void)state;
    for (int k = 1; k <= 6; k++) {
        const float logits[6] = {1, 2, 1, 2, 1, 1};
        const int order[6] = {1, 3, 0, 2, 4, 5};
        bool kept[6] = {false};
        double p[6];
        for (int i = 0; i < k; i++)
            kept[order[i]] = true;
        const wn_sampling how = {.temperature = 1, .top_p = 1, .top_k = k, .seed = 3};
        softmax(logits, 1, kept, p, 6);
        check_distribution(&how, logits, p, 6);
    }
}

// A large vocabulary: the kept set is that of a full sort.
static void test_large(void **state) {
    (void)state;
    enum { V = 5000 };
    float *logits = malloc(V * sizeof *logits);
    for (uint64_t i = 0; i < V; i += 4)
        wn__philox_normal(1, WN_STREAM_TEST, i, logits + i);
    for (int64_t k = 1; k < 60; k += 7) {
        const wn_sampling how = {.temperature = 50, .top_p = 1, .top_k = k, .seed = 2};
        wn__sampler s;
        OK(wn__sampler_create(&how, V, &s));
        for (uint64_t i = 0; i < 200; i++) {
            int32_t id;
            int64_t above = 0;
            OK(wn__sampler_pick(&s, logits, i, &id));
            for (int j = 0; j < V; j++)
                above += logits[j] > logits[id];
            assert_true(above < k);
        }
        wn__sampler_free(&s);
    }
    free(logits);
}

static void test_deterministic(void **state) {
    (void)state;
    const float logits[6] = {0, 0.1f, 0.2f, 0.3f, 0.4f, 0.5f};
    const wn_sampling how = {.temperature = 1, .top_p = 0.95, .seed = 11};
    wn_sampling other = how;
    other.seed = 12;
    int same = 0, differs = 0;
    for (uint64_t i = 0; i < 200; i++) {
        same += pick(&how, logits, 6, i) == pick(&how, logits, 6, i);
        differs += pick(&how, logits, 6, i) != pick(&other, logits, 6, i);
    }
    assert_int_equal(same, 200);
    assert_true(differs > 100);
}

static void test_refuses(void **state) {
    (void)state;
    wn__sampler s;
    const wn_sampling bad[] = {{.temperature = -1, .top_p = 1},
                               {.temperature = NAN, .top_p = 1},
                               {.temperature = INFINITY, .top_p = 1},
                               {.temperature = 1, .top_p = 0},
                               {.temperature = 1, .top_p = 1.5},
                               {.temperature = 1, .top_p = NAN},
                               {.temperature = 1, .top_p = 1, .top_k = -1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(wn__sampler_create(&bad[i], 4, &s), WN_INVALID);
    int32_t id;
    OK(wn__sampler_create(&(wn_sampling){.temperature = 1, .top_p = 1}, 3, &s));
    assert_int_equal(wn__sampler_pick(&s, (float[]){0, NAN, 1}, 0, &id), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "logit 1 is NaN"));
    assert_int_equal(wn__sampler_pick(&s, (float[]){NAN, 0, 1}, 0, &id), WN_INVALID);
    assert_int_equal(wn__sampler_pick(&s, (float[]){-INFINITY, -INFINITY, -INFINITY}, 0, &id),
                     WN_INVALID);
    assert_int_equal(wn__sampler_pick(&s, (float[]){0, INFINITY, 0}, 0, &id), WN_INVALID);
    wn__sampler_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy),  cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_top_p),   cmocka_unit_test(test_top_k_ties),
        cmocka_unit_test(test_large),   cmocka_unit_test(test_deterministic),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
