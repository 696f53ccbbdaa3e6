// SPDX-License-Identifier: MIT
/* A tensor is a view: pointer, dtype, shape, strides, device. It owns nothing. */
#ifndef WINNOW_TENSOR_H
#define WINNOW_TENSOR_H

#include "winnow/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WN_MAX_DIMS 6

/* X(NAME, value, bytes, "safetensors name") */
#define WN_DTYPE_MAP(X)                                                                            \
    X(NONE, 0, 0, "-")                                                                             \
    X(F64, 1, 8, "F64")                                                                            \
    X(F32, 2, 4, "F32")                                                                            \
    X(BF16, 3, 2, "BF16")                                                                          \
    X(F16, 4, 2, "F16")                                                                            \
    X(I64, 5, 8, "I64")                                                                            \
    X(I32, 6, 4, "I32")                                                                            \
    X(I16, 7, 2, "I16")                                                                            \
    X(I8, 8, 1, "I8")                                                                              \
    X(U8, 9, 1, "U8")                                                                              \
    X(BOOL, 10, 1, "BOOL")                                                                         \
    X(U16, 11, 2, "U16")                                                                           \
    X(U32, 12, 4, "U32")                                                                           \
    X(U64, 13, 8, "U64")                                                                           \
    X(F8_E4M3, 14, 1, "F8_E4M3")                                                                   \
    X(F8_E5M2, 15, 1, "F8_E5M2")

typedef enum wn_dtype {
#define WN_DTYPE_ENUM(name, value, bytes, text) WN_DTYPE_##name = value,
    WN_DTYPE_MAP(WN_DTYPE_ENUM)
#undef WN_DTYPE_ENUM
} wn_dtype;

typedef enum wn_device_kind { WN_DEVICE_CPU = 0, WN_DEVICE_CUDA = 1 } wn_device_kind;
typedef struct wn_device {
    wn_device_kind kind;
    int32_t index;
} wn_device;

/* dtype WN_DTYPE_NONE marks an absent optional tensor (a zeroed struct). data may be NULL while a
 * run is being planned. Strides count elements, may be larger than the packed ones, and may be in
 * any order (a transposed view). */
typedef struct wn_tensor {
    void *data;
    int64_t shape[WN_MAX_DIMS];
    int64_t stride[WN_MAX_DIMS];
    int32_t ndim; /* 0: one element */
    wn_dtype dtype;
    wn_device device;
} wn_tensor;

WN_API size_t wn_dtype_size(wn_dtype dtype);
WN_API const char *wn_dtype_name(wn_dtype dtype);
/* NONE when the name is unknown. */
WN_API wn_dtype wn_dtype_parse(const char *name);

#ifdef __cplusplus
}
#endif
#endif
