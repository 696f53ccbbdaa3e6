// SPDX-License-Identifier: MIT
// A launch turned back into spmm24_blocks.
#include "few.h"

#include "fake_map.h"
#include "kernels/block24.h"
#include "kernels/cuda/args_few.h"
#include "kernels/declare.h"
#include "kernels/spmm24_blocks.h"
#include <string.h>

static wn_tensor matrix(const void *data, wn_dtype dtype, int64_t rows, int64_t columns,
                        int64_t stride) {
    wn_tensor t = wn__tensor2((void *)(uintptr_t)data, dtype, rows, columns);
    t.stride[0] = stride;
    return t;
}

void fake_few(const void *argument, wn_dtype dtype) {
    wn__gpu_few a;
    fake_map map;
    wn__exec x = {0};
    memcpy(&a, argument, sizeof a);
    memcpy(&map, &a.x, sizeof map);
    const int64_t inputs = a.depth > 0 ? (int64_t)map.size[0] : 0;
    wn__spmm24_blocks p = {
        .x = matrix(map.address, dtype, a.tokens, inputs, (int64_t)map.stride / 2),
        .blocks = wn__block24_tensor(64 * (int64_t)a.panels, 64 * (int64_t)a.depth),
        .y = matrix(a.y, dtype, a.tokens, a.outputs, a.y_stride),
        .values = dtype,
        .relu2 = a.relu2 != 0};
    p.blocks.data = (void *)(uintptr_t)a.blocks;
    if (a.bias != NULL) p.bias = wn__tensor1((void *)(uintptr_t)a.bias, dtype, a.outputs);
    if (a.residual != NULL)
        p.residual = matrix(a.residual, dtype, a.tokens, a.outputs, a.residual_stride);
    (void)!wn__spmm24_blocks_ref(&p, &x);
}
