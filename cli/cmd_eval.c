// SPDX-License-Identifier: MIT
/* winnow eval, with the byte trigram as a yardstick. */
#include "command.h"
#include "json_out.h"
#include "session.h"
#include <math.h>
#include <stdlib.h>
#include <winnow/data.h>
#include <winnow/model.h>

/* The bytes of a text, of documents, or of a shard by way of the model's tokenizer; malloc'ed.
 * Reports what goes wrong and returns the exit code. */
static int text_of(const wn_tokenizer *t, const char *path, char **out, size_t *size) {
    if (!is_shard(path)) {
        *out = read_text(path, size);
        return *out ? EXIT_OK : EXIT_FAILED;
    }
    if (!t) {
        fprintf(stderr, "winnow: %s: a shard, and the model has no tokenizer to read it with\n",
                path);
        return EXIT_FAILED;
    }
    wn_tokens ids = {0};
    wn_status status = wn_shard_read(path, &ids);
    if (status == WN_OK) status = wn_tokenizer_decode(t, ids.id, ids.count, false, out, size);
    wn_tokens_free(&ids);
    return report(status);
}

static int trigram(const options *o, const wn_session *s, double *out) {
    const wn_tokenizer *t = wn_session_tokenizer(s);
    char *train = NULL, *held = NULL;
    size_t train_size = 0, held_size = 0;
    int code = text_of(t, opt_text(o, O_trigram), &train, &train_size);
    if (code == EXIT_OK) code = text_of(t, opt_text(o, O_data), &held, &held_size);
    if (code == EXIT_OK)
        code = report(wn_trigram_bits_per_byte(train, train_size, held, held_size, out));
    free(train);
    free(held);
    return code;
}

/* What was pruned besides weights, and what was in training but is not here. */
static void print_pruned(const char *what, const char *where, size_t now, size_t trained) {
    if (now > 0) printf("2:4 %s in %zu %s%s\n", what, now, where, now == 1 ? "" : "s");
    if (trained > now)
        printf("note: %zu %s%s had 2:4 %s in training: dense here\n", trained - now, where,
               trained - now == 1 ? "" : "s", what);
}

static void print_result(const options *o, const wn_model_info *m, const wn_eval_result *r,
                         double baseline) {
    if (opt_flag(o, O_json)) {
        json_out j = {.file = stdout};
        put_open(&j, NULL, '{');
        put_real(&j, "loss", r->loss);
        put_real(&j, "perplexity", r->perplexity);
        if (r->bytes > 0) put_real(&j, "bits_per_byte", r->bits_per_byte);
        if (opt_flag(o, O_galore_compat_eval)) {
            put_real(&j, "compat_loss", r->compat_loss);
            put_real(&j, "compat_perplexity", exp(r->compat_loss));
        }
        put_int(&j, "tokens", r->tokens);
        put_int(&j, "bytes", r->bytes);
        put_real(&j, "seconds", r->seconds);
        if (baseline > 0) put_real(&j, "trigram_bits_per_byte", baseline);
        put_text(&j, "dtype", opt_text(o, O_dtype));
        put_bool(&j, "fp8", opt_flag(o, O_fp8));
        put_int(&j, "sparse_activations", (int64_t)m->sparse_activations);
        put_int(&j, "sparse_inputs", (int64_t)m->sparse_inputs);
        put_weights(&j, m);
        put_close(&j, '}');
        putchar('\n');
        return;
    }
    char text[40], weights[256];
    printf("loss %.4f nats a token | ppl %.2f | ", r->loss, r->perplexity);
    if (r->bytes > 0) printf("bpb %.4f | ", r->bits_per_byte);
    if (opt_flag(o, O_galore_compat_eval))
        printf("compat loss %.4f ppl %.2f | ", r->compat_loss, exp(r->compat_loss));
    printf("%s tokens, ", count_text((double)r->tokens, text, sizeof text));
    if (r->bytes > 0) printf("%s bytes, ", count_text((double)r->bytes, text, sizeof text));
    printf("%.1f s\n", r->seconds);
    if (numerics(o)) printf("numerics: %s\n", numerics(o));
    printf("%s\n", describe_weights(m, weights, sizeof weights));
    print_pruned("activations", "MLP", m->sparse_activations, m->trained_activations);
    print_pruned("inputs", "layer", m->sparse_inputs, m->trained_inputs);
    if (baseline > 0)
        printf("byte trigram (Witten-Bell) on the same split: bpb %.4f; the model needs %.1f%% %s "
               "bits\n",
               baseline,
               100 * (r->bits_per_byte < baseline ? 1 - r->bits_per_byte / baseline
                                                  : r->bits_per_byte / baseline - 1),
               r->bits_per_byte < baseline ? "fewer" : "more");
}

/* A loss that is not finite is no result. */
static int check_loss(const options *o, double loss) {
    if (isfinite(loss)) return EXIT_OK;
    fprintf(stderr,
            "winnow: %s: the loss is %s; 'winnow inspect' names weights that are not finite\n",
            o->argument[0], isnan(loss) ? "NaN" : "infinite");
    return EXIT_FAILED;
}

int command_EVAL(const options *o) {
    if (!opt_text(o, O_data)) return usage_error("winnow eval needs --data FILE");
    wn_session *s = NULL;
    wn_status status = open_session(o, &s);
    wn_eval_options e = {.seq_len = o->value[O_seq_len].given ? opt_int(o, O_seq_len) : 0,
                         .max_tokens = opt_int(o, O_max_tokens),
                         .pack = opt_flag(o, O_pack),
                         .compat = opt_flag(o, O_galore_compat_eval)};
    wn_eval_result r = {0};
    double baseline = 0;
    if (status == WN_OK) status = wn_eval(s, opt_text(o, O_data), &e, &r);
    int code = report(status);
    if (code == EXIT_OK) code = check_loss(o, r.loss);
    if (code == EXIT_OK && opt_text(o, O_trigram)) code = trigram(o, s, &baseline);
    wn_model_info info = {0};
    if (s) wn_session_info(s, &info);
    wn_session_free(s);
    if (code == EXIT_OK) print_result(o, &info, &r, baseline);
    return code;
}
