// SPDX-License-Identifier: MIT
/* Python's pickle format, as far as files of torch.save need it, read as data.
 *
 * A pickle is a program for a stack machine. Here it can make None, booleans, integers of 64 bits,
 * floats, strings, lists, tuples, dictionaries and tensors, and nothing else: names (GLOBAL) are
 * looked up in a fixed list that leads to numbers, never to code; what is not on it is refused by
 * name. Protocols 2 to 4. */
#ifndef WN_FORMATS_PICKLE_H
#define WN_FORMATS_PICKLE_H

#include "winnow/tensor.h"

typedef enum wn__pickle_type {
    WN__PICKLE_NONE,
    WN__PICKLE_BOOL,
    WN__PICKLE_INT,
    WN__PICKLE_REAL,
    WN__PICKLE_STRING,
    WN__PICKLE_LIST,
    WN__PICKLE_TUPLE, /* torch.Size too */
    WN__PICKLE_DICT,
    WN__PICKLE_TENSOR,
    WN__PICKLE_GLOBAL, /* a name of the list: a dtype, a class of storages, ... */
    WN__PICKLE_STORAGE
} wn__pickle_type;

/* Shared values are one value; lists and dictionaries may contain themselves. */
typedef struct wn__pickle_value wn__pickle_value;
struct wn__pickle_value {
    wn__pickle_type type;
    bool ordered; /* of a dictionary: an OrderedDict */
    union {
        bool truth;
        int64_t integer;
        double real;
        struct {
            const char *bytes; /* in the pickle; UTF-8, not terminated */
            size_t size;
        } text;
        struct {
            wn__pickle_value **item; /* of a dictionary: key, value, key, value, ... */
            size_t count, room;
            wn__pickle_value *metadata; /* of an OrderedDict: the dictionary `_metadata`; NULL */
        } list;
        int global;    /* row of the list of names */
        size_t number; /* of the tensor or the storage */
    };
};

/* A tensor's numbers, which lie outside the pickle. data and its size are filled in by the file's
 * reader. */
typedef struct wn__pickle_storage {
    const char *key; /* not terminated */
    size_t key_size;
    wn_dtype dtype; /* NONE: bytes */
    int64_t count;  /* of elements */
    const uint8_t *data;
} wn__pickle_storage;

/* view: shape, strides in elements, dtype; data NULL until the storage has some. Every element lies
 * inside the storage. */
typedef struct wn__pickle_tensor {
    wn_tensor view;
    size_t storage;
    int64_t offset; /* elements */
    bool parameter, requires_grad;
} wn__pickle_tensor;

/* What one file's pickles made. */
typedef struct wn__pickle_heap {
    struct wn__pickle_chunk *chunk;
    size_t values;
    wn__pickle_storage *storage;
    size_t storages, storage_room;
    uint32_t *slot; /* hash of keys: number + 1 */
    size_t slots;
    wn__pickle_tensor *tensor;
    size_t tensors, tensor_room;
} wn__pickle_heap;
void wn__pickle_free(wn__pickle_heap *h); /* safe on a zeroed struct */

/* Runs the pickle at the front of the bytes, which must outlive the heap; *used: its length.
 * wide_magic: an integer beyond 64 bits is legal and read as 0 (the first pickle of a legacy file).
 * FORMAT: a program that is damaged. UNSUPPORTED: one that asks for something else; both name the
 * byte and what was met. */
WN_NODISCARD wn_status wn__pickle_run(const uint8_t *bytes, size_t size, const char *name,
                                      bool wide_magic, wn__pickle_heap *h, wn__pickle_value **out,
                                      size_t *used);

/* All take NULL and wrong types without harm. */
const char *wn__pickle_typename(const wn__pickle_value *v); /* "a list", "missing", ... */
/* The last value of that key of a dictionary; NULL. */
wn__pickle_value *wn__pickle_get(const wn__pickle_value *dict, const char *key);
/* Items of a list or tuple, pairs of a dictionary. */
size_t wn__pickle_count(const wn__pickle_value *v);
wn__pickle_value *wn__pickle_at(const wn__pickle_value *list, size_t i);
bool wn__pickle_is(const wn__pickle_value *v, const char *text);
wn__pickle_storage *wn__pickle_find_storage(const wn__pickle_heap *h, const char *key, size_t n);

#endif
