// SPDX-License-Identifier: MIT
/* Rounding activations and their gradients to bfloat16 at tensor borders, and what of them waits
 * for the backward pass as BF16. */
#ifndef WN_NN_ROUND16_H
#define WN_NN_ROUND16_H

#include "kernels/elementwise.h"
#include "kernels/numeric.h"
#include "kernels/op.h"

/* Rounds t in place where the model keeps so few bits (--dtype bfloat16); else nothing runs. After
 * every op that writes an activation or the gradient of one. */
WN_NODISCARD static inline wn_status wn__keep16(bool round16, wn__exec *x, const wn_tensor *t) {
    const wn__round16 round = {.x = *t, .y = *t};
    return round16 ? wn__run(x, WN__OP_round16, &round) : WN_OK;
}

/* saved = t, and back; nothing where saved is absent. No bit is lost of what was rounded. */
WN_NODISCARD static inline wn_status wn__save16(wn__exec *x, const wn_tensor *t,
                                                const wn_tensor *saved) {
    const wn__copy narrow = {.src = *t, .dst = *saved};
    return wn__given(saved) ? wn__run(x, WN__OP_copy, &narrow) : WN_OK;
}
WN_NODISCARD static inline wn_status wn__load16(wn__exec *x, const wn_tensor *saved,
                                                const wn_tensor *t) {
    const wn__copy widen = {.src = *saved, .dst = *t};
    return wn__given(saved) ? wn__run(x, WN__OP_copy, &widen) : WN_OK;
}

#endif
