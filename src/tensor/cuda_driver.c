// SPDX-License-Identifier: MIT
// Opening the driver's library.
#include "tensor/cuda_driver.h"

#include "base/fail.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static wn__cu_api api;
static char why[512]; // no driver can be used
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const struct {
    size_t offset;
    const char *symbol;
} functions[] = {
#define FUNCTION(name, symbol, arguments) {offsetof(wn__cu_api, name), #symbol},
    WN_CU_MAP(FUNCTION)
#undef FUNCTION
};

enum { FUNCTIONS = sizeof functions / sizeof *functions };

const char *wn__cu_symbol(size_t offset) {
    for (int i = 0; i < FUNCTIONS; i++)
        if (functions[i].offset == offset) return functions[i].symbol;
    return "?";
}

// POSIX lets a data pointer from dlsym stand for a function; C asks for its bytes.
static bool find(void *library, int i) {
    void *found = dlsym(library, functions[i].symbol);
    memcpy((char *)&api + functions[i].offset, &found, sizeof found);
    return found != NULL;
}

static wn__cu_result start(void) {
    wn__cu_result result = api.init(0);
    int count = 0;
    return result != 0 ? result : api.device_count(&count);
}

// The library stays open: the driver's own threads may run in it.
static void open_driver(void) {
    const char *named = getenv("WN_LIBCUDA");
    const char *file = named != NULL && named[0] != '\0' ? named : "libcuda.so.1";
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        (void)snprintf(why, sizeof why, "no NVIDIA driver: %s", dlerror());
        return;
    }
    for (int i = 0; i < FUNCTIONS; i++)
        if (!find(library, i)) {
            (void)snprintf(why, sizeof why,
                           "the NVIDIA driver (%s) has no %s: it is older than 12.0", file,
                           functions[i].symbol);
            return;
        }
    wn__cu_result result = start();
    if (result == 0) return;
    const char *text = NULL;
    if (api.error_text(result, &text) != 0 || text == NULL) text = "unknown error";
    (void)snprintf(why, sizeof why, "the NVIDIA driver does not start: %s (%d)", text, result);
}

wn_status wn__cu_open(const wn__cu_api **out) {
    (void)pthread_once(&once, open_driver);
    *out = &api;
    return why[0] == '\0' ? WN_OK : wn__fail(WN_UNSUPPORTED, "%s", why);
}

wn_status wn__cu_check(const wn__cu_api *a, const char *symbol, const char *what,
                       wn__cu_result result) {
    if (result == 0) return WN_OK;
    const char *name = NULL, *text = NULL;
    if (a->error_name(result, &name) != 0 || name == NULL) name = "unknown";
    if (a->error_text(result, &text) != 0 || text == NULL) text = "unknown error";
    wn_status status = result == WN_CU_OUT_OF_MEMORY ? WN_NOMEM : WN_DEVICE;
    if (what != NULL && what[0] != '\0')
        return wn__fail(status, "%s, %s: %s (%s, %d)", symbol, what, text, name, result);
    return wn__fail(status, "%s: %s (%s, %d)", symbol, text, name, result);
}
