// SPDX-License-Identifier: MIT
// Linear layers on their own: products against plain loops, masks over time, padding, refusals,
// memory.
#include "unit/nn/layer_test.h"

#define N 5 // rows of x

// A layer of that structure in double.
static void open_plain(rig *r, const char *structure, int64_t in, int64_t out, bool bias,
                       bool training) {
    const layer_spec s = {
        .structure = structure, .in = in, .out = out, .bias = bias, .training = training};
    open_layer(r, &s);
}

static bool kept(const rig *r, int64_t row, int64_t column) {
    if (r->l.structure.kind == WN_STRUCTURE_DENSE) return true;
    const wn_tensor *mask = &r->l.state[0].view;
    return *(uint8_t *)wn__tensor_at(mask, row, column / 4) >> (column % 4) & 1;
}

static double weight_at(const rig *r, int64_t row, int64_t column) {
    const wn_tensor *w = &wn__linear_weight(&r->l)->w;
    return kept(r, row, column) ? *(double *)wn__tensor_at(w, row, column) : 0;
}

static void check_forward(rig *r, const double *x) {
    int64_t in = r->l.in, out = r->l.out;
    double y[N * 64];
    const wn_tensor tx = wn__tensor2((void *)(uintptr_t)x, WN_DTYPE_F64, N, in);
    const wn_tensor ty = wn__tensor2(y, WN_DTYPE_F64, N, out);
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        for (int64_t i = 0; i < N * out; i++)
            y[i] = accumulate ? noise(5, i) : (double)NAN;
        assert_int_equal(wn__linear_forward(&r->l, &r->rt->exec, &tx, &ty, accumulate), WN_OK);
        for (int64_t n = 0; n < N; n++) {
            for (int64_t o = 0; o < out; o++) {
                double want = accumulate ? noise(5, n * out + o) : 0;
                if (r->l.has_bias) want += noise(2, o);
                for (int64_t i = 0; i < in; i++)
                    want += x[n * in + i] * weight_at(r, o, i);
                NEAR(y[n * out + o], want);
            }
        }
    }
}

// dx by the masked weight, dW and db dense and added to what is there.
static void check_backward(rig *r, const double *x) {
    int64_t in = r->l.in, out = r->l.out;
    double dy[N * 64], dx[N * 64];
    const wn__param *w = wn__linear_weight(&r->l);
    const wn_tensor tx = wn__tensor2((void *)(uintptr_t)x, WN_DTYPE_F64, N, in);
    const wn_tensor tdy = wn__tensor2(dy, WN_DTYPE_F64, N, out);
    const wn_tensor tdx = wn__tensor2(dx, WN_DTYPE_F64, N, in);
    randomize(&tdy, 6);
    randomize(&tdx, 7);
    randomize(&w->g, 8);
    assert_int_equal(wn__linear_backward(&r->l, &r->rt->exec, &tx, &tdy, &tdx, true), WN_OK);
    for (int64_t n = 0; n < N; n++) {
        for (int64_t i = 0; i < in; i++) {
            double want = noise(7, n * in + i);
            for (int64_t o = 0; o < out; o++)
                want += dy[n * out + o] * weight_at(r, o, i);
            NEAR(dx[n * in + i], want);
        }
    }
    for (int64_t o = 0; o < out; o++) {
        double column = 0;
        for (int64_t n = 0; n < N; n++)
            column += dy[n * out + o];
        if (r->l.has_bias) NEAR(((double *)r->params.item[r->l.bias].g.data)[o], column);
        for (int64_t i = 0; i < in; i++) {
            double want = noise(8, o * in + i);
            for (int64_t n = 0; n < N; n++)
                want += dy[n * out + o] * x[n * in + i];
            NEAR(*(double *)wn__tensor_at(&w->g, o, i), want);
        }
    }
}

static void check_merge(rig *r) {
    double merged[64 * 64];
    const wn_tensor t = wn__tensor2(merged, WN_DTYPE_F64, r->l.out, r->l.in);
    assert_int_equal(wn__linear_merge(&r->l, &r->rt->exec, &t), WN_OK);
    for (int64_t o = 0; o < r->l.out; o++)
        for (int64_t i = 0; i < r->l.in; i++)
            assert_true(merged[o * r->l.in + i] == weight_at(r, o, i));
}

static void check_products(int64_t in, int64_t out, bool bias, const char *structure,
                           bool training) {
    rig r;
    double x[N * 64];
    open_plain(&r, structure, in, out, bias, training);
    const wn_tensor tx = wn__tensor2(x, WN_DTYPE_F64, N, in);
    randomize(&tx, 4);
    assert_int_equal(wn__linear_prepare(&r.l, &r.rt->exec, 0), WN_OK);
    check_forward(&r, x);
    if (training) check_backward(&r, x);
    check_merge(&r);
    close_layer(&r);
}

static void products(void **state) {
    (void)state;
    for (int bias = 0; bias < 2; bias++) {
        for (int training = 0; training < 2; training++) {
            check_products(11, 7, bias, "dense", training);
            check_products(12, 20, bias, "2:4:tile", training);
            check_products(20, 8, bias, "2:4:greedy", training);
            check_products(16, 6, bias, "2:4:row", training);
            check_products(13, 9, bias, "2:4:row", training); // padded inside
            check_products(3, 1, bias, "2:4:row", training);
        }
    }
}

// When masks are chosen: the first always, then at multiples of mask_every before freeze_after.
static void masks_follow_the_schedule(void **state) {
    (void)state;
    rig r;
    layer_spec s = {.structure = "2:4:tile",
                    .base = wn__structure_defaults(),
                    .in = 16,
                    .out = 12,
                    .training = true};
    s.base.mask_every = 3;
    s.base.freeze_after = 9;
    open_layer(&r, &s);
    assert_int_equal(r.l.positions, 16 * 12);
    uint8_t before[12 * 4];
    for (int64_t step = 1; step < 15; step++) { // as after a run that began elsewhere
        randomize(&wn__linear_weight(&r.l)->w, 100 + (uint64_t)step);
        assert_int_equal(wn__linear_prepare(&r.l, &r.rt->exec, step), WN_OK);
        const uint8_t *now = r.l.state[0].view.data;
        int64_t differ = 0;
        for (size_t i = 0; step > 1 && i < sizeof before; i++)
            differ += __builtin_popcount((unsigned)(before[i] ^ now[i]));
        bool due = step == 3 || step == 6;
        assert_int_equal(r.l.flips, due ? differ : -1);
        assert_true(step == 1 || (differ > 0) == due);
        memcpy(before, now, sizeof before);
        check_merge(&r); // values are those of now, whatever the age of the mask
    }
    close_layer(&r);
}

static void new_masters_forget_the_mask(void **state) {
    (void)state;
    rig r;
    layer_spec s = {.structure = "2:4:row",
                    .base = wn__structure_defaults(),
                    .in = 16,
                    .out = 12,
                    .training = true};
    s.base.mask_every = 1000;
    open_layer(&r, &s);
    assert_int_equal(wn__linear_prepare(&r.l, &r.rt->exec, 5), WN_OK);
    uint8_t before[12 * 4];
    memcpy(before, r.l.state[0].view.data, sizeof before);
    randomize(&wn__linear_weight(&r.l)->w, 50);
    r.l.ready = false;
    assert_int_equal(wn__linear_prepare(&r.l, &r.rt->exec, 5), WN_OK);
    assert_int_equal(r.l.flips, -1);
    assert_memory_not_equal(before, r.l.state[0].view.data, sizeof before);
    close_layer(&r);
}

// From freeze_after on nothing reaches what the mask drops; what it keeps gets the dense gradient,
// summed over passes.
static void frozen_masks_take_no_gradient_of_what_they_drop(void **state) {
    (void)state;
    static const char *const structures[] = {"2:4:tile+kept", "2:4:row+mvue+kept"};
    for (int which = 0; which < 2; which++) {
        rig r;
        flow f;
        layer_spec s = {.structure = structures[which],
                        .base = wn__structure_defaults(),
                        .in = 20,
                        .out = 12,
                        .training = true};
        s.base.freeze_after = 3;
        open_layer(&r, &s);
        open_flow(&f, &r, 9);
        wn__param *w = wn__linear_weight(&r.l);
        for (int64_t step = 2; step < 4; step++) {
            r.pass.update = step;
            OK(wn__linear_prepare(&r.l, &r.rt->exec, step));
            w->fresh = true;
            for (int pass = 0; pass < 2; pass++)
                OK(wn__linear_backward(&r.l, &r.rt->exec, &f.x, &f.dy, &f.dx, false));
            int64_t other = 0;
            for (int64_t o = 0; o < 12; o++)
                for (int64_t i = 0; i < 20; i++) {
                    double want = 0, got = *(double *)wn__tensor_at(&w->g, o, i);
                    for (int64_t n = 0; n < 9; n++)
                        want += 2 * at2(&f.dy, n, o) * at2(&f.x, n, i);
                    if (step == 3) NEAR(got, kept(&r, o, i) ? want : 0);
                    other += !kept(&r, o, i) && got != 0;
                }
            assert_true((other > 0) == (step == 2));
        }
        close_layer(&r);
    }
}

static void kept_gradients_need_a_frozen_mask(void **state) {
    (void)state;
    rig r = {0};
    layer_spec s = {.structure = "2:4:tile+kept",
                    .base = wn__structure_defaults(),
                    .in = 8,
                    .out = 8,
                    .training = true};
    wn__arena_measure("weights", &r.weights);
    FAILS(build_layer(&r, &s), WN_INVALID, "mask_freeze_after is 0, at least 1 expected");
    s.base.freeze_after = 1;
    s.base.fp8 = true;
    FAILS(build_layer(&r, &s), WN_INVALID, "block.part: gradients at kept places (+kept)");
    wn__params_free(&r.params);
}

static void decay_touches_what_is_not_kept(void **state) {
    (void)state;
    rig r;
    layer_spec s = {.structure = "2:4:tile",
                    .base = wn__structure_defaults(),
                    .in = 8,
                    .out = 8,
                    .bias = true,
                    .training = true};
    s.base.decay = 0.25;
    open_layer(&r, &s);
    const wn__param *w = wn__linear_weight(&r.l);
    assert_int_equal(wn__linear_prepare(&r.l, &r.rt->exec, 0), WN_OK);
    randomize(&w->g, 3);
    assert_int_equal(wn__linear_regularize(&r.l, &r.rt->exec, 1), WN_OK);
    for (int64_t o = 0; o < 8; o++)
        for (int64_t i = 0; i < 8; i++)
            NEAR(*(double *)wn__tensor_at(&w->g, o, i),
                 noise(3, o * 8 + i) + (kept(&r, o, i) ? 0 : 0.25 * noise(1, o * 8 + i)));
    close_layer(&r);
}

// A saved mask comes back as it was even where the master would now choose another.
static void restores_a_saved_mask(void **state) {
    (void)state;
    rig r;
    open_plain(&r, "2:4:tile", 8, 8, false, true);
    static const uint8_t rows[] = {0x3, 0x3, 0xc, 0xc};
    uint8_t *mask = r.l.state[0].view.data;
    assert_string_equal(r.l.state[0].name, "block.part.mask");
    for (int i = 0; i < 16; i++)
        mask[i] = rows[i / 2 % 4];
    assert_int_equal(wn__linear_restore(&r.l, &r.rt->exec), WN_OK);
    assert_int_equal(r.l.flips, -1);
    for (int i = 0; i < 16; i++)
        assert_int_equal(mask[i], rows[i / 2 % 4]);
    check_merge(&r);
    mask[4] = 0x7;
    assert_int_equal(wn__linear_restore(&r.l, &r.rt->exec), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "block.part"));
    close_layer(&r);
}

static void refuses_use_before_prepare(void **state) {
    (void)state;
    rig r;
    double x[8] = {0}, y[8];
    open_plain(&r, "2:4:tile", 8, 8, false, false);
    const wn_tensor tx = wn__tensor2(x, WN_DTYPE_F64, 1, 8),
                    ty = wn__tensor2(y, WN_DTYPE_F64, 1, 8);
    assert_int_equal(wn__linear_forward(&r.l, &r.rt->exec, &tx, &ty, false), WN_BUG);
    assert_non_null(strstr(wn_last_error(), "block.part"));
    close_layer(&r);
}

static void refuse_shape(const char *structure, int64_t in, int64_t out, const char *nearest) {
    rig r = {0};
    const layer_spec s = {.structure = structure, .in = in, .out = out};
    wn__arena_measure("weights", &r.weights);
    assert_int_equal(build_layer(&r, &s), WN_INVALID);
    char sizes[64];
    (void)snprintf(sizes, sizeof sizes, "found [%lld, %lld]", (long long)out, (long long)in);
    assert_non_null(strstr(wn_last_error(), "block.part"));
    assert_non_null(strstr(wn_last_error(), sizes));
    assert_non_null(strstr(wn_last_error(), nearest));
    assert_non_null(strstr(wn_last_error(), "2:4:row"));
    wn__linear_free(&r.l);
    wn__params_free(&r.params);
}

static void tiles_need_multiples_of_four(void **state) {
    (void)state;
    refuse_shape("2:4:tile", 30, 64, "nearest is [64, 32]");
    refuse_shape("2:4:tile", 32, 65, "nearest is [64, 32]");
    refuse_shape("2:4:greedy", 1, 2, "nearest is [4, 4]");
    refuse_shape("2:4:greedy", 2475, 940, "nearest is [940, 2476]");
}

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

static void padding_is_told_once(void **state) {
    (void)state;
    rig r = {0};
    lines heard = {0};
    wn__linear l[3] = {0};
    wn__structure row, base = wn__structure_defaults();
    const layer_spec none = {0};
    OK(wn__structure_parse("2:4:row", &base, &row));
    wn_log_set(hear, &heard);
    wn__arena_measure("weights", &r.weights);
    wn__build measuring = rig_build(&r, &none);
    OK(wn__linear_build(&l[0], "a", 30, 8, false, &row, &measuring));
    assert_int_equal(heard.count, 0); // the pass that measures is silent
    OK(wn__arena_create("weights", 1 << 16, &r.weights));
    wn__build b = rig_build(&r, &none);
    OK(wn__linear_build(&l[1], "b", 30, 8, false, &row, &b));
    OK(wn__linear_build(&l[2], "c", 30, 8, false, &row, &b));
    wn_log_set(NULL, NULL);
    assert_int_equal(heard.count, 1);
    assert_non_null(strstr(heard.last, "b: in_features 30"));
    assert_non_null(strstr(heard.last, "padded to 32"));
    assert_int_equal(l[1].number, 0); // each takes the next one
    assert_int_equal(l[2].number, 1);
    for (int i = 0; i < 3; i++)
        wn__linear_free(&l[i]);
    wn__params_free(&r.params);
    wn__arena_free(&r.weights);
}

static void counts_bytes_and_flops(void **state) {
    (void)state;
    rig r;
    wn__linear_bytes bytes;
    wn__linear_flops flops;
    open_plain(&r, "2:4:tile", 16, 8, false, true);
    r.l.type->bytes(&r.l, &bytes);
    r.l.type->flops(&r.l, &flops);
    assert_int_equal(bytes.dense, 16 * 8 * 8);
    assert_int_equal(bytes.forward, 8 * 8 * 8 + 8 * 2);    // half the values, a nibble a group
    assert_int_equal(bytes.backward, 16 * 4 * 8 + 16 * 1); // the same of [16, 8]
    assert_int_equal(bytes.state, 2 * 8 * 4);
    assert_true(flops.forward == 16 * 8 && flops.input_gradient == 16 * 8);
    assert_true(flops.weight_gradient == 2 * 16 * 8);
    close_layer(&r);
    open_plain(&r, "2:4:row", 16, 8, false, true);
    r.l.type->bytes(&r.l, &bytes);
    r.l.type->flops(&r.l, &flops);
    // By the lists of one slice: 17 starts, 64 values and 64 rows, and room to read 64 more.
    assert_int_equal(bytes.backward, 17 * 4 + (64 + 64) * (8 + 1));
    assert_true(flops.input_gradient == 16 * 8 && flops.weight_gradient == 2 * 16 * 8);
    close_layer(&r);
    open_plain(&r, "2:4:row+mvue", 19, 8, false, true);
    r.l.type->flops(&r.l, &flops);
    assert_true(flops.forward ==
                4 * 5 * 8); // what pads the last group is multiplied, but not listed
    assert_true(flops.input_gradient == 2 * 10 * 8 && flops.weight_gradient == 19 * 8);
    close_layer(&r);
    open_plain(&r, "2:4:row", 16, 8, false, false);
    r.l.type->bytes(&r.l, &bytes);
    assert_int_equal(bytes.backward, 0); // inference packs forward only
    close_layer(&r);
}

static void a_tied_layer_adds_to_its_owner(void **state) {
    (void)state;
    rig r;
    wn__linear head;
    open_plain(&r, "dense", 6, 5, false, true);
    wn__linear_tie(&head, "head", r.l.weight, &r.build);
    assert_int_equal(r.params.count, 1);
    assert_int_equal(head.in, 6);
    assert_int_equal(head.out, 5);
    double x[6] = {1, 2, 3, 4, 5, 6}, dy[5] = {1, 0, 0, 0, 2};
    const wn_tensor tx = wn__tensor2(x, WN_DTYPE_F64, 1, 6);
    const wn_tensor tdy = wn__tensor2(dy, WN_DTYPE_F64, 1, 5);
    assert_int_equal(wn__linear_backward(&head, &r.rt->exec, &tx, &tdy, NULL, false), WN_OK);
    assert_int_equal(wn__linear_backward(&r.l, &r.rt->exec, &tx, &tdy, NULL, false), WN_OK);
    NEAR(*(double *)wn__tensor_at(&r.params.item[0].g, 4, 2), 2 * 2 * 3.0);
    wn__linear_free(&head);
    close_layer(&r);
}

static void names_that_do_not_fit(void **state) {
    (void)state;
    char out[WN_NAME_MAX], name[2 * WN_NAME_MAX];
    memset(name, 'x', sizeof name);
    name[WN_NAME_MAX - 3] = '\0';
    assert_int_equal(wn__name_join(out, name, "w"), WN_OK);
    assert_int_equal(strlen(out), WN_NAME_MAX - 1);
    assert_int_equal(wn__name_join(out, name, "ww"), WN_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),
        cmocka_unit_test(masks_follow_the_schedule),
        cmocka_unit_test(new_masters_forget_the_mask),
        cmocka_unit_test(frozen_masks_take_no_gradient_of_what_they_drop),
        cmocka_unit_test(kept_gradients_need_a_frozen_mask),
        cmocka_unit_test(decay_touches_what_is_not_kept),
        cmocka_unit_test(restores_a_saved_mask),
        cmocka_unit_test(refuses_use_before_prepare),
        cmocka_unit_test(tiles_need_multiples_of_four),
        cmocka_unit_test(padding_is_told_once),
        cmocka_unit_test(counts_bytes_and_flops),
        cmocka_unit_test(a_tied_layer_adds_to_its_owner),
        cmocka_unit_test(names_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
