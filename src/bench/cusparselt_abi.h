// SPDX-License-Identifier: MIT
/* The part of cuSPARSELt's binary interface (0.6 and later) that we call, as NVIDIA's "cuSPARSELt"
 * reference states it: our own declarations, which a test compares with its header where there is
 * one. Its objects are blocks of the caller's memory, 512 or 1024 bytes by version. */
#ifndef WN_BENCH_CUSPARSELT_ABI_H
#define WN_BENCH_CUSPARSELT_ABI_H

#include "tensor/cuda_abi.h"

typedef struct wn__sl_object {
    _Alignas(16) unsigned char bytes[16384]; /* more than any version's */
} wn__sl_object;

enum { WN_SL_F16 = 2, WN_SL_BF16 = 14, WN_SL_E4M3 = 28 };
enum { WN_SL_COLUMN_MAJOR = 1, WN_SL_ROW_MAJOR = 2 };
enum { WN_SL_PLAIN = 0, WN_SL_TRANSPOSED = 1 };
enum { WN_SL_COMPUTE_F32 = 2, WN_SL_HALF_SPARSE = 0, WN_SL_DEFAULT = 0, WN_SL_STRIP = 1 };
enum { WN_SL_CONFIG = 0 }; /* of a chosen algorithm: its number */

/* X(name here, symbol, arguments): all return a status, 0 for success */
#define WN_SL_MAP(X)                                                                               \
    X(init, cusparseLtInit, (wn__sl_object * handle))                                              \
    X(destroy, cusparseLtDestroy, (const wn__sl_object *handle))                                   \
    X(property, cusparseLtGetProperty, (int which, int *value))                                    \
    X(dense, cusparseLtDenseDescriptorInit,                                                        \
      (const wn__sl_object *handle, wn__sl_object *out, int64_t rows, int64_t columns,             \
       int64_t leading, uint32_t alignment, int type, int order))                                  \
    X(structured, cusparseLtStructuredDescriptorInit,                                              \
      (const wn__sl_object *handle, wn__sl_object *out, int64_t rows, int64_t columns,             \
       int64_t leading, uint32_t alignment, int type, int order, int sparsity))                    \
    X(matrix_destroy, cusparseLtMatDescriptorDestroy, (const wn__sl_object *m))                    \
    X(product, cusparseLtMatmulDescriptorInit,                                                     \
      (const wn__sl_object *handle, wn__sl_object *out, int a_op, int b_op,                        \
       const wn__sl_object *a, const wn__sl_object *b, const wn__sl_object *c,                     \
       const wn__sl_object *d, int compute))                                                       \
    X(selection, cusparseLtMatmulAlgSelectionInit,                                                 \
      (const wn__sl_object *handle, wn__sl_object *out, const wn__sl_object *product,              \
       int algorithm))                                                                             \
    X(selected, cusparseLtMatmulAlgGetAttribute,                                                   \
      (const wn__sl_object *handle, const wn__sl_object *selection, int attribute, void *value,    \
       size_t bytes))                                                                              \
    X(workspace, cusparseLtMatmulGetWorkspace,                                                     \
      (const wn__sl_object *handle, const wn__sl_object *plan, size_t *bytes))                     \
    X(plan, cusparseLtMatmulPlanInit,                                                              \
      (const wn__sl_object *handle, wn__sl_object *out, const wn__sl_object *product,              \
       const wn__sl_object *selection))                                                            \
    X(plan_destroy, cusparseLtMatmulPlanDestroy, (const wn__sl_object *plan))                      \
    X(matmul, cusparseLtMatmul,                                                                    \
      (const wn__sl_object *handle, const wn__sl_object *plan, const void *alpha, const void *a,   \
       const void *b, const void *beta, const void *c, void *d, void *workspace,                   \
       wn__cu_stream *streams, int32_t count))                                                     \
    X(search, cusparseLtMatmulSearch,                                                              \
      (const wn__sl_object *handle, wn__sl_object *plan, const void *alpha, const void *a,         \
       const void *b, const void *beta, const void *c, void *d, void *workspace,                   \
       wn__cu_stream *streams, int32_t count))                                                     \
    X(prune, cusparseLtSpMMAPrune,                                                                 \
      (const wn__sl_object *handle, const wn__sl_object *product, const void *from, void *to,      \
       int algorithm, wn__cu_stream stream))                                                       \
    X(compressed, cusparseLtSpMMACompressedSize,                                                   \
      (const wn__sl_object *handle, const wn__sl_object *plan, size_t *bytes, size_t *buffer))     \
    X(compress, cusparseLtSpMMACompress,                                                           \
      (const wn__sl_object *handle, const wn__sl_object *plan, const void *from, void *to,         \
       void *buffer, wn__cu_stream stream))

typedef struct wn__sl_api {
#define WN_SL_POINTER(name, symbol, arguments) int(*name) arguments;
    WN_SL_MAP(WN_SL_POINTER)
#undef WN_SL_POINTER
} wn__sl_api;

#endif
