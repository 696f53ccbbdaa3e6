// SPDX-License-Identifier: MIT
// What files say of chains, checked against what they hold, and said to people.
#include "infer/chain_file.h"

#include "base/fail.h"
#include "formats/notes.h"
#include "nn/structure.h"
#include "sparse/kron_head.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAG_LIMIT 4096    // bytes of "winnow.chain"
#define TAG_KEY   "kron:" // of metadata, before the layer

bool wn__chain_is_pth(const wn__pth *p) {
    return wn__notes_patterns_of(p) != NULL;
}

// Four integers.
static wn_status read_pattern(const wn__pth *p, size_t t, const wn__pickle_value *v, wn__kron *to) {
    int64_t number[4];
    for (size_t i = 0; i < 4; i++) {
        number[i] = wn__pickle_at(v, i)->integer;
        if (number[i] < 1)
            return wn__fail(WN_FORMAT, "%s: patterns.%zu.%zu is below 1", p->path, t, i);
    }
    *to = (wn__kron){number[0], number[1], number[2], number[3]};
    return WN_OK;
}

static wn_status read_patterns(const wn__pth *p, wn__kron_chain *out) {
    const wn__pickle_value *list = wn__notes_patterns_of(p);
    size_t n = wn__pickle_count(list);
    if (n < 1 || n > WN__KRON_MAX)
        return wn__fail(WN_FORMAT, "%s: patterns has %zu factors, 1 to %d expected", p->path, n,
                        WN__KRON_MAX);
    *out = (wn__kron_chain){.count = (int)n};
    for (size_t t = 0; t < n; t++)
        WN_TRY(read_pattern(p, t, wn__pickle_at(list, t), &out->factor[t]));
    if (wn__kron_chain_check(out) == WN_OK) return WN_OK;
    return wn__fail_in(WN_FORMAT, "%s: patterns", p->path);
}

// "winnow.chain", which repeats the patterns and adds the layout.
static wn_status read_tag(const wn__pth *p, wn__chain_file *out) {
    const wn__pickle_value *tag = wn__pickle_get(wn__pickle_get(p->root, "winnow"), "chain");
    char text[TAG_LIMIT], ours[WN__KRON_PATTERN_TEXT], theirs[WN__KRON_PATTERN_TEXT];
    wn__kron_chain said;
    out->layout = WN__KRON_COLUMNS;
    if (tag == NULL) return WN_OK;
    if (tag->type != WN__PICKLE_STRING || tag->text.size >= TAG_LIMIT)
        return wn__fail(WN_FORMAT, "%s: winnow.chain is %s, a line of text below %d bytes expected",
                        p->path, wn__pickle_typename(tag), TAG_LIMIT);
    memcpy(text, tag->text.bytes, tag->text.size);
    text[tag->text.size] = '\0';
    if (wn__kron_chain_parse(text, &said, &out->layout) != WN_OK)
        return wn__fail_in(WN_FORMAT, "%s: winnow.chain", p->path);
    if (said.count != out->chain.count)
        return wn__fail(WN_FORMAT, "%s: winnow.chain has %d factors, patterns %d", p->path,
                        said.count, out->chain.count);
    for (int t = 0; t < said.count; t++)
        if (!wn__kron_same(&said.factor[t], &out->chain.factor[t]))
            return wn__fail(WN_FORMAT, "%s: factor %d is %s in winnow.chain, %s in patterns",
                            p->path, t, wn__kron_text(&said.factor[t], ours, sizeof ours),
                            wn__kron_text(&out->chain.factor[t], theirs, sizeof theirs));
    out->tagged = true;
    return WN_OK;
}

// How a file has a factor: [a,b,c,d], or blocks [a d, ...].
static wn_tensor stored(const wn__kron *k, wn__kron_layout layout) {
    const int64_t rows[3] = {k->a * k->d, k->b, k->c}, columns[3] = {k->a * k->d, k->c, k->b};
    if (layout == WN__KRON_CANONICAL)
        return wn__tensor4(NULL, WN_DTYPE_F32, k->a, k->b, k->c, k->d);
    return wn__tensor(NULL, WN_DTYPE_F32, 3, layout == WN__KRON_ROWS ? rows : columns);
}

static wn_status check_factor(const wn__pth *p, const wn__chain_file *c, int t) {
    char name[64], found[160], wanted[160];
    (void)snprintf(name, sizeof name, "model_state_dict.weights.%d", t);
    const wn__pth_entry *e = wn__pth_find(p, name);
    wn_tensor want = stored(&c->chain.factor[t], c->layout);
    bool floats = e != NULL && e->view.dtype >= WN_DTYPE_F64 && e->view.dtype <= WN_DTYPE_F16;
    if (floats && wn__tensor_same_shape(&e->view, &want)) return WN_OK;
    if (floats) want.dtype = e->view.dtype;
    return wn__fail(WN_FORMAT, "%s: '%s' is %s; the layout %s has %s", p->path, name,
                    e != NULL ? wn__tensor_describe(&e->view, found, sizeof found) : "missing",
                    wn__kron_layout_name(c->layout),
                    wn__tensor_describe(&want, wanted, sizeof wanted));
}

static wn_status check_matrix(const wn__pth *p, const char *name, int64_t rows, int64_t columns) {
    const wn__pth_entry *e = wn__pth_find(p, name);
    char found[160];
    if (e != NULL && e->view.ndim == 2 && e->view.shape[0] == rows && e->view.shape[1] == columns &&
        e->view.dtype >= WN_DTYPE_F64 && e->view.dtype <= WN_DTYPE_F16)
        return WN_OK;
    return wn__fail(
        WN_FORMAT, "%s: '%s' is %s, floats [%" PRId64 ", %" PRId64 "] expected", p->path, name,
        e ? wn__tensor_describe(&e->view, found, sizeof found) : "missing", rows, columns);
}

// "head.in" [rank, in] and "head.out" [out, rank], or neither.
static wn_status read_head(const wn__pth *p, wn__chain_file *c) {
    const wn__pth_entry *e = wn__pth_find(p, "head.in");
    if (wn__pickle_get(p->root, "head") == NULL) return WN_OK;
    c->head = e != NULL && e->view.ndim == 2 ? e->view.shape[0] : 1;
    WN_TRY(check_matrix(p, "head.in", c->head, wn__kron_chain_columns(&c->chain)));
    return check_matrix(p, "head.out", wn__kron_chain_rows(&c->chain), c->head);
}

wn_status wn__chain_of_pth(const wn__pth *p, wn__chain_file *out) {
    wn__chain_file c = {.tagged = false};
    *out = c;
    WN_TRY(read_patterns(p, &c.chain));
    WN_TRY(read_tag(p, &c));
    for (int t = 0; t < c.chain.count; t++)
        WN_TRY(check_factor(p, &c, t));
    WN_TRY(read_head(p, &c));
    *out = c;
    return WN_OK;
}

// ---- lines for people

// The end of a text that open_memstream bound.
static wn_status finish(FILE *f, char **out) {
    bool failed = ferror(f) != 0;
    if (fclose(f) == 0 && !failed) return WN_OK;
    free(*out);
    *out = NULL;
    return wn__fail(WN_NOMEM, "out of memory for a description");
}

// The same after something that may have failed: then there is no text.
static wn_status end(FILE *f, wn_status status, char **out) {
    wn_status finished = finish(f, out);
    if (status == WN_OK) return finished;
    free(*out);
    *out = NULL;
    return status;
}

static FILE *begin(char **out, size_t *size) {
    *out = NULL;
    FILE *f = open_memstream(out, size);
    if (f == NULL) (void)wn__fail(WN_NOMEM, "out of memory for a description");
    return f;
}

static void put_counts(FILE *f, const wn__kron_counts *n) {
    fprintf(f, "%" PRId64 " of %" PRId64 " parameters, %.2f times smaller, %.2f %% saved",
            n->params, n->dense, n->ratio, 100 * n->saved);
}

static void put_field(FILE *f, const wn__pickle_value *root, const char *key, const char *name) {
    const wn__pickle_value *v = wn__pickle_get(root, key);
    if (v != NULL && v->type == WN__PICKLE_REAL) fprintf(f, ", %s %.6g", name, v->real);
    if (v != NULL && v->type == WN__PICKLE_INT) fprintf(f, "%s %" PRId64, name, v->integer);
}

wn_status wn__chain_describe_pth(const wn__pth *p, char **out) {
    wn__chain_file c;
    wn__kron_counts n;
    size_t size;
    char text[WN__KRON_PATTERN_TEXT];
    *out = NULL;
    WN_TRY(wn__chain_of_pth(p, &c));
    if (wn__kron_chain_counts(&c.chain, c.head, &n) != WN_OK)
        return wn__fail_in(WN_FORMAT, "%s", p->path);
    int64_t rank = wn__kron_chain_legacy_rank(&c.chain);
    int redundant = wn__kron_chain_redundant(&c.chain);
    FILE *f = begin(out, &size);
    if (f == NULL) return WN_NOMEM;
    fprintf(f, "chain of %d factors for %" PRId64 " x %" PRId64 ": ", c.chain.count,
            wn__kron_chain_rows(&c.chain), wn__kron_chain_columns(&c.chain));
    put_counts(f, &n);
    fprintf(f, "\n%.0f FLOPs for a vector, %.0f of the dense matrix\n", n.flops,
            2 * (double)n.dense);
    fprintf(f, "layout %s (%s), patterns (a,b,c,d) rightmost first:\n",
            wn__kron_layout_name(c.layout),
            c.tagged ? "winnow.chain says so" : "no tag: as the original stores it");
    for (int t = 0; t < c.chain.count; t++) {
        const wn__kron *k = &c.chain.factor[t];
        fprintf(f, "  %2d  %-20s %" PRId64 " x %" PRId64 ", %" PRId64 " numbers\n", t,
                wn__kron_text(k, text, sizeof text), wn__kron_rows(k), wn__kron_columns(k),
                wn__kron_params(k));
    }
    if (c.head > 0)
        fprintf(f, "and a head of rank %" PRId64 ", head.out times head.in, beside it\n", c.head);
    if (rank > 0)
        fprintf(f, "a bottleneck: the chain is a matrix of rank %" PRId64 " and no more\n", rank);
    if (redundant >= 0)
        fprintf(f,
                "factors %d and %d reach every matrix of their product's pattern: merged they "
                "have no more numbers\n",
                redundant, redundant + 1);
    put_field(f, p->root, "epoch", "epoch");
    put_field(f, p->root, "train_loss", "training loss");
    put_field(f, p->root, "val_loss", "validation loss");
    put_field(f, p->root, "learning_rate", "rate");
    fprintf(f, "\n");
    return finish(f, out);
}

// ---- layers

static void put_heading(FILE *f, size_t layers, const char *tagged) {
    fprintf(f, "%zu %s, patterns (a,b,c,d) rightmost first, layout %s%s:\n", layers,
            layers == 1 ? "layer is a chain" : "layers are chains",
            wn__kron_layout_name(WN__KRON_COLUMNS), tagged);
}

static void put_layer(FILE *f, const char *layer, const char *kind, const wn__kron_chain *c,
                      const wn__kron_counts *n) {
    char text[WN__KRON_PATTERN_TEXT];
    fprintf(f, "  %-36s %" PRId64 " x %" PRId64 "%s", layer, wn__kron_chain_rows(c),
            wn__kron_chain_columns(c), kind);
    for (int t = 0; t < c->count; t++)
        fprintf(f, " %s", wn__kron_text(&c->factor[t], text, sizeof text));
    fprintf(f, ": ");
    put_counts(f, n);
    fprintf(f, "\n");
}

static void put_all(FILE *f, wn__kron_counts *all) {
    if (all->params == 0) return;
    all->ratio = (double)all->dense / (double)all->params;
    all->saved = 1 - (double)all->params / (double)all->dense;
    fprintf(f, "together ");
    put_counts(f, all);
    fprintf(f, "\n");
}

static wn_status check_entry(const wn__safetensors *st, const char *layer, const char *part,
                             int64_t rows, int64_t columns) {
    char name[WN_NAME_MAX + 32], found[160];
    (void)snprintf(name, sizeof name, "%s.%s", layer, part);
    const wn__st_entry *e = wn__safetensors_find(st, name);
    bool fits =
        e != NULL && e->view.ndim == 2 && e->view.shape[0] == rows && e->view.shape[1] == columns;
    return fits ? WN_OK
                : wn__fail(WN_FORMAT, "%s: '%s' is %s; its tag says [%" PRId64 ", %" PRId64 "]",
                           st->path, name,
                           e ? wn__tensor_describe(&e->view, found, sizeof found) : "missing", rows,
                           columns);
}

// The rank of a head beside the chain, which no tag says.
static int64_t head_of(const wn__safetensors *st, const char *layer) {
    char name[WN_NAME_MAX + 32];
    (void)snprintf(name, sizeof name, "%s.head_in", layer);
    const wn__st_entry *e = wn__safetensors_find(st, name);
    return e != NULL && e->view.ndim == 2 ? e->view.shape[0] : 0;
}

static wn_status describe_tag(FILE *f, const wn__safetensors *st, const wn__st_meta *tag,
                              wn__kron_counts *all) {
    const char *layer = tag->key + strlen(TAG_KEY);
    wn__kron_layout layout;
    wn__kron_chain c;
    wn__kron_counts n;
    char part[24], kind[64] = "";
    if (wn__kron_chain_parse(tag->value, &c, &layout) != WN_OK)
        return wn__fail_in(WN_FORMAT, "%s: '%.200s'", st->path, tag->key);
    if (layout != WN__KRON_COLUMNS)
        return wn__fail(WN_FORMAT, "%s: '%.200s': layout %s, matrices [a d c, b] are %s", st->path,
                        tag->key, wn__kron_layout_name(layout),
                        wn__kron_layout_name(WN__KRON_COLUMNS));
    for (int t = 0; t < c.count; t++) {
        const wn__kron *p = &c.factor[t];
        (void)snprintf(part, sizeof part, "factor_%d", t);
        WN_TRY(check_entry(st, layer, part, p->a * p->d * p->c, p->b));
    }
    int64_t head = head_of(st, layer);
    if (head > 0) {
        WN_TRY(check_entry(st, layer, "head_in", head, wn__kron_chain_columns(&c)));
        WN_TRY(check_entry(st, layer, "head_out", wn__kron_chain_rows(&c), head));
        (void)snprintf(kind, sizeof kind, " lowrank:%" PRId64 " +", head);
    }
    WN_TRY(wn__kron_chain_counts(&c, head, &n));
    all->dense += n.dense;
    all->params += n.params;
    put_layer(f, layer, kind, &c, &n);
    return WN_OK;
}

wn_status wn__chain_describe_tags(const wn__safetensors *st, char **out) {
    wn__kron_counts all = {0};
    wn_status status = WN_OK;
    size_t size, tags = 0;
    *out = NULL;
    for (size_t i = 0; i < st->meta_count; i++)
        tags += strncmp(st->meta[i].key, TAG_KEY, strlen(TAG_KEY)) == 0;
    if (tags == 0) return WN_OK;
    FILE *f = begin(out, &size);
    if (f == NULL) return WN_NOMEM;
    put_heading(f, tags, " (tagged)");
    for (size_t i = 0; i < st->meta_count && status == WN_OK; i++)
        if (strncmp(st->meta[i].key, TAG_KEY, strlen(TAG_KEY)) == 0)
            status = describe_tag(f, st, &st->meta[i], &all);
    put_all(f, &all);
    return end(f, status, out);
}

// The chain of a layer, from its rule and from what its first factors tell of its sizes: factor 0
// is (in/c, ., c, 1), factor 1 of a Monarch (1, b, in/c r, out/b).
static wn_status chain_of_layer(const wn__hf_kron *k, const wn__hf_weights *weights,
                                wn__structure *s, wn__kron_chain *out) {
    const wn__structure base = wn__structure_defaults();
    char text[WN_HF_CHAIN + 8], name[WN_NAME_MAX + 16];
    wn_tensor first, second;
    (void)snprintf(text, sizeof text, "kron:%s", k->chain);
    WN_TRY(wn__structure_parse(text, &base, s));
    (void)snprintf(name, sizeof name, "%s.factor_0", k->layer);
    if (!wn__hf_weights_find(weights, name, &first) || first.ndim != 2)
        return wn__fail(WN_FORMAT, "no matrix '%s', but config.json says that %s is %s", name,
                        k->layer, k->chain);
    int64_t in = first.shape[0];
    if (s->kron_b == 0) return wn__kron_chain_butterfly(in, out);
    (void)snprintf(name, sizeof name, "%s.factor_1", k->layer);
    int64_t width = in % s->kron_c == 0 ? in / s->kron_c * s->rank : 0;
    if (!wn__hf_weights_find(weights, name, &second) || second.ndim != 2 || width < 1 ||
        second.shape[0] % width != 0 || second.shape[0] < 1)
        return wn__fail(WN_FORMAT, "'%s' is no factor of %s with %" PRId64 " inputs", name,
                        k->chain, in);
    return wn__kron_chain_monarch(second.shape[0] / width * s->kron_b, in, s->kron_b, s->kron_c,
                                  s->rank, out);
}

static wn_status check_part(const wn__hf_kron *k, const wn__hf_weights *weights, const char *part,
                            int64_t rows, int64_t columns) {
    char name[WN_NAME_MAX + 32], found[160];
    wn_tensor view;
    (void)snprintf(name, sizeof name, "%s.%s", k->layer, part);
    bool there = wn__hf_weights_find(weights, name, &view);
    if (there && view.ndim == 2 && view.shape[0] == rows && view.shape[1] == columns) return WN_OK;
    return wn__fail(WN_FORMAT, "'%s' is %s; %s has [%" PRId64 ", %" PRId64 "]", name,
                    there ? wn__tensor_describe(&view, found, sizeof found) : "missing", k->chain,
                    rows, columns);
}

static wn_status check_parts(const wn__hf_kron *k, const wn__hf_weights *weights,
                             const wn__kron_chain *c, int64_t head) {
    char part[24];
    for (int t = 0; t < c->count; t++) {
        const wn__kron *p = &c->factor[t];
        (void)snprintf(part, sizeof part, "factor_%d", t);
        WN_TRY(check_part(k, weights, part, p->a * p->d * p->c, p->b));
    }
    if (head == 0) return WN_OK;
    WN_TRY(check_part(k, weights, "head_in", head, wn__kron_chain_columns(c)));
    return check_part(k, weights, "head_out", wn__kron_chain_rows(c), head);
}

static wn_status describe_layer(FILE *f, const wn__hf_kron *k, const wn__hf_weights *weights,
                                wn__kron_counts *all) {
    wn__structure s;
    wn__kron_chain c;
    wn__kron_counts n;
    char kind[WN_HF_CHAIN + 2];
    WN_TRY(chain_of_layer(k, weights, &s, &c));
    WN_TRY(check_parts(k, weights, &c, s.kron_head));
    WN_TRY(wn__kron_chain_counts(&c, s.kron_head, &n));
    all->dense += n.dense;
    all->params += n.params;
    (void)snprintf(kind, sizeof kind, " %s", k->chain);
    put_layer(f, k->layer, kind, &c, &n);
    return WN_OK;
}

wn_status wn__chain_describe_layers(const wn__hf_sparsity *said, const wn__hf_weights *weights,
                                    char **out) {
    wn__kron_counts all = {0};
    wn_status status = WN_OK;
    size_t size;
    FILE *f = begin(out, &size);
    if (f == NULL) return WN_NOMEM;
    if (said->krons > 0) put_heading(f, said->krons, "");
    for (size_t i = 0; i < said->krons && status == WN_OK; i++)
        status = describe_layer(f, &said->kron[i], weights, &all);
    put_all(f, &all);
    return end(f, status, out);
}
