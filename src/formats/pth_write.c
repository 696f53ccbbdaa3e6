// SPDX-License-Identifier: MIT
// Writing files of torch.save: the pickle grows in memory, tensors follow in entries of their own.
#include "base/fail.h"
#include "formats/pth.h"
#include "tensor/tensor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEPTH = 32,
    ALIGN = 64,  // of an entry's data: what readers that map the file like
    LOCAL = 30,  // bytes of a local header without its name
    PREFIX = 48, // most bytes of an entry's name
};

typedef struct buffer {
    uint8_t *bytes;
    size_t size, room;
} buffer;

typedef struct record {
    char name[PREFIX];
    uint32_t crc, size, local;
} record;

struct wn__pth_writer {
    char *path;
    wn_status status; // of the first thing that went wrong
    char why[256];
    buffer program;
    wn_tensor *tensor;
    size_t tensors, tensor_room;
    wn__pickle_type open[DEPTH];
    size_t items[DEPTH]; // in what is open; items[0] counts the values of the file
    int depth;
};

static void complain(wn__pth_writer *w, wn_status status, const char *why) {
    if (w->status != WN_OK) return;
    w->status = status;
    (void)snprintf(w->why, sizeof w->why, "%s", why);
}

static bool reserve(buffer *b, size_t n) {
    if (b->room - b->size >= n) return true;
    size_t room = b->room < 256 ? 256 : b->room;
    while (room - b->size < n)
        room *= 2;
    uint8_t *grown = realloc(b->bytes, room);
    if (grown == NULL) return false;
    b->bytes = grown;
    b->room = room;
    return true;
}

static void emit(wn__pth_writer *w, const void *bytes, size_t n) {
    if (!reserve(&w->program, n)) {
        complain(w, WN_NOMEM, "out of memory");
        return;
    }
    memcpy(w->program.bytes + w->program.size, bytes, n);
    w->program.size += n;
}

static void emit_op(wn__pth_writer *w, uint8_t op) {
    emit(w, &op, 1);
}

static void emit_program(wn__pth_writer *w, const char *text) {
    emit(w, text, strlen(text));
}

// An opcode and a number of n bytes behind it.
static void emit_number(wn__pth_writer *w, uint8_t op, uint64_t v, size_t n) {
    uint8_t bytes[9] = {op};
    for (size_t i = 0; i < n; i++)
        bytes[i + 1] = (uint8_t)(v >> 8 * i);
    emit(w, bytes, n + 1);
}

static void emit_int(wn__pth_writer *w, int64_t v) {
    if (v >= 0 && v < 256) {
        emit_number(w, 'K', (uint64_t)v, 1);
    } else if (v >= INT32_MIN && v <= INT32_MAX) {
        emit_number(w, 'J', (uint64_t)v, 4);
    } else {
        emit(w, "\x8a\x08", 2);
        for (int i = 0; i < 8; i++)
            emit_op(w, (uint8_t)((uint64_t)v >> 8 * i));
    }
}

static void emit_text(wn__pth_writer *w, const char *text) {
    emit_number(w, 'X', strlen(text), 4);
    emit(w, text, strlen(text));
}

static void emit_sizes(wn__pth_writer *w, const int64_t *v, int n) {
    emit_op(w, '(');
    for (int i = 0; i < n; i++)
        emit_int(w, v[i]);
    emit_op(w, 't');
}

// Counts a value that is put, and refuses keys that are none.
static void count(wn__pth_writer *w, wn__pickle_type type) {
    size_t n = w->items[w->depth]++;
    if (w->depth == 0 && n > 0) complain(w, WN_INVALID, "two values at the top of a file");
    bool key = w->depth > 0 && w->open[w->depth - 1] == WN__PICKLE_DICT && n % 2 == 0;
    if (key && type != WN__PICKLE_STRING && type != WN__PICKLE_INT)
        complain(w, WN_INVALID, "a key that is neither a string nor an integer");
}

void wn__pth_put_none(wn__pth_writer *w) {
    count(w, WN__PICKLE_NONE);
    emit_op(w, 'N');
}

void wn__pth_put_bool(wn__pth_writer *w, bool v) {
    count(w, WN__PICKLE_BOOL);
    emit_op(w, v ? 0x88 : 0x89);
}

void wn__pth_put_int(wn__pth_writer *w, int64_t v) {
    count(w, WN__PICKLE_INT);
    emit_int(w, v);
}

void wn__pth_put_real(wn__pth_writer *w, double v) {
    uint64_t bits;
    count(w, WN__PICKLE_REAL);
    memcpy(&bits, &v, sizeof bits);
    emit_number(w, 'G', __builtin_bswap64(bits), 8);
}

void wn__pth_put_text(wn__pth_writer *w, const char *v) {
    count(w, WN__PICKLE_STRING);
    emit_text(w, v);
}

// A class of storages; of the dtypes that have none, bytes and the name of the dtype.
static const struct {
    wn_dtype dtype;
    const char *storage, *element;
} classes[] = {
    {WN_DTYPE_F64, "DoubleStorage", NULL},    {WN_DTYPE_F32, "FloatStorage", NULL},
    {WN_DTYPE_BF16, "BFloat16Storage", NULL}, {WN_DTYPE_F16, "HalfStorage", NULL},
    {WN_DTYPE_I64, "LongStorage", NULL},      {WN_DTYPE_I32, "IntStorage", NULL},
    {WN_DTYPE_I16, "ShortStorage", NULL},     {WN_DTYPE_I8, "CharStorage", NULL},
    {WN_DTYPE_U8, "ByteStorage", NULL},       {WN_DTYPE_BOOL, "BoolStorage", NULL},
    {WN_DTYPE_U16, NULL, "uint16"},           {WN_DTYPE_U32, NULL, "uint32"},
    {WN_DTYPE_U64, NULL, "uint64"},           {WN_DTYPE_F8_E4M3, NULL, "float8_e4m3fn"},
    {WN_DTYPE_F8_E5M2, NULL, "float8_e5m2"},
};

static int class_of(wn_dtype dtype) {
    for (int i = 0; i < (int)(sizeof classes / sizeof *classes); i++)
        if (classes[i].dtype == dtype) return i;
    return -1;
}

static bool keep_tensor(wn__pth_writer *w, const wn_tensor *t) {
    if (w->tensors == w->tensor_room) {
        size_t room = w->tensor_room < 8 ? 8 : 2 * w->tensor_room;
        wn_tensor *grown = realloc(w->tensor, room * sizeof *grown);
        if (grown == NULL) return false;
        w->tensor = grown;
        w->tensor_room = room;
    }
    w->tensor[w->tensors++] = *t;
    return true;
}

void wn__pth_put_tensor(wn__pth_writer *w, const wn_tensor *t) {
    int row = class_of(t->dtype);
    count(w, WN__PICKLE_TENSOR);
    if (row < 0) {
        complain(w, WN_INVALID, "torch has no such dtype");
        return;
    }
    if (!keep_tensor(w, t)) {
        complain(w, WN_NOMEM, "out of memory");
        return;
    }
    const char *storage = classes[row].storage, *element = classes[row].element;
    wn_tensor packed = wn__tensor(NULL, t->dtype, t->ndim, t->shape);
    char text[64];
    emit_program(w, element == NULL ? "ctorch._utils\n_rebuild_tensor_v2\n(("
                                    : "ctorch._utils\n_rebuild_tensor_v3\n((");
    emit_text(w, "storage");
    if (element == NULL)
        emit(w, text, (size_t)snprintf(text, sizeof text, "ctorch\n%s\n", storage));
    else
        emit_program(w, "ctorch.storage\nUntypedStorage\n");
    (void)snprintf(text, sizeof text, "%zu", w->tensors - 1);
    emit_text(w, text);
    emit_text(w, "cpu");
    emit_int(w, element == NULL ? wn__tensor_count(t) : (int64_t)wn__tensor_bytes(t));
    emit(w, "tQK\0", 4);
    emit_sizes(w, packed.shape, packed.ndim);
    emit_sizes(w, packed.stride, packed.ndim);
    emit_op(w, 0x89);
    emit_program(w, "ccollections\nOrderedDict\n)R");
    if (element != NULL)
        emit(w, text, (size_t)snprintf(text, sizeof text, "ctorch\n%s\n", element));
    emit_program(w, "tR");
}

static void open_value(wn__pth_writer *w, wn__pickle_type type, const char *program) {
    if (w->depth == DEPTH - 1) {
        complain(w, WN_INVALID, "values that nest deeper than 30");
        return;
    }
    emit_program(w, program);
    w->open[w->depth++] = type;
    w->items[w->depth] = 0;
}

static void begin(wn__pth_writer *w, wn__pickle_type type, const char *program) {
    count(w, type);
    open_value(w, type, program);
}

void wn__pth_begin(wn__pth_writer *w, wn__pickle_type type) {
    begin(w, type, type == WN__PICKLE_DICT ? "}(" : type == WN__PICKLE_LIST ? "](" : "(");
}

void wn__pth_begin_ordered(wn__pth_writer *w) {
    begin(w, WN__PICKLE_DICT, "ccollections\nOrderedDict\n)R(");
}

// The state of an object is a dictionary of its attributes.
void wn__pth_begin_metadata(wn__pth_writer *w) {
    emit_program(w, "}(");
    emit_text(w, "_metadata");
    open_value(w, WN__PICKLE_DICT, "ccollections\nOrderedDict\n)R(");
}

void wn__pth_end_metadata(wn__pth_writer *w) {
    wn__pth_end(w);
    emit_program(w, "ub");
}

void wn__pth_end(wn__pth_writer *w) {
    if (w->depth == 0) {
        complain(w, WN_INVALID, "an end without a begin");
        return;
    }
    wn__pickle_type type = w->open[w->depth - 1];
    if (type == WN__PICKLE_DICT && w->items[w->depth] % 2 != 0)
        complain(w, WN_INVALID, "a key without a value");
    w->depth--;
    emit_op(w, type == WN__PICKLE_DICT ? 'u' : type == WN__PICKLE_LIST ? 'e' : 't');
}

wn_status wn__pth_create(const char *path, wn__pth_writer **out) {
    *out = NULL;
    wn__pth_writer *w = calloc(1, sizeof *w);
    if (w != NULL) w->path = strdup(path);
    if (w == NULL || w->path == NULL) {
        free(w);
        return wn__fail(WN_NOMEM, "%s: out of memory", path);
    }
    emit(w, "\x80\x02", 2);
    *out = w;
    return WN_OK;
}

void wn__pth_abort(wn__pth_writer *w) {
    if (w == NULL) return;
    free(w->path);
    free(w->program.bytes);
    free(w->tensor);
    free(w);
}

// ---- the archive

static void put16(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, uint32_t v) {
    put16(p, v);
    put16(p + 2, v >> 16);
}

// What local header and directory entry have in common, from "version needed" on.
static void put_common(uint8_t *p, const record *r, uint32_t extra) {
    put16(p, 20);
    put16(p + 8, 0x21); // 1 January 1980: equal content gives equal files
    put32(p + 10, r->crc);
    put32(p + 14, r->size);
    put32(p + 18, r->size);
    put16(p + 22, (uint32_t)strlen(r->name));
    put16(p + 24, extra);
}

static wn_status write_record(wn__writer *file, record *r, const char *name, const void *bytes,
                              size_t size) {
    uint64_t at = wn__writer_bytes(file);
    if (size > UINT32_MAX || at + size > UINT32_MAX - 65536)
        return wn__fail(WN_UNSUPPORTED, "more than 4 GiB; safetensors files may be larger");
    (void)snprintf(r->name, sizeof r->name, "archive/%s", name);
    r->local = (uint32_t)at;
    r->size = (uint32_t)size;
    r->crc = wn__crc32(0, bytes, size);
    // An extra field fills up to the next multiple of ALIGN: "FB" and its length are 4 bytes.
    uint8_t head[LOCAL + PREFIX + 4 + ALIGN] = "PK\3\4";
    size_t length = LOCAL + strlen(r->name) + 4;
    size_t fill = (ALIGN - (at + length) % ALIGN) % ALIGN;
    put_common(head + 4, r, (uint32_t)(4 + fill));
    memcpy(head + LOCAL, r->name, strlen(r->name));
    put16(head + length - 4, 0x4246);
    put16(head + length - 2, (uint32_t)fill);
    memset(head + length, 'Z', fill);
    WN_TRY(wn__writer_write(file, head, length + fill));
    return wn__writer_write(file, bytes, size);
}

static wn_status write_tensor(wn__writer *file, record *r, const char *name, const wn_tensor *t) {
    if (wn__tensor_packed(t)) return write_record(file, r, name, t->data, wn__tensor_bytes(t));
    size_t bytes = wn__tensor_bytes(t);
    void *packed = malloc(bytes > 0 ? bytes : 1);
    if (packed == NULL) return wn__fail(WN_NOMEM, "out of memory for %zu bytes", bytes);
    wn__pth_copy(t, packed);
    wn_status status = write_record(file, r, name, packed, bytes);
    free(packed);
    return status;
}

static wn_status write_directory(wn__writer *file, const record *r, size_t n) {
    uint64_t begin = wn__writer_bytes(file);
    for (size_t i = 0; i < n; i++) {
        uint8_t entry[46] = "PK\1\2";
        put16(entry + 4, 20);
        put_common(entry + 6, &r[i], 0);
        put32(entry + 42, r[i].local);
        WN_TRY(wn__writer_write(file, entry, sizeof entry));
        WN_TRY(wn__writer_write(file, r[i].name, strlen(r[i].name)));
    }
    if (n > 65534 || wn__writer_bytes(file) > UINT32_MAX)
        return wn__fail(WN_UNSUPPORTED, "%zu tensors, at most 65530", n);
    uint8_t end[22] = "PK\5\6";
    put16(end + 8, (uint32_t)n);
    put16(end + 10, (uint32_t)n);
    put32(end + 12, (uint32_t)(wn__writer_bytes(file) - begin));
    put32(end + 16, (uint32_t)begin);
    return wn__writer_write(file, end, sizeof end);
}

static wn_status write_all(const wn__pth_writer *w, wn__writer *file, record *r) {
    size_t n = 0;
    WN_TRY(write_record(file, &r[n++], "data.pkl", w->program.bytes, w->program.size));
    WN_TRY(write_record(file, &r[n++], "byteorder", "little", 6));
    for (size_t i = 0; i < w->tensors; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "data/%zu", i);
        WN_TRY(write_tensor(file, &r[n++], name, &w->tensor[i]));
    }
    WN_TRY(write_record(file, &r[n++], "version", "3\n", 2));
    return write_directory(file, r, n);
}

wn_status wn__pth_commit(wn__pth_writer *w) {
    wn__writer *file = NULL;
    wn_status status = WN_OK;
    record *r = calloc(w->tensors + 3, sizeof *r);
    emit_op(w, '.');
    if (w->depth != 0 || w->items[0] == 0) complain(w, WN_INVALID, "an unfinished value, or none");
    if (r == NULL) complain(w, WN_NOMEM, "out of memory");
    if (w->status != WN_OK) {
        status = wn__fail(w->status, "%s: %s", w->path, w->why);
        goto out;
    }
    WN_TRY_OUT(wn__writer_open(w->path, &file));
    status = write_all(w, file, r);
    if (status != WN_OK) { // what the file itself refuses is said with its path
        if (status != WN_IO) status = wn__fail_in(status, "%s", w->path);
        goto out;
    }
    status = wn__writer_commit(file);
    file = NULL;
out:
    wn__writer_abort(file);
    free(r);
    wn__pth_abort(w);
    return status;
}
