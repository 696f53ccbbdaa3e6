// SPDX-License-Identifier: MIT
// A number that identifies a tokenizer by what it does: the bytes of every id, how those bytes are
// encoded again (which the merges decide), and how a probe text is cut (which the pre-tokenizer
// decides).
#include "data/fnv1a.h"
#include "winnow/data.h"
#include <stdlib.h>
#include <string.h>

static uint64_t add_encoding(uint64_t h, const wn_tokenizer *t, const char *text, size_t size) {
    wn_tokens ids = {0};
    if (wn_tokenizer_encode(t, text, size, true, false, &ids) != WN_OK)
        return wn__fnv1a_u64(h, UINT64_MAX);
    h = wn__fnv1a_u64(h, ids.count);
    for (size_t i = 0; i < ids.count; i++)
        h = wn__fnv1a_u64(h, (uint32_t)ids.id[i]);
    wn_tokens_free(&ids);
    return h;
}

// An id without a token counts as one that decodes to nothing.
static uint64_t add_id(uint64_t h, const wn_tokenizer *t, int32_t id) {
    char *text = NULL;
    size_t size = 0;
    if (wn_tokenizer_decode(t, &id, 1, false, &text, &size) != WN_OK)
        return wn__fnv1a_u64(h, UINT64_MAX);
    h = wn__fnv1a(wn__fnv1a_u64(h, size), text, size);
    h = add_encoding(h, t, text, size);
    free(text);
    return h;
}

uint64_t wn_tokenizer_fingerprint(const wn_tokenizer *t) {
    static const char probe[] =
        "It's 12345 o'clock,\n\n  they'LL say: \t\"na\xc3\xafve\" x=-7; \r\n";
    uint64_t h = WN_FNV1A_START;
    int32_t vocab = wn_tokenizer_vocab_size(t);
    h = wn__fnv1a_u64(h, (uint64_t)vocab);
    for (int32_t id = 0; id < vocab; id++)
        h = add_id(h, t, id);
    h = add_encoding(h, t, probe, strlen(probe));
    return h != 0 ? h : 1;
}
