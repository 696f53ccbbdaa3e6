// SPDX-License-Identifier: MIT
// Whole updates of a model, dense and with structure, made in turn by trainers that are open at
// once.
#include "base/fail.h"
#include "base/file.h"
#include "base/philox.h"
#include "bench/suite.h"
#include "train/trainer.h"
#include "winnow/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRAINERS = 8, PATH = 4096 };
#define UPDATES INT64_C(1000000000) // never reached: what is timed lies in the schedule's middle

typedef struct folder {
    char path[PATH], data[PATH]; // everything on disk; the tokens
} folder;

// A model of about 20 million parameters, unless told otherwise.
static void settle(const wn_bench_options *o, wn_train_options *t) {
    wn_train_defaults(t);
    t->hidden_size = o->hidden_size > 0 ? o->hidden_size : 512;
    t->layers = o->layers > 0 ? o->layers : 6;
    t->heads = o->heads > 0 ? o->heads : 8;
    t->vocab_size = (int32_t)(o->vocab_size > 0 ? o->vocab_size : 4096);
    t->seq_len = o->seq_len > 0 ? o->seq_len : 256;
    t->batch_size = o->batch_size > 0 ? o->batch_size : 8;
    t->mlp = o->mlp;
    t->kernels = o->kernels;
    t->steps = UPDATES;
    t->log_every = t->eval_every = t->save_every = 0;
    t->save_last = false;
    t->eval_fraction = 0;
}

static wn_status make_data(const wn_train_options *o, folder *f) {
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(f->path, sizeof f->path, "%s/winnow-bench-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(f->path)) return wn__fail_errno("%s: cannot make a folder", f->path);
    WN_TRY(wn__path_join(f->data, sizeof f->data, f->path, "random.tokens"));
    size_t count = (size_t)(64 * o->batch_size * o->seq_len);
    int32_t *id = malloc(count * sizeof *id);
    if (!id) return wn__fail(WN_NOMEM, "no memory for %zu tokens", count);
    for (size_t i = 0; i < count; i++)
        id[i] = (int32_t)wn__philox_below(1, WN_STREAM_BENCH, i, (uint64_t)o->vocab_size);
    wn_status status = wn_shard_write(f->data, id, count, (uint32_t)o->vocab_size, 0, 0);
    free(id);
    return status;
}

static void release(void *ctx) {
    wn__trainer *t = ctx;
    wn__trainer_close(t);
    free(t);
}

static wn_status run(void *ctx) {
    return wn__update_make(ctx);
}

// text: 'PATTERN=STRUCTURE', NULL for dense.
static wn_status add(wn__cell *c, const folder *f, const char *text) {
    const wn__suite *s = c->suite;
    wn_train_options o;
    char out[PATH], name[32];
    settle(s->o, &o);
    (void)snprintf(name, sizeof name, "run-%d", c->count);
    WN_TRY(wn__path_join(out, sizeof out, f->path, name));
    o.out = out;
    o.data = f->data;
    o.dtype = strcmp(s->dtype, "bf16") == 0 ? "bfloat16" : "float32";
    o.threads = wn__pool_threads(s->pool);
    o.sparsity = &text;
    o.sparsity_count = text ? 1 : 0;
    if (text && strstr(text, "+kept")) o.mask_freeze_after = 1; // the first masks stay
    wn__trainer *t = calloc(1, sizeof *t);
    if (!t) return wn__fail(WN_NOMEM, "no memory for a trainer");
    wn_status status = wn__trainer_open(t, &o, NULL, NULL, NULL);
    t->o.out = NULL; // only needed to open
    t->o.sparsity = NULL;
    t->o.sparsity_count = 0;
    if (status != WN_OK) {
        release(t);
        return status;
    }
    wn__pool_pin(t->runtime->pool, s->cpu, s->cpus);
    wn__entry *e;
    double executed, dense, tokens = (double)(o.batch_size * o.seq_len);
    wn__model_flops(t->model, o.seq_len, true, &executed, &dense);
    WN_TRY(wn__cell_add(c, text ? text : "dense", text ? WN_BENCH_STRUCTURE : WN_BENCH_DENSE, run,
                        t, release, &e));
    e->flops = executed * tokens;
    e->tokens = tokens;
    return WN_OK;
}

static wn_status all(wn__suite *s, const folder *f) {
    static const char *const usual[] = {"mlp.*=2:4:tile"};
    const char *const *text = s->o->sparsity_count > 0 ? s->o->sparsity : usual;
    size_t count = s->o->sparsity_count > 0 ? s->o->sparsity_count : 1;
    wn__cell c = {.suite = s, .work = "step"};
    wn_status status = add(&c, f, NULL);
    for (size_t i = 0; status == WN_OK && i < count; i++)
        status = add(&c, f, text[i]);
    if (status == WN_OK) return wn__cell_measure(&c);
    wn__cell_free(&c);
    return status;
}

wn_status wn__suite_train(wn__suite *s) {
    folder f = {"", ""};
    wn_train_options o;
    if (strcmp(s->dtype, "f32") != 0 && strcmp(s->dtype, "bf16") != 0)
        return wn__fail(WN_INVALID, "train: dtype f32 or bf16, not %s", s->dtype);
    if (s->o->sparsity_count >= TRAINERS)
        return wn__fail(WN_INVALID, "train: at most %d structures at once", TRAINERS - 1);
    settle(s->o, &o);
    wn_status status = make_data(&o, &f);
    if (status == WN_OK) status = all(s, &f);
    if (f.data[0]) {
        wn_status gone = wn__dir_remove(f.path);
        if (status == WN_OK) status = gone;
    }
    return status;
}
