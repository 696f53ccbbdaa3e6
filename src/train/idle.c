// SPDX-License-Identifier: MIT
// Options that were given on purpose and that nothing of the run reads: each is named once, with
// what it waits for, so that none is without effect in silence.
#include "nn/act24.h"
#include "train/trainer.h"

// What there is in a model.
typedef struct parts {
    bool masks, factors, sparse_factors, soft, act, dynamic, split;
} parts;

static parts parts_of(const wn__trainer *t) {
    parts p = {0};
    for (size_t i = 0; i < wn__model_linear_count(t->model); i++) {
        const wn__structure *s = &wn__model_linear(t->model, i)->structure;
        bool pair = s->kind == WN_STRUCTURE_LOWRANK || s->kind == WN_STRUCTURE_ADAPTER;
        bool sparse = pair && (s->sparse_in || s->sparse_out);
        p.masks |= s->kind == WN_STRUCTURE_SPARSE24;
        p.factors |= pair;
        p.sparse_factors |= sparse;
        p.soft |= sparse || s->kind == WN_STRUCTURE_SSTE ||
                  (s->kind == WN_STRUCTURE_IN24 && s->in24 == WN_IN24_SOFT);
    }
    for (size_t i = 0; i < wn__model_act24_count(t->model); i++) {
        const wn__act24 *a = wn__model_act24(t->model, i);
        if (a == NULL || !wn__act24_given(a)) continue;
        const wn__structure *s = &a->structure;
        p.act = true;
        p.dynamic |= s->act == WN_ACT24_SOFT_DYNAMIC;
        p.soft |= s->act == WN_ACT24_SOFT || s->act == WN_ACT24_SOFT_DYNAMIC;
        p.split |= s->backward == WN_ACT24_SPLIT;
    }
    return p;
}

typedef struct idle {
    const char *name;
    bool read; // by something of the run
    const char *why;
} idle;

static void say(wn__trainer *t, const idle *rows, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!rows[i].read && wn__options_given(&t->o, rows[i].name))
            wn__say(t, "note: %s has no effect: %s", rows[i].name, rows[i].why);
}

// Sizes that say the same as the shape lose nothing.
static void say_shape(wn__trainer *t) {
    const wn_train_options *o = &t->o;
    const wn__model_config *c = &t->config;
    bool begun = wn__begins_from(o), sized = !begun && !wn__has_config(o);
    const char *const why = begun ? "the shape is init_from's" : "the shape is model_config's";
    const idle rows[] = {
        {"model_config", !begun, why},
        {"hidden_size", sized || o->hidden_size == c->hidden_size, why},
        {"intermediate_size", sized || o->intermediate_size == c->intermediate_size, why},
        {"layers", sized || o->layers == c->layers, why},
        {"heads", sized || o->heads == c->heads, why},
        {"kv_heads", sized || o->kv_heads == c->kv_heads, why},
        {"vocab_size", !begun || o->vocab_size == c->vocab_size, why},
        {"tie_embeddings", !begun || o->tie_embeddings == c->tied, why},
        {"rope_theta", !begun, why},
        {"init_std", !begun, "the weights are init_from's"},
        {"round_intermediate", t->gated_width > 0, "no gate of a model_config was left out"},
    };
    say(t, rows, sizeof rows / sizeof rows[0]);
}

static void say_structure(wn__trainer *t, const parts *p) {
    static const char no_masks[] = "no layer is 2:4:tile, row or greedy",
                      no_act[] = "no activation is act2:4";
    const idle rows[] = {
        {"mask_every", p->masks, no_masks},
        {"mask_freeze_after", p->masks, no_masks},
        {"mask_dense_after", p->masks, no_masks},
        {"mask_decay", p->masks, no_masks},
        {"scale_norm", p->soft, "nothing has a scale of S-STE"},
        {"scale_rule", p->sparse_factors, "no layer has 2:4 factors"},
        {"lowrank_init", p->factors, "no layer has factors"},
        {"act_backward", p->act, no_act},
        {"act_warmup", p->act, no_act},
        {"act_permute", p->split, "no activation is act2:4 with act_backward 'split'"},
        {"act_dense", p->split, "no activation is act2:4 with act_backward 'split'"},
        {"act_every", p->dynamic, "no activation is act2:4:soft_dynamic"},
        {"act_samples", p->dynamic, "no activation is act2:4:soft_dynamic"},
    };
    say(t, rows, sizeof rows / sizeof rows[0]);
}

static void say_optimizer(wn__trainer *t, const parts *p) {
    wn__optimizer_kind kind = t->words.optimizer.kind;
    bool pairs = kind == WN_OPTIMIZER_LORO_ADAMW && p->factors;
    bool galore = kind == WN_OPTIMIZER_GALORE_ADAMW, sgd = kind == WN_OPTIMIZER_SGD;
    bool factored = kind == WN_OPTIMIZER_ADAFACTOR, adam = !sgd && !factored;
    bool moments = !sgd || t->o.momentum > 0;
    static const char no_moments[] = "sgd without momentum has no moments";
    static const char no_pairs[] = "it is for loro_adamw and layers with factors",
                      no_galore[] = "it is for galore_adamw",
                      no_adam[] = "the optimizer has no such moment";
    const idle rows[] = {
        {"exact_every", pairs, no_pairs},
        {"lr_scaler", pairs, no_pairs},
        {"lr_scaler", !pairs || t->o.exact_every != 1,
         "every step is exact, so that only one that falls back is scaled"},
        {"exact_core", pairs, no_pairs},
        {"exact_gauge", pairs, no_pairs},
        {"refresh", moments && (t->words.optimizer.refresh != WN_REFRESH_LOWRANK || p->factors),
         moments ? "no layer has factors" : no_moments},
        {"moment_reset_every", moments, no_moments},
        {"refresh_every", t->words.optimizer.refresh != WN_REFRESH_NONE, "refresh is 'none'"},
        {"galore_rank", galore, no_galore},
        {"galore_gap", galore, no_galore},
        {"galore_scale", galore, no_galore},
        {"galore_type", galore, no_galore},
        {"momentum", sgd || factored, "it is for sgd and adafactor"},
        {"beta1", adam || t->o.momentum > 0, no_adam}, // run_c4.py's beta1 is momentum
        {"beta2", adam, no_adam},
        {"eps", adam, no_adam},
    };
    say(t, rows, sizeof rows / sizeof rows[0]);
}

static bool has_teacher(const wn__trainer *t) {
    return t->o.teacher != NULL && t->o.teacher[0] != '\0';
}

static void say_schedule(wn__trainer *t) {
    wn__schedule_kind kind = t->words.schedule.kind;
    bool restarts = kind == WN_SCHEDULE_COSINE_RESTART || kind == WN_SCHEDULE_COSINE_RESTART_ZERO;
    static const char none[] = "the schedule has no restarts";
    const idle rows[] = {
        {"distill_weight", has_teacher(t), "there is no teacher"},
        {"distill_temperature", has_teacher(t), "there is no teacher"},
        {"wsd_decay", kind == WN_SCHEDULE_WSD, "the schedule is not wsd"},
        {"restart_every", restarts || kind == WN_SCHEDULE_COSINE_CYCLE, none},
        {"restart_warmup", restarts, none},
        {"restart_after_warmup", restarts, none},
        {"lr_adjust", restarts, none},
        {"min_lr_ratio", kind != WN_SCHEDULE_CONSTANT && kind != WN_SCHEDULE_LINEAR_ZERO,
         "the schedule has no smallest rate"},
    };
    say(t, rows, sizeof rows / sizeof rows[0]);
}

void wn__report_idle(wn__trainer *t) {
    if (t->o.resume) return; // what was given when the run began is not known any more
    const parts p = parts_of(t);
    say_shape(t);
    say_structure(t, &p);
    say_optimizer(t, &p);
    say_schedule(t);
}
