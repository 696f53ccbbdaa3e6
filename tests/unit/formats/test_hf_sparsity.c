// SPDX-License-Identifier: MIT
// The member "winnow" of config.json: read, written and read back; what is wrong with it is named
// by key and value, and other readers of the file do not see it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "formats/hf_sparsity.h"
#include "unit/base/scratch.h"
#include <math.h>
#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define SIZES                                                                                      \
    "\"vocab_size\":64,\"hidden_size\":32,\"intermediate_size\":48,\"num_hidden_layers\":12,"      \
    "\"num_attention_heads\":4,\"max_position_embeddings\":512"
#define ARCEE(more)   "{\"architectures\":[\"ArceeForCausalLM\"]," SIZES more "}"
#define LLAMA(more)   "{\"architectures\":[\"LlamaForCausalLM\"]," SIZES more "}"
#define ACT(items)    ",\"winnow\":{\"activation_sparsity\":[" items "]}"
#define IN(items)     ",\"winnow\":{\"input_sparsity\":[" items "]}"
#define WEIGHT(items) ",\"winnow\":{\"weight_sparsity\":[" items "]}"
#define KRON(items)   ",\"winnow\":{\"kron\":[" items "]}"
#define UP            "\"layer\":\"model.layers.0.mlp.up_proj\""
#define FIRST         "\"layer\":\"model.layers.0.mlp.act\""

static wn_status parse(const char *text, wn__hf_sparsity *out) {
    wn__model_config c;
    wn_status status = wn__hf_config_parse(text, strlen(text), "config.json", &c);
    if (status != WN_OK) fail_msg("%s\n%s", text, wn_last_error());
    return wn__hf_sparsity_parse(text, strlen(text), "config.json", &c, out);
}

static wn__hf_sparsity parsed(const char *text) {
    wn__hf_sparsity s;
    if (parse(text, &s) != WN_OK) fail_msg("%s\n%s", text, wn_last_error());
    return s;
}

static void expect(const wn__hf_sparse *s, const char *layer, bool input, const char *method,
                   double scale) {
    assert_string_equal(s->layer, layer);
    assert_string_equal(s->method, method);
    assert_int_equal(s->input, input);
    assert_true(s->scale == scale);
}

static void reads_what_is_there(void **state) {
    (void)state;
    wn__hf_sparsity s = parsed(ARCEE(",\"winnow\":{\"input_sparsity\":["
                                     "{\"layer\":\"lm_head\",\"method\":\"mvue\"},"
                                     "{\"layer\":\"model.layers.11.self_attn.k_proj\",\"method\":"
                                     "\"soft\",\"scale\":2}],"
                                     "\"activation_sparsity\":["
                                     "{\"scale\":-0.25,\"method\":\"soft_weights\",\"layer\":"
                                     "\"model.layers.10.mlp.act\"},"
                                     "{" FIRST ",\"method\":\"naive\"}]}"));
    assert_int_equal(s.count, 4);
    expect(&s.item[0], "model.layers.10.mlp.act", false, "soft_weights", -0.25);
    expect(&s.item[1], "model.layers.0.mlp.act", false, "naive", 0);
    expect(&s.item[2], "lm_head", true, "mvue", 0);
    expect(&s.item[3], "model.layers.11.self_attn.k_proj", true, "soft", 2);
    wn__hf_sparsity_free(&s);
    assert_null(s.item);
    s = parsed(LLAMA(IN("{\"layer\":\"model.layers.3.mlp.gate_proj\",\"method\":\"mvue\"}")));
    assert_int_equal(s.count, 1);
    wn__hf_sparsity_free(&s);
    // in a list of their own, also of layers that are listed elsewhere
    s = parsed(ARCEE(",\"winnow\":{\"weight_sparsity\":[{" UP ",\"method\":\"tile\"},"
                     "{\"layer\":\"lm_head\",\"method\":\"row\"}],\"input_sparsity\":[{" UP
                     ",\"method\":\"mvue\"}]}"));
    assert_int_equal(s.count, 1);
    assert_int_equal(s.weights, 2);
    expect(&s.item[0], "model.layers.0.mlp.up_proj", true, "mvue", 0);
    expect(&s.weight[0], "model.layers.0.mlp.up_proj", true, "tile", 0);
    expect(&s.weight[1], "lm_head", true, "row", 0);
    wn__hf_sparsity_free(&s);
    assert_true(s.weight == NULL && s.weights == 0);
}

static void nothing_is_nothing(void **state) {
    (void)state;
    static const char *const texts[] = {ARCEE(""),
                                        LLAMA(""),
                                        ARCEE(",\"winnow\":null"),
                                        ARCEE(",\"winnow\":{}"),
                                        ARCEE(ACT("")),
                                        ARCEE(",\"winnow\":{\"input_sparsity\":null}")};
    for (size_t i = 0; i < COUNT(texts); i++) {
        wn__hf_sparsity s = parsed(texts[i]);
        assert_int_equal(s.count, 0);
        wn__hf_sparsity_free(&s);
    }
}

static void what_is_wrong_is_named(void **state) {
    (void)state;
    static const struct {
        const char *text;
        wn_status status;
        const char *message;
    } cases[] = {
        {ARCEE(KRON("{" UP ",\"chain\":\"monarch:8x:2\"}")), WN_FORMAT,
         "'winnow' 'kron' [0]: 'chain' is 'monarch:8x:2', expected butterfly or monarch:B[xC][:R]"},
        {ARCEE(KRON("{" UP ",\"chain\":\"butterfly\"},{" UP ",\"chain\":\"butterfly\"}")),
         WN_FORMAT, "'winnow' 'kron' [1]: 'layer' is 'model.layers.0.mlp.up_proj' twice"},
        {ARCEE(KRON("{" FIRST ",\"chain\":\"butterfly\"}")), WN_FORMAT,
         "'winnow' 'kron' [0]: 'layer' is 'model.layers.0.mlp.act', expected a linear layer"},
        {ARCEE(KRON("{" UP ",\"method\":\"butterfly\"}")), WN_UNSUPPORTED,
         "'winnow' 'kron' [0]: 'method' is not supported"},
        {ARCEE(KRON("7")), WN_FORMAT, "'winnow' 'kron' [0]: expected an object"},
        {ARCEE(",\"winnow\":{\"kron\":7}"), WN_FORMAT, "'winnow' 'kron': expected an array"},
        {ARCEE(",\"winnow\":7"), WN_FORMAT, "'winnow': expected an object, found an integer"},
        {ARCEE(",\"winnow\":{\"activation_sparsity\":{}}"), WN_FORMAT,
         "'winnow' 'activation_sparsity': expected an array, found an object"},
        {ARCEE(",\"winnow\":{\"bias_sparsity\":[]}"), WN_UNSUPPORTED,
         "'winnow': 'bias_sparsity' is not supported"},
        {ARCEE(WEIGHT("{" UP ",\"method\":\"greedy\"}")), WN_FORMAT,
         "'winnow' 'weight_sparsity' [0]: 'method' is 'greedy', expected one of row, tile"},
        {ARCEE(WEIGHT("{" UP ",\"method\":\"row\",\"scale\":1}")), WN_FORMAT,
         "'scale' is there, but method 'row' has none"},
        {ARCEE(WEIGHT("{" UP ",\"method\":\"row\"},{" UP ",\"method\":\"tile\"}")), WN_FORMAT,
         "'weight_sparsity': 'layer' is 'model.layers.0.mlp.up_proj' twice"},
        {ARCEE(WEIGHT("{" FIRST ",\"method\":\"row\"}")), WN_FORMAT,
         "'layer' is 'model.layers.0.mlp.act', expected a linear layer"},
        {ARCEE(",\"winnow\":{\"weight_sparsity\":\"all\"}"), WN_FORMAT,
         "'winnow' 'weight_sparsity': expected an array, found a string"},
        {ARCEE(ACT("{" FIRST ",\"method\":\"naive\"},3")), WN_FORMAT,
         "'winnow' 'activation_sparsity' [1]: expected an object, found an integer"},
        {ARCEE(ACT("{" FIRST ",\"method\":\"naive\",\"ratio\":\"1:4\"}")), WN_UNSUPPORTED,
         "[0]: 'ratio' is not supported"},
        {ARCEE(ACT("{\"method\":\"naive\"}")), WN_FORMAT, "'layer'"},
        {ARCEE(ACT("{\"layer\":4,\"method\":\"naive\"}")), WN_FORMAT, "'layer'"},
        {ARCEE(ACT("{" FIRST "}")), WN_FORMAT, "'method'"},
        {ARCEE(ACT("{" FIRST ",\"method\":\"row\"}")), WN_FORMAT,
         "'method' is 'row', expected one of naive, mvue, soft, soft_weights, soft_dynamic"},
        {ARCEE(IN("{" UP ",\"method\":\"naive\"}")), WN_FORMAT,
         "'winnow' 'input_sparsity' [0]: 'method' is 'naive', expected one of soft, mvue"},
        {ARCEE(ACT("{" FIRST ",\"method\":\"soft\"}")), WN_FORMAT, "'scale'"},
        {ARCEE(ACT("{" FIRST ",\"method\":\"soft\",\"scale\":\"1\"}")), WN_FORMAT, "'scale'"},
        {ARCEE(ACT("{" FIRST ",\"method\":\"soft\",\"scale\":0}")), WN_FORMAT,
         "'scale' is 0, expected a finite number other than 0"},
        {ARCEE(IN("{" UP ",\"method\":\"soft\",\"scale\":-1.5}")), WN_FORMAT,
         "'scale' is -1.5, expected a finite number above 0"},
        {ARCEE(ACT("{" FIRST ",\"method\":\"mvue\",\"scale\":1}")), WN_FORMAT,
         "'scale' is there, but method 'mvue' has none"},
        {ARCEE(ACT("{" FIRST ",\"method\":\"naive\"},{" FIRST ",\"method\":\"mvue\"}")), WN_FORMAT,
         "'activation_sparsity': 'layer' is 'model.layers.0.mlp.act' twice"},
        {LLAMA(ACT("{" FIRST ",\"method\":\"naive\"}")), WN_FORMAT, "an MLP with a gate"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        wn__hf_sparsity s;
        wn_status status = parse(cases[i].text, &s);
        if (status != cases[i].status || strstr(wn_last_error(), cases[i].message) == NULL)
            fail_msg("%s\n%s: %s", cases[i].text, wn_status_name(status), wn_last_error());
        assert_ptr_equal(strstr(wn_last_error(), "config.json"), wn_last_error());
        assert_true(s.item == NULL && s.count == 0 && s.weight == NULL && s.weights == 0);
    }
}

// Names are the model's own, neither patterns nor other spellings.
static void layers_are_the_models(void **state) {
    (void)state;
    static const char *const bad[] = {"model.layers.12.mlp.act",
                                      "model.layers.00.mlp.act",
                                      "model.layers.*.mlp.act",
                                      "model.layers.-1.mlp.act",
                                      "model.layers.99999999999999999999.mlp.act",
                                      "model.layers..mlp.act",
                                      "model.layers.0.mlp.up_proj",
                                      "layers.0.mlp.act",
                                      "mlp.act",
                                      "lm_head",
                                      ""};
    static const char *const bad_inputs[] = {
        "model.layers.0.mlp.act", "model.layers.0.mlp.gate_proj",
        "model.layers.0.self_attn.qkv_proj", "model.layers.0.mlp.up_proj.weight", "model.norm"};
    for (size_t i = 0; i < COUNT(bad) + COUNT(bad_inputs); i++) {
        bool input = i >= COUNT(bad);
        const char *layer = input ? bad_inputs[i - COUNT(bad)] : bad[i];
        char text[600];
        wn__hf_sparsity s;
        (void)snprintf(text, sizeof text,
                       ARCEE(",\"winnow\":{\"%s\":[{\"layer\":\"%s\",\"method\":\"mvue\"}]}"),
                       input ? "input_sparsity" : "activation_sparsity", layer);
        assert_int_equal(parse(text, &s), WN_FORMAT);
        (void)snprintf(text, sizeof text, "'layer' is '%s', expected", layer);
        if (strstr(wn_last_error(), text) == NULL) fail_msg("%s: %s", layer, wn_last_error());
    }
    wn__hf_sparsity s;
    assert_int_equal(parse(ARCEE(",\"tie_word_embeddings\":true" IN(
                               "{\"layer\":\"lm_head\",\"method\":\"mvue\"}")),
                           &s),
                     WN_FORMAT);
}

static wn__model_config arcee(void) {
    wn__model_config c;
    const char *text = ARCEE("");
    assert_int_equal(wn__hf_config_parse(text, strlen(text), "config.json", &c), WN_OK);
    return c;
}

// Scales come back bit for bit; without items the file is the one without the member.
static void round_trips(void **state) {
    wn__hf_sparse items[] = {
        {.layer = "model.layers.0.mlp.act", .method = "soft", .scale = 1.0 / 3},
        {.layer = "model.layers.11.mlp.act", .method = "mvue"},
        {.layer = "model.layers.2.mlp.down_proj",
         .method = "soft",
         .scale = 0x1.fffffffffffffp0,
         .input = true},
        {.layer = "lm_head", .method = "mvue", .input = true}};
    wn__hf_sparse weight[] = {
        {.layer = "model.layers.3.self_attn.o_proj", .method = "row", .input = true},
        {.layer = "model.layers.2.mlp.down_proj", .method = "tile", .input = true}};
    wn__hf_kron kron[] = {{"model.layers.1.mlp.up_proj", "monarch:8x16:4"},
                          {"model.layers.0.self_attn.q_proj", "butterfly+lowrank:3"}};
    const wn__hf_sparsity s = {.item = items,
                               .count = 4,
                               .weight = weight,
                               .weights = 2,
                               .kron = kron,
                               .krons = 2},
                          none = {0};
    const wn__model_config c = arcee();
    wn__hf_sparsity back;
    wn__model_config again;
    assert_int_equal(wn__hf_config_write_sparse(*state, &c, &s), WN_OK);
    assert_int_equal(wn__hf_config_read(*state, &again), WN_OK);
    assert_int_equal(wn__hf_sparsity_read(*state, &again, &back), WN_OK);
    assert_int_equal(back.count, 4);
    for (size_t i = 0; i < 4; i++)
        expect(&back.item[i], items[i].layer, items[i].input, items[i].method, items[i].scale);
    assert_int_equal(back.weights, 2);
    for (size_t i = 0; i < 2; i++)
        expect(&back.weight[i], weight[i].layer, true, weight[i].method, 0);
    assert_int_equal(back.krons, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(back.kron[i].layer, kron[i].layer);
        assert_string_equal(back.kron[i].chain, kron[i].chain);
    }
    char *rule;
    assert_int_equal(wn__hf_kron_rule(&back.kron[0], &rule), WN_OK);
    assert_string_equal(rule, "model.layers.1.mlp.up_proj=kron:monarch:8x16:4");
    free(rule);
    wn__hf_sparsity_free(&back);
    assert_true(back.kron == NULL && back.krons == 0);
    static const char *const bad[] = {
        "monarch:0",     "monarch:8+lowrank",     "monarch:8+lowrank:", "butterfly+lowrank:02",
        "butterfly+2:4", "butterfly+lowrank:2:2", "+lowrank:2",         "butterflylowrank:2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        (void)snprintf(kron[1].chain, sizeof kron[1].chain, "%s", bad[i]);
        assert_int_equal(wn__hf_config_write_sparse(*state, &c, &s), WN_INVALID);
    }
    char *plain, *same;
    size_t n, k;
    const char *path = scratch_path(state, "config.json");
    assert_int_equal(wn__hf_config_write_sparse(*state, &c, &none), WN_OK);
    assert_int_equal(wn__file_read(path, 0, &same, &k), WN_OK);
    assert_int_equal(wn__hf_config_write(*state, &c), WN_OK);
    assert_int_equal(wn__file_read(path, 0, &plain, &n), WN_OK);
    assert_int_equal(n, k);
    assert_memory_equal(plain, same, n);
    assert_null(strstr(plain, "winnow"));
    free(plain);
    free(same);
    assert_int_equal(wn__hf_sparsity_read("/nonexistent", &c, &back), WN_IO);
}

static size_t read_config(void **state, const char *name, char **out) {
    size_t n;
    char path[64];
    (void)snprintf(path, sizeof path, "%s/config.json", name);
    assert_int_equal(wn__file_read(scratch_path(state, path), 0, out, &n), WN_OK);
    return n;
}

// Members that are not understood here stay, in their order; a copy of the copy is the same file.
static void a_copy_changes_one_member(void **state) {
    const char *text =
        ARCEE(",\"transformers_version\":\"5.0\",\"winnow\":{\"input_sparsity\":[{" UP
              ",\"method\":\"mvue\"}]},\"rms_norm_eps\":1e-05");
    const wn__model_config c = arcee();
    wn__hf_sparse weight = {.layer = "model.layers.0.mlp.up_proj", .method = "row", .input = true};
    const wn__hf_sparsity s = {.weight = &weight, .weights = 1};
    const char *a = scratch_path(state, "a"), *b = scratch_path(state, "b"),
               *d = scratch_path(state, "d");
    assert_int_equal(wn__dir_make(a), WN_OK);
    assert_int_equal(wn__dir_make(b), WN_OK);
    assert_int_equal(wn__dir_make(d), WN_OK);
    assert_int_equal(wn__file_write(scratch_path(state, "a/config.json"), text, strlen(text)),
                     WN_OK);
    assert_int_equal(wn__hf_config_copy_sparse(a, b, &c, &s), WN_OK);
    assert_int_equal(wn__hf_config_copy_sparse(b, d, &c, &s), WN_OK);
    char *once, *twice;
    size_t n = read_config(state, "b", &once), k = read_config(state, "d", &twice);
    assert_int_equal(n, k);
    assert_memory_equal(once, twice, n);
    const char *version = strstr(once, "\"transformers_version\": \"5.0\""),
               *own = strstr(once, "\"winnow\""), *eps = strstr(once, "\"rms_norm_eps\"");
    assert_true(version != NULL && own > version && eps > own);
    assert_null(strstr(once, "input_sparsity"));
    free(once);
    free(twice);
    wn__hf_sparsity back;
    assert_int_equal(wn__hf_sparsity_read(b, &c, &back), WN_OK);
    assert_int_equal(back.weights, 1);
    wn__hf_sparsity_free(&back);
    weight.method = "soft";
    assert_int_equal(wn__hf_config_copy_sparse(a, b, &c, &s), WN_INVALID);
}

static void refuses_to_write_what_it_would_not_read(void **state) {
    const wn__hf_sparse bad[] = {
        {.layer = "model.layers.12.mlp.act", .method = "mvue"},
        {.layer = "model.layers.0.mlp.act", .method = "row"},
        {.layer = "model.layers.0.mlp.act", .method = "soft"},
        {.layer = "model.layers.0.mlp.act", .method = "soft", .scale = (double)NAN},
        {.layer = "model.layers.0.mlp.act", .method = "naive", .scale = 1},
        {.layer = "model.layers.0.mlp.up_proj", .input = true, .method = "soft", .scale = -1}};
    const wn__model_config c = arcee();
    for (size_t i = 0; i < COUNT(bad); i++) {
        wn__hf_sparse item = bad[i];
        const wn__hf_sparsity s = {.item = &item, .count = 1};
        assert_int_equal(wn__hf_config_write_sparse(*state, &c, &s), WN_INVALID);
        assert_non_null(strstr(wn_last_error(), bad[i].layer));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_is_there),
        cmocka_unit_test(nothing_is_nothing),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(layers_are_the_models),
        TEST(round_trips),
        TEST(a_copy_changes_one_member),
        TEST(refuses_to_write_what_it_would_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
