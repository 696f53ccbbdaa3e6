// SPDX-License-Identifier: MIT
/* What variants on a GPU share: which rows of the table a GPU can run, launching, and refusing
 * data.
 *
 * A variant returns before its work is done, so it cannot say what is wrong with data. It leaves a
 * number in a word of the device's memory instead, the smallest of all that were left, and
 * wn__gpu_finish finds the arguments behind it, brings the offending tensors back and lets the
 * host's own check name the place, in the same words as every other variant. */
#ifndef WN_KERNELS_CUDA_GPU_H
#define WN_KERNELS_CUDA_GPU_H

#include "tensor/cuda.h"
#include "tensor/tensor.h"

/* Beside WN_CPU_* in a row's needs. SM80: compute capability 8.0 or later; SM90A: 9.0. */
enum { WN_GPU_SM80 = 1 << 16, WN_GPU_SM90A = 1 << 17, WN_GPU_ANY = WN_GPU_SM80 | WN_GPU_SM90A };
/* Of a row that calls a library, beside the others: it gives the same bits at the same addresses,
 * and may choose another order of sums where operands are aligned otherwise. */
enum { WN_GPU_LIBRARY = 1 << 18 };

typedef struct wn__gpu wn__gpu;

/* What a GPU of that compute capability runs: nothing without device code in this program. */
uint32_t wn__gpu_flags_of(int compute);
/* Those of the first GPU, 0 where there is none. Asked of the driver once. */
uint32_t wn__gpu_flags(void);

WN_NODISCARD wn_status wn__gpu_create(int index, wn__gpu **out);
void wn__gpu_free(wn__gpu *g); /* NULL is fine */
wn__cuda *wn__gpu_device(const wn__gpu *g);
/* cuBLASLt on it, opened by the first call, never while a graph is captured. UNSUPPORTED: there is
 * none. */
struct wn__blaslt;
WN_NODISCARD wn_status wn__gpu_blaslt(wn__gpu *g, struct wn__blaslt **out);

/* Waits for all work; the error of the first variant that refused its data. */
WN_NODISCARD wn_status wn__gpu_finish(wn__gpu *g);

/* How an op refuses data on the host, and the tensors that this reads, as offsets in its arguments.
 */
typedef struct wn__gpu_refusal {
    wn_status (*refuse)(const void *args);
    size_t args_size;
    size_t tensor[2];
    int tensors;
} wn__gpu_refusal;

/* Where device code leaves its number. */
typedef struct wn__gpu_fault {
    unsigned int *word; /* of the device */
    unsigned int number;
} wn__gpu_fault;

/* A number for this call; its arguments are remembered until wn__gpu_finish, or for good while a
 * graph is captured. */
WN_NODISCARD wn_status wn__gpu_guard(wn__gpu *g, const wn__gpu_refusal *r, const void *args,
                                     wn__gpu_fault *out);

/* `count` words of the device that are zero between launches: what uses them leaves them so.
 * UNSUPPORTED beyond 1024. */
WN_NODISCARD wn_status wn__gpu_counters(wn__gpu *g, int64_t count, unsigned int **out);
/* Whether what was queued last is a launch that may overlap: such code lets the next launch begin
 * once those ahead that do not overlap have ended (at once, if this was true for it), and writes no
 * blocks. A launch behind it may read blocks before it waits. */
bool wn__gpu_lets_next_begin(const wn__gpu *g);

/* Runs a function whose one argument is *argument. Empty grids are not run. */
WN_NODISCARD wn_status wn__gpu_launch(wn__gpu *g, const wn__cuda_image *image, const char *symbol,
                                      const wn__cuda_launch *l, void *argument);

#endif
