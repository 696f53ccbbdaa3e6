// SPDX-License-Identifier: MIT
/* For tests: makes the stand-in the driver of this process. To be called before anything asks for a
 * GPU. */
#ifndef WN_TESTS_FAKE_CUDA_OPEN_H
#define WN_TESTS_FAKE_CUDA_OPEN_H

#include "fake/cuda/fake_cuda.h"
#include <dlfcn.h>
#include <stdlib.h>

/* What the tests ask of it, NULL when it was not built. */
static inline fake_cuda_state *fake_cuda_open(void) {
    const char *path = WN_FAKES "/libfake_cuda.so";
    if (setenv("WN_LIBCUDA", path, 1) != 0) return NULL;
    void *library = dlopen(path, RTLD_NOW);
    return library == NULL ? NULL : dlsym(library, "fake_cuda");
}

#endif
