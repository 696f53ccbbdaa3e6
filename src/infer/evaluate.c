// SPDX-License-Identifier: MIT
// Evaluation: windows in order, padded at the end with positions that have no label (a causal model
// never looks at them from before), or the samples of a source.
#include "infer/evaluate.h"

#include "base/fail.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

// An id without a token stands for no bytes.
static int32_t bytes_of(const wn_tokenizer *t, int32_t id, bool skip_special) {
    size_t size = 0;
    const char *piece = wn_tokenizer_piece(t, id, &size);
    return piece == NULL || (skip_special && wn_tokenizer_is_special(t, id)) ? 0 : (int32_t)size;
}

wn_status wn__id_bytes_create(const wn_tokenizer *t, wn__id_bytes *out) {
    *out = (wn__id_bytes){0};
    int32_t n = wn_tokenizer_vocab_size(t);
    int32_t *bytes = calloc((size_t)n + 1, 2 * sizeof *bytes);
    if (bytes == NULL) return wn__fail(WN_NOMEM, "no memory for the byte counts of %d ids", n);
    for (int32_t id = 0; id < n; id++) {
        bytes[id] = bytes_of(t, id, false);
        bytes[n + id] = bytes_of(t, id, true);
    }
    *out = (wn__id_bytes){.bytes = bytes, .plain = bytes + n, .count = n};
    return WN_OK;
}

void wn__id_bytes_free(wn__id_bytes *b) {
    free(b->bytes);
    *b = (wn__id_bytes){0};
}

double wn__evaluation_loss(const wn__evaluation *e) {
    return e->labels > 0 ? e->loss_sum / (double)e->labels : 0;
}

double wn__evaluation_compat_loss(const wn__evaluation *e) {
    return e->batch_sum / (double)(e->batches + 1);
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

// bytes[count] of each id; NULL: unknown.
static int64_t count_bytes(const int32_t *bytes, int32_t count, const int32_t *targets, int64_t n) {
    int64_t sum = 0;
    for (int64_t i = 0; bytes != NULL && i < n; i++)
        if (targets[i] >= 0 && targets[i] < count) sum += bytes[targets[i]];
    return sum;
}

// One batch more.
static wn_status add_batch(wn__model *m, const int32_t *tokens, const int32_t *targets,
                           int64_t rows, int64_t seq_len, wn__evaluation *e) {
    double sum = 0;
    int64_t labels = 0;
    WN_TRY(wn__model_feed(m, tokens, targets, rows, seq_len));
    WN_TRY(wn__model_loss(m, &sum, &labels));
    if (labels == 0) return WN_OK;
    e->loss_sum += sum;
    e->batch_sum += sum / (double)labels;
    e->labels += labels;
    e->batches++;
    return WN_OK;
}

// Memory of one batch: tokens[rows, seq_len], then as many targets.
static wn_status reserve(int64_t rows, int64_t seq_len, int32_t **out) {
    *out = calloc((size_t)(rows * seq_len), 2 * sizeof **out);
    return *out != NULL ? WN_OK : wn__fail(WN_NOMEM, "no memory for %" PRId64 " windows", rows);
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
    int32_t *tokens;
    WN_TRY(reserve(rows, seq_len, &tokens));
    int32_t *targets = tokens + rows * seq_len;
    wn__evaluation e = {0};
    while (at < labels && (max_batches <= 0 || e.batches < max_batches)) {
        int64_t r = 0;
        for (; r < rows && at < labels; r++) {
            int64_t n = labels - at < (uint64_t)seq_len ? (int64_t)(labels - at) : seq_len;
            fill_row(ids, at, n, seq_len, tokens + r * seq_len, targets + r * seq_len);
            at += (uint64_t)n;
        }
        WN_TRY_OUT(add_batch(m, tokens, targets, r, seq_len, &e));
        if (bytes != NULL) e.bytes += count_bytes(bytes->bytes, bytes->count, targets, r * seq_len);
    }
    *out = e;
out:
    free(tokens);
    return status;
}

// Takes labels away from the end until `most` are left.
static void cut_labels(int32_t *targets, int64_t n, int64_t labels, int64_t most) {
    for (int64_t i = n; i-- > 0 && labels > most;) {
        if (targets[i] < 0) continue;
        targets[i] = -1;
        labels--;
    }
}

// Tokens that are not filling. A document has one more than labels, a window as many.
static int64_t count_tokens(const int32_t *targets, int64_t rows, int64_t seq_len, int64_t labels) {
    for (int64_t r = 1; r <= rows; r++)
        labels += targets[r * seq_len - 1] < 0;
    return labels;
}

wn_status wn__evaluate_source(wn__model *m, wn__source *s, int64_t rows, int64_t seq_len,
                              int64_t max_batches, int64_t max_labels, const wn__id_bytes *bytes,
                              bool compat, wn__evaluation *out) {
    static const wn__source_state beginning = {0};
    static const wn__id_bytes unknown = {0};
    *out = (wn__evaluation){0};
    if (wn__source_seq_len(s) != seq_len)
        return wn__fail(WN_INVALID, "%s: samples of %" PRId64 " tokens, seq_len is %" PRId64,
                        wn__source_describe(s), wn__source_seq_len(s), seq_len);
    wn_status status;
    int32_t *tokens;
    WN_TRY(reserve(rows, seq_len, &tokens));
    int32_t *targets = tokens + rows * seq_len;
    wn__evaluation e = {0};
    const wn__id_bytes *b = bytes != NULL ? bytes : &unknown;
    const int32_t *table = wn__source_adds_special(s) ? b->plain : b->bytes;
    int64_t most = max_labels > 0 ? max_labels : INT64_MAX, seen = 0;
    WN_TRY_OUT(wn__source_seek(s, &beginning));
    while ((compat ? seen <= most : e.labels < most) &&
           (max_batches <= 0 || e.batches < max_batches)) {
        int64_t labels, got;
        WN_TRY_OUT(wn__source_rest(s, rows, tokens, targets, &labels, &got));
        if (got == 0) break;
        seen += count_tokens(targets, got, seq_len, labels);
        if (!compat) cut_labels(targets, got * seq_len, labels, most - e.labels);
        WN_TRY_OUT(add_batch(m, tokens, targets, got, seq_len, &e));
        e.bytes += count_bytes(table, b->count, targets, got * seq_len);
    }
    *out = e;
out:
    free(tokens);
    return status;
}
