// SPDX-License-Identifier: MIT
// S-STE and 2:4 layers over time: the worked example of the papers, a scale that stays, masks that
// flip, states that come back, the dense end, pruned gradients that are right on average, FP8.
#include "unit/nn/reference.h"

static wn__linear *open_training(rig *r, const char *structure, int64_t in, int64_t out) {
    const layer_spec s = {.structure = structure, .in = in, .out = out, .training = true};
    open_layer(r, &s);
    return &r->l;
}

static void put(const wn_tensor *t, const double *values) {
    for (int64_t i = 0; i < wn__tensor_count(t); i++)
        wn__set(t, i, values[i]);
}

static void expect(const wn_tensor *t, const double *want, double tolerance) {
    for (int64_t i = 0; i < wn__tensor_count(t); i++)
        NEAR_BY(wn__get(t, i), want[i], tolerance);
}

static double scale_of(const rig *r) {
    assert_string_equal(r->l.state[0].name, "block.part.scale");
    return *(const double *)r->l.state[0].view.data;
}

// W = [[1,-3,2,.5],[.1,-.7,.4,-.2]], X = [[1,1,1,1],[1,-1,2,0]], dY = I: beta, Y, dX, dW.
static void the_worked_example(void **state) {
    (void)state;
    static const double w[] = {1, -3, 2, .5, .1, -.7, .4, -.2}, x[] = {1, 1, 1, 1, 1, -1, 2, 0},
                        dy[] = {1, 0, 0, 1};
    static const double y[] = {-1.593572779, -0.478071834, 6.374291115, 1.434215501};
    static const double dx[] = {0, -3.187145558, 1.593572779, 0, 0, -0.796786389, 0.318714556, 0};
    rig r;
    flow f;
    wn__linear *l = open_training(&r, "2:4:sste", 4, 2);
    put(&wn__linear_weight(l)->w, w);
    open_flow(&f, &r, 2);
    put(&f.x, x);
    put(&f.dy, dy);
    OK(wn__linear_prepare(l, &r.rt->exec, 0));
    NEAR_BY(scale_of(&r), 1.5935727788, 1e-10);
    OK(wn__linear_forward(l, &r.rt->exec, &f.x, &f.y, false));
    expect(&f.y, y, 1e-9);
    OK(wn__linear_backward(l, &r.rt->exec, &f.x, &f.dy, &f.dx, false));
    expect(&f.dx, dx, 1e-9);
    expect(&wn__linear_weight(l)->g, x, 0); // straight through: neither mask nor beta
    close_layer(&r);
}

// beta is that of the first weights until there are new masters; the other rule keeps the norm.
static void the_scale_is_chosen_once(void **state) {
    (void)state;
    static double s[64 * 64];
    static bool keep[64 * 64];
    for (int norm = 0; norm < 2; norm++) {
        rig r;
        layer_spec spec = {.structure = "2:4:sste",
                           .base = wn__structure_defaults(),
                           .in = 24,
                           .out = 10,
                           .training = true};
        spec.base.scale_norm = norm;
        open_layer(&r, &spec);
        const wn_tensor *w = &wn__linear_weight(&r.l)->w;
        soft_threshold(w, s, keep);
        double first = soft_scale(w, s, norm);
        OK(wn__linear_prepare(&r.l, &r.rt->exec, 0));
        NEAR(scale_of(&r), first);
        randomize(w, 30);
        for (int64_t i = 0; i < 100; i++)
            wn__set(w, i, 3 * wn__get(w, i));
        OK(wn__linear_prepare(&r.l, &r.rt->exec, 1));
        NEAR(scale_of(&r), first);
        soft_threshold(w, s, keep);
        double merged[24 * 10];
        const wn_tensor tm = wn__tensor2(merged, WN_DTYPE_F64, 10, 24);
        OK(wn__linear_merge(&r.l, &r.rt->exec, &tm));
        for (int i = 0; i < 240; i++)
            NEAR(merged[i], first * s[i]);
        r.l.ready = false; // new masters
        OK(wn__linear_prepare(&r.l, &r.rt->exec, 2));
        NEAR(scale_of(&r), soft_scale(w, s, norm));
        assert_true(fabs(scale_of(&r) - first) > 1e-3);
        close_layer(&r);
    }
}

// Gaussian weights: 1.483, and 1.721 where the norm is kept.
static void scales_of_gaussian_weights(void **state) {
    (void)state;
    for (int norm = 0; norm < 2; norm++) {
        rig r;
        layer_spec spec = {.structure = "2:4:sste",
                           .base = wn__structure_defaults(),
                           .in = 1024,
                           .out = 512,
                           .single = true};
        double effective;
        spec.base.scale_norm = norm;
        open_layer(&r, &spec);
        OK(wn__linear_init(&r.l, &r.rt->exec, 3, 0.02, &effective));
        assert_true(effective == 0.02);
        OK(wn__linear_prepare(&r.l, &r.rt->exec, 0));
        NEAR_BY(scale_of(&r), norm ? 1.7213 : 1.4830, 2e-3);
        close_layer(&r);
    }
}

// A flip is a place kept now or before, but not both; the first masks flip nothing.
static void flips_are_counted_between_updates(void **state) {
    (void)state;
    static double s[64 * 64];
    static bool keep[2][64 * 64];
    rig r;
    wn__linear *l = open_training(&r, "2:4:sste", 21, 10);
    const wn_tensor *w = &wn__linear_weight(l)->w;
    assert_int_equal(l->positions, 210);
    for (int step = 0; step < 4; step++) {
        randomize(w, 30 + (uint64_t)(step < 3 ? step : 2));
        soft_threshold(w, s, keep[step % 2]);
        OK(wn__linear_prepare(l, &r.rt->exec, step));
        int64_t differ = 0;
        for (int i = 0; i < 210; i++)
            differ += keep[0][i] != keep[1][i];
        assert_int_equal(l->flips, step == 0 ? -1 : differ);
        assert_true(step == 0 || (differ > 0) == (step < 3));
    }
    close_layer(&r);
}

// A checkpoint's scale and masters bring everything back; flips are those of an uninterrupted run.
static void restores_its_scale(void **state) {
    (void)state;
    static const double bad[] = {0, -1.5, (double)INFINITY, (double)NAN};
    rig r, back;
    flow f, g;
    wn__linear *l = open_training(&r, "2:4:sste", 13, 9),
               *b = open_training(&back, "2:4:sste", 13, 9);
    OK(wn__linear_prepare(l, &r.rt->exec, 0));
    randomize(&wn__linear_weight(l)->w, 30);
    OK(wn__linear_prepare(l, &r.rt->exec, 1));
    randomize(&wn__linear_weight(b)->w, 30);
    *(double *)b->state[0].view.data = scale_of(&r);
    OK(wn__linear_restore(b, &back.rt->exec));
    assert_int_equal(b->flips, -1);
    open_flow(&f, &r, 6);
    open_flow(&g, &back, 6);
    OK(wn__linear_forward(l, &r.rt->exec, &f.x, &f.y, false));
    OK(wn__linear_forward(b, &back.rt->exec, &g.x, &g.y, false));
    OK(wn__linear_backward(l, &r.rt->exec, &f.x, &f.dy, &f.dx, false));
    OK(wn__linear_backward(b, &back.rt->exec, &g.x, &g.dy, &g.dx, false));
    assert_memory_equal(f.room, g.room, sizeof f.room);
    randomize(&wn__linear_weight(l)->w, 31);
    randomize(&wn__linear_weight(b)->w, 31);
    OK(wn__linear_prepare(l, &r.rt->exec, 2));
    OK(wn__linear_prepare(b, &back.rt->exec, 2));
    assert_int_equal(l->flips, b->flips);
    assert_true(l->flips > 0 && scale_of(&r) == scale_of(&back));
    for (int i = 0; i < 4; i++) {
        *(double *)b->state[0].view.data = bad[i];
        FAILS(wn__linear_restore(b, &back.rt->exec), WN_INVALID, "block.part: the state 'scale'");
    }
    close_layer(&r);
    close_layer(&back);
}

// From update 4 on the weight is dense: both products, no decay, no pruning, no flips; the state
// says so, and saved and loaded it stays so.
static void a_mask_ends_in_a_dense_weight(void **state) {
    (void)state;
    layer_spec s = {.structure = "2:4:tile+mvue",
                    .base = wn__structure_defaults(),
                    .in = 16,
                    .out = 12,
                    .training = true};
    s.base.dense_after = 4;
    s.base.decay = 0.5;
    rig r;
    flow f;
    double w[192], x[ROOM], dy[ROOM], y[ROOM], g[192], merged[192];
    const wn_tensor tm = wn__tensor2(merged, WN_DTYPE_F64, 12, 16);
    open_layer(&r, &s);
    assert_int_equal(r.l.state_count, 2);
    assert_string_equal(r.l.state[1].name, "block.part.dense");
    uint8_t *flag = r.l.state[1].view.data;
    values_of(&wn__linear_weight(&r.l)->w, w);
    const weight_case dense = {.rows = ROWS, .in = 16, .out = 12, .w = w};
    for (int64_t step = 3; step < 6; step++) {
        memset(y, 0, sizeof y);
        memset(g, 0, sizeof g);
        memset(wn__linear_weight(&r.l)->g.data, 0, sizeof g);
        open_flow(&f, &r, ROWS);
        values_of(&f.x, x);
        values_of(&f.dy, dy);
        want_forward(&dense, x, y);
        want_weight(&dense, x, dy, g);
        OK(wn__linear_prepare(&r.l, &r.rt->exec, step));
        if (step == 5) OK(wn__linear_restore(&r.l, &r.rt->exec));
        OK(wn__linear_forward(&r.l, &r.rt->exec, &f.x, &f.y, false));
        OK(wn__linear_backward(&r.l, &r.rt->exec, &f.x, &f.dy, &f.dx, false));
        OK(wn__linear_regularize(&r.l, &r.rt->exec, 1));
        OK(wn__linear_merge(&r.l, &r.rt->exec, &tm));
        assert_int_equal(*flag, step >= 4);
        double off = 0, changed = 0, zeros = 0;
        for (int64_t i = 0; i < ROWS * 12; i++)
            off = fmax(off, fabs(y[i] - wn__get(&f.y, i)));
        for (int64_t i = 0; i < 192; i++) {
            changed = fmax(changed, fabs(g[i] - wn__get(&wn__linear_weight(&r.l)->g, i)));
            zeros += merged[i] == 0;
        }
        assert_true(step >= 4 ? off < 1e-12 && changed < 1e-12 : off > 0.1 && changed > 0.1);
        assert_true(zeros == (step >= 4 ? 0 : 96));
        if (step >= 4) assert_int_equal(r.l.flips, -1);
        wn__linear_flops flops;
        r.l.type->flops(&r.l, &flops);
        assert_true(flops.forward == (step >= 4 ? 2 : 1) * 16 * 12);
    }
    *flag = 2;
    FAILS(wn__linear_restore(&r.l, &r.rt->exec), WN_INVALID, "'dense' is 2");
    close_layer(&r);
}

// E[dW] is the dense gradient, for one pass after another; a pass made again draws the same, and
// layers and factors draw apart.
static void pruned_gradients_are_unbiased(void **state) {
    (void)state;
    enum { DRAWS = 4000 };
    static const char *const rules[] = {"2:4:sste+mvue", "2:4:row+mvue-approx"};
    for (int i = 0; i < 2; i++) {
        rig r;
        flow f;
        double sum[32] = {0}, squares[32] = {0}, want[32] = {0}, x[ROOM], dy[ROOM];
        wn__linear *l = open_training(&r, rules[i], 8, 4);
        const wn_tensor *g = &wn__linear_weight(l)->g;
        const weight_case dense = {.rows = ROWS, .in = 8, .out = 4, .w = want};
        OK(wn__linear_prepare(l, &r.rt->exec, 0));
        open_flow(&f, &r, ROWS);
        values_of(&f.x, x);
        values_of(&f.dy, dy);
        want_weight(&dense, x, dy, want);
        for (int draw = 0; draw < DRAWS; draw++) {
            memset(g->data, 0, 32 * sizeof(double));
            r.pass.counter = (uint64_t)draw;
            OK(wn__linear_backward(l, &r.rt->exec, &f.x, &f.dy, NULL, false));
            for (int j = 0; j < 32; j++) {
                sum[j] += wn__get(g, j);
                squares[j] += wn__get(g, j) * wn__get(g, j);
            }
        }
        for (int j = 0; j < 32; j++) {
            double mean = sum[j] / DRAWS, variance = squares[j] / DRAWS - mean * mean;
            assert_true(variance > 1e-3); // it does prune
            assert_true(fabs(mean - want[j]) < 5 * sqrt(variance / DRAWS));
        }
        close_layer(&r);
    }
}

static void gradient_of(rig *r, flow *f, uint64_t counter, double *out) {
    const wn_tensor *g = &wn__linear_weight(&r->l)->g;
    r->pass.counter = counter;
    memset(g->data, 0, wn__tensor_bytes(g));
    OK(wn__linear_backward(&r->l, &r->rt->exec, &f->x, &f->dy, NULL, false));
    values_of(g, out);
}

static void draws_belong_to_a_pass_and_a_layer(void **state) {
    (void)state;
    double g[4][64];
    rig r[2];
    flow f;
    for (int i = 0; i < 2; i++) {
        const layer_spec s = {
            .structure = "2:4:sste+mvue", .in = 8, .out = 8, .training = true, .number = i};
        open_layer(&r[i], &s);
        OK(wn__linear_prepare(&r[i].l, &r[i].rt->exec, 0));
    }
    open_flow(&f, &r[0], ROWS);
    gradient_of(&r[0], &f, 7, g[0]);
    gradient_of(&r[0], &f, 8, g[1]);
    gradient_of(&r[0], &f, 7, g[2]);
    gradient_of(&r[1], &f, 7, g[3]);
    assert_memory_equal(g[0], g[2], sizeof g[0]);
    assert_memory_not_equal(g[0], g[1], sizeof g[0]);
    assert_memory_not_equal(g[0], g[3], sizeof g[0]);
    close_layer(&r[0]);
    close_layer(&r[1]);
}

// A [2,2] times B [2,2] in E4M3 as a layer: W = B^T. Values known from the format alone.
static void eight_bit_products_of_known_values(void **state) {
    (void)state;
    static const struct {
        double a[4], b[4], c[4];
    } cases[] = {
        {{1, 2, 3, 4}, {.5, -1, 2, .25}, {4.5, -.5, 9.428571, -1.857143}},
        {{.3, -1.7, 2.9, .011}, {1.3, -.6, .07, .9}, {.28852, -1.726314, 3.770789, -1.739838}},
        {{0, 0, 0, 0}, {1, 2, 3, 4}, {0, 0, 0, 0}},
    };
    for (int i = 0; i < 3; i++) {
        rig r;
        flow f;
        layer_spec s = {.structure = "dense",
                        .base = wn__structure_defaults(),
                        .in = 2,
                        .out = 2,
                        .single = true};
        s.base.fp8 = true;
        open_layer(&r, &s);
        const double *b = cases[i].b, w[] = {b[0], b[2], b[1], b[3]};
        put(&wn__linear_weight(&r.l)->w, w);
        OK(wn__linear_prepare(&r.l, &r.rt->exec, 0));
        open_flow(&f, &r, 2);
        put(&f.x, cases[i].a);
        OK(wn__linear_forward(&r.l, &r.rt->exec, &f.x, &f.y, false));
        expect(&f.y, cases[i].c, 2e-6);
        close_layer(&r);
    }
}

// bfloat16 at the borders: what a layer reads, writes and passes back has 8 significant bits, its
// masters and their gradients have all of theirs.
static void borders_of_bfloat16(void **state) {
    (void)state;
    static const char *const rules[] = {"dense", "2:4:row", "2:4:sste", "lowrank:5+2:4"};
    for (int i = 0; i < 4; i++) {
        rig r;
        flow f;
        double effective;
        int64_t fine = 0;
        const layer_spec s = {.structure = rules[i],
                              .in = 12,
                              .out = 8,
                              .bias = true,
                              .training = true,
                              .round16 = true,
                              .single = true};
        open_layer(&r, &s);
        const wn__param *p = &r.params.item[0];
        OK(wn__linear_init(&r.l, &r.rt->exec, 4, 0.1, &effective));
        assert_true(wn__given(&p->master));
        for (int64_t j = 0; j < wn__tensor_count(&p->w); j++) // as a model does
            wn__set(&p->w, j, (double)wn__bf16_to_f32(wn__bf16_from_f64(wn__get(&p->master, j))));
        OK(wn__linear_prepare(&r.l, &r.rt->exec, 0));
        open_flow(&f, &r, ROWS);
        OK(wn__linear_forward(&r.l, &r.rt->exec, &f.x, &f.y, true));
        OK(wn__linear_backward(&r.l, &r.rt->exec, &f.x, &f.dy, &f.dx, true));
        const wn_tensor *rounded[] = {&f.y, &f.dx};
        for (int k = 0; k < 2; k++)
            for (int64_t j = 0; j < wn__tensor_count(rounded[k]); j++) {
                double v = wn__get(rounded[k], j);
                assert_true(v == (double)wn__bf16_to_f32(wn__bf16_from_f64(v)));
            }
        for (int64_t j = 0; j < wn__tensor_count(&p->g); j++) {
            double g = wn__get(&p->g, j), m = wn__get(&p->master, j);
            fine += g != (double)wn__bf16_to_f32(wn__bf16_from_f64(g));
            fine += m != (double)wn__bf16_to_f32(wn__bf16_from_f64(m));
        }
        assert_true(fine > wn__tensor_count(&p->g));
        close_layer(&r);
    }
}

static void counts_bytes_and_flops(void **state) {
    (void)state;
    rig r;
    wn__linear_bytes bytes;
    wn__linear_flops flops;
    (void)open_training(&r, "2:4:sste", 18, 8); // five groups a row
    r.l.type->bytes(&r.l, &bytes);
    r.l.type->flops(&r.l, &flops);
    assert_int_equal(bytes.dense, 8 * 18 * 8);
    assert_int_equal(bytes.forward, 8 * 10 * 8 + 8 * 3);
    assert_int_equal(bytes.backward, 19 * 4 + (8 * 10 + 64) * (8 + 1)); // lists of one slice
    assert_int_equal(bytes.state, 8 + 2 * 8 * 5);
    assert_true(flops.forward == 2 * 8 * 10);
    assert_true(flops.input_gradient == 2 * 8 * 10 && flops.weight_gradient == 2 * 8 * 18);
    close_layer(&r);
}

static void refuses_use_before_prepare(void **state) {
    (void)state;
    static const char *const rules[] = {"2:4:sste", "lowrank:4", "adapter:4"};
    for (int i = 0; i < 3; i++) {
        rig r;
        flow f;
        double merged[64];
        const wn_tensor tm = wn__tensor2(merged, WN_DTYPE_F64, 8, 8);
        wn__linear *l = open_training(&r, rules[i], 8, 8);
        open_flow(&f, &r, 2);
        FAILS(wn__linear_forward(l, &r.rt->exec, &f.x, &f.y, false), WN_BUG, "block.part");
        FAILS(wn__linear_backward(l, &r.rt->exec, &f.x, &f.dy, NULL, false), WN_BUG, "block.part");
        FAILS(wn__linear_merge(l, &r.rt->exec, &tm), WN_BUG, "block.part");
        close_layer(&r);
    }
}

// A NaN in the weight is named, and the masks of before stay.
static void names_a_nan(void **state) {
    (void)state;
    rig r;
    wn__linear *l = open_training(&r, "2:4:sste", 8, 8);
    OK(wn__linear_prepare(l, &r.rt->exec, 0));
    wn__set(&wn__linear_weight(l)->w, 8 * 3 + 5, (double)NAN);
    FAILS(wn__linear_prepare(l, &r.rt->exec, 1), WN_INVALID, "row 3, column 5");
    close_layer(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worked_example),
        cmocka_unit_test(the_scale_is_chosen_once),
        cmocka_unit_test(scales_of_gaussian_weights),
        cmocka_unit_test(flips_are_counted_between_updates),
        cmocka_unit_test(restores_its_scale),
        cmocka_unit_test(a_mask_ends_in_a_dense_weight),
        cmocka_unit_test(pruned_gradients_are_unbiased),
        cmocka_unit_test(draws_belong_to_a_pass_and_a_layer),
        cmocka_unit_test(eight_bit_products_of_known_values),
        cmocka_unit_test(borders_of_bfloat16),
        cmocka_unit_test(counts_bytes_and_flops),
        cmocka_unit_test(refuses_use_before_prepare),
        cmocka_unit_test(names_a_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
