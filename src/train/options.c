// SPDX-License-Identifier: MIT
// Options: defaults, JSON, and the rules of resuming. Values are reached by offset and
// type, so that one table serves all of them.
#include "train/options.h"

#include "base/fail.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void wn_train_defaults(wn_train_options *o) {
    *o = (wn_train_options){.eval_fraction = 0.05,
                            .vocab_size = 2048,
                            .hidden_size = 256,
                            .layers = 4,
                            .heads = 4,
                            .round_intermediate = 16,
                            .tie_embeddings = true,
                            .rope_theta = 10000,
                            .init_std = 0.02,
                            .mask_every = 1,
                            .scale_rule = "frozen",
                            .lowrank_init = "xavier",
                            .act_backward = "split",
                            .act_warmup = 1000,
                            .act_dense = 0.05,
                            .act_every = 10,
                            .act_samples = 100,
                            .dtype = "float32",
                            .seq_len = 256,
                            .batch_size = 8,
                            .grad_accum = 1,
                            .steps = 1000,
                            .lr = 1e-3,
                            .min_lr_ratio = 0.1,
                            .beta1 = 0.9,
                            .beta2 = -1,
                            .eps = -1,
                            .weight_decay = 0.1,
                            .clip_norm = 1,
                            .optimizer = "adamw",
                            .exact_every = 500,
                            .lr_scaler = -1,
                            .exact_core = "paper",
                            .exact_gauge = "fix",
                            .refresh = "none",
                            .galore_rank = 128,
                            .galore_gap = 200,
                            .galore_scale = 0.25,
                            .galore_type = "std",
                            .schedule = "cosine",
                            .warmup = 100,
                            .restart_warmup = 5,
                            .distill_weight = 0.5,
                            .distill_temperature = 2,
                            .seed = 1,
                            .shuffle = true,
                            .log_every = 10,
                            .eval_every = 250,
                            .keep = 2,
                            .save_last = true,
                            .sample_prompt = "",
                            .sample_tokens = 48};
}

typedef enum field_type { TEXT, BOOL, INT32, INT64, UINT64, REAL } field_type;

typedef struct field {
    field_type type;
    const char *name;
    size_t offset;
    bool fixed;
} field;

static const field fields[] = {
#define FIELD(type, name, fixed) {type, #name, offsetof(wn_train_options, name), fixed},
    WN_TRAIN_FIELDS(FIELD)
#undef FIELD
};
#define FIELD_COUNT (sizeof fields / sizeof *fields)

typedef union value {
    const char *text;
    bool truth;
    int32_t i32;
    int64_t i64;
    uint64_t u64;
    double real;
} value;

static size_t size_of(field_type type) {
    static const size_t size[] = {
        [TEXT] = sizeof(char *),   [BOOL] = sizeof(bool),       [INT32] = sizeof(int32_t),
        [INT64] = sizeof(int64_t), [UINT64] = sizeof(uint64_t), [REAL] = sizeof(double)};
    return size[type];
}

static value load(const wn_train_options *o, const field *f) {
    value v = {0};
    memcpy(&v, (const char *)o + f->offset, size_of(f->type));
    return v;
}

static void store(wn_train_options *o, const field *f, value v) {
    memcpy((char *)o + f->offset, &v, size_of(f->type));
}

static bool same_text(const char *a, const char *b) {
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

static bool same(const field *f, value a, value b) {
    return f->type == TEXT ? same_text(a.text, b.text) : memcmp(&a, &b, size_of(f->type)) == 0;
}

static wn__json *to_json(const field *f, value v) {
    switch (f->type) {
    case TEXT:
        return v.text != NULL ? wn__json_new_string(v.text) : wn__json_new_null();
    case BOOL:
        return wn__json_new_bool(v.truth);
    case INT32:
        return wn__json_new_int(v.i32);
    case INT64:
        return wn__json_new_int(v.i64);
    case UINT64:
        return wn__json_new_int((int64_t)v.u64);
    case REAL:
        return wn__json_new_real(v.real);
    }
    return NULL;
}

wn_status wn__options_to_json(const wn_train_options *o, wn__json **out) {
    *out = NULL;
    wn__json *object = wn__json_new_object(), *rules = wn__json_new_array();
    wn_status status = WN_OK;
    for (size_t i = 0; status == WN_OK && i < FIELD_COUNT; i++)
        status = wn__json_set(object, fields[i].name, to_json(&fields[i], load(o, &fields[i])));
    for (size_t i = 0; status == WN_OK && i < o->sparsity_count; i++)
        status = wn__json_append(rules, wn__json_new_string(o->sparsity[i]));
    wn_status set = wn__json_set(object, "sparsity", rules);
    if (status == WN_OK) status = set;
    if (status == WN_OK) {
        *out = object;
    } else {
        wn__json_free(object);
    }
    return status;
}

static wn_status from_json(const wn__json *from, const char *name, const field *f, value *v) {
    static const char *const none = NULL;
    int64_t n = 0;
    *v = (value){0};
    switch (f->type) {
    case TEXT:
        return wn__json_get_string(from, name, f->name, &none, &v->text);
    case BOOL:
        return wn__json_get_bool(from, name, f->name, NULL, &v->truth);
    case REAL:
        return wn__json_get_real(from, name, f->name, NULL, &v->real);
    case INT32:
        WN_TRY(wn__json_get_int(from, name, f->name, NULL, &n));
        v->i32 = (int32_t)n;
        return WN_OK;
    case INT64:
        return wn__json_get_int(from, name, f->name, NULL, &v->i64);
    case UINT64:
        WN_TRY(wn__json_get_int(from, name, f->name, NULL, &n));
        v->u64 = (uint64_t)n;
        return WN_OK;
    }
    return WN_OK;
}

// Options that runs of earlier programs do not have; their defaults are what was done then.
static bool came_later(const char *name) {
    static const char *const later[] = {"teacher", "distill_weight", "distill_temperature"};
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (strcmp(later[i], name) == 0) return true;
    return false;
}

wn_status wn__options_from_json(const wn__json *from, const char *name, wn_train_options *o,
                                const char ***sparsity) {
    *sparsity = NULL;
    wn_train_defaults(o);
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        value v;
        if (wn__json_get(from, fields[i].name) == NULL && came_later(fields[i].name)) continue;
        WN_TRY(from_json(from, name, &fields[i], &v));
        store(o, &fields[i], v);
    }
    const wn__json *rules = wn__json_get(from, "sparsity");
    size_t n = wn__json_count(rules);
    const char **list = calloc(n + 1, sizeof *list);
    if (list == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", name);
    for (size_t i = 0; i < n; i++) {
        list[i] = wn__json_string(wn__json_at(rules, i), NULL);
        if (list[i] != NULL) continue;
        free((void *)list);
        return wn__fail(WN_FORMAT, "%s: 'sparsity': element %zu: expected a string, found %s", name,
                        i, wn__json_typename(wn__json_at(rules, i)));
    }
    *sparsity = list;
    o->sparsity = list;
    o->sparsity_count = n;
    return WN_OK;
}

static const char *value_text(const field *f, value v, char *out, size_t n) {
    switch (f->type) {
    case TEXT:
        (void)snprintf(out, n, "%s", v.text != NULL && v.text[0] != '\0' ? v.text : "none");
        break;
    case BOOL:
        (void)snprintf(out, n, "%s", v.truth ? "true" : "false");
        break;
    case INT32:
        (void)snprintf(out, n, "%" PRId32, v.i32);
        break;
    case INT64:
        (void)snprintf(out, n, "%" PRId64, v.i64);
        break;
    case UINT64:
        (void)snprintf(out, n, "%" PRIu64, v.u64);
        break;
    case REAL:
        (void)snprintf(out, n, "%g", v.real);
        break;
    }
    return out;
}

static bool is_given(const wn_train_options *o, const wn_train_options *defaults, const field *f) {
    if (o->given == NULL) return !same(f, load(o, f), load(defaults, f));
    for (size_t i = 0; i < o->given_count; i++)
        if (strcmp(o->given[i], f->name) == 0) return true;
    return false;
}

bool wn__options_given(const wn_train_options *o, const char *name) {
    wn_train_options defaults;
    wn_train_defaults(&defaults);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (strcmp(fields[i].name, name) == 0) return is_given(o, &defaults, &fields[i]);
    return false;
}

static void note_field(const field *f, value given, value recorded, wn__note_fn *note, void *ctx) {
    char a[256], b[256], line[640];
    (void)value_text(f, given, a, sizeof a);
    (void)value_text(f, recorded, b, sizeof b);
    if (f->fixed) {
        (void)snprintf(line, sizeof line, "%s: this run has %s; %s is ignored", f->name, b, a);
    } else {
        (void)snprintf(line, sizeof line, "%s: %s from here on, %s before", f->name, a, b);
    }
    note(ctx, line);
}

static bool same_rules(const wn_train_options *a, const wn_train_options *b) {
    if (a->sparsity_count != b->sparsity_count) return false;
    for (size_t i = 0; i < a->sparsity_count; i++)
        if (strcmp(a->sparsity[i], b->sparsity[i]) != 0) return false;
    return true;
}

void wn__options_take(wn_train_options *o, const wn_train_options *recorded) {
    wn_train_options defaults;
    wn_train_defaults(&defaults);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (!is_given(o, &defaults, &fields[i])) store(o, &fields[i], load(recorded, &fields[i]));
}

void wn__options_resume(wn_train_options *o, const wn_train_options *recorded, wn__note_fn *note,
                        void *ctx) {
    wn_train_options defaults;
    wn_train_defaults(&defaults);
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const field *f = &fields[i];
        value given = load(o, f), kept = load(recorded, f);
        if (same(f, given, kept)) continue;
        bool asked = is_given(o, &defaults, f);
        if (asked) note_field(f, given, kept, note, ctx);
        if (f->fixed || !asked) store(o, f, kept);
    }
    if (o->sparsity_count > 0 && !same_rules(o, recorded))
        note(ctx,
             "sparsity: this run keeps the rules it was begun with; the given ones are ignored");
    o->sparsity = recorded->sparsity;
    o->sparsity_count = recorded->sparsity_count;
}
