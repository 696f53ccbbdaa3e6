// SPDX-License-Identifier: MIT
// A run: what comes before the first update, the loop, and what follows each update in it.
#include "train/trainer.h"

#include "base/cpu.h"
#include "base/fail.h"
#include "infer/generate.h"
#include "kernels/profile.h"
#include "train/checkpoint.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static wn_status evaluate(wn__trainer *t) {
    const wn_train_options *o = &t->o;
    wn__evaluation e;
    double start = wn__clock();
    if (t->held.documents) {
        wn_status status = wn__evaluate_source(t->model, t->held.source, o->batch_size, o->seq_len,
                                               o->eval_batches, o->eval_tokens, &t->id_bytes,
                                               o->galore_compat_eval, &e);
        if (status != WN_OK) return wn__checkpoint_rescue(t, &t->held, status);
    } else {
        WN_TRY(wn__evaluate(t->model, &t->held.ids, o->batch_size, o->seq_len, o->eval_batches,
                            o->eval_tokens, &t->id_bytes, &e));
    }
    return wn__report_eval(t, &e, wn__clock() - start);
}

// A short text at temperature 0.8, the same for the same weights, seed and step.
static wn_status sample(wn__trainer *t) {
    const char *prompt = t->o.sample_prompt != NULL ? t->o.sample_prompt : "";
    wn_tokens encoded = {0}, ids = {0};
    wn_generate_options o = {
        .sampling = {.temperature = 0.8, .top_p = 0.95, .seed = t->o.seed + (uint64_t)t->step}};
    char *text = NULL;
    size_t size;
    wn_status status;
    WN_TRY_OUT(wn__prompt_encode(t->tokenizer, prompt, strlen(prompt), &encoded));
    int64_t room = t->o.seq_len - (int64_t)encoded.count;
    o.max_tokens = t->o.sample_tokens < room ? t->o.sample_tokens : room > 0 ? room : 0;
    WN_TRY_OUT(
        wn__generate(t->model, t->tokenizer, t->o.seq_len, &encoded, &o, NULL, NULL, &ids, NULL));
    WN_TRY_OUT(wn_tokenizer_decode(t->tokenizer, ids.id, ids.count, true, &text, &size));
    wn__report_sample(t, text);
out:
    free(text);
    wn_tokens_free(&encoded);
    wn_tokens_free(&ids);
    return status;
}

static bool due(const wn__trainer *t, int64_t every, bool at_end) {
    return (every > 0 && t->step % every == 0) || (at_end && t->step == t->o.steps);
}

static wn_status log_update(wn__trainer *t) {
    if (due(t, t->o.log_every, true) || t->step == 1) {
        WN_TRY(wn__report_step(t));
        WN_TRY(wn__report_activations(t));
    }
    if (t->last.probed) WN_TRY(wn__report_exact(t));
    if (t->last.probed || wn__due_with_log(t, t->step, t->o.mask_every))
        WN_TRY(wn__report_masks(t));
    if (t->held.file != NULL && due(t, t->o.eval_every, true)) WN_TRY(evaluate(t));
    if (t->tokenizer != NULL && due(t, t->o.sample_every, false)) WN_TRY(sample(t));
    return WN_OK;
}

static bool out_of_time(const wn__trainer *t) {
    return t->o.max_seconds > 0 && wn__clock() - t->session_start >= t->o.max_seconds;
}

static wn_status loop(wn__trainer *t) {
    if (t->saved >= t->o.steps)
        wn__say(t,
                "note: no update is left: step %" PRId64 " of %" PRId64
                "; more steps than that go on",
                t->saved, t->o.steps);
    t->first_step = t->step;
    if (t->o.profile) WN_TRY(wn__profile_create(&t->profile));
    while (t->step < t->o.steps) {
        WN_TRY(wn__update_make(t));
        WN_TRY(log_update(t));
        bool stopped = t->stop != NULL && t->stop(t->ctx), late = out_of_time(t);
        if (due(t, t->o.save_every, t->o.save_last) || stopped || late)
            WN_TRY(wn__checkpoint_save(t));
        if (stopped && t->step < t->o.steps)
            return wn__fail(WN_CANCELLED, "stopped after step %" PRId64 ", which was saved",
                            t->step);
        if (late && t->step < t->o.steps) {
            wn__say(t, "note: %g seconds have passed; saved at step %" PRId64 " of %" PRId64,
                    t->o.max_seconds, t->step, t->o.steps);
            return WN_OK;
        }
    }
    if (t->saved >= 0 || t->step > 0) return WN_OK;
    if (t->held.file != NULL) WN_TRY(evaluate(t)); // no updates were asked for: the model as it is
    return t->o.save_last ? wn__checkpoint_save(t) : WN_OK;
}

static wn_status open_metrics(wn__trainer *t) {
    char path[WN_RUN_PATH];
    WN_TRY(wn__run_path(t, "metrics.jsonl", path));
    t->logged_seconds = t->train_seconds;
    t->logged_tokens = t->tokens_seen;
    t->logged_step = t->step;
    return wn__metrics_open(path, t->saved, &t->metrics);
}

// The model directory that init_from names, which may be a run. A run with a checkpoint needs it no
// more.
static wn_status find_start(wn__trainer *t) {
    if (t->o.init_from == NULL || t->o.init_from[0] == '\0') return WN_OK;
    WN_TRY(wn__model_dir(t->o.init_from, t->init_dir));
    return wn__setup_length(t);
}

wn_status wn__trainer_open(wn__trainer *t, const wn_train_options *o, wn_train_fn *fn,
                           wn_stop_fn *stop, void *ctx) {
    wn__checkpoint c = {0};
    wn_status status;
    *t = (wn__trainer){.o = *o, .fn = fn, .stop = stop, .ctx = ctx, .lock = -1, .saved = -1};
    t->metrics.fd = -1;
    t->session_start = wn__clock();
    WN_TRY(wn__options_check(&t->o));
    WN_TRY(wn__run_begin(t));
    wn__options_settle(&t->o);
    if (t->o.resume) WN_TRY(wn__checkpoint_open(t, &c));
    if (c.dir[0] == '\0') WN_TRY(find_start(t));
    WN_TRY_OUT(wn__prepare_data(t));
    WN_TRY_OUT(wn__runtime_create(t->o.threads, t->o.kernels, t->o.strict_kernels, &t->runtime));
    WN_TRY_OUT(wn__setup_config(t, c.dir));
    WN_TRY_OUT(wn__setup_methods(t));
    WN_TRY_OUT(wn__report_plan(t));
    WN_TRY_OUT(wn__setup_model(t));
    if (!t->o.dry_run) {
        WN_TRY_OUT(wn__setup_weights(t, &c));
        WN_TRY_OUT(wn__setup_teacher(t));
        WN_TRY_OUT(open_metrics(t));
        WN_TRY_OUT(wn__run_record(t));
    }
    status = wn__report_model(t);
out:
    wn__checkpoint_close(&c);
    return status;
}

void wn__trainer_close(wn__trainer *t) {
    wn__metrics_close(&t->metrics);
    free(t->tokens);
    free(t->targets);
    free(t->sums);
    free(t->index);
    wn__model_free(t->model);
    wn__model_free(t->teacher);
    wn__optimizer_free(t->optimizer);
    wn__runtime_free(t->runtime);
    wn__structure_rules_free(&t->rules);
    wn__setup_free(t);
    wn__part_close(&t->train);
    wn__part_close(&t->held);
    wn__id_bytes_free(&t->id_bytes);
    wn_tokenizer_free(t->tokenizer);
    wn__profile_free(t->profile);
    wn__run_end(t);
}

wn_status wn_train(const wn_train_options *o, wn_train_fn *fn, wn_stop_fn *stop, void *ctx) {
    wn__trainer t;
    wn_status status = wn__trainer_open(&t, o, fn, stop, ctx);
    if (status == WN_OK && !t.o.dry_run) status = loop(&t);
    if (status == WN_OK || status == WN_CANCELLED) {
        wn_status reported = wn__report_profile(&t);
        if (reported != WN_OK) status = reported;
    }
    wn__trainer_close(&t);
    return status;
}
