// SPDX-License-Identifier: MIT
// One update: draw its batches, add up their gradients, clip, regularize, step, prepare. The order
// is read from top to bottom in wn__update_make().
#include "base/cpu.h"
#include "base/fail.h"
#include "kernels/profile.h"
#include "train/checkpoint.h"
#include "train/trainer.h"
#include <inttypes.h>
#include <math.h>

/* Documents too short to predict anything in: an update without a label is drawn again so often. */
#define DRAWS 1000

// A loss that is not finite is blamed on the first weight that is not, else on the loss itself.
static wn_status blame(wn__trainer *t, double loss) {
    WN_TRY(wn__check_finite(t));
    return wn__fail(WN_INVALID, "loss: %g in step %" PRId64 ", with finite weights", loss,
                    t->step + 1);
}

static int64_t batch_tokens(const wn__trainer *t) {
    return t->o.batch_size * t->o.seq_len;
}

// All batches of the update, so that the number of its labels is known before the first one is
// learned from.
static wn_status draw_batches(wn__trainer *t, int64_t *labels) {
    int64_t rows = t->o.batch_size * t->o.grad_accum;
    for (int i = 0; i < DRAWS; i++) {
        WN_TRY(wn__source_next(t->train.source, rows, t->tokens, t->targets, labels));
        if (*labels > 0) return WN_OK;
    }
    return wn__fail(WN_INVALID,
                    "%s: nothing to predict in %d times %" PRId64 " samples: no document of two "
                    "tokens",
                    t->train.file, DRAWS, rows);
}

// Data that cannot be read costs no update: nothing of the run has changed yet.
static wn_status draw(wn__trainer *t, int64_t *labels) {
    wn_status status = draw_batches(t, labels);
    if (status != WN_OK) return wn__checkpoint_rescue(t, &t->train, status);
    wn__source_tell(t->train.source, &t->place);
    return WN_OK;
}

static wn_status feed(wn__trainer *t, int64_t i) {
    const int32_t *tokens = t->tokens + i * batch_tokens(t);
    const int32_t *targets = t->targets + i * batch_tokens(t);
    return wn__model_feed(t->model, tokens, targets, t->o.batch_size, t->o.seq_len);
}

// Summed loss over the micro-batches, and the gradient of the mean over all their labels. The model
// counts the passes that its random draws belong to.
static wn_status accumulate(wn__trainer *t, double labels, double *loss_sum) {
    *loss_sum = 0;
    wn__profile_enter(&t->runtime->exec, WN_PROFILE_UPDATE);
    WN_TRY(wn__model_zero_gradients(t->model));
    for (int64_t i = 0; i < t->o.grad_accum; i++) {
        double sum;
        int64_t counted;
        WN_TRY(feed(t, i));
        WN_TRY(wn__model_loss_backward(t->model, 1 / labels, &sum, &counted));
        *loss_sum += sum;
    }
    return WN_OK;
}

bool wn__due_with_log(const wn__trainer *t, int64_t step, int64_t period) {
    int64_t every = t->o.log_every;
    return every > 0 && (step < period || step / every != (step - period) / every);
}

// Whether the update about to be made is an exact one that will be logged.
static bool probes(const wn__trainer *t) {
    const wn__optimizer_options *o = &t->words.optimizer;
    if (o->kind != WN_OPTIMIZER_LORO_ADAMW || o->exact_every <= 0) return false;
    int64_t done = t->step + 1;
    return done % o->exact_every == 0 && wn__due_with_log(t, done, o->exact_every);
}

// Loss of the update's last batch, without learning from it.
static wn_status probe(wn__trainer *t, double *loss) {
    double sum = 0;
    int64_t labels = 0;
    struct wn__profile *profile = t->runtime->exec.profile; // it is not a part of the update
    t->runtime->exec.profile = NULL;
    WN_TRY(feed(t, t->o.grad_accum - 1));
    WN_TRY(wn__model_loss(t->model, &sum, &labels));
    t->runtime->exec.profile = profile;
    *loss = labels > 0 ? sum / (double)labels : 0;
    return WN_OK;
}

// A refused exact step is said once a session, then only counted.
static void count_exact(wn__trainer *t) {
    const wn__optimizer_report *r = &t->last.report;
    if (r->fell_back > 0 && !t->said_fall_back) {
        wn__say(t, "note: the exact step of %s was refused (%s): a scaled step instead",
                r->pair != NULL ? r->pair : "a pair", r->why != NULL ? r->why : "no reason given");
        t->said_fall_back = true;
    }
    t->exact.pairs += r->exact;
    t->exact.fell_back += r->fell_back;
}

// Clipping is a factor that the optimizer puts on the gradients, and the decay of what a mask drops
// is not to be clipped: it takes the inverse.
static wn_status step(wn__trainer *t) {
    wn__params *params = wn__model_params(t->model);
    const wn_tensor sums = wn__tensor1(t->sums, WN_DTYPE_F64, (int64_t)params->count);
    wn__update *u = &t->last;
    wn__profile_enter(&t->runtime->exec, WN_PROFILE_UPDATE);
    WN_TRY(wn__gradient_norm(params, &t->runtime->exec, &sums, &u->gnorm));
    double clip = wn__clip_scale(u->gnorm, t->o.clip_norm);
    WN_TRY(wn__model_regularize(t->model, 1 / clip));
    u->lr = wn__schedule_lr(&t->words.schedule, t->step);
    WN_TRY(wn__model_update(t->model, u->lr, clip, t->step, &u->report));
    t->step++;
    return wn__model_prepare(t->model, t->step);
}

wn_status wn__update_make(wn__trainer *t) {
    wn__update *u = &t->last;
    double start = wn__clock(), probing = 0;
    int64_t labels;
    *u = (wn__update){.probed = probes(t)};
    wn__profile_begin(t);
    WN_TRY(draw(t, &labels));
    WN_TRY(accumulate(t, (double)labels, &u->loss));
    u->loss /= (double)labels;
    if (!isfinite(u->loss)) return blame(t, u->loss);
    if (u->probed) {
        double begin = wn__clock();
        WN_TRY(probe(t, &u->loss_before));
        probing = wn__clock() - begin;
    }
    WN_TRY(step(t));
    u->seconds = wn__clock() - start - probing;
    wn__profile_end(t);
    t->train_seconds += u->seconds;
    t->tokens_seen += labels;
    count_exact(t);
    return u->probed ? probe(t, &u->loss_after) : WN_OK;
}
