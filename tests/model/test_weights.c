// SPDX-License-Identifier: MIT
// Weights to and from disk: what loading accepts and refuses, what export writes, and that training
// goes on bit for bit from saved states.
#include "base/file.h"
#include "base/half.h"
#include "model_test.h"
#include "sparse/pattern24.h"
#include <unistd.h>

#define B 2
#define T 6

static void make_dir(char *dir, size_t n) {
    const char *base = getenv("TMPDIR");
    (void)snprintf(dir, n, "%s/winnow-test-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(dir));
}

static void open_f32(rig *r, const wn__model_config *c, bool training, const char *rule,
                     const wn__structure *base) {
    const wn__structure plain = default_structure();
    const wn__model_spec spec = {
        .config = *c, .dtype = WN_DTYPE_F32, .training = training, .batch = B, .seq = T};
    rig_open(r, &spec, rule, base != NULL ? base : &plain, 2);
}

static void write_items(const char *dir, const wn__st_item *items, size_t count) {
    OK(wn__hf_weights_write(dir, items, count, 0));
}

static wn_status load_from(rig *r, const char *dir) {
    wn__hf_weights *w;
    OK(wn__hf_weights_open(dir, &w));
    wn_status status = wn__model_load(r->m, w);
    wn__hf_weights_close(w);
    return status;
}

// The export of a freshly initialised model, as a list tests may change before writing it.
static wn__st_item *exported(rig *r, size_t *count, size_t more) {
    wn__st_item *items;
    OK(wn__model_init(r->m, 17));
    OK(wn__model_prepare(r->m, 0));
    OK(wn__model_export(r->m, &items, count));
    items = realloc(items, (*count + more) * sizeof *items);
    assert_non_null(items);
    return items;
}

static void same_parameters(rig *a, rig *b) {
    const wn__params *p = wn__model_params(a->m), *q = wn__model_params(b->m);
    assert_int_equal(p->count, q->count);
    for (size_t i = 0; i < p->count; i++)
        assert_memory_equal(p->item[i].w.data, q->item[i].w.data, wn__tensor_bytes(&p->item[i].w));
}

static void loads_what_was_exported(void **state) {
    (void)state;
    wn__model_config c = small_config(WN_MLP_SWIGLU);
    c.qkv_bias = c.mlp_bias = true;
    char dir[512];
    size_t count;
    rig a, b;
    make_dir(dir, sizeof dir);
    open_f32(&a, &c, true, NULL, NULL);
    open_f32(&b, &c, false, NULL, NULL);
    wn__st_item *items = exported(&a, &count, 0);
    write_items(dir, items, count);
    OK(load_from(&b, dir));
    same_parameters(&a, &b);
    free(items);
    rig_close(&a);
    rig_close(&b);
    OK(wn__dir_remove(dir));
}

static void loads_half_precision(void **state) {
    (void)state;
    static const wn_dtype halves[] = {WN_DTYPE_BF16, WN_DTYPE_F16};
    const wn__model_config c = small_config(WN_MLP_RELU2);
    for (int h = 0; h < 2; h++) {
        char dir[512];
        size_t count;
        rig a, b;
        make_dir(dir, sizeof dir);
        open_f32(&a, &c, true, NULL, NULL);
        open_f32(&b, &c, false, NULL, NULL);
        wn__st_item *items = exported(&a, &count, 0);
        for (size_t i = 0; i < count; i++)
            items[i].as = halves[h];
        write_items(dir, items, count);
        OK(load_from(&b, dir));
        const wn_tensor *w = &wn__model_params(a.m)->item[0].w;
        const float *from = w->data, *to = wn__model_params(b.m)->item[0].w.data;
        for (int64_t i = 0; i < wn__tensor_count(w); i++)
            assert_true(to[i] == (h == 0 ? wn__bf16_to_f32(wn__bf16_from_f32(from[i]))
                                         : wn__f16_to_f32(wn__f16_from_f32(from[i]))));
        free(items);
        rig_close(&a);
        rig_close(&b);
        OK(wn__dir_remove(dir));
    }
}

// Writes items[0 .. count) and loads them into r.
static wn_status write_and_load(rig *r, const wn__st_item *items, size_t count) {
    char dir[512];
    make_dir(dir, sizeof dir);
    write_items(dir, items, count);
    wn_status status = load_from(r, dir);
    OK(wn__dir_remove(dir));
    return status;
}

static void refuses_other_checkpoints(void **state) {
    (void)state;
    const wn__model_config c = small_config(WN_MLP_RELU2);
    size_t count;
    rig r;
    open_f32(&r, &c, true, NULL, NULL);
    wn__st_item *items = exported(&r, &count, 2);
    wn__st_item last = items[count - 1];
    FAILS(write_and_load(&r, items, count - 1), WN_FORMAT, last.name);
    items[count] = (wn__st_item){.name = "model.layers.2.mlp.up_proj.weight", .view = last.view};
    FAILS(write_and_load(&r, items, count + 1), WN_FORMAT, "model.layers.2.mlp.up_proj.weight");
    items[count - 1].view = wn__tensor_slice(&last.view, 0, 0, 40);
    FAILS(write_and_load(&r, items, count), WN_INVALID, "F32 [40, 32]");
    FAILS(write_and_load(&r, items, count), WN_INVALID, "F32 [48, 32]");
    int32_t whole[48 * 32] = {0};
    items[count - 1].view = wn__tensor2(whole, WN_DTYPE_I32, 48, 32);
    FAILS(write_and_load(&r, items, count), WN_FORMAT, "is I32");
    items[count - 1] = last;
    float frequencies[4] = {0};
    items[count] = (wn__st_item){.name = "model.layers.0.self_attn.rotary_emb.inv_freq",
                                 .view = wn__tensor1(frequencies, WN_DTYPE_F32, 4)};
    OK(write_and_load(&r, items, count + 1)); // of no use, but common
    free(items);
    rig_close(&r);
}

static void a_tied_head_in_the_file_is_ignored(void **state) {
    (void)state;
    wn__model_config c = small_config(WN_MLP_RELU2);
    c.tied = true;
    size_t count;
    rig r;
    open_f32(&r, &c, true, NULL, NULL);
    wn__st_item *items = exported(&r, &count, 1);
    items[count] = (wn__st_item){.name = "lm_head.weight", .view = items[0].view};
    OK(write_and_load(&r, items, count + 1));
    free(items);
    rig_close(&r);
}

static void logits_of(rig *r, const int32_t *tokens, float *out) {
    const wn_tensor t = wn__tensor2(out, WN_DTYPE_F32, B * T, 48);
    OK(wn__model_feed(r->m, tokens, NULL, B, T));
    OK(wn__model_logits(r->m, &t));
}

static const wn__st_item *item_named(const wn__st_item *items, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(items[i].name, name) == 0) return &items[i];
    return NULL;
}

// The values of an item, made if need be; valid until the next is made.
static wn_tensor values_of(const wn__st_item *item) {
    wn_tensor out = item->view;
    if (item->make != NULL) OK(item->make(item->ctx, item->which, &out));
    return out;
}

// What a 2:4 model writes: zeros at masked places, the rest bit for bit; the masters and gradients
// stay; a model that reads it back and chooses masks itself multiplies by the same weights.
static void check_export(const char *rule, unsigned pattern, bool training) {
    const wn__model_config c = small_config(WN_MLP_SWIGLU);
    int32_t tokens[B * T];
    float a[B * T * 48], b[B * T * 48];
    size_t count;
    rig r, s;
    random_tokens(tokens, B * T, 48, 4);
    open_f32(&r, &c, training, rule, NULL);
    open_f32(&s, &c, false, rule, NULL);
    wn__st_item *items = exported(&r, &count, 0);
    const wn__param *gate =
        wn__params_find(wn__model_params(r.m), "model.layers.1.mlp.gate_proj.weight");
    static float master[48 * 32];
    memcpy(master, gate->w.data, sizeof master);
    int64_t zeros = 0;
    for (size_t i = 0; i < count; i++) {
        if (strstr(items[i].name, "mlp.") == NULL) continue;
        const wn_tensor values = values_of(&items[i]);
        OK(wn__pattern24_check_matrix(&values, pattern));
        if (strcmp(items[i].name, gate->name) != 0) continue;
        assert_int_equal(values.data == gate->w.data, !training);
        const float *merged = values.data;
        for (int64_t j = 0; j < 48 * 32; j++) {
            zeros += merged[j] == 0;
            assert_true(merged[j] == 0 ? !signbit(merged[j]) : merged[j] == master[j]);
        }
    }
    assert_int_equal(zeros, 48 * 32 / 2);
    if (training) assert_memory_equal(master, gate->w.data, sizeof master);
    OK(wn__model_init(s.m, 18)); // its masks have nothing to do with the weights that come
    OK(wn__model_prepare(s.m, 0));
    OK(write_and_load(&s, items, count));
    OK(wn__model_prepare(s.m, 0));
    logits_of(&r, tokens, a);
    logits_of(&s, tokens, b);
    assert_memory_equal(a, b, sizeof a);
    free(items);
    rig_close(&r);
    rig_close(&s);
}

static void exports_merged_weights(void **state) {
    (void)state;
    check_export("mlp.*=2:4:tile", WN_PATTERN24_EXACT | WN_PATTERN24_TRANSPOSABLE, true);
    check_export("mlp.*=2:4:tile", WN_PATTERN24_EXACT | WN_PATTERN24_TRANSPOSABLE, false);
    check_export("mlp.*=2:4:row", WN_PATTERN24_EXACT, true);
}

// Of any structure a dense model loads what was exported and computes what was computed, but for
// the order of sums; nothing of the structure shows in the names.
static void exports_what_dense_models_load(void **state) {
    (void)state;
    static const char *const rules[] = {"*_proj=2:4:sste",       "*_proj=lowrank:6",
                                        "*_proj=lowrank:8+2:4",  "*_proj=lowrank:8+2:4:in",
                                        "*_proj=adapter:4:8",    "mlp.*=2:4:tile",
                                        "lm_head=lowrank:8+2:4", "*_proj=lowrank:40",
                                        "*_proj=in2:4:soft"}; // prunes nothing before training
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        wn__model_config c = small_config(WN_MLP_SWIGLU);
        c.qkv_bias = true;
        int32_t tokens[B * T];
        float a[B * T * 48], b[B * T * 48];
        size_t count;
        rig r, dense;
        random_tokens(tokens, B * T, 48, 4);
        open_f32(&r, &c, true, rules[i], NULL);
        open_f32(&dense, &c, false, NULL, NULL);
        wn__st_item *items = exported(&r, &count, 0);
        assert_int_equal(count, wn__model_params(dense.m)->count);
        for (size_t j = 0; j < count; j++)
            assert_non_null(wn__params_find(wn__model_params(dense.m), items[j].name));
        OK(write_and_load(&dense, items, count));
        OK(wn__model_prepare(dense.m, 0));
        logits_of(&r, tokens, a);
        logits_of(&dense, tokens, b);
        const wn_tensor ta = wn__tensor1(a, WN_DTYPE_F32, B * T * 48),
                        tb = wn__tensor1(b, WN_DTYPE_F32, B * T * 48);
        assert_true(relative_error(&ta, &tb) < 1e-5);
        free(items);
        rig_close(&r);
        rig_close(&dense);
    }
}

// A dense checkpoint in factors of full rank, and under an adapter, is the model it was; S-STE
// takes it for its master.
static void factors_take_a_checkpoint_over(void **state) {
    (void)state;
    static const char *const rules[] = {"*_proj=lowrank:32", "*_proj=adapter:4:8",
                                        "lm_head=lowrank:32"};
    const wn__model_config c = small_config(WN_MLP_SWIGLU);
    int32_t tokens[B * T];
    float a[B * T * 48], b[B * T * 48];
    size_t count;
    rig dense;
    random_tokens(tokens, B * T, 48, 4);
    open_f32(&dense, &c, true, NULL, NULL);
    wn__st_item *items = exported(&dense, &count, 1);
    logits_of(&dense, tokens, a);
    for (int i = 0; i < 3; i++) {
        rig r;
        open_f32(&r, &c, true, rules[i], NULL);
        wn__model_pass(r.m)->seed = 5;
        OK(write_and_load(&r, items, count));
        OK(wn__model_prepare(r.m, 0));
        logits_of(&r, tokens, b);
        const wn_tensor ta = wn__tensor1(a, WN_DTYPE_F32, B * T * 48),
                        tb = wn__tensor1(b, WN_DTYPE_F32, B * T * 48);
        assert_true(relative_error(&tb, &ta) < 1e-5);
        rig_close(&r);
    }
    // Factors are no part of a checkpoint, their product is.
    rig r;
    open_f32(&r, &c, true, "up_proj=lowrank:4", NULL);
    wn__st_item *last = &items[count];
    *last = *item_named(items, count, "model.norm.weight");
    last->name = "model.layers.0.mlp.up_proj.weight_in";
    FAILS(write_and_load(&r, items, count + 1), WN_FORMAT, "up_proj.weight_in");
    for (size_t i = 0; i < count; i++)
        if (strcmp(items[i].name, "model.layers.1.mlp.up_proj.weight") == 0)
            items[i].name = "model.layers.1.mlp.up_proj.wait";
    FAILS(write_and_load(&r, items, count), WN_FORMAT, "up_proj.wait");
    free(items);
    rig_close(&r);
    rig_close(&dense);
}

static void missing_weights_of_factors_are_named(void **state) {
    (void)state;
    const wn__model_config c = small_config(WN_MLP_SWIGLU);
    size_t count;
    rig r, dense;
    open_f32(&r, &c, true, "up_proj=lowrank:4", NULL);
    open_f32(&dense, &c, true, NULL, NULL);
    wn__st_item *items = exported(&dense, &count, 0), *up = NULL;
    for (size_t i = 0; i < count; i++)
        if (strcmp(items[i].name, "model.layers.1.mlp.up_proj.weight") == 0) up = &items[i];
    const wn__st_item gone = *up;
    *up = items[count - 1];
    FAILS(write_and_load(&r, items, count - 1), WN_FORMAT, gone.name);
    *up = gone;
    float narrow[48 * 16] = {0};
    *up = (wn__st_item){.name = gone.name, .view = wn__tensor2(narrow, WN_DTYPE_F32, 48, 16)};
    FAILS(write_and_load(&r, items, count), WN_INVALID, "F32 [48, 16]");
    FAILS(write_and_load(&r, items, count), WN_INVALID, "F32 [48, 32]");
    free(items);
    rig_close(&r);
    rig_close(&dense);
}

// Layers, and the standard deviation that xavier gives them: sqrt(4r/((in+r)(out+r))), smallest
// where the sizes are largest.
static void init_reports_the_weights(void **state) {
    (void)state;
    const wn__model_config c = small_config(WN_MLP_SWIGLU);
    rig r;
    open_f32(&r, &c, true, "*_proj=lowrank:16", NULL);
    OK(wn__model_init(r.m, 3));
    OK(wn__model_init(r.m, 4)); // is not added to the first
    const wn__init_report *report = wn__model_init_report(r.m);
    assert_int_equal(report->layers, 14);
    double mlp = sqrt(4 * 16.0 / (48.0 * 64.0)), kv = sqrt(4 * 16.0 / (48.0 * 32.0));
    assert_true(fabs(report->least / mlp - 1) < 0.1 && fabs(report->most / kv - 1) < 0.15);
    assert_int_equal(wn__model_pass(r.m)->seed, 4);
    rig_close(&r);
    open_f32(&r, &c, true, "*_proj=adapter:4", NULL);
    OK(wn__model_init(r.m, 3));
    assert_int_equal(wn__model_init_report(r.m)->layers, 0);
    rig_close(&r);
}

// Parameters of dense layers are drawn by their number, those that follow factors by theirs.
static void init_is_a_function_of_numbers(void **state) {
    (void)state;
    const wn__model_config c = small_config(WN_MLP_SWIGLU);
    rig r;
    open_f32(&r, &c, true, "layers.1.mlp.up_proj=lowrank:4", NULL);
    OK(wn__model_init(r.m, 3));
    const wn__params *p = wn__model_params(r.m);
    for (size_t i = 0; i < p->count; i++) {
        float four[4];
        const float *w = p->item[i].w.data;
        bool into = strstr(p->item[i].name, "o_proj") || strstr(p->item[i].name, "down_proj");
        if (p->item[i].w.ndim != 2 || strstr(p->item[i].name, "weight_")) continue;
        wn__philox_normal(3, WN_STREAM_INIT + i, 0, four);
        for (int j = 0; j < 4; j++)
            assert_true(fabs((double)w[j] - 0.08 / (into ? 2 : 1) * (double)four[j]) < 1e-8);
    }
    rig_close(&r);
}

static void steps(rig *r, int64_t from, int64_t to, double *losses) {
    const step_options o = {.lr = 0.02, .max_norm = 1.0};
    int32_t tokens[B * T];
    for (int64_t step = from; step < to; step++) {
        double norm;
        random_tokens(tokens, B * T, 48, (uint64_t)step + 1);
        OK(wn__model_feed(r->m, tokens, tokens, B, T));
        train_step(r->m, &o, step, &losses[step], &norm);
    }
}

// Every state of one model into another.
static void copy_states(rig *from, rig *to) {
    wn__st_item *a, *b;
    size_t n, k;
    OK(wn__model_states(from->m, &a, &n));
    OK(wn__model_states(to->m, &b, &k));
    assert_int_equal(n, k);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(a[i].name, b[i].name);
        assert_true(wn__tensor_same_shape(&a[i].view, &b[i].view));
        memcpy(b[i].view.data, a[i].view.data, wn__tensor_bytes(&a[i].view));
    }
    OK(wn__model_states_loaded(to->m));
    *wn__model_pass(to->m) = *wn__model_pass(from->m); // which a trainer keeps
    free(a);
    free(b);
}

// Stops where the masks are older than the masters, so that choosing them anew would show.
static void check_resume(const char *rule, int64_t mask_every) {
    const wn__model_config c = small_config(WN_MLP_SWIGLU);
    wn__structure base = default_structure();
    base.mask_every = mask_every;
    base.decay = 1e-3;
    base.dense_after = mask_every == 4 ? 6 : 0;
    double through[8], resumed[8];
    rig a, b;
    open_f32(&a, &c, true, rule, &base);
    open_f32(&b, &c, true, rule, &base);
    OK(wn__model_init(a.m, 1));
    OK(wn__model_prepare(a.m, 0));
    steps(&a, 0, 5, through);
    copy_states(&a, &b);
    steps(&a, 5, 8, through);
    steps(&b, 5, 8, resumed);
    assert_memory_equal(through + 5, resumed + 5, 3 * sizeof *through);
    same_parameters(&a, &b);
    rig_close(&a);
    rig_close(&b);
}

static void training_goes_on_from_states(void **state) {
    (void)state;
    check_resume(NULL, 1);
    check_resume("mlp.*=2:4:tile", 4);
    check_resume("*=2:4:row", 3);
    check_resume("mlp.*=2:4:tile+mvue", 4); // dense from update 6 on
    check_resume("*=2:4:sste+mvue", 1);
    check_resume("*_proj=lowrank:6+2:4+mvue-approx", 1);
    check_resume("*=lowrank:4", 1);
    check_resume("*_proj=adapter:4:8", 1);
    check_resume("*=in2:4:soft", 1);
    check_resume("*_proj=in2:4:mvue+mvue-approx", 1);
}

static bool has_state(const wn__st_item *items, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(items[i].name, name) == 0) return true;
    return false;
}

static void states_are_named(void **state) {
    (void)state;
    const wn__model_config c = small_config(WN_MLP_RELU2);
    wn__st_item *items;
    size_t count, params;
    rig r;
    open_f32(&r, &c, true, "up_proj=2:4", NULL);
    params = wn__model_params(r.m)->count;
    OK(wn__model_states(r.m, &items, &count));
    assert_int_equal(count, 3 * params + 2 + 1); // and the counts of updates
    assert_true(has_state(items, count, "optimizer.updates"));
    assert_true(has_state(items, count, "model.layers.1.mlp.up_proj.weight"));
    assert_true(has_state(items, count, "model.layers.1.mlp.up_proj.weight.m"));
    assert_true(has_state(items, count, "model.norm.weight.v"));
    assert_true(has_state(items, count, "model.layers.1.mlp.up_proj.mask"));
    // An illegal mask is refused and its layer named.
    for (size_t i = 0; i < count; i++)
        if (strstr(items[i].name, "layers.1.mlp.up_proj.mask")) memset(items[i].view.data, 7, 1);
    FAILS(wn__model_states_loaded(r.m), WN_INVALID, "model.layers.1.mlp.up_proj");
    free(items);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_what_was_exported),
        cmocka_unit_test(loads_half_precision),
        cmocka_unit_test(refuses_other_checkpoints),
        cmocka_unit_test(a_tied_head_in_the_file_is_ignored),
        cmocka_unit_test(exports_merged_weights),
        cmocka_unit_test(exports_what_dense_models_load),
        cmocka_unit_test(factors_take_a_checkpoint_over),
        cmocka_unit_test(missing_weights_of_factors_are_named),
        cmocka_unit_test(init_reports_the_weights),
        cmocka_unit_test(init_is_a_function_of_numbers),
        cmocka_unit_test(training_goes_on_from_states),
        cmocka_unit_test(states_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
