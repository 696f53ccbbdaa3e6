// SPDX-License-Identifier: MIT
/* The driver's functions, opened at run time, and the text of its errors. */
#ifndef WN_TENSOR_CUDA_DRIVER_H
#define WN_TENSOR_CUDA_DRIVER_H

#include "tensor/cuda.h"

/* The functions of the driver, opened and initialised once a process; a failure is kept too.
 * UNSUPPORTED says why there are none. Thread-safe. */
WN_NODISCARD wn_status wn__cu_open(const wn__cu_api **out);

/* OK for result 0, else DEVICE (NOMEM when the device has no memory left): "cuMemAlloc_v2, for the
 * weights: out of memory (CUDA_ERROR_OUT_OF_MEMORY, 2)". what: "for the weights" or NULL. */
WN_NODISCARD wn_status wn__cu_check(const wn__cu_api *api, const char *symbol, const char *what,
                                    wn__cu_result result);

/* wn__cu_check of a call of api->name, whose symbol is looked up at compile time. */
#define WN_CU(api, name, what, arguments)                                                          \
    wn__cu_check(api, wn__cu_symbol(offsetof(wn__cu_api, name)), what, (api)->name arguments)
/* The driver's name of the function at that offset of wn__cu_api. */
const char *wn__cu_symbol(size_t offset);

struct wn__cuda {
    const wn__cu_api *api;
    wn__cu_device device;
    wn__cu_context context;
    wn__cu_stream stream;
    wn__cu_event begin, end;
    bool capturing;
    bool overlapped;                /* what was queued last is a launch that may overlap */
    struct wn__cuda_module *module; /* loaded images */
    size_t module_count;
    wn__cuda_about about;
};

/* BUG when d is capturing: `call` must not happen then. */
WN_NODISCARD wn_status wn__cuda_not_capturing(const wn__cuda *d, const char *call);
/* Makes d's context the calling thread's: whoever opened another device, or a library, may have
 * left another there. Calls that make or queue anything begin with it. */
WN_NODISCARD wn_status wn__cuda_enter(const wn__cuda *d);
/* Unloads every image. */
void wn__cuda_unload(wn__cuda *d);

#endif
