// SPDX-License-Identifier: MIT
/* JSON values. The one file that knows jansson is json.c; a wn__json is its reference-counted
 * value. Parsing rejects duplicate keys, invalid UTF-8, trailing bytes, integers beyond 64 bits,
 * NUL bytes in keys (in strings they are fine) and nesting deeper than 64. */
#ifndef WN_BASE_JSON_H
#define WN_BASE_JSON_H

#include "winnow/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct wn__json wn__json;

/* Parses size bytes. `name` stands before the message: "config.json: line 3 column 7: ...". */
WN_NODISCARD wn_status wn__json_parse(const char *bytes, size_t size, const char *name,
                                      wn__json **out);
/* Reads and parses a file of at most limit bytes. */
WN_NODISCARD wn_status wn__json_read(const char *path, size_t limit, wn__json **out);
void wn__json_free(wn__json *j); /* gives back one reference; NULL is fine */

/* Reading. All take NULL and wrong types without harm: getters then return NULL / 0 / false. The
 * values they return are borrowed from the parent. */
typedef enum wn__json_type {
    WN_JSON_NONE, /* NULL pointer */
    WN_JSON_NULL,
    WN_JSON_BOOL,
    WN_JSON_INT,
    WN_JSON_REAL,
    WN_JSON_STRING,
    WN_JSON_ARRAY,
    WN_JSON_OBJECT
} wn__json_type;
wn__json_type wn__json_typeof(const wn__json *j);
const char *wn__json_typename(const wn__json *j); /* "a string", "missing", ... for messages */
wn__json *wn__json_get(const wn__json *object, const char *key);
size_t wn__json_count(const wn__json *j); /* members or elements */
wn__json *wn__json_at(const wn__json *array, size_t i);
/* Object iteration in file order: start with *iter = NULL; false at the end. Any output may be
 * NULL. */
bool wn__json_next(const wn__json *object, void **iter, const char **key, size_t *key_size,
                   wn__json **value);
/* NULL unless a string; size may be NULL. */
const char *wn__json_string(const wn__json *j, size_t *size);
int64_t wn__json_int(const wn__json *j);
double wn__json_real(const wn__json *j); /* of an int or a real */
bool wn__json_bool(const wn__json *j);

/* Typed members with a message on failure: FORMAT "name: 'key': expected an integer, found a
 * string". With `fallback` pointers NULL the key is required; else a missing key or null gives
 * *fallback. */
WN_NODISCARD wn_status wn__json_get_int(const wn__json *o, const char *name, const char *key,
                                        const int64_t *fallback, int64_t *out);
WN_NODISCARD wn_status wn__json_get_real(const wn__json *o, const char *name, const char *key,
                                         const double *fallback, double *out);
WN_NODISCARD wn_status wn__json_get_bool(const wn__json *o, const char *name, const char *key,
                                         const bool *fallback, bool *out);
/* *out is borrowed; NULL fallback pointer means required, a pointer to NULL means absent is fine. A
 * NUL byte in the string is FORMAT. */
WN_NODISCARD wn_status wn__json_get_string(const wn__json *o, const char *name, const char *key,
                                           const char *const *fallback, const char **out);

/* Building. The new_* functions return NULL when out of memory; set/append take the reference of
 * `value` even on failure, and fail (NOMEM) when object or value is NULL, so calls chain without
 * checks in between. */
wn__json *wn__json_new_object(void);
wn__json *wn__json_new_array(void);
wn__json *wn__json_new_string(const char *s);
wn__json *wn__json_new_stringn(const char *s, size_t n);
wn__json *wn__json_new_int(int64_t v);
wn__json *wn__json_new_real(double v); /* not finite: null */
wn__json *wn__json_new_bool(bool v);
wn__json *wn__json_new_null(void);
wn__json *wn__json_ref(wn__json *j); /* one more reference */
WN_NODISCARD wn_status wn__json_set(wn__json *object, const char *key, wn__json *value);
WN_NODISCARD wn_status wn__json_append(wn__json *array, wn__json *value);
/* Text in insertion order, malloc'ed. indent 0: one line without blanks. Reals print with 17
 * significant digits. */
WN_NODISCARD wn_status wn__json_dump(const wn__json *j, int indent, char **out);

#endif
