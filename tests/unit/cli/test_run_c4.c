// SPDX-License-Identifier: MIT
// run_c4.py's flags: what each sets, what is refused, what is named as without effect.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "options.h"
#include "run_c4.h"
#include <stdio.h>
#include <string.h>

#define MAX_WORDS 128

typedef struct fixture {
    options o;
    run_c4 c;
    wn_train_options t;
    bool done;
    char text[4096];
} fixture;

// What the run of test_resume has recorded.
static void set_recorded(wn_train_options *t) {
    t->resume = true;
    t->model_config = "llama_toy";
    t->optimizer = "loro_adamw";
    t->schedule = "cosine_restart";
    t->restart_every = 50;
    t->restart_warmup = 5;
    t->batch_size = 2;
    t->grad_accum = 4;
    t->seq_len = 32;
    t->steps = 10;
    t->lr = 0.01;
    t->exact_every = 5;
    t->lr_scaler = -1;
    t->refresh = "all";
    t->refresh_every = 5;
    t->lowrank_init = "xavier";
    t->act_backward = "split";
    t->act_permute = true;
    t->mlp = "swiglu";
    t->data = "recorded";
    t->save_every = 7;
    t->seed = 42;
}

// As the command does it: defaults, a few native options, then the translation.
static void translate(fixture *f, const char *line) {
    const char *words[MAX_WORDS] = {"winnow", "train"};
    int count = 2;
    char error[400] = "";
    snprintf(f->text, sizeof f->text, "%s", line);
    for (char *word = strtok(f->text, " "); word; word = strtok(NULL, " "))
        words[count++] = word;
    if (!options_parse(&f->o, count, words, error, sizeof error)) fail_msg("%s", error);
    memset(&f->t, 0, sizeof f->t);
    f->t.optimizer = opt_text(&f->o, O_optimizer);
    f->t.schedule = opt_text(&f->o, O_schedule);
    f->t.batch_size = opt_int(&f->o, O_batch_size);
    f->t.seq_len = opt_int(&f->o, O_seq_len);
    f->t.grad_accum = opt_int(&f->o, O_grad_accum);
    f->t.dtype = opt_text(&f->o, O_dtype);
    f->t.pack = opt_flag(&f->o, O_pack);
    f->t.exact_every = opt_int(&f->o, O_exact_every);
    f->t.lr_scaler = opt_real(&f->o, O_lr_scaler);
    f->t.refresh = opt_text(&f->o, O_refresh);
    f->t.refresh_every = opt_int(&f->o, O_refresh_every);
    f->t.lowrank_init = opt_text(&f->o, O_lowrank_init);
    f->t.act_warmup = opt_int(&f->o, O_act_warmup);
    f->t.act_every = opt_int(&f->o, O_act_every);
    f->t.act_samples = opt_int(&f->o, O_act_samples);
    f->t.act_backward = opt_text(&f->o, O_act_backward);
    f->t.galore_gap = opt_int(&f->o, O_galore_gap);
    f->t.galore_scale = opt_real(&f->o, O_galore_scale);
    f->t.momentum = opt_real(&f->o, O_momentum);
    f->t.model_config = opt_text(&f->o, O_model_config);
    f->t.mlp = opt_text(&f->o, O_mlp);
    f->t.lr = opt_real(&f->o, O_lr);
    f->t.out = opt_text(&f->o, O_out);
    f->t.data = opt_text(&f->o, O_data);
    if (opt_flag(&f->o, O_resume)) set_recorded(&f->t);
    f->done = run_c4_translate(&f->o, &f->c, &f->t);
}

static void must(fixture *f, const char *line) {
    translate(f, line);
    if (!f->done) fail_msg("%s", f->c.error);
}

static void refused(const char *line, const char *part) {
    fixture f;
    translate(&f, line);
    assert_false(f.done);
    if (!strstr(f.c.error, part)) fail_msg("'%s' does not say '%s'", f.c.error, part);
    options_free(&f.o);
}

static bool has_rule(const fixture *f, const char *rule) {
    for (size_t i = 0; i < f->c.rule_count; i++)
        if (strcmp(f->c.rules[i], rule) == 0) return true;
    return false;
}

static bool noted(const fixture *f, const char *part) {
    return strstr(f->c.notes, part) != NULL;
}

#define LORO_130M                                                                                  \
    "--model_config configs/llama_130m.json --dtype bfloat16 --batch_size 128 "                    \
    "--total_batch_size 512 --num_training_steps 20000 --save_every 2000 --eval_every 2000 "       \
    "--lr 0.01 --scheduler cosine_restart --warmup_steps 2000 --min_lr_ratio 0.1 "                 \
    "--cosine_restart_freq 500 --lr_adjust_steps -2000 --weight_decay 0 --optimizer loro_adamw "   \
    "--loro_refresh all --loro_refresh_freq 500 --loro_scope all --loro_init xavier "              \
    "--loro_attn_rank 256 --loro_mlp_rank 192 --loro_type loro --loro_freq 500 "                   \
    "--loro_lr_scaler -1"

static void test_loro(void **state) {
    (void)state;
    fixture f;
    must(&f, LORO_130M);
    assert_true(f.c.active);
    assert_int_equal(f.t.grad_accum, 4);
    assert_int_equal(f.t.steps, 20000);
    assert_int_equal(f.t.warmup, 2000);
    assert_int_equal(f.t.restart_every, 500);
    assert_int_equal(f.t.restart_warmup, 5);
    assert_int_equal(f.t.lr_adjust, -2000);
    assert_string_equal(f.t.schedule, "cosine_restart");
    assert_int_equal(f.t.exact_every, 500);
    assert_true(f.t.lr_scaler == -1);
    assert_string_equal(f.t.refresh, "all");
    assert_int_equal(f.t.refresh_every, 500);
    assert_true(f.t.eps == 1e-6 && f.t.beta2 == 0.999 && f.t.beta1 == 0.9);
    assert_int_equal(f.c.rule_count, 2);
    assert_true(has_rule(&f, "self_attn.*=lowrank:256"));
    assert_true(has_rule(&f, "mlp.*_proj=lowrank:192"));
    assert_string_equal(f.t.data, "en/c4-train.*.json.gz");
    assert_string_equal(f.t.eval_data, "en/c4-validation.*.json.gz");
    assert_string_equal(f.t.mlp, "swiglu");
    assert_memory_equal(f.t.out, "ckpt/test-llama_130m.json-loro_adamw-", 37);
    options_free(&f.o);
    must(&f, LORO_130M " --loro_type eucl --enable_2to4_sparse --attn_2by4 --loro_mlp_dense");
    assert_int_equal(f.t.exact_every, 0);
    assert_true(f.t.lr_scaler == 1);
    assert_true(has_rule(&f, "self_attn.*=lowrank:256+2:4+mvue"));
    assert_true(has_rule(&f, "mlp.*_proj=2:4:sste+mvue"));
    options_free(&f.o);
}

static void test_activation(void **state) {
    (void)state;
    fixture f;
    must(&f, "--model_config configs/llama_130m.json --batch_size 64 --total_batch_size 512 "
             "--optimizer adamw "
             "--loro_scope all --loro_freq 500 --squ_relu True --activation_sparse_method mvue "
             "--activation_dense_warmup_steps 1000 --attn_2by4 True --mlp_2by4 False "
             "--enable_2to4_sparse False --save_ckpt True --flip_rate True --c4_local False");
    assert_string_equal(f.t.mlp, "relu2");
    assert_int_equal(f.c.rule_count, 1);
    assert_true(has_rule(&f, "mlp.act=act2:4:mvue"));
    assert_true(f.t.act_permute);
    assert_int_equal(f.t.act_warmup, 1000);
    assert_true(f.t.log_flips);
    assert_true(noted(&f, "no effect, as the optimizer is adamw: --loro_freq, --loro_scope"));
    assert_true(noted(&f, "--c4_local has no effect"));
    options_free(&f.o);
    must(&f, "--squ_relu relu2");
    assert_int_equal(f.c.rule_count, 0);
    options_free(&f.o);
    must(&f, "--squ_relu relu2 --activation_2by4 --dx_direct_sparse 3 --activation_sparse_method "
             "soft_threshold_weights");
    assert_true(has_rule(&f, "mlp.act=act2:4:soft_weights"));
    assert_string_equal(f.t.act_backward, "dense");
    assert_false(f.t.act_permute);
    options_free(&f.o);
    must(&f, "--squ_relu silu --activation_2by4 True --dx_direct_sparse False");
    assert_int_equal(f.c.rule_count, 0);
    assert_string_equal(f.t.act_backward, "split");
    assert_true(noted(&f, "--activation_2by4 has no effect"));
    options_free(&f.o);
    must(&f,
         "--optimizer adamw --enable_2to4_sparse --activation_2by4 --activation_soft_threshold");
    assert_true(has_rule(&f, "mlp.*_proj=in2:4:soft"));
    options_free(&f.o);
}

// The shortest command of the documents: everything it needs has a stated default.
static void test_bare(void **state) {
    (void)state;
    fixture f;
    must(&f, "--num_training_steps 10 --enable_2to4_sparse");
    assert_int_equal(f.t.steps, 10);
    assert_int_equal(f.t.batch_size, 16);
    assert_string_equal(f.t.model_config, "llama_130m");
    assert_string_equal(f.t.optimizer, "adam");
    assert_int_equal(f.c.rule_count, 1);
    assert_true(has_rule(&f, "mlp.*_proj=2:4:sste+mvue"));
    assert_true(noted(&f, "--model_config llama_130m, --batch_size 16"));
    options_free(&f.o);
    must(&f, "--out x --data y --lr 1e-3"); // nothing of the group: nothing changes
    assert_false(f.c.active);
    assert_string_equal(f.c.notes, "");
    assert_string_equal(f.t.out, "x");
    options_free(&f.o);
}

static void test_tokens(void **state) {
    (void)state;
    fixture f;
    must(&f, "--batch_size 8 --total_batch_size 32 --max_train_tokens 100M --max_length 256");
    assert_int_equal(f.t.steps, (100000000 + 8191) / 8192);
    options_free(&f.o);
    must(&f, "--num_training_steps 5"); // one document a sample
    assert_false(f.t.pack);
    options_free(&f.o);
    must(&f, "--num_training_steps 5 --pack");
    assert_true(f.t.pack);
    options_free(&f.o);
    must(&f, "--batch_size 8 --max_train_tokens 1B --max_length 256");
    assert_int_equal(f.t.steps, (1000000000 + 2047) / 2048);
    options_free(&f.o);
    must(&f, "--batch_size 8 --gradient_accumulation 3 --optimizer sgd --beta1 0.8 --save_ckpt "
             "False --save_every 5");
    assert_int_equal(f.t.grad_accum, 3);
    assert_true(f.t.momentum == 0.8);
    assert_int_equal(f.t.save_every, 0);
    options_free(&f.o);
}

// A native option beside the group wins over the group's default, not over its flag.
static void test_native(void **state) {
    (void)state;
    fixture f;
    must(&f, "--loro_scope all --optimizer LORO_AdamW --exact-every 500 --lr-scaler 0.3 --refresh "
             "lrk --lowrank-init auto --act-warmup 7 --act-every 3 --act-samples 9 --act-backward "
             "dense --dtype bf16");
    assert_true(has_rule(&f, "mlp.*_proj=lowrank:128"));
    assert_string_equal(f.t.optimizer, "loro_adamw");
    assert_string_equal(f.t.dtype, "bfloat16");
    assert_int_equal(f.t.exact_every, 500);
    assert_true(f.t.lr_scaler == 0.3 && f.t.eps == 1e-6);
    assert_string_equal(f.t.refresh, "lrk");
    assert_int_equal(f.t.refresh_every, 500);
    assert_string_equal(f.t.lowrank_init, "auto");
    assert_int_equal(f.t.act_warmup, 7);
    assert_int_equal(f.t.act_every, 3);
    assert_int_equal(f.t.act_samples, 9);
    assert_string_equal(f.t.act_backward, "dense");
    options_free(&f.o);
    must(&f, "--loro_scope all --optimizer loro_adamw --exact-every 500 --loro_freq 4");
    assert_int_equal(f.t.exact_every, 4);
    options_free(&f.o);
    must(&f, "--name x --optimizer galore_adamw");
    assert_int_equal(f.t.galore_gap, 50);
    assert_true(f.t.galore_scale == 1);
    options_free(&f.o);
    must(&f, "--name x --optimizer galore_adamw --galore-gap 7 --galore_scale 0.5");
    assert_int_equal(f.t.galore_gap, 7);
    assert_true(f.t.galore_scale == 0.5);
    options_free(&f.o);
    must(&f, "--name x --optimizer sgd --momentum 0.7");
    assert_true(f.t.momentum == 0.7);
    options_free(&f.o);
}

static void test_schedules(void **state) {
    (void)state;
    fixture f;
    must(&f, "--scheduler const --warmup_steps 50");
    assert_string_equal(f.t.schedule, "constant");
    assert_int_equal(f.t.warmup, 0);
    assert_true(noted(&f, "--warmup_steps has no effect"));
    options_free(&f.o);
    must(&f, "--scheduler cosine --cosine_restart_freq 5 --lr_jag_after_warmup");
    assert_string_equal(f.t.schedule, "cosine_cycle");
    assert_int_equal(f.t.restart_every, 0);
    assert_true(noted(&f, "--cosine_restart_freq has no effect: the schedule has no restarts"));
    assert_true(noted(&f, "--lr_jag_after_warmup has no effect"));
    options_free(&f.o);
}

static void assert_set(const fixture *f, const char *names) {
    char set[512] = "";
    for (size_t i = 0; i < f->c.set_count; i++) {
        if (i) strcat(set, " ");
        strcat(set, f->c.set[i]);
    }
    assert_string_equal(set, names);
}

// A run that goes on has settings: no default takes their place, and only what a flag says is set.
static void test_resume(void **state) {
    (void)state;
    fixture f;
    must(&f, "--save_dir run --resume");
    assert_true(f.t.batch_size == 2 && f.t.grad_accum == 4 && f.t.seq_len == 32);
    assert_true(f.t.steps == 10 && f.t.lr == 0.01 && f.t.exact_every == 5 && f.t.lr_scaler == -1);
    assert_true(f.t.refresh_every == 5 && f.t.act_permute && f.t.save_every == 7 && f.t.seed == 42);
    assert_true(f.t.restart_every == 50 && f.t.galore_gap == 200 && f.t.act_warmup == 1000);
    assert_string_equal(f.t.model_config, "llama_toy");
    assert_string_equal(f.t.optimizer, "loro_adamw");
    assert_string_equal(f.t.schedule, "cosine_restart");
    assert_string_equal(f.t.data, "recorded");
    assert_string_equal(f.t.out, "run");
    assert_set(&f, "");
    assert_string_equal(f.c.notes, "");
    options_free(&f.o);
    must(&f, "--out run --resume --num_training_steps 14 --save_ckpt --total_batch_size 12 "
             "--loro_type eucl --scheduler const --dx_direct_sparse 2 --momentum_reset_steps 6");
    assert_true(f.t.steps == 14 && f.t.grad_accum == 6 && f.t.batch_size == 2);
    assert_true(f.t.exact_every == 0 && f.t.lr_scaler == 1 && f.t.refresh_every == 5);
    assert_true(f.t.warmup == 0 && f.t.save_every == 7 && f.t.lr == 0.01);
    assert_string_equal(f.t.act_backward, "direct");
    assert_set(&f, "grad_accum steps schedule warmup exact_every lr_scaler act_backward "
                   "moment_reset_every");
    options_free(&f.o);
    must(&f, "--out run --resume --max_train_tokens 3k --save_ckpt False --loro_refresh None");
    assert_true(f.t.steps == 12 && f.t.save_every == 0); // of 256 tokens
    assert_string_equal(f.t.refresh, "none");
    assert_set(&f, "steps refresh save_every");
    options_free(&f.o);
    must(&f, "--out run --resume --loro_attn_rank 8 --flip_rate");
    assert_true(noted(&f, "no effect, as a resumed run keeps its structure: --loro_attn_rank"));
    assert_set(&f, "log_flips");
    options_free(&f.o);
    refused("--out run --resume --total_batch_size 5", "the nearest is 6");
}

// What waits for another flag is named; what that flag is for is not.
static void test_idle(void **state) {
    (void)state;
    fixture f;
    must(&f, "--attn_2by4 True --flip_rate --permute_2by4 --dx_direct_sparse 2 "
             "--activation_dense_warmup_steps 5 --activation_calibration_samples 5 "
             "--wandb_sparsityrelu True");
    assert_true(noted(&f, "--attn_2by4 has no effect: --enable_2to4_sparse is not given"));
    assert_true(noted(&f, "--flip_rate has no effect: no weight is 2:4"));
    assert_true(noted(&f, "--permute_2by4 has no effect"));
    assert_true(noted(&f, "--dx_direct_sparse has no effect"));
    assert_true(noted(&f, "--activation_dense_warmup_steps has no effect"));
    assert_true(noted(&f, "--activation_calibration_samples has no effect"));
    assert_true(noted(&f, "--wandb_sparsityrelu has no effect: the MLP has a gate"));
    options_free(&f.o);
    must(&f, "--enable_2to4_sparse --attn_2by4 True --flip_rate --squ_relu True --permute_2by4 "
             "--dx_direct_sparse 1 --activation_sparse_method soft_dynamic "
             "--dynamic_activation_steps 5 --wandb_sparsityrelu True");
    assert_false(noted(&f, "has no effect"));
    options_free(&f.o);
}

// Each row: flags, and the line about one of them; NULL where all have an effect.
static void test_beside(void **state) {
    (void)state;
#define LORO "--optimizer loro_adamw --loro_freq 5 "
    static const struct {
        const char *flags, *line;
    } rows[] = {
        {LORO "--loro_scope mlp --loro_attn_rank 8",
         "--loro_attn_rank has no effect: --loro_scope is mlp"},
        {LORO "--loro_scope attn --loro_mlp_rank 8",
         "--loro_mlp_rank has no effect: --loro_scope is attn"},
        {LORO "--loro_scope all --loro_mlp_rank 8 --loro_mlp_dense",
         "--loro_mlp_rank has no effect: --loro_mlp_dense"},
        {LORO "--loro_scope attn --loro_mlp_dense",
         "--loro_mlp_dense has no effect: --loro_scope is attn"},
        {LORO "--loro_attn_rank 8 --loro_mlp_rank 8 --loro_type loro --loro_init orth "
              "--loro_lr_scaler -1",
         "no effect, as --loro_scope is none: --loro_attn_rank, --loro_mlp_rank, --loro_type, "
         "--loro_init, --loro_lr_scaler, --loro_freq"},
        {LORO "--loro_refresh all",
         NULL}, /* its period is --loro_freq, and every tensor has moments */
        {LORO "--loro_refresh lrk --loro_refresh_freq 5",
         "--loro_freq, --loro_refresh, --loro_refresh_freq"},
        {LORO "--sparsity *_proj=lowrank:8 --loro_init orth", NULL},
        {LORO "--loro_scope all --loro_attn_rank 8 --loro_mlp_rank 8 --loro_lr_scaler -1", NULL},
        {LORO "--loro_scope all --loro_type eucl", "--loro_freq has no effect: --loro_type eucl"},
        {LORO "--loro_scope all --loro_type eucl --loro_refresh all", NULL},
        {LORO "--loro_scope all --loro_type eucl --exact-every 4",
         "--exact_every has no effect beside --loro_type"},
        {LORO "--loro_scope all --loro_freq 1 --loro_lr_scaler 0.5",
         "--loro_lr_scaler has no effect: every step is exact"},
        {"--optimizer sgd --momentum_reset_steps 5", "--momentum_reset_steps has no effect: sgd"},
        {"--optimizer sgd --beta1 0.9 --momentum_reset_steps 5", NULL},
        {"--squ_relu True --permute_2by4 True --dx_direct_sparse 2",
         "--permute_2by4 has no effect: --dx_direct"},
        {"--squ_relu True --permute_2by4 True --dx_direct_sparse 3",
         "--permute_2by4 has no effect: --dx_direct"},
        {"--squ_relu True --permute_2by4 False --dx_direct_sparse 3", NULL},
        {"--squ_relu True --activation_2by4 False",
         "--activation_2by4 has no effect: --squ_relu True"},
        {"--squ_relu True --activation_2by4 True", NULL},
        {"--train_data_path a --data b", "--data has no effect beside --train_data_path"},
        {"--save_dir a --out b", "--out has no effect beside --save_dir"},
        {"--num_training_steps 5 --steps 6", "--steps has no effect beside --num_training_steps"},
        {"--num_training_steps 5 --max_train_tokens 1M",
         "--num_training_steps has no effect: --max_train_tokens"},
    };
#undef LORO
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fixture f;
        must(&f, rows[i].flags);
        bool right = rows[i].line ? noted(&f, rows[i].line) : !noted(&f, "no effect");
        if (!right) fail_msg("%s: %s", rows[i].flags, f.c.notes);
        options_free(&f.o);
    }
}

// Commands of words that are Winnow's too are told by their spelling.
static void test_spelled(void **state) {
    (void)state;
    fixture f;
    must(&f, "--model_config configs/llama_60m.json --batch_size 4 --optimizer galore_adamw "
             "--galore_scale 0.25");
    assert_true(f.c.active && f.t.lr == 1e-4 && f.t.galore_gap == 50);
    options_free(&f.o);
    must(&f, "--galore_scale 0.25");
    assert_true(f.c.active);
    options_free(&f.o);
    must(&f, "--model_config=configs/llama_60m.json");
    assert_true(f.c.active);
    options_free(&f.o);
    static const char *const own[] = {"--galore-scale 0.25", "--model_config llama_60m",
                                      "--model-config configs/llama_60m.json",
                                      "--batch_size 4 --optimizer Adam --dtype bf16"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        must(&f, own[i]);
        assert_false(f.c.active);
        assert_string_equal(f.c.notes, "");
        options_free(&f.o);
    }
    must(&f, own[3]);
    assert_string_equal(f.t.optimizer, "adam");
    assert_string_equal(f.t.dtype, "bfloat16");
    options_free(&f.o);
    must(&f,
         "--squ_relu --dx_direct_sparse --loro_type LORO --optimizer loro_adamw --loro_scope All "
         "--loro_refresh ALL --scheduler Const");
    assert_string_equal(f.t.mlp, "relu2");
    assert_string_equal(f.t.act_backward, "direct");
    assert_string_equal(f.t.refresh, "all");
    assert_string_equal(f.t.schedule, "constant");
    assert_true(has_rule(&f, "mlp.act=act2:4:mvue") && has_rule(&f, "mlp.*_proj=lowrank:128"));
    options_free(&f.o);
    must(&f, "--dx_direct_sparse 3 --squ_relu");
    assert_string_equal(f.t.act_backward, "dense");
    assert_string_equal(f.t.mlp, "relu2");
    options_free(&f.o);
    refused("--squ_relu=", "--squ_relu '' is unknown");
}

static void test_refusals(void **state) {
    (void)state;
    refused("--resume --loro_freq 5", "needs --out DIR, or --save_dir DIR");
    refused("--batch_size 3 --total_batch_size 8", "the nearest is 9");
    refused("--scheduler cosin --batch_size 2", "legal: const, linear");
    refused("--scheduler cosine_restart", "needs --cosine_restart_freq");
    refused("--optimizer loro_adamw --loro_scope qkv", "legal: all, attn, mlp, none");
    refused("--optimizer loro_adamw --loro_type riemann", "legal: loro, eucl");
    refused("--optimizer loro_adamw --loro_lr_scaler fast", "not a number");
    refused("--optimizer loro_adamw --loro_refresh some", "legal: reg");
    refused("--squ_relu gelu", "legal: silu, relu, relu2");
    refused("--activation_sparse_method best", "legal: naive, mvue");
    refused("--dx_direct_sparse 4", "legal: 1, 2, 3");
    refused("--optimizer cola_adamw --cola_silu True", "CoLA puts a nonlinearity");
    refused("--optimizer CoLA_AdamW --model_config llama_toy", "CoLA puts a nonlinearity");
    refused("--optimizer lost_adamw --model_config llama_toy", "are none of Winnow's");
    refused("--optimizer galore_adafactor", "AdamW's moments only");
    refused("--optimizer galore_adamw8bit --rank 8", "AdamW's moments only");
    refused("--gradient_accumulation 3 --batch_size 2 --total_batch_size 8", "makes 6 sequences");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loro),    cmocka_unit_test(test_activation),
        cmocka_unit_test(test_bare),    cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_native),  cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_idle),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_resume),  cmocka_unit_test(test_beside),
        cmocka_unit_test(test_spelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
