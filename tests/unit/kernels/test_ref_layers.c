// SPDX-License-Identifier: MIT
// embed, rmsnorm, rope, swiglu, relu2 and cross_entropy of the reference with their gradients:
// PyTorch vectors, central differences, aliasing, every float type.
#include "kernels/cross_entropy.h"
#include "kernels/embed.h"
#include "kernels/mlp.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope.h"
#include "ref_test.h"

// Vectors from PyTorch (float64) have 15 digits: 5e-15 relative to the leading one.
#define PRINTED 6e-15

static void fill_sine(const wn_tensor *t, double scale, double a, double b) {
    for (int64_t i = 0; i < wn__tensor_count(t); i++)
        wn__set(t, i, scale * sin(a * (double)i + b));
}

static void free_all(wn_tensor **list, int n) {
    for (int i = 0; i < n; i++)
        free(list[i]->data);
}

// ---- embed

static wn_status embed(const wn_tensor *token, const wn_tensor *table, const wn_tensor *out) {
    wn__exec x = one_thread();
    const wn__embed args = {*token, *table, *out};
    return wn__embed_ref(&args, &x);
}

static wn_status embed_grad(const wn_tensor *token, const wn_tensor *dout,
                            const wn_tensor *dtable) {
    wn__exec x = one_thread();
    const wn__embed_grad args = {*token, *dout, *dtable};
    return wn__embed_grad_ref(&args, &x);
}

static void test_embed_bits(void **state) {
    (void)state;
    int32_t ids[4] = {2, 0, 2, 1};
    wn_tensor token = wn__tensor1(ids, WN_DTYPE_I32, 4);
    for (int d = 0; d < 4; d++) {
        wn_tensor table = make2(all_floats[d], 3, 5), out = make2(all_floats[d], 4, 5);
        for (size_t i = 0; i < wn__tensor_bytes(&table); i++)
            ((uint8_t *)table.data)[i] = (uint8_t)(255 - 7 * i); // NaNs among them
        assert_ok(embed(&token, &table, &out));
        size_t row = 5 * wn_dtype_size(all_floats[d]);
        for (int n = 0; n < 4; n++)
            assert_memory_equal((char *)out.data + (size_t)n * row,
                                (char *)table.data + (size_t)ids[n] * row, row);
        free(table.data);
        free(out.data);
    }
}

static void test_embed_refuses(void **state) {
    (void)state;
    int32_t ids[3] = {1, 3, -1};
    wn_tensor token = wn__tensor1(ids, WN_DTYPE_I32, 3), table = normal2(3, 2, 1),
              out = make2(WN_DTYPE_F64, 3, 2), zero = make2(WN_DTYPE_F64, 3, 2);
    assert_refused(embed(&token, &table, &out), "token 3 at position 1 is outside 0 to 2");
    assert_refused(embed_grad(&token, &table, &out), "token 3 at position 1");
    ids[1] = 2;
    assert_refused(embed(&token, &table, &out), "token -1 at position 2");
    assert_bits(&out, &zero);
    wn_tensor *all[3] = {&table, &out, &zero};
    free_all(all, 3);
}

// Added one after the other in the order of the tokens: in F32, (1e8 + 1) - 1e8 is 0; in F64 it
// is 1.
static void test_embed_grad_order(void **state) {
    (void)state;
    int32_t ids[4] = {1, 0, 1, 1};
    const double dout[4] = {1e8, 5, 1, -1e8}, before[2] = {2, 0}, after32[2] = {7, 0},
                 after64[2] = {7, 1};
    wn_tensor token = wn__tensor1(ids, WN_DTYPE_I32, 4);
    for (int d = 0; d < 2; d++) {
        wn_tensor g = from2(all_floats[d], 4, 1, dout), table = from2(all_floats[d], 2, 1, before);
        assert_ok(embed_grad(&token, &g, &table));
        assert_all_near(&table, d == 0 ? after64 : after32, 0);
        free(g.data);
        free(table.data);
    }
}

typedef struct embedding {
    wn_tensor token, table, out, u;
} embedding;

static double embed_loss(void *ctx) {
    const embedding *p = ctx;
    assert_ok(embed(&p->token, &p->table, &p->out));
    return inner(&p->out, &p->u);
}

static void test_embed_gradient(void **state) {
    (void)state;
    int32_t ids[6] = {4, 0, 4, 2, 4, 0};
    embedding p = {wn__tensor1(ids, WN_DTYPE_I32, 6), make2(WN_DTYPE_F64, 5, 3),
                   make2(WN_DTYPE_F64, 6, 3), normal2(6, 3, 2)};
    fill_for_gradient(&p.table, 1);
    wn_tensor dtable = make2(WN_DTYPE_F64, 5, 3);
    assert_ok(embed_grad(&p.token, &p.u, &dtable));
    check_gradient("embed table", embed_loss, &p, &p.table, &dtable, 0x1p-53 * 18 * 18 * 9);
    wn_tensor *all[4] = {&p.table, &p.out, &p.u, &dtable};
    free_all(all, 4);
}

// ---- rmsnorm

typedef struct norm {
    wn__rmsnorm fwd;
    wn__rmsnorm_grad bwd;
} norm;

static norm make_norm(wn_dtype dtype, int64_t N, int64_t C) {
    norm p = {0};
    p.fwd = (wn__rmsnorm){make2(dtype, N, C), make1(dtype, C), make2(dtype, N, C), make1(dtype, N),
                          1e-5};
    p.bwd = (wn__rmsnorm_grad){.x = p.fwd.x, .weight = p.fwd.weight, .rstd = p.fwd.rstd};
    p.bwd.dy = make2(dtype, N, C);
    p.bwd.dx = make2(dtype, N, C);
    p.bwd.dweight = make1(dtype, C);
    return p;
}

static void free_norm(norm *p) {
    wn_tensor *all[7] = {&p->fwd.x,  &p->fwd.weight, &p->fwd.y,      &p->fwd.rstd,
                         &p->bwd.dy, &p->bwd.dx,     &p->bwd.dweight};
    free_all(all, 7);
}

static void run_norm(const norm *p) {
    wn__exec x = one_thread();
    assert_ok(wn__rmsnorm_ref(&p->fwd, &x));
    assert_ok(wn__rmsnorm_grad_ref(&p->bwd, &x));
}

static void test_rmsnorm_vector(void **state) {
    (void)state;
    const double v[4] = {1, 2, 3, 4},
                 expected[4] = {.365148347, .730296695, 1.095445042, 1.460593389};
    norm p = make_norm(WN_DTYPE_F64, 1, 4);
    for (int64_t i = 0; i < 4; i++) {
        wn__set(&p.fwd.x, i, v[i]);
        wn__set(&p.fwd.weight, i, 1);
    }
    p.fwd.eps = 1e-6;
    run_norm(&p);
    assert_all_near(&p.fwd.y, expected, 5e-10);
    assert_near(wn__get(&p.fwd.rstd, 0), 1 / sqrt(7.5 + 1e-6), 1e-16);
    free_norm(&p);
}

// torch.nn.functional.rms_norm: x = sin(1.1 i + .2) [2, 3], weight = 1 + .5 sin(2 i + .3), dy =
// sin(.6 i + .5), eps 1e-5. Gradients of the weight are added to what is there.
static void test_rmsnorm_torch(void **state) {
    (void)state;
    static const double y[] = {0.330946616688152,  1.91989664581839, 0.531264104648653,
                               -0.586493841616859, -1.9872329631139, -0.43472036657927};
    static const double dx[] = {0.464329226115408, 0.154334537311801,   -0.356655712042167,
                                1.05813808979828,  -0.0559340434527253, -0.573067169195009};
    static const double dweight[] = {-0.242809672369309, 0.900010578276287, 1.25356556691033};
    norm p = make_norm(WN_DTYPE_F64, 2, 3);
    fill_sine(&p.fwd.x, 1, 1.1, 0.2);
    fill_sine(&p.fwd.weight, 0.5, 2, 0.3);
    fill_sine(&p.bwd.dy, 1, 0.6, 0.5);
    for (int64_t i = 0; i < 3; i++)
        wn__set(&p.fwd.weight, i, 1 + wn__get(&p.fwd.weight, i));
    run_norm(&p);
    assert_all_near(&p.fwd.y, y, PRINTED);
    assert_all_near(&p.bwd.dx, dx, PRINTED);
    assert_all_near(&p.bwd.dweight, dweight, PRINTED);
    p.bwd.accumulate = true;
    run_norm(&p);
    for (int64_t i = 0; i < 6; i++)
        assert_near(wn__get(&p.bwd.dx, i), 2 * dx[i], 2 * PRINTED);
    for (int64_t i = 0; i < 3; i++)
        assert_near(wn__get(&p.bwd.dweight, i), 2 * dweight[i], 2 * PRINTED);
    free_norm(&p);
}

static double norm_loss(void *ctx) {
    const norm *p = ctx;
    wn__exec x = one_thread();
    assert_ok(wn__rmsnorm_ref(&p->fwd, &x));
    return inner(&p->fwd.y, &p->bwd.dy);
}

// |y| <= 3 sqrt(C), |dy| <= 3; C + 8 roundings in a y, N C in the sum.
static void test_rmsnorm_gradient(void **state) {
    (void)state;
    const int64_t N = 3, C = 7;
    norm p = make_norm(WN_DTYPE_F64, N, C);
    fill_for_gradient(&p.fwd.x, 1);
    fill_for_gradient(&p.fwd.weight, 2);
    fill_for_gradient(&p.bwd.dy, 3);
    run_norm(&p);
    double wrong = 0x1p-53 * (double)(N * C * (C + 8 + N * C)) * 9 * sqrt((double)C);
    check_gradient("rmsnorm x", norm_loss, &p, &p.fwd.x, &p.bwd.dx, wrong);
    check_gradient("rmsnorm weight", norm_loss, &p, &p.fwd.weight, &p.bwd.dweight, wrong);
    free_norm(&p);
}

static void test_rmsnorm_aliases_and_types(void **state) {
    (void)state;
    for (int d = 0; d < 4; d++) {
        norm p = make_norm(all_floats[d], 5, 6);
        fill_normal(&p.fwd.x, 1);
        fill_normal(&p.fwd.weight, 2);
        fill_normal(&p.bwd.dy, 3);
        run_norm(&p);
        norm f64 = make_norm(WN_DTYPE_F64, 5, 6);
        for (int64_t i = 0; i < 30; i++) {
            wn__set(&f64.fwd.x, i, wn__get(&p.fwd.x, i));
            wn__set(&f64.fwd.weight, i % 6, wn__get(&p.fwd.weight, i % 6));
            wn__set(&f64.bwd.dy, i, wn__get(&p.bwd.dy, i));
        }
        wn__exec x = {0};
        assert_ok(wn__rmsnorm_ref(&f64.fwd, &x));
        assert_rounded(&p.fwd.y, &f64.fwd.y);
        assert_rounded(&p.fwd.rstd, &f64.fwd.rstd);
        for (int64_t i = 0; i < 5; i++)
            wn__set(&f64.fwd.rstd, i,
                    wn__get(&p.fwd.rstd, i)); // the gradient reads the rounded one
        assert_ok(wn__rmsnorm_grad_ref(&f64.bwd, &x));
        assert_rounded(&p.bwd.dx, &f64.bwd.dx);
        assert_rounded(&p.bwd.dweight, &f64.bwd.dweight);
        // y over x, dx over dy, three threads: the same bits.
        assert_ok(wn__pool_create(3, &x.pool));
        norm over = p;
        over.bwd.dx = over.bwd.dy;
        over.bwd.dweight = make1(all_floats[d], 6);
        assert_ok(wn__rmsnorm_grad_ref(&over.bwd, &x));
        assert_bits(&over.bwd.dx, &p.bwd.dx);
        assert_bits(&over.bwd.dweight, &p.bwd.dweight);
        over.fwd.y = over.fwd.x;
        over.fwd.rstd = (wn_tensor){0};
        assert_ok(wn__rmsnorm_ref(&over.fwd, &x));
        assert_bits(&over.fwd.y, &p.fwd.y);
        wn__pool_free(x.pool);
        free(over.bwd.dweight.data);
        free_norm(&p);
        free_norm(&f64);
    }
}

// ---- rope

static void make_table(wn_dtype dtype, int64_t P, int64_t half, double scale, wn_tensor *cosines,
                       wn_tensor *sines) {
    double inv_freq[8];
    for (int64_t i = 0; i < half; i++)
        inv_freq[i] = pow(10000, -(double)i / (double)half);
    *cosines = make2(dtype, P, half);
    *sines = make2(dtype, P, half);
    wn__exec x = one_thread();
    const wn__rope_table args = {wn__tensor1(inv_freq, WN_DTYPE_F64, half), *cosines, *sines,
                                 scale};
    assert_ok(wn__rope_table_ref(&args, &x));
}

static void rotate(const wn_tensor *t, const wn_tensor *cosines, const wn_tensor *sines,
                   int64_t pos0, bool inverse) {
    wn__exec x = one_thread();
    const wn__rope args = {*t, *cosines, *sines, pos0, inverse};
    assert_ok(wn__rope_ref(&args, &x));
}

static void test_rope_table(void **state) {
    (void)state;
    for (int d = 0; d < 4; d++) {
        wn_tensor c, s;
        make_table(all_floats[d], 50, 3, 1.25, &c, &s);
        double u = roundoff_of(all_floats[d]);
        for (int64_t p = 0; p < 50; p++)
            for (int64_t i = 0; i < 3; i++) {
                long double angle = (long double)p * (long double)pow(10000, -(double)i / 3.0);
                // the angle is rounded by half an ulp of at most 50
                assert_near(wn__get(&c, 3 * p + i), (double)(1.25L * cosl(angle)),
                            1.25 * (u + 0x1p-53 * 52));
                assert_near(wn__get(&s, 3 * p + i), (double)(1.25L * sinl(angle)),
                            1.25 * (u + 0x1p-53 * 52));
            }
        free(c.data);
        free(s.data);
    }
}

static void test_rope_vector(void **state) {
    (void)state;
    const double v[4] = {1, 2, 3, 4},
                 expected[4] = {-1.413352521, 1.879118067, -2.828857482, 4.058191135};
    wn_tensor c, s, x = make4(WN_DTYPE_F64, 1, 1, 1, 4);
    make_table(WN_DTYPE_F64, 4, 2, 1, &c, &s);
    for (int64_t i = 0; i < 4; i++)
        wn__set(&x, i, v[i]);
    rotate(&x, &c, &s, 3, false);
    assert_all_near(&x, expected, 5e-10);
    rotate(&x, &c, &s, 3, true);
    assert_all_near(&x, v, 8 * 0x1p-53 * 5.5);
    wn_tensor *all[3] = {&c, &s, &x};
    free_all(all, 3);
}

// Positions count from pos0; a view of some heads of a wider tensor is rotated in place and the
// rest stays; several threads give the same bits.
static void test_rope_views(void **state) {
    (void)state;
    wn_tensor c, s, block = make4(WN_DTYPE_F64, 2, 5, 4, 6),
                    whole = make4(WN_DTYPE_F64, 2, 5, 4, 6);
    make_table(WN_DTYPE_F64, 12, 3, 1, &c, &s);
    fill_normal(&block, 1);
    fill_normal(&whole, 1);
    wn_tensor view = wn__tensor_slice(&block, 2, 1, 2), before = converted(&block, WN_DTYPE_F64);
    wn__exec x = {0};
    assert_ok(wn__pool_create(3, &x.pool));
    const wn__rope args = {view, c, s, 7, false};
    assert_ok(wn__rope_ref(&args, &x));
    wn__pool_free(x.pool);
    for (int64_t t = 0; t < 5; t++) {
        wn_tensor step = wn__tensor_slice(&whole, 1, t, 1);
        rotate(&step, &c, &s, 7 + t, false);
    }
    for (int64_t i = 0; i < wn__tensor_count(&block); i++) {
        int64_t h = i / 6 % 4;
        assert_true(wn__get(&block, i) == wn__get(h == 1 || h == 2 ? &whole : &before, i));
    }
    wn_tensor *all[5] = {&c, &s, &block, &whole, &before};
    free_all(all, 5);
}

typedef struct rotation {
    wn_tensor x, y, u, cosines, sines;
} rotation;

static double rope_loss(void *ctx) {
    const rotation *p = ctx;
    memcpy(p->y.data, p->x.data, wn__tensor_bytes(&p->x));
    rotate(&p->y, &p->cosines, &p->sines, 2, false);
    return inner(&p->y, &p->u);
}

// The inverse is the adjoint, so it turns u into the gradient; with a scale other than 1 as well.
static void test_rope_gradient(void **state) {
    (void)state;
    for (int n = 0; n < 2; n++) {
        rotation p = {.x = make4(WN_DTYPE_F64, 1, 3, 2, 4),
                      .y = make4(WN_DTYPE_F64, 1, 3, 2, 4),
                      .u = make4(WN_DTYPE_F64, 1, 3, 2, 4)};
        make_table(WN_DTYPE_F64, 5, 2, n ? 1.3 : 1, &p.cosines, &p.sines);
        fill_for_gradient(&p.x, 1);
        fill_normal(&p.u, 2);
        wn_tensor dx = converted(&p.u, WN_DTYPE_F64);
        rotate(&dx, &p.cosines, &p.sines, 2, true);
        double wrong = 0x1p-53 * 24 * 28 * 16;
        check_gradient("rope x", rope_loss, &p, &p.x, &dx, wrong);
        assert_near(rope_loss(&p), inner(&p.x, &dx), 2 * wrong);
        wn_tensor *all[6] = {&p.x, &p.y, &p.u, &p.cosines, &p.sines, &dx};
        free_all(all, 6);
    }
}

// ---- swiglu, relu2

// gate = 2 sin(1.9 i + .4), up = sin(.8 i + .7), dy = sin(1.2 i + .9): F.silu(gate) * up.
static void test_swiglu_torch(void **state) {
    (void)state;
    static const double y[] = {0.34390756843099, 1.2143735676494, -0.193568706019405,
                               -0.00620972099944519};
    static const double dgate[] = {0.43063313398705, 0.895439686173377, 0.0084707136839564,
                                   -0.0130795277828352};
    static const double dup[] = {0.4181692898431, 1.05089113457556, 0.0409473199286223,
                                 0.145985872856013};
    wn_tensor t[6];
    for (int i = 0; i < 6; i++)
        t[i] = make1(WN_DTYPE_F64, 4);
    fill_sine(&t[0], 2, 1.9, 0.4);
    fill_sine(&t[1], 1, 0.8, 0.7);
    fill_sine(&t[3], 1, 1.2, 0.9);
    wn__exec x = one_thread();
    const wn__swiglu fwd = {t[0], t[1], t[2]};
    const wn__swiglu_grad bwd = {t[0], t[1], t[3], t[4], t[5]};
    assert_ok(wn__swiglu_ref(&fwd, &x));
    assert_ok(wn__swiglu_grad_ref(&bwd, &x));
    assert_all_near(&t[2], y, PRINTED);
    assert_all_near(&t[4], dgate, PRINTED);
    assert_all_near(&t[5], dup, PRINTED);
    // Every legal alias: dgate over gate and dup over up; dgate over dy; y over gate.
    wn_tensor gate = converted(&t[0], WN_DTYPE_F64), up = converted(&t[1], WN_DTYPE_F64),
              dy = converted(&t[3], WN_DTYPE_F64), other = make1(WN_DTYPE_F64, 4);
    const wn__swiglu_grad over_dy = {gate, up, dy, dy, other},
                          over_inputs = {gate, up, t[3], gate, up};
    assert_ok(wn__swiglu_grad_ref(&over_dy, &x));
    assert_bits(&dy, &t[4]);
    assert_bits(&other, &t[5]);
    assert_ok(wn__swiglu_grad_ref(&over_inputs, &x));
    assert_bits(&gate, &t[4]);
    assert_bits(&up, &t[5]);
    const wn__swiglu in_place = {t[0], t[1], t[0]};
    assert_ok(wn__swiglu_ref(&in_place, &x));
    assert_bits(&t[0], &t[2]);
    wn_tensor *all[10] = {&t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &gate, &up, &dy, &other};
    free_all(all, 10);
}

typedef struct gated {
    wn__swiglu args;
    wn_tensor u;
} gated;

static double swiglu_loss(void *ctx) {
    const gated *p = ctx;
    wn__exec x = one_thread();
    assert_ok(wn__swiglu_ref(&p->args, &x));
    return inner(&p->args.y, &p->u);
}

static void test_swiglu_gradient(void **state) {
    (void)state;
    const int64_t n = 12;
    gated p = {{make1(WN_DTYPE_F64, n), make1(WN_DTYPE_F64, n), make1(WN_DTYPE_F64, n)},
               make1(WN_DTYPE_F64, n)};
    fill_for_gradient(&p.args.gate, 1);
    fill_for_gradient(&p.args.up, 2);
    fill_for_gradient(&p.u, 3);
    wn_tensor dgate = make1(WN_DTYPE_F64, n), dup = make1(WN_DTYPE_F64, n);
    wn__exec x = one_thread();
    const wn__swiglu_grad bwd = {p.args.gate, p.args.up, p.u, dgate, dup};
    assert_ok(wn__swiglu_grad_ref(&bwd, &x));
    double wrong = 0x1p-53 * 27 * (double)(n * (n + 8));
    check_gradient("swiglu gate", swiglu_loss, &p, &p.args.gate, &dgate, wrong);
    check_gradient("swiglu up", swiglu_loss, &p, &p.args.up, &dup, wrong);
    wn_tensor *all[6] = {&p.args.gate, &p.args.up, &p.args.y, &p.u, &dgate, &dup};
    free_all(all, 6);
}

static void test_swiglu_extremes(void **state) {
    (void)state;
    const double gate[5] = {-1e4, 1e4, 0, NAN, -1e300}, up[5] = {2, 2, 2, 2, 0.5};
    wn_tensor g = from1(WN_DTYPE_F64, 5, gate), u = from1(WN_DTYPE_F64, 5, up),
              y = make1(WN_DTYPE_F64, 5), dg = make1(WN_DTYPE_F64, 5), du = make1(WN_DTYPE_F64, 5);
    wn__exec x = one_thread();
    const wn__swiglu fwd = {g, u, y};
    const wn__swiglu_grad bwd = {g, u, u, dg, du};
    assert_ok(wn__swiglu_ref(&fwd, &x));
    assert_ok(wn__swiglu_grad_ref(&bwd, &x));
    const double expected[5] = {0, 2e4, 0, NAN, 0}, expected_dg[5] = {0, 4, 2, NAN, 0},
                 expected_du[5] = {0, 2e4, 0, NAN, 0};
    for (int64_t i = 0; i < 5; i++) {
        assert_true(isnan(expected[i]) ? isnan(wn__get(&y, i)) : wn__get(&y, i) == expected[i]);
        assert_true(isnan(expected[i]) ? isnan(wn__get(&dg, i))
                                       : wn__get(&dg, i) == expected_dg[i]);
        assert_true(isnan(expected[i]) ? isnan(wn__get(&du, i))
                                       : wn__get(&du, i) == expected_du[i]);
    }
    wn_tensor *all[5] = {&g, &u, &y, &dg, &du};
    free_all(all, 5);
}

static void test_relu2(void **state) {
    (void)state;
    const double v[6] = {-1, 0, .5, 3, -INFINITY, -0.0}, y[6] = {0, 0, .25, 9, 0, 0},
                 dx[6] = {0, 0, 1, 6, 0, 0};
    for (int d = 0; d < 4; d++) {
        wn_tensor x = from1(all_floats[d], 6, v), out = make1(all_floats[d], 6),
                  dy = make1(all_floats[d], 6);
        for (int64_t i = 0; i < 6; i++)
            wn__set(&dy, i, 1);
        wn__exec exec = one_thread();
        const wn__relu2 fwd = {x, out};
        const wn__relu2_grad bwd = {x, dy, dy};
        assert_ok(wn__relu2_ref(&fwd, &exec));
        assert_ok(wn__relu2_grad_ref(&bwd, &exec));
        assert_all_near(&out, y, 0);
        assert_all_near(&dy, dx, 0);
        wn__set(&x, 0, NAN);
        assert_ok(wn__relu2_ref(&fwd, &exec));
        assert_ok(wn__relu2_grad_ref(&bwd, &exec));
        assert_true(isnan(wn__get(&out, 0)) && isnan(wn__get(&dy, 0)));
        wn_tensor *all[3] = {&x, &out, &dy};
        free_all(all, 3);
    }
}

typedef struct squared {
    wn__relu2 args;
    wn_tensor u;
} squared;

static double relu2_loss(void *ctx) {
    const squared *p = ctx;
    wn__exec x = one_thread();
    assert_ok(wn__relu2_ref(&p->args, &x));
    return inner(&p->args.y, &p->u);
}

// The derivative is continuous, its own is not: inputs stay 2h away from 0.
static void test_relu2_gradient(void **state) {
    (void)state;
    const int64_t n = 16;
    squared p = {{make1(WN_DTYPE_F64, n), make1(WN_DTYPE_F64, n)}, make1(WN_DTYPE_F64, n)};
    fill_for_gradient(&p.args.x, 1);
    fill_for_gradient(&p.u, 2);
    for (int64_t i = 0; i < n; i++)
        assert_true(fabs(wn__get(&p.args.x, i)) > 0x1p-13);
    wn_tensor dx = make1(WN_DTYPE_F64, n);
    wn__exec x = one_thread();
    const wn__relu2_grad bwd = {p.args.x, p.u, dx};
    assert_ok(wn__relu2_grad_ref(&bwd, &x));
    check_gradient("relu2 x", relu2_loss, &p, &p.args.x, &dx, 0x1p-53 * 28 * (double)(n * (n + 2)));
    wn_tensor *all[4] = {&p.args.x, &p.args.y, &p.u, &dx};
    free_all(all, 4);
}

// Each type against F64 on the same numbers: one rounding.
static void test_mlp_types(void **state) {
    (void)state;
    for (int d = 1; d < 4; d++) {
        wn_tensor wide[3], in[3], out[3], expected[3];
        for (int i = 0; i < 3; i++) {
            wide[i] = make1(WN_DTYPE_F64, 40);
            fill_normal(&wide[i], (uint64_t)i + 1);
            in[i] = converted(&wide[i], all_floats[d]);
            for (int64_t j = 0; j < 40; j++)
                wn__set(&wide[i], j, wn__get(&in[i], j));
            out[i] = make1(all_floats[d], 40);
            expected[i] = make1(WN_DTYPE_F64, 40);
        }
        wn__exec x = one_thread();
        const wn__swiglu f = {in[0], in[1], out[0]}, f64 = {wide[0], wide[1], expected[0]};
        const wn__swiglu_grad g = {in[0], in[1], in[2], out[1], out[2]},
                              g64 = {wide[0], wide[1], wide[2], expected[1], expected[2]};
        assert_ok(wn__swiglu_ref(&f, &x));
        assert_ok(wn__swiglu_ref(&f64, &x));
        assert_ok(wn__swiglu_grad_ref(&g, &x));
        assert_ok(wn__swiglu_grad_ref(&g64, &x));
        for (int i = 0; i < 3; i++)
            assert_rounded(&out[i], &expected[i]);
        for (int i = 0; i < 3; i++) {
            wn_tensor *all[4] = {&wide[i], &in[i], &out[i], &expected[i]};
            free_all(all, 4);
        }
    }
}

// ---- cross_entropy

static wn_status cross_entropy(const wn_tensor *logits, const wn_tensor *target,
                               const wn_tensor *loss, const wn_tensor *dlogits, double scale) {
    wn__exec x = one_thread();
    wn__cross_entropy args = {.logits = *logits, .target = *target, .loss = *loss, .scale = scale};
    if (dlogits) args.dlogits = *dlogits;
    return wn__cross_entropy_ref(&args, &x);
}

// logits = 3 sin(1.7 i + .3) [2, 4], targets 2 and 1: F.cross_entropy, reduction none.
static void test_cross_entropy_torch(void **state) {
    (void)state;
    static const double loss[] = {4.48153656628646, 0.960106211373175};
    static const double dlogits[] = {0.134597353547003,   0.848626717004662, -0.988683988013449,
                                     0.00545991746178408, 0.589812452537644, -0.617147779444483,
                                     0.00472945611208751, 0.0226058707947512};
    int32_t ids[2] = {2, 1};
    wn_tensor logits = make2(WN_DTYPE_F64, 2, 4), target = wn__tensor1(ids, WN_DTYPE_I32, 2),
              out = make1(WN_DTYPE_F64, 2), d = make2(WN_DTYPE_F64, 2, 4);
    fill_sine(&logits, 3, 1.7, 0.3);
    assert_ok(cross_entropy(&logits, &target, &out, &d, 1));
    assert_all_near(&out, loss, PRINTED);
    assert_all_near(&d, dlogits, PRINTED);
    assert_ok(cross_entropy(&logits, &target, &out, NULL, 1));
    assert_all_near(&out, loss, PRINTED);
    assert_ok(cross_entropy(&logits, &target, &out, &logits, 1)); // over the logits
    assert_bits(&logits, &d);
    wn_tensor *all[3] = {&logits, &out, &d};
    free_all(all, 3);
}

static void distilled(wn__cross_entropy *p, double share, double temperature) {
    p->share = share;
    p->temperature = temperature;
}

// The same logits against a teacher's, 4 sin(.9 i + 1.1), share .7, temperature 2.5: numpy, and
// torch's kl_div with autograd.
static void test_distillation_torch(void **state) {
    (void)state;
    static const double loss[] = {1.6518001095592674, 5.866562039242643};
    static const double dlogits[] = {-0.19933705717472106, 0.5038189105405712, -0.3721407293209385,
                                     0.06765887595508843,  0.8950025645749616, 0.36397266185867283,
                                     -0.28504760753121167, -0.9739276189024229};
    int32_t ids[2] = {2, 1};
    wn_tensor logits = make2(WN_DTYPE_F64, 2, 4), teacher = make2(WN_DTYPE_F64, 2, 4),
              out = make1(WN_DTYPE_F64, 2), d = make2(WN_DTYPE_F64, 2, 4);
    fill_sine(&logits, 3, 1.7, 0.3);
    fill_sine(&teacher, 4, 0.9, 1.1);
    wn__exec x = one_thread();
    wn__cross_entropy args = {.logits = logits,
                              .target = wn__tensor1(ids, WN_DTYPE_I32, 2),
                              .loss = out,
                              .dlogits = d,
                              .scale = 1,
                              .teacher = teacher};
    distilled(&args, 0.7, 2.5);
    assert_ok(wn__cross_entropy_ref(&args, &x));
    assert_all_near(&out, loss, PRINTED);
    assert_all_near(&d, dlogits, PRINTED);
    distilled(&args, 0, 2.5); // labels alone
    assert_ok(wn__cross_entropy_ref(&args, &x));
    wn_tensor plain = make2(WN_DTYPE_F64, 2, 4);
    assert_ok(cross_entropy(&logits, &args.target, &out, &plain, 1));
    assert_bits(&d, &plain);
    args.teacher = logits; // a student that is its teacher has nothing to learn of it
    distilled(&args, 1, 2.5);
    assert_ok(wn__cross_entropy_ref(&args, &x));
    assert_all_near(&out, (const double[2]){0}, PRINTED);
    assert_all_near(&d, (const double[8]){0}, PRINTED);
    distilled(&args, 1.5, 2.5);
    assert_refused(wn__check_cross_entropy(&args), "a share of 1.5 for a teacher");
    distilled(&args, 1, 0);
    assert_refused(wn__check_cross_entropy(&args), "at a temperature of 0");
    wn_tensor *all[5] = {&logits, &teacher, &out, &d, &plain};
    free_all(all, 5);
}

typedef struct labels {
    wn_tensor logits, target, loss, ones;
    double scale;
    wn_tensor teacher; // may be absent
} labels;

static double label_loss(void *ctx) {
    const labels *p = ctx;
    wn__exec x = one_thread();
    wn__cross_entropy args = {.logits = p->logits,
                              .target = p->target,
                              .loss = p->loss,
                              .scale = p->scale,
                              .teacher = p->teacher};
    distilled(&args, 0.6, 2);
    assert_ok(wn__cross_entropy_ref(&args, &x));
    return p->scale * inner(&p->loss, &p->ones);
}

// |loss| <= 6 + log V; V + 16 roundings each, N in the sum.
static void test_cross_entropy_gradient(void **state) {
    (void)state;
    int32_t ids[4] = {3, -100, 0, 6};
    const double one[4] = {1, 1, 1, 1};
    labels p = {make2(WN_DTYPE_F64, 4, 7),
                wn__tensor1(ids, WN_DTYPE_I32, 4),
                make1(WN_DTYPE_F64, 4),
                from1(WN_DTYPE_F64, 4, one),
                0.375,
                {0}};
    fill_for_gradient(&p.logits, 1);
    wn_tensor d = make2(WN_DTYPE_F64, 4, 7);
    memset(d.data, 0xFF, wn__tensor_bytes(&d));
    assert_ok(cross_entropy(&p.logits, &p.target, &p.loss, &d, p.scale));
    check_gradient("cross_entropy logits", label_loss, &p, &p.logits, &d,
                   0x1p-53 * 8 * 4 * (7 + 16 + 4));
    assert_true(wn__get(&p.loss, 1) == 0);
    for (int64_t v = 7; v < 14; v++)
        assert_true(wn__get(&d, v) == 0);
    wn_tensor *all[4] = {&p.logits, &p.loss, &p.ones, &d};
    free_all(all, 4);
}

// T^2 KL <= 4 (6 + 2 log V), and three softmaxes.
static void test_distillation_gradient(void **state) {
    (void)state;
    int32_t ids[4] = {3, -100, 0, 6};
    const double one[4] = {1, 1, 1, 1};
    labels p = {make2(WN_DTYPE_F64, 4, 7),
                wn__tensor1(ids, WN_DTYPE_I32, 4),
                make1(WN_DTYPE_F64, 4),
                from1(WN_DTYPE_F64, 4, one),
                0.375,
                make2(WN_DTYPE_F64, 4, 7)};
    fill_for_gradient(&p.logits, 1);
    fill_for_gradient(&p.teacher, 2);
    wn_tensor d = make2(WN_DTYPE_F64, 4, 7);
    memset(d.data, 0xFF, wn__tensor_bytes(&d));
    wn__exec x = one_thread();
    wn__cross_entropy args = {.logits = p.logits,
                              .target = p.target,
                              .loss = p.loss,
                              .dlogits = d,
                              .scale = p.scale,
                              .teacher = p.teacher};
    distilled(&args, 0.6, 2);
    assert_ok(wn__cross_entropy_ref(&args, &x));
    check_gradient("distillation logits", label_loss, &p, &p.logits, &d,
                   0x1p-53 * 40 * 4 * 3 * (7 + 16 + 4));
    assert_true(wn__get(&p.loss, 1) == 0);
    for (int64_t v = 7; v < 14; v++)
        assert_true(wn__get(&d, v) == 0);
    wn_tensor *all[5] = {&p.logits, &p.loss, &p.ones, &d, &p.teacher};
    free_all(all, 5);
}

static void test_cross_entropy_extremes(void **state) {
    (void)state;
    const double v[6] = {1e4, 0, -1e4, -1e4, -1e4, -1e4}, loss[2] = {2e4, log(3)};
    int32_t ids[2] = {2, 1};
    wn_tensor logits = from2(WN_DTYPE_F32, 2, 3, v), target = wn__tensor1(ids, WN_DTYPE_I32, 2),
              out = make1(WN_DTYPE_F32, 2), d = make2(WN_DTYPE_F32, 2, 3);
    assert_ok(cross_entropy(&logits, &target, &out, &d, 2));
    // log of the sum is rounded at 1e4, where F64 has 2^-39
    assert_all_near(&out, loss, 0x1p-24 * 1.1 + 0x1p-39);
    const double expected[6] = {2, 0, -2, 2.0 / 3, -4.0 / 3, 2.0 / 3};
    assert_all_near(&d, expected, 2 * (0x1p-24 + 0x1p-38));
    // One class: nothing to learn.
    wn_tensor one = make2(WN_DTYPE_F32, 2, 1);
    ids[0] = ids[1] = 0;
    assert_ok(cross_entropy(&one, &target, &out, &one, 1));
    assert_all_near(&out, (const double[2]){0}, 0);
    assert_all_near(&one, (const double[2]){0}, 0);
    ids[0] = 0;
    ids[1] = 3;
    memset(d.data, 0x5A, wn__tensor_bytes(&d));
    wn_tensor before = make2(WN_DTYPE_F32, 2, 3);
    memcpy(before.data, d.data, wn__tensor_bytes(&d));
    assert_refused(cross_entropy(&logits, &target, &out, &d, 1),
                   "target 3 at position 1 is outside 0 to 2");
    assert_bits(&d, &before);
    wn_tensor *all[5] = {&logits, &out, &d, &one, &before};
    free_all(all, 5);
}

static void test_cross_entropy_types_and_threads(void **state) {
    (void)state;
    int32_t ids[9] = {3, 0, -1, 10, 7, 2, 2, -5, 1};
    wn_tensor target = wn__tensor1(ids, WN_DTYPE_I32, 9), wide = normal2(9, 11, 3);
    for (int d = 0; d < 4; d++) {
        wn_tensor logits = converted(&wide, all_floats[d]), f64 = converted(&logits, WN_DTYPE_F64);
        wn_tensor loss = make1(all_floats[d], 9), loss64 = make1(WN_DTYPE_F64, 9),
                  g = make2(all_floats[d], 9, 11), g64 = make2(WN_DTYPE_F64, 9, 11);
        wn__exec x = {0};
        assert_ok(wn__pool_create(3, &x.pool));
        const wn__cross_entropy args = {
            .logits = logits, .target = target, .loss = loss, .dlogits = g, .scale = 0.5};
        assert_ok(wn__cross_entropy_ref(&args, &x));
        wn__pool_free(x.pool);
        assert_ok(cross_entropy(&f64, &target, &loss64, &g64, 0.5));
        assert_rounded(&loss, &loss64);
        assert_rounded(&g, &g64);
        wn_tensor *all[6] = {&logits, &f64, &loss, &loss64, &g, &g64};
        free_all(all, 6);
    }
    free(wide.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embed_bits),
        cmocka_unit_test(test_embed_refuses),
        cmocka_unit_test(test_embed_grad_order),
        cmocka_unit_test(test_embed_gradient),
        cmocka_unit_test(test_rmsnorm_vector),
        cmocka_unit_test(test_rmsnorm_torch),
        cmocka_unit_test(test_rmsnorm_gradient),
        cmocka_unit_test(test_rmsnorm_aliases_and_types),
        cmocka_unit_test(test_rope_table),
        cmocka_unit_test(test_rope_vector),
        cmocka_unit_test(test_rope_views),
        cmocka_unit_test(test_rope_gradient),
        cmocka_unit_test(test_swiglu_torch),
        cmocka_unit_test(test_swiglu_gradient),
        cmocka_unit_test(test_swiglu_extremes),
        cmocka_unit_test(test_relu2),
        cmocka_unit_test(test_relu2_gradient),
        cmocka_unit_test(test_mlp_types),
        cmocka_unit_test(test_cross_entropy_torch),
        cmocka_unit_test(test_cross_entropy_gradient),
        cmocka_unit_test(test_distillation_torch),
        cmocka_unit_test(test_distillation_gradient),
        cmocka_unit_test(test_cross_entropy_extremes),
        cmocka_unit_test(test_cross_entropy_types_and_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
