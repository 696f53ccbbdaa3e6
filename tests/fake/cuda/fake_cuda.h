// SPDX-License-Identifier: MIT
/* What tests ask of the driver that stands in for NVIDIA's. */
#ifndef WN_TESTS_FAKE_CUDA_H
#define WN_TESTS_FAKE_CUDA_H

#include <stddef.h>

typedef struct fake_cuda_state {
    /* The nth call of symbol from now on (1: the next) returns code; nth 0: none fails. */
    const char *fail_symbol;
    int fail_nth, fail_code;
    /* Alive now: allocations, pinned ones, streams, events, modules, graphs, contexts. */
    int alive;
    size_t memory_bytes;   /* of the device: 64 MiB to begin with */
    int launches;          /* run, not captured */
    unsigned last_cluster; /* of the last launch, 0: none asked for */
    int last_overlap;
    int refuse_images; /* modules have no code for this device */
} fake_cuda_state;

/* For libraries that stand in for NVIDIA's, looked up with dlsym: work that they queue, on a copy
 * of `data`, at once or when the graph that is captured runs; and whether bytes at p are the
 * device's (or pinned). */
typedef void fake_cuda_work(const void *data);
int fake_cuda_submit(fake_cuda_work *run, const void *data, size_t bytes);
int fake_cuda_holds(const void *p, size_t bytes);

#endif
