// SPDX-License-Identifier: MIT
// Every method of training, in runs of a dozen updates: interrupted and resumed it gives the bits
// of an uninterrupted run, and so it does with any number of threads.
#include "train_test.h"

#include <stdlib.h>

typedef void set_fn(wn_train_options *o);

typedef struct method {
    const char *name;
    const char *rule[2];
    set_fn *set;      /* NULL: nothing else */
    const char *kind; /* of a line in metrics.jsonl that is to be the same as well, and a number of
                         it */
    const char *value;
} method;

/* S-STE and masks. */

static void dense_end(wn_train_options *o) {
    o->mask_dense_after = 8;
    o->mask_every = 3;
}
static void frozen(wn_train_options *o) { // half way, after masks that rested now and then
    o->mask_every = 2;
    o->mask_freeze_after = 6;
}
static void norm_scale(wn_train_options *o) {
    o->scale_norm = true;
}

static const method masks[] = {
    {"sste", {"mlp.*=2:4:sste"}, NULL, "mask", "flips"},
    {"sste_mvue", {"mlp.*=2:4:sste+mvue"}, NULL, "mask", "flips"},
    {"sste_approx", {"*_proj=2:4:sste+mvue-approx"}, norm_scale, "mask", "flips"},
    {"tile_mvue", {"mlp.*=2:4:tile+mvue"}, dense_end, "mask", "flips"},
    {"tile_kept", {"mlp.*=2:4:tile+kept"}, frozen, "mask", "flips"},
    {"row_kept", {"*_proj=2:4:row+mvue+kept"}, frozen, "mask", "flips"},
    {"greedy", {"mlp.*=2:4:greedy+mvue"}, NULL, "mask", "flips"},
};

/* Factors. */

// An exact step and a refresh at updates 5 and 10.
static void loro(wn_train_options *o) {
    o->optimizer = "loro_adamw";
    o->exact_every = 5;
    o->refresh = "all";
}
static void loro_apart(wn_train_options *o) {
    loro(o);
    o->refresh = "lrk";
    o->refresh_every = 3;
    o->exact_core = "symmetric";
    o->exact_gauge = "none";
    o->lr_scaler = 0.5;
    o->lowrank_init = "auto";
}
static void loro_never(wn_train_options *o) {
    loro(o);
    o->exact_every = 0;
    o->refresh = "reg";
    o->refresh_every = 4;
    o->moment_reset_every = 7;
}
static void loro_scales(wn_train_options *o) {
    loro(o);
    o->scale_rule = "exact";
}
static void orthogonal(wn_train_options *o) {
    o->lowrank_init = "orth";
}

static const method factors[] = {
    {"loro", {"*_proj=lowrank:4"}, loro, "exact", "loss"},
    {"loro_apart", {"*_proj=lowrank:4"}, loro_apart, "exact", "moved"},
    {"loro_never", {"*_proj=lowrank:4"}, loro_never, NULL, NULL},
    {"loro_24", {"*_proj=lowrank:4+2:4"}, loro, "mask", "flips"},
    {"loro_24_scales", {"*_proj=lowrank:4+2:4+mvue"}, loro_scales, "exact", "loss_before"},
    {"lowrank_in", {"mlp.*=lowrank:8+2:4:in+mvue-approx"}, NULL, "mask", "flips"},
    {"lowrank_out", {"mlp.*=lowrank:8+2:4:out", "*.0.*=dense"}, orthogonal, "mask", "flips"},
    {"adapter", {"*_proj=adapter:4:8"}, NULL, NULL, NULL},
    {"adapter_loro", {"*_proj=adapter:4"}, loro, "exact", "loss"},
};

/* Activations: sparse from update 7 on. */

static void act(wn_train_options *o) {
    o->act_warmup = 6;
    o->act_dense = 0.2;
}
static void act_permuted(wn_train_options *o) {
    act(o);
    o->act_permute = true;
}
static void act_packs(wn_train_options *o) { // which passes this small read only when asked to
    act_permuted(o);
    o->kernels = "spmm24_rows:ref";
}
static void act_direct(wn_train_options *o) {
    act_permuted(o);
    o->act_backward = "direct";
}
static void act_dense(wn_train_options *o) {
    act(o);
    o->act_backward = "dense";
    o->mlp = "relu";
}
static void act_dynamic(wn_train_options *o) {
    act(o);
    o->act_every = 3;
    o->act_samples = 8;
}

static const method activations[] = {
    {"naive", {"mlp.act=act2:4"}, act, "act", "zeros"},
    {"permuted", {"mlp.act=act2:4:naive"}, act_permuted, "act", "dropped"},
    {"direct", {"mlp.act=act2:4"}, act_direct, "act", "dropped"},
    {"dense", {"mlp.act=act2:4"}, act_dense, "act", "dropped"},
    {"mvue", {"mlp.act=act2:4:mvue"}, act_permuted, "act", "dropped"},
    {"soft", {"mlp.act=act2:4:soft"}, act, "act", "zeros"},
    {"soft_weights", {"mlp.act=act2:4:soft_weights"}, act_permuted, "act", "zeros"},
    {"soft_dynamic", {"mlp.act=act2:4:soft_dynamic"}, act_dynamic, "act", "zeros"},
    {"naive_packs", {"mlp.act=act2:4"}, act_packs, "act", "dropped"},
    {"mvue_packs", {"mlp.act=act2:4:mvue", "*_proj=lowrank:4"}, act_packs, "act", "dropped"},
    {"with_weights", {"mlp.act=act2:4", "mlp.*_proj=2:4:sste+mvue"}, act, "mask", "flips"},
    {"with_factors", {"mlp.act=act2:4", "*_proj=lowrank:4"}, act_permuted, "act", "zeros"},
};

/* Inputs. */

static void inputs_of_acts(wn_train_options *o) {
    act_permuted(o);
    o->recompute = true;
}
static void inputs_in_bf16(wn_train_options *o) {
    o->fp8 = true;
    o->dtype = "bfloat16";
}

static const method inputs[] = {
    {"in_soft", {"*_proj=in2:4:soft"}, NULL, "eval", "loss"},
    {"in_mvue", {"*_proj=in2:4:mvue"}, NULL, "eval", "loss"},
    {"in_approx", {"mlp.*=in2:4:soft+mvue-approx"}, norm_scale, NULL, NULL},
    {"in_dense_dw", {"self_attn.*=in2:4:mvue+dense-dw"}, inputs_in_bf16, NULL, NULL},
    {"in_before_act", {"*_proj=in2:4:soft", "mlp.act=act2:4:mvue"}, inputs_of_acts, "act", "zeros"},
};

/* Numerics. */

static void fp8(wn_train_options *o) {
    o->fp8 = true;
}
static void bf16(wn_train_options *o) {
    o->dtype = "bfloat16";
}
static void bf16_loro(wn_train_options *o) {
    loro(o);
    o->dtype = "bfloat16";
}
static void bf16_frozen(wn_train_options *o) {
    frozen(o);
    o->dtype = "bfloat16";
}
static void recompute(wn_train_options *o) {
    act_permuted(o);
    o->recompute = true;
}

static const method numerics[] = {
    {"fp8", {NULL}, fp8, NULL, NULL},
    {"fp8_sste", {"mlp.*=2:4:sste+mvue"}, fp8, "mask", "flips"},
    {"bf16", {NULL}, bf16, NULL, NULL},
    {"bf16_tile", {"mlp.*=2:4:tile+mvue"}, bf16, "mask", "flips"},
    {"bf16_kept", {"mlp.*=2:4:tile+kept"}, bf16_frozen, "mask", "flips"},
    {"bf16_loro_24", {"*_proj=lowrank:4+2:4"}, bf16_loro, "exact", "loss"},
    {"recompute", {"mlp.act=act2:4:mvue"}, recompute, "act", "zeros"},
};

/* Optimizers and schedules. */

static void adam(wn_train_options *o) {
    o->optimizer = "adam";
    o->schedule = "linear_zero";
}
static void sgd(wn_train_options *o) {
    o->optimizer = "sgd";
    o->momentum = 0.9;
    o->lr = 0.1;
    o->schedule = "cosine_restart";
    o->restart_every = 5;
    o->restart_warmup = 2;
    o->lr_adjust = -4;
}
static void sgd_plain(wn_train_options *o) {
    o->optimizer = "sgd";
    o->schedule = "cosine_cycle";
    o->restart_every = 4;
}
static void adafactor(wn_train_options *o) {
    o->optimizer = "adafactor";
    o->schedule = "cosine_restart_zero";
    o->restart_every = 5;
}
static void adafactor_momentum(wn_train_options *o) {
    o->optimizer = "adafactor";
    o->momentum = 0.9;
    o->moment_reset_every = 5;
}
static void adam8bit(wn_train_options *o) {
    o->optimizer = "adam8bit";
}
static void galore(wn_train_options *o) {
    o->optimizer = "galore_adamw";
    o->galore_rank = 4;
    o->galore_gap = 4;
}
static void galore_full(wn_train_options *o) {
    galore(o);
    o->galore_type = "full";
    o->galore_scale = 1;
}

static const method optimizers[] = {
    {"adam", {NULL}, adam, NULL, NULL},
    {"sgd", {NULL}, sgd, NULL, NULL},
    {"sgd_plain", {NULL}, sgd_plain, NULL, NULL},
    {"adafactor", {NULL}, adafactor, NULL, NULL},
    {"adafactor_momentum", {NULL}, adafactor_momentum, NULL, NULL},
    {"adam8bit", {NULL}, adam8bit, NULL, NULL},
    {"galore", {NULL}, galore, NULL, NULL},
    {"galore_full", {NULL}, galore_full, NULL, NULL},
};

/* Documents. */

static void unpacked(wn_train_options *o) {
    o->pack = false;
    o->eval_data = o->data;
    o->eval_every = 5;
    o->eval_tokens = 100;
}
static void in_order(wn_train_options *o) {
    o->shuffle = false;
}

/* The two tests. */

typedef struct trial {
    wn_train_options o;
    char out[700];
} trial;

static void begin(void *const *state, const method *m, const char *data, const char *name,
                  trial *t) {
    (void)snprintf(t->out, sizeof t->out, "%s/%s-%s", (const char *)*state, m->name, name);
    t->o = small_options(t->out, data);
    t->o.steps = 12;
    t->o.grad_accum = 2;
    t->o.mask_decay = 1e-4;
    t->o.sparsity = m->rule;
    while (t->o.sparsity_count < 2 && m->rule[t->o.sparsity_count] != NULL)
        t->o.sparsity_count++;
    if (m->set != NULL) m->set(&t->o);
}

static void assert_same_method(const method *m, const trial *a, const trial *b) {
    print_message("           %s\n", b->out);
    assert_same_run(a->out, b->out);
    if (m->kind != NULL) assert_same_series(a->out, b->out, m->kind, m->value);
}

// Stopped before and after an exact step, and after activations became sparse.
static void interrupted(void **state, const method *m, const char *data, const trial *whole) {
    static const int64_t stops[] = {4, 5, 7};
    trial t;
    begin(state, m, data, "parts", &t);
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        train_until(&t.o, stops[i]);
        t.o.resume = true;
    }
    OK(train_quietly(&t.o));
    assert_same_method(m, whole, &t);
}

// Three threads, so that no work divides evenly; test_threads.c has two as well.
static void threaded(void **state, const method *m, const char *data, const trial *whole) {
    trial t;
    begin(state, m, data, "threads", &t);
    t.o.threads = 3;
    OK(train_quietly(&t.o));
    assert_same_method(m, whole, &t);
}

static void check(void **state, const method *m, const char *data) {
    trial whole;
    begin(state, m, data, "whole", &whole);
    OK(train_quietly(&whole.o));
    interrupted(state, m, data, &whole);
    threaded(state, m, data, &whole);
}

static void check_all(void **state, const method *m, size_t count) {
    char data[700];
    (void)snprintf(data, sizeof data, "%s/text.txt", (const char *)*state);
    write_text(data, 900, 1);
    for (size_t i = 0; i < count; i++)
        check(state, &m[i], data);
}

#define CHECK(list)                                                                                \
    static void test_##list(void **state) {                                                        \
        check_all(state, list, sizeof list / sizeof *list);                                        \
    }
CHECK(masks)
CHECK(factors)
CHECK(activations)
CHECK(inputs)
CHECK(numerics)
CHECK(optimizers)

static void test_documents(void **state) {
    static const method ways[] = {
        {"packed", {NULL}, NULL, NULL, NULL},
        {"packed_in_order", {NULL}, in_order, NULL, NULL},
        {"unpacked", {"mlp.act=act2:4:mvue"}, unpacked, "eval", "loss"},
    };
    char dir[700], path[800];
    (void)snprintf(dir, sizeof dir, "%s/documents", (const char *)*state);
    OK(wn__dir_make(dir));
    for (int i = 0; i < 3; i++) { // fewer samples than the updates draw: epochs end in between
        (void)snprintf(path, sizeof path, "%s/part-%d.json", dir, i);
        write_documents(path, 5 + 3 * i, (uint64_t)i);
    }
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        check(state, &ways[i], dir);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_masks),    TEST(test_factors),    TEST(test_activations), TEST(test_inputs),
        TEST(test_numerics), TEST(test_optimizers), TEST(test_documents)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
