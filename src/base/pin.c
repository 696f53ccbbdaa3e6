// SPDX-License-Identifier: MIT
// Where threads run.
#include "base/pin.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void wn__pin_find(wn__pin *p) {
    p->count = 0;
    CPU_ZERO(&p->before);
    if (sched_getaffinity(0, sizeof p->before, &p->before) != 0) return;
    for (int i = 0; i < CPU_SETSIZE && p->count < 1024; i++)
        if (CPU_ISSET((size_t)i, &p->before)) p->cpu[p->count++] = i;
}

void wn__pin_pool(wn__pin *p, wn__pool *pool) {
    wn__pin_find(p);
    wn__pool_pin(pool, p->cpu, p->count);
}

void wn__pin_openmp(const wn__pin *p, int threads) {
    char places[8192] = "", number[16];
    size_t used = 0;
    if (p->count == 0) return;
    for (int i = 0; i < p->count && i < threads && used < sizeof places - 16; i++)
        used += (size_t)snprintf(places + used, sizeof places - used, "%s{%d}", i > 0 ? "," : "",
                                 p->cpu[i]);
    (void)snprintf(number, sizeof number, "%d", threads);
    (void)setenv("OMP_NUM_THREADS", number, 0);
    (void)setenv("OMP_PLACES", places, 0);
    (void)setenv("OMP_PROC_BIND", "close", 0);
}

void wn__pin_others(const wn__pin *p, int threads) {
    DIR *tasks = opendir("/proc/self/task");
    int use = threads < p->count ? threads : p->count, next = 0;
    for (struct dirent *d; tasks && use > 0 && (d = readdir(tasks)) != NULL;) {
        int task = atoi(d->d_name);
        if (task <= 0 || task == gettid()) continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET((size_t)p->cpu[++next % use], &one);
        (void)sched_setaffinity(task, sizeof one, &one);
    }
    if (tasks) (void)closedir(tasks);
}

void wn__pin_release(const wn__pin *p) {
    if (p->count > 0) (void)sched_setaffinity(0, sizeof p->before, &p->before);
}
