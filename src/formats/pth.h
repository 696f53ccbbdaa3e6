// SPDX-License-Identifier: MIT
/* Files of torch.save: the zip archives of today and the five pickles of before 1.6, read without
 * running anything (pickle.h), and zip archives that torch.load(weights_only=True) reads. */
#ifndef WN_FORMATS_PTH_H
#define WN_FORMATS_PTH_H

#include "base/file.h"
#include "formats/pickle.h"
#include "formats/zip.h"

/* A tensor and the way to it from the top, "model_state_dict.weights.0"; "" of a bare one. The view
 * has the file's strides (0 where a tensor was expanded) and data that may be UNALIGNED: copy with
 * wn__pth_copy. */
typedef struct wn__pth_entry {
    char *name;
    wn_tensor view;
    bool parameter, requires_grad;
} wn__pth_entry;

typedef struct wn__pth {
    char *path;
    wn__map map;
    wn__zip zip; /* of today's files */
    wn__pickle_heap heap;
    wn__pickle_value *root; /* what was saved */
    wn__pth_entry *entry;   /* sorted by name */
    size_t count;
} wn__pth;

/* Maps and checks path; views stay valid until close, as those of safetensors. FORMAT: damaged.
 * UNSUPPORTED: legal, but not plain tensors in dictionaries, lists and tuples (TorchScript, whole
 * modules, sparse and quantised tensors, the tar files of before 0.1.10, big-endian machines'),
 * with the name of what was met. */
WN_NODISCARD wn_status wn__pth_open(const char *path, wn__pth *out);
/* Checks size bytes in memory (borrowed); for tests and fuzzing. */
WN_NODISCARD wn_status wn__pth_parse(const uint8_t *bytes, size_t size, const char *name,
                                     wn__pth *out);
void wn__pth_close(wn__pth *p); /* safe on a zeroed struct */
/* Whether a file begins as one of torch.save's. */
bool wn__pth_begins(const uint8_t *bytes, size_t size);
/* NULL if absent. */
const wn__pth_entry *wn__pth_find(const wn__pth *p, const char *name);
/* Its name for people: "(bare tensor)" where the file has none. */
const char *wn__pth_name(const wn__pth_entry *e);
/* The tensor called `key`, or without a key (NULL) the only floating-point one with two dimensions.
 * INVALID lists what there is. */
WN_NODISCARD wn_status wn__pth_select(const wn__pth *p, const char *key, const wn__pth_entry **out);
/* to, packed and aligned, = the elements of a view, whatever its strides and alignment. */
void wn__pth_copy(const wn_tensor *view, void *to);

/* ---- writing. Values are put one after the other as the file has them, and wn__pth_commit says
 * whether all went well:
 *
 *     wn__pth_begin(w, WN__PICKLE_DICT); put_text(w, "epoch"); put_int(w, 3);
 *     put_text(w, "weight"); put_tensor(w, &t); wn__pth_end(w); wn__pth_commit(w)
 *
 * Tensors are borrowed until then, are on the CPU, written packed, and each has a storage of its
 * own. Files end below 4 GiB. */
typedef struct wn__pth_writer wn__pth_writer;
WN_NODISCARD wn_status wn__pth_create(const char *path, wn__pth_writer **out);
void wn__pth_put_none(wn__pth_writer *w);
void wn__pth_put_bool(wn__pth_writer *w, bool v);
void wn__pth_put_int(wn__pth_writer *w, int64_t v);
void wn__pth_put_real(wn__pth_writer *w, double v);
void wn__pth_put_text(wn__pth_writer *w, const char *v);
void wn__pth_put_tensor(wn__pth_writer *w, const wn_tensor *t);
/* A list, tuple or dictionary (ordered: an OrderedDict), until `end`. */
void wn__pth_begin(wn__pth_writer *w, wn__pickle_type type);
void wn__pth_begin_ordered(wn__pth_writer *w);
void wn__pth_end(wn__pth_writer *w);
/* Behind the end of an ordered dictionary: the entries of its `_metadata`, which is one too, until
 * `end_metadata`. */
void wn__pth_begin_metadata(wn__pth_writer *w);
void wn__pth_end_metadata(wn__pth_writer *w);
/* Atomic; frees w, whatever comes back. INVALID: values that make no file, a tensor without a
 * dtype. Dtypes that torch has no class of storages of (unsigned ones beyond bytes, FP8) are for
 * torch 2.3 and later. */
WN_NODISCARD wn_status wn__pth_commit(wn__pth_writer *w);
void wn__pth_abort(wn__pth_writer *w); /* NULL is fine */

#endif
