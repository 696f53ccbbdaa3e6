// SPDX-License-Identifier: MIT
/* The part of cuBLASLt's binary interface that we call, as NVIDIA's "cuBLAS" reference states it.
 * Our own declarations, so that a build needs no toolkit; where one is installed a test compares
 * every value and size with its cublasLt.h. Matrices are column-major there. */
#ifndef WN_KERNELS_CUDA_BLASLT_ABI_H
#define WN_KERNELS_CUDA_BLASLT_ABI_H

#include "tensor/cuda_abi.h"

typedef int wn__lt_status; /* 0: success */
enum { WN_LT_NOT_SUPPORTED = 15 };

typedef struct wn__lt_context *wn__lt_handle;
typedef struct wn__lt_matmul *wn__lt_matmul;
typedef struct wn__lt_layout *wn__lt_layout;
typedef struct wn__lt_preference *wn__lt_preference;

typedef struct wn__lt_algorithm {
    uint64_t data[8];
} wn__lt_algorithm;

typedef struct wn__lt_choice {
    wn__lt_algorithm algorithm;
    size_t workspace; /* bytes it wants */
    wn__lt_status state;
    float waves;
    int reserved[4];
} wn__lt_choice;

enum { WN_LT_F32 = 0, WN_LT_F16 = 2, WN_LT_BF16 = 14, WN_LT_E4M3 = 28 }; /* types of data */
enum { WN_LT_COMPUTE_F32 = 68 };                                         /* type of sums */
enum { WN_LT_PLAIN = 0, WN_LT_TRANSPOSED = 1 };                          /* an operand */
enum { WN_LT_EPILOGUE_NONE = 1, WN_LT_EPILOGUE_BIAS = 4 } /* one number a row of the result */;

enum { /* of a product */
       WN_LT_TRANSPOSE_A = 3,
       WN_LT_TRANSPOSE_B = 4,
       WN_LT_EPILOGUE = 7,
       WN_LT_BIAS = 8,
       WN_LT_SCALE_A = 17,
       WN_LT_SCALE_B = 18,
       WN_LT_FAST_SUMS = 25, /* an int8: of 8-bit numbers, as the tensor cores add them */
       WN_LT_BIAS_TYPE = 26,
       WN_LT_SCALE_MODE_A = 31,
       WN_LT_SCALE_MODE_B = 32
};
enum { WN_LT_SCALE_ONE = 0, WN_LT_SCALE_ROWS = 3 }; /* one number; one a row of the operand */
enum { WN_LT_SCALES_ROWS = 120900 };                /* the version that can do the latter */

enum { WN_LT_BATCH = 5, WN_LT_STEP = 6 }; /* of an operand: an int32, an int64 of elements */

enum { /* of what is wished for */
       WN_LT_WORKSPACE = 1,
       WN_LT_REDUCTIONS = 3,
       WN_LT_ALIGN_A = 5,
       WN_LT_ALIGN_B = 6,
       WN_LT_ALIGN_C = 7,
       WN_LT_ALIGN_D = 8
};

/* How parts of a sum may be added up: in place, in the type of sums, in the type of results. */
enum { WN_LT_REDUCE_IN_PLACE = 1, WN_LT_REDUCE_SUMS = 2, WN_LT_REDUCE_RESULTS = 4 };

/* X(name here, symbol, arguments) */
#define WN_LT_MAP(X)                                                                               \
    X(version, size_t, cublasLtGetVersion, (void))                                                 \
    X(status_name, const char *, cublasLtGetStatusName, (wn__lt_status status))                    \
    X(create, wn__lt_status, cublasLtCreate, (wn__lt_handle * handle))                             \
    X(destroy, wn__lt_status, cublasLtDestroy, (wn__lt_handle handle))                             \
    X(matmul_create, wn__lt_status, cublasLtMatmulDescCreate,                                      \
      (wn__lt_matmul * out, int compute, int scale))                                               \
    X(matmul_set, wn__lt_status, cublasLtMatmulDescSetAttribute,                                   \
      (wn__lt_matmul m, int attribute, const void *value, size_t bytes))                           \
    X(matmul_destroy, wn__lt_status, cublasLtMatmulDescDestroy, (wn__lt_matmul m))                 \
    X(layout_create, wn__lt_status, cublasLtMatrixLayoutCreate,                                    \
      (wn__lt_layout * out, int type, uint64_t rows, uint64_t columns, int64_t leading))           \
    X(layout_set, wn__lt_status, cublasLtMatrixLayoutSetAttribute,                                 \
      (wn__lt_layout l, int attribute, const void *value, size_t bytes))                           \
    X(layout_destroy, wn__lt_status, cublasLtMatrixLayoutDestroy, (wn__lt_layout l))               \
    X(preference_create, wn__lt_status, cublasLtMatmulPreferenceCreate, (wn__lt_preference * out)) \
    X(preference_set, wn__lt_status, cublasLtMatmulPreferenceSetAttribute,                         \
      (wn__lt_preference p, int attribute, const void *value, size_t bytes))                       \
    X(preference_destroy, wn__lt_status, cublasLtMatmulPreferenceDestroy, (wn__lt_preference p))   \
    X(heuristic, wn__lt_status, cublasLtMatmulAlgoGetHeuristic,                                    \
      (wn__lt_handle handle, wn__lt_matmul m, wn__lt_layout a, wn__lt_layout b, wn__lt_layout c,   \
       wn__lt_layout d, wn__lt_preference p, int wanted, wn__lt_choice *out, int *found))          \
    X(matmul, wn__lt_status, cublasLtMatmul,                                                       \
      (wn__lt_handle handle, wn__lt_matmul m, const void *alpha, const void *a, wn__lt_layout la,  \
       const void *b, wn__lt_layout lb, const void *beta, const void *c, wn__lt_layout lc,         \
       void *d, wn__lt_layout ld, const wn__lt_algorithm *algorithm, void *workspace,              \
       size_t workspace_bytes, wn__cu_stream stream))

typedef struct wn__lt_api {
#define WN_LT_POINTER(name, result, symbol, arguments) result(*name) arguments;
    WN_LT_MAP(WN_LT_POINTER)
#undef WN_LT_POINTER
} wn__lt_api;

#endif
