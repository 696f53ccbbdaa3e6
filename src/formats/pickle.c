// SPDX-License-Identifier: MIT
// The pickle machine: opcodes onto a stack, marks, a memo. What a name stands for is not its
// business.
#include "base/utf8.h"
#include "formats/pickle_impl.h"

#include <stdlib.h>
#include <string.h>

typedef struct machine {
    const uint8_t *end, *at;
    wn__pickle_heap *h;
    bool wide_magic;
    wn__pickle_value **stack;
    size_t depth, room;
    size_t *mark;
    size_t marks, mark_room;
    wn__pickle_value **memo; // NULL: not set
    size_t memo_room, memo_count;
} machine;

// n bytes of the program.
static wn_status take(machine *m, size_t n, const uint8_t **out) {
    *out = m->at;
    if ((size_t)(m->end - m->at) < n)
        return wn__fail(WN_FORMAT, "the program ends in the middle of an operation");
    m->at += n;
    return WN_OK;
}

static wn_status take_number(machine *m, size_t bytes, uint64_t *out) {
    const uint8_t *p;
    WN_TRY(take(m, bytes, &p));
    *out = 0;
    for (size_t i = bytes; i-- > 0;)
        *out = *out << 8 | p[i];
    return WN_OK;
}

static wn_status push(machine *m, wn__pickle_value *v) {
    void *stack = m->stack;
    WN_TRY(wn__pickle_grow(&stack, m->depth, &m->room, sizeof v));
    m->stack = stack;
    m->stack[m->depth++] = v;
    return WN_OK;
}

static wn_status push_new(machine *m, wn__pickle_type type, wn__pickle_value **out) {
    WN_TRY(wn__pickle_new(m->h, type, out));
    return push(m, *out);
}

// Values above the last mark, which may be taken.
static size_t above(const machine *m) {
    return m->depth - (m->marks > 0 ? m->mark[m->marks - 1] : 0);
}

static wn_status need(const machine *m, size_t n) {
    if (above(m) >= n) return WN_OK;
    return wn__fail(WN_FORMAT, "%zu values needed, %zu on the stack", n, above(m));
}

static wn_status push_truth(machine *m, bool truth) {
    wn__pickle_value *v;
    WN_TRY(push_new(m, WN__PICKLE_BOOL, &v));
    v->truth = truth;
    return WN_OK;
}

static wn_status push_integer(machine *m, int64_t integer) {
    wn__pickle_value *v;
    WN_TRY(push_new(m, WN__PICKLE_INT, &v));
    v->integer = integer;
    return WN_OK;
}

static wn_status read_unsigned(machine *m, size_t bytes) {
    uint64_t n = 0;
    WN_TRY(take_number(m, bytes, &n));
    return push_integer(m, bytes == 4 ? (int32_t)(uint32_t)n : (int64_t)n);
}

// LONG1: two's complement of 0 to 255 bytes.
static wn_status read_long(machine *m) {
    uint64_t size = 0, n = 0;
    WN_TRY(take_number(m, 1, &size));
    if (size > 8) {
        const uint8_t *skipped;
        if (!m->wide_magic)
            return wn__fail(WN_UNSUPPORTED, "an integer of %llu bytes, at most 8",
                            (unsigned long long)size);
        WN_TRY(take(m, (size_t)size, &skipped));
        return push_integer(m, 0);
    }
    WN_TRY(take_number(m, (size_t)size, &n));
    if (size > 0 && size < 8 && n >> (8 * size - 1) != 0) n |= UINT64_MAX << (8 * size);
    int64_t value;
    memcpy(&value, &n, sizeof value);
    return push_integer(m, value);
}

// Big-endian, unlike everything else.
static wn_status read_real(machine *m) {
    const uint8_t *p;
    uint64_t bits = 0;
    wn__pickle_value *v;
    WN_TRY(take(m, 8, &p));
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | p[i];
    WN_TRY(push_new(m, WN__PICKLE_REAL, &v));
    memcpy(&v->real, &bits, sizeof bits);
    return WN_OK;
}

static wn_status read_text(machine *m, size_t length_bytes) {
    uint64_t n = 0;
    const uint8_t *p;
    wn__pickle_value *v;
    WN_TRY(take_number(m, length_bytes, &n));
    if (n > (uint64_t)(m->end - m->at))
        return wn__fail(WN_FORMAT, "a string of %llu bytes, %zu are left", (unsigned long long)n,
                        (size_t)(m->end - m->at));
    WN_TRY(take(m, (size_t)n, &p));
    if (wn__utf8_span((const char *)p, (size_t)n) != n)
        return wn__fail(WN_FORMAT, "a string that is not UTF-8");
    WN_TRY(push_new(m, WN__PICKLE_STRING, &v));
    v->text.bytes = (const char *)p;
    v->text.size = (size_t)n;
    return WN_OK;
}

// A line of a GLOBAL, without its end.
static wn_status take_line(machine *m, const char **out, size_t *n) {
    const uint8_t *end = memchr(m->at, '\n', (size_t)(m->end - m->at));
    *out = (const char *)m->at;
    *n = 0;
    if (end == NULL) return wn__fail(WN_FORMAT, "a name without an end");
    *n = (size_t)(end - m->at);
    m->at = end + 1;
    return WN_OK;
}

static wn_status read_global(machine *m) {
    const char *module, *name;
    size_t module_size, name_size;
    wn__pickle_value *v;
    WN_TRY(take_line(m, &module, &module_size));
    WN_TRY(take_line(m, &name, &name_size));
    WN_TRY(wn__pickle_global(m->h, module, module_size, name, name_size, &v));
    return push(m, v);
}

static wn_status stack_global(machine *m) {
    wn__pickle_value *v;
    WN_TRY(need(m, 2));
    const wn__pickle_value *module = m->stack[m->depth - 2], *name = m->stack[m->depth - 1];
    if (module->type != WN__PICKLE_STRING || name->type != WN__PICKLE_STRING)
        return wn__fail(WN_FORMAT, "a name made of %s and %s", wn__pickle_typename(module),
                        wn__pickle_typename(name));
    WN_TRY(wn__pickle_global(m->h, module->text.bytes, module->text.size, name->text.bytes,
                             name->text.size, &v));
    m->depth -= 2;
    return push(m, v);
}

static wn_status set_mark(machine *m) {
    void *marks = m->mark;
    WN_TRY(wn__pickle_grow(&marks, m->marks, &m->mark_room, sizeof *m->mark));
    m->mark = marks;
    m->mark[m->marks++] = m->depth;
    return WN_OK;
}

// Takes the last mark off; *first: the place of the first value above it.
static wn_status take_mark(machine *m, size_t *first) {
    *first = 0;
    if (m->marks == 0) return wn__fail(WN_FORMAT, "no mark on the stack");
    *first = m->mark[--m->marks];
    return WN_OK;
}

// The values from `first` on as a tuple in their place.
static wn_status make_tuple(machine *m, size_t first) {
    wn__pickle_value *v;
    WN_TRY(wn__pickle_new(m->h, WN__PICKLE_TUPLE, &v));
    for (size_t i = first; i < m->depth; i++)
        WN_TRY(wn__pickle_push(v, m->stack[i]));
    m->depth = first;
    return push(m, v);
}

static wn_status short_tuple(machine *m, size_t n) {
    WN_TRY(need(m, n));
    return make_tuple(m, m->depth - n);
}

static wn_status marked_tuple(machine *m) {
    size_t first;
    WN_TRY(take_mark(m, &first));
    return make_tuple(m, first);
}

static wn_status check_key(const wn__pickle_value *key) {
    if (key->type == WN__PICKLE_STRING || key->type == WN__PICKLE_INT) return WN_OK;
    return wn__fail(WN_UNSUPPORTED, "%s for a key, a string or an integer expected",
                    wn__pickle_typename(key));
}

// Appends the values from `first` on to the list or dictionary below them.
static wn_status add_items(machine *m, size_t first, wn__pickle_type type) {
    size_t floor = m->marks > 0 ? m->mark[m->marks - 1] : 0;
    if (first <= floor) return wn__fail(WN_FORMAT, "no collection below what is added");
    wn__pickle_value *to = m->stack[first - 1];
    if (to->type != type) return wn__fail(WN_FORMAT, "items for %s", wn__pickle_typename(to));
    if (type == WN__PICKLE_DICT && (m->depth - first) % 2 != 0)
        return wn__fail(WN_FORMAT, "a key without a value");
    for (size_t i = first; i < m->depth; i++) {
        if (type == WN__PICKLE_DICT && (i - first) % 2 == 0) WN_TRY(check_key(m->stack[i]));
        WN_TRY(wn__pickle_push(to, m->stack[i]));
    }
    m->depth = first;
    return WN_OK;
}

static wn_status add_marked(machine *m, wn__pickle_type type) {
    size_t first;
    WN_TRY(take_mark(m, &first));
    return add_items(m, first, type);
}

static wn_status add_last(machine *m, size_t n, wn__pickle_type type) {
    WN_TRY(need(m, n + 1));
    return add_items(m, m->depth - n, type);
}

static wn_status memo_put(machine *m, uint64_t index) {
    WN_TRY(need(m, 1));
    if (index >= WN__PICKLE_MOST)
        return wn__fail(WN_UNSUPPORTED, "memo %llu, at most %zu", (unsigned long long)index,
                        WN__PICKLE_MOST - 1);
    while (index >= m->memo_room) {
        size_t room = m->memo_room;
        void *memo = m->memo;
        WN_TRY(wn__pickle_grow(&memo, room, &m->memo_room, sizeof *m->memo));
        m->memo = memo;
        memset(m->memo + room, 0, (m->memo_room - room) * sizeof *m->memo);
    }
    m->memo[index] = m->stack[m->depth - 1];
    return WN_OK;
}

static wn_status memo_put_at(machine *m, size_t bytes) {
    uint64_t index = 0;
    WN_TRY(take_number(m, bytes, &index));
    return memo_put(m, index);
}

static wn_status memo_get(machine *m, size_t bytes) {
    uint64_t index = 0;
    WN_TRY(take_number(m, bytes, &index));
    if (index >= m->memo_room || m->memo[index] == NULL)
        return wn__fail(WN_FORMAT, "memo %llu was never set", (unsigned long long)index);
    return push(m, m->memo[index]);
}

static wn_status reduce(machine *m) {
    wn__pickle_value *v;
    WN_TRY(need(m, 2));
    WN_TRY(wn__pickle_reduce(m->h, m->stack[m->depth - 2], m->stack[m->depth - 1], &v));
    m->depth -= 2;
    return push(m, v);
}

static wn_status build(machine *m) {
    WN_TRY(need(m, 2));
    WN_TRY(wn__pickle_build(m->stack[m->depth - 2], m->stack[m->depth - 1]));
    m->depth--;
    return WN_OK;
}

static wn_status persistent(machine *m) {
    wn__pickle_value *v;
    WN_TRY(need(m, 1));
    WN_TRY(wn__pickle_persistent(m->h, m->stack[m->depth - 1], &v));
    m->depth--;
    return push(m, v);
}

static wn_status read_protocol(machine *m) {
    uint64_t protocol = 0;
    WN_TRY(take_number(m, 1, &protocol));
    if (protocol >= 2 && protocol <= 4) return WN_OK;
    return wn__fail(WN_UNSUPPORTED, "pickle protocol %llu, 2 to 4 expected",
                    (unsigned long long)protocol);
}

static wn_status read_frame(machine *m) {
    uint64_t n = 0;
    WN_TRY(take_number(m, 8, &n));
    if (n <= (uint64_t)(m->end - m->at)) return WN_OK;
    return wn__fail(WN_FORMAT, "a frame of %llu bytes, %zu are left", (unsigned long long)n,
                    (size_t)(m->end - m->at));
}

// Operations that weights never need, by name.
static wn_status refuse(uint8_t op) {
    static const struct {
        uint8_t op;
        const char *name;
    } known[] = {{'i', "INST"},
                 {'o', "OBJ"},
                 {'P', "PERSID"},
                 {0x81, "NEWOBJ"},
                 {0x92, "NEWOBJ_EX"},
                 {0x82, "EXT1"},
                 {0x83, "EXT2"},
                 {0x84, "EXT4"},
                 {'0', "POP"},
                 {'1', "POP_MARK"},
                 {'2', "DUP"},
                 {'B', "BINBYTES"},
                 {'C', "SHORT_BINBYTES"},
                 {0x8e, "BINBYTES8"},
                 {0x96, "BYTEARRAY8"},
                 {0x97, "NEXT_BUFFER"},
                 {0x98, "READONLY_BUFFER"},
                 {0x8f, "EMPTY_SET"},
                 {0x90, "ADDITEMS"},
                 {0x91, "FROZENSET"},
                 {0x8b, "LONG4"},
                 {0x8d, "BINUNICODE8"},
                 {'T', "BINSTRING"},
                 {'I', "INT"},
                 {'L', "LONG"},
                 {'F', "FLOAT"},
                 {'S', "STRING"},
                 {'V', "UNICODE"},
                 {'l', "LIST"},
                 {'d', "DICT"},
                 {'g', "GET"},
                 {'p', "PUT"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].op == op)
            return wn__fail(WN_UNSUPPORTED, "operation %s, which weights never need",
                            known[i].name);
    return wn__fail(WN_FORMAT, "no operation 0x%02X", op);
}

// One operation behind its opcode.
static wn_status step(machine *m, uint8_t op) {
    wn__pickle_value *v;
    switch (op) {
    case 0x80:
        return read_protocol(m);
    case 0x95:
        return read_frame(m);
    case 'N':
        return push_new(m, WN__PICKLE_NONE, &v);
    case 0x88:
        return push_truth(m, true);
    case 0x89:
        return push_truth(m, false);
    case 'K':
        return read_unsigned(m, 1);
    case 'M':
        return read_unsigned(m, 2);
    case 'J':
        return read_unsigned(m, 4);
    case 0x8a:
        return read_long(m);
    case 'G':
        return read_real(m);
    case 0x8c:
    case 'U':
        return read_text(m, 1);
    case 'X':
        return read_text(m, 4);
    case ')':
        return push_new(m, WN__PICKLE_TUPLE, &v);
    case ']':
        return push_new(m, WN__PICKLE_LIST, &v);
    case '}':
        return push_new(m, WN__PICKLE_DICT, &v);
    case 0x85:
        return short_tuple(m, 1);
    case 0x86:
        return short_tuple(m, 2);
    case 0x87:
        return short_tuple(m, 3);
    case 't':
        return marked_tuple(m);
    case '(':
        return set_mark(m);
    case 'a':
        return add_last(m, 1, WN__PICKLE_LIST);
    case 'e':
        return add_marked(m, WN__PICKLE_LIST);
    case 's':
        return add_last(m, 2, WN__PICKLE_DICT);
    case 'u':
        return add_marked(m, WN__PICKLE_DICT);
    case 'q':
        return memo_put_at(m, 1);
    case 'r':
        return memo_put_at(m, 4);
    case 0x94:
        return memo_put(m, m->memo_count++);
    case 'h':
        return memo_get(m, 1);
    case 'j':
        return memo_get(m, 4);
    case 'c':
        return read_global(m);
    case 0x93:
        return stack_global(m);
    case 'R':
        return reduce(m);
    case 'Q':
        return persistent(m);
    case 'b':
        return build(m);
    default:
        return refuse(op);
    }
}

static wn_status run(machine *m, wn__pickle_value **out) {
    const uint8_t *p;
    for (;;) {
        WN_TRY(take(m, 1, &p));
        if (*p == '.') break;
        WN_TRY(step(m, *p));
    }
    if (m->depth != 1 || m->marks != 0)
        return wn__fail(WN_FORMAT, "%zu values and %zu marks at the end, one value expected",
                        m->depth, m->marks);
    *out = m->stack[0];
    return WN_OK;
}

wn_status wn__pickle_run(const uint8_t *bytes, size_t size, const char *name, bool wide_magic,
                         wn__pickle_heap *h, wn__pickle_value **out, size_t *used) {
    machine m = {.end = bytes + size, .at = bytes, .h = h, .wide_magic = wide_magic};
    *out = NULL;
    wn_status status = run(&m, out);
    if (status != WN_OK)
        status = wn__fail_in(status, "%s: pickle, near byte %zu", name, (size_t)(m.at - bytes));
    *used = (size_t)(m.at - bytes);
    free(m.stack);
    free(m.mark);
    free(m.memo);
    return status;
}
