// SPDX-License-Identifier: MIT
// Products with the sparse operand on the other side of spmm24_blocks, the gate of relu^2, and
// drawn gradients in blocks, against plain statements of each.
#include "kernels/block24.h"
#include "kernels/mvue24_blocks.h"
#include "kernels/mvue24_tokens.h"
#include "kernels/spmm24_blocks.h"
#include "kernels/spmm24_blocks_columns.h"
#include "kernels/spmm24_blocks_rows.h"
#include "ref_test.h"

enum { N = 70, K = 90, M = 6 };

static double dense[N][K];

static wn_tensor blocks_of(int64_t rows, int64_t columns) {
    wn_tensor t = wn__block24_tensor(rows, columns);
    t.data = aligned_alloc(64, (wn__tensor_bytes(&t) + 63) / 64 * 64);
    assert_non_null(t.data);
    memset(t.data, 0xA5, wn__tensor_bytes(&t));
    return t;
}

// Small whole numbers, the two largest of four kept: what `dense` holds.
static wn_tensor make_weight(void) {
    _Alignas(16) static uint16_t bits[N][K];
    wn__exec x = one_thread();
    for (int i = 0; i < N; i++)
        for (int j = 0; j < K; j++) {
            const int size = j % 4 == i % 4 || j % 4 == (i + 1) % 4 ? 9 : 1;
            const float value = (float)(size + (i + j) % 3) * (j % 2 != 0 ? -1.0F : 1.0F);
            bits[i][j] = wn__bf16_from_f32(value);
            dense[i][j] = size == 9 ? (double)value : 0;
        }
    for (int i = 0; i < N; i++) // a last group of two columns keeps both
        for (int j = K / 4 * 4; j < K; j++)
            dense[i][j] = (double)wn__bf16_to_f32(bits[i][j]);
    const wn__block24 p = {.w = wn__tensor2(bits, WN_DTYPE_BF16, N, K), .blocks = blocks_of(N, K)};
    assert_int_equal(wn__run(&x, WN__OP_block24, &p), WN_OK);
    return p.blocks;
}

static double some(int i, int j) {
    return (double)((i * 5 + j * 11) % 13 - 6);
}

static void test_rows(void **state) {
    (void)state;
    _Alignas(16) static double b[K * M], c[N][M];
    wn__exec x = one_thread();
    wn_tensor blocks = make_weight();
    for (int turn = 0; turn < 4; turn++) { // along both sides, added and not
        const bool turned = turn % 2 != 0, more = turn / 2 != 0;
        wn__spmm24_blocks_rows p = {.blocks = blocks,
                                    .b = wn__tensor2(b, WN_DTYPE_F64, K, M),
                                    .c = wn__tensor2(c, WN_DTYPE_F64, N, M),
                                    .values = WN_DTYPE_BF16,
                                    .accumulate = more};
        if (turned) {
            p.b.stride[0] = 1;
            p.b.stride[1] = K;
        }
        for (int l = 0; l < K; l++)
            for (int j = 0; j < M; j++)
                b[turned ? j * K + l : l * M + j] = some(l, j);
        for (int i = 0; i < N; i++)
            for (int j = 0; j < M; j++)
                c[i][j] = more ? (double)(i - j) : (double)NAN;
        assert_int_equal(wn__run(&x, WN__OP_spmm24_blocks_rows, &p), WN_OK);
        for (int i = 0; i < N; i++)
            for (int j = 0; j < M; j++) {
                double want = more ? i - j : 0;
                for (int l = 0; l < K; l++)
                    want += dense[i][l] * some(l, j);
                assert_true(c[i][j] == want);
            }
    }
    free(blocks.data);
}

static void test_columns(void **state) {
    (void)state;
    _Alignas(16) static double dy[M][N], dx[M][K];
    wn__exec x = one_thread();
    const wn__spmm24_blocks_columns p = {.blocks = make_weight(),
                                         .x = wn__tensor2(dy, WN_DTYPE_F64, M, N),
                                         .y = wn__tensor2(dx, WN_DTYPE_F64, M, K),
                                         .values = WN_DTYPE_BF16};
    for (int t = 0; t < M; t++)
        for (int o = 0; o < N; o++)
            dy[t][o] = some(t, o);
    memset(dx, 0xFF, sizeof dx);
    assert_int_equal(wn__run(&x, WN__OP_spmm24_blocks_columns, &p), WN_OK);
    for (int t = 0; t < M; t++)
        for (int i = 0; i < K; i++) {
            double want = 0;
            for (int o = 0; o < N; o++)
                want += some(t, o) * dense[o][i];
            assert_true(dx[t][i] == want);
        }
    free(p.blocks.data);
}

// The gate is the derivative of relu^2 at whatever its result is the square of.
static void test_gate(void **state) {
    (void)state;
    _Alignas(16) static double dy[M][K], a[M][N], da[M][N];
    wn__exec x = one_thread();
    wn__spmm24_blocks p = {.blocks = make_weight(),
                           .x = wn__tensor2(dy, WN_DTYPE_F64, M, K),
                           .residual = wn__tensor2(a, WN_DTYPE_F64, M, N),
                           .y = wn__tensor2(da, WN_DTYPE_F64, M, N),
                           .values = WN_DTYPE_BF16,
                           .gate = true};
    for (int t = 0; t < M; t++)
        for (int i = 0; i < K; i++)
            dy[t][i] = some(i, t);
    for (int t = 0; t < M; t++)
        for (int o = 0; o < N; o++) {
            const double h = some(t, o) > 0 ? some(t, o) : 0;
            a[t][o] = h * h;
        }
    assert_int_equal(wn__run(&x, WN__OP_spmm24_blocks, &p), WN_OK);
    for (int t = 0; t < M; t++)
        for (int o = 0; o < N; o++) {
            double want = 0;
            for (int i = 0; i < K; i++)
                want += some(i, t) * dense[o][i];
            want *= some(t, o) > 0 ? 2 * some(t, o) : 0;
            assert_true(da[t][o] == want);
        }
    p.relu2 = true;
    assert_int_equal(wn__run(&x, WN__OP_spmm24_blocks, &p), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "a gate needs a residual and no relu2"));
    free(p.blocks.data);
}

// Group by group what mvue24_tokens packs, and nothing beyond the matrix.
static void test_drawn(void **state) {
    (void)state;
    enum { R = 75, C = 68, GROUPS = (R + 3) / 4 };
    _Alignas(16) static uint16_t g[R][C], values[C][2 * GROUPS];
    static uint8_t index[C][(GROUPS + 1) / 2], scratch[R * C * 2];
    wn__exec x = one_thread();
    x.scratch = (char *)scratch;
    x.scratch_size = sizeof scratch;
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++)
            g[r][c] = (r * 3 + c) % 5 == 0 ? 0 : wn__bf16_from_f32((float)some(r, c) + 0.25F);
    const wn__mvue24_tokens want = {.x = wn__tensor2(g, WN_DTYPE_BF16, R, C),
                                    .values = wn__tensor2(values, WN_DTYPE_BF16, C, 2 * GROUPS),
                                    .index = wn__tensor2(index, WN_DTYPE_U8, C, (GROUPS + 1) / 2),
                                    .seed = 7,
                                    .counter = 3};
    const wn__mvue24_blocks p = {.x = want.x, .blocks = blocks_of(C, R), .seed = 7, .counter = 3};
    assert_int_equal(wn__run(&x, WN__OP_mvue24_tokens, &want), WN_OK);
    assert_int_equal(wn__run(&x, WN__OP_mvue24_blocks, &p), WN_OK);
    for (int c = 0; c < 128; c++)
        for (int i = 0; i < 32; i++) {
            const bool there = c < C && i < GROUPS;
            const int nibble = there ? index[c][i / 2] >> (4 * (i % 2)) & 15 : 14;
            int place[2];
            uint16_t value[2];
            wn__block24_group((const uint8_t *)p.blocks.data + (c / 64 * 2 + i / 16) * 4608, c % 64,
                              i % 16, place, value);
            assert_int_equal(place[0] | place[1] << 2, nibble);
            for (int slot = 0; slot < 2; slot++)
                assert_int_equal(value[slot], there ? values[c][2 * i + slot] : 0);
        }
    free(p.blocks.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_gate),
        cmocka_unit_test(test_drawn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
