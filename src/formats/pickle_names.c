// SPDX-License-Identifier: MIT
// The names that pickles of weights may use, all of them, and what calling one gives: a number, a
// shape, a view. Nothing is looked up anywhere else.
#include "formats/pickle_impl.h"
#include "tensor/tensor.h"

#include <stdlib.h>
#include <string.h>

typedef enum kind {
    DICTIONARY,
    REBUILD,   // (storage, offset, size, stride)
    REBUILD_2, // + (requires_grad, hooks[, metadata])
    REBUILD_3, // + (dtype[, metadata]), of bytes
    PARAMETER, // (tensor, requires_grad, hooks)
    STORAGE,   // a class of storages of one dtype; NONE: bytes
    SIZE,      // (tuple)
    DEVICE,    // (text[, number])
    ELEMENT    // a dtype
} kind;

static const struct {
    const char *module, *name;
    kind kind;
    wn_dtype dtype;
} names[] = {
    {"collections", "OrderedDict", DICTIONARY, WN_DTYPE_NONE},
    {"torch._utils", "_rebuild_tensor", REBUILD, WN_DTYPE_NONE},
    {"torch._utils", "_rebuild_tensor_v2", REBUILD_2, WN_DTYPE_NONE},
    {"torch._utils", "_rebuild_tensor_v3", REBUILD_3, WN_DTYPE_NONE},
    {"torch._utils", "_rebuild_parameter", PARAMETER, WN_DTYPE_NONE},
    {"torch", "DoubleStorage", STORAGE, WN_DTYPE_F64},
    {"torch", "FloatStorage", STORAGE, WN_DTYPE_F32},
    {"torch", "BFloat16Storage", STORAGE, WN_DTYPE_BF16},
    {"torch", "HalfStorage", STORAGE, WN_DTYPE_F16},
    {"torch", "LongStorage", STORAGE, WN_DTYPE_I64},
    {"torch", "IntStorage", STORAGE, WN_DTYPE_I32},
    {"torch", "ShortStorage", STORAGE, WN_DTYPE_I16},
    {"torch", "CharStorage", STORAGE, WN_DTYPE_I8},
    {"torch", "ByteStorage", STORAGE, WN_DTYPE_U8},
    {"torch", "BoolStorage", STORAGE, WN_DTYPE_BOOL},
    {"torch.storage", "UntypedStorage", STORAGE, WN_DTYPE_NONE},
    {"torch", "Size", SIZE, WN_DTYPE_NONE},
    {"torch", "device", DEVICE, WN_DTYPE_NONE},
    {"torch", "float64", ELEMENT, WN_DTYPE_F64},
    {"torch", "float32", ELEMENT, WN_DTYPE_F32},
    {"torch", "bfloat16", ELEMENT, WN_DTYPE_BF16},
    {"torch", "float16", ELEMENT, WN_DTYPE_F16},
    {"torch", "int64", ELEMENT, WN_DTYPE_I64},
    {"torch", "int32", ELEMENT, WN_DTYPE_I32},
    {"torch", "int16", ELEMENT, WN_DTYPE_I16},
    {"torch", "int8", ELEMENT, WN_DTYPE_I8},
    {"torch", "uint8", ELEMENT, WN_DTYPE_U8},
    {"torch", "bool", ELEMENT, WN_DTYPE_BOOL},
    {"torch", "uint16", ELEMENT, WN_DTYPE_U16},
    {"torch", "uint32", ELEMENT, WN_DTYPE_U32},
    {"torch", "uint64", ELEMENT, WN_DTYPE_U64},
    {"torch", "float8_e4m3fn", ELEMENT, WN_DTYPE_F8_E4M3},
    {"torch", "float8_e5m2", ELEMENT, WN_DTYPE_F8_E5M2},
};
enum { NAMES = sizeof names / sizeof *names, SHOWN = 64, STORAGES_MOST = 1 << 16 };

static bool is(const char *text, size_t n, const char *word) {
    return strlen(word) == n && memcmp(text, word, n) == 0;
}

static bool begins(const char *text, size_t n, const char *word) {
    return n >= strlen(word) && memcmp(text, word, strlen(word)) == 0;
}

// What the author of a file with this name in it can do.
static const char *advice(const char *module, size_t n) {
    if (begins(module, n, "torch.nn.modules"))
        return ": a pickled module; save its state_dict() instead";
    if (begins(module, n, "numpy")) return ": save tensors, not arrays";
    if (begins(module, n, "torch")) return ": only plain dense tensors are read";
    return ", which is not on the list of what weights need; nothing was called";
}

wn_status wn__pickle_global(wn__pickle_heap *h, const char *module, size_t module_size,
                            const char *name, size_t name_size, wn__pickle_value **out) {
    for (int i = 0; i < NAMES; i++)
        if (is(module, module_size, names[i].module) && is(name, name_size, names[i].name)) {
            WN_TRY(wn__pickle_new(h, WN__PICKLE_GLOBAL, out));
            (*out)->global = i;
            return WN_OK;
        }
    return wn__fail(
        WN_UNSUPPORTED, "the name '%.*s.%.*s'%s", (int)(module_size < SHOWN ? module_size : SHOWN),
        module, (int)(name_size < SHOWN ? name_size : SHOWN), name, advice(module, module_size));
}

static bool is_kind(const wn__pickle_value *v, kind k) {
    return v != NULL && v->type == WN__PICKLE_GLOBAL && names[v->global].kind == k;
}

// Argument i of a call, of that type.
static wn_status argument(const wn__pickle_value *arguments, size_t i, wn__pickle_type type,
                          const wn__pickle_value **out) {
    *out = wn__pickle_at(arguments, i);
    if (*out != NULL && (*out)->type == type) return WN_OK;
    const wn__pickle_value want = {.type = type};
    return wn__fail(WN_FORMAT, "argument %zu is %s, not %s", i, wn__pickle_typename(*out),
                    wn__pickle_typename(&want));
}

// Sizes or strides: a tuple of integers from 0 on.
static wn_status read_sizes(const wn__pickle_value *arguments, size_t i, int64_t *out, size_t *n) {
    const wn__pickle_value *v;
    WN_TRY(argument(arguments, i, WN__PICKLE_TUPLE, &v));
    *n = wn__pickle_count(v);
    if (*n > WN_MAX_DIMS)
        return wn__fail(WN_UNSUPPORTED, "a tensor of %zu dimensions, at most %d", *n, WN_MAX_DIMS);
    for (size_t d = 0; d < *n; d++) {
        const wn__pickle_value *item;
        WN_TRY(argument(v, d, WN__PICKLE_INT, &item));
        if (item->integer < 0)
            return wn__fail(WN_UNSUPPORTED, "a size or stride of %lld", (long long)item->integer);
        out[d] = item->integer;
    }
    return WN_OK;
}

// Whether every element lies inside a storage of `count`.
static bool inside(const wn_tensor *t, int64_t offset, int64_t count) {
    int64_t last = offset, step;
    for (int d = 0; d < t->ndim; d++)
        if (t->shape[d] == 0) return offset <= count;
    for (int d = 0; d < t->ndim; d++)
        if (__builtin_mul_overflow(t->shape[d] - 1, t->stride[d], &step) ||
            __builtin_add_overflow(last, step, &last))
            return false;
    return last < count;
}

static wn_status fill_tensor(const wn__pickle_heap *h, const wn__pickle_value *arguments, kind k,
                             wn__pickle_tensor *t) {
    const wn__pickle_value *storage, *offset;
    size_t sizes = 0, strides = 0, bytes;
    WN_TRY(argument(arguments, 0, WN__PICKLE_STORAGE, &storage));
    WN_TRY(argument(arguments, 1, WN__PICKLE_INT, &offset));
    WN_TRY(read_sizes(arguments, 2, t->view.shape, &sizes));
    WN_TRY(read_sizes(arguments, 3, t->view.stride, &strides));
    if (sizes != strides || offset->integer < 0)
        return wn__fail(WN_FORMAT, "a tensor of %zu sizes, %zu strides and the offset %lld", sizes,
                        strides, (long long)offset->integer);
    const wn__pickle_storage *s = &h->storage[storage->number];
    int64_t count = s->count;
    t->view.ndim = (int32_t)sizes;
    t->view.dtype = s->dtype;
    t->storage = storage->number;
    t->offset = offset->integer;
    if (k == REBUILD_3) {
        const wn__pickle_value *dtype = wn__pickle_at(arguments, 6);
        if (!is_kind(dtype, ELEMENT))
            return wn__fail(WN_FORMAT, "argument 6 is %s, not a dtype", wn__pickle_typename(dtype));
        t->view.dtype = names[dtype->global].dtype;
        if (s->dtype == WN_DTYPE_NONE) count /= (int64_t)wn_dtype_size(t->view.dtype);
    }
    if (t->view.dtype == WN_DTYPE_NONE || (s->dtype != WN_DTYPE_NONE && t->view.dtype != s->dtype))
        return wn__fail(WN_FORMAT, "a tensor of another dtype than its storage's");
    if (!wn__shape_bytes(t->view.dtype, t->view.ndim, t->view.shape, &bytes) ||
        !inside(&t->view, t->offset, count))
        return wn__fail(WN_FORMAT, "a tensor reaches beyond its storage of %lld elements",
                        (long long)count);
    const wn__pickle_value *grad = wn__pickle_at(arguments, 4);
    t->requires_grad = grad != NULL && grad->type == WN__PICKLE_BOOL && grad->truth;
    return WN_OK;
}

static wn_status new_tensor(wn__pickle_heap *h, const wn__pickle_tensor *t,
                            wn__pickle_value **out) {
    void *tensors = h->tensor;
    WN_TRY(wn__pickle_grow(&tensors, h->tensors, &h->tensor_room, sizeof *t));
    h->tensor = tensors;
    h->tensor[h->tensors] = *t;
    WN_TRY(wn__pickle_new(h, WN__PICKLE_TENSOR, out));
    (*out)->number = h->tensors++;
    return WN_OK;
}

static wn_status check_count(const wn__pickle_value *arguments, size_t least, size_t most) {
    size_t n = wn__pickle_count(arguments);
    if (n >= least && n <= most) return WN_OK;
    return wn__fail(WN_FORMAT, "%zu arguments, %zu to %zu expected", n, least, most);
}

static wn_status rebuild(wn__pickle_heap *h, const wn__pickle_value *arguments, kind k,
                         wn__pickle_value **out) {
    static const size_t least[] = {[REBUILD] = 4, [REBUILD_2] = 6, [REBUILD_3] = 7};
    static const size_t most[] = {[REBUILD] = 4, [REBUILD_2] = 7, [REBUILD_3] = 8};
    wn__pickle_tensor t = {.parameter = false};
    WN_TRY(check_count(arguments, least[k], most[k]));
    WN_TRY(fill_tensor(h, arguments, k, &t));
    const wn__pickle_value *metadata = wn__pickle_at(arguments, most[k] - 1);
    if (k != REBUILD && metadata != NULL && wn__pickle_count(metadata) > 0)
        return wn__fail(WN_UNSUPPORTED, "a tensor with metadata (conjugate or negated views)");
    return new_tensor(h, &t, out);
}

static wn_status parameter(wn__pickle_heap *h, const wn__pickle_value *arguments,
                           wn__pickle_value **out) {
    const wn__pickle_value *tensor, *grad;
    WN_TRY(check_count(arguments, 3, 3));
    WN_TRY(argument(arguments, 0, WN__PICKLE_TENSOR, &tensor));
    WN_TRY(argument(arguments, 1, WN__PICKLE_BOOL, &grad));
    wn__pickle_tensor t = h->tensor[tensor->number];
    t.parameter = true;
    t.requires_grad = grad->truth;
    return new_tensor(h, &t, out);
}

// torch.Size is its tuple, torch.device its text.
static wn_status simple(const wn__pickle_value *arguments, kind k, wn__pickle_value **out) {
    const wn__pickle_value *v;
    WN_TRY(check_count(arguments, 1, k == DEVICE ? 2 : 1));
    WN_TRY(argument(arguments, 0, k == DEVICE ? WN__PICKLE_STRING : WN__PICKLE_TUPLE, &v));
    *out = wn__pickle_at(arguments, 0);
    return WN_OK;
}

wn_status wn__pickle_reduce(wn__pickle_heap *h, const wn__pickle_value *callee,
                            const wn__pickle_value *arguments, wn__pickle_value **out) {
    if (callee->type != WN__PICKLE_GLOBAL || arguments->type != WN__PICKLE_TUPLE)
        return wn__fail(WN_FORMAT, "a call of %s with %s", wn__pickle_typename(callee),
                        wn__pickle_typename(arguments));
    kind k = names[callee->global].kind;
    switch (k) {
    case DICTIONARY:
        WN_TRY(check_count(arguments, 0, 0));
        WN_TRY(wn__pickle_new(h, WN__PICKLE_DICT, out));
        (*out)->ordered = true;
        return WN_OK;
    case REBUILD:
    case REBUILD_2:
    case REBUILD_3:
        return rebuild(h, arguments, k, out);
    case PARAMETER:
        return parameter(h, arguments, out);
    case SIZE:
    case DEVICE:
        return simple(arguments, k, out);
    default:
        return wn__fail(WN_UNSUPPORTED, "a call of %s.%s", names[callee->global].module,
                        names[callee->global].name);
    }
}

wn_status wn__pickle_build(wn__pickle_value *object, const wn__pickle_value *state) {
    if (object->type != WN__PICKLE_DICT || !object->ordered || state->type != WN__PICKLE_DICT)
        return wn__fail(WN_UNSUPPORTED, "a state for %s, only an OrderedDict may have one",
                        wn__pickle_typename(object));
    for (size_t i = 0; i < state->list.count; i += 2)
        if (!wn__pickle_is(state->list.item[i], "_metadata"))
            return wn__fail(WN_UNSUPPORTED, "a state of an OrderedDict other than its _metadata");
    wn__pickle_value *metadata = wn__pickle_get(state, "_metadata");
    if (metadata != NULL && metadata->type == WN__PICKLE_DICT) object->list.metadata = metadata;
    return WN_OK;
}

static uint64_t hash(const char *key, size_t n) {
    uint64_t x = 14695981039346656037U; // FNV-1a
    for (size_t i = 0; i < n; i++)
        x = (x ^ (uint8_t)key[i]) * 1099511628211U;
    return x ^ x >> 29;
}

// The slot where a key is, or belongs.
static size_t slot_of(const wn__pickle_heap *h, const char *key, size_t n) {
    size_t at = (size_t)hash(key, n) & (h->slots - 1);
    for (; h->slot[at] != 0; at = (at + 1) & (h->slots - 1)) {
        const wn__pickle_storage *s = &h->storage[h->slot[at] - 1];
        if (s->key_size == n && memcmp(s->key, key, n) == 0) break;
    }
    return at;
}

wn__pickle_storage *wn__pickle_find_storage(const wn__pickle_heap *h, const char *key, size_t n) {
    if (h->slots == 0) return NULL;
    uint32_t number = h->slot[slot_of(h, key, n)];
    return number > 0 ? &h->storage[number - 1] : NULL;
}

// Twice the slots, at least, of what one more storage needs.
static wn_status grow_slots(wn__pickle_heap *h) {
    if (2 * (h->storages + 1) <= h->slots) return WN_OK;
    size_t slots = h->slots == 0 ? 64 : 2 * h->slots;
    uint32_t *slot = calloc(slots, sizeof *slot);
    if (slot == NULL) return wn__fail(WN_NOMEM, "out of memory for %zu storages", slots);
    free(h->slot);
    h->slot = slot;
    h->slots = slots;
    for (size_t i = 0; i < h->storages; i++)
        h->slot[slot_of(h, h->storage[i].key, h->storage[i].key_size)] = (uint32_t)i + 1;
    return WN_OK;
}

static wn_status add_storage(wn__pickle_heap *h, const wn__pickle_storage *s, size_t *number) {
    const wn__pickle_storage *old = wn__pickle_find_storage(h, s->key, s->key_size);
    if (old != NULL) {
        *number = (size_t)(old - h->storage);
        if (old->dtype == s->dtype && old->count == s->count) return WN_OK;
        return wn__fail(WN_FORMAT, "storage '%.*s' has two types or sizes",
                        (int)(s->key_size < SHOWN ? s->key_size : SHOWN), s->key);
    }
    if (h->storages == STORAGES_MOST)
        return wn__fail(WN_UNSUPPORTED, "more than %d storages", (int)STORAGES_MOST);
    void *storages = h->storage;
    WN_TRY(wn__pickle_grow(&storages, h->storages, &h->storage_room, sizeof *s));
    h->storage = storages;
    WN_TRY(grow_slots(h));
    *number = h->storages;
    h->storage[h->storages] = *s;
    h->slot[slot_of(h, s->key, s->key_size)] = (uint32_t)++h->storages;
    return WN_OK;
}

wn_status wn__pickle_persistent(wn__pickle_heap *h, const wn__pickle_value *id,
                                wn__pickle_value **out) {
    const wn__pickle_value *key, *count, *type = wn__pickle_at(id, 1);
    size_t n = wn__pickle_count(id), bytes, number = 0;
    if (id->type != WN__PICKLE_TUPLE || n < 5 || n > 6 ||
        !wn__pickle_is(wn__pickle_at(id, 0), "storage"))
        return wn__fail(WN_FORMAT, "a persistent object that is no storage");
    if (!is_kind(type, STORAGE))
        return wn__fail(WN_UNSUPPORTED, "a storage whose class is %s", wn__pickle_typename(type));
    WN_TRY(argument(id, 2, WN__PICKLE_STRING, &key));
    WN_TRY(argument(id, 4, WN__PICKLE_INT, &count));
    if (n == 6 && wn__pickle_at(id, 5)->type != WN__PICKLE_NONE)
        return wn__fail(WN_UNSUPPORTED, "a storage that is a view of another one");
    wn__pickle_storage s = {.key = key->text.bytes,
                            .key_size = key->text.size,
                            .dtype = names[type->global].dtype,
                            .count = count->integer};
    wn_dtype element = s.dtype != WN_DTYPE_NONE ? s.dtype : WN_DTYPE_U8;
    if (!wn__shape_bytes(element, 1, &s.count, &bytes))
        return wn__fail(WN_FORMAT, "a storage of %lld elements", (long long)s.count);
    WN_TRY(add_storage(h, &s, &number));
    WN_TRY(wn__pickle_new(h, WN__PICKLE_STORAGE, out));
    (*out)->number = number;
    return WN_OK;
}
