// SPDX-License-Identifier: MIT
/* A GPU of the stand-in driver with memory for a test's tensors. */
#ifndef TEST_GPU_SCENE_H
#define TEST_GPU_SCENE_H

#include "kernels/op.h"

typedef struct scene {
    wn__gpu *gpu;
    wn__arena memory;
    wn__exec x;
} scene;

static inline void scene_begin(scene *s, size_t bytes) {
    *s = (scene){0};
    assert_int_equal(wn__gpu_create(0, &s->gpu), WN_OK);
    assert_int_equal(wn__cuda_arena(wn__gpu_device(s->gpu), "test", bytes, &s->memory), WN_OK);
    s->x = (wn__exec){.gpu = s->gpu, .device = {.kind = WN_DEVICE_CUDA}};
}

static inline void scene_end(scene *s) {
    wn__arena_free(&s->memory);
    wn__gpu_free(s->gpu);
}

#endif
