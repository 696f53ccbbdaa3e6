// SPDX-License-Identifier: MIT
/* One NVIDIA GPU through its driver, which is opened at run time: a program built with this runs on
 * machines without one and says so.
 *
 * A device has one stream of work. Calls that queue work return at once; wn__cuda_wait waits. While
 * a stream is being captured nothing may allocate the device's memory, load code or wait: such a
 * call fails with WN_BUG and names itself, whatever the driver would have let pass. That copies are
 * from pinned memory then is the caller's promise.
 * Functions that return WN_DEVICE name the driver's function, its error code and its text. A device
 * is used by the thread that opened it alone. */
#ifndef WN_TENSOR_CUDA_H
#define WN_TENSOR_CUDA_H

#include "base/arena.h"
#include "tensor/cuda_abi.h"
#include "winnow/tensor.h"
#include <stdbool.h>
#include <stdint.h>

/* Bytes that arenas of a device round up to: what bulk copies and packed blocks ask for. */
#define WN_CUDA_ALIGN ((size_t)512)
/* `bytes` in whole steps of it. */
static inline size_t wn__cuda_whole(size_t bytes) {
    return (bytes + WN_CUDA_ALIGN - 1) / WN_CUDA_ALIGN * WN_CUDA_ALIGN;
}

typedef struct wn__cuda wn__cuda;
typedef struct wn__cuda_graph wn__cuda_graph;

typedef struct wn__cuda_about {
    char name[128];
    int index;
    int driver;  /* 13000: it speaks CUDA 13.0 */
    int compute; /* 90: compute capability 9.0 */
    int multiprocessors;
    int clock;        /* the highest of them, kHz */
    int shared_bytes; /* of a block, when it asks for them */
    size_t memory, l2;
} wn__cuda_about;

/* GPUs that the driver shows. UNSUPPORTED says why there are none: no driver (with the loader's
 * reason), one without a function we need, or no device. The driver's file is libcuda.so.1, or what
 * the environment variable WN_LIBCUDA names. */
WN_NODISCARD wn_status wn__cuda_count(int *count);
/* The compute capability of one, 90 for 9.0, without opening it. */
WN_NODISCARD wn_status wn__cuda_compute(int index, int *compute);
/* INVALID: no device of this index. */
WN_NODISCARD wn_status wn__cuda_open(int index, wn__cuda **out);
void wn__cuda_close(wn__cuda *d); /* waits first; NULL is fine */
const wn__cuda_about *wn__cuda_info(const wn__cuda *d);
/* Bytes nobody has taken now. */
WN_NODISCARD wn_status wn__cuda_available(wn__cuda *d, size_t *bytes);

/* An arena of the device's memory, zeroed. NOMEM names the arena, its size and what is left.
 * wn__arena_free gives it back, which must happen before the device is closed. */
WN_NODISCARD wn_status wn__cuda_arena(wn__cuda *d, const char *name, size_t size, wn__arena *out);
/* Pinned memory of the host, zeroed: what copies that do not wait need. */
WN_NODISCARD wn_status wn__cuda_pinned(wn__cuda *d, const char *name, size_t size, wn__arena *out);

/* Queue a copy. Host memory stays untouched by the caller until a wait, and is pinned while a graph
 * is captured (the caller's promise). */
WN_NODISCARD wn_status wn__cuda_copy_in(wn__cuda *d, void *to, const void *from, size_t bytes);
WN_NODISCARD wn_status wn__cuda_copy_out(wn__cuda *d, void *to, const void *from, size_t bytes);
WN_NODISCARD wn_status wn__cuda_set(wn__cuda *d, void *to, int byte, size_t bytes);
/* Until everything queued has ended; errors of launches appear here at the latest. */
WN_NODISCARD wn_status wn__cuda_wait(wn__cuda *d);

/* Everything queued between begin and end becomes a graph and is not run. */
WN_NODISCARD wn_status wn__cuda_capture_begin(wn__cuda *d);
bool wn__cuda_capturing(const wn__cuda *d);
WN_NODISCARD wn_status wn__cuda_capture_end(wn__cuda *d, wn__cuda_graph **out);
WN_NODISCARD wn_status wn__cuda_graph_run(wn__cuda *d, wn__cuda_graph *g);
void wn__cuda_graph_free(wn__cuda *d, wn__cuda_graph *g);

/* Device code in one image (a fatbin or PTX) for as long as the device is open. The name is
 * borrowed and appears in messages. */
typedef struct wn__cuda_image {
    const char *name;
    const void *data;
} wn__cuda_image;
/* The function `symbol` of an image, loaded on first use and kept. */
WN_NODISCARD wn_status wn__cuda_function(wn__cuda *d, const wn__cuda_image *image,
                                         const char *symbol, wn__cu_function *out);

/* The map through which bulk copies move boxes of `rows` by 64 columns of a 16-bit matrix [a,b]
 * (128 of one of bytes) with unit stride along b to and from shared memory: 128 bytes a row, chunk
 * c of row r at c ^ (r mod 8). What a box has beyond the matrix is read as zeros and not written.
 * Data and row stride (of more than one row) are multiples of 16 bytes, a and b positive, rows at
 * most 256: else INVALID. */
WN_NODISCARD wn_status wn__cuda_tensor_map(const wn__cuda *d, const wn_tensor *t, unsigned rows,
                                           wn__cu_tensor_map *out);

typedef struct wn__cuda_launch {
    unsigned grid[3], block[3];
    unsigned shared_bytes;
    unsigned cluster; /* blocks of a cluster along x; 0 and 1: none */
    bool overlap;     /* may begin before what is ahead has ended */
} wn__cuda_launch;
WN_NODISCARD wn_status wn__cuda_run(wn__cuda *d, wn__cu_function f, const wn__cuda_launch *l,
                                    void **arguments);

/* Whether what was queued last is a launch that may overlap; copies into the device's memory,
 * graphs and captures are not. */
bool wn__cuda_overlapped(const wn__cuda *d);
/* Says that a library queued work on the device's stream. */
void wn__cuda_queued(wn__cuda *d);

/* Seconds of what was queued between the two calls, measured on the device; stop waits. */
WN_NODISCARD wn_status wn__cuda_time_start(wn__cuda *d);
WN_NODISCARD wn_status wn__cuda_time_stop(wn__cuda *d, double *seconds);

#endif
