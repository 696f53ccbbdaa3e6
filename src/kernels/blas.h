// SPDX-License-Identifier: MIT
/* How a BLAS found at configure is used: on one thread. */
#ifndef WN_KERNELS_BLAS_H
#define WN_KERNELS_BLAS_H

/* Tells the BLAS in this process, if any, to run on the calling thread alone. The library would
 * otherwise spread over threads of its own, and its sums would depend on their number. Takes effect
 * once; safe from any thread. */
void wn__blas_one_thread(void);

#endif
