// SPDX-License-Identifier: MIT
/* How a BLAS found at configure is used: on one thread. */
#ifndef WN_KERNELS_BLAS_H
#define WN_KERNELS_BLAS_H

#include <stdint.h>

/* Tells the BLAS in this process, if any, to run on the calling thread alone. The library would
 * otherwise spread over threads of its own, and its sums would depend on their number. Takes effect
 * once; safe from any thread. */
void wn__blas_one_thread(void);

/* c[m,n] = a[m,k] b[n,k]^T, rows of `_row` floats, on the calling thread. Sizes fit an int. Only
 * where a CBLAS was found. */
void wn__blas_product(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row,
                      const float *b, int64_t b_row, float *c, int64_t c_row);
/* c[m,n] = a[k,m]^T b[k,n], likewise. */
void wn__blas_outer(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row, const float *b,
                    int64_t b_row, float *c, int64_t c_row);

#endif
