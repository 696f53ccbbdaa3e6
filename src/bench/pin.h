// SPDX-License-Identifier: MIT
/* One thread, one processor: whose they are before a run, and back again behind it. */
#ifndef WN_BENCH_PIN_H
#define WN_BENCH_PIN_H

#include <sched.h>

typedef struct wn__pin {
    cpu_set_t before; /* of the calling thread */
    int cpu[1024], count;
} wn__pin;

/* Asks OpenMP to bind `threads` threads to the processors this process may use, unless the
 * environment says otherwise already; it listens when a library that needs it is opened. */
void wn__pin_plan(wn__pin *p, int threads);
/* Binds the threads that are there besides the calling one (those of libraries) to the processors
 * behind the first, which is the calling thread's. */
void wn__pin_others(const wn__pin *p, int threads);
/* The calling thread goes back to where it could run. */
void wn__pin_release(const wn__pin *p);

#endif
