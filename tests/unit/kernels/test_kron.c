// SPDX-License-Identifier: MIT
// Chains of Kronecker-sparse factors through every variant: a worked example with its gradients,
// layouts and batch orders that must agree to the bit, the adjoint, whole butterflies against a
// dense matrix, and what the contract refuses.
#include "base/fail.h"
#include "kernels/kron_grad.h"
#include "kernels/kron_mul.h"
#include "kernels/kron_pack.h"
#include "kernels/kron_pair_grad.h"
#include "variants.h"

static wn_tensor factor(float *w, int64_t a, int64_t b, int64_t c, int64_t d) {
    return wn__tensor4(w, WN_DTYPE_F32, a, b, c, d);
}

static wn_tensor turned(const wn_tensor *w) {
    wn_tensor t = *w;
    t.shape[1] = w->shape[2];
    t.shape[2] = w->shape[1];
    t.stride[1] = w->stride[2];
    t.stride[2] = w->stride[1];
    return t;
}

static void count_up(float *to, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        to[i] = (float)(i + 1);
}

// W = K1 K0 of two factors of 1 .. 8; the loss is the mean of the squares of y.
static void test_example(void **state) {
    (void)state;
    static const float want_y[8] = {122, 234, 298, 490, 22, 42, 54, 90};
    static const float want_dx[8] = {2959, 4214, 11563, 13390, 541, 770, 2109, 2442};
    static const float want_dw[2][8] = {{476, 806, 1008, 1704, 1728, 2674, 3420, 5300},
                                        {158, 675, 1228, 3195, 386, 1415, 3000, 6695}};
    float x[8] = {1, 2, 3, 4, 1, 0, -1, 2}, w0[8], w1[8], h[8], y[8], dy[8], dh[8], dx[8], dw[8];
    count_up(w0, 8);
    count_up(w1, 8);
    const wn_tensor k0 = factor(w0, 2, 2, 2, 1), k1 = factor(w1, 1, 2, 2, 2);
    const wn_tensor tx = wn__tensor2(x, WN_DTYPE_F32, 2, 4),
                    th = wn__tensor2(h, WN_DTYPE_F32, 2, 4);
    const wn_tensor ty = wn__tensor2(y, WN_DTYPE_F32, 2, 4),
                    tdy = wn__tensor2(dy, WN_DTYPE_F32, 2, 4);
    const wn_tensor tdh = wn__tensor2(dh, WN_DTYPE_F32, 2, 4);
    const wn__kron_mul all = {.x = tx, .y = ty, .w = {k0, k1}, .count = 2};
    for (int v = 0; variant(WN__OP_kron_mul, &all, v) != NULL; v++) {
        const wn__kernel *k = variant(WN__OP_kron_mul, &all, v);
        assert_ok(run_row(k, &all, NULL));
        assert_memory_equal(y, want_y, sizeof y);
        double loss = 0;
        for (int i = 0; i < 8; i++) {
            dy[i] = y[i] / 4;
            loss += (double)y[i] * (double)y[i] / 8;
        }
        assert_true(loss == 51476);
        wn__kron_mul back = {.x = tdy, .y = wn__tensor2(dx, WN_DTYPE_F32, 2, 4), .count = 2};
        back.w[0] = turned(&k1);
        back.w[1] = turned(&k0);
        assert_ok(run_row(k, &back, NULL));
        assert_memory_equal(dx, want_dx, sizeof dx);
        const wn__kron_mul one = {.x = tx, .y = th, .w = {k0}, .count = 1};
        assert_ok(run_row(k, &one, NULL));
        const wn__kron_mul half = {.x = tdy, .y = tdh, .w = {turned(&k1)}, .count = 1};
        assert_ok(run_row(k, &half, NULL));
        const wn__kron_grad g0 = {.x = tx, .dy = tdh, .dw = factor(dw, 2, 2, 2, 1)};
        const wn__kron_grad g1 = {.x = th, .dy = tdy, .dw = factor(dw, 1, 2, 2, 2)};
        for (int g = 0; variant(WN__OP_kron_grad, &g0, g) != NULL; g++) {
            assert_ok(run_row(variant(WN__OP_kron_grad, &g0, g), &g0, NULL));
            assert_memory_equal(dw, want_dw[0], sizeof dw);
            assert_ok(run_row(variant(WN__OP_kron_grad, &g0, g), &g1, NULL));
            assert_memory_equal(dw, want_dw[1], sizeof dw);
        }
        float both[2][8];
        const wn__kron_pair_grad pair = {.x = tx,
                                         .dy = tdy,
                                         .w0 = k0,
                                         .w1 = k1,
                                         .dw0 = factor(both[0], 2, 2, 2, 1),
                                         .dw1 = factor(both[1], 1, 2, 2, 2)};
        for (int g = 0; variant(WN__OP_kron_pair_grad, &pair, g) != NULL; g++) {
            assert_ok(run_row(variant(WN__OP_kron_pair_grad, &pair, g), &pair, NULL));
            assert_memory_equal(both, want_dw, sizeof both);
        }
    }
}

static float draw(uint64_t i) {
    float z[4];
    wn__philox_normal(11, WN_STREAM_TEST, i / 4, z);
    return z[i % 4];
}

static float *random_floats(int64_t n, uint64_t first) {
    float *p = zeros((size_t)n * sizeof *p);
    for (int64_t i = 0; i < n; i++)
        p[i] = draw(first + (uint64_t)i);
    return p;
}

// Batch last is batch first of transposed views: the same bits. So is a factor in another layout.
static void test_layouts(void **state) {
    (void)state;
    enum { N = 37, IN = 3 * 5 * 2, OUT = 3 * 4 * 2 };
    float *x = random_floats(N * IN, 0), *w = random_floats(3 * 4 * 5 * 2, 5000);
    float *xt = zeros(N * IN * sizeof *x), *wt = zeros(120 * sizeof *w);
    float *y = zeros(N * OUT * sizeof *y), *yt = zeros(N * OUT * sizeof *y);
    wn_tensor canonical = factor(w, 3, 4, 5, 2), groups = factor(wt, 3, 4, 5, 2);
    groups.stride[0] = 40;
    groups.stride[1] = 1;
    groups.stride[2] = 4;
    groups.stride[3] = 20;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 4; j++)
            for (int k = 0; k < 5; k++)
                for (int l = 0; l < 2; l++)
                    wt[i * 40 + j + k * 4 + l * 20] = w[((i * 4 + j) * 5 + k) * 2 + l];
    for (int n = 0; n < N; n++)
        for (int c = 0; c < IN; c++)
            xt[c * N + n] = x[n * IN + c];
    wn_tensor last_x = wn__tensor2(xt, WN_DTYPE_F32, IN, N);
    wn_tensor last_y = wn__tensor2(yt, WN_DTYPE_F32, OUT, N);
    const wn__kron_mul first = {.x = wn__tensor2(x, WN_DTYPE_F32, N, IN),
                                .y = wn__tensor2(y, WN_DTYPE_F32, N, OUT),
                                .w = {canonical},
                                .count = 1};
    const wn__kron_mul last = {.x = wn__tensor_transpose(&last_x),
                               .y = wn__tensor_transpose(&last_y),
                               .w = {groups},
                               .count = 1};
    for (int v = 0; variant(WN__OP_kron_mul, &first, v) != NULL; v++) {
        assert_ok(run_row(variant(WN__OP_kron_mul, &first, v), &first, NULL));
        assert_ok(run_row(variant(WN__OP_kron_mul, &first, v), &last, NULL));
        for (int n = 0; n < N; n++)
            for (int r = 0; r < OUT; r++)
                assert_true(y[n * OUT + r] == yt[r * N + n]);
    }
    free(x), free(xt), free(w), free(wt), free(y), free(yt);
}

// One factor, added to what is there, in whole numbers exactly.
typedef struct added {
    int64_t n, b, c, d;
    bool last;
} added;

static void check_added(const added *a) {
    const int64_t n = a->n, in = a->c * a->d, out = a->b * a->d;
    const int64_t to_x = a->last ? n : 1, to_y = a->last ? n : 1;    // from feature to feature,
    const int64_t on_x = a->last ? 1 : in, on_y = a->last ? 1 : out; // from token to token
    float *x = zeros((size_t)(in * n) * sizeof *x), *y = zeros((size_t)(out * n) * sizeof *y);
    float *w = zeros((size_t)(a->b * in) * sizeof *w);
    for (int64_t i = 0; i < in * n; i++)
        x[i] = (float)(i * 7 % 11 - 5);
    for (int64_t i = 0; i < a->b * in; i++)
        w[i] = (float)(i * 5 % 13 - 6);
    wn__kron_mul p = {.x = wn__tensor2(x, WN_DTYPE_F32, n, in),
                      .y = wn__tensor2(y, WN_DTYPE_F32, n, out),
                      .w = {factor(w, 1, a->b, a->c, a->d)},
                      .count = 1,
                      .accumulate = true};
    p.x.stride[0] = on_x, p.x.stride[1] = to_x, p.y.stride[0] = on_y, p.y.stride[1] = to_y;
    for (int v = 0; variant(WN__OP_kron_mul, &p, v) != NULL; v++) {
        for (int64_t i = 0; i < out * n; i++)
            y[i] = (float)(i % 17);
        assert_ok(run_row(variant(WN__OP_kron_mul, &p, v), &p, NULL));
        for (int64_t i = 0; i < out * n; i++) {
            const int64_t t = i % n, r = i / n, at = t * on_y + r * to_y;
            float want = (float)(at % 17);
            for (int64_t k = 0; k < a->c; k++)
                want += w[(r / a->d * a->c + k) * a->d + r % a->d] *
                        x[t * on_x + (k * a->d + r % a->d) * to_x];
            assert_true(y[at] == want);
        }
    }
    free(x), free(w), free(y);
}

// Batch last: whole panels and a rest of tokens, outputs that no register tile divides, inputs that
// are taken at once and in slices. Batch first: so many tokens that all weights are packed before,
// outputs that fill no vector or no strip, blocks of which a task takes some of the l.
static void test_added(void **state) {
    (void)state;
    static const added cases[] = {{70, 21, 17, 4, true},
                                  {70, 21, 401, 4, true},
                                  {800, 18, 19, 4, false},
                                  {790, 21, 17, 32, false},
                                  {100, 5, 401, 16, false}};
    for (int i = 0; i < LENGTH(cases); i++)
        check_added(&cases[i]);
}

typedef struct chain {
    int count;
    int64_t size[5][4];
} chain;

static const chain chains[] = {
    {5, {{16, 2, 2, 1}, {8, 2, 2, 2}, {4, 2, 2, 4}, {2, 2, 2, 8}, {1, 2, 2, 16}}}, // a butterfly
    {2, {{8, 24, 6, 1}, {1, 5, 16, 12}}},                             // block low rank, r = 2
    {2, {{2, 6, 5, 3}, {4, 7, 3, 3}}},                                // not chainable
    {4, {{1, 3, 20, 1}, {1, 16, 3, 1}, {4, 4, 4, 1}, {1, 9, 16, 1}}}, // a bottleneck
};

// <dy, W x> = <W^T dy, x>, and d<dy, W x>/dw along w is that product again: W is linear in each.
static void test_adjoint(void **state) {
    (void)state;
    enum { N = 21 };
    for (int c = 0; c < LENGTH(chains); c++) {
        const chain *ch = &chains[c];
        wn__kron_mul there = {.count = ch->count}, back = {.count = ch->count};
        float *w[5], *h[6], *g[6];
        int64_t width[6];
        for (int t = 0; t < ch->count; t++) {
            const int64_t *s = ch->size[t];
            w[t] = random_floats(s[0] * s[1] * s[2] * s[3], (uint64_t)(10000 * (t + 1)));
            there.w[t] = factor(w[t], s[0], s[1], s[2], s[3]);
            back.w[ch->count - 1 - t] = turned(&there.w[t]);
            width[t] = s[0] * s[2] * s[3];
            width[t + 1] = s[0] * s[1] * s[3];
        }
        for (int t = 0; t <= ch->count; t++) {
            h[t] = random_floats(N * width[t], 77);
            g[t] = random_floats(N * width[t], 999);
        }
        there.x = wn__tensor2(h[0], WN_DTYPE_F32, N, width[0]);
        there.y = wn__tensor2(h[ch->count], WN_DTYPE_F32, N, width[ch->count]);
        back.x = wn__tensor2(g[ch->count], WN_DTYPE_F32, N, width[ch->count]);
        back.y = wn__tensor2(g[0], WN_DTYPE_F32, N, width[0]);
        assert_ok(run_best(WN__OP_kron_mul, &there, NULL));
        assert_ok(run_best(WN__OP_kron_mul, &back, NULL));
        double one = 0, two = 0, size = 0;
        for (int64_t i = 0; i < N * width[ch->count]; i++) {
            one += (double)g[ch->count][i] * (double)h[ch->count][i];
            size += fabs((double)g[ch->count][i] * (double)h[ch->count][i]);
        }
        for (int64_t i = 0; i < N * width[0]; i++)
            two += (double)g[0][i] * (double)h[0][i];
        // every element carries a relative error of at most 2 (c + 1) 2^-24 of its terms for each
        // factor; the terms are no more than 100 times their sum here
        assert_true(fabs(one - two) <= 100 * 2 * 60 * 0x1p-24 * size);
        for (int t = 0; t < ch->count; t++) { // the factor's own gradient
            const int64_t *s = ch->size[t];
            int64_t n = s[0] * s[1] * s[2] * s[3];
            float *dw = zeros((size_t)n * sizeof *dw);
            const wn__kron_mul before = {.x = there.x,
                                         .y = wn__tensor2(h[t], WN_DTYPE_F32, N, width[t]),
                                         .w = {there.w[0], there.w[1], there.w[2], there.w[3]},
                                         .count = t};
            wn__kron_mul behind = {.x = back.x,
                                   .y = wn__tensor2(g[t + 1], WN_DTYPE_F32, N, width[t + 1]),
                                   .count = ch->count - 1 - t};
            memcpy(behind.w, back.w, sizeof behind.w);
            if (t > 0) assert_ok(run_best(WN__OP_kron_mul, &before, NULL));
            if (behind.count > 0) assert_ok(run_best(WN__OP_kron_mul, &behind, NULL));
            const wn__kron_grad grad = {.x = wn__tensor2(h[t], WN_DTYPE_F32, N, width[t]),
                                        .dy = wn__tensor2(g[t + 1], WN_DTYPE_F32, N, width[t + 1]),
                                        .dw = factor(dw, s[0], s[1], s[2], s[3])};
            assert_ok(run_best(WN__OP_kron_grad, &grad, NULL));
            double along = 0;
            for (int64_t i = 0; i < n; i++)
                along += (double)dw[i] * (double)w[t][i];
            assert_true(fabs(along - one) <= 100 * 2 * 60 * 0x1p-24 * size);
            free(dw);
        }
        for (int t = 0; t <= ch->count; t++)
            free(h[t]), free(g[t]);
        for (int t = 0; t < ch->count; t++)
            free(w[t]);
    }
}

static int64_t lanes_of(const wn__kernel *k) {
    return strcmp(k->name, "kron_mul_avx2") == 0     ? 16
           : strcmp(k->name, "kron_mul_avx512") == 0 ? 32
                                                     : 0;
}

// Factors packed once give every variant the bits of factors that it packs itself, and variants of
// other lanes read w: what is spoiled in the packed form alone spoils the results of its readers
// and no others. (Few vectors may read w in place of it.)
static void test_packed(void **state) {
    (void)state;
    static const int64_t tokens[] = {1, 17, 70};
    for (int c = 0; c < LENGTH(chains); c++) {
        const chain *ch = &chains[c];
        const int64_t *s = ch->size[0], *e = ch->size[ch->count - 1];
        wn__kron_mul p = {.count = ch->count};
        float *w[5];
        for (int t = 0; t < ch->count; t++) {
            const int64_t *z = ch->size[t];
            w[t] = random_floats(z[0] * z[1] * z[2] * z[3], (uint64_t)(10000 * (t + 1)));
            p.w[t] = factor(w[t], z[0], z[1], z[2], z[3]);
        }
        const int64_t bytes = wn__kron_packed_bytes(p.w, p.count);
        const int64_t in = s[0] * s[2] * s[3], out = e[0] * e[1] * e[3];
        float *x = random_floats(70 * in, 7), *y = zeros(sizeof(float) * (size_t)(70 * out));
        float *want = zeros(sizeof(float) * (size_t)(70 * out)), *packed = zeros((size_t)bytes);
        for (int i = 0; i < 3 * 2; i++) {
            wn__kron_pack pack = {.packed = wn__tensor1(packed, WN_DTYPE_U8, bytes),
                                  .count = p.count,
                                  .lanes = 16 * (1 + i % 2)};
            memcpy(pack.w, p.w, sizeof pack.w);
            assert_ok(run_best(WN__OP_kron_pack, &pack, NULL));
            p.x = wn__tensor2(x, WN_DTYPE_F32, tokens[i / 2], in);
            for (int v = 0; variant(WN__OP_kron_mul, &p, v) != NULL; v++) {
                const wn__kernel *k = variant(WN__OP_kron_mul, &p, v);
                wn__kron_mul both = p;
                p.y = wn__tensor2(want, WN_DTYPE_F32, tokens[i / 2], out);
                assert_ok(run_row(k, &p, NULL));
                both.y = wn__tensor2(y, WN_DTYPE_F32, tokens[i / 2], out);
                both.packed = pack.packed;
                both.lanes = pack.lanes;
                assert_ok(run_row(k, &both, NULL));
                const size_t size = sizeof(float) * (size_t)(tokens[i / 2] * out);
                assert_memory_equal(y, want, size);
                if (tokens[i / 2] <= 16 && lanes_of(k) == pack.lanes) continue;
                const float kept = packed[0];
                packed[0] += 1;
                assert_ok(run_row(k, &both, NULL));
                packed[0] = kept;
                assert_true((lanes_of(k) == pack.lanes) == (memcmp(y, want, size) != 0));
            }
        }
        free(x), free(y), free(want), free(packed);
        for (int t = 0; t < ch->count; t++)
            free(w[t]);
    }
}

static void test_refusals(void **state) {
    (void)state;
    float data[64] = {0};
    wn__kron_mul p = {.x = wn__tensor2(data, WN_DTYPE_F32, 2, 4),
                      .y = wn__tensor2(data + 8, WN_DTYPE_F32, 2, 4),
                      .w = {factor(data + 16, 2, 2, 2, 1), factor(data + 24, 1, 2, 2, 2)},
                      .count = 2};
    assert_ok(wn__check_kron_mul(&p));
    p.count = 0;
    assert_refused(wn__check_kron_mul(&p), "0 factors, 1 to 64 expected");
    p.count = 2;
    p.w[1] = factor(data + 24, 1, 2, 3, 2);
    assert_refused(wn__check_kron_mul(&p), "w[1] takes 6 numbers, w[0] gives 4");
    p.w[1] = factor(data + 24, 1, 2, 0, 2);
    assert_refused(wn__check_kron_mul(&p), "w[1] has a size of 0");
    p.w[1] = factor(data + 24, 1, 2, 2, 2);
    p.y = wn__tensor2(data + 6, WN_DTYPE_F32, 2, 4);
    assert_refused(wn__check_kron_mul(&p), "overlap");
    p.y = wn__tensor2(data + 8, WN_DTYPE_F32, 2, 3);
    assert_refused(wn__check_kron_mul(&p), "the rows of the last factor");
    p.y = wn__tensor2(data + 32, WN_DTYPE_F32, 2, 4);
    p.x.stride[0] = 8;
    p.x.stride[1] = 2;
    assert_refused(wn__check_kron_mul(&p), "x has strides [8, 2]");
    p.x = wn__tensor2(data, WN_DTYPE_F32, 2, 4);
    uint8_t packed[1024];
    p.packed = wn__tensor1(packed, WN_DTYPE_U8, 8);
    assert_refused(wn__check_kron_mul(&p), "the packed factors");
    wn__kron_pack pack = {.packed = p.packed, .w = {p.w[0], p.w[1]}, .count = 2, .lanes = 16};
    assert_refused(wn__check_kron_pack(&pack), "the packed factors");
    pack.lanes = 8;
    assert_refused(wn__check_kron_pack(&pack), "8 lanes, 16 or 32 expected");
    pack.count = p.count = 1;
    assert_refused(wn__check_kron_pack(&pack), "1 factors, 2 to 64 expected");
    assert_refused(wn__check_kron_mul(&p), "one factor alone is not packed");
    wn__kron_grad g = {.x = wn__tensor2(data, WN_DTYPE_F32, 2, 4),
                       .dy = wn__tensor2(data + 8, WN_DTYPE_F32, 3, 4),
                       .dw = factor(data + 32, 1, 2, 2, 2)};
    assert_refused(wn__check_kron_grad(&g), "batch");
    g.dy = wn__tensor2(data + 8, WN_DTYPE_F32, 2, 5);
    assert_refused(wn__check_kron_grad(&g), "the rows of the factor");
}

// Blocks that lie side by side and few vectors or none, weights as they come (neither outputs nor
// inputs lie along memory): whole numbers, and what lies behind y stays.
static void check_beside(const wn__kron_size s, int64_t n) {
    enum { MOST = 18, INPUTS = 3200, OUTPUTS = 640, WEIGHTS = 32768 };
    static float x[MOST * INPUTS], w[WEIGHTS], y[(MOST + 4) * OUTPUTS];
    const int64_t in = s.a * s.c * s.d, out = s.a * s.b * s.d;
    assert_true(n <= MOST && in <= INPUTS && out <= OUTPUTS && in * s.b <= WEIGHTS);
    for (int64_t i = 0; i < n * in; i++)
        x[i] = (float)(i * 7 % 11 - 5);
    for (int64_t i = 0; i < in * s.b; i++)
        w[i] = (float)(i * 5 % 13 - 6);
    const wn__kron_mul p = {.x = wn__tensor2(x, WN_DTYPE_F32, n, in),
                            .y = wn__tensor2(y, WN_DTYPE_F32, n, out),
                            .w = {factor(w, s.a, s.b, s.c, s.d)},
                            .count = 1};
    for (int v = 0; variant(WN__OP_kron_mul, &p, v) != NULL; v++) {
        for (int64_t i = 0; i < (n + 4) * out; i++)
            y[i] = -77;
        assert_ok(run_row(variant(WN__OP_kron_mul, &p, v), &p, NULL));
        for (int64_t o = 0; o < n * out; o++) {
            const int64_t t = o / out, l = o % s.d, j = o % out / s.d, i = j / s.b;
            float want = 0;
            for (int64_t k = 0; k < s.c; k++)
                want += w[(j * s.c + k) * s.d + l] * x[t * in + (i * s.c + k) * s.d + l];
            assert_true(y[o] == want);
        }
        for (int64_t i = n * out; i < (n + 4) * out; i++)
            assert_true(y[i] == -77);
    }
}

static void test_few_beside(void **state) {
    (void)state;
    static const wn__kron_size sizes[] = {{1, 16, 16, 4},  {2, 13, 35, 4}, {1, 9, 200, 4},
                                          {1, 10, 12, 8},  {2, 5, 7, 16},  {1, 4, 200, 16},
                                          {1, 11, 20, 32}, {1, 1, 1, 4}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int64_t n = 0; n <= 18; n++)
            check_beside(sizes[i], n);
}

// Results so large that they go out past the caches: y, and a gradient.
static void test_large(void **state) {
    (void)state;
    enum { N = 4096, SIDE = 16, WIDE = SIDE * SIDE, B = 512, D = 4, ROWS = B * D, TOKENS = 3 };
    float *x = malloc(sizeof(float) * N * WIDE), *y = malloc(sizeof(float) * N * WIDE);
    float *w = malloc(sizeof(float) * ROWS * B);
    assert_true(x && y && w);
    for (int i = 0; i < N * WIDE; i++)
        x[i] = (float)(i * 7 % 11 - 5);
    for (int i = 0; i < WIDE * SIDE; i++)
        w[i] = (float)(i * 5 % 13 - 6);
    const wn__kron_mul p = {.x = wn__tensor2(x, WN_DTYPE_F32, N, WIDE),
                            .y = wn__tensor2(y, WN_DTYPE_F32, N, WIDE),
                            .w = {factor(w, 1, SIDE, SIDE, SIDE)},
                            .count = 1};
    for (int v = 0; variant(WN__OP_kron_mul, &p, v) != NULL; v++) {
        memset(y, 0xff, sizeof(float) * N * WIDE);
        assert_ok(run_row(variant(WN__OP_kron_mul, &p, v), &p, NULL));
        for (int o = 0; o < N * WIDE; o++) {
            float want = 0;
            for (int k = 0; k < SIDE; k++)
                want += w[(o % WIDE / SIDE * SIDE + k) * SIDE + o % SIDE] *
                        x[o / WIDE * WIDE + k * SIDE + o % SIDE];
            assert_true(y[o] == want);
        }
    }
    const wn__kron_grad g = {.x = wn__tensor2(x, WN_DTYPE_F32, TOKENS, ROWS),
                             .dy = wn__tensor2(x + ROWS * TOKENS, WN_DTYPE_F32, TOKENS, ROWS),
                             .dw = factor(w, 1, B, B, D)};
    const float *dy = x + ROWS * TOKENS;
    for (int v = 0; variant(WN__OP_kron_grad, &g, v) != NULL; v++) {
        memset(w, 0xff, sizeof(float) * ROWS * B);
        assert_ok(run_row(variant(WN__OP_kron_grad, &g, v), &g, NULL));
        for (int i = 0; i < ROWS * B; i++) {
            const int l = i % D, k = i / D % B, j = i / D / B;
            float want = 0;
            for (int t = 0; t < TOKENS; t++)
                want += dy[t * ROWS + j * D + l] * x[t * ROWS + k * D + l];
            assert_true(w[i] == want);
        }
    }
    free(x);
    free(y);
    free(w);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_example), cmocka_unit_test(test_layouts),    cmocka_unit_test(test_added),
    cmocka_unit_test(test_adjoint), cmocka_unit_test(test_few_beside), cmocka_unit_test(test_large),
    cmocka_unit_test(test_packed),  cmocka_unit_test(test_refusals),
};

int main(void) {
    return cmocka_run_group_tests(tests, NULL, NULL);
}
