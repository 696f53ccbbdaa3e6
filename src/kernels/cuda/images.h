// SPDX-License-Identifier: MIT
/* Device code that was built into this program. */
#ifndef WN_KERNELS_CUDA_IMAGES_H
#define WN_KERNELS_CUDA_IMAGES_H

#include "tensor/cuda.h"

#ifdef WN_HAVE_DEVICE_CODE
#define WN_IMAGE(folder, name) extern const wn__cuda_image wn__image_##name##_##folder;
#include "kernels/cuda/images.def"
#undef WN_IMAGE
#endif

/* "sm_80, compute_80, sm_90a", or why there is none. Static storage. */
const char *wn__device_code(void);
/* Whether there is any. */
bool wn__device_code_built(void);

/* Images in the order of images.def; NULL at and after the last one. bytes: of the image. */
const wn__cuda_image *wn__image(size_t i, size_t *bytes);

#endif
