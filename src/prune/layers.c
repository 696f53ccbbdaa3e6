// SPDX-License-Identifier: MIT
// Which tensors a configuration makes, asked of a draft of the model itself: so that a checkpoint
// that is found whole here can be loaded.
#include "prune/layers.h"

#include "base/fail.h"
#include "model/model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

// A head that is tied is no tensor of its own; every other linear layer of the draft is.
static bool is_linear(wn__model *m, size_t param) {
    for (size_t i = 0; i < wn__model_linear_count(m); i++)
        if (!wn__model_linear(m, i)->factored && wn__model_linear(m, i)->weight == param)
            return true;
    return false;
}

static wn_status list_tensors(wn__model *m, wn__expected_list *out) {
    const wn__params *p = wn__model_params(m);
    out->item = calloc(p->count + 1, sizeof *out->item);
    if (out->item == NULL) return wn__fail(WN_NOMEM, "no memory for %zu tensors", p->count);
    for (size_t i = 0; i < p->count; i++) {
        wn__expected *e = &out->item[out->count++];
        const wn_tensor *w = &p->item[i].w;
        (void)snprintf(e->name, sizeof e->name, "%s", p->item[i].name);
        e->ndim = w->ndim;
        for (int d = 0; d < w->ndim && d < 2; d++)
            e->shape[d] = w->shape[d];
        e->linear = is_linear(m, i);
        out->linear += e->linear;
    }
    return WN_OK;
}

static wn_status make_rules(const wn__hf_sparsity *said, wn__structure_rules *out) {
    const wn__structure base = wn__structure_defaults();
    char **text = calloc(said->krons + 1, sizeof *text);
    wn_status status = text != NULL ? WN_OK : wn__fail(WN_NOMEM, "no memory for sparsity rules");
    for (size_t i = 0; i < said->krons && status == WN_OK; i++)
        status = wn__hf_kron_rule(&said->kron[i], &text[i]);
    if (status == WN_OK)
        status = wn__structure_rules_parse((const char *const *)text, said->krons, &base, out);
    for (size_t i = 0; text != NULL && i < said->krons; i++)
        free(text[i]);
    free(text);
    return status;
}

wn_status wn__expected_make(const wn__model_config *config, const wn__hf_sparsity *said,
                            wn__runtime *rt, wn__expected_list *out) {
    wn__structure_rules rules = {0};
    wn__model *draft = NULL;
    *out = (wn__expected_list){0};
    WN_TRY(make_rules(said, &rules));
    const wn__model_spec spec = {
        .config = *config, .dtype = WN_DTYPE_F32, .batch = 1, .seq = 1, .rules = &rules};
    wn_status status = wn__model_draft(&spec, rt, &draft);
    if (status == WN_OK) status = list_tensors(draft, out);
    wn__model_free(draft);
    wn__structure_rules_free(&rules);
    return status;
}

void wn__expected_free(wn__expected_list *list) {
    free(list->item);
    *list = (wn__expected_list){0};
}

void wn__expected_layer(const wn__expected *e, char out[WN_NAME_MAX]) {
    size_t n = strlen(e->name), tail = strlen(".weight");
    memcpy(out, e->name, n + 1);
    if (n > tail) out[n - tail] = '\0';
}

bool wn__expected_ignored(const char *name, const wn__model_config *config) {
    return ends_with(name, ".rotary_emb.inv_freq") ||
           (config->tied && strcmp(name, "lm_head.weight") == 0);
}
