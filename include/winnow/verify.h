// SPDX-License-Identifier: MIT
/* A self-test of this build on this machine: the sparse operators, layer shapes of real models, and
 * a short training run. */
#ifndef WINNOW_VERIFY_H
#define WINNOW_VERIFY_H

#include "winnow/status.h"
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wn_verify_result {
    const char *name; /* "mvue exact: mean" */
    bool passed;
    const char *detail; /* what was measured and what was allowed; valid in the callback */
    double seconds;
} wn_verify_result;
typedef void wn_verify_fn(void *ctx, const wn_verify_result *result);

/* Runs every check, calling fn after each. What is shown: masks keep exactly half and have the
 * pattern; packing and unpacking give the masked weights back; masks and positions are the same in
 * fp32, bf16 and fp16 for values all three hold; the MVUE samplers are unbiased within a bound that
 * holds with probability 1 - 1e-6 (Bernstein), and keep at most two of four; the sparse product
 * equals the dense product of the same weights within its derived bound; the kernels agree with the
 * reference on production shapes; a ten-step training run has a falling loss and saves what it
 * should. threads 0: all. kernels: "op:variant,..." or NULL. Returns an error only when the checks
 * could not be made. */
WN_API WN_NODISCARD wn_status wn_verify(int threads, const char *kernels, wn_verify_fn *fn,
                                        void *ctx, int64_t *checks, int64_t *failed);

#ifdef __cplusplus
}
#endif
#endif
