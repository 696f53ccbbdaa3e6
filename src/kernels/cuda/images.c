// SPDX-License-Identifier: MIT
// Fatbins as bytes of this program.
#include "kernels/cuda/images.h"

#ifdef WN_HAVE_DEVICE_CODE

#define WN_IMAGE(folder, name)                                                                     \
    __asm__(".pushsection .rodata\n"                                                               \
            ".balign 16\n"                                                                         \
            "wn__bytes_" #name "_" #folder ":\n"                                                   \
            ".incbin \"" WN_DEVICE_CODE "/" #folder "/" #name ".fatbin\"\n"                        \
            "wn__bytes_end_" #name "_" #folder ":\n"                                               \
            ".byte 0\n"                                                                            \
            ".popsection\n");                                                                      \
    extern const unsigned char wn__bytes_##name##_##folder[]                                       \
        __attribute__((visibility("hidden")));                                                     \
    extern const unsigned char wn__bytes_end_##name##_##folder[]                                   \
        __attribute__((visibility("hidden")));                                                     \
    const wn__cuda_image wn__image_##name##_##folder = {#name "_" #folder,                         \
                                                        wn__bytes_##name##_##folder};
#include "kernels/cuda/images.def"
#undef WN_IMAGE

static const struct {
    const wn__cuda_image *image;
    const unsigned char *begin, *end;
} images[] = {
#define WN_IMAGE(folder, name)                                                                     \
    {&wn__image_##name##_##folder, wn__bytes_##name##_##folder, wn__bytes_end_##name##_##folder},
#include "kernels/cuda/images.def"
#undef WN_IMAGE
};

const char *wn__device_code(void) {
    return "sm_80, compute_80 (PTX), sm_90a";
}

bool wn__device_code_built(void) {
    return true;
}

const wn__cuda_image *wn__image(size_t i, size_t *bytes) {
    if (i >= sizeof images / sizeof *images) return NULL;
    *bytes = (size_t)(images[i].end - images[i].begin);
    return images[i].image;
}

#else

const char *wn__device_code(void) {
    return "not built: " WN_NO_DEVICE_CODE;
}

bool wn__device_code_built(void) {
    return false;
}

const wn__cuda_image *wn__image(size_t i, size_t *bytes) {
    (void)i;
    *bytes = 0;
    return NULL;
}

#endif
