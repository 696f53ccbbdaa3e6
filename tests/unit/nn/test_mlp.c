// SPDX-License-Identifier: MIT
// MLPs of three kinds by finite differences, and 2:4 activations between layers of every structure:
// against plain loops over the merged weights, for factors over the factors themselves, and by what
// doubles when one operand of the weight's gradient does.
#include "unit/nn/mlp_test.h"

static shape shape_of(wn__mlp_kind kind) {
    return (shape){.kind = kind, .C = 8, .I = 16, .B = 3, .T = 6, .base = defaults()};
}

// ---- kinds ----

static double objective(rig *r) {
    OK(forward(r, true));
    const matrix y = read_matrix(&r->y), dy = read_matrix(&r->dy);
    double sum = 0;
    for (int64_t i = 0; i < y.r; i++)
        for (int64_t j = 0; j < y.c; j++)
            sum += y.v[i][j] * dy.v[i][j];
    return sum;
}

static void differences(rig *r, const wn_tensor *t, const wn_tensor *gradient) {
    double *v = t->data;
    const double *g = gradient->data, step = 1e-6;
    for (int64_t i = 0; i < wn__tensor_count(t); i++) {
        double here = v[i];
        v[i] = here + step;
        double up = objective(r);
        v[i] = here - step;
        double down = objective(r);
        v[i] = here;
        double found = (up - down) / (2 * step);
        if (!(fabs(found - g[i]) <= 1e-6 * (1 + fabs(g[i]))))
            fail_msg("element %d: %.12g by differences, %.12g", (int)i, found, g[i]);
    }
}

static void gradients_by_differences(void **state) {
    (void)state;
    static const wn__mlp_kind kinds[] = {WN_MLP_SWIGLU, WN_MLP_RELU2, WN_MLP_RELU};
    for (int i = 0; i < 3; i++) {
        rig r;
        shape s = shape_of(kinds[i]);
        s.bias = true;
        open_mlp(&r, &s);
        OK(forward(&r, true));
        OK(backward(&r));
        differences(&r, &r.x, &r.dx);
        for (size_t p = 0; p < r.params.count; p++)
            differences(&r, &r.params.item[p].w, &r.params.item[p].g);
        close_mlp(&r);
    }
}

static void a_gate_has_no_sparse_activation(void **state) {
    (void)state;
    rig r;
    shape s = shape_of(WN_MLP_SWIGLU);
    s.rules[0] = "act=act2:4:naive";
    open_mlp(&r, &s);
    const char *names[] = {"block.mlp.gate_proj", "block.mlp.up_proj", "block.mlp.down_proj"};
    assert_int_equal(wn__structure_rules_unmatched(&r.rules, names, 3), WN_INVALID);
    assert_false(wn__act24_given(&r.m.act));
    close_mlp(&r);
}

// ---- sparse activations between structured layers ----

static void check_merged(const char *rule, bool permute) {
    rig r;
    shape s = shape_of(WN_MLP_RELU2);
    s.rules[0] = "act=act2:4:naive";
    s.rules[1] = rule;
    s.base.backward = WN_ACT24_SPLIT;
    s.base.act_dense = 0.2;
    s.base.permute = permute;
    open_mlp(&r, &s);
    const matrix w1 = merged(&r, &r.m.up), w2 = merged(&r, &r.m.down);
    OK(forward(&r, true));
    const matrix y = read_matrix(&r.y);
    OK(backward(&r));
    const expectation e = expect(&r, &s, &w1, &w2);
    NEAR(y, e.y);
    NEAR(read_matrix(&r.dx), e.dx);
    NEAR(gradient_of(&r, "block.mlp.up_proj.weight"), e.dw1);
    NEAR(gradient_of(&r, "block.mlp.down_proj.weight"), e.dw2);
    close_mlp(&r);
}

static void weights_are_passed_straight_through(void **state) {
    (void)state;
    static const char *const rules[] = {"*_proj=dense", "*_proj=2:4:tile", "*_proj=2:4:row",
                                        "*_proj=2:4:sste"};
    for (int i = 0; i < 8; i++)
        check_merged(rules[i / 2], i % 2);
}

static void factors_by_plain_loops(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        rig r;
        shape s = shape_of(i == 0 ? WN_MLP_RELU : WN_MLP_RELU2);
        s.rules[0] = "act=act2:4:naive";
        s.rules[1] = "*_proj=lowrank:3";
        s.base.act_dense = 0.2;
        s.base.permute = i == 1;
        s.base.backward = i == 2 ? WN_ACT24_DENSE : WN_ACT24_SPLIT;
        open_mlp(&r, &s);
        const matrix n1 = weight_of(&r, "block.mlp.up_proj.weight_in"),
                     m1 = weight_of(&r, "block.mlp.up_proj.weight_out"),
                     n2 = weight_of(&r, "block.mlp.down_proj.weight_in"),
                     m2 = weight_of(&r, "block.mlp.down_proj.weight_out");
        const matrix w1 = product(&m1, &n1), w2 = product(&m2, &n2);
        OK(forward(&r, true));
        const matrix y = read_matrix(&r.y);
        OK(backward(&r));
        const expectation e = expect(&r, &s, &w1, &w2);
        const matrix x = read_matrix(&r.x), dy = read_matrix(&r.dy);
        const matrix h1 = product_nt(&x, &n1), h2 = product_nt(&e.kept, &n2);
        const matrix dh1 = product(&e.dy1, &m1), dh2 = product(&dy, &m2);
        NEAR(y, e.y);
        NEAR(read_matrix(&r.dx), e.dx);
        NEAR(gradient_of(&r, "block.mlp.up_proj.weight_out"), product_tn(&e.dy1_t, &h1));
        NEAR(gradient_of(&r, "block.mlp.up_proj.weight_in"), product_tn(&dh1, &x));
        NEAR(gradient_of(&r, "block.mlp.down_proj.weight_out"), product_tn(&dy, &h2));
        NEAR(gradient_of(&r, "block.mlp.down_proj.weight_in"), product_tn(&dh2, &e.y2_t));
        close_mlp(&r);
    }
}

// A dense activation is counted where asked for, in training passes once each, and stays dense.
static void zeros_are_counted_where_nothing_is_pruned(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        rig r, plain;
        shape s = shape_of(i == 0 ? WN_MLP_RELU : i == 1 ? WN_MLP_RELU2 : WN_MLP_SWIGLU);
        open_mlp(&plain, &s);
        s.count_zeros = true;
        open_mlp(&r, &s);
        assert_false(wn__given(&plain.m.act.zeros));
        assert_true(wn__given(&r.m.act.zeros) == (i < 2));
        OK(forward(&r, false));
        assert_true(i == 2 || r.m.act.zero_share < 0);
        OK(forward(&r, true));
        OK(forward(&plain, true));
        const matrix act = read_matrix(&r.buffers.act);
        double share = 1 - (double)nonzeros(&act) / (double)(act.r * act.c);
        assert_true(i == 2 || (r.m.act.zero_share == share && share > 0.2));
        r.m.act.zero_share = 0.5;
        OK(wn__mlp_again(&r.m, &r.rt->exec, &r.x, &r.buffers));
        assert_true(r.m.act.zero_share == 0.5 && r.m.act.dropped <= 0 && !r.m.act.sparse);
        SAME(read_matrix(&r.y), read_matrix(&plain.y));
        OK(backward(&r));
        OK(backward(&plain));
        SAME(read_matrix(&r.dx), read_matrix(&plain.dx));
        SAME(gradient_of(&r, "block.mlp.up_proj.weight"),
             gradient_of(&plain, "block.mlp.up_proj.weight"));
        close_mlp(&r);
        close_mlp(&plain);
    }
}

// What the activation made 2:4 is not pruned again, nor scaled; while it is dense, it is.
static void sparse_activations_are_pruned_once(void **state) {
    (void)state;
    static const char *const methods[] = {"act=act2:4:naive", "act=act2:4:soft_weights"};
    for (int i = 0; i < 4; i++) {
        matrix y[2][3];
        for (int pruned = 0; pruned < 2; pruned++) {
            rig r;
            shape s = shape_of(WN_MLP_RELU2);
            s.rules[0] = methods[i % 2];
            s.rules[1] = pruned ? i < 2 ? "down_proj=in2:4:soft" : "down_proj=in2:4:mvue" : NULL;
            s.base.act_warmup = 1;
            open_mlp(&r, &s);
            for (int64_t step = 0; step < 3; step++) {
                OK(prepare(&r, step));
                OK(forward(&r, step < 2));
                y[pruned][step] = read_matrix(&r.y);
                if (step < 2) OK(backward(&r));
            }
            close_mlp(&r);
        }
        assert_true(memcmp(&y[0][0], &y[1][0], sizeof y[0][0]) != 0);
        SAME(y[1][1], y[0][1]);
        SAME(y[1][2], y[0][2]);
    }
}

// ---- operands of the weight's gradient ----

typedef struct gradients {
    matrix dx, item[4];
} gradients;

// What backward adds with operands `in_scale` in and `dy_scale` dy for the weight.
static gradients split(rig *r, double in_scale, double dy_scale) {
    static double other[2][ROWS * WIDTH];
    wn__linear *l = &r->m.up;
    int64_t rows = r->x.shape[0];
    const wn_tensor dy = wn__first_rows(&r->buffers.act, rows), *x = &r->x;
    const wn_tensor in = wn__tensor2(other[0], WN_DTYPE_F64, rows, l->in),
                    out = wn__tensor2(other[1], WN_DTYPE_F64, rows, l->out);
    randomize(&dy, 30);
    for (int64_t i = 0; i < rows * l->in; i++)
        other[0][i] = in_scale * ((const double *)x->data)[i];
    for (int64_t i = 0; i < rows * l->out; i++)
        other[1][i] = dy_scale * ((const double *)dy.data)[i];
    for (size_t i = 0; i < r->params.count; i++)
        if (wn__given(&r->params.item[i].g))
            memset(r->params.item[i].g.data, 0, wn__tensor_bytes(&r->params.item[i].g));
    OK(forward(r, true)); // what a layer keeps of its forward pass
    randomize(&dy, 30);
    OK(wn__linear_backward_split(l, &r->rt->exec, x, &dy, &r->dx, false, in_scale == 1 ? NULL : &in,
                                 dy_scale == 1 ? NULL : &out));
    gradients g = {.dx = read_matrix(&r->dx)};
    size_t n = 0;
    for (size_t i = 0; i < r->params.count; i++) {
        const wn__param *p = &r->params.item[i];
        if (strstr(p->name, "up_proj") == NULL || !wn__given(&p->g)) continue;
        const wn_tensor flat =
            wn__tensor_view2(&p->g, p->g.shape[0], p->g.ndim == 2 ? p->g.shape[1] : 1);
        g.item[n++] = read_matrix(&flat);
    }
    return g;
}

static matrix times(matrix a, double factor) {
    for (int64_t i = 0; i < a.r; i++)
        for (int64_t j = 0; j < a.c; j++)
            a.v[i][j] *= factor;
    return a;
}

// Doubling is exact, also in FP8 and through random draws.
static void check_operands(const char *rule, bool fp8) {
    rig r;
    shape s = shape_of(WN_MLP_RELU2);
    s.rules[0] = rule;
    s.base.fp8 = fp8;
    s.bias = true;
    open_mlp(&r, &s);
    const gradients plain = split(&r, 1, 1), in = split(&r, 2, 1), dy = split(&r, 1, 2);
    SAME(in.dx, plain.dx);
    SAME(dy.dx, plain.dx);
    size_t n = 0;
    for (size_t i = 0; i < r.params.count; i++) {
        const wn__param *p = &r.params.item[i];
        if (strstr(p->name, "up_proj") == NULL || !wn__given(&p->g)) continue;
        bool vector = p->g.ndim == 1, first = p->role == WN_PARAM_LOWRANK_IN,
             second = p->role == WN_PARAM_LOWRANK_OUT;
        SAME(in.item[n], times(plain.item[n], vector || second ? 1 : 2));
        SAME(dy.item[n], times(plain.item[n], vector || first ? 1 : 2));
        n++;
    }
    assert_true(n >= 2);
    close_mlp(&r);
}

static void every_structure_splits(void **state) {
    (void)state;
    static const char *const rules[] = {NULL,
                                        "*=2:4:tile",
                                        "*=2:4:row",
                                        "*=2:4:tile+mvue",
                                        "*=2:4:row+mvue-approx",
                                        "*=2:4:sste",
                                        "*=2:4:sste+mvue",
                                        "*=lowrank:3",
                                        "*=lowrank:3+2:4",
                                        "*=lowrank:3+2:4+mvue",
                                        "*=adapter:3:6",
                                        "*=in2:4:soft",
                                        "*=in2:4:mvue+mvue-approx"};
    for (size_t i = 0; i < 2 * (sizeof rules / sizeof rules[0]); i++)
        check_operands(rules[i / 2], i % 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_by_differences),
        cmocka_unit_test(a_gate_has_no_sparse_activation),
        cmocka_unit_test(weights_are_passed_straight_through),
        cmocka_unit_test(factors_by_plain_loops),
        cmocka_unit_test(zeros_are_counted_where_nothing_is_pruned),
        cmocka_unit_test(sparse_activations_are_pruned_once),
        cmocka_unit_test(every_structure_splits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
