// SPDX-License-Identifier: MIT
// Trains a small 2:4 sparse model and evaluates what was saved: 02_train TEXT DIR [STEPS].
#include <stdio.h>
#include <stdlib.h>
#include <winnow/model.h>
#include <winnow/train.h>

static void on_event(void *ctx, const wn_train_event *e) {
    (void)ctx;
    if (e->kind == WN_EVENT_TEXT) printf("%s\n", e->text);
    if (e->kind == WN_EVENT_STEP)
        printf("step %lld of %lld: loss %.4f\n", (long long)e->step, (long long)e->steps, e->loss);
    if (e->kind == WN_EVENT_SAVE) printf("saved %s\n", e->text);
}

static int fail(wn_status status) {
    fprintf(stderr, "%s: %s\n", wn_status_text(status), wn_last_error());
    return 1;
}

static wn_status train(const char *text, const char *dir, int64_t steps) {
    static const char *const sparsity[] = {"mlp.*=2:4:tile"};
    wn_train_options o;
    wn_train_defaults(&o);
    o.data = text;
    o.out = dir;
    o.tokenizer = "bytes";
    o.hidden_size = 64;
    o.layers = 2;
    o.heads = 4;
    o.seq_len = 64;
    o.steps = steps;
    o.warmup = steps / 10;
    o.sparsity = sparsity;
    o.sparsity_count = 1;
    return wn_train(&o, on_event, NULL, NULL);
}

// The loss of the run's newest step, its 2:4 layers packed as they are for generation.
static wn_status evaluate(const char *dir, const char *text, wn_eval_result *out) {
    const wn_session_options options = {.auto_sparsity = true};
    const wn_eval_options how = {0};
    wn_session *session;
    wn_status status = wn_session_open(dir, &options, &session);
    if (status != WN_OK) return status;
    status = wn_eval(session, text, &how, out);
    wn_session_free(session);
    return status;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: %s TEXT DIR [STEPS]\n", argv[0]);
        return 2;
    }
    wn_eval_result result;
    wn_status status = train(argv[1], argv[2], argc > 3 ? atol(argv[3]) : 100);
    if (status == WN_OK) status = evaluate(argv[2], argv[1], &result);
    if (status != WN_OK) return fail(status);
    printf("%.4f bits per byte\n", result.bits_per_byte);
    return 0;
}
