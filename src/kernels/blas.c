// SPDX-License-Identifier: MIT
// Keeps a BLAS on one thread. Each library has its own name for that, looked up at run time: it may
// be another one than the build found.
#include "kernels/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

static void use_one_thread(void) {
    static const char *const names[] = {"openblas_set_num_threads", "bli_thread_set_num_threads",
                                        "MKL_Set_Num_Threads"};
    for (size_t i = 0; i < 3; i++) {
        void *symbol = dlsym(RTLD_DEFAULT, names[i]);
        if (symbol == NULL) continue;
        if (i == 1)
            ((void (*)(int64_t))(intptr_t)symbol)(1);
        else
            ((void (*)(int))(intptr_t)symbol)(1);
    }
}

void wn__blas_one_thread(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, use_one_thread);
}
