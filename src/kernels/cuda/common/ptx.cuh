// SPDX-License-Identifier: MIT
/* Instructions that CUDA C has no name for. */
#ifndef WN_KERNELS_CUDA_COMMON_PTX_CUH
#define WN_KERNELS_CUDA_COMMON_PTX_CUH

#include <stdint.h>

/* Address of a shared object as the instructions below want it. */
static __device__ __forceinline__ uint32_t shared_address(const void *p) {
    return (uint32_t)__cvta_generic_to_shared(p);
}

#endif
