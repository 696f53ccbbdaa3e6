// SPDX-License-Identifier: MIT
/* winnow train: options to wn_train, events to lines, signals to a clean stop, and loss.svg at the
 * end. */
#include "command.h"
#include "interrupt.h"
#include "plot.h"
#include "progress.h"
#include "run_c4.h"
#include <stdlib.h>
#include <string.h>

static void on_event(void *ctx, const wn_train_event *e) {
    progress_event(ctx, e);
}

static void set_data_options(const options *o, wn_train_options *t) {
    t->out = opt_text(o, O_out);
    t->data = opt_text(o, O_data);
    t->eval_data = opt_text(o, O_eval_data);
    t->eval_fraction = opt_real(o, O_eval_fraction);
    t->pack = opt_flag(o, O_pack);
    t->tokenizer = opt_text(o, O_tokenizer);
    t->init_from = opt_text(o, O_init_from);
    t->resume = opt_flag(o, O_resume);
    t->vocab_size = (int32_t)opt_int(o, O_vocab_size);
    t->shuffle = opt_flag(o, O_shuffle);
}

static void set_model_options(const options *o, wn_train_options *t) {
    t->hidden_size = opt_int(o, O_hidden_size);
    t->intermediate_size = opt_int(o, O_intermediate_size);
    t->layers = opt_int(o, O_layers);
    t->heads = opt_int(o, O_heads);
    t->kv_heads = opt_int(o, O_kv_heads);
    t->mlp = opt_text(o, O_mlp);
    t->tie_embeddings = opt_flag(o, O_tie_embeddings);
    t->rope_theta = opt_real(o, O_rope_theta);
    t->init_std = opt_real(o, O_init_std);
    t->model_config = opt_text(o, O_model_config);
    t->round_intermediate = opt_int(o, O_round_intermediate);
    t->dtype = opt_text(o, O_dtype);
    t->fp8 = opt_flag(o, O_fp8);
    t->recompute = opt_flag(o, O_recompute);
}

static void set_structure_options(const options *o, wn_train_options *t) {
    t->mask_every = opt_int(o, O_mask_every);
    t->mask_freeze_after = opt_int(o, O_mask_freeze_after);
    t->mask_dense_after = opt_int(o, O_mask_dense_after);
    t->mask_decay = opt_real(o, O_mask_decay);
    t->scale_norm = opt_flag(o, O_scale_norm);
    t->scale_rule = opt_text(o, O_scale_rule);
    t->lowrank_init = opt_text(o, O_lowrank_init);
    t->act_backward = opt_text(o, O_act_backward);
    t->act_permute = opt_flag(o, O_act_permute);
    t->act_warmup = opt_int(o, O_act_warmup);
    t->act_dense = opt_real(o, O_act_dense);
    t->act_every = opt_int(o, O_act_every);
    t->act_samples = opt_int(o, O_act_samples);
}

static void set_optimisation_options(const options *o, wn_train_options *t) {
    t->steps = opt_int(o, O_steps);
    t->batch_size = opt_int(o, O_batch_size);
    t->seq_len = opt_int(o, O_seq_len);
    t->grad_accum = opt_int(o, O_grad_accum);
    t->lr = opt_real(o, O_lr);
    t->min_lr_ratio = opt_real(o, O_min_lr_ratio);
    t->schedule = opt_text(o, O_schedule);
    t->warmup = opt_int(o, O_warmup);
    t->wsd_decay = opt_int(o, O_wsd_decay);
    t->restart_every = opt_int(o, O_restart_every);
    t->restart_warmup = opt_int(o, O_restart_warmup);
    t->restart_after_warmup = opt_flag(o, O_restart_after_warmup);
    t->lr_adjust = opt_int(o, O_lr_adjust);
    t->teacher = opt_text(o, O_teacher);
    t->distill_weight = opt_real(o, O_distill_weight);
    t->distill_temperature = opt_real(o, O_distill_temperature);
    t->seed = (uint64_t)opt_int(o, O_seed);
}

static void set_optimizer_options(const options *o, wn_train_options *t) {
    t->optimizer = opt_text(o, O_optimizer);
    t->beta1 = opt_real(o, O_beta1);
    t->beta2 = opt_real(o, O_beta2);
    t->eps = opt_real(o, O_eps);
    t->momentum = opt_real(o, O_momentum);
    t->weight_decay = opt_real(o, O_weight_decay);
    t->clip_norm = opt_real(o, O_clip_norm);
    t->exact_every = opt_int(o, O_exact_every);
    t->lr_scaler = opt_real(o, O_lr_scaler);
    t->exact_core = opt_text(o, O_exact_core);
    t->exact_gauge = opt_text(o, O_exact_gauge);
    t->refresh = opt_text(o, O_refresh);
    t->refresh_every = opt_int(o, O_refresh_every);
    t->moment_reset_every = opt_int(o, O_moment_reset_every);
    t->galore_rank = opt_int(o, O_galore_rank);
    t->galore_gap = opt_int(o, O_galore_gap);
    t->galore_scale = opt_real(o, O_galore_scale);
    t->galore_type = opt_text(o, O_galore_type);
}

static void set_run_options(const options *o, wn_train_options *t) {
    t->log_every = opt_int(o, O_log_every);
    t->eval_every = opt_int(o, O_eval_every);
    t->eval_batches = opt_int(o, O_eval_batches);
    t->eval_tokens = opt_int(o, O_eval_tokens);
    t->galore_compat_eval = opt_flag(o, O_galore_compat_eval);
    t->sample_every = opt_int(o, O_sample_every);
    t->sample_prompt = opt_text(o, O_sample_prompt) ? opt_text(o, O_sample_prompt) : "";
    t->sample_tokens = opt_int(o, O_sample_tokens);
    t->save_every = opt_int(o, O_save_every);
    t->keep = opt_int(o, O_keep);
    t->save_last = opt_flag(o, O_save_last);
    t->log_flips = opt_flag(o, O_log_flips);
    t->log_act_zeros = opt_flag(o, O_log_act_zeros);
    t->max_seconds = opt_real(o, O_max_time);
    t->threads = (int)opt_int(o, O_threads);
    t->kernels = opt_text(o, O_kernels);
    t->strict_kernels = opt_flag(o, O_strict_kernels);
    t->dry_run = opt_flag(o, O_dry_run);
    t->profile = opt_flag(o, O_profile);
}

/* --sparsity in order, after --sparse and the rules that run_c4.py's flags make, so that they
 * refine these; malloc'ed. */
static const char **sparsity_rules(const options *o, const run_c4 *c, size_t *count) {
    const option_value *v = &o->value[O_sparsity];
    const char **rules = calloc(v->count + c->rule_count + 1, sizeof *rules);
    if (!rules) return NULL;
    *count = 0;
    if (opt_flag(o, O_sparse)) rules[(*count)++] = "mlp.*=2:4:tile";
    for (size_t i = 0; i < c->rule_count; i++)
        rules[(*count)++] = c->rules[i];
    for (size_t i = 0; i < v->count; i++)
        rules[(*count)++] = v->list[i];
    return rules;
}

/* Names of the options that were given, so that a resumed run tells them from defaults, with room
 * for those that run_c4.py's flags set; malloc'ed. */
static const char **given_names(const options *o, size_t *count) {
    const char **names = calloc(O_COUNT + RUN_C4_SET, sizeof *names);
    *count = 0;
    for (int i = 0; names && i < O_COUNT; i++)
        if (o->value[i].given) names[(*count)++] = option_at((option_id)i)->name;
    return names;
}

/* Beside run_c4.py's flags, a run that goes on has its own settings where those have defaults, and
 * others follow from them. */
static wn_status take_recorded(const options *o, wn_train_options *t, wn_train_record **record) {
    *record = NULL;
    if (!t->resume || !run_c4_active(o)) return WN_OK;
    if (o->value[O_save_dir].given) t->out = opt_text(o, O_save_dir);
    if (!t->out) return WN_OK; /* a usage error, in its place */
    return wn_train_recorded(t, record);
}

static bool draw_loss(const char *out) {
    size_t n = strlen(out) + 16;
    char *path = malloc(n);
    if (!path) return false;
    snprintf(path, n, "%s/loss.svg", out);
    int code = plot_runs(&out, 1, "step", "loss", path);
    free(path);
    return code == EXIT_OK;
}

/* Trains with the options and the names of those given; returns the exit code. */
static int train(const options *o, const run_c4 *c, wn_train_options *t) {
    const char **rules = sparsity_rules(o, c, &t->sparsity_count);
    char *resolved = options_json(o);
    wn_status status = WN_NOMEM;
    progress p;
    progress_begin(&p, opt_flag(o, O_quiet));
    if (rules && resolved) {
        t->sparsity = rules;
        t->resolved = resolved;
        interrupts_catch(false);
        status = wn_train(t, on_event, interrupted, &p);
        progress_end(&p);
        if ((status == WN_OK || status == WN_CANCELLED) && !t->dry_run && !draw_loss(t->out))
            fputs("winnow: loss.svg was not drawn\n", stderr);
    }
    if (status == WN_CANCELLED)
        fprintf(stderr, "stopped; go on with: winnow train --out %s --resume\n", t->out);
    int code = report(status);
    free(rules);
    free(resolved);
    return code;
}

/* The same after run_c4.py's flags, if there are any; names: as given_names makes them. */
static int translate_and_train(const options *o, wn_train_options *t, const char **names) {
    run_c4 c4;
    if (!run_c4_translate(o, &c4, t)) return usage_error("%s", c4.error);
    for (size_t i = 0; c4.resumes && i < c4.set_count; i++)
        names[t->given_count++] = c4.set[i];
    if (!t->out && !t->dry_run) return usage_error("winnow train needs --out DIR");
    if (!t->data && !t->resume && !t->dry_run)
        return usage_error("winnow train needs --data FILE (or --resume)");
    if (!opt_flag(o, O_quiet)) fputs(c4.notes, stderr);
    return train(o, &c4, t);
}

int command_TRAIN(const options *o) {
    wn_train_options t;
    wn_train_record *record;
    wn_train_defaults(&t);
    set_data_options(o, &t);
    set_model_options(o, &t);
    set_structure_options(o, &t);
    set_optimisation_options(o, &t);
    set_optimizer_options(o, &t);
    set_run_options(o, &t);
    const char **given = given_names(o, &t.given_count);
    if (!given) return report(WN_NOMEM);
    t.given = given;
    int code = report(take_recorded(o, &t, &record));
    if (code == EXIT_OK) code = translate_and_train(o, &t, given);
    wn_train_record_free(record);
    free(given);
    return code;
}
