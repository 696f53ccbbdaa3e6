// SPDX-License-Identifier: MIT
// The rules that contract checks share: dtypes, ranks, strides, sizes that agree, memory that does
// not overlap.
#include "kernels/contract.h"
#include "base/fail.h"

#include <stdio.h>
#include <string.h>

#define TEXT 160

static bool is_float(wn_dtype dtype) {
    return dtype == WN_DTYPE_F64 || dtype == WN_DTYPE_F32 || dtype == WN_DTYPE_BF16 ||
           dtype == WN_DTYPE_F16;
}

// "op: name is F32 [3, 4]: " and the complaint.
static wn_status refuse(const char *op, const wn__operand *a, const char *complaint) {
    char text[TEXT];
    return wn__fail(WN_INVALID, "%s: %s is %s: %s", op, a->name,
                    wn__tensor_describe(a->t, text, sizeof text), complaint);
}

// Dimensions of more than one element, largest stride first.
typedef struct extent {
    int64_t stride, size;
} extent;

static int extents_of(const wn_tensor *t, extent out[WN_MAX_DIMS]) {
    int count = 0;
    for (int i = 0; i < t->ndim; i++) {
        if (t->shape[i] <= 1) continue;
        int at = count++;
        for (; at > 0 && out[at - 1].stride < t->stride[i]; at--)
            out[at] = out[at - 1];
        out[at] = (extent){t->stride[i], t->shape[i]};
    }
    return count;
}

bool wn__injective(const wn_tensor *t) {
    extent e[WN_MAX_DIMS];
    int64_t inside = 1; // elements from the first to the last of the dimensions seen so far
    if (wn__tensor_count(t) == 0) return true;
    for (int i = extents_of(t, e) - 1; i >= 0; i--) {
        int64_t reach;
        if (e[i].stride < inside || __builtin_mul_overflow(e[i].size - 1, e[i].stride, &reach) ||
            __builtin_add_overflow(inside, reach, &inside))
            return false;
    }
    return true;
}

// Elements from the first to the last of the dimensions whose stride is below `below`; false if
// another stride is no multiple of it.
static bool width_below(const wn_tensor *t, int64_t below, int64_t *width) {
    *width = 1;
    for (int i = 0; i < t->ndim; i++) {
        if (t->shape[i] <= 1) continue;
        if (t->stride[i] < below)
            *width += (t->shape[i] - 1) * t->stride[i];
        else if (t->stride[i] % below != 0)
            return false;
    }
    return *width <= below;
}

// Whether a and b are different columns of rows of `row` elements; apart: bytes from a to b.
static bool separate_columns(const wn_tensor *a, const wn_tensor *b, int64_t row, int64_t apart) {
    int64_t size = (int64_t)wn_dtype_size(a->dtype), wide_a, wide_b;
    if (row < 1 || !width_below(a, row, &wide_a) || !width_below(b, row, &wide_b)) return false;
    int64_t column = apart % (row * size); // of b, counted from a
    if (column < 0) column += row * size;
    return column >= wide_a * size && column + wide_b * size <= row * size;
}

static int64_t span(const wn_tensor *t) {
    int64_t last = 0;
    for (int i = 0; i < t->ndim; i++)
        last += (t->shape[i] - 1) * t->stride[i];
    return (last + 1) * (int64_t)wn_dtype_size(t->dtype);
}

bool wn__overlap(const wn_tensor *a, const wn_tensor *b) {
    if (!a->data || !b->data || wn__tensor_count(a) == 0 || wn__tensor_count(b) == 0) return false;
    uintptr_t pa = (uintptr_t)a->data, pb = (uintptr_t)b->data;
    if (pa + (uintptr_t)span(a) <= pb || pb + (uintptr_t)span(b) <= pa) return false;
    if (wn_dtype_size(a->dtype) != wn_dtype_size(b->dtype)) return true;
    int64_t apart = (int64_t)(pb - pa);
    for (int i = 0; i < a->ndim; i++)
        if (a->shape[i] > 1 && separate_columns(a, b, a->stride[i], apart)) return false;
    for (int i = 0; i < b->ndim; i++)
        if (b->shape[i] > 1 && separate_columns(a, b, b->stride[i], apart)) return false;
    return true;
}

// Same memory, same elements at the same places.
static bool same_view(const wn_tensor *a, const wn_tensor *b) {
    if (a->data != b->data || a->dtype != b->dtype || !wn__tensor_same_shape(a, b)) return false;
    for (int i = 0; i < a->ndim; i++)
        if (a->shape[i] > 1 && a->stride[i] != b->stride[i]) return false;
    return true;
}

static wn_status check_dtype(const char *op, const wn__operand *a, const wn__operand *first) {
    char text[TEXT], other[TEXT];
    if (a->dtype != WN_DTYPE_NONE) {
        if (a->t->dtype == a->dtype) return WN_OK;
        (void)snprintf(text, sizeof text, "must be %s", wn_dtype_name(a->dtype));
        return refuse(op, a, text);
    }
    if (!is_float(a->t->dtype)) return refuse(op, a, "must be F64, F32, BF16 or F16");
    if (a->t->dtype == first->t->dtype) return WN_OK;
    return wn__fail(WN_INVALID, "%s: %s is %s, %s is %s: dtypes differ", op, first->name,
                    wn__tensor_describe(first->t, other, sizeof other), a->name,
                    wn__tensor_describe(a->t, text, sizeof text));
}

static wn_status check_shape(const char *op, const wn__operand *a) {
    char text[TEXT];
    if (a->t->ndim < 0 || a->t->ndim > WN_MAX_DIMS)
        return wn__fail(WN_INVALID, "%s: %s has %d dimensions, at most %d", op, a->name,
                        (int)a->t->ndim, WN_MAX_DIMS);
    if (a->ndim != WN__ANY_RANK && a->t->ndim != a->ndim) {
        (void)snprintf(text, sizeof text, "must have %d dimension%s", a->ndim,
                       a->ndim == 1 ? "" : "s");
        return refuse(op, a, text);
    }
    size_t bytes;
    if (!wn__shape_bytes(a->t->dtype, a->t->ndim, a->t->shape, &bytes))
        return refuse(op, a, "a size is negative or the product too large");
    return WN_OK;
}

static wn_status check_strides(const char *op, const wn__operand *a) {
    const wn_tensor *t = a->t;
    char text[TEXT];
    int last = t->ndim - 1;
    for (int i = 0; i < t->ndim; i++)
        if (t->stride[i] < 0 && t->shape[i] > 1) return refuse(op, a, "a stride is negative");
    if ((a->flags & WN__PACKED) && !wn__tensor_packed(t)) return refuse(op, a, "must be packed");
    if ((a->flags & WN__UNIT) && last >= 0 && t->stride[last] != 1) {
        (void)snprintf(text, sizeof text, "stride %lld along the last dimension must be 1",
                       (long long)t->stride[last]);
        return refuse(op, a, text);
    }
    if (!wn__injective(t)) return refuse(op, a, "its elements overlap each other");
    return WN_OK;
}

static wn_status check_overlap(const char *op, const wn__operand *operands, int count, int i) {
    const wn__operand *a = operands + i;
    for (int j = 0; j < count; j++) {
        const wn__operand *b = operands + j;
        if (j == i || !wn__given(b->t) || !wn__overlap(a->t, b->t)) continue;
        bool allowed = (a->may_be & WN__MAY_BE(j)) || (b->may_be & WN__MAY_BE(i));
        if (allowed && same_view(a->t, b->t)) continue;
        return wn__fail(WN_INVALID, "%s: %s overlaps %s%s", op, a->name, b->name,
                        allowed ? " without being it" : "");
    }
    return WN_OK;
}

wn_status wn__check_operands(const char *op, const wn__operand *operands, int count) {
    const wn__operand *first = NULL; // the one that sets the float dtype
    const wn__operand *end = operands + count;
    for (const wn__operand *a = operands; a < end; a++) {
        if (!wn__given(a->t)) {
            if (a->flags & WN__OPTIONAL) continue;
            return wn__fail(WN_INVALID, "%s: %s is absent", op, a->name);
        }
        if (!first && a->dtype == WN_DTYPE_NONE) first = a;
        WN_TRY(check_shape(op, a));
        WN_TRY(check_dtype(op, a, first));
        WN_TRY(check_strides(op, a));
        if (a->t->device.kind != operands->t->device.kind ||
            a->t->device.index != operands->t->device.index)
            return wn__fail(WN_INVALID, "%s: %s and %s are on different devices", op,
                            operands->name, a->name);
    }
    for (int i = 0; i < count; i++)
        if (wn__given(operands[i].t) && (operands[i].flags & WN__WRITTEN))
            WN_TRY(check_overlap(op, operands, count, i));
    return WN_OK;
}

wn_status wn__check_same(const char *op, const char *what, const wn__operand *a, int i,
                         const wn__operand *b, int j) {
    char ta[TEXT], tb[TEXT];
    if (!wn__given(a->t) || !wn__given(b->t) || a->t->shape[i] == b->t->shape[j]) return WN_OK;
    return wn__fail(WN_INVALID, "%s: %s is %s, %s is %s: %s sizes %lld and %lld differ", op,
                    a->name, wn__tensor_describe(a->t, ta, sizeof ta), b->name,
                    wn__tensor_describe(b->t, tb, sizeof tb), what, (long long)a->t->shape[i],
                    (long long)b->t->shape[j]);
}

wn_status wn__check_size(const char *op, const wn__operand *a, int i, int64_t size,
                         const char *of) {
    char text[TEXT];
    if (!wn__given(a->t) || a->t->shape[i] == size) return WN_OK;
    (void)snprintf(text, sizeof text, "size %lld must be %lld, %s", (long long)a->t->shape[i],
                   (long long)size, of);
    return refuse(op, a, text);
}

wn_status wn__check_shapes(const char *op, const wn__operand *a, const wn__operand *b) {
    char ta[TEXT], tb[TEXT];
    if (!wn__given(a->t) || !wn__given(b->t) || wn__tensor_same_shape(a->t, b->t)) return WN_OK;
    return wn__fail(WN_INVALID, "%s: %s is %s, %s is %s: shapes differ", op, a->name,
                    wn__tensor_describe(a->t, ta, sizeof ta), b->name,
                    wn__tensor_describe(b->t, tb, sizeof tb));
}
