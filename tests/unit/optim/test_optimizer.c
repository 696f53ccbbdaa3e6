// SPDX-License-Identifier: MIT
// What holds for every optimizer: names and refused options, a list of states that is complete, the
// same bits for any number of threads and after a restart, rounded weights behind their masters,
// what is left alone.
#include "optim_test.h"

static void names(void **state) {
    (void)state;
    static const char *const text[] = {"adamw",    "adam",         "sgd",       "adafactor",
                                       "adam8bit", "galore_adamw", "loro_adamw"};
    wn__optimizer_kind kind;
    for (int i = 0; i < KINDS; i++) {
        OK(wn__optimizer_parse(text[i], &kind));
        assert_int_equal(kind, all_kinds[i]);
        assert_string_equal(wn__optimizer_name(kind), text[i]);
    }
    OK(wn__optimizer_parse("Adam", &kind)); // as the original spells its default
    assert_int_equal(kind, WN_OPTIMIZER_ADAM);
    assert_int_equal(wn__optimizer_parse("adamw8bit", &kind), WN_INVALID);
    for (int i = 0; i < KINDS; i++)
        assert_non_null(strstr(wn_last_error(), text[i]));
}

static void refuse(wn__optimizer_options o, const char *words) {
    wn__optimizer *out;
    FAILS(wn__optimizer_create(&o, &out), WN_INVALID, words);
    assert_null(out);
}

#define REFUSE(kind, field, value, words)                                                          \
    do {                                                                                           \
        wn__optimizer_options o_ = options_of(kind);                                               \
        o_.field = value;                                                                          \
        refuse(o_, words);                                                                         \
    } while (0)

static void refused_options(void **state) {
    (void)state;
    REFUSE(WN_OPTIMIZER_ADAMW, beta1, 1, "beta1 = 1");
    REFUSE(WN_OPTIMIZER_ADAM, beta2, -0.1, "beta2 = -0.1");
    REFUSE(WN_OPTIMIZER_ADAMW, eps, (double)NAN, "eps = nan");
    REFUSE(WN_OPTIMIZER_ADAMW, weight_decay, -1, "weight_decay = -1");
    REFUSE(WN_OPTIMIZER_ADAMW, kind, (wn__optimizer_kind)40, "number 40");
    REFUSE(WN_OPTIMIZER_ADAMW, reset_every, -2, "-2 updates");
    REFUSE(WN_OPTIMIZER_LORO_ADAMW, refresh, WN_REFRESH_ALL, "needs a number of updates");
    REFUSE(WN_OPTIMIZER_LORO_ADAMW, exact_every, -1, "every -1 updates");
    REFUSE(WN_OPTIMIZER_LORO_ADAMW, width, 0, "width above 0, found 0");
    REFUSE(WN_OPTIMIZER_LORO_ADAMW, lr_scaler, (double)NAN, "is nan");
    REFUSE(WN_OPTIMIZER_LORO_ADAMW, eps, 0, "loro_adamw needs one above 0");
    REFUSE(WN_OPTIMIZER_GALORE_ADAMW, eps, 0, "eps is 0");
    REFUSE(WN_OPTIMIZER_SGD, momentum, 1, "momentum is 1");
    REFUSE(WN_OPTIMIZER_ADAFACTOR, momentum, -0.5, "momentum is -0.5");
    REFUSE(WN_OPTIMIZER_GALORE_ADAMW, galore_type, "both", "legal: std, reverse_std");
    REFUSE(WN_OPTIMIZER_GALORE_ADAMW, galore_rank, 0, "rank is 0");
    REFUSE(WN_OPTIMIZER_GALORE_ADAMW, galore_gap, 0, "gap 0");
    REFUSE(WN_OPTIMIZER_GALORE_ADAMW, galore_scale, (double)INFINITY, "scale is inf");
    wn__optimizer_free(NULL);
}

static void options_are_kept(void **state) {
    (void)state;
    wn__optimizer_options o = options_of(WN_OPTIMIZER_GALORE_ADAMW);
    char type[] = "right";
    wn__optimizer *kept;
    o.galore_type = type;
    OK(wn__optimizer_create(&o, &kept));
    type[0] = 'l';
    assert_string_equal(wn__optimizer_options_of(kept)->galore_type, "right");
    assert_int_equal(wn__optimizer_options_of(kept)->galore_gap, 3);
    wn__optimizer_free(kept);
}

typedef struct listed {
    int param;
    const char *suffix;
    wn_dtype dtype;
    int64_t a, b;
} listed;

static void check_list(const rig *r, const listed *want, size_t count) {
    char name[WN_NAME_MAX + 20];
    assert_int_equal(wn__optimizer_state_count(r->o, &r->params), count + 1);
    for (size_t i = 0; i <= count; i++) {
        const char *found;
        wn_tensor view;
        wn__optimizer_state_at(r->o, &r->params, i, &found, &view);
        if (i == count) {
            assert_string_equal(found, "optimizer.updates");
            assert_true(wn__tensor_is(&view, WN_DTYPE_I64, 1, (const int64_t[]){PARAMS}));
            return;
        }
        (void)snprintf(name, sizeof name, "%s.%s", shapes[want[i].param].name, want[i].suffix);
        assert_string_equal(found, name);
        const int64_t shape[] = {want[i].a, want[i].b};
        assert_true(wn__tensor_is(&view, want[i].dtype, want[i].b > 0 ? 2 : 1, shape));
    }
}

#define ALIKE(i) shapes[i].a, shapes[i].b
#define LIST(o, ...)                                                                               \
    do {                                                                                           \
        const listed want_[] = {__VA_ARGS__};                                                      \
        rig r_;                                                                                    \
        rig_open(&r_, &o, WN_DTYPE_F32, false, 1);                                                 \
        check_list(&r_, want_, sizeof want_ / sizeof *want_);                                      \
        rig_close(&r_);                                                                            \
    } while (0)

// Nothing of the frozen tensor; factored, 8-bit and projected states have their own shapes.
static void states_by_name(void **state) {
    (void)state;
    const wn_dtype F = WN_DTYPE_F32, B = WN_DTYPE_U8;
    wn__optimizer_options o = options_of(WN_OPTIMIZER_SGD);
    LIST(o, {EMBED, "momentum", F, ALIKE(EMBED)}, {MATRIX, "momentum", F, ALIKE(MATRIX)},
         {IN, "momentum", F, ALIKE(IN)}, {OUT, "momentum", F, ALIKE(OUT)},
         {NORM, "momentum", F, ALIKE(NORM)}, {LARGE, "momentum", F, ALIKE(LARGE)});
    o = options_of(WN_OPTIMIZER_ADAFACTOR);
    o.momentum = 0;
    LIST(o, {EMBED, "row", F, 12, 0}, {EMBED, "col", F, 8, 0}, {MATRIX, "row", F, 10, 0},
         {MATRIX, "col", F, 6, 0}, {IN, "row", F, 3, 0}, {IN, "col", F, 9, 0},
         {OUT, "row", F, 7, 0}, {OUT, "col", F, 3, 0}, {NORM, "v", F, 6, 0},
         {LARGE, "row", F, 65, 0}, {LARGE, "col", F, 67, 0});
    o = options_of(WN_OPTIMIZER_ADAM8BIT);
    LIST(o, {EMBED, "m", F, ALIKE(EMBED)}, {EMBED, "v", F, ALIKE(EMBED)},
         {MATRIX, "m", F, ALIKE(MATRIX)}, {MATRIX, "v", F, ALIKE(MATRIX)}, {IN, "m", F, ALIKE(IN)},
         {IN, "v", F, ALIKE(IN)}, {OUT, "m", F, ALIKE(OUT)}, {OUT, "v", F, ALIKE(OUT)},
         {NORM, "m", F, 6, 0}, {NORM, "v", F, 6, 0}, {LARGE, "m", B, ALIKE(LARGE)},
         {LARGE, "v", B, ALIKE(LARGE)}, {LARGE, "m_scale", F, 18, 0},
         {LARGE, "v_scale", F, 18, 0}); // 4355 elements
    o = options_of(WN_OPTIMIZER_GALORE_ADAMW);
    LIST(o, {EMBED, "m", F, ALIKE(EMBED)}, {EMBED, "v", F, ALIKE(EMBED)}, {MATRIX, "m", F, 10, 4},
         {MATRIX, "v", F, 10, 4}, {MATRIX, "right", F, 4, 6}, {IN, "m", F, ALIKE(IN)},
         {IN, "v", F, ALIKE(IN)}, {OUT, "m", F, ALIKE(OUT)}, {OUT, "v", F, ALIKE(OUT)},
         {NORM, "m", F, 6, 0}, {NORM, "v", F, 6, 0}, {LARGE, "m", F, 4, 67}, {LARGE, "v", F, 4, 67},
         {LARGE, "left", F, 65, 4});
    o.galore_type = "full";
    o.galore_rank = 100; // at most the smaller side
    LIST(o, {EMBED, "m", F, ALIKE(EMBED)}, {EMBED, "v", F, ALIKE(EMBED)}, {MATRIX, "m", F, 6, 6},
         {MATRIX, "v", F, 6, 6}, {MATRIX, "left", F, 10, 6}, {MATRIX, "right", F, 6, 6},
         {IN, "m", F, ALIKE(IN)}, {IN, "v", F, ALIKE(IN)}, {OUT, "m", F, ALIKE(OUT)},
         {OUT, "v", F, ALIKE(OUT)}, {NORM, "m", F, 6, 0}, {NORM, "v", F, 6, 0},
         {LARGE, "m", F, 65, 65}, {LARGE, "v", F, 65, 65}, {LARGE, "left", F, 65, 65},
         {LARGE, "right", F, 65, 67});
}

static void same_weights(const rig *a, const rig *b, const char *what) {
    for (int i = 0; i < PARAMS; i++) {
        const wn__param *p = &a->params.item[i], *q = &b->params.item[i];
        if (memcmp(p->w.data, q->w.data, wn__tensor_bytes(&p->w)) != 0 ||
            memcmp(wn__param_master(p)->data, wn__param_master(q)->data, wn__tensor_bytes(&p->w)) !=
                0)
            fail_msg("%s: %s differs", what, p->name);
    }
}

static void copy_weights(const rig *from, const rig *to) {
    for (int i = 0; i < PARAMS; i++) {
        const wn__param *p = &from->params.item[i], *q = &to->params.item[i];
        memcpy(q->w.data, p->w.data, wn__tensor_bytes(&p->w));
        memcpy(wn__param_master(q)->data, wn__param_master(p)->data, wn__tensor_bytes(&p->w));
    }
}

static void copy_states(const rig *from, const rig *to) {
    size_t count = wn__optimizer_state_count(from->o, &from->params);
    assert_int_equal(count, wn__optimizer_state_count(to->o, &to->params));
    for (size_t i = 0; i < count; i++) {
        const char *a, *b;
        wn_tensor x, y;
        wn__optimizer_state_at(from->o, &from->params, i, &a, &x);
        wn__optimizer_state_at(to->o, &to->params, i, &b, &y);
        assert_string_equal(a, b);
        memcpy(y.data, x.data, wn__tensor_bytes(&x));
    }
}

static wn__optimizer_options eventful(wn__optimizer_kind kind) {
    wn__optimizer_options o = options_of(kind);
    o.refresh = WN_REFRESH_LOWRANK;
    o.refresh_every = 4;
    return o;
}

// Weights and the listed states are all there is: another optimizer goes on with the same bits.
static void goes_on_from_its_states(void **state) {
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        const wn__optimizer_options o = eventful(all_kinds[kind]);
        for (int64_t stop = 1; stop < 5; stop++) { // before and after exact steps and projectors
            rig a, b;
            rig_open(&a, &o, WN_DTYPE_F32, stop % 2, 1);
            rig_open(&b, &o, WN_DTYPE_F32, stop % 2, 1);
            for (int64_t u = 0; u < stop; u++)
                (void)step_drawn(&a, 0.01, 0.5, u);
            copy_weights(&a, &b);
            copy_states(&a, &b);
            for (int64_t u = stop; u < 8; u++) {
                (void)step_drawn(&a, 0.01, 0.5, u);
                (void)step_drawn(&b, 0.01, 0.5, u);
            }
            same_weights(&a, &b, wn__optimizer_name(o.kind));
            rig_close(&a);
            rig_close(&b);
        }
    }
}

// Numbers no run of so many updates can have.
static void counts_of_a_checkpoint(void **state) {
    (void)state;
    const wn__optimizer_options o = options_of(WN_OPTIMIZER_ADAMW);
    rig r;
    const char *name;
    wn_tensor view;
    rig_open(&r, &o, WN_DTYPE_F32, false, 1);
    for (int64_t u = 0; u < 3; u++)
        (void)step_drawn(&r, 0.01, 1, u);
    OK(wn__optimizer_check_counts(r.o, &r.params, 3));
    FAILS(wn__optimizer_check_counts(r.o, &r.params, 2), WN_INVALID, "3 updates of");
    wn__optimizer_state_at(r.o, &r.params, wn__optimizer_state_count(r.o, &r.params) - 1, &name,
                           &view);
    ((int64_t *)view.data)[1] = -7;
    FAILS(wn__optimizer_check_counts(r.o, &r.params, 3), WN_INVALID, "-7 updates of");
    rig_close(&r);
}

static void threads_change_nothing(void **state) {
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        const wn__optimizer_options o = eventful(all_kinds[kind]);
        rig one, four;
        rig_open(&one, &o, WN_DTYPE_F32, true, 1);
        rig_open(&four, &o, WN_DTYPE_F32, true, 4);
        for (int64_t u = 0; u < 5; u++) {
            (void)step_drawn(&one, 0.01, 1, u);
            (void)step_drawn(&four, 0.01, 1, u);
        }
        same_weights(&one, &four, wn__optimizer_name(o.kind));
        rig_close(&one);
        rig_close(&four);
    }
}

// Masters move as weights of full size do; what layers read are they, rounded.
static void masters_and_rounded_weights(void **state) {
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        const wn__optimizer_options o = eventful(all_kinds[kind]);
        rig full, rounded;
        int64_t differ = 0;
        rig_open(&full, &o, WN_DTYPE_F32, false, 1);
        rig_open(&rounded, &o, WN_DTYPE_F32, true, 1);
        for (int64_t u = 0; u < 4; u++) {
            (void)step_drawn(&full, 0.01, 1, u);
            (void)step_drawn(&rounded, 0.01, 1, u);
        }
        for (int i = 0; i < PARAMS; i++) {
            const wn__param *p = &rounded.params.item[i];
            if (i == FROZEN) continue;
            assert_memory_equal(p->master.data, full.params.item[i].w.data,
                                wn__tensor_bytes(&p->w));
            for (int64_t k = 0; k < wn__tensor_count(&p->w); k++) {
                uint16_t bits = wn__bf16_from_f64(get(&p->master, k));
                assert_true(get(&p->w, k) == (double)wn__bf16_to_f32(bits));
                differ += get(&p->w, k) != get(&p->master, k);
            }
        }
        assert_true(differ > 1000);
        rig_close(&full);
        rig_close(&rounded);
    }
}

// A frozen tensor has neither states nor updates; a rate of 0 moves nothing.
static void what_is_left_alone(void **state) {
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        const wn__optimizer_options o = options_of(all_kinds[kind]);
        rig r, drawn;
        rig_open(&r, &o, WN_DTYPE_F32, false, 1);
        rig_open(&drawn, &o, WN_DTYPE_F32, false, 1);
        (void)step_drawn(&r, 0, 1, 0);
        same_weights(&r, &drawn, "a rate of 0");
        for (size_t i = 0; i < wn__optimizer_state_count(r.o, &r.params); i++) {
            const char *name;
            wn_tensor view;
            wn__optimizer_state_at(r.o, &r.params, i, &name, &view);
            assert_null(strstr(name, "down_proj"));
        }
        rig_close(&r);
        rig_close(&drawn);
    }
}

// Without gradients matrices shrink, if at all, and vectors stay.
static void decay_of_matrices_only(void **state) {
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        wn__optimizer_options o = options_of(all_kinds[kind]);
        if (o.kind == WN_OPTIMIZER_ADAM || o.kind == WN_OPTIMIZER_SGD) continue; // L2
        o.exact_every = 0;
        rig r;
        rig_open(&r, &o, WN_DTYPE_F64, false, 1);
        double embed = get(master(&r, EMBED), 3), norm = get(master(&r, NORM), 3);
        double factor = get(master(&r, OUT), 3), step = 0.5;
        if (o.kind == WN_OPTIMIZER_LORO_ADAMW) step *= sqrt(1 - o.beta2) / (1 - o.beta1);
        OK(wn__optimizer_update(r.o, &r.params, &r.rt->exec, 0.5, 1, 0, NULL));
        assert_true(get(master(&r, NORM), 3) == norm);
        assert_true(fabs(get(master(&r, EMBED), 3) - embed * (1 - 0.5 * 0.1)) < 1e-15);
        assert_true(fabs(get(master(&r, OUT), 3) - factor * (1 - step * 0.1)) < 1e-15);
        rig_close(&r);
    }
}

static void names_that_do_not_fit(void **state) {
    (void)state;
    wn__optimizer *o;
    wn__params params = {0};
    wn__arena arena;
    size_t i;
    const wn__optimizer_options options = options_of(WN_OPTIMIZER_ADAMW);
    OK(wn__optimizer_create(&options, &o));
    OK(wn__params_append(&params, &i));
    memset(params.item[0].name, 'x', WN_NAME_MAX - 2);
    params.item[0].w = params.item[0].g = wn__tensor1(NULL, WN_DTYPE_F32, 4);
    wn__arena_measure("states", &arena);
    FAILS(wn__optimizer_build(o, &params, &arena), WN_INVALID, "at most 127 fit");
    wn__params_free(&params);
    wn__optimizer_free(o);
}

static void factors_without_each_other(void **state) {
    (void)state;
    const wn__optimizer_options options = options_of(WN_OPTIMIZER_LORO_ADAMW);
    rig r;
    wn__arena arena;
    rig_open(&r, &options, WN_DTYPE_F32, false, 1);
    wn__arena_measure("states", &arena);
    r.params.item[OUT].partner = NORM;
    FAILS(wn__optimizer_build(r.o, &r.params, &arena), WN_BUG, "without its other one");
    r.params.item[OUT].partner = IN;
    r.params.item[IN].g = (wn_tensor){0};
    FAILS(wn__optimizer_build(r.o, &r.params, &arena), WN_BUG, "weight_out: a factor without");
    rig_close(&r);
}

// p = (1, -2, 0.5), f = sum w p^2 with w = (1, 2, 3), rate 0.1, decay 0.01: what torch.optim makes
// of it in float32, so that the last of eight decimals is not ours.
static void traces(void **state) {
    (void)state;
    static const double weight[3] = {1, 2, 3};
    static const struct {
        wn__optimizer_kind kind;
        double p[5][3];
    } want[] = {{WN_OPTIMIZER_ADAMW,
                 {{.89900005, -1.898, .3995},
                  {.79851907, -1.79627264, .30029786},
                  {.69891125, -1.69494462, .2037124},
                  {.60059863, -1.59415305, .11162011},
                  {.50408018, -1.49404585, .02652822}}},
                {WN_OPTIMIZER_ADAM,
                 {{.9, -1.9, .4},
                  {.80041218, -1.80016649, .3011874},
                  {.70158625, -1.70062339, .20487124},
                  {.60393906, -1.60150492, .11291537},
                  {.50796366, -1.50295579, .02781443}}},
                {WN_OPTIMIZER_SGD,
                 {{.799, -1.198, .1995},
                  {.45750102, .00419809, -.19084951},
                  {.05819422, 1.08449292, -.42746347},
                  {-.31287894, 1.6218766, -.3835105},
                  {-.58395612, 1.45514941, -.113463}}}};
    for (int k = 0; k < 3; k++) {
        const wn__optimizer_options o = {.kind = want[k].kind,
                                         .beta1 = 0.9,
                                         .beta2 = 0.999,
                                         .eps = 1e-8,
                                         .weight_decay = 0.01,
                                         .momentum = 0.9};
        rig r = {0};
        size_t index;
        OK(wn__runtime_create(1, NULL, false, &r.rt));
        OK(wn__arena_create("weights", 1 << 12, &r.weights));
        OK(wn__params_append(&r.params, &index));
        wn__param *p = &r.params.item[index];
        (void)snprintf(p->name, sizeof p->name, "p");
        p->decay = true;
        OK(wn__tensor_alloc1(&r.weights, WN_DTYPE_F64, 3, &p->w));
        OK(wn__tensor_alloc1(&r.weights, WN_DTYPE_F64, 3, &p->g));
        rig_build(&r, &o);
        put(&p->w, 0, 1), put(&p->w, 1, -2), put(&p->w, 2, 0.5);
        for (int64_t step = 0; step < 5; step++) {
            for (int64_t i = 0; i < 3; i++)
                put(&p->g, i, 2 * weight[i] * get(&p->w, i));
            OK(wn__optimizer_update(r.o, &r.params, &r.rt->exec, 0.1, 1, step, NULL));
            for (int64_t i = 0; i < 3; i++)
                assert_true(fabs(get(&p->w, i) - want[k].p[step][i]) < 5e-7);
        }
        rig_close(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(names),
                                       cmocka_unit_test(traces),
                                       cmocka_unit_test(refused_options),
                                       cmocka_unit_test(options_are_kept),
                                       cmocka_unit_test(states_by_name),
                                       cmocka_unit_test(goes_on_from_its_states),
                                       cmocka_unit_test(counts_of_a_checkpoint),
                                       cmocka_unit_test(threads_change_nothing),
                                       cmocka_unit_test(masters_and_rounded_weights),
                                       cmocka_unit_test(what_is_left_alone),
                                       cmocka_unit_test(decay_of_matrices_only),
                                       cmocka_unit_test(names_that_do_not_fit),
                                       cmocka_unit_test(factors_without_each_other)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
