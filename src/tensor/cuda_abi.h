// SPDX-License-Identifier: MIT
/* The part of the CUDA driver's binary interface that we call: types, values and signatures, as
 * NVIDIA's "CUDA Driver API" reference states them. Our own declarations, so that a build needs no
 * toolkit; where one is installed a test compares every value and size with its cuda.h. */
#ifndef WN_TENSOR_CUDA_ABI_H
#define WN_TENSOR_CUDA_ABI_H

#include "tensor/tensor_map.h"
#include <stddef.h>
#include <stdint.h>

typedef int wn__cu_result; /* 0: success */
typedef int wn__cu_device;
typedef uint64_t wn__cu_address;
typedef struct wn__cu_context *wn__cu_context;
typedef struct wn__cu_module *wn__cu_module;
typedef struct wn__cu_function *wn__cu_function;
typedef struct wn__cu_stream *wn__cu_stream;
typedef struct wn__cu_event *wn__cu_event;
typedef struct wn__cu_graph *wn__cu_graph;
typedef struct wn__cu_graph_exec *wn__cu_graph_exec;

enum { WN_CU_OUT_OF_MEMORY = 2, WN_CU_NO_DEVICE = 100, WN_CU_NO_BINARY = 209 };

/* of a device */
enum {
    WN_CU_CLOCK = 13, /* the highest of its multiprocessors, kHz */
    WN_CU_MULTIPROCESSORS = 16,
    WN_CU_L2_BYTES = 38,
    WN_CU_COMPUTE_MAJOR = 75,
    WN_CU_COMPUTE_MINOR = 76,
    WN_CU_SHARED_OPTIN = 97 /* bytes of shared memory that a block can ask for */
};

enum { WN_CU_STREAM_NON_BLOCKING = 1, WN_CU_CAPTURE_THREAD_LOCAL = 1 };
enum { WN_CU_FUNCTION_SHARED_BYTES = 8 }; /* the largest dynamic shared memory of its launches */
enum { WN_CU_LAUNCH_CLUSTER = 4, WN_CU_LAUNCH_OVERLAP = 6 };

/* of a tensor map: the type of its numbers, how the 16-byte chunks of 128 bytes are permuted in
 * shared memory, and what L2 fetches at once */
enum {
    WN_CU_MAP_U8 = 0,
    WN_CU_MAP_F16 = 6,
    WN_CU_MAP_BF16 = 9,
    WN_CU_MAP_SWIZZLE_128B = 3,
    WN_CU_MAP_L2_256B = 3
};

typedef union wn__cu_launch_value {
    char pad[64];
    unsigned cluster[3];
    int overlap; /* may begin before the launch ahead of it has ended (griddepcontrol.wait) */
} wn__cu_launch_value;

typedef struct wn__cu_launch_attribute {
    int id;
    char pad[4];
    wn__cu_launch_value value;
} wn__cu_launch_attribute;

typedef struct wn__cu_launch {
    unsigned grid[3], block[3];
    unsigned shared_bytes;
    wn__cu_stream stream;
    wn__cu_launch_attribute *attributes;
    unsigned attribute_count;
} wn__cu_launch;

/* X(name here, symbol, arguments) */
#define WN_CU_MAP(X)                                                                               \
    X(init, cuInit, (unsigned flags))                                                              \
    X(driver_version, cuDriverGetVersion, (int *version))                                          \
    X(error_name, cuGetErrorName, (wn__cu_result error, const char **name))                        \
    X(error_text, cuGetErrorString, (wn__cu_result error, const char **text))                      \
    X(device_count, cuDeviceGetCount, (int *count))                                                \
    X(device_get, cuDeviceGet, (wn__cu_device * device, int index))                                \
    X(device_name, cuDeviceGetName, (char *name, int length, wn__cu_device device))                \
    X(device_attribute, cuDeviceGetAttribute, (int *value, int attribute, wn__cu_device device))   \
    X(device_memory, cuDeviceTotalMem_v2, (size_t * bytes, wn__cu_device device))                  \
    X(context_retain, cuDevicePrimaryCtxRetain, (wn__cu_context * context, wn__cu_device device))  \
    X(context_release, cuDevicePrimaryCtxRelease_v2, (wn__cu_device device))                       \
    X(context_set, cuCtxSetCurrent, (wn__cu_context context))                                      \
    X(memory_info, cuMemGetInfo_v2, (size_t * available, size_t * total))                          \
    X(memory_alloc, cuMemAlloc_v2, (wn__cu_address * address, size_t bytes))                       \
    X(memory_free, cuMemFree_v2, (wn__cu_address address))                                         \
    X(pinned_alloc, cuMemAllocHost_v2, (void **memory, size_t bytes))                              \
    X(pinned_free, cuMemFreeHost, (void *memory))                                                  \
    X(copy_in, cuMemcpyHtoDAsync_v2,                                                               \
      (wn__cu_address to, const void *from, size_t bytes, wn__cu_stream stream))                   \
    X(copy_out, cuMemcpyDtoHAsync_v2,                                                              \
      (void *to, wn__cu_address from, size_t bytes, wn__cu_stream stream))                         \
    X(set_bytes, cuMemsetD8Async,                                                                  \
      (wn__cu_address to, unsigned char value, size_t bytes, wn__cu_stream stream))                \
    X(stream_create, cuStreamCreate, (wn__cu_stream * stream, unsigned flags))                     \
    X(stream_destroy, cuStreamDestroy_v2, (wn__cu_stream stream))                                  \
    X(stream_wait, cuStreamSynchronize, (wn__cu_stream stream))                                    \
    X(event_create, cuEventCreate, (wn__cu_event * event, unsigned flags))                         \
    X(event_destroy, cuEventDestroy_v2, (wn__cu_event event))                                      \
    X(event_record, cuEventRecord, (wn__cu_event event, wn__cu_stream stream))                     \
    X(event_wait, cuEventSynchronize, (wn__cu_event event))                                        \
    X(event_elapsed, cuEventElapsedTime,                                                           \
      (float *milliseconds, wn__cu_event begin, wn__cu_event end))                                 \
    X(module_load, cuModuleLoadData, (wn__cu_module * module, const void *image))                  \
    X(module_unload, cuModuleUnload, (wn__cu_module module))                                       \
    X(module_function, cuModuleGetFunction,                                                        \
      (wn__cu_function * function, wn__cu_module module, const char *name))                        \
    X(function_set, cuFuncSetAttribute, (wn__cu_function function, int attribute, int value))      \
    X(launch, cuLaunchKernelEx,                                                                    \
      (const wn__cu_launch *launch, wn__cu_function function, void **arguments, void **extra))     \
    X(tensor_map, cuTensorMapEncodeTiled,                                                          \
      (wn__cu_tensor_map * map, int type, uint32_t rank, void *address, const uint64_t *size,      \
       const uint64_t *stride, const uint32_t *box, const uint32_t *step, int interleave,          \
       int swizzle, int l2, int fill))                                                             \
    X(capture_begin, cuStreamBeginCapture_v2, (wn__cu_stream stream, int mode))                    \
    X(capture_end, cuStreamEndCapture, (wn__cu_stream stream, wn__cu_graph * graph))               \
    X(graph_instantiate, cuGraphInstantiateWithFlags,                                              \
      (wn__cu_graph_exec * exec, wn__cu_graph graph, unsigned long long flags))                    \
    X(graph_launch, cuGraphLaunch, (wn__cu_graph_exec exec, wn__cu_stream stream))                 \
    X(graph_destroy, cuGraphDestroy, (wn__cu_graph graph))                                         \
    X(graph_exec_destroy, cuGraphExecDestroy, (wn__cu_graph_exec exec))

typedef struct wn__cu_api {
#define WN_CU_POINTER(name, symbol, arguments) wn__cu_result(*name) arguments;
    WN_CU_MAP(WN_CU_POINTER)
#undef WN_CU_POINTER
} wn__cu_api;

#endif
