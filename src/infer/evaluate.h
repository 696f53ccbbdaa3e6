// SPDX-License-Identifier: MIT
/* Loss of a model over a span of ids, for sessions and for the trainer. */
#ifndef WN_INFER_EVALUATE_H
#define WN_INFER_EVALUATE_H

#include "data/ids.h"
#include "model/model.h"
#include "winnow/tokenizer.h"

/* Bytes of text each id stands for. */
typedef struct wn__id_bytes {
    int32_t *bytes; /* [count]; NULL: unknown */
    int32_t count;
} wn__id_bytes;
WN_NODISCARD wn_status wn__id_bytes_create(const wn_tokenizer *t, wn__id_bytes *out);
void wn__id_bytes_free(wn__id_bytes *b); /* safe on a zeroed struct */

typedef struct wn__evaluation {
    double loss_sum; /* nats */
    int64_t labels, batches;
    int64_t bytes; /* of the predicted ids; 0 when unknown */
} wn__evaluation;
double wn__evaluation_loss(const wn__evaluation *e);
/* loss_sum / ln 2 / bytes; 0 when the bytes are unknown. */
double wn__evaluation_bits_per_byte(const wn__evaluation *e);

/* Windows of seq_len inputs that do not overlap, rows of them at a time; every id but the first is
 * predicted once, in a last shorter window if need be. max_batches, max_labels 0: all. rows and
 * seq_len within the model's spec. INVALID when there are fewer than two ids. */
WN_NODISCARD wn_status wn__evaluate(wn__model *m, const wn__ids *ids, int64_t rows, int64_t seq_len,
                                    int64_t max_batches, int64_t max_labels,
                                    const wn__id_bytes *bytes, wn__evaluation *out);

#endif
