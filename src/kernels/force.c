// SPDX-License-Identifier: MIT
// Lists of forced variants ("matmul:ref,spmm24:avx2"), and names found or, failing that, the
// nearest.
#include "base/fail.h"
#include "kernels/registry.h"

#include <string.h>

#define MAX_NAME 48

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

// Levenshtein's distance, of at most MAX_NAME bytes of each.
static size_t distance(const char *a, size_t m, const char *b, size_t n) {
    size_t row[MAX_NAME + 1];
    m = smaller(m, MAX_NAME);
    n = smaller(n, MAX_NAME);
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; i <= m; i++) {
        size_t diagonal = row[0]; // of the row before
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = smaller(replaced, smaller(row[j], row[j - 1]) + 1);
        }
    }
    return row[n];
}

const char *wn__nearest(const char *text, size_t length, const char *const *names, size_t count) {
    const char *nearest = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(text, length, names[i], strlen(names[i]));
        if (d < least) {
            least = d;
            nearest = names[i];
        }
    }
    return nearest;
}

static bool equal(const char *text, size_t length, const char *name) {
    return strlen(name) == length && memcmp(text, name, length) == 0;
}

wn_status wn__op_find(const char *name, size_t length, wn__op *out) {
    const char *names[WN__OP_COUNT];
    for (int op = 0; op < WN__OP_COUNT; op++) {
        names[op] = wn__op_name((wn__op)op);
        if (equal(name, length, names[op])) {
            *out = (wn__op)op;
            return WN_OK;
        }
    }
    return wn__fail(WN_INVALID, "there is no op '%.*s'; the nearest is '%s'",
                    (int)smaller(length, MAX_NAME), name,
                    wn__nearest(name, length, names, WN__OP_COUNT));
}

// A row of op by its variant, or with WN__OP_COUNT of any op by its name. When there is none,
// *nearest is the closest.
static const wn__kernel *find_row(wn__op op, const char *text, size_t length,
                                  const char **nearest) {
    size_t rows, least = SIZE_MAX;
    const wn__kernel *table = wn__kernel_table(&rows);
    for (size_t i = 0; i < rows; i++) {
        const char *name = op == WN__OP_COUNT ? table[i].name : table[i].variant;
        if (op != WN__OP_COUNT && table[i].op != op) continue;
        if (equal(text, length, name)) return table + i;
        size_t d = distance(text, length, name, strlen(name));
        if (d < least) {
            least = d;
            *nearest = name;
        }
    }
    return NULL;
}

static wn_status find_variant(wn__op op, const char *variant, size_t length,
                              const wn__kernel **out) {
    const char *nearest = "";
    *out = find_row(op, variant, length, &nearest);
    if (*out != NULL) return WN_OK;
    return wn__fail(WN_INVALID, "%s has no variant '%.*s'; the nearest is '%s'", wn__op_name(op),
                    (int)smaller(length, MAX_NAME), variant, nearest);
}

// One "op:variant", or the name of a kernel as the table lists it.
static wn_status parse(const char *entry, size_t length, const wn__kernel **out) {
    const char *colon = memchr(entry, ':', length), *nearest = "";
    wn__op op;
    if (!colon) {
        *out = find_row(WN__OP_COUNT, entry, length, &nearest);
        if (*out != NULL) return WN_OK;
        return wn__fail(WN_INVALID,
                        "forced kernel '%.*s' is neither op:variant nor a kernel's name; the "
                        "nearest is '%s'",
                        (int)smaller(length, MAX_NAME), entry, nearest);
    }
    size_t name = (size_t)(colon - entry);
    WN_TRY(wn__op_find(entry, name, &op));
    return find_variant(op, colon + 1, length - name - 1, out);
}

wn_status wn__force_find(const char *force, wn__op op, const wn__kernel **out) {
    *out = NULL;
    while (force && *force) {
        size_t length = strcspn(force, ",");
        const wn__kernel *k = NULL;
        if (length > 0) WN_TRY(parse(force, length, &k));
        if (k && k->op == op) *out = k;
        force += length + (force[length] == ',');
    }
    return WN_OK;
}
