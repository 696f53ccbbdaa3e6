// SPDX-License-Identifier: MIT
// Pruning a directory: what is kept against masks by search, every other bit the same, dtypes and
// shards as they were; and what is refused leaves nothing behind.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/prune/model_dirs.h"
#include "winnow/prune.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define UP       "model.layers.0.mlp.up_proj"

static bool is_projection(const char *tensor) {
    return strstr(tensor, "_proj.weight") != NULL;
}

typedef struct seen {
    size_t layers;
    wn_prune_layer up;
} seen;

static void see(void *ctx, const wn_prune_layer *l) {
    seen *s = ctx;
    s->layers++;
    if (strcmp(l->name, UP) == 0) s->up = *l;
}

static wn_status prune_to(const char *model, const char *out, const char *pattern,
                          wn_prune_result *r, seen *s) {
    const wn_prune_options o = {.out = out, .pattern = pattern, .threads = 2};
    return wn_prune(model, &o, see, s, r);
}

// ---- what is written ----

typedef bool keeps_fn(const wn_tensor *w, int64_t i, int64_t j);

static void compare_pruned(const char *name, const stored *before, const stored *after,
                           keeps_fn *keeps) {
    size_t width = wn_dtype_size(before->view.dtype);
    static const char zero[8];
    for (int64_t i = 0; i < before->view.shape[0]; i++)
        for (int64_t j = 0; j < before->view.shape[1]; j++) {
            size_t at = (size_t)wn__at(&before->view, i, j) * width;
            const char *want = keeps(&before->view, i, j) ? before->bytes + at : zero;
            if (memcmp(after->bytes + at, want, width) != 0)
                fail_msg("%s: row %d, column %d", name, (int)i, (int)j);
        }
}

static void compare_models(const char *before, const char *after, keeps_fn *keeps) {
    wn__hf_weights *a, *b;
    OK(wn__hf_weights_open(before, &a));
    OK(wn__hf_weights_open(after, &b));
    assert_int_equal(wn__hf_weights_count(a), wn__hf_weights_count(b));
    assert_int_equal(wn__hf_weights_files(a), wn__hf_weights_files(b));
    for (size_t i = 0; i < wn__hf_weights_count(a); i++) {
        const char *name, *file, *same;
        wn_tensor view;
        wn__hf_weights_at(a, i, &name, &view, &file);
        assert_true(wn__hf_weights_locate(b, name, &view, &same));
        assert_string_equal(strrchr(file, '/'), strrchr(same, '/'));
        stored x = load(a, name), y = load(b, name);
        assert_int_equal(x.view.dtype, y.view.dtype);
        assert_int_equal(x.size, y.size);
        if (is_projection(name))
            compare_pruned(name, &x, &y, keeps);
        else
            assert_memory_equal(x.bytes, y.bytes, x.size);
        free(x.bytes);
        free(y.bytes);
    }
    wn__hf_weights_close(a);
    wn__hf_weights_close(b);
}

static void keeps_what_it_should(void **state) {
    static const wn_dtype dtypes[] = {WN_DTYPE_F32, WN_DTYPE_BF16, WN_DTYPE_F16};
    const wn__model_config c = small_config();
    for (size_t i = 0; i < 4 * COUNT(dtypes); i++) {
        char name[32], out[32];
        bool tile = i % 2 == 1, shards = i % 4 >= 2;
        (void)snprintf(name, sizeof name, "m%zu", i);
        (void)snprintf(out, sizeof out, "p%zu", i);
        const char *model = make_model(state, name, &c, dtypes[i / 4], shards ? 900 : 0, NULL),
                   *to = scratch_path(state, out);
        wn_prune_result r;
        seen s = {0};
        OK(prune_to(model, to, tile ? "tile" : "row", &r, &s));
        compare_models(model, to, tile ? tile_keeps : row_keeps);
        assert_int_equal(s.layers, 14);
        assert_int_equal(r.layers, 14);
        assert_int_equal(r.linear_layers, 15);
        assert_true(shards ? r.files > 2 : r.files == 1);
        assert_true(r.zeros >= 0.5 && r.zeros_before < 0.1);
        assert_int_equal(r.dense_bytes * 2, (uint64_t)r.weights * 2 * wn_dtype_size(dtypes[i / 4]));
        assert_int_equal(r.packed_bytes, r.dense_bytes / 2 + (uint64_t)r.weights / 8);
    }
}

static void sums_are_those_of_the_weight(void **state) {
    const wn__model_config c = small_config();
    const char *model = make_model(state, "m", &c, WN_DTYPE_NONE, 0, NULL);
    double all = 0, kept = 0, energy = 0, kept_energy = 0;
    wn_prune_result r;
    seen s = {0};
    OK(prune_to(model, scratch_path(state, "p"), NULL, &r, &s));
    wn__hf_weights *w;
    OK(wn__hf_weights_open(model, &w));
    stored x = load(w, UP ".weight");
    for (int64_t i = 0; i < 24; i++)
        for (int64_t j = 0; j < 16; j++) {
            double v = fabs(wn__get(&x.view, wn__at(&x.view, i, j)));
            bool keep = row_keeps(&x.view, i, j);
            all += v;
            energy += v * v;
            kept += keep ? v : 0;
            kept_energy += keep ? v * v : 0;
        }
    free(x.bytes);
    wn__hf_weights_close(w);
    // multiples of 2^-6 and 2^-12: every sum is exact
    assert_true(s.up.magnitude == kept / all && s.up.energy == kept_energy / energy);
    assert_true(s.up.out == 24 && s.up.in == 16 && s.up.dense_bytes == 1536);
}

// Sums of huge doubles are no doubles, squares of tiny ones vanish; shares are what they are.
static void scale_up(const char *tensor, wn_tensor *view, int exponent) {
    if (strcmp(tensor, UP ".weight") != 0) return;
    int64_t count = view->shape[0] * view->shape[1];
    double *v = malloc((size_t)count * sizeof *v);
    assert_non_null(v);
    for (int64_t i = 0; i < count; i++)
        v[i] = ldexp((double)((const float *)view->data)[i], exponent);
    free(view->data);
    *view = wn__tensor2(v, WN_DTYPE_F64, view->shape[0], view->shape[1]);
}

static void make_huge(const char *tensor, wn_tensor *view) {
    scale_up(tensor, view, 1024);
}

static void make_tiny(const char *tensor, wn_tensor *view) {
    scale_up(tensor, view, -1060);
}

static void shares_are_finite(void **state) {
    const wn__model_config c = small_config();
    const char *plain = make_model(state, "m", &c, WN_DTYPE_NONE, 0, NULL),
               *huge = make_model(state, "huge", &c, WN_DTYPE_NONE, 0, make_huge),
               *tiny = make_model(state, "tiny", &c, WN_DTYPE_NONE, 0, make_tiny);
    wn_prune_result r;
    seen a = {0}, b = {0}, d = {0};
    OK(prune_to(plain, scratch_path(state, "p1"), "row", &r, &a));
    OK(prune_to(huge, scratch_path(state, "p2"), "row", &r, &b));
    // beside it the other layers are nothing
    assert_true(r.magnitude == a.up.magnitude && r.energy == a.up.energy);
    compare_models(huge, scratch_path(state, "p2"), row_keeps);
    OK(prune_to(tiny, scratch_path(state, "p3"), "row", &r, &d));
    assert_true(r.magnitude > 0.5 && r.magnitude < 1 && r.energy > 0.5 && r.energy < 1);
    compare_models(tiny, scratch_path(state, "p3"), row_keeps);
    assert_string_equal(b.up.dtype, "F64");
    assert_true(b.up.magnitude == a.up.magnitude && b.up.energy == a.up.energy);
    assert_true(d.up.magnitude == a.up.magnitude && d.up.energy == a.up.energy);
}

static void expect_same_directories(const char *a, const char *b) {
    wn__names x, y;
    OK(wn__dir_list(a, &x));
    OK(wn__dir_list(b, &y));
    assert_int_equal(x.count, y.count);
    for (size_t i = 0; i < x.count; i++) {
        char left[700], right[700];
        assert_string_equal(x.name[i], y.name[i]);
        (void)snprintf(left, sizeof left, "%s/%s", a, x.name[i]);
        (void)snprintf(right, sizeof right, "%s/%s", b, y.name[i]);
        assert_same_files(left, right);
    }
    wn__names_free(&x);
    wn__names_free(&y);
}

// Pruning what is pruned changes nothing, however many threads there are.
static void twice_is_once(void **state) {
    static const char *const patterns[] = {"row", "tile"};
    const wn__model_config c = small_config();
    const char *model = make_model(state, "m", &c, WN_DTYPE_BF16, 1200, NULL);
    for (size_t i = 0; i < COUNT(patterns); i++) {
        const char *one = scratch_path(state, i ? "a1" : "b1"),
                   *two = scratch_path(state, i ? "a2" : "b2"),
                   *other = scratch_path(state, i ? "a3" : "b3");
        wn_prune_result r;
        seen s = {0};
        OK(prune_to(model, one, patterns[i], &r, &s));
        OK(prune_to(one, two, patterns[i], &r, &s));
        assert_true(r.magnitude == 1 && r.energy == 1);
        expect_same_directories(one, two);
        const wn_prune_options o = {.out = other, .pattern = patterns[i], .threads = 5};
        OK(wn_prune(model, &o, NULL, NULL, &r));
        expect_same_directories(one, other);
    }
}

// A second run adds to what is recorded; a layer left dense by a rule stays as it is.
static void rules_choose_layers(void **state) {
    const wn__model_config c = small_config();
    const char *model = make_model(state, "m", &c, WN_DTYPE_NONE, 0, NULL),
               *one = scratch_path(state, "p1"), *two = scratch_path(state, "p2");
    static const char *const first[] = {"mlp.*=2:4:row", "model.layers.1.*=dense"},
                             *const second[] = {"self_attn.q_proj=2:4:tile", "lm_head=2:4:row"};
    wn_prune_options o = {.out = one, .sparsity = first, .sparsity_count = 2};
    wn_prune_result r;
    OK(wn_prune(model, &o, NULL, NULL, &r));
    assert_int_equal(r.layers, 3);
    o = (wn_prune_options){.out = two, .sparsity = second, .sparsity_count = 2};
    OK(wn_prune(one, &o, NULL, NULL, &r));
    assert_int_equal(r.layers, 3);
    wn__hf_sparsity said;
    OK(wn__hf_sparsity_read(two, &c, &said));
    static const char *const want[][2] = {{"model.layers.0.self_attn.q_proj", "tile"},
                                          {"model.layers.0.mlp.gate_proj", "row"},
                                          {UP, "row"},
                                          {"model.layers.0.mlp.down_proj", "row"},
                                          {"model.layers.1.self_attn.q_proj", "tile"},
                                          {"lm_head", "row"}};
    assert_int_equal(said.weights, COUNT(want));
    for (size_t i = 0; i < COUNT(want); i++) {
        assert_string_equal(said.weight[i].layer, want[i][0]);
        assert_string_equal(said.weight[i].method, want[i][1]);
    }
    wn__hf_sparsity_free(&said);
    wn_validate_result v;
    OK(wn_validate(two, 2, NULL, NULL, &v));
    assert_int_equal(v.problems, 0);
    assert_int_equal(v.sparse_layers, 6);
}

// What a model says of itself is believed of no layer that is handed on.
static void only_true_claims_stay(void **state) {
    const wn__model_config c = small_config();
    const char *model = make_model(state, "m", &c, WN_DTYPE_BF16, 0, NULL),
               *one = scratch_path(state, "p1"), *two = scratch_path(state, "p2");
    static const char *const first[] = {"mlp.*=2:4:tile", "model.layers.*.mlp.up_proj=2:4:row",
                                        "model.layers.1.*=dense"},
                             *const second[] = {"self_attn.q_proj=2:4:row"};
    wn_prune_options o = {.out = one, .sparsity = first, .sparsity_count = 3};
    wn_prune_result r;
    OK(wn_prune(model, &o, NULL, NULL, &r));
    assert_int_equal(r.layers, 3);
    // true: a row of a tile; false: a tile of a row, and a dense one
    wn__hf_sparse claims[] = {
        {.layer = "model.layers.0.mlp.gate_proj", .input = true, .method = "row"},
        {.layer = UP, .input = true, .method = "tile"},
        {.layer = "model.layers.0.mlp.down_proj", .input = true, .method = "tile"},
        {.layer = "model.layers.1.mlp.up_proj", .input = true, .method = "row"}};
    const wn__hf_sparsity claimed = {.weight = claims, .weights = COUNT(claims)};
    OK(wn__hf_config_copy_sparse(model, one, &c, &claimed));
    o = (wn_prune_options){.out = two, .sparsity = second, .sparsity_count = 1};
    OK(wn_prune(one, &o, NULL, NULL, &r));
    static const char *const want[][2] = {{"model.layers.0.self_attn.q_proj", "row"},
                                          {"model.layers.0.mlp.gate_proj", "row"},
                                          {"model.layers.0.mlp.down_proj", "tile"},
                                          {"model.layers.1.self_attn.q_proj", "row"}};
    wn__hf_sparsity said;
    OK(wn__hf_sparsity_read(two, &c, &said));
    assert_int_equal(said.weights, COUNT(want));
    for (size_t i = 0; i < COUNT(want); i++) {
        assert_string_equal(said.weight[i].layer, want[i][0]);
        assert_string_equal(said.weight[i].method, want[i][1]);
    }
    wn__hf_sparsity_free(&said);
    wn_validate_result v;
    OK(wn_validate(two, 2, NULL, NULL, &v));
    assert_int_equal(v.problems, 0);
}

static void a_dry_run_writes_nothing(void **state) {
    const wn__model_config c = small_config();
    const char *model = make_model(state, "m", &c, WN_DTYPE_NONE, 0, NULL);
    wn_prune_options o = {.dry_run = true};
    wn_prune_result r, written;
    seen s = {0}, t = {0};
    OK(wn_prune(model, &o, see, &s, &r));
    OK(prune_to(model, scratch_path(state, "p"), NULL, &written, &t));
    assert_int_equal(s.layers, 14);
    assert_true(r.magnitude == written.magnitude && r.energy == written.energy);
    o.out = scratch_path(state, "q");
    OK(wn_prune(model, &o, NULL, NULL, &r));
    assert_false(wn__dir_exists(o.out));
}

// ---- what is refused ----

// Nothing but the model may be in the scratch directory.
static void expect_nothing_left(void **state) {
    wn__names names;
    OK(wn__dir_list(*state, &names));
    if (names.count != 1) fail_msg("%zu entries, %s", names.count, names.name[names.count - 1]);
    wn__names_free(&names);
}

static void put_nan(const char *tensor, wn_tensor *view) {
    if (strcmp(tensor, "model.layers.1.self_attn.v_proj.weight") == 0)
        ((float *)view->data)[3 * 16 + 5] = NAN;
}

static void put_infinity(const char *tensor, wn_tensor *view) {
    if (strcmp(tensor, UP ".weight") == 0) ((float *)view->data)[16] = -INFINITY;
}

// In the last column, after finite values whose sum is not.
static void put_infinity_last(const char *tensor, wn_tensor *view) {
    if (strcmp(tensor, UP ".weight") != 0) return;
    make_huge(tensor, view);
    ((double *)view->data)[24 * 16 - 1] = INFINITY;
}

static void reshape(const char *tensor, wn_tensor *view) {
    if (strcmp(tensor, UP ".weight") == 0) *view = wn__tensor2(view->data, WN_DTYPE_F32, 16, 24);
}

typedef struct refusal {
    wn_prune_options o;
    change_fn *change;
    const char *message;
} refusal;

static void what_cannot_be_is_named(void **state) {
    static const char *const none[] = {"nothing.*=2:4:row"}, *const greedy[] = {"mlp.*=2:4:greedy"},
                             *const act[] = {"mlp.act=act2:4"}, *const dense[] = {"*=dense"};
    const refusal cases[] = {
        {{.pattern = "row"},
         put_nan,
         "tensor 'model.layers.1.self_attn.v_proj.weight': NaN at row 3, column 5"},
        {{.pattern = "tile"}, put_infinity, "tensor '" UP ".weight': -inf at row 1, column 0"},
        {{.pattern = "row"}, put_infinity_last, "tensor '" UP ".weight': inf at row 23, column 15"},
        {{.pattern = "row"},
         reshape,
         "tensor '" UP ".weight' is F32 [16, 24], the configuration says [24, 16]"},
        {{.pattern = "greedy"}, NULL, "pattern 'greedy', expected row or tile"},
        {{.method = "wanda"}, NULL, "method 'wanda', expected magnitude"},
        {{.sparsity = none, .sparsity_count = 1},
         NULL,
         "'nothing.*=2:4:row' matches no layer; layers: model.layers.*.self_attn.q_proj"},
        {{.sparsity = greedy, .sparsity_count = 1},
         NULL,
         "'mlp.*=2:4:greedy': pruning makes dense, 2:4:row or 2:4:tile"},
        {{.sparsity = act, .sparsity_count = 1}, NULL, "pruning makes dense"},
        {{.sparsity = dense, .sparsity_count = 1}, NULL, "no layer of 15 is to be pruned"},
        {{.sparsity = dense, .sparsity_count = 1, .pattern = "row"}, NULL, "give one of the two"},
        {{.kernels = "mask24:nothing"}, NULL, "nothing"},
    };
    const wn__model_config c = small_config();
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *model = make_model(state, "m", &c, WN_DTYPE_NONE, 0, cases[i].change);
        wn_prune_options o = cases[i].o;
        wn_prune_result r;
        o.out = scratch_path(state, "p");
        wn_status status = wn_prune(model, &o, NULL, NULL, &r);
        if (status == WN_OK || strstr(wn_last_error(), cases[i].message) == NULL)
            fail_msg("case %zu: %s", i, status == WN_OK ? "accepted" : wn_last_error());
        expect_nothing_left(state);
    }
    wn_prune_result r;
    const wn_prune_options nowhere = {.pattern = "row"};
    assert_int_equal(wn_prune(scratch_path(state, "m"), &nowhere, NULL, NULL, &r), WN_INVALID);
}

static void sizes_are_multiples_of_four(void **state) {
    wn__model_config c = small_config();
    c.intermediate_size = 22;
    const char *model = make_model(state, "m", &c, WN_DTYPE_NONE, 0, NULL),
               *out = scratch_path(state, "p");
    wn_prune_result r;
    seen s = {0};
    assert_int_equal(prune_to(model, out, "row", &r, &s), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "model.layers.0.mlp.down_proj: 22 inputs"));
    assert_non_null(strstr(wn_last_error(), "nearest: 20 or 24"));
    assert_int_equal(prune_to(model, out, "tile", &r, &s), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "model.layers.0.mlp.gate_proj: 22 outputs"));
    expect_nothing_left(state);
    static const char *const rules[] = {"*_proj=2:4:row", "mlp.down_proj=dense"};
    const wn_prune_options o = {.out = out, .sparsity = rules, .sparsity_count = 2};
    OK(wn_prune(model, &o, NULL, NULL, &r));
    assert_int_equal(r.layers, 12);
}

static void expect_refused(const char *model, const char *out, bool force, const char *message) {
    const wn_prune_options o = {.out = out, .force = force};
    wn_prune_result r;
    wn_status status = wn_prune(model, &o, NULL, NULL, &r);
    if (status == WN_OK || strstr(wn_last_error(), message) == NULL)
        fail_msg("%s: %s", out, status == WN_OK ? "accepted" : wn_last_error());
}

static void places_are_guarded(void **state) {
    const wn__model_config c = small_config();
    const char *model = make_model(state, "m", &c, WN_DTYPE_NONE, 0, NULL);
    OK(wn__dir_make(scratch_path(state, "full")));
    OK(wn__file_write(scratch_path(state, "full/thesis.txt"), "dear", 4));
    OK(wn__file_write(scratch_path(state, "file"), "x", 1));
    assert_int_equal(symlink("full", scratch_path(state, "link")), 0);
    for (int force = 0; force < 2; force++) {
        expect_refused(model, model, force, "the model's own directory");
        expect_refused(model, scratch_path(state, "m/sub/deeper"), force, "own directory");
        expect_refused(model, scratch_path(state, "full/../m/sub"), force, "own directory");
        expect_refused(model, *state, force, "holds the model");
        expect_refused(model, scratch_path(state, "file"), force, "a file is there");
        expect_refused(model, scratch_path(state, "link"), force, "a symbolic link is there");
        expect_refused(model, scratch_path(state, "new/../p"), force, "'..' below a directory");
        expect_refused(model, "", force, "empty name");
        expect_refused(model, scratch_path(state, "file/p"), force, "file");
    }
    expect_refused(model, scratch_path(state, "full"), false, "is there; choose another");
    expect_refused(model, scratch_path(state, "full"), true, "not a model directory");
    assert_true(wn__file_exists(scratch_path(state, "full/thesis.txt")));
    assert_false(wn__dir_exists(scratch_path(state, "m/sub")));
    assert_false(wn__dir_exists(scratch_path(state, "new")));
}

// --force replaces a model, and only when the new one is whole.
static void force_replaces_a_model(void **state) {
    const wn__model_config c = small_config();
    const char *model = make_model(state, "m", &c, WN_DTYPE_NONE, 0, NULL),
               *bad = make_model(state, "bad", &c, WN_DTYPE_NONE, 0, put_nan),
               *out = scratch_path(state, "deep/down/p/");
    wn_prune_options o = {.out = out, .pattern = "row"};
    wn_prune_result r;
    OK(wn_prune(model, &o, NULL, NULL, &r));
    o.force = true;
    assert_int_equal(wn_prune(bad, &o, NULL, NULL, &r), WN_INVALID);
    compare_models(model, scratch_path(state, "deep/down/p"), row_keeps);
    o.pattern = "tile";
    OK(wn_prune(model, &o, NULL, NULL, &r));
    compare_models(model, scratch_path(state, "deep/down/p"), tile_keeps);
    wn__names names;
    OK(wn__dir_list(scratch_path(state, "deep/down"), &names));
    assert_int_equal(names.count, 1);
    wn__names_free(&names);
}

// Whatever prune does not make itself would be lost with the directory.
static void force_loses_nothing_else(void **state) {
    static const char *const kept[] = {"training.safetensors", "state.json", "README.md",
                                       "pytorch_model.bin", "pytorch_model.bin.index.json"},
                             *const fine[] = {"model-00001-of-00002.safetensors",
                                              "model.safetensors.index.json", "tokenizer.json",
                                              "LICENSE", "tokenizer.model"};
    const wn__model_config c = small_config();
    char model[600], out[600]; // they outlive many a scratch path
    (void)snprintf(model, sizeof model, "%s", make_model(state, "m", &c, WN_DTYPE_NONE, 0, NULL));
    (void)snprintf(out, sizeof out, "%s", scratch_path(state, "p"));
    wn_prune_options o = {.out = out, .pattern = "row", .force = true};
    wn_prune_result r;
    char name[64], message[96];
    OK(wn_prune(model, &o, NULL, NULL, &r));
    for (size_t i = 0; i < COUNT(kept); i++) {
        (void)snprintf(name, sizeof name, "p/%s", kept[i]);
        (void)snprintf(message, sizeof message, "holds the file '%s'", kept[i]);
        OK(wn__file_write(scratch_path(state, name), "dear", 4));
        expect_refused(model, out, true, message);
        assert_true(wn__file_exists(scratch_path(state, name)));
        assert_true(wn__file_exists(scratch_path(state, "p/model.safetensors")));
        assert_int_equal(unlink(scratch_path(state, name)), 0);
    }
    // even under a name that would be fine
    OK(wn__dir_make(scratch_path(state, "p/notes.txt")));
    expect_refused(model, out, true, "holds the directory 'notes.txt'");
    assert_int_equal(rmdir(scratch_path(state, "p/notes.txt")), 0);
    assert_int_equal(symlink("../m/config.json", scratch_path(state, "p/vocab.json")), 0);
    expect_refused(model, out, true, "holds the symbolic link 'vocab.json'");
    assert_int_equal(unlink(scratch_path(state, "p/vocab.json")), 0);
    for (size_t i = 0; i < COUNT(fine); i++) {
        (void)snprintf(name, sizeof name, "p/%s", fine[i]);
        OK(wn__file_write(scratch_path(state, name), "x", 1));
    }
    OK(wn_prune(model, &o, NULL, NULL, &r));
    for (size_t i = 0; i < COUNT(fine); i++) {
        (void)snprintf(name, sizeof name, "p/%s", fine[i]);
        assert_false(wn__file_exists(scratch_path(state, name)));
    }
    compare_models(model, out, row_keeps);
}

// A file that comes while the new one is written; the old directory stays, the new one goes.
static void add_a_file(void *ctx, const wn_prune_layer *l) {
    (void)l;
    OK(wn__file_write(scratch_path(ctx, "p/late.md"), "dear", 4));
}

static void force_looks_again(void **state) {
    const wn__model_config c = small_config();
    const char *model = make_model(state, "m", &c, WN_DTYPE_NONE, 0, NULL);
    const wn_prune_options o = {.out = scratch_path(state, "p"), .force = true};
    wn_prune_result r;
    wn__names names;
    OK(wn_prune(model, &o, NULL, NULL, &r));
    assert_int_equal(wn_prune(model, &o, add_a_file, state, &r), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "holds the file 'late.md'"));
    assert_true(wn__file_exists(scratch_path(state, "p/late.md")));
    OK(wn__dir_list(*state, &names));
    assert_int_equal(names.count, 2);
    wn__names_free(&names);
}

static void other_files_go_along(void **state) {
    static const char *const along[] = {"tokenizer.json", "vocab.txt", "LICENSE-MODEL",
                                        "chat_template.jinja"},
                             *const not_along[] = {"state.json", "pytorch_model.bin",
                                                   "pytorch_model.bin.index.json", "README.md"};
    const wn__model_config c = small_config();
    const char *model = make_model(state, "m", &c, WN_DTYPE_NONE, 0, NULL);
    char name[64];
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(name, sizeof name, "m/%s", along[i]);
        OK(wn__file_write(scratch_path(state, name), along[i], strlen(along[i])));
        (void)snprintf(name, sizeof name, "m/%s", not_along[i]);
        OK(wn__file_write(scratch_path(state, name), "x", 1));
    }
    wn_prune_result r;
    seen s = {0};
    OK(prune_to(model, scratch_path(state, "p"), "row", &r, &s));
    for (size_t i = 0; i < 4; i++) {
        char *text;
        size_t n;
        (void)snprintf(name, sizeof name, "p/%s", along[i]);
        OK(wn__file_read(scratch_path(state, name), 0, &text, &n));
        assert_string_equal(text, along[i]);
        free(text);
        (void)snprintf(name, sizeof name, "p/%s", not_along[i]);
        assert_false(wn__file_exists(scratch_path(state, name)));
    }
    // a downloaded model must not bring the user's own files along
    OK(wn__file_write(scratch_path(state, "secret"), "key", 3));
    assert_int_equal(symlink("../secret", scratch_path(state, "m/LICENSE")), 0);
    assert_int_equal(prune_to(model, scratch_path(state, "q"), "row", &r, &s), WN_FORMAT);
    assert_non_null(strstr(wn_last_error(), "leads out of its directory"));
    assert_false(wn__dir_exists(scratch_path(state, "q")));
}

// ---- what killed prunes left ----

static void die(void *ctx, const wn_prune_layer *l) {
    (void)ctx;
    (void)l;
    (void)raise(SIGKILL);
}

static size_t beside(void *const *state) {
    wn__names names;
    size_t n = 0;
    OK(wn__dir_list(*state, &names));
    for (size_t i = 0; i < names.count; i++)
        n += strstr(names.name[i], ".tmp-") != NULL;
    wn__names_free(&names);
    return n;
}

static void a_killed_prune_is_tidied_up(void **state) {
    const wn__model_config c = small_config();
    const char *model = make_model(state, "m", &c, WN_DTYPE_F32, 0, NULL);
    const char *out = scratch_path(state, "p");
    const wn_prune_options o = {.out = out, .threads = 1};
    wn_prune_result r;
    int status;
    pid_t child = fork();
    if (child == 0) {
        (void)!wn_prune(model, &o, die, NULL, &r);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(beside(state), 1);
    const wn_prune_options other = {.out = scratch_path(state, "p.tmp"), .threads = 1};
    OK(wn_prune(model, &other, NULL, NULL, &r)); // it is not this one's
    assert_int_equal(beside(state), 1);
    OK(wn_prune(model, &o, NULL, NULL, &r));
    assert_int_equal(beside(state), 0);
}

static const char *leftover(void *const *state, const char *name, const char *file) {
    char path[700];
    const char *dir = scratch_path(state, name);
    OK(wn__dir_make(dir));
    (void)snprintf(path, sizeof path, "%s/%s", dir, file);
    OK(wn__file_write(path, "{}", 2));
    return dir;
}

static void only_leftovers_go(void **state) {
    const wn__model_config c = small_config();
    const char *model = make_model(state, "m", &c, WN_DTYPE_F32, 0, NULL);
    wn_prune_options o = {.out = scratch_path(state, "p"), .threads = 1};
    wn_prune_result r;
    const char *gone[] = {leftover(state, "p.tmp-7-0", "config.json"),
                          leftover(state, "p.tmp-7-1", "model.safetensors.tmp-7-0"),
                          leftover(state, "p.tmp-7-12", "LICENSE.tmp-7-3")};
    const char *stay[] = {leftover(state, "p.tmp-8-0", "notes.doc"),
                          leftover(state, "p.tmp-8-1", "state.json"),
                          leftover(state, "p.tmp-8-2", "config.json.tmp-me"),
                          leftover(state, "p.tmp-8", "config.json"),
                          leftover(state, "p.tmp-8-x", "config.json"),
                          leftover(state, "p.tmp-8-0-new", "config.json"),
                          leftover(state, "q.tmp-8-0", "config.json"),
                          leftover(state, "p.tmp-8-3", "config.json"), // a prune is writing there
                          scratch_path(state, "p.tmp-8-4")};
    const char *old = leftover(state, "p.tmp-9-0-old", "config.json");
    assert_int_equal(symlink("p.tmp-7-0", stay[COUNT(stay) - 1]), 0);
    int held = open(stay[COUNT(stay) - 2], O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(held, LOCK_EX), 0);
    OK(wn_prune(model, &o, NULL, NULL, &r));
    for (size_t i = 0; i < COUNT(gone); i++)
        if (access(gone[i], F_OK) == 0) fail_msg("%s is there", gone[i]);
    struct stat st;
    for (size_t i = 0; i < COUNT(stay); i++)
        if (lstat(stay[i], &st) != 0) fail_msg("%s is gone", stay[i]);
    assert_int_equal(access(old, F_OK), 0); // all there was of the model it had replaced
    o.force = true;
    OK(wn_prune(model, &o, NULL, NULL, &r));
    assert_int_equal(access(old, F_OK), -1);
    assert_int_equal(access(stay[COUNT(stay) - 2], F_OK), 0);
    assert_int_equal(close(held), 0);
    OK(wn_prune(model, &o, NULL, NULL, &r));
    assert_int_equal(access(stay[COUNT(stay) - 2], F_OK), -1);
    // Two that replace one model would move each other's aside.
    held = open(o.out, O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(held, LOCK_EX), 0);
    assert_int_equal(wn_prune(model, &o, NULL, NULL, &r), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "another process is using it"));
    assert_int_equal(close(held), 0);
    OK(wn_prune(model, &o, NULL, NULL, &r));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(keeps_what_it_should),        TEST(sums_are_those_of_the_weight),
        TEST(shares_are_finite),           TEST(twice_is_once),
        TEST(rules_choose_layers),         TEST(only_true_claims_stay),
        TEST(a_dry_run_writes_nothing),    TEST(what_cannot_be_is_named),
        TEST(sizes_are_multiples_of_four), TEST(places_are_guarded),
        TEST(force_replaces_a_model),      TEST(force_loses_nothing_else),
        TEST(a_killed_prune_is_tidied_up), TEST(only_leftovers_go),
        TEST(force_looks_again),           TEST(other_files_go_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
