// SPDX-License-Identifier: MIT
// Evaluation: windows in order, padded at the end with positions that have no label (a causal model
// never looks at them from before).
#include "infer/evaluate.h"

#include "base/fail.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

wn_status wn__id_bytes_create(const wn_tokenizer *t, wn__id_bytes *out) {
    *out = (wn__id_bytes){0};
    int32_t n = wn_tokenizer_vocab_size(t);
    int32_t *bytes = calloc((size_t)n + 1, sizeof *bytes);
    if (bytes == NULL) return wn__fail(WN_NOMEM, "no memory for the byte counts of %d ids", n);
    for (int32_t id = 0; id < n; id++) {
        char *text = NULL;
        size_t size = 0; // an id without a token stands for no bytes
        if (wn_tokenizer_decode(t, &id, 1, false, &text, &size) == WN_OK) bytes[id] = (int32_t)size;
        free(text);
    }
    *out = (wn__id_bytes){.bytes = bytes, .count = n};
    return WN_OK;
}

void wn__id_bytes_free(wn__id_bytes *b) {
    free(b->bytes);
    *b = (wn__id_bytes){0};
}

double wn__evaluation_loss(const wn__evaluation *e) {
    return e->labels > 0 ? e->loss_sum / (double)e->labels : 0;
}

double wn__evaluation_bits_per_byte(const wn__evaluation *e) {
    return e->bytes > 0 ? e->loss_sum / log(2.0) / (double)e->bytes : 0;
}

// One window of n <= seq_len predictions from `begin`, padded to seq_len.
static void fill_row(const wn__ids *ids, uint64_t begin, int64_t n, int64_t seq_len,
                     int32_t *tokens, int32_t *targets) {
    wn__ids_copy(ids, begin, (size_t)n, tokens);
    wn__ids_copy(ids, begin + 1, (size_t)n, targets);
    for (int64_t i = n; i < seq_len; i++) {
        tokens[i] = 0;
        targets[i] = -1;
    }
}

static int64_t count_bytes(const wn__id_bytes *b, const int32_t *targets, int64_t n) {
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (targets[i] >= 0 && targets[i] < b->count) sum += b->bytes[targets[i]];
    return sum;
}

wn_status wn__evaluate(wn__model *m, const wn__ids *ids, int64_t rows, int64_t seq_len,
                       int64_t max_batches, int64_t max_labels, const wn__id_bytes *bytes,
                       wn__evaluation *out) {
    *out = (wn__evaluation){0};
    if (ids->count < 2)
        return wn__fail(WN_INVALID, "%s: %" PRIu64 " token%s, an evaluation needs at least 2",
                        ids->name, ids->count, ids->count == 1 ? "" : "s");
    uint64_t labels = ids->count - 1, at = 0;
    if (max_labels > 0 && (uint64_t)max_labels < labels) labels = (uint64_t)max_labels;
    wn_status status = WN_OK;
    int32_t *tokens = calloc((size_t)(rows * seq_len), 2 * sizeof *tokens);
    if (tokens == NULL) return wn__fail(WN_NOMEM, "no memory for %" PRId64 " windows", rows);
    int32_t *targets = tokens + rows * seq_len;
    wn__evaluation e = {0};
    while (at < labels && (max_batches <= 0 || e.batches < max_batches)) {
        int64_t r = 0;
        for (; r < rows && at < labels; r++) {
            int64_t n = labels - at < (uint64_t)seq_len ? (int64_t)(labels - at) : seq_len;
            fill_row(ids, at, n, seq_len, tokens + r * seq_len, targets + r * seq_len);
            at += (uint64_t)n;
        }
        double sum = 0;
        int64_t n = 0;
        WN_TRY_OUT(wn__model_feed(m, tokens, targets, r, seq_len));
        WN_TRY_OUT(wn__model_loss(m, &sum, &n));
        e.loss_sum += sum;
        e.labels += n;
        e.batches++;
        if (bytes != NULL && bytes->bytes != NULL)
            e.bytes += count_bytes(bytes, targets, r * seq_len);
    }
    *out = e;
out:
    free(tokens);
    return status;
}
