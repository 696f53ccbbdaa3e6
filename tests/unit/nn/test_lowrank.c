// SPDX-License-Identifier: MIT
// Factored layers: gradients against finite differences, initial factors against their formulas,
// dense weights taken over, adapters that begin where their weight was, states, sizes.
#include "nn/lowrank_init.h"
#include "unit/nn/reference.h"

static wn__exec *exec_of(rig *r) {
    return &r->rt->exec;
}

static const wn_tensor *factor_in(const rig *r) {
    return &r->params.item[r->l.factor_in].w;
}

static const wn_tensor *factor_out(const rig *r) {
    return &r->params.item[r->l.factor_out].w;
}

static void open_factored(rig *r, const char *structure, int64_t in, int64_t out, bool training) {
    const layer_spec s = {
        .structure = structure, .in = in, .out = out, .bias = true, .training = training};
    open_layer(r, &s);
}

static void parameters(void **state) {
    (void)state;
    rig r;
    open_factored(&r, "lowrank:3", 7, 5, true);
    assert_int_equal(r.params.count, 3);
    assert_true(r.l.factored);
    const wn__param *in = &r.params.item[r.l.factor_in], *out = &r.params.item[r.l.factor_out];
    assert_string_equal(in->name, "block.part.weight_in");
    assert_string_equal(out->name, "block.part.weight_out");
    assert_true(wn__tensor_is(&in->w, WN_DTYPE_F64, 2, (const int64_t[]){3, 7}));
    assert_true(wn__tensor_is(&out->w, WN_DTYPE_F64, 2, (const int64_t[]){5, 3}));
    assert_int_equal(in->role, WN_PARAM_LOWRANK_IN);
    assert_int_equal(out->role, WN_PARAM_LOWRANK_OUT);
    assert_int_equal(in->partner, r.l.factor_out);
    assert_int_equal(out->partner, r.l.factor_in);
    assert_true(in->decay && out->decay);
    assert_true(wn__linear_owns(&r.l, r.l.factor_in) && wn__linear_owns(&r.l, r.l.factor_out));
    assert_false(wn__linear_owns(&r.l, r.l.bias));
    close_layer(&r);
    open_factored(&r, "adapter:3", 7, 5, true);
    assert_int_equal(r.params.count, 4);
    const wn__param *frozen = wn__linear_weight(&r.l);
    assert_string_equal(frozen->name, "block.part.weight");
    assert_int_equal(frozen->role, WN_PARAM_FROZEN);
    assert_false(wn__given(&frozen->g));
    assert_true(wn__linear_owns(&r.l, r.l.weight) && r.l.factored);
    close_layer(&r);
}

// <dy, y(x)>
static double output_along(rig *r, flow *f) {
    double sum = 0;
    OK(wn__linear_forward(&r->l, exec_of(r), &f->x, &f->y, false));
    for (int64_t i = 0; i < wn__tensor_count(&f->y); i++)
        sum += wn__get(&f->y, i) * wn__get(&f->dy, i);
    return sum;
}

// Central differences of <dy, y> in every element of t; y is quadratic in the factors together, so
// but for rounding they are exact.
static void check_differences(rig *r, flow *f, const wn_tensor *t, const wn_tensor *gradient) {
    const double e = 1e-3;
    for (int64_t i = 0; i < wn__tensor_count(t); i++) {
        double v = wn__get(t, i);
        wn__set(t, i, v + e);
        double above = output_along(r, f);
        wn__set(t, i, v - e);
        double below = output_along(r, f);
        wn__set(t, i, v);
        NEAR_BY(wn__get(gradient, i), (above - below) / (2 * e), 1e-9);
    }
}

static void gradients_are_those_of_differences(void **state) {
    (void)state;
    static const char *const rules[] = {"lowrank:3", "lowrank:9", "adapter:2", "adapter:3:12"};
    for (int i = 0; i < 4; i++) {
        rig r;
        flow f;
        open_factored(&r, rules[i], 7, 5, true);
        OK(wn__linear_prepare(&r.l, exec_of(&r), 0));
        open_flow(&f, &r, 6);
        (void)output_along(&r, &f);
        OK(wn__linear_backward(&r.l, exec_of(&r), &f.x, &f.dy, &f.dx, false));
        for (size_t p = 0; p < r.params.count; p++)
            if (wn__given(&r.params.item[p].g))
                check_differences(&r, &f, &r.params.item[p].w, &r.params.item[p].g);
        check_differences(&r, &f, &f.x, &f.dx);
        close_layer(&r);
    }
}

// ---- initial values ----

static double std_of(const wn_tensor *t) {
    double sum = 0;
    for (int64_t i = 0; i < wn__tensor_count(t); i++)
        sum += wn__get(t, i) * wn__get(t, i);
    return sqrt(sum / (double)wn__tensor_count(t));
}

static void open_large(rig *r, const char *init, const char *structure, int64_t in, int64_t out,
                       double std, double *effective) {
    layer_spec s = {.structure = structure,
                    .base = wn__structure_defaults(),
                    .in = in,
                    .out = out,
                    .training = true};
    s.base.init = init;
    open_layer(r, &s);
    OK(wn__linear_init(&r->l, exec_of(r), 5, std, effective));
}

// ||M N^T||_F / sqrt(in out), by the product itself.
static double product_std(const rig *r) {
    int64_t in = r->l.in, out = r->l.out, rank = r->l.structure.rank;
    double *m = malloc(sizeof *m * (size_t)(out * rank)),
           *n = malloc(sizeof *n * (size_t)(in * rank)), *w = calloc((size_t)(out * in), sizeof *w),
           sum = 0;
    values_of(factor_out(r), m);
    values_of(factor_in(r), n);
    add_product(w, out, in, rank, m, rank, 1, n, in, 1);
    for (int64_t i = 0; i < out * in; i++)
        sum += w[i] * w[i];
    free(m);
    free(n);
    free(w);
    return sqrt(sum / (double)(in * out));
}

// Spec by mode: of N, of M, and of W where the formula is that of independent entries.
static void standard_deviations(void **state) {
    (void)state;
    enum { IN = 160, OUT = 96, R = 32 };
    const double a = sqrt(2.0 / (IN + R)), b = sqrt(2.0 / (OUT + R));
    const struct {
        const char *init;
        double in, out, w;
    } cases[] = {
        {"xavier", a, b, sqrt(4.0 * R / ((IN + R) * (OUT + R)))},
        {NULL, a, b, sqrt(4.0 * R / ((IN + R) * (OUT + R)))},
        {"auto", pow(0.03 * 0.03 / R, 0.25), pow(0.03 * 0.03 / R, 0.25), 0.03},
        {"kaiming", sqrt(2.0 / R), sqrt(2.0 / R), 2 / sqrt(R)},
        {"orth", 1 / sqrt(IN), 1 / sqrt(OUT), sqrt((double)R / (IN * OUT))},
        {"xavorth", a, b, sqrt(4.0 * R / ((IN + R) * (OUT + R)))},
        {"randn_0.25", 0.25, 0.25, 0.0625 * sqrt(R)},
        {"const_0.5", 0.5, 0.5, R * 0.25},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig r;
        double effective;
        open_large(&r, cases[i].init, "lowrank:32", IN, OUT, 0.03, &effective);
        bool exact = i == 4 || i == 5 || i == 7; // no chance in them
        NEAR_BY(std_of(factor_in(&r)) / cases[i].in, 1, exact ? 1e-12 : 0.03);
        NEAR_BY(std_of(factor_out(&r)) / cases[i].out, 1, exact ? 1e-12 : 0.03);
        NEAR_BY(effective / cases[i].w, 1, exact ? 1e-12 : 0.05);
        NEAR(effective, product_std(&r));
        close_layer(&r);
    }
}

// The factors of the 130M model with rank 256: N 0.0441942, W 0.03125.
static void published_deviations(void **state) {
    (void)state;
    const wn__lowrank_init xavier = {.kind = WN_LOWRANK_XAVIER};
    double n = wn__lowrank_factor_std(&xavier, 768, 256, 0.02);
    NEAR_BY(n, 0.0441942, 1e-7);
    NEAR_BY(sqrt(256) * n * n, 0.03125, 1e-12);
}

// <columns i and j> of a factor [d,r] (given as [r,d]: rows).
static double inner(const wn_tensor *t, bool rows, int64_t i, int64_t j) {
    double sum = 0;
    for (int64_t k = 0; k < t->shape[rows ? 1 : 0]; k++)
        sum += rows ? at2(t, i, k) * at2(t, j, k) : at2(t, k, i) * at2(t, k, j);
    return sum;
}

static void check_orthonormal(const wn_tensor *t, bool rows) {
    for (int64_t i = 0; i < t->shape[rows ? 0 : 1]; i++)
        for (int64_t j = 0; j <= i; j++)
            NEAR_BY(inner(t, rows, i, j), i == j ? 1 : 0, 1e-13);
}

// N^T [r,in] has orthonormal rows, M [out,r] orthonormal columns; the other way round where the
// rank is above a size. Two factors of one seed differ.
static void orthonormal_factors(void **state) {
    (void)state;
    rig r;
    double effective;
    open_large(&r, "orth", "lowrank:6", 10, 8, 0.02, &effective);
    check_orthonormal(factor_in(&r), true);
    check_orthonormal(factor_out(&r), false);
    for (int64_t j = 0; j < 6; j++) { // Q R of the drawn matrix, R's diagonal positive
        double diagonal = 0;
        for (int64_t i = 0; i < 10; i++) {
            float four[4];
            wn__philox_normal(5, WN_STREAM_INIT + r.l.factor_in, (uint64_t)(6 * i + j) / 4, four);
            diagonal += at2(factor_in(&r), j, i) * (double)four[(6 * i + j) % 4];
        }
        assert_true(diagonal > 0);
    }
    assert_true(at2(factor_in(&r), 0, 0) != at2(factor_out(&r), 0, 0));
    close_layer(&r);
    open_large(&r, "orth", "lowrank:9", 12, 8, 0.02, &effective);
    check_orthonormal(factor_in(&r), true);
    check_orthonormal(factor_out(&r), true); // 8 rows of 9
    close_layer(&r);
}

static void initial_factors_are_named(void **state) {
    (void)state;
    static const char *const bad[] = {"",          "xavie",       "xavier2",  "randn",   "randn_",
                                      "randn_0",   "randn_x",     "randn_-1", "const_0", "const_",
                                      "const_nan", "randn_1e999", "orthx"};
    wn__lowrank_init i;
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++)
        FAILS(wn__lowrank_init_parse(bad[k], &i), WN_INVALID, "xavier, auto, kaiming, orth");
    OK(wn__lowrank_init_parse("const_-2", &i));
    assert_true(i.kind == WN_LOWRANK_CONST && i.value == -2);
    OK(wn__lowrank_init_parse("randn_1e-2", &i));
    assert_true(i.kind == WN_LOWRANK_RANDN && i.value == 0.01);
}

// With sparse factors the measured W is the one that is multiplied by; constant factors leave
// nothing over, and are refused nothing.
static void measures_sparse_factors(void **state) {
    (void)state;
    for (int constant = 0; constant < 2; constant++) {
        rig r;
        double effective, sum = 0;
        static double merged[48 * 64];
        const wn_tensor tm = wn__tensor2(merged, WN_DTYPE_F64, 48, 64);
        open_large(&r, constant ? "const_0.1" : "xavier", "lowrank:16+2:4", 64, 48, 0.02,
                   &effective);
        OK(wn__linear_prepare(&r.l, exec_of(&r), 0));
        OK(wn__linear_merge(&r.l, exec_of(&r), &tm));
        for (int i = 0; i < 48 * 64; i++)
            sum += merged[i] * merged[i];
        NEAR(effective, sqrt(sum / (48 * 64)));
        assert_true(constant ? effective == 0 : effective > 0.01);
        assert_true(r.l.flips == -1);
        close_layer(&r);
    }
}

// ---- weights that are taken over ----

typedef struct lines {
    int count;
    char last[256];
} lines;

static void hear(void *ctx, wn_log_level level, const char *line) {
    lines *l = ctx;
    (void)level;
    l->count++;
    (void)snprintf(l->last, sizeof l->last, "%s", line);
}

static void adopt(rig *r, const double *w, double *merged, lines *heard) {
    const wn_tensor tm = wn__tensor2(merged, WN_DTYPE_F64, r->l.out, r->l.in);
    int64_t at = 0; // where a model has it
    const wn_tensor from = wn__scratch_take(&r->scratch, &at, r->l.out, r->l.in);
    memcpy(from.data, w, wn__tensor_bytes(&from));
    memset(heard, 0, sizeof *heard);
    wn_log_set(hear, heard);
    OK(wn__linear_adopt(&r->l, exec_of(r), &from));
    wn_log_set(NULL, NULL);
    OK(wn__linear_prepare(&r->l, exec_of(r), 0));
    OK(wn__linear_merge(&r->l, exec_of(r), &tm));
}

// Of full rank the weight comes back; of W = diag(4, 3, 2, 1) rank 2 keeps the first two, 25 of 30,
// in balanced factors.
static void factors_of_a_dense_weight(void **state) {
    (void)state;
    double w[48], merged[48], diagonal[16] = {0}, two[16];
    lines heard;
    rig r;
    for (int i = 0; i < 48; i++)
        w[i] = noise(90, i);
    open_factored(&r, "lowrank:6", 8, 6, true);
    adopt(&r, w, merged, &heard);
    for (int i = 0; i < 48; i++)
        NEAR(merged[i], w[i]);
    assert_non_null(strstr(heard.last, "block.part: rank 6 keeps 100.00 %"));
    close_layer(&r);
    for (int i = 0; i < 4; i++)
        diagonal[5 * i] = 4 - i;
    open_factored(&r, "lowrank:2", 4, 4, true);
    adopt(&r, diagonal, two, &heard);
    for (int i = 0; i < 16; i++)
        NEAR(two[i], i == 0 ? 4 : i == 5 ? 3 : 0);
    assert_non_null(strstr(heard.last, "keeps 83.33 %"));
    NEAR(inner(factor_out(&r), false, 0, 0), inner(factor_in(&r), true, 0, 0));
    close_layer(&r);
}

// The first output is that of the weight alone, whatever the factors; then only factors learn.
static void adapters_begin_at_their_weight(void **state) {
    (void)state;
    static const char *const rules[] = {"adapter:4", "adapter:4:12"};
    double w[48], merged[48], effective;
    lines heard;
    for (int i = 0; i < 48; i++)
        w[i] = noise(90, i);
    for (int i = 0; i < 2; i++) {
        rig r;
        flow f;
        open_factored(&r, rules[i], 8, 6, true);
        adopt(&r, w, merged, &heard);
        for (int j = 0; j < 48; j++)
            NEAR(merged[j], w[j]);
        assert_true(std_of(factor_in(&r)) > 0.1 && std_of(factor_out(&r)) > 0.1);
        assert_true(fabs(wn__get(&wn__linear_weight(&r.l)->w, 0) - w[0]) > 1e-3); // absorbed
        open_flow(&f, &r, 3);
        OK(wn__linear_forward(&r.l, exec_of(&r), &f.x, &f.y, false));
        for (int64_t row = 0; row < 3; row++)
            for (int64_t o = 0; o < 6; o++) {
                double want = wn__get(&r.params.item[r.l.bias].w, o);
                for (int64_t k = 0; k < 8; k++)
                    want += at2(&f.x, row, k) * w[o * 8 + k];
                NEAR(at2(&f.y, row, o), want);
            }
        OK(wn__linear_init(&r.l, exec_of(&r), 3, 0.5, &effective));
        assert_true(effective == 0.5 && !r.l.ready);
        close_layer(&r);
    }
}

// ---- masks, scales, states ----

static double *scale_of(rig *r, size_t i) {
    return r->l.state[i].view.data;
}

static void states_of_sparse_factors(void **state) {
    (void)state;
    rig r;
    open_factored(&r, "lowrank:8+2:4", 12, 8, true);
    assert_int_equal(r.l.state_count, 2);
    assert_string_equal(r.l.state[0].name, "block.part.weight_in.scale");
    assert_string_equal(r.l.state[1].name, "block.part.weight_out.scale");
    assert_int_equal(r.l.positions, 8 * 12 + 8 * 8);
    static double s[2][96];
    static bool keep[2][2][96];
    for (int step = 0; step < 3; step++) {
        int64_t differ = 0;
        randomize(factor_in(&r), 30 + (uint64_t)step);
        randomize(factor_out(&r), 50 + (uint64_t)step);
        soft_threshold(factor_in(&r), s[0], keep[step % 2][0]);
        soft_threshold(factor_out(&r), s[1], keep[step % 2][1]);
        OK(wn__linear_prepare(&r.l, exec_of(&r), step));
        for (int i = 0; i < 96; i++)
            differ += (keep[0][0][i] != keep[1][0][i]) + (i < 64 && keep[0][1][i] != keep[1][1][i]);
        assert_int_equal(r.l.flips, step == 0 ? -1 : differ);
        if (step == 0) {
            NEAR(*scale_of(&r, 0), soft_scale(factor_in(&r), s[0], false));
            NEAR(*scale_of(&r, 1), soft_scale(factor_out(&r), s[1], false));
        }
    }
    *scale_of(&r, 1) = -1;
    FAILS(wn__linear_restore(&r.l, exec_of(&r)), WN_INVALID, "block.part");
    close_layer(&r);
    open_factored(&r, "lowrank:8+2:4:out", 12, 8, true);
    assert_int_equal(r.l.state_count, 1);
    assert_string_equal(r.l.state[0].name, "block.part.weight_out.scale");
    assert_int_equal(r.l.positions, 64);
    close_layer(&r);
}

// After an exact step the scales are chosen anew where the rule says so.
static void scales_follow_an_exact_step(void **state) {
    (void)state;
    for (int rule = 0; rule < 2; rule++) {
        rig r;
        static double s[96];
        static bool keep[96];
        layer_spec spec = {.structure = "lowrank:8+2:4",
                           .base = wn__structure_defaults(),
                           .in = 12,
                           .out = 8,
                           .training = true};
        spec.base.scale_rule = rule ? WN_SCALE_AT_EXACT : WN_SCALE_FROZEN;
        open_layer(&r, &spec);
        OK(wn__linear_prepare(&r.l, exec_of(&r), 0));
        double before = *scale_of(&r, 0);
        randomize(factor_in(&r), 33);
        OK(wn__linear_rebased(&r.l, exec_of(&r)));
        OK(wn__linear_prepare(&r.l, exec_of(&r), 1));
        soft_threshold(factor_in(&r), s, keep);
        double now = soft_scale(factor_in(&r), s, false);
        NEAR(*scale_of(&r, 0), rule ? now : before);
        assert_true(fabs(now - before) > 1e-3);
        close_layer(&r);
    }
}

// Saved states and factors give the same outputs, gradients and flips, to the bit.
static void comes_back_from_its_states(void **state) {
    (void)state;
    static const char *const rules[] = {"lowrank:6+2:4+mvue", "lowrank:5", "adapter:3:9"};
    for (int i = 0; i < 3; i++) {
        rig r[2];
        flow f[2];
        for (int k = 0; k < 2; k++)
            open_factored(&r[k], rules[i], 13, 9, true);
        OK(wn__linear_prepare(&r[0].l, exec_of(&r[0]), 0));
        randomize(factor_in(&r[0]), 31);
        OK(wn__linear_prepare(&r[0].l, exec_of(&r[0]), 1));
        for (size_t p = 0; p < r[0].params.count; p++) {
            const wn_tensor *w = &r[0].params.item[p].w;
            memcpy(r[1].params.item[p].w.data, w->data, wn__tensor_bytes(w));
        }
        for (size_t k = 0; k < r[0].l.state_count; k++) {
            const wn_tensor *v = &r[0].l.state[k].view;
            memcpy(r[1].l.state[k].view.data, v->data, wn__tensor_bytes(v));
        }
        OK(wn__linear_restore(&r[1].l, exec_of(&r[1])));
        for (int k = 0; k < 2; k++) {
            wn__linear *l = &r[k].l;
            open_flow(&f[k], &r[k], ROWS);
            OK(wn__linear_forward(l, exec_of(&r[k]), &f[k].x, &f[k].y, true));
            OK(wn__linear_backward(l, exec_of(&r[k]), &f[k].x, &f[k].dy, &f[k].dx, true));
            randomize(factor_in(&r[k]), 32);
            OK(wn__linear_prepare(l, exec_of(&r[k]), 2));
        }
        assert_memory_equal(f[0].room, f[1].room, sizeof f[0].room);
        assert_int_equal(r[0].l.flips, r[1].l.flips);
        for (size_t p = 0; p < r[0].params.count; p++) {
            const wn_tensor *a = &r[0].params.item[p].g, *b = &r[1].params.item[p].g;
            if (wn__given(a)) assert_memory_equal(a->data, b->data, wn__tensor_bytes(a));
        }
        close_layer(&r[0]);
        close_layer(&r[1]);
    }
}

// ---- sizes ----

static void counts_bytes_and_flops(void **state) {
    (void)state;
    rig r;
    wn__linear_bytes bytes;
    wn__linear_flops flops;
    open_factored(&r, "lowrank:4", 16, 8, true);
    r.l.type->bytes(&r.l, &bytes);
    r.l.type->flops(&r.l, &flops);
    assert_int_equal(bytes.dense, 8 * 16 * 8);
    assert_int_equal(bytes.master, 8 * 4 * (16 + 8));
    assert_int_equal(bytes.forward, 8 * 4 * (16 + 8));
    assert_int_equal(bytes.backward, 0);
    assert_int_equal(bytes.state, 0);
    assert_true(flops.forward == 2 * 4 * (16 + 8));
    assert_true(flops.input_gradient == 2 * 4 * 24 && flops.weight_gradient == 2 * 4 * 24);
    close_layer(&r);
    open_factored(&r, "lowrank:4+2:4", 16, 8, true); // N^T: 4 rows of 4 groups; M: 8 rows of one
    r.l.type->bytes(&r.l, &bytes);
    r.l.type->flops(&r.l, &flops);
    assert_int_equal(bytes.forward, (4 * 8 * 8 + 4 * 2) + (8 * 2 * 8 + 8 * 1));
    assert_int_equal(bytes.backward, (17 * 4 + (4 * 8 + 64) * 9) + (5 * 4 + (8 * 2 + 64) * 9));
    assert_int_equal(bytes.state, (8 + 2 * 16) + (8 + 2 * 8));
    assert_true(flops.forward == 4 * 24 && flops.input_gradient == 4 * 24);
    close_layer(&r);
    open_factored(&r, "adapter:4", 16, 8, true);
    r.l.type->bytes(&r.l, &bytes);
    r.l.type->flops(&r.l, &flops);
    assert_int_equal(bytes.master, 8 * (4 * 24 + 128));
    assert_int_equal(bytes.forward, 8 * (4 * 24 + 128));
    assert_true(flops.forward == 2 * (4 * 24 + 128) && flops.input_gradient == flops.forward);
    assert_true(flops.weight_gradient == 2 * 4 * 24); // the weight is frozen
    close_layer(&r);
}

static void notes_are_told_once(void **state) {
    (void)state;
    lines heard = {0};
    rig r;
    wn_log_set(hear, &heard);
    open_factored(&r, "lowrank:9", 8, 6, true);
    assert_int_equal(heard.count, 1);
    assert_non_null(strstr(heard.last, "rank 9 of a 6 x 8 weight: above 6"));
    close_layer(&r);
    open_factored(&r, "lowrank:6+2:4", 8, 8, true);
    assert_int_equal(heard.count, 2);
    assert_non_null(strstr(heard.last, "the rank 6 is not a multiple of 4"));
    close_layer(&r);
    open_factored(&r, "lowrank:6", 10, 8, true); // dense factors are padded nowhere
    assert_int_equal(heard.count, 2);
    wn_log_set(NULL, NULL);
    close_layer(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters),
        cmocka_unit_test(gradients_are_those_of_differences),
        cmocka_unit_test(standard_deviations),
        cmocka_unit_test(published_deviations),
        cmocka_unit_test(orthonormal_factors),
        cmocka_unit_test(initial_factors_are_named),
        cmocka_unit_test(measures_sparse_factors),
        cmocka_unit_test(factors_of_a_dense_weight),
        cmocka_unit_test(adapters_begin_at_their_weight),
        cmocka_unit_test(states_of_sparse_factors),
        cmocka_unit_test(scales_follow_an_exact_step),
        cmocka_unit_test(comes_back_from_its_states),
        cmocka_unit_test(counts_bytes_and_flops),
        cmocka_unit_test(notes_are_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
