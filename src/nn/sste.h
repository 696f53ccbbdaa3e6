// SPDX-License-Identifier: MIT
/* A weight that is multiplied by as W~ = scale S(W) (S-STE, Hu et al. 2024): soft-thresholded 2:4
 * groups along its columns, a scale that is chosen once and then frozen, and what is packed of it.
 *
 * The scale is chosen by the first prepare after initialisation or loading and kept in checkpoints;
 * masks follow from the weight alone. Column counts that are no multiple of 4 are padded inside
 * (kernels/pack24.h). */
#ifndef WN_NN_SSTE_H
#define WN_NN_SSTE_H

#include "nn/linear.h"
#include "sparse/lists24.h"

typedef struct wn__sste {
    int64_t r, c;
    wn_tensor scale, dots;   /* F64 [1], a state; F64 [3] */
    wn_tensor mask, next;    /* U8 [r, ceil(c/4)]; next: when training */
    wn_tensor flips;         /* I64 [1], when training */
    wn_tensor values, index; /* the pack of W~, which itself passes through the shared block */
    wn__lists24 lists;       /* its column lists, when training */
    bool scaled, masked;     /* the scale is chosen, the mask is that of the last prepare */
} wn__sste;

/* Allocates, and registers the state "<name>.scale" with the layer. name: of the layer or of one of
 * its factors. */
WN_NODISCARD wn_status wn__sste_build(wn__sste *s, wn__linear *l, const char *name, int64_t r,
                                      int64_t c, wn__build *b);
/* Mask, pack and lists of W~ of w[r,c]. *flips: positions in which the mask differs from that of
 * the prepare before, -1 if there was none. */
WN_NODISCARD wn_status wn__sste_prepare(wn__sste *s, const wn__linear *l, wn__exec *x,
                                        const wn_tensor *w, int64_t *flips);
/* The same from a scale that a checkpoint brought back: INVALID unless it is finite and positive.
 */
WN_NODISCARD wn_status wn__sste_restore(wn__sste *s, const wn__linear *l, wn__exec *x,
                                        const wn_tensor *w);
/* Chooses the scale of w anew. */
WN_NODISCARD wn_status wn__sste_rescale(wn__sste *s, const wn__linear *l, wn__exec *x,
                                        const wn_tensor *w);
/* New masters: the next prepare chooses a scale and counts no flips. */
void wn__sste_forget(wn__sste *s);
/* out[r,c] = W~ */
WN_NODISCARD wn_status wn__sste_merge(const wn__sste *s, wn__exec *x, const wn_tensor *out);
size_t wn__sste_forward_bytes(const wn__sste *s);
size_t wn__sste_state_bytes(const wn__sste *s);

#endif
