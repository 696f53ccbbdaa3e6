// SPDX-License-Identifier: MIT
// wn_generate: a session continues a prompt.
#include "base/fail.h"
#include "infer/generate.h"
#include "infer/session.h"

wn_status wn_generate(wn_session *s, const char *prompt, size_t size, const wn_generate_options *o,
                      wn_text_fn *fn, void *ctx, wn_tokens *ids, wn_generate_stats *stats) {
    if (ids != NULL) *ids = (wn_tokens){0};
    if (stats != NULL) *stats = (wn_generate_stats){0};
    WN_TRY(wn__session_need_tokenizer(s));
    wn_tokens encoded;
    WN_TRY(wn__prompt_encode(s->tokenizer, prompt, size, &encoded));
    wn_status status =
        wn__generate(s->model, s->tokenizer, s->context, &encoded, o, fn, ctx, ids, stats);
    wn_tokens_free(&encoded);
    return status == WN_OK || status == WN_CANCELLED ? status : wn__fail_in(status, "%s", s->dir);
}
