// SPDX-License-Identifier: MIT
// Libraries that are found multiply right in every layout that a linear layer needs; what is not
// found says so.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/half.h"
#include "bench/peer.h"
#include <math.h>
#include <string.h>

enum { M = 7, N = 12, K = 20, ROOM = 400 };

static float value(int i) {
    return (float)((i * 37 + 11) % 17 - 8) / 4; // exact in bfloat16, sums exact in float32
}

static void fill(float *wide, uint16_t *narrow, int count, int shift) {
    for (int i = 0; i < count; i++) {
        wide[i] = value(i + shift);
        narrow[i] = wn__bf16_from_f32(wide[i]);
    }
}

static void check_product(const wn__peer *p, wn_dtype dtype, bool at, bool bt, bool constant) {
    static float a[ROOM], b[ROOM], c[ROOM];
    static uint16_t a16[ROOM], b16[ROOM];
    fill(a, a16, M * K, 1);
    fill(b, b16, K * N, 5);
    memset(c, 0x7f, sizeof c);
    bool wide = dtype == WN_DTYPE_F32;
    const wn__gemm g = {.dtype = dtype,
                        .m = M,
                        .n = N,
                        .k = K,
                        .a = wide ? (const void *)a : a16,
                        .b = wide ? (const void *)b : b16,
                        .c = c,
                        .a_row = at ? 1 : K,
                        .a_column = at ? M : 1,
                        .b_row = bt ? 1 : N,
                        .b_column = bt ? K : 1,
                        .constant_b = constant};
    void *job = NULL;
    wn_status status = p->type->prepare(p, &g, &job);
    if (status == WN_UNSUPPORTED && !wide) return;
    assert_int_equal(status, WN_OK);
    for (int twice = 0; twice < 2; twice++)
        assert_int_equal(p->type->run(job), WN_OK);
    p->type->release(job);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            float sum = 0;
            for (int k = 0; k < K; k++)
                sum += a[i * g.a_row + k * g.a_column] * b[k * g.b_row + j * g.b_column];
            assert_true(c[i * N + j] == sum);
        }
}

static void products_are_right(void **state) {
    (void)state;
    wn__peers peers;
    assert_int_equal(wn__peers_open(&peers, NULL), WN_OK);
    int found = 0;
    for (int i = 0; i < WN__PEERS; i++) {
        const wn__peer *p = peers.peer + i;
        if (!p->handle) {
            assert_true(p->why[0] != '\0');
            continue;
        }
        found++;
        assert_true(p->version[0] != '\0' && p->path[0] != '\0');
        wn__peer_threads(p, 2);
        for (int layout = 0; layout < 8; layout++) {
            check_product(p, WN_DTYPE_F32, layout & 1, layout & 2, layout & 4);
            check_product(p, WN_DTYPE_BF16, layout & 1, layout & 2, layout & 4);
        }
        wn__peer_threads(p, 1);
    }
    wn__peers_close(&peers);
    if (found == 0) skip();
}

static void names_are_checked(void **state) {
    (void)state;
    wn__peers peers;
    assert_int_equal(wn__peers_open(&peers, "none"), WN_OK);
    for (int i = 0; i < WN__PEERS; i++) {
        assert_null(peers.peer[i].handle);
        assert_string_equal(peers.peer[i].why, "not asked for");
    }
    assert_int_equal(wn__peers_open(&peers, "openblas,mkl"), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "mkl"));
    assert_int_equal(wn__peers_open(&peers, "open"), WN_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(products_are_right),
                                       cmocka_unit_test(names_are_checked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
