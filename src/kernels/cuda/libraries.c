// SPDX-License-Identifier: MIT
// Which of NVIDIA's libraries this machine has, and their versions.
#include "kernels/cuda/libraries.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct known {
    const char *name, *what_for;
    const char *variable; // of the environment: a file to open instead
    const char *file[3];  // newest first
    const char *symbol;   // tells the version
    void (*version)(void *symbol, char *out, size_t n);
} known;

// POSIX lets a data pointer from dlsym stand for a function; C asks for its bytes.
#define AS_FUNCTION(type, pointer, symbol) memcpy(&(pointer), &(symbol), sizeof(type *))

// 10000 x major + 100 x minor + patch
static void print_version(size_t v, char *out, size_t n) {
    (void)snprintf(out, n, "%zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
}

static void cublaslt_version(void *symbol, char *out, size_t n) {
    typedef size_t get(void);
    get *f;
    AS_FUNCTION(get, f, symbol);
    size_t v = f(); // 13.1.0 says 130100, 12.4.5 said 120405
    print_version(v, out, n);
}

static void cudnn_version(void *symbol, char *out, size_t n) {
    typedef size_t get(void);
    get *f;
    AS_FUNCTION(get, f, symbol);
    size_t v = f(); // 90100 since version 9, 8907 before
    if (v >= 90000)
        print_version(v, out, n);
    else
        (void)snprintf(out, n, "%zu.%zu.%zu", v / 1000, v / 100 % 10, v % 100);
}

static void nccl_version(void *symbol, char *out, size_t n) {
    typedef int get(int *version);
    get *f;
    int v = 0;
    AS_FUNCTION(get, f, symbol);
    if (f(&v) == 0 && v > 0) print_version((size_t)v, out, n);
}

static void cusparselt_version(void *symbol, char *out, size_t n) {
    typedef int get(int property, int *value);
    get *f;
    int part[3] = {0};
    AS_FUNCTION(get, f, symbol);
    for (int i = 0; i < 3; i++)
        if (f(i, &part[i]) != 0) return;
    (void)snprintf(out, n, "%d.%d.%d", part[0], part[1], part[2]);
}

static const known libraries[] = {
    {"cuBLASLt",
     "dense products",
     "WN_LIBCUBLASLT",
     {"libcublasLt.so.13", "libcublasLt.so.12", NULL},
     "cublasLtGetVersion",
     cublaslt_version},
    {"cuSPARSELt",
     "2:4 products to compare with",
     "WN_LIBCUSPARSELT",
     {"libcusparseLt.so.0", NULL, NULL},
     "cusparseLtGetProperty",
     cusparselt_version},
    {"cuDNN",
     "attention",
     "WN_LIBCUDNN",
     {"libcudnn.so.9", "libcudnn.so.8", NULL},
     "cudnnGetVersion",
     cudnn_version},
    {"NCCL",
     "several GPUs",
     "WN_LIBNCCL",
     {"libnccl.so.2", NULL, NULL},
     "ncclGetVersion",
     nccl_version},
};

enum { LIBRARIES = sizeof libraries / sizeof *libraries };

// NULL and why[n] when it is not there. What was opened stays: closing one leaks what it set up.
static void *open_library(const known *k, const char **file, char *why, size_t n) {
    const char *named = getenv(k->variable);
    if (named != NULL && named[0] == '\0') named = NULL;
    why[0] = '\0';
    for (int f = 0; f < 3 && (named != NULL ? f == 0 : k->file[f] != NULL); f++) {
        *file = named != NULL ? named : k->file[f];
        void *handle = dlopen(*file, RTLD_LAZY | RTLD_LOCAL);
        if (handle != NULL) return handle;
        if (f == 0) (void)snprintf(why, n, "not found: %s", dlerror());
    }
    return NULL;
}

bool wn__cuda_library_open(const char *name, void **handle, char *why, size_t n) {
    const char *file;
    *handle = NULL;
    for (int i = 0; i < LIBRARIES; i++)
        if (strcmp(libraries[i].name, name) == 0)
            *handle = open_library(&libraries[i], &file, why, n);
    if (*handle != NULL) why[0] = '\0';
    return *handle != NULL;
}

bool wn__cuda_library_find(size_t i, wn__cuda_library *out) {
    if (i >= LIBRARIES) return false;
    const known *k = &libraries[i];
    const char *file;
    *out = (wn__cuda_library){.name = k->name, .what_for = k->what_for};
    void *handle = open_library(k, &file, out->text, sizeof out->text);
    if (handle == NULL) return true;
    void *symbol = dlsym(handle, k->symbol);
    if (symbol == NULL) {
        (void)snprintf(out->text, sizeof out->text, "%s has no %s", file, k->symbol);
        return true;
    }
    (void)snprintf(out->version, sizeof out->version, "unknown version");
    k->version(symbol, out->version, sizeof out->version);
    (void)snprintf(out->text, sizeof out->text, "%s", file);
    return true;
}
