// SPDX-License-Identifier: MIT
// libFuzzer target: any bytes as a config.json. What is accepted must pass the check and have a
// number of parameters; what it says of 2:4 activations and weights must be something that could be
// written.
#include "formats/hf_sparsity.h"
#include "nn/structure.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition) abort();
}

// The rule that the model is built by.
static void look_at_chain(const wn__hf_kron *k) {
    const wn__structure base = wn__structure_defaults();
    wn__structure_rules rules;
    char *rule;
    require(strncmp(k->layer, "model.layers.", 13) == 0 || strcmp(k->layer, "lm_head") == 0);
    if (wn__hf_kron_rule(k, &rule) != WN_OK) return;
    const char *const text = rule;
    require(wn__structure_rules_parse(&text, 1, &base, &rules) == WN_OK);
    require(rules.count == 1 && rules.rule[0].structure.kind == WN_STRUCTURE_KRON);
    wn__structure_rules_free(&rules);
    free(rule);
}

static void look_at_sparsity(const char *text, size_t size, const wn__model_config *c) {
    wn__hf_sparsity s;
    if (wn__hf_sparsity_parse(text, size, "fuzz", c, &s) != WN_OK) {
        require(strstr(wn_last_error(), "fuzz") != NULL && s.item == NULL && s.count == 0);
        require(s.weight == NULL && s.weights == 0 && s.kron == NULL && s.krons == 0);
        return;
    }
    for (size_t i = 0; i < s.count; i++) {
        const wn__hf_sparse *item = &s.item[i];
        bool soft = strncmp(item->method, "soft", 4) == 0;
        require(isfinite(item->scale) && (item->scale != 0) == soft);
        require(strncmp(item->layer, "model.layers.", 13) == 0 ||
                (item->input && !c->tied && strcmp(item->layer, "lm_head") == 0));
        require(item->input || c->mlp != WN_MLP_SWIGLU);
    }
    for (size_t i = 0; i < s.weights; i++) {
        const wn__hf_sparse *item = &s.weight[i];
        bool tile = strcmp(item->method, "tile") == 0;
        require(tile || strcmp(item->method, "row") == 0);
        require(item->input && item->scale == 0);
        require(strncmp(item->layer, "model.layers.", 13) == 0 ||
                (!c->tied && strcmp(item->layer, "lm_head") == 0));
    }
    for (size_t i = 0; i < s.krons; i++)
        look_at_chain(&s.kron[i]);
    wn__hf_sparsity_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    wn__model_config c;
    if (wn__hf_config_parse((const char *)data, size, "fuzz", &c) != WN_OK) {
        require(strstr(wn_last_error(), "fuzz") != NULL && c.vocab_size == 0);
        return 0;
    }
    require(wn__model_config_check(&c) == WN_OK);
    int64_t params = wn__model_config_params(&c);
    require(params > 0 && params < INT64_MAX);
    require(c.heads % c.kv_heads == 0 && c.eos_count >= 0 && c.eos_count <= WN_MAX_EOS);
    look_at_sparsity((const char *)data, size, &c);
    return 0;
}
