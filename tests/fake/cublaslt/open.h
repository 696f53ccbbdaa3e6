// SPDX-License-Identifier: MIT
/* For tests: makes the stand-in the cuBLASLt of this process. To be called before anything asks for
 * the library. */
#ifndef WN_TESTS_FAKE_CUBLASLT_OPEN_H
#define WN_TESTS_FAKE_CUBLASLT_OPEN_H

#include "fake/cublaslt/fake_cublaslt.h"
#include <dlfcn.h>
#include <stdlib.h>

/* What the tests ask of it, NULL when it was not built. */
static inline fake_cublaslt_state *fake_cublaslt_open(void) {
    const char *path = WN_FAKES "/libfake_cublaslt.so";
    if (setenv("WN_LIBCUBLASLT", path, 1) != 0) return NULL;
    void *library = dlopen(path, RTLD_NOW);
    return library == NULL ? NULL : dlsym(library, "fake_cublaslt");
}

#endif
