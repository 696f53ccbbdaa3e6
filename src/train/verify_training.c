// SPDX-License-Identifier: MIT
// The smoke run: ten updates of a tiny model with S-STE, MVUE, sparse low-rank factors and exact
// steps, in a folder of its own.
#include "base/fail.h"
#include "base/file.h"
#include "train/verify.h"
#include "winnow/model.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 10

typedef struct course {
    double loss[STEPS + 1];
    int64_t steps;
} course;

static void follow(void *ctx, const wn_train_event *e) {
    course *c = ctx;
    if (e->kind == WN_EVENT_STEP && e->step >= 1 && e->step <= STEPS) {
        c->loss[e->step] = e->loss;
        c->steps = e->step;
    }
}

typedef struct census {
    int layers, sparse;
} census;

static void count_sparse(void *ctx, const wn_tensor_report *r) {
    census *c = ctx;
    if (strstr(r->name, ".mlp.") == NULL) return;
    c->layers++;
    c->sparse += r->is24;
}

static wn_status write_text(const char *path) {
    static const char sentence[] = "Winnow keeps the grain and lets the chaff go. ";
    size_t n = sizeof sentence - 1;
    char *text = malloc(400 * n);
    if (text == NULL) return wn__fail(WN_NOMEM, "no memory for the text of the smoke run");
    for (size_t i = 0; i < 400; i++)
        memcpy(text + i * n, sentence, n);
    wn_status status = wn__file_write(path, text, 400 * n);
    free(text);
    return status;
}

static void options_of(wn_train_options *o, const char *text, const char *out) {
    static const char *const sparsity[] = {"mlp.*_proj=2:4:sste+mvue",
                                           "self_attn.*=lowrank:8+2:4+mvue"};
    wn_train_defaults(o);
    o->data = text;
    o->out = out;
    o->tokenizer = "bytes";
    o->hidden_size = 32;
    o->layers = 2;
    o->heads = 2;
    o->mlp = "relu2";
    o->seq_len = 32;
    o->batch_size = 8;
    o->steps = STEPS;
    o->warmup = 1;
    o->lr = 1e-2;
    o->optimizer = "loro_adamw";
    o->exact_every = 5;
    o->refresh = "all";
    o->refresh_every = 5;
    o->log_every = 1;
    o->sparsity = sparsity;
    o->sparsity_count = 2;
}

static void judge(wn__verify *v, wn_status status, const course *c, const char *out) {
    double first = c->loss[1], last = c->loss[STEPS];
    bool whole = status == WN_OK && c->steps == STEPS;
    bool fell = whole && isfinite(first) && isfinite(last) && last < first;
    if (status != WN_OK) {
        wn__verify_say(v, "training: ten updates", false, "%s", wn_last_error());
        return;
    }
    wn__verify_say(v, "training: ten updates", fell,
                   "loss %.4f after the first, %.4f after update %d", first, last, (int)c->steps);
    census n = {0};
    char dir[4200];
    (void)snprintf(dir, sizeof dir, "%s/latest/model.safetensors", out);
    wn_status read = wn_inspect(dir, true, count_sparse, &n, NULL);
    wn__verify_say(v, "training: saved weights",
                   read == WN_OK && n.layers == 4 && n.sparse == n.layers,
                   "%d of %d MLP weights in the saved model are 2:4%s%s", n.sparse, n.layers,
                   read == WN_OK ? "" : ": ", read == WN_OK ? "" : wn_last_error());
}

wn_status wn__verify_training(wn__verify *v) {
    const char *base = getenv("TMPDIR");
    char folder[4096], text[4110], out[4110];
    wn_train_options o;
    course c = {0};
    (void)snprintf(folder, sizeof folder, "%s/winnow-verify-XXXXXX",
                   base != NULL && *base != '\0' ? base : "/tmp");
    if (mkdtemp(folder) == NULL)
        return wn__fail_errno("%s: cannot make a folder for the smoke run", folder);
    (void)snprintf(text, sizeof text, "%s/text.txt", folder);
    (void)snprintf(out, sizeof out, "%s/run", folder);
    wn_status status = write_text(text);
    if (status == WN_OK) {
        options_of(&o, text, out);
        o.threads = v->threads;
        o.kernels = v->kernels;
        judge(v, v->train(&o, follow, NULL, &c), &c, out);
    }
    wn_status removed = wn__dir_remove(folder);
    return status != WN_OK ? status : removed;
}
