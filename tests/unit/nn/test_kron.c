// SPDX-License-Identifier: MIT
// Layers whose weight is a chain of Kronecker-sparse factors: gradients against finite differences,
// the merged weight against the forward pass, dense weights taken over, what is refused.
#include "kernels/kron_mul.h"
#include "sparse/kron.h"
#include "unit/nn/layer_test.h"

static wn__exec *exec_of(rig *r) {
    return &r->rt->exec;
}

static void open_biased(rig *r, const char *structure, int64_t in, int64_t out, bool bias) {
    const layer_spec s = {
        .structure = structure, .in = in, .out = out, .bias = bias, .training = true};
    open_layer(r, &s);
    OK(wn__linear_prepare(&r->l, exec_of(r), 0));
}

static void open_kron(rig *r, const char *structure, int64_t in, int64_t out) {
    open_biased(r, structure, in, out, false);
}

static void parameters(void **state) {
    (void)state;
    rig r;
    open_kron(&r, "kron:monarch:4x3:2", 12, 8); // (4,4,3,1), (1,4,8,2)
    assert_int_equal(r.params.count, 2);
    assert_true(r.l.factored);
    assert_string_equal(r.params.item[0].name, "block.part.factor_0");
    assert_true(wn__tensor_is(&r.params.item[0].w, WN_DTYPE_F64, 2, (const int64_t[]){4 * 3, 4}));
    assert_true(wn__tensor_is(&r.params.item[1].w, WN_DTYPE_F64, 2, (const int64_t[]){2 * 8, 4}));
    assert_true(wn__linear_owns(&r.l, 0) && wn__linear_owns(&r.l, 1));
    assert_false(wn__linear_owns(&r.l, 2));
    wn__linear_bytes bytes;
    wn__linear_flops flops;
    r.l.type->bytes(&r.l, &bytes);
    r.l.type->flops(&r.l, &flops);
    assert_int_equal(bytes.master, 8 * (48 + 64));
    assert_true(flops.forward == 2 * (48 + 64));
    close_layer(&r);
    open_biased(&r, "kron:monarch:4x3:2+lowrank:3", 12, 8, true);
    assert_int_equal(r.params.count, 5);
    assert_string_equal(r.params.item[2].name, "block.part.head_in");
    assert_string_equal(r.params.item[3].name, "block.part.head_out");
    assert_true(wn__tensor_is(&r.params.item[2].w, WN_DTYPE_F64, 2, (const int64_t[]){3, 12}));
    assert_true(wn__tensor_is(&r.params.item[3].w, WN_DTYPE_F64, 2, (const int64_t[]){8, 3}));
    assert_true(wn__linear_owns(&r.l, 2) && wn__linear_owns(&r.l, 3) && !wn__linear_owns(&r.l, 4));
    r.l.type->bytes(&r.l, &bytes);
    r.l.type->flops(&r.l, &flops);
    assert_int_equal(bytes.master, 8 * (48 + 64 + 3 * 20));
    assert_true(flops.forward == 2 * (48 + 64 + 3 * 20));
    assert_true(flops.weight_gradient == flops.forward + 2 * (48 + 3 * 12)); // what is made again
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

// y is linear in every number of every factor, so that differences are exact but for rounding.
static void check_differences(rig *r, flow *f, const wn_tensor *t, const wn_tensor *gradient) {
    for (int64_t i = 0; i < wn__tensor_count(t); i++) {
        double v = wn__get(t, i);
        wn__set(t, i, v + 0.5);
        double above = output_along(r, f);
        wn__set(t, i, v - 0.5);
        double below = output_along(r, f);
        wn__set(t, i, v);
        NEAR_BY(wn__get(gradient, i), above - below, 1e-11);
    }
}

static const struct {
    const char *structure;
    int64_t in, out;
} shapes[] = {{"kron:butterfly", 8, 8},
              {"kron:monarch:4", 8, 12},
              {"kron:monarch:4x3:2", 12, 8},
              {"kron:monarch:1x1", 5, 7},
              {"kron:monarch:6x5:5", 5, 6},
              {"kron:butterfly+lowrank:3", 8, 8},
              {"kron:monarch:4x3:2+lowrank:1", 12, 8},
              {"kron:monarch:1x1+lowrank:5", 5, 7}};
enum { SHAPES = sizeof shapes / sizeof *shapes, HEADS = 3 }; // the last ones

// <dy, y(x)> = <dx(dy), x>, without a bias.
static void check_adjoint(rig *r, flow *f) {
    double back = 0;
    for (int64_t i = 0; i < wn__tensor_count(&f->x); i++)
        back += wn__get(&f->x, i) * wn__get(&f->dx, i);
    NEAR(output_along(r, f), back);
}

static void gradients(void **state) {
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        rig r;
        flow f;
        open_biased(&r, shapes[i].structure, shapes[i].in, shapes[i].out, i % 2);
        open_flow(&f, &r, 6);
        for (int twice = 1; twice <= 2; twice++) { // gradients add up
            OK(wn__linear_backward(&r.l, exec_of(&r), &f.x, &f.dy, &f.dx, false));
            for (size_t p = 0; p < r.params.count; p++) {
                wn_tensor *g = &r.params.item[p].g;
                for (int64_t j = 0; twice == 2 && j < wn__tensor_count(g); j++)
                    wn__set(g, j, wn__get(g, j) / 2);
                check_differences(&r, &f, &r.params.item[p].w, g);
            }
        }
        check_differences(&r, &f, &f.x, &f.dx);
        if (i % 2 == 0) check_adjoint(&r, &f);
        double first = wn__get(&f.dx, 0);
        OK(wn__linear_backward(&r.l, exec_of(&r), &f.x, &f.dy, &f.dx, true));
        NEAR(wn__get(&f.dx, 0), 2 * first);
        close_layer(&r);
    }
}

// Whole numbers from -2 to 2, so that all sums are exact.
static void small_integers(const wn_tensor *t, uint64_t stream) {
    for (int64_t i = 0; i < wn__tensor_count(t); i++)
        wn__set(t, i, (double)wn__philox_below(5, WN_STREAM_TEST + stream, (uint64_t)i, 5) - 2);
}

// Whether the product that a layer runs is in panels, which read a packed form.
static bool in_panels(rig *r) {
    const wn__kron_chain *c = wn__linear_chain(&r->l);
    const wn__kernel *chosen;
    wn__kron_mul p = {.x = wn__tensor2(NULL, WN_DTYPE_F32, 64, r->l.in),
                      .y = wn__tensor2(NULL, WN_DTYPE_F32, 64, r->l.out),
                      .count = c->count};
    for (int t = 0; t < c->count; t++)
        p.w[t] =
            wn__kron_view(&c->factor[t], WN__KRON_COLUMNS, r->params.item[t].w.data, WN_DTYPE_F32);
    OK(wn__plan(exec_of(r), WN__OP_kron_mul, &p, &chosen));
    return c->count > 1 && strncmp(chosen->variant, "avx", 3) == 0;
}

// Many tokens go through two factors in one pass, few step by step: the same gradients.
static void check_pass(const char *structure) {
    enum { N = 512, SIDE = 32, NUMBERS = 8 * 32 * 4 };
    static float x[N * SIDE], dy[N * SIDE], dx[2][N * SIDE], kept[4][NUMBERS];
    const layer_spec spec = {
        .structure = structure, .in = SIDE, .out = SIDE, .training = true, .single = true};
    const wn_tensor tx = wn__tensor2(x, WN_DTYPE_F32, N, SIDE),
                    tdy = wn__tensor2(dy, WN_DTYPE_F32, N, SIDE);
    rig r;
    open_layer(&r, &spec);
    if (!in_panels(
            &r)) { // nor in one pass: step by step so many tokens are more than was built for
        close_layer(&r);
        skip();
    }
    OK(wn__linear_prepare(&r.l, exec_of(&r), 0));
    small_integers(&tx, 1);
    small_integers(&tdy, 2);
    for (size_t f = 0; f < r.params.count; f++)
        small_integers(&r.params.item[f].w, 3 + f);
    for (int64_t n = 0; n < N; n += ROWS) {
        const int64_t rows = N - n < ROWS ? N - n : ROWS;
        const wn_tensor some_x = wn__tensor_slice(&tx, 0, n, rows),
                        some_dy = wn__tensor_slice(&tdy, 0, n, rows),
                        some_dx = wn__tensor2(dx[0] + n * SIDE, WN_DTYPE_F32, rows, SIDE);
        OK(wn__linear_backward(&r.l, exec_of(&r), &some_x, &some_dy, &some_dx, false));
    }
    for (size_t f = 0; f < r.params.count; f++) {
        size_t bytes = wn__tensor_bytes(&r.params.item[f].g);
        assert_true(bytes == (f < 2 ? sizeof kept[f] : SIDE * 2 * sizeof(float)));
        memcpy(kept[f], r.params.item[f].g.data, bytes);
        memset(r.params.item[f].g.data, 0, bytes);
    }
    const wn_tensor tdx = wn__tensor2(dx[1], WN_DTYPE_F32, N, SIDE);
    OK(wn__linear_backward(&r.l, exec_of(&r), &tx, &tdy, &tdx, false));
    for (size_t f = 0; f < r.params.count; f++)
        assert_memory_equal(kept[f], r.params.item[f].g.data,
                            wn__tensor_bytes(&r.params.item[f].g));
    assert_memory_equal(dx[0], dx[1], sizeof dx[0]);
    close_layer(&r);
}

static void one_pass(void **state) {
    (void)state;
    check_pass("kron:monarch:4:4");
    check_pass("kron:monarch:4:4+lowrank:2");
}

// y = x W^T with what merge gives; a dense weight that is such a product is taken over as it is.
static void merged(void **state) {
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        rig r, other;
        flow f;
        double w[512], again[512];
        open_kron(&r, shapes[i].structure, shapes[i].in, shapes[i].out);
        open_flow(&f, &r, 5);
        const wn_tensor weight = wn__tensor2(w, WN_DTYPE_F64, r.l.out, r.l.in);
        OK(wn__linear_merge(&r.l, exec_of(&r), &weight));
        OK(wn__linear_forward(&r.l, exec_of(&r), &f.x, &f.y, false));
        for (int64_t n = 0; n < 5; n++)
            for (int64_t o = 0; o < r.l.out; o++) {
                double sum = 0;
                for (int64_t c = 0; c < r.l.in; c++)
                    sum += at2(&f.x, n, c) * at2(&weight, o, c);
                NEAR(at2(&f.y, n, o), sum);
            }
        open_kron(&other, shapes[i].structure, shapes[i].in, shapes[i].out);
        const wn_tensor found = wn__tensor2(again, WN_DTYPE_F64, r.l.out, r.l.in);
        OK(wn__linear_adopt(&other.l, exec_of(&other), &weight));
        OK(wn__linear_prepare(&other.l, exec_of(&other), 0));
        OK(wn__linear_merge(&other.l, exec_of(&other), &found));
        double norm = 0, away = 0;
        for (int64_t j = 0; j < r.l.out * r.l.in; j++) {
            if (i < SHAPES - HEADS) NEAR_BY(again[j], w[j], 1e-11);
            norm += w[j] * w[j];
            away += (again[j] - w[j]) * (again[j] - w[j]);
        }
        assert_true(away < 0.25 * norm); // parts in turn; alone the heads keep less, or all of it
        close_layer(&other);
        close_layer(&r);
    }
}

// Factors that change behind prepare's back change nothing where the packed form is what is read.
static void check_reads(rig *r, flow *f, bool packed) {
    const size_t size = wn__tensor_bytes(&f->y);
    float *before = malloc(size);
    memcpy(before, f->y.data, size);
    for (int t = 0; t < wn__linear_chain(&r->l)->count; t++)
        memset(r->params.item[t].w.data, 0, wn__tensor_bytes(&r->params.item[t].w));
    OK(wn__linear_forward(&r->l, exec_of(r), &f->x, &f->y, false));
    assert_true(packed == (memcmp(before, f->y.data, size) == 0));
    free(before);
}

// A layer that does not train has its factors packed by prepare, in the model's memory, and gives
// the bits of one that trains; where no kernel reads them so, they take no memory.
static void packed_at_load(void **state) {
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        if (shapes[i].structure[5] == 'b') continue; // a butterfly multiplies by other factors
        rig r[2];                                    // one that trains
        flow f[2];
        wn__linear_bytes bytes[2];
        for (int k = 0; k < 2; k++) {
            const layer_spec s = {.structure = shapes[i].structure,
                                  .in = shapes[i].in,
                                  .out = shapes[i].out,
                                  .training = k == 0,
                                  .single = true};
            open_layer(&r[k], &s);
            open_flow(&f[k], &r[k], 6);
            for (size_t p = 0; p < r[k].params.count; p++)
                randomize(&r[k].params.item[p].w, 100 + p);
            OK(wn__linear_prepare(&r[k].l, exec_of(&r[k]), 0));
            randomize(&f[k].x, 5);
            OK(wn__linear_forward(&r[k].l, exec_of(&r[k]), &f[k].x, &f[k].y, false));
            r[k].l.type->bytes(&r[k].l, &bytes[k]);
        }
        assert_memory_equal(f[0].y.data, f[1].y.data, wn__tensor_bytes(&f[0].y));
        assert_int_equal(bytes[0].forward, bytes[0].master);
        if (in_panels(&r[1]))
            assert_true(bytes[1].forward >= 2 * bytes[1].master);
        else
            assert_int_equal(bytes[1].forward, bytes[1].master);
        check_reads(&r[0], &f[0], false);
        check_reads(&r[1], &f[1], in_panels(&r[1]));
        for (int k = 0; k < 2; k++)
            close_layer(&r[k]);
    }
}

// A butterfly that does not train multiplies by what three of its factors make together: in whole
// numbers the same bits, of memory of its own.
static void check_merged(const char *structure, int64_t side, int64_t numbers) {
    rig r[2]; // one that trains
    flow f[2];
    wn__linear_bytes bytes;
    for (int k = 0; k < 2; k++) {
        const layer_spec s = {
            .structure = structure, .in = side, .out = side, .training = k == 0, .single = true};
        open_layer(&r[k], &s);
        open_flow(&f[k], &r[k], 6);
        for (size_t p = 0; p < r[k].params.count; p++)
            small_integers(&r[k].params.item[p].w, 100 + p);
        small_integers(&f[k].x, 5);
        OK(wn__linear_prepare(&r[k].l, exec_of(&r[k]), 0));
        OK(wn__linear_forward(&r[k].l, exec_of(&r[k]), &f[k].x, &f[k].y, false));
    }
    assert_memory_equal(f[0].y.data, f[1].y.data, wn__tensor_bytes(&f[0].y));
    r[1].l.type->bytes(&r[1].l, &bytes);
    assert_true(bytes.forward >= bytes.master + (size_t)numbers * sizeof(float));
    check_reads(&r[1], &f[1], true);
    for (int k = 0; k < 2; k++)
        close_layer(&r[k]);
}

static void merged_at_load(void **state) {
    (void)state;
    check_merged("kron:butterfly", 8, 8 * 8);
    check_merged("kron:butterfly", 16, 16 * (8 + 2));
    check_merged("kron:butterfly", 64, 64 * (8 + 8));
    check_merged("kron:butterfly+lowrank:3", 32, 32 * (8 + 4));
}

// The mean square of W is std^2, over many seeds.
static void check_initial(const char *structure) {
    rig r;
    double w[96], sum = 0, effective;
    open_kron(&r, structure, 12, 8);
    const wn_tensor weight = wn__tensor2(w, WN_DTYPE_F64, 8, 12);
    for (uint64_t seed = 1; seed <= 200; seed++) {
        OK(wn__linear_init(&r.l, exec_of(&r), seed, 0.3, &effective));
        OK(wn__linear_prepare(&r.l, exec_of(&r), 0));
        OK(wn__linear_merge(&r.l, exec_of(&r), &weight));
        for (int i = 0; i < 96; i++)
            sum += w[i] * w[i];
    }
    assert_true(effective == 0.3);
    // 200 independent means of 96 products of factors: a relative error of some hundredths
    assert_true(fabs(sqrt(sum / (200 * 96)) - 0.3) < 0.02);
    close_layer(&r);
}

static void initial(void **state) {
    (void)state;
    check_initial("kron:monarch:4x3:2");
    check_initial("kron:monarch:4x3:2+lowrank:4");
}

// Opens a layer that cannot be built.
static void refuse(layer_spec s, const char *words) {
    wn__structure base = wn__structure_defaults(), structure;
    wn__arena arena;
    wn__params params = {0};
    wn__pass pass = {0};
    wn__scratch scratch = {0};
    wn__linear l;
    wn__arena_measure("weights", &arena);
    wn__build b = {.weights = &arena,
                   .activations = &arena,
                   .params = &params,
                   .dtype = WN_DTYPE_F64,
                   .rows = 4,
                   .dy_rows = 4,
                   .seq = 4,
                   .pass = &pass,
                   .scratch = &scratch};
    base.fp8 = s.base.fp8;
    OK(wn__structure_parse(s.structure, &base, &structure));
    FAILS(wn__linear_build(&l, "block.part", s.in, s.out, s.bias, &structure, &b), WN_INVALID,
          words);
    wn__linear_free(&l);
    wn__params_free(&params);
}

static void refusals(void **state) {
    (void)state;
    refuse((layer_spec){.structure = "kron:butterfly", .in = 8, .out = 16},
           "a butterfly is square");
    refuse((layer_spec){.structure = "kron:butterfly", .in = 12, .out = 12}, "not 12 (16)");
    refuse((layer_spec){.structure = "kron:monarch:5", .in = 8, .out = 12},
           "blocks of 5 do not divide 12 outputs; the nearest that do: 6");
    refuse((layer_spec){.structure = "kron:monarch:4:5", .in = 8, .out = 8}, "from 1 to 4, not 5");
    refuse((layer_spec){.structure = "kron:monarch:4", .in = 8, .out = 8, .base = {.fp8 = true}},
           "no simulated FP8");
    refuse((layer_spec){.structure = "kron:butterfly+lowrank:9", .in = 8, .out = 8},
           "block.part: a head of rank 9 beside 8 x 8: from 1 to 8");
}

static void texts(void **state) {
    (void)state;
    static const char *const bad[] = {"kron",
                                      "kron:monarch",
                                      "kron:monarch:0",
                                      "kron:monarch:4x",
                                      "kron:monarch:4:0",
                                      "kron:monarch:4x2:1:1",
                                      "kron:butterfly:2",
                                      "kron:butter",
                                      "kron:monarch:4+mvue",
                                      "kron:monarch:4+lowrank",
                                      "kron:monarch:4+lowrank:0",
                                      "kron:monarch:4+lowrank:2:2",
                                      "kron:butterfly+lowrank:2+2:4",
                                      "kron:butterfly+low:2"};
    wn__structure base = wn__structure_defaults(), s;
    char name[WN_STRUCTURE_NAME];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        FAILS(wn__structure_parse(bad[i], &base, &s), WN_INVALID, "kron:monarch:B[xC][:R]");
    OK(wn__structure_parse("kron:monarch:32", &base, &s));
    assert_string_equal(wn__structure_name(&s, name, sizeof name), "kron monarch 32x32 rank 1");
    OK(wn__structure_parse("kron:monarch:32x16:4", &base, &s));
    assert_string_equal(wn__structure_name(&s, name, sizeof name), "kron monarch 32x16 rank 4");
    OK(wn__structure_parse("kron:monarch:11008x4096:4096+lowrank:4096", &base, &s));
    assert_int_equal(s.kron_head, 4096);
    assert_string_equal(wn__structure_name(&s, name, sizeof name),
                        "kron monarch 11008x4096 rank 4096 + lowrank 4096");
    OK(wn__structure_parse("kron:butterfly+lowrank:8", &base, &s));
    assert_string_equal(wn__structure_name(&s, name, sizeof name), "kron butterfly + lowrank 8");
    base.kron_head = 3;
    OK(wn__structure_parse("kron:butterfly", &base, &s));
    assert_int_equal(s.kron_head, 0);
    assert_string_equal(wn__structure_name(&s, name, sizeof name), "kron butterfly");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters),     cmocka_unit_test(gradients),
        cmocka_unit_test(one_pass),       cmocka_unit_test(merged),
        cmocka_unit_test(initial),        cmocka_unit_test(refusals),
        cmocka_unit_test(texts),          cmocka_unit_test(packed_at_load),
        cmocka_unit_test(merged_at_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
