// SPDX-License-Identifier: MIT
/* Small runs for the tests of training: a text, options, what was said, and what lies on disk. */
#ifndef TRAIN_TEST_H
#define TRAIN_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "base/philox.h"
#include "unit/base/scratch.h"
#include "unit/base/status.h"
#include "winnow/data.h"
#include "winnow/model.h"
#include "winnow/train.h"
#include <math.h>

static inline void assert_message(const char *part) {
    if (strstr(wn_last_error(), part) == NULL)
        fail_msg("message '%s' does not hold '%s'", wn_last_error(), part);
}

/* Sentences of a small grammar, at least `size` bytes, so that there is something to learn. */
static inline void write_text(const char *path, size_t size, uint64_t seed) {
    static const char *const who[] = {"the cat", "a dog", "my aunt", "the old king"};
    static const char *const does[] = {" sees ", " likes ", " follows ", " forgets "};
    static const char *const what[] = {"the moon", "a small house", "his hat", "the river"};
    static const char *const end[] = {".\n", ", and ", "; then ", "! "};
    char *text = malloc(size + 64);
    size_t n = 0;
    for (uint64_t i = 0; n < size; i++) {
        uint32_t w[4];
        wn__philox_draw(seed, WN_STREAM_TEST, i, w);
        n += (size_t)snprintf(text + n, 64, "%s%s%s%s", who[w[0] % 4], does[w[1] % 4],
                              what[w[2] % 4], end[w[3] % 4]);
    }
    OK(wn__file_write(path, text, n));
    free(text);
}

/* Two blocks of width 16 over bytes: an update takes about a millisecond. */
static inline wn_train_options small_options(const char *out, const char *data) {
    wn_train_options o;
    wn_train_defaults(&o);
    o.out = out;
    o.data = data;
    o.tokenizer = "bytes";
    o.hidden_size = 16;
    o.heads = 2;
    o.layers = 2;
    o.seq_len = 16;
    o.batch_size = 2;
    o.steps = 24;
    o.warmup = 4;
    o.lr = 3e-3;
    o.log_every = 1;
    o.eval_every = 0;
    o.keep = 100;
    o.threads = 1;
    return o;
}

/* The same sentences as documents of JSON lines, of one to five sentences, some of them empty. */
static inline void write_documents(const char *path, int count, uint64_t seed) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < count; i++) {
        uint32_t w[4];
        wn__philox_draw(seed, WN_STREAM_TEST, (uint64_t)i, w);
        fputs("{\"url\": \"-\", \"text\": \"", f);
        for (uint32_t j = 0; j < w[0] % 6; j++)
            fprintf(f, "the %s %s %s. ", j % 2 ? "cat" : "old king", w[1] % 3 ? "sees" : "forgets",
                    w[2] >> j & 1 ? "the moon" : "his hat");
        fputs("\"}\n", f);
    }
    fclose(f);
}

/* What a run says, and when it is to stop. */
typedef struct listener {
    char text[65536]; /* TEXT lines, each after a newline and ended by one */
    size_t size;
    int count[16]; /* by kind */
    double first_loss, last_loss, eval_loss, compat_loss, bits_per_byte, flips;
    double exact_before, exact_after, moved, zeros, dropped;
    int64_t exact, fell_back;
    int64_t stop_at; /* 0: never */
    int64_t step;
    char sample[512], saved[512];
} listener;

static inline void listen(void *ctx, const wn_train_event *e) {
    listener *l = ctx;
    l->count[e->kind]++;
    l->step = e->step;
    if (e->kind == WN_EVENT_TEXT)
        l->size += (size_t)snprintf(l->text + l->size, sizeof l->text - l->size, "\n%s\n", e->text);
    if (e->kind == WN_EVENT_STEP) {
        if (l->count[WN_EVENT_STEP] == 1) l->first_loss = e->loss;
        l->last_loss = e->loss;
    }
    if (e->kind == WN_EVENT_EVAL) {
        l->eval_loss = e->loss;
        l->compat_loss = e->compat_loss;
        l->bits_per_byte = e->bits_per_byte;
    }
    if (e->kind == WN_EVENT_EXACT) {
        l->exact_before = e->loss_before;
        l->exact_after = e->loss;
        l->moved = e->moved;
        l->exact = e->exact;
        l->fell_back = e->fell_back;
    }
    if (e->kind == WN_EVENT_ACT) {
        l->zeros = e->zeros;
        l->dropped = e->dropped;
    }
    if (e->kind == WN_EVENT_MASK) l->flips = e->flips;
    if (e->kind == WN_EVENT_SAMPLE) (void)snprintf(l->sample, sizeof l->sample, "%s", e->text);
    if (e->kind == WN_EVENT_SAVE) (void)snprintf(l->saved, sizeof l->saved, "%s", e->text);
}

static inline bool stop_there(void *ctx) {
    const listener *l = ctx;
    return l->stop_at > 0 && l->step >= l->stop_at;
}

/* Whether a line was said, whole. */
static inline bool said(const listener *l, const char *line) {
    char whole[1100];
    (void)snprintf(whole, sizeof whole, "\n%s\n", line);
    return strstr(l->text, whole) != NULL;
}

static inline wn_status train_quietly(const wn_train_options *o) {
    return wn_train(o, NULL, NULL, NULL);
}

/* Runs up to `step`, as if interrupted there. */
static inline void train_until(const wn_train_options *o, int64_t step) {
    listener *l = calloc(1, sizeof *l);
    l->stop_at = step;
    assert_int_equal(wn_train(o, listen, stop_there, l), WN_CANCELLED);
    free(l);
}

static inline wn_series read_series(const char *run, const char *kind, const char *y) {
    wn_series s;
    OK(wn_metrics_series(run, kind, "step", y, &s));
    return s;
}

/* The same values at the same steps, bit for bit. */
static inline void assert_same_series(const char *a, const char *b, const char *kind,
                                      const char *y) {
    wn_series s = read_series(a, kind, y), t = read_series(b, kind, y);
    assert_int_equal(s.count, t.count);
    for (size_t i = 0; i < s.count; i++) {
        if (memcmp(&s.x[i], &t.x[i], sizeof(double)) == 0 &&
            memcmp(&s.y[i], &t.y[i], sizeof(double)) == 0)
            continue;
        fail_msg("%s %s %zu: %.17g at %g, %.17g at %g", kind, y, i, s.y[i], s.x[i], t.y[i], t.x[i]);
    }
    wn_series_free(&s);
    wn_series_free(&t);
}

static inline void assert_same_file(const char *dir_a, const char *dir_b, const char *name) {
    char path[2][1200], *bytes[2];
    size_t size[2];
    (void)snprintf(path[0], sizeof path[0], "%s/%s", dir_a, name);
    (void)snprintf(path[1], sizeof path[1], "%s/%s", dir_b, name);
    for (int i = 0; i < 2; i++)
        OK(wn__file_read(path[i], 0, &bytes[i], &size[i]));
    if (size[0] != size[1] || memcmp(bytes[0], bytes[1], size[0]) != 0)
        fail_msg("%s and %s differ", path[0], path[1]);
    free(bytes[0]);
    free(bytes[1]);
}

/* Two runs that ended in the same weights, moments and masks, by the same losses. */
static inline void assert_same_run(const char *a, const char *b) {
    char latest[2][1100];
    (void)snprintf(latest[0], sizeof latest[0], "%s/latest", a);
    (void)snprintf(latest[1], sizeof latest[1], "%s/latest", b);
    assert_same_file(latest[0], latest[1], "model.safetensors");
    assert_same_file(latest[0], latest[1], "training.safetensors");
    assert_same_series(a, b, "step", "loss");
    assert_same_series(a, b, "step", "gnorm");
    assert_same_series(a, b, "step", "lr");
    assert_same_series(a, b, "step", "tokens");
}

/* A text of sentences for one test. */
static inline const char *text_file(void *const *state, size_t size) {
    const char *path = scratch_path(state, "text.txt");
    write_text(path, size, 1);
    return path;
}

static inline listener *run(const wn_train_options *o) {
    listener *l = calloc(1, sizeof *l);
    OK(wn_train(o, listen, NULL, l));
    return l;
}

static inline bool is_2_of_4(const wn_tensor *w) {
    const float *x = w->data;
    for (int64_t i = 0; i < w->shape[0] * w->shape[1]; i += 4)
        if ((x[i] != 0) + (x[i + 1] != 0) + (x[i + 2] != 0) + (x[i + 3] != 0) > 2) return false;
    return true;
}

static inline double last_value(const char *run, const char *kind, const char *name) {
    wn_series s = read_series(run, kind, name);
    double v = s.count > 0 ? s.y[s.count - 1] : (double)NAN;
    wn_series_free(&s);
    return v;
}

#endif
