// SPDX-License-Identifier: MIT
// config.json: what transformers wrote is read, what is written is read back, and all that would
// change the model in a way not implemented is refused by name.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "formats/hf_config.h"
#include "unit/base/scratch.h"
#include <math.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define SIZES                                                                                      \
    "\"vocab_size\":64,\"hidden_size\":32,\"intermediate_size\":48,\"num_hidden_layers\":3,"       \
    "\"num_attention_heads\":4,\"max_position_embeddings\":512"
#define LLAMA(more)   "{\"architectures\":[\"LlamaForCausalLM\"]," SIZES more "}"
#define ARCEE(more)   "{\"architectures\":[\"ArceeForCausalLM\"]," SIZES more "}"
#define MISTRAL(more) "{\"architectures\":[\"MistralForCausalLM\"]," SIZES more "}"
#define QWEN2(more)   "{\"architectures\":[\"Qwen2ForCausalLM\"]," SIZES more "}"

static wn_status parse(const char *text, wn__model_config *c) {
    return wn__hf_config_parse(text, strlen(text), "config.json", c);
}

static wn__model_config parsed(const char *text) {
    wn__model_config c;
    if (parse(text, &c) != WN_OK) fail_msg("%s\n%s", text, wn_last_error());
    return c;
}

// What LLAMA("") means.
static wn__model_config plain(void) {
    return (wn__model_config){.vocab_size = 64,
                              .hidden_size = 32,
                              .intermediate_size = 48,
                              .layers = 3,
                              .heads = 4,
                              .kv_heads = 4,
                              .head_dim = 8,
                              .max_positions = 512,
                              .rms_eps = 1e-6,
                              .rope_theta = 10000,
                              .init_std = 0.02,
                              .bos = -1};
}

static void expect_same(const wn__model_config *a, const wn__model_config *b) {
    assert_int_equal(a->vocab_size, b->vocab_size);
    assert_int_equal(a->hidden_size, b->hidden_size);
    assert_int_equal(a->intermediate_size, b->intermediate_size);
    assert_int_equal(a->layers, b->layers);
    assert_int_equal(a->heads, b->heads);
    assert_int_equal(a->kv_heads, b->kv_heads);
    assert_int_equal(a->head_dim, b->head_dim);
    assert_int_equal(a->max_positions, b->max_positions);
    assert_true(a->rms_eps == b->rms_eps);
    assert_true(a->rope_theta == b->rope_theta);
    assert_int_equal(a->rope, b->rope);
    assert_true(a->rope_factor == b->rope_factor);
    assert_true(a->rope_low_freq == b->rope_low_freq);
    assert_true(a->rope_high_freq == b->rope_high_freq);
    assert_int_equal(a->rope_original_positions, b->rope_original_positions);
    assert_int_equal(a->mlp, b->mlp);
    assert_int_equal(a->qkv_bias, b->qkv_bias);
    assert_int_equal(a->o_bias, b->o_bias);
    assert_int_equal(a->mlp_bias, b->mlp_bias);
    assert_int_equal(a->tied, b->tied);
    assert_true(a->init_std == b->init_std);
    assert_int_equal(a->bos, b->bos);
    assert_int_equal(a->eos_count, b->eos_count);
    assert_memory_equal(a->eos, b->eos, sizeof a->eos);
}

// ---- reading ----

static void fills_in_defaults(void **state) {
    (void)state;
    wn__model_config expected = plain(), c = parsed(LLAMA(""));
    expect_same(&c, &expected);
    c = parsed("{\"model_type\":\"llama\"," SIZES "}");
    expect_same(&c, &expected);
    c = parsed(LLAMA(",\"num_key_value_heads\":null,\"head_dim\":null,\"rope_scaling\":null,"
                     "\"rope_parameters\":null,\"rope_theta\":null,\"eos_token_id\":null,"
                     "\"bos_token_id\":null,\"quantization_config\":null,\"hidden_act\":null,"
                     "\"pretraining_tp\":1,\"torch_dtype\":\"bfloat16\",\"unknown\":[1,{}]"));
    expect_same(&c, &expected);
    expected.mlp = WN_MLP_RELU2;
    expected.rms_eps = 1e-5;
    c = parsed(ARCEE(""));
    expect_same(&c, &expected);
}

static void reads_every_key(void **state) {
    (void)state;
    wn__model_config expected = plain();
    expected.kv_heads = 2;
    expected.head_dim = 16;
    expected.rms_eps = 1e-5;
    expected.rope_theta = 500000;
    expected.qkv_bias = expected.o_bias = expected.mlp_bias = expected.tied = true;
    expected.init_std = 0.01;
    expected.bos = 1;
    expected.eos_count = 3;
    expected.eos[0] = 2;
    expected.eos[1] = 63;
    expected.eos[2] = 0;
    const wn__model_config c = parsed(LLAMA(
        ",\"model_type\":\"llama\",\"num_key_value_heads\":2,\"head_dim\":16,\"rms_norm_eps\":1e-5,"
        "\"rope_theta\":500000,\"attention_bias\":true,\"mlp_bias\":true,"
        "\"tie_word_embeddings\":true,\"initializer_range\":0.01,\"hidden_act\":\"silu\","
        "\"bos_token_id\":1,\"eos_token_id\":[2,63,0]"));
    expect_same(&c, &expected);
    assert_int_equal(parsed(LLAMA(",\"eos_token_id\":7")).eos[0], 7);
    assert_int_equal(parsed(LLAMA(",\"eos_token_id\":[]")).eos_count, 0);
}

static void reads_the_other_families(void **state) {
    (void)state;
    wn__model_config expected = plain(), c;
    c = parsed(MISTRAL(",\"num_key_value_heads\":null,\"sliding_window\":null"));
    expect_same(&c, &expected);
    c = parsed(MISTRAL(",\"num_key_value_heads\":4,\"sliding_window\":512"));
    expect_same(&c, &expected);
    c = parsed(MISTRAL(",\"num_key_value_heads\":4")); // 4096 by default, above 512
    expect_same(&c, &expected);
    expected.qkv_bias = true;
    c = parsed(QWEN2(",\"num_key_value_heads\":4,\"use_sliding_window\":false,"
                     "\"sliding_window\":16,\"max_window_layers\":2,"
                     "\"layer_types\":[\"full_attention\",\"full_attention\"]"));
    expect_same(&c, &expected);
}

#define LLAMA3                                                                                     \
    "\"rope_type\":\"llama3\",\"factor\":32.0,\"low_freq_factor\":1,\"high_freq_factor\":4.0,"     \
    "\"original_max_position_embeddings\":8192"

static void reads_both_rope_spellings(void **state) {
    (void)state;
    static const char *const llama3[] = {
        LLAMA(",\"rope_theta\":500000.0,\"rope_scaling\":{" LLAMA3 "}"),
        LLAMA(",\"rope_parameters\":{\"rope_theta\":500000.0," LLAMA3 "}"),
        LLAMA(",\"rope_theta\":500000,\"rope_scaling\":{" LLAMA3 "},\"rope_parameters\":{" LLAMA3
              ",\"rope_theta\":5e5}"),
    };
    wn__model_config expected = plain();
    expected.rope = WN_ROPE_LLAMA3;
    expected.rope_theta = 500000;
    expected.rope_factor = 32;
    expected.rope_low_freq = 1;
    expected.rope_high_freq = 4;
    expected.rope_original_positions = 8192;
    for (size_t i = 0; i < COUNT(llama3); i++) {
        const wn__model_config c = parsed(llama3[i]);
        expect_same(&c, &expected);
    }
    static const char *const linear[] = {
        LLAMA(",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}"),
        LLAMA(",\"rope_scaling\":{\"type\":\"ignored\",\"rope_type\":\"linear\",\"factor\":2}"),
        LLAMA(",\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2.0,"
              "\"partial_rotary_factor\":1.0}"),
    };
    expected = plain();
    expected.rope = WN_ROPE_LINEAR;
    expected.rope_factor = 2;
    for (size_t i = 0; i < COUNT(linear); i++) {
        const wn__model_config c = parsed(linear[i]);
        expect_same(&c, &expected);
    }
    assert_int_equal(parsed(LLAMA(",\"rope_scaling\":{\"rope_type\":\"default\"}")).rope,
                     WN_ROPE_DEFAULT);
    assert_true(parsed(LLAMA(",\"rope_parameters\":{\"rope_theta\":7.5}")).rope_theta == 7.5);
    // What the original length is not given as is the model's.
    assert_int_equal(parsed(LLAMA(",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":2,"
                                  "\"low_freq_factor\":1,\"high_freq_factor\":2}"))
                         .rope_original_positions,
                     512);
}

// A text, its status, and what the message must hold.
static const struct {
    const char *text;
    wn_status status;
    const char *fragment;
} refused[] = {
    {"", WN_FORMAT, "config.json"},
    {"[]", WN_FORMAT, "expected an object, found an array"},
    {"{}", WN_FORMAT, "neither 'architectures' nor 'model_type'"},
    {"{\"architectures\":[]}", WN_FORMAT, "'architectures': expected an array of one string"},
    {"{\"architectures\":\"LlamaForCausalLM\"}", WN_FORMAT, "expected an array of one string"},
    {"{\"architectures\":[1]}", WN_FORMAT, "expected an array of one string"},
    {"{\"architectures\":[\"GPT2LMHeadModel\"]}", WN_UNSUPPORTED,
     "architecture 'GPT2LMHeadModel' is not supported; supported are LlamaForCausalLM, "
     "ArceeForCausalLM, MistralForCausalLM, Qwen2ForCausalLM"},
    {"{\"architectures\":[\"LlamaForCausalLM\\u0000\"]}", WN_FORMAT,
     "expected an array of one string"},
    {"{\"model_type\":\"gemma\"}", WN_UNSUPPORTED, "model type 'gemma' is not supported"},
    {"{\"model_type\":7}", WN_FORMAT, "'model_type': expected a string"},
    {LLAMA(",\"model_type\":\"mistral\""), WN_FORMAT,
     "'model_type' is 'mistral', but LlamaForCausalLM has 'llama'"},
    {"{\"model_type\":\"llama\",\"vocab_size\":1}", WN_FORMAT, "'hidden_size': missing"},
    {LLAMA(",\"vocab_size\":65"), WN_FORMAT, "duplicate"},
    {"{\"model_type\":\"llama\",\"vocab_size\":64,\"hidden_size\":32,\"intermediate_size\":48,"
     "\"num_hidden_layers\":3,\"num_attention_heads\":0,\"max_position_embeddings\":8}",
     WN_FORMAT, "'num_attention_heads': 0, at least 1"},
    {LLAMA(",\"head_dim\":8.0"), WN_FORMAT, "'head_dim': expected an integer, found a real"},
    {LLAMA(",\"rms_norm_eps\":\"1e-6\""), WN_FORMAT, "'rms_norm_eps': expected a number"},
    {LLAMA(",\"tie_word_embeddings\":1"), WN_FORMAT, "'tie_word_embeddings': expected a boolean"},
    {LLAMA(",\"hidden_act\":\"gelu\""), WN_UNSUPPORTED,
     "'hidden_act' 'gelu' is not supported; LlamaForCausalLM supports 'silu'"},
    {LLAMA(",\"hidden_act\":\"relu2\""), WN_UNSUPPORTED, "supports 'silu'"},
    {ARCEE(",\"hidden_act\":\"silu\""), WN_UNSUPPORTED,
     "ArceeForCausalLM supports 'relu2' and 'relu'"},
    {LLAMA(",\"quantization_config\":{\"quant_method\":\"gptq\"}"), WN_UNSUPPORTED, "'gptq'"},
    {LLAMA(",\"quantization_config\":{}"), WN_UNSUPPORTED, "'quantization_config'"},
    // rotary positions
    {LLAMA(",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}"), WN_UNSUPPORTED,
     "'rope_type' 'dynamic' is not supported; supported are default, linear, llama3"},
    {LLAMA(",\"rope_parameters\":{\"rope_type\":\"yarn\",\"factor\":2}"), WN_UNSUPPORTED,
     "'rope_parameters': 'rope_type' 'yarn' is not supported"},
    {LLAMA(",\"rope_scaling\":{\"rope_type\":\"longrope\"}"), WN_UNSUPPORTED, "'longrope'"},
    {LLAMA(",\"rope_scaling\":{\"factor\":2}"), WN_FORMAT, "'rope_type': missing"},
    {LLAMA(",\"rope_scaling\":{\"type\":\"linear\"}"), WN_FORMAT, "'factor': missing"},
    {LLAMA(",\"rope_scaling\":{\"type\":\"llama3\",\"factor\":2}"), WN_FORMAT,
     "'low_freq_factor': missing"},
    {LLAMA(",\"rope_scaling\":[]"), WN_FORMAT, "'rope_scaling': expected an object or null"},
    {LLAMA(",\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"default\"}}"), WN_UNSUPPORTED,
     "each layer type ('full_attention')"},
    {LLAMA(",\"rope_parameters\":{\"partial_rotary_factor\":0.5}"), WN_UNSUPPORTED,
     "'partial_rotary_factor' 0.5"},
    {LLAMA(",\"partial_rotary_factor\":0.5"), WN_UNSUPPORTED, "'partial_rotary_factor' 0.5"},
    {LLAMA(",\"rope_theta\":1,\"rope_parameters\":{\"rope_theta\":2}"), WN_FORMAT,
     "'rope_theta' is 2 in 'rope_parameters' and 1 elsewhere"},
    {LLAMA(",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2},"
           "\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":3}"),
     WN_FORMAT, "'rope_scaling' (linear) and 'rope_parameters' (linear) differ"},
    {LLAMA(",\"rope_theta\":0"), WN_FORMAT, "config.json: rope_theta is 0"},
    {LLAMA(",\"rope_theta\":-5.0"), WN_FORMAT, "rope_theta is -5"},
    {LLAMA(",\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}"), WN_FORMAT, "rope factor is 0"},
    {LLAMA(",\"rope_scaling\":{\"type\":\"llama3\",\"factor\":2,\"low_freq_factor\":4,"
           "\"high_freq_factor\":4}"),
     WN_FORMAT, "high_freq_factor is 4, but must be above low_freq_factor, 4"},
    // windows
    {MISTRAL(",\"num_key_value_heads\":4,\"sliding_window\":511"), WN_UNSUPPORTED,
     "'sliding_window' 511 is not supported; supported are null and 'max_position_embeddings' "
     "(512) or more"},
    {"{\"model_type\":\"mistral\",\"vocab_size\":64,\"hidden_size\":32,\"intermediate_size\":48,"
     "\"num_hidden_layers\":3,\"num_attention_heads\":4,\"max_position_embeddings\":8192}",
     WN_UNSUPPORTED, "'sliding_window' is missing, which means 4096"},
    {QWEN2(",\"num_key_value_heads\":4,\"use_sliding_window\":true"), WN_UNSUPPORTED,
     "'use_sliding_window' true is not supported"},
    {QWEN2(",\"num_key_value_heads\":4,\"layer_types\":[\"full_attention\",\"sliding_attention\"]"),
     WN_UNSUPPORTED, "'layer_types' [1] 'sliding_attention' is not supported"},
    // a missing number of heads is the family's own: 8 and 32
    {MISTRAL(""), WN_FORMAT, "num_key_value_heads is 8"},
    {QWEN2(""), WN_FORMAT, "num_key_value_heads is 32"},
    // tokens
    {LLAMA(",\"eos_token_id\":\"2\""), WN_FORMAT, "'eos_token_id': expected a token id"},
    {LLAMA(",\"eos_token_id\":[2,null]"), WN_FORMAT, "'eos_token_id': expected a token id"},
    {LLAMA(",\"eos_token_id\":-1"), WN_FORMAT, "-1, expected a token id of 0 to 2147483647"},
    {LLAMA(",\"eos_token_id\":4294967298"), WN_FORMAT, "4294967298"},
    {LLAMA(",\"eos_token_id\":64"), WN_FORMAT, "eos_token_id is 64, but must be below vocab_size"},
    {LLAMA(",\"eos_token_id\":[0,1,2,3,4,5,6,7,8]"), WN_UNSUPPORTED, "9 ids"},
    {LLAMA(",\"bos_token_id\":[1]"), WN_FORMAT, "'bos_token_id': expected a token id"},
    {LLAMA(",\"bos_token_id\":64"), WN_FORMAT, "bos_token_id is 64"},
};

static void refuses_by_name(void **state) {
    (void)state;
    static const wn__model_config zero;
    for (size_t i = 0; i < COUNT(refused); i++) {
        wn__model_config c;
        wn_status status = parse(refused[i].text, &c);
        if (status != refused[i].status || strstr(wn_last_error(), refused[i].fragment) == NULL)
            fail_msg("%s\n gave %s: %s\n expected %s: ...%s...", refused[i].text,
                     wn_status_name(status), wn_last_error(), wn_status_name(refused[i].status),
                     refused[i].fragment);
        assert_non_null(strstr(wn_last_error(), "config.json"));
        assert_memory_equal(&c, &zero, sizeof c);
    }
}

// ---- files of transformers ----

static wn__model_config read_fixture(const char *name) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/formats/%s", WN_FIXTURES, name);
    wn__model_config c;
    if (wn__hf_config_read(path, &c) != WN_OK) fail_msg("%s", wn_last_error());
    return c;
}

static void reads_files_of_transformers(void **state) {
    (void)state;
    wn__model_config expected = plain(), c;
    expected.max_positions = 2048;
    expected.bos = 1;
    expected.eos_count = 1;
    expected.eos[0] = 2;
    c = read_fixture("llama");
    expect_same(&c, &expected);

    wn__model_config linear = expected;
    linear.rope = WN_ROPE_LINEAR;
    linear.rope_factor = 4;
    linear.mlp_bias = true;
    c = read_fixture("linear");
    expect_same(&c, &linear);

    wn__model_config mistral = expected;
    mistral.kv_heads = 2;
    mistral.max_positions = 131072;
    c = read_fixture("mistral");
    expect_same(&c, &mistral);

    wn__model_config qwen2 = plain();
    qwen2.kv_heads = 2;
    qwen2.qkv_bias = true;
    c = read_fixture("qwen2");
    expect_same(&c, &qwen2);
}

static void reads_more_files_of_transformers(void **state) {
    (void)state;
    wn__model_config arcee = plain(), c;
    arcee.vocab_size = 128256;
    arcee.max_positions = 4096;
    arcee.mlp = WN_MLP_RELU2;
    arcee.rms_eps = 1e-5;
    arcee.bos = 128000;
    arcee.eos_count = 1;
    arcee.eos[0] = 128001;
    c = read_fixture("arcee");
    expect_same(&c, &arcee);

    wn__model_config llama3 = plain();
    llama3.kv_heads = 2;
    llama3.head_dim = 16;
    llama3.max_positions = 131072;
    llama3.rope = WN_ROPE_LLAMA3;
    llama3.rope_theta = 500000;
    llama3.rope_factor = 32;
    llama3.rope_low_freq = 1;
    llama3.rope_high_freq = 4;
    llama3.rope_original_positions = 8192;
    llama3.tied = llama3.qkv_bias = llama3.o_bias = true;
    llama3.bos = 1;
    llama3.eos_count = 3;
    memcpy(llama3.eos, (const int32_t[]){2, 5, 9}, 3 * sizeof(int32_t));
    c = read_fixture("llama3");
    expect_same(&c, &llama3);
}

static void generation_config_wins(void **state) {
    const char *dir = *state;
    wn__model_config c;
    static const char config[] = LLAMA(",\"eos_token_id\":[2,3,4],\"bos_token_id\":1");
    assert_int_equal(wn__file_write(scratch_path(state, "config.json"), config, sizeof config - 1),
                     WN_OK);
    assert_int_equal(wn__hf_config_read(dir, &c), WN_OK);
    assert_int_equal(c.eos_count, 3);
    const char *generation = scratch_path(state, "generation_config.json");
    static const struct {
        const char *text;
        int32_t count, first, second;
    } cases[] = {{"{\"eos_token_id\":[7,8]}", 2, 7, 8},
                 {"{\"eos_token_id\":9}", 1, 9, 0},
                 {"{\"eos_token_id\":null,\"top_p\":0.9}", 3, 2, 3},
                 {"{}", 3, 2, 3}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(wn__file_write(generation, cases[i].text, strlen(cases[i].text)), WN_OK);
        assert_int_equal(wn__hf_config_read(dir, &c), WN_OK);
        assert_int_equal(c.eos_count, cases[i].count);
        assert_int_equal(c.eos[0], cases[i].first);
        assert_int_equal(c.eos[1], cases[i].second);
    }
    assert_int_equal(wn__file_write(generation, "{\"eos_token_id\":64}", 19), WN_OK);
    assert_int_equal(wn__hf_config_read(dir, &c), WN_FORMAT);
    assert_non_null(strstr(wn_last_error(), "generation_config.json: eos_token_id is 64"));
    assert_int_equal(wn__file_write(generation, "[]", 2), WN_OK);
    assert_int_equal(wn__hf_config_read(dir, &c), WN_FORMAT);
    assert_int_equal(wn__hf_config_read("/nonexistent", &c), WN_IO);
}

// ---- writing ----

static wn__json *written(void *const *state) {
    wn__json *j;
    assert_int_equal(wn__json_read(scratch_path(state, "config.json"), 0, &j), WN_OK);
    return j;
}

static void expect_round_trip(void *const *state, const wn__model_config *c,
                              const char *architecture) {
    wn__model_config again;
    if (wn__hf_config_write(*state, c) != WN_OK) fail_msg("%s", wn_last_error());
    if (wn__hf_config_read(*state, &again) != WN_OK) fail_msg("%s", wn_last_error());
    expect_same(&again, c);
    wn__json *j = written(state);
    const wn__json *list = wn__json_get(j, "architectures");
    assert_string_equal(wn__json_string(wn__json_at(list, 0), NULL), architecture);
    assert_string_equal(wn__json_string(wn__json_get(j, "torch_dtype"), NULL), "float32");
    wn__json_free(j);
}

static void round_trips(void **state) {
    wn__model_config c = plain();
    expect_round_trip(state, &c, "LlamaForCausalLM");
    c.mlp = WN_MLP_RELU2;
    c.rms_eps = 1.0 / 3.0 * 1e-5;
    c.mlp_bias = true;
    expect_round_trip(state, &c, "ArceeForCausalLM");
    c.qkv_bias = c.o_bias = c.tied = true;
    c.bos = 5;
    c.eos_count = 1;
    c.eos[0] = 63;
    expect_round_trip(state, &c, "ArceeForCausalLM");
    c.mlp = WN_MLP_RELU;
    expect_round_trip(state, &c, "ArceeForCausalLM");
    wn__json *j = written(state); // as transformers spells it
    assert_string_equal(wn__json_string(wn__json_get(j, "hidden_act"), NULL), "relu");
    wn__json_free(j);
    c.mlp = WN_MLP_SWIGLU;
    c.rope = WN_ROPE_LINEAR;
    c.rope_factor = 2.5;
    c.eos_count = WN_MAX_EOS;
    for (int i = 0; i < WN_MAX_EOS; i++)
        c.eos[i] = 10 + i;
    expect_round_trip(state, &c, "LlamaForCausalLM");
    c.o_bias = c.mlp_bias = false;
    c.kv_heads = 1;
    c.head_dim = 128;
    c.rope = WN_ROPE_LLAMA3;
    c.rope_low_freq = 1;
    c.rope_high_freq = 4;
    c.rope_original_positions = 64;
    c.rope_theta = 12345.678;
    c.init_std = 0;
    expect_round_trip(state, &c, "Qwen2ForCausalLM");
}

// Versions 4 and 5 of transformers look in different places.
static void writes_both_rope_spellings(void **state) {
    wn__model_config c = plain();
    c.rope = WN_ROPE_LLAMA3;
    c.rope_theta = 500000;
    c.rope_factor = 32;
    c.rope_low_freq = 1;
    c.rope_high_freq = 4;
    c.rope_original_positions = 256;
    assert_int_equal(wn__hf_config_write(*state, &c), WN_OK);
    wn__json *j = written(state);
    const wn__json *flat = wn__json_get(j, "rope_scaling");
    const wn__json *nested = wn__json_get(j, "rope_parameters");
    assert_true(wn__json_real(wn__json_get(j, "rope_theta")) == 500000);
    assert_true(wn__json_real(wn__json_get(nested, "rope_theta")) == 500000);
    assert_string_equal(wn__json_string(wn__json_get(flat, "rope_type"), NULL), "llama3");
    assert_string_equal(wn__json_string(wn__json_get(nested, "rope_type"), NULL), "llama3");
    assert_true(wn__json_real(wn__json_get(flat, "factor")) == 32);
    assert_true(wn__json_real(wn__json_get(nested, "high_freq_factor")) == 4);
    // transformers checks types: these are floats there
    assert_int_equal(wn__json_typeof(wn__json_get(j, "rope_theta")), WN_JSON_REAL);
    assert_int_equal(wn__json_typeof(wn__json_get(j, "rms_norm_eps")), WN_JSON_REAL);
    assert_int_equal(wn__json_typeof(wn__json_get(j, "bos_token_id")), WN_JSON_NULL);
    wn__json_free(j);
}

static void refuses_to_write(void **state) {
    wn__model_config c = plain();
    c.o_bias = true;
    assert_int_equal(wn__hf_config_write(*state, &c), WN_UNSUPPORTED);
    assert_non_null(strstr(wn_last_error(), "biases on o only"));
    c.o_bias = false;
    c.qkv_bias = c.mlp_bias = true;
    assert_int_equal(wn__hf_config_write(*state, &c), WN_UNSUPPORTED);
    c.mlp_bias = false;
    c.mlp = WN_MLP_RELU2;
    assert_int_equal(wn__hf_config_write(*state, &c), WN_UNSUPPORTED);
    assert_non_null(strstr(wn_last_error(), "without a gate"));
    c = plain();
    c.head_dim = 7;
    assert_int_equal(wn__hf_config_write(*state, &c), WN_INVALID);
    wn__names names;
    assert_int_equal(wn__dir_list(*state, &names), WN_OK);
    assert_int_equal(names.count, 0);
    wn__names_free(&names);
}

// ---- checks and counts ----

static void expect_invalid(const wn__model_config *c, const char *fragment) {
    wn_status status = wn__model_config_check(c);
    if (status != WN_INVALID || strstr(wn_last_error(), fragment) == NULL)
        fail_msg("%s: %s\n expected ...%s...", wn_status_name(status), wn_last_error(), fragment);
}

static void checks_ranges(void **state) {
    (void)state;
    const wn__model_config good = plain();
    assert_int_equal(wn__model_config_check(&good), WN_OK);
#define BAD(field, value, fragment)                                                                \
    do {                                                                                           \
        wn__model_config c = good;                                                                 \
        c.field = (value);                                                                         \
        expect_invalid(&c, fragment);                                                              \
    } while (0)
    BAD(vocab_size, 0, "vocab_size is 0, but must be at least 1; the nearest legal value is 1");
    BAD(hidden_size, -8, "hidden_size is -8");
    BAD(intermediate_size, INT64_MAX, "nearest legal value is 2147483647");
    BAD(layers, (int64_t)1 << 31, "num_hidden_layers is 2147483648, but must be below 2^31");
    BAD(heads, 0, "num_attention_heads is 0");
    BAD(heads, 3,
        "num_key_value_heads is 4, but must be a divisor of num_attention_heads; the "
        "nearest legal value is 3");
    BAD(kv_heads, 3, "nearest legal value is 4");
    BAD(head_dim, 7, "head_dim is 7, but must be even; the nearest legal value is 8");
    BAD(head_dim, (int64_t)1 << 30,
        "below 2^31 / num_attention_heads; the nearest legal value is "
        "536870910");
    BAD(hidden_size, 33, "a multiple of num_attention_heads; the nearest legal value is 32");
    BAD(hidden_size, 2, "the nearest legal value is 4");
    BAD(max_positions, 0, "max_position_embeddings is 0");
    BAD(rms_eps, 0, "rms_norm_eps is 0");
    BAD(rms_eps, (double)INFINITY, "rms_norm_eps is inf");
    BAD(rope_theta, (double)NAN, "rope_theta is nan");
    BAD(rope, (wn__rope_kind)7, "rope_type is 7");
    BAD(rope, WN_ROPE_LINEAR, "rope factor is 0");
    BAD(init_std, -0.1, "initializer_range is -0.1");
    BAD(init_std, (double)NAN, "initializer_range is nan");
    BAD(mlp, (wn__mlp_kind)5, "kind of MLP is 5");
    BAD(bos, 64, "bos_token_id is 64, but must be below vocab_size; the nearest legal value is 63");
    BAD(bos, -2, "bos_token_id is -2");
    BAD(eos_count, 9, "number of eos ids is 9");
    BAD(eos_count, -1, "number of eos ids is -1");
#undef BAD
    wn__model_config c = good;
    c.eos_count = 2;
    c.eos[1] = 64;
    expect_invalid(&c, "eos_token_id is 64");
    c = good;
    c.vocab_size = c.hidden_size = c.intermediate_size = c.layers = 2147483647;
    c.heads = c.kv_heads = 1;
    c.head_dim = 2147483646;
    expect_invalid(&c, "the parameters pass 2^63");
    assert_int_equal(wn__model_config_params(&c), INT64_MAX);
}

static void counts_parameters(void **state) {
    (void)state;
    wn__model_config c = plain();
    c.vocab_size = 32000;
    c.hidden_size = 4096;
    c.intermediate_size = 11008;
    c.layers = c.heads = c.kv_heads = 32;
    c.head_dim = 128;
    assert_int_equal(wn__model_config_params(&c), 6738415616); // Llama-2-7B
    c.vocab_size = 128256;
    c.hidden_size = 3072;
    c.intermediate_size = 8192;
    c.layers = 28;
    c.heads = 24;
    c.kv_heads = 8;
    c.tied = true;
    assert_int_equal(wn__model_config_params(&c), 3212749824); // Llama-3.2-3B
    c = plain();
    // By hand: embedding and head 2*64*32, last norm 32; a layer has q, k, v, o of 32*32, two norms
    // of 32, and three or two matrices of 32*48.
    assert_int_equal(wn__model_config_params(&c), 4096 + 32 + 3 * (4096 + 64 + 4608));
    c.mlp = WN_MLP_RELU2;
    assert_int_equal(wn__model_config_params(&c), 4096 + 32 + 3 * (4096 + 64 + 3072));
    c.mlp_bias = true; // 48 + 32
    c.qkv_bias = true; // 3 * 32
    assert_int_equal(wn__model_config_params(&c), 4096 + 32 + 3 * (4096 + 64 + 3072 + 80 + 96));
    c.o_bias = true;
    c.kv_heads = 2; // k and v of 32*16
    assert_int_equal(wn__model_config_params(&c), 4096 + 32 + 3 * (3072 + 64 + 3072 + 80 + 96));
}

int main(void) {
#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_in_defaults),
        cmocka_unit_test(reads_every_key),
        cmocka_unit_test(reads_the_other_families),
        cmocka_unit_test(reads_both_rope_spellings),
        cmocka_unit_test(refuses_by_name),
        cmocka_unit_test(reads_files_of_transformers),
        cmocka_unit_test(reads_more_files_of_transformers),
        IN_SCRATCH(generation_config_wins),
        IN_SCRATCH(round_trips),
        IN_SCRATCH(writes_both_rope_spellings),
        IN_SCRATCH(refuses_to_write),
        cmocka_unit_test(checks_ranges),
        cmocka_unit_test(counts_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
