// SPDX-License-Identifier: MIT
// Views and dtypes. Sizes saturate where a function cannot fail, so that no product wraps round;
// the functions that allocate refuse such shapes.
#include "tensor/tensor.h"

#include "base/fail.h"
#include <stdio.h>
#include <string.h>

size_t wn_dtype_size(wn_dtype dtype) {
    switch (dtype) {
#define SIZE_CASE(name, value, bytes, text)                                                        \
    case WN_DTYPE_##name:                                                                          \
        return bytes;
        WN_DTYPE_MAP(SIZE_CASE)
#undef SIZE_CASE
    }
    return 0;
}

const char *wn_dtype_name(wn_dtype dtype) {
    switch (dtype) {
#define NAME_CASE(name, value, bytes, text)                                                        \
    case WN_DTYPE_##name:                                                                          \
        return text;
        WN_DTYPE_MAP(NAME_CASE)
#undef NAME_CASE
    }
    return "?";
}

wn_dtype wn_dtype_parse(const char *name) {
#define PARSE(id, value, bytes, text)                                                              \
    if (strcmp(name, text) == 0) return WN_DTYPE_##id;
    WN_DTYPE_MAP(PARSE)
#undef PARSE
    return WN_DTYPE_NONE;
}

// a * b for a, b >= 0; INT64_MAX when that is too much.
static int64_t saturating_mul(int64_t a, int64_t b) {
    int64_t product;
    return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

wn_tensor wn__tensor(void *data, wn_dtype dtype, int ndim, const int64_t *shape) {
    wn_tensor t = {.data = data, .ndim = ndim, .dtype = dtype};
    int64_t stride = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        t.shape[i] = shape[i];
        t.stride[i] = stride;
        stride = saturating_mul(stride, shape[i]);
    }
    return t;
}

wn_tensor wn__tensor1(void *data, wn_dtype dtype, int64_t a) {
    return wn__tensor(data, dtype, 1, &a);
}

wn_tensor wn__tensor2(void *data, wn_dtype dtype, int64_t a, int64_t b) {
    const int64_t shape[] = {a, b};
    return wn__tensor(data, dtype, 2, shape);
}

wn_tensor wn__tensor3(void *data, wn_dtype dtype, int64_t a, int64_t b, int64_t c) {
    const int64_t shape[] = {a, b, c};
    return wn__tensor(data, dtype, 3, shape);
}

wn_tensor wn__tensor4(void *data, wn_dtype dtype, int64_t a, int64_t b, int64_t c, int64_t d) {
    const int64_t shape[] = {a, b, c, d};
    return wn__tensor(data, dtype, 4, shape);
}

// The extents above zero must not overflow either: the strides are made of them.
bool wn__shape_bytes(wn_dtype dtype, int ndim, const int64_t *shape, size_t *out) {
    *out = 0;
    int64_t bytes = (int64_t)wn_dtype_size(dtype);
    if (bytes == 0 || ndim < 0 || ndim > WN_MAX_DIMS) return false;
    bool empty = false;
    for (int i = 0; i < ndim; i++) {
        if (shape[i] < 0) return false;
        if (shape[i] == 0) empty = true;
        if (shape[i] > 0 && __builtin_mul_overflow(bytes, shape[i], &bytes)) return false;
    }
    *out = empty ? 0 : (size_t)bytes;
    return true;
}

wn_status wn__tensor_alloc(wn__arena *arena, wn_dtype dtype, int ndim, const int64_t *shape,
                           wn_tensor *out) {
    memset(out, 0, sizeof *out);
    if (ndim < 0 || ndim > WN_MAX_DIMS)
        return wn__fail(WN_INVALID, "%s: a tensor of %d dimensions, at most %d", arena->name, ndim,
                        WN_MAX_DIMS);
    wn_tensor t = wn__tensor(NULL, dtype, ndim, shape);
    size_t bytes;
    if (!wn__shape_bytes(dtype, ndim, shape, &bytes)) {
        char text[160];
        return wn__fail(WN_INVALID, "%s: no tensor can be %s", arena->name,
                        wn__tensor_describe(&t, text, sizeof text));
    }
    WN_TRY(wn__arena_alloc(arena, bytes, &t.data));
    *out = t;
    return WN_OK;
}

wn_status wn__tensor_alloc1(wn__arena *arena, wn_dtype dtype, int64_t a, wn_tensor *out) {
    return wn__tensor_alloc(arena, dtype, 1, &a, out);
}

wn_status wn__tensor_alloc2(wn__arena *arena, wn_dtype dtype, int64_t a, int64_t b,
                            wn_tensor *out) {
    const int64_t shape[] = {a, b};
    return wn__tensor_alloc(arena, dtype, 2, shape, out);
}

static bool has_zero_extent(const wn_tensor *t) {
    for (int i = 0; i < t->ndim; i++)
        if (t->shape[i] == 0) return true;
    return false;
}

int64_t wn__tensor_count(const wn_tensor *t) {
    if (has_zero_extent(t)) return 0; // whatever the other extents would saturate to
    int64_t count = 1;
    for (int i = 0; i < t->ndim; i++)
        count = saturating_mul(count, t->shape[i]);
    return count;
}

size_t wn__tensor_bytes(const wn_tensor *t) {
    return (size_t)saturating_mul(wn__tensor_count(t), (int64_t)wn_dtype_size(t->dtype));
}

// The stride of a dimension of one element is never used.
bool wn__tensor_packed(const wn_tensor *t) {
    if (has_zero_extent(t)) return true;
    int64_t stride = 1;
    for (int i = t->ndim - 1; i >= 0; i--) {
        if (t->shape[i] != 1 && t->stride[i] != stride) return false;
        stride = saturating_mul(stride, t->shape[i]);
    }
    return true;
}

static bool shape_equal(const wn_tensor *t, int ndim, const int64_t *shape) {
    if (t->ndim != ndim) return false;
    for (int i = 0; i < ndim; i++)
        if (t->shape[i] != shape[i]) return false;
    return true;
}

bool wn__tensor_same_shape(const wn_tensor *a, const wn_tensor *b) {
    return shape_equal(a, b->ndim, b->shape);
}

bool wn__tensor_is(const wn_tensor *t, wn_dtype dtype, int ndim, const int64_t *shape) {
    return t->dtype == dtype && shape_equal(t, ndim, shape);
}

const char *wn__tensor_describe(const wn_tensor *t, char *out, size_t n) {
    if (n == 0) return out;
    if (!wn__given(t)) {
        (void)snprintf(out, n, "absent");
        return out;
    }
    // Appends are cut at n; `used` then counts past it and nothing more is written.
    size_t used = (size_t)snprintf(out, n, "%s [", wn_dtype_name(t->dtype));
    for (int i = 0; i < t->ndim && used < n; i++)
        used += (size_t)snprintf(out + used, n - used, "%s%lld", i > 0 ? ", " : "",
                                 (long long)t->shape[i]);
    if (used < n) (void)snprintf(out + used, n - used, "]");
    return out;
}

// data + elements, NULL kept.
static void *advance(const wn_tensor *t, int64_t elements) {
    if (t->data == NULL) return NULL;
    return (char *)t->data + elements * (int64_t)wn_dtype_size(t->dtype);
}

wn_tensor wn__tensor_transpose(const wn_tensor *t) {
    wn_tensor r = *t;
    if (t->ndim < 2) return r;
    int i = t->ndim - 2, j = t->ndim - 1;
    r.shape[i] = t->shape[j];
    r.shape[j] = t->shape[i];
    r.stride[i] = t->stride[j];
    r.stride[j] = t->stride[i];
    return r;
}

wn_tensor wn__tensor_slice(const wn_tensor *t, int dim, int64_t begin, int64_t length) {
    wn_tensor r = *t;
    r.data = advance(t, begin * t->stride[dim]);
    r.shape[dim] = length;
    return r;
}

wn_tensor wn__tensor_reshape(const wn_tensor *t, int ndim, const int64_t *shape) {
    wn_tensor r = wn__tensor(t->data, t->dtype, ndim, shape);
    r.device = t->device;
    return r;
}

wn_tensor wn__tensor_view2(const wn_tensor *t, int64_t a, int64_t b) {
    const int64_t shape[] = {a, b};
    return wn__tensor_reshape(t, 2, shape);
}

void *wn__tensor_at(const wn_tensor *t, int64_t i, int64_t j) {
    int64_t offset = 0;
    if (t->ndim >= 1) offset += i * t->stride[0];
    if (t->ndim >= 2) offset += j * t->stride[1];
    return advance(t, offset);
}
