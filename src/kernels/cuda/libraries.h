// SPDX-License-Identifier: MIT
/* NVIDIA's libraries, which are opened at run time where they are found and never linked. */
#ifndef WN_KERNELS_CUDA_LIBRARIES_H
#define WN_KERNELS_CUDA_LIBRARIES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct wn__cuda_library {
    const char *name;     /* "cuBLASLt" */
    const char *what_for; /* "dense products" */
    char version[32];     /* "13.1.0"; "" when it was not found */
    char text[256];       /* the file that was opened, or why none was */
} wn__cuda_library;

/* Opens one by its name for as long as the process lives: the newest file that is found, or what
 * WN_LIBCUBLASLT, WN_LIBCUSPARSELT, WN_LIBCUDNN or WN_LIBNCCL names. False and why[n] (in one line)
 * when it is not there. */
bool wn__cuda_library_open(const char *name, void **handle, char *why, size_t n);
/* Looks for library i and says in *out whether it is there. False: i is past the last one. */
bool wn__cuda_library_find(size_t i, wn__cuda_library *out);

#endif
