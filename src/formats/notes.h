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

#include "base/json.h"
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
/* FORMAT: a name or a text with a byte of 0. */
WN_NODISCARD wn_status wn__notes_of_pth(wn__notes *n, const wn__pth *p);
/* The field `patterns` of a checkpoint of a chain, sequences of four integers beside a
 * model_state_dict; NULL: a file of something else, whatever its fields are called. */
const wn__pickle_value *wn__notes_patterns_of(const wn__pth *p);
/* The note "patterns", to be freed: four integers each; *out NULL where there is none, or another
 * text of that name. */
WN_NODISCARD wn_status wn__notes_patterns(const wn__notes *n, wn__json **out);
/* Whether there are notes of layers. */
bool wn__notes_has_layers(const wn__notes *n);
/* The state of an OrderedDict that has just ended: the notes of layers. Nothing where there are
 * none. */
void wn__notes_put_layers(const wn__notes *n, wn__pth_writer *w);
/* Into a dictionary: the fields of a checkpoint of a chain of these patterns. */
void wn__notes_put_chain(const wn__notes *n, const wn__json *patterns, wn__pth_writer *w);

#endif
