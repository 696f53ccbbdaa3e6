// SPDX-License-Identifier: MIT
/* What the files of infer/ share about an open session. */
#ifndef WN_INFER_SESSION_H
#define WN_INFER_SESSION_H

#include "model/model.h"
#include "winnow/model.h"

struct wn_session {
    char dir[WN_PATH_MAX]; /* of config.json */
    wn__runtime *runtime;
    wn__model *model;
    wn_tokenizer *tokenizer; /* NULL: none in dir */
    int64_t context, batch;
    wn__stored stored;                          /* of linear layers' weights */
    size_t trained_activations, trained_inputs; /* pruned in training, as config.json says */
    wn_model_info info;
};

/* "LlamaForCausalLM"; static storage. */
const char *wn__architecture(const wn__model_config *c);
/* UNSUPPORTED says that dir has no tokenizer.json. */
WN_NODISCARD wn_status wn__session_need_tokenizer(const wn_session *s);

/* Whether a 2-D tensor of F32, F64, BF16 or F16 (packed, possibly unaligned) has at most two
 * non-zeros in every group of 4 along its last dimension (last group shorter), or, transposed,
 * along its first. Other dtypes and ranks: false. */
bool wn__weight_is24(const wn_tensor *w, bool transposed);

#endif
