// SPDX-License-Identifier: MIT
/* Making and slicing views. Knows no mathematics. */
#ifndef WN_TENSOR_TENSOR_H
#define WN_TENSOR_TENSOR_H

#include "base/arena.h"
#include "winnow/tensor.h"

/* Whether an optional tensor was given. */
static inline bool wn__given(const wn_tensor *t) {
    return t->dtype != WN_DTYPE_NONE;
}

/* A packed (row-major) view of data on the CPU. */
wn_tensor wn__tensor(void *data, wn_dtype dtype, int ndim, const int64_t *shape);
wn_tensor wn__tensor1(void *data, wn_dtype dtype, int64_t a);
wn_tensor wn__tensor2(void *data, wn_dtype dtype, int64_t a, int64_t b);
wn_tensor wn__tensor3(void *data, wn_dtype dtype, int64_t a, int64_t b, int64_t c);
wn_tensor wn__tensor4(void *data, wn_dtype dtype, int64_t a, int64_t b, int64_t c, int64_t d);

/* Allocates a packed tensor from an arena (data NULL while it measures). Fails on negative or
 * overflowing sizes. */
WN_NODISCARD wn_status wn__tensor_alloc(wn__arena *arena, wn_dtype dtype, int ndim,
                                        const int64_t *shape, wn_tensor *out);
WN_NODISCARD wn_status wn__tensor_alloc1(wn__arena *arena, wn_dtype dtype, int64_t a,
                                         wn_tensor *out);
WN_NODISCARD wn_status wn__tensor_alloc2(wn__arena *arena, wn_dtype dtype, int64_t a, int64_t b,
                                         wn_tensor *out);

int64_t wn__tensor_count(const wn_tensor *t); /* elements */
size_t wn__tensor_bytes(const wn_tensor *t);  /* of a packed copy */
bool wn__tensor_packed(const wn_tensor *t);   /* row-major without gaps */
bool wn__tensor_same_shape(const wn_tensor *a, const wn_tensor *b);
/* Whether shape is exactly {…}; for checks in contracts. */
bool wn__tensor_is(const wn_tensor *t, wn_dtype dtype, int ndim, const int64_t *shape);
/* Checked product of a shape times the dtype's size; false on overflow or a negative size. */
bool wn__shape_bytes(wn_dtype dtype, int ndim, const int64_t *shape, size_t *out);
/* "F32 [3, 4]" into out[n]; returns out. */
const char *wn__tensor_describe(const wn_tensor *t, char *out, size_t n);

/* Views. The caller guarantees ranges; pointer arithmetic keeps a NULL pointer NULL. */
wn_tensor wn__tensor_transpose(const wn_tensor *t); /* last two dims swapped */
/* t[.., begin:begin+length, ..] */
wn_tensor wn__tensor_slice(const wn_tensor *t, int dim, int64_t begin, int64_t length);
/* The first rows of a buffer; an absent one stays absent. */
static inline wn_tensor wn__first_rows(const wn_tensor *t, int64_t rows) {
    return wn__given(t) ? wn__tensor_slice(t, 0, 0, rows) : *t;
}
/* Packed tensors only, same count. */
wn_tensor wn__tensor_reshape(const wn_tensor *t, int ndim, const int64_t *shape);
wn_tensor wn__tensor_view2(const wn_tensor *t, int64_t a, int64_t b); /* reshape to 2-D */
/* Address of element (i) or (i,j) by strides. */
void *wn__tensor_at(const wn_tensor *t, int64_t i, int64_t j);

#endif
