// SPDX-License-Identifier: MIT
/* What the layers of a model read while it reads a text: block by block, so that each layer can see
 * what those before it have become. */
#ifndef WN_PRUNE_KS_TEXT_H
#define WN_PRUNE_KS_TEXT_H

#include "base/file.h"
#include "formats/hf_sparsity.h"
#include "infer/session.h"

#define WN_KS_DAMPING 0.01 /* of the mean diagonal of second moments, added to it */
#define WN_KS_WINDOW  256  /* tokens together, where nothing else is asked for */

typedef struct wn__ks_text_options {
    const char *text;      /* read by the model's own tokenizer */
    const char *eval_data; /* NULL: the last eval_fraction of `text` is held out */
    double eval_fraction;
    int64_t tokens;     /* to look at, in windows spread over the text; 0: all */
    int64_t seq, batch; /* seq 0: WN_KS_WINDOW, or the positions of a model that has fewer */
    int threads;
} wn__ks_text_options;

/* Whether a file is no matrix of inputs, by its first bytes and its name. */
WN_NODISCARD wn_status wn__ks_is_text(const char *path, bool *out);

typedef struct wn__ks_text {
    wn__ks_text_options o;
    char dir[WN_PATH_MAX];
    wn__model_config config;
    wn__hf_sparsity said;
    wn__hf_weights *weights;
    wn__runtime *rt;
    wn__model *model; /* dense */
    wn_tokenizer *tokenizer;
    wn_tokens train, held;
    int64_t windows;
    int32_t *fed;          /* [batch, seq] */
    float *stream, *batch; /* [windows seq, hidden], of a batch */
    float *product;        /* second moments of a batch */
    int64_t product_room;
    wn__exec exec; /* of that product */
    double *moments;
    int64_t rows; /* that were summed in moments */
} wn__ks_text;

/* Opens the model at path, dense, and the text. INVALID: too short a text, chains already there. */
WN_NODISCARD wn_status wn__ks_text_open(const char *path, const wn__ks_text_options *o,
                                        wn__ks_text *out);
void wn__ks_text_close(wn__ks_text *t); /* safe on a zeroed struct */
/* NULL: there is none of that name. *block: the one it is in, -1: none. */
wn__linear *wn__ks_text_layer(const wn__ks_text *t, const char *name, int64_t *block);
/* Puts all windows in front of block 0. */
WN_NODISCARD wn_status wn__ks_text_begin(wn__ks_text *t);
/* h[in, in] = the second moments of what the layer, of the block that the windows stand before,
 * reads, damped by WN_KS_DAMPING of the mean of their diagonal; all zero where it reads nothing
 * else. */
WN_NODISCARD wn_status wn__ks_text_moments(wn__ks_text *t, int64_t block, wn__linear *l, double *h);
/* Takes all windows through the block. */
WN_NODISCARD wn_status wn__ks_text_advance(wn__ks_text *t, int64_t block);
/* Nats a token of the model as it stands on what is held out. */
WN_NODISCARD wn_status wn__ks_text_loss(wn__ks_text *t, wn__model *m, double *loss,
                                        int64_t *tokens);

#endif
