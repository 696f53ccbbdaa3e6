// SPDX-License-Identifier: MIT
/* Chains of Kronecker-sparse factors in files: checkpoints of `winnow ks fit` and of the program
 * that it follows, and model directories whose config.json lists layers that are chains. */
#ifndef WN_INFER_CHAIN_FILE_H
#define WN_INFER_CHAIN_FILE_H

#include "formats/hf_sparsity.h"
#include "formats/pth.h"
#include "formats/safetensors.h"
#include "sparse/kron.h"

typedef struct wn__chain_file {
    wn__kron_chain chain;
    wn__kron_layout layout;
    bool tagged;  /* the file states its layout; else groups-cb, as the original has it */
    int64_t head; /* rank of "head.out" "head.in", which is added to the chain; 0: there is none */
} wn__chain_file;

/* Whether the file says of itself that it holds a chain: wn__notes_patterns_of. */
bool wn__chain_is_pth(const wn__pth *p);
/* "patterns", "model_state_dict.weights.N" and perhaps "winnow.chain" and "head". FORMAT names the
 * file and the member: a pattern that is not four numbers from 1 on, factors that do not meet, a
 * tag that says something else, a factor that is missing or of another shape than its layout has.
 */
WN_NODISCARD wn_status wn__chain_of_pth(const wn__pth *p, wn__chain_file *out);

/* Lines for people: patterns, rightmost first, what they cost, layout, the fields of training.
 * *out is malloc'ed. */
WN_NODISCARD wn_status wn__chain_describe_pth(const wn__pth *p, char **out);
/* The same of the chains that a file's metadata has as "kron:LAYER", written by winnow ks apply;
 * NULL where there is none. FORMAT as wn__chain_of_pth. */
WN_NODISCARD wn_status wn__chain_describe_tags(const wn__safetensors *st, char **out);
/* The same of the layers that config.json lists; "" where it lists none. FORMAT: factors that are
 * missing, or of other shapes than the chain has. */
WN_NODISCARD wn_status wn__chain_describe_layers(const wn__hf_sparsity *said,
                                                 const wn__hf_weights *weights, char **out);

#endif
