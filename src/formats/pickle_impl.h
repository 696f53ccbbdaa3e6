// SPDX-License-Identifier: MIT
/* What the files of the pickle machine share: pickle.c reads the program, pickle_names.c knows what
 * its names stand for, pickle_heap.c keeps what was made. */
#ifndef WN_FORMATS_PICKLE_IMPL_H
#define WN_FORMATS_PICKLE_IMPL_H

#include "base/fail.h"
#include "formats/pickle.h"

/* Values of one file; more than any weights have. */
#define WN__PICKLE_MOST ((size_t)1 << 22)

WN_NODISCARD wn_status wn__pickle_new(wn__pickle_heap *h, wn__pickle_type type,
                                      wn__pickle_value **out);
WN_NODISCARD wn_status wn__pickle_push(wn__pickle_value *list, wn__pickle_value *item);
/* Room for one more of `size` bytes each in *array. */
WN_NODISCARD wn_status wn__pickle_grow(void **array, size_t count, size_t *room, size_t size);

/* A name's value. UNSUPPORTED: not on the list, with what to do about it. */
WN_NODISCARD wn_status wn__pickle_global(wn__pickle_heap *h, const char *module, size_t module_size,
                                         const char *name, size_t name_size,
                                         wn__pickle_value **out);
/* What calling `callee` with a tuple gives: one of the functions on the list. */
WN_NODISCARD wn_status wn__pickle_reduce(wn__pickle_heap *h, const wn__pickle_value *callee,
                                         const wn__pickle_value *arguments, wn__pickle_value **out);
/* ('storage', class, key, location, count[, None]). */
WN_NODISCARD wn_status wn__pickle_persistent(wn__pickle_heap *h, const wn__pickle_value *id,
                                             wn__pickle_value **out);
/* The state of an OrderedDict: its _metadata, kept beside what it holds. */
WN_NODISCARD wn_status wn__pickle_build(wn__pickle_value *object, const wn__pickle_value *state);

#endif
