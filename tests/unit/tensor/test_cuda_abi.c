// SPDX-License-Identifier: MIT
// Our declarations of the driver's interface against NVIDIA's own header, where a toolkit is
// installed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#if defined(WN_HAVE_CUDA_H)

#include "tensor/cuda_abi.h"
#include <cuda.h>

#define SAME(ours, theirs) assert_int_equal((int)(ours), (int)(theirs))

static void test_values(void **state) {
    (void)state;
    SAME(WN_CU_OUT_OF_MEMORY, CUDA_ERROR_OUT_OF_MEMORY);
    SAME(WN_CU_NO_DEVICE, CUDA_ERROR_NO_DEVICE);
    SAME(WN_CU_NO_BINARY, CUDA_ERROR_NO_BINARY_FOR_GPU);
    SAME(WN_CU_CLOCK, CU_DEVICE_ATTRIBUTE_CLOCK_RATE);
    SAME(WN_CU_MULTIPROCESSORS, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    SAME(WN_CU_L2_BYTES, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
    SAME(WN_CU_COMPUTE_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
    SAME(WN_CU_COMPUTE_MINOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    SAME(WN_CU_SHARED_OPTIN, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
    SAME(WN_CU_STREAM_NON_BLOCKING, CU_STREAM_NON_BLOCKING);
    SAME(WN_CU_CAPTURE_THREAD_LOCAL, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    SAME(WN_CU_FUNCTION_SHARED_BYTES, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
    SAME(WN_CU_LAUNCH_CLUSTER, CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION);
    SAME(WN_CU_LAUNCH_OVERLAP, CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION);
    SAME(WN_CU_MAP_U8, CU_TENSOR_MAP_DATA_TYPE_UINT8);
    SAME(WN_CU_MAP_F16, CU_TENSOR_MAP_DATA_TYPE_FLOAT16);
    SAME(WN_CU_MAP_BF16, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16);
    SAME(WN_CU_MAP_SWIZZLE_128B, CU_TENSOR_MAP_SWIZZLE_128B);
    SAME(WN_CU_MAP_L2_256B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B);
    SAME(0, CU_TENSOR_MAP_INTERLEAVE_NONE);
    SAME(0, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}

static void test_layout(void **state) {
    (void)state;
    SAME(sizeof(wn__cu_address), sizeof(CUdeviceptr));
    SAME(sizeof(wn__cu_launch), sizeof(CUlaunchConfig));
    SAME(offsetof(wn__cu_launch, block), offsetof(CUlaunchConfig, blockDimX));
    SAME(offsetof(wn__cu_launch, shared_bytes), offsetof(CUlaunchConfig, sharedMemBytes));
    SAME(offsetof(wn__cu_launch, stream), offsetof(CUlaunchConfig, hStream));
    SAME(offsetof(wn__cu_launch, attributes), offsetof(CUlaunchConfig, attrs));
    SAME(offsetof(wn__cu_launch, attribute_count), offsetof(CUlaunchConfig, numAttrs));
    SAME(sizeof(wn__cu_tensor_map), sizeof(CUtensorMap));
    SAME(_Alignof(wn__cu_tensor_map), _Alignof(CUtensorMap));
    SAME(sizeof(wn__cu_launch_attribute), sizeof(CUlaunchAttribute));
    SAME(offsetof(wn__cu_launch_attribute, value), offsetof(CUlaunchAttribute, value));
    SAME(offsetof(CUlaunchAttributeValue, clusterDim.y), sizeof(unsigned));
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
