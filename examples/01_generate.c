// SPDX-License-Identifier: MIT
// Continues a text with a model: 01_generate DIR [PROMPT [TOKENS]]. DIR is a Hugging Face directory
// or a run of winnow train.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <winnow/model.h>

// Text comes in whole UTF-8 characters, as soon as there is some.
static bool on_text(void *ctx, const char *bytes, size_t n) {
    (void)ctx;
    return fwrite(bytes, 1, n, stdout) == n;
}

static int fail(wn_status status) {
    fprintf(stderr, "%s: %s\n", wn_status_text(status), wn_last_error());
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s DIR [PROMPT [TOKENS]]\n", argv[0]);
        return 2;
    }
    const char *prompt = argc > 2 ? argv[2] : "";
    const wn_session_options options = {.auto_sparsity = true}; // 2:4 layers run packed
    const wn_generate_options how = {.sampling = {.temperature = 0.8, .top_p = 0.95, .seed = 1},
                                     .max_tokens = argc > 3 ? atol(argv[3]) : 64};
    wn_session *session;
    wn_generate_stats stats;
    wn_model_info info;
    wn_status status = wn_session_open(argv[1], &options, &session);
    if (status != WN_OK) return fail(status);

    wn_session_info(session, &info);
    printf("%s, %lld parameters, %zu of %zu linear layers are sparse\n%s", info.architecture,
           (long long)info.parameters, info.sparse_layers, info.linear_layers, prompt);
    status = wn_generate(session, prompt, strlen(prompt), &how, on_text, NULL, NULL, &stats);
    wn_session_free(session);
    if (status != WN_OK) return fail(status);
    printf("\n%lld tokens in %.3f s\n", (long long)stats.new_tokens, stats.new_seconds);
    return 0;
}
