// SPDX-License-Identifier: MIT
// Linear layers with 2:4 inputs, against plain loops: what is pruned when, by which scale and which
// draws; that nothing of it reaches the gradients; and that the scale is a state.
#include "unit/nn/reference.h"

#define SIDE       (MOST * MOST)
#define INPUT_DRAW 2 // of the eight that a layer number has

typedef enum pass { EVALUATION, TRAINING } pass;

// ---- what the input becomes ----

static void row_group(const wn_tensor *x, int64_t i, int64_t first, double g[4]) {
    for (int k = 0; k < 4; k++)
        g[k] = first + k < x->shape[1] ? at2(x, i, first + k) : 0;
}

static void two_largest(const wn_tensor *x, double *out) {
    int64_t n = x->shape[0], c = x->shape[1];
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < c; j++) {
            double g[4];
            row_group(x, i, j - j % 4, g);
            out[i * c + j] = rank_in_group(g, (int)(j % 4)) < 2 ? g[j % 4] : 0;
        }
}

// Groups of a row's columns; group k takes word k%4 of draw k/4.
static void drawn(const rig *r, const wn_tensor *x, double *out) {
    int64_t n = x->shape[0], c = x->shape[1], groups = (c + 3) / 4;
    uint64_t stream = WN_STREAM_MVUE + 8 * (uint64_t)r->l.number + INPUT_DRAW;
    for (int64_t k = 0; k < n * groups; k++) {
        uint32_t word[4];
        double g[4];
        int64_t i = k / groups, first = 4 * (k % groups);
        row_group(x, i, first, g);
        wn__philox_draw(77, stream, r->pass.counter << 32 | (uint64_t)k / 4, word);
        draw_exact(g, word[k % 4] * 0x1p-32);
        for (int64_t j = first; j < c && j < first + 4; j++)
            out[i * c + j] = g[j - first];
    }
}

static void softened(const wn_tensor *x, double scale, double *out) {
    static bool keep[SIDE];
    soft_threshold(x, out, keep);
    for (int64_t i = 0; i < wn__tensor_count(x); i++)
        out[i] *= scale;
}

static double best_scale(const wn_tensor *x, bool norm) {
    static double s[SIDE];
    static bool keep[SIDE];
    soft_threshold(x, s, keep);
    return soft_scale(x, s, norm);
}

// ---- one pass against the formulas ----

static char describe[96];

static void same(const wn_tensor *got, const double *want, const char *what) {
    for (int64_t i = 0; i < wn__tensor_count(got); i++)
        if (!(fabs(wn__get(got, i) - want[i]) <= 1e-11 * (1 + fabs(want[i]))))
            fail_msg("%s, %s[%lld]: %.17g, expected %.17g", describe, what, (long long)i,
                     wn__get(got, i), want[i]);
}

static weight_case case_of(const rig *r, int64_t rows, const double *w) {
    const wn__structure *s = &r->l.structure;
    return (weight_case){.rows = rows,
                         .in = r->l.in,
                         .out = r->l.out,
                         .w = w,
                         .fp8 = s->fp8,
                         .prune = s->mvue != WN_MVUE_OFF,
                         .approx = s->mvue == WN_MVUE_APPROX,
                         .stream = WN_STREAM_MVUE + 8 * (uint64_t)r->l.number,
                         .counter = r->pass.counter};
}

// y (+)= X~ W^T + bias; scale 0: none was chosen, so nothing is pruned.
static void check_forward(rig *r, flow *f, pass p, double scale) {
    static double w[SIDE];
    int64_t rows = f->x.shape[0], out = r->l.out;
    bool random = r->l.structure.in24 == WN_IN24_MVUE;
    values_of(&wn__linear_weight(&r->l)->w, w);
    const weight_case c = case_of(r, rows, w);
    r->pass.learning = p == TRAINING;
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        double x[ROOM], y[ROOM] = {0};
        if (random && p == TRAINING) drawn(r, &f->x, x);
        if (random && p == EVALUATION) two_largest(&f->x, x);
        if (!random) softened(&f->x, scale, x);
        if (!random && scale == 0) values_of(&f->x, x);
        if (accumulate) values_of(&f->y, y);
        for (int64_t i = 0; r->l.has_bias && i < rows * out; i++)
            y[i] += wn__get(&r->params.item[r->l.bias].w, i % out);
        want_forward(&c, x, y);
        OK(wn__linear_forward(&r->l, &r->rt->exec, &f->x, &f->y, accumulate));
        same(&f->y, y, "y");
    }
}

// dX = dY W and dW += T(dY)^T X with the whole X.
static void check_backward(rig *r, flow *f) {
    static double w[SIDE], g[SIDE];
    double x[ROOM], dy[ROOM], dx[ROOM], column[MOST] = {0};
    int64_t rows = f->x.shape[0], out = r->l.out;
    const wn__param *p = wn__linear_weight(&r->l);
    values_of(&p->w, w);
    const weight_case c = case_of(r, rows, w);
    randomize(&p->g, 60);
    values_of(&p->g, g);
    values_of(&f->x, x);
    values_of(&f->dy, dy);
    values_of(&f->dx, dx);
    if (r->l.has_bias) memset(r->params.item[r->l.bias].g.data, 0, 8 * (size_t)out);
    for (int64_t i = 0; i < rows * out; i++)
        column[i % out] += dy[i];
    want_input(&c, dy, dx);
    want_weight(&c, x, dy, g);
    OK(wn__linear_backward(&r->l, &r->rt->exec, &f->x, &f->dy, &f->dx, true));
    same(&f->dx, dx, "dx");
    same(&p->g, g, "dW");
    if (r->l.has_bias) same(&r->params.item[r->l.bias].g, column, "db");
}

static void check_layer(const layer_spec *spec) {
    static const int64_t rows[] = {ROWS, 8, 1, 5};
    rig r;
    flow f;
    double scale = 0;
    open_layer(&r, spec);
    OK(wn__linear_prepare(&r.l, &r.rt->exec, 0));
    for (int i = 0; i < 4; i++) {
        r.pass.counter = 5 + (uint64_t)i;
        open_flow(&f, &r, rows[i]);
        check_forward(&r, &f, EVALUATION, scale);
        if (!spec->training) continue;
        if (i == 0) scale = best_scale(&f.x, spec->base.scale_norm);
        check_forward(&r, &f, TRAINING, scale);
        check_backward(&r, &f);
        check_forward(&r, &f, EVALUATION, scale);
    }
    close_layer(&r);
}

static void check_structure(const char *structure, int64_t in, int64_t out) {
    for (int i = 0; i < 8; i++) {
        layer_spec s = {.structure = structure,
                        .base = wn__structure_defaults(),
                        .in = in,
                        .out = out,
                        .bias = i & 1,
                        .training = (i & 2) != 0,
                        .number = 3 * i};
        s.base.fp8 = (i & 4) != 0;
        s.base.scale_norm = i == 2;
        (void)snprintf(describe, sizeof describe, "%s%s%s%s", structure, s.bias ? ", bias" : "",
                       s.training ? ", training" : "", s.base.fp8 ? ", fp8" : "");
        check_layer(&s);
    }
}

static void soft_inputs(void **state) {
    (void)state;
    check_structure("in2:4:soft", 16, 12);
    check_structure("in2:4:soft+mvue-approx", 13, 9); // the last group is short
    check_structure("in2:4:soft+dense-dw", 3, 1);
}

static void random_inputs(void **state) {
    (void)state;
    check_structure("in2:4:mvue", 16, 12);
    check_structure("in2:4:mvue+dense-dw", 13, 9);
    check_structure("in2:4:mvue+mvue-approx", 3, 1);
}

// ---- over time ----

static wn__linear *open_training(rig *r, const char *structure, int64_t in, int64_t out) {
    const layer_spec s = {.structure = structure, .in = in, .out = out, .training = true};
    open_layer(r, &s);
    r->pass.learning = true;
    OK(wn__linear_prepare(&r->l, &r->rt->exec, 0));
    return &r->l;
}

static double scale_of(const rig *r) {
    assert_int_equal(r->l.state_count, 1);
    assert_string_equal(r->l.state[0].name, "block.part.input_scale");
    assert_ptr_equal(r->l.state[0].view.data, wn__linear_input_scale(&r->l));
    return *(const double *)r->l.state[0].view.data;
}

// The first training pass chooses for good: not an evaluation, not what comes later, not another
// update; new masters choose again.
static void the_scale_is_chosen_once(void **state) {
    (void)state;
    rig r;
    flow f;
    wn__linear *l = open_training(&r, "in2:4:soft", 24, 6);
    open_flow(&f, &r, ROWS);
    r.pass.learning = false;
    OK(wn__linear_forward(l, &r.rt->exec, &f.x, &f.y, false));
    assert_true(scale_of(&r) == 0 && !wn__linear_prunes_input(l));
    r.pass.learning = true;
    double first = best_scale(&f.x, false);
    OK(wn__linear_forward(l, &r.rt->exec, &f.x, &f.y, false));
    NEAR(scale_of(&r), first);
    assert_true(wn__linear_prunes_input(l));
    randomize(&f.x, 90);
    OK(wn__linear_prepare(l, &r.rt->exec, 1));
    OK(wn__linear_forward(l, &r.rt->exec, &f.x, &f.y, false));
    NEAR(scale_of(&r), first);
    l->ready = false;
    OK(wn__linear_prepare(l, &r.rt->exec, 1));
    assert_true(scale_of(&r) == 0);
    OK(wn__linear_forward(l, &r.rt->exec, &f.x, &f.y, false));
    NEAR(scale_of(&r), best_scale(&f.x, false));
    assert_true(fabs(scale_of(&r) - first) > 1e-4);
    close_layer(&r);
}

static void restores_its_scale(void **state) {
    (void)state;
    static const double bad[] = {-1.5, (double)INFINITY, (double)NAN};
    rig r, back;
    flow f, g;
    wn__linear *l = open_training(&r, "in2:4:soft", 13, 9),
               *b = open_training(&back, "in2:4:soft", 13, 9);
    open_flow(&f, &r, 6);
    open_flow(&g, &back, 6);
    OK(wn__linear_forward(l, &r.rt->exec, &f.x, &f.y, false));
    randomize(&f.x, 91);
    randomize(&g.x, 91);
    *(double *)b->state[0].view.data = scale_of(&r);
    OK(wn__linear_restore(b, &back.rt->exec));
    OK(wn__linear_prepare(b, &back.rt->exec, 1));
    for (int learning = 0; learning < 2; learning++) {
        r.pass.learning = back.pass.learning = learning;
        OK(wn__linear_forward(l, &r.rt->exec, &f.x, &f.y, false));
        OK(wn__linear_forward(b, &back.rt->exec, &g.x, &g.y, false));
        assert_memory_equal(f.room, g.room, sizeof f.room);
    }
    for (int i = 0; i < 3; i++) {
        *(double *)b->state[0].view.data = bad[i];
        FAILS(wn__linear_restore(b, &back.rt->exec), WN_INVALID, "block.part: the state 'input_");
    }
    *(double *)b->state[0].view.data = 0; // none was chosen yet
    OK(wn__linear_restore(b, &back.rt->exec));
    close_layer(&r);
    close_layer(&back);
}

// What is 2:4 already is read as it is, whatever the scale, and chooses none.
static void pruned_inputs_are_left_alone(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        static double w[SIDE];
        rig r;
        flow f;
        double x[ROOM], y[ROOM] = {0};
        wn__linear *l = open_training(&r, i == 0 ? "in2:4:soft" : "in2:4:mvue", 16, 8);
        open_flow(&f, &r, ROWS);
        values_of(&wn__linear_weight(l)->w, w);
        const weight_case c = case_of(&r, ROWS, w);
        values_of(&f.x, x);
        want_forward(&c, x, y);
        l->input24 = true;
        (void)snprintf(describe, sizeof describe, "2:4 already");
        OK(wn__linear_forward(l, &r.rt->exec, &f.x, &f.y, false));
        same(&f.y, y, "y");
        assert_true(i == 1 || scale_of(&r) == 0);
        close_layer(&r);
    }
}

// E[y] is X W^T: passes draw anew, a pass made again draws the same.
static void random_inputs_are_right_on_average(void **state) {
    (void)state;
    enum { PASSES = 4000 };
    static double w[SIDE];
    rig r;
    flow f;
    double x[ROOM], y[ROOM] = {0}, sum[ROOM] = {0}, squares[ROOM] = {0};
    wn__linear *l = open_training(&r, "in2:4:mvue", 12, 3);
    int moved = 0;
    open_flow(&f, &r, 2);
    values_of(&wn__linear_weight(l)->w, w);
    values_of(&f.x, x);
    const weight_case c = case_of(&r, 2, w);
    want_forward(&c, x, y);
    for (uint64_t k = 0; k < PASSES; k++) {
        double before[6], again[6];
        values_of(&f.y, before);
        r.pass.counter = k;
        OK(wn__linear_forward(l, &r.rt->exec, &f.x, &f.y, false));
        values_of(&f.y, again);
        moved += memcmp(before, again, sizeof again) != 0;
        if (k == 7) {
            OK(wn__linear_forward(l, &r.rt->exec, &f.x, &f.y, false));
            assert_memory_equal(f.y.data, again, sizeof again);
        }
        for (int i = 0; i < 6; i++) {
            sum[i] += again[i];
            squares[i] += (again[i] - y[i]) * (again[i] - y[i]);
        }
    }
    assert_true(moved > PASSES / 2);
    for (int i = 0; i < 6; i++) {
        double deviation = sqrt(squares[i]) / PASSES; // of the mean
        assert_true(deviation > 0 && fabs(sum[i] / PASSES - y[i]) < 5 * deviation);
    }
    close_layer(&r);
}

static void the_weight_is_dense(void **state) {
    (void)state;
    rig r;
    wn__linear_bytes bytes;
    wn__linear_flops flops;
    double merged[13 * 9];
    const wn_tensor t = wn__tensor2(merged, WN_DTYPE_F64, 9, 13);
    wn__linear *l = open_training(&r, "in2:4:soft", 13, 9);
    OK(wn__linear_merge(l, &r.rt->exec, &t));
    assert_memory_equal(merged, wn__linear_weight(l)->w.data, sizeof merged);
    assert_true(wn__linear_plain(l) && wn__linear_owns(l, l->weight) && !l->factored);
    l->type->bytes(l, &bytes);
    l->type->flops(l, &flops);
    assert_true(bytes.dense == sizeof merged && bytes.master == sizeof merged);
    assert_true(bytes.forward == sizeof merged && bytes.backward == 0 && bytes.state == 8);
    assert_true(flops.forward == 2 * 117 && flops.input_gradient == 2 * 117);
    assert_true(flops.weight_gradient == 117 && l->flips == -1 && l->positions == 0);
    close_layer(&r);
    l = open_training(&r, "in2:4:mvue", 13, 9);
    l->type->bytes(l, &bytes);
    assert_true(bytes.state == 0 && l->state_count == 0 && wn__linear_input_scale(l) == NULL);
    assert_true(wn__linear_prunes_input(l));
    close_layer(&r);
}

// In bfloat16 models the pruned input is a bfloat16 tensor too: S = (0, -2, 1.25, 0), which the
// weight takes to 0, does not stay in that ratio.
static void rounds_what_it_reads(void **state) {
    (void)state;
    rig r;
    const layer_spec s = {.structure = "in2:4:soft",
                          .in = 4,
                          .out = 1,
                          .training = true,
                          .round16 = true,
                          .single = true};
    float x[4] = {1, -3, 2.25F, 0.5F}, y[1], w[4] = {0, 0.625F, 1, 0};
    const wn_tensor tx = wn__tensor2(x, WN_DTYPE_F32, 1, 4),
                    ty = wn__tensor2(y, WN_DTYPE_F32, 1, 1);
    open_layer(&r, &s);
    r.pass.learning = true;
    memcpy(wn__linear_weight(&r.l)->w.data, w, sizeof w);
    OK(wn__linear_prepare(&r.l, &r.rt->exec, 0));
    OK(wn__linear_forward(&r.l, &r.rt->exec, &tx, &ty, false));
    NEAR(scale_of(&r), 8.8125 / 5.5625);
    assert_true(y[0] == 0.625F * -3.171875F + 1.9765625F);
    close_layer(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(soft_inputs),
        cmocka_unit_test(random_inputs),
        cmocka_unit_test(the_scale_is_chosen_once),
        cmocka_unit_test(restores_its_scale),
        cmocka_unit_test(pruned_inputs_are_left_alone),
        cmocka_unit_test(random_inputs_are_right_on_average),
        cmocka_unit_test(the_weight_is_dense),
        cmocka_unit_test(rounds_what_it_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
