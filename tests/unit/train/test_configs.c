// SPDX-License-Identifier: MIT
// Configurations by name and from files: the published sizes, the parameters they come to, and what
// an MLP without a gate makes of them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "train/trainer.h"
#include "unit/base/scratch.h"
#include "unit/base/status.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

// Published: name, d, i, layers, heads, vocabulary, millions of parameters and of those in linear
// layers, and int(1.5 i).
static void test_table(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int64_t width, intermediate, layers, heads, vocab;
        double params, linear;
        int64_t ungated;
    } rows[] = {
        {"toy", 16, 20, 4, 4, 32000, 1.03, 0.01, 30},
        {"9m", 128, 352, 4, 4, 32000, 9.00, 0.80, 528},
        {"20m", 256, 688, 4, 4, 32000, 19.55, 3.16, 1032},
        {"35m", 384, 1024, 6, 8, 32000, 35.20, 10.62, 1536},
        {"40m", 416, 1024, 8, 8, 32000, 42.39, 15.76, 1536},
        {"40m4d", 480, 1400, 4, 8, 32000, 42.47, 11.75, 2100},
        {"60m", 512, 1376, 8, 8, 32000, 58.07, 25.30, 2064},
        {"71m", 512, 1368, 12, 8, 32000, 70.58, 37.80, 2052},
        {"94m", 640, 1450, 12, 10, 32100, 94.17, 53.07, 2175},
        {"94m6d", 820, 1720, 6, 10, 32100, 94.18, 41.52, 2580},
        {"94m8d", 760, 1475, 8, 10, 32100, 94.19, 45.39, 2212},
        {"100m", 640, 1708, 12, 10, 32100, 100.12, 59.01, 2562},
        {"130m", 768, 2048, 12, 12, 32000, 134.11, 84.93, 3072},
        {"185m12d", 1024, 1880, 12, 16, 32000, 185.20, 119.64, 2820},
        {"185m", 736, 1640, 24, 16, 32000, 186.05, 138.91, 2460},
        {"250m", 768, 2560, 24, 16, 32000, 247.37, 198.18, 3840},
        {"350m", 1024, 2736, 24, 16, 32000, 367.97, 302.38, 4104},
        {"609m12d", 1984, 4115, 12, 32, 32000, 609.88, 482.85, 6172},
        {"609m", 1408, 3250, 24, 32, 32000, 609.97, 519.79, 4875},
        {"1b", 2048, 5461, 24, 32, 32000, 1339.08, 1207.91, 8191},
        {"3b", 2560, 6848, 32, 32, 32000, 2685.83, 2521.83, 10272},
        {"7bslim", 4096, 8192, 32, 32, 32000, 5631.12, 5368.71, 12288},
        {"7b", 4096, 11008, 32, 32, 32000, 6738.42, 6476.01, 16512},
    };
    size_t count;
    const wn_llama_config *all = wn_llama_configs(&count);
    assert_int_equal(count, sizeof rows / sizeof *rows);
    for (size_t i = 0; i < count; i++) {
        const wn_llama_config *c = wn_llama_config_find(rows[i].name);
        wn__model_config m;
        assert_non_null(c);
        assert_ptr_equal(c, &all[i]);
        assert_int_equal(c->hidden_size, rows[i].width);
        assert_int_equal(c->intermediate_size, rows[i].intermediate);
        assert_int_equal(c->layers, rows[i].layers);
        assert_int_equal(c->heads, rows[i].heads);
        assert_int_equal(c->vocab_size, rows[i].vocab);
        assert_int_equal(c->max_positions, strncmp(rows[i].name, "7b", 2) == 0 ? 2048 : 1024);
        assert_int_equal(c->intermediate_size * 3 / 2, rows[i].ungated);
        OK(wn__named_config(rows[i].name, &m));
        OK(wn__model_config_check(&m));
        double linear = (double)(c->layers * (4 * c->hidden_size * c->hidden_size +
                                              3 * c->hidden_size * c->intermediate_size));
        assert_true(fabs((double)wn__model_config_params(&m) / 1e6 - rows[i].params) < 0.0051);
        assert_true(fabs(linear / 1e6 - rows[i].linear) < 0.0051);
    }
}

static void test_names(void **state) {
    (void)state;
    static const char *const same[] = {"130m", "llama_130m", "llama_130m.json",
                                       "configs/llama_130m.json", "/a/b/130m.json"};
    static const char *const none[] = {"",         "llama_", "131m", "llama_130M",
                                       "130m.txt", "m",      "x130m"};
    const wn_llama_config *want = wn_llama_config_find("130m");
    assert_string_equal(want->name, "llama_130m");
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        assert_ptr_equal(wn_llama_config_find(same[i]), want);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_null(wn_llama_config_find(none[i]));
    wn__model_config c;
    assert_int_equal(wn__named_config("llama_131m", &c), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "llama_131m"));
    assert_non_null(strstr(wn_last_error(), " 130m "));
    assert_non_null(strstr(wn_last_error(), " 7b}"));
}

static void test_defaults(void **state) {
    (void)state;
    wn__model_config c;
    OK(wn__named_config("60m", &c));
    assert_int_equal(c.kv_heads, 8);
    assert_int_equal(c.head_dim, 64);
    assert_int_equal(c.mlp, WN_MLP_SWIGLU);
    assert_true(c.rms_eps == 1e-6 && c.rope_theta == 10000 && c.init_std == 0.02);
    assert_false(c.tied || c.qkv_bias || c.o_bias || c.mlp_bias);
    assert_int_equal(c.bos, 0);
    assert_true(c.eos_count == 1 && c.eos[0] == 1);
}

static const char *config_file(void *const *state, const char *name, const char *text) {
    const char *path = scratch_path(state, name);
    OK(wn__file_write(path, text, strlen(text)));
    return path;
}

// A file of that name wins over the table; the spellings of these papers' files are read.
static void test_file(void **state) {
    wn__model_config c;
    const char *path = config_file(
        state, "llama_130m.json",
        "{\"architectures\": [\"LLaMAForCausalLM\"], \"bos_token_id\": 0, \"eos_token_id\": 1,"
        " \"hidden_act\": \"silu\", \"hidden_size\": 24, \"intermediate_size\": 40,"
        " \"initializer_range\": 0.03, \"max_sequence_length\": 77, \"model_type\": \"llama\","
        " \"num_attention_heads\": 4, \"num_hidden_layers\": 3, \"pad_token_id\": -1,"
        " \"rms_norm_eps\": 1e-05, \"use_cache\": true, \"vocab_size\": 500}");
    OK(wn__named_config(path, &c));
    assert_int_equal(c.hidden_size, 24);
    assert_int_equal(c.intermediate_size, 40);
    assert_int_equal(c.layers, 3);
    assert_int_equal(c.vocab_size, 500);
    assert_int_equal(c.max_positions, 77);
    assert_true(c.init_std == 0.03 && c.rms_eps == 1e-5);
    assert_false(c.tied);
    path = config_file(state, "other.json", "{\"model_type\": \"gpt2\"}");
    assert_int_equal(wn__named_config(path, &c), WN_UNSUPPORTED);
    assert_non_null(strstr(wn_last_error(), "other.json"));
    path = config_file(state, "torn.json", "{\"model_type\": ");
    assert_int_equal(wn__named_config(path, &c), WN_FORMAT);
}

/* What a dry run says of them. */

typedef struct words {
    char text[16384];
    size_t size;
} words;

static void listen(void *ctx, const wn_train_event *e) {
    words *w = ctx;
    if (e->kind == WN_EVENT_TEXT && w->size < sizeof w->text - 1024)
        w->size += (size_t)snprintf(w->text + w->size, 1024, "%s\n", e->text);
}

static wn_status dry(wn_train_options *o, words *w) {
    *w = (words){0};
    o->dry_run = true;
    o->threads = 1;
    o->batch_size = 1;
    o->seq_len = 16;
    return wn_train(o, listen, NULL, w);
}

static void assert_says(const words *w, const char *part) {
    if (strstr(w->text, part) == NULL) fail_msg("'%s' is not in:\n%s", part, w->text);
}

// Neither data nor a directory is needed for the plan.
static void test_plan(void **state) {
    (void)state;
    words w;
    wn_train_options o;
    wn_train_defaults(&o);
    o.model_config = "configs/llama_toy.json";
    OK(dry(&o, &w));
    assert_says(&w, "shape    configs/llama_toy.json\n");
    assert_says(&w, "LlamaForCausalLM, 1032080 parameters: 4 layers, hidden 16, intermediate 20 "
                    "(swiglu), 4 heads, 4 key/value heads, vocabulary 32000\n");
    o.mlp = "relu2";
    OK(dry(&o, &w));
    assert_says(&w, "without a gate 1.5 x its intermediate size: 30 -> 32\n");
    assert_says(&w, "intermediate 32 (relu2)");
    o.round_intermediate = 1;
    OK(dry(&o, &w));
    assert_says(&w, "30 -> 30\n");
    o.model_config = "9m";
    o.mlp = "relu";
    o.tie_embeddings = false; // differs from the default, and from nothing else
    OK(dry(&o, &w));
    assert_says(&w, "intermediate 528 (relu)");
    const char *const given[] = {"tie_embeddings", "model_config"};
    o.given = given;
    o.given_count = 2;
    o.tie_embeddings = true;
    OK(dry(&o, &w));
    assert_says(&w, "tied embeddings");
}

// A resumed run has a directory.
static void test_no_directory(void **state) {
    (void)state;
    words w;
    wn_train_options o;
    wn_train_defaults(&o);
    o.resume = true;
    assert_int_equal(dry(&o, &w), WN_INVALID);
    o.resume = false;
    o.dry_run = false;
    assert_int_equal(wn_train(&o, NULL, NULL, NULL), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "out: no run directory"));
}

// The table of a model that no memory here would hold.
static void test_large(void **state) {
    (void)state;
    words w;
    wn_train_options o;
    wn_train_defaults(&o);
    o.model_config = "7b";
    OK(dry(&o, &w));
    assert_says(&w, "6738415616 parameters");
    assert_says(&w, "  mlp.gate_proj         32  11008 x 4096   dense          5504.00   5504.00");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),       cmocka_unit_test(test_names),
        cmocka_unit_test(test_defaults),    TEST(test_file),
        cmocka_unit_test(test_plan),        cmocka_unit_test(test_large),
        cmocka_unit_test(test_no_directory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
