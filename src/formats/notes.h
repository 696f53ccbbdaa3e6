// SPDX-License-Identifier: MIT
/* What a file of weights says beside its tensors, as lines of text: metadata of safetensors, and in
 * files of torch.save
 *
 *   "patterns", "winnow.chain"   of a checkpoint of a chain: its fields `patterns`, as JSON, and
 *                                winnow["chain"]
 *   "kron:LAYER"                 of a state_dict: its _metadata[LAYER]["winnow.chain"], where torch
 *                                keeps what it notes of a module
 */
#ifndef WN_FORMATS_NOTES_H
#define WN_FORMATS_NOTES_H

#include "formats/pth.h"
#include "formats/safetensors.h"

typedef struct wn__notes {
    wn__st_meta *item; /* keys and values are owned */
    size_t count, room;
} wn__notes;
void wn__notes_free(wn__notes *n); /* safe on a zeroed struct */
/* NULL if absent. */
const char *wn__notes_get(const wn__notes *n, const char *key);

/* All metadata but "format", which is the writer's. */
WN_NODISCARD wn_status wn__notes_of_safetensors(wn__notes *n, const wn__safetensors *st);
WN_NODISCARD wn_status wn__notes_of_pth(wn__notes *n, const wn__pth *p);
/* The state of an OrderedDict that has just ended: the notes of layers. Nothing where there are
 * none. */
void wn__notes_put_layers(const wn__notes *n, wn__pth_writer *w);
/* Into a dictionary: the fields of a checkpoint of a chain, where n has them. FORMAT: patterns that
 * are no JSON. */
WN_NODISCARD wn_status wn__notes_put_chain(const wn__notes *n, wn__pth_writer *w);

#endif
