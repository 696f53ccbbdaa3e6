// SPDX-License-Identifier: MIT
// Each thing that can be wrong with a model directory is found, named, and counted beside the
// others; a sound one has no problem.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/prune/model_dirs.h"
#include "winnow/prune.h"
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define UP       "model.layers.0.mlp.up_proj"
#define DOWN     "model.layers.1.mlp.down_proj"
#define INDEX    "model.safetensors.index.json"

typedef struct seen {
    char problems[4096]; /* "name: problem\n" */
    size_t items, is24, transposed, recorded;
    bool files;
} seen;

static void see(void *ctx, const wn_validate_item *i) {
    seen *s = ctx;
    s->items++;
    s->is24 += i->is24;
    s->transposed += i->is24_transposed;
    s->recorded += i->recorded != NULL;
    for (size_t p = 0; p < i->problems; p++) {
        size_t used = strlen(s->problems);
        (void)snprintf(s->problems + used, sizeof s->problems - used, "%s: %s\n",
                       i->name != NULL ? i->name : "", i->problem[p]);
    }
}

static wn_validate_result validate(const char *dir, seen *s) {
    wn_validate_result r;
    *s = (seen){.items = 0};
    OK(wn_validate(dir, 2, see, s, &r));
    return r;
}

static void expect(const char *dir, size_t problems, const char *const *text, size_t texts) {
    seen s;
    wn_validate_result r = validate(dir, &s);
    for (size_t i = 0; i < texts; i++)
        if (strstr(s.problems, text[i]) == NULL)
            fail_msg("'%s' is not in\n%s", text[i], s.problems);
    if (r.problems != problems) fail_msg("%zu problems:\n%s", r.problems, s.problems);
}

static void expect_one(const char *dir, const char *text) {
    expect(dir, 1, &text, 1);
}

static const char *pruned(void *const *state, const char *pattern) {
    const wn__model_config c = small_config();
    const char *model = make_model(state, "m", &c, WN_DTYPE_BF16, 1500, NULL),
               *out = scratch_path(state, "p");
    const wn_prune_options o = {.out = out, .pattern = pattern, .force = true};
    wn_prune_result r;
    OK(wn_prune(model, &o, NULL, NULL, &r));
    return out;
}

static void sound_models_are_valid(void **state) {
    const wn__model_config c = small_config();
    seen s;
    wn_validate_result r = validate(make_model(state, "d", &c, WN_DTYPE_F16, 0, NULL), &s);
    assert_true(r.problems == 0 && r.tensors == 21 && r.linear_layers == 15);
    assert_true(r.sparse_layers == 0 && r.recorded == 0 && s.items == 21 && s.is24 == 0);
    r = validate(pruned(state, "row"), &s);
    assert_true(r.problems == 0 && r.sparse_layers == 14 && r.recorded == 14);
    assert_true(s.is24 == 14 && s.transposed == 0 && s.recorded == 14);
    r = validate(pruned(state, "tile"), &s);
    assert_true(r.problems == 0 && s.is24 == 14 && s.transposed == 14);
}

// The layers are found without a record too.
static void patterns_need_no_record(void **state) {
    const wn__model_config c = small_config();
    const char *dir = pruned(state, "row");
    OK(wn__hf_config_write(dir, &c));
    seen s;
    wn_validate_result r = validate(dir, &s);
    assert_true(r.problems == 0 && r.sparse_layers == 14 && r.recorded == 0);
}

static void claim(const char *dir, const char *layer, const char *method) {
    const wn__model_config c = small_config();
    wn__hf_sparse weight = {.method = method, .input = true};
    (void)snprintf(weight.layer, sizeof weight.layer, "%s", layer);
    const wn__hf_sparsity s = {.weight = &weight, .weights = 1};
    OK(wn__hf_config_write_sparse(dir, &c, &s));
}

static void claims_are_checked(void **state) {
    const wn__model_config c = small_config();
    const char *dir = make_model(state, "d", &c, WN_DTYPE_NONE, 0, NULL);
    claim(dir, UP, "row");
    expect_one(dir,
               UP ".weight: config.json says 2:4 row, but row 0, group 0 (columns 0 to 3) has");
    dir = pruned(state, "row");
    claim(dir, DOWN, "tile");
    expect_one(dir, DOWN ".weight: config.json says 2:4 tile, but column");
    claim(dir, DOWN, "row");
    expect(dir, 0, NULL, 0);
}

// 2:4 along the outputs: what a wrong axis gives.
static void turn(const char *tensor, wn_tensor *view) {
    if (strcmp(tensor, UP ".weight") != 0) return;
    float *w = view->data;
    for (int64_t i = 0; i < 24; i++)
        for (int64_t j = 0; j < 16; j++)
            w[i * 16 + j] = i % 4 < 2 ? 1.0F : 0.0F;
}

static void the_wrong_axis_is_told(void **state) {
    const wn__model_config c = small_config();
    const char *dir = make_model(state, "d", &c, WN_DTYPE_NONE, 0, turn);
    claim(dir, UP, "row");
    expect_one(dir, "it is 2:4 along columns, the other way round");
}

#define NORM "model.layers.1.input_layernorm.weight"

static void spoil(const char *tensor, wn_tensor *view) {
    float *w = view->data;
    if (strcmp(tensor, "model.norm.weight") == 0) w[7] = NAN;
    if (strcmp(tensor, UP ".weight") == 0) w[40] = w[41] = INFINITY;
    if (strcmp(tensor, DOWN ".weight") == 0) *view = wn__tensor2(w, WN_DTYPE_F32, 8, 48);
    if (strcmp(tensor, NORM) == 0) *view = wn__tensor2(w, WN_DTYPE_F32, 16, 1);
    if (strcmp(tensor, "lm_head.weight") == 0) *view = wn__tensor2(w, WN_DTYPE_I32, 19, 16);
}

static void every_reason_is_given(void **state) {
    static const char *const want[] = {
        "model.norm.weight: 1 of 16 values are NaN or infinite, the first at row 0, column 7",
        UP ".weight: 2 of 384 values are NaN or infinite, the first at row 2, column 8",
        DOWN ".weight: shape [8, 48], the configuration says [16, 24]",
        NORM ": shape [16, 1], the configuration says [16]",
        "lm_head.weight: dtype I32; weights are F64, F32, BF16 or F16"};
    const wn__model_config c = small_config();
    expect(make_model(state, "d", &c, WN_DTYPE_NONE, 2000, spoil), 5, want, COUNT(want));
}

static void names_are_those_of_the_configuration(void **state) {
    static const char *const want[] = {"model.layers.2.input_layernorm.weight: is missing",
                                       "model.layers.2.mlp.up_proj.weight: is",
                                       "model.layers.2.self_attn.q_proj.bias: is missing"};
    wn__model_config c = small_config();
    const char *dir = make_model(state, "d", &c, WN_DTYPE_NONE, 0, NULL);
    c.layers = 3;
    c.qkv_bias = c.o_bias = true;
    OK(wn__hf_config_write(dir, &c));
    expect(dir, 9 + 12, want, COUNT(want));
    // a tied head that is there all the same is fine, one of another model is not
    c = small_config();
    c.tied = true;
    OK(wn__hf_config_write(dir, &c));
    expect(dir, 0, NULL, 0);
    c.mlp = WN_MLP_RELU2;
    c.tied = false;
    OK(wn__hf_config_write(dir, &c));
    expect(dir, 2, (const char *const[]){"gate_proj.weight: belongs to no part"}, 1);
}

static void cut(const char *path, uint64_t by) {
    uint64_t size;
    OK(wn__file_size(path, &size));
    assert_int_equal(truncate(path, (off_t)(size - by)), 0);
}

// Replaces the first `from` in a file.
static void edit(const char *path, const char *from, const char *to) {
    char *text, out[16384];
    size_t n;
    OK(wn__file_read(path, sizeof out / 2, &text, &n));
    const char *at = strstr(text, from);
    assert_non_null(at);
    (void)snprintf(out, sizeof out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    free(text);
    OK(wn__file_write(path, out, strlen(out)));
}

static void files_that_disagree_are_named(void **state) {
    const wn__model_config c = small_config();
    const char *dir = make_model(state, "d", &c, WN_DTYPE_NONE, 3000, NULL),
               *index = scratch_path(state, "d/" INDEX);
    expect(dir, 0, NULL, 0);
    edit(index, "model.norm.weight", "model.morm.weight");
    expect_one(dir, ": tensor 'model.morm.weight' is not in model-00");
    dir = make_model(state, "e", &c, WN_DTYPE_NONE, 3000, NULL);
    wn__names names;
    OK(wn__dir_list(dir, &names));
    const char *shard = NULL;
    for (size_t i = 0; i < names.count; i++)
        if (strncmp(names.name[i], "model-00002", 11) == 0) shard = names.name[i];
    assert_non_null(shard);
    char path[700];
    (void)snprintf(path, sizeof path, "%s/%s", dir, shard);
    cut(path, 4);
    expect_one(dir, "bytes of data, but the tensors take");
    assert_int_equal(unlink(path), 0);
    expect_one(dir, "No such file");
    wn__names_free(&names);
}

// Opening does not need the total; a file that wins over an index does not make it true.
static void an_index_is_checked_whole(void **state) {
    const wn__model_config c = small_config();
    const char *dir = make_model(state, "d", &c, WN_DTYPE_NONE, 3000, NULL),
               *index = scratch_path(state, "d/" INDEX);
    char total[64], real[64], wrong[64], want[128];
    wn__hf_weights *w;
    unsigned long long bytes = 0;
    OK(wn__hf_weights_open(dir, &w));
    for (size_t i = 0; i < wn__hf_weights_count(w); i++) {
        wn_tensor view;
        wn__hf_weights_at(w, i, NULL, &view, NULL);
        bytes += wn__tensor_bytes(&view);
    }
    wn__hf_weights_close(w);
    (void)snprintf(total, sizeof total, "\"total_size\": %llu", bytes);
    (void)snprintf(real, sizeof real, "\"total_size\": %llu.0", bytes);
    (void)snprintf(wrong, sizeof wrong, "\"total_size\": %llu", bytes + 4);
    edit(index, total, real);
    expect(dir, 0, NULL, 0);
    edit(index, real, wrong);
    (void)snprintf(want, sizeof want, "'total_size' is %llu, but the tensors have %llu bytes",
                   bytes + 4, bytes);
    expect_one(dir, want);
    edit(index, wrong, "\"total_size\": \"large\"");
    expect_one(dir, "'total_size': expected a number, found a string");
    edit(index, "\"total_size\"", "\"other\"");
    expect(dir, 0, NULL, 0);
    // A single file beside it holds all of them: not where the index says.
    const char *single = make_model(state, "e", &c, WN_DTYPE_NONE, 0, NULL);
    char from[700], to[700];
    (void)snprintf(from, sizeof from, "%s/model.safetensors", single);
    (void)snprintf(to, sizeof to, "%s/model.safetensors", dir);
    assert_int_equal(rename(from, to), 0);
    expect_one(dir, ", but is in model.safetensors");
    assert_int_equal(unlink(index), 0);
    expect(dir, 0, NULL, 0);
}

static void a_directory_that_says_nothing(void **state) {
    const wn__model_config c = small_config();
    const char *dir = make_model(state, "d", &c, WN_DTYPE_NONE, 0, NULL);
    wn_validate_result r;
    assert_int_equal(wn_validate(scratch_path(state, "absent"), 1, NULL, NULL, &r), WN_IO);
    assert_non_null(strstr(wn_last_error(), "absent"));
    const char *config = scratch_path(state, "d/config.json");
    OK(wn__file_write(config, "{\"architectures\":[\"LlamaForCausalLM\"]}", 38));
    expect_one(dir, "config.json");
    OK(wn__hf_config_write(dir, &c));
    edit(config, "{", "{\"winnow\":{\"weight_sparsity\":[{\"layer\":\"nowhere\"}]},");
    assert_int_equal(unlink(scratch_path(state, "d/model.safetensors")), 0);
    expect(dir, 2,
           (const char *const[]){"'weight_sparsity' [0]: 'layer' is 'nowhere'",
                                 "neither model.safetensors nor"},
           2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(sound_models_are_valid),
        TEST(patterns_need_no_record),
        TEST(claims_are_checked),
        TEST(the_wrong_axis_is_told),
        TEST(an_index_is_checked_whole),
        TEST(every_reason_is_given),
        TEST(names_are_those_of_the_configuration),
        TEST(files_that_disagree_are_named),
        TEST(a_directory_that_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
