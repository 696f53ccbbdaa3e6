// SPDX-License-Identifier: MIT
/* One thread, one processor: whose they are before a run, and back again behind it. */
#ifndef WN_BASE_PIN_H
#define WN_BASE_PIN_H

#include "base/pool.h"

#include <sched.h>

typedef struct wn__pin {
    cpu_set_t before; /* of the calling thread */
    int cpu[1024], count;
} wn__pin;

/* The processors that the calling thread may use; none (count 0) where the system does not say. */
void wn__pin_find(wn__pin *p);
/* The same, and binds the calling thread and the other workers of a pool to one each. */
void wn__pin_pool(wn__pin *p, wn__pool *pool);
/* Asks OpenMP to bind `threads` threads to these processors, unless the environment says otherwise
 * already; it listens when a library that needs it is opened. */
void wn__pin_openmp(const wn__pin *p, int threads);
/* Binds the threads that are there besides the calling one (those of libraries) to the processors
 * behind the first, which is the calling thread's. */
void wn__pin_others(const wn__pin *p, int threads);
/* The calling thread goes back to where it could run. */
void wn__pin_release(const wn__pin *p);

#endif
