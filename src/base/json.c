// SPDX-License-Identifier: MIT
// JSON through jansson, the only file that knows it. A scan of the bytes bounds the nesting first,
// so that the recursion of parsing, dumping and freeing stays small whatever a file holds.
#include "base/json.h"

#include "base/fail.h"
#include "base/file.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 64

// A wn__json is a json_t. jansson's readers take const, its counters do not.
static json_t *raw(const wn__json *j) {
    return (json_t *)(uintptr_t)j;
}
static wn__json *wrap(json_t *j) {
    return (wn__json *)(void *)j;
}

// Offset of the bracket that opens level MAX_DEPTH + 1, or size. Up to the first syntax error this
// sees strings just as the parser does.
static size_t find_too_deep(const char *bytes, size_t size) {
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        char c = bytes[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > MAX_DEPTH) return i;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return size;
}

wn_status wn__json_parse(const char *bytes, size_t size, const char *name, wn__json **out) {
    *out = NULL;
    if (size == 0) return wn__fail(WN_FORMAT, "%s: empty, expected JSON", name);
    size_t deep = find_too_deep(bytes, size);
    if (deep < size)
        return wn__fail(WN_FORMAT, "%s: byte %zu: nested deeper than %d levels", name, deep,
                        MAX_DEPTH);
    json_error_t error;
    json_t *j =
        json_loadb(bytes, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (j == NULL) {
        if (json_error_code(&error) == json_error_out_of_memory)
            return wn__fail(WN_NOMEM, "%s: out of memory", name);
        return wn__fail(WN_FORMAT, "%s: line %d column %d: %s", name, error.line, error.column,
                        error.text);
    }
    *out = wrap(j);
    return WN_OK;
}

wn_status wn__json_read(const char *path, size_t limit, wn__json **out) {
    *out = NULL;
    char *bytes;
    size_t size;
    WN_TRY(wn__file_read(path, limit, &bytes, &size));
    wn_status status = wn__json_parse(bytes, size, path, out);
    free(bytes);
    return status;
}

void wn__json_free(wn__json *j) {
    json_decref(raw(j));
}

wn__json_type wn__json_typeof(const wn__json *j) {
    if (j == NULL) return WN_JSON_NONE;
    switch (json_typeof(raw(j))) {
    case JSON_OBJECT:
        return WN_JSON_OBJECT;
    case JSON_ARRAY:
        return WN_JSON_ARRAY;
    case JSON_STRING:
        return WN_JSON_STRING;
    case JSON_INTEGER:
        return WN_JSON_INT;
    case JSON_REAL:
        return WN_JSON_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return WN_JSON_BOOL;
    case JSON_NULL:
        return WN_JSON_NULL;
    }
    return WN_JSON_NONE;
}

const char *wn__json_typename(const wn__json *j) {
    switch (wn__json_typeof(j)) {
    case WN_JSON_NONE:
        return "missing";
    case WN_JSON_NULL:
        return "null";
    case WN_JSON_BOOL:
        return "a boolean";
    case WN_JSON_INT:
        return "an integer";
    case WN_JSON_REAL:
        return "a real number";
    case WN_JSON_STRING:
        return "a string";
    case WN_JSON_ARRAY:
        return "an array";
    case WN_JSON_OBJECT:
        return "an object";
    }
    return "?";
}

wn__json *wn__json_get(const wn__json *object, const char *key) {
    return wrap(json_object_get(raw(object), key));
}

size_t wn__json_count(const wn__json *j) {
    return wn__json_typeof(j) == WN_JSON_OBJECT ? json_object_size(raw(j))
                                                : json_array_size(raw(j));
}

wn__json *wn__json_at(const wn__json *array, size_t i) {
    return wrap(json_array_get(raw(array), i));
}

bool wn__json_next(const wn__json *object, void **iter, const char **key, size_t *key_size,
                   wn__json **value) {
    json_t *o = raw(object);
    if (!json_is_object(o)) return false;
    *iter = *iter == NULL ? json_object_iter(o) : json_object_iter_next(o, *iter);
    if (*iter == NULL) return false;
    if (key != NULL) *key = json_object_iter_key(*iter);
    if (key_size != NULL) *key_size = json_object_iter_key_len(*iter);
    if (value != NULL) *value = wrap(json_object_iter_value(*iter));
    return true;
}

const char *wn__json_string(const wn__json *j, size_t *size) {
    if (size != NULL) *size = json_string_length(raw(j));
    return json_string_value(raw(j));
}

int64_t wn__json_int(const wn__json *j) {
    return json_integer_value(raw(j));
}

double wn__json_real(const wn__json *j) {
    return json_number_value(raw(j));
}

bool wn__json_bool(const wn__json *j) {
    return json_is_true(raw(j));
}

// Finds a member. *out NULL with WN_OK: absent (or null), and `optional`.
static wn_status find_member(const wn__json *o, const char *name, const char *key, bool optional,
                             wn__json **out) {
    *out = NULL;
    wn__json_type type = wn__json_typeof(o);
    if (type > WN_JSON_NULL && type != WN_JSON_OBJECT)
        return wn__fail(WN_FORMAT, "%s: '%s': expected in an object, found %s", name, key,
                        wn__json_typename(o));
    wn__json *member = wn__json_get(o, key);
    if (wn__json_typeof(member) > WN_JSON_NULL) {
        *out = member;
        return WN_OK;
    }
    if (optional) return WN_OK;
    return wn__fail(WN_FORMAT, "%s: '%s': %s", name, key, member == NULL ? "missing" : "is null");
}

static wn_status wrong_type(const char *name, const char *key, const char *expected,
                            const wn__json *found) {
    return wn__fail(WN_FORMAT, "%s: '%s': expected %s, found %s", name, key, expected,
                    wn__json_typename(found));
}

wn_status wn__json_get_int(const wn__json *o, const char *name, const char *key,
                           const int64_t *fallback, int64_t *out) {
    wn__json *j;
    *out = fallback != NULL ? *fallback : 0;
    WN_TRY(find_member(o, name, key, fallback != NULL, &j));
    if (j == NULL) return WN_OK;
    if (wn__json_typeof(j) != WN_JSON_INT) return wrong_type(name, key, "an integer", j);
    *out = wn__json_int(j);
    return WN_OK;
}

wn_status wn__json_get_real(const wn__json *o, const char *name, const char *key,
                            const double *fallback, double *out) {
    wn__json *j;
    *out = fallback != NULL ? *fallback : 0;
    WN_TRY(find_member(o, name, key, fallback != NULL, &j));
    if (j == NULL) return WN_OK;
    wn__json_type type = wn__json_typeof(j);
    if (type != WN_JSON_INT && type != WN_JSON_REAL) return wrong_type(name, key, "a number", j);
    *out = wn__json_real(j);
    return WN_OK;
}

wn_status wn__json_get_bool(const wn__json *o, const char *name, const char *key,
                            const bool *fallback, bool *out) {
    wn__json *j;
    *out = fallback != NULL && *fallback;
    WN_TRY(find_member(o, name, key, fallback != NULL, &j));
    if (j == NULL) return WN_OK;
    if (wn__json_typeof(j) != WN_JSON_BOOL) return wrong_type(name, key, "a boolean", j);
    *out = wn__json_bool(j);
    return WN_OK;
}

wn_status wn__json_get_string(const wn__json *o, const char *name, const char *key,
                              const char *const *fallback, const char **out) {
    wn__json *j;
    *out = fallback != NULL ? *fallback : NULL;
    WN_TRY(find_member(o, name, key, fallback != NULL, &j));
    if (j == NULL) return WN_OK;
    if (wn__json_typeof(j) != WN_JSON_STRING) return wrong_type(name, key, "a string", j);
    size_t size;
    const char *text = wn__json_string(j, &size);
    if (strlen(text) != size)
        return wn__fail(WN_FORMAT, "%s: '%s': expected text, found a NUL byte in it", name, key);
    *out = text;
    return WN_OK;
}

wn__json *wn__json_new_object(void) {
    return wrap(json_object());
}
wn__json *wn__json_new_array(void) {
    return wrap(json_array());
}
wn__json *wn__json_new_string(const char *s) {
    return wrap(json_string(s));
}
wn__json *wn__json_new_stringn(const char *s, size_t n) {
    return wrap(json_stringn(s, n));
}
wn__json *wn__json_new_int(int64_t v) {
    return wrap(json_integer(v));
}
wn__json *wn__json_new_real(double v) {
    return wrap(isfinite(v) ? json_real(v) : json_null());
}
wn__json *wn__json_new_bool(bool v) {
    return wrap(json_boolean(v));
}
wn__json *wn__json_new_null(void) {
    return wrap(json_null());
}
wn__json *wn__json_ref(wn__json *j) {
    return wrap(json_incref(raw(j)));
}

wn_status wn__json_set(wn__json *object, const char *key, wn__json *value) {
    if (json_object_set_new(raw(object), key, raw(value)) == 0) return WN_OK;
    return wn__fail(WN_NOMEM, "JSON member '%s': out of memory, or text that is not UTF-8", key);
}

wn_status wn__json_append(wn__json *array, wn__json *value) {
    if (json_array_append_new(raw(array), raw(value)) == 0) return WN_OK;
    return wn__fail(WN_NOMEM, "JSON element: out of memory, or text that is not UTF-8");
}

wn_status wn__json_dump(const wn__json *j, int indent, char **out) {
    size_t layout = indent > 0 ? (size_t)JSON_INDENT(indent < 31 ? indent : 31) : JSON_COMPACT;
    *out =
        j != NULL ? json_dumps(raw(j), layout | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17)) : NULL;
    return *out != NULL ? WN_OK : wn__fail(WN_NOMEM, "JSON text: out of memory");
}
