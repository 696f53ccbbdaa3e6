// SPDX-License-Identifier: MIT
/* What the table declares: wn__<op>_<variant>() for every row, wn__check_<op>() for every op. Every
 * file that defines one includes this header, so that definition and row cannot disagree. */
#ifndef WN_KERNELS_DECLARE_H
#define WN_KERNELS_DECLARE_H

#include "kernels/cuda/accepts.h"
#include "kernels/op.h"
#include "kernels/simd/accepts.h"

#define WN_OP(name, summary)                                    wn__check_fn wn__check_##name;
#define WN_KERNEL(op, variant, needs, accepts, workspace, rank) wn__kernel_fn wn__##op##_##variant;
#include "kernels/kernels.def"
#undef WN_OP
#undef WN_KERNEL

#endif
