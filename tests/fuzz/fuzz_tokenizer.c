// SPDX-License-Identifier: MIT
// libFuzzer target: the input is a tokenizer.json, and after its last newline some text. Whatever
// is read must encode that text, and decode what it encoded, without harm.
#include "winnow/tokenizer.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const wn_tokenizer *t, const char *text, size_t n, bool special) {
    wn_tokens ids;
    char *back;
    size_t size;
    if (wn_tokenizer_encode_framed(t, text, n, special, &ids) != WN_OK) return;
    for (size_t i = 0; i < ids.count; i++)
        if (wn_tokenizer_piece(t, ids.id[i], &size) == NULL) abort();
    wn_status status = wn_tokenizer_decode(t, ids.id, ids.count, !special, &back, &size);
    if (status != WN_OK && status != WN_UNSUPPORTED) abort(); // a pattern of the file may give up
    free(back);
    wn_tokens_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char probe[] = "It's 12345,\n\n  na\xc3\xafve e\xcc\x81\xcc\x96 <s>  "
                                "\xff\xed\xa0\x80 \xf0\x9f\x99\x82\x00";
    const char *text = (const char *)data;
    const char *newline = size ? memrchr(text, '\n', size) : NULL;
    size_t file = newline ? (size_t)(newline - text) + 1 : size;
    wn_tokenizer *t;
    if (wn_tokenizer_parse(text, file, "fuzz", &t) != WN_OK) return 0;
    size_t rest = size - file < 1024 ? size - file : 1024;
    encode(t, text + file, rest, true);
    encode(t, text + file, rest, false);
    encode(t, probe, sizeof probe, true);
    wn_tokenizer_free(t);
    return 0;
}
