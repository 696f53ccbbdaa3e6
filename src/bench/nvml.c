// SPDX-License-Identifier: MIT
// Reading a GPU's clock and power.
#include "bench/nvml.h"

#include <dlfcn.h>
#include <string.h>

enum { MULTIPROCESSORS = 1 }; // which clock

#define LOOK_UP(handle, name, pointer)                                                             \
    do {                                                                                           \
        void *symbol_ = dlsym(handle, name);                                                       \
        memcpy(&(pointer), &symbol_, sizeof symbol_);                                              \
    } while (0)

// The library stays open: it is read until the process ends.
void wn__nvml_open(int index, wn__nvml *out) {
    int (*init)(void);
    int (*find)(unsigned index, void **device);
    *out = (wn__nvml){0};
    void *handle = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) return;
    LOOK_UP(handle, "nvmlInit_v2", init);
    LOOK_UP(handle, "nvmlDeviceGetHandleByIndex_v2", find);
    LOOK_UP(handle, "nvmlDeviceGetClockInfo", out->clock);
    LOOK_UP(handle, "nvmlDeviceGetTotalEnergyConsumption", out->energy);
    LOOK_UP(handle, "nvmlDeviceGetEnforcedPowerLimit", out->limit);
    out->there = init != NULL && find != NULL && out->clock != NULL && out->energy != NULL &&
                 out->limit != NULL && init() == 0 && find((unsigned)index, &out->device) == 0;
}

double wn__nvml_megahertz(const wn__nvml *n) {
    unsigned v = 0;
    return n->there && n->clock(n->device, MULTIPROCESSORS, &v) == 0 ? v : 0;
}

double wn__nvml_joules(const wn__nvml *n) {
    unsigned long long v = 0;
    return n->there && n->energy(n->device, &v) == 0 ? (double)v / 1e3 : 0;
}

double wn__nvml_limit(const wn__nvml *n) {
    unsigned v = 0;
    return n->there && n->limit(n->device, &v) == 0 ? v / 1e3 : 0;
}
