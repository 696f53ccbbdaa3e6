// SPDX-License-Identifier: MIT
// Our declarations of cuBLASLt's interface against NVIDIA's own header, where a toolkit is
// installed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#if defined(WN_HAVE_CUDA_H) && defined(__has_include)
#if __has_include(<cublasLt.h>)
#define THERE
#endif
#endif

#ifdef THERE

#include "kernels/cuda/blaslt_abi.h"
#include <cublasLt.h>

#define SAME(ours, theirs) assert_int_equal((int)(ours), (int)(theirs))

static void test_values(void **state) {
    (void)state;
    SAME(WN_LT_NOT_SUPPORTED, CUBLAS_STATUS_NOT_SUPPORTED);
    SAME(WN_LT_F32, CUDA_R_32F);
    SAME(WN_LT_F16, CUDA_R_16F);
    SAME(WN_LT_BF16, CUDA_R_16BF);
    SAME(WN_LT_E4M3, CUDA_R_8F_E4M3);
    SAME(WN_LT_COMPUTE_F32, CUBLAS_COMPUTE_32F);
    SAME(WN_LT_PLAIN, CUBLAS_OP_N);
    SAME(WN_LT_TRANSPOSED, CUBLAS_OP_T);
    SAME(WN_LT_EPILOGUE_NONE, CUBLASLT_EPILOGUE_DEFAULT);
    SAME(WN_LT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_BIAS);
    SAME(WN_LT_TRANSPOSE_A, CUBLASLT_MATMUL_DESC_TRANSA);
    SAME(WN_LT_TRANSPOSE_B, CUBLASLT_MATMUL_DESC_TRANSB);
    SAME(WN_LT_EPILOGUE, CUBLASLT_MATMUL_DESC_EPILOGUE);
    SAME(WN_LT_FAST_SUMS, CUBLASLT_MATMUL_DESC_FAST_ACCUM);
    SAME(WN_LT_BIAS, CUBLASLT_MATMUL_DESC_BIAS_POINTER);
    SAME(WN_LT_SCALE_A, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER);
    SAME(WN_LT_SCALE_B, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER);
#if CUBLAS_VERSION >= 120900
    SAME(WN_LT_SCALE_MODE_A, CUBLASLT_MATMUL_DESC_A_SCALE_MODE);
    SAME(WN_LT_SCALE_MODE_B, CUBLASLT_MATMUL_DESC_B_SCALE_MODE);
    SAME(WN_LT_SCALE_ONE, CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F);
    SAME(WN_LT_SCALE_ROWS, CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F);
#endif
    SAME(WN_LT_BIAS_TYPE, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE);
    SAME(WN_LT_BATCH, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT);
    SAME(WN_LT_STEP, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET);
    SAME(WN_LT_WORKSPACE, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
    SAME(WN_LT_REDUCTIONS, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK);
    SAME(WN_LT_ALIGN_A, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
    SAME(WN_LT_ALIGN_B, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES);
    SAME(WN_LT_ALIGN_C, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES);
    SAME(WN_LT_ALIGN_D, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);
    SAME(WN_LT_REDUCE_IN_PLACE, CUBLASLT_REDUCTION_SCHEME_INPLACE);
    SAME(WN_LT_REDUCE_SUMS, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
    SAME(WN_LT_REDUCE_RESULTS, CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE);
}

static void test_layout(void **state) {
    (void)state;
    SAME(sizeof(wn__lt_algorithm), sizeof(cublasLtMatmulAlgo_t));
    SAME(sizeof(wn__lt_choice), sizeof(cublasLtMatmulHeuristicResult_t));
    SAME(offsetof(wn__lt_choice, workspace),
         offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
    SAME(offsetof(wn__lt_choice, state), offsetof(cublasLtMatmulHeuristicResult_t, state));
    SAME(offsetof(wn__lt_choice, waves), offsetof(cublasLtMatmulHeuristicResult_t, wavesCount));
}

#else

static void test_values(void **state) {
    (void)state;
    skip(); // no toolkit
}
static void test_layout(void **state) {
    (void)state;
    skip();
}

#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
