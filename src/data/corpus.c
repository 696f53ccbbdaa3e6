// SPDX-License-Identifier: MIT
// A text file, or a byte range of one, to a token shard. The range is encoded as a whole, so that
// ids never depend on how the work was cut.
#include "base/fail.h"
#include "data/shard.h"
#include <inttypes.h>

size_t wn__text_boundary(const uint8_t *text, size_t size, size_t position) {
    for (size_t i = position; i < size && i < position + 4; i++)
        if ((text[i] & 0xc0) != 0x80) return i; // not a continuation byte
    return position;
}

static wn_status check_range(const char *path, size_t size, uint64_t begin, uint64_t end) {
    if (size == 0)
        return wn__fail(WN_INVALID, "%s: empty, at least 1 byte of text is needed", path);
    if (end > size)
        return wn__fail(WN_INVALID, "%s: byte range ends at %" PRIu64 ", the file has %zu bytes",
                        path, end, size);
    if (begin >= end)
        return wn__fail(WN_INVALID,
                        "%s: byte range %" PRIu64 " to %" PRIu64
                        " is empty, at least 1 byte is needed",
                        path, begin, end);
    return WN_OK;
}

wn_status wn_tokenize_file(const wn_tokenizer *t, const char *text_path, uint64_t begin,
                           uint64_t end, const char *shard_path, wn_shard_info *info) {
    if (info != NULL) *info = (wn_shard_info){0};
    wn__map text;
    WN_TRY(wn__map_open(text_path, &text));
    wn_status status = WN_OK;
    wn_tokens ids = {0};
    if (end == 0) end = text.size;
    WN_TRY_OUT(check_range(text_path, text.size, begin, end));
    status = wn_tokenizer_encode(t, (const char *)text.data + begin, (size_t)(end - begin), true,
                                 false, &ids);
    if (status != WN_OK) {
        (void)wn__fail_in(status, "%s", text_path);
        goto out;
    }
    WN_TRY_OUT(wn_shard_write(shard_path, ids.id, ids.count, (uint32_t)wn_tokenizer_vocab_size(t),
                              end - begin, wn_tokenizer_fingerprint(t)));
    if (info != NULL) status = wn_shard_inspect(shard_path, false, info);
out:
    wn_tokens_free(&ids);
    wn__map_close(&text);
    return status;
}
