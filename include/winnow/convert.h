// SPDX-License-Identifier: MIT
/* Files of weights as other files of weights. */
#ifndef WINNOW_CONVERT_H
#define WINNOW_CONVERT_H

#include "winnow/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wn_convert_options {
    const char *tensor; /* only this one, into a .pth as a bare tensor; NULL: all */
    bool force;         /* replace what is at the output */
} wn_convert_options;

typedef struct wn_convert_result {
    size_t tensors;
    uint64_t bytes; /* of their values */
} wn_convert_result;

/* from: a .pth (zip or legacy), a .safetensors or a Hugging Face directory (one file of weights or
 * shards) or a run with one at `latest`. to: *.pth, a state_dict in the order of the names that
 * torch.load(weights_only=True) reads, or *.safetensors. Values and dtypes are kept bit for bit;
 * strided views become packed, and tensors that shared a storage get one each. What says which
 * layers are chains of factors, and of which patterns, goes along: metadata "kron:LAYER" of
 * safetensors is "winnow.chain" in the _metadata of that module in a state_dict; `patterns` and
 * winnow.chain of a checkpoint of ks fit are metadata of those names. Other metadata of safetensors
 * files stays with safetensors, other fields of checkpoints are left out. Atomic.
 *
 * INVALID: another ending, something at `to` without force, no tensor of that name, a .pth whose
 * tensors cannot be told apart by their names. FORMAT, IO and UNSUPPORTED name the file; a .pth
 * ends below 4 GiB. */
WN_API WN_NODISCARD wn_status wn_convert(const char *from, const char *to,
                                         const wn_convert_options *o, wn_convert_result *out);

#ifdef __cplusplus
}
#endif
#endif
