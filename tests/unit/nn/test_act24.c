// SPDX-License-Identifier: MIT
// 2:4 activations: the worked example of the paper's formulas, every backward mode against plain
// loops, finite differences, what permutation and the dense share change and what they do not,
// warm-up, scales, draws, states and the share that pruning drops.
#include "kernels/mlp.h"
#include "kernels/soft24.h"
#include "unit/nn/mlp_test.h"

static shape shape_of(const char *rule, wn__act24_backward mode) {
    shape s = {
        .kind = WN_MLP_RELU2, .C = 6, .I = 13, .B = 3, .T = 6, .rules = {rule}, .base = defaults()};
    s.base.backward = mode;
    return s;
}

// ---- the worked example ----

static const double X[] = {1, 2, 2, -1, -1, 1, 3, 0};
static const double W1[] = {1, 0, 0, 1, 1, 1, 1, -1};
static const double W2[] = {1, 0, 2, 1, 0, 1, -1, 1};
static const double DY3[] = {1, 0, 0, 1, 1, 1, 1, -1};

static matrix literal(int64_t r, int64_t c, const double *values) {
    matrix m = {.r = r, .c = c};
    for (int64_t i = 0; i < r * c; i++)
        m.v[i / c][i % c] = values[i];
    return m;
}
#define M(r, c, ...) literal(r, c, (const double[]){__VA_ARGS__})

static void open_example(rig *r, wn__act24_backward mode, double dense, bool permute) {
    shape s = shape_of("act=act2:4:naive", mode);
    s.C = 2;
    s.I = s.T = 4;
    s.B = 1;
    s.base.act_dense = dense;
    s.base.permute = permute;
    open_mlp(r, &s);
    set(&r->x, X);
    set(&r->dy, DY3);
    set(&wn__linear_weight(&r->m.up)->w, W1);
    set(&wn__linear_weight(&r->m.down)->w, W2);
    OK(forward(r, true));
    SAME(read_matrix(&r->buffers.act24.pruned),
         M(4, 4, 0, 4, 9, 0, 4, 0, 0, 9, 0, 1, 0, 0, 9, 0, 9, 0));
    SAME(read_matrix(&r->y), M(4, 2, 18, -5, 13, 9, 0, 1, 27, -9));
    assert_true(r->m.act.zero_share == 6.0 / 16 && r->m.act.dropped == 3.0 / 10);
    OK(backward(r));
}

static void expect_masked(rig *r) {
    SAME(read_matrix(&r->buffers.up), M(4, 4, 0, 0, 12, 0, 0, 0, 0, 6, 0, 2, 0, 0, 6, 0, 18, 0));
    SAME(read_matrix(&r->dx), M(4, 2, 12, 12, 6, -6, 0, 2, 24, 18));
    SAME(gradient_of(r, "block.mlp.up_proj.weight"), M(4, 2, 18, 0, -2, 2, 66, 24, 12, -6));
    SAME(gradient_of(r, "block.mlp.down_proj.weight"), M(2, 4, 9, 5, 18, 0, -5, 1, -9, 9));
    close_mlp(r);
}

static void the_papers_example(void **state) {
    (void)state;
    rig r;
    open_example(&r, WN_ACT24_DIRECT, 0, false);
    expect_masked(&r);
    open_example(&r, WN_ACT24_SPLIT, 1, true);
    expect_masked(&r);
    open_example(&r, WN_ACT24_SPLIT, 0, false); // no column of it has three non-zeros
    expect_masked(&r);
}

static void the_straight_through_example(void **state) {
    (void)state;
    rig r;
    open_example(&r, WN_ACT24_DENSE, 0.5, true);
    SAME(read_matrix(&r.buffers.act), M(4, 4, 1, 4, 9, 0, 4, 0, 1, 9, 0, 1, 0, 0, 9, 0, 9, 9));
    SAME(read_matrix(&r.buffers.up), M(4, 4, 2, 0, 12, 0, 0, 0, -2, 6, 0, 2, 0, 0, 6, 0, 18, 0));
    SAME(read_matrix(&r.dx), M(4, 2, 14, 12, 4, -8, 0, 2, 24, 18));
    SAME(gradient_of(&r, "block.mlp.up_proj.weight"), M(4, 2, 20, 4, -2, 2, 62, 26, 12, -6));
    SAME(gradient_of(&r, "block.mlp.down_proj.weight"), M(2, 4, 10, 5, 18, 9, -5, 1, -8, 0));
    close_mlp(&r);
}

// ---- every mode against plain loops ----

static void check_shape(const shape *s) {
    rig r;
    open_mlp(&r, s);
    OK(forward(&r, true));
    const matrix y = read_matrix(&r.y);
    OK(backward(&r));
    const matrix w1 = weight_of(&r, "block.mlp.up_proj.weight"),
                 w2 = weight_of(&r, "block.mlp.down_proj.weight");
    const expectation e = expect(&r, s, &w1, &w2);
    NEAR(y, e.y);
    NEAR(read_matrix(&r.buffers.up), e.dy1);
    NEAR(read_matrix(&r.dx), e.dx);
    NEAR(gradient_of(&r, "block.mlp.up_proj.weight"), e.dw1);
    NEAR(gradient_of(&r, "block.mlp.down_proj.weight"), e.dw2);
    close_mlp(&r);
}

static void modes_follow_their_formulas(void **state) {
    (void)state;
    static const double shares[] = {0, 0.3, 1};
    for (int i = 0; i < 36; i++) {
        shape s = shape_of("act=act2:4:naive", (wn__act24_backward)(1 + i % 3));
        s.base.act_dense = shares[i / 3 % 3];
        s.base.permute = i / 9 % 2;
        s.kind = i / 18 == 0 ? WN_MLP_RELU2 : WN_MLP_RELU;
        check_shape(&s);
        s.seq = 9; // of which this pass uses 6
        s.I = 16;
        check_shape(&s);
        s.B = 4;
        s.T = 8;
        s.seq = 0;
        check_shape(&s);
        s.B = s.T = 1;
        check_shape(&s);
    }
}

typedef struct outcome {
    matrix y, dx, dw1, dw2; // of factors: of those that meet the activation
} outcome;

static outcome run(const shape *s) {
    rig r;
    open_mlp(&r, s);
    OK(forward(&r, true));
    outcome o = {.y = read_matrix(&r.y)};
    OK(backward(&r));
    o.dx = read_matrix(&r.dx);
    const wn__linear *up = &r.m.up, *down = &r.m.down;
    o.dw1 = read_matrix(&r.params.item[up->factored ? up->factor_out : up->weight].g);
    o.dw2 = read_matrix(&r.params.item[down->factored ? down->factor_in : down->weight].g);
    close_mlp(&r);
    return o;
}

// The same by packs, which float64 reads only where the reference is asked for; and with 2:4
// weights and factors, where only some of the products do.
static void packs_follow_them_too(void **state) {
    static const char *const with[] = {NULL, "down_proj=2:4:row", "*_proj=lowrank:3",
                                       "up_proj=adapter:2"};
    setenv("WN_KERNEL", "spmm24_rows:ref", 1);
    modes_follow_their_formulas(state);
    shape s = shape_of("act=act2:4", WN_ACT24_SPLIT);
    s.bias = true;
    s.base.act_dense = 0.3;
    for (int i = 0; i < 8; i++) {
        s.rules[1] = with[i / 2];
        s.base.permute = i % 2;
        unsetenv("WN_KERNEL");
        const outcome dense = run(&s);
        setenv("WN_KERNEL", "spmm24_rows:ref", 1);
        const outcome packed = run(&s);
        NEAR(packed.y, dense.y);
        NEAR(packed.dx, dense.dx);
        NEAR(packed.dw1, dense.dw1);
        NEAR(packed.dw2, dense.dw2);
    }
    unsetenv("WN_KERNEL");
}

// What a plan says, and the FLOPs that follow.
static void a_plan_chooses_packs(void **state) {
    (void)state;
    rig r;
    shape s = shape_of("act=act2:4", WN_ACT24_SPLIT);
    wn__linear_flops f;
    open_mlp(&r, &s);
    OK(forward(&r, true));
    assert_string_equal(r.m.act.dense_up, "no vector kernel reads packs here");
    r.m.down.type->flops(&r.m.down, &f);
    assert_true(f.forward == 2.0 * 13 * 6 && f.weight_gradient == f.forward);
    close_mlp(&r);
    setenv("WN_KERNEL", "spmm24_rows:ref", 1);
    s.base.act_warmup = 3;
    open_mlp(&r, &s);
    for (int64_t update = 2; update < 4; update++) {
        OK(prepare(&r, update));
        OK(forward(&r, true));
        assert_true(r.m.act.dense_up == NULL && r.m.act.dense_down == NULL);
        double part = update == 2 ? 1 : 0.5;
        r.m.down.type->flops(&r.m.down, &f);
        assert_true(f.forward == part * 2 * 13 * 6 && f.weight_gradient == f.forward);
        assert_true(f.input_gradient == 2.0 * 13 * 6);
        r.m.up.type->flops(&r.m.up, &f);
        assert_true(f.forward == 2.0 * 13 * 6 && f.weight_gradient == part * f.forward);
        assert_true(f.input_gradient == part * f.forward);
    }
    close_mlp(&r);
    s.base.fp8 = true;
    open_mlp(&r, &s);
    OK(forward(&r, true));
    assert_string_equal(r.m.act.dense_down, "FP8 rounds them in dense form");
    close_mlp(&r);
    unsetenv("WN_KERNEL");
}

static void bias_takes_the_whole_gradient(void **state) {
    (void)state;
    rig r;
    shape s = shape_of("act=act2:4", WN_ACT24_SPLIT);
    s.bias = true;
    open_mlp(&r, &s);
    OK(forward(&r, true));
    OK(backward(&r));
    const matrix dy1 = read_matrix(&r.buffers.up);
    const double *db = wn__params_find(&r.params, "block.mlp.up_proj.bias")->g.data;
    for (int64_t j = 0; j < s.I; j++) {
        double sum = 0;
        for (int64_t i = 0; i < dy1.r; i++)
            sum += dy1.v[i][j];
        assert_true(fabs(sum - db[j]) <= 1e-12 * (1 + fabs(sum)));
    }
    close_mlp(&r);
}

// ---- properties ----

static bool equal(const matrix *a, const matrix *b) {
    for (int64_t i = 0; i < a->r; i++)
        for (int64_t j = 0; j < a->c; j++)
            if (a->v[i][j] != b->v[i][j]) return false;
    return true;
}

static void permutation_touches_weight_gradients_only(void **state) {
    (void)state;
    shape s = shape_of("act=act2:4", WN_ACT24_SPLIT);
    for (int whole = 0; whole < 2; whole++) {
        s.base.act_dense = whole;
        s.base.permute = false;
        const outcome without = run(&s);
        s.base.permute = true;
        const outcome with = run(&s);
        SAME(with.y, without.y);
        SAME(with.dx, without.dx);
        assert_true(equal(&with.dw1, &without.dw1) == (whole == 1));
        assert_true(equal(&with.dw2, &without.dw2) == (whole == 1));
    }
}

static void a_dense_share_of_one_is_direct(void **state) {
    (void)state;
    shape s = shape_of("act=act2:4", WN_ACT24_SPLIT);
    s.base.act_dense = 1;
    const outcome split = run(&s);
    s.base.backward = WN_ACT24_DIRECT;
    const outcome direct = run(&s);
    SAME(split.y, direct.y);
    SAME(split.dx, direct.dx);
    SAME(split.dw1, direct.dw1);
    SAME(split.dw2, direct.dw2);
}

static void threads_change_nothing(void **state) {
    (void)state;
    static const char *const rules[] = {"act=act2:4", "act=act2:4:mvue", "act=act2:4:soft_weights"};
    for (int i = 0; i < 3; i++) {
        shape s = shape_of(rules[i], WN_ACT24_SPLIT);
        s.threads = 1;
        const outcome one = run(&s);
        s.threads = 3;
        const outcome three = run(&s);
        SAME(three.y, one.y);
        SAME(three.dx, one.dx);
        SAME(three.dw1, one.dw1);
        SAME(three.dw2, one.dw2);
    }
}

// Whatever the method, what goes back to X is 2:4 along features, where Y2s is.
static void what_goes_back_is_sparse_too(void **state) {
    (void)state;
    static const char *const rules[] = {"act=act2:4:naive", "act=act2:4:mvue", "act=act2:4:soft",
                                        "act=act2:4:soft_weights", "act=act2:4:soft_dynamic"};
    for (int i = 0; i < 10; i++) {
        rig r;
        const shape s = shape_of(rules[i / 2], i % 2 ? WN_ACT24_SPLIT : WN_ACT24_DIRECT);
        open_mlp(&r, &s);
        OK(forward(&r, true));
        const matrix kept = read_matrix(&r.buffers.act24.pruned);
        OK(backward(&r));
        const matrix dy1 = read_matrix(&r.buffers.up), twice = top2(&dy1);
        SAME(dy1, twice);
        SAME(dy1, masked(&dy1, &kept));
        assert_true(nonzeros(&dy1) > 0 && nonzeros(&dy1) == nonzeros(&kept));
        close_mlp(&r);
    }
}

static double objective(rig *r) {
    OK(forward(r, true));
    const matrix y = read_matrix(&r->y), dy = read_matrix(&r->dy);
    double sum = 0;
    for (int64_t i = 0; i < y.r; i++)
        for (int64_t j = 0; j < y.c; j++)
            sum += y.v[i][j] * dy.v[i][j];
    return sum;
}

// Central differences; a step this small crosses no mask, so that the mask is frozen.
static void differences(rig *r, const wn_tensor *t, const wn_tensor *gradient) {
    double *v = t->data;
    const double *g = gradient->data;
    const double step = 1e-6;
    for (int64_t i = 0; i < wn__tensor_count(t); i++) {
        double here = v[i];
        v[i] = here + step;
        double up = objective(r);
        v[i] = here - step;
        double down = objective(r);
        v[i] = here;
        double slope_found = (up - down) / (2 * step);
        if (!(fabs(slope_found - g[i]) <= 1e-6 * (1 + fabs(g[i]))))
            fail_msg("element %d: %.12g by differences, %.12g", (int)i, slope_found, g[i]);
    }
}

static void gradients_are_those_of_a_frozen_mask(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        rig r;
        shape s = shape_of("act=act2:4", WN_ACT24_DIRECT);
        s.kind = kind ? WN_MLP_RELU : WN_MLP_RELU2;
        open_mlp(&r, &s);
        OK(forward(&r, true));
        OK(backward(&r));
        differences(&r, &r.x, &r.dx);
        wn__param *w1 = wn__linear_weight(&r.m.up), *w2 = wn__linear_weight(&r.m.down);
        differences(&r, &w1->w, &w1->g);
        differences(&r, &w2->w, &w2->g);
        close_mlp(&r);
    }
}

// ---- when a pass is sparse ----

static void check_pass(rig *r, const shape *s, bool learning, bool sparse) {
    shape dense = *s;
    rig d;
    dense.rules[0] = NULL;
    open_mlp(&d, &dense);
    OK(forward(&d, learning));
    OK(forward(r, learning));
    assert_true(r->m.act.sparse == sparse);
    const matrix y = read_matrix(&r->y), plain = read_matrix(&d.y);
    assert_true(equal(&y, &plain) == !sparse);
    if (learning) {
        OK(backward(r));
        OK(backward(&d));
        const matrix g = gradient_of(r, "block.mlp.up_proj.weight"),
                     plain_g = gradient_of(&d, "block.mlp.up_proj.weight");
        assert_true(equal(&g, &plain_g) == !sparse);
    }
    close_mlp(&d);
}

static void warm_up_is_dense(void **state) {
    (void)state;
    rig r;
    shape s = shape_of("act=act2:4:naive", WN_ACT24_SPLIT);
    s.base.act_warmup = 5;
    open_mlp(&r, &s);
    for (int64_t update = 0; update < 7; update++) {
        OK(prepare(&r, update));
        check_pass(&r, &s, true, update >= 5);
        check_pass(&r, &s, false, update >= 5);
        assert_true(r.m.act.zero_share > 0.3 && (r.m.act.dropped > 0) == (update >= 5));
    }
    close_mlp(&r);
}

static void evaluation_needs_no_training(void **state) {
    (void)state;
    rig r;
    shape s = shape_of("act=act2:4:naive", WN_ACT24_SPLIT);
    setenv("WN_KERNEL", "matmul:ref", 1); // a CBLAS may add few rows in another order than many
    const outcome o = run(&s);
    s.evaluation = true;
    open_mlp(&r, &s);
    unsetenv("WN_KERNEL");
    assert_false(wn__given(&r.m.act.zeros));
    assert_ptr_equal(r.buffers.act24.pruned.data, r.buffers.up.data);
    OK(forward(&r, false));
    SAME(read_matrix(&r.y), o.y);
    for (int64_t rows = 1; rows < 4; rows++) { // as when tokens are generated
        const wn_tensor in = wn__first_rows(&r.x, rows), out = wn__first_rows(&r.y, rows);
        memset(r.y.data, 0, wn__tensor_bytes(&r.y));
        OK(wn__mlp_forward(&r.m, &r.rt->exec, &in, &r.buffers, &out));
        matrix part = o.y;
        part.r = rows;
        SAME(read_matrix(&out), part);
    }
    assert_true(r.m.act.zero_share < 0 && r.m.act.dropped < 0);
    close_mlp(&r);
}

static void nothing_is_reserved_without_a_rule(void **state) {
    (void)state;
    rig dense, sparse;
    shape s = shape_of(NULL, WN_ACT24_SPLIT);
    open_mlp(&dense, &s);
    s.rules[0] = "act=act2:4:naive";
    open_mlp(&sparse, &s);
    assert_int_equal(dense.m.act.state_count, 0);
    assert_false(wn__given(&dense.m.act.zeros));
    assert_int_equal(dense.scratch.elements, 0);
    assert_true(dense.activations.used < sparse.activations.used);
    assert_int_equal(wn__mlp_scratch(&dense.m), s.I);
    close_mlp(&dense);
    close_mlp(&sparse);
}

// ---- draws ----

// The inclusion probability of value i of n: 2|x|/sum, cut at 1.
static double inclusion(const double *v, int n, int i) {
    double sum = 0, largest = 0;
    int alive = 0;
    for (int j = 0; j < n; j++) {
        sum += v[j];
        largest = fmax(largest, v[j]);
        alive += v[j] != 0;
    }
    if (alive <= 2 || v[i] == sum) return 1;
    if (2 * largest <= sum) return 2 * v[i] / sum;
    return v[i] == largest ? 1 : v[i] / (sum - largest);
}

static void draws_are_unbiased(void **state) {
    (void)state;
    rig r;
    const shape s = shape_of("act=act2:4:mvue", WN_ACT24_DENSE); // keeps Y2 beside Y2s
    enum { DRAWS = 2000 };
    static matrix sum;
    open_mlp(&r, &s);
    for (uint64_t n = 0; n < DRAWS; n++) {
        r.pass.counter = n;
        OK(forward(&r, true));
        const matrix drawn = read_matrix(&r.buffers.act24.pruned);
        for (int64_t i = 0; i < drawn.r; i++)
            for (int64_t j = 0; j < drawn.c; j++)
                sum.v[i][j] += drawn.v[i][j];
    }
    const matrix y2 = read_matrix(&r.buffers.act);
    for (int64_t i = 0; i < y2.r; i++)
        for (int64_t j = 0; j < y2.c; j++) {
            double v = y2.v[i][j], mean = sum.v[i][j] / DRAWS;
            int n = (int)(y2.c - j / 4 * 4 < 4 ? y2.c - j / 4 * 4 : 4);
            double pi = v == 0 ? 1 : inclusion(&y2.v[i][j / 4 * 4], n, (int)(j % 4));
            double deviation = v * sqrt((1 / pi - 1) / DRAWS);
            if (!(fabs(mean - v) <= 5 * deviation + 1e-9 * v))
                fail_msg("mean %g of %g, deviation %g", mean, v, deviation);
        }
    close_mlp(&r);
}

static matrix pruned_at(rig *r, uint64_t counter, bool learning) {
    r->pass.counter = counter;
    OK(forward(r, learning));
    return read_matrix(&r->buffers.act24.pruned);
}

// The draws have a stream of their own: the last of the eight of the layer before.
static matrix drawn_by_hand(rig *r, uint64_t counter) {
    const wn__mvue24 draw = {.x = r->buffers.act,
                             .y = r->buffers.act,
                             .axis = 1,
                             .group = 4,
                             .method = WN_MVUE24_EXACT,
                             .seed = 3,
                             .stream = WN_STREAM_MVUE + 8 * (uint64_t)r->m.up.number + 7,
                             .counter = counter};
    const wn__relu2 square = {.x = r->buffers.up, .y = r->buffers.act};
    OK(wn__run(&r->rt->exec, WN__OP_relu2, &square));
    OK(wn__run(&r->rt->exec, WN__OP_mvue24, &draw));
    return read_matrix(&r->buffers.act);
}

static void draws_depend_on_the_pass_alone(void **state) {
    (void)state;
    rig r, naive;
    shape s = shape_of("act=act2:4:mvue", WN_ACT24_SPLIT);
    open_mlp(&r, &s);
    s.rules[0] = "act=act2:4:naive";
    open_mlp(&naive, &s);
    const matrix first = pruned_at(&r, 7, true), other = pruned_at(&r, 8, true);
    const matrix evaluated = pruned_at(&r, 8, false), again = pruned_at(&r, 7, true);
    SAME(again, first);
    SAME(first, drawn_by_hand(&r, 7));
    assert_false(equal(&other, &first));
    SAME(evaluated, pruned_at(&naive, 3, false)); // an evaluation draws nothing
    r.pass.counter = 7;
    memset(r.buffers.act.data, 0xff, wn__tensor_bytes(&r.buffers.act));
    r.pass.learning = true;
    OK(wn__mlp_again(&r.m, &r.rt->exec, &r.x, &r.buffers));
    SAME(read_matrix(&r.buffers.act24.pruned), first);
    close_mlp(&r);
    close_mlp(&naive);
}

// ---- scales ----

// Y2 of the rig's input, and S(Y2) by its definition.
static void values_of(const rig *r, const shape *s, matrix *y2, matrix *soft) {
    const matrix x = read_matrix(&r->x), w1 = weight_of(r, "block.mlp.up_proj.weight");
    *y2 = product_nt(&x, &w1);
    for (int64_t i = 0; i < y2->r; i++)
        for (int64_t j = 0; j < y2->c; j++)
            y2->v[i][j] = activation(s->kind, y2->v[i][j]);
    *soft = top2(y2);
    for (int64_t i = 0; i < y2->r; i++) {
        for (int64_t g = 0; g < y2->c; g += 4) {
            double third = 0, four[4] = {0};
            for (int k = 0; k < 4 && g + k < y2->c; k++)
                four[k] = y2->v[i][g + k];
            for (int k = 0; k < 4; k++)
                if (before(four, 4, k) == 2) third = four[k];
            for (int k = 0; k < 4 && g + k < y2->c; k++)
                if (soft->v[i][g + k] != 0) soft->v[i][g + k] -= third;
        }
    }
}

static double dot(const matrix *a, const matrix *b, int64_t every) {
    double sum = 0;
    for (int64_t i = 0; i < a->r; i += every)
        for (int64_t j = 0; j < a->c; j++)
            sum += a->v[i][j] * b->v[i][j];
    return sum;
}

static double best_scale(const rig *r, const shape *s, int64_t every) {
    matrix y2, soft;
    values_of(r, s, &y2, &soft);
    matrix few = soft; // the rows that were asked, 0, every, 2 every ...
    int64_t asked = s->base.act_samples;
    if (every > 1) few.r = y2.r = every * (asked - 1) + 1;
    return dot(&y2, &few, every) / dot(&few, &few, every);
}

static double scale_of(const rig *r) {
    return *(const double *)r->m.act.scale.data;
}

static void close_to(double got, double want) {
    if (!(fabs(got - want) <= 1e-10 * fabs(want))) fail_msg("%.17g is not %.17g", got, want);
}

static void a_frozen_scale(void **state) {
    (void)state;
    rig r;
    shape s = shape_of("act=act2:4:soft", WN_ACT24_SPLIT);
    s.base.act_warmup = 2;
    open_mlp(&r, &s);
    OK(prepare(&r, 1));
    OK(forward(&r, true));
    assert_true(scale_of(&r) == 0 && !r.m.act.sparse);
    OK(prepare(&r, 2));
    OK(forward(&r, false));
    assert_false(r.m.act.sparse); // nothing chose a scale yet
    OK(forward(&r, true));
    double chosen = scale_of(&r);
    close_to(chosen, best_scale(&r, &s, 1));
    matrix y2, soft;
    values_of(&r, &s, &y2, &soft);
    for (int64_t i = 0; i < soft.r; i++)
        for (int64_t j = 0; j < soft.c; j++)
            soft.v[i][j] *= chosen;
    NEAR(read_matrix(&r.buffers.act24.pruned), soft);
    randomize(&r.x, 50);
    for (int64_t update = 2; update < 9; update++) {
        OK(prepare(&r, update));
        OK(forward(&r, true));
        assert_true(scale_of(&r) == chosen);
    }
    OK(forward(&r, false));
    assert_true(r.m.act.sparse);
    close_mlp(&r);
}

static void a_dynamic_scale(void **state) {
    (void)state;
    rig r;
    shape s = shape_of("act=act2:4:soft_dynamic", WN_ACT24_SPLIT);
    s.base.act_warmup = 1;
    s.base.act_every = 3;
    s.base.act_samples = 5; // of 18 rows: each third
    open_mlp(&r, &s);
    double last = 0;
    for (int64_t update = 1; update < 9; update++) {
        OK(prepare(&r, update));
        for (uint64_t pass = 0; pass < 2; pass++) {
            randomize(&r.x, 60 + 2 * (uint64_t)update + pass);
            OK(forward(&r, false));
            assert_true(scale_of(&r) == last);
            OK(forward(&r, true));
            bool due = pass == 0 && (update - 1) % 3 == 0;
            if (due) close_to(scale_of(&r), best_scale(&r, &s, 3));
            assert_true((scale_of(&r) != last) == due);
            last = scale_of(&r);
            OK(wn__mlp_again(&r.m, &r.rt->exec, &r.x, &r.buffers));
            assert_true(scale_of(&r) == last);
        }
    }
    close_mlp(&r);
}

static void a_scale_by_the_output(void **state) {
    (void)state;
    for (int bias = 0; bias < 2; bias++) {
        rig r;
        shape s = shape_of("act=act2:4:soft_weights", WN_ACT24_SPLIT);
        s.bias = bias;
        open_mlp(&r, &s);
        matrix y2, soft;
        const matrix w2 = weight_of(&r, "block.mlp.down_proj.weight");
        if (bias) memset(wn__params_find(&r.params, "block.mlp.up_proj.bias")->w.data, 0, 13 * 8);
        values_of(&r, &s, &y2, &soft);
        const matrix a = product_nt(&y2, &w2), b = product_nt(&soft, &w2);
        OK(forward(&r, true));
        close_to(scale_of(&r), dot(&a, &b, 1) / dot(&b, &b, 1));
        double chosen = scale_of(&r);
        randomize(&r.x, 51);
        OK(forward(&r, true));
        assert_true(scale_of(&r) == chosen);
        close_mlp(&r);
    }
}

// ---- states ----

static void states_come_back(void **state) {
    (void)state;
    rig r, again;
    shape s = shape_of("act=act2:4:soft", WN_ACT24_SPLIT);
    s.seq = 9;
    s.base.permute = true;
    open_mlp(&r, &s);
    open_mlp(&again, &s);
    assert_int_equal(r.m.act.state_count, 2);
    assert_string_equal(r.m.act.state[0].name, "block.mlp.act.scale");
    assert_string_equal(r.m.act.state[1].name, "block.mlp.act.order");
    const int32_t *order = r.m.act.state[1].view.data;
    assert_int_equal(order[0] | order[1] | order[8], 0); // not drawn yet
    OK(forward(&r, true));
    OK(backward(&r));
    int seen = 0;
    for (int i = 0; i < 9; i++)
        seen |= 1 << order[i];
    assert_int_equal(seen, 0x1ff);
    // Another run of another seed goes on with what the first one chose.
    again.pass.seed = 999;
    randomize(&again.x, 70);
    for (size_t i = 0; i < 2; i++)
        memcpy(again.m.act.state[i].view.data, r.m.act.state[i].view.data,
               wn__tensor_bytes(&r.m.act.state[i].view));
    OK(forward(&again, true));
    OK(backward(&again));
    assert_true(scale_of(&again) == scale_of(&r));
    assert_memory_equal(again.m.act.positions.data, order, 9 * sizeof *order);
    OK(wn__act24_restore(&again.m.act));
    ((int32_t *)again.m.act.positions.data)[3] = 40;
    assert_int_equal(wn__act24_restore(&again.m.act), WN_INVALID);
    OK(forward(&again, true));
    assert_int_equal(backward(&again), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "block.mlp.act"));
    ((int32_t *)again.m.act.positions.data)[3] = -1;
    assert_int_equal(wn__act24_restore(&again.m.act), WN_INVALID);
    OK(forward(&again, true));
    assert_int_equal(backward(&again), WN_INVALID);
    memset(again.m.act.positions.data, 0, 9 * sizeof *order); // as of a run that drew none yet
    OK(wn__act24_restore(&again.m.act));
    *(double *)again.m.act.scale.data = (double)NAN;
    assert_int_equal(wn__act24_restore(&again.m.act), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "block.mlp.act: the scale"));
    close_mlp(&r);
    close_mlp(&again);
}

static void the_order_is_the_seeds(void **state) {
    (void)state;
    int32_t found[3][6];
    for (int i = 0; i < 3; i++) {
        rig r;
        shape s = shape_of("act=act2:4", WN_ACT24_SPLIT);
        s.base.permute = true;
        open_mlp(&r, &s);
        r.pass.seed = i < 2 ? 5 : 6;
        r.pass.counter = (uint64_t)i;
        OK(forward(&r, true));
        OK(backward(&r));
        memcpy(found[i], r.m.act.positions.data, sizeof found[i]);
        close_mlp(&r);
    }
    assert_memory_equal(found[0], found[1], sizeof found[0]);
    assert_memory_not_equal(found[0], found[2], sizeof found[0]);
}

static void what_is_no_number_is_found(void **state) {
    (void)state;
    rig r;
    const shape s = shape_of("act=act2:4:naive", WN_ACT24_SPLIT);
    open_mlp(&r, &s);
    ((double *)r.x.data)[0] = (double)NAN;
    assert_int_equal(forward(&r, true), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "block.mlp.act: NaN at row 0"));
    close_mlp(&r);
}

// ---- what pruning drops ----

// Of the non-zeros of independent values, zero with probability `zeros`, the share in third and
// fourth place of their group.
static void check_dropped(double zeros, double table) {
    enum { TOKENS = 1024, FEATURES = 128 };
    static float values[TOKENS * FEATURES];
    rig r;
    shape s = shape_of("act=act2:4:naive", WN_ACT24_SPLIT);
    open_mlp(&r, &s);
    double p = 1 - zeros, q = zeros, groups = TOKENS * FEATURES / 4.0;
    for (uint64_t i = 0; i < TOKENS * FEATURES; i++) {
        uint32_t w[4];
        wn__philox_draw(21, WN_STREAM_TEST + (uint64_t)(1000 * zeros), i, w);
        double u = w[0] * 0x1p-32;
        values[i] = u < zeros ? 0 : 1 + wn__philox_uniform(w[1]);
    }
    double share = (4 * p * p * p * q + 2 * p * p * p * p) / (4 * p);
    if (!(fabs(share - table) <= 0.0005)) fail_msg("%g is not the table's %g", share, table);
    // The variance of dropped - share alive in a group of four.
    double alive[] = {q * q * q * q, 4 * p * q * q * q, 6 * p * p * q * q, 4 * p * p * p * q,
                      p * p * p * p};
    double variance = 0;
    for (int n = 0; n <= 4; n++) {
        double residual = (n > 2 ? n - 2 : 0) - share * n;
        variance += alive[n] * residual * residual;
    }
    wn__act24 *a = &r.m.act;
    int32_t columns[FEATURES];
    float spare[TOKENS * FEATURES / 16 + FEATURES];
    wn__scratch scratch = {.block = wn__tensor1(spare, WN_DTYPE_F32, TOKENS * FEATURES / 16)};
    a->width = FEATURES;
    a->zeros = wn__tensor1(columns, WN_DTYPE_I32, FEATURES);
    a->scratch = &scratch;
    const wn_tensor act = wn__tensor2(values, WN_DTYPE_F32, TOKENS, FEATURES);
    const wn__act24_buffers buffers = {.pruned = act};
    r.pass.learning = true;
    OK(wn__act24_forward(a, &r.rt->exec, &act, &buffers, &r.m.down, false));
    double deviation = sqrt(variance / groups) / (4 * p);
    if (!(fabs(a->dropped - share) <= 3 * deviation))
        fail_msg("%g dropped, expected %g (deviation %g)", a->dropped, share, deviation);
    assert_true(fabs(a->zero_share - zeros) <= 3 * sqrt(p * q / (4 * groups)));
    close_mlp(&r);
}

static void sparse_activations_lose_little(void **state) {
    (void)state;
    check_dropped(0.5, 0.1875);
    check_dropped(0.75, 0.055);
    check_dropped(0.84, 0.024);
    check_dropped(0.90, 0.0095);
    check_dropped(0.95, 0.0024);
    check_dropped(0.98, 0.0004);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_papers_example),
        cmocka_unit_test(the_straight_through_example),
        cmocka_unit_test(modes_follow_their_formulas),
        cmocka_unit_test(packs_follow_them_too),
        cmocka_unit_test(a_plan_chooses_packs),
        cmocka_unit_test(bias_takes_the_whole_gradient),
        cmocka_unit_test(permutation_touches_weight_gradients_only),
        cmocka_unit_test(a_dense_share_of_one_is_direct),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(what_goes_back_is_sparse_too),
        cmocka_unit_test(gradients_are_those_of_a_frozen_mask),
        cmocka_unit_test(warm_up_is_dense),
        cmocka_unit_test(evaluation_needs_no_training),
        cmocka_unit_test(nothing_is_reserved_without_a_rule),
        cmocka_unit_test(draws_are_unbiased),
        cmocka_unit_test(draws_depend_on_the_pass_alone),
        cmocka_unit_test(a_frozen_scale),
        cmocka_unit_test(a_dynamic_scale),
        cmocka_unit_test(a_scale_by_the_output),
        cmocka_unit_test(states_come_back),
        cmocka_unit_test(the_order_is_the_seeds),
        cmocka_unit_test(what_is_no_number_is_found),
        cmocka_unit_test(sparse_activations_lose_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
