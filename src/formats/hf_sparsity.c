// SPDX-License-Identifier: MIT
// The member "winnow" of config.json: which activations and inputs are 2:4, read and written. As in
// the rest of the file, what would change the result and is not understood is refused.
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

static const char *const list_key[] = {"activation_sparsity", "input_sparsity"};

typedef struct method {
    const char *name;
    bool input, scaled;
} method;

static const method methods[] = {
    {"naive", false, false},       {"mvue", false, false},        {"soft", false, true},
    {"soft_weights", false, true}, {"soft_dynamic", false, true}, {"soft", true, true},
    {"mvue", true, false},
};
static const char *const legal_methods[] = {"naive, mvue, soft, soft_weights, soft_dynamic",
                                            "soft, mvue"};

// What there is in a block, in the order of the model.
static const struct {
    const char *name;
    bool input, gate;
} parts[] = {
    {"mlp.act", false, false},         {"self_attn.q_proj", true, false},
    {"self_attn.k_proj", true, false}, {"self_attn.v_proj", true, false},
    {"self_attn.o_proj", true, false}, {"mlp.gate_proj", true, true},
    {"mlp.up_proj", true, false},      {"mlp.down_proj", true, false},
};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

// ---- one item ----

// The place of a layer in the model, as its name says; -1: it has none of that name.
static int64_t place_of(const char *layer, bool input, const wn__model_config *c) {
    static const char prefix[] = "model.layers.";
    bool gated = c->mlp == WN_MLP_SWIGLU;
    if (input && strcmp(layer, "lm_head") == 0)
        return c->tied ? -1 : c->layers * (int64_t)COUNT(parts);
    if (strncmp(layer, prefix, sizeof prefix - 1) != 0) return -1;
    const char *digits = layer + sizeof prefix - 1;
    size_t n = strspn(digits, "0123456789");
    if (n == 0 || digits[n] != '.' || (n > 1 && digits[0] == '0')) return -1;
    int64_t block = strtoll(digits, NULL, 10); // too many digits: the largest there is
    if (block >= c->layers) return -1;
    for (size_t i = 0; i < COUNT(parts); i++) {
        if (parts[i].input != input || strcmp(parts[i].name, digits + n + 1) != 0) continue;
        bool there = input ? gated || !parts[i].gate : !gated;
        return there ? block * (int64_t)COUNT(parts) + (int64_t)i : -1;
    }
    return -1;
}

static wn_status refuse_layer(wn_status status, const char *where, const char *layer, bool input,
                              const wn__model_config *c) {
    if (!input && c->mlp == WN_MLP_SWIGLU)
        return wn__fail(status,
                        "%s: 'layer' is '%.64s', but an MLP with a gate has no 2:4 activation",
                        where, layer);
    return wn__fail(status,
                    "%s: 'layer' is '%.64s', expected %s of one of the %lld layers, as in "
                    "'model.layers.0.mlp.%s'",
                    where, layer, input ? "a linear layer" : "the activation", (long long)c->layers,
                    input ? "up_proj" : "act");
}

static const method *method_named(const char *name, bool input) {
    for (size_t i = 0; i < COUNT(methods); i++)
        if (methods[i].input == input && strcmp(methods[i].name, name) == 0) return &methods[i];
    return NULL;
}

static wn_status read_method(const char *where, const wn__json *o, bool input, const method **out) {
    const char *name;
    WN_TRY(wn__json_get_string(o, where, "method", NULL, &name));
    *out = method_named(name, input);
    if (*out != NULL) return WN_OK;
    return wn__fail(WN_FORMAT, "%s: 'method' is '%.64s', expected one of %s", where, name,
                    legal_methods[input]);
}

static bool legal_scale(double scale, bool input) {
    return isfinite(scale) && (input ? scale > 0 : scale != 0);
}

static wn_status read_scale(const char *where, const wn__json *o, const method *m, double *out) {
    *out = 0;
    if (!m->scaled && wn__json_get(o, "scale") == NULL) return WN_OK;
    if (!m->scaled)
        return wn__fail(WN_FORMAT, "%s: 'scale' is there, but method '%s' has none", where,
                        m->name);
    WN_TRY(wn__json_get_real(o, where, "scale", NULL, out));
    if (legal_scale(*out, m->input)) return WN_OK;
    return wn__fail(WN_FORMAT, "%s: 'scale' is %g, expected a finite number %s 0", where, *out,
                    m->input ? "above" : "other than");
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

static wn_status read_item(const char *where, const wn__json *o, const wn__model_config *c,
                           wn__hf_sparse *out) {
    static const char *const known[] = {"layer", "method", "scale"};
    const char *layer;
    const method *m;
    if (wn__json_typeof(o) != WN_JSON_OBJECT)
        return wn__fail(WN_FORMAT, "%s: expected an object, found %s", where, wn__json_typename(o));
    WN_TRY(check_keys(where, o, known, COUNT(known)));
    WN_TRY(wn__json_get_string(o, where, "layer", NULL, &layer));
    if (place_of(layer, out->input, c) < 0)
        return refuse_layer(WN_FORMAT, where, layer, out->input, c);
    (void)snprintf(out->layer, sizeof out->layer, "%s", layer);
    WN_TRY(read_method(where, o, out->input, &m));
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
        all[i] = (placed){.place = place_of(item[i].layer, item[i].input, c), .item = i};
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
static wn_status read_list(const char *name, const wn__json *list, bool input,
                           const wn__model_config *c, wn__hf_sparsity *out) {
    char where[WHERE_SIZE];
    (void)snprintf(where, sizeof where, "%.*s: 'winnow' '%s'", PATH_SIZE, name, list_key[input]);
    if (wn__json_typeof(list) <= WN_JSON_NULL) return WN_OK;
    if (wn__json_typeof(list) != WN_JSON_ARRAY)
        return wn__fail(WN_FORMAT, "%s: expected an array, found %s", where,
                        wn__json_typename(list));
    size_t first = out->count, n = strlen(where);
    for (size_t i = 0; i < wn__json_count(list); i++) {
        wn__hf_sparse *item = &out->item[out->count++];
        *item = (wn__hf_sparse){.input = input};
        (void)snprintf(where + n, sizeof where - n, " [%zu]", i);
        WN_TRY(read_item(where, wn__json_at(list, i), c, item));
    }
    where[n] = '\0';
    return check_once(where, out->item + first, out->count - first, c);
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
    WN_TRY(check_keys(where, own, list_key, COUNT(list_key)));
    size_t most = 0;
    for (int i = 0; i < 2; i++)
        most += wn__json_count(wn__json_get(own, list_key[i]));
    out->item = calloc(most + 1, sizeof *out->item);
    if (out->item == NULL) return wn__fail(WN_NOMEM, "%s: no memory for %zu items", where, most);
    for (int i = 0; i < 2; i++)
        WN_TRY(read_list(name, wn__json_get(own, list_key[i]), i, c, out));
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
    *s = (wn__hf_sparsity){0};
}

// ---- writing ----

static wn_status check_item(const wn__hf_sparse *s, const wn__model_config *c) {
    const method *m = method_named(s->method, s->input);
    if (place_of(s->layer, s->input, c) < 0)
        return refuse_layer(WN_INVALID, "config.json", s->layer, s->input, c);
    if (m == NULL)
        return wn__fail(WN_INVALID, "config.json: %s by '%s', expected one of %s", s->layer,
                        s->method, legal_methods[s->input]);
    if (m->scaled ? legal_scale(s->scale, s->input) : s->scale == 0) return WN_OK;
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

static size_t count_of(const wn__hf_sparsity *s, bool input) {
    size_t n = 0;
    for (size_t i = 0; i < s->count; i++)
        n += s->item[i].input == input;
    return n;
}

static wn_status put_list(wn__json *own, const wn__hf_sparsity *s, bool input) {
    if (count_of(s, input) == 0) return WN_OK;
    wn__json *list = wn__json_new_array();
    WN_TRY(wn__json_set(own, list_key[input], list));
    for (size_t i = 0; i < s->count; i++)
        if (s->item[i].input == input) WN_TRY(put_item(list, &s->item[i]));
    return WN_OK;
}

wn_status wn__hf_json_put_sparsity(wn__json *root, const wn__model_config *c,
                                   const wn__hf_sparsity *s) {
    if (s == NULL || s->count == 0) return WN_OK;
    for (size_t i = 0; i < s->count; i++)
        WN_TRY(check_item(&s->item[i], c));
    wn__json *own = wn__json_new_object();
    WN_TRY(wn__json_set(root, "winnow", own));
    WN_TRY(put_list(own, s, false));
    return put_list(own, s, true);
}
