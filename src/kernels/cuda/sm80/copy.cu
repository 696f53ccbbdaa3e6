// SPDX-License-Identifier: MIT
// to[i] = from[i], 16 bytes a thread and four of them in flight: what memory gives at best.
#include <stdint.h>

extern "C" __global__ void __launch_bounds__(256)
    wn_copy(uint4 *__restrict__ to, const uint4 *__restrict__ from, uint64_t count) {
    const uint64_t step = (uint64_t)gridDim.x * blockDim.x;
    uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x;
    for (; i + 3 * step < count; i += 4 * step) {
        const uint4 a = __ldcs(from + i), b = __ldcs(from + i + step);
        const uint4 c = __ldcs(from + i + 2 * step), d = __ldcs(from + i + 3 * step);
        __stcs(to + i, a);
        __stcs(to + i + step, b);
        __stcs(to + i + 2 * step, c);
        __stcs(to + i + 3 * step, d);
    }
    for (; i < count; i += step)
        __stcs(to + i, __ldcs(from + i));
}
