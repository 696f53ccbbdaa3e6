// SPDX-License-Identifier: MIT
// Chains: what the builders make, to the last factor and parameter, and what they refuse.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "sparse/kron.h"
#include "sparse/linalg.h"

#define LENGTH(a) ((int)(sizeof(a) / sizeof *(a)))

static void assert_ok(wn_status status) {
    if (status != WN_OK) fail_msg("%s: %s", wn_status_name(status), wn_last_error());
}

static void assert_refused(wn_status status, const char *words) {
    assert_int_equal(status, WN_INVALID);
    if (!strstr(wn_last_error(), words)) fail_msg("\"%s\" lacks \"%s\"", wn_last_error(), words);
}

static void assert_text(const wn__kron_chain *c, const char *want) {
    char *text = NULL;
    assert_ok(wn__kron_chain_format(c, WN__KRON_COLUMNS, &text));
    const char *heading = "kron 1 rightmost-first groups-cb ";
    assert_memory_equal(text, heading, strlen(heading));
    assert_string_equal(text + strlen(heading), want);
    wn__kron_chain back;
    wn__kron_layout layout = WN__KRON_CANONICAL;
    assert_ok(wn__kron_chain_parse(text, &back, &layout));
    assert_int_equal(layout, WN__KRON_COLUMNS);
    assert_memory_equal(&back, c, sizeof back);
    free(text);
}

static void note(void *ctx, wn_log_level level, const char *line) {
    char *kept = ctx;
    if (level == WN_LOG_WARN) (void)strncpy(kept, line, 255);
}

// out, in, rank: factors, parameters, the dense matrix, the ratio, the share saved
static void test_legacy_counts(void **state) {
    (void)state;
    static const struct {
        int64_t out, in, rank;
        int factors;
        int64_t params, dense;
        double ratio, saved;
        bool warns;
    } rows[] = {
        {1024, 512, 4, 12, 26624, 524288, 19.692, 94.92, false},
        {512, 1024, 4, 12, 26624, 524288, 19.692, 94.92, false},
        {2048, 720, 4, 13, 56128, 1474560, 26.271, 96.19, false},
        {2048, 720, 64, 13, 222208, 1474560, 6.636, 84.93, false},
        {4096, 4096, 4, 12, 98304, 16777216, 170.67, 99.41, false},
        {11008, 4096, 4, 18, 650240, 45088768, 69.34, 98.56, true},
        {4096, 11008, 4, 18, 650240, 45088768, 69.34, 98.56, true},
        {11008, 4096, 64, 18, 3522560, 45088768, 12.80, 92.19, true},
        {720, 720, 4, 14, 34432, 518400, 15.06, 93.36, true},
        {96, 48, 4, 11, 3392, 4608, 1.36, 26.39, true},
        {2, 1, 4, 3, 16, 2, 0.125, -700, false},
    };
    for (int i = 0; i < LENGTH(rows); i++) {
        char line[256] = "";
        wn__kron_chain c;
        wn__kron_counts n;
        wn_log_set(note, line);
        assert_ok(wn__kron_chain_legacy(rows[i].out, rows[i].in, rows[i].rank, &c));
        wn_log_set(NULL, NULL);
        assert_int_equal(line[0] != 0, rows[i].warns);
        assert_ok(wn__kron_chain_counts(&c, 0, &n));
        assert_int_equal(c.count, rows[i].factors);
        assert_int_equal(n.params, rows[i].params);
        assert_int_equal(n.dense, rows[i].dense);
        assert_true(n.flops == 2.0 * (double)n.params);
        assert_true(fabs(n.ratio - rows[i].ratio) < 5.1e-3);
        assert_true(fabs(100 * n.saved - rows[i].saved) < 5.1e-3);
        assert_int_equal(wn__kron_chain_rows(&c), rows[i].out);
        assert_int_equal(wn__kron_chain_columns(&c), rows[i].in);
    }
}

static void test_legacy_factors(void **state) {
    (void)state;
    wn__kron_chain c;
    assert_ok(wn__kron_chain_legacy(1024, 512, 4, &c));
    assert_text(&c, "(1,4,512,1) (1,1024,4,1) (512,2,2,1) (256,2,2,2) (128,2,2,4) (64,2,2,8) "
                    "(32,2,2,16) (16,2,2,32) (8,2,2,64) (4,2,2,128) (2,2,2,256) (1,2,2,512)");
    assert_ok(wn__kron_chain_legacy(512, 1024, 4, &c));
    assert_text(&c, "(512,2,2,1) (256,2,2,2) (128,2,2,4) (64,2,2,8) (32,2,2,16) (16,2,2,32) "
                    "(8,2,2,64) (4,2,2,128) (2,2,2,256) (1,2,2,512) (1,4,1024,1) (1,512,4,1)");
    wn__kron_chain same;
    assert_ok(wn__kron_chain_legacy(8, 8, 99, &c)); // rank counts for bottlenecks only
    assert_ok(wn__kron_chain_butterfly(8, &same));
    assert_memory_equal(&c, &same, sizeof c);
    assert_refused(wn__kron_chain_legacy(0, 4, 1, &c), "0 outputs");
    assert_refused(wn__kron_chain_legacy(4, -1, 1, &c), "-1 inputs");
    assert_refused(wn__kron_chain_legacy(4, 4, 0, &c), "rank 0");
    assert_refused(wn__kron_chain_legacy(1, 1, 4, &c), "1 x 1");
    assert_refused(wn__kron_chain_butterfly(12, &c), "not 12 (16)");
    assert_refused(wn__kron_chain_butterfly(1, &c), "not 1 (2)");
}

static void test_monarch(void **state) {
    (void)state;
    wn__kron_chain c;
    wn__kron p;
    assert_ok(wn__kron_chain_monarch(60, 48, 6, 8, 2, &c));
    assert_text(&c, "(6,20,8,1) (1,6,12,10)");
    assert_ok(wn__kron_chain_product(&c, &p));
    const wn__kron whole = {1, 60, 48, 1};
    assert_true(wn__kron_same(&p, &whole));
    assert_int_equal(wn__kron_chain_redundant(&c), -1);
    assert_ok(wn__kron_chain_monarch(60, 48, 6, 8, 6, &c));
    assert_int_equal(wn__kron_chain_redundant(&c), 0);
    // 3.125 and 25 % of a square of 4096, and sizes that are no powers of two
    wn__kron_counts n;
    assert_ok(wn__kron_chain_monarch(4096, 4096, 64, 64, 1, &c));
    assert_ok(wn__kron_chain_counts(&c, 0, &n));
    assert_true(n.ratio == 32);
    assert_ok(wn__kron_chain_monarch(4096, 4096, 64, 64, 8, &c));
    assert_ok(wn__kron_chain_counts(&c, 0, &n));
    assert_true(n.ratio == 4 && n.saved == 0.75);
    assert_ok(wn__kron_chain_monarch(11008, 4096, 43, 32, 3, &c));
    assert_ok(wn__kron_chain_counts(&c, 5, &n));
    assert_int_equal(n.params, 3 * (128 * 11008 + 256 * 4096) + 5 * (11008 + 4096));
    assert_refused(wn__kron_chain_counts(&c, 4097, &n), "from 0 to 4096, not 4097");
    assert_refused(wn__kron_chain_monarch(11008, 4096, 44, 32, 1, &c),
                   "blocks of 44 do not divide 11008 outputs; the nearest that do: 43");
    assert_refused(wn__kron_chain_monarch(11008, 4096, 43, 0, 1, &c), "blocks of 0");
    assert_refused(wn__kron_chain_monarch(12, 12, 3, 4, 4, &c), "a rank from 1 to 3, not 4");
    assert_int_equal(wn__kron_divisor(12, 5), 6);
    assert_int_equal(wn__kron_divisor(7, 3), 1);
    assert_int_equal(wn__kron_divisor(1, 100), 1);
}

static void test_merged(void **state) {
    (void)state;
    wn__kron_chain c, m;
    int first[WN__KRON_MAX + 1];
    assert_ok(wn__kron_chain_butterfly(4096, &c));
    assert_ok(wn__kron_chain_merged(&c, 16, &m, first));
    assert_text(&m, "(256,16,16,1) (16,16,16,16) (1,16,16,256)");
    const int starts[] = {0, 4, 8, 12};
    assert_memory_equal(first, starts, sizeof starts);
    assert_ok(wn__kron_chain_merged(&c, 32, &m, NULL)); // 12 = 5 + 5 + 2
    assert_text(&m, "(128,32,32,1) (4,32,32,32) (1,4,4,1024)");
    assert_ok(wn__kron_chain_merged(&c, 2, &m, NULL));
    assert_memory_equal(&m, &c, sizeof c);
    assert_ok(wn__kron_chain_legacy(96, 48, 4, &c)); // bottlenecks stay
    assert_ok(wn__kron_chain_merged(&c, 16, &m, NULL));
    assert_text(&m, "(1,4,48,1) (1,128,4,1) (8,16,16,1) (1,8,8,16) (1,4,128,1) (1,96,4,1)");
}

static void test_text(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "kron 2 rightmost-first canonical (1,2,2,1)",
        "kron 1 leftmost-first canonical (1,2,2,1)",
        "kron 1 rightmost-first rows (1,2,2,1)",
        "kron 1 rightmost-first canonical",
        "kron 1 rightmost-first canonical ",
        "kron 1 rightmost-first canonical (1,2,2)",
        "kron 1 rightmost-first canonical (1,2,2,1",
        "kron 1 rightmost-first canonical (1,2,2,01)",
        "kron 1 rightmost-first canonical (1,2,0,1)",
        "kron 1 rightmost-first canonical (1,2,-2,1)",
        "kron 1 rightmost-first canonical (1,2,2,1)(1,2,2,1)",
        "kron 1 rightmost-first canonical (1,2,2,1) (1,2,3,1)",
        "kron 1 rightmost-first canonical (1,2,2,99999999999999999999)",
        "kron 1 rightmost-first canonical (9999999999999999,9999999999999999,1,1)",
    };
    wn__kron_chain c;
    wn__kron_layout layout;
    for (int i = 0; i < LENGTH(bad); i++)
        if (wn__kron_chain_parse(bad[i], &c, &layout) != WN_INVALID) fail_msg("'%s'", bad[i]);
    char many[40 + 12 * (WN__KRON_MAX + 1)] = "kron 1 rightmost-first canonical";
    for (int i = 0; i <= WN__KRON_MAX; i++)
        (void)strcat(many, " (1,2,2,1)");
    assert_refused(wn__kron_chain_parse(many, &c, &layout), "at most 64 factors");
}

// The dense matrix of an original's chain with Gaussian numbers; malloc'ed.
static double *random_legacy(int64_t m, int64_t n, int64_t rank) {
    wn__kron_chain c;
    assert_ok(wn__kron_chain_legacy(m, n, rank, &c));
    double *data[WN__KRON_MAX], *dense = calloc((size_t)(m * n), sizeof *dense);
    wn_tensor w[WN__KRON_MAX], out = wn__tensor2(dense, WN_DTYPE_F64, m, n);
    for (int t = 0; t < c.count; t++) {
        int64_t count = wn__kron_params(&c.factor[t]);
        data[t] = calloc((size_t)count, sizeof(double));
        for (int64_t i = 0; i < count; i++) {
            float z[4];
            wn__philox_normal(3 + (uint64_t)t, WN_STREAM_TEST, (uint64_t)i, z);
            data[t][i] = (double)z[0];
        }
        w[t] = wn__kron_view(&c.factor[t], WN__KRON_COLUMNS, data[t], WN_DTYPE_F64);
    }
    assert_ok(wn__kron_chain_dense(w, c.count, NULL, NULL, &out));
    for (int t = 0; t < c.count; t++)
        free(data[t]);
    return dense;
}

// The longest column of w[m, n], whose length is *length, is taken out of all of them.
static void take_out(double *w, int64_t m, int64_t n, double *length) {
    int64_t longest = 0;
    *length = 0;
    for (int64_t j = 0; j < n; j++) {
        double square = 0;
        for (int64_t i = 0; i < m; i++)
            square += w[i * n + j] * w[i * n + j];
        if (sqrt(square) > *length) {
            *length = sqrt(square);
            longest = j;
        }
    }
    double *q = calloc((size_t)m, sizeof *q), *along = calloc((size_t)n, sizeof *along);
    for (int64_t i = 0; i < m; i++)
        q[i] = *length > 0 ? w[i * n + longest] / *length : 0;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            along[j] += q[i] * w[i * n + j];
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            w[i * n + j] -= q[i] * along[j];
    free(q);
    free(along);
}

// The product of a chain with a bottleneck has its rank, here 4, and no more: four columns make all
// others, three do not, up to rounding.
static void test_legacy_rank(void **state) {
    (void)state;
    static const int64_t shapes[][2] = {{64, 32}, {1024, 512}, {512, 1024}, {48, 40}};
    for (int e = 0; e < LENGTH(shapes); e++) {
        int64_t m = shapes[e][0], n = shapes[e][1];
        double *w = random_legacy(m, n, 4), length[5];
        for (int r = 0; r < 5; r++)
            take_out(w, m, n, &length[r]);
        assert_true(length[3] > 1e-3 * length[0]);
        assert_true(length[4] < 1e-12 * length[0]);
        free(w);
    }
    double *w = random_legacy(64, 32, 4), s[32];
    wn__exec x = {0};
    void *scratch = aligned_alloc(64, (wn__linalg_svd_scratch(NULL, 64, 32) + 63) / 64 * 64);
    assert_ok(wn__linalg_svd(NULL, &x, 64, 32, w, NULL, s, NULL, scratch));
    assert_true(s[3] > 1e-3 * s[0]);
    assert_true(s[4] < 1e-13 * s[0]);
    free(scratch);
    free(w);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_legacy_counts), cmocka_unit_test(test_legacy_factors),
    cmocka_unit_test(test_monarch),       cmocka_unit_test(test_merged),
    cmocka_unit_test(test_text),          cmocka_unit_test(test_legacy_rank),
};

int main(void) {
    return cmocka_run_group_tests(tests, NULL, NULL);
}
