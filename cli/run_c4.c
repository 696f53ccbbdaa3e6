// SPDX-License-Identifier: MIT
/* run_c4.py's flags to training options. Values are those of the original; where its meaning was
 * broken the right thing is done, as the help of each flag says. Flags without effect beside the
 * others given are named in one line. */
#include "run_c4.h"
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static bool given(const options *o, option_id id) {
    return o->value[id].given;
}

static bool refuse(run_c4 *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(run_c4 *c, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->error, sizeof c->error, fmt, ap);
    va_end(ap);
    return false;
}

static void note(run_c4 *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(run_c4 *c, const char *fmt, ...) {
    size_t used = strlen(c->notes);
    va_list ap;
    if (used + 2 >= sizeof c->notes) return; /* no room for another line */
    va_start(ap, fmt);
    vsnprintf(c->notes + used, sizeof c->notes - used - 1, fmt, ap);
    va_end(ap);
    used = strlen(c->notes);
    c->notes[used] = '\n';
    c->notes[used + 1] = '\0';
}

/* The native option of a field's name; O_COUNT where another says it. */
static option_id native_of(const char *field) {
    int id = 0;
    while (id < O_COUNT && (!(option_at((option_id)id)->commands & C_TRAIN) ||
                            strcmp(option_at((option_id)id)->name, field) != 0))
        id++;
    return (option_id)id;
}

/* Whether a flag of the group was given, and so sets a field; it wins over the native option. */
static bool sets(const options *o, run_c4 *c, option_id id, const char *field) {
    if (!given(o, id)) return false;
    for (size_t i = 0; i < c->set_count; i++)
        if (strcmp(c->set[i], field) == 0) return true;
    if (c->set_count < RUN_C4_SET) c->set[c->set_count++] = field;
    option_id own = native_of(field);
    if (own != O_COUNT && given(o, own))
        note(c, "--%s has no effect beside --%s", field, option_at(id)->name);
    return true;
}

/* The same of one whose default holds too, where neither it nor the native option was given. */
static bool holds(const options *o, run_c4 *c, option_id id, option_id own, const char *field) {
    return sets(o, c, id, field) || (!c->resumes && !given(o, own));
}

/* "True"/"False" of a flag that was a choice elsewhere: 1, 0, or -1 for neither. */
static int truth(const char *text) {
    return strcasecmp(text, "true") == 0 ? 1 : strcasecmp(text, "false") == 0 ? 0 : -1;
}

/* The word of the list that a text is, in any case; NULL for none. */
static const char *word_of(const char *text, const char *const *words) {
    for (; text && *words; words++)
        if (strcasecmp(text, *words) == 0) return *words;
    return NULL;
}

/* Words that are Winnow's too, as only the original's commands spell them. */
static bool spelled_as_there(const options *o) {
    const option_value *config = &o->value[O_model_config];
    size_t n = config->given ? strlen(config->text) : 0;
    bool file = n > 13 && strncmp(config->text, "configs/", 8) == 0 &&
                strcmp(config->text + n - 5, ".json") == 0;
    return (config->underscored && file) || o->value[O_galore_scale].underscored;
}

bool run_c4_active(const options *o) {
    for (int id = O_use_hf_model; id <= O_more_activation_relu2; id++)
        if (given(o, (option_id)id)) return true;
    return spelled_as_there(o);
}

/* Spellings of the original that have another one here: names of optimizers in any case, bf16. */
static void respell(run_c4 *c, wn_train_options *t) {
    size_t i = 0;
    for (; t->optimizer[i] && i + 1 < sizeof c->optimizer; i++)
        c->optimizer[i] = (char)tolower((unsigned char)t->optimizer[i]);
    if (t->optimizer[i] == '\0') t->optimizer = c->optimizer;
    if (t->dtype && strcmp(t->dtype, "bf16") == 0) t->dtype = "bfloat16";
}

/* Whether the shape is given by sizes, which the original does not have. */
static bool sized(const options *o) {
    return given(o, O_hidden_size) || given(o, O_intermediate_size) || given(o, O_layers) ||
           given(o, O_heads) || given(o, O_kv_heads);
}

/* What the original sets when a flag is not given; the shape only where nothing else says it. */
static void set_defaults(const options *o, run_c4 *c, wn_train_options *t) {
    if (c->resumes) return;
    bool begins = given(o, O_init_from) || given(o, O_continue_from);
    if (!given(o, O_model_config) && !begins && !sized(o)) t->model_config = "llama_130m";
    if (!given(o, O_batch_size)) t->batch_size = 16;
    if (!given(o, O_mlp) && !begins) t->mlp = "swiglu";
    if (!given(o, O_tie_embeddings)) t->tie_embeddings = false;
    if (!given(o, O_pack)) t->pack = false;
    if (!given(o, O_optimizer)) t->optimizer = "adam";
    if (!given(o, O_beta2)) t->beta2 = 0.999;
    if (!given(o, O_eps))
        t->eps = strcmp(t->optimizer, "loro_adamw") == 0 || strncmp(t->optimizer, "galore", 6) == 0
                     ? 1e-6
                     : 1e-8;
    if (!given(o, O_lr)) t->lr = 1e-4;
    if (!given(o, O_weight_decay)) t->weight_decay = 0;
    if (!given(o, O_clip_norm)) t->clip_norm = 0;
    if (!given(o, O_seq_len)) t->seq_len = 256;
    if (!given(o, O_steps)) t->steps = 10000;
    if (!given(o, O_warmup)) t->warmup = 1000;
    if (!given(o, O_schedule)) t->schedule = "cosine_cycle";
    if (!given(o, O_eval_every)) t->eval_every = 5000;
    if (!given(o, O_eval_tokens)) t->eval_tokens = 10000000;
    if (!given(o, O_save_every)) t->save_every = 10000;
    if (!given(o, O_seed)) t->seed = 0;
    if (!given(o, O_restart_warmup)) t->restart_warmup = 5;
    note(c,
         "run_c4.py's defaults hold for what is not given; those it demands are %s%s%s--batch_size "
         "%lld",
         t->model_config ? "--model_config " : "", t->model_config ? t->model_config : "",
         t->model_config ? ", " : "", (long long)t->batch_size);
}

static void set_data(const options *o, run_c4 *c, wn_train_options *t) {
    if (holds(o, c, O_train_data_path, O_data, "data")) t->data = opt_text(o, O_train_data_path);
    bool own = given(o, O_data) || given(o, O_train_data_path);
    if (sets(o, c, O_val_data_path, "eval_data") ||
        (!own && holds(o, c, O_val_data_path, O_eval_data, "eval_data")))
        t->eval_data = opt_text(o, O_val_data_path);
    if (sets(o, c, O_max_length, "seq_len")) t->seq_len = opt_int(o, O_max_length);
    if (sets(o, c, O_continue_from, "init_from")) {
        t->init_from = opt_text(o, O_continue_from);
        if (c->resumes) return;
        note(c, "--continue_from takes the weights; optimizer, schedule and data begin anew "
                "(--resume continues a run)");
    }
}

static bool set_batches(const options *o, run_c4 *c, wn_train_options *t) {
    int64_t total = opt_int(o, O_total_batch_size);
    if (sets(o, c, O_gradient_accumulation, "grad_accum"))
        t->grad_accum = opt_int(o, O_gradient_accumulation);
    if (sets(o, c, O_total_batch_size, "grad_accum") && total > 0) {
        if (total % t->batch_size != 0)
            return refuse(c,
                          "--total_batch_size %lld is not a multiple of --batch_size %lld; the "
                          "nearest is %lld",
                          (long long)total, (long long)t->batch_size,
                          (long long)((total / t->batch_size + 1) * t->batch_size));
        if (given(o, O_gradient_accumulation) && t->grad_accum * t->batch_size != total)
            return refuse(c,
                          "--gradient_accumulation %lld of --batch_size %lld makes %lld sequences, "
                          "--total_batch_size says %lld",
                          (long long)t->grad_accum, (long long)t->batch_size,
                          (long long)(t->grad_accum * t->batch_size), (long long)total);
        t->grad_accum = total / t->batch_size;
    }
    if (sets(o, c, O_num_training_steps, "steps")) t->steps = opt_int(o, O_num_training_steps);
    if (sets(o, c, O_max_train_tokens, "steps") && opt_int(o, O_max_train_tokens) > 0) {
        int64_t update = t->batch_size * t->grad_accum * t->seq_len;
        t->steps = (opt_int(o, O_max_train_tokens) + update - 1) / update;
        note(c, "--max_train_tokens: %lld updates of %lld tokens", (long long)t->steps,
             (long long)update);
    }
    return true;
}

/* The original's constant rate has no warm-up. */
static bool constant(const options *o) {
    const char *text = opt_text(o, O_scheduler);
    return given(o, O_scheduler) && text && strcasecmp(text, "const") == 0;
}

static bool set_schedule(const options *o, run_c4 *c, wn_train_options *t) {
    static const char *const theirs[] = {"const", "linear", "cosine", "cosine_restart",
                                         "cosine_restart_zero"};
    static const char *const ours[] = {"constant", "linear_zero", "cosine_cycle", "cosine_restart",
                                       "cosine_restart_zero"};
    const char *text = opt_text(o, O_scheduler);
    size_t i = 0;
    while (i < 5 && text && strcasecmp(text, theirs[i]) != 0)
        i++;
    if (!text || i == 5)
        return refuse(c,
                      "--scheduler '%s' is unknown; legal: const, linear, cosine, cosine_restart, "
                      "cosine_restart_zero",
                      text ? text : "");
    if (sets(o, c, O_scheduler, "schedule")) t->schedule = ours[i];
    bool restarts = strncmp(t->schedule, "cosine_restart", 14) == 0;
    if (sets(o, c, O_warmup_steps, "warmup")) t->warmup = opt_int(o, O_warmup_steps);
    if (constant(o) && (given(o, O_warmup_steps) || !given(o, O_warmup))) {
        t->warmup = 0;
        (void)sets(o, c, O_scheduler, "warmup");
    }
    if (restarts && sets(o, c, O_cosine_restart_freq, "restart_every"))
        t->restart_every = opt_int(o, O_cosine_restart_freq);
    if (sets(o, c, O_cosine_restart_warmup, "restart_warmup"))
        t->restart_warmup = opt_int(o, O_cosine_restart_warmup);
    if (sets(o, c, O_lr_adjust_steps, "lr_adjust")) t->lr_adjust = opt_int(o, O_lr_adjust_steps);
    if (sets(o, c, O_lr_jag_after_warmup, "restart_after_warmup"))
        t->restart_after_warmup = opt_flag(o, O_lr_jag_after_warmup);
    if (sets(o, c, O_grad_clipping, "clip_norm")) t->clip_norm = opt_real(o, O_grad_clipping);
    if (sets(o, c, O_activation_checkpointing, "recompute"))
        t->recompute = opt_flag(o, O_activation_checkpointing);
    if (restarts && t->restart_every <= 0)
        return refuse(c, "--scheduler %s needs --cosine_restart_freq", t->schedule);
    return true;
}

static bool low_rank(const wn_train_options *t) {
    return strcmp(t->optimizer, "loro_adamw") == 0;
}

static bool set_loro(const options *o, run_c4 *c, wn_train_options *t) {
    static const char *const types[] = {"loro", "eucl", NULL};
    static const char *const groups[] = {"none", "reg", "lrk", "all", NULL};
    const char *type = word_of(opt_text(o, O_loro_type), types),
               *refresh = word_of(opt_text(o, O_loro_refresh), groups),
               *scaler = opt_text(o, O_loro_lr_scaler);
    char *end = NULL;
    if (!type)
        return refuse(c, "--loro_type '%s' is unknown; legal: loro, eucl",
                      o->value[O_loro_type].text);
    if (!refresh)
        return refuse(c, "--loro_refresh '%s' is unknown; legal: reg, lrk, all, none",
                      o->value[O_loro_refresh].text);
    double scale = scaler && strcmp(scaler, "auto") != 0 ? strtod(scaler, &end) : -1;
    if (!isfinite(scale) || (end && (end == scaler || *end)))
        return refuse(c, "--loro_lr_scaler '%s' is not a number, -1 or auto", scaler);
    bool exact = strcmp(type, "loro") == 0;
    if (!exact) {
        t->exact_every = 0;
        t->lr_scaler = 1;
        (void)sets(o, c, O_loro_type, "exact_every");
        (void)sets(o, c, O_loro_type, "lr_scaler");
    } else {
        if (holds(o, c, O_loro_freq, O_exact_every, "exact_every"))
            t->exact_every = opt_int(o, O_loro_freq);
        if (holds(o, c, O_loro_lr_scaler, O_lr_scaler, "lr_scaler")) t->lr_scaler = scale;
    }
    if (holds(o, c, O_loro_refresh, O_refresh, "refresh")) t->refresh = refresh;
    if (holds(o, c, O_loro_refresh_freq, O_refresh_every, "refresh_every"))
        t->refresh_every = opt_int(o, O_loro_refresh_freq);
    if (strcmp(t->refresh, "none") != 0 && t->refresh_every == 0) {
        t->refresh_every = exact ? t->exact_every : opt_int(o, O_loro_freq);
        (void)sets(o, c, O_loro_refresh, "refresh_every");
    }
    if (holds(o, c, O_loro_init, O_lowrank_init, "lowrank_init"))
        t->lowrank_init = opt_text(o, O_loro_init);
    return true;
}

static void set_galore(const options *o, run_c4 *c, wn_train_options *t) {
    if (sets(o, c, O_rank, "galore_rank")) t->galore_rank = opt_int(o, O_rank);
    if (holds(o, c, O_update_proj_gap, O_galore_gap, "galore_gap"))
        t->galore_gap = opt_int(o, O_update_proj_gap);
    if (!c->resumes && !given(o, O_galore_scale)) t->galore_scale = 1;
    if (sets(o, c, O_proj_type, "galore_type")) t->galore_type = opt_text(o, O_proj_type);
    bool momentum =
        strcasecmp(t->optimizer, "sgd") == 0 || strcasecmp(t->optimizer, "adafactor") == 0;
    if (momentum) {
        if (holds(o, c, O_beta1, O_momentum, "momentum"))
            t->momentum = given(o, O_beta1) ? opt_real(o, O_beta1) : 0;
    } else if (!c->resumes && !given(o, O_beta1)) {
        t->beta1 = 0.9;
    }
}

static void add_rule(run_c4 *c, const char *glob, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void add_rule(run_c4 *c, const char *glob, const char *fmt, ...) {
    char *rule = c->rule[c->rule_count];
    int n = snprintf(rule, sizeof c->rule[0], "%s=", glob);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(rule + n, sizeof c->rule[0] - (size_t)n, fmt, ap);
    va_end(ap);
    c->rules[c->rule_count++] = rule;
}

/* Structure of the layers a glob matches: factors, 2:4 weights, both, or nothing. */
static void add_weight_rule(run_c4 *c, const char *glob, int64_t rank, bool sparse) {
    if (rank > 0 && sparse)
        add_rule(c, glob, "lowrank:%lld+2:4+mvue", (long long)rank);
    else if (rank > 0)
        add_rule(c, glob, "lowrank:%lld", (long long)rank);
    else if (sparse)
        add_rule(c, glob, "2:4:sste+mvue");
}

/* Whether --sparsity may say what the layers are. */
static bool own_rules(const options *o) {
    return o->value[O_sparsity].count > 0 || opt_flag(o, O_sparse);
}

static bool set_weights(const options *o, run_c4 *c, const wn_train_options *t) {
    static const char *const scopes[] = {"all", "attn", "mlp", "none", NULL};
    const char *scope = word_of(opt_text(o, O_loro_scope), scopes);
    if (!scope)
        return refuse(c, "--loro_scope '%s' is unknown; legal: all, attn, mlp, none",
                      o->value[O_loro_scope].text);
    bool factors = low_rank(t), sparse = opt_flag(o, O_enable_2to4_sparse),
         all = strcmp(scope, "all") == 0;
    bool attn = factors && (all || strcmp(scope, "attn") == 0);
    bool mlp = factors && (all || strcmp(scope, "mlp") == 0) && !opt_flag(o, O_loro_mlp_dense);
    /* full-rank 2:4 layers with 2:4 inputs keep dense weights, as in the original */
    bool inputs = sparse && !factors && opt_flag(o, O_activation_2by4);
    bool weights = sparse && !inputs;
    add_weight_rule(c, "self_attn.*", attn ? opt_int(o, O_loro_attn_rank) : 0,
                    weights && opt_flag(o, O_attn_2by4));
    add_weight_rule(c, "mlp.*_proj", mlp ? opt_int(o, O_loro_mlp_rank) : 0,
                    weights && opt_flag(o, O_mlp_2by4));
    if (inputs) {
        const char *method = opt_flag(o, O_activation_soft_threshold) ? "soft" : "mvue";
        if (opt_flag(o, O_attn_2by4)) add_rule(c, "self_attn.*", "in2:4:%s", method);
        if (opt_flag(o, O_mlp_2by4)) add_rule(c, "mlp.*_proj", "in2:4:%s", method);
    }
    if (c->resumes) return true;
    if (factors && strcmp(scope, "none") == 0 && !own_rules(o))
        note(c, "--optimizer loro_adamw without --loro_scope: the model is full-rank");
    if (sparse && !opt_flag(o, O_attn_2by4) && !opt_flag(o, O_mlp_2by4))
        note(c, "--enable_2to4_sparse has no effect: both --attn_2by4 and --mlp_2by4 are False");
    return true;
}

/* Of a model that another one's shape says, this is not known here. */
static bool gated(const wn_train_options *t) {
    return t->mlp && strcmp(t->mlp, "swiglu") == 0;
}

/* The MLP's activation and its 2:4 form. */
static bool set_activation(const options *o, run_c4 *c, wn_train_options *t) {
    static const char *const kinds[] = {"silu", "relu", "relu2", NULL};
    static const char *const methods[] = {
        "naive", "mvue", "soft_threshold", "soft_threshold_weights", "soft_dynamic", NULL};
    static const char *const ours[] = {"naive", "mvue", "soft", "soft_weights", "soft_dynamic"};
    const char *said = o->value[O_squ_relu].text, *kind = word_of(said, kinds),
               *method = opt_text(o, O_activation_sparse_method);
    int both = truth(said);
    if (both < 0 && !kind)
        return refuse(c, "--squ_relu '%s' is unknown; legal: silu, relu, relu2, True, False", said);
    if (sets(o, c, O_squ_relu, "mlp"))
        t->mlp = both == 1 || (both < 0 && strcmp(kind, "relu2") == 0) ? "relu2"
                 : both < 0 && strcmp(kind, "relu") == 0               ? "relu"
                                                                       : "swiglu";
    if (!method) method = both == 1 ? "mvue" : "naive";
    size_t i = 0;
    while (methods[i] && strcasecmp(methods[i], method) != 0)
        i++;
    if (!methods[i])
        return refuse(c,
                      "--activation_sparse_method '%s' is unknown; legal: naive, mvue, "
                      "soft_threshold, soft_threshold_weights, soft_dynamic",
                      method);
    bool gate = gated(t), sparse = both == 1 || (opt_flag(o, O_activation_2by4) && !gate);
    if (sparse) add_rule(c, "mlp.act", "act2:4:%s", ours[i]);
    if (holds(o, c, O_permute_2by4, O_act_permute, "act_permute"))
        t->act_permute = given(o, O_permute_2by4) ? opt_flag(o, O_permute_2by4) : both == 1;
    if (holds(o, c, O_activation_dense_warmup_steps, O_act_warmup, "act_warmup"))
        t->act_warmup = opt_int(o, O_activation_dense_warmup_steps);
    if (holds(o, c, O_dynamic_activation_steps, O_act_every, "act_every"))
        t->act_every = opt_int(o, O_dynamic_activation_steps);
    if (holds(o, c, O_activation_calibration_samples, O_act_samples, "act_samples"))
        t->act_samples = opt_int(o, O_activation_calibration_samples);
    if (c->resumes) return true;
    bool elsewhere = opt_flag(o, O_enable_2to4_sparse) && !low_rank(t);
    if (opt_flag(o, O_activation_2by4) && gate && !elsewhere)
        note(c, "--activation_2by4 has no effect: the MLP has a gate (--squ_relu relu2 has none)");
    if (given(o, O_activation_soft_threshold) && !(elsewhere && opt_flag(o, O_activation_2by4)))
        note(c, "--activation_soft_threshold has no effect without --enable_2to4_sparse and "
                "--activation_2by4 on full-rank layers");
    return true;
}

static bool set_backward(const options *o, run_c4 *c, wn_train_options *t) {
    const char *text = opt_text(o, O_dx_direct_sparse);
    int flag = text ? truth(text) : -1;
    if (!text || (flag < 0 && (strlen(text) != 1 || !strchr("123", text[0]))))
        return refuse(c, "--dx_direct_sparse '%s' is unknown; legal: 1, 2, 3, True, False",
                      text ? text : "");
    char mode = flag == 0 ? '1' : flag == 1 ? '2' : text[0];
    if (!holds(o, c, O_dx_direct_sparse, O_act_backward, "act_backward")) return true;
    t->act_backward = mode == '1' ? "split" : mode == '2' ? "direct" : "dense";
    return true;
}

/* Of the default directory's name: what the shape comes from. */
static const char *shape_name(const wn_train_options *t, char *out, size_t n) {
    const char *from = t->init_from ? t->init_from : t->model_config;
    if (!from) {
        snprintf(out, n, "%lldx%lld", (long long)t->layers, (long long)t->hidden_size);
        return out;
    }
    size_t end = strlen(from);
    while (end > 1 && from[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && from[begin - 1] != '/')
        begin--;
    snprintf(out, n, "%.*s", (int)(end - begin), from + begin);
    return out;
}

static void set_run(const options *o, run_c4 *c, wn_train_options *t) {
    if (!opt_flag(o, O_save_ckpt) && sets(o, c, O_save_ckpt, "save_every")) {
        t->save_every = 0;
        note(c, "--save_ckpt False: one checkpoint, at the end");
    }
    if (sets(o, c, O_momentum_reset_steps, "moment_reset_every"))
        t->moment_reset_every = opt_int(o, O_momentum_reset_steps);
    if (sets(o, c, O_flip_rate, "log_flips")) t->log_flips = opt_flag(o, O_flip_rate);
    if (sets(o, c, O_wandb_sparsityrelu, "log_act_zeros"))
        t->log_act_zeros = opt_flag(o, O_wandb_sparsityrelu);
    if (t->out) return;
    char date[32], shape[80];
    time_t now = time(NULL);
    struct tm parts;
    strftime(date, sizeof date, "%Y%m%d-%H%M%S", localtime_r(&now, &parts));
    snprintf(c->out, sizeof c->out, "ckpt/%.80s-%s-%s-%s",
             opt_text(o, O_name) ? opt_text(o, O_name) : "run", shape_name(t, shape, sizeof shape),
             t->optimizer, date);
    t->out = c->out;
    note(c, "run directory: %s", c->out);
}

/* Those of the flags that were given, in one line: `what` it is that rules them out, and how it is.
 */
static void name_group(const options *o, run_c4 *c, const option_id *id, size_t count,
                       const char *what, const char *how) {
    char names[512] = "";
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(names);
        if (given(o, id[i]))
            snprintf(names + used, sizeof names - used, "%s--%s", used ? ", " : "",
                     option_at(id[i])->name);
    }
    if (*names) note(c, "no effect, as %s %s: %s", what, how, names);
}

static bool has_rule(const run_c4 *c, const char *part) {
    for (size_t i = 0; i < c->rule_count; i++)
        if (strstr(c->rules[i], part)) return true;
    return false;
}

/* Of loro_adamw: flags that wait for layers with factors, for exact steps or for lazy ones. */
static void name_idle_loro(const options *o, run_c4 *c, const wn_train_options *t) {
    const char *scope = opt_text(o, O_loro_scope);
    bool none = strcasecmp(scope, "none") == 0, refreshes = strcmp(t->refresh, "none") != 0,
         others = c->resumes || own_rules(o),
         eucl = strcasecmp(opt_text(o, O_loro_type), "eucl") == 0;
    /* a refresh that has no period of its own takes that of the exact steps */
    bool read = refreshes && opt_int(o, O_loro_refresh_freq) == 0;
    if (none && !c->resumes) {
        option_id id[9] = {O_loro_attn_rank, O_loro_mlp_rank, O_loro_mlp_dense};
        size_t count = 3;
        if (!others) {
            id[count++] = O_loro_type;
            id[count++] = O_loro_init;
            id[count++] = O_loro_lr_scaler;
            if (!read) id[count++] = O_loro_freq;
            bool factors_only = strcmp(t->refresh, "lrk") == 0;
            if (factors_only) id[count++] = O_loro_refresh;
            if (factors_only || !refreshes) id[count++] = O_loro_refresh_freq;
        }
        name_group(o, c, id, count, "--loro_scope", "is none");
        if (!others) return;
    }
    bool some = !none && !c->resumes;
    const struct {
        option_id id;
        bool idle;
        const char *why;
    } rows[] = {
        {O_loro_attn_rank, some && !has_rule(c, "self_attn.*=lowrank"), "--loro_scope is mlp"},
        {O_loro_mlp_rank, some && !has_rule(c, "mlp.*_proj=lowrank"),
         opt_flag(o, O_loro_mlp_dense) ? "--loro_mlp_dense" : "--loro_scope is attn"},
        {O_loro_mlp_dense, some && opt_flag(o, O_loro_mlp_dense) && strcasecmp(scope, "attn") == 0,
         "--loro_scope is attn"},
        {O_loro_freq, eucl && !read, "--loro_type eucl makes no exact step"},
        {O_loro_lr_scaler, eucl, "--loro_type eucl scales no step"},
        {O_loro_lr_scaler, !eucl && t->exact_every == 1,
         "every step is exact, so that only one that falls back is scaled"},
        {O_loro_refresh_freq, !refreshes, "--loro_refresh names no group"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (given(o, rows[i].id) && rows[i].idle)
            note(c, "--%s has no effect: %s", option_at(rows[i].id)->name, rows[i].why);
}

/* Flags that wait for another one; of structures only where neither --sparsity nor a run that goes
 * on may have what they are for. */
static void name_idle(const options *o, run_c4 *c, const wn_train_options *t) {
    bool steady = strncmp(t->schedule, "cosine_restart", 14) != 0, own = c->resumes || own_rules(o),
         dense = !own && !has_rule(c, "act2:4"),
         masks = own || has_rule(c, "+2:4") || has_rule(c, "=2:4"),
         fixed = !own && !has_rule(c, "soft_dynamic"),
         weights = c->resumes || opt_flag(o, O_enable_2to4_sparse),
         twice = truth(opt_text(o, O_squ_relu)) == 1;
    const struct {
        option_id id;
        bool idle;
        const char *why;
    } rows[] = {
        {O_cosine_restart_freq, steady, "the schedule has no restarts"},
        {O_cosine_restart_warmup, steady, "the schedule has no restarts"},
        {O_lr_jag_after_warmup, steady, "the schedule has no restarts"},
        {O_lr_adjust_steps, steady, "the schedule has no restarts"},
        {O_warmup_steps, constant(o), "--scheduler const has no warm-up"},
        {O_attn_2by4, !weights, "--enable_2to4_sparse is not given"},
        {O_mlp_2by4, !weights, "--enable_2to4_sparse is not given"},
        {O_flip_rate, !masks, "no weight is 2:4"},
        {O_activation_sparse_method, dense, "the MLP's activations are dense"},
        {O_activation_dense_warmup_steps, dense, "the MLP's activations are dense"},
        {O_permute_2by4, dense, "the MLP's activations are dense"},
        {O_permute_2by4,
         !dense && opt_flag(o, O_permute_2by4) && strcmp(t->act_backward, "split") != 0,
         "--dx_direct_sparse 2 and 3 prune nothing along tokens"},
        {O_activation_2by4, !dense && twice && !opt_flag(o, O_activation_2by4),
         "--squ_relu True means 2:4 activations"},
        {O_num_training_steps, opt_int(o, O_max_train_tokens) > 0,
         "--max_train_tokens says how many updates there are"},
        {O_momentum_reset_steps, strcmp(t->optimizer, "sgd") == 0 && t->momentum <= 0,
         "sgd without momentum has no moments"},
        {O_dx_direct_sparse, dense, "the MLP's activations are dense"},
        {O_dynamic_activation_steps, fixed, "of --activation_sparse_method soft_dynamic"},
        {O_activation_calibration_samples, fixed, "of --activation_sparse_method soft_dynamic"},
        {O_wandb_sparsityrelu, gated(t), "the MLP has a gate"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (given(o, rows[i].id) && rows[i].idle)
            note(c, "--%s has no effect: %s", option_at(rows[i].id)->name, rows[i].why);
}

static void name_unused(const options *o, run_c4 *c, const wn_train_options *t) {
    static const struct {
        option_id id;
        const char *why;
    } never[] = {
        {O_use_hf_model, "there is one implementation of the model"},
        {O_workers, "samples are read as they are needed"},
        {O_loro_fallback_freq, "an exact step that cannot be made is a lazy one and is counted"},
        {O_single_gpu, "one process trains"},
        {O_sparse_init_scale, "the scale is computed from the weights"},
        {O_c4_local, "documents are read from local files"},
        {O_cola_silu, "the layers are not CoLA's"},
        {O_cola_init, "the layers are not CoLA's"},
        {O_cola_sparse_method, "the layers are not CoLA's"},
        {O_lost_sparsity, "the layers are not LOST's"},
        {O_lost_sparse_method, "the layers are not LOST's"},
        {O_lost_sparse_svd_rank, "the layers are not LOST's"},
        {O_lost_gamma, "the layers are not LOST's"},
        {O_lost_sparse_svd_inverse, "the layers are not LOST's"},
        {O_more_activation_relu2, "the layers are not CoLA's or LOST's"},
    };
    static const option_id loro[] = {
        O_loro_type,     O_loro_freq, O_loro_refresh, O_loro_refresh_freq, O_loro_attn_rank,
        O_loro_mlp_rank, O_loro_init, O_loro_scope,   O_loro_lr_scaler,    O_loro_mlp_dense};
    static const option_id structure[] = {O_loro_scope,
                                          O_loro_attn_rank,
                                          O_loro_mlp_rank,
                                          O_loro_mlp_dense,
                                          O_enable_2to4_sparse,
                                          O_attn_2by4,
                                          O_mlp_2by4,
                                          O_activation_2by4,
                                          O_activation_soft_threshold,
                                          O_activation_sparse_method};
    static const option_id galore[] = {O_rank, O_update_proj_gap, O_proj_type, O_galore_scale};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (given(o, never[i].id))
            note(c, "--%s has no effect: %s", option_at(never[i].id)->name, never[i].why);
    static const char optimizer[] = "the optimizer is";
    if (!low_rank(t)) name_group(o, c, loro, sizeof loro / sizeof *loro, optimizer, t->optimizer);
    if (strncmp(t->optimizer, "galore", 6) != 0)
        name_group(o, c, galore, sizeof galore / sizeof *galore, optimizer, t->optimizer);
    /* rules are compared with those of the run; what makes none is not */
    if (c->resumes && c->rule_count == 0)
        name_group(o, c, structure, sizeof structure / sizeof *structure, "a resumed run",
                   "keeps its structure");
}

/* Optimizers of the original that are not here, whether another of its flags is given or not. */
static bool check_optimizer(run_c4 *c, const char *name) {
    static const char *const cola[] = {"cola_adamw", "adamw_cola", NULL};
    static const char *const lost[] = {"lost_adamw", "adamw_lost", NULL};
    static const char *const variants[] = {"galore_adafactor", "galore_adamw8bit",
                                           "galore_adamw8bit_per_layer", NULL};
    static const char legal[] = "adam, adamw, sgd, adafactor, adam8bit, galore_adamw, loro_adamw";
    const char *why =
        word_of(name, variants) ? "GaLore is here with AdamW's moments only"
        : word_of(name, cola)
            ? "CoLA puts a nonlinearity between the factors, so that its layers have no weight "
              "that other tools could read"
        : word_of(name, lost)
            ? "LOST's layers, a low-rank product and full weights of some inputs, "
              "are none of Winnow's"
            : NULL;
    return !why || refuse(c, "--optimizer %s: %s; legal: %s", name, why, legal);
}

bool run_c4_translate(const options *o, run_c4 *c, wn_train_options *t) {
    *c = (run_c4){.active = run_c4_active(o), .resumes = t->resume};
    respell(c, t);
    if (!check_optimizer(c, t->optimizer)) return false;
    if (!c->active) return true;
    if (given(o, O_save_dir)) t->out = opt_text(o, O_save_dir);
    if (given(o, O_save_dir) && given(o, O_out)) note(c, "--out has no effect beside --save_dir");
    if (c->resumes && !t->out) return refuse(c, "--resume needs --out DIR, or --save_dir DIR");
    set_defaults(o, c, t);
    set_data(o, c, t);
    if (!set_batches(o, c, t) || !set_schedule(o, c, t)) return false;
    if (low_rank(t) && !set_loro(o, c, t)) return false;
    set_galore(o, c, t);
    if (!set_weights(o, c, t) || !set_activation(o, c, t) || !set_backward(o, c, t)) return false;
    set_run(o, c, t);
    name_idle(o, c, t);
    if (low_rank(t)) name_idle_loro(o, c, t);
    name_unused(o, c, t);
    return true;
}
