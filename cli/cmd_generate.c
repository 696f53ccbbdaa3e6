// SPDX-License-Identifier: MIT
/* winnow generate */
#include "command.h"
#include "json_out.h"
#include "session.h"
#include <stdlib.h>
#include <string.h>

/* Text goes to standard output as it appears, behind the prompt; with --json it is kept. */
typedef struct sink {
    const char *echo; /* the prompt until it is printed, or NULL */
    size_t echo_size;
    bool keep;
    char *text;
    size_t size;
    bool failed;
} sink;

/* Once, and not before the generation has begun: what is refused prints nothing. */
static void put_prompt(sink *s) {
    if (s->echo) fwrite(s->echo, 1, s->echo_size, stdout);
    s->echo = NULL;
}

static bool on_text(void *ctx, const char *bytes, size_t n) {
    sink *s = ctx;
    put_prompt(s);
    if (!s->keep) return fwrite(bytes, 1, n, stdout) == n && fflush(stdout) == 0;
    char *grown = realloc(s->text, s->size + n + 1);
    if (!grown) return !(s->failed = true);
    memcpy(grown + s->size, bytes, n);
    s->text = grown;
    s->size += n;
    s->text[s->size] = '\0';
    return true;
}

static void print_json(const wn_session *session, const char *prompt, size_t size, const sink *s,
                       const wn_tokens *ids, const wn_generate_stats *stats) {
    wn_model_info m;
    wn_session_info(session, &m);
    json_out j = {.file = stdout};
    put_open(&j, NULL, '{');
    put_bytes(&j, "prompt", prompt, size);
    put_bytes(&j, "text", s->text ? s->text : "", s->size);
    put_open(&j, "ids", '[');
    for (size_t i = 0; i < ids->count; i++)
        put_int(&j, NULL, ids->id[i]);
    put_close(&j, ']');
    put_int(&j, "prompt_tokens", stats->prompt_tokens);
    put_int(&j, "new_tokens", stats->new_tokens);
    put_real(&j, "prompt_seconds", stats->prompt_seconds);
    put_real(&j, "new_seconds", stats->new_seconds);
    put_bool(&j, "ended", stats->ended);
    put_weights(&j, &m);
    put_close(&j, '}');
    putchar('\n');
}

/* --tokens as given; else its default, or the fewer that fit behind the prompt. */
static int64_t tokens_wanted(const options *o, wn_session *s, const char *prompt, size_t size) {
    int64_t wanted = opt_int(o, O_tokens);
    wn_tokens ids = {0};
    const wn_tokenizer *t = wn_session_tokenizer(s);
    if (o->value[O_tokens].given || !t ||
        wn_tokenizer_encode(t, prompt, size, true, true, &ids) != WN_OK)
        return wanted;
    wn_model_info info;
    wn_session_info(s, &info);
    int64_t left = info.context - (ids.count ? (int64_t)ids.count : 1);
    wn_tokens_free(&ids);
    return left < 1 ? 1 : left < wanted ? left : wanted;
}

static int run(const options *o, wn_session *s, const char *prompt, size_t size) {
    wn_generate_options g = {.sampling = {.temperature = opt_real(o, O_temperature),
                                          .top_k = opt_int(o, O_top_k),
                                          .top_p = opt_real(o, O_top_p),
                                          .seed = (uint64_t)opt_int(o, O_seed)},
                             .max_tokens = tokens_wanted(o, s, prompt, size),
                             .ignore_eos = opt_flag(o, O_ignore_eos),
                             .no_cache = !opt_flag(o, O_cache)};
    bool echo = !opt_flag(o, O_json) && !opt_flag(o, O_quiet);
    sink out = {.keep = opt_flag(o, O_json), .echo = echo ? prompt : NULL, .echo_size = size};
    wn_tokens ids = {0};
    wn_generate_stats stats = {0};
    wn_status status = wn_generate(s, prompt, size, &g, on_text, &out, &ids, &stats);
    if (status == WN_OK && out.keep)
        print_json(s, prompt, size, &out, &ids, &stats);
    else if (status == WN_OK) {
        put_prompt(&out);
        putchar('\n');
    }
    fflush(stdout);
    if (status == WN_OK && !out.keep && !opt_flag(o, O_quiet)) {
        char weights[256];
        wn_model_info m;
        wn_session_info(s, &m);
        if (numerics(o)) fprintf(stderr, "[numerics: %s]\n", numerics(o));
        fprintf(stderr, "[%s]\n[%lld prompt tokens in %.3f s; %lld new in %.3f s, %.1f tok/s]\n",
                describe_weights(&m, weights, sizeof weights), (long long)stats.prompt_tokens,
                stats.prompt_seconds, (long long)stats.new_tokens, stats.new_seconds,
                stats.new_seconds > 0 ? (double)stats.new_tokens / stats.new_seconds : 0);
    }
    free(out.text);
    wn_tokens_free(&ids);
    if (!out.failed) return report(status);
    fputs("winnow: out of memory\n", stderr);
    return EXIT_FAILED;
}

int command_GENERATE(const options *o) {
    const char *prompt = opt_text(o, O_prompt) ? opt_text(o, O_prompt) : "";
    char *owned = NULL;
    size_t size = strlen(prompt);
    if (strcmp(prompt, "-") == 0) {
        prompt = owned = read_file("-", &size);
        if (!owned) return EXIT_FAILED;
    }
    wn_session *s = NULL;
    wn_status status = open_session(o, &s);
    int code = status == WN_OK ? run(o, s, prompt, size) : report(status);
    wn_session_free(s);
    free(owned);
    return code;
}
