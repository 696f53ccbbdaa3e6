// SPDX-License-Identifier: MIT
/* What a GPU says about its clock and power, by NVIDIA's management library where it is found. It
 * is only read. */
#ifndef WN_BENCH_NVML_H
#define WN_BENCH_NVML_H

#include <stdbool.h>
#include <stddef.h>

typedef struct wn__nvml {
    bool there;
    void *device;
    int (*clock)(void *device, int which, unsigned *megahertz);
    int (*energy)(void *device, unsigned long long *millijoules);
    int (*limit)(void *device, unsigned *milliwatts);
} wn__nvml;

/* Device `index` of the library. Not there: everything below says 0. */
void wn__nvml_open(int index, wn__nvml *out);
double wn__nvml_megahertz(const wn__nvml *n); /* of multiprocessors, now */
double wn__nvml_joules(const wn__nvml *n);    /* used so far, or 0 */
double wn__nvml_limit(const wn__nvml *n);     /* watts */

#endif
