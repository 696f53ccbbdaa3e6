// SPDX-License-Identifier: MIT
// The member "winnow" of config.json: which activations, inputs and weights are 2:4, read and
// written. As in the rest of the file, what would change the result and is not understood is
// refused.
#include "formats/hf_sparsity.h"

#include "base/fail.h"
#include "base/file.h"
#include "formats/hf_json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_LIMIT ((size_t)16 << 20)
#define PATH_SIZE    4096
#define WHERE_SIZE   (PATH_SIZE + 96)

// The lists of the member.
typedef enum kind { ACTIVATION, INPUT, WEIGHT, KINDS } kind;

static const char *const list_key[KINDS] = {"activation_sparsity", "input_sparsity",
                                            "weight_sparsity"};

typedef struct method {
    const char *name;
    kind kind;
    bool scaled;
} method;

static const method methods[] = {
    {"naive", ACTIVATION, false},
    {"mvue", ACTIVATION, false},
    {"soft", ACTIVATION, true},
    {"soft_weights", ACTIVATION, true},
    {"soft_dynamic", ACTIVATION, true},
    {"soft", INPUT, true},
    {"mvue", INPUT, false},
    {"row", WEIGHT, false},
    {"tile", WEIGHT, false},
};
static const char *const legal_methods[KINDS] = {"naive, mvue, soft, soft_weights, soft_dynamic",
                                                 "soft, mvue", "row, tile"};

// What there is in a block, in the order of the model.
static const struct {
    const char *name;
    bool linear, gate;
} parts[] = {
    {"mlp.act", false, false},         {"self_attn.q_proj", true, false},
    {"self_attn.k_proj", true, false}, {"self_attn.v_proj", true, false},
    {"self_attn.o_proj", true, false}, {"mlp.gate_proj", true, true},
    {"mlp.up_proj", true, false},      {"mlp.down_proj", true, false},
};
#define KRON_KEY     "kron"
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

// ---- one item ----

// The place of a layer in the model, as its name says; -1: it has none of that name.
static int64_t place_of(const char *layer, kind k, const wn__model_config *c) {
    static const char prefix[] = "model.layers.";
    bool gated = c->mlp == WN_MLP_SWIGLU, linear = k != ACTIVATION;
    if (linear && strcmp(layer, "lm_head") == 0)
        return c->tied ? -1 : c->layers * (int64_t)COUNT(parts);
    if (strncmp(layer, prefix, sizeof prefix - 1) != 0) return -1;
    const char *digits = layer + sizeof prefix - 1;
    size_t n = strspn(digits, "0123456789");
    if (n == 0 || digits[n] != '.' || (n > 1 && digits[0] == '0')) return -1;
    int64_t block = strtoll(digits, NULL, 10); // too many digits: the largest there is
    if (block >= c->layers) return -1;
    for (size_t i = 0; i < COUNT(parts); i++) {
        if (parts[i].linear != linear || strcmp(parts[i].name, digits + n + 1) != 0) continue;
        bool there = linear ? gated || !parts[i].gate : !gated;
        return there ? block * (int64_t)COUNT(parts) + (int64_t)i : -1;
    }
    return -1;
}

static wn_status refuse_layer(wn_status status, const char *where, const char *layer, kind k,
                              const wn__model_config *c) {
    if (k == ACTIVATION && c->mlp == WN_MLP_SWIGLU)
        return wn__fail(status,
                        "%s: 'layer' is '%.64s', but an MLP with a gate has no 2:4 activation",
                        where, layer);
    return wn__fail(status,
                    "%s: 'layer' is '%.64s', expected %s of one of the %lld layers, as in "
                    "'model.layers.0.mlp.%s'",
                    where, layer, k == ACTIVATION ? "the activation" : "a linear layer",
                    (long long)c->layers, k == ACTIVATION ? "act" : "up_proj");
}

static const method *method_named(const char *name, kind k) {
    for (size_t i = 0; i < COUNT(methods); i++)
        if (methods[i].kind == k && strcmp(methods[i].name, name) == 0) return &methods[i];
    return NULL;
}

static wn_status read_method(const char *where, const wn__json *o, kind k, const method **out) {
    const char *name;
    WN_TRY(wn__json_get_string(o, where, "method", NULL, &name));
    *out = method_named(name, k);
    if (*out != NULL) return WN_OK;
    return wn__fail(WN_FORMAT, "%s: 'method' is '%.64s', expected one of %s", where, name,
                    legal_methods[k]);
}

static bool legal_scale(double scale, kind k) {
    return isfinite(scale) && (k == INPUT ? scale > 0 : scale != 0);
}

static wn_status read_scale(const char *where, const wn__json *o, const method *m, double *out) {
    *out = 0;
    if (!m->scaled && wn__json_get(o, "scale") == NULL) return WN_OK;
    if (!m->scaled)
        return wn__fail(WN_FORMAT, "%s: 'scale' is there, but method '%s' has none", where,
                        m->name);
    WN_TRY(wn__json_get_real(o, where, "scale", NULL, out));
    if (legal_scale(*out, m->kind)) return WN_OK;
    return wn__fail(WN_FORMAT, "%s: 'scale' is %g, expected a finite number %s 0", where, *out,
                    m->kind == INPUT ? "above" : "other than");
}

// UNSUPPORTED unless every key is one of `known`.
static wn_status check_keys(const char *where, const wn__json *o, const char *const *known,
                            size_t count) {
    void *iter = NULL;
    const char *key;
    while (wn__json_next(o, &iter, &key, NULL, NULL)) {
        size_t i = 0;
        while (i < count && strcmp(key, known[i]) != 0)
            i++;
        if (i == count) return wn__fail(WN_UNSUPPORTED, "%s: '%.64s' is not supported", where, key);
    }
    return WN_OK;
}

static wn_status read_item(const char *where, const wn__json *o, kind k, const wn__model_config *c,
                           wn__hf_sparse *out) {
    static const char *const known[] = {"layer", "method", "scale"};
    const char *layer;
    const method *m;
    if (wn__json_typeof(o) != WN_JSON_OBJECT)
        return wn__fail(WN_FORMAT, "%s: expected an object, found %s", where, wn__json_typename(o));
    WN_TRY(check_keys(where, o, known, COUNT(known)));
    WN_TRY(wn__json_get_string(o, where, "layer", NULL, &layer));
    if (place_of(layer, k, c) < 0) return refuse_layer(WN_FORMAT, where, layer, k, c);
    (void)snprintf(out->layer, sizeof out->layer, "%s", layer);
    WN_TRY(read_method(where, o, k, &m));
    out->method = m->name;
    return read_scale(where, o, m, &out->scale);
}

// ---- the lists ----

typedef struct placed {
    int64_t place;
    size_t item;
} placed;

static int by_place(const void *a, const void *b) {
    int64_t x = ((const placed *)a)->place, y = ((const placed *)b)->place;
    return (x > y) - (x < y);
}

// FORMAT names a layer that is there twice.
static wn_status check_once(const char *where, const wn__hf_sparse *item, size_t count,
                            const wn__model_config *c) {
    placed *all = calloc(count + 1, sizeof *all);
    if (all == NULL) return wn__fail(WN_NOMEM, "%s: no memory for %zu items", where, count);
    for (size_t i = 0; i < count; i++)
        all[i] = (placed){.place = place_of(item[i].layer, item[i].input ? INPUT : ACTIVATION, c),
                          .item = i};
    qsort(all, count, sizeof *all, by_place);
    wn_status status = WN_OK;
    for (size_t i = 1; i < count && status == WN_OK; i++)
        if (all[i].place == all[i - 1].place)
            status =
                wn__fail(WN_FORMAT, "%s: 'layer' is '%s' twice", where, item[all[i].item].layer);
    free(all);
    return status;
}

// Behind what out has; there is room.
static wn_status read_list(const char *name, const wn__json *list, kind k,
                           const wn__model_config *c, wn__hf_sparsity *out) {
    char where[WHERE_SIZE];
    (void)snprintf(where, sizeof where, "%.*s: 'winnow' '%s'", PATH_SIZE, name, list_key[k]);
    if (wn__json_typeof(list) <= WN_JSON_NULL) return WN_OK;
    if (wn__json_typeof(list) != WN_JSON_ARRAY)
        return wn__fail(WN_FORMAT, "%s: expected an array, found %s", where,
                        wn__json_typename(list));
    size_t n = strlen(where), *count = k == WEIGHT ? &out->weights : &out->count, first = *count;
    wn__hf_sparse *all = k == WEIGHT ? out->weight : out->item;
    for (size_t i = 0; i < wn__json_count(list); i++) {
        wn__hf_sparse *item = &all[(*count)++];
        *item = (wn__hf_sparse){.input = k != ACTIVATION};
        (void)snprintf(where + n, sizeof where - n, " [%zu]", i);
        WN_TRY(read_item(where, wn__json_at(list, i), k, c, item));
    }
    where[n] = '\0';
    return check_once(where, all + first, *count - first, c);
}

// ---- chains ----

static bool read_number(const char **at) {
    size_t n = strspn(*at, "0123456789");
    bool legal = n > 0 && n < 10 && **at != '0';
    *at += n;
    return legal;
}

static bool read_word(const char **at, const char *word) {
    size_t n = strlen(word);
    bool there = strncmp(*at, word, n) == 0;
    if (there) *at += n;
    return there;
}

// butterfly or monarch:B[xC][:R], and perhaps +lowrank:K.
static bool legal_chain(const char *text) {
    const char *at = text;
    if (!read_word(&at, "butterfly")) {
        if (!read_word(&at, "monarch:") || !read_number(&at)) return false;
        if (*at == 'x' && (at++, !read_number(&at))) return false;
        if (*at == ':' && (at++, !read_number(&at))) return false;
    }
    if (*at == '+') return read_word(&at, "+lowrank:") && read_number(&at) && *at == 0;
    return *at == 0;
}

static wn_status check_chain(wn_status status, const char *where, const char *layer,
                             const char *chain, const wn__model_config *c) {
    if (place_of(layer, WEIGHT, c) < 0) return refuse_layer(status, where, layer, WEIGHT, c);
    if (strlen(chain) < WN_HF_CHAIN && legal_chain(chain)) return WN_OK;
    return wn__fail(status,
                    "%s: 'chain' is '%.64s', expected butterfly or monarch:B[xC][:R], perhaps with "
                    "+lowrank:K",
                    where, chain);
}

static wn_status read_chain(const char *where, const wn__json *o, const wn__model_config *c,
                            wn__hf_sparsity *out) {
    static const char *const known[] = {"layer", "chain"};
    const char *layer, *chain;
    if (wn__json_typeof(o) != WN_JSON_OBJECT)
        return wn__fail(WN_FORMAT, "%s: expected an object, found %s", where, wn__json_typename(o));
    WN_TRY(check_keys(where, o, known, COUNT(known)));
    WN_TRY(wn__json_get_string(o, where, "layer", NULL, &layer));
    WN_TRY(wn__json_get_string(o, where, "chain", NULL, &chain));
    WN_TRY(check_chain(WN_FORMAT, where, layer, chain, c));
    for (size_t i = 0; i < out->krons; i++) // no more than there are layers
        if (strcmp(out->kron[i].layer, layer) == 0)
            return wn__fail(WN_FORMAT, "%s: 'layer' is '%s' twice", where, layer);
    wn__hf_kron *k = &out->kron[out->krons++];
    (void)snprintf(k->layer, sizeof k->layer, "%s", layer);
    (void)snprintf(k->chain, sizeof k->chain, "%s", chain);
    return WN_OK;
}

static wn_status read_chains(const char *name, const wn__json *list, const wn__model_config *c,
                             wn__hf_sparsity *out) {
    char where[WHERE_SIZE];
    (void)snprintf(where, sizeof where, "%.*s: 'winnow' '%s'", PATH_SIZE, name, KRON_KEY);
    if (wn__json_typeof(list) <= WN_JSON_NULL) return WN_OK;
    if (wn__json_typeof(list) != WN_JSON_ARRAY)
        return wn__fail(WN_FORMAT, "%s: expected an array, found %s", where,
                        wn__json_typename(list));
    size_t n = strlen(where);
    out->kron = calloc(wn__json_count(list) + 1, sizeof *out->kron);
    if (out->kron == NULL) return wn__fail(WN_NOMEM, "%s: no memory for its layers", where);
    for (size_t i = 0; i < wn__json_count(list); i++) {
        (void)snprintf(where + n, sizeof where - n, " [%zu]", i);
        WN_TRY(read_chain(where, wn__json_at(list, i), c, out));
    }
    return WN_OK;
}

wn_status wn__hf_kron_rule(const wn__hf_kron *k, char **out) {
    if (asprintf(out, "%s=kron:%s", k->layer, k->chain) >= 0) return WN_OK;
    *out = NULL;
    return wn__fail(WN_NOMEM, "no memory for sparsity rules");
}

static wn_status read_member(const char *name, const wn__json *root, const wn__model_config *c,
                             wn__hf_sparsity *out) {
    char where[WHERE_SIZE];
    const wn__json *own = wn__json_get(root, "winnow");
    (void)snprintf(where, sizeof where, "%.*s: 'winnow'", PATH_SIZE, name);
    if (wn__json_typeof(own) <= WN_JSON_NULL) return WN_OK;
    if (wn__json_typeof(own) != WN_JSON_OBJECT)
        return wn__fail(WN_FORMAT, "%s: expected an object, found %s", where,
                        wn__json_typename(own));
    static const char *const known[KINDS + 1] = {"activation_sparsity", "input_sparsity",
                                                 "weight_sparsity", KRON_KEY};
    WN_TRY(check_keys(where, own, known, KINDS + 1));
    WN_TRY(read_chains(name, wn__json_get(own, KRON_KEY), c, out));
    size_t most[KINDS];
    for (kind k = 0; k < KINDS; k++)
        most[k] = wn__json_count(wn__json_get(own, list_key[k]));
    out->item = calloc(most[ACTIVATION] + most[INPUT] + 1, sizeof *out->item);
    out->weight = calloc(most[WEIGHT] + 1, sizeof *out->weight);
    if (out->item == NULL || out->weight == NULL)
        return wn__fail(WN_NOMEM, "%s: no memory for its layers", where);
    for (kind k = 0; k < KINDS; k++)
        WN_TRY(read_list(name, wn__json_get(own, list_key[k]), k, c, out));
    return WN_OK;
}

wn_status wn__hf_sparsity_parse(const char *bytes, size_t size, const char *name,
                                const wn__model_config *config, wn__hf_sparsity *out) {
    *out = (wn__hf_sparsity){0};
    wn__json *root;
    WN_TRY(wn__json_parse(bytes, size, name, &root));
    wn_status status = read_member(name, root, config, out);
    wn__json_free(root);
    if (status != WN_OK) wn__hf_sparsity_free(out);
    return status;
}

wn_status wn__hf_sparsity_read(const char *dir, const wn__model_config *config,
                               wn__hf_sparsity *out) {
    *out = (wn__hf_sparsity){0};
    char path[PATH_SIZE], *bytes;
    size_t size;
    WN_TRY(wn__path_join(path, sizeof path, dir, "config.json"));
    WN_TRY(wn__file_read(path, CONFIG_LIMIT, &bytes, &size));
    wn_status status = wn__hf_sparsity_parse(bytes, size, path, config, out);
    free(bytes);
    return status;
}

void wn__hf_sparsity_free(wn__hf_sparsity *s) {
    free(s->item);
    free(s->weight);
    free(s->kron);
    *s = (wn__hf_sparsity){0};
}

// ---- writing ----

static wn_status check_item(const wn__hf_sparse *s, kind k, const wn__model_config *c) {
    const method *m = method_named(s->method, k);
    if (place_of(s->layer, k, c) < 0)
        return refuse_layer(WN_INVALID, "config.json", s->layer, k, c);
    if (m == NULL)
        return wn__fail(WN_INVALID, "config.json: %s by '%s', expected one of %s", s->layer,
                        s->method, legal_methods[k]);
    if (m->scaled ? legal_scale(s->scale, k) : s->scale == 0) return WN_OK;
    return wn__fail(WN_INVALID, "config.json: %s by '%s' with a scale of %g", s->layer, s->method,
                    s->scale);
}

static wn_status put_item(wn__json *list, const wn__hf_sparse *s) {
    wn__json *o = wn__json_new_object();
    WN_TRY(wn__json_append(list, o));
    WN_TRY(wn__json_set(o, "layer", wn__json_new_string(s->layer)));
    WN_TRY(wn__json_set(o, "method", wn__json_new_string(s->method)));
    return s->scale != 0 ? wn__json_set(o, "scale", wn__json_new_real(s->scale)) : WN_OK;
}

// Whether the item, of either array, is one of the list.
static bool listed(const wn__hf_sparse *item, kind k) {
    return k == WEIGHT || item->input == (k == INPUT);
}

static wn_status put_list(wn__json *own, const wn__hf_sparsity *s, kind k,
                          const wn__model_config *c) {
    const wn__hf_sparse *all = k == WEIGHT ? s->weight : s->item;
    size_t count = k == WEIGHT ? s->weights : s->count;
    wn__json *list = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!listed(&all[i], k)) continue;
        WN_TRY(check_item(&all[i], k, c));
        if (list == NULL) {
            list = wn__json_new_array();
            WN_TRY(wn__json_set(own, list_key[k], list));
        }
        WN_TRY(put_item(list, &all[i]));
    }
    return WN_OK;
}

static wn_status put_chains(wn__json *own, const wn__hf_sparsity *s, const wn__model_config *c) {
    if (s->krons == 0) return WN_OK;
    wn__json *list = wn__json_new_array();
    WN_TRY(wn__json_set(own, KRON_KEY, list));
    for (size_t i = 0; i < s->krons; i++) {
        const wn__hf_kron *k = &s->kron[i];
        WN_TRY(check_chain(WN_INVALID, "config.json", k->layer, k->chain, c));
        wn__json *o = wn__json_new_object();
        WN_TRY(wn__json_append(list, o));
        WN_TRY(wn__json_set(o, "layer", wn__json_new_string(k->layer)));
        WN_TRY(wn__json_set(o, "chain", wn__json_new_string(k->chain)));
    }
    return WN_OK;
}

wn_status wn__hf_json_put_sparsity(wn__json *root, const wn__model_config *c,
                                   const wn__hf_sparsity *s) {
    if (s == NULL || s->count + s->weights + s->krons == 0) return WN_OK;
    wn__json *own = wn__json_new_object();
    WN_TRY(wn__json_set(root, "winnow", own));
    for (kind k = 0; k < KINDS; k++)
        WN_TRY(put_list(own, s, k, c));
    return put_chains(own, s, c);
}

wn_status wn__hf_config_copy_sparse(const char *from, const char *to, const wn__model_config *c,
                                    const wn__hf_sparsity *s) {
    char path[PATH_SIZE];
    wn__json *root;
    WN_TRY(wn__path_join(path, sizeof path, from, "config.json"));
    WN_TRY(wn__json_read(path, CONFIG_LIMIT, &root));
    wn_status status = wn__hf_json_put_sparsity(root, c, s);
    if (status == WN_OK) status = wn__hf_json_write(to, "config.json", root);
    wn__json_free(root);
    return status;
}
