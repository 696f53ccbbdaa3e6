// SPDX-License-Identifier: MIT
/* Scalar multiply-adds: sixteen independent chains. */
#include "kernels/peak.h"

enum { CHAINS = 16 };

double wn__peak_ref(int64_t rounds, float *sink) {
    float a[CHAINS] = {0};
    float m = 0.999f, c = 0.5f;
    for (int64_t r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++)
            a[i] = a[i] * m + c;
    float sum = 0;
    for (int i = 0; i < CHAINS; i++)
        sum += a[i];
    *sink = sum;
    return 2.0 * CHAINS * (double)rounds;
}
