// SPDX-License-Identifier: MIT
/* Loss of a model over a span of ids or over a source of samples, for sessions and for the trainer.
 */
#ifndef WN_INFER_EVALUATE_H
#define WN_INFER_EVALUATE_H

#include "data/ids.h"
#include "data/source.h"
#include "model/model.h"
#include "winnow/tokenizer.h"

/* Bytes of text each id stands for. */
typedef struct wn__id_bytes {
    int32_t *bytes; /* [count]; NULL: unknown */
    int32_t *plain; /* [count], in the same block: special tokens stand for none */
    int32_t count;
} wn__id_bytes;
WN_NODISCARD wn_status wn__id_bytes_create(const wn_tokenizer *t, wn__id_bytes *out);
void wn__id_bytes_free(wn__id_bytes *b); /* safe on a zeroed struct */

typedef struct wn__evaluation {
    double loss_sum;  /* nats */
    double batch_sum; /* of the batches' means */
    int64_t labels, batches;
    int64_t bytes; /* of the predicted ids; of documents without special tokens; 0: unknown */
} wn__evaluation;
/* loss_sum / labels, every label counting the same; 0 without labels. */
double wn__evaluation_loss(const wn__evaluation *e);
/* batch_sum / (batches + 1), what the scripts of ReLoRA, GaLore and LORO print: they count batches
 * from 1, so a mean over n batches comes out n / (n + 1) times what it is. To compare with figures
 * published by them, and for nothing else. */
double wn__evaluation_compat_loss(const wn__evaluation *e);
/* loss_sum / ln 2 / bytes; 0 when the bytes are unknown. */
double wn__evaluation_bits_per_byte(const wn__evaluation *e);

/* Windows of seq_len inputs that do not overlap, rows of them at a time; every id but the first is
 * predicted once, in a last shorter window if need be. max_batches, max_labels 0: all. rows and
 * seq_len within the model's spec. INVALID when there are fewer than two ids. */
WN_NODISCARD wn_status wn__evaluate(wn__model *m, const wn__ids *ids, int64_t rows, int64_t seq_len,
                                    int64_t max_batches, int64_t max_labels,
                                    const wn__id_bytes *bytes, wn__evaluation *out);
/* Epoch 0 of a source from its beginning, rows samples at a time, a last smaller batch included;
 * batches without a label do not count. The source, whose seq_len is seq_len, stays where that
 * ended. max_batches, max_labels 0: all of the epoch. Labels beyond max_labels are left out; with
 * compat whole batches are taken until more than max_labels tokens that are not filling have been
 * seen, the stopping rule of the scripts named above. */
WN_NODISCARD wn_status wn__evaluate_source(wn__model *m, wn__source *s, int64_t rows,
                                           int64_t seq_len, int64_t max_batches, int64_t max_labels,
                                           const wn__id_bytes *bytes, bool compat,
                                           wn__evaluation *out);

#endif
