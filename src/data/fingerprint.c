// SPDX-License-Identifier: MIT
// A number that identifies a tokenizer by what it does: the bytes of every id, how those bytes are
// encoded again (which the merges decide), and how a probe text is cut (which the pre-tokenizer
// decides).
#include "winnow/data.h"
#include <stdlib.h>
#include <string.h>

static uint64_t fnv1a(uint64_t h, const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3U;
    return h;
}

static uint64_t add_number(uint64_t h, uint64_t v) {
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(v >> (8 * i));
    return fnv1a(h, bytes, sizeof bytes);
}

static uint64_t add_encoding(uint64_t h, const wn_tokenizer *t, const char *text, size_t size) {
    wn_tokens ids = {0};
    if (wn_tokenizer_encode(t, text, size, true, false, &ids) != WN_OK)
        return add_number(h, UINT64_MAX);
    h = add_number(h, ids.count);
    for (size_t i = 0; i < ids.count; i++)
        h = add_number(h, (uint32_t)ids.id[i]);
    wn_tokens_free(&ids);
    return h;
}

// An id without a token counts as one that decodes to nothing.
static uint64_t add_id(uint64_t h, const wn_tokenizer *t, int32_t id) {
    char *text = NULL;
    size_t size = 0;
    if (wn_tokenizer_decode(t, &id, 1, false, &text, &size) != WN_OK)
        return add_number(h, UINT64_MAX);
    h = fnv1a(add_number(h, size), text, size);
    h = add_encoding(h, t, text, size);
    free(text);
    return h;
}

uint64_t wn_tokenizer_fingerprint(const wn_tokenizer *t) {
    static const char probe[] =
        "It's 12345 o'clock,\n\n  they'LL say: \t\"na\xc3\xafve\" x=-7; \r\n";
    uint64_t h = 0xcbf29ce484222325U;
    int32_t vocab = wn_tokenizer_vocab_size(t);
    h = add_number(h, (uint64_t)vocab);
    for (int32_t id = 0; id < vocab; id++)
        h = add_id(h, t, id);
    h = add_encoding(h, t, probe, strlen(probe));
    return h != 0 ? h : 1;
}
