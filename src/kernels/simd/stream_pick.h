// SPDX-License-Identifier: MIT
/* Permutations of bytes that pick four floats out of four, by a byte of four places of two bits. */
#ifndef WN_KERNELS_SIMD_STREAM_PICK_H
#define WN_KERNELS_SIMD_STREAM_PICK_H

#include <stdint.h>

#define WN_PICK_(i) (0x03020100U + ((i)&3U) * 0x04040404U)
#define WN_PICK1(b)                                                                                \
    { WN_PICK_(b), WN_PICK_((b) >> 2), WN_PICK_((b) >> 4), WN_PICK_((b) >> 6) }
#define WN_PICK4(b)  WN_PICK1(b), WN_PICK1((b) + 1U), WN_PICK1((b) + 2U), WN_PICK1((b) + 3U)
#define WN_PICK16(b) WN_PICK4(b), WN_PICK4((b) + 4U), WN_PICK4((b) + 8U), WN_PICK4((b) + 12U)
#define WN_PICK64(b) WN_PICK16(b), WN_PICK16((b) + 16U), WN_PICK16((b) + 32U), WN_PICK16((b) + 48U)

static const _Alignas(64) uint32_t wn__stream_picks[256][4] = {WN_PICK64(0U), WN_PICK64(64U),
                                                               WN_PICK64(128U), WN_PICK64(192U)};

#endif
